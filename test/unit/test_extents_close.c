/* Chunks that an owner wants back: which one is chosen, what he is told of it, that nothing comes into it any more, and
 * how it is in use again. And that the check of the whole sees what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/chunk.h"
#include "tt_util.h"
#include "unit/tt_extents.h"

/* Six of EACH fill a chunk but for one unit, which the last of them gets. */
enum { EACH = 170, PER_CHUNK = 6, CHUNKS_MOST = 48, LOOKED_AT = 32 };

static uint32_t numbers[TC_EXTENTS_IN_CHUNK_MOST];

struct layout {
    char *at[CHUNKS_MOST][PER_CHUNK]; /* NULL: given */
    size_t n;
};

static uint32_t label_of(size_t chunk, size_t i)
{
    return (uint32_t)(1 + chunk * 1000 + i);
}

/* Of chunk i are taken the first taken[i]; of what follows, as many as of the last that is told. */
static void lay_out(struct tt_extents *f, struct layout *l, size_t chunks, const size_t *taken, size_t n)
{
    assert_in_range(chunks, n, CHUNKS_MOST);
    l->n = chunks;
    for (size_t c = 0; c < chunks; c++)
        for (size_t i = 0; i < PER_CHUNK; i++) {
            l->at[c][i] = tt_extents_take_units(f, EACH);
            tc_extents_set_number(l->at[c][i], label_of(c, i));
        }
    assert_int_equal(f->n_chunks, chunks);
    assert_int_equal(f->x.free_bytes, 0);
    for (size_t c = 0; c < chunks; c++)
        for (size_t i = PER_CHUNK; i-- > taken[c < n ? c : n - 1];) {
            tt_extents_give(f, l->at[c][i]);
            l->at[c][i] = NULL;
        }
}

static size_t taken_of(const struct layout *l, size_t c)
{
    size_t n = 0;
    while (n < PER_CHUNK && l->at[c][n] != NULL)
        n++;
    return n;
}

/* Closes one, which must be that chunk. */
static void assert_closes(struct tt_extents *f, const struct layout *l, size_t c, bool fitting)
{
    uint64_t free_bytes = f->x.free_bytes, bytes = f->x.bytes;
    size_t n = tc_extents_close_sparse(&f->x, fitting, numbers), taken = taken_of(l, c);
    assert_int_equal(n, taken);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(numbers[i], label_of(c, i));
    assert_int_equal(free_bytes - f->x.free_bytes, (PER_CHUNK - taken) * EACH * UNIT + (taken < PER_CHUNK ? UNIT : 0));
    assert_int_equal(f->x.bytes, bytes);
    assert_true(tc_extents_check(&f->x));
}

static void assert_closes_none(struct tt_extents *f, bool fitting)
{
    struct tc_extents then = f->x;
    assert_int_equal(tc_extents_close_sparse(&f->x, fitting, numbers), 0);
    then.first = f->x.first;
    assert_memory_equal(&then, &f->x, sizeof then);
}

/* ---- which ---- */

static void the_sparsest_chunk_is_closed(void **state)
{
    struct tt_extents *f = *state;
    struct layout l;
    lay_out(f, &l, 5, (const size_t[]){ 5, 4, 2, 6, 3 }, 5); /* ten are free */
    assert_closes(f, &l, 2, true);
    assert_closes(f, &l, 4, true); /* three are free in the others */
    assert_closes_none(f, true);
    assert_closes(f, &l, 1, false);
    assert_closes(f, &l, 0, false);
    assert_closes(f, &l, 3, false); /* though nothing is free in it */
    assert_closes_none(f, false);
}

/* What is taken in the large one is more, but less than half of it. */
static void chunks_of_different_sizes_are_compared_by_their_parts(void **state)
{
    struct tt_extents *f = *state;
    struct layout l;
    lay_out(f, &l, 1, (const size_t[]){ 4 }, 1);
    void *large = tt_extents_take_units(f, 4 * EACH + 20);
    tc_extents_set_number(large, 77);
    assert_true(f->chunks[tt_extents_chunk_of(f, large)].bytes > 2 * TC_EXTENT_CHUNK);
    assert_int_equal(tc_extents_close_sparse(&f->x, false, numbers), 1);
    assert_int_equal(numbers[0], 77);
    assert_true(tc_extents_check(&f->x));
}

