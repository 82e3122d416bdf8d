/* Reading through both tiers: what L2 holds is kept in L1, but never longer than L2 would; and what is answered while
 * L2 is out of reach. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"
#include "platform/platform.h"

static struct tt_cache b;
static struct cache_key k;

static int setup(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return tt_cache_close(&b) ? 0 : -1;
}

static void update(uint32_t flags, int64_t ttl_ms, int64_t l1_ttl_ms, int64_t max_stale_ms)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    o.flags = flags;
    o.ttl_ms = ttl_ms;
    o.l1_ttl_ms = l1_ttl_ms;
    o.max_stale_ms = max_stale_ms;
    assert_int_equal(cache_type_update(b.type, &o, NULL, 0), CACHE_OK);
}

/* Only L2 holds it. */
static void put_in_l2(const char *text, int64_t ttl_ms)
{
    assert_int_equal(tt_cache_set_with(&b, &k, text, ttl_ms, NULL), CACHE_OK);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
}

/* ---- an L2 hit is kept in L1 ---- */

static void an_l2_hit_is_kept_in_l1(void **state)
{
    (void)state;
    put_in_l2("value", 0);
    struct tt_answer a = tt_cache_get(&b, &k);
    assert_true(tt_answer_is(&a, CACHE_OK, "value"));
    assert_int_equal(a.meta.tier, CACHE_TIER_L2);
    uint64_t gets = tt_backend_calls(b.l2, TT_ANY_SLOT);
    a = tt_cache_get(&b, &k);
    assert_true(tt_answer_is(&a, CACHE_OK, "value"));
    assert_int_equal(a.meta.tier, CACHE_TIER_L1);
    assert_int_equal(tt_backend_calls(b.l2, TT_ANY_SLOT), gets);
}

static void an_absence_and_an_empty_value_come_through_l2_too(void **state)
{
    (void)state;
    put_in_l2("", 0);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "");
    assert_int_equal(cache_set_absent(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    struct tt_answer a = tt_cache_get(&b, &k);
    assert_int_equal(a.status, CACHE_ABSENT);
    assert_int_equal(a.meta.tier, CACHE_TIER_L2);
    assert_int_equal(tt_cache_get(&b, &k).meta.tier, CACHE_TIER_L1);
}

/* Sizes on both sides of where the library keeps L2's memory instead of copying from it. */
static void values_of_all_sizes_come_back_whole(void **state)
{
    static const size_t sizes[] = { 1, 100, 4096, 16383, 16384, 16385, 100000, 1000000 };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(sizes); i++) {
        struct cache_value v;
        uint64_t seed = i;
        unsigned char *bytes = tt_xmalloc(sizes[i]);
        for (size_t at = 0; at < sizes[i]; at++)
            bytes[at] = (unsigned char)tt_random(&seed);
        assert_int_equal(cache_set(b.c, &k, bytes, sizes[i], NULL), CACHE_OK);
        assert_int_equal(cache_clear_local(b.c), CACHE_OK);
        for (uint32_t tier = CACHE_TIER_L2; tier >= CACHE_TIER_L1; tier--) {
            assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_OK);
            assert_int_equal(v.meta.tier, tier);
            assert_int_equal(v.len, sizes[i]);
            assert_memory_equal(v.data, bytes, sizes[i]);
            cache_value_release(&v);
        }
        free(bytes);
    }
}

static void the_copying_get_asks_l2_too(void **state)
{
    char buf[8] = { 0 };
    struct cache_meta m;
    (void)state;
    put_in_l2("value", 0);
    assert_int_equal(cache_get_copy(b.c, &k, buf, 4, &m), CACHE_E_BUFFER);
    assert_int_equal(m.len, 5);
    assert_int_equal(m.tier, CACHE_TIER_L2);
    assert_int_equal(cache_get_copy(b.c, &k, buf, sizeof buf, &m), CACHE_OK);
    assert_string_equal(buf, "value");
    assert_int_equal(m.tier, CACHE_TIER_L1);
    assert_int_equal(tt_cache_stats(&b).l1_pins, 0);
}

/* ---- for how long ---- */

/* FAULTS 56 */
static void l1_never_outlives_what_is_left_in_l2(void **state)
{
    (void)state;
    put_in_l2("value", 1000);
    tt_clock_advance(&b.clock, 700);
    assert_int_equal(tt_cache_get(&b, &k).meta.ttl_ms, 300);
    tt_clock_advance(&b.clock, 299);
    struct tt_answer a = tt_cache_get(&b, &k);
    assert_int_equal(a.meta.tier, CACHE_TIER_L1);
    assert_int_equal(a.meta.ttl_ms, 1);
    tt_clock_advance(&b.clock, 1);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
}

