/* Storing a value in a cell that is in use: that of the value before, or that of the entry whose turn it is to leave.
 * What it saves is nearly everything that a store does: no cell is taken, and none waits for readers; where the key
 * stays, table and order stay as they are too. Who looks it up meanwhile copies the one value or the other: the entry's
 * version is odd while it is written, and what a reader copied, and the key that he found before it, count only if the
 * version was even and the same before and after. Readers who come upon an odd version go the way of those who take the
 * lock.
 *
 * Not where somebody has pinned the value: the one reference that is L1's becomes one with an odd version in a single
 * step, and who takes a reference in another version than the one that he found gives it back. And not without end:
 * versions are few, and the last one is never left, so a copy that takes however long does not see the same one twice.
 * Then the value gets a new cell, whose first version is the first.
 *
 * Without the lock. An odd version is a writer's claim to the entry alone, so a value of the same key needs no lock.
 * The step to it is from the very version in which the key was found, of an entry that is in L1. Who takes an entry out
 * of the table takes TC_ENTRY_IN_L1 from it first: if it is there when the writer is through, his value was in the
 * table at that moment, and it is not his concern what comes after. If it is not, he does not know what became of the
 * value, and stores it again, with the lock. Tickets: he moves the key's generation before he writes; who stores under
 * a ticket looks at it once more when the entry can't be written to any longer. */
#include "tier/l1/l1.h"

#define LAST_VERSION (TC_ENTRY_VERSIONS - TC_ENTRY_VERSION_ONE)

/* Whether it may be written over at all; refs: its. */
static bool is_plain(const struct tc_l1 *l1, uint32_t sizes, uint32_t refs, const struct tc_entry_parts *p)
{
    const uint32_t look_at = TC_ENTRY_REFS | TC_ENTRY_WRITING | TC_ENTRY_FLAGS | TC_ENTRY_HOUSED | TC_ENTRY_IN_L1;
    if (!l1->stamped_hits || p->life_ms < 0 || (refs & look_at) != (1 | TC_ENTRY_HOUSED | TC_ENTRY_IN_L1) ||
        (refs & TC_ENTRY_VERSIONS) >= LAST_VERSION)
        return false;
    return p->value.len <= TC_ENTRY_OVERWRITTEN_MOST && tc_sizes_len(sizes) <= TC_ENTRY_OVERWRITTEN_MOST;
}

/* By bytes of its own: it counts for the same, also among those that lie apart. */
static bool is_as_large(uint32_t refs, size_t bytes, size_t as)
{
    return tc_slab_round(bytes) == tc_slab_round(as) &&
           ((refs & TC_ENTRY_IN_EXTENT) != TC_ENTRY_IN_EXTENT || tc_extents_round(bytes) == tc_extents_round(as));
}

static uint32_t sizes_of(const struct tc_entry_parts *p)
{
    return tc_sizes(p->type_id & UINT8_MAX, p->key.len, p->value.len);
}

/* Of the same key. Mostly the value before was as long. */
static bool fits(const struct tc_l1 *l1, const struct tc_entry *e, uint32_t refs, const struct tc_entry_parts *p)
{
    uint32_t sizes = tc_entry_sizes(e);
    if (!is_plain(l1, sizes, refs, p))
        return false;
    if (__builtin_expect(sizes == sizes_of(p), 1))
        return true;
    size_t is = tc_entry_bytes_for(l1->node_bytes, 0, tc_sizes_key_len(sizes), tc_sizes_len(sizes));
    size_t bytes = tc_entry_bytes_for(l1->node_bytes, 0, p->key.len, p->value.len);
    return sizes >> 24 == p->type_id && is_as_large(refs, bytes, is);
}

/* Acquire: who had it pinned before has read what he wanted. */
static bool begin(struct tc_entry *e, uint32_t refs)
{
    return atomic_compare_exchange_strong_explicit(&e->refs, &refs, refs + TC_ENTRY_VERSION_ONE, memory_order_acquire,
                                                   memory_order_relaxed);
}

/* True: it was in L1 all the while. */
static bool end(struct tc_entry *e)
{
    return atomic_fetch_add_explicit(&e->refs, TC_ENTRY_VERSION_ONE, memory_order_acq_rel) & TC_ENTRY_IN_L1;
}

/* Each store releases: who sees one of them sees the odd version. The key's bytes are left to who changes it. */
static void write(struct tc_entry *e, const struct tc_entry_parts *p)
{
    uint32_t sizes = sizes_of(p);
    atomic_store_explicit(&e->times, tc_times(p->now_ms, p->life_ms), memory_order_release);
    atomic_store_explicit(&e->sizes, sizes, memory_order_release);
    tc_words_store(tc_entry_plain_value(e, sizes), p->value.data, p->value.len);
}

/* It is as good as a hit. The wheel's code stays: it is early, and who comes for the entry then codes it anew. */
bool tc_l1_overwrite(struct tc_l1 *l1, struct tc_reader *me, struct tc_entry *e, uint32_t refs,
                     const struct tc_entry_parts *p)
{
    size_t stripe = tc_l1_stripe_number(l1, p->hash);
    struct tc_stripe *s = &l1->stripes[stripe];
    __builtin_prefetch((char *)e + TC_CACHELINE, 1);
    bool fresh_longer = tc_times_until_ms(tc_entry_times(e)) > p->now_ms + p->life_ms;
    if (__builtin_expect(fresh_longer || !fits(l1, e, refs, p) || !begin(e, refs), 0))
        return false;
    tc_gate_advance(tc_stripe_gate(s, p->hash));
    write(e, p);
    bool stayed = end(e);
    tc_l1_touch_plain(l1, &l1->views[stripe], stripe, me, e);
    return stayed;
}

