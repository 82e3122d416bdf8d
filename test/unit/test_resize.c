/* Another limit while the cache is in use: what is stored goes by it at once, memory is given back, nobody waits long,
 * and the values that stay are whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "fake/tt_cache.h"
#include "policy/evict.h"
#include "unit/tt_l1.h"

enum { LARGE = 16 << 20, SMALL = 4 << 20, TINY = 1 << 20, LEN = 100 };

static void fill(struct tt_l1 *r, uint64_t from, uint64_t n)
{
    for (uint64_t i = from; i < from + n; i++)
        assert_int_equal(tt_l1_put(r, tt_l1_key(r, i), LEN), CACHE_OK);
}

static int resize(struct tt_l1 *r, uint64_t limit)
{
    return tc_l1_resize(&r->l1, limit, tt_l1_now(r) + 1000);
}

static void assert_within(struct tt_l1 *r, uint64_t limit)
{
    assert_true(tc_l1_bytes(&r->l1) <= limit);
    assert_true(tt_alloc_counts(&r->counting).live_bytes <= limit + tt_l1_detached_bytes(r) + 65536);
    assert_true(tc_l1_check(&r->l1));
}

static size_t held(struct tt_l1 *r, uint64_t from, uint64_t n)
{
    size_t sum = 0;
    for (uint64_t i = from; i < from + n; i++)
        sum += tt_l1_has(r, tt_l1_key(r, i));
    return sum;
}

/* In pages, and apart. */
static const struct {
    uint64_t limit, less;
    size_t stripes;
    bool paged;
} kinds[] = { { LARGE, SMALL, 4, true }, { TINY, TINY / 4, 8, false } };

static void a_lower_limit_holds_when_the_call_returns(void **state)
{
    (void)state;
    for (size_t k = 0; k < TC_ARRAY_LEN(kinds); k++) {
        struct tt_l1 *r = tt_l1_new(kinds[k].limit, kinds[k].stripes, NULL);
        uint64_t n = kinds[k].limit / 100;
        assert_int_equal(r->l1.paged, kinds[k].paged);
        fill(r, 0, n);
        assert_true(tc_l1_bytes(&r->l1) > kinds[k].less);
        assert_int_equal(resize(r, kinds[k].less), CACHE_OK);
        assert_within(r, kinds[k].less);
        /* What was used last is what is left, and most of the smaller memory is in use. */
        assert_true(held(r, n - kinds[k].less / 600, kinds[k].less / 600) > kinds[k].less / 600 * 19 / 20);
        fill(r, n, n);
        assert_within(r, kinds[k].less);
        assert_true(tt_l1_free(r));
    }
}

/* With few entries of each size none can be moved together, and what one leaves is not a whole page. */
static void a_limit_is_lowered_a_little_where_sizes_are_many(void **state)
{
    enum { MOST = 600, STEPS = 400, STEP = 120 };
    const struct cache_evict_ops *const policies[] = { NULL, &tc_evict_lfu };
    (void)state;
    for (size_t p = 0; p < TC_ARRAY_LEN(policies); p++) {
        struct tt_l1 *r = tt_l1_new(TINY, 1, policies[p]);
        tt_l1_have_company(r);
        assert_true(r->l1.paged);
        for (uint64_t i = 0; i < TINY / 100; i++)
            assert_int_equal(tt_l1_put(r, tt_l1_key(r, i), i * 7919 % MOST), CACHE_OK);
        for (uint64_t i = 1; i <= STEPS; i++) {
            assert_int_equal(resize(r, TINY - TINY / 2 * (i % 2) - i * STEP), CACHE_OK);
            assert_true(tc_l1_bytes(&r->l1) <= tc_l1_limit(&r->l1));
        }
        uint64_t before = tt_l1_type_entries(r, 0), less = STEPS * STEP;
        for (uint64_t i = 1; i <= STEPS; i++)
            assert_int_equal(resize(r, TINY / 2 - less - i * STEP), CACHE_OK);
        assert_within(r, TINY / 2 - 2 * less);
        assert_true(tt_l1_type_entries(r, 0) > before * 7 / 10); /* for a tenth less */
        assert_true(tt_l1_free(r));
    }
}

/* Values that left L1 while they were pinned keep their pages, each of which has little else in it; those pages are of
 * no use to who wants memory, and others are. */