static void l1_asks_l2_again_after_its_own_bound(void **state)
{
    (void)state;
    update(0, 100000, 2000, -1);
    put_in_l2("value", 0);
    assert_int_equal(tt_cache_get(&b, &k).meta.ttl_ms, 2000);
    tt_clock_advance(&b.clock, 1999);
    assert_int_equal(tt_cache_get(&b, &k).meta.tier, CACHE_TIER_L1);
    tt_clock_advance(&b.clock, 1);
    assert_int_equal(tt_cache_get(&b, &k).meta.tier, CACHE_TIER_L2);
    assert_int_equal(tt_cache_get(&b, &k).meta.tier, CACHE_TIER_L1);
}

/* What the backend says is left of a value, whatever it was given. */
static int64_t left_ms;
static cache_backend_get_fn *true_get;

static int get_with_that_left(void *ctx, struct cache_slice key, int64_t deadline_ms, struct cache_backend_value *out)
{
    int rc = true_get(ctx, key, deadline_ms, out);
    out->ttl_ms = left_ms;
    return rc;
}

/* FAULTS 55 */
static void a_value_of_unknown_life_is_answered_but_not_kept(void **state)
{
    static const int64_t lives[] = { CACHE_TTL_NONE, 0, -3, -1000, INT64_MIN };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(lives); i++) {
        tt_cache_prepare(&b, true);
        true_get = tt_backend_table(b.l2)->get;
        tt_backend_table(b.l2)->get = get_with_that_left;
        tt_cache_open(&b);
        tt_cache_key(&b, &k);
        put_in_l2("value", 0);
        left_ms = lives[i];
        for (int n = 0; n < 3; n++) {
            struct tt_answer a = tt_cache_get(&b, &k);
            assert_true(tt_answer_is(&a, CACHE_OK, "value"));
            assert_int_equal(a.meta.tier, CACHE_TIER_L2);
            assert_true(a.meta.ttl_ms != CACHE_TTL_FOREVER);
        }
        left_ms = INT64_MAX;
        assert_answer(tt_cache_get(&b, &k), CACHE_OK, "value");
        assert_int_equal(tt_cache_get(&b, &k).meta.tier, CACHE_TIER_L1);
        assert_true(tt_cache_close(&b));
    }
}

/* ---- types that use one tier ---- */

static void a_type_without_l1_asks_l2_each_time(void **state)
{
    (void)state;
    update(CACHE_TYPE_NO_L1, 1000, 0, 0);
    assert_int_equal(tt_cache_set(&b, &k, "value"), CACHE_OK);
    for (int i = 0; i < 3; i++) {
        struct tt_answer a = tt_cache_get(&b, &k);
        assert_true(tt_answer_is(&a, CACHE_OK, "value"));
        assert_int_equal(a.meta.tier, CACHE_TIER_L2);
        assert_int_equal(a.meta.ttl_ms, 1000);
    }
    assert_int_equal(tt_cache_stats(&b).l1_entries, 0);
}

static void a_type_without_l2_never_asks_it(void **state)
{
    (void)state;
    update(CACHE_TYPE_NO_L2, 0, 0, 0);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_int_equal(tt_cache_set(&b, &k, "value"), CACHE_OK);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "value");
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    assert_int_equal(tt_cache_set(&b, &k, "value"), CACHE_OK);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(tt_cache_get(&b, &k).meta.flags, 0);
    assert_int_equal(tt_backend_calls(b.l2, TT_ANY_SLOT), 0);
}

static void a_call_may_leave_l2_out(void **state)
{
    (void)state;
    put_in_l2("value", 0);
    uint64_t calls = tt_backend_calls(b.l2, TT_ANY_SLOT);
    struct tt_answer a = tt_cache_get_with(&b, &k, CACHE_CALL_L1_ONLY, 0, NULL);
    assert_int_equal(a.status, CACHE_MISS);
    assert_int_equal(a.meta.flags, 0);
    assert_int_equal(tt_backend_calls(b.l2, TT_ANY_SLOT), calls);
}

/* FAULTS 50 */
static void a_value_that_is_too_large_for_l1_is_served_from_l2(void **state)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    (void)state;
    o.l1_max_value_bytes = 10;
    assert_int_equal(cache_type_update(b.type, &o, NULL, 0), CACHE_OK);
    assert_int_equal(tt_cache_set(&b, &k, "small"), CACHE_OK);
    assert_int_equal(tt_cache_set(&b, &k, "rather large"), CACHE_OK);
    for (int i = 0; i < 3; i++) {
        struct tt_answer a = tt_cache_get(&b, &k);
        assert_true(tt_answer_is(&a, CACHE_OK, "rather large"));
        assert_int_equal(a.meta.tier, CACHE_TIER_L2);
    }
    assert_int_equal(tt_cache_stats(&b).l1_entries, 0);
    assert_int_equal(tt_cache_stats(&b).l1_detached_bytes, 0);
}

