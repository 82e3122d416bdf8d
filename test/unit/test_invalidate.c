/* Invalidations: in force here whatever L2 says; in L2 now, or kept. */
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
    b.opts.timeout_ms = 10000;
    b.opts.l2_timeout_ms = 10000;
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return tt_cache_close(&b) ? 0 : -1;
}

static bool is_in_l2(const struct cache_key *key)
{
    void *bytes;
    size_t len;
    bool is = tt_backend_peek(b.l2, tt_cache_l2_key(key), &bytes, &len);
    if (is)
        free(bytes);
    return is;
}

static void an_invalidation_drops_the_key_from_both_tiers(void **state)
{
    (void)state;
    assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_false(is_in_l2(&k));
    struct tt_answer a = tt_cache_get(&b, &k);
    assert_int_equal(a.status, CACHE_MISS);
    assert_int_equal(a.meta.flags, 0);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK); /* nothing there: fine */
}

static void a_key_that_is_only_in_l2_is_dropped_there(void **state)
{
    (void)state;
    assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_false(is_in_l2(&k));
}

static void no_other_key_is_touched(void **state)
{
    struct cache_key other;
    (void)state;
    tt_cache_key(&b, &other);
    assert_int_equal(tt_cache_set(&b, &k, "one"), CACHE_OK);
    assert_int_equal(tt_cache_set(&b, &other, "two"), CACHE_OK);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_answer(tt_cache_get(&b, &other), CACHE_OK, "two");
    assert_true(is_in_l2(&other));
}

/* FAULTS 20, 21: a refused deletion is kept like one without an answer. */
static void whatever_l2_says_it_is_in_force_here(void **state)
{
    static const int failures[] = { CACHE_E_UNAVAILABLE, CACHE_E_UNKNOWN, CACHE_E_TIMEOUT, CACHE_E_REFUSED,
                                    CACHE_E_AUTH,        CACHE_E_PROTOCOL, CACHE_E_NOMEM,  CACHE_MISS,       77 };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(failures); i++) {
        assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
        tt_backend_fail(b.l2, TT_DEL, 1, failures[i], TT_NOT_RUN);
        tt_backend_block(b.l2, TT_DEL, true); /* the worker's attempt: nothing is replayed yet */
        struct tt_call call = { .verb = TT_VERB_INVALIDATE, .b = &b, .k = &k };
        tt_call_start(&call);
        assert_true(tt_backend_await_blocked(b.l2, TT_DEL, 1));
        tt_backend_release(b.l2, TT_DEL);
        tt_call_join(&call);
        assert_int_equal(call.answer.status, CACHE_QUEUED);
        assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
        assert_true(tt_cache_await_replayed(&b));
        assert_false(is_in_l2(&k));
    }
    assert_int_equal(tt_cache_stats(&b).invalidations_queued, TC_ARRAY_LEN(failures));
    assert_int_equal(tt_cache_stats(&b).recovery_replayed, TC_ARRAY_LEN(failures));
}

static void while_l2_is_down_it_is_kept_without_asking(void **state)
{
    (void)state;
    assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_QUEUED);
    assert_int_equal(tt_backend_calls(b.l2, TT_DEL), 0);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_true(is_in_l2(&k));
}

/* What a reader took from L2 while the deletion was on its way is dropped again when it ends. */
static void what_was_read_during_an_invalidation_is_not_kept_after_it(void **state)
{
    struct tt_call call = { .verb = TT_VERB_INVALIDATE, .b = &b, .k = &k };
    (void)state;
    assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
    tt_backend_block(b.l2, TT_DEL, false);
    tt_call_start(&call);
    assert_true(tt_backend_await_blocked(b.l2, TT_DEL, 1));
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "old"); /* the invalidation is not done yet */
    tt_backend_release(b.l2, TT_DEL);
    tt_call_join(&call);
    assert_int_equal(call.answer.status, CACHE_OK);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
}

static void a_ticket_taken_during_an_invalidation_is_void_after_it(void **state)
{
    struct tt_call call = { .verb = TT_VERB_INVALIDATE, .b = &b, .k = &k };
    struct cache_ticket t;
    (void)state;
    tt_backend_block(b.l2, TT_DEL, false);
    tt_call_start(&call);
    assert_true(tt_backend_await_blocked(b.l2, TT_DEL, 1));
    assert_answer(tt_cache_get_with(&b, &k, 0, 0, &t), CACHE_MISS, NULL);
    assert_int_equal(tt_cache_set_with(&b, &k, "old", 0, &t), CACHE_E_TICKET); /* the gate is closed */
    tt_backend_release(b.l2, TT_DEL);
    tt_call_join(&call);
    assert_int_equal(tt_cache_set_with(&b, &k, "old", 0, &t), CACHE_E_TICKET);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
}

static void many_invalidations_of_a_key_at_once_do_not_wait_for_each_other(void **state)
{
    enum { CALLS = 4 };
    struct tt_call calls[CALLS];
    (void)state;
    tt_backend_block(b.l2, TT_DEL, false);
    for (size_t i = 0; i < CALLS; i++) {
        calls[i] = (struct tt_call){ .verb = TT_VERB_INVALIDATE, .b = &b, .k = &k };
        tt_call_start(&calls[i]);
    }
    assert_true(tt_backend_await_blocked(b.l2, TT_DEL, CALLS)); /* all of them have been sent */
    tt_backend_release(b.l2, TT_DEL);
    for (size_t i = 0; i < CALLS; i++) {
        tt_call_join(&calls[i]);
        assert_int_equal(calls[i].answer.status, CACHE_OK);
    }
}

static void clearing_leaves_l2_alone(void **state)
{
    (void)state;
    assert_int_equal(tt_cache_set(&b, &k, "value"), CACHE_OK);
    uint64_t calls = tt_backend_calls(b.l2, TT_ANY_SLOT);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    assert_int_equal(tt_backend_calls(b.l2, TT_ANY_SLOT), calls);
    assert_int_equal(tt_cache_get(&b, &k).meta.tier, CACHE_TIER_L2);
}

/* Another process sees the deletion in L2, and its own copy lives out its l1_ttl_ms. */
static void another_process_reads_no_more_of_it_than_its_own_l1(void **state)
{
    static struct tt_cache other;
    struct cache_key same;
    (void)state;
    tt_cache_prepare_beside(&other, &b);
    tt_cache_open(&other);
    cache_key_str(cache_key_init(&k, b.type), "shared");
    cache_key_str(cache_key_init(&same, other.type), "shared");
    assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
    assert_answer(tt_cache_get(&other, &same), CACHE_OK, "old");
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_answer(tt_cache_get(&other, &same), CACHE_OK, "old");
    tt_clock_advance(&other.clock, 60000);
    assert_answer(tt_cache_get(&other, &same), CACHE_MISS, NULL);
    assert_true(tt_cache_close(&other));
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        FRESH(an_invalidation_drops_the_key_from_both_tiers),
        FRESH(a_key_that_is_only_in_l2_is_dropped_there),
        FRESH(no_other_key_is_touched),
        FRESH(whatever_l2_says_it_is_in_force_here),
        FRESH(while_l2_is_down_it_is_kept_without_asking),
        FRESH(what_was_read_during_an_invalidation_is_not_kept_after_it),
        FRESH(a_ticket_taken_during_an_invalidation_is_void_after_it),
        FRESH(many_invalidations_of_a_key_at_once_do_not_wait_for_each_other),
        FRESH(clearing_leaves_l2_alone),
        FRESH(another_process_reads_no_more_of_it_than_its_own_l1),
    };
    return cmocka_run_group_tests_name("invalidate", tests, NULL, NULL);
}
