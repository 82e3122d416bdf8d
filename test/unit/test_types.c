/* Types: registering, finding, replacing a policy while it is in use, and what is refused, by the field's name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"
#include "platform/platform.h"

static struct tt_cache b;

static int setup(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    tt_cache_open(&b);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return tt_cache_close(&b) ? 0 : -1;
}

static struct cache_type_opts named(const char *name)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    o.name = name;
    return o;
}

static void decide_nothing(void *ctx, const struct cache_ttl_view *view, struct cache_ttl *ttl)
{
    (void)ctx;
    (void)view;
    (void)ttl;
}

/* ---- what is refused ---- */

static const struct cache_ttl_ops good_policy = { CACHE_HOOKS_ABI, decide_nothing };
static const struct cache_ttl_ops other_abi = { CACHE_HOOKS_ABI + 1, decide_nothing };
static const struct cache_ttl_ops no_slot = { CACHE_HOOKS_ABI, NULL };

#define FIELD(name, v)                                                                                   \
    {                                                                                                        \
        #name, offsetof(struct cache_type_opts, name), sizeof((struct cache_type_opts *)0)->name, (uint64_t)(v) \
    }

static const struct {
    const char *field;
    size_t at, size;
    uint64_t value;
} bad_fields[] = {
    FIELD(flags, 8),
    FIELD(flags, 1u << 31),
    FIELD(flags, CACHE_TYPE_NO_L1 | CACHE_TYPE_NO_L2),
    FIELD(ttl_ms, CACHE_TTL_NONE),
    FIELD(ttl_ms, -3),
    FIELD(ttl_ms, INT64_MIN),
    FIELD(l1_ttl_ms, CACHE_TTL_NONE),
    FIELD(l1_ttl_ms, -3),
    FIELD(negative_ttl_ms, CACHE_TTL_FOREVER),
    FIELD(negative_ttl_ms, INT64_MIN),
    FIELD(max_stale_ms, -2),
    FIELD(max_stale_ms, INT64_MIN),
    FIELD(load_timeout_ms, -1),
    FIELD(jitter_percent, 91),
    FIELD(jitter_percent, UINT32_MAX),
    FIELD(l1_priority, 9),
};

/* FAULTS 68 */
static void a_field_that_makes_no_sense_is_named_and_the_old_policy_stays(void **state)
{
    char err[128];
    struct cache_key k;
    struct cache_type *t = NULL;
    (void)state;
    tt_cache_key(&b, &k);
    for (size_t i = 0; i < TC_ARRAY_LEN(bad_fields); i++) {
        struct cache_type_opts o = named("fresh");
        memcpy((char *)&o + bad_fields[i].at, &bad_fields[i].value, bad_fields[i].size);
        assert_int_equal(cache_type_check(&o, err, sizeof err), CACHE_E_INVALID);
        assert_memory_equal(err, bad_fields[i].field, strlen(bad_fields[i].field));
        assert_int_equal(cache_type_check(&o, NULL, 0), CACHE_E_INVALID);
        assert_int_equal(cache_type_check(&o, err, 1), CACHE_E_INVALID);
        assert_string_equal(err, "");
        assert_int_equal(cache_type_register(b.c, &o, &t), CACHE_E_INVALID);
        assert_int_equal(cache_type_find(b.c, "fresh", &t), CACHE_E_NOT_FOUND);
        o.name = NULL;
        assert_int_equal(cache_type_update(b.type, &o, err, sizeof err), CACHE_E_INVALID);
        assert_memory_equal(err, bad_fields[i].field, strlen(bad_fields[i].field));
    }
    assert_null(t);
    assert_int_equal(tt_cache_set(&b, &k, "x"), CACHE_OK);
    assert_int_equal(tt_cache_get(&b, &k).meta.ttl_ms, 60000);
}

