/* The hash table against a naive one, with whole hashes that collide and clusters across the end; what a bucket's ten
 * lanes and its reach are; and readers beside the writer. How the table grows is in test_index_grow.c. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_index.h"

enum { STEPS = 40000, SMALL_STEPS = 4000, SAME = 700, CLUSTER = TC_INDEX_PROBES * 4 / 3, LANES = TC_INDEX_LANES };

/* ---- the model ---- */

static struct tc_entry *expected(const struct tt_index *f, uint32_t number)
{
    return f->cell[number] != 0 ? tt_index_entry(f, f->cell[number]) : NULL;
}

static void assert_found(const struct tt_index *f, uint32_t number, uint64_t hash)
{
    assert_ptr_equal(tt_index_find(&f->view, number, hash), expected(f, number));
}

static void change_something(struct tt_index *f, uint32_t number, uint64_t hash, bool fills, unsigned how)
{
    if (f->cell[number] == 0) {
        if (fills)
            assert_true(tt_index_insert(f, number, hash) >= 0);
    } else if (how == 0) {
        tt_index_replace(f, number);
    } else if (how == 1) {
        tt_index_move(f, number);
    } else if (fills) {
        tt_index_recode(f, number);
    } else {
        tt_index_remove(f, number);
    }
}

static void run_model(struct tt_index *f, enum tt_index_kind kind, uint32_t keys, int steps, int check_every)
{
    uint64_t seed = tt_seed();
    unsigned filling = 60;
    for (int step = 0; step < steps; step++) {
        uint32_t number = (uint32_t)(tt_random(&seed) % keys);
        uint64_t hash = tt_index_hash(number, kind);
        if (step % (steps / 8) == 0)
            filling = 20 + (unsigned)(tt_random(&seed) % 75);
        assert_found(f, number, hash);
        change_something(f, number, hash, tt_random(&seed) % 100 < filling, (unsigned)(tt_random(&seed) % 12));
        assert_found(f, number, hash);
        if (step % check_every == 0)
            tt_index_assert_exact(f);
        if (step % 100 == 0)
            tt_index_assert_all_found(f);
    }
    tt_index_assert_exact(f);
    tt_index_assert_all_found(f);
    tt_index_assert_bytes(f);
}

#define CASE(name, run, ...)      \
    static void name(void **state) \
    {                              \
        run(*state, __VA_ARGS__);  \
    }

CASE(it_agrees_with_a_naive_table_when_hashes_spread, run_model, TT_SPREAD, TT_INDEX_KEYS, STEPS, 500)
CASE(a_small_one_is_exact_after_each_step, run_model, TT_SPREAD, 170, SMALL_STEPS, 1)
CASE(it_agrees_with_a_naive_table_when_all_hashes_are_one, run_model, TT_EQUAL, CLUSTER, SMALL_STEPS, 1)
CASE(it_agrees_with_a_naive_table_when_all_have_one_home, run_model, TT_HOME, CLUSTER, SMALL_STEPS, 1)
CASE(it_agrees_with_a_naive_table_across_the_end_of_the_buckets, run_model, TT_END, CLUSTER, SMALL_STEPS, 1)
CASE(it_agrees_with_a_naive_table_when_tags_are_the_least, run_model, TT_TAG_0, 290, SMALL_STEPS, 1)
CASE(it_agrees_with_a_naive_table_in_a_crowd, run_model, TT_CROWD, 570, SMALL_STEPS, 1)

/* Where buckets are looked at in longer and longer steps. */
static void it_agrees_with_a_naive_table_in_a_crowd_of_a_large_one(void **state)
{
    tt_index_make_empty(*state, 300);
    run_model(*state, TT_CROWD, 1500, STEPS / 4, 10);
}

/* FAULTS 61 */
static void it_agrees_with_a_naive_table_when_whole_hashes_collide(void **state)
{
    run_model(*state, TT_FEW, CLUSTER, SMALL_STEPS, 1);
}

