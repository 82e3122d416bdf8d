/* custom_backend.c - an L2 of one's own behind cache_backend_ops: a small table in memory under one lock.
 * The cache gives a backend opaque bytes under a key and expects the same bytes back, or nothing: it may forget, so
 * here keys with the same hash share a slot. Deadlines are for backends that do I/O; this one does none. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <tiercache.h>
#include <tiercache/backend.h>

struct slot { size_t key_len, len; int64_t expires_ms; char bytes[1000]; }; /* the key, then the value; len 0: empty */
struct table { const struct cache_backend_host *host; pthread_mutex_t lock; struct slot slot[256]; };

static struct slot *slot_of(struct table *t, struct cache_slice key)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < key.len; i++)
        h = (h ^ ((const unsigned char *)key.data)[i]) * 16777619u;
    return &t->slot[h % 256];
}
static int table_attach(void *ctx, const struct cache_backend_host *host)
{
    ((struct table *)ctx)->host = host;
    return CACHE_OK;
}
static int table_get(void *ctx, struct cache_slice key, int64_t deadline_ms, struct cache_backend_value *out)
{
    struct table *t = ctx;
    int rc = CACHE_MISS;
    int64_t now = t->host->now_ms(t->host->host);
    (void)deadline_ms;
    pthread_mutex_lock(&t->lock);
    const struct slot *s = slot_of(t, key);
    if (s->len > 0 && s->key_len == key.len && memcmp(s->bytes, key.data, key.len) == 0 && s->expires_ms > now) {
        *out = (struct cache_backend_value){t->host->alloc(t->host->host, s->len), s->len, s->expires_ms - now};
        rc = out->data ? CACHE_OK : CACHE_E_NOMEM;
        if (out->data)
            memcpy(out->data, s->bytes + s->key_len, s->len);
    }
    pthread_mutex_unlock(&t->lock);
    return rc;
}
static void table_get_many(void *ctx, struct cache_backend_item *it, size_t n, int64_t deadline_ms)
{
    for (size_t i = 0; i < n; i++)
        it[i].status = table_get(ctx, it[i].key, deadline_ms, &it[i].value);
}
static int table_set(void *ctx, struct cache_slice key, struct cache_slice data, int64_t ttl_ms, int64_t deadline_ms)
{
    struct table *t = ctx;
    int64_t now = t->host->now_ms(t->host->host);
    (void)deadline_ms;
    if (key.len > 1000 || data.len > 1000 - key.len)
        return CACHE_E_TOO_LARGE;
    pthread_mutex_lock(&t->lock);
    struct slot *s = slot_of(t, key);
    s->key_len = key.len;
    s->len = data.len;
    s->expires_ms = now + (ttl_ms == CACHE_TTL_FOREVER ? CACHE_TTL_MAX_MS : ttl_ms);
    memcpy(s->bytes, key.data, key.len);
    memcpy(s->bytes + key.len, data.data, data.len);
    pthread_mutex_unlock(&t->lock);
    return CACHE_OK;
}
static int table_del(void *ctx, struct cache_slice key, int64_t deadline_ms)
{
    struct table *t = ctx;
    (void)deadline_ms;
    pthread_mutex_lock(&t->lock);
    slot_of(t, key)->len = 0; /* perhaps another key's: forgetting is allowed */
    pthread_mutex_unlock(&t->lock);
    return CACHE_OK;
}
static void table_close(void *ctx) { ((struct table *)ctx)->host = NULL; } /* the table itself is static */

int main(void)
{
    static struct table table = {.lock = PTHREAD_MUTEX_INITIALIZER};
    static const struct cache_backend_ops ops = {
        .abi = CACHE_BACKEND_ABI, .name = "table", .get = table_get, .get_many = table_get_many, .set = table_set,
        .del = table_del, .close = table_close, .attach = table_attach};
    struct cache_opts o = CACHE_OPTS_INIT;
    struct cache_type_opts t = CACHE_TYPE_OPTS_INIT;
    struct cache *c;
    struct cache_type *page;
    struct cache_key k;
    struct cache_value v;
    o.backend = &ops, o.backend_ctx = &table, t.name = "page";
    if (cache_open(&o, &c, NULL, 0) != CACHE_OK || cache_type_register(c, &t, &page) != CACHE_OK)
        return 1;
    cache_key_u64(cache_key_init(&k, page), 42);
    int right = cache_set(c, &k, "hello", 5, NULL) == CACHE_OK && cache_clear_local(c) == CACHE_OK; /* not in L1 now */
    right = right && cache_get(c, &k, NULL, &v) == CACHE_OK && v.meta.tier == CACHE_TIER_L2 && v.len == 5;
    printf("from the table: %.*s\n", right ? 5 : 0, right ? (const char *)v.data : "");
    cache_value_release(right ? &v : NULL);
    right = right && cache_invalidate(c, &k, NULL) == CACHE_OK && cache_get(c, &k, NULL, &v) == CACHE_MISS;
    printf("invalidated in both tiers: %s\n", right ? "yes" : "NO");
    return cache_close(c, 1000) == CACHE_OK && right ? 0 : 1;
}
