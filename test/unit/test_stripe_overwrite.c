/* A value written where the one before lies: when that may be, what changes with it and what stays. One thread; who
 * reads meanwhile is in test_stripe_overwrite_threads.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/evict.h"
#include "tt_util.h"
#include "unit/tt_hasher.h"
#include "unit/tt_l1.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { STEP = 7 }; /* of lengths */
#else
enum { STEP = 1 };
#endif

enum {
    LIMIT = 2 << 20,
    MOST = TC_ENTRY_OVERWRITTEN_MOST,
    OVERWRITES = 191, /* of one cell, until it comes to the bar: stripe_version.c */
    LIFE_MS = 60000,
    KEY_BYTES = 8, /* of the fixture's keys */
    IN_PAGES = 256, /* of values that lie in pages */
    BIG = MOST + 200 /* more than any value here */
};

static struct tt_l1 *open_l1(const struct cache_evict_ops *evict)
{
    struct tt_l1 *r = tt_l1_new(LIMIT, 1, evict);
    assert_non_null(r);
    assert_true(r->l1.paged);
    for (size_t i = 0; i < TT_L1_TYPES; i++)
        tc_l1_know(&r->l1, r->types[i]);
    return r;
}

static int setup(void **state)
{
    *state = open_l1(NULL);
    return 0;
}

static int teardown(void **state)
{
    return tt_l1_free(*state) ? 0 : -1;
}

/* ---- storing ---- */

struct wish {
    size_t len;
    uint64_t version;
    int64_t life_ms; /* 0: LIFE_MS; negative: for ever */
    size_t type;
    uint32_t flags; /* more of TC_ENTRY_FLAGS, the general way only */
    const uint64_t *expected;
};

static struct tc_entry_parts parts_of(struct tt_l1 *r, const struct tt_l1_key *k, const struct wish *w, void *value)
{
    tt_l1_fill(value, w->len, k->number, w->version);
    return (struct tc_entry_parts){ k->hash, tt_l1_ref(k).key, { value, w->len }, tt_l1_now(r),
                                    w->life_ms != 0 ? w->life_ms : LIFE_MS, (uint32_t)w->type };
}

static bool set(struct tt_l1 *r, struct tt_l1_key k, const struct wish *w, bool *replaced)
{
    unsigned char value[BIG];
    struct tc_entry_parts p = parts_of(r, &k, w, value);
    return tc_l1_set(&r->l1, &p, w->expected, replaced);
}

/* The general way: nothing is overwritten there. */
static int put(struct tt_l1 *r, struct tt_l1_key k, const struct wish *w)
{
    unsigned char value[BIG];
    struct tc_entry_parts p = parts_of(r, &k, w, value);
    struct tc_entry *e = tc_entry_open_small(&r->alloc, r->l1.node_bytes, r->types[w->type], k.hash, p.key, w->len);
    if (e == NULL)
        return CACHE_E_NOMEM;
    if (w->len > 0)
        memcpy(tc_entry_room(e), value, w->len);
    tc_entry_set_life(e, p.now_ms, p.life_ms, 0);
    tc_entry_add_flags(e, w->flags);
    int rc = tc_l1_put(&r->l1, e, &r->policies[w->type], w->expected, w->expected == NULL);
    tc_l1_drop(&r->l1, e);
    return rc;
}

static void store(struct tt_l1 *r, struct tt_l1_key k, const struct wish *w)
{
    bool replaced;
    if (!set(r, k, w, &replaced))
        assert_int_equal(put(r, k, w), CACHE_OK);
}

/* ---- what is there ---- */

/* 0: nothing. */
static uint32_t cell_of(struct tt_l1 *r, struct tt_l1_key k)
{
    uint32_t cell = 0;
    struct tc_stripe *s = tc_l1_stripe(&r->l1, k.hash);
    tc_lock_acquire(&s->lock);
    tc_stripe_find(s, k.hash, tt_l1_ref(&k).key, &cell);
    tc_lock_release(&s->lock);
    return cell;
}

static struct tc_entry *entry_of(struct tt_l1 *r, struct tt_l1_key k)
{
    uint32_t cell = cell_of(r, k);
    assert_int_not_equal(cell, 0);
    return tc_stripe_entry(tc_l1_stripe(&r->l1, k.hash), cell);
}

