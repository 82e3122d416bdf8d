/* Reading and writing L2.
 *
 * A value that comes back is believed only if it is a whole frame of this key. Anything else is a miss with a counter
 * and an event: other programs' data, a cut or changed frame, a frame of a newer version, another key's frame.
 *
 * A frame's life is what L2 says is left of it, never what clocks of two hosts would make of its time stamps. From
 * what is left and what it was given follows when it was written, in this process's time; that decides whether it may
 * be older than an invalidation that was lost (tc_recovery_distrusts). */
#include "tier/l2.h"

#include <string.h>

#include "policy/ttl.h"
#include "tier/cache.h"
#include "tier/frame.h"

static void set_many_one_by_one(struct tc_l2 *l2, struct cache_backend_item *it, size_t n, int64_t deadline_ms)
{
    for (size_t i = 0; i < n; i++)
        it[i].status = l2->ops.set(l2->ctx, it[i].key, it[i].data, it[i].ttl_ms, deadline_ms);
}

static void del_many_one_by_one(struct tc_l2 *l2, struct cache_backend_item *it, size_t n, int64_t deadline_ms)
{
    for (size_t i = 0; i < n; i++)
        it[i].status = l2->ops.del(l2->ctx, it[i].key, deadline_ms);
}

static int always_up(void *ctx)
{
    (void)ctx;
    return CACHE_BACKEND_UP;
}

static int64_t never_again(void *ctx)
{
    (void)ctx;
    return -1;
}

static void no_stats(void *ctx, struct cache_backend_stats *out)
{
    (void)ctx;
    (void)out;
}

static void nothing_to_close(void *ctx)
{
    (void)ctx;
}

int tc_l2_complete(const struct cache_backend_ops *ops, struct cache_backend_ops *out)
{
    if (ops->abi != CACHE_BACKEND_ABI || ops->name == NULL || ops->get == NULL || ops->get_many == NULL ||
        ops->set == NULL || ops->del == NULL || ops->close == NULL)
        return CACHE_E_ABI;
    *out = (struct cache_backend_ops){
        .abi = ops->abi,
        .capabilities = ops->capabilities,
        .name = ops->name,
        .get = ops->get,
        .get_many = ops->get_many,
        .set = ops->set,
        .del = ops->del,
        .close = ops->close,
        .attach = ops->attach,
        .set_many = ops->set_many,
        .del_many = ops->del_many,
        .health = ops->health != NULL ? ops->health : always_up,
        .maintain = ops->maintain != NULL ? ops->maintain : never_again,
        .stats = ops->stats != NULL ? ops->stats : no_stats,
        .forked = ops->forked != NULL ? ops->forked : nothing_to_close,
        .detach = ops->detach != NULL ? ops->detach : nothing_to_close,
    };
    return CACHE_OK;
}

int tc_l2_health(struct cache *c)
{
    return c->l2.present ? c->l2.ops.health(c->l2.ctx) : 0;
}

bool tc_l2_usable(struct cache *c)
{
    /* A fill that comes late keeps an invalidation of its own before it ceases to count: asked in this order, neither
     * is missed. */
    return c->l2.present && tc_l1_late(&c->l1) == 0 && tc_recovery_pending(&c->recovery) == 0 &&
           c->l2.ops.health(c->l2.ctx) != CACHE_BACKEND_DOWN;
}

int64_t tc_l2_deadline(struct cache *c, int64_t call_deadline_ms, bool leave_half)
{
    int64_t now_ms = tc_clock_now_ms(&c->clock);
    int64_t left_ms = call_deadline_ms - now_ms;
    if (leave_half)
        left_ms /= 2;
    return tc_deadline(now_ms, left_ms < c->l2_timeout_ms ? left_ms : c->l2_timeout_ms);
}

/* ---- reading ---- */

static void report_frame(struct cache *c, const struct tc_target *t, uint32_t kind, int64_t now_ms)
{
    struct cache_event e = { kind, CACHE_OK, 1, t->ref.key, { 0 } };
    tc_notice_event(&c->notices, now_ms, &e);
    tc_notice_log(&c->notices, now_ms, kind, CACHE_LOG_WARNING, c->l2.ops.name,
                  kind == CACHE_EVENT_WRONG_KEY ? "L2 answered with a frame of another key (type %s); taken as a miss"
                                                : "L2 held no valid frame under a key of type %s; taken as a miss",
                  t->type->name);
}

