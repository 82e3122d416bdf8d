/* Entries: their layout, their account of memory, and sizes that cannot be. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tier/l1/entry.h"
#include "tt_alloc.h"
#include "tt_util.h"

struct fixture {
    struct tt_alloc counting;
    struct tc_alloc alloc;
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
    bool clean = tt_alloc_is_clean(&f->counting);
    tt_alloc_fini(&f->counting);
    free(f);
    return clean ? 0 : -1;
}

static struct cache_slice slice(const void *data, size_t len)
{
    return (struct cache_slice){ data, len };
}

static void a_new_entry_is_fresh_for_ever_and_referenced_by_its_maker(void **state)
{
    struct fixture *f = *state;
    struct tc_entry *e = tc_entry_open(&f->alloc, 32, NULL, 0x1234, slice("key", 3), 5);
    assert_non_null(e);
    assert_int_equal(e->refs, 1);
    assert_int_equal(e->flags, 0);
    assert_int_equal(e->hash, 0x1234);
    assert_int_equal(e->key_len, 3);
    assert_int_equal(e->len, 5);
    assert_int_equal(e->hits, 0);
    assert_int_equal(e->fresh_until_ms, TC_NEVER_MS);
    assert_int_equal(e->keep_until_ms, TC_NEVER_MS);
    assert_false(e->detached);
    assert_null(e->frame);
    assert_null(e->wheel_link);
    assert_ptr_equal(e->data, tc_entry_room(e));
    assert_memory_equal(tc_entry_key(e), "key", 3);
    tc_entry_free(&f->alloc, e);
}

static void node_key_and_value_do_not_overlap(void **state)
{
    struct fixture *f = *state;
    static const unsigned char zeros[256];
    for (size_t node = 0; node <= 256; node += 16)
        for (size_t key_len = 0; key_len < 40; key_len += 3)
            for (size_t len = 0; len < 40; len += 7) {
                unsigned char key[40], value[40];
                memset(key, 'k', sizeof key);
                memset(value, 'v', sizeof value);
                struct tc_entry *e = tc_entry_open(&f->alloc, node, NULL, 1, slice(key, key_len), len);
                memcpy(tc_entry_room(e), value, len);
                assert_int_equal((uintptr_t)tc_entry_node(e) % 8, 0);
                assert_int_equal((uintptr_t)e % _Alignof(struct tc_entry), 0);
                assert_memory_equal(tc_entry_node(e), zeros, node); /* policies rely on it */
                memset(tc_entry_node(e), 'n', node);
                assert_memory_equal(tc_entry_key(e), key, key_len);
                assert_memory_equal(e->data, value, len);
                assert_ptr_equal(tc_entry_of_node(tc_entry_node(e), node), e);
                tc_entry_free(&f->alloc, e);
            }
    assert_true(tt_alloc_is_clean(&f->counting)); /* guards behind each block were whole */
}

static void an_entry_counts_for_what_the_heap_gives_it(void **state)
{
    struct fixture *f = *state;
    for (size_t len = 0; len < 3000; len += 13) {
        size_t before = tt_alloc_counts(&f->counting).live_bytes;
        struct tc_entry *e = tc_entry_open(&f->alloc, 16, NULL, 1, slice("key", 3), len);
        size_t asked = tt_alloc_counts(&f->counting).live_bytes - before;
        assert_int_equal(e->bytes, tc_entry_heap_bytes(asked));
        tc_entry_free(&f->alloc, e);
    }
}

static void heap_bytes_are_never_less_than_malloc_takes(void **state)
{
    (void)state;
    for (size_t n = 1; n < 100000; n += n < 2000 ? 1 : 97) {
        void *p = malloc(n);
        assert_true(tc_entry_heap_bytes(n) >= malloc_usable_size(p) + sizeof(size_t));
        assert_true(tc_entry_heap_bytes(n) <= n + 40);
        free(p);
    }
    assert_true(tc_entry_heap_bytes(0) >= 16);
}

