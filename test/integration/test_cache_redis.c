/* The whole cache on a real server of the test's own: what two caches share, what lies on the server, what others put
 * there, and a server that is full, locked or not there. test_cache_redis_outage.c kills and stops it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

#include "fake/tt_util.h"
#include "integration/tt_node.h"
#include "tiercache/hooks.h"

enum { FRAME_HEAD = 88, FRAME_SUM = 8, REPLY_BYTES = 256 };

static void tell(struct tt_redis_server *s, const char *command, const char *answer)
{
    char reply[REPLY_BYTES] = "";
    if (!tt_redis_server_ask(s, command, reply, sizeof reply) || strncmp(reply, answer, strlen(answer)) != 0)
        fail_msg("\"%s\" is answered with \"%s\"", command, reply);
}

static void put_raw(redisContext *r, const char *name, const char *data, size_t len)
{
    redisReply *reply = redisCommand(r, "SET %s %b PX 600000", name, data, len);
    assert_true(reply != NULL && reply->type == REDIS_REPLY_STATUS);
    freeReplyObject(reply);
}

/* ---- sharing ---- */

static void two_caches_share_values_through_l2(void **state)
{
    struct tt_redis_server *s = tt_node_server(NULL);
    struct cache_key k;
    struct cache_value v;
    (void)state;
    struct tt_node *a = tt_node_open(s, 0), *b = tt_node_open(s, 0);
    tt_node_assert_missing(b, "x");
    assert_int_equal(tt_node_set(a, "x", "from a"), CACHE_OK);
    tt_node_assert_found(a, "x", "from a", CACHE_TIER_L1);
    tt_node_assert_found(b, "x", "from a", CACHE_TIER_L2);
    tt_node_assert_found(b, "x", "from a", CACHE_TIER_L1);
    assert_int_equal(cache_set_absent(a->c, tt_node_key(&k, a, "nobody"), NULL), CACHE_OK);
    assert_int_equal(cache_get(b->c, tt_node_key(&k, b, "nobody"), NULL, &v), CACHE_ABSENT);
    assert_int_equal(tt_node_set(a, "empty", ""), CACHE_OK);
    tt_node_assert_found(b, "empty", "", CACHE_TIER_L2);
    assert_int_equal(tt_node_invalidate(b, "x"), CACHE_OK);
    tt_node_assert_missing(b, "x");
    assert_int_equal(cache_clear_local(a->c), CACHE_OK);
    tt_node_assert_missing(a, "x");
    tt_node_close(a);
    tt_node_close(b);
    tt_redis_server_free(s);
}

static void a_name_keeps_caches_apart(void **state)
{
    struct tt_redis_server *s = tt_node_server(NULL);
    (void)state;
    struct tt_node *a = tt_node_open(s, 0);
    struct tt_node *b = tt_node_prepare(tt_redis_server_url(s));
    b->opts.name = "shop2";
    assert_int_equal(cache_open(&b->opts, &b->c, b->err, sizeof b->err), CACHE_OK);
    tt_node_register(b, 0);
    assert_int_equal(tt_node_set(a, "x", "a's"), CACHE_OK);
    tt_node_assert_missing(b, "x");
    assert_int_equal(tt_node_invalidate(b, "x"), CACHE_OK);
    assert_int_equal(cache_clear_local(a->c), CACHE_OK);
    tt_node_assert_found(a, "x", "a's", CACHE_TIER_L2);
    tt_node_close(a);
    tt_node_close(b);
    tt_redis_server_free(s);
}

/* FAULTS 56 */
static void l1_never_outlives_what_is_left_on_the_server(void **state)
{
    static const char name[] = "shop:d:{page:x}";
    struct tt_redis_server *s = tt_node_server(NULL);
    char text[TT_NODE_TEXT];
    struct cache_meta m;
    (void)state;
    struct tt_node *a = tt_node_open(s, 0), *b = tt_node_open(s, 0);
    redisContext *r = tt_node_look(s);
    assert_int_equal(tt_node_set(a, "x", "short-lived"), CACHE_OK);
    assert_int_equal(tt_node_ask_number(r, "PEXPIRE %s 700", name), 1);
    long long left_ms = tt_node_ask_number(r, "PTTL %s", name);
    assert_int_equal(tt_node_get(b, "x", 0, text, &m), CACHE_OK);
    assert_int_equal(m.tier, CACHE_TIER_L2);
    assert_in_range(m.ttl_ms, 1, left_ms);
    assert_int_equal(tt_node_get(b, "x", CACHE_CALL_L1_ONLY, text, &m), CACHE_OK);
    assert_in_range(m.ttl_ms, 0, left_ms);
    tt_assert_soon(tt_node_ask_number(r, "EXISTS %s", name) == 0);
    int64_t gone_ms = tt_mono_ms();
    tt_assert_soon(tt_node_get(b, "x", CACHE_CALL_L1_ONLY, text, &m) == CACHE_MISS);
    assert_in_range(tt_mono_ms() - gone_ms, 0, 200);
    redisFree(r);
    tt_node_close(a);
    tt_node_close(b);
    tt_redis_server_free(s);
}

