/* Storing, the general way. Memory for what comes is drawn from the pool or had by evicting (l1_grant.c); quotas of
 * types are kept; what can't be stored still replaces what is there. */
#include "tier/l1/l1.h"

#define ATTEMPTS 6      /* other threads may take what was collected; in the end the entry is not stored */
#define NEEDS_ROOM 2    /* put_locked: memory must be collected from other stripes */
#define NEEDS_READERS 3 /* put_locked: what was evicted may still be read */
#define STARVED_MOST 16

struct put {
    struct tc_entry *e;
    uint64_t hash;           /* of its key */
    struct cache_type *type; /* its */
    uint64_t bytes;          /* it will count for that many */
    const struct tc_policy *p;
    const uint64_t *expected;
    bool advance;
    bool evenly;       /* the type was over its quota before: every stripe is to give of it */
    bool force;        /* do not look at other stripes any more */
    enum tc_index_growth growth; /* of the table, as there is memory for it */
    uint32_t old;      /* the cell of what is under the key; leaves when e comes, or before */
    struct tc_index_at old_at;
    uint32_t cell;     /* e's, when it is there */
    bool grown;        /* the table did */
    bool anywhere;     /* e need not lie where those of its size do */
    bool vacated;      /* a page or a chunk will be free when readers are through */
    uint64_t missing;  /* with NEEDS_ROOM: how much */
    unsigned starved;  /* how often an entry was evicted for want of memory in the system */
    struct tc_dropped dropped;
};

static void find_old(struct tc_stripe *s, struct put *put)
{
    put->old = 0;
    tc_index_find_at(s->index.view, put->hash, tc_entry_key(put->e), &put->old, &put->old_at);
}

static void evict(struct tc_stripe *s, struct put *put, uint32_t cell, tc_reason why)
{
    if (cell == put->old) {
        put->old = 0;
        why = TC_COUNT_l1_replaced;
    }
    tc_stripe_remove(s, cell, why, &put->dropped);
}

/* The bytes that the stripe would hold with e in old's place. */
static uint64_t bytes_after(struct tc_stripe *s, const struct put *put)
{
    uint64_t after = tc_stripe_bytes(s) + tc_stripe_entry_growth(s, put->e, put->anywhere);
    if (put->old == 0)
        return after + tc_index_growth_bytes(&s->index, put->hash, put->growth);
    bool alone = tc_cell_is_alone(put->old); /* what is housed is not to be had before readers are through */
    return alone ? after - tc_l1_entry_bytes(s->l1, tc_stripe_entry(s, put->old)) : after;
}

#define SPARSE 16 /* of chunks, free in small pieces */

/* More is free than should be, but in other sizes and in small pieces: what is there is moved together, or e goes where
 * there is room. False: nothing was done. */
static bool vacate(struct tc_stripe *s, struct put *put)
{
    bool pages = tc_stripe_pages_are_sparse(s), chunks = tc_extents_are_sparse(&s->extents, SPARSE);
    if (!pages && !chunks)
        return false;
    bool went = (pages && tc_stripe_vacate_page(s, &put->dropped) > 0) ||
                (chunks && tc_stripe_vacate_chunk(s, &put->dropped) > 0);
    find_old(s, put); /* it may have been moved, in vain too */
    put->vacated = put->vacated || went;
    if (went || put->anywhere)
        return went;
    put->anywhere = true; /* what is there is pinned, or fits nowhere else */
    return true;
}

/* Others have more than it has, and are to give of it before an entry leaves this stripe. */
static bool asks_others(struct tc_l1 *l1, const struct tc_stripe *s, const struct put *put)
{
    return !put->force && s->granted < tc_l1_fair(l1);
}

/* Memory for e comes from evicting. What to do next: CACHE_OK: something was evicted or freed; else who has to be asked
 * first. */
static int evict_one(struct tc_l1 *l1, struct tc_stripe *s, struct put *put)
{
    if (tc_stripe_reap(s, TC_REAP_SOME, &put->dropped) > 0)
        return CACHE_OK;
    if (asks_others(l1, s, put))
        return NEEDS_ROOM;
    uint64_t coming = tc_left_housed(&s->left);
    if (coming > 0 && (put->vacated || coming > put->bytes + tc_stripe_slack(s) / 2))
        return NEEDS_READERS;
    if (vacate(s, put))
        return CACHE_OK;
    uint32_t victim = tc_stripe_victim(s, NULL, 0);
    if (victim == 0)
        return s->left.n > 0 ? NEEDS_READERS : NEEDS_ROOM;
    evict(s, put, victim, TC_COUNT_l1_evicted_bytes);
    return CACHE_OK;
}

