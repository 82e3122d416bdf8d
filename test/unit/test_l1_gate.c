/* The gate to L2: fills enter while their generation stands and no writer is there, writers wait for them, and whoever
 * does not get in by its deadline voids what is under way all the same. Only through tier/l1/l1.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_l1.h"

enum { LIMIT = 1 << 20, STRIPES = 4, WAIT_MS = 60, SLACK_MS = 2000, LONG_MS = 50000 };

struct fixture {
    struct tt_l1 *r;
    struct tt_l1_key key;
};

static int setup(void **state)
{
    struct fixture *f = tt_xcalloc(sizeof *f);
    f->r = tt_l1_new(LIMIT, STRIPES, NULL);
    f->key = tt_l1_key(f->r, 1);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    bool clean = tt_l1_free(f->r);
    free(f);
    return clean ? 0 : -1;
}

static uint64_t generation(struct fixture *f)
{
    return tc_l1_generation(&f->r->l1, f->key.hash);
}

static bool begin_fill(struct fixture *f)
{
    return tc_l1_fill_begin(&f->r->l1, f->key.hash, generation(f));
}

static bool begin_write(struct fixture *f, bool exclusive, int64_t timeout_ms)
{
    return tc_l1_write_begin(&f->r->l1, tt_l1_ref(&f->key), exclusive, tt_l1_now(f->r) + timeout_ms);
}

static void end_write(struct fixture *f, bool exclusive)
{
    tc_l1_write_end(&f->r->l1, f->key.hash, exclusive);
}

/* ---- a writer in a thread of its own ---- */

struct writer {
    struct fixture *f;
    bool exclusive;
    atomic_bool entered, let_go;
};

static int write_in_thread(void *arg, unsigned index)
{
    struct writer *w = arg;
    (void)index;
    int failures = 0;
    bool in = begin_write(w->f, w->exclusive, LONG_MS);
    TT_CHECK(failures, in);
    atomic_store(&w->entered, true);
    int64_t end_ms = tt_mono_ms() + TT_SOON_MS;
    while (!atomic_load(&w->let_go) && tt_pause(end_ms))
        ;
    if (in)
        end_write(w->f, w->exclusive);
    return failures;
}

static struct tt_crew *start_writer(struct writer *w, struct fixture *f, bool exclusive)
{
    w->f = f;
    w->exclusive = exclusive;
    atomic_init(&w->entered, false);
    atomic_init(&w->let_go, false);
    return tt_crew_start(1, write_in_thread, w);
}

/* A writer that waits refuses fills from then on. */
static bool refuses_fills(struct fixture *f)
{
    uint64_t g = generation(f);
    if (!tc_l1_fill_begin(&f->r->l1, f->key.hash, g))
        return true;
    tc_l1_fill_end(&f->r->l1, f->key.hash, g);
    return false;
}

/* ---- fills ---- */

static void a_fill_enters_while_its_generation_stands(void **state)
{
    struct fixture *f = *state;
    uint64_t g = generation(f);
    assert_true(tc_l1_fill_begin(&f->r->l1, f->key.hash, g));
    assert_true(tc_l1_fill_begin(&f->r->l1, f->key.hash, g)); /* several at once */
    assert_int_equal(tc_l1_fill_end(&f->r->l1, f->key.hash, g), TC_FILL_STANDS);
    assert_int_equal(tc_l1_fill_end(&f->r->l1, f->key.hash, g), TC_FILL_STANDS);
    tt_l1_invalidate(f->r, f->key);
    assert_false(tc_l1_fill_begin(&f->r->l1, f->key.hash, g));
    assert_true(begin_fill(f));
    assert_int_equal(tc_l1_fill_end(&f->r->l1, f->key.hash, generation(f)), TC_FILL_STANDS);
}

static void a_fill_that_was_overtaken_is_told_at_its_end(void **state)
{
    struct fixture *f = *state;
    uint64_t g = generation(f);
    assert_true(tc_l1_fill_begin(&f->r->l1, f->key.hash, g));
    tt_l1_invalidate(f->r, f->key);
    assert_int_equal(tc_l1_fill_end(&f->r->l1, f->key.hash, g), TC_FILL_VOID);
    g = generation(f);
    assert_true(tc_l1_fill_begin(&f->r->l1, f->key.hash, g));
    tc_l1_clear(&f->r->l1);
    assert_int_equal(tc_l1_fill_end(&f->r->l1, f->key.hash, g), TC_FILL_VOID);
}

