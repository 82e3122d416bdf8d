/* Pages that were filled and thinned out: after vacating them every entry is found with its bytes, it leaves when it
 * would have left, and who held one still reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/slab.h"
#include "policy/evict.h"
#include "tt_util.h"
#include "unit/tt_vacate.h"

enum { ENTRIES = TT_VACATE_ENTRIES_MOST, SIZES = 4 };

static size_t vacate(struct tt_stripe *f, bool reaps)
{
    return tt_vacate(f, tc_stripe_vacate_page, reaps);
}

/* ---- what is there ---- */

/* Pages are had back but for one that holds no more than others have room for. */
static void every_entry_is_found_and_the_pages_are_had_back(void **state)
{
    (void)state;
    for (uint64_t one_of = 2; one_of <= 50; one_of += 8)
        for (int reaps = 0; reaps < 2; reaps++) {
            struct tt_stripe f = { .r = NULL };
            tt_vacate_open(&f, "lru");
            for (uint64_t n = 0; n < ENTRIES; n++)
                tt_vacate_put(&f, n, n % 3, 100, n % 2 ? 5000 : 0);
            uint64_t full = f.s->slab.bytes, entries = 0, bytes = 0, types[3] = { 0 };
            tt_vacate_thin_out(&f, ENTRIES, one_of);
            uint64_t thin = f.s->slab.bytes, before = f.s->slab.free_bytes;
            for (uint64_t n = 0; n < ENTRIES; n++)
                if (tt_vacate_stays(n, one_of)) {
                    entries++;
                    types[n % 3]++;
                    bytes += tc_l1_entry_bytes(&f.r->l1, tt_stripe_entry(&f, tt_stripe_find(&f, n)));
                }
            assert_true(vacate(&f, reaps) > 0);
            assert_true(f.s->slab.bytes < thin && thin <= full && f.s->slab.free_bytes < before);
            assert_true(f.s->slab.free_bytes < TC_PAGE_BYTES);
            assert_true(f.s->slab.bytes <= bytes + 3 * TC_PAGE_BYTES); /* with the map, and heads of pages */
            for (uint64_t n = 0; n < ENTRIES; n++)
                tt_vacate_assert_found(&f, n, tt_vacate_stays(n, one_of), 100);
            assert_int_equal(f.s->index.count, entries);
            for (size_t t = 0; t < 3; t++)
                assert_int_equal(tt_stripe_entries(&f, t), types[t]);
            assert_false(tc_stripe_vacate_page(f.s, &f.dropped));
            assert_true(tt_stripe_close(&f));
        }
}

/* Where those of one size were, others have room. */
static void pages_of_one_size_make_room_for_another(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    static const size_t lens[SIZES] = { 40, 100, 170, 250 };
    tt_vacate_open(&f, "lru");
    uint64_t next = 0;
    for (int round = 0; round < 12; round++) {
        size_t len = lens[round % SIZES];
        uint64_t first = next;
        for (; f.s->granted - tc_stripe_bytes(f.s) > 40000; next++)
            tt_vacate_put(&f, next, 0, len, 0);
        assert_true(next - first > 100);
        for (uint64_t n = first; n < next; n++)
            if (!tt_vacate_stays(n, 20))
                tt_stripe_remove(&f, tt_stripe_find(&f, n));
        tt_stripe_reap(&f);
        vacate(&f, round % 2);
        for (uint64_t n = first; n < next; n++)
            tt_vacate_assert_found(&f, n, tt_vacate_stays(n, 20), len);
        assert_true(f.s->slab.free_bytes < 2 * SIZES * TC_PAGE_BYTES);
    }
    assert_true(tt_stripe_close(&f));
}

static uint32_t use_of(struct tt_stripe *f, uint64_t number)
{
    const struct tc_entry *e = tt_stripe_entry(f, tt_stripe_find(f, number));
    return ((const struct tc_use *)(const void *)e)[-1].at;
}

