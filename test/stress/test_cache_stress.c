/* All verbs at once from several threads, over few keys, while L2 fails in every way it can. Every value names its key
 * and a number, with as much filling as the number says: whatever comes back must be whole and of the key that was
 * asked for. Run it under ThreadSanitizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"
#include "platform/platform.h"
#include "tier/cache.h"

enum { THREADS = 6, KEYS = 64, BATCH = 8, LASTS_MS = 2000, VALUE_MAX = 3000, SHORT_MS = 30, PINS = 4, DICE = 100 };
enum { L1_BYTES = 128 * 1024 };

struct stress {
    struct tt_cache b;
    struct cache_type *types[2]; /* one in both tiers, one without L1 */
    uint64_t seed;
    int64_t end_ms;
    _Atomic uint64_t found, loaded, stored;
};

struct worker {
    struct stress *s;
    uint64_t random;
    int failures;
    unsigned fetching; /* the key that this thread loads */
    struct cache_value pins[PINS];
    unsigned pinned[PINS]; /* the key of each */
};

/* ---- keys and values that can be checked ---- */

static void make_key(const struct stress *s, unsigned k, struct cache_key *key)
{
    cache_key_u64(cache_key_init(key, s->types[k % 2]), k);
}

static size_t make_value(unsigned k, uint64_t number, char *value)
{
    size_t fill = (size_t)(number % (VALUE_MAX - TT_TEXT));
    size_t head = (size_t)snprintf(value, TT_TEXT, "%u:%llu:", k, (unsigned long long)number);
    memset(value + head, 'a' + (int)(number % 26), fill);
    return head + fill;
}

static bool is_value_of(unsigned k, const void *data, size_t len)
{
    char value[VALUE_MAX], head[TT_TEXT];
    unsigned of;
    unsigned long long number;
    snprintf(head, sizeof head, "%.*s", (int)(len < TT_TEXT ? len : TT_TEXT - 1), (const char *)data);
    return sscanf(head, "%u:%llu:", &of, &number) == 2 && of == k && make_value(k, number, value) == len &&
           memcmp(value, data, len) == 0;
}

static uint64_t dice(struct worker *w, uint64_t below)
{
    return tt_random(&w->random) % below;
}

static bool is_write_result(int status)
{
    switch (status) {
    case CACHE_OK:
    case CACHE_QUEUED:
    case CACHE_E_UNKNOWN:
    case CACHE_E_TICKET:
    case CACHE_E_TIMEOUT:
        return true;
    default:
        return false;
    }
}

/* ---- what a thread does ---- */

static void take(struct worker *w, unsigned k, int status, struct cache_value *v)
{
    if (status != CACHE_OK) {
        TT_CHECK(w->failures, v->pin == NULL);
        return;
    }
    atomic_fetch_add(&w->s->found, 1);
    TT_CHECK(w->failures, is_value_of(k, v->data, v->len));
    if (dice(w, 8) > 0) {
        cache_value_release(v);
        return;
    }
    /* Kept for a while: what is pinned must not change. */
    size_t at = (size_t)dice(w, PINS);
    if (w->pins[at].pin != NULL)
        TT_CHECK(w->failures, is_value_of(w->pinned[at], w->pins[at].data, w->pins[at].len));
    cache_value_release(&w->pins[at]);
    w->pins[at] = *v;
    w->pinned[at] = k;
}

static void get(struct worker *w, unsigned k, const struct cache_key *key)
{
    struct cache_call o = CACHE_CALL_INIT;
    struct cache_ticket ticket;
    struct cache_value v;
    o.timeout_ms = SHORT_MS;
    o.flags = dice(w, 8) == 0 ? CACHE_CALL_L1_ONLY : 0;
    o.ticket = &ticket;
    int status = cache_get(w->s->b.c, key, &o, &v);
    TT_CHECK(w->failures, status == CACHE_OK || status == CACHE_MISS || status == CACHE_ABSENT);
    take(w, k, status, &v);
    if (status != CACHE_MISS || dice(w, 2) == 0)
        return;
    char value[VALUE_MAX];
    struct cache_set_opts set = CACHE_SET_OPTS_INIT;
    set.ticket = &ticket;
    set.timeout_ms = SHORT_MS;
    status = cache_set(w->s->b.c, key, value, make_value(k, tt_random(&w->random), value), &set);
    TT_CHECK(w->failures, is_write_result(status));
}

static void get_copy(struct worker *w, unsigned k, const struct cache_key *key)
{
    char value[VALUE_MAX];
    struct cache_meta m;
    int status = cache_get_copy(w->s->b.c, key, value, dice(w, 4) == 0 ? 100 : sizeof value, &m);
    TT_CHECK(w->failures, status == CACHE_OK || status == CACHE_MISS || status == CACHE_ABSENT ||
                              status == CACHE_E_BUFFER);
    if (status == CACHE_OK)
        TT_CHECK(w->failures, is_value_of(k, value, m.len));
}

