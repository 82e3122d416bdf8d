/* What left the table while others may still read it: it stays for as long as a reader may hold it and no longer, it
 * never takes more memory than it may (a reserve for what lies apart, the limit for cells of pages), and a reader who
 * does not go on stops the stores but nothing else. The reader is a record of a thread that is no more: the test enters
 * and leaves in its name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_limbo.h"

enum {
    LIMIT = TT_LIMBO_LIMIT,
    LEN = TT_LIMBO_LEN,
    PATIENCE_MS = 100 /* of a store */
};

static struct tc_entry *put_held(struct tt_limbo *f, uint64_t number)
{
    return tt_limbo_put_held(f, tt_l1_key(f->r, number), LEN);
}

static void churn_within_reserve(struct tt_limbo *f)
{
    while (tt_limbo_waiting_bytes(f) + 4 * LEN < f->r->l1.reserve)
        tt_limbo_come_and_go(f, f->next % f->r->l1.n_stripes);
}

/* ---- ways out of the table ---- */

static void by_invalidating(struct tt_limbo *f, uint64_t number)
{
    tt_l1_invalidate(f->r, tt_l1_key(f->r, number));
}

static void by_replacing(struct tt_limbo *f, uint64_t number)
{
    assert_int_equal(tt_l1_put(f->r, tt_l1_key(f->r, number), LEN), CACHE_OK);
}

static void by_clearing(struct tt_limbo *f, uint64_t number)
{
    (void)number;
    tc_l1_clear(&f->r->l1);
}

static void by_evicting(struct tt_limbo *f, uint64_t number)
{
    (void)number;
    f->r->policies[0].l1_quota_entries = 1;
    assert_int_equal(tt_l1_put(f->r, tt_l1_key(f->r, f->next++), 10), CACHE_OK);
    f->r->policies[0].l1_quota_entries = 0;
}

static void by_expiring(struct tt_limbo *f, uint64_t number)
{
    (void)number;
    tt_clock_advance(&f->r->time, TT_LIMBO_TTL_MS + 1000);
    for (int i = 0; i < 64; i++) /* the hand has to come by in both stripes */
        assert_int_equal(tt_l1_put(f->r, tt_l1_key(f->r, TT_LIMBO_CHURN - 1 - (uint64_t)i), 10), CACHE_OK);
    assert_true(tt_l1_count(f->r, TC_COUNT_l1_expired) > 0);
}

typedef void drop_fn(struct tt_limbo *f, uint64_t number);

static drop_fn *const drops[] = { by_invalidating, by_replacing, by_clearing, by_expiring, by_evicting };

/* ---- one thread ---- */

static void with_one_thread_nothing_waits(void **state)
{
    struct tt_limbo *f = *state;
    for (size_t i = 0; i < TC_ARRAY_LEN(drops); i++) {
        struct tc_entry *e = put_held(f, i);
        drops[i](f, i);
        assert_true(tt_limbo_is_given_up(e));
        tc_l1_drop(&f->r->l1, e);
        assert_int_equal(tt_limbo_bytes(f), 0);
        assert_int_equal(tt_limbo_waiting_bytes(f), 0);
    }
    for (uint64_t i = 0; i < 500; i++) /* tables and maps grow */
        assert_int_equal(tt_l1_put(f->r, tt_l1_key(f->r, i), 100), CACHE_OK);
    tc_l1_clear(&f->r->l1);
    assert_int_equal(tt_limbo_bytes(f), 0);
    assert_int_equal(tt_limbo_waiting_bytes(f), 0);
    tt_limbo_assert_agrees(f);
    assert_true(tc_readers_alone(&f->r->l1.readers));
}

/* ---- a reader ---- */

static void what_a_reader_may_hold_is_not_freed_and_then_it_is(void **state)
{
    struct tt_limbo *f = *state;
    for (size_t i = 0; i < TC_ARRAY_LEN(drops); i++) {
        struct tc_entry *e = put_held(f, i);
        tt_limbo_enter(f);
        drops[i](f, i);
        assert_false(tt_l1_has(f->r, tt_l1_key(f->r, i)) && drops[i] != by_replacing);
        churn_within_reserve(f);
        assert_false(tt_limbo_is_given_up(e));
        assert_true(tt_l1_is_value(tc_entry_data(e), tc_entry_len(e), i, NULL));
        tt_limbo_assert_agrees(f);
        tt_limbo_leave(f);
        tt_limbo_churn(f);
        assert_true(tt_limbo_is_given_up(e));
        tt_limbo_assert_agrees(f);
        tc_l1_drop(&f->r->l1, e);
    }
}

