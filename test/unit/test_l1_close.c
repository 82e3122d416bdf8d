/* Closing a whole L1: what lies in pages and chunks goes with them, what has memory of its own is freed, what waits for
 * readers too, and a policy is told of each entry unless it said that it need not be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/evict.h"
#include "tt_util.h"
#include "unit/tt_l1.h"

enum { STRIPES = 1, ROOM = 64, SMALL_LIMIT = 1 << 20, PAGED_LIMIT = 16 << 20, OWN = 1 };

static const char *const names[] = { "lru", "lru-exact", "sieve", "s3-fifo", "lfu", "w-tinylfu" };

/* ---- a policy that counts what it is told ---- */

static struct {
    const struct cache_evict_ops *real;
    size_t inserted, removed, ended, orders;
    size_t removed_after_end;
} told;

static void told_begin(void *state, const struct cache_evict_env *env)
{
    told.orders++;
    if (told.real->begin != NULL)
        told.real->begin(state, env);
}

static void told_end(void *state)
{
    told.ended++;
    if (told.real->end != NULL)
        told.real->end(state);
}

static void told_insert(void *state, uint32_t entry, uint64_t hash, size_t bytes)
{
    told.inserted++;
    told.real->insert(state, entry, hash, bytes);
}

static void told_remove(void *state, uint32_t entry)
{
    told.removed++;
    told.removed_after_end += told.ended > 0;
    told.real->remove(state, entry);
}

/* Without replace and later, so that who comes is inserted and who leaves removed. */
static struct cache_evict_ops counted(const char *name, bool ends_full)
{
    struct cache_evict_ops ops;
    told = (__typeof__(told)){ .real = cache_evict_policy(name) };
    ops = *told.real;
    assert_true(ops.flags & CACHE_EVICT_ENDS_FULL);
    ops.flags &= ends_full ? ~(uint32_t)CACHE_EVICT_LAST_IN : ~(uint32_t)(CACHE_EVICT_LAST_IN | CACHE_EVICT_ENDS_FULL);
    ops.begin = told_begin;
    ops.end = told_end;
    ops.insert = told_insert;
    ops.remove = told_remove;
    ops.replace = NULL;
    ops.later = NULL;
    return ops;
}

/* ---- what is in it ---- */

/* Values for pages, for extents, and for memory of their own. */
static void fill(struct tt_l1 *r, size_t type, uint64_t most)
{
    static const size_t lens[] = { 8, 100, 1000, 5000, 20000, 40000, 64, 64, 64, 64 };
    uint64_t bytes = 0;
    for (uint64_t n = 0; bytes < most; n++) {
        struct tt_l1_put p = { .type = type, .len = lens[n % TC_ARRAY_LEN(lens)], .advance = true };
        assert_int_equal(tt_l1_put_with(r, tt_l1_key(r, type << 32 | n), &p), CACHE_OK);
        bytes += p.len + 100;
    }
}

struct held {
    size_t alone, housed;
};

static struct held count(const struct tt_l1 *r)
{
    struct held held = { 0, 0 };
    for (const struct tc_stripe *s = r->l1.stripes; s < r->l1.stripes + STRIPES; s++)
        for (size_t i = 0; i < tc_index_lanes(&s->index); i++) {
            uint32_t cell = tc_index_cell(&s->index, i);
            held.alone += cell != 0 && tc_cell_is_alone(cell);
            held.housed += cell != 0 && !tc_cell_is_alone(cell);
        }
    return held;
}

/* One with memory of its own, and others. */
static void have_some_waiting(struct tt_l1 *r)
{
    struct tc_stripe *s = r->l1.stripes;
    for (uint64_t n = 0; s->left.n == 0 || !tc_left_has_alone(&s->left) || tc_left_housed(&s->left) == 0; n++) {
        assert_true(n < 1000000);
        tt_l1_invalidate(r, tt_l1_key(r, n));
    }
}

/* Under each policy: closed with all that it holds. tt_l1_free() sees whether all memory went. */
static void close_filled(uint64_t limit, bool ends_full, bool company)
{
    for (size_t i = 0; i < TC_ARRAY_LEN(names); i++) {
        struct cache_evict_ops ops = counted(names[i], ends_full);
        struct tt_l1 *r = tt_l1_new(limit, STRIPES, &ops);
        if (company)
            tt_l1_have_company(r);
        fill(r, 0, limit * 5 / 4); /* some are evicted */
        if (company)
            have_some_waiting(r);
        struct held held = count(r);
        assert_true(held.alone > 0);
        assert_true(held.housed > 0);
        assert_int_equal(told.inserted - told.removed, held.alone + held.housed);
        size_t before = told.removed;
        assert_true(tt_l1_free(r));
        assert_int_equal(told.removed - before, ends_full ? held.alone : held.alone + held.housed);
        assert_int_equal(told.removed_after_end, 0);
        assert_int_equal(told.ended, told.orders);
    }
}

static void a_policy_that_ends_full_is_told_of_what_has_memory_of_its_own_alone(void **state)
{
    (void)state;
    close_filled(PAGED_LIMIT, true, false);
}

static void any_other_policy_is_told_of_each_before_it_ends(void **state)
{
    (void)state;
    close_filled(PAGED_LIMIT, false, false);
}

static void what_waits_for_readers_goes_as_well(void **state)
{
    (void)state;
    close_filled(PAGED_LIMIT, true, true);
    close_filled(PAGED_LIMIT, false, true);
}

static void a_small_cache_goes_as_well(void **state)
{
    (void)state;
    close_filled(SMALL_LIMIT, true, false);
    close_filled(SMALL_LIMIT, false, true);
}

/* One that has to be told is, whatever the others say. */
static void of_two_policies_each_is_asked(void **state)
{
    (void)state;
    for (int ends_full = 0; ends_full < 2; ends_full++) {
        struct cache_evict_ops own = counted("sieve", ends_full != 0);
        struct tt_l1 *r = tt_l1_new_with_room(PAGED_LIMIT, STRIPES, cache_evict_policy("lru"), ROOM);
        tt_l1_bring(r, OWN, &own);
        fill(r, OWN, PAGED_LIMIT / 2);
        fill(r, 0, PAGED_LIMIT / 2);
        size_t before = told.removed, held = told.inserted - told.removed;
        assert_true(held > 100);
        assert_true(tt_l1_free(r));
        size_t removed = told.removed - before;
        if (ends_full)
            assert_in_range(removed, 1, held - 1); /* those with memory of their own */
        else
            assert_int_equal(removed, held);
        assert_int_equal(told.removed_after_end, 0);
        assert_int_equal(told.ended, told.orders);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_that_ends_full_is_told_of_what_has_memory_of_its_own_alone),
        cmocka_unit_test(any_other_policy_is_told_of_each_before_it_ends),
        cmocka_unit_test(what_waits_for_readers_goes_as_well),
        cmocka_unit_test(a_small_cache_goes_as_well),
        cmocka_unit_test(of_two_policies_each_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
