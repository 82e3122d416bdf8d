/* The whole cache on a real server of the test's own, which is killed, stopped, filled up, locked, and used by others
 * under our names. What lies in it is looked at through a connection of hiredis, not through the library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>
#include <xxhash.h>

#include "fake/tt_alloc.h"
#include "fake/tt_redis_server.h"
#include "fake/tt_util.h"
#include "tiercache.h"
#include "tiercache/hooks.h"

enum { TEXT = 128, KEYS = 64, THREADS = 4, TIMEOUT_MS = 1000, L2_TIMEOUT_MS = 200, SLACK_MS = 1000, TTL_MS = 600000 };
enum { FRAME_HEAD = 88, FRAME_SUM = 8, REPLY_BYTES = 256 };

/* A cache as a process would have it. */
struct node {
    struct tt_alloc alloc;
    struct cache_opts opts;
    struct cache *c;
    struct cache_type *t;
    _Atomic unsigned told[16]; /* events by kind */
    char err[256];
};

/* ---- helpers ---- */

static void count_event(void *ctx, const struct cache_event *e)
{
    struct node *n = ctx;
    atomic_fetch_add(&n->told[e->kind % 16], 1);
}

static const struct cache_event_ops events = { CACHE_HOOKS_ABI, count_event };

static struct node *prepare(const char *url)
{
    struct node *n = tt_xcalloc(sizeof *n);
    tt_alloc_init(&n->alloc);
    n->opts = (struct cache_opts)CACHE_OPTS_INIT;
    n->opts.name = "shop";
    n->opts.l2_url = url;
    n->opts.timeout_ms = TIMEOUT_MS;
    n->opts.l2_timeout_ms = L2_TIMEOUT_MS;
    n->opts.alloc = &tt_alloc_ops;
    n->opts.alloc_ctx = &n->alloc;
    n->opts.events = &events;
    n->opts.events_ctx = n;
    return n;
}

static void register_type(struct node *n, uint32_t flags)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    o.name = "page";
    o.flags = flags;
    o.ttl_ms = TTL_MS;
    assert_int_equal(cache_type_register(n->c, &o, &n->t), CACHE_OK);
}

static struct node *open_on(struct tt_redis_server *s, uint32_t type_flags)
{
    struct node *n = prepare(tt_redis_server_url(s));
    n->opts.flags = CACHE_OPEN_REQUIRE_L2;
    int rc = cache_open(&n->opts, &n->c, n->err, sizeof n->err);
    if (rc != CACHE_OK)
        fail_msg("no cache: %d, %s", rc, n->err);
    register_type(n, type_flags);
    return n;
}

static void close_node(struct node *n)
{
    if (n->c != NULL)
        assert_int_equal(cache_close(n->c, TT_SOON_MS), CACHE_OK);
    assert_true(tt_alloc_is_clean(&n->alloc));
    tt_alloc_fini(&n->alloc);
    free(n);
}

static struct tt_redis_server *start(const char *const *args)
{
    struct tt_redis_server *s = tt_redis_server_start(false, args);
    if (s == NULL)
        skip(); /* the server's support printed why */
    return s;
}

static struct cache_key *key(struct cache_key *k, const struct node *n, const char *part)
{
    return cache_key_str(cache_key_init(k, n->t), part);
}

static int set(struct node *n, const char *part, const char *text)
{
    struct cache_key k;
    int rc = cache_set(n->c, key(&k, n, part), text, strlen(text), NULL);
    cache_key_fini(&k); /* some parts are long */
    return rc;
}

static int invalidate(struct node *n, const char *part)
{
    struct cache_key k;
    return cache_invalidate(n->c, key(&k, n, part), NULL);
}

static int get_with(struct node *n, const char *part, uint32_t flags, char *text, struct cache_meta *m)
{
    struct cache_key k;
    struct cache_value v;
    struct cache_call o = CACHE_CALL_INIT;
    o.flags = flags;
    int rc = cache_get(n->c, key(&k, n, part), &o, &v);
    text[0] = '\0';
    if (rc == CACHE_OK)
        snprintf(text, TEXT, "%.*s", (int)v.len, (const char *)v.data);
    *m = v.meta;
    cache_value_release(&v);
    return rc;
}

