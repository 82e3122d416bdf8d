/* Clock, deadlines, and the rate limit of log lines and events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hooks.h"
#include "platform/platform.h"
#include "tiercache.h"
#include "tt_clock.h"
#include "tt_util.h"

enum { CREW = 4, ROUNDS = 5000 };

/* ---- clock ---- */

static void a_given_clock_is_asked_for_every_kind_of_time(void **state)
{
    (void)state;
    struct tt_clock fake;
    tt_clock_init(&fake);
    struct tc_clock c = { tt_clock_ops, &fake, false };
    tt_clock_advance(&fake, 12345);
    assert_int_equal(tc_clock_now_ms(&c), TT_CLOCK_START_MONO_MS + 12345);
    assert_int_equal(tc_clock_coarse_ms(&c), TT_CLOCK_START_MONO_MS + 12345);
    assert_int_equal(tc_clock_wall_ms(&c), TT_CLOCK_START_WALL_MS + 12345);
    tt_clock_jump_wall(&fake, -1000000);
    assert_int_equal(tc_clock_now_ms(&c), TT_CLOCK_START_MONO_MS + 12345);
}

static void the_systems_coarse_time_is_never_ahead_of_its_exact_time(void **state)
{
    (void)state;
    for (int i = 0; i < 10000; i++) {
        int64_t coarse_ms = tc_clock_coarse_ms(&tc_clock_system), now_ms = tc_clock_now_ms(&tc_clock_system);
        assert_true(coarse_ms <= now_ms);
    }
    int64_t before_ms = tc_wall_ms(), wall_ms = tc_clock_wall_ms(&tc_clock_system);
    assert_true(before_ms <= wall_ms && wall_ms <= tc_wall_ms());
}

static void a_deadline_is_now_and_the_timeout_or_the_end_of_time(void **state)
{
    (void)state;
    assert_int_equal(tc_deadline(1000, 500), 1500);
    assert_int_equal(tc_deadline(1000, 0), 1000);
    assert_int_equal(tc_deadline(1000, -500), 500);
    assert_int_equal(tc_deadline(0, INT64_MAX), INT64_MAX);
    assert_int_equal(tc_deadline(1, INT64_MAX), INT64_MAX);
    assert_int_equal(tc_deadline(1, INT64_MAX - 1), INT64_MAX);
    assert_int_equal(tc_deadline(2, INT64_MAX - 1), INT64_MAX);
    assert_int_equal(tc_deadline(INT64_MAX, INT64_MAX), INT64_MAX);
    assert_int_equal(tc_deadline(INT64_MAX, 0), INT64_MAX);
    assert_int_equal(tc_deadline(INT64_MAX, -1), INT64_MAX - 1);
    assert_int_equal(tc_deadline(0, INT64_MIN), INT64_MIN);
}

/* ---- log and events ---- */

struct heard {
    _Atomic unsigned lines, events;
    int level;
    char component[32], text[1024];
    struct cache_event event;
};

static void hear_line(void *ctx, int level, const char *component, const char *text)
{
    struct heard *h = ctx;
    if (atomic_fetch_add(&h->lines, 1) > 0)
        return;
    h->level = level;
    strncpy(h->component, component, sizeof h->component - 1);
    strncpy(h->text, text, sizeof h->text - 1);
}

static void hear_event(void *ctx, const struct cache_event *e)
{
    struct heard *h = ctx;
    if (atomic_fetch_add(&h->events, 1) == 0)
        h->event = *e;
}

struct fixture {
    struct heard heard;
    struct tc_notices notices;
};

