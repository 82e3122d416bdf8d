/* Who reads without a lock: a record for each thread, sums over all, and when what was unlinked may be freed. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/readers.h"
#include "tt_alloc.h"
#include "tt_util.h"

enum {
    CREW = 4,
    MANY = 20, /* caches: more than a thread has seats */
    SHORT_THREADS = 1000,
    WAVE = 32,
    SWAPS = 4000,
    ENCOUNTERS = 200
};

struct fixture {
    struct tt_alloc counting;
    struct tc_alloc alloc;
    struct tc_readers r;
};

static struct fixture *new_fixture(void)
{
    struct fixture *f = tc_alloc_lines(&tc_alloc_default, sizeof *f);
    if (f == NULL)
        tt_die("out of memory");
    tt_alloc_init(&f->counting);
    f->alloc = tt_alloc_table(&f->counting);
    if (tc_readers_init(&f->r, &f->alloc) != 0)
        tt_die("no readers");
    return f;
}

static bool free_fixture(struct fixture *f)
{
    tc_readers_fini(&f->r);
    tc_readers_fini(&f->r); /* harmless */
    bool clean = tt_alloc_is_clean(&f->counting);
    tt_alloc_fini(&f->counting);
    tc_free_lines(&tc_alloc_default, f, sizeof *f);
    return clean;
}

static int setup(void **state)
{
    *state = new_fixture();
    return 0;
}

/* As on a system without the asymmetric barrier. */
static int setup_symmetric(void **state)
{
    struct fixture *f = new_fixture();
    f->r.asymmetric = false;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    return free_fixture(*state) ? 0 : -1;
}

static uint32_t records(struct fixture *f)
{
    uint32_t n = atomic_load(&f->r.n), linked = 0;
    for (struct tc_reader *who = atomic_load(&f->r.first); who != NULL; who = who->next)
        linked++;
    assert_int_equal(linked, n);
    assert_int_equal(tt_alloc_counts(&f->counting).live_blocks, n);
    return n;
}

/* ---- records ---- */

static void memory_that_was_never_a_structure_may_be_given_up(void **state)
{
    (void)state;
    static struct tc_readers zeroed;
    tc_readers_fini(&zeroed);
}

static void a_thread_has_one_record_on_lines_of_its_own(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(records(f), 0);
    struct tc_reader *me = tc_reader_self(&f->r);
    assert_non_null(me);
    assert_ptr_equal(tc_reader_self(&f->r), me);
    assert_int_equal((uintptr_t)me % TC_CACHELINE, 0);
    assert_int_equal(sizeof *me % TC_CACHELINE, 0);
    assert_int_equal(records(f), 1);
}

struct together {
    struct fixture *f;
    struct tc_reader *of[WAVE];
    pthread_barrier_t all_are_there;
};

static int note_record(void *arg, unsigned index)
{
    struct together *t = arg;
    int failures = 0;
    t->of[index] = tc_reader_self(&t->f->r);
    pthread_barrier_wait(&t->all_are_there); /* none of them is no more before all have theirs */
    TT_CHECK(failures, tc_reader_self(&t->f->r) == t->of[index]);
    return failures;
}

/* As many threads at once; each has a record and no two have the same. */
static void assert_each_has_its_own(struct fixture *f, unsigned n)
{
    struct together t = { .f = f };
    pthread_barrier_init(&t.all_are_there, NULL, n);
    assert_int_equal(tt_crew_join(tt_crew_start(n, note_record, &t)), 0);
    pthread_barrier_destroy(&t.all_are_there);
    for (unsigned i = 0; i < n; i++) {
        assert_non_null(t.of[i]);
        assert_ptr_not_equal(t.of[i], tc_reader_self(&f->r));
        for (unsigned k = 0; k < i; k++)
            assert_ptr_not_equal(t.of[i], t.of[k]);
    }
}

static void no_two_threads_have_the_same_record(void **state)
{
    struct fixture *f = *state;
    tc_reader_self(&f->r);
    assert_each_has_its_own(f, CREW);
    assert_int_equal(records(f), CREW + 1);
    assert_each_has_its_own(f, WAVE); /* some take over those of the first, and each of these only one */
    assert_in_range(records(f), WAVE + 1, WAVE + 1 + CREW);
}

