/* One stripe: what is linked is in table, order and wheel alike and leaves all three together; who is evicted next; and
 * which hits the eviction policy is told of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/slab.h"
#include "policy/evict.h"
#include "tt_util.h"
#include "unit/tt_hasher.h"
#include "unit/tt_entry.h"
#include "unit/tt_stripe.h"

static int setup_with(void **state, bool paged)
{
    struct tt_stripe *f = tt_xcalloc(sizeof *f);
    tt_stripe_open(f, NULL, paged);
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, true);
}

static int setup_apart(void **state)
{
    return setup_with(state, false);
}

static int teardown(void **state)
{
    struct tt_stripe *f = *state;
    bool clean = tt_stripe_close(f);
    free(f);
    return clean ? 0 : -1;
}

/* ---- linking ---- */

static void what_is_linked_is_everywhere_and_what_is_removed_nowhere(void **state)
{
    struct tt_stripe *f = *state;
    bool paged = f->r->l1.paged;
    for (uint64_t n = 0; n < 300; n++) {
        uint32_t cell = tt_stripe_link(f, n, n % 2, n % 2, n % 3 ? 5000 : 0);
        assert_int_equal(tt_stripe_find(f, n), cell);
        assert_int_equal(tt_stripe_number(f, cell), n);
        assert_int_equal((cell & TC_CELL_APART) == 0, paged);
        assert_int_equal(tt_refs(tt_stripe_entry(f, cell)), (TC_ENTRY_IN_L1 + 1) | (paged ? TC_ENTRY_HOUSED : 0));
    }
    assert_true(tc_stripe_check(f->s));
    assert_int_equal(tt_stripe_entries(f, 0), 150);
    for (uint64_t n = 0; n < 300; n++) {
        tt_stripe_remove(f, tt_stripe_find(f, n));
        assert_int_equal(tt_stripe_find(f, n), 0);
        if (n % 50 == 0)
            assert_true(tc_stripe_check(f->s));
    }
    assert_int_equal(tt_stripe_entries(f, 0) + tt_stripe_entries(f, 1), 0);
    assert_int_equal(tt_stripe_type_bytes(f, 0) + tt_stripe_type_bytes(f, 1), 0);
    assert_int_equal(tc_stripe_victim(f->s, NULL, 0), 0);
    assert_int_equal(tt_l1_count(f->r, TC_COUNT_l1_invalidated), 300);
    assert_int_equal(tt_stripe_reap(f), 300);
    assert_true(tc_stripe_check(f->s));
}

/* Where the old one is listed may be known or not. */
static void assert_takes_anothers_place(struct tt_stripe *f, bool known)
{
    uint32_t old = tt_stripe_link(f, 1, 0, false, 5000), found;
    struct tt_l1_key k = tt_l1_key(f->r, 1);
    struct tc_index_at at;
    struct tc_entry *e = tt_l1_entry(f->r, k, &(struct tt_l1_put){ .type = 1, .len = 500 });
    tc_index_find_at(f->s->index.view, tt_hash_of(e), tt_l1_ref(&k).key, &found, &at);
    assert_int_equal(found, old);
    uint32_t cell = tc_stripe_house(f->s, e, false, &f->dropped);
    struct tc_lane lane = { .instead = old, .at = known ? &at : NULL, .why = TC_COUNT_l1_replaced };
    uint64_t replaced = tt_l1_count(f->r, TC_COUNT_l1_replaced), left = tt_hash_of(tt_stripe_entry(f, old));
    tc_stripe_link(f->s, cell, k.hash, tc_stripe_order(f->s, f->r->types[1], true), tt_l1_now(f->r), &lane,
                   &f->dropped);
    tc_l1_drop(&f->r->l1, e);
    assert_int_equal(tt_stripe_find(f, 1), cell);
    assert_int_equal(atomic_load(&at.bucket->lanes[at.lane]), cell);
    assert_int_equal(tc_entry_len(tt_stripe_entry(f, cell)), 500);
    assert_int_equal(tt_stripe_number(f, cell), 1);
    assert_false(tc_entry_is_in_l1(tt_stripe_entry(f, old)));
    assert_int_equal(tt_hash_of(tt_stripe_entry(f, old)), left); /* who reads it still finds it whole */
    assert_int_equal(tt_stripe_entries(f, 0), 0);
    assert_int_equal(tt_stripe_entries(f, 1), 1);
    assert_int_equal(tt_l1_count(f->r, TC_COUNT_l1_replaced), replaced + 1);
    assert_true(tc_stripe_check(f->s));
    assert_int_equal(tt_stripe_reap(f), 1);
    assert_true(tc_stripe_check(f->s));
    tt_stripe_remove(f, cell);
    tt_stripe_reap(f);
}

