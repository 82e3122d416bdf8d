/* The sharing of memory between stripes.
 *
 * A stripe may use what it was granted. Grants come from the pool, until it is empty; from then on memory for a new
 * entry comes from evicting. Which stripe evicts: one that has less than its fair share takes from one that has more,
 * and otherwise a stripe evicts its own, so that shares drift towards equal and a large entry, which needs more than
 * any share, can be had by taking from many. At no point are two stripes locked at once. */
#include "tier/l1/l1.h"

#define GRANT_STEP 4096 /* drawn from the pool at a time, so that small entries do not meet there each time */

/* Takes between 1 and most bytes from the pool, or 0. */
static uint64_t take_from_pool(struct tc_l1 *l1, uint64_t most)
{
    int64_t pool = atomic_load_explicit(&l1->pool, memory_order_relaxed), take;
    do
        take = pool <= 0 ? 0 : (uint64_t)pool < most ? pool : (int64_t)most;
    while (take > 0 && !atomic_compare_exchange_weak_explicit(&l1->pool, &pool, pool - take, memory_order_relaxed,
                                                              memory_order_relaxed));
    return (uint64_t)take;
}

static void set_granted(struct tc_stripe *s, uint64_t granted)
{
    atomic_store_explicit(&s->granted, granted, memory_order_relaxed);
}

/* Raises the grant towards want as far as the pool goes. */
void tc_l1_draw(struct tc_l1 *l1, struct tc_stripe *s, uint64_t want)
{
    if (want <= s->granted)
        return;
    uint64_t missing = want - s->granted;
    set_granted(s, s->granted + take_from_pool(l1, missing > GRANT_STEP ? missing : GRANT_STEP));
}

void tc_l1_give_idle(struct tc_l1 *l1, struct tc_stripe *s)
{
    tc_lock_assert_held(&s->lock);
    uint64_t idle = tc_stripe_idle(s);
    if (idle <= GRANT_STEP)
        return;
    set_granted(s, s->granted - (idle - GRANT_STEP));
    atomic_fetch_add_explicit(&l1->pool, (int64_t)(idle - GRANT_STEP), memory_order_relaxed);
}

bool tc_l1_grant(struct tc_stripe *s, uint64_t more)
{
    tc_lock_assert_held(&s->lock);
    tc_l1_draw(s->l1, s, tc_stripe_bytes(s) + more);
    return tc_stripe_bytes(s) + more <= s->granted;
}

/* What evicting gives back of pages and chunks is whole ones, and not before readers are through. Who needs little, and
 * that at once, empties the one with least in it, whatever was used lately; who needs much evicts by the order, as long
 * as that gives any. */
enum way { WENT, WAITS, ENDS };

/* Bytes that must be free in pages and chunks before one can be had by moving, about. */
static uint64_t missing_to_vacate(const struct tc_stripe *s)
{
    uint64_t enough = tc_stripe_slack(s) + TC_PAGE_BYTES, have = s->slab.free_bytes + s->extents.free_bytes;
    return have >= enough ? 0 : enough - have;
}

/* One step towards so many bytes fewer in the stripe. *soon: bytes that were evicted in pages, or are to be vacated,
 * since something was last freed. WAITS: enough will be free when readers are through; ENDS: nothing is left. */
static enum way give_way(struct tc_stripe *s, uint64_t need, bool at_once, uint64_t *soon,
                         struct tc_dropped *dropped)
{
    if (tc_stripe_reap(s, TC_REAP_SOME, dropped) > 0) {
        *soon = 0;
        return WENT;
    }
    uint64_t unread = tc_index_give_up(&s->index, s->l1->alloc);
    if (unread > 0) {
        tc_stripe_account(s, 0, unread);
        return WENT;
    }
    if (*soon >= need + missing_to_vacate(s))
        return WAITS;
    uint64_t coming = tc_stripe_pages_are_sparse(s) ? tc_stripe_vacate_page(s, dropped) : 0;
    if (coming == 0)
        coming = tc_stripe_vacate_chunk(s, dropped);
    if (coming == 0 && at_once)
        coming = tc_stripe_empty(s, dropped);
    *soon += coming;
    if (coming > 0)
        return WENT;
    uint32_t victim = tc_stripe_victim(s, NULL, 0);
    if (victim == 0)
        return tc_left_housed(&s->left) > 0 ? WAITS : ENDS;
    *soon += tc_cell_is_alone(victim) ? 0 : tc_l1_entry_bytes(s->l1, tc_stripe_entry(s, victim));
    tc_stripe_remove(s, victim, TC_COUNT_l1_evicted_bytes, dropped);
    return WENT;
}

bool tc_l1_make_grant(struct tc_l1 *l1, struct tc_stripe *s, uint64_t more, struct tc_dropped *dropped)
{
    uint64_t soon = 0;
    tc_l1_draw(l1, s, tc_stripe_bytes(s) + more);
    while (tc_stripe_bytes(s) + more > s->granted && give_way(s, more, true, &soon, dropped) == WENT)
        ;
    return tc_stripe_bytes(s) + more <= s->granted;
}

#define GIVE_STEPS 256 /* in one hold of the lock: others wait for it meanwhile */

/* What a stripe gives, in one hold of its lock or several. */
struct giving {
    bool at_once;    /* see give_way() */
    uint64_t soon;   /* the same */
    uint64_t coming; /* what there will be when readers are through */
    bool goes_on;    /* there is more to be had at once */
};

static uint64_t may_give(const struct tc_stripe *s, uint64_t need, uint64_t floor)
{
    uint64_t above = s->granted - floor;
    return need < above ? need : above;
}

