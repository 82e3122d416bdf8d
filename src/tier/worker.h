/* The cache's one thread, when there is an L2: keeps the backend connected and replays kept invalidations. */
#ifndef TC_TIER_WORKER_H
#define TC_TIER_WORKER_H

#include "platform/platform.h"

struct cache;

struct tc_worker {
    struct tc_lock lock;
    struct tc_cond cond;
    struct tc_thread thread;
    bool ready;      /* lock and cond are made */
    bool running;    /* thread is to be joined */
    bool woken;      /* (lock) */
    bool stopping;   /* (lock) */
    bool left;       /* (lock) the thread has seen that and works no more */
    bool first_done; /* (lock) the backend's first maintain() returned */
    int last_health; /* the thread's own */
};

int tc_worker_init(struct tc_worker *w); /* 0 or an errno */
void tc_worker_fini(struct tc_worker *w);

int tc_worker_start(struct cache *c); /* 0 or an errno */
void tc_worker_wake(struct tc_worker *w); /* any thread; does nothing before start */
/* Waits until the backend had its first chance to connect. False: timeout_ms passed. */
bool tc_worker_await_first(struct cache *c, int64_t timeout_ms);
bool tc_worker_stops(struct tc_worker *w); /* it was asked to end */
/* Asks the thread to end and joins it. False: it did not within timeout_ms, and unless it was about to, it goes on. */
bool tc_worker_stop(struct cache *c, int64_t timeout_ms);
bool tc_worker_has_left(struct tc_worker *w); /* nothing will be replayed any more */

#endif