static void a_ttl_policy_of_an_unknown_abi_is_refused(void **state)
{
    static const struct cache_ttl_ops *const bad[] = { &other_abi, &no_slot };
    char err[128];
    struct cache_type *t;
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(bad); i++) {
        struct cache_type_opts o = named("fresh");
        o.ttl_policy = bad[i];
        assert_int_equal(cache_type_check(&o, err, sizeof err), CACHE_E_ABI);
        assert_memory_equal(err, "ttl_policy", 10);
        assert_int_equal(cache_type_register(b.c, &o, &t), CACHE_E_ABI);
        o.name = NULL;
        assert_int_equal(cache_type_update(b.type, &o, err, sizeof err), CACHE_E_ABI);
        assert_memory_equal(err, "ttl_policy", 10);
    }
}

static void the_borders_of_every_field_are_good(void **state)
{
    struct cache_type_opts o = named("borders");
    char err[128] = "left alone?";
    (void)state;
    o.flags = CACHE_TYPE_NO_L1 | CACHE_TYPE_REQUIRE_TICKET;
    o.ttl_ms = CACHE_TTL_FOREVER;
    o.l1_ttl_ms = CACHE_TTL_FOREVER;
    o.negative_ttl_ms = CACHE_TTL_NONE;
    o.max_stale_ms = -1;
    o.load_timeout_ms = INT64_MAX;
    o.jitter_percent = 90;
    o.l1_max_value_bytes = o.l1_quota_bytes = o.l1_quota_entries = UINT64_MAX;
    o.ttl_policy = &good_policy;
    assert_int_equal(cache_type_check(&o, err, sizeof err), CACHE_OK);
    assert_string_equal(err, "");
    o.flags = CACHE_TYPE_NO_L2;
    o.ttl_ms = o.l1_ttl_ms = o.negative_ttl_ms = o.max_stale_ms = INT64_MAX;
    assert_int_equal(cache_type_check(&o, err, sizeof err), CACHE_OK);
}

/* FAULTS 53 */
static void names_are_one_to_64_plain_characters(void **state)
{
    static const char *const bad[] = { "", "a b", "a:b", "a/b", "{a}", "a%", "\x80", "a\n", "\xC3\xA4" };
    char longest[66];
    struct cache_type *t;
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(bad); i++) {
        struct cache_type_opts o = named(bad[i]);
        char err[64];
        assert_int_equal(cache_type_check(&o, err, sizeof err), CACHE_E_INVALID);
        assert_memory_equal(err, "name", 4);
        assert_int_equal(cache_type_register(b.c, &o, &t), CACHE_E_INVALID);
        assert_int_equal(cache_type_find(b.c, bad[i], &t), CACHE_E_NOT_FOUND);
    }
    memset(longest, 'a', sizeof longest);
    longest[65] = '\0';
    struct cache_type_opts o = named(longest);
    assert_int_equal(cache_type_register(b.c, &o, &t), CACHE_E_INVALID);
    longest[64] = '\0';
    assert_int_equal(cache_type_register(b.c, &o, &t), CACHE_OK);
    o.name = "AZaz09_.-";
    assert_int_equal(cache_type_register(b.c, &o, &t), CACHE_OK);
    o.name = NULL;
    assert_int_equal(cache_type_check(&o, NULL, 0), CACHE_E_INVALID);
    assert_int_equal(cache_type_register(b.c, &o, &t), CACHE_E_INVALID);
}

struct future_type_opts {
    struct cache_type_opts known;
    uint64_t tail[4];
};

