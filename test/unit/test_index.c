/* The hash table against a naive one, with whole hashes that collide, memory that fails, clusters across the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tier/l1/index.h"
#include "tt_alloc.h"
#include "tt_util.h"

enum { KEYS = 3000, STEPS = 60000, SAME = 700 };

struct fixture {
    struct tt_alloc counting; /* of the table */
    struct tc_alloc alloc;
    struct tc_index index;
    uint64_t bytes; /* what the table says it took */
    struct tc_entry *entry[KEYS]; /* the naive one: entry[i] has key i; NULL: not in it */
    size_t count;
};

static int setup(void **state)
{
    struct fixture *f = tt_xcalloc(sizeof *f);
    tt_alloc_init(&f->counting);
    f->alloc = tt_alloc_table(&f->counting);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tc_index_fini(&f->index, &f->alloc);
    for (size_t i = 0; i < KEYS; i++)
        tc_entry_free(&tc_alloc_default, f->entry[i]);
    bool clean = tt_alloc_is_clean(&f->counting);
    tt_alloc_fini(&f->counting);
    free(f);
    return clean ? 0 : -1;
}

static struct cache_slice key_of(const uint32_t *number)
{
    return (struct cache_slice){ number, sizeof *number };
}

static uint32_t number_of(struct tc_entry *e)
{
    uint32_t number;
    memcpy(&number, tc_entry_key(e), sizeof number);
    return number;
}

static struct tc_entry *find(struct fixture *f, uint32_t number, uint64_t hash)
{
    return tc_index_find(&f->index, hash, key_of(&number));
}

static void remove_key(struct fixture *f, uint32_t number)
{
    tc_index_remove(&f->index, f->entry[number]);
    tc_entry_free(&tc_alloc_default, f->entry[number]);
    f->entry[number] = NULL;
    f->count--;
}

/* Inserts as a stripe does. Returns how many entries had to leave; -1: there is no table. */
static int insert_key(struct fixture *f, uint32_t number, uint64_t hash)
{
    bool failed = false;
    struct tc_entry *instead = tc_index_make_room(&f->index, &f->alloc, hash, &f->bytes, &failed);
    if (failed)
        return -1;
    struct tc_entry *e = tc_entry_open(&tc_alloc_default, 0, NULL, hash, key_of(&number), 0);
    if (instead != NULL) {
        tc_index_replace(&f->index, instead, e);
        f->entry[number_of(instead)] = NULL;
        tc_entry_free(&tc_alloc_default, instead);
    } else {
        tc_index_insert(&f->index, e);
        f->count++;
    }
    f->entry[number] = e;
    return instead != NULL;
}

static size_t distance(const struct tc_index *x, size_t at)
{
    return (at - (size_t)x->slots[at].hash) & x->mask;
}

/* The table holds exactly the naive one's entries, each within the probe limit and without a gap before it. */
static void assert_same(struct fixture *f)
{
    assert_int_equal(f->index.count, f->count);
    for (uint32_t i = 0; i < KEYS; i++)
        if (f->entry[i] != NULL)
            assert_ptr_equal(find(f, i, f->entry[i]->hash), f->entry[i]);
    size_t occupied = 0;
    for (size_t at = 0; f->index.slots != NULL && at <= f->index.mask; at++) {
        if (f->index.slots[at].entry == NULL)
            continue;
        occupied++;
        assert_true(distance(&f->index, at) < TC_INDEX_PROBES);
        for (size_t back = distance(&f->index, at); back > 0; back--)
            assert_non_null(f->index.slots[(at - back) & f->index.mask].entry);
    }
    assert_int_equal(occupied, f->count);
}

static void assert_bytes(struct fixture *f)
{
    size_t slots = f->index.slots != NULL ? f->index.mask + 1 : 0;
    uint64_t bytes = slots > 0 ? tc_entry_heap_bytes(slots * sizeof(struct tc_index_slot)) : 0;
    assert_int_equal(f->bytes, bytes);
    assert_int_equal(tt_alloc_counts(&f->counting).live_bytes, slots * sizeof(struct tc_index_slot));
}

