/* The map knows of each key its latest value and until when it may answer. It does not know what is evicted, nor which
 * keys share a generation: a miss is right at any time, and so is a refused ticket. */
#include "tt_cache_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_l1.h"

enum {
    ASKS = 2, /* the type with a TTL policy */
    BATCH = 12,
    HOUR_MS = 3600000,
    LONG_MS = 1 << 28,
    LOAD_FAILS = -1234
};

struct cache_key *tt_cache_map_key(struct tt_cache_map *m, struct cache_key *k, uint64_t number)
{
    cache_key_u64(cache_key_init(k, m->types[number % TT_CACHE_MAP_TYPES]), number);
    return number % 16 == 0 ? cache_key_str(k, "with a second part, so that keys are of several lengths") : k;
}

static int64_t now_of(struct tt_cache_map *m)
{
    return m->kind->system_clock ? 0 : tt_clock_mono_ms(&m->b.clock);
}

static uint64_t any(struct tt_cache_map *m, uint64_t of)
{
    return tt_random(&m->seed) % of;
}

static uint64_t any_number(struct tt_cache_map *m)
{
    return any(m, any(m, 4) ? TT_CACHE_MAP_KEYS / 20 : TT_CACHE_MAP_KEYS);
}

static size_t any_len(struct tt_cache_map *m)
{
    return any(m, 4) ? any(m, 300) : any(m, TT_CACHE_MAP_LEN_MOST + 1);
}

/* ---- what the map learns ---- */

static int64_t lesser(int64_t a, int64_t b)
{
    return a == CACHE_TTL_FOREVER ? b : b == CACHE_TTL_FOREVER || a < b ? a : b;
}

/* When what is stored now expires at the latest. */
static int64_t until_of(struct tt_cache_map *m, uint64_t number, bool absent, int64_t wished_ms)
{
    const struct cache_type_opts *o = &m->opts[number % TT_CACHE_MAP_TYPES];
    int64_t ttl_ms = absent ? lesser(o->ttl_ms, 10000) : o->ttl_ms;
    ttl_ms = wished_ms != 0 ? wished_ms : ttl_ms;
    ttl_ms = o->l1_ttl_ms != 0 ? lesser(ttl_ms, o->l1_ttl_ms) : ttl_ms;
    return m->kind->system_clock || ttl_ms == CACHE_TTL_FOREVER ? INT64_MAX : now_of(m) + ttl_ms;
}

static void stored(struct tt_cache_map *m, uint64_t number, const struct tt_cache_map_value *is)
{
    struct tt_cache_map_value *v = &m->values[number];
    uint64_t changes = v->changes;
    *v = *is;
    v->there = true;
    v->made_ms = now_of(m);
    v->stale_ms = m->opts[number % TT_CACHE_MAP_TYPES].max_stale_ms;
    v->changes = changes;
    v->missed = false;
    atomic_store(&m->oldest[number], is->version);
}

static void gone(struct tt_cache_map *m, uint64_t number)
{
    m->values[number].there = false;
    m->values[number].changes++;
    atomic_store(&m->oldest[number], m->version + 1);
}

static bool says(uint64_t number, const struct tt_cache_map_value *v, const void *data, size_t len)
{
    uint64_t version;
    return len == v->len && tt_l1_is_value(data, len, number, &version) && (len < 8 || version == v->version);
}

/* ---- storing ---- */

struct wish {
    struct tt_cache_map_value is;
    struct cache_set_opts o;
    unsigned char data[TT_CACHE_MAP_LEN_MOST];
};

static void wish_for(struct tt_cache_map *m, struct wish *w, uint64_t number)
{
    static const int64_t lives[] = { 0, 0, CACHE_TTL_FOREVER, CACHE_TTL_NONE, 1, 100, 3000, 400000000 };
    int64_t life_ms = lives[any(m, TC_ARRAY_LEN(lives))];
    w->o = (struct cache_set_opts)CACHE_SET_OPTS_INIT;
    w->o.ttl_ms = m->kind->system_clock && life_ms > 0 ? HOUR_MS : life_ms;
    w->is = (struct tt_cache_map_value){ .version = ++m->version, .len = any_len(m), .absent = any(m, 12) == 0 };
    w->is.len = w->is.absent ? 0 : w->is.len;
    w->is.until_ms = until_of(m, number, w->is.absent, w->o.ttl_ms);
    tt_l1_fill(w->data, w->is.len, number, w->is.version);
}

