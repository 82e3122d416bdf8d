# Fills the last column of the tables in docs/faults.md from the tests. Called by docs/generate.sh:
#
#   awk -f docs/mkfaults.awk test/*/*.c docs/faults.md > new
#
# A test belongs to the cases that the comment before it names: a comment that begins with "FAULTS 10, 12". Tests named by
# hand stay as long as they exist; "none yet" stands where there are none. Rows are | case | what happens | tests |.

function add(id, file, name) {
    if (!(file SUBSEP name in exists) || (id, file, name) in listed)
        return
    listed[id, file, name] = 1
    if (!((id, file) in n_names))
        files[id, ++n_files[id]] = file
    names[id, file, ++n_names[id, file]] = name
}

function add_from_cell(id, cell,   word, file) {
    file = ""
    while (match(cell, /`[A-Za-z0-9_\/.]+`/)) {
        word = substr(cell, RSTART + 1, RLENGTH - 2)
        cell = substr(cell, RSTART + RLENGTH)
        if (word ~ /\//)
            file = word
        else
            add(id, file, word)
    }
}

FILENAME !~ /\.md$/ {
    if (FNR == 1) {
        file = FILENAME
        sub(/^.*test\//, "", file)
        cases = ""
    }
    if (/^\/\* FAULTS [0-9]/) {
        cases = $0
        sub(/^\/\* FAULTS /, "", cases)
        sub(/(: |:$| \*\/|[^0-9, to]).*/, "", cases)
    } else if (/^static void [a-z0-9_]+\(void \*\*state\)/) {
        name = $3
        sub(/\(.*/, "", name)
        exists[file, name] = 1
        if (cases != "") {
            n = split(cases, list, /, */)
            for (i = 1; i <= n; i++) {
                from = to = list[i]
                if (list[i] ~ / to /) {
                    sub(/ to .*/, "", from)
                    sub(/.* to /, "", to)
                }
                for (k = from + 0; k <= to + 0; k++)
                    tagged[k] = tagged[k] file " " name "\n"
            }
        }
        cases = ""
    }
    next
}

/^\| *[0-9]+ *\|/ {
    n = split($0, column, "|")
    id = column[2] + 0
    m = split(tagged[id], list, "\n")
    for (i = 1; i < m; i++) {
        split(list[i], part, " ")
        add(id, part[1], part[2])
    }
    add_from_cell(id, column[4])
    cell = ""
    for (i = 1; i <= n_files[id]; i++) {
        cell = cell (i > 1 ? ";" : "") " `" files[id, i] "`"
        for (k = 1; k <= n_names[id, files[id, i]]; k++)
            cell = cell (k > 1 ? "," : "") " `" names[id, files[id, i], k] "`"
    }
    print "|" column[2] "|" column[3] "|" (cell == "" ? " none yet" : cell) " |"
    next
}
{ print }
