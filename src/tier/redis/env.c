/* Reports and health of one Redis backend. */
#include "tier/redis/env.h"

#include <stdarg.h>
#include <stdio.h>

void tc_redis_report(struct tc_redis_env *env, int level, int status, const char *fmt, ...)
{
    char what[256], text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    snprintf(text, sizeof text, "Redis at %s %s", env->where, what);
    env->host->report(env->host->host, level, status, text);
}

const void *tc_redis_this_thread(void)
{
    static _Thread_local char here;
    return &here;
}

int tc_redis_health(const struct tc_redis_env *env)
{
    unsigned h = atomic_load_explicit(&env->health, memory_order_relaxed);
    return h >= 2 ? CACHE_BACKEND_UP : h == 1 ? CACHE_BACKEND_CONNECTING : CACHE_BACKEND_DOWN;
}