/* How often what is under the key was overwritten. */
static uint32_t overwritten(struct tt_l1 *r, struct tt_l1_key k)
{
    uint32_t version = atomic_load(&entry_of(r, k)->refs) & TC_ENTRY_VERSIONS;
    assert_int_equal(version & TC_ENTRY_WRITING, 0);
    return version / (2 * TC_ENTRY_VERSION_ONE);
}

static bool is_that(const void *data, size_t len, struct tt_l1_key k, const struct wish *w)
{
    uint64_t version;
    return len == w->len && tt_l1_is_value(data, len, k.number, &version) && (len < 8 || version == w->version);
}

/* Copied and pinned alike, both with its times. */
static void assert_found(struct tt_l1 *r, struct tt_l1_key k, const struct wish *w, int64_t made_ms)
{
    unsigned char buf[BIG];
    struct tc_l1_copied c;
    struct tc_l1_found f;
    int64_t until_ms = made_ms + (w->life_ms != 0 ? w->life_ms : LIFE_MS);
    assert_true(tc_l1_get_copy(&r->l1, tt_l1_ref(&k), tt_l1_now(r), buf, sizeof buf, &c, &f));
    assert_true(is_that(buf, c.len, k, w));
    assert_int_equal(c.flags, 0);
    assert_true(c.made_ms == made_ms && c.taken_ms == made_ms && c.fresh_until_ms == until_ms);
    f = tt_l1_get(r, k);
    assert_non_null(f.entry);
    assert_true(f.fresh && is_that(tc_entry_data(f.entry), tc_entry_len(f.entry), k, w));
    assert_int_equal(tc_entry_made_ms(f.entry), made_ms);
    assert_int_equal(tc_entry_fresh_until_ms(f.entry), until_ms);
    tc_l1_release(&r->l1, f.entry);
}

/* Stores by tc_l1_set() over what is there. True: in its place, and then it is all that changed. */
static bool set_over(struct tt_l1 *r, struct tt_l1_key k, const struct wish *w)
{
    bool replaced = false;
    struct tc_stripe *s = tc_l1_stripe(&r->l1, k.hash);
    uint32_t before = cell_of(r, k), version = atomic_load(&entry_of(r, k)->refs) & TC_ENTRY_VERSIONS;
    uint64_t bytes = tc_l1_bytes(&r->l1), type_bytes = tt_l1_type_bytes(r, w->type), left = s->left.bytes;
    uint64_t generation = tc_l1_generation(&r->l1, k.hash), entries = tt_l1_type_entries(r, w->type);
    assert_true(set(r, k, w, &replaced));
    assert_true(replaced);
    assert_int_equal(tc_l1_generation(&r->l1, k.hash), generation + 1);
    assert_int_equal(tt_l1_type_entries(r, w->type), entries);
    bool same = cell_of(r, k) == before;
    uint32_t now = atomic_load(&entry_of(r, k)->refs);
    assert_int_equal(now & ~(TC_ENTRY_VERSIONS | TC_ENTRY_LENT), 1 | TC_ENTRY_IN_L1 | TC_ENTRY_HOUSED);
    assert_int_equal(now & TC_ENTRY_VERSIONS, same ? version + 2 * TC_ENTRY_VERSION_ONE : 0);
    if (same) {
        assert_int_equal(tc_l1_bytes(&r->l1), bytes);
        assert_int_equal(tt_l1_type_bytes(r, w->type), type_bytes);
        assert_true(s->left.bytes <= left);
    }
    assert_found(r, k, w, tt_l1_now(r));
    return same;
}

/* Another one in each page, so that no page comes and goes, and room for some in a chunk. */
static void begin_pages(struct tt_l1 *r)
{
    enum { LARGE = 1000, N = 20 };
    for (uint64_t i = 0; i < N; i++) {
        struct wish w = { .len = LARGE };
        store(r, tt_l1_key(r, UINT64_C(1) << 41 | i), &w);
    }
    for (uint64_t i = 1; i < N / 2; i++)
        tt_l1_invalidate(r, tt_l1_key(r, UINT64_C(1) << 41 | i));
    for (size_t len = 0; len < 2 * IN_PAGES; len += 4) {
        struct wish w = { .len = len };
        store(r, tt_l1_key(r, UINT64_C(1) << 40 | len), &w);
    }
}

