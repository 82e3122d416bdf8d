/* Memory that stripes give each other, beside a second thread that uses the cache: then nothing that is evicted in a
 * page is there at once, and who takes more than he needs meanwhile empties the cache. Both kinds of memory, and alone
 * too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/evict.h"
#include "tt_util.h"
#include "unit/tt_l1.h"

enum { LIMIT = 16 << 20, STRIPES = 8, LEN = 100, APART_STRIPES = 64 };

static struct tt_l1 *open_l1(size_t stripes, bool beside_another)
{
    struct tt_l1 *r = tt_l1_new(LIMIT, stripes, NULL);
    assert_int_equal(r->l1.paged, stripes == STRIPES);
    assert_non_null(tc_reader_self(&r->l1.readers));
    if (beside_another)
        tt_l1_have_company(r);
    return r;
}

static int setup_paged(void **state)
{
    *state = open_l1(STRIPES, true);
    return 0;
}

static int setup_apart(void **state)
{
    *state = open_l1(APART_STRIPES, true);
    return 0;
}

static int setup_alone(void **state)
{
    *state = open_l1(STRIPES, false);
    return 0;
}

static int teardown(void **state)
{
    return tt_l1_free(*state) ? 0 : -1;
}

static void fill(struct tt_l1 *r)
{
    for (uint64_t i = 0; i < LIMIT / LEN; i++)
        assert_int_equal(tt_l1_put(r, tt_l1_key(r, i), LEN), CACHE_OK);
}

static void a_large_value_drives_out_about_its_size(void **state)
{
    struct tt_l1 *r = *state;
    static const size_t sizes[] = { LIMIT / 64, LIMIT / 16, LIMIT / 8, LIMIT / 3 };
    for (size_t i = 0; i < TC_ARRAY_LEN(sizes); i++) {
        fill(r);
        uint64_t before = tt_l1_type_entries(r, 0);
        struct tt_l1_put p = { .type = 1, .len = sizes[i], .advance = true };
        assert_int_equal(tt_l1_put_with(r, tt_l1_key(r, 1000000 + i), &p), CACHE_OK);
        assert_true(tt_l1_has(r, tt_l1_key(r, 1000000 + i)));
        uint64_t gone = before - tt_l1_type_entries(r, 0), fair = before * sizes[i] / LIMIT;
        assert_true(gone <= fair + fair / 4 + before / 20); /* and some pages more */
        assert_true(tc_l1_check(&r->l1));
        tt_l1_invalidate(r, tt_l1_key(r, 1000000 + i));
    }
}

static void clearing_gives_the_memory_back(void **state)
{
    struct tt_l1 *r = *state;
    fill(r);
    tc_l1_clear(&r->l1);
    assert_int_equal(tt_l1_type_entries(r, 0), 0);
    assert_true(tt_alloc_counts(&r->counting).live_bytes < LIMIT / 5); /* tables and orders, mostly */
    assert_true(tc_l1_bytes(&r->l1) < LIMIT / 5);
    assert_true(tc_l1_check(&r->l1));
}

/* The call has no time but for its first step: stores bring the rest back. */
static void a_lower_limit_that_was_not_reached_is_reached_by_storing(void **state)
{
    struct tt_l1 *r = *state;
    fill(r);
    assert_int_equal(tc_l1_resize(&r->l1, LIMIT / 2, tt_l1_now(r) - 1), CACHE_E_TIMEOUT);
    assert_true(tc_l1_bytes(&r->l1) > LIMIT / 2);
    for (uint64_t i = 0; i < 3 * LIMIT / LEN; i++)
        assert_int_equal(tt_l1_put(r, tt_l1_key(r, 500000 + i), LEN), CACHE_OK);
    assert_true(tc_l1_bytes(&r->l1) <= LIMIT / 2);
    assert_true(tt_alloc_counts(&r->counting).live_bytes <= LIMIT / 2 + 65536);
    assert_true(tc_l1_check(&r->l1));
}

