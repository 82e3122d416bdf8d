/* Batches: each element is checked by itself; what cannot be looked up or stored does not keep the others from it. */
#include "tier/batch.h"

#include <string.h>

#include "api/options.h"
#include "api/values.h"
#include "tier/hit_many.h"

#define MOST_ITEMS 65536

/* What all three check first. With CACHE_OK the call is entered. */
static int enter(struct cache *c, const struct cache_item *it, size_t n, struct tc_reader **me)
{
    if ((it == NULL && n > 0) || n > MOST_ITEMS)
        return CACHE_E_INVALID;
    return tc_cache_enter_as(c, me);
}

static void set_statuses(struct cache_item *it, size_t n, int status)
{
    for (size_t i = 0; i < n; i++)
        it[i].status = status;
}

/* ---- get ---- */

#define UNDECIDED 1001 /* no status: an encoder's own ones are negative */

/* The general way, as far as it goes in L1: what is there may be no value, or is to be timed; and if that were not done
 * at once, all others of its type were left too, up to the end of the batch, since nobody counts until then. */
static int give_there(struct cache *c, struct tc_reader *me, const struct tc_target *t, struct cache_value *v)
{
    struct tc_l1_found found;
    struct tc_outcome out;
    if (tc_read_l1(c, me, t, &found, &out))
        return tc_values_give(c, &out, v);
    if (found.entry != NULL)
        tc_l1_release(&c->l1, found.entry);
    return UNDECIDED;
}

static int give_other(struct cache *c, struct tc_reader *me, struct cache_item *it, bool plain, bool there)
{
    struct tc_target t;
    memset(&it->value, 0, sizeof it->value);
    int rc = tc_cache_target(c, it->key, &t);
    if (rc != CACHE_OK)
        return rc;
    rc = there ? give_there(c, me, &t, &it->value) : UNDECIDED;
    return rc == UNDECIDED && plain && tc_read_plain_miss(c, me, it->key) ? CACHE_MISS : rc;
}

/* What L1 answers at once, for which nothing is allocated, of TC_L1_AHEAD items at most. The others are UNDECIDED;
 * returns how many these are. */
static size_t give_plain(struct cache *c, struct tc_reader *me, struct cache_item *it, size_t n)
{
    struct tc_hits h;
    size_t others = 0;
    tc_hits_pin(c, me, it, n, &h);
    for (size_t i = 0; i < n; i++) {
        it[i].status = CACHE_OK;
        if (__builtin_expect(h.pinned[i] != NULL, 1)) {
            tc_values_give_hit(c, h.pinned[i], h.now_ms, &it[i].value);
            continue;
        }
        it[i].status = give_other(c, me, &it[i], h.plain >> i & 1, h.there >> i & 1);
        others += it[i].status == UNDECIDED;
    }
    return others;
}

/* The n items that are undecided: their keys are good. */
static int get_others(struct cache *c, struct cache_item *it, size_t n, const struct cache_call *call)
{
    struct tc_batch_get *gets = tc_alloc_zeroed(&c->alloc, n * sizeof *gets);
    if (gets == NULL)
        return CACHE_E_NOMEM;
    for (size_t i = 0, at = 0; i < n; at++) {
        if (it[at].status != UNDECIDED)
            continue;
        tc_cache_target(c, it[at].key, &gets[i].target);
        gets[i++].at = at;
    }
    int rc = tc_batch_read(c, gets, n, call->flags, tc_cache_deadline(c, call->timeout_ms));
    for (size_t i = 0; i < n && rc == CACHE_OK; i++)
        it[gets[i].at].status = tc_values_give(c, &gets[i].out, &it[gets[i].at].value);
    tc_free(&c->alloc, gets, n * sizeof *gets);
    return rc;
}

static int get_many(struct cache *c, struct tc_reader *me, struct cache_item *it, size_t n,
                    const struct cache_call *call)
{
    size_t others = 0;
    for (size_t at = 0; at < n; at += TC_L1_AHEAD)
        others += give_plain(c, me, &it[at], n - at < TC_L1_AHEAD ? n - at : TC_L1_AHEAD);
    int rc = others > 0 ? get_others(c, it, others, call) : CACHE_OK;
    for (size_t i = 0; i < n && rc != CACHE_OK; i++)
        if (it[i].status == UNDECIDED)
            it[i].status = rc;
    return rc;
}

static void get_none(struct cache_item *it, size_t n, int why)
{
    for (size_t i = 0; i < n; i++)
        memset(&it[i].value, 0, sizeof it[i].value);
    set_statuses(it, n, why);
}

int cache_get_many(struct cache *c, struct cache_item *it, size_t n, const struct cache_call *o)
{
    struct tc_reader *me;
    int rc = enter(c, it, n, &me);
    if (rc != CACHE_OK)
        return rc;
    struct cache_call call;
    rc = tc_options_call(o, &call);
    if (rc == CACHE_OK && call.ticket != NULL)
        rc = CACHE_E_INVALID;
    if (rc == CACHE_OK)
        rc = get_many(c, me, it, n, &call);
    else
        get_none(it, n, rc);
    tc_cache_leave_as(c, me);
    return rc;
}

/* ---- set ---- */

