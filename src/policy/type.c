/* Types: validation of their options, and a policy that can be replaced while it is read.
 *
 * The policy is a few words; readers want all of them from one version. They copy the words between two reads of a
 * sequence number, and again if it moved or was odd. Every access is atomic, so a torn copy is thrown away, never
 * undefined. A hit in L1 needs none of this: what it must know is in the entry. */
#include "policy/type.h"

#include <stdio.h>
#include <string.h>

#include "policy/evict.h"

#define TYPE_MAGIC UINT64_C(0x7463747970653031)

bool tc_name_is_valid(const char *name)
{
    size_t n = 0;
    for (; name[n] != '\0'; n++) {
        char ch = name[n];
        bool ok = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || ch == '_' ||
                  ch == '.' || ch == '-';
        if (!ok || n == TC_NAME_MOST)
            return false;
    }
    return n > 0;
}

static int refuse(char *err, size_t err_cap, const char *field, const char *why)
{
    if (err != NULL && err_cap > 0)
        snprintf(err, err_cap, "%s: %s", field, why);
    return CACHE_E_INVALID;
}

static int64_t cut(int64_t ttl_ms)
{
    return ttl_ms > CACHE_TTL_MAX_MS ? CACHE_TTL_MAX_MS : ttl_ms;
}

#define DEFAULT_L1_TTL_MS 60000
#define DEFAULT_NEGATIVE_TTL_MS 10000
#define DEFAULT_MAX_STALE_MS 60000
#define DEFAULT_LOAD_TIMEOUT_MS 30000
#define JITTER_MAX_PERCENT 90
#define PRIORITY_MAX 8
#define TYPE_FLAGS (CACHE_TYPE_NO_L1 | CACHE_TYPE_NO_L2 | CACHE_TYPE_REQUIRE_TICKET)

static int check(const struct cache_type_opts *o, char *err, size_t err_cap)
{
    if (o->flags & ~(uint32_t)TYPE_FLAGS)
        return refuse(err, err_cap, "flags", "unknown bits are set");
    if ((o->flags & CACHE_TYPE_NO_L1) && (o->flags & CACHE_TYPE_NO_L2))
        return refuse(err, err_cap, "flags", "NO_L1 and NO_L2 together: no tier is left");
    if (o->ttl_ms < 0 && o->ttl_ms != CACHE_TTL_FOREVER)
        return refuse(err, err_cap, "ttl_ms", "must be 0 (default), positive or CACHE_TTL_FOREVER");
    if (o->l1_ttl_ms < 0 && o->l1_ttl_ms != CACHE_TTL_FOREVER)
        return refuse(err, err_cap, "l1_ttl_ms", "must be 0 (default), positive or CACHE_TTL_FOREVER");
    if (o->negative_ttl_ms < 0 && o->negative_ttl_ms != CACHE_TTL_NONE)
        return refuse(err, err_cap, "negative_ttl_ms", "must be 0 (default), positive or CACHE_TTL_NONE");
    if (o->max_stale_ms < -1)
        return refuse(err, err_cap, "max_stale_ms", "must be 0 (default), positive or -1 (never)");
    if (o->load_timeout_ms < 0)
        return refuse(err, err_cap, "load_timeout_ms", "must not be negative");
    if (o->jitter_percent > JITTER_MAX_PERCENT)
        return refuse(err, err_cap, "jitter_percent", "must be 0 to 90");
    if (o->l1_priority < -PRIORITY_MAX || o->l1_priority > PRIORITY_MAX)
        return refuse(err, err_cap, "l1_priority", "must be -8 to 8");
    if (o->ttl_policy != NULL && (o->ttl_policy->abi != CACHE_HOOKS_ABI || o->ttl_policy->decide == NULL)) {
        refuse(err, err_cap, "ttl_policy", "unknown abi or no decide slot");
        return CACHE_E_ABI;
    }
    const char *fault = o->evict != NULL ? tc_evict_fault(o->evict) : NULL;
    if (fault != NULL) {
        refuse(err, err_cap, "evict", fault);
        return CACHE_E_ABI;
    }
    return CACHE_OK;
}

