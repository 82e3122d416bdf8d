/* Entries of both kinds: their layout, their account of memory, sizes that cannot be, and the times that they tell. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_entry.h"

/* Beyond these an entry without more cannot say how long it lives. */
#define LIVES_MS (INT64_C(1) << 28)
#define CLOCKS_MS (INT64_C(1) << 36)

/* ---- layout ---- */

static void a_new_entry_is_fresh_for_ever_and_referenced_by_its_maker(void **state)
{
    struct tt_entry *f = *state;
    for (size_t kind = 0; kind < TC_ARRAY_LEN(tt_kinds); kind++) {
        struct tc_entry *e = tt_kinds[kind](&f->alloc, 32, f->type, 0x1234, tt_slice("key", 3), 5);
        assert_non_null(e);
        assert_int_equal(tt_refs(e), 1);
        assert_int_equal(kind == 0 ? tc_entry_more(e)->hash : 0x1234, 0x1234);
        assert_int_equal(tc_entry_key(e).len, 3);
        assert_int_equal(tc_entry_len(e), 5);
        assert_int_equal(tc_entry_type_id(e), 7);
        assert_int_equal(tc_entry_fresh_until_ms(e), TC_NEVER_MS);
        assert_int_equal(tc_entry_keep_until_ms(e, f->type), TC_NEVER_MS);
        assert_false(tc_entry_is_in_l1(e));
        assert_ptr_equal(tc_entry_data(e), tc_entry_room(e));
        assert_memory_equal(tc_entry_key(e).data, "key", 3);
        tc_entry_free(&f->alloc, 32, e);
    }
}

static void only_the_large_kind_has_more(void **state)
{
    struct tt_entry *f = *state;
    struct tc_entry *e = tc_entry_open(&f->alloc, 32, f->type, 1, tt_slice("key", 3), 5);
    struct tc_entry *small = tc_entry_open_small(&f->alloc, 32, f->type, 1, tt_slice("key", 3), 5);
    assert_int_equal(tc_entry_flags(e) & (TC_ENTRY_MORE | TC_ENTRY_ABSENT | TC_ENTRY_COUNTS), TC_ENTRY_MORE);
    assert_int_equal(tc_entry_flags(small) & (TC_ENTRY_MORE | TC_ENTRY_ABSENT | TC_ENTRY_COUNTS), 0);
    assert_ptr_equal(tc_entry_more(e)->type, f->type);
    assert_null(tc_entry_more(e)->frame);
    assert_int_equal(tc_entry_more(e)->hits, 0);
    tc_entry_free(&f->alloc, 32, e);
    tc_entry_free(&f->alloc, 32, small);
}

static void assert_parts_are_apart(struct tt_entry *f, tt_open_fn *open, size_t node, size_t key_len, size_t len)
{
    static const unsigned char zeros[256];
    unsigned char key[40], value[40];
    memset(key, 'k', sizeof key);
    memset(value, 'v', sizeof value);
    struct tc_entry *e = open(&f->alloc, node, f->type, 1, tt_slice(key, key_len), len);
    memcpy(tc_entry_room(e), value, len);
    assert_int_equal((uintptr_t)tc_entry_node(e, node) % 8, 0);
    assert_int_equal((uintptr_t)e % 8, 0);
    bool more = tc_entry_flags(e) & TC_ENTRY_MORE;
    assert_true(!more || (uintptr_t)tc_entry_more(e) % _Alignof(struct tc_entry_more) == 0);
    assert_memory_equal(tc_entry_node(e, node), zeros, node); /* policies rely on it */
    memset(tc_entry_node(e, node), 'n', node);
    tc_entry_set_life(e, CLOCKS_MS / 2, 12345, TT_STALE_MS);
    assert_int_equal(tc_entry_made_ms(e), CLOCKS_MS / 2);
    assert_memory_equal(tc_entry_key(e).data, key, key_len);
    assert_memory_equal(tc_entry_data(e), value, len);
    assert_ptr_equal(tc_entry_of_node(tc_entry_node(e, node), node), e);
    assert_int_equal(tt_refs(e), 1);
    tc_entry_free(&f->alloc, node, e);
}

