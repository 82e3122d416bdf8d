/* Storing when memory fails: at each allocation in turn, once or for ever. The value is stored or refused, its
 * predecessor is gone, the account is exact and nothing leaks. Only through tier/l1/l1.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_l1.h"

enum { LIMIT = 1 << 20, STRIPES = 2, SWEEP_MAX = 40 };

/* Puts with the nth allocation failing; n grows until a whole put went by without. */
static void sweep(void (*prepare)(struct tt_l1 *, uint64_t), const struct tt_l1_put *p, bool for_ever)
{
    uint64_t nth = 1;
    for (bool failed = true; failed; nth++) {
        assert_true(nth < SWEEP_MAX);
        struct tt_l1 *r = tt_l1_new(LIMIT, STRIPES, NULL);
        struct tt_l1_key k = tt_l1_key_in(r, 7, 0);
        r->policies[1].l1_quota_entries = 5;
        prepare(r, 0);
        tt_alloc_fail(&r->counting, nth, for_ever);
        int rc = tt_l1_put_with(r, k, p);
        failed = tt_alloc_counts(&r->counting).failed > 0;
        tt_alloc_fail(&r->counting, 0, false);
        assert_true(rc == CACHE_OK || rc == CACHE_E_NOMEM);
        assert_true(rc == CACHE_OK || failed);
        assert_true(tc_l1_check(&r->l1));
        if (rc == CACHE_OK)
            assert_true(tt_l1_has(r, k));
        assert_int_equal(tt_l1_put_with(r, k, p), CACHE_OK); /* with memory it works again */
        assert_true(tt_l1_has(r, k));
        for (uint64_t i = 0; i < 300; i++)
            assert_int_equal(tt_l1_put(r, tt_l1_key_in(r, 1000 + i, 0), 50), CACHE_OK);
        assert_true(tt_l1_free(r));
    }
    assert_true(nth > 2); /* something was there to fail */
}

static void nothing(struct tt_l1 *r, uint64_t unused)
{
    (void)r;
    (void)unused;
}

static void a_predecessor(struct tt_l1 *r, uint64_t unused)
{
    (void)unused;
    tt_l1_put(r, tt_l1_key_in(r, 7, 0), 300);
}

/* Until the next entry makes the table grow, found out by watching what is allocated beside the entries. */
static void a_table_about_to_grow(struct tt_l1 *r, uint64_t unused)
{
    (void)unused;
    for (uint64_t i = 0; i < 11; i++) /* seven tenths of 16 slots */
        tt_l1_put(r, tt_l1_key_in(r, 100 + i, 0), 30);
}

static const struct tt_l1_put plain = { .len = 100, .ttl_ms = 5000, .advance = true };
static const struct tt_l1_put under_quota = { .type = 1, .len = 100, .advance = true };

static void a_first_put_survives_each_failure(void **state)
{
    (void)state;
    sweep(nothing, &plain, false);
    sweep(nothing, &plain, true);
}

static void a_replacement_survives_each_failure(void **state)
{
    (void)state;
    sweep(a_predecessor, &plain, false);
    sweep(a_predecessor, &plain, true);
}

static void a_put_that_makes_the_table_grow_survives_each_failure(void **state)
{
    (void)state;
    sweep(a_table_about_to_grow, &plain, false);
    sweep(a_table_about_to_grow, &plain, true);
}

static void a_put_under_a_quota_survives_each_failure(void **state)
{
    (void)state;
    sweep(nothing, &under_quota, false);
    sweep(nothing, &under_quota, true);
    sweep(a_table_about_to_grow, &under_quota, false);
    sweep(a_table_about_to_grow, &under_quota, true);
}

/* The value that could not be stored was a write: what it would have replaced must not answer any more. */
static void a_write_that_finds_no_memory_in_l1_leaves_no_older_value(void **state)
{
    (void)state;
    struct tt_l1 *r = tt_l1_new(LIMIT, STRIPES, NULL);
    struct tt_l1_key k = tt_l1_key_in(r, 7, 0);
    struct tc_entry *e = tt_l1_entry(r, k, &plain);
    uint64_t generation = tc_l1_generation(&r->l1, k.hash);
    tt_alloc_fail(&r->counting, 1, true); /* not even the first table */
    assert_int_equal(tc_l1_put(&r->l1, e, &r->policies[0], NULL, true), CACHE_E_NOMEM);
    tt_alloc_fail(&r->counting, 0, false);
    assert_false(tt_l1_has(r, k));
    assert_int_not_equal(tc_l1_generation(&r->l1, k.hash), generation);
    tc_l1_drop(&r->l1, e);
    assert_true(tt_l1_free(r));
}

