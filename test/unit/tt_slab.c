/* A slab whose every byte is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_slab.h"

static void *measured_alloc(void *ctx, size_t n)
{
    struct tt_slab *f = ctx;
    void *p = tc_alloc(&f->counted, n);
    if (p != NULL)
        f->heap += tc_heap_bytes(n);
    return p;
}

static void measured_free(void *ctx, void *p, size_t n)
{
    struct tt_slab *f = ctx;
    f->heap -= tc_heap_bytes(n);
    tc_free(&f->counted, p, n);
}

int tt_slab_setup(void **state)
{
    struct tt_slab *f = *state = tt_xcalloc(sizeof *f);
    tt_alloc_init(&f->memory);
    f->counted = tt_alloc_table(&f->memory);
    f->table = (struct tc_alloc){ { CACHE_HOOKS_ABI, measured_alloc, measured_free }, f, NULL };
    tc_slab_init(&f->slab, &f->cells, &f->table);
    return 0;
}

void tt_slab_close_waiting(struct tt_slab *f)
{
    while (f->waiting != NULL) {
        struct tc_block *b = f->waiting;
        f->waiting = b->next;
        tc_block_close(&f->table, b);
    }
    f->waiting_bytes = 0;
}

int tt_slab_teardown(void **state)
{
    struct tt_slab *f = *state;
    tt_slab_close_waiting(f);
    tc_slab_fini(&f->slab);
    bool clean = tt_alloc_is_clean(&f->memory) && f->heap == 0;
    tt_alloc_fini(&f->memory);
    free(f);
    return clean ? 0 : -1;
}

void tt_slab_keep_waiting(struct tt_slab *f, struct tc_block *b)
{
    if (b == NULL)
        return;
    f->waiting_bytes += tc_block_heap_bytes(b->n);
    b->next = f->waiting;
    f->waiting = b;
}

bool tt_slab_costs_are_right(const struct tt_slab *f)
{
    return f->slab.bytes + f->waiting_bytes == f->heap;
}

uint32_t tt_slab_take(struct tt_slab *f, size_t n)
{
    struct tc_block *before = NULL;
    uint64_t bytes = f->slab.bytes + tc_slab_take_growth(&f->slab, n);
    uint32_t cell = tc_slab_take(&f->slab, n, &before);
    tt_slab_keep_waiting(f, before);
    assert_int_not_equal(cell, 0);
    assert_int_equal(cell & TC_CELL_APART, 0);
    assert_int_equal((uintptr_t)tc_cell(&f->cells, cell) % 8, 0);
    assert_int_equal(f->slab.bytes, bytes);
    assert_true(tt_slab_costs_are_right(f));
    return cell;
}

uint32_t tt_slab_adopt(struct tt_slab *f, void *p)
{
    struct tc_block *before = NULL;
    uint64_t bytes = f->slab.bytes + tc_slab_adopt_growth(&f->slab);
    uint32_t cell = tc_slab_adopt(&f->slab, p, &before);
    tt_slab_keep_waiting(f, before);
    assert_int_not_equal(cell & TC_CELL_APART, 0);
    assert_int_not_equal(cell & ~TC_CELL_APART, 0);
    assert_ptr_equal(tc_cell(&f->cells, cell), p);
    assert_int_equal(f->slab.bytes, bytes);
    assert_true(tt_slab_costs_are_right(f));
    return cell;
}

static unsigned char byte_of(uint32_t id, size_t i)
{
    return (unsigned char)((id * UINT32_C(2654435761) >> 24) + i * 7 + (i >> 8));
}

void tt_slab_fill(void *p, uint32_t id, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)p)[i] = byte_of(id, i);
}

bool tt_slab_is_filled(const void *p, uint32_t id, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((const unsigned char *)p)[i] != byte_of(id, i))
            return false;
    return true;
}
