/* Loaders that fetch: other keys, their own, each other's. Nobody ever waits for itself. */
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

enum { LONG_MS = 20000 };

static struct tt_cache b;
static struct tt_loader l;
static struct cache_key k;

static int setup(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    b.opts.timeout_ms = LONG_MS;
    b.type_opts.load_timeout_ms = 1000;
    b.type_opts.l1_ttl_ms = 1000;
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

static int fetch_inside(struct tt_loader *loader, struct cache_load *ld, const struct cache_key *key)
{
    (void)ld;
    (void)key;
    const struct cache_key *other = loader->arg;
    struct tt_loader inner;
    tt_loader_init(&inner, "inner");
    struct tt_answer a = tt_cache_fetch(&b, other, &inner);
    tt_loader_fini(&inner);
    return a.status == CACHE_OK ? CACHE_OK : a.status == CACHE_E_DEADLOCK ? -1010 : -1011;
}

/* FAULTS 43 */
static void a_loader_may_fetch_another_key(void **state)
{
    struct cache_key other;
    (void)state;
    tt_cache_key(&b, &other);
    l.inside = fetch_inside;
    l.arg = &other;
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, "loaded");
    assert_answer(tt_cache_get(&b, &other), CACHE_OK, "inner");
}

/* FAULTS 43 */
static void a_loader_that_fetches_its_own_key_is_told(void **state)
{
    (void)state;
    l.inside = fetch_inside;
    l.arg = &k;
    int64_t start_ms = tt_mono_ms();
    assert_answer(tt_cache_fetch(&b, &k, &l), -1010, NULL);
    assert_true(tt_mono_ms() - start_ms < LONG_MS / 2);
    assert_int_equal(tt_cache_stats(&b).recursions, 1);
    l.inside = NULL;
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, "loaded");
}

struct chain {
    struct cache_key keys[4];
    unsigned depth;
};

static int fetch_the_next(struct cache_load *ld, const struct cache_key *key, void *user)
{
    struct chain *c = user;
    struct cache_fetch_opts o = CACHE_FETCH_OPTS_INIT;
    struct cache_value v;
    (void)key;
    o.load = fetch_the_next;
    o.user = c;
    c->depth++;
    int rc = cache_fetch(b.c, &c->keys[c->depth % 4], &o, &v); /* the fourth is the first again */
    cache_value_release(&v);
    return rc == CACHE_E_DEADLOCK ? cache_load_reply(ld, "end", 3) : rc == CACHE_OK ? cache_load_reply(ld, "x", 1) : rc;
}

/* FAULTS 43 */
static void a_circle_through_other_keys_is_seen_too(void **state)
{
    struct chain c = { .depth = 0 };
    struct cache_fetch_opts o = CACHE_FETCH_OPTS_INIT;
    struct cache_value v;
    (void)state;
    for (size_t i = 0; i < 4; i++)
        tt_cache_key(&b, &c.keys[i]);
    o.load = fetch_the_next;
    o.user = &c;
    assert_int_equal(cache_fetch(b.c, &c.keys[0], &o, &v), CACHE_OK);
    cache_value_release(&v);
    assert_int_equal(c.depth, 4);
    assert_answer(tt_cache_get(&b, &c.keys[3]), CACHE_OK, "end");
}

/* FAULTS 43, 49: without memory for a flight the loader runs all the same, and must not run into itself. */
static int fetch_itself_without_memory(struct tt_loader *loader, struct cache_load *ld, const struct cache_key *key)
{
    (void)ld;
    unsigned *depth = loader->arg;
    if (++*depth > 20)
        return -1020; /* it would go on */
    struct tt_answer a = tt_cache_fetch(&b, key, loader);
    return a.status == CACHE_E_DEADLOCK ? -1010 : a.status;
}

