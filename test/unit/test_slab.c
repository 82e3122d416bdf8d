/* A slab's cells by number: what they hold, what they cost, and what is left when memory ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#include "unit/tt_slab.h"

/* ---- sizes ---- */

enum { FINE_MOST = 256, SIZES_MOST = TC_PAGE_BYTES / 8 };

static void a_size_is_rounded_to_the_unit_or_to_what_a_page_divided_gives(void **state)
{
    struct tt_slab *f = *state;
    size_t sizes = 0, last = 0;
    for (size_t n = 0; n <= TC_SLAB_MOST; n++) {
        size_t r = tc_slab_round(n);
        assert_in_range(r, n, TC_SLAB_MOST);
        assert_true(r > 0 && r % 8 == 0 && r >= last);
        assert_int_equal(tc_slab_round(r), r);
        if (n <= FINE_MOST)
            assert_true(r - n <= 8 - (n > 0));
        sizes += r != last;
        last = r;
    }
    assert_int_equal(last, TC_SLAB_MOST);
    assert_int_equal(sizes, TC_SLAB_CLASSES - 1); /* of the first there are none */
    assert_int_equal(f->heap, 0);
}

/* Cells of one size until the page is full: they lie side by side from the first to the last that the room gives. */
static void a_page_is_taken_to_its_end(void **state)
{
    struct tt_slab *f = *state;
    for (size_t r = 8; r <= TC_SLAB_MOST; r = tc_slab_round(r + 1)) {
        size_t n = 0, offset = 0;
        uint32_t cells[SIZES_MOST];
        do {
            cells[n] = tt_slab_take(f, r);
            char *at = tc_cell(&f->cells, cells[n]);
            if (n == 0)
                offset = (cells[0] & TC_CELL_OFFSET_MOST) * (size_t)TC_CELL_UNIT;
            assert_ptr_equal(at, (char *)tc_cell(&f->cells, cells[0]) + n * r);
            assert_int_equal(cells[n] >> TC_CELL_OFFSET_BITS, cells[0] >> TC_CELL_OFFSET_BITS);
            n++;
        } while (tc_slab_take_growth(&f->slab, r) == 0);
        size_t room = TC_PAGE_BYTES - offset;
        assert_in_range(offset, 1, 32);
        assert_int_equal(n, room / r);
        assert_true(room - n * r < 8 * n);
        if (r > FINE_MOST) /* no larger cell goes so many times into the page */
            assert_true((r + 8) * n > room);
        assert_int_equal(f->slab.free_bytes, 0);
        assert_true(tc_slab_check(&f->slab));
        for (size_t i = 0; i < n; i++)
            tc_slab_give(&f->slab, cells[i]);
        if (r == TC_SLAB_MOST)
            break;
    }
}

static void cells_of_every_size_keep_their_bytes(void **state)
{
    struct tt_slab *f = *state;
    static uint32_t cells[TC_SLAB_MOST + 1];
    for (size_t n = 1; n <= TC_SLAB_MOST; n++) {
        cells[n] = tt_slab_take(f, n);
        tt_slab_fill(tc_cell(&f->cells, cells[n]), cells[n], tc_slab_round(n));
    }
    assert_true(tc_slab_check(&f->slab));
    for (size_t step = 2; step > 0; step--) { /* every second one goes, the others stay as they were */
        for (size_t n = 1; n <= TC_SLAB_MOST; n++)
            if (cells[n] != 0)
                assert_true(tt_slab_is_filled(tc_cell(&f->cells, cells[n]), cells[n], tc_slab_round(n)));
        for (size_t n = 1; n <= TC_SLAB_MOST; n++)
            if (cells[n] != 0 && n % step == 0) {
                tc_slab_give(&f->slab, cells[n]);
                cells[n] = 0;
            }
        assert_true(tc_slab_check(&f->slab) && tt_slab_costs_are_right(f));
    }
}

