/* Invalidations that L2 did not acknowledge: kept, coalesced by key, replayed before L2 is read again (COHERENCE R3,
 * R4); and past the bound, nothing that L2 held then is believed any more. */
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

static int setup(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    tt_cache_open(&b);
    return 0;
}

static int setup_small(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    b.opts.recovery_max_keys = 2;
    tt_cache_open(&b);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return tt_cache_close(&b) ? 0 : -1;
}

/* n keys whose values only L2 holds. */
static void fill_l2(struct cache_key *keys, size_t n, int64_t ttl_ms)
{
    for (size_t i = 0; i < n; i++) {
        tt_cache_key(&b, &keys[i]);
        assert_int_equal(tt_cache_set_with(&b, &keys[i], "old", ttl_ms, NULL), CACHE_OK);
    }
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
}

/* ---- kept and replayed ---- */

static void nothing_is_read_from_l2_before_the_replay(void **state)
{
    struct cache_key keys[2];
    (void)state;
    fill_l2(keys, 2, 0);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    assert_int_equal(cache_invalidate(b.c, &keys[0], NULL), CACHE_QUEUED);
    tt_backend_block(b.l2, TT_DEL, false);
    uint64_t reads = tt_backend_calls(b.l2, TT_GET) + tt_backend_calls(b.l2, TT_GET_MANY);
    uint64_t writes = tt_backend_calls(b.l2, TT_SET);
    tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
    assert_true(tt_backend_await_blocked(b.l2, TT_DEL, 1)); /* up, and the replay is under way */
    assert_int_equal(tt_cache_stats(&b).l2_state, CACHE_BACKEND_UP + 1);
    for (size_t i = 0; i < 2; i++) {
        struct tt_answer a = tt_cache_get(&b, &keys[i]);
        assert_int_equal(a.status, CACHE_MISS);
        assert_int_equal(a.meta.flags, CACHE_META_L2_OUT);
        struct cache_item item = { .key = &keys[i] };
        assert_int_equal(cache_get_many(b.c, &item, 1, NULL), CACHE_OK);
        assert_int_equal(item.status, CACHE_MISS);
        assert_int_equal(item.value.meta.flags, CACHE_META_L2_OUT);
    }
    struct tt_loader l;
    tt_loader_init(&l, "loaded");
    struct tt_answer a = tt_cache_fetch(&b, &keys[0], &l);
    assert_true(tt_answer_is(&a, CACHE_OK, "loaded"));
    assert_int_equal(a.meta.flags, CACHE_META_L2_OUT);
    assert_int_equal(tt_backend_calls(b.l2, TT_GET) + tt_backend_calls(b.l2, TT_GET_MANY), reads);
    assert_int_equal(tt_backend_calls(b.l2, TT_SET), writes);
    tt_backend_release(b.l2, TT_DEL);
    assert_true(tt_cache_await_replayed(&b));
    assert_int_equal(tt_cache_stats(&b).l2_state, CACHE_BACKEND_UP);
    assert_answer(tt_cache_get(&b, &keys[1]), CACHE_OK, "old"); /* it was never invalidated */
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    assert_answer(tt_cache_get(&b, &keys[0]), CACHE_MISS, NULL);
    tt_loader_fini(&l);
}

static void the_invalidations_of_a_key_are_one(void **state)
{
    struct cache_key keys[3];
    (void)state;
    fill_l2(keys, 3, 0);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    for (int i = 0; i < 100; i++)
        assert_int_equal(cache_invalidate(b.c, &keys[i % 3], NULL), CACHE_QUEUED);
    assert_int_equal(tt_cache_stats(&b).recovery_pending, 3);
    assert_int_equal(tt_cache_stats(&b).invalidations_queued, 100);
    tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
    assert_true(tt_cache_await_replayed(&b));
    assert_int_equal(tt_backend_elements(b.l2, TT_DEL_MANY) + tt_backend_elements(b.l2, TT_DEL), 3);
    assert_int_equal(tt_backend_count(b.l2), 0);
    assert_int_equal(tt_cache_stats(&b).recovery_replayed, 3);
    tt_assert_soon(tt_cache_told(&b, CACHE_EVENT_RECOVERY_DONE) == 1);
    assert_int_equal(tt_cache_last_event(&b, CACHE_EVENT_RECOVERY_DONE).count, 3);
}

