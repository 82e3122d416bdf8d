/* Stripes that are too small for pages of many sizes: a size gets pages when so many entries of it lie apart that they
 * would fill some, and has them until the last one is empty. And how many stripes are chosen, so that each has room for
 * pages at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_l1.h"

enum {
    LIMIT = 520 << 10, /* some sixty pages */
    KEY_BYTES = 8,     /* of the fixture's keys */
    LEN = 64,
    PAGES_WORTH = 4, /* of entries before there are pages */
    MANY = 20000
};

static int setup(void **state)
{
    struct tt_l1 *r = tt_l1_new(LIMIT, 1, NULL);
    assert_non_null(r);
    assert_true(r->l1.paged && r->l1.thin);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    return tt_l1_free(*state) ? 0 : -1;
}

static bool is_in_page(struct tt_l1 *r, struct tt_l1_key k)
{
    struct tc_l1_found f = tt_l1_get(r, k);
    assert_non_null(f.entry);
    bool in_page = (atomic_load(&f.entry->refs) & TC_ENTRY_IN_EXTENT) == TC_ENTRY_HOUSED;
    tc_l1_release(&r->l1, f.entry);
    return in_page;
}

/* The fixture's entries all say more. */
static size_t own_bytes(struct tt_l1 *r, size_t len)
{
    return tc_entry_bytes_for(r->l1.node_bytes, TC_ENTRY_MORE, KEY_BYTES, len);
}

/* How many entries of that length fill the pages that they are worth. */
static uint64_t worth(struct tt_l1 *r, size_t len)
{
    return (uint64_t)PAGES_WORTH * tc_slab_cells_of_page(tc_slab_class(own_bytes(r, len)));
}

static bool has_page(struct tt_l1 *r, size_t len)
{
    return tc_slab_has_page(&r->l1.stripes[0].slab, tc_slab_class(own_bytes(r, len)));
}

static void store(struct tt_l1 *r, uint64_t number, size_t len)
{
    assert_int_equal(tt_l1_put(r, tt_l1_key(r, number), len), CACHE_OK);
}

static void a_size_gets_pages_when_it_would_fill_some(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t n = worth(r, LEN);
    for (uint64_t i = 0; i < n; i++) {
        assert_false(has_page(r, LEN));
        store(r, i, LEN);
        assert_false(is_in_page(r, tt_l1_key(r, i)));
    }
    store(r, n, LEN);
    assert_true(has_page(r, LEN) && is_in_page(r, tt_l1_key(r, n)));
    assert_false(is_in_page(r, tt_l1_key(r, 0))); /* nobody moves what is there */
    assert_true(tc_l1_check(&r->l1));
}

static void another_size_waits_for_its_own(void **state)
{
    struct tt_l1 *r = *state;
    for (uint64_t i = 0; i <= worth(r, LEN); i++)
        store(r, i, LEN);
    store(r, MANY, LEN + 8);
    assert_false(is_in_page(r, tt_l1_key(r, MANY)));
    store(r, MANY + 1, LEN);
    assert_true(is_in_page(r, tt_l1_key(r, MANY + 1)));
}

static void those_that_leave_do_not_count(void **state)
{
    struct tt_l1 *r = *state;
    for (uint64_t i = 0; i < 2 * worth(r, LEN); i++) {
        store(r, i, LEN);
        assert_false(is_in_page(r, tt_l1_key(r, i)));
        tt_l1_invalidate(r, tt_l1_key(r, i));
    }
    assert_true(tc_l1_check(&r->l1));
}

static void it_keeps_them_until_the_last_is_empty(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t n = worth(r, LEN), last = n + 3;
    for (uint64_t i = 0; i <= last; i++)
        store(r, i, LEN);
    for (uint64_t i = 0; i < last; i++)
        tt_l1_invalidate(r, tt_l1_key(r, i));
    store(r, MANY, LEN);
    assert_true(is_in_page(r, tt_l1_key(r, MANY)));
    tt_l1_invalidate(r, tt_l1_key(r, MANY));
    tt_l1_invalidate(r, tt_l1_key(r, last));
    assert_false(has_page(r, LEN));
    store(r, MANY, LEN);
    assert_false(is_in_page(r, tt_l1_key(r, MANY)));
    assert_true(tc_l1_check(&r->l1));
}

static void larger_ones_never_get_any(void **state)
{
    struct tt_l1 *r = *state;
    size_t len = TC_SLAB_FINE + 1 - own_bytes(r, 0);
    for (uint64_t i = 0; i < MANY / 4; i++) {
        store(r, i, len);
        assert_false(is_in_page(r, tt_l1_key(r, i)));
    }
    assert_false(has_page(r, len));
    for (uint64_t i = 0; i < MANY / 4; i++)
        store(r, MANY + i, len - 1);
    assert_true(has_page(r, len - 1));
}

