/* What concerns all entries of a stripe is done in parts, and the lock is let go in between: who comes meanwhile gets
 * his turn, and what he does is not in the way. Seen from the allocator: entries that lie alone are freed after the
 * lock was let go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_l1.h"

enum {
    ENTRIES = 20000,
    AT_ONCE_MOST = 1000, /* of them, by one hold */
    LEN = 20,
    LATER = 1000000 /* the first number of those that are stored meanwhile */
};

/* One test runs at a time. */
static struct watch {
    struct tt_l1 *r;
    enum tc_counter which; /* counts what is watched */
    uint64_t before, most;
    unsigned holds;
    bool inside;
    uint64_t stored; /* meanwhile */
    void (*meanwhile)(struct watch *w);
} watch;

static void watching_free(void *ctx, void *p, size_t n)
{
    struct watch *w = &watch;
    tt_alloc_ops.free(ctx, p, n);
    if (w->meanwhile == NULL || w->inside)
        return;
    uint64_t now = tt_l1_count(w->r, w->which), more = now - w->before;
    if (more == 0)
        return;
    w->most = more > w->most ? more : w->most;
    w->holds++;
    w->inside = true;
    w->meanwhile(w);
    w->inside = false;
    w->before = now;
}

static int set_up(void **state)
{
    struct tt_l1 *r = tt_l1_new((uint64_t)ENTRIES * 1000, 1, NULL);
    r->l1.paged = false; /* so that all of them lie alone */
    r->alloc.ops.free = watching_free;
    watch = (struct watch){ .r = r };
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    watch.meanwhile = NULL;
    return tt_l1_free(*state) ? 0 : -1;
}

static void begin_to_watch(enum tc_counter which, void (*meanwhile)(struct watch *w))
{
    watch.which = which;
    watch.before = tt_l1_count(watch.r, which);
    watch.meanwhile = meanwhile;
}

static void fill(struct tt_l1 *r)
{
    for (uint64_t i = 0; i < ENTRIES; i++)
        assert_int_equal(tt_l1_put(r, tt_l1_key(r, i), LEN), CACHE_OK);
}

static void store_one(struct watch *w)
{
    assert_int_equal(tt_l1_put(w->r, tt_l1_key(w->r, LATER + w->stored), LEN), CACHE_OK);
    assert_true(tt_l1_has(w->r, tt_l1_key(w->r, LATER + w->stored)));
    w->stored++;
}

static void clearing_a_stripe_lets_others_in(void **state)
{
    struct tt_l1 *r = *state;
    fill(r);
    begin_to_watch(TC_COUNT_l1_cleared, store_one);
    tc_l1_clear(&r->l1);
    assert_true(watch.most <= AT_ONCE_MOST);
    assert_true(watch.holds >= ENTRIES / AT_ONCE_MOST);
    assert_true(watch.stored == watch.holds);
    for (uint64_t i = 0; i < ENTRIES; i++)
        assert_false(tt_l1_has(r, tt_l1_key(r, i)));
    assert_true(tc_l1_check(&r->l1));
}

/* ---- a larger table meanwhile ---- */

enum { LAST = 14 }; /* keys: more than a bucket has lanes */

/* One whose home is the last bucket of any table: those for which it has no lane lie in the first ones. */
static struct tt_l1_key last_key(const struct tt_l1 *r, uint64_t number)
{
    struct tt_l1_key k = tt_l1_key(r, number);
    k.hash |= UINT32_MAX;
    return k;
}

/* When the first ones are through: others like the last, which find lanes there only, and so many more that a larger
 * table comes, in whose last bucket they have the lanes. */
static void store_a_table(struct watch *w)
{
    uint32_t n = w->r->l1.stripes[0].index.n;
    if (w->stored > 0)
        return;
    for (uint64_t i = 0; i < LAST; i++)
        assert_int_equal(tt_l1_put(w->r, last_key(w->r, LATER + w->stored++), LEN), CACHE_OK);
    for (uint64_t i = 0; w->r->l1.stripes[0].index.n == n; i++)
        assert_int_equal(tt_l1_put(w->r, tt_l1_key(w->r, LATER + w->stored++), LEN), CACHE_OK);
}

