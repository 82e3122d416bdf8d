/* The default order of eviction, against times of use: the victim is always the one used longest ago. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "platform/platform.h"
#include "policy/evict.h"
#include "tt_util.h"

enum { NODES = 512, STEPS = 40000 };

struct order {
    uint64_t state[TC_EVICT_STATE_MAX / sizeof(uint64_t)];
    uint64_t nodes[NODES][TC_EVICT_NODE_MAX / sizeof(uint64_t)];
    uint64_t used_at[NODES]; /* the reference: when it was last inserted or hit; 0: not in the order */
    uint64_t clock;
    size_t count;
};

static int setup(void **state)
{
    *state = tt_xcalloc(sizeof(struct order));
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static void insert(struct order *o, size_t i)
{
    memset(o->nodes[i], 0, sizeof o->nodes[i]); /* as the contract promises */
    tc_evict_lru.insert(o->state, o->nodes[i], i, 100);
    o->used_at[i] = ++o->clock;
    o->count++;
}

static void hit(struct order *o, size_t i)
{
    tc_evict_lru.hit(o->state, o->nodes[i]);
    o->used_at[i] = ++o->clock;
}

static void take_out(struct order *o, size_t i)
{
    tc_evict_lru.remove(o->state, o->nodes[i]);
    o->used_at[i] = 0;
    o->count--;
}

/* Index of the victim, or NODES. */
static size_t victim(struct order *o)
{
    uint64_t(*node)[TC_ARRAY_LEN(o->nodes[0])] = tc_evict_lru.victim(o->state);
    return node != NULL ? (size_t)(node - o->nodes) : NODES;
}

static size_t older_than(const struct order *o, size_t i)
{
    size_t n = 0;
    for (size_t k = 0; k < NODES; k++)
        n += o->used_at[k] != 0 && o->used_at[k] < o->used_at[i];
    return n;
}

static void the_table_keeps_within_the_limits_of_its_own_contract(void **state)
{
    (void)state;
    assert_int_equal(tc_evict_lru.abi, CACHE_HOOKS_ABI);
    assert_true(tc_evict_lru.state_bytes <= TC_EVICT_STATE_MAX && tc_evict_lru.node_bytes <= TC_EVICT_NODE_MAX);
    assert_true(tc_evict_lru.state_bytes <= 4096 && tc_evict_lru.node_bytes <= 256);
    assert_true(tc_evict_lru.flags & CACHE_EVICT_LOCKED_HITS); /* it writes links at a hit */
    assert_string_equal(tc_evict_lru.name, "lru");
}

static void an_empty_order_has_no_victim(void **state)
{
    struct order *o = *state;
    assert_int_equal(victim(o), NODES);
    insert(o, 0);
    take_out(o, 0);
    assert_int_equal(victim(o), NODES);
}

static void without_hits_entries_leave_in_the_order_they_came(void **state)
{
    struct order *o = *state;
    for (size_t i = 0; i < NODES; i++)
        insert(o, i);
    for (size_t i = 0; i < NODES; i++) {
        assert_int_equal(victim(o), i);
        take_out(o, i);
    }
    assert_int_equal(victim(o), NODES);
}

static void the_victim_stays_until_it_is_removed(void **state)
{
    struct order *o = *state;
    insert(o, 0);
    insert(o, 1);
    assert_int_equal(victim(o), 0);
    assert_int_equal(victim(o), 0);
}

static void hits_change_the_order(void **state)
{
    struct order *o = *state;
    for (size_t i = 0; i < 7; i++)
        insert(o, i);
    hit(o, 0);
    hit(o, 3);
    hit(o, 0);
    const size_t expected[] = { 1, 2, 4, 5, 6, 3, 0 };
    for (size_t i = 0; i < TC_ARRAY_LEN(expected); i++) {
        assert_int_equal(victim(o), expected[i]);
        take_out(o, expected[i]);
    }
}

static void a_hit_saves_the_oldest_entry(void **state)
{
    struct order *o = *state;
    for (size_t i = 0; i < NODES; i++)
        insert(o, i);
    hit(o, 0);
    assert_int_equal(victim(o), 1);
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
    take_out(o, 1);
    assert_int_equal(victim(o), NODES);
}

static void the_victim_is_always_the_least_recently_used(void **state)
{
    struct order *o = *state;
    uint64_t seed = tt_seed();
    for (int step = 0; step < STEPS; step++) {
        size_t i = tt_random(&seed) % NODES;
        if (o->used_at[i] == 0)
            insert(o, i);
        else if (tt_random(&seed) % 16 > 0)
            hit(o, i);
        else
            take_out(o, i);
        if (o->count == 0)
            continue;
        size_t v = victim(o);
        assert_true(v < NODES && o->used_at[v] != 0);
        assert_int_equal(older_than(o, v), 0);
        if (o->count > NODES / 2 && tt_random(&seed) % 4 == 0)
            take_out(o, v);
    }
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
        assert_true(v >= HOT);
        take_out(o, v);
        insert(o, v); /* the scan's next entry takes its place */
        hit(o, (size_t)step % HOT);
    }
}

static void an_entry_may_be_removed_from_anywhere(void **state)
{
    struct order *o = *state;
    uint64_t seed = tt_seed();
    for (size_t i = 0; i < NODES; i++)
        insert(o, i);
    while (o->count > 0) {
        size_t i = tt_random(&seed) % NODES;
        if (o->used_at[i] != 0)
            take_out(o, i);
        size_t v = victim(o);
        assert_true(o->count == 0 ? v == NODES : o->used_at[v] != 0 && older_than(o, v) == 0);
    }
}

static void orders_are_independent(void **state)
{
    struct order *a = *state, *b = tt_xcalloc(sizeof *b);
    insert(a, 0);
    insert(b, 5);
    insert(a, 1);
    hit(b, 5);
    take_out(a, 0);
    assert_int_equal(victim(a), 1);
    assert_int_equal(victim(b), 5);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_keeps_within_the_limits_of_its_own_contract),
        cmocka_unit_test_setup_teardown(an_empty_order_has_no_victim, setup, teardown),
        cmocka_unit_test_setup_teardown(without_hits_entries_leave_in_the_order_they_came, setup, teardown),
        cmocka_unit_test_setup_teardown(the_victim_stays_until_it_is_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(hits_change_the_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_hit_saves_the_oldest_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(the_newest_and_an_only_entry_may_be_hit_too, setup, teardown),
        cmocka_unit_test_setup_teardown(the_victim_is_always_the_least_recently_used, setup, teardown),
        cmocka_unit_test_setup_teardown(hot_entries_are_never_victims_however_long_a_scan_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(an_entry_may_be_removed_from_anywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(orders_are_independent, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