/* ---- the model ---- */

/* Hashes of four kinds: spread, few, whole collisions, and such that begin at the last slots of any table. */
static uint64_t hash_for(uint32_t number, unsigned kind)
{
    uint64_t state = number;
    uint64_t spread = tt_random(&state);
    switch (kind) {
    case 0: return spread;
    case 1: return spread % 64;
    case 2: return UINT64_C(0x123456789ABCDEF0) + number % 7;
    default: return UINT64_MAX - number % 5;
    }
}

static void run_model(struct fixture *f, unsigned kind, uint32_t keys)
{
    uint64_t seed = tt_seed();
    unsigned filling = 60;
    for (int step = 0; step < STEPS; step++) {
        uint32_t number = (uint32_t)(tt_random(&seed) % keys);
        uint64_t hash = hash_for(number, kind);
        if (step % 5000 == 0)
            filling = 20 + (unsigned)(tt_random(&seed) % 70);
        assert_ptr_equal(find(f, number, hash), f->entry[number]);
        if (tt_random(&seed) % 100 < filling) {
            if (f->entry[number] == NULL)
                assert_true(insert_key(f, number, hash) >= 0);
        } else if (f->entry[number] != NULL) {
            remove_key(f, number);
            assert_null(find(f, number, hash));
        }
        if (step % 2000 == 0)
            assert_same(f);
    }
    assert_same(f);
    assert_bytes(f);
}

static void it_agrees_with_a_naive_table_when_hashes_spread(void **state)
{
    run_model(*state, 0, KEYS);
}

static void it_agrees_with_a_naive_table_when_hashes_are_few(void **state)
{
    run_model(*state, 1, 200);
}

/* FAULTS 61 */
static void it_agrees_with_a_naive_table_when_whole_hashes_collide(void **state)
{
    run_model(*state, 2, 150);
}

static void it_agrees_with_a_naive_table_across_the_end_of_the_slots(void **state)
{
    run_model(*state, 3, 150);
}

static void an_empty_table_finds_nothing_and_takes_no_memory(void **state)
{
    struct fixture *f = *state;
    assert_null(find(f, 1, 1));
    tc_index_fini(&f->index, &f->alloc);
    assert_null(find(f, 1, 1));
    assert_int_equal(tt_alloc_counts(&f->counting).calls, 0);
    assert_true(tc_index_growth_bytes(&f->index) > 0);
}

/* FAULTS 61 */
static void keys_of_one_hash_are_told_apart_by_their_bytes(void **state)
{
    struct fixture *f = *state;
    static const char *const keys[] = { "", "a", "aa", "ab", "a\0" };
    static const size_t lens[] = { 0, 1, 2, 2, 2 };
    struct tc_entry *entries[TC_ARRAY_LEN(keys)];
    bool failed;
    for (size_t i = 0; i < TC_ARRAY_LEN(keys); i++) {
        struct cache_slice key = { keys[i], lens[i] };
        assert_null(tc_index_find(&f->index, 99, key));
        assert_null(tc_index_make_room(&f->index, &f->alloc, 99, &f->bytes, &failed));
        entries[i] = tc_entry_open(&tc_alloc_default, 16, NULL, 99, key, 3);
        tc_index_insert(&f->index, entries[i]);
    }
    for (size_t i = 0; i < TC_ARRAY_LEN(keys); i++) {
        struct cache_slice key = { keys[i], lens[i] };
        assert_ptr_equal(tc_index_find(&f->index, 99, key), entries[i]);
        assert_null(tc_index_find(&f->index, 99 + f->index.mask + 1, key)); /* the same slot, another hash */
    }
    for (size_t i = 0; i < TC_ARRAY_LEN(keys); i++) {
        tc_index_remove(&f->index, entries[i]);
        tc_entry_free(&tc_alloc_default, entries[i]);
    }
}

