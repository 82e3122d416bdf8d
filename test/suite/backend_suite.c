/* Every test has a backend of its own, driven through tt_host. A test that needs time to pass moves the subject's clock
 * if it has one; otherwise it takes short lives and waits for the condition, up to five seconds. */
#include "backend_suite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_host.h"
#include "fake/tt_util.h"
#include "tiercache.h"

enum { CALL_MS = 3000, LONG_TTL_MS = 600000, SHORT_TTL_MS = 40, BATCH_MAX = 100, BIG_KEY = 65536 };

static const struct tt_subject *subject;

struct fixture {
    struct tt_host host;
    void *ctx;
};

/* ---- set up, tear down ---- */

static int setup(void **state)
{
    struct fixture *f = tt_xcalloc(sizeof(*f));
    const struct cache_backend_ops *ops;
    *state = f;
    if (!subject->make(subject->arg, &ops, &f->ctx))
        return -1;
    if (tt_host_open(&f->host, ops, f->ctx, subject->clock) < 0)
        return -1;
    return tt_host_await_health(&f->host, CACHE_BACKEND_UP) ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    bool clean = tt_host_close(&f->host);
    if (subject->unmake)
        subject->unmake(subject->arg, f->ctx);
    free(f);
    return clean ? 0 : -1;
}

/* ---- calls ---- */

static struct cache_slice slice(const void *data, size_t len)
{
    return (struct cache_slice){data, len};
}

static struct cache_slice text(const char *s)
{
    return slice(s, strlen(s));
}

static int64_t soon(struct fixture *f)
{
    return tt_host_in_ms(&f->host, CALL_MS);
}

static int set_for(struct fixture *f, struct cache_slice key, struct cache_slice data, int64_t ttl_ms)
{
    return f->host.ops->set(f->ctx, key, data, ttl_ms, soon(f));
}

static int set(struct fixture *f, struct cache_slice key, struct cache_slice data)
{
    return set_for(f, key, data, LONG_TTL_MS);
}

static int del(struct fixture *f, struct cache_slice key)
{
    return f->host.ops->del(f->ctx, key, soon(f));
}

static int get(struct fixture *f, struct cache_slice key, struct cache_backend_value *v)
{
    memset(v, 0, sizeof(*v));
    return f->host.ops->get(f->ctx, key, soon(f), v);
}

static bool is_there(struct fixture *f, struct cache_slice key)
{
    struct cache_backend_value v;
    int status = get(f, key, &v);
    if (status == CACHE_OK)
        tt_host_value_free(&f->host, &v);
    return status == CACHE_OK;
}

static bool same_bytes(const struct cache_backend_value *v, struct cache_slice want)
{
    return v->len == want.len && (want.len == 0 || memcmp(v->data, want.data, want.len) == 0);
}

static void assert_holds(struct fixture *f, struct cache_slice key, struct cache_slice want)
{
    struct cache_backend_value v;
    assert_int_equal(get(f, key, &v), CACHE_OK);
    assert_true(same_bytes(&v, want));
    tt_host_value_free(&f->host, &v);
}

static void assert_misses(struct fixture *f, struct cache_slice key)
{
    struct cache_backend_value v;
    assert_int_equal(get(f, key, &v), CACHE_MISS);
}

/* The optional slots as the cache completes them. */
static void set_many(struct fixture *f, struct cache_backend_item *it, size_t n, int64_t deadline_ms)
{
    const struct cache_backend_ops *ops = f->host.ops;
    if (ops->set_many) {
        ops->set_many(f->ctx, it, n, deadline_ms);
        return;
    }
    for (size_t i = 0; i < n; i++)
        it[i].status = ops->set(f->ctx, it[i].key, it[i].data, it[i].ttl_ms, deadline_ms);
}

static void del_many(struct fixture *f, struct cache_backend_item *it, size_t n, int64_t deadline_ms)
{
    const struct cache_backend_ops *ops = f->host.ops;
    if (ops->del_many) {
        ops->del_many(f->ctx, it, n, deadline_ms);
        return;
    }
    for (size_t i = 0; i < n; i++)
        it[i].status = ops->del(f->ctx, it[i].key, deadline_ms);
}

/* len bytes that follow from salt and hold every byte value. */
static unsigned char *make_bytes(size_t len, unsigned salt)
{
    unsigned char *p = tt_xmalloc(len);
    for (size_t i = 0; i < len; i++)
        p[i] = (unsigned char)(i + (i >> 8) * 31 + salt * 17);
    return p;
}

