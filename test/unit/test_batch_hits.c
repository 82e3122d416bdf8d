/* The short way of a batch's hits (tier/hit_many.h), by the system's clock: whatever a batch is made of, each of its
 * elements has what cache_get() says of its key, and all is counted alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"
#include "tier/cache.h"
#include "tier/hit_many.h"
#include "unit/tt_l1.h"

enum { KINDS = 11, VALUE_MOST = 70000, BATCH_MOST = 3 * TC_L1_AHEAD + 1, ROUNDS = 300, CREW = 3, BATCHES = 3000 };

static const size_t lens[] = { 0, 5, 64, 1000, VALUE_MOST }; /* of the values under the keys 0, 1, 2 ... */
static struct tt_cache b, other;
static struct cache_type *counted_apart; /* its number is too high for a thread's own counts */
static struct cache_key keys[KINDS];
static struct cache_item items[BATCH_MOST];

static void store(struct cache_key *k, size_t len)
{
    static unsigned char value[VALUE_MOST];
    tt_l1_fill(value, len, len, 0);
    assert_int_equal(cache_set(b.c, k, value, len, NULL), CACHE_OK);
}

static void open_with_types(void)
{
    char name[16];
    tt_cache_prepare(&b, false);
    b.opts.clock = NULL;
    b.opts.l1_bytes = 8 << 20;
    b.opts.l1_stripes = 1; /* so that L1 takes the longest value */
    tt_cache_open(&b);
    struct cache_type_opts o = b.type_opts;
    o.name = name;
    for (unsigned i = 1; i <= TC_READER_COUNTS; i++) {
        snprintf(name, sizeof name, "t%u", i);
        assert_int_equal(cache_type_register(b.c, &o, &counted_apart), CACHE_OK);
    }
}