bool tc_stripe_overwrite(struct tc_stripe *s, uint32_t cell, const struct tc_index_at *at,
                         const struct tc_entry_parts *p)
{
    tc_lock_assert_held(&s->lock);
    struct tc_entry *e = tc_stripe_entry(s, cell);
    struct tc_l1 *l1 = s->l1;
    uint32_t refs = atomic_load_explicit(&e->refs, memory_order_relaxed);
    if (!fits(l1, e, refs, p) || !begin(e, refs))
        return false;
    write(e, p);
    end(e);
    tc_index_set_code_at(at, tc_wheel_code(tc_entry_keep_until_ms(e, tc_l1_type_of(l1, e)), p->now_ms));
    if (tc_stripe_stamp(s->index.view, tc_cell(&s->index.view->cells, cell)))
        tc_stripe_marked(s, 1);
    return true;
}

/* The cell has room for so many bytes, and for little more. */
static bool has_room(struct tc_stripe *s, uint32_t cell, size_t bytes)
{
    void *p = tc_cell(&s->index.view->cells, cell);
    size_t room = tc_cell_is_extent(cell) ? tc_extents_room(p) : tc_slab_cell_bytes(&s->slab, cell);
    return bytes <= room && room <= tc_slab_round(bytes + bytes / 8);
}

/* The same of another key: it need not be as large as what was there. */
static bool fits_victim(struct tc_stripe *s, uint32_t cell, uint32_t refs, const struct tc_entry_parts *p, size_t bytes)
{
    const struct tc_entry *e = tc_stripe_entry(s, cell);
    return is_plain(s->l1, tc_entry_sizes(e), refs, p) &&
           (is_as_large(refs, bytes, tc_entry_own_bytes(e, s->l1->node_bytes)) || has_room(s, cell, bytes));
}

#define CANDIDATES 8 /* of some thousand in a stripe: who leaves is still one of those that were not used for longest */

static uint32_t next_candidate(struct tc_stripe *s, uint32_t cell)
{
    const struct tc_order *o = &s->shared;
    return o->evict->later != NULL ? o->evict->later(o->state, cell) : 0;
}

struct tc_victim tc_stripe_choose_victim(struct tc_stripe *s, const struct tc_entry_parts *p, size_t bytes)
{
    tc_lock_assert_held(&s->lock);
    tc_assert(s->shared.next == NULL);
    uint32_t cell = tc_stripe_victim(s, NULL, 0);
    for (unsigned n = 0; cell != 0 && n < CANDIDATES; n++, cell = next_candidate(s, cell)) {
        const struct tc_entry *e = tc_stripe_entry(s, cell);
        if (!fits_victim(s, cell, atomic_load_explicit(&e->refs, memory_order_relaxed), p, bytes))
            continue;
        struct tc_victim v = { cell, tc_entry_hash(e, &s->l1->hasher) };
        tc_index_prefetch(s->index.view, v.hash);
        return v;
    }
    return (struct tc_victim){ 0, 0 };
}

bool tc_stripe_overwrite_victim(struct tc_stripe *s, const struct tc_victim *victim, const struct tc_index_gap *gap,
                                const struct tc_entry_parts *p, size_t bytes, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    uint32_t cell = victim->cell;
    struct tc_entry *e = tc_stripe_entry(s, cell);
    struct tc_l1 *l1 = s->l1;
    tc_assert(s->shared.next == NULL);
    uint32_t refs = atomic_load_explicit(&e->refs, memory_order_relaxed);
    if (!fits_victim(s, cell, refs, p, bytes) || !begin(e, refs))
        return false;
    struct cache_type *from = tc_l1_type_of(l1, e);
    size_t counted = tc_l1_entry_bytes(l1, e), counts = tc_entry_housed_bytes(refs, bytes);
    if (cell & TC_CELL_APART)
        tc_stripe_count_apart(s, s->apart_of, e, -1);
    write(e, p);
    tc_words_store(tc_entry_plain_key(e), p->key.data, p->key.len);
    if (cell & TC_CELL_APART)
        tc_stripe_count_apart(s, s->apart_of, e, 1);
    struct cache_type *to = tc_l1_type_of(l1, e);
    uint8_t code = tc_wheel_code(tc_entry_keep_until_ms(e, to), p->now_ms);
    tc_stripe_leave_order(&s->shared, cell, counted);
    tc_stripe_enter_order(s, &s->shared, cell, p->hash, counts);
    tc_index_remove_of(&s->index, cell, victim->hash);
    end(e);
    tc_index_fill(&s->index, gap, cell, p->hash, code);
    tc_stats_add(&from->stats, TC_COUNT_l1_evicted_bytes, 1);
    if (from != to || counted != counts)
        tc_stripe_count_moved(from, counted, to, counts, dropped);
    tc_stripe_stored(s);
    return true;
}
