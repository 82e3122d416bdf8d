/* Read-through and what a loader may call. */
#include <string.h>

#include "api/options.h"
#include "api/values.h"

static int read_fetch_opts(const struct cache_fetch_opts *in, struct cache_fetch_opts *o)
{
    bool good = tc_options_copy(o, sizeof *o, in) && (o->flags & ~(uint32_t)CACHE_FETCH_NO_STALE) == 0 &&
                o->load != NULL && o->timeout_ms >= 0;
    return good ? CACHE_OK : CACHE_E_INVALID;
}

int cache_fetch(struct cache *c, const struct cache_key *k, const struct cache_fetch_opts *in, struct cache_value *v)
{
    struct tc_target t;
    struct cache_fetch_opts o;
    if (v == NULL)
        return CACHE_E_INVALID;
    memset(v, 0, sizeof *v);
    int rc = tc_cache_enter_key(c, k, &t);
    if (rc != CACHE_OK)
        return rc;
    rc = read_fetch_opts(in, &o);
    if (rc == CACHE_OK) {
        struct tc_fetch_opts opts = { o.flags, o.load, o.user, k, tc_cache_deadline(c, o.timeout_ms) };
        struct tc_outcome out;
        tc_fetch(c, &t, &opts, &out);
        rc = tc_values_give(c, &out, v);
    }
    tc_cache_leave(c);
    return rc;
}

int cache_load_reply(struct cache_load *ld, const void *data, size_t len)
{
    return tc_load_reply(ld, data, len);
}

void *cache_load_buffer(struct cache_load *ld, size_t len)
{
    return tc_load_buffer(ld, len);
}

int cache_load_absent(struct cache_load *ld)
{
    return tc_load_absent(ld);
}

int cache_load_ttl(struct cache_load *ld, int64_t ttl_ms)
{
    return tc_load_ttl(ld, ttl_ms);
}

int64_t cache_load_remaining_ms(const struct cache_load *ld)
{
    return tc_load_remaining_ms(ld);
}
