/* What waits in a stripe: in which order and when it is freed, how much at a time, and what becomes of values that
 * callers hold. */
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

enum { LEN = TT_LIMBO_LEN, MANY = 12 * TC_LEFT_BATCHES };

/* Everything happens in stripe 0; the test has its lock, but where it says. */
struct fixture {
    struct tt_limbo *t;
    struct tt_l1 *r;
    struct tc_stripe *s;
    struct tc_dropped dropped;
    struct tc_entry *held[MANY];
};

static struct fixture *open_fixture(bool paged, bool beside_another)
{
    struct fixture *f = tt_xcalloc(sizeof *f);
    f->t = tt_limbo_open(paged, beside_another);
    f->r = f->t->r;
    f->s = &f->r->l1.stripes[0];
    for (uint64_t i = 0; i < MANY; i++)
        f->held[i] = tt_limbo_put_held(f->t, tt_l1_key_in(f->r, i, 0), LEN);
    tc_lock_acquire(&f->s->lock);
    return f;
}

static int alone_apart(void **state)
{
    *state = open_fixture(false, false);
    return 0;
}

static int alone_in_pages(void **state)
{
    *state = open_fixture(true, false);
    return 0;
}

static int apart(void **state)
{
    *state = open_fixture(false, true);
    return 0;
}

static int in_pages(void **state)
{
    *state = open_fixture(true, true);
    return 0;
}

static void let_go(struct fixture *f, size_t i)
{
    if (f->held[i] != NULL)
        tc_l1_drop(&f->r->l1, f->held[i]);
    f->held[i] = NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tc_lock_release(&f->s->lock);
    tc_l1_free_dropped(&f->r->l1, &f->dropped);
    for (size_t i = 0; i < MANY; i++)
        let_go(f, i);
    bool clean = tt_limbo_close(f->t);
    free(f);
    return clean ? 0 : -1;
}

/* With the lock let go: tc_l1_check() wants it. */
static void assert_agrees(struct fixture *f)
{
    tc_lock_release(&f->s->lock);
    tt_limbo_assert_agrees(f->t);
    tc_lock_acquire(&f->s->lock);
}

static uint32_t take_out(struct fixture *f, size_t i)
{
    struct tt_l1_key k = tt_l1_key_in(f->r, i, 0);
    uint32_t cell;
    assert_ptr_equal(tc_stripe_find(f->s, k.hash, tt_l1_ref(&k).key, &cell), f->held[i]);
    tc_stripe_remove(f->s, cell, TC_COUNT_l1_invalidated, &f->dropped);
    assert_false(tc_entry_is_in_l1(f->held[i]));
    return cell;
}

static void step(struct fixture *f)
{
    tc_readers_step(&f->r->l1.readers);
}

static size_t reap(struct fixture *f, size_t most)
{
    return tc_stripe_reap(f->s, most, &f->dropped);
}

static size_t given_up(struct fixture *f)
{
    size_t n = 0;
    for (size_t i = 0; i < MANY; i++)
        n += f->held[i] != NULL && tt_limbo_is_given_up(f->held[i]);
    return n;
}

/* ---- order and time ---- */

static void what_left_first_is_freed_first_and_no_more_than_was_asked_for(void **state)
{
    struct fixture *f = *state;
    size_t order[MANY];
    for (size_t i = 0; i < MANY; i++) {
        order[i] = (i * 7 + 3) % MANY; /* each once */
        take_out(f, order[i]);
        if (i % 5 == 4)
            step(f);
    }
    assert_agrees(f);
    step(f);
    step(f);
    assert_int_equal(reap(f, 0), 0);
    assert_int_equal(given_up(f), 0);
    for (size_t i = 0, n = 0; n < MANY; i++) {
        size_t most = i % 3 + 1, expected = MANY - n < most ? MANY - n : most;
        assert_int_equal(reap(f, most), expected);
        n += expected;
        for (size_t j = 0; j < MANY; j++)
            assert_int_equal(tt_limbo_is_given_up(f->held[order[j]]), j < n);
        assert_agrees(f);
    }
    assert_int_equal(f->s->left.n, 0);
    assert_int_equal(reap(f, SIZE_MAX), 0);
}

static void each_waits_for_two_steps_after_it_left(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < 3; i++) {
        take_out(f, i);
        assert_int_equal(reap(f, SIZE_MAX), i == 2);
        step(f);
    }
    assert_int_equal(given_up(f), 1);
    assert_int_equal(reap(f, SIZE_MAX), 1);
    assert_int_equal(reap(f, SIZE_MAX), 0);
    step(f);
    assert_int_equal(reap(f, SIZE_MAX), 1);
    assert_int_equal(given_up(f), 3);
}

