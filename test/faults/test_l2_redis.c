/* A whole cache in front of a Redis that lies, hangs, refuses or is not there: reads are answered from L1, stale, or by
 * the loader, in time; nothing wrong is returned or stored; and when Redis is well again so is the cache. Time is real
 * here, since it is for the fake server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_redis.h"
#include "fake/tt_util.h"
#include "platform/platform.h"

enum {
    TIMEOUT_MS = 300,
    L2_MS = 100,
    CONNECT_MS = 300,
    SLACK_MS = TT_SLACK_MS /* what a loaded machine may add to a deadline */
};

static struct tt_cache b;
static struct tt_loader l;
static struct tt_redis *redis;
static struct cache_key k;

static void prepare(enum tt_redis_net net)
{
    redis = tt_redis_start(net);
    tt_loader_init(&l, "loaded");
    tt_cache_prepare(&b, false);
    b.opts.clock = NULL;
    b.opts.l2_url = tt_redis_url(redis);
    b.opts.timeout_ms = TIMEOUT_MS;
    b.opts.l2_timeout_ms = L2_MS;
    b.opts.connect_timeout_ms = CONNECT_MS;
    /* Over at the next tick: each read asks Redis, and finds a stale entry when that fails. */
    b.type_opts.l1_ttl_ms = 1;
    b.type_opts.ttl_ms = 600000;
}

static void finish(void)
{
    assert_true(tt_cache_close(&b));
    tt_loader_fini(&l);
    tt_redis_stop(redis);
}

static bool is_up(void)
{
    return tt_cache_stats(&b).l2_state == CACHE_BACKEND_UP;
}

static int setup(void **state)
{
    (void)state;
    prepare(TT_REDIS_UNIX);
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    return is_up() ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    finish();
    return 0;
}

/* A call in which a loader or L2 had all the time there was. */
static void assert_in_time(int64_t start_ms)
{
    assert_true(tt_mono_ms() - start_ms <= TIMEOUT_MS + SLACK_MS);
}

static bool goes_through_l2(void)
{
    if (tt_cache_set(&b, &k, "well") != CACHE_OK)
        return false;
    cache_clear_local(b.c);
    struct tt_answer a = tt_cache_get(&b, &k);
    return a.status == CACHE_OK && a.meta.tier == CACHE_TIER_L2 && strcmp(a.text, "well") == 0;
}

static void assert_recovers(void)
{
    tt_redis_clear(redis);
    tt_assert_soon(goes_through_l2());
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
}

static uint64_t errors(const struct cache_stats *s)
{
    return s->l2_err_connect + s->l2_err_timeout + s->l2_err_closed + s->l2_err_protocol + s->l2_err_auth +
           s->l2_err_oom + s->l2_err_loading + s->l2_err_readonly + s->l2_err_misconf + s->l2_err_busy +
           s->l2_err_redirect + s->l2_err_other;
}

/* ---- whatever Redis does ---- */

static const struct {
    const char *what;
    struct tt_redis_fault fault;
} troubles[] = {
    { "closes before the answer", { .then = TT_THEN_CLOSE } },
    { "cuts the answer", { .then = TT_THEN_CLOSE, .cut = 3 } },
    { "resets in the answer", { .then = TT_THEN_RESET, .cut = 2 } },
    { "drips", { .drip_ms = 150 } },
    { "does not answer", { .not_run = true } },
    { "says garbage", { .not_run = true, .reply = "garbage\r\n" } },
    { "says HTTP", { .not_run = true, .reply = "HTTP/1.1 400 Bad Request\r\n\r\n" } },
    { "announces far too much", { .not_run = true, .reply = "$9223372036854775807\r\n" } },
    { "announces a huge array", { .not_run = true, .reply = "*2147483647\r\n" } },
    { "is OOM", { .not_run = true, .reply = "-OOM command not allowed when used memory > 'maxmemory'.\r\n" } },
    { "is loading", { .not_run = true, .reply = "-LOADING Redis is loading the dataset in memory\r\n" } },
    { "is read-only", { .not_run = true, .reply = "-READONLY You can't write against a read only replica.\r\n" } },
    { "cannot write its disk", { .not_run = true, .reply = "-MISCONF Redis is configured to save RDB\r\n" } },
    { "is busy", { .not_run = true, .reply = "-BUSY Redis is busy running a script.\r\n" } },
    { "wants authentication", { .not_run = true, .reply = "-NOAUTH Authentication required.\r\n" } },
    { "does not permit", { .not_run = true, .reply = "-NOPERM this user has no permissions\r\n" } },
    { "has moved", { .not_run = true, .reply = "-MOVED 3999 127.0.0.1:6381\r\n" } },
    { "says something new", { .not_run = true, .reply = "-NEWERR of a future version\r\n" } },
};

