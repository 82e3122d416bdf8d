/* The sketch: it never forgets a use before its time, seldom makes one up, and halves everything at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/sketch.h"
#include "tt_util.h"
#include "unit/tt_evict.h"

static struct tt_alloc memory;
static struct cache_evict_env env;

static int setup(void **state)
{
    tt_alloc_init(&memory);
    env = tt_evict_env(&memory);
    *state = tt_xcalloc(sizeof(struct tc_sketch));
    return 0;
}

static int teardown(void **state)
{
    tc_sketch_fini(*state, &env);
    free(*state);
    bool clean = tt_alloc_is_clean(&memory);
    tt_alloc_fini(&memory);
    return clean ? 0 : -1;
}

static void reserve(struct tc_sketch *k, size_t entries)
{
    for (size_t n = 1; n <= entries; n *= 2) /* as an order does that fills */
        tc_sketch_reserve(k, &env, n);
    tc_sketch_reserve(k, &env, entries);
}

static void uses_are_counted_up_to_fifteen(void **state)
{
    struct tc_sketch *k = *state;
    reserve(k, 1000);
    assert_int_equal(tc_sketch_count(k, 7), 0);
    for (unsigned n = 1; n <= 20; n++) {
        tc_sketch_add(k, 7, 1);
        assert_int_equal(tc_sketch_count(k, 7), n < TC_SKETCH_MOST ? n : TC_SKETCH_MOST);
    }
    tc_sketch_add(k, 8, 9);
    assert_int_equal(tc_sketch_count(k, 8), 9);
    tc_sketch_add(k, 8, 255);
    assert_int_equal(tc_sketch_count(k, 8), TC_SKETCH_MOST);
}

static void no_key_counts_less_than_its_own_uses_and_few_count_more(void **state)
{
    struct tc_sketch *k = *state;
    enum { ENTRIES = 4096 };
    uint64_t seed = tt_seed();
    uint32_t tags[ENTRIES];
    uint8_t uses[ENTRIES];
    size_t more = 0;
    reserve(k, ENTRIES);
    for (size_t i = 0; i < ENTRIES; i++) {
        tags[i] = (uint32_t)tt_random(&seed);
        uses[i] = (uint8_t)(1 + tt_random(&seed) % 3);
        tc_sketch_add(k, tags[i], uses[i]);
    }
    for (size_t i = 0; i < ENTRIES; i++) {
        assert_true(tc_sketch_count(k, tags[i]) >= uses[i]);
        more += tc_sketch_count(k, tags[i]) > uses[i];
    }
    assert_in_range(more, 0, ENTRIES / 20);
}

/* Counts other keys until the sketch halves itself. */
static void wait_for_halving(struct tc_sketch *k)
{
    uint8_t age = k->age;
    for (uint32_t tag = 1u << 31; k->age == age; tag += 12345)
        tc_sketch_add(k, tag, 1);
}

static void all_counts_are_halved_after_ten_uses_an_entry(void **state)
{
    struct tc_sketch *k = *state;
    enum { ENTRIES = 100000 }; /* so many that the others do not meet our two keys' counters */
    reserve(k, ENTRIES);
    tc_sketch_add(k, 1, 12);
    tc_sketch_add(k, 2, 13);
    k->counted = 10 * ENTRIES - 1000;
    wait_for_halving(k);
    assert_in_range(k->counted, 5 * ENTRIES, 5 * ENTRIES + 1000);
    assert_int_equal(tc_sketch_count(k, 1), 6);
    assert_int_equal(tc_sketch_count(k, 2), 6);
    for (unsigned times = 0; times < 3; times++) { /* and the block of the second was not looked at in between */
        k->counted = 10 * ENTRIES;
        wait_for_halving(k);
        assert_int_equal(tc_sketch_count(k, 1), 6 >> (times + 1));
    }
    assert_int_equal(tc_sketch_count(k, 2), 0);
}

static void nothing_is_forgotten_when_it_grows(void **state)
{
    struct tc_sketch *k = *state;
    reserve(k, 64);
    for (uint32_t tag = 0; tag < 64; tag++)
        tc_sketch_add(k, tag, 1 + tag % 5);
    for (size_t entries = 64; entries < 100000; entries *= 3) {
        reserve(k, entries);
        for (uint32_t tag = 0; tag < 64; tag++)
            assert_true(tc_sketch_count(k, tag) >= 1 + tag % 5);
    }
}

static void without_memory_every_count_is_0_or_as_good_as_before(void **state)
{
    struct tc_sketch *k = *state;
    tt_alloc_fail(&memory, 1, true);
    reserve(k, 1000);
    tc_sketch_add(k, 1, 5);
    assert_int_equal(tc_sketch_count(k, 1), 0);
    tt_alloc_fail(&memory, 0, false);
    for (int i = 0; i < 300 && k->blocks == NULL; i++)
        tc_sketch_reserve(k, &env, 1000); /* asks again, not at once */
    tc_sketch_add(k, 1, 5);
    tt_alloc_fail(&memory, 1, true);
    reserve(k, 100000);
    assert_true(tc_sketch_count(k, 1) >= 5);
    tc_sketch_add(k, 1, 2);
    assert_true(tc_sketch_count(k, 1) >= 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(uses_are_counted_up_to_fifteen, setup, teardown),
        cmocka_unit_test_setup_teardown(no_key_counts_less_than_its_own_uses_and_few_count_more, setup, teardown),
        cmocka_unit_test_setup_teardown(all_counts_are_halved_after_ten_uses_an_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_forgotten_when_it_grows, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_every_count_is_0_or_as_good_as_before, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
