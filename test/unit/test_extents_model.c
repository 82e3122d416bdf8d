/* Extents against a plain list of allocations, with chunks closed, opened again, and kept meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_extents.h"
#include "unit/tt_slab.h"

enum { LIVE_MOST = 700, STEPS = 20000, PHASE = 2500, CHECK_EVERY = 64 };

struct model {
    struct extent {
        unsigned char *p;
        size_t n;
        uint32_t number;
        bool kept;
    } live[LIVE_MOST];
    size_t n;
    uint32_t numbers;
    const char *closed[TT_EXTENTS_CHUNKS_MOST]; /* chunks, by where they begin */
    size_t n_closed;
    size_t reopened, kept_open, emptied; /* how often it came to that */
};

static const char *chunk_of(const struct tt_extents *f, const void *p)
{
    return f->chunks[tt_extents_chunk_of(f, p)].at;
}

static bool is_closed(const struct model *m, const char *chunk)
{
    for (size_t i = 0; i < m->n_closed; i++)
        if (m->closed[i] == chunk)
            return true;
    return false;
}

static void set_closed(struct model *m, const char *chunk, bool closed)
{
    if (closed)
        m->closed[m->n_closed++] = chunk;
    for (size_t i = 0; i < m->n_closed && !closed; i++)
        if (m->closed[i] == chunk)
            m->closed[i--] = m->closed[--m->n_closed];
}

static bool is_there(const struct tt_extents *f, const char *chunk)
{
    for (size_t i = 0; i < f->n_chunks; i++)
        if (f->chunks[i].at == chunk)
            return true;
    return false;
}

static size_t any_size(uint64_t *seed, int phase)
{
    static const size_t most[] = { 400, TC_EXTENT_MOST, 3000, 60, 12000, 2712 };
    uint64_t random = tt_random(seed);
    size_t top = most[phase % (int)TC_ARRAY_LEN(most)];
    return random % 32 == 0 ? random / 32 % (TC_EXTENT_MOST + 1) : random / 32 % (top + 1);
}

static void add(struct tt_extents *f, struct model *m, size_t n)
{
    unsigned char *p = m->numbers % 8 == 0 ? tt_extents_take_tight(f, n) : tt_extents_take(f, n);
    struct extent e = { p, n, ++m->numbers, false };
    tc_extents_set_number(e.p, e.number);
    assert_false(is_closed(m, chunk_of(f, e.p)));
    tt_slab_fill(e.p, e.number, n);
    m->live[m->n++] = e;
}

static void give(struct tt_extents *f, struct model *m, size_t i)
{
    struct extent e = m->live[i];
    const char *chunk = chunk_of(f, e.p);
    bool closed = is_closed(m, chunk);
    uint64_t free_bytes = f->x.free_bytes;
    assert_true(tt_slab_is_filled(e.p, e.number, e.n));
    tt_extents_give(f, e.p);
    m->live[i] = m->live[--m->n];
    if (closed)
        assert_int_equal(f->x.free_bytes, free_bytes);
    if (!is_there(f, chunk)) {
        set_closed(m, chunk, false);
        m->emptied += closed;
    }
}

static void keep(struct tt_extents *f, struct model *m, struct extent *e)
{
    if (e->kept)
        return;
    const char *chunk = chunk_of(f, e->p);
    tc_extents_keep(&f->x, e->p);
    e->kept = true;
    m->kept_open += is_closed(m, chunk);
    set_closed(m, chunk, false);
}

/* As when it turns out that something in a closed chunk is held. */
static void keep_one_of_closed(struct tt_extents *f, struct model *m)
{
    for (size_t i = 0; i < m->n; i++)
        if (is_closed(m, chunk_of(f, m->live[i].p))) {
            keep(f, m, &m->live[i]);
            return;
        }
}

static struct extent *of_number(struct model *m, uint32_t number)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->live[i].number == number)
            return &m->live[i];
    return NULL;
}

/* Nothing in it is kept, and the numbers are those of all that is in it. */
static void close_one(struct tt_extents *f, struct model *m, bool fitting)
{
    static uint32_t numbers[TC_EXTENTS_IN_CHUNK_MOST];
    size_t n = tc_extents_close_sparse(&f->x, fitting, numbers), in_it = 0, bytes = 0;
    if (n == 0)
        return;
    assert_non_null(of_number(m, numbers[0]));
    const char *chunk = chunk_of(f, of_number(m, numbers[0])->p);
    assert_false(is_closed(m, chunk));
    for (size_t i = 0; i < m->n; i++)
        if (chunk_of(f, m->live[i].p) == chunk) {
            in_it++;
            bytes += tc_extents_round(m->live[i].n);
            assert_false(m->live[i].kept);
        }
    assert_int_equal(in_it, n);
    for (size_t i = 0; i < n; i++) {
        const struct extent *e = of_number(m, numbers[i]);
        assert_true(e != NULL && chunk_of(f, e->p) == chunk);
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(numbers[k], numbers[i]);
    }
    assert_true(!fitting || bytes <= f->x.free_bytes);
    set_closed(m, chunk, true);
}

