/* tiercache.h - a two-tier cache for C and C++: this process's memory first (L1), Redis behind it (L2).
 *
 * Start with cache_open(), cache_type_register(), cache_key_init(), cache_get(), cache_set(), cache_fetch().
 * The callback tables (backend, allocator, clock, policies ...) are in tiercache/backend.h and tiercache/hooks.h;
 * a program that only uses the cache needs neither.
 *
 * Results  0 (CACHE_OK) is success; positive is a normal outcome (CACHE_MISS ...); negative (CACHE_E_*) is a failure.
 *          A miss, a cached absence, an empty value and a failure are four different results. An L2 that is dead,
 *          hung or lying is never a failure of cache_get() or cache_fetch(): it shows in meta.flags and in the
 *          statistics. Every function that takes a cache can also return CACHE_E_INVALID (a null or malformed
 *          argument), CACHE_E_CLOSED (cache_close() has begun) and CACHE_E_FORKED (called in a forked child); these
 *          three are not repeated below.
 * Threads  A struct cache and a struct cache_type may be used by any number of threads at once. A struct cache_key
 *          may be read by many threads, changed by one. A struct cache_value may be released by any thread.
 *          An L1-only cache starts no thread; a cache with L2 starts one, named "tiercache", all signals blocked.
 * Memory   Everything passed in is copied before the call returns, unless said otherwise. A value handed out stays
 *          valid and unchanged until cache_value_release().
 * Blocking Functions marked "does not block" may wait for a short internal lock, never for I/O, a loader or
 *          another caller. The others take a time-out and return within it, plus the time your own loader takes.
 * Units    _ms is milliseconds, _ns nanoseconds, _bytes bytes. In every struct that you fill, zero means the default.
 *          L1 expiry is decided on the kernel's coarse monotonic clock: it can be late by one tick (4 ms as a rule).
 * Structs  Those you fill begin with size, set by their _INIT macro. Unknown non-zero fields and flags are refused.
 * fork     In a forked child every call on an inherited cache returns CACHE_E_FORKED, except cache_close(), which
 *          closes the child's copies of the sockets and nothing else. The parent is unharmed.
 */
#ifndef TIERCACHE_H
#define TIERCACHE_H

#include <stddef.h>
#include <stdint.h>

#include "tiercache/symbols.h"

#define TIERCACHE_VERSION_MAJOR 0
#define TIERCACHE_VERSION_MINOR 1
#define TIERCACHE_VERSION_PATCH 0
#define TIERCACHE_VERSION \
    ((TIERCACHE_VERSION_MAJOR << 16) | (TIERCACHE_VERSION_MINOR << 8) | TIERCACHE_VERSION_PATCH)

#include "tiercache/stats.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- results -------------------------------------------------------------------------------------------------- */

enum {
    CACHE_OK = 0,
    CACHE_MISS = 1,   /* nothing is known about this key */
    CACHE_ABSENT = 2, /* it is known that the origin has nothing under this key (a cached absence) */
    CACHE_QUEUED = 3, /* in force in this process; L2 is out of reach and will be told later */
    CACHE_BUSY = 4,   /* cache_close(): pins or calls remain, the handle is still valid; cache_resize(): see there */

    CACHE_E_INVALID = -1,      /* an argument is null, malformed or out of range */
    CACHE_E_NOMEM = -2,        /* an allocation failed; nothing changed */
    CACHE_E_CLOSED = -3,       /* cache_close() has begun */
    CACHE_E_FORKED = -4,       /* the cache was opened by the parent process */
    CACHE_E_TIMEOUT = -5,      /* the deadline passed; the operation was not carried out (cache_resize(): in part) */
    CACHE_E_UNAVAILABLE = -6,  /* L2 cannot be reached; nothing was sent */
    CACHE_E_UNKNOWN = -7,      /* it may or may not have taken effect in L2 */
    CACHE_E_TICKET = -8,       /* refused: the key was invalidated since the ticket was taken, or no ticket was given */
    CACHE_E_DEADLOCK = -9,     /* a loader fetched the very key that it is loading */
    CACHE_E_TOO_LARGE = -10,   /* key or value exceeds a limit */
    CACHE_E_BUFFER = -11,      /* the caller's buffer is too small; the needed size was reported */
    CACHE_E_LOAD = -12,        /* the loader failed, replied nothing, or was unwound (exception, pthread_exit) */
    CACHE_E_AUTH = -13,        /* L2 refused the credentials or the permission (NOAUTH, WRONGPASS, NOPERM) */
    CACHE_E_PROTOCOL = -14,    /* what answers is not Redis, or broke the protocol */
    CACHE_E_REFUSED = -15,     /* L2 answered with an error (OOM, READONLY, MISCONF, LOADING ...); it did not run */
    CACHE_E_EXISTS = -16,      /* a type of that name is registered */
    CACHE_E_NOT_FOUND = -17,   /* no type of that name */
    CACHE_E_SYSTEM = -18,      /* the operating system refused a thread, a lock or entropy */
    CACHE_E_ABI = -19,         /* a callback table's abi is unknown or a required slot is NULL */

