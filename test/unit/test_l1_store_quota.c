/* Quotas of types: they hold on their own, whatever the others do, whatever the order of eviction, and from the next
 * store on when they are changed. Only through tier/l1/l1.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/evict.h"
#include "tt_util.h"
#include "unit/tt_l1.h"

enum { LIMIT = 1 << 20, STRIPES = 4, LIMITED = 1, FREE = 2 };

static int setup(void **state)
{
    *state = tt_l1_new(LIMIT, STRIPES, NULL);
    return *state != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    return tt_l1_free(*state) ? 0 : -1;
}

static int put(struct tt_l1 *r, uint64_t number, size_t type, size_t len)
{
    return tt_l1_put_with(r, tt_l1_key(r, number), &(struct tt_l1_put){ .type = type, .len = len, .advance = true });
}

static bool has(struct tt_l1 *r, uint64_t number)
{
    return tt_l1_has(r, tt_l1_key(r, number));
}

/* ---- holding ---- */

static void a_type_never_has_more_entries_than_its_quota(void **state)
{
    struct tt_l1 *r = *state;
    const uint64_t quotas[] = { 1, 2, 3, 7, 50, 500 };
    for (size_t i = 0; i < TC_ARRAY_LEN(quotas); i++) {
        r->policies[LIMITED].l1_quota_entries = quotas[i];
        for (uint64_t n = 0; n < 1500; n++) {
            assert_int_equal(put(r, 10000 * i + n, LIMITED, n % 40), CACHE_OK);
            assert_true(has(r, 10000 * i + n)); /* the newest is never the one to go */
            assert_true(tt_l1_type_entries(r, LIMITED) <= quotas[i]);
        }
        assert_int_equal(tt_l1_type_entries(r, LIMITED), quotas[i]);
        tc_l1_clear(&r->l1);
    }
    assert_int_equal(tt_l1_count(r, TC_COUNT_l1_evicted_bytes), 0);
    assert_true(tc_l1_check(&r->l1));
}

static void a_type_never_has_more_bytes_than_its_quota(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t seed = tt_seed();
    r->policies[LIMITED].l1_quota_bytes = 50000;
    uint64_t most = 0;
    for (uint64_t n = 0; n < 3000; n++) {
        assert_int_equal(put(r, n, LIMITED, tt_random(&seed) % 2000), CACHE_OK);
        uint64_t bytes = tt_l1_type_bytes(r, LIMITED);
        assert_true(bytes <= 50000);
        most = bytes > most ? bytes : most;
    }
    assert_true(most > 40000);
    assert_true(tt_l1_count(r, TC_COUNT_l1_evicted_quota) > 1000);
    assert_true(tc_l1_check(&r->l1));
}

static void a_value_above_its_types_byte_quota_is_refused(void **state)
{
    struct tt_l1 *r = *state;
    r->policies[LIMITED].l1_quota_bytes = 5000;
    put(r, 1, LIMITED, 100);
    put(r, 2, LIMITED, 100);
    assert_int_equal(put(r, 1, LIMITED, 5000), CACHE_E_TOO_LARGE); /* with its overhead */
    assert_false(has(r, 1));
    assert_true(has(r, 2));
    assert_int_equal(put(r, 1, LIMITED, 4000), CACHE_OK);
}

static void replacing_within_a_quota_evicts_nobody(void **state)
{
    struct tt_l1 *r = *state;
    r->policies[LIMITED].l1_quota_entries = 10;
    for (uint64_t n = 0; n < 10; n++)
        put(r, n, LIMITED, 10);
    for (int round = 0; round < 100; round++)
        put(r, (uint64_t)round % 10, LIMITED, (size_t)round);
    for (uint64_t n = 0; n < 10; n++)
        assert_true(has(r, n));
    assert_int_equal(tt_l1_count(r, TC_COUNT_l1_evicted_quota), 0);
}

