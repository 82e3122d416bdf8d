/* Storing, and the sharing of memory between stripes.
 *
 * A stripe may use what it was granted. Grants come from the pool, until it is empty; from then on memory for a new
 * entry comes from evicting. Which stripe evicts: one that has less than its fair share takes from one that has more,
 * and otherwise a stripe evicts its own, so that shares drift towards equal and a large entry, which needs more than
 * any share, can be had by taking from many. At no point are two stripes locked at once. */
#include <string.h>

#include "tier/l1/l1.h"

#define GRANT_STEP 4096 /* drawn from the pool at a time, so that small entries do not meet there each time */
#define ATTEMPTS 6      /* other threads may take what was collected; in the end the entry is not stored */
#define NEEDS_ROOM 2    /* put_locked: memory must be collected from other stripes */

/* Takes between 1 and most bytes from the pool, or 0. */
static uint64_t take_from_pool(struct tc_l1 *l1, uint64_t most)
{
    uint64_t pool = atomic_load_explicit(&l1->pool, memory_order_relaxed), take;
    do
        take = pool < most ? pool : most;
    while (take > 0 && !atomic_compare_exchange_weak_explicit(&l1->pool, &pool, pool - take, memory_order_relaxed,
                                                              memory_order_relaxed));
    return take;
}

static void set_granted(struct tc_stripe *s, uint64_t granted)
{
    atomic_store_explicit(&s->granted, granted, memory_order_relaxed);
}

/* Raises the grant towards want as far as the pool goes. */
static void draw(struct tc_l1 *l1, struct tc_stripe *s, uint64_t want)
{
    if (want <= s->granted)
        return;
    uint64_t missing = want - s->granted;
    set_granted(s, s->granted + take_from_pool(l1, missing > GRANT_STEP ? missing : GRANT_STEP));
}

bool tc_l1_grant(struct tc_stripe *s, uint64_t more)
{
    tc_lock_assert_held(&s->lock);
    draw(s->l1, s, tc_stripe_bytes(s) + more);
    return tc_stripe_bytes(s) + more <= s->granted;
}

static bool over_quota(const struct cache_type *t, const struct tc_policy *p)
{
    return (p->l1_quota_entries > 0 &&
            atomic_load_explicit(&t->l1_entries, memory_order_relaxed) > p->l1_quota_entries) ||
           (p->l1_quota_bytes > 0 && atomic_load_explicit(&t->l1_bytes, memory_order_relaxed) > p->l1_quota_bytes);
}

struct put {
    struct tc_entry *e;
    struct cache_type *type; /* its */
    uint64_t bytes;          /* its */
    const struct tc_policy *p;
    const uint64_t *expected;
    bool advance;
    bool evenly;       /* the type was over its quota before: every stripe is to give of it */
    bool force;        /* do not look at other stripes any more */
    bool thrift;       /* there is no memory but for the evicting: the table grows only if it must */
    struct tc_entry *old; /* what is under the key; leaves when e comes, or before */
    uint64_t missing;     /* with NEEDS_ROOM: how much */
    struct tc_dropped dropped;
};

static void drop_old(struct tc_stripe *s, struct put *put)
{
    if (put->old != NULL)
        tc_stripe_remove(s, put->old, TC_COUNT_l1_replaced, &put->dropped);
    put->old = NULL;
}

/* The bytes that the stripe would hold with e in old's place. */
static uint64_t bytes_after(struct tc_stripe *s, const struct put *put)
{
    if (put->old != NULL)
        return tc_stripe_bytes(s) + put->bytes - tc_l1_entry_bytes(s->l1, put->old);
    return tc_stripe_bytes(s) + put->bytes + tc_index_growth_bytes(&s->index, put->e->hash, put->thrift);
}

