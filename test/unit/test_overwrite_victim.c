/* A value written over the entry whose turn it is to leave: what is there afterwards under both keys, in the accounts,
 * in the order and in the table, and when it is not done. One writer; who reads and writes beside it is in
 * test_overwrite_victim_threads.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tier/l1/overwrite.h"
#include "tt_util.h"
#include "unit/tt_hasher.h"
#include "unit/tt_item.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { SOME = 64, COUNTED = 16 };
#else
enum { SOME = 300, COUNTED = 1 }; /* every so many times all is counted */
#endif

enum {
    LIMIT = 2 << 20,
    LIFE_MS = 1000000,
    KEY_LEAST = 8,
    ROOM = 128 /* of key and value in the size of cell that all have */
};

/* ---- what is stored ---- */

/* Of a size that is the same for all: keys and values of all lengths that make it. */
static struct tt_item item(uint64_t number)
{
    struct tt_item i = { .number = number, .version = number + 1, .life_ms = LIFE_MS };
    i.key_len = KEY_LEAST + number * 7 % (TT_ITEM_KEY_MOST - KEY_LEAST + 1);
    i.len = ROOM - tc_words_round(i.key_len) - number % 8;
    memset(i.key, 'k', i.key_len);
    memcpy(i.key, &number, sizeof number);
    return i;
}

static uint64_t evicted(struct tt_l1 *r)
{
    return tt_l1_count(r, TC_COUNT_l1_evicted_bytes);
}

/* Until it is full, and has what it keeps in reserve; nothing waits. Returns the first number that was not stored. */
static uint64_t fill_with(struct tt_l1 *r, struct tt_item (*make)(uint64_t number))
{
    uint64_t n = 0;
    while (evicted(r) < SOME) {
        struct tt_item i = make(n++);
        tt_item_store(r, &i);
    }
    assert_true(tc_l1_is_full(&r->l1));
    tc_limbo_clear(&r->l1);
    assert_int_equal(tt_item_stripe(r)->left.bytes, 0);
    return n;
}

static uint64_t fill(struct tt_l1 *r)
{
    return fill_with(r, item);
}

static int setup(void **state)
{
    struct tt_l1 *r = tt_l1_new(LIMIT, 1, NULL);
    assert_non_null(r);
    assert_true(r->l1.paged);
    for (size_t i = 0; i < TT_L1_TYPES; i++)
        tc_l1_know(&r->l1, r->types[i]);
    tt_l1_have_company(r); /* what leaves has to wait */
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    return tt_l1_free(*state) ? 0 : -1;
}

/* ---- what changes and what does not ---- */

/* What the stripe has in cells of pages, or will when readers are through. */
static uint64_t to_be_had(struct tc_stripe *s)
{
    return tc_stripe_idle(s) + s->slab.free_bytes + s->left.housed;
}

/* Stores over the present victim. last: what was stored there, if that is known. */
static void set_over_victim(struct tt_l1 *r, const struct tt_item *i, const struct tt_item *last)
{
    struct tc_stripe *s = tt_item_stripe(r);
    uint32_t cell = tt_item_victim(r), refs = atomic_load(&tt_item_entry(r, cell)->refs);
    size_t from = tc_entry_type_id(tt_item_entry(r, cell));
    uint64_t bytes = tc_l1_bytes(&r->l1), had = to_be_had(s), was_evicted = evicted(r), left = s->left.bytes;
    uint64_t entries = tt_l1_type_entries(r, i->type), uses = s->uses, count = s->index.count;
    uint64_t generation = tc_l1_generation(&r->l1, tt_item_ref_of(i).hash);
    assert_true(tt_item_set(r, i, NULL));
    assert_int_equal(tt_item_cell_of(r, i), cell);
    assert_int_equal(atomic_load(&tt_item_entry(r, cell)->refs), refs + 2 * TC_ENTRY_VERSION_ONE);
    assert_int_equal(tc_l1_generation(&r->l1, tt_item_ref_of(i).hash), generation + 1);
    assert_int_equal(tc_l1_bytes(&r->l1), bytes);
    assert_int_equal(to_be_had(s), had);
    assert_int_equal(s->left.bytes, left);
    assert_int_equal(evicted(r), was_evicted + 1);
    assert_int_equal(tt_l1_type_entries(r, i->type), entries + (from != i->type));
    assert_int_equal(s->uses, uses + 1);
    assert_int_equal(s->index.count, count);
    if (last != NULL) {
        assert_int_equal(tt_item_cell_of(r, last), 0);
        tt_item_assert_found(r, last, false);
    }
    tt_item_assert_found(r, i, true);
}