static void thousands_are_replayed_in_batches(void **state)
{
    enum { KEYS = 1000 };
    struct cache_key k;
    (void)state;
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    for (uint64_t i = 0; i < KEYS; i++)
        assert_int_equal(cache_invalidate(b.c, cache_key_u64(cache_key_init(&k, b.type), i), NULL), CACHE_QUEUED);
    assert_int_equal(tt_cache_stats(&b).recovery_pending, KEYS);
    tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
    assert_true(tt_cache_await_replayed(&b));
    assert_int_equal(tt_backend_elements(b.l2, TT_DEL_MANY), KEYS);
    assert_true(tt_backend_calls(b.l2, TT_DEL_MANY) < KEYS / 50);
    assert_int_equal(tt_cache_stats(&b).recovery_replayed, KEYS);
}

/* What L2 refused stays, what it took goes; in the end all are gone. */
static void a_replay_that_fails_in_part_goes_on_with_the_rest(void **state)
{
    struct cache_key keys[6];
    (void)state;
    fill_l2(keys, 6, 0);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(cache_invalidate(b.c, &keys[i], NULL), CACHE_QUEUED);
    tt_backend_fail_elements(b.l2, TT_DEL_MANY, 0x2a, CACHE_E_REFUSED, TT_NOT_RUN);
    tt_backend_fail_elements(b.l2, TT_DEL_MANY, 0x1, CACHE_E_UNKNOWN, TT_NOT_RUN);
    tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
    assert_true(tt_cache_await_replayed(&b));
    assert_int_equal(tt_backend_count(b.l2), 0);
    assert_int_equal(tt_cache_stats(&b).recovery_replayed, 6);
}

/* An invalidation that comes while the deletion of an earlier one is on its way needs one of its own. */
static void an_invalidation_during_the_replay_is_replayed_again(void **state)
{
    struct cache_key k;
    (void)state;
    fill_l2(&k, 1, 0);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_QUEUED);
    tt_backend_block(b.l2, TT_DEL, true);
    tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
    assert_true(tt_backend_await_blocked(b.l2, TT_DEL, 1)); /* it has been executed, but not acknowledged */
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_QUEUED);
    tt_backend_poke(b.l2, tt_cache_l2_key(&k), (struct cache_slice){ "x", 1 }, 1000); /* by somebody else, before it */
    tt_backend_release(b.l2, TT_DEL);
    assert_true(tt_cache_await_replayed(&b));
    assert_int_equal(tt_backend_count(b.l2), 0);
    assert_int_equal(tt_backend_calls(b.l2, TT_DEL), 2);
}

/* Each of them wakes the worker, which still gives a server that refuses deletions time to change its mind. */
static void a_server_that_refuses_deletions_is_asked_more_and_more_rarely(void **state)
{
    struct cache_key k;
    (void)state;
    tt_backend_fail(b.l2, TT_DEL, 0, CACHE_E_REFUSED, TT_NOT_RUN);
    tt_backend_fail(b.l2, TT_DEL_MANY, 0, CACHE_E_REFUSED, TT_NOT_RUN);
    int64_t began_ms = tt_mono_ms();
    for (uint64_t i = 0; i < 2000; i++)
        assert_int_equal(cache_invalidate(b.c, cache_key_u64(cache_key_init(&k, b.type), i), NULL), CACHE_QUEUED);
    uint64_t asked = tt_backend_calls(b.l2, TT_DEL) + tt_backend_calls(b.l2, TT_DEL_MANY);
    int64_t took_ms = tt_mono_ms() - began_ms;
    assert_in_range(asked, 1, 3 + took_ms / 100); /* the first call, two attempts, one more each 100 ms at most */
    tt_backend_clear(b.l2);
    assert_true(tt_cache_await_replayed(&b));
}