/* Evicts until the stripe has room. CACHE_OK or NEEDS_ROOM. */
static int make_room(struct tc_l1 *l1, struct tc_stripe *s, struct put *put)
{
    uint64_t want;
    put->thrift = false;
    draw(l1, s, bytes_after(s, put));
    put->thrift = bytes_after(s, put) > s->granted;
    while ((want = bytes_after(s, put)) > s->granted) {
        put->missing = want - s->granted;
        if (!put->force && s->granted < l1->fair)
            return NEEDS_ROOM;
        struct tc_entry *victim = tc_stripe_victim(s, NULL, NULL);
        if (victim == NULL)
            return NEEDS_ROOM;
        if (victim == put->old)
            drop_old(s, put);
        else
            tc_stripe_remove(s, victim, TC_COUNT_l1_evicted_bytes, &put->dropped);
    }
    return CACHE_OK;
}

/* Puts e into the table, where growing is paid for by make_room. CACHE_OK, CACHE_E_NOMEM. */
static int place(struct tc_l1 *l1, struct tc_stripe *s, struct put *put, struct tc_order *order, int64_t now_ms)
{
    struct tc_entry *instead = put->old;
    tc_reason why = TC_COUNT_l1_replaced;
    if (instead == NULL) {
        uint64_t grown_bytes = 0;
        bool failed;
        instead = tc_index_make_room(&s->index, l1->alloc, put->e->hash, put->thrift, &grown_bytes,
                                      &put->dropped.table, &failed);
        if (failed)
            return CACHE_E_NOMEM;
        tc_stripe_account(s, grown_bytes, 0);
        why = TC_COUNT_l1_evicted_probe;
    }
    put->old = NULL;
    tc_stripe_link(s, put->e, order, now_ms, instead, why, &put->dropped);
    tc_stats_add(&put->type->stats, TC_COUNT_l1_sets, 1);
    return CACHE_OK;
}

/* Sees to it that more bytes are within the grant, by drawing or evicting. False: nothing is left to evict. */
static bool make_grant(struct tc_l1 *l1, struct tc_stripe *s, uint64_t more, struct tc_dropped *dropped)
{
    struct tc_entry *victim;
    draw(l1, s, tc_stripe_bytes(s) + more);
    while (tc_stripe_bytes(s) + more > s->granted && (victim = tc_stripe_victim(s, NULL, NULL)) != NULL)
        tc_stripe_remove(s, victim, TC_COUNT_l1_evicted_bytes, dropped);
    return tc_stripe_bytes(s) + more <= s->granted;
}

static bool would_exceed(const struct tc_l1 *l1, const struct put *put)
{
    const struct cache_type *t = put->type;
    uint64_t entries = atomic_load_explicit(&t->l1_entries, memory_order_relaxed) + 1;
    uint64_t bytes = atomic_load_explicit(&t->l1_bytes, memory_order_relaxed) + put->bytes;
    if (put->old != NULL) {
        entries--;
        bytes -= tc_l1_entry_bytes(l1, put->old);
    }
    return (put->p->l1_quota_entries > 0 && entries > put->p->l1_quota_entries) ||
           (put->p->l1_quota_bytes > 0 && bytes > put->p->l1_quota_bytes);
}

/* The order has more than its stripe's part of the quota, counting e, which is to come, if it is not NULL. A single
 * entry never is too much. */
static bool above_share(const struct tc_l1 *l1, const struct tc_order *o, const struct tc_policy *p,
                        const struct tc_entry *e)
{
    uint64_t entries = o->count, bytes = o->bytes, n = l1->n_stripes;
    if (e != NULL) {
        entries++;
        bytes += tc_l1_entry_bytes(l1, e);
    }
    return entries > 1 && ((p->l1_quota_entries > 0 && entries > (p->l1_quota_entries - 1) / n + 1) ||
                           (p->l1_quota_bytes > 0 && bytes > p->l1_quota_bytes / n));
}

