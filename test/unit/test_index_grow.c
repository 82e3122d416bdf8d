/* When the table grows and by how much, to the byte; when it does not: keys that go into no table, and memory that
 * fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_hasher.h"
#include "unit/tt_index.h"

static uint64_t hash_of(uint32_t number)
{
    return tt_index_hash(number, TT_SPREAD);
}

static struct tc_entry *expected(const struct tt_index *f, uint32_t number)
{
    return f->cell[number] != 0 ? tt_index_entry(f, f->cell[number]) : NULL;
}

static bool has_gap(struct tt_index *f, uint64_t hash)
{
    size_t n = f->index.n, gaps = 0;
    for (size_t i = 0; n > 0 && i < TC_INDEX_PROBES; i++) {
        size_t at = tt_index_home(hash, n) + tt_index_offset(i / TC_INDEX_LANES, n);
        gaps += tc_index_cell(&f->index, at % n * TC_INDEX_LANES + i % TC_INDEX_LANES) == 0;
    }
    return gaps > 0;
}

/* A gap is named if and only if neither growing nor anybody's leaving is called for, and it is one that is in reach. */
static void assert_gap(struct tt_index *f, uint64_t hash, bool expected_gap)
{
    struct tc_index_gap gap;
    assert_int_equal(tt_index_find_gap(f, hash, &gap), expected_gap);
    if (!expected_gap)
        return;
    size_t n = f->index.n, at = (size_t)(gap.at.bucket - tc_index_bucket(&f->index, 0));
    assert_int_equal(tc_index_cell(&f->index, at * TC_INDEX_LANES + gap.at.lane), 0);
    assert_int_equal(tt_index_distance(tt_index_home(hash, n), at, n), gap.distance);
}

/* What a reader who began before finds: all that was there then, and nothing that came later. */
static void assert_holds(const struct tc_index_view *v, struct tt_index *f, uint32_t keys)
{
    for (uint32_t i = 0; i < keys; i++)
        assert_ptr_equal(tt_index_find(v, i, hash_of(i)), expected(f, i));
    assert_null(tt_index_find(v, keys, hash_of(keys)));
}

/* The table that was, and the cells that are: the map of those may have grown too. */
static struct tc_index_view with_table(const struct tt_index *f, struct tc_bucket *buckets, size_t n)
{
    struct tc_index_view v = { .n = (uint32_t)n, .node_bytes = TT_INDEX_NODE, .buckets = buckets };
    atomic_store(&v.cells.apart, atomic_load(&f->view.cells.apart));
    return v;
}

/* A small table is copied in one call, and where there is no memory for both; else so many buckets at a time, or all if
 * there is no lane. */
enum { SMALL = TC_INDEX_CLOSE_BUCKETS, STEP = 16 };

static bool is_copied_now(size_t n, size_t copied, bool gap, enum tc_index_growth how)
{
    return n <= SMALL || how != TC_GROW_BESIDE || !gap || copied + STEP >= n;
}

/* The table was handed over, and holds what it held. */
static void assert_handed_over(struct tt_index *f, struct tc_bucket *buckets, size_t n, uint32_t keys)
{
    struct tc_index_view then = with_table(f, buckets, n);
    assert_int_equal(f->before->n, n);
    assert_holds(&then, f, keys);
    assert_holds(&f->view, f, keys + 1);
}