static size_t cell_bytes(struct tt_l1 *r, size_t len)
{
    return tc_slab_round(tc_entry_bytes_for(r->l1.node_bytes, 0, KEY_BYTES, len));
}

/* ---- where it lies ---- */

/* Of a key of that length. Small ones lie in pages, the others in extents, and those have to be of one class too. */
static bool is_as_large(struct tt_l1 *r, size_t key_len, size_t from, size_t to)
{
    size_t a = tc_entry_bytes_for(r->l1.node_bytes, 0, key_len, from);
    size_t b = tc_entry_bytes_for(r->l1.node_bytes, 0, key_len, to);
    size_t a_class = a <= TC_SLAB_MOST ? tc_slab_round(a) : 0, b_class = b <= TC_SLAB_MOST ? tc_slab_round(b) : 0;
    return a_class == b_class && (a <= TC_PAGED_MOST || tc_extents_round(a) == tc_extents_round(b));
}

static void a_short_value_of_the_same_size_of_cell_takes_the_place_of_the_last_one(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    uint64_t version = 0, same = 0, other = 0, too_long = 0;
    begin_pages(r);
    for (size_t from = 0; from < MOST + 40; from += from < IN_PAGES + 40 ? STEP : 3 * STEP + 10) {
        for (size_t to = from > 60 ? from - 60 : 0; to < from + 60; to++) {
            struct wish first = { .len = from, .version = ++version }, then = { .len = to, .version = ++version };
            tt_l1_invalidate(r, k);
            store(r, k, &first);
            bool fits = is_as_large(r, KEY_BYTES, from, to), is_short = from <= MOST && to <= MOST;
            tt_clock_advance(&r->time, 1);
            assert_int_equal(set_over(r, k, &then), fits && is_short);
            same += fits && is_short;
            other += !fits;
            too_long += fits && !is_short && from != to;
        }
        assert_true(tc_l1_check(&r->l1));
    }
    assert_true(same > 100 && other > 100 && too_long > 10); /* there is one of each to be seen */
}

/* With a key that makes a size of cell in which there is room for a value of the most bytes, and for longer ones. */
static void both_values_must_be_short(void **state)
{
    enum { KEY = 20, AROUND = 20 };
    struct tt_l1 *r = *state;
    unsigned char value[BIG] = "";
    bool replaced;
    unsigned longer = 0, shorter = 0;
    const char with_zeros[KEY + 4] = "a key of some length";
    struct tc_l1_ref ref = { .key = { with_zeros, KEY } };
    ref.hash = tt_hasher_hash(ref.key);
    begin_pages(r);
    for (size_t from = MOST - AROUND; from < MOST + AROUND; from++)
        for (size_t to = MOST - AROUND; to < MOST + AROUND; to++) {
            struct tc_entry_parts p = { ref.hash, ref.key, { value, from }, tt_l1_now(r), LIFE_MS, 0 };
            uint32_t cells[2];
            struct tc_stripe *s = &r->l1.stripes[0];
            tc_l1_invalidate(&r->l1, ref);
            for (int i = 0; i < 2; i++) {
                assert_true(tc_l1_set(&r->l1, &p, NULL, &replaced));
                tc_lock_acquire(&s->lock);
                tc_stripe_find(s, ref.hash, ref.key, &cells[i]);
                tc_lock_release(&s->lock);
                p.value.len = to;
            }
            bool fits = is_as_large(r, KEY, from, to);
            assert_int_equal(cells[0] == cells[1], fits && from <= MOST && to <= MOST);
            longer += fits && from <= MOST && to > MOST;
            shorter += fits && from > MOST && to <= MOST;
        }
    assert_true(longer > 10 && shorter > 10);
}

/* Key lengths and values of which each fills the same size of cell, some to the last byte. */
static struct tc_entry_parts side_by_side(struct tt_l1 *r, size_t n, uint64_t version, unsigned char *key, void *value)
{
    size_t key_len = n % 30 + 2, len = 57 + (n + version) % 8 - tc_words_round(key_len);
    memset(key, 0, tc_words_round(key_len));
    memset(key, 'k', key_len);
    key[0] = (unsigned char)n;
    tt_l1_fill(value, len, n, version);
    struct cache_slice of = { key, key_len };
    return (struct tc_entry_parts){ tt_hasher_hash(of), of, { value, len }, tt_l1_now(r), LIFE_MS, 0 };
}

