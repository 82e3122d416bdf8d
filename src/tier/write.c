/* Storing values. Two kinds: a fill answers a miss and is refused if the key changed since; a set is a write of its own
 * right and changes the key.
 *
 * L2 goes first, so that L1 never holds what L2 might have refused for good reason, and within the gate of l1.h, so
 * that no invalidation is overtaken. Where L2 did not take a set, or may or may not have taken a fill, an invalidation
 * of the key is kept: L2 must not serve what it holds under that key before it went through. */
#include <stdlib.h>
#include <string.h>

#include "policy/ttl.h"
#include "tier/verbs.h"

#define SHORT_LIFE_MS 86400000

/* The kind of entry was chosen before its life was known. Without memory for the other kind it lives as long as this
 * one can say; where that is nothing, it was of the other kind from the start. */
static void set_life(struct cache *c, struct tc_value_in *in, int64_t now_ms, int64_t life_ms)
{
    struct tc_entry *e = in->entry;
    if (!(tc_entry_flags(e) & TC_ENTRY_MORE) && !tc_entry_can_say(now_ms, life_ms)) {
        struct tc_entry *wide = tc_entry_widen(&c->alloc, c->l1.node_bytes, in->target->type,
                                             in->target->ref.hash, e);
        if (wide != NULL) {
            tc_l1_drop(&c->l1, e);
            in->entry = e = wide;
        } else {
            life_ms = SHORT_LIFE_MS;
        }
    }
    tc_entry_set_life(e, now_ms, life_ms, in->policy.max_stale_ms);
}

void tc_write_lifetime(struct cache *c, struct tc_value_in *in, int64_t wished_ms, int64_t load_us)
{
    struct tc_entry *e = in->entry;
    const struct tc_target *t = in->target;
    /* By the clock that readers go by: none sees more life than was given. */
    int64_t now_ms = in->now_ms = tc_clock_coarse_ms(&c->clock);
    struct tc_ttl_ask ask = { .view = { .type = t->type,
                                        .key = t->ref.key,
                                        .value_len = tc_entry_len(e),
                                        .absent = (tc_entry_flags(e) & TC_ENTRY_ABSENT) != 0,
                                        .previous_age_ms = -1,
                                        .load_us = load_us },
                              .wished_ms = wished_ms };
    if (in->policy.decide != NULL)
        tc_l1_history(&c->l1, t->ref, now_ms, &ask.view.previous_age_ms, &ask.view.previous_hits);
    uint64_t ticks = in->policy.jitter_percent > 0 ? tc_ttl_ticks(t->type) : 0;
    in->ttl = tc_ttl_decide(&in->policy, &ask, ticks);
    if (in->policy.flags & CACHE_TYPE_NO_L1)
        in->ttl.l1_ttl_ms = CACHE_TTL_NONE;
    if (in->policy.decide != NULL)
        tc_entry_add_flags(e, TC_ENTRY_COUNTS);
    int64_t life_ms = in->ttl.l1_ttl_ms != CACHE_TTL_NONE ? in->ttl.l1_ttl_ms : in->ttl.ttl_ms;
    set_life(c, in, now_ms, life_ms > 0 ? life_ms : -1);
}

/* Hits are counted in the larger kind; after some years of a machine's life it is the one that can tell the time. */
static bool is_small(const struct tc_policy *p, int64_t now_ms)
{
    return p->decide == NULL && tc_entry_can_say(now_ms + SHORT_LIFE_MS, SHORT_LIFE_MS);
}

struct tc_entry *tc_write_entry(struct cache *c, const struct tc_target *t, const struct tc_policy *p, size_t len)
{
    return is_small(p, tc_clock_coarse_ms(&c->clock))
               ? tc_entry_open_small(&c->alloc, c->l1.node_bytes, t->type, t->ref.hash, t->ref.key, len)
               : tc_entry_open(&c->alloc, c->l1.node_bytes, t->type, t->ref.hash, t->ref.key, len);
}

static struct tc_entry *make_entry(struct cache *c, const struct tc_target *t, size_t len, struct tc_room *room,
                                   const struct tc_value_in *in)
{
    struct tc_entry *e = NULL;
    if (room != NULL && !c->l2.present && is_small(&in->policy, in->now_ms))
        e = tc_entry_lend(room->bytes, sizeof room->bytes, c->l1.node_bytes, t->type, t->ref.key, len);
    return e != NULL ? e : tc_write_entry(c, t, &in->policy, len);
}

void tc_write_prepare(struct cache *c, const struct tc_target *t, struct cache_slice data, bool absent,
                      int64_t wished_ms, struct tc_room *room, struct tc_value_in *in)
{
    *in = (struct tc_value_in){ .target = t, .status = CACHE_E_TOO_LARGE };
    tc_cache_count(t->type, TC_COUNT_sets);
    tc_type_policy(t->type, &in->policy);
    in->now_ms = tc_clock_coarse_ms(&c->clock);
    if (data.len > c->max_value_bytes)
        return;
    in->status = CACHE_E_NOMEM;
    in->entry = make_entry(c, t, data.len, room, in);
    if (in->entry == NULL)
        return;
    if (data.len > 0)
        memcpy(tc_entry_room(in->entry), data.data, data.len);
    if (absent)
        tc_entry_add_flags(in->entry, TC_ENTRY_ABSENT);
    tc_write_lifetime(c, in, wished_ms, -1);
    in->status = CACHE_OK;
}

