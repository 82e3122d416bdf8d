/* W-TinyLFU by what it is chosen for: loops, scans, skewed use, and loads that want recency after all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/queue.h"
#include "tt_evict.h"
#include "tt_util.h"

static double miss_ratio(size_t misses, size_t requests)
{
    return (double)misses / (double)requests;
}

/* Loops, of which a cache by recency holds nothing. A quarter of the keys has room. */
static void a_loop_larger_than_the_cache_is_held_in_part(void **state)
{
    (void)state;
    enum { KEYS = 1011, ROOM = 252, LOOPS = 500 };
    size_t misses = 0;
    struct tt_evict *e = tt_evict_open(&tc_evict_wtinylfu, KEYS);
    for (size_t n = 0; n < LOOPS * KEYS; n++)
        misses += !tt_evict_get(e, n % KEYS, ROOM);
    assert_true(miss_ratio(misses, LOOPS * KEYS) < 0.80);
    assert_true(tt_evict_close(e));
}

/* Keys that are asked for twice, the second time when `after` others came between. Returns the hits of the last half of
 * the second requests, in percent. */
static unsigned hits_of_second_requests(size_t room, size_t after)
{
    enum { KEYS = 120000 };
    size_t hits = 0;
    struct tt_evict *e = tt_evict_open(&tc_evict_wtinylfu, KEYS);
    for (size_t i = 0; i < KEYS; i++) {
        tt_evict_get(e, i, room);
        if (i >= after)
            hits += tt_evict_get(e, i - after, room) && i >= KEYS / 2;
    }
    assert_true(tt_evict_close(e));
    return (unsigned)(hits * 100 / (KEYS / 2));
}

static void the_window_grows_until_it_holds_what_comes_again_soon(void **state)
{
    (void)state;
    assert_in_range(hits_of_second_requests(1000, 40), 99, 100); /* within the window that it begins with */
    assert_in_range(hits_of_second_requests(1000, 120), 99, 100);
    assert_in_range(hits_of_second_requests(1000, 300), 99, 100);
    assert_in_range(hits_of_second_requests(1000, 2000), 0, 1);
}

/* Half of all requests is for one of 100 keys, each as often as the others and rarely twice within the room; the rest
 * is for keys that never come again. */
static void what_is_asked_for_once_does_not_displace_what_is_asked_for_again(void **state)
{
    (void)state;
    enum { POPULAR = 100, ROOM = 120, KEYS = 60000 };
    uint64_t seed = tt_seed();
    size_t hits = 0, asked = 0;
    struct tt_evict *e = tt_evict_open(&tc_evict_wtinylfu, KEYS);
    for (size_t i = POPULAR; i < KEYS; i++) {
        tt_evict_get(e, i, ROOM);
        bool hit = tt_evict_get(e, tt_random(&seed) % POPULAR, ROOM);
        if (i > KEYS / 10) {
            hits += hit;
            asked++;
        }
    }
    assert_in_range(hits * 100 / asked, 85, 100);
    assert_true(tt_evict_close(e));
}

/* Hits are noted, not counted: they must be counted by the time that somebody is compared. */
static void hits_count_even_if_nobody_looked_for_long(void **state)
{
    (void)state;
    enum { ROOM = 200, KEYS = 450 };
    struct tt_evict *e = tt_evict_open(&tc_evict_wtinylfu, KEYS);
    for (size_t i = 0; i < ROOM; i++)
        tt_evict_insert(e, i, TT_EVICT_BYTES);
    for (size_t i = 0; i < ROOM / 2; i++)
        for (int hits = 0; hits < 12; hits++)
            tt_evict_hit(e, i);
    for (size_t i = ROOM; i < KEYS; i++) { /* each of them four times: more than the other half, less than this one */
        tt_evict_get(e, i, ROOM);
        for (int hits = 0; hits < 3; hits++)
            tt_evict_hit(e, i);
    }
    size_t held = 0;
    for (size_t i = 0; i < ROOM / 2; i++)
        held += e->in[i];
    assert_in_range(held, ROOM / 2 * 9 / 10, ROOM / 2);
    assert_true(tt_evict_close(e));
}

/* Counts uses of node i's key without touching it: what somebody can do who knows keys that share its counters. */
static void use_a_twin(struct tt_evict *e, size_t i, size_t twin)
{
    memset(tt_evict_node(e, twin), 0, e->ops->node_bytes);
    e->ops->insert(e->state, tt_evict_entry(e, twin), tt_evict_hash(i), TT_EVICT_BYTES);
    for (int hits = 0; hits < 15; hits++)
        tt_evict_hit(e, twin);
    e->ops->remove(e->state, tt_evict_entry(e, twin));
}

/* Entries that are next to leave main, and that only seem popular, do not close it for ever: of those that lose against
 * them by count one in 128 is let in. */
