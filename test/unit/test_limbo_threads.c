/* Threads that come and go while others read, with and without records, and all of them at once: what leaves is freed,
 * nobody sees what was freed, and nothing is left behind. */
#include <pthread.h>
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

enum { LIMIT = TT_LIMBO_LIMIT, LEN = TT_LIMBO_LEN, CREW = 6, OPS = 15000, KEYS = 500 };

/* ---- one after the other ---- */

/* Whoever steps may be without a processor for as long as a store has patience. */
static bool put_in_the_end(struct tt_limbo *f, struct tt_l1_key k, size_t len)
{
    int rc = CACHE_E_NOMEM;
    for (int i = 0; i < 20 && (rc = tt_l1_put(f->r, k, len)) == CACHE_E_NOMEM; i++)
        ;
    return rc == CACHE_OK;
}

/* Takes out of the table, little by little, some times what makes a step. */
struct hoard {
    struct tt_limbo *f;
    pthread_barrier_t all_are_there;
};

static int hoard(void *arg, unsigned index)
{
    struct hoard *h = arg;
    struct tt_limbo *f = h->f;
    int failures = 0;
    TT_CHECK(failures, tc_reader_self(&f->r->l1.readers) != NULL);
    pthread_barrier_wait(&h->all_are_there); /* none of them is no more before all have a record */
    for (uint64_t i = 0; i < 40 + index; i++) {
        struct tt_l1_key k = tt_l1_key(f->r, TT_LIMBO_CHURN * (index + 1) + i);
        TT_CHECK(failures, put_in_the_end(f, k, 30));
        tt_l1_invalidate(f->r, k);
    }
    return failures;
}

static void threads_step_after_a_quarter_of_the_reserve_at_most_and_the_next_ones_go_on_from_there(void **state)
{
    struct tt_limbo *f = *state;
    enum { MANY = 6 };
    struct hoard h = { .f = f };
    assert_int_equal(pthread_barrier_init(&h.all_are_there, NULL, MANY), 0);
    for (int round = 0; round < 10; round++) { /* with the same records: those before are no more */
        uint64_t kept = 0;
        assert_int_equal(tt_crew_join(tt_crew_start(MANY, hoard, &h)), 0);
        assert_int_equal(f->r->l1.readers.n, MANY + 1);
        struct tc_reader *who = atomic_load(&f->r->l1.readers.first);
        for (; who != NULL; who = who->next) {
            assert_true(who->left_bytes < f->r->l1.reserve / 4 / (MANY + 1));
            kept += who->left_bytes;
        }
        assert_in_range(kept, 1, f->r->l1.reserve / 4);
        tt_limbo_assert_agrees(f);
        /* What waits in pages counts in its stripe. */
        assert_true(f->r->l1.paged || tt_limbo_waiting_bytes(f) <= f->r->l1.reserve);
    }
    pthread_barrier_destroy(&h.all_are_there);
}

static void *no_memory_for_records(void *ctx, size_t n)
{
    return n == sizeof(struct tc_reader) + TC_ALLOC_LINES_EXTRA ? NULL : tt_alloc_ops.alloc(ctx, n);
}

static int work_without_a_record(void *arg, unsigned index)
{
    struct tt_limbo *f = arg;
    int failures = 0;
    TT_CHECK(failures, tc_reader_self(&f->r->l1.readers) == NULL);
    for (uint64_t i = 0; i < 400; i++) {
        uint64_t number = (index + 1) * 10000 + i;
        struct tt_l1_key k = tt_l1_key(f->r, number);
        TT_CHECK(failures, put_in_the_end(f, k, LEN));
        struct tc_l1_found found = tt_l1_get(f->r, k);
        TT_CHECK(failures, found.entry != NULL && found.fresh && tc_l1_pin_count(&f->r->l1) > 0);
        tt_l1_invalidate(f->r, k);
        TT_CHECK(failures, tt_l1_is_value(tc_entry_data(found.entry), LEN, number, NULL));
        tc_l1_release(&f->r->l1, found.entry);
        TT_CHECK(failures, !tt_l1_has(f->r, k));
    }
    return failures;
}

static void threads_without_a_record_read_and_write_all_the_same(void **state)
{
    struct tt_limbo *f = *state;
    f->r->alloc.ops.alloc = no_memory_for_records;
    for (int with_one = 0; with_one < 2; with_one++) {
        assert_int_equal(tt_crew_join(tt_crew_start(3, work_without_a_record, f)), 0);
        assert_int_equal(f->r->l1.readers.n, with_one);
        assert_int_equal(tc_l1_pin_count(&f->r->l1), 0);
        assert_true(tt_limbo_bytes(f) <= f->r->l1.reserve);
        f->r->alloc.ops.alloc = tt_alloc_ops.alloc;
        assert_non_null(tc_reader_self(&f->r->l1.readers)); /* there is one from now on */
        f->r->alloc.ops.alloc = no_memory_for_records;
    }
    tt_limbo_assert_agrees(f);
}