static void a_new_entry_may_take_anothers_place(void **state)
{
    struct tt_stripe *f = *state;
    assert_takes_anothers_place(f, false);
    assert_takes_anothers_place(f, true);
}

/* Heap bytes in all, and those of cells that nobody has. */
static uint64_t free_bytes(struct tt_stripe *f)
{
    return tt_alloc_counts(&f->r->counting).live_bytes - f->s->slab.free_bytes;
}

static void who_is_pinned_is_not_freed_but_told_as_detached(void **state)
{
    struct tt_stripe *f = *state;
    bool paged = f->r->l1.paged;
    uint64_t none = free_bytes(f);
    uint32_t cell = tt_stripe_link(f, 1, 0, false, 0), free_one = tt_stripe_link(f, 2, 0, false, 0);
    uint32_t third = tt_stripe_link(f, 3, 0, false, 0); /* its page stays */
    struct tc_entry *e = tt_stripe_entry(f, cell);
    size_t bytes = tc_l1_entry_bytes(&f->r->l1, e);
    tc_l1_pin(&f->r->l1, e);
    tt_stripe_remove(f, cell);
    assert_false(tc_entry_is_in_l1(e));
    assert_int_equal(f->s->left.bytes, bytes);
    assert_int_equal(tt_stripe_reap(f), 1);
    assert_int_equal(f->s->left.bytes, 0);
    assert_true(e->refs & TC_ENTRY_DETACHED);
    assert_int_equal(e->refs & TC_ENTRY_REFS, 1);
    assert_int_equal(tt_l1_detached_bytes(f->r), bytes);
    uint64_t live = free_bytes(f), blocks = tt_alloc_counts(&f->r->counting).live_blocks;
    tt_stripe_remove(f, free_one);
    assert_int_equal(free_bytes(f), live); /* it waits */
    assert_int_equal(tc_stripe_reap(f->s, 1, &f->dropped), 1);
    assert_int_equal(f->dropped.first != NULL, !paged);
    tt_stripe_give_up(f);
    assert_true(free_bytes(f) < live);
    assert_int_equal(tt_alloc_counts(&f->r->counting).live_blocks, blocks - (paged ? 0 : 1));
    assert_int_equal(tt_l1_detached_bytes(f->r), bytes);
    assert_true(tt_l1_is_value(tc_entry_data(e), tc_entry_len(e), 1, NULL));
    live = free_bytes(f);
    tt_stripe_release(f, e);
    assert_int_equal(tt_l1_detached_bytes(f->r), 0);
    assert_true(free_bytes(f) < live);
    assert_int_equal(tt_alloc_counts(&f->r->counting).live_blocks, blocks - (paged ? 0 : 2));
    assert_true(tc_stripe_check(f->s));
    tt_stripe_remove(f, third);
    tt_stripe_reap(f);
    assert_int_equal(tt_alloc_counts(&f->r->counting).live_blocks, blocks - (paged ? 1 : 3));
    assert_true(free_bytes(f) > none); /* the table, and a map */
}

/* ---- memory for an entry ---- */

enum kind { SMALL, LARGE, FRAMED, LENT, KINDS };

static struct tc_entry *open_kind(struct tt_stripe *f, enum kind kind, const struct tt_l1_key *k, size_t len,
                                  void *memory, size_t cap)
{
    struct tc_l1_ref ref = tt_l1_ref(k);
    size_t node = f->r->l1.node_bytes;
    struct cache_type *t = f->r->types[0];
    struct tc_entry *e = NULL;
    if (kind == SMALL)
        e = tc_entry_open_small(&f->r->alloc, node, t, k->hash, ref.key, len);
    else if (kind == LARGE)
        e = tc_entry_open(&f->r->alloc, node, t, k->hash, ref.key, len);
    else if (kind == LENT)
        e = tc_entry_lend(memory, cap, node, t, ref.key, len);
    if (kind != FRAMED) {
        tt_l1_fill(tc_entry_room(e), len, k->number, 1);
        return e;
    }
    unsigned char *frame = tc_alloc(&f->r->alloc, len + 10);
    tt_l1_fill(frame + 10, len, k->number, 1);
    return tc_entry_adopt(&f->r->alloc, node, t, k->hash, ref.key, frame, len + 10,
                          (struct cache_slice){ frame + 10, len });
}