    /* A loader's own codes pass through cache_fetch() unchanged in [CACHE_E_USER_LAST, CACHE_E_USER_FIRST]. */
    CACHE_E_USER_FIRST = -1000,
    CACHE_E_USER_LAST = -1999
};

/* Name and meaning of a result, for logs. Does not block. Returns a static string, never NULL. */
TIERCACHE_API const char *cache_status_text(int status);

/* The version of the library that is running, as TIERCACHE_VERSION is built. Does not block. */
TIERCACHE_API uint32_t cache_version(void);

/* ---- types of the interface ----------------------------------------------------------------------------------- */

struct cache;      /* one cache; any number in a process, nothing is shared between them */
struct cache_type; /* a named class of entries; lives until its cache is closed */
struct cache_load; /* what a loader replies through; valid only while the loader runs */

/* A key under construction or finished. Inline up to 200 bytes, on the heap above. Do not copy the struct. The first
 * call that looks a key up keeps its hash in it, so it must lie in memory that may be written, though it is passed as
 * const; threads may share one all the same. Once its cache is closed, a key is good for cache_key_init() and
 * cache_key_fini() only. */
struct cache_key {
    uint64_t opaque[32];
};

/* Proof of when a miss was seen. Plain data: copy it, drop it, let it expire. */
struct cache_ticket {
    uint64_t opaque[8];
};

enum { CACHE_TIER_NONE = 0, CACHE_TIER_L1 = 1, CACHE_TIER_L2 = 2, CACHE_TIER_LOADER = 3 };

enum {
    CACHE_META_STALE = 1u << 0,  /* past its TTL; served because L2 or the loader failed, within max_stale_ms */
    CACHE_META_L2_OUT = 1u << 1, /* L2 was out of reach or failed during this call */
    CACHE_META_JOINED = 1u << 2  /* another caller's load of the same key gave this value */
};

/* What is known about a value that was found. All ages and TTLs are relative: no clock of another host is trusted. */
struct cache_meta {
    uint64_t len;            /* bytes of the value */
    uint32_t tier;           /* CACHE_TIER_*: where it was found */
    uint32_t flags;          /* CACHE_META_* */
    int64_t age_ms;          /* since the value was made */
    int64_t ttl_ms;          /* until it expires here; negative: stale by that much; CACHE_TTL_FOREVER: never */
    int64_t coherent_age_ms; /* since this process last took the value from L2 or the origin */
    uint64_t reserved[3];
};

/* A pinned value: read only, no copy. */
struct cache_value {
    const void *data; /* never NULL while pinned, also for an empty value */
    size_t len;
    struct cache_meta meta;
    void *pin; /* NULL: nothing is held */
    uint64_t reserved[2];
};

enum {
    CACHE_CALL_L1_ONLY = 1u << 0, /* do not ask L2 */
    CACHE_CALL_NO_STALE = 1u << 1 /* a stale value counts as a miss */
};

/* Options of one call; NULL = defaults. */
struct cache_call {
    uint32_t size;
    uint32_t flags;              /* CACHE_CALL_* */
    int64_t timeout_ms;          /* 0 = the cache's timeout_ms */
    struct cache_ticket *ticket; /* where a miss leaves its ticket; NULL = only the implicit one */
};
#define CACHE_CALL_INIT { (uint32_t)sizeof(struct cache_call), 0, 0, NULL }