/* When one more would take more than that share of the lanes, or has no place; with thrift it takes another's then. */
static void assert_growth(struct tt_index *f, enum tc_index_growth how, unsigned full_sixteenths)
{
    bool thrift = how == TC_GROW_IF_CRAMMED;
    f->how = how;
    for (uint32_t i = 0; i < TT_INDEX_KEYS; i++) {
        struct tc_bucket *buckets = atomic_load(&f->view.buckets);
        size_t n = f->index.n, copied = f->index.copied;
        bool grows = f->index.next.n > 0, gap = has_gap(f, hash_of(i));
        bool full = (f->count + 1) * 16 > tc_index_lanes(&f->index) * full_sixteenths;
        uint64_t announced = tt_index_growth(f, hash_of(i)), bytes = f->bytes;
        assert_int_equal(announced > 0, !grows && (full || (!gap && !thrift)));
        assert_gap(f, hash_of(i), announced == 0 && gap && !grows);
        assert_int_equal(tt_index_insert(f, i, hash_of(i)), announced == 0 && !gap && !grows);
        grows = grows || announced > 0;
        bool over = grows && is_copied_now(n, copied, gap, how), both = n > SMALL && how == TC_GROW_BESIDE;
        assert_int_equal(f->bytes - bytes, announced - (over && both ? tt_index_table_bytes(n) : 0));
        assert_int_equal(f->index.n > n, over);
        assert_int_equal(f->index.copied, grows && !over ? copied + STEP : 0);
        assert_int_equal(f->index.next.n > 0, grows && !over);
        assert_int_equal(f->before != NULL, over && n > 0);
        if (f->before != NULL)
            assert_handed_over(f, buckets, n, i);
        tt_index_assert_bytes(f);
    }
    assert_true(f->index.n > 2 * SMALL);
    tt_index_assert_exact(f);
    tt_index_assert_all_found(f);
}

#define CASE(name, run, ...)      \
    static void name(void **state) \
    {                              \
        run(*state, __VA_ARGS__);  \
    }

CASE(growth_is_announced_to_the_byte_and_hands_over_the_table_before, assert_growth, TC_GROW_BESIDE, 14)
CASE(where_there_is_no_memory_for_both_it_grows_at_once, assert_growth, TC_GROW_AT_ONCE, 14)
CASE(a_thrifty_table_grows_when_nearly_all_lanes_are_taken, assert_growth, TC_GROW_IF_CRAMMED, 15)

static void no_lane_in_reach_lets_a_half_full_table_grow_and_no_emptier_one(void **state)
{
    struct tt_index *f = *state;
    tt_index_make_empty(f, 38);
    size_t n = f->index.n, home = n - 5, half = (tc_index_lanes(&f->index) + 1) / 2;
    uint32_t number = 0;
    for (; number < TC_INDEX_PROBES; number++)
        assert_int_equal(tt_index_insert(f, number, tt_index_hash_at(f, home, number)), 0);
    for (; f->count < half; number++) { /* no room beside them, but much elsewhere */
        uint64_t hash = tt_index_hash_at(f, home, number);
        bool failed;
        assert_int_equal(tt_index_growth(f, hash), 0);
        uint32_t named = tt_index_make_room(f, hash, &failed);
        assert_true(named != 0 && f->before == NULL && !failed);
        const struct tc_entry *e = tt_index_entry(f, named);
        assert_int_equal(f->cell[tt_index_number(e)], named);
        assert_true((tt_index_home(tt_hash_of(e), n) + n - home) % n <= TC_INDEX_REACH);
        assert_int_equal(tt_index_insert(f, number, hash), 1);
        number++;
        assert_int_equal(tt_index_insert(f, number, tt_index_hash_at(f, (home + 20) % n, number)), 0);
        tt_index_assert_exact(f);
    }
    assert_int_equal(f->index.n, n);
    assert_true(tt_index_growth(f, tt_index_hash_at(f, home, 0)) > 0);
    assert_int_equal(tt_index_growth(f, tt_index_hash_at(f, (home + 20) % n, 0)), 0); /* there is a gap there */
    assert_int_equal(tt_index_insert(f, number, tt_index_hash_at(f, home, 255)), 0);
    assert_true(f->index.n > n);
    tt_index_assert_exact(f);
    tt_index_assert_bytes(f);
}

static void no_lane_in_reach_costs_a_thrifty_table_the_entry_of_one(void **state)
{
    struct tt_index *f = *state;
    tt_index_make_empty(f, 38);
    size_t n = f->index.n, home = n - 5;
    uint32_t number = 0;
    for (; number < TC_INDEX_PROBES; number++)
        assert_int_equal(tt_index_insert(f, number, tt_index_hash_at(f, home, number)), 0);
    for (; f->count * 3 < tc_index_lanes(&f->index) * 2; number++)
        assert_int_equal(tt_index_insert(f, number, tt_index_hash_at(f, (home + 18) % n, number)), 0);
    assert_true(tt_index_growth(f, tt_index_hash_at(f, home, 0)) > 0);
    f->how = TC_GROW_IF_CRAMMED;
    for (size_t count = f->count; number < 2000; number++) {
        assert_int_equal(tt_index_growth(f, tt_index_hash_at(f, home, number)), 0);
        assert_int_equal(tt_index_insert(f, number, tt_index_hash_at(f, home, number)), 1);
        assert_int_equal(f->count, count);
    }
    assert_int_equal(f->index.n, n);
    tt_index_assert_exact(f);
}