static void link_housed(struct tt_stripe *f, uint32_t cell)
{
    struct tc_lane lane = { .why = TC_COUNT_l1_evicted_probe };
    uint64_t hash = tt_hash_of(tt_stripe_entry(f, cell));
    tc_stripe_link(f->s, cell, hash, &f->s->shared, tt_l1_now(f->r), &lane, &f->dropped);
}

/* What kind of memory an entry gets in a stripe of the size. */
static uint32_t place_for(struct tt_stripe *f, size_t bytes)
{
    if (!f->r->l1.paged || bytes > TC_EXTENT_MOST)
        return 0;
    return bytes <= TC_PAGED_MOST ? TC_ENTRY_HOUSED : TC_ENTRY_IN_EXTENT;
}

static uint32_t place_of(uint32_t cell)
{
    return tc_cell_is_alone(cell) ? 0 : tc_cell_is_extent(cell) ? TC_ENTRY_IN_EXTENT : TC_ENTRY_HOUSED;
}

static void assert_housed(struct tt_stripe *f, enum kind kind, uint64_t number, size_t len)
{
    static _Alignas(8) unsigned char memory[4096];
    struct tt_l1_key k = tt_l1_key(f->r, number);
    struct tc_entry *e = open_kind(f, kind, &k, len, memory, sizeof memory);
    size_t bytes = tc_entry_copied_bytes(e, f->r->l1.node_bytes);
    uint32_t place = place_for(f, bytes);
    assert_int_equal(tc_l1_houses(&f->r->l1, bytes), place != 0);
    uint64_t before = tc_stripe_bytes(f->s), growth = tc_stripe_entry_growth(f->s, e, false);
    uint32_t refs = tt_refs(e), cell = tc_stripe_house(f->s, e, false, &f->dropped);
    assert_int_equal(tc_stripe_bytes(f->s) - before, growth);
    assert_int_equal(place_of(cell), place);
    link_housed(f, cell);
    struct tc_entry *stored = tt_stripe_entry(f, cell);
    if (place != 0) {
        assert_ptr_not_equal(stored, e);
        assert_int_equal(tt_refs(e), refs);
        assert_int_equal(tt_refs(stored) & ~TC_ENTRY_FLAGS, 1 | place | TC_ENTRY_IN_L1);
        assert_int_equal(tt_refs(stored) & TC_ENTRY_FLAGS, refs & TC_ENTRY_FLAGS);
        memset((unsigned char *)(uintptr_t)tc_entry_data(e), 0x77, len); /* it is nobody's now */
    } else {
        assert_ptr_equal(stored, e);
        assert_int_equal(tt_refs(e), refs + (1 | TC_ENTRY_IN_L1));
    }
    assert_int_equal(tt_stripe_number(f, cell), number);
    assert_int_equal(tc_entry_len(stored), len);
    assert_int_equal(tt_stripe_find(f, number), cell);
    tc_l1_drop(&f->r->l1, e);
    assert_true(tc_stripe_check(f->s));
}

/* Of every size from the least, so that it goes to every kind of page, to extents, and beyond them. */
static void what_is_small_is_copied_to_a_page_or_an_extent_and_the_rest_stays_alone(void **state)
{
    struct tt_stripe *f = *state;
    uint64_t number = 0;
    for (size_t i = 0; i < 200; i++) /* so that the table need not grow */
        tt_stripe_link(f, 1000 + i, 0, false, 0);
    for (size_t i = 0; i < 200; i++)
        tt_stripe_remove(f, tt_stripe_find(f, 1000 + i));
    tt_stripe_reap(f);
    for (size_t len = 0; len < 40000; len += len < 300 ? 13 : len < 2500 ? 177 : 15013)
        for (unsigned kind = 0; kind < KINDS; kind++)
            if (kind != LENT || (f->r->l1.paged && len <= 1900))
                assert_housed(f, kind, number++, len);
    assert_int_equal(tt_stripe_entries(f, 0), number);
    for (uint64_t n = 0; n < number; n++) {
        tt_stripe_remove(f, tt_stripe_find(f, n));
        tt_stripe_reap(f);
    }
    assert_true(tc_stripe_check(f->s));
    uint64_t maps = f->s->slab.bytes;
    assert_int_equal(f->s->slab.free_bytes, 0);
    assert_int_equal(f->s->extents.bytes, 0);
    assert_int_equal(tc_stripe_bytes(f->s), tc_index_bytes(&f->s->index) + maps);
    assert_true(maps < 4096);
}

