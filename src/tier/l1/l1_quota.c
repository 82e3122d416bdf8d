/* Trimming a type to its quota, in every stripe: it was lowered, or other stripes' entries are what is too much. A
 * store keeps the quota of what is in its own stripe by itself (l1_store.c). */
#include "tier/l1/l1.h"

#define TRIMMED_AT_ONCE 256 /* entries, by one hold of a stripe's lock: some tens of microseconds */
#define FAR_BYTES 65536     /* as much, more or less */

static bool is_over_by(const struct cache_type *t, const struct tc_policy *p, uint64_t entries, uint64_t bytes)
{
    return (p->l1_quota_entries > 0 &&
            atomic_load_explicit(&t->l1_entries, memory_order_relaxed) > p->l1_quota_entries + entries) ||
           (p->l1_quota_bytes > 0 &&
            atomic_load_explicit(&t->l1_bytes, memory_order_relaxed) > p->l1_quota_bytes + bytes);
}

bool tc_l1_is_over_quota(const struct cache_type *t, const struct tc_policy *p)
{
    return is_over_by(t, p, 0, 0);
}

bool tc_l1_is_far_over_quota(const struct cache_type *t, const struct tc_policy *p)
{
    return is_over_by(t, p, TRIMMED_AT_ONCE, FAR_BYTES);
}

bool tc_l1_above_share(const struct tc_l1 *l1, const struct tc_order *o, const struct tc_policy *p, uint64_t more,
                       uint64_t more_bytes)
{
    uint64_t entries = o->count + more, bytes = o->bytes + more_bytes, n = l1->n_stripes;
    return entries > 1 && ((p->l1_quota_entries > 0 && entries > (p->l1_quota_entries - 1) / n + 1) ||
                           (p->l1_quota_bytes > 0 && bytes > p->l1_quota_bytes / n));
}

/* Of one stripe, in parts. */
struct trimming {
    struct cache_type *type;
    const struct tc_policy *p;
    struct tc_l1_ref kept; /* stays */
    bool to_share;
    bool asked; /* for an order of the type's */
    struct tc_index_way way;
};

/* The type's order, made if entries of it may stand in the shared one from before it had a quota, and if that can be
 * paid for. kept: one of them is to stay; with it alone there is nothing to trim, and nobody else to pay. */
static struct tc_order *order_of(struct tc_l1 *l1, struct tc_stripe *s, const struct cache_type *t, bool kept,
                                 struct tc_dropped *dropped)
{
    struct tc_order *order = tc_stripe_order(s, t, false);
    if (order->type == t || t->has_evict || s->shared.count <= kept)
        return order;
    return tc_stripe_order(s, t, tc_l1_make_grant(l1, s, tc_stripe_order_bytes(l1, t), dropped));
}

static uint32_t kept_cell(struct tc_l1 *l1, struct tc_stripe *s, const struct trimming *trim)
{
    uint32_t cell = 0;
    if (s == tc_l1_stripe(l1, trim->kept.hash))
        tc_stripe_find(s, trim->kept.hash, trim->kept.key, &cell);
    return cell;
}

/* The next of the type to leave, but for the one that is kept. If that is whom the policy names, or there was no memory
 * for an order of the type: as they lie in the table. */
static uint32_t next_to_leave(struct tc_stripe *s, struct tc_order *order, struct trimming *trim, uint32_t keep)
{
    if (order->type == trim->type && order->count == (keep != 0))
        return 0; /* it has no others here */
    uint32_t victim = order->type == trim->type ? tc_stripe_victim(s, order, keep) : 0;
    if (victim == 0)
        victim = tc_stripe_next_of_type(s, trim->type, &trim->way.next);
    return victim != 0 && victim == keep ? tc_stripe_next_of_type(s, trim->type, &trim->way.next) : victim;
}

/* As much as one hold of the lock is for; false: there may be more. */
static bool trim_locked(struct tc_l1 *l1, struct tc_stripe *s, struct trimming *trim, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    struct tc_order *order = trim->asked ? tc_stripe_order(s, trim->type, false)
                                         : order_of(l1, s, trim->type, kept_cell(l1, s, trim) != 0, dropped);
    trim->asked = true; /* others gave for it, in vain perhaps: once is enough */
    uint32_t keep = kept_cell(l1, s, trim); /* after entries may have been moved */
    tc_index_way_on(&s->index, &trim->way);
    for (int n = 0; n < TRIMMED_AT_ONCE; n++) {
        bool is_own = order->type == trim->type;
        if (!tc_l1_is_over_quota(trim->type, trim->p) ||
            (trim->to_share && (!is_own || !tc_l1_above_share(l1, order, trim->p, 0, 0))))
            return true;
        uint32_t victim = next_to_leave(s, order, trim, keep);
        if (victim == 0)
            return true;
        tc_stripe_remove(s, victim, TC_COUNT_l1_evicted_quota, dropped);
        tc_dropped_tell(dropped);
    }
    return false;
}

static void trim_stripe(struct tc_l1 *l1, struct tc_stripe *s, struct trimming trim)
{
    bool all;
    do {
        struct tc_dropped dropped = { .first = NULL };
        tc_lock_acquire(&s->lock);
        all = trim_locked(l1, s, &trim, &dropped);
        tc_l1_leave(l1, s, &dropped);
        if (!all)
            tc_lock_let_others(&s->lock);
    } while (!all);
}

void tc_l1_trim(struct tc_l1 *l1, struct cache_type *t, const struct tc_policy *p, struct tc_l1_ref kept, bool to_share)
{
    size_t from = atomic_fetch_add_explicit(&l1->next_stripe, 1, memory_order_relaxed);
    struct trimming trim = { .type = t, .p = p, .kept = kept, .to_share = to_share };
    for (size_t i = 0; i < l1->n_stripes && tc_l1_is_over_quota(t, p); i++)
        trim_stripe(l1, &l1->stripes[(from + i) % l1->n_stripes], trim);
}
