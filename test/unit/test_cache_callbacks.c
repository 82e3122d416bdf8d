/* User code runs with no lock of the cache held: every callback that may use the cache does, on the very key that is
 * being worked on, and nobody waits for himself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"
#include "platform/platform.h"

enum { LONG_MS = 20000 };

static struct tt_cache b;
static struct cache_key k;

/* ---- what the callbacks do ---- */

static _Thread_local bool inside; /* not again from what the callback itself causes */
static _Atomic unsigned used;

/* Every verb, on the key that the caller works on. Statuses do not matter here, coming back does. */
static void use_the_cache(void)
{
    if (inside)
        return;
    inside = true;
    char buf[8];
    struct cache_type *t;
    struct cache_stats s;
    struct cache_value v;
    struct cache_item item = { .key = &k, .data = "i", .len = 1 };
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    if (cache_get(b.c, &k, NULL, &v) == CACHE_OK)
        cache_value_release(&v);
    cache_get_copy(b.c, &k, buf, sizeof buf, NULL);
    cache_set(b.c, &k, "inside", 6, NULL);
    cache_set_absent(b.c, &k, NULL);
    cache_set_many(b.c, &item, 1, NULL);
    if (cache_get_many(b.c, &item, 1, NULL) == CACHE_OK && item.status == CACHE_OK)
        cache_value_release(&item.value);
    cache_invalidate_many(b.c, &item, 1, NULL);
    cache_invalidate(b.c, &k, NULL);
    cache_clear_local(b.c);
    cache_stats_read(b.c, NULL, &s, sizeof s);
    cache_type_find(b.c, "t", &t);
    cache_type_check(&o, NULL, 0);
    cache_stats_push(b.c);
    atomic_fetch_add(&used, 1);
    inside = false;
}

/* Something in which the callback ran is over, and took nobody's deadline. */
#define USED_QUICKLY(statement)                                  \
    do {                                                         \
        unsigned before_ = atomic_load(&used);                   \
        int64_t start_ms_ = tt_mono_ms();                        \
        statement;                                               \
        tt_assert_soon(atomic_load(&used) > before_);            \
        assert_true(tt_mono_ms() - start_ms_ < LONG_MS / 4);     \
    } while (0)

static void decide(void *ctx, const struct cache_ttl_view *view, struct cache_ttl *ttl)
{
    (void)ctx;
    (void)view;
    (void)ttl;
    use_the_cache();
}

static const struct cache_ttl_ops ttl_ops = { CACHE_HOOKS_ABI, decide };

static void stat_row(void *ctx, const struct cache_stat *s)
{
    (void)ctx;
    (void)s;
    use_the_cache();
}

static const struct cache_stats_sink_ops sink_ops = { CACHE_HOOKS_ABI, stat_row };

static void event(void *arg, const struct cache_event *e)
{
    (void)arg;
    (void)e;
    if (b.c != NULL)
        use_the_cache();
}

/* An encoder that looks into the cache when it begins a key of the second type. */
static int begin(void *ctx, struct cache_key *key, const char *type_name)
{
    (void)ctx;
    if (strcmp(type_name, "looks") == 0)
        use_the_cache();
    return cache_key_append(key, type_name, strlen(type_name));
}

static int part(void *ctx, struct cache_key *key, uint32_t index, struct cache_slice p)
{
    (void)ctx;
    (void)index;
    int rc = cache_key_append(key, ":", 1);
    return rc != CACHE_OK ? rc : cache_key_append(key, p.data, p.len);
}

static const struct cache_key_encoder_ops encoder_ops = { CACHE_HOOKS_ABI, begin, part };

static int setup(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    b.opts.timeout_ms = LONG_MS;
    b.opts.l2_timeout_ms = LONG_MS;
    b.opts.recovery_max_keys = 1;
    b.opts.key_encoder = &encoder_ops;
    b.opts.stats_sink = &sink_ops;
    b.type_opts.max_stale_ms = -1;
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    return 0;
}

static void listen_to_events(void)
{
    pthread_mutex_lock(&b.events.lock);
    b.events.then = event;
    pthread_mutex_unlock(&b.events.lock);
}

static int teardown(void **state)
{
    (void)state;
    pthread_mutex_lock(&b.events.lock);
    b.events.then = NULL;
    pthread_mutex_unlock(&b.events.lock);
    tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
    return tt_cache_close(&b) ? 0 : -1;
}

