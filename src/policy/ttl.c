/* The order of precedence: the type's fields, then its TTL table, then what the caller or loader asked for this one
 * value; L1 is bounded by l1_ttl_ms whatever else was said; jitter shortens both by the same share. */
#include "policy/ttl.h"

bool tc_ttl_is_valid(int64_t ttl_ms)
{
    return ttl_ms >= 0 || ttl_ms == CACHE_TTL_NONE || ttl_ms == CACHE_TTL_FOREVER;
}

int64_t tc_ttl_min(int64_t a, int64_t b)
{
    if (a == CACHE_TTL_FOREVER)
        return b;
    if (b == CACHE_TTL_FOREVER)
        return a;
    return a < b ? a : b;
}

static int64_t cut(int64_t ttl_ms)
{
    return ttl_ms > CACHE_TTL_MAX_MS ? CACHE_TTL_MAX_MS : ttl_ms;
}

static int64_t shorten(int64_t ttl_ms, uint64_t jitter_percent, uint64_t ticks)
{
    if (ttl_ms <= 0 || jitter_percent == 0)
        return ttl_ms;
    /* The low 16 bits of ticks as a fraction; in two halves, so that no product overflows. */
    uint64_t most = (uint64_t)ttl_ms * jitter_percent / 100;
    uint64_t less = (most >> 16) * (ticks & 0xffff) + ((most & 0xffff) * (ticks & 0xffff) >> 16);
    return ttl_ms - (int64_t)less > 0 ? ttl_ms - (int64_t)less : 1;
}

struct cache_ttl tc_ttl_decide(const struct tc_policy *p, const struct tc_ttl_ask *ask, uint64_t ticks)
{
    struct cache_ttl ttl = { ask->view.absent ? p->negative_ttl_ms : p->ttl_ms, p->l1_ttl_ms };
    if (p->decide != NULL) {
        struct cache_ttl asked = ttl;
        p->decide(p->decide_ctx, &ask->view, &asked);
        if (asked.ttl_ms != 0 && tc_ttl_is_valid(asked.ttl_ms))
            ttl.ttl_ms = asked.ttl_ms;
        if (asked.l1_ttl_ms != 0 && tc_ttl_is_valid(asked.l1_ttl_ms))
            ttl.l1_ttl_ms = asked.l1_ttl_ms;
    }
    if (ask->wished_ms != 0)
        ttl.ttl_ms = ask->wished_ms;
    if (ttl.ttl_ms == CACHE_TTL_NONE) {
        ttl.l1_ttl_ms = CACHE_TTL_NONE;
        return ttl;
    }
    if (ttl.l1_ttl_ms != CACHE_TTL_NONE)
        ttl.l1_ttl_ms = tc_ttl_min(tc_ttl_min(ttl.l1_ttl_ms, p->l1_ttl_ms), ttl.ttl_ms);
    ttl.ttl_ms = shorten(cut(ttl.ttl_ms), p->jitter_percent, ticks);
    ttl.l1_ttl_ms = shorten(cut(ttl.l1_ttl_ms), p->jitter_percent, ticks);
    return ttl;
}

uint64_t tc_ttl_ticks(struct cache_type *t)
{
    /* splitmix64 (Steele, Lea, Flood, OOPSLA 2014): any number of threads may step it. */
    uint64_t z = atomic_fetch_add_explicit(&t->jitter_state, UINT64_C(0x9E3779B97F4A7C15), memory_order_relaxed);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}