/* Evicts until the stripe has room. CACHE_OK, NEEDS_ROOM or NEEDS_READERS. */
static int make_room(struct tc_l1 *l1, struct tc_stripe *s, struct put *put)
{
    uint64_t want;
    put->growth = TC_GROW_BESIDE; /* before anything is drawn: what it does not help is of use to others */
    if (bytes_after(s, put) > s->granted + tc_l1_pool(l1))
        put->growth = TC_GROW_AT_ONCE;
    tc_l1_draw(l1, s, bytes_after(s, put));
    if (bytes_after(s, put) > s->granted && !asks_others(l1, s, put)) /* now that it has what there was */
        put->growth = TC_GROW_IF_CRAMMED;
    while ((want = bytes_after(s, put)) > s->granted) {
        put->missing = want - s->granted;
        int rc = evict_one(l1, s, put);
        if (rc != CACHE_OK)
            return rc;
    }
    return CACHE_OK;
}

/* What is evicted ahead may be of no use to the sizes that come. With an eighth free, in whatever pieces, that is so:
 * what is there is to be moved together by who needs it. */
#define FREE_MOST 8

static bool has_enough_free(const struct tc_stripe *s)
{
    return s->slab.free_bytes + s->extents.free_bytes > tc_stripe_housing(s) / FREE_MOST;
}

void tc_l1_keep_slack(struct tc_l1 *l1, struct tc_stripe *s, uint32_t keep, size_t bytes, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    for (int n = 0; n < 2 && !tc_l1_asks_others(l1, s) && !tc_stripe_has(s, bytes, tc_stripe_slack(s) / 4 * 3) &&
                    !has_enough_free(s) && !tc_readers_alone(&l1->readers); n++) {
        uint32_t victim = tc_stripe_victim(s, NULL, keep);
        if (victim == 0)
            return;
        tc_stripe_remove(s, victim, TC_COUNT_l1_evicted_bytes, dropped);
    }
}

/* The allocator has nothing, so an entry that is there makes room, whether its memory is of use or not, and e goes
 * to an extent too where it would lie in a page. */
static int make_do(struct tc_stripe *s, struct put *put)
{
    uint32_t victim = put->starved++ < STARVED_MOST ? tc_stripe_victim(s, NULL, 0) : 0;
    if (victim == 0)
        return CACHE_E_NOMEM;
    evict(s, put, victim, TC_COUNT_l1_evicted_bytes);
    put->anywhere = true;
    return NEEDS_READERS;
}

static bool is_expected(struct tc_stripe *s, const struct put *put)
{
    return put->expected == NULL || tc_generation(tc_stripe_generation(s, put->hash)) == *put->expected;
}

/* A value that is written without the lock over the one before moves the generation first: whether it did is to be seen
 * once that one cannot be written over any more. If so it is the one before that goes, and e is not stored. */
static bool is_still_expected(struct tc_stripe *s, struct put *put)
{
    if (put->expected != NULL && put->old != 0)
        tc_entry_begin_to_leave(tc_stripe_entry(s, put->old));
    if (is_expected(s, put))
        return true;
    if (put->old != 0)
        evict(s, put, put->old, TC_COUNT_l1_replaced);
    return false;
}

/* Where e can go: a gap, or the place of the one in reach that was not used for longest. The first table that is tried
 * was paid for by make_room; larger ones are, if the pool has enough. False: no memory for any. */
