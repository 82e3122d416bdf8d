/* One stripe under its lock: linking entries into table and order and taking them out of both, so that no caller can
 * forget one of them; the ticks; expiry; and the account of bytes that goes with it. */
#include "tier/l1/stripe.h"

#include <stdlib.h>

#include "tier/l1/l1.h"

static size_t state_bytes(const struct tc_l1 *l1)
{
    return l1->evict.state_bytes;
}

/* ---- orders ---- */

/* What a policy allocates counts like everything else; it gets it while the stripe has it to spare. */
static void *env_alloc(void *ctx, size_t n)
{
    struct tc_stripe *s = ctx;
    if (!tc_l1_grant(s, tc_entry_heap_bytes(n)))
        return NULL;
    void *p = tc_alloc(s->l1->alloc, n);
    if (p != NULL) {
        s->policy_bytes += tc_entry_heap_bytes(n);
        tc_stripe_account(s, tc_entry_heap_bytes(n), 0);
    }
    return p;
}

static void env_free(void *ctx, void *p, size_t n)
{
    struct tc_stripe *s = ctx;
    tc_free(s->l1->alloc, p, n);
    s->policy_bytes -= tc_entry_heap_bytes(n);
    tc_stripe_account(s, 0, tc_entry_heap_bytes(n));
}

static void begin_order(struct tc_stripe *s, struct tc_order *o)
{
    if (s->l1->evict.begin != NULL)
        s->l1->evict.begin(o->state, &s->env);
    uint8_t stamp = atomic_load_explicit(&s->index.stamp, memory_order_relaxed);
    if (s->l1->evict.tick != NULL && stamp > 0)
        s->l1->evict.tick(o->state, stamp);
}

static void end_order(struct tc_stripe *s, struct tc_order *o)
{
    if (s->l1->evict.end != NULL)
        s->l1->evict.end(o->state);
}

static void enter_order(struct tc_stripe *s, struct tc_entry *e, struct tc_order *o)
{
    size_t bytes = tc_l1_entry_bytes(s->l1, e);
    o->count++;
    o->bytes += bytes;
    s->l1->evict.insert(o->state, tc_entry_node(e, s->l1->node_bytes), e->hash, bytes);
}

/* Where entries of the type of that number stand: in its own order, if it has one. */
static struct tc_order *order_of_type(struct tc_stripe *s, uint32_t id)
{
    for (struct tc_order *o = s->shared.next; o != NULL; o = o->next)
        if (o->type->id == id)
            return o;
    return &s->shared;
}

static struct tc_order *order_of(struct tc_stripe *s, const struct tc_entry *e)
{
    return order_of_type(s, e->type_id);
}

static void leave_order(struct tc_stripe *s, struct tc_entry *e, struct tc_order *o)
{
    s->l1->evict.remove(o->state, tc_entry_node(e, s->l1->node_bytes));
    o->count--;
    o->bytes -= tc_l1_entry_bytes(s->l1, e);
}

/* ---- init ---- */

int tc_stripe_init(struct tc_stripe *s, struct tc_l1 *l1)
{
    s->shared.state = tc_alloc_zeroed(l1->alloc, state_bytes(l1));
    if (s->shared.state == NULL)
        return CACHE_E_NOMEM;
    if (tc_lock_init(&s->lock) != 0)
        goto fail;
    if (tc_cond_init(&s->quiet) != 0) {
        tc_lock_fini(&s->lock);
        goto fail;
    }
    s->l1 = l1; /* what fini goes by */
    s->env = (struct cache_evict_env){ s, env_alloc, env_free };
    tc_lock_acquire(&s->lock);
    begin_order(s, &s->shared);
    tc_lock_release(&s->lock);
    return CACHE_OK;
fail:
    tc_free(l1->alloc, s->shared.state, state_bytes(l1));
    return CACHE_E_SYSTEM;
}