/* TTLs: 0 = the type's default, positive = milliseconds (at most CACHE_TTL_MAX_MS, above is cut to it), and: */
#define CACHE_TTL_NONE (-1)                   /* do not cache */
#define CACHE_TTL_FOREVER (-2)                /* no expiry; L1 is still bounded by the type's l1_ttl_ms */
#define CACHE_TTL_MAX_MS INT64_C(315360000000) /* ten years */

struct cache_set_opts {
    uint32_t size;
    uint32_t flags;                    /* must be 0 */
    int64_t ttl_ms;                    /* see CACHE_TTL_* */
    int64_t timeout_ms;                /* 0 = the cache's timeout_ms */
    const struct cache_ticket *ticket; /* of the miss that this value answers; NULL = see cache_set() */
};
#define CACHE_SET_OPTS_INIT { (uint32_t)sizeof(struct cache_set_opts), 0, 0, 0, NULL }

/* One element of a batch. Zero it before first use. */
struct cache_item {
    const struct cache_key *key; /* yours, must outlive the call */
    const void *data;            /* cache_set_many(): the value */
    size_t len;
    struct cache_value value; /* cache_get_many(): the result; release it when status is CACHE_OK */
    int status;               /* the result for this element */
};

/* ---- open and close ------------------------------------------------------------------------------------------- */

struct cache_backend_ops;     /* tiercache/backend.h */
struct cache_key_encoder_ops; /* tiercache/hooks.h, as are those below */
struct cache_ttl_ops;
struct cache_evict_ops;
struct cache_stats_sink_ops;
struct cache_event_ops;
struct cache_alloc_ops;
struct cache_clock_ops;
struct cache_log_ops;

enum {
    CACHE_OPEN_REQUIRE_L2 = 1u << 0, /* cache_open() fails unless L2 answers within connect_timeout_ms */
    CACHE_OPEN_HUGE_PAGES = 1u << 1  /* the system is asked to back L1 with huge pages (MADV_HUGEPAGE): faster where L1
                                        is much larger than the processor's caches. Memory comes in pieces of 2 MiB, and
                                        some calls wait for the system to zero one, some 0.1 ms. Not with alloc */
};

struct cache_opts {
    uint32_t size;
    uint32_t flags;   /* CACHE_OPEN_* */
    const char *name; /* namespace of every key in L2: [A-Za-z0-9_.-], 1 to 64 characters; NULL = "cache" */

    uint64_t l1_bytes;   /* memory limit of L1, all overhead counted; 0 = 64 MiB, else at least 64 KiB */
    uint32_t l1_stripes; /* locks of L1: a power of two up to 1024; 0 = chosen from l1_bytes, which is usually right.
                            A stripe below 320 KiB keeps each entry in memory of its own, which is slower */
    uint32_t l2_connections; /* shared, pipelined connections to L2; 0 = 1, at most 16 */

    const char *l2_url; /* redis://[user[:password]@]host[:port][/db], unix://[user[:password]@]/path[?db=N];
                           NULL = no Redis. Percent-encoded where needed. */
    const struct cache_backend_ops *backend; /* an L2 of your own, instead of l2_url; both = CACHE_E_INVALID */
    void *backend_ctx;                       /* given to every slot of backend; passes to the cache (see close slot) */

    int64_t default_ttl_ms;     /* for types that set no ttl_ms; 0 = 300,000 (5 minutes); or CACHE_TTL_FOREVER */
    int64_t timeout_ms;         /* of calls that give none; 0 = 1,000 */
    int64_t l2_timeout_ms;      /* the most that one L2 command may take of a call's time; 0 = 200 */
    int64_t connect_timeout_ms; /* for connecting and authenticating; 0 = 1,000 */
    uint64_t max_value_bytes;   /* larger values are refused with CACHE_E_TOO_LARGE; 0 = 64 MiB, at most 511 MiB */
    uint64_t recovery_max_keys; /* invalidations kept while L2 is out; 0 = 65,536; one of a key of more than 256 bytes
                                   counts once more for each 256 */

