/* The verbs of one key. Arguments are checked here and nowhere below. */
#include <string.h>

#include "api/options.h"
#include "api/values.h"
#include "tier/batch.h"
#include "tier/hit.h"
#include "tier/set.h"

/* ---- get ---- */

static __attribute__((noinline)) int get(struct cache *c, const struct cache_key *k, const struct cache_call *o,
                                         struct cache_value *v)
{
    struct tc_target t;
    struct cache_call call;
    struct tc_reader *me;
    memset(v, 0, sizeof *v);
    int rc = tc_cache_enter_key_as(c, k, &t, &me);
    if (rc != CACHE_OK)
        return rc;
    rc = tc_options_call(o, &call);
    if (rc == CACHE_OK) {
        struct tc_read_opts opts = { call.flags, call.timeout_ms, call.ticket };
        struct tc_outcome out;
        tc_read(c, me, &t, &opts, &out);
        rc = tc_values_give(c, &out, v);
    }
    tc_cache_leave_as(c, me);
    return rc;
}

int cache_get(struct cache *c, const struct cache_key *k, const struct cache_call *o, struct cache_value *v)
{
    struct tc_reader *held = NULL;
    int64_t now_ms;
    if (v == NULL)
        return CACHE_E_INVALID;
    struct tc_entry *e;
    int rc = o == NULL ? tc_hit_pin(c, k, &e, &now_ms, &held) : TC_HIT_LEFT;
    if (rc == CACHE_OK) {
        tc_values_give_hit(c, e, now_ms, v);
        return CACHE_OK;
    }
    if (rc == CACHE_MISS) {
        memset(v, 0, sizeof *v);
        return CACHE_MISS;
    }
    rc = get(c, k, o, v);
    if (held != NULL)
        tc_cache_leave_as(c, held);
    return rc;
}

/* Copies from a pinned entry. */
static int copy_out(struct cache *c, struct tc_outcome *out, void *buf, size_t cap, struct cache_meta *m)
{
    int rc = out->status;
    struct tc_entry *e = out->entry;
    if (e == NULL)
        return rc;
    struct cache_slice value = tc_entry_value(e);
    if (rc == CACHE_OK && value.len > cap)
        rc = CACHE_E_BUFFER;
    else if (rc == CACHE_OK && value.len > 0)
        memcpy(buf, value.data, value.len);
    if (m != NULL && rc != CACHE_ABSENT) {
        struct tc_l1_copied fields = tc_l1_fields(e);
        tc_values_meta(tc_clock_coarse_ms(&c->clock), &fields, out->tier, out->flags, m);
    }
    tc_l1_release(&c->l1, e);
    return rc;
}

static int get_copy_anyhow(struct cache *c, const struct cache_key *k, void *buf, size_t cap, struct cache_meta *m)
{
    struct tc_target t;
    struct tc_reader *me;
    struct tc_outcome out;
    struct tc_l1_copied copied;
    int rc = tc_cache_enter_key_as(c, k, &t, &me);
    if (rc != CACHE_OK)
        return rc;
    rc = tc_read_copy(c, me, &t, buf, cap, &copied, &out);
    if (rc == TC_READ_PINNED)
        rc = copy_out(c, &out, buf, cap, m);
    else if (rc == CACHE_OK && m != NULL)
        tc_values_meta(tc_clock_coarse_ms(&c->clock), &copied, CACHE_TIER_L1, 0, m);
    tc_cache_leave_as(c, me);
    return rc;
}

/* What tc_hit_copy() left. */
static __attribute__((noinline)) int get_copy(struct cache *c, const struct cache_key *k, void *buf, size_t cap,
                                              struct cache_meta *m, struct tc_reader *held)
{
    int rc = get_copy_anyhow(c, k, buf, cap, m);
    if (held != NULL)
        tc_cache_leave_as(c, held);
    return rc;
}

static __attribute__((noinline)) int get_copy_with_meta(struct cache *c, const struct cache_key *k, void *buf,
                                                        size_t cap, struct cache_meta *m)
{
    struct tc_reader *held;
    struct tc_l1_copied copied;
    int rc = tc_hit_copy(c, k, buf, cap, &copied, &held);
    if (rc == CACHE_OK)
        tc_values_meta(copied.now_ms, &copied, CACHE_TIER_L1, 0, m);
    return rc == TC_HIT_LEFT ? get_copy(c, k, buf, cap, m, held) : rc;
}