static void an_empty_table_finds_nothing_and_takes_no_memory(void **state)
{
    struct tt_index *f = *state;
    tc_index_prefetch(&f->view, UINT64_MAX);
    tc_index_prefetch_entry(&f->view, UINT64_MAX);
    tc_index_fini(&f->index, &f->alloc);
    assert_null(tt_index_find(&f->view, 1, 1));
    assert_int_equal(tt_alloc_counts(&f->counting).calls, 0);
    assert_int_equal(tc_index_bytes(&f->index), 0);
    assert_true(tt_index_growth(f, 1) > 0);
}

/* ---- keys ---- */

/* In memory of its own, so that AddressSanitizer sees who reads beyond it. */
static struct tc_entry *find_bytes(struct tt_index *f, uint64_t hash, const unsigned char *key, size_t len)
{
    unsigned char *copy = tt_xmemdup(key, len);
    uint32_t refs;
    struct tc_entry *e = tc_index_find(&f->view, hash, (struct cache_slice){ copy, len }, &refs);
    free(copy);
    return e;
}

/* A key is there; one byte more, less, or another one, at any place, is not. */
static void assert_only_itself(struct tt_index *f, const unsigned char *key, size_t len)
{
    bool failed;
    unsigned char *other = tt_xcalloc(len + 1);
    memcpy(other, key, len);
    other[len] = (unsigned char)~key[len];
    struct tc_entry *e =
        tc_entry_open(&tc_alloc_default, TT_INDEX_NODE, NULL, 99, (struct cache_slice){ key, len }, 0);
    assert_null(find_bytes(f, 99, key, len));
    assert_int_equal(tt_index_make_room(f, 99, &failed), 0);
    uint32_t cell = tt_index_adopt(f, e);
    tc_index_insert(&f->index, cell, 99, 0);
    assert_ptr_equal(find_bytes(f, 99, key, len), e);
    assert_null(find_bytes(f, 99, other, len + 1));
    for (size_t at = 0; at < len; at++) {
        other[at] ^= (unsigned char)(1 << at % 8);
        assert_null(find_bytes(f, 99, other, len));
        other[at] = key[at];
    }
    free(other);
    f->cell[f->count++] = cell; /* to be freed with the others */
}

/* FAULTS 61 */
static void keys_of_one_hash_are_told_apart_by_their_bytes(void **state)
{
    struct tt_index *f = *state;
    static const size_t long_ones[] = { 63, 64, 65, 127, 128, 1000, 1023, 1024, 3001 };
    static unsigned char key[3002];
    uint64_t seed = tt_seed();
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (unsigned char)tt_random(&seed);
    for (size_t len = 41; len-- > 0;) /* each begins all those before */
        assert_only_itself(f, key, len);
    for (size_t i = 0; i < TC_ARRAY_LEN(long_ones); i++)
        assert_only_itself(f, key, long_ones[i]);
    for (size_t i = 0; i < f->count; i++) {
        struct tc_entry *e = tt_index_entry(f, f->cell[i]);
        assert_ptr_equal(find_bytes(f, 99, tc_entry_key(e).data, tc_entry_key(e).len), e);
    }
}

/* ---- lanes ---- */

static bool is_named(uint64_t matches, unsigned lane)
{
    for (; matches != 0; matches &= matches - 1)
        if (tc_bucket_lane_of(matches) == lane)
            return true;
    return false;
}

/* Few values, so that tags often are the one looked for, or one more, by which borrowing goes wrong. */
static uint64_t random_tags(uint64_t *seed, uint64_t near)
{
    uint64_t tags = 0;
    for (int lane = 0; lane < 8; lane++) {
        uint64_t r = tt_random(seed);
        tags = tags << 8 | ((r % 4 == 0 ? near : r % 4 == 1 ? near ^ 1 : r % 4 == 2 ? near ^ 0x80 : r >> 8) & 0xFF);
    }
    return tags;
}

