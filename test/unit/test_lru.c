/* The default order of eviction, against times of use: without hits the victim is the one that came first, with hits
 * one of those used longest ago, as far as stamps tell times apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "platform/platform.h"
#include "tt_evict.h"
#include "tt_util.h"

enum {
    NODES = 512,
    MANY = 8000,
    STEPS = 60000,
    STAMPS = 255,
    TOLD_APART = 128, /* ticks; what was used before them all is one */
    STORED = 64,     /* L1 ticks when a 64th of the entries was stored */
    MARKED = 16      /* or a 16th was hit */
};

struct order {
    struct tt_evict *e;
    uint64_t inserted_at[MANY]; /* the reference: when it came, */
    uint64_t used_in[MANY];     /* and the tick in which it was last inserted or hit */
    uint64_t clock, tick, toward_tick;
};

static void tick(struct order *o)
{
    o->tick++;
    o->toward_tick = 0;
    tc_evict_lru.tick(o->e->state, (uint8_t)(1 + o->tick % STAMPS));
}

static struct order *new_order(void)
{
    struct order *o = tt_xcalloc(sizeof *o);
    o->e = tt_evict_open(&tc_evict_lru, MANY);
    tick(o);
    return o;
}

static bool free_order(struct order *o)
{
    bool clean = tt_evict_close(o->e);
    free(o);
    return clean;
}

static int setup(void **state)
{
    *state = new_order();
    return 0;
}

static int teardown(void **state)
{
    return free_order(*state) ? 0 : -1;
}

/* The byte that is L1's. */
static _Atomic uint8_t *stamp_of(struct order *o, size_t i)
{
    return tt_evict_node(o->e, i);
}

static void used(struct order *o, uint64_t share)
{
    o->toward_tick += share;
    if (o->toward_tick > o->e->count)
        tick(o);
}

static void insert(struct order *o, size_t i)
{
    tt_evict_insert(o->e, i, TT_EVICT_BYTES);
    o->inserted_at[i] = ++o->clock;
    o->used_in[i] = o->tick;
}

/* As L1 does it. False: there was nothing to do. */
static bool hit(struct order *o, size_t i)
{
    uint8_t now = (uint8_t)(1 + o->tick % STAMPS);
    o->used_in[i] = o->tick;
    if (atomic_load_explicit(stamp_of(o, i), memory_order_relaxed) == now)
        return false;
    atomic_store_explicit(stamp_of(o, i), now, memory_order_relaxed);
    return true;
}

static void take_out(struct order *o, size_t i)
{
    tt_evict_remove(o->e, i);
}

/* Index of the victim, or MANY. */
static size_t victim(struct order *o)
{
    size_t i = tt_evict_victim(o->e);
    return i != TT_EVICT_NONE ? i : MANY;
}

/* Nothing but the order's own victims: each that is there comes once. */
static void drain(struct order *o)
{
    while (o->e->count > 0) {
        size_t v = victim(o);
        assert_true(v < MANY && o->e->in[v]);
        take_out(o, v);
    }
    assert_int_equal(victim(o), MANY);
}

/* ---- the table ---- */

static void the_table_keeps_within_the_limits_of_its_own_contract(void **state)
{
    (void)state;
    assert_int_equal(tc_evict_lru.abi, CACHE_HOOKS_ABI);
    assert_true(tc_evict_lru.state_bytes <= TC_EVICT_STATE_MAX && tc_evict_lru.node_bytes <= TC_EVICT_NODE_MAX);
    assert_true(tc_evict_lru.state_bytes <= 4096 && tc_evict_lru.node_bytes <= 256);
    /* Hits take no lock. */
    assert_int_equal(tc_evict_lru.flags, CACHE_EVICT_STAMPED_HITS | CACHE_EVICT_LAST_IN | CACHE_EVICT_ENDS_FULL);
    assert_null(tc_evict_lru.hit);
    assert_int_equal(tc_evict_lru.node_bytes, 8); /* of each entry in memory */
    assert_string_equal(tc_evict_lru.name, "lru");
}

