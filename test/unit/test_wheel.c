/* Codes of moments against the moments themselves: nothing comes early, nothing is kept back for longer than is said,
 * over three circles, years and the turns' ends. Then in L1: what has expired is reclaimed by the stores of others, a
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
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)
#define YEAR_MS (365 * DAY_MS)
#define NEAR_MS (30 * SECOND_MS) /* what is farther ahead is told as if it were as far ahead as that, or a bit more */
#define FIRST_MS (47 * TICK_MS)  /* what is nearer is told to two ticks */

enum { CIRCLES = 3, PAIRS = 200000, LIMIT = 4 << 20 };

/* Slots of the circles that codes are on, in ticks, and how many each has. */
static const int64_t slot_ticks[CIRCLES] = { 1, 8, 32 }, circle_slots[CIRCLES] = { 128, 64, 64 };

static int64_t slot_ms(size_t circle)
{
    return TICK_MS * slot_ticks[circle];
}

static int64_t turn_ms(size_t circle)
{
    return slot_ms(circle) * circle_slots[circle];
}

/* The latest that a moment is told which lay that far ahead, as wheel.h says. */
static int64_t late_ms(int64_t ahead_ms)
{
    return (ahead_ms / 3 < 4 * SECOND_MS ? ahead_ms / 3 : 4 * SECOND_MS) + 2 * TICK_MS;
}

/* When that moment is told at the latest, for the first time: it may be to be coded anew. */
static int64_t told_ms(int64_t ahead_ms)
{
    int64_t far_ms = turn_ms(CIRCLES - 1) * 24 / 64 + slot_ms(CIRCLES - 1), latest_ms = ahead_ms + late_ms(ahead_ms);
    return latest_ms < far_ms ? latest_ms : far_ms;
}

static bool is_due_after(uint8_t code, int64_t now_ms, int64_t since_ms)
{
    struct tc_wheel_due due;
    memset(&due, 0x5A, sizeof due); /* to be written, all of it */
    tc_wheel_look(now_ms, since_ms, &due);
    return tc_wheel_is_due(&due, code);
}