/* A key of each kind, but for the last one, which is no key at all. */
static int setup(void **state)
{
    (void)state;
    char text[TC_KEY_SHORT_MOST + 1];
    size_t n = 0;
    open_with_types();
    tt_cache_prepare(&other, false);
    tt_cache_open(&other);
    for (size_t i = 0; i < TC_ARRAY_LEN(lens); i++, n++) {
        cache_key_u64(cache_key_init(&keys[n], b.type), i);
        store(&keys[n], lens[i]);
        assert_true(tt_cache_get(&b, &keys[n]).status == CACHE_OK);
    }
    cache_key_str(cache_key_init(&keys[n++], b.type), "nothing lies there");
    assert_int_equal(cache_set_absent(b.c, cache_key_str(cache_key_init(&keys[n], b.type), "absent"), NULL), CACHE_OK);
    n++;
    memset(text, 'x', TC_KEY_SHORT_MOST);
    text[TC_KEY_SHORT_MOST] = '\0';
    store(cache_key_str(cache_key_init(&keys[n++], b.type), text), 7);
    store(cache_key_str(cache_key_init(&keys[n++], counted_apart), "apart"), 64);
    cache_key_str(cache_key_init(&keys[n++], b.type), NULL); /* has failed */
    cache_key_str(cache_key_init(&keys[n++], other.type), "another cache's");
    assert_int_equal(n, KINDS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bool clean = tt_cache_close(&b);
    return tt_cache_close(&other) && clean ? 0 : -1;
}

static struct cache_stats stats(void)
{
    struct cache_stats s;
    assert_int_equal(cache_stats_read(b.c, NULL, &s, sizeof s), CACHE_OK);
    return s;
}

struct moved {
    uint64_t hits, misses, absent, pins;
};

static struct moved since(const struct cache_stats *before)
{
    struct cache_stats s = stats();
    return (struct moved){ s.l1_hits - before->l1_hits, s.l1_misses - before->l1_misses,
                           s.l1_absent - before->l1_absent, s.l1_pins };
}

/* Some kinds are NULL. */
static void choose_items(size_t n, uint64_t *seed)
{
    memset(items, 0xEE, sizeof items); /* what was in them does not matter */
    for (size_t i = 0; i < n; i++) {
        size_t kind = tt_random(seed) % (KINDS + 1);
        items[i].key = kind < KINDS ? &keys[kind] : NULL;
    }
}

static void assert_nothing_is_given(const struct cache_item *it)
{
    assert_null(it->value.pin);
    assert_null(it->value.data);
    assert_int_equal(it->value.len, 0);
}

static void assert_as_alone(const struct cache_item *it)
{
    struct cache_value v;
    assert_int_equal(it->status, cache_get(b.c, it->key, NULL, &v));
    if (it->status != CACHE_OK) {
        assert_nothing_is_given(it);
        return;
    }
    assert_ptr_equal(it->value.pin, v.pin);
    assert_ptr_equal(it->value.data, v.data);
    assert_int_equal(it->value.len, v.len);
    assert_int_equal(it->value.meta.len, v.meta.len);
    assert_int_equal(it->value.meta.tier, v.meta.tier);
    assert_int_equal(it->value.meta.flags, v.meta.flags);
    assert_in_range(it->value.meta.ttl_ms, v.meta.ttl_ms, v.meta.ttl_ms + 60000);
    cache_value_release(&v);
}

static void release_items(size_t n)
{
    for (size_t i = 0; i < n; i++)
        cache_value_release(&items[i].value);
}

static bool is_gone(const struct cache_key *k)
{
    struct cache_value v;
    items[0].key = k;
    int alone = cache_get(b.c, k, NULL, &v), rc = cache_get_many(b.c, items, 1, NULL);
    cache_value_release(&v);
    release_items(1);
    return rc == CACHE_OK && alone == CACHE_MISS && items[0].status == CACHE_MISS;
}

/* A short value, and one that is not of the usual kind. */
static void what_is_past_its_ttl_is_no_hit(void **state)
{
    (void)state;
    static const size_t which[] = { 2, 4 };
    static unsigned char value[VALUE_MOST];
    struct cache_set_opts o = CACHE_SET_OPTS_INIT;
    o.ttl_ms = 20;
    for (size_t i = 0; i < TC_ARRAY_LEN(which); i++) {
        const struct cache_key *k = &keys[which[i]];
        int64_t begin_ms = tt_mono_ms();
        assert_int_equal(cache_set(b.c, k, value, lens[which[i]], &o), CACHE_OK);
        tt_assert_soon(is_gone(k));
        assert_int_equal(tt_cache_get(&b, &keys[0]).status, CACHE_OK); /* so that it is not just to be timed */
        assert_true(is_gone(k));
        assert_true(tt_mono_ms() - begin_ms >= o.ttl_ms - 10); /* the clock is coarse, also when it was set */
    }
    assert_int_equal(stats().l1_pins, 0);
}

static void a_batch_says_and_counts_what_its_keys_do_alone(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    for (int round = 0; round < ROUNDS; round++) {
        size_t n = tt_random(&seed) % (BATCH_MOST + 1);
        choose_items(n, &seed);
        struct cache_stats before = stats();
        assert_int_equal(cache_get_many(b.c, items, n, NULL), CACHE_OK);
        struct moved together = since(&before);
        before = stats();
        for (size_t i = 0; i < n; i++)
            assert_as_alone(&items[i]);
        struct moved alone = since(&before);
        assert_memory_equal(&together, &alone, sizeof together);
        uint64_t pinned = 0;
        for (size_t i = 0; i < n; i++)
            pinned += items[i].value.pin != NULL;
        release_items(n);
        assert_int_equal(together.pins, pinned);
    }
    assert_int_equal(stats().l1_pins, 0);
}

/* One hit in some thousand is left to the general way, to be timed. */
static void most_of_the_hits_go_the_short_way(void **state)
{
    (void)state;
    enum { MANY = 200 };
    struct tc_reader *me;
    size_t found = 0;
    for (size_t i = 0; i < TC_L1_AHEAD; i++)
        items[i].key = &keys[i % 3];
    assert_int_equal(tc_cache_enter_as(b.c, &me), CACHE_OK);
    for (int round = 0; round < MANY; round++) {
        struct tc_hits h;
        tc_hits_pin(b.c, me, items, TC_L1_AHEAD, &h);
        assert_int_equal(h.plain, (1u << TC_L1_AHEAD) - 1);
        for (size_t i = 0; i < TC_L1_AHEAD; i++) {
            struct cache_value v = { .pin = NULL };
            if (h.pinned[i] != NULL)
                tc_l1_release(&b.c->l1, h.pinned[i]);
            else
                assert_int_equal(cache_get(b.c, items[i].key, NULL, &v), CACHE_OK);
            found += h.pinned[i] != NULL;
            cache_value_release(&v);
        }
    }
    tc_cache_leave_as(b.c, me);
    /* The others of a batch in which one is to be timed are left too. */
    assert_in_range(found, (MANY - 4) * TC_L1_AHEAD, MANY * TC_L1_AHEAD);
}

static void one_hit_in_a_thousand_is_timed(void **state)
{
    (void)state;
    enum { TIMES = 5 };
    struct cache_stats before = stats();
    for (size_t i = 0; i < TC_L1_AHEAD; i++)
        items[i].key = &keys[i % 3];
    for (int round = 0; round < TIMES * TC_SAMPLE_EVERY / TC_L1_AHEAD; round++) {
        assert_int_equal(cache_get_many(b.c, items, TC_L1_AHEAD, NULL), CACHE_OK);
        release_items(TC_L1_AHEAD);
    }
    assert_int_equal(since(&before).hits, TIMES * TC_SAMPLE_EVERY);
    assert_int_equal(stats().l1_hit_count, TIMES);
}

/* Several are to be timed in one batch, which goes the short way before and after each. */
static void a_large_batch_of_hits_needs_no_memory_either(void **state)
{
    (void)state;
    enum { N = 4 * TC_SAMPLE_EVERY + 5 };
    struct cache_item *many = tt_xcalloc(N * sizeof *many);
    struct cache_stats before = stats();
    for (size_t i = 0; i < N; i++)
        many[i].key = &keys[i % 3];
    tt_alloc_fail(&b.alloc, 1, true);
    int rc = cache_get_many(b.c, many, N, NULL);
    tt_alloc_fail(&b.alloc, 0, false);
    assert_int_equal(rc, CACHE_OK);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(many[i].status, CACHE_OK);
        assert_int_equal(many[i].value.len, lens[i % 3]);
        cache_value_release(&many[i].value);
    }
    assert_int_equal(since(&before).hits, N);
    assert_int_equal(stats().l1_hit_count, 4);
    assert_int_equal(stats().l1_pins, 0);
    free(many);
}

