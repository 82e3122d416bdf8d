/* Chunks of a stripe that are wanted back: after vacating them every entry is found with its bytes, in its order, and
 * who held one still reads it; what fits nowhere else stays, or leaves where there are holes enough; and emptying one
 * evicts what is in it and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/evict.h"
#include "tt_util.h"
#include "unit/tt_entry.h"
#include "unit/tt_vacate.h"

/* Six of EACH fill a chunk but for one unit, which the last of them gets: so what one of them leaves has room for one,
 * and nothing is free beside. */
enum { UNIT = TC_EXTENT_UNIT, EACH = 170, PER_CHUNK = 6, LARGE = 600, ENTRIES = 300, KEY_BYTES = 8 };

static struct tc_extents *extents_of(struct tt_stripe *f)
{
    return &f->s->extents;
}

/* Of a value whose entry takes so many units. */
static size_t len_for(const struct tt_stripe *f, size_t units)
{
    return units * UNIT - TC_EXTENT_HEAD - tc_entry_bytes_for(f->r->l1.node_bytes, TC_ENTRY_MORE, KEY_BYTES, 0);
}

static size_t vacate(struct tt_stripe *f, bool reaps)
{
    return tt_vacate(f, tc_stripe_vacate_chunk, reaps);
}

static void put_units(struct tt_stripe *f, uint64_t number, size_t units)
{
    tt_vacate_put(f, number, number % 3, len_for(f, units), 0);
    assert_true(tc_cell_is_extent(tt_stripe_find(f, number)));
}

static void fill(struct tt_stripe *f, uint64_t from, uint64_t n)
{
    for (uint64_t number = from; number < from + n; number++)
        put_units(f, number, EACH);
}

static void remove_one(struct tt_stripe *f, uint64_t number)
{
    tt_stripe_remove(f, tt_stripe_find(f, number));
}

static void assert_all_found(struct tt_stripe *f, uint64_t entries, uint64_t one_of)
{
    for (uint64_t n = 0; n < entries; n++)
        tt_vacate_assert_found(f, n, tt_vacate_stays(n, one_of), len_for(f, EACH));
}

/* Another chunk would have to be found for what is in one of them. */
static bool no_chunk_is_left_over(struct tt_stripe *f)
{
    return extents_of(f)->free_bytes < TC_EXTENT_CHUNK;
}

/* ---- what is there ---- */

static void every_entry_is_found_and_the_chunks_are_had_back(void **state)
{
    (void)state;
    for (uint64_t one_of = 2; one_of <= 20; one_of += 6)
        for (int reaps = 0; reaps < 2; reaps++) {
            struct tt_stripe f = { .r = NULL };
            tt_vacate_open(&f, "lru");
            fill(&f, 0, ENTRIES);
            uint64_t full = extents_of(&f)->bytes, entries = 0, types[3] = { 0 }, type_bytes[3];
            tt_vacate_thin_out(&f, ENTRIES, one_of);
            uint64_t thin = extents_of(&f)->bytes;
            for (uint64_t n = 0; n < ENTRIES; n++)
                if (tt_vacate_stays(n, one_of)) {
                    entries++;
                    types[n % 3]++;
                }
            for (size_t t = 0; t < 3; t++)
                type_bytes[t] = tt_stripe_type_bytes(&f, t);
            assert_true(vacate(&f, reaps) > 0);
            assert_true(extents_of(&f)->bytes < thin && thin <= full && no_chunk_is_left_over(&f));
            assert_all_found(&f, ENTRIES, one_of);
            assert_int_equal(f.s->index.count, entries);
            for (size_t t = 0; t < 3; t++) {
                assert_int_equal(tt_stripe_entries(&f, t), types[t]);
                assert_int_equal(tt_stripe_type_bytes(&f, t), type_bytes[t]);
            }
            assert_int_equal(tt_l1_count(f.r, TC_COUNT_l1_evicted_bytes), 0);
            assert_int_equal(tc_stripe_vacate_chunk(f.s, &f.dropped), 0);
            assert_true(tt_stripe_close(&f));
        }
}

static uint32_t use_of(struct tt_stripe *f, uint64_t number)
{
    const struct tc_entry *e = tt_stripe_entry(f, tt_stripe_find(f, number));
    return ((const struct tc_use *)(const void *)e)[-1].at;
}