/* ---- where they are called ---- */

/* FAULTS 43, 48 */
static int use_it_in_the_loader(struct tt_loader *l, struct cache_load *ld, const struct cache_key *key)
{
    (void)l;
    (void)ld;
    (void)key;
    use_the_cache();
    return CACHE_OK;
}

static void a_loader_may_use_the_cache(void **state)
{
    struct tt_loader l;
    (void)state;
    tt_loader_init(&l, "loaded");
    l.inside = use_it_in_the_loader;
    USED_QUICKLY(assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, "loaded"));
    tt_loader_fini(&l);
}

/* FAULTS 48 */
static void a_ttl_policy_may_use_the_cache(void **state)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    struct cache_item item = { .key = &k, .data = "x", .len = 1 };
    (void)state;
    o.ttl_policy = &ttl_ops;
    assert_int_equal(cache_type_update(b.type, &o, NULL, 0), CACHE_OK);
    USED_QUICKLY(tt_cache_set(&b, &k, "x"));
    USED_QUICKLY(cache_set_many(b.c, &item, 1, NULL));
    assert_int_equal(tt_cache_set(&b, &k, "x"), CACHE_OK);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    USED_QUICKLY(tt_cache_get(&b, &k)); /* from L2 */
}

/* FAULTS 48 */
static void a_statistics_sink_may_use_the_cache(void **state)
{
    (void)state;
    USED_QUICKLY(assert_int_equal(cache_stats_push(b.c), CACHE_OK));
}

/* FAULTS 48 */
static void a_key_encoder_may_use_the_cache(void **state)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    struct cache_type *looks;
    struct cache_key key;
    (void)state;
    o.name = "looks";
    assert_int_equal(cache_type_register(b.c, &o, &looks), CACHE_OK);
    USED_QUICKLY(cache_key_init(&key, looks));
    assert_int_equal(cache_key_status(&key), CACHE_OK);
}

/* FAULTS 48 */
static void an_event_may_use_the_cache(void **state)
{
    struct tt_loader l;
    (void)state;
    tt_loader_init(&l, NULL);
    listen_to_events();
    USED_QUICKLY(assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_E_LOAD, NULL)); /* LOAD_FAILED */
    tt_backend_poke(b.l2, tt_cache_l2_key(&k), (struct cache_slice){ "no frame", 8 }, 100000);
    USED_QUICKLY(tt_cache_get(&b, &k)); /* BAD_FRAME */
    USED_QUICKLY(tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN)); /* L2_DOWN, in the cache's thread */
    tt_loader_fini(&l);
}

/* FAULTS 48: it comes while a set has its turn at the key. */
static void an_event_about_a_lost_invalidation_may_use_the_cache(void **state)
{
    struct cache_key other;
    (void)state;
    tt_cache_key(&b, &other);
    tt_backend_block(b.l2, TT_DEL, false);
    tt_backend_fail(b.l2, TT_DEL, 1, CACHE_E_REFUSED, TT_NOT_RUN);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    assert_int_equal(cache_invalidate(b.c, &other, NULL), CACHE_QUEUED);
    listen_to_events();
    USED_QUICKLY(assert_int_equal(tt_cache_set(&b, &k, "x"), CACHE_E_UNKNOWN)); /* RECOVERY_OVERFLOW */
    tt_backend_release(b.l2, TT_DEL);
}

/* ---- what a TTL policy sees ---- */

static struct cache_ttl_view seen;
static struct cache_ttl seen_ttl, wanted_ttl;

static void look(void *ctx, const struct cache_ttl_view *view, struct cache_ttl *ttl)
{
    assert_ptr_equal(ctx, &seen);
    seen = *view;
    seen_ttl = *ttl;
    if (wanted_ttl.ttl_ms != 0)
        ttl->ttl_ms = wanted_ttl.ttl_ms;
    if (wanted_ttl.l1_ttl_ms != 0)
        ttl->l1_ttl_ms = wanted_ttl.l1_ttl_ms;
}

static const struct cache_ttl_ops look_ops = { CACHE_HOOKS_ABI, look };