static void assert_found(struct node *n, const char *part, const char *text, uint32_t tier)
{
    char found[TEXT];
    struct cache_meta m;
    assert_int_equal(get_with(n, part, 0, found, &m), CACHE_OK);
    assert_string_equal(found, text);
    assert_int_equal(m.tier, tier);
}

static void assert_missing(struct node *n, const char *part)
{
    char found[TEXT];
    struct cache_meta m;
    assert_int_equal(get_with(n, part, 0, found, &m), CACHE_MISS);
}

static struct cache_stats stats(struct node *n)
{
    struct cache_stats st;
    assert_int_equal(cache_stats_read(n->c, NULL, &st, sizeof st), CACHE_OK);
    return st;
}

static void tell(struct tt_redis_server *s, const char *command, const char *answer)
{
    char reply[REPLY_BYTES] = "";
    if (!tt_redis_server_ask(s, command, reply, sizeof reply) || strncmp(reply, answer, strlen(answer)) != 0)
        fail_msg("\"%s\" is answered with \"%s\"", command, reply);
}

/* ---- the other eye: what the server says without the library ---- */

static redisContext *look(struct tt_redis_server *s)
{
    redisContext *r = redisConnectUnix(tt_redis_server_url(s) + strlen("unix://"));
    assert_true(r != NULL && r->err == 0);
    return r;
}

static redisReply *ask(redisContext *r, const char *format, const char *name)
{
    redisReply *reply = redisCommand(r, format, name);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s", reply->str);
    return reply;
}

static long long ask_number(redisContext *r, const char *format, const char *name)
{
    redisReply *reply = ask(r, format, name);
    assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
    long long n = reply->integer;
    freeReplyObject(reply);
    return n;
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
    struct tt_redis_server *s = start(NULL);
    struct cache_key k;
    struct cache_value v;
    (void)state;
    struct node *a = open_on(s, 0), *b = open_on(s, 0);
    assert_missing(b, "x");
    assert_int_equal(set(a, "x", "from a"), CACHE_OK);
    assert_found(a, "x", "from a", CACHE_TIER_L1);
    assert_found(b, "x", "from a", CACHE_TIER_L2);
    assert_found(b, "x", "from a", CACHE_TIER_L1);
    assert_int_equal(cache_set_absent(a->c, key(&k, a, "nobody"), NULL), CACHE_OK);
    assert_int_equal(cache_get(b->c, key(&k, b, "nobody"), NULL, &v), CACHE_ABSENT);
    assert_int_equal(set(a, "empty", ""), CACHE_OK);
    assert_found(b, "empty", "", CACHE_TIER_L2);
    assert_int_equal(invalidate(b, "x"), CACHE_OK);
    assert_missing(b, "x");
    assert_int_equal(cache_clear_local(a->c), CACHE_OK);
    assert_missing(a, "x");
    close_node(a);
    close_node(b);
    tt_redis_server_free(s);
}

static void a_name_keeps_caches_apart(void **state)
{
    struct tt_redis_server *s = start(NULL);
    (void)state;
    struct node *a = open_on(s, 0);
    struct node *b = prepare(tt_redis_server_url(s));
    b->opts.name = "shop2";
    assert_int_equal(cache_open(&b->opts, &b->c, b->err, sizeof b->err), CACHE_OK);
    register_type(b, 0);
    assert_int_equal(set(a, "x", "a's"), CACHE_OK);
    assert_missing(b, "x");
    assert_int_equal(invalidate(b, "x"), CACHE_OK);
    assert_int_equal(cache_clear_local(a->c), CACHE_OK);
    assert_found(a, "x", "a's", CACHE_TIER_L2);
    close_node(a);
    close_node(b);
    tt_redis_server_free(s);
}