static void no_fill_enters_while_a_writer_is_in(void **state)
{
    struct fixture *f = *state;
    for (int exclusive = 0; exclusive < 2; exclusive++) {
        assert_true(begin_write(f, exclusive, 0));
        assert_false(begin_fill(f));
        end_write(f, exclusive);
        assert_true(begin_fill(f));
        tc_l1_fill_end(&f->r->l1, f->key.hash, generation(f));
    }
}

/* ---- writers ---- */

static void a_writer_drops_the_value_and_voids_tickets(void **state)
{
    struct fixture *f = *state;
    for (int exclusive = 0; exclusive < 2; exclusive++) {
        tt_l1_put(f->r, f->key, 10);
        uint64_t g = generation(f);
        assert_true(begin_write(f, exclusive, 0));
        assert_false(tt_l1_has(f->r, f->key));
        assert_int_not_equal(generation(f), g);
        end_write(f, exclusive);
    }
}

static void a_writer_waits_for_the_fills_that_are_in(void **state)
{
    struct fixture *f = *state;
    for (int exclusive = 0; exclusive < 2; exclusive++) {
        struct writer w;
        tt_l1_put(f->r, f->key, 10);
        uint64_t g = generation(f);
        assert_true(tc_l1_fill_begin(&f->r->l1, f->key.hash, g));
        assert_true(tc_l1_fill_begin(&f->r->l1, f->key.hash, g));
        struct tt_crew *crew = start_writer(&w, f, exclusive);
        tt_assert_soon(refuses_fills(f));
        assert_int_equal(tc_l1_fill_end(&f->r->l1, f->key.hash, g), TC_FILL_STANDS);
        assert_false(atomic_load(&w.entered));
        /* Until it is in, what it waits for is valid: the fill may still put its value. */
        assert_int_equal(generation(f), g);
        struct tt_l1_put p = { .len = 20, .expected = &g };
        assert_int_equal(tt_l1_put_with(f->r, f->key, &p), CACHE_OK);
        assert_int_equal(tc_l1_fill_end(&f->r->l1, f->key.hash, g), TC_FILL_STANDS);
        tt_assert_soon(atomic_load(&w.entered));
        assert_false(tt_l1_has(f->r, f->key));
        assert_int_equal(tt_l1_put_with(f->r, f->key, &p), CACHE_E_TICKET);
        atomic_store(&w.let_go, true);
        assert_int_equal(tt_crew_join(crew), 0);
        assert_true(begin_fill(f));
        tc_l1_fill_end(&f->r->l1, f->key.hash, generation(f));
    }
}

static void one_exclusive_writer_at_a_time(void **state)
{
    struct fixture *f = *state;
    struct writer w;
    assert_true(begin_write(f, true, 0));
    struct tt_crew *crew = start_writer(&w, f, true);
    assert_false(begin_write(f, true, WAIT_MS));
    assert_false(atomic_load(&w.entered));
    end_write(f, true);
    tt_assert_soon(atomic_load(&w.entered));
    assert_false(begin_write(f, true, 0));
    atomic_store(&w.let_go, true);
    assert_int_equal(tt_crew_join(crew), 0);
    assert_true(begin_write(f, true, 0));
    end_write(f, true);
}

static void deletions_wait_for_an_exclusive_writer_and_not_for_each_other(void **state)
{
    struct fixture *f = *state;
    struct writer w;
    assert_true(begin_write(f, true, 0));
    struct tt_crew *crew = start_writer(&w, f, false);
    assert_false(begin_write(f, false, WAIT_MS));
    assert_false(atomic_load(&w.entered));
    end_write(f, true);
    tt_assert_soon(atomic_load(&w.entered));
    assert_true(begin_write(f, false, 0));
    assert_true(begin_write(f, false, 0));
    assert_false(begin_fill(f));
    end_write(f, false);
    atomic_store(&w.let_go, true);
    assert_int_equal(tt_crew_join(crew), 0);
    assert_false(begin_fill(f)); /* one is still in */
    end_write(f, false);
    assert_true(begin_fill(f));
    tc_l1_fill_end(&f->r->l1, f->key.hash, generation(f));
}

/* ---- deadlines ---- */