/* ---- tests: one key ---- */

static void get_of_nothing_is_a_miss(void **state)
{
    struct fixture *f = *state;
    assert_misses(f, text("nothing"));
}

static void a_value_comes_back_as_it_was_set(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 100, 16383, 16384, 16385, 102400, 1048576, 1048577};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char key[32];
        snprintf(key, sizeof(key), "size:%zu", sizes[i]);
        unsigned char *bytes = make_bytes(sizes[i], (unsigned)i);
        if (!subject->max_value || sizes[i] <= subject->max_value) {
            assert_int_equal(set(f, text(key), slice(bytes, sizes[i])), CACHE_OK);
            assert_holds(f, text(key), slice(bytes, sizes[i]));
        }
        free(bytes);
    }
}

static void an_empty_value_is_no_miss(void **state)
{
    struct fixture *f = *state;
    struct cache_backend_value v;
    assert_int_equal(set(f, text("empty"), slice(NULL, 0)), CACHE_OK);
    assert_int_equal(get(f, text("empty"), &v), CACHE_OK);
    assert_int_equal(v.len, 0);
    assert_null(v.data);
}

static void every_byte_value_is_kept_in_a_value(void **state)
{
    struct fixture *f = *state;
    for (unsigned c = 0; c < 256; c++) {
        unsigned char bytes[3] = {(unsigned char)c, '\r', '\n'};
        assert_int_equal(set(f, text("byte"), slice(bytes, sizeof(bytes))), CACHE_OK);
        assert_holds(f, text("byte"), slice(bytes, sizeof(bytes)));
    }
}

static const struct cache_slice odd_keys[] = {
    {"a", 1},         {"\0", 1},        {"\0\0", 2},       {"a\0b", 3},    {"a\0c", 3},
    {"a\r\nb", 4},    {"\r\n", 2},      {"{}", 2},         {"{a}", 3},     {"a{b}c", 5},
    {":", 1},         {"::", 2},        {"a:b", 3},        {"a:b:", 4},    {"%", 1},
    {"%00", 3},       {"\xff", 1},      {"\xff\xff", 2},   {" ", 1},       {"\xc3\xa9", 2},
    {"*1\r\n$4\r\nPING\r\n", 14},       {"a ", 2},         {"*", 1},       {"?", 1},
};
enum { N_ODD_KEYS = sizeof(odd_keys) / sizeof(odd_keys[0]) };

static void keys_may_hold_any_bytes_and_are_never_confused(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < N_ODD_KEYS; i++)
        assert_int_equal(set(f, odd_keys[i], slice(&i, sizeof(i))), CACHE_OK);
    for (size_t i = 0; i < N_ODD_KEYS; i++)
        assert_holds(f, odd_keys[i], slice(&i, sizeof(i)));
    for (size_t i = 0; i < N_ODD_KEYS; i++) {
        assert_int_equal(del(f, odd_keys[i]), CACHE_OK);
        assert_misses(f, odd_keys[i]);
        if (i + 1 < N_ODD_KEYS) {
            size_t next = i + 1;
            assert_holds(f, odd_keys[next], slice(&next, sizeof(next)));
        }
    }
}

/* They differ in the last byte only, so a backend that hashes long keys must hash all of them. */
static void long_keys_are_kept_and_never_confused(void **state)
{
    static const size_t lens[] = {200, 255, 256, 1024, 16384, BIG_KEY, CACHE_KEY_MAX_BYTES};
    struct fixture *f = *state;
    char *key = tt_xmalloc(CACHE_KEY_MAX_BYTES);
    memset(key, 'k', CACHE_KEY_MAX_BYTES);
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        char *last = &key[lens[i] - 1];
        *last = 'A';
        assert_int_equal(set(f, slice(key, lens[i]), text("ends in A")), CACHE_OK);
        *last = 'B';
        assert_misses(f, slice(key, lens[i]));
        assert_int_equal(set(f, slice(key, lens[i]), text("ends in B")), CACHE_OK);
        assert_holds(f, slice(key, lens[i]), text("ends in B"));
        *last = 'A';
        assert_holds(f, slice(key, lens[i]), text("ends in A"));
        assert_int_equal(del(f, slice(key, lens[i])), CACHE_OK);
        assert_misses(f, slice(key, lens[i]));
        *last = 'k';
    }
    free(key);
}