static void a_reader_who_was_inside_before_holds_all_that_left_since(void **state)
{
    struct fixture *f = *state;
    take_out(f, 0);
    step(f);
    step(f);
    tt_limbo_enter(f->t);
    take_out(f, 1);
    for (int i = 0; i < 5; i++)
        step(f);
    assert_int_equal(reap(f, SIZE_MAX), 1);
    assert_true(tt_limbo_is_given_up(f->held[0]));
    assert_true(tt_l1_is_value(tc_entry_data(f->held[1]), LEN, 1, NULL));
    tt_limbo_leave(f->t);
    assert_int_equal(reap(f, SIZE_MAX), 0); /* until somebody looks round */
    step(f);
    assert_int_equal(reap(f, SIZE_MAX), 1);
}

static void who_is_alone_waits_for_nobody(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < MANY; i++)
        take_out(f, i);
    assert_int_equal(reap(f, 5), 5);
    assert_int_equal(reap(f, SIZE_MAX), MANY - 5);
    assert_int_equal(given_up(f), MANY);
    assert_agrees(f);
}

/* ---- batches ---- */

static void what_left_in_one_epoch_is_one_batch(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < MANY; i++) {
        take_out(f, i);
        if (i == MANY / 2)
            step(f);
    }
    assert_int_equal(f->s->left.n, 2);
    step(f);
    assert_int_equal(reap(f, SIZE_MAX), MANY / 2 + 1);
    assert_int_equal(f->s->left.n, 1);
    assert_agrees(f);
}

/* The ring goes round several times. */
static void the_youngest_batch_takes_in_what_comes_when_there_are_too_many(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < 2; i++) { /* so that it does not begin at its first place */
        take_out(f, i);
        step(f);
        step(f);
        assert_int_equal(reap(f, SIZE_MAX), 1);
    }
    tt_limbo_enter(f->t);
    uint64_t last = 0;
    for (size_t i = 2; i < MANY; i++) {
        last = tc_readers_epoch(&f->r->l1.readers);
        take_out(f, i);
        step(f);
    }
    assert_int_equal(f->s->left.n, TC_LEFT_BATCHES);
    struct tc_left_batch *youngest = &f->s->left.batches[(f->s->left.begin + TC_LEFT_BATCHES - 1) % TC_LEFT_BATCHES];
    assert_int_equal(youngest->epoch, last);
    assert_agrees(f);
    assert_int_equal(reap(f, SIZE_MAX), 0);
    tt_limbo_leave(f->t);
    /* Who comes now came two steps after the first of that batch left, but one after the last. */
    tt_limbo_enter(f->t);
    for (int i = 0; i < 3; i++)
        step(f);
    assert_int_equal(reap(f, SIZE_MAX), TC_LEFT_BATCHES - 1);
    assert_int_equal(f->s->left.n, 1);
    tt_limbo_leave(f->t);
    step(f);
    assert_int_equal(reap(f, SIZE_MAX), MANY - 2 - (TC_LEFT_BATCHES - 1));
    assert_int_equal(given_up(f), MANY);
    assert_agrees(f);
}

/* ---- accounts ---- */

static void bytes_count_where_they_lie(void **state)
{
    struct fixture *f = *state;
    size_t bytes = tc_l1_entry_bytes(&f->r->l1, f->held[0]);
    bool paged = f->r->l1.paged;
    uint64_t before = tc_stripe_bytes(f->s), limbo = tt_limbo_bytes(f->t);
    for (size_t i = 0; i < 3; i++)
        take_out(f, i);
    assert_int_equal(f->dropped.bytes, 3 * bytes);
    assert_int_equal(f->s->left.bytes, 3 * bytes);
    assert_int_equal(f->s->left.housed, paged ? 3 * bytes : 0);
    assert_int_equal(tt_limbo_bytes(f->t) - limbo, paged ? 0 : 3 * bytes);
    assert_int_equal(before - tc_stripe_bytes(f->s), paged ? 0 : 3 * bytes);
    step(f);
    step(f);
    assert_int_equal(reap(f, SIZE_MAX), 3);
    assert_int_equal(f->s->left.bytes, 0);
    assert_int_equal(f->s->left.housed, 0);
    assert_int_equal(tt_limbo_bytes(f->t), limbo);
    assert_agrees(f);
}

static void what_nobody_holds_is_freed_at_once_in_pages_and_without_the_lock_apart(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < 3; i++) {
        tc_l1_drop(&f->r->l1, f->held[i]); /* L1's is left */
        take_out(f, i);
        f->held[i] = NULL;
    }
    uint64_t free_bytes = f->s->slab.free_bytes, live = tt_limbo_live_bytes(f->t);
    step(f);
    step(f);
    assert_int_equal(reap(f, SIZE_MAX), 3);
    assert_int_equal(tt_l1_detached_bytes(f->r), 0);
    if (f->r->l1.paged) {
        assert_null(f->dropped.first);
        assert_true(f->s->slab.free_bytes >= free_bytes + 3 * LEN);
    } else {
        assert_int_equal(tt_limbo_live_bytes(f->t), live);
        assert_non_null(f->dropped.first->next->next);
        tc_l1_free_dropped(&f->r->l1, &f->dropped);
        assert_true(live - tt_limbo_live_bytes(f->t) >= 3 * LEN);
        assert_null(f->dropped.first);
    }
    assert_agrees(f);
}