/* ---- pages and numbers ---- */

static void a_page_goes_back_with_its_last_cell(void **state)
{
    struct tt_slab *f = *state;
    enum { PAGES = 3 };
    static uint32_t cells[PAGES * SIZES_MOST];
    const size_t sizes[] = { 1, 8, 24, 250, 257, 1000, TC_SLAB_MOST };
    for (size_t i = 0; i < 2 * TC_ARRAY_LEN(sizes); i++) {
        size_t n = 0, size = sizes[i / 2];
        for (size_t page = 0; page < PAGES || tc_slab_take_growth(&f->slab, size) == 0; n++) {
            page += tc_slab_take_growth(&f->slab, size) > 0;
            cells[n] = tt_slab_take(f, size);
        }
        tt_slab_close_waiting(f);
        assert_int_equal(tt_alloc_counts(&f->memory).live_blocks, PAGES + 1);
        for (size_t k = 0; k < n; k++) /* from the first on, or from the last on */
            tc_slab_give(&f->slab, cells[i % 2 > 0 ? k : n - 1 - k]);
        assert_int_equal(tt_alloc_counts(&f->memory).live_blocks, 1); /* the map */
        assert_int_equal(f->slab.free_bytes, 0);
        assert_true(tt_slab_costs_are_right(f));
        assert_true(tc_slab_check(&f->slab));
    }
    assert_int_equal(f->slab.pages.fresh, PAGES + 1); /* the same numbers each time */
}

static void what_was_given_is_taken_again_before_anything_new(void **state)
{
    struct tt_slab *f = *state;
    enum { N = 100 };
    uint32_t cells[N];
    static uint64_t apart[N];
    for (size_t i = 0; i < N; i++)
        cells[i] = i % 2 > 0 ? tt_slab_take(f, 100) : tt_slab_adopt(f, &apart[i]);
    uint64_t bytes = f->slab.bytes;
    for (size_t i = 0; i < N; i++)
        if (i % 4 < 2)
            tc_slab_give(&f->slab, cells[i]);
    assert_true(tc_slab_check(&f->slab));
    for (size_t i = N; i-- > 0;) /* the last one given is the first one taken */
        if (i % 4 < 2)
            assert_int_equal(i % 2 > 0 ? tt_slab_take(f, 100) : tt_slab_adopt(f, &apart[i]), cells[i]);
    assert_int_equal(f->slab.bytes, bytes);
}

#ifdef __SANITIZE_ADDRESS__
static void what_is_free_is_out_of_bounds(void **state)
{
    struct tt_slab *f = *state;
    uint32_t stays = tt_slab_take(f, 1000), goes = tt_slab_take(f, 1000);
    size_t n = tc_slab_round(1000);
    char *at = tc_cell(&f->cells, stays), *given = tc_cell(&f->cells, goes);
    tc_slab_give(&f->slab, goes);
    for (int i = 0; i < 2; i++, assert_true(tc_slab_check(&f->slab))) { /* which leaves it so */
        assert_null(__asan_region_is_poisoned(at, n));
        for (size_t k = 0; k < 2 * n; k++)
            assert_true(__asan_address_is_poisoned(given + k));
    }
    assert_int_equal(tt_slab_take(f, 1000), goes);
    assert_null(__asan_region_is_poisoned(given, n));
}
#endif

/* ---- sparse pages ---- */

/* 1,016 bytes: 8 to a page. Of page i are taken the first taken[i] cells. */
static void sparse_pages(struct tt_slab *f, const size_t *taken, size_t pages)
{
    uint32_t cells[8 * 8];
    assert_in_range(pages, 1, 8);
    for (size_t i = 0; i < 8 * pages; i++) {
        cells[i] = tt_slab_take(f, 1000);
        tt_slab_fill(tc_cell(&f->cells, cells[i]), cells[i], 1000);
    }
    for (size_t i = 0; i < 8 * pages; i++)
        if (i % 8 >= taken[i / 8])
            tc_slab_give(&f->slab, cells[i]);
}