static void every_byte_value_is_kept_in_a_key(void **state)
{
    struct fixture *f = *state;
    for (unsigned c = 0; c < 256; c++) {
        unsigned char key[2] = {'x', (unsigned char)c};
        assert_int_equal(set(f, slice(key, 2), slice(&c, sizeof(c))), CACHE_OK);
    }
    for (unsigned c = 0; c < 256; c++) {
        unsigned char key[2] = {'x', (unsigned char)c};
        assert_holds(f, slice(key, 2), slice(&c, sizeof(c)));
    }
}

static void the_last_set_wins(void **state)
{
    struct fixture *f = *state;
    unsigned char *big = make_bytes(102400, 3);
    assert_int_equal(set(f, text("k"), text("first")), CACHE_OK);
    assert_int_equal(set(f, text("k"), slice(big, 102400)), CACHE_OK);
    assert_holds(f, text("k"), slice(big, 102400));
    assert_int_equal(set(f, text("k"), text("3")), CACHE_OK);
    assert_holds(f, text("k"), text("3"));
    free(big);
}

static void del_deletes_and_del_of_nothing_is_ok(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(del(f, text("k")), CACHE_OK);
    assert_int_equal(set(f, text("k"), text("v")), CACHE_OK);
    assert_int_equal(set(f, text("kk"), text("other")), CACHE_OK);
    assert_int_equal(del(f, text("k")), CACHE_OK);
    assert_misses(f, text("k"));
    assert_holds(f, text("kk"), text("other"));
    assert_int_equal(del(f, text("k")), CACHE_OK);
}

/* ---- tests: lifetimes ---- */

static bool has_ttl(const struct fixture *f)
{
    return f->host.ops->capabilities & CACHE_BACKEND_CAP_TTL;
}

static void what_is_left_of_a_life_is_told(void **state)
{
    struct fixture *f = *state;
    struct cache_backend_value v;
    assert_int_equal(set_for(f, text("k"), text("v"), LONG_TTL_MS), CACHE_OK);
    assert_int_equal(get(f, text("k"), &v), CACHE_OK);
    if (has_ttl(f)) {
        assert_in_range(v.ttl_ms, 1, LONG_TTL_MS);
        assert_true(v.ttl_ms > LONG_TTL_MS - 60000);
    } else {
        assert_true(v.ttl_ms == CACHE_TTL_NONE);
    }
    tt_host_value_free(&f->host, &v);
}

static void forever_is_told_as_forever(void **state)
{
    struct fixture *f = *state;
    struct cache_backend_value v;
    assert_int_equal(set_for(f, text("k"), text("v"), CACHE_TTL_FOREVER), CACHE_OK);
    assert_int_equal(get(f, text("k"), &v), CACHE_OK);
    if (has_ttl(f))
        assert_true(v.ttl_ms == CACHE_TTL_FOREVER);
    tt_host_value_free(&f->host, &v);
}

static void a_set_replaces_the_life_as_well(void **state)
{
    struct fixture *f = *state;
    struct cache_backend_value v;
    assert_int_equal(set_for(f, text("k"), text("v"), CACHE_TTL_FOREVER), CACHE_OK);
    assert_int_equal(set_for(f, text("k"), text("v"), LONG_TTL_MS), CACHE_OK);
    assert_int_equal(get(f, text("k"), &v), CACHE_OK);
    if (has_ttl(f))
        assert_in_range(v.ttl_ms, 1, LONG_TTL_MS);
    tt_host_value_free(&f->host, &v);
    assert_int_equal(set_for(f, text("k"), text("v"), CACHE_TTL_FOREVER), CACHE_OK);
    assert_int_equal(get(f, text("k"), &v), CACHE_OK);
    if (has_ttl(f))
        assert_true(v.ttl_ms == CACHE_TTL_FOREVER);
    tt_host_value_free(&f->host, &v);
}

static void the_longest_life_is_taken(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(set_for(f, text("k"), text("v"), CACHE_TTL_MAX_MS), CACHE_OK);
    assert_holds(f, text("k"), text("v"));
}

static void a_value_is_gone_when_its_life_is_over(void **state)
{
    struct fixture *f = *state;
    if (!has_ttl(f))
        skip();
    assert_int_equal(set_for(f, text("short"), text("v"), SHORT_TTL_MS), CACHE_OK);
    assert_int_equal(set_for(f, text("long"), text("v"), LONG_TTL_MS), CACHE_OK);
    if (subject->clock) {
        tt_clock_advance(subject->clock, SHORT_TTL_MS - 1);
        assert_true(is_there(f, text("short")));
        tt_clock_advance(subject->clock, 1);
        assert_misses(f, text("short"));
    } else {
        tt_assert_soon(!is_there(f, text("short")));
    }
    assert_true(is_there(f, text("long")));
    assert_int_equal(set_for(f, text("short"), text("again"), LONG_TTL_MS), CACHE_OK);
    assert_holds(f, text("short"), text("again"));
}