/* answers: there was a ticket, or may have been. Then what is there may stay where nothing is stored. */
static void learn(struct tt_cache_map *m, uint64_t number, const struct wish *w, bool answers, int rc)
{
    const struct cache_type_opts *o = &m->opts[number % TT_CACHE_MAP_TYPES];
    bool large = w->is.len > (o->l1_max_value_bytes > 0 ? o->l1_max_value_bytes : m->kind->l1_bytes / 8) ||
                 (o->l1_quota_bytes > 0 && w->is.len + 400 > o->l1_quota_bytes);
    struct tt_cache_map_value *v = &m->values[number];
    TT_CHECK(m->failures, rc == CACHE_OK || (rc == CACHE_E_TICKET && answers) || (rc == CACHE_E_TOO_LARGE && large));
    m->refused += rc == CACHE_E_TICKET;
    if (rc == CACHE_OK && w->o.ttl_ms != CACHE_TTL_NONE) {
        stored(m, number, &w->is);
        v->changes += !answers;
    } else if (!answers) {
        gone(m, number);
    }
}

static void set(struct tt_cache_map *m, uint64_t number)
{
    struct cache_key k;
    struct wish w;
    bool answers = m->values[number].missed;
    wish_for(m, &w, number);
    int rc = w.is.absent ? cache_set_absent(m->b.c, tt_cache_map_key(m, &k, number), &w.o)
                         : cache_set(m->b.c, tt_cache_map_key(m, &k, number), w.data, w.is.len, &w.o);
    learn(m, number, &w, answers, rc);
    m->values[number].missed = false; /* the ticket serves once */
}

static void set_with_ticket(struct tt_cache_map *m)
{
    struct cache_key k;
    struct wish w;
    struct tt_cache_map_ticket t = m->tickets[any(m, TT_CACHE_MAP_TICKETS)];
    bool missed = m->values[t.number].missed;
    if (t.t.opaque[0] == 0)
        return;
    wish_for(m, &w, t.number);
    w.o.ticket = &t.t;
    int rc = w.is.absent ? cache_set_absent(m->b.c, tt_cache_map_key(m, &k, t.number), &w.o)
                         : cache_set(m->b.c, tt_cache_map_key(m, &k, t.number), w.data, w.is.len, &w.o);
    TT_CHECK(m->failures, rc == CACHE_E_TICKET || t.changes == m->values[t.number].changes);
    learn(m, t.number, &w, true, rc);
    m->values[t.number].missed = missed;
}

static void set_many(struct tt_cache_map *m)
{
    struct cache_key keys[BATCH];
    struct cache_item items[BATCH] = { { .key = NULL } };
    struct wish *w = tt_xcalloc(BATCH * sizeof *w);
    uint64_t first = any(m, TT_CACHE_MAP_KEYS - BATCH), n = 1 + any(m, BATCH);
    for (uint64_t i = 0; i < n; i++) {
        wish_for(m, &w[i], first + i);
        w[i].is.absent = false;
        w[i].o.ttl_ms = 0;
        w[i].is.until_ms = until_of(m, first + i, false, 0);
        items[i].key = tt_cache_map_key(m, &keys[i], first + i);
        items[i].data = w[i].data;
        items[i].len = w[i].is.len;
    }
    TT_CHECK(m->failures, cache_set_many(m->b.c, items, n, NULL) == CACHE_OK);
    for (uint64_t i = 0; i < n; i++) {
        learn(m, first + i, &w[i], m->values[first + i].missed, items[i].status);
        m->values[first + i].missed = false;
    }
    free(w);
}

/* ---- looking up ---- */

static void unpin(struct tt_cache_map *m, struct tt_cache_map_pin *p)
{
    TT_CHECK(m->failures, p->v.pin == NULL || says(p->number, &p->is, p->v.data, p->v.len));
    cache_value_release(&p->v);
}

/* False: nothing was. */
static bool unpin_all(struct tt_cache_map *m)
{
    bool any = false;
    for (size_t i = 0; i < TT_CACHE_MAP_PINS; i++) {
        any = any || m->pins[i].v.pin != NULL;
        unpin(m, &m->pins[i]);
    }
    return any;
}

