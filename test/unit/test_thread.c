/* The library's own threads: no signal of the application is delivered to them, and they carry their name. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform/platform.h"
#include "tt_util.h"

enum { CREW = 8, WAIT_MS = 40, SLACK_MS = 2000 };

struct run {
    struct tc_event started, end;
    sigset_t mask;
    void *given;
};

static void *look_around(void *arg)
{
    struct run *r = arg;
    pthread_sigmask(SIG_SETMASK, NULL, &r->mask);
    r->given = arg;
    tc_event_set(&r->started);
    tc_event_wait(&r->end, 10 * TT_SOON_MS);
    return NULL;
}

static int setup(void **state)
{
    struct run *r = tt_xcalloc(sizeof *r);
    *state = r;
    return tc_event_init(&r->started) == 0 && tc_event_init(&r->end) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    struct run *r = *state;
    tc_event_fini(&r->started);
    tc_event_fini(&r->end);
    free(r);
    return 0;
}

static void a_thread_starts_with_all_signals_blocked(void **state)
{
    struct run *r = *state;
    struct tc_thread t;
    assert_int_equal(tc_thread_start(&t, "tiercache", look_around, r), 0);
    assert_true(tc_event_wait(&r->started, TT_SOON_MS));
    tc_event_set(&r->end);
    assert_true(tc_thread_join(&t, TT_SOON_MS));
    assert_ptr_equal(r->given, r);
    for (int sig = 1; sig <= SIGRTMAX; sig++) {
        bool is_real = sig < 32 || sig >= SIGRTMIN; /* between lie those of the C library */
        if (is_real && sig != SIGKILL && sig != SIGSTOP)
            assert_true(sigismember(&r->mask, sig));
    }
}

static void the_callers_own_mask_is_left_as_it_was(void **state)
{
    struct run *r = *state;
    sigset_t mine, before, after;
    sigemptyset(&mine);
    sigaddset(&mine, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &mine, &before);
    struct tc_thread t;
    assert_int_equal(tc_thread_start(&t, "tiercache", look_around, r), 0);
    pthread_sigmask(SIG_SETMASK, &before, &after);
    tc_event_set(&r->end);
    assert_true(tc_thread_join(&t, TT_SOON_MS));
    for (int sig = 1; sig < 32; sig++)
        assert_int_equal(sigismember(&after, sig), sig == SIGUSR2);
}

static volatile sig_atomic_t handled;
static pthread_t handled_in;

static void note_where(int sig)
{
    (void)sig;
    handled_in = pthread_self();
    handled = 1;
}

static void a_signal_of_the_process_goes_to_the_application(void **state)
{
    struct run *r = *state;
    struct sigaction act, before;
    memset(&act, 0, sizeof act);
    act.sa_handler = note_where;
    sigaction(SIGUSR1, &act, &before);
    struct tc_thread t;
    assert_int_equal(tc_thread_start(&t, "tiercache", look_around, r), 0);
    assert_true(tc_event_wait(&r->started, TT_SOON_MS));
    handled = 0;
    kill(getpid(), SIGUSR1);
    tt_assert_soon(handled);
    assert_true(pthread_equal(handled_in, pthread_self()));
    tc_event_set(&r->end);
    assert_true(tc_thread_join(&t, TT_SOON_MS));
    sigaction(SIGUSR1, &before, NULL);
}

static void a_thread_has_its_name(void **state)
{
    struct run *r = *state;
    char name[32] = "";
    struct tc_thread t;
    assert_int_equal(tc_thread_start(&t, "tiercache", look_around, r), 0);
    assert_int_equal(pthread_getname_np(t.id, name, sizeof name), 0);
    tc_event_set(&r->end);
    assert_true(tc_thread_join(&t, TT_SOON_MS));
    assert_string_equal(name, "tiercache");
}

static void a_join_gives_up_at_its_time_and_can_be_tried_again(void **state)
{
    struct run *r = *state;
    struct tc_thread t;
    assert_int_equal(tc_thread_start(&t, "tiercache", look_around, r), 0);
    assert_false(tc_thread_join(&t, 0));
    assert_false(tc_thread_join(&t, -1));
    assert_false(tc_thread_join(&t, INT64_MIN));
    int64_t start_ns = tc_mono_ns();
    assert_false(tc_thread_join(&t, WAIT_MS));
    int64_t took_ms = (tc_mono_ns() - start_ns) / 1000000;
    assert_in_range(took_ms, WAIT_MS - 1, WAIT_MS + SLACK_MS);
    tc_event_set(&r->end);
    assert_true(tc_thread_join(&t, INT64_MAX));
}

struct slots {
    unsigned slot[CREW];
    pthread_barrier_t all_are_there;
};

static int note_slot(void *arg, unsigned index)
{
    struct slots *s = arg;
    int failures = 0;
    s->slot[index] = tc_thread_slot();
    pthread_barrier_wait(&s->all_are_there); /* no thread takes over the memory of one that ended */
    TT_CHECK(failures, tc_thread_slot() == s->slot[index]);
    return failures;
}

static void slots_are_constant_in_a_thread_and_spread_threads(void **state)
{
    (void)state;
    struct slots s;
    pthread_barrier_init(&s.all_are_there, NULL, CREW);
    assert_int_equal(tt_crew_join(tt_crew_start(CREW, note_slot, &s)), 0);
    pthread_barrier_destroy(&s.all_are_there);
    unsigned used = 0;
    for (size_t i = 0; i < CREW; i++)
        used |= 1u << s.slot[i] % 8;
    assert_true(__builtin_popcount(used) >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_thread_starts_with_all_signals_blocked, setup, teardown),
        cmocka_unit_test_setup_teardown(the_callers_own_mask_is_left_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(a_signal_of_the_process_goes_to_the_application, setup, teardown),
        cmocka_unit_test_setup_teardown(a_thread_has_its_name, setup, teardown),
        cmocka_unit_test_setup_teardown(a_join_gives_up_at_its_time_and_can_be_tried_again, setup, teardown),
        cmocka_unit_test(slots_are_constant_in_a_thread_and_spread_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