/* FAULTS 56 */
static void l1_never_outlives_what_is_left_on_the_server(void **state)
{
    static const char name[] = "shop:d:{page:x}";
    struct tt_redis_server *s = start(NULL);
    char text[TEXT];
    struct cache_meta m;
    (void)state;
    struct node *a = open_on(s, 0), *b = open_on(s, 0);
    redisContext *r = look(s);
    assert_int_equal(set(a, "x", "short-lived"), CACHE_OK);
    assert_int_equal(ask_number(r, "PEXPIRE %s 700", name), 1);
    long long left_ms = ask_number(r, "PTTL %s", name);
    assert_int_equal(get_with(b, "x", 0, text, &m), CACHE_OK);
    assert_int_equal(m.tier, CACHE_TIER_L2);
    assert_in_range(m.ttl_ms, 1, left_ms);
    assert_int_equal(get_with(b, "x", CACHE_CALL_L1_ONLY, text, &m), CACHE_OK);
    assert_in_range(m.ttl_ms, 0, left_ms);
    tt_assert_soon(ask_number(r, "EXISTS %s", name) == 0);
    int64_t gone_ms = tt_mono_ms();
    tt_assert_soon(get_with(b, "x", CACHE_CALL_L1_ONLY, text, &m) == CACHE_MISS);
    assert_in_range(tt_mono_ms() - gone_ms, 0, 200);
    redisFree(r);
    close_node(a);
    close_node(b);
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
    assert_int_equal(number_at(p + 80, 8), TTL_MS);
    assert_memory_equal(p + FRAME_HEAD, encoded, key_len);
    assert_memory_equal(p + FRAME_HEAD + key_len, payload, len);
    size_t body = FRAME_HEAD + key_len + len;
    assert_true(number_at(p + body, 8) == XXH3_64bits(p, body));
}

static void keys_and_frames_lie_on_the_server_as_documented(void **state)
{
    struct tt_redis_server *s = start(NULL);
    char part[300];
    (void)state;
    struct node *n = open_on(s, 0);
    redisContext *r = look(s);
    assert_int_equal(set(n, "a b", "value"), CACHE_OK);
    redisReply *reply = ask(r, "GET %s", "shop:d:{page:a%20b}");
    assert_frame(reply, "page:a%20b", "value");
    freeReplyObject(reply);
    assert_in_range(ask_number(r, "PTTL %s", "shop:d:{page:a%20b}"), 1, TTL_MS);

    /* Too long to go in as it is: the beginning, a tilde, the hash of the whole. */
    char expected[400], encoded[400];
    memset(part, 'y', sizeof part - 1);
    part[sizeof part - 1] = '\0';
    assert_int_equal(set(n, part, "long"), CACHE_OK);
    snprintf(encoded, sizeof encoded, "page:%s", part);
    XXH128_hash_t h = XXH3_128bits(encoded, strlen(encoded));
    snprintf(expected, sizeof expected, "shop:d:{%.96s~%016llx%016llx}", encoded, (unsigned long long)h.high64,
             (unsigned long long)h.low64);
    reply = ask(r, "GET %s", expected);
    assert_frame(reply, encoded, "long");
    freeReplyObject(reply);
    assert_int_equal(ask_number(r, "DBSIZE", NULL), 2);
    redisFree(r);
    close_node(n);
    tt_redis_server_free(s);
}

/* ---- what others put there ---- */

/* FAULTS 24, 57, 58 */
static void foreign_data_under_our_names_is_a_miss_and_counted(void **state)
{
    struct tt_redis_server *s = start(NULL);
    (void)state;
    struct node *n = open_on(s, CACHE_TYPE_NO_L1);
    redisContext *r = look(s);
    put_raw(r, "shop:d:{page:plain}", "not a frame", 11);
    assert_missing(n, "plain");
    assert_int_equal(stats(n).l2_bad_frames, 1);

    assert_int_equal(ask_number(r, "HSET %s a b", "shop:d:{page:hash}"), 1);
    assert_missing(n, "hash");
    assert_int_equal(stats(n).l2_err_wrongtype, 1);

    assert_int_equal(set(n, "good", "good"), CACHE_OK);
    redisReply *frame = ask(r, "GET %s", "shop:d:{page:good}");
    put_raw(r, "shop:d:{page:cut}", frame->str, frame->len - 1);
    assert_missing(n, "cut");
    assert_int_equal(stats(n).l2_bad_frames, 2);
    put_raw(r, "shop:d:{page:other}", frame->str, frame->len);
    assert_missing(n, "other");
    assert_int_equal(stats(n).l2_wrong_key, 1);
    frame->str[FRAME_HEAD + 12] ^= 1;
    put_raw(r, "shop:d:{page:good}", frame->str, frame->len);
    assert_missing(n, "good");
    assert_int_equal(stats(n).l2_bad_frames, 3);
    freeReplyObject(frame);

    /* It was left as it is, and a set of ours replaces it. */
    assert_int_equal(ask_number(r, "DBSIZE", NULL), 5);
    static const char *const parts[] = { "plain", "hash", "cut", "other", "good" };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        assert_int_equal(set(n, parts[i], "ours"), CACHE_OK);
        assert_found(n, parts[i], "ours", CACHE_TIER_L2);
    }
    assert_true(atomic_load(&n->told[CACHE_EVENT_BAD_FRAME]) >= 1);
    assert_int_equal(atomic_load(&n->told[CACHE_EVENT_WRONG_KEY]), 1);
    redisFree(r);
    close_node(n);
    tt_redis_server_free(s);
}