static void neither_key_nor_neighbour_is_touched(void **state)
{
    enum { KEYS = 60, ROUNDS = 5 };
    struct tt_l1 *r = *state;
    unsigned char key[KEYS], value[BIG], buf[BIG];
    bool replaced;
    for (uint64_t n = 0; n < 11 * KEYS; n++) /* the table will not have to grow */
        store(r, tt_l1_key(r, n), &(struct wish){ .len = 0 });
    begin_pages(r);
    for (size_t i = 0; i < ROUNDS * KEYS; i++) {
        uint64_t round = i / KEYS + 1;
        struct tc_entry_parts p = side_by_side(r, i % KEYS, round, key, value);
        assert_true(tc_l1_set(&r->l1, &p, NULL, &replaced));
        assert_int_equal(replaced, round > 1);
        for (size_t n = 0; n < KEYS; n++) {
            struct tc_l1_copied c;
            struct tc_l1_found f;
            p = side_by_side(r, n, n > i % KEYS ? round - 1 : round, key, value);
            bool there = tc_l1_get_copy(&r->l1, (struct tc_l1_ref){ p.hash, p.key }, p.now_ms, buf, sizeof buf, &c, &f);
            assert_int_equal(there, round > 1 || n <= i);
            assert_true(!there || (c.len == p.value.len && memcmp(buf, value, c.len) == 0));
        }
    }
    assert_int_equal(r->l1.stripes[0].left.bytes, 0);
    assert_true(tc_l1_check(&r->l1));
}

static void at_the_end_of_its_versions_it_gets_a_new_cell_and_counting_goes_on(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    struct wish w = { .len = 100 };
    tt_l1_have_company(r); /* alone there is no end */
    begin_pages(r);
    store(r, k, &w);
    assert_int_equal(overwritten(r, k), 0);
    for (int round = 0; round < 5; round++) {
        for (uint32_t n = 1; n <= OVERWRITES; n++) {
            w.version++;
            assert_true(set_over(r, k, &w));
            assert_int_equal(overwritten(r, k), n);
        }
        w.version++;
        assert_false(set_over(r, k, &w));
        assert_int_equal(overwritten(r, k), 0);
        assert_true(tc_l1_check(&r->l1));
    }
}

static void an_overwritten_entry_that_moves_is_the_latest_one(void **state)
{
    enum { KEYS = 1000, STAYS = 9 };
    struct tt_l1 *r = *state;
    struct tc_stripe *s = &r->l1.stripes[0];
    for (uint64_t n = 0; n < KEYS; n++)
        store(r, tt_l1_key(r, n), &(struct wish){ .len = 100, .version = 1 });
    for (uint64_t n = 0; n < KEYS; n++)
        if (n % STAYS != 0)
            tt_l1_invalidate(r, tt_l1_key(r, n));
    uint32_t before[KEYS / STAYS + 1], moved = 0;
    for (uint64_t n = 0; n < KEYS; n += STAYS) {
        assert_true(set_over(r, tt_l1_key(r, n), &(struct wish){ .len = 97, .version = 2 }));
        before[n / STAYS] = cell_of(r, tt_l1_key(r, n));
    }
    struct tc_dropped dropped = { .first = NULL };
    tc_lock_acquire(&s->lock);
    assert_true(tc_stripe_vacate_page(s, &dropped));
    tc_l1_leave(&r->l1, s, &dropped);
    for (uint64_t n = 0; n < KEYS; n += STAYS) {
        struct tt_l1_key k = tt_l1_key(r, n);
        bool stayed = cell_of(r, k) == before[n / STAYS];
        moved += !stayed;
        assert_int_equal(overwritten(r, k), stayed);
        assert_found(r, k, &(struct wish){ .len = 97, .version = 2 }, tt_l1_now(r));
        assert_true(set_over(r, k, &(struct wish){ .len = 100, .version = 3 }));
    }
    assert_true(moved > 0);
}

/* ---- what is not overwritten ---- */