static void wheel_codes_and_times_go_with_the_entries(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    uint32_t used_at[ENTRIES];
    tt_vacate_open(&f, "lru-exact");
    size_t len = len_for(&f, EACH);
    for (uint64_t n = 0; n < ENTRIES; n++)
        tt_vacate_put(&f, n, 0, len, n % 2 ? 1000 : 0);
    tt_vacate_thin_out(&f, ENTRIES, 5);
    for (uint64_t n = 0; n < ENTRIES; n++)
        used_at[n] = tt_vacate_stays(n, 5) ? use_of(&f, n) : 0;
    assert_true(vacate(&f, true) > 0);
    for (uint64_t n = 0; n < ENTRIES; n++)
        if (tt_vacate_stays(n, 5))
            assert_int_equal(use_of(&f, n), used_at[n]);
    tt_clock_advance(&f.r->time, 1000 + 2 * TC_WHEEL_TICK_MS);
    for (uint32_t i = 0; i < f.s->index.n; i++)
        tc_stripe_expire(f.s, tt_l1_now(f.r), &f.dropped);
    tt_stripe_reap(&f);
    for (uint64_t n = 0; n < ENTRIES; n++)
        tt_vacate_assert_found(&f, n, tt_vacate_stays(n, 5) && n % 2 == 0, len);
    assert_true(tt_vacate_check(&f));
    assert_true(tt_stripe_close(&f));
}

/* Between sizes that have nothing in common, in many rounds. Who is not there any more was evicted for want of room. */
static void chunks_of_some_sizes_make_room_for_others(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    static const size_t lens[] = { 2500, 9000, 3000, 30000, 5000, 14000 };
    static size_t len_of[8000];
    uint64_t next = 0;
    tt_vacate_open(&f, "lru");
    for (size_t round = 0; round < 12; round++) {
        uint64_t first = next, missing = 0;
        for (; f.s->granted - tc_stripe_bytes(f.s) > 100000; next++) {
            assert_true(next < TC_ARRAY_LEN(len_of));
            len_of[next] = lens[round % TC_ARRAY_LEN(lens)] + next % 500;
            tt_vacate_put(&f, next, 0, len_of[next], 0);
        }
        assert_true(next - first > 5);
        for (uint64_t n = first; n < next; n++)
            if (!tt_vacate_stays(n, 20))
                remove_one(&f, n);
        tt_stripe_reap(&f);
        uint64_t before = extents_of(&f)->bytes;
        vacate(&f, round % 2);
        assert_true(extents_of(&f)->bytes <= before);
        assert_false(tc_extents_are_sparse(extents_of(&f), 2));
        for (uint64_t n = 0; n < next; n++) {
            bool there = tt_stripe_find(&f, n) != 0;
            missing += tt_vacate_stays(n, 20) && !there;
            tt_vacate_assert_found(&f, n, there && tt_vacate_stays(n, 20), len_of[n]);
        }
        assert_int_equal(missing, tt_l1_count(f.r, TC_COUNT_l1_evicted_bytes));
    }
    assert_true(tt_stripe_close(&f));
}

static void victims_come_in_the_order_in_which_they_would_have_come(void **state)
{
    uint64_t seed = tt_seed();
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(tt_vacate_policies); i++) {
        struct tt_stripe f = { .r = NULL };
        tt_vacate_open(&f, tt_vacate_policies[i]);
        const struct tt_vacate_load load = { tc_stripe_vacate_chunk, ENTRIES, 2, len_for(&f, EACH) };
        assert_true(tt_stripe_close(&f));
        for (int again = 0; again < 3; again++)
            tt_vacate_assert_order(&load, tt_vacate_policies[i], tt_random(&seed));
    }
}

/* ---- who holds one, or writes it ---- */

enum { HELD = 20 };

