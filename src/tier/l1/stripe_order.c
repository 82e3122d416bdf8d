/* The orders of a stripe: which entry stands in which, how recently they were used, and which is to leave next. Each
 * has a policy: the cache's, or that of its type. */
#include <stdlib.h>

#include "tier/l1/l1.h"

/* What a policy allocates counts like everything else; it gets it while the stripe has it to spare. */
static void *env_alloc(void *ctx, size_t n)
{
    struct tc_stripe *s = ctx;
    if (!tc_l1_grant(s, tc_heap_bytes(n)))
        return NULL;
    void *p = tc_alloc(s->l1->alloc, n);
    if (p != NULL) {
        s->policy_bytes += tc_heap_bytes(n);
        tc_stripe_account(s, tc_heap_bytes(n), 0);
    }
    return p;
}

static void env_free(void *ctx, void *p, size_t n)
{
    struct tc_stripe *s = ctx;
    tc_free(s->l1->alloc, p, n);
    s->policy_bytes -= tc_heap_bytes(n);
    tc_stripe_account(s, 0, tc_heap_bytes(n));
}

void tc_stripe_init_env(struct tc_stripe *s)
{
    s->env = (struct cache_evict_env){ s, env_alloc, env_free, &s->index.view->cells };
}

static uint32_t uses_of(const struct tc_stripe *s)
{
    return atomic_load_explicit(&s->uses, memory_order_relaxed);
}

#define ROUND_LEAST 16
#define ROUNDS 8 /* in the time in which an order changes all its entries */

void tc_stripe_begin_order(struct tc_stripe *s, struct tc_order *o)
{
    o->round = o->to_come = ROUND_LEAST;
    o->began = o->last = uses_of(s);
    if (o->evict->begin != NULL)
        o->evict->begin(o->state, &s->env);
    uint8_t stamp = atomic_load_explicit(&s->index.view->stamp, memory_order_relaxed);
    if (o->evict->tick != NULL && stamp > 0)
        o->evict->tick(o->state, stamp);
}

void tc_stripe_end_order(struct tc_order *o)
{
    if (o->evict->end != NULL)
        o->evict->end(o->state);
}

static struct tc_use *use_of(const struct tc_stripe *s, uint32_t cell)
{
    return (struct tc_use *)(void *)((char *)tc_stripe_entry(s, cell) - sizeof(struct tc_use));
}

/* It is stored, or was hit with the lock held. */
static inline void note_use(struct tc_stripe *s, const struct tc_order *o, uint32_t cell)
{
    if (o->evict->flags & CACHE_EVICT_LOCKED_HITS)
        use_of(s, cell)->at = uses_of(s);
}

/* So many entries came as were to come in this round. */
static TC_APART void begin_round(const struct tc_stripe *s, struct tc_order *o)
{
    uint32_t uses = uses_of(s);
    uint64_t now = ((uint64_t)(uses - o->began) << 16) / o->round;
    o->interval = o->interval > 0 ? (o->interval + now) / 2 : now;
    o->round = o->count / ROUNDS > ROUND_LEAST ? (uint32_t)(o->count / ROUNDS) : ROUND_LEAST;
    o->to_come = o->round;
    o->began = uses;
}

/* An entry came. */
static inline void came(struct tc_stripe *s, struct tc_order *o, uint32_t cell)
{
    o->last = uses_of(s);
    if (--o->to_come == 0)
        begin_round(s, o);
    note_use(s, o, cell);
}

void tc_stripe_enter_order(struct tc_stripe *s, struct tc_order *o, uint32_t cell, uint64_t hash, uint64_t bytes)
{
    o->count++;
    o->bytes += bytes;
    came(s, o, cell);
    o->evict->insert(o->state, cell, hash, bytes);
}

struct tc_order *tc_stripe_order_of_type(struct tc_stripe *s, uint32_t id)
{
    for (struct tc_order *o = s->shared.next; o != NULL; o = o->next)
        if (o->type->id == id)
            return o;
    return &s->shared;
}

struct tc_order *tc_stripe_order_of(struct tc_stripe *s, const struct tc_entry *e)
{
    return tc_stripe_order_of_type(s, tc_entry_type_id(e));
}