static void a_pinned_value_keeps_its_bytes(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    struct wish first = { .len = 100, .version = 1 }, w = { .len = 100, .version = 2 };
    bool replaced;
    begin_pages(r);
    store(r, k, &first);
    struct tc_l1_found f = tt_l1_get(r, k), same = tt_l1_get(r, k);
    assert_false(set_over(r, k, &w));
    assert_ptr_equal(f.entry, same.entry);
    tc_l1_release(&r->l1, same.entry);
    assert_true(is_that(tc_entry_data(f.entry), tc_entry_len(f.entry), k, &first));
    assert_int_equal(tc_entry_made_ms(f.entry), tt_l1_now(r));
    assert_true(tt_l1_detached_bytes(r) > 0);
    w.version++;
    assert_true(set(r, k, &w, &replaced)); /* nobody has the new one pinned */
    assert_int_equal(overwritten(r, k), 1);
    assert_true(is_that(tc_entry_data(f.entry), tc_entry_len(f.entry), k, &first));
    tc_l1_release(&r->l1, f.entry);
    assert_int_equal(tt_l1_detached_bytes(r), 0);
    f = tt_l1_get(r, k);
    tc_l1_release(&r->l1, f.entry);
    w.version++;
    assert_true(set_over(r, k, &w)); /* a pin that is no more is none */
}

/* What begins in such a way is not overwritten by what would be in as large a cell. with_more: it has a struct
 * tc_entry_more. */
static void assert_not_over(struct tt_l1 *r, const struct wish *w, bool with_more, bool apart)
{
    struct tt_l1_key k = tt_l1_key(r, 7);
    unsigned fitting = 0;
    for (size_t len = 0; len <= IN_PAGES; len++) {
        struct wish first = *w, plain = { .len = IN_PAGES, .version = 2 };
        struct tt_l1_put wide = { .len = len, .version = 1, .ttl_ms = LIFE_MS, .advance = true };
        first.len = len;
        tt_l1_invalidate(r, k);
        r->l1.paged = !apart;
        assert_int_equal(with_more ? tt_l1_put_with(r, k, &wide) : put(r, k, &first), CACHE_OK);
        r->l1.paged = true;
        struct tc_entry *e = entry_of(r, k);
        assert_int_equal(!(atomic_load(&e->refs) & TC_ENTRY_HOUSED), apart);
        assert_int_equal(tc_entry_flags(e), w->flags | (w->life_ms < 0 ? TC_ENTRY_FOREVER : 0));
        while (plain.len > 0 && cell_bytes(r, plain.len) > tc_l1_entry_bytes(&r->l1, e))
            plain.len--;
        fitting += tc_l1_entry_bytes(&r->l1, e) == cell_bytes(r, plain.len);
        assert_false(set_over(r, k, &plain));
    }
    assert_true(fitting > 10);
    assert_true(tc_l1_check(&r->l1));
}

static void what_is_not_plain_is_not_overwritten(void **state)
{
    struct tt_l1 *r = *state;
    begin_pages(r);
    assert_not_over(r, &(struct wish){ .life_ms = -1 }, false, false);
    assert_not_over(r, &(struct wish){ .flags = TC_ENTRY_ABSENT }, false, false);
    assert_not_over(r, &(struct wish){ .flags = TC_ENTRY_MORE }, true, false);
    assert_not_over(r, &(struct wish){ .version = 1 }, false, true);
}

static void what_lives_for_ever_overwrites_nothing(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    bool replaced;
    begin_pages(r);
    store(r, k, &(struct wish){ .len = 100, .version = 1 });
    uint32_t cell = cell_of(r, k);
    assert_true(set(r, k, &(struct wish){ .len = 100, .version = 2, .life_ms = -1 }, &replaced));
    assert_int_not_equal(cell_of(r, k), cell);
    assert_int_equal(tc_entry_flags(entry_of(r, k)), TC_ENTRY_FOREVER);
    tt_clock_advance(&r->time, 100 * (int64_t)LIFE_MS);
    assert_true(tt_l1_has(r, k));
}

