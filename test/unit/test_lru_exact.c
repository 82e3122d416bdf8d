/* The exact order by recency, against times of use: the victim is always the one used longest ago. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_evict.h"
#include "tt_util.h"

enum { NODES = 256, STEPS = 30000 };

static void without_hits_entries_leave_in_the_order_they_came(void **state)
{
    (void)state;
    struct tt_evict *e = tt_evict_open(&tc_evict_lru_exact, NODES);
    for (size_t i = 0; i < NODES; i++)
        tt_evict_insert(e, i, TT_EVICT_BYTES);
    for (size_t i = 0; i < NODES; i++)
        assert_int_equal(tt_evict_evict(e), i);
    assert_true(tt_evict_close(e));
}

static void every_hit_moves_its_entry_to_the_front(void **state)
{
    (void)state;
    struct tt_evict *e = tt_evict_open(&tc_evict_lru_exact, 4);
    for (size_t i = 0; i < 4; i++)
        tt_evict_insert(e, i, TT_EVICT_BYTES);
    tt_evict_hit(e, 3); /* the newest */
    tt_evict_hit(e, 0);
    tt_evict_hit(e, 2);
    static const size_t expected[] = { 1, 3, 0, 2 };
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(tt_evict_evict(e), expected[i]);
    tt_evict_insert(e, 0, TT_EVICT_BYTES);
    tt_evict_hit(e, 0); /* the only one */
    assert_int_equal(tt_evict_evict(e), 0);
    assert_true(tt_evict_close(e));
}

static void the_victim_is_always_the_least_recently_used(void **state)
{
    (void)state;
    uint64_t used_at[NODES] = { 0 }, seed = tt_seed();
    struct tt_evict *e = tt_evict_open(&tc_evict_lru_exact, NODES);
    for (uint64_t now = 1; now <= STEPS; now++) {
        size_t i = tt_random(&seed) % NODES;
        if (e->in[i] && tt_random(&seed) % 16 == 0) {
            tt_evict_remove(e, i);
        } else {
            tt_evict_get(e, i, NODES / 2);
            used_at[i] = now;
        }
        size_t v = tt_evict_victim(e);
        for (size_t k = 0; v != TT_EVICT_NONE && k < NODES; k++)
            assert_true(!e->in[k] || used_at[v] <= used_at[k]);
    }
    assert_true(tt_evict_close(e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_hits_entries_leave_in_the_order_they_came),
        cmocka_unit_test(every_hit_moves_its_entry_to_the_front),
        cmocka_unit_test(the_victim_is_always_the_least_recently_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
