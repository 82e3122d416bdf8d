/* L1 with pages: whatever sizes come, in whatever order, each value that is found is the latest one of its key, the
 * limit holds, every store succeeds, and memory goes to the sizes that are stored now. Through tier/l1/l1.h, but for
 * the making of values. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_l1.h"

enum {
    LIMIT = 8 << 20,
    STRIPES = 2,
    SMALL_LIMIT = 4 << 20, /* is full sooner */
    SMALL_STRIPES = 2,
    LEN_MOST = 6000,
    KEYS = 12000,
    PINS = 64,
    SPARE = 4096 /* threads' records, and what rounding does not cover */
};

/* With company: another thread has read once, so what leaves has to wait for epochs. */
static struct tt_l1 *open_l1(uint64_t limit, size_t stripes, bool company)
{
    struct tt_l1 *r = tt_l1_new(limit, stripes, NULL);
    assert_non_null(r);
    assert_true(r->l1.paged);
    assert_non_null(tc_reader_self(&r->l1.readers));
    if (company)
        tt_l1_have_company(r);
    assert_int_equal(tc_readers_alone(&r->l1.readers), !company);
    return r;
}

static int setup_alone(void **state)
{
    *state = open_l1(SMALL_LIMIT, SMALL_STRIPES, false);
    return 0;
}

static int setup_company(void **state)
{
    *state = open_l1(SMALL_LIMIT, SMALL_STRIPES, true);
    return 0;
}

static int setup_large(void **state)
{
    *state = open_l1(LIMIT, STRIPES, false);
    return 0;
}

static int setup_large_company(void **state)
{
    *state = open_l1(LIMIT, STRIPES, true);
    return 0;
}

static int teardown(void **state)
{
    return tt_l1_free(*state) ? 0 : -1;
}

/* ---- accounts ---- */

/* Where a thread has company, what one store takes out that lies apart, and a table that it replaces, may still be
 * there though the reserve has no room for it: the next store sees to that first. */
static uint64_t one_store(struct tt_l1 *r)
{
    return tc_readers_alone(&r->l1.readers) ? 0 : r->l1.fair / 8 + (uint64_t)4 * LEN_MOST;
}

static bool is_within(struct tt_l1 *r, uint64_t beyond)
{
    return tc_l1_bytes(&r->l1) <= r->l1.limit &&
           tt_alloc_counts(&r->counting).live_bytes <= r->l1.limit + tt_l1_detached_bytes(r) + beyond + SPARE;
}

static bool is_within_limit(struct tt_l1 *r)
{
    return is_within(r, one_store(r));
}

static uint64_t entries_of(struct tt_l1 *r)
{
    uint64_t n = 0;
    for (size_t t = 0; t < TT_L1_TYPES; t++)
        n += tt_l1_type_entries(r, t);
    return n;
}

static uint64_t bytes_of(struct tt_l1 *r)
{
    uint64_t n = 0;
    for (size_t t = 0; t < TT_L1_TYPES; t++)
        n += tt_l1_type_bytes(r, t);
    return n;
}

static uint32_t place_of(const struct tc_entry *e)
{
    return atomic_load(&e->refs) & TC_ENTRY_IN_EXTENT;
}

/* ---- values of every kind ---- */

/* SHORT: the short way, and where that is not to be had as LENT. */
enum kind { WIDE, PLAIN, LENT, SHORT, FRAMED, KINDS };

struct wish {
    enum kind kind;
    size_t len;
    uint64_t version;
    int64_t ttl_ms; /* 0: for ever */
    bool advance;
    const uint64_t *expected;
};

static struct tc_entry *make_framed(struct tt_l1 *r, struct tt_l1_key k, const struct wish *w)
{
    unsigned char *frame = tc_alloc(&r->alloc, w->len + 1);
    if (frame == NULL)
        return NULL;
    tt_l1_fill(frame, w->len, k.number, w->version);
    struct tc_entry *e = tc_entry_adopt(&r->alloc, r->l1.node_bytes, r->types[0], k.hash, tt_l1_ref(&k).key, frame,
                                        w->len + 1, (struct cache_slice){ frame, w->len });
    if (e == NULL)
        tc_free(&r->alloc, frame, w->len + 1);
    return e;
}