static void only_under_a_policy_of_stamps_is_anything_overwritten(void **state)
{
    static const char *const names[] = { "lru-exact", "sieve", "s3-fifo", "lfu", "w-tinylfu", NULL };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(names); i++) {
        const struct cache_evict_ops *ops = tc_evict_find(names[i]);
        assert_int_equal(ops == NULL, names[i] == NULL); /* the default */
        struct tt_l1 *r = open_l1(ops);
        begin_pages(r);
        for (uint64_t n = 0; n < 20; n++)
            store(r, tt_l1_key(r, n), &(struct wish){ .len = 10 * n });
        for (uint64_t n = 0; n < 20; n++)
            assert_int_equal(set_over(r, tt_l1_key(r, n), &(struct wish){ .len = 10 * n, .version = 1 }), ops == NULL);
        assert_true(tt_l1_free(r));
    }
}

/* A plain store gives up for a type that has an order here, as a new cell has to enter that; what is overwritten stays
 * in its own. */
static void what_stands_in_an_order_of_its_type_stays_there(void **state)
{
    struct tt_l1 *r = *state;
    bool replaced;
    begin_pages(r);
    r->policies[1].l1_quota_entries = 10;
    for (uint64_t n = 0; n < 10; n++) {
        struct wish w = { .len = 100, .type = n % 2 };
        assert_int_equal(put(r, tt_l1_key(r, n), &w), CACHE_OK);
    }
    struct tc_order *own = r->l1.stripes[0].shared.next;
    assert_true(own != NULL && own->type == r->types[1] && own->count == 5);
    for (uint64_t n = 0; n < 10; n++) {
        struct wish w = { .len = 100, .version = 1, .type = n % 2 }, longer = { .len = 150, .type = n % 2 };
        uint64_t bytes = own->bytes;
        assert_true(set_over(r, tt_l1_key(r, n), &w));
        assert_int_equal(set(r, tt_l1_key(r, n), &longer, &replaced), n % 2 == 0);
        assert_found(r, tt_l1_key(r, n), n % 2 == 0 ? &longer : &w, tt_l1_now(r));
        assert_true(own->count == 5 && own->bytes == bytes && tt_l1_type_entries(r, 1) == 5);
        assert_true(tc_l1_check(&r->l1));
    }
}

/* ---- time ---- */

/* Of the table's lane. */
static uint8_t wheel_code_of(struct tt_l1 *r, struct tt_l1_key k)
{
    const struct tc_index *x = &r->l1.stripes[0].index;
    uint32_t cell = cell_of(r, k);
    for (size_t i = 0; i < tc_index_lanes(x); i++)
        if (tc_index_cell(x, i) == cell)
            return tc_index_code(x, i);
    return 0;
}

/* A store for each bucket: what is due is taken out. */
static void turn_the_wheel(struct tt_l1 *r, uint64_t number)
{
    bool replaced;
    for (size_t n = 0; n <= r->l1.stripes[0].index.n; n++)
        assert_true(set(r, tt_l1_key(r, number), &(struct wish){ .len = 100, .life_ms = 1 }, &replaced));
}

static void an_overwritten_entry_expires_when_its_new_time_has_come(void **state)
{
    enum { SHORT_MS = 500, LONG_MS = 40000, STALE_MS = 3000, OTHER = 100 };
    struct tt_l1 *r = *state;
    struct tt_l1_key sooner = tt_l1_key(r, 1), later = tt_l1_key(r, 2);
    atomic_store(&r->types[0]->max_stale_ms, STALE_MS);
    begin_pages(r);
    tt_l1_invalidate(r, tt_l1_key(r, OTHER));
    store(r, tt_l1_key(r, OTHER), &(struct wish){ .len = 100, .life_ms = 1 });
    store(r, sooner, &(struct wish){ .len = 100, .life_ms = LONG_MS });
    store(r, later, &(struct wish){ .len = 100, .life_ms = SHORT_MS });
    tt_clock_advance(&r->time, SHORT_MS / 2);
    assert_true(set_over(r, sooner, &(struct wish){ .len = 100, .version = 1, .life_ms = SHORT_MS }));
    assert_true(set_over(r, later, &(struct wish){ .len = 100, .version = 1, .life_ms = LONG_MS }));
    int64_t now_ms = tt_l1_now(r);
    assert_int_equal(wheel_code_of(r, sooner), tc_wheel_code(now_ms + SHORT_MS + STALE_MS, now_ms));
    assert_int_equal(wheel_code_of(r, later), tc_wheel_code(now_ms + LONG_MS + STALE_MS, now_ms));
    tt_clock_advance(&r->time, SHORT_MS + STALE_MS - 1);
    turn_the_wheel(r, OTHER);
    assert_true(cell_of(r, sooner) != 0 && !tt_l1_has(r, sooner) && tt_l1_has(r, later)); /* not before */
    tt_clock_advance(&r->time, 2 * STALE_MS); /* the wheel may be late */
    turn_the_wheel(r, OTHER);
    assert_true(cell_of(r, sooner) == 0 && tt_l1_has(r, later));
    assert_int_equal(tt_l1_count(r, TC_COUNT_l1_expired), 1);
    tt_clock_advance(&r->time, 2 * LONG_MS);
    turn_the_wheel(r, OTHER);
    assert_int_equal(cell_of(r, later), 0);
    assert_true(tc_l1_check(&r->l1));
}

