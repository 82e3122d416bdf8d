/* Lifetimes: who decides, and what no random word and no policy can bring about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/ttl.h"
#include "tt_util.h"

enum { ROUNDS = 200000 };

static struct tc_policy policy(int64_t ttl_ms, int64_t l1_ttl_ms)
{
    struct tc_policy p;
    memset(&p, 0, sizeof p);
    p.ttl_ms = ttl_ms;
    p.l1_ttl_ms = l1_ttl_ms;
    p.negative_ttl_ms = 10000;
    return p;
}

static struct cache_ttl decide(const struct tc_policy *p, int64_t wished_ms)
{
    struct tc_ttl_ask ask;
    memset(&ask, 0, sizeof ask);
    ask.wished_ms = wished_ms;
    return tc_ttl_decide(p, &ask, 0);
}

static void assert_ttl(struct cache_ttl ttl, int64_t ttl_ms, int64_t l1_ttl_ms)
{
    assert_int_equal(ttl.ttl_ms, ttl_ms);
    assert_int_equal(ttl.l1_ttl_ms, l1_ttl_ms);
}

/* A table that answers what its context says, and notes what it saw. */
struct answer {
    struct cache_ttl ttl, seen;
    struct cache_ttl_view view;
    unsigned calls;
};

static void give_answer(void *ctx, const struct cache_ttl_view *view, struct cache_ttl *ttl)
{
    struct answer *a = ctx;
    a->view = *view;
    a->seen = *ttl;
    *ttl = a->ttl;
    a->calls++;
}

static struct tc_policy policy_with(struct answer *a, int64_t ttl_ms, int64_t l1_ttl_ms)
{
    struct tc_policy p = policy(ttl_ms, l1_ttl_ms);
    p.decide = give_answer;
    p.decide_ctx = a;
    return p;
}

/* ---- precedence ---- */

static void the_types_fields_hold_when_nobody_says_otherwise(void **state)
{
    (void)state;
    struct tc_policy p = policy(5000, 2000);
    assert_ttl(decide(&p, 0), 5000, 2000);
    p = policy(CACHE_TTL_FOREVER, CACHE_TTL_FOREVER);
    assert_ttl(decide(&p, 0), CACHE_TTL_FOREVER, CACHE_TTL_FOREVER);
}

static void an_absence_lives_by_the_negative_ttl(void **state)
{
    (void)state;
    struct tc_policy p = policy(50000, 20000);
    struct tc_ttl_ask ask;
    memset(&ask, 0, sizeof ask);
    ask.view.absent = 1;
    assert_ttl(tc_ttl_decide(&p, &ask, 0), 10000, 10000);
    p.negative_ttl_ms = CACHE_TTL_NONE;
    assert_ttl(tc_ttl_decide(&p, &ask, 0), CACHE_TTL_NONE, CACHE_TTL_NONE);
    ask.wished_ms = 300; /* of this one absence, from its caller */
    assert_ttl(tc_ttl_decide(&p, &ask, 0), 300, 300);
}

static void the_table_goes_before_the_fields_and_the_wish_before_the_table(void **state)
{
    (void)state;
    struct answer a = { .ttl = { 700, 600 } };
    struct tc_policy p = policy_with(&a, 5000, 2000);
    assert_ttl(decide(&p, 0), 700, 600);
    assert_ttl(decide(&p, 800), 800, 600);
    assert_ttl(decide(&p, 500), 500, 500);
    assert_ttl(decide(&p, CACHE_TTL_FOREVER), CACHE_TTL_FOREVER, 600);
    assert_ttl(decide(&p, CACHE_TTL_NONE), CACHE_TTL_NONE, CACHE_TTL_NONE);
    assert_int_equal(a.calls, 5);
    assert_int_equal(a.seen.ttl_ms, 5000);
    assert_int_equal(a.seen.l1_ttl_ms, 2000);
}