static void the_stamp_is_0_after_an_insertion(void **state)
{
    struct order *o = *state;
    insert(o, 0);
    assert_int_equal(*stamp_of(o, 0), 0);
    hit(o, 0);
    take_out(o, 0);
    tc_evict_lru.insert(o->e->state, tt_evict_entry(o->e, 0), 0, 100); /* of one that was hit before */
    assert_int_equal(*stamp_of(o, 0), 0);
    tc_evict_lru.remove(o->e->state, tt_evict_entry(o->e, 0));
}

/* ---- without hits ---- */

static void an_empty_order_has_no_victim(void **state)
{
    struct order *o = *state;
    assert_int_equal(victim(o), MANY);
    insert(o, 0);
    take_out(o, 0);
    assert_int_equal(victim(o), MANY);
    for (int i = 0; i < 2 * STAMPS; i++) {
        tick(o);
        assert_int_equal(victim(o), MANY);
    }
}

static void the_victim_stays_until_it_is_removed(void **state)
{
    struct order *o = *state;
    insert(o, 0);
    insert(o, 1);
    assert_int_equal(victim(o), 0);
    tick(o);
    assert_int_equal(victim(o), 0);
    take_out(o, 0);
    assert_int_equal(victim(o), 1);
}

/* Before there is a tick at all too: an order begins without one. */
static void without_hits_entries_leave_in_the_order_they_came(void **state)
{
    (void)state;
    struct tt_evict *e = tt_evict_open(&tc_evict_lru, NODES);
    for (size_t i = 0; i < NODES; i++)
        tt_evict_insert(e, i, TT_EVICT_BYTES);
    for (size_t i = 0; i < NODES; i++)
        assert_int_equal(tt_evict_evict(e), i);
    assert_int_equal(tt_evict_victim(e), TT_EVICT_NONE);
    assert_true(tt_evict_close(e));
}

/* Far more ticks than are told apart, with gaps, and so many at once that nothing is left in any newer list. */
static void many_ticks_change_neither_who_is_there_nor_the_order(void **state)
{
    struct order *o = *state;
    uint64_t seed = tt_seed();
    for (int round = 0; round < 20; round++) {
        size_t first = 0, n = 0;
        while (n < NODES) {
            for (uint64_t few = tt_random(&seed) % 8; few > 0 && n < NODES; few--)
                insert(o, n++);
            for (uint64_t ticks = tt_random(&seed) % (round % 2 ? 3 : 150); ticks > 0; ticks--)
                tick(o);
            if (tt_random(&seed) % 4 == 0 && first < n) {
                assert_int_equal(victim(o), first);
                take_out(o, first++);
            }
        }
        for (; first < n; first++) {
            assert_int_equal(victim(o), first);
            take_out(o, first);
        }
        assert_int_equal(victim(o), MANY);
    }
}

static size_t oldest_by_insertion(const struct order *o)
{
    size_t oldest = MANY;
    for (size_t i = 0; i < NODES; i++)
        if (o->e->in[i] && (oldest == MANY || o->inserted_at[i] < o->inserted_at[oldest]))
            oldest = i;
    return oldest;
}

static void an_entry_may_be_removed_from_anywhere(void **state)
{
    struct order *o = *state;
    uint64_t seed = tt_seed();
    for (int step = 0; step < 5 * NODES; step++) {
        size_t i = tt_random(&seed) % NODES;
        if (o->e->in[i])
            take_out(o, i);
        else
            insert(o, i);
        if (tt_random(&seed) % 8 == 0)
            tick(o);
        assert_int_equal(victim(o), oldest_by_insertion(o));
    }
    for (; o->e->count > 0; take_out(o, victim(o)))
        assert_int_equal(victim(o), oldest_by_insertion(o));
}

/* ---- with hits ---- */

static void a_hit_saves_the_oldest_entry(void **state)
{
    struct order *o = *state;
    for (size_t i = 0; i < NODES; i++)
        insert(o, i);
    hit(o, 0);
    assert_int_equal(victim(o), 1);
    tick(o);
    hit(o, 1);
    assert_int_equal(victim(o), 2);
}