static bool find_lane(struct tc_l1 *l1, struct tc_stripe *s, struct put *put, uint32_t *instead)
{
    struct tc_index_room room;
    bool other_table;
    do {
        uint32_t n = s->index.n, refused = s->index.refused;
        *instead = tc_index_make_room(&s->index, l1->alloc, put->hash, put->growth, &room);
        tc_dropped_add(&put->dropped, room.before);
        tc_stripe_account(s, room.more_bytes, room.fewer_bytes);
        put->grown = put->grown || s->index.n != n;
        other_table = s->index.n != n || s->index.refused != refused;
        if (put->growth == TC_GROW_BESIDE) /* from here on somebody leaves, or a table is made by this call */
            put->growth = TC_GROW_AT_ONCE;
    } while (*instead != 0 && other_table && tc_l1_grant(s, bytes_after(s, put) - tc_stripe_bytes(s)));
    if (*instead != 0)
        *instead = tc_stripe_victim_in_reach(s, put->hash);
    return !room.failed;
}

/* Puts e into the table, where growing is paid for by make_room. CACHE_OK, CACHE_E_NOMEM, CACHE_E_TICKET. */
static int place(struct tc_l1 *l1, struct tc_stripe *s, struct put *put, struct tc_order *order, int64_t now_ms)
{
    if (!is_still_expected(s, put))
        return CACHE_E_TICKET;
    struct tc_lane lane = { put->old, &put->old_at, NULL, TC_COUNT_l1_replaced };
    if (put->old == 0) {
        lane = (struct tc_lane){ 0, NULL, NULL, TC_COUNT_l1_evicted_probe };
        if (!find_lane(l1, s, put, &lane.instead))
            return CACHE_E_NOMEM;
    }
    uint32_t cell = tc_stripe_house(s, put->e, put->anywhere, &put->dropped);
    if (cell == 0 && put->expected != NULL && put->old != 0) /* it has begun to leave */
        evict(s, put, put->old, TC_COUNT_l1_replaced);
    if (cell == 0)
        return make_do(s, put);
    put->old = 0;
    put->cell = cell;
    tc_stripe_link(s, cell, put->hash, order, now_ms, &lane, &put->dropped);
    if (lane.at != NULL) /* over what was there */
        tc_l1_grow_on(l1, s, &put->dropped);
    tc_stats_add(&put->type->stats, TC_COUNT_l1_sets, 1);
    return CACHE_OK;
}

static bool would_exceed(const struct tc_stripe *s, const struct put *put)
{
    const struct cache_type *t = put->type;
    uint64_t entries = atomic_load_explicit(&t->l1_entries, memory_order_relaxed) + 1;
    uint64_t bytes = atomic_load_explicit(&t->l1_bytes, memory_order_relaxed) + put->bytes;
    if (put->old != 0) {
        entries--;
        bytes -= tc_l1_entry_bytes(s->l1, tc_stripe_entry(s, put->old));
    }
    return (put->p->l1_quota_entries > 0 && entries > put->p->l1_quota_entries) ||
           (put->p->l1_quota_bytes > 0 && bytes > put->p->l1_quota_bytes);
}

/* Evicts entries of the type in this stripe, before e is among them too. */
static void keep_quota(struct tc_l1 *l1, struct tc_stripe *s, struct put *put, struct tc_order *order)
{
    tc_dropped_tell(&put->dropped);
    while (order->type == put->type && would_exceed(s, put) &&
           (!put->evenly || tc_l1_above_share(l1, order, put->p, 1, put->bytes))) {
        uint32_t victim = tc_stripe_victim(s, order, 0);
        if (victim == 0)
            return;
        evict(s, put, victim, TC_COUNT_l1_evicted_quota);
        tc_dropped_tell(&put->dropped);
    }
}

/* It is fresh, and was asked for later. */
static bool is_better(const struct tc_entry *old, const struct tc_entry *e, int64_t now_ms)
{
    return tc_entry_taken_ms(old) > tc_entry_taken_ms(e) && now_ms < tc_entry_fresh_until_ms(old);
}

/* *order becomes the type's own, if there is memory for it. In the shared one entries of a type with a policy of its
 * own may not stand: CACHE_OK, or what is to be done first. */
static int own_order(struct tc_l1 *l1, struct tc_stripe *s, struct put *put, struct tc_order **order)
{
    uint64_t bytes = tc_stripe_order_bytes(l1, put->type);
    if ((*order)->type == put->type)
        return CACHE_OK;
    bool granted = tc_l1_make_grant(l1, s, bytes, &put->dropped);
    *order = tc_stripe_order(s, put->type, granted);
    if ((*order)->type == put->type || !put->type->has_evict)
        return CACHE_OK;
    if (granted)
        return CACHE_E_NOMEM;
    put->missing = tc_stripe_bytes(s) + bytes - s->granted;
    return tc_left_housed(&s->left) > 0 ? NEEDS_READERS : put->force ? CACHE_E_NOMEM : NEEDS_ROOM;
}

