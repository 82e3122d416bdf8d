/* Types: registering, finding, updating. A list that only grows; readers need no lock. */
#include <string.h>

#include "api/options.h"

static int check(const struct cache_type_opts *in, const struct tc_policy_defaults *d, bool needs_name,
                 struct cache_type_opts *o, struct tc_policy *p, char *err, size_t err_cap)
{
    if (err != NULL && err_cap > 0)
        err[0] = '\0';
    if (!tc_options_copy(o, sizeof *o, in))
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID,
                                 "size: not initialised with CACHE_TYPE_OPTS_INIT, or unknown fields are set");
    if (o->name == NULL ? needs_name : !tc_name_is_valid(o->name))
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID, "name: must be 1 to 64 of [A-Za-z0-9_.-]");
    return tc_policy_resolve(o, d, p, err, err_cap);
}

int cache_type_check(const struct cache_type_opts *in, char *err, size_t err_cap)
{
    static const struct tc_policy_defaults defaults = { 1, UINT64_MAX, true };
    struct cache_type_opts o;
    struct tc_policy p;
    return check(in, &defaults, true, &o, &p, err, err_cap);
}

static struct cache_type *find_locked(struct cache *c, const char *name)
{
    tc_lock_assert_held(&c->types.lock);
    for (struct cache_type *t = c->types.first; t != NULL; t = t->next)
        if (strcmp(t->name, name) == 0)
            return t;
    return NULL;
}

/* What only the cache itself can say about a type's own eviction policy. */
static int check_evict(const struct cache *c, const struct cache_evict_ops *evict, char *err, size_t err_cap)
{
    if (evict == NULL || tc_l1_fits_evict(&c->l1, evict))
        return CACHE_OK;
    return tc_options_refuse(err, err_cap, CACHE_E_INVALID,
                             "evict: entries of this cache have no room for %s: open it with evict_node_bytes of %zu",
                             evict->name, evict->node_bytes);
}

static int register_locked(struct cache *c, const struct cache_type_opts *o, const struct tc_policy *p,
                           struct cache_type **out)
{
    tc_lock_assert_held(&c->types.lock);
    uint32_t count = atomic_load_explicit(&c->types.count, memory_order_relaxed);
    if (find_locked(c, o->name) != NULL)
        return CACHE_E_EXISTS;
    if (count == TC_TYPES_MAX)
        return CACHE_E_TOO_LARGE;
    struct cache_type *t;
    int rc = tc_type_open(c, &c->alloc, &c->encoder, o->name, count, p, &t);
    if (rc != CACHE_OK)
        return rc;
    if (o->evict != NULL)
        tc_l1_set_evict(&c->l1, t, o->evict);
    tc_l1_know(&c->l1, t);
    bool locked_hits = tc_l1_evict_of(&c->l1, t)->flags & CACHE_EVICT_LOCKED_HITS;
    if (t->id < TC_READER_COUNTS && !locked_hits && c->clock.system)
        tc_type_make_simple(t);
    t->next = c->types.first;
    c->types.first = t;
    c->types.by_id[count] = t;
    atomic_store_explicit(&c->types.count, count + 1, memory_order_release); /* by_id up to here may be read */
    *out = t;
    return CACHE_OK;
}

int cache_type_register(struct cache *c, const struct cache_type_opts *in, struct cache_type **out)
{
    int rc = tc_cache_enter(c);
    if (rc != CACHE_OK)
        return rc;
    int cancel = tc_cancel_disable(); /* a new type asks for entropy under the lock */
    char err[200] = "out: is NULL";
    struct cache_type_opts o;
    struct tc_policy p;
    rc = out == NULL ? CACHE_E_INVALID : check(in, &c->defaults, true, &o, &p, err, sizeof err);
    if (rc == CACHE_OK)
        rc = check_evict(c, o.evict, err, sizeof err);
    if (rc == CACHE_OK) {
        tc_lock_acquire(&c->types.lock);
        rc = register_locked(c, &o, &p, out);
        tc_lock_release(&c->types.lock);
    } else {
        tc_notice_log(&c->notices, tc_clock_now_ms(&c->clock), 0, CACHE_LOG_ERROR, "type", "%s", err);
    }
    tc_cancel_restore(cancel);
    tc_cache_leave(c);
    return rc;
}

int cache_type_update(struct cache_type *t, const struct cache_type_opts *in, char *err, size_t err_cap)
{
    if (!tc_type_is_valid(t))
        return CACHE_E_INVALID;
    int rc = tc_cache_enter(t->cache);
    if (rc != CACHE_OK)
        return rc;
    struct cache_type_opts o;
    struct tc_policy p;
    rc = check(in, &t->cache->defaults, false, &o, &p, err, err_cap);
    if (rc == CACHE_OK && o.name != NULL && strcmp(o.name, t->name) != 0)
        rc = tc_options_refuse(err, err_cap, CACHE_E_INVALID, "name: a type cannot be renamed");
    if (rc == CACHE_OK && o.evict != NULL && !tc_type_has_evict(t, o.evict))
        rc = tc_options_refuse(err, err_cap, CACHE_E_INVALID,
                               "evict: a type keeps the eviction policy that it was registered with");
    if (rc == CACHE_OK)
        tc_type_set_policy(t, &p, tc_clock_now_ms(&t->cache->clock));
    tc_cache_leave(t->cache);
    return rc;
}

int cache_type_find(struct cache *c, const char *name, struct cache_type **out)
{
    int rc = tc_cache_enter(c);
    if (rc != CACHE_OK)
        return rc;
    struct cache_type *t = NULL;
    if (name == NULL || out == NULL) {
        rc = CACHE_E_INVALID;
    } else {
        tc_lock_acquire(&c->types.lock);
        t = find_locked(c, name);
        tc_lock_release(&c->types.lock);
        rc = t != NULL ? CACHE_OK : CACHE_E_NOT_FOUND;
    }
    if (rc == CACHE_OK)
        *out = t;
    tc_cache_leave(c);
    return rc;
}
