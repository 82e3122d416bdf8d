/* Storing in both tiers: what each of L2's answers makes of a set and of a fill, and the order of values on their way
 * to L2 with what overtakes them. */
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

enum { SHORT_MS = 50 };

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

static struct cache_ticket take_ticket(void)
{
    struct cache_ticket t;
    assert_answer(tt_cache_get_with(&b, &k, 0, 0, &t), CACHE_MISS, NULL);
    return t;
}

static bool is_in_l2(void)
{
    void *bytes;
    size_t len;
    bool is = tt_backend_peek(b.l2, tt_cache_l2_key(&k), &bytes, &len);
    if (is)
        free(bytes);
    return is;
}

static struct tt_answer from_l1(void)
{
    return tt_cache_get_with(&b, &k, CACHE_CALL_L1_ONLY, 0, NULL);
}

/* ---- a set ---- */

static void a_set_reaches_both_tiers(void **state)
{
    (void)state;
    assert_int_equal(tt_cache_set(&b, &k, "value"), CACHE_OK);
    assert_true(is_in_l2());
    assert_answer(from_l1(), CACHE_OK, "value");
    assert_int_equal(tt_cache_stats(&b).l2_sets, 1);
}

/* The older value that L2 may still hold is deleted before L2 is used again. */
static void a_set_that_l2_did_not_take_is_kept_here_and_l2_told_later(void **state)
{
    static const int failures[] = { CACHE_E_UNAVAILABLE, CACHE_E_TIMEOUT, CACHE_E_UNKNOWN, CACHE_E_REFUSED,
                                    CACHE_E_AUTH,        CACHE_E_PROTOCOL, CACHE_MISS,     77, -77 };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(failures); i++) {
        assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
        tt_backend_block(b.l2, TT_DEL, false);
        tt_backend_fail(b.l2, TT_SET, 1, failures[i], TT_NOT_RUN);
        assert_int_equal(tt_cache_set(&b, &k, "new"), CACHE_QUEUED);
        assert_answer(from_l1(), CACHE_OK, "new");
        assert_true(is_in_l2());
        assert_int_equal(cache_clear_local(b.c), CACHE_OK);
        struct tt_answer a = tt_cache_get(&b, &k); /* not "old" */
        assert_true(tt_answer_is(&a, CACHE_MISS, NULL));
        assert_int_equal(a.meta.flags, CACHE_META_L2_OUT);
        tt_backend_release(b.l2, TT_DEL);
        assert_true(tt_cache_await_replayed(&b));
        assert_false(is_in_l2());
    }
    assert_int_equal(tt_cache_stats(&b).l2_set_failed, TC_ARRAY_LEN(failures));
    assert_int_equal(tt_cache_stats(&b).recovery_replayed, TC_ARRAY_LEN(failures));
}

static void a_set_whose_answer_was_lost_leaves_nothing_behind_in_l2(void **state)
{
    (void)state;
    tt_backend_fail(b.l2, TT_SET, 1, CACHE_E_UNKNOWN, TT_RUN);
    assert_int_equal(tt_cache_set(&b, &k, "new"), CACHE_QUEUED);
    assert_true(tt_cache_await_replayed(&b));
    assert_false(is_in_l2());
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "new"); /* from L1 */
}

/* Who sets a value says that the former one is none any more, whether the new one can be stored or not. */
static void a_set_that_is_not_stored_leaves_nothing_older_in_either_tier(void **state)
{
    static const int failures[] = { CACHE_E_TOO_LARGE, CACHE_E_NOMEM };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(failures); i++) {
        assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
        tt_backend_fail(b.l2, TT_SET, 1, failures[i], TT_NOT_RUN);
        assert_int_equal(tt_cache_set(&b, &k, "new"), failures[i]);
        assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
        assert_true(tt_cache_await_replayed(&b));
        assert_false(is_in_l2());
    }
}