static void what_was_pinned_stays_readable_and_its_chunk_goes_after_it(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    struct tc_entry *held[HELD];
    uint64_t number[HELD], detached = 0;
    size_t n_held = 0, moved = 0;
    tt_vacate_open(&f, "lru");
    fill(&f, 0, ENTRIES);
    tt_vacate_thin_out(&f, ENTRIES, 5);
    for (uint64_t n = 0; n < ENTRIES && n_held < HELD; n++)
        if (tt_vacate_stays(n, 5)) {
            number[n_held] = n;
            held[n_held] = tt_stripe_entry(&f, tt_stripe_find(&f, n));
            tc_l1_pin(&f.r->l1, held[n_held++]);
        }
    assert_int_equal(n_held, HELD);
    assert_true(vacate(&f, false) > 0);
    vacate(&f, true); /* what is held opened its chunks again */
    for (size_t i = 0; i < HELD; i++) {
        struct tc_entry *now = tt_stripe_entry(&f, tt_stripe_find(&f, number[i]));
        assert_true(tt_l1_is_value(tc_entry_data(held[i]), tc_entry_len(held[i]), number[i], NULL));
        assert_int_equal(tc_entry_is_in_l1(held[i]), now == held[i]);
        moved += now != held[i];
        detached += now != held[i] ? tc_l1_entry_bytes(&f.r->l1, held[i]) : 0;
    }
    assert_true(moved > HELD / 2);
    assert_int_equal(tt_l1_detached_bytes(f.r), detached);
    /* Nobody knows when that comes back, so nobody waits for its chunks: others lie beside it, as many as there are. */
    uint64_t before = extents_of(&f)->bytes, entries = f.s->index.count + moved;
    assert_true(before <= (entries / PER_CHUNK + 1) * tc_heap_bytes(TC_EXTENT_CHUNK));
    for (size_t i = 0; i < HELD; i++) {
        assert_true(tt_l1_is_value(tc_entry_data(held[i]), tc_entry_len(held[i]), number[i], NULL));
        tt_stripe_release(&f, held[i]);
        assert_true(tt_vacate_check(&f));
    }
    assert_int_equal(tt_l1_detached_bytes(f.r), 0);
    vacate(&f, true);
    assert_true(extents_of(&f)->bytes < before && no_chunk_is_left_over(&f));
    assert_all_found(&f, ENTRIES, 5);
    assert_true(tt_stripe_close(&f));
}

/* What left the table before and waits, or is held by callers only, is not moved, nor does it come back. */
static void what_had_left_does_not_come_back(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    struct tc_entry *held[ENTRIES] = { NULL };
    size_t gone = 0, pins = 0;
    tt_vacate_open(&f, "lru");
    fill(&f, 0, ENTRIES);
    tt_vacate_thin_out(&f, ENTRIES, 3);
    for (uint64_t n = 0; n < ENTRIES; n++)
        if (tt_vacate_stays(n, 3) && !tt_vacate_stays(n, 15)) {
            uint32_t cell = tt_stripe_find(&f, n);
            if (n % 7 == 0) {
                held[n] = tt_stripe_entry(&f, cell);
                tc_l1_pin(&f.r->l1, held[n]);
                pins++;
            }
            tt_stripe_remove(&f, cell);
            if (++gone % 20 == 0)
                tc_stripe_reap(f.s, 10, &f.dropped); /* half of them wait */
        }
    assert_true(vacate(&f, false) > 0 && pins > 0);
    for (uint64_t n = 0; n < ENTRIES; n++) {
        tt_vacate_assert_found(&f, n, tt_vacate_stays(n, 15), len_for(&f, EACH));
        if (held[n] == NULL)
            continue;
        assert_true(tt_l1_is_value(tc_entry_data(held[n]), tc_entry_len(held[n]), n, NULL));
        assert_true(held[n]->refs & TC_ENTRY_DETACHED);
        tt_stripe_release(&f, held[n]);
    }
    vacate(&f, true);
    assert_true(no_chunk_is_left_over(&f));
    assert_all_found(&f, ENTRIES, 15);
    assert_true(tt_stripe_close(&f));
}