    const struct cache_key_encoder_ops *key_encoder; /* NULL = the default encoder (see cache_key_init) */
    void *key_encoder_ctx;
    const struct cache_evict_ops *evict; /* NULL = LRU */
    const struct cache_stats_sink_ops *stats_sink; /* NULL = none */
    void *stats_sink_ctx;
    const struct cache_event_ops *events; /* NULL = none */
    void *events_ctx;
    const struct cache_alloc_ops *alloc; /* NULL = malloc and free */
    void *alloc_ctx;
    const struct cache_clock_ops *clock; /* NULL = the system's clocks */
    void *clock_ctx;
    const struct cache_log_ops *log; /* NULL = silent */
    void *log_ctx;

    uint64_t evict_node_bytes; /* the largest cache_evict_ops.node_bytes among the policies that types will bring
                                  (cache_type_opts.evict), at most 256. Each entry has that room, rounded up to 8, and
                                  8 bytes. 0 = what evict needs: types whose policy needs more are refused */
};
#define CACHE_OPTS_INIT \
    { (uint32_t)sizeof(struct cache_opts), 0, NULL, 0, 0, 0, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, \
      NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0 }

/* Fills o from the environment, over what it already holds: REDIS_URL -> l2_url, CACHE_DEFAULT_TTL (whole seconds,
 * 1 to 315360000) -> default_ttl_ms. A variable that is unset or empty changes nothing.
 * o->l2_url then points into the environment: call cache_open() before changing it. Does not block.
 * err receives a sentence that names the variable, or nothing on success; may be NULL.
 * Returns CACHE_OK, CACHE_E_INVALID, CACHE_E_NOMEM (o is unchanged with both). */
TIERCACHE_API int cache_opts_from_env(struct cache_opts *o, char *err, size_t err_cap);

/* Opens a cache. o may be NULL (all defaults: L1 only). Strings and tables in o are copied, callback contexts must
 * outlive the cache. With L2 it waits up to connect_timeout_ms for the first connection; if that fails the cache
 * opens all the same, degraded, and keeps trying in the background (unless CACHE_OPEN_REQUIRE_L2).
 * *out is set on success only. err receives a sentence about what is wrong; may be NULL.
 * If this fails, backend_ctx still belongs to the caller.
 * Returns CACHE_OK, CACHE_E_INVALID (err names the field), CACHE_E_NOMEM, CACHE_E_SYSTEM, CACHE_E_ABI; with
 * CACHE_OPEN_REQUIRE_L2, after connect_timeout_ms and the look-up of the host name at most, also
 * CACHE_E_UNAVAILABLE, CACHE_E_TIMEOUT, CACHE_E_AUTH, CACHE_E_PROTOCOL, CACHE_E_REFUSED. */
TIERCACHE_API int cache_open(const struct cache_opts *o, struct cache **out, char *err, size_t err_cap);

/* Closes c and frees it. Refuses new calls at once, then waits up to timeout_ms (0 = do not wait, negative invalid)
 * for running calls to end, pinned values to be released and queued invalidations to reach L2. c may be NULL.
 * The cache's own thread may take up to l2_timeout_ms more to end.
 * One thread closes a cache. It returns CACHE_OK: c is gone. CACHE_BUSY: calls run, values are pinned, or the cache's
 * thread is still connecting or looking up a host name; c refuses new calls, pinned values stay readable; that thread
 * calls again. CACHE_BUSY also if another thread is closing c: c may be gone at any moment, so whoever gets that must
 * not touch c again; who cannot tell which it was must not have two threads close one cache.
 * Invalidations that L2 did not take before the time-out are given up (an event says how many). */
TIERCACHE_API int cache_close(struct cache *c, int64_t timeout_ms);

/* ---- types ---------------------------------------------------------------------------------------------------- */

enum {
    CACHE_TYPE_NO_L1 = 1u << 0,         /* entries live in L2 only; refused where there is none */
    CACHE_TYPE_NO_L2 = 1u << 1,         /* entries live in L1 only, and invalidations stay in this process; when an
                                           update takes this away, what L2 held until then is a miss here */
    CACHE_TYPE_REQUIRE_TICKET = 1u << 2 /* cache_set() without a ticket, explicit or implicit, is CACHE_E_TICKET */
};

struct cache_type_opts {
    uint32_t size;
    uint32_t flags;   /* CACHE_TYPE_* */
    const char *name; /* [A-Za-z0-9_.-], 1 to 64 characters, unique in the cache; the first part of every key */