/* Two homes beside each other that are one in the next larger table, with more keys than one home can have. */
static void a_table_that_does_not_fit_into_larger_ones_stays_and_stops_trying_at_twice_its_size(void **state)
{
    struct tt_index *f = *state;
    tt_index_make_empty(f, 38);
    size_t n = f->index.n, next = n + n / 4, home = 0;
    uint64_t last = 0;
    while (home == 0 || tt_index_home(last, next) != tt_index_home(last + 1, next))
        last = ((++home << 32) + n - 1) / n - 1;
    assert_true(home < n && tt_index_home(last, n) + 1 == tt_index_home(last + 1, n));
    uint32_t number = 0;
    for (; number < TC_INDEX_PROBES; number++)
        assert_int_equal(tt_index_insert(f, number, last + 1), 0);
    for (; number < TC_INDEX_PROBES + TC_INDEX_LANES; number++)
        assert_int_equal(tt_index_insert(f, number, last), 0);
    for (size_t i = 0; f->count * 2 < tc_index_lanes(&f->index); i++, number++)
        assert_int_equal(tt_index_insert(f, number, tt_index_hash_at(f, (home + 18 + i / 2) % n, number)), 0);
    assert_true(tt_index_growth(f, last) > 0);
    uint64_t calls = tt_alloc_counts(&f->counting).calls;
    for (size_t bytes; (bytes = tt_index_growth(f, last)) > 0; calls++) { /* each at a size that was not tried yet */
        assert_int_equal(tt_index_insert(f, number++, last), 1);
        assert_true(tt_index_growth(f, last) > bytes || tt_index_growth(f, last) == 0);
        tt_index_assert_bytes(f);
    }
    assert_int_equal(f->index.n, n);
    for (; number < 1400; number++)
        assert_in_range(tt_index_insert(f, number, hash_of(number)), 0, 1);
    assert_int_equal(tt_alloc_counts(&f->counting).calls, calls);
    tt_index_assert_exact(f);
    tt_index_assert_all_found(f);
    tt_index_assert_bytes(f);
}

/* The count is a lie that makes it grow: a table of that size would take too many entries. */
static void a_table_doubles_then_grows_by_a_quarter_and_by_an_eighth_however_large(void **state)
{
    struct tt_index *f = *state;
    struct tc_index *x = &f->index;
    while (x->n < 300000) {
        size_t n = x->n, least = n == 0 ? 2 : n < 16 ? 2 * n : n <= 128 ? n + n / 4 : n + n / 8;
        uint64_t bytes = tc_index_bytes(x), announced = tc_index_growth_bytes(x, 0, TC_GROW_BESIDE);
        size_t steps = 0;
        struct tc_index_room room;
        do {
            assert_int_equal(tc_index_make_room(x, &f->alloc, 0, TC_GROW_BESIDE, &room), 0);
            assert_false(room.failed);
            assert_int_equal(room.more_bytes, steps == 0 ? tt_index_table_bytes(least) : 0);
            assert_int_equal(room.fewer_bytes, x->n == n ? 0 : bytes);
            steps++;
        } while (x->n == n);
        assert_int_equal(announced, tt_index_table_bytes(least) - (n <= SMALL ? bytes : 0));
        assert_int_equal(tc_index_bytes(x), tt_index_table_bytes(least));
        assert_true(x->n == least);
        assert_int_equal(steps, n <= SMALL ? 1 : (n + STEP - 1) / STEP);
        assert_int_equal(atomic_load(&x->view->n), x->n);
        assert_int_equal(room.before != NULL ? room.before->n : 0, n);
        tc_block_close(&f->alloc, room.before);
        x->count = (uint32_t)(tc_index_lanes(x) - tc_index_lanes(x) / 8);
    }
    x->count = 0;
    f->cell[7] = tt_index_open(f, 7, UINT64_MAX);
    tc_index_insert(x, f->cell[7], UINT64_MAX, 0); /* the last bucket of all */
    assert_ptr_equal(tt_index_find(&f->view, 7, UINT64_MAX), expected(f, 7));
    bool found = false;
    for (size_t i = tc_index_lanes(x) - TC_INDEX_LANES; i < tc_index_lanes(x); i++)
        found = found || tc_index_cell(x, i) == f->cell[7];
    assert_true(found);
}

