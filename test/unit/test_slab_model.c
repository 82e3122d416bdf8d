/* A slab against a plain list of allocations, and its cells read by number without the lock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_slab.h"

/* ---- against a model ---- */

struct model {
    struct entry {
        uint32_t cell, id;
        size_t n;
        void *apart; /* or NULL */
    } live[800];
    size_t n;
    uint32_t ids;
};

static void model_add(struct tt_slab *f, struct model *m, uint64_t *seed)
{
    uint64_t r = tt_random(seed);
    struct entry e = { .id = ++m->ids, .n = 1 + (size_t)(r >> 16) % TC_SLAB_MOST };
    if (r % 4 < 2)
        e.n = 1 + e.n % 300; /* most entries are small */
    if (r % 8 == 7) {
        e.n += TC_SLAB_MOST;
        e.apart = tc_alloc(&f->counted, e.n);
    }
    e.cell = e.apart != NULL ? tt_slab_adopt(f, e.apart) : tt_slab_take(f, e.n);
    for (size_t i = 0; i < m->n; i++)
        assert_int_not_equal(m->live[i].cell, e.cell);
    tt_slab_fill(tc_cell(&f->cells, e.cell), e.id, e.n);
    m->live[m->n++] = e;
}

static void model_remove(struct tt_slab *f, struct model *m, size_t i)
{
    struct entry e = m->live[i];
    assert_true(tt_slab_is_filled(tc_cell(&f->cells, e.cell), e.id, e.n));
    tc_slab_give(&f->slab, e.cell);
    if (e.apart != NULL) {
        assert_true(tt_slab_is_filled(e.apart, e.id, e.n)); /* it is the caller's as it was */
        tc_free(&f->counted, e.apart, e.n);
    }
    assert_true(tt_slab_costs_are_right(f));
    m->live[i] = m->live[--m->n];
}

/* Most of what a sparse page has moves, and finds room; the rest stays in it until it is given. Returns how many. */
static size_t model_thin(struct tt_slab *f, struct model *m, uint64_t *seed)
{
    uint32_t cells[TC_PAGE_BYTES / TC_CELL_UNIT];
    size_t n = tc_slab_close_sparse(&f->slab, cells);
    for (size_t i = 0; i < n; i++) {
        struct entry *e = m->live;
        while (e < m->live + m->n && e->cell != cells[i])
            e++;
        assert_true(e < m->live + m->n);
        assert_int_equal(tc_slab_take_growth(&f->slab, e->n), 0);
        if (tt_random(seed) % 8 == 0)
            continue;
        e->cell = tt_slab_take(f, e->n);
        assert_int_not_equal(e->cell >> TC_CELL_OFFSET_BITS, cells[i] >> TC_CELL_OFFSET_BITS);
        memcpy(tc_cell(&f->cells, e->cell), tc_cell(&f->cells, cells[i]), e->n);
        tc_slab_give(&f->slab, cells[i]);
    }
    return n;
}

static bool model_agrees(const struct tt_slab *f, const struct model *m)
{
    uint64_t taken = 0;
    for (size_t i = 0; i < m->n; i++) {
        const struct entry *e = &m->live[i];
        taken += e->apart != NULL ? 0 : tc_slab_round(e->n);
        if (!tt_slab_is_filled(tc_cell(&f->cells, e->cell), e->id, e->n))
            return false;
    }
    return tc_slab_check(&f->slab) && taken + f->slab.free_bytes <= f->slab.bytes;
}

static void it_does_what_a_list_of_allocations_does(void **state)
{
    struct tt_slab *f = *state;
    static struct model m;
    uint64_t seed = tt_seed();
    size_t moved = 0;
    for (int step = 0; step < 24000; step++) {
        bool fills = step / 4000 % 2 == 0; /* a tide: nearly to the brim, nearly to nothing */
        bool add = tt_random(&seed) % 8 < (fills ? 5 : 3);
        if (add && m.n < TC_ARRAY_LEN(m.live))
            model_add(f, &m, &seed);
        else if (!add && m.n > 0)
            model_remove(f, &m, tt_random(&seed) % m.n);
        if (step % 16 == 0)
            moved += model_thin(f, &m, &seed);
        if (step % 100 == 0) {
            assert_true(model_agrees(f, &m));
            tt_slab_close_waiting(f);
        }
    }
    assert_true(moved > 100);
    while (m.n > 0)
        model_remove(f, &m, m.n - 1);
    assert_true(model_agrees(f, &m) && f->slab.free_bytes == 0);
}

/* ---- reads without the lock ---- */

enum { WRITERS = 2, SLOTS = 32, ROUNDS = 4000 };

