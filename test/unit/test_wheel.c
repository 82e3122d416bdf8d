/* Codes of moments against the moments themselves: nothing comes early, nothing is kept back for longer than is said,
 * over four levels, years and the turns' ends. Then in L1: what has expired is reclaimed by the stores of others, a
 * bounded number at a time, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tier/l1/wheel.h"
#include "tt_util.h"
#include "unit/tt_l1.h"

#define TICK_MS ((int64_t)TC_WHEEL_TICK_MS)
#define SECOND_MS INT64_C(1000)
#define HOUR_MS (3600 * SECOND_MS)
#define DAY_MS (24 * HOUR_MS)
#define YEAR_MS (365 * DAY_MS)
#define SLOTS INT64_C(16384)   /* of a turn */
#define HALF_TURN_MS (SLOTS / 2 * TICK_MS) /* on the lowest level */

enum { LEVELS = 4, PAIRS = 200000, LIMIT = 4 << 20 };

static int64_t slot_ms(unsigned level)
{
    return TICK_MS << 6 * level;
}

/* The latest that a moment is told which lay that far ahead, as wheel.h says. */
static int64_t late_ms(int64_t ahead_ms)
{
    return ahead_ms / 31 + 2 * TICK_MS;
}

static int64_t random_below(uint64_t *seed, int64_t most_ms)
{
    return (int64_t)(tt_random(seed) % (uint64_t)most_ms);
}

/* Of every magnitude alike: milliseconds as often as years. */
static int64_t random_span(uint64_t *seed, int64_t most_ms)
{
    return random_below(seed, most_ms) >> tt_random(seed) % 37;
}

/* Now and then close to where a level's turn ends. */
static int64_t random_now(uint64_t *seed)
{
    int64_t turn_ms = SLOTS * slot_ms((unsigned)(tt_random(seed) % LEVELS));
    int64_t end_ms = turn_ms * random_below(seed, 20), away_ms = random_span(seed, turn_ms);
    return tt_random(seed) % 2 ? end_ms + away_ms : end_ms > away_ms ? end_ms - away_ms : 0;
}

/* ---- codes ---- */

static void only_never_has_the_code_of_never(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    for (int i = 0; i < PAIRS; i++) {
        int64_t now_ms = random_now(&seed);
        assert_int_equal(tc_wheel_code(TC_NEVER_MS, now_ms), 0);
        assert_false(tc_wheel_is_due(0, now_ms));
        assert_int_not_equal(tc_wheel_code(now_ms + random_span(&seed, 10 * YEAR_MS), now_ms), 0);
    }
    for (int64_t slot = 0; slot < 3 * SLOTS; slot++)
        assert_int_not_equal(tc_wheel_code(slot * TICK_MS, (slot - slot % 4000) * TICK_MS), 0);
    assert_int_not_equal(tc_wheel_code(TC_NEVER_MS - 1, 0), 0);
}

static void assert_told_in_time(uint64_t *seed, int64_t now_ms, int64_t ahead_ms)
{
    int64_t due_ms = now_ms + ahead_ms;
    uint16_t code = tc_wheel_code(due_ms, now_ms);
    if (ahead_ms > 0) {
        assert_false(tc_wheel_is_due(code, now_ms));
        assert_false(tc_wheel_is_due(code, due_ms - 1));
        assert_false(tc_wheel_is_due(code, now_ms + random_below(seed, ahead_ms)));
    }
    assert_true(tc_wheel_is_due(code, due_ms + late_ms(ahead_ms)));
}

static void a_moment_is_told_in_time_and_never_early(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    for (int i = 0; i < PAIRS; i++)
        assert_told_in_time(&seed, random_now(&seed), random_span(&seed, 2 * YEAR_MS));
}

static void so_it_is_at_the_ends_of_every_level(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    for (unsigned level = 0; level < LEVELS; level++)
        for (int64_t quarter = 0; quarter <= 8; quarter++)
            for (int64_t now = -3; now <= 3; now++)
                for (int64_t ahead = -3; ahead <= 3; ahead++) {
                    int64_t now_ms = SLOTS * slot_ms(level) + quarter * SLOTS / 4 * slot_ms(level) + now;
                    int64_t ahead_ms = SLOTS / 4 * slot_ms(level) + ahead * slot_ms(level) + now;
                    if (ahead_ms < 2 * YEAR_MS)
                        assert_told_in_time(&seed, now_ms, ahead_ms);
                    assert_told_in_time(&seed, now_ms, level * slot_ms(level) + 3 + ahead);
                }
}