static void l2_that_comes_back_is_not_kept_waiting(void **state)
{
    struct cache_key k;
    (void)state;
    tt_backend_fail(b.l2, TT_DEL, 0, CACHE_E_REFUSED, TT_NOT_RUN);
    tt_cache_key(&b, &k);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_QUEUED);
    tt_assert_soon(tt_backend_calls(b.l2, TT_DEL) >= 4); /* the pauses are 400 ms and more from here */
    tt_backend_clear(b.l2);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    tt_assert_soon(tt_cache_told(&b, CACHE_EVENT_L2_DOWN) == 1);
    int64_t began_ms = tt_mono_ms();
    tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
    assert_true(tt_cache_await_replayed(&b));
    assert_true(tt_mono_ms() - began_ms < 400 + TT_SLACK_MS);
}

static int (*true_del)(void *ctx, struct cache_slice key, int64_t deadline_ms);

static bool ends_with_mark(struct cache_slice key)
{
    return ((const char *)key.data)[key.len - 1] == 'x';
}

static void del_many_but_marked(void *ctx, struct cache_backend_item *it, size_t n, int64_t deadline_ms)
{
    for (size_t i = 0; i < n; i++)
        it[i].status = ends_with_mark(it[i].key) ? CACHE_E_REFUSED : true_del(ctx, it[i].key, deadline_ms);
}

static int del_but_marked(void *ctx, struct cache_slice key, int64_t deadline_ms)
{
    return ends_with_mark(key) ? CACHE_E_REFUSED : true_del(ctx, key, deadline_ms);
}

static void keys_that_are_refused_do_not_keep_the_others_waiting(void **state)
{
    enum { REFUSED = 300, OTHERS = 10 };
    struct cache_key k;
    (void)state;
    tt_cache_prepare(&b, true);
    true_del = tt_backend_table(b.l2)->del;
    tt_backend_table(b.l2)->del = del_but_marked;
    tt_backend_table(b.l2)->del_many = del_many_but_marked;
    tt_cache_open(&b);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    for (uint64_t i = 0; i < REFUSED + OTHERS; i++) {
        cache_key_u64(cache_key_init(&k, b.type), i);
        if (i < REFUSED)
            cache_key_str(&k, "x");
        assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_QUEUED);
    }
    tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
    tt_assert_soon(tt_cache_stats(&b).recovery_pending == REFUSED);
    assert_true(tt_cache_close(&b));
}

/* What is too long to be deleted was never stored: it would keep L2 shut for ever. */
static void a_key_that_is_too_long_for_l2_is_not_kept(void **state)
{
    struct cache_key k;
    (void)state;
    tt_cache_key(&b, &k);
    tt_backend_fail(b.l2, TT_SET, 1, CACHE_E_TOO_LARGE, TT_NOT_RUN);
    tt_backend_fail(b.l2, TT_DEL, 0, CACHE_E_TOO_LARGE, TT_NOT_RUN);
    assert_int_equal(tt_cache_set(&b, &k, "value"), CACHE_E_TOO_LARGE);
    assert_true(tt_cache_await_replayed(&b));
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
}

/* ---- past the bound ---- */

static void assert_overflows(uint64_t n)
{
    assert_int_equal(tt_cache_stats(&b).recovery_overflows, n);
    tt_assert_soon(tt_cache_told(&b, CACHE_EVENT_RECOVERY_OVERFLOW) >= 1);
    assert_int_equal(tt_cache_last_event(&b, CACHE_EVENT_RECOVERY_OVERFLOW).status, CACHE_E_UNKNOWN);
}

static void past_the_bound_what_l2_held_is_a_miss(void **state)
{
    struct cache_key keys[5];
    (void)state;
    fill_l2(keys, 5, 100000);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    assert_int_equal(cache_invalidate(b.c, &keys[0], NULL), CACHE_QUEUED);
    assert_int_equal(cache_invalidate(b.c, &keys[1], NULL), CACHE_QUEUED);
    assert_int_equal(cache_invalidate(b.c, &keys[2], NULL), CACHE_E_UNKNOWN);
    assert_int_equal(cache_invalidate(b.c, &keys[0], NULL), CACHE_QUEUED); /* coalesced: there is room for it */
    assert_overflows(1);
    tt_clock_advance(&b.clock, 10);
    tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
    assert_true(tt_cache_await_replayed(&b));
    for (size_t i = 0; i < 5; i++) { /* keys 3 and 4 too: it is not known which were lost */
        struct tt_answer a = tt_cache_get(&b, &keys[i]);
        assert_int_equal(a.status, CACHE_MISS);
        assert_int_equal(a.meta.flags, 0);
    }
    assert_int_equal(tt_cache_stats(&b).l2_distrusted, 3); /* two were deleted */
}

