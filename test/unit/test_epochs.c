/* When what was unlinked may be freed: steps of the epoch, and who is inside. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tt_readers.h"
#include "tt_util.h"

enum { CREW = 4, SWAPS = 4000, ENCOUNTERS = 200 };

struct lending {
    struct tc_readers *r;
    struct tc_reader *of;
};

static int lend_record(void *arg, unsigned index)
{
    struct lending *l = arg;
    (void)index;
    l->of = tc_reader_self(l->r);
    return l->of == NULL;
}

/* Two readers of which the test says when they enter and leave. */
static void two_readers(struct tt_readers *f, struct tc_reader **a, struct tc_reader **b)
{
    struct lending l = { .r = &f->r };
    *a = tc_reader_self(&f->r);
    assert_int_equal(tt_crew_join(tt_crew_start(1, lend_record, &l)), 0);
    *b = l.of;
    assert_true(*a != NULL && *b != NULL && *a != *b);
}

static void with_nobody_inside_two_steps_pass_and_one_does_not(void **state)
{
    struct tt_readers *f = *state;
    struct tc_reader *a, *b;
    two_readers(f, &a, &b);
    for (int i = 0; i < 5; i++) {
        uint64_t epoch = tc_readers_epoch(&f->r);
        assert_false(tc_readers_passed(&f->r, epoch));
        tc_readers_step(&f->r);
        assert_false(tc_readers_passed(&f->r, epoch));
        tc_readers_step(&f->r);
        assert_true(tc_readers_passed(&f->r, epoch));
    }
}

static void nothing_passes_while_one_is_inside_since_before(void **state)
{
    struct tt_readers *f = *state;
    struct tc_reader *a, *b;
    two_readers(f, &a, &b);
    tc_readers_step(&f->r);
    tc_reader_enter(&f->r, b);
    uint64_t epoch = tc_readers_epoch(&f->r);
    for (int i = 0; i < 10; i++) {
        tc_readers_step(&f->r);
        tc_reader_enter(&f->r, a); /* others come and go */
        assert_false(tc_readers_passed(&f->r, epoch));
        tc_reader_leave(a);
        assert_false(tc_readers_passed(&f->r, epoch));
    }
    tc_reader_leave(b);
    assert_false(tc_readers_passed(&f->r, epoch)); /* nobody has looked yet */
    tc_readers_step(&f->r);
    tc_readers_step(&f->r);
    assert_true(tc_readers_passed(&f->r, epoch));
}

static void who_entered_after_two_steps_holds_nothing_back(void **state)
{
    struct tt_readers *f = *state;
    struct tc_reader *a, *b;
    two_readers(f, &a, &b);
    tc_reader_enter(&f->r, a);
    uint64_t epoch = tc_readers_epoch(&f->r);
    tc_readers_step(&f->r);
    tc_readers_step(&f->r);
    tc_reader_enter(&f->r, b);
    uint64_t later = tc_readers_epoch(&f->r);
    assert_false(tc_readers_passed(&f->r, epoch));
    tc_reader_leave(a);
    tc_readers_step(&f->r);
    assert_true(tc_readers_passed(&f->r, epoch));
    for (int i = 0; i < 5; i++) {
        tc_readers_step(&f->r);
        assert_false(tc_readers_passed(&f->r, later));
    }
    tc_reader_leave(b);
    tc_readers_step(&f->r);
    assert_true(tc_readers_passed(&f->r, later));
}

/* Between the steps it may still have seen what was unlinked before them: see "Why two steps" in readers.h. */
static void who_entered_after_one_step_holds_back(void **state)
{
    struct tt_readers *f = *state;
    struct tc_reader *a, *b;
    two_readers(f, &a, &b);
    uint64_t epoch = tc_readers_epoch(&f->r);
    tc_readers_step(&f->r);
    tc_reader_enter(&f->r, b);
    for (int i = 0; i < 5; i++) {
        tc_readers_step(&f->r);
        assert_false(tc_readers_passed(&f->r, epoch));
    }
    tc_reader_leave(b);
    tc_readers_step(&f->r);
    assert_true(tc_readers_passed(&f->r, epoch));
}