static void hits_change_the_order(void **state)
{
    struct order *o = *state;
    for (size_t i = 0; i < 7; i++)
        insert(o, i);
    tick(o);
    hit(o, 0);
    tick(o);
    hit(o, 3);
    tick(o);
    hit(o, 0);
    const size_t expected[] = { 1, 2, 4, 5, 6, 3, 0 };
    for (size_t i = 0; i < TC_ARRAY_LEN(expected); i++) {
        assert_int_equal(victim(o), expected[i]);
        take_out(o, expected[i]);
    }
}

static void the_newest_and_an_only_entry_may_be_hit_too(void **state)
{
    struct order *o = *state;
    insert(o, 0);
    hit(o, 0);
    assert_int_equal(victim(o), 0);
    insert(o, 1);
    hit(o, 1);
    assert_int_equal(victim(o), 0);
    take_out(o, 0);
    assert_int_equal(victim(o), 1);
    take_out(o, 1);
    assert_int_equal(victim(o), MANY);
}

static uint64_t age(const struct order *o, size_t i)
{
    uint64_t ticks = o->tick - o->used_in[i];
    return ticks < TOLD_APART - 1 ? ticks : TOLD_APART - 1;
}

static uint64_t greatest_age(const struct order *o)
{
    uint64_t greatest = 0;
    for (size_t i = 0; i < NODES; i++)
        if (o->e->in[i] && age(o, i) > greatest)
            greatest = age(o, i);
    return greatest;
}

static size_t any_there(const struct order *o, uint64_t *seed)
{
    size_t i = tt_random(seed) % NODES;
    while (!o->e->in[i])
        i = (i + 1) % NODES;
    return i;
}

/* A cache that is full, through many rounds of stamps: some keys are hit much, all now and then. */
static void the_victim_was_used_no_later_than_any_other_as_far_as_stamps_tell(void **state)
{
    struct order *o = *state;
    uint64_t seed = tt_seed();
    for (size_t i = 0; i < NODES - 1; i++)
        insert(o, i);
    size_t gap = NODES - 1;
    for (int step = 0; step < STEPS; step++) {
        for (uint64_t hits = tt_random(&seed) % 4; hits > 0; hits--) {
            uint64_t one_of_few = tt_random(&seed) % 20;
            if (hit(o, any_there(o, tt_random(&seed) % 2 ? &seed : &one_of_few)))
                used(o, MARKED);
        }
        size_t v = victim(o);
        assert_true(v < NODES && o->e->in[v]);
        assert_int_equal(age(o, v), greatest_age(o));
        take_out(o, v);
        insert(o, gap);
        used(o, STORED);
        gap = v;
    }
    assert_true(o->tick > 10 * STAMPS);
    drain(o);
}

static void hot_entries_are_never_victims_however_long_a_scan_goes_on(void **state)
{
    struct order *o = *state;
    enum { HOT = 16 };
    for (size_t i = 0; i < NODES; i++)
        insert(o, i);
    for (size_t i = 0; i < HOT; i++)
        hit(o, i);
    for (int step = 0; step < STEPS; step++) {
        size_t v = victim(o);
        assert_in_range(v, HOT, NODES - 1);
        take_out(o, v);
        insert(o, v); /* the scan's next entry takes its place */
        used(o, STORED);
        if (hit(o, (size_t)step % HOT))
            used(o, MARKED);
    }
    assert_true(o->tick > 10 * STAMPS);
}

static void who_was_hit_before_all_that_is_told_apart_is_among_the_oldest(void **state)
{
    struct order *o = *state;
    for (int since = TOLD_APART; since < STAMPS; since++) {
        insert(o, 0);
        hit(o, 0);
        for (int i = 0; i < since; i++) {
            if (i == since - 20)
                insert(o, 1);
            tick(o);
        }
        assert_int_equal(victim(o), 0);
        take_out(o, 0);
        assert_int_equal(victim(o), 1);
        take_out(o, 1);
    }
}