/* Who enters after one step may not have seen yet that it left; who enters after two did. */
static void a_reader_who_comes_two_steps_later_keeps_nothing(void **state)
{
    struct tt_limbo *f = *state;
    for (int steps = 1; steps <= 2; steps++) {
        struct tc_entry *e = tt_limbo_put_held(f, tt_l1_key(f->r, 1), 100);
        tc_reader_self(&f->r->l1.readers)->left_bytes = 0; /* so little makes no step */
        by_invalidating(f, 1);
        for (int i = 0; i < steps; i++)
            tc_readers_step(&f->r->l1.readers);
        tt_limbo_enter(f);
        assert_false(tt_limbo_is_given_up(e)); /* until somebody looks */
        churn_within_reserve(f);
        assert_int_equal(tt_limbo_is_given_up(e), steps == 2);
        tt_limbo_leave(f);
        tt_limbo_churn(f);
        assert_true(tt_limbo_is_given_up(e));
        tc_l1_drop(&f->r->l1, e);
    }
}

/* Steps are dear: each comes when a sixteenth of the reserve was taken out, and what waits are the last few of them. */
static void what_waits_as_a_rule_is_less_than_the_reserve(void **state)
{
    struct tt_limbo *f = *state;
    enum { N = 2000, EACH = 300 };
    uint64_t most = 0, before = atomic_load(&f->r->l1.readers.epoch), step = f->r->l1.reserve / 16;
    for (int i = 0; i < N; i++) {
        struct tt_l1_key k = tt_l1_key(f->r, f->next++);
        assert_int_equal(tt_l1_put(f->r, k, EACH), CACHE_OK);
        tt_l1_invalidate(f->r, k);
        most = tt_limbo_waiting_bytes(f) > most ? tt_limbo_waiting_bytes(f) : most;
    }
    assert_true(most <= f->r->l1.reserve / 2 && most > step);
    uint64_t steps = atomic_load(&f->r->l1.readers.epoch) - before;
    assert_in_range(steps, N * EACH / step / 4, N * (EACH + 200) / step);
    tt_limbo_assert_agrees(f);
}

/* What one thread took out goes with another's step: so more threads do not make more steps. */
static void where_others_step_in_time_nobody_else_does(void **state)
{
    struct tt_limbo *f = *state;
    enum { N = 2000, EACH = 300, EACH_MOST = EACH + 200 };
    uint64_t before = atomic_load(&f->r->l1.readers.epoch), others = 0, step = f->r->l1.reserve / 16;
    for (uint64_t i = 1; i <= N; i++) {
        struct tt_l1_key k = tt_l1_key(f->r, f->next++);
        assert_int_equal(tt_l1_put(f->r, k, EACH), CACHE_OK);
        tt_l1_invalidate(f->r, k);
        if (i % (step / EACH_MOST - 1) == 0) {
            tc_readers_step(&f->r->l1.readers);
            others++;
        }
    }
    assert_true(others > 4);
    assert_int_equal(atomic_load(&f->r->l1.readers.epoch) - before, others);
    assert_true(tt_limbo_waiting_bytes(f) <= f->r->l1.reserve / 2);
    tt_limbo_assert_agrees(f);
}

/* ---- a reader who does not go on ---- */

static void fill(struct tt_limbo *f, uint64_t keys)
{
    for (uint64_t i = 0; i < keys; i++)
        assert_int_equal(tt_l1_put(f->r, tt_l1_key(f->r, i), LEN), CACHE_OK);
}

/* What L1 may ever hold: the limit, the threads' records, what is being stored, and apart what that took out. */
static size_t most_bytes(struct tt_limbo *f)
{
    return LIMIT + (f->r->l1.paged ? 0 : (size_t)f->r->l1.reserve) + LEN + 500 + 2 * sizeof(struct tc_reader);
}