static void no_lane_of_a_tag_is_missed_and_the_first_that_is_named_has_it(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    for (int i = 0; i < 200000; i++) {
        uint64_t tag = tt_random(&seed) % 4 ? tt_random(&seed) % 256 : tt_random(&seed) % 3;
        uint64_t tags = random_tags(&seed, tag), more = random_tags(&seed, tag);
        struct tc_bucket b = { .tags = tags, .more = more };
        uint64_t matches = tc_bucket_lanes_with(&b, tag);
        unsigned n = 0;
        for (unsigned lane = 0; lane < LANES; lane++) {
            bool has = ((lane < 8 ? tags >> 8 * lane : more >> 8 * (lane - 8)) & 0xFF) == tag;
            assert_true(!has || is_named(matches, lane));
            assert_true(has || matches == 0 || tc_bucket_lane_of(matches) != lane);
            n += has;
        }
        assert_int_equal(matches != 0, n > 0);
    }
}

/* Entries of that many homes beside each other, so many of each that their buckets are full; numbered on from there. */
static void fill_homes(struct tt_index *f, size_t home, size_t homes, uint32_t from)
{
    for (size_t at = 0; at < homes; at++)
        for (uint32_t lane = 0; lane < LANES; lane++, from++)
            assert_int_equal(tt_index_insert(f, from, tt_index_hash_at(f, home + at, from * 37)), 0);
}

/* The number of what lies in that lane. */
static uint32_t number_in(const struct tt_index *f, size_t at, size_t lane)
{
    return tt_index_number(tt_index_entry(f, tc_index_cell(&f->index, at * LANES + lane)));
}

static void each_lane_has_a_code_of_its_own(void **state)
{
    struct tt_index *f = *state;
    static const uint8_t codes[] = { 0, 1, 0x55, 0x80, 0xAA, 0xFF, 7 };
    tt_index_make_empty(f, 20);
    fill_homes(f, 3, 2, 0);
    for (size_t i = 3 * LANES; i < 5 * LANES; i++)
        for (size_t c = 0; c < TC_ARRAY_LEN(codes); c++) {
            f->code[number_in(f, i / LANES, i % LANES)] = codes[c];
            tc_index_set_code(&f->index, i, codes[c]);
            tt_index_assert_exact(f);
        }
    for (uint32_t number = 0; number < 2 * LANES; number++) {
        tt_index_replace(f, number);
        tt_index_assert_exact(f);
    }
    tt_index_assert_all_found(f);
}

static void what_is_replaced_or_moved_stays_in_its_lane(void **state)
{
    struct tt_index *f = *state;
    tt_index_make_empty(f, 20);
    fill_homes(f, 3, 2, 0);
    for (uint32_t again = 0; again < LANES; again++) /* half of these are strangers where they are */
        assert_int_equal(tt_index_insert(f, 50 + again, tt_index_hash_at(f, 4, again)), 0);
    for (size_t i = 3 * LANES; i < 6 * LANES; i++) {
        uint32_t number = number_in(f, i / LANES, i % LANES), before = f->cell[number];
        tt_index_replace(f, number);
        assert_int_equal(tc_index_cell(&f->index, i), f->cell[number]);
        tt_index_assert_exact(f);
        tt_index_move(f, number);
        assert_int_equal(tc_index_cell(&f->index, i), f->cell[number]);
        assert_int_equal(before, f->cell[number]); /* it was the last that was given back */
        tt_index_assert_exact(f);
    }
    tt_index_assert_all_found(f);
}

static void a_lane_that_was_left_is_the_next_ones_whichever_it_is(void **state)
{
    struct tt_index *f = *state;
    tt_index_make_empty(f, 20);
    fill_homes(f, 3, 1, 0);
    for (size_t lane = 0; lane < LANES; lane++) {
        uint32_t number = number_in(f, 3, lane), other = 100 + (uint32_t)lane;
        tt_index_remove(f, number);
        assert_null(tt_index_find(&f->view, number, tt_index_hash_at(f, 3, number * 37)));
        tt_index_assert_exact(f);
        assert_int_equal(tt_index_insert(f, other, tt_index_hash_at(f, 3, other)), 0);
        assert_int_equal(number_in(f, 3, lane), other);
        tt_index_assert_exact(f);
        tt_index_assert_all_found(f);
    }
}

