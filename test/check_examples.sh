#!/bin/sh
# Runs the examples and looks at their exit status and at the lines that show what they are for. The demo takes half a
# minute and is run by .ci/run; here it only has to start. Prints a line for each problem, nothing otherwise.
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build/release}
LC_ALL=C
export LC_ALL
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
rc=0
fail() { echo "$*"; rc=1; }

# run STATUS NAME ARGUMENT...: what it prints is in $tmp/out
run() {
    want=$1 shown="examples/$2${3:+ $3}${4:+ $4}${5:+ $5}" program=$BUILD/examples/$2
    shift 2
    timeout 30 "$program" "$@" > "$tmp/out" 2>&1 < /dev/null
    got=$?
    [ $got -eq "$want" ] || { cat "$tmp/out"; fail "$shown: exit status $got, not $want"; }
}

# says LINE...: whole lines of it
says() {
    for line; do
        grep -qxF -- "$line" "$tmp/out" || { cat "$tmp/out"; fail "$shown does not say '$line'"; }
    done
}

for f in examples/*.c; do
    name=${f#examples/}
    case $name in
    quickstart.c)
        run 0 quickstart
        says 'before: miss' 'after cache_invalidate: miss'
        grep -q '^found: hello, 5 bytes' "$tmp/out" || fail 'examples/quickstart does not find what it stored' ;;
    cache_aside.c)
        run 0 cache_aside
        says "read 'second' from the cache" "invalidated, read 'third'"
        grep -q "while a writer made it 'second': set says \"refused" "$tmp/out" \
            || fail 'examples/cache_aside does not have its late set refused' ;;
    custom_backend.c)
        run 0 custom_backend
        says 'from the table: hello' 'invalidated in both tiers: yes' ;;
    keys_and_types.c)
        run 0 keys_and_types
        says 'doc:team%3A7:plan' 'doc:team:7%3Aplan' 'refused: jitter_percent: must be 0 to 90' ;;
    statistics.c)
        run 0 statistics
        says 'struct: 2 hits, 2 misses, 2 loads of which 1 failed' 'cache_l1_hits{cache="cache",type="page"} 2' \
            'all as expected' ;;
    replay.c) ;; # below: it wants a file
    *)
        fail "$f: test/check_examples.sh does not run it" ;;
    esac
done

# Twenty keys, one after the other, fifteen times: all hits but the first round, and under LRU none at all if the cache
# holds only half of them.
awk 'BEGIN { for (i = 0; i < 300; i++) print "key" i % 20, 50 }' > "$tmp/keys"
run 0 replay "$tmp/keys" --size 20
says 'size           20 entries' 'requests       300 (0 lines were none)' \
    'hit ratio      93.33 % of the requests, 93.33 % of the bytes'
run 0 replay "$tmp/keys" --size 1M
says 'size           1048576 bytes of memory' 'hit ratio      93.33 % of the requests, 93.33 % of the bytes'
run 0 replay "$tmp/keys" --size 50%
says 'distinct keys  20' 'size           10 entries' 'hit ratio      0.00 % of the requests, 0.00 % of the bytes' \
    'evicted        290 (memory 0, quota 290, probes 0)'

# The same as an access log, with a line that is no request, and packed.
awk '{ printf "127.0.0.1 - - [01/Jan/2024:00:00:00 +0000] \"GET /%s HTTP/1.1\" 200 %d\n", $1, $2 }
    END { print "nonsense" }' "$tmp/keys" > "$tmp/log"
gzip "$tmp/log"
run 0 replay "$tmp/log.gz" --size 20
says 'requests       300 (1 lines were none)' 'hit ratio      93.33 % of the requests, 93.33 % of the bytes'

run 1 replay "$tmp/nowhere"
says "replay: $tmp/nowhere: No such file or directory"
run 2 replay "$tmp/keys" --size none
run 2 replay

run 0 demo --help
grep -q '^usage: demo' "$tmp/out" || fail 'examples/demo --help does not tell how to use it'
run 2 demo --seconds 1
exit $rc