static void the_newcomer_lies_where_the_victim_lay(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t first = fill(r);
    for (uint64_t n = first; n < first + SOME; n++) {
        struct tt_item last = item(tt_item_number_in(r, tt_item_victim(r))), i = item(n);
        set_over_victim(r, &i, &last);
        if (n % (8 * COUNTED) == 0)
            tt_item_assert_counts(r);
    }
}

/* Newest to the one, oldest to the other: what is stored leaves in the order in which it came. */
static void the_oldest_goes_and_the_newcomer_is_the_newest(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t end = fill(r), last = 0;
    for (uint64_t first = end; end < first + 5 * SOME; end++) {
        struct tt_item i = item(end);
        uint64_t oldest = tt_item_number_in(r, tt_item_victim(r));
        assert_true(oldest > last);
        assert_true(tt_item_set(r, &i, NULL));
        last = oldest;
    }
    size_t left = tt_item_stripe(r)->index.count;
    for (uint64_t n = 0; n < left; n++) {
        uint64_t oldest = tt_item_number_in(r, tt_item_victim(r));
        struct tt_item i = item(oldest);
        assert_true(oldest > last);
        tc_l1_invalidate(&r->l1, tt_item_ref_of(&i));
        last = oldest;
    }
    assert_int_equal(last, end - 1);
    assert_int_equal(tt_item_stripe(r)->index.count, 0);
    tt_item_assert_counts(r);
}

static void each_type_counts_what_is_its(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t first = fill(r), seed = tt_seed(), others = 0;
    for (uint64_t n = first; n < first + 2 * SOME; n++) {
        struct tt_item i = item(n);
        i.type = tt_random(&seed) % TT_L1_TYPES;
        size_t from = tc_entry_type_id(tt_item_entry(r, tt_item_victim(r)));
        uint64_t counted = tt_l1_count_of(r, from, TC_COUNT_l1_evicted_bytes);
        others += from != i.type;
        set_over_victim(r, &i, NULL); /* the victim's, not the newcomer's: */
        assert_int_equal(tt_l1_count_of(r, from, TC_COUNT_l1_evicted_bytes), counted + 1);
        if (n % COUNTED == 0)
            tt_item_assert_counts(r);
    }
    assert_true(others > SOME / 2);
    tt_item_assert_counts(r);
    tc_l1_clear(&r->l1);
    tt_item_assert_counts(r); /* all nought */
}

/* A value that was stored is there whole until it is evicted, whatever is written in the cells beside it. */
static void no_neighbour_is_touched(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t n = fill(r);
    for (int round = 0; round < SOME / 15; round++) {
        for (uint64_t end = n + 97; n < end; n++) {
            struct tt_item i = item(n);
            assert_true(tt_item_set(r, &i, NULL));
        }
        for (uint64_t k = n - tt_item_stripe(r)->index.count; k < n; k++) {
            struct tt_item i = item(k);
            unsigned char buf[TT_ITEM_LEN_MOST];
            struct tc_entry *e = tt_item_entry(r, tt_item_cell_of(r, &i));
            struct tc_entry_taken t;
            assert_true(tt_l1_take(e, atomic_load(&e->refs), buf, sizeof buf, tt_l1_now(r), &t));
            assert_true(tt_item_is_that(buf, t.len, &i));
        }
    }
}

static uint8_t wheel_code_of(struct tt_l1 *r, uint32_t cell)
{
    for (size_t i = 0; i < tc_index_lanes(&tt_item_stripe(r)->index); i++)
        if (tc_index_cell(&tt_item_stripe(r)->index, i) == cell)
            return tc_index_code(&tt_item_stripe(r)->index, i);
    return 0;
}

/* All with one tag: only the cell tells the victim's lane from the newcomer's where both are near each other. */
static struct tt_item alike(uint64_t number)
{
    struct tt_item i = item(number);
    i.hash = UINT64_C(7) << 56 | UINT64_C(1) << 40 | (number * UINT32_C(2654435761) & UINT32_MAX);
    return i;
}

