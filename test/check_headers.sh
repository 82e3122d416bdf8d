#!/bin/sh
# Each public header compiles alone, as C11 and as C++11, pedantically, and so do all of them, whichever comes first; with
# TIERCACHE_PREFIX whatever comes first.
set -u
cd "$(dirname "$0")/.." || exit 1
CC=${CC:-cc} CXX=${CXX:-g++}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
rc=0

headers=$(cd include && find . -name '*.h' | sed 's|^\./||' | LC_ALL=C sort)
strict='-Wall -Wextra -Wpedantic -Werror -Wshadow -Iinclude -fsyntax-only'

compile() { # compile NAME FLAGS...: the translation unit on standard input, as C and as C++
    name=$1
    shift
    cat > "$tmp/t.c"
    cp "$tmp/t.c" "$tmp/t.cpp"
    # shellcheck disable=SC2086
    $CC -std=c11 $strict "$@" "$tmp/t.c" || { echo "$name: not valid C11"; rc=1; }
    # shellcheck disable=SC2086
    $CXX -std=c++11 $strict "$@" "$tmp/t.cpp" || { echo "$name: not valid C++11"; rc=1; }
}

if ! command -v "${CXX%% *}" > /dev/null; then
    echo "a C++ compiler ($CXX) is needed"
    exit 1
fi

for h in $headers; do
    printf '#include "%s"\n#include "%s"\nextern int only;\n' "$h" "$h" | compile "$h"
done

use='
int use(struct cache_opts *o, const struct cache_backend_ops *b, const struct cache_ttl_ops *t);
int use(struct cache_opts *o, const struct cache_backend_ops *b, const struct cache_ttl_ops *t)
{
    struct cache_type_opts type = CACHE_TYPE_OPTS_INIT;
    struct cache_opts opts = CACHE_OPTS_INIT;
    struct cache_call call = CACHE_CALL_INIT;
    struct cache_set_opts set = CACHE_SET_OPTS_INIT;
    struct cache_fetch_opts fetch = CACHE_FETCH_OPTS_INIT;
    type.ttl_policy = t;
    opts.backend = b;
    *o = opts;
    return (int)(type.size + call.size + set.size + fetch.size);
}'
for first in $headers; do
    order=$(for h in "$first" $headers; do printf '#include "%s"\n' "$h"; done)
    printf '%s\n%s\n' "$order" "$use" | compile "$first, then all headers"
    printf '%s\n%s\n' "$order" "$use" | compile "$first, then all headers, with TIERCACHE_PREFIX" -DTIERCACHE_PREFIX=foo_
done
exit $rc