/* ---- names and frames ---- */

static uint64_t number_at(const char *p, size_t bytes)
{
    uint64_t n = 0;
    for (size_t i = bytes; i-- > 0;)
        n = n << 8 | (unsigned char)p[i];
    return n;
}

/* Every field of docs/frame.md, read without the library's help. */
static void assert_frame(const redisReply *reply, const char *encoded, const char *payload)
{
    static const char zeros[16] = { 0 };
    size_t key_len = strlen(encoded), len = strlen(payload);
    assert_int_equal(reply->type, REDIS_REPLY_STRING);
    assert_int_equal(reply->len, FRAME_HEAD + key_len + len + FRAME_SUM);
    const char *p = reply->str;
    assert_memory_equal(p, "TIERCF01", 8);
    assert_memory_equal(p + 8, zeros, 8);
    assert_memory_equal(p + 16, "0000000000000000", 16);
    assert_memory_equal(p + 32, zeros, 12);
    assert_int_equal(number_at(p + 44, 4), key_len);
    assert_int_equal(number_at(p + 48, 4), 0);
    assert_int_equal(number_at(p + 52, 4), 0);
    assert_int_equal(number_at(p + 56, 8), len);
    assert_true(number_at(p + 64, 8) > 1500000000000u);
    assert_int_equal(number_at(p + 72, 8), 0);
    assert_int_equal(number_at(p + 80, 8), TT_NODE_TTL_MS);
    assert_memory_equal(p + FRAME_HEAD, encoded, key_len);
    assert_memory_equal(p + FRAME_HEAD + key_len, payload, len);
    size_t body = FRAME_HEAD + key_len + len;
    assert_true(number_at(p + body, 8) == XXH3_64bits(p, body));
}

static void keys_and_frames_lie_on_the_server_as_documented(void **state)
{
    struct tt_redis_server *s = tt_node_server(NULL);
    char part[300];
    (void)state;
    struct tt_node *n = tt_node_open(s, 0);
    redisContext *r = tt_node_look(s);
    assert_int_equal(tt_node_set(n, "a b", "value"), CACHE_OK);
    redisReply *reply = tt_node_ask(r, "GET %s", "shop:d:{page:a%20b}");
    assert_frame(reply, "page:a%20b", "value");
    freeReplyObject(reply);
    assert_in_range(tt_node_ask_number(r, "PTTL %s", "shop:d:{page:a%20b}"), 1, TT_NODE_TTL_MS);

    /* Too long to go in as it is: the beginning, a tilde, the hash of the whole. */
    char expected[400], encoded[400];
    memset(part, 'y', sizeof part - 1);
    part[sizeof part - 1] = '\0';
    assert_int_equal(tt_node_set(n, part, "long"), CACHE_OK);
    snprintf(encoded, sizeof encoded, "page:%s", part);
    XXH128_hash_t h = XXH3_128bits(encoded, strlen(encoded));
    snprintf(expected, sizeof expected, "shop:d:{%.96s~%016llx%016llx}", encoded, (unsigned long long)h.high64,
             (unsigned long long)h.low64);
    reply = tt_node_ask(r, "GET %s", expected);
    assert_frame(reply, encoded, "long");
    freeReplyObject(reply);
    assert_int_equal(tt_node_ask_number(r, "DBSIZE", NULL), 2);
    redisFree(r);
    tt_node_close(n);
    tt_redis_server_free(s);
}

/* ---- what others put there ---- */