static void what_was_written_after_it_is_believed(void **state)
{
    static struct tt_cache other;
    struct cache_key keys[3], same;
    (void)state;
    fill_l2(keys, 3, 100000);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    for (size_t i = 0; i < 3; i++)
        cache_invalidate(b.c, &keys[i], NULL);
    assert_overflows(1);
    tt_clock_advance(&b.clock, 10);
    tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
    assert_true(tt_cache_await_replayed(&b));
    assert_int_equal(tt_cache_set(&b, &keys[2], "mine"), CACHE_OK);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    tt_clock_advance(&b.clock, 10);
    assert_answer(tt_cache_get(&b, &keys[2]), CACHE_OK, "mine");

    tt_cache_prepare_beside(&other, &b); /* another process writes the same key */
    tt_cache_open(&other);
    tt_clock_advance(&other.clock, tt_clock_mono_ms(&b.clock) - tt_clock_mono_ms(&other.clock)); /* L2 has one clock */
    cache_key_str(cache_key_init(&same, other.type), "shared");
    assert_int_equal(tt_cache_set(&other, &same, "its"), CACHE_OK);
    tt_clock_advance(&b.clock, 10);
    struct cache_key shared;
    cache_key_str(cache_key_init(&shared, b.type), "shared");
    assert_answer(tt_cache_get(&b, &shared), CACHE_OK, "its");
    assert_true(tt_cache_close(&other));
}

static void what_never_expires_is_believed_again_when_written_after_it(void **state)
{
    struct cache_key keys[3];
    (void)state;
    fill_l2(keys, 3, CACHE_TTL_FOREVER);
    assert_int_equal(tt_cache_get(&b, &keys[2]).meta.ttl_ms, 60000); /* in L1; in L2 it has no end */
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    for (size_t i = 0; i < 3; i++)
        cache_invalidate(b.c, &keys[i], NULL);
    assert_overflows(1);
    tt_clock_advance(&b.clock, 10);
    tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
    assert_true(tt_cache_await_replayed(&b));
    assert_answer(tt_cache_get(&b, &keys[2]), CACHE_MISS, NULL);
    assert_int_equal(tt_cache_set_with(&b, &keys[2], "new", CACHE_TTL_FOREVER, NULL), CACHE_OK);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    tt_clock_advance(&b.clock, 10);
    assert_answer(tt_cache_get(&b, &keys[2]), CACHE_OK, "new");
}

static void a_type_that_comes_to_use_l2_does_not_believe_what_lay_there_before(void **state)
{
    struct cache_key keys[2];
    char err[160];
    (void)state;
    fill_l2(keys, 2, 100000);
    b.type_opts.flags = CACHE_TYPE_NO_L2;
    assert_int_equal(cache_type_update(b.type, &b.type_opts, err, sizeof err), CACHE_OK);
    assert_int_equal(cache_invalidate(b.c, &keys[0], NULL), CACHE_OK); /* L2 is not told */
    b.type_opts.flags = 0;
    assert_int_equal(cache_type_update(b.type, &b.type_opts, err, sizeof err), CACHE_OK);
    tt_clock_advance(&b.clock, 10);
    assert_answer(tt_cache_get(&b, &keys[0]), CACHE_MISS, NULL);
    assert_int_equal(tt_cache_stats(&b).l2_distrusted, 1);
    assert_int_equal(tt_cache_set(&b, &keys[1], "new"), CACHE_OK);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    tt_clock_advance(&b.clock, 10);
    assert_int_equal(cache_type_update(b.type, &b.type_opts, err, sizeof err), CACHE_OK); /* changes nothing of that */
    assert_answer(tt_cache_get(&b, &keys[1]), CACHE_OK, "new");
}

