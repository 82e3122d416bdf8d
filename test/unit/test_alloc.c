/* Allocation through a table. The counting allocator checks the size of every free and both ends of every block. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <cmocka.h>

#include "base/alloc.h"
#include "platform/platform.h"
#include "tt_alloc.h"

static struct tt_alloc counting;
static struct tc_alloc table;

static int setup(void **state)
{
    (void)state;
    tt_alloc_init(&counting);
    table = tt_alloc_table(&counting);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bool clean = tt_alloc_is_clean(&counting);
    tt_alloc_fini(&counting);
    return clean ? 0 : -1;
}

static void every_size_is_freed_with_the_size_it_was_asked_for(void **state)
{
    (void)state;
    for (size_t n = 0; n < 300; n++) {
        unsigned char *p = tc_alloc(&table, n);
        assert_non_null(p);
        memset(p, 0x5A, n);
        tc_free(&table, p, n);
    }
    assert_int_equal(tt_alloc_counts(&counting).live_blocks, 0);
}

static void no_allocation_is_of_nothing(void **state)
{
    (void)state;
    void *p = tc_alloc(&table, 0), *q = tc_alloc_zeroed(&table, 0);
    assert_int_equal(tt_alloc_counts(&counting).live_bytes, 2);
    tc_free(&table, p, 0);
    tc_free(&table, q, 0);
}

static void zeroed_memory_is_zero_to_its_last_byte(void **state)
{
    (void)state;
    static const unsigned char zeros[200];
    for (size_t n = 1; n <= sizeof zeros; n++) {
        unsigned char *p = tc_alloc_zeroed(&table, n);
        assert_memory_equal(p, zeros, n);
        tc_free(&table, p, n);
    }
}

static void freeing_nothing_does_nothing(void **state)
{
    (void)state;
    tc_free(&table, NULL, 10);
    tc_free_lines(&table, NULL, 10);
    tc_strfree(&table, NULL);
    assert_int_equal(tt_alloc_counts(&counting).calls, 0);
}

static void lines_are_zeroed_and_begin_on_a_cache_line_whatever_the_allocator_gives(void **state)
{
    (void)state;
    for (size_t n = 0; n < 300; n++) {
        void *shift = tc_alloc(&table, n % 97); /* moves what the heap gives next */
        unsigned char *p = tc_alloc_lines(&table, n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % TC_CACHELINE, 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xFF, n);
        tc_free_lines(&table, p, n);
        tc_free(&table, shift, n % 97);
    }
}

static void sizes_that_cannot_be_expressed_are_refused_without_asking(void **state)
{
    (void)state;
    for (size_t less = 0; less < 72; less++)
        assert_null(tc_alloc_lines(&table, SIZE_MAX - less));
    for (size_t less = 0; less < 3; less++) {
        assert_null(tc_block_open(&table, SIZE_MAX - less));
        assert_null(tc_block_open(&table, SIZE_MAX / TC_CACHELINE + 1 - less));
    }
    assert_int_equal(tt_alloc_counts(&counting).calls, 0);
}

static void a_block_is_a_line_and_the_zeroed_lines_that_follow_it(void **state)
{
    (void)state;
    for (size_t n = 0; n < 40; n++) {
        void *shift = tc_alloc(&table, n * 8);
        struct tc_block *b = tc_block_open(&table, n);
        assert_non_null(b);
        unsigned char *lines = tc_block_lines(b);
        assert_int_equal((uintptr_t)lines % TC_CACHELINE, 0);
        assert_int_equal(lines - (unsigned char *)b, TC_CACHELINE);
        assert_ptr_equal(tc_block_of(lines), b);
        assert_true(b->n == n && b->next == NULL && b->epoch == 0);
        assert_int_equal(tc_block_bytes(b), (n + 1) * TC_CACHELINE);
        for (size_t i = 0; i < n * TC_CACHELINE; i++)
            assert_int_equal(lines[i], 0);
        memset(lines, 0xFF, n * TC_CACHELINE); /* neither the head nor what lies behind is touched */
        b->next = b;
        b->epoch = UINT64_MAX;
        assert_int_equal(b->n, n);
        tc_block_close(&table, b);
        tc_free(&table, shift, n * 8);
        assert_int_equal(tt_alloc_counts(&counting).live_blocks, 0);
    }
    tc_block_close(&table, NULL);
}