static void a_value_that_cannot_be_prepared_leaves_nothing_older_in_either_tier(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    b.opts.max_value_bytes = 1000;
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    struct cache_item it = { .key = &k, .data = "", .len = 1001 };
    assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
    assert_int_equal(tt_cache_set_bytes(&b, &k, 1001), CACHE_E_TOO_LARGE);
    assert_false(is_in_l2());
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
    assert_int_equal(cache_set_many(b.c, &it, 1, NULL), CACHE_OK);
    assert_int_equal(it.status, CACHE_E_TOO_LARGE);
    assert_false(is_in_l2());
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_true(tt_cache_close(&b));
}

/* The answer to a miss says nothing about what is there. */
static void a_fill_that_cannot_be_prepared_changes_nothing(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    b.opts.max_value_bytes = 1000;
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    struct cache_ticket t = take_ticket();
    assert_int_equal(tt_cache_set_with(&b, &k, "answer", 0, &t), CACHE_OK);
    struct cache_set_opts o = CACHE_SET_OPTS_INIT;
    char large[1001] = "";
    o.ticket = &t;
    assert_int_equal(cache_set(b.c, &k, large, sizeof large, &o), CACHE_E_TOO_LARGE);
    assert_true(is_in_l2());
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "answer");
    assert_true(tt_cache_close(&b));
}

static void while_l2_is_down_a_set_is_kept_here(void **state)
{
    (void)state;
    assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    assert_int_equal(tt_cache_set(&b, &k, "new"), CACHE_QUEUED);
    assert_int_equal(tt_cache_set(&b, &k, "newer"), CACHE_QUEUED);
    assert_int_equal(tt_cache_stats(&b).recovery_pending, 1);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "newer");
    assert_int_equal(tt_backend_calls(b.l2, TT_SET), 1);
    tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
    assert_true(tt_cache_await_replayed(&b));
    assert_false(is_in_l2());
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "newer");
}

static void a_set_whose_invalidation_cannot_be_kept_says_so(void **state)
{
    struct cache_key other;
    (void)state;
    tt_cache_prepare(&b, true);
    b.opts.recovery_max_keys = 1;
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    tt_cache_key(&b, &other);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    assert_int_equal(tt_cache_set(&b, &k, "one"), CACHE_QUEUED);
    assert_int_equal(tt_cache_set(&b, &other, "two"), CACHE_E_UNKNOWN);
    assert_answer(tt_cache_get(&b, &other), CACHE_OK, "two");
    assert_true(tt_cache_close(&b));
}

/* ---- a fill ---- */

/* L2 had a miss: if it did not take the value it still has none. Only an answer that was lost leaves a doubt. */
static void a_fill_that_l2_did_not_take_is_kept_here(void **state)
{
    static const struct {
        int says;
        bool in_doubt;
    } failures[] = { { CACHE_E_UNAVAILABLE, false }, { CACHE_E_TIMEOUT, false }, { CACHE_E_REFUSED, false },
                     { CACHE_E_AUTH, false },        { CACHE_E_UNKNOWN, true },  { 77, true } };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(failures); i++) {
        uint64_t replayed = tt_cache_stats(&b).recovery_replayed;
        struct cache_ticket t = take_ticket();
        tt_backend_fail(b.l2, TT_SET, 1, failures[i].says, TT_NOT_RUN);
        assert_int_equal(tt_cache_set_with(&b, &k, "answer", 0, &t), CACHE_QUEUED);
        assert_answer(from_l1(), CACHE_OK, "answer");
        assert_true(tt_cache_await_replayed(&b));
        assert_int_equal(tt_cache_stats(&b).recovery_replayed - replayed, failures[i].in_doubt);
        assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    }
}

static void a_fill_that_was_refused_for_good_is_not_stored(void **state)
{
    static const int failures[] = { CACHE_E_TOO_LARGE, CACHE_E_NOMEM };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(failures); i++) {
        struct cache_ticket t = take_ticket();
        tt_backend_fail(b.l2, TT_SET, 1, failures[i], TT_NOT_RUN);
        assert_int_equal(tt_cache_set_with(&b, &k, "answer", 0, &t), failures[i]);
        assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    }
}

static void while_l2_is_down_a_fill_is_kept_here(void **state)
{
    (void)state;
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    struct cache_ticket t = take_ticket();
    assert_int_equal(tt_cache_set_with(&b, &k, "answer", 0, &t), CACHE_QUEUED);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "answer");
    assert_int_equal(tt_backend_calls(b.l2, TT_SET), 0);
}