/* Of a call: by the clock, and by what this machine let it run. */
struct took {
    int64_t ms, ran_ms;
};

/* Stores until one is refused; returns its key, and how long that was. */
static uint64_t put_until_refused_in(struct tt_limbo *f, uint64_t from, uint64_t keys, struct took *took)
{
    for (uint64_t i = from; i < from + 8000; i++) {
        int64_t start_ms = tt_mono_ms(), ran_ms = tt_ran_ms();
        int rc = tt_l1_put(f->r, tt_l1_key(f->r, i % keys), LEN);
        *took = (struct took){ tt_mono_ms() - start_ms, tt_ran_ms() - ran_ms };
        assert_true(took->ran_ms <= PATIENCE_MS + TT_SLACK_MS);
        assert_true(tt_limbo_live_bytes(f) <= most_bytes(f));
        if (rc == CACHE_E_NOMEM)
            return i % keys;
        assert_int_equal(rc, CACHE_OK);
    }
    fail_msg("eight thousand stores beside a reader who does not go on");
    return 0;
}

static uint64_t put_until_refused(struct tt_limbo *f, uint64_t from, uint64_t keys)
{
    struct took took;
    return put_until_refused_in(f, from, keys, &took);
}

static void a_reader_who_does_not_go_on_stops_stores_in_time_and_within_bounds(void **state)
{
    struct tt_limbo *f = *state;
    fill(f, 2 * LIMIT / LEN); /* evicts: there is no memory left */
    tt_limbo_enter(f);
    struct took took;
    for (uint64_t round = 0; round < 3; round++) {
        uint64_t refused = put_until_refused_in(f, LIMIT / LEN + 200 * round, 2 * LIMIT / LEN, &took);
        assert_true(took.ms >= PATIENCE_MS - 1);
        assert_true(took.ran_ms < 2 * PATIENCE_MS); /* it waits once */
        assert_false(tt_l1_has(f->r, tt_l1_key(f->r, refused)));
        tt_limbo_assert_agrees(f);
    }
    assert_int_equal(tt_limbo_bytes(f) > f->r->l1.reserve, !f->r->l1.paged);
    assert_true(tt_limbo_waiting_bytes(f) > f->r->l1.reserve);
    tt_limbo_leave(f);
    fill(f, 2 * LIMIT / LEN);
    assert_true(tt_limbo_bytes(f) <= f->r->l1.reserve);
    assert_true(tt_limbo_waiting_bytes(f) <= LIMIT / 16);
    assert_true(tt_limbo_live_bytes(f) <= most_bytes(f));
    tt_limbo_assert_agrees(f);
}

static void a_refused_store_leaves_nothing_of_its_key(void **state)
{
    struct tt_limbo *f = *state;
    fill(f, 200);
    tt_limbo_enter(f);
    uint64_t refused = put_until_refused(f, 0, 200), there = refused;
    assert_false(tt_l1_has(f->r, tt_l1_key(f->r, refused)));
    while (!tt_l1_has(f->r, tt_l1_key(f->r, there)))
        assert_true(++there < refused + 200);
    struct tt_l1_key k = tt_l1_key(f->r, there);
    uint64_t stale = tc_l1_generation(&f->r->l1, k.hash);
    /* Under a ticket that is void it is not even the key's business. */
    tc_l1_void(&f->r->l1, k.hash);
    struct tt_l1_put p = { .len = LEN, .expected = &stale };
    assert_int_equal(tt_l1_put_with(f->r, k, &p), CACHE_E_TICKET);
    uint64_t now = tc_l1_generation(&f->r->l1, k.hash);
    p.expected = &now;
    assert_int_equal(tt_l1_put_with(f->r, k, &p), CACHE_E_NOMEM);
    assert_int_equal(tc_l1_generation(&f->r->l1, k.hash), now);
    assert_false(tt_l1_has(f->r, k));
    tt_limbo_leave(f);
    assert_int_equal(tt_l1_put_with(f->r, k, &p), CACHE_OK);
}