static void the_first_262_seconds_are_told_to_two_ticks(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    for (int i = 0; i < PAIRS; i++) {
        int64_t now_ms = random_now(&seed), ahead_ms = random_below(&seed, (SLOTS / 4 - 2) * TICK_MS);
        uint16_t code = tc_wheel_code(now_ms + ahead_ms, now_ms);
        assert_true(tc_wheel_is_due(code, now_ms + ahead_ms + 2 * TICK_MS));
    }
}

static void what_is_due_stays_so_for_as_long_as_codes_are_trusted_and_twice_as_long_as_it_lay_ahead(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    for (int i = 0; i < PAIRS; i++) {
        int64_t now_ms = random_now(&seed), ahead_ms = random_span(&seed, 2 * YEAR_MS);
        int64_t from_ms = ahead_ms + late_ms(ahead_ms), to_ms = ahead_ms + TC_WHEEL_TRUST_MS;
        if (to_ms < 3 * ahead_ms - ahead_ms / 16)
            to_ms = 3 * ahead_ms - ahead_ms / 16;
        uint16_t code = tc_wheel_code(now_ms + ahead_ms, now_ms);
        assert_true(tc_wheel_is_due(code, now_ms + from_ms + random_below(&seed, to_ms - from_ms)));
    }
}

static void what_is_over_already_is_due_at_the_next_tick(void **state)
{
    (void)state;
    static const int64_t ago_ms[] = { 0, 1, 63, 64, SECOND_MS, 60 * SECOND_MS, HALF_TURN_MS / 2,
                                      HALF_TURN_MS + TICK_MS, HOUR_MS, 5 * HOUR_MS, DAY_MS, 3 * YEAR_MS };
    uint64_t seed = tt_seed();
    for (int i = 0; i < 1000; i++) {
        int64_t now_ms = random_now(&seed);
        for (size_t a = 0; a < TC_ARRAY_LEN(ago_ms); a++) {
            uint16_t code = tc_wheel_code(now_ms - ago_ms[a], now_ms);
            if (!tc_wheel_is_due(code, now_ms + 2 * TICK_MS))
                fail_msg("over since %lld ms, and not due", (long long)ago_ms[a]);
        }
    }
}

/* Codes anew whenever it is told to be due, as a stripe does; returns how often that was before its time had come. */
static unsigned times_told_early(int64_t due_ms, int64_t now_ms)
{
    unsigned early = 0;
    uint16_t code = tc_wheel_code(due_ms, now_ms);
    for (;;) {
        int64_t step_ms = (due_ms - now_ms) / 8;
        now_ms += step_ms < TICK_MS ? TICK_MS : step_ms > slot_ms(LEVELS - 1) ? slot_ms(LEVELS - 1) : step_ms;
        assert_true(now_ms < due_ms + late_ms(2 * YEAR_MS)); /* it did not miss it */
        if (!tc_wheel_is_due(code, now_ms))
            continue;
        if (now_ms >= due_ms)
            return early;
        early++;
        code = tc_wheel_code(due_ms, now_ms);
        assert_false(tc_wheel_is_due(code, now_ms)); /* else it would be looked at all the time */
    }
}

static void what_is_years_ahead_is_coded_anew_until_it_comes(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    for (int64_t years = 0; years <= 40; years++) {
        int64_t now_ms = random_now(&seed);
        assert_in_range(times_told_early(now_ms + years * YEAR_MS, now_ms), years > 2 ? 1 : 0, years / 2);
    }
}

static void the_end_of_time_but_one_is_told_early_and_waited_for(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    int64_t now_ms = random_now(&seed);
    for (int i = 0; i < 100; i++) {
        uint16_t code = tc_wheel_code(TC_NEVER_MS - 1, now_ms);
        assert_false(tc_wheel_is_due(code, now_ms + 2 * YEAR_MS));
        assert_true(tc_wheel_is_due(code, now_ms + 3 * YEAR_MS));
        now_ms += 3 * YEAR_MS;
    }
}

/* ---- in L1 ---- */

struct fixture {
    struct tt_l1 *r;
    struct tc_stripe *s; /* the only one */
    uint64_t next; /* key for a store of something else */
};