static void with_nothing_taken_there_is_nothing_to_close(void **state)
{
    struct tt_extents *f = *state;
    assert_closes_none(f, false);
    assert_closes_none(f, true);
    tt_extents_give(f, tt_extents_take(f, 100));
    assert_closes_none(f, false);
}

static void no_fitting_chunk_is_chosen_that_the_others_have_no_room_for(void **state)
{
    struct tt_extents *f = *state;
    struct layout l;
    lay_out(f, &l, 1, (const size_t[]){ 1 }, 1);
    assert_closes_none(f, true); /* its own room does not count */
    assert_closes(f, &l, 0, false);
    tc_extents_fini(&f->x);
    lay_out(f, &l, 3, (const size_t[]){ 3, 4, 6 }, 3);
    assert_closes_none(f, true); /* two and a unit, three and a unit */
    tc_extents_fini(&f->x);
    lay_out(f, &l, 2, (const size_t[]){ 3, 6 }, 2);
    tt_extents_give(f, l.at[1][0]);
    tt_extents_give(f, l.at[1][1]);
    assert_closes_none(f, true);
    tt_extents_give(f, l.at[1][2]);
    assert_closes(f, &l, 0, true); /* to the byte */
}

/* Not all are looked at each time; the search goes on where it ended. */
static void among_many_the_search_goes_round(void **state)
{
    struct tt_extents *f = *state;
    struct layout l;
    size_t taken[CHUNKS_MOST];
    for (size_t c = 0; c < CHUNKS_MOST; c++)
        taken[c] = 5;
    taken[LOOKED_AT - 1] = 3;
    taken[LOOKED_AT] = 2;
    taken[LOOKED_AT + 8] = 1;
    lay_out(f, &l, CHUNKS_MOST, taken, CHUNKS_MOST);
    assert_closes(f, &l, LOOKED_AT - 1, true);
    assert_closes(f, &l, LOOKED_AT + 8, true);
    assert_closes(f, &l, LOOKED_AT, true); /* from 16 on, all but one of them */
}

/* ---- closed ---- */

static void what_is_closed_gives_no_more_and_goes_with_its_last_extent(void **state)
{
    struct tt_extents *f = *state;
    struct layout l;
    lay_out(f, &l, 3, (const size_t[]){ 5, 3, 4 }, 3);
    assert_closes(f, &l, 1, true);
    size_t closed = tt_extents_chunk_of(f, l.at[1][0]);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tc_extents_growth(&f->x, EACH * UNIT - TC_EXTENT_HEAD, false), 0);
        void *to = tt_extents_take_units(f, EACH);
        assert_int_not_equal(tt_extents_chunk_of(f, to), closed);
    }
    assert_int_equal(f->x.free_bytes, 0);
    assert_true(tc_extents_growth(&f->x, 8, false) > 0);
    static const size_t order[] = { 0, 2, 1 }; /* what comes free in it meanwhile is not to be had */
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(f->n_chunks, 3);
        tt_extents_give(f, l.at[1][order[i]]);
        assert_int_equal(f->x.free_bytes, 0);
        assert_true(tc_extents_check(&f->x));
    }
    assert_int_equal(f->n_chunks, 2);
}

static void a_closed_chunk_that_is_never_emptied_goes_with_the_end(void **state)
{
    struct tt_extents *f = *state;
    struct layout l;
    lay_out(f, &l, 2, (const size_t[]){ 1, 2 }, 2);
    assert_closes(f, &l, 0, true);
}

static void what_is_open_again_gives_as_before(void **state)
{
    struct tt_extents *f = *state;
    struct layout l;
    lay_out(f, &l, 3, (const size_t[]){ 6, 3, 4 }, 3);
    tt_extents_give(f, l.at[0][0]);
    uint64_t free_bytes = f->x.free_bytes;
    assert_closes(f, &l, 1, true);
    tt_extents_give(f, l.at[1][1]); /* a hole between the others */
    tc_extents_reopen(&f->x, l.at[1][2]);
    assert_int_equal(f->x.free_bytes, free_bytes + EACH * UNIT);
    assert_true(tc_extents_check(&f->x));
    assert_ptr_equal(tt_extents_take_units(f, 3 * EACH + 1), l.at[1][2] + EACH * UNIT);
    bool hole = false;
    for (size_t i = 0; i < 4; i++) /* four holes, one of them in it */
        hole |= tt_extents_take_units(f, EACH) == l.at[1][1];
    assert_true(hole);
    assert_int_equal(f->n_chunks, 3);
}

