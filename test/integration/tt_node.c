/* The cache and the server that tests of both work on. Memory is counted: closing a node finds what leaked. */
#include "integration/tt_node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_util.h"
#include "tiercache/hooks.h"

static void count_event(void *ctx, const struct cache_event *e)
{
    struct tt_node *n = ctx;
    atomic_fetch_add(&n->told[e->kind % 16], 1);
}

static const struct cache_event_ops events = { CACHE_HOOKS_ABI, count_event };

struct tt_node *tt_node_prepare(const char *url)
{
    struct tt_node *n = tt_xcalloc(sizeof *n);
    tt_alloc_init(&n->alloc);
    n->opts = (struct cache_opts)CACHE_OPTS_INIT;
    n->opts.name = "shop";
    n->opts.l2_url = url;
    n->opts.timeout_ms = TT_NODE_TIMEOUT_MS;
    n->opts.l2_timeout_ms = TT_NODE_L2_TIMEOUT_MS;
    n->opts.alloc = &tt_alloc_ops;
    n->opts.alloc_ctx = &n->alloc;
    n->opts.events = &events;
    n->opts.events_ctx = n;
    return n;
}

void tt_node_register(struct tt_node *n, uint32_t flags)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    o.name = "page";
    o.flags = flags;
    o.ttl_ms = TT_NODE_TTL_MS;
    assert_int_equal(cache_type_register(n->c, &o, &n->t), CACHE_OK);
}

struct tt_node *tt_node_open(struct tt_redis_server *s, uint32_t type_flags)
{
    struct tt_node *n = tt_node_prepare(tt_redis_server_url(s));
    n->opts.flags = CACHE_OPEN_REQUIRE_L2;
    int rc = cache_open(&n->opts, &n->c, n->err, sizeof n->err);
    if (rc != CACHE_OK)
        fail_msg("no cache: %d, %s", rc, n->err);
    tt_node_register(n, type_flags);
    return n;
}

void tt_node_close(struct tt_node *n)
{
    if (n->c != NULL)
        assert_int_equal(cache_close(n->c, TT_SOON_MS), CACHE_OK);
    assert_true(tt_alloc_is_clean(&n->alloc));
    tt_alloc_fini(&n->alloc);
    free(n);
}

struct tt_redis_server *tt_node_server(const char *const *args)
{
    struct tt_redis_server *s = tt_redis_server_start(false, args);
    if (s == NULL)
        skip(); /* the server's support printed why */
    return s;
}

struct cache_key *tt_node_key(struct cache_key *k, const struct tt_node *n, const char *part)
{
    return cache_key_str(cache_key_init(k, n->t), part);
}

int tt_node_set(struct tt_node *n, const char *part, const char *text)
{
    struct cache_key k;
    int rc = cache_set(n->c, tt_node_key(&k, n, part), text, strlen(text), NULL);
    cache_key_fini(&k); /* some parts are long */
    return rc;
}

int tt_node_invalidate(struct tt_node *n, const char *part)
{
    struct cache_key k;
    return cache_invalidate(n->c, tt_node_key(&k, n, part), NULL);
}

int tt_node_get(struct tt_node *n, const char *part, uint32_t flags, char *text, struct cache_meta *m)
{
    struct cache_key k;
    struct cache_value v;
    struct cache_call o = CACHE_CALL_INIT;
    o.flags = flags;
    int rc = cache_get(n->c, tt_node_key(&k, n, part), &o, &v);
    text[0] = '\0';
    if (rc == CACHE_OK)
        snprintf(text, TT_NODE_TEXT, "%.*s", (int)v.len, (const char *)v.data);
    *m = v.meta;
    cache_value_release(&v);
    return rc;
}

void tt_node_assert_found(struct tt_node *n, const char *part, const char *text, uint32_t tier)
{
    char found[TT_NODE_TEXT];
    struct cache_meta m;
    assert_int_equal(tt_node_get(n, part, 0, found, &m), CACHE_OK);
    assert_string_equal(found, text);
    assert_int_equal(m.tier, tier);
}

void tt_node_assert_missing(struct tt_node *n, const char *part)
{
    char found[TT_NODE_TEXT];
    struct cache_meta m;
    assert_int_equal(tt_node_get(n, part, 0, found, &m), CACHE_MISS);
}

struct cache_stats tt_node_stats(struct tt_node *n)
{
    struct cache_stats st;
    assert_int_equal(cache_stats_read(n->c, NULL, &st, sizeof st), CACHE_OK);
    return st;
}

/* ---- the other eye: what the server says without the library ---- */

redisContext *tt_node_look(struct tt_redis_server *s)
{
    redisContext *r = redisConnectUnix(tt_redis_server_url(s) + strlen("unix://"));
    assert_true(r != NULL && r->err == 0);
    return r;
}

redisReply *tt_node_ask(redisContext *r, const char *format, const char *name)
{
    redisReply *reply = redisCommand(r, format, name);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s", reply->str);
    return reply;
}

long long tt_node_ask_number(redisContext *r, const char *format, const char *name)
{
    redisReply *reply = tt_node_ask(r, format, name);
    assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
    long long n = reply->integer;
    freeReplyObject(reply);
    return n;
}