/* ---- tests: batches ---- */

struct batch {
    struct cache_backend_item it[BATCH_MAX];
    char key[BATCH_MAX][32];
    char data[BATCH_MAX][64];
};

/* n elements with keys name:0 ... and data "value of name:0" ... */
static struct batch *new_batch(const char *name, size_t n)
{
    struct batch *b = tt_xcalloc(sizeof(*b));
    for (size_t i = 0; i < n; i++) {
        snprintf(b->key[i], sizeof(b->key[i]), "%s:%zu", name, i);
        snprintf(b->data[i], sizeof(b->data[i]), "value of %s", b->key[i]);
        b->it[i] = (struct cache_backend_item){
            .key = text(b->key[i]), .data = text(b->data[i]), .ttl_ms = LONG_TTL_MS, .status = -9999};
    }
    return b;
}

static void assert_statuses(const struct batch *b, size_t n, int status)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(b->it[i].status, status);
}

static void assert_item(struct fixture *f, struct cache_backend_item *it, struct cache_slice want)
{
    assert_int_equal(it->status, CACHE_OK);
    assert_true(same_bytes(&it->value, want));
    if (has_ttl(f))
        assert_in_range(it->value.ttl_ms, 1, LONG_TTL_MS);
    tt_host_value_free(&f->host, &it->value);
}

static void a_batch_does_what_single_calls_do(void **state)
{
    static const size_t sizes[] = {1, 2, BATCH_MAX};
    struct fixture *f = *state;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        size_t n = sizes[s];
        struct batch *b = new_batch("batch", n);
        set_many(f, b->it, n, soon(f));
        assert_statuses(b, n, CACHE_OK);
        for (size_t i = 0; i < n; i++)
            assert_holds(f, text(b->key[i]), text(b->data[i]));
        f->host.ops->get_many(f->ctx, b->it, n, soon(f));
        for (size_t i = 0; i < n; i++)
            assert_item(f, &b->it[i], text(b->data[i]));
        del_many(f, b->it, n, soon(f));
        assert_statuses(b, n, CACHE_OK);
        f->host.ops->get_many(f->ctx, b->it, n, soon(f));
        assert_statuses(b, n, CACHE_MISS);
        free(b);
    }
}

static void a_batch_of_none_does_nothing(void **state)
{
    struct fixture *f = *state;
    struct cache_backend_item untouched = {.key = text("k"), .data = text("v"), .ttl_ms = LONG_TTL_MS, .status = 77};
    f->host.ops->get_many(f->ctx, &untouched, 0, soon(f));
    set_many(f, &untouched, 0, soon(f));
    del_many(f, &untouched, 0, soon(f));
    assert_int_equal(untouched.status, 77);
    assert_misses(f, text("k"));
}

static void a_batch_tells_hits_from_misses(void **state)
{
    struct fixture *f = *state;
    struct batch *b = new_batch("mixed", BATCH_MAX);
    for (size_t i = 0; i < BATCH_MAX; i += 3)
        assert_int_equal(set(f, text(b->key[i]), text(b->data[i])), CACHE_OK);
    f->host.ops->get_many(f->ctx, b->it, BATCH_MAX, soon(f));
    for (size_t i = 0; i < BATCH_MAX; i++) {
        if (i % 3 == 0)
            assert_item(f, &b->it[i], text(b->data[i]));
        else
            assert_int_equal(b->it[i].status, CACHE_MISS);
    }
    del_many(f, b->it, BATCH_MAX, soon(f));
    assert_statuses(b, BATCH_MAX, CACHE_OK);
    free(b);
}

static void a_batch_may_name_a_key_twice(void **state)
{
    struct fixture *f = *state;
    struct batch *b = new_batch("twice", 4);
    b->it[2].key = b->it[0].key;
    b->it[3].key = b->it[1].key;
    set_many(f, b->it, 4, soon(f));
    assert_statuses(b, 4, CACHE_OK);
    f->host.ops->get_many(f->ctx, b->it, 4, soon(f));
    for (size_t i = 0; i < 4; i++)
        assert_item(f, &b->it[i], text(b->data[i < 2 ? i + 2 : i])); /* the later of the two was set last */
    del_many(f, b->it, 4, soon(f));
    assert_statuses(b, 4, CACHE_OK);
    free(b);
}