static struct tc_entry *make(struct tt_l1 *r, struct tt_l1_key k, const struct wish *w, void *room, size_t cap)
{
    struct tc_entry *e;
    struct cache_slice key = tt_l1_ref(&k).key;
    size_t node_bytes = r->l1.node_bytes;
    if (w->kind == FRAMED)
        e = make_framed(r, k, w);
    else if (w->kind == LENT || w->kind == SHORT)
        e = tc_entry_lend(room, cap, node_bytes, r->types[0], key, w->len);
    else
        e = w->kind == WIDE ? tc_entry_open(&r->alloc, node_bytes, r->types[0], k.hash, key, w->len)
                            : tc_entry_open_small(&r->alloc, node_bytes, r->types[0], k.hash, key, w->len);
    if (e == NULL)
        return NULL;
    if (w->kind != FRAMED)
        tt_l1_fill(tc_entry_room(e), w->len, k.number, w->version);
    tc_entry_set_life(e, tt_l1_now(r), w->ttl_ms > 0 ? w->ttl_ms : -1, 0);
    return e;
}

static bool set(struct tt_l1 *r, struct tt_l1_key k, const struct wish *w)
{
    unsigned char value[LEN_MOST];
    bool replaced;
    tt_l1_fill(value, w->len, k.number, w->version);
    struct tc_entry_parts p = { .hash = k.hash, .key = tt_l1_ref(&k).key, .value = { value, w->len },
                                .now_ms = tt_l1_now(r), .life_ms = w->ttl_ms > 0 ? w->ttl_ms : -1, .type_id = 0 };
    return tc_l1_set(&r->l1, &p, w->expected, &replaced);
}

#define NOT_MADE 1000 /* there was no memory for the entry: L1 was not asked */

static int put(struct tt_l1 *r, struct tt_l1_key k, const struct wish *w)
{
    _Alignas(8) unsigned char room[LEN_MOST + 200];
    tc_l1_know(&r->l1, r->types[0]);
    if (w->kind == SHORT && set(r, k, w))
        return CACHE_OK;
    struct tc_entry *e = make(r, k, w, room, sizeof room);
    if (e == NULL)
        return NOT_MADE;
    int rc = tc_l1_put(&r->l1, e, &r->policies[0], w->expected, w->advance);
    tc_l1_drop(&r->l1, e);
    return rc;
}

static int put_len(struct tt_l1 *r, uint64_t number, size_t len)
{
    struct wish w = { .kind = number % 2 ? LENT : SHORT, .len = len, .advance = true };
    return put(r, tt_l1_key(r, number), &w);
}

/* Most of them small, as they are in most caches. */
static size_t any_len(uint64_t *seed)
{
    uint64_t random = tt_random(seed);
    return random % 4 == 0 ? random / 4 % (LEN_MOST + 1) : random / 4 % (UINT64_C(1) << random / 1024 % 12);
}

/* ---- a naive map ---- */

/* A key's latest value, which L1 may have dropped. */
struct value {
    bool there;
    uint64_t version;
    size_t len;
    int64_t until_ms;
};

struct pin {
    struct tc_entry *e;
    uint64_t number;
    struct value is;
};

struct map {
    struct tt_l1 *r;
    uint64_t seed;
    uint64_t version;
    unsigned index, of; /* the keys of this number of so many threads */
    int failures;
    uint64_t found, found_in_pages, found_in_extents, refused;
    struct value values[KEYS];
    struct pin pins[PINS];
};

static struct map *map_new(struct tt_l1 *r, uint64_t seed, unsigned index, unsigned of)
{
    struct map *m = tt_xcalloc(sizeof *m);
    m->r = r;
    m->seed = seed;
    m->index = index;
    m->of = of;
    return m;
}