static void node_key_and_value_do_not_overlap(void **state)
{
    struct tt_entry *f = *state;
    for (size_t kind = 0; kind < TC_ARRAY_LEN(tt_kinds); kind++)
        for (size_t node = TC_ENTRY_NODE_LEAST; node <= 256; node += 8)
            for (size_t key_len = 0; key_len < 40; key_len += 3)
                for (size_t len = 0; len < 40; len += 7)
                    assert_parts_are_apart(f, tt_kinds[kind], node, key_len, len);
    assert_true(tt_alloc_is_clean(&f->counting)); /* guards behind each block were whole */
}

static void an_entry_knows_its_type_whatever_its_number(void **state)
{
    struct tt_entry *f = *state;
    for (uint32_t id = 0; id < TC_TYPES_MAX; id++) {
        struct cache_type *t = tt_entry_type(id, 0);
        for (size_t kind = 0; kind < TC_ARRAY_LEN(tt_kinds); kind++) {
            struct tc_entry *e = tt_kinds[kind](&f->alloc, 16, t, 1, tt_slice("key", 3), 5);
            tc_entry_add_flags(e, TC_ENTRY_ABSENT | TC_ENTRY_COUNTS);
            assert_int_equal(tc_entry_type_id(e), id);
            assert_int_equal(tc_entry_key(e).len, 3);
            tc_entry_free(&f->alloc, 16, e);
        }
        tc_type_close(t);
    }
}

/* ---- account ---- */

static void an_entry_counts_for_what_the_heap_gives_it(void **state)
{
    struct tt_entry *f = *state;
    for (size_t kind = 0; kind < TC_ARRAY_LEN(tt_kinds); kind++)
        for (size_t node = TC_ENTRY_NODE_LEAST; node <= 40; node += 8)
            for (size_t len = 0; len < 3000; len += 13) {
                size_t before = tt_entry_live(f);
                struct tc_entry *e = tt_kinds[kind](&f->alloc, node, f->type, 1, tt_slice("key", 3), len);
                size_t asked = tt_entry_live(f) - before;
                assert_true(asked >= node + sizeof *e + 3 + len);
                assert_int_equal(tc_entry_own_bytes(e, node), asked);
                assert_int_equal(tc_entry_bytes(&f->alloc, e, node), tc_heap_bytes(asked));
                tc_entry_free(&f->alloc, node, e);
            }
}

/* The key is filled up to a whole word, for the value to begin with one: this is what most entries are, and there are
 * many of them. */
static void a_small_entry_takes_16_bytes_beside_node_key_and_value(void **state)
{
    struct tt_entry *f = *state;
    struct tc_entry *e = tc_entry_open_small(&f->alloc, 32, f->type, 1, tt_slice("key", 3), 100);
    assert_int_equal(tt_entry_live(f), 32 + 16 + 8 + 100);
    tc_entry_free(&f->alloc, 32, e);
    e = tc_entry_open(&f->alloc, 32, f->type, 1, tt_slice("key", 3), 100);
    assert_int_equal(tt_entry_live(f), 32 + 16 + sizeof(struct tc_entry_more) + 8 + 100);
    tc_entry_free(&f->alloc, 32, e);
}

/* The first of all: in a heap with holes malloc gives a hole whole where the rest would be of no use. */
static void heap_bytes_are_never_less_than_malloc_takes(void **state)
{
    (void)state;
    for (size_t n = 1; n < 100000; n += n < 2000 ? 1 : 97) {
        void *p = malloc(n);
        assert_true(tc_heap_bytes(n) >= malloc_usable_size(p) + sizeof(size_t));
        assert_true(tc_heap_bytes(n) <= n + 40);
        free(p);
    }
    assert_true(tc_heap_bytes(0) >= 16);
}

/* ---- frames ---- */

