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

#include "latency.h"

enum {
    TT_BENCH_SUBJECTS_MAX = 16,
    TT_BENCH_REFERENCES_MAX = 2,
    TT_BENCH_ROUNDS_MAX = 32,
    TT_BENCH_QUALIFYING_MIN = 3 /* fewer qualifying rounds than this: not measured */
};

struct tt_bench {
    bool quick;
    const char *only; /* run the cases whose name has this in it; NULL = all */
    FILE *rows;       /* machine-readable output; NULL = none */
    int64_t warm_ns, run_ns; /* the first does not count */
    int64_t case_ns; /* a case that has taken this long begins no round more */
    unsigned rounds_max;
    unsigned rounds_wanted; /* qualifying ones */
    unsigned rounds_needed; /* with fewer qualifying ones there is no figure */
    unsigned n_cases; /* that were run */
    unsigned gates_passed, gates_failed, gates_unmeasured;
    bool failed; /* a gate failed, or a subject answered wrongly */
};

/* What a body gets: its place, and where it counts. */
struct tt_bench_worker {
    unsigned thread; /* from 0 */
    unsigned round;  /* so that each round starts elsewhere in a sequence, every subject at the same place */
    const atomic_bool *stop;
    struct tt_latency *latency; /* this thread's own; may stay empty */
    uint64_t ops;    /* operations that gave the right answer */
    uint64_t wrong;  /* operations that did not; one is enough to fail the program */
    uint64_t hits;   /* of ops, those that found what they looked for; only for cases that show hits */
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
    unsigned n_threads;     /* 0 = the case's */
    unsigned rounds_wanted; /* qualifying ones; 0 = as the program says. Once it has them it runs no more, unless it
                               is a reference */
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
    bool shows_hits; /* reports hits / ops */
};

struct tt_bench_ratio {
    double median, min, max;
    unsigned n_qualifying, n_all;
};

struct tt_bench_figures {
    double ops_per_s, cpu_ns_per_op, server_ns_per_op; /* medians of the qualifying runs, else of all */
    double hit_ratio;                                  /* likewise */
    double p50_ns, p99_ns, p999_ns; /* of one operation, all qualifying runs together; 0 = none was timed */
    struct tt_bench_ratio against[TT_BENCH_REFERENCES_MAX];
    unsigned n_qualifying, n_all;
};

struct tt_bench_one_run {
    double ops_per_s, cpu_ns_per_op, server_ns_per_op, hit_ratio;
    bool ran, qualifies;
};

struct tt_bench_result {
    struct tt_bench_figures of[TT_BENCH_SUBJECTS_MAX];
    struct tt_bench_one_run runs[TT_BENCH_ROUNDS_MAX][TT_BENCH_SUBJECTS_MAX];
    unsigned n_rounds;
    unsigned n_disturbed; /* more of them, that ended with the first reference's run because that did not count */
};

/* Whether --only lets a case of that name run: a program asks before it makes what the case needs. */
bool tt_bench_wants(const struct tt_bench *b, const char *name, unsigned n_threads);

/* Runs a case, prints its table and its rows. A wrong answer sets b->failed. False: --only left it out. */
bool tt_bench_run(struct tt_bench *b, const struct tt_bench_case *c, struct tt_bench_result *r);

/* Speed of one subject to another, and what an operation of one costs more than one of the other in ns of CPU time;
 * over the rounds in which both runs qualify. */
struct tt_bench_ratio tt_bench_compare(const struct tt_bench_result *r, size_t subject, size_t reference);
struct tt_bench_ratio tt_bench_extra_ns(const struct tt_bench_result *r, size_t subject, size_t reference);

#endif
