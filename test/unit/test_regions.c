/* Memory by whole pages: what is taken is the taker's alone, is found again when it is given, and what is free goes
 * back to the system. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/regions.h"
#include "tt_util.h"

enum { REGION = 2 << 20, UNIT = 4096 };

static void set_up(void **state, bool huge)
{
    *state = tc_regions_open(huge);
    assert_non_null(*state);
}

static int small_pages(void **state)
{
    set_up(state, false);
    return 0;
}

static int huge_pages(void **state)
{
    set_up(state, true);
    return 0;
}

static int close_regions(void **state)
{
    tc_regions_close(*state);
    return 0;
}

static void what_is_taken_is_the_takers_alone(void **state)
{
    enum { MOST = 600 };
    struct tc_regions *r = *state;
    static struct { unsigned char *p; size_t n; unsigned char mark; } taken[MOST];
    uint64_t seed = tt_seed();
    memset(taken, 0, sizeof taken);
    for (int round = 0; round < 6000; round++) {
        size_t i = tt_random(&seed) % MOST;
        if (taken[i].p != NULL) {
            for (size_t at = 0; at < taken[i].n; at += 997)
                assert_int_equal(taken[i].p[at], taken[i].mark);
            assert_int_equal(taken[i].p[taken[i].n - 1], taken[i].mark);
            tc_regions_give(r, taken[i].p, taken[i].n);
            taken[i].p = NULL;
            continue;
        }
        uint64_t kind = tt_random(&seed) % 32;
        taken[i].n = kind == 0 ? tt_random(&seed) % (3 * REGION) + 1 : kind < 8 ? tt_random(&seed) % 200000 + 1 : 8192;
        taken[i].mark = (unsigned char)tt_random(&seed);
        taken[i].p = tc_regions_take(r, taken[i].n);
        assert_non_null(taken[i].p);
        assert_int_equal((uintptr_t)taken[i].p % UNIT, 0);
        memset(taken[i].p, taken[i].mark, taken[i].n);
    }
    for (size_t i = 0; i < MOST; i++)
        if (taken[i].p != NULL)
            tc_regions_give(r, taken[i].p, taken[i].n);
    assert_true(tc_regions_bytes(r) <= REGION); /* one is kept */
}

static void all_of_a_region_is_used_before_there_is_another(void **state)
{
    struct tc_regions *r = *state;
    static unsigned char *pages[2 * REGION / 8192];
    size_t n = TC_ARRAY_LEN(pages);
    for (size_t i = 0; i < n; i++) {
        pages[i] = tc_regions_take(r, 8192);
        assert_non_null(pages[i]);
        assert_int_equal(tc_regions_bytes(r), i < n / 2 ? REGION : 2 * REGION);
    }
    for (size_t i = 0; i < n; i += 2) /* holes of a page each */
        tc_regions_give(r, pages[i], 8192);
    for (size_t i = 0; i < n; i += 2)
        assert_non_null(pages[i] = tc_regions_take(r, 8192));
    assert_int_equal(tc_regions_bytes(r), 2 * REGION);
    for (size_t i = 0; i < n; i++)
        tc_regions_give(r, pages[i], 8192);
    assert_int_equal(tc_regions_bytes(r), REGION);
}

/* A page in each region stays, so none goes back whole. */
static void memory_that_is_free_goes_back_to_the_system(void **state)
{
    enum { REGIONS = 16, PAGES = REGIONS * (REGION / 8192) };
    struct tc_regions *r = *state;
    static unsigned char *pages[PAGES];
    unsigned char resident[2];
    size_t left = 0;
    for (size_t i = 0; i < PAGES; i++) {
        pages[i] = tc_regions_take(r, 8192);
        memset(pages[i], 1, 8192);
    }
    for (size_t i = 0; i < PAGES; i++)
        if (i % (REGION / 8192) != 0)
            tc_regions_give(r, pages[i], 8192);
    assert_int_equal(tc_regions_bytes(r), REGIONS * (size_t)REGION);
    for (size_t i = 0; i < PAGES; i++) {
        assert_int_equal(mincore(pages[i], 8192, resident), 0);
        left += (resident[0] & 1) + (resident[1] & 1);
    }
    assert_in_range(left, REGIONS, 2 * REGION / UNIT); /* a tenth of them at most */
    for (size_t i = 0; i < PAGES; i++) { /* and is there again when it is wanted */
        if (i % (REGION / 8192) != 0)
            pages[i] = tc_regions_take(r, 8192);
        memset(pages[i], 2, 8192);
        tc_regions_give(r, pages[i], 8192);
    }
}

/* All of it goes with the end, a call for each region and not for each page. */
static void what_is_given_back_at_the_end_stays_until_then(void **state)
{
    enum { REGIONS = 8, PAGES = REGIONS * (REGION / 8192) };
    struct tc_regions *r = *state;
    static unsigned char *pages[PAGES];
    unsigned char resident[2];
    for (size_t i = 0; i < PAGES; i++) {
        pages[i] = tc_regions_take(r, 8192);
        memset(pages[i], 1, 8192);
    }
    unsigned char *large = tc_regions_take(r, 3 * REGION);
    assert_int_equal(tc_regions_bytes(r), (REGIONS + 3) * (size_t)REGION);
    tc_regions_end(r);
    for (size_t i = 0; i < PAGES; i++)
        tc_regions_give(r, pages[i], 8192);
    tc_regions_give(r, large, 3 * REGION);
    assert_int_equal(tc_regions_bytes(r), REGIONS * (size_t)REGION);
    for (size_t i = 0; i < PAGES; i++) {
        assert_int_equal(mincore(pages[i], 8192, resident), 0);
        assert_true((resident[0] & 1) && (resident[1] & 1));
    }
}

