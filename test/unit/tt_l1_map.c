/* The map knows of each key its latest value and until when it may answer, and of each gate how often its generation
 * moved. It does not know what is evicted: nothing may be found any time, unless the value has just been stored or
 * everything fits. */
#include "tt_l1_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/evict.h"
#include "tt_hasher.h"
#include "tt_util.h"

enum {
    PAGED_LIMIT = 4 << 20,
    PAGED_STRIPES = 2,
    APART_LIMIT = 1 << 20,
    APART_STRIPES = TT_L1_MAP_STRIPES,
    SAME_HASH = 24, /* the first keys: they share one whole hash */
    MAX_STALE_MS = 700,
    SPARE = 4096, /* threads' records, and what rounding does not cover */
    CHECK_EVERY = 1000
};

#define DAY_MS INT64_C(86400000)
#define NOT_MADE 1000 /* there was no memory for the entry: L1 was not asked */

/* ---- keys: of many lengths ---- */

struct tt_l1_map_key tt_l1_map_key(const struct tt_l1 *r, uint64_t number)
{
    uint64_t hash = tt_l1_key(r, number < SAME_HASH ? 0 : number).hash;
    struct tt_l1_map_key k = { hash, number, 8 + number % (TT_L1_MAP_KEY_MOST - 7), { 0 } };
    tt_l1_fill(k.bytes, k.len, number, number);
    return k;
}

struct tc_l1_ref tt_l1_map_ref(const struct tt_l1_map_key *k)
{
    struct cache_slice key = { k->bytes, k->len };
    tt_hasher_say(key, k->hash);
    return (struct tc_l1_ref){ k->hash, key };
}

static size_t type_of(uint64_t number)
{
    return number % TT_L1_TYPES;
}

/* ---- the map ---- */

static uint64_t *generation_of(struct tt_l1_map *m, const struct tt_l1_map_key *k)
{
    return &m->generations[tc_l1_gate_id(&m->r->l1, k->hash)];
}

static bool says(const struct tc_entry *e, uint64_t number, const struct tt_l1_map_value *v)
{
    uint64_t version;
    size_t len = tc_entry_len(e);
    return len == v->len && !(tc_entry_flags(e) & TC_ENTRY_ABSENT) == !v->absent &&
           tt_l1_is_value(tc_entry_data(e), len, number, &version) && (len < 8 || version == v->version);
}

static void unpin(struct tt_l1_map *m, struct tt_l1_map_pin *p)
{
    if (p->e == NULL)
        return;
    TT_CHECK(m->failures, says(p->e, p->number, &p->is)); /* whatever became of the key */
    tc_l1_release(&m->r->l1, p->e);
    p->e = NULL;
}

/* False: nothing was. */
static bool unpin_all(struct tt_l1_map *m)
{
    bool any = false;
    for (size_t i = 0; i < TT_L1_MAP_PINS; i++) {
        any = any || m->pins[i].e != NULL;
        unpin(m, &m->pins[i]);
    }
    return any;
}

static void gone(struct tt_l1_map *m, uint64_t number)
{
    m->values[number].there = false;
    atomic_store(&m->oldest[number], m->version + 1);
}

/* ---- making and storing ---- */

/* SHORT: the short way, and where that is not to be had as LENT. */
enum way { WIDE, PLAIN, LENT, SHORT, FRAMED, WAYS };

struct wish {
    enum way way;
    bool absent, advance;
    size_t len;
    uint64_t version;
    int64_t life_ms;  /* negative: for ever */
    int64_t stale_ms; /* after that, where an entry can have its own */
    int64_t taken_ms;
    const uint64_t *expected;
};

