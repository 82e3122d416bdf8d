/* A backend's host without a cache around it: counted memory, a clock, and a thread that calls maintain(). */
#include "tt_host.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tiercache.h"
#include "tt_util.h"

/* ---- what the backend calls ---- */

static void *host_alloc(void *host, size_t n)
{
    struct tt_host *h = host;
    return tt_alloc_ops.alloc(&h->alloc, n);
}

static void host_free(void *host, void *p, size_t n)
{
    struct tt_host *h = host;
    if (p)
        tt_alloc_ops.free(&h->alloc, p, n);
}

static int64_t host_now_ms(void *host)
{
    return tt_host_now_ms(host);
}

static void host_wake(void *host)
{
    struct tt_host *h = host;
    pthread_mutex_lock(&h->lock);
    h->woken = true;
    h->wakes++;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

static void host_report(void *host, int level, int status, const char *text)
{
    struct tt_host *h = host;
    pthread_mutex_lock(&h->lock);
    h->reports++;
    h->last_level = level;
    h->last_status = status;
    if (status < 0) {
        h->failed_status = status;
        snprintf(h->failed_text, sizeof(h->failed_text), "%s", text);
    }
    pthread_mutex_unlock(&h->lock);
}

/* ---- the maintainer ---- */

/* Waits for a wake or for delay_ms of real time (negative: for a wake only). False: time to stop. */
static bool wait_locked(struct tt_host *h, int64_t delay_ms)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    int64_t ns = end.tv_nsec + delay_ms % 1000 * 1000000;
    end.tv_sec += (time_t)(delay_ms / 1000 + ns / 1000000000);
    end.tv_nsec = (long)(ns % 1000000000);
    int timed_out = 0;
    while (!h->stops && !h->woken && !timed_out) {
        if (delay_ms < 0)
            pthread_cond_wait(&h->changed, &h->lock);
        else
            timed_out = pthread_cond_timedwait(&h->changed, &h->lock, &end);
    }
    h->woken = false;
    return !h->stops;
}

static void *maintainer(void *arg)
{
    struct tt_host *h = arg;
    bool goes_on = true;
    while (goes_on) {
        int64_t delay_ms = h->ops->maintain(h->ctx);
        pthread_mutex_lock(&h->lock);
        goes_on = wait_locked(h, delay_ms);
        pthread_mutex_unlock(&h->lock);
    }
    return NULL;
}

/* ---- for the test ---- */

static void init_host(struct tt_host *h, const struct cache_backend_ops *ops, void *ctx, struct tt_clock *clock)
{
    pthread_condattr_t attr;
    memset(h, 0, sizeof(*h));
    h->ops = ops;
    h->ctx = ctx;
    h->clock = clock;
    h->host = (struct cache_backend_host){h, host_alloc, host_free, host_now_ms, host_wake, host_report};
    tt_alloc_init(&h->alloc);
    pthread_mutex_init(&h->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&h->changed, &attr);
    pthread_condattr_destroy(&attr);
}

static bool fini_host(struct tt_host *h)
{
    h->ops->close(h->ctx);
    bool clean = tt_alloc_is_clean(&h->alloc);
    tt_alloc_fini(&h->alloc);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    return clean;
}

int tt_host_open(struct tt_host *h, const struct cache_backend_ops *ops, void *ctx, struct tt_clock *clock)
{
    init_host(h, ops, ctx, clock);
    int status = ops->attach ? ops->attach(ctx, &h->host) : CACHE_OK;
    if (status < 0) {
        fini_host(h);
        return status;
    }
    if (ops->maintain) {
        if (pthread_create(&h->thread, NULL, maintainer, h))
            tt_die("no thread for maintain()");
        h->has_thread = true;
    }
    return status;
}

bool tt_host_close(struct tt_host *h)
{
    if (h->has_thread) {
        pthread_mutex_lock(&h->lock);
        h->stops = true;
        pthread_cond_broadcast(&h->changed);
        pthread_mutex_unlock(&h->lock);
        pthread_join(h->thread, NULL);
    }
    return fini_host(h);
}

int64_t tt_host_now_ms(struct tt_host *h)
{
    return h->clock ? tt_clock_mono_ms(h->clock) : tt_mono_ms();
}

int64_t tt_host_in_ms(struct tt_host *h, int64_t ms)
{
    return tt_host_now_ms(h) + ms;
}

static int health(struct tt_host *h)
{
    return h->ops->health ? h->ops->health(h->ctx) : CACHE_BACKEND_UP;
}

bool tt_host_is_up(struct tt_host *h)
{
    return health(h) == CACHE_BACKEND_UP;
}

bool tt_host_await_health(struct tt_host *h, int wanted)
{
    int64_t end_ms = tt_mono_ms() + TT_SOON_MS;
    while (health(h) != wanted) {
        if (!tt_pause(end_ms))
            return false;
    }
    return true;
}

unsigned tt_host_reports(struct tt_host *h)
{
    pthread_mutex_lock(&h->lock);
    unsigned n = h->reports;
    pthread_mutex_unlock(&h->lock);
    return n;
}

int tt_host_failure(struct tt_host *h, char *text)
{
    pthread_mutex_lock(&h->lock);
    int status = h->failed_status;
    if (text)
        memcpy(text, h->failed_text, sizeof(h->failed_text));
    pthread_mutex_unlock(&h->lock);
    return status;
}

void tt_host_value_free(struct tt_host *h, struct cache_backend_value *v)
{
    host_free(h, v->data, v->len);
    memset(v, 0, sizeof(*v));
}
