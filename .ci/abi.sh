#!/bin/sh
# Compares the shared library's interface, types included, with abi/libtiercache.abi. Adding a function passes; removing
# or changing anything fails, and wants a new SONAME (a minor release while the version is 0.x) and a new record.
#   .ci/abi.sh            compare           .ci/abi.sh --update   write the record
set -u
cd "$(dirname "$0")/.." || exit 1
record=abi/libtiercache.abi
for t in abidw abidiff; do
    command -v $t > /dev/null || { echo "$t is not installed (abigail-tools)"; exit 77; }
done
[ "$(uname -m)" = x86_64 ] || { echo "the record is of x86_64, this is $(uname -m)"; exit 77; }
# Records depend a little on the compiler and its flags, so these are always the same.
make -s -j2 BUILD=build/abi CC=gcc CFLAGS='-O2 -g' CPPFLAGS='' LDFLAGS='' SYMBOL_PREFIX='' lib || exit 1
lib=build/abi/libtiercache.so

if [ "${1:-}" = --update ]; then
    mkdir -p abi
    exec abidw --headers-dir include --no-corpus-path --no-comp-dir-path --no-elf-needed \
        --drop-private-types --drop-undefined-syms --short-locs --out-file "$record" "$lib"
fi

soname() { sed -n "s/.*soname='\([^']*\)'.*/\1/p" "$1" | head -n 1; }
[ -s "$record" ] || { echo "$record is missing: .ci/abi.sh --update"; exit 1; }
now=$(readelf -dW "$lib" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
if [ "$(soname "$record")" != "$now" ]; then
    echo "$record is of $(soname "$record"), the library is $now: .ci/abi.sh --update"
    exit 1
fi
abidiff --no-added-syms --headers-dir2 include --drop-private-types "$record" "$lib" \
    || { echo "the ABI changed (abidiff exit status $?)"; exit 1; }
