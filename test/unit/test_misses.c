/* Misses of a cache with the system's clock, which go a way of their own where there is no L2: what they count, what
 * tickets they leave, and when they do not end there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tt_cache.h"
#include "tt_util.h"

static struct tt_cache b;
static struct cache_key k;

static void open_with_system_clock(struct tt_cache *cache)
{
    cache->opts.clock = NULL;
    tt_cache_open(cache);
}

static int setup(void **state)
{
    (void)state;
    tt_cache_prepare(&b, false);
    open_with_system_clock(&b);
    tt_cache_key(&b, &k);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return tt_cache_close(&b) ? 0 : -1;
}

static int copy(struct tt_cache *cache, const struct cache_key *key)
{
    char buf[TT_TEXT];
    return cache_get_copy(cache->c, key, buf, sizeof buf, NULL);
}

static int pin(struct tt_cache *cache, const struct cache_key *key)
{
    struct cache_value v;
    memset(&v, 0xFF, sizeof v);
    int rc = cache_get(cache->c, key, NULL, &v);
    if (rc == CACHE_OK)
        cache_value_release(&v);
    else
        assert_null(v.data);
    return rc;
}

static void each_is_counted(void **state)
{
    enum { MISSES = 3000 };
    (void)state;
    for (int i = 0; i < MISSES; i++) {
        assert_int_equal(copy(&b, &k), CACHE_MISS);
        assert_int_equal(pin(&b, &k), CACHE_MISS);
    }
    assert_int_equal(tt_cache_stats(&b).l1_misses, 2 * MISSES);
    assert_int_equal(tt_cache_stats(&b).l1_hits, 0);
}

static void what_an_invalidation_overtook_is_refused_and_once(void **state)
{
    int (*const ways[])(struct tt_cache *, const struct cache_key *) = { copy, pin };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(ways[i](&b, &k), CACHE_MISS);
        assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
        assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_E_TICKET);
        assert_int_equal(ways[i](&b, &k), CACHE_MISS);
        assert_int_equal(tt_cache_set(&b, &k, "new"), CACHE_OK);
        assert_int_equal(ways[i](&b, &k), CACHE_OK);
        assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    }
}

static void what_only_l2_has_is_found_there(void **state)
{
    struct tt_cache one, other;
    struct cache_key key;
    (void)state;
    tt_cache_prepare(&one, true);
    open_with_system_clock(&one);
    tt_cache_prepare_beside(&other, &one);
    open_with_system_clock(&other);
    for (int i = 0; i < 2; i++) {
        tt_cache_key(&one, &key);
        assert_int_equal(tt_cache_set(&one, &key, "there"), CACHE_OK);
        tt_cache_key(&other, &key);
        assert_int_equal(i == 0 ? copy(&other, &key) : pin(&other, &key), CACHE_OK);
    }
    assert_int_equal(tt_cache_stats(&other).l2_hits, 2);
    assert_true(tt_cache_close(&other));
    assert_true(tt_cache_close(&one));
}

/* ---- keys that are the same but for zeros at their end ---- */

static int begin_with_a_letter(void *ctx, struct cache_key *key, const char *type_name)
{
    (void)ctx;
    return cache_key_append(key, type_name, 1);
}

static int part_as_it_is(void *ctx, struct cache_key *key, uint32_t i, struct cache_slice part)
{
    (void)ctx;
    (void)i;
    return cache_key_append(key, part.data, part.len);
}

static void a_key_with_a_zero_more_is_another_for_tickets_too(void **state)
{
    static const struct cache_key_encoder_ops encoder = { CACHE_HOOKS_ABI, begin_with_a_letter, part_as_it_is };
    struct tt_cache raw;
    struct cache_key keys[2];
    struct cache_ticket ticket;
    struct cache_set_opts o = CACHE_SET_OPTS_INIT;
    (void)state;
    tt_cache_prepare(&raw, false);
    raw.opts.key_encoder = &encoder;
    open_with_system_clock(&raw);
    for (size_t i = 0; i < 2; i++)
        cache_key_bytes(cache_key_init(&keys[i], raw.type), "a", 1 + i); /* with its end the second time */
    assert_int_equal(tt_cache_set(&raw, &keys[1], "old"), CACHE_OK);
    assert_int_equal(copy(&raw, &keys[0]), CACHE_MISS);
    assert_int_equal(cache_invalidate(raw.c, &keys[0], NULL), CACHE_OK);
    assert_int_equal(tt_cache_set(&raw, &keys[1], "new"), CACHE_OK); /* which is no answer to that miss */
    assert_int_equal(copy(&raw, &keys[1]), CACHE_OK);
    assert_int_equal(tt_cache_get_with(&raw, &keys[0], 0, 0, &ticket).status, CACHE_MISS);
    o.ticket = &ticket;
    assert_int_equal(cache_set(raw.c, &keys[1], "x", 1, &o), CACHE_E_TICKET);
    assert_true(tt_cache_close(&raw));
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(each_is_counted),
        WITH(what_an_invalidation_overtook_is_refused_and_once),
        cmocka_unit_test(what_only_l2_has_is_found_there),
        cmocka_unit_test(a_key_with_a_zero_more_is_another_for_tickets_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
