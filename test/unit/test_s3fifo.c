/* S3-FIFO, against the algorithm as the paper gives it, on arrays; and what the paper does not speak of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_evict.h"
#include "tt_util.h"

enum { NODES = 1024, ROOM = 64, STEPS = 40000 };

struct fifo {
    size_t of[NODES];
    size_t n;
};

static void push(struct fifo *f, size_t i)
{
    assert_true(f->n < NODES);
    f->of[f->n++] = i;
}

static size_t pop(struct fifo *f)
{
    size_t i = f->of[0];
    memmove(f->of, f->of + 1, --f->n * sizeof *f->of);
    return i;
}

static bool take(struct fifo *f, size_t i)
{
    for (size_t at = 0; at < f->n; at++)
        if (f->of[at] == i) {
            memmove(&f->of[at], &f->of[at + 1], (--f->n - at) * sizeof *f->of);
            return true;
        }
    return false;
}

struct model {
    struct fifo small, main, ghost;
    unsigned hits[NODES];
};

static size_t evict_from_main(struct model *m)
{
    for (;;) {
        size_t i = pop(&m->main);
        if (m->hits[i] == 0)
            return i;
        m->hits[i]--;
        push(&m->main, i);
    }
}

/* The entry that leaves. */
static size_t evict(struct model *m)
{
    if (m->main.n > 0 && m->small.n < ROOM / 10)
        return evict_from_main(m);
    while (m->small.n > 0) {
        size_t i = pop(&m->small);
        if (m->hits[i] < 2) {
            if (m->ghost.n == ROOM * 9 / 10)
                pop(&m->ghost);
            push(&m->ghost, i);
            return i;
        }
        m->hits[i] = 0;
        push(&m->main, i);
    }
    return evict_from_main(m);
}

/* A walk round all keys, with a look back now and then, and requests for a few keys all the time. */
static size_t next_request(uint64_t *seed, size_t *walk)
{
    switch (tt_random(seed) % 4) {
    case 0:
        return (*walk + NODES - tt_random(seed) % (3 * ROOM)) % NODES;
    case 1:
        return tt_random(seed) % (1 + tt_random(seed) % ROOM);
    default:
        return *walk = (*walk + 1) % NODES;
    }
}

/* Makes the order's memory large, so that no bucket of it overflows: it then is the paper's list, entry by entry. */
static void make_ample(struct tt_evict *e)
{
    for (size_t i = 0; i < NODES; i++)
        tt_evict_insert(e, i, TT_EVICT_BYTES);
    for (size_t i = 0; i < NODES; i++)
        tt_evict_remove(e, i);
}

static void victims_are_those_of_the_paper(void **state)
{
    (void)state;
    struct model *m = tt_xcalloc(sizeof *m);
    uint64_t seed = tt_seed();
    size_t walk = 0;
    struct tt_evict *e = tt_evict_open(&tc_evict_s3fifo, NODES);
    make_ample(e);
    for (int step = 0; step < STEPS; step++) {
        size_t i = next_request(&seed, &walk);
        if (e->in[i]) {
            m->hits[i] += m->hits[i] < 3;
            if (tt_random(&seed) % 16 > 0) {
                tt_evict_hit(e, i);
            } else { /* a new value: a hit where it stands */
                tt_evict_remove(e, i);
                tt_evict_insert(e, i, TT_EVICT_BYTES);
            }
            continue;
        }
        if (e->count == ROOM)
            assert_int_equal(tt_evict_evict(e), evict(m));
        tt_evict_insert(e, i, TT_EVICT_BYTES);
        m->hits[i] = 0;
        push(take(&m->ghost, i) ? &m->main : &m->small, i);
    }
    free(m);
    assert_true(tt_evict_close(e));
}

/* Entries 0 to 89, all in main. */
static struct tt_evict *with_a_full_main(void)
{
    struct tt_evict *e = tt_evict_open(&tc_evict_s3fifo, 1000);
    for (size_t i = 0; i < 90; i++) {
        tt_evict_insert(e, i, TT_EVICT_BYTES);
        for (int hits = 0; hits < 3; hits++)
            tt_evict_hit(e, i);
    }
    for (size_t i = 90; i < 100; i++)
        tt_evict_insert(e, i, TT_EVICT_BYTES);
    assert_int_equal(tt_evict_evict(e), 90);
    return e;
}

