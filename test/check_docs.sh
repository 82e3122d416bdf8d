#!/bin/sh
# What the documentation says that a machine can check: generated pages are current, every public function has a man
# page and mandoc finds nothing wrong with it, links and paths lead somewhere, what is shown as a complete program
# compiles, and the tests that docs/faults.md names exist. Prints a line for each problem, nothing otherwise.
set -u
cd "$(dirname "$0")/.." || exit 1
CC=${CC:-cc}
LC_ALL=C
export LC_ALL
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
rc=0
fail() { echo "$*"; rc=1; }

# ---- what is generated ----------------------------------------------------------------------------------------------

sh docs/generate.sh "$tmp/docs" || fail 'docs/generate.sh failed'
for f in docs/man/*.3 "$tmp"/docs/man/*.3; do
    page=docs/man/${f##*/}
    if [ ! -f "$page" ]; then
        fail "$page is missing: docs/generate.sh"
    elif [ ! -f "$tmp/$page" ]; then
        fail "$page is of no function: docs/generate.sh"
    fi
done
for f in docs/man/*.3 docs/statistics.md; do
    if [ -f "$tmp/$f" ] && ! cmp -s "$f" "$tmp/$f"; then
        fail "$f is not current: docs/generate.sh"
    fi
done

# ---- man pages ------------------------------------------------------------------------------------------------------

while read -r name; do
    [ -f "docs/man/$name.3" ] || fail "docs/man/$name.3 is missing: $name() is public"
done < src/api/exports.txt

# Not everybody who builds the library has it; .ci/run does.
if command -v mandoc > /dev/null; then
    mandoc -T lint -W warning docs/man/*.3 > "$tmp/lint" 2>&1
    [ ! -s "$tmp/lint" ] || { cat "$tmp/lint"; rc=1; }
fi

# ---- links, anchors, and paths in backquotes ------------------------------------------------------------------------

pages=$(find README.md CHANGELOG.md CONTRIBUTING.md docs -name '*.md' | sort)

# shellcheck disable=SC2086
awk '
# As GitHub makes them: lower case, blanks to hyphens, everything else but letters, digits, - and _ dropped.
function slug(text) {
    text = tolower(text)
    gsub(/[^a-z0-9_ -]/, "", text)
    gsub(/ /, "-", text)
    return text
}
FNR == 1 { fenced = 0; dir = FILENAME; if (!sub(/[^\/]*$/, "", dir)) dir = "" }
/^```/ { fenced = !fenced; next }
fenced { next }
/^#+ / {
    text = $0
    sub(/^#+ /, "", text)
    print "anchor", FILENAME "#" slug(text)
}
{
    rest = $0
    while (match(rest, /\]\([^) ]+\)/)) {
        link = substr(rest, RSTART + 2, RLENGTH - 3)
        rest = substr(rest, RSTART + RLENGTH)
        if (link ~ /^[a-z]+:/)
            continue
        print "link", FILENAME ":" FNR, (link ~ /^#/ ? FILENAME : dir) link
    }
    rest = $0
    while (match(rest, /`(src|test|docs|include|examples|pkgconfig|\.ci)\/[A-Za-z0-9_.\/-]*[A-Za-z0-9_\/]`/)) {
        print "path", FILENAME ":" FNR, substr(rest, RSTART + 1, RLENGTH - 2)
        rest = substr(rest, RSTART + RLENGTH)
    }
}' $pages > "$tmp/found"
grep "^anchor " "$tmp/found" > "$tmp/anchors"
grep -v "^anchor " "$tmp/found" > "$tmp/targets"

# docs/decisions/../faults.md and docs/faults.md are one place.
normal() {
    echo "$1" | sed -e ':a' -e 's|[^/.][^/]*/\.\./||' -e 'ta'
}
while read -r what where target; do
    case $what in
    path)
        [ -e "$target" ] || fail "$where: there is no $target" ;;
    link)
        target=$(normal "$target")
        file=${target%%#*}
        if [ ! -e "$file" ]; then
            fail "$where: the link to $target leads nowhere"
        elif [ "$file" != "$target" ] && ! grep -qxF "anchor $target" "$tmp/anchors"; then
            fail "$where: $file has no heading #${target#*#}"
        fi ;;
    esac
done < "$tmp/targets"

# ---- programs: ```c complete in a page, and the man page's example --------------------------------------------------

# shellcheck disable=SC2086
awk -v tmp="$tmp" '
/^```c complete/ { out = tmp "/program" ++n ".c"; printf "#line %d \"%s\"\n", FNR + 1, FILENAME > out; next }
/^```/ { if (out != "") close(out); out = ""; next }
out != "" { print > out }' $pages
awk -v out="$tmp/program0.c" '
/^\.Ed/ { inside = 0 }
inside { print > out }
/^\.Bd -literal$/ { inside = 1 }' docs/man/tiercache.3
programs=0
for f in "$tmp"/program*.c; do
    [ -s "$f" ] || continue
    programs=$((programs + 1))
    $CC -std=c11 -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only "$f" || fail 'an example does not compile'
done
[ "$programs" -ge 2 ] || fail "only $programs complete programs were found in the pages: the check is blind"

# ---- docs/faults.md: rows are | case | what happens | tests | -------------------------------------------------------

awk -F '|' '/^\| *[0-9]+ *\|/ {
    case_id = $2
    gsub(/ /, "", case_id)
    tests = $4
    file = ""
    while (match(tests, /`[A-Za-z0-9_\/.]+`/)) {
        name = substr(tests, RSTART + 1, RLENGTH - 2)
        tests = substr(tests, RSTART + RLENGTH)
        if (name ~ /\//)
            file = "test/" name
        else
            print case_id, file, name
    }
}' docs/faults.md > "$tmp/cases"
[ -s "$tmp/cases" ] || fail 'docs/faults.md names no test: the check is blind'
while read -r case_id file name; do
    if [ ! -f "$file" ]; then
        fail "docs/faults.md: case $case_id: there is no $file"
    else
        grep -q "^static void $name(" "$file" \
            || fail "docs/faults.md: case $case_id: $file has no test $name"
    fi
done < "$tmp/cases"
exit $rc
