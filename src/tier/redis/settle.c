/* Telling, closing, waking and freeing, in that order. */
#include "tier/redis/settle.h"

#include "tiercache.h"

static void tell(struct tc_redis_env *env, const struct tc_aftermath *a)
{
    switch (a->why) {
    case TC_CONN_OPEN:
        break;
    case TC_CONN_TIMEOUT:
        if (a->detached)
            tc_redis_report(env, CACHE_LOG_WARNING, CACHE_E_TIMEOUT, "did not answer in time");
        break;
    case TC_CONN_CLOSED:
        tc_redis_count(&env->counters, TC_REDIS_err_closed, 1);
        tc_redis_report(env, CACHE_LOG_WARNING, CACHE_E_UNAVAILABLE, "closed the connection");
        break;
    case TC_CONN_PROTOCOL:
        tc_redis_count(&env->counters, TC_REDIS_err_protocol, 1);
        tc_redis_report(env, CACHE_LOG_ERROR, CACHE_E_PROTOCOL, "broke the protocol: %s", a->reason);
        break;
    case TC_CONN_NOMEM:
        tc_redis_report(env, CACHE_LOG_ERROR, CACHE_E_NOMEM, "was left: no memory to read its answer");
        break;
    }
}

/* Nothing of it is sent again once it is closed; only then may a DEL overtake what was sent. */
static void close_conn(struct tc_redis_env *env, struct tc_conn *c)
{
    unsigned doubts = c->doubts;
    if (doubts > 0)
        tc_link_reset_on_close(&c->link);
    tc_conn_free(c);
    if (doubts == 0)
        return;
    atomic_fetch_sub(&env->doubts, doubts);
    env->host->wake(env->host->host);
}

/* The connection first: whoever is woken may go on to send a DEL. */
void tc_settle(struct tc_redis_env *env, struct tc_aftermath *a)
{
    tell(env, a);
    if (a->close != NULL)
        close_conn(env, a->close);
    for (struct tc_call *call = tc_calls_pop(&a->wake); call != NULL; call = tc_calls_pop(&a->wake))
        tc_event_set(&call->event);
    if (a->successor != NULL)
        tc_event_set(&a->successor->event);
    for (struct tc_call *call = tc_calls_pop(&a->trash); call != NULL; call = tc_calls_pop(&a->trash))
        tc_call_free(call);
    if (a->detached || a->resolved)
        env->host->wake(env->host->host);
}
