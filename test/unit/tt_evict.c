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
    return (struct cache_evict_env){ .ctx = a, .alloc = env_alloc, .free = env_free };
}

/* Each node by its own number, which stands for what lies apart: such numbers are places in a map, given again soon. */
struct tt_evict_cells {
    struct tt_alloc alloc;
    struct tc_alloc table;
    struct tc_slab slab;
    struct tc_cells c;
    uint32_t *entries; /* by index */
    size_t *indices;   /* by place */
    size_t n_places;
};

static size_t place_of(const struct tt_evict_cells *cells, uint32_t entry)
{
    size_t place = entry & ~TC_CELL_APART;
    assert_true((entry & TC_CELL_APART) != 0 && place > 0 && place < cells->n_places);
    return place;
}

/* Puts node i at p, under a number that nobody has. */
static void give_number(struct tt_evict_cells *cells, size_t i, void *p)
{
    struct tc_block *before = NULL;
    uint32_t entry = tc_slab_adopt(&cells->slab, p, &before);
    assert_int_not_equal(entry, 0);
    tc_block_close(&cells->table, before); /* nobody reads numbers without the lock */
    cells->entries[i] = entry;
    cells->indices[place_of(cells, entry)] = i;
}

static struct tt_evict_cells *open_cells(size_t n_nodes, size_t node_bytes)
{
    struct tt_evict_cells *cells = tt_xcalloc(sizeof *cells);
    tt_alloc_init(&cells->alloc);
    cells->table = tt_alloc_table(&cells->alloc);
    tc_slab_init(&cells->slab, &cells->c, &cells->table);
    cells->n_places = n_nodes + 2; /* none is 0, and who moves has two */
    cells->entries = tt_xcalloc(n_nodes * sizeof *cells->entries);
    cells->indices = tt_xcalloc(cells->n_places * sizeof *cells->indices);
    for (size_t i = 0; i < n_nodes; i++)
        give_number(cells, i, tt_xcalloc(node_bytes));
    return cells;
}

static bool close_cells(struct tt_evict_cells *cells, size_t n_nodes)
{
    for (size_t i = 0; i < n_nodes; i++) {
        free(tc_cell(&cells->c, cells->entries[i]));
        tc_slab_give(&cells->slab, cells->entries[i]);
    }
    bool clean = tc_slab_check(&cells->slab);
    tc_slab_fini(&cells->slab);
    clean = tt_alloc_is_clean(&cells->alloc) && clean;
    tt_alloc_fini(&cells->alloc);
    free(cells->entries);
    free(cells->indices);
    free(cells);
    return clean;
}

struct tt_evict *tt_evict_open(const struct cache_evict_ops *ops, size_t n_nodes)
{
    struct tt_evict *e = tt_xcalloc(sizeof *e);
    tt_alloc_init(&e->alloc);
    e->ops = ops;
    e->env = tt_evict_env(&e->alloc);
    e->cells = open_cells(n_nodes, ops->node_bytes);
    e->env.entries = &e->cells->c;
    e->state = tt_xcalloc(ops->state_bytes);
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
    clean = close_cells(e->cells, e->n_nodes) && clean;
    tt_alloc_fini(&e->alloc);
    free(e->state);
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
    return tc_cell(&e->cells->c, e->cells->entries[i]);
}

uint32_t tt_evict_entry(struct tt_evict *e, size_t i)
{
    return e->cells->entries[i];
}

void tt_evict_insert(struct tt_evict *e, size_t i, size_t bytes)
{
    assert_false(e->in[i]);
    memset(tt_evict_node(e, i), 0, e->ops->node_bytes); /* as the contract promises */
    e->ops->insert(e->state, tt_evict_entry(e, i), tt_evict_hash(i), bytes);
    e->in[i] = true;
    e->count++;
}

void tt_evict_hit(struct tt_evict *e, size_t i)
{
    if (e->ops->flags & CACHE_EVICT_STAMPED_HITS)
        atomic_store_explicit((_Atomic uint8_t *)tt_evict_node(e, i), e->stamp, memory_order_relaxed);
    else if (e->ops->flags & CACHE_EVICT_LOCKED_HITS)
        e->ops->hit(e->state, tt_evict_entry(e, i), tt_evict_node(e, i));
    else
        e->ops->hit(NULL, 0, tt_evict_node(e, i));
}

void tt_evict_remove(struct tt_evict *e, size_t i)
{
    assert_true(e->in[i]);
    e->ops->remove(e->state, tt_evict_entry(e, i));
    e->in[i] = false;
    e->count--;
}

void tt_evict_move(struct tt_evict *e, size_t i)
{
    uint32_t from = tt_evict_entry(e, i);
    char *before = tt_evict_node(e, i);
    give_number(e->cells, i, tt_xmemdup(before, e->ops->node_bytes));
    if (e->in[i])
        e->ops->move(e->state, from, tt_evict_entry(e, i));
    memset(before, 0xA5, e->ops->node_bytes);
    free(before);
    tc_slab_give(&e->cells->slab, from);
}

void tt_evict_tick(struct tt_evict *e)
{
    e->stamp = (uint8_t)(e->stamp < UINT8_MAX ? e->stamp + 1 : 1);
    if (e->ops->tick != NULL)
        e->ops->tick(e->state, e->stamp);
}

size_t tt_evict_victim(struct tt_evict *e)
{
    uint32_t entry = e->ops->victim(e->state);
    if (entry == 0) {
        assert_int_equal(e->count, 0);
        return TT_EVICT_NONE;
    }
    size_t i = e->cells->indices[place_of(e->cells, entry)];
    assert_int_equal(tt_evict_entry(e, i), entry); /* and not one that it had before */
    assert_true(e->in[i]);
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
