/* L1 with extents: what is too large for pages, and not for a chunk, is stored by copy; the limit holds whatever sizes
 * come and whoever holds values; and where no page is to be had a small value finds a hole. Through tier/l1/l1.h, but
 * for the making of values. */
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
    LIMIT = 4 << 20,
    STRIPES = 2,
    LEN_MOST = 30000,
    ROOM = 40000, /* of a value and what is around it */
    KEY_BYTES = 8,
    SPARE = 4096 /* threads' records, and what rounding does not cover */
};

static struct tt_l1 *open_l1(size_t stripes, bool company)
{
    struct tt_l1 *r = tt_l1_new(LIMIT, stripes, NULL);
    assert_non_null(r);
    assert_true(r->l1.paged && !r->l1.thin);
    assert_non_null(tc_reader_self(&r->l1.readers));
    tc_l1_know(&r->l1, r->types[0]);
    if (company)
        tt_l1_have_company(r);
    assert_int_equal(tc_readers_alone(&r->l1.readers), !company);
    return r;
}

static int setup_alone(void **state)
{
    *state = open_l1(STRIPES, false);
    return 0;
}

static int setup_company(void **state)
{
    *state = open_l1(STRIPES, true);
    return 0;
}

static int setup_single(void **state)
{
    *state = open_l1(1, false);
    return 0;
}

static int teardown(void **state)
{
    return tt_l1_free(*state) ? 0 : -1;
}

/* ---- accounts ---- */

/* What L1 holds lies in memory that counts there, pinned or not; a table that was replaced may wait beyond the
 * reserve, where a thread has company. */
static bool is_within(struct tt_l1 *r, uint64_t beyond)
{
    uint64_t table = tc_readers_alone(&r->l1.readers) ? 0 : r->l1.fair / 8;
    return tc_l1_bytes(&r->l1) <= r->l1.limit &&
           tt_alloc_counts(&r->counting).live_bytes <= r->l1.limit + table + beyond + SPARE;
}

static uint64_t extents_bytes(const struct tt_l1 *r)
{
    uint64_t n = 0;
    for (size_t i = 0; i < r->l1.n_stripes; i++)
        n += r->l1.stripes[i].extents.bytes;
    return n;
}

static uint64_t pages_bytes(const struct tt_l1 *r)
{
    uint64_t n = 0;
    for (size_t i = 0; i < r->l1.n_stripes; i++)
        for (unsigned class = 0; class < TC_SLAB_CLASSES; class++)
            n += r->l1.stripes[i].slab.pages_of[class] * (uint64_t)TC_PAGE_BYTES;
    return n;
}

/* ---- storing in every way ---- */

enum way { WIDE, PLAIN, LENT, FRAMED, SET, WAYS };

static struct tc_entry *make_framed(struct tt_l1 *r, struct tt_l1_key k, size_t len, uint64_t version)
{
    unsigned char *frame = tc_alloc_value(&r->alloc, len + 1);
    tt_l1_fill(frame, len, k.number, version);
    return tc_entry_adopt(&r->alloc, r->l1.node_bytes, r->types[0], k.hash, tt_l1_ref(&k).key, frame, len + 1,
                          (struct cache_slice){ frame, len });
}

static struct tc_entry *make(struct tt_l1 *r, struct tt_l1_key k, enum way way, size_t len, uint64_t version)
{
    static _Thread_local _Alignas(8) unsigned char room[ROOM];
    struct tc_entry *e;
    struct cache_slice key = tt_l1_ref(&k).key;
    if (way == FRAMED)
        e = make_framed(r, k, len, version);
    else if (way == LENT)
        e = tc_entry_lend(room, sizeof room, r->l1.node_bytes, r->types[0], key, len);
    else
        e = (way == WIDE ? tc_entry_open : tc_entry_open_small)(&r->alloc, r->l1.node_bytes, r->types[0], k.hash, key,
                                                                len);
    if (e == NULL)
        tt_die("out of memory");
    if (way != FRAMED)
        tt_l1_fill(tc_entry_room(e), len, k.number, version);
    tc_entry_set_life(e, tt_l1_now(r), -1, 0);
    return e;
}

static bool set(struct tt_l1 *r, struct tt_l1_key k, size_t len, uint64_t version)
{
    static _Thread_local unsigned char value[ROOM];
    bool replaced;
    tt_l1_fill(value, len, k.number, version);
    struct tc_entry_parts p = { .hash = k.hash, .key = tt_l1_ref(&k).key, .value = { value, len },
                                .now_ms = tt_l1_now(r), .life_ms = -1, .type_id = 0 };
    return tc_l1_set(&r->l1, &p, NULL, &replaced);
}

