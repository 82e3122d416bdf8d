/* Statistics: gathered from types, L1, backend and recovery queue; as a struct, as text, and for the sink. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/options.h"

static void add_l1(struct cache *c, const struct cache_type *t, struct cache_stats *s)
{
    if (t != NULL) {
        struct tc_policy p;
        tc_type_policy(t, &p);
        s->l1_entries = atomic_load_explicit(&t->l1_entries, memory_order_relaxed);
        s->l1_bytes = atomic_load_explicit(&t->l1_bytes, memory_order_relaxed);
        s->l1_limit_bytes = p.l1_quota_bytes;
        s->l1_limit_entries = p.l1_quota_entries;
        return;
    }
    uint32_t n = atomic_load_explicit(&c->types.count, memory_order_acquire);
    for (uint32_t i = 0; i < n; i++)
        s->l1_entries += atomic_load_explicit(&c->types.by_id[i]->l1_entries, memory_order_relaxed);
    s->l1_bytes = tc_l1_bytes(&c->l1);
    s->l1_limit_bytes = tc_l1_limit(&c->l1);
    int64_t pins = tc_l1_pin_count(&c->l1); /* summed while it moves: for a moment it may be below 0 */
    s->l1_pins = pins > 0 ? (uint64_t)pins : 0;
    s->l1_detached_bytes = atomic_load_explicit(&c->l1.detached_bytes, memory_order_relaxed);
}

static uint64_t l2_state(struct cache *c)
{
    int health = tc_l2_health(c);
    if (health == CACHE_BACKEND_UP && tc_recovery_pending(&c->recovery) > 0)
        return CACHE_BACKEND_UP + 1;
    return (uint64_t)health;
}

static void add_l2(struct cache *c, struct cache_stats *s)
{
    struct cache_backend_stats b = { 0 };
    s->l2_state = l2_state(c);
    if (c->l2.present)
        c->l2.ops.stats(c->l2.ctx, &b);
#define TAKE(name) s->l2_##name = b.name
    TAKE(round_trips);
    TAKE(commands);
    TAKE(bytes_sent);
    TAKE(bytes_received);
    TAKE(connects);
    TAKE(reconnects);
    TAKE(err_connect);
    TAKE(err_timeout);
    TAKE(err_closed);
    TAKE(err_protocol);
    TAKE(err_auth);
    TAKE(err_oom);
    TAKE(err_loading);
    TAKE(err_readonly);
    TAKE(err_misconf);
    TAKE(err_busy);
    TAKE(err_wrongtype);
    TAKE(err_redirect);
    TAKE(err_other);
#undef TAKE
    s->recovery_pending = tc_recovery_pending(&c->recovery);
    s->recovery_replayed = atomic_load_explicit(&c->recovery.replayed, memory_order_relaxed);
    s->recovery_overflows = atomic_load_explicit(&c->recovery.overflows, memory_order_relaxed);
    s->events_suppressed = atomic_load_explicit(&c->notices.suppressed, memory_order_relaxed);
}

static void add_counted(struct cache_stats *s, struct tc_reader_counted counted)
{
    s->l1_hits += counted.hits;
    s->l1_misses += counted.missed;
    s->sets += counted.sets;
    s->l1_sets += counted.sets;
    s->l1_replaced += counted.replaced;
    s->l1_evicted_bytes += counted.evicted;
}

static void gather(struct cache *c, const struct cache_type *t, struct cache_stats *s)
{
    memset(s, 0, sizeof *s);
    const struct tc_stats *sets[TC_TYPES_MAX];
    size_t n = 0;
    if (t != NULL) {
        sets[n++] = &t->stats;
    } else {
        uint32_t count = atomic_load_explicit(&c->types.count, memory_order_acquire);
        while (n < count) {
            sets[n] = &c->types.by_id[n]->stats;
            n++;
        }
        add_l2(c, s);
    }
    for (size_t i = 0; i < n; i++)
        tc_stats_sum(sets[i], s);
    for (size_t id = t != NULL ? t->id : 0; id < TC_READER_COUNTS; id += t != NULL ? TC_READER_COUNTS : 1)
        add_counted(s, tc_readers_counted(&c->l1.readers, id));
    tc_stats_latencies(sets, n, s);
    add_l1(c, t, s);
}

int cache_stats_read(struct cache *c, const struct cache_type *t, struct cache_stats *s, size_t size)
{
    int rc = tc_cache_enter(c);
    if (rc != CACHE_OK)
        return rc;
    if (s == NULL || size == 0 || (t != NULL && (!tc_type_is_valid(t) || t->cache != c))) {
        rc = CACHE_E_INVALID;
    } else {
        struct cache_stats all;
        gather(c, t, &all);
        memset(s, 0, size);
        memcpy(s, &all, size < sizeof all ? size : sizeof all);
    }
    tc_cache_leave(c);
    return rc;
}

/* ---- text ---- */

struct text {
    char *buf;
    size_t cap, len;
};

static void write_row(void *ctx, const char *name, int kind, const char *unit, const char *help, uint64_t value)
{
    (void)kind;
    (void)help;
    struct text *t = ctx;
    size_t room = t->len < t->cap ? t->cap - t->len : 0;
    int n = snprintf(room > 0 ? t->buf + t->len : NULL, room, "%s %" PRIu64 " %s\n", name, value, unit);
    t->len += n > 0 ? (size_t)n : 0;
}

int cache_stats_text(const struct cache_stats *s, char *buf, size_t cap, size_t *len)
{
    if (s == NULL || (buf == NULL && cap > 0))
        return CACHE_E_INVALID;
    struct text t = { buf, cap, 0 };
    tc_stats_each(s, write_row, &t);
    if (len != NULL)
        *len = t.len;
    return t.len < cap ? CACHE_OK : CACHE_E_BUFFER;
}

/* ---- sink ---- */

struct push {
    struct cache *cache;
    const char *type;
};

static void push_row(void *ctx, const char *name, int kind, const char *unit, const char *help, uint64_t value)
{
    const struct push *p = ctx;
    struct cache_stat row = { p->cache->name, p->type, name, unit, help, kind, value };
    p->cache->sink.stat(p->cache->sink_ctx, &row);
}

static void push_all(struct cache *c)
{
    struct cache_stats s;
    struct push p = { c, NULL };
    gather(c, NULL, &s);
    tc_stats_each(&s, push_row, &p);
    uint32_t n = atomic_load_explicit(&c->types.count, memory_order_acquire);
    for (uint32_t i = 0; i < n; i++) {
        p.type = c->types.by_id[i]->name;
        gather(c, c->types.by_id[i], &s);
        tc_stats_each(&s, push_row, &p);
    }
}

int cache_stats_push(struct cache *c)
{
    int rc = tc_cache_enter(c);
    if (rc != CACHE_OK)
        return rc;
    if (c->sink.stat != NULL)
        push_all(c);
    else
        rc = CACHE_E_NOT_FOUND;
    tc_cache_leave(c);
    return rc;
}
