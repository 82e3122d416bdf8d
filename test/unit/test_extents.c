/* Extents: what they cost, which of the free ones is taken, how they split and join, and what is left when memory ends.
 * Chunks that are closed: test_extents_close.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#include "tt_util.h"
#include "unit/tt_extents.h"
#include "unit/tt_slab.h"

enum { UNIT = TC_EXTENT_UNIT, CHUNK_UNITS = (TC_EXTENT_CHUNK - TT_EXTENTS_AROUND) / UNIT, PAGE = 4096 };

static size_t bytes_of_units(size_t units)
{
    return units * UNIT - TC_EXTENT_HEAD;
}

/* What is free, which lies in one piece. */
static void *take_rest(struct tt_extents *f)
{
    return tt_extents_take_units(f, f->x.free_bytes / UNIT);
}

/* ---- sizes ---- */

static void a_size_is_rounded_to_the_unit_with_the_head(void **state)
{
    (void)state;
    for (size_t n = 0; n <= TC_EXTENT_MOST; n++) {
        size_t r = tc_extents_round(n);
        assert_int_equal(r % UNIT, 0);
        assert_true(r >= n + TC_EXTENT_HEAD && r >= TC_EXTENT_LEAST);
        assert_true(r < n + TC_EXTENT_HEAD + UNIT || r == TC_EXTENT_LEAST);
    }
}

static void every_size_is_had_and_keeps_its_bytes(void **state)
{
    struct tt_extents *f = *state;
    static void *taken[TC_EXTENT_MOST / 37 + 2];
    for (int way = 0; way < 2; way++) { /* what is larger comes, or what is smaller */
        size_t count = 0;
        for (size_t i = 0; i <= TC_EXTENT_MOST; i += 37) {
            size_t n = way > 0 ? i : TC_EXTENT_MOST - i;
            taken[count] = tt_extents_take(f, n);
            tt_slab_fill(taken[count++], (uint32_t)n, n);
        }
        assert_true(tc_extents_check(&f->x));
        for (size_t step = 2; step > 0; step--) { /* every second one goes, the others stay as they were */
            for (size_t i = 0; i < count; i++) {
                size_t n = way > 0 ? i * 37 : TC_EXTENT_MOST - i * 37;
                if (taken[i] == NULL || i % step != 0)
                    continue;
                assert_true(tt_slab_is_filled(taken[i], (uint32_t)n, n));
                tt_extents_give(f, taken[i]);
                taken[i] = NULL;
            }
            assert_true(tc_extents_check(&f->x));
        }
        assert_true(f->x.bytes == 0 && f->x.free_bytes == 0);
    }
}

static size_t rest_of(size_t n, size_t chunk)
{
    return (chunk - TT_EXTENTS_AROUND) % tc_extents_round(n);
}

/* Where nothing else comes: the smallest chunk of which a sixteenth at most is left over, or else the one of which the
 * smallest part is. */
static size_t chunk_that_it_fills(size_t n, bool *nearly)
{
    size_t best = 0;
    for (size_t bytes = TC_EXTENT_CHUNK; bytes <= TC_EXTENT_CHUNK_MOST; bytes += PAGE) {
        if (bytes < tc_extents_round(n) + TT_EXTENTS_AROUND)
            continue;
        *nearly = rest_of(n, bytes) <= bytes / 16;
        if (*nearly)
            return bytes;
        if (best == 0 || rest_of(n, bytes) * best < rest_of(n, best) * bytes)
            best = bytes;
    }
    return best;
}

/* Takes of that size only until a second chunk would be opened. Returns how many. */
static size_t fill_a_chunk(struct tt_extents *f, size_t n, void **taken)
{
    size_t count = 0;
    do
        taken[count++] = tt_extents_take(f, n);
    while (tc_extents_growth(&f->x, n, false) == 0);
    return count;
}