static void an_adopted_frame_is_owned_counted_and_freed(void **state)
{
    struct fixture *f = *state;
    unsigned char *frame = tc_alloc(&f->alloc, 100);
    memset(frame, 'f', 100);
    struct tc_entry *e = tc_entry_adopt(&f->alloc, 16, NULL, 1, slice("key", 3), frame, 100, slice(frame + 40, 50));
    assert_non_null(e);
    assert_ptr_equal(e->data, frame + 40);
    assert_int_equal(e->len, 50);
    assert_ptr_equal(e->frame, frame);
    assert_memory_equal(tc_entry_key(e), "key", 3);
    struct tc_entry *plain = tc_entry_open(&f->alloc, 16, NULL, 1, slice("key", 3), 0);
    assert_int_equal(e->bytes, plain->bytes + tc_entry_heap_bytes(100));
    tc_entry_free(&f->alloc, plain);
    tc_entry_free(&f->alloc, e);
    assert_int_equal(tt_alloc_counts(&f->counting).live_blocks, 0);
}

static void an_empty_value_in_a_frame_is_freed_with_the_right_sizes(void **state)
{
    struct fixture *f = *state;
    unsigned char *frame = tc_alloc(&f->alloc, 100);
    struct tc_entry *e = tc_entry_adopt(&f->alloc, 16, NULL, 1, slice("key", 3), frame, 100, slice(frame + 92, 0));
    assert_int_equal(e->len, 0);
    tc_entry_free(&f->alloc, e);
}

static void a_frame_stays_the_callers_if_there_is_no_memory(void **state)
{
    struct fixture *f = *state;
    unsigned char *frame = tc_alloc(&f->alloc, 100);
    tt_alloc_fail(&f->counting, 1, true);
    assert_null(tc_entry_adopt(&f->alloc, 16, NULL, 1, slice("key", 3), frame, 100, slice(frame, 50)));
    assert_null(tc_entry_open(&f->alloc, 16, NULL, 1, slice("key", 3), 50));
    memset(frame, 1, 100);
    tc_free(&f->alloc, frame, 100);
}

static void sizes_that_overflow_are_refused_without_asking_for_memory(void **state)
{
    struct fixture *f = *state;
    const size_t lengths[] = { SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2, SIZE_MAX / 2 + 1, SIZE_MAX - 200 };
    for (size_t i = 0; i < TC_ARRAY_LEN(lengths); i++)
        assert_null(tc_entry_open(&f->alloc, 16, NULL, 1, slice("key", 3), lengths[i]));
    assert_null(tc_entry_open(&f->alloc, 16, NULL, 1, slice("key", CACHE_KEY_MAX_BYTES + 1), 5));
    assert_null(tc_entry_open(&f->alloc, 16, NULL, 1, slice("key", SIZE_MAX), 5));
    assert_int_equal(tt_alloc_counts(&f->counting).calls, 0);
}

static void the_longest_key_fits(void **state)
{
    struct fixture *f = *state;
    unsigned char *key = tt_xmalloc(CACHE_KEY_MAX_BYTES);
    memset(key, 'k', CACHE_KEY_MAX_BYTES);
    struct tc_entry *e = tc_entry_open(&f->alloc, 0, NULL, 1, slice(key, CACHE_KEY_MAX_BYTES), 0);
    assert_int_equal(e->key_len, CACHE_KEY_MAX_BYTES);
    assert_memory_equal(tc_entry_key(e), key, CACHE_KEY_MAX_BYTES);
    tc_entry_free(&f->alloc, e);
    free(key);
}

static void freeing_no_entry_does_nothing(void **state)
{
    struct fixture *f = *state;
    tc_entry_free(&f->alloc, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_entry_is_fresh_for_ever_and_referenced_by_its_maker, setup, teardown),
        cmocka_unit_test_setup_teardown(node_key_and_value_do_not_overlap, setup, teardown),
        cmocka_unit_test_setup_teardown(an_entry_counts_for_what_the_heap_gives_it, setup, teardown),
        cmocka_unit_test(heap_bytes_are_never_less_than_malloc_takes),
        cmocka_unit_test_setup_teardown(an_adopted_frame_is_owned_counted_and_freed, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_value_in_a_frame_is_freed_with_the_right_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_frame_stays_the_callers_if_there_is_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(sizes_that_overflow_are_refused_without_asking_for_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(the_longest_key_fits, setup, teardown),
        cmocka_unit_test_setup_teardown(freeing_no_entry_does_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