/* ---- killed and stopped under load ---- */

struct load {
    struct node *n;
    uint64_t seed;
    _Atomic bool over;
    _Atomic unsigned calls, degraded, l2_hits;
};

static int reply_own(struct cache_load *ld, const struct cache_key *k, void *user)
{
    char text[TEXT];
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
        char expected[TEXT];
        unsigned number = (unsigned)(tt_random(&random) % KEYS);
        snprintf(expected, sizeof expected, "page:%u!", number);
        o.load = reply_own;
        cache_key_u64(cache_key_init(&k, l->n->t), number);
        int64_t began_ms = tt_mono_ms();
        int status = cache_fetch(l->n->c, &k, &o, &v);
        TT_CHECK(failures, tt_mono_ms() - began_ms <= TIMEOUT_MS + SLACK_MS);
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
    struct tt_redis_server *s = start(NULL);
    struct node *n = open_on(s, CACHE_TYPE_NO_L1); /* every fetch asks the server */
    struct load l = { .n = n, .seed = tt_seed() };
    struct tt_crew *crew = tt_crew_start(THREADS, fetch_and_check, &l);
    await_more(&l.l2_hits, 200);
    for (unsigned i = 0; i < times; i++) {
        hurt(s, &l);
        tt_assert_soon(stats(n).l2_state == 3);
        await_more(&l.l2_hits, 200);
    }
    atomic_store(&l.over, true);
    assert_int_equal(tt_crew_join(crew), 0);
    tt_assert_soon(stats(n).recovery_pending == 0); /* fills whose answer was lost */
    close_node(n);
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
    struct tt_redis_server *s = start(NULL);
    (void)state;
    struct node *n = open_on(s, 0), *other = open_on(s, 0);
    redisContext *r = look(s);
    assert_int_equal(set(n, "x", "old"), CACHE_OK);
    tt_redis_server_stop(s);
    assert_int_equal(invalidate(n, "x"), CACHE_QUEUED);
    assert_missing(n, "x");
    assert_int_equal(stats(n).recovery_pending, 1);
    tt_redis_server_cont(s);
    tt_assert_soon(stats(n).l2_state == 3 && stats(n).recovery_pending == 0);
    assert_int_equal(ask_number(r, "EXISTS %s", "shop:d:{page:x}"), 0);
    assert_missing(n, "x");
    assert_missing(other, "x");
    assert_int_equal(stats(n).recovery_replayed, 1);
    redisFree(r);
    close_node(n);
    close_node(other);
    tt_redis_server_free(s);
}

/* FAULTS 10 */
static void an_invalidation_made_while_it_was_dead_is_sent_before_it_is_read(void **state)
{
    struct tt_redis_server *s = start(NULL);
    (void)state;
    struct node *n = open_on(s, 0);
    assert_int_equal(set(n, "x", "old"), CACHE_OK);
    tt_redis_server_kill(s);
    assert_int_equal(invalidate(n, "x"), CACHE_QUEUED);
    assert_int_equal(set(n, "y", "new"), CACHE_QUEUED);
    assert_found(n, "y", "new", CACHE_TIER_L1);
    assert_missing(n, "x");
    tt_redis_server_restart(s);
    tt_assert_soon(stats(n).l2_state == 3 && stats(n).recovery_pending == 0);
    assert_int_equal(stats(n).recovery_replayed, 2);
    assert_true(atomic_load(&n->told[CACHE_EVENT_L2_DOWN]) >= 1);
    tt_assert_soon(atomic_load(&n->told[CACHE_EVENT_RECOVERY_DONE]) >= 1);
    assert_missing(n, "x");
    assert_found(n, "y", "new", CACHE_TIER_L1);
    assert_int_equal(set(n, "y", "newer"), CACHE_OK);
    close_node(n);
    tt_redis_server_free(s);
}