/* What lies apart goes first, then the stripe is full of pages, and evicting writes over the victim. */
static void a_full_one_has_nothing_but_pages_in_the_end(void **state)
{
    struct tt_l1 *r = *state;
    struct tc_stripe *s = &r->l1.stripes[0];
    unsigned class = tc_slab_class(own_bytes(r, LEN));
    for (uint64_t i = 0; i < MANY; i++)
        store(r, i, LEN);
    assert_int_equal(s->apart_of[class], 0);
    assert_true(tt_l1_count(r, TC_COUNT_l1_evicted_bytes) > 0);
    assert_true(s->slab.bytes > LIMIT / 2);
    assert_true(tc_l1_check(&r->l1) && tc_l1_bytes(&r->l1) <= LIMIT);
}

/* ---- how many stripes ---- */

enum {
    KIB = 1 << 10,
    MIB = 1 << 20,
    LEAST = 64 * KIB,        /* that cache_open() takes */
    LEAST_PAGED = 332 * KIB, /* 320 KiB, the reserve, and what a stripe and its gates take themselves */
    SMALL_LIMIT = 6 * MIB,
    PAGED_LIMIT = 32 * MIB,  /* where there are fewer, so that pages of many sizes have room in each */
    STEP = 60 * KIB          /* not a divisor of where the number changes */
};

static void the_number_of_stripes_goes_with_the_limit(void **state)
{
    (void)state;
    static const struct {
        uint64_t limit;
        size_t stripes;
        bool paged, thin;
    } rows[] = {
        { LEAST, 1, false, true },
        { 320 * KIB, 1, false, true },
        { LEAST_PAGED, 1, true, true },
        { 640 * KIB, 1, true, true },
        { 1536 * KIB - 1, 1, true, true },
        { 1536 * KIB, 2, true, true },
        { 2 * MIB, 2, true, true },
        { 3 * MIB - 1, 2, true, true },
        { 3 * MIB, 4, true, true },
        { 6 * MIB - 1, 4, true, true },
        { 6 * MIB, 16, true, true },
        { 12 * MIB, 32, true, true },
        { 24 * MIB, 64, true, true },
        { PAGED_LIMIT - 1, 64, true, true },
        { PAGED_LIMIT, 16, true, false },
        { 64 * MIB, 32, true, false },
        { 128 * MIB, 64, true, false },
    };
    for (size_t i = 0; i < TC_ARRAY_LEN(rows); i++) {
        struct tt_l1 *r = tt_l1_new(rows[i].limit, 0, NULL);
        assert_non_null(r);
        assert_int_equal(r->l1.n_stripes, rows[i].stripes);
        assert_int_equal(r->l1.paged, rows[i].paged);
        assert_int_equal(r->l1.thin, rows[i].thin);
        assert_true(tt_l1_free(r));
    }
}

/* Of one limit. Returns how many stripes it has. */
static size_t assert_room_for_pages(uint64_t limit, const struct cache_evict_ops *evict)
{
    struct tt_l1 *r = tt_l1_new(limit, 0, evict);
    assert_non_null(r);
    size_t n = r->l1.n_stripes;
    assert_true(n > 0 && (n & (n - 1)) == 0);
    assert_true(r->l1.paged);
    assert_true(tc_l1_fair(&r->l1) >= 320 * KIB);
    assert_int_equal(r->l1.thin, limit < PAGED_LIMIT);
    if (limit < PAGED_LIMIT) {
        uint64_t each = limit < SMALL_LIMIT ? 768 * KIB : 384 * KIB;
        assert_true(n == 1 || limit / n >= each);
        assert_true(limit / n < 2 * each); /* twice as many would have too little */
    }
    assert_true(tt_l1_free(r));
    return n;
}

static void each_stripe_has_room_for_pages_and_more_memory_is_never_fewer_stripes(void **state)
{
    (void)state;
    static const char *const policies[] = { "lru", "lru-exact", "sieve", "s3-fifo", "lfu", "w-tinylfu" };
    for (size_t i = 0; i < TC_ARRAY_LEN(policies); i++) {
        const struct cache_evict_ops *evict = cache_evict_policy(policies[i]);
        size_t before = 1;
        for (uint64_t limit = LEAST_PAGED; limit <= 64 * MIB; limit += STEP) {
            bool begins_anew = limit >= PAGED_LIMIT && limit - STEP < PAGED_LIMIT;
            size_t n = assert_room_for_pages(limit, evict);
            assert_true(n >= before || begins_anew);
            before = n;
        }
    }
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(a_size_gets_pages_when_it_would_fill_some),
        WITH(another_size_waits_for_its_own),
        WITH(those_that_leave_do_not_count),
        WITH(it_keeps_them_until_the_last_is_empty),
        WITH(larger_ones_never_get_any),
        WITH(a_full_one_has_nothing_but_pages_in_the_end),
        cmocka_unit_test(the_number_of_stripes_goes_with_the_limit),
        cmocka_unit_test(each_stripe_has_room_for_pages_and_more_memory_is_never_fewer_stripes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