/* ---- what overtakes what ---- */

static void start_fill(struct tt_call *call, const struct cache_ticket *t, const char *text)
{
    *call = (struct tt_call){ .verb = TT_VERB_SET, .b = &b, .k = &k, .text = text, .ticket = t };
    tt_backend_block(b.l2, TT_SET, false);
    tt_call_start(call);
    assert_true(tt_backend_await_blocked(b.l2, TT_SET, 1));
}

/* FAULTS 62, 64: the deletion waits until the value that is on its way has arrived. */
static void an_invalidation_comes_after_the_fill_that_was_on_its_way(void **state)
{
    struct tt_call fill, invalidation = { .verb = TT_VERB_INVALIDATE, .b = &b, .k = &k };
    (void)state;
    struct cache_ticket t = take_ticket();
    start_fill(&fill, &t, "old");
    tt_call_start(&invalidation);
    assert_true(tt_call_await_asleep(&invalidation));
    assert_int_equal(tt_backend_calls(b.l2, TT_DEL), 0);
    tt_backend_release(b.l2, TT_SET);
    tt_call_join(&fill);
    tt_call_join(&invalidation);
    assert_int_equal(invalidation.answer.status, CACHE_OK);
    assert_true(fill.answer.status == CACHE_OK || fill.answer.status == CACHE_E_TICKET);
    assert_false(is_in_l2());
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
}

/* FAULTS 62, 64: it had no time to wait, so the fill cleans up after itself. */
static void an_invalidation_that_could_not_wait_for_a_fill_is_not_lost(void **state)
{
    struct tt_call fill;
    struct cache_call o = CACHE_CALL_INIT;
    (void)state;
    struct cache_ticket t = take_ticket();
    start_fill(&fill, &t, "old");
    o.timeout_ms = SHORT_MS;
    assert_int_equal(cache_invalidate(b.c, &k, &o), CACHE_QUEUED);
    assert_true(tt_cache_await_replayed(&b)); /* the deletion has been executed, before the fill */
    tt_backend_release(b.l2, TT_SET);
    tt_call_join(&fill);
    assert_int_equal(fill.answer.status, CACHE_E_TICKET);
    assert_true(tt_cache_await_replayed(&b));
    assert_false(is_in_l2());
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
}

static void a_set_comes_after_the_fill_that_was_on_its_way(void **state)
{
    struct tt_call fill, set = { .verb = TT_VERB_SET, .b = &b, .k = &k, .text = "written" };
    (void)state;
    struct cache_ticket t = take_ticket();
    start_fill(&fill, &t, "old");
    tt_call_start(&set);
    assert_true(tt_call_await_asleep(&set));
    assert_int_equal(tt_backend_calls(b.l2, TT_SET), 1);
    tt_backend_release(b.l2, TT_SET);
    tt_call_join(&fill);
    tt_call_join(&set);
    assert_int_equal(set.answer.status, CACHE_OK);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "written");
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "written");
}

static void a_set_that_got_no_turn_in_time_is_not_stored(void **state)
{
    struct tt_call first = { .verb = TT_VERB_SET, .b = &b, .k = &k, .text = "first" };
    struct cache_set_opts o = CACHE_SET_OPTS_INIT;
    (void)state;
    tt_backend_block(b.l2, TT_SET, false);
    tt_call_start(&first);
    assert_true(tt_backend_await_blocked(b.l2, TT_SET, 1));
    o.timeout_ms = SHORT_MS;
    assert_int_equal(cache_set(b.c, &k, "second", 6, &o), CACHE_E_TIMEOUT);
    assert_true(tt_cache_await_replayed(&b)); /* an invalidation went in its place */
    assert_int_equal(tt_backend_calls(b.l2, TT_DEL), 1);
    tt_backend_release(b.l2, TT_SET);
    tt_call_join(&first);
    assert_int_equal(first.answer.status, CACHE_OK);
    assert_true(tt_cache_await_replayed(&b)); /* again: the first came after that */
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
}

