/* L1 against a naive map, under each eviction policy and under several at once, in pages and apart: what is found is
 * the latest value of its key and not past its stale window; what was invalidated or replaced is never found; a ticket is
 * refused exactly if its generation moved; what a caller holds does not change; memory stays in the limit and all of it
 * comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_l1_map.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { STEPS = 6000 };
#else
enum { STEPS = 24000 };
#endif

struct kind {
    const char *policy;
    bool paged, mixed;
};

static struct tt_l1_map *open_map(void **state)
{
    const struct kind *kind = *state;
    return tt_l1_map_new(kind->policy, kind->paged, kind->mixed);
}

/* Of all kinds together: what a single one meets is a matter of chance. */
static struct {
    uint64_t found, stale, tickets_void, kept, too_large, evicted, evicted_quota, expired;
} met;

static void any_mixture_is_answered_by(struct tt_l1_map *m)
{
    tt_l1_map_step(m, STEPS);
    assert_int_equal(m->failures, 0);
    assert_int_equal(m->refused, 0);
    met.found += m->found;
    met.stale += m->stale;
    met.tickets_void += m->tickets_void;
    met.kept += m->kept;
    met.too_large += m->too_large;
    met.evicted += tt_l1_count(m->r, TC_COUNT_l1_evicted_bytes);
    met.evicted_quota += tt_l1_count(m->r, TC_COUNT_l1_evicted_quota);
    met.expired += tt_l1_count(m->r, TC_COUNT_l1_expired);
    tt_l1_map_free(m);
}

static void any_mixture_is_answered_as_a_map_would(void **state)
{
    any_mixture_is_answered_by(open_map(state));
}

/* One that is no more has read: what leaves waits, is to be had a little later, and nothing is refused for that. */
static void beside_another_thread_any_mixture_is_answered_as_well(void **state)
{
    struct tt_l1_map *m = open_map(state);
    tt_l1_have_company(m->r);
    any_mixture_is_answered_by(m);
}

static void everything_was_met(void **state)
{
    (void)state;
    assert_true(met.found > STEPS && met.stale > STEPS / 100);
    assert_true(met.tickets_void > STEPS / 50 && met.kept > STEPS / 500 && met.too_large > STEPS / 100);
    assert_true(met.evicted > STEPS / 10 && met.evicted_quota > STEPS / 10 && met.expired > STEPS / 10);
}

/* What is stored, and neither replaced nor invalidated, is there until its time is over. */
static void where_everything_fits_nothing_is_lost(void **state)
{
    struct tt_l1_map *m = open_map(state);
    m->fits = true;
    m->keys = TT_L1_MAP_FITTING;
    tt_l1_map_step(m, STEPS / 2);
    assert_int_equal(m->failures, 0);
    assert_true(m->found > STEPS / 4);
    assert_int_equal(tt_l1_count(m->r, TC_COUNT_l1_evicted_bytes), 0);
    tt_l1_map_free(m);
}

static void refused_memory_loses_values_and_nothing_else(void **state)
{
    struct tt_l1_map *m = open_map(state);
    struct tt_alloc *a = &m->r->counting;
    for (int round = 0; round < STEPS / 200 && m->failures == 0; round++) {
        uint64_t random = tt_random(&m->seed);
        tt_l1_map_step(m, 50);
        m->fails = true;
        tt_alloc_fail(a, 1 + random % 30, random / 32 % 2);
        tt_l1_map_step(m, 50);
        tt_alloc_fail(a, 0, false);
    }
    assert_int_equal(m->failures, 0);
    assert_true(tt_alloc_counts(a).failed > STEPS / 200);
    tt_l1_map_free(m);
}

/* ---- beside a reader ---- */

struct reader {
    struct tt_l1_map *m;
    _Atomic bool stop;
    _Atomic uint64_t found;
};