/* ---- values that callers hold ---- */

static void a_held_value_is_detached_when_its_time_comes_and_freed_by_its_last_holder(void **state)
{
    struct fixture *f = *state;
    size_t bytes = tc_l1_entry_bytes(&f->r->l1, f->held[0]);
    uint32_t cell = take_out(f, 0);
    tc_l1_hold(f->held[0]); /* a second one */
    assert_int_equal(tt_l1_detached_bytes(f->r), 0);
    step(f);
    step(f);
    assert_int_equal(reap(f, SIZE_MAX), 1);
    assert_int_equal(tt_l1_detached_bytes(f->r), bytes);
    assert_null(f->dropped.first);
    uint64_t free_bytes = f->s->slab.free_bytes, live = tt_limbo_live_bytes(f->t);
    tc_l1_drop(&f->r->l1, f->held[0]);
    assert_int_equal(tt_l1_detached_bytes(f->r), bytes);
    assert_true(tt_l1_is_value(tc_entry_data(f->held[0]), LEN, 0, NULL));
    tc_lock_release(&f->s->lock); /* its last holder takes it */
    let_go(f, 0);
    tc_lock_acquire(&f->s->lock);
    assert_int_equal(tt_l1_detached_bytes(f->r), 0);
    if (cell & TC_CELL_APART)
        assert_true(live - tt_limbo_live_bytes(f->t) >= LEN);
    else
        assert_int_equal(f->s->slab.free_bytes - free_bytes, bytes);
    assert_agrees(f);
}

static void a_value_released_while_it_waits_is_freed_when_its_time_comes(void **state)
{
    struct fixture *f = *state;
    take_out(f, 0);
    uint64_t free_bytes = f->s->slab.free_bytes, live = tt_limbo_live_bytes(f->t);
    let_go(f, 0); /* the last but L1's: no lock is wanted */
    assert_int_equal(f->s->slab.free_bytes, free_bytes);
    assert_int_equal(tt_limbo_live_bytes(f->t), live);
    step(f);
    step(f);
    assert_int_equal(reap(f, SIZE_MAX), 1);
    assert_int_equal(tt_l1_detached_bytes(f->r), 0);
    tc_l1_free_dropped(&f->r->l1, &f->dropped);
    assert_true(f->r->l1.paged ? f->s->slab.free_bytes >= free_bytes + LEN : tt_limbo_live_bytes(f->t) <= live - LEN);
    assert_agrees(f);
}

/* As a caller does it who does not know what became of what he stored. */
static void a_value_that_waits_is_counted_when_its_time_comes_and_only_if_it_is_held(void **state)
{
    struct fixture *f = *state;
    size_t bytes = tc_l1_entry_bytes(&f->r->l1, f->held[1]);
    for (size_t i = 0; i < 2; i++) {
        tc_l1_detach_unless_stored(&f->r->l1, f->held[i]);
        take_out(f, i);
        tc_l1_detach_unless_stored(&f->r->l1, f->held[i]);
        assert_int_equal(tt_l1_detached_bytes(f->r), 0);
    }
    let_go(f, 0); /* the other one is held on */
    step(f);
    step(f);
    assert_int_equal(reap(f, SIZE_MAX), 2);
    assert_int_equal(tt_l1_detached_bytes(f->r), bytes);
    tc_lock_release(&f->s->lock);
    let_go(f, 1);
    tc_lock_acquire(&f->s->lock);
    assert_int_equal(tt_l1_detached_bytes(f->r), 0);
    assert_agrees(f);
}

/* Holders let go while the stripe is reaped: whoever is last frees it, once. */
static int let_all_go(void *arg, unsigned index)
{
    struct fixture *f = arg;
    for (size_t i = index; i < MANY; i += 2)
        let_go(f, i);
    return 0;
}