static void replacing_within_a_byte_quota_evicts_nobody(void **state)
{
    struct tt_l1 *r = *state;
    for (uint64_t n = 0; n < 10; n++)
        put(r, n, LIMITED, 100);
    r->policies[LIMITED].l1_quota_bytes = tt_l1_type_bytes(r, LIMITED);
    for (int round = 0; round < 100; round++)
        put(r, (uint64_t)round % 10, LIMITED, 100);
    assert_int_equal(tt_l1_type_entries(r, LIMITED), 10);
    assert_int_equal(tt_l1_count(r, TC_COUNT_l1_evicted_quota), 0);
    put(r, 0, LIMITED, 150); /* and one that grows costs one other */
    assert_int_equal(tt_l1_type_entries(r, LIMITED), 9);
    assert_true(has(r, 0));
}

/* ---- independence ---- */

static void a_quota_does_not_touch_other_types(void **state)
{
    struct tt_l1 *r = *state;
    r->policies[LIMITED].l1_quota_entries = 20;
    for (uint64_t n = 0; n < 500; n++)
        put(r, n, FREE, 20);
    for (uint64_t n = 0; n < 2000; n++)
        put(r, 10000 + n, LIMITED, 20);
    for (uint64_t n = 0; n < 500; n++)
        assert_true(has(r, n));
    assert_int_equal(tt_l1_type_entries(r, FREE), 500);
}

static void two_quotas_hold_side_by_side(void **state)
{
    struct tt_l1 *r = *state;
    r->policies[0].l1_quota_entries = 5;
    r->policies[1].l1_quota_entries = 70;
    r->policies[2].l1_quota_bytes = 20000;
    for (uint64_t n = 0; n < 6000; n++) {
        put(r, n, n % 4, n % 100);
        assert_true(tt_l1_type_entries(r, 0) <= 5 && tt_l1_type_entries(r, 1) <= 70);
        assert_true(tt_l1_type_bytes(r, 2) <= 20000);
    }
    assert_true(tt_l1_type_entries(r, 3) > 1000);
    assert_true(tc_l1_check(&r->l1));
}

static void under_a_quota_who_was_not_used_for_longest_leaves_first(void **state)
{
    (void)state;
    struct tt_l1 *r = tt_l1_new(LIMIT, 1, NULL);
    r->policies[LIMITED].l1_quota_entries = 100;
    for (uint64_t n = 0; n < 100; n++)
        put(r, n, LIMITED, 10);
    for (uint64_t n = 0; n < 50; n++)
        assert_true(has(r, n));
    for (uint64_t n = 0; n < 30; n++)
        put(r, 1000 + n, LIMITED, 10);
    for (uint64_t n = 0; n < 50; n++)
        assert_true(has(r, n));
    for (uint64_t n = 50; n < 80; n++)
        assert_false(has(r, n));
    assert_true(tt_l1_free(r));
}

static void for_the_memory_limit_entries_under_a_quota_leave_like_all_others(void **state)
{
    struct tt_l1 *r = *state;
    r->policies[LIMITED].l1_quota_entries = 1000000;
    for (uint64_t n = 0; n < 500; n++)
        put(r, n, LIMITED, 200);
    tt_clock_advance(&r->time, 1000); /* who leaves first among types is a matter of time */
    for (uint64_t n = 0; n < 10000; n++)
        put(r, 100000 + n, FREE, 200);
    assert_int_equal(tt_l1_type_entries(r, LIMITED), 0);
    assert_true(tc_l1_check(&r->l1));
}

static void many_types_with_quotas_share_the_limit(void **state)
{
    struct tt_l1 *r = *state;
    for (size_t t = 0; t < TT_L1_TYPES; t++)
        r->policies[t].l1_quota_entries = 1 << 30;
    for (uint64_t n = 0; n < 20000; n++) {
        assert_int_equal(put(r, n, n % TT_L1_TYPES, 300), CACHE_OK);
        tt_clock_advance(&r->time, 1);
        assert_true(tc_l1_bytes(&r->l1) <= LIMIT);
    }
    for (size_t t = 0; t < TT_L1_TYPES; t++)
        assert_true(tt_l1_type_entries(r, t) > 300);
    assert_true(tc_l1_check(&r->l1));
}

