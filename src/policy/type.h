/* A type of entries and its policy. The policy is read by every store and replaced while in use. */
#ifndef TC_POLICY_TYPE_H
#define TC_POLICY_TYPE_H

#include "base/alloc.h"
#include "base/stats.h"
#include "platform/platform.h"
#include "tiercache.h"
#include "tiercache/hooks.h"

/* cache_type_opts with every default filled in: no field has a special zero any more. */
struct tc_policy {
    uint64_t flags;
    uint64_t jitter_percent;
    int64_t ttl_ms;          /* > 0 or CACHE_TTL_FOREVER */
    int64_t l1_ttl_ms;       /* > 0 or CACHE_TTL_FOREVER */
    int64_t negative_ttl_ms; /* > 0 or CACHE_TTL_NONE */
    int64_t max_stale_ms;    /* >= 0 */
    int64_t load_timeout_ms; /* > 0 */
    uint64_t l1_max_value_bytes;
    uint64_t l1_quota_bytes;   /* 0: none */
    uint64_t l1_quota_entries; /* 0: none */
    int64_t l1_priority;       /* -8 to 8 */
    void (*decide)(void *ctx, const struct cache_ttl_view *view, struct cache_ttl *ttl); /* may be NULL */
    void *decide_ctx;
};

/* What the cache contributes to the defaults of its types. */
struct tc_policy_defaults {
    int64_t ttl_ms;
    uint64_t l1_bytes;
    bool has_l2;
};

/* Fills p from o. Returns CACHE_OK, CACHE_E_INVALID or CACHE_E_ABI with the field's name in err (may be NULL). */
int tc_policy_resolve(const struct cache_type_opts *o, const struct tc_policy_defaults *d, struct tc_policy *p,
                      char *err, size_t err_cap);

/* A key encoder table as the cache holds it. */
struct tc_key_encoder {
    struct cache_key_encoder_ops ops;
    void *ctx;
};

#define TC_TYPES_MAX 255
#define TC_NAME_MOST 64 /* characters */
#define TC_POLICY_WORDS (sizeof(struct tc_policy) / sizeof(uint64_t))

struct cache_type {
    uint64_t magic;
    struct cache *cache;
    const struct tc_alloc *alloc;
    const struct tc_key_encoder *encoder;
    struct cache_type *next; /* in the cache's list; set before the type is published */
    char name[TC_NAME_MOST + 8]; /* zeros behind it */
    size_t name_len;
    uint32_t id; /* 0 to TC_TYPES_MAX - 1 */

    /* The policy as words behind a sequence number: readers copy it and try again if a writer was at it. */
    struct tc_lock update_lock; /* serialises writers */
    _Atomic uint64_t sequence;  /* odd while a writer is at it */
    _Atomic uint64_t words[TC_POLICY_WORDS];

    /* Set before it is published. */
    struct cache_evict_ops evict; /* an eviction policy of its own, if it has one */
    bool has_evict;
    bool tells_hits; /* that one is told of hits otherwise than the cache's, so its entries say that it wants to know */
    bool simple;     /* neither its number nor its eviction policy asks for more than what a hit does as a rule */

    /* Its cache, if besides its policy uses L1; else the type itself, which is nobody's cache, as NULL is not. */
    _Atomic(const void *) plain_for;
    /* For a store that asks for no more than these (tier/set.h): the policy's, or 0, and then it asks for more. */
    _Atomic int64_t plain_ttl_ms, plain_l1_ttl_ms;
    _Atomic uint64_t plain_max_bytes;
    _Atomic int64_t max_stale_ms, l1_priority; /* the policy's, for those who ask for nothing else */
    _Atomic int64_t l2_since_ms; /* monotonic: when it last came to use L2 after a time without; else INT64_MIN */
    /* Written by stores, and on a line without what each of them reads. */
    _Alignas(TC_CACHELINE) _Atomic uint64_t jitter_state;
    _Atomic uint64_t l1_entries, l1_bytes; /* in use, all stripes */
    struct tc_stats stats;
};

/* Makes a type. Returns CACHE_OK, CACHE_E_NOMEM, CACHE_E_SYSTEM. */
int tc_type_open(struct cache *c, const struct tc_alloc *alloc, const struct tc_key_encoder *encoder,
                 const char *name, uint32_t id, const struct tc_policy *p, struct cache_type **out);
void tc_type_close(struct cache_type *t); /* t may be NULL */
bool tc_type_is_valid(const struct cache_type *t);

void tc_type_policy(const struct cache_type *t, struct tc_policy *out); /* a consistent copy */
/* CACHE_TYPE_*, one load. Acquire: who sees that the type uses L2 sees since when. */
static inline uint64_t tc_type_flags(const struct cache_type *t)
{
    return atomic_load_explicit(&t->words[offsetof(struct tc_policy, flags) / sizeof(uint64_t)], memory_order_acquire);
}
/* Whether a hit in c of an entry of that type is the plain case (tier/hit.h). c may be NULL: false. */
static inline bool tc_type_is_plain_for(const struct cache_type *t, const struct cache *c)
{
    return atomic_load_explicit(&t->plain_for, memory_order_relaxed) == c;
}
/* Before the type is published: gives it an eviction policy of its own, in which tc_evict_fault() found none. */
void tc_type_set_evict(struct cache_type *t, const struct cache_evict_ops *evict, bool tells_hits);
/* The same: says that it is simple. */
void tc_type_make_simple(struct cache_type *t);
static inline int64_t tc_type_priority(const struct cache_type *t)
{
    return atomic_load_explicit(&t->l1_priority, memory_order_relaxed);
}
static inline int64_t tc_type_max_stale_ms(const struct cache_type *t)
{
    return atomic_load_explicit(&t->max_stale_ms, memory_order_relaxed);
}
/* now_ms on the cache's monotonic clock. */
void tc_type_set_policy(struct cache_type *t, const struct tc_policy *p, int64_t now_ms);
/* What lies in L2 from before that moment missed the invalidations of a time in which the type did not use it. */
int64_t tc_type_l2_since(const struct cache_type *t);

/* Whether that is the eviction policy that it was registered with. */
bool tc_type_has_evict(const struct cache_type *t, const struct cache_evict_ops *evict);

/* A name of a type or a cache: [A-Za-z0-9_.-], 1 to 64 characters. */
bool tc_name_is_valid(const char *name);

#endif
