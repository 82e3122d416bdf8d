/* A cache's life: opening with L2 in every state, what belongs to whom when that fails, and closing while in use. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"
#include "platform/platform.h"
#include "policy/evict.h"

static struct tt_cache b;

/* ---- opening ---- */

static void a_cache_with_all_defaults_needs_no_options(void **state)
{
    struct cache *c = NULL;
    (void)state;
    assert_int_equal(cache_open(NULL, &c, NULL, 0), CACHE_OK);
    assert_non_null(c);
    assert_int_equal(cache_close(c, 0), CACHE_OK);
}

/* Whether the system has huge pages for it or not. */
static void a_cache_in_huge_pages_is_a_cache_like_any_other(void **state)
{
    enum { KEYS = 30000 };
    struct cache_opts o = CACHE_OPTS_INIT;
    struct cache_type_opts t = CACHE_TYPE_OPTS_INIT;
    struct cache_type *type;
    struct cache_key k;
    struct cache *c;
    (void)state;
    o.flags = CACHE_OPEN_HUGE_PAGES;
    o.l1_bytes = 64 << 20;
    t.name = "user";
    assert_int_equal(cache_open(&o, &c, NULL, 0), CACHE_OK);
    assert_int_equal(cache_type_register(c, &t, &type), CACHE_OK);
    for (uint64_t round = 0; round < 2; round++)
        for (uint64_t i = 0; i < KEYS; i++) {
            uint64_t value[20] = { i, round };
            cache_key_u64(cache_key_init(&k, type), i);
            assert_int_equal(cache_set(c, &k, value, sizeof value, NULL), CACHE_OK);
        }
    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t value[20] = { 0 };
        cache_key_u64(cache_key_init(&k, type), i);
        assert_int_equal(cache_get_copy(c, &k, value, sizeof value, NULL), CACHE_OK);
        assert_true(value[0] == i && value[1] == 1);
    }
    assert_int_equal(cache_resize(c, 8 << 20, 1000), CACHE_OK);
    assert_int_equal(cache_clear_local(c), CACHE_OK);
    assert_int_equal(cache_close(c, 0), CACHE_OK);
}

static void strings_and_tables_are_copied(void **state)
{
    char name[] = "mine";
    (void)state;
    tt_cache_prepare(&b, true);
    struct cache_backend_ops table = *b.opts.backend;
    struct cache_event_ops events = *b.opts.events;
    struct cache_clock_ops clock = *b.opts.clock;
    b.opts.name = name;
    b.opts.backend = &table;
    b.opts.events = &events;
    b.opts.clock = &clock;
    tt_cache_open(&b);
    memset(name, 'x', sizeof name - 1);
    memset(&table, 0xFF, sizeof table);
    memset(&events, 0xFF, sizeof events);
    memset(&clock, 0xFF, sizeof clock);
    struct cache_key k;
    tt_cache_key(&b, &k);
    assert_int_equal(tt_cache_set(&b, &k, "x"), CACHE_OK);
    tt_assert_soon(tt_cache_told(&b, CACHE_EVENT_L2_UP) == 1);
    assert_true(tt_cache_close(&b));
}

/* FAULTS 1 */
static void a_cache_opens_without_its_l2(void **state)
{
    static const int healths[] = { CACHE_BACKEND_DOWN, CACHE_BACKEND_CONNECTING };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(healths); i++) {
        struct cache_key k;
        tt_cache_prepare(&b, true);
        tt_backend_set_health(b.l2, healths[i]);
        tt_cache_open(&b);
        tt_cache_key(&b, &k);
        assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
        assert_int_equal(tt_cache_get(&b, &k).meta.flags, CACHE_META_L2_OUT);
        assert_int_equal(tt_cache_stats(&b).l2_state, healths[i]);
        tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
        assert_int_equal(tt_cache_get(&b, &k).meta.flags, 0);
        tt_assert_soon(tt_cache_told(&b, CACHE_EVENT_L2_UP) == 1);
        assert_true(tt_cache_close(&b));
    }
}

static void a_cache_that_requires_its_l2_opens_with_it(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    b.opts.flags = CACHE_OPEN_REQUIRE_L2;
    tt_cache_open(&b);
    assert_string_equal(b.err, "");
    assert_int_equal(tt_cache_stats(&b).l2_state, CACHE_BACKEND_UP);
    assert_true(tt_cache_close(&b));
}

/* ---- what a failed opening leaves ---- */