/* It looks as if it were used just now: the price of one byte. It is believed once. */
static void a_stamp_that_went_all_the_way_round_is_believed_once(void **state)
{
    struct order *o = *state;
    insert(o, 0);
    hit(o, 0);
    for (int i = 0; i < STAMPS; i++)
        tick(o);
    assert_false(hit(o, 0));
    insert(o, 1);
    tick(o);
    assert_int_equal(victim(o), 1); /* it stands where 0 does now, and came first */
    take_out(o, 1);
    insert(o, 2);
    assert_int_equal(victim(o), 0);
    take_out(o, 0);
    assert_int_equal(victim(o), 2);
}

/* The reference: where each entry was put, by tick and then by turn, and a search through all of them. */
struct model {
    uint64_t put_in[NODES], turn[NODES], turns;
    uint64_t hit_in[NODES]; /* 0: it was not hit since */
};

static void put(struct model *m, size_t i, uint64_t tick)
{
    m->put_in[i] = tick;
    m->turn[i] = ++m->turns;
    m->hit_in[i] = 0;
}

static size_t first_of(const struct model *m, const bool *in)
{
    size_t v = MANY;
    for (size_t i = 0; i < NODES; i++)
        if (in[i] && (v == MANY || m->put_in[i] < m->put_in[v] ||
                      (m->put_in[i] == m->put_in[v] && m->turn[i] < m->turn[v])))
            v = i;
    return v;
}

static size_t model_victim(struct model *m, const struct order *o)
{
    size_t v;
    while ((v = first_of(m, o->e->in)) != MANY && m->hit_in[v] > 0) {
        uint64_t ticks = (o->tick - m->hit_in[v]) % STAMPS;
        put(m, v, o->tick - (ticks < TOLD_APART - 1 ? ticks : TOLD_APART - 1));
    }
    return v;
}

static void victims_are_those_of_a_search_through_all(void **state)
{
    struct order *o = *state;
    struct model *m = tt_xcalloc(sizeof *m);
    uint64_t seed = tt_seed();
    for (int step = 0; step < STEPS / 2; step++) {
        uint64_t what = tt_random(&seed) % 4096;
        size_t i = tt_random(&seed) % (what % 8 ? 32 : 128);
        if (!o->e->in[i]) {
            insert(o, i);
            put(m, i, o->tick);
        } else if (what % 4 == 0) {
            take_out(o, i);
        } else {
            hit(o, i);
            m->hit_in[i] = o->tick;
        }
        for (uint64_t ticks = what == 1 ? tt_random(&seed) % 600 : what % 16 == 1; ticks > 0; ticks--)
            tick(o);
        if (what % 4 == 3)
            continue;
        size_t v = model_victim(m, o);
        assert_int_equal(victim(o), v);
        if (v != MANY && what % 4 == 2)
            take_out(o, v);
    }
    free(m);
}

static size_t count_stamped(struct order *o)
{
    size_t n = 0;
    for (size_t i = 0; i < MANY; i++)
        n += *stamp_of(o, i) != 0;
    return n;
}

static void a_search_is_bounded_and_goes_on_where_it_stopped(void **state)
{
    struct order *o = *state;
    size_t calls = 0;
    for (size_t i = 0; i < MANY; i++)
        insert(o, i);
    tick(o);
    for (size_t i = 0; i < MANY; i++)
        hit(o, i);
    for (size_t stamped = MANY; stamped > 0; calls++) {
        size_t v = victim(o), left = count_stamped(o);
        assert_true(v < MANY && o->e->in[v]);
        assert_true(left < stamped && stamped - left <= MANY / 4); /* no stripe is locked for long */
        stamped = left;
    }
    assert_true(calls >= 4);
    assert_int_equal(victim(o), 0); /* sorted by now: all were hit in one tick, this came first */
    drain(o);
}

static void change_something(struct order *o, uint64_t *seed)
{
    size_t i = tt_random(seed) % NODES;
    uint64_t what = tt_random(seed) % 1000;
    if (!o->e->in[i])
        insert(o, i);
    else if (what < 600)
        hit(o, i);
    else if (what < 850)
        take_out(o, i);
    if (what % 16 == 0)
        tick(o);
    for (uint64_t ticks = what == 1 ? tt_random(seed) % 600 : 0; ticks > 0; ticks--)
        tick(o);
}