int tc_policy_resolve(const struct cache_type_opts *o, const struct tc_policy_defaults *d, struct tc_policy *p,
                      char *err, size_t err_cap)
{
    int rc = check(o, err, err_cap);
    if (rc != CACHE_OK)
        return rc;
    if ((o->flags & CACHE_TYPE_NO_L1) && !d->has_l2)
        return refuse(err, err_cap, "flags", "NO_L1 in a cache without L2: no tier is left");
    bool uses_l2 = d->has_l2 && !(o->flags & CACHE_TYPE_NO_L2);
    memset(p, 0, sizeof *p);
    p->flags = o->flags;
    p->jitter_percent = o->jitter_percent;
    p->ttl_ms = cut(o->ttl_ms != 0 ? o->ttl_ms : d->ttl_ms);
    p->l1_ttl_ms = cut(o->l1_ttl_ms != 0 ? o->l1_ttl_ms : uses_l2 ? DEFAULT_L1_TTL_MS : CACHE_TTL_FOREVER);
    p->negative_ttl_ms = cut(o->negative_ttl_ms);
    if (p->negative_ttl_ms == 0)
        p->negative_ttl_ms =
            p->ttl_ms > 0 && p->ttl_ms < DEFAULT_NEGATIVE_TTL_MS ? p->ttl_ms : DEFAULT_NEGATIVE_TTL_MS;
    p->max_stale_ms = o->max_stale_ms < 0 ? 0 : o->max_stale_ms > 0 ? cut(o->max_stale_ms) : DEFAULT_MAX_STALE_MS;
    p->load_timeout_ms = o->load_timeout_ms > 0 ? cut(o->load_timeout_ms) : DEFAULT_LOAD_TIMEOUT_MS;
    p->l1_max_value_bytes = o->l1_max_value_bytes > 0 ? o->l1_max_value_bytes : d->l1_bytes / 8;
    p->l1_quota_bytes = o->l1_quota_bytes;
    p->l1_quota_entries = o->l1_quota_entries;
    p->l1_priority = o->l1_priority;
    p->decide = o->ttl_policy != NULL ? o->ttl_policy->decide : NULL;
    p->decide_ctx = o->ttl_policy_ctx;
    return CACHE_OK;
}

int tc_type_open(struct cache *c, const struct tc_alloc *alloc, const struct tc_key_encoder *encoder,
                 const char *name, uint32_t id, const struct tc_policy *p, struct cache_type **out)
{
    _Static_assert(sizeof(struct tc_policy) % sizeof(uint64_t) == 0, "the policy is copied word by word");
    struct cache_type *t = tc_alloc_lines(alloc, sizeof *t);
    if (t == NULL)
        return CACHE_E_NOMEM;
    t->alloc = alloc;
    t->cache = c;
    t->encoder = encoder;
    t->id = id;
    t->name_len = strlen(name);
    tc_assert(t->name_len <= TC_NAME_MOST);
    memcpy(t->name, name, t->name_len);
    uint64_t seed;
    if (tc_random_bytes(&seed, sizeof seed) != 0 || tc_lock_init(&t->update_lock) != 0) {
        tc_free_lines(alloc, t, sizeof *t);
        return CACHE_E_SYSTEM;
    }
    t->jitter_state = seed;
    t->magic = TYPE_MAGIC;
    t->l2_since_ms = INT64_MIN;
    tc_type_set_policy(t, p, INT64_MIN);
    *out = t;
    return CACHE_OK;
}

void tc_type_close(struct cache_type *t)
{
    if (t == NULL)
        return;
    t->magic = 0;
    tc_lock_fini(&t->update_lock);
    tc_free_lines(t->alloc, t, sizeof *t);
}

bool tc_type_is_valid(const struct cache_type *t)
{
    return t != NULL && t->magic == TYPE_MAGIC;
}

