/* Entries where they did not begin: in memory that was lent, and copied into cells of pages; what they count for there,
 * and what is left of them when they have left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_entry.h"

/* ---- lent memory ---- */

/* A small entry in memory of exactly that size, on the heap, so that AddressSanitizer sees what lies beyond. */
static struct tc_entry *lend(struct tt_entry *f, void **memory, size_t cap, size_t node, size_t key_len, size_t len)
{
    unsigned char key[40];
    memset(key, 'k', sizeof key);
    *memory = tt_xmalloc(cap > 0 ? cap : 1);
    memset(*memory, 0xEE, cap);
    return tc_entry_lend(*memory, cap, node, f->type, tt_slice(key, key_len), len);
}

static void an_entry_in_lent_memory_is_the_small_one_and_takes_no_other(void **state)
{
    struct tt_entry *f = *state;
    void *memory;
    for (size_t node = TC_ENTRY_NODE_LEAST; node <= 40; node += 16)
        for (size_t key_len = 1; key_len < 40; key_len += 3)
            for (size_t len = 0; len < 40; len += 3) {
                size_t need = node + sizeof(struct tc_entry) + tc_words_round(key_len) + len;
                struct tc_entry *e = lend(f, &memory, need, node, key_len, len);
                assert_ptr_equal(tc_entry_node(e, node), memory);
                assert_true(tc_entry_is_lent(e));
                assert_false(tc_entry_is_in_l1(e));
                assert_int_equal(e->refs & TC_ENTRY_REFS, 1);
                assert_int_equal(tc_entry_flags(e), TC_ENTRY_FOREVER);
                assert_true(tc_entry_type_id(e) == 7);
                assert_true(tc_entry_key(e).len == key_len && tc_entry_len(e) == len);
                assert_int_equal(tc_entry_own_bytes(e, node), need);
                for (size_t i = 0; i < node; i++)
                    assert_int_equal(((unsigned char *)memory)[i], 0);
                memset(tc_entry_room(e), 'v', len);
                assert_ptr_equal(tc_entry_data(e), (unsigned char *)memory + need - len);
                free(memory);
                assert_null(lend(f, &memory, need - 1, node, key_len, len));
                free(memory);
            }
    assert_int_equal(tt_alloc_counts(&f->counting).calls, 0);
}

static void memory_that_cannot_be_enough_is_refused_whatever_the_sizes(void **state)
{
    struct tt_entry *f = *state;
    static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 7, SIZE_MAX - 40, SIZE_MAX / 2, SIZE_MAX / 2 + 1, 257 };
    unsigned char memory[256];
    memset(memory, 0xEE, sizeof memory);
    for (size_t i = 0; i < TC_ARRAY_LEN(sizes); i++) {
        assert_null(tc_entry_lend(memory, sizeof memory, 16, f->type, tt_slice("key", 3), sizes[i]));
        assert_null(tc_entry_lend(memory, sizeof memory, 16, f->type, tt_slice("key", sizes[i]), 3));
        assert_null(tc_entry_lend(memory, sizeof memory, 16, f->type, tt_slice("key", sizes[i]), sizes[i]));
        assert_null(tc_entry_lend(memory, sizeof memory, 16, f->type, tt_slice("key", sizes[i]), 0 - sizes[i]));
    }
    assert_null(tc_entry_lend(memory, 0, 16, f->type, tt_slice("", 0), 0));
    for (size_t i = 0; i < sizeof memory; i++)
        assert_int_equal(memory[i], 0xEE);
}

/* ---- copies ---- */