static void the_sparsest_page_is_emptied_into_the_others(void **state)
{
    struct tt_slab *f = *state;
    uint32_t cells[TC_PAGE_BYTES / TC_CELL_UNIT];
    sparse_pages(f, (const size_t[]){ 8, 5, 3, 7, 4 }, 5); /* 13 are free */
    uint64_t bytes = f->slab.bytes;
    assert_int_equal(tc_slab_close_sparse(&f->slab, cells), 3);
    assert_int_equal(f->slab.free_bytes, 8 * 1016);
    assert_true(tc_slab_check(&f->slab));
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(cells[i] >> TC_CELL_OFFSET_BITS, cells[0] >> TC_CELL_OFFSET_BITS);
        assert_true(tt_slab_is_filled(tc_cell(&f->cells, cells[i]), cells[i], 1000));
        assert_int_equal(tc_slab_take_growth(&f->slab, 1000), 0);
        uint32_t to = tt_slab_take(f, 1000);
        assert_int_not_equal(to >> TC_CELL_OFFSET_BITS, cells[0] >> TC_CELL_OFFSET_BITS);
        assert_int_equal(f->slab.bytes, bytes);
        tc_slab_give(&f->slab, cells[i]);
        assert_true(tc_slab_check(&f->slab));
    }
    assert_int_equal(f->slab.bytes, bytes - tc_heap_bytes(TC_PAGE_BYTES)); /* with the last one */
    assert_int_equal(f->slab.free_bytes, 5 * 1016);
    assert_true(tt_slab_costs_are_right(f));
    assert_int_equal(tc_slab_close_sparse(&f->slab, cells), 0); /* too few are free */
}

static void no_page_is_closed_that_the_others_have_no_room_for(void **state)
{
    struct tt_slab *f = *state;
    uint32_t cells[TC_PAGE_BYTES / TC_CELL_UNIT];
    assert_int_equal(tc_slab_close_sparse(&f->slab, cells), 0);
    sparse_pages(f, (const size_t[]){ 1 }, 1);
    assert_int_equal(tc_slab_close_sparse(&f->slab, cells), 0); /* 7 in one page */
    sparse_pages(f, (const size_t[]){ 8 }, 1);
    assert_int_equal(tc_slab_close_sparse(&f->slab, cells), 0);
    tt_slab_take(f, 300); /* another size */
    assert_int_equal(tc_slab_close_sparse(&f->slab, cells), 0);
    assert_true(tc_slab_check(&f->slab));
}

static void a_closing_page_that_is_never_emptied_goes_with_the_end(void **state)
{
    struct tt_slab *f = *state;
    uint32_t cells[TC_PAGE_BYTES / TC_CELL_UNIT];
    sparse_pages(f, (const size_t[]){ 2, 1 }, 2);
    assert_int_equal(tc_slab_close_sparse(&f->slab, cells), 1);
    assert_int_equal(tc_slab_close_sparse(&f->slab, cells), 0); /* nor is it chosen again */
}

/* ---- what stays ---- */

static uint32_t page_of(uint32_t cell)
{
    return cell >> TC_CELL_OFFSET_BITS;
}

