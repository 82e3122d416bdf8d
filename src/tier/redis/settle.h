/* What is left to do when the pipe's lock is released: no I/O, callback, wake-up or free of a value happens under
 * it. */
#ifndef TC_TIER_REDIS_SETTLE_H
#define TC_TIER_REDIS_SETTLE_H

#include "tier/redis/conn.h"

struct tc_aftermath {
    struct tc_calls wake;      /* done was set: set their events */
    struct tc_call *successor; /* leads was set: set its event */
    struct tc_calls trash;     /* abandoned, and now answered or lost: free them */
    struct tc_conn *close;     /* nobody is in it any more: free it */
    bool detached;             /* new callers have no connection: wake the supervisor */
    bool resolved;             /* a doubt is over: what was refused for it can be tried again */
    enum tc_conn_state why;    /* of detached and close */
    const char *reason;        /* of why, if it is TC_CONN_PROTOCOL; static */
};

/* Does it; no lock is held. */
void tc_settle(struct tc_redis_env *env, struct tc_aftermath *a);

#endif
