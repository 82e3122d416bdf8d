#!/bin/sh
# What a reader of the sources may rely on: no file too long to read in one sitting, none without a head comment that
# says what it is for, nothing left for later, and no call that a library must not make in its host's process.
set -u
cd "$(dirname "$0")/.." || exit 1
rc=0
complain() { echo "$*"; rc=1; }

# A test program mirrors one source file and lists its cases one after the other: it may be longer than what it tests.
max_lines() { case $1 in test/*.c) echo 700 ;; *) echo 500 ;; esac; }
for f in $(find src include test examples -name '*.[ch]' -o -name '*.sh' | LC_ALL=C sort) Makefile run .ci/*; do
    [ "$f" = include/tiercache.h ] && continue
    [ -f "$f" ] || continue
    n=$(wc -l < "$f")
    [ "$n" -le "$(max_lines "$f")" ] || complain "$f: $n lines, at most $(max_lines "$f")"
done

for f in $(find src include test examples -name '*.[ch]' | LC_ALL=C sort); do
    head -n 1 "$f" | grep -q '^/\*' || complain "$f: does not begin with a comment that says what it is for"
done

# Spelt so that this file does not find itself.
left=$(printf '%s' 'TO' 'DO|FIX' 'ME|X' 'XX')
if grep -rnwE "$left" src include test examples Makefile run pkgconfig 2> /dev/null; then
    complain 'something was left for later'
fi

# Comments and strings may name the calls; code may not make them.
banned='sleep usleep signal sprintf vsprintf strcpy strcat gets exit _exit abort printf fprintf vfprintf puts fputs perror \
system popen longjmp siglongjmp setlocale setenv putenv strtok rand srand'
# shellcheck disable=SC2016
find src -name '*.[ch]' | LC_ALL=C sort | xargs awk -v banned="$banned" '
BEGIN { n = split(banned, b, " "); for (i = 1; i <= n; i++) is_banned[b[i]] = 1 }
FNR == 1 { in_comment = 0 }
{
    line = $0
    code = ""
    while (line != "") {
        if (in_comment) {
            end = index(line, "*/")
            if (end == 0)
                break
            line = substr(line, end + 2)
            in_comment = 0
        } else if (match(line, /^("([^"\\]|\\.)*"|\047([^\047\\]|\\.)*\047)/)) {
            line = substr(line, RLENGTH + 1)
        } else if (substr(line, 1, 2) == "/*") {
            in_comment = 1
            line = substr(line, 3)
        } else if (substr(line, 1, 2) == "//") {
            break
        } else {
            code = code substr(line, 1, 1)
            line = substr(line, 2)
        }
    }
    while (match(code, /(^|[^A-Za-z0-9_.>])[A-Za-z_][A-Za-z0-9_]*[ \t]*\(/)) {
        name = substr(code, RSTART, RLENGTH)
        gsub(/[^A-Za-z0-9_]/, "", name)
        if (name in is_banned) {
            print FILENAME ":" FNR ": " name "() in a library: " $0
            bad = 1
        }
        code = substr(code, RSTART + RLENGTH - 1)
    }
}
END { exit bad }' || rc=1

exit $rc