/* Where the short way is not to be had, the general one. */
static int put(struct tt_l1 *r, struct tt_l1_key k, enum way way, size_t len, uint64_t version)
{
    if (way == SET && set(r, k, len, version))
        return CACHE_OK;
    struct tc_entry *e = make(r, k, way == SET ? LENT : way, len, version);
    int rc = tc_l1_put(&r->l1, e, &r->policies[0], NULL, true);
    tc_l1_drop(&r->l1, e);
    return rc;
}

static int put_len(struct tt_l1 *r, uint64_t number, size_t len)
{
    return put(r, tt_l1_key(r, number), (enum way)(number % WAYS), len, number);
}

/* Pinned. */
static struct tc_entry *get(struct tt_l1 *r, uint64_t number, size_t len)
{
    struct tc_l1_found f = tt_l1_get(r, tt_l1_key(r, number));
    if (f.entry != NULL)
        assert_int_equal(tc_entry_len(f.entry), len);
    return f.entry;
}

static bool lies_in_extent(const struct tc_entry *e)
{
    return (atomic_load(&e->refs) & TC_ENTRY_IN_EXTENT) == TC_ENTRY_IN_EXTENT;
}

/* Of a value of that length, without its frame, in memory of its own or as a copy. */
static size_t entry_bytes(const struct tt_l1 *r, enum way way, size_t len)
{
    uint32_t flags = way == WIDE || way == FRAMED ? TC_ENTRY_MORE : 0;
    return tc_entry_bytes_for(r->l1.node_bytes, flags, KEY_BYTES, len);
}

static size_t largest(const struct tt_l1 *r, enum way way)
{
    return TC_EXTENT_MOST - entry_bytes(r, way, 0);
}

/* ---- copies ---- */

/* Nothing of the maker's is left when he lets go, frame or not; who holds the copy reads what he wrote. */
static void assert_stored_by_copy(struct tt_l1 *r, uint64_t number, enum way way, size_t len)
{
    struct tt_l1_key k = tt_l1_key(r, number);
    size_t own = way == FRAMED ? entry_bytes(r, way, 0) + len + 1 : entry_bytes(r, way, len);
    struct tc_entry *e = make(r, k, way, len, number);
    uint64_t live = tt_alloc_counts(&r->counting).live_bytes;
    assert_int_equal(tc_l1_put(&r->l1, e, &r->policies[0], NULL, true), CACHE_OK);
    struct tc_entry *found = get(r, number, len);
    assert_non_null(found);
    assert_true(found != e && lies_in_extent(found));
    assert_false(tc_entry_is_framed(found));
    assert_int_equal(tc_l1_entry_bytes(&r->l1, found), tc_extents_round(entry_bytes(r, way, len)));
    live = tt_alloc_counts(&r->counting).live_bytes;
    tc_l1_drop(&r->l1, e);
    assert_int_equal(live - tt_alloc_counts(&r->counting).live_bytes, way == LENT ? 0 : own);
    assert_true(tt_l1_is_value(tc_entry_data(found), len, number, NULL));
    tc_l1_release(&r->l1, found);
}

static void what_is_too_large_for_pages_is_stored_by_copy(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t number = 0;
    for (int way = WIDE; way < SET; way++) {
        assert_stored_by_copy(r, number++, (enum way)way, TC_SLAB_MOST - entry_bytes(r, (enum way)way, 0) + 1);
        for (size_t len = TC_SLAB_MOST + 1; len <= 32000; len += 1499)
            assert_stored_by_copy(r, number++, (enum way)way, len);
        assert_stored_by_copy(r, number++, (enum way)way, largest(r, (enum way)way));
    }
    assert_true(tc_l1_check(&r->l1));
}

static void the_short_way_stores_in_extents_too(void **state)
{
    struct tt_l1 *r = *state;
    size_t done = 0, tries = 0;
    for (size_t len = TC_SLAB_MOST + 1; len <= 32000; len += 701, tries++) {
        struct tt_l1_key k = tt_l1_key(r, len);
        bool is = set(r, k, len, len);
        done += is;
        assert_int_equal(tt_l1_has(r, k), is);
        if (!is)
            assert_int_equal(put(r, k, LENT, len, len), CACHE_OK);
        struct tc_entry *e = get(r, len, len);
        assert_true(lies_in_extent(e));
        tc_l1_release(&r->l1, e);
    }
    assert_in_range(done, 1, tries - 1); /* where no chunk has to be opened for it */
    size_t most = largest(r, SET);
    assert_int_equal(put(r, tt_l1_key(r, 1), SET, most, 1), CACHE_OK);
    tt_l1_invalidate(r, tt_l1_key(r, 1));
    assert_false(set(r, tt_l1_key(r, 2), most + 1, 1));
    assert_true(tc_l1_check(&r->l1));
}

