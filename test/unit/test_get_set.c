/* The verbs of one key without L2: what each says, and what it refuses. */
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
static struct cache_key k;

static int setup(void **state)
{
    (void)state;
    tt_cache_prepare(&b, false);
    b.opts.max_value_bytes = 100000;
    b.opts.l1_bytes = 1 << 20;
    b.opts.l1_stripes = 16; /* too small for pages: each entry is alone */
    b.type_opts.l1_max_value_bytes = 50000;
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return tt_cache_close(&b) ? 0 : -1;
}

/* ---- four different things ---- */

static void a_miss_an_absence_and_an_empty_value_are_different(void **state)
{
    struct cache_value v;
    (void)state;
    assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_MISS);
    assert_null(v.pin);
    assert_int_equal(cache_set_absent(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_ABSENT);
    assert_null(v.pin);
    assert_null(v.data);
    assert_int_equal(v.meta.tier, CACHE_TIER_L1);
    assert_int_equal(cache_set(b.c, &k, NULL, 0, NULL), CACHE_OK);
    assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_OK);
    assert_non_null(v.data);
    assert_int_equal(v.len, 0);
    assert_int_equal(v.meta.len, 0);
    cache_value_release(&v);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_MISS);
}

static void the_copying_get_tells_the_same(void **state)
{
    char buf[8] = "*******";
    struct cache_meta m;
    (void)state;
    assert_int_equal(cache_get_copy(b.c, &k, buf, sizeof buf, &m), CACHE_MISS);
    assert_int_equal(tt_cache_set(&b, &k, "value"), CACHE_OK);
    memset(&m, 0xFF, sizeof m);
    assert_int_equal(cache_get_copy(b.c, &k, buf, sizeof buf, &m), CACHE_OK);
    assert_string_equal(buf, "value**");
    assert_int_equal(m.len, 5);
    assert_int_equal(m.tier, CACHE_TIER_L1);
    assert_int_equal(m.flags, 0);
    assert_int_equal(cache_get_copy(b.c, &k, buf, sizeof buf, NULL), CACHE_OK);
    assert_int_equal(cache_set(b.c, &k, NULL, 0, NULL), CACHE_OK);
    assert_int_equal(cache_get_copy(b.c, &k, NULL, 0, &m), CACHE_OK);
    assert_int_equal(m.len, 0);
    assert_int_equal(cache_set_absent(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(cache_get_copy(b.c, &k, buf, sizeof buf, &m), CACHE_ABSENT);
}

static void too_small_a_buffer_gets_the_size_and_nothing_else(void **state)
{
    static const size_t sizes[] = { 5, 1024, 1025, 40000 }; /* copied under the lock, or from a pin */
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(sizes); i++) {
        size_t n = sizes[i];
        struct cache_meta m = { 0 };
        char *buf = memset(tt_xmalloc(n + 1), '*', n + 1);
        assert_int_equal(tt_cache_set_bytes(&b, &k, n), CACHE_OK);
        assert_int_equal(cache_get_copy(b.c, &k, buf, n - 1, &m), CACHE_E_BUFFER);
        assert_int_equal(m.len, n);
        assert_int_equal(cache_get_copy(b.c, &k, buf, n - 1, NULL), CACHE_E_BUFFER);
        assert_int_equal(cache_get_copy(b.c, &k, NULL, 0, &m), CACHE_E_BUFFER);
        for (size_t at = 0; at <= n; at++)
            assert_int_equal(buf[at], '*');
        assert_int_equal(cache_get_copy(b.c, &k, buf, n, &m), CACHE_OK);
        assert_int_equal(buf[0], 'x');
        assert_int_equal(buf[n - 1], 'x');
        assert_int_equal(buf[n], '*');
        free(buf);
    }
    assert_int_equal(tt_cache_stats(&b).l1_pins, 0);
}

static void what_is_passed_in_is_copied(void **state)
{
    char value[] = "before";
    (void)state;
    assert_int_equal(tt_cache_set(&b, &k, value), CACHE_OK);
    memset(value, 'z', sizeof value - 1);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "before");
}

