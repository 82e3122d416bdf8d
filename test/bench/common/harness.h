/* Runs the subjects of a benchmark against each other and says by how much one beats another.
 *
 * A case is one question ("L1 get, 1M keys") at one number of threads. Its subjects run in turn, A B C A B C, for some
 * hundred milliseconds each. A ratio is taken between two subjects of the same round, so that what the machine does to
 * a whole round cancels out; reported is the median over the rounds. */
#ifndef TT_BENCH_HARNESS_H
#define TT_BENCH_HARNESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum {
    TT_BENCH_SUBJECTS_MAX = 6,
    TT_BENCH_REFERENCES_MAX = 2,
    TT_BENCH_ROUNDS_MAX = 32,
    TT_BENCH_QUALIFYING_MIN = 3 /* fewer qualifying rounds than this: not measured */
};

struct tt_bench {
    bool quick;
    FILE *rows; /* machine-readable output; NULL = none */
    int64_t run_ns;
    unsigned rounds_min, rounds_max;
    bool failed; /* a gate failed, or a subject answered wrongly */
};

/* What a body gets: its place, and where it counts. */
struct tt_bench_worker {
    unsigned thread; /* from 0 */
    unsigned round;  /* so that each round starts elsewhere in a sequence, every subject at the same place */
    const atomic_bool *stop;
    uint64_t ops;    /* operations that gave the right answer */
    uint64_t wrong;  /* operations that did not; one is enough to fail the program */
};

static inline bool tt_bench_goes_on(const struct tt_bench_worker *w)
{
    return !atomic_load_explicit(w->stop, memory_order_relaxed);
}

/* Fetches a key that a timed loop will use TT_BENCH_AHEAD operations later. Keys made beforehand would otherwise come
 * from memory one by one, and the loop would measure that; a program has just made its key, or uses it all the time.
 * An array of keys that is walked this way has TT_BENCH_AHEAD elements more than are used. */
enum { TT_BENCH_AHEAD = 16 };

static inline void tt_bench_fetch_key(const void *key)
{
    __builtin_prefetch(key);
    __builtin_prefetch((const char *)key + 64);
}

/* Works until tt_bench_goes_on() is false; asks at least every millisecond. */
typedef void tt_bench_body_fn(void *ctx, struct tt_bench_worker *w);

struct tt_bench_subject {
    const char *name;
    tt_bench_body_fn *body;
    void *ctx;
};

enum tt_bench_clock {
    TT_BENCH_CPU, /* by CPU time: one thread that never waits; what others do to the machine hardly matters */
    TT_BENCH_WALL /* by the clock on the wall: counts only runs that had 90 % of their cores */
};

struct tt_bench_case {
    const char *name;
    unsigned n_threads;
    enum tt_bench_clock clock;
    bool pinned;  /* one core a thread, if there are as many */
    pid_t server; /* its CPU time is ours, and reported; 0 = none */
    struct tt_bench_subject subjects[TT_BENCH_SUBJECTS_MAX];
    size_t n_subjects;
    size_t references[TT_BENCH_REFERENCES_MAX]; /* subjects to compare with */
    size_t n_references;
};

struct tt_bench_ratio {
    double median, min, max;
    unsigned n_qualifying, n_all;
};

struct tt_bench_figures {
    double ops_per_s, cpu_ns_per_op, server_ns_per_op; /* medians of the qualifying runs, else of all */
    struct tt_bench_ratio against[TT_BENCH_REFERENCES_MAX];
    unsigned n_qualifying, n_all;
};

struct tt_bench_result {
    struct tt_bench_figures of[TT_BENCH_SUBJECTS_MAX];
};

/* Runs a case, prints its table and its rows. A wrong answer sets b->failed. */
void tt_bench_run(struct tt_bench *b, const struct tt_bench_case *c, struct tt_bench_result *r);

#endif
