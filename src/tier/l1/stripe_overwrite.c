/* Storing a value in a cell that is in use: that of the value before, or that of the entry whose turn it is to leave.
 * What it saves is nearly everything that a store does: no cell is taken, and none waits for readers; where the key
 * stays, table and order stay as they are too. Who looks it up meanwhile copies the one value or the other: the entry's
 * version is odd while it is written, and what a reader copied, and the key that he found before it, count only if the
 * version was even and the same before and after. Readers who come upon an odd version go the way of those who take the
 * lock.
 *
 * Not where somebody has pinned the value: the one reference that is L1's becomes one with an odd version in a single
 * step, and who takes a reference in another version than the one that he found gives it back. Versions are few, and
 * begin anew: so that a copy that takes however long does not see the same one twice, every 64th step needs the lock, and
 * few of those have to wait for readers, which nobody does: the value gets another cell (stripe_version.c).
 *
 * Without the lock. An odd version is a writer's claim to the entry alone, so a value of the same key needs no lock.
 * The step to it is from the very version in which the key was found, of an entry that is in L1. Who takes an entry out
 * of the table takes TC_ENTRY_IN_L1 from it first: if it is there when the writer is through, his value was in the
 * table at that moment, and it is not his concern what comes after. If it is not, he does not know what became of the
 * value, and stores it again, with the lock. That he is through may be seen late: who takes the entry out then takes it
 * for one that is being written, and never for one that may be moved.
 *
 * Tickets: he moves the key's generation before he writes; who stores under a ticket looks at it once more when he has
 * taken TC_ENTRY_IN_L1 away. Each of the two writes first and then looks at what the other one writes, in one order for
 * all: so one of them sees it. */
#include "tier/l1/overwrite.h"

/* Of the same key. Mostly the value before was as long. */
static bool fits(const struct tc_l1 *l1, const struct tc_entry *e, uint32_t refs, const struct tc_entry_parts *p)
{
    uint32_t sizes = tc_entry_sizes(e);
    if (!tc_overwrite_suits(l1, p) || !tc_overwrite_may(sizes, refs))
        return false;
    if (__builtin_expect(sizes == tc_overwrite_sizes(p), 1))
        return true;
    size_t is = tc_entry_bytes_for(l1->node_bytes, 0, tc_sizes_key_len(sizes), tc_sizes_len(sizes));
    size_t bytes = tc_entry_bytes_for(l1->node_bytes, 0, p->key.len, p->value.len);
    return sizes >> 24 == p->type_id && tc_overwrite_counts_alike(refs, bytes, is);
}

/* It is as good as a hit. The wheel's code stays: it is early, and who comes for the entry then codes it anew. */
bool tc_l1_overwrite(struct tc_l1 *l1, struct tc_reader *me, struct tc_entry *e, uint32_t refs,
                     const struct tc_entry_parts *p)
{
    size_t stripe = tc_l1_stripe_number(l1, p->hash);
    struct tc_stripe *s = &l1->stripes[stripe];
    __builtin_prefetch((char *)e + TC_CACHELINE, 1);
    bool fresh_longer = tc_times_until_ms(tc_entry_times(e)) > p->now_ms + p->life_ms;
    bool may = !fresh_longer && fits(l1, e, refs, p) && !tc_overwrite_ends_quarter(refs);
    if (__builtin_expect(!may || !tc_overwrite_begin(e, refs), 0))
        return false;
    tc_generation_advance(tc_stripe_generation(s, p->hash));
    tc_overwrite_write(e, p);
    tc_overwrite_end(e, refs);
    bool stayed = tc_overwrite_stayed(e);
    tc_l1_touch_plain(l1, &l1->views[stripe], stripe, me, e);
    return stayed;
}

bool tc_stripe_overwrite(struct tc_stripe *s, uint32_t cell, const struct tc_index_at *at,
                         const struct tc_entry_parts *p)
{
    tc_lock_assert_held(&s->lock);
    struct tc_entry *e = tc_stripe_entry(s, cell);
    struct tc_l1 *l1 = s->l1;
    uint32_t refs = atomic_load_explicit(&e->refs, memory_order_acquire); /* before what it is judged by */
    if (!fits(l1, e, refs, p) || !tc_overwrite_claim(s, e, refs))
        return false;
    tc_overwrite_write(e, p);
    tc_overwrite_end(e, refs);
    int64_t keep_ms = tc_entry_keep_until_ms(e, tc_l1_type_of(l1, e));
    tc_index_set_code_at(&s->index, at, p->hash, tc_wheel_code(keep_ms, p->now_ms));
    if (tc_stripe_stamp(s->index.view, tc_cell(&s->index.view->cells, cell)))
        tc_stripe_marked(s, 1);
    return true;
}
