/* Read-through: where a value comes from, what becomes of every kind of reply, and what is answered when the loader
 * fails. What many callers do at once is in test_flight.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"
#include "platform/platform.h"

static struct tt_cache b;
static struct tt_loader l;
static struct cache_key k;

static int setup(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    b.opts.max_value_bytes = 100000;
    b.type_opts.ttl_ms = 100000;
    b.type_opts.l1_ttl_ms = 1000;
    b.type_opts.max_stale_ms = 5000;
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    tt_loader_init(&l, "loaded");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tt_loader_fini(&l);
    return tt_cache_close(&b) ? 0 : -1;
}

/* ---- where it comes from ---- */

static void a_value_comes_from_the_first_tier_that_has_it(void **state)
{
    (void)state;
    struct tt_answer a = tt_cache_fetch(&b, &k, &l);
    assert_true(tt_answer_is(&a, CACHE_OK, "loaded"));
    assert_int_equal(a.meta.tier, CACHE_TIER_LOADER);
    assert_int_equal(a.meta.flags, 0);
    assert_int_equal(a.meta.age_ms, 0);
    assert_int_equal(tt_cache_fetch(&b, &k, &l).meta.tier, CACHE_TIER_L1);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    assert_int_equal(tt_cache_fetch(&b, &k, &l).meta.tier, CACHE_TIER_L2);
    assert_int_equal(tt_cache_fetch(&b, &k, &l).meta.tier, CACHE_TIER_L1);
    assert_int_equal(atomic_load(&l.calls), 1);
}

/* FAULTS 66 */
static void an_absence_is_cached_and_an_error_is_not(void **state)
{
    (void)state;
    l.text = NULL;
    l.status = -1500;
    assert_answer(tt_cache_fetch(&b, &k, &l), -1500, NULL);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    l.status = CACHE_OK;
    l.absent = true;
    struct tt_answer a = tt_cache_fetch(&b, &k, &l);
    assert_int_equal(a.status, CACHE_ABSENT);
    assert_int_equal(a.meta.tier, CACHE_TIER_LOADER);
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_ABSENT, NULL);
    assert_answer(tt_cache_get(&b, &k), CACHE_ABSENT, NULL);
    assert_int_equal(atomic_load(&l.calls), 2);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_ABSENT, NULL); /* from L2 */
    assert_int_equal(atomic_load(&l.calls), 2);
}

static void a_type_of_one_tier_is_loaded_into_that(void **state)
{
    static const struct {
        uint32_t flags, again;
    } cases[] = { { CACHE_TYPE_NO_L1, CACHE_TIER_L2 }, { CACHE_TYPE_NO_L2, CACHE_TIER_L1 } };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(cases); i++) {
        b.type_opts.flags = cases[i].flags;
        assert_int_equal(cache_type_update(b.type, &b.type_opts, NULL, 0), CACHE_OK);
        assert_int_equal(tt_cache_fetch(&b, &k, &l).meta.tier, CACHE_TIER_LOADER);
        for (int n = 0; n < 2; n++) {
            struct tt_answer a = tt_cache_fetch(&b, &k, &l);
            assert_true(tt_answer_is(&a, CACHE_OK, "loaded"));
            assert_int_equal(a.meta.tier, cases[i].again);
        }
        assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    }
    assert_int_equal(tt_cache_stats(&b).l1_entries, 0);
}

/* ---- every kind of reply ---- */