/* All but where it lies, its node and who refers to it. */
static void assert_same(const struct tc_entry *copy, const struct tc_entry *e, const struct cache_type *t)
{
    assert_int_equal(tc_entry_type_id(copy), tc_entry_type_id(e));
    assert_int_equal(tc_entry_flags(copy), tc_entry_flags(e));
    assert_true(tc_entry_key(copy).len == tc_entry_key(e).len && tc_entry_len(copy) == tc_entry_len(e));
    assert_memory_equal(tc_entry_key(copy).data, tc_entry_key(e).data, tc_entry_key(e).len);
    assert_memory_equal(tc_entry_data(copy), tc_entry_data(e), tc_entry_len(e));
    assert_ptr_equal(tc_entry_data(copy), /* its own */
                     (const char *)tc_entry_key(copy).data + tc_words_round(tc_entry_key(e).len));
    assert_int_equal(tc_entry_made_ms(copy), tc_entry_made_ms(e));
    assert_int_equal(tc_entry_taken_ms(copy), tc_entry_taken_ms(e));
    assert_int_equal(tc_entry_fresh_until_ms(copy), tc_entry_fresh_until_ms(e));
    assert_int_equal(tc_entry_keep_until_ms(copy, t), tc_entry_keep_until_ms(e, t));
    assert_int_equal(copy->times, e->times);
    if (tc_entry_flags(e) & TC_ENTRY_MORE) {
        assert_int_equal(tc_entry_more(copy)->hash, tc_entry_more(e)->hash);
        assert_ptr_equal(tc_entry_more(copy)->type, tc_entry_more(e)->type);
        assert_int_equal(tc_entry_more(copy)->hits, tc_entry_more(e)->hits);
        assert_null(tc_entry_more(copy)->frame);
    }
}

static void assert_copied(struct tt_entry *f, struct tc_entry *e, size_t node, uint32_t refs_flags)
{
    size_t n = tc_entry_own_bytes(e, node);
    assert_int_equal(tc_entry_copied_bytes(e, node), n);
    unsigned char *memory = tt_xmalloc(n);
    memset(memory, 0xEE, n);
    memset(tc_entry_node(e, node), 'n', node);
    struct tc_entry *copy = tc_entry_copy(memory, refs_flags, e, node);
    assert_ptr_equal(tc_entry_node(copy, node), memory);
    assert_same(copy, e, f->type);
    assert_int_equal(tt_refs(copy), 1 | refs_flags);
    assert_int_equal(tc_entry_own_bytes(copy, node), n);
    for (size_t i = 0; i < node; i++)
        assert_int_equal(memory[i], 0);
    memset(tc_entry_room(e), '?', tc_entry_len(e));
    for (size_t i = 0; i < tc_entry_len(e); i++)
        assert_int_equal(tc_entry_data(copy)[i], 'v');
    free(memory);
}

static void a_copy_is_the_same_in_other_memory_with_references_of_its_own(void **state)
{
    struct tt_entry *f = *state;
    for (size_t kind = 0; kind < TC_ARRAY_LEN(tt_kinds); kind++)
        for (size_t node = TC_ENTRY_NODE_LEAST; node <= 40; node += 16)
            for (size_t key_len = 0; key_len < 4; key_len++)
                for (size_t len = 0; len < 40; len += 3) {
                    struct tc_entry *e = tt_kinds[kind](&f->alloc, node, f->type, 5, tt_slice("key", key_len), len);
                    memset(tc_entry_room(e), 'v', len);
                    tc_entry_set_life(e, 1000, len % 2 ? 500 : -1, TT_STALE_MS);
                    if (tc_entry_flags(e) & TC_ENTRY_MORE) {
                        tc_entry_add_flags(e, TC_ENTRY_COUNTS);
                        tc_entry_more(e)->hits = (uint16_t)(len * 7);
                        tc_entry_more(e)->taken_ms = 1300;
                    }
                    tc_entry_add_flags(e, len == 0 ? TC_ENTRY_ABSENT : 0);
                    assert_copied(f, e, node, len % 2 ? TC_ENTRY_HOUSED | TC_ENTRY_IN_L1 : 0);
                    tc_entry_free(&f->alloc, node, e);
                }
}

