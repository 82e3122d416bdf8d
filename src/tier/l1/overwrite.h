/* What it takes to store over an entry: whether it may be, and the claim to it. What for, and why it is right, is in
 * stripe_overwrite.c and stripe_victim.c. */
#ifndef TC_TIER_L1_OVERWRITE_H
#define TC_TIER_L1_OVERWRITE_H

#include "tier/l1/l1.h"

/* ThreadSanitizer knows what is ordered by what only where it is the same address. */
#if (defined __x86_64__ || defined __aarch64__) && !TC_THREADS_ARE_WATCHED
#define TC_OVERWRITE_STORES_HALF 1
#endif

/* Of the value that is to be stored: it may be one that others read while it is written. */
static inline bool tc_overwrite_suits(const struct tc_l1 *l1, const struct tc_entry_parts *p)
{
    return l1->stamped_hits && p->life_ms >= 0 && p->value.len <= TC_ENTRY_OVERWRITTEN_MOST;
}

/* The same of the one that is there, whose references and sizes these are, but for its version. */
static inline bool tc_overwrite_may(uint32_t sizes, uint32_t refs)
{
    const uint32_t look_at = TC_ENTRY_REFS | TC_ENTRY_WRITING | TC_ENTRY_FLAGS | TC_ENTRY_HOUSED | TC_ENTRY_IN_L1;
    return (refs & look_at) == (1 | TC_ENTRY_HOUSED | TC_ENTRY_IN_L1) &&
           tc_sizes_len(sizes) <= TC_ENTRY_OVERWRITTEN_MOST;
}

/* The next version is the first of a quarter: then the stripe is asked, with the lock. */
static inline bool tc_overwrite_ends_quarter(uint32_t refs)
{
    const uint32_t in_quarter = (UINT32_C(1) << TC_ENTRY_QUARTER_SHIFT) - 2 * TC_ENTRY_VERSION_ONE;
    return __builtin_expect((refs & in_quarter) == in_quarter, 0);
}

/* With the lock: there is a next version. */
static inline bool tc_overwrite_can_go_on(struct tc_stripe *s, uint32_t refs)
{
    return !tc_overwrite_ends_quarter(refs) || tc_stripe_try_quarter(s, refs);
}

/* What it would take in a page; 0: it cannot lie there. */
static inline size_t tc_overwrite_in_page(size_t bytes)
{
    return bytes <= TC_SLAB_MOST ? tc_slab_round(bytes) : 0;
}

/* By bytes of its own: it counts for the same, also among those that lie apart. */
static inline bool tc_overwrite_counts_alike(uint32_t refs, size_t bytes, size_t as)
{
    return tc_overwrite_in_page(bytes) == tc_overwrite_in_page(as) &&
           ((refs & TC_ENTRY_IN_EXTENT) != TC_ENTRY_IN_EXTENT || tc_extents_round(bytes) == tc_extents_round(as));
}

static inline uint32_t tc_overwrite_sizes(const struct tc_entry_parts *p)
{
    return tc_sizes(p->type_id & UINT8_MAX, p->key.len, p->value.len);
}

/* Acquire: who had it pinned before has read what he wanted. */
static inline bool tc_overwrite_begin(struct tc_entry *e, uint32_t refs)
{
    return atomic_compare_exchange_strong_explicit(&e->refs, &refs, refs + TC_ENTRY_VERSION_ONE, memory_order_acquire,
                                                   memory_order_relaxed);
}

/* The same with the lock, wherever its version stands. */
static inline bool tc_overwrite_claim(struct tc_stripe *s, struct tc_entry *e, uint32_t refs)
{
    if (!tc_overwrite_can_go_on(s, refs) || !tc_overwrite_begin(e, refs))
        return false;
    if (tc_overwrite_ends_quarter(refs))
        tc_stripe_begin_quarter(s, refs);
    return true;
}

/* refs: as given to tc_overwrite_begin(). Where processors do that beside others' locked instructions on the whole word
 * it is a store of its upper half, which nobody else writes meanwhile: a locked instruction would wait until all that was
 * written before has left the processor. */
static inline void tc_overwrite_end(struct tc_entry *e, uint32_t refs)
{
#ifdef TC_OVERWRITE_STORES_HALF
    uint16_t upper = (uint16_t)((refs + 2 * TC_ENTRY_VERSION_ONE) >> 16);
    atomic_store_explicit(&e->refs_halves[TC_ENTRY_UPPER], upper, memory_order_release);
#else
    (void)refs;
    atomic_fetch_add_explicit(&e->refs, TC_ENTRY_VERSION_ONE, memory_order_acq_rel);
#endif
}

/* Without the lock, after that: whether it was in L1 at a moment after the last word was written. Others may see the
 * even version later than that: stripe_overwrite.c says why that does no harm. */
static inline bool tc_overwrite_stayed(struct tc_entry *e)
{
    return atomic_load(&e->refs_halves[TC_ENTRY_LOWER]) & TC_ENTRY_IN_L1;
}

/* Each store releases: who sees one of them sees the odd version. The key's bytes are left to who changes it. */
static inline __attribute__((always_inline)) void tc_overwrite_write(struct tc_entry *e,
                                                                     const struct tc_entry_parts *p)
{
    uint32_t sizes = tc_overwrite_sizes(p);
    atomic_store_explicit(&e->times, tc_times(p->now_ms, p->life_ms), memory_order_release);
    atomic_store_explicit(&e->sizes, sizes, memory_order_release);
    tc_words_store(tc_entry_plain_value(e, sizes), p->value.data, p->value.len);
}

#endif