/* FAULTS 47 */
static void a_loaders_codes_pass_through_and_others_do_not(void **state)
{
    static const struct {
        int says, told;
    } codes[] = {
        { CACHE_E_USER_FIRST, CACHE_E_USER_FIRST },
        { CACHE_E_USER_LAST, CACHE_E_USER_LAST },
        { -1500, -1500 },
        { CACHE_E_NOMEM, CACHE_E_NOMEM },
        { CACHE_E_TOO_LARGE, CACHE_E_TOO_LARGE },
        { CACHE_E_USER_FIRST + 1, CACHE_E_LOAD },
        { CACHE_E_USER_LAST - 1, CACHE_E_LOAD },
        { CACHE_MISS, CACHE_E_LOAD },
        { CACHE_ABSENT, CACHE_E_LOAD },
        { CACHE_QUEUED, CACHE_E_LOAD },
        { CACHE_E_INVALID, CACHE_E_LOAD },
        { CACHE_E_CLOSED, CACHE_E_LOAD },
        { CACHE_E_DEADLOCK, CACHE_E_LOAD },
        { CACHE_E_TIMEOUT, CACHE_E_LOAD },
        { INT32_MAX, CACHE_E_LOAD },
        { INT32_MIN, CACHE_E_LOAD },
    };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(codes); i++) { /* it replies, and then says that it failed */
        l.status = codes[i].says;
        assert_answer(tt_cache_fetch(&b, &k, &l), codes[i].told, NULL);
        tt_clock_advance(&b.clock, 1000);
        assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    }
    assert_int_equal(tt_cache_stats(&b).load_errors, TC_ARRAY_LEN(codes));
    assert_int_equal(tt_cache_told(&b, CACHE_EVENT_LOAD_FAILED), TC_ARRAY_LEN(codes));
    assert_int_equal(tt_cache_last_event(&b, CACHE_EVENT_LOAD_FAILED).status, CACHE_E_LOAD);
    assert_int_equal(tt_backend_count(b.l2), 0);
}

/* FAULTS 47 */
static void no_reply_is_a_failure(void **state)
{
    (void)state;
    l.text = NULL;
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_E_LOAD, NULL);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
}

static int reply_often(struct tt_loader *loader, struct cache_load *ld, const struct cache_key *key)
{
    (void)loader;
    (void)key;
    assert_int_equal(cache_load_reply(ld, "first", 5), CACHE_OK);
    assert_int_equal(cache_load_absent(ld), CACHE_OK);
    char *buf = cache_load_buffer(ld, 5);
    memcpy(buf, "third", 5);
    return CACHE_OK;
}

static void the_last_reply_wins(void **state)
{
    (void)state;
    l.inside = reply_often;
    l.text = NULL;
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, "third");
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    l.text = "fourth";
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, "fourth");
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    l.text = NULL;
    l.absent = true;
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_ABSENT, NULL);
}

static int reply_badly(struct tt_loader *loader, struct cache_load *ld, const struct cache_key *key)
{
    (void)loader;
    (void)key;
    static const size_t lengths[] = { 100001, SIZE_MAX / 2, SIZE_MAX - 1, SIZE_MAX };
    for (size_t i = 0; i < TC_ARRAY_LEN(lengths); i++) {
        assert_int_equal(cache_load_reply(ld, "x", lengths[i]), CACHE_E_TOO_LARGE);
        assert_null(cache_load_buffer(ld, lengths[i]));
    }
    assert_int_equal(cache_load_reply(ld, NULL, 1), CACHE_E_INVALID);
    static const int64_t ttls[] = { -3, -1000, INT64_MIN };
    for (size_t i = 0; i < TC_ARRAY_LEN(ttls); i++)
        assert_int_equal(cache_load_ttl(ld, ttls[i]), CACHE_E_INVALID);
    tt_alloc_fail(&b.alloc, 1, true);
    assert_int_equal(cache_load_reply(ld, "x", 1), CACHE_E_NOMEM);
    assert_int_equal(cache_load_absent(ld), CACHE_E_NOMEM);
    assert_null(cache_load_buffer(ld, 1));
    tt_alloc_fail(&b.alloc, 0, false);
    return CACHE_OK;
}

/* FAULTS 47, 52, 55 */
static void what_a_loader_may_not_say_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    l.inside = reply_badly;
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, "loaded");
    assert_int_equal(tt_cache_get(&b, &k).meta.ttl_ms, 1000);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    l.text = NULL;
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_E_LOAD, NULL);
}

