/* Time of this machine. What is compared with the kernel's own clocks is read before and after, never at a guessed
 * moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "platform/platform.h"
#include "tt_util.h"

enum { READINGS = 20000 };

static int64_t kernel_ns(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void monotonic_time_is_the_kernels_monotonic_clock(void **state)
{
    (void)state;
    int64_t before = kernel_ns(CLOCK_MONOTONIC), ns = tc_mono_ns(), after = kernel_ns(CLOCK_MONOTONIC);
    assert_true(before <= ns && ns <= after);
    before = kernel_ns(CLOCK_MONOTONIC);
    int64_t ms = tc_mono_ms();
    after = kernel_ns(CLOCK_MONOTONIC);
    assert_true(before / 1000000 <= ms && ms <= after / 1000000);
}

static void wall_time_is_the_kernels_real_time(void **state)
{
    (void)state;
    int64_t before = kernel_ns(CLOCK_REALTIME), ms = tc_wall_ms(), after = kernel_ns(CLOCK_REALTIME);
    assert_true(before / 1000000 <= ms && ms <= after / 1000000);
}

static void monotonic_time_never_goes_back(void **state)
{
    (void)state;
    int64_t last_ns = 0, last_ms = 0, last_coarse_ms = 0;
    for (int i = 0; i < READINGS; i++) {
        int64_t ns = tc_mono_ns(), ms = tc_mono_ms(), coarse_ms = tc_mono_coarse_ms();
        assert_true(ns >= last_ns && ms >= last_ms && coarse_ms >= last_coarse_ms);
        last_ns = ns;
        last_ms = ms;
        last_coarse_ms = coarse_ms;
    }
}

static void the_coarse_clock_is_the_kernels_and_never_ahead_of_the_exact_one(void **state)
{
    (void)state;
    for (int i = 0; i < READINGS; i++) {
        int64_t before = kernel_ns(CLOCK_MONOTONIC_COARSE), coarse_ms = tc_mono_coarse_ms();
        assert_true(coarse_ms <= tc_mono_ms());
        assert_true(before / 1000000 <= coarse_ms && coarse_ms <= kernel_ns(CLOCK_MONOTONIC_COARSE) / 1000000);
    }
}

static void the_coarse_clock_moves_on(void **state)
{
    (void)state;
    int64_t start_ms = tc_mono_coarse_ms();
    tt_assert_soon(tc_mono_coarse_ms() > start_ms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic_time_is_the_kernels_monotonic_clock),
        cmocka_unit_test(wall_time_is_the_kernels_real_time),
        cmocka_unit_test(monotonic_time_never_goes_back),
        cmocka_unit_test(the_coarse_clock_is_the_kernels_and_never_ahead_of_the_exact_one),
        cmocka_unit_test(the_coarse_clock_moves_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