static void an_adopted_frame_is_owned_counted_and_freed(void **state)
{
    struct tt_entry *f = *state;
    unsigned char *frame = tc_alloc(&f->alloc, 100);
    memset(frame, 'f', 100);
    struct tc_entry *e =
        tc_entry_adopt(&f->alloc, 16, f->type, 9, tt_slice("key", 3), frame, 100, tt_slice(frame + 40, 50));
    assert_non_null(e);
    assert_ptr_equal(tc_entry_data(e), frame + 40);
    assert_int_equal(tc_entry_len(e), 50);
    assert_int_equal(tt_refs(e), 1);
    assert_int_equal(tc_entry_more(e)->hash, 9);
    assert_int_equal(tc_entry_type_id(e), 7);
    assert_int_equal(tc_entry_fresh_until_ms(e), TC_NEVER_MS);
    assert_ptr_equal(tc_entry_more(e)->frame, frame);
    assert_int_equal(tc_entry_more(e)->frame_len, 100);
    assert_memory_equal(tc_entry_key(e).data, "key", 3);
    struct tc_entry *plain = tc_entry_open(&f->alloc, 16, f->type, 9, tt_slice("key", 3), 0);
    assert_int_equal(tc_entry_bytes(&f->alloc, e, 16), tc_entry_bytes(&f->alloc, plain, 16) + tc_heap_bytes(100));
    tc_entry_free(&f->alloc, 16, plain);
    tc_entry_free(&f->alloc, 16, e);
    assert_int_equal(tt_alloc_counts(&f->counting).live_blocks, 0);
}

static void an_empty_value_in_a_frame_is_freed_with_the_right_sizes(void **state)
{
    struct tt_entry *f = *state;
    unsigned char *frame = tc_alloc(&f->alloc, 100);
    struct tc_entry *e =
        tc_entry_adopt(&f->alloc, 16, f->type, 1, tt_slice("key", 3), frame, 100, tt_slice(frame + 92, 0));
    assert_int_equal(tc_entry_len(e), 0);
    tc_entry_free(&f->alloc, 16, e);
    assert_int_equal(tt_alloc_counts(&f->counting).live_blocks, 0);
}

static void a_frame_stays_the_callers_if_there_is_no_memory(void **state)
{
    struct tt_entry *f = *state;
    unsigned char *frame = tc_alloc(&f->alloc, 100);
    tt_alloc_fail(&f->counting, 1, true);
    assert_null(tc_entry_adopt(&f->alloc, 16, f->type, 1, tt_slice("key", 3), frame, 100, tt_slice(frame, 50)));
    for (size_t kind = 0; kind < TC_ARRAY_LEN(tt_kinds); kind++)
        assert_null(tt_kinds[kind](&f->alloc, 16, f->type, 1, tt_slice("key", 3), 50));
    assert_int_equal(tt_alloc_counts(&f->counting).failed, 3);
    memset(frame, 1, 100);
    tc_free(&f->alloc, frame, 100);
}

/* ---- sizes ---- */

static void sizes_that_overflow_are_refused_without_asking_for_memory(void **state)
{
    struct tt_entry *f = *state;
    const size_t lengths[] = { SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2, SIZE_MAX / 2 + 1, SIZE_MAX - 200,
                               (size_t)UINT32_MAX + 1 };
    static unsigned char frame[1];
    for (size_t kind = 0; kind < TC_ARRAY_LEN(tt_kinds); kind++) {
        for (size_t i = 0; i < TC_ARRAY_LEN(lengths); i++)
            assert_null(tt_kinds[kind](&f->alloc, 16, f->type, 1, tt_slice("key", 3), lengths[i]));
        assert_null(tt_kinds[kind](&f->alloc, 16, f->type, 1, tt_slice("key", CACHE_KEY_MAX_BYTES + 1), 5));
        assert_null(tt_kinds[kind](&f->alloc, 16, f->type, 1, tt_slice("key", SIZE_MAX), 5));
    }
    for (size_t i = 0; i < TC_ARRAY_LEN(lengths); i++)
        assert_null(
            tc_entry_adopt(&f->alloc, 16, f->type, 1, tt_slice("key", 3), frame, 1, tt_slice(frame, lengths[i])));
    assert_null(tc_entry_adopt(&f->alloc, 16, f->type, 1, tt_slice("key", CACHE_KEY_MAX_BYTES + 1), frame, 1,
                               tt_slice(frame, 1)));
    assert_int_equal(tt_alloc_counts(&f->counting).calls, 0);
}

/* The heap is asked: whether there is so much is its business. */
static void a_value_of_four_gigabytes_less_one_can_be_expressed(void **state)
{
    struct tt_entry *f = *state;
    tt_alloc_fail(&f->counting, 1, true);
    for (size_t kind = 0; kind < TC_ARRAY_LEN(tt_kinds); kind++) {
        assert_null(tt_kinds[kind](&f->alloc, 16, f->type, 1, tt_slice("key", 3), UINT32_MAX));
        assert_int_equal(tt_alloc_counts(&f->counting).failed, kind + 1);
    }
}