/* It read the epoch long ago, was interrupted, and enters now: what passed has passed, what comes now has not. */
static void who_enters_with_an_old_epoch_takes_nothing_back(void **state)
{
    struct tt_readers *f = *state;
    struct tc_reader *a, *b;
    two_readers(f, &a, &b);
    uint64_t epoch = tc_readers_epoch(&f->r);
    tc_readers_step(&f->r);
    tc_readers_step(&f->r);
    tc_readers_step(&f->r);
    atomic_store(&b->inside, epoch);
    uint64_t later = tc_readers_epoch(&f->r);
    for (int i = 0; i < 5; i++) {
        tc_readers_step(&f->r);
        assert_true(tc_readers_passed(&f->r, epoch));
        assert_false(tc_readers_passed(&f->r, later));
    }
    tc_reader_leave(b);
    tc_readers_step(&f->r);
    assert_true(tc_readers_passed(&f->r, later));
}

static void who_was_inside_at_the_last_step_is_seen_to_be_through_by_a_look(void **state)
{
    struct tt_readers *f = *state;
    struct tc_reader *a, *b;
    two_readers(f, &a, &b);
    uint64_t epoch = tc_readers_epoch(&f->r);
    tc_readers_look(&f->r);
    assert_false(tc_readers_stepped(&f->r, epoch));
    tc_reader_enter(&f->r, b);
    tc_readers_step(&f->r);
    assert_false(tc_readers_stepped(&f->r, epoch));
    tc_readers_look(&f->r);
    tc_readers_step(&f->r);
    assert_true(tc_readers_stepped(&f->r, epoch));
    tc_readers_look(&f->r);
    assert_false(tc_readers_passed(&f->r, epoch));
    tc_reader_enter(&f->r, a);
    tc_reader_leave(b);
    assert_false(tc_readers_passed(&f->r, epoch)); /* nobody has looked yet */
    tc_readers_look(&f->r);
    assert_true(tc_readers_passed(&f->r, epoch)); /* though a is inside, who entered later */
    uint64_t later = tc_readers_epoch(&f->r);
    tc_reader_leave(a);
    for (int i = 0; i < 5; i++)
        tc_readers_look(&f->r);
    assert_false(tc_readers_passed(&f->r, later)); /* looking is no step */
}

static void who_looks_while_another_steps_leaves_it_to_that(void **state)
{
    struct tt_readers *f = *state;
    struct tc_reader *a, *b;
    two_readers(f, &a, &b);
    tc_reader_enter(&f->r, b);
    uint64_t epoch = tc_readers_epoch(&f->r);
    tc_readers_step(&f->r);
    tc_readers_step(&f->r);
    tc_reader_leave(b);
    assert_false(atomic_flag_test_and_set(&f->r.stepping));
    tc_readers_look(&f->r);
    assert_false(tc_readers_passed(&f->r, epoch));
    atomic_flag_clear(&f->r.stepping);
    tc_readers_look(&f->r);
    assert_true(tc_readers_passed(&f->r, epoch));
}

static void who_steps_beside_another_leaves_it_to_that(void **state)
{
    struct tt_readers *f = *state;
    uint64_t epoch = tc_readers_epoch(&f->r);
    assert_false(atomic_flag_test_and_set(&f->r.stepping));
    tc_readers_step(&f->r);
    assert_int_equal(tc_readers_epoch(&f->r), epoch);
    atomic_flag_clear(&f->r.stepping);
    tc_readers_step(&f->r);
    assert_int_equal(tc_readers_epoch(&f->r), epoch + 1);
}

/* ---- whom a step interrupts ---- */

static void a_step_ends_by_itself_when_everybody_has_entered_since(void **state)
{
    struct tt_readers *f = *state;
    struct tc_reader *a, *b;
    two_readers(f, &a, &b);
    for (int i = 0; i < 5; i++) {
        tc_readers_step(&f->r);
        assert_true(tc_readers_are_stepping(&f->r));
        tc_readers_look(&f->r);
        assert_true(tc_readers_are_stepping(&f->r)); /* looking interrupts nobody */
        tc_reader_enter(&f->r, b);
        if (i % 2)
            tc_reader_leave(b);
        tc_readers_look(&f->r);
        assert_false(tc_readers_are_stepping(&f->r));
        tc_reader_leave(b);
        assert_false(b->rests);
    }
}

