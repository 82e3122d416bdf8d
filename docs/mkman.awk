# Makes the man pages of section 3 from the comments of the public headers. Called by docs/generate.sh:
#
#   awk -v out=DIR -f docs/mkman.awk docs/man/names docs/man/tiercache.3.in HEADERS...
#
# names gives each function its line for NAME. A comment right before one or several TIERCACHE_API declarations is
# their description; from "Returns" on it is their RETURN VALUES. The struct that a function takes as its options is
# listed field by field. In tiercache.3.in a line @RESULTS@, @FUNCTIONS@ or @SEEALSO@ is replaced.

function fail(why) { print "mkman: " why > "/dev/stderr"; failed = 1 }

# ---- reading --------------------------------------------------------------------------------------------------------

FILENAME ~ /names$/ { brief[$1] = substr($0, length($1) + 2); next }
FILENAME ~ /\.in$/ { template[++n_template] = $0; next }

FNR == 1 {
    header = FILENAME
    sub(/.*include\//, "", header)
    comment = section = ""
    group = 0
    state = ""
}

# Text of a comment without its marks; an empty line of it becomes a form feed, the end of a paragraph.
function bare(line) {
    sub(/^[ \t]*\/?\*+[ \t]?/, "", line)
    sub(/[ \t]*\*\/[ \t]*$/, "", line)
    gsub(/\t/, " ", line)
    return line == "" ? "\f" : line
}

state == "comment" {
    comment = comment " " bare($0)
    if (/\*\//)
        state = ""
    next
}
state == "prototype" {
    proto = proto " " $0
    if (/;/)
        end_prototype()
    next
}
state == "struct" || state == "enum" {
    member($0)
    next
}
/^\/\* ----/ {
    section = $0
    gsub(/^\/\* -+ | -+ \*\/$/, "", section)
    comment = ""
    group = 0
    next
}
/^\/\*/ {
    comment = bare($0)
    group = 0
    if (!/\*\//)
        state = "comment"
    next
}
/^TIERCACHE_API/ {
    proto = substr($0, length("TIERCACHE_API ") + 1)
    state = "prototype"
    if (/;/)
        end_prototype()
    next
}
/^typedef .*_fn\(/ {
    name = $0
    sub(/\(.*/, "", name)
    sub(/.* /, "", name)
    callback_text[name] = comment
    callback[name] = $0
    sub(/^typedef /, "", callback[name])
    next
}
/^struct [a-z_]* \{/ {
    struct = $2
    state = "struct"
    field = ""
    next
}
/^enum \{/ {
    state = "enum"
    constant = ""
    line = $0
    sub(/^enum \{ */, "", line)
    if (line != "")
        member(line)
    next
}
/^[ \t]*$/ { comment = ""; group = 0; next }

function end_prototype(   name) {
    state = ""
    gsub(/[ \t]+/, " ", proto)
    sub(/ *;.*/, "", proto)
    name = proto
    sub(/\(.*/, "", name)
    sub(/.*[ *]/, "", name)
    if (!group) {
        group = ++n_groups
        group_text[group] = comment
        group_section[group] = section
        group_header[group] = header
        if (comment == "")
            fail(name " has no comment")
    }
    group_names[group] = group_names[group] (group_names[group] == "" ? "" : " ") name
    prototype[name] = proto
    group_of[name] = group
    section_names[section] = section_names[section] " " name
    if (!(section in section_seen)) {
        section_seen[section] = 1
        sections[++n_sections] = section
    }
    functions[++n_functions] = name
}

# One line inside a struct or an enum: a member, its comment, or more of the comment.
function member(line,   text, code, at) {
    if (line ~ /^[ \t]*$/ && !open_comment)
        constant = ""
    if (open_comment) {
        open_comment = line !~ /\*\//
        add_text(bare(line))
        return
    }
    at = index(line, "/*")
    code = at > 0 ? substr(line, 1, at - 1) : line
    text = at > 0 ? substr(line, at) : ""
    if (code ~ /^[ \t]*\}/ || (state == "enum" && code ~ /\};/)) {
        if (state == "enum" && code !~ /^[ \t]*\}/) {
            sub(/\};.*/, "", code)
            take_constants(code)
            if (text != "")
                add_text(bare(text))
        }
        state = ""
        return
    }
    if (state == "enum")
        take_constants(code)
    else
        take_fields(code)
    if (text != "") {
        open_comment = text !~ /\*\//
        sub(/[ \t]*\};?[ \t]*$/, "", text)
        add_text(bare(text))
        if (line ~ /\*\/[ \t]*\};/)
            state = ""
    }
}

function add_text(text) {
    if (text == "\f")
        return
    if (state == "enum" && constant != "")
        constant_text[constant] = constant_text[constant] (constant_text[constant] == "" ? "" : " ") text
    else if (state == "struct" && field != "")
        field_text[struct, field] = field_text[struct, field] (field_text[struct, field] == "" ? "" : " ") text
}

function take_constants(code,   n, parts, i, name) {
    n = split(code, parts, ",")
    for (i = 1; i <= n; i++) {
        name = parts[i]
        gsub(/[ \t]|=.*/, "", name)
        if (name !~ /^CACHE_/)
            continue
        constant = name
        constants[++n_constants] = name
    }
}

function take_fields(code,   type, name, n, parts, i) {
    sub(/^[ \t]*/, "", code)
    sub(/[ \t]*;[ \t]*$/, "", code)
    if (code == "" || code ~ /[()]/)
        return
    n = split(code, parts, ", *")
    for (i = 1; i <= n; i++) {
        name = parts[i]
        sub(/.*[ *]/, "", name)
        if (i == 1) {
            type = code
            sub(/,.*/, "", type)
            type = substr(type, 1, length(type) - length(name))
            sub(/ +$/, "", type)
        }
        sub(/\[.*/, "", name)
        field = name
        field_type[struct, field] = type
        fields[struct] = fields[struct] (fields[struct] == "" ? "" : " ") field
    }
}

# ---- writing --------------------------------------------------------------------------------------------------------

function put(line) { print line > page }

function flush_text() {
    if (filled != "")
        put(filled)
    filled = ""
}

function put_word(word) {
    gsub(/\\/, "\\e", word)
    if (filled != "" && length(filled) + length(word) + 1 > 78)
        flush_text()
    if (filled == "" && word ~ /^[.']/)
        word = "\\&" word
    filled = filled == "" ? word : filled " " word
    if (word ~ /[.]\)?$/)
        flush_text()
}

# A word that gets a macro, with the marks before and after it as the macro's own arguments.
function put_marked(macro, open, word, close_marks,   i, line) {
    flush_text()
    line = "." macro
    if (open != "")
        line = line " " open
    line = line " " word
    for (i = 1; i <= length(close_marks); i++)
        line = line " " substr(close_marks, i, 1)
    put(line)
}

function put_one(word, self,   open, marks, core) {
    open = ""
    core = word
    if (core ~ /^[(\[]/) {
        open = substr(core, 1, 1)
        core = substr(core, 2)
    }
    marks = ""
    while (core ~ /[].,;:)]$/ && core !~ /\(\)$/) {
        marks = substr(core, length(core)) marks
        core = substr(core, 1, length(core) - 1)
    }
    if (core ~ /^cache_[a-z0-9_]+(\(\))?$/) {
        sub(/\(\)$/, "", core)
        if (core == self)
            put_marked("Fn", open, core, marks)
        else if (core in prototype)
            put_marked("Xr", open, core " 3", marks)
        else
            put_marked("Vt", open, core, marks)
    } else if (core ~ /^CACHE_[A-Z0-9_]+\*?$/ || core == "NULL") {
        put_marked("Dv", open, core, marks)
    } else if (core ~ /^[a-z][a-z0-9]*(->|\[i\]\.)[a-z_>-]+$/ || core ~ /^[a-z0-9]+_[a-z0-9_]+$/) {
        put_marked("Va", open, core, marks)
    } else {
        put_word(word)
    }
}

function put_text(text, self,   n, words, i) {
    gsub(/\f/, " \f ", text)
    n = split(text, words, " ")
    for (i = 1; i <= n; i++) {
        if (words[i] == "\f") {
            flush_text()
            put(".Pp")
        } else {
            put_one(words[i], self)
        }
    }
    flush_text()
}

function put_prototype(name,   text, type, args, n, parts, i) {
    text = prototype[name]
    type = text
    sub(/ ?[a-z0-9_]+\(.*/, "", type)
    args = text
    sub(/^[^(]*\(/, "", args)
    sub(/\)$/, "", args)
    put(".Ft " type)
    put(".Fo " name)
    n = split(args, parts, ", *")
    for (i = 1; i <= n; i++)
        put(".Fa \"" parts[i] "\"")
    put(".Fc")
}

# The constants that a field's comment names with a star, as CACHE_CALL_*.
function put_flags(text, self,   prefix, i) {
    if (!match(text, /CACHE_[A-Z]+_\*/))
        return
    prefix = substr(text, RSTART, RLENGTH - 1)
    if (prefix == "CACHE_TTL_")
        return
    put(".Bl -tag -width Ds -compact")
    for (i = 1; i <= n_constants; i++) {
        if (index(constants[i], prefix) != 1)
            continue
        put(".It Dv " constants[i])
        put_text(constant_text[constants[i]], self)
    }
    put(".El")
}

# A declaration, a parameter a line.
function put_callback(text,   n, parts, i) {
    put(".Bd -literal -compact")
    n = split(text, parts, ", *")
    for (i = 1; i <= n; i++)
        put((i > 1 ? "    " : "") parts[i] (i < n ? "," : ""))
    put(".Ed")
}

function put_struct(name, self,   n, names, i, text, type) {
    put(".Pp")
    put(".Vt struct " name)
    put(name ~ /item$/ ? "has these fields:" : "has these fields; zero means the default:")
    put(".Bl -tag -width Ds")
    n = split(fields[name], names, " ")
    for (i = 1; i <= n; i++) {
        type = field_type[name, names[i]]
        text = field_text[name, names[i]]
        put(".It Vt " type " " (type ~ /\*$/ ? "Ns " : "") "Va " names[i])
        if (names[i] == "size")
            text = "Set by CACHE_" toupper(substr(name, 7)) "_INIT"
        if (names[i] ~ /_ctx$/ && text == "")
            text = "The first argument of that table's slots"
        if (text != "")
            put_text(text, self)
        if (names[i] == "flags")
            put_flags(text, self)
        if (type ~ /^cache_[a-z_]*_fn \*$/) {
            sub(/ \*$/, "", type)
            put_callback(callback[type])
            put_text(callback_text[type], self)
        }
    }
    put(".El")
}

# Constants in the text whose meaning it does not give itself, with their general one.
function put_meanings(text,   rest, name, known) {
    rest = text
    known = 0
    split("", put_already)
    while (match(rest, /CACHE_[A-Z_]+/)) {
        name = substr(rest, RSTART, RLENGTH)
        rest = substr(rest, RSTART + RLENGTH)
        if (rest ~ /^:/ || (name in put_already) || !(name in constant_text) || name == "CACHE_OK" || name ~ /_OPEN_/)
            continue
        put_already[name] = 1
        if (!known++) {
            put(".Pp")
            put("In general these mean:")
            put(".Bl -tag -width Ds -compact")
        }
        put(".It Dv " name)
        put_text(constant_text[name], "")
    }
    if (known)
        put(".El")
}

function sort_words(list, out,   n, i, j, swap) {
    n = split(list, out, " ")
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && out[j - 1] > out[j]; j--) {
            swap = out[j]
            out[j] = out[j - 1]
            out[j - 1] = swap
        }
    return n
}

function put_see_also(names, self,   n, sorted, i, last) {
    n = sort_words(names " tiercache", sorted)
    for (i = 1; i <= n; i++)
        if (sorted[i] != self)
            last = sorted[i]
    for (i = 1; i <= n; i++)
        if (sorted[i] != self)
            put(".Xr " sorted[i] " 3" (sorted[i] == last ? "" : " ,"))
}

function put_head(name) {
    put(".\\\" Made from include/ by docs/generate.sh; change it there.")
    put(".Dd November 21, 2026")
    put(".Dt " toupper(name) " 3")
    put(".Os")
    put(".Sh NAME")
}

function make_page(name,   g, text, returns, at, n, i, params, taken, s) {
    g = group_of[name]
    page = out "/" name ".3"
    put_head(name)
    if (!(name in brief))
        fail(name " has no line in docs/man/names")
    put(".Nm " name)
    put(".Nd " brief[name])
    put(".Sh LIBRARY")
    put("libtiercache; flags for compiler and linker:")
    put(".Ql pkg-config --cflags --libs tiercache")
    put(".Sh SYNOPSIS")
    put(".In " group_header[g])
    n = split(group_names[g], params, " ")
    for (i = 1; i <= n; i++)
        put_prototype(params[i])
    put(".Sh DESCRIPTION")
    text = group_text[g]
    returns = ""
    at = match(text, /(^|[.\f] *)Returns /)
    if (at > 0) {
        at += index(substr(text, at), "Returns ") - 1
        returns = substr(text, at)
        text = substr(text, 1, at - 1)
    }
    gsub(/[ \f]+$/, "", text)
    put_text(text, name)
    taken = prototype[name]
    while (match(taken, /const struct cache_[a-z_]*(opts|call) \*|struct cache_item \*/)) {
        s = substr(taken, RSTART, RLENGTH - 2)
        taken = substr(taken, RSTART + RLENGTH)
        sub(/.*struct /, "", s)
        if (s in fields && !(s == "cache_opts" && name != "cache_open"))
            put_struct(s, name)
    }
    if (returns != "") {
        put(".Sh RETURN VALUES")
        put_text(returns, name)
        put_meanings(returns)
    }
    if (prototype[name] ~ /struct cache \*c|struct cache_type \*t,/ && name != "cache_close") {
        put(".Pp")
        put("Any function that takes a cache can also return")
        put(".Dv CACHE_E_INVALID , CACHE_E_CLOSED")
        put("and")
        put(".Dv CACHE_E_FORKED .")
    } else if (prototype[name] ~ /^int / && returns !~ /CACHE_E_INVALID/) {
        put(".Pp")
        put("A null or malformed argument is")
        put(".Dv CACHE_E_INVALID .")
    }
    put(".Sh SEE ALSO")
    put_see_also(section_names[group_section[g]], name)
    close(page)
}

# ---- the overview ---------------------------------------------------------------------------------------------------

function put_results(   i) {
    put(".Bl -tag -width Ds -compact")
    for (i = 1; i <= n_constants; i++) {
        if (constants[i] !~ /^CACHE_(OK|MISS|ABSENT|QUEUED|BUSY|E_.*)$/ || constants[i] ~ /_USER_/)
            continue
        put(".It Dv " constants[i])
        put_text(constants[i] == "CACHE_OK" ? "it was done" : constant_text[constants[i]], "")
    }
    put(".El")
}

function put_functions(   i, n, names, k) {
    for (i = 1; i <= n_sections; i++) {
        put(".Ss " toupper(substr(sections[i], 1, 1)) substr(sections[i], 2))
        put(".Bl -tag -width Ds -compact")
        n = split(section_names[sections[i]], names, " ")
        for (k = 1; k <= n; k++) {
            put(".It Xr " names[k] " 3")
            put_word(brief[names[k]])
            flush_text()
        }
        put(".El")
    }
}

function make_overview(   i, all) {
    page = out "/tiercache.3"
    for (i = 1; i <= n_template; i++) {
        if (template[i] == "@RESULTS@") {
            put_results()
        } else if (template[i] == "@FUNCTIONS@") {
            put_functions()
        } else if (template[i] == "@SEEALSO@") {
            put_see_also("cache_open cache_type_register cache_key_init cache_get cache_set cache_fetch " \
                         "cache_invalidate cache_stats_read", "tiercache")
        } else {
            put(template[i])
        }
    }
    close(page)
}

END {
    if (n_functions == 0)
        fail("no function was found")
    for (i = 1; i <= n_functions; i++)
        make_page(functions[i])
    for (name in brief)
        if (!(name in prototype))
            fail("docs/man/names: there is no " name)
    make_overview()
    exit failed
}
