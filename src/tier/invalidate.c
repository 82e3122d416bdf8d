/* Invalidations: in this process first and in any case; in L2 now, or kept until it is there again.
 *
 * The generation moves twice. Once before L2 is told, with the gate closed: what was read before is void, and no fill
 * is under way any more. Once after L2 answered, or the invalidation was queued: between the two a reader may have read
 * the old value from L2 under the new generation, and may be about to put it into L1. */
#include "tier/verbs.h"

int tc_invalidate_later(struct cache *c, const struct tc_target *t)
{
    return tc_recovery_add(c, t->ref.hash, t->ref.key);
}

/* Everything but the deletion in L2; wants_l2[i] says where that is due. */
static void begin(struct cache *c, const struct tc_target *t, struct cache_backend_item *item, int64_t deadline_ms,
                  bool *in_gate)
{
    item->key = t->ref.key;
    item->status = CACHE_OK;
    *in_gate = false;
    if (!tc_cache_uses_l2(c, t->type)) {
        tc_l1_invalidate(&c->l1, t->ref);
        /* The type has come to use L2 meanwhile: an older value may have got there until the generation moved. */
        if (tc_cache_uses_l2(c, t->type))
            item->status = CACHE_E_UNAVAILABLE;
        return;
    }
    *in_gate = tc_l1_write_begin(&c->l1, t->ref, false, deadline_ms);
    item->status = *in_gate && tc_l2_usable(c) ? CACHE_E_UNKNOWN : CACHE_E_UNAVAILABLE;
}

static void end(struct cache *c, const struct tc_target *t, const struct cache_backend_item *item, bool in_gate,
                int *status)
{
    *status = item->status == CACHE_OK ? CACHE_OK : tc_invalidate_later(c, t);
    tc_l1_invalidate(&c->l1, t->ref);
    if (in_gate)
        tc_l1_write_end(&c->l1, t->ref.hash, false);
}

static void invalidate_chunk(struct cache *c, const struct tc_target *targets, int *statuses, size_t n,
                             int64_t deadline_ms)
{
    struct cache_backend_item items[TC_INVALIDATE_CHUNK] = { 0 }, due[TC_INVALIDATE_CHUNK] = { 0 };
    bool in_gate[TC_INVALIDATE_CHUNK];
    size_t n_due = 0;
    for (size_t i = 0; i < n; i++) {
        begin(c, &targets[i], &items[i], deadline_ms, &in_gate[i]);
        if (items[i].status == CACHE_E_UNKNOWN)
            due[n_due++].key = items[i].key;
    }
    if (n_due > 0)
        tc_l2_delete_many(c, due, n_due, tc_l2_deadline(c, deadline_ms, false));
    for (size_t i = 0, at = 0; i < n; i++) {
        if (items[i].status == CACHE_E_UNKNOWN)
            items[i].status = due[at++].status;
        end(c, &targets[i], &items[i], in_gate[i], &statuses[i]);
    }
}

void tc_invalidate_silently(struct cache *c, const struct tc_target *targets, int *statuses, size_t n,
                            int64_t deadline_ms)
{
    for (size_t at = 0; at < n; at += TC_INVALIDATE_CHUNK) {
        size_t left = n - at, k = left < TC_INVALIDATE_CHUNK ? left : TC_INVALIDATE_CHUNK;
        invalidate_chunk(c, targets + at, statuses + at, k, deadline_ms);
    }
}

void tc_invalidate(struct cache *c, const struct tc_target *targets, int *statuses, size_t n, int64_t deadline_ms)
{
    tc_invalidate_silently(c, targets, statuses, n, deadline_ms);
    for (size_t i = 0; i < n; i++) {
        tc_cache_count(targets[i].type, TC_COUNT_invalidations);
        if (statuses[i] != CACHE_OK)
            tc_cache_count(targets[i].type, TC_COUNT_invalidations_queued);
    }
}