static void what_is_open_again_can_be_closed_again(void **state)
{
    struct tt_extents *f = *state;
    struct layout l;
    lay_out(f, &l, 2, (const size_t[]){ 2, 3 }, 2);
    for (int round = 0; round < 3; round++) {
        assert_closes(f, &l, 0, true);
        tc_extents_reopen(&f->x, l.at[0][round % 2]);
    }
}

/* ---- kept ---- */

static void the_chunk_of_what_is_kept_is_not_chosen_until_it_is_given(void **state)
{
    struct tt_extents *f = *state;
    struct layout l;
    lay_out(f, &l, 3, (const size_t[]){ 2, 3, 4 }, 3);
    tc_extents_keep(&f->x, l.at[0][0]);
    tc_extents_keep(&f->x, l.at[0][1]);
    assert_true(tc_extents_check(&f->x));
    assert_closes(f, &l, 1, true);
    assert_closes(f, &l, 2, false);
    assert_closes_none(f, false);
    tt_extents_give(f, l.at[0][1]);
    l.at[0][1] = NULL;
    assert_closes_none(f, false); /* one is still there */
    void *other = tt_extents_take_units(f, EACH);
    assert_int_equal(tt_extents_chunk_of(f, other), tt_extents_chunk_of(f, l.at[0][0]));
    tc_extents_set_number(other, 77);
    tt_extents_give(f, l.at[0][0]);
    assert_true(tc_extents_check(&f->x));
    assert_int_equal(tc_extents_close_sparse(&f->x, false, numbers), 1);
    assert_int_equal(numbers[0], 77);
}

static void a_closed_chunk_is_open_again_when_something_in_it_is_kept(void **state)
{
    struct tt_extents *f = *state;
    struct layout l;
    lay_out(f, &l, 2, (const size_t[]){ 2, 3 }, 2);
    uint64_t free_bytes = f->x.free_bytes;
    assert_closes(f, &l, 0, true);
    tc_extents_keep(&f->x, l.at[0][1]);
    assert_int_equal(f->x.free_bytes, free_bytes);
    assert_true(tc_extents_check(&f->x));
    tc_extents_keep(&f->x, l.at[0][0]); /* it is open now */
    assert_int_equal(f->x.free_bytes, free_bytes);
    assert_closes(f, &l, 1, false);
    assert_closes_none(f, false);
    tt_extents_give(f, l.at[0][0]);
    tt_extents_give(f, l.at[0][1]);
    assert_int_equal(f->n_chunks, 1);
}

/* Numbers and what is kept are the extent's own: what is taken in its place begins anew. */
static void a_place_that_was_kept_is_not_when_it_is_taken_again(void **state)
{
    struct tt_extents *f = *state;
    struct layout l;
    lay_out(f, &l, 1, (const size_t[]){ 6 }, 1);
    tc_extents_set_number(l.at[0][2], (UINT32_C(1) << TC_EXTENT_NUMBER_BITS) - 2); /* the largest */
    tc_extents_keep(&f->x, l.at[0][2]);
    tt_extents_give(f, l.at[0][2]);
    assert_ptr_equal(tt_extents_take_units(f, EACH), l.at[0][2]);
    tc_extents_set_number(l.at[0][2], label_of(0, 2));
    assert_closes(f, &l, 0, false);
}