static size_t held(const struct tt_evict *e, size_t from, size_t to)
{
    size_t n = 0;
    for (size_t i = from; i < to; i++)
        n += e->in[i];
    return n;
}

static void shares_are_of_bytes(void **state)
{
    (void)state;
    struct tt_evict *e = with_a_full_main();
    enum { LARGE = 20 * TT_EVICT_BYTES };
    for (size_t i = 100; i < 130; i++) { /* one of them alone is more than small's tenth */
        tt_evict_insert(e, i, LARGE);
        if (i > 100)
            tt_evict_evict(e);
    }
    assert_int_equal(held(e, 0, 90), 90);
    assert_true(tt_evict_close(e));
}

static void what_comes_back_soon_is_no_newcomer(void **state)
{
    (void)state;
    struct tt_evict *e = with_a_full_main();
    tt_evict_insert(e, 90, TT_EVICT_BYTES); /* it was the last victim */
    for (size_t i = 100; i < 400; i++)
        tt_evict_get(e, i, 100);
    assert_true(e->in[90]);
    assert_true(tt_evict_close(e));
}

static void what_main_lost_to_an_invalidation_is_no_newcomer_either(void **state)
{
    (void)state;
    struct tt_evict *e = with_a_full_main();
    tt_evict_remove(e, 5);
    tt_evict_remove(e, 99); /* from small: as good as never seen */
    for (size_t i = 100; i < 110; i++)
        tt_evict_get(e, i, 100);
    tt_evict_get(e, 5, 100);
    tt_evict_get(e, 99, 100);
    for (size_t i = 110; i < 400; i++)
        tt_evict_get(e, i, 100);
    assert_true(e->in[5]);
    assert_false(e->in[99]);
    assert_true(tt_evict_close(e));
}

static void an_order_that_was_emptied_remembers_nothing(void **state)
{
    (void)state;
    struct tt_evict *e = with_a_full_main();
    for (size_t i = 0; i < 100; i++)
        if (e->in[i])
            tt_evict_remove(e, i);
    for (size_t i = 0; i < 1000; i++)
        tt_evict_get(e, i, 100);
    assert_int_equal(held(e, 0, 900), 0); /* first in, first out: all were newcomers */
    assert_true(tt_evict_close(e));
}

static void small_is_never_without_a_place(void **state)
{
    (void)state;
    for (size_t room = 3; room < 10; room++) { /* a tenth of these rounds to nothing */
        struct tt_evict *e = tt_evict_open(&tc_evict_s3fifo, 1000);
        size_t hits = 0;
        for (size_t i = 0; i < 999; i++) {
            tt_evict_get(e, i, room);
            hits += tt_evict_get(e, i, room);
            hits += tt_evict_get(e, 999, room);
        }
        assert_in_range(hits, 1990, 2 * 999);
        assert_true(tt_evict_close(e));
    }
}

/* The new value would stand next to an entry that is in another queue by then. */
static void a_place_is_given_up_when_entries_move(void **state)
{
    (void)state;
    struct tt_evict *e = tt_evict_open(&tc_evict_s3fifo, 2);
    tt_evict_insert(e, 0, TT_EVICT_BYTES);
    tt_evict_insert(e, 1, TT_EVICT_BYTES);
    tt_evict_hit(e, 1);
    tt_evict_hit(e, 1);
    tt_evict_remove(e, 0);
    assert_int_equal(tt_evict_victim(e), 1); /* it went from small to main */
    tt_evict_insert(e, 0, TT_EVICT_BYTES);
    tt_evict_hit(e, 0);
    tt_evict_hit(e, 0);
    assert_int_equal(tt_evict_evict(e), 1);
    assert_int_equal(tt_evict_evict(e), 0);
    assert_int_equal(tt_evict_victim(e), TT_EVICT_NONE);
    assert_true(tt_evict_close(e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(victims_are_those_of_the_paper),
        cmocka_unit_test(shares_are_of_bytes),
        cmocka_unit_test(what_comes_back_soon_is_no_newcomer),
        cmocka_unit_test(what_main_lost_to_an_invalidation_is_no_newcomer_either),
        cmocka_unit_test(an_order_that_was_emptied_remembers_nothing),
        cmocka_unit_test(small_is_never_without_a_place),
        cmocka_unit_test(a_place_is_given_up_when_entries_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
