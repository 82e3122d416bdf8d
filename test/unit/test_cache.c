/* The frame around every call: which caches and keys a verb accepts, and what it says to the others. Each check runs
 * over every verb, so that a new one must be entered here. */
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
static struct tt_loader loader;

static int setup(void **state)
{
    (void)state;
    tt_loader_init(&loader, "loaded");
    tt_cache_prepare(&b, true);
    tt_cache_open(&b);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tt_loader_fini(&loader);
    return tt_cache_close(&b) ? 0 : -1;
}

/* ---- every verb, by cache and key ---- */

static int with_get(struct cache *c, const struct cache_key *k)
{
    struct cache_value v;
    memset(&v, 0xFF, sizeof v);
    int rc = cache_get(c, k, NULL, &v);
    if (rc != CACHE_OK && (v.pin != NULL || v.data != NULL || v.len != 0))
        return 9999;
    cache_value_release(&v);
    return rc;
}

static int with_get_copy(struct cache *c, const struct cache_key *k)
{
    char buf[16];
    return cache_get_copy(c, k, buf, sizeof buf, NULL);
}

static int with_set(struct cache *c, const struct cache_key *k)
{
    return cache_set(c, k, "x", 1, NULL);
}

static int with_set_absent(struct cache *c, const struct cache_key *k)
{
    return cache_set_absent(c, k, NULL);
}

static int with_fetch(struct cache *c, const struct cache_key *k)
{
    struct cache_fetch_opts o = CACHE_FETCH_OPTS_INIT;
    struct cache_value v;
    o.load = tt_loader_run;
    o.user = &loader;
    memset(&v, 0xFF, sizeof v);
    int rc = cache_fetch(c, k, &o, &v);
    if (rc != CACHE_OK && (v.pin != NULL || v.data != NULL || v.len != 0))
        return 9999;
    cache_value_release(&v);
    return rc;
}

static int with_invalidate(struct cache *c, const struct cache_key *k)
{
    return cache_invalidate(c, k, NULL);
}

/* A batch tells of a bad key in its element. */
static int with_get_many(struct cache *c, const struct cache_key *k)
{
    struct cache_item item = { .key = k };
    int rc = cache_get_many(c, &item, 1, NULL);
    if (rc == CACHE_OK && item.status == CACHE_OK)
        cache_value_release(&item.value);
    return rc != CACHE_OK ? rc : item.status;
}

static int with_set_many(struct cache *c, const struct cache_key *k)
{
    struct cache_item item = { .key = k, .data = "x", .len = 1 };
    int rc = cache_set_many(c, &item, 1, NULL);
    return rc != CACHE_OK ? rc : item.status;
}

static int with_invalidate_many(struct cache *c, const struct cache_key *k)
{
    struct cache_item item = { .key = k };
    int rc = cache_invalidate_many(c, &item, 1, NULL);
    return rc != CACHE_OK ? rc : item.status;
}

static int (*const by_key[])(struct cache *c, const struct cache_key *k) = {
    with_get,        with_get_copy, with_set,      with_set_absent,      with_fetch,
    with_invalidate, with_get_many, with_set_many, with_invalidate_many,
};

static int with_clear_local(struct cache *c)
{
    return cache_clear_local(c);
}

static int with_resize(struct cache *c)
{
    return cache_resize(c, 64 << 20, 0);
}

static int with_type_register(struct cache *c)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    struct cache_type *t;
    o.name = "another";
    return cache_type_register(c, &o, &t);
}

static int with_type_find(struct cache *c)
{
    struct cache_type *t;
    return cache_type_find(c, "t", &t);
}

static int with_stats_read(struct cache *c)
{
    struct cache_stats s;
    return cache_stats_read(c, NULL, &s, sizeof s);
}

static int with_stats_push(struct cache *c)
{
    return cache_stats_push(c);
}

static int (*const by_cache[])(struct cache *c) = {
    with_clear_local, with_resize, with_type_register, with_type_find, with_stats_read, with_stats_push,
};

static void assert_every_verb(struct cache *c, const struct cache_key *k, int status)
{
    for (size_t i = 0; i < TC_ARRAY_LEN(by_key); i++)
        assert_int_equal(by_key[i](c, k), status);
}

/* ---- caches ---- */

