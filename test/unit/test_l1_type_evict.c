/* Types with eviction policies of their own in a whole L1: each policy is told of the hits that concern it and of no
 * others, quotas go by the type's order, memory is shared fairly between policies, and without memory for an order
 * nothing is stored where it may not be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/evict.h"
#include "policy/queue.h"
#include "tt_util.h"
#include "unit/tt_l1.h"

enum { LIMIT = 1 << 20, STRIPES = 2, ROOM = 32, LEN = 100, OWN = 1 };

static const char *const names[] = { "lru", "lru-exact", "sieve", "s3-fifo", "lfu", "w-tinylfu" };
enum { POLICIES = TC_ARRAY_LEN(names) };

static struct tt_l1 *open_pair(const struct cache_evict_ops *all, const struct cache_evict_ops *own)
{
    struct tt_l1 *r = tt_l1_new_with_room(LIMIT, STRIPES, all, ROOM);
    tt_l1_bring(r, OWN, own);
    return r;
}

static int put(struct tt_l1 *r, uint64_t number, size_t type)
{
    struct tt_l1_put p = { .type = type, .len = LEN, .advance = true };
    return tt_l1_put_with(r, tt_l1_key(r, number), &p);
}

static bool has(struct tt_l1 *r, uint64_t number)
{
    return tt_l1_has(r, tt_l1_key(r, number));
}

/* ---- hits are told ---- */

/* First in, first out. Each table has a count of its own, by its hit slot. */
struct fifo {
    const struct tc_cells *cells;
    struct tc_queue queue;
};

struct fifo_node {
    _Atomic uint8_t stamp;
    struct tc_link link;
};

static struct fifo_node *fifo_node(const struct fifo *s, uint32_t entry)
{
    return tc_cell(s->cells, entry);
}

static struct {
    unsigned all, own, locked, stamped;
} told;

static void fifo_begin(void *state, const struct cache_evict_env *env)
{
    ((struct fifo *)state)->cells = env->entries;
}

static void fifo_insert(void *state, uint32_t entry, uint64_t hash, size_t bytes)
{
    struct fifo *s = state;
    (void)hash;
    (void)bytes;
    atomic_store_explicit(&fifo_node(s, entry)->stamp, 0, memory_order_relaxed);
    fifo_node(s, entry)->link = (struct tc_link){ 0, s->queue.newest };
    if (s->queue.newest != 0)
        fifo_node(s, s->queue.newest)->link.newer = entry;
    else
        s->queue.oldest = entry;
    s->queue.newest = entry;
}

static void count(void *state, uint32_t entry, const void *node, unsigned *hits, bool locked)
{
    assert_int_equal(state != NULL, locked);
    assert_int_equal(entry != 0, locked);
    assert_true(node != NULL && (!locked || node == fifo_node(state, entry)));
    told.locked += locked;
    ++*hits;
}

static void hit_all(void *state, uint32_t entry, void *node)
{
    count(state, entry, node, &told.all, false);
}

static void hit_all_locked(void *state, uint32_t entry, void *node)
{
    count(state, entry, node, &told.all, true);
}

static void hit_own(void *state, uint32_t entry, void *node)
{
    count(state, entry, node, &told.own, false);
}

static void hit_own_locked(void *state, uint32_t entry, void *node)
{
    count(state, entry, node, &told.own, true);
}

static void fifo_remove(void *state, uint32_t entry)
{
    struct fifo *s = state;
    struct fifo_node *n = fifo_node(s, entry);
    told.stamped += atomic_load_explicit(&n->stamp, memory_order_relaxed) != 0;
    *(n->link.newer != 0 ? &fifo_node(s, n->link.newer)->link.older : &s->queue.newest) = n->link.older;
    *(n->link.older != 0 ? &fifo_node(s, n->link.older)->link.newer : &s->queue.oldest) = n->link.newer;
}

static uint32_t fifo_victim(void *state)
{
    return ((const struct fifo *)state)->queue.oldest;
}

static const struct cache_evict_ops fifo_ops = {
    .abi = CACHE_HOOKS_ABI,
    .name = "fifo",
    .state_bytes = sizeof(struct fifo),
    .node_bytes = sizeof(struct fifo_node),
    .begin = fifo_begin,
    .insert = fifo_insert,
    .hit = hit_own,
    .remove = fifo_remove,
    .victim = fifo_victim,
};