/* FAULTS 10 to 16, 19 to 22, 25 */
static void whatever_redis_does_to_reads_they_are_answered_in_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(troubles); i++) {
        struct tt_redis_fault fault = troubles[i].fault;
        setup(NULL);
        struct cache_key absent;
        tt_cache_key(&b, &absent);
        assert_int_equal(tt_cache_set(&b, &k, "known"), CACHE_OK);
        struct cache_stats s = tt_cache_stats(&b);
        uint64_t before = errors(&s);
        fault.command = "GET";
        tt_redis_fault(redis, &fault);
        int64_t start_ms = tt_mono_ms();
        struct tt_answer a = tt_cache_fetch_with(&b, &absent, &l, 0, 0);
        assert_true(tt_answer_is(&a, CACHE_OK, "loaded"));
        assert_int_equal(a.meta.flags, CACHE_META_L2_OUT);
        assert_in_time(start_ms);
        start_ms = tt_mono_ms();
        tt_assert_soon((a = tt_cache_get(&b, &k)).meta.flags != 0); /* L1 has passed its TTL */
        assert_true(tt_answer_is(&a, CACHE_OK, "known"));
        assert_int_equal(a.meta.flags, CACHE_META_STALE | CACHE_META_L2_OUT);
        a = tt_cache_get_with(&b, &k, CACHE_CALL_NO_STALE, 0, NULL);
        if (a.status != CACHE_MISS)
            fail_msg("%s: a read was answered %d \"%s\"", troubles[i].what, a.status, a.text);
        s = tt_cache_stats(&b);
        if (errors(&s) == before)
            fail_msg("%s: nothing was counted", troubles[i].what);
        assert_recovers();
        finish();
    }
}

/* FAULTS 10 to 16, 19 to 22, 25 */
static void whatever_redis_does_to_writes_no_old_value_comes_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(troubles); i++) {
        struct tt_redis_fault fault = troubles[i].fault;
        setup(NULL);
        assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
        fault.command = "SET";
        tt_redis_fault(redis, &fault);
        int64_t start_ms = tt_mono_ms();
        int rc = tt_cache_set(&b, &k, "new");
        assert_in_time(start_ms);
        if (rc != CACHE_QUEUED && rc != CACHE_OK)
            fail_msg("%s: a set was answered %d", troubles[i].what, rc);
        tt_redis_clear(redis);
        assert_int_equal(cache_clear_local(b.c), CACHE_OK);
        struct tt_answer a;
        tt_assert_soon((a = tt_cache_get(&b, &k)).meta.flags == 0); /* it is well again, and the deletion through */
        if (a.status != CACHE_MISS && strcmp(a.text, "new") != 0)
            fail_msg("%s: after the set, a read was answered %d \"%s\"", troubles[i].what, a.status, a.text);
        finish();
    }
}

/* FAULTS 10 to 16, 20 to 22, 25 */
static void whatever_redis_does_to_deletions_no_old_value_comes_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(troubles); i++) {
        struct tt_redis_fault fault = troubles[i].fault;
        setup(NULL);
        assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
        fault.command = "DEL";
        tt_redis_fault(redis, &fault);
        int64_t start_ms = tt_mono_ms();
        int rc = cache_invalidate(b.c, &k, NULL);
        assert_in_time(start_ms);
        if (rc != CACHE_QUEUED)
            fail_msg("%s: an invalidation was answered %d", troubles[i].what, rc);
        for (int n = 0; n < 3; n++)
            assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
        tt_redis_clear(redis);
        assert_true(tt_cache_await_replayed(&b));
        struct tt_answer a;
        tt_assert_soon((a = tt_cache_get(&b, &k)).meta.flags == 0);
        assert_true(tt_answer_is(&a, CACHE_MISS, NULL));
        assert_int_equal(tt_redis_keys(redis), 0);
        finish();
    }
}

