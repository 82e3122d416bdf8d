/* What the orders remember of keys that left, against a plain list of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/ghost.h"
#include "tt_util.h"
#include "unit/tt_evict.h"

static struct tt_alloc memory;
static struct cache_evict_env env;

static int setup(void **state)
{
    tt_alloc_init(&memory);
    env = tt_evict_env(&memory);
    *state = tt_xcalloc(sizeof(struct tc_ghost));
    return 0;
}

static int teardown(void **state)
{
    tc_ghost_fini(*state, &env);
    free(*state);
    bool clean = tt_alloc_is_clean(&memory);
    tt_alloc_fini(&memory);
    return clean ? 0 : -1;
}

enum { TAGS = 256 };

/* Tags of which the first few, however many, lie evenly among all numbers, so that no bucket gets more than its share:
 * the bits in reverse. */
static uint32_t tag(size_t i)
{
    uint32_t t = 0;
    for (int bit = 0; bit < 32; bit++)
        t |= (uint32_t)(i >> bit & 1) << (31 - bit);
    return t;
}

static void the_last_tags_are_remembered_once_each(void **state)
{
    struct tc_ghost *g = *state;
    tc_ghost_reserve(g, &env, 50);
    for (size_t i = 0; i < 100; i++)
        tc_ghost_add(g, tag(i));
    for (size_t i = 0; i < 50; i++)
        assert_int_equal(tc_ghost_take(g, tag(i)), 0);
    for (size_t i = 50; i < 100; i++) {
        assert_int_equal(tc_ghost_take(g, tag(i)), 100 - i); /* the last one was added 1 addition ago */
        assert_int_equal(tc_ghost_take(g, tag(i)), 0);
    }
}

static void what_is_taken_makes_room_for_older_ones(void **state)
{
    struct tc_ghost *g = *state;
    tc_ghost_reserve(g, &env, 10);
    for (size_t i = 0; i < 10; i++)
        tc_ghost_add(g, tag(i));
    assert_true(tc_ghost_take(g, tag(9)) > 0);
    tc_ghost_add(g, tag(10));
    assert_true(tc_ghost_take(g, tag(0)) > 0);
}

static void a_tag_that_is_added_again_is_the_newest(void **state)
{
    struct tc_ghost *g = *state;
    tc_ghost_reserve(g, &env, 10);
    for (size_t i = 0; i < 10; i++)
        tc_ghost_add(g, tag(i));
    tc_ghost_add(g, tag(0));
    for (size_t i = 20; i < 29; i++)
        tc_ghost_add(g, tag(i));
    assert_true(tc_ghost_take(g, tag(0)) > 0);
    assert_int_equal(tc_ghost_take(g, tag(9)), 0);
}

static void nothing_is_remembered_after_clearing(void **state)
{
    struct tc_ghost *g = *state;
    tc_ghost_clear(g);
    tc_ghost_reserve(g, &env, 50);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < TAGS; i++)
            tc_ghost_add(g, tag(i));
        tc_ghost_clear(g);
        for (size_t i = 0; i < TAGS; i++)
            assert_int_equal(tc_ghost_take(g, tag(i)), 0);
    }
    tc_ghost_add(g, tag(1));
    assert_int_equal(tc_ghost_take(g, tag(1)), 1);
}

/* The reference: tags in the order in which they were added, with the number of the addition. */
struct list {
    uint32_t tags[TAGS];
    size_t added[TAGS];
    size_t n, last;
};

static bool list_take(struct list *l, uint32_t t)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->tags[i] == t) {
            l->n--;
            memmove(&l->tags[i], &l->tags[i + 1], (l->n - i) * sizeof *l->tags);
            memmove(&l->added[i], &l->added[i + 1], (l->n - i) * sizeof *l->added);
            return true;
        }
    return false;
}

static void list_add(struct list *l, uint32_t t, size_t span, size_t room)
{
    list_take(l, t);
    l->last++;
    while (l->n >= span || (l->n > 0 && l->last - l->added[0] >= 4 * room)) /* no bits for more turns */
        list_take(l, l->tags[0]);
    l->added[l->n] = l->last;
    l->tags[l->n++] = t;
}

static void it_does_what_a_list_does_while_its_span_grows(void **state)
{
    struct tc_ghost *g = *state;
    struct list list = { .n = 0 };
    uint64_t seed = tt_seed();
    for (size_t span = 1; span < TAGS / 2; span += 1 + span / 8) {
        tc_ghost_reserve(g, &env, span);
        for (int step = 0; step < 2000; step++) {
            uint32_t t = tag(tt_random(&seed) % (5 * g->n_buckets));
            if (tt_random(&seed) % 3 > 0) {
                tc_ghost_add(g, t);
                list_add(&list, t, span, g->room);
            } else {
                assert_int_equal(tc_ghost_take(g, t) > 0, list_take(&list, t));
            }
            assert_int_equal(g->live, list.n);
        }
    }
}

static void most_of_it_is_remembered_where_tags_lie_by_chance(void **state)
{
    struct tc_ghost *g = *state;
    enum { SPAN = 10000 };
    uint64_t seed = 1, last = 1;
    size_t found = 0;
    tc_ghost_reserve(g, &env, SPAN);
    for (int i = 0; i < 4 * SPAN; i++) {
        if (i == 3 * SPAN)
            last = seed;
        tc_ghost_add(g, (uint32_t)tt_random(&seed));
    }
    for (int i = 0; i < SPAN; i++)
        found += tc_ghost_take(g, (uint32_t)tt_random(&last)) > 0;
    assert_in_range(found, SPAN * 98 / 100, SPAN);
}

static void it_goes_on_after_the_last_turn(void **state)
{
    struct tc_ghost *g = *state;
    tc_ghost_reserve(g, &env, 10);
    g->first = g->last = UINT32_MAX - 25;
    for (size_t i = 0; i < 60; i++) {
        tc_ghost_add(g, tag(i));
        assert_in_range(g->live, 1, 10);
    }
    for (size_t i = 50; i < 60; i++)
        assert_int_equal(tc_ghost_take(g, tag(i)), 60 - i);
}

static void without_memory_it_remembers_what_it_has_room_for(void **state)
{
    struct tc_ghost *g = *state;
    tt_alloc_fail(&memory, 1, true);
    tc_ghost_reserve(g, &env, 100);
    tc_ghost_add(g, tag(1));
    assert_int_equal(tc_ghost_take(g, tag(1)), 0);
    tt_alloc_fail(&memory, 0, false);
    for (int i = 0; i < 100 && g->room == 0; i++)
        tc_ghost_reserve(g, &env, 100); /* asks again, not at once */
    for (size_t i = 0; i < 100; i++)
        tc_ghost_add(g, tag(i));
    tt_alloc_fail(&memory, 1, true);
    tc_ghost_reserve(g, &env, 1000);
    assert_int_equal(g->span, g->room);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(tc_ghost_take(g, tag(i)), 100 - i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_last_tags_are_remembered_once_each, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_taken_makes_room_for_older_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tag_that_is_added_again_is_the_newest, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_remembered_after_clearing, setup, teardown),
        cmocka_unit_test_setup_teardown(it_does_what_a_list_does_while_its_span_grows, setup, teardown),
        cmocka_unit_test_setup_teardown(most_of_it_is_remembered_where_tags_lie_by_chance, setup, teardown),
        cmocka_unit_test_setup_teardown(it_goes_on_after_the_last_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_it_remembers_what_it_has_room_for, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
