#!/bin/sh
# Makes what is generated of the documentation: the man pages from the comments of the public headers, the table in
# docs/statistics.md from the table of statistics, the tests in docs/faults.md from the tests' comments.
# test/check_docs.sh compares the first two with what is in the tree.
#   docs/generate.sh         writes docs/man/*.3, docs/statistics.md and docs/faults.md
#   docs/generate.sh DIR     writes them below DIR instead
set -u
cd "$(dirname "$0")/.." || exit 1
out=${1:-docs}
LC_ALL=C
export LC_ALL
mkdir -p "$out/man" || exit 1

# fill PAGE SCRIPT FILE...: the page, with what the script makes of the files filled in
fill() {
    page=$1
    script=$2
    shift 2
    awk -f "docs/$script" "$@" "docs/$page" > "$out/$page.new" || { rm -f "$out/$page.new"; exit 1; }
    mv "$out/$page.new" "$out/$page"
}

rm -f "$out"/man/*.3
awk -v out="$out/man" -f docs/mkman.awk docs/man/names docs/man/tiercache.3.in include/tiercache.h \
    include/tiercache/hooks.h || exit 1
fill statistics.md mkstats.awk include/tiercache/stats.h
fill faults.md mkfaults.awk test/*/*.c