static void keys_that_look_alike_are_kept_apart(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t n = fill_with(r, alike);
    for (uint64_t end = n + 4 * SOME; n < end; n++) {
        struct tt_item i = alike(n);
        uint64_t home = tt_item_number_in(r, tt_item_victim(r)); /* its neighbour */
        i.hash = alike(home).hash + (UINT64_C(1) << 20) * (n % 32);
        i.life_ms = n % 3 ? LIFE_MS : 500; /* so that the lane's code tells too */
        if (!tt_item_set(r, &i, NULL))
            continue;
        tt_item_assert_found(r, &i, true);
        uint8_t code = tc_wheel_code(tt_l1_now(r) + i.life_ms, tt_l1_now(r));
        assert_int_equal(wheel_code_of(r, tt_item_cell_of(r, &i)), code);
        if (n % (16 * COUNTED) == 0)
            tt_item_assert_counts(r);
    }
    tt_item_assert_counts(r);
}

/* ---- time ---- */

static void turn_the_wheel(struct tt_l1 *r)
{
    struct tc_dropped dropped = { .first = NULL };
    tc_lock_acquire(&tt_item_stripe(r)->lock);
    for (size_t n = 0; n <= tt_item_stripe(r)->index.n; n++)
        tc_stripe_expire(tt_item_stripe(r), tt_l1_now(r), &dropped);
    tc_l1_leave(&r->l1, tt_item_stripe(r), &dropped);
}

static void the_newcomer_expires_when_its_time_has_come(void **state)
{
    enum { SHORT_MS = 500, LONG_MS = 40000, STALE_MS = 3000 };
    struct tt_l1 *r = *state;
    uint64_t first = fill(r), expired;
    struct tt_item items[20];
    atomic_store(&r->types[1]->max_stale_ms, STALE_MS); /* the newcomers' type, not the victims' */
    for (size_t n = 0; n < TC_ARRAY_LEN(items); n++) {
        items[n] = item(first + n);
        items[n].type = n % 2;
        items[n].life_ms = n / 2 % 2 ? LONG_MS : SHORT_MS;
        int64_t until_ms = tt_l1_now(r) + items[n].life_ms + (items[n].type == 1 ? STALE_MS : 0);
        uint32_t cell = tt_item_victim(r);
        set_over_victim(r, &items[n], NULL);
        assert_int_equal(wheel_code_of(r, cell), tc_wheel_code(until_ms, tt_l1_now(r)));
    }
    tt_clock_advance(&r->time, SHORT_MS + STALE_MS / 2);
    turn_the_wheel(r);
    for (size_t n = 0; n < TC_ARRAY_LEN(items); n++) /* those of the other type may be stale */
        assert_int_equal(tt_item_cell_of(r, &items[n]) != 0, items[n].life_ms == LONG_MS || items[n].type == 1);
    tt_clock_advance(&r->time, STALE_MS);
    turn_the_wheel(r);
    for (size_t n = 0; n < TC_ARRAY_LEN(items); n++)
        tt_item_assert_found(r, &items[n], items[n].life_ms == LONG_MS);
    expired = tt_l1_count(r, TC_COUNT_l1_expired);
    assert_int_equal(expired, TC_ARRAY_LEN(items) / 2);
    tt_clock_advance(&r->time, 2 * LONG_MS);
    turn_the_wheel(r);
    for (size_t n = 0; n < TC_ARRAY_LEN(items); n++)
        assert_int_equal(tt_item_cell_of(r, &items[n]), 0);
    tt_item_assert_counts(r);
}

/* ---- tickets ---- */

static void an_answer_to_a_miss_comes_in_only_while_its_ticket_stands(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t first = fill(r);
    for (uint64_t n = first; n < first + SOME; n++) {
        struct tt_item i = item(n);
        uint64_t hash = tt_item_ref_of(&i).hash, ticket = tc_l1_generation(&r->l1, hash), old = ticket - 1;
        uint32_t cell = tt_item_victim(r), refs = atomic_load(&tt_item_entry(r, cell)->refs);
        assert_false(tt_item_set(r, &i, &old));
        assert_int_equal(atomic_load(&tt_item_entry(r, cell)->refs), refs);
        assert_int_equal(tt_item_victim(r), cell);
        assert_true(tt_item_set(r, &i, &ticket));
        assert_int_equal(tt_item_cell_of(r, &i), cell);
        assert_int_equal(tc_l1_generation(&r->l1, hash), ticket); /* it is no write */
        tt_item_assert_found(r, &i, true);
    }
    tt_item_assert_counts(r);
}

/* ---- where it is not done ---- */