static void a_number_leaves_the_rest_as_it_is(void **state)
{
    struct tt_extents *f = *state;
    struct layout l;
    static const uint32_t tried[] = { 1, (UINT32_C(1) << TC_EXTENT_NUMBER_BITS) - 2, 0x155555, 2 };
    lay_out(f, &l, 1, (const size_t[]){ 3 }, 1);
    tc_extents_keep(&f->x, l.at[0][1]);
    for (size_t i = 0; i < TC_ARRAY_LEN(tried); i++) {
        tc_extents_set_number(l.at[0][1], tried[i]);
        assert_true(tc_extents_check(&f->x));
    }
    tt_extents_give(f, l.at[0][1]);
    tt_extents_give(f, l.at[0][0]);
    l.at[0][1] = tt_extents_take_units(f, 2 * EACH);
    assert_ptr_equal(l.at[0][1], l.at[0][0]);
    tc_extents_set_number(l.at[0][0], tried[1]);
    assert_int_equal(tc_extents_close_sparse(&f->x, false, numbers), 2);
    assert_true(numbers[0] == tried[1] && numbers[1] == label_of(0, 2));
}

/* ---- sparse ---- */

static void sparse_is_more_than_a_part_and_a_chunk(void **state)
{
    struct tt_extents *f = *state;
    for (unsigned part = 2; part <= 32; part *= 2)
        for (uint64_t bytes = 0; bytes < 100 * TC_EXTENT_CHUNK; bytes += 77777) {
            f->x.bytes = bytes;
            f->x.free_bytes = bytes / part + TC_EXTENT_CHUNK;
            assert_false(tc_extents_are_sparse(&f->x, part));
            f->x.free_bytes++;
            assert_true(tc_extents_are_sparse(&f->x, part));
        }
    f->x.bytes = f->x.free_bytes = 0;
}

/* ---- check ---- */

static uint64_t *word_of(void *p)
{
    return &extent_of(p)->word;
}

/* Where in the word its fields begin. */
enum { UNITS_AT = NUMBER_BITS, BEFORE_AT = UNITS_AT + UNITS_BITS, PLACE_AT = BEFORE_AT + UNITS_BITS };

struct damage {
    void *what;
    uint64_t flips;
    size_t bytes;
};

static void flip(const struct damage *d)
{
    unsigned char *at = d->what;
    for (size_t i = 0; i < d->bytes; i++)
        at[i] ^= (unsigned char)(d->flips >> 8 * i);
}

static void assert_seen(struct tt_extents *f, const struct damage *damages, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        flip(&damages[i]);
        if (tc_extents_check(&f->x))
            fail_msg("damage %zu was not seen", i);
        flip(&damages[i]);
        assert_true(tc_extents_check(&f->x));
    }
}

static uint64_t difference(const void *a, const void *b)
{
    return (uint64_t)(uintptr_t)a ^ (uint64_t)(uintptr_t)b;
}

/* Every count, link and word that there is. */
static void the_check_sees_what_is_wrong(void **state)
{
    struct tt_extents *f = *state;
    struct layout l;
    lay_out(f, &l, 4, (const size_t[]){ 6, 6, 6, 6 }, 4);
    void **holes[] = { (void **)l.at[0][1], (void **)l.at[1][1], (void **)l.at[2][1] }; /* begin with their links */
    for (size_t i = 0; i < 3; i++)
        tt_extents_give(f, holes[i]); /* in one list: the last one is its first */
    tt_extents_give(f, l.at[3][0]); /* of it too, at the begin of a chunk */
    tc_extents_keep(&f->x, l.at[0][3]);
    unsigned at = 0;
    while (f->x.lists[at] == NULL)
        at++;
    struct tc_chunk *c = f->x.first;
    uint64_t *word = word_of(l.at[0][3]), *free_word = word_of(holes[1]);
    uint64_t *end = word_of(l.at[0][5] + (EACH + 1) * UNIT);
    assert_true(tc_extents_check(&f->x));
    const struct damage damages[] = {
        { &f->x.bytes, 16, 8 },
        { &f->x.free_bytes, 16, 8 },
        { &f->x.lists[at], difference(f->x.lists[at], NULL), 8 },
        { &f->x.lists[at], difference(f->x.lists[at], word_of(holes[1])), 8 }, /* one is missing */
        { &f->x.lists[at], difference(f->x.lists[at], word), 8 },              /* what is taken */
        { &f->x.filled[at / 64], UINT64_C(1) << at % 64, 8 },
        { &f->x.filled[0], UINT64_C(1) << 3, 8 },
        { &f->x.lists[3], difference(word_of(holes[0]), NULL), 8 },
        { &holes[2][0], difference(holes[2][0], NULL), 8 },             /* ends too early, */
        { &holes[1][0], difference(holes[1][0], word_of(holes[2])), 8 }, /* or never */
        { &holes[1][1], difference(holes[1][1], NULL), 8 },             /* a way back that nobody came */
        { &holes[2][1], 64, 8 },
        { word, UINT64_C(1) << UNITS_AT, 8 },
        { word, UINT64_C(1) << BEFORE_AT, 8 },
        { word, UINT64_C(1) << PLACE_AT, 8 },
        { word, KEPT, 8 },
        { word, *word & ((UINT64_C(1) << UNITS_AT) - 1), 8 }, /* the number: free, and in no list */
        { free_word, 5, 8 },                                  /* taken, and in one */
        { free_word, UINT64_C(1) << BEFORE_AT, 8 },
        { free_word, UINT64_C(1) << PLACE_AT, 8 },
        { free_word, KEPT, 8 },
        { end, UINT64_C(1) << BEFORE_AT, 8 },
        { end, UINT64_C(1) << PLACE_AT, 8 },
        { &c->bytes, 4096, 4 },
        { &c->taken, 1, 2 },
        { &c->kept, 1, 2 },
        { &c->closing, 1, 1 },
        { &c->previous, difference(c->previous, c), 8 },
        { &c->next, difference(c->next, c), 8 },
        { &c->next, difference(c->next, c->previous), 8 },
    };
    assert_seen(f, damages, TC_ARRAY_LEN(damages));
}

