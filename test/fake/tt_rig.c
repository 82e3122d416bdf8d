/* The Redis backend in front of the scripted server, ready for a test to break. */
#include "tt_rig.h"

#include <stdlib.h>
#include <string.h>

#include "tier/redis/redis.h"
#include "tiercache.h"
#include "tt_util.h"

enum { TTL_MS = 600000 };

struct tt_rig *tt_rig_new(void)
{
    return tt_xcalloc(sizeof(struct tt_rig));
}

void tt_rig_open(struct tt_rig *rig, const char *url)
{
    char err[256] = "";
    struct tc_redis_opts o = {
        .url = url,
        .name_space = "t",
        .connections = rig->connections ? rig->connections : 1,
        .connect_timeout_ms = rig->connect_timeout_ms ? rig->connect_timeout_ms : TT_RIG_CONNECT_MS,
        .max_reply_bytes = rig->max_reply_bytes ? rig->max_reply_bytes : 64u << 20,
    };
    tt_alloc_init(&rig->alloc);
    rig->table = tt_alloc_table(&rig->alloc);
    if (tc_redis_open(&o, &rig->table, &rig->ctx, err, sizeof(err)) != CACHE_OK)
        tt_die("no Redis backend: %s", err);
    if (tt_host_open(&rig->host, &tc_redis_backend, rig->ctx, NULL) < 0)
        tt_die("the Redis backend cannot be attached");
}

void tt_rig_start(struct tt_rig *rig, enum tt_redis_net net)
{
    rig->server = tt_redis_start(net);
    tt_rig_open(rig, tt_redis_url(rig->server));
    if (!tt_host_await_health(&rig->host, CACHE_BACKEND_UP))
        tt_die("the Redis backend does not connect");
}

bool tt_rig_close(struct tt_rig *rig)
{
    bool values = tt_host_close(&rig->host);
    bool rest = tt_alloc_is_clean(&rig->alloc);
    tt_alloc_fini(&rig->alloc);
    tt_redis_stop(rig->server);
    free(rig);
    return values && rest;
}

static struct cache_slice slice_of(const char *text)
{
    return (struct cache_slice){text, strlen(text)};
}

int tt_rig_get(struct tt_rig *rig, const char *key, int64_t ms, char *text)
{
    struct cache_backend_value v = {NULL, 0, 0};
    int status = tc_redis_backend.get(rig->ctx, slice_of(key), tt_host_in_ms(&rig->host, ms), &v);
    text[0] = '\0';
    if (status != CACHE_OK)
        return status;
    size_t n = v.len < TT_RIG_TEXT ? v.len : TT_RIG_TEXT - 1;
    if (n)
        memcpy(text, v.data, n);
    text[n] = '\0';
    tt_host_value_free(&rig->host, &v);
    return status;
}

int tt_rig_set(struct tt_rig *rig, const char *key, const char *text, int64_t ms)
{
    return tc_redis_backend.set(rig->ctx, slice_of(key), slice_of(text), TTL_MS, tt_host_in_ms(&rig->host, ms));
}

int tt_rig_del(struct tt_rig *rig, const char *key, int64_t ms)
{
    return tc_redis_backend.del(rig->ctx, slice_of(key), tt_host_in_ms(&rig->host, ms));
}

bool tt_rig_recovers(struct tt_rig *rig, const char *key, const char *text)
{
    char got[TT_RIG_TEXT];
    int64_t end_ms = tt_mono_ms() + TT_SOON_MS;
    int status = tt_rig_get(rig, key, TT_RIG_MS, got);
    while (status < 0 && tt_pause(end_ms))
        status = tt_rig_get(rig, key, TT_RIG_MS, got);
    return status == CACHE_OK && strcmp(got, text) == 0;
}

struct cache_backend_stats tt_rig_stats(struct tt_rig *rig)
{
    struct cache_backend_stats s;
    memset(&s, 0, sizeof(s));
    tc_redis_backend.stats(rig->ctx, &s);
    return s;
}