/* Gives up to need bytes of s's grant back: first what lies idle, then by evicting, but not below floor. */
static TC_APART uint64_t give_locked(struct tc_l1 *l1, struct tc_stripe *s, uint64_t need, uint64_t floor,
                                     struct giving *g, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    uint64_t given = 0;
    enum way way = WENT;
    for (int step = 0; step < GIVE_STEPS && way == WENT && given < need && s->granted > floor; step++) {
        uint64_t idle = tc_stripe_idle(s), give = may_give(s, need - given, floor);
        if (idle > 0) {
            give = give < idle ? give : idle;
            set_granted(s, s->granted - give);
            given += give;
        } else {
            way = give_way(s, give, g->at_once, &g->soon, dropped);
        }
    }
    g->goes_on = way == WENT && given < need && s->granted > floor;
    if (way == WAITS) {
        uint64_t waits = tc_left_housed(&s->left) + s->slab.free_bytes + s->extents.free_bytes;
        g->coming = may_give(s, waits < need - given ? waits : need - given, floor);
    }
    atomic_fetch_add_explicit(&l1->pool, (int64_t)given, memory_order_relaxed);
    return given;
}

void tc_l1_pay(struct tc_l1 *l1, struct tc_stripe *s, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    int64_t owed = -atomic_load_explicit(&l1->pool, memory_order_relaxed);
    if (owed <= 0 || s->granted <= tc_l1_fair(l1) || tc_left_housed(&s->left) >= 4 * TC_PAGE_BYTES)
        return;
    struct giving g = { .soon = 0 };
    give_locked(l1, s, owed < TC_PAGE_BYTES ? (uint64_t)owed : TC_PAGE_BYTES, tc_l1_fair(l1), &g, dropped);
}

#define HOLDS 64 /* of one stripe's lock in a round: others may take what it gives */

/* From one stripe after the other, until enough is there or will be. */
static uint64_t collect_round(struct tc_l1 *l1, const struct tc_stripe *except, size_t from, uint64_t need,
                              uint64_t floor, bool at_once, uint64_t *coming)
{
    uint64_t got = 0;
    for (size_t i = 0; i < l1->n_stripes && got + *coming < need; i++) {
        struct tc_stripe *s = &l1->stripes[(from + i) % l1->n_stripes];
        if (s == except || atomic_load_explicit(&s->granted, memory_order_relaxed) <= floor)
            continue;
        struct giving g = { .at_once = at_once, .goes_on = true };
        for (int hold = 0; hold < HOLDS && g.goes_on; hold++) {
            struct tc_dropped dropped = { .first = NULL };
            tc_lock_acquire(&s->lock);
            got += give_locked(l1, s, need - got - *coming, floor, &g, &dropped);
            tc_l1_leave(l1, s, &dropped);
            if (g.goes_on)
                tc_lock_let_others(&s->lock);
        }
        *coming += g.goes_on ? 1 : g.coming;
    }
    return got;
}

/* The first round evicts, the next one moves what is left, then pages are free. Where sizes are many nothing may fit
 * elsewhere, and what is evicted empties no page: who takes from everybody, and has had nothing when there should be
 * something, from then on empties pages, whoever is in them. */
#define ROUNDS 8
#define COMES 2

bool tc_l1_collect(struct tc_l1 *l1, const struct tc_stripe *except, uint64_t need, uint64_t floor, bool *stalled)
{
    uint64_t got = 0, coming = 1;
    bool at_once = false;
    size_t from = atomic_fetch_add_explicit(&l1->next_stripe, 1, memory_order_relaxed);
    for (int round = 0; round < ROUNDS && got < need && coming > 0 && !*stalled; round++) {
        coming = 0;
        uint64_t came = collect_round(l1, except, from, need - got, floor, at_once, &coming);
        got += came;
        at_once = at_once || (floor == 0 && round >= COMES && came == 0);
        *stalled = got < need && coming > 0 && !tc_limbo_pass(l1);
    }
    return got > 0;
}

/* ---- another limit ---- */

#define RESIZE_STEP 65536 /* asked of a stripe at a time: others wait for its lock meanwhile */

static bool is_enough(const struct tc_l1 *l1, uint64_t limit)
{
    uint64_t least = l1->paged ? TC_L1_LEAST_PAGED_SHARE : TC_L1_LEAST_SHARE;
    return limit <= INT64_MAX && limit / l1->n_stripes >= least && limit >= 2 * l1->fixed_bytes;
}

int tc_l1_resize(struct tc_l1 *l1, uint64_t limit, int64_t deadline_ms)
{
    if (!is_enough(l1, limit))
        return CACHE_E_INVALID;
    uint64_t before = atomic_exchange_explicit(&l1->limit, limit, memory_order_relaxed);
    atomic_store_explicit(&l1->fair, tc_l1_fair_of(l1, limit), memory_order_relaxed);
    atomic_fetch_add_explicit(&l1->pool, (int64_t)(limit - before), memory_order_relaxed);
    /* Below nothing, the pool says what is owed. First by those who have more than their share will be. */
    int64_t owed;
    for (int step = 0; (owed = -atomic_load_explicit(&l1->pool, memory_order_relaxed)) > 0; step++) {
        uint64_t need = owed < RESIZE_STEP ? (uint64_t)owed : RESIZE_STEP;
        if (step > 0 && tc_clock_now_ms(l1->clock) > deadline_ms)
            return CACHE_E_TIMEOUT;
        bool stalled = false;
        bool came = tc_l1_collect(l1, NULL, need, tc_l1_fair(l1), &stalled) ||
                    tc_l1_collect(l1, NULL, need, 0, &stalled);
        if (!came && !stalled) /* nothing is left but what callers hold */
            return CACHE_E_TIMEOUT;
    }
    return CACHE_OK;
}
