/* Counters, histograms, and the table of names, units and sentences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/stats.h"
#include "tiercache/hooks.h"
#include "tt_util.h"

enum { CREW = 4, ROUNDS = 50000 };

static struct tc_stats *new_stats(void)
{
    return tc_alloc_lines(&tc_alloc_default, sizeof(struct tc_stats));
}

static void free_stats(struct tc_stats *s)
{
    tc_free_lines(&tc_alloc_default, s, sizeof *s);
}

/* ---- buckets ---- */

static void every_value_lies_in_a_bucket_that_reaches_to_it(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    for (int i = 0; i < 200000; i++) {
        uint64_t v = tt_random(&seed) >> tt_random(&seed) % 64 & ((UINT64_C(1) << 40) - 1);
        size_t b = tc_histogram_bucket(v);
        assert_true(b < TC_HISTOGRAM_BUCKETS);
        assert_true(v <= tc_histogram_upper_ns(b));
        assert_true(b == 0 || v > tc_histogram_upper_ns(b - 1));
    }
}

static void buckets_join_without_gap_and_are_at_most_an_eighth_wide(void **state)
{
    (void)state;
    for (size_t b = 0; b < TC_HISTOGRAM_BUCKETS; b++) {
        uint64_t lower = b > 0 ? tc_histogram_upper_ns(b - 1) + 1 : 0, upper = tc_histogram_upper_ns(b);
        assert_int_equal(tc_histogram_bucket(lower), b);
        assert_int_equal(tc_histogram_bucket(upper), b);
        assert_true((upper - lower) * 8 <= lower);
    }
    assert_int_equal(tc_histogram_upper_ns(TC_HISTOGRAM_BUCKETS - 1), (UINT64_C(1) << 40) - 1);
}

/* FAULTS 69 */
static void what_is_longer_than_the_longest_bucket_is_counted_there(void **state)
{
    (void)state;
    assert_int_equal(tc_histogram_bucket(UINT64_C(1) << 40), TC_HISTOGRAM_BUCKETS - 1);
    assert_int_equal(tc_histogram_bucket(INT64_MAX), TC_HISTOGRAM_BUCKETS - 1);
    assert_int_equal(tc_histogram_bucket(UINT64_MAX), TC_HISTOGRAM_BUCKETS - 1);
}

/* ---- quantiles ---- */

struct sample {
    uint64_t *values;
    size_t n;
};

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The smallest value that at least permille of them do not exceed. */
static uint64_t true_quantile(const struct sample *s, size_t permille)
{
    size_t rank = (s->n * permille + 999) / 1000;
    return s->values[rank > 0 ? rank - 1 : 0];
}

static void assert_near(uint64_t told, uint64_t truth)
{
    assert_true(told >= truth);
    assert_true((told - truth) * 8 <= truth);
}

/* Spreads the sample over several sets, as types are, and compares their common quantiles with the sorted values. */
static void assert_quantiles(struct sample s)
{
    enum { SETS = 3 };
    struct tc_stats *sets[SETS];
    for (size_t i = 0; i < SETS; i++)
        sets[i] = new_stats();
    uint64_t sum = 0;
    for (size_t i = 0; i < s.n; i++) {
        tc_histogram_record(&sets[i % SETS]->latencies[TC_LATENCY_l2_get], (int64_t)s.values[i]);
        sum += s.values[i];
    }
    struct cache_stats out;
    memset(&out, 0, sizeof out);
    tc_stats_latencies((const struct tc_stats *const *)sets, SETS, &out);
    qsort(s.values, s.n, sizeof *s.values, by_value);
    assert_int_equal(out.l2_get_count, s.n);
    assert_int_equal(out.l2_get_sum_ns, sum);
    assert_int_equal(out.l2_get_max_ns, s.values[s.n - 1]);
    assert_near(out.l2_get_p50_ns, true_quantile(&s, 500));
    assert_near(out.l2_get_p90_ns, true_quantile(&s, 900));
    assert_near(out.l2_get_p99_ns, true_quantile(&s, 990));
    assert_near(out.l2_get_p999_ns, true_quantile(&s, 999));
    assert_true(out.l2_get_p999_ns <= out.l2_get_max_ns);
    assert_int_equal(out.l1_hit_count, 0);
    assert_int_equal(out.load_count, 0);
    for (size_t i = 0; i < SETS; i++)
        free_stats(sets[i]);
}