static void wheel_codes_and_times_go_with_the_entries(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    tt_vacate_open(&f, "lru-exact");
    for (uint64_t n = 0; n < ENTRIES; n++)
        tt_vacate_put(&f, n, 0, 100, n % 2 ? 1000 : 0);
    tt_vacate_thin_out(&f, ENTRIES, 10);
    uint32_t used_at[ENTRIES];
    for (uint64_t n = 0; n < ENTRIES; n++)
        used_at[n] = tt_vacate_stays(n, 10) ? use_of(&f, n) : 0;
    assert_true(vacate(&f, true) > 0);
    for (uint64_t n = 0; n < ENTRIES; n++)
        if (tt_vacate_stays(n, 10))
            assert_int_equal(use_of(&f, n), used_at[n]);
    tt_clock_advance(&f.r->time, 1000 + 2 * TC_WHEEL_TICK_MS);
    for (uint32_t i = 0; i < f.s->index.n; i++)
        tc_stripe_expire(f.s, tt_l1_now(f.r), &f.dropped);
    tt_stripe_reap(&f);
    for (uint64_t n = 0; n < ENTRIES; n++)
        tt_vacate_assert_found(&f, n, tt_vacate_stays(n, 10) && n % 2 == 0, 100);
    assert_true(tt_vacate_check(&f));
    assert_true(tt_stripe_close(&f));
}

/* ---- the order ---- */

static void victims_come_in_the_order_in_which_they_would_have_come(void **state)
{
    const struct tt_vacate_load load = { tc_stripe_vacate_page, ENTRIES, 4, 100 };
    uint64_t seed = tt_seed();
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(tt_vacate_policies); i++)
        for (int again = 0; again < 5; again++)
            tt_vacate_assert_order(&load, tt_vacate_policies[i], tt_random(&seed));
}

/* ---- who holds one ---- */

enum { HELD = 60 };

static void what_was_pinned_stays_readable_and_its_page_goes_after_it(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    struct tc_entry *held[HELD];
    uint64_t number[HELD];
    size_t n_held = 0;
    tt_vacate_open(&f, "lru");
    for (uint64_t n = 0; n < ENTRIES; n++)
        tt_vacate_put(&f, n, 0, 100, 0);
    tt_vacate_thin_out(&f, ENTRIES, 5);
    for (uint64_t n = 0; n < ENTRIES && n_held < HELD; n++)
        if (tt_vacate_stays(n, 5) && n % 4 == 0) {
            number[n_held] = n;
            held[n_held] = tt_stripe_entry(&f, tt_stripe_find(&f, n));
            tc_l1_pin(&f.r->l1, held[n_held++]);
        }
    assert_int_equal(n_held, HELD);
    assert_true(vacate(&f, false) > 0);
    uint64_t detached = 0, moved = 0;
    for (size_t i = 0; i < HELD; i++) {
        struct tc_entry *now = tt_stripe_entry(&f, tt_stripe_find(&f, number[i]));
        assert_true(tt_l1_is_value(tc_entry_data(held[i]), tc_entry_len(held[i]), number[i], NULL));
        assert_int_equal(tc_entry_is_in_l1(held[i]), now == held[i]);
        moved += now != held[i];
        detached += now != held[i] ? tc_l1_entry_bytes(&f.r->l1, held[i]) : 0;
    }
    assert_true(moved > 0);
    assert_int_equal(tt_l1_detached_bytes(f.r), detached);
    uint64_t before = f.s->slab.bytes;
    for (size_t i = 0; i < HELD; i++) {
        tt_stripe_release(&f, held[i]);
        assert_true(tt_vacate_check(&f));
    }
    assert_int_equal(tt_l1_detached_bytes(f.r), 0);
    assert_true(f.s->slab.bytes < before); /* those that held entries in closing pages let them go */
    vacate(&f, true);
    assert_true(f.s->slab.free_bytes < TC_PAGE_BYTES);
    for (uint64_t n = 0; n < ENTRIES; n++)
        tt_vacate_assert_found(&f, n, tt_vacate_stays(n, 5), 100);
    assert_true(tt_stripe_close(&f));
}