static struct tc_entry *make_framed(struct tt_l1 *r, const struct tt_l1_map_key *k, const struct wish *w)
{
    unsigned char *frame = tc_alloc(&r->alloc, w->len + 1);
    if (frame == NULL)
        return NULL;
    tt_l1_fill(frame, w->len, k->number, w->version);
    struct tc_entry *e = tc_entry_adopt(&r->alloc, r->l1.node_bytes, r->types[type_of(k->number)], k->hash,
                                        tt_l1_map_ref(k).key, frame, w->len + 1, (struct cache_slice){ frame, w->len });
    if (e == NULL)
        tc_free(&r->alloc, frame, w->len + 1);
    return e;
}

static struct tc_entry *make(struct tt_l1 *r, const struct tt_l1_map_key *k, const struct wish *w, void *room,
                             size_t cap)
{
    struct tc_entry *e;
    struct cache_type *t = r->types[type_of(k->number)];
    struct cache_slice key = tt_l1_map_ref(k).key;
    if (w->way == FRAMED)
        e = make_framed(r, k, w);
    else if (w->way == LENT || w->way == SHORT)
        e = tc_entry_lend(room, cap, r->l1.node_bytes, t, key, w->len);
    else
        e = (w->way == WIDE ? tc_entry_open : tc_entry_open_small)(&r->alloc, r->l1.node_bytes, t, k->hash, key,
                                                                   w->len);
    if (e == NULL)
        return NULL;
    if (w->way != FRAMED)
        tt_l1_fill(tc_entry_room(e), w->len, k->number, w->version);
    tc_entry_set_life(e, tt_l1_now(r), w->life_ms, w->stale_ms);
    if (tc_entry_flags(e) & TC_ENTRY_MORE)
        tc_entry_more(e)->taken_ms = w->taken_ms;
    if (w->absent)
        tc_entry_add_flags(e, TC_ENTRY_ABSENT);
    return e;
}

static bool set(struct tt_l1 *r, const struct tt_l1_map_key *k, const struct wish *w)
{
    unsigned char value[TT_L1_MAP_LEN_MOST];
    bool replaced;
    tt_l1_fill(value, w->len, k->number, w->version);
    struct tc_entry_parts p = { .hash = k->hash, .key = tt_l1_map_ref(k).key, .value = { value, w->len },
                                .now_ms = tt_l1_now(r), .life_ms = w->life_ms,
                                .type_id = r->types[type_of(k->number)]->id };
    return tc_l1_set(&r->l1, &p, w->expected, &replaced);
}

static int put(struct tt_l1 *r, const struct tt_l1_map_key *k, const struct wish *w)
{
    _Alignas(8) unsigned char room[TT_L1_MAP_LEN_MOST + 256];
    const struct tc_policy *p = &r->policies[type_of(k->number)];
    bool plain = p->l1_quota_bytes == 0 && p->l1_quota_entries == 0 && p->l1_max_value_bytes == UINT64_MAX &&
                 !r->types[type_of(k->number)]->has_evict;
    if (w->way == SHORT && plain && !w->absent && w->advance == (w->expected == NULL) && set(r, k, w))
        return CACHE_OK;
    struct tc_entry *e = make(r, k, w, room, sizeof room);
    if (e == NULL)
        return NOT_MADE;
    int rc = tc_l1_put(&r->l1, e, p, w->expected, w->advance);
    tc_l1_drop(&r->l1, e);
    return rc;
}

static bool has_reason(struct tt_l1_map *m, const struct tt_l1_map_key *k, const struct wish *w, int rc)
{
    const struct tc_policy *p = &m->r->policies[type_of(k->number)];
    const struct tt_l1_map_value *v = &m->values[k->number];
    int64_t now_ms = tt_l1_now(m->r);
    bool is_void = w->expected != NULL && *w->expected != *generation_of(m, k);
    if (is_void || rc == CACHE_E_TICKET)
        return is_void && (rc == CACHE_E_TICKET || rc == NOT_MADE);
    if (rc == TC_L1_KEPT)
        return w->expected != NULL && !w->advance && v->there && v->taken_ms > w->taken_ms &&
               now_ms < v->fresh_until_ms;
    if (rc == CACHE_E_TOO_LARGE) { /* a cell may be a fifth larger than what is in it */
        uint64_t most = (w->len + 300) + (w->len + 300) / 4;
        return w->len > p->l1_max_value_bytes || (p->l1_quota_bytes > 0 && most > p->l1_quota_bytes);
    }
    if (rc == CACHE_E_NOMEM || rc == NOT_MADE)
        return m->fails || m->company;
    return rc == CACHE_OK;
}

