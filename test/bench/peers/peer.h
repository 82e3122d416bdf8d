/* The other caches and tables that tiercache is measured against, behind one small table of functions each. */
#ifndef TT_BENCH_PEER_H
#define TT_BENCH_PEER_H

#include "common/workload.h"

/* What an operation came to. The right answers have the lowest bit set, those that found something the next one. */
enum tt_answer {
    TT_WRONG = 0, /* also: not there, where it must be */
    TT_DONE = 1,  /* stored; or was missing, and is there now */
    TT_HIT = 3
};

/* What a peer can do besides being filled once and read. */
enum {
    TT_PEER_SETS = 1,   /* replace values while others read and write */
    TT_PEER_EVICTS = 2, /* keep to max_entries, least recently used first */
    TT_PEER_LOADS = 4   /* make the value of a missing key itself, in get */
};

/* enter and leave are optional: a thread's first and last act. get copies the value into buf, which has room for every
 * value. Where a peer can neither SET nor LOAD, set is called by one thread before anybody reads. */
struct tt_peer {
    const char *name;
    unsigned can; /* TT_PEER_* */
    void *(*open)(size_t max_entries, size_t value_bytes); /* NULL when out of memory; room for max_entries at least */
    void (*close)(void *p);
    enum tt_answer (*get)(void *p, const struct tt_bench_key *k, void *buf);
    enum tt_answer (*set)(void *p, const struct tt_bench_key *k, const void *value, size_t len);
    void (*enter)(void *p);
    void (*leave)(void *p);
};

extern const struct tt_peer tt_peer_bare, tt_peer_uthash_mutex, tt_peer_uthash_sharded;
extern const struct tt_peer tt_peer_glib, tt_peer_tbb_map, tt_peer_tbb_lru, tt_peer_ck, tt_peer_urcu;

enum { TT_PEERS_MAX = 7 };

/* All peers that this build has (not the bare table); prints a line for each that it lacks. */
size_t tt_peers(const struct tt_peer *out[TT_PEERS_MAX]);

#endif