static void a_ttl_policy_sees_what_it_decides_about(void **state)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    struct tt_loader l;
    (void)state;
    o.ttl_policy = &look_ops;
    o.ttl_policy_ctx = &seen;
    o.ttl_ms = 50000;
    o.l1_ttl_ms = 7000;
    memset(&wanted_ttl, 0, sizeof wanted_ttl);
    assert_int_equal(cache_type_update(b.type, &o, NULL, 0), CACHE_OK);
    assert_int_equal(tt_cache_set(&b, &k, "value"), CACHE_OK);
    assert_ptr_equal(seen.type, b.type);
    assert_int_equal(seen.value_len, 5);
    assert_int_equal(seen.absent, 0);
    assert_int_equal(seen.previous_age_ms, -1);
    assert_int_equal(seen.load_us, -1);
    assert_int_equal(seen_ttl.ttl_ms, 50000);
    assert_int_equal(seen_ttl.l1_ttl_ms, 7000);
    for (int i = 0; i < 3; i++)
        assert_answer(tt_cache_get(&b, &k), CACHE_OK, "value");
    tt_clock_advance(&b.clock, 250);
    assert_int_equal(cache_set_absent(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(seen.absent, 1);
    assert_int_equal(seen.value_len, 0);
    assert_int_equal(seen.previous_age_ms, 250);
    assert_int_equal(seen.previous_hits, 3);
    assert_int_equal(seen_ttl.ttl_ms, 10000); /* the negative one */
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    tt_loader_init(&l, "loaded");
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, "loaded");
    assert_true(seen.load_us >= 0);
    tt_loader_fini(&l);
}

/* FAULTS 55 */
static void what_a_ttl_policy_says_holds_unless_it_is_nonsense(void **state)
{
    static const struct {
        int64_t ttl_ms, l1_ttl_ms, lives_ms;
    } cases[] = {
        { 3000, 0, 3000 },  { 3000, 2000, 2000 }, { 0, 2000, 2000 },      { CACHE_TTL_FOREVER, 0, 7000 },
        { -3, -9, 7000 },   { INT64_MIN, INT64_MIN, 7000 }, { INT64_MAX, INT64_MAX, 7000 },
    };
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    (void)state;
    o.ttl_policy = &look_ops;
    o.ttl_policy_ctx = &seen;
    o.ttl_ms = 50000;
    o.l1_ttl_ms = 7000;
    assert_int_equal(cache_type_update(b.type, &o, NULL, 0), CACHE_OK);
    for (size_t i = 0; i < TC_ARRAY_LEN(cases); i++) {
        wanted_ttl = (struct cache_ttl){ cases[i].ttl_ms, cases[i].l1_ttl_ms };
        assert_int_equal(tt_cache_set(&b, &k, "value"), CACHE_OK);
        assert_int_equal(tt_cache_get(&b, &k).meta.ttl_ms, cases[i].lives_ms);
    }
    wanted_ttl = (struct cache_ttl){ CACHE_TTL_NONE, 0 };
    assert_int_equal(tt_cache_set(&b, &k, "value"), CACHE_OK);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_int_equal(tt_cache_set_with(&b, &k, "value", 1234, NULL), CACHE_OK); /* the caller's goes before it */
    assert_int_equal(tt_cache_get(&b, &k).meta.ttl_ms, 1234);
    wanted_ttl = (struct cache_ttl){ 0, CACHE_TTL_NONE };
    assert_int_equal(tt_cache_set(&b, &k, "value"), CACHE_OK);
    assert_int_equal(tt_cache_get(&b, &k).meta.tier, CACHE_TIER_L2);
    assert_int_equal(tt_cache_get(&b, &k).meta.tier, CACHE_TIER_L2);
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        FRESH(a_loader_may_use_the_cache),
        FRESH(a_ttl_policy_may_use_the_cache),
        FRESH(a_statistics_sink_may_use_the_cache),
        FRESH(a_key_encoder_may_use_the_cache),
        FRESH(an_event_may_use_the_cache),
        FRESH(an_event_about_a_lost_invalidation_may_use_the_cache),
        FRESH(a_ttl_policy_sees_what_it_decides_about),
        FRESH(what_a_ttl_policy_says_holds_unless_it_is_nonsense),
    };
    return cmocka_run_group_tests_name("callbacks", tests, NULL, NULL);
}
