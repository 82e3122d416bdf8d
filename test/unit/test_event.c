/* The one-shot wake-up of lock.c: none is lost, and a deadline stands whatever signals come. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "platform/platform.h"
#include "tt_util.h"

enum { ROUNDS = 5000, WAIT_MS = 60, SLACK_MS = 2000, STORM_US = 1000 };

static void a_wake_up_before_the_wait_is_kept(void **state)
{
    (void)state;
    struct tc_event e;
    assert_int_equal(tc_event_init(&e), 0);
    tc_event_set(&e);
    assert_true(tc_event_wait(&e, 0));
    assert_false(tc_event_wait(&e, 0));
    tc_event_set(&e);
    assert_true(tc_event_wait(&e, INT64_MAX));
    assert_false(tc_event_wait(&e, 1));
    tc_event_fini(&e);
}

static void a_wait_without_time_only_looks(void **state)
{
    (void)state;
    const int64_t none[] = { 0, -1, INT64_MIN };
    struct tc_event e;
    assert_int_equal(tc_event_init(&e), 0);
    for (size_t i = 0; i < TC_ARRAY_LEN(none); i++) {
        assert_false(tc_event_wait(&e, none[i]));
        tc_event_set(&e);
        assert_true(tc_event_wait(&e, none[i]));
    }
    tc_event_fini(&e);
}

struct ping {
    struct tc_event to, back;
    int value; /* passed on by the events alone */
};

static int answer_pings(void *arg, unsigned index)
{
    struct ping *p = arg;
    (void)index;
    int failures = 0;
    for (int i = 0; i < ROUNDS; i++) {
        TT_CHECK(failures, tc_event_wait(&p->to, TT_SOON_MS));
        TT_CHECK(failures, p->value == 2 * i);
        p->value = 2 * i + 1;
        tc_event_set(&p->back);
    }
    return failures;
}

static void who_is_woken_sees_what_was_written_before(void **state)
{
    (void)state;
    struct ping p;
    assert_int_equal(tc_event_init(&p.to), 0);
    assert_int_equal(tc_event_init(&p.back), 0);
    struct tt_crew *crew = tt_crew_start(1, answer_pings, &p);
    for (int i = 0; i < ROUNDS; i++) {
        p.value = 2 * i;
        tc_event_set(&p.to);
        assert_true(tc_event_wait(&p.back, TT_SOON_MS));
        assert_int_equal(p.value, 2 * i + 1);
    }
    assert_int_equal(tt_crew_join(crew), 0);
    tc_event_fini(&p.to);
    tc_event_fini(&p.back);
}

/* The waiter frees the event as soon as it is woken: setting must not touch it after that. */
static struct tc_event *_Atomic handed;

static int set_what_is_handed(void *arg, unsigned index)
{
    (void)arg;
    (void)index;
    for (int i = 0; i < ROUNDS; i++) {
        struct tc_event *e;
        while ((e = atomic_exchange(&handed, NULL)) == NULL)
            ;
        tc_event_set(e);
    }
    return 0;
}

static void an_event_may_be_freed_by_whom_it_woke(void **state)
{
    (void)state;
    struct tt_crew *crew = tt_crew_start(1, set_what_is_handed, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        struct tc_event *e = tt_xmalloc(sizeof *e);
        assert_int_equal(tc_event_init(e), 0);
        atomic_store(&handed, e);
        assert_true(tc_event_wait(e, TT_SOON_MS));
        tc_event_fini(e);
        free(e);
    }
    assert_int_equal(tt_crew_join(crew), 0);
}

static volatile sig_atomic_t alarms;

static void count_alarm(int sig)
{
    (void)sig;
    alarms++;
}

static void a_deadline_stands_in_a_storm_of_signals(void **state)
{
    (void)state;
    struct tc_event e;
    assert_int_equal(tc_event_init(&e), 0);
    struct sigaction act, before;
    memset(&act, 0, sizeof act);
    act.sa_handler = count_alarm; /* without SA_RESTART: every call that can fail with EINTR does */
    sigaction(SIGALRM, &act, &before);
    struct sigevent to = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };
    struct itimerspec storm = { { 0, STORM_US * 1000 }, { 0, STORM_US * 1000 } };
    timer_t timer;
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &to, &timer), 0);
    assert_int_equal(timer_settime(timer, 0, &storm, NULL), 0);
    alarms = 0;
    int64_t start_ns = tc_mono_ns();
    bool set = tc_event_wait(&e, WAIT_MS);
    int64_t took_ms = (tc_mono_ns() - start_ns) / 1000000;
    tt_assert_soon(alarms > 0); /* there was a storm; a sanitizer may have held its signals back during the wait */
    timer_delete(timer);
    sigaction(SIGALRM, &before, NULL);
    assert_false(set);
    assert_in_range(took_ms, WAIT_MS - 1, WAIT_MS + SLACK_MS);
    tc_event_fini(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wake_up_before_the_wait_is_kept),
        cmocka_unit_test(a_wait_without_time_only_looks),
        cmocka_unit_test(who_is_woken_sees_what_was_written_before),
        cmocka_unit_test(an_event_may_be_freed_by_whom_it_woke),
        cmocka_unit_test(a_deadline_stands_in_a_storm_of_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