    int64_t ttl_ms;    /* 0 = the cache's default_ttl_ms; CACHE_TTL_FOREVER allowed */
    int64_t l1_ttl_ms; /* the most an entry lives in L1, whatever its TTL; 0 = 60,000 with L2, without L2 no such bound;
                          CACHE_TTL_FOREVER = no such bound. L1 never outlives what is left in L2. With L2 this is the
                          bound on how long another process's invalidation may go unnoticed. */
    int64_t negative_ttl_ms; /* of a cached absence; 0 = the lesser of ttl_ms and 10,000; CACHE_TTL_NONE = not cached */
    int64_t max_stale_ms; /* how long past its TTL a value may answer if L2 or a loader fails; 0 = 60,000, -1 = never */
    int64_t load_timeout_ms; /* after this a load that has not ended no longer holds its key; 0 = 30,000 */
    uint32_t jitter_percent; /* each TTL is shortened by a random 0 to this many percent; 0 to 90 */
    int32_t l1_priority;     /* -8 to 8: where memory is short, entries of the type are taken for unused only a 2^-n-th
                                as long as they are; so 1 keeps them about twice as long, -1 half as long as others */

    uint64_t l1_max_value_bytes; /* larger values stay out of L1; 0 = an eighth of l1_bytes */
    uint64_t l1_quota_bytes;     /* most bytes of this type in L1, overhead counted; 0 = no quota */
    uint64_t l1_quota_entries;   /* most entries of this type in L1; 0 = no quota */

    const struct cache_ttl_ops *ttl_policy; /* decides TTLs entry by entry; NULL = the fields above */
    void *ttl_policy_ctx;

    const struct cache_evict_ops *evict; /* the order in which entries of the type leave L1; NULL = the cache's. Copied
                                            at registration, and fixed: an update takes NULL or the same. Such a type
                                            has an order of its own in each stripe; its stores go the general way */
};
#define CACHE_TYPE_OPTS_INIT \
    { (uint32_t)sizeof(struct cache_type_opts), 0, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL }

/* Checks o as cache_type_register() would, but for what depends on the cache: whether its entries have room for the
 * policy o->evict. err receives a sentence that names the field; may be NULL.
 * Does not block. Returns CACHE_OK, CACHE_E_INVALID, CACHE_E_ABI. */
TIERCACHE_API int cache_type_check(const struct cache_type_opts *o, char *err, size_t err_cap);

/* Registers a type. At most 255 in a cache. What is wrong with o goes to the log callback; cache_type_check() tells it
 * too, but for o->evict that needs larger nodes than this cache has room for (cache_opts.evict_node_bytes): that is
 * CACHE_E_INVALID, and the log says how large. Does not block. Returns CACHE_OK, CACHE_E_INVALID, CACHE_E_EXISTS,
 * CACHE_E_NOMEM, CACHE_E_SYSTEM, CACHE_E_ABI, CACHE_E_TOO_LARGE (256th type). */
TIERCACHE_API int cache_type_register(struct cache *c, const struct cache_type_opts *o, struct cache_type **out);

/* Replaces the policy of t while it is in use, but for o->evict, which stays. o->name may be NULL or t's name. Entries
 * already stored keep their TTL; quotas hold from the next store on, a new max_stale_ms at once (for values from L2, of
 * a TTL policy, or that live for more than three days: for their successors). On failure the old policy stays and err
 * names the field. Does not block. Returns CACHE_OK, CACHE_E_INVALID, CACHE_E_ABI, CACHE_E_NOMEM. */
TIERCACHE_API int cache_type_update(struct cache_type *t, const struct cache_type_opts *o, char *err, size_t err_cap);

/* Finds a registered type. Does not block. Returns CACHE_OK, CACHE_E_NOT_FOUND. */
TIERCACHE_API int cache_type_find(struct cache *c, const char *name, struct cache_type **out);

/* ---- keys ----------------------------------------------------------------------------------------------------- */

#define CACHE_KEY_MAX_BYTES 262144 /* of an encoded key; a part of 64 KiB fits whatever its bytes */

