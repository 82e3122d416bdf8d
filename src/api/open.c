/* Opening and closing: the parts of a cache come up in one order and go down in the reverse one. Every part's fini
 * accepts a part whose init failed or never ran on zeroed memory, so that a failure anywhere ends in one place. */
#include <stdio.h>
#include <string.h>

#include "api/options.h"
#include "tier/redis/redis.h"

/* ---- what the cache lends its backend ---- */

static void *host_alloc(void *host, size_t n)
{
    return tc_alloc_value(&((struct cache *)host)->alloc, n);
}

static void host_free(void *host, void *p, size_t n)
{
    tc_free_value(&((struct cache *)host)->alloc, p, n);
}

static int64_t host_now_ms(void *host)
{
    return tc_clock_now_ms(&((struct cache *)host)->clock);
}

static void host_wake(void *host)
{
    struct cache *c = host;
    tc_recovery_hurry(&c->recovery); /* what it refused it may take now */
    tc_worker_wake(&c->worker);
}

static void host_report(void *host, int level, int status, const char *text)
{
    struct cache *c = host;
    tc_lock_acquire(&c->l2.report_lock);
    if (status < 0) {
        c->l2.last_status = status;
        snprintf(c->l2.last_text, sizeof c->l2.last_text, "%s", text);
    }
    tc_lock_release(&c->l2.report_lock);
    tc_notice_log(&c->notices, host_now_ms(c), status < 0 ? CACHE_EVENT_L2_DOWN : CACHE_EVENT_L2_UP, level,
                  c->l2.ops.name, "%s", text);
}

/* ---- opening ---- */

static void take_tables(struct cache *c, const struct cache_opts *o)
{
    if (o->clock != NULL) {
        c->clock.ops = *o->clock;
        c->clock.ctx = o->clock_ctx;
    } else {
        c->clock = tc_clock_system;
    }
    c->encoder.ops = o->key_encoder != NULL ? *o->key_encoder : tc_key_encoder_default;
    c->encoder.ctx = o->key_encoder_ctx;
    if (o->log != NULL)
        c->notices.log = *o->log;
    c->notices.log_ctx = o->log_ctx;
    if (o->events != NULL)
        c->notices.events = *o->events;
    c->notices.events_ctx = o->events_ctx;
    if (o->stats_sink != NULL)
        c->sink = *o->stats_sink;
    c->sink_ctx = o->stats_sink_ctx;
}

static int open_parts(struct cache *c, const struct cache_opts *o, char *err, size_t err_cap)
{
    take_tables(c, o);
    if (o->alloc == NULL) {
        c->alloc.regions = tc_regions_open(o->flags & CACHE_OPEN_HUGE_PAGES);
        if (c->alloc.regions == NULL)
            return tc_options_refuse(err, err_cap, CACHE_E_NOMEM, "out of memory");
    }
    c->timeout_ms = o->timeout_ms;
    c->l2_timeout_ms = o->l2_timeout_ms;
    c->connect_timeout_ms = o->connect_timeout_ms;
    c->max_value_bytes = o->max_value_bytes;
    bool has_l2 = o->l2_url != NULL || o->backend != NULL;
    c->defaults = (struct tc_policy_defaults){ o->default_ttl_ms, o->l1_bytes, has_l2 };
    c->name = tc_strdup(&c->alloc, o->name);
    if (c->name == NULL)
        return tc_options_refuse(err, err_cap, CACHE_E_NOMEM, "out of memory");
    if (tc_hash_init(&c->hash) != 0 || tc_random_bytes(&c->id, sizeof c->id) != 0 ||
        tc_fork_guard_init(&c->fork) != 0)
        return tc_options_refuse(err, err_cap, CACHE_E_SYSTEM, "the system gives no entropy or memory");
    c->id |= 1; /* 0 means none in tickets */
    int rc = tc_l1_init(&c->l1, o->l1_bytes, o->l1_stripes, o->evict, o->evict_node_bytes,
                        tc_hasher_of(&c->hash), &c->alloc, &c->clock);
    c->readers_here = tc_fork_guard_word(&c->fork, c->l1.readers.id);
    if (rc == CACHE_OK && has_l2)
        rc = tc_l1_open_gates(&c->l1);
    if (rc == CACHE_OK)
        rc = tc_flights_init(&c->flights, &c->alloc);
    if (rc != CACHE_OK)
        return tc_options_refuse(err, err_cap, rc, "%s", cache_status_text(rc));
    if (tc_recovery_init(&c->recovery, o->recovery_max_keys, &c->alloc) != 0)
        return tc_options_refuse(err, err_cap, CACHE_E_SYSTEM, "no locks");
    c->recovery_ready = true;
    if (tc_lock_init(&c->types.lock) != 0)
        return tc_options_refuse(err, err_cap, CACHE_E_SYSTEM, "no locks");
    c->types_ready = true;
    if (tc_worker_init(&c->worker) != 0 || tc_lock_init(&c->l2.report_lock) != 0)
        return tc_options_refuse(err, err_cap, CACHE_E_SYSTEM, "no locks");
    c->l2.report_ready = true;
    return CACHE_OK;
}

