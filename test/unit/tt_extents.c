/* Extents whose every chunk is known. */
#include "unit/tt_extents.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tt_util.h"

static void *measured_alloc(void *ctx, size_t n)
{
    struct tt_extents *f = ctx;
    char *p = tc_alloc(&f->counted, n);
    if (p == NULL)
        return NULL;
    if (f->n_chunks == TT_EXTENTS_CHUNKS_MOST)
        tt_die("more chunks than the test has room for");
    f->chunks[f->n_chunks].at = p;
    f->chunks[f->n_chunks++].bytes = n;
    f->heap += tc_heap_bytes(n);
    return p;
}

static void measured_free(void *ctx, void *p, size_t n)
{
    struct tt_extents *f = ctx;
    size_t i = 0;
    while (i < f->n_chunks && f->chunks[i].at != p)
        i++;
    if (i == f->n_chunks)
        tt_die("what is freed is no chunk");
    f->chunks[i] = f->chunks[--f->n_chunks];
    f->heap -= tc_heap_bytes(n);
    tc_free(&f->counted, p, n);
}

int tt_extents_setup(void **state)
{
    struct tt_extents *f = *state = tt_xcalloc(sizeof *f);
    tt_alloc_init(&f->memory);
    f->counted = tt_alloc_table(&f->memory);
    f->table = (struct tc_alloc){ { CACHE_HOOKS_ABI, measured_alloc, measured_free }, f, NULL };
    tc_extents_init(&f->x, &f->table);
    return 0;
}

int tt_extents_teardown(void **state)
{
    struct tt_extents *f = *state;
    tc_extents_fini(&f->x);
    bool clean = tt_alloc_is_clean(&f->memory) && f->heap == 0;
    tt_alloc_fini(&f->memory);
    free(f);
    return clean ? 0 : -1;
}

static void *take(struct tt_extents *f, size_t n, bool tight)
{
    uint64_t bytes = f->x.bytes, free_bytes = f->x.free_bytes, growth = tc_extents_growth(&f->x, n, tight);
    size_t chunks = f->n_chunks, bytes_taken = tc_extents_round(n);
    char *p = tc_extents_take(&f->x, n, tight);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 8, 0);
    assert_int_equal(f->x.bytes - bytes, growth);
    assert_int_equal(f->x.bytes, f->heap);
    assert_int_equal(f->n_chunks - chunks, growth > 0);
    if (growth > 0)
        free_bytes += f->chunks[chunks].bytes - TT_EXTENTS_AROUND;
    /* A rest that is too small for another goes with it. */
    assert_int_equal(free_bytes - f->x.free_bytes, tc_extents_room(p) + TC_EXTENT_HEAD);
    assert_in_range(free_bytes - f->x.free_bytes, bytes_taken, bytes_taken + TC_EXTENT_LEAST - TC_EXTENT_UNIT);
    size_t i = tt_extents_chunk_of(f, p);
    assert_true(p + n <= f->chunks[i].at + f->chunks[i].bytes);
    return p;
}

void *tt_extents_take(struct tt_extents *f, size_t n)
{
    return take(f, n, false);
}

void *tt_extents_take_tight(struct tt_extents *f, size_t n)
{
    return take(f, n, true);
}

void *tt_extents_take_units(struct tt_extents *f, size_t units)
{
    return tt_extents_take(f, units * TC_EXTENT_UNIT - TC_EXTENT_HEAD);
}

void tt_extents_give(struct tt_extents *f, void *p)
{
    tc_extents_give(&f->x, p);
    assert_int_equal(f->x.bytes, f->heap);
}

size_t tt_extents_chunk_of(const struct tt_extents *f, const void *p)
{
    uintptr_t at = (uintptr_t)p;
    for (size_t i = 0; i < f->n_chunks; i++)
        if (at - (uintptr_t)f->chunks[i].at < f->chunks[i].bytes)
            return i;
    fail_msg("it lies in no chunk");
    return 0;
}