/* ---- all at once ---- */

struct stress {
    struct tt_limbo *f;
    uint64_t seed;
    _Atomic uint64_t copied, pinned, stored;
};

struct worker {
    struct stress *s;
    int failures;
    struct tc_entry *pin; /* the last one */
    uint64_t pin_number;
};

static void change_pin(struct worker *w, struct tc_entry *e, uint64_t number)
{
    if (w->pin != NULL) {
        TT_CHECK(w->failures, tt_l1_is_value(tc_entry_data(w->pin), tc_entry_len(w->pin), w->pin_number, NULL));
        tc_l1_release(&w->s->f->r->l1, w->pin);
    }
    w->pin = e;
    w->pin_number = number;
}

static void read_one(struct worker *w, uint64_t number, size_t cap)
{
    struct tt_l1 *r = w->s->f->r;
    struct tt_l1_key k = tt_l1_key(r, number);
    unsigned char buf[LEN];
    struct tc_l1_copied copied;
    struct tc_l1_found found;
    if (tc_l1_get_copy(&r->l1, tt_l1_ref(&k), tt_l1_now(r), buf, cap, &copied, &found)) {
        TT_CHECK(w->failures, tt_l1_is_value(buf, copied.len, number, NULL));
        atomic_fetch_add(&w->s->copied, 1);
    } else if (found.entry != NULL) {
        change_pin(w, found.entry, number);
        atomic_fetch_add(&w->s->pinned, 1);
    }
}

static void put_one(struct worker *w, uint64_t number, uint64_t random)
{
    struct tt_l1 *r = w->s->f->r;
    struct tt_l1_put p = { .len = 8 + random % (random % 50 ? 500 : 20 * LEN), .version = random, .advance = true,
                           .ttl_ms = (int64_t)(random % 200) };
    int rc = tt_l1_put_with(r, tt_l1_key(r, number), &p);
    /* A reader whom the machine left without a processor is one who does not go on. */
    TT_CHECK(w->failures, rc == CACHE_OK || rc == CACHE_E_NOMEM);
    atomic_fetch_add(&w->s->stored, rc == CACHE_OK);
}

static int do_everything(void *arg, unsigned index)
{
    struct worker w = { .s = arg };
    struct tt_limbo *f = w.s->f;
    uint64_t seed = w.s->seed + index;
    for (int i = 0; i < OPS && w.failures < 10; i++) {
        uint64_t random = tt_random(&seed), number = random % KEYS, what = random / KEYS % 1000;
        if (what < 600)
            read_one(&w, number, what < 350 ? LEN : 0);
        else if (what < 850)
            put_one(&w, number, tt_random(&seed));
        else if (what < 990)
            tt_l1_invalidate(f->r, tt_l1_key(f->r, number));
        else if (what < 999)
            tt_clock_advance(&f->r->time, 5);
        else
            tc_l1_clear(&f->r->l1);
    }
    change_pin(&w, NULL, 0);
    return w.failures;
}

static void readers_and_writers_together_leave_nothing_behind(void **state)
{
    struct stress s = { .f = *state, .seed = tt_seed() };
    struct tt_l1 *r = s.f->r;
    assert_int_equal(tt_crew_join(tt_crew_start(CREW, do_everything, &s)), 0);
    assert_true(s.copied > 100 && s.pinned > 100 && s.stored > 1000);
    tt_limbo_assert_agrees(s.f);
    tc_l1_clear(&r->l1);
    tt_limbo_churn(s.f);
    tt_limbo_assert_agrees(s.f);
    assert_true(tt_limbo_bytes(s.f) <= r->l1.reserve);
    assert_true(tt_limbo_waiting_bytes(s.f) <= r->l1.reserve);
    assert_true(tt_limbo_live_bytes(s.f) <= r->l1.fixed_bytes + r->l1.reserve + LIMIT / 4);
    assert_int_equal(tt_l1_type_entries(r, 0), 0);
}

int main(void)
{
#define WITH(test, setup) { #test ", " #setup, test, tt_limbo_##setup, tt_limbo_teardown, NULL }
#define BOTH(test) WITH(test, apart), WITH(test, in_pages)
#define ALONE(test) WITH(test, alone_apart), WITH(test, alone_in_pages)
    const struct CMUnitTest tests[] = {
        BOTH(threads_step_after_a_quarter_of_the_reserve_at_most_and_the_next_ones_go_on_from_there),
        ALONE(threads_without_a_record_read_and_write_all_the_same),
        ALONE(readers_and_writers_together_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