static void a_record_is_found_again_after_many_other_caches(void **state)
{
    (void)state;
    struct fixture *caches[MANY];
    struct tc_reader *mine[MANY];
    uint64_t seed = tt_seed();
    for (size_t i = 0; i < MANY; i++) {
        caches[i] = new_fixture();
        mine[i] = tc_reader_self(&caches[i]->r);
        for (size_t k = 0; k < i; k++)
            assert_ptr_not_equal(mine[k], mine[i]);
    }
    for (int step = 0; step < 100 * MANY; step++) {
        size_t i = step < MANY ? (size_t)step : tt_random(&seed) % MANY;
        assert_ptr_equal(tc_reader_self(&caches[i]->r), mine[i]);
        assert_true(tc_readers_alone(&caches[i]->r));
    }
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(records(caches[i]), 1);
        assert_true(free_fixture(caches[i]));
    }
}

static bool has_seat(const struct tc_readers *r)
{
    for (size_t i = 0; i < TC_READER_SEATS; i++)
        if (tc_reader_seats[i].id == r->id)
            return true;
    return false;
}

/* In a thread whose seats nobody took before. */
static int use_in_turn(void *arg, unsigned index)
{
    struct fixture **caches = arg;
    struct tc_reader *mine[TC_READER_SEATS];
    int failures = 0;
    (void)index;
    for (size_t i = 0; i < TC_READER_SEATS; i++)
        mine[i] = tc_reader_self(&caches[i]->r);
    for (size_t i = 0; i < 5 * TC_READER_SEATS; i++) {
        TT_CHECK(failures, has_seat(&caches[i % TC_READER_SEATS]->r));
        TT_CHECK(failures, tc_reader_self(&caches[i % TC_READER_SEATS]->r) == mine[i % TC_READER_SEATS]);
    }
    return failures;
}

static void as_many_caches_as_there_are_seats_all_keep_theirs(void **state)
{
    (void)state;
    struct fixture *caches[TC_READER_SEATS];
    for (int round = 0; round < 10; round++) { /* their numbers are random */
        for (size_t i = 0; i < TC_READER_SEATS; i++)
            caches[i] = new_fixture();
        assert_int_equal(tt_crew_join(tt_crew_start(1, use_in_turn, caches)), 0);
        for (size_t i = 0; i < TC_READER_SEATS; i++)
            assert_true(free_fixture(caches[i]));
    }
}

static void a_closed_caches_seat_is_not_taken_for_a_new_ones(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < MANY; i++) {
        uint64_t id = f->r.id;
        struct tc_reader *me = tc_reader_self(&f->r);
        tc_readers_add_calls(&f->r, me, 1);
        assert_int_equal(tc_readers_calls(&f->r), 1);
        tc_readers_fini(&f->r);
        memset(&f->r, 0, sizeof f->r); /* the next one at the same address */
        assert_int_equal(tc_readers_init(&f->r, &f->alloc), 0);
        assert_true(f->r.id != id && f->r.id != 0);
        assert_int_equal(records(f), 0);
    }
}

static int call_once(void *arg, unsigned index)
{
    struct fixture *f = arg;
    int failures = 0;
    (void)index;
    errno = EXDEV;
    struct tc_reader *me = tc_reader_self(&f->r);
    TT_CHECK(failures, errno == EXDEV); /* finding out who is no more sets it */
    TT_CHECK(failures, me != NULL && atomic_load(&me->inside) == 0);
    tc_readers_add_calls(&f->r, me, 1);
    tc_reader_count(&me->counts[0], 1);
    return failures;
}

static void records_of_threads_that_are_no_more_are_used_again(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < SHORT_THREADS; i++)
        assert_int_equal(tt_crew_join(tt_crew_start(1, call_once, f)), 0);
    /* A thread that was joined may be known to the kernel a moment longer. */
    assert_in_range(records(f), 1, 8);
    assert_int_equal(tc_readers_calls(&f->r), SHORT_THREADS); /* and nothing that they counted is lost */
    assert_int_equal(tc_readers_counted(&f->r, 0).hits, SHORT_THREADS);
}