static void the_table_sees_what_is_known(void **state)
{
    (void)state;
    struct answer a = { .ttl = { 1, 1 } };
    struct tc_policy p = policy_with(&a, 5000, 2000);
    struct tc_ttl_ask ask;
    memset(&ask, 0, sizeof ask);
    ask.view = (struct cache_ttl_view){ .key = { "k", 1 }, .value_len = 9, .absent = 1, .previous_age_ms = 8,
                                        .previous_hits = 7, .load_us = 6 };
    tc_ttl_decide(&p, &ask, 0);
    assert_memory_equal(&a.view, &ask.view, sizeof a.view);
    assert_int_equal(a.seen.ttl_ms, 10000); /* of an absence */
}

static void nothing_lengthens_life_in_l1_beyond_the_types(void **state)
{
    (void)state;
    struct answer a = { .ttl = { 90000, 90000 } };
    struct tc_policy p = policy_with(&a, 5000, 2000);
    assert_ttl(decide(&p, 0), 90000, 2000);
    a.ttl.l1_ttl_ms = CACHE_TTL_FOREVER;
    assert_ttl(decide(&p, CACHE_TTL_FOREVER), CACHE_TTL_FOREVER, 2000);
    assert_ttl(decide(&p, CACHE_TTL_MAX_MS), CACHE_TTL_MAX_MS, 2000);
}

static void a_table_can_keep_a_value_out_of_l1_or_out_of_both(void **state)
{
    (void)state;
    struct answer a = { .ttl = { 700, CACHE_TTL_NONE } };
    struct tc_policy p = policy_with(&a, 5000, 2000);
    assert_ttl(decide(&p, 0), 700, CACHE_TTL_NONE);
    assert_ttl(decide(&p, 9000), 9000, CACHE_TTL_NONE);
    a.ttl = (struct cache_ttl){ CACHE_TTL_NONE, 600 };
    assert_ttl(decide(&p, 0), CACHE_TTL_NONE, CACHE_TTL_NONE);
    assert_ttl(decide(&p, 50), 50, 50);
}

static void nonsense_from_a_table_is_ignored_field_by_field(void **state)
{
    (void)state;
    const int64_t nonsense[] = { 0, -3, -100, INT64_MIN };
    for (size_t i = 0; i < TC_ARRAY_LEN(nonsense); i++) {
        struct answer a = { .ttl = { nonsense[i], 600 } };
        struct tc_policy p = policy_with(&a, 5000, 2000);
        assert_ttl(decide(&p, 0), 5000, 600);
        a.ttl = (struct cache_ttl){ 700, nonsense[i] };
        assert_ttl(decide(&p, 0), 700, 700);
        a.ttl = (struct cache_ttl){ nonsense[i], nonsense[i] };
        assert_ttl(decide(&p, 0), 5000, 2000);
    }
}

static void a_table_that_asks_for_more_than_ten_years_gets_ten(void **state)
{
    (void)state;
    struct answer a = { .ttl = { INT64_MAX, INT64_MAX } };
    struct tc_policy p = policy_with(&a, 5000, CACHE_TTL_FOREVER);
    assert_ttl(decide(&p, 0), CACHE_TTL_MAX_MS, CACHE_TTL_MAX_MS);
    assert_ttl(decide(&p, INT64_MAX), CACHE_TTL_MAX_MS, CACHE_TTL_MAX_MS);
}

/* ---- bounds ---- */