static bool is_believed(struct cache *c, const struct tc_target *t, struct cache_slice bytes, struct tc_frame *f,
                        int64_t now_ms)
{
    switch (tc_frame_read(bytes, t->ref.key, f)) {
    case TC_FRAME_GOOD:
        return true;
    case TC_FRAME_FOREIGN:
        tc_cache_count(t->type, TC_COUNT_l2_wrong_key);
        report_frame(c, t, CACHE_EVENT_WRONG_KEY, now_ms);
        return false;
    case TC_FRAME_BROKEN:
    case TC_FRAME_UNKNOWN:
        break;
    }
    tc_cache_count(t->type, TC_COUNT_l2_bad_frames);
    report_frame(c, t, CACHE_EVENT_BAD_FRAME, now_ms);
    return false;
}

/* What L2 is given for a life: it always gets an end, since what is left of it is what dates a value. */
static int64_t life_in_l2(int64_t ttl_ms)
{
    return ttl_ms == CACHE_TTL_FOREVER ? CACHE_TTL_MAX_MS : ttl_ms;
}

/* Whether L2's own clock tells how old the frame is. */
static bool is_dated(const struct tc_frame *f, int64_t left_ms)
{
    return life_in_l2(f->ttl_ms) > 0 && left_ms > 0;
}

/* When the frame was written, in this process's time, or a little before: what is left of its life was read by L2 after
 * asked_ms. Where L2 does not know what is left, the frame has only its wall clock to tell. */
static int64_t written_ms(struct cache *c, const struct tc_frame *f, int64_t left_ms, int64_t asked_ms)
{
    /* Both numbers come from L2 and may be anything: compared before they are subtracted. */
    int64_t wall_ms = tc_clock_wall_ms(&c->clock), age_ms = 0;
    if (is_dated(f, left_ms))
        age_ms = life_in_l2(f->ttl_ms) > left_ms ? life_in_l2(f->ttl_ms) - left_ms : 0;
    else if (f->written_wall_ms >= 0 && f->written_wall_ms < wall_ms)
        age_ms = wall_ms - f->written_wall_ms;
    return asked_ms - (age_ms < CACHE_TTL_MAX_MS ? age_ms : CACHE_TTL_MAX_MS);
}

/* Below this a copy is cheaper than keeping the whole frame for the sake of the value in it. */
#define ADOPT_BYTES 16384

static struct tc_entry *entry_of_frame(struct cache *c, const struct tc_target *t, const struct tc_frame *f,
                                       struct cache_backend_value *value)
{
    if (f->payload.len >= ADOPT_BYTES) {
        struct tc_entry *e = tc_entry_adopt(&c->alloc, c->l1.node_bytes, t->type, t->ref.hash, t->ref.key,
                                            value->data, value->len, f->payload);
        if (e != NULL)
            value->data = NULL;
        return e;
    }
    struct tc_entry *e =
        tc_entry_open(&c->alloc, c->l1.node_bytes, t->type, t->ref.hash, t->ref.key, f->payload.len);
    if (e != NULL && f->payload.len > 0)
        memcpy(tc_entry_room(e), f->payload.data, f->payload.len);
    return e;
}

/* How long the value may live in L1: the type's word on a value of which that much is left. */
static void set_lifetime(struct cache *c, struct tc_l2_read *r, int64_t left_ms, int64_t now_ms)
{
    struct tc_policy p;
    tc_type_policy(r->target->type, &p);
    struct tc_entry *e = r->entry;
    struct tc_ttl_ask ask = { .view = { .type = r->target->type,
                                        .key = r->target->ref.key,
                                        .value_len = tc_entry_len(e),
                                        .absent = (tc_entry_flags(e) & TC_ENTRY_ABSENT) != 0,
                                        .previous_age_ms = -1,
                                        .load_us = -1 },
                              .wished_ms = left_ms };
    if (p.decide != NULL) {
        tc_entry_add_flags(e, TC_ENTRY_COUNTS);
        tc_l1_history(&c->l1, r->target->ref, now_ms, &ask.view.previous_age_ms, &ask.view.previous_hits);
    }
    struct cache_ttl ttl = tc_ttl_decide(&p, &ask, p.jitter_percent > 0 ? tc_ttl_ticks(r->target->type) : 0);
    r->keep_in_l1 = ttl.l1_ttl_ms != CACHE_TTL_NONE && !(p.flags & CACHE_TYPE_NO_L1);
    int64_t life_ms = r->keep_in_l1 ? ttl.l1_ttl_ms : left_ms;
    if (life_ms != CACHE_TTL_FOREVER) {
        struct tc_entry_more *more = tc_entry_more(e);
        more->fresh_until_ms = tc_deadline(now_ms, life_ms > 0 ? life_ms : 0);
        more->keep_until_ms = tc_deadline(more->fresh_until_ms, p.max_stale_ms);
    }
}

