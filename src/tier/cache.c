/* The frame around every call: is this a cache, is it ours to use, and is it being closed; and the key's place in it.
 * */
#include "tier/cache.h"

int tc_cache_enter_as(struct cache *c, struct tc_reader **me)
{
    if (c == NULL || c->magic != TC_CACHE_MAGIC)
        return CACHE_E_INVALID;
    if (tc_fork_guard_is_child(&c->fork))
        return CACHE_E_FORKED;
    *me = tc_reader_self(&c->l1.readers);
    tc_readers_add_calls(&c->l1.readers, *me, 1);
    /* Against the barrier in cache_close(): either that sees this call, or this call sees closing. */
    tc_readers_fence(&c->l1.readers);
    if (!atomic_load_explicit(&c->closing, memory_order_relaxed))
        return CACHE_OK;
    tc_cache_leave_as(c, *me);
    return CACHE_E_CLOSED;
}

int tc_cache_enter(struct cache *c)
{
    struct tc_reader *me;
    return tc_cache_enter_as(c, &me);
}

void tc_cache_leave_as(struct cache *c, struct tc_reader *me)
{
    tc_readers_add_calls(&c->l1.readers, me, -1);
}

void tc_cache_leave(struct cache *c)
{
    tc_cache_leave_as(c, tc_reader_self(&c->l1.readers));
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
    t->ref.hash = tc_key_hash(k, &c->hash);
    return CACHE_OK;
}

int tc_cache_enter_key_as(struct cache *c, const struct cache_key *k, struct tc_target *t, struct tc_reader **me)
{
    if (c == NULL || c->magic != TC_CACHE_MAGIC)
        return CACHE_E_INVALID;
    /* The key first, since its place in L1 can be on its way from memory while the call is entered. */
    int key_rc = tc_cache_target(c, k, t);
    if (key_rc == CACHE_OK)
        tc_l1_prefetch(&c->l1, t->ref.hash);
    int rc = tc_cache_enter_as(c, me);
    if (rc != CACHE_OK)
        return rc;
    if (key_rc != CACHE_OK)
        tc_cache_leave_as(c, *me);
    return key_rc;
}

int tc_cache_enter_key(struct cache *c, const struct cache_key *k, struct tc_target *t)
{
    struct tc_reader *me;
    return tc_cache_enter_key_as(c, k, t, &me);
}

int64_t tc_cache_deadline(struct cache *c, int64_t timeout_ms)
{
    return tc_deadline(tc_clock_now_ms(&c->clock), timeout_ms > 0 ? timeout_ms : c->timeout_ms);
}