/* How long past its time a value may answer. A new window holds at once, unless the entry says more of itself than most
 * do: one that a TTL policy was asked about, or of a long life. */
static int64_t window_of(struct tt_cache_map *m, uint64_t number)
{
    const struct tt_cache_map_value *v = &m->values[number];
    int64_t now_ms = m->opts[number % TT_CACHE_MAP_TYPES].max_stale_ms;
    bool keeps = number % TT_CACHE_MAP_TYPES == ASKS || v->until_ms - v->made_ms >= LONG_MS;
    return keeps && v->stale_ms > now_ms ? v->stale_ms : now_ms;
}

/* Whether a result is what the map has. */
static bool is_right(struct tt_cache_map *m, uint64_t number, int rc, const struct cache_meta *meta)
{
    const struct tt_cache_map_value *v = &m->values[number];
    bool stale = meta->flags & CACHE_META_STALE;
    int64_t window_ms = stale ? window_of(m, number) : 0;
    m->found++;
    m->stale += stale;
    if (!v->there || v->absent != (rc == CACHE_ABSENT))
        return false;
    if (m->kind->system_clock)
        return !stale && (rc == CACHE_ABSENT || meta->len == v->len);
    if (v->until_ms != INT64_MAX && now_of(m) >= v->until_ms + window_ms)
        return false;
    return rc == CACHE_ABSENT || (meta->len == v->len && meta->age_ms == now_of(m) - v->made_ms);
}

static void take(struct tt_cache_map *m, uint64_t number, int rc, struct cache_value *value)
{
    if (rc == CACHE_MISS) {
        m->values[number].missed = true;
        return;
    }
    TT_CHECK(m->failures, (rc == CACHE_OK || rc == CACHE_ABSENT) && is_right(m, number, rc, &value->meta));
    TT_CHECK(m->failures, rc != CACHE_OK || says(number, &m->values[number], value->data, value->len));
    if (rc != CACHE_OK)
        return;
    struct tt_cache_map_pin *p = &m->pins[any(m, TT_CACHE_MAP_PINS)];
    if (any(m, 8) == 0) {
        unpin(m, p);
        *p = (struct tt_cache_map_pin){ *value, number, m->values[number] };
    } else {
        cache_value_release(value);
    }
}

static void get(struct tt_cache_map *m, uint64_t number)
{
    struct cache_key k;
    struct cache_value v;
    struct cache_call o = CACHE_CALL_INIT;
    struct tt_cache_map_ticket t = { number, m->values[number].changes, { { 0 } } };
    o.ticket = &t.t;
    int rc = cache_get(m->b.c, tt_cache_map_key(m, &k, number), &o, &v);
    take(m, number, rc, &v);
    if (rc == CACHE_MISS)
        m->tickets[any(m, TT_CACHE_MAP_TICKETS)] = t;
}

static void get_copy(struct tt_cache_map *m, uint64_t number)
{
    struct cache_key k;
    unsigned char buf[TT_CACHE_MAP_LEN_MOST];
    struct cache_meta meta;
    size_t cap = any(m, 8) ? sizeof buf : m->values[number].len / 2;
    bool plain = any(m, 2);
    int rc = cache_get_copy(m->b.c, tt_cache_map_key(m, &k, number), buf, cap, plain ? NULL : &meta);
    if (rc == CACHE_MISS)
        m->values[number].missed = true;
    else if (rc == CACHE_OK)
        TT_CHECK(m->failures, m->values[number].len <= cap && m->values[number].there &&
                                  says(number, &m->values[number], buf, m->values[number].len));
    else
        TT_CHECK(m->failures, rc == CACHE_ABSENT || (rc == CACHE_E_BUFFER && m->values[number].len > cap));
    if (rc == CACHE_ABSENT || plain)
        memset(&meta, 0, sizeof meta);
    TT_CHECK(m->failures, rc == CACHE_MISS || (plain && rc != CACHE_ABSENT) ||
                              is_right(m, number, rc == CACHE_ABSENT ? rc : CACHE_OK, &meta));
}

