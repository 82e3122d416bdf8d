/* Automatic pipelining: many callers, one connection at a time. */
#ifndef TC_TIER_REDIS_PIPE_H
#define TC_TIER_REDIS_PIPE_H

#include "tier/redis/conn.h"

struct tc_pipe {
    struct tc_redis_env *env;
    struct tc_lock lock;
    struct tc_cond changed; /* conn or awaited changed */
    _Atomic bool shut;      /* conn is NULL and not awaited: a hint that spares callers the lock, set under it */
    /* below: under lock, as are the calls' and the connections' fields that say so */
    struct tc_conn *conn; /* where new calls go; NULL: none is up */
    bool awaited;         /* a connection is about to come: the first, or one after a loss */
    int64_t awaited_until_ms; /* and is waited for so long */
    bool had_one;         /* the next connection replaces a lost one */
};

/* 0 or an errno; *p can be given to fini whatever the result. */
int tc_pipe_init(struct tc_pipe *p, struct tc_redis_env *env);
/* Closes the connection; no caller may be inside. */
void tc_pipe_fini(struct tc_pipe *p);

/* Sends *call's commands and waits for all answers; before that, for the connection if it is awaited. Blocks until
 * until_ms (of tc_mono_ms()). A DEL is not sent while a SET that somebody gave up may still run on another connection:
 * what was acknowledged as deleted would come back.
 * Returns CACHE_OK: the results are all there. CACHE_E_UNAVAILABLE: not one byte was written and none will be.
 * CACHE_E_UNKNOWN: it was written, at least in part. CACHE_E_NOMEM: answered, no memory for the answer.
 * CACHE_E_TIMEOUT: the deadline passed, not one byte was written and none will be.
 * The call is the caller's again, or *call is NULL: it was left behind and will be freed by another. */
int tc_pipe_run(struct tc_pipe *p, struct tc_call **call, int64_t until_ms);

/* For the supervisor: whether a connection is missing; bring one; say that none is to be awaited for now. */
bool tc_pipe_is_missing(struct tc_pipe *p);
void tc_pipe_attach(struct tc_pipe *p, struct tc_conn *c);
void tc_pipe_give_up(struct tc_pipe *p);

#endif