#define OTHERS UINT64_C(1000000)

static int setup(void **state)
{
    struct fixture *f = tt_xcalloc(sizeof *f);
    f->r = tt_l1_new(LIMIT, 1, NULL);
    assert_non_null(f->r);
    f->s = tc_l1_stripe(&f->r->l1, 0);
    f->next = OTHERS;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    bool clean = tt_l1_free(f->r);
    free(f);
    return clean ? 0 : -1;
}

static void put_for(struct fixture *f, uint64_t number, int64_t ttl_ms, int64_t stale_ms)
{
    struct tt_l1_put p = { .len = 50, .ttl_ms = ttl_ms, .stale_ms = stale_ms, .advance = true };
    assert_int_equal(tt_l1_put_with(f->r, tt_l1_key(f->r, number), &p), CACHE_OK);
}

static uint64_t expired(struct fixture *f)
{
    return tt_l1_count(f->r, TC_COUNT_l1_expired);
}

/* As many stores as the hand needs for one round; of one key, which takes no more room after the first. */
static void go_round(struct fixture *f)
{
    for (size_t n = f->s->index.n / TC_WHEEL_BUCKETS + 1; n > 0; n--)
        assert_int_equal(tt_l1_put(f->r, tt_l1_key(f->r, OTHERS - 1), 10), CACHE_OK);
}

static void what_expired_is_reclaimed_by_stores_of_other_keys(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 0; i < 500; i++)
        put_for(f, i, SECOND_MS, 0);
    for (uint64_t i = 500; i < 700; i++)
        put_for(f, i, i % 2 ? 0 : HOUR_MS, 0);
    go_round(f);
    assert_int_equal(expired(f), 0);
    uint64_t before = tc_stripe_bytes(f->s);
    tt_clock_advance(&f->r->time, SECOND_MS + 2 * TICK_MS);
    go_round(f);
    assert_int_equal(expired(f), 500);
    assert_int_equal(tt_l1_type_entries(f->r, 0), 201);
    assert_true(tc_stripe_bytes(f->s) <= before - 500 * 50);
    assert_true(tc_l1_check(&f->r->l1));
    for (uint64_t i = 500; i < 700; i++)
        assert_true(tt_l1_has(f->r, tt_l1_key(f->r, i)));
}

static void stores_that_fill_a_cache_reclaim_as_they_go(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 0; i < 20000; i++) {
        put_for(f, f->next++, 200, 0);
        tt_clock_advance(&f->r->time, 1);
        /* 200 live, some told late, and those that the hand has not come by. */
        assert_true(tt_l1_type_entries(f->r, 0) <= 200 + 128 + f->s->index.n / TC_WHEEL_BUCKETS);
    }
    assert_int_equal(tt_l1_count(f->r, TC_COUNT_l1_evicted_bytes), 0);
    assert_int_equal(expired(f) + tt_l1_type_entries(f->r, 0), 20000);
}

static void a_store_reclaims_a_bounded_number_and_in_the_end_all(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 0; i < 3000; i++)
        put_for(f, i, SECOND_MS, 0);
    tt_clock_advance(&f->r->time, 60 * SECOND_MS);
    uint64_t before = 0, most = 0;
    for (size_t n = f->s->index.n / TC_WHEEL_BUCKETS + 1; n > 0; n--) {
        put_for(f, OTHERS, 0, 0);
        most = expired(f) - before > most ? expired(f) - before : most;
        before = expired(f);
    }
    assert_int_equal(before, 3000);
    assert_in_range(most, TC_INDEX_LANES, TC_WHEEL_BUCKETS * TC_INDEX_LANES);
}

static void what_is_replaced_has_its_successors_time(void **state)
{
    struct fixture *f = *state;
    static const int64_t ttls_ms[][2] = { { SECOND_MS, HOUR_MS }, { HOUR_MS, SECOND_MS }, { SECOND_MS, 0 },
                                          { 0, SECOND_MS }, { SECOND_MS, SECOND_MS + 500 } };
    for (uint64_t i = 0; i < TC_ARRAY_LEN(ttls_ms); i++) {
        put_for(f, i, ttls_ms[i][0], 0);
        put_for(f, i, ttls_ms[i][1], 0);
    }
    tt_clock_advance(&f->r->time, SECOND_MS + 2 * TICK_MS);
    go_round(f);
    assert_int_equal(expired(f), 2);
    assert_true(tt_l1_has(f->r, tt_l1_key(f->r, 0)));
    assert_true(tt_l1_has(f->r, tt_l1_key(f->r, 2)));
    assert_true(tt_l1_has(f->r, tt_l1_key(f->r, 4)));
    tt_clock_advance(&f->r->time, 500);
    go_round(f);
    assert_int_equal(expired(f), 3);
}