static void set(struct worker *w, unsigned k, const struct cache_key *key)
{
    char value[VALUE_MAX];
    struct cache_set_opts o = CACHE_SET_OPTS_INIT;
    o.timeout_ms = SHORT_MS;
    o.ttl_ms = (int64_t)dice(w, 50) + 1;
    int status = dice(w, 8) == 0
                     ? cache_set_absent(w->s->b.c, key, &o)
                     : cache_set(w->s->b.c, key, value, make_value(k, tt_random(&w->random), value), &o);
    TT_CHECK(w->failures, is_write_result(status));
    atomic_fetch_add(&w->s->stored, status == CACHE_OK);
}

static int load(struct cache_load *ld, const struct cache_key *key, void *arg)
{
    struct worker *w = arg;
    unsigned k = w->fetching;
    (void)key;
    atomic_fetch_add(&w->s->loaded, 1);
    uint64_t number = tt_random(&w->random);
    if (dice(w, 16) == 0)
        return CACHE_E_USER_FIRST;
    if (dice(w, 16) == 0)
        return cache_load_absent(ld);
    if (dice(w, 8) == 0) {
        /* A loader that uses the cache, of another key: sometimes one that another loader is after. */
        struct cache_key other;
        struct cache_value v;
        struct cache_fetch_opts o = CACHE_FETCH_OPTS_INIT;
        unsigned nested = (k + 1 + (unsigned)dice(w, KEYS - 1)) % KEYS;
        make_key(w->s, nested, &other);
        o.load = load;
        o.user = w;
        o.timeout_ms = SHORT_MS;
        w->fetching = nested;
        int status = cache_fetch(w->s->b.c, &other, &o, &v);
        w->fetching = k;
        if (status == CACHE_OK)
            TT_CHECK(w->failures, is_value_of(nested, v.data, v.len));
        cache_value_release(&v);
    }
    char value[VALUE_MAX];
    size_t len = make_value(k, number, value);
    if (dice(w, 2) == 0)
        return cache_load_reply(ld, value, len);
    char *room = cache_load_buffer(ld, len);
    if (room == NULL)
        return CACHE_E_NOMEM;
    memcpy(room, value, len);
    return CACHE_OK;
}

static void fetch(struct worker *w, unsigned k, const struct cache_key *key)
{
    struct cache_fetch_opts o = CACHE_FETCH_OPTS_INIT;
    struct cache_value v;
    o.load = load;
    o.user = w;
    o.timeout_ms = SHORT_MS;
    o.flags = dice(w, 4) == 0 ? CACHE_FETCH_NO_STALE : 0;
    w->fetching = k;
    int status = cache_fetch(w->s->b.c, key, &o, &v);
    TT_CHECK(w->failures, status == CACHE_OK || status == CACHE_ABSENT || status == CACHE_E_TIMEOUT ||
                              status == CACHE_E_USER_FIRST || status == CACHE_E_DEADLOCK);
    take(w, k, status, &v);
}

static void invalidate(struct worker *w, const struct cache_key *key)
{
    struct cache_call o = CACHE_CALL_INIT;
    o.timeout_ms = SHORT_MS;
    int status = cache_invalidate(w->s->b.c, key, &o);
    TT_CHECK(w->failures, status == CACHE_OK || status == CACHE_QUEUED || status == CACHE_E_UNKNOWN);
}

static void batch(struct worker *w)
{
    struct cache *c = w->s->b.c;
    struct cache_key keys[BATCH];
    struct cache_item items[BATCH];
    char values[BATCH][VALUE_MAX];
    unsigned ks[BATCH];
    struct cache_call o = CACHE_CALL_INIT;
    struct cache_set_opts set_opts = CACHE_SET_OPTS_INIT;
    memset(items, 0, sizeof items);
    for (unsigned i = 0; i < BATCH; i++) {
        ks[i] = (unsigned)dice(w, KEYS);
        make_key(w->s, ks[i], &keys[i]);
        items[i].key = &keys[i];
        items[i].data = values[i];
        items[i].len = make_value(ks[i], tt_random(&w->random), values[i]);
    }
    o.timeout_ms = set_opts.timeout_ms = SHORT_MS;
    switch (dice(w, 4)) {
    case 0:
        TT_CHECK(w->failures, cache_set_many(c, items, BATCH, &set_opts) == CACHE_OK);
        for (unsigned i = 0; i < BATCH; i++)
            TT_CHECK(w->failures, is_write_result(items[i].status));
        break;
    case 1:
        TT_CHECK(w->failures, cache_invalidate_many(c, items, BATCH, &o) == CACHE_OK);
        break;
    default:
        TT_CHECK(w->failures, cache_get_many(c, items, BATCH, &o) == CACHE_OK);
        for (unsigned i = 0; i < BATCH; i++)
            take(w, ks[i], items[i].status, &items[i].value);
    }
}

