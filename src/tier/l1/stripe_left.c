/* What left the table of a stripe and may still be read: it waits in the order in which it left, with the epoch of that
 * moment, until nobody can be at it (base/readers.h). Calls that change something in the same stripe free it, a few at
 * a time, with the lock that they hold anyway: no cell is ever handed from thread to thread, and none has much to free
 * at once. Who is short of memory goes through all stripes (limbo.c). */
#include "tier/l1/l1.h"

/* ---- waiting ---- */

static struct tc_left_batch *youngest(struct tc_left *w)
{
    return &w->batches[(w->begin + w->n - 1) % TC_LEFT_BATCHES];
}

static void append(struct tc_stripe *s, uint32_t cell, uint64_t epoch)
{
    struct tc_left *w = &s->left;
    if (w->n > 0 && (youngest(w)->epoch == epoch || w->n == TC_LEFT_BATCHES)) {
        struct tc_left_batch *batch = youngest(w);
        tc_pair_set_second(tc_entry_left(tc_stripe_entry(s, batch->last)), cell);
        batch->last = cell;
        batch->epoch = batch->epoch > epoch ? batch->epoch : epoch;
        return;
    }
    w->n++;
    *youngest(w) = (struct tc_left_batch){ epoch, cell, cell };
}

static void account_left(struct tc_stripe *s, uint32_t cell, int64_t bytes)
{
    uint64_t all = atomic_load_explicit(&s->left.bytes, memory_order_relaxed);
    atomic_store_explicit(&s->left.bytes, all + (uint64_t)bytes, memory_order_relaxed);
    if (tc_cell_is_alone(cell)) /* it left the stripe's account for the reserve's */
        atomic_fetch_add_explicit(&s->l1->limbo.bytes, (uint64_t)bytes, memory_order_relaxed);
    else
        atomic_store_explicit(&s->left.housed, tc_left_housed(&s->left) + (uint64_t)bytes, memory_order_relaxed);
}

void tc_stripe_wait(struct tc_stripe *s, uint32_t cell, struct tc_entry *e, uint64_t bytes, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    tc_pair_set(tc_entry_left(e), cell, 0);
    append(s, cell, tc_readers_epoch(&s->l1->readers));
    account_left(s, cell, (int64_t)bytes);
    dropped->bytes += bytes;
}

/* ---- freeing ---- */

void tc_stripe_give(struct tc_stripe *s, uint32_t cell)
{
    uint64_t before = tc_stripe_housing(s);
    void *extent = tc_cell_is_extent(cell) ? tc_cell(&s->index.view->cells, cell) : NULL;
    tc_slab_give(&s->slab, cell);
    if (extent != NULL)
        tc_extents_give(&s->extents, extent);
    tc_stripe_account(s, tc_stripe_housing(s), before);
}

/* L1's reference goes, when readers are through: true if it was the last. Nobody takes a new pin: one reference now means
 * one for good. Otherwise callers hold the value on, and it is marked and counted before our reference goes, since theirs
 * may be gone the next instant. */
static bool drop(struct tc_l1 *l1, struct tc_entry *e)
{
    if ((atomic_load_explicit(&e->refs, memory_order_acquire) & TC_ENTRY_REFS) > 1)
        tc_l1_detach(l1, e);
    uint32_t before = atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel);
    if ((before & TC_ENTRY_REFS) != 1)
        return false;
    if (before & TC_ENTRY_DETACHED)
        tc_l1_undetach(l1, e);
    return true;
}

static void reap_housed(struct tc_stripe *s, struct tc_entry *e, uint32_t cell)
{
    if (drop(s->l1, e))
        tc_stripe_give(s, cell);
    else if (tc_cell_is_extent(cell)) /* whoever has it comes here for the lock to free it */
        tc_extents_keep(&s->extents, tc_cell(&s->index.view->cells, cell));
    else
        tc_slab_keep(&s->slab, cell);
}

static void reap_alone(struct tc_stripe *s, struct tc_entry *e, uint32_t cell, struct tc_dropped *dropped)
{
    tc_stripe_give(s, cell);
    if (!drop(s->l1, e))
        return;
    e->next = dropped->first; /* freed without the lock: it may be large */
    dropped->first = e;
}

static void reap_one(struct tc_stripe *s, struct tc_dropped *dropped)
{
    struct tc_left *w = &s->left;
    struct tc_left_batch *batch = &w->batches[w->begin];
    uint32_t cell = batch->first;
    struct tc_entry *e = tc_stripe_entry(s, cell);
    batch->first = tc_pair_second(tc_entry_left(e));
    if (batch->first == 0) {
        w->begin = (w->begin + 1) % TC_LEFT_BATCHES;
        w->n--;
    }
    account_left(s, cell, -(int64_t)tc_l1_entry_bytes(s->l1, e));
    if (tc_cell_is_alone(cell))
        reap_alone(s, e, cell, dropped);
    else
        reap_housed(s, e, cell);
}

static size_t reap(struct tc_stripe *s, bool alone, size_t most, struct tc_dropped *dropped)
{
    struct tc_left *w = &s->left;
    size_t n = 0;
    while (n < most && w->n > 0 && (alone || tc_readers_passed(&s->l1->readers, w->batches[w->begin].epoch))) {
        reap_one(s, dropped);
        n++;
    }
    if (w->n > 0) /* on its way until somebody comes here again */
        __builtin_prefetch(tc_stripe_entry(s, w->batches[w->begin].first));
    return n;
}

size_t tc_stripe_reap(struct tc_stripe *s, size_t most, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    return s->left.n > 0 ? reap(s, tc_readers_alone(&s->l1->readers), most, dropped) : 0;
}

bool tc_stripe_reap_some(struct tc_stripe *s, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    bool alone = tc_readers_alone(&s->l1->readers);
    if (s->left.n > 0)
        reap(s, alone, alone ? SIZE_MAX : TC_REAP_SOME, dropped);
    return alone;
}

void tc_stripe_free_cell(struct tc_stripe *s, struct tc_entry *e)
{
    tc_lock_assert_held(&s->lock);
    uint32_t cell = tc_pair_first(tc_entry_left(e));
    if (!(cell & TC_CELL_APART)) /* extents know it of themselves */
        tc_slab_unkeep(&s->slab, cell);
    tc_stripe_give(s, cell);
}

void tc_stripe_left_fini(struct tc_stripe *s)
{
    struct tc_dropped dropped = { .first = NULL };
    tc_lock_acquire(&s->lock);
    while (s->left.n > 0)
        reap_one(s, &dropped);
    tc_lock_release(&s->lock);
    tc_l1_free_dropped(s->l1, &dropped);
}
