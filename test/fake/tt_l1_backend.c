/* L1 as a backend: one type for everything, its clock the host's. */
#include "tt_l1_backend.h"

#include <string.h>

#include "tier/l1/l1.h"
#include "tt_util.h"

struct memory {
    struct tc_alloc alloc;
    struct tc_clock clock;
    struct cache_type *type;
    struct tc_policy policy;
    struct tc_l1 l1;
    uint64_t max_bytes;
    const struct cache_backend_host *host;
};

static int64_t host_mono_ms(void *ctx)
{
    const struct memory *m = ctx;
    return m->host != NULL ? m->host->now_ms(m->host->host) : tc_mono_ms();
}

static int64_t host_wall_ms(void *ctx)
{
    (void)ctx;
    return tc_wall_ms();
}

/* FNV-1a, and its bits spread: of keys that nothing is known of, not even what follows them in memory. */
static uint64_t hash_of(const void *ctx, const void *p, size_t n)
{
    const unsigned char *at = p;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    (void)ctx;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return tt_random(&hash);
}

static void memory_close(void *ctx)
{
    struct memory *m = ctx;
    struct tc_alloc alloc = m->alloc;
    tc_l1_fini(&m->l1);
    tc_type_close(m->type);
    tc_free_lines(&alloc, m, sizeof *m);
}

int tt_l1_backend_open(uint64_t max_bytes, const struct tc_alloc *alloc, void **ctx)
{
    struct memory *m = tc_alloc_lines(alloc, sizeof *m);
    if (m == NULL)
        return CACHE_E_NOMEM;
    m->alloc = *alloc;
    m->clock = (struct tc_clock){ { CACHE_HOOKS_ABI, host_mono_ms, host_wall_ms }, m, false };
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    struct tc_policy_defaults d = { CACHE_TTL_FOREVER, max_bytes, false };
    o.max_stale_ms = -1;
    o.l1_max_value_bytes = max_bytes;
    tc_policy_resolve(&o, &d, &m->policy, NULL, 0);
    int rc = tc_type_open(NULL, &m->alloc, NULL, "memory", 0, &m->policy, &m->type);
    if (rc == CACHE_OK)
        rc = tc_l1_init(&m->l1, max_bytes, 0, NULL, 0, (struct tc_hasher){ hash_of, NULL }, &m->alloc, &m->clock);
    if (rc != CACHE_OK)
        memory_close(m);
    else
        *ctx = m;
    return rc;
}

static int memory_attach(void *ctx, const struct cache_backend_host *host)
{
    ((struct memory *)ctx)->host = host;
    return CACHE_OK;
}

static struct tc_l1_ref ref_of(struct cache_slice key)
{
    return (struct tc_l1_ref){ hash_of(NULL, key.data, key.len), key };
}

static bool is_late(struct memory *m, int64_t deadline_ms)
{
    return tc_clock_now_ms(&m->clock) >= deadline_ms;
}

static int copy_value(struct memory *m, const struct tc_entry *e, int64_t now_ms, struct cache_backend_value *out)
{
    out->data = NULL;
    out->len = tc_entry_len(e);
    out->ttl_ms = tc_entry_fresh_until_ms(e) == TC_NEVER_MS ? CACHE_TTL_FOREVER : tc_entry_fresh_until_ms(e) - now_ms;
    if (tc_entry_len(e) == 0)
        return CACHE_OK;
    out->data = m->host->alloc(m->host->host, tc_entry_len(e));
    if (out->data == NULL)
        return CACHE_E_NOMEM;
    memcpy(out->data, tc_entry_data(e), tc_entry_len(e));
    return CACHE_OK;
}

static int memory_get(void *ctx, struct cache_slice key, int64_t deadline_ms, struct cache_backend_value *out)
{
    struct memory *m = ctx;
    struct tc_l1_found found;
    if (is_late(m, deadline_ms))
        return CACHE_E_TIMEOUT;
    int64_t now_ms = tc_clock_now_ms(&m->clock);
    tc_l1_get(&m->l1, ref_of(key), now_ms, &found);
    if (found.entry == NULL)
        return CACHE_MISS;
    int rc = copy_value(m, found.entry, now_ms, out);
    tc_l1_release(&m->l1, found.entry);
    return rc;
}

static int memory_set(void *ctx, struct cache_slice key, struct cache_slice data, int64_t ttl_ms, int64_t deadline_ms)
{
    struct memory *m = ctx;
    if (is_late(m, deadline_ms))
        return CACHE_E_TIMEOUT;
    struct tc_l1_ref ref = ref_of(key);
    struct tc_entry *e = tc_entry_open(&m->alloc, m->l1.node_bytes, m->type, ref.hash, key, data.len);
    if (e == NULL)
        return CACHE_E_NOMEM;
    if (data.len > 0)
        memcpy(tc_entry_room(e), data.data, data.len);
    if (ttl_ms != CACHE_TTL_FOREVER)
        tc_entry_more(e)->fresh_until_ms = tc_entry_more(e)->keep_until_ms =
            tc_deadline(tc_clock_now_ms(&m->clock), ttl_ms);
    int rc = tc_l1_put(&m->l1, e, &m->policy, NULL, true);
    tc_l1_drop(&m->l1, e);
    return rc;
}

static int memory_del(void *ctx, struct cache_slice key, int64_t deadline_ms)
{
    struct memory *m = ctx;
    if (is_late(m, deadline_ms))
        return CACHE_E_TIMEOUT;
    tc_l1_invalidate(&m->l1, ref_of(key));
    return CACHE_OK;
}

static void memory_get_many(void *ctx, struct cache_backend_item *it, size_t n, int64_t deadline_ms)
{
    for (size_t i = 0; i < n; i++)
        it[i].status = memory_get(ctx, it[i].key, deadline_ms, &it[i].value);
}

const struct cache_backend_ops tt_l1_backend = {
    .abi = CACHE_BACKEND_ABI,
    .capabilities = CACHE_BACKEND_CAP_TTL,
    .name = "memory",
    .get = memory_get,
    .get_many = memory_get_many,
    .set = memory_set,
    .del = memory_del,
    .close = memory_close,
    .attach = memory_attach,
};