/* As if there were half a GiB of pages. */
static void without_a_number_for_a_page_all_goes_to_extents(void **state)
{
    struct tt_stripe *f = *state;
    static _Alignas(8) unsigned char memory[4096];
    tt_stripe_remove(f, tt_stripe_link(f, 1000, 0, false, 0)); /* so that there is a table */
    tt_stripe_reap(f);
    uint32_t fresh = f->s->slab.pages.fresh, free = f->s->slab.pages.free;
    f->s->slab.pages.free = 0;
    f->s->slab.pages.fresh = TC_SLAB_PAGES_MOST;
    for (uint64_t number = 0; number < 3; number++) {
        static const enum kind kinds[] = { LENT, SMALL, LARGE };
        struct tt_l1_key k = tt_l1_key(f->r, number);
        struct tc_entry *e = open_kind(f, kinds[number], &k, 100, memory, sizeof memory);
        uint32_t cell = tc_stripe_house(f->s, e, false, &f->dropped);
        assert_true(tc_cell_is_extent(cell));
        link_housed(f, cell);
        assert_int_equal(tt_stripe_number(f, cell), number);
        tc_l1_drop(&f->r->l1, e);
    }
    f->s->slab.pages.fresh = fresh;
    f->s->slab.pages.free = free;
    assert_true(tc_stripe_check(f->s));
}

static void without_memory_for_a_cell_nothing_changes(void **state)
{
    struct tt_stripe *f = *state;
    struct tt_l1_key k = tt_l1_key(f->r, 1);
    struct tc_entry *e = open_kind(f, SMALL, &k, 50, NULL, 0);
    uint64_t before = tc_stripe_bytes(f->s);
    struct tt_alloc_counts counts = tt_alloc_counts(&f->r->counting);
    for (uint64_t nth = 1; nth <= (f->r->l1.paged ? 2 : 1); nth++) { /* a map, and a page */
        tt_alloc_fail(&f->r->counting, nth, false);
        assert_int_equal(tc_stripe_house(f->s, e, false, &f->dropped), 0);
        assert_int_equal(tt_alloc_counts(&f->r->counting).failed, nth);
        tt_alloc_fail(&f->r->counting, 0, false);
        assert_int_equal(tc_stripe_bytes(f->s), before);
        assert_int_equal(tt_alloc_counts(&f->r->counting).live_bytes, counts.live_bytes);
        assert_int_equal(tt_refs(e), 1);
        assert_true(tc_stripe_check(f->s));
    }
    tc_l1_drop(&f->r->l1, e);
    tt_stripe_link(f, 1, 0, false, 0);
    assert_true(tc_stripe_check(f->s));
}

static void without_pages_numbers_are_kept_for_as_many_as_there_are_lanes(void **state)
{
    struct tt_stripe *f = *state;
    struct tc_entry *entries[64];
    tt_stripe_link(f, 0, 0, false, 0);
    size_t lanes = tc_index_lanes(&f->s->index);
    uint64_t growth = tc_slab_reserve_growth(&f->s->slab, lanes), before = tc_stripe_bytes(f->s);
    tc_stripe_reserve(f->s, &f->dropped);
    assert_int_equal(tc_stripe_bytes(f->s) - before, growth);
    assert_true(lanes < TC_ARRAY_LEN(entries) && growth > 0);
    for (size_t i = 1; i < lanes; i++)
        entries[i] = tt_l1_entry(f->r, tt_l1_key(f->r, i), &(struct tt_l1_put){ .len = 50 });
    tt_alloc_fail(&f->r->counting, 1, true);
    for (size_t i = 1; i < lanes; i++) {
        uint32_t cell = tc_stripe_house(f->s, entries[i], false, &f->dropped);
        assert_true(cell != 0);
        link_housed(f, cell);
        tc_l1_drop(&f->r->l1, entries[i]);
    }
    tt_alloc_fail(&f->r->counting, 0, false);
    assert_int_equal(f->s->index.count, lanes);
    assert_true(tc_stripe_check(f->s));
}

/* ---- orders ---- */