static void who_does_not_call_rests_and_then_no_step_waits_for_it(void **state)
{
    struct tt_readers *f = *state;
    struct tc_reader *a, *b;
    two_readers(f, &a, &b);
    tc_readers_step(&f->r);
    assert_false(b->rests);
    tc_readers_step(&f->r);
    assert_true(b->rests);
    for (int i = 0; i < 5; i++) {
        tc_readers_step(&f->r);
        assert_false(tc_readers_are_stepping(&f->r));
        tc_reader_enter(&f->r, b); /* once an epoch is seldom */
        assert_true(b->rests);
        tc_reader_leave(b);
    }
    assert_false(a->rests);
}

static void who_enters_twice_in_an_epoch_is_awake_and_waited_for(void **state)
{
    struct tt_readers *f = *state;
    struct tc_reader *a, *b;
    two_readers(f, &a, &b);
    tc_readers_step(&f->r);
    tc_readers_step(&f->r);
    for (int i = 0; i < 2; i++) {
        assert_true(b->rests);
        tc_reader_enter(&f->r, b);
        tc_reader_leave(b);
    }
    assert_false(b->rests);
    tc_readers_step(&f->r);
    assert_true(tc_readers_are_stepping(&f->r));
    tc_readers_step(&f->r);
    assert_true(b->rests); /* it did not call */
}

static void who_is_inside_and_rests_holds_back(void **state)
{
    struct tt_readers *f = *state;
    struct tc_reader *a, *b;
    two_readers(f, &a, &b);
    tc_readers_step(&f->r);
    tc_readers_step(&f->r);
    tc_reader_enter(&f->r, b);
    assert_true(b->rests);
    uint64_t epoch = tc_readers_epoch(&f->r);
    for (int i = 0; i < 5; i++) {
        tc_readers_step(&f->r);
        assert_false(tc_readers_are_stepping(&f->r));
        assert_false(tc_readers_passed(&f->r, epoch));
    }
    tc_reader_leave(b);
    tc_readers_look(&f->r);
    assert_true(tc_readers_passed(&f->r, epoch));
}

/* It does not enter meanwhile: two who wait would interrupt each other. */
static void who_steps_or_looks_shows_itself(void **state)
{
    struct tt_readers *f = *state;
    struct tc_reader *a, *b;
    two_readers(f, &a, &b);
    tc_readers_step(&f->r);
    assert_int_equal(a->inside, tc_readers_now(&f->r) | TC_READER_OUT);
    atomic_fetch_add(&f->r.epoch, 1); /* by another */
    tc_readers_look(&f->r);
    assert_int_equal(a->inside, tc_readers_now(&f->r) | TC_READER_OUT);
    uint64_t entered = tc_readers_now(&f->r);
    tc_reader_enter(&f->r, a);
    atomic_fetch_add(&f->r.epoch, 1);
    tc_readers_look(&f->r);
    assert_int_equal(a->inside, entered); /* inside it would be wrong */
    tc_reader_leave(a);
}

/* What waited for the steps before may pass while one has not ended. */
static void a_step_that_has_not_ended_holds_back_nothing_older(void **state)
{
    struct tt_readers *f = *state;
    struct tc_reader *a, *b;
    two_readers(f, &a, &b);
    tc_reader_enter(&f->r, b);
    uint64_t epoch = tc_readers_epoch(&f->r);
    for (int i = 0; i < 2; i++)
        tc_readers_step(&f->r);
    assert_true(b->rests);
    assert_false(tc_readers_passed(&f->r, epoch));
    atomic_store(&b->rests, false); /* as if it had entered more often */
    tc_readers_step(&f->r);
    assert_true(tc_readers_stepped(&f->r, epoch));
    assert_true(tc_readers_are_stepping(&f->r));
    tc_reader_leave(b);
    tc_readers_look(&f->r);
    assert_true(tc_readers_are_stepping(&f->r));
    assert_true(tc_readers_passed(&f->r, epoch));
}

