/* Batches: the verbs for many keys at once, with one round trip to L2 for all that need one. Each key's outcome is that
 * of the single verb; there is no order between them. */
#include <string.h>

#include "policy/ticket.h"
#include "tier/batch.h"

/* ---- get ---- */

struct pending {
    size_t at;
    struct tc_l1_found found;
};

/* For those that hit_many.h does not serve: the others' lines were asked for there. */
static void fetch_ahead(struct cache *c, struct tc_reader *me, const struct tc_batch_get *items, size_t n)
{
    size_t ahead = n < TC_L1_AHEAD ? n : TC_L1_AHEAD;
    for (size_t i = 0; i < ahead; i++)
        tc_l1_prefetch(&c->l1, items[i].target.ref.hash);
    if (me == NULL)
        return;
    tc_reader_enter(&c->l1.readers, me);
    for (size_t i = 0; i < ahead; i++)
        tc_l1_prefetch_entry(&c->l1, items[i].target.ref.hash);
    tc_reader_leave(me);
}

/* L1 for all; those that L2 is to be asked for go to reads and waiting. Returns how many. */
static size_t look_in_l1(struct cache *c, struct tc_batch_get *items, size_t n, uint32_t flags,
                         struct tc_l2_read *reads, struct pending *waiting)
{
    size_t n_reads = 0;
    struct tc_reader *me = tc_reader_self(&c->l1.readers);
    for (size_t i = 0; i < n; i++) {
        struct tc_l1_found found;
        struct tc_batch_get *it = &items[i];
        if (i % TC_L1_AHEAD == 0)
            fetch_ahead(c, me, it, n - i);
        if (tc_read_l1(c, me, &it->target, &found, &it->out))
            continue;
        if (tc_cache_uses_l2(c, it->target.type) && !(flags & CACHE_CALL_L1_ONLY)) {
            reads[n_reads] = (struct tc_l2_read){ &it->target, CACHE_E_UNKNOWN, NULL, false };
            waiting[n_reads++] = (struct pending){ i, found };
            continue;
        }
        tc_read_finish(c, &it->target, &found, flags, NULL, &it->out);
    }
    return n_reads;
}

/* Whether L2 may be asked is decided after the generations were read, as for a single key: an invalidation that was
 * queued in between has moved them, and one that is queued later will. */
static bool may_ask_l2(struct cache *c, struct tc_batch_get *items, const struct pending *waiting, size_t n_reads)
{
    if (tc_l2_usable(c))
        return true;
    for (size_t i = 0; i < n_reads; i++) {
        struct tc_batch_get *it = &items[waiting[i].at];
        tc_cache_count(it->target.type, TC_COUNT_l2_skipped);
        it->out.flags |= CACHE_META_L2_OUT;
    }
    return false;
}

int tc_batch_read(struct cache *c, struct tc_batch_get *items, size_t n, uint32_t flags, int64_t deadline_ms)
{
    struct tc_l2_read *reads = tc_alloc(&c->alloc, n * sizeof *reads);
    struct pending *waiting = tc_alloc(&c->alloc, n * sizeof *waiting);
    int rc = reads != NULL && waiting != NULL ? CACHE_OK : CACHE_E_NOMEM;
    if (rc == CACHE_OK) {
        size_t n_reads = look_in_l1(c, items, n, flags, reads, waiting);
        bool asked = n_reads > 0 && may_ask_l2(c, items, waiting, n_reads);
        if (asked)
            tc_l2_read_many(c, reads, n_reads, tc_l2_deadline(c, deadline_ms, false));
        for (size_t i = 0; i < n_reads; i++) {
            struct tc_batch_get *it = &items[waiting[i].at];
            if (asked)
                tc_read_settle(c, &reads[i], waiting[i].found.generation, &it->out);
            tc_read_finish(c, &it->target, &waiting[i].found, flags, NULL, &it->out);
        }
    }
    tc_free(&c->alloc, waiting, n * sizeof *waiting);
    tc_free(&c->alloc, reads, n * sizeof *reads);
    return rc;
}

/* ---- set ---- */

/* Which of the two kinds of storing it is: with the explicit ticket, or this thread's implicit one, a fill. Sets
 * in->status to CACHE_E_TICKET if there is a ticket that is none, or the type demands one. */
static bool is_fill(struct cache *c, struct tc_value_in *in, const struct cache_ticket *ticket)
{
    uint64_t hash = in->target->ref.hash;
    in->status = CACHE_OK;
    /* Also beside an explicit one: the miss is answered now, the next set is a write of its own. */
    bool recalled = tc_ticket_recall(c->id, hash, in->now_ms, &in->generation);
    if (ticket != NULL) {
        if (!tc_ticket_read(ticket, c->id, hash, &in->generation))
            in->status = CACHE_E_TICKET;
        return true;
    }
    if (!recalled && in->policy.flags & CACHE_TYPE_REQUIRE_TICKET)
        in->status = CACHE_E_TICKET;
    return recalled;
}

/* A value that is not to be cached, or cannot be, still replaces the one that is. why: the result in the latter
 * case. */
static void store_nothing(struct cache *c, struct tc_value_in *in, bool fill, int why, int64_t deadline_ms)
{
    if (!fill)
        tc_invalidate_silently(c, in->target, &in->status, 1, deadline_ms);
    else if (tc_l1_generation(&c->l1, in->target->ref.hash) != in->generation)
        in->status = CACHE_E_TICKET;
    if (why != CACHE_OK)
        in->status = why;
}

void tc_batch_write(struct cache *c, struct tc_value_in **in, size_t n, const struct cache_ticket *ticket,
                    int64_t deadline_ms, struct tc_value_in **scratch)
{
    size_t fills = 0, sets = 0;
    for (size_t i = 0; i < n; i++) {
        struct tc_value_in *v = in[i];
        int prepared = v->status;
        bool fill = is_fill(c, v, ticket);
        if (v->status != CACHE_OK) {
            tc_cache_count(v->target->type, TC_COUNT_tickets_refused);
            continue;
        }
        if (prepared != CACHE_OK || v->ttl.ttl_ms == CACHE_TTL_NONE) {
            store_nothing(c, v, fill, prepared, deadline_ms);
            if (v->status == CACHE_E_TICKET)
                tc_cache_count(v->target->type, TC_COUNT_tickets_refused);
        } else if (fill)
            scratch[fills++] = v;
        else
            in[sets++] = v;
    }
    if (fills > 0)
        tc_write_fill_many(c, scratch, fills, deadline_ms);
    for (size_t i = 0; i < fills; i++)
        if (scratch[i]->status == CACHE_E_TICKET)
            tc_cache_count(scratch[i]->target->type, TC_COUNT_tickets_refused);
    if (sets > 0)
        tc_write_set_many(c, in, sets, deadline_ms);
}