static bool says(const struct tc_entry *e, uint64_t number, const struct value *v)
{
    uint64_t version;
    return tc_entry_len(e) == v->len && tt_l1_is_value(tc_entry_data(e), tc_entry_len(e), number, &version) &&
           (tc_entry_len(e) < 8 || version == v->version) && tc_entry_key(e).len == sizeof number &&
           memcmp(tc_entry_key(e).data, &number, sizeof number) == 0;
}

static void unpin(struct map *m, struct pin *p)
{
    if (p->e == NULL)
        return;
    TT_CHECK(m->failures, says(p->e, p->number, &p->is)); /* whatever became of the key */
    tc_l1_release(&m->r->l1, p->e);
    p->e = NULL;
}

static void map_free(struct map *m)
{
    for (size_t i = 0; i < PINS; i++)
        unpin(m, &m->pins[i]);
    free(m);
}

static void look_up(struct map *m, uint64_t number, bool keep)
{
    struct tt_l1_key k = tt_l1_key(m->r, number);
    struct value *v = &m->values[number];
    struct tc_l1_found f;
    tc_l1_get(&m->r->l1, tt_l1_ref(&k), tt_l1_now(m->r), &f);
    if (f.entry == NULL)
        return;
    m->found++;
    m->found_in_pages += place_of(f.entry) == TC_ENTRY_HOUSED;
    m->found_in_extents += place_of(f.entry) == TC_ENTRY_IN_EXTENT;
    TT_CHECK(m->failures, v->there && says(f.entry, number, v) && tt_l1_now(m->r) < v->until_ms && f.fresh);
    struct pin *p = &m->pins[tt_random(&m->seed) % PINS];
    if (keep) {
        unpin(m, p);
        *p = (struct pin){ f.entry, number, *v };
    } else {
        tc_l1_release(&m->r->l1, f.entry);
    }
}

static void store(struct map *m, uint64_t number, size_t len)
{
    struct tt_l1_key k = tt_l1_key(m->r, number);
    uint64_t random = tt_random(&m->seed), generation = tc_l1_generation(&m->r->l1, k.hash);
    struct wish w = { .kind = (enum kind)(random % KINDS), .len = len, .version = ++m->version,
                      .ttl_ms = random % 8 < 4 ? 0 : (int64_t)(1 + random / 8 % 5000), .advance = random % 16 < 8 };
    if (!w.advance && m->of == 1 && random % 32 < 16) /* threads share generations */
        w.expected = &generation;
    int rc = put(m->r, k, &w);
    if (rc == NOT_MADE)
        return;
    m->refused += rc != CACHE_OK;
    m->values[number] = (struct value){ rc == CACHE_OK, w.version, len,
                                        w.ttl_ms > 0 ? tt_l1_now(m->r) + w.ttl_ms : INT64_MAX };
}

static void drop(struct map *m, uint64_t number)
{
    tt_l1_invalidate(m->r, tt_l1_key(m->r, number));
    m->values[number].there = false;
}

static void clear(struct map *m)
{
    tc_l1_clear(&m->r->l1);
    for (size_t i = 0; i < KEYS; i++)
        m->values[i].there = false;
}

static uint64_t any_number(struct map *m)
{
    uint64_t random = tt_random(&m->seed);
    return (random % 2 ? random / 2 % KEYS : random / 2 % (KEYS / 10)) / m->of * m->of + m->index;
}

static void step(struct map *m)
{
    uint64_t number = any_number(m), what = tt_random(&m->seed) % 10000;
    if (what < 5000)
        store(m, number, any_len(&m->seed));
    else if (what < 9000)
        look_up(m, number, false);
    else if (what < 9400)
        look_up(m, number, true);
    else if (what < 9990)
        drop(m, number);
    else if (m->of == 1 && what < 9991 && tt_random(&m->seed) % 8 == 0)
        clear(m);
    else if (m->of == 1)
        tt_clock_advance(&m->r->time, (int64_t)(tt_random(&m->seed) % 500));
}