/* A filter of system calls came: until every reader must know that it pays for its barrier no step ends, whoever was
 * told to rest by the barrier that failed. */
static void after_a_barrier_that_failed_nobody_counts_as_resting(void **state)
{
    struct tt_readers *f = *state;
    struct tc_reader *a, *b;
    two_readers(f, &a, &b);
    tc_readers_step(&f->r);
    assert_true(tc_readers_are_stepping(&f->r));
    atomic_store(&b->rests, true);
    atomic_store(&f->r.asymmetric, false);
    atomic_store(&f->r.paying_since_ms, tc_mono_ms() + 3600000);
    tc_readers_look(&f->r);
    assert_true(tc_readers_are_stepping(&f->r));
    tc_readers_step(&f->r);
    assert_true(tc_readers_are_stepping(&f->r));
    atomic_store(&f->r.paying_since_ms, 0);
    tc_readers_look(&f->r);
    assert_false(tc_readers_are_stepping(&f->r));
}

/* ---- threads ---- */

#define ALIVE UINT64_C(0xA11FEA11FEA11FE5)
#define DEAD UINT64_C(0xDEADDEADDEADDEAD)

struct box {
    uint64_t word;
    uint64_t epoch;
    struct box *next; /* unlinked, oldest first */
};

struct swapping {
    struct tc_readers *r;
    _Atomic(struct box *) shared[2];
    _Atomic int writers; /* that are not done */
    _Atomic uint64_t read, freed, freed_at_once;
};

struct waiting {
    struct box *first, **end;
};

static struct box *new_box(void)
{
    struct box *b = tt_xcalloc(sizeof *b);
    b->word = ALIVE;
    return b;
}

static void free_box(struct box *b)
{
    b->word = DEAD;
    free(b);
}

static void read_one(struct swapping *s, struct tc_reader *me, uint64_t random, int *failures)
{
    tc_reader_enter(s->r, me);
    struct box *b = atomic_load_explicit(&s->shared[random % 2], memory_order_acquire);
    TT_CHECK(*failures, b->word == ALIVE);
    if (random / 2 % 64 == 0)
        sched_yield(); /* a reader that is interrupted where it must not be */
    TT_CHECK(*failures, b->word == ALIVE);
    tc_reader_leave(me);
    atomic_fetch_add_explicit(&s->read, 1, memory_order_relaxed);
}

static struct box *swap(struct swapping *s, unsigned which)
{
    return atomic_exchange_explicit(&s->shared[which], new_box(), memory_order_acq_rel);
}

static void put_off(struct swapping *s, struct waiting *w, struct box *old)
{
    old->epoch = tc_readers_epoch(s->r);
    *w->end = old;
    w->end = &old->next;
}

static void free_passed(struct swapping *s, struct waiting *w)
{
    while (w->first != NULL && tc_readers_passed(s->r, w->first->epoch)) {
        struct box *b = w->first;
        w->first = b->next;
        if (w->first == NULL)
            w->end = &w->first;
        free_box(b);
        atomic_fetch_add_explicit(&s->freed, 1, memory_order_relaxed);
    }
}

static void free_all(struct swapping *s, struct waiting *w)
{
    while (w->first != NULL) {
        tc_readers_step(s->r);
        free_passed(s, w);
        sched_yield();
    }
}

static void swap_and_free(struct swapping *s, unsigned which)
{
    struct waiting w = { .end = &w.first };
    for (int i = 0; i < SWAPS; i++) {
        put_off(s, &w, swap(s, which));
        if (i % 8 == 0) {
            tc_readers_step(s->r);
            free_passed(s, &w);
        }
    }
    free_all(s, &w);
}

static int swap_or_read(void *arg, unsigned index)
{
    struct swapping *s = arg;
    struct tc_reader *me = tc_reader_self(s->r);
    int failures = me == NULL;
    uint64_t seed = index;
    if (index < 2) {
        swap_and_free(s, index);
        atomic_fetch_sub(&s->writers, 1);
        return failures;
    }
    while (atomic_load(&s->writers) > 0 && failures == 0)
        read_one(s, me, tt_random(&seed), &failures);
    return failures;
}