/* Whether what was written then may be older than an invalidation that L2 was not told of. A wall clock is good enough
 * to show an age, not to vouch for anything: such a value is from the beginning of time. */
static bool is_distrusted(struct cache *c, struct cache_type *t, int64_t vouched_ms)
{
    return tc_recovery_distrusts(&c->recovery, vouched_ms) || vouched_ms < tc_type_l2_since(t);
}

static void take_value(struct cache *c, struct tc_l2_read *r, struct cache_backend_value *value, int64_t asked_ms)
{
    struct cache_type *type = r->target->type;
    struct tc_frame f;
    int64_t now_ms = tc_clock_coarse_ms(&c->clock);
    r->status = CACHE_MISS;
    if (!is_believed(c, r->target, (struct cache_slice){ value->data, value->len }, &f, now_ms)) {
        tc_cache_count(type, TC_COUNT_l2_misses);
        return;
    }
    int64_t made_ms = written_ms(c, &f, value->ttl_ms, asked_ms);
    if (is_distrusted(c, type, is_dated(&f, value->ttl_ms) ? made_ms : INT64_MIN)) {
        tc_cache_count(type, TC_COUNT_l2_distrusted);
        tc_cache_count(type, TC_COUNT_l2_misses);
        return;
    }
    r->entry = entry_of_frame(c, r->target, &f, value);
    if (r->entry == NULL) {
        r->status = CACHE_E_NOMEM;
        tc_cache_count(type, TC_COUNT_l2_failed);
        return;
    }
    if (f.flags & TC_FRAME_ABSENT)
        tc_entry_add_flags(r->entry, TC_ENTRY_ABSENT);
    tc_entry_more(r->entry)->made_ms = made_ms;
    tc_entry_more(r->entry)->taken_ms = asked_ms;
    /* What is left was true at some moment after it was asked for: counted from then, L1 cannot outlive L2. */
    set_lifetime(c, r, f.ttl_ms == CACHE_TTL_FOREVER && value->ttl_ms > 0 ? f.ttl_ms : value->ttl_ms, asked_ms);
    r->status = CACHE_OK;
    tc_cache_count(type, TC_COUNT_l2_hits);
}

static void take_result(struct cache *c, struct tc_l2_read *r, int status, struct cache_backend_value *value,
                        int64_t asked_ms)
{
    r->entry = NULL;
    r->status = status;
    if (value->data == NULL)
        value->len = 0;
    if (value->ttl_ms <= 0 && value->ttl_ms != CACHE_TTL_FOREVER)
        value->ttl_ms = CACHE_TTL_NONE; /* also where a backend says what it must not say */
    if (status == CACHE_OK)
        take_value(c, r, value, asked_ms);
    else if (status == CACHE_MISS)
        tc_cache_count(r->target->type, TC_COUNT_l2_misses);
    else
        tc_cache_count(r->target->type, TC_COUNT_l2_failed);
    if (status == CACHE_OK)
        tc_free_value(&c->alloc, value->data, value->len);
}

void tc_l2_read_one(struct cache *c, struct tc_l2_read *r, int64_t deadline_ms)
{
    struct cache_backend_value value = { NULL, 0, CACHE_TTL_NONE };
    int64_t began_ns = tc_mono_ns(), asked_ms = tc_clock_coarse_ms(&c->clock);
    int cancel = tc_cancel_disable();
    int status = c->l2.ops.get(c->l2.ctx, r->target->ref.key, deadline_ms, &value);
    tc_cancel_restore(cancel);
    tc_histogram_record(&r->target->type->stats.latencies[TC_LATENCY_l2_get], tc_mono_ns() - began_ns);
    take_result(c, r, status, &value, asked_ms);
}

void tc_l2_read_many(struct cache *c, struct tc_l2_read *reads, size_t n, int64_t deadline_ms)
{
    struct cache_backend_item *items = tc_alloc_zeroed(&c->alloc, n * sizeof *items);
    if (items == NULL) {
        for (size_t i = 0; i < n; i++)
            reads[i].status = CACHE_E_NOMEM;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        items[i].key = reads[i].target->ref.key;
        items[i].value.ttl_ms = CACHE_TTL_NONE;
        items[i].status = CACHE_E_UNKNOWN;
    }
    int64_t began_ns = tc_mono_ns(), asked_ms = tc_clock_coarse_ms(&c->clock);
    int cancel = tc_cancel_disable();
    c->l2.ops.get_many(c->l2.ctx, items, n, deadline_ms);
    tc_cancel_restore(cancel);
    tc_histogram_record(&reads[0].target->type->stats.latencies[TC_LATENCY_l2_get], tc_mono_ns() - began_ns);
    for (size_t i = 0; i < n; i++)
        take_result(c, &reads[i], items[i].status, &items[i].value, asked_ms);
    tc_free(&c->alloc, items, n * sizeof *items);
}

