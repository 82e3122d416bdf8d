#!/bin/sh
# Runs every test program, replays the fuzzers' corpora and runs the checks, two at a time, each with a hard time limit.
# Prints what failed in full, why tests were skipped, and last one line: N passed, N failed, N skipped. The numbers are
# cmocka's test cases; a corpus and a check count as one each. Exit status 0 only if nothing failed and something ran.
#
# Called by "make test", which builds the programs first. BUILD, SAN, CC, CXX and TC_MAKE are what make uses.
#   TEST_JOBS=2  TEST_TIMEOUT=60  TEST_ONLY='PATTERN...'     for a run by hand: TEST_ONLY='unit/* *redis*' make test
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build/release} SAN=${SAN:-}
TEST_JOBS=${TEST_JOBS:-2} TEST_ONLY=${TEST_ONLY:-*}
# A sanitizer makes everything several times slower.
TEST_TIMEOUT=${TEST_TIMEOUT:-$(if [ -n "$SAN" ]; then echo 300; else echo 60; fi)}
export BUILD SAN TEST_TIMEOUT
export ASAN_OPTIONS="detect_stack_use_after_return=1:strict_string_checks=1:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
export TSAN_OPTIONS="halt_on_error=0:second_deadlock_stack=1:${TSAN_OPTIONS:-}"
export CMOCKA_MESSAGE_OUTPUT=STDOUT
results=$BUILD/results

# ---- one job: NAME is unit/test_x, fuzz/fuzz_x or check_x.sh; leaves NAME.out and NAME.rc ----------------------------

run_job() {
    name=$1
    out=$results/$(echo "$name" | tr / .)
    limit=$TEST_TIMEOUT
    case $name in
    check_*)
        set -- sh "test/$name"
        # Two of them build the library again.
        limit=300 ;;
    fuzz/*)
        set -- "$BUILD/test/$name" "test/fuzz/corpus/${name#fuzz/fuzz_}" ;;
    *)
        set -- "$BUILD/test/$name" ;;
    esac
    # shellcheck disable=SC3045
    ulimit -c 0
    started=$(date +%s)
    timeout -k 5 "$limit" "$@" > "$out.out" 2>&1 < /dev/null
    rc=$?
    [ $rc -ne 124 ] && [ $rc -ne 137 ] || echo "killed after $limit s" >> "$out.out"
    echo "$rc $(($(date +%s) - started))" > "$out.rc"
}

if [ "${1:-}" = --job ]; then
    run_job "$2"
    exit 0
fi

# ---- which ----------------------------------------------------------------------------------------------------------

jobs=$(
    # What takes longest goes first, so that it does not run alone at the end.
    [ -n "$SAN" ] || echo check_install.sh
    for d in stress oom faults integration suite unit; do
        for f in test/"$d"/test_*.c test/"$d"/run_*.c; do
            [ -f "$f" ] && echo "$f" | sed 's|^test/||; s|\.c$||'
        done
    done
    for f in test/fuzz/fuzz_*.c; do
        [ -f "$f" ] && echo "$f" | sed 's|^test/||; s|\.c$||'
    done
    # The sources and the installed files are the same under a sanitizer.
    [ -n "$SAN" ] || for f in test/check_*.sh; do
        [ "$f" = test/check_install.sh ] || echo "${f#test/}"
    done
)
set -f
jobs=$(for j in $jobs; do
    for pattern in $TEST_ONLY; do
        # shellcheck disable=SC2254
        case $j in $pattern) echo "$j"; break ;; esac
    done
done)
set +f

# ---- run ------------------------------------------------------------------------------------------------------------

rm -rf "$results"
mkdir -p "$results"
started=$(date +%s)
for j in $jobs; do echo "$j"; done | xargs -r -P "$TEST_JOBS" -n 1 sh test/run_tests.sh --job

# ---- count ----------------------------------------------------------------------------------------------------------

# "expected passed skipped" from cmocka's own output. A case is announced by "Running N", passes with "OK", is skipped
# with its name after SKIPPED; the closing list repeats the skipped ones. Whatever of N is neither passed nor skipped
# failed: an assertion, a signal, a set-up that failed, an exit in the middle.
count_cases() {
    awk '
    /^\[==========\] .*Running [0-9]+ test/ { sub(/.*Running /, ""); expected += $1 }
    /^\[       OK \]/ { passed++ }
    /^\[  SKIPPED \]/ { skipped++ }
    /^\[  SKIPPED \] .*[0-9]+ test\(s\), listed below/ {
        sub(/ test\(s\), listed.*/, "")
        repeated += $NF + 1
    }
    END { print expected + 0, passed + 0, skipped - repeated }' "$1"
}

# The lines that tell why: any line with "skip" in it that is not cmocka's.
skip_reasons() { grep -i 'skip' "$1" | grep -v '^\[  SKIPPED \]\|SKIPPED TEST(S)$' | sort | uniq -c | sort -rn | head -5; }

passed=0 failed=0 skipped=0
for j in $jobs; do
    out=$results/$(echo "$j" | tr / .)
    read -r rc seconds < "$out.rc" || { rc=127 seconds=0; echo 'was not run' >> "$out.out"; }
    case $j in
    check_* | fuzz/*)
        expected=1 p=0 s=0
        [ "$rc" -eq 0 ] && p=1 ;;
    *)
        # shellcheck disable=SC2046
        set -- $(count_cases "$out.out")
        expected=$1 p=$2 s=$3 ;;
    esac
    why=
    f=$((expected - p - s))
    if [ "$expected" -eq 0 ] || [ "$f" -lt 0 ]; then
        f=1 why='ran no test, or printed what cmocka does not'
    elif [ "$rc" -ge 124 ]; then
        [ "$f" -gt 0 ] || f=1
        why="exit status $rc"
    elif [ "$rc" -ne 0 ] && [ "$f" -le 0 ]; then
        f=1 why="all its tests passed, but exit status $rc"
    elif [ "$s" -gt 0 ] && [ -z "$(skip_reasons "$out.out")" ]; then
        f=$((f + s)) s=0 why='skipped without saying why'
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))

    if [ "$f" -gt 0 ]; then
        printf 'FAILED  %-36s %3s s  %s\n' "$j" "$seconds" "$why"
        sed 's/^/    | /' "$out.out"
    elif [ "$s" -gt 0 ]; then
        printf 'skipped %-36s %3s s  %d of %d:\n' "$j" "$seconds" "$s" "$expected"
        skip_reasons "$out.out" | sed 's/^ */    | /'
    else
        printf 'ok      %-36s %3s s  %d\n' "$j" "$seconds" "$p"
    fi
done

[ $((passed + failed)) -gt 0 ] || { echo 'no test was run'; failed=1; }
printf 'in %d s\n%d passed, %d failed, %d skipped\n' $(($(date +%s) - started)) $passed $failed $skipped
[ $failed -eq 0 ]
