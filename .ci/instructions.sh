#!/bin/sh
# How many instructions a hit takes, a miss, a set that replaces and one that evicts, building a key, and a hit with a key
# that was just built: counted by callgrind, whatever the machine's load.
# Fails above the bounds, which leave a few hundredths for another compiler; who makes the way longer raises them here,
# on purpose. The system call and the clock's code in the vDSO are counted as far as callgrind sees them.
#   .ci/instructions.sh
set -eu
cd "$(dirname "$0")/.."
build=${BUILD:-build/release}
command -v valgrind > /dev/null || { echo 'skipped: valgrind is not installed'; exit 77; }
make -s lib
${CC:-cc} -O2 -g -Iinclude -o "$build/count_calls" test/count/count_calls.c "$build/libtiercache.a" \
    -lhiredis -lxxhash -pthread
bad=0

# Two runs that differ by 100,000 calls: what else the function does in them is the same.
collected() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect="$1" "$build/count_calls" "$2" "$3" 2>&1 |
        sed -n 's/^==[0-9]*== Collected : \([0-9]*\).*/\1/p'
}

bound() { # bound FUNCTION WHAT MOST
    few=$(collected "$1" "$2" 20000)
    many=$(collected "$1" "$2" 120000)
    if [ -z "$few" ] || [ -z "$many" ]; then
        echo "$2: nothing was counted"
        bad=1
        return
    fi
    each=$(((many - few + 50000) / 100000))
    echo "$2: $each instructions, at most $3"
    [ "$each" -gt 50 ] && [ "$each" -le "$3" ] || bad=1
}

bound counted_get get 258
bound counted_pin pin 326
bound counted_set set 420
bound counted_miss miss 670
bound counted_set evict 1640
bound counted_build build 230
bound counted_get first 320
exit $bad