/* Flattened: the hash and the look-up are to be part of it, whatever the compiler thinks of its size. */
__attribute__((flatten)) int cache_get_copy(struct cache *c, const struct cache_key *k, void *buf, size_t cap,
                                            struct cache_meta *m)
{
    struct tc_reader *held;
    if (__builtin_expect(buf == NULL && cap > 0, 0))
        return CACHE_E_INVALID;
    if (m != NULL)
        return get_copy_with_meta(c, k, buf, cap, m);
    int rc = tc_hit_copy(c, k, buf, cap, NULL, &held);
    if (__builtin_expect(rc == CACHE_OK, 1))
        return CACHE_OK;
    return rc == TC_HIT_LEFT ? get_copy(c, k, buf, cap, NULL, held) : rc;
}

/* ---- set ---- */

static int set_value(struct cache *c, const struct tc_target *t, struct cache_slice data, bool absent,
                     const struct cache_set_opts *o)
{
    struct tc_value_in in, *at = &in, *scratch;
    struct tc_room room;
    tc_write_prepare(c, t, data, absent, o->ttl_ms, &room, &in);
    /* Without L2 nothing is waited for, and no exact clock is read. */
    int64_t deadline_ms = c->l2.present ? tc_cache_deadline(c, o->timeout_ms) : INT64_MAX;
    tc_batch_write(c, &at, 1, o->ticket, deadline_ms, &scratch);
    if (in.entry != NULL)
        tc_l1_drop(&c->l1, in.entry);
    return in.status;
}

static __attribute__((noinline)) int set(struct cache *c, const struct cache_key *k, struct cache_slice data,
                                         bool absent, const struct cache_set_opts *in)
{
    struct tc_target t;
    struct tc_reader *me;
    struct cache_set_opts o;
    int rc = tc_cache_enter_key_as(c, k, &t, &me);
    if (rc != CACHE_OK)
        return rc;
    rc = tc_options_set(in, &o);
    bool plain = rc == CACHE_OK && !absent && o.ticket == NULL && tc_set_plainly(c, me, &t, data, o.ttl_ms);
    if (rc == CACHE_OK && !plain)
        rc = set_value(c, &t, data, absent, &o);
    tc_cache_leave_as(c, me);
    return rc;
}

/* Flattened, as cache_get_copy() is, but for what is marked TC_APART. */
__attribute__((flatten)) int cache_set(struct cache *c, const struct cache_key *k, const void *data, size_t len,
                                       const struct cache_set_opts *o)
{
    struct cache_slice value = { data, len };
    if (__builtin_expect(data == NULL && len > 0, 0))
        return CACHE_E_INVALID;
    if (__builtin_expect(o == NULL && tc_set_here(c, k, value), 1))
        return CACHE_OK;
    return set(c, k, value, false, o);
}

int cache_set_absent(struct cache *c, const struct cache_key *k, const struct cache_set_opts *o)
{
    return set(c, k, (struct cache_slice){ NULL, 0 }, true, o);
}

/* ---- invalidate ---- */

int cache_invalidate(struct cache *c, const struct cache_key *k, const struct cache_call *o)
{
    struct tc_target t;
    struct cache_call call;
    int rc = tc_cache_enter_key(c, k, &t);
    if (rc != CACHE_OK)
        return rc;
    rc = tc_options_call(o, &call);
    if (rc == CACHE_OK && (call.flags != 0 || call.ticket != NULL))
        rc = CACHE_E_INVALID;
    if (rc == CACHE_OK)
        tc_invalidate(c, &t, &rc, 1, tc_cache_deadline(c, call.timeout_ms));
    tc_cache_leave(c);
    return rc;
}

int cache_clear_local(struct cache *c)
{
    int rc = tc_cache_enter(c);
    if (rc != CACHE_OK)
        return rc;
    tc_l1_clear(&c->l1);
    tc_cache_leave(c);
    return CACHE_OK;
}

int cache_resize(struct cache *c, uint64_t l1_bytes, int64_t timeout_ms)
{
    if (timeout_ms < 0)
        return CACHE_E_INVALID;
    int rc = tc_cache_enter(c);
    if (rc != CACHE_OK)
        return rc;
    if (atomic_flag_test_and_set_explicit(&c->resizing, memory_order_acquire)) {
        rc = CACHE_BUSY;
    } else {
        rc = tc_l1_resize(&c->l1, l1_bytes, tc_cache_deadline(c, timeout_ms));
        atomic_flag_clear_explicit(&c->resizing, memory_order_release);
    }
    tc_cache_leave(c);
    return rc;
}