/* FAULTS 62, 64: the deletion was executed before the value arrived. */
static void an_invalidation_that_could_not_wait_for_a_set_is_not_lost(void **state)
{
    struct tt_call set = { .verb = TT_VERB_SET, .b = &b, .k = &k, .text = "old" };
    struct cache_call o = CACHE_CALL_INIT;
    (void)state;
    o.timeout_ms = SHORT_MS;
    tt_backend_block(b.l2, TT_SET, false);
    tt_call_start(&set);
    assert_true(tt_backend_await_blocked(b.l2, TT_SET, 1));
    assert_int_equal(cache_invalidate(b.c, &k, &o), CACHE_QUEUED);
    assert_true(tt_cache_await_replayed(&b));
    assert_int_equal(tt_cache_get(&b, &k).meta.flags, CACHE_META_L2_OUT);
    tt_backend_release(b.l2, TT_SET);
    tt_call_join(&set);
    assert_int_equal(set.answer.status, CACHE_OK);
    assert_answer(from_l1(), CACHE_MISS, NULL);
    assert_true(tt_cache_await_replayed(&b));
    assert_false(is_in_l2());
}

/* FAULTS 64: the deletion was executed before the fill it could not wait for; until that has cleaned up after itself
 * L2 may hold what the invalidation was about. */
static void while_a_fill_that_nobody_waited_for_is_on_its_way_l2_is_not_asked(void **state)
{
    struct tt_call fill;
    struct cache_call o = CACHE_CALL_INIT;
    (void)state;
    struct cache_ticket t = take_ticket();
    fill = (struct tt_call){ .verb = TT_VERB_SET, .b = &b, .k = &k, .text = "old", .ticket = &t };
    tt_backend_block(b.l2, TT_SET, true); /* the value arrives, its answer does not */
    tt_call_start(&fill);
    assert_true(tt_backend_await_blocked(b.l2, TT_SET, 1));
    o.timeout_ms = SHORT_MS;
    assert_int_equal(cache_invalidate(b.c, &k, &o), CACHE_QUEUED);
    assert_true(tt_cache_await_replayed(&b));
    uint64_t gets = tt_backend_calls(b.l2, TT_GET);
    struct tt_answer a = tt_cache_get(&b, &k);
    assert_true(tt_answer_is(&a, CACHE_MISS, NULL));
    assert_int_equal(a.meta.flags, CACHE_META_L2_OUT);
    assert_int_equal(tt_backend_calls(b.l2, TT_GET), gets);
    tt_backend_release(b.l2, TT_SET);
    tt_call_join(&fill);
    assert_int_equal(fill.answer.status, CACHE_E_TICKET);
    assert_true(tt_cache_await_replayed(&b));
    a = tt_cache_get(&b, &k);
    assert_int_equal(a.meta.flags, 0);
    assert_int_equal(tt_backend_calls(b.l2, TT_GET), gets + 1);
}

/* A fill that comes while a write is under way answers a question that is no longer asked. */
static void a_fill_that_meets_a_write_is_refused(void **state)
{
    struct tt_call set = { .verb = TT_VERB_SET, .b = &b, .k = &k, .text = "written" };
    (void)state;
    struct cache_ticket t = take_ticket();
    tt_backend_block(b.l2, TT_SET, false);
    tt_call_start(&set);
    assert_true(tt_backend_await_blocked(b.l2, TT_SET, 1));
    assert_int_equal(tt_cache_set_with(&b, &k, "old", 0, &t), CACHE_E_TICKET);
    tt_backend_release(b.l2, TT_SET);
    tt_call_join(&set);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "written");
}

/* ---- values that have no place in L1 ---- */

static void keep_short_ones_only(void *ctx, const struct cache_ttl_view *view, struct cache_ttl *ttl)
{
    (void)ctx;
    if (view->value_len > 5)
        ttl->l1_ttl_ms = CACHE_TTL_NONE;
}

static const struct cache_ttl_ops short_ones = { CACHE_HOOKS_ABI, keep_short_ones_only };

