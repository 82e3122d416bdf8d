/* The conformance suite on the Redis backend: against a real server over TCP and over a unix socket, on one connection
 * and on two, and against the fake one, which must agree with it before it may tell lies. */
#include <stdio.h>
#include <stdlib.h>

#include "backend_suite.h"
#include "base/alloc.h"
#include "fake/tt_alloc.h"
#include "fake/tt_redis.h"
#include "fake/tt_redis_server.h"
#include "fake/tt_util.h"
#include "tier/redis/redis.h"
#include "tiercache.h"

struct redis_subject {
    const char *url;
    uint32_t connections;
    struct tt_alloc alloc;
    struct tc_alloc table;
    unsigned made; /* each test has a namespace of its own, so it starts empty */
};

static bool make(void *arg, const struct cache_backend_ops **ops, void **ctx)
{
    struct redis_subject *s = arg;
    char name_space[32], err[128] = "";
    snprintf(name_space, sizeof(name_space), "suite-%u", s->made++);
    struct tc_redis_opts o = {.url = s->url, .name_space = name_space, .connections = s->connections,
                              .connect_timeout_ms = 3000, .max_reply_bytes = 64u << 20};
    tt_alloc_init(&s->alloc);
    s->table = tt_alloc_table(&s->alloc);
    *ops = &tc_redis_backend;
    if (tc_redis_open(&o, &s->table, ctx, err, sizeof(err)) == CACHE_OK)
        return true;
    fprintf(stderr, "%s\n", err);
    return false;
}

static void unmake(void *arg, void *ctx)
{
    struct redis_subject *s = arg;
    (void)ctx;
    if (!tt_alloc_is_clean(&s->alloc))
        tt_die("the Redis backend leaks");
    tt_alloc_fini(&s->alloc);
}

static int run(const char *name, const char *url, uint32_t connections)
{
    struct redis_subject s = {.url = url, .connections = connections};
    return tt_backend_suite_run(&(struct tt_subject){.name = name, .make = make, .unmake = unmake, .arg = &s});
}

static int run_real(void)
{
    struct tt_redis_server *unix_only = tt_redis_server_start(false, NULL);
    if (!unix_only) {
        printf("SKIPPED: the suite on a real server\n");
        return 0;
    }
    int failed = run("suite: redis, unix socket", tt_redis_server_url(unix_only), 1);
    tt_redis_server_free(unix_only);
    struct tt_redis_server *tcp = tt_redis_server_start(true, NULL);
    failed += run("suite: redis, tcp, two connections", tt_redis_server_url(tcp), 2);
    tt_redis_server_free(tcp);
    return failed;
}

int main(void)
{
    struct tt_redis *fake = tt_redis_start(TT_REDIS_TCP);
    int failed = run("suite: redis, fake server", tt_redis_url(fake), 1);
    tt_redis_stop(fake);
    return failed + run_real();
}
