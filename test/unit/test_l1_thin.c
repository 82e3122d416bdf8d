/* Stripes that are too small for pages of many sizes: a size gets pages when so many entries of it lie apart that they
 * would fill some, and has them until the last one is empty. */
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

static void the_number_of_stripes_goes_with_the_limit(void **state)
{
    (void)state;
    static const struct {
        uint64_t limit;
        size_t stripes;
        bool paged, thin;
    } rows[] = {
        { 2 << 20, 32, false, true }, { (6 << 20) - 1, 32, false, true }, { 6 << 20, 16, true, true },
        { 12 << 20, 32, true, true }, { 24 << 20, 64, true, true },       { (32 << 20) - 1, 64, true, true },
        { 32 << 20, 16, true, false }, { 128 << 20, 64, true, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tt_l1 *r = tt_l1_new(rows[i].limit, 0, NULL);
        assert_non_null(r);
        assert_int_equal(r->l1.n_stripes, rows[i].stripes);
        assert_int_equal(r->l1.paged, rows[i].paged);
        assert_int_equal(r->l1.thin, rows[i].thin);
        assert_true(tt_l1_free(r));
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
