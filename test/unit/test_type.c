/* Options of a type: every default, bound and refusal that tiercache.h states; and a policy that is replaced while
 * threads read it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/type.h"
#include "tt_alloc.h"
#include "tt_util.h"

enum { ERR = 160, READERS = 2, READINGS = 100, CHANGES = 1000 };

static void leave_ttl(void *ctx, const struct cache_ttl_view *view, struct cache_ttl *ttl)
{
    (void)ctx;
    (void)view;
    (void)ttl;
}

static const struct tc_policy_defaults with_l2 = { 300000, 64 << 20, true };
static const struct tc_policy_defaults without_l2 = { 300000, 64 << 20, false };

static struct tc_policy resolve(const struct cache_type_opts *o, const struct tc_policy_defaults *d)
{
    struct tc_policy p;
    char err[ERR] = "";
    int rc = tc_policy_resolve(o, d, &p, err, sizeof err);
    if (rc != CACHE_OK)
        fail_msg("refused: %s", err);
    return p;
}

static struct cache_type_opts options(void)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    o.name = "type";
    return o;
}

/* ---- defaults ---- */

static void zero_means_the_default_in_every_field(void **state)
{
    (void)state;
    struct cache_type_opts o = options();
    struct tc_policy p = resolve(&o, &with_l2);
    assert_int_equal(p.flags, 0);
    assert_int_equal(p.jitter_percent, 0);
    assert_int_equal(p.ttl_ms, 300000);
    assert_int_equal(p.l1_ttl_ms, 60000);
    assert_int_equal(p.negative_ttl_ms, 10000);
    assert_int_equal(p.max_stale_ms, 60000);
    assert_int_equal(p.load_timeout_ms, 30000);
    assert_int_equal(p.l1_max_value_bytes, (64 << 20) / 8);
    assert_int_equal(p.l1_quota_bytes, 0);
    assert_int_equal(p.l1_quota_entries, 0);
    assert_null(p.decide);
}

static void what_is_set_is_taken_as_it_is(void **state)
{
    (void)state;
    const struct cache_ttl_ops table = { CACHE_HOOKS_ABI, leave_ttl };
    struct cache_type_opts o = options();
    o.flags = CACHE_TYPE_NO_L1 | CACHE_TYPE_REQUIRE_TICKET;
    o.ttl_ms = 1;
    o.l1_ttl_ms = 2;
    o.negative_ttl_ms = 3;
    o.max_stale_ms = 4;
    o.load_timeout_ms = 5;
    o.jitter_percent = 90;
    o.l1_max_value_bytes = 6;
    o.l1_quota_bytes = 7;
    o.l1_quota_entries = 8;
    o.ttl_policy = &table;
    o.ttl_policy_ctx = &o;
    struct tc_policy p = resolve(&o, &with_l2);
    assert_int_equal(p.flags, o.flags);
    assert_int_equal(p.ttl_ms, 1);
    assert_int_equal(p.l1_ttl_ms, 2);
    assert_int_equal(p.negative_ttl_ms, 3);
    assert_int_equal(p.max_stale_ms, 4);
    assert_int_equal(p.load_timeout_ms, 5);
    assert_int_equal(p.jitter_percent, 90);
    assert_int_equal(p.l1_max_value_bytes, 6);
    assert_int_equal(p.l1_quota_bytes, 7);
    assert_int_equal(p.l1_quota_entries, 8);
    assert_true(p.decide == leave_ttl);
    assert_ptr_equal(p.decide_ctx, &o);
}

static void without_a_ttl_the_caches_holds(void **state)
{
    (void)state;
    struct tc_policy_defaults d = with_l2;
    struct cache_type_opts o = options();
    d.ttl_ms = 777;
    assert_int_equal(resolve(&o, &d).ttl_ms, 777);
    d.ttl_ms = CACHE_TTL_FOREVER;
    assert_int_equal(resolve(&o, &d).ttl_ms, CACHE_TTL_FOREVER);
}

static void life_in_l1_is_bounded_only_where_there_is_an_l2(void **state)
{
    (void)state;
    struct cache_type_opts o = options();
    assert_int_equal(resolve(&o, &with_l2).l1_ttl_ms, 60000);
    assert_int_equal(resolve(&o, &without_l2).l1_ttl_ms, CACHE_TTL_FOREVER);
    o.flags = CACHE_TYPE_NO_L2;
    assert_int_equal(resolve(&o, &with_l2).l1_ttl_ms, CACHE_TTL_FOREVER);
    o.l1_ttl_ms = 5;
    assert_int_equal(resolve(&o, &without_l2).l1_ttl_ms, 5);
    o.l1_ttl_ms = CACHE_TTL_FOREVER;
    assert_int_equal(resolve(&o, &with_l2).l1_ttl_ms, CACHE_TTL_FOREVER);
}