static int read_one(struct reader *reader, uint64_t number, bool copies)
{
    struct tt_l1_map *m = reader->m;
    struct tt_l1_map_key k = tt_l1_map_key(m->r, number);
    unsigned char buf[TT_L1_MAP_LEN_MOST];
    struct tc_l1_found f = { .entry = NULL };
    struct tc_l1_copied c = { .len = 0 };
    int failures = 0;
    uint64_t oldest = atomic_load(&m->oldest[number]);
    bool copied = copies && tc_l1_get_copy(&m->r->l1, tt_l1_map_ref(&k), tt_l1_now(m->r), buf, sizeof buf, &c, &f);
    if (!copies)
        tc_l1_get(&m->r->l1, tt_l1_map_ref(&k), tt_l1_now(m->r), &f);
    TT_CHECK(failures, !copied || tt_l1_is_late_enough(buf, c.len, number, oldest));
    atomic_fetch_add(&reader->found, copied || f.entry != NULL);
    if (f.entry == NULL)
        return failures;
    TT_CHECK(failures, tt_l1_is_late_enough(tc_entry_data(f.entry), tc_entry_len(f.entry), number, oldest));
    tc_l1_release(&m->r->l1, f.entry);
    return failures;
}

static int read_along(void *arg, unsigned index)
{
    struct reader *reader = arg;
    uint64_t seed = index;
    int failures = 0;
    while (!atomic_load(&reader->stop) && failures < 10) {
        uint64_t random = tt_random(&seed), of = random % 2 ? TT_L1_MAP_KEYS : TT_L1_MAP_KEYS / 10;
        failures += read_one(reader, random / 4 % of, random & 2);
    }
    return failures;
}

static void beside_a_reader_nobody_finds_what_was_replaced(void **state)
{
    struct reader reader = { .m = open_map(state) };
    struct tt_l1_map *m = reader.m;
    m->company = true;
    struct tt_crew *crew = tt_crew_start(1, read_along, &reader);
    tt_l1_map_step(m, STEPS / 4);
    int64_t end_ms = tt_mono_ms() + TT_SOON_MS;
    while (m->failures == 0 && atomic_load(&reader.found) < STEPS / 16 && tt_pause(end_ms))
        tt_l1_map_step(m, 10); /* the last step may have left nothing to be found */
    atomic_store(&reader.stop, true);
    assert_int_equal(tt_crew_join(crew), 0);
    assert_int_equal(m->failures, 0);
    assert_true(atomic_load(&reader.found) >= STEPS / 16);
    m->company = false;
    tt_l1_map_free(m);
}

#define KIND(policy) { policy, true, false }, { policy, false, false }
static struct kind kinds[] = { KIND("lru"),     KIND("lru-exact"), KIND("sieve"),
                               KIND("s3-fifo"), KIND("lfu"),       KIND("w-tinylfu"),
                               { "lru", true, true }, { "lru-exact", false, true }, { "s3-fifo", true, true } };

int main(void)
{
#define WITH(test, i, kind) { #test ", " kind, test, NULL, NULL, &kinds[i] }
#define EACH(test)                                                                                        \
    WITH(test, 0, "lru in pages"), WITH(test, 1, "lru apart"), WITH(test, 2, "lru-exact in pages"),       \
    WITH(test, 3, "lru-exact apart"), WITH(test, 4, "sieve in pages"), WITH(test, 5, "sieve apart"),      \
    WITH(test, 6, "s3-fifo in pages"), WITH(test, 7, "s3-fifo apart"), WITH(test, 8, "lfu in pages"),     \
    WITH(test, 9, "lfu apart"), WITH(test, 10, "w-tinylfu in pages"), WITH(test, 11, "w-tinylfu apart"),  \
    WITH(test, 12, "lru and others in pages"), WITH(test, 13, "lru-exact and others apart"),              \
    WITH(test, 14, "s3-fifo and others in pages")
    const struct CMUnitTest tests[] = {
        EACH(any_mixture_is_answered_as_a_map_would),
        EACH(beside_another_thread_any_mixture_is_answered_as_well),
        cmocka_unit_test(everything_was_met),
        EACH(where_everything_fits_nothing_is_lost),
        EACH(refused_memory_loses_values_and_nothing_else),
        EACH(beside_a_reader_nobody_finds_what_was_replaced),
    };
#ifdef __SANITIZE_THREAD__
    cmocka_set_test_filter("beside_a_reader*"); /* the rest is of one thread */
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