/* A key is a type and a list of parts. A part is a string of bytes; a number is the same part as its decimal text.
 * Two different lists never give the same key. The default encoding is type ":" part ":" part ..., where the bytes
 * of a part that are not printable ASCII, and space, % : { } are written %XX.
 * Each function returns k, so that calls chain; an error (too long, out of memory, null pointer) sticks to the key
 * and every verb that gets it reports it. Values are copied. None of them blocks.
 *
 * cache_key_init starts a key over; call cache_key_fini() first if k already held one above 200 bytes. */
TIERCACHE_API struct cache_key *cache_key_init(struct cache_key *k, const struct cache_type *t);
TIERCACHE_API struct cache_key *cache_key_str(struct cache_key *k, const char *s);
TIERCACHE_API struct cache_key *cache_key_bytes(struct cache_key *k, const void *p, size_t n);
TIERCACHE_API struct cache_key *cache_key_i64(struct cache_key *k, int64_t v);
TIERCACHE_API struct cache_key *cache_key_u64(struct cache_key *k, uint64_t v);

/* The sticky error: CACHE_OK, CACHE_E_INVALID, CACHE_E_NOMEM, CACHE_E_TOO_LARGE, or what a custom encoder returned. */
TIERCACHE_API int cache_key_status(const struct cache_key *k);

/* Writes the encoded key and a NUL into buf; *len (may be NULL) is its length without the NUL, also when buf is too
 * small. Returns CACHE_OK, CACHE_E_BUFFER, or the key's sticky error. Does not block. */
TIERCACHE_API int cache_key_text(const struct cache_key *k, char *buf, size_t cap, size_t *len);

/* Frees what the key holds; needed only above 200 bytes. Safe on an initialised key, also twice, and also after its
 * cache was closed (a custom allocator must still be there then); k may be NULL. */
TIERCACHE_API void cache_key_fini(struct cache_key *k);

/* ---- get and set ---------------------------------------------------------------------------------------------- */

/* Looks k up in L1, then in L2; an L2 hit is kept in L1. Blocks for L2 only, within o->timeout_ms.
 * While L2 is out of reach an L1 entry past its TTL but within max_stale_ms answers, flagged CACHE_META_STALE.
 * v is pinned on CACHE_OK: release it with cache_value_release(); on any other result it is zeroed, except v->meta.
 * A miss leaves a ticket in o->ticket, and as this thread's implicit ticket for k (see cache_set).
 * Returns CACHE_OK, CACHE_MISS, CACHE_ABSENT, CACHE_E_NOMEM, or the key's sticky error. */
TIERCACHE_API int cache_get(struct cache *c, const struct cache_key *k, const struct cache_call *o,
                            struct cache_value *v);

/* As cache_get() with no options, but copies the value into buf, and pins nothing. m (may be NULL) is filled on
 * CACHE_OK and CACHE_E_BUFFER; m->len is the size of the value.
 * Returns as cache_get(), and CACHE_E_BUFFER: found, larger than cap, nothing was copied. */
TIERCACHE_API int cache_get_copy(struct cache *c, const struct cache_key *k, void *buf, size_t cap,
                                 struct cache_meta *m);

/* Stores a value in both tiers. data may be NULL if len is 0 (an empty value is a value). Blocks for L2 only, within
 * o->timeout_ms.
 * With a ticket - o->ticket, or, without one, the ticket of this thread's last miss on k if it is among its last 64
 * misses and younger than a minute - the value is the answer to that miss: it is refused with CACHE_E_TICKET if the
 * key was invalidated or written in this process since. Hence get, miss, read the database, set never stores a value
 * that an invalidation overtook. Without any ticket the set is an authoritative write: it replaces what is there.
 * Returns CACHE_OK: stored, L2 executed it (or there is no L2 for this type). CACHE_QUEUED: L2 is out or refused it;
 * the value is in this process's L1 if its type and size allow. Where L2 may hold something else under k, an
 * invalidation of k is sent before this process uses L2 again. CACHE_E_UNKNOWN: as CACHE_QUEUED, but that
 * invalidation could not be kept (see recovery_max_keys). CACHE_E_TICKET: not stored. CACHE_E_TOO_LARGE,
 * CACHE_E_NOMEM, CACHE_E_TIMEOUT (another writer of k kept it waiting): not stored; an authoritative write then
 * invalidates k, so that what it was to replace is not served either. Or the key's sticky error. */