static int put_locked(struct tc_l1 *l1, struct tc_stripe *s, struct put *put)
{
    tc_lock_assert_held(&s->lock);
    struct tc_entry *e = put->e;
    if (!is_expected(s, put))
        return CACHE_E_TICKET;
    if (put->advance) {
        tc_generation_advance(tc_stripe_generation(s, put->hash));
        put->advance = false; /* once, though this may run again */
        put->expected = NULL;
    }
    int64_t now_ms = tc_clock_coarse_ms(l1->clock);
    tc_stripe_expire(s, now_ms, &put->dropped);
    tc_l1_pay(l1, s, &put->dropped); /* before e is there: a policy may well name the newest */
    find_old(s, put);
    if (put->expected != NULL && put->old != 0 && is_better(tc_stripe_entry(s, put->old), e, now_ms))
        return TC_L1_KEPT;
    bool wants_order = put->p->l1_quota_bytes > 0 || put->p->l1_quota_entries > 0 || put->p->l1_priority != 0 ||
                       put->type->has_evict;
    /* The quota first: what it evicts, the old entry perhaps, changes what has to be paid for. */
    struct tc_order *order = tc_stripe_order(s, put->type, false);
    if (wants_order) {
        int rc = own_order(l1, s, put, &order);
        if (rc != CACHE_OK)
            return rc;
        find_old(s, put);
        keep_quota(l1, s, put, order);
    }
    int rc = make_room(l1, s, put);
    if (rc == CACHE_OK)
        rc = place(l1, s, put, order, now_ms);
    if (rc == CACHE_OK && put->grown) {
        tc_stripe_reserve(s, &put->dropped);
        tc_l1_give_idle(l1, s); /* the former table's */
    }
    if (rc != CACHE_OK || !tc_l1_is_full(l1))
        return rc;
    size_t bytes = tc_entry_copied_bytes(e, l1->node_bytes);
    if (tc_l1_houses(l1, bytes))
        tc_l1_keep_slack(l1, s, put->cell, bytes, &put->dropped);
    return CACHE_OK;
}

static bool forget(struct tc_l1 *l1, const struct put *put);

/* The entry as it will lie in L1, or be copied there: itself, or if it is lent and will be alone, a copy. NULL: no
 * memory. */
static struct tc_entry *to_be_stored(struct tc_l1 *l1, struct tc_entry *e)
{
    if (!tc_entry_is_lent(e) || tc_l1_houses(l1, tc_entry_copied_bytes(e, l1->node_bytes)))
        return e;
    return tc_entry_copy_alone(l1->alloc, l1->node_bytes, e);
}

static uint64_t stored_bytes(struct tc_l1 *l1, const struct tc_entry *e)
{
    size_t bytes = tc_entry_copied_bytes(e, l1->node_bytes);
    if (!tc_l1_houses(l1, bytes))
        return tc_l1_entry_bytes(l1, e);
    size_t in_page = bytes <= TC_SLAB_MOST ? tc_slab_round(bytes) : 0;
    size_t in_extent = bytes > TC_PAGED_MOST || l1->thin ? tc_extents_round(bytes) : 0;
    return in_page > in_extent ? in_page : in_extent; /* where it will lie is not known yet */
}

static int try_to_put(struct tc_l1 *l1, struct tc_stripe *s, struct put *put)
{
    tc_lock_acquire(&s->lock);
    int rc = put_locked(l1, s, put);
    tc_l1_leave(l1, s, &put->dropped);
    return rc;
}

static int put_and_wait(struct tc_l1 *l1, struct tc_stripe *s, struct put *put)
{
    int rc;
    while ((rc = try_to_put(l1, s, put)) == NEEDS_READERS) {
        put->vacated = false;
        if (!tc_limbo_pass(l1))
            return CACHE_E_NOMEM;
    }
    return rc;
}

