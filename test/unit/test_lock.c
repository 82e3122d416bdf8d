/* The mutex and the condition. Waits that must end at a deadline are measured in real time: never early, and late only
 * by what a loaded machine may add. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "platform/platform.h"
#include "tt_util.h"

enum { CREW = 4, ROUNDS = 20000, WAIT_MS = 60, SLACK_MS = 2000, STORM_US = 1000 };

struct shared {
    struct tc_lock lock;
    struct tc_cond cond;
    int64_t counter; /* under lock */
    bool go;         /* under lock */
    unsigned waiting, woken;
};

static int setup(void **state)
{
    struct shared *s = tt_xcalloc(sizeof *s);
    *state = s;
    return tc_lock_init(&s->lock) == 0 && tc_cond_init(&s->cond) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    struct shared *s = *state;
    tc_cond_fini(&s->cond);
    tc_lock_fini(&s->lock);
    free(s);
    return 0;
}

static int count_up(void *arg, unsigned index)
{
    struct shared *s = arg;
    (void)index;
    int failures = 0;
    for (int i = 0; i < ROUNDS; i++) {
        tc_lock_acquire(&s->lock);
        TT_CHECK(failures, tc_lock_is_mine(&s->lock));
        s->counter++;
        tc_lock_release(&s->lock);
    }
    return failures;
}

static void one_thread_at_a_time_holds_the_lock(void **state)
{
    struct shared *s = *state;
    assert_int_equal(tt_crew_join(tt_crew_start(CREW, count_up, s)), 0);
    assert_int_equal(s->counter, CREW * ROUNDS);
}

static int take_it_once(void *arg, unsigned index)
{
    struct shared *s = arg;
    (void)index;
    tc_lock_acquire(&s->lock);
    s->counter++;
    tc_lock_release(&s->lock);
    return 0;
}

static void who_lets_it_go_lets_those_have_it_who_wait(void **state)
{
    struct shared *s = *state;
    enum { ENOUGH = 50 };
    unsigned times = 0;
    tc_lock_let_others(&s->lock); /* nobody waits */
    for (uint32_t round = 1; round <= ENOUGH; round++) {
        tc_lock_acquire(&s->lock);
        struct tt_crew *crew = tt_crew_start(1, take_it_once, s);
        tt_assert_soon(atomic_load(&s->lock.waiting) == 1);
        assert_int_equal(s->counter, round - 1);
        do { /* more than once only where the other one has no processor */
            tc_lock_release(&s->lock);
            tc_lock_let_others(&s->lock);
            tc_lock_acquire(&s->lock);
            times++;
        } while (s->counter < round);
        assert_true(atomic_load(&s->lock.turns) >= round); /* this thread may have had to wait too */
        tc_lock_release(&s->lock);
        assert_int_equal(tt_crew_join(crew), 0);
        assert_int_equal(s->counter, round);
        assert_int_equal(atomic_load(&s->lock.waiting), 0);
    }
    assert_in_range(times, ENOUGH, 20 * ENOUGH);
}

/* Who waits, and has no processor: whoever lets him have it goes on without. */
static void nobody_is_waited_for_without_end(void **state)
{
    struct shared *s = *state;
    atomic_store(&s->lock.waiting, 1);
    tc_lock_let_others(&s->lock);
    atomic_store(&s->lock.waiting, 0);
    assert_int_equal(atomic_load(&s->lock.turns), 0);
}

static int is_it_mine(void *arg, unsigned index)
{
    struct shared *s = arg;
    (void)index;
    return tc_lock_is_mine(&s->lock);
}

static void the_lock_knows_its_holder(void **state)
{
    struct shared *s = *state;
    assert_false(tc_lock_is_mine(&s->lock));
    tc_lock_acquire(&s->lock);
    assert_true(tc_lock_is_mine(&s->lock));
    assert_int_equal(tt_crew_join(tt_crew_start(1, is_it_mine, s)), 0);
    tc_lock_release(&s->lock);
    assert_false(tc_lock_is_mine(&s->lock));
}

static void a_wait_gives_the_lock_up_and_takes_it_back(void **state)
{
    struct shared *s = *state;
    tc_lock_acquire(&s->lock);
    assert_false(tc_cond_wait(&s->cond, &s->lock, 1));
    assert_true(tc_lock_is_mine(&s->lock));
    assert_false(tc_cond_wait(&s->cond, &s->lock, 0));
    assert_true(tc_lock_is_mine(&s->lock));
    tc_lock_release(&s->lock);
}

