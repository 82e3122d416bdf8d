/* tiercache/hooks.h - the callback tables other than the backend: memory, time, log, events, statistics sink, key
 * encoder, TTL policy, eviction policy.
 *
 * Every table begins with abi = CACHE_HOOKS_ABI and is copied when it is registered; a context must outlive its cache.
 * Unless a table says otherwise, slots are called from any thread, several at once, with no lock of the cache held;
 * a slot may call the cache's functions except cache_close(). Slots marked required may not be NULL. */
#ifndef TIERCACHE_HOOKS_H
#define TIERCACHE_HOOKS_H

#include <stddef.h>
#include <stdint.h>

#include "tiercache/backend.h"
#include "tiercache/symbols.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CACHE_HOOKS_ABI 1u

struct cache;
struct cache_type;
struct cache_key;

/* ---- memory --------------------------------------------------------------------------------------------------- */

/* Called with locks of the cache held: must not call the cache, must not block for long. Alignment as malloc's.
 * Memory that hiredis and the C library take for themselves does not come from here. */
struct cache_alloc_ops {
    uint32_t abi;
    void *(*alloc)(void *ctx, size_t n);         /* required; NULL when out of memory; n > 0 */
    void (*free)(void *ctx, void *p, size_t n);  /* required; n as it was asked for; p not NULL */
};

/* ---- time ----------------------------------------------------------------------------------------------------- */

/* Called with locks of the cache held: must not call the cache. Used for lifetimes and deadlines; waiting itself is
 * done by the kernel in real time. */
struct cache_clock_ops {
    uint32_t abi;
    int64_t (*mono_ms)(void *ctx); /* required; never goes back, >= 0 */
    int64_t (*wall_ms)(void *ctx); /* required; since 1970; only a hint in what is stored */
};

/* ---- log ------------------------------------------------------------------------------------------------------ */

enum { CACHE_LOG_ERROR = 1, CACHE_LOG_WARNING = 2, CACHE_LOG_INFO = 3 };

/* Lines never hold values, passwords, or unescaped keys. At most one of a kind per second. Called where other callers
 * of the cache may wait: must not call the cache, must not block for long. */
struct cache_log_ops {
    uint32_t abi;
    void (*line)(void *ctx, int level, const char *component, const char *text); /* required */
};

/* ---- events --------------------------------------------------------------------------------------------------- */

enum {
    CACHE_EVENT_L2_UP = 1,              /* L2 became usable */
    CACHE_EVENT_L2_DOWN = 2,            /* L2 became unusable; status says why */
    CACHE_EVENT_BAD_FRAME = 3,          /* L2 held something that is no frame of this key; key is set */
    CACHE_EVENT_WRONG_KEY = 4,          /* L2 answered with a frame of another key; key is set */
    CACHE_EVENT_RECOVERY_OVERFLOW = 5,  /* an invalidation could not be kept for replay */
    CACHE_EVENT_RECOVERY_DONE = 6,      /* all kept invalidations were acknowledged; count says how many */
    CACHE_EVENT_RECOVERY_ABANDONED = 7, /* cache_close() gave up count kept invalidations */
    CACHE_EVENT_LOAD_FAILED = 8         /* a loader failed (not: was unwound); status and key are set */
};

struct cache_event {
    uint32_t kind;   /* CACHE_EVENT_* */
    int status;      /* CACHE_OK or a result */
    uint64_t count;  /* see kind */
    struct cache_slice key; /* encoded key, or empty; valid during the call */
    uint64_t reserved[4];
};

/* At most one event of a kind per second, except CACHE_EVENT_L2_UP, _L2_DOWN and the recovery ones. */
struct cache_event_ops {
    uint32_t abi;
    void (*event)(void *ctx, const struct cache_event *e); /* required */
};

/* ---- statistics sink ------------------------------------------------------------------------------------------ */

enum { CACHE_STAT_COUNTER = 1, CACHE_STAT_GAUGE = 2 };

struct cache_stat {
    const char *cache; /* the cache's name */
    const char *type;  /* the type's name; NULL = the whole cache */
    const char *name;  /* as in cache_stats */
    const char *unit;
    const char *help;
    int kind; /* CACHE_STAT_* */
    uint64_t value;
};