static int open_redis(struct cache *c, const struct cache_opts *o, char *err, size_t err_cap)
{
    char why[160] = "";
    struct tc_redis_opts redis = { o->l2_url, c->name, o->l2_connections, o->connect_timeout_ms,
                                   o->max_value_bytes + CACHE_KEY_MAX_BYTES + 4096 };
    int rc = tc_redis_open(&redis, &c->alloc, &c->l2.ctx, why, sizeof why);
    if (rc != CACHE_OK)
        return tc_options_refuse(err, err_cap, rc, "l2_url: %s", tc_options_url_fault(why));
    tc_l2_complete(&tc_redis_backend, &c->l2.ops);
    return CACHE_OK;
}

/* The sentence about why L2 is not there, for a caller who requires it. */
static int refuse_l2(struct cache *c, char *err, size_t err_cap)
{
    tc_lock_acquire(&c->l2.report_lock);
    int status = c->l2.last_status;
    if (status == CACHE_OK)
        status = CACHE_E_TIMEOUT;
    tc_options_refuse(err, err_cap, status, "L2 is required and not there: %s",
                      c->l2.last_text[0] != '\0' ? c->l2.last_text : "no answer within connect_timeout_ms");
    tc_lock_release(&c->l2.report_lock);
    return status;
}

static int open_l2(struct cache *c, const struct cache_opts *o, char *err, size_t err_cap)
{
    if (o->backend != NULL) {
        tc_l2_complete(o->backend, &c->l2.ops);
        c->l2.ctx = o->backend_ctx;
    } else {
        int rc = open_redis(c, o, err, err_cap);
        if (rc != CACHE_OK)
            return rc;
    }
    c->l2.host = (struct cache_backend_host){ c, host_alloc, host_free, host_now_ms, host_wake, host_report };
    if (c->l2.ops.attach != NULL) {
        int rc = c->l2.ops.attach(c->l2.ctx, &c->l2.host);
        if (rc < 0) {
            if (o->backend == NULL)
                c->l2.ops.close(c->l2.ctx);
            return tc_options_refuse(err, err_cap, rc, "the backend refused: %s", cache_status_text(rc));
        }
    }
    c->l2.present = true;
    if (tc_worker_start(c) != 0)
        return tc_options_refuse(err, err_cap, CACHE_E_SYSTEM, "the system refused a thread");
    bool tried = tc_worker_await_first(c, o->connect_timeout_ms);
    if (o->flags & CACHE_OPEN_REQUIRE_L2 && (!tried || tc_l2_health(c) != CACHE_BACKEND_UP))
        return refuse_l2(c, err, err_cap);
    return CACHE_OK;
}

/* Frees everything; nobody uses c any more but the backend, through its host. keep_backend: it still belongs to the
 * caller. */
static void dismantle(struct cache *c, bool keep_backend)
{
    struct tc_alloc alloc = c->alloc;
    if (c->l2.present && !keep_backend)
        c->l2.ops.close(c->l2.ctx);
    else if (c->l2.present && c->l2.ops.attach != NULL)
        c->l2.ops.detach(c->l2.ctx);
    if (c->l2.report_ready)
        tc_lock_fini(&c->l2.report_lock);
    tc_worker_fini(&c->worker);
    if (c->recovery_ready)
        tc_recovery_fini(&c->recovery);
    tc_flights_fini(&c->flights, &c->alloc);
    tc_regions_end(alloc.regions);
    tc_l1_fini(&c->l1); /* entries refer to types */
    while (c->types.first != NULL) {
        struct cache_type *t = c->types.first;
        c->types.first = t->next;
        tc_type_close(t);
    }
    if (c->types_ready)
        tc_lock_fini(&c->types.lock);
    tc_fork_guard_fini(&c->fork);
    tc_strfree(&c->alloc, c->name);
    tc_regions_close(alloc.regions);
    c->magic = 0;
    tc_free_lines(&alloc, c, sizeof *c);
}

/* The worker may sit in a backend's maintain() for as long as connecting may take; it must end before c goes. */
static void stop_worker_for_good(struct cache *c)
{
    while (!tc_worker_stop(c, c->connect_timeout_ms))
        ;
}