/* Each writer has slots in which it publishes cells; the reader empties a slot when it has read the cell, which is
 * given back then. Every 16th cell stays, and is read again and again while the maps grow. */
struct shared {
    struct tt_slab *f;
    struct tc_lock lock; /* of the cells */
    _Atomic uint32_t slots[WRITERS][SLOTS];
    _Atomic uint32_t kept[WRITERS][ROUNDS / 16];
    _Atomic unsigned busy; /* writers */
    uint64_t apart[WRITERS][SLOTS][8];
};

struct content {
    uint32_t n, id;
    unsigned char bytes[];
};

static uint32_t new_cell(struct shared *s, size_t n, void *apart, int *failures)
{
    struct tc_block *before = NULL;
    tc_lock_acquire(&s->lock);
    uint32_t cell = apart != NULL ? tc_slab_adopt(&s->f->slab, apart, &before) :
                                    tc_slab_take(&s->f->slab, n, &before);
    tt_slab_keep_waiting(s->f, before);
    tc_lock_release(&s->lock);
    TT_CHECK(*failures, cell != 0);
    struct content *content = tc_cell(&s->f->cells, cell);
    content->n = (uint32_t)(n - sizeof *content);
    content->id = cell;
    tt_slab_fill(content->bytes, cell, content->n);
    return cell;
}

static int write_cells(struct shared *s, unsigned writer)
{
    int failures = 0;
    uint32_t mine[SLOTS] = { 0 };
    uint64_t seed = writer;
    for (unsigned i = 0; i < ROUNDS; i++) {
        size_t at = tt_random(&seed) % SLOTS, n = 8 + tt_random(&seed) % (TC_SLAB_MOST - 7);
        if (i % 16 == 0)
            atomic_store_explicit(&s->kept[writer][i / 16], new_cell(s, n, NULL, &failures), memory_order_release);
        if (atomic_load_explicit(&s->slots[writer][at], memory_order_acquire) != 0)
            continue;
        tc_lock_acquire(&s->lock);
        if (mine[at] != 0)
            tc_slab_give(&s->f->slab, mine[at]);
        tc_lock_release(&s->lock);
        bool apart = at % 4 == 0;
        mine[at] = new_cell(s, apart ? sizeof s->apart[0][0] : n, apart ? s->apart[writer][at] : NULL, &failures);
        atomic_store_explicit(&s->slots[writer][at], mine[at], memory_order_release);
    }
    atomic_fetch_sub(&s->busy, 1);
    return failures;
}

static bool reads_well(const struct shared *s, uint32_t cell)
{
    const struct content *content = tc_cell(&s->f->cells, cell);
    return content->id == cell && content->n < TC_SLAB_MOST && tt_slab_is_filled(content->bytes, cell, content->n);
}

static int read_cells(struct shared *s)
{
    int failures = 0;
    uint64_t seed = 3;
    while (atomic_load(&s->busy) > 0 && failures == 0) {
        for (size_t i = 0; i < WRITERS * SLOTS; i++) {
            _Atomic uint32_t *slot = &s->slots[i % WRITERS][i / WRITERS];
            uint32_t cell = atomic_load_explicit(slot, memory_order_acquire);
            if (cell == 0)
                continue;
            TT_CHECK(failures, reads_well(s, cell));
            atomic_store_explicit(slot, 0, memory_order_release);
        }
        _Atomic uint32_t *kept = s->kept[tt_random(&seed) % WRITERS];
        uint32_t cell = atomic_load_explicit(&kept[tt_random(&seed) % (ROUNDS / 16)], memory_order_acquire);
        TT_CHECK(failures, cell == 0 || reads_well(s, cell));
    }
    return failures;
}

static int write_or_read(void *arg, unsigned index)
{
    return index < WRITERS ? write_cells(arg, index) : read_cells(arg);
}

static void cells_are_read_by_number_without_the_lock(void **state)
{
    struct tt_slab *f = *state;
    struct shared *s = tt_xcalloc(sizeof *s);
    s->f = f;
    assert_int_equal(tc_lock_init(&s->lock), 0);
    atomic_store(&s->busy, WRITERS);
    assert_int_equal(tt_crew_join(tt_crew_start(WRITERS + 1, write_or_read, s)), 0);
    assert_true(tc_slab_check(&f->slab) && tt_slab_costs_are_right(f));
    assert_non_null(f->waiting);
    tc_lock_fini(&s->lock);
    free(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tt_slab_setup, tt_slab_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_does_what_a_list_of_allocations_does),
        TEST(cells_are_read_by_number_without_the_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