/* The last of its home at that distance: first one lane's entry, then another's, so that those of the second word of
 * tags hold the reach as those of the first do. */
static void assert_reach_lasts(struct tt_index *f, size_t buckets)
{
    enum { FAR = 4 };
    tt_index_make_empty(f, buckets);
    size_t n = f->index.n, home = n - 2; /* across the end */
    for (size_t last = 0; last < LANES; last++) {
        for (uint32_t number = 0; number < (FAR + 1) * LANES; number++)
            assert_int_equal(tt_index_insert(f, number, tt_index_hash_at(f, home, number)), 0);
        for (size_t distance = FAR; distance > 0; distance--) {
            size_t at = (home + tt_index_offset(distance, n)) % n;
            uint32_t kept = number_in(f, at, last);
            assert_int_equal(tt_index_reach(f, home), distance);
            for (size_t lane = 0; lane < LANES; lane++)
                if (lane != last)
                    tt_index_remove(f, number_in(f, at, lane));
            assert_int_equal(tt_index_reach(f, home), distance);
            tt_index_assert_exact(f);
            assert_found(f, kept, tt_index_hash_at(f, home, kept));
            tt_index_remove(f, kept);
            assert_int_equal(tt_index_reach(f, home), distance - 1);
            tt_index_assert_exact(f);
        }
        tt_index_remove_all(f);
    }
}

static void the_reach_lasts_until_the_last_stranger_leaves_whatever_lane_it_has(void **state)
{
    assert_reach_lasts(*state, 20);
    assert_reach_lasts(*state, 200);
}

/* Nobody lies where the reach falls to first, or second. */
static void the_reach_falls_past_buckets_that_nobody_of_its_home_has(void **state)
{
    struct tt_index *f = *state;
    tt_index_make_empty(f, 200);
    size_t n = f->index.n, home = n - 9;
    for (size_t stays = 0; stays < 5; stays++) { /* 0: nobody */
        for (uint32_t number = 0; number < 5 * LANES; number++)
            assert_int_equal(tt_index_insert(f, number, tt_index_hash_at(f, home, number)), 0);
        for (size_t distance = 1; distance < 5; distance++) /* the farthest last */
            for (size_t lane = 0; lane < LANES && distance != stays; lane++)
                tt_index_remove(f, number_in(f, (home + tt_index_offset(distance, n)) % n, lane));
        assert_int_equal(tt_index_reach(f, home), stays);
        tt_index_assert_exact(f);
        tt_index_assert_all_found(f);
        tt_index_remove_all(f);
    }
}

/* One of another home in its place, as make_room names it: reaches of both homes, and whose is a stranger. */
static void assert_brings_its_reach(struct tt_index *f, size_t buckets)
{
    enum { FAR = 14 };
    tt_index_make_empty(f, buckets);
    size_t n = f->index.n;
    for (size_t i = 0; i < 2 * LANES; i++) { /* in bucket 3 those of home 3, in bucket 4 strangers of it */
        for (uint32_t number = 0; number < 2 * LANES; number++)
            assert_int_equal(tt_index_insert(f, number, tt_index_hash_at(f, 3, number)), 0);
        for (size_t distance = FAR; distance < FAR + 1; distance--) {
            size_t at = 3 + i / LANES, home = (at + n - tt_index_offset(distance, n)) % n;
            uint32_t old = number_in(f, at, i % LANES), number = old + 100;
            uint64_t hash = tt_index_hash_at(f, home, number);
            f->cell[number] = tt_index_open(f, number, hash);
            f->code[number] = (uint8_t)(home * 19);
            tc_index_replace(&f->index, f->cell[old], f->cell[number], hash, f->code[number]);
            tt_index_let_go(f, f->cell[old]);
            f->cell[old] = 0;
            assert_int_equal(number_in(f, at, i % LANES), number);
            tt_index_assert_exact(f);
            tt_index_assert_all_found(f);
        }
        tt_index_remove_all(f);
    }
}

static void who_takes_anothers_lane_brings_its_own_reach(void **state)
{
    assert_brings_its_reach(*state, 20);
    assert_brings_its_reach(*state, 200);
}