static void an_absence_lives_as_long_as_a_value_but_not_above_ten_seconds(void **state)
{
    (void)state;
    struct cache_type_opts o = options();
    o.ttl_ms = 9999;
    assert_int_equal(resolve(&o, &with_l2).negative_ttl_ms, 9999);
    o.ttl_ms = 10001;
    assert_int_equal(resolve(&o, &with_l2).negative_ttl_ms, 10000);
    o.ttl_ms = CACHE_TTL_FOREVER;
    assert_int_equal(resolve(&o, &with_l2).negative_ttl_ms, 10000);
    o.negative_ttl_ms = 20000; /* who says so gets more */
    assert_int_equal(resolve(&o, &with_l2).negative_ttl_ms, 20000);
    o.negative_ttl_ms = CACHE_TTL_NONE;
    assert_int_equal(resolve(&o, &with_l2).negative_ttl_ms, CACHE_TTL_NONE);
}

static void never_stale_is_no_window_at_all(void **state)
{
    (void)state;
    struct cache_type_opts o = options();
    o.max_stale_ms = -1;
    assert_int_equal(resolve(&o, &with_l2).max_stale_ms, 0);
}

static void times_above_ten_years_are_cut_to_them(void **state)
{
    (void)state;
    const int64_t times[] = { CACHE_TTL_MAX_MS, CACHE_TTL_MAX_MS + 1, INT64_MAX };
    for (size_t i = 0; i < TC_ARRAY_LEN(times); i++) {
        struct cache_type_opts o = options();
        o.ttl_ms = o.l1_ttl_ms = o.negative_ttl_ms = o.max_stale_ms = o.load_timeout_ms = times[i];
        struct tc_policy p = resolve(&o, &with_l2);
        assert_int_equal(p.ttl_ms, CACHE_TTL_MAX_MS);
        assert_int_equal(p.l1_ttl_ms, CACHE_TTL_MAX_MS);
        assert_int_equal(p.negative_ttl_ms, CACHE_TTL_MAX_MS);
        assert_int_equal(p.max_stale_ms, CACHE_TTL_MAX_MS);
        assert_int_equal(p.load_timeout_ms, CACHE_TTL_MAX_MS);
    }
}

static void the_largest_sizes_are_allowed(void **state)
{
    (void)state;
    struct cache_type_opts o = options();
    o.l1_max_value_bytes = o.l1_quota_bytes = o.l1_quota_entries = UINT64_MAX;
    struct tc_policy p = resolve(&o, &with_l2);
    assert_int_equal(p.l1_max_value_bytes, UINT64_MAX);
    assert_int_equal(p.l1_quota_bytes, UINT64_MAX);
    assert_int_equal(p.l1_quota_entries, UINT64_MAX);
}

/* ---- refusals ---- */

static void assert_refused(const struct cache_type_opts *o, int status, const char *field)
{
    struct tc_policy p;
    char err[ERR] = "";
    memset(&p, 0x5A, sizeof p);
    struct tc_policy before = p;
    assert_int_equal(tc_policy_resolve(o, &with_l2, &p, err, sizeof err), status);
    if (strstr(err, field) == NULL)
        fail_msg("\"%s\" does not name %s", err, field);
    assert_memory_equal(&p, &before, sizeof p);
    assert_int_equal(cache_type_check(o, err, sizeof err), status);
    if (strstr(err, field) == NULL)
        fail_msg("\"%s\" does not name %s", err, field);
    assert_int_equal(tc_policy_resolve(o, &with_l2, &p, NULL, 0), status);
    assert_int_equal(cache_type_check(o, NULL, 0), status);
}

static void every_time_that_means_nothing_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        size_t at;
        int64_t allowed; /* the negative that means something; 0: none */
    } times[] = {
        { "ttl_ms", offsetof(struct cache_type_opts, ttl_ms), CACHE_TTL_FOREVER },
        { "l1_ttl_ms", offsetof(struct cache_type_opts, l1_ttl_ms), CACHE_TTL_FOREVER },
        { "negative_ttl_ms", offsetof(struct cache_type_opts, negative_ttl_ms), CACHE_TTL_NONE },
        { "max_stale_ms", offsetof(struct cache_type_opts, max_stale_ms), -1 },
        { "load_timeout_ms", offsetof(struct cache_type_opts, load_timeout_ms), 0 },
    };
    const int64_t wrong[] = { -1, -2, -3, -1000, INT64_MIN + 1, INT64_MIN };
    for (size_t i = 0; i < TC_ARRAY_LEN(times); i++)
        for (size_t k = 0; k < TC_ARRAY_LEN(wrong); k++) {
            struct cache_type_opts o = options();
            memcpy((char *)&o + times[i].at, &wrong[k], sizeof wrong[k]);
            if (wrong[k] == times[i].allowed)
                assert_int_equal(cache_type_check(&o, NULL, 0), CACHE_OK);
            else
                assert_refused(&o, CACHE_E_INVALID, times[i].field);
        }
}