/* Who reads the number of buckets, and then the address of a table that has grown meanwhile. */
static void with_the_number_of_any_table_before_everything_is_found(void **state)
{
    struct tt_index *f = *state;
    enum { KEYS = 700 };
    for (uint32_t i = 0; i < KEYS; i++)
        assert_int_equal(tt_index_insert(f, i, hash_of(i)), 0);
    for (size_t n = 1; n <= f->index.n; n++) {
        struct tc_index_view v = with_table(f, atomic_load(&f->view.buckets), n);
        tc_index_prefetch_entry(&v, hash_of((uint32_t)n));
        assert_holds(&v, f, KEYS);
    }
}

/* ---- without memory ---- */

static void without_memory_for_the_first_table_nothing_changes(void **state)
{
    struct tt_index *f = *state;
    tt_alloc_fail(&f->counting, 1, true);
    assert_int_equal(tt_index_insert(f, 1, 1), -1);
    assert_int_equal(f->bytes, 0);
    assert_null(tt_index_find(&f->view, 1, 1));
    tt_alloc_fail(&f->counting, 0, false);
    assert_int_equal(tt_index_insert(f, 1, 1), 0);
    tt_index_assert_bytes(f);
}

/* In the small one any gap is near enough. */
static void assert_gives_up_one_for_one(struct tt_index *f, size_t n, size_t least)
{
    size_t most = 0;
    tt_index_make_empty(f, n);
    tt_alloc_fail(&f->counting, 1, true);
    for (uint32_t i = 0; i < 2000; i++) {
        assert_in_range(tt_index_insert(f, i, hash_of(i)), 0, 1);
        assert_ptr_equal(tt_index_find(&f->view, i, hash_of(i)), expected(f, i));
        assert_null(tt_index_find(&f->view, i + 1, hash_of(i + 1)));
        most = f->count > most ? f->count : most;
        if (i % 8 == 0)
            tt_index_remove(f, i);
        tt_index_assert_exact(f);
    }
    assert_in_range(most, least, tc_index_lanes(&f->index) - 1);
    tt_index_assert_all_found(f);
    assert_int_equal(f->index.n, n);
    tt_index_assert_bytes(f);
    tt_alloc_fail(&f->counting, 0, false);
    assert_int_equal(tt_index_insert(f, 2000, hash_of(2000)), 0);
    assert_int_equal(f->index.n, n + n / 4);
    tt_index_assert_exact(f);
}

CASE(a_small_table_that_cannot_grow_gives_up_one_entry_for_each_new_one, assert_gives_up_one_for_one, 16,
     16 * TC_INDEX_LANES - 1)
CASE(a_table_that_cannot_grow_gives_up_one_entry_for_each_new_one_until_it_can, assert_gives_up_one_for_one, 90,
     90 * TC_INDEX_LANES * 6 / 7)

#define TEST(f) cmocka_unit_test_setup_teardown(f, tt_index_setup, tt_index_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(growth_is_announced_to_the_byte_and_hands_over_the_table_before),
        TEST(where_there_is_no_memory_for_both_it_grows_at_once),
        TEST(a_thrifty_table_grows_when_nearly_all_lanes_are_taken),
        TEST(no_lane_in_reach_lets_a_half_full_table_grow_and_no_emptier_one),
        TEST(no_lane_in_reach_costs_a_thrifty_table_the_entry_of_one),
        TEST(a_table_that_does_not_fit_into_larger_ones_stays_and_stops_trying_at_twice_its_size),
        TEST(a_table_doubles_then_grows_by_a_quarter_and_by_an_eighth_however_large),
        TEST(with_the_number_of_any_table_before_everything_is_found),
        TEST(without_memory_for_the_first_table_nothing_changes),
        TEST(a_small_table_that_cannot_grow_gives_up_one_entry_for_each_new_one),
        TEST(a_table_that_cannot_grow_gives_up_one_entry_for_each_new_one_until_it_can),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