static struct cache_evict_ops fifo(uint32_t flags, void (*plain)(void *, uint32_t, void *),
                                   void (*locked)(void *, uint32_t, void *))
{
    struct cache_evict_ops ops = fifo_ops;
    ops.flags = flags;
    ops.hit = flags & CACHE_EVICT_STAMPED_HITS ? NULL : flags & CACHE_EVICT_LOCKED_HITS ? locked : plain;
    return ops;
}

static void put_plain(struct tt_l1 *r, uint64_t number, size_t type)
{
    struct tt_l1_key k = tt_l1_key(r, number);
    struct tc_entry *e =
        tc_entry_open_small(&r->alloc, r->l1.node_bytes, r->types[type], k.hash, tt_l1_ref(&k).key, LEN);
    tt_l1_fill(tc_entry_room(e), LEN, number, 0);
    tc_entry_set_life(e, tt_l1_now(r), 60000, 0);
    assert_int_equal(tc_l1_put(&r->l1, e, &r->policies[type], NULL, true), CACHE_OK);
    tc_l1_drop(&r->l1, e);
}

static void look(struct tt_l1 *r, uint64_t number, bool copies)
{
    unsigned char buf[LEN];
    struct tt_l1_key k = tt_l1_key(r, number);
    struct tc_l1_copied copied;
    struct tc_l1_found f;
    if (copies)
        assert_true(tc_l1_get_copy(&r->l1, tt_l1_ref(&k), tt_l1_now(r), buf, sizeof buf, &copied, &f));
    else
        assert_true(has(r, number));
}

/* Entries of every kind of either type, each hit in either way: the policy of the type learns of it, as it wants to. */
static void each_policy_is_told_of_its_own_hits_in_its_way(void **state)
{
    static const uint32_t flags[] = { 0, CACHE_EVICT_LOCKED_HITS, CACHE_EVICT_STAMPED_HITS };
    enum { ENTRIES = 8, HITS = 5 };
    (void)state;
    for (size_t i = 0; i < 9; i++) {
        struct cache_evict_ops all = fifo(flags[i / 3], hit_all, hit_all_locked);
        struct cache_evict_ops own = fifo(flags[i % 3], hit_own, hit_own_locked);
        struct tt_l1 *r = open_pair(&all, &own);
        memset(&told, 0, sizeof told);
        for (uint64_t n = 0; n < ENTRIES; n++)
            if (n / 2 % 2)
                put_plain(r, n, n % 2);
            else
                assert_int_equal(put(r, n, n % 2), CACHE_OK);
        for (unsigned hit = 0; hit < HITS; hit++)
            for (uint64_t n = 0; n < ENTRIES; n++)
                look(r, n, n / 4 % 2);
        bool all_stamped = flags[i / 3] & CACHE_EVICT_STAMPED_HITS;
        bool own_stamped = flags[i % 3] & CACHE_EVICT_STAMPED_HITS;
        bool all_locked = flags[i / 3] & CACHE_EVICT_LOCKED_HITS, own_locked = flags[i % 3] & CACHE_EVICT_LOCKED_HITS;
        assert_int_equal(told.all, all_stamped ? 0 : HITS * ENTRIES / 2);
        assert_int_equal(told.own, own_stamped ? 0 : HITS * ENTRIES / 2);
        assert_int_equal(told.locked, (all_locked ? told.all : 0) + (own_locked ? told.own : 0));
        tc_l1_clear(&r->l1);
        assert_int_equal(told.stamped, (all_stamped + own_stamped) * ENTRIES / 2);
        assert_true(tt_l1_free(r));
    }
}

static void a_value_past_its_time_is_no_hit(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct cache_evict_ops own = fifo(i % 2 ? CACHE_EVICT_LOCKED_HITS : 0, hit_own, hit_own_locked);
        struct tt_l1 *r = open_pair(i / 2 ? &tc_evict_lru_exact : NULL, &own);
        struct tt_l1_put p = { .type = OWN, .len = LEN, .advance = true, .ttl_ms = 10, .stale_ms = 1000 };
        memset(&told, 0, sizeof told);
        assert_int_equal(tt_l1_put_with(r, tt_l1_key(r, 1), &p), CACHE_OK);
        assert_true(has(r, 1));
        assert_int_equal(told.own, 1);
        tt_clock_advance(&r->time, 100);
        struct tc_l1_found f = tt_l1_get(r, tt_l1_key(r, 1));
        assert_true(f.entry != NULL && !f.fresh);
        tc_l1_release(&r->l1, f.entry);
        assert_int_equal(told.own, 1);
        assert_true(tt_l1_free(r));
    }
}