/* Whoever writes finds out from the entry that it left, and stores again. */
static void one_that_is_overwritten_at_the_moment_is_evicted(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    tt_vacate_open(&f, "lru");
    fill(&f, 0, 2 * PER_CHUNK);
    for (uint64_t n = 2; n < 2 * PER_CHUNK; n += 2)
        remove_one(&f, n);
    remove_one(&f, 1);
    tt_stripe_reap(&f); /* 0, 3 and 5; 7, 9 and 11 */
    remove_one(&f, 0);
    tt_stripe_reap(&f);
    struct tc_entry *e = tt_stripe_entry(&f, tt_stripe_find(&f, 3));
    atomic_fetch_add(&e->refs, TC_ENTRY_VERSION_ONE);
    uint64_t bytes = extents_of(&f)->bytes;
    assert_int_equal(tc_stripe_vacate_chunk(f.s, &f.dropped), TC_EXTENT_CHUNK);
    assert_false(tc_entry_is_in_l1(e));
    atomic_fetch_add(&e->refs, TC_ENTRY_VERSION_ONE);
    tt_stripe_reap(&f);
    assert_true(extents_of(&f)->bytes < bytes);
    for (uint64_t n = 0; n < 2 * PER_CHUNK; n++)
        tt_vacate_assert_found(&f, n, n > 4 && n % 2, len_for(&f, EACH));
    assert_int_equal(tt_l1_count(f.r, TC_COUNT_l1_evicted_bytes), 1);
    assert_int_equal(f.s->index.count, 4);
    assert_true(tt_vacate_check(&f));
    for (uint64_t n = 5; n < 2 * PER_CHUNK; n += 2)
        remove_one(&f, n);
    tt_stripe_reap(&f);
    assert_int_equal(extents_of(&f)->bytes, 0); /* what was to be its place was given back */
    assert_true(tt_stripe_close(&f));
}

/* ---- what fits nowhere else ---- */

enum { LARGE_NUMBER = 1000, BESIDE = 2000 };

/* The first chunk has a large one at its end, and before it, if with_small, number 0; the others, so many of them, each
 * have a hole or two, and then there are full ones. */
static void open_with_large(struct tt_stripe *f, bool with_small, size_t others, size_t full)
{
    tt_vacate_open(f, "lru");
    fill(f, 0, PER_CHUNK);
    fill(f, BESIDE, PER_CHUNK * (others + full));
    for (uint64_t n = 2; n < PER_CHUNK; n++)
        remove_one(f, n);
    tt_stripe_reap(f);
    put_units(f, LARGE_NUMBER, LARGE);
    remove_one(f, 1);
    if (!with_small)
        remove_one(f, 0);
    for (size_t i = 0; i < others; i++) {
        remove_one(f, BESIDE + PER_CHUNK * i + 2);
        if (!with_small)
            remove_one(f, BESIDE + PER_CHUNK * i + 4);
    }
    tt_stripe_reap(f);
    assert_true(tt_vacate_check(f));
}

static void assert_others_found(struct tt_stripe *f, bool with_small, size_t others, size_t full)
{
    for (uint64_t i = 0; i < PER_CHUNK * (others + full); i++) {
        bool removed = i < PER_CHUNK * others && (i % PER_CHUNK == 2 || (!with_small && i % PER_CHUNK == 4));
        tt_vacate_assert_found(f, BESIDE + i, !removed, len_for(f, EACH));
    }
}

/* Nothing is lost, and what is free in the chunk is to be had as before. */
static void what_fits_nowhere_stays_and_its_chunk_is_open_again(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    open_with_large(&f, false, 10, 21);
    uint64_t bytes = extents_of(&f)->bytes, free_bytes = extents_of(&f)->free_bytes;
    uint32_t cell = tt_stripe_find(&f, LARGE_NUMBER);
    assert_true(!tc_extents_are_sparse(extents_of(&f), 8) && tc_extents_are_sparse(extents_of(&f), 16));
    for (int round = 0; round < 3; round++) {
        assert_int_equal(tc_stripe_vacate_chunk(f.s, &f.dropped), 0);
        assert_true(extents_of(&f)->bytes == bytes && extents_of(&f)->free_bytes == free_bytes);
        assert_int_equal(tt_stripe_find(&f, LARGE_NUMBER), cell);
        assert_true(tt_vacate_check(&f));
    }
    tt_vacate_assert_found(&f, LARGE_NUMBER, true, len_for(&f, LARGE));
    assert_others_found(&f, false, 10, 21);
    assert_int_equal(f.s->left.n, 0);
    assert_true(tt_stripe_close(&f));
}