/* Evicts entries of the type in this stripe, before e is among them: a policy may well name the newest. */
static void keep_quota(struct tc_l1 *l1, struct tc_stripe *s, struct put *put, struct tc_order *order)
{
    while (order->type == put->type && would_exceed(l1, put) &&
           (!put->evenly || above_share(l1, order, put->p, put->e))) {
        struct tc_entry *victim = tc_stripe_victim(s, order, NULL);
        if (victim == NULL)
            return;
        if (victim == put->old)
            drop_old(s, put);
        else
            tc_stripe_remove(s, victim, TC_COUNT_l1_evicted_quota, &put->dropped);
    }
}

static int put_locked(struct tc_l1 *l1, struct tc_stripe *s, struct put *put)
{
    tc_lock_assert_held(&s->lock);
    struct tc_entry *e = put->e;
    struct tc_gate *gate = tc_stripe_gate(s, e->hash);
    if (put->expected != NULL && tc_gate_generation(gate) != *put->expected)
        return CACHE_E_TICKET;
    if (put->advance) {
        tc_gate_advance(gate);
        put->advance = false; /* once, though this may run again */
        put->expected = NULL;
    }
    int64_t now_ms = tc_clock_coarse_ms(l1->clock);
    tc_stripe_expire(s, now_ms, &put->dropped);
    struct cache_slice key = { tc_entry_key(e), e->key_len };
    put->old = tc_stripe_find(s, e->hash, key);
    if (put->expected != NULL && put->old != NULL && tc_entry_taken_ms(put->old) > tc_entry_taken_ms(e) &&
        now_ms < tc_entry_fresh_until_ms(put->old))
        return TC_L1_KEPT;
    bool has_quota = put->p->l1_quota_bytes > 0 || put->p->l1_quota_entries > 0;
    /* The quota first: what it evicts, the old entry perhaps, changes what has to be paid for. */
    struct tc_order *order = tc_stripe_order(s, put->type, false);
    if (has_quota) {
        if (order->type != put->type)
            order = tc_stripe_order(s, put->type, make_grant(l1, s, tc_stripe_order_bytes(l1), &put->dropped));
        put->old = tc_stripe_find(s, e->hash, key);
        keep_quota(l1, s, put, order);
    }
    int rc = make_room(l1, s, put);
    return rc == CACHE_OK ? place(l1, s, put, order, now_ms) : rc;
}

/* Gives up to need bytes of s's grant back: first what lies idle, then by evicting, but not below floor. */
static uint64_t give_locked(struct tc_l1 *l1, struct tc_stripe *s, uint64_t need, uint64_t floor,
                            struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    uint64_t given = 0;
    while (given < need && s->granted > floor) {
        uint64_t idle = s->granted - tc_stripe_bytes(s);
        if (idle > 0) {
            uint64_t above = s->granted - floor, give = need - given;
            give = give < idle ? give : idle;
            give = give < above ? give : above;
            set_granted(s, s->granted - give);
            given += give;
            continue;
        }
        struct tc_entry *victim = tc_stripe_victim(s, NULL, NULL);
        if (victim == NULL)
            break;
        tc_stripe_remove(s, victim, TC_COUNT_l1_evicted_bytes, dropped);
    }
    atomic_fetch_add_explicit(&l1->pool, given, memory_order_relaxed);
    return given;
}

/* Collects need bytes from other stripes into the pool: from those above floor only. True if anything came. */
static bool collect(struct tc_l1 *l1, const struct tc_stripe *except, uint64_t need, uint64_t floor)
{
    uint64_t got = 0;
    size_t from = atomic_fetch_add_explicit(&l1->next_stripe, 1, memory_order_relaxed);
    for (size_t i = 0; i < l1->n_stripes && got < need; i++) {
        struct tc_stripe *s = &l1->stripes[(from + i) % l1->n_stripes];
        if (s == except || atomic_load_explicit(&s->granted, memory_order_relaxed) <= floor)
            continue;
        struct tc_dropped dropped = { NULL, NULL };
        tc_lock_acquire(&s->lock);
        got += give_locked(l1, s, need - got, floor, &dropped);
        tc_lock_release(&s->lock);
        tc_l1_give_up(l1, &dropped);
    }
    return got > 0;
}

