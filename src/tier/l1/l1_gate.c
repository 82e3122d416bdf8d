/* The gate between this process's writers to L2: fills, which answer a miss and give way, and writes and invalidations,
 * which wait for them. Without it a fill that was checked, but not yet sent, when the invalidation ran could reach L2
 * after it. */
#include "tier/l1/l1.h"

static size_t gates_bytes(const struct tc_l1 *l1)
{
    return l1->n_stripes * TC_GATES * sizeof(struct tc_gate);
}

int tc_l1_open_gates(struct tc_l1 *l1)
{
    l1->gates = tc_alloc_zeroed(l1->alloc, gates_bytes(l1));
    if (l1->gates == NULL)
        return CACHE_E_NOMEM;
    for (size_t i = 0; i < l1->n_stripes; i++)
        l1->stripes[i].gates = &l1->gates[i * TC_GATES];
    l1->fixed_bytes += gates_bytes(l1);
    l1->pool -= (int64_t)gates_bytes(l1);
    l1->fair = tc_l1_fair_of(l1, tc_l1_limit(l1));
    return CACHE_OK;
}

void tc_l1_close_gates(struct tc_l1 *l1)
{
    tc_free(l1->alloc, l1->gates, gates_bytes(l1));
    l1->gates = NULL;
}

static struct tc_gate *gate_of(const struct tc_stripe *s, uint64_t hash)
{
    tc_assert(s->gates != NULL);
    return &s->gates[tc_gate_number(hash)];
}

static bool fill_begin_locked(struct tc_stripe *s, uint64_t hash, uint64_t generation)
{
    tc_lock_assert_held(&s->lock);
    struct tc_gate *gate = gate_of(s, hash);
    if (tc_generation(tc_stripe_generation(s, hash)) != generation || gate->barrier > 0)
        return false;
    gate->fills++;
    return true;
}

bool tc_l1_fill_begin(struct tc_l1 *l1, uint64_t hash, uint64_t generation)
{
    struct tc_stripe *s = tc_l1_stripe(l1, hash);
    tc_lock_acquire(&s->lock);
    bool entered = fill_begin_locked(s, hash, generation);
    tc_lock_release(&s->lock);
    return entered;
}

static enum tc_fill_end fill_end_locked(struct tc_stripe *s, uint64_t hash, uint64_t generation)
{
    tc_lock_assert_held(&s->lock);
    struct tc_gate *gate = gate_of(s, hash);
    tc_assert(gate->fills > 0);
    gate->fills--;
    if (tc_generation(tc_stripe_generation(s, hash)) == generation)
        return TC_FILL_STANDS;
    if (gate->late == 0 || generation >= gate->given_up)
        return TC_FILL_VOID;
    gate->late--;
    return TC_FILL_LATE;
}

enum tc_fill_end tc_l1_fill_end(struct tc_l1 *l1, uint64_t hash, uint64_t generation)
{
    struct tc_stripe *s = tc_l1_stripe(l1, hash);
    tc_lock_acquire(&s->lock);
    enum tc_fill_end end = fill_end_locked(s, hash, generation);
    bool waited_for = gate_of(s, hash)->barrier > 0;
    tc_lock_release(&s->lock);
    if (waited_for)
        tc_cond_broadcast(&s->quiet);
    return end;
}

void tc_l1_late_end(struct tc_l1 *l1)
{
    atomic_fetch_sub_explicit(&l1->late, 1, memory_order_release);
}

/* Every fill in the gate is of an older generation than the one that begins after this: readers without the lock must
 * not see that one before they see that something is late. */
static void give_up_locked(struct tc_l1 *l1, struct tc_stripe *s, uint64_t hash)
{
    tc_lock_assert_held(&s->lock);
    struct tc_gate *gate = gate_of(s, hash);
    uint32_t more = gate->fills - gate->late + (gate->writing && !gate->writer_late);
    atomic_fetch_add_explicit(&l1->late, more, memory_order_release);
    gate->late = gate->fills;
    gate->writer_late = gate->writing;
    gate->given_up = tc_generation(tc_stripe_generation(s, hash)) + 1;
}

/* The gate's turn for this writer; false at the deadline. */
static bool enter_locked(struct tc_l1 *l1, struct tc_stripe *s, struct tc_gate *gate, int64_t deadline_ms)
{
    tc_lock_assert_held(&s->lock);
    while (gate->fills > 0 || gate->writing)
        if (!tc_cond_wait(&s->quiet, &s->lock, deadline_ms - tc_clock_now_ms(l1->clock)))
            return gate->fills == 0 && !gate->writing;
    return true;
}

bool tc_l1_write_begin(struct tc_l1 *l1, struct tc_l1_ref ref, bool exclusive, int64_t deadline_ms)
{
    struct tc_stripe *s = tc_l1_stripe(l1, ref.hash);
    struct tc_dropped dropped = { .first = NULL };
    tc_lock_acquire(&s->lock);
    struct tc_gate *gate = gate_of(s, ref.hash);
    gate->barrier++;
    bool entered = enter_locked(l1, s, gate, deadline_ms);
    if (entered)
        gate->writing = exclusive;
    else
        gate->barrier--;
    if (!entered)
        give_up_locked(l1, s, ref.hash);
    /* Not before the wait: it would void what the writer that is waited for is about to put. */
    tc_l1_invalidate_locked(s, ref, &dropped);
    tc_l1_leave(l1, s, &dropped);
    return entered;
}

bool tc_l1_write_end(struct tc_l1 *l1, uint64_t hash, bool exclusive)
{
    struct tc_stripe *s = tc_l1_stripe(l1, hash);
    tc_lock_acquire(&s->lock);
    struct tc_gate *gate = gate_of(s, hash);
    tc_assert(gate->barrier > 0);
    gate->barrier--;
    bool late = exclusive && gate->writer_late;
    if (exclusive)
        gate->writing = gate->writer_late = false;
    bool waited_for = gate->barrier > 0;
    tc_lock_release(&s->lock);
    if (waited_for)
        tc_cond_broadcast(&s->quiet);
    return !late;
}