static void what_has_expired_is_overwritten_and_lives_again(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    begin_pages(r);
    store(r, k, &(struct wish){ .len = 100, .version = 1, .life_ms = 10 });
    tt_clock_advance(&r->time, 11);
    assert_false(tt_l1_has(r, k));
    assert_true(set_over(r, k, &(struct wish){ .len = 100, .version = 2 }));
}

/* ---- use ---- */

static uint64_t victim_of(struct tt_l1 *r)
{
    struct tc_stripe *s = &r->l1.stripes[0];
    uint64_t number;
    tc_lock_acquire(&s->lock);
    uint32_t cell = tc_stripe_victim(s, NULL, 0);
    tc_lock_release(&s->lock);
    assert_int_not_equal(cell, 0);
    memcpy(&number, tc_entry_key(tc_stripe_entry(s, cell)).data, sizeof number);
    return number;
}

static uint8_t stamp_of(struct tt_l1 *r, struct tt_l1_key k)
{
    return *(uint8_t *)tc_entry_node(entry_of(r, k), r->l1.node_bytes);
}

static void an_overwritten_entry_was_used(void **state)
{
    enum { LEN = 100 };
    struct tt_l1 *r = *state;
    struct tc_stripe *s = &r->l1.stripes[0];
    uint64_t n = 0;
    bool replaced;
    for (; n < 100; n++)
        store(r, tt_l1_key(r, n), &(struct wish){ .len = LEN });
    assert_true(set(r, tt_l1_key(r, 0), &(struct wish){ .len = LEN }, &replaced));
    assert_int_equal(stamp_of(r, tt_l1_key(r, 0)), 0); /* eviction is far: nobody asks */
    for (; tt_l1_count(r, TC_COUNT_l1_evicted_bytes) == 0; n++)
        store(r, tt_l1_key(r, n), &(struct wish){ .len = LEN });
    for (int i = 0; i < 200; i++) {
        uint64_t oldest = victim_of(r);
        uint32_t uses = s->uses;
        assert_int_equal(victim_of(r), oldest);
        assert_true(set(r, tt_l1_key(r, oldest), &(struct wish){ .len = LEN, .version = 1 }, &replaced));
        assert_int_equal(overwritten(r, tt_l1_key(r, oldest)), oldest == 0 ? 2 : 1);
        assert_int_equal(s->uses, uses + 1);
        uint8_t stamp = s->index.view->stamp;
        assert_int_not_equal(stamp_of(r, tt_l1_key(r, oldest)), 0);
        assert_int_not_equal(victim_of(r), oldest);
        assert_true(set(r, tt_l1_key(r, oldest), &(struct wish){ .len = LEN, .version = 2 }, &replaced));
        assert_int_equal(stamp_of(r, tt_l1_key(r, oldest)), stamp);
        assert_in_range(s->uses, uses + 1, uses + 2); /* again only if the tick has changed */
    }
    assert_true(tc_l1_check(&r->l1));
}