static void a_page_of_which_something_is_kept_is_not_chosen(void **state)
{
    struct tt_slab *f = *state;
    uint32_t cells[TC_PAGE_BYTES / TC_CELL_UNIT];
    sparse_pages(f, (const size_t[]){ 8, 5, 3, 7, 4 }, 5);
    assert_int_equal(tc_slab_close_emptiest(&f->slab, cells), 3);
    uint32_t kept = cells[1];
    tc_slab_give(&f->slab, cells[0]);
    uint64_t bytes = f->slab.bytes;
    tc_slab_keep(&f->slab, kept); /* it is in use again */
    assert_true(tc_slab_check(&f->slab));
    assert_int_equal(f->slab.free_bytes, (13 + 1) * 1016);
    assert_int_equal(tc_slab_close_emptiest(&f->slab, cells), 4);
    assert_int_not_equal(page_of(cells[0]), page_of(kept));
    assert_int_equal(tc_slab_close_sparse(&f->slab, cells), 5);
    assert_int_not_equal(page_of(cells[0]), page_of(kept));
    bool taken_there = false;
    for (int i = 0; i < 7; i++) { /* six of it are free, and one elsewhere */
        assert_int_equal(tc_slab_take_growth(&f->slab, 1000), 0);
        taken_there = page_of(tt_slab_take(f, 1000)) == page_of(kept) || taken_there;
    }
    assert_true(taken_there && tc_slab_take_growth(&f->slab, 1000) > 0);
    assert_int_equal(f->slab.bytes, bytes);
    assert_true(tc_slab_check(&f->slab));
    tc_slab_unkeep(&f->slab, kept);
    tc_slab_give(&f->slab, kept);
    assert_true(tc_slab_check(&f->slab));
    assert_int_equal(tc_slab_close_emptiest(&f->slab, cells), 7); /* now it is the only one with room */
    assert_int_equal(page_of(cells[0]), page_of(kept));
}

static void a_page_that_has_but_what_is_kept_goes_with_that(void **state)
{
    struct tt_slab *f = *state;
    uint32_t cells[TC_PAGE_BYTES / TC_CELL_UNIT];
    sparse_pages(f, (const size_t[]){ 8, 1 }, 2);
    assert_int_equal(tc_slab_close_emptiest(&f->slab, cells), 1);
    uint64_t bytes = f->slab.bytes;
    tc_slab_keep(&f->slab, cells[0]);
    assert_int_equal(tc_slab_close_emptiest(&f->slab, cells + 1), 0);
    tc_slab_unkeep(&f->slab, cells[0]);
    tc_slab_give(&f->slab, cells[0]);
    assert_int_equal(f->slab.bytes, bytes - tc_heap_bytes(TC_PAGE_BYTES));
    assert_true(tc_slab_check(&f->slab));
}

/* Those before it in the list of pages with room are passed over, however many they are, up to a bound. */
static void behind_many_kept_pages_others_are_found(void **state)
{
    struct tt_slab *f = *state;
    enum { PAGES = 100 };
    uint32_t cells[TC_PAGE_BYTES / TC_CELL_UNIT], first[PAGES];
    for (size_t i = 0; i < PAGES; i++) {
        for (size_t n = 0; n < 8; n++) {
            uint32_t cell = tt_slab_take(f, 1000);
            first[i] = n == 0 ? cell : first[i];
        }
    }
    for (size_t i = 0; i < PAGES; i++) { /* each becomes the first that has room */
        tc_slab_keep(&f->slab, first[i]);
        tc_slab_give(&f->slab, first[i] + 1016 / TC_CELL_UNIT);
    }
    tc_slab_unkeep(&f->slab, first[0]);
    assert_int_equal(tc_slab_close_sparse(&f->slab, cells), 7);
    assert_int_equal(page_of(cells[0]), page_of(first[0]));
    assert_true(tc_slab_check(&f->slab));
}

/* ---- maps ---- */

