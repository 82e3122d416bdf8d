/* Entropy: it comes, and not twice the same. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "platform/platform.h"
#include "tt_util.h"

enum { LONG_BYTES = 1 << 20 };

static void every_byte_asked_for_is_drawn_and_none_beside(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 300; n++) {
        unsigned char first[302], second[302];
        memset(first, 0xEE, sizeof first);
        memset(second, 0xEE, sizeof second);
        assert_int_equal(tc_random_bytes(first + 1, n), 0);
        assert_int_equal(tc_random_bytes(second + 1, n), 0);
        assert_int_equal(first[0], 0xEE);
        assert_int_equal(first[n + 1], 0xEE);
        if (n >= 16) /* 2^-128 that a right one fails */
            assert_memory_not_equal(first + 1, second + 1, n);
        if (n >= 16)
            assert_memory_not_equal(first + 1 + n - 16, second + 1 + n - 16, 16);
    }
}

static void ignore(int sig)
{
    (void)sig;
}

/* Above 256 bytes getrandom() may be cut short by a signal: what is left must be drawn too. */
static void a_long_draw_survives_a_storm_of_signals(void **state)
{
    (void)state;
    struct sigaction act, before;
    memset(&act, 0, sizeof act);
    act.sa_handler = ignore;
    sigaction(SIGALRM, &act, &before);
    struct sigevent to = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };
    struct itimerspec storm = { { 0, 200000 }, { 0, 200000 } };
    timer_t timer;
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &to, &timer), 0);
    assert_int_equal(timer_settime(timer, 0, &storm, NULL), 0);
    unsigned char *p = tt_xcalloc(LONG_BYTES);
    int rc = 0;
    for (int i = 0; i < 10 && rc == 0; i++)
        rc = tc_random_bytes(p, LONG_BYTES);
    timer_delete(timer);
    sigaction(SIGALRM, &before, NULL);
    assert_int_equal(rc, 0);
    static const unsigned char zeros[32];
    for (size_t i = 0; i < LONG_BYTES; i += sizeof zeros)
        assert_memory_not_equal(p + i, zeros, sizeof zeros);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_asked_for_is_drawn_and_none_beside),
        cmocka_unit_test(a_long_draw_survives_a_storm_of_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