/* What the backend says while it is attached, and what attach returns. */
static struct {
    int attach_says, report_says;
    const char *text;
    cache_backend_attach_fn *attach; /* the fake's own */
} script;

static int attach_as_told(void *ctx, const struct cache_backend_host *host)
{
    if (script.attach_says < 0)
        return script.attach_says;
    if (script.text != NULL)
        host->report(host->host, CACHE_LOG_ERROR, script.report_says, script.text);
    return script.attach(ctx, host);
}

static void assert_refuses(int status, const char *words)
{
    assert_int_equal(tt_cache_try_open(&b), status);
    assert_null(b.c);
    if (words != NULL && strstr(b.err, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", b.err, words);
    assert_int_equal(tt_backend_closed(b.l2), 0); /* it is still the caller's */
    assert_true(tt_cache_fini(&b));
}

/* FAULTS 1 */
static void a_cache_that_requires_its_l2_says_why_it_is_not_there(void **state)
{
    static const int reasons[] = { CACHE_E_UNAVAILABLE, CACHE_E_TIMEOUT, CACHE_E_AUTH, CACHE_E_PROTOCOL,
                                   CACHE_E_REFUSED };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(reasons); i++) {
        tt_cache_prepare(&b, true);
        b.opts.flags = CACHE_OPEN_REQUIRE_L2;
        tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
        script.attach = tt_backend_table(b.l2)->attach;
        tt_backend_table(b.l2)->attach = attach_as_told;
        script.attach_says = CACHE_OK;
        script.report_says = reasons[i];
        script.text = "the reason in words";
        assert_refuses(reasons[i], "the reason in words");
    }
    tt_cache_prepare(&b, true);
    b.opts.flags = CACHE_OPEN_REQUIRE_L2;
    tt_backend_set_health(b.l2, CACHE_BACKEND_CONNECTING);
    assert_refuses(CACHE_E_TIMEOUT, "connect_timeout_ms");
}

static void a_backend_that_refuses_to_be_attached_ends_the_opening(void **state)
{
    static const int reasons[] = { CACHE_E_NOMEM, CACHE_E_SYSTEM, CACHE_E_INVALID, -1234 };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(reasons); i++) {
        tt_cache_prepare(&b, true);
        script.attach = tt_backend_table(b.l2)->attach;
        tt_backend_table(b.l2)->attach = attach_as_told;
        script.attach_says = reasons[i];
        assert_refuses(reasons[i], "refused");
    }
}

/* A backend with a thread of its own, which uses the host for as long as it is lent. */
static struct {
    const struct cache_backend_host *host;
    pthread_t thread;
    atomic_bool over;
    unsigned attached, detached;
} lent;

static void *use_the_host(void *arg)
{
    (void)arg;
    while (!atomic_load(&lent.over)) {
        void *p = lent.host->alloc(lent.host->host, 16);
        lent.host->free(lent.host->host, p, 16);
        lent.host->report(lent.host->host, CACHE_LOG_INFO, CACHE_OK, "at it");
        lent.host->wake(lent.host->host);
        sched_yield();
    }
    return NULL;
}

static int attach_with_a_thread(void *ctx, const struct cache_backend_host *host)
{
    lent.attached++;
    lent.host = host;
    return pthread_create(&lent.thread, NULL, use_the_host, NULL) == 0 ? script.attach(ctx, host) : CACHE_E_SYSTEM;
}

static void end_the_thread(void *ctx)
{
    (void)ctx;
    lent.detached++;
    atomic_store(&lent.over, true);
    pthread_join(lent.thread, NULL);
}

static void a_backend_is_told_before_its_host_ends_with_a_failed_opening(void **state)
{
    (void)state;
    memset(&lent, 0, sizeof lent);
    tt_cache_prepare(&b, true);
    b.opts.flags = CACHE_OPEN_REQUIRE_L2;
    b.opts.connect_timeout_ms = 50;
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    script.attach = tt_backend_table(b.l2)->attach;
    tt_backend_table(b.l2)->attach = attach_with_a_thread;
    tt_backend_table(b.l2)->detach = end_the_thread;
    assert_int_equal(tt_cache_try_open(&b), CACHE_E_TIMEOUT);
    assert_int_equal(lent.attached, 1);
    assert_int_equal(lent.detached, 1);
    assert_int_equal(tt_backend_closed(b.l2), 0);
    assert_true(tt_cache_fini(&b));
}