static void hits_of_batches_keep_what_they_find(void **state)
{
    (void)state;
    enum { HOT = TC_L1_AHEAD, STORED = 200000, EVERY = 500 };
    struct cache_key hot[HOT], k;
    for (size_t i = 0; i < HOT; i++) {
        store(cache_key_u64(cache_key_init(&hot[i], b.type), 1000000 + i), 64);
        items[i].key = &hot[i];
    }
    for (uint64_t n = 0; n < STORED; n++) {
        store(cache_key_u64(cache_key_init(&k, b.type), 2000000 + n), 64);
        if (n % EVERY != 0)
            continue;
        assert_int_equal(cache_get_many(b.c, items, HOT, NULL), CACHE_OK);
        size_t there = 0;
        for (size_t i = 0; i < HOT; i++)
            there += items[i].status == CACHE_OK;
        release_items(HOT);
        assert_int_equal(there, HOT);
    }
    assert_true(stats().l1_evicted_bytes > STORED / 2);
}

static void hits_need_no_memory_and_what_does_is_told(void **state)
{
    (void)state;
    enum { HITS = 3, ABSENT = 6, APART = 8, FAILED, FOREIGN, ALL = HITS + 5 }; /* kinds, from ABSENT to FOREIGN */
    for (size_t i = 0; i < HITS; i++)
        items[i].key = &keys[i];
    items[HITS].key = &keys[APART];
    items[HITS + 1].key = &keys[FAILED];
    items[HITS + 2].key = &keys[FOREIGN];
    items[HITS + 3].key = &keys[ABSENT];
    items[HITS + 4].key = NULL;
    tt_alloc_fail(&b.alloc, 1, true);
    int hits = cache_get_many(b.c, items, HITS, NULL);
    release_items(HITS);
    int all = cache_get_many(b.c, items, ALL, NULL);
    tt_alloc_fail(&b.alloc, 0, false);
    assert_int_equal(hits, CACHE_OK);
    assert_int_equal(all, CACHE_E_NOMEM);
    for (size_t i = 0; i < ALL; i++)
        if (i != HITS)
            assert_as_alone(&items[i]);
    assert_int_equal(items[HITS].status, CACHE_E_NOMEM);
    assert_nothing_is_given(&items[HITS]);
    assert_int_equal(stats().l1_pins, HITS);
    release_items(HITS);
}

