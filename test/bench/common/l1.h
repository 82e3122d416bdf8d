/* The subjects of the L1 benchmarks: tiercache, the bare table and the peers, all holding the same keys and values. */
#ifndef TT_BENCH_L1_H
#define TT_BENCH_L1_H

#include "harness.h"
#include "peers/bare_table.h"
#include "sequence.h"

struct tt_l1 {
    uint32_t n_keys;
    size_t value_bytes; /* or TT_BENCH_ALL_SIZES */
    bool limited; /* what evicts holds a tenth of the keys; what does not is left out. Else everything fits. */
    bool huge_pages; /* CACHE_OPEN_HUGE_PAGES; without peers, which have no such option */

    bool is_open;
    struct cache *cache; /* L1 only, one type, TTL of an hour, all else as it comes */
    struct cache_type *type;
    uint64_t l1_bytes;
    uint64_t l1_entries; /* held when it was full, or everything */
    struct tt_bare *bare;
    size_t n_peers;
    const struct tt_peer *peers[TT_PEERS_MAX];
    void *handles[TT_PEERS_MAX];
};

/* What a body works on. */
struct tt_task {
    const struct tt_l1 *l1;
    const struct tt_sequence *seq;
    const struct tt_peer *peer; /* NULL: tiercache or the bare table */
    void *handle;               /* the peer's */
    bool goes_on;               /* a run begins where the last one ended: else a cache that evicts may be asked for
                                   what it was just asked for, as chance will have it */
    size_t at[TT_THREADS_MAX];  /* that place, of each thread */
};

/* Opens, fills and checks everything, unless it is open. The first four fields are set, the rest is zero. */
void tt_l1_need(struct tt_l1 *l);

/* Every value that any of them holds is its key's, and what must hold all of them does; ends the program otherwise. */
void tt_l1_verify(const struct tt_l1 *l);

/* Does nothing to what is not open. */
void tt_l1_close(struct tt_l1 *l);

/* An L1-only cache with the given limit, CACHE_OPEN_* flags and the type of the benchmarks. */
struct cache *tt_l1_open_cache(uint64_t l1_bytes, uint32_t flags, struct cache_type **type);
uint64_t tt_l1_entries(struct cache *c);

/* A case and the tasks of its subjects. */
struct tt_l1_case {
    struct tt_bench_case c;
    struct tt_task tasks[TT_BENCH_SUBJECTS_MAX];
};

/* Begins a case: by CPU time at one thread, by the wall's clock at more; its first subject is the bare table's get,
 * to which everything is compared. False: --only leaves it out. Makes what l and seq lack. */
bool tt_l1_case_begin(const struct tt_bench *b, struct tt_l1_case *k, struct tt_l1 *l, struct tt_sequence *seq,
                      const char *name, unsigned n_threads);

/* Adds a subject of tiercache's. Returns its index. */
size_t tt_l1_case_add(struct tt_l1_case *k, const char *name, tt_bench_body_fn *body);

/* Adds those peers that can do one of the sets of things in can (0: all of them). Returns the first one's index. */
size_t tt_l1_case_add_peers(struct tt_l1_case *k, unsigned can, tt_bench_body_fn *body);

#endif