static void a_map_that_grew_is_handed_out_as_it_was(void **state)
{
    struct tt_slab *f = *state;
    enum { N = 1000 };
    static uint32_t cells[N];
    static void *at[N];
    size_t waiting = 0;
    for (size_t i = 0; i < N; i++) {
        const struct tc_map *m = i % 2 > 0 ? &f->slab.apart : &f->slab.pages;
        char **former = atomic_load(m->at);
        uint32_t places = m->n;
        struct tc_block *last = f->waiting;
        cells[i] = i % 2 > 0 ? tt_slab_adopt(f, tc_alloc(&f->counted, 8)) : tt_slab_take(f, TC_SLAB_MOST);
        at[i] = tc_cell(&f->cells, cells[i]);
        if (f->waiting == last) {
            assert_true(places == 0 || former == atomic_load(m->at));
            continue;
        }
        assert_ptr_equal(tc_block_lines(f->waiting), former);
        assert_int_equal(tc_block_bytes(f->waiting), TC_CACHELINE + places * sizeof(char *));
        assert_true(m->n > places);
        waiting++;
    }
    assert_in_range(waiting, 12, 60); /* seldom enough: they grow by a share of what they have */
    for (size_t i = 0; i < N; i++) {
        uint32_t place = i % 2 > 0 ? cells[i] & ~TC_CELL_APART : cells[i] >> TC_CELL_OFFSET_BITS;
        assert_ptr_equal(tc_cell(&f->cells, cells[i]), at[i]); /* nothing moved */
        if (i % 2 > 0)
            continue;
        size_t seen = 0;
        for (struct tc_block *b = f->waiting; b != NULL; b = b->next) {
            char **former = tc_block_lines(b);
            char *page = (char *)at[i] - (cells[i] & TC_CELL_OFFSET_MOST) * (size_t)TC_CELL_UNIT;
            seen += place < b->n * TC_CACHELINE / sizeof *former && former[place] == page;
        }
        assert_true(i > 0 || seen >= 6); /* the first page is in every map of pages */
    }
    for (size_t i = 0; i < N; i++) {
        tc_slab_give(&f->slab, cells[i]);
        if (i % 2 > 0)
            tc_free(&f->counted, at[i], 8);
    }
    assert_true(tc_slab_check(&f->slab));
}

/* A number has 21 bits for the page: beyond that it would be one of those that lie apart. A map with every place but
 * one in use stands for 16 GiB of pages. */
static void there_are_no_more_pages_than_numbers(void **state)
{
    struct tt_slab *f = *state;
    const uint32_t most = TC_CELL_APART >> TC_CELL_OFFSET_BITS;
    struct tc_slab *s = &f->slab;
    struct tc_block *map = tc_block_open(&f->table, most * sizeof(char *) / TC_CACHELINE), *before = NULL;
    char **places = tc_block_lines(map);
    for (uint32_t i = 1; i < most; i++)
        places[i] = (char *)(uintptr_t)1; /* as a free place that nobody finds */
    atomic_store(&f->cells.pages, places);
    s->pages.n = most;
    s->pages.fresh = most - 1;
    s->bytes = tc_block_heap_bytes(map->n);
    uint32_t cells[4];
    for (size_t i = 0; i < TC_ARRAY_LEN(cells); i++) {
        cells[i] = tt_slab_take(f, TC_SLAB_MOST);
        assert_int_equal(cells[i] >> TC_CELL_OFFSET_BITS, most - 1);
        tt_slab_fill(tc_cell(&f->cells, cells[i]), cells[i], TC_SLAB_MOST);
    }
    uint64_t heap = f->heap;
    assert_int_equal(tc_slab_take(s, TC_SLAB_MOST, &before), 0);
    assert_int_equal(tc_slab_take(s, 1, &before), 0);
    assert_null(before);
    assert_int_equal(f->heap, heap);
    tc_slab_give(s, cells[1]);
    assert_int_equal(tt_slab_take(f, TC_SLAB_MOST), cells[1]);
    for (size_t i = 0; i < TC_ARRAY_LEN(cells); i++)
        tc_slab_give(s, cells[i]);
    assert_int_equal(tt_slab_take(f, 1) >> TC_CELL_OFFSET_BITS, most - 1);
}