/* ---- changing ---- */

static void a_quota_that_comes_later_holds_from_the_next_store_on(void **state)
{
    struct tt_l1 *r = *state;
    for (uint64_t n = 0; n < 1000; n++)
        put(r, n, LIMITED, 20);
    r->policies[LIMITED].l1_quota_entries = 50;
    put(r, 1000, LIMITED, 20);
    assert_true(tt_l1_type_entries(r, LIMITED) <= 50);
    for (uint64_t n = 1001; n < 1100; n++)
        put(r, n, LIMITED, 20);
    assert_int_equal(tt_l1_type_entries(r, LIMITED), 50);
    assert_true(tc_l1_check(&r->l1));
}

static void a_quota_that_shrinks_holds_from_the_next_store_on(void **state)
{
    struct tt_l1 *r = *state;
    r->policies[LIMITED].l1_quota_entries = 1000;
    for (uint64_t n = 0; n < 1000; n++)
        put(r, n, LIMITED, 20);
    r->policies[LIMITED].l1_quota_entries = 50;
    put(r, 1000, LIMITED, 20);
    assert_int_equal(tt_l1_type_entries(r, LIMITED), 50);
    assert_true(has(r, 1000));
}

static void a_quota_that_goes_away_binds_no_more(void **state)
{
    struct tt_l1 *r = *state;
    r->policies[LIMITED].l1_quota_entries = 10;
    for (uint64_t n = 0; n < 100; n++)
        put(r, n, LIMITED, 20);
    r->policies[LIMITED].l1_quota_entries = 0;
    for (uint64_t n = 0; n < 100; n++)
        put(r, n, LIMITED, 20);
    assert_int_equal(tt_l1_type_entries(r, LIMITED), 100);
    assert_true(tc_l1_check(&r->l1));
}

/* What is stored while there is no quota is under the next one. */
static void a_quota_that_went_away_and_comes_back_holds_again(void **state)
{
    struct tt_l1 *r = *state;
    for (uint64_t round = 0; round < 3; round++) {
        r->policies[LIMITED].l1_quota_entries = 10;
        for (uint64_t n = 0; n < 501; n++)
            put(r, 10000 * round + n, LIMITED, 20);
        assert_int_equal(tt_l1_type_entries(r, LIMITED), 10);
        r->policies[LIMITED].l1_quota_entries = 0;
        for (uint64_t n = 0; n < 1000; n++)
            put(r, 10000 * round + 5000 + n, LIMITED, 20);
        assert_int_equal(tt_l1_type_entries(r, LIMITED), 1010);
    }
    r->policies[LIMITED].l1_quota_entries = 10;
    put(r, 50000, LIMITED, 20);
    assert_int_equal(tt_l1_type_entries(r, LIMITED), 10);
    assert_true(has(r, 50000));
    assert_true(tc_l1_check(&r->l1));
}

/* The same in bytes, with every store a replacement. */
static void a_byte_quota_that_comes_back_holds_again(void **state)
{
    struct tt_l1 *r = *state;
    for (int round = 0; round < 5; round++) {
        r->policies[LIMITED].l1_quota_bytes = round % 2 ? 0 : 5000;
        for (uint64_t n = 0; n < 300; n++)
            put(r, n, LIMITED, 100);
    }
    assert_in_range(tt_l1_type_bytes(r, LIMITED), 4000, 5000);
    assert_true(tc_l1_check(&r->l1));
}

