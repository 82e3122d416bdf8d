/* One stripe: what is linked is in table, order and wheel alike and leaves all three together; who is evicted next; and
 * which hits the eviction policy is told of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_l1.h"

enum { LIMIT = 1 << 20 };

struct fixture {
    struct tt_l1 *r;
    struct tc_stripe *s; /* the only one; locked during a test */
    struct tc_dropped dropped;
};

static void open_with(struct fixture *f, const struct cache_evict_ops *evict)
{
    f->r = tt_l1_new(LIMIT, 1, evict);
    assert_non_null(f->r);
    for (size_t i = 0; i < TT_L1_TYPES; i++)
        tc_l1_know(&f->r->l1, f->r->types[i]); /* tc_l1_put() does not come in between */
    f->s = tc_l1_stripe(&f->r->l1, 0);
    tc_lock_acquire(&f->s->lock);
    atomic_store(&f->s->granted, atomic_exchange(&f->r->l1.pool, 0)); /* all memory is its own */
}

/* As every caller does it: without the lock. */
static void give_up(struct fixture *f)
{
    tc_lock_release(&f->s->lock);
    tc_l1_give_up(&f->r->l1, &f->dropped);
    tc_lock_acquire(&f->s->lock);
}

static bool close_again(struct fixture *f)
{
    tc_lock_release(&f->s->lock);
    tc_l1_give_up(&f->r->l1, &f->dropped);
    return tt_l1_free(f->r);
}