static void learn(struct tt_l1_map *m, const struct tt_l1_map_key *k, const struct wish *w, int rc)
{
    struct tt_l1_map_value *v = &m->values[k->number];
    TT_CHECK(m->failures, has_reason(m, k, w, rc));
    m->refused += rc == CACHE_E_NOMEM;
    m->too_large += rc == CACHE_E_TOO_LARGE;
    m->tickets_void += rc == CACHE_E_TICKET;
    m->kept += rc == TC_L1_KEPT;
    if (rc == CACHE_E_TICKET || rc == TC_L1_KEPT || rc == NOT_MADE)
        return;
    *generation_of(m, k) += w->advance;
    if (rc != CACHE_OK) {
        gone(m, k->number);
        return;
    }
    int64_t now_ms = tt_l1_now(m->r), until_ms = w->life_ms < 0 ? TC_NEVER_MS : now_ms + w->life_ms;
    int64_t keep_ms = w->life_ms < 0 ? TC_NEVER_MS : until_ms + w->stale_ms;
    *v = (struct tt_l1_map_value){ true, w->absent, w->version, w->len, w->taken_ms, until_ms, keep_ms };
    atomic_store(&m->oldest[k->number], w->version);
}

static size_t any_len(struct tt_l1_map *m)
{
    uint64_t random = tt_random(&m->seed);
    if (m->fits)
        return random % 512;
    return random % 4 == 0 ? random / 4 % (TT_L1_MAP_LEN_MOST + 1) : random / 4 % (UINT64_C(1) << random / 1024 % 12);
}

static int64_t any_life(uint64_t random, bool wide)
{
    if (random % 4 == 0)
        return -1;
    return random % 64 == 1 && wide ? 4 * DAY_MS : (int64_t)(1 + random / 64 % 5000);
}

static struct wish any_wish(struct tt_l1_map *m)
{
    uint64_t random = tt_random(&m->seed);
    struct wish w = { .way = (enum way)(random % WAYS), .version = ++m->version, .len = any_len(m) };
    bool wide = w.way == WIDE || w.way == FRAMED;
    w.advance = random / 8 % 4 < 3;
    w.absent = random / 32 % 16 == 0 && w.way != FRAMED;
    w.len = w.absent ? 0 : w.len;
    w.life_ms = any_life(tt_random(&m->seed), wide);
    w.stale_ms = wide ? (int64_t)(random / 512 % 3000) : MAX_STALE_MS; /* what the types say */
    w.taken_ms = tt_l1_now(m->r) - (wide ? (int64_t)(random / 4096 % 2 * 100) : 0);
    return w;
}

/* ---- looking up ---- */

static void expect_nothing(struct tt_l1_map *m, const struct tt_l1_map_value *v)
{
    TT_CHECK(m->failures, !m->fits || !v->there || tt_l1_now(m->r) >= v->fresh_until_ms);
}

static void keep_ticket(struct tt_l1_map *m, uint64_t number, uint64_t generation)
{
    size_t i = tt_random(&m->seed) % TT_L1_MAP_TICKETS;
    m->tickets[i].number = number;
    m->tickets[i].generation = generation;
}