/* FAULTS 19: Redis deletes also when it is out of memory. */
static void out_of_memory_redis_loses_the_old_value_and_keeps_no_new_one(void **state)
{
    (void)state;
    assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
    tt_redis_answer_error(redis, "SET", "OOM command not allowed when used memory > 'maxmemory'.");
    assert_int_equal(tt_cache_set(&b, &k, "new"), CACHE_QUEUED);
    assert_true(tt_cache_await_replayed(&b));
    assert_int_equal(tt_redis_keys(redis), 0);
    assert_true(tt_cache_stats(&b).l2_err_oom >= 1);
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, NULL);
    assert_int_equal(tt_redis_keys(redis), 0);
    assert_recovers();
}

/* FAULTS 58 */
static void another_keys_frame_is_never_delivered(void **state)
{
    struct cache_key other;
    struct tt_buf reply = { 0 };
    void *frame = NULL;
    size_t len = 0;
    (void)state;
    tt_cache_key(&b, &other);
    assert_int_equal(tt_cache_set(&b, &other, "others"), CACHE_OK);
    char *log = tt_redis_log(redis); /* "connection SET name" */
    char *name = strstr(log, "SET ");
    assert_non_null(name);
    name += 4;
    name[strcspn(name, "\n")] = '\0';
    assert_true(tt_redis_peek(redis, name, strlen(name), &frame, &len));
    tt_buf_print(&reply, "$%zu\r\n", len);
    tt_buf_add(&reply, frame, len);
    tt_buf_add(&reply, "\r\n", 2);
    tt_redis_fault(redis, &(struct tt_redis_fault){ .command = "GET", .reply = reply.data, .reply_len = reply.len });
    tt_redis_fault(redis, &(struct tt_redis_fault){ .command = "PTTL", .reply = ":5000\r\n" });
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_int_equal(tt_cache_stats(&b).l2_wrong_key, 1);
    assert_int_equal(tt_cache_told(&b, CACHE_EVENT_WRONG_KEY), 1);
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, "loaded");
    assert_recovers();
    tt_buf_free(&reply);
    free(frame);
    free(log);
}

/* ---- a value that this process does not take ---- */

enum { MUCH_BYTES = 1 << 20, AMPLE_MS = 5000 };

static void prepare_ample(struct tt_cache *c)
{
    c->opts.clock = NULL;
    c->opts.l2_url = tt_redis_url(redis);
    c->opts.timeout_ms = c->opts.l2_timeout_ms = AMPLE_MS; /* what comes is looked at, not when */
    c->type_opts.ttl_ms = 600000;
}

/* b takes small values only; another cache puts under k what is too long for it. */
static void poison(void)
{
    struct tt_cache other;
    struct cache_key theirs;
    tt_cache_prepare(&other, false);
    prepare_ample(&other);
    tt_cache_open(&other);
    cache_key_str(cache_key_init(&theirs, other.type), "long");
    assert_int_equal(tt_cache_set_bytes(&other, &theirs, MUCH_BYTES), CACHE_OK);
    assert_true(tt_cache_close(&other));
    cache_key_str(cache_key_init(&k, b.type), "long");
    assert_int_equal(tt_redis_keys(redis), 1);
}

static void open_for_small_values(void)
{
    prepare(TT_REDIS_UNIX);
    prepare_ample(&b);
    b.opts.max_value_bytes = 1000;
    tt_cache_open(&b);
    poison();
}

static void assert_never_closed(void)
{
    struct cache_stats s = tt_cache_stats(&b);
    assert_int_equal(s.l2_reconnects, 0);
    assert_int_equal(s.l2_err_protocol, 0);
    assert_int_equal(s.l2_err_closed, 0);
    assert_int_equal(tt_cache_told(&b, CACHE_EVENT_L2_DOWN), 0);
    assert_int_equal(tt_redis_seen(redis).connections, 2); /* one each */
}