static void count_detach(void *ctx)
{
    (void)ctx;
    lent.detached++;
}

static void nobody_is_detached_who_was_not_attached_or_is_closed(void **state)
{
    (void)state;
    memset(&lent, 0, sizeof lent);
    tt_cache_prepare(&b, true);
    script.attach_says = CACHE_E_SYSTEM;
    tt_backend_table(b.l2)->attach = attach_as_told;
    tt_backend_table(b.l2)->detach = count_detach;
    assert_refuses(CACHE_E_SYSTEM, "refused");
    assert_int_equal(lent.detached, 0);

    tt_cache_prepare(&b, true);
    tt_backend_table(b.l2)->detach = count_detach;
    tt_cache_open(&b);
    assert_int_equal(cache_close(b.c, TT_SOON_MS), CACHE_OK);
    assert_int_equal(tt_backend_closed(b.l2), 1);
    assert_true(tt_cache_fini(&b));
    assert_int_equal(lent.detached, 0);
}

static void some_hit(void *state, uint32_t entry, void *node)
{
    (void)state;
    (void)entry;
    (void)node;
}

static void a_bit_that_is_not_known_is_refused_in_a_table(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 32; bit++) {
        tt_cache_prepare(&b, true);
        tt_backend_table(b.l2)->capabilities = UINT32_C(1) << bit;
        if (bit >= 2) {
            assert_refuses(CACHE_E_ABI, "backend: ");
        } else {
            tt_cache_open(&b);
            assert_true(tt_cache_close(&b));
        }
        struct cache_evict_ops evict = tc_evict_lru;
        tt_cache_prepare(&b, false);
        b.opts.evict = &evict;
        evict.flags = UINT32_C(1) << bit;
        evict.hit = some_hit; /* where the flags want one */
        bool known = bit < 4;
        assert_int_equal(tt_cache_try_open(&b), known ? CACHE_OK : CACHE_E_ABI);
        assert_memory_equal(b.err, "evict: ", known ? 0 : 7);
        assert_true(known ? tt_cache_close(&b) : tt_cache_fini(&b));
    }
}

static void a_policy_whose_state_is_too_large_is_named(void **state)
{
    static const struct {
        size_t state_bytes, node_bytes;
        int status;
        const char *says;
    } cases[] = {
        { 4097, 8, CACHE_E_ABI, "evict: state_bytes" },
        { 8, 257, CACHE_E_ABI, "evict: node_bytes" },
        { 4096, 256, CACHE_OK, "" },
    };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(cases); i++) {
        struct cache_evict_ops evict = tc_evict_lru;
        evict.state_bytes = cases[i].state_bytes;
        evict.node_bytes = cases[i].node_bytes;
        tt_cache_prepare(&b, false);
        b.opts.evict = &evict;
        b.opts.l1_bytes = 65536;
        b.opts.l1_stripes = 4;
        assert_int_equal(tt_cache_try_open(&b), cases[i].status);
        assert_memory_equal(b.err, cases[i].says, strlen(cases[i].says));
        assert_true(cases[i].status == CACHE_OK ? tt_cache_close(&b) : tt_cache_fini(&b));
    }
}

static void what_is_wrong_with_a_url_is_said_once(void **state)
{
    (void)state;
    tt_cache_prepare(&b, false);
    b.opts.l2_url = "redis://host:port";
    assert_int_equal(tt_cache_try_open(&b), CACHE_E_INVALID);
    assert_string_equal(b.err, "l2_url: the port is not a number from 1 to 65535");
    assert_true(tt_cache_fini(&b));
}

static void every_allocation_of_opening_may_fail(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        tt_cache_prepare(&b, true);
        tt_alloc_fail(&b.alloc, nth, nth % 2 == 0);
        int rc = tt_cache_try_open(&b);
        tt_alloc_fail(&b.alloc, 0, false);
        if (rc == CACHE_OK) {
            assert_true(nth > 5);
            assert_true(tt_cache_close(&b));
            return;
        }
        assert_int_equal(rc, CACHE_E_NOMEM);
        assert_null(b.c);
        assert_true(strlen(b.err) > 0);
        assert_int_equal(tt_backend_closed(b.l2), 0);
        assert_true(tt_cache_fini(&b));
    }
}

/* ---- closing ---- */

static void closing_nothing_is_fine(void **state)
{
    (void)state;
    assert_int_equal(cache_close(NULL, 0), CACHE_OK);
    assert_int_equal(cache_close(NULL, -1), CACHE_OK);
}