/* ---- the reach ---- */

/* FAULTS 61: nor does the table grow for them. */
static void no_more_keys_of_one_hash_are_held_than_lanes_lie_in_reach(void **state)
{
    struct tt_index *f = *state;
    for (uint32_t i = 0; i < SAME; i++)
        assert_int_equal(tt_index_insert(f, i, 77), i < TC_INDEX_PROBES ? 0 : 1);
    assert_int_equal(f->count, TC_INDEX_PROBES);
    assert_true(f->index.n <= 4 * TC_INDEX_PROBES / TC_INDEX_LANES);
}

/* Whatever else a bucket's second word says. */
#define NOISE UINT64_C(0xA5C3A5C3FFA00000)

/* Built by hand: the key lies behind the last bucket that its home names, all before are full of its tag. */
static void assert_goes_as_far(struct tt_index *f, size_t n)
{
    struct tc_block *block = tc_block_open(&tc_alloc_default, n);
    struct tc_bucket *b = tc_block_lines(block);
    struct tc_index_view *v = &f->view;
    size_t home = n - 5;
    uint64_t hash = UINT64_C(0x1100000000000000) + (((uint64_t)home << 32) + n - 1) / n;
    uint32_t cell = tt_index_open(f, 5, hash), filler = tt_index_open(f, 6, hash);
    atomic_store(&v->n, (uint32_t)n);
    atomic_store(&v->buckets, b);
    assert_int_equal(tt_index_home(hash, n), home);
    for (size_t i = 0; i < n; i++) {
        atomic_store(&b[i].tags, UINT64_C(0x1111111111111111));
        atomic_store(&b[i].more, UINT64_C(0x1111) | UINT64_C(15) << 16 | NOISE);
        for (size_t lane = 0; lane < LANES; lane++)
            atomic_store(&b[i].lanes[lane], filler);
    }
    for (size_t lane = 0; lane < LANES; lane++)
        for (size_t distance = 0; distance <= 17; distance++) {
            size_t at = (home + tt_index_offset(distance, n)) % n;
            atomic_store(&b[at].lanes[lane], cell);
            for (uint64_t reach = 0; reach <= 15; reach++) {
                atomic_store(&b[home].more, UINT64_C(0x1111) | reach << 16 | NOISE);
                assert_ptr_equal(tt_index_find(v, 5, hash), distance <= reach ? tt_index_entry(f, cell) : NULL);
            }
            atomic_store(&b[at].lanes[lane], filler);
        }
    atomic_store(&v->n, 0);
    atomic_store(&v->buckets, NULL);
    tc_block_close(&tc_alloc_default, block);
    tt_index_let_go(f, cell);
    tt_index_let_go(f, filler);
}

/* FAULTS 61 */
static void a_look_up_goes_as_far_as_its_home_says_and_no_farther(void **state)
{
    static const size_t sizes[] = { 40, 128, 129, 400 }; /* up to 128 buckets one by one */
    for (size_t i = 0; i < TC_ARRAY_LEN(sizes); i++)
        assert_goes_as_far(*state, sizes[i]);
}

/* ---- readers ---- */

enum { STAY = 100, RACE_KEYS = 2600, RACE_STEPS = 12000, RACE_CREW = 3 };

struct race {
    struct tt_index *f;
    enum tt_index_kind kind;
    _Atomic unsigned passes;
    _Atomic bool done;
};

/* The first keys stay all the time, whatever entry they have and wherever it lies. */
static void race_change(struct tt_index *f, uint32_t number, uint64_t hash, unsigned how)
{
    bool failed;
    if (f->cell[number] == 0 && tt_index_make_room(f, hash, &failed) == 0)
        tc_index_insert(&f->index, f->cell[number] = tt_index_open(f, number, hash), hash, 0);
    else if (f->cell[number] != 0 && how == 0)
        tt_index_move(f, number);
    else if (f->cell[number] != 0 && (number < STAY || how == 1))
        tt_index_replace(f, number);
    else if (f->cell[number] != 0)
        tt_index_remove(f, number);
}