TIERCACHE_API int cache_set(struct cache *c, const struct cache_key *k, const void *data, size_t len,
                            const struct cache_set_opts *o);

/* As cache_set(), but stores that the origin has nothing under k (for negative_ttl_ms unless o says otherwise). */
TIERCACHE_API int cache_set_absent(struct cache *c, const struct cache_key *k, const struct cache_set_opts *o);

/* Unpins. v may be NULL, never pinned, or released before. Does not block. */
TIERCACHE_API void cache_value_release(struct cache_value *v);

/* ---- read-through --------------------------------------------------------------------------------------------- */

/* Reads the origin for one key and replies through ld. Called with no lock held; may use the cache for other keys.
 * Returns CACHE_OK after a reply (the last wins), a code in [CACHE_E_USER_LAST, CACHE_E_USER_FIRST], CACHE_E_NOMEM or
 * CACHE_E_TOO_LARGE; anything else counts as CACHE_E_LOAD. Must not longjmp out; an exception or pthread_exit is
 * survived (CACHE_E_LOAD for those who wait). */
typedef int cache_load_fn(struct cache_load *ld, const struct cache_key *k, void *user);

enum { CACHE_FETCH_NO_STALE = 1u << 0 /* never answer with a value past its TTL */ };

struct cache_fetch_opts {
    uint32_t size;
    uint32_t flags; /* CACHE_FETCH_* */
    cache_load_fn *load;
    void *user;         /* given to load */
    int64_t timeout_ms; /* 0 = the cache's timeout_ms */
};
#define CACHE_FETCH_OPTS_INIT { (uint32_t)sizeof(struct cache_fetch_opts), 0, NULL, NULL, 0 }

/* Looks k up in L1, then L2, then calls o->load in this thread and stores its reply in both tiers. Callers in this
 * process that miss the same key share one load; each waits no longer than its own time-out. Who arrives after an
 * invalidation never gets the value of a load that began before it, and such a load stores nothing.
 * While L2 is out of reach, and if the loader fails or the time runs out, an L1 entry past its TTL but within
 * max_stale_ms answers, flagged CACHE_META_STALE (not with CACHE_FETCH_NO_STALE). The loader itself is not
 * interrupted: it should respect cache_load_remaining_ms().
 * v as in cache_get(). Returns CACHE_OK, CACHE_ABSENT, CACHE_E_TIMEOUT, CACHE_E_DEADLOCK, CACHE_E_LOAD, a loader's
 * own code, CACHE_E_TOO_LARGE, CACHE_E_NOMEM, or the key's sticky error. */
TIERCACHE_API int cache_fetch(struct cache *c, const struct cache_key *k, const struct cache_fetch_opts *o,
                              struct cache_value *v);

/* Replies with a copy of data. data may be NULL if len is 0.
 * Returns CACHE_OK, CACHE_E_NOMEM, CACHE_E_TOO_LARGE. Does not block. */
TIERCACHE_API int cache_load_reply(struct cache_load *ld, const void *data, size_t len);

/* Replies with len bytes that the loader writes into the returned buffer before it returns.
 * Returns NULL when out of memory or above max_value_bytes. Does not block. */
TIERCACHE_API void *cache_load_buffer(struct cache_load *ld, size_t len);

/* Replies that the origin has nothing under this key. Returns CACHE_OK, CACHE_E_NOMEM. Does not block. */
TIERCACHE_API int cache_load_absent(struct cache_load *ld);

/* Sets this value's TTL (see CACHE_TTL_*); it goes before the type's policy. Returns CACHE_OK. Does not block. */
TIERCACHE_API int cache_load_ttl(struct cache_load *ld, int64_t ttl_ms);

/* What is left of the time-out of the caller who runs this loader; never negative. Does not block. */
TIERCACHE_API int64_t cache_load_remaining_ms(const struct cache_load *ld);

/* ---- invalidate ----------------------------------------------------------------------------------------------- */

