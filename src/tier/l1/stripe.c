/* One stripe under its lock: linking entries into table, order and wheel and taking them out of all three, so that no
 * caller can forget one of them; and the account of bytes that goes with it. */
#include "tier/l1/stripe.h"

#include <string.h>

#include "tier/l1/l1.h"

static size_t state_bytes(const struct tc_l1 *l1)
{
    return l1->evict.state_bytes;
}

int tc_stripe_init(struct tc_stripe *s, struct tc_l1 *l1, int64_t now_ms)
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
    tc_wheel_init(&s->wheel, now_ms);
    s->l1 = l1; /* last: what fini goes by */
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
    for (size_t i = 0; s->index.slots != NULL && i <= s->index.mask; i++) {
        struct tc_entry *e = s->index.slots[i].entry;
        if (e != NULL && atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1)
            tc_entry_free(l1->alloc, e);
    }
    tc_index_fini(&s->index, l1->alloc);
    while (s->shared.next != NULL) {
        struct tc_order *o = s->shared.next;
        s->shared.next = o->next;
        tc_free(l1->alloc, o->state, state_bytes(l1));
        tc_free(l1->alloc, o, sizeof *o);
    }
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

/* Nothing has to leave before a quarter of the memory has been filled with new entries: time enough for those that are
 * used to be sorted before those that are not. */
static bool eviction_is_far(const struct tc_stripe *s, const struct tc_entry *e)
{
    const struct tc_l1 *l1 = s->l1;
    return e->order == &s->shared && atomic_load_explicit(&l1->pool, memory_order_relaxed) > l1->limit / 4;
}

/* A policy that sorts lazily is told of a hit only if it may matter, and if the entry was not put in front within the
 * last quarter of the stripe's entries, counted in touches: what is read often is read without being written, and so
 * are its neighbours. */
static bool need_not_be_told(const struct tc_stripe *s, const struct tc_entry *e)
{
    return s->l1->evict.flags & CACHE_EVICT_LAZY_HITS &&
           (s->touches - e->touched_at <= s->index.count / 4 || eviction_is_far(s, e));
}

void tc_stripe_touch(struct tc_stripe *s, struct tc_entry *e, int64_t now_ms)
{
    tc_lock_assert_held(&s->lock);
    if (e->flags & TC_ENTRY_COUNTS && e->hits < UINT16_MAX)
        e->hits++;
    if (need_not_be_told(s, e))
        return;
    e->touched_at = ++s->touches;
    e->used_ms = now_ms;
    s->l1->evict.hit(e->order->state, tc_entry_node(e));
}

size_t tc_stripe_order_bytes(const struct tc_l1 *l1)
{
    return tc_entry_heap_bytes(sizeof(struct tc_order)) + tc_entry_heap_bytes(state_bytes(l1));
}

/* Entries that stand in no order are linked through the field that would name it: there is nothing to allocate. */
static struct tc_entry *next_of(const struct tc_entry *e)
{
    return (struct tc_entry *)(void *)e->order;
}

static void set_next(struct tc_entry *e, struct tc_entry *next)
{
    e->order = (struct tc_order *)(void *)next;
}

/* Two lists, the one not touched for longest first, become one such list. */
static struct tc_entry *merge(const struct tc_stripe *s, struct tc_entry *a, struct tc_entry *b)
{
    struct tc_entry *first = NULL, *last = NULL;
    while (a != NULL && b != NULL) {
        /* As ages: the count of touches wraps around. */
        bool take_a = s->touches - a->touched_at >= s->touches - b->touched_at;
        struct tc_entry *e = take_a ? a : b;
        if (take_a)
            a = next_of(a);
        else
            b = next_of(b);
        if (last != NULL)
            set_next(last, e);
        else
            first = e;
        last = e;
    }
    struct tc_entry *rest = a != NULL ? a : b;
    if (last == NULL)
        return rest;
    set_next(last, rest);
    return first;
}

static void enter_order(struct tc_stripe *s, struct tc_entry *e, struct tc_order *o)
{
    e->order = o;
    o->count++;
    o->bytes += e->bytes;
    s->l1->evict.insert(o->state, tc_entry_node(e), e->hash, e->bytes);
}

static void leave_order(struct tc_stripe *s, struct tc_entry *e)
{
    s->l1->evict.remove(e->order->state, tc_entry_node(e));
    e->order->count--;
    e->order->bytes -= e->bytes;
}

/* Takes the type's entries out of their order: a list, the one not touched for longest first. Merge sort, where runs[i]
 * holds 2^i entries or none. */
static struct tc_entry *take_by_age(struct tc_stripe *s, const struct cache_type *t)
{
    struct tc_entry *runs[64] = { NULL }, *all = NULL;
    for (size_t at = 0; s->index.slots != NULL && at <= s->index.mask; at++) {
        struct tc_entry *e = s->index.slots[at].entry;
        if (e == NULL || e->type != t)
            continue;
        leave_order(s, e);
        set_next(e, NULL);
        size_t i = 0;
        for (; runs[i] != NULL; i++) {
            e = merge(s, runs[i], e);
            runs[i] = NULL;
        }
        runs[i] = e;
    }
    for (size_t i = 0; i < TC_ARRAY_LEN(runs); i++)
        all = merge(s, runs[i], all);
    return all;
}