static void the_longest_key_fits(void **state)
{
    struct tt_entry *f = *state;
    unsigned char *key = tt_xmalloc(CACHE_KEY_MAX_BYTES);
    memset(key, 'k', CACHE_KEY_MAX_BYTES);
    for (size_t kind = 0; kind < TC_ARRAY_LEN(tt_kinds); kind++) {
        struct tc_entry *e = tt_kinds[kind](&f->alloc, 16, f->type, 1, tt_slice(key, CACHE_KEY_MAX_BYTES), 8);
        assert_int_equal(tc_entry_key(e).len, CACHE_KEY_MAX_BYTES);
        assert_memory_equal(tc_entry_key(e).data, key, CACHE_KEY_MAX_BYTES);
        assert_ptr_equal(tc_entry_data(e), (const char *)tc_entry_key(e).data + tc_words_round(CACHE_KEY_MAX_BYTES));
        tc_entry_free(&f->alloc, 16, e);
    }
    free(key);
}

static void freeing_no_entry_does_nothing(void **state)
{
    struct tt_entry *f = *state;
    tc_entry_free(&f->alloc, 16, NULL);
}

/* ---- the other kind ---- */

static void assert_same_but_wide(const struct tc_entry *wide, const struct tc_entry *e, const struct cache_type *t)
{
    assert_true(tc_entry_flags(wide) & TC_ENTRY_MORE);
    assert_int_equal(tc_entry_flags(wide) & TC_ENTRY_ABSENT, tc_entry_flags(e) & TC_ENTRY_ABSENT);
    assert_int_equal(tc_entry_more(wide)->hash, 77);
    assert_int_equal(tc_entry_type_id(wide), tc_entry_type_id(e));
    assert_int_equal(tc_entry_key(wide).len, tc_entry_key(e).len);
    assert_int_equal(tc_entry_len(wide), tc_entry_len(e));
    assert_int_equal(tt_refs(wide), 1);
    assert_ptr_equal(tc_entry_more(wide)->type, t);
    assert_memory_equal(tc_entry_key(wide).data, tc_entry_key(e).data, tc_entry_key(e).len);
    assert_memory_equal(tc_entry_data(wide), tc_entry_data(e), tc_entry_len(e));
    assert_int_equal(tc_entry_fresh_until_ms(wide), TC_NEVER_MS);
}

static void a_small_entry_has_a_copy_of_the_large_kind(void **state)
{
    struct tt_entry *f = *state;
    unsigned char key[40], value[40];
    memset(key, 'k', sizeof key);
    memset(value, 'v', sizeof value);
    for (size_t key_len = 1; key_len < 40; key_len += 3)
        for (size_t len = 0; len < 40; len++) {
            struct tc_entry *e = tc_entry_open_small(&f->alloc, 16, f->type, 77, tt_slice(key, key_len), len);
            memcpy(tc_entry_room(e), value, len);
            tc_entry_add_flags(e, len == 0 ? TC_ENTRY_ABSENT : 0);
            struct tc_entry *wide = tc_entry_widen(&f->alloc, 16, f->type, 77, e);
            assert_same_but_wide(wide, e, f->type);
            tc_entry_free(&f->alloc, 16, e);
            tc_entry_set_life(wide, CLOCKS_MS, LIVES_MS, 5);
            assert_int_equal(tc_entry_fresh_until_ms(wide), CLOCKS_MS + LIVES_MS);
            assert_memory_equal(tc_entry_data(wide), value, len); /* its own, not the other's */
            tc_entry_free(&f->alloc, 16, wide);
        }
}

static void without_memory_for_a_copy_the_entry_stays_as_it_is(void **state)
{
    struct tt_entry *f = *state;
    struct tc_entry *e = tc_entry_open_small(&f->alloc, 16, f->type, 77, tt_slice("key", 3), 5), before;
    memcpy(tc_entry_room(e), "value", 5);
    memcpy(&before, e, sizeof before);
    tt_alloc_fail(&f->counting, 1, true);
    assert_null(tc_entry_widen(&f->alloc, 16, f->type, 77, e));
    assert_memory_equal(&before, e, sizeof before);
    assert_memory_equal(tc_entry_data(e), "value", 5);
    tc_entry_free(&f->alloc, 16, e);
}

/* ---- times ---- */

