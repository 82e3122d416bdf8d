#!/bin/sh
# Installs into a temporary root and uses what lies there as a stranger would: pkg-config, shared and static, C and C++,
# a module that is loaded at run time, a program with its own cache_get(), a library with renamed symbols. Then
# uninstalls and looks for what is left.
set -u
cd "$(dirname "$0")/.." || exit 1
CC=${CC:-cc} CXX=${CXX:-g++} MAKE=${TC_MAKE:-make} BUILD=${BUILD:-build/release} NM=${NM:-nm} READELF=${READELF:-readelf}
PKG_CONFIG=${PKG_CONFIG:-pkg-config}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
rc=0
fail() { echo "$*"; rc=1; }
die() { echo "$*"; exit 1; }

stage() { # stage DIR: pkg-config sees what was staged there, at the place where it lies
    PKG_CONFIG_PATH=$1/opt/tc/lib/multi/pkgconfig
    export PKG_CONFIG_PATH
    prefix="--define-variable=prefix=$1/opt/tc"
}

# A library directory of the packager's own (Debian's lib/<triplet>) below the prefix, and a staging root.
root=$tmp/root
set -- BUILD="$BUILD" CC="$CC" PREFIX=/opt/tc LIBDIR=/opt/tc/lib/multi DESTDIR="$root"
$MAKE "$@" install > "$tmp/log" 2>&1 || { cat "$tmp/log"; die 'make install failed'; }
stage "$root"

pc=$PKG_CONFIG_PATH/tiercache.pc
want=$($MAKE -s print-version)
got=$($PKG_CONFIG --modversion tiercache)
[ "${got:-nothing}" = "$want" ] || fail "pkg-config --modversion says '$got', the header '$want'"
grep -q "$root" "$pc" && fail 'tiercache.pc names the staging root'
grep -q '^Requires' "$pc" && fail 'tiercache.pc must not require the .pc of a private library'
[ "$($PKG_CONFIG --variable=libdir tiercache)" = /opt/tc/lib/multi ] || fail 'tiercache.pc: wrong libdir'
case "$($PKG_CONFIG --cflags tiercache)" in *hiredis*) fail 'tiercache.pc leaks the flags of hiredis' ;; esac
case "$($PKG_CONFIG --libs tiercache)" in *hiredis*) fail 'tiercache.pc makes users of the shared library link hiredis' ;; esac

# build NAME COMPILER SOURCE...: against the staged shared library, then against the static one; both must run
build() {
    name=$1
    shift
    # shellcheck disable=SC2046,SC2086
    "$@" -o "$tmp/$name.shared" $($PKG_CONFIG "$prefix" --cflags --libs tiercache) > "$tmp/log" 2>&1 \
        || { cat "$tmp/log"; fail "$name: does not build against the shared library"; return; }
    LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH") timeout 30 "$tmp/$name.shared" > "$tmp/log" 2>&1 \
        || { cat "$tmp/log"; fail "$name: built shared, does not run"; }
    # shellcheck disable=SC2046
    "$@" -o "$tmp/$name.static" $($PKG_CONFIG "$prefix" --cflags tiercache) \
        "$(dirname "$PKG_CONFIG_PATH")/libtiercache.a" \
        $($PKG_CONFIG --static --libs-only-l --libs-only-other tiercache | sed 's/-ltiercache//') > "$tmp/log" 2>&1 \
        || { cat "$tmp/log"; fail "$name: does not build against the static library"; return; }
    timeout 30 "$tmp/$name.static" > "$tmp/log" 2>&1 || { cat "$tmp/log"; fail "$name: built static, does not run"; }
}

