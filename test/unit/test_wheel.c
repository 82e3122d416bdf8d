/* The timer wheel against a naive list, on a clock that the test moves: nothing comes early, nothing is kept back, and
 * the work is bounded by what was added, never by how much time passed or how much lies in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tier/l1/wheel.h"
#include "tt_util.h"

#define SECOND_MS INT64_C(1000)
#define HOUR_MS (3600 * SECOND_MS)
#define DAY_MS (24 * HOUR_MS)
#define YEAR_MS (365 * DAY_MS)
/* What one turn of the top level reaches. */
#define TURN_MS ((int64_t)TC_WHEEL_TICK_MS << 6 * TC_WHEEL_LEVELS)

enum { ENTRIES = 2000 };

struct fixture {
    struct tc_wheel wheel;
    struct tc_entry entries[ENTRIES];
    bool is_in[ENTRIES]; /* the naive list */
    size_t n_in;
    int64_t now_ms;
    uint64_t steps; /* taken, all together */
};

static int setup(void **state)
{
    struct fixture *f = tt_xcalloc(sizeof *f);
    f->now_ms = 1000000;
    tc_wheel_init(&f->wheel, f->now_ms);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static void add(struct fixture *f, size_t i, int64_t at_ms)
{
    memset(&f->entries[i], 0, sizeof f->entries[i]);
    f->entries[i].keep_until_ms = at_ms;
    tc_wheel_add(&f->wheel, &f->entries[i]);
    f->is_in[i] = true;
    f->n_in++;
}

/* Its tick has passed whole. */
static bool is_due(const struct fixture *f, size_t i)
{
    return f->entries[i].keep_until_ms / TC_WHEEL_TICK_MS < f->now_ms / TC_WHEEL_TICK_MS;
}

/* Takes out one that is due; false: none within the steps. */
static bool take_one(struct fixture *f, unsigned most_steps)
{
    unsigned steps = most_steps;
    struct tc_entry *e = tc_wheel_due(&f->wheel, f->now_ms, &steps);
    assert_true(steps <= most_steps);
    f->steps += most_steps - steps;
    if (e == NULL)
        return false;
    assert_true(steps < most_steps); /* it was not for nothing */
    size_t i = (size_t)(e - f->entries);
    assert_true(i < ENTRIES && f->is_in[i]);
    assert_true(is_due(f, i));
    assert_true(e->keep_until_ms < f->now_ms);
    assert_null(e->wheel_link);
    assert_null(e->wheel_next);
    f->is_in[i] = false;
    f->n_in--;
    return true;
}

static void take_all(struct fixture *f)
{
    while (take_one(f, 1000000))
        ;
    for (size_t i = 0; i < ENTRIES; i++)
        assert_true(!f->is_in[i] || !is_due(f, i));
}

static void assert_slots_agree_with_their_bits(const struct fixture *f)
{
    size_t n = 0;
    for (unsigned level = 0; level < TC_WHEEL_LEVELS; level++)
        for (unsigned at = 0; at < TC_WHEEL_SLOTS; at++) {
            const struct tc_entry *e = f->wheel.slots[level][at];
            assert_int_equal(f->wheel.used[level] >> at & 1, e != NULL);
            for (; e != NULL; e = e->wheel_next, n++)
                assert_ptr_equal(*e->wheel_link, e);
        }
    assert_int_equal(n, f->n_in);
}

static void an_entry_comes_when_its_tick_has_passed_and_not_before(void **state)
{
    struct fixture *f = *state;
    const int64_t ahead[] = { 0, 1, 63, 64, 65, 4095, 4096, 4097, 64 * 4096, 64 * 4096 + 1, HOUR_MS, 5 * HOUR_MS,
                              DAY_MS, TURN_MS - 1, TURN_MS, TURN_MS + 1, 30 * DAY_MS, YEAR_MS, 10 * YEAR_MS };
    for (size_t i = 0; i < TC_ARRAY_LEN(ahead); i++) {
        int64_t at_ms = f->now_ms + ahead[i];
        add(f, i, at_ms);
        f->now_ms = at_ms;
        assert_false(take_one(f, 1000000));
        f->now_ms = at_ms / TC_WHEEL_TICK_MS * TC_WHEEL_TICK_MS + TC_WHEEL_TICK_MS - 1;
        assert_false(take_one(f, 1000000));
        f->now_ms++;
        assert_true(take_one(f, 1000000));
        assert_slots_agree_with_their_bits(f);
    }
}

static void what_is_over_already_comes_at_the_next_tick(void **state)
{
    struct fixture *f = *state;
    add(f, 0, f->now_ms - 5 * HOUR_MS);
    add(f, 1, 0);
    add(f, 2, -1);
    add(f, 3, INT64_MIN);
    f->now_ms += TC_WHEEL_TICK_MS;
    take_all(f);
    assert_int_equal(f->n_in, 0);
}

static void the_end_of_time_can_be_waited_for(void **state)
{
    struct fixture *f = *state;
    add(f, 0, TC_NEVER_MS - 1);
    f->now_ms += 100 * YEAR_MS;
    take_all(f);
    assert_int_equal(f->n_in, 1);
    assert_slots_agree_with_their_bits(f);
}

static int64_t random_span(uint64_t *seed, int64_t most_ms)
{
    /* Of every magnitude alike: milliseconds as often as years. */
    return (int64_t)((uint64_t)most_ms * (tt_random(seed) % 1024 + 1) / 1024) >> tt_random(seed) % 38;
}

static void run_model(struct fixture *f, int64_t longest_ms, int64_t longest_jump_ms, int rounds)
{
    uint64_t seed = tt_seed();
    uint64_t added = 0;
    int64_t start_ms = f->now_ms;
    for (int round = 0; round < rounds; round++) {
        for (size_t n = tt_random(&seed) % 40; n > 0; n--) {
            size_t i = tt_random(&seed) % ENTRIES;
            if (f->is_in[i])
                continue;
            add(f, i, f->now_ms + random_span(&seed, longest_ms));
            added++;
        }
        for (size_t n = tt_random(&seed) % 10; n > 0; n--) {
            size_t i = tt_random(&seed) % ENTRIES;
            tc_wheel_remove(&f->wheel, &f->entries[i]); /* of one that is not in it: nothing happens */
            f->n_in -= f->is_in[i];
            f->is_in[i] = false;
        }
        f->now_ms += random_span(&seed, longest_jump_ms);
        take_all(f);
        if (round % 16 == 0)
            assert_slots_agree_with_their_bits(f);
    }
    f->now_ms += 2 * longest_ms;
    take_all(f);
    assert_int_equal(f->n_in, 0);
    /* Each entry goes down at most all levels and crosses some turns' ends; what lies beyond the top's reach is moved
     * once a turn; nothing else may cost anything. */
    uint64_t turns = (uint64_t)((f->now_ms - start_ms) / TURN_MS) + 1;
    assert_true(f->steps <= added * (3 * TC_WHEEL_LEVELS) + (uint64_t)rounds * 2 * TC_WHEEL_LEVELS + turns * 40);
}

static void seconds_agree_with_a_naive_list(void **state)
{
    run_model(*state, 100 * SECOND_MS, 10 * SECOND_MS, 2000);
}

static void days_agree_with_a_naive_list(void **state)
{
    run_model(*state, 10 * DAY_MS, DAY_MS, 1000);
}

static void years_agree_with_a_naive_list(void **state)
{
    run_model(*state, 3 * YEAR_MS, 30 * DAY_MS, 400);
}

static void huge_jumps_agree_with_a_naive_list(void **state)
{
    run_model(*state, 100 * DAY_MS, 10 * YEAR_MS, 200);
}

/* ---- bounded work ---- */

static void ten_idle_years_cost_a_few_hundred_steps(void **state)
{
    struct fixture *f = *state;
    f->now_ms += 10 * YEAR_MS;
    assert_false(take_one(f, 1000000));
    assert_true(f->steps <= (uint64_t)(10 * YEAR_MS / TURN_MS) + 2 * TC_WHEEL_LEVELS);
    f->steps = 0;
    assert_false(take_one(f, 1000000));
    assert_true(f->steps <= 1);
}

static void what_is_far_away_costs_nothing_while_time_goes_by(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < ENTRIES; i++)
        add(f, i, f->now_ms + 5 * DAY_MS + (int64_t)i);
    for (int i = 0; i < 1000; i++) {
        f->now_ms += TC_WHEEL_TICK_MS;
        assert_false(take_one(f, 1000000));
    }
    assert_true(f->steps <= 1100); /* one a tick, whatever lies in it */
}