static void every_unknown_flag_is_refused(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 32; bit++) {
        struct cache_type_opts o = options();
        o.flags = UINT32_C(1) << bit;
        if (o.flags & (CACHE_TYPE_NO_L1 | CACHE_TYPE_NO_L2 | CACHE_TYPE_REQUIRE_TICKET))
            assert_int_equal(cache_type_check(&o, NULL, 0), CACHE_OK);
        else
            assert_refused(&o, CACHE_E_INVALID, "flags");
    }
}

static void a_type_without_any_tier_is_refused(void **state)
{
    (void)state;
    struct cache_type_opts o = options();
    o.flags = CACHE_TYPE_NO_L1 | CACHE_TYPE_NO_L2;
    assert_refused(&o, CACHE_E_INVALID, "flags");
}

static void a_type_of_l2_only_is_refused_where_there_is_none(void **state)
{
    (void)state;
    struct cache_type_opts o = options();
    struct tc_policy p;
    char err[ERR] = "";
    o.flags = CACHE_TYPE_NO_L1;
    assert_int_equal(tc_policy_resolve(&o, &without_l2, &p, err, sizeof err), CACHE_E_INVALID);
    assert_memory_equal(err, "flags: ", 7);
    assert_non_null(strstr(err, "no tier is left"));
    assert_int_equal(tc_policy_resolve(&o, &with_l2, &p, err, sizeof err), CACHE_OK);
    assert_int_equal(cache_type_check(&o, err, sizeof err), CACHE_OK);
}

static void jitter_above_ninety_percent_is_refused(void **state)
{
    (void)state;
    struct cache_type_opts o = options();
    o.jitter_percent = 91;
    assert_refused(&o, CACHE_E_INVALID, "jitter_percent");
    o.jitter_percent = UINT32_MAX;
    assert_refused(&o, CACHE_E_INVALID, "jitter_percent");
}

static void a_priority_is_from_minus_8_to_8(void **state)
{
    struct cache_type_opts o = options();
    (void)state;
    static const int32_t bad[] = { -9, 9, INT32_MIN, INT32_MAX };
    for (size_t i = 0; i < TC_ARRAY_LEN(bad); i++) {
        o.l1_priority = bad[i];
        assert_refused(&o, CACHE_E_INVALID, "l1_priority");
    }
    for (int32_t priority = -8; priority <= 8; priority++) {
        o.l1_priority = priority;
        assert_int_equal(resolve(&o, &without_l2).l1_priority, priority);
    }
}

static void a_ttl_table_of_another_abi_or_without_its_slot_is_refused(void **state)
{
    (void)state;
    const struct cache_ttl_ops wrong[] = { { 0, leave_ttl },
                                           { CACHE_HOOKS_ABI + 1, leave_ttl },
                                           { CACHE_HOOKS_ABI, NULL } };
    for (size_t i = 0; i < TC_ARRAY_LEN(wrong); i++) {
        struct cache_type_opts o = options();
        o.ttl_policy = &wrong[i];
        assert_refused(&o, CACHE_E_ABI, "ttl_policy");
    }
}

static void a_small_buffer_for_the_sentence_is_not_overrun(void **state)
{
    (void)state;
    struct cache_type_opts o = options();
    struct tc_policy p;
    o.jitter_percent = 91;
    for (size_t cap = 0; cap < 40; cap++) {
        char err[64];
        memset(err, '#', sizeof err);
        assert_int_equal(tc_policy_resolve(&o, &with_l2, &p, err, cap), CACHE_E_INVALID);
        assert_true(cap == 0 || memchr(err, '\0', cap) != NULL);
        for (size_t i = cap; i < sizeof err; i++)
            assert_int_equal(err[i], '#');
    }
}