/* Before a page of a full stripe can be had back, a part of the stripe has to be evicted. Others wait for the lock. */
static void a_store_that_pays_evicts_a_few_at_a_time(void **state)
{
    enum { FEW = 256, OWED = 64 << 10, CALLS_MOST = 20000 };
    struct tt_l1 *r = *state;
    struct tc_stripe *s = &r->l1.stripes[0];
    fill(r);
    assert_true(atomic_load(&r->l1.pool) >= 0);
    atomic_fetch_sub(&r->l1.pool, atomic_load(&r->l1.pool) + OWED);
    atomic_store(&r->l1.fair, s->granted - OWED);
    unsigned calls = 0;
    for (; atomic_load(&r->l1.pool) < 0; calls++) {
        struct tc_dropped dropped = { .first = NULL };
        uint64_t before = tt_l1_type_entries(r, 0);
        tc_lock_acquire(&s->lock);
        tc_l1_pay(&r->l1, s, &dropped);
        tc_l1_leave(&r->l1, s, &dropped);
        assert_true(before - tt_l1_type_entries(r, 0) <= FEW);
        assert_true(calls < CALLS_MOST);
        tc_limbo_pass(&r->l1);
    }
    assert_true(calls >= OWED / TC_PAGE_BYTES);
    atomic_fetch_add(&r->l1.pool, OWED);
    assert_true(tc_l1_check(&r->l1));
}

static void store_while_memory_is_owed(const struct cache_evict_ops *evict, bool beside_another)
{
    struct tt_l1 *r = tt_l1_new(LIMIT, STRIPES, evict);
    uint64_t stored = 0;
    if (beside_another)
        tt_l1_have_company(r);
    fill(r);
    assert_int_equal(tc_l1_resize(&r->l1, LIMIT / 2, tt_l1_now(r) - 1), CACHE_E_TIMEOUT);
    for (; atomic_load(&r->l1.pool) < 0; stored++) {
        struct tt_l1_key k = tt_l1_key(r, 500000 + stored);
        assert_true(stored < 4 * LIMIT / LEN);
        assert_int_equal(tt_l1_put(r, k, LEN), CACHE_OK);
        assert_true(tt_l1_has(r, k));
    }
    assert_true(stored > LIMIT / 4 / TC_PAGE_BYTES);
    assert_true(tt_l1_free(r));
}

/* Some policies name the newest as the next to leave. */
static void what_is_stored_stays_though_memory_is_owed(void **state)
{
    static const char *const policies[] = { "lru", "lru-exact", "sieve", "s3-fifo", "lfu", "w-tinylfu" };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(policies); i++)
        for (int beside_another = 0; beside_another < 2; beside_another++)
            store_while_memory_is_owed(cache_evict_policy(policies[i]), beside_another);
}

static void limits_that_cannot_be_counted_are_refused(void **state)
{
    struct tt_l1 *r = *state;
    static const uint64_t nonsense[] = { UINT64_MAX, UINT64_MAX / 2 + 1, (uint64_t)INT64_MAX + 1 };
    fill(r);
    uint64_t before = tt_l1_type_entries(r, 0);
    for (size_t i = 0; i < TC_ARRAY_LEN(nonsense); i++)
        assert_int_equal(tc_l1_resize(&r->l1, nonsense[i], tt_l1_now(r) + 1000), CACHE_E_INVALID);
    assert_int_equal(tt_l1_type_entries(r, 0), before);
    assert_int_equal(tc_l1_limit(&r->l1), LIMIT);
}

#define EACH(test)                                                                          \
    { #test ", in_pages", test, setup_paged, teardown, NULL },                              \
        { #test ", apart", test, setup_apart, teardown, NULL },                             \
        { #test ", in_pages_alone", test, setup_alone, teardown, NULL }

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(a_large_value_drives_out_about_its_size),
        EACH(clearing_gives_the_memory_back),
        EACH(a_lower_limit_that_was_not_reached_is_reached_by_storing),
        EACH(a_store_that_pays_evicts_a_few_at_a_time),
        EACH(limits_that_cannot_be_counted_are_refused),
        cmocka_unit_test(what_is_stored_stays_though_memory_is_owed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