static void clearing_drops_everything(void **state)
{
    struct cache_key keys[20];
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(keys); i++) {
        tt_cache_key(&b, &keys[i]);
        assert_int_equal(tt_cache_set(&b, &keys[i], "x"), CACHE_OK);
    }
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    for (size_t i = 0; i < TC_ARRAY_LEN(keys); i++)
        assert_answer(tt_cache_get(&b, &keys[i]), CACHE_MISS, NULL);
    assert_int_equal(tt_cache_stats(&b).l1_cleared, TC_ARRAY_LEN(keys));
}

/* ---- sizes ---- */

/* FAULTS 50, 52 */
static void too_large_a_value_is_refused_and_the_old_one_gone(void **state)
{
    (void)state;
    assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
    assert_int_equal(tt_cache_set_bytes(&b, &k, 100001), CACHE_E_TOO_LARGE); /* max_value_bytes */
    assert_answer(tt_cache_get_with(&b, &k, CACHE_CALL_L1_ONLY, 0, NULL), CACHE_MISS, NULL);
    assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
    assert_int_equal(tt_cache_set_bytes(&b, &k, 50001), CACHE_E_TOO_LARGE); /* l1_max_value_bytes, and no L2 */
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_int_equal(tt_cache_set_bytes(&b, &k, 50000), CACHE_OK);
    assert_int_equal(tt_cache_get(&b, &k).meta.len, 50000);
}

/* FAULTS 53: the length is refused before a byte is read. */
static void a_length_near_the_end_of_the_address_space_is_too_large(void **state)
{
    static const size_t lengths[] = { SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2, SIZE_MAX / 2 + 1, (size_t)1 << 40 };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(lengths); i++)
        assert_int_equal(cache_set(b.c, &k, "x", lengths[i], NULL), CACHE_E_TOO_LARGE);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
}

/* ---- TTLs ---- */

static int64_t ttl_after_set(int64_t ttl_ms)
{
    assert_int_equal(tt_cache_set_with(&b, &k, "x", ttl_ms, NULL), CACHE_OK);
    struct tt_answer a = tt_cache_get(&b, &k);
    assert_int_equal(a.status, CACHE_OK);
    return a.meta.ttl_ms;
}

/* FAULTS 55 */
static void a_value_lives_as_long_as_was_asked(void **state)
{
    (void)state;
    assert_int_equal(ttl_after_set(0), 300000); /* the cache's default, without L2 no bound of its own in L1 */
    assert_int_equal(ttl_after_set(1), 1);
    assert_int_equal(ttl_after_set(CACHE_TTL_FOREVER), CACHE_TTL_FOREVER);
    assert_int_equal(ttl_after_set(CACHE_TTL_MAX_MS), CACHE_TTL_MAX_MS);
    assert_int_equal(ttl_after_set(CACHE_TTL_MAX_MS + 1), CACHE_TTL_MAX_MS);
    assert_int_equal(ttl_after_set(INT64_MAX), CACHE_TTL_MAX_MS);
    assert_int_equal(ttl_after_set(1000), 1000);
    tt_clock_advance(&b.clock, 999);
    assert_int_equal(tt_cache_get(&b, &k).meta.ttl_ms, 1);
    assert_int_equal(tt_cache_get(&b, &k).meta.age_ms, 999);
    tt_clock_advance(&b.clock, 1);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
}

static void a_value_that_is_not_to_be_cached_replaces_the_one_that_is(void **state)
{
    (void)state;
    assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
    assert_int_equal(tt_cache_set_with(&b, &k, "new", CACHE_TTL_NONE, NULL), CACHE_OK);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
}

/* FAULTS 66 */
static void an_absence_lives_for_the_negative_ttl(void **state)
{
    struct cache_set_opts o = CACHE_SET_OPTS_INIT;
    (void)state;
    assert_int_equal(cache_set_absent(b.c, &k, NULL), CACHE_OK);
    tt_clock_advance(&b.clock, 9999);
    assert_answer(tt_cache_get(&b, &k), CACHE_ABSENT, NULL);
    tt_clock_advance(&b.clock, 1);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    o.ttl_ms = 20000;
    assert_int_equal(cache_set_absent(b.c, &k, &o), CACHE_OK);
    tt_clock_advance(&b.clock, 19999);
    assert_answer(tt_cache_get(&b, &k), CACHE_ABSENT, NULL);
    assert_int_equal(tt_cache_set(&b, &k, "created"), CACHE_OK);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "created");
    b.type_opts.negative_ttl_ms = CACHE_TTL_NONE;
    assert_int_equal(cache_type_update(b.type, &b.type_opts, NULL, 0), CACHE_OK);
    assert_int_equal(cache_set_absent(b.c, &k, NULL), CACHE_OK);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
}

