/* A cache through its public functions against a naive map, L1 only, under each eviction policy, by a clock that the
 * test moves and by the system's: what is found is the latest value of its key, and not past its time; what was
 * invalidated or replaced is never found; what a caller holds does not change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_cache_map.h"
#include "unit/tt_l1.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { STEPS = 6000 };
#else
enum { STEPS = 20000 };
#endif

/* Of all kinds together: what a single one meets is a matter of chance. */
static struct {
    uint64_t found, stale, loads, refused, expired, evicted, evicted_quota;
} met;

static void any_mixture_is_answered_as_a_map_would(void **state)
{
    struct tt_cache_map *m = tt_cache_map_new(*state);
    tt_cache_map_step(m, STEPS);
    struct cache_stats s = tt_cache_stats(&m->b);
    assert_int_equal(m->failures, 0);
    met.found += m->found;
    met.stale += m->stale;
    met.loads += m->loads;
    met.refused += m->refused;
    met.expired += s.l1_expired;
    met.evicted += s.l1_evicted_bytes;
    met.evicted_quota += s.l1_evicted_quota;
    tt_cache_map_free(m);
}

static void everything_was_met(void **state)
{
    (void)state;
    assert_true(met.found > STEPS && met.loads > STEPS && met.refused > STEPS / 10);
    assert_true(met.stale > STEPS / 200 && met.expired > STEPS / 4);
    assert_true(met.evicted > STEPS / 10 && met.evicted_quota > STEPS / 10);
}

/* ---- beside a reader ---- */

struct reader {
    struct tt_cache_map *m;
    _Atomic bool stop;
    _Atomic uint64_t found;
};

static int read_along(void *arg, unsigned index)
{
    struct reader *reader = arg;
    struct tt_cache_map *m = reader->m;
    uint64_t seed = index;
    int failures = 0;
    while (!atomic_load(&reader->stop) && failures < 10) {
        struct cache_key k;
        struct cache_value v;
        struct cache_meta meta;
        unsigned char buf[TT_CACHE_MAP_LEN_MOST];
        uint64_t number = tt_random(&seed) % (tt_random(&seed) % 2 ? TT_CACHE_MAP_KEYS : TT_CACHE_MAP_KEYS / 10);
        uint64_t oldest = atomic_load(&m->oldest[number]);
        if (tt_random(&seed) % 2) {
            int rc = cache_get_copy(m->b.c, tt_cache_map_key(m, &k, number), buf, sizeof buf, &meta);
            TT_CHECK(failures, rc >= 0 && (rc != CACHE_OK || tt_l1_is_late_enough(buf, meta.len, number, oldest)));
            atomic_fetch_add(&reader->found, rc == CACHE_OK);
        } else {
            int rc = cache_get(m->b.c, tt_cache_map_key(m, &k, number), NULL, &v);
            TT_CHECK(failures, rc >= 0 && (rc != CACHE_OK || tt_l1_is_late_enough(v.data, v.len, number, oldest)));
            atomic_fetch_add(&reader->found, rc == CACHE_OK);
            cache_value_release(&v);
        }
    }
    return failures;
}

static void beside_a_reader_nobody_finds_what_was_replaced(void **state)
{
    struct reader reader = { .m = tt_cache_map_new(*state) };
    struct tt_cache_map *m = reader.m;
    struct tt_crew *crew = tt_crew_start(1, read_along, &reader);
    tt_cache_map_step(m, STEPS / 4);
    int64_t end_ms = tt_mono_ms() + TT_SOON_MS;
    while (m->failures == 0 && atomic_load(&reader.found) < STEPS / 20 && tt_pause(end_ms))
        ;
    atomic_store(&reader.stop, true);
    assert_int_equal(tt_crew_join(crew), 0);
    assert_true(atomic_load(&reader.found) >= STEPS / 20);
    tt_cache_map_free(m);
}

int main(void)
{
#define SIX(bytes, stripes, system)                                                                            \
    { "lru", bytes, stripes, system }, { "lru-exact", bytes, stripes, system },                                \
    { "sieve", bytes, stripes, system }, { "s3-fifo", bytes, stripes, system },                                \
    { "lfu", bytes, stripes, system }, { "w-tinylfu", bytes, stripes, system }
    static struct tt_cache_kind kinds[] = { SIX(1 << 20, 4, false), SIX(1 << 20, 1, true), SIX(1 << 20, 1, false),
                                   SIX(1 << 20, 4, true) };
    struct CMUnitTest tests[2 * TC_ARRAY_LEN(kinds) + 1];
    char names[TC_ARRAY_LEN(tests)][100];
    for (size_t i = 0; i < 2 * TC_ARRAY_LEN(kinds); i++) {
        struct tt_cache_kind *kind = &kinds[i / 2];
        snprintf(names[i], sizeof names[i], "%s, %s, %u stripes, %s clock",
                 i % 2 ? "beside a reader nobody finds what was replaced" : "any mixture is answered as a map would",
                 kind->policy, kind->stripes, kind->system_clock ? "the system's" : "the test's");
        tests[i] = (struct CMUnitTest){ names[i], i % 2 ? beside_a_reader_nobody_finds_what_was_replaced
                                                        : any_mixture_is_answered_as_a_map_would, NULL, NULL, kind };
    }
    tests[2 * TC_ARRAY_LEN(kinds)] = (struct CMUnitTest)cmocka_unit_test(everything_was_met);
#ifdef __SANITIZE_THREAD__
    cmocka_set_test_filter("beside*"); /* the rest is of one thread */
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