static void get_many(struct tt_cache_map *m)
{
    struct cache_key keys[BATCH];
    struct cache_item items[BATCH] = { { .key = NULL } };
    uint64_t numbers[BATCH];
    for (size_t i = 0; i < BATCH; i++) {
        numbers[i] = i > 0 && any(m, 8) == 0 ? numbers[i - 1] : any_number(m);
        items[i].key = tt_cache_map_key(m, &keys[i], numbers[i]);
    }
    TT_CHECK(m->failures, cache_get_many(m->b.c, items, BATCH, NULL) == CACHE_OK);
    for (size_t i = 0; i < BATCH; i++)
        take(m, numbers[i], items[i].status, &items[i].value);
}

/* ---- loading ---- */

struct load {
    struct tt_cache_map *m;
    uint64_t number;
    struct wish w;
    bool ran, fails, invalidates;
};

static int run_load(struct cache_load *ld, const struct cache_key *k, void *user)
{
    struct load *l = user;
    l->ran = true;
    if (l->invalidates) {
        TT_CHECK(l->m->failures, cache_invalidate(l->m->b.c, k, NULL) == CACHE_OK);
        gone(l->m, l->number);
    }
    if (l->fails)
        return LOAD_FAILS;
    if (l->w.o.ttl_ms != 0)
        TT_CHECK(l->m->failures, cache_load_ttl(ld, l->w.o.ttl_ms) == CACHE_OK);
    return l->w.is.absent ? cache_load_absent(ld) : cache_load_reply(ld, l->w.data, l->w.is.len);
}

static void fetch(struct tt_cache_map *m, uint64_t number)
{
    struct cache_key k;
    struct cache_value v;
    struct cache_fetch_opts o = CACHE_FETCH_OPTS_INIT;
    struct load *l = tt_xcalloc(sizeof *l);
    *l = (struct load){ .m = m, .number = number, .fails = any(m, 4) == 0 };
    /* Not of one that fails: what was stale when the call began may answer it still. */
    l->invalidates = !l->fails && any(m, 8) == 0;
    wish_for(m, &l->w, number);
    o.load = run_load;
    o.user = l;
    int rc = cache_fetch(m->b.c, tt_cache_map_key(m, &k, number), &o, &v);
    m->loads += l->ran;
    if (!l->ran || (l->fails && rc != LOAD_FAILS)) {
        TT_CHECK(m->failures, rc != CACHE_MISS && (!l->ran || v.meta.flags & CACHE_META_STALE));
        take(m, number, rc, &v);
    } else if (!l->fails) { /* the caller gets it whatever becomes of it */
        TT_CHECK(m->failures, rc == (l->w.is.absent ? CACHE_ABSENT : CACHE_OK));
        TT_CHECK(m->failures, rc != CACHE_OK || says(number, &l->w.is, v.data, v.len));
        cache_value_release(&v);
        bool missed = m->values[number].missed;
        if (!l->invalidates && l->w.o.ttl_ms != CACHE_TTL_NONE)
            stored(m, number, &l->w.is);
        m->values[number].missed = missed;
    }
    free(l);
}

/* ---- the rest that can be done ---- */

static void invalidate(struct tt_cache_map *m, uint64_t number)
{
    struct cache_key k;
    TT_CHECK(m->failures, cache_invalidate(m->b.c, tt_cache_map_key(m, &k, number), NULL) == CACHE_OK);
    gone(m, number);
}

static void clear(struct tt_cache_map *m)
{
    TT_CHECK(m->failures, cache_clear_local(m->b.c) == CACHE_OK);
    for (uint64_t i = 0; i < TT_CACHE_MAP_KEYS; i++)
        gone(m, i);
}

static void resize(struct tt_cache_map *m)
{
    static const unsigned eighths[] = { 2, 3, 8, 8, 12 };
    uint64_t bytes = m->kind->l1_bytes / 8 * eighths[any(m, TC_ARRAY_LEN(eighths))];
    int rc = cache_resize(m->b.c, bytes, 5000);
    if (rc == CACHE_E_TIMEOUT && unpin_all(m)) /* values that are held keep what they lie in */
        rc = cache_resize(m->b.c, bytes, 5000);
    TT_CHECK(m->failures, rc == CACHE_OK);
    TT_CHECK(m->failures, tt_cache_stats(&m->b).l1_bytes <= bytes);
}