/* The type's order, made if entries of it may lie here from before it had a quota, and if that can be paid for. */
static struct tc_order *order_for_trimming(struct tc_l1 *l1, struct tc_stripe *s, const struct cache_type *t,
                                           struct tc_dropped *dropped)
{
    struct tc_order *order = tc_stripe_order(s, t, false);
    if (order->type == t || s->shared.count == 0)
        return order;
    return tc_stripe_order(s, t, make_grant(l1, s, tc_stripe_order_bytes(l1), dropped));
}

static void trim_locked(struct tc_l1 *l1, struct tc_stripe *s, const struct tc_entry *keep, const struct tc_policy *p,
                        bool to_share, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    struct cache_type *t = tc_l1_type_of(l1, keep);
    struct tc_order *order = order_for_trimming(l1, s, t, dropped);
    while (order->type == t && over_quota(t, p) && (!to_share || above_share(l1, order, p, NULL))) {
        struct tc_entry *victim = tc_stripe_victim(s, order, keep);
        if (victim == NULL)
            break;
        tc_stripe_remove(s, victim, TC_COUNT_l1_evicted_quota, dropped);
    }
}

/* Evicts entries of a type over its quota wherever they are; with to_share only from stripes with more than theirs. */
static void trim_type(struct tc_l1 *l1, const struct tc_entry *keep, const struct tc_policy *p, bool to_share)
{
    size_t from = atomic_fetch_add_explicit(&l1->next_stripe, 1, memory_order_relaxed);
    for (size_t i = 0; i < l1->n_stripes && over_quota(tc_l1_type_of(l1, keep), p); i++) {
        struct tc_stripe *s = &l1->stripes[(from + i) % l1->n_stripes];
        struct tc_dropped dropped = { NULL, NULL };
        tc_lock_acquire(&s->lock);
        trim_locked(l1, s, keep, p, to_share, &dropped);
        tc_lock_release(&s->lock);
        tc_l1_give_up(l1, &dropped);
    }
}

static bool forget(struct tc_l1 *l1, struct tc_entry *e, const uint64_t *expected, bool advance);

int tc_l1_put(struct tc_l1 *l1, struct tc_entry *e, const struct tc_policy *p, const uint64_t *expected, bool advance)
{
    if (e->flags & TC_ENTRY_MORE)
        tc_l1_know(l1, tc_entry_more(e)->type);
    struct cache_type *t = tc_l1_type_of(l1, e);
    uint64_t bytes = tc_l1_entry_bytes(l1, e);
    bool fits = e->len <= p->l1_max_value_bytes && bytes <= l1->limit - l1->fixed_bytes &&
                (p->l1_quota_bytes == 0 || bytes <= p->l1_quota_bytes);
    if (!fits) {
        if (!forget(l1, e, expected, advance))
            return CACHE_E_TICKET;
        tc_stats_add(&t->stats, TC_COUNT_l1_too_large, 1);
        return CACHE_E_TOO_LARGE;
    }
    if (!tc_limbo_drain(l1) || !tc_index_takes(e))
        return forget(l1, e, expected, advance) ? CACHE_E_NOMEM : CACHE_E_TICKET;
    struct tc_stripe *s = tc_l1_stripe(l1, e->hash);
    struct put put = { .e = e, .type = t, .bytes = bytes, .p = p, .expected = expected, .advance = advance,
                       .evenly = over_quota(t, p) };
    int rc = NEEDS_ROOM;
    for (int attempt = 0; rc == NEEDS_ROOM && attempt < ATTEMPTS; attempt++) {
        tc_lock_acquire(&s->lock);
        rc = put_locked(l1, s, &put);
        tc_lock_release(&s->lock);
        tc_l1_give_up(l1, &put.dropped);
        if (rc != NEEDS_ROOM)
            break;
        /* First from the rich; then, for an entry larger than any share, from everybody; then its own. */
        bool large = bytes > l1->fair / 2;
        put.force = !collect(l1, s, put.missing, attempt == 0 && !large ? l1->fair : 0) || attempt + 2 >= ATTEMPTS;
    }
    if (rc == NEEDS_ROOM)
        return forget(l1, e, put.expected, put.advance) ? CACHE_E_TOO_LARGE : CACHE_E_TICKET;
    if (rc == CACHE_OK && put.evenly) /* else whole stripes would lose even their newest, and others nothing */
        trim_type(l1, e, p, true);
    if (rc == CACHE_OK && over_quota(t, p))
        trim_type(l1, e, p, false);
    return rc;
}

