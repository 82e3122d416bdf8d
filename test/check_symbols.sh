#!/bin/sh
# The names that the library shows are those of src/api/exports.txt, no more and no less: in the headers, in the shared
# library, in the static one. The list in include/tiercache/symbols.h renames all of them and every struct tag.
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build/release} NM=${NM:-nm} READELF=${READELF:-readelf}
LC_ALL=C
export LC_ALL
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
rc=0

same() { # same WANTED FOUND WHAT
    diff -u "$1" "$2" > "$tmp/diff" && return
    echo "$3 (- wanted, + found):"
    sed 1,2d "$tmp/diff"
    rc=1
}

public=$(find include -name '*.h' ! -name symbols.h | sort)
sort -u src/api/exports.txt > "$tmp/exports"
same "$tmp/exports" src/api/exports.txt 'src/api/exports.txt is not sorted'
[ -s "$tmp/exports" ] || { echo 'src/api/exports.txt is empty'; exit 1; }

# shellcheck disable=SC2086
cat $public | grep -v '^#' | tr '\n' ' ' | grep -o 'TIERCACHE_API[^;]*;' \
    | sed 's/^[^(]*[ *]\(cache_[a-z0-9_]*\)(.*/\1/' | sort -u > "$tmp/declared"
same "$tmp/exports" "$tmp/declared" 'src/api/exports.txt differs from the TIERCACHE_API declarations'

{
    cat "$tmp/exports"
    # shellcheck disable=SC2086
    grep -oh 'struct cache[a-z0-9_]*' $public | sed 's/struct //'
    # shellcheck disable=SC2086
    grep -oh 'cache_[a-z0-9_]*_fn\b' $public
} | sort -u | sed 's/.*/#define & TIERCACHE_NAME(&)/' > "$tmp/rename"
grep '^#define [a-z]' include/tiercache/symbols.h > "$tmp/renamed"
same "$tmp/rename" "$tmp/renamed" 'include/tiercache/symbols.h does not rename what the headers declare'

names() { sed 's/.* //; s/@.*//' | grep -v '^TIERCACHE_[0-9.]*$' | sort -u; }

so=$BUILD/libtiercache.so
$NM -D --defined-only "$so" | names > "$tmp/so"
same "$tmp/exports" "$tmp/so" "$so exports something else"

$NM -g --defined-only "$BUILD/libtiercache.a" | grep ' [A-Z] ' | names > "$tmp/a"
same "$tmp/exports" "$tmp/a" "$BUILD/libtiercache.a shows something else"

# What check_sources.sh looks for in our text must not come in through a macro of another library either.
if $NM -D --undefined-only "$so" | names | grep -xE '_?exit|abort|f?printf|puts|perror|signal|u?sleep|system|longjmp'; then
    echo "$so calls what a library must not"
    rc=1
fi

soname=$($READELF -dW "$so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
[ -e "$BUILD/$soname" ] || { echo "SONAME '$soname' names no file"; rc=1; }
$READELF -dW "$so" | grep -q 'BIND_NOW\|FLAGS.*NOW' || { echo "$so: not bound at load time"; rc=1; }
if $READELF -lW "$so" | grep 'GNU_STACK' | grep -q 'RWE'; then
    echo "$so: wants an executable stack"
    rc=1
fi
exit $rc
