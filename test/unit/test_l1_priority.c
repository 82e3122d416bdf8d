/* Priorities of types: under pressure of memory the entries of each stay in proportion to it, and without pressure
 * nothing happens to anybody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/evict.h"
#include "tt_util.h"
#include "unit/tt_l1.h"

enum { LIMIT = 1 << 20, STRIPES = 2, LEN = 100, MANY = 40000 };

static const struct cache_evict_ops *const policies[] = { NULL, &tc_evict_lru_exact, &tc_evict_sieve };

static void set_priority(struct tt_l1 *r, size_t type, int64_t priority)
{
    r->policies[type].l1_priority = priority;
    tc_type_set_policy(r->types[type], &r->policies[type], tt_l1_now(r));
}

/* As many of the one type as of the other, a millisecond apart. */
static void store_both(struct tt_l1 *r, uint64_t from, uint64_t n)
{
    for (uint64_t i = from; i < from + n; i++) {
        struct tt_l1_put p = { .type = i % 2, .len = LEN, .advance = true };
        assert_int_equal(tt_l1_put_with(r, tt_l1_key(r, i), &p), CACHE_OK);
        tt_clock_advance(&r->time, 1);
    }
}

static double share(struct tt_l1 *r)
{
    return (double)tt_l1_type_entries(r, 0) / (double)tt_l1_type_entries(r, 1);
}

static void entries_stay_in_proportion_to_their_types_priority(void **state)
{
    static const struct { int64_t first, second; double least, most; } cases[] = {
        { 0, 0, 0.95, 1.05 }, { 1, 0, 1.8, 2.2 }, { 0, -1, 1.8, 2.2 }, { 2, 0, 3.5, 4.5 }, { 1, 1, 0.9, 1.1 },
        { 0, 2, 0.22, 0.28 }, { -2, 0, 0.22, 0.28 },
    };
    (void)state;
    for (size_t policy = 0; policy < TC_ARRAY_LEN(policies); policy++)
        for (size_t i = 0; i < TC_ARRAY_LEN(cases); i++) {
            struct tt_l1 *r = tt_l1_new(LIMIT, STRIPES, policies[policy]);
            set_priority(r, 0, cases[i].first);
            set_priority(r, 1, cases[i].second);
            store_both(r, 0, MANY);
            assert_true(share(r) >= cases[i].least && share(r) <= cases[i].most);
            assert_true(tt_l1_free(r));
        }
}

static void a_priority_may_come_and_go(void **state)
{
    (void)state;
    struct tt_l1 *r = tt_l1_new(LIMIT, STRIPES, NULL);
    store_both(r, 0, MANY);
    set_priority(r, 0, 2);
    store_both(r, MANY, MANY);
    assert_true(share(r) >= 3.5 && share(r) <= 4.5);
    set_priority(r, 0, 0);
    store_both(r, 2 * MANY, MANY);
    assert_true(share(r) >= 0.95 && share(r) <= 1.05);
    assert_true(tt_l1_free(r));
}

/* What is used all the time stays, however little its type counts. */
static void use_counts_for_more_than_a_small_priority(void **state)
{
    (void)state;
    struct tt_l1 *r = tt_l1_new(LIMIT, STRIPES, NULL);
    set_priority(r, 1, 2);
    store_both(r, 0, 400);
    for (uint64_t i = 0; i < MANY; i++) {
        struct tt_l1_put p = { .type = 1, .len = LEN, .advance = true };
        assert_int_equal(tt_l1_put_with(r, tt_l1_key(r, 1000 + i), &p), CACHE_OK);
        tt_clock_advance(&r->time, 1);
        tt_l1_has(r, tt_l1_key(r, i % 200 * 2)); /* those of type 0 */
    }
    assert_int_equal(tt_l1_type_entries(r, 0), 200);
    assert_true(tt_l1_free(r));
}

static void where_all_fits_nobody_leaves(void **state)
{
    (void)state;
    struct tt_l1 *r = tt_l1_new(LIMIT, STRIPES, NULL);
    set_priority(r, 0, 8);
    set_priority(r, 1, -8);
    store_both(r, 0, 2000);
    assert_int_equal(tt_l1_type_entries(r, 0) + tt_l1_type_entries(r, 1), 2000);
    assert_true(tt_l1_free(r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_stay_in_proportion_to_their_types_priority),
        cmocka_unit_test(a_priority_may_come_and_go),
        cmocka_unit_test(use_counts_for_more_than_a_small_priority),
        cmocka_unit_test(where_all_fits_nobody_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