static void a_copy_of_a_lent_entry_is_not_lent(void **state)
{
    struct tt_entry *f = *state;
    void *memory;
    struct tc_entry *e = lend(f, &memory, 200, 16, 30, 50);
    memset(tc_entry_room(e), 'v', 50);
    assert_copied(f, e, 16, TC_ENTRY_HOUSED);
    memset(tc_entry_room(e), 'v', 50);
    assert_copied(f, e, 16, 0);
    assert_true(tc_entry_is_lent(e)); /* as before */
    free(memory);
}

/* ---- frames ---- */

enum { FRAME = 3000, AT = 40 }; /* the value lies somewhere in it */

static struct tc_entry *open_framed(struct tt_entry *f, size_t node, size_t key_len, size_t len)
{
    unsigned char *frame = tc_alloc(&f->alloc, FRAME);
    memset(frame, 'f', FRAME);
    memset(frame + AT, 'v', len);
    struct tc_entry *e = tc_entry_adopt(&f->alloc, node, f->type, 5, tt_slice("key", key_len), frame, FRAME,
                                        tt_slice(frame + AT, len));
    assert_non_null(e);
    tc_entry_set_life(e, 1000, 500, TT_STALE_MS);
    tc_entry_add_flags(e, TC_ENTRY_COUNTS);
    tc_entry_more(e)->hits = 77;
    tc_entry_more(e)->taken_ms = 1300;
    return e;
}

/* As if it had been made where it is; the frame stays with the one that has it. */
static void assert_copied_out(struct tt_entry *f, const struct tc_entry *copy, const struct tc_entry *e, size_t node)
{
    assert_int_equal(tc_entry_flags(copy), tc_entry_flags(e));
    assert_int_equal(tc_entry_own_bytes(copy, node), tc_entry_copied_bytes(e, node));
    assert_int_equal(tc_entry_copied_bytes(copy, node), tc_entry_copied_bytes(e, node));
    assert_true(tc_entry_key(copy).len == tc_entry_key(e).len && tc_entry_len(copy) == tc_entry_len(e));
    assert_memory_equal(tc_entry_key(copy).data, "key", tc_entry_key(e).len);
    for (size_t i = 0; i < tc_entry_len(copy); i++)
        assert_int_equal(tc_entry_data(copy)[i], 'v');
    assert_ptr_equal(tc_entry_data(copy),
                     (const char *)tc_entry_key(copy).data + tc_words_round(tc_entry_key(e).len));
    const struct tc_entry_more *to = tc_entry_more(copy), *from = tc_entry_more(e);
    assert_true(to->frame == NULL && to->frame_len == 0);
    assert_true(from->frame != NULL && from->frame_len == FRAME && tc_entry_is_framed(e));
    assert_true(to->hash == from->hash && to->type == f->type && to->hits == 77);
    assert_true(to->made_ms == 1000 && to->taken_ms == 1300 && to->fresh_until_ms == 1500);
    assert_int_equal(to->keep_until_ms, from->keep_until_ms);
}

static void a_copy_of_a_framed_entry_has_its_value_behind_its_key(void **state)
{
    struct tt_entry *f = *state;
    for (size_t node = TC_ENTRY_NODE_LEAST; node <= 40; node += 16)
        for (size_t key_len = 0; key_len < 4; key_len++)
            for (size_t len = 0; len < 2500; len += len < 40 ? 3 : 611) {
                struct tc_entry *e = open_framed(f, node, key_len, len);
                size_t n = tc_entry_copied_bytes(e, node);
                assert_int_equal(n, tc_entry_own_bytes(e, node) + len);
                assert_int_equal(n, tc_entry_bytes_for(node, TC_ENTRY_MORE, key_len, len));
                unsigned char *memory = tt_xmalloc(n);
                memset(memory, 0xEE, n);
                struct tc_entry *copy = tc_entry_copy(memory, TC_ENTRY_IN_EXTENT | TC_ENTRY_IN_L1, e, node);
                memset((unsigned char *)tc_entry_more(e)->frame, '?', FRAME);
                assert_ptr_equal(tc_entry_node(copy, node), memory);
                assert_int_equal(tt_refs(copy), 1 | TC_ENTRY_IN_EXTENT | TC_ENTRY_IN_L1);
                assert_copied_out(f, copy, e, node);
                tc_entry_free(&f->alloc, node, e);
                free(memory);
            }
}