static int setup(void **state)
{
    struct fixture *f = tt_xcalloc(sizeof *f);
    open_with(f, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    bool clean = close_again(f);
    free(f);
    return clean ? 0 : -1;
}

/* Links a new entry of that number; L1's is the only reference. */
static struct tc_entry *link_new(struct fixture *f, uint64_t number, size_t type, bool own_order, int64_t ttl_ms)
{
    struct tt_l1_put p = { .type = type, .len = 50, .ttl_ms = ttl_ms };
    struct tc_entry *e = tt_l1_entry(f->r, tt_l1_key(f->r, number), &p);
    uint64_t grown_bytes = 0;
    bool failed;
    struct tc_table *before;
    struct tc_entry *instead =
        tc_index_make_room(&f->s->index, &f->r->alloc, e->hash, false, &grown_bytes, &before, &failed);
    assert_false(failed);
    if (before != NULL) /* nobody reads */
        tc_index_free_table(before, &f->r->alloc);
    tc_stripe_account(f->s, grown_bytes, 0);
    struct tc_order *o = tc_stripe_order(f->s, f->r->types[type], own_order);
    tc_stripe_link(f->s, e, o, tt_l1_now(f->r), instead, TC_COUNT_l1_evicted_probe, &f->dropped);
    tc_l1_drop(&f->r->l1, e);
    return e;
}

static struct tc_entry *find(struct fixture *f, uint64_t number)
{
    struct tt_l1_key k = tt_l1_key(f->r, number);
    return tc_stripe_find(f->s, k.hash, tt_l1_ref(&k).key);
}

/* A hit, as a look-up does it. */
static void touch(struct fixture *f, struct tc_entry *e)
{
    struct tc_l1 *l1 = &f->r->l1;
    struct cache_slice key = { tc_entry_key(e), e->key_len };
    tc_lock_release(&f->s->lock);
    tc_l1_touch(l1, f->s, tc_reader_self(&l1->readers), e);
    if (l1->locked_hits)
        tc_l1_tell_hit(f->s, (struct tc_l1_ref){ e->hash, key });
    tc_lock_acquire(&f->s->lock);
}

static void *node_of(struct fixture *f, struct tc_entry *e)
{
    return tc_entry_node(e, f->r->l1.node_bytes);
}

static void remove_entry(struct fixture *f, struct tc_entry *e)
{
    tc_stripe_remove(f->s, e, TC_COUNT_l1_invalidated, &f->dropped);
}

/* ---- linking ---- */

static void what_is_linked_is_everywhere_and_what_is_removed_nowhere(void **state)
{
    struct fixture *f = *state;
    for (uint64_t n = 0; n < 300; n++) {
        struct tc_entry *e = link_new(f, n, n % 2, n % 2, n % 3 ? 5000 : 0);
        assert_ptr_equal(find(f, n), e);
        assert_int_equal(e->refs, TC_ENTRY_IN_L1 + 1);
    }
    assert_true(tc_stripe_check(f->s));
    assert_int_equal(tt_l1_type_entries(f->r, 0), 150);
    for (uint64_t n = 0; n < 300; n++) {
        remove_entry(f, find(f, n));
        assert_null(find(f, n));
        if (n % 50 == 0)
            assert_true(tc_stripe_check(f->s));
    }
    assert_int_equal(tt_l1_type_entries(f->r, 0) + tt_l1_type_entries(f->r, 1), 0);
    assert_int_equal(tt_l1_type_bytes(f->r, 0) + tt_l1_type_bytes(f->r, 1), 0);
    assert_null(tc_stripe_victim(f->s, NULL, NULL));
    assert_int_equal(tt_l1_count(f->r, TC_COUNT_l1_invalidated), 300);
}

static void a_new_entry_may_take_anothers_place(void **state)
{
    struct fixture *f = *state;
    struct tc_entry *old = link_new(f, 1, 0, false, 5000);
    struct tc_entry *e = tt_l1_entry(f->r, tt_l1_key(f->r, 1), &(struct tt_l1_put){ .type = 1, .len = 500 });
    tc_stripe_link(f->s, e, tc_stripe_order(f->s, f->r->types[1], true), tt_l1_now(f->r), old, TC_COUNT_l1_replaced,
                   &f->dropped);
    tc_l1_drop(&f->r->l1, e);
    assert_ptr_equal(find(f, 1), e);
    assert_ptr_equal(f->dropped.first, old);
    assert_int_equal(tt_l1_type_entries(f->r, 0), 0);
    assert_int_equal(tt_l1_type_entries(f->r, 1), 1);
    assert_int_equal(tt_l1_count(f->r, TC_COUNT_l1_replaced), 1);
    assert_true(tc_stripe_check(f->s));
}

static void who_is_pinned_is_not_freed_but_told_as_detached(void **state)
{
    struct fixture *f = *state;
    struct tc_entry *e = link_new(f, 1, 0, false, 0), *free_one = link_new(f, 2, 0, false, 0);
    tc_l1_pin(&f->r->l1, e);
    remove_entry(f, e);
    assert_false(tc_entry_is_in_l1(e));
    give_up(f);
    assert_null(f->dropped.first);
    assert_true(e->refs & TC_ENTRY_DETACHED);
    assert_int_equal(e->refs & TC_ENTRY_REFS, 1);
    assert_int_equal(tt_l1_detached_bytes(f->r), tc_l1_entry_bytes(&f->r->l1, e));
    size_t live = tt_alloc_counts(&f->r->counting).live_blocks;
    remove_entry(f, free_one);
    assert_ptr_equal(f->dropped.first, free_one);
    give_up(f);
    assert_int_equal(tt_alloc_counts(&f->r->counting).live_blocks, live - 1);
    assert_int_equal(tt_l1_detached_bytes(f->r), tc_l1_entry_bytes(&f->r->l1, e));
    tc_l1_release(&f->r->l1, e);
    assert_int_equal(tt_l1_detached_bytes(f->r), 0);
    assert_int_equal(tt_alloc_counts(&f->r->counting).live_blocks, live - 2);
}

/* ---- orders ---- */

static void a_type_gets_one_order_of_its_own_and_it_counts(void **state)
{
    struct fixture *f = *state;
    struct tc_order *shared = tc_stripe_order(f->s, f->r->types[0], false);
    uint64_t before = tc_stripe_bytes(f->s);
    assert_ptr_equal(tc_stripe_order(f->s, f->r->types[1], false), shared);
    struct tc_order *own = tc_stripe_order(f->s, f->r->types[1], true);
    assert_ptr_not_equal(own, shared);
    assert_int_equal(tc_stripe_bytes(f->s), before + tc_stripe_order_bytes(&f->r->l1));
    assert_ptr_equal(tc_stripe_order(f->s, f->r->types[1], true), own);
    assert_ptr_equal(tc_stripe_order(f->s, f->r->types[1], false), own); /* once made, it is the type's */
    assert_ptr_equal(tc_stripe_order(f->s, f->r->types[2], false), shared);
    assert_int_equal(tc_stripe_bytes(f->s), before + tc_stripe_order_bytes(&f->r->l1));
    assert_true(tc_stripe_check(f->s));
}

static void without_memory_for_an_order_the_shared_one_serves(void **state)
{
    struct fixture *f = *state;
    struct tc_order *shared = tc_stripe_order(f->s, f->r->types[0], false);
    uint64_t before = tc_stripe_bytes(f->s);
    for (uint64_t nth = 1; nth <= 2; nth++) {
        tt_alloc_fail(&f->r->counting, nth, false);
        assert_ptr_equal(tc_stripe_order(f->s, f->r->types[1], true), shared);
        tt_alloc_fail(&f->r->counting, 0, false);
        assert_int_equal(tc_stripe_bytes(f->s), before);
    }
    assert_ptr_not_equal(tc_stripe_order(f->s, f->r->types[1], true), shared);
}

static void of_one_order_its_own_oldest_leaves(void **state)
{
    struct fixture *f = *state;
    link_new(f, 1, 0, false, 0);
    struct tc_entry *first = link_new(f, 2, 1, true, 0), *second = link_new(f, 3, 1, true, 0);
    struct tc_order *own = tc_stripe_order(f->s, f->r->types[1], false);
    assert_ptr_equal(tc_stripe_victim(f->s, own, NULL), first);
    remove_entry(f, first);
    assert_ptr_equal(tc_stripe_victim(f->s, own, NULL), second);
    remove_entry(f, second);
    assert_null(tc_stripe_victim(f->s, own, NULL));
}

static void of_all_orders_the_oldest_in_time_leaves(void **state)
{
    struct fixture *f = *state;
    struct tc_entry *in_order[6];
    for (uint64_t n = 0; n < TC_ARRAY_LEN(in_order); n++) {
        in_order[n] = link_new(f, n, n % 3, n % 3 > 0, 0);
        tt_clock_advance(&f->r->time, 10);
    }
    for (size_t n = 0; n < TC_ARRAY_LEN(in_order); n++) {
        assert_ptr_equal(tc_stripe_victim(f->s, NULL, NULL), in_order[n]);
        remove_entry(f, in_order[n]);
    }
}

/* ---- which hits count ---- */

/* Hits are told apart by steps of a part of the entries only: yet the victim was used longer ago than all but a quarter
 * of them. */
static void a_victim_is_never_among_the_most_recently_used_three_quarters(void **state)
{
    struct fixture *f = *state;
    enum { ENTRIES = 400, STEPS = 20000 };
    struct tc_entry *entries[ENTRIES];
    uint64_t used_at[ENTRIES], clock = 0, seed = tt_seed();
    for (uint64_t n = 0; n < ENTRIES; n++) {
        entries[n] = link_new(f, n, 0, false, 0);
        used_at[n] = ++clock;
    }
    for (int step = 0; step < STEPS; step++) {
        size_t n = tt_random(&seed) % (tt_random(&seed) % 2 ? ENTRIES : 20);
        touch(f, entries[n]);
        used_at[n] = ++clock;
        if (tt_random(&seed) % 8 > 0)
            continue;
        struct tc_entry *victim = tc_stripe_victim(f->s, NULL, NULL);
        size_t v = 0, older = 0;
        while (entries[v] != victim)
            v++;
        for (size_t k = 0; k < ENTRIES; k++)
            older += used_at[k] < used_at[v];
        assert_true(older <= ENTRIES / 4 + 1);
        if (step % 2 == 0) { /* and it leaves, and another comes */
            remove_entry(f, victim);
            give_up(f);
            entries[v] = link_new(f, 1000 + (uint64_t)step, 0, false, 0);
            used_at[v] = ++clock;
        }
    }
    assert_true(tc_stripe_check(f->s));
}

struct told {
    _Atomic uint8_t stamp; /* L1's, if hits are stamped */
    unsigned hits;
    void *state; /* of the order that it was last inserted into */
};

static void told_insert(void *state, void *node, uint64_t hash, size_t bytes)
{
    struct told *t = node;
    (void)hash;
    assert_true(bytes > 0);
    assert_true(t->state != NULL || (t->stamp == 0 && t->hits == 0)); /* a node starts as zeros */
    t->hits = 0;
    t->state = state;
}

static void told_hit(void *state, void *node)
{
    (void)state;
    ((struct told *)node)->hits++;
}

static void told_remove(void *state, void *node)
{
    (void)state;
    (void)node;
}

static void *told_victim(void *state)
{
    (void)state;
    return NULL;
}

static const struct cache_evict_ops told_ops = {
    .abi = CACHE_HOOKS_ABI,
    .flags = CACHE_EVICT_LOCKED_HITS,
    .name = "told",
    .state_bytes = 8,
    .node_bytes = sizeof(struct told),
    .insert = told_insert,
    .hit = told_hit,
    .remove = told_remove,
    .victim = told_victim,
};

static void a_policy_without_stamps_is_told_of_every_hit(void **state)
{
    (void)state;
    struct cache_evict_ops ops = told_ops;
    for (int locked = 0; locked < 2; locked++) {
        struct fixture f = { .dropped = { .first = NULL } };
        ops.flags = locked ? CACHE_EVICT_LOCKED_HITS : 0;
        open_with(&f, &ops);
        struct tc_entry *e = NULL;
        for (uint64_t n = 0; n < 100; n++)
            e = link_new(&f, n, 0, false, 0);
        for (int i = 0; i < 50; i++)
            touch(&f, e); /* the newest: near the front anyway */
        assert_int_equal(((struct told *)node_of(&f, e))->hits, 50);
        touch(&f, find(&f, 0)); /* the oldest */
        assert_int_equal(((struct told *)node_of(&f, find(&f, 0)))->hits, 1);
        assert_true(close_again(&f));
    }
}

static void a_policy_with_stamps_is_told_of_none_and_finds_its_stamp(void **state)
{
    (void)state;
    struct cache_evict_ops ops = told_ops;
    struct fixture f = { .dropped = { .first = NULL } };
    ops.flags = CACHE_EVICT_STAMPED_HITS;
    open_with(&f, &ops);
    struct tc_entry *e = NULL;
    for (uint64_t n = 0; n < 100; n++)
        e = link_new(&f, n, 0, false, 0);
    assert_int_equal(((struct told *)node_of(&f, e))->stamp, 0);
    for (int i = 0; i < 50; i++) {
        touch(&f, e);
        assert_int_equal(((struct told *)node_of(&f, e))->stamp, f.s->index.stamp);
    }
    assert_int_not_equal(f.s->index.stamp, 0);
    assert_int_equal(((struct told *)node_of(&f, e))->hits, 0);
    assert_int_equal(((struct told *)node_of(&f, find(&f, 0)))->stamp, 0);
    assert_true(close_again(&f));
}

static void entries_that_change_to_an_order_made_later_are_new_to_it(void **state)
{
    (void)state;
    struct fixture f = { .dropped = { .first = NULL } };
    open_with(&f, &told_ops);
    for (uint64_t n = 0; n < 20; n++)
        touch(&f, link_new(&f, n, n % 2, false, 0));
    struct tc_order *own = tc_stripe_order(f.s, f.r->types[1], true);
    assert_int_equal(own->count, 10);
    for (uint64_t n = 0; n < 20; n++) {
        struct told *t = node_of(&f, find(&f, n));
        assert_int_equal(t->state == own->state, n % 2);
        assert_int_equal(t->hits, n % 2 ? 0 : 1);
    }
    assert_true(tc_stripe_check(f.s));
    assert_true(close_again(&f));
}

/* Sorting is by age in uses, whose count wraps around. */
static void an_order_made_later_begins_with_the_one_not_used_for_longest(void **state)
{
    enum { ENTRIES = 200 };
    (void)state;
    for (uint32_t start = 0; start < 2; start++) {
        struct fixture f = { .dropped = { .first = NULL } };
        struct tc_entry *entries[ENTRIES];
        open_with(&f, NULL);
        f.s->uses = 0u - start * (ENTRIES + ENTRIES / 2);
        for (uint64_t n = 0; n < ENTRIES; n++)
            entries[n] = link_new(&f, n, n % 2, false, n % 3 ? 5000 : 0);
        for (size_t n = ENTRIES; n-- > 0;) /* the other way round, whatever was touched lately */
            touch(&f, entries[n]);
        struct tc_entry *by_age[ENTRIES];
        size_t of_type = 0;
        for (uint32_t age = 2 * ENTRIES; age-- > 0;)
            for (size_t n = 1; n < ENTRIES; n += 2)
                if (f.s->uses - entries[n]->used_at == age)
                    by_age[of_type++] = entries[n];
        assert_int_equal(of_type, ENTRIES / 2);
        struct tc_order *own = tc_stripe_order(f.s, f.r->types[1], true);
        assert_int_equal(own->count, of_type);
        assert_true(tc_stripe_check(f.s));
        for (size_t i = 0; i < of_type; i++) {
            assert_ptr_equal(tc_stripe_victim(f.s, own, NULL), by_age[i]);
            remove_entry(&f, by_age[i]);
        }
        assert_int_equal(own->count, 0);
        assert_int_equal(own->bytes, 0);
        assert_true(close_again(&f));
    }
}

/* A thread tells its last hits to a large stripe when some have come together. */
static void hits_that_were_not_told_yet_are_not_taken_for_the_oldest(void **state)
{
    enum { ENTRIES = 3005 };
    struct fixture *f = *state;
    struct tc_entry *entries[ENTRIES];
    for (uint64_t n = 0; n < ENTRIES; n++)
        entries[n] = link_new(f, n, n % 2, false, 0);
    for (size_t n = 0; n < ENTRIES; n++)
        touch(f, entries[n]);
    struct tc_order *own = tc_stripe_order(f->s, f->r->types[1], true);
    for (size_t n = 1; n < ENTRIES; n += 2) {
        assert_ptr_equal(tc_stripe_victim(f->s, own, NULL), entries[n]);
        remove_entry(f, entries[n]);
    }
    assert_null(tc_stripe_victim(f->s, own, NULL));
}

static void a_policy_without_a_victim_stops_eviction_and_nothing_else(void **state)
{
    (void)state;
    struct tt_l1 *r = tt_l1_new(LIMIT, 2, &told_ops);
    size_t stored = 0;
    for (uint64_t n = 0; n < 5000; n++)
        stored += tt_l1_put(r, tt_l1_key(r, n), 500) == CACHE_OK;
    assert_in_range(stored, 1000, 4999);
    assert_true(tc_l1_bytes(&r->l1) <= LIMIT);
    assert_true(tt_l1_free(r));
}

/* ---- time ---- */

static void expiry_takes_a_few_at_a_time_and_all_in_the_end(void **state)
{
    struct fixture *f = *state;
    for (uint64_t n = 0; n < 500; n++)
        link_new(f, n, 0, false, 1000);
    tt_clock_advance(&f->r->time, 1000 + TC_WHEEL_TICK_MS);
    unsigned calls = 0;
    while (tt_l1_type_entries(f->r, 0) > 0) {
        uint64_t before = tt_l1_type_entries(f->r, 0);
        tc_stripe_expire(f->s, tt_l1_now(f->r), &f->dropped);
        give_up(f);
        assert_in_range(before - tt_l1_type_entries(f->r, 0), 0, 64);
        assert_true(++calls < 500);
    }
    assert_int_equal(tt_l1_count(f->r, TC_COUNT_l1_expired), 500);
    assert_true(tc_stripe_check(f->s));
}

/* ---- the check itself ---- */

static void the_check_sees_a_wrong_account(void **state)
{
    struct fixture *f = *state;
    link_new(f, 1, 0, false, 0);
    assert_true(tc_stripe_check(f->s));
    tc_stripe_account(f->s, 1, 0);
    assert_false(tc_stripe_check(f->s));
    tc_stripe_account(f->s, 0, 1);
    f->s->shared.count++;
    assert_false(tc_stripe_check(f->s));
    f->s->shared.count--;
    f->s->shared.bytes++;
    assert_false(tc_stripe_check(f->s));
    f->s->shared.bytes--;
    assert_true(tc_stripe_check(f->s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_linked_is_everywhere_and_what_is_removed_nowhere, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_entry_may_take_anothers_place, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_pinned_is_not_freed_but_told_as_detached, setup, teardown),
        cmocka_unit_test_setup_teardown(a_type_gets_one_order_of_its_own_and_it_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_for_an_order_the_shared_one_serves, setup, teardown),
        cmocka_unit_test_setup_teardown(of_one_order_its_own_oldest_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(of_all_orders_the_oldest_in_time_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(a_victim_is_never_among_the_most_recently_used_three_quarters, setup, teardown),
        cmocka_unit_test(a_policy_without_stamps_is_told_of_every_hit),
        cmocka_unit_test(a_policy_with_stamps_is_told_of_none_and_finds_its_stamp),
        cmocka_unit_test(entries_that_change_to_an_order_made_later_are_new_to_it),
        cmocka_unit_test(an_order_made_later_begins_with_the_one_not_used_for_longest),
        cmocka_unit_test_setup_teardown(hits_that_were_not_told_yet_are_not_taken_for_the_oldest, setup, teardown),
        cmocka_unit_test(a_policy_without_a_victim_stops_eviction_and_nothing_else),
        cmocka_unit_test_setup_teardown(expiry_takes_a_few_at_a_time_and_all_in_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(the_check_sees_a_wrong_account, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
