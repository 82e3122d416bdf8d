/* Loaders that do not come back, and threads that are cancelled: whoever waits is told, no lock stays taken, nothing
 * leaks, the cache can be closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unwind.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"

static struct tt_cache b;
static struct tt_loader l;
static struct cache_key k;

static int setup(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    b.opts.timeout_ms = 20000;
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

/* The cache is as good as new, and knows of one load that failed. */
static void assert_sane(void)
{
    struct tt_loader fresh;
    struct cache_stats s = tt_cache_stats(&b);
    assert_int_equal(s.load_errors, 1);
    assert_int_equal(s.l1_pins, 0);
    assert_int_equal(s.l1_detached_bytes, 0);
    tt_loader_init(&fresh, "fresh");
    assert_answer(tt_cache_fetch_with(&b, &k, &fresh, CACHE_FETCH_NO_STALE, 0), CACHE_OK, "fresh");
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "fresh");
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    tt_loader_fini(&fresh);
}

/* Makes the stale value that a fetch pins while it loads. */
static void make_stale(void)
{
    assert_int_equal(tt_cache_set(&b, &k, "stale"), CACHE_OK);
    tt_backend_erase_all(b.l2);
    tt_clock_advance(&b.clock, 1000);
}

/* Calls that wait for the load which is at its barrier. */
static void start_waiters(struct tt_call *waiters, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        waiters[i] = (struct tt_call){ .verb = TT_VERB_FETCH, .b = &b, .k = &k, .l = &l,
                                       .flags = CACHE_FETCH_NO_STALE };
        tt_call_start(&waiters[i]);
    }
    tt_assert_soon(tt_cache_stats(&b).coalesced_waits == n);
}

static void join_told(struct tt_call *waiters, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tt_call_join(&waiters[i]);
        assert_true(tt_answer_is(&waiters[i].answer, CACHE_E_LOAD, NULL));
    }
}

static int end_the_thread(struct tt_loader *loader, struct cache_load *ld, const struct cache_key *key)
{
    (void)loader;
    (void)key;
    (void)cache_load_reply(ld, "half of it", 10);
    pthread_exit(NULL);
}

/* FAULTS 45 */
static void a_loader_that_ends_its_thread_wakes_those_who_wait(void **state)
{
    struct tt_call leader = { .verb = TT_VERB_FETCH, .b = &b, .k = &k, .l = &l }, waiters[3];
    (void)state;
    make_stale();
    l.inside = end_the_thread;
    tt_loader_block(&l);
    tt_call_start(&leader);
    assert_true(tt_loader_await_blocked(&l, 1));
    start_waiters(waiters, 3);
    tt_loader_release(&l);
    tt_call_join(&leader);
    assert_false(atomic_load(&leader.done));
    join_told(waiters, 3);
    assert_sane();
}

/* FAULTS 40, 45 */
static void a_loader_that_is_cancelled_wakes_those_who_wait(void **state)
{
    struct tt_call leader = { .verb = TT_VERB_FETCH, .b = &b, .k = &k, .l = &l }, waiters[3];
    (void)state;
    make_stale();
    tt_loader_block(&l);
    tt_call_start(&leader);
    assert_true(tt_loader_await_blocked(&l, 1));
    start_waiters(waiters, 3);
    assert_int_equal(pthread_cancel(leader.thread), 0);
    tt_call_join(&leader);
    assert_false(atomic_load(&leader.done));
    join_told(waiters, 3);
    tt_loader_release(&l);
    assert_sane();
}

static int fetch_and_end(struct tt_loader *loader, struct cache_load *ld, const struct cache_key *key)
{
    struct tt_loader inner;
    (void)ld;
    (void)key;
    tt_loader_init(&inner, "inner");
    inner.inside = end_the_thread;
    tt_cache_fetch(&b, loader->arg, &inner);
    return -1999; /* not reached */
}

/* FAULTS 45 */
static void a_loader_within_a_loader_unwinds_both(void **state)
{
    struct cache_key other;
    struct tt_call leader = { .verb = TT_VERB_FETCH, .b = &b, .k = &k, .l = &l };
    (void)state;
    tt_cache_key(&b, &other);
    l.inside = fetch_and_end;
    l.arg = &other;
    tt_call_start(&leader);
    tt_call_join(&leader);
    assert_false(atomic_load(&leader.done));
    assert_int_equal(tt_cache_stats(&b).load_errors, 2);
    l.inside = NULL;
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, "loaded");
    assert_answer(tt_cache_fetch(&b, &other, &l), CACHE_OK, "loaded");
}