static int wait_for_go(void *arg, unsigned index)
{
    struct shared *s = arg;
    (void)index;
    int failures = 0;
    tc_lock_acquire(&s->lock);
    s->waiting++;
    bool in_time = true;
    while (!s->go && in_time)
        in_time = tc_cond_wait(&s->cond, &s->lock, INT64_MAX);
    TT_CHECK(failures, s->go);
    TT_CHECK(failures, tc_lock_is_mine(&s->lock));
    s->woken++;
    tc_lock_release(&s->lock);
    return failures;
}

static unsigned waiting(struct shared *s)
{
    tc_lock_acquire(&s->lock);
    unsigned n = s->waiting;
    tc_lock_release(&s->lock);
    return n;
}

static void a_broadcast_wakes_all_even_those_that_wait_for_ever(void **state)
{
    struct shared *s = *state;
    struct tt_crew *crew = tt_crew_start(CREW, wait_for_go, s);
    tt_assert_soon(waiting(s) == CREW);
    tc_lock_acquire(&s->lock);
    s->go = true;
    tc_lock_release(&s->lock);
    tc_cond_broadcast(&s->cond);
    assert_int_equal(tt_crew_join(crew), 0);
    assert_int_equal(s->woken, CREW);
}

static void *wait_then_say_so(void *arg)
{
    struct shared *s = arg;
    wait_for_go(s, 0);
    return s;
}

/* Who waits may hold what others wait for: a cancellation must be put off until the caller has left the library. */
static void a_thread_is_not_cancelled_in_a_wait(void **state)
{
    struct shared *s = *state;
    pthread_t t;
    void *result = NULL;
    assert_int_equal(pthread_create(&t, NULL, wait_then_say_so, s), 0);
    tt_assert_soon(waiting(s) == 1);
    assert_int_equal(pthread_cancel(t), 0);
    tc_lock_acquire(&s->lock);
    s->go = true;
    tc_lock_release(&s->lock);
    tc_cond_broadcast(&s->cond);
    pthread_join(t, &result);
    assert_ptr_equal(result, s);
}

static void a_wait_without_time_returns_at_once(void **state)
{
    struct shared *s = *state;
    const int64_t none[] = { 0, -1, INT64_MIN };
    tc_lock_acquire(&s->lock);
    int64_t start_ms = tt_mono_ms();
    for (size_t i = 0; i < TC_ARRAY_LEN(none); i++)
        assert_false(tc_cond_wait(&s->cond, &s->lock, none[i]));
    assert_true(tt_mono_ms() - start_ms < SLACK_MS);
    tc_lock_release(&s->lock);
}

/* How long a loop waits whose condition never comes true. */
static int64_t measure_wait(struct shared *s, int64_t timeout_ms)
{
    int64_t start_ns = tc_mono_ns(), end_ms = tc_mono_ms() + timeout_ms;
    tc_lock_acquire(&s->lock);
    bool in_time = true;
    while (in_time)
        in_time = tc_cond_wait(&s->cond, &s->lock, end_ms - tc_mono_ms());
    tc_lock_release(&s->lock);
    return (tc_mono_ns() - start_ns) / 1000000;
}

static void a_wait_ends_at_its_deadline_and_not_before(void **state)
{
    int64_t took_ms = measure_wait(*state, WAIT_MS);
    assert_in_range(took_ms, WAIT_MS - 1, WAIT_MS + SLACK_MS);
}

static volatile sig_atomic_t alarms;

static void count_alarm(int sig)
{
    (void)sig;
    alarms++;
}

static void a_deadline_stands_in_a_storm_of_signals(void **state)
{
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
    int64_t took_ms = measure_wait(*state, WAIT_MS);
    timer_delete(timer);
    sigaction(SIGALRM, &before, NULL);
    assert_in_range(took_ms, WAIT_MS - 1, WAIT_MS + SLACK_MS);
    assert_true(alarms > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_thread_at_a_time_holds_the_lock, setup, teardown),
        cmocka_unit_test_setup_teardown(who_lets_it_go_lets_those_have_it_who_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_is_waited_for_without_end, setup, teardown),
        cmocka_unit_test_setup_teardown(the_lock_knows_its_holder, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wait_gives_the_lock_up_and_takes_it_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_broadcast_wakes_all_even_those_that_wait_for_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(a_thread_is_not_cancelled_in_a_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wait_without_time_returns_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wait_ends_at_its_deadline_and_not_before, setup, teardown),
        cmocka_unit_test_setup_teardown(a_deadline_stands_in_a_storm_of_signals, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