/* FAULTS 54 */
static void a_wall_clock_that_jumps_changes_no_life(void **state)
{
    (void)state;
    assert_int_equal(tt_cache_set_with(&b, &k, "x", 1000, NULL), CACHE_OK);
    tt_clock_jump_wall(&b.clock, 86400000);
    assert_int_equal(tt_cache_get(&b, &k).meta.ttl_ms, 1000);
    tt_clock_jump_wall(&b.clock, -2 * 86400000);
    assert_int_equal(tt_cache_get(&b, &k).meta.ttl_ms, 1000);
    tt_clock_advance(&b.clock, 1000);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
}

/* ---- what is refused ---- */

/* FAULTS 53 */
static void data_without_a_pointer_is_invalid(void **state)
{
    char buf[1];
    struct cache_meta m;
    (void)state;
    assert_int_equal(cache_set(b.c, &k, NULL, 1, NULL), CACHE_E_INVALID);
    assert_int_equal(cache_get_copy(b.c, &k, NULL, 1, &m), CACHE_E_INVALID);
    assert_int_equal(cache_get(b.c, &k, NULL, NULL), CACHE_E_INVALID);
    assert_int_equal(cache_get_copy(b.c, &k, buf, 1, NULL), CACHE_MISS);
}

/* The options of all verbs that have them, larger than this library knows: with a tail of zeros, or not. */
struct future_call {
    struct cache_call known;
    unsigned char tail[64];
};

struct future_set {
    struct cache_set_opts known;
    unsigned char tail[64];
};

static void assert_calls(const struct cache_call *o, bool good)
{
    struct cache_value v;
    struct cache_item item = { .key = &k };
    assert_int_equal(cache_get(b.c, &k, o, &v), good ? CACHE_MISS : CACHE_E_INVALID);
    bool plain = good && (o->flags == 0 || o->size < sizeof *o); /* of no use to an invalidation: refused there */
    assert_int_equal(cache_invalidate(b.c, &k, o), plain ? CACHE_OK : CACHE_E_INVALID);
    int whole = good && o->ticket == NULL ? CACHE_OK : CACHE_E_INVALID;
    assert_int_equal(cache_get_many(b.c, &item, 1, o), whole);
    assert_int_equal(item.status, whole == CACHE_OK ? CACHE_MISS : CACHE_E_INVALID);
    assert_int_equal(cache_invalidate_many(b.c, &item, 1, o), plain ? CACHE_OK : CACHE_E_INVALID);
    assert_int_equal(item.status, plain ? CACHE_OK : CACHE_E_INVALID);
}

/* FAULTS 53 */
static void options_of_a_call_that_make_no_sense_are_invalid(void **state)
{
    struct cache_call o = CACHE_CALL_INIT;
    struct cache_ticket t;
    (void)state;
    assert_calls(&o, true);
    o.ticket = &t;
    assert_int_equal(cache_invalidate(b.c, &k, &o), CACHE_E_INVALID);
    assert_int_equal(cache_get_many(b.c, NULL, 0, &o), CACHE_E_INVALID);
    assert_int_equal(cache_invalidate_many(b.c, NULL, 0, &o), CACHE_E_INVALID);
    o.ticket = NULL;
    o.flags = CACHE_CALL_L1_ONLY | CACHE_CALL_NO_STALE;
    o.timeout_ms = INT64_MAX;
    assert_calls(&o, true);
    for (unsigned bit = 2; bit < 32; bit++) {
        o.flags = 1u << bit;
        assert_calls(&o, false);
    }
    o.flags = 0;
    o.timeout_ms = -1;
    assert_calls(&o, false);
    o.timeout_ms = INT64_MIN;
    assert_calls(&o, false);
    o.timeout_ms = 0;
    for (o.size = 0; o.size < sizeof o.size; o.size++)
        assert_calls(&o, false);
    o.size = UINT32_MAX;
    assert_calls(&o, false);
    o.size = sizeof o.size; /* the smallest that says anything */
    o.flags = UINT32_MAX;   /* beyond it: not looked at */
    assert_calls(&o, true);
}