static void any_mixture_is_answered_as_a_map_would_and_stays_in_the_limit(void **state)
{
    struct tt_l1 *r = *state;
    struct map *m = map_new(r, tt_seed(), 0, 1);
    for (int i = 0; i < 60000 && m->failures == 0; i++) {
        step(m);
        assert_true(is_within_limit(r));
        if (i % 2000 == 0)
            assert_true(tc_l1_check(&r->l1));
    }
    assert_int_equal(m->failures, 0);
    assert_int_equal(m->refused, 0);
    assert_true(m->found_in_pages > 1000 && m->found_in_extents > 1000);
    assert_true(tt_l1_count(r, TC_COUNT_l1_evicted_bytes) > 100 && tt_l1_count(r, TC_COUNT_l1_expired) > 100);
    map_free(m);
}

/* ---- want of memory ---- */

static void refused_memory_leaves_accounts_right_and_no_older_value(void **state)
{
    struct tt_l1 *r = *state;
    struct map *m = map_new(r, tt_seed(), 0, 1);
    for (int round = 0; (round < 400 || m->refused == 0) && m->failures == 0; round++) {
        assert_true(round < 4000);
        uint64_t random = tt_random(&m->seed);
        for (int i = 0; i < 50; i++)
            step(m);
        tt_alloc_fail(&r->counting, 1 + random % 30, random / 32 % 2);
        for (int i = 0; i < 50; i++) {
            step(m);
            assert_true(is_within_limit(r));
        }
        for (int i = 0; i < 8; i++) /* for those who are as large as that, those who leave are seldom enough */
            store(m, any_number(m), LEN_MOST);
        tt_alloc_fail(&r->counting, 0, false);
        assert_true(is_within_limit(r) && tc_l1_check(&r->l1));
    }
    assert_int_equal(m->failures, 0);
    assert_true(m->refused > 0);
    assert_true(tt_alloc_counts(&r->counting).failed > 500);
    map_free(m);
}

/* ---- sizes that shift ---- */

/* Stores new keys of sizes from least to most until so many bytes of values have come. */
struct flow {
    struct tt_l1 *r;
    uint64_t seed, next;
    uint64_t least_bytes; /* that L1 ever held of entries */
};

static void pour(struct flow *f, size_t least, size_t most, uint64_t bytes)
{
    struct tt_l1 *r = f->r;
    for (uint64_t poured = 0, n = 0; poured < bytes; n++) {
        size_t len = least + tt_random(&f->seed) % (most - least + 1);
        assert_int_equal(put_len(r, f->next++, len), CACHE_OK);
        assert_true(is_within_limit(r));
        poured += len + 60;
        if (n % 256 == 0 && bytes_of(r) < f->least_bytes)
            f->least_bytes = bytes_of(r);
    }
    assert_true(tc_l1_check(&r->l1));
}

/* What was taken out to make room is not much more than what there had to be room for. */
static void memory_goes_from_one_size_to_the_next_without_a_gap(void **state)
{
    static const size_t sizes[] = { 100, 1000, 300, 5000, 200, 1900, 40 };
    struct flow f = { .r = *state, .seed = 1 };
    pour(&f, sizes[0], sizes[0], 2 * LIMIT);
    for (size_t i = 1; i < TC_ARRAY_LEN(sizes); i++) {
        f.least_bytes = UINT64_MAX;
        uint64_t first = f.next;
        pour(&f, sizes[i], sizes[i], 2 * LIMIT); /* more than fits of any of them */
        assert_true(f.least_bytes > LIMIT / 100 * 80);
        uint64_t there = 0, stored = f.next - first;
        for (uint64_t number = first; number < f.next; number++)
            there += tt_l1_has(f.r, tt_l1_key(f.r, number));
        assert_true(there < stored && bytes_of(f.r) > LIMIT / 100 * 80);
        assert_true(entries_of(f.r) <= there + there / 10); /* hardly anything else */
    }
}

