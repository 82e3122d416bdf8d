/* SIEVE, against the algorithm as the paper gives it, on an array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_evict.h"
#include "tt_util.h"

enum { NODES = 96, ROOM = 40, STEPS = 40000 };

/* The queue from the oldest to the newest; hand is an index, n when it is past the newest. */
struct model {
    size_t queue[NODES];
    bool marked[NODES];
    size_t n, hand;
};

static void model_remove_at(struct model *m, size_t at)
{
    memmove(&m->queue[at], &m->queue[at + 1], (--m->n - at) * sizeof *m->queue);
    if (m->hand > at)
        m->hand--;
}

static size_t model_find(const struct model *m, size_t i)
{
    size_t at = 0;
    while (at < m->n && m->queue[at] != i)
        at++;
    return at;
}

static size_t model_victim(struct model *m)
{
    for (;; m->hand++) {
        if (m->hand >= m->n)
            m->hand = 0;
        size_t i = m->queue[m->hand];
        if (!m->marked[i])
            return i;
        m->marked[i] = false;
    }
}

static void insert(struct tt_evict *e, struct model *m, size_t i)
{
    tt_evict_insert(e, i, TT_EVICT_BYTES);
    m->marked[i] = false;
    m->queue[m->n++] = i;
}

/* The hand at the end of the queue and the hand at nothing are the same until the next entry comes. */
static void take(struct tt_evict *e, struct model *m, size_t i)
{
    tt_evict_remove(e, i);
    model_remove_at(m, model_find(m, i));
    if (m->hand >= m->n)
        m->hand = 0;
}

static size_t absent(const struct tt_evict *e, uint64_t *seed)
{
    size_t i;
    do
        i = tt_random(seed) % NODES;
    while (e->in[i]);
    return i;
}

static void victims_are_those_of_the_paper(void **state)
{
    (void)state;
    struct model m = { .n = 0 };
    uint64_t seed = tt_seed();
    struct tt_evict *e = tt_evict_open(&tc_evict_sieve, NODES);
    for (int step = 0; step < STEPS; step++) {
        size_t i = tt_random(&seed) % (1 + tt_random(&seed) % NODES);
        if (e->in[i] && tt_random(&seed) % 32 == 0) { /* an invalidation */
            size_t other = absent(e, &seed);
            take(e, &m, i);
            insert(e, &m, other);
        } else if (e->in[i] && tt_random(&seed) % 16 == 0) { /* a new value: a hit where it stands */
            tt_evict_remove(e, i);
            tt_evict_insert(e, i, TT_EVICT_BYTES);
            m.marked[i] = true;
        } else if (e->in[i]) {
            tt_evict_hit(e, i);
            m.marked[i] = true;
        } else {
            while (m.n >= ROOM) {
                size_t v = model_victim(&m);
                assert_int_equal(tt_evict_victim(e), v);
                take(e, &m, v);
            }
            insert(e, &m, i);
        }
    }
    assert_true(tt_evict_close(e));
}

static void the_hand_stays_where_it_was(void **state)
{
    (void)state;
    struct tt_evict *e = tt_evict_open(&tc_evict_sieve, 8);
    for (size_t i = 0; i < 5; i++)
        tt_evict_insert(e, i, TT_EVICT_BYTES);
    tt_evict_hit(e, 0);
    assert_int_equal(tt_evict_evict(e), 1); /* 0 lost its mark, and the hand is past it */
    assert_int_equal(tt_evict_victim(e), 2);
    tt_evict_remove(e, 2); /* under the hand */
    tt_evict_insert(e, 5, TT_EVICT_BYTES);
    assert_int_equal(tt_evict_evict(e), 3);
    assert_int_equal(tt_evict_evict(e), 4);
    assert_int_equal(tt_evict_evict(e), 5);
    assert_int_equal(tt_evict_evict(e), 0); /* round again */
    assert_true(tt_evict_close(e));
}

static void marked_entries_all_round_are_passed_within_a_bound(void **state)
{
    (void)state;
    enum { MANY = 5000, BOUND = 1024 };
    struct tt_evict *e = tt_evict_open(&tc_evict_sieve, MANY);
    for (size_t i = 0; i < MANY; i++) {
        tt_evict_insert(e, i, TT_EVICT_BYTES);
        tt_evict_hit(e, i);
    }
    for (size_t round = 1; round * BOUND < MANY; round++)
        assert_int_equal(tt_evict_victim(e), round * BOUND);
    assert_int_equal(tt_evict_victim(e), 0);
    assert_true(tt_evict_close(e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(victims_are_those_of_the_paper),
        cmocka_unit_test(the_hand_stays_where_it_was),
        cmocka_unit_test(marked_entries_all_round_are_passed_within_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