static void what_is_larger_than_a_region_comes_and_goes_alone(void **state)
{
    struct tc_regions *r = *state;
    unsigned char *p = tc_regions_take(r, REGION + 1), *whole = tc_regions_take(r, REGION);
    assert_true(p != NULL && whole != NULL);
    p[REGION] = whole[REGION - 1] = 1;
    assert_int_equal(tc_regions_bytes(r), 2 * REGION + 1);
    tc_regions_give(r, p, REGION + 1);
    assert_int_equal(tc_regions_bytes(r), REGION);
    tc_regions_give(r, whole, REGION);
    assert_null(tc_regions_take(r, SIZE_MAX));
    assert_null(tc_regions_take(r, SIZE_MAX - REGION));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* these need all of the address space */
static void without_memory_there_is_none_and_nothing_breaks(void **state)
{
    struct tc_regions *r = *state;
    struct rlimit before, tight;
    unsigned char *first = tc_regions_take(r, 8192);
    getrlimit(RLIMIT_AS, &before);
    tight = (struct rlimit){ 1 << 20, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
    void *large = tc_regions_take(r, 8 * (size_t)REGION), *there = tc_regions_take(r, REGION - 8192), *more =
        tc_regions_take(r, 8192);
    setrlimit(RLIMIT_AS, &before);
    assert_true(large == NULL && there != NULL && more == NULL);
    tc_regions_give(r, there, REGION - 8192);
    assert_non_null(more = tc_regions_take(r, 8192));
    tc_regions_give(r, more, 8192);
    tc_regions_give(r, first, 8192);
}
#endif

struct crowd {
    struct tc_regions *r;
    int failures[4];
};

static int take_and_give(void *arg, unsigned index)
{
    struct crowd *c = arg;
    unsigned char *mine[16] = { NULL };
    uint64_t seed = index + 1;
    for (int round = 0; round < 4000; round++) {
        size_t i = tt_random(&seed) % TC_ARRAY_LEN(mine), n = i % 4 == 0 ? 50000 : 8192;
        if (mine[i] == NULL) {
            mine[i] = tc_regions_take(c->r, n);
            memset(mine[i], (int)index, n);
        } else {
            TT_CHECK(c->failures[index], mine[i][0] == index && mine[i][n - 1] == index);
            tc_regions_give(c->r, mine[i], n);
            mine[i] = NULL;
        }
    }
    for (size_t i = 0; i < TC_ARRAY_LEN(mine); i++)
        if (mine[i] != NULL)
            tc_regions_give(c->r, mine[i], i % 4 == 0 ? 50000 : 8192);
    return c->failures[index];
}

static void threads_do_not_get_in_each_others_way(void **state)
{
    struct crowd c = { *state, { 0 } };
    assert_int_equal(tt_crew_join(tt_crew_start(4, take_and_give, &c)), 0);
    assert_int_equal(tc_regions_bytes(c.r), REGION);
}

/* ---- through the allocator ---- */

static void tables_and_pages_come_from_regions_and_go_back(void **state)
{
    struct tc_alloc a = tc_alloc_default;
    a.regions = *state;
    for (size_t n = 1; n < 4000; n += 61) {
        struct tc_block *b = tc_block_open_table(&a, n);
        assert_non_null(b);
        assert_int_equal(b->n, n);
        unsigned char *lines = tc_block_lines(b);
        assert_int_equal((uintptr_t)lines % TC_CACHELINE, 0);
        for (size_t i = 0; i < n * TC_CACHELINE; i += 61)
            assert_int_equal(lines[i], 0);
        memset(lines, 0xEE, n * TC_CACHELINE);
        assert_true(tc_table_heap_bytes(true, n) >= tc_block_bytes(b));
        void *page = tc_alloc_pages(&a, 8192);
        memset(page, 0xEE, 8192);
        tc_block_close(&a, b);
        tc_free_pages(&a, page, 8192);
    }
    assert_true(tc_regions_bytes(*state) <= REGION);
    assert_null(tc_block_open_table(&a, SIZE_MAX / TC_CACHELINE));
}

int main(void)
{
#define WITH(test, setup) cmocka_unit_test_setup_teardown(test, setup, close_regions)
    const struct CMUnitTest tests[] = {
        WITH(what_is_taken_is_the_takers_alone, small_pages),
        WITH(what_is_taken_is_the_takers_alone, huge_pages),
        WITH(all_of_a_region_is_used_before_there_is_another, small_pages),
        WITH(memory_that_is_free_goes_back_to_the_system, small_pages),
        WITH(what_is_given_back_at_the_end_stays_until_then, small_pages),
        WITH(what_is_larger_than_a_region_comes_and_goes_alone, small_pages),
        WITH(what_is_larger_than_a_region_comes_and_goes_alone, huge_pages),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        WITH(without_memory_there_is_none_and_nothing_breaks, small_pages),
#endif
        WITH(threads_do_not_get_in_each_others_way, small_pages),
        WITH(tables_and_pages_come_from_regions_and_go_back, small_pages),
        WITH(tables_and_pages_come_from_regions_and_go_back, huge_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