static void a_chunk_is_filled_by_one_size(void **state)
{
    struct tt_extents *f = *state;
    static void *taken[TC_EXTENTS_IN_CHUNK_MOST];
    size_t last = 0, sizes = 0, without = 0;
    for (size_t n = 1; n <= TC_EXTENT_MOST; n++) {
        if (tc_extents_round(n) == last)
            continue;
        last = tc_extents_round(n);
        bool nearly = false;
        size_t count = fill_a_chunk(f, n, taken), fills = chunk_that_it_fills(n, &nearly), bytes = f->chunks[0].bytes;
        assert_int_equal(f->n_chunks, 1);
        assert_in_range(bytes, TC_EXTENT_CHUNK, TC_EXTENT_CHUNK_MOST);
        assert_int_equal(bytes % PAGE, 0);
        assert_int_equal(count, (bytes - TT_EXTENTS_AROUND) / last);
        assert_int_equal(bytes, fills);
        assert_true(nearly || rest_of(n, bytes) <= bytes / 9);
        sizes++;
        without += !nearly;
        for (size_t i = 0; i < count; i++)
            tt_extents_give(f, taken[i]);
    }
    assert_true(without < sizes / 16); /* a little above what goes so many times into the largest chunk */
}

/* Whoever has little left may still have room for one. */
static void tight_a_chunk_is_the_smallest_that_will_do(void **state)
{
    struct tt_extents *f = *state;
    size_t smaller = 0;
    for (size_t n = 1; n <= TC_EXTENT_MOST; n += 7) {
        size_t needs = tc_extents_round(n) + TT_EXTENTS_AROUND, most = (needs + PAGE - 1) / PAGE * PAGE;
        void *p = tt_extents_take(f, n);
        size_t bytes = f->chunks[0].bytes;
        tt_extents_give(f, p);
        p = tt_extents_take_tight(f, n);
        assert_int_equal(f->chunks[0].bytes, most > TC_EXTENT_CHUNK ? most : TC_EXTENT_CHUNK);
        smaller += f->chunks[0].bytes < bytes;
        tt_extents_give(f, p);
    }
    assert_true(smaller > 0);
}

/* ---- what it costs ---- */

static void without_regions_a_chunk_costs_what_malloc_takes_for_it(void **state)
{
    struct tt_extents *f = *state;
    assert_int_equal(tc_extents_growth(&f->x, 100, false), tc_heap_bytes(TC_EXTENT_CHUNK));
    void *p = tt_extents_take(f, 100);
    assert_int_equal(tt_alloc_counts(&f->memory).live_bytes, TC_EXTENT_CHUNK);
    assert_int_equal(f->x.bytes, tc_heap_bytes(TC_EXTENT_CHUNK));
    assert_int_equal(tc_extents_growth(&f->x, 100, false), 0);
    assert_int_equal(f->x.free_bytes, TC_EXTENT_CHUNK - TT_EXTENTS_AROUND - tc_extents_round(100));
    tt_extents_give(f, p);
}

static void in_regions_a_chunk_costs_its_pages(void **state)
{
    struct tt_extents *f = *state;
    enum { N = 300 };
    static void *taken[N];
    f->table.regions = tc_regions_open(false);
    assert_non_null(f->table.regions);
    uint64_t bytes = 0;
    for (size_t i = 0; i < N; i++) {
        size_t n = i % 3 == 0 ? TC_EXTENT_MOST - i : 5000 + i;
        uint64_t growth = tc_extents_growth(&f->x, n, false);
        assert_int_equal(growth % PAGE, 0);
        taken[i] = tc_extents_take(&f->x, n, false);
        assert_non_null(taken[i]);
        memset(taken[i], (int)i, n);
        bytes += growth;
        assert_int_equal(f->x.bytes, bytes);
    }
    assert_true(tc_extents_check(&f->x) && bytes <= tc_regions_bytes(f->table.regions));
    assert_int_equal(tt_alloc_counts(&f->memory).calls, 0);
    for (size_t i = 0; i < N; i += 2)
        tc_extents_give(&f->x, taken[i]);
    assert_true(f->x.bytes < bytes && tc_extents_check(&f->x));
    tc_extents_fini(&f->x);
    assert_int_equal(f->x.bytes, 0);
    assert_in_range(tc_regions_bytes(f->table.regions), 0, 2 << 20); /* one is kept */
    tc_regions_close(f->table.regions);
    f->table.regions = NULL;
}