/* FAULTS 53 */
static void without_a_load_there_is_nothing_to_reply_to(void **state)
{
    (void)state;
    void *garbage = tt_xcalloc(4096);
    struct cache_load *const none[] = { NULL, garbage };
    for (size_t i = 0; i < TC_ARRAY_LEN(none); i++) {
        assert_int_equal(cache_load_reply(none[i], "x", 1), CACHE_E_INVALID);
        assert_null(cache_load_buffer(none[i], 1));
        assert_int_equal(cache_load_absent(none[i]), CACHE_E_INVALID);
        assert_int_equal(cache_load_ttl(none[i], 1), CACHE_E_INVALID);
        assert_int_equal(cache_load_remaining_ms(none[i]), 0);
    }
    free(garbage);
}

static void a_loader_decides_how_long_its_reply_lives(void **state)
{
    static const struct {
        int64_t says, lives;
    } ttls[] = { { 500, 500 }, { 1, 1 }, { INT64_MAX, 1000 }, { CACHE_TTL_FOREVER, 1000 } }; /* l1_ttl_ms bounds it */
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(ttls); i++) {
        l.ttl_ms = ttls[i].says;
        assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, "loaded");
        assert_int_equal(tt_cache_get(&b, &k).meta.ttl_ms, ttls[i].lives);
        assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    }
    l.ttl_ms = CACHE_TTL_NONE; /* answered, not stored */
    for (int i = 0; i < 2; i++)
        assert_int_equal(tt_cache_fetch(&b, &k, &l).meta.tier, CACHE_TIER_LOADER);
    assert_int_equal(tt_backend_count(b.l2), 0);
    assert_int_equal(tt_cache_stats(&b).l1_entries, 0);
    assert_int_equal(tt_cache_stats(&b).l1_detached_bytes, 0);
}

static void an_empty_reply_is_a_value(void **state)
{
    (void)state;
    l.text = "";
    struct tt_answer a = tt_cache_fetch(&b, &k, &l);
    assert_true(tt_answer_is(&a, CACHE_OK, ""));
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "");
}

static int see_what_is_left(struct tt_loader *loader, struct cache_load *ld, const struct cache_key *key)
{
    (void)key;
    int64_t *left_ms = loader->arg;
    left_ms[0] = cache_load_remaining_ms(ld);
    tt_clock_advance(&b.clock, 300);
    left_ms[1] = cache_load_remaining_ms(ld);
    tt_clock_advance(&b.clock, 10000);
    left_ms[2] = cache_load_remaining_ms(ld);
    return CACHE_OK;
}

/* A loader that took too long still has its reply stored and answered: its caller was in it all the time. */
static void a_loader_can_ask_how_much_time_is_left(void **state)
{
    int64_t left_ms[3];
    (void)state;
    l.inside = see_what_is_left;
    l.arg = left_ms;
    assert_answer(tt_cache_fetch_with(&b, &k, &l, 0, 700), CACHE_OK, "loaded");
    assert_int_equal(left_ms[0], 700);
    assert_int_equal(left_ms[1], 400);
    assert_int_equal(left_ms[2], 0);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "loaded");
}

/* ---- when the loader fails ---- */

static void make_stale(void)
{
    assert_int_equal(tt_cache_set(&b, &k, "stale"), CACHE_OK);
    tt_backend_erase_all(b.l2);
    tt_clock_advance(&b.clock, 1000);
    l.status = -1500;
}

