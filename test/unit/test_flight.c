/* Loads that many callers share: one call of the loader, each caller's own deadline, nothing old after an invalidation.
 * Every loader stops at a barrier while the test looks. */
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

enum {
    CALLERS = 8,
    LONG_MS = 20000,
    SHORT_MS = 50,
    SLACK_MS = TT_SLACK_MS /* what a loaded machine may add to a deadline */
};

static struct tt_cache b;
static struct tt_loader l;
static struct cache_key k;

static int setup(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    b.opts.timeout_ms = LONG_MS;
    b.type_opts.load_timeout_ms = 1000;
    b.type_opts.l1_ttl_ms = 1000;
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    tt_loader_init(&l, "loaded");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tt_loader_fini(&l);
    return tt_cache_close(&b) ? 0 : -1;
}

static struct tt_call fetching(struct tt_loader *loader, int64_t timeout_ms)
{
    return (struct tt_call){ .verb = TT_VERB_FETCH, .b = &b, .k = &k, .l = loader, .timeout_ms = timeout_ms };
}

/* One in the loader, the others waiting for it. */
static void start_together(struct tt_call *calls, size_t n, int64_t timeout_ms)
{
    tt_loader_block(&l);
    for (size_t i = 0; i < n; i++)
        calls[i] = fetching(&l, i == 0 ? LONG_MS : timeout_ms);
    tt_call_start(&calls[0]);
    assert_true(tt_loader_await_blocked(&l, 1));
    for (size_t i = 1; i < n; i++)
        tt_call_start(&calls[i]);
    tt_assert_soon(tt_cache_stats(&b).coalesced_waits == n - 1);
}

/* ---- sharing ---- */

/* FAULTS 32 */
static void callers_of_one_key_share_one_load(void **state)
{
    struct tt_call calls[CALLERS];
    unsigned joined = 0;
    (void)state;
    start_together(calls, CALLERS, 0);
    tt_loader_release(&l);
    for (size_t i = 0; i < CALLERS; i++) {
        tt_call_join(&calls[i]);
        assert_true(tt_answer_is(&calls[i].answer, CACHE_OK, "loaded"));
        assert_int_equal(calls[i].answer.meta.tier, CACHE_TIER_LOADER);
        joined += (calls[i].answer.meta.flags & CACHE_META_JOINED) != 0;
    }
    assert_int_equal(atomic_load(&l.calls), 1);
    assert_int_equal(joined, CALLERS - 1);
    assert_int_equal(tt_cache_stats(&b).loads, 1);
    assert_int_equal(tt_cache_stats(&b).l1_pins, 0);
    assert_int_equal(tt_backend_calls(b.l2, TT_GET), 1);
}

static void other_keys_are_loaded_meanwhile(void **state)
{
    struct tt_call call = fetching(&l, 0);
    struct tt_loader another;
    struct cache_key other;
    (void)state;
    tt_cache_key(&b, &other);
    tt_loader_init(&another, "another");
    tt_loader_block(&l);
    tt_call_start(&call);
    assert_true(tt_loader_await_blocked(&l, 1));
    assert_answer(tt_cache_fetch(&b, &other, &another), CACHE_OK, "another");
    tt_loader_release(&l);
    tt_call_join(&call);
    tt_loader_fini(&another);
}

static void a_failure_is_shared_as_well(void **state)
{
    struct tt_call calls[3];
    (void)state;
    l.status = -1234;
    start_together(calls, 3, 0);
    tt_loader_release(&l);
    for (size_t i = 0; i < 3; i++) {
        tt_call_join(&calls[i]);
        assert_true(tt_answer_is(&calls[i].answer, -1234, NULL));
    }
    assert_int_equal(atomic_load(&l.calls), 1);
    assert_int_equal(tt_cache_stats(&b).load_errors, 1);
    l.status = CACHE_OK;
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, "loaded"); /* and not remembered */
}

static void an_absence_is_shared_as_well(void **state)
{
    struct tt_call calls[3];
    (void)state;
    l.text = NULL;
    l.absent = true;
    start_together(calls, 3, 0);
    tt_loader_release(&l);
    for (size_t i = 0; i < 3; i++) {
        tt_call_join(&calls[i]);
        assert_true(tt_answer_is(&calls[i].answer, CACHE_ABSENT, NULL));
    }
    assert_int_equal(tt_cache_stats(&b).l1_pins, 0);
}