/* An entry is about to leave its place. */
static inline void leave_place(struct tc_order *o, uint32_t cell)
{
    struct tc_passed *p = &o->passed;
    uint32_t n = 0;
    if (p->n == 0)
        return;
    for (uint32_t i = 0; i < p->n; i++)
        if (p->cells[i] != cell)
            p->cells[n++] = p->cells[i];
    p->n = n;
    if (n == 0)
        p->room = 0;
}

void tc_stripe_leave_order(struct tc_order *o, uint32_t cell, uint64_t bytes)
{
    leave_place(o, cell);
    o->evict->remove(o->state, cell);
    o->count--;
    o->bytes -= bytes;
}

void tc_stripe_renew_in_order(struct tc_stripe *s, struct tc_order *o, uint32_t cell, uint64_t from_bytes,
                              uint64_t hash, uint64_t bytes)
{
    leave_place(o, cell);
    o->evict->remove(o->state, cell);
    o->bytes += bytes - from_bytes;
    came(s, o, cell);
    o->evict->insert(o->state, cell, hash, bytes);
}

bool tc_stripe_replace_in_order(struct tc_stripe *s, struct tc_order *o, uint32_t from, uint64_t from_bytes,
                                uint32_t to, uint64_t hash, uint64_t bytes)
{
    if (o->evict->replace == NULL || tc_stripe_order_of(s, tc_stripe_entry(s, from)) != o)
        return false;
    leave_place(o, from);
    o->bytes += bytes - from_bytes;
    note_use(s, o, to);
    o->evict->replace(o->state, from, to, hash, bytes);
    return true;
}

/* A tick, the step by which recency is told apart: when a 64th of the entries was stored, or a 16th of them was hit.
 * Coarse enough that what is hit all the time is marked seldom, fine enough that those near the end of their order are
 * where they belong. */
#define STORED 64
#define MARKED 16

#define MARKS_KEPT 16

/* How many uses a tick has: as it was with the last few, if there were any. */
static void measure_tick(struct tc_stripe *s)
{
    int64_t uses = (int64_t)(uses_of(s) - s->ticked) << 8, before = s->uses_of_tick;
    uint32_t stamp = atomic_load_explicit(&s->index.view->stamp, memory_order_relaxed);
    s->uses_of_tick = stamp > 0 ? before + (uses - before) / 4 : (int64_t)(s->index.count / STORED + 1) << 8;
    s->ticked = uses_of(s);
}

static TC_APART void set_stamp(struct tc_stripe *s, uint8_t stamp)
{
    uint32_t kept = s->index.count / 256;
    measure_tick(s);
    s->toward_tick = 0;
    struct tc_index_view *view = s->index.view;
    atomic_store_explicit(&view->marks_kept, (uint8_t)(kept < MARKS_KEPT ? kept : MARKS_KEPT), memory_order_relaxed);
    atomic_store_explicit(&view->stamp, stamp, memory_order_relaxed);
    if (s->l1->stamped_hits)
        atomic_store_explicit(&view->hits, TC_HITS_STAMPED, memory_order_relaxed);
    for (struct tc_order *o = &s->shared; o != NULL; o = o->next) {
        tc_stripe_forget_passed(o);
        if (o->evict->tick != NULL)
            o->evict->tick(o->state, stamp);
    }
}

/* Nothing has to leave before a quarter of the memory has been filled with new entries: time enough for those that are
 * used to be told from those that are not. Until then hits are not marked: no entry carries another stamp than 0. */
static bool is_eviction_far(const struct tc_stripe *s)
{
    const struct tc_l1 *l1 = s->l1;
    int64_t pool = atomic_load_explicit(&l1->pool, memory_order_relaxed);
    return s->shared.next == NULL && pool > (int64_t)(tc_l1_limit(l1) / 4);
}