static void without_memory_nothing_changes_and_later_it_works(void **state)
{
    struct tt_extents *f = *state;
    struct tc_extents then;
    for (size_t n = 1; n <= TC_EXTENT_MOST; n += 1500) {
        memcpy(&then, &f->x, sizeof then);
        bool grows = tc_extents_growth(&f->x, n, false) > 0;
        uint64_t calls = tt_alloc_counts(&f->memory).calls;
        tt_alloc_fail(&f->memory, 1, true);
        void *p = tc_extents_take(&f->x, n, false);
        tt_alloc_fail(&f->memory, 0, false);
        assert_int_equal(tt_alloc_counts(&f->memory).calls - calls, grows); /* none is asked for that is not needed */
        assert_int_equal(p == NULL, grows);
        if (grows)
            assert_memory_equal(&then, &f->x, sizeof then);
        assert_true(tc_extents_check(&f->x));
        tt_extents_take(f, n);
    }
}

/* ---- splitting and joining ---- */

static void what_is_not_needed_of_a_piece_is_another(void **state)
{
    struct tt_extents *f = *state;
    char *first = tt_extents_take_units(f, 10), *second = tt_extents_take_units(f, 20);
    assert_ptr_equal(second, first + 10 * UNIT);
    assert_int_equal(f->x.free_bytes, (CHUNK_UNITS - 30) * UNIT);
    void *rest = take_rest(f); /* to the last byte of the chunk */
    assert_int_equal(f->x.free_bytes, 0);
    memset(rest, 0xAA, bytes_of_units(CHUNK_UNITS - 30));
    assert_true(tc_extents_check(&f->x));
    tt_extents_give(f, first);
    assert_ptr_equal(tt_extents_take_units(f, 8), first); /* two are left, which is enough */
    assert_int_equal(f->x.free_bytes, 2 * UNIT);
    assert_ptr_equal(tt_extents_take_units(f, 2), first + 8 * UNIT);
    tt_extents_give(f, second);
    assert_ptr_equal(tt_extents_take_units(f, 19), second); /* one alone goes with it */
    assert_int_equal(f->x.free_bytes, 0);
    assert_true(tc_extents_check(&f->x));
    tt_extents_give(f, second);
    assert_int_equal(f->x.free_bytes, 20 * UNIT);
}

enum { PARTS = 5 };

/* In whatever order neighbours are given, they are one piece; at either end of the chunk, too. */
static void neighbours_that_are_free_are_one_piece(void **state)
{
    struct tt_extents *f = *state;
    static const size_t orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
    for (size_t from = 0; from + 3 <= PARTS; from++)
        for (size_t o = 0; o < TC_ARRAY_LEN(orders); o++) {
            char *parts[PARTS];
            size_t units[PARTS] = { 3, 40, 7, 100, CHUNK_UNITS - 150 }, sum = 0;
            for (size_t i = 0; i < PARTS; i++)
                parts[i] = tt_extents_take_units(f, units[i]);
            assert_int_equal(f->x.free_bytes, 0);
            for (size_t i = 0; i < 3; i++) {
                tt_extents_give(f, parts[from + orders[o][i]]);
                sum += units[from + orders[o][i]];
                assert_int_equal(f->x.free_bytes, sum * UNIT);
                assert_true(tc_extents_check(&f->x));
            }
            assert_ptr_equal(tt_extents_take_units(f, sum), parts[from]);
            assert_int_equal(f->x.free_bytes, 0);
            tt_extents_give(f, parts[from]);
            for (size_t i = 0; i < PARTS; i++)
                if (i < from || i >= from + 3)
                    tt_extents_give(f, parts[i]);
            assert_int_equal(f->n_chunks, 0);
            assert_true(f->x.bytes == 0 && f->x.free_bytes == 0);
            assert_true(tc_extents_check(&f->x));
        }
}

