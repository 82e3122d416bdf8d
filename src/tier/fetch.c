/* Read-through: L1, then one flight per key, whose leader asks L2, then the loader, and stores what came.
 *
 * The leader holds no lock while the loader runs. Whatever way the loader leaves - return, exception, pthread_exit,
 * cancellation - the flight is ended and its waiters are woken: what is to be undone stands in struct run, and the
 * cleanup handler, which runs on unwinding too (the library is compiled with -fexceptions), undoes it. */
#include <pthread.h>
#include <string.h>

#include "policy/ttl.h"
#include "tier/verbs.h"

#define LOAD_MAGIC UINT64_C(0x74636c6f61643031)

struct cache_load {
    uint64_t magic;
    struct cache *cache;
    const struct tc_target *target;
    const struct tc_policy *policy;
    int64_t deadline_ms;
    struct tc_entry *reply; /* a reference, or NULL */
    int64_t ttl_ms;         /* the loader's wish */
};

/* A call of tc_fetch under way. */
struct run {
    struct cache *cache;
    const struct tc_target *target;
    const struct tc_fetch_opts *opts;
    struct tc_l1_found found;  /* with the stale entry, pinned, if there is one */
    struct tc_flight *flight;  /* led by this call, or NULL */
    bool alone;                /* it loads outside any flight */
    uint64_t generation;       /* read before anything else was */
    struct tc_policy policy;
    struct cache_load load;
    uint32_t flags; /* CACHE_META_* for the outcome */
};

/* ---- what a loader may do ---- */

static struct tc_entry *new_reply(struct cache_load *ld, size_t len)
{
    struct cache *c = ld->cache;
    struct tc_entry *e = tc_write_entry(c, ld->target, ld->policy, len);
    if (e == NULL)
        return NULL;
    if (ld->reply != NULL)
        tc_l1_drop(&c->l1, ld->reply);
    ld->reply = e;
    return e;
}

static bool is_load(const struct cache_load *ld)
{
    return ld != NULL && ld->magic == LOAD_MAGIC;
}

int tc_load_reply(struct cache_load *ld, const void *data, size_t len)
{
    if (!is_load(ld) || (data == NULL && len > 0))
        return CACHE_E_INVALID;
    if (len > ld->cache->max_value_bytes)
        return CACHE_E_TOO_LARGE;
    struct tc_entry *e = new_reply(ld, len);
    if (e == NULL)
        return CACHE_E_NOMEM;
    if (len > 0)
        memcpy(tc_entry_room(e), data, len);
    return CACHE_OK;
}

void *tc_load_buffer(struct cache_load *ld, size_t len)
{
    if (!is_load(ld) || len > ld->cache->max_value_bytes)
        return NULL;
    struct tc_entry *e = new_reply(ld, len);
    return e != NULL ? tc_entry_room(e) : NULL;
}

int tc_load_absent(struct cache_load *ld)
{
    if (!is_load(ld))
        return CACHE_E_INVALID;
    struct tc_entry *e = new_reply(ld, 0);
    if (e == NULL)
        return CACHE_E_NOMEM;
    tc_entry_add_flags(e, TC_ENTRY_ABSENT);
    return CACHE_OK;
}

int tc_load_ttl(struct cache_load *ld, int64_t ttl_ms)
{
    if (!is_load(ld) || !tc_ttl_is_valid(ttl_ms))
        return CACHE_E_INVALID;
    ld->ttl_ms = ttl_ms;
    return CACHE_OK;
}

int64_t tc_load_remaining_ms(const struct cache_load *ld)
{
    if (!is_load(ld))
        return 0;
    int64_t left_ms = ld->deadline_ms - tc_clock_now_ms(&ld->cache->clock);
    return left_ms > 0 ? left_ms : 0;
}

/* ---- leading ---- */

static void end_flight(struct run *r, int status, struct tc_entry *e, uint32_t tier)
{
    if (status < 0 && tc_clock_now_ms(&r->cache->clock) >= r->opts->deadline_ms)
        status = TC_FLIGHT_FORSAKEN;
    if (r->flight != NULL)
        tc_flight_end(r->cache, r->flight, status, e, tier);
    if (r->alone)
        tc_flight_alone_end();
    r->flight = NULL;
    r->alone = false;
}