static void life_in_l1_never_exceeds_life_in_l2(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    for (int i = 0; i < ROUNDS; i++) {
        int64_t any[5];
        for (size_t k = 0; k < TC_ARRAY_LEN(any); k++) {
            uint64_t r = tt_random(&seed);
            any[k] = r % 8 == 0 ? CACHE_TTL_FOREVER : 1 + (int64_t)(tt_random(&seed) >> (1 + r / 8 % 62));
        }
        struct answer a = { .ttl = { any[0], any[1] } };
        struct tc_policy p = policy_with(&a, any[2], any[3]);
        p.jitter_percent = tt_random(&seed) % 91;
        struct tc_ttl_ask ask;
        memset(&ask, 0, sizeof ask);
        ask.wished_ms = tt_random(&seed) % 2 ? any[4] : 0;
        struct cache_ttl ttl = tc_ttl_decide(&p, &ask, tt_random(&seed));
        assert_true(ttl.ttl_ms > 0 || ttl.ttl_ms == CACHE_TTL_FOREVER);
        assert_true(ttl.l1_ttl_ms > 0 || ttl.l1_ttl_ms == CACHE_TTL_FOREVER);
        assert_true(ttl.ttl_ms <= CACHE_TTL_MAX_MS && ttl.l1_ttl_ms <= CACHE_TTL_MAX_MS);
        if (ttl.ttl_ms != CACHE_TTL_FOREVER)
            assert_true(ttl.l1_ttl_ms != CACHE_TTL_FOREVER && ttl.l1_ttl_ms <= ttl.ttl_ms);
    }
}

static void jitter_never_lengthens_and_never_takes_more_than_its_share(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    const uint64_t extremes[] = { 0, 1, 0xfffe, 0xffff, 0x10000, UINT64_MAX };
    for (int i = 0; i < ROUNDS; i++) {
        int64_t ttl_ms = 1 + (int64_t)(tt_random(&seed) % CACHE_TTL_MAX_MS >> tt_random(&seed) % 39);
        struct tc_policy p = policy(ttl_ms, CACHE_TTL_FOREVER);
        p.jitter_percent = tt_random(&seed) % 91;
        struct tc_ttl_ask ask;
        memset(&ask, 0, sizeof ask);
        uint64_t ticks = i % 4 ? tt_random(&seed) : extremes[(size_t)i / 4 % TC_ARRAY_LEN(extremes)];
        struct cache_ttl ttl = tc_ttl_decide(&p, &ask, ticks);
        assert_true(ttl.ttl_ms >= 1 && ttl.ttl_ms <= ttl_ms);
        assert_true(ttl.ttl_ms * 100 >= ttl_ms * (100 - (int64_t)p.jitter_percent));
    }
}

static void jitter_uses_the_whole_of_its_share(void **state)
{
    (void)state;
    struct tc_policy p = policy(100000, 50000);
    struct tc_ttl_ask ask;
    memset(&ask, 0, sizeof ask);
    p.jitter_percent = 20;
    uint64_t seed = tt_seed();
    int64_t least = INT64_MAX, most = 0, sum = 0;
    for (int i = 0; i < 10000; i++) {
        int64_t ttl_ms = tc_ttl_decide(&p, &ask, tt_random(&seed)).ttl_ms;
        least = ttl_ms < least ? ttl_ms : least;
        most = ttl_ms > most ? ttl_ms : most;
        sum += ttl_ms;
    }
    assert_in_range(least, 80000, 80200);
    assert_in_range(most, 99800, 100000);
    assert_in_range(sum / 10000, 89500, 90500);
}

static void both_tiers_are_shortened_by_the_same_share(void **state)
{
    (void)state;
    struct tc_policy p = policy(1000000, 500000);
    struct tc_ttl_ask ask;
    memset(&ask, 0, sizeof ask);
    p.jitter_percent = 50;
    uint64_t seed = tt_seed();
    for (int i = 0; i < 1000; i++) {
        struct cache_ttl ttl = tc_ttl_decide(&p, &ask, tt_random(&seed));
        assert_in_range(ttl.ttl_ms - 2 * ttl.l1_ttl_ms + 2, 0, 4);
    }
}

static void what_never_expires_has_no_jitter(void **state)
{
    (void)state;
    struct tc_policy p = policy(CACHE_TTL_FOREVER, CACHE_TTL_FOREVER);
    struct tc_ttl_ask ask;
    memset(&ask, 0, sizeof ask);
    p.jitter_percent = 90;
    assert_ttl(tc_ttl_decide(&p, &ask, UINT64_MAX), CACHE_TTL_FOREVER, CACHE_TTL_FOREVER);
}