static void set_max_stale(struct cache_type *t, int64_t max_stale_ms)
{
    struct tc_policy p;
    tc_type_policy(t, &p);
    p.max_stale_ms = max_stale_ms;
    tc_type_set_policy(t, &p, 0);
}

/* Without more: it is kept for as long as its type says at that time. */
static void put_small(struct fixture *f, uint64_t number, int64_t life_ms)
{
    struct tt_l1_key k = tt_l1_key(f->r, number);
    struct tc_l1_ref ref = tt_l1_ref(&k);
    tc_l1_know(&f->r->l1, f->r->types[0]);
    struct tc_entry *e =
        tc_entry_open_small(&f->r->alloc, f->r->l1.node_bytes, f->r->types[0], k.hash, ref.key, 16);
    tt_l1_fill(tc_entry_room(e), 16, number, 1);
    tc_entry_set_life(e, tt_l1_now(f->r), life_ms, 0);
    assert_int_equal(tc_l1_put(&f->r->l1, e, &f->r->policies[0], NULL, true), CACHE_OK);
    tc_l1_drop(&f->r->l1, e);
}

static size_t due_codes(struct fixture *f)
{
    size_t n = 0;
    for (size_t i = 0; i < tc_index_lanes(&f->s->index); i++)
        n += tc_wheel_is_due(tc_index_code(tc_index_lane(&f->s->index, i)), tt_l1_now(f->r));
    return n;
}

static void what_comes_up_before_its_time_stays_and_is_coded_anew(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 0; i < 100; i++)
        put_small(f, i, SECOND_MS);
    set_max_stale(f->r->types[0], 100 * SECOND_MS);
    tt_clock_advance(&f->r->time, 2 * SECOND_MS);
    assert_int_equal(due_codes(f), 100);
    go_round(f);
    assert_int_equal(expired(f), 0);
    assert_int_equal(due_codes(f), 0);
    assert_int_equal(tt_l1_type_entries(f->r, 0), 101);
    tt_clock_advance(&f->r->time, 99 * SECOND_MS - 1);
    go_round(f);
    assert_int_equal(expired(f), 0);
    tt_clock_advance(&f->r->time, 2 * TICK_MS + 1);
    go_round(f);
    assert_int_equal(expired(f), 100);
    assert_true(tc_l1_check(&f->r->l1));
}

static void a_window_that_was_made_shorter_ends_at_its_old_time_and_nothing_answers_until_then(void **state)
{
    struct fixture *f = *state;
    set_max_stale(f->r->types[0], 100 * SECOND_MS);
    put_small(f, 1, SECOND_MS);
    set_max_stale(f->r->types[0], 0);
    tt_clock_advance(&f->r->time, 2 * SECOND_MS);
    struct tc_l1_found found = tt_l1_get(f->r, tt_l1_key(f->r, 1));
    assert_null(found.entry);
    tt_clock_advance(&f->r->time, 100 * SECOND_MS);
    go_round(f);
    assert_int_equal(expired(f), 1);
}

static void a_stale_window_counts_and_years_do_not_frighten(void **state)
{
    struct fixture *f = *state;
    put_for(f, 1, SECOND_MS, 10 * SECOND_MS);
    put_for(f, 2, 5 * YEAR_MS, 0);
    tt_clock_advance(&f->r->time, 10 * SECOND_MS);
    go_round(f);
    assert_int_equal(expired(f), 0);
    tt_clock_advance(&f->r->time, SECOND_MS + 2 * TICK_MS);
    go_round(f);
    assert_int_equal(expired(f), 1);
    for (int year = 0; year < 4; year++) {
        tt_clock_advance(&f->r->time, YEAR_MS);
        go_round(f);
        assert_true(tt_l1_has(f->r, tt_l1_key(f->r, 2)));
    }
    tt_clock_advance(&f->r->time, YEAR_MS + late_ms(2 * YEAR_MS));
    go_round(f);
    assert_int_equal(expired(f), 2);
}