static void a_type_gets_one_order_of_its_own_and_it_counts(void **state)
{
    struct tt_stripe *f = *state;
    struct tc_order *shared = tc_stripe_order(f->s, f->r->types[0], false);
    uint64_t before = tc_stripe_bytes(f->s);
    assert_ptr_equal(tc_stripe_order(f->s, f->r->types[1], false), shared);
    struct tc_order *own = tc_stripe_order(f->s, f->r->types[1], true);
    assert_ptr_not_equal(own, shared);
    assert_int_equal(tc_stripe_bytes(f->s), before + tc_stripe_order_bytes(&f->r->l1, f->r->types[1]));
    assert_ptr_equal(tc_stripe_order(f->s, f->r->types[1], true), own);
    assert_ptr_equal(tc_stripe_order(f->s, f->r->types[1], false), own); /* once made, it is the type's */
    assert_ptr_equal(tc_stripe_order(f->s, f->r->types[2], false), shared);
    assert_int_equal(tc_stripe_bytes(f->s), before + tc_stripe_order_bytes(&f->r->l1, f->r->types[1]));
    assert_true(tc_stripe_check(f->s));
}

static void without_memory_for_an_order_the_shared_one_serves(void **state)
{
    struct tt_stripe *f = *state;
    struct tc_order *shared = tc_stripe_order(f->s, f->r->types[0], false);
    uint64_t before = tc_stripe_bytes(f->s);
    for (uint64_t nth = 1; nth <= 2; nth++) {
        tt_alloc_fail(&f->r->counting, nth, false);
        assert_ptr_equal(tc_stripe_order(f->s, f->r->types[1], true), shared);
        tt_alloc_fail(&f->r->counting, 0, false);
        assert_int_equal(tc_stripe_bytes(f->s), before);
    }
    assert_ptr_not_equal(tc_stripe_order(f->s, f->r->types[1], true), shared);
}

static void of_one_order_its_own_oldest_leaves(void **state)
{
    struct tt_stripe *f = *state;
    tt_stripe_link(f, 1, 0, false, 0);
    uint32_t first = tt_stripe_link(f, 2, 1, true, 0), second = tt_stripe_link(f, 3, 1, true, 0);
    struct tc_order *own = tc_stripe_order(f->s, f->r->types[1], false);
    assert_int_equal(tc_stripe_victim(f->s, own, 0), first);
    tt_stripe_remove(f, first);
    assert_int_equal(tc_stripe_victim(f->s, own, 0), second);
    tt_stripe_remove(f, second);
    assert_int_equal(tc_stripe_victim(f->s, own, 0), 0);
}

static void of_all_orders_the_oldest_in_time_leaves(void **state)
{
    struct tt_stripe *f = *state;
    uint32_t in_order[6];
    for (uint64_t n = 0; n < TC_ARRAY_LEN(in_order); n++) {
        in_order[n] = tt_stripe_link(f, n, n % 3, n % 3 > 0, 0);
        tt_clock_advance(&f->r->time, 10);
    }
    for (size_t n = 0; n < TC_ARRAY_LEN(in_order); n++) {
        assert_int_equal(tc_stripe_victim(f->s, NULL, 0), in_order[n]);
        tt_stripe_remove(f, in_order[n]);
    }
}

/* ---- which hits count ---- */

/* Hits are told apart by steps of a part of the entries only: yet the victim was used longer ago than all but a quarter
 * of them. */
static void a_victim_is_never_among_the_most_recently_used_three_quarters(void **state)
{
    struct tt_stripe *f = *state;
    enum { ENTRIES = 400, STEPS = 20000 };
    uint32_t entries[ENTRIES];
    uint64_t used_at[ENTRIES], clock = 0, seed = tt_seed();
    for (uint64_t n = 0; n < ENTRIES; n++) {
        entries[n] = tt_stripe_link(f, n, 0, false, 0);
        used_at[n] = ++clock;
    }
    for (int step = 0; step < STEPS; step++) {
        size_t n = tt_random(&seed) % (tt_random(&seed) % 2 ? ENTRIES : 20);
        tt_stripe_touch(f, entries[n]);
        used_at[n] = ++clock;
        if (tt_random(&seed) % 8 > 0)
            continue;
        uint32_t victim = tc_stripe_victim(f->s, NULL, 0);
        size_t v = 0, older = 0;
        while (entries[v] != victim)
            v++;
        for (size_t k = 0; k < ENTRIES; k++)
            older += used_at[k] < used_at[v];
        assert_true(older <= ENTRIES / 4 + 1);
        if (step % 2 == 0) { /* and it leaves, and another comes */
            tt_stripe_remove(f, victim);
            tt_stripe_reap(f);
            entries[v] = tt_stripe_link(f, 1000 + (uint64_t)step, 0, false, 0);
            used_at[v] = ++clock;
        }
    }
    assert_true(tc_stripe_check(f->s));
}