static void assert_sets(const struct cache_set_opts *o, bool good)
{
    struct cache_item item = { .key = &k, .data = "x", .len = 1 };
    int status = good ? CACHE_OK : CACHE_E_INVALID;
    assert_int_equal(cache_set(b.c, &k, "x", 1, o), status);
    assert_int_equal(cache_set_absent(b.c, &k, o), status);
    assert_int_equal(cache_set_many(b.c, &item, 1, o), status);
    assert_int_equal(item.status, status);
}

/* FAULTS 53, 55 */
static void options_of_a_set_that_make_no_sense_are_invalid(void **state)
{
    static const int64_t bad_ttls[] = { -3, -4, -1000, INT64_MIN, INT64_MIN + 1 };
    struct cache_set_opts o = CACHE_SET_OPTS_INIT;
    (void)state;
    assert_sets(&o, true);
    o.ttl_ms = CACHE_TTL_FOREVER;
    o.timeout_ms = INT64_MAX;
    assert_sets(&o, true);
    for (size_t i = 0; i < TC_ARRAY_LEN(bad_ttls); i++) {
        o.ttl_ms = bad_ttls[i];
        assert_sets(&o, false);
    }
    o.ttl_ms = 0;
    for (unsigned bit = 0; bit < 32; bit++) {
        o.flags = 1u << bit;
        assert_sets(&o, false);
    }
    o.flags = 0;
    o.timeout_ms = -1;
    assert_sets(&o, false);
    o.timeout_ms = 0;
    for (o.size = 0; o.size < sizeof o.size; o.size++)
        assert_sets(&o, false);
    o.size = UINT32_MAX;
    assert_sets(&o, false);
}

static void a_larger_struct_is_good_if_its_tail_is_zero(void **state)
{
    struct future_call call = { .known = CACHE_CALL_INIT };
    struct future_set set = { .known = CACHE_SET_OPTS_INIT };
    (void)state;
    call.known.size = sizeof call;
    set.known.size = sizeof set;
    assert_sets(&set.known, true);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_calls(&call.known, true);
    for (size_t i = 0; i < sizeof call.tail; i++) {
        call.tail[i] = set.tail[i] = 1;
        assert_calls(&call.known, false);
        assert_sets(&set.known, false);
        call.tail[i] = set.tail[i] = 0;
    }
}

/* An older program's struct: what it does not have is as if it were zero. */
static void a_smaller_struct_is_good(void **state)
{
    struct cache_set_opts o = CACHE_SET_OPTS_INIT;
    struct cache_ticket none;
    (void)state;
    memset(&none, 0, sizeof none);
    o.size = offsetof(struct cache_set_opts, timeout_ms);
    o.ttl_ms = 1234;
    o.timeout_ms = -1;
    o.ticket = &none;
    assert_int_equal(cache_set(b.c, &k, "x", 1, &o), CACHE_OK);
    assert_int_equal(tt_cache_get(&b, &k).meta.ttl_ms, 1234);
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        FRESH(a_miss_an_absence_and_an_empty_value_are_different),
        FRESH(the_copying_get_tells_the_same),
        FRESH(too_small_a_buffer_gets_the_size_and_nothing_else),
        FRESH(what_is_passed_in_is_copied),
        FRESH(clearing_drops_everything),
        FRESH(too_large_a_value_is_refused_and_the_old_one_gone),
        FRESH(a_length_near_the_end_of_the_address_space_is_too_large),
        FRESH(a_value_lives_as_long_as_was_asked),
        FRESH(a_value_that_is_not_to_be_cached_replaces_the_one_that_is),
        FRESH(an_absence_lives_for_the_negative_ttl),
        FRESH(a_wall_clock_that_jumps_changes_no_life),
        FRESH(data_without_a_pointer_is_invalid),
        FRESH(options_of_a_call_that_make_no_sense_are_invalid),
        FRESH(options_of_a_set_that_make_no_sense_are_invalid),
        FRESH(a_larger_struct_is_good_if_its_tail_is_zero),
        FRESH(a_smaller_struct_is_good),
    };
    return cmocka_run_group_tests_name("get and set", tests, NULL, NULL);
}
