/* Who reads without a lock: a record for each thread, and sums over all. When what was unlinked may be freed is
 * test_epochs.c. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_readers.h"
#include "tt_util.h"

enum {
    CREW = 4,
    MANY = 20, /* caches: more than a thread has seats */
    SHORT_THREADS = 1000,
    WAVE = 32
};

static uint32_t records(struct tt_readers *f)
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
    struct tt_readers *f = *state;
    assert_int_equal(records(f), 0);
    struct tc_reader *me = tc_reader_self(&f->r);
    assert_non_null(me);
    assert_ptr_equal(tc_reader_self(&f->r), me);
    assert_int_equal((uintptr_t)me % TC_CACHELINE, 0);
    assert_int_equal(sizeof *me % TC_CACHELINE, 0);
    assert_int_equal(records(f), 1);
}

struct together {
    struct tt_readers *f;
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
static void assert_each_has_its_own(struct tt_readers *f, unsigned n)
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
    struct tt_readers *f = *state;
    tc_reader_self(&f->r);
    assert_each_has_its_own(f, CREW);
    assert_int_equal(records(f), CREW + 1);
    assert_each_has_its_own(f, WAVE); /* some take over those of the first, and each of these only one */
    assert_in_range(records(f), WAVE + 1, WAVE + 1 + CREW);
}

static void a_record_is_found_again_after_many_other_caches(void **state)
{
    (void)state;
    struct tt_readers *caches[MANY];
    struct tc_reader *mine[MANY];
    uint64_t seed = tt_seed();
    for (size_t i = 0; i < MANY; i++) {
        caches[i] = tt_readers_new();
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
        assert_true(tt_readers_free(caches[i]));
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
    struct tt_readers **caches = arg;
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
    struct tt_readers *caches[TC_READER_SEATS];
    for (int round = 0; round < 10; round++) { /* their numbers are random */
        for (size_t i = 0; i < TC_READER_SEATS; i++)
            caches[i] = tt_readers_new();
        assert_int_equal(tt_crew_join(tt_crew_start(1, use_in_turn, caches)), 0);
        for (size_t i = 0; i < TC_READER_SEATS; i++)
            assert_true(tt_readers_free(caches[i]));
    }
}

static void a_closed_caches_seat_is_not_taken_for_a_new_ones(void **state)
{
    struct tt_readers *f = *state;
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
    struct tt_readers *f = arg;
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
    struct tt_readers *f = *state;
    for (int i = 0; i < SHORT_THREADS; i++)
        assert_int_equal(tt_crew_join(tt_crew_start(1, call_once, f)), 0);
    /* A thread that was joined may be known to the kernel a moment longer. */
    assert_in_range(records(f), 1, 8);
    assert_int_equal(tc_readers_calls(&f->r), SHORT_THREADS); /* and nothing that they counted is lost */
    assert_int_equal(tc_readers_counted(&f->r, 0).hits, SHORT_THREADS);
}

static void threads_that_come_in_waves_leave_records_for_one_or_two(void **state)
{
    struct tt_readers *f = *state;
    struct tc_reader *me = tc_reader_self(&f->r);
    for (int i = 0; i < SHORT_THREADS / WAVE * 3; i++)
        assert_each_has_its_own(f, WAVE); /* nor do they get that of somebody who lives: mine */
    assert_ptr_equal(tc_reader_self(&f->r), me);
    assert_in_range(records(f), WAVE + 1, 2 * WAVE);
}

/* ---- sums ---- */

static void without_memory_there_is_no_record_but_everything_counts(void **state)
{
    struct tt_readers *f = *state;
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
    struct tt_readers *f = arg;
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
    struct tt_readers *f = *state;
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
    struct tt_readers *f = arg;
    int failures = 0;
    (void)index;
    TT_CHECK(failures, !tc_readers_alone(&f->r));
    tc_reader_self(&f->r);
    TT_CHECK(failures, !tc_readers_alone(&f->r));
    return failures;
}

static void only_a_sole_owner_is_alone(void **state)
{
    struct tt_readers *f = *state;
    assert_true(tc_readers_alone(&f->r));
    tc_reader_self(&f->r);
    assert_true(tc_readers_alone(&f->r));
    assert_int_equal(tt_crew_join(tt_crew_start(1, come_second, f)), 0);
    assert_false(tc_readers_alone(&f->r));
}

static int take_a_record(void *arg, unsigned index)
{
    struct tt_readers *f = arg;
    (void)index;
    return tc_reader_self(&f->r) == NULL;
}

static void who_has_no_record_is_not_alone_if_somebody_has(void **state)
{
    struct tt_readers *f = *state;
    assert_int_equal(tt_crew_join(tt_crew_start(1, take_a_record, f)), 0);
    assert_false(tc_readers_alone(&f->r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_that_was_never_a_structure_may_be_given_up),
        TT_READERS(a_thread_has_one_record_on_lines_of_its_own),
        TT_READERS(no_two_threads_have_the_same_record),
        cmocka_unit_test(a_record_is_found_again_after_many_other_caches),
        cmocka_unit_test(as_many_caches_as_there_are_seats_all_keep_theirs),
        TT_READERS(a_closed_caches_seat_is_not_taken_for_a_new_ones),
        TT_READERS(records_of_threads_that_are_no_more_are_used_again),
        TT_READERS(threads_that_come_in_waves_leave_records_for_one_or_two),
        TT_READERS(without_memory_there_is_no_record_but_everything_counts),
        TT_READERS_BOTH(sums_are_those_of_all_threads),
        TT_READERS_BOTH(only_a_sole_owner_is_alone),
        TT_READERS_BOTH(who_has_no_record_is_not_alone_if_somebody_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