static void pages_that_pinned_values_keep_are_not_emptied_for_nothing(void **state)
{
    enum { ENTRIES = 8000, MOST = 300, EACH = 23, STEPS = 300, STEP = 1000 };
    static struct tc_entry *pinned[ENTRIES / EACH + 1];
    struct cache_evict_ops fixed = tc_evict_lru;
    fixed.move = NULL; /* so that nothing is had back but by evicting */
    (void)state;
    struct tt_l1 *r = tt_l1_new(SMALL, 1, &fixed);
    tt_l1_have_company(r);
    for (uint64_t i = 0; i < ENTRIES; i++)
        assert_int_equal(tt_l1_put(r, tt_l1_key(r, i), i * 7919 % MOST), CACHE_OK);
    size_t n = 0;
    for (uint64_t i = 0; i < ENTRIES; i += EACH) {
        struct tc_l1_found f = tt_l1_get(r, tt_l1_key(r, i));
        assert_non_null(f.entry);
        pinned[n++] = f.entry;
    }
    for (uint64_t i = 0; i < ENTRIES; i++)
        if (i % 4 != 1 || i % EACH == 0)
            tt_l1_invalidate(r, tt_l1_key(r, i));
    tc_limbo_clear(&r->l1);
    uint64_t bytes = tc_l1_bytes(&r->l1), before = tt_l1_type_entries(r, 0);
    for (uint64_t i = 1; i <= STEPS; i++)
        assert_int_equal(resize(r, bytes - i * STEP), CACHE_OK);
    assert_within(r, bytes - STEPS * STEP);
    assert_true(tt_l1_type_entries(r, 0) > before * 2 / 5);
    while (n > 0)
        tc_l1_release(&r->l1, pinned[--n]);
    assert_true(tt_l1_free(r));
}

static void a_higher_limit_is_used(void **state)
{
    (void)state;
    for (size_t k = 0; k < TC_ARRAY_LEN(kinds); k++) {
        struct tt_l1 *r = tt_l1_new(kinds[k].limit, kinds[k].stripes, NULL);
        uint64_t n = kinds[k].limit / 100;
        fill(r, 0, n);
        size_t before = held(r, 0, n);
        assert_int_equal(resize(r, 2 * kinds[k].limit), CACHE_OK);
        fill(r, n, 2 * n);
        assert_true(held(r, n, 2 * n) > before * 17 / 10);
        assert_within(r, 2 * kinds[k].limit);
        assert_int_equal(resize(r, kinds[k].limit), CACHE_OK);
        assert_within(r, kinds[k].limit);
        assert_true(tt_l1_free(r));
    }
}

/* Pages of many sizes are partly free all the time: that is no reason to give up what was stored last. */
static void assert_the_newest_stay(bool company)
{
    enum { ENTRIES = 60000, NEWEST = 3000 };
    uint64_t limit = 32 << 20, seed = 1;
    struct tt_l1 *r = tt_l1_new(limit, 16, NULL);
    if (company)
        tt_l1_have_company(r);
    assert_true(r->l1.paged);
    for (uint64_t n = 0; n < ENTRIES; n++)
        assert_int_equal(tt_l1_put(r, tt_l1_key(r, n), 20 + tt_random(&seed) % 1800), CACHE_OK);
    assert_int_equal(resize(r, limit / 4 * 3), CACHE_OK);
    assert_within(r, limit / 4 * 3);
    assert_int_equal(held(r, ENTRIES - NEWEST, NEWEST), NEWEST);
    assert_true(tt_l1_free(r));
}

static void what_was_stored_last_stays_whatever_the_sizes(void **state)
{
    (void)state;
    assert_the_newest_stay(false);
    assert_the_newest_stay(true);
}

static void too_little_for_the_stripes_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    for (size_t k = 0; k < TC_ARRAY_LEN(kinds); k++) {
        struct tt_l1 *r = tt_l1_new(kinds[k].limit, kinds[k].stripes, NULL);
        uint64_t least = kinds[k].stripes * (kinds[k].paged ? TC_L1_LEAST_PAGED_SHARE : TC_L1_LEAST_SHARE);
        fill(r, 0, 1000);
        static const uint64_t nonsense[] = { 0, 1, 4096 };
        for (size_t i = 0; i < TC_ARRAY_LEN(nonsense); i++)
            assert_int_equal(resize(r, nonsense[i]), CACHE_E_INVALID);
        assert_int_equal(resize(r, least - 1), CACHE_E_INVALID);
        assert_int_equal(tc_l1_limit(&r->l1), kinds[k].limit);
        assert_int_equal(held(r, 0, 1000), 1000);
        assert_true(tt_l1_free(r));
    }
}

static void assert_goes_on_with_the_least(uint64_t limit, bool company)
{
    enum { MOST = 2000, NEWEST = 5 };
    struct tt_l1 *r = tt_l1_new(limit, 0, NULL);
    uint64_t least = r->l1.n_stripes * TC_L1_LEAST_PAGED_SHARE, n = 0, seed = limit;
    assert_true(r->l1.paged);
    if (company)
        tt_l1_have_company(r);
    for (; n < limit / 100; n++)
        assert_int_equal(tt_l1_put(r, tt_l1_key(r, n), tt_random(&seed) % MOST), CACHE_OK);
    assert_int_equal(resize(r, least), CACHE_OK);
    assert_within(r, least);
    for (uint64_t i = 0; i < limit / 100; i++, n++) {
        assert_int_equal(tt_l1_put(r, tt_l1_key(r, n), tt_random(&seed) % MOST), CACHE_OK);
        assert_true(tt_l1_has(r, tt_l1_key(r, n)));
    }
    assert_int_equal(held(r, n - NEWEST, NEWEST), NEWEST);
    assert_within(r, least);
    assert_int_equal(resize(r, limit), CACHE_OK);
    fill(r, n, limit / 100);
    assert_true(tc_l1_bytes(&r->l1) > limit / 4 * 3);
    assert_within(r, limit);
    assert_true(tt_l1_free(r));
}