static void a_negative_time_out_is_invalid_and_closes_nothing(void **state)
{
    struct cache_key k;
    (void)state;
    tt_cache_prepare(&b, true);
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    assert_int_equal(cache_close(b.c, -1), CACHE_E_INVALID);
    assert_int_equal(cache_close(b.c, INT64_MIN), CACHE_E_INVALID);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_true(tt_cache_close(&b));
}

static void an_idle_cache_closes_without_waiting(void **state)
{
    (void)state;
    for (int with_l2 = 0; with_l2 < 2; with_l2++) {
        tt_cache_prepare(&b, with_l2);
        tt_cache_open(&b);
        assert_int_equal(cache_close(b.c, 0), CACHE_OK);
        if (with_l2)
            assert_int_equal(tt_backend_closed(b.l2), 1);
        assert_true(tt_cache_fini(&b));
    }
}

/* FAULTS 41 */
static void a_pinned_value_keeps_the_cache_and_stays_readable(void **state)
{
    for (int with_l2 = 0; with_l2 < 2; with_l2++) {
        struct cache_key k;
        struct cache_value v;
        tt_cache_prepare(&b, with_l2);
        tt_cache_open(&b);
        tt_cache_key(&b, &k);
        assert_int_equal(tt_cache_set(&b, &k, "held"), CACHE_OK);
        assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_OK);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(cache_close(b.c, i), CACHE_BUSY);
            assert_memory_equal(v.data, "held", 4);
        }
        cache_value_release(&v);
        assert_int_equal(cache_close(b.c, 0), CACHE_OK);
        assert_true(tt_cache_fini(&b));
    }
    (void)state;
}

/* FAULTS 41 */
static void a_running_call_keeps_the_cache(void **state)
{
    struct tt_loader l;
    struct cache_key k;
    (void)state;
    tt_cache_prepare(&b, false);
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    tt_loader_init(&l, "loaded");
    tt_loader_block(&l);
    struct tt_call call = { .verb = TT_VERB_FETCH, .b = &b, .k = &k, .l = &l };
    tt_call_start(&call);
    assert_true(tt_loader_await_blocked(&l, 1));
    assert_int_equal(cache_close(b.c, 0), CACHE_BUSY);
    assert_int_equal(cache_close(b.c, 20), CACHE_BUSY);
    tt_loader_release(&l);
    assert_int_equal(cache_close(b.c, TT_SOON_MS), CACHE_OK);
    tt_call_join(&call);
    assert_true(tt_answer_is(&call.answer, CACHE_OK, "loaded"));
    tt_loader_fini(&l);
    assert_true(tt_cache_fini(&b));
}

static void *close_here(void *arg)
{
    *(int *)arg = cache_close(b.c, TT_SOON_MS);
    return NULL;
}

static void closing_waits_for_the_last_release(void **state)
{
    struct cache_key k;
    struct cache_value v;
    pthread_t closer;
    int rc = -1;
    (void)state;
    tt_cache_prepare(&b, true);
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    assert_int_equal(tt_cache_set(&b, &k, "held"), CACHE_OK);
    assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_OK);
    assert_int_equal(pthread_create(&closer, NULL, close_here, &rc), 0);
    struct cache_value other;
    tt_assert_soon(cache_get(b.c, &k, NULL, &other) == CACHE_E_CLOSED || (cache_value_release(&other), false));
    assert_int_equal(cache_close(b.c, 0), CACHE_BUSY); /* somebody else is at it */
    assert_memory_equal(v.data, "held", 4);
    cache_value_release(&v);
    assert_int_equal(pthread_join(closer, NULL), 0);
    assert_int_equal(rc, CACHE_OK);
    assert_true(tt_cache_fini(&b));
}

static int close_inside(struct tt_loader *l, struct cache_load *ld, const struct cache_key *k)
{
    (void)ld;
    (void)k;
    *(int *)l->arg = cache_close(b.c, 10);
    return CACHE_OK;
}

static void a_loader_that_closes_its_cache_is_told_that_it_is_busy(void **state)
{
    struct tt_loader l;
    struct cache_key k;
    int rc = -1;
    (void)state;
    tt_cache_prepare(&b, false);
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    tt_loader_init(&l, "loaded");
    l.inside = close_inside;
    l.arg = &rc;
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, "loaded");
    assert_int_equal(rc, CACHE_BUSY);
    assert_answer(tt_cache_get(&b, &k), CACHE_E_CLOSED, NULL);
    tt_loader_fini(&l);
    assert_true(tt_cache_close(&b));
}

