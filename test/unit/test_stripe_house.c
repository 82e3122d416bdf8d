/* Where a stripe lets an entry lie, what it says before that this will cost, when it has enough in reserve, and what is
 * left where there is no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_stripe.h"

/* Bytes of entries; pages have cells for all but the last. */
enum { SMALL = 200, OTHER = 320, PAGED = TC_PAGED_MOST, LARGE = 5000 };

static int setup(void **state)
{
    struct tt_stripe *f = *state = tt_xcalloc(sizeof *f);
    tt_stripe_open(f, NULL, true);
    return 0;
}

static int teardown(void **state)
{
    struct tt_stripe *f = *state;
    bool clean = tt_stripe_close(f);
    free(f);
    return clean ? 0 : -1;
}

/* What nobody links, at the cost that was told. */
static uint32_t take(struct tt_stripe *f, size_t bytes, bool anywhere)
{
    uint64_t growth = tc_stripe_housing_growth(f->s, bytes, anywhere), before = tc_stripe_bytes(f->s);
    uint32_t where, cell = tc_stripe_take(f->s, bytes, anywhere, &where, &f->dropped);
    assert_int_not_equal(cell, 0);
    assert_int_equal(tc_stripe_bytes(f->s) - before, growth);
    assert_int_equal(where, tc_cell_is_extent(cell) ? TC_ENTRY_IN_EXTENT : TC_ENTRY_HOUSED);
    memset(tc_cell(&f->s->index.view->cells, cell), 0, bytes);
    return cell;
}

static void give(struct tt_stripe *f, uint32_t cell, size_t bytes)
{
    if (tc_cell_is_extent(cell) && bytes <= TC_SLAB_MOST)
        f->s->apart_of[tc_slab_class(bytes)]--;
    tc_stripe_give(f->s, cell);
}

/* ---- where ---- */

static void small_ones_lie_in_pages_and_larger_ones_in_extents(void **state)
{
    struct tt_stripe *f = *state;
    for (size_t bytes = 32; bytes <= TC_EXTENT_MOST; bytes += bytes < 4096 ? 8 : 1000) {
        uint32_t cell = take(f, bytes, false);
        assert_int_equal(tc_cell_is_extent(cell), bytes > PAGED);
        give(f, cell, bytes);
    }
    assert_true(f->s->extents.bytes == 0 && f->s->slab.free_bytes == 0);
}

static void a_larger_size_that_most_are_of_gets_pages(void **state)
{
    struct tt_stripe *f = *state;
    enum { ONE = 1000, ANOTHER = 700, FIRST = 16 * 8, N = 3 * FIRST }; /* eight to a page */
    static uint32_t cells[N], others[FIRST];
    for (size_t i = 0; i < N; i++) {
        cells[i] = take(f, ONE, false);
        assert_int_equal(tc_cell_is_extent(cells[i]), i < FIRST);
    }
    for (size_t i = 0; i < FIRST; i++) {
        others[i] = take(f, ANOTHER, false);
        assert_true(tc_cell_is_extent(others[i]));
    }
    for (size_t i = 0; i < N; i++)
        give(f, cells[i], ONE);
    for (size_t i = 0; i < FIRST; i++)
        give(f, others[i], ANOTHER);
    assert_true(f->s->extents.bytes == 0 && f->s->slab.free_bytes == 0);
}

static void where_sizes_are_many_the_larger_get_no_pages(void **state)
{
    struct tt_stripe *f = *state;
    static const size_t sizes[] = { TC_PAGED_MOST + 8, 600, 900, 1300, TC_SLAB_MOST };
    enum { N = 120 * TC_ARRAY_LEN(sizes) }; /* the largest would fill thirty, and are two fifths of all */
    static uint32_t cells[N];
    for (size_t i = 0; i < N; i++)
        cells[i] = take(f, sizes[i % TC_ARRAY_LEN(sizes)], false);
    for (size_t i = 0; i < N; i++) {
        assert_true(tc_cell_is_extent(cells[i]));
        give(f, cells[i], sizes[i % TC_ARRAY_LEN(sizes)]);
    }
    assert_int_equal(f->s->extents.bytes, 0);
}

/* It is where a page would have to be opened and a hole is there. */
static void anywhere_is_a_hole_instead_of_a_page(void **state)
{
    struct tt_stripe *f = *state;
    unsigned class = tc_slab_class(OTHER);
    uint32_t large = take(f, LARGE, false), small = take(f, SMALL, false);
    uint32_t first = take(f, OTHER, true);
    assert_true(tc_cell_is_extent(first));
    assert_int_equal(f->s->apart_of[class], 1);
    uint32_t page = take(f, OTHER, false);
    assert_false(tc_cell_is_extent(page));
    uint32_t second = take(f, OTHER, true); /* now there is one */
    assert_int_equal(second >> TC_CELL_OFFSET_BITS, page >> TC_CELL_OFFSET_BITS);
    assert_int_equal(f->s->apart_of[class], 1);
    give(f, second, OTHER);
    give(f, page, OTHER);
    give(f, first, OTHER);
    give(f, large, LARGE);
    assert_int_equal(f->s->extents.bytes, 0);
    uint32_t third = take(f, OTHER, true); /* neither is there: a page is the better one to open */
    assert_false(tc_cell_is_extent(third));
    give(f, third, OTHER);
    give(f, small, SMALL);
}