/* What left the table before and waits, or is held by callers only, is not moved, nor does it come back. */
static void what_had_left_does_not_come_back(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    tt_vacate_open(&f, "lru");
    for (uint64_t n = 0; n < ENTRIES; n++)
        tt_vacate_put(&f, n, 0, 100, 0);
    tt_vacate_thin_out(&f, ENTRIES, 5);
    struct tc_entry *held[ENTRIES] = { NULL };
    size_t gone = 0, pins = 0;
    for (uint64_t n = 0; n < ENTRIES; n++)
        if (tt_vacate_stays(n, 5) && !tt_vacate_stays(n, 25)) {
            uint32_t cell = tt_stripe_find(&f, n);
            if (n % 7 == 0) {
                held[n] = tt_stripe_entry(&f, cell);
                tc_l1_pin(&f.r->l1, held[n]);
                pins++;
            }
            tt_stripe_remove(&f, cell);
            if (++gone % 20 == 0)
                tc_stripe_reap(f.s, 10, &f.dropped); /* half of them wait */
        }
    assert_true(vacate(&f, false) > 0 && pins > 0);
    for (uint64_t n = 0; n < ENTRIES; n++) {
        tt_vacate_assert_found(&f, n, tt_vacate_stays(n, 25), 100);
        if (held[n] == NULL)
            continue;
        assert_true(tt_l1_is_value(tc_entry_data(held[n]), tc_entry_len(held[n]), n, NULL));
        assert_true(held[n]->refs & TC_ENTRY_DETACHED);
        tt_stripe_release(&f, held[n]);
    }
    vacate(&f, true);
    assert_true(f.s->slab.free_bytes < TC_PAGE_BYTES);
    for (uint64_t n = 0; n < ENTRIES; n++)
        tt_vacate_assert_found(&f, n, tt_vacate_stays(n, 25), 100);
    assert_true(tt_stripe_close(&f));
}

/* ---- where nothing is to be had ---- */

static void full_pages_and_what_lies_apart_stay(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    tt_vacate_open(&f, "lru");
    assert_false(tc_stripe_vacate_page(f.s, &f.dropped));
    for (uint64_t n = 0; n < 20; n++)
        tt_vacate_put(&f, n, 0, 5000, 0);
    assert_false(tc_stripe_vacate_page(f.s, &f.dropped));
    for (uint64_t n = 20; n < 1000; n++)
        tt_vacate_put(&f, n, 0, 100, 0);
    assert_false(tc_stripe_vacate_page(f.s, &f.dropped)); /* one page has room at most */
    for (uint64_t n = 0; n < 1000; n++)
        assert_int_not_equal(tt_stripe_find(&f, n), 0);
    assert_true(tt_stripe_close(&f));
}

/* No memory is asked for: it is done where there is none. */
static void vacating_takes_no_memory(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    tt_vacate_open(&f, "lru");
    for (uint64_t n = 0; n < ENTRIES; n++)
        tt_vacate_put(&f, n, 0, 100, 0);
    tt_vacate_thin_out(&f, ENTRIES, 3);
    uint64_t calls = tt_alloc_counts(&f.r->counting).calls;
    tt_alloc_fail(&f.r->counting, 1, true);
    assert_true(vacate(&f, true) > 0);
    assert_int_equal(tt_alloc_counts(&f.r->counting).calls, calls);
    tt_alloc_fail(&f.r->counting, 0, false);
    for (uint64_t n = 0; n < ENTRIES; n++)
        tt_vacate_assert_found(&f, n, tt_vacate_stays(n, 3), 100);
    assert_true(tt_stripe_close(&f));
}

static void a_policy_that_cannot_rename_keeps_its_entries_where_they_are(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    struct cache_evict_ops ops = *cache_evict_policy("sieve");
    ops.move = NULL;
    tt_stripe_open(&f, &ops, true);
    for (uint64_t n = 0; n < ENTRIES; n++)
        tt_vacate_put(&f, n, 0, 100, 0);
    tt_vacate_thin_out(&f, ENTRIES, 10);
    uint64_t bytes = f.s->slab.bytes;
    assert_false(tc_stripe_vacate_page(f.s, &f.dropped));
    assert_int_equal(f.s->slab.bytes, bytes);
    for (uint64_t n = 0; n < ENTRIES; n++)
        tt_vacate_assert_found(&f, n, tt_vacate_stays(n, 10), 100);
    assert_true(tt_stripe_close(&f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_is_found_and_the_pages_are_had_back),
        cmocka_unit_test(pages_of_one_size_make_room_for_another),
        cmocka_unit_test(wheel_codes_and_times_go_with_the_entries),
        cmocka_unit_test(victims_come_in_the_order_in_which_they_would_have_come),
        cmocka_unit_test(what_was_pinned_stays_readable_and_its_page_goes_after_it),
        cmocka_unit_test(what_had_left_does_not_come_back),
        cmocka_unit_test(full_pages_and_what_lies_apart_stay),
        cmocka_unit_test(vacating_takes_no_memory),
        cmocka_unit_test(a_policy_that_cannot_rename_keeps_its_entries_where_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