/* FAULTS 53 */
static void what_is_no_cache_is_invalid(void **state)
{
    struct cache_key k;
    (void)state;
    tt_cache_key(&b, &k);
    void *garbage = tt_xcalloc(65536);
    for (int byte = 0; byte < 256; byte += 85) {
        memset(garbage, byte, 65536);
        assert_every_verb(garbage, &k, CACHE_E_INVALID);
        for (size_t i = 0; i < TC_ARRAY_LEN(by_cache); i++)
            assert_int_equal(by_cache[i](garbage), CACHE_E_INVALID);
        assert_int_equal(cache_close(garbage, 0), CACHE_E_INVALID);
    }
    assert_every_verb(NULL, &k, CACHE_E_INVALID);
    for (size_t i = 0; i < TC_ARRAY_LEN(by_cache); i++)
        assert_int_equal(by_cache[i](NULL), CACHE_E_INVALID);
    free(garbage);
}

/* FAULTS 41 */
static void a_cache_that_is_being_closed_refuses_every_call(void **state)
{
    struct cache_key k;
    struct cache_value v;
    (void)state;
    tt_cache_key(&b, &k);
    assert_int_equal(tt_cache_set(&b, &k, "held"), CACHE_OK);
    assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_OK);
    assert_int_equal(cache_close(b.c, 0), CACHE_BUSY);
    assert_every_verb(b.c, &k, CACHE_E_CLOSED);
    for (size_t i = 0; i < TC_ARRAY_LEN(by_cache); i++)
        assert_int_equal(by_cache[i](b.c), CACHE_E_CLOSED);
    assert_int_equal(cache_type_update(b.type, &b.type_opts, NULL, 0), CACHE_E_CLOSED);
    assert_int_equal(v.len, 4);
    assert_memory_equal(v.data, "held", 4);
    cache_value_release(&v);
}

/* ---- keys ---- */

static void a_key_of_another_cache_is_invalid(void **state)
{
    static struct tt_cache other;
    struct cache_key k;
    (void)state;
    tt_cache_prepare(&other, false);
    tt_cache_open(&other);
    tt_cache_key(&other, &k);
    assert_every_verb(b.c, &k, CACHE_E_INVALID);
    assert_int_equal(atomic_load(&loader.calls), 0);
    assert_true(tt_cache_close(&other));
}

static void no_key_is_invalid(void **state)
{
    (void)state;
    assert_every_verb(b.c, NULL, CACHE_E_INVALID);
    assert_int_equal(tt_backend_calls(b.l2, TT_ANY_SLOT), 0);
}

static void every_verb_reports_the_keys_own_error(void **state)
{
    char part[300];
    struct cache_key k;
    (void)state;
    memset(part, 'a', sizeof part);
    tt_alloc_fail(&b.alloc, 1, false);
    cache_key_bytes(cache_key_init(&k, b.type), part, sizeof part);
    tt_alloc_fail(&b.alloc, 0, false);
    assert_every_verb(b.c, &k, CACHE_E_NOMEM);
    cache_key_bytes(cache_key_init(&k, b.type), part, SIZE_MAX);
    assert_every_verb(b.c, &k, CACHE_E_TOO_LARGE);
    cache_key_fini(&k);
    assert_every_verb(b.c, &k, CACHE_E_INVALID);
    assert_int_equal(tt_backend_calls(b.l2, TT_ANY_SLOT), 0);
}

/* ---- caches beside each other ---- */

static void two_caches_in_a_process_share_nothing(void **state)
{
    static struct tt_cache other;
    struct cache_key mine, its;
    (void)state;
    tt_cache_prepare(&other, true);
    tt_cache_open(&other);
    cache_key_str(cache_key_init(&mine, b.type), "same");
    cache_key_str(cache_key_init(&its, other.type), "same");
    assert_int_equal(tt_cache_set(&b, &mine, "mine"), CACHE_OK);
    assert_answer(tt_cache_get(&other, &its), CACHE_MISS, NULL);
    assert_int_equal(tt_cache_set(&other, &its, "its"), CACHE_OK);
    assert_int_equal(cache_invalidate(other.c, &its, NULL), CACHE_OK);
    assert_answer(tt_cache_get(&b, &mine), CACHE_OK, "mine");
    assert_true(tt_cache_close(&other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_no_cache_is_invalid, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cache_that_is_being_closed_refuses_every_call, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_of_another_cache_is_invalid, setup, teardown),
        cmocka_unit_test_setup_teardown(no_key_is_invalid, setup, teardown),
        cmocka_unit_test_setup_teardown(every_verb_reports_the_keys_own_error, setup, teardown),
        cmocka_unit_test_setup_teardown(two_caches_in_a_process_share_nothing, setup, teardown),
    };
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