static void a_chunk_goes_back_with_its_last_extent(void **state)
{
    struct tt_extents *f = *state;
    enum { N = 200 };
    static void *taken[N];
    for (int way = 0; way < 3; way++) {
        for (size_t i = 0; i < N; i++)
            taken[i] = tt_extents_take(f, 1000);
        assert_int_equal(f->n_chunks, (N + 15) / 16); /* sixteen a chunk */
        for (size_t i = 0; i < N; i++) { /* from the first on, from the last on, or one of each chunk after the other */
            size_t at = way == 0 ? i : way == 1 ? N - 1 - i : i % (N / 16) * 16 + i / (N / 16);
            at = way == 2 && i >= N / 16 * 16 ? i : at;
            assert_int_equal(f->n_chunks > 0, 1);
            tt_extents_give(f, taken[at]);
            assert_true(tc_extents_check(&f->x));
        }
        assert_true(f->n_chunks == 0 && f->heap == 0);
    }
}

#ifdef __SANITIZE_ADDRESS__
static void what_is_free_is_out_of_bounds(void **state)
{
    struct tt_extents *f = *state;
    enum { LINKS = 2 * sizeof(void *) }; /* of the list, where what was taken began */
    char *stays = tt_extents_take(f, 1000), *goes = tt_extents_take(f, 1000), *last = tt_extents_take(f, 1000);
    size_t n = tc_extents_round(1000) - TC_EXTENT_HEAD;
    for (int i = 0; i < 2; i++) {
        tt_extents_give(f, goes);
        assert_true(tc_extents_check(&f->x)); /* which leaves it so */
        assert_null(__asan_region_is_poisoned(stays, n));
        assert_null(__asan_region_is_poisoned(last, n));
        for (size_t k = LINKS; k < n; k++)
            assert_true(__asan_address_is_poisoned(goes + k));
        assert_ptr_equal(tt_extents_take(f, 500), goes); /* and the rest stays so */
        size_t half = tc_extents_round(500) - TC_EXTENT_HEAD;
        assert_null(__asan_region_is_poisoned(goes, half));
        for (size_t k = half + TC_EXTENT_HEAD + LINKS; k < n; k++)
            assert_true(__asan_address_is_poisoned(goes + k));
    }
    tt_extents_give(f, goes);
    assert_ptr_equal(tt_extents_take(f, 1000), goes);
    assert_null(__asan_region_is_poisoned(goes, n));
}
#endif

/* ---- which of the free ones ---- */

enum { HOLES_MOST = 16 };

/* A chunk in which nothing is free but holes of so many units, the last of which was given last. */
static void make_holes(struct tt_extents *f, const size_t *units, size_t n, void **holes)
{
    assert_in_range(n, 1, HOLES_MOST);
    for (size_t i = 0; i < n; i++) {
        holes[i] = tt_extents_take_units(f, units[i]);
        tt_extents_take_units(f, 3);
    }
    if (f->x.free_bytes > 0)
        take_rest(f);
    assert_int_equal(f->n_chunks, 1);
    for (size_t i = 0; i < n; i++)
        tt_extents_give(f, holes[i]);
}

/* Taken and given again, so that it is the first of its list afterwards. */
static void assert_taken_from(struct tt_extents *f, size_t units, void *hole)
{
    void *p = tt_extents_take_units(f, units);
    assert_ptr_equal(p, hole);
    tt_extents_give(f, p);
    assert_true(tc_extents_check(&f->x));
}

static void the_smallest_that_fits_is_taken(void **state)
{
    struct tt_extents *f = *state;
    /* Each number below 32 has a list; from there on eight share each power of two: 32 to 35, ... 64 to 71, ... */
    static const size_t units[] = { 35, 9, 150, 32, 7, 31, 64, 34, 2, 33, 71, 40 };
    void *holes[TC_ARRAY_LEN(units)];
    make_holes(f, units, TC_ARRAY_LEN(units), holes);
    for (size_t want = 2; want <= 150; want++) {
        size_t best = TC_ARRAY_LEN(units);
        for (size_t i = 0; i < TC_ARRAY_LEN(units); i++)
            if (units[i] >= want && (best == TC_ARRAY_LEN(units) || units[i] < units[best]))
                best = i;
        assert_taken_from(f, want, holes[best]);
    }
    assert_true(tc_extents_growth(&f->x, bytes_of_units(151), false) > 0);
}