/* With the number of stripes that is chosen for it. */
static void a_small_cache_goes_on_with_the_least_and_grows_again(void **state)
{
    (void)state;
    static const uint64_t limits[] = { 332 << 10, 640 << 10, TINY, 2 * TINY, 5 * TINY };
    for (size_t i = 0; i < TC_ARRAY_LEN(limits); i++) {
        assert_goes_on_with_the_least(limits[i], false);
        assert_goes_on_with_the_least(limits[i], true);
    }
}

/* A pinned value that left L1 is counted apart, not in the limit. */
static void pinned_values_do_not_hold_it_up(void **state)
{
    (void)state;
    struct tt_l1 *r = tt_l1_new(LARGE, 4, NULL);
    struct tc_entry *pinned[100];
    fill(r, 0, 100000);
    for (uint64_t i = 0; i < TC_ARRAY_LEN(pinned); i++) {
        struct tc_l1_found f = tt_l1_get(r, tt_l1_key(r, 99999 - i * 37));
        pinned[i] = f.entry;
        assert_non_null(f.entry);
    }
    assert_int_equal(resize(r, SMALL), CACHE_OK);
    fill(r, 200000, 50000);
    assert_within(r, SMALL);
    for (uint64_t i = 0; i < TC_ARRAY_LEN(pinned); i++) {
        assert_true(tt_l1_is_value(tc_entry_data(pinned[i]), LEN, 99999 - i * 37, NULL));
        tc_l1_release(&r->l1, pinned[i]);
    }
    assert_int_equal(tt_l1_detached_bytes(r), 0);
    assert_true(tt_l1_free(r));
}

struct crowd {
    struct tt_l1 *r;
    _Atomic bool stop;
    _Atomic uint64_t refused;
};

static int store_and_read(void *ctx, unsigned number)
{
    struct crowd *c = ctx;
    for (uint64_t i = number; !atomic_load(&c->stop); i += 2) {
        int rc = tt_l1_put(c->r, tt_l1_key(c->r, i % 60000), LEN);
        if (rc != CACHE_OK)
            atomic_fetch_add(&c->refused, 1);
        tt_l1_has(c->r, tt_l1_key(c->r, i / 2 % 60000));
    }
    return 0;
}

static void others_go_on_meanwhile_and_every_store_succeeds(void **state)
{
    (void)state;
    struct crowd c = { .r = tt_l1_new(LARGE, 4, NULL) };
    struct tt_crew *crew = tt_crew_start(2, store_and_read, &c);
    for (int round = 0; round < 20; round++) {
        uint64_t limit = round % 2 == 0 ? SMALL : LARGE;
        assert_int_equal(resize(c.r, limit), CACHE_OK);
        assert_true(tc_l1_bytes(&c.r->l1) <= limit);
    }
    atomic_store(&c.stop, true);
    assert_int_equal(tt_crew_join(crew), 0);
    assert_int_equal(atomic_load(&c.refused), 0);
    assert_true(tc_l1_check(&c.r->l1));
    assert_true(tt_l1_free(c.r));
}

/* ---- by the public name ---- */

static void the_verb_checks_what_it_is_given_and_the_statistics_show_the_limit(void **state)
{
    (void)state;
    struct tt_cache b;
    tt_cache_prepare(&b, false);
    b.opts.l1_bytes = LARGE;
    tt_cache_open(&b);
    assert_int_equal(tt_cache_stats(&b).l1_limit_bytes, LARGE);
    assert_int_equal(cache_resize(b.c, 2 * LARGE, 0), CACHE_OK);
    assert_int_equal(tt_cache_stats(&b).l1_limit_bytes, 2 * LARGE);
    assert_int_equal(cache_resize(b.c, LARGE / 2, 1), CACHE_OK);
    assert_int_equal(cache_resize(b.c, 1000, 0), CACHE_E_INVALID);
    assert_int_equal(cache_resize(b.c, LARGE, -1), CACHE_E_INVALID);
    assert_int_equal(cache_resize(NULL, LARGE, 0), CACHE_E_INVALID);
    assert_int_equal(tt_cache_stats(&b).l1_limit_bytes, LARGE / 2);
    assert_true(tt_cache_close(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lower_limit_holds_when_the_call_returns),
        cmocka_unit_test(a_limit_is_lowered_a_little_where_sizes_are_many),
        cmocka_unit_test(pages_that_pinned_values_keep_are_not_emptied_for_nothing),
        cmocka_unit_test(a_higher_limit_is_used),
        cmocka_unit_test(what_was_stored_last_stays_whatever_the_sizes),
        cmocka_unit_test(too_little_for_the_stripes_is_refused_and_changes_nothing),
        cmocka_unit_test(a_small_cache_goes_on_with_the_least_and_grows_again),
        cmocka_unit_test(pinned_values_do_not_hold_it_up),
        cmocka_unit_test(the_verb_checks_what_it_is_given_and_the_statistics_show_the_limit),
        cmocka_unit_test(others_go_on_meanwhile_and_every_store_succeeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