static void what_a_larger_table_moves_is_cleared_too(void **state)
{
    struct tt_l1 *r = *state;
    for (uint64_t i = 0; i < LAST; i++)
        assert_int_equal(tt_l1_put(r, last_key(r, ENTRIES + i), LEN), CACHE_OK);
    fill(r);
    uint32_t n = r->l1.stripes[0].index.n;
    begin_to_watch(TC_COUNT_l1_cleared, store_a_table);
    tc_l1_clear(&r->l1);
    assert_true(r->l1.stripes[0].index.n > n);
    for (uint64_t i = 0; i < ENTRIES; i++)
        assert_false(tt_l1_has(r, tt_l1_key(r, i)));
    for (uint64_t i = 0; i < LAST; i++)
        assert_false(tt_l1_has(r, last_key(r, ENTRIES + i)));
    assert_true(tc_l1_check(&r->l1));
}

/* ---- a quota that is lowered ---- */

static void get_one(struct watch *w)
{
    tt_l1_has(w->r, tt_l1_key(w->r, w->stored++));
    tt_l1_invalidate(w->r, tt_l1_key(w->r, ENTRIES)); /* which takes the lock */
}

static void trimming_to_a_lower_quota_lets_others_in(void **state)
{
    struct tt_l1 *r = *state;
    fill(r);
    r->policies[0].l1_quota_entries = 100;
    begin_to_watch(TC_COUNT_l1_evicted_quota, get_one);
    assert_int_equal(tt_l1_put(r, tt_l1_key(r, LATER), LEN), CACHE_OK);
    assert_true(watch.most <= AT_ONCE_MOST);
    assert_true(watch.holds >= ENTRIES / AT_ONCE_MOST);
    assert_int_equal(tt_l1_type_entries(r, 0), 100);
    assert_true(tt_l1_has(r, tt_l1_key(r, LATER)));
    assert_true(tc_l1_check(&r->l1));
}

/* ---- another thread ---- */

struct rival {
    struct tt_l1 *r;
    _Atomic bool begun, done;
    _Atomic unsigned turns; /* after which something was cleared, and not all; not two at the same point */
};

static int want_the_lock(void *arg, unsigned index)
{
    struct rival *v = arg;
    uint64_t before = ENTRIES;
    (void)index;
    while (!atomic_load(&v->done)) {
        tc_l1_void(&v->r->l1, 1);
        uint64_t left = tt_l1_type_entries(v->r, 0);
        if (left > 0 && left < before)
            atomic_fetch_add(&v->turns, 1);
        before = left;
        atomic_store(&v->begun, true);
    }
    return 0;
}

/* Where the machine gives the other thread no processor nothing is to be seen: then once more. */
static void who_waits_for_the_lock_gets_it_meanwhile(void **state)
{
    enum { ATTEMPTS = 20, TURNS = 5 };
    unsigned most = 0;
    (void)state;
    for (int attempt = 0; attempt < ATTEMPTS && most < TURNS; attempt++) {
        struct rival v = { .r = tt_l1_new((uint64_t)ENTRIES * 1000, 1, NULL) };
        fill(v.r);
        struct tt_crew *crew = tt_crew_start(1, want_the_lock, &v);
        tt_assert_soon(atomic_load(&v.begun));
        tc_l1_clear(&v.r->l1);
        atomic_store(&v.done, true);
        assert_int_equal(tt_crew_join(crew), 0);
        most = v.turns > most ? v.turns : most;
        assert_int_equal(tt_l1_type_entries(v.r, 0), 0);
        assert_true(tt_l1_free(v.r));
    }
    assert_true(most >= TURNS);
}

int main(void)
{
#define WITH_L1(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_L1(clearing_a_stripe_lets_others_in),
        WITH_L1(what_a_larger_table_moves_is_cleared_too),
        WITH_L1(trimming_to_a_lower_quota_lets_others_in),
        cmocka_unit_test(who_waits_for_the_lock_gets_it_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