static void a_writer_that_comes_too_late_voids_all_the_same_and_leaves_the_gate_open(void **state)
{
    struct fixture *f = *state;
    for (int exclusive = 0; exclusive < 2; exclusive++) {
        tt_l1_put(f->r, f->key, 10);
        uint64_t g = generation(f);
        assert_true(tc_l1_fill_begin(&f->r->l1, f->key.hash, g));
        assert_false(begin_write(f, exclusive, 0));
        assert_false(begin_write(f, exclusive, -1000));
        assert_false(tt_l1_has(f->r, f->key));
        assert_int_not_equal(generation(f), g);
        assert_true(begin_fill(f)); /* a new one, under the new generation */
        assert_int_equal(tc_l1_fill_end(&f->r->l1, f->key.hash, generation(f)), TC_FILL_STANDS);
        assert_int_equal(tc_l1_fill_end(&f->r->l1, f->key.hash, g), TC_FILL_LATE);
        tc_l1_late_end(&f->r->l1);
        assert_true(begin_write(f, exclusive, 0));
        end_write(f, exclusive);
    }
}

/* Each of them counts once, however many writers gave up, until what it sent is taken back. */
static void fills_that_nobody_waited_for_count_until_they_are_settled(void **state)
{
    struct fixture *f = *state;
    struct tc_l1 *l1 = &f->r->l1;
    uint64_t first = generation(f);
    assert_true(tc_l1_fill_begin(l1, f->key.hash, first));
    assert_true(tc_l1_fill_begin(l1, f->key.hash, first));
    assert_int_equal(tc_l1_late(l1), 0);
    assert_false(begin_write(f, false, 0));
    assert_int_equal(tc_l1_late(l1), 2);
    uint64_t second = generation(f);
    assert_true(tc_l1_fill_begin(l1, f->key.hash, second));
    tt_l1_invalidate(f->r, f->key); /* voids it, and waits for nothing */
    assert_int_equal(tc_l1_fill_end(l1, f->key.hash, second), TC_FILL_VOID);
    uint64_t third = generation(f);
    assert_true(tc_l1_fill_begin(l1, f->key.hash, third));
    assert_false(begin_write(f, true, 0));
    assert_int_equal(tc_l1_late(l1), 3);
    assert_int_equal(tc_l1_fill_end(l1, f->key.hash, third), TC_FILL_LATE);
    assert_int_equal(tc_l1_fill_end(l1, f->key.hash, first), TC_FILL_LATE);
    assert_int_equal(tc_l1_late(l1), 3);
    tc_l1_late_end(l1);
    tc_l1_late_end(l1);
    assert_int_equal(tc_l1_late(l1), 1);
    assert_int_equal(tc_l1_fill_end(l1, f->key.hash, first), TC_FILL_LATE);
    tc_l1_late_end(l1);
    assert_int_equal(tc_l1_late(l1), 0);
}

static void a_writer_waits_until_its_deadline_and_not_longer(void **state)
{
    struct fixture *f = *state;
    uint64_t g = generation(f);
    assert_true(tc_l1_fill_begin(&f->r->l1, f->key.hash, g));
    int64_t start_ms = tt_mono_ms();
    assert_false(begin_write(f, true, WAIT_MS));
    assert_in_range(tt_mono_ms() - start_ms, WAIT_MS - 1, WAIT_MS + SLACK_MS);
    assert_int_equal(tc_l1_fill_end(&f->r->l1, f->key.hash, g), TC_FILL_LATE);
}

static void a_deadline_that_has_passed_does_not_keep_a_writer_from_an_open_gate(void **state)
{
    struct fixture *f = *state;
    for (int exclusive = 0; exclusive < 2; exclusive++) {
        assert_true(begin_write(f, exclusive, -1000));
        end_write(f, exclusive);
    }
}

/* ---- other keys ---- */

static void gates_of_different_ids_do_not_wait_for_each_other(void **state)
{
    struct fixture *f = *state;
    uint64_t g = generation(f);
    assert_true(tc_l1_fill_begin(&f->r->l1, f->key.hash, g));
    size_t tried = 0;
    for (uint64_t n = 2; tried < 200; n++) {
        struct tt_l1_key other = tt_l1_key(f->r, n);
        bool same = tc_l1_gate_id(&f->r->l1, other.hash) == tc_l1_gate_id(&f->r->l1, f->key.hash);
        bool entered = tc_l1_write_begin(&f->r->l1, tt_l1_ref(&other), true, tt_l1_now(f->r));
        assert_int_equal(entered, !same);
        if (entered)
            tc_l1_write_end(&f->r->l1, other.hash, true);
        tried++;
    }
    tc_l1_fill_end(&f->r->l1, f->key.hash, g);
}

static void gate_ids_are_as_many_as_stripes_times_gates(void **state)
{
    struct fixture *f = *state;
    bool seen[STRIPES * TC_GATES] = { false };
    size_t n = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t id = tc_l1_gate_id(&f->r->l1, tt_l1_key(f->r, i).hash);
        assert_true(id < STRIPES * TC_GATES);
        n += !seen[id];
        seen[id] = true;
    }
    assert_int_equal(n, STRIPES * TC_GATES);
}