/* Among them those of a machine that has been up for years, and of an application's clock that counts from 1970. */
static const int64_t clocks_ms[] = { 0, 1, 2047, 1000000, CLOCKS_MS / 2 + 77, CLOCKS_MS - LIVES_MS, CLOCKS_MS - 1,
                                     CLOCKS_MS, CLOCKS_MS + 12345, INT64_C(1700000000123), (INT64_C(1) << 45) + 3 };
static const int64_t lives_ms[] = { 0, 1, 1000, 60000, 86400000, LIVES_MS / 2 + 1, LIVES_MS - 1, LIVES_MS,
                                    LIVES_MS + 1, INT64_C(86400000) * 365, CACHE_TTL_MAX_MS - 1, CACHE_TTL_MAX_MS };

static void assert_exact(struct tc_entry *e, const struct cache_type *t, int64_t now_ms, int64_t life_ms)
{
    tc_entry_set_life(e, now_ms, life_ms, TT_STALE_MS);
    assert_int_equal(tc_entry_made_ms(e), now_ms);
    assert_int_equal(tc_entry_taken_ms(e), now_ms);
    assert_int_equal(tc_entry_fresh_until_ms(e), now_ms + life_ms);
    assert_int_equal(tc_entry_keep_until_ms(e, t), now_ms + life_ms + TT_STALE_MS);
}

static void with_more_every_time_is_exact(void **state)
{
    struct tt_entry *f = *state;
    struct tc_entry *e = tc_entry_open(&f->alloc, 16, f->type, 1, tt_slice("key", 3), 5);
    for (size_t c = 0; c < TC_ARRAY_LEN(clocks_ms); c++)
        for (size_t i = 0; i < TC_ARRAY_LEN(lives_ms); i++)
            assert_exact(e, f->type, clocks_ms[c], lives_ms[i]);
    tc_entry_free(&f->alloc, 16, e);
}

static void without_more_what_can_be_said_is_exact(void **state)
{
    struct tt_entry *f = *state;
    struct tc_entry *e = tc_entry_open_small(&f->alloc, 16, f->type, 1, tt_slice("key", 3), 5);
    for (size_t c = 0; c < TC_ARRAY_LEN(clocks_ms); c++)
        for (size_t i = 0; i < TC_ARRAY_LEN(lives_ms); i++) {
            bool can = lives_ms[i] < LIVES_MS && clocks_ms[c] + lives_ms[i] < CLOCKS_MS;
            assert_int_equal(tc_entry_can_say(clocks_ms[c], lives_ms[i]), can);
            if (can)
                assert_exact(e, f->type, clocks_ms[c], lives_ms[i]);
        }
    tc_entry_free(&f->alloc, 16, e);
}

static void without_more_any_life_of_less_than_three_days_is_exact(void **state)
{
    struct tt_entry *f = *state;
    struct tc_entry *e = tc_entry_open_small(&f->alloc, 16, f->type, 1, tt_slice("key", 3), 5);
    uint64_t seed = tt_seed();
    for (int i = 0; i < 200000; i++) {
        int64_t life_ms = (int64_t)(tt_random(&seed) % (uint64_t)LIVES_MS) >> tt_random(&seed) % 28;
        int64_t now_ms = (int64_t)(tt_random(&seed) % (uint64_t)(CLOCKS_MS - LIVES_MS)) >> tt_random(&seed) % 36;
        assert_true(tc_entry_can_say(now_ms, life_ms));
        assert_exact(e, f->type, now_ms, life_ms);
    }
    tc_entry_free(&f->alloc, 16, e);
}

static void for_ever_can_always_be_said_and_still_has_an_age(void **state)
{
    struct tt_entry *f = *state;
    for (size_t kind = 0; kind < TC_ARRAY_LEN(tt_kinds); kind++) {
        struct tc_entry *e = tt_kinds[kind](&f->alloc, 16, f->type, 1, tt_slice("key", 3), 5);
        for (size_t c = 0; c < TC_ARRAY_LEN(clocks_ms); c++) {
            assert_true(tc_entry_can_say(clocks_ms[c], -1));
            tc_entry_set_life(e, clocks_ms[c], -1, TT_STALE_MS);
            assert_int_equal(tc_entry_made_ms(e), clocks_ms[c]);
            assert_int_equal(tc_entry_taken_ms(e), clocks_ms[c]);
            assert_int_equal(tc_entry_fresh_until_ms(e), TC_NEVER_MS);
            assert_int_equal(tc_entry_keep_until_ms(e, f->type), TC_NEVER_MS);
        }
        tc_entry_free(&f->alloc, 16, e);
    }
}