static void look_up(struct tt_l1_map *m, uint64_t number, bool keep)
{
    struct tt_l1_map_key k = tt_l1_map_key(m->r, number);
    struct tt_l1_map_value *v = &m->values[number];
    struct tc_l1_found f;
    int64_t now_ms = tt_l1_now(m->r);
    tc_l1_get(&m->r->l1, tt_l1_map_ref(&k), now_ms, &f);
    TT_CHECK(m->failures, f.generation == *generation_of(m, &k));
    if (f.entry == NULL || tt_random(&m->seed) % 8 == 0)
        keep_ticket(m, number, f.generation);
    if (f.entry == NULL) {
        expect_nothing(m, v);
        return;
    }
    m->found++;
    m->stale += !f.fresh;
    TT_CHECK(m->failures, v->there && says(f.entry, number, v) && now_ms < v->keep_until_ms);
    TT_CHECK(m->failures, f.fresh == (now_ms < v->fresh_until_ms));
    struct tt_l1_map_pin *p = &m->pins[tt_random(&m->seed) % TT_L1_MAP_PINS];
    if (keep) {
        unpin(m, p);
        *p = (struct tt_l1_map_pin){ f.entry, number, *v };
    } else {
        tc_l1_release(&m->r->l1, f.entry);
    }
}

static void copy(struct tt_l1_map *m, uint64_t number)
{
    unsigned char buf[TT_L1_MAP_LEN_MOST];
    struct tt_l1_map_key k = tt_l1_map_key(m->r, number);
    struct tt_l1_map_value *v = &m->values[number];
    struct tc_l1_found f = { .entry = NULL };
    struct tc_l1_copied c;
    uint64_t version;
    size_t cap = tt_random(&m->seed) % 8 == 0 ? v->len / 2 : sizeof buf;
    if (tc_l1_get_copy(&m->r->l1, tt_l1_map_ref(&k), tt_l1_now(m->r), buf, cap, &c, &f)) {
        m->found++;
        TT_CHECK(m->failures, v->there && c.len == v->len && c.len <= cap && tt_l1_now(m->r) < v->fresh_until_ms &&
                                  c.fresh_until_ms == v->fresh_until_ms && c.taken_ms == v->taken_ms &&
                                  !(c.flags & TC_ENTRY_ABSENT) == !v->absent);
        TT_CHECK(m->failures, tt_l1_is_value(buf, c.len, number, &version) && (c.len < 8 || version == v->version));
    } else if (f.entry != NULL) {
        TT_CHECK(m->failures, v->there && says(f.entry, number, v) && (!f.fresh || v->len > cap));
        tc_l1_release(&m->r->l1, f.entry);
    } else {
        expect_nothing(m, v);
    }
}

/* ---- storing ---- */

/* Values that are held keep what they lie in, in a small cache all of it. Then they are given back. */
static bool is_held_up(struct tt_l1_map *m, const struct tt_l1_map_key *k, const struct wish *w, int rc)
{
    return (rc == CACHE_E_TOO_LARGE || rc == CACHE_E_NOMEM) && !has_reason(m, k, w, rc) && unpin_all(m);
}

static void store(struct tt_l1_map *m, uint64_t number, struct wish w)
{
    struct tt_l1_map_key k = tt_l1_map_key(m->r, number);
    int rc = put(m->r, &k, &w);
    if (is_held_up(m, &k, &w, rc)) {
        *generation_of(m, &k) += w.advance;
        gone(m, number);
        w.expected = NULL;
        w.version = ++m->version;
        rc = put(m->r, &k, &w);
    }
    learn(m, &k, &w, rc);
    if (rc != CACHE_OK)
        return;
    uint64_t found = m->found;
    look_up(m, number, false);
    TT_CHECK(m->failures, m->found == found + 1); /* nothing else may make it leave yet */
    const struct tc_policy *p = &m->r->policies[type_of(number)];
    if (m->fails || m->company)
        return;
    TT_CHECK(m->failures, p->l1_quota_entries == 0 || tt_l1_type_entries(m->r, type_of(number)) <= p->l1_quota_entries);
    TT_CHECK(m->failures, p->l1_quota_bytes == 0 || tt_l1_type_bytes(m->r, type_of(number)) <= p->l1_quota_bytes);
}