/* Entries have memory, tables never grow. */
static void without_memory_for_tables_the_cache_goes_on_with_what_it_has(void **state)
{
    (void)state;
    struct tt_l1 *r = tt_l1_new(LIMIT, STRIPES, NULL);
    for (size_t stripe = 0; stripe < STRIPES; stripe++)
        tt_l1_put(r, tt_l1_key_in(r, stripe, stripe), 10);
    for (uint64_t n = 0; n < 2000; n++) {
        struct tc_entry *e = tt_l1_entry(r, tt_l1_key(r, 100 + n), &(struct tt_l1_put){ .len = 10 });
        tt_alloc_fail(&r->counting, 1, true);
        assert_int_equal(tc_l1_put(&r->l1, e, &r->policies[0], NULL, true), CACHE_OK);
        tt_alloc_fail(&r->counting, 0, false);
        tc_l1_drop(&r->l1, e);
        assert_true(tt_l1_has(r, tt_l1_key(r, 100 + n)));
        if (n % 100 == 0)
            assert_true(tc_l1_check(&r->l1));
    }
    assert_true(tt_l1_free(r));
}

/* As tt_l1_put_with, but with memory for the entry alone. */
static int put_without_table_memory(struct tt_l1 *r, uint64_t number, size_t type, size_t len)
{
    struct tc_entry *e = tt_l1_entry(r, tt_l1_key(r, number), &(struct tt_l1_put){ .type = type, .len = len });
    tt_alloc_fail(&r->counting, 1, true);
    int rc = tc_l1_put(&r->l1, e, &r->policies[type], NULL, true);
    tt_alloc_fail(&r->counting, 0, false);
    tc_l1_drop(&r->l1, e);
    return rc;
}

/* All memory is given out, the table wants to grow since long; then a larger value of the type's oldest key, at its
 * quota, is the first to find memory for the growth. */
static void a_growth_that_was_put_off_is_paid_for_when_it_comes(void **state)
{
    (void)state;
    enum { ENTRIES = 800, LEN = 500 };
    struct tt_l1 *r = tt_l1_new(LIMIT, 1, NULL);
    r->policies[1].l1_quota_bytes = LIMIT;
    for (uint64_t n = 0; n < ENTRIES; n++) {
        int rc = n < 700 ? tt_l1_put_with(r, tt_l1_key(r, n), &(struct tt_l1_put){ .type = 1, .len = LEN })
                         : put_without_table_memory(r, n, 1, LEN);
        assert_int_equal(rc, CACHE_OK);
    }
    put_without_table_memory(r, 5000, 2, 0);
    put_without_table_memory(r, 5000, 2, LIMIT - tc_l1_bytes(&r->l1) - 400); /* leaves little more than an order */
    assert_in_range(LIMIT - tc_l1_bytes(&r->l1), 200, 500);
    r->policies[1].l1_quota_bytes = tt_l1_type_bytes(r, 1);
    for (uint64_t n = 0; n < 20; n++) {
        int rc = tt_l1_put_with(r, tt_l1_key(r, n), &(struct tt_l1_put){ .type = 1, .len = LEN + 16 });
        assert_int_equal(rc, CACHE_OK);
        assert_true(tc_l1_check(&r->l1));
    }
    assert_true(tt_l1_type_bytes(r, 1) <= r->policies[1].l1_quota_bytes);
    assert_true(tt_l1_free(r));
}

static void memory_that_fails_at_random_leaves_everything_in_order(void **state)
{
    (void)state;
    struct tt_l1 *r = tt_l1_new(LIMIT, STRIPES, NULL);
    uint64_t seed = tt_seed();
    r->policies[1].l1_quota_entries = 100;
    r->policies[2].l1_quota_bytes = 50000;
    size_t refused = 0;
    for (int step = 0; step < 40000; step++) {
        struct tt_l1_key k = tt_l1_key(r, tt_random(&seed) % 3000);
        struct tt_l1_put p = { .type = tt_random(&seed) % TT_L1_TYPES, .len = tt_random(&seed) % 700,
                               .ttl_ms = (int64_t)(tt_random(&seed) % 3000), .advance = true };
        tt_alloc_fail(&r->counting, tt_random(&seed) % 4, tt_random(&seed) % 8 == 0);
        int rc = tt_l1_put_with(r, k, &p);
        tt_alloc_fail(&r->counting, 0, false);
        assert_true(rc == CACHE_OK || rc == CACHE_E_NOMEM);
        refused += rc != CACHE_OK;
        assert_true(rc != CACHE_OK || tt_l1_has(r, k));
        assert_true(tc_l1_bytes(&r->l1) <= LIMIT);
        if (step % 1000 == 0) {
            assert_true(tc_l1_check(&r->l1));
            tt_clock_advance(&r->time, 500);
        }
    }
    assert_true(refused > 1000);
    assert_true(tt_l1_free(r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_put_survives_each_failure),
        cmocka_unit_test(a_replacement_survives_each_failure),
        cmocka_unit_test(a_put_that_makes_the_table_grow_survives_each_failure),
        cmocka_unit_test(a_put_under_a_quota_survives_each_failure),
        cmocka_unit_test(a_write_that_finds_no_memory_in_l1_leaves_no_older_value),
        cmocka_unit_test(without_memory_for_tables_the_cache_goes_on_with_what_it_has),
        cmocka_unit_test(a_growth_that_was_put_off_is_paid_for_when_it_comes),
        cmocka_unit_test(memory_that_fails_at_random_leaves_everything_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