/* Of a small one a page is the place. */
static void what_fits_into_a_page_lies_there(void **state)
{
    struct tt_l1 *r = *state;
    for (int way = WIDE; way < SET; way++) {
        size_t len = TC_PAGED_MOST - entry_bytes(r, (enum way)way, 0);
        uint64_t number = (uint64_t)way;
        assert_int_equal(put(r, tt_l1_key(r, number), (enum way)way, len, 1), CACHE_OK);
        struct tc_entry *e = get(r, number, len);
        assert_int_equal(atomic_load(&e->refs) & TC_ENTRY_IN_EXTENT, TC_ENTRY_HOUSED);
        tc_l1_release(&r->l1, e);
    }
    assert_int_equal(extents_bytes(r), 0);
}

/* Evicting ahead has an end where what leaves is of no use to those who come. */
static void small_ones_that_come_drive_out_little_more_than_they_need(void **state)
{
    struct tt_l1 *r = *state;
    enum { SMALL = 40, STORED = 1000, ENOUGH = 5000 };
    uint64_t n = 0;
    for (; n < ENOUGH || tt_l1_count(r, TC_COUNT_l1_evicted_bytes) < 500; n++)
        assert_int_equal(tt_l1_put(r, tt_l1_key(r, n), 500 + n * 7919 % 1400), CACHE_OK);
    for (uint64_t i = 0; i < ENOUGH; i++) /* whoever is there in no order in which they came */
        tt_l1_has(r, tt_l1_key(r, n - 1 - i * 4001 % ENOUGH));
    uint64_t before = tt_l1_type_bytes(r, 0);
    for (uint64_t i = 0; i < STORED; i++, n++)
        assert_int_equal(tt_l1_put(r, tt_l1_key(r, n), SMALL), CACHE_OK);
    assert_in_range(tt_l1_type_bytes(r, 0), before - LIMIT / 6, before + LIMIT / 6);
    assert_true(tc_l1_check(&r->l1));
}

static void what_is_larger_than_an_extent_stays_its_makers(void **state)
{
    struct tt_l1 *r = *state;
    for (int way = WIDE; way < SET; way++)
        for (size_t more = 1; more < 100000; more *= 7) {
            size_t len = largest(r, (enum way)way) + more;
            uint64_t number = more * 10 + (uint64_t)way;
            if (way == LENT && entry_bytes(r, LENT, len) > ROOM)
                continue;
            struct tc_entry *e = make(r, tt_l1_key(r, number), (enum way)way, len, 1);
            assert_int_equal(tc_l1_put(&r->l1, e, &r->policies[0], NULL, true), CACHE_OK);
            struct tc_entry *found = get(r, number, len);
            assert_int_equal(found == e, way != LENT); /* what is lent is copied in any case */
            assert_int_equal(atomic_load(&found->refs) & TC_ENTRY_IN_EXTENT, 0);
            tc_l1_release(&r->l1, found);
            tc_l1_drop(&r->l1, e);
        }
    assert_int_equal(extents_bytes(r), 0);
    assert_true(tc_l1_check(&r->l1));
}

/* ---- churn ---- */

static size_t any_len(uint64_t *seed)
{
    uint64_t random = tt_random(seed), top = random % 4 == 0 ? LEN_MOST : UINT64_C(16) << random / 4 % 11;
    return 8 + random / 64 % ((top < LEN_MOST ? top : LEN_MOST) - 7);
}