static void the_heap_gives_a_block_what_it_is_said_to(void **state)
{
    (void)state;
    for (size_t n = 0; n < 40; n++) {
        struct tc_block *b = tc_block_open(&table, n);
        assert_int_equal(tc_block_heap_bytes(n), tc_heap_bytes(tt_alloc_counts(&counting).live_bytes));
        tc_block_close(&table, b);
    }
}

static void heap_bytes_hold_the_allocation_and_grow_with_it(void **state)
{
    (void)state;
    assert_int_equal(tc_heap_bytes(0), tc_heap_bytes(1));
    for (size_t n = 0; n < 5000; n++) {
        size_t h = tc_heap_bytes(n);
        assert_int_equal(h % 16, 0);
        assert_in_range(h, 32, SIZE_MAX);
        assert_true(n <= 24 ? h == 32 : h >= n + sizeof(size_t) && h - n < sizeof(size_t) + 16);
        assert_true(h <= tc_heap_bytes(n + 1));
    }
    for (size_t less = 0; less < 64; less++) /* what no heap gives does not come out small */
        assert_true(tc_heap_bytes(SIZE_MAX - less) >= SIZE_MAX - less);
}

/* A sanitizer brings an allocator of its own. */
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define MALLOC_IS_GLIBCS
#endif

#ifdef MALLOC_IS_GLIBCS
/* glibc may leave a rest too small for a chunk of its own with the one before it. */
static void heap_bytes_are_those_of_malloc(void **state)
{
    (void)state;
    size_t exact = 0;
    enum { N = 4000 };
    for (size_t n = 1; n <= N; n++) {
        void *p = tc_alloc(&tc_alloc_default, n);
        size_t h = malloc_usable_size(p) + sizeof(size_t);
        assert_in_range(h, tc_heap_bytes(n), tc_heap_bytes(n) + 16);
        exact += h == tc_heap_bytes(n);
        tc_free(&tc_alloc_default, p, n);
    }
    assert_in_range(exact, N * 9 / 10, N);
}
#endif

static void a_string_is_copied_with_its_end(void **state)
{
    (void)state;
    const char *strings[] = { "", "a", "a longer one than most" };
    for (size_t i = 0; i < TC_ARRAY_LEN(strings); i++) {
        char *s = tc_strdup(&table, strings[i]);
        assert_string_equal(s, strings[i]);
        assert_int_equal(tt_alloc_counts(&counting).live_bytes, strlen(strings[i]) + 1);
        tc_strfree(&table, s);
    }
}

/* ---- values and pages ---- */

static const size_t value_sizes[] = { 0, 1, 100, 4096, TC_VALUE_LARGE - 1, TC_VALUE_LARGE, TC_VALUE_LARGE + 1, 100000,
                                      3 << 20 };

static void without_regions_values_and_pages_are_memory_like_any_other(void **state)
{
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(value_sizes); i++) {
        size_t n = value_sizes[i];
        unsigned char *value = tc_alloc_value(&table, n), *pages = tc_alloc_pages(&table, n);
        assert_true(value != NULL && pages != NULL);
        assert_int_equal(tt_alloc_counts(&counting).live_bytes, 2 * (n > 0 ? n : 1));
        memset(value, 0x5A, n);
        memset(pages, 0x5A, n);
        assert_int_equal(tc_value_heap_bytes(&table, n), tc_heap_bytes(n));
        assert_int_equal(tc_pages_heap_bytes(&table, n), tc_heap_bytes(n));
        tc_free_value(&table, value, n);
        tc_free_pages(&table, pages, n);
        assert_int_equal(tt_alloc_counts(&counting).live_blocks, 0);
    }
}

/* What is large comes from them, whole pages of the system each time; the rest as before. */
static void large_values_come_from_regions_where_there_are_some(void **state)
{
    (void)state;
    struct tc_alloc with = table;
    with.regions = tc_regions_open(false);
    assert_non_null(with.regions);
    for (int again = 0; again < 200; again++) /* which would leave too much if it were given to another */
        for (size_t i = 0; i < TC_ARRAY_LEN(value_sizes); i++) {
            size_t n = value_sizes[i], whole = (n + TC_SYSTEM_PAGE - 1) / TC_SYSTEM_PAGE * TC_SYSTEM_PAGE;
            bool large = n >= TC_VALUE_LARGE;
            unsigned char *value = tc_alloc_value(&with, n);
            assert_non_null(value);
            assert_int_equal(tt_alloc_counts(&counting).live_blocks, !large);
            assert_true(!large || (uintptr_t)value % TC_SYSTEM_PAGE == 0);
            assert_int_equal(tc_value_heap_bytes(&with, n), large ? whole : tc_heap_bytes(n));
            assert_int_equal(tc_pages_heap_bytes(&with, n), whole);
            memset(value, 0x5A, n);
            assert_true(!large || tc_regions_bytes(with.regions) >= whole);
            tc_free_value(&with, value, n);
            assert_int_equal(tt_alloc_counts(&counting).live_blocks, 0);
        }
    assert_in_range(tc_regions_bytes(with.regions), 0, 2 << 20); /* one is kept */
    tc_regions_close(with.regions);
}