static void steps_run_out_and_nothing_is_lost(void **state)
{
    struct fixture *f = *state;
    uint64_t seed = tt_seed();
    for (size_t i = 0; i < ENTRIES; i++)
        add(f, i, f->now_ms + random_span(&seed, YEAR_MS));
    f->now_ms += 2 * YEAR_MS;
    assert_false(take_one(f, 0));
    assert_int_equal(f->n_in, ENTRIES);
    for (int calls = 0; f->n_in > 0; calls++) {
        assert_true(calls < ENTRIES * 3 * TC_WHEEL_LEVELS);
        take_one(f, 1);
    }
    assert_slots_agree_with_their_bits(f);
}

/* As a stripe does: at each operation one entry is added and a few steps are spent. What is overdue must not pile
 * up. */
static void a_few_steps_an_operation_keep_up_with_one_addition_an_operation(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int64_t gap_ms, longest_ms;
    } loads[] = { { 1, 1500 }, { 64, 100000 }, { 4000, 250000 }, { 600000, 40000000 }, { 3 * HOUR_MS, 6 * DAY_MS },
                  { 16000000, 12 * DAY_MS } };
    uint64_t seed = tt_seed();
    for (size_t load = 0; load < TC_ARRAY_LEN(loads); load++) {
        for (int op = 0; op < 20000; op++) {
            f->now_ms += 1 + (int64_t)(tt_random(&seed) % (2 * (uint64_t)loads[load].gap_ms));
            unsigned steps = TC_WHEEL_STEPS;
            struct tc_entry *e;
            while ((e = tc_wheel_due(&f->wheel, f->now_ms, &steps)) != NULL) {
                f->is_in[e - f->entries] = false;
                f->n_in--;
            }
            size_t i = 0;
            while (i < ENTRIES && f->is_in[i])
                i++;
            assert_true(i < ENTRIES);
            add(f, i, f->now_ms + 1 + (int64_t)(tt_random(&seed) % (uint64_t)loads[load].longest_ms));
            size_t overdue = 0;
            for (i = 0; op % 500 == 499 && i < ENTRIES; i++)
                overdue += f->is_in[i] && is_due(f, i);
            assert_true(overdue <= 64);
        }
        take_all(f);
    }
}