/* ---- beside L2 ---- */

enum { MIXED = 2 * TC_L1_AHEAD + 8 };
static struct cache_key mixed[MIXED];

/* L1 has every other one, L2 has all. */
static int setup_with_l2(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    b.opts.clock = NULL;
    tt_cache_open(&b);
    for (size_t i = 0; i < MIXED; i++) {
        items[i].key = cache_key_u64(cache_key_init(&mixed[i], b.type), i);
        store(&mixed[i], 10 + i);
    }
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    for (size_t i = 0; i < MIXED; i += 2)
        assert_int_equal(tt_cache_get(&b, &mixed[i]).status, CACHE_OK);
    return 0;
}

static int teardown_with_l2(void **state)
{
    (void)state;
    return tt_cache_close(&b) ? 0 : -1;
}

static void assert_mixed(size_t i, uint32_t tier)
{
    unsigned char expected[10 + MIXED];
    tt_l1_fill(expected, 10 + i, 10 + i, 0);
    assert_int_equal(items[i].status, CACHE_OK);
    assert_int_equal(items[i].value.meta.tier, tier);
    assert_int_equal(items[i].value.len, 10 + i);
    assert_memory_equal(items[i].value.data, expected, 10 + i);
}

static void hits_of_either_tier_come_to_their_own_keys(void **state)
{
    (void)state;
    assert_int_equal(cache_get_many(b.c, items, MIXED, NULL), CACHE_OK);
    assert_int_equal(tt_backend_calls(b.l2, TT_GET_MANY), 1);
    assert_int_equal(tt_backend_elements(b.l2, TT_GET_MANY), MIXED / 2);
    for (size_t i = 0; i < MIXED; i++)
        assert_mixed(i, i % 2 == 0 ? CACHE_TIER_L1 : CACHE_TIER_L2);
    release_items(MIXED);
}

static void without_memory_those_of_l1_alone_come(void **state)
{
    (void)state;
    tt_alloc_fail(&b.alloc, 1, true);
    int rc = cache_get_many(b.c, items, MIXED, NULL);
    tt_alloc_fail(&b.alloc, 0, false);
    assert_int_equal(rc, CACHE_E_NOMEM);
    assert_int_equal(tt_backend_calls(b.l2, TT_GET_MANY), 0);
    for (size_t i = 0; i < MIXED; i++)
        if (i % 2 == 0) {
            assert_mixed(i, CACHE_TIER_L1);
        } else {
            assert_int_equal(items[i].status, CACHE_E_NOMEM);
            assert_nothing_is_given(&items[i]);
        }
    release_items(MIXED);
    assert_int_equal(stats().l1_pins, 0);
}