/* Drops k from this process's L1 and from L2 and voids every ticket and running load of it in this process. Call it
 * after the origin's commit. Other processes' L1 copies live until their l1_ttl_ms. Blocks for L2 only, within
 * o->timeout_ms; in this process it is in force when the call returns, whatever it returns. o->flags must be 0 and
 * o->ticket NULL.
 * Returns CACHE_OK: L2 executed it (or there is no L2 for this type). CACHE_QUEUED: L2 gave no answer; it is kept,
 * coalesced by key, and sent before this process reads L2 again. CACHE_E_UNKNOWN: as CACHE_QUEUED, but it could not be
 * kept (recovery_max_keys, memory): this process treats whatever L2 held until then as a miss, other processes may
 * read it until it expires. Or the key's sticky error. */
TIERCACHE_API int cache_invalidate(struct cache *c, const struct cache_key *k, const struct cache_call *o);

/* Drops everything that is in this process's L1 when it is called, and voids every ticket and running load. What others
 * store meanwhile may stay or go. L2 is left alone. Does not block: it takes each stripe's lock in turn, several times,
 * for a fraction of a millisecond. Returns CACHE_OK. */
TIERCACHE_API int cache_clear_local(struct cache *c);

/* Another memory limit for L1, while the cache is in use. What is too much is evicted by this call, a little at a time,
 * so that others wait for no lock longer than for a store. timeout_ms 0 = the cache's. The number of stripes stays as
 * it was opened, as does whether they have pages, and what a type's l1_max_value_bytes was taken to be. A pinned value
 * keeps the page that it lies in, or the chunk of 16 KiB or more, whatever else was there.
 * Returns CACHE_OK: the limit holds. CACHE_E_TIMEOUT: not all memory is given back yet; stores go on giving it back,
 * and so does another call; where callers hold too much, when they release it. CACHE_BUSY: another thread is at it.
 * CACHE_E_INVALID: timeout_ms is negative, or l1_bytes is above INT64_MAX, or less than 16 KiB for each stripe (64 KiB
 * if it was 320 KiB when the cache was opened), or less than twice what the stripes themselves take. */
TIERCACHE_API int cache_resize(struct cache *c, uint64_t l1_bytes, int64_t timeout_ms);

/* ---- batches: one round trip to L2 ---------------------------------------------------------------------------- */

/* As cache_get() for each it[i].key; results in it[i].status and it[i].value. o->ticket must be NULL: the tickets are
 * implicit. it may hold one key twice. n at most 65,536.
 * Returns CACHE_OK: every status is set. CACHE_E_NOMEM: every status that could not be decided is CACHE_E_NOMEM; what
 * memory was not needed for is decided, hits of L1 as a rule, and these hold values to be released. */
TIERCACHE_API int cache_get_many(struct cache *c, struct cache_item *it, size_t n, const struct cache_call *o);

/* As cache_set() for each it[i]; o->ticket must be NULL. Without memory for the batch it takes one round trip for each.
 * Returns CACHE_OK: every status is set. */
TIERCACHE_API int cache_set_many(struct cache *c, struct cache_item *it, size_t n, const struct cache_set_opts *o);

/* As cache_invalidate() for each it[i].key; 64 keys a round trip. Returns CACHE_OK: every status is set. */
TIERCACHE_API int cache_invalidate_many(struct cache *c, struct cache_item *it, size_t n, const struct cache_call *o);

/* ---- statistics ----------------------------------------------------------------------------------------------- */

/* Fills s (see tiercache/stats.h) for type t, or for the whole cache if t is NULL. size is sizeof *s. Never blocks
 * the hot path: counters are summed while they move, so sums of several fields may be off by what is under way.
 * Returns CACHE_OK. */
TIERCACHE_API int cache_stats_read(struct cache *c, const struct cache_type *t, struct cache_stats *s, size_t size);

/* Writes s as lines "name value unit" and a NUL into buf; *len (may be NULL) is the length needed without the NUL.
 * Does not block. Returns CACHE_OK, CACHE_E_BUFFER. */
TIERCACHE_API int cache_stats_text(const struct cache_stats *s, char *buf, size_t cap, size_t *len);

/* Gives every field of the cache's and each type's statistics to the stats_sink table. Call it as often as you want
 * to export. Blocks as long as your callback does. Returns CACHE_OK, CACHE_E_NOT_FOUND (no sink was given). */
TIERCACHE_API int cache_stats_push(struct cache *c);

#ifdef __cplusplus
}
#endif
#endif
