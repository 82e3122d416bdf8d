/* Reading through both tiers: L1, then L2, whose hit is kept in L1; and when L2 cannot say, what L1 still holds past
 * its TTL, within the type's stale window. The generation is read before the look-up, and so before L2 is asked: what
 * comes back is kept only if the key was not invalidated meanwhile. */
#include "policy/ticket.h"
#include "tier/verbs.h"

/* When the look-up begins, if it is to be timed should it be a hit; else 0. */
static inline int64_t sample_begins(struct tc_reader *me, const struct cache_type *t)
{
    if (me == NULL)
        return 0;
    uint64_t hits = t->id < TC_READER_COUNTS ? atomic_load_explicit(&me->counts[t->id], memory_order_relaxed)
                                             : me->others++;
    return (hits + 1) % TC_SAMPLE_EVERY == 0 ? tc_mono_ns() : 0;
}

static inline void count_hit(struct tc_reader *me, struct cache_type *t, int64_t began_ns)
{
    tc_cache_count_hit(me, t);
    if (began_ns > 0)
        tc_histogram_record(&t->stats.latencies[TC_LATENCY_l1_hit], tc_mono_ns() - began_ns);
}

static void look_up(struct cache *c, struct tc_reader *me, const struct tc_target *t, struct tc_l1_found *found)
{
    if (tc_type_flags(t->type) & CACHE_TYPE_NO_L1)
        *found = (struct tc_l1_found){ NULL, false, tc_l1_generation(&c->l1, t->ref.hash) };
    else
        tc_l1_get_as(&c->l1, me, t->ref, tc_clock_coarse_ms(&c->clock), found);
}

static void answer(struct tc_outcome *out, struct cache_type *t, struct tc_entry *e, uint32_t tier, uint32_t flags)
{
    out->status = tc_entry_flags(e) & TC_ENTRY_ABSENT ? CACHE_ABSENT : CACHE_OK;
    out->entry = e;
    out->tier = tier;
    out->flags |= flags;
    if (out->status == CACHE_ABSENT)
        tc_cache_count(t, TC_COUNT_l1_absent);
}

bool tc_read_l1(struct cache *c, struct tc_reader *me, const struct tc_target *t, struct tc_l1_found *found,
                struct tc_outcome *out)
{
    int64_t began_ns = sample_begins(me, t->type);
    *out = (struct tc_outcome){ CACHE_MISS, NULL, CACHE_TIER_NONE, 0 };
    look_up(c, me, t, found);
    if (found->entry == NULL || !found->fresh)
        return false;
    count_hit(me, t->type, began_ns);
    answer(out, t->type, found->entry, CACHE_TIER_L1, 0);
    return true;
}

bool tc_read_stale(struct cache *c, struct cache_type *t, struct tc_l1_found *found, bool allowed,
                   struct tc_outcome *out)
{
    struct tc_entry *e = found->entry;
    found->entry = NULL;
    if (e == NULL)
        return false;
    if (!allowed) {
        tc_l1_release(&c->l1, e);
        return false;
    }
    tc_cache_count(t, TC_COUNT_l1_hits);
    tc_cache_count(t, TC_COUNT_l1_stale);
    answer(out, t, e, CACHE_TIER_L1, CACHE_META_STALE);
    return true;
}

void tc_read_settle(struct cache *c, struct tc_l2_read *r, uint64_t generation, struct tc_outcome *out)
{
    out->status = CACHE_MISS;
    if (r->status == CACHE_OK) {
        struct tc_entry *e = r->entry;
        struct tc_policy p;
        struct cache_type *t = r->target->type;
        tc_type_policy(t, &p);
        if (r->keep_in_l1)
            tc_l1_put(&c->l1, e, &p, &generation, false);
        tc_l1_detach_unless_stored(&c->l1, e); /* it was refused, or copied */
        tc_l1_pin(&c->l1, e);
        tc_l1_drop(&c->l1, e);
        answer(out, t, e, CACHE_TIER_L2, 0);
    } else if (r->status != CACHE_MISS) {
        out->flags |= CACHE_META_L2_OUT;
        if (r->status == CACHE_E_NOMEM)
            out->status = CACHE_E_NOMEM;
    }
}