/* FAULTS 52 */
static void a_value_too_long_for_this_process_is_loaded_once_and_replaced(void **state)
{
    (void)state;
    open_for_small_values();
    size_t live_bytes = tt_alloc_counts(&b.alloc).live_bytes;
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    struct tt_answer a = tt_cache_fetch(&b, &k, &l);
    assert_true(tt_answer_is(&a, CACHE_OK, "loaded"));
    assert_int_equal(a.meta.flags, 0);
    for (int i = 0; i < 3; i++) {
        cache_clear_local(b.c);
        a = tt_cache_fetch(&b, &k, &l);
        assert_true(tt_answer_is(&a, CACHE_OK, "loaded"));
        assert_int_equal(a.meta.tier, CACHE_TIER_L2);
    }
    assert_int_equal(l.calls, 1);
    assert_int_equal(tt_redis_keys(redis), 1);
    assert_int_equal(tt_cache_stats(&b).l2_err_wrongtype, 2);
    assert_true(tt_alloc_counts(&b.alloc).peak_bytes < live_bytes + MUCH_BYTES);
    assert_never_closed();
    finish();
}

/* FAULTS 52: who reads another key in the same round trip, behind it. */
static void a_value_too_long_disturbs_no_reader_beside_it(void **state)
{
    struct cache_key well;
    (void)state;
    open_for_small_values();
    cache_key_str(cache_key_init(&well, b.type), "well");
    assert_int_equal(tt_cache_set(&b, &well, "well"), CACHE_OK);
    cache_clear_local(b.c);
    tt_redis_fault(redis, &(struct tt_redis_fault){ .command = "GET", .times = 1, .stall = true });
    struct tt_call fetch = { .verb = TT_VERB_FETCH, .b = &b, .k = &k, .l = &l };
    struct tt_call read = { .verb = TT_VERB_GET, .b = &b, .k = &well };
    tt_call_start(&fetch);
    tt_assert_soon(tt_redis_stalled(redis) > 0);
    tt_call_start(&read);
    assert_true(tt_call_await_asleep(&read));
    tt_redis_release(redis);
    tt_call_join(&fetch);
    tt_call_join(&read);
    assert_true(tt_answer_is(&fetch.answer, CACHE_OK, "loaded"));
    assert_true(tt_answer_is(&read.answer, CACHE_OK, "well"));
    assert_int_equal(read.answer.meta.tier, CACHE_TIER_L2);
    assert_int_equal(read.answer.meta.flags | fetch.answer.meta.flags, 0);
    cache_clear_local(b.c);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "loaded");
    assert_int_equal(l.calls, 1);
    assert_never_closed();
    finish();
}

/* ---- Redis that hangs or is gone ---- */

/* FAULTS 11, 44 */
static void a_hung_redis_costs_no_call_more_than_its_time(void **state)
{
    (void)state;
    assert_int_equal(tt_cache_set(&b, &k, "known"), CACHE_OK);
    tt_redis_freeze(redis, true);
    struct cache_key absent;
    tt_cache_key(&b, &absent);
    for (int i = 0; i < 3; i++) {
        int64_t start_ms = tt_mono_ms();
        assert_answer(tt_cache_fetch(&b, &absent, &l), CACHE_OK, "loaded");
        assert_in_time(start_ms);
        start_ms = tt_mono_ms();
        struct tt_answer a = tt_cache_get_with(&b, &k, 0, 50, NULL);
        assert_true(tt_answer_is(&a, CACHE_OK, "known"));
        assert_true(tt_mono_ms() - start_ms <= 50 + SLACK_MS);
        start_ms = tt_mono_ms();
        assert_int_equal(cache_invalidate(b.c, &absent, NULL), CACHE_QUEUED);
        assert_in_time(start_ms);
    }
    tt_redis_freeze(redis, false);
    assert_true(tt_cache_await_replayed(&b));
    assert_recovers();
}

/* FAULTS 1, 3, 10 */
static void what_was_invalidated_during_an_outage_does_not_come_back(void **state)
{
    static const bool resets[] = { false, true };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(resets); i++) {
        prepare(TT_REDIS_TCP);
        tt_cache_open(&b);
        tt_cache_key(&b, &k);
        assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
        tt_redis_door(redis, TT_DOOR_SHUT);
        tt_redis_kick(redis, resets[i]);
        int rc = cache_invalidate(b.c, &k, NULL);
        assert_int_equal(rc, CACHE_QUEUED);
        tt_assert_soon(tt_cache_told(&b, CACHE_EVENT_L2_DOWN) >= 1);
        assert_int_equal(tt_redis_keys(redis), 1);
        int64_t start_ms = tt_mono_ms();
        for (int n = 0; n < 100; n++)
            assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
        assert_in_time(start_ms); /* a Redis that is known to be gone is not waited for */
        tt_redis_door(redis, TT_DOOR_OPEN);
        assert_true(tt_cache_await_replayed(&b));
        assert_int_equal(tt_redis_keys(redis), 0);
        tt_assert_soon(tt_cache_told(&b, CACHE_EVENT_RECOVERY_DONE) >= 1);
        assert_recovers();
        assert_true(tt_cache_stats(&b).l2_reconnects >= 1);
        finish();
    }
}

