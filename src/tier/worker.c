/* The worker thread.
 *
 * One round: let the backend maintain itself, tell the application if L2 came or went or an invalidation could not be
 * kept, replay kept invalidations if L2 is there. Then wait until woken, until the backend wants to be called again,
 * or until it is time to try the replay again. Everything that may block happens without the worker's lock. */
#include "tier/worker.h"

#include "tier/cache.h"

#define IDLE_MS 60000 /* a lost wake-up would last no longer; none is known */

int tc_worker_init(struct tc_worker *w)
{
    *w = (struct tc_worker){ .ready = false };
    int rc = tc_lock_init(&w->lock);
    if (rc != 0)
        return rc;
    rc = tc_cond_init(&w->cond);
    if (rc != 0)
        tc_lock_fini(&w->lock);
    else
        w->ready = true;
    return rc;
}

void tc_worker_fini(struct tc_worker *w)
{
    if (!w->ready)
        return;
    tc_cond_fini(&w->cond);
    tc_lock_fini(&w->lock);
    w->ready = false;
}

void tc_worker_wake(struct tc_worker *w)
{
    tc_lock_acquire(&w->lock);
    w->woken = true;
    tc_lock_release(&w->lock);
    tc_cond_broadcast(&w->cond);
}

static void tell_health(struct cache *c, int health)
{
    bool up = health == CACHE_BACKEND_UP, was_up = c->worker.last_health == CACHE_BACKEND_UP;
    bool first = c->worker.last_health == 0;
    c->worker.last_health = health;
    if (up == was_up && !first)
        return;
    int64_t now_ms = tc_clock_now_ms(&c->clock);
    tc_lock_acquire(&c->l2.report_lock);
    int status = up ? CACHE_OK : c->l2.last_status != CACHE_OK ? c->l2.last_status : CACHE_E_UNAVAILABLE;
    tc_lock_release(&c->l2.report_lock);
    struct cache_event e = { up ? CACHE_EVENT_L2_UP : CACHE_EVENT_L2_DOWN, status, 1, { NULL, 0 }, { 0 } };
    tc_notice_event(&c->notices, now_ms, &e);
}

bool tc_worker_stops(struct tc_worker *w)
{
    tc_lock_acquire(&w->lock);
    bool stopping = w->stopping;
    tc_lock_release(&w->lock);
    return stopping;
}

static int64_t least_delay(int64_t a, int64_t b)
{
    return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

static int64_t work(struct cache *c)
{
    /* A loss is told before the attempt to mend it, which may take as long as connecting may. */
    if (c->worker.last_health != 0)
        tell_health(c, tc_l2_health(c));
    tc_recovery_tell(c);
    int64_t delay_ms = c->l2.ops.maintain(c->l2.ctx);
    bool was_up = c->worker.last_health == CACHE_BACKEND_UP;
    int health = tc_l2_health(c);
    tell_health(c, health);
    if (health != CACHE_BACKEND_UP)
        return delay_ms;
    if (!was_up)
        tc_recovery_hurry(&c->recovery);
    int64_t deadline_ms = tc_deadline(tc_clock_now_ms(&c->clock), c->timeout_ms);
    return least_delay(delay_ms, tc_recovery_replay(c, deadline_ms));
}

static void wait_locked(struct tc_worker *w, int64_t delay_ms)
{
    tc_lock_assert_held(&w->lock);
    int64_t until_ms = tc_mono_ms() + least_delay(delay_ms, IDLE_MS);
    while (!w->woken && !w->stopping && tc_cond_wait(&w->cond, &w->lock, until_ms - tc_mono_ms()))
        ;
    w->woken = false;
}

/* False: the thread is to end, and nobody can call it back any more. */
static bool go_on_locked(struct tc_worker *w, int64_t delay_ms)
{
    tc_lock_assert_held(&w->lock);
    bool first = !w->first_done;
    w->first_done = true;
    if (first)
        tc_cond_broadcast(&w->cond);
    wait_locked(w, delay_ms);
    w->left = w->stopping;
    return !w->left;
}

static void *run(void *arg)
{
    struct cache *c = arg;
    struct tc_worker *w = &c->worker;
    bool goes_on;
    do {
        int64_t delay_ms = work(c);
        tc_lock_acquire(&w->lock);
        goes_on = go_on_locked(w, delay_ms);
        tc_lock_release(&w->lock);
    } while (goes_on);
    return NULL;
}

int tc_worker_start(struct cache *c)
{
    int rc = tc_thread_start(&c->worker.thread, "tiercache", run, c);
    c->worker.running = rc == 0;
    return rc;
}

static bool await_locked(struct tc_worker *w, int64_t timeout_ms)
{
    tc_lock_assert_held(&w->lock);
    int64_t until_ms = tc_deadline(tc_mono_ms(), timeout_ms);
    while (!w->first_done)
        if (!tc_cond_wait(&w->cond, &w->lock, until_ms - tc_mono_ms()))
            return w->first_done;
    return true;
}

bool tc_worker_await_first(struct cache *c, int64_t timeout_ms)
{
    struct tc_worker *w = &c->worker;
    tc_lock_acquire(&w->lock);
    bool done = await_locked(w, timeout_ms);
    tc_lock_release(&w->lock);
    return done;
}

bool tc_worker_stop(struct cache *c, int64_t timeout_ms)
{
    struct tc_worker *w = &c->worker;
    if (!w->running)
        return true;
    tc_lock_acquire(&w->lock);
    w->stopping = true;
    tc_lock_release(&w->lock);
    tc_cond_broadcast(&w->cond);
    w->running = !tc_thread_join(&w->thread, timeout_ms);
    if (!w->running)
        return true;
    tc_lock_acquire(&w->lock);
    w->stopping = w->left; /* until it is asked again it goes on with its work */
    tc_lock_release(&w->lock);
    return false;
}

bool tc_worker_has_left(struct tc_worker *w)
{
    tc_lock_acquire(&w->lock);
    bool left = w->left;
    tc_lock_release(&w->lock);
    return left;
}