/* FAULTS 53 */
static void null_and_sizes_are_checked(void **state)
{
    struct future_type_opts o = { .known = CACHE_TYPE_OPTS_INIT };
    struct cache_type *t = NULL;
    char err[64];
    _Alignas(64) char never_a_type[4096]; /* as one would be */
    (void)state;
    memset(never_a_type, 0, sizeof never_a_type);
    o.known.name = "sized";
    assert_int_equal(cache_type_check(NULL, err, sizeof err), CACHE_E_INVALID);
    assert_int_equal(cache_type_register(b.c, NULL, &t), CACHE_E_INVALID);
    assert_int_equal(cache_type_register(b.c, &o.known, NULL), CACHE_E_INVALID);
    assert_int_equal(cache_type_update(b.type, NULL, err, sizeof err), CACHE_E_INVALID);
    assert_int_equal(cache_type_update(NULL, &o.known, err, sizeof err), CACHE_E_INVALID);
    assert_int_equal(cache_type_update((struct cache_type *)(void *)never_a_type, &o.known, NULL, 0),
                     CACHE_E_INVALID);
    assert_int_equal(cache_type_find(b.c, NULL, &t), CACHE_E_INVALID);
    assert_int_equal(cache_type_find(b.c, "t", NULL), CACHE_E_INVALID);
    for (o.known.size = 0; o.known.size < 4; o.known.size++) {
        assert_int_equal(cache_type_check(&o.known, err, sizeof err), CACHE_E_INVALID);
        assert_memory_equal(err, "size", 4);
    }
    o.known.size = sizeof o;
    o.tail[3] = 1;
    assert_int_equal(cache_type_check(&o.known, err, sizeof err), CACHE_E_INVALID);
    assert_int_equal(cache_type_register(b.c, &o.known, &t), CACHE_E_INVALID);
    o.tail[3] = 0;
    assert_int_equal(cache_type_register(b.c, &o.known, &t), CACHE_OK);
    assert_non_null(t);
}

/* ---- registering and finding ---- */

static void a_type_is_found_by_its_name(void **state)
{
    struct cache_type *one, *found = NULL;
    struct cache_type_opts o = named("one");
    (void)state;
    assert_int_equal(cache_type_find(b.c, "one", &found), CACHE_E_NOT_FOUND);
    assert_null(found);
    assert_int_equal(cache_type_register(b.c, &o, &one), CACHE_OK);
    assert_int_equal(cache_type_find(b.c, "one", &found), CACHE_OK);
    assert_ptr_equal(found, one);
    assert_int_equal(cache_type_find(b.c, "t", &found), CACHE_OK);
    assert_ptr_equal(found, b.type);
}

static void a_name_is_registered_once(void **state)
{
    struct cache_type *t = NULL;
    struct cache_type_opts o = named("t");
    (void)state;
    assert_int_equal(cache_type_register(b.c, &o, &t), CACHE_E_EXISTS);
    assert_null(t);
}

static void a_cache_has_at_most_255_types(void **state)
{
    struct cache_type *t;
    char name[16];
    (void)state;
    struct cache_type_opts o = named(name);
    for (int i = 1; i < 255; i++) {
        snprintf(name, sizeof name, "type%d", i);
        assert_int_equal(cache_type_register(b.c, &o, &t), CACHE_OK);
    }
    o.name = "one-too-many";
    assert_int_equal(cache_type_register(b.c, &o, &t), CACHE_E_TOO_LARGE);
    assert_int_equal(cache_type_find(b.c, "type254", &t), CACHE_OK);
    assert_int_equal(tt_cache_stats(&b).l1_hits, 0); /* summing over all of them works */
}

static int register_all(void *arg, unsigned index)
{
    struct cache_type *t;
    _Atomic unsigned *made = arg;
    int failures = 0;
    (void)index;
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        struct cache_type_opts o = named(name);
        int rc = cache_type_register(b.c, &o, &t);
        TT_CHECK(failures, rc == CACHE_OK || rc == CACHE_E_EXISTS);
        atomic_fetch_add(made, rc == CACHE_OK);
        TT_CHECK(failures, cache_type_find(b.c, name, &t) == CACHE_OK);
    }
    return failures;
}

static void of_many_who_register_a_name_one_succeeds(void **state)
{
    _Atomic unsigned made = 0;
    (void)state;
    assert_int_equal(tt_crew_join(tt_crew_start(4, register_all, &made)), 0);
    assert_int_equal(atomic_load(&made), 100);
}

/* FAULTS 49 */
static void a_type_that_got_no_memory_is_not_there(void **state)
{
    struct cache_type *t;
    struct cache_type_opts o = named("poor");
    (void)state;
    tt_alloc_fail(&b.alloc, 1, false); /* its only block: a name is part of it */
    assert_int_equal(cache_type_register(b.c, &o, &t), CACHE_E_NOMEM);
    assert_int_equal(cache_type_find(b.c, "poor", &t), CACHE_E_NOT_FOUND);
    tt_alloc_fail(&b.alloc, 0, false);
    assert_int_equal(cache_type_register(b.c, &o, &t), CACHE_OK);
}

