/* Values in a caller's hands: pinned, unchanged, released from anywhere, any number of times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"

static struct tt_cache b;
static struct cache_key k;

static int setup(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    b.type_opts.ttl_ms = 100000;
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return tt_cache_close(&b) ? 0 : -1;
}

static struct cache_value pin(const char *text)
{
    struct cache_value v;
    assert_int_equal(tt_cache_set(&b, &k, text), CACHE_OK);
    assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_OK);
    assert_int_equal(v.len, strlen(text));
    assert_memory_equal(v.data, text, v.len);
    return v;
}

static void a_pinned_value_outlives_everything_that_happens_to_its_key(void **state)
{
    (void)state;
    struct cache_value v = pin("pinned");
    assert_int_equal(tt_cache_stats(&b).l1_pins, 1);
    assert_int_equal(tt_cache_stats(&b).l1_detached_bytes, 0);
    assert_int_equal(tt_cache_set(&b, &k, "another"), CACHE_OK);
    assert_true(tt_cache_stats(&b).l1_detached_bytes > 0);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    tt_clock_advance(&b.clock, 1000000);
    assert_int_equal(tt_cache_set(&b, &k, "a third"), CACHE_OK);
    assert_memory_equal(v.data, "pinned", 6);
    cache_value_release(&v);
    assert_int_equal(tt_cache_stats(&b).l1_pins, 0);
    assert_int_equal(tt_cache_stats(&b).l1_detached_bytes, 0);
}

static void releasing_twice_or_nothing_is_harmless(void **state)
{
    struct cache_value v, zero;
    (void)state;
    cache_value_release(NULL);
    memset(&zero, 0, sizeof zero);
    cache_value_release(&zero);
    v = pin("x");
    cache_value_release(&v);
    assert_null(v.pin);
    assert_null(v.data);
    assert_int_equal(v.len, 0);
    cache_value_release(&v);
    assert_int_equal(tt_cache_stats(&b).l1_pins, 0);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_MISS);
    cache_value_release(&v);
}

static int release_here(void *arg, unsigned index)
{
    struct cache_value *values = arg;
    cache_value_release(&values[index]);
    return 0;
}

static void any_thread_may_release(void **state)
{
    enum { THREADS = 8 };
    struct cache_value values[THREADS];
    (void)state;
    for (size_t i = 0; i < THREADS; i++)
        values[i] = pin("shared");
    assert_int_equal(tt_cache_stats(&b).l1_pins, THREADS);
    assert_int_equal(tt_crew_join(tt_crew_start(THREADS, release_here, values)), 0);
    assert_int_equal(tt_cache_stats(&b).l1_pins, 0);
}

static void two_pins_of_one_value_are_the_same_bytes(void **state)
{
    struct cache_value w;
    (void)state;
    struct cache_value v = pin("one");
    assert_int_equal(cache_get(b.c, &k, NULL, &w), CACHE_OK);
    assert_ptr_equal(v.data, w.data);
    cache_value_release(&v);
    assert_memory_equal(w.data, "one", 3);
    cache_value_release(&w);
}

/* ---- what is said of a value ---- */

static void ages_and_ttls_count_from_the_making(void **state)
{
    (void)state;
    assert_int_equal(tt_cache_set(&b, &k, "x"), CACHE_OK);
    tt_clock_advance(&b.clock, 700);
    struct tt_answer a = tt_cache_get(&b, &k);
    assert_int_equal(a.meta.tier, CACHE_TIER_L1);
    assert_int_equal(a.meta.flags, 0);
    assert_int_equal(a.meta.len, 1);
    assert_int_equal(a.meta.age_ms, 700);
    assert_int_equal(a.meta.coherent_age_ms, 700);
    assert_int_equal(a.meta.ttl_ms, 60000 - 700); /* l1_ttl_ms, the lesser one */
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    tt_clock_advance(&b.clock, 300);
    a = tt_cache_get(&b, &k);
    assert_int_equal(a.meta.tier, CACHE_TIER_L2);
    assert_int_equal(a.meta.age_ms, 1000);
    assert_int_equal(a.meta.coherent_age_ms, 0);
    assert_int_equal(a.meta.ttl_ms, 60000);
    tt_clock_advance(&b.clock, 100);
    a = tt_cache_get(&b, &k);
    assert_int_equal(a.meta.tier, CACHE_TIER_L1);
    assert_int_equal(a.meta.age_ms, 1100);
    assert_int_equal(a.meta.coherent_age_ms, 100);
}

static void a_stale_value_has_a_negative_ttl(void **state)
{
    (void)state;
    assert_int_equal(tt_cache_set(&b, &k, "x"), CACHE_OK);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    for (int64_t late_ms = 0; late_ms < 5; late_ms++) {
        tt_clock_advance(&b.clock, late_ms == 0 ? 60000 : 1);
        struct tt_answer a = tt_cache_get(&b, &k);
        assert_int_equal(a.status, CACHE_OK);
        assert_int_equal(a.meta.flags, CACHE_META_STALE | CACHE_META_L2_OUT);
        assert_true(a.meta.ttl_ms != CACHE_TTL_FOREVER);
        assert_true(a.meta.ttl_ms <= 0 && a.meta.ttl_ms >= -late_ms);
        assert_int_equal(a.meta.age_ms, 60000 + late_ms);
    }
}

static void a_miss_tells_only_that_l2_was_out(void **state)
{
    struct cache_value v;
    (void)state;
    memset(&v, 0xFF, sizeof v);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_MISS);
    assert_int_equal(v.meta.flags, CACHE_META_L2_OUT);
    assert_int_equal(v.meta.tier, CACHE_TIER_NONE);
    assert_int_equal(v.meta.len, 0);
    assert_null(v.data);
    assert_null(v.pin);
    tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
    assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_MISS);
    assert_int_equal(v.meta.flags, 0);
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        FRESH(a_pinned_value_outlives_everything_that_happens_to_its_key),
        FRESH(releasing_twice_or_nothing_is_harmless),
        FRESH(any_thread_may_release),
        FRESH(two_pins_of_one_value_are_the_same_bytes),
        FRESH(ages_and_ttls_count_from_the_making),
        FRESH(a_stale_value_has_a_negative_ttl),
        FRESH(a_miss_tells_only_that_l2_was_out),
    };
    return cmocka_run_group_tests_name("values", tests, NULL, NULL);
}