/* Hits of a type whose policy is told of them in the cache's way cost what those of other types do. */
static void only_those_are_told_apart_whose_policy_is_told_otherwise(void **state)
{
    (void)state;
    for (size_t i = 0; i < POLICIES * POLICIES; i++) {
        const struct cache_evict_ops *all = cache_evict_policy(names[i / POLICIES]);
        const struct cache_evict_ops *own = cache_evict_policy(names[i % POLICIES]);
        struct tt_l1 *r = open_pair(all, own);
        put_plain(r, 1, OWN);
        struct tc_l1_found f = tt_l1_get(r, tt_l1_key(r, 1));
        uint32_t hits = CACHE_EVICT_LOCKED_HITS | CACHE_EVICT_STAMPED_HITS;
        bool called = (all->flags & hits) == 0 && all->hit != own->hit;
        bool otherwise = (all->flags & hits) != (own->flags & hits) || called;
        assert_int_equal((tc_entry_flags(f.entry) & TC_ENTRY_COUNTS) != 0, otherwise);
        tc_l1_release(&r->l1, f.entry);
        assert_true(tt_l1_free(r));
    }
}

static uint64_t counted(struct tt_l1 *r, uint64_t number)
{
    struct tt_l1_key k = tt_l1_key(r, number);
    int64_t age_ms;
    uint64_t hits;
    tc_l1_history(&r->l1, tt_l1_ref(&k), tt_l1_now(r), &age_ms, &hits);
    assert_true(age_ms >= 0);
    return hits;
}

/* A TTL policy and an eviction policy of one type both want to know. */
static void hits_are_counted_for_ttl_policies_too(void **state)
{
    struct cache_evict_ops own = fifo(0, hit_own, hit_own_locked);
    struct tt_l1 *r = open_pair(NULL, &own);
    struct tt_l1_key k = tt_l1_key(r, 1);
    (void)state;
    memset(&told, 0, sizeof told);
    struct tc_entry *e = tt_l1_entry(r, k, &(struct tt_l1_put){ .type = OWN, .len = LEN });
    tc_entry_add_flags(e, TC_ENTRY_COUNTS);
    assert_int_equal(tc_l1_put(&r->l1, e, &r->policies[OWN], NULL, true), CACHE_OK);
    tc_l1_drop(&r->l1, e);
    for (int i = 0; i < 7; i++)
        look(r, 1, i % 2);
    assert_int_equal(counted(r, 1), 7);
    assert_int_equal(told.own, 7);
    put_plain(r, 2, OWN); /* an entry that has no room for a count */
    look(r, 2, false);
    assert_int_equal(counted(r, 2), 0);
    assert_int_equal(told.own, 8);
    assert_true(tt_l1_free(r));
}

/* ---- quotas ---- */

static void a_quota_goes_by_the_types_own_order(void **state)
{
    struct cache_evict_ops own = fifo(0, hit_own, hit_own_locked);
    (void)state;
    struct tt_l1 *r = tt_l1_new_with_room(LIMIT, 1, NULL, ROOM);
    tt_l1_bring(r, OWN, &own);
    r->policies[OWN].l1_quota_entries = 50;
    for (uint64_t n = 0; n < 500; n++) {
        assert_int_equal(put(r, n, OWN), CACHE_OK);
        for (uint64_t i = n < 50 ? 0 : n - 49; i <= n; i++)
            assert_true(has(r, i));
        assert_true(n < 50 || !has(r, n - 50)); /* however often it was hit */
    }
    assert_int_equal(tt_l1_type_entries(r, OWN), 50);
    assert_int_equal(tt_l1_count(r, TC_COUNT_l1_evicted_quota), 450);
    assert_true(tt_l1_free(r));
}