static void a_copy_in_memory_of_its_own_needs_no_more_than_that(void **state)
{
    struct tt_entry *f = *state;
    struct tc_entry *e = open_framed(f, 16, 3, 1000);
    size_t before = tt_entry_live(f);
    tt_alloc_fail(&f->counting, 1, false);
    assert_null(tc_entry_copy_alone(&f->alloc, 16, e));
    assert_int_equal(tt_entry_live(f), before);
    struct tc_entry *copy = tc_entry_copy_alone(&f->alloc, 16, e);
    assert_int_equal(tt_entry_live(f) - before, tc_entry_copied_bytes(e, 16));
    assert_int_equal(tt_refs(copy), 1);
    assert_copied_out(f, copy, e, 16);
    assert_int_equal(tc_entry_bytes(&f->alloc, copy, 16), tc_heap_bytes(tc_entry_copied_bytes(e, 16)));
    tc_entry_free(&f->alloc, 16, e);
    tc_entry_free(&f->alloc, 16, copy);
}

/* ---- places ---- */

/* A cell of a page, an extent, a caller's memory, its own: two bits say which. */
static void where_it_lies_is_known_from_its_references(void **state)
{
    struct tt_entry *f = *state;
    static const struct {
        uint32_t flags;
        bool lent, housed;
    } rows[] = { { 0, false, false },
                 { TC_ENTRY_LENT, true, false },
                 { TC_ENTRY_HOUSED, false, true },
                 { TC_ENTRY_IN_EXTENT, false, true } };
    for (size_t len = 0; len < 30000; len += 1 + len / 3)
        for (size_t i = 0; i < TC_ARRAY_LEN(rows); i++) {
            if (rows[i].flags == TC_ENTRY_HOUSED && tc_entry_bytes_for(16, 0, 3, len) > TC_SLAB_MOST)
                continue;
            struct tc_entry *e = tc_entry_open_small(&f->alloc, 16, f->type, 5, tt_slice("key", 3), len);
            size_t own = tc_entry_own_bytes(e, 16), counts = tc_heap_bytes(own);
            atomic_fetch_or(&e->refs, rows[i].flags);
            assert_int_equal(tc_entry_is_lent(e), rows[i].lent);
            assert_int_equal(tc_entry_refs_are_lent(rows[i].flags | TC_ENTRY_IN_L1 | 7), rows[i].lent);
            if (rows[i].flags == TC_ENTRY_IN_EXTENT)
                counts = tc_extents_round(own);
            else if (rows[i].housed)
                counts = tc_slab_round(own);
            assert_int_equal(tc_entry_bytes(&f->alloc, e, 16), counts);
            if (rows[i].housed)
                assert_int_equal(tc_entry_housed_bytes(rows[i].flags | TC_ENTRY_FOREVER, own), counts);
            assert_int_equal(tc_entry_own_bytes(e, 16), own);
            atomic_fetch_and(&e->refs, ~(uint32_t)TC_ENTRY_IN_EXTENT);
            tc_entry_free(&f->alloc, 16, e);
        }
}

/* Of an entry that is copied, its place is not. */
static void a_copy_lies_where_it_is_told(void **state)
{
    struct tt_entry *f = *state;
    static const uint32_t places[] = { 0, TC_ENTRY_HOUSED, TC_ENTRY_IN_EXTENT };
    void *memory;
    for (size_t from = 0; from < TC_ARRAY_LEN(places); from++)
        for (size_t to = 0; to < TC_ARRAY_LEN(places); to++) {
            struct tc_entry *e = lend(f, &memory, 200, 16, 30, 50);
            memset(tc_entry_room(e), 'v', 50);
            atomic_store(&e->refs, places[from] | TC_ENTRY_FOREVER | TC_ENTRY_IN_L1 | 3);
            assert_copied(f, e, 16, places[to]);
            free(memory);
        }
}