static void quantiles_agree_with_the_sorted_values(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    for (int round = 0; round < 300; round++) {
        struct sample s = { NULL, 1 + tt_random(&seed) % 3000 };
        unsigned spread = (unsigned)(tt_random(&seed) % 39);
        s.values = tt_xmalloc(s.n * sizeof *s.values);
        for (size_t i = 0; i < s.n; i++)
            s.values[i] = (tt_random(&seed) & ((UINT64_C(1) << 39) - 1)) >> tt_random(&seed) % (spread + 1);
        assert_quantiles(s);
        free(s.values);
    }
}

static void one_value_is_every_quantile_of_itself(void **state)
{
    (void)state;
    const uint64_t values[] = { 0, 1, 7, 8, 9, 1000, (UINT64_C(1) << 40) - 1, UINT64_C(1) << 40, INT64_MAX };
    for (size_t i = 0; i < TC_ARRAY_LEN(values); i++) {
        struct tc_stats *s = new_stats();
        const struct tc_stats *sets[] = { s };
        struct cache_stats out;
        memset(&out, 0, sizeof out);
        tc_histogram_record(&s->latencies[TC_LATENCY_load], (int64_t)values[i]);
        tc_stats_latencies(sets, 1, &out);
        assert_int_equal(out.load_count, 1);
        assert_int_equal(out.load_p50_ns, values[i]);
        assert_int_equal(out.load_p999_ns, values[i]);
        assert_int_equal(out.load_max_ns, values[i]);
        free_stats(s);
    }
}

static void a_clock_that_went_back_counts_as_no_time(void **state)
{
    (void)state;
    struct tc_histogram h;
    memset(&h, 0, sizeof h);
    tc_histogram_record(&h, -5);
    tc_histogram_record(&h, INT64_MIN);
    assert_int_equal(h.buckets[0], 2);
    assert_int_equal(h.sum_ns, 0);
    assert_int_equal(h.max_ns, 0);
}

static void without_samples_everything_is_zero(void **state)
{
    (void)state;
    struct cache_stats out;
    memset(&out, 0xFF, sizeof out);
    tc_stats_latencies(NULL, 0, &out);
    assert_int_equal(out.l1_hit_count + out.l1_hit_p50_ns + out.l1_hit_p999_ns + out.l1_hit_max_ns, 0);
    assert_int_equal(out.load_sum_ns + out.l2_get_p99_ns, 0);
}

/* ---- counters ---- */

struct counting {
    struct tc_stats *stats;
};

static int count_much(void *arg, unsigned index)
{
    struct counting *c = arg;
    for (int i = 0; i < ROUNDS; i++) {
        tc_stats_add(c->stats, TC_COUNT_l1_hits, 1);
        tc_stats_add(c->stats, TC_COUNT_invalidations_queued, index);
        tc_histogram_record(&c->stats->latencies[TC_LATENCY_l1_hit], i);
    }
    return 0;
}

static void nothing_that_threads_count_is_lost(void **state)
{
    (void)state;
    struct counting c = { new_stats() };
    assert_int_equal(tt_crew_join(tt_crew_start(CREW, count_much, &c)), 0);
    struct cache_stats out;
    memset(&out, 0, sizeof out);
    out.l1_hits = 1000; /* added to what is there */
    tc_stats_sum(c.stats, &out);
    assert_int_equal(out.l1_hits, 1000 + CREW * ROUNDS);
    assert_int_equal(out.invalidations_queued, ROUNDS * (CREW - 1) * CREW / 2);
    const struct tc_stats *sets[] = { c.stats };
    tc_stats_latencies(sets, 1, &out);
    assert_int_equal(out.l1_hit_count, CREW * ROUNDS);
    assert_int_equal(out.l1_hit_max_ns, ROUNDS - 1);
    free_stats(c.stats);
}