static void threads_that_come_in_waves_leave_records_for_one_or_two(void **state)
{
    struct fixture *f = *state;
    struct tc_reader *me = tc_reader_self(&f->r);
    for (int i = 0; i < SHORT_THREADS / WAVE * 3; i++)
        assert_each_has_its_own(f, WAVE); /* nor do they get that of somebody who lives: mine */
    assert_ptr_equal(tc_reader_self(&f->r), me);
    assert_in_range(records(f), WAVE + 1, 2 * WAVE);
}

/* ---- sums ---- */

static void without_memory_there_is_no_record_but_everything_counts(void **state)
{
    struct fixture *f = *state;
    tt_alloc_fail(&f->counting, 1, true);
    for (int i = 0; i < 3; i++) {
        assert_null(tc_reader_self(&f->r));
        tc_readers_add_calls(&f->r, NULL, 5);
        tc_readers_add_pins(&f->r, NULL, 2);
    }
    assert_int_equal(tc_readers_calls(&f->r), 15);
    assert_int_equal(tc_readers_pins(&f->r), 6);
    assert_int_equal(records(f), 0);
    tt_alloc_fail(&f->counting, 0, false);
    struct tc_reader *me = tc_reader_self(&f->r);
    assert_non_null(me);
    tc_readers_add_calls(&f->r, me, -14);
    tc_readers_add_pins(&f->r, me, -5);
    tc_reader_count(&me->counts[TC_READER_COUNTS - 1], 3);
    assert_int_equal(tc_readers_calls(&f->r), 1);
    assert_int_equal(tc_readers_pins(&f->r), 1);
    assert_int_equal(tc_readers_counted(&f->r, TC_READER_COUNTS - 1).hits, 3);
    assert_int_equal(tc_readers_counted(&f->r, 0).hits, 0);
}

/* Every other thread has no record; some take back what others counted. */
static int count_things(void *arg, unsigned index)
{
    struct fixture *f = arg;
    struct tc_reader *me = index % 2 ? tc_reader_self(&f->r) : NULL;
    int failures = 0;
    for (int i = 0; i < 10000; i++) {
        tc_readers_add_calls(&f->r, me, 1);
        tc_readers_add_pins(&f->r, me, index < 2 ? 1 : -1);
        if (me != NULL)
            tc_reader_count(&me->counts[index], index);
        if (i % 100 == 0) {
            tc_readers_settle(&f->r);
            int64_t calls = tc_readers_calls(&f->r);
            TT_CHECK(failures, calls > i && calls <= CREW * 10000);
        }
    }
    return failures;
}

static void sums_are_those_of_all_threads(void **state)
{
    struct fixture *f = *state;
    tc_readers_add_calls(&f->r, tc_reader_self(&f->r), 7);
    assert_int_equal(tt_crew_join(tt_crew_start(CREW, count_things, f)), 0);
    assert_int_equal(tc_readers_calls(&f->r), CREW * 10000 + 7);
    assert_int_equal(tc_readers_pins(&f->r), 0);
    assert_int_equal(tc_readers_counted(&f->r, 1).hits, 10000);
    assert_int_equal(tc_readers_counted(&f->r, 3).hits, 30000);
    assert_int_equal(tc_readers_counted(&f->r, 2).hits, 0);
}

/* ---- alone ---- */

static int come_second(void *arg, unsigned index)
{
    struct fixture *f = arg;
    int failures = 0;
    (void)index;
    TT_CHECK(failures, !tc_readers_alone(&f->r));
    tc_reader_self(&f->r);
    TT_CHECK(failures, !tc_readers_alone(&f->r));
    return failures;
}

static void only_a_sole_owner_is_alone(void **state)
{
    struct fixture *f = *state;
    assert_true(tc_readers_alone(&f->r));
    tc_reader_self(&f->r);
    assert_true(tc_readers_alone(&f->r));
    assert_int_equal(tt_crew_join(tt_crew_start(1, come_second, f)), 0);
    assert_false(tc_readers_alone(&f->r));
}