static void a_batch_carries_values_of_every_size(void **state)
{
    static const size_t sizes[] = {0, 1, 16383, 16384, 102400, 1048576};
    enum { N = sizeof(sizes) / sizeof(sizes[0]) };
    struct fixture *f = *state;
    struct batch *b = new_batch("big", N);
    unsigned char *bytes[N];
    for (size_t i = 0; i < N; i++) {
        bytes[i] = make_bytes(sizes[i], (unsigned)i + 7);
        b->it[i].data = slice(bytes[i], sizes[i]);
    }
    set_many(f, b->it, N, soon(f));
    assert_statuses(b, N, CACHE_OK);
    f->host.ops->get_many(f->ctx, b->it, N, soon(f));
    for (size_t i = 0; i < N; i++) {
        assert_item(f, &b->it[i], slice(bytes[i], sizes[i]));
        free(bytes[i]);
    }
    free(b);
}

/* ---- tests: deadlines, memory, threads ---- */

static void nothing_is_done_after_the_deadline(void **state)
{
    struct fixture *f = *state;
    const struct cache_backend_ops *ops = f->host.ops;
    int64_t past = tt_host_in_ms(&f->host, -1);
    struct cache_backend_value v;
    struct batch *b = new_batch("late", 3);
    assert_int_equal(set(f, text("k"), text("before")), CACHE_OK);
    assert_int_equal(ops->set(f->ctx, text("k"), text("after"), LONG_TTL_MS, past), CACHE_E_TIMEOUT);
    assert_int_equal(ops->del(f->ctx, text("k"), past), CACHE_E_TIMEOUT);
    assert_int_equal(ops->get(f->ctx, text("k"), past, &v), CACHE_E_TIMEOUT);
    ops->get_many(f->ctx, b->it, 3, past);
    assert_statuses(b, 3, CACHE_E_TIMEOUT);
    set_many(f, b->it, 3, past);
    assert_statuses(b, 3, CACHE_E_TIMEOUT);
    del_many(f, b->it, 3, past);
    assert_statuses(b, 3, CACHE_E_TIMEOUT);
    assert_holds(f, text("k"), text("before"));
    assert_misses(f, text(b->key[0]));
    free(b);
}

/* A host that is out of memory costs the one read, nothing else. */
static void a_read_without_memory_fails_and_the_next_succeeds(void **state)
{
    static const size_t sizes[] = {5, 102400};
    struct fixture *f = *state;
    for (size_t s = 0; s < 2; s++) {
        unsigned char *bytes = make_bytes(sizes[s], 1);
        struct cache_backend_value v;
        assert_int_equal(set(f, text("k"), slice(bytes, sizes[s])), CACHE_OK);
        tt_alloc_fail(&f->host.alloc, 1, true);
        int status = get(f, text("k"), &v);
        tt_alloc_fail(&f->host.alloc, 0, false);
        assert_int_equal(status, CACHE_E_NOMEM);
        tt_assert_soon(is_there(f, text("k")));
        assert_holds(f, text("k"), slice(bytes, sizes[s]));
        free(bytes);
    }
}

enum { HAMMERS = 8, HAMMER_CALLS = 600, HAMMER_KEYS = 32, HAMMER_MAX = 2000 };

struct hammer {
    struct fixture *f;
    uint64_t seed;
};

/* A value says whose it is in every byte that follows: key, length, and a pattern of both. */
static size_t make_self_verifying(unsigned char *p, unsigned key, size_t len)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (unsigned char)(key * 7 + len * 13 + i);
    if (len > 0)
        p[0] = (unsigned char)key;
    return len;
}

static bool verifies(const struct cache_backend_value *v, unsigned key)
{
    unsigned char want[HAMMER_MAX];
    return v->len < sizeof(want) && same_bytes(v, slice(want, make_self_verifying(want, key, v->len)));
}