/* ---- full, locked, not there ---- */

/* FAULTS 19 */
static void a_full_server_refuses_values_and_takes_invalidations(void **state)
{
    static const char *const args[] = { "--maxmemory-policy", "noeviction", NULL };
    struct tt_redis_server *s = start(args);
    (void)state;
    struct node *n = open_on(s, 0);
    redisContext *r = look(s);
    assert_int_equal(set(n, "x", "old"), CACHE_OK);
    assert_int_equal(set(n, "z", "z"), CACHE_OK);
    tell(s, "CONFIG SET maxmemory 1", "+OK");
    assert_int_equal(set(n, "x", "new"), CACHE_QUEUED);
    assert_found(n, "x", "new", CACHE_TIER_L1);
    assert_true(stats(n).l2_err_oom > 0);
    tt_assert_soon(stats(n).recovery_pending == 0);
    assert_int_equal(ask_number(r, "EXISTS %s", "shop:d:{page:x}"), 0);
    assert_int_equal(invalidate(n, "z"), CACHE_OK);
    assert_int_equal(ask_number(r, "EXISTS %s", "shop:d:{page:z}"), 0);
    tell(s, "CONFIG SET maxmemory 0", "+OK");
    assert_int_equal(set(n, "x", "newest"), CACHE_OK);
    assert_int_equal(cache_clear_local(n->c), CACHE_OK);
    assert_found(n, "x", "newest", CACHE_TIER_L2);
    redisFree(r);
    close_node(n);
    tt_redis_server_free(s);
}

/* FAULTS 1 */
static void who_requires_a_server_is_told_that_there_is_none(void **state)
{
    char *path = tt_temp_path("nobody"), url[REPLY_BYTES];
    (void)state;
    snprintf(url, sizeof url, "unix://%s", path);
    free(path);
    struct node *n = prepare(url);
    n->opts.flags = CACHE_OPEN_REQUIRE_L2;
    n->opts.connect_timeout_ms = 300;
    int rc = cache_open(&n->opts, &n->c, n->err, sizeof n->err);
    assert_true(rc == CACHE_E_UNAVAILABLE || rc == CACHE_E_TIMEOUT);
    assert_null(n->c);
    assert_true(strlen(n->err) > 0);
    close_node(n);
}

/* FAULTS 5 */
static void a_wrong_password_is_told_without_telling_it(void **state)
{
    static const char *const args[] = { "--requirepass", "open-sesame", NULL };
    struct tt_redis_server *s = start(args);
    (void)state;
    char *wrong = tt_redis_server_url_with(s, ":wrong-sesame"), *right = tt_redis_server_url_with(s, ":open-sesame");
    struct node *n = prepare(wrong);
    n->opts.flags = CACHE_OPEN_REQUIRE_L2;
    assert_int_equal(cache_open(&n->opts, &n->c, n->err, sizeof n->err), CACHE_E_AUTH);
    assert_true(strlen(n->err) > 0);
    assert_null(strstr(n->err, "sesame"));
    close_node(n);
    n = prepare(right);
    n->opts.flags = CACHE_OPEN_REQUIRE_L2;
    assert_int_equal(cache_open(&n->opts, &n->c, n->err, sizeof n->err), CACHE_OK);
    close_node(n);
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
        cmocka_unit_test(killed_under_load_every_fetch_is_answered_and_recovery_needs_nobody),
        cmocka_unit_test(stopped_under_load_every_fetch_is_answered_and_recovery_needs_nobody),
        cmocka_unit_test(an_invalidation_made_while_it_was_stopped_reaches_the_server),
        cmocka_unit_test(an_invalidation_made_while_it_was_dead_is_sent_before_it_is_read),
        cmocka_unit_test(a_full_server_refuses_values_and_takes_invalidations),
        cmocka_unit_test(who_requires_a_server_is_told_that_there_is_none),
        cmocka_unit_test(a_wrong_password_is_told_without_telling_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