/* ---- growing ---- */

static void growth_is_announced_to_the_byte(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < KEYS; i++) {
        uint64_t announced = tc_index_growth_bytes(&f->index), before = f->bytes;
        assert_int_equal(insert_key(f, i, hash_for(i, 0)), 0);
        assert_int_equal(f->bytes - before, announced);
        assert_bytes(f);
        assert_true(f->count * 10 <= (f->index.mask + 1) * 7);
    }
    assert_same(f);
}

static void without_memory_for_the_first_table_nothing_changes(void **state)
{
    struct fixture *f = *state;
    tt_alloc_fail(&f->counting, 1, true);
    assert_int_equal(insert_key(f, 1, 1), -1);
    assert_int_equal(f->bytes, 0);
    assert_null(find(f, 1, 1));
    tt_alloc_fail(&f->counting, 0, false);
    assert_int_equal(insert_key(f, 1, 1), 0);
    assert_same(f);
}

static void a_growth_that_fails_once_is_made_up_for(void **state)
{
    struct fixture *f = *state;
    uint32_t i = 0;
    while (tc_index_growth_bytes(&f->index) == 0 || f->count < 100) {
        insert_key(f, i, hash_for(i, 0));
        i++;
    }
    size_t slots = f->index.mask + 1;
    tt_alloc_fail(&f->counting, 1, false);
    assert_int_equal(insert_key(f, i, hash_for(i, 0)), 0); /* the old table still has room */
    assert_int_equal(f->index.mask + 1, slots);
    assert_bytes(f);
    i++;
    assert_int_equal(insert_key(f, i, hash_for(i, 0)), 0);
    assert_int_equal(f->index.mask + 1, 2 * slots);
    assert_same(f);
    assert_bytes(f);
}

static void a_table_that_can_never_grow_goes_on_within_its_slots(void **state)
{
    struct fixture *f = *state;
    uint64_t seed = tt_seed();
    while (f->index.slots == NULL || f->index.mask + 1 < 64)
        insert_key(f, (uint32_t)f->count, hash_for((uint32_t)f->count, 0));
    tt_alloc_fail(&f->counting, 1, true);
    size_t most = 0;
    for (uint32_t i = 64; i < 1500; i++) {
        int left = insert_key(f, i, hash_for(i, 0));
        assert_in_range(left, 0, 1); /* any gap is near enough: its 64 slots are fewer than 256 */
        assert_ptr_equal(find(f, i, hash_for(i, 0)), f->entry[i]);
        assert_null(find(f, i + 1, hash_for(i + 1, 0)));
        if (tt_random(&seed) % 4 == 0)
            remove_key(f, i);
        most = f->count > most ? f->count : most;
        assert_same(f);
    }
    assert_in_range(most, 64 * 7 / 10 + 1, 64);
    assert_bytes(f);
}

static void a_large_table_that_can_never_grow_gives_up_one_entry_for_each_new_one(void **state)
{
    struct fixture *f = *state;
    while (f->index.slots == NULL || f->index.mask + 1 < 1024)
        insert_key(f, (uint32_t)f->count, hash_for((uint32_t)f->count, 0));
    tt_alloc_fail(&f->counting, 1, true);
    for (uint32_t i = 1024; i < KEYS; i++) {
        assert_in_range(insert_key(f, i, hash_for(i, 0)), 0, 1);
        assert_ptr_equal(find(f, i, hash_for(i, 0)), f->entry[i]);
        if (i % 64 == 0)
            assert_same(f);
    }
    assert_same(f);
}

static void a_key_takes_the_place_of_its_predecessor(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < 100; i++)
        insert_key(f, i, hash_for(i, 2));
    for (uint32_t i = 0; i < 100; i++) {
        struct tc_entry *newer = tc_entry_open(&tc_alloc_default, 0, NULL, hash_for(i, 2), key_of(&i), 0);
        tc_index_replace(&f->index, f->entry[i], newer);
        tc_entry_free(&tc_alloc_default, f->entry[i]);
        f->entry[i] = newer;
    }
    assert_same(f);
}