static void what_was_moved_before_that_has_moved(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    open_with_large(&f, true, 6, 8);
    uint64_t bytes = extents_of(&f)->bytes, free_bytes = extents_of(&f)->free_bytes;
    uint32_t cell = tt_stripe_find(&f, LARGE_NUMBER), small = tt_stripe_find(&f, 0);
    assert_false(tc_extents_are_sparse(extents_of(&f), 8));
    assert_int_equal(tc_stripe_vacate_chunk(f.s, &f.dropped), 0);
    assert_int_equal(tt_stripe_find(&f, LARGE_NUMBER), cell);
    assert_int_not_equal(tt_stripe_find(&f, 0), small);
    assert_int_equal(extents_of(&f)->free_bytes, free_bytes - EACH * UNIT); /* until the former one was reaped */
    assert_int_equal(tt_stripe_reap(&f), 1);
    assert_int_equal(extents_of(&f)->free_bytes, free_bytes);
    assert_int_equal(extents_of(&f)->bytes, bytes);
    tt_vacate_assert_found(&f, LARGE_NUMBER, true, len_for(&f, LARGE));
    tt_vacate_assert_found(&f, 0, true, len_for(&f, EACH));
    assert_others_found(&f, true, 6, 8);
    assert_int_equal(tt_l1_count(f.r, TC_COUNT_l1_evicted_bytes), 0);
    assert_true(tt_vacate_check(&f));
    assert_true(tt_stripe_close(&f));
}

static void where_holes_are_many_it_leaves(void **state)
{
    (void)state;
    for (int with_small = 0; with_small < 2; with_small++) {
        struct tt_stripe f = { .r = NULL };
        size_t others = with_small ? 26 : 8;
        open_with_large(&f, with_small, others, 0);
        uint64_t bytes = extents_of(&f)->bytes;
        assert_true(tc_extents_are_sparse(extents_of(&f), 8));
        assert_int_equal(tc_stripe_vacate_chunk(f.s, &f.dropped), TC_EXTENT_CHUNK);
        tt_stripe_reap(&f);
        assert_int_equal(bytes - extents_of(&f)->bytes, tc_heap_bytes(TC_EXTENT_CHUNK));
        tt_vacate_assert_found(&f, LARGE_NUMBER, false, 0);
        tt_vacate_assert_found(&f, 0, with_small, len_for(&f, EACH));
        assert_others_found(&f, with_small, others, 0);
        assert_int_equal(tt_l1_count(f.r, TC_COUNT_l1_evicted_bytes), 1);
        assert_true(tt_vacate_check(&f));
        assert_true(tt_stripe_close(&f));
    }
}

/* Without a number there is no place for it either, and none is asked for. */
static void without_numbers_nothing_moves(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    static uint64_t thing;
    static uint32_t taken[10000];
    size_t n = 0;
    tt_vacate_open(&f, "lru");
    fill(&f, 0, 20 * PER_CHUNK);
    for (uint64_t i = 0; i < 20 * PER_CHUNK; i++)
        if (i < 4 * PER_CHUNK && i % PER_CHUNK % 2 == 1)
            remove_one(&f, i);
    tt_stripe_reap(&f);
    while (tc_slab_adopt_growth(&f.s->slab) == 0) {
        assert_true(n < TC_ARRAY_LEN(taken));
        taken[n] = tc_slab_adopt(&f.s->slab, &thing, NULL);
        assert_int_not_equal(taken[n++], 0);
    }
    uint64_t bytes = tc_stripe_bytes(f.s), free_bytes = extents_of(&f)->free_bytes;
    assert_int_equal(tc_stripe_vacate_chunk(f.s, &f.dropped), 0);
    assert_true(tc_stripe_bytes(f.s) == bytes && extents_of(&f)->free_bytes == free_bytes);
    assert_int_equal(f.s->left.n, 0);
    while (n > 0)
        tc_slab_give(&f.s->slab, taken[--n]);
    assert_true(tc_stripe_vacate_chunk(f.s, &f.dropped) > 0);
    assert_true(tt_vacate_check(&f));
    assert_true(tt_stripe_close(&f));
}

/* ---- where nothing is to be had ---- */