static void who_seems_popular_does_not_stay_for_ever(void **state)
{
    (void)state;
    enum { ROOM = 100, WALL = 30, KEYS = 2000 };
    struct tt_evict *e = tt_evict_open(&tc_evict_wtinylfu, KEYS + 1);
    for (size_t i = 0; i < KEYS; i++) {
        tt_evict_get(e, i, ROOM);
        for (int hits = 0; hits < 5; hits++)
            tt_evict_hit(e, i);
        for (size_t popular = 0; popular < WALL; popular++)
            use_a_twin(e, popular, KEYS);
    }
    size_t held = 0;
    for (size_t i = 0; i < WALL; i++)
        held += e->in[i];
    assert_in_range(held, WALL / 10, WALL * 9 / 10);
    assert_true(tt_evict_close(e));
}

static void without_a_sketch_it_goes_by_recency(void **state)
{
    (void)state;
    enum { ROOM = 100, KEYS = 200, REQUESTS = 5000 };
    uint64_t seed = tt_seed();
    size_t hits = 0;
    struct tt_evict *e = tt_evict_open(&tc_evict_wtinylfu, KEYS);
    tt_alloc_fail(&e->alloc, 1, true);
    for (size_t i = 0; i < ROOM; i++)
        tt_evict_get(e, i, ROOM);
    for (size_t n = 0; n < REQUESTS; n++)
        hits += tt_evict_get(e, ROOM + tt_random(&seed) % (ROOM / 2), ROOM);
    assert_in_range(hits, REQUESTS * 9 / 10, REQUESTS);
    assert_true(tt_evict_close(e));
}

static uint8_t part_of(struct tt_evict *e, size_t i)
{
    return ((const struct tc_hit_node *)tt_evict_node(e, i))->queue;
}

static void a_new_value_does_not_go_through_the_window_again(void **state)
{
    (void)state;
    enum { ROOM = 100, KEYS = 400, USED = 20 };
    struct tt_evict *e = tt_evict_open(&tc_evict_wtinylfu, KEYS);
    for (size_t i = 0; i < KEYS; i++) {
        tt_evict_get(e, i, ROOM);
        tt_evict_get(e, i % USED, ROOM);
    }
    uint8_t window = part_of(e, KEYS - 1);
    assert_int_not_equal(part_of(e, USED - 1), window);
    tt_evict_remove(e, KEYS - 1);
    tt_evict_insert(e, KEYS - 1, TT_EVICT_BYTES);
    assert_int_equal(part_of(e, KEYS - 1), window);
    tt_evict_remove(e, USED - 1);
    tt_evict_insert(e, USED - 1, TT_EVICT_BYTES);
    assert_int_not_equal(part_of(e, USED - 1), window);
    assert_true(tt_evict_close(e));
}

/* First a load that wants a window of almost everything, then one that wants it small: many keys, evenly popular, among
 * others that never come again. */
static void the_window_shrinks_when_the_load_changes(void **state)
{
    (void)state;
    enum { ROOM = 1000, AFTER = 300, FIRST = 60000, POPULAR = 850, LAST = 40000, KEYS = FIRST + POPULAR + LAST };
    uint64_t seed = tt_seed();
    size_t hits = 0;
    struct tt_evict *e = tt_evict_open(&tc_evict_wtinylfu, KEYS);
    for (size_t i = 0; i < FIRST; i++) {
        tt_evict_get(e, i, ROOM);
        if (i >= AFTER)
            tt_evict_get(e, i - AFTER, ROOM);
    }
    for (size_t i = 0; i < LAST; i++) {
        tt_evict_get(e, FIRST + POPULAR + i, ROOM);
        hits += tt_evict_get(e, FIRST + tt_random(&seed) % POPULAR, ROOM) && i >= LAST / 2;
    }
    assert_in_range(hits * 100 / (LAST / 2), 78, 100);
    assert_true(tt_evict_close(e));
}

static void the_window_is_never_without_a_place(void **state)
{
    (void)state;
    for (size_t room = 2; room < 12; room++) {
        struct tt_evict *e = tt_evict_open(&tc_evict_wtinylfu, 1000);
        size_t hits = 0;
        for (size_t i = 0; i < 1000; i++) {
            tt_evict_get(e, i, room);
            hits += tt_evict_get(e, i, room);
        }
        assert_int_equal(hits, 1000);
        assert_true(tt_evict_close(e));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loop_larger_than_the_cache_is_held_in_part),
        cmocka_unit_test(the_window_grows_until_it_holds_what_comes_again_soon),
        cmocka_unit_test(what_is_asked_for_once_does_not_displace_what_is_asked_for_again),
        cmocka_unit_test(hits_count_even_if_nobody_looked_for_long),
        cmocka_unit_test(who_seems_popular_does_not_stay_for_ever),
        cmocka_unit_test(without_a_sketch_it_goes_by_recency),
        cmocka_unit_test(a_new_value_does_not_go_through_the_window_again),
        cmocka_unit_test(the_window_shrinks_when_the_load_changes),
        cmocka_unit_test(the_window_is_never_without_a_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
