/* The order by frequency: who is used least leaves, but nobody lives on what was long ago. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_evict.h"
#include "tt_util.h"

static void use(struct tt_evict *e, size_t i, int times)
{
    while (times-- > 0)
        tt_evict_hit(e, i);
}

static void the_least_used_leaves_first_and_the_older_of_equals(void **state)
{
    (void)state;
    struct tt_evict *e = tt_evict_open(&tc_evict_lfu, 5);
    static const int uses[] = { 3, 1, 4, 1, 2 };
    for (size_t i = 0; i < 5; i++)
        tt_evict_insert(e, i, TT_EVICT_BYTES);
    for (size_t i = 0; i < 5; i++)
        use(e, i, uses[i]);
    static const size_t expected[] = { 1, 3, 4, 0, 2 };
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(tt_evict_evict(e), expected[i]);
    assert_true(tt_evict_close(e));
}

enum { NODES = 64, ROOM = 24, MOST = 15, STEPS = 40000 };

/* The reference: whole numbers for ranks and a search through all entries. */
struct model {
    uint64_t rank[NODES], since[NODES], level, now;
    unsigned uses[NODES], hits[NODES];
};

static unsigned capped(unsigned n)
{
    return n < MOST ? n : MOST;
}

static void rank(struct model *m, size_t i, unsigned uses)
{
    m->uses[i] = capped(uses);
    m->rank[i] = m->level + m->uses[i];
    m->since[i] = ++m->now;
    m->hits[i] = 0;
}

static size_t lowest(const struct model *m, const bool *in)
{
    size_t v = NODES;
    for (size_t i = 0; i < NODES; i++)
        if (in[i] && (v == NODES || m->rank[i] < m->rank[v] ||
                      (m->rank[i] == m->rank[v] && m->since[i] < m->since[v])))
            v = i;
    return v;
}

static size_t model_victim(struct model *m, const bool *in)
{
    size_t v;
    while (m->hits[v = lowest(m, in)] > 0)
        rank(m, v, m->uses[v] + m->hits[v]);
    return v;
}

static void victims_are_those_of_dynamic_aging(void **state)
{
    (void)state;
    struct model m = { .level = 0 };
    uint64_t seed = tt_seed();
    struct tt_evict *e = tt_evict_open(&tc_evict_lfu, NODES);
    for (int step = 0; step < STEPS; step++) {
        size_t i = tt_random(&seed) % (1 + tt_random(&seed) % NODES);
        if (e->in[i] && tt_random(&seed) % 16 > 0) {
            tt_evict_hit(e, i);
            m.hits[i] = capped(m.hits[i] + 1);
        } else if (e->in[i]) { /* a new value: the old one's uses and one more */
            tt_evict_remove(e, i);
            tt_evict_insert(e, i, TT_EVICT_BYTES);
            rank(&m, i, capped(m.uses[i] + m.hits[i]) + 1);
        } else {
            while (e->count >= ROOM) {
                size_t v = model_victim(&m, e->in);
                assert_int_equal(tt_evict_evict(e), v);
                m.level = m.rank[v];
            }
            tt_evict_insert(e, i, TT_EVICT_BYTES);
            rank(&m, i, 1);
        }
    }
    assert_in_range(m.level, 100, STEPS); /* it went round the ring of ranks */
    assert_true(tt_evict_close(e));
}

static void what_was_popular_long_ago_leaves(void **state)
{
    (void)state;
    enum { KEYS = 4000 };
    struct tt_evict *e = tt_evict_open(&tc_evict_lfu, KEYS);
    for (size_t i = 0; i < ROOM; i++) {
        tt_evict_insert(e, i, TT_EVICT_BYTES);
        use(e, i, 1000);
    }
    for (size_t i = ROOM; i < KEYS; i++) { /* each is used twice and then no more */
        tt_evict_get(e, i, ROOM);
        tt_evict_get(e, i, ROOM);
    }
    for (size_t i = 0; i < ROOM; i++)
        assert_false(e->in[i]);
    assert_true(tt_evict_close(e));
}

/* Without aging newcomers would only push each other out, and a key that comes twice in short order never be found. */
static void newcomers_have_their_chance(void **state)
{
    (void)state;
    enum { KEYS = 4000, AFTER = ROOM / 4 };
    size_t hits = 0;
    struct tt_evict *e = tt_evict_open(&tc_evict_lfu, KEYS);
    for (size_t i = 0; i < ROOM; i++) {
        tt_evict_insert(e, i, TT_EVICT_BYTES);
        use(e, i, 1000);
    }
    for (size_t i = ROOM; i < KEYS; i++) {
        tt_evict_get(e, i, ROOM);
        hits += tt_evict_get(e, i - AFTER, ROOM);
    }
    assert_in_range(hits, KEYS * 9 / 10, KEYS);
    assert_true(tt_evict_close(e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_used_leaves_first_and_the_older_of_equals),
        cmocka_unit_test(victims_are_those_of_dynamic_aging),
        cmocka_unit_test(what_was_popular_long_ago_leaves),
        cmocka_unit_test(newcomers_have_their_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
