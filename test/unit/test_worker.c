/* The cache's one thread: when there is one, what it is called, which signals reach it, and what it tells. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_tasks.h"
#include "fake/tt_util.h"

static struct tt_cache b;

static int do_nothing(void *arg, unsigned index)
{
    (void)arg;
    (void)index;
    return 0;
}

/* With its first thread a program gets those that a sanitizer starts beside it: not to be counted here. */
static int start_a_first_thread(void **state)
{
    (void)state;
    return tt_crew_join(tt_crew_start(1, do_nothing, NULL));
}

static void without_l2_there_is_no_thread(void **state)
{
    struct tt_tasks before;
    (void)state;
    tt_tasks_look(&before);
    tt_cache_prepare(&b, false);
    tt_cache_open(&b);
    struct cache_key k;
    struct tt_loader l;
    tt_cache_key(&b, &k);
    tt_loader_init(&l, "loaded");
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, "loaded");
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(tt_tasks_since(&before, "tiercache").all, 0);
    tt_loader_fini(&l);
    assert_true(tt_cache_close(&b));
}

/* FAULTS 36, 42 */
static void with_l2_there_is_one_thread_that_no_signal_reaches(void **state)
{
    struct tt_tasks before;
    (void)state;
    tt_tasks_look(&before);
    sigset_t mask, after;
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    tt_cache_prepare(&b, true);
    tt_cache_open(&b);
    struct tt_new_tasks t = tt_tasks_since(&before, "tiercache");
    assert_int_equal(t.all, 1);
    assert_int_equal(t.named, 1);
    for (int sig = 1; sig <= 64; sig++) {
        bool never = sig == SIGKILL || sig == SIGSTOP || (sig >= 32 && sig < SIGRTMIN); /* the C library's own */
        if (!never)
            assert_true(t.blocked >> (sig - 1) & 1);
    }
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
    for (int sig = 1; sig < SIGRTMAX; sig++)
        assert_int_equal(sigismember(&mask, sig), sigismember(&after, sig));
    assert_true(tt_cache_close(&b));
    tt_assert_soon(tt_tasks_since(&before, "tiercache").all == 0);
}

static void it_tells_when_l2_comes_and_goes(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    tt_cache_open(&b);
    tt_assert_soon(tt_cache_told(&b, CACHE_EVENT_L2_UP) == 1);
    for (unsigned i = 1; i <= 3; i++) {
        tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
        tt_assert_soon(tt_cache_told(&b, CACHE_EVENT_L2_DOWN) == i);
        assert_int_equal(tt_cache_last_event(&b, CACHE_EVENT_L2_DOWN).status, CACHE_E_UNAVAILABLE);
        assert_int_equal(tt_cache_stats(&b).l2_state, CACHE_BACKEND_DOWN);
        tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
        tt_assert_soon(tt_cache_told(&b, CACHE_EVENT_L2_UP) == i + 1);
        assert_int_equal(tt_cache_last_event(&b, CACHE_EVENT_L2_UP).status, CACHE_OK);
        assert_int_equal(tt_cache_stats(&b).l2_state, CACHE_BACKEND_UP);
    }
    assert_true(tt_cache_close(&b));
}

static void an_l2_that_is_down_from_the_start_is_told_once(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    tt_cache_open(&b);
    tt_assert_soon(tt_cache_told(&b, CACHE_EVENT_L2_DOWN) == 1);
    tt_backend_set_health(b.l2, CACHE_BACKEND_CONNECTING);
    uint64_t maintained = tt_backend_maintains(b.l2);
    tt_assert_soon(tt_backend_maintains(b.l2) >= maintained);
    tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
    tt_assert_soon(tt_cache_told(&b, CACHE_EVENT_L2_UP) == 1);
    assert_int_equal(tt_cache_told(&b, CACHE_EVENT_L2_DOWN), 1);
    assert_true(tt_cache_close(&b));
}

/* ---- maintain() is called as the table asks ---- */

static _Atomic unsigned maintained;
static _Atomic int64_t wanted_ms;

static int64_t maintain_as_wanted(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&maintained, 1);
    return atomic_load(&wanted_ms);
}

static void the_backend_is_maintained_when_it_asked_for_it(void **state)
{
    (void)state;
    atomic_store(&wanted_ms, 1);
    atomic_store(&maintained, 0);
    tt_cache_prepare(&b, true);
    tt_backend_table(b.l2)->maintain = maintain_as_wanted;
    tt_cache_open(&b);
    tt_assert_soon(atomic_load(&maintained) >= 10);
    atomic_store(&wanted_ms, -1);
    assert_true(tt_cache_close(&b));
}

static void the_backend_is_maintained_when_it_wakes_the_cache(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    tt_cache_open(&b);
    assert_int_equal(tt_backend_maintains(b.l2), 1); /* before cache_open() returned */
    tt_backend_set_health(b.l2, CACHE_BACKEND_CONNECTING);
    tt_assert_soon(tt_backend_maintains(b.l2) >= 2);
    assert_true(tt_cache_close(&b));
}

/* A close that found the worker inside L2 gave up nothing: what is queued is still replayed. */
static void after_a_close_that_came_too_early_it_goes_on(void **state)
{
    struct cache_key k;
    (void)state;
    tt_cache_prepare(&b, true);
    b.opts.l2_timeout_ms = 20;
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_QUEUED);
    tt_backend_fail(b.l2, TT_DEL, 1, CACHE_E_UNAVAILABLE, TT_NOT_RUN);
    tt_backend_block(b.l2, TT_DEL, false);
    tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
    assert_true(tt_backend_await_blocked(b.l2, TT_DEL, 1));
    assert_int_equal(cache_close(b.c, 0), CACHE_BUSY);
    tt_backend_release(b.l2, TT_DEL);
    assert_int_equal(cache_close(b.c, 60000), CACHE_OK);
    assert_int_equal(tt_backend_calls(b.l2, TT_DEL), 2);
    assert_int_equal(tt_cache_told(&b, CACHE_EVENT_RECOVERY_ABANDONED), 0);
    assert_true(tt_cache_fini(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_l2_there_is_no_thread),
        cmocka_unit_test(with_l2_there_is_one_thread_that_no_signal_reaches),
        cmocka_unit_test(it_tells_when_l2_comes_and_goes),
        cmocka_unit_test(an_l2_that_is_down_from_the_start_is_told_once),
        cmocka_unit_test(the_backend_is_maintained_when_it_asked_for_it),
        cmocka_unit_test(the_backend_is_maintained_when_it_wakes_the_cache),
        cmocka_unit_test(after_a_close_that_came_too_early_it_goes_on),
    };
    return cmocka_run_group_tests_name("worker", tests, start_a_first_thread, NULL);
}