static void miss(struct cache *c, const struct tc_target *t, uint64_t generation, struct cache_ticket *ticket)
{
    int64_t now_ms = tc_clock_coarse_ms(&c->clock);
    tc_ticket_remember(c->id, t->ref.hash, generation, now_ms);
    if (ticket != NULL)
        tc_ticket_write(ticket, c->id, t->ref.hash, generation, now_ms);
}

void tc_read_finish(struct cache *c, const struct tc_target *t, struct tc_l1_found *found, uint32_t flags,
                    struct cache_ticket *ticket, struct tc_outcome *out)
{
    bool want_stale = out->entry == NULL && out->flags & CACHE_META_L2_OUT && !(flags & CACHE_CALL_NO_STALE);
    if (tc_read_stale(c, t->type, found, want_stale, out))
        return;
    tc_cache_count(t->type, TC_COUNT_l1_misses);
    if (out->status == CACHE_MISS)
        miss(c, t, found->generation, ticket);
}

bool tc_read_plain_miss(struct cache *c, struct tc_reader *me, const struct cache_key *key)
{
    struct tc_target t;
    uint64_t generation;
    if (c->l2.present || atomic_load_explicit(&c->closing, memory_order_relaxed) ||
        tc_cache_target(c, key, &t) != CACHE_OK || !tc_l1_misses(&c->l1, me, t.ref, &generation))
        return false;
    tc_reader_count(&me->missed[t.type->id], 1);
    miss(c, &t, generation, NULL);
    return true;
}

/* What follows when L1 did not answer. */
static void read_on(struct cache *c, const struct tc_target *t, const struct tc_read_opts *o,
                    struct tc_l1_found *found, struct tc_outcome *out)
{
    if (tc_cache_uses_l2(c, t->type) && !(o->flags & CACHE_CALL_L1_ONLY)) {
        if (tc_l2_usable(c)) {
            struct tc_l2_read r = { t, CACHE_E_UNKNOWN, NULL, false };
            tc_l2_read_one(c, &r, tc_l2_deadline(c, tc_cache_deadline(c, o->timeout_ms), false));
            tc_read_settle(c, &r, found->generation, out);
        } else {
            tc_cache_count(t->type, TC_COUNT_l2_skipped);
            out->flags |= CACHE_META_L2_OUT;
        }
    }
    tc_read_finish(c, t, found, o->flags, o->ticket, out);
}

void tc_read(struct cache *c, struct tc_reader *me, const struct tc_target *t, const struct tc_read_opts *o,
             struct tc_outcome *out)
{
    struct tc_l1_found found;
    if (o->ticket != NULL)
        tc_ticket_clear(o->ticket);
    if (!tc_read_l1(c, me, t, &found, out))
        read_on(c, t, o, &found, out);
}

int tc_read_copy(struct cache *c, struct tc_reader *me, const struct tc_target *t, void *buf, size_t cap,
                 struct tc_l1_copied *copied, struct tc_outcome *out)
{
    struct tc_l1_found found;
    int64_t began_ns = sample_begins(me, t->type);
    if (tc_type_flags(t->type) & CACHE_TYPE_NO_L1) {
        look_up(c, me, t, &found);
    } else if (tc_l1_get_copy_as(&c->l1, me, t->ref, tc_clock_coarse_ms(&c->clock), buf, cap, copied, &found)) {
        count_hit(me, t->type, began_ns);
        if (!(copied->flags & TC_ENTRY_ABSENT))
            return CACHE_OK;
        tc_cache_count(t->type, TC_COUNT_l1_absent);
        return CACHE_ABSENT;
    }
    *out = (struct tc_outcome){ CACHE_MISS, NULL, CACHE_TIER_NONE, 0 };
    if (found.entry != NULL && found.fresh) {
        count_hit(me, t->type, began_ns);
        answer(out, t->type, found.entry, CACHE_TIER_L1, 0);
    } else {
        struct tc_read_opts o = { 0, 0, NULL };
        read_on(c, t, &o, &found, out);
    }
    return TC_READ_PINNED;
}