/* FAULTS 24, 57, 58 */
static void foreign_data_under_our_names_is_a_miss_and_counted(void **state)
{
    struct tt_redis_server *s = tt_node_server(NULL);
    (void)state;
    struct tt_node *n = tt_node_open(s, CACHE_TYPE_NO_L1);
    redisContext *r = tt_node_look(s);
    put_raw(r, "shop:d:{page:plain}", "not a frame", 11);
    tt_node_assert_missing(n, "plain");
    assert_int_equal(tt_node_stats(n).l2_bad_frames, 1);

    assert_int_equal(tt_node_ask_number(r, "HSET %s a b", "shop:d:{page:hash}"), 1);
    tt_node_assert_missing(n, "hash");
    assert_int_equal(tt_node_stats(n).l2_err_wrongtype, 1);

    assert_int_equal(tt_node_set(n, "good", "good"), CACHE_OK);
    redisReply *frame = tt_node_ask(r, "GET %s", "shop:d:{page:good}");
    put_raw(r, "shop:d:{page:cut}", frame->str, frame->len - 1);
    tt_node_assert_missing(n, "cut");
    assert_int_equal(tt_node_stats(n).l2_bad_frames, 2);
    put_raw(r, "shop:d:{page:other}", frame->str, frame->len);
    tt_node_assert_missing(n, "other");
    assert_int_equal(tt_node_stats(n).l2_wrong_key, 1);
    frame->str[FRAME_HEAD + 12] ^= 1;
    put_raw(r, "shop:d:{page:good}", frame->str, frame->len);
    tt_node_assert_missing(n, "good");
    assert_int_equal(tt_node_stats(n).l2_bad_frames, 3);
    freeReplyObject(frame);

    /* It was left as it is, and a set of ours replaces it. */
    assert_int_equal(tt_node_ask_number(r, "DBSIZE", NULL), 5);
    static const char *const parts[] = { "plain", "hash", "cut", "other", "good" };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        assert_int_equal(tt_node_set(n, parts[i], "ours"), CACHE_OK);
        tt_node_assert_found(n, parts[i], "ours", CACHE_TIER_L2);
    }
    assert_true(atomic_load(&n->told[CACHE_EVENT_BAD_FRAME]) >= 1);
    assert_int_equal(atomic_load(&n->told[CACHE_EVENT_WRONG_KEY]), 1);
    redisFree(r);
    tt_node_close(n);
    tt_redis_server_free(s);
}

static int load_small(struct cache_load *ld, const struct cache_key *k, void *calls)
{
    (void)k;
    ++*(int *)calls;
    return cache_load_reply(ld, "small", 5);
}

/* FAULTS 52: two processes that share a server need not agree on what is too long. */
static void a_value_too_long_for_this_cache_is_replaced_without_losing_the_connection(void **state)
{
    enum { LONG_BYTES = 4 << 20, AMPLE_MS = 5000 };
    static const char name[] = "shop:d:{page:x}";
    struct tt_redis_server *s = tt_node_server(NULL);
    struct cache_key k;
    (void)state;
    struct tt_node *node[2]; /* the first takes long values */
    for (int i = 0; i < 2; i++) {
        node[i] = tt_node_prepare(tt_redis_server_url(s));
        node[i]->opts.timeout_ms = node[i]->opts.l2_timeout_ms = AMPLE_MS;
        node[i]->opts.max_value_bytes = i == 0 ? 0 : 1000;
        assert_int_equal(cache_open(&node[i]->opts, &node[i]->c, node[i]->err, sizeof node[i]->err), CACHE_OK);
        tt_node_register(node[i], 0);
    }
    redisContext *r = tt_node_look(s);
    void *data = tt_xcalloc(LONG_BYTES);
    assert_int_equal(cache_set(node[0]->c, tt_node_key(&k, node[0], "x"), data, LONG_BYTES, NULL), CACHE_OK);
    assert_true(tt_node_ask_number(r, "STRLEN %s", name) > LONG_BYTES);

    tt_node_assert_missing(node[1], "x");
    int calls = 0;
    struct cache_fetch_opts o = CACHE_FETCH_OPTS_INIT;
    o.load = load_small;
    o.user = &calls;
    for (int i = 0; i < 2; i++) {
        struct cache_value v;
        assert_int_equal(cache_fetch(node[1]->c, tt_node_key(&k, node[1], "x"), &o, &v), CACHE_OK);
        assert_int_equal(v.len, 5);
        assert_int_equal(v.meta.flags, 0);
        cache_value_release(&v);
        assert_int_equal(cache_clear_local(node[1]->c), CACHE_OK);
    }
    assert_int_equal(calls, 1);
    assert_in_range(tt_node_ask_number(r, "STRLEN %s", name), 1, 1000);
    assert_int_equal(cache_clear_local(node[0]->c), CACHE_OK);
    tt_node_assert_found(node[0], "x", "small", CACHE_TIER_L2);
    struct cache_stats stats = tt_node_stats(node[1]);
    assert_int_equal(stats.l2_err_wrongtype, 2);
    assert_int_equal(stats.l2_err_protocol, 0);
    assert_int_equal(stats.l2_reconnects, 0);
    assert_true(tt_alloc_counts(&node[1]->alloc).peak_bytes < LONG_BYTES);
    free(data);
    redisFree(r);
    tt_node_close(node[0]);
    tt_node_close(node[1]);
    tt_redis_server_free(s);
}