static int hammer_one(struct hammer *h, unsigned key, uint64_t r)
{
    struct fixture *f = h->f;
    char name[16];
    unsigned char bytes[HAMMER_MAX];
    struct cache_backend_value v;
    int failures = 0, status;
    snprintf(name, sizeof(name), "h:%u", key);
    switch (r >> 8 & 7) {
    case 0:
        TT_CHECK(failures, del(f, text(name)) == CACHE_OK);
        break;
    case 1:
    case 2:
        status = set(f, text(name), slice(bytes, make_self_verifying(bytes, key, (size_t)(r >> 16) % HAMMER_MAX)));
        TT_CHECK(failures, status == CACHE_OK);
        break;
    default:
        status = get(f, text(name), &v);
        TT_CHECK(failures, status == CACHE_OK || status == CACHE_MISS);
        if (status == CACHE_OK) {
            TT_CHECK(failures, verifies(&v, key));
            tt_host_value_free(&f->host, &v);
        }
    }
    return failures;
}

static int hammer_many(struct hammer *h, unsigned first)
{
    struct fixture *f = h->f;
    struct batch *b = new_batch("h", HAMMER_KEYS);
    int failures = 0;
    size_t n = HAMMER_KEYS - first;
    f->host.ops->get_many(f->ctx, &b->it[first], n, soon(f));
    for (size_t i = first; i < HAMMER_KEYS; i++) {
        struct cache_backend_item *it = &b->it[i];
        TT_CHECK(failures, it->status == CACHE_OK || it->status == CACHE_MISS);
        if (it->status == CACHE_OK) {
            TT_CHECK(failures, verifies(&it->value, (unsigned)i));
            tt_host_value_free(&f->host, &it->value);
        }
    }
    free(b);
    return failures;
}

static int hammer(void *arg, unsigned index)
{
    struct hammer *h = arg;
    uint64_t random = h->seed + index;
    int failures = 0;
    for (int i = 0; i < HAMMER_CALLS && !failures; i++) {
        uint64_t r = tt_random(&random);
        failures += hammer_one(h, (unsigned)(r % HAMMER_KEYS), r);
        if (i % 16 == 0)
            failures += hammer_many(h, (unsigned)(r % HAMMER_KEYS));
    }
    return failures;
}

static void eight_threads_never_see_another_keys_value(void **state)
{
    struct hammer h = {*state, tt_seed()};
    assert_int_equal(tt_crew_join(tt_crew_start(HAMMERS, hammer, &h)), 0);
}

static void the_table_is_complete(void **state)
{
    struct fixture *f = *state;
    const struct cache_backend_ops *ops = f->host.ops;
    struct cache_backend_stats stats = {0};
    assert_int_equal(ops->abi, CACHE_BACKEND_ABI);
    assert_non_null(ops->name);
    assert_true(ops->get && ops->get_many && ops->set && ops->del && ops->close);
    if (ops->stats) {
        assert_misses(f, text("k"));
        ops->stats(f->ctx, &stats);
        assert_int_equal(stats.err_protocol, 0);
        assert_int_equal(stats.err_other, 0);
    }
}

int tt_backend_suite_run(const struct tt_subject *s)
{
#define SUITE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        SUITE_TEST(the_table_is_complete),
        SUITE_TEST(get_of_nothing_is_a_miss),
        SUITE_TEST(a_value_comes_back_as_it_was_set),
        SUITE_TEST(an_empty_value_is_no_miss),
        SUITE_TEST(every_byte_value_is_kept_in_a_value),
        SUITE_TEST(keys_may_hold_any_bytes_and_are_never_confused),
        SUITE_TEST(long_keys_are_kept_and_never_confused),
        SUITE_TEST(every_byte_value_is_kept_in_a_key),
        SUITE_TEST(the_last_set_wins),
        SUITE_TEST(del_deletes_and_del_of_nothing_is_ok),
        SUITE_TEST(what_is_left_of_a_life_is_told),
        SUITE_TEST(forever_is_told_as_forever),
        SUITE_TEST(a_set_replaces_the_life_as_well),
        SUITE_TEST(the_longest_life_is_taken),
        SUITE_TEST(a_value_is_gone_when_its_life_is_over),
        SUITE_TEST(a_batch_does_what_single_calls_do),
        SUITE_TEST(a_batch_of_none_does_nothing),
        SUITE_TEST(a_batch_tells_hits_from_misses),
        SUITE_TEST(a_batch_may_name_a_key_twice),
        SUITE_TEST(a_batch_carries_values_of_every_size),
        SUITE_TEST(nothing_is_done_after_the_deadline),
        SUITE_TEST(a_read_without_memory_fails_and_the_next_succeeds),
        SUITE_TEST(eight_threads_never_see_another_keys_value),
    };
#undef SUITE_TEST
    subject = s;
    return cmocka_run_group_tests_name(s->name, tests, NULL, NULL);
}