struct set_batch {
    struct tc_value_in *values;
    struct tc_target *targets;
    struct tc_value_in **order, **scratch;
};

static bool alloc_set_batch(struct cache *c, struct set_batch *b, size_t n)
{
    b->values = tc_alloc_zeroed(&c->alloc, n * sizeof *b->values);
    b->targets = tc_alloc_zeroed(&c->alloc, n * sizeof *b->targets);
    b->order = tc_alloc(&c->alloc, n * sizeof(struct tc_value_in *));
    b->scratch = tc_alloc(&c->alloc, n * sizeof(struct tc_value_in *));
    return b->values != NULL && b->targets != NULL && b->order != NULL && b->scratch != NULL;
}

static void free_set_batch(struct cache *c, struct set_batch *b, size_t n)
{
    tc_free(&c->alloc, b->scratch, n * sizeof(struct tc_value_in *));
    tc_free(&c->alloc, b->order, n * sizeof(struct tc_value_in *));
    tc_free(&c->alloc, b->targets, n * sizeof *b->targets);
    tc_free(&c->alloc, b->values, n * sizeof *b->values);
}

/* False: the item makes no sense, its status says why. */
static bool prepare(struct cache *c, struct cache_item *it, struct tc_target *t, struct tc_value_in *in, int64_t ttl_ms)
{
    in->target = NULL;
    it->status = it->data == NULL && it->len > 0 ? CACHE_E_INVALID : tc_cache_target(c, it->key, t);
    if (it->status != CACHE_OK)
        return false;
    tc_write_prepare(c, t, (struct cache_slice){ it->data, it->len }, false, ttl_ms, NULL, in);
    return true;
}

static void set_many(struct cache *c, struct cache_item *it, size_t n, const struct cache_set_opts *o,
                     struct set_batch *b)
{
    size_t good = 0;
    for (size_t i = 0; i < n; i++)
        if (prepare(c, &it[i], &b->targets[i], &b->values[i], o->ttl_ms))
            b->order[good++] = &b->values[i];
    if (good > 0)
        tc_batch_write(c, b->order, good, NULL, tc_cache_deadline(c, o->timeout_ms), b->scratch);
    for (size_t i = 0; i < n; i++) {
        if (b->values[i].target == NULL)
            continue;
        it[i].status = b->values[i].status;
        if (b->values[i].entry != NULL)
            tc_l1_drop(&c->l1, b->values[i].entry);
    }
}

/* Without memory for the batch: none of them may be left with the value that it is to replace. */
static void set_each(struct cache *c, struct cache_item *it, size_t n, const struct cache_set_opts *o)
{
    for (size_t i = 0; i < n; i++) {
        struct tc_value_in value, *order, *scratch;
        struct tc_target target;
        struct set_batch one = { &value, &target, &order, &scratch };
        set_many(c, &it[i], 1, o, &one);
    }
}

int cache_set_many(struct cache *c, struct cache_item *it, size_t n, const struct cache_set_opts *o)
{
    struct tc_reader *me;
    int rc = enter(c, it, n, &me);
    if (rc != CACHE_OK)
        return rc;
    struct cache_set_opts opts;
    rc = tc_options_set(o, &opts);
    if (rc == CACHE_OK && opts.ticket != NULL)
        rc = CACHE_E_INVALID;
    if (rc == CACHE_OK && n > 0) {
        struct set_batch b;
        if (alloc_set_batch(c, &b, n))
            set_many(c, it, n, &opts, &b);
        else
            set_each(c, it, n, &opts);
        free_set_batch(c, &b, n);
    }
    if (rc != CACHE_OK)
        set_statuses(it, n, rc);
    tc_cache_leave_as(c, me);
    return rc;
}

/* ---- invalidate ---- */

/* A malformed key is in no tier: it is told so, and the others go on. */
static void invalidate_each(struct cache *c, struct cache_item *it, size_t n, int64_t deadline_ms)
{
    enum { CHUNK = TC_INVALIDATE_CHUNK };
    struct tc_target targets[CHUNK];
    int statuses[CHUNK];
    size_t at[CHUNK], good = 0;
    for (size_t i = 0; i < n; i++) {
        it[i].status = tc_cache_target(c, it[i].key, &targets[good]);
        if (it[i].status == CACHE_OK)
            at[good++] = i;
        if (good < CHUNK && i + 1 < n)
            continue;
        tc_invalidate(c, targets, statuses, good, deadline_ms);
        for (size_t k = 0; k < good; k++)
            it[at[k]].status = statuses[k];
        good = 0;
    }
}

int cache_invalidate_many(struct cache *c, struct cache_item *it, size_t n, const struct cache_call *o)
{
    struct tc_reader *me;
    int rc = enter(c, it, n, &me);
    if (rc != CACHE_OK)
        return rc;
    struct cache_call call;
    rc = tc_options_call(o, &call);
    if (rc == CACHE_OK && (call.flags != 0 || call.ticket != NULL))
        rc = CACHE_E_INVALID;
    if (rc == CACHE_OK)
        invalidate_each(c, it, n, tc_cache_deadline(c, call.timeout_ms));
    else
        set_statuses(it, n, rc);
    tc_cache_leave_as(c, me);
    return rc;
}