static void the_limit_holds_whatever_sizes_come(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t seed = tt_seed(), found = 0, least = UINT64_MAX;
    enum { KEYS = 3000, TURNS = 9000 };
    static size_t len_of[KEYS];
    memset(len_of, 0, sizeof len_of);
    for (uint64_t i = 0; i < TURNS; i++) {
        uint64_t number = tt_random(&seed) % KEYS;
        size_t len = any_len(&seed);
        assert_int_equal(put(r, tt_l1_key(r, number), (enum way)(i % WAYS), len, i), CACHE_OK);
        len_of[number] = len;
        assert_true(is_within(r, 0));
        number = tt_random(&seed) % KEYS;
        struct tc_entry *e = get(r, number, len_of[number]);
        found += e != NULL;
        if (e != NULL)
            tc_l1_release(&r->l1, e);
        uint64_t type_bytes = tt_l1_type_bytes(r, 0);
        least = i > TURNS / 2 && type_bytes < least ? type_bytes : least;
        if (i % 500 == 0)
            assert_true(tc_l1_check(&r->l1));
    }
    assert_true(tt_l1_count(r, TC_COUNT_l1_evicted_bytes) > 1000 && found > 500);
    assert_true(least > LIMIT / 100 * 60); /* and is used */

    assert_true(tc_l1_check(&r->l1));
}

/* Sizes that shift: what is there moves together, or leaves. */
static void chunks_of_one_size_give_way_to_another(void **state)
{
    struct tt_l1 *r = *state;
    static const size_t lens[] = { 2500, 20000, 100, 7000, 30000, 3000, 1500, 12000 };
    uint64_t next = 0;
    for (size_t round = 0; round < TC_ARRAY_LEN(lens); round++) {
        uint64_t poured = 0, first = next, there = 0;
        while (poured < 2 * LIMIT) {
            size_t len = lens[round] + next % 64;
            assert_int_equal(put_len(r, next++, len), CACHE_OK);
            assert_true(is_within(r, 0));
            poured += len + 60;
        }
        for (uint64_t number = first; number < next; number++)
            there += tt_l1_has(r, tt_l1_key(r, number)) ? lens[round] + number % 64 + 60 : 0;
        assert_true(there > LIMIT / 100 * 75);

        assert_true(tc_l1_check(&r->l1));
    }
}

/* ---- values that are held ---- */

enum { PINS = 4000 };

struct pinned {
    struct tc_entry *e;
    uint64_t number;
    size_t len;
};

static struct pinned pins[PINS];

static void release(struct tt_l1 *r, struct pinned *p)
{
    if (p->e == NULL)
        return;
    assert_int_equal(tc_entry_len(p->e), p->len);
    assert_true(tt_l1_is_value(tc_entry_data(p->e), p->len, p->number, NULL));
    tc_l1_release(&r->l1, p->e);
    p->e = NULL;
}

/* Hundreds at a time, thousands in all; each is of the last that came, so it will leave while it is held. */
static void values_that_are_held_count_where_they_lie(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t seed = tt_seed(), refused = 0, detached = 0;
    enum { TURNS = 12000, AT_ONCE = 150 };
    memset(pins, 0, sizeof pins);
    for (uint64_t i = 0; i < TURNS; i++) {
        size_t len = any_len(&seed);
        int rc = put_len(r, i, len);
        refused += rc != CACHE_OK;
        if (rc == CACHE_OK && i % 3 == 0) {
            struct pinned *p = &pins[tt_random(&seed) % AT_ONCE];
            release(r, p);
            *p = (struct pinned){ get(r, i, len), i, len };
            assert_non_null(p->e);
        }
        assert_true(is_within(r, 0)); /* all of them are in pages and chunks */
        detached = tt_l1_detached_bytes(r) > detached ? tt_l1_detached_bytes(r) : detached;
        if (i % 1000 == 0)
            assert_true(tc_l1_check(&r->l1));
    }
    assert_true(detached > LIMIT / 20);
    assert_true(refused < TURNS / 100);
    for (size_t i = 0; i < PINS; i++)
        release(r, &pins[i]);
    assert_int_equal(tt_l1_detached_bytes(r), 0);
    assert_true(tc_l1_check(&r->l1));
}

/* Far more than there is room for: what comes is refused in the end, and nothing is held beyond the limit. */
static void more_pins_than_memory_refuse_what_comes_and_break_nothing(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t seed = 5, stored = 0;
    memset(pins, 0, sizeof pins);
    for (uint64_t i = 0; i < PINS; i++) {
        size_t len = 8 + tt_random(&seed) % (i % 2 ? 5000 : 400);
        if (put_len(r, i, len) == CACHE_OK) {
            pins[i] = (struct pinned){ get(r, i, len), i, len };
            assert_non_null(pins[i].e);
            stored++;
        }
        assert_true(is_within(r, 0));
    }
    assert_in_range(stored, 1000, PINS - 100);
    assert_true(tc_l1_check(&r->l1));
    for (size_t i = 0; i < PINS; i++)
        release(r, &pins[i]);
    assert_int_equal(tt_l1_detached_bytes(r), 0);
    for (uint64_t i = PINS; i < PINS + 500; i++)
        assert_int_equal(put_len(r, i, 3000), CACHE_OK);
    assert_true(tc_l1_check(&r->l1));
}