static void a_value_that_is_not_stored_is_shared_too(void **state)
{
    struct tt_call calls[3];
    (void)state;
    l.ttl_ms = CACHE_TTL_NONE;
    start_together(calls, 3, 0);
    tt_loader_release(&l);
    for (size_t i = 0; i < 3; i++) {
        tt_call_join(&calls[i]);
        assert_true(tt_answer_is(&calls[i].answer, CACHE_OK, "loaded"));
    }
    assert_int_equal(tt_cache_stats(&b).l1_detached_bytes, 0);
    assert_int_equal(tt_cache_stats(&b).l1_entries, 0);
}

/* ---- deadlines ---- */

/* FAULTS 44 */
static void each_waiter_keeps_its_own_deadline(void **state)
{
    struct tt_call calls[3];
    (void)state;
    start_together(calls, 3, SHORT_MS);
    for (size_t i = 1; i < 3; i++) {
        tt_call_join(&calls[i]);
        assert_true(tt_answer_is(&calls[i].answer, CACHE_E_TIMEOUT, NULL));
        assert_true(calls[i].took_ms >= SHORT_MS - 1 && calls[i].took_ms <= SHORT_MS + SLACK_MS);
    }
    assert_false(atomic_load(&calls[0].done));
    assert_int_equal(tt_cache_stats(&b).wait_timeouts, 2);
    tt_loader_release(&l);
    tt_call_join(&calls[0]);
    assert_true(tt_answer_is(&calls[0].answer, CACHE_OK, "loaded"));
}

static int give_up_without_time(struct tt_loader *loader, struct cache_load *ld, const struct cache_key *key)
{
    (void)loader;
    (void)key;
    return cache_load_remaining_ms(ld) == 0 ? CACHE_E_USER_FIRST : CACHE_OK;
}

/* The leader's loader had 50 ms, and said so; who waits has twenty seconds. */
static void who_has_time_left_does_not_get_the_failure_of_one_who_had_none(void **state)
{
    struct tt_call first = fetching(&l, SHORT_MS), second = fetching(&l, LONG_MS);
    (void)state;
    l.inside = give_up_without_time;
    tt_loader_block(&l);
    tt_call_start(&first);
    assert_true(tt_loader_await_blocked(&l, 1));
    tt_call_start(&second);
    assert_true(tt_call_await_asleep(&second));
    tt_clock_advance(&b.clock, SHORT_MS);
    tt_loader_release(&l);
    tt_call_join(&first);
    tt_call_join(&second);
    assert_int_equal(first.answer.status, CACHE_E_USER_FIRST);
    assert_true(tt_answer_is(&second.answer, CACHE_OK, "loaded"));
    assert_int_equal(atomic_load(&l.calls), 2);
    assert_int_equal(tt_cache_stats(&b).wait_timeouts, 0);
}

/* FAULTS 44 */
static void a_waiter_whose_time_runs_out_gets_the_stale_value(void **state)
{
    struct tt_call calls[2];
    (void)state;
    assert_int_equal(tt_cache_set(&b, &k, "stale"), CACHE_OK);
    tt_backend_erase_all(b.l2);
    tt_clock_advance(&b.clock, 1000);
    start_together(calls, 2, SHORT_MS);
    tt_call_join(&calls[1]);
    assert_true(tt_answer_is(&calls[1].answer, CACHE_OK, "stale"));
    assert_int_equal(calls[1].answer.meta.flags, CACHE_META_STALE);
    struct tt_call strict = fetching(&l, SHORT_MS);
    strict.flags = CACHE_FETCH_NO_STALE;
    tt_call_start(&strict);
    tt_call_join(&strict);
    assert_true(tt_answer_is(&strict.answer, CACHE_E_TIMEOUT, NULL));
    tt_loader_release(&l);
    tt_call_join(&calls[0]);
}

/* FAULTS 44 */
static void a_load_that_never_ends_does_not_keep_its_key_for_ever(void **state)
{
    struct tt_call hung = fetching(&l, 0);
    struct tt_loader fresh;
    (void)state;
    tt_loader_init(&fresh, "fresh");
    tt_loader_block(&l);
    tt_call_start(&hung);
    assert_true(tt_loader_await_blocked(&l, 1));
    assert_answer(tt_cache_fetch_with(&b, &k, &fresh, 0, SHORT_MS), CACHE_E_TIMEOUT, NULL);
    tt_clock_advance(&b.clock, 999);
    assert_answer(tt_cache_fetch_with(&b, &k, &fresh, 0, SHORT_MS), CACHE_E_TIMEOUT, NULL);
    tt_clock_advance(&b.clock, 1); /* load_timeout_ms */
    assert_answer(tt_cache_fetch(&b, &k, &fresh), CACHE_OK, "fresh");
    assert_int_equal(atomic_load(&fresh.calls), 1);
    tt_loader_release(&l);
    tt_call_join(&hung);
    assert_true(tt_answer_is(&hung.answer, CACHE_OK, "loaded")); /* to its own caller, and to nobody else */
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "fresh");
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "fresh");
    assert_int_equal(tt_cache_stats(&b).loads_discarded, 1);
    tt_loader_fini(&fresh);
}