static void no_more_lies_apart_than_there_are_numbers(void **state)
{
    struct tt_slab *f = *state;
    static uint64_t thing;
    struct tc_block *before = NULL;
    uint32_t first = tt_slab_adopt(f, &thing);
    struct tc_map *m = &f->slab.apart;
    uint32_t n = m->n, fresh = m->fresh;
    tt_alloc_fail(&f->memory, 1, true); /* no map of that size is made in any case */
    uint64_t calls = tt_alloc_counts(&f->memory).calls;
    m->n = m->fresh = TC_CELL_APART;
    assert_int_equal(tc_slab_adopt(&f->slab, &thing, &before), 0);
    assert_int_equal(tt_alloc_counts(&f->memory).calls, calls);
    tc_slab_give(&f->slab, first);
    assert_int_equal(tc_slab_adopt(&f->slab, &thing, &before), first);
    m->n = n;
    m->fresh = fresh;
}

/* ---- without memory ---- */

/* Lets the first, then the second allocation of the next call fail. Returns how many that call needs. */
static unsigned fails_without_a_trace(struct tt_slab *f, size_t n)
{
    struct tc_block untouched, *before = &untouched;
    static uint64_t thing;
    struct tc_slab then;
    unsigned needed = 0;
    for (;; needed++) {
        memcpy(&then, &f->slab, sizeof then);
        uint64_t heap = f->heap, failed = tt_alloc_counts(&f->memory).failed;
        tt_alloc_fail(&f->memory, needed + 1, false);
        uint32_t cell = n > 0 ? tc_slab_take(&f->slab, n, &before) : tc_slab_adopt(&f->slab, &thing, &before);
        tt_alloc_fail(&f->memory, 0, false);
        if (tt_alloc_counts(&f->memory).failed == failed) {
            assert_int_not_equal(cell, 0);
            break;
        }
        assert_int_equal(cell, 0);
        assert_ptr_equal(before, &untouched);
        assert_memory_equal(&then, &f->slab, sizeof then);
        assert_int_equal(f->heap, heap);
        assert_true(tc_slab_check(&f->slab));
    }
    tt_slab_keep_waiting(f, before == &untouched ? NULL : before);
    assert_true(tc_slab_check(&f->slab) && tt_slab_costs_are_right(f));
    return needed;
}

static void without_memory_nothing_changes_and_later_it_works(void **state)
{
    struct tt_slab *f = *state;
    unsigned seen[3] = { 0 }, seen_apart[2] = { 0 };
    for (int i = 0; i < 400; i++) {
        unsigned needed = fails_without_a_trace(f, i % 16 == 0 ? 8 : TC_SLAB_MOST);
        assert_in_range(needed, 0, 2);
        seen[needed]++;
        needed = fails_without_a_trace(f, 0);
        assert_in_range(needed, 0, 1);
        seen_apart[needed]++;
    }
    assert_true(seen[0] > 3 && seen[1] > 3 && seen[2] > 3); /* a cell; a page; a page and a map */
    assert_true(seen_apart[0] > 3 && seen_apart[1] > 3);
}

/* ---- end, and check ---- */

static void the_end_takes_what_is_still_there(void **state)
{
    struct tt_slab *f = *state;
    static uint64_t thing;
    struct tc_slab zeroed;
    memset(&zeroed, 0, sizeof zeroed);
    assert_true(tc_slab_check(&zeroed));
    tc_slab_fini(&zeroed);
    for (int round = 0; round < 3; round++) { /* what has ended is as it was at the beginning */
        uint32_t given = tt_slab_take(f, 2000);
        for (size_t n = 1; n <= TC_SLAB_MOST; n += 13)
            tt_slab_fill(tc_cell(&f->cells, tt_slab_take(f, n)), 1, n);
        for (int i = 0; i < 20; i++)
            tt_slab_adopt(f, &thing);
        tc_slab_give(&f->slab, given);
        tt_slab_close_waiting(f);
        tc_slab_fini(&f->slab);
        assert_int_equal(f->heap, 0);
        assert_int_equal(f->slab.bytes, 0);
        assert_true(tc_slab_check(&f->slab));
        tc_slab_fini(&f->slab);
    }
}