struct told {
    _Atomic uint8_t stamp; /* L1's, if hits are stamped */
    unsigned hits;
    void *state; /* of the order that it was last inserted into */
};

static void told_begin(void *state, const struct cache_evict_env *env)
{
    *(const struct cache_evict_env **)state = env;
}

static struct told *told_node(void *state, uint32_t entry)
{
    return cache_evict_node(*(const struct cache_evict_env **)state, entry);
}

static void told_insert(void *state, uint32_t entry, uint64_t hash, size_t bytes)
{
    struct told *t = told_node(state, entry);
    (void)hash;
    assert_true(bytes > 0);
    assert_true(t->state != NULL || (t->stamp == 0 && t->hits == 0)); /* a node starts as zeros */
    t->hits = 0;
    t->state = state;
}

/* With the lock for its order and entry, without it for none. */
static void told_hit(void *state, uint32_t entry, void *node)
{
    assert_int_equal(state != NULL, entry != 0);
    assert_true(state == NULL || told_node(state, entry) == node);
    ((struct told *)node)->hits++;
}

static void told_remove(void *state, uint32_t entry)
{
    assert_ptr_equal(told_node(state, entry)->state, state);
}

static uint32_t told_victim(void *state)
{
    (void)state;
    return 0;
}

static const struct cache_evict_ops told_ops = {
    .abi = CACHE_HOOKS_ABI,
    .flags = CACHE_EVICT_LOCKED_HITS,
    .name = "told",
    .state_bytes = sizeof(struct cache_evict_env *),
    .node_bytes = sizeof(struct told),
    .begin = told_begin,
    .insert = told_insert,
    .hit = told_hit,
    .remove = told_remove,
    .victim = told_victim,
};

static void a_policy_without_stamps_is_told_of_every_hit(void **state)
{
    (void)state;
    struct cache_evict_ops ops = told_ops;
    for (int i = 0; i < 4; i++) {
        bool locked = i % 2, paged = i / 2;
        struct tt_stripe f = { .r = NULL };
        ops.flags = locked ? CACHE_EVICT_LOCKED_HITS : 0;
        tt_stripe_open(&f, &ops, paged);
        uint32_t e = 0;
        for (uint64_t n = 0; n < 100; n++)
            e = tt_stripe_link(&f, n, 0, false, 0);
        for (int hit = 0; hit < 50; hit++)
            tt_stripe_touch(&f, e); /* the newest: near the front anyway */
        assert_int_equal(((struct told *)tt_stripe_node(&f, e))->hits, 50);
        tt_stripe_touch(&f, tt_stripe_find(&f, 0)); /* the oldest */
        assert_int_equal(((struct told *)tt_stripe_node(&f, tt_stripe_find(&f, 0)))->hits, 1);
        assert_true(tt_stripe_close(&f));
    }
}

static void a_policy_with_stamps_is_told_of_none_and_finds_its_stamp(void **state)
{
    (void)state;
    struct cache_evict_ops ops = told_ops;
    struct tt_stripe f = { .r = NULL };
    ops.flags = CACHE_EVICT_STAMPED_HITS;
    tt_stripe_open(&f, &ops, true);
    uint32_t e = 0;
    for (uint64_t n = 0; n < 100; n++)
        e = tt_stripe_link(&f, n, 0, false, 0);
    assert_int_equal(((struct told *)tt_stripe_node(&f, e))->stamp, 0);
    for (int i = 0; i < 50; i++) {
        tt_stripe_touch(&f, e);
        assert_int_equal(((struct told *)tt_stripe_node(&f, e))->stamp, f.s->index.view->stamp);
    }
    assert_int_not_equal(f.s->index.view->stamp, 0);
    assert_int_equal(((struct told *)tt_stripe_node(&f, e))->hits, 0);
    assert_int_equal(((struct told *)tt_stripe_node(&f, tt_stripe_find(&f, 0)))->stamp, 0);
    assert_true(tt_stripe_close(&f));
}