static void reading_and_dropping_need_no_memory_and_all_of_it_comes_back(void **state)
{
    enum { FILL = LIMIT / (LEN + 500) };
    struct tt_limbo *f = *state;
    fill(f, FILL);
    tt_limbo_enter(f);
    put_until_refused(f, 0, FILL);
    for (uint64_t i = 0; i < FILL / 2; i++) {
        tt_l1_has(f->r, tt_l1_key(f->r, i));
        by_invalidating(f, i);
        assert_false(tt_l1_has(f->r, tt_l1_key(f->r, i)));
    }
    tc_l1_clear(&f->r->l1);
    assert_true(tt_limbo_waiting_bytes(f) > LIMIT / 2);
    put_until_refused(f, 1, 2); /* in pages there may be free cells */
    assert_true(tt_limbo_live_bytes(f) <= most_bytes(f));
    tt_limbo_assert_agrees(f);
    tt_limbo_leave(f);
    assert_int_equal(tt_l1_put(f->r, tt_l1_key(f->r, 1), LEN), CACHE_OK);
    assert_true(tt_limbo_bytes(f) <= f->r->l1.reserve);
    tt_limbo_churn(f);
    assert_true(tt_limbo_waiting_bytes(f) <= f->r->l1.reserve);
    assert_true(tt_limbo_live_bytes(f) < LIMIT / 4);
    tt_limbo_assert_agrees(f);
}

struct interrupted {
    struct tt_limbo *f;
    uint64_t start; /* the epoch */
};

/* Somebody waits for who is inside: he has stepped twice, and now only looks. */
static bool is_waited_for(struct interrupted *who)
{
    return atomic_load(&who->f->r->l1.readers.epoch) >= who->start + 2;
}

static int leave_when_waited_for(void *arg, unsigned index)
{
    struct interrupted *who = arg;
    int64_t end_ms = tt_mono_ms() + TT_SOON_MS;
    (void)index;
    while (!is_waited_for(who))
        if (!tt_pause(end_ms))
            break;
    tt_limbo_leave(who->f);
    return 0;
}

static void a_store_waits_for_a_reader_who_was_interrupted(void **state)
{
    struct tt_limbo *f = *state;
    bool stored = false;
    for (int round = 0; round < 10 && !stored; round++) { /* on a busy machine its patience may end before */
        fill(f, 2 * LIMIT / LEN);
        tt_limbo_enter(f);
        tc_l1_clear(&f->r->l1);
        assert_true(tt_limbo_waiting_bytes(f) > LIMIT / 2);
        struct interrupted who = { f, atomic_load(&f->r->l1.readers.epoch) };
        struct tt_crew *crew = tt_crew_start(1, leave_when_waited_for, &who);
        stored = true;
        for (uint64_t i = 0; stored && !is_waited_for(&who); i++)
            stored = tt_l1_put(f->r, tt_l1_key(f->r, i), LEN) == CACHE_OK;
        tt_crew_join(crew);
        if (stored) /* by looking: steps are for who waits, and for what he took out */
            assert_in_range(atomic_load(&f->r->l1.readers.epoch) - who.start, 2, 8);
    }
    assert_true(stored);
}

/* Whoever steps has no processor, or is stopped by a debugger: who waits has as much patience as for a reader. */
static void who_cannot_step_does_not_wait_for_ever(void **state)
{
    struct tt_limbo *f = *state;
    fill(f, 2 * LIMIT / LEN);
    tt_limbo_enter(f);
    tc_l1_clear(&f->r->l1);
    tt_limbo_leave(f);
    assert_false(atomic_flag_test_and_set(&f->r->l1.readers.stepping));
    uint64_t epoch = atomic_load(&f->r->l1.readers.epoch);
    assert_false(tc_limbo_pass(&f->r->l1));
    assert_int_equal(tc_limbo_drain(&f->r->l1), tt_limbo_bytes(f) <= f->r->l1.reserve);
    assert_int_equal(atomic_load(&f->r->l1.readers.epoch), epoch);
    atomic_flag_clear(&f->r->l1.readers.stepping);
    assert_true(tc_limbo_pass(&f->r->l1) && tc_limbo_drain(&f->r->l1));
    assert_true(tt_limbo_bytes(f) <= f->r->l1.reserve);
}