/* The one that fits is behind so many that do not. */
static void no_more_than_eight_of_a_list_are_looked_at(void **state)
{
    struct tt_extents *f = *state;
    void *holes[10];
    make_holes(f, (const size_t[]){ 35, 32, 32, 32, 32, 32, 32, 32 }, 8, holes);
    assert_taken_from(f, 33, holes[0]);
    tc_extents_fini(&f->x);
    make_holes(f, (const size_t[]){ 35, 32, 32, 32, 32, 32, 32, 32, 32 }, 9, holes);
    assert_true(tc_extents_growth(&f->x, bytes_of_units(33), false) > 0);
    assert_taken_from(f, 32, holes[8]);
    tc_extents_fini(&f->x);
    make_holes(f, (const size_t[]){ 35, 200, 32, 32, 32, 32, 32, 32, 32, 32 }, 10, holes);
    assert_taken_from(f, 33, holes[1]); /* of another list */
}

static void of_a_list_of_larger_ones_the_smallest_of_eight_is_taken(void **state)
{
    struct tt_extents *f = *state;
    void *holes[10];
    make_holes(f, (const size_t[]){ 40, 43, 43, 42, 43, 43, 43, 43 }, 8, holes);
    assert_taken_from(f, 36, holes[0]);
    tc_extents_fini(&f->x);
    make_holes(f, (const size_t[]){ 40, 43, 43, 42, 43, 43, 43, 43, 43 }, 9, holes);
    assert_taken_from(f, 36, holes[3]);
}

/* Lists of which all that was in them is gone are not looked at, those of the second word of bits too. */
static void lists_that_are_empty_again_are_passed_over(void **state)
{
    struct tt_extents *f = *state;
    static const size_t units[] = { 5, 6, 33, 300 };
    void *holes[TC_ARRAY_LEN(units)];
    make_holes(f, units, TC_ARRAY_LEN(units), holes);
    for (size_t i = 0; i < TC_ARRAY_LEN(units); i++) {
        assert_ptr_equal(tt_extents_take_units(f, units[i] - 1), holes[i]);
        assert_true(tc_extents_check(&f->x));
        for (size_t want = 2; want <= units[i]; want++)
            assert_int_equal(tc_extents_growth(&f->x, bytes_of_units(want), false) > 0, i + 1 == TC_ARRAY_LEN(units));
    }
}

/* ---- end ---- */

static void the_end_takes_what_is_still_there(void **state)
{
    struct tt_extents *f = *state;
    struct tc_extents zeroed, at_first;
    memset(&zeroed, 0, sizeof zeroed);
    assert_true(tc_extents_check(&zeroed));
    tc_extents_fini(&zeroed);
    memcpy(&at_first, &f->x, sizeof at_first);
    for (int round = 0; round < 3; round++) { /* what has ended is as it was at the beginning */
        void *given = tt_extents_take(f, 2000);
        for (size_t n = 1; n <= TC_EXTENT_MOST; n += 777)
            tt_extents_take(f, n);
        tt_extents_give(f, given);
        tc_extents_fini(&f->x);
        assert_int_equal(f->heap, 0);
        assert_memory_equal(&f->x, &at_first, sizeof at_first);
        assert_true(tc_extents_check(&f->x));
        tc_extents_fini(&f->x);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tt_extents_setup, tt_extents_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_size_is_rounded_to_the_unit_with_the_head),
        TEST(every_size_is_had_and_keeps_its_bytes),
        TEST(a_chunk_is_filled_by_one_size),
        TEST(tight_a_chunk_is_the_smallest_that_will_do),
        TEST(without_regions_a_chunk_costs_what_malloc_takes_for_it),
        TEST(in_regions_a_chunk_costs_its_pages),
        TEST(without_memory_nothing_changes_and_later_it_works),
        TEST(what_is_not_needed_of_a_piece_is_another),
        TEST(neighbours_that_are_free_are_one_piece),
        TEST(a_chunk_goes_back_with_its_last_extent),
#ifdef __SANITIZE_ADDRESS__
        TEST(what_is_free_is_out_of_bounds),
#endif
        TEST(the_smallest_that_fits_is_taken),
        TEST(no_more_than_eight_of_a_list_are_looked_at),
        TEST(of_a_list_of_larger_ones_the_smallest_of_eight_is_taken),
        TEST(lists_that_are_empty_again_are_passed_over),
        TEST(the_end_takes_what_is_still_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