/* ---- the small ones ---- */

static void a_wish_is_zero_positive_none_or_forever(void **state)
{
    (void)state;
    const int64_t good[] = { 0, 1, 1000, CACHE_TTL_MAX_MS, INT64_MAX, CACHE_TTL_NONE, CACHE_TTL_FOREVER };
    const int64_t bad[] = { -3, -4, -1000, INT64_MIN };
    for (size_t i = 0; i < TC_ARRAY_LEN(good); i++)
        assert_true(tc_ttl_is_valid(good[i]));
    for (size_t i = 0; i < TC_ARRAY_LEN(bad); i++)
        assert_false(tc_ttl_is_valid(bad[i]));
}

static void forever_is_longer_than_anything(void **state)
{
    (void)state;
    assert_int_equal(tc_ttl_min(1, 2), 1);
    assert_int_equal(tc_ttl_min(2, 1), 1);
    assert_int_equal(tc_ttl_min(CACHE_TTL_FOREVER, INT64_MAX), INT64_MAX);
    assert_int_equal(tc_ttl_min(1, CACHE_TTL_FOREVER), 1);
    assert_int_equal(tc_ttl_min(CACHE_TTL_FOREVER, CACHE_TTL_FOREVER), CACHE_TTL_FOREVER);
}

struct ticking {
    struct cache_type *type;
    uint64_t drawn[4][2000];
};

static int draw_ticks(void *arg, unsigned index)
{
    struct ticking *t = arg;
    for (size_t i = 0; i < TC_ARRAY_LEN(t->drawn[0]); i++)
        t->drawn[index][i] = tc_ttl_ticks(t->type);
    return 0;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void threads_never_draw_the_same_random_word(void **state)
{
    (void)state;
    struct tc_policy p = policy(1, 1);
    struct ticking *t = tt_xcalloc(sizeof *t);
    assert_int_equal(tc_type_open(NULL, &tc_alloc_default, NULL, "type", 0, &p, &t->type), CACHE_OK);
    assert_int_equal(tt_crew_join(tt_crew_start(TC_ARRAY_LEN(t->drawn), draw_ticks, t)), 0);
    uint64_t *all = &t->drawn[0][0];
    size_t n = sizeof t->drawn / sizeof *all;
    qsort(all, n, sizeof *all, by_value);
    for (size_t i = 1; i < n; i++)
        assert_int_not_equal(all[i], all[i - 1]);
    tc_type_close(t->type);
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_types_fields_hold_when_nobody_says_otherwise),
        cmocka_unit_test(an_absence_lives_by_the_negative_ttl),
        cmocka_unit_test(the_table_goes_before_the_fields_and_the_wish_before_the_table),
        cmocka_unit_test(the_table_sees_what_is_known),
        cmocka_unit_test(nothing_lengthens_life_in_l1_beyond_the_types),
        cmocka_unit_test(a_table_can_keep_a_value_out_of_l1_or_out_of_both),
        cmocka_unit_test(nonsense_from_a_table_is_ignored_field_by_field),
        cmocka_unit_test(a_table_that_asks_for_more_than_ten_years_gets_ten),
        cmocka_unit_test(life_in_l1_never_exceeds_life_in_l2),
        cmocka_unit_test(jitter_never_lengthens_and_never_takes_more_than_its_share),
        cmocka_unit_test(jitter_uses_the_whole_of_its_share),
        cmocka_unit_test(both_tiers_are_shortened_by_the_same_share),
        cmocka_unit_test(what_never_expires_has_no_jitter),
        cmocka_unit_test(a_wish_is_zero_positive_none_or_forever),
        cmocka_unit_test(forever_is_longer_than_anything),
        cmocka_unit_test(threads_never_draw_the_same_random_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