static void with_more_a_life_beyond_the_end_of_time_is_for_ever(void **state)
{
    struct tt_entry *f = *state;
    struct tc_entry *e = tc_entry_open(&f->alloc, 16, f->type, 1, tt_slice("key", 3), 5);
    tc_entry_set_life(e, 1000, TC_NEVER_MS - 1000, TT_STALE_MS);
    assert_int_equal(tc_entry_fresh_until_ms(e), TC_NEVER_MS);
    assert_int_equal(tc_entry_keep_until_ms(e, f->type), TC_NEVER_MS);
    tc_entry_set_life(e, 1000, TC_NEVER_MS, TT_STALE_MS);
    assert_int_equal(tc_entry_fresh_until_ms(e), TC_NEVER_MS);
    tc_entry_set_life(e, 1000, TC_NEVER_MS - 1001, TT_STALE_MS);
    assert_int_equal(tc_entry_fresh_until_ms(e), TC_NEVER_MS - 1);
    assert_int_equal(tc_entry_keep_until_ms(e, f->type), TC_NEVER_MS);
    tc_entry_set_life(e, 1000, TC_NEVER_MS - 1001 - TT_STALE_MS, TT_STALE_MS);
    assert_int_equal(tc_entry_keep_until_ms(e, f->type), TC_NEVER_MS - 1);
    tc_entry_free(&f->alloc, 16, e);
}

static void a_life_can_be_set_again_and_leaves_other_flags_alone(void **state)
{
    struct tt_entry *f = *state;
    static const int64_t again_ms[] = { 5, -1, LIVES_MS - 1, 7, 0, -1, 9 };
    for (size_t kind = 0; kind < TC_ARRAY_LEN(tt_kinds); kind++) {
        struct tc_entry *e = tt_kinds[kind](&f->alloc, 16, f->type, 1, tt_slice("key", 3), 5);
        uint32_t flags = (tc_entry_flags(e) & TC_ENTRY_MORE) | TC_ENTRY_ABSENT;
        tc_entry_add_flags(e, TC_ENTRY_ABSENT);
        for (size_t i = 0; i < TC_ARRAY_LEN(again_ms); i++) {
            tc_entry_set_life(e, 4099, again_ms[i], TT_STALE_MS);
            assert_int_equal(tc_entry_fresh_until_ms(e), again_ms[i] < 0 ? TC_NEVER_MS : 4099 + again_ms[i]);
            assert_int_equal(tc_entry_made_ms(e), 4099);
            assert_int_equal(tc_entry_flags(e) & ~(unsigned)TC_ENTRY_FOREVER, flags);
        }
        tc_entry_free(&f->alloc, 16, e);
    }
}

static void set_max_stale(struct cache_type *t, int64_t max_stale_ms)
{
    struct tc_policy p;
    tc_type_policy(t, &p);
    p.max_stale_ms = max_stale_ms;
    tc_type_set_policy(t, &p, 0);
}

static void the_stale_window_of_a_small_entry_follows_its_type(void **state)
{
    struct tt_entry *f = *state;
    static const int64_t windows_ms[] = { 0, 1, 777, CACHE_TTL_MAX_MS };
    struct tc_entry *small = tc_entry_open_small(&f->alloc, 16, f->type, 1, tt_slice("key", 3), 5);
    struct tc_entry *e = tc_entry_open(&f->alloc, 16, f->type, 1, tt_slice("key", 3), 5);
    struct tc_entry *eternal = tc_entry_open_small(&f->alloc, 16, f->type, 1, tt_slice("key", 3), 5);
    tc_entry_set_life(small, 1000, 500, TT_STALE_MS);
    tc_entry_set_life(e, 1000, 500, TT_STALE_MS);
    tc_entry_set_life(eternal, 1000, -1, TT_STALE_MS);
    for (size_t i = 0; i < TC_ARRAY_LEN(windows_ms); i++) {
        set_max_stale(f->type, windows_ms[i]);
        assert_int_equal(tc_entry_keep_until_ms(small, f->type), 1500 + windows_ms[i]);
        assert_int_equal(tc_entry_fresh_until_ms(small), 1500);
        assert_int_equal(tc_entry_keep_until_ms(e, f->type), 1500 + TT_STALE_MS);
        assert_int_equal(tc_entry_keep_until_ms(eternal, f->type), TC_NEVER_MS);
    }
    tc_entry_free(&f->alloc, 16, small);
    tc_entry_free(&f->alloc, 16, e);
    tc_entry_free(&f->alloc, 16, eternal);
}