/* ---- closing with invalidations that L2 has not taken ---- */

static void open_with_queued(struct cache_key *keys, size_t n)
{
    tt_cache_prepare(&b, true);
    tt_cache_open(&b);
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
    for (size_t i = 0; i < n; i++) {
        tt_cache_key(&b, &keys[i]);
        assert_int_equal(cache_invalidate(b.c, &keys[i], NULL), CACHE_QUEUED);
    }
}

static void closing_waits_for_queued_invalidations(void **state)
{
    struct cache_key keys[3];
    pthread_t closer;
    int rc = -1;
    (void)state;
    open_with_queued(keys, 3);
    for (size_t i = 0; i < 3; i++)
        tt_backend_poke(b.l2, tt_cache_l2_key(&keys[i]), (struct cache_slice){ "old", 3 }, CACHE_TTL_FOREVER);
    tt_backend_block(b.l2, TT_DEL_MANY, false);
    assert_int_equal(pthread_create(&closer, NULL, close_here, &rc), 0);
    tt_assert_soon(tt_cache_get(&b, &keys[0]).status == CACHE_E_CLOSED);
    tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
    assert_true(tt_backend_await_blocked(b.l2, TT_DEL_MANY, 1));
    tt_backend_release(b.l2, TT_DEL_MANY);
    assert_int_equal(pthread_join(closer, NULL), 0);
    assert_int_equal(rc, CACHE_OK);
    assert_int_equal(tt_backend_count(b.l2), 0);
    assert_int_equal(tt_cache_told(&b, CACHE_EVENT_RECOVERY_ABANDONED), 0);
    assert_true(tt_cache_fini(&b));
}

static void what_l2_does_not_take_in_time_is_given_up_and_told(void **state)
{
    static const int64_t waits_ms[] = { 0, 30 };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(waits_ms); i++) {
        struct cache_key keys[3];
        open_with_queued(keys, 3);
        assert_int_equal(cache_close(b.c, waits_ms[i]), CACHE_OK);
        assert_int_equal(tt_cache_told(&b, CACHE_EVENT_RECOVERY_ABANDONED), 1);
        assert_int_equal(tt_cache_last_event(&b, CACHE_EVENT_RECOVERY_ABANDONED).count, 3);
        assert_int_equal(tt_backend_closed(b.l2), 1);
        assert_true(tt_cache_fini(&b));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cache_with_all_defaults_needs_no_options),
        cmocka_unit_test(a_cache_in_huge_pages_is_a_cache_like_any_other),
        cmocka_unit_test(strings_and_tables_are_copied),
        cmocka_unit_test(a_cache_opens_without_its_l2),
        cmocka_unit_test(a_cache_that_requires_its_l2_opens_with_it),
        cmocka_unit_test(a_cache_that_requires_its_l2_says_why_it_is_not_there),
        cmocka_unit_test(a_backend_that_refuses_to_be_attached_ends_the_opening),
        cmocka_unit_test(a_backend_is_told_before_its_host_ends_with_a_failed_opening),
        cmocka_unit_test(nobody_is_detached_who_was_not_attached_or_is_closed),
        cmocka_unit_test(a_bit_that_is_not_known_is_refused_in_a_table),
        cmocka_unit_test(a_policy_whose_state_is_too_large_is_named),
        cmocka_unit_test(what_is_wrong_with_a_url_is_said_once),
        cmocka_unit_test(every_allocation_of_opening_may_fail),
        cmocka_unit_test(closing_nothing_is_fine),
        cmocka_unit_test(a_negative_time_out_is_invalid_and_closes_nothing),
        cmocka_unit_test(an_idle_cache_closes_without_waiting),
        cmocka_unit_test(a_pinned_value_keeps_the_cache_and_stays_readable),
        cmocka_unit_test(a_running_call_keeps_the_cache),
        cmocka_unit_test(closing_waits_for_the_last_release),
        cmocka_unit_test(a_loader_that_closes_its_cache_is_told_that_it_is_busy),
        cmocka_unit_test(closing_waits_for_queued_invalidations),
        cmocka_unit_test(what_l2_does_not_take_in_time_is_given_up_and_told),
    };
    return cmocka_run_group_tests_name("open and close", tests, NULL, NULL);
}
