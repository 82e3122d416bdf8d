/* Allocation through a table. The counting allocator checks the size of every free and both ends of every block. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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
    assert_int_equal(tt_alloc_counts(&counting).calls, 0);
}

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

static void out_of_memory_is_null(void **state)
{
    (void)state;
    tt_alloc_fail(&counting, 1, true);
    assert_null(tc_alloc(&table, 1));
    assert_null(tc_alloc_zeroed(&table, 1));
    assert_null(tc_alloc_lines(&table, 1));
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
        cmocka_unit_test_setup_teardown(a_string_is_copied_with_its_end, setup, teardown),
        cmocka_unit_test_setup_teardown(out_of_memory_is_null, setup, teardown),
        cmocka_unit_test(the_default_table_is_malloc_and_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
