/* The whole cache on a real server that is killed and stopped under load, and what it was not told meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_util.h"
#include "integration/tt_node.h"
#include "tiercache/hooks.h"

enum { KEYS = 64, THREADS = 4, SLACK_MS = 1000 };

/* ---- killed and stopped under load ---- */

struct load {
    struct tt_node *n;
    uint64_t seed;
    _Atomic bool over;
    _Atomic unsigned calls, degraded, l2_hits;
};

static int reply_own(struct cache_load *ld, const struct cache_key *k, void *user)
{
    char text[TT_NODE_TEXT];
    size_t len;
    (void)user;
    int rc = cache_key_text(k, text, sizeof text - 2, &len);
    if (rc != CACHE_OK)
        return CACHE_E_USER_FIRST;
    text[len++] = '!';
    return cache_load_reply(ld, text, len);
}

static int fetch_and_check(void *arg, unsigned index)
{
    struct load *l = arg;
    uint64_t random = l->seed + index;
    int failures = 0;
    while (!atomic_load(&l->over) && failures == 0) {
        struct cache_fetch_opts o = CACHE_FETCH_OPTS_INIT;
        struct cache_key k;
        struct cache_value v;
        char expected[TT_NODE_TEXT];
        unsigned number = (unsigned)(tt_random(&random) % KEYS);
        snprintf(expected, sizeof expected, "page:%u!", number);
        o.load = reply_own;
        cache_key_u64(cache_key_init(&k, l->n->t), number);
        int64_t began_ms = tt_mono_ms();
        int status = cache_fetch(l->n->c, &k, &o, &v);
        TT_CHECK(failures, tt_mono_ms() - began_ms <= TT_NODE_TIMEOUT_MS + SLACK_MS);
        TT_CHECK(failures, status == CACHE_OK);
        if (status == CACHE_OK)
            TT_CHECK(failures, v.len == strlen(expected) && memcmp(v.data, expected, v.len) == 0);
        atomic_fetch_add(&l->calls, 1);
        atomic_fetch_add(&l->degraded, (v.meta.flags & CACHE_META_L2_OUT) != 0);
        atomic_fetch_add(&l->l2_hits, v.meta.tier == CACHE_TIER_L2);
        cache_value_release(&v);
    }
    return failures;
}

static void await_more(_Atomic unsigned *what, unsigned n)
{
    unsigned before = atomic_load(what);
    tt_assert_soon(atomic_load(what) >= before + n);
}

static void kill_it(struct tt_redis_server *s, struct load *l)
{
    tt_redis_server_kill(s);
    await_more(&l->degraded, 200);
    tt_redis_server_restart(s);
}

static void stop_it(struct tt_redis_server *s, struct load *l)
{
    int64_t end_ms = tt_mono_ms() + 1000;
    tt_redis_server_stop(s);
    await_more(&l->degraded, 8);
    while (tt_pause(end_ms)) {
    }
    tt_redis_server_cont(s);
}

static void under_load(void (*hurt)(struct tt_redis_server *s, struct load *l), unsigned times)
{
    struct tt_redis_server *s = tt_node_server(NULL);
    struct tt_node *n = tt_node_open(s, CACHE_TYPE_NO_L1); /* every fetch asks the server */
    struct load l = { .n = n, .seed = tt_seed() };
    struct tt_crew *crew = tt_crew_start(THREADS, fetch_and_check, &l);
    await_more(&l.l2_hits, 200);
    for (unsigned i = 0; i < times; i++) {
        hurt(s, &l);
        tt_assert_soon(tt_node_stats(n).l2_state == 3);
        await_more(&l.l2_hits, 200);
    }
    atomic_store(&l.over, true);
    assert_int_equal(tt_crew_join(crew), 0);
    tt_assert_soon(tt_node_stats(n).recovery_pending == 0); /* fills whose answer was lost */
    tt_node_close(n);
    tt_redis_server_free(s);
}

/* FAULTS 10, 13 */
static void killed_under_load_every_fetch_is_answered_and_recovery_needs_nobody(void **state)
{
    (void)state;
    under_load(kill_it, 3);
}

/* FAULTS 11 */
static void stopped_under_load_every_fetch_is_answered_and_recovery_needs_nobody(void **state)
{
    (void)state;
    under_load(stop_it, 2);
}

/* ---- invalidations that the server did not hear ---- */

/* FAULTS 11 */
static void an_invalidation_made_while_it_was_stopped_reaches_the_server(void **state)
{
    struct tt_redis_server *s = tt_node_server(NULL);
    (void)state;
    struct tt_node *n = tt_node_open(s, 0), *other = tt_node_open(s, 0);
    redisContext *r = tt_node_look(s);
    assert_int_equal(tt_node_set(n, "x", "old"), CACHE_OK);
    tt_redis_server_stop(s);
    assert_int_equal(tt_node_invalidate(n, "x"), CACHE_QUEUED);
    tt_node_assert_missing(n, "x");
    assert_int_equal(tt_node_stats(n).recovery_pending, 1);
    tt_redis_server_cont(s);
    tt_assert_soon(tt_node_stats(n).l2_state == 3 && tt_node_stats(n).recovery_pending == 0);
    assert_int_equal(tt_node_ask_number(r, "EXISTS %s", "shop:d:{page:x}"), 0);
    tt_node_assert_missing(n, "x");
    tt_node_assert_missing(other, "x");
    assert_int_equal(tt_node_stats(n).recovery_replayed, 1);
    redisFree(r);
    tt_node_close(n);
    tt_node_close(other);
    tt_redis_server_free(s);
}

/* FAULTS 10 */
static void an_invalidation_made_while_it_was_dead_is_sent_before_it_is_read(void **state)
{
    struct tt_redis_server *s = tt_node_server(NULL);
    (void)state;
    struct tt_node *n = tt_node_open(s, 0);
    assert_int_equal(tt_node_set(n, "x", "old"), CACHE_OK);
    tt_redis_server_kill(s);
    assert_int_equal(tt_node_invalidate(n, "x"), CACHE_QUEUED);
    assert_int_equal(tt_node_set(n, "y", "new"), CACHE_QUEUED);
    tt_node_assert_found(n, "y", "new", CACHE_TIER_L1);
    tt_node_assert_missing(n, "x");
    tt_redis_server_restart(s);
    tt_assert_soon(tt_node_stats(n).l2_state == 3 && tt_node_stats(n).recovery_pending == 0);
    assert_int_equal(tt_node_stats(n).recovery_replayed, 2);
    assert_true(atomic_load(&n->told[CACHE_EVENT_L2_DOWN]) >= 1);
    tt_assert_soon(atomic_load(&n->told[CACHE_EVENT_RECOVERY_DONE]) >= 1);
    tt_node_assert_missing(n, "x");
    tt_node_assert_found(n, "y", "new", CACHE_TIER_L1);
    assert_int_equal(tt_node_set(n, "y", "newer"), CACHE_OK);
    tt_node_close(n);
    tt_redis_server_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_under_load_every_fetch_is_answered_and_recovery_needs_nobody),
        cmocka_unit_test(stopped_under_load_every_fetch_is_answered_and_recovery_needs_nobody),
        cmocka_unit_test(an_invalidation_made_while_it_was_stopped_reaches_the_server),
        cmocka_unit_test(an_invalidation_made_while_it_was_dead_is_sent_before_it_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