/* Entries that were used in a known order, then a quota of half of them. How many of the most recent ones are left. */
static size_t left_of_the_most_recent(size_t stripes, bool shrinks, bool in_bytes,
                                      const struct cache_evict_ops *evict)
{
    enum { ENTRIES = 1000, HALF = ENTRIES / 2 };
    struct tt_l1 *r = tt_l1_new(LIMIT, stripes, evict);
    r->l1.thin = false; /* all in pages: bytes as entries */
    struct tc_policy *p = &r->policies[LIMITED];
    uint64_t order[ENTRIES], seed = tt_seed();
    p->l1_quota_entries = shrinks ? ENTRIES : 0;
    for (uint64_t n = 0; n < ENTRIES; n++) {
        put(r, n, LIMITED, 20);
        put(r, 5000 + n, FREE, 20); /* the type is not alone in its order */
        order[n] = n;
    }
    /* Hits count when memory is short, and only then. */
    for (uint64_t n = 10000; tc_l1_bytes(&r->l1) < LIMIT / 10 * 9; n++)
        put(r, n, FREE, 200);
    assert_int_equal(tt_l1_count(r, TC_COUNT_l1_evicted_bytes), 0);
    uint64_t others = tt_l1_type_entries(r, FREE);
    for (size_t n = ENTRIES - 1; n > 0; n--) {
        size_t other = tt_random(&seed) % (n + 1);
        uint64_t number = order[n];
        order[n] = order[other];
        order[other] = number;
    }
    for (int round = 0; round < 2; round++) /* twice: the first time some were touched lately */
        for (size_t n = 0; n < ENTRIES; n++)
            assert_true(has(r, order[n]));
    p->l1_quota_entries = in_bytes ? 0 : HALF;
    p->l1_quota_bytes = in_bytes ? tt_l1_type_bytes(r, LIMITED) / 2 : 0;
    put(r, 2000, LIMITED, 20);
    assert_true(tt_l1_type_entries(r, LIMITED) <= HALF);
    assert_int_equal(tt_l1_type_entries(r, FREE), others);
    assert_true(has(r, 2000));
    size_t left = 0;
    for (size_t n = HALF + 1; n < ENTRIES; n++)
        left += has(r, order[n]);
    assert_true(tt_l1_free(r));
    return left;
}

/* Exactly, under the policy that is exact. The default one tells uses apart by ticks of 240 hits here: those of the
 * tick in which the quota ends may be mixed, and some quarter of them change places at most. */
static void a_quota_that_comes_later_or_shrinks_leaves_what_was_used_last(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        assert_int_equal(left_of_the_most_recent(1, how & 1, how & 2, &tc_evict_lru_exact), 499);
        assert_in_range(left_of_the_most_recent(1, how & 1, how & 2, NULL), 499 - 240 / 3, 499);
        for (int exact = 0; exact < 2; exact++) {
            const struct cache_evict_ops *evict = exact ? &tc_evict_lru_exact : NULL;
            size_t few = left_of_the_most_recent(STRIPES, how & 1, how & 2, evict); /* each stripe its own last */
            assert_in_range(few, exact ? 440 : 400, 499);
            assert_in_range(left_of_the_most_recent(16, how & 1, how & 2, evict), exact ? 400 : 360, 499);
        }
    }
}

/* All memory is in one stripe's hands; the others have nothing to pay for anything with. */
static void a_quota_that_comes_later_holds_wherever_the_types_entries_lie(void **state)
{
    struct tt_l1 *r = *state;
    for (uint64_t n = 0; n < 20; n++)
        tt_l1_put_with(r, tt_l1_key_in(r, n, 0), &(struct tt_l1_put){ .type = LIMITED, .len = 20 });
    for (uint64_t n = 100; tt_l1_count(r, TC_COUNT_l1_evicted_bytes) < 500; n++) {
        tt_l1_put_with(r, tt_l1_key_in(r, n, 0), &(struct tt_l1_put){ .type = FREE, .len = 500 });
        for (uint64_t k = 0; k < 20; k++)
            tt_l1_has(r, tt_l1_key_in(r, k, 0));
    }
    assert_int_equal(tt_l1_type_entries(r, LIMITED), 20);
    r->policies[LIMITED].l1_quota_entries = 2;
    tt_l1_put_with(r, tt_l1_key_in(r, 50, 1), &(struct tt_l1_put){ .type = LIMITED, .len = 20 });
    assert_int_equal(tt_l1_type_entries(r, LIMITED), 2);
    assert_true(tc_l1_check(&r->l1));
    assert_true(tc_l1_bytes(&r->l1) <= LIMIT);
}

/* ---- other orders of eviction ---- */