static void open_with_policy(bool with_l2)
{
    tt_cache_prepare(&b, with_l2);
    b.type_opts.ttl_policy = &short_ones;
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
}

static void a_value_that_stays_out_of_l1_replaces_the_one_in_it(void **state)
{
    (void)state;
    for (int with_l2 = 0; with_l2 < 2; with_l2++) {
        open_with_policy(with_l2);
        assert_int_equal(tt_cache_set(&b, &k, "small"), CACHE_OK);
        assert_int_equal(tt_cache_set(&b, &k, "larger"), CACHE_OK);
        if (with_l2)
            assert_answer(tt_cache_get(&b, &k), CACHE_OK, "larger");
        else
            assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
        assert_true(tt_cache_close(&b));
    }
}

static void what_was_read_during_a_write_is_not_kept_after_it(void **state)
{
    struct tt_call set = { .verb = TT_VERB_SET, .b = &b, .k = &k, .text = "larger" };
    (void)state;
    open_with_policy(true);
    assert_int_equal(tt_cache_set(&b, &k, "small"), CACHE_OK);
    tt_backend_block(b.l2, TT_SET, false);
    tt_call_start(&set);
    assert_true(tt_backend_await_blocked(b.l2, TT_SET, 1));
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "small"); /* the write is not done yet */
    tt_backend_release(b.l2, TT_SET);
    tt_call_join(&set);
    assert_int_equal(set.answer.status, CACHE_OK);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "larger");
    assert_true(tt_cache_close(&b));
}

static void a_void_ticket_is_refused_for_them_too(void **state)
{
    (void)state;
    open_with_policy(false);
    struct cache_ticket t = take_ticket();
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(tt_cache_set_with(&b, &k, "larger", 0, &t), CACHE_E_TICKET);
    assert_true(tt_cache_close(&b));
}

static void what_l2_knows_of_their_life_is_told(void **state)
{
    (void)state;
    open_with_policy(true);
    assert_int_equal(tt_cache_set_with(&b, &k, "larger", 1000, NULL), CACHE_OK);
    tt_clock_advance(&b.clock, 400);
    assert_int_equal(tt_cache_get(&b, &k).meta.ttl_ms, 600);
    assert_true(tt_cache_close(&b));
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        FRESH(a_set_reaches_both_tiers),
        FRESH(a_set_that_l2_did_not_take_is_kept_here_and_l2_told_later),
        FRESH(a_set_whose_answer_was_lost_leaves_nothing_behind_in_l2),
        FRESH(a_set_that_is_not_stored_leaves_nothing_older_in_either_tier),
        cmocka_unit_test(a_value_that_cannot_be_prepared_leaves_nothing_older_in_either_tier),
        cmocka_unit_test(a_fill_that_cannot_be_prepared_changes_nothing),
        FRESH(while_l2_is_down_a_set_is_kept_here),
        cmocka_unit_test(a_set_whose_invalidation_cannot_be_kept_says_so),
        FRESH(a_fill_that_l2_did_not_take_is_kept_here),
        FRESH(a_fill_that_was_refused_for_good_is_not_stored),
        FRESH(while_l2_is_down_a_fill_is_kept_here),
        FRESH(an_invalidation_comes_after_the_fill_that_was_on_its_way),
        FRESH(an_invalidation_that_could_not_wait_for_a_fill_is_not_lost),
        FRESH(a_set_comes_after_the_fill_that_was_on_its_way),
        FRESH(a_set_that_got_no_turn_in_time_is_not_stored),
        FRESH(an_invalidation_that_could_not_wait_for_a_set_is_not_lost),
        FRESH(while_a_fill_that_nobody_waited_for_is_on_its_way_l2_is_not_asked),
        FRESH(a_fill_that_meets_a_write_is_refused),
        cmocka_unit_test(a_value_that_stays_out_of_l1_replaces_the_one_in_it),
        cmocka_unit_test(what_was_read_during_a_write_is_not_kept_after_it),
        cmocka_unit_test(a_void_ticket_is_refused_for_them_too),
        cmocka_unit_test(what_l2_knows_of_their_life_is_told),
    };
    return cmocka_run_group_tests_name("write", tests, NULL, NULL);
}