static void holders_and_the_stripe_agree_on_who_is_last(void **state)
{
    struct fixture *f = *state;
    for (uint64_t round = 0; round < 200; round++) {
        tc_lock_release(&f->s->lock);
        for (uint64_t i = 0; i < MANY; i++)
            if (f->held[i] == NULL)
                f->held[i] = tt_limbo_put_held(f->t, tt_l1_key_in(f->r, i, 0), LEN);
        tc_lock_acquire(&f->s->lock);
        for (size_t i = 0; i < MANY; i++)
            take_out(f, i);
        step(f);
        step(f);
        tc_lock_release(&f->s->lock);
        struct tt_crew *crew = tt_crew_start(2, let_all_go, f);
        for (size_t n = 0; n < MANY;) {
            tc_lock_acquire(&f->s->lock);
            n += reap(f, 1);
            tc_lock_release(&f->s->lock);
        }
        assert_int_equal(tt_crew_join(crew), 0);
        tc_l1_free_dropped(&f->r->l1, &f->dropped);
        tc_lock_acquire(&f->s->lock);
        assert_int_equal(tt_l1_detached_bytes(f->r), 0);
        assert_agrees(f);
    }
}

/* The former copy waits as if the value had left, and who holds it keeps it. */
static void a_held_value_whose_page_is_vacated_stays_and_its_page_goes_with_it(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < MANY; i += 2) /* half of each page */
        take_out(f, i);
    step(f);
    step(f);
    assert_int_equal(reap(f, SIZE_MAX), MANY / 2);
    tc_lock_release(&f->s->lock);
    for (size_t i = 0; i < MANY; i += 2)
        let_go(f, i);
    tc_lock_acquire(&f->s->lock);
    uint64_t bytes = f->s->slab.bytes;
    assert_true(tc_stripe_vacate_page(f->s, &f->dropped));
    assert_true(f->s->left.housed > 0);
    for (size_t i = 1; i < MANY; i += 2) {
        struct tt_l1_key k = tt_l1_key_in(f->r, i, 0);
        struct tc_entry *e = tc_stripe_find(f->s, k.hash, tt_l1_ref(&k).key, NULL);
        assert_int_equal(e != f->held[i], !tc_entry_is_in_l1(f->held[i]));
        assert_true(tt_l1_is_value(tc_entry_data(e), LEN, i, NULL));
        assert_true(tt_l1_is_value(tc_entry_data(f->held[i]), LEN, i, NULL));
    }
    assert_agrees(f);
    step(f);
    step(f);
    assert_true(reap(f, SIZE_MAX) > 0);
    assert_int_equal(f->s->slab.bytes, bytes); /* the held ones are still there */
    assert_true(tt_l1_detached_bytes(f->r) > 0);
    tc_lock_release(&f->s->lock);
    for (size_t i = 1; i < MANY; i += 2)
        let_go(f, i);
    tc_lock_acquire(&f->s->lock);
    assert_int_equal(tt_l1_detached_bytes(f->r), 0);
    assert_int_equal(bytes - f->s->slab.bytes, tc_heap_bytes(TC_PAGE_BYTES));
    assert_agrees(f);
}

/* ---- the end ---- */

/* The fixture's end looks for what is left. */
static void fini_frees_what_waits_whoever_reads(void **state)
{
    struct fixture *f = *state;
    tt_limbo_enter(f->t);
    for (size_t i = 0; i < MANY; i++) {
        take_out(f, i);
        let_go(f, i);
        step(f);
    }
    assert_int_equal(reap(f, SIZE_MAX), 0);
    tc_lock_release(&f->s->lock);
    tc_stripe_left_fini(f->s);
    tc_lock_acquire(&f->s->lock);
    assert_int_equal(f->s->left.n, 0);
    assert_int_equal(f->s->left.bytes, 0);
    assert_agrees(f);
}

int main(void)
{
#define WITH(test, setup) { #test ", " #setup, test, setup, teardown, NULL }
#define BOTH(test) WITH(test, apart), WITH(test, in_pages)
    const struct CMUnitTest tests[] = {
        BOTH(what_left_first_is_freed_first_and_no_more_than_was_asked_for),
        BOTH(each_waits_for_two_steps_after_it_left),
        BOTH(a_reader_who_was_inside_before_holds_all_that_left_since),
        WITH(who_is_alone_waits_for_nobody, alone_apart),
        WITH(who_is_alone_waits_for_nobody, alone_in_pages),
        BOTH(what_left_in_one_epoch_is_one_batch),
        BOTH(the_youngest_batch_takes_in_what_comes_when_there_are_too_many),
        BOTH(bytes_count_where_they_lie),
        BOTH(what_nobody_holds_is_freed_at_once_in_pages_and_without_the_lock_apart),
        BOTH(a_held_value_is_detached_when_its_time_comes_and_freed_by_its_last_holder),
        BOTH(a_value_released_while_it_waits_is_freed_when_its_time_comes),
        BOTH(a_value_that_waits_is_counted_when_its_time_comes_and_only_if_it_is_held),
        BOTH(holders_and_the_stripe_agree_on_who_is_last),
        WITH(a_held_value_whose_page_is_vacated_stays_and_its_page_goes_with_it, in_pages),
        BOTH(fini_frees_what_waits_whoever_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