static void a_stale_value_answers_when_the_loader_fails(void **state)
{
    (void)state;
    make_stale();
    struct tt_answer a = tt_cache_fetch(&b, &k, &l);
    assert_true(tt_answer_is(&a, CACHE_OK, "stale"));
    assert_int_equal(a.meta.flags, CACHE_META_STALE);
    assert_int_equal(a.meta.tier, CACHE_TIER_L1);
    assert_answer(tt_cache_fetch_with(&b, &k, &l, CACHE_FETCH_NO_STALE, 0), -1500, NULL);
    tt_clock_advance(&b.clock, 4999);
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, "stale");
    tt_clock_advance(&b.clock, 1);
    assert_answer(tt_cache_fetch(&b, &k, &l), -1500, NULL);
    assert_int_equal(atomic_load(&l.calls), 4);
}

static void a_stale_value_does_not_answer_for_a_loader_that_works(void **state)
{
    (void)state;
    make_stale();
    l.status = CACHE_OK;
    struct tt_answer a = tt_cache_fetch(&b, &k, &l);
    assert_true(tt_answer_is(&a, CACHE_OK, "loaded"));
    assert_int_equal(a.meta.flags, 0);
}

static void where_staleness_is_forbidden_a_failure_is_a_failure(void **state)
{
    (void)state;
    b.type_opts.max_stale_ms = -1;
    assert_int_equal(cache_type_update(b.type, &b.type_opts, NULL, 0), CACHE_OK);
    make_stale();
    assert_answer(tt_cache_fetch(&b, &k, &l), -1500, NULL);
}

static void an_invalidated_value_is_never_served_stale(void **state)
{
    (void)state;
    make_stale();
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_answer(tt_cache_fetch(&b, &k, &l), -1500, NULL);
}

/* ---- when L2 fails ---- */

/* FAULTS 11 */
static void a_dead_l2_leaves_the_loader(void **state)
{
    static const int failures[] = { CACHE_E_UNAVAILABLE, CACHE_E_UNKNOWN, CACHE_E_TIMEOUT, CACHE_E_REFUSED,
                                    CACHE_E_NOMEM };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(failures); i++) {
        tt_backend_fail(b.l2, TT_GET, 1, failures[i], TT_NOT_RUN);
        struct tt_answer a = tt_cache_fetch(&b, &k, &l);
        assert_true(tt_answer_is(&a, CACHE_OK, "loaded"));
        assert_int_equal(a.meta.flags, CACHE_META_L2_OUT);
        assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    }
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    struct tt_answer a = tt_cache_fetch(&b, &k, &l);
    assert_true(tt_answer_is(&a, CACHE_OK, "loaded"));
    assert_int_equal(a.meta.flags, CACHE_META_L2_OUT);
    assert_int_equal(tt_cache_fetch(&b, &k, &l).meta.tier, CACHE_TIER_L1);
}

/* FAULTS 32: its hits would all become loads at once. */
static void while_l2_is_out_a_stale_value_spares_the_origin(void **state)
{
    (void)state;
    make_stale();
    l.status = CACHE_OK;
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    struct tt_answer a = tt_cache_fetch(&b, &k, &l);
    assert_true(tt_answer_is(&a, CACHE_OK, "stale"));
    assert_int_equal(a.meta.flags, CACHE_META_STALE | CACHE_META_L2_OUT);
    assert_int_equal(atomic_load(&l.calls), 0);
    assert_answer(tt_cache_fetch_with(&b, &k, &l, CACHE_FETCH_NO_STALE, 0), CACHE_OK, "loaded");
}

static int64_t given_ms;
static cache_backend_get_fn *true_get;

static int get_and_note_the_time(void *ctx, struct cache_slice key, int64_t deadline_ms,
                                 struct cache_backend_value *out)
{
    given_ms = deadline_ms - tt_clock_mono_ms(&b.clock);
    return true_get(ctx, key, deadline_ms, out);
}