static void look_around(struct worker *w)
{
    struct cache_stats st;
    struct cache_type *t;
    struct cache *c = w->s->b.c;
    TT_CHECK(w->failures, cache_stats_read(c, dice(w, 2) == 0 ? NULL : w->s->types[0], &st, sizeof st) == CACHE_OK);
    TT_CHECK(w->failures, st.l1_bytes <= st.l1_limit_bytes || st.l1_limit_bytes == 0);
    TT_CHECK(w->failures, cache_type_find(c, "t", &t) == CACHE_OK && t == w->s->types[0]);
    struct cache_type_opts o = w->s->b.type_opts;
    o.l1_quota_entries = dice(w, 2) == 0 ? 0 : 16;
    TT_CHECK(w->failures, cache_type_update(w->s->types[0], &o, NULL, 0) == CACHE_OK);
    if (dice(w, 8) == 0)
        TT_CHECK(w->failures, cache_clear_local(c) == CACHE_OK);
}

/* The weather: what L2 does next. */
static void hurt(struct worker *w)
{
    static const int statuses[] = { CACHE_E_UNKNOWN, CACHE_E_REFUSED, CACHE_E_UNAVAILABLE, CACHE_E_TIMEOUT };
    struct tt_backend *l2 = w->s->b.l2;
    tt_clock_advance(&w->s->b.clock, (int64_t)dice(w, 20));
    switch (dice(w, 8)) {
    case 0:
        tt_backend_set_health(l2, CACHE_BACKEND_DOWN);
        break;
    case 1:
    case 2:
        tt_backend_set_health(l2, CACHE_BACKEND_UP);
        tt_backend_clear(l2);
        break;
    case 3:
        tt_backend_run_late(l2);
        break;
    default: {
        enum tt_slot slot = (enum tt_slot)dice(w, TT_SLOTS);
        int status = statuses[dice(w, TC_ARRAY_LEN(statuses))];
        enum tt_run run = TT_NOT_RUN;
        if (status == CACHE_E_UNKNOWN && slot != TT_GET && slot != TT_GET_MANY)
            run = dice(w, 2) == 0 ? TT_RUN : TT_RUN_LATE;
        tt_backend_fail(l2, slot, (unsigned)dice(w, 5) + 1, status, run);
    }
    }
}

static int work(void *arg, unsigned index)
{
    struct worker w = { .s = arg };
    w.random = w.s->seed + index * UINT64_C(0x9E3779B97F4A7C15);
    while (w.failures == 0 && tt_mono_ms() < w.s->end_ms) {
        unsigned k = (unsigned)dice(&w, KEYS);
        struct cache_key key;
        make_key(w.s, k, &key);
        uint64_t die = dice(&w, DICE);
        if (die < 30)
            get(&w, k, &key);
        else if (die < 40)
            get_copy(&w, k, &key);
        else if (die < 55)
            set(&w, k, &key);
        else if (die < 80)
            fetch(&w, k, &key);
        else if (die < 90)
            invalidate(&w, &key);
        else if (die < 95)
            batch(&w);
        else if (die < 97)
            look_around(&w);
        else
            hurt(&w);
    }
    for (size_t i = 0; i < PINS; i++)
        cache_value_release(&w.pins[i]);
    return w.failures;
}

/* ---- the test ---- */

static void whatever_l2_does_values_are_whole_and_of_their_key(void **state)
{
    static struct stress s;
    (void)state;
    s.seed = tt_seed();
    tt_cache_prepare(&s.b, true);
    s.b.opts.l1_bytes = L1_BYTES;
    s.b.opts.l1_stripes = 2;
    s.b.opts.recovery_max_keys = KEYS / 2;
    tt_cache_open(&s.b);
    struct cache_type_opts l2_only = CACHE_TYPE_OPTS_INIT;
    l2_only.name = "only-in-l2";
    l2_only.flags = CACHE_TYPE_NO_L1;
    s.types[0] = s.b.type;
    assert_int_equal(cache_type_register(s.b.c, &l2_only, &s.types[1]), CACHE_OK);
    s.end_ms = tt_mono_ms() + LASTS_MS;
    assert_int_equal(tt_crew_join(tt_crew_start(THREADS, work, &s)), 0);
    print_message("found %llu, loaded %llu, stored %llu\n", (unsigned long long)s.found,
                  (unsigned long long)s.loaded, (unsigned long long)s.stored);
    assert_true(s.found > 0 && s.loaded > 0 && s.stored > 0);

    /* The storm is over: everything is released, told to L2, and accounted for. */
    tt_backend_clear(s.b.l2);
    tt_backend_set_health(s.b.l2, CACHE_BACKEND_UP);
    assert_true(tt_cache_await_replayed(&s.b));
    struct cache_stats st = tt_cache_stats(&s.b);
    assert_int_equal(st.l1_pins, 0);
    assert_int_equal(st.l1_detached_bytes, 0);
    assert_true(tt_cache_close(&s.b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_l2_does_values_are_whole_and_of_their_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