static void a_loader_that_fetches_its_own_key_is_told_without_memory_too(void **state)
{
    unsigned depth = 0;
    (void)state;
    l.inside = fetch_itself_without_memory;
    l.arg = &depth;
    tt_alloc_fail(&b.alloc, 1, true);
    struct tt_answer a = tt_cache_fetch(&b, &k, &l);
    tt_alloc_fail(&b.alloc, 0, false);
    assert_true(tt_answer_is(&a, -1010, NULL));
    assert_int_equal(depth, 1);
}

static int fetch_itself_late(struct tt_loader *loader, struct cache_load *ld, const struct cache_key *key)
{
    (void)ld;
    unsigned *depth = loader->arg;
    if (++*depth > 20)
        return -1020;
    tt_clock_advance(&b.clock, 1000); /* load_timeout_ms */
    struct tt_answer a = tt_cache_fetch(&b, key, loader);
    return a.status == CACHE_E_DEADLOCK ? -1010 : a.status;
}

/* FAULTS 43, 44 */
static void a_slow_loader_that_fetches_its_own_key_is_told_too(void **state)
{
    unsigned depth = 0;
    (void)state;
    l.inside = fetch_itself_late;
    l.arg = &depth;
    assert_answer(tt_cache_fetch(&b, &k, &l), -1010, NULL);
    assert_int_equal(depth, 1);
}

/* Two loaders that fetch each other's keys: a crew of two, each in its own loader before either goes on. */
struct pair {
    struct cache_key keys[2];
    pthread_barrier_t both;
    _Atomic unsigned loads;
};

static struct pair pair;

static int load_through_the_other(struct cache_load *ld, const struct cache_key *key, void *user)
{
    static _Thread_local bool inside;
    size_t mine = (size_t)(uintptr_t)user;
    struct cache_fetch_opts o = CACHE_FETCH_OPTS_INIT;
    struct cache_value v;
    (void)key;
    if (atomic_fetch_add(&pair.loads, 1) > 10)
        return -1020;
    if (!inside) {
        inside = true;
        pthread_barrier_wait(&pair.both);
    }
    o.load = load_through_the_other;
    o.user = (void *)(uintptr_t)(1 - mine);
    int rc = cache_fetch(b.c, &pair.keys[1 - mine], &o, &v);
    cache_value_release(&v);
    return rc == CACHE_OK || rc == CACHE_E_DEADLOCK ? cache_load_reply(ld, "done", 4) : rc;
}

static int fetch_own(void *arg, unsigned index)
{
    struct cache_fetch_opts o = CACHE_FETCH_OPTS_INIT;
    struct cache_value v;
    int failures = 0;
    (void)arg;
    o.load = load_through_the_other;
    o.user = (void *)(uintptr_t)index;
    TT_CHECK(failures, cache_fetch(b.c, &pair.keys[index], &o, &v) == CACHE_OK);
    cache_value_release(&v);
    return failures;
}

/* FAULTS 43 */
static void two_loaders_that_want_each_others_keys_do_not_wait_for_the_deadline(void **state)
{
    (void)state;
    tt_cache_key(&b, &pair.keys[0]);
    tt_cache_key(&b, &pair.keys[1]);
    atomic_store(&pair.loads, 0);
    assert_int_equal(pthread_barrier_init(&pair.both, NULL, 2), 0);
    int64_t start_ms = tt_mono_ms();
    assert_int_equal(tt_crew_join(tt_crew_start(2, fetch_own, NULL)), 0);
    assert_true(tt_mono_ms() - start_ms < LONG_MS / 2);
    assert_true(atomic_load(&pair.loads) <= 4);
    pthread_barrier_destroy(&pair.both);
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        FRESH(a_loader_may_fetch_another_key),
        FRESH(a_loader_that_fetches_its_own_key_is_told),
        FRESH(a_circle_through_other_keys_is_seen_too),
        FRESH(a_loader_that_fetches_its_own_key_is_told_without_memory_too),
        FRESH(a_slow_loader_that_fetches_its_own_key_is_told_too),
        FRESH(two_loaders_that_want_each_others_keys_do_not_wait_for_the_deadline),
    };
    return cmocka_run_group_tests_name("flight: circles", tests, NULL, NULL);
}