/* Called by cache_stats_push() in its caller's thread. s and its strings are valid during the call. */
struct cache_stats_sink_ops {
    uint32_t abi;
    void (*stat)(void *ctx, const struct cache_stat *s); /* required */
};

/* ---- key encoder ---------------------------------------------------------------------------------------------- */

/* Brings an application's own key scheme, for instance "block:%s". It must be injective: two different lists of
 * parts of one type must not give the same bytes; keys of different types neither. The bytes are what L1 and the
 * frame compare and what the L2 key is made of. */
struct cache_key_encoder_ops {
    uint32_t abi;
    /* Starts a key of that type. Returns CACHE_OK or a negative code, which sticks to the key. Required. */
    int (*begin)(void *ctx, struct cache_key *k, const char *type_name);
    /* Adds part number index (from 0). Same results. Required. */
    int (*part)(void *ctx, struct cache_key *k, uint32_t index, struct cache_slice part);
};

/* For encoders: appends raw bytes to k. Does not block.
 * Returns CACHE_OK, CACHE_E_NOMEM, CACHE_E_TOO_LARGE, CACHE_E_INVALID. */
TIERCACHE_API int cache_key_append(struct cache_key *k, const void *p, size_t n);

/* ---- TTL policy ----------------------------------------------------------------------------------------------- */

/* What is known when a value is about to be stored. */
struct cache_ttl_view {
    const struct cache_type *type;
    struct cache_slice key;  /* encoded */
    uint64_t value_len;
    int absent;              /* 1: a cached absence */
    int64_t previous_age_ms; /* age of the entry in L1 that this one replaces; -1 = none */
    uint64_t previous_hits;  /* L1 hits that entry had, counted up to 65,535 */
    int64_t load_us;         /* what the loader took; -1 = not from a loader */
    uint64_t reserved[4];
};

struct cache_ttl {
    int64_t ttl_ms;    /* in and out: starts as the type's; CACHE_TTL_* or > 0 */
    int64_t l1_ttl_ms; /* in and out: starts as the type's; CACHE_TTL_NONE keeps it out of L1 */
};

struct cache_ttl_ops {
    uint32_t abi;
    /* Changes *ttl or leaves it. Jitter, the caller's own ttl_ms and the loader's go after it. Nonsense (0, other
     * negatives) is ignored. Required. */
    void (*decide)(void *ctx, const struct cache_ttl_view *view, struct cache_ttl *ttl);
};

/* ---- eviction policy ------------------------------------------------------------------------------------------ */

/* The order in which entries of one stripe leave L1. An entry is named by a number that is never 0 and holds from
 * insert() to remove(), unless move() changes it. It carries a node of node_bytes for the policy's own use,
 * cache_evict_node(); each order (a stripe's entries, or those of one type with a quota, a priority or a policy of its
 * own in a stripe) has state_bytes. Both start as zeros and are 8-byte aligned. A node that was removed may be inserted
 * again, into another order, as it is. Orders are independent of each other.
 * Locking: every slot is called with the stripe's lock held (when the cache is closed, with nobody else there), except
 * hit() where the flags say otherwise: it must not block or call the cache, and allocate only through env. Unknown
 * flags are refused. */
enum {
    CACHE_EVICT_LOCKED_HITS = 1u << 0, /* hit() needs the stripe's lock: each hit then waits for it. Without this flag
                                          hit() is called with no lock, a state of NULL and an entry of 0, from any
                                          thread, also at once with the other slots and with itself on the same node:
                                          it may only do relaxed atomic loads and stores on the node. It may come a
                                          moment after remove() or move() */
    CACHE_EVICT_STAMPED_HITS = 1u << 1, /* hit() is not called. The node begins with a uint8_t that a hit sets to the
                                          present stamp (1 to 255; see tick), with no lock, unless it is that already.
                                          The policy sets it to 0 when it likes, in insert() at least, and reads it as a
                                          relaxed atomic.
                                          Not together with CACHE_EVICT_LOCKED_HITS */
    CACHE_EVICT_LAST_IN = 1u << 2, /* insert() puts an entry behind all others, replace() in the place of the one before,
                                     and later() may be asked of any entry at any time. Those that later() named stay in
                                     that order at least until tick(), or until victim() names another than the first of
                                     them that is left: whose memory is too small for most is then not looked at by each.
                                     Without this flag later() is only asked of what victim() or later() named in the
                                     same store */
    CACHE_EVICT_ENDS_FULL = 1u << 3 /* when the cache is closed end() may come while entries are inserted: to take out
                                       each takes seconds in a large cache. remove() comes for some, for all, or for none
                                       of them; end() leaves the others alone: their nodes may be gone. The library's
                                       own policies have it: not for a copy of one of them that has something of its own
                                       for each entry */
};