/* All pages and chunks, whoever held something in them meanwhile. */
static void clearing_gives_everything_back(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t seed = tt_seed();
    memset(pins, 0, sizeof pins);
    for (uint64_t i = 0; i < 3000; i++) {
        size_t len = any_len(&seed);
        assert_int_equal(put_len(r, i, len), CACHE_OK);
        if (i % 20 == 0)
            pins[i / 20] = (struct pinned){ get(r, i, len), i, len };
    }
    assert_true(extents_bytes(r) > LIMIT / 2 && pages_bytes(r) > 0);
    tc_l1_clear(&r->l1);
    tc_limbo_pass(&r->l1);
    tc_limbo_clear(&r->l1);
    assert_true(tc_l1_check(&r->l1));
    assert_int_equal(tt_l1_type_entries(r, 0), 0);
    assert_in_range(extents_bytes(r), 1, LIMIT - 1); /* what lies beside values that are held */
    for (size_t i = 0; i < PINS; i++)
        release(r, &pins[i]);
    assert_true(extents_bytes(r) == 0 && pages_bytes(r) == 0);
    assert_true(tc_l1_check(&r->l1));
}

/* ---- anywhere ---- */

/* Every page and every chunk has something in it that is held, so none can be had; but there are holes. */
static void where_pages_are_held_a_small_value_finds_a_hole(void **state)
{
    struct tt_l1 *r = *state;
    enum { SMALL = 600, OTHER = 1000, LARGE = 2700, LARGE_ONES = 500, EACH_PAGE = 4, EACH_CHUNK = 3 };
    size_t n_pins = 0;
    uint64_t next = 0;
    memset(pins, 0, sizeof pins);
    for (; next < LARGE_ONES; next++) {
        assert_int_equal(put(r, tt_l1_key(r, next), LENT, LARGE, next), CACHE_OK);
        if (next % EACH_CHUNK == 0)
            pins[n_pins++] = (struct pinned){ get(r, next, LARGE), next, LARGE };
    }
    for (; tt_l1_count(r, TC_COUNT_l1_evicted_bytes) < 10; next++) {
        assert_int_equal(put(r, tt_l1_key(r, next), LENT, SMALL, next), CACHE_OK);
        if (next % EACH_PAGE == 0)
            pins[n_pins++] = (struct pinned){ get(r, next, SMALL), next, SMALL };
    }
    uint64_t first = next, in_extents = 0;
    for (; next < first + 500; next++) { /* another size than there are pages of */
        assert_int_equal(put(r, tt_l1_key(r, next), (enum way)(next % 2 ? LENT : FRAMED), OTHER, next), CACHE_OK);
        assert_true(is_within(r, 0));
        struct tc_entry *e = get(r, next, OTHER);
        assert_non_null(e);
        in_extents += lies_in_extent(e);
        tc_l1_release(&r->l1, e);
    }
    assert_true(in_extents > 400);
    assert_true(tc_l1_check(&r->l1));
    for (size_t i = 0; i < n_pins; i++)
        release(r, &pins[i]);
    assert_true(tc_l1_check(&r->l1));
}

/* ---- two threads ---- */

/* Each holds values of both threads' for a while: who lets go of the last one gives its extent back, whatever became of
 * its chunk. */
static int churn_and_hold(void *arg, unsigned index)
{
    enum { TURNS = 6000, KEYS = 500, HELD = 60 };
    struct tt_l1 *r = arg;
    struct pinned held[HELD] = { { .e = NULL } };
    uint64_t seed = index + 1, found = 0, refused = 0;
    int failures = 0;
    for (uint64_t i = 0; i < TURNS && failures < 10; i++) {
        uint64_t number = tt_random(&seed) % KEYS;
        refused += put(r, tt_l1_key(r, number), (enum way)(i % WAYS), any_len(&seed), i) != CACHE_OK;
        number = tt_random(&seed) % KEYS;
        struct pinned *p = &held[tt_random(&seed) % HELD];
        if (p->e != NULL) {
            TT_CHECK(failures, tt_l1_is_value(tc_entry_data(p->e), p->len, p->number, NULL));
            tc_l1_release(&r->l1, p->e);
        }
        struct tc_l1_found f = tt_l1_get(r, tt_l1_key(r, number));
        *p = (struct pinned){ f.entry, number, f.entry != NULL ? tc_entry_len(f.entry) : 0 };
        found += f.entry != NULL;
        TT_CHECK(failures, tc_l1_bytes(&r->l1) <= r->l1.limit);
    }
    for (size_t i = 0; i < HELD; i++)
        if (held[i].e != NULL)
            tc_l1_release(&r->l1, held[i].e);
    TT_CHECK(failures, found > TURNS / 4 && refused < TURNS / 100);
    return failures;
}