/* The newest goes first: what a policy for scans may do. A doubly linked stack; its entries do not move. */
struct stacked {
    uint32_t above, below;
};

struct stack {
    const struct cache_evict_env *env;
    uint32_t top;
};

static struct stacked *stacked(const struct stack *s, uint32_t entry)
{
    return cache_evict_node(s->env, entry);
}

static void stack_begin(void *state, const struct cache_evict_env *env)
{
    ((struct stack *)state)->env = env;
}

static void stack_insert(void *state, uint32_t entry, uint64_t hash, size_t bytes)
{
    struct stack *s = state;
    (void)hash;
    (void)bytes;
    *stacked(s, entry) = (struct stacked){ 0, s->top };
    if (s->top != 0)
        stacked(s, s->top)->above = entry;
    s->top = entry;
}

static void stack_hit(void *state, uint32_t entry, void *node)
{
    assert_ptr_equal(node, stacked(state, entry));
}

static void stack_remove(void *state, uint32_t entry)
{
    struct stack *s = state;
    const struct stacked *n = stacked(s, entry);
    if (n->above != 0)
        stacked(s, n->above)->below = n->below;
    else
        s->top = n->below;
    if (n->below != 0)
        stacked(s, n->below)->above = n->above;
}

static uint32_t stack_victim(void *state)
{
    return ((const struct stack *)state)->top;
}

static const struct cache_evict_ops newest_first = {
    .abi = CACHE_HOOKS_ABI,
    .flags = CACHE_EVICT_LOCKED_HITS,
    .name = "newest first",
    .state_bytes = sizeof(struct stack),
    .node_bytes = sizeof(struct stacked),
    .begin = stack_begin,
    .insert = stack_insert,
    .hit = stack_hit,
    .remove = stack_remove,
    .victim = stack_victim,
};

static void a_quota_holds_under_an_order_that_gives_up_the_newest(void **state)
{
    (void)state;
    for (size_t stripes = 1; stripes <= 4; stripes *= 4) {
        struct tt_l1 *r = tt_l1_new(LIMIT, stripes, &newest_first);
        assert_non_null(r);
        r->policies[LIMITED].l1_quota_entries = 20;
        for (uint64_t n = 0; n < 500; n++) {
            assert_int_equal(put(r, n, LIMITED, 10), CACHE_OK);
            assert_true(tt_l1_type_entries(r, LIMITED) <= 20);
        }
        assert_true(tt_l1_free(r));
    }
}

static void a_later_quota_holds_under_an_order_that_gives_up_the_newest(void **state)
{
    (void)state;
    for (size_t stripes = 1; stripes <= 4; stripes *= 4) {
        struct tt_l1 *r = tt_l1_new(LIMIT, stripes, &newest_first);
        for (uint64_t n = 0; n < 500; n++)
            put(r, n, LIMITED, 10);
        r->policies[LIMITED].l1_quota_entries = 20;
        assert_int_equal(put(r, 1000, LIMITED, 10), CACHE_OK);
        assert_true(has(r, 1000));
        assert_in_range(tt_l1_type_entries(r, LIMITED), 1, 20);
        if (stripes == 1)
            for (uint64_t n = 0; n < 19; n++)
                assert_true(has(r, n)); /* who came first is the last to leave, also from the order made later */
        assert_true(tt_l1_free(r));
    }
}

/* Its entries stand in the order of all types, which cannot tell them apart: they leave as they lie in the table. Or
 * there is memory for an order after all, when it is to be trimmed: the first that it would give up is the new one. */