static void every_counter_is_summed_into_the_field_of_its_name(void **state)
{
    (void)state;
    struct tc_stats *s = new_stats();
    for (unsigned i = 0; i < TC_COUNTERS; i++)
        tc_stats_add(s, (enum tc_counter)i, 1000 + i);
    struct cache_stats out;
    memset(&out, 0, sizeof out);
    tc_stats_sum(s, &out);
#define ASSERT_FIELD(name, kind, unit, help) assert_int_equal(out.name, 1000 + TC_COUNT_##name);
    CACHE_STATS_TYPE_COUNTERS(ASSERT_FIELD)
#undef ASSERT_FIELD
    assert_int_equal(out.l1_entries, 0);
    free_stats(s);
}

static void a_shard_shares_no_cache_line_with_another(void **state)
{
    (void)state;
    assert_int_equal(sizeof(struct tc_stats_shard) % TC_CACHELINE, 0);
    assert_int_equal(_Alignof(struct tc_stats), TC_CACHELINE);
}

/* ---- the table ---- */

enum { ROWS_MAX = 256 };

struct rows {
    size_t n;
    const char *names[ROWS_MAX];
    uint64_t values[ROWS_MAX];
};

static void note_row(void *ctx, const char *name, int kind, const char *unit, const char *help, uint64_t value)
{
    struct rows *r = ctx;
    assert_true(r->n < ROWS_MAX);
    assert_true(kind == CACHE_STAT_COUNTER || kind == CACHE_STAT_GAUGE);
    assert_true(strlen(name) > 0 && strlen(unit) > 0);
    assert_true(strlen(help) > 10);
    assert_true(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name));
    assert_null(strpbrk(unit, " \t\n")); /* one word: the text form is "name value unit" */
    assert_null(strpbrk(help, "\n"));
    for (size_t i = 0; i < r->n; i++)
        assert_string_not_equal(r->names[i], name);
    r->names[r->n] = name;
    r->values[r->n++] = value;
}

static void every_field_has_a_name_of_its_own_a_unit_and_a_sentence(void **state)
{
    (void)state;
    struct cache_stats s;
    struct rows rows = { 0 };
    memset(&s, 0, sizeof s);
    tc_stats_each(&s, note_row, &rows);
    assert_int_equal(rows.n, sizeof s / sizeof(uint64_t));
}

static void rows_come_in_the_order_of_the_struct_with_its_values(void **state)
{
    (void)state;
    uint64_t words[sizeof(struct cache_stats) / sizeof(uint64_t)];
    struct cache_stats s;
    struct rows rows = { 0 };
    for (size_t i = 0; i < TC_ARRAY_LEN(words); i++)
        words[i] = UINT64_MAX - i;
    memcpy(&s, words, sizeof s);
    tc_stats_each(&s, note_row, &rows);
    for (size_t i = 0; i < rows.n; i++)
        assert_int_equal(rows.values[i], words[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_lies_in_a_bucket_that_reaches_to_it),
        cmocka_unit_test(buckets_join_without_gap_and_are_at_most_an_eighth_wide),
        cmocka_unit_test(what_is_longer_than_the_longest_bucket_is_counted_there),
        cmocka_unit_test(quantiles_agree_with_the_sorted_values),
        cmocka_unit_test(one_value_is_every_quantile_of_itself),
        cmocka_unit_test(a_clock_that_went_back_counts_as_no_time),
        cmocka_unit_test(without_samples_everything_is_zero),
        cmocka_unit_test(nothing_that_threads_count_is_lost),
        cmocka_unit_test(every_counter_is_summed_into_the_field_of_its_name),
        cmocka_unit_test(a_shard_shares_no_cache_line_with_another),
        cmocka_unit_test(every_field_has_a_name_of_its_own_a_unit_and_a_sentence),
        cmocka_unit_test(rows_come_in_the_order_of_the_struct_with_its_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
