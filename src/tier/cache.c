/* The frame around every call: is this a cache, is it ours to use, and is it being closed; and the key's place in it.
 * */
#include "tier/cache.h"

static struct tc_call_count *my_calls(struct cache *c)
{
    return &c->calls[tc_thread_slot() % TC_CALL_SHARDS];
}

int tc_cache_enter(struct cache *c)
{
    if (c == NULL || c->magic != TC_CACHE_MAGIC)
        return CACHE_E_INVALID;
    if (tc_fork_guard_is_child(&c->fork))
        return CACHE_E_FORKED;
    /* Sequentially consistent, as in cache_close(): either that sees this call, or this call sees closing. */
    atomic_fetch_add(&my_calls(c)->n, 1);
    if (!atomic_load(&c->closing))
        return CACHE_OK;
    tc_cache_leave(c);
    return CACHE_E_CLOSED;
}

void tc_cache_leave(struct cache *c)
{
    atomic_fetch_sub_explicit(&my_calls(c)->n, 1, memory_order_release);
}

int tc_cache_target(struct cache *c, const struct cache_key *key, struct tc_target *t)
{
    const struct tc_key *k = (const struct tc_key *)key;
    if (!tc_key_is_valid(k))
        return CACHE_E_INVALID;
    if (k->status != CACHE_OK)
        return k->status;
    if (k->type->cache != c || k->len == 0)
        return CACHE_E_INVALID;
    t->type = (struct cache_type *)k->type;
    t->ref.key = (struct cache_slice){ tc_key_data(k), k->len };
    t->ref.hash = tc_hash_bytes(&c->hash, t->ref.key.data, t->ref.key.len);
    return CACHE_OK;
}

int tc_cache_enter_key(struct cache *c, const struct cache_key *k, struct tc_target *t)
{
    if (c == NULL || c->magic != TC_CACHE_MAGIC)
        return CACHE_E_INVALID;
    /* The key first, since its place in L1 can be on its way from memory while the call is entered. */
    int key_rc = tc_cache_target(c, k, t);
    if (key_rc == CACHE_OK)
        tc_l1_prefetch(&c->l1, t->ref.hash);
    int rc = tc_cache_enter(c);
    if (rc != CACHE_OK)
        return rc;
    if (key_rc != CACHE_OK)
        tc_cache_leave(c);
    return key_rc;
}

int64_t tc_cache_deadline(struct cache *c, int64_t timeout_ms)
{
    return tc_deadline(tc_clock_now_ms(&c->clock), timeout_ms > 0 ? timeout_ms : c->timeout_ms);
}
