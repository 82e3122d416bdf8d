/* The operations of each thread, made beforehand: which keys, in the order of use, as every subject wants them. */
#ifndef TT_BENCH_SEQUENCE_H
#define TT_BENCH_SEQUENCE_H

#include "tiercache.h"
#include "workload.h"

enum { TT_THREADS_MAX = 4 };

/* A key as the peers take it, in a record as large as tiercache's key: what streams past the processor's caches on the
 * way to a table is the same for all, and what is compared is the tables. */
struct tt_sequence_key {
    struct tt_bench_key k;
    char rest[sizeof(struct cache_key) - sizeof(struct tt_bench_key)];
};

struct tt_sequence {
    size_t n; /* of each thread */
    uint32_t n_keys;
    double theta;       /* as of tt_bench_sequence_make() */
    unsigned n_threads; /* that have theirs */
    uint32_t *ids[TT_THREADS_MAX];
    /* Of ids; TT_BENCH_AHEAD more than n; each begins on a cache line. */
    struct tt_sequence_key *keys[TT_THREADS_MAX];
    struct cache_key *prebuilt[TT_THREADS_MAX];
};

/* Makes what n_threads threads need and is not there yet. Before the first call s is zeroed but for n, n_keys and
 * theta. Ends the program when out of memory. */
void tt_sequence_need(struct tt_sequence *s, const struct cache_type *t, unsigned n_threads);
void tt_sequence_free(struct tt_sequence *s);

#endif