/* ---- an exception ---- */

/* What a C++ throw does to the frames of C between it and its handler: the unwinder runs their cleanups, then control
 * goes on in the frame that catches. Here the frame that catches is a setjmp(). */
static jmp_buf catches;
static _Unwind_Word catcher;

static _Unwind_Reason_Code stop_at_catcher(int version, _Unwind_Action actions, _Unwind_Exception_Class class,
                                           struct _Unwind_Exception *e, struct _Unwind_Context *context, void *arg)
{
    (void)version;
    (void)class;
    (void)e;
    (void)arg;
    if (actions & _UA_END_OF_STACK || _Unwind_GetCFA(context) >= catcher)
        longjmp(catches, 1);
    return _URC_NO_REASON;
}

static int throw(struct tt_loader *loader, struct cache_load *ld, const struct cache_key *key)
{
    static struct _Unwind_Exception exception;
    (void)loader;
    (void)ld;
    (void)key;
    memset(&exception, 0, sizeof exception);
    _Unwind_ForcedUnwind(&exception, stop_at_catcher, NULL);
    return -1999; /* not reached */
}

static __attribute__((noinline)) bool fetch_caught(void)
{
    catcher = (_Unwind_Word)(uintptr_t)__builtin_frame_address(0);
    if (setjmp(catches) != 0)
        return true;
    tt_cache_fetch(&b, &k, &l);
    return false;
}

/* FAULTS 45 */
static void an_exception_passes_through_and_leaves_nothing_behind(void **state)
{
    (void)state;
    make_stale();
    l.inside = throw;
    assert_true(fetch_caught());
    assert_sane();
}

/* FAULTS 40: a thread that waits for another's load, or for L2, is cancelled when it has left the library. */
static void a_waiter_that_is_cancelled_keeps_no_lock(void **state)
{
    struct tt_call leader = { .verb = TT_VERB_FETCH, .b = &b, .k = &k, .l = &l }, waiters[2];
    (void)state;
    tt_loader_block(&l);
    tt_call_start(&leader);
    assert_true(tt_loader_await_blocked(&l, 1));
    start_waiters(waiters, 2);
    assert_true(tt_call_await_asleep(&waiters[0]));
    assert_int_equal(pthread_cancel(waiters[0].thread), 0);
    tt_loader_release(&l);
    tt_call_join(&leader);
    assert_true(tt_answer_is(&leader.answer, CACHE_OK, "loaded"));
    tt_call_join(&waiters[0]);
    tt_call_join(&waiters[1]);
    assert_true(tt_answer_is(&waiters[1].answer, CACHE_OK, "loaded"));
    tt_assert_soon(tt_cache_stats(&b).l1_pins == 0 || atomic_load(&waiters[0].done));
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "loaded");
}

/* FAULTS 40 */
static void a_caller_that_is_cancelled_while_l2_works_keeps_no_lock(void **state)
{
    static const enum tt_verb verbs[] = { TT_VERB_GET, TT_VERB_SET, TT_VERB_INVALIDATE };
    static const enum tt_slot slots[] = { TT_GET, TT_SET, TT_DEL };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct tt_call call = { .verb = verbs[i], .b = &b, .k = &k, .text = "written" };
        tt_backend_block(b.l2, slots[i], false);
        tt_call_start(&call);
        assert_true(tt_backend_await_blocked(b.l2, slots[i], 1));
        assert_int_equal(pthread_cancel(call.thread), 0);
        tt_backend_release(b.l2, slots[i]);
        tt_call_join(&call);
        assert_int_equal(tt_cache_set(&b, &k, "after"), CACHE_OK);
        assert_answer(tt_cache_get(&b, &k), CACHE_OK, "after");
        assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    }
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        FRESH(a_loader_that_ends_its_thread_wakes_those_who_wait),
        FRESH(a_loader_that_is_cancelled_wakes_those_who_wait),
        FRESH(a_loader_within_a_loader_unwinds_both),
        FRESH(an_exception_passes_through_and_leaves_nothing_behind),
        FRESH(a_waiter_that_is_cancelled_keeps_no_lock),
        FRESH(a_caller_that_is_cancelled_while_l2_works_keeps_no_lock),
    };
    return cmocka_run_group_tests_name("fetch: unwound", tests, NULL, NULL);
}