/* What short ways of hits and stores go by. Stores: those of entries that stand in the order which types share. */
static void set_plain(struct cache_type *t, const struct tc_policy *p)
{
    bool hits = t->simple && !(p->flags & CACHE_TYPE_NO_L1);
    bool stores = hits && !t->has_evict && !(p->flags & CACHE_TYPE_REQUIRE_TICKET) && p->jitter_percent == 0 &&
                  p->decide == NULL && p->l1_quota_bytes == 0 && p->l1_quota_entries == 0 && p->l1_priority == 0;
    const void *none = t;
    atomic_store_explicit(&t->plain_for, hits ? t->cache : none, memory_order_relaxed);
    atomic_store_explicit(&t->plain_ttl_ms, stores ? p->ttl_ms : 0, memory_order_relaxed);
    atomic_store_explicit(&t->plain_l1_ttl_ms, stores ? p->l1_ttl_ms : 0, memory_order_relaxed);
    atomic_store_explicit(&t->plain_max_bytes, stores ? p->l1_max_value_bytes : 0, memory_order_relaxed);
}

void tc_type_set_evict(struct cache_type *t, const struct cache_evict_ops *evict, bool tells_hits)
{
    t->evict = *evict;
    t->has_evict = true;
    t->tells_hits = tells_hits;
}

bool tc_type_has_evict(const struct cache_type *t, const struct cache_evict_ops *evict)
{
    return t->has_evict && memcmp(&t->evict, evict, sizeof *evict) == 0;
}

void tc_type_make_simple(struct cache_type *t)
{
    struct tc_policy p;
    tc_type_policy(t, &p);
    t->simple = true;
    set_plain(t, &p);
}

void tc_type_policy(const struct cache_type *t, struct tc_policy *out)
{
    uint64_t words[TC_POLICY_WORDS], before, after;
    do {
        before = atomic_load_explicit(&t->sequence, memory_order_acquire);
        /* Acquire keeps each word's load before the second look at the sequence without a fence, which
         * ThreadSanitizer would not see. */
        for (size_t i = 0; i < TC_POLICY_WORDS; i++)
            words[i] = atomic_load_explicit(&t->words[i], memory_order_acquire);
        after = atomic_load_explicit(&t->sequence, memory_order_relaxed);
    } while (before != after || before % 2 != 0);
    memcpy(out, words, sizeof *out);
}

int64_t tc_type_l2_since(const struct cache_type *t)
{
    return atomic_load_explicit(&t->l2_since_ms, memory_order_relaxed);
}

static void set_policy_locked(struct cache_type *t, const struct tc_policy *p, int64_t now_ms)
{
    tc_lock_assert_held(&t->update_lock);
    uint64_t words[TC_POLICY_WORDS];
    /* One more than now: what was written in this very millisecond may be from before. */
    if (tc_type_flags(t) & ~p->flags & CACHE_TYPE_NO_L2)
        atomic_store_explicit(&t->l2_since_ms, now_ms + 1, memory_order_relaxed);
    atomic_store_explicit(&t->max_stale_ms, p->max_stale_ms, memory_order_relaxed);
    atomic_store_explicit(&t->l1_priority, p->l1_priority, memory_order_relaxed);
    set_plain(t, p);
    memcpy(words, p, sizeof *p);
    uint64_t sequence = atomic_load_explicit(&t->sequence, memory_order_relaxed);
    atomic_store_explicit(&t->sequence, sequence + 1, memory_order_relaxed);
    /* Each release store carries the odd number before it: who reads a new word then finds the sequence moved. */
    for (size_t i = 0; i < TC_POLICY_WORDS; i++)
        atomic_store_explicit(&t->words[i], words[i], memory_order_release);
    atomic_store_explicit(&t->sequence, sequence + 2, memory_order_release);
}

void tc_type_set_policy(struct cache_type *t, const struct tc_policy *p, int64_t now_ms)
{
    tc_lock_acquire(&t->update_lock);
    set_policy_locked(t, p, now_ms);
    tc_lock_release(&t->update_lock);
}