static void mixtures_shift_in_many_rounds_and_memory_stays_in_use(void **state)
{
    struct flow f = { .r = *state, .seed = 1 }; /* how low it gets depends on the mixtures */
    pour(&f, 0, 2000, SMALL_LIMIT + SMALL_LIMIT / 8);
    f.least_bytes = UINT64_MAX;
    for (int round = 0; round < 30; round++) {
        size_t a = any_len(&f.seed), b = any_len(&f.seed);
        pour(&f, a < b ? a : b, a < b ? b : a, SMALL_LIMIT / 4);
    }
    assert_true(f.least_bytes > SMALL_LIMIT / 100 * 65);
}

/* Keys come again with another size, so that what is replaced may just have been moved. */
static void values_change_their_sizes_together(void **state)
{
    struct tt_l1 *r = *state;
    struct map *m = map_new(r, tt_seed(), 0, 1);
    for (int round = 0; round < 12; round++) {
        size_t top = (size_t)60 << tt_random(&m->seed) % 6;
        for (int i = 0; i < 5000; i++) {
            store(m, any_number(m), tt_random(&m->seed) % top);
            look_up(m, any_number(m), i % 64 == 0);
            assert_true(is_within_limit(r));
        }
        assert_true(tc_l1_check(&r->l1));
    }
    assert_int_equal(m->failures, 0);
    assert_int_equal(m->refused, 0);
    map_free(m);
}

/* Pages in which a value is held cannot be given back: what is left is enough. */
static void values_held_all_over_the_pages_stay_and_others_find_room(void **state)
{
    struct tt_l1 *r = *state;
    enum { HELD = 100 };
    struct tc_entry *held[HELD];
    struct flow f = { .r = r, .seed = 1 };
    pour(&f, 100, 100, SMALL_LIMIT);
    for (uint64_t i = 0; i < HELD; i++) { /* of the last page of that many keys each */
        struct tc_l1_found found = tt_l1_get(r, tt_l1_key(r, f.next - 1 - i * 100));
        assert_non_null(found.entry);
        held[i] = found.entry;
    }
    uint64_t first = f.next;
    pour(&f, 1000, 1000, 2 * SMALL_LIMIT);
    assert_true(tt_l1_detached_bytes(r) > 0);
    for (uint64_t i = 0; i < HELD; i++) {
        assert_true(tt_l1_is_value(tc_entry_data(held[i]), 100, first - 1 - i * 100, NULL));
        tc_l1_release(&r->l1, held[i]);
    }
    assert_int_equal(tt_l1_detached_bytes(r), 0);
    uint64_t before = bytes_of(r);
    pour(&f, 1000, 1000, SMALL_LIMIT);
    assert_true(bytes_of(r) > before + HELD * TC_PAGE_BYTES / 2); /* they are of use again */
    assert_true(tc_l1_check(&r->l1));
}

/* ---- the shares of stripes ---- */

static void one_stripe_fills_and_the_others_get_their_share_back(void **state)
{
    struct tt_l1 *r = *state;
    enum { LEN = 200, N = SMALL_LIMIT / 250 };
    for (uint64_t n = 0; n < N; n++) {
        struct wish w = { .kind = LENT, .len = LEN, .advance = true };
        assert_int_equal(put(r, tt_l1_key_in(r, n, 0), &w), CACHE_OK);
    }
    assert_true(bytes_of(r) > SMALL_LIMIT / 100 * 80);
    uint64_t least = UINT64_MAX;
    for (uint64_t n = 0; n < N; n++) {
        struct wish w = { .kind = LENT, .len = LEN, .advance = true };
        assert_int_equal(put(r, tt_l1_key_in(r, N + n, 1), &w), CACHE_OK);
        assert_true(is_within_limit(r));
        least = bytes_of(r) < least ? bytes_of(r) : least;
    }
    assert_true(least > SMALL_LIMIT / 100 * 70);
    uint64_t there = 0;
    for (uint64_t n = 0; n < N; n++)
        there += tt_l1_has(r, tt_l1_key_in(r, N + n, 1));
    assert_true(there * (LEN + 56) > SMALL_LIMIT / SMALL_STRIPES / 100 * 70);
    assert_true(tc_l1_check(&r->l1));
}