/* Time goes on by overwriting alone: what was used before the others is told from them. */
static void overwriting_goes_on_from_tick_to_tick(void **state)
{
    enum { LEN = 100 };
    struct tt_l1 *r = *state;
    struct tc_stripe *s = &r->l1.stripes[0];
    uint64_t n = 0, ticks = 0;
    bool replaced;
    for (; tt_l1_count(r, TC_COUNT_l1_evicted_bytes) == 0; n++)
        store(r, tt_l1_key(r, n), &(struct wish){ .len = LEN });
    uint8_t stamp = s->index.view->stamp;
    for (uint64_t i = n / 2; i < n; i++) {
        assert_true(set(r, tt_l1_key(r, i), &(struct wish){ .len = LEN }, &replaced));
        ticks += s->index.view->stamp != stamp;
        stamp = s->index.view->stamp;
    }
    assert_in_range(ticks, 6, 10); /* a sixteenth of the entries each */
    for (uint64_t i = 0; i < n / 4; i++) {
        uint64_t victim = victim_of(r);
        assert_true(victim < n / 2);
        tt_l1_invalidate(r, tt_l1_key(r, victim));
    }
}

/* ---- generations ---- */

static void a_ticket_from_before_it_is_void(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    struct wish w = { .len = 100, .version = 1 };
    bool replaced;
    begin_pages(r);
    store(r, k, &w);
    for (uint64_t i = 0; i < 2 * OVERWRITES; i++) {
        uint64_t ticket = tc_l1_generation(&r->l1, k.hash);
        struct wish late = { .len = 100, .version = 1000 + i, .expected = &ticket };
        assert_false(set(r, k, &late, &replaced)); /* valid, and the general way decides */
        assert_int_equal(tc_l1_generation(&r->l1, k.hash), ticket);
        w.version++;
        set_over(r, k, &w);
        assert_false(set(r, k, &late, &replaced));
        assert_int_equal(put(r, k, &late), CACHE_E_TICKET);
        assert_false(tc_l1_fill_begin(&r->l1, k.hash, ticket));
        assert_found(r, k, &w, tt_l1_now(r));
        tt_l1_invalidate(r, k);
        assert_false(set(r, k, &late, &replaced));
        assert_int_equal(cell_of(r, k), 0);
        store(r, k, &w);
    }
}

/* ---- memory that is owed ---- */

static void overwriting_pays_what_is_owed_as_every_store_does(void **state)
{
    enum { STRIPES = 2, LEN = 100, HOT = 8 };
    (void)state;
    struct tt_l1 *r = tt_l1_new(STRIPES * LIMIT, STRIPES, NULL);
    uint64_t n = 0;
    assert_non_null(r);
    tc_l1_know(&r->l1, r->types[0]);
    for (; tt_l1_count(r, TC_COUNT_l1_evicted_bytes) == 0; n++)
        store(r, tt_l1_key_in(r, n, n % STRIPES), &(struct wish){ .len = LEN });
    assert_int_equal(tc_l1_resize(&r->l1, STRIPES * LIMIT / 2, 0), CACHE_E_TIMEOUT);
    assert_true(r->l1.pool < -10 * TC_PAGE_BYTES);
    /* A page each; half as many again are for what the pages cannot give. */
    for (int64_t stores = -r->l1.pool / TC_PAGE_BYTES * 3 / 2; stores > 0; stores--) {
        uint64_t hot = n - 1 - (uint64_t)stores % HOT;
        store(r, tt_l1_key_in(r, hot, hot % STRIPES), &(struct wish){ .len = LEN });
    }
    assert_true(r->l1.pool >= 0);
    assert_true(tt_l1_free(r));
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(a_short_value_of_the_same_size_of_cell_takes_the_place_of_the_last_one),
        WITH(both_values_must_be_short),
        WITH(neither_key_nor_neighbour_is_touched),
        WITH(at_the_end_of_its_versions_it_gets_a_new_cell_and_counting_goes_on),
        WITH(an_overwritten_entry_that_moves_is_the_latest_one),
        WITH(a_pinned_value_keeps_its_bytes),
        WITH(what_is_not_plain_is_not_overwritten),
        WITH(what_lives_for_ever_overwrites_nothing),
        cmocka_unit_test(only_under_a_policy_of_stamps_is_anything_overwritten),
        WITH(what_stands_in_an_order_of_its_type_stays_there),
        WITH(an_overwritten_entry_expires_when_its_new_time_has_come),
        WITH(what_has_expired_is_overwritten_and_lives_again),
        WITH(an_overwritten_entry_was_used),
        WITH(overwriting_goes_on_from_tick_to_tick),
        WITH(a_ticket_from_before_it_is_void),
        cmocka_unit_test(overwriting_pays_what_is_owed_as_every_store_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