static void full_chunks_and_a_single_one_stay(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    tt_vacate_open(&f, "lru");
    assert_int_equal(tc_stripe_vacate_chunk(f.s, &f.dropped), 0);
    tt_vacate_put(&f, ENTRIES, 0, 100, 0);
    assert_int_equal(tc_stripe_vacate_chunk(f.s, &f.dropped), 0);
    put_units(&f, 0, EACH);
    assert_int_equal(tc_stripe_vacate_chunk(f.s, &f.dropped), 0);
    fill(&f, 1, 5 * PER_CHUNK - 1);
    assert_int_equal(tc_stripe_vacate_chunk(f.s, &f.dropped), 0);
    for (uint64_t n = 0; n < 5 * PER_CHUNK; n++)
        tt_vacate_assert_found(&f, n, true, len_for(&f, EACH));
    assert_int_equal(f.s->left.n, 0);
    assert_true(tt_stripe_close(&f));
}

/* Not even in part: what is moved has to wait for readers. */
static void what_has_no_room_in_others_is_left_alone(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    tt_vacate_open(&f, "lru");
    fill(&f, 0, 2 * PER_CHUNK);
    for (uint64_t n = 3; n < 8; n++) /* of both chunks, three and two */
        remove_one(&f, n);
    tt_stripe_reap(&f);
    assert_int_equal(tc_stripe_vacate_chunk(f.s, &f.dropped), 0);
    assert_int_equal(f.s->left.n, 0);
    remove_one(&f, 8);
    tt_stripe_reap(&f);
    assert_int_equal(tc_stripe_vacate_chunk(f.s, &f.dropped), TC_EXTENT_CHUNK);
    for (uint64_t n = 0; n < 2 * PER_CHUNK; n++)
        tt_vacate_assert_found(&f, n, n < 3 || n > 8, len_for(&f, EACH));
    assert_true(tt_stripe_close(&f));
}

/* No memory is asked for: it is done where there is none. */
static void vacating_takes_no_memory(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    tt_vacate_open(&f, "lru");
    fill(&f, 0, ENTRIES);
    tt_vacate_thin_out(&f, ENTRIES, 3);
    uint64_t calls = tt_alloc_counts(&f.r->counting).calls, bytes = extents_of(&f)->bytes;
    tt_alloc_fail(&f.r->counting, 1, true);
    assert_true(vacate(&f, true) > 0);
    assert_int_equal(tt_alloc_counts(&f.r->counting).calls, calls);
    tt_alloc_fail(&f.r->counting, 0, false);
    assert_true(extents_of(&f)->bytes < bytes);
    assert_all_found(&f, ENTRIES, 3);
    assert_true(tt_stripe_close(&f));
}

static void a_policy_that_cannot_rename_keeps_its_entries_where_they_are(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    struct cache_evict_ops ops = *cache_evict_policy("sieve");
    ops.move = NULL;
    tt_stripe_open(&f, &ops, true);
    fill(&f, 0, ENTRIES);
    tt_vacate_thin_out(&f, ENTRIES, 10);
    uint64_t bytes = extents_of(&f)->bytes, free_bytes = extents_of(&f)->free_bytes;
    assert_int_equal(tc_stripe_vacate_chunk(f.s, &f.dropped), 0);
    assert_true(extents_of(&f)->bytes == bytes && extents_of(&f)->free_bytes == free_bytes);
    assert_all_found(&f, ENTRIES, 10);
    assert_true(tt_stripe_close(&f));
}

/* ---- emptying ---- */

/* Evicts all of the sparsest and nobody else. */
static void the_emptiest_chunk_is_emptied(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    tt_vacate_open(&f, "lru");
    assert_int_equal(tc_stripe_empty(f.s, &f.dropped), 0);
    fill(&f, 0, 3 * PER_CHUNK);
    for (uint64_t n = PER_CHUNK; n < PER_CHUNK + 3; n++)
        remove_one(&f, n);
    remove_one(&f, 1);
    tt_stripe_reap(&f);
    remove_one(&f, PER_CHUNK + 3); /* and waits */
    uint64_t bytes = extents_of(&f)->bytes;
    assert_int_equal(tc_stripe_empty(f.s, &f.dropped), TC_EXTENT_CHUNK);
    assert_int_equal(tt_l1_count(f.r, TC_COUNT_l1_evicted_bytes), 2);
    assert_int_equal(tt_stripe_reap(&f), 3);
    assert_int_equal(bytes - extents_of(&f)->bytes, tc_heap_bytes(TC_EXTENT_CHUNK));
    for (uint64_t n = 0; n < 3 * PER_CHUNK; n++)
        tt_vacate_assert_found(&f, n, n != 1 && n / PER_CHUNK != 1, len_for(&f, EACH));
    assert_int_equal(tc_stripe_empty(f.s, &f.dropped), TC_EXTENT_CHUNK);
    assert_int_equal(tc_stripe_empty(f.s, &f.dropped), TC_EXTENT_CHUNK); /* full as it is */
    assert_int_equal(tc_stripe_empty(f.s, &f.dropped), 0);
    tt_stripe_reap(&f);
    assert_true(extents_of(&f)->bytes == 0 && f.s->index.count == 0);
    assert_true(tt_vacate_check(&f));
    assert_true(tt_stripe_close(&f));
}