/* ---- full, locked, not there ---- */

/* FAULTS 19 */
static void a_full_server_refuses_values_and_takes_invalidations(void **state)
{
    static const char *const args[] = { "--maxmemory-policy", "noeviction", NULL };
    struct tt_redis_server *s = tt_node_server(args);
    (void)state;
    struct tt_node *n = tt_node_open(s, 0);
    redisContext *r = tt_node_look(s);
    assert_int_equal(tt_node_set(n, "x", "old"), CACHE_OK);
    assert_int_equal(tt_node_set(n, "z", "z"), CACHE_OK);
    tell(s, "CONFIG SET maxmemory 1", "+OK");
    assert_int_equal(tt_node_set(n, "x", "new"), CACHE_QUEUED);
    tt_node_assert_found(n, "x", "new", CACHE_TIER_L1);
    assert_true(tt_node_stats(n).l2_err_oom > 0);
    tt_assert_soon(tt_node_stats(n).recovery_pending == 0);
    assert_int_equal(tt_node_ask_number(r, "EXISTS %s", "shop:d:{page:x}"), 0);
    assert_int_equal(tt_node_invalidate(n, "z"), CACHE_OK);
    assert_int_equal(tt_node_ask_number(r, "EXISTS %s", "shop:d:{page:z}"), 0);
    tell(s, "CONFIG SET maxmemory 0", "+OK");
    assert_int_equal(tt_node_set(n, "x", "newest"), CACHE_OK);
    assert_int_equal(cache_clear_local(n->c), CACHE_OK);
    tt_node_assert_found(n, "x", "newest", CACHE_TIER_L2);
    redisFree(r);
    tt_node_close(n);
    tt_redis_server_free(s);
}

/* FAULTS 1 */
static void who_requires_a_server_is_told_that_there_is_none(void **state)
{
    char *path = tt_temp_path("nobody"), url[REPLY_BYTES];
    (void)state;
    snprintf(url, sizeof url, "unix://%s", path);
    free(path);
    struct tt_node *n = tt_node_prepare(url);
    n->opts.flags = CACHE_OPEN_REQUIRE_L2;
    n->opts.connect_timeout_ms = 300;
    int rc = cache_open(&n->opts, &n->c, n->err, sizeof n->err);
    assert_true(rc == CACHE_E_UNAVAILABLE || rc == CACHE_E_TIMEOUT);
    assert_null(n->c);
    assert_true(strlen(n->err) > 0);
    tt_node_close(n);
}

/* FAULTS 5 */
static void a_wrong_password_is_told_without_telling_it(void **state)
{
    static const char *const args[] = { "--requirepass", "open-sesame", NULL };
    struct tt_redis_server *s = tt_node_server(args);
    (void)state;
    char *wrong = tt_redis_server_url_with(s, ":wrong-sesame"), *right = tt_redis_server_url_with(s, ":open-sesame");
    struct tt_node *n = tt_node_prepare(wrong);
    n->opts.flags = CACHE_OPEN_REQUIRE_L2;
    assert_int_equal(cache_open(&n->opts, &n->c, n->err, sizeof n->err), CACHE_E_AUTH);
    assert_true(strlen(n->err) > 0);
    assert_null(strstr(n->err, "sesame"));
    tt_node_close(n);
    n = tt_node_prepare(right);
    n->opts.flags = CACHE_OPEN_REQUIRE_L2;
    assert_int_equal(cache_open(&n->opts, &n->c, n->err, sizeof n->err), CACHE_OK);
    tt_node_close(n);
    free(wrong);
    free(right);
    tt_redis_server_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_caches_share_values_through_l2),
        cmocka_unit_test(a_name_keeps_caches_apart),
        cmocka_unit_test(l1_never_outlives_what_is_left_on_the_server),
        cmocka_unit_test(keys_and_frames_lie_on_the_server_as_documented),
        cmocka_unit_test(foreign_data_under_our_names_is_a_miss_and_counted),
        cmocka_unit_test(a_value_too_long_for_this_cache_is_replaced_without_losing_the_connection),
        cmocka_unit_test(a_full_server_refuses_values_and_takes_invalidations),
        cmocka_unit_test(who_requires_a_server_is_told_that_there_is_none),
        cmocka_unit_test(a_wrong_password_is_told_without_telling_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