static int open_with(const struct cache_opts *o, struct cache **out, char *err, size_t err_cap)
{
    struct tc_alloc alloc = tc_alloc_default;
    if (o->alloc != NULL)
        alloc = (struct tc_alloc){ *o->alloc, o->alloc_ctx, NULL };
    struct cache *c = tc_alloc_lines(&alloc, sizeof *c);
    if (c == NULL)
        return tc_options_refuse(err, err_cap, CACHE_E_NOMEM, "out of memory");
    c->alloc = alloc;
    int rc = open_parts(c, o, err, err_cap);
    if (rc == CACHE_OK && (o->l2_url != NULL || o->backend != NULL))
        rc = open_l2(c, o, err, err_cap);
    if (rc != CACHE_OK) {
        stop_worker_for_good(c);
        dismantle(c, o->backend != NULL);
        return rc;
    }
    c->magic = TC_CACHE_MAGIC;
    *out = c;
    return CACHE_OK;
}

int cache_open(const struct cache_opts *o, struct cache **out, char *err, size_t err_cap)
{
    struct cache_opts opts = CACHE_OPTS_INIT;
    if (err != NULL && err_cap > 0)
        err[0] = '\0';
    if (out == NULL)
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID, "out: is NULL");
    if (o != NULL && !tc_options_copy(&opts, sizeof opts, o))
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID,
                                 "size: not initialised with CACHE_OPTS_INIT, or unknown fields are set");
    int rc = tc_options_complete(&opts, err, err_cap);
    return rc == CACHE_OK ? open_with(&opts, out, err, err_cap) : rc;
}

/* ---- closing ---- */

static bool is_quiet(struct cache *c)
{
    tc_readers_settle(&c->l1.readers); /* see tc_cache_enter_as() */
    return tc_readers_calls(&c->l1.readers) == 0 && tc_l1_pin_count(&c->l1) == 0;
}

static bool is_replayed(struct cache *c)
{
    return tc_recovery_pending(&c->recovery) == 0;
}

static bool is_done_replaying(struct cache *c)
{
    return is_replayed(c) || tc_worker_has_left(&c->worker);
}

/* Waits until holds(c) or the deadline. Calls and releases do not say when they end: that would cost each of them;
 * closing, once in a cache's life, looks again every millisecond. */
static bool wait_until(struct cache *c, bool (*holds)(struct cache *c), int64_t until_ms)
{
    struct tc_worker *w = &c->worker;
    while (!holds(c)) {
        if (tc_mono_ms() >= until_ms)
            return false;
        tc_lock_acquire(&w->lock);
        tc_cond_wait(&w->cond, &w->lock, 1);
        tc_lock_release(&w->lock);
    }
    return true;
}

static void tell_abandoned(struct cache *c, uint64_t count)
{
    struct cache_event e = { CACHE_EVENT_RECOVERY_ABANDONED, CACHE_E_UNAVAILABLE, count, { NULL, 0 }, { 0 } };
    tc_notice_event(&c->notices, tc_clock_now_ms(&c->clock), &e);
}

/* Calls, pins, kept invalidations, thread: in that order. False: something is left that may not be cut off. */
static bool comes_to_rest(struct cache *c, int64_t until_ms)
{
    if (!wait_until(c, is_quiet, until_ms))
        return false;
    if (c->l2.present && !is_replayed(c)) {
        tc_recovery_hurry(&c->recovery);
        tc_worker_wake(&c->worker);
        wait_until(c, is_done_replaying, until_ms);
    }
    /* The thread may be sending one last batch; idle, it ends at once. */
    int64_t left_ms = until_ms - tc_mono_ms();
    return tc_worker_stop(c, left_ms > c->l2_timeout_ms ? left_ms : c->l2_timeout_ms);
}

static int close_once(struct cache *c, int64_t timeout_ms)
{
    if (atomic_flag_test_and_set(&c->closer))
        return CACHE_BUSY;
    atomic_store(&c->closing, true);
    if (!comes_to_rest(c, tc_deadline(tc_mono_ms(), timeout_ms))) {
        atomic_flag_clear(&c->closer);
        return CACHE_BUSY;
    }
    if (!is_replayed(c))
        tell_abandoned(c, tc_recovery_pending(&c->recovery));
    dismantle(c, false);
    return CACHE_OK;
}

int cache_close(struct cache *c, int64_t timeout_ms)
{
    if (c == NULL)
        return CACHE_OK;
    if (c->magic != TC_CACHE_MAGIC || timeout_ms < 0)
        return CACHE_E_INVALID;
    if (tc_fork_guard_is_child(&c->fork)) {
        if (c->l2.present)
            c->l2.ops.forked(c->l2.ctx);
        return CACHE_OK;
    }
    int cancel = tc_cancel_disable(); /* nobody else could close c after it */
    int rc = close_once(c, timeout_ms);
    tc_cancel_restore(cancel);
    return rc;
}