/* What is in it moves, as far as there is room, and the rest stays; or it is open again. */
static void vacate(struct tt_extents *f, struct model *m, uint64_t *seed)
{
    size_t before = m->n_closed;
    close_one(f, m, tt_random(seed) % 4 > 0);
    if (m->n_closed == before)
        return;
    const char *chunk = m->closed[m->n_closed - 1];
    for (size_t i = m->n; i-- > 0;) {
        struct extent e = m->live[i];
        if (chunk_of(f, e.p) != chunk)
            continue;
        if (tt_random(seed) % 16 == 0 || tc_extents_growth(&f->x, e.n, false) > 0) {
            if (tt_random(seed) % 2 == 0)
                continue;
            tc_extents_reopen(&f->x, e.p);
            set_closed(m, chunk, false);
            m->reopened++;
            return;
        }
        unsigned char *to = tt_extents_take(f, e.n);
        memcpy(to, e.p, e.n);
        tc_extents_set_number(to, e.number);
        tt_extents_give(f, e.p);
        m->live[i].p = to;
    }
    if (!is_there(f, chunk)) {
        set_closed(m, chunk, false);
        m->emptied++;
    }
}

static void assert_apart(const struct model *m, size_t i, size_t k)
{
    const struct extent *a = &m->live[i], *b = &m->live[k];
    uintptr_t at = (uintptr_t)a->p, other = (uintptr_t)b->p;
    assert_true(at + a->n <= other || other + b->n <= at);
}

static void assert_agrees(struct tt_extents *f, const struct model *m)
{
    uint64_t taken = 0, room = 0;
    for (size_t i = 0; i < m->n; i++) {
        assert_true(tt_slab_is_filled(m->live[i].p, m->live[i].number, m->live[i].n));
        taken += is_closed(m, chunk_of(f, m->live[i].p)) ? 0 : tc_extents_round(m->live[i].n);
        for (size_t k = 0; k < i; k++)
            assert_apart(m, i, k);
    }
    for (size_t i = 0; i < f->n_chunks; i++)
        room += is_closed(m, f->chunks[i].at) ? 0 : f->chunks[i].bytes - TT_EXTENTS_AROUND;
    assert_true(tc_extents_check(&f->x));
    assert_int_equal(f->x.bytes, f->heap);
    assert_in_range(room - taken - f->x.free_bytes, 0, m->n * (TC_EXTENT_LEAST - TC_EXTENT_UNIT));
}

static void it_does_what_a_list_of_allocations_does(void **state)
{
    struct tt_extents *f = *state;
    static struct model m;
    uint64_t seed = tt_seed();
    for (int step = 0; step < STEPS; step++) {
        bool fills = step / PHASE % 2 == 0; /* a tide, and sizes change with it */
        uint64_t random = tt_random(&seed);
        bool adds = random % 8 < (fills ? 5 : 3);
        if (adds && m.n < LIVE_MOST)
            add(f, &m, any_size(&seed, step / PHASE));
        else if (!adds && m.n > 0)
            give(f, &m, random / 8 % m.n);
        if (random % 97 == 0 && m.n > 0)
            keep(f, &m, &m.live[random / 97 % m.n]);
        if (random % 41 == 0)
            vacate(f, &m, &seed);
        if (random % 211 == 0)
            keep_one_of_closed(f, &m);
        if (step % CHECK_EVERY == 0)
            assert_agrees(f, &m);
    }
    assert_true(m.reopened > 3 && m.emptied > 3 && m.kept_open > 3);
    while (m.n > 0)
        give(f, &m, tt_random(&seed) % m.n);
    assert_agrees(f, &m);
    assert_true(f->n_chunks == 0 && f->x.free_bytes == 0);
}

/* Refused memory in between: what was not had has left no trace. */
static void refusals_leave_no_trace(void **state)
{
    struct tt_extents *f = *state;
    static struct model m;
    uint64_t seed = tt_seed();
    size_t refused = 0;
    for (int step = 0; step < STEPS / 2; step++) {
        uint64_t random = tt_random(&seed);
        size_t n = any_size(&seed, step / PHASE);
        bool adds = random % 2 == 0 && m.n < LIVE_MOST;
        if (adds && random % 4 == 0) {
            uint64_t bytes = f->x.bytes, free_bytes = f->x.free_bytes, growth = tc_extents_growth(&f->x, n, false);
            tt_alloc_fail(&f->memory, 1, true);
            void *p = tc_extents_take(&f->x, n, false);
            tt_alloc_fail(&f->memory, 0, false);
            assert_int_equal(p == NULL, growth > 0);
            refused += p == NULL;
            if (p != NULL)
                tt_extents_give(f, p);
            assert_true(f->x.bytes == bytes && f->x.free_bytes == free_bytes);
        } else if (adds) {
            add(f, &m, n);
        } else if (m.n > 0) {
            give(f, &m, random / 4 % m.n);
        }
        if (step % CHECK_EVERY == 0)
            assert_agrees(f, &m);
    }
    assert_true(refused > 10);
    while (m.n > 0)
        give(f, &m, m.n - 1);
    assert_int_equal(f->n_chunks, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tt_extents_setup, tt_extents_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_does_what_a_list_of_allocations_does),
        TEST(refusals_leave_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