/* ---- account ---- */

/* What it counts for in a page is what the cell takes from it. */
static void in_a_page_an_entry_counts_for_its_cell(void **state)
{
    struct tt_entry *f = *state;
    for (size_t kind = 0; kind < TC_ARRAY_LEN(tt_kinds); kind++)
        for (size_t len = 0; len < 1800; len += 7) {
            struct tc_entry *e = tt_kinds[kind](&f->alloc, 16, f->type, 5, tt_slice("key", 3), len);
            size_t own = tc_entry_own_bytes(e, 16);
            atomic_fetch_or(&e->refs, TC_ENTRY_HOUSED);
            assert_int_equal(tc_entry_bytes(&f->alloc, e, 16), tc_slab_round(own));
            assert_true(tc_entry_bytes(&f->alloc, e, 16) >= own && tc_entry_bytes(&f->alloc, e, 16) % 8 == 0);
            atomic_fetch_and(&e->refs, ~(uint32_t)TC_ENTRY_HOUSED);
            assert_int_equal(tc_entry_bytes(&f->alloc, e, 16), tc_heap_bytes(own));
            tc_entry_free(&f->alloc, 16, e);
        }
}

static void a_frame_is_not_of_an_entrys_own_bytes(void **state)
{
    struct tt_entry *f = *state;
    unsigned char *frame = tc_alloc(&f->alloc, 5000);
    size_t before = tt_entry_live(f);
    struct tc_entry *e =
        tc_entry_adopt(&f->alloc, 16, f->type, 1, tt_slice("key", 3), frame, 5000, tt_slice(frame, 4000));
    assert_int_equal(tc_entry_own_bytes(e, 16), tt_entry_live(f) - before);
    tc_entry_free(&f->alloc, 16, e);
}

/* In the end of the node: a hit that comes late marks the begin of it, or the policy's part. */
static void what_a_left_entry_is_known_by_lies_right_before_it(void **state)
{
    struct tt_entry *f = *state;
    for (size_t node = TC_ENTRY_NODE_LEAST; node <= 40; node += 8) {
        struct tc_entry *e = tc_entry_open_small(&f->alloc, node, f->type, 0x1234, tt_slice("key", 3), 5);
        unsigned char *at = tc_entry_node(e, node);
        memset(at, 'n', node);
        tc_pair_set(tc_entry_left(e), 0x01020304, 0x05060708);
        assert_true(tc_pair_first(tc_entry_left(e)) == 0x01020304 && tc_pair_second(tc_entry_left(e)) == 0x05060708);
        for (size_t i = 0; i + TC_ENTRY_NODE_LEAST < node; i++)
            assert_int_equal(at[i], 'n');
        assert_true(tt_refs(e) == 1);
        assert_memory_equal(tc_entry_key(e).data, "key", 3);
        tc_entry_free(&f->alloc, node, e);
    }
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, tt_entry_setup, tt_entry_teardown)
    const struct CMUnitTest tests[] = {
        FRESH(an_entry_in_lent_memory_is_the_small_one_and_takes_no_other),
        FRESH(memory_that_cannot_be_enough_is_refused_whatever_the_sizes),
        FRESH(a_copy_is_the_same_in_other_memory_with_references_of_its_own),
        FRESH(a_copy_of_a_lent_entry_is_not_lent),
        FRESH(a_copy_of_a_framed_entry_has_its_value_behind_its_key),
        FRESH(a_copy_in_memory_of_its_own_needs_no_more_than_that),
        FRESH(where_it_lies_is_known_from_its_references),
        FRESH(a_copy_lies_where_it_is_told),
        FRESH(in_a_page_an_entry_counts_for_its_cell),
        FRESH(a_frame_is_not_of_an_entrys_own_bytes),
        FRESH(what_a_left_entry_is_known_by_lies_right_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