static int write_all_the_time(struct race *r)
{
    uint64_t seed = r->kind;
    for (int step = 0; step < RACE_STEPS; step++) {
        uint32_t number = (uint32_t)(tt_random(&seed) % RACE_KEYS);
        race_change(r->f, number, tt_index_hash(number, r->kind), (unsigned)(tt_random(&seed) % 4));
        unsigned passes = atomic_load(&r->passes);
        while (step % 500 == 0 && atomic_load(&r->passes) == passes)
            sched_yield();
    }
    atomic_store(&r->done, true);
    return !tc_index_check(&r->f->index);
}

static int write_or_read(void *arg, unsigned index)
{
    struct race *r = arg;
    int failures = 0;
    while (index > 0 && !atomic_load(&r->done)) {
        for (uint32_t i = 0; i < 2 * RACE_KEYS && failures == 0; i += i < STAY ? 1 : 7) {
            uint64_t hash = tt_index_hash(i, r->kind);
            tc_index_prefetch_entry(&r->f->view, hash);
            uint32_t with_zeros[3] = { i };
            struct cache_slice key = { with_zeros, sizeof i };
            struct tc_entry_seen seen;
            bool found = tc_index_find_here(&r->f->view, hash, key, &seen);
            TT_CHECK(failures, found ? tt_index_number(seen.e) == i && i < RACE_KEYS : i >= STAY);
        }
        atomic_fetch_add(&r->passes, 1);
    }
    return index > 0 ? failures : write_all_the_time(r);
}

static void run_race(struct tt_index *f, enum tt_index_kind kind)
{
    struct race r = { .f = f, .kind = kind };
    f->keeps = true;
    for (uint32_t i = 0; i < STAY; i++)
        tt_index_insert(f, i, tt_index_hash(i, kind));
    assert_int_equal(tt_crew_join(tt_crew_start(RACE_CREW, write_or_read, &r)), 0);
    assert_true(f->tables != NULL && f->maps != NULL && f->left != 0);
}

CASE(who_looks_for_what_is_there_all_the_time_finds_it, run_race, TT_SPREAD)
CASE(and_in_a_crowd_too, run_race, TT_CROWD)

#define TEST(f) cmocka_unit_test_setup_teardown(f, tt_index_setup, tt_index_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_agrees_with_a_naive_table_when_hashes_spread),
        TEST(a_small_one_is_exact_after_each_step),
        TEST(it_agrees_with_a_naive_table_when_whole_hashes_collide),
        TEST(it_agrees_with_a_naive_table_when_all_hashes_are_one),
        TEST(it_agrees_with_a_naive_table_when_all_have_one_home),
        TEST(it_agrees_with_a_naive_table_across_the_end_of_the_buckets),
        TEST(it_agrees_with_a_naive_table_when_tags_are_the_least),
        TEST(it_agrees_with_a_naive_table_in_a_crowd),
        TEST(it_agrees_with_a_naive_table_in_a_crowd_of_a_large_one),
        TEST(an_empty_table_finds_nothing_and_takes_no_memory),
        TEST(keys_of_one_hash_are_told_apart_by_their_bytes),
        cmocka_unit_test(no_lane_of_a_tag_is_missed_and_the_first_that_is_named_has_it),
        TEST(each_lane_has_a_code_of_its_own),
        TEST(what_is_replaced_or_moved_stays_in_its_lane),
        TEST(a_lane_that_was_left_is_the_next_ones_whichever_it_is),
        TEST(the_reach_lasts_until_the_last_stranger_leaves_whatever_lane_it_has),
        TEST(the_reach_falls_past_buckets_that_nobody_of_its_home_has),
        TEST(who_takes_anothers_lane_brings_its_own_reach),
        TEST(no_more_keys_of_one_hash_are_held_than_lanes_lie_in_reach),
        TEST(a_look_up_goes_as_far_as_its_home_says_and_no_farther),
        TEST(who_looks_for_what_is_there_all_the_time_finds_it),
        TEST(and_in_a_crowd_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