static int setup(void **state)
{
    struct fixture *f = tt_xcalloc(sizeof *f);
    f->notices.log = (struct cache_log_ops){ CACHE_HOOKS_ABI, hear_line };
    f->notices.log_ctx = &f->heard;
    f->notices.events = (struct cache_event_ops){ CACHE_HOOKS_ABI, hear_event };
    f->notices.events_ctx = &f->heard;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static void a_line_arrives_as_it_was_written(void **state)
{
    struct fixture *f = *state;
    tc_notice_log(&f->notices, 0, 0, CACHE_LOG_WARNING, "redis", "%d of %s", 7, "nine");
    assert_int_equal(f->heard.lines, 1);
    assert_int_equal(f->heard.level, CACHE_LOG_WARNING);
    assert_string_equal(f->heard.component, "redis");
    assert_string_equal(f->heard.text, "7 of nine");
}

static void a_long_line_is_cut_and_ended(void **state)
{
    struct fixture *f = *state;
    char longer[2000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    tc_notice_log(&f->notices, 0, 0, CACHE_LOG_INFO, "c", "%s", longer);
    assert_in_range(strlen(f->heard.text), 200, sizeof longer - 2);
    assert_memory_equal(f->heard.text, longer, strlen(f->heard.text));
}

static void one_line_of_a_kind_passes_in_a_second(void **state)
{
    struct fixture *f = *state;
    for (int64_t ms = 5000; ms < 6000; ms++)
        tc_notice_log(&f->notices, ms, 3, CACHE_LOG_INFO, "c", "x");
    assert_int_equal(f->heard.lines, 1);
    assert_int_equal(f->notices.suppressed, 999);
    tc_notice_log(&f->notices, 6000, 3, CACHE_LOG_INFO, "c", "x");
    assert_int_equal(f->heard.lines, 2);
    tc_notice_log(&f->notices, 6999, 3, CACHE_LOG_INFO, "c", "x");
    assert_int_equal(f->heard.lines, 2);
}

static void kinds_do_not_silence_each_other(void **state)
{
    struct fixture *f = *state;
    for (unsigned kind = 0; kind < TC_NOTICE_KINDS; kind++)
        tc_notice_log(&f->notices, 0, kind, CACHE_LOG_INFO, "c", "x");
    assert_int_equal(f->heard.lines, TC_NOTICE_KINDS);
    assert_int_equal(f->notices.suppressed, 0);
}

static void the_limit_holds_to_the_end_of_time(void **state)
{
    struct fixture *f = *state;
    tc_notice_log(&f->notices, INT64_MAX - 1, 0, CACHE_LOG_INFO, "c", "x");
    tc_notice_log(&f->notices, INT64_MAX - 1, 0, CACHE_LOG_INFO, "c", "x");
    assert_int_equal(f->heard.lines, 1);
}

static int log_much(void *arg, unsigned index)
{
    struct fixture *f = arg;
    (void)index;
    for (int i = 0; i < ROUNDS; i++)
        tc_notice_log(&f->notices, 1000 * (1 + i / 1000), 0, CACHE_LOG_INFO, "c", "x");
    return 0;
}

static void threads_together_stay_within_the_limit(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(tt_crew_join(tt_crew_start(CREW, log_much, f)), 0);
    assert_in_range(f->heard.lines, 1, ROUNDS / 1000); /* fewer: a thread that is ahead speaks for the others */
    assert_int_equal(f->heard.lines + f->notices.suppressed, CREW * ROUNDS);
}

static void silence_costs_nothing_and_counts_nothing(void **state)
{
    (void)state;
    struct tc_notices n;
    struct cache_event e = { .kind = CACHE_EVENT_BAD_FRAME };
    memset(&n, 0, sizeof n);
    for (int i = 0; i < 10; i++) {
        tc_notice_log(&n, 0, 0, CACHE_LOG_ERROR, "c", "x");
        tc_notice_event(&n, 0, &e);
    }
    assert_int_equal(n.suppressed, 0);
}

static void an_event_arrives_whole(void **state)
{
    struct fixture *f = *state;
    struct cache_event e = { .kind = CACHE_EVENT_WRONG_KEY, .status = CACHE_E_PROTOCOL, .count = 9,
                             .key = { "type:key", 8 } };
    tc_notice_event(&f->notices, 0, &e);
    assert_int_equal(f->heard.events, 1);
    assert_int_equal(f->heard.event.kind, CACHE_EVENT_WRONG_KEY);
    assert_int_equal(f->heard.event.status, CACHE_E_PROTOCOL);
    assert_int_equal(f->heard.event.count, 9);
    assert_memory_equal(f->heard.event.key.data, "type:key", 8);
}

static void only_the_kinds_that_may_flood_are_limited(void **state)
{
    struct fixture *f = *state;
    const uint32_t limited[] = { CACHE_EVENT_BAD_FRAME, CACHE_EVENT_WRONG_KEY, CACHE_EVENT_LOAD_FAILED };
    const uint32_t always[] = { CACHE_EVENT_L2_UP, CACHE_EVENT_L2_DOWN, CACHE_EVENT_RECOVERY_OVERFLOW,
                                CACHE_EVENT_RECOVERY_DONE, CACHE_EVENT_RECOVERY_ABANDONED };
    for (size_t i = 0; i < TC_ARRAY_LEN(limited); i++)
        for (int k = 0; k < 5; k++)
            tc_notice_event(&f->notices, 1000, &(struct cache_event){ .kind = limited[i] });
    assert_int_equal(f->heard.events, TC_ARRAY_LEN(limited));
    assert_int_equal(f->notices.suppressed, 4 * TC_ARRAY_LEN(limited));
    for (size_t i = 0; i < TC_ARRAY_LEN(always); i++)
        for (int k = 0; k < 5; k++)
            tc_notice_event(&f->notices, 1000, &(struct cache_event){ .kind = always[i] });
    assert_int_equal(f->heard.events, TC_ARRAY_LEN(limited) + 5 * TC_ARRAY_LEN(always));
}

static void lines_and_events_of_one_kind_are_limited_apart(void **state)
{
    struct fixture *f = *state;
    tc_notice_log(&f->notices, 0, CACHE_EVENT_BAD_FRAME, CACHE_LOG_WARNING, "c", "x");
    tc_notice_event(&f->notices, 0, &(struct cache_event){ .kind = CACHE_EVENT_BAD_FRAME });
    assert_int_equal(f->heard.lines, 1);
    assert_int_equal(f->heard.events, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_given_clock_is_asked_for_every_kind_of_time),
        cmocka_unit_test(the_systems_coarse_time_is_never_ahead_of_its_exact_time),
        cmocka_unit_test(a_deadline_is_now_and_the_timeout_or_the_end_of_time),
        cmocka_unit_test_setup_teardown(a_line_arrives_as_it_was_written, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_line_is_cut_and_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(one_line_of_a_kind_passes_in_a_second, setup, teardown),
        cmocka_unit_test_setup_teardown(kinds_do_not_silence_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(the_limit_holds_to_the_end_of_time, setup, teardown),
        cmocka_unit_test_setup_teardown(threads_together_stay_within_the_limit, setup, teardown),
        cmocka_unit_test(silence_costs_nothing_and_counts_nothing),
        cmocka_unit_test_setup_teardown(an_event_arrives_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_kinds_that_may_flood_are_limited, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_and_events_of_one_kind_are_limited_apart, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