static bool is_due(uint8_t code, int64_t now_ms)
{
    return is_due_after(code, now_ms, 0);
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

/* Now and then close to where a circle's turn ends. */
static int64_t random_now(uint64_t *seed)
{
    int64_t round_ms = turn_ms(tt_random(seed) % CIRCLES);
    int64_t many_ms = tt_random(seed) % 2 ? 20 : INT64_C(1) << 32;
    int64_t end_ms = round_ms * random_below(seed, many_ms), away_ms = random_span(seed, round_ms);
    return tt_random(seed) % 2 ? end_ms + away_ms : end_ms > away_ms ? end_ms - away_ms : 0;
}

/* Of every magnitude, and half of them so near that they are coded for good. */
static int64_t random_ahead(uint64_t *seed)
{
    return tt_random(seed) % 2 ? random_span(seed, 2 * YEAR_MS) : random_below(seed, NEAR_MS) >> tt_random(seed) % 12;
}

/* ---- codes ---- */

static void only_never_has_the_code_of_never(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    for (int i = 0; i < PAIRS; i++) {
        int64_t now_ms = random_now(&seed);
        assert_int_equal(tc_wheel_code(TC_NEVER_MS, now_ms), 0);
        assert_false(is_due(0, now_ms));
        assert_false(is_due_after(0, now_ms, random_span(&seed, YEAR_MS)));
        assert_int_not_equal(tc_wheel_code(now_ms + random_span(&seed, 10 * YEAR_MS), now_ms), 0);
    }
    for (int64_t tick = 0; tick < 3 * 128 * 32; tick++)
        for (int64_t ahead = 0; ahead < 50; ahead++)
            assert_int_not_equal(tc_wheel_code((tick + ahead) * TICK_MS, tick * TICK_MS), 0);
    assert_int_not_equal(tc_wheel_code(TC_NEVER_MS - 1, 0), 0);
}

static void assert_told_in_time(uint64_t *seed, int64_t now_ms, int64_t ahead_ms)
{
    uint8_t code = tc_wheel_code(now_ms + ahead_ms, now_ms);
    int64_t not_ms = ahead_ms < NEAR_MS ? ahead_ms : NEAR_MS;
    if (not_ms > 0) {
        assert_false(is_due(code, now_ms));
        assert_false(is_due(code, now_ms + not_ms - 1));
        assert_false(is_due(code, now_ms + random_below(seed, not_ms)));
    }
    assert_true(is_due(code, now_ms + told_ms(ahead_ms)));
}

static void a_moment_is_told_in_time_and_never_early(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    for (int i = 0; i < PAIRS; i++)
        assert_told_in_time(&seed, random_now(&seed), random_ahead(&seed));
}

static void so_it_is_at_the_ends_of_every_circle(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    for (size_t circle = 0; circle < CIRCLES; circle++)
        for (int64_t eighth = 0; eighth <= 16; eighth++)
            for (int64_t now = -3; now <= 3; now++)
                for (int64_t ahead = -3; ahead <= 3; ahead++) {
                    int64_t now_ms = turn_ms(circle) + eighth * turn_ms(circle) / 8 + now;
                    int64_t ahead_ms = turn_ms(circle) * 24 / 64 + ahead * slot_ms(circle) + now;
                    assert_told_in_time(&seed, now_ms, ahead_ms);
                    assert_told_in_time(&seed, now_ms, (int64_t)circle * slot_ms(circle) + 3 + ahead);
                }
}

static void the_first_three_seconds_are_told_to_two_ticks(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    assert_in_range(FIRST_MS, 3 * SECOND_MS, 4 * SECOND_MS);
    for (int i = 0; i < PAIRS; i++) {
        int64_t now_ms = random_now(&seed), ahead_ms = random_below(&seed, FIRST_MS);
        uint8_t code = tc_wheel_code(now_ms + ahead_ms, now_ms);
        assert_true(is_due(code, now_ms + ahead_ms + 2 * TICK_MS));
    }
}

/* The latest look that a stripe may have missed all before of: from then on everything is told. */
static void what_is_due_is_told_however_long_nobody_looked(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    for (int i = 0; i < PAIRS; i++) {
        int64_t now_ms = random_now(&seed), ahead_ms = random_ahead(&seed);
        int64_t looked_ms = random_below(&seed, ahead_ms < NEAR_MS ? ahead_ms + 1 : NEAR_MS);
        int64_t next_ms = told_ms(ahead_ms) + random_span(&seed, YEAR_MS);
        uint8_t code = tc_wheel_code(now_ms + ahead_ms, now_ms);
        assert_true(is_due_after(code, now_ms + next_ms, next_ms - looked_ms));
    }
}

static void what_is_due_stays_so_for_as_long_as_its_code_is_trusted(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    for (int i = 0; i < PAIRS; i++) {
        int64_t now_ms = random_now(&seed), ahead_ms = random_ahead(&seed), from_ms = told_ms(ahead_ms);
        uint8_t code = tc_wheel_code(now_ms + ahead_ms, now_ms);
        int64_t to_ms = (ahead_ms < NEAR_MS ? ahead_ms : NEAR_MS) + tc_wheel_trust_ms(code);
        assert_true(from_ms < to_ms);
        assert_true(is_due(code, now_ms + from_ms + random_below(&seed, to_ms - from_ms)));
        assert_true(is_due_after(code, now_ms + to_ms - 1, tc_wheel_trust_ms(code) - 1));
    }
}

/* With too long a time all codes of a kind are told, and no other kind's. */
static void what_cannot_be_trusted_any_more_is_told_and_nothing_else(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    for (int i = 0; i < 2000; i++) {
        int64_t now_ms = random_now(&seed), since_ms = random_span(&seed, 4 * MINUTE_MS);
        size_t trusted = 0;
        for (unsigned code = 1; code <= UINT8_MAX; code++) {
            bool trust = since_ms < tc_wheel_trust_ms((uint8_t)code);
            trusted += trust;
            assert_int_equal(is_due_after((uint8_t)code, now_ms, since_ms),
                             !trust || is_due((uint8_t)code, now_ms));
        }
        assert_true(trusted == 0 || since_ms < 2 * MINUTE_MS);
        assert_true(trusted == UINT8_MAX || since_ms > 4 * SECOND_MS);
    }
}

/* Eight codes together: whether all of them say never, or lie ahead on the last circle. One of them at each place. */
static void eight_at_once_say_what_each_says(void **state)
{
    (void)state;
    uint64_t seed = tt_seed(), codes;
    for (int i = 0; i < 500; i++) {
        struct tc_wheel_due due;
        int64_t now_ms = random_now(&seed), since_ms = random_span(&seed, 4 * MINUTE_MS);
        uint8_t far = tc_wheel_code(now_ms + YEAR_MS, now_ms);
        memset(&due, 0x5A, sizeof due);
        tc_wheel_look(now_ms, since_ms, &due);
        for (unsigned code = 0; code <= UINT8_MAX; code++) {
            uint8_t eight[8] = { far, 0, far, far, 0, far, 0, far };
            eight[code % 8] = (uint8_t)code;
            memcpy(&codes, eight, sizeof codes);
            bool ahead = code == 0 || (code >= 192 && !tc_wheel_is_due(&due, (uint8_t)code));
            assert_int_equal(tc_wheel_are_ahead(&due, codes), ahead && !tc_wheel_is_due(&due, far));
        }
        assert_true(tc_wheel_are_ahead(&due, 0));
    }
}

static void what_is_over_already_is_due_at_the_next_tick(void **state)
{
    (void)state;
    static const int64_t ago_ms[] = { 0, 1, 63, 64, SECOND_MS, 4 * SECOND_MS, 8 * SECOND_MS, 17 * SECOND_MS,
                                      33 * SECOND_MS, MINUTE_MS, 66 * SECOND_MS, 132 * SECOND_MS, HOUR_MS, 5 * HOUR_MS,
                                      DAY_MS, 3 * YEAR_MS };
    uint64_t seed = tt_seed();
    for (int i = 0; i < 1000; i++) {
        int64_t now_ms = 4 * YEAR_MS + random_now(&seed);
        for (size_t a = 0; a < TC_ARRAY_LEN(ago_ms); a++) {
            uint8_t code = tc_wheel_code(now_ms - ago_ms[a], now_ms);
            if (!is_due(code, now_ms + 2 * TICK_MS))
                fail_msg("over since %lld ms, and not due", (long long)ago_ms[a]);
        }
    }
}

/* Codes anew whenever it is told to be due, as a stripe does; returns how often that was before its time had come. */
static unsigned times_told_early(int64_t due_ms, int64_t now_ms)
{
    unsigned early = 0;
    uint8_t code = tc_wheel_code(due_ms, now_ms);
    for (;;) {
        int64_t step_ms = (due_ms - now_ms) / 8, most_ms = slot_ms(CIRCLES - 1);
        now_ms += step_ms < TICK_MS ? TICK_MS : step_ms > most_ms ? most_ms : step_ms;
        assert_true(now_ms < due_ms + late_ms(YEAR_MS)); /* it did not miss it */
        if (!is_due(code, now_ms))
            continue;
        if (now_ms >= due_ms)
            return early;
        early++;
        code = tc_wheel_code(due_ms, now_ms);
        assert_false(is_due(code, now_ms)); /* else it would be looked at all the time */
    }
}

static void what_is_farther_ahead_than_half_a_minute_is_coded_anew_until_it_comes(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    assert_int_equal(times_told_early(NEAR_MS, 0), 0);
    for (int64_t minutes = 0; minutes <= 200; minutes++) {
        int64_t now_ms = random_now(&seed);
        assert_in_range(times_told_early(now_ms + minutes * MINUTE_MS, now_ms), minutes, 2 * minutes);
    }
    for (int64_t years = 1; years < 40; years++) {
        int64_t now_ms = random_now(&seed);
        assert_told_in_time(&seed, now_ms, years * YEAR_MS);
    }
}

static void the_end_of_time_but_one_is_told_early_and_waited_for(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    int64_t now_ms = random_now(&seed);
    for (int i = 0; i < 1000; i++) {
        uint8_t code = tc_wheel_code(TC_NEVER_MS - 1, now_ms);
        assert_false(is_due(code, now_ms + NEAR_MS));
        now_ms += NEAR_MS + NEAR_MS * 3 / 4;
        assert_true(is_due(code, now_ms));
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
        n += tc_index_cell(&f->s->index, i) != 0 && is_due(tc_index_code(&f->s->index, i), tt_l1_now(f->r));
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
    for (int round = 0; round < 3; round++) /* before the first ones codes are not trusted */
        go_round(f);
    set_max_stale(f->r->types[0], 10 * SECOND_MS);
    put_small(f, 1, SECOND_MS);
    set_max_stale(f->r->types[0], 0);
    tt_clock_advance(&f->r->time, 2 * SECOND_MS);
    struct tc_l1_found found = tt_l1_get(f->r, tt_l1_key(f->r, 1));
    assert_null(found.entry);
    tt_clock_advance(&f->r->time, 8 * SECOND_MS);
    go_round(f);
    assert_int_equal(expired(f), 0);
    tt_clock_advance(&f->r->time, SECOND_MS + late_ms(11 * SECOND_MS));
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
    static const int64_t ttls_ms[] = { 100, SECOND_MS, 8 * SECOND_MS, 25 * SECOND_MS };
    static const int64_t idle_ms[] = { 0, 2 * SECOND_MS, 4 * SECOND_MS, 5 * SECOND_MS, 6 * SECOND_MS, 8 * SECOND_MS,
                                       9 * SECOND_MS, 16 * SECOND_MS, 19 * SECOND_MS, 33 * SECOND_MS, MINUTE_MS,
                                       76 * SECOND_MS, 131 * SECOND_MS, HOUR_MS, 8 * HOUR_MS, 30 * DAY_MS };
    uint64_t before = 0;
    for (size_t i = 0; i < 5 * TC_ARRAY_LEN(idle_ms) * TC_ARRAY_LEN(ttls_ms); i++, before += 500) {
        int64_t ttl_ms = ttls_ms[i % TC_ARRAY_LEN(ttls_ms)];
        int64_t ms = idle_ms[i / TC_ARRAY_LEN(ttls_ms) % TC_ARRAY_LEN(idle_ms)];
        for (uint64_t n = 0; n < 500; n++)
            put_for(f, n, ttl_ms, 0);
        for (uint64_t n = tt_random(&seed) % f->s->index.n; n > 0; n--)
            assert_int_equal(tt_l1_put(f->r, tt_l1_key(f->r, OTHERS - 1), 10), CACHE_OK);
        tt_clock_advance(&f->r->time, ttl_ms + late_ms(ttl_ms) + ms);
        go_round(f);
        if (expired(f) != before + 500)
            fail_msg("%llu of 500 are reclaimed after %lld ms", (unsigned long long)(expired(f) - before),
                     (long long)ms);
    }
}

static void assert_nothing_is_overdue(struct fixture *f, int64_t by_ms)
{
    for (size_t i = 0; i < tc_index_lanes(&f->s->index); i++) {
        uint32_t cell = tc_index_cell(&f->s->index, i);
        struct tc_entry *e = cell != 0 ? tc_stripe_entry(f->s, cell) : NULL;
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
        cmocka_unit_test(so_it_is_at_the_ends_of_every_circle),
        cmocka_unit_test(the_first_three_seconds_are_told_to_two_ticks),
        cmocka_unit_test(what_is_due_is_told_however_long_nobody_looked),
        cmocka_unit_test(what_is_due_stays_so_for_as_long_as_its_code_is_trusted),
        cmocka_unit_test(what_cannot_be_trusted_any_more_is_told_and_nothing_else),
        cmocka_unit_test(eight_at_once_say_what_each_says),
        cmocka_unit_test(what_is_over_already_is_due_at_the_next_tick),
        cmocka_unit_test(what_is_farther_ahead_than_half_a_minute_is_coded_anew_until_it_comes),
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