static void entries_that_change_to_an_order_made_later_are_new_to_it(void **state)
{
    (void)state;
    struct tt_stripe f = { .r = NULL };
    tt_stripe_open(&f, &told_ops, true);
    for (uint64_t n = 0; n < 20; n++)
        tt_stripe_touch(&f, tt_stripe_link(&f, n, n % 2, false, 0));
    struct tc_order *own = tc_stripe_order(f.s, f.r->types[1], true);
    assert_int_equal(own->count, 10);
    for (uint64_t n = 0; n < 20; n++) {
        struct told *t = tt_stripe_node(&f, tt_stripe_find(&f, n));
        assert_int_equal(t->state == own->state, n % 2);
        assert_int_equal(t->hits, n % 2 ? 0 : 1);
    }
    assert_true(tc_stripe_check(f.s));
    assert_true(tt_stripe_close(&f));
}

/* By uses, whose count wraps around, under a policy that is told of each hit; else by time. */
static void an_order_made_later_begins_with_the_one_not_used_for_longest(void **state)
{
    enum { ENTRIES = 200 };
    (void)state;
    for (uint32_t start = 0; start < 8; start++) {
        bool exact = start < 4;
        struct tt_stripe f = { .r = NULL };
        uint32_t entries[ENTRIES];
        tt_stripe_open(&f, exact ? &tc_evict_lru_exact : NULL, start % 2);
        f.s->uses = 0u - start / 2 % 2 * (ENTRIES + ENTRIES / 2);
        for (uint64_t n = 0; n < ENTRIES; n++) {
            entries[n] = tt_stripe_link(&f, n, n % 2, false, n % 3 ? 5000 : 0);
            tt_clock_advance(&f.r->time, 1);
        }
        for (size_t n = ENTRIES; exact && n-- > 0;) /* the other way round */
            tt_stripe_touch(&f, entries[n]);
        struct tc_order *own = tc_stripe_order(f.s, f.r->types[1], true);
        assert_int_equal(own->count, ENTRIES / 2);
        assert_true(tc_stripe_check(f.s));
        for (size_t i = 0; i < ENTRIES / 2; i++) {
            uint32_t oldest = entries[exact ? ENTRIES - 1 - 2 * i : 2 * i + 1];
            assert_int_equal(tc_stripe_victim(f.s, own, 0), oldest);
            tt_stripe_remove(&f, oldest);
        }
        assert_true(tt_stripe_close(&f));
    }
}

/* A thread tells its last hits to a large stripe when some have come together. */
static void hits_change_places_within_their_tick_and_no_further(void **state)
{
    enum { ENTRIES = 3005 };
    struct tt_stripe *f = *state;
    static uint32_t entries[ENTRIES];
    static unsigned ticks[ENTRIES];
    for (uint64_t n = 0; n < ENTRIES; n++)
        entries[n] = tt_stripe_link(f, n, n % 2, false, 0);
    unsigned tick = 0, stamp = atomic_load(&f->s->index.view->stamp);
    for (size_t n = 0; n < ENTRIES; n++) {
        tick += atomic_load(&f->s->index.view->stamp) != stamp;
        stamp = atomic_load(&f->s->index.view->stamp);
        ticks[n] = tick;
        tt_stripe_touch(f, entries[n]);
    }
    assert_true(stamp == 0 || tick > 2);
    struct tc_order *own = tc_stripe_order(f->s, f->r->types[1], true);
    unsigned last = 0;
    for (size_t left = ENTRIES / 2; left > 0; left--) {
        uint32_t victim = tc_stripe_victim(f->s, own, 0);
        uint64_t number = tt_stripe_number(f, victim);
        assert_int_equal(number % 2, 1);
        assert_true(ticks[number] >= last);
        last = ticks[number];
        tt_stripe_remove(f, victim);
    }
    assert_int_equal(tc_stripe_victim(f->s, own, 0), 0);
}

static void a_policy_without_a_victim_stops_eviction_and_nothing_else(void **state)
{
    (void)state;
    struct tt_l1 *r = tt_l1_new(TT_STRIPE_LIMIT, 2, &told_ops);
    size_t stored = 0;
    for (uint64_t n = 0; n < 5000; n++)
        stored += tt_l1_put(r, tt_l1_key(r, n), 500) == CACHE_OK;
    assert_in_range(stored, 1000, 4999);
    assert_true(tc_l1_bytes(&r->l1) <= TT_STRIPE_LIMIT);
    assert_true(tt_l1_free(r));
}