static int take_a_record(void *arg, unsigned index)
{
    struct fixture *f = arg;
    (void)index;
    return tc_reader_self(&f->r) == NULL;
}

static void who_has_no_record_is_not_alone_if_somebody_has(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(tt_crew_join(tt_crew_start(1, take_a_record, f)), 0);
    assert_false(tc_readers_alone(&f->r));
}

/* ---- epochs ---- */

static int lend_record(void *arg, unsigned index)
{
    struct together *t = arg;
    t->of[index] = tc_reader_self(&t->f->r);
    return t->of[index] == NULL;
}

/* Two readers of which the test says when they enter and leave. */
static void two_readers(struct fixture *f, struct tc_reader **a, struct tc_reader **b)
{
    struct together t = { .f = f };
    *a = tc_reader_self(&f->r);
    assert_int_equal(tt_crew_join(tt_crew_start(1, lend_record, &t)), 0);
    *b = t.of[0];
    assert_true(*a != NULL && *b != NULL && *a != *b);
}

static void with_nobody_inside_two_steps_pass_and_one_does_not(void **state)
{
    struct fixture *f = *state;
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
    struct fixture *f = *state;
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
    struct fixture *f = *state;
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
    struct fixture *f = *state;
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
    struct fixture *f = *state;
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

static void who_steps_beside_another_leaves_it_to_that(void **state)
{
    struct fixture *f = *state;
    uint64_t epoch = tc_readers_epoch(&f->r);
    assert_false(atomic_flag_test_and_set(&f->r.stepping));
    tc_readers_step(&f->r);
    assert_int_equal(tc_readers_epoch(&f->r), epoch);
    atomic_flag_clear(&f->r.stepping);
    tc_readers_step(&f->r);
    assert_int_equal(tc_readers_epoch(&f->r), epoch + 1);
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
    bool asymmetric;
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
    struct fixture *f = *state;
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
    bool asymmetric = ((struct fixture *)*state)->r.asymmetric;
    for (int i = 0; i < ENCOUNTERS; i++) {
        struct fixture *f = new_fixture();
        f->r.asymmetric = asymmetric;
        struct swapping s = { .r = &f->r };
        atomic_store(&s.shared[0], new_box());
        assert_int_equal(tt_crew_join(tt_crew_start(2, meet, &s)), 0);
        free_box(s.shared[0]);
        assert_true(s.freed_at_once > 0);
        assert_true(free_fixture(f));
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TEST_SYMMETRIC(f) { #f " (symmetric)", f, setup_symmetric, teardown, NULL }
#define TEST_BOTH(f) TEST(f), TEST_SYMMETRIC(f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_that_was_never_a_structure_may_be_given_up),
        TEST(a_thread_has_one_record_on_lines_of_its_own),
        TEST(no_two_threads_have_the_same_record),
        cmocka_unit_test(a_record_is_found_again_after_many_other_caches),
        cmocka_unit_test(as_many_caches_as_there_are_seats_all_keep_theirs),
        TEST(a_closed_caches_seat_is_not_taken_for_a_new_ones),
        TEST(records_of_threads_that_are_no_more_are_used_again),
        TEST(threads_that_come_in_waves_leave_records_for_one_or_two),
        TEST(without_memory_there_is_no_record_but_everything_counts),
        TEST_BOTH(sums_are_those_of_all_threads),
        TEST_BOTH(only_a_sole_owner_is_alone),
        TEST_BOTH(who_has_no_record_is_not_alone_if_somebody_has),
        TEST_BOTH(with_nobody_inside_two_steps_pass_and_one_does_not),
        TEST_BOTH(nothing_passes_while_one_is_inside_since_before),
        TEST_BOTH(who_entered_after_two_steps_holds_nothing_back),
        TEST_BOTH(who_entered_after_one_step_holds_back),
        TEST_BOTH(who_enters_with_an_old_epoch_takes_nothing_back),
        TEST_BOTH(who_steps_beside_another_leaves_it_to_that),
        TEST_BOTH(nobody_reads_what_was_freed),
        TEST_BOTH(who_was_alone_frees_nothing_under_the_hands_of_a_newcomer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