static void remove_locked(struct tc_stripe *s, struct tc_l1_ref ref, tc_reason why, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    struct tc_entry *e = tc_stripe_find(s, ref.hash, ref.key);
    if (e != NULL)
        tc_stripe_remove(s, e, why, dropped);
}

/* A value that L1 cannot hold still replaces the one that it holds. False: its ticket is void, nothing changed. */
static bool forget(struct tc_l1 *l1, struct tc_entry *e, const uint64_t *expected, bool advance)
{
    struct tc_l1_ref ref = { e->hash, { tc_entry_key(e), e->key_len } };
    struct tc_stripe *s = tc_l1_stripe(l1, e->hash);
    struct tc_dropped dropped = { NULL, NULL };
    tc_lock_acquire(&s->lock);
    struct tc_gate *gate = tc_stripe_gate(s, e->hash);
    bool stands = expected == NULL || tc_gate_generation(gate) == *expected;
    if (stands) {
        if (advance)
            tc_gate_advance(gate);
        remove_locked(s, ref, TC_COUNT_l1_replaced, &dropped);
    }
    tc_lock_release(&s->lock);
    tc_l1_give_up(l1, &dropped);
    return stands;
}

void tc_l1_invalidate_locked(struct tc_stripe *s, struct tc_l1_ref ref, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    tc_gate_advance(tc_stripe_gate(s, ref.hash));
    remove_locked(s, ref, TC_COUNT_l1_invalidated, dropped);
}

void tc_l1_invalidate(struct tc_l1 *l1, struct tc_l1_ref ref)
{
    struct tc_stripe *s = tc_l1_stripe(l1, ref.hash);
    struct tc_dropped dropped = { NULL, NULL };
    tc_lock_acquire(&s->lock);
    tc_l1_invalidate_locked(s, ref, &dropped);
    tc_lock_release(&s->lock);
    tc_l1_give_up(l1, &dropped);
}

void tc_l1_void(struct tc_l1 *l1, uint64_t hash)
{
    struct tc_stripe *s = tc_l1_stripe(l1, hash);
    tc_lock_acquire(&s->lock);
    tc_gate_advance(tc_stripe_gate(s, hash));
    tc_lock_release(&s->lock);
}

static void clear_locked(struct tc_stripe *s, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    for (size_t i = 0; i < TC_GATES; i++)
        tc_gate_advance(&s->gates[i]);
    for (size_t i = 0; i < tc_index_lanes(&s->index); i++)
        if (tc_index_at(&s->index, i) != NULL)
            tc_stripe_remove(s, tc_index_at(&s->index, i), TC_COUNT_l1_cleared, dropped);
}

void tc_l1_clear(struct tc_l1 *l1)
{
    for (size_t i = 0; i < l1->n_stripes; i++) {
        struct tc_stripe *s = &l1->stripes[i];
        struct tc_dropped dropped = { NULL, NULL };
        tc_lock_acquire(&s->lock);
        clear_locked(s, &dropped);
        tc_lock_release(&s->lock);
        tc_l1_give_up(l1, &dropped);
    }
}