static void with_more_when_it_was_made_and_when_it_was_taken_are_two_times(void **state)
{
    struct tt_entry *f = *state;
    struct tc_entry *e = tc_entry_open(&f->alloc, 16, f->type, 1, tt_slice("key", 3), 5);
    tc_entry_more(e)->made_ms = 100;
    tc_entry_more(e)->taken_ms = 250;
    assert_int_equal(tc_entry_made_ms(e), 100);
    assert_int_equal(tc_entry_taken_ms(e), 250);
    tc_entry_free(&f->alloc, 16, e);
}

static void what_an_entry_is_in_is_told_beside_its_references(void **state)
{
    struct tt_entry *f = *state;
    struct tc_entry *e = tc_entry_open_small(&f->alloc, 16, f->type, 1, tt_slice("key", 3), 5);
    atomic_store(&e->refs, TC_ENTRY_REFS | TC_ENTRY_DETACHED);
    assert_false(tc_entry_is_in_l1(e));
    atomic_store(&e->refs, TC_ENTRY_IN_L1 | 1);
    assert_true(tc_entry_is_in_l1(e));
    static const uint32_t told[] = { TC_ENTRY_DETACHED, TC_ENTRY_IN_L1, TC_ENTRY_HOUSED, TC_ENTRY_LENT };
    uint32_t all = TC_ENTRY_REFS | TC_ENTRY_VERSIONS | TC_ENTRY_FLAGS;
    for (size_t i = 0; i < TC_ARRAY_LEN(told); i++) {
        assert_int_equal(all & told[i], 0);
        all |= told[i];
        atomic_store(&e->refs, TC_ENTRY_REFS | TC_ENTRY_FOREVER | told[i]);
        assert_int_equal(tc_entry_is_in_l1(e), told[i] == TC_ENTRY_IN_L1);
        assert_int_equal(tc_entry_is_lent(e), told[i] == TC_ENTRY_LENT);
    }
    assert_int_equal(all, UINT32_MAX);
    atomic_store(&e->refs, 1);
    tc_entry_free(&f->alloc, 16, e);
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, tt_entry_setup, tt_entry_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heap_bytes_are_never_less_than_malloc_takes),
        FRESH(a_new_entry_is_fresh_for_ever_and_referenced_by_its_maker),
        FRESH(only_the_large_kind_has_more),
        FRESH(node_key_and_value_do_not_overlap),
        FRESH(an_entry_knows_its_type_whatever_its_number),
        FRESH(an_entry_counts_for_what_the_heap_gives_it),
        FRESH(a_small_entry_takes_16_bytes_beside_node_key_and_value),
        FRESH(an_adopted_frame_is_owned_counted_and_freed),
        FRESH(an_empty_value_in_a_frame_is_freed_with_the_right_sizes),
        FRESH(a_frame_stays_the_callers_if_there_is_no_memory),
        FRESH(sizes_that_overflow_are_refused_without_asking_for_memory),
        FRESH(a_value_of_four_gigabytes_less_one_can_be_expressed),
        FRESH(the_longest_key_fits),
        FRESH(freeing_no_entry_does_nothing),
        FRESH(a_small_entry_has_a_copy_of_the_large_kind),
        FRESH(without_memory_for_a_copy_the_entry_stays_as_it_is),
        FRESH(with_more_every_time_is_exact),
        FRESH(without_more_what_can_be_said_is_exact),
        FRESH(without_more_any_life_of_less_than_three_days_is_exact),
        FRESH(for_ever_can_always_be_said_and_still_has_an_age),
        FRESH(with_more_a_life_beyond_the_end_of_time_is_for_ever),
        FRESH(a_life_can_be_set_again_and_leaves_other_flags_alone),
        FRESH(the_stale_window_of_a_small_entry_follows_its_type),
        FRESH(with_more_when_it_was_made_and_when_it_was_taken_are_two_times),
        FRESH(what_an_entry_is_in_is_told_beside_its_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