/* ---- writing ---- */

static bool make_frame(struct cache *c, struct tc_l2_write *w)
{
    struct tc_entry *e = w->entry;
    uint32_t flags = tc_entry_flags(e) & TC_ENTRY_ABSENT ? TC_FRAME_ABSENT : 0;
    struct tc_frame f = { flags, tc_clock_wall_ms(&c->clock), w->ttl_ms,
                          w->target->ref.key, tc_entry_value(e) };
    w->frame_len = tc_frame_size(&f);
    w->frame = w->frame_len > 0 ? tc_alloc_value(&c->alloc, w->frame_len) : NULL;
    if (w->frame != NULL)
        tc_frame_write(&f, w->frame);
    return w->frame != NULL;
}

/* A backend may say of a write only what backend.h lists. */
static int write_status(int status)
{
    switch (status) {
    case CACHE_OK:
    case CACHE_E_UNAVAILABLE:
    case CACHE_E_TIMEOUT:
    case CACHE_E_REFUSED:
    case CACHE_E_AUTH:
    case CACHE_E_TOO_LARGE:
    case CACHE_E_NOMEM:
        return status;
    default:
        return CACHE_E_UNKNOWN;
    }
}

static void count_write(struct tc_l2_write *w)
{
    tc_cache_count(w->target->type, w->status == CACHE_OK ? TC_COUNT_l2_sets : TC_COUNT_l2_set_failed);
}

void tc_l2_write_one(struct cache *c, struct tc_l2_write *w, int64_t deadline_ms)
{
    int cancel = tc_cancel_disable();
    w->frame = NULL;
    if (make_frame(c, w))
        w->status = write_status(c->l2.ops.set(c->l2.ctx, w->target->ref.key,
                                               (struct cache_slice){ w->frame, w->frame_len },
                                               life_in_l2(w->ttl_ms), deadline_ms));
    else
        w->status = CACHE_E_NOMEM;
    tc_free_value(&c->alloc, w->frame, w->frame_len);
    tc_cancel_restore(cancel);
    count_write(w);
}

void tc_l2_write_many(struct cache *c, struct tc_l2_write *writes, size_t n, int64_t deadline_ms)
{
    struct cache_backend_item *items = tc_alloc_zeroed(&c->alloc, n * sizeof *items);
    size_t made = 0;
    for (size_t i = 0; i < n; i++) {
        writes[i].frame = NULL;
        writes[i].status = CACHE_E_NOMEM;
        if (items == NULL || !make_frame(c, &writes[i]))
            continue;
        items[made].key = writes[i].target->ref.key;
        items[made].data = (struct cache_slice){ writes[i].frame, writes[i].frame_len };
        items[made].ttl_ms = life_in_l2(writes[i].ttl_ms);
        items[made++].status = CACHE_E_UNKNOWN;
    }
    int cancel = tc_cancel_disable();
    if (made > 0 && c->l2.ops.set_many != NULL)
        c->l2.ops.set_many(c->l2.ctx, items, made, deadline_ms);
    else
        set_many_one_by_one(&c->l2, items, made, deadline_ms);
    tc_cancel_restore(cancel);
    for (size_t i = 0, at = 0; i < n; i++) {
        if (writes[i].frame != NULL)
            writes[i].status = write_status(items[at++].status);
        tc_free_value(&c->alloc, writes[i].frame, writes[i].frame_len);
        count_write(&writes[i]);
    }
    tc_free(&c->alloc, items, n * sizeof *items);
}

void tc_l2_delete_many(struct cache *c, struct cache_backend_item *items, size_t n, int64_t deadline_ms)
{
    for (size_t i = 0; i < n; i++)
        items[i].status = CACHE_E_UNKNOWN;
    int cancel = tc_cancel_disable();
    if (n == 1)
        items[0].status = c->l2.ops.del(c->l2.ctx, items[0].key, deadline_ms);
    else if (c->l2.ops.del_many != NULL)
        c->l2.ops.del_many(c->l2.ctx, items, n, deadline_ms);
    else
        del_many_one_by_one(&c->l2, items, n, deadline_ms);
    tc_cancel_restore(cancel);
    /* A key that is too long to be deleted is too long to be there. */
    for (size_t i = 0; i < n; i++)
        items[i].status = items[i].status == CACHE_E_TOO_LARGE ? CACHE_OK : write_status(items[i].status);
}