static void used(struct tc_stripe *s, uint32_t n, uint32_t share)
{
    uint32_t uses = uses_of(s);
    uint8_t stamp = atomic_load_explicit(&s->index.view->stamp, memory_order_relaxed);
    atomic_store_explicit(&s->uses, uses + n, memory_order_relaxed);
    s->toward_tick += n * share;
    if (stamp == 0 ? !is_eviction_far(s) : s->toward_tick > s->index.count)
        set_stamp(s, stamp < UINT8_MAX ? stamp + 1 : 1);
}

void tc_stripe_stored(struct tc_stripe *s)
{
    tc_lock_assert_held(&s->lock);
    used(s, 1, STORED);
}

void tc_stripe_marked(struct tc_stripe *s, uint32_t n)
{
    tc_lock_assert_held(&s->lock);
    used(s, n, MARKED);
}

void tc_stripe_hit(struct tc_stripe *s, uint32_t cell)
{
    tc_lock_assert_held(&s->lock);
    struct tc_order *o = tc_stripe_order_of(s, tc_stripe_entry(s, cell));
    if (!(o->evict->flags & CACHE_EVICT_LOCKED_HITS)) /* what was hit had this key before */
        return;
    bool first = (int32_t)(use_of(s, cell)->at - s->ticked) < 0; /* in this tick, as where stamps tell it */
    used(s, 1, first ? MARKED : 0);
    note_use(s, o, cell);
    o->evict->hit(o->state, cell, tc_cell(&s->index.view->cells, cell));
}

size_t tc_stripe_order_bytes(const struct tc_l1 *l1, const struct cache_type *t)
{
    return tc_heap_bytes(sizeof(struct tc_order)) + tc_heap_bytes(tc_l1_evict_of(l1, t)->state_bytes);
}

/* ---- how long ago ----
 *
 * How long an order's victim was not used, in units that are the same for all orders of a stripe whatever their
 * policies: the stripe's uses, which are stores, of whichever type, and the hits that it is told of.
 *
 * Hits that are told with the lock held are noted one by one. A policy that sees stamps says how many ticks ago its
 * victim was used, as far as it can tell; how many uses a tick has is known. Of all others nobody knows when their
 * entries were hit, and when the victim was stored says little: some give up newcomers early so that others may stay,
 * and next to an order by recency such an order would always seem to be the one in use. What can be compared with a
 * time for which something was not used is how long entries stay, on average: as many as there are, times the uses from
 * one insertion to the next. */

#define MINOR_BITS 24 /* below the uses: what tells apart those of one tick */
#define SORTED_BITS 32 /* the same where no priority is to come on top: some weeks */
#define USES_MOST (INT64_C(1) << 30)
#define AGES_END 127 /* what is longer ago lru does not tell apart */

/* uses, and in one tick the time since it was stored, in so many bits. */
static int64_t unused_for(const struct tc_stripe *s, uint32_t cell, int64_t uses, unsigned bits)
{
    int64_t stored_ms = tc_clock_coarse_ms(s->l1->clock) - tc_entry_taken_ms(tc_stripe_entry(s, cell));
    int64_t most = (INT64_C(1) << bits) - 1;
    stored_ms = stored_ms > 0 ? stored_ms : 0;
    return (uses < USES_MOST ? uses : USES_MOST) * (most + 1) + (stored_ms < most ? stored_ms : most);
}

/* If the round under way is slower than those before, it is that which counts. Nothing is there for less time than
 * nothing came. */
static int64_t stay(const struct tc_stripe *s, const struct tc_order *o)
{
    uint64_t now = ((uint64_t)(uses_of(s) - o->began) << 16) / (o->round - o->to_come + 1);
    uint64_t interval = o->interval > now ? o->interval : now, idle = uses_of(s) - o->last;
    uint64_t uses = interval <= UINT32_MAX ? o->count * interval >> 16 : o->count * (interval >> 16);
    return (int64_t)(uses > idle ? uses : idle);
}

static int64_t uses_since(const struct tc_stripe *s, const struct tc_order *o, uint32_t victim)
{
    if (o->evict->flags & CACHE_EVICT_LOCKED_HITS)
        return uses_of(s) - use_of(s, victim)->at;
    if (o->evict->age == NULL)
        return stay(s, o);
    int64_t age = o->evict->age(o->state), uses = age * s->uses_of_tick >> 8, most = stay(s, o);
    return age < AGES_END || uses > most ? uses : most;
}

