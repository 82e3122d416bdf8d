/* Values: filling them, and releasing them from whatever thread, as often as anyone likes. */
#include "api/values.h"

#include <string.h>

static int64_t not_negative(int64_t ms)
{
    return ms > 0 ? ms : 0;
}

void tc_values_meta(int64_t now_ms, const struct tc_l1_copied *e, uint32_t tier, uint32_t flags, struct cache_meta *m)
{
    memset(m, 0, sizeof *m);
    m->len = e->len;
    m->tier = tier;
    m->flags = flags;
    m->age_ms = not_negative(now_ms - e->made_ms);
    m->ttl_ms = e->fresh_until_ms == TC_NEVER_MS ? CACHE_TTL_FOREVER : e->fresh_until_ms - now_ms;
    /* A time left of exactly that much would read as "for ever". */
    if (m->ttl_ms == CACHE_TTL_FOREVER && e->fresh_until_ms != TC_NEVER_MS)
        m->ttl_ms = -1;
    m->coherent_age_ms = not_negative(now_ms - e->taken_ms);
}

static void give_pinned(struct cache *c, struct tc_entry *e, struct cache_value *v)
{
    struct cache_slice value = tc_entry_value(e);
    v->data = value.data;
    v->len = value.len;
    v->pin = e;
    v->reserved[0] = (uint64_t)(uintptr_t)c;
    v->reserved[1] = 0;
}

int tc_values_give(struct cache *c, struct tc_outcome *out, struct cache_value *v)
{
    memset(v, 0, sizeof *v);
    v->meta.flags = out->flags;
    if (out->entry == NULL)
        return out->status;
    struct tc_l1_copied fields = tc_l1_fields(out->entry);
    tc_values_meta(tc_clock_coarse_ms(&c->clock), &fields, out->tier, out->flags, &v->meta);
    if (out->status != CACHE_OK) {
        tc_l1_release(&c->l1, out->entry);
        return out->status;
    }
    give_pinned(c, out->entry, v);
    return CACHE_OK;
}

void tc_values_give_hit(struct cache *c, struct tc_entry *e, int64_t now_ms, struct cache_value *v)
{
    struct tc_l1_copied fields = tc_l1_fields(e);
    tc_values_meta(now_ms, &fields, CACHE_TIER_L1, 0, &v->meta);
    give_pinned(c, e, v);
}

void cache_value_release(struct cache_value *v)
{
    if (v == NULL || v->pin == NULL)
        return;
    struct cache *c = (struct cache *)(uintptr_t)v->reserved[0];
    struct tc_entry *e = v->pin;
    v->pin = NULL;
    v->data = NULL;
    v->len = 0;
    if (!tc_fork_guard_is_child(&c->fork)) /* in a child the locks and counts are the parent's business */
        tc_l1_release(&c->l1, e);
}