static void store_with_ticket(struct tt_l1_map *m)
{
    size_t i = tt_random(&m->seed) % TT_L1_MAP_TICKETS;
    struct wish w = any_wish(m);
    uint64_t generation = m->tickets[i].generation; /* another ticket may come in its place */
    w.expected = &generation;
    w.advance = w.advance && tt_random(&m->seed) % 4 == 0;
    store(m, m->tickets[i].number, w);
}

/* ---- the rest that can be done ---- */

static void drop(struct tt_l1_map *m, uint64_t number)
{
    struct tt_l1_map_key k = tt_l1_map_key(m->r, number);
    tc_l1_invalidate(&m->r->l1, tt_l1_map_ref(&k));
    ++*generation_of(m, &k);
    gone(m, number);
}

static void make_void(struct tt_l1_map *m, uint64_t number)
{
    struct tt_l1_map_key k = tt_l1_map_key(m->r, number);
    tc_l1_void(&m->r->l1, k.hash);
    ++*generation_of(m, &k);
}

static void clear(struct tt_l1_map *m)
{
    tc_l1_clear(&m->r->l1);
    for (size_t i = 0; i < TC_ARRAY_LEN(m->generations); i++)
        m->generations[i]++;
    for (uint64_t i = 0; i < TT_L1_MAP_KEYS; i++)
        gone(m, i);
}

static void change_policy(struct tt_l1_map *m)
{
    uint64_t random = tt_random(&m->seed), n = random / 64;
    struct tc_policy *p = &m->r->policies[random % TT_L1_TYPES];
    p->l1_quota_entries = random / 4 % 8 == 0 ? 1 + n % 300 : 0;
    p->l1_quota_bytes = random / 4 % 8 == 1 ? 1000 + n % 200000 : 0;
    p->l1_max_value_bytes = random / 4 % 8 == 2 ? n % 3000 : UINT64_MAX;
}

static void resize(struct tt_l1_map *m)
{
    static const unsigned eighths[] = { 1, 2, 2, 3, 8, 12 };
    uint64_t whole = m->r->l1.paged ? PAGED_LIMIT : APART_LIMIT;
    uint64_t limit = whole / 8 * eighths[tt_random(&m->seed) % TC_ARRAY_LEN(eighths)];
    int rc = tc_l1_resize(&m->r->l1, limit, tt_l1_now(m->r) + 1000);
    if (rc == CACHE_E_TIMEOUT && !m->company && unpin_all(m)) /* values that are held keep what they lie in */
        rc = tc_l1_resize(&m->r->l1, limit, tt_l1_now(m->r) + 1000);
    TT_CHECK(m->failures, rc == CACHE_OK || (rc == CACHE_E_TIMEOUT && m->company));
    m->owes = rc != CACHE_OK;
    TT_CHECK(m->failures, tc_l1_limit(&m->r->l1) == limit);
}

static void move_clock(struct tt_l1_map *m)
{
    uint64_t random = tt_random(&m->seed), n = random / 64;
    tt_clock_advance(&m->r->time, random % 64 == 0 ? 5 * DAY_MS : (int64_t)(random % 16 == 1 ? n % 60000 : n % 200));
}

static uint64_t any_number(struct tt_l1_map *m)
{
    uint64_t random = tt_random(&m->seed), n = random / 8;
    return random % 8 == 0 ? n % SAME_HASH : random % 8 < 4 ? n % m->keys : n % (m->keys / 10);
}

static void step(struct tt_l1_map *m)
{
    uint64_t number = any_number(m), what = tt_random(&m->seed) % 10000;
    if (what < 3600)
        store(m, number, any_wish(m));
    else if (what < 4400)
        store_with_ticket(m);
    else if (what < 7800)
        look_up(m, number, what % 8 == 0);
    else if (what < 9200)
        copy(m, number);
    else if (what < 9700)
        drop(m, number);
    else if (what < 9760)
        make_void(m, number);
    else if (what < 9761)
        clear(m);
    else if (what < 9790 && !m->fits)
        resize(m);
    else if (what < 9850 && !m->fits)
        change_policy(m);
    else if (what < 9900)
        unpin(m, &m->pins[number % TT_L1_MAP_PINS]);
    else
        move_clock(m);
}

