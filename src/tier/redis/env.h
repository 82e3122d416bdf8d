/* What the parts of one Redis backend share. */
#ifndef TC_TIER_REDIS_ENV_H
#define TC_TIER_REDIS_ENV_H

#include "base/alloc.h"
#include "tier/redis/counters.h"
#include "tier/redis/link.h"
#include "tiercache/backend.h"

struct tc_redis_env {
    const struct tc_alloc *alloc;          /* everything except values */
    const struct cache_backend_host *host; /* values, time, reports; set once by attach() */
    const char *where;                     /* for messages */
    uint64_t max_reply_bytes;
    struct tc_links links;
    struct tc_redis_counters counters;
    _Atomic unsigned health;        /* 2 for each usable connection, 1 while connecting or about to */
    _Atomic(const void *) maintainer; /* tc_redis_this_thread() of who connects: it waits for no connection */
    _Atomic unsigned doubts;        /* of all connections that are open: see struct tc_conn */
    _Atomic bool proven;            /* a connection did useful work since the supervisor last looked */
    _Atomic int64_t next_report_ms; /* when the next error reply may be reported */
};

/* Every report is one sentence about the server at env->where. No lock may be held. */
void tc_redis_report(struct tc_redis_env *env, int level, int status, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* An address that names the calling thread while it lives. */
const void *tc_redis_this_thread(void);

/* CACHE_BACKEND_*, from env->health in one load. */
int tc_redis_health(const struct tc_redis_env *env);

#endif