/* Writes over that cell, as if it were the victim. False: nothing has changed. */
static bool overwrite_cell(struct tt_l1 *r, uint32_t cell, const struct tt_item *i)
{
    unsigned char value[TT_ITEM_LEN_MOST];
    struct tc_entry_parts p = tt_item_parts_of(r, i, value);
    struct tc_index_gap gap;
    struct tc_dropped dropped = { .first = NULL };
    size_t bytes = tc_entry_bytes_for(r->l1.node_bytes, 0, p.key.len, p.value.len);
    tc_lock_acquire(&tt_item_stripe(r)->lock);
    uint32_t refs = atomic_load(&tt_item_entry(r, cell)->refs);
    uint64_t hash = tc_entry_hash(tt_item_entry(r, cell), &r->l1.hasher), count = tt_item_stripe(r)->index.count;
    assert_int_equal(tc_index_find_or_gap(&tt_item_stripe(r)->index, p.hash, p.key, true, &gap), 0);
    assert_non_null(gap.at.bucket);
    struct tc_victim v;
    bool done = tc_overwrite_suits(&r->l1, &p) && tc_stripe_take_as_victim(tt_item_stripe(r), cell, bytes, &v) &&
                tc_stripe_overwrite_victim(tt_item_stripe(r), &v, &gap, &p, bytes, &dropped);
    assert_int_equal(tt_item_stripe(r)->index.count, count);
    if (!done) {
        assert_int_equal(atomic_load(&tt_item_entry(r, cell)->refs), refs);
        assert_int_equal(tc_entry_hash(tt_item_entry(r, cell), &r->l1.hasher), hash);
        assert_null(dropped.type);
    }
    tc_l1_leave(&r->l1, tt_item_stripe(r), &dropped);
    assert_int_equal(tt_item_cell_of(r, i) == cell, done);
    return done;
}

static void what_is_pinned_is_not_written_over(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t first = fill(r);
    struct tt_item i = item(first), old = item(tt_item_number_in(r, tt_item_victim(r)));
    struct tc_l1_found f;
    uint32_t cell = tt_item_victim(r);
    tc_l1_get(&r->l1, tt_item_ref_of(&old), tt_l1_now(r), &f);
    assert_non_null(f.entry);
    assert_false(overwrite_cell(r, cell, &i));
    assert_true(tt_item_is_that(tc_entry_data(f.entry), tc_entry_len(f.entry), &old));
    tc_l1_release(&r->l1, f.entry);
    assert_true(overwrite_cell(r, cell, &i));
    tt_item_assert_found(r, &old, false);
}

static void only_what_is_plain_and_as_large_is_written_over(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_item over = item(1000);
    for (uint64_t n = 0; n < 200; n++) { /* the table has room */
        struct tt_item i = item(n);
        tt_item_store(r, &i);
    }
    for (uint64_t n = 0; n < 200; n++) { /* for ever, absent, apart: all as large as what would lie there */
        struct tt_item i = item(n);
        i.life_ms = n % 4 == 0 ? -1 : LIFE_MS;
        r->l1.paged = n % 4 != 2;
        assert_int_equal(tt_item_put(r, &i, n % 4 == 1 ? TC_ENTRY_ABSENT : 0), CACHE_OK);
        r->l1.paged = true;
        bool plain = n % 4 == 3;
        if (!plain)
            assert_false(overwrite_cell(r, tt_item_cell_of(r, &i), &over));
    }
    for (size_t len = 0; len < ROOM; len++) { /* with more, some of them as large */
        struct tt_l1_key k = tt_l1_key(r, 5000);
        struct tt_l1_put wide = { .len = len, .version = 1, .ttl_ms = LIFE_MS, .advance = true };
        assert_int_equal(tt_l1_put_with(r, k, &wide), CACHE_OK);
        struct tt_item i = { .number = 5000, .key_len = sizeof k.number, .hash = k.hash };
        memcpy(i.key, &k.number, sizeof k.number);
        assert_false(overwrite_cell(r, tt_item_cell_of(r, &i), &over));
    }
    tt_item_assert_counts(r);
}

static size_t own_bytes(struct tt_l1 *r, const struct tt_item *i)
{
    return tc_entry_bytes_for(r->l1.node_bytes, 0, i->key_len, i->len);
}

static bool has_room(struct tt_l1 *r, size_t cell_bytes, const struct tt_item *i)
{
    size_t own = own_bytes(r, i);
    return own <= cell_bytes && cell_bytes <= tc_slab_round(own + own / 8);
}