cp examples/quickstart.c "$tmp/quickstart.c"
cat > "$tmp/cxx.cpp" <<'END'
// The quick start's calls from C++: nothing in the headers needs C.
#include <cstring>
#include <tiercache.h>
#include <tiercache/backend.h>
#include <tiercache/hooks.h>
int main()
{
    struct cache_opts opts = CACHE_OPTS_INIT;
    struct cache_type_opts type_opts = CACHE_TYPE_OPTS_INIT;
    struct cache *c;
    struct cache_type *t;
    struct cache_key k;
    struct cache_value v;
    type_opts.name = "page";
    if (cache_version() != TIERCACHE_VERSION || cache_open(&opts, &c, nullptr, 0) != CACHE_OK ||
        cache_type_register(c, &type_opts, &t) != CACHE_OK)
        return 1;
    cache_key_u64(cache_key_init(&k, t), 42);
    if (cache_set(c, &k, "hello", 5, nullptr) != CACHE_OK || cache_get(c, &k, nullptr, &v) != CACHE_OK)
        return 2;
    int rc = v.len == 5 && std::memcmp(v.data, "hello", 5) == 0 ? 0 : 3;
    cache_value_release(&v);
    cache_key_fini(&k);
    return cache_close(c, 1000) == CACHE_OK ? rc : 4;
}
END
# shellcheck disable=SC2086
build quickstart-c $CC -Wall "$tmp/quickstart.c"
# shellcheck disable=SC2086
build quickstart-cxx $CXX -std=c++11 -Wall -Wpedantic -Werror "$tmp/cxx.cpp"

