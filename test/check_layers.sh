#!/bin/sh
# The layers: api -> tier -> policy -> base -> platform. A file in src/<layer>/ includes its own layer and those below,
# by path from src/ ("tier/l1/l1.h"), and third-party headers only where they belong. Public headers include none.
set -u
cd "$(dirname "$0")/.." || exit 1

# shellcheck disable=SC2016
find src include -name '*.[ch]' | LC_ALL=C sort | xargs awk '
function fail(why) { print FILENAME ":" FNR ": " why ": " $0; bad = 1 }
BEGIN {
    split("platform base policy tier api", names, " ")
    for (i in names)
        rank[names[i]] = i
}
FNR == 1 {
    n = split(FILENAME, path, "/")
    public = path[1] == "include"
    layer = path[2]
    if (!public && !(layer in rank))
        fail("not in a layer")
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, q, "\"")
    split(q[2], inc, "/")
    files++
    if (q[2] ~ /^tiercache(\.h$|\/)/)
        next
    if (public)
        fail("a public header includes only public headers")
    else if (!(inc[1] in rank))
        fail("include by path from src/")
    else if (rank[inc[1]] > rank[layer])
        fail("layer " layer " may not include layer " inc[1])
}
/^[ \t]*#[ \t]*include[ \t]*</ {
    if (public && $0 !~ /<std(def|int)\.h>/)
        fail("a public header includes only <stddef.h> and <stdint.h>")
    if ($0 ~ /<hiredis\// && FILENAME !~ /^src\/tier\/redis/)
        fail("hiredis is the business of src/tier/redis")
}
END {
    if (files == 0) {
        print "no include was seen: the check is blind"
        bad = 1
    }
    exit bad
}'