static void a_clock_that_stands_still_or_goes_back_brings_nothing(void **state)
{
    struct fixture *f = *state;
    add(f, 0, f->now_ms + 1000);
    assert_false(take_one(f, 100));
    f->now_ms -= 500000;
    assert_false(take_one(f, 100));
    assert_int_equal(f->steps, 0);
    f->now_ms += 502000;
    assert_true(take_one(f, 100));
}

static void removing_twice_does_nothing(void **state)
{
    struct fixture *f = *state;
    add(f, 0, f->now_ms + 100);
    add(f, 1, f->now_ms + 100);
    add(f, 2, f->now_ms + 100);
    for (int i = 0; i < 2; i++)
        tc_wheel_remove(&f->wheel, &f->entries[1]);
    f->is_in[1] = false;
    f->n_in = 2;
    assert_slots_agree_with_their_bits(f);
    f->now_ms += 200;
    take_all(f);
    assert_int_equal(f->n_in, 0);
    assert_slots_agree_with_their_bits(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_entry_comes_when_its_tick_has_passed_and_not_before, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_over_already_comes_at_the_next_tick, setup, teardown),
        cmocka_unit_test_setup_teardown(the_end_of_time_can_be_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(seconds_agree_with_a_naive_list, setup, teardown),
        cmocka_unit_test_setup_teardown(days_agree_with_a_naive_list, setup, teardown),
        cmocka_unit_test_setup_teardown(years_agree_with_a_naive_list, setup, teardown),
        cmocka_unit_test_setup_teardown(huge_jumps_agree_with_a_naive_list, setup, teardown),
        cmocka_unit_test_setup_teardown(ten_idle_years_cost_a_few_hundred_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_far_away_costs_nothing_while_time_goes_by, setup, teardown),
        cmocka_unit_test_setup_teardown(steps_run_out_and_nothing_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(a_few_steps_an_operation_keep_up_with_one_addition_an_operation, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_clock_that_stands_still_or_goes_back_brings_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(removing_twice_does_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