/* The loader did not come back: those who wait are told, and the call that will never return is taken off the books. */
static void unwound(void *arg)
{
    struct run *r = arg;
    struct cache *c = r->cache;
    r->load.magic = 0;
    tc_cache_count(r->target->type, TC_COUNT_load_errors);
    end_flight(r, CACHE_E_LOAD, NULL, CACHE_TIER_NONE);
    if (r->load.reply != NULL)
        tc_l1_drop(&c->l1, r->load.reply);
    tc_read_stale(c, r->target->type, &r->found, false, NULL);
    tc_cache_leave(c);
}

static int call_loader(struct run *r)
{
    int rc = CACHE_E_LOAD;
    pthread_cleanup_push(unwound, r);
    rc = r->opts->load(&r->load, r->opts->key, r->opts->user);
    pthread_cleanup_pop(0);
    r->load.magic = 0;
    if (rc == CACHE_OK)
        return r->load.reply != NULL ? CACHE_OK : CACHE_E_LOAD;
    bool passes = (rc <= CACHE_E_USER_FIRST && rc >= CACHE_E_USER_LAST) || rc == CACHE_E_NOMEM ||
                  rc == CACHE_E_TOO_LARGE;
    return passes ? rc : CACHE_E_LOAD;
}

static void tell_failure(struct run *r, int status)
{
    struct cache *c = r->cache;
    int64_t now_ms = tc_clock_now_ms(&c->clock);
    tc_cache_count(r->target->type, TC_COUNT_load_errors);
    struct cache_event e = { CACHE_EVENT_LOAD_FAILED, status, 1, r->target->ref.key, { 0 } };
    tc_notice_event(&c->notices, now_ms, &e);
}

/* Runs the loader and stores its reply. *e gets a reference with CACHE_OK. */
static int load(struct run *r, struct tc_entry **e)
{
    struct cache *c = r->cache;
    struct cache_type *type = r->target->type;
    r->load = (struct cache_load){ LOAD_MAGIC, c, r->target, &r->policy, r->opts->deadline_ms, NULL, 0 };
    tc_cache_count(type, TC_COUNT_loads);
    int64_t began_ns = tc_mono_ns();
    int rc = call_loader(r);
    int64_t took_ns = tc_mono_ns() - began_ns;
    tc_histogram_record(&type->stats.latencies[TC_LATENCY_load], took_ns);
    if (rc != CACHE_OK) {
        if (r->load.reply != NULL)
            tc_l1_drop(&c->l1, r->load.reply);
        tell_failure(r, rc);
        return rc;
    }
    *e = r->load.reply;
    struct tc_value_in in = { .target = r->target, .policy = r->policy, .entry = *e, .generation = r->generation };
    tc_write_lifetime(c, &in, r->load.ttl_ms, took_ns / 1000);
    *e = in.entry;
    if (in.ttl.ttl_ms != CACHE_TTL_NONE) {
        tc_write_fill(c, &in, r->opts->deadline_ms);
        if (in.status == CACHE_E_TICKET)
            tc_cache_count(type, TC_COUNT_loads_discarded);
    }
    tc_l1_detach_unless_stored(&c->l1, *e);
    return CACHE_OK;
}

/* Asks L2. True with *out set if it had the value. */
static bool ask_l2(struct run *r, struct tc_outcome *out)
{
    struct cache *c = r->cache;
    if (!tc_cache_uses_l2(c, r->target->type))
        return false;
    if (!tc_l2_usable(c)) {
        tc_cache_count(r->target->type, TC_COUNT_l2_skipped);
        r->flags |= CACHE_META_L2_OUT;
        return false;
    }
    struct tc_l2_read read = { r->target, CACHE_E_UNKNOWN, NULL, false };
    tc_l2_read_one(c, &read, tc_l2_deadline(c, r->opts->deadline_ms, true));
    tc_read_settle(c, &read, r->generation, out);
    r->flags |= out->flags & CACHE_META_L2_OUT;
    return out->entry != NULL;
}

/* Between this call's miss and its flight another flight may have come to its end and left the value in L1. */
static bool came_meanwhile(struct run *r, struct tc_outcome *out)
{
    struct tc_l1_found again;
    struct cache *c = r->cache;
    if (r->policy.flags & CACHE_TYPE_NO_L1)
        return false;
    tc_l1_get(&c->l1, r->target->ref, tc_clock_coarse_ms(&c->clock), &again);
    if (again.entry != NULL && !again.fresh)
        tc_l1_release(&c->l1, again.entry);
    if (again.entry == NULL || !again.fresh)
        return false;
    *out = (struct tc_outcome){ tc_entry_flags(again.entry) & TC_ENTRY_ABSENT ? CACHE_ABSENT : CACHE_OK, again.entry,
                                CACHE_TIER_L1, 0 };
    return true;
}