static void what_two_threads_hold_is_given_back_by_whoever_is_last(void **state)
{
    struct tt_l1 *r = *state;
    assert_int_equal(tt_crew_join(tt_crew_start(2, churn_and_hold, r)), 0);
    assert_int_equal(tt_l1_detached_bytes(r), 0);
    assert_true(extents_bytes(r) > LIMIT / 4);
    assert_true(tc_l1_check(&r->l1));
}

/* ---- little by little ---- */

/* A stripe of pages, with hardly anything in chunks: what evicting frees is no page until some move together. */
static void a_limit_is_lowered_in_small_steps(void **state)
{
    struct tt_l1 *r = *state;
    enum { SMALL = 100, LARGE = 5000, STEPS = 400, STEP = 4096 };
    for (uint64_t n = 0; n < 3 * LIMIT / 2 / SMALL; n++)
        assert_int_equal(put_len(r, n, SMALL), CACHE_OK);
    assert_int_equal(put_len(r, UINT64_C(1) << 40, LARGE), CACHE_OK);
    for (uint64_t n = 1; n <= STEPS; n++)
        assert_int_equal(tc_l1_resize(&r->l1, LIMIT - n * STEP, tt_l1_now(r) + 1000), CACHE_OK);
    assert_true(tc_l1_check(&r->l1));
}

/* As if there were as many entries apart as have numbers. */
static void without_a_number_nothing_is_stored_apart_and_nothing_breaks(void **state)
{
    struct tt_l1 *r = *state;
    enum { LEN = 3000 };
    assert_int_equal(put_len(r, 1, LEN), CACHE_OK); /* there is room for more in its chunk */
    struct tc_map *m = &r->l1.stripes[0].slab.apart;
    uint32_t n = m->n, fresh = m->fresh, free = m->free;
    m->n = TC_CELL_PLACE + 64; /* it grew by a quarter */
    m->fresh = TC_CELL_PLACE;
    m->free = 0;
    uint64_t bytes = tc_l1_bytes(&r->l1);
    assert_false(set(r, tt_l1_key(r, 2), LEN, 1));
    assert_int_equal(tc_l1_bytes(&r->l1), bytes);
    m->n = n;
    m->fresh = fresh;
    m->free = free;
    assert_true(tc_l1_check(&r->l1) && tt_l1_has(r, tt_l1_key(r, 1)));
    assert_true(set(r, tt_l1_key(r, 2), LEN, 1));
}

static int setup_single_company(void **state)
{
    *state = open_l1(1, true);
    return 0;
}

int main(void)
{
#define WITH(test, setup) { #test ", " #setup, test, setup, teardown, NULL }
#define BOTH(test) WITH(test, setup_alone), WITH(test, setup_company)
    const struct CMUnitTest tests[] = {
        BOTH(what_is_too_large_for_pages_is_stored_by_copy),
        WITH(the_short_way_stores_in_extents_too, setup_single),
        WITH(what_fits_into_a_page_lies_there, setup_alone),
        WITH(small_ones_that_come_drive_out_little_more_than_they_need, setup_company),
        BOTH(what_is_larger_than_an_extent_stays_its_makers),
        BOTH(the_limit_holds_whatever_sizes_come),
        BOTH(chunks_of_one_size_give_way_to_another),
        BOTH(values_that_are_held_count_where_they_lie),
        BOTH(more_pins_than_memory_refuse_what_comes_and_break_nothing),
        BOTH(clearing_gives_everything_back),
        WITH(where_pages_are_held_a_small_value_finds_a_hole, setup_single),
        WITH(what_two_threads_hold_is_given_back_by_whoever_is_last, setup_company),
        WITH(a_limit_is_lowered_in_small_steps, setup_single),
        WITH(a_limit_is_lowered_in_small_steps, setup_single_company),
        WITH(without_a_number_nothing_is_stored_apart_and_nothing_breaks, setup_single),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