static bool goes_to_l2(struct cache *c, const struct tc_value_in *in)
{
    return c->l2.present && !(in->policy.flags & CACHE_TYPE_NO_L2) && in->ttl.ttl_ms != CACHE_TTL_NONE;
}

static int put_in_l1(struct cache *c, struct tc_value_in *in, const uint64_t *generation, bool advance)
{
    if (in->ttl.l1_ttl_ms != CACHE_TTL_NONE) {
        int rc = tc_l1_put(&c->l1, in->entry, &in->policy, generation, advance);
        return rc == TC_L1_KEPT ? CACHE_OK : rc; /* an answer as good is there */
    }
    /* It has no place in L1, but what is there is as old, and so is what readers are about to put there. */
    if (advance)
        tc_l1_invalidate(&c->l1, in->target->ref);
    else if (tc_l1_generation(&c->l1, in->target->ref.hash) != *generation)
        return CACHE_E_TICKET;
    return CACHE_OK;
}

/* Sends those of in whose status is CACHE_E_UNKNOWN; each gets what L2 said. */
static void send_many(struct cache *c, struct tc_value_in **in, size_t n, int64_t deadline_ms)
{
    struct tc_l2_write one, *writes = &one;
    if (n > 1)
        writes = tc_alloc_zeroed(&c->alloc, n * sizeof *writes);
    size_t sent = 0;
    for (size_t i = 0; i < n; i++) {
        if (in[i]->status != CACHE_E_UNKNOWN)
            continue;
        if (writes == NULL)
            in[i]->status = CACHE_E_NOMEM;
        else
            writes[sent++] = (struct tc_l2_write){ in[i]->target, in[i]->entry, in[i]->ttl.ttl_ms, 0, NULL, 0 };
    }
    int64_t until_ms = tc_l2_deadline(c, deadline_ms, false);
    if (sent == 1)
        tc_l2_write_one(c, writes, until_ms);
    else if (sent > 1)
        tc_l2_write_many(c, writes, sent, until_ms);
    for (size_t i = 0, at = 0; at < sent; i++) {
        if (in[i]->status != CACHE_E_UNKNOWN)
            continue;
        in[i]->status = writes[at++].status;
        if (in[i]->status == CACHE_E_TIMEOUT) /* L2 had no time to take it: for the value, as if it were out */
            in[i]->status = CACHE_E_UNAVAILABLE;
    }
    if (n > 1)
        tc_free(&c->alloc, writes, n * sizeof *writes);
}

/* ---- fills ---- */

static bool fill_enters(struct cache *c, struct tc_value_in *in)
{
    in->status = CACHE_OK;
    if (!goes_to_l2(c, in))
        return false;
    if (!tc_l2_usable(c)) {
        in->status = CACHE_E_UNAVAILABLE;
        return false;
    }
    bool entered = tc_l1_fill_begin(&c->l1, in->target->ref.hash, in->generation);
    in->status = entered ? CACHE_E_UNKNOWN : CACHE_E_TICKET;
    return entered;
}

/* What an invalidation queued that gave up waiting for this value may have been replayed before the value arrived. */
static void take_back(struct cache *c, const struct tc_value_in *in)
{
    tc_invalidate_later(c, in->target);
    tc_l1_invalidate(&c->l1, in->target->ref); /* and what was read of it meanwhile */
}

static void fill_leaves(struct cache *c, struct tc_value_in *in)
{
    enum tc_fill_end end = tc_l1_fill_end(&c->l1, in->target->ref.hash, in->generation);
    if (end == TC_FILL_STANDS)
        return;
    if (end == TC_FILL_LATE) {
        take_back(c, in);
        tc_l1_late_end(&c->l1);
    }
    in->status = CACHE_E_TICKET;
}

static void fill_settles(struct cache *c, struct tc_value_in *in)
{
    switch (in->status) {
    case CACHE_E_TICKET:
    case CACHE_E_TOO_LARGE:
    case CACHE_E_NOMEM:
        return;
    case CACHE_OK:
    case CACHE_E_UNKNOWN:
        break;
    default:
        in->status = CACHE_QUEUED;
    }
    /* L1's refusal decides where L2 does not hold the value. */
    int l1 = put_in_l1(c, in, &in->generation, false);
    if (l1 == CACHE_E_TICKET || (l1 != CACHE_OK && !goes_to_l2(c, in)))
        in->status = l1;
}