static void quotas_hold_under_every_policy_and_when_they_change(void **state)
{
    uint64_t seed = tt_seed();
    (void)state;
    for (size_t i = 0; i < POLICIES * POLICIES; i++) {
        struct tt_l1 *r = open_pair(cache_evict_policy(names[i / POLICIES]), cache_evict_policy(names[i % POLICIES]));
        for (uint64_t n = 0; n < 1500; n++) {
            if (n % 250 == 0)
                r->policies[OWN].l1_quota_entries = n % 500 == 0 ? 200 : 20;
            assert_int_equal(put(r, tt_random(&seed) % 2000 * 2 + n % 2, n % 2), CACHE_OK);
            has(r, tt_random(&seed) % 4000);
            if (n % 2 == OWN)
                assert_true(tt_l1_type_entries(r, OWN) <= r->policies[OWN].l1_quota_entries);
        }
        assert_int_equal(tt_l1_type_entries(r, OWN), 20);
        assert_true(tt_l1_free(r));
    }
}

/* ---- the memory of all ---- */

static size_t skewed(uint64_t *seed, size_t n)
{
    double u = (double)(tt_random(seed) >> 11) / (double)(UINT64_C(1) << 53);
    return (size_t)(u * u * u * (double)n);
}

/* Reads through. True: it was a hit. */
static bool ask(struct tt_l1 *r, uint64_t number, size_t type)
{
    if (has(r, number))
        return true;
    assert_int_equal(put(r, number, type), CACHE_OK);
    return false;
}

/* By when they would leave, an order by recency and one by anything else could not be compared: a cache under lru gave
 * nearly all that it had to a type under sieve or w-tinylfu with the same load. */
static void types_with_the_same_load_have_about_the_same_memory(void **state)
{
    uint64_t seed = tt_seed();
    (void)state;
    for (size_t i = 0; i < POLICIES * POLICIES; i++) {
        struct tt_l1 *r = open_pair(cache_evict_policy(names[i / POLICIES]), cache_evict_policy(names[i % POLICIES]));
        for (uint64_t n = 0; n < 60000; n++) {
            ask(r, skewed(&seed, 12000) * 2 + n % 2, n % 2);
            tt_clock_advance(&r->time, n % 8 == 0);
        }
        double share = (double)tt_l1_type_entries(r, OWN) / (double)tt_l1_type_entries(r, 0);
        if (share < 0.5 || share > 2)
            fail_msg("%s beside %s: %.2f", names[i % POLICIES], names[i / POLICIES], share);
        assert_true(tt_l1_count(r, TC_COUNT_l1_evicted_bytes) > 10000);
        assert_true(tt_l1_free(r));
    }
}

/* One type asks for the same few keys all the time, the other for none a second time. */
static void what_is_used_stays_beside_what_is_not(void **state)
{
    enum { HOT = 200, ASKED = 40000 };
    uint64_t seed = tt_seed();
    (void)state;
    for (size_t i = 0; i < 2 * POLICIES * POLICIES; i++) {
        size_t hot = i % 2, all = i / 2 / POLICIES, own = i / 2 % POLICIES;
        unsigned hits = 0;
        struct tt_l1 *r = open_pair(cache_evict_policy(names[all]), cache_evict_policy(names[own]));
        for (uint64_t n = 0; n < ASKED; n++) {
            hits += ask(r, tt_random(&seed) % HOT * 2 + hot, hot);
            ask(r, 1000000 + 2 * n + 1 - hot, 1 - hot);
        }
        bool exact = hot == OWN ? own < 2 : all < 2; /* hits are told to it, and it tells by them */
        if (hits < (exact ? ASKED - HOT - HOT / 10 : ASKED / 10 * 9))
            fail_msg("%s beside %s, type %zu: %u", names[own], names[all], hot, hits);
        assert_true(tt_l1_free(r));
    }
}

static void a_priority_weighs_as_among_types_of_one_policy(void **state)
{
    static const size_t pairs[][2] = { { 0, 2 }, { 2, 0 }, { 0, 5 }, { 3, 1 }, { 2, 4 } };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(pairs); i++)
        for (int64_t priority = -2; priority <= 2; priority += 4) {
            struct tt_l1 *r = open_pair(cache_evict_policy(names[pairs[i][0]]), cache_evict_policy(names[pairs[i][1]]));
            r->policies[OWN].l1_priority = priority;
            tc_type_set_policy(r->types[OWN], &r->policies[OWN], tt_l1_now(r));
            for (uint64_t n = 0; n < 30000; n++)
                assert_int_equal(put(r, n, n % 2), CACHE_OK);
            double share = (double)tt_l1_type_entries(r, OWN) / (double)tt_l1_type_entries(r, 0);
            assert_true(priority > 0 ? share > 2.8 && share < 5.6 : share > 0.18 && share < 0.36);
            assert_true(tt_l1_free(r));
        }
}