/* ---- updating ---- */

static void an_update_holds_for_what_is_stored_from_then_on(void **state)
{
    struct cache_key k, other;
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    char err[64] = "left alone?";
    (void)state;
    tt_cache_key(&b, &k);
    tt_cache_key(&b, &other);
    assert_int_equal(tt_cache_set(&b, &k, "before"), CACHE_OK);
    o.ttl_ms = 500;
    assert_int_equal(cache_type_update(b.type, &o, err, sizeof err), CACHE_OK);
    assert_string_equal(err, "");
    assert_int_equal(tt_cache_set(&b, &other, "after"), CACHE_OK);
    assert_int_equal(tt_cache_get(&b, &k).meta.ttl_ms, 60000);
    assert_int_equal(tt_cache_get(&b, &other).meta.ttl_ms, 500);
    o.name = "t";
    assert_int_equal(cache_type_update(b.type, &o, err, sizeof err), CACHE_OK);
}

static void a_type_cannot_be_renamed(void **state)
{
    struct cache_type_opts o = named("other");
    char err[64];
    (void)state;
    assert_int_equal(cache_type_update(b.type, &o, err, sizeof err), CACHE_E_INVALID);
    assert_memory_equal(err, "name", 4);
}

/* The tier that a type no longer uses answers no look-up of any kind. */
static void a_type_that_leaves_l1_is_not_answered_from_it(void **state)
{
    struct cache_key k;
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    char buf[16];
    struct cache_meta m;
    (void)state;
    tt_cache_key(&b, &k);
    assert_int_equal(tt_cache_set(&b, &k, "x"), CACHE_OK);
    o.flags = CACHE_TYPE_NO_L1;
    assert_int_equal(cache_type_update(b.type, &o, NULL, 0), CACHE_OK);
    assert_int_equal(tt_cache_get(&b, &k).meta.tier, CACHE_TIER_L2);
    assert_int_equal(cache_get_copy(b.c, &k, buf, sizeof buf, &m), CACHE_OK);
    assert_int_equal(m.tier, CACHE_TIER_L2);
}

static void a_cache_without_l2_takes_no_type_that_lives_in_l2_only(void **state)
{
    struct tt_cache alone;
    struct cache_type_opts o = named("only-in-l2");
    struct cache_type *t = NULL;
    char err[128] = "";
    (void)state;
    tt_cache_prepare(&alone, false);
    tt_cache_open(&alone);
    o.flags = CACHE_TYPE_NO_L1;
    assert_int_equal(cache_type_register(alone.c, &o, &t), CACHE_E_INVALID);
    assert_null(t);
    o.name = NULL;
    assert_int_equal(cache_type_update(alone.type, &o, err, sizeof err), CACHE_E_INVALID);
    assert_memory_equal(err, "flags: ", 7);
    assert_true(tt_cache_close(&alone));
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        FRESH(a_field_that_makes_no_sense_is_named_and_the_old_policy_stays),
        FRESH(a_ttl_policy_of_an_unknown_abi_is_refused),
        FRESH(the_borders_of_every_field_are_good),
        FRESH(names_are_one_to_64_plain_characters),
        FRESH(null_and_sizes_are_checked),
        FRESH(a_type_is_found_by_its_name),
        FRESH(a_name_is_registered_once),
        FRESH(a_cache_has_at_most_255_types),
        FRESH(of_many_who_register_a_name_one_succeeds),
        FRESH(a_type_that_got_no_memory_is_not_there),
        FRESH(an_update_holds_for_what_is_stored_from_then_on),
        FRESH(a_type_cannot_be_renamed),
        FRESH(a_type_that_leaves_l1_is_not_answered_from_it),
        FRESH(a_cache_without_l2_takes_no_type_that_lives_in_l2_only),
    };
    return cmocka_run_group_tests_name("types", tests, NULL, NULL);
}