static void a_value_larger_than_a_share_is_stored_among_pages(void **state)
{
    struct tt_l1 *r = *state;
    struct flow f = { .r = r, .seed = 1 };
    for (uint64_t round = 0; round < 4; round++) {
        pour(&f, 20, 400, SMALL_LIMIT);
        size_t len = SMALL_LIMIT / 3 * 2;
        struct tt_l1_key k = tt_l1_key(r, UINT64_C(1) << 40 | round);
        assert_int_equal(tt_l1_put(r, k, len), CACHE_OK);
        assert_true(tt_l1_has(r, k));
        assert_true(is_within_limit(r));
        assert_int_equal(tt_l1_put(r, k, len), CACHE_OK);
        assert_true(is_within(r, one_store(r) + (tc_readers_alone(&r->l1.readers) ? 0 : len)));
        assert_int_equal(tt_l1_put(r, tt_l1_key(r, f.next++), 20), CACHE_OK);
        assert_true(is_within_limit(r));
        assert_true(tc_l1_check(&r->l1));
    }
}

/* Its type's order has to be paid for, which in pages means that entries move together. */
static void let_quotas_come(struct tt_l1 *r)
{
    struct flow f = { .r = r, .seed = 1 };
    pour(&f, 20, 400, 2 * r->l1.limit);
    uint64_t before = tt_l1_type_bytes(r, 0);
    for (size_t type = 1; type < TT_L1_TYPES; type++) {
        r->policies[type].l1_quota_entries = 10;
        for (uint64_t i = 0; i < 20; i++) {
            struct tt_l1_put p = { .type = type, .len = 100, .advance = true };
            assert_int_equal(tt_l1_put_with(r, tt_l1_key(r, UINT64_C(1) << 40 | type << 8 | i), &p), CACHE_OK);
            assert_true(tt_l1_type_entries(r, type) <= 10);
        }
    }
    assert_true(before - tt_l1_type_bytes(r, 0) < r->l1.limit / 8);
    assert_true(tc_l1_check(&r->l1));
}

static void a_quota_costs_others_no_more_than_it_takes(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 16; i++) { /* what is left of the last page differs: sometimes hardly anything is */
        struct tt_l1 *r = open_l1((1 << 20) + i / 2 * 1000, 1, i % 2);
        let_quotas_come(r);
        assert_true(tt_l1_free(r));
    }
}

static void clearing_gives_all_pages_back(void **state)
{
    struct tt_l1 *r = *state;
    struct flow f = { .r = r, .seed = 1 };
    pour(&f, 0, 1900, SMALL_LIMIT / 2);
    uint64_t least = tc_l1_bytes(&r->l1);
    tc_l1_clear(&r->l1);
    for (uint64_t i = 0; i < 2 * SMALL_STRIPES * KEYS; i++) { /* stores free what waits, a few at a time */
        assert_int_equal(put_len(r, f.next, 10), CACHE_OK);
        tt_l1_invalidate(r, tt_l1_key(r, f.next++));
    }
    least = least - r->l1.fixed_bytes;
    assert_true(tc_l1_bytes(&r->l1) - r->l1.fixed_bytes < least / 4);
    assert_true(tc_l1_check(&r->l1));
}

/* ---- two threads ---- */

struct pair {
    struct tt_l1 *r;
    uint64_t seed;
    uint64_t refused, found;
};

/* Keys of its own, so that the map says what is there; sizes shift while it goes on. */
static int do_half(void *arg, unsigned index)
{
    struct pair *p = arg;
    struct map *m = map_new(p->r, p->seed + index, index, 2);
    for (int i = 0; i < 25000 && m->failures < 10; i++) {
        if (i % 10 < 7)
            step(m);
        else
            store(m, any_number(m), tt_random(&m->seed) % ((size_t)60 << i / 4000));
        TT_CHECK(m->failures, is_within_limit(p->r) || m->failures > 0);
    }
    int failures = m->failures;
    __atomic_fetch_add(&p->refused, m->refused, __ATOMIC_RELAXED);
    __atomic_fetch_add(&p->found, m->found, __ATOMIC_RELAXED);
    map_free(m);
    return failures;
}