/* The type's entries in the shared order: those that were not used for longest first, or, without memory to sort them,
 * as they lie in the table. */
struct used_entry {
    int64_t ago;
    uint32_t cell;
};

static int longer_ago_first(const void *a, const void *b)
{
    int64_t x = ((const struct used_entry *)a)->ago, y = ((const struct used_entry *)b)->ago;
    return (x < y) - (x > y);
}

/* How long ago, in uses or in ticks, as far as that can be told of an entry of the shared order. Of those with a stamp
 * it is known when they were hit, of the others only when they were stored. */
static int64_t last_used(const struct tc_stripe *s, uint32_t cell)
{
    const _Atomic uint8_t *at = tc_cell(&s->index.view->cells, cell);
    if (s->l1->locked_hits)
        return uses_of(s) - use_of(s, cell)->at;
    unsigned stamp = s->l1->stamped_hits ? atomic_load_explicit(at, memory_order_relaxed) : 0;
    unsigned now = atomic_load_explicit(&s->index.view->stamp, memory_order_relaxed);
    return stamp != 0 ? (now + UINT8_MAX - stamp) % UINT8_MAX : UINT8_MAX;
}

uint32_t tc_stripe_next_of_type(const struct tc_stripe *s, const struct cache_type *t, size_t *at)
{
    while (*at < tc_index_lanes(&s->index)) {
        uint32_t cell = tc_index_cell(&s->index, (*at)++);
        if (cell != 0 && tc_entry_type_id(tc_stripe_entry(s, cell)) == t->id)
            return cell;
    }
    return 0;
}

static struct used_entry *sort_by_use(const struct tc_stripe *s, const struct cache_type *t, size_t *n)
{
    uint32_t cell;
    size_t at = 0, all = 0;
    *n = 0;
    while (tc_stripe_next_of_type(s, t, &at) != 0)
        (*n)++;
    struct used_entry *list = tc_alloc(s->l1->alloc, *n * sizeof *list);
    for (at = 0; list != NULL && (cell = tc_stripe_next_of_type(s, t, &at)) != 0; all++)
        list[all] = (struct used_entry){ unused_for(s, cell, last_used(s, cell), SORTED_BITS), cell };
    if (list != NULL)
        qsort(list, *n, sizeof *list, longer_ago_first);
    return list;
}

static void change_order(struct tc_stripe *s, uint32_t cell, struct tc_order *o)
{
    const struct tc_entry *e = tc_stripe_entry(s, cell);
    uint64_t bytes = tc_l1_entry_bytes(s->l1, e);
    bool noted = o->evict->flags & CACHE_EVICT_LOCKED_HITS;
    uint32_t used_at = noted ? use_of(s, cell)->at : 0;
    tc_stripe_leave_order(&s->shared, cell, bytes);
    tc_stripe_enter_order(s, o, cell, tc_entry_hash(e, &s->l1->hasher), bytes);
    if (noted)
        use_of(s, cell)->at = used_at;
}

/* Takes over the entries that the type has here from before it had a quota, as if each were stored again when it was
 * last used. Once for a type and stripe: from then on entries of the type stand in no other order. Those of a type with
 * a policy of its own never stood in the shared one. */
static void adopt(struct tc_stripe *s, struct tc_order *o)
{
    size_t n, at = 0;
    uint32_t cell;
    struct used_entry *list = sort_by_use(s, o->type, &n);
    for (size_t i = 0; list != NULL && i < n; i++)
        change_order(s, list[i].cell, o);
    while (list == NULL && (cell = tc_stripe_next_of_type(s, o->type, &at)) != 0)
        change_order(s, cell, o);
    tc_free(s->l1->alloc, list, n * sizeof *list);
}