/* The bound is one of memory: a key of a quarter of a megabyte is not one of 65,536. */
static void a_long_key_takes_the_place_of_several(void **state)
{
    static char text[300];
    struct cache_key k;
    (void)state;
    memset(text, 'x', sizeof text);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    cache_key_bytes(cache_key_init(&k, b.type), text, sizeof text);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_QUEUED);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_QUEUED);
    cache_key_fini(&k);
    tt_cache_key(&b, &k);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_E_UNKNOWN);
    assert_int_equal(tt_cache_stats(&b).recovery_pending, 1);
    tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
    assert_true(tt_cache_await_replayed(&b));
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_QUEUED);
}

/* FAULTS 54, 56: what L2 does not know the end of cannot be dated but by a clock on the wall, which proves nothing. */
static void no_wall_clock_vouches_for_a_value(void **state)
{
    static const int64_t jumps_ms[] = { 0, -3600000, 3600000, -86400000 };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(jumps_ms); i++) {
        struct cache_key keys[3];
        setup_small(NULL);
        fill_l2(keys, 3, CACHE_TTL_FOREVER);
        tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
        for (size_t k = 0; k < 3; k++)
            cache_invalidate(b.c, &keys[k], NULL);
        assert_overflows(1);
        tt_clock_jump_wall(&b.clock, jumps_ms[i]);
        tt_clock_advance(&b.clock, 10);
        tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
        assert_true(tt_cache_await_replayed(&b));
        assert_answer(tt_cache_get(&b, &keys[2]), CACHE_MISS, NULL);
        assert_int_equal(tt_cache_stats(&b).l2_distrusted, 1);
        teardown(NULL);
    }
}

/* FAULTS 49 */
static void an_invalidation_without_memory_is_past_the_bound(void **state)
{
    struct cache_key k;
    (void)state;
    fill_l2(&k, 1, 100000);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    tt_alloc_fail(&b.alloc, 1, true);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_E_UNKNOWN);
    tt_alloc_fail(&b.alloc, 0, false);
    assert_overflows(1);
    tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
    tt_clock_advance(&b.clock, 10);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_int_equal(tt_cache_stats(&b).l2_distrusted, 1);
}

static void a_storm_past_the_bound_is_told_in_few_events(void **state)
{
    struct cache_key k;
    (void)state;
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    for (uint64_t i = 0; i < 1000; i++)
        cache_invalidate(b.c, cache_key_u64(cache_key_init(&k, b.type), i), NULL);
    assert_int_equal(tt_cache_stats(&b).recovery_pending, 2);
    assert_overflows(998);
}

int main(void)
{
#define FRESH(test, with) cmocka_unit_test_setup_teardown(test, with, teardown)
    const struct CMUnitTest tests[] = {
        FRESH(nothing_is_read_from_l2_before_the_replay, setup),
        FRESH(the_invalidations_of_a_key_are_one, setup),
        FRESH(thousands_are_replayed_in_batches, setup),
        FRESH(a_replay_that_fails_in_part_goes_on_with_the_rest, setup),
        FRESH(an_invalidation_during_the_replay_is_replayed_again, setup),
        FRESH(a_server_that_refuses_deletions_is_asked_more_and_more_rarely, setup),
        FRESH(l2_that_comes_back_is_not_kept_waiting, setup),
        cmocka_unit_test(keys_that_are_refused_do_not_keep_the_others_waiting),
        FRESH(a_key_that_is_too_long_for_l2_is_not_kept, setup),
        FRESH(past_the_bound_what_l2_held_is_a_miss, setup_small),
        FRESH(what_was_written_after_it_is_believed, setup_small),
        FRESH(what_never_expires_is_believed_again_when_written_after_it, setup_small),
        FRESH(a_type_that_comes_to_use_l2_does_not_believe_what_lay_there_before, setup),
        FRESH(a_long_key_takes_the_place_of_several, setup_small),
        cmocka_unit_test(no_wall_clock_vouches_for_a_value),
        FRESH(an_invalidation_without_memory_is_past_the_bound, setup),
        FRESH(a_storm_past_the_bound_is_told_in_few_events, setup_small),
    };
    return cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
}