static void two_threads_store_all_they_want_and_find_what_is_theirs(void **state)
{
    struct pair p = { .r = *state, .seed = tt_seed() };
    assert_int_equal(tt_crew_join(tt_crew_start(2, do_half, &p)), 0);
    /* A thread that had no processor for a tenth of a second while it read is one that others gave up waiting for. */
    assert_true(p.refused <= 2);
    assert_true(p.found > 5000);
    assert_true(tc_l1_check(&p.r->l1));
}

/* ---- hits ---- */


enum { LOOP = 3000, REQUESTS = 100000 };

/* Zipf's law with exponent 1 by its continuous inverse; now and then the next key of a loop. Sizes belong to keys. */
static uint64_t hits_of(struct tt_l1 *r, size_t top, uint64_t keys)
{
    uint64_t seed = 7, hits = 0, at = 0;
    for (int i = 0; i < REQUESTS; i++) {
        uint64_t random = tt_random(&seed);
        double u = (double)(random >> 11) / 9007199254740992.0;
        uint64_t number = random % 8 == 0 ? keys + at++ % LOOP : (uint64_t)exp(u * log((double)keys));
        uint64_t of_key = number;
        if (tt_l1_has(r, tt_l1_key(r, number)))
            hits++;
        else
            assert_int_equal(put_len(r, number, tt_random(&of_key) % top), CACHE_OK);
    }
    return hits;
}

static void pages_keep_nearly_as_many_hits_as_memory_of_their_own_does(void **state)
{
    (void)state;
    static const struct {
        size_t top;
        uint64_t keys;
    } loads[] = { { 200, 200000 }, { 1900, 60000 }, { LEN_MOST, 20000 } };
    for (size_t i = 0; i < TC_ARRAY_LEN(loads); i++) {
        uint64_t hits[2];
        for (int paged = 0; paged < 2; paged++) {
            struct tt_l1 *r = open_l1(SMALL_LIMIT, 1, false);
            r->l1.paged = paged;
            hits[paged] = hits_of(r, loads[i].top, loads[i].keys);
            assert_true(tt_l1_count(r, TC_COUNT_l1_evicted_bytes) > 1000);
            assert_true(tt_l1_free(r));
        }
        assert_true(hits[1] * 100 >= hits[0] * 97);
    }
}

int main(void)
{
#define WITH(test, setup) { #test ", " #setup, test, setup, teardown, NULL }
#define BOTH(test) WITH(test, setup_alone), WITH(test, setup_company)
    const struct CMUnitTest tests[] = {
        BOTH(any_mixture_is_answered_as_a_map_would_and_stays_in_the_limit),
        BOTH(refused_memory_leaves_accounts_right_and_no_older_value),
        WITH(memory_goes_from_one_size_to_the_next_without_a_gap, setup_large),
        WITH(memory_goes_from_one_size_to_the_next_without_a_gap, setup_large_company),
        BOTH(mixtures_shift_in_many_rounds_and_memory_stays_in_use),
        BOTH(values_change_their_sizes_together),
        BOTH(values_held_all_over_the_pages_stay_and_others_find_room),
        BOTH(one_stripe_fills_and_the_others_get_their_share_back),
        BOTH(a_value_larger_than_a_share_is_stored_among_pages),
        cmocka_unit_test(a_quota_costs_others_no_more_than_it_takes),
        BOTH(clearing_gives_all_pages_back),
        WITH(two_threads_store_all_they_want_and_find_what_is_theirs, setup_company),
        cmocka_unit_test(pages_keep_nearly_as_many_hits_as_memory_of_their_own_does),
    };
#ifdef __SANITIZE_THREAD__
    cmocka_set_test_filter("*company"); /* the rest is arithmetic of one thread */
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