static int put_anywhere(struct tc_l1 *l1, struct tc_stripe *s, struct put *put)
{
    int rc = NEEDS_ROOM;
    bool stalled = false;
    for (int attempt = 0; rc == NEEDS_ROOM && attempt < ATTEMPTS; attempt++) {
        rc = put_and_wait(l1, s, put);
        if (rc != NEEDS_ROOM)
            break;
        /* First from the rich; then, for an entry larger than any share, from everybody; then its own. */
        bool large = put->bytes > tc_l1_fair(l1) / 2;
        bool came = tc_l1_collect(l1, s, put->missing, attempt == 0 && !large ? tc_l1_fair(l1) : 0, &stalled);
        put->force = !came || attempt + 2 >= ATTEMPTS;
        rc = stalled && !came ? CACHE_E_NOMEM : rc;
    }
    return rc;
}

static int put_fitting(struct tc_l1 *l1, struct put *put)
{
    struct tc_l1_ref ref = { put->hash, tc_entry_key(put->e) };
    /* It was lowered: what is too much is not to leave in one hold of this stripe's lock. */
    if (tc_l1_is_far_over_quota(put->type, put->p) && is_expected(tc_l1_stripe(l1, put->hash), put))
        tc_l1_trim(l1, put->type, put->p, ref, true);
    put->evenly = tc_l1_is_over_quota(put->type, put->p);
    int rc = put_anywhere(l1, tc_l1_stripe(l1, put->hash), put);
    if (rc == NEEDS_ROOM || rc == CACHE_E_NOMEM) {
        int why = rc == NEEDS_ROOM ? CACHE_E_TOO_LARGE : CACHE_E_NOMEM;
        return forget(l1, put) ? why : CACHE_E_TICKET;
    }
    if (rc == CACHE_OK && put->evenly) /* else whole stripes would lose even their newest, and others nothing */
        tc_l1_trim(l1, put->type, put->p, ref, true);
    if (rc == CACHE_OK && tc_l1_is_over_quota(put->type, put->p))
        tc_l1_trim(l1, put->type, put->p, ref, false);
    return rc;
}

int tc_l1_put(struct tc_l1 *l1, struct tc_entry *e, const struct tc_policy *p, const uint64_t *expected, bool advance)
{
    if (tc_entry_flags(e) & TC_ENTRY_MORE)
        tc_l1_know(l1, tc_entry_more(e)->type);
    struct put put = { .e = e, .hash = tc_entry_hash(e, &l1->hasher), .type = tc_l1_type_of(l1, e),
                       .bytes = stored_bytes(l1, e), .p = p, .expected = expected, .advance = advance };
    bool fits = tc_entry_len(e) <= p->l1_max_value_bytes && put.bytes <= tc_l1_limit(l1) - l1->fixed_bytes &&
                (p->l1_quota_bytes == 0 || put.bytes <= p->l1_quota_bytes);
    if (!fits) {
        if (!forget(l1, &put))
            return CACHE_E_TICKET;
        tc_stats_add(&put.type->stats, TC_COUNT_l1_too_large, 1);
        return CACHE_E_TOO_LARGE;
    }
    struct tc_entry *stored = tc_limbo_drain(l1) ? to_be_stored(l1, e) : NULL;
    if (stored == NULL)
        return forget(l1, &put) ? CACHE_E_NOMEM : CACHE_E_TICKET;
    put.e = stored;
    int rc = put_fitting(l1, &put);
    if (stored != e)
        tc_l1_drop(l1, stored);
    return rc;
}

/* A value that L1 cannot hold still replaces the one that it holds. False: its ticket is void, nothing changed. */
static bool forget(struct tc_l1 *l1, const struct put *put)
{
    struct tc_l1_ref ref = { put->hash, tc_entry_key(put->e) };
    struct tc_stripe *s = tc_l1_stripe(l1, put->hash);
    struct tc_dropped dropped = { .first = NULL };
    tc_lock_acquire(&s->lock);
    bool stands = is_expected(s, put);
    if (stands) {
        if (put->advance)
            tc_generation_advance(tc_stripe_generation(s, put->hash));
        tc_l1_remove_locked(s, ref, TC_COUNT_l1_replaced, &dropped);
    }
    tc_l1_leave(l1, s, &dropped);
    return stands;
}