/* Takes over the entries that the type has here from before it had a quota, as if each were stored again when it was
 * last used. Once for a type and stripe: from then on entries of the type stand in no other order. */
static void adopt(struct tc_stripe *s, struct tc_order *o)
{
    struct tc_entry *e = take_by_age(s, o->type);
    while (e != NULL) {
        struct tc_entry *next = next_of(e);
        memset(tc_entry_node(e), 0, e->node_bytes);
        enter_order(s, e, o);
        e = next;
    }
}

struct tc_order *tc_stripe_order(struct tc_stripe *s, const struct cache_type *t, bool own)
{
    tc_lock_assert_held(&s->lock);
    for (struct tc_order *o = s->shared.next; o != NULL; o = o->next)
        if (o->type == t)
            return o;
    if (!own)
        return &s->shared;
    struct tc_l1 *l1 = s->l1;
    struct tc_order *o = tc_alloc_zeroed(l1->alloc, sizeof *o);
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
    adopt(s, o);
    tc_stripe_account(s, tc_stripe_order_bytes(l1), 0);
    return o;
}

/* Gives up L1's reference; the last one goes to the list, to be freed without the lock. */
static void unreference(struct tc_l1 *l1, struct tc_entry *e, struct tc_dropped *dropped)
{
    /* Pins are taken under this lock: one reference now means one for good. Otherwise callers hold the value on, and
     * it is marked and counted before our reference goes, since theirs may be gone the next instant. */
    if (atomic_load_explicit(&e->refs, memory_order_acquire) > 1)
        tc_l1_detach(l1, e);
    if (atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1) {
        e->wheel_next = dropped->first;
        dropped->first = e;
    }
}

/* Everything but the table. */
static void unlink_entry(struct tc_stripe *s, struct tc_entry *e, tc_reason why, struct tc_dropped *dropped)
{
    tc_wheel_remove(&s->wheel, e);
    leave_order(s, e);
    tc_stripe_account(s, 0, e->bytes);
    atomic_fetch_sub_explicit(&e->type->l1_entries, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&e->type->l1_bytes, e->bytes, memory_order_relaxed);
    tc_stats_add(&e->type->stats, why, 1);
    unreference(s->l1, e, dropped);
}

void tc_stripe_remove(struct tc_stripe *s, struct tc_entry *e, tc_reason why, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    tc_index_remove(&s->index, e);
    unlink_entry(s, e, why, dropped);
}

void tc_stripe_link(struct tc_stripe *s, struct tc_entry *e, struct tc_order *o, int64_t now_ms,
                    struct tc_entry *instead, tc_reason why, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
    if (instead != NULL) {
        tc_index_replace(&s->index, instead, e);
        unlink_entry(s, instead, why, dropped);
    } else {
        tc_index_insert(&s->index, e);
    }
    e->used_ms = now_ms;
    e->touched_at = ++s->touches;
    if (e->keep_until_ms != TC_NEVER_MS)
        tc_wheel_add(&s->wheel, e);
    enter_order(s, e, o);
    tc_stripe_account(s, e->bytes, 0);
    atomic_fetch_add_explicit(&e->type->l1_entries, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&e->type->l1_bytes, e->bytes, memory_order_relaxed);
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
        if (e != NULL && e != keep && (oldest == NULL || e->used_ms < oldest->used_ms))
            oldest = e;
    }
    return oldest;
}

void tc_stripe_expire(struct tc_stripe *s, int64_t now_ms, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    unsigned steps = TC_WHEEL_STEPS;
    struct tc_entry *e;
    while ((e = tc_wheel_due(&s->wheel, now_ms, &steps)) != NULL)
        tc_stripe_remove(s, e, TC_COUNT_l1_expired, dropped);
}

bool tc_stripe_check(struct tc_stripe *s)
{
    tc_lock_assert_held(&s->lock);
    size_t slots = s->index.slots != NULL ? s->index.mask + 1 : 0;
    uint64_t bytes = slots > 0 ? tc_entry_heap_bytes(slots * sizeof(struct tc_index_slot)) : 0;
    size_t entries = 0, ordered = 0, timed = 0, in_wheel = 0;
    uint64_t entry_bytes = 0, ordered_bytes = 0;
    for (size_t i = 0; i < slots; i++) {
        struct tc_entry *e = s->index.slots[i].entry;
        if (e == NULL)
            continue;
        struct cache_slice key = { tc_entry_key(e), e->key_len };
        if (e->hash != s->index.slots[i].hash || tc_index_find(&s->index, e->hash, key) != e)
            return false;
        entries++;
        timed += e->keep_until_ms != TC_NEVER_MS;
        entry_bytes += e->bytes;
    }
    bytes += entry_bytes;
    for (struct tc_order *o = &s->shared; o != NULL; o = o->next) {
        ordered += o->count;
        ordered_bytes += o->bytes;
        bytes += o != &s->shared ? tc_stripe_order_bytes(s->l1) : 0;
    }
    for (size_t level = 0; level < TC_WHEEL_LEVELS; level++)
        for (size_t at = 0; at < TC_WHEEL_SLOTS; at++)
            for (struct tc_entry *e = s->wheel.slots[level][at]; e != NULL; e = e->wheel_next)
                in_wheel++;
    return entries == s->index.count && entries == ordered && entry_bytes == ordered_bytes && timed == in_wheel &&
           bytes == tc_stripe_bytes(s) && bytes <= s->granted;
}
