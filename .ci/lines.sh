#!/bin/sh
# How many lines of memory, of 64 bytes, a hit touches, and a set that replaces: counted by callgrind's simulation of a
# cache, with 100,000 entries. Its own are those that none of 128 other calls touched, made just before for keys stored
# at about the same time: of table and entry. What all calls share (stack, the thread's record, the cache, maps, the
# key's and the value's memory) is in the sum. Written: of its own lines, those that have to go back to memory.
# How much of the stack that is depends on where it begins, which goes by the length of the environment: it is the mean
# of four beginnings, 16 bytes apart.
# Fails above the bounds, which leave a few hundredths; who makes calls touch more raises them here, on purpose. What
# the kernel touches, and the clock's code in the vDSO, callgrind does not see.
#   .ci/lines.sh
set -eu
cd "$(dirname "$0")/.."
build=${BUILD:-build/release}
cache_bytes=1048576
command -v valgrind > /dev/null || { echo 'skipped: valgrind is not installed'; exit 77; }
make -s lib
${CC:-cc} -O2 -g -Iinclude -o "$build/count_lines" test/count/count_lines.c "$build/libtiercache.a" \
    -lhiredis -lxxhash -pthread
out=$build/count_lines.out
bad=0

bound() { # bound VERB VALUE_BYTES OWN WRITTEN ALL: the last three at most
    rm -f "$out".[1-4]
    pad=
    for n in 1 2 3 4; do
        if ! env -i PATH="$PATH" PAD="$pad" valgrind --tool=callgrind --cache-sim=yes --simulate-wb=yes \
            --D1="$cache_bytes,16,64" --LL="$cache_bytes,16,64" --instr-atstart=no --toggle-collect=counted_call \
            --toggle-collect=counted_sweep --callgrind-out-file="$out.$n" --combine-dumps=yes \
            "$build/count_lines" "$1" "$2" "$cache_bytes" > "$out.log" 2>&1; then
            tail -n 5 "$out.log"
            exit 1
        fi
        pad=$pad................
    done
    awk -v call="$1, $2 bytes" -v most_own="$3" -v most_written="$4" -v most="$5" '
    function sum(names,   part, n, i, s) {
        n = split(names, part, " ")
        for (i = 1; i <= n; i++) {
            nothing = nothing || !(part[i] in at)
            s += $at[part[i]]
        }
        return s
    }
    FNR == 1 { runs++; fewer = 0 }
    /^desc: Trigger:/ { what = $3 == "Client" ? $5 : ""; times = $6; calls = $7 }
    /^events:/ { for (i = 2; i <= NF; i++) at[$i] = i }
    /^totals:/ && (what == "touched" || what == "own") { missed[what] += sum("D1mr D1mw") / times; found[what]++ }
    # What calls share goes back once, however many calls there were: the difference of two numbers of them counts.
    /^totals:/ && what == "written" {
        back = sum("ILdmr DLdmr DLdmw") / times
        if (back <= 1)
            nothing = 1
        if (fewer > 0) {
            written += (back - back_of_fewer) / (calls - fewer)
            found[what]++
        }
        back_of_fewer = back
        fewer = calls
    }
    END {
        own = missed["own"] / runs
        all = missed["touched"] / runs
        written /= runs
        printf "%-16s own %5.2f, at most %5.2f; written of these %5.2f, at most %5.2f; all %6.2f, at most %g\n",
            call ":", own, most_own, written, most_written, all, most
        # Less than table and entry, or nothing that is shared: then nothing was counted.
        if (nothing || runs != 4 || found["own"] != 4 || found["touched"] != 4 || found["written"] != 4)
            exit 1
        exit !(own >= 2 && own <= most_own && written <= most_written && all > own + 10 && all <= most)
    }' "$out".[1-4] || bad=1
}

bound get 8 2.8 0.05 33
bound get 64 3.7 0.05 35
bound get 1024 18.4 0.05 68
bound pin 8 2.7 1.05 34
bound pin 64 2.7 1.05 34
bound pin 1024 2.7 1.05 34
bound set 8 2.9 1.8 43
bound set 64 3.9 2.7 45
bound set 1024 22.4 20.6 116
exit $bad