static void the_cell_must_be_hardly_larger(void **state)
{
    struct tt_l1 *r = *state;
    unsigned same = 0, smaller = 0, other = 0;
    for (uint64_t n = 0; n < 200; n++) {
        struct tt_item i = item(n);
        tt_item_store(r, &i);
    }
    for (size_t from = 200; from < 320; from += 3)
        for (size_t to = 160; to < 320; to += 5) {
            struct tt_item old = item(1000 + from), new = item(2000 + to);
            old.len = from;
            new.len = to;
            assert_int_equal(tt_item_put(r, &old, 0), CACHE_OK);
            size_t cell_bytes = tc_slab_round(own_bytes(r, &old));
            bool room = has_room(r, cell_bytes, &new), like = cell_bytes == tc_slab_round(own_bytes(r, &new));
            assert_int_equal(overwrite_cell(r, tt_item_cell_of(r, &old), &new), room);
            same += like;
            smaller += room && !like;
            other += !room;
            tc_l1_invalidate(&r->l1, tt_item_ref_of(&new));
        }
    assert_true(same > 20 && smaller > 20 && other > 20);
    struct tt_item i = item(0), forever = item(4000);
    forever.len = i.len + tc_words_round(i.key_len) - tc_words_round(forever.key_len);
    forever.life_ms = -1;
    assert_false(overwrite_cell(r, tt_item_cell_of(r, &i), &forever));
    tt_item_assert_counts(r);
}

/* What an extent is larger than need be is missing elsewhere. */
static bool has_extent(struct tt_l1 *r, size_t room, const struct tt_item *i)
{
    size_t own = own_bytes(r, i);
    return own <= room && room <= own + own / 32;
}

static void assert_large_one_is_overwritten_if(struct tt_l1 *r, size_t from, size_t to, unsigned counts[4])
{
    struct tt_item old = item(1000 + from), new = item(100000 + to);
    old.len = from;
    new.len = to;
    assert_int_equal(tt_item_put(r, &old, 0), CACHE_OK);
    uint32_t cell = tt_item_cell_of(r, &old);
    assert_true(tc_cell_is_extent(cell));
    size_t room = tc_extents_room(tc_cell(&tt_item_stripe(r)->index.view->cells, cell));
    bool is_short = from <= TC_ENTRY_OVERWRITTEN_MOST && to <= TC_ENTRY_OVERWRITTEN_MOST;
    size_t was = own_bytes(r, &old), is = own_bytes(r, &new);
    bool like = tc_extents_round(was) == tc_extents_round(is) && (was <= TC_SLAB_MOST) == (is <= TC_SLAB_MOST) &&
                (is > TC_SLAB_MOST || tc_slab_round(was) == tc_slab_round(is));
    bool fits = has_extent(r, room, &new);
    assert_int_equal(overwrite_cell(r, cell, &new), (like || fits) && is_short);
    counts[0] += like && is_short;
    counts[1] += fits && !like && is_short;
    counts[2] += !like && !fits && is_short;
    counts[3] += (like || fits) && !is_short;
    tc_l1_invalidate(&r->l1, tt_item_ref_of(&new));
    tc_l1_invalidate(&r->l1, tt_item_ref_of(&old));
}

static void in_extents_too(void **state)
{
    struct tt_l1 *r = *state;
    unsigned counts[4] = { 0 };
    const size_t lens[] = { 500, 1000, 1900, TC_ENTRY_OVERWRITTEN_MOST - 40, TC_ENTRY_OVERWRITTEN_MOST + 40 };
    for (size_t i = 0; i < TC_ARRAY_LEN(lens); i++)
        for (size_t from = lens[i] - 40; from < lens[i] + 40; from += 3)
            for (size_t to = from - 70; to < from + 30; to += 5)
                assert_large_one_is_overwritten_if(r, from, to, counts);
    for (size_t i = 0; i < TC_ARRAY_LEN(counts); i++)
        assert_true(counts[i] > 20);
    tt_item_assert_counts(r);
}

/* What lies in a larger cell counts as what it is, and the cell stays what it was: smaller and smaller ones do not make
 * it theirs, and one that fits again may have it. */