static void what_makes_no_sense_gives_nothing(void **state)
{
    (void)state;
    struct cache_call call = CACHE_CALL_INIT;
    call.flags = ~0u;
    memset(items, 0xEE, sizeof items);
    for (size_t i = 0; i < 3; i++)
        items[i].key = &keys[i];
    assert_int_equal(cache_get_many(b.c, items, 3, &call), CACHE_E_INVALID);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(items[i].status, CACHE_E_INVALID);
        assert_nothing_is_given(&items[i]);
    }
}

/* ---- while others change what is there ---- */

struct shared {
    _Atomic bool done;
};

static int change(struct shared *s)
{
    int failures = 0;
    uint64_t seed = 1;
    for (int i = 0; i < BATCHES; i++) {
        unsigned char value[1000];
        struct cache_key k;
        size_t which = 1 + tt_random(&seed) % 3, len = lens[which];
        cache_key_u64(cache_key_init(&k, b.type), which);
        tt_l1_fill(value, len, len, 0);
        if (tt_random(&seed) % 4 == 0)
            TT_CHECK(failures, cache_invalidate(b.c, &k, NULL) == CACHE_OK);
        else
            TT_CHECK(failures, cache_set(b.c, &k, value, len, NULL) == CACHE_OK);
    }
    atomic_store(&s->done, true);
    return failures;
}

static int get_batches(void *arg, unsigned index)
{
    struct shared *s = arg;
    unsigned char expected[1000];
    struct cache_key mine[4];
    struct cache_item its[TC_L1_AHEAD + 4];
    int failures = 0;
    if (index == 0)
        return change(s);
    for (size_t i = 0; i < TC_ARRAY_LEN(mine); i++)
        cache_key_u64(cache_key_init(&mine[i], b.type), i);
    memset(its, 0, sizeof its);
    for (size_t i = 0; i < TC_ARRAY_LEN(its); i++)
        its[i].key = &mine[i % TC_ARRAY_LEN(mine)];
    do {
        TT_CHECK(failures, cache_get_many(b.c, its, TC_ARRAY_LEN(its), NULL) == CACHE_OK);
        for (size_t i = 0; i < TC_ARRAY_LEN(its); i++) {
            size_t len = lens[i % TC_ARRAY_LEN(mine)];
            TT_CHECK(failures, its[i].status == CACHE_OK || its[i].status == CACHE_MISS);
            if (its[i].status != CACHE_OK)
                continue;
            tt_l1_fill(expected, len, len, 0);
            TT_CHECK(failures, its[i].value.len == len && memcmp(its[i].value.data, expected, len) == 0);
            cache_value_release(&its[i].value);
        }
    } while (!atomic_load(&s->done));
    return failures;
}

static void batches_pin_whole_values_while_others_store_and_drop_them(void **state)
{
    (void)state;
    struct shared s = { false };
    assert_int_equal(tt_crew_join(tt_crew_start(CREW, get_batches, &s)), 0);
    assert_int_equal(stats().l1_pins, 0);
    assert_true(tc_l1_check(&b.c->l1));
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define WITH_L2(test) cmocka_unit_test_setup_teardown(test, setup_with_l2, teardown_with_l2)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(a_batch_says_and_counts_what_its_keys_do_alone),
        WITH(what_is_past_its_ttl_is_no_hit),
        WITH(most_of_the_hits_go_the_short_way),
        WITH(one_hit_in_a_thousand_is_timed),
        WITH(a_large_batch_of_hits_needs_no_memory_either),
        WITH(hits_of_batches_keep_what_they_find),
        WITH(hits_need_no_memory_and_what_does_is_told),
        WITH_L2(hits_of_either_tier_come_to_their_own_keys),
        WITH_L2(without_memory_those_of_l1_alone_come),
        WITH(what_makes_no_sense_gives_nothing),
        WITH(batches_pin_whole_values_while_others_store_and_drop_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