/* A night without stores, and the hand anywhere when it began. */
static void what_expired_long_ago_is_reclaimed_too(void **state)
{
    struct fixture *f = *state;
    uint64_t seed = tt_seed();
    static const int64_t idle_ms[] = { 60 * SECOND_MS, 500 * SECOND_MS, 600 * SECOND_MS, 900 * SECOND_MS, HOUR_MS,
                                       HOUR_MS + 600 * SECOND_MS, 8 * HOUR_MS, 30 * DAY_MS };
    uint64_t before = 0;
    for (size_t i = 0; i < 20 * TC_ARRAY_LEN(idle_ms); i++, before += 500) {
        int64_t ms = idle_ms[i % TC_ARRAY_LEN(idle_ms)];
        for (uint64_t n = 0; n < 500; n++)
            put_for(f, n, SECOND_MS, 0);
        for (uint64_t n = tt_random(&seed) % f->s->index.n; n > 0; n--)
            assert_int_equal(tt_l1_put(f->r, tt_l1_key(f->r, OTHERS - 1), 10), CACHE_OK);
        tt_clock_advance(&f->r->time, ms);
        go_round(f);
        if (expired(f) != before + 500)
            fail_msg("%llu of 500 are reclaimed after %lld ms", (unsigned long long)(expired(f) - before),
                     (long long)ms);
    }
}

static void assert_nothing_is_overdue(struct fixture *f, int64_t by_ms)
{
    for (size_t i = 0; i < tc_index_lanes(&f->s->index); i++) {
        struct tc_entry *e = tc_index_at(&f->s->index, i);
        int64_t keep_ms = e != NULL ? tc_entry_keep_until_ms(e, f->r->types[0]) : TC_NEVER_MS;
        assert_true(keep_ms == TC_NEVER_MS || keep_ms + by_ms > tt_l1_now(f->r));
    }
}

static void any_mixture_of_times_is_reclaimed_in_time(void **state)
{
    struct fixture *f = *state;
    uint64_t seed = tt_seed();
    for (int round = 0; round < 300; round++) {
        for (uint64_t n = tt_random(&seed) % 40; n > 0; n--) {
            int64_t ttl_ms = 1 + (random_below(&seed, DAY_MS) >> tt_random(&seed) % 27);
            put_for(f, tt_random(&seed) % 2000, tt_random(&seed) % 8 ? ttl_ms : 0, random_span(&seed, HOUR_MS));
        }
        tt_clock_advance(&f->r->time, random_span(&seed, 240 * SECOND_MS));
        go_round(f);
        assert_nothing_is_overdue(f, late_ms(DAY_MS + HOUR_MS));
        assert_true(tc_l1_check(&f->r->l1));
    }
    assert_true(expired(f) > 500);
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_never_has_the_code_of_never),
        cmocka_unit_test(a_moment_is_told_in_time_and_never_early),
        cmocka_unit_test(so_it_is_at_the_ends_of_every_level),
        cmocka_unit_test(the_first_262_seconds_are_told_to_two_ticks),
        cmocka_unit_test(what_is_due_stays_so_for_as_long_as_codes_are_trusted_and_twice_as_long_as_it_lay_ahead),
        cmocka_unit_test(what_is_over_already_is_due_at_the_next_tick),
        cmocka_unit_test(what_is_years_ahead_is_coded_anew_until_it_comes),
        cmocka_unit_test(the_end_of_time_but_one_is_told_early_and_waited_for),
        FRESH(what_expired_is_reclaimed_by_stores_of_other_keys),
        FRESH(stores_that_fill_a_cache_reclaim_as_they_go),
        FRESH(a_store_reclaims_a_bounded_number_and_in_the_end_all),
        FRESH(what_is_replaced_has_its_successors_time),
        FRESH(what_comes_up_before_its_time_stays_and_is_coded_anew),
        FRESH(a_window_that_was_made_shorter_ends_at_its_old_time_and_nothing_answers_until_then),
        FRESH(a_stale_window_counts_and_years_do_not_frighten),
        FRESH(what_expired_long_ago_is_reclaimed_too),
        FRESH(any_mixture_of_times_is_reclaimed_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