# A module that a host loads when it runs, as servers and interpreters do: the shared library comes with it, or the static
# one lies in it. Of memory that all threads already have (static TLS) the host keeps hardly any for those that come late.
cat > "$tmp/module.c" <<'END'
#include <tiercache.h>
int use(void);
int use(void)
{
    struct cache_opts opts = CACHE_OPTS_INIT;
    struct cache_type_opts type_opts = CACHE_TYPE_OPTS_INIT;
    struct cache *c;
    struct cache_type *t;
    struct cache_key k;
    char buf[8];
    type_opts.name = "page";
    if (cache_open(&opts, &c, 0, 0) != CACHE_OK || cache_type_register(c, &type_opts, &t) != CACHE_OK)
        return 1;
    cache_key_u64(cache_key_init(&k, t), 42);
    int rc = cache_get_copy(c, &k, buf, sizeof buf, 0) == CACHE_MISS &&
             cache_set(c, &k, "hello", 5, 0) == CACHE_OK &&
             cache_get_copy(c, &k, buf, sizeof buf, 0) == CACHE_OK ? 0 : 2;
    return cache_close(c, 1000) == CACHE_OK ? rc : 3;
}
END
cat > "$tmp/host.c" <<'END'
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
static void *call(void *use)
{
    return ((int (*)(void))use)() == 0 ? NULL : use;
}
int main(int argc, char **argv)
{
    void *module = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    void *use = module != NULL ? dlsym(module, "use") : NULL;
    pthread_t thread;
    void *failed = use;
    if (use == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    if (call(use) != NULL || pthread_create(&thread, NULL, call, use) != 0 || pthread_join(thread, &failed) != 0)
        return 2;
    return failed == NULL && dlclose(module) == 0 ? 0 : 3;
}
END
$CC -o "$tmp/host" "$tmp/host.c" -ldl -pthread > "$tmp/log" 2>&1 || { cat "$tmp/log"; fail 'the host does not build'; }
# shellcheck disable=SC2046
$CC -fPIC -shared -o "$tmp/module.shared.so" "$tmp/module.c" $($PKG_CONFIG "$prefix" --cflags --libs tiercache) \
    > "$tmp/log" 2>&1 || { cat "$tmp/log"; fail 'a module does not build against the shared library'; }
# shellcheck disable=SC2046
$CC -fPIC -shared -o "$tmp/module.static.so" "$tmp/module.c" $($PKG_CONFIG "$prefix" --cflags tiercache) \
    "$(dirname "$PKG_CONFIG_PATH")/libtiercache.a" \
    $($PKG_CONFIG --static --libs-only-l --libs-only-other tiercache | sed 's/-ltiercache//') \
    > "$tmp/log" 2>&1 || { cat "$tmp/log"; fail 'a module does not build with the static library in it'; }
for module in "$tmp/module.shared.so" "$tmp/module.static.so"; do
    LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH") GLIBC_TUNABLES=glibc.rtld.optional_static_tls=0 \
        timeout 30 "$tmp/host" "$module" > "$tmp/log" 2>&1 \
        || { rc_host=$?; cat "$tmp/log"; fail "$(basename "$module"): loaded, used, unloaded: exit status $rc_host"; }
done
for lib in "$(dirname "$PKG_CONFIG_PATH")/libtiercache.so" "$tmp/module.static.so"; do
    ! $READELF -dW "$lib" | grep -q STATIC_TLS || fail "$(basename "$lib") wants static thread-local memory"
done

# Two objects with their own cache_get(): the static link must stop instead of taking one of them silently.
printf 'int cache_get(void);\nint cache_get(void) { return 0; }\n' > "$tmp/own.c"
# shellcheck disable=SC2046
$CC -o "$tmp/clash" "$tmp/quickstart.c" "$tmp/own.c" $($PKG_CONFIG "$prefix" --cflags tiercache) \
    "$(dirname "$PKG_CONFIG_PATH")/libtiercache.a" -lhiredis -lxxhash -pthread > "$tmp/log" 2>&1 \
    && fail 'a program with its own cache_get() linked'
grep -q 'multiple definition.*cache_get\|duplicate symbol.*cache_get' "$tmp/log" \
    || { cat "$tmp/log"; fail 'a program with its own cache_get() failed to link for another reason'; }

$MAKE "$@" uninstall > "$tmp/log" 2>&1 || { cat "$tmp/log"; fail 'make uninstall failed'; }
left=$(find "$root" ! -type d)
[ -z "$left" ] || fail "make uninstall left: $left"
for d in include/tiercache lib/multi/pkgconfig share/man/man3; do
    [ ! -d "$root/opt/tc/$d" ] || fail "make uninstall left $d"
done
# A directory with somebody else's file stays, and so does the file.
$MAKE "$@" install > "$tmp/log" 2>&1 || { cat "$tmp/log"; fail 'the second make install failed'; }
: > "$root/opt/tc/share/man/man3/other.3"
$MAKE "$@" uninstall > "$tmp/log" 2>&1 || { cat "$tmp/log"; fail 'make uninstall failed beside a file of others'; }
left=$(find "$root" ! -type d)
[ "$left" = "$root/opt/tc/share/man/man3/other.3" ] || fail "make uninstall beside a file of others left: $left"

# What the tests link keeps its assertions whatever the user's flags are, and what is installed has none.
set -- BUILD="$tmp/flags" CC="$CC" CPPFLAGS='-DNDEBUG' CFLAGS='-O0 -DNDEBUG'
$MAKE "$@" "$tmp/flags/dbg/src/platform/lock.o" > "$tmp/log" 2>&1 || { cat "$tmp/log"; fail 'no build with -DNDEBUG'; }
$NM "$tmp/flags/dbg/src/platform/lock.o" | grep -q __assert_fail \
    || fail '-DNDEBUG took the assertions out of the tests'
set -- BUILD="$tmp/flags" CC="$CC" CPPFLAGS='-UNDEBUG' CFLAGS='-O0 -UNDEBUG'
$MAKE "$@" "$tmp/flags/obj/src/platform/lock.o" > "$tmp/log" 2>&1 || { cat "$tmp/log"; fail 'no build with -UNDEBUG'; }
! $NM "$tmp/flags/obj/src/platform/lock.o" | grep -q __assert_fail || fail '-UNDEBUG put assertions into the library'

# The way out for that program: the same with SYMBOL_PREFIX.
root=$tmp/renamed
$MAKE -j2 BUILD="$tmp/build" CC="$CC" CFLAGS=-O0 SYMBOL_PREFIX=zz_ PREFIX=/opt/tc LIBDIR=/opt/tc/lib/multi DESTDIR="$root" \
    install > "$tmp/log" 2>&1 || { cat "$tmp/log"; die 'make SYMBOL_PREFIX=zz_ install failed'; }
stage "$root"
other=$($NM -D --defined-only "$(dirname "$PKG_CONFIG_PATH")/libtiercache.so" | sed 's/.* //; s/@.*//' \
    | grep -v '^zz_cache_\|^TIERCACHE_')
[ -z "$other" ] || fail "SYMBOL_PREFIX=zz_ exports $other"
# shellcheck disable=SC2086
build renamed-c $CC -Wall "$tmp/quickstart.c" "$tmp/own.c"
# shellcheck disable=SC2086
build renamed-cxx $CXX -std=c++11 "$tmp/cxx.cpp"
exit $rc