static void a_later_quota_holds_without_memory_for_an_order(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        struct tt_l1 *r = tt_l1_new(LIMIT, how & 2 ? 4 : 1, how & 1 ? &newest_first : NULL);
        for (uint64_t n = 0; n < 60; n++)
            put(r, n, n % 3 == 0 ? LIMITED : FREE, 20);
        r->policies[LIMITED].l1_quota_entries = 2;
        struct tt_l1_key k = tt_l1_key(r, 0); /* in the place of the one before */
        struct tc_entry *e = tt_l1_entry(r, k, &(struct tt_l1_put){ .type = LIMITED, .len = 20 });
        tt_alloc_fail(&r->counting, 1, !(how & 1));
        assert_int_equal(tc_l1_put(&r->l1, e, &r->policies[LIMITED], NULL, true), CACHE_OK);
        tt_alloc_fail(&r->counting, 0, false);
        tc_l1_drop(&r->l1, e);
        assert_int_equal(tt_l1_type_entries(r, LIMITED), 2);
        assert_int_equal(tt_l1_type_entries(r, FREE), 40);
        assert_true(has(r, 0));
        assert_true(tc_l1_check(&r->l1));
        assert_true(tt_l1_free(r));
    }
}

/* FAULTS 51 */
static void the_limit_holds_under_an_order_that_gives_up_the_newest(void **state)
{
    (void)state;
    struct tt_l1 *r = tt_l1_new(LIMIT, STRIPES, &newest_first);
    for (uint64_t n = 0; n < 10000; n++) {
        assert_int_equal(put(r, n, FREE, 200), CACHE_OK);
        assert_true(has(r, n));
        assert_true(tc_l1_bytes(&r->l1) <= LIMIT);
    }
    assert_true(has(r, 0));
    assert_true(tt_l1_free(r));
}

/* ---- threads ---- */

enum { CREW = 4, OPS = 5000 };

static int put_under_quota(void *arg, unsigned index)
{
    struct tt_l1 *r = arg;
    int failures = 0;
    for (uint64_t i = 0; i < OPS; i++)
        TT_CHECK(failures, put(r, index * OPS + i, LIMITED, 20) == CACHE_OK);
    return failures;
}

static void when_threads_are_done_the_quota_holds(void **state)
{
    struct tt_l1 *r = *state;
    r->policies[LIMITED].l1_quota_entries = 30;
    assert_int_equal(tt_crew_join(tt_crew_start(CREW, put_under_quota, r)), 0);
    assert_true(tt_l1_type_entries(r, LIMITED) <= 30);
    assert_true(tt_l1_type_entries(r, LIMITED) > 0);
    assert_true(tc_l1_check(&r->l1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_type_never_has_more_entries_than_its_quota, setup, teardown),
        cmocka_unit_test_setup_teardown(a_type_never_has_more_bytes_than_its_quota, setup, teardown),
        cmocka_unit_test_setup_teardown(a_value_above_its_types_byte_quota_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(replacing_within_a_quota_evicts_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(replacing_within_a_byte_quota_evicts_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(a_quota_does_not_touch_other_types, setup, teardown),
        cmocka_unit_test_setup_teardown(two_quotas_hold_side_by_side, setup, teardown),
        cmocka_unit_test(under_a_quota_who_was_not_used_for_longest_leaves_first),
        cmocka_unit_test_setup_teardown(for_the_memory_limit_entries_under_a_quota_leave_like_all_others, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(many_types_with_quotas_share_the_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(a_quota_that_comes_later_holds_from_the_next_store_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_quota_that_shrinks_holds_from_the_next_store_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_quota_that_goes_away_binds_no_more, setup, teardown),
        cmocka_unit_test_setup_teardown(a_quota_that_comes_later_holds_wherever_the_types_entries_lie, setup, teardown),
        cmocka_unit_test_setup_teardown(a_quota_that_went_away_and_comes_back_holds_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_byte_quota_that_comes_back_holds_again, setup, teardown),
        cmocka_unit_test(a_quota_that_comes_later_or_shrinks_leaves_what_was_used_last),
        cmocka_unit_test(a_quota_holds_under_an_order_that_gives_up_the_newest),
        cmocka_unit_test(a_later_quota_holds_under_an_order_that_gives_up_the_newest),
        cmocka_unit_test(a_later_quota_holds_without_memory_for_an_order),
        cmocka_unit_test(the_limit_holds_under_an_order_that_gives_up_the_newest),
        cmocka_unit_test_setup_teardown(when_threads_are_done_the_quota_holds, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