/* ---- while L2 is out ---- */

/* FAULTS 3, 11: with every way in which L2 may fail to answer. */
static void an_l2_that_fails_is_a_miss_with_a_flag(void **state)
{
    static const int failures[] = { CACHE_E_UNAVAILABLE, CACHE_E_UNKNOWN, CACHE_E_TIMEOUT, CACHE_E_REFUSED,
                                    CACHE_E_AUTH, CACHE_E_PROTOCOL, CACHE_E_TOO_LARGE, CACHE_ABSENT, 77, -77 };
    (void)state;
    put_in_l2("value", 0);
    for (size_t i = 0; i < TC_ARRAY_LEN(failures); i++) {
        tt_backend_fail(b.l2, TT_GET, 1, failures[i], TT_NOT_RUN);
        struct tt_answer a = tt_cache_get(&b, &k);
        assert_true(tt_answer_is(&a, CACHE_MISS, NULL));
        assert_int_equal(a.meta.flags, CACHE_META_L2_OUT);
    }
    assert_int_equal(tt_cache_stats(&b).l2_failed, TC_ARRAY_LEN(failures));
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "value");
}

static void a_miss_while_l2_is_out_leaves_a_ticket_too(void **state)
{
    (void)state;
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_QUEUED);
    assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_E_TICKET);
    assert_true(tt_cache_stats(&b).l2_skipped >= 1);
}

/* FAULTS 31 */
static void a_stale_value_answers_within_its_window_while_l2_is_out(void **state)
{
    (void)state;
    update(0, 5000, 1000, 2000);
    assert_int_equal(tt_cache_set(&b, &k, "stale"), CACHE_OK);
    tt_clock_advance(&b.clock, 1000);
    for (int by_fault = 0; by_fault < 2; by_fault++) {
        if (by_fault)
            tt_backend_fail(b.l2, TT_GET, 1, CACHE_E_UNKNOWN, TT_NOT_RUN);
        else
            tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
        struct tt_answer a = tt_cache_get(&b, &k);
        assert_true(tt_answer_is(&a, CACHE_OK, "stale"));
        assert_int_equal(a.meta.tier, CACHE_TIER_L1);
        assert_int_equal(a.meta.flags, CACHE_META_STALE | CACHE_META_L2_OUT);
        tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
    }
    char buf[8];
    struct cache_meta m;
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    assert_int_equal(cache_get_copy(b.c, &k, buf, sizeof buf, &m), CACHE_OK);
    assert_int_equal(m.flags, CACHE_META_STALE | CACHE_META_L2_OUT);
    assert_answer(tt_cache_get_with(&b, &k, CACHE_CALL_NO_STALE, 0, NULL), CACHE_MISS, NULL);
    assert_answer(tt_cache_get_with(&b, &k, CACHE_CALL_L1_ONLY, 0, NULL), CACHE_MISS, NULL);
    tt_clock_advance(&b.clock, 1999);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "stale");
    tt_clock_advance(&b.clock, 1);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
}

static void an_l2_that_answers_makes_nothing_stale_visible(void **state)
{
    (void)state;
    update(0, 5000, 1000, 2000);
    assert_int_equal(tt_cache_set(&b, &k, "stale"), CACHE_OK);
    tt_backend_erase_all(b.l2);
    tt_clock_advance(&b.clock, 1000);
    struct tt_answer a = tt_cache_get(&b, &k);
    assert_true(tt_answer_is(&a, CACHE_MISS, NULL));
    assert_int_equal(a.meta.flags, 0);
}

static void a_stale_absence_answers_too(void **state)
{
    (void)state;
    update(0, 5000, 1000, 2000);
    assert_int_equal(cache_set_absent(b.c, &k, NULL), CACHE_OK);
    tt_clock_advance(&b.clock, 1000);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    struct tt_answer a = tt_cache_get(&b, &k);
    assert_int_equal(a.status, CACHE_ABSENT);
    assert_int_equal(a.meta.flags, CACHE_META_STALE | CACHE_META_L2_OUT);
}

/* FAULTS 49: out of memory is no miss: the caller would ask the origin for what he cannot take. */
static void out_of_memory_is_told_as_that(void **state)
{
    (void)state;
    put_in_l2("value", 0);
    tt_backend_fail(b.l2, TT_GET, 1, CACHE_E_NOMEM, TT_NOT_RUN);
    assert_answer(tt_cache_get(&b, &k), CACHE_E_NOMEM, NULL);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "value");
}

/* ---- a read and a write at once ---- */