void tc_write_fill_many(struct cache *c, struct tc_value_in **in, size_t n, int64_t deadline_ms)
{
    for (size_t i = 0; i < n; i++)
        in[i]->in_gate = fill_enters(c, in[i]);
    send_many(c, in, n, deadline_ms);
    for (size_t i = 0; i < n; i++) {
        /* Queued inside the gate: nobody may find gate and queue empty while the value may still reach L2. */
        if (in[i]->status == CACHE_E_UNKNOWN)
            in[i]->status = tc_invalidate_later(c, in[i]->target);
        if (in[i]->in_gate)
            fill_leaves(c, in[i]);
        fill_settles(c, in[i]);
    }
}

void tc_write_fill(struct cache *c, struct tc_value_in *in, int64_t deadline_ms)
{
    tc_write_fill_many(c, &in, 1, deadline_ms);
}

/* ---- sets ---- */

static int by_gate(const void *a, const void *b)
{
    const struct tc_value_in *x = *(struct tc_value_in *const *)a, *y = *(struct tc_value_in *const *)b;
    return x->gate < y->gate ? -1 : x->gate > y->gate ? 1 : x->order < y->order ? -1 : 1;
}

/* Takes every gate that the values need, once and in order. Values of a gate that did not open by the deadline get
 * CACHE_E_TIMEOUT, the others CACHE_E_UNKNOWN: to be sent. */
static void sets_enter(struct cache *c, struct tc_value_in **in, size_t n, int64_t deadline_ms)
{
    for (size_t i = 0; i < n; i++) {
        in[i]->gate = tc_l1_gate_id(&c->l1, in[i]->target->ref.hash);
        in[i]->order = i;
    }
    qsort(in, n, sizeof *in, by_gate);
    for (size_t i = 0; i < n; i++) {
        bool again = i > 0 && in[i]->gate == in[i - 1]->gate;
        in[i]->in_gate = !again && tc_l1_write_begin(&c->l1, in[i]->target->ref, true, deadline_ms);
        if (again)
            tc_l1_invalidate(&c->l1, in[i]->target->ref);
        in[i]->status = again ? in[i - 1]->status : in[i]->in_gate ? CACHE_E_UNKNOWN : CACHE_E_TIMEOUT;
    }
}

static void set_settles(struct cache *c, struct tc_value_in *in)
{
    switch (in->status) {
    case CACHE_E_TIMEOUT:   /* it never had its turn */
    case CACHE_E_TOO_LARGE: /* L2 refuses it for good */
    case CACHE_E_NOMEM:
        /* Stored nowhere, but whoever sets a value says that the former one is none any more. */
        tc_invalidate_later(c, in->target);
        tc_l1_invalidate(&c->l1, in->target->ref);
        return;
    case CACHE_OK:
        break;
    default:
        in->status = tc_invalidate_later(c, in->target);
    }
    put_in_l1(c, in, NULL, true);
}

/* The first of in leaves its gate, and with it those behind it of the same gate. */
static void set_leaves(struct cache *c, struct tc_value_in **in, size_t n)
{
    if (tc_l1_write_end(&c->l1, in[0]->target->ref.hash, true))
        return;
    for (size_t i = 0; i < n && in[i]->gate == in[0]->gate; i++)
        take_back(c, in[i]);
    tc_l1_late_end(&c->l1);
}

static void set_l2(struct cache *c, struct tc_value_in **in, size_t n, int64_t deadline_ms)
{
    sets_enter(c, in, n, deadline_ms);
    for (size_t i = 0; i < n; i++)
        if (in[i]->status == CACHE_E_UNKNOWN && !tc_l2_usable(c))
            in[i]->status = CACHE_E_UNAVAILABLE;
    send_many(c, in, n, deadline_ms);
    for (size_t i = 0; i < n; i++)
        set_settles(c, in[i]);
    for (size_t i = 0; i < n; i++)
        if (in[i]->in_gate)
            set_leaves(c, in + i, n - i);
}

/* Stored in L1 alone, by what its type said before: if the type has come to use L2 meanwhile, a fill of an older value
 * may have got there until the generation moved. Whoever's fill got in then showed the type's new word by the lock that
 * moving it took. */
static void set_alone(struct cache *c, struct tc_value_in *in)
{
    in->status = put_in_l1(c, in, NULL, true);
    if (in->policy.flags & CACHE_TYPE_NO_L2 && tc_cache_uses_l2(c, in->target->type)) {
        int later = tc_invalidate_later(c, in->target);
        in->status = in->status == CACHE_OK ? later : in->status;
    }
}

void tc_write_set_many(struct cache *c, struct tc_value_in **in, size_t n, int64_t deadline_ms)
{
    size_t to_l2 = 0;
    for (size_t i = 0; i < n; i++) {
        struct tc_value_in *v = in[i];
        if (goes_to_l2(c, v)) {
            in[i] = in[to_l2];
            in[to_l2++] = v;
        } else {
            set_alone(c, v);
        }
    }
    if (to_l2 > 0)
        set_l2(c, in, to_l2, deadline_ms);
}