static void whatever_happens_each_entry_is_there_once(void **state)
{
    struct order *o = *state;
    uint64_t seed = tt_seed();
    for (int round = 0; round < 40; round++) {
        for (int step = 0; step < 3000; step++) {
            change_something(o, &seed);
            size_t v = o->e->count > 0 && tt_random(&seed) % 2 ? victim(o) : MANY;
            assert_true(v == MANY || o->e->in[v]);
            if (v != MANY && tt_random(&seed) % 3 == 0)
                take_out(o, v);
        }
        drain(o);
    }
}

static void orders_are_independent(void **state)
{
    struct order *a = *state, *b = new_order();
    insert(a, 0);
    insert(b, 5);
    insert(a, 1);
    hit(b, 5);
    tick(b);
    take_out(a, 0);
    assert_int_equal(victim(a), 1);
    assert_int_equal(victim(b), 5);
    assert_true(free_order(b));
}

/* ---- threads ---- */

struct race {
    struct order *o;
    _Atomic uint8_t now;
    _Atomic bool done;
};

/* Hits take no lock: they come at any time. */
static int hit_all_the_time(void *arg, unsigned index)
{
    struct race *r = arg;
    uint64_t seed = index;
    while (!atomic_load(&r->done)) {
        _Atomic uint8_t *stamp = stamp_of(r->o, tt_random(&seed) % NODES);
        atomic_store_explicit(stamp, atomic_load_explicit(&r->now, memory_order_relaxed), memory_order_relaxed);
    }
    return 0;
}

static void hits_may_come_while_a_victim_is_sought(void **state)
{
    struct order *o = *state;
    struct race r = { .o = o };
    for (size_t i = 0; i < NODES; i++)
        insert(o, i);
    struct tt_crew *crew = tt_crew_start(2, hit_all_the_time, &r);
    for (int step = 0; step < STEPS / 4; step++) {
        uint32_t v = tc_evict_lru.victim(o->e->state);
        tc_evict_lru.remove(o->e->state, v);
        tc_evict_lru.insert(o->e->state, v, 0, 100);
        if (step % 8 == 0)
            tick(o);
        atomic_store(&r.now, (uint8_t)(1 + o->tick % STAMPS));
    }
    atomic_store(&r.done, true);
    assert_int_equal(tt_crew_join(crew), 0);
    drain(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_keeps_within_the_limits_of_its_own_contract),
        cmocka_unit_test_setup_teardown(the_stamp_is_0_after_an_insertion, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_order_has_no_victim, setup, teardown),
        cmocka_unit_test_setup_teardown(the_victim_stays_until_it_is_removed, setup, teardown),
        cmocka_unit_test(without_hits_entries_leave_in_the_order_they_came),
        cmocka_unit_test_setup_teardown(many_ticks_change_neither_who_is_there_nor_the_order, setup, teardown),
        cmocka_unit_test_setup_teardown(an_entry_may_be_removed_from_anywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(a_hit_saves_the_oldest_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(hits_change_the_order, setup, teardown),
        cmocka_unit_test_setup_teardown(the_newest_and_an_only_entry_may_be_hit_too, setup, teardown),
        cmocka_unit_test_setup_teardown(the_victim_was_used_no_later_than_any_other_as_far_as_stamps_tell, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(hot_entries_are_never_victims_however_long_a_scan_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(who_was_hit_before_all_that_is_told_apart_is_among_the_oldest, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stamp_that_went_all_the_way_round_is_believed_once, setup, teardown),
        cmocka_unit_test_setup_teardown(victims_are_those_of_a_search_through_all, setup, teardown),
        cmocka_unit_test_setup_teardown(a_search_is_bounded_and_goes_on_where_it_stopped, setup, teardown),
        cmocka_unit_test_setup_teardown(whatever_happens_each_entry_is_there_once, setup, teardown),
        cmocka_unit_test_setup_teardown(orders_are_independent, setup, teardown),
        cmocka_unit_test_setup_teardown(hits_may_come_while_a_victim_is_sought, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