static void pages_are_emptied_before_chunks(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    tt_vacate_open(&f, "lru");
    fill(&f, 0, PER_CHUNK);
    tt_vacate_put(&f, ENTRIES, 0, 100, 0);
    assert_int_equal(tc_stripe_empty(f.s, &f.dropped), TC_PAGE_BYTES);
    assert_int_equal(tt_stripe_find(&f, ENTRIES), 0);
    for (uint64_t n = 0; n < PER_CHUNK; n++)
        tt_vacate_assert_found(&f, n, true, len_for(&f, EACH));
    assert_int_equal(tc_stripe_empty(f.s, &f.dropped), TC_EXTENT_CHUNK);
    assert_int_equal(f.s->index.count, 0);
    assert_true(tt_vacate_check(&f));
    assert_true(tt_stripe_close(&f));
}

/* Its memory would not come for as long as it is held. */
static void a_chunk_with_something_held_is_not_emptied(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    tt_vacate_open(&f, "lru");
    fill(&f, 0, 2 * PER_CHUNK);
    struct tc_entry *held = tt_stripe_entry(&f, tt_stripe_find(&f, 2));
    tc_l1_pin(&f.r->l1, held);
    remove_one(&f, 2);
    remove_one(&f, 3);
    tt_stripe_reap(&f); /* now it is known */
    assert_int_equal(tc_stripe_empty(f.s, &f.dropped), TC_EXTENT_CHUNK);
    for (uint64_t n = 0; n < 2 * PER_CHUNK; n++)
        tt_vacate_assert_found(&f, n, n < PER_CHUNK && n != 2 && n != 3, len_for(&f, EACH));
    assert_int_equal(tc_stripe_empty(f.s, &f.dropped), 0);
    tt_stripe_release(&f, held);
    assert_int_equal(tc_stripe_empty(f.s, &f.dropped), TC_EXTENT_CHUNK);
    tt_stripe_reap(&f);
    assert_int_equal(extents_of(&f)->bytes, 0);
    assert_true(tt_stripe_close(&f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_is_found_and_the_chunks_are_had_back),
        cmocka_unit_test(wheel_codes_and_times_go_with_the_entries),
        cmocka_unit_test(chunks_of_some_sizes_make_room_for_others),
        cmocka_unit_test(victims_come_in_the_order_in_which_they_would_have_come),
        cmocka_unit_test(what_was_pinned_stays_readable_and_its_chunk_goes_after_it),
        cmocka_unit_test(what_had_left_does_not_come_back),
        cmocka_unit_test(one_that_is_overwritten_at_the_moment_is_evicted),
        cmocka_unit_test(what_fits_nowhere_stays_and_its_chunk_is_open_again),
        cmocka_unit_test(what_was_moved_before_that_has_moved),
        cmocka_unit_test(where_holes_are_many_it_leaves),
        cmocka_unit_test(without_numbers_nothing_moves),
        cmocka_unit_test(full_chunks_and_a_single_one_stay),
        cmocka_unit_test(what_has_no_room_in_others_is_left_alone),
        cmocka_unit_test(vacating_takes_no_memory),
        cmocka_unit_test(a_policy_that_cannot_rename_keeps_its_entries_where_they_are),
        cmocka_unit_test(the_emptiest_chunk_is_emptied),
        cmocka_unit_test(pages_are_emptied_before_chunks),
        cmocka_unit_test(a_chunk_with_something_held_is_not_emptied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