static void a_cell_stays_as_large_as_it_was(void **state)
{
    struct tt_l1 *r = *state;
    for (uint64_t n = 0; n < 200; n++) {
        struct tt_item i = item(n);
        tt_item_store(r, &i);
    }
    struct tt_item last = item(1000);
    last.len = 250;
    assert_int_equal(tt_item_put(r, &last, 0), CACHE_OK);
    uint32_t cell = tt_item_cell_of(r, &last);
    size_t cell_bytes = tc_slab_cell_bytes(&tt_item_stripe(r)->slab, cell), least = SIZE_MAX;
    for (size_t len = 250, n = 1; len > 100; len -= 6, n++) {
        struct tt_item next = item(1000 + n);
        next.len = len;
        bool done = overwrite_cell(r, cell, &next);
        assert_int_equal(done, has_room(r, cell_bytes, &next));
        last = done ? next : last;
        least = done && len < least ? len : least;
        assert_int_equal(tc_slab_cell_bytes(&tt_item_stripe(r)->slab, cell), cell_bytes);
        tt_item_assert_found(r, &last, true);
        tt_item_assert_counts(r);
    }
    assert_true(least > 180 && least < 240);
    struct tt_item full = item(2000);
    full.len = cell_bytes - own_bytes(r, &full) + full.len;
    assert_true(overwrite_cell(r, cell, &full));
    tt_item_assert_found(r, &full, true);
    tt_item_assert_counts(r);
}

/* Takes the free cells of that size, or gives them back. */
struct taken {
    uint32_t cells[1024];
    size_t n;
};

static void take_free_cells(struct tc_stripe *s, size_t bytes, struct taken *t)
{
    struct tc_dropped dropped = { .first = NULL };
    uint32_t where;
    tc_lock_acquire(&s->lock);
    for (t->n = 0; t->n < TC_ARRAY_LEN(t->cells) && tc_stripe_housing_growth(s, bytes, false) == 0; t->n++)
        t->cells[t->n] = tc_stripe_take(s, bytes, false, &where, &dropped);
    tc_lock_release(&s->lock); /* before anything is asserted */
    assert_true(t->n < TC_ARRAY_LEN(t->cells));
    for (size_t i = 0; i < t->n; i++)
        assert_int_not_equal(t->cells[i], 0);
    assert_null(dropped.blocks);
}

static void give_cells_back(struct tc_stripe *s, const struct taken *t)
{
    tc_lock_acquire(&s->lock);
    for (size_t i = 0; i < t->n; i++)
        tc_stripe_give(s, t->cells[i]);
    tc_lock_release(&s->lock);
}

static void where_a_type_has_an_order_of_its_own_whose_turn_it_is_is_asked_of_all(void **state)
{
    struct tt_l1 *r = *state;
    struct tc_stripe *s = tt_item_stripe(r);
    uint64_t first = fill(r);
    struct tt_item i = item(first), own = item(first + 1);
    struct taken taken;
    own.type = 1;
    r->policies[1].l1_quota_entries = 10;
    assert_int_equal(tt_item_put(r, &own, 0), CACHE_OK);
    assert_non_null(s->shared.next);
    take_free_cells(s, own_bytes(r, &i), &taken);
    uint32_t cell = tt_item_victim(r), refs = atomic_load(&tt_item_entry(r, cell)->refs);
    assert_false(tt_item_set(r, &i, NULL));
    assert_int_equal(atomic_load(&tt_item_entry(r, cell)->refs), refs);
    assert_int_equal(tt_item_cell_of(r, &i), 0);
    give_cells_back(s, &taken);
}

/* A new key of a type without one goes into a cell that is free all the same. */
static void an_order_of_another_type_is_nobody_elses_business(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t first = fill(r);
    struct tt_item i = item(first), own = item(first + 1), next = item(first + 2);
    own.type = next.type = 1;
    r->policies[1].l1_quota_entries = 10;
    assert_int_equal(tt_item_put(r, &own, 0), CACHE_OK);
    r->policies[1].l1_quota_entries = 0; /* its order stays */
    struct tt_item old = item(tt_item_number_in(r, tt_item_victim(r)));
    tc_l1_invalidate(&r->l1, tt_item_ref_of(&old));
    tc_limbo_clear(&r->l1);
    assert_false(tt_item_set(r, &next, NULL));
    assert_int_equal(tt_item_cell_of(r, &next), 0);
    assert_true(tt_item_set(r, &i, NULL));
    assert_true(tt_item_cell_of(r, &i) != 0);
    assert_int_equal(tt_item_stripe(r)->shared.next->count, 1);
    tt_item_assert_counts(r);
}