/* FAULTS 1 */
static void a_cache_opens_without_redis_and_finds_it_later(void **state)
{
    (void)state;
    prepare(TT_REDIS_TCP);
    tt_redis_door(redis, TT_DOOR_SHUT);
    int64_t start_ms = tt_mono_ms();
    tt_cache_open(&b);
    assert_true(tt_mono_ms() - start_ms <= CONNECT_MS + SLACK_MS);
    tt_cache_key(&b, &k);
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, "loaded");
    tt_redis_door(redis, TT_DOOR_OPEN);
    assert_recovers();
    assert_int_equal(tt_cache_told(&b, CACHE_EVENT_L2_UP), 1);
    finish();
}

/* ---- a cache that requires its Redis ---- */

static void assert_refuses(int status, const char *words)
{
    int64_t start_ms = tt_mono_ms();
    b.opts.flags = CACHE_OPEN_REQUIRE_L2;
    assert_int_equal(tt_cache_try_open(&b), status);
    assert_true(tt_mono_ms() - start_ms <= CONNECT_MS + SLACK_MS);
    assert_null(b.c);
    if (strstr(b.err, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", b.err, words);
    assert_null(strstr(b.err, "secret"));
    assert_true(tt_cache_fini(&b));
    tt_loader_fini(&l);
    tt_redis_stop(redis);
}

/* FAULTS 1, 3 to 5, 7 */
static void a_cache_that_requires_redis_says_why_it_does_not_open(void **state)
{
    (void)state;
    prepare(TT_REDIS_TCP);
    tt_redis_door(redis, TT_DOOR_SHUT);
    assert_refuses(CACHE_E_UNAVAILABLE, "refused");

    prepare(TT_REDIS_UNIX);
    tt_redis_freeze(redis, true);
    assert_refuses(CACHE_E_TIMEOUT, "");

    prepare(TT_REDIS_UNIX);
    tt_redis_greet(redis, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, true, false);
    assert_refuses(CACHE_E_PROTOCOL, "not a Redis server");

    prepare(TT_REDIS_UNIX);
    tt_redis_require(redis, NULL, "right");
    assert_refuses(CACHE_E_AUTH, "password");

    prepare(TT_REDIS_UNIX);
    tt_redis_require(redis, "somebody", "right");
    char *url = tt_redis_url_with(redis, "somebody:secret");
    b.opts.l2_url = url;
    assert_refuses(CACHE_E_AUTH, "somebody");
    free(url);

    prepare(TT_REDIS_UNIX);
    tt_redis_answer_error(redis, "PING", "LOADING Redis is loading the dataset in memory");
    assert_refuses(CACHE_E_REFUSED, "LOADING");
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_redis_does_to_reads_they_are_answered_in_time),
        cmocka_unit_test(whatever_redis_does_to_writes_no_old_value_comes_back),
        cmocka_unit_test(whatever_redis_does_to_deletions_no_old_value_comes_back),
        FRESH(out_of_memory_redis_loses_the_old_value_and_keeps_no_new_one),
        FRESH(another_keys_frame_is_never_delivered),
        cmocka_unit_test(a_value_too_long_for_this_process_is_loaded_once_and_replaced),
        cmocka_unit_test(a_value_too_long_disturbs_no_reader_beside_it),
        FRESH(a_hung_redis_costs_no_call_more_than_its_time),
        cmocka_unit_test(what_was_invalidated_during_an_outage_does_not_come_back),
        cmocka_unit_test(a_cache_opens_without_redis_and_finds_it_later),
        cmocka_unit_test(a_cache_that_requires_redis_says_why_it_does_not_open),
    };
    return cmocka_run_group_tests_name("faults: a cache before a bad Redis", tests, NULL, NULL);
}
