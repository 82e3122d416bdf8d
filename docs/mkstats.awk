# Puts the table of statistics into docs/statistics.md. Called by docs/generate.sh:
#
#   awk -f docs/mkstats.awk include/tiercache/stats.h docs/statistics.md > new
#
# The rows are the X-macro table of the header; they replace what lies between the two marks in the page.

function cell(text) {
    gsub(/\|/, "\\|", text)
    return text
}

function row(name, kind, unit, help) {
    rows[++n_rows] = "| `" name "` | " tolower(kind) " | " unit " | " cell(help) " |"
}

function heading(text) {
    rows[++n_rows] = (n_rows > 1 ? "\n" : "") "### " text "\n\n| name | kind | unit | meaning |\n|---|---|---|---|"
}

# The arguments of the macro call in line, in arg[1..]; a comma inside quotes belongs to its string.
function arguments(line,   n, c, i, quoted, text) {
    sub(/^[^(]*\(/, "", line)
    n = 0
    quoted = 0
    text = ""
    for (i = 1; i <= length(line); i++) {
        c = substr(line, i, 1)
        if (c == "\"") {
            quoted = !quoted
        } else if (!quoted && (c == "," || c == ")")) {
            gsub(/^ +| +$/, "", text)
            arg[++n] = text
            text = ""
            if (c == ")")
                return n
        } else {
            text = text c
        }
    }
    return n
}

FNR == NR && /^#define CACHE_STATS_TYPE_COUNTERS\(X\)/ { heading("Of a type, and of the whole cache: counters") }
FNR == NR && /^#define CACHE_STATS_TYPE_GAUGES\(X\)/ { heading("Of a type, and of the whole cache: what is in L1") }
FNR == NR && /^#define CACHE_STATS_CACHE_FIELDS\(X\)/ { heading("Of the whole cache only") }
FNR == NR && /^#define CACHE_STATS_LATENCIES\(X\)/ { heading("Latencies, of a type and of the whole cache") }
FNR == NR && /^ +X\([a-z0-9_]+##/ {
    arguments($0)
    part[++n_parts] = arg[1]
    sub(/.*##/, "", part[n_parts])
    part_kind[n_parts] = arg[2]
    part_unit[n_parts] = arg[3]
    part_help[n_parts] = arg[4]
    sub(/^what */, "", part_help[n_parts])
    next
}
FNR == NR && /^ +X\([a-z0-9_]+,/ {
    if (arguments($0) < 4)
        failed = 1
    row(arg[1], arg[2], arg[3], arg[4])
    next
}
FNR == NR && /^ +CACHE_STATS_LATENCY\(X,/ {
    arguments($0)
    for (i = 1; i <= n_parts; i++)
        row(arg[2] part[i], part_kind[i], part_unit[i], arg[3] part_help[i])
    next
}
FNR == NR { next }

/^<!-- table: end -->/ { skipping = 0 }
!skipping { print }
/^<!-- table: begin/ {
    for (i = 1; i <= n_rows; i++)
        print rows[i]
    skipping = placed = 1
}

END {
    if (n_rows < 10 || !placed || skipping || failed) {
        print "mkstats: the table or its place was not found" > "/dev/stderr"
        exit 1
    }
}