/* Every count and list that an owner can reach. */
static void the_check_sees_what_is_wrong(void **state)
{
    struct tt_slab *f = *state;
    struct tc_slab *s = &f->slab, good;
    static uint64_t thing;
    uint32_t cells[16], apart[4];
    for (size_t i = 0; i < TC_ARRAY_LEN(cells); i++) /* four pages of the largest cells */
        cells[i] = tt_slab_take(f, TC_SLAB_MOST);
    for (size_t i = 0; i < TC_ARRAY_LEN(apart); i++)
        apart[i] = tt_slab_adopt(f, &thing);
    for (size_t i = 0; i < 12; i += 4) /* the fourth stays full */
        tc_slab_give(s, cells[i]);
    tc_slab_give(s, apart[1]);
    tc_slab_give(s, apart[2]);
    tt_slab_close_waiting(f);
    assert_true(tc_slab_check(s));
    uint32_t *class = &s->partial[TC_SLAB_CLASSES - 1];
    uint32_t *next = (uint32_t *)(void *)(atomic_load(&f->cells.pages)[*class] + sizeof(uint32_t));
    s->bytes++;
    assert_false(tc_slab_check(s));
    s->bytes--, s->free_bytes++;
    assert_false(tc_slab_check(s));
    s->free_bytes--, s->sparse ^= 2;
    assert_false(tc_slab_check(s));
    s->sparse ^= 2;
    const uint32_t full = cells[15] >> TC_CELL_OFFSET_BITS, second = *next;
    struct {
        uint32_t *what, wrong;
    } damages[] = {
        { class, 0 },                                 /* no page in the list */
        { class, second },                            /* one page less */
        { class, full },                              /* one in which nothing is free */
        { next, 0 },                                  /* the list ends too early */
        { next, *class },                             /* and here never */
        { next + 1, second },                         /* a way back that nobody came */
        { &s->free_cells[TC_SLAB_CLASSES - 1], 2 },
        { &s->apart.free, 0 },                        /* places that nobody finds again */
        { &s->apart.free, apart[0] & ~TC_CELL_APART } /* one that is in use */
    };
    for (size_t i = 0; i < TC_ARRAY_LEN(damages); i++) {
        memcpy(&good, s, sizeof good);
        uint32_t right = *damages[i].what;
        *damages[i].what = damages[i].wrong;
        if (tc_slab_check(s))
            fail_msg("damage %zu was not seen", i);
        *damages[i].what = right;
        assert_true(tc_slab_check(s));
        assert_memory_equal(&good, s, sizeof good);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tt_slab_setup, tt_slab_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_size_is_rounded_to_the_unit_or_to_what_a_page_divided_gives),
        TEST(a_page_is_taken_to_its_end),
        TEST(cells_of_every_size_keep_their_bytes),
        TEST(a_page_goes_back_with_its_last_cell),
        TEST(what_was_given_is_taken_again_before_anything_new),
#ifdef __SANITIZE_ADDRESS__
        TEST(what_is_free_is_out_of_bounds),
#endif
        TEST(the_sparsest_page_is_emptied_into_the_others),
        TEST(no_page_is_closed_that_the_others_have_no_room_for),
        TEST(a_closing_page_that_is_never_emptied_goes_with_the_end),
        TEST(a_page_of_which_something_is_kept_is_not_chosen),
        TEST(a_page_that_has_but_what_is_kept_goes_with_that),
        TEST(behind_many_kept_pages_others_are_found),
        TEST(a_map_that_grew_is_handed_out_as_it_was),
        TEST(there_are_no_more_pages_than_numbers),
        TEST(no_more_lies_apart_than_there_are_numbers),
        TEST(without_memory_nothing_changes_and_later_it_works),
        TEST(the_end_takes_what_is_still_there),
        TEST(the_check_sees_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