/* Free cells first: what waits or is free beyond the slack is used before anybody is evicted. */
static void nobody_leaves_where_enough_is_free(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t n = fill(r), taken = 0;
    for (int i = 0; i < 1000; i++) {
        struct tt_item old = item(tt_item_number_in(r, tt_item_victim(r)));
        tc_l1_invalidate(&r->l1, tt_item_ref_of(&old));
    }
    tc_limbo_clear(&r->l1);
    assert_true(to_be_had(tt_item_stripe(r)) > 2 * tc_stripe_slack(tt_item_stripe(r)));
    while (to_be_had(tt_item_stripe(r)) > tc_stripe_slack(tt_item_stripe(r))) {
        struct tt_item i = item(n++);
        uint32_t oldest = tt_item_victim(r);
        uint64_t was_evicted = evicted(r), count = tt_item_stripe(r)->index.count;
        tt_item_store(r, &i);
        assert_int_equal(evicted(r), was_evicted);
        assert_int_equal(tt_item_stripe(r)->index.count, count + 1);
        assert_int_equal(tt_item_victim(r), oldest);
        taken++;
    }
    assert_true(taken > 100);
    struct tt_item i = item(n++);
    set_over_victim(r, &i, NULL);
}

/* All that the slack holds stays: with one size nothing waits for readers, however long it goes on. */
static void with_one_size_nothing_waits(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t n = fill(r);
    uint64_t had = to_be_had(tt_item_stripe(r)), over = 0, all = 20 * SOME;
    for (uint64_t end = n + all; n < end; n++) {
        struct tt_item i = item(n);
        uint32_t cell = tt_item_victim(r);
        tt_item_store(r, &i);
        over += tt_item_cell_of(r, &i) == cell;
    }
    assert_true(over > all * 9 / 10);
    assert_in_range(to_be_had(tt_item_stripe(r)), 0, had + TC_PAGE_BYTES);
    tt_item_assert_counts(r);
}

static void a_stripe_far_below_its_share_asks_the_others(void **state)
{
    enum { STRIPES = 2, POOR = 1 };
    (void)state;
    struct tt_l1 *r = tt_l1_new(STRIPES * LIMIT, STRIPES, NULL);
    assert_non_null(r);
    tc_l1_know(&r->l1, r->types[0]);
    tt_l1_have_company(r);
    uint64_t n = 0, poor = 0;
    while (evicted(r) < SOME) {
        struct tt_item i = item(n++);
        if (tt_l1_stripe_of(r, tt_item_ref_of(&i).hash) != POOR || ++poor <= 500)
            tt_item_store(r, &i);
    }
    struct tc_stripe *s = &r->l1.stripes[POOR];
    assert_true(tc_l1_is_full(&r->l1));
    size_t grew = 0;
    while (tc_l1_asks_others(&r->l1, s)) {
        struct tt_item i = item(n++);
        if (tt_l1_stripe_of(r, tt_item_ref_of(&i).hash) != POOR)
            continue;
        size_t count = s->index.count;
        tt_item_store(r, &i);
        if (tc_l1_asks_others(&r->l1, s)) /* else it has begun to keep a reserve of its own */
            assert_true(s->index.count == count + 1);
        grew++;
    }
    assert_true(grew > 1000);
    tt_item_assert_counts(r);
    assert_true(tt_l1_free(r));
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(the_newcomer_lies_where_the_victim_lay),
        WITH(the_oldest_goes_and_the_newcomer_is_the_newest),
        WITH(each_type_counts_what_is_its),
        WITH(no_neighbour_is_touched),
        WITH(keys_that_look_alike_are_kept_apart),
        WITH(the_newcomer_expires_when_its_time_has_come),
        WITH(an_answer_to_a_miss_comes_in_only_while_its_ticket_stands),
        WITH(what_is_pinned_is_not_written_over),
        WITH(only_what_is_plain_and_as_large_is_written_over),
        WITH(the_cell_must_be_hardly_larger),
        WITH(in_extents_too),
        WITH(a_cell_stays_as_large_as_it_was),
        WITH(where_a_type_has_an_order_of_its_own_whose_turn_it_is_is_asked_of_all),
        WITH(an_order_of_another_type_is_nobody_elses_business),
        WITH(nobody_leaves_where_enough_is_free),
        WITH(with_one_size_nothing_waits),
        cmocka_unit_test(a_stripe_far_below_its_share_asks_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