static void what_is_too_much_to_count_does_not_come_out_small(void **state)
{
    (void)state;
    struct tc_alloc with = table;
    with.regions = tc_regions_open(false);
    assert_non_null(with.regions);
    for (size_t less = 0; less < 3 * (size_t)TC_SYSTEM_PAGE; less++) {
        assert_true(tc_pages_heap_bytes(&with, SIZE_MAX - less) >= SIZE_MAX - less);
        assert_true(tc_value_heap_bytes(&with, SIZE_MAX - less) >= SIZE_MAX - less);
        assert_true(tc_value_heap_bytes(&table, SIZE_MAX - less) >= SIZE_MAX - less);
    }
    tc_regions_close(with.regions);
}

static void no_value_is_freed_by_doing_nothing(void **state)
{
    (void)state;
    struct tc_alloc with = table;
    with.regions = tc_regions_open(false);
    assert_non_null(with.regions);
    for (size_t i = 0; i < TC_ARRAY_LEN(value_sizes); i++) {
        tc_free_value(&table, NULL, value_sizes[i]);
        tc_free_value(&with, NULL, value_sizes[i]);
    }
    assert_int_equal(tt_alloc_counts(&counting).calls, 0);
    tc_regions_close(with.regions);
}

static void out_of_memory_is_null(void **state)
{
    (void)state;
    tt_alloc_fail(&counting, 1, true);
    for (size_t i = 0; i < TC_ARRAY_LEN(value_sizes); i++) {
        assert_null(tc_alloc_value(&table, value_sizes[i]));
        assert_null(tc_alloc_pages(&table, value_sizes[i]));
    }
    assert_null(tc_alloc(&table, 1));
    assert_null(tc_alloc_zeroed(&table, 1));
    assert_null(tc_alloc_lines(&table, 1));
    assert_null(tc_block_open(&table, 1));
    assert_null(tc_strdup(&table, "x"));
}

static void the_default_table_is_malloc_and_free(void **state)
{
    (void)state;
    unsigned char *p = tc_alloc_lines(&tc_alloc_default, 1000);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % TC_CACHELINE, 0);
    tc_free_lines(&tc_alloc_default, p, 1000);
    p = tc_alloc_zeroed(&tc_alloc_default, 0);
    assert_non_null(p);
    tc_free(&tc_alloc_default, p, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_size_is_freed_with_the_size_it_was_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(no_allocation_is_of_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(zeroed_memory_is_zero_to_its_last_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(freeing_nothing_does_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_are_zeroed_and_begin_on_a_cache_line_whatever_the_allocator_gives, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(sizes_that_cannot_be_expressed_are_refused_without_asking, setup, teardown),
        cmocka_unit_test_setup_teardown(a_block_is_a_line_and_the_zeroed_lines_that_follow_it, setup, teardown),
        cmocka_unit_test_setup_teardown(the_heap_gives_a_block_what_it_is_said_to, setup, teardown),
        cmocka_unit_test_setup_teardown(heap_bytes_hold_the_allocation_and_grow_with_it, setup, teardown),
#ifdef MALLOC_IS_GLIBCS
        cmocka_unit_test(heap_bytes_are_those_of_malloc),
#endif
        cmocka_unit_test_setup_teardown(a_string_is_copied_with_its_end, setup, teardown),
        cmocka_unit_test_setup_teardown(without_regions_values_and_pages_are_memory_like_any_other, setup, teardown),
        cmocka_unit_test_setup_teardown(large_values_come_from_regions_where_there_are_some, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_too_much_to_count_does_not_come_out_small, setup, teardown),
        cmocka_unit_test_setup_teardown(no_value_is_freed_by_doing_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(out_of_memory_is_null, setup, teardown),
        cmocka_unit_test(the_default_table_is_malloc_and_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