/* What an order gets when it begins; valid until end(). Memory counts in the cache's l1_bytes. */
struct cache_evict_env {
    void *ctx;
    void *(*alloc)(void *ctx, size_t n);        /* NULL when out of memory, or when L1 has no room for it now */
    void (*free)(void *ctx, void *p, size_t n); /* n as asked for; p not NULL */
    const void *entries;                        /* for cache_evict_node() */
};

/* The node of an entry that is inserted. It stays where it is until the entry is removed or moved. Only in slots that
 * hold the stripe's lock. Does not block. */
TIERCACHE_API void *cache_evict_node(const struct cache_evict_env *env, uint32_t entry);

struct cache_evict_ops {
    uint32_t abi;
    uint32_t flags; /* CACHE_EVICT_* */
    const char *name;
    size_t state_bytes; /* at most 4,096 */
    size_t node_bytes;  /* at most 256 */
    void (*begin)(void *state, const struct cache_evict_env *env); /* optional: before any other slot */
    void (*end)(void *state);                 /* optional: the last call; every entry has been removed,
                                                 unless CACHE_EVICT_ENDS_FULL is set */
    void (*insert)(void *state, uint32_t entry, uint64_t hash, size_t bytes); /* required */
    void (*hit)(void *state, uint32_t entry, void *node); /* required, except with CACHE_EVICT_STAMPED_HITS */
    void (*remove)(void *state, uint32_t entry); /* required; it was inserted and not removed */
    uint32_t (*victim)(void *state);          /* required; the entry to evict next, still inserted; 0 = empty. May be
                                                 called again without the entry having been removed */
    void (*tick)(void *state, uint8_t stamp); /* optional: the stamp that hits set from now on. It goes round from 255
                                                 to 1, a step after some 64th of the entries was stored or some 16th was
                                                 hit. Not called in a stripe with one order while more than a quarter of
                                                 l1_bytes was never used: until then hits are not told */
    void (*move)(void *state, uint32_t from, uint32_t to); /* optional: an entry has another number from now on. Its
                                                 node was copied to the new place and can be read at both. NULL: entries
                                                 do not move, and memory that they lie too thinly in is had back by
                                                 evicting more of them */
    void (*replace)(void *state, uint32_t from, uint32_t to, uint64_t hash, size_t bytes); /* optional: another value
                                                 was stored under the key of an entry: to is inserted and from removed,
                                                 in one. NULL: remove() and insert() are called. Neither, with
                                                 CACHE_EVICT_STAMPED_HITS, for a short value that takes the place of the
                                                 one before in memory: that is told as a hit is */
    uint32_t (*age)(void *state);                /* optional: for how many ticks the entry that victim() names was not
                                                 used, for comparing the victims of several orders. NULL: how long its
                                                 entries stay on average decides. With CACHE_EVICT_LOCKED_HITS not
                                                 asked: the last use of each is known */
    uint32_t (*later)(void *state, uint32_t entry); /* optional: one whose turn comes soon after that of an entry, as
                                                 far as is known; 0: none. Of which: see CACHE_EVICT_LAST_IN. A new value
                                                 takes its place in memory, and it leaves, where the sizes are alike and
                                                 those of the ones before are not. NULL: only the first is looked at */
};

/* A policy that the library brings, for cache_opts.evict or cache_type_opts.evict: "lru" (the default), "lru-exact",
 * "sieve", "s3-fifo", "lfu", "w-tinylfu". Static; needs no cache. Does not block. Returns NULL if there is none of that
 * name; name may be NULL. */
TIERCACHE_API const struct cache_evict_ops *cache_evict_policy(const char *name);

#ifdef __cplusplus
}
#endif
#endif