/* ---- storm ---- */

enum { CREW = 4, OPS = 4000, STORM_KEYS = 3 };

struct storm {
    struct tt_l1 *r;
    struct tt_l1_key keys[STORM_KEYS];
    atomic_int fills, exclusives, deletions; /* in the gate */
    atomic_uint writes;
};

/* Three keys of one gate. The counters say who is in; every combination that the contract excludes is a failure. */
static int storm_gate(void *arg, unsigned index)
{
    struct storm *s = arg;
    int failures = 0;
    uint64_t seed = index;
    for (int i = 0; i < OPS; i++) {
        size_t n = tt_random(&seed) % STORM_KEYS;
        struct tc_l1_ref ref = tt_l1_ref(&s->keys[n]);
        uint64_t g = tc_l1_generation(&s->r->l1, ref.hash), what = tt_random(&seed) % 4;
        if (what < 2) {
            if (!tc_l1_fill_begin(&s->r->l1, ref.hash, g))
                continue;
            atomic_fetch_add(&s->fills, 1);
            TT_CHECK(failures, atomic_load(&s->exclusives) == 0 && atomic_load(&s->deletions) == 0);
            atomic_fetch_sub(&s->fills, 1);
            tc_l1_fill_end(&s->r->l1, ref.hash, g);
            continue;
        }
        bool exclusive = what == 2;
        int64_t timeout_ms = tt_random(&seed) % 4 == 0 ? 0 : LONG_MS;
        if (!tc_l1_write_begin(&s->r->l1, ref, exclusive, tt_l1_now(s->r) + timeout_ms)) {
            TT_CHECK(failures, timeout_ms == 0);
            continue;
        }
        atomic_fetch_add(&s->writes, 1);
        TT_CHECK(failures, tc_l1_generation(&s->r->l1, ref.hash) != g);
        if (exclusive) {
            TT_CHECK(failures, atomic_fetch_add(&s->exclusives, 1) == 0);
            TT_CHECK(failures, atomic_load(&s->fills) == 0);
            atomic_fetch_sub(&s->exclusives, 1);
        } else {
            atomic_fetch_add(&s->deletions, 1);
            TT_CHECK(failures, atomic_load(&s->fills) == 0);
            atomic_fetch_sub(&s->deletions, 1);
        }
        tc_l1_write_end(&s->r->l1, ref.hash, exclusive);
    }
    return failures;
}

static void whoever_comes_in_any_order_the_gate_holds_and_nobody_is_forgotten(void **state)
{
    struct fixture *f = *state;
    struct storm s = { .r = f->r };
    for (uint64_t n = 0, number = 0; n < STORM_KEYS; number++) {
        s.keys[n] = tt_l1_key(f->r, number);
        n += tc_l1_gate_id(&f->r->l1, s.keys[n].hash) == tc_l1_gate_id(&f->r->l1, f->key.hash);
    }
    assert_int_equal(tt_crew_join(tt_crew_start(CREW, storm_gate, &s)), 0);
    assert_true(atomic_load(&s.writes) > OPS / 4);
    assert_true(begin_write(f, true, 0));
    end_write(f, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_fill_enters_while_its_generation_stands, setup, teardown),
        cmocka_unit_test_setup_teardown(a_fill_that_was_overtaken_is_told_at_its_end, setup, teardown),
        cmocka_unit_test_setup_teardown(no_fill_enters_while_a_writer_is_in, setup, teardown),
        cmocka_unit_test_setup_teardown(a_writer_drops_the_value_and_voids_tickets, setup, teardown),
        cmocka_unit_test_setup_teardown(a_writer_waits_for_the_fills_that_are_in, setup, teardown),
        cmocka_unit_test_setup_teardown(one_exclusive_writer_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(deletions_wait_for_an_exclusive_writer_and_not_for_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(a_writer_that_comes_too_late_voids_all_the_same_and_leaves_the_gate_open, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(fills_that_nobody_waited_for_count_until_they_are_settled, setup, teardown),
        cmocka_unit_test_setup_teardown(a_writer_waits_until_its_deadline_and_not_longer, setup, teardown),
        cmocka_unit_test_setup_teardown(a_deadline_that_has_passed_does_not_keep_a_writer_from_an_open_gate, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(gates_of_different_ids_do_not_wait_for_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(gate_ids_are_as_many_as_stripes_times_gates, setup, teardown),
        cmocka_unit_test_setup_teardown(whoever_comes_in_any_order_the_gate_holds_and_nobody_is_forgotten, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