/* Two neighbours that are free though they should be one, and a chunk that should be gone: all accounts agree. */
static void the_check_sees_what_should_have_been_done(void **state)
{
    struct tt_extents *f = *state;
    char *first = tt_extents_take_units(f, 10), *second = tt_extents_take_units(f, 10), *third;
    third = tt_extents_take_units(f, f->x.free_bytes / UNIT);
    struct tc_chunk *c = f->x.first;
    tt_extents_give(f, third);
    assert_int_equal(tc_extents_close_sparse(&f->x, false, numbers), 2); /* what is free in it is in no list */
    assert_true(tc_extents_check(&f->x));
    uint64_t number = *word_of(second) & ((UINT64_C(1) << UNITS_AT) - 1);
    *word_of(second) ^= number;
    c->taken = (uint16_t)(c->taken - 10);
    assert_false(tc_extents_check(&f->x)); /* beside the third */
    *word_of(second) ^= number;
    c->taken = (uint16_t)(c->taken + 10);
    assert_true(tc_extents_check(&f->x));
    tc_extents_fini(&f->x);
    first = tt_extents_take_units(f, (TC_EXTENT_CHUNK - TT_EXTENTS_AROUND) / UNIT);
    assert_int_equal(tc_extents_close_sparse(&f->x, false, numbers), 1);
    c = f->x.first;
    number = *word_of(first) & ((UINT64_C(1) << UNITS_AT) - 1);
    uint16_t taken = c->taken;
    *word_of(first) ^= number;
    c->taken = 0;
    assert_false(tc_extents_check(&f->x)); /* nothing is taken in it */
    *word_of(first) ^= number;
    c->taken = taken;
    assert_true(tc_extents_check(&f->x));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tt_extents_setup, tt_extents_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_sparsest_chunk_is_closed),
        TEST(chunks_of_different_sizes_are_compared_by_their_parts),
        TEST(with_nothing_taken_there_is_nothing_to_close),
        TEST(no_fitting_chunk_is_chosen_that_the_others_have_no_room_for),
        TEST(among_many_the_search_goes_round),
        TEST(what_is_closed_gives_no_more_and_goes_with_its_last_extent),
        TEST(a_closed_chunk_that_is_never_emptied_goes_with_the_end),
        TEST(what_is_open_again_gives_as_before),
        TEST(what_is_open_again_can_be_closed_again),
        TEST(the_chunk_of_what_is_kept_is_not_chosen_until_it_is_given),
        TEST(a_closed_chunk_is_open_again_when_something_in_it_is_kept),
        TEST(a_place_that_was_kept_is_not_when_it_is_taken_again),
        TEST(a_number_leaves_the_rest_as_it_is),
        TEST(sparse_is_more_than_a_part_and_a_chunk),
        TEST(the_check_sees_what_is_wrong),
        TEST(the_check_sees_what_should_have_been_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