void tc_stripe_fini(struct tc_stripe *s)
{
    struct tc_l1 *l1 = s->l1;
    if (l1 == NULL)
        return;
    for (size_t i = 0; i < tc_index_lanes(&s->index); i++) {
        struct tc_entry *e = tc_index_at(&s->index, i);
        if (e == NULL)
            continue;
        leave_order(s, e, order_of(s, e));
        tc_l1_give_up_entry(l1, e);
    }
    tc_index_fini(&s->index, l1->alloc);
    while (s->shared.next != NULL) {
        struct tc_order *o = s->shared.next;
        s->shared.next = o->next;
        end_order(s, o);
        tc_free(l1->alloc, o->state, state_bytes(l1));
        tc_free(l1->alloc, o, sizeof *o);
    }
    end_order(s, &s->shared);
    tc_free(l1->alloc, s->shared.state, state_bytes(l1));
    tc_cond_fini(&s->quiet);
    tc_lock_fini(&s->lock);
    s->l1 = NULL;
}

struct tc_entry *tc_stripe_find(struct tc_stripe *s, uint64_t hash, struct cache_slice key)
{
    tc_lock_assert_held(&s->lock);
    return tc_index_find(&s->index, hash, key);
}

/* A tick, the step by which recency is told apart: when a 64th of the entries was stored, or a 16th of them was hit.
 * Coarse enough that what is hit all the time is marked seldom, fine enough that those near the end of their order are
 * where they belong. */
#define STORED 64
#define MARKED 16

#define MARKS_KEPT 16

static void set_stamp(struct tc_stripe *s, uint8_t stamp)
{
    uint32_t kept = s->index.count / 256;
    s->toward_tick = 0;
    atomic_store_explicit(&s->index.marks_kept, (uint8_t)(kept < MARKS_KEPT ? kept : MARKS_KEPT), memory_order_relaxed);
    atomic_store_explicit(&s->index.stamp, stamp, memory_order_relaxed);
    for (struct tc_order *o = &s->shared; o != NULL && s->l1->evict.tick != NULL; o = o->next)
        s->l1->evict.tick(o->state, stamp);
}

/* Nothing has to leave before a quarter of the memory has been filled with new entries: time enough for those that are
 * used to be told from those that are not. Until then hits are not marked: no entry carries another stamp than 0. */
static bool is_eviction_far(const struct tc_stripe *s)
{
    const struct tc_l1 *l1 = s->l1;
    return s->shared.next == NULL && atomic_load_explicit(&l1->pool, memory_order_relaxed) > l1->limit / 4;
}

static void used(struct tc_stripe *s, uint32_t n, uint32_t share)
{
    uint32_t uses = atomic_load_explicit(&s->uses, memory_order_relaxed);
    uint8_t stamp = atomic_load_explicit(&s->index.stamp, memory_order_relaxed);
    atomic_store_explicit(&s->uses, uses + n, memory_order_relaxed);
    s->toward_tick += n * share;
    if (stamp == 0 ? !is_eviction_far(s) : s->toward_tick > s->index.count)
        set_stamp(s, stamp < UINT8_MAX ? stamp + 1 : 1);
}

void tc_stripe_marked(struct tc_stripe *s, uint32_t n)
{
    tc_lock_assert_held(&s->lock);
    used(s, n, MARKED);
}

void tc_stripe_hit(struct tc_stripe *s, struct tc_entry *e)
{
    tc_lock_assert_held(&s->lock);
    used(s, 1, MARKED);
    atomic_store_explicit(&e->used_at, atomic_load_explicit(&s->uses, memory_order_relaxed), memory_order_relaxed);
    s->l1->evict.hit(order_of(s, e)->state, tc_entry_node(e, s->l1->node_bytes));
}

size_t tc_stripe_order_bytes(const struct tc_l1 *l1)
{
    return tc_entry_heap_bytes(sizeof(struct tc_order)) + tc_entry_heap_bytes(state_bytes(l1));
}

/* How long ago it was used. Counted from the latest moment that an entry may name: marks that were not told yet lie ahead
 * of the stripe's count. */
static uint32_t uses_since(const struct tc_stripe *s, const struct tc_entry *e)
{
    return atomic_load_explicit(&s->uses, memory_order_relaxed) + UINT8_MAX -
           atomic_load_explicit(&e->used_at, memory_order_relaxed);
}

/* The type's entries in the shared order: those that were not used for longest first, or, without memory to sort them,
 * as they lie in the table. */
struct used_entry {
    uint32_t ago;
    struct tc_entry *e;
};

static int longer_ago_first(const void *a, const void *b)
{
    uint32_t x = ((const struct used_entry *)a)->ago, y = ((const struct used_entry *)b)->ago;
    return (x < y) - (x > y);
}