/* ---- the probe limit ---- */

/* FAULTS 61 */
static void no_more_than_256_keys_of_one_hash_are_held(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < SAME; i++) {
        int left = insert_key(f, i, 77);
        assert_int_equal(left, i < TC_INDEX_PROBES ? 0 : 1);
        assert_ptr_equal(find(f, i, 77), f->entry[i]);
    }
    assert_int_equal(f->count, TC_INDEX_PROBES);
    assert_same(f);
}

static void a_cluster_across_the_end_keeps_within_the_limit(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < SAME; i++)
        assert_true(insert_key(f, i, UINT64_MAX - i % 3) >= 0);
    assert_in_range(f->count, TC_INDEX_PROBES, TC_INDEX_PROBES + 2);
    assert_same(f);
}

/* FAULTS 61: neighbours of a full run go on being found, and cost one entry each. */
static void keys_beside_a_full_run_cost_one_entry_each(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < TC_INDEX_PROBES; i++)
        insert_key(f, i, 1000);
    for (uint32_t i = TC_INDEX_PROBES; i < SAME; i++) {
        int left = insert_key(f, i, 1000 + i % 200);
        assert_in_range(left, 0, 1);
        assert_ptr_equal(find(f, i, 1000 + i % 200), f->entry[i]);
    }
    assert_same(f);
}

/* FAULTS 61: built by hand: the key lies one slot behind the last that may be looked at, all slots before it are of its
 * hash. */
static void a_look_up_ends_after_256_slots(void **state)
{
    (void)state;
    enum { SLOTS = 1024, HOME = SLOTS - 100 };
    uint32_t sought = 5, other = 6;
    struct tc_entry *e = tc_entry_open(&tc_alloc_default, 0, NULL, HOME, key_of(&sought), 0);
    struct tc_entry *filler = tc_entry_open(&tc_alloc_default, 0, NULL, HOME, key_of(&other), 0);
    struct tc_index x = { .slots = tt_xcalloc(SLOTS * sizeof *x.slots), .mask = SLOTS - 1, .count = SLOTS };
    for (size_t i = 0; i < SLOTS; i++)
        x.slots[i] = (struct tc_index_slot){ HOME, filler };
    x.slots[(HOME + TC_INDEX_PROBES) % SLOTS].entry = e;
    assert_null(tc_index_find(&x, HOME, key_of(&sought)));
    x.slots[(HOME + TC_INDEX_PROBES - 1) % SLOTS].entry = e;
    assert_ptr_equal(tc_index_find(&x, HOME, key_of(&sought)), e);
    free(x.slots);
    tc_entry_free(&tc_alloc_default, e);
    tc_entry_free(&tc_alloc_default, filler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_agrees_with_a_naive_table_when_hashes_spread, setup, teardown),
        cmocka_unit_test_setup_teardown(it_agrees_with_a_naive_table_when_hashes_are_few, setup, teardown),
        cmocka_unit_test_setup_teardown(it_agrees_with_a_naive_table_when_whole_hashes_collide, setup, teardown),
        cmocka_unit_test_setup_teardown(it_agrees_with_a_naive_table_across_the_end_of_the_slots, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_table_finds_nothing_and_takes_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_of_one_hash_are_told_apart_by_their_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(growth_is_announced_to_the_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_for_the_first_table_nothing_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_growth_that_fails_once_is_made_up_for, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_that_can_never_grow_goes_on_within_its_slots, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_table_that_can_never_grow_gives_up_one_entry_for_each_new_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_key_takes_the_place_of_its_predecessor, setup, teardown),
        cmocka_unit_test_setup_teardown(no_more_than_256_keys_of_one_hash_are_held, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cluster_across_the_end_keeps_within_the_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_beside_a_full_run_cost_one_entry_each, setup, teardown),
        cmocka_unit_test(a_look_up_ends_after_256_slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