static void names_are_1_to_64_plain_characters(void **state)
{
    (void)state;
    char longest[66];
    memset(longest, 'n', sizeof longest);
    longest[64] = '\0';
    assert_true(tc_name_is_valid(longest));
    longest[64] = 'n';
    longest[65] = '\0';
    assert_false(tc_name_is_valid(longest));
    assert_false(tc_name_is_valid(""));
    assert_true(tc_name_is_valid("."));
    assert_true(tc_name_is_valid("aZ09_.-"));
    for (int ch = 1; ch < 256; ch++) {
        bool plain = ch < 128 && (strchr("_.-", ch) != NULL || (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') ||
                                  (ch >= 'A' && ch <= 'Z'));
        const char name[] = { 'a', (char)ch, '\0' };
        assert_int_equal(tc_name_is_valid(name), plain);
        struct cache_type_opts o = options();
        char err[ERR] = "";
        o.name = name;
        assert_int_equal(cache_type_check(&o, err, sizeof err), plain ? CACHE_OK : CACHE_E_INVALID);
        assert_true(plain || strstr(err, "name") != NULL);
    }
    struct cache_type_opts o = options();
    o.name = NULL;
    assert_int_equal(cache_type_check(&o, NULL, 0), CACHE_E_INVALID);
}

static void options_of_a_later_version_are_taken_if_they_ask_for_nothing_new(void **state)
{
    (void)state;
    struct {
        struct cache_type_opts o;
        uint64_t later[4];
    } x = { .o = options() };
    x.o.size = sizeof x;
    assert_int_equal(cache_type_check(&x.o, NULL, 0), CACHE_OK);
    x.later[3] = 1;
    char err[ERR] = "";
    assert_int_equal(cache_type_check(&x.o, err, sizeof err), CACHE_E_INVALID);
    assert_non_null(strstr(err, "unknown"));
}

static void options_without_a_size_are_refused(void **state)
{
    (void)state;
    struct cache_type_opts o = options();
    o.size = 0;
    assert_int_equal(cache_type_check(&o, NULL, 0), CACHE_E_INVALID);
    assert_int_equal(cache_type_check(NULL, NULL, 0), CACHE_E_INVALID);
}

/* ---- a type and its policy in use ---- */

struct fixture {
    struct tt_alloc counting;
    struct tc_alloc alloc;
    struct cache_type *type;
};

static int setup(void **state)
{
    struct fixture *f = tt_xcalloc(sizeof *f);
    struct tc_policy p;
    *state = f;
    tt_alloc_init(&f->counting);
    f->alloc = tt_alloc_table(&f->counting);
    memset(&p, 0, sizeof p);
    return tc_type_open(NULL, &f->alloc, NULL, "type", 7, &p, &f->type) == CACHE_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tc_type_close(f->type);
    bool clean = tt_alloc_is_clean(&f->counting);
    tt_alloc_fini(&f->counting);
    free(f);
    return clean ? 0 : -1;
}

static void a_type_keeps_a_copy_of_its_name_and_starts_empty(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(f->type->name, "type");
    assert_int_equal(f->type->name_len, 4);
    assert_int_equal(f->type->id, 7);
    assert_int_equal(f->type->l1_entries, 0);
    assert_int_equal(f->type->l1_bytes, 0);
    assert_true(tc_type_is_valid(f->type));
    assert_false(tc_type_is_valid(NULL));
}

static void types_shorten_lifetimes_by_different_random_shares(void **state)
{
    struct fixture *f = *state;
    struct cache_type *other;
    struct tc_policy p;
    memset(&p, 0, sizeof p);
    assert_int_equal(tc_type_open(NULL, &f->alloc, NULL, "other", 8, &p, &other), CACHE_OK);
    assert_int_not_equal(f->type->jitter_state, other->jitter_state);
    tc_type_close(other);
}

static void a_type_that_finds_no_memory_leaves_nothing_behind(void **state)
{
    struct fixture *f = *state;
    struct tc_policy p;
    memset(&p, 0, sizeof p);
    size_t before = tt_alloc_counts(&f->counting).live_blocks;
    for (uint64_t nth = 1;; nth++) {
        struct cache_type *t = NULL;
        tt_alloc_fail(&f->counting, nth, nth % 2 == 0);
        int rc = tc_type_open(NULL, &f->alloc, NULL, "other", 0, &p, &t);
        tt_alloc_fail(&f->counting, 0, false);
        if (rc == CACHE_OK) {
            tc_type_close(t);
            assert_true(nth > 1);
            break;
        }
        assert_int_equal(rc, CACHE_E_NOMEM);
        assert_null(t);
        assert_int_equal(tt_alloc_counts(&f->counting).live_blocks, before);
    }
    assert_int_equal(tt_alloc_counts(&f->counting).live_blocks, before);
}

/* A policy in which every field tells the same number. */
static struct tc_policy policy_of(uint64_t number)
{
    struct tc_policy p;
    uint64_t words[TC_POLICY_WORDS];
    for (size_t i = 0; i < TC_POLICY_WORDS; i++)
        words[i] = number;
    memcpy(&p, words, sizeof p);
    return p;
}

/* The number, or 0 if the fields tell different ones. */
static uint64_t number_of(const struct tc_policy *p)
{
    uint64_t words[TC_POLICY_WORDS];
    memcpy(words, p, sizeof *p);
    for (size_t i = 1; i < TC_POLICY_WORDS; i++)
        if (words[i] != words[0])
            return 0;
    return words[0];
}

static void a_policy_is_read_as_it_was_set(void **state)
{
    struct fixture *f = *state;
    struct tc_policy p;
    for (uint64_t number = 1; number < 100; number++) {
        p = policy_of(number);
        tc_type_set_policy(f->type, &p, 0);
        memset(&p, 0, sizeof p);
        tc_type_policy(f->type, &p);
        assert_int_equal(number_of(&p), number);
        assert_int_equal(tc_type_flags(f->type), number);
    }
}

struct reading {
    struct cache_type *type;
    atomic_uint readers_left;
};

/* Readers go on until they have seen the policy change many times: else they might be done before a writer ran. */
static int read_or_replace(void *arg, unsigned index)
{
    struct reading *r = arg;
    int failures = 0;
    if (index >= READERS) {
        for (uint64_t number = index; atomic_load(&r->readers_left) > 0; number += 2) {
            struct tc_policy p = policy_of(number);
            tc_type_set_policy(r->type, &p, 0);
        }
        return 0;
    }
    int64_t end_ms = tt_mono_ms() + TT_SOON_MS;
    uint64_t last = 0;
    for (int changes = 0; changes < CHANGES && failures == 0 && tt_mono_ms() < end_ms;) {
        struct tc_policy p;
        for (int i = 0; i < READINGS; i++) {
            tc_type_policy(r->type, &p);
            TT_CHECK(failures, number_of(&p) != 0);
        }
        TT_CHECK(failures, tc_type_flags(r->type) != 0);
        changes += number_of(&p) != last;
        last = number_of(&p);
    }
    atomic_fetch_sub(&r->readers_left, 1);
    return failures;
}

static void readers_get_one_whole_policy_while_two_writers_replace_it(void **state)
{
    struct fixture *f = *state;
    struct reading r = { f->type, READERS };
    struct tc_policy p = policy_of(1);
    tc_type_set_policy(f->type, &p, 0);
    assert_int_equal(tt_crew_join(tt_crew_start(READERS + 2, read_or_replace, &r)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_means_the_default_in_every_field),
        cmocka_unit_test(what_is_set_is_taken_as_it_is),
        cmocka_unit_test(without_a_ttl_the_caches_holds),
        cmocka_unit_test(life_in_l1_is_bounded_only_where_there_is_an_l2),
        cmocka_unit_test(an_absence_lives_as_long_as_a_value_but_not_above_ten_seconds),
        cmocka_unit_test(never_stale_is_no_window_at_all),
        cmocka_unit_test(times_above_ten_years_are_cut_to_them),
        cmocka_unit_test(the_largest_sizes_are_allowed),
        cmocka_unit_test(every_time_that_means_nothing_is_refused_by_name),
        cmocka_unit_test(every_unknown_flag_is_refused),
        cmocka_unit_test(a_type_without_any_tier_is_refused),
        cmocka_unit_test(a_type_of_l2_only_is_refused_where_there_is_none),
        cmocka_unit_test(jitter_above_ninety_percent_is_refused),
        cmocka_unit_test(a_priority_is_from_minus_8_to_8),
        cmocka_unit_test(a_ttl_table_of_another_abi_or_without_its_slot_is_refused),
        cmocka_unit_test(a_small_buffer_for_the_sentence_is_not_overrun),
        cmocka_unit_test(names_are_1_to_64_plain_characters),
        cmocka_unit_test(options_of_a_later_version_are_taken_if_they_ask_for_nothing_new),
        cmocka_unit_test(options_without_a_size_are_refused),
        cmocka_unit_test_setup_teardown(a_type_keeps_a_copy_of_its_name_and_starts_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(types_shorten_lifetimes_by_different_random_shares, setup, teardown),
        cmocka_unit_test_setup_teardown(a_type_that_finds_no_memory_leaves_nothing_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(a_policy_is_read_as_it_was_set, setup, teardown),
        cmocka_unit_test_setup_teardown(readers_get_one_whole_policy_while_two_writers_replace_it, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