/* Lives are hours or more where the clock is the system's. */
static void change_type(struct tt_cache_map *m, size_t i)
{
    struct cache_type_opts *o = &m->opts[i];
    int64_t unit_ms = m->kind->system_clock ? HOUR_MS : 1;
    o->ttl_ms = any(m, 4) ? (int64_t)(1 + any(m, 20000)) * unit_ms : CACHE_TTL_FOREVER;
    o->l1_ttl_ms = any(m, 4) == 0 ? (int64_t)(1 + any(m, 5000)) * unit_ms : 0;
    o->max_stale_ms = any(m, 2) ? (int64_t)(1 + any(m, 3000)) : -1;
    o->jitter_percent = any(m, 4) == 0 ? (uint32_t)any(m, 91) : 0;
    o->l1_max_value_bytes = any(m, 8) == 0 ? 1 + any(m, 3000) : 0;
    o->l1_quota_entries = any(m, 4) == 0 ? 20 + any(m, 200) : 0;
    o->l1_quota_bytes = any(m, 4) == 0 ? 10000 + any(m, 200000) : 0;
    TT_CHECK(m->failures, cache_type_update(m->types[i], o, NULL, 0) == CACHE_OK);
}

static void move_clock(struct tt_cache_map *m)
{
    static const uint64_t moves[] = { 10, 100, 100, 1000, 1000, 5000, 70000, 500000000 };
    tt_clock_advance(&m->b.clock, (int64_t)any(m, moves[any(m, any(m, 4) ? 5 : TC_ARRAY_LEN(moves))]));
}

static void step(struct tt_cache_map *m)
{
    uint64_t number = any_number(m), what = any(m, 10000);
    if (what < 3000)
        set(m, number);
    else if (what < 3500)
        set_with_ticket(m);
    else if (what < 3700)
        set_many(m);
    else if (what < 5700)
        get(m, number);
    else if (what < 7200)
        get_copy(m, number);
    else if (what < 7400)
        get_many(m);
    else if (what < 9200)
        fetch(m, number);
    else if (what < 9700)
        invalidate(m, number);
    else if (what < 9703)
        clear(m);
    else if (what < 9720)
        resize(m);
    else if (what < 9750)
        change_type(m, number % TT_CACHE_MAP_TYPES);
    else if (what < 9850)
        unpin(m, &m->pins[number % TT_CACHE_MAP_PINS]);
    else
        move_clock(m);
}

void tt_cache_map_step(struct tt_cache_map *m, int n)
{
    for (int i = 0; i < n && m->failures == 0; i++)
        step(m);
}

/* Asked before a value is stored: such entries say more of themselves. */
static void decide_nothing(void *ctx, const struct cache_ttl_view *view, struct cache_ttl *ttl)
{
    (void)ctx;
    (void)view;
    (void)ttl;
}

static const struct cache_ttl_ops decides_nothing = { CACHE_HOOKS_ABI, decide_nothing };

struct tt_cache_map *tt_cache_map_new(const struct tt_cache_kind *kind)
{
    static const char *const names[TT_CACHE_MAP_TYPES] = { "t", "second", "third" };
    struct tt_cache_map *m = tt_xcalloc(sizeof *m);
    m->kind = kind;
    m->seed = tt_seed();
    tt_cache_prepare(&m->b, false);
    m->b.opts.evict = cache_evict_policy(kind->policy);
    m->b.opts.l1_bytes = kind->l1_bytes;
    m->b.opts.l1_stripes = kind->stripes;
    if (kind->system_clock)
        m->b.opts.clock = NULL;
    tt_cache_open(&m->b);
    m->types[0] = m->b.type;
    for (size_t i = 0; i < TT_CACHE_MAP_TYPES; i++) {
        m->opts[i] = (struct cache_type_opts)CACHE_TYPE_OPTS_INIT;
        m->opts[i].name = names[i];
        m->opts[i].ttl_ms = HOUR_MS;
        m->opts[i].max_stale_ms = 1000;
        m->opts[i].ttl_policy = i == ASKS ? &decides_nothing : NULL;
        if (i > 0)
            assert_int_equal(cache_type_register(m->b.c, &m->opts[i], &m->types[i]), CACHE_OK);
        else
            assert_int_equal(cache_type_update(m->types[i], &m->opts[i], NULL, 0), CACHE_OK);
    }
    return m;
}

void tt_cache_map_free(struct tt_cache_map *m)
{
    unpin_all(m);
    assert_int_equal(m->failures, 0);
    assert_true(tt_cache_close(&m->b)); /* nothing is pinned or leaked */
    free(m);
}