/* What was read from L2 before an invalidation is answered, for the call was there before it, but never kept. */
static void what_an_invalidation_overtook_on_its_way_from_l2_is_not_kept(void **state)
{
    struct tt_call call = { .verb = TT_VERB_GET, .b = &b, .k = &k };
    (void)state;
    put_in_l2("old", 0);
    tt_backend_block(b.l2, TT_GET, true);
    tt_call_start(&call);
    assert_true(tt_backend_await_blocked(b.l2, TT_GET, 1));
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    tt_backend_release(b.l2, TT_GET);
    tt_call_join(&call);
    assert_true(tt_answer_is(&call.answer, CACHE_OK, "old"));
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_int_equal(tt_cache_stats(&b).l1_entries, 0);
}

static void what_a_write_overtook_on_its_way_from_l2_is_not_kept(void **state)
{
    struct tt_call call = { .verb = TT_VERB_GET, .b = &b, .k = &k };
    (void)state;
    put_in_l2("old", 0);
    tt_backend_block(b.l2, TT_GET, true);
    tt_call_start(&call);
    assert_true(tt_backend_await_blocked(b.l2, TT_GET, 1));
    assert_int_equal(tt_cache_set(&b, &k, "new"), CACHE_OK);
    tt_backend_release(b.l2, TT_GET);
    tt_call_join(&call);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "new");
}

struct holder {
    struct cache_value value;
    int status;
};

static void *get_and_hold(void *arg)
{
    struct holder *h = arg;
    h->status = cache_get(b.c, &k, NULL, &h->value);
    return NULL;
}

/* Of two answers to one miss the one that was asked for later stays; the other is its caller's only, and shows as
 * that. */
static void an_answer_that_a_later_one_overtook_is_its_callers_only(void **state)
{
    struct holder h = { .status = CACHE_E_INVALID };
    struct cache_ticket ticket;
    pthread_t thread;
    (void)state;
    put_in_l2("earlier", 0);
    assert_answer(tt_cache_get_with(&b, &k, CACHE_CALL_L1_ONLY, 0, &ticket), CACHE_MISS, NULL);
    tt_backend_block(b.l2, TT_GET, true);
    assert_int_equal(pthread_create(&thread, NULL, get_and_hold, &h), 0);
    bool blocked = tt_backend_await_blocked(b.l2, TT_GET, 1);
    tt_clock_advance(&b.clock, 10);
    int set = tt_cache_set_with(&b, &k, "later", 0, &ticket);
    tt_backend_release(b.l2, TT_GET);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(blocked);
    assert_int_equal(set, CACHE_OK);
    assert_int_equal(h.status, CACHE_OK);
    assert_memory_equal(h.value.data, "earlier", h.value.len);
    assert_int_equal(tt_cache_stats(&b).l1_entries, 1);
    assert_true(tt_cache_stats(&b).l1_detached_bytes > 0);
    struct tt_answer a = tt_cache_get(&b, &k);
    assert_true(tt_answer_is(&a, CACHE_OK, "later"));
    assert_int_equal(a.meta.tier, CACHE_TIER_L1);
    cache_value_release(&h.value);
    assert_int_equal(tt_cache_stats(&b).l1_detached_bytes, 0);
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        FRESH(an_l2_hit_is_kept_in_l1),
        FRESH(an_absence_and_an_empty_value_come_through_l2_too),
        FRESH(values_of_all_sizes_come_back_whole),
        FRESH(the_copying_get_asks_l2_too),
        FRESH(l1_never_outlives_what_is_left_in_l2),
        FRESH(l1_asks_l2_again_after_its_own_bound),
        cmocka_unit_test(a_value_of_unknown_life_is_answered_but_not_kept),
        FRESH(a_type_without_l1_asks_l2_each_time),
        FRESH(a_type_without_l2_never_asks_it),
        FRESH(a_call_may_leave_l2_out),
        FRESH(a_value_that_is_too_large_for_l1_is_served_from_l2),
        FRESH(an_l2_that_fails_is_a_miss_with_a_flag),
        FRESH(a_miss_while_l2_is_out_leaves_a_ticket_too),
        FRESH(a_stale_value_answers_within_its_window_while_l2_is_out),
        FRESH(an_l2_that_answers_makes_nothing_stale_visible),
        FRESH(a_stale_absence_answers_too),
        FRESH(out_of_memory_is_told_as_that),
        FRESH(what_an_invalidation_overtook_on_its_way_from_l2_is_not_kept),
        FRESH(what_a_write_overtook_on_its_way_from_l2_is_not_kept),
        FRESH(an_answer_that_a_later_one_overtook_is_its_callers_only),
    };
    return cmocka_run_group_tests_name("read", tests, NULL, NULL);
}