/* ---- where there is no memory ---- */

static void without_memory_for_its_order_nothing_is_stored(void **state)
{
    (void)state;
    struct tt_l1 *r = tt_l1_new_with_room(LIMIT, 1, NULL, ROOM);
    struct tc_stripe *s = &r->l1.stripes[0];
    tt_l1_bring(r, OWN, &tc_evict_s3fifo);
    for (uint64_t n = 0; n < 100; n++)
        assert_int_equal(put(r, 2 * n, 0), CACHE_OK);
    for (uint64_t nth = 2; nth <= 3; nth++) { /* the first one is of the entry itself */
        tt_alloc_fail(&r->counting, nth, false);
        assert_int_equal(put(r, 1, OWN), CACHE_E_NOMEM);
        tt_alloc_fail(&r->counting, 0, false);
        assert_null(s->shared.next);
        assert_int_equal(s->shared.count, 100);
        assert_false(has(r, 1));
        assert_true(tc_l1_check(&r->l1));
    }
    assert_int_equal(put(r, 1, OWN), CACHE_OK);
    assert_true(has(r, 1));
    assert_non_null(s->shared.next);
    assert_int_equal(s->shared.count, 100);
    assert_int_equal(tt_l1_type_entries(r, 0), 100);
    assert_true(tt_l1_free(r));
}

/* None is granted to its stripe, nor is any to be had from others. */
static void where_nothing_can_be_evicted_the_store_is_refused_and_a_later_one_not(void **state)
{
    (void)state;
    struct tt_l1 *r = tt_l1_new_with_room(LIMIT, 1, NULL, ROOM);
    tt_l1_bring(r, OWN, &tc_evict_s3fifo);
    int64_t pool = atomic_exchange(&r->l1.pool, 0);
    assert_int_equal(put(r, 1, OWN), CACHE_E_NOMEM);
    assert_null(r->l1.stripes[0].shared.next);
    atomic_store(&r->l1.pool, pool);
    assert_int_equal(put(r, 1, OWN), CACHE_OK);
    assert_true(has(r, 1));
    assert_true(tt_l1_free(r));
}

/* What was evicted for the order may still be read: the store waits for that, and gives up if it takes too long. */
static void an_order_waits_for_readers(void **state)
{
    (void)state;
    struct tt_l1 *r = tt_l1_new_with_room(LIMIT, 1, NULL, ROOM);
    struct cache_evict_ops own = tc_evict_s3fifo;
    own.state_bytes = TC_EVICT_STATE_MAX;
    struct tc_stripe *s = &r->l1.stripes[0];
    uint64_t n = 0;
    struct tc_reader *me = tc_reader_self(&r->l1.readers);
    assert_non_null(me);
    tt_l1_have_company(r);
    tt_l1_bring(r, OWN, &own);
    while (!tc_l1_is_full(&r->l1))
        assert_int_equal(put(r, 2 * n++, 0), CACHE_OK);
    tc_reader_enter(&r->l1.readers, me);
    while (put(r, 2 * n++, 0) == CACHE_OK) /* until all that waits waits for this reader */
        assert_true(n < 100000);
    uint64_t idle = tc_stripe_idle(s);
    atomic_fetch_sub(&s->granted, idle); /* it would do for an order */
    assert_int_equal(put(r, 1, OWN), CACHE_E_NOMEM);
    assert_null(s->shared.next);
    atomic_fetch_add(&s->granted, idle);
    tc_reader_leave(me);
    assert_int_equal(put(r, 1, OWN), CACHE_OK);
    assert_true(has(r, 1));
    assert_true(tt_l1_free(r));
}

/* One that is in the way, and goes on a little after it is told to. */
struct reader {
    struct tt_l1 *r;
    _Atomic int stage;
};

static int read_for_a_while(void *arg, unsigned index)
{
    struct reader *reader = arg;
    struct tc_readers *all = &reader->r->l1.readers;
    struct tc_reader *me = tc_reader_self(all);
    (void)index;
    if (me == NULL)
        return 1;
    tc_reader_enter(all, me);
    atomic_store(&reader->stage, 1);
    while (atomic_load(&reader->stage) == 1 && tt_pause(INT64_MAX))
        ;
    for (int64_t end_ms = tt_mono_ms() + 30; tt_pause(end_ms);)
        ;
    tc_reader_leave(me);
    return 0;
}