/* ---- tables and maps ---- */

static void tables_and_maps_that_grew_stay_readable_for_as_long_as_they_are_read(void **state)
{
    struct tt_limbo *f = *state;
    for (uint64_t i = 0; i < 40; i++)
        assert_int_equal(tt_l1_put(f->r, tt_l1_key_in(f->r, i, 0), 10), CACHE_OK);
    for (int i = 0; i < 5; i++)
        tc_readers_step(&f->r->l1.readers);
    struct tc_index_view *x = f->r->l1.stripes[0].index.view;
    struct tc_index_view before = { .node_bytes = x->node_bytes };
    atomic_store(&before.n, atomic_load(&x->n));
    atomic_store(&before.buckets, atomic_load(&x->buckets));
    atomic_store(&before.cells.pages, atomic_load(&x->cells.pages));
    atomic_store(&before.cells.apart, atomic_load(&x->cells.apart));
    tt_limbo_enter(f);
    for (uint64_t i = 40; i < (f->r->l1.paged ? 300 : 150); i++) /* what waits is within the reserve */
        assert_int_equal(tt_l1_put(f->r, tt_l1_key_in(f->r, i, 0), 100), CACHE_OK);
    for (int i = 0; i < 3; i++) /* makes steps */
        tt_limbo_come_and_go(f, 1);
    assert_ptr_not_equal(f->r->l1.paged ? atomic_load(&x->cells.pages) : atomic_load(&x->cells.apart),
                         f->r->l1.paged ? atomic_load(&before.cells.pages) : atomic_load(&before.cells.apart));
    assert_true(tt_limbo_blocks(f) >= 3);
    tt_limbo_assert_agrees(f);
    for (uint64_t i = 0; i < 40; i++) {
        struct tt_l1_key k = tt_l1_key_in(f->r, i, 0);
        uint32_t refs;
        struct tc_entry *e = tc_index_find(&before, k.hash, tt_l1_ref(&k).key, &refs);
        assert_non_null(e);
        assert_true(tt_l1_is_value(tc_entry_data(e), tc_entry_len(e), i, NULL));
    }
    tt_limbo_leave(f);
    tt_limbo_churn(f);
    assert_int_equal(tt_limbo_blocks(f), 0);
    tt_limbo_assert_agrees(f);
}

/* Whatever waits when L1 is closed goes with it: the fixture's end looks for what is left. */
static void what_waits_at_the_end_is_freed_with_the_rest(void **state)
{
    struct tt_limbo *f = *state;
    fill(f, 300);
    tt_limbo_enter(f);
    for (uint64_t i = 0; i < 100; i++)
        by_invalidating(f, i);
    assert_true(tt_limbo_waiting_bytes(f) > 50 * LEN);
    tt_limbo_assert_agrees(f);
}

int main(void)
{
#define WITH(test, setup) { #test ", " #setup, test, tt_limbo_##setup, tt_limbo_teardown, NULL }
#define BOTH(test) WITH(test, apart), WITH(test, in_pages)
#define ALONE(test) WITH(test, alone_apart), WITH(test, alone_in_pages)
    const struct CMUnitTest tests[] = {
        ALONE(with_one_thread_nothing_waits),
        BOTH(what_a_reader_may_hold_is_not_freed_and_then_it_is),
        BOTH(a_reader_who_comes_two_steps_later_keeps_nothing),
        BOTH(what_waits_as_a_rule_is_less_than_the_reserve),
        BOTH(where_others_step_in_time_nobody_else_does),
        BOTH(a_reader_who_does_not_go_on_stops_stores_in_time_and_within_bounds),
        BOTH(a_refused_store_leaves_nothing_of_its_key),
        BOTH(reading_and_dropping_need_no_memory_and_all_of_it_comes_back),
        BOTH(a_store_waits_for_a_reader_who_was_interrupted),
        BOTH(who_cannot_step_does_not_wait_for_ever),
        BOTH(tables_and_maps_that_grew_stay_readable_for_as_long_as_they_are_read),
        BOTH(what_waits_at_the_end_is_freed_with_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