/* ---- time ---- */

static void expiry_takes_a_few_at_a_time_and_all_in_the_end(void **state)
{
    struct tt_stripe *f = *state;
    for (uint64_t n = 0; n < 500; n++)
        tt_stripe_link(f, n, 0, false, 1000);
    tt_clock_advance(&f->r->time, 1000 + 2 * TC_WHEEL_TICK_MS);
    unsigned calls = 0;
    while (tt_stripe_entries(f, 0) > 0) {
        uint64_t before = tt_stripe_entries(f, 0);
        tc_stripe_expire(f->s, tt_l1_now(f->r), &f->dropped);
        tt_stripe_reap(f);
        assert_in_range(before - tt_stripe_entries(f, 0), 0, TC_WHEEL_BUCKETS * TC_INDEX_LANES);
        assert_true(++calls < 500);
    }
    assert_int_equal(tt_l1_count(f->r, TC_COUNT_l1_expired), 500);
    assert_true(tc_stripe_check(f->s));
}

/* ---- the check itself ---- */

static void the_check_sees_a_wrong_account(void **state)
{
    struct tt_stripe *f = *state;
    tt_stripe_link(f, 1, 0, false, 0);
    assert_true(tc_stripe_check(f->s));
    tc_stripe_account(f->s, 1, 0);
    assert_false(tc_stripe_check(f->s));
    tc_stripe_account(f->s, 0, 1);
    f->s->shared.count++;
    assert_false(tc_stripe_check(f->s));
    f->s->shared.count--;
    f->s->shared.bytes++;
    assert_false(tc_stripe_check(f->s));
    f->s->shared.bytes--;
    assert_true(tc_stripe_check(f->s));
    f->s->slab.bytes++;
    assert_false(tc_stripe_check(f->s));
    f->s->slab.bytes--;
    f->s->policy_bytes++;
    assert_false(tc_stripe_check(f->s));
    f->s->policy_bytes--;
    uint64_t granted = atomic_exchange(&f->s->granted, tc_stripe_bytes(f->s) - 1);
    assert_false(tc_stripe_check(f->s));
    atomic_store(&f->s->granted, granted);
    atomic_fetch_xor(&tt_stripe_entry(f, tt_stripe_find(f, 1))->refs, TC_ENTRY_HOUSED);
    assert_false(tc_stripe_check(f->s));
    atomic_fetch_xor(&tt_stripe_entry(f, tt_stripe_find(f, 1))->refs, TC_ENTRY_HOUSED);
    assert_true(tc_stripe_check(f->s));
}

int main(void)
{
#define IN_PAGES(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define APART(test) cmocka_unit_test_setup_teardown(test, setup_apart, teardown)
#define BOTH(test) IN_PAGES(test), APART(test)
    const struct CMUnitTest tests[] = {
        BOTH(what_is_linked_is_everywhere_and_what_is_removed_nowhere),
        BOTH(a_new_entry_may_take_anothers_place),
        BOTH(who_is_pinned_is_not_freed_but_told_as_detached),
        BOTH(what_is_small_is_copied_to_a_page_or_an_extent_and_the_rest_stays_alone),
        IN_PAGES(without_a_number_for_a_page_all_goes_to_extents),
        BOTH(without_memory_for_a_cell_nothing_changes),
        APART(without_pages_numbers_are_kept_for_as_many_as_there_are_lanes),
        BOTH(a_type_gets_one_order_of_its_own_and_it_counts),
        BOTH(without_memory_for_an_order_the_shared_one_serves),
        BOTH(of_one_order_its_own_oldest_leaves),
        BOTH(of_all_orders_the_oldest_in_time_leaves),
        BOTH(a_victim_is_never_among_the_most_recently_used_three_quarters),
        cmocka_unit_test(a_policy_without_stamps_is_told_of_every_hit),
        cmocka_unit_test(a_policy_with_stamps_is_told_of_none_and_finds_its_stamp),
        cmocka_unit_test(entries_that_change_to_an_order_made_later_are_new_to_it),
        cmocka_unit_test(an_order_made_later_begins_with_the_one_not_used_for_longest),
        BOTH(hits_change_places_within_their_tick_and_no_further),
        cmocka_unit_test(a_policy_without_a_victim_stops_eviction_and_nothing_else),
        BOTH(expiry_takes_a_few_at_a_time_and_all_in_the_end),
        BOTH(the_check_sees_a_wrong_account),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