static void a_store_without_memory_for_its_order_waits_for_a_reader_who_goes_on(void **state)
{
    (void)state;
    struct tt_l1 *r = tt_l1_new_with_room(LIMIT, 1, NULL, ROOM);
    struct cache_evict_ops own = tc_evict_s3fifo;
    own.state_bytes = TC_EVICT_STATE_MAX;
    struct tc_stripe *s = &r->l1.stripes[0];
    struct reader reader = { .r = r };
    uint64_t n = 0;
    tt_l1_bring(r, OWN, &own);
    while (!tc_l1_is_full(&r->l1))
        assert_int_equal(put(r, 2 * n++, 0), CACHE_OK);
    struct tt_crew *crew = tt_crew_start(1, read_for_a_while, &reader);
    while (atomic_load(&reader.stage) == 0 && tt_pause(INT64_MAX))
        ;
    while (put(r, 2 * n++, 0) == CACHE_OK)
        assert_true(n < 100000);
    uint64_t idle = tc_stripe_idle(s);
    atomic_fetch_sub(&s->granted, idle);
    atomic_store(&reader.stage, 2);
    assert_int_equal(put(r, 1, OWN), CACHE_OK);
    assert_true(has(r, 1));
    atomic_fetch_add(&s->granted, idle);
    assert_int_equal(tt_crew_join(crew), 0);
    assert_true(tt_l1_free(r));
}

static int put_in(struct tt_l1 *r, uint64_t number, size_t type, size_t stripe)
{
    struct tt_l1_put p = { .type = type, .len = LEN, .advance = true };
    return tt_l1_put_with(r, tt_l1_key_in(r, number, stripe), &p);
}

/* Its stripe has nothing, another one has all. */
static void memory_for_an_order_comes_from_other_stripes(void **state)
{
    (void)state;
    struct tt_l1 *r = tt_l1_new_with_room(LIMIT, 2, NULL, ROOM);
    struct cache_evict_ops own = tc_evict_s3fifo;
    own.state_bytes = TC_EVICT_STATE_MAX;
    tt_l1_bring(r, OWN, &own);
    for (uint64_t n = 0; !tc_l1_is_full(&r->l1); n++)
        assert_int_equal(put_in(r, 2 * n, 0, 1), CACHE_OK);
    assert_int_equal(r->l1.stripes[0].granted, 0);
    assert_int_equal(put_in(r, 1, OWN, 0), CACHE_OK);
    assert_int_equal(tt_l1_type_entries(r, OWN), 1);
    assert_true(tc_l1_check(&r->l1));
    assert_true(tt_l1_free(r));
}

/* A quota is enforced everywhere: where the type has nothing it gets no order for that. */
static void trimming_makes_no_orders_of_their_own(void **state)
{
    enum { WHERE = 4, QUOTA = 20 };
    (void)state;
    struct tt_l1 *r = tt_l1_new_with_room(LIMIT, WHERE, NULL, ROOM);
    tt_l1_bring(r, OWN, &tc_evict_s3fifo);
    for (size_t stripe = 0; stripe < WHERE; stripe++)
        assert_int_equal(put_in(r, 2 * stripe, 0, stripe), CACHE_OK);
    for (size_t round = 0; round < WHERE; round++) { /* each time another stripe is asked first */
        r->policies[OWN].l1_quota_entries = 0;
        for (uint64_t n = 0; n < 100; n++)
            assert_int_equal(put_in(r, 2 * n + 1, OWN, n % 2), CACHE_OK);
        r->policies[OWN].l1_quota_entries = QUOTA;
        assert_int_equal(put_in(r, 1, OWN, 0), CACHE_OK);
        assert_in_range(tt_l1_type_entries(r, OWN), 1, QUOTA);
    }
    for (size_t stripe = 0; stripe < WHERE; stripe++)
        assert_int_equal(r->l1.stripes[stripe].shared.next != NULL, stripe < 2);
    assert_true(tt_l1_free(r));
}

/* ---- a slot that no policy of the library with locked hits has ---- */

static void exact_replace(void *state, uint32_t from, uint32_t to, uint64_t hash, size_t bytes)
{
    tc_evict_lru_exact.remove(state, from);
    tc_evict_lru_exact.insert(state, to, hash, bytes);
}

