/* Driving an eviction order as L1 does. */
#include "tt_evict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"

static void *env_alloc(void *ctx, size_t n)
{
    return tt_alloc_ops.alloc(ctx, n);
}

static void env_free(void *ctx, void *p, size_t n)
{
    tt_alloc_ops.free(ctx, p, n);
}

struct cache_evict_env tt_evict_env(struct tt_alloc *a)
{
    return (struct cache_evict_env){ a, env_alloc, env_free };
}

struct tt_evict *tt_evict_open(const struct cache_evict_ops *ops, size_t n_nodes)
{
    struct tt_evict *e = tt_xcalloc(sizeof *e);
    tt_alloc_init(&e->alloc);
    e->ops = ops;
    e->env = tt_evict_env(&e->alloc);
    e->state = tt_xcalloc(ops->state_bytes);
    e->nodes = tt_xcalloc(n_nodes * ops->node_bytes);
    e->in = tt_xcalloc(n_nodes * sizeof *e->in);
    e->n_nodes = n_nodes;
    if (ops->begin != NULL)
        ops->begin(e->state, &e->env);
    return e;
}

bool tt_evict_close(struct tt_evict *e)
{
    for (size_t i = 0; i < e->n_nodes; i++)
        if (e->in[i])
            tt_evict_remove(e, i);
    if (e->ops->end != NULL)
        e->ops->end(e->state);
    bool clean = tt_alloc_is_clean(&e->alloc);
    tt_alloc_fini(&e->alloc);
    free(e->state);
    free(e->nodes);
    free(e->in);
    free(e);
    return clean;
}

uint64_t tt_evict_hash(size_t i)
{
    uint64_t seed = i;
    return tt_random(&seed);
}

void *tt_evict_node(struct tt_evict *e, size_t i)
{
    return e->nodes + i * e->ops->node_bytes;
}

void tt_evict_insert(struct tt_evict *e, size_t i, size_t bytes)
{
    assert_false(e->in[i]);
    memset(tt_evict_node(e, i), 0, e->ops->node_bytes); /* as the contract promises */
    e->ops->insert(e->state, tt_evict_node(e, i), tt_evict_hash(i), bytes);
    e->in[i] = true;
    e->count++;
}

void tt_evict_hit(struct tt_evict *e, size_t i)
{
    e->ops->hit(e->state, tt_evict_node(e, i));
}

void tt_evict_remove(struct tt_evict *e, size_t i)
{
    assert_true(e->in[i]);
    e->ops->remove(e->state, tt_evict_node(e, i));
    e->in[i] = false;
    e->count--;
}

size_t tt_evict_victim(struct tt_evict *e)
{
    const char *node = e->ops->victim(e->state);
    if (node == NULL) {
        assert_int_equal(e->count, 0);
        return TT_EVICT_NONE;
    }
    size_t i = (size_t)(node - e->nodes) / e->ops->node_bytes;
    assert_true(i < e->n_nodes && e->in[i]);
    return i;
}

size_t tt_evict_evict(struct tt_evict *e)
{
    size_t i = tt_evict_victim(e);
    assert_int_not_equal(i, TT_EVICT_NONE);
    tt_evict_remove(e, i);
    return i;
}

bool tt_evict_get(struct tt_evict *e, size_t i, size_t room)
{
    if (e->in[i]) {
        tt_evict_hit(e, i);
        return true;
    }
    while (e->count >= room)
        tt_evict_evict(e);
    tt_evict_insert(e, i, TT_EVICT_BYTES);
    return false;
}