/* ---- invalidations ---- */

static void assert_nothing_is_stored(void)
{
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_int_equal(tt_backend_count(b.l2), 0);
    assert_int_equal(tt_cache_stats(&b).l1_entries, 0);
}

/* FAULTS 64 */
static void a_load_that_an_invalidation_overtook_stores_nothing(void **state)
{
    struct tt_call calls[3];
    (void)state;
    start_together(calls, 3, 0);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    tt_loader_release(&l);
    for (size_t i = 0; i < 3; i++) {
        tt_call_join(&calls[i]);
        assert_true(tt_answer_is(&calls[i].answer, CACHE_OK, "loaded")); /* they were there before it */
    }
    assert_nothing_is_stored();
    assert_int_equal(tt_cache_stats(&b).loads_discarded, 1);
}

static void clearing_voids_a_load_as_well(void **state)
{
    struct tt_call call = fetching(&l, 0);
    (void)state;
    tt_loader_block(&l);
    tt_call_start(&call);
    assert_true(tt_loader_await_blocked(&l, 1));
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    tt_loader_release(&l);
    tt_call_join(&call);
    assert_nothing_is_stored();
}

static void a_load_that_a_write_overtook_changes_nothing(void **state)
{
    struct tt_call call = fetching(&l, 0);
    (void)state;
    tt_loader_block(&l);
    tt_call_start(&call);
    assert_true(tt_loader_await_blocked(&l, 1));
    assert_int_equal(tt_cache_set(&b, &k, "written"), CACHE_OK);
    tt_loader_release(&l);
    tt_call_join(&call);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "written");
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "written");
}

/* COHERENCE R8 */
static void who_comes_after_an_invalidation_never_gets_an_older_load(void **state)
{
    struct tt_call before[2], after[3];
    struct tt_loader fresh;
    (void)state;
    start_together(before, 2, 0);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    tt_loader_init(&fresh, "fresh");
    tt_loader_block(&fresh);
    for (size_t i = 0; i < 3; i++) {
        after[i] = fetching(&fresh, 0);
        tt_call_start(&after[i]);
    }
    tt_assert_soon(tt_cache_stats(&b).coalesced_waits == 3); /* two of them share the third's load */
    tt_loader_release(&fresh);
    for (size_t i = 0; i < 3; i++) {
        tt_call_join(&after[i]);
        assert_true(tt_answer_is(&after[i].answer, CACHE_OK, "fresh"));
    }
    tt_loader_release(&l);
    for (size_t i = 0; i < 2; i++) {
        tt_call_join(&before[i]);
        assert_true(tt_answer_is(&before[i].answer, CACHE_OK, "loaded"));
    }
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "fresh");
    tt_loader_fini(&fresh);
}

/* The same where what is old lies in L2, and the deletion is on its way. */
static void a_fetch_from_l2_that_an_invalidation_overtook_keeps_nothing(void **state)
{
    struct tt_call call = fetching(&l, 0);
    (void)state;
    assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    tt_backend_block(b.l2, TT_GET, true);
    tt_call_start(&call);
    assert_true(tt_backend_await_blocked(b.l2, TT_GET, 1));
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    tt_backend_release(b.l2, TT_GET);
    tt_call_join(&call);
    assert_true(tt_answer_is(&call.answer, CACHE_OK, "old"));
    assert_nothing_is_stored();
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        FRESH(callers_of_one_key_share_one_load),
        FRESH(other_keys_are_loaded_meanwhile),
        FRESH(a_failure_is_shared_as_well),
        FRESH(an_absence_is_shared_as_well),
        FRESH(a_value_that_is_not_stored_is_shared_too),
        FRESH(each_waiter_keeps_its_own_deadline),
        FRESH(who_has_time_left_does_not_get_the_failure_of_one_who_had_none),
        FRESH(a_waiter_whose_time_runs_out_gets_the_stale_value),
        FRESH(a_load_that_never_ends_does_not_keep_its_key_for_ever),
        FRESH(a_load_that_an_invalidation_overtook_stores_nothing),
        FRESH(clearing_voids_a_load_as_well),
        FRESH(a_load_that_a_write_overtook_changes_nothing),
        FRESH(who_comes_after_an_invalidation_never_gets_an_older_load),
        FRESH(a_fetch_from_l2_that_an_invalidation_overtook_keeps_nothing),
    };
    return cmocka_run_group_tests_name("flight", tests, NULL, NULL);
}