static void a_value_that_replaces_one_is_a_use(void **state)
{
    struct cache_evict_ops own = tc_evict_lru_exact;
    (void)state;
    own.replace = exact_replace;
    struct tt_l1 *r = tt_l1_new_with_room(LIMIT, 1, &tc_evict_lru_exact, ROOM);
    struct tc_stripe *s = &r->l1.stripes[0];
    tt_l1_bring(r, OWN, &own);
    assert_int_equal(put(r, 1, OWN), CACHE_OK);
    for (uint64_t n = 1; n < 50; n++)
        assert_int_equal(put(r, 2 * n, 0), CACHE_OK);
    assert_int_equal(put(r, 1, OWN), CACHE_OK);
    tc_lock_acquire(&s->lock);
    uint32_t victim = tc_stripe_victim(s, NULL, 0);
    assert_int_equal(tc_entry_type_id(tc_stripe_entry(s, victim)), r->types[0]->id);
    tc_lock_release(&s->lock);
    assert_true(tt_l1_free(r));
}

/* ---- everything together ---- */

static void types_never_stand_in_each_others_orders(void **state)
{
    uint64_t seed = tt_seed();
    (void)state;
    struct tt_l1 *r = tt_l1_new_with_room(LIMIT, 1, &tc_evict_lfu, ROOM);
    struct tc_stripe *s = &r->l1.stripes[0];
    tt_l1_bring(r, 1, &tc_evict_lru);
    tt_l1_bring(r, 2, &tc_evict_lru_exact);
    tt_l1_have_company(r);
    for (uint64_t step = 0; step < 20000; step++) {
        uint64_t random = tt_random(&seed), number = random / 8 % 6000;
        struct tt_l1_put p = { .type = number % 4, .len = random / 65536 % 600, .advance = true,
                               .ttl_ms = (int64_t)(random % 3 * 500) };
        if (random % 8 < 4)
            assert_int_equal(tt_l1_put_with(r, tt_l1_key(r, number), &p), CACHE_OK);
        else if (random % 8 == 7)
            tt_l1_invalidate(r, tt_l1_key(r, number));
        else
            has(r, number);
        tt_clock_advance(&r->time, 1);
        if (step % 5000 == 4999) {
            uint64_t limit = step % 10000 == 9999 ? LIMIT : LIMIT / 2;
            assert_int_equal(tc_l1_resize(&r->l1, limit, tt_l1_now(r) + 1000), CACHE_OK);
        }
        if (step % 2000 == 0) {
            assert_true(tc_l1_check(&r->l1));
            assert_int_equal(s->shared.count, tt_l1_type_entries(r, 0) + tt_l1_type_entries(r, 3));
            for (const struct tc_order *o = s->shared.next; o != NULL; o = o->next)
                assert_int_equal(o->count, tt_l1_type_entries(r, o->type->id));
        }
    }
    tc_l1_clear(&r->l1);
    assert_int_equal(tt_l1_type_entries(r, 1) + tt_l1_type_entries(r, 2), 0);
    assert_true(tt_l1_free(r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_policy_is_told_of_its_own_hits_in_its_way),
        cmocka_unit_test(a_value_past_its_time_is_no_hit),
        cmocka_unit_test(only_those_are_told_apart_whose_policy_is_told_otherwise),
        cmocka_unit_test(hits_are_counted_for_ttl_policies_too),
        cmocka_unit_test(a_quota_goes_by_the_types_own_order),
        cmocka_unit_test(quotas_hold_under_every_policy_and_when_they_change),
        cmocka_unit_test(types_with_the_same_load_have_about_the_same_memory),
        cmocka_unit_test(what_is_used_stays_beside_what_is_not),
        cmocka_unit_test(a_priority_weighs_as_among_types_of_one_policy),
        cmocka_unit_test(without_memory_for_its_order_nothing_is_stored),
        cmocka_unit_test(where_nothing_can_be_evicted_the_store_is_refused_and_a_later_one_not),
        cmocka_unit_test(an_order_waits_for_readers),
        cmocka_unit_test(a_store_without_memory_for_its_order_waits_for_a_reader_who_goes_on),
        cmocka_unit_test(memory_for_an_order_comes_from_other_stripes),
        cmocka_unit_test(trimming_makes_no_orders_of_their_own),
        cmocka_unit_test(a_value_that_replaces_one_is_a_use),
        cmocka_unit_test(types_never_stand_in_each_others_orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
