/* A table that grows, between the first bucket that is copied and the last: what comes, goes and changes meanwhile does
 * so in the next one too, nobody who reads sees that one, and it can be given up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_hasher.h"
#include "unit/tt_index.h"

enum { STEP = 16 };

static uint64_t hash_of(uint32_t number)
{
    return tt_index_hash(number, TT_SPREAD);
}

static bool grows(const struct tt_index *f)
{
    return f->index.next.n > 0;
}

/* Fills it until it grows. Returns the number of the next key. */
static uint32_t begin(struct tt_index *f)
{
    uint32_t i = 0;
    while (!grows(f))
        assert_int_equal(tt_index_insert(f, i, hash_of(i)), 0), i++;
    assert_true(f->index.copied == STEP && f->index.n > TC_INDEX_CLOSE_BUCKETS);
    tt_index_assert_exact(f);
    return i;
}

/* To the end, with a call for each step. Returns how many that were. */
static size_t finish(struct tt_index *f)
{
    size_t calls = 0;
    for (bool failed; grows(f); calls++)
        assert_int_equal(tt_index_make_room(f, hash_of(0), &failed), 0);
    tt_index_assert_bytes(f);
    tt_index_assert_exact(f);
    tt_index_assert_all_found(f);
    return calls;
}

/* ---- what changes ---- */

static void change(struct tt_index *f, uint32_t number, uint64_t how)
{
    if (f->cell[number] == 0) {
        assert_in_range(tt_index_insert(f, number, hash_of(number)), 0, 1);
        return;
    }
    switch (how % 4) {
    case 0:
        tt_index_remove(f, number);
        break;
    case 1:
        tt_index_replace(f, number);
        break;
    case 2:
        tt_index_move(f, number);
        break;
    default:
        tt_index_recode(f, number);
    }
}

static void whatever_changes_while_it_grows_changes_in_both(void **state)
{
    struct tt_index *f = *state;
    uint64_t seed = tt_seed();
    size_t grown = 0;
    for (uint32_t round = 0; round < 6; round++) {
        uint32_t keys = begin(f);
        while (grows(f)) {
            for (int i = 0; i < 40; i++) {
                uint64_t number = tt_random(&seed) % keys;
                if (f->cell[number] != 0)
                    change(f, (uint32_t)number, tt_random(&seed));
            }
            assert_true(tc_index_check(&f->index));
            change(f, keys + (uint32_t)(tt_random(&seed) % 200), 0);
            tt_index_assert_exact(f);
        }
        grown++;
        tt_index_assert_all_found(f);
        tt_index_remove_all(f);
        tt_index_assert_exact(f);
    }
    assert_int_equal(grown, 6);
}

/* As make_room names them, from any lane in reach. */
static void one_that_takes_anothers_place_does_so_in_both(void **state)
{
    struct tt_index *f = *state;
    uint32_t number = begin(f), taken = 0;
    size_t n = f->index.n, home = STEP - 2; /* the nearest are copied, the others are not */
    for (size_t i = 0; i < TC_INDEX_PROBES; i++) {
        struct tc_bucket *b = tc_index_bucket(&f->index, (home + tt_index_offset(i / TC_INDEX_LANES, n)) % n);
        uint32_t old = tc_bucket_cell(b, i % TC_INDEX_LANES);
        if (old == 0)
            continue;
        uint64_t hash = tt_index_hash_at(f, home, i);
        uint32_t cell = tt_index_open(f, number, hash);
        f->cell[tt_index_number(tt_index_entry(f, old))] = 0;
        f->code[number] = (uint8_t)i;
        f->cell[number++] = cell;
        tc_index_replace(&f->index, old, cell, hash, (uint8_t)i);
        tt_index_let_go(f, old);
        tt_index_assert_exact(f);
        taken++;
    }
    assert_true(taken > TC_INDEX_PROBES / 2 && grows(f));
}

static void what_is_removed_before_and_behind_what_was_copied_is_in_neither(void **state)
{
    struct tt_index *f = *state;
    begin(f);
    size_t n = f->index.n;
    tt_index_remove_all(f);
    assert_true(grows(f));
    tt_index_assert_exact(f);
    assert_int_equal(finish(f), (n - 1) / STEP); /* the first step is done */
}

/* ---- readers ---- */

static void nobody_finds_in_the_next_one_what_left_this_one(void **state)
{
    struct tt_index *f = *state;
    uint32_t keys = begin(f);
    struct tc_bucket *buckets = atomic_load(&f->view.buckets);
    for (uint32_t i = 0; i < keys; i += 2)
        tt_index_remove(f, i);
    for (uint32_t i = 0; i < keys; i++)
        assert_int_equal(tt_index_find(&f->view, i, hash_of(i)) != NULL, i % 2 == 1);
    assert_true(grows(f) && atomic_load(&f->view.buckets) == buckets && atomic_load(&f->view.n) == f->index.n);
    finish(f);
    assert_ptr_not_equal(atomic_load(&f->view.buckets), buckets);
    for (uint32_t i = 0; i < keys; i++)
        assert_int_equal(tt_index_find(&f->view, i, hash_of(i)) != NULL, i % 2 == 1);
}