struct tc_order *tc_stripe_order(struct tc_stripe *s, const struct cache_type *t, bool own)
{
    tc_lock_assert_held(&s->lock);
    struct tc_order *o = tc_stripe_order_of_type(s, t->id);
    if (o != &s->shared || !own)
        return o;
    struct tc_l1 *l1 = s->l1;
    o = tc_alloc_zeroed(l1->alloc, sizeof *o);
    if (o == NULL)
        return &s->shared;
    o->evict = tc_l1_evict_of(l1, t);
    o->state = tc_alloc_zeroed(l1->alloc, o->evict->state_bytes);
    if (o->state == NULL) {
        tc_free(l1->alloc, o, sizeof *o);
        return &s->shared;
    }
    o->type = t;
    o->next = s->shared.next;
    s->shared.next = o;
    tc_stripe_account(s, tc_stripe_order_bytes(l1, t), 0); /* before the policy asks for memory of its own */
    tc_stripe_begin_order(s, o);
    if (!t->has_evict)
        adopt(s, o);
    return o;
}

static uint32_t victim_of(struct tc_order *o)
{
    uint32_t cell = o->count > 0 ? o->evict->victim(o->state) : 0;
    if (o->passed.n > 0 && cell != o->passed.cells[0])
        tc_stripe_forget_passed(o);
    return cell;
}

/* For how long an order's victim counts as unused. */
static int64_t weighted_age(const struct tc_stripe *s, const struct tc_order *o, uint32_t cell)
{
    int64_t ago = unused_for(s, cell, uses_since(s, o, cell), MINOR_BITS);
    int64_t priority = o->type != NULL ? tc_type_priority(o->type) : 0;
    return priority >= 0 ? ago >> priority : ago * (INT64_C(1) << -priority);
}

void tc_stripe_move_in_order(struct tc_order *o, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < o->passed.n; i++)
        if (o->passed.cells[i] == from)
            o->passed.cells[i] = to;
    o->evict->move(o->state, from, to);
}

uint32_t tc_stripe_victim(struct tc_stripe *s, struct tc_order *o, uint32_t keep)
{
    tc_lock_assert_held(&s->lock);
    if (o != NULL) {
        uint32_t cell = victim_of(o);
        return cell != keep ? cell : 0;
    }
    uint32_t oldest = 0;
    int64_t longest = 0;
    for (o = &s->shared; o != NULL; o = o->next) {
        uint32_t cell = victim_of(o);
        if (cell == 0 || cell == keep)
            continue;
        int64_t ago = s->shared.next != NULL ? weighted_age(s, o, cell) : 0;
        if (oldest == 0 || ago > longest) {
            oldest = cell;
            longest = ago;
        }
    }
    return oldest;
}

/* Of an entry of the shared order, if hits are told so that it can be said. One without a stamp that was stored no later
 * than the order's victim may not stand any more where it was put first: then it was used since. */
static int64_t unused_in_reach(const struct tc_stripe *s, uint32_t cell, int64_t victim_ms)
{
    int64_t uses = last_used(s, cell);
    if (s->l1->stamped_hits && uses == UINT8_MAX && tc_entry_taken_ms(tc_stripe_entry(s, cell)) <= victim_ms)
        uses--;
    return unused_for(s, cell, uses, SORTED_BITS);
}

uint32_t tc_stripe_victim_in_reach(struct tc_stripe *s, uint64_t hash)
{
    tc_lock_assert_held(&s->lock);
    uint32_t cells[TC_INDEX_PROBES], victim = victim_of(&s->shared), oldest = 0;
    bool told = s->l1->stamped_hits || s->l1->locked_hits;
    int64_t victim_ms = victim != 0 ? tc_entry_taken_ms(tc_stripe_entry(s, victim)) : INT64_MIN, longest = -1;
    size_t n = tc_index_in_reach(&s->index, hash, cells, TC_ARRAY_LEN(cells));
    for (size_t i = 0; i < n; i++) {
        if (cells[i] == victim)
            return victim;
        tc_index_prefetch_cell(s->index.view, cells[i]);
    }
    for (size_t i = 0; told && i < n; i++) {
        if (tc_stripe_order_of(s, tc_stripe_entry(s, cells[i])) != &s->shared)
            continue;
        int64_t ago = unused_in_reach(s, cells[i], victim_ms);
        if (ago > longest) {
            oldest = cells[i];
            longest = ago;
        }
    }
    return oldest != 0 ? oldest : cells[0];
}
