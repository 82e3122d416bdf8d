/* What a stripe's callers in l1_store.c do, step by step. */
#include "unit/tt_stripe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_hasher.h"

void tt_stripe_open(struct tt_stripe *f, const struct cache_evict_ops *evict, bool paged)
{
    tt_stripe_open_with_room(f, evict, 0, paged);
}

void tt_stripe_open_with_room(struct tt_stripe *f, const struct cache_evict_ops *evict, size_t node_bytes, bool paged)
{
    f->r = tt_l1_new_with_room(TT_STRIPE_LIMIT, 1, evict, node_bytes);
    assert_non_null(f->r);
    assert_true(f->r->l1.paged);
    f->r->l1.paged = paged;
    for (size_t i = 0; i < TT_L1_TYPES; i++)
        tc_l1_know(&f->r->l1, f->r->types[i]); /* tc_l1_put() does not come in between */
    f->s = tc_l1_stripe(&f->r->l1, 0);
    tc_lock_acquire(&f->s->lock);
    atomic_fetch_add(&f->s->granted, atomic_exchange(&f->r->l1.pool, 0)); /* all memory is its own */
}

bool tt_stripe_close(struct tt_stripe *f)
{
    tc_l1_leave(&f->r->l1, f->s, &f->dropped);
    return tt_l1_free(f->r);
}

void tt_stripe_give_up(struct tt_stripe *f)
{
    tc_dropped_tell(&f->dropped);
    tc_lock_release(&f->s->lock);
    tc_l1_free_dropped(&f->r->l1, &f->dropped);
    tc_lock_acquire(&f->s->lock);
}

size_t tt_stripe_reap(struct tt_stripe *f)
{
    size_t n = tc_stripe_reap(f->s, SIZE_MAX, &f->dropped);
    tt_stripe_give_up(f);
    return n;
}

/* Room in the table, which may grow. */
static void make_room(struct tt_stripe *f, uint64_t hash)
{
    struct tc_index_room room;
    assert_int_equal(tc_index_make_room(&f->s->index, &f->r->alloc, hash, TC_GROW_BESIDE, &room), 0);
    assert_false(room.failed);
    tc_dropped_add(&f->dropped, room.before);
    tc_stripe_account(f->s, room.more_bytes, room.fewer_bytes);
}

uint32_t tt_stripe_link_with(struct tt_stripe *f, uint64_t number, const struct tt_l1_put *p, bool own_order)
{
    struct tc_entry *e = tt_l1_entry(f->r, tt_l1_key(f->r, number), p);
    struct tc_index_gap gap;
    tc_index_find_or_gap(&f->s->index, tt_hash_of(e), tc_entry_key(e), false, &gap);
    bool found = number % 2 && gap.at.bucket != NULL;
    if (!found)
        make_room(f, tt_hash_of(e));
    struct tc_order *o = tc_stripe_order(f->s, f->r->types[p->type], own_order);
    uint64_t growth = tc_stripe_entry_growth(f->s, e, false), before = tc_stripe_bytes(f->s);
    uint32_t cell = tc_stripe_house(f->s, e, false, &f->dropped);
    assert_true(cell != 0);
    assert_int_equal(tc_stripe_bytes(f->s) - before, growth);
    struct tc_lane lane = { .gap = found ? &gap : NULL, .why = TC_COUNT_l1_evicted_probe };
    tc_stripe_link(f->s, cell, tt_hash_of(tt_stripe_entry(f, cell)), o, tt_l1_now(f->r), &lane, &f->dropped);
    tc_l1_drop(&f->r->l1, e);
    return cell;
}

uint32_t tt_stripe_link(struct tt_stripe *f, uint64_t number, size_t type, bool own_order, int64_t ttl_ms)
{
    return tt_stripe_link_with(f, number, &(struct tt_l1_put){ .type = type, .len = 50, .ttl_ms = ttl_ms }, own_order);
}

uint32_t tt_stripe_find(struct tt_stripe *f, uint64_t number)
{
    struct tt_l1_key k = tt_l1_key(f->r, number);
    uint32_t cell = 0;
    struct tc_entry *e = tc_stripe_find(f->s, k.hash, tt_l1_ref(&k).key, &cell);
    assert_true(e != NULL ? e == tt_stripe_entry(f, cell) : cell == 0);
    return cell;
}

struct tc_entry *tt_stripe_entry(struct tt_stripe *f, uint32_t cell)
{
    return tc_stripe_entry(f->s, cell);
}

uint64_t tt_stripe_number(struct tt_stripe *f, uint32_t cell)
{
    const struct tc_entry *e = tt_stripe_entry(f, cell);
    uint64_t number;
    assert_int_equal(tc_entry_key(e).len, sizeof number);
    memcpy(&number, tc_entry_key(e).data, sizeof number);
    assert_true(tt_l1_is_value(tc_entry_data(e), tc_entry_len(e), number, NULL));
    return number;
}

void tt_stripe_touch(struct tt_stripe *f, uint32_t cell)
{
    struct tc_l1 *l1 = &f->r->l1;
    struct tc_entry *e = tt_stripe_entry(f, cell);
    struct cache_slice key = tc_entry_key(e);
    tc_lock_release(&f->s->lock);
    tc_l1_touch(l1, f->s->index.view, 0, tc_reader_self(&l1->readers), e);
    if (tc_l1_evict_of(l1, tc_l1_type_of(l1, e))->flags & CACHE_EVICT_LOCKED_HITS)
        tc_l1_tell_hit(f->s, (struct tc_l1_ref){ tt_hash_of(e), key });
    tc_lock_acquire(&f->s->lock);
}

void *tt_stripe_node(struct tt_stripe *f, uint32_t cell)
{
    return tc_entry_node(tt_stripe_entry(f, cell), f->r->l1.node_bytes);
}

void tt_stripe_remove(struct tt_stripe *f, uint32_t cell)
{
    tc_stripe_remove(f->s, cell, TC_COUNT_l1_invalidated, &f->dropped);
}

void tt_stripe_release(struct tt_stripe *f, struct tc_entry *e)
{
    tc_lock_release(&f->s->lock);
    tc_l1_release(&f->r->l1, e);
    tc_lock_acquire(&f->s->lock);
}

uint64_t tt_stripe_entries(struct tt_stripe *f, size_t type)
{
    tc_dropped_tell(&f->dropped);
    return tt_l1_type_entries(f->r, type);
}

uint64_t tt_stripe_type_bytes(struct tt_stripe *f, size_t type)
{
    tc_dropped_tell(&f->dropped);
    return tt_l1_type_bytes(f->r, type);
}