/* Who stores comes to the general way, which copies. */
static void while_it_grows_no_gap_is_named_and_what_is_there_is_found(void **state)
{
    struct tt_index *f = *state;
    uint32_t keys = begin(f), refs_of = 1;
    struct tc_index_gap gap;
    assert_false(tt_index_find_gap(f, hash_of(keys), &gap));
    struct cache_slice key = { &refs_of, sizeof refs_of };
    assert_int_equal(tc_index_find_or_gap(&f->index, hash_of(refs_of), key, false, &gap), f->cell[refs_of]);
    assert_non_null(gap.at.bucket);
    finish(f);
    assert_true(tt_index_find_gap(f, hash_of(keys), &gap));
}

/* ---- when it is not to be ---- */

/* Two homes that are one in the next table, with more keys than one home can have. */
static void one_that_finds_no_lane_in_the_next_table_ends_it(void **state)
{
    struct tt_index *f = *state;
    bool failed;
    uint32_t number = begin(f);
    size_t n = f->index.n, next = f->index.next.n;
    uint64_t bytes = tc_index_bytes(&f->index), last = ((UINT64_C(1) << 32) + n - 1) / n - 1;
    assert_true(tt_index_home(last, n) == 0 && tt_index_home(last + 1, n) == 1);
    assert_int_equal(tt_index_home(last, next), tt_index_home(last + 1, next));
    while (f->index.copied < tt_index_offset(TC_INDEX_REACH, n) + 1)
        assert_int_equal(tt_index_make_room(f, hash_of(0), &failed), 0);
    assert_true(grows(f));
    tt_index_remove_all(f);
    for (uint32_t i = 0; i <= TC_INDEX_PROBES; i++, number++) {
        assert_false(f->index.next_failed);
        f->code[number] = 0;
        f->cell[number] = tt_index_open(f, number, last + i % 2);
        tc_index_insert(&f->index, f->cell[number], last + i % 2, 0);
        f->count++;
        tt_index_assert_exact(f);
    }
    assert_true(f->index.next_failed && f->index.copied == 0);
    tt_index_replace(f, number - 1); /* in this one alone */
    tt_index_remove(f, number - 2);
    assert_int_equal(tt_index_make_room(f, hash_of(0), &failed), 0);
    assert_false(grows(f));
    assert_true(f->index.refused == next && f->index.n == n && tc_index_bytes(&f->index) < bytes);
    tt_index_assert_bytes(f);
    tt_index_assert_exact(f);
    tt_index_assert_all_found(f);
}

static void without_memory_it_does_not_begin_and_begins_when_there_is_some(void **state)
{
    struct tt_index *f = *state;
    tt_index_make_empty(f, 150);
    uint32_t i = 0;
    while (tt_index_growth(f, hash_of(i)) == 0)
        assert_int_equal(tt_index_insert(f, i, hash_of(i)), 0), i++;
    tt_alloc_fail(&f->counting, 1, true);
    for (uint32_t end = i + 20; i < end; i++)
        assert_int_equal(tt_index_insert(f, i, hash_of(i)), 0);
    assert_false(grows(f));
    tt_index_assert_bytes(f);
    tt_alloc_fail(&f->counting, 0, false);
    assert_int_equal(tt_index_insert(f, i, hash_of(i)), 0);
    assert_true(grows(f));
    tt_alloc_fail(&f->counting, 1, true);
    finish(f); /* nothing more is needed */
    tt_alloc_fail(&f->counting, 0, false);
}

/* Memory for both may have gone meanwhile. */
static void what_has_begun_ends_with_thrift_too(void **state)
{
    struct tt_index *f = *state;
    begin(f);
    size_t n = f->index.n;
    f->how = TC_GROW_IF_CRAMMED;
    assert_int_equal(finish(f), (n - 1) / STEP);
    assert_true(f->index.n > n);
}

/* As one does who wants its memory. */
static void the_next_table_can_be_given_up_and_begun_again(void **state)
{
    struct tt_index *f = *state;
    uint32_t next = begin(f);
    size_t n = f->index.n, bytes = tt_index_table_bytes(f->index.next.n);
    assert_int_equal(tc_index_give_up(&f->index, &f->alloc), bytes);
    f->bytes -= bytes;
    assert_false(grows(f));
    tt_index_assert_bytes(f);
    tt_index_assert_exact(f);
    assert_int_equal(tc_index_give_up(&f->index, &f->alloc), 0);
    for (uint32_t i = 0; i < next; i += 3)
        tt_index_replace(f, i);
    assert_int_equal(tt_index_insert(f, next, hash_of(next)), 0);
    assert_true(grows(f) && f->index.copied == STEP);
    finish(f);
    assert_true(f->index.n > n);
}

static void a_table_that_grows_can_be_closed(void **state)
{
    struct tt_index *f = *state;
    begin(f);
    tt_index_remove_all(f);
    assert_true(grows(f));
    tc_index_fini(&f->index, &f->alloc);
    f->bytes = 0;
    tt_index_assert_bytes(f);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tt_index_setup, tt_index_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(whatever_changes_while_it_grows_changes_in_both),
        TEST(one_that_takes_anothers_place_does_so_in_both),
        TEST(what_is_removed_before_and_behind_what_was_copied_is_in_neither),
        TEST(nobody_finds_in_the_next_one_what_left_this_one),
        TEST(while_it_grows_no_gap_is_named_and_what_is_there_is_found),
        TEST(one_that_finds_no_lane_in_the_next_table_ends_it),
        TEST(without_memory_it_does_not_begin_and_begins_when_there_is_some),
        TEST(what_has_begun_ends_with_thrift_too),
        TEST(the_next_table_can_be_given_up_and_begun_again),
        TEST(a_table_that_grows_can_be_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