static void anywhere_a_large_one_lies_where_it_would(void **state)
{
    struct tt_stripe *f = *state;
    for (int anywhere = 0; anywhere < 2; anywhere++) {
        uint32_t first = take(f, LARGE, anywhere), second = take(f, LARGE, anywhere);
        assert_true(tc_cell_is_extent(first) && tc_cell_is_extent(second));
        assert_int_equal(tc_stripe_housing_growth(f->s, TC_EXTENT_MOST, anywhere),
                         tc_extents_growth(&f->s->extents, TC_EXTENT_MOST, false));
        give(f, second, LARGE);
        give(f, first, LARGE);
    }
}

/* ---- in reserve ---- */

static void set_idle(struct tt_stripe *f, uint64_t idle)
{
    atomic_store(&f->s->granted, tc_stripe_bytes(f->s) + idle);
}

/* Of pages' cells any will do; of what is free in chunks only one piece that is large enough. */
static void what_is_free_waits_or_lies_idle_is_in_reserve(void **state)
{
    struct tt_stripe *f = *state;
    enum { IN_PAGE = 20, N = 8 * IN_PAGE };
    uint32_t cells[N];
    uint64_t granted = atomic_load(&f->s->granted);
    for (size_t i = 0; i < N; i++)
        cells[i] = take(f, i < N / 2 ? LARGE : PAGED, false);
    uint64_t slack = tc_stripe_slack(f->s), large = LARGE;
    assert_true(slack > PAGED && f->s->slab.free_bytes == 0);
    while (tc_extents_growth(&f->s->extents, large, false) == 0)
        large++;
    assert_true(large < TC_EXTENT_MOST);
    for (uint64_t idle = 0; idle <= slack; idle += slack / 4) { /* the rest waits */
        set_idle(f, idle);
        f->s->left.housed = slack - idle;
        assert_false(tc_stripe_has(f->s, SMALL, slack) || tc_stripe_has(f->s, large, slack));
        f->s->left.housed++;
        assert_true(tc_stripe_has(f->s, SMALL, slack) && tc_stripe_has(f->s, large, slack));
    }
    f->s->left.housed = 0;
    uint64_t free_in_chunks = f->s->extents.free_bytes;
    for (size_t i = N / 2; i < N; i += IN_PAGE) /* one of each page */
        give(f, cells[i], PAGED);
    set_idle(f, 0);
    slack = f->s->slab.free_bytes;
    assert_true(tc_stripe_has(f->s, SMALL, slack - 1) && !tc_stripe_has(f->s, SMALL, slack));
    assert_false(tc_stripe_has(f->s, large, slack - 1));
    assert_int_equal(f->s->extents.free_bytes, free_in_chunks);
    give(f, cells[0], LARGE); /* a hole */
    set_idle(f, 0);
    assert_true(tc_stripe_has(f->s, LARGE, slack));
    assert_false(tc_stripe_has(f->s, LARGE, f->s->extents.free_bytes + tc_stripe_idle(f->s)));
    assert_false(tc_stripe_has(f->s, TC_EXTENT_MOST, slack));
    atomic_store(&f->s->granted, granted);
    for (size_t i = 1; i < N; i++)
        if (i < N / 2 || i % IN_PAGE != 0)
            give(f, cells[i], i < N / 2 ? LARGE : PAGED);
}

/* ---- without memory ---- */

/* The chunk, or the map for its number: whichever is not to be had, neither stays. */
static void without_memory_nothing_is_taken(void **state)
{
    struct tt_stripe *f = *state;
    static uint32_t cells[200];
    size_t n = 0, failures = 0;
    while (n < TC_ARRAY_LEN(cells)) {
        uint64_t bytes = tc_stripe_bytes(f->s), free_bytes = f->s->extents.free_bytes;
        uint64_t failed = tt_alloc_counts(&f->r->counting).failed;
        size_t size = n % 3 ? LARGE : TC_EXTENT_MOST;
        for (unsigned nth = 1; nth <= 2; nth++) {
            uint32_t where;
            tt_alloc_fail(&f->r->counting, nth, true);
            uint32_t cell = tc_stripe_take(f->s, size, false, &where, &f->dropped);
            tt_alloc_fail(&f->r->counting, 0, false);
            if (tt_alloc_counts(&f->r->counting).failed == failed) {
                tc_stripe_give(f->s, cell);
                break;
            }
            failed = tt_alloc_counts(&f->r->counting).failed;
            if (cell != 0) { /* one was enough */
                tc_stripe_give(f->s, cell);
                break;
            }
            assert_int_equal(tc_stripe_bytes(f->s), bytes);
            assert_int_equal(f->s->extents.free_bytes, free_bytes);
            assert_true(tc_extents_check(&f->s->extents));
            failures += nth;
        }
        cells[n++] = take(f, size, false);
        tt_stripe_give_up(f);
    }
    assert_true(failures > 20);
    while (n > 0)
        give(f, cells[--n], LARGE);
    assert_int_equal(f->s->extents.bytes, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(small_ones_lie_in_pages_and_larger_ones_in_extents),
        TEST(a_larger_size_that_most_are_of_gets_pages),
        TEST(where_sizes_are_many_the_larger_get_no_pages),
        TEST(anywhere_is_a_hole_instead_of_a_page),
        TEST(anywhere_a_large_one_lies_where_it_would),
        TEST(what_is_free_waits_or_lies_idle_is_in_reserve),
        TEST(without_memory_nothing_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