static void l2_gets_no_more_than_half_of_the_time(void **state)
{
    static const struct {
        int64_t timeout_ms, l2_ms;
    } times[] = { { 100, 50 }, { 300, 150 }, { 400, 200 }, { 10000, 200 }, { 0, 200 }, { 1, 0 } };
    (void)state;
    tt_cache_prepare(&b, true);
    true_get = tt_backend_table(b.l2)->get;
    tt_backend_table(b.l2)->get = get_and_note_the_time;
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    tt_loader_init(&l, "loaded");
    for (size_t i = 0; i < TC_ARRAY_LEN(times); i++) {
        assert_answer(tt_cache_fetch_with(&b, &k, &l, 0, times[i].timeout_ms), CACHE_OK, "loaded");
        assert_int_equal(given_ms, times[i].l2_ms);
        assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    }
    tt_loader_fini(&l);
    assert_true(tt_cache_close(&b));
}

/* ---- what is refused ---- */

struct future_fetch {
    struct cache_fetch_opts known;
    unsigned char tail[16];
};

/* FAULTS 53 */
static void options_that_make_no_sense_are_invalid(void **state)
{
    struct cache_value v;
    struct future_fetch o = { .known = CACHE_FETCH_OPTS_INIT };
    (void)state;
    assert_int_equal(cache_fetch(b.c, &k, NULL, &v), CACHE_E_INVALID);
    assert_int_equal(cache_fetch(b.c, &k, &o.known, &v), CACHE_E_INVALID); /* no loader */
    o.known.load = tt_loader_run;
    o.known.user = &l;
    assert_int_equal(cache_fetch(b.c, &k, &o.known, NULL), CACHE_E_INVALID);
    for (unsigned bit = 1; bit < 32; bit++) {
        o.known.flags = 1u << bit;
        assert_int_equal(cache_fetch(b.c, &k, &o.known, &v), CACHE_E_INVALID);
    }
    o.known.flags = 0;
    o.known.timeout_ms = -1;
    assert_int_equal(cache_fetch(b.c, &k, &o.known, &v), CACHE_E_INVALID);
    o.known.timeout_ms = 0;
    for (o.known.size = 0; o.known.size <= offsetof(struct cache_fetch_opts, load); o.known.size++)
        assert_int_equal(cache_fetch(b.c, &k, &o.known, &v), CACHE_E_INVALID);
    o.known.size = sizeof o;
    o.tail[15] = 1;
    assert_int_equal(cache_fetch(b.c, &k, &o.known, &v), CACHE_E_INVALID);
    assert_int_equal(atomic_load(&l.calls), 0);
    o.tail[15] = 0;
    o.known.timeout_ms = INT64_MAX;
    assert_int_equal(cache_fetch(b.c, &k, &o.known, &v), CACHE_OK);
    cache_value_release(&v);
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        FRESH(a_value_comes_from_the_first_tier_that_has_it),
        FRESH(an_absence_is_cached_and_an_error_is_not),
        FRESH(a_type_of_one_tier_is_loaded_into_that),
        FRESH(a_loaders_codes_pass_through_and_others_do_not),
        FRESH(no_reply_is_a_failure),
        FRESH(the_last_reply_wins),
        FRESH(what_a_loader_may_not_say_is_refused_and_changes_nothing),
        FRESH(without_a_load_there_is_nothing_to_reply_to),
        FRESH(a_loader_decides_how_long_its_reply_lives),
        FRESH(an_empty_reply_is_a_value),
        FRESH(a_loader_can_ask_how_much_time_is_left),
        FRESH(a_stale_value_answers_when_the_loader_fails),
        FRESH(a_stale_value_does_not_answer_for_a_loader_that_works),
        FRESH(where_staleness_is_forbidden_a_failure_is_a_failure),
        FRESH(an_invalidated_value_is_never_served_stale),
        FRESH(a_dead_l2_leaves_the_loader),
        FRESH(while_l2_is_out_a_stale_value_spares_the_origin),
        cmocka_unit_test(l2_gets_no_more_than_half_of_the_time),
        FRESH(options_that_make_no_sense_are_invalid),
    };
    return cmocka_run_group_tests_name("fetch", tests, NULL, NULL);
}