/* ---- accounts ---- */

/* What lies apart and left waits for readers in the reserve. What a single call takes out may be more than that has
 * room for: the next store sees to it first. */
static void check_bytes(struct tt_l1_map *m)
{
    struct tt_l1 *r = m->r;
    uint64_t limit = tc_l1_limit(&r->l1), waits = atomic_load(&r->l1.limbo.bytes), reserve = r->l1.reserve;
    uint64_t beyond = !tc_readers_alone(&r->l1.readers) && waits > reserve ? waits - reserve : 0;
    uint64_t most = limit + tt_l1_detached_bytes(r) + beyond + SPARE;
    TT_CHECK(m->failures, m->owes || tc_l1_bytes(&r->l1) <= limit);
    TT_CHECK(m->failures, m->owes || tt_alloc_counts(&r->counting).live_bytes <= most);
}

static void check_all(struct tt_l1_map *m)
{
    int64_t pinned = 0;
    for (size_t i = 0; i < TT_L1_MAP_PINS; i++) {
        pinned += m->pins[i].e != NULL;
        TT_CHECK(m->failures, m->pins[i].e == NULL || says(m->pins[i].e, m->pins[i].number, &m->pins[i].is));
    }
    TT_CHECK(m->failures, tc_l1_pin_count(&m->r->l1) == pinned || m->company);
    if (!m->company)
        TT_CHECK(m->failures, tc_l1_check(&m->r->l1));
}

void tt_l1_map_step(struct tt_l1_map *m, int n)
{
    for (int i = 0; i < n && m->failures == 0; i++) {
        step(m);
        check_bytes(m);
        if (i % CHECK_EVERY == 0)
            check_all(m);
    }
}

static void bring_others(struct tt_l1 *r, const char *policy)
{
    static const char *const all[] = { "lru", "s3-fifo", "lru-exact", "w-tinylfu", "lfu", "sieve" };
    size_t own = 0;
    while (strcmp(all[own], policy) != 0)
        own++;
    for (size_t i = 1; i < TT_L1_TYPES; i++)
        tt_l1_bring(r, i, cache_evict_policy(all[(own + i) % TC_ARRAY_LEN(all)]));
}

struct tt_l1_map *tt_l1_map_new(const char *policy, bool paged, bool mixed)
{
    struct tt_l1_map *m = tt_xcalloc(sizeof *m);
    m->r = tt_l1_new_with_room(paged ? PAGED_LIMIT : APART_LIMIT, paged ? PAGED_STRIPES : APART_STRIPES,
                               cache_evict_policy(policy), mixed ? TC_EVICT_NODE_MAX / 8 : 0);
    assert_non_null(m->r);
    if (mixed)
        bring_others(m->r, policy);
    assert_int_equal(m->r->l1.paged, paged);
    m->seed = tt_seed();
    m->keys = TT_L1_MAP_KEYS;
    for (size_t i = 0; i < TT_L1_TYPES; i++) {
        m->r->policies[i].max_stale_ms = MAX_STALE_MS;
        tc_type_set_policy(m->r->types[i], &m->r->policies[i], tt_l1_now(m->r));
        tc_l1_know(&m->r->l1, m->r->types[i]);
    }
    for (uint64_t i = 0; i < TT_L1_MAP_KEYS; i++) {
        struct tt_l1_map_key k = tt_l1_map_key(m->r, i);
        *generation_of(m, &k) = tc_l1_generation(&m->r->l1, k.hash);
    }
    return m;
}

void tt_l1_map_free(struct tt_l1_map *m)
{
    check_all(m);
    unpin_all(m);
    assert_int_equal(m->failures, 0);
    assert_true(tt_l1_free(m->r)); /* nothing is pinned, detached or leaked */
    free(m);
}