static struct tc_entry *next_of_type(const struct tc_stripe *s, const struct cache_type *t, size_t *at)
{
    while (*at < tc_index_lanes(&s->index)) {
        struct tc_entry *e = tc_index_at(&s->index, (*at)++);
        if (e != NULL && e->type_id == t->id)
            return e;
    }
    return NULL;
}

static struct used_entry *sort_by_use(const struct tc_stripe *s, const struct cache_type *t, size_t *n)
{
    struct tc_entry *e;
    size_t at = 0, all = 0;
    *n = 0;
    while (next_of_type(s, t, &at) != NULL)
        (*n)++;
    struct used_entry *list = tc_alloc(s->l1->alloc, *n * sizeof *list);
    for (at = 0; list != NULL && (e = next_of_type(s, t, &at)) != NULL; all++)
        list[all] = (struct used_entry){ uses_since(s, e), e };
    if (list != NULL)
        qsort(list, *n, sizeof *list, longer_ago_first);
    return list;
}

static void change_order(struct tc_stripe *s, struct tc_entry *e, struct tc_order *o)
{
    leave_order(s, e, &s->shared);
    enter_order(s, e, o);
}

/* Takes over the entries that the type has here from before it had a quota, as if each were stored again when it was
 * last used. Once for a type and stripe: from then on entries of the type stand in no other order. */
static void adopt(struct tc_stripe *s, struct tc_order *o)
{
    size_t n, at = 0;
    struct tc_entry *e;
    struct used_entry *list = sort_by_use(s, o->type, &n);
    for (size_t i = 0; list != NULL && i < n; i++)
        change_order(s, list[i].e, o);
    while (list == NULL && (e = next_of_type(s, o->type, &at)) != NULL)
        change_order(s, e, o);
    tc_free(s->l1->alloc, list, n * sizeof *list);
}

struct tc_order *tc_stripe_order(struct tc_stripe *s, const struct cache_type *t, bool own)
{
    tc_lock_assert_held(&s->lock);
    struct tc_order *o = order_of_type(s, t->id);
    if (o != &s->shared || !own)
        return o;
    struct tc_l1 *l1 = s->l1;
    o = tc_alloc_zeroed(l1->alloc, sizeof *o);
    if (o == NULL)
        return &s->shared;
    o->state = tc_alloc_zeroed(l1->alloc, state_bytes(l1));
    if (o->state == NULL) {
        tc_free(l1->alloc, o, sizeof *o);
        return &s->shared;
    }
    o->type = t;
    o->next = s->shared.next;
    s->shared.next = o;
    begin_order(s, o);
    adopt(s, o);
    tc_stripe_account(s, tc_stripe_order_bytes(l1), 0);
    return o;
}

/* Everything but table and order. */
static void let_go(struct tc_stripe *s, struct tc_entry *e, tc_reason why, struct tc_dropped *dropped)
{
    size_t bytes = tc_l1_entry_bytes(s->l1, e);
    struct cache_type *t = tc_l1_type_of(s->l1, e);
    tc_stripe_account(s, 0, bytes);
    atomic_fetch_sub_explicit(&t->l1_entries, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&t->l1_bytes, bytes, memory_order_relaxed);
    tc_stats_add(&t->stats, why, 1);
    atomic_fetch_and_explicit(&e->refs, ~TC_ENTRY_IN_L1, memory_order_release);
    e->next = dropped->first;
    dropped->first = e;
}

void tc_stripe_remove(struct tc_stripe *s, struct tc_entry *e, tc_reason why, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    tc_index_remove(&s->index, e);
    leave_order(s, e, order_of(s, e));
    let_go(s, e, why, dropped);
}

void tc_stripe_link(struct tc_stripe *s, struct tc_entry *e, struct tc_order *o, int64_t now_ms,
                    struct tc_entry *instead, tc_reason why, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    size_t bytes = tc_l1_entry_bytes(s->l1, e);
    struct cache_type *t = tc_l1_type_of(s->l1, e);
    uint16_t code = tc_wheel_code(tc_entry_keep_until_ms(e, t), now_ms);
    atomic_fetch_add_explicit(&e->refs, 1 | TC_ENTRY_IN_L1, memory_order_relaxed);
    atomic_store_explicit(&e->used_at, atomic_load_explicit(&s->uses, memory_order_relaxed), memory_order_relaxed);
    tc_stripe_account(s, bytes, 0);
    if (instead != NULL)
        leave_order(s, instead, order_of(s, instead));
    enter_order(s, e, o); /* before it is in the table: from then on it may be hit */
    if (instead != NULL) {
        tc_index_replace(&s->index, instead, e, code);
        let_go(s, instead, why, dropped);
    } else {
        tc_index_insert(&s->index, e, code);
    }
    used(s, 1, STORED);
    atomic_fetch_add_explicit(&t->l1_entries, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->l1_bytes, bytes, memory_order_relaxed);
}