static void nobody_reads_what_was_freed(void **state)
{
    struct tt_readers *f = *state;
    struct swapping s = { .r = &f->r };
    for (int round = 1; round <= 3; round++) { /* with the records of those before */
        atomic_store(&s.shared[0], new_box());
        atomic_store(&s.shared[1], new_box());
        atomic_store(&s.writers, 2);
        assert_int_equal(tt_crew_join(tt_crew_start(CREW, swap_or_read, &s)), 0);
        free_box(s.shared[0]);
        free_box(s.shared[1]);
        assert_int_equal(s.freed, round * 2 * SWAPS);
    }
    assert_true(s.read > 0);
}

static void meet_nobody_then_somebody(struct swapping *s)
{
    struct waiting w = { .end = &w.first };
    while (atomic_load_explicit(&s->read, memory_order_relaxed) < 50) {
        struct box *old = swap(s, 0);
        if (tc_readers_alone(s->r)) {
            free_box(old);
            atomic_fetch_add_explicit(&s->freed_at_once, 1, memory_order_relaxed);
        } else {
            put_off(s, &w, old);
            sched_yield();
        }
    }
    free_all(s, &w);
}

static int meet(void *arg, unsigned index)
{
    struct swapping *s = arg;
    int failures = 0;
    if (index == 0) {
        tc_reader_self(s->r);
        meet_nobody_then_somebody(s);
        return 0;
    }
    while (atomic_load_explicit(&s->freed_at_once, memory_order_relaxed) == 0)
        sched_yield();
    struct tc_reader *me = tc_reader_self(s->r);
    for (int i = 0; i < 50; i++)
        read_one(s, me, 0, &failures);
    return failures;
}

/* Who is alone frees at once, and may be at it when the next one comes. */
static void who_was_alone_frees_nothing_under_the_hands_of_a_newcomer(void **state)
{
    bool asymmetric = ((struct tt_readers *)*state)->r.asymmetric;
    for (int i = 0; i < ENCOUNTERS; i++) {
        struct tt_readers *f = tt_readers_new();
        f->r.asymmetric = asymmetric;
        struct swapping s = { .r = &f->r };
        atomic_store(&s.shared[0], new_box());
        assert_int_equal(tt_crew_join(tt_crew_start(2, meet, &s)), 0);
        free_box(s.shared[0]);
        assert_true(s.freed_at_once > 0);
        assert_true(tt_readers_free(f));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_READERS_BOTH(with_nobody_inside_two_steps_pass_and_one_does_not),
        TT_READERS_BOTH(nothing_passes_while_one_is_inside_since_before),
        TT_READERS_BOTH(who_entered_after_two_steps_holds_nothing_back),
        TT_READERS_BOTH(who_entered_after_one_step_holds_back),
        TT_READERS_BOTH(who_enters_with_an_old_epoch_takes_nothing_back),
        TT_READERS_BOTH(who_was_inside_at_the_last_step_is_seen_to_be_through_by_a_look),
        TT_READERS_BOTH(who_looks_while_another_steps_leaves_it_to_that),
        TT_READERS_BOTH(who_steps_beside_another_leaves_it_to_that),
#define ASYMMETRIC(test) cmocka_unit_test_setup_teardown(test, tt_readers_setup, tt_readers_teardown)
        ASYMMETRIC(a_step_ends_by_itself_when_everybody_has_entered_since),
        ASYMMETRIC(who_does_not_call_rests_and_then_no_step_waits_for_it),
        ASYMMETRIC(who_enters_twice_in_an_epoch_is_awake_and_waited_for),
        ASYMMETRIC(who_is_inside_and_rests_holds_back),
        ASYMMETRIC(who_steps_or_looks_shows_itself),
        ASYMMETRIC(a_step_that_has_not_ended_holds_back_nothing_older),
        ASYMMETRIC(after_a_barrier_that_failed_nobody_counts_as_resting),
        TT_READERS_BOTH(nobody_reads_what_was_freed),
        TT_READERS_BOTH(who_was_alone_frees_nothing_under_the_hands_of_a_newcomer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
