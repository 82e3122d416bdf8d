/* Storing a value where the one before lies. What it saves is nearly everything that a store does: no cell is taken,
 * and none waits for readers; table and order stay as they are. Who looks the key up meanwhile copies the one value or
 * the other: the entry's version is odd while it is written, and a copy counts only if the version was even and the
 * same before and after. Nobody waits for a writer: who comes upon an odd version goes the way of those who take the
 * lock.
 *
 * Not where somebody has pinned the value: the one reference that is L1's becomes one with an odd version in a single
 * step, and who takes a reference in that version gives it back. And not without end: versions are few, and the last
 * one is never left, so a copy that takes however long does not see the same one twice. Then the value gets a new cell,
 * whose first version is the first. */
#include "tier/l1/l1.h"

#define LAST_VERSION (TC_ENTRY_VERSIONS - TC_ENTRY_VERSION_ONE)

static bool begin(struct tc_entry *e)
{
    const uint32_t look_at = TC_ENTRY_REFS | TC_ENTRY_FLAGS | TC_ENTRY_IN_PAGE;
    uint32_t refs = atomic_load_explicit(&e->refs, memory_order_relaxed);
    if ((refs & look_at) != (1 | TC_ENTRY_IN_PAGE) || (refs & TC_ENTRY_VERSIONS) >= LAST_VERSION)
        return false;
    /* Acquire: who had it pinned before has read what he wanted. */
    return atomic_compare_exchange_strong_explicit(&e->refs, &refs, refs + TC_ENTRY_VERSION_ONE, memory_order_acquire,
                                                   memory_order_relaxed);
}

/* Each store releases: who sees one of them sees the odd version. */
static void write(struct tc_entry *e, const struct tc_entry_parts *p)
{
    atomic_store_explicit(&e->times, tc_times(p->now_ms, p->life_ms), memory_order_release);
    atomic_store_explicit(&e->len, (uint16_t)p->value.len, memory_order_release);
    tc_words_store(tc_entry_plain_value(e), p->value.data, p->value.len);
}

bool tc_stripe_overwrite(struct tc_stripe *s, uint32_t cell, const struct tc_index_at *at,
                         const struct tc_entry_parts *p, size_t bytes)
{
    tc_lock_assert_held(&s->lock);
    struct tc_entry *e = tc_stripe_entry(s, cell);
    struct tc_l1 *l1 = s->l1;
    if (!l1->stamped_hits || p->life_ms < 0 || p->value.len > TC_ENTRY_OVERWRITTEN_MOST ||
        tc_entry_plain_len(e) > TC_ENTRY_OVERWRITTEN_MOST || tc_slab_round(bytes) != tc_l1_entry_bytes(l1, e) ||
        !begin(e))
        return false;
    write(e, p);
    atomic_fetch_add_explicit(&e->refs, TC_ENTRY_VERSION_ONE, memory_order_release);
    tc_index_set_code_at(at, tc_wheel_code(tc_entry_keep_until_ms(e, tc_l1_type_of(l1, e)), p->now_ms));
    if (tc_stripe_stamp(s->index.view, tc_cell(&s->index.view->cells, cell))) /* it is as good as a hit */
        tc_stripe_marked(s, 1);
    return true;
}