static struct tc_entry *victim_of(struct tc_stripe *s, struct tc_order *o)
{
    void *node = o->count > 0 ? s->l1->evict.victim(o->state) : NULL;
    return node != NULL ? tc_entry_of_node(node, s->l1->node_bytes) : NULL;
}

struct tc_entry *tc_stripe_victim(struct tc_stripe *s, struct tc_order *o, const struct tc_entry *keep)
{
    tc_lock_assert_held(&s->lock);
    if (o != NULL) {
        struct tc_entry *e = victim_of(s, o);
        return e != keep ? e : NULL;
    }
    struct tc_entry *oldest = NULL;
    for (o = &s->shared; o != NULL; o = o->next) {
        struct tc_entry *e = victim_of(s, o);
        if (e != NULL && e != keep && (oldest == NULL || uses_since(s, e) > uses_since(s, oldest)))
            oldest = e;
    }
    return oldest;
}

/* trust: the hand was here not so long ago that codes cannot tell past from future. */
static void expire_bucket(struct tc_stripe *s, size_t at, int64_t now_ms, bool trust, struct tc_dropped *dropped)
{
    for (size_t i = at * TC_INDEX_LANES; i < (at + 1) * TC_INDEX_LANES; i++) {
        uint64_t lane = tc_index_lane(&s->index, i);
        struct tc_entry *e = tc_index_entry(lane);
        uint16_t code = tc_index_code(lane);
        if (e == NULL || code == 0 || (trust && !tc_wheel_is_due(code, now_ms)))
            continue;
        int64_t until_ms = tc_entry_keep_until_ms(e, tc_l1_type_of(s->l1, e));
        if (until_ms <= now_ms)
            tc_stripe_remove(s, e, TC_COUNT_l1_expired, dropped);
        else
            tc_index_set_code(&s->index, i, tc_wheel_code(until_ms, now_ms));
    }
}

void tc_stripe_expire(struct tc_stripe *s, int64_t now_ms, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    for (unsigned n = 0; n < TC_WHEEL_BUCKETS && s->index.n > 0; n++) {
        s->hand = s->hand + 1 < s->index.n ? s->hand + 1 : 0;
        if (s->hand == 0) {
            s->last_round_ms = s->round_ms;
            s->round_ms = now_ms;
        }
        expire_bucket(s, s->hand, now_ms, now_ms - s->last_round_ms < TC_WHEEL_TRUST_MS, dropped);
    }
}

bool tc_stripe_check(struct tc_stripe *s)
{
    tc_lock_assert_held(&s->lock);
    uint64_t bytes = tc_index_bytes(&s->index) + s->policy_bytes;
    size_t entries = 0, ordered = 0;
    uint64_t entry_bytes = 0, ordered_bytes = 0;
    for (size_t i = 0; i < tc_index_lanes(&s->index); i++) {
        struct tc_entry *e = tc_index_at(&s->index, i);
        if (e == NULL)
            continue;
        struct cache_slice key = { tc_entry_key(e), e->key_len };
        bool ends = tc_entry_keep_until_ms(e, tc_l1_type_of(s->l1, e)) != TC_NEVER_MS;
        if (tc_index_find(&s->index, e->hash, key) != e || ends != (tc_index_code(tc_index_lane(&s->index, i)) != 0))
            return false;
        entries++;
        entry_bytes += tc_l1_entry_bytes(s->l1, e);
    }
    bytes += entry_bytes;
    for (struct tc_order *o = &s->shared; o != NULL; o = o->next) {
        ordered += o->count;
        ordered_bytes += o->bytes;
        bytes += o != &s->shared ? tc_stripe_order_bytes(s->l1) : 0;
    }
    return tc_index_check(&s->index) && entries == s->index.count && entries == ordered &&
           entry_bytes == ordered_bytes && bytes == tc_stripe_bytes(s) && bytes <= s->granted;
}