static void lead(struct run *r, struct tc_outcome *out)
{
    struct cache *c = r->cache;
    if (!came_meanwhile(r, out) && !ask_l2(r, out)) {
        struct tc_entry *e = NULL;
        *out = (struct tc_outcome){ load(r, &e), NULL, CACHE_TIER_LOADER, 0 };
        if (e != NULL) {
            out->status = tc_entry_flags(e) & TC_ENTRY_ABSENT ? CACHE_ABSENT : CACHE_OK;
            out->entry = e;
            tc_l1_pin(&c->l1, e);
            tc_l1_drop(&c->l1, e);
        }
    }
    end_flight(r, out->status, out->entry, out->tier);
}

static void lead_alone(struct run *r, struct tc_outcome *out)
{
    r->alone = tc_flight_alone_begin(r->cache, r->target);
    if (r->alone)
        lead(r, out);
    else
        out->status = CACHE_E_NOMEM;
}

/* False: the leader failed for want of time, which this caller still has: it is to try for itself. */
static bool join(struct run *r, struct tc_flight *flight, struct tc_outcome *out)
{
    struct cache *c = r->cache;
    tc_cache_count(r->target->type, TC_COUNT_coalesced_waits);
    out->status = tc_flight_wait(c, flight, r->opts->deadline_ms, &out->entry, &out->tier);
    if (out->status == TC_FLIGHT_FORSAKEN) {
        if (tc_clock_now_ms(&c->clock) < r->opts->deadline_ms)
            return false;
        out->status = CACHE_E_TIMEOUT;
    }
    if (out->status == CACHE_E_TIMEOUT)
        tc_cache_count(r->target->type, TC_COUNT_wait_timeouts);
    if (out->status == CACHE_E_DEADLOCK)
        lead_alone(r, out);
    else if (out->entry != NULL)
        r->flags |= CACHE_META_JOINED;
    return true;
}

/* One flight's worth. False: as join(). */
static bool fly(struct run *r, struct tc_outcome *out)
{
    struct tc_flight *flight = NULL;
    switch (tc_flight_enter(r->cache, r->target, r->policy.load_timeout_ms, &flight)) {
    case TC_FLIGHT_JOIN:
        return join(r, flight, out);
    case TC_FLIGHT_LEAD:
        r->flight = flight;
        r->generation = flight->generation;
        lead(r, out);
        break;
    case TC_FLIGHT_NOMEM: /* nobody can join it, but the value can still be had */
        lead_alone(r, out);
        break;
    case TC_FLIGHT_LOOP:
        tc_cache_count(r->target->type, TC_COUNT_recursions);
        out->status = CACHE_E_DEADLOCK;
        break;
    }
    return true;
}

/* While L2 is out its hits would all become loads at once: what was good until lately goes before the origin. */
static bool spare_origin(struct run *r, struct tc_outcome *out)
{
    struct cache *c = r->cache;
    if (r->found.entry == NULL || r->opts->flags & CACHE_FETCH_NO_STALE ||
        !tc_cache_uses_l2(c, r->target->type) || tc_l2_usable(c))
        return false;
    tc_cache_count(r->target->type, TC_COUNT_l2_skipped);
    out->flags |= CACHE_META_L2_OUT;
    return tc_read_stale(c, r->target->type, &r->found, true, out);
}

void tc_fetch(struct cache *c, const struct tc_target *t, const struct tc_fetch_opts *o, struct tc_outcome *out)
{
    struct run r = { .cache = c, .target = t, .opts = o };
    if (tc_read_l1(c, tc_reader_self(&c->l1.readers), t, &r.found, out) || spare_origin(&r, out))
        return;
    tc_type_policy(t->type, &r.policy);
    r.generation = r.found.generation;
    while (!fly(&r, out))
        ;
    out->flags |= r.flags;
    bool want_stale = out->status < 0 && out->status != CACHE_E_DEADLOCK && !(o->flags & CACHE_FETCH_NO_STALE);
    if (!tc_read_stale(c, t->type, &r.found, want_stale, out))
        tc_cache_count(t->type, TC_COUNT_l1_misses);
}
