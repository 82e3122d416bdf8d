/* Statistics: each counter moves as its help says, for each event a row of a table says which; and the three ways to
 * read them. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"
#include "platform/platform.h"
#include "tier/cache.h"

static struct tt_cache b;
static struct tt_loader l;
static struct cache_key k;

/* What is pushed to the sink: rows in order. */
enum { ROWS = 2000 };
static struct {
    struct cache_stat rows[ROWS];
    char types[ROWS][16];
    size_t n;
} pushed;

static void take_row(void *ctx, const struct cache_stat *s)
{
    assert_ptr_equal(ctx, &pushed);
    assert_true(pushed.n < ROWS);
    pushed.rows[pushed.n] = *s;
    snprintf(pushed.types[pushed.n++], sizeof pushed.types[0], "%s", s->type != NULL ? s->type : "");
}

static const struct cache_stats_sink_ops sink_ops = { CACHE_HOOKS_ABI, take_row };

static int setup(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    b.opts.name = "counted";
    b.opts.stats_sink = &sink_ops;
    b.opts.stats_sink_ctx = &pushed;
    b.opts.recovery_max_keys = 1;
    b.type_opts.l1_ttl_ms = 1000;
    b.type_opts.ttl_ms = 100000;
    b.type_opts.max_stale_ms = 500;
    b.type_opts.l1_max_value_bytes = 1000;
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    tt_loader_init(&l, "loaded");
    pushed.n = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tt_loader_fini(&l);
    return tt_cache_close(&b) ? 0 : -1;
}

/* ---- what each event counts ---- */

static void set_up_nothing(void)
{
}

static void set_value(void)
{
    assert_int_equal(tt_cache_set(&b, &k, "value"), CACHE_OK);
}

static void set_in_l2_only(void)
{
    set_value();
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
}

static void set_stale(void)
{
    set_value();
    tt_backend_erase_all(b.l2);
    tt_clock_advance(&b.clock, 1000);
}

static void set_stale_and_down(void)
{
    set_stale();
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
}

static void set_absent(void)
{
    assert_int_equal(cache_set_absent(b.c, &k, NULL), CACHE_OK);
}

static void set_absent_in_l2_only(void)
{
    set_absent();
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
}

static void miss_and_invalidate(void)
{
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
}

static void miss(void)
{
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
}

static void break_frame(void)
{
    set_in_l2_only();
    assert_true(tt_backend_corrupt(b.l2, tt_cache_l2_key(&k), -1, 1));
}

static void fail_gets(void)
{
    tt_backend_fail(b.l2, TT_GET, 1, CACHE_E_UNKNOWN, TT_NOT_RUN);
}

static void refuse_sets(void)
{
    tt_backend_fail(b.l2, TT_SET, 1, CACHE_E_REFUSED, TT_NOT_RUN);
    tt_backend_block(b.l2, TT_DEL, false); /* the replay is not what is counted here */
}

static void fail_loads(void)
{
    l.status = -1234;
}

static void go_down(void)
{
    tt_backend_set_health(b.l2, CACHE_BACKEND_DOWN);
}

static void get(void)
{
    tt_cache_get(&b, &k);
}

static void get_l1_only(void)
{
    tt_cache_get_with(&b, &k, CACHE_CALL_L1_ONLY, 0, NULL);
}

static void get_copy(void)
{
    char buf[1];
    cache_get_copy(b.c, &k, buf, sizeof buf, NULL);
}

static void get_many(void)
{
    struct cache_item item = { .key = &k };
    cache_get_many(b.c, &item, 1, NULL);
    cache_value_release(&item.value);
}

static void set(void)
{
    tt_cache_set(&b, &k, "value");
}

static void set_large(void)
{
    assert_int_equal(tt_cache_set_bytes(&b, &k, 1001), CACHE_OK);
}

static void set_none(void)
{
    assert_int_equal(tt_cache_set_with(&b, &k, "x", CACHE_TTL_NONE, NULL), CACHE_OK);
}

static void fetch(void)
{
    tt_cache_fetch(&b, &k, &l);
}

static void invalidate(void)
{
    cache_invalidate(b.c, &k, NULL);
}

static void clear(void)
{
    cache_clear_local(b.c);
}

/* Moves the wheel past the entry's end, and touches its stripe. */
static void let_expire(void)
{
    struct cache_key other;
    tt_clock_advance(&b.clock, 10000);
    for (uint64_t i = 0; i < 2000; i++) { /* some of them in the same stripe */
        cache_key_u64(cache_key_init(&other, b.type), i);
        assert_int_equal(tt_cache_set(&b, &other, "new"), CACHE_OK);
    }
}

static int fetch_again(struct tt_loader *loader, struct cache_load *ld, const struct cache_key *key)
{
    (void)ld;
    tt_cache_fetch(&b, key, loader);
    return CACHE_OK;
}

static void recurse(void)
{
    l.inside = fetch_again;
}

static int invalidate_inside(struct tt_loader *loader, struct cache_load *ld, const struct cache_key *key)
{
    (void)loader;
    (void)ld;
    return cache_invalidate(b.c, key, NULL);
}

static void be_overtaken(void)
{
    l.inside = invalidate_inside;
}

#define MOST_MOVES 8
#define MOVES(...) { __VA_ARGS__ }
#define M(counter, by) { #counter, offsetof(struct cache_stats, counter), by }

/* After before(), now() moves exactly these counters of the type by that much. */
static const struct {
    const char *what;
    void (*before)(void);
    void (*now)(void);
    struct {
        const char *name;
        size_t at;
        uint64_t by;
    } moves[MOST_MOVES];
} events[] = {
    { "hit in L1", set_value, get, MOVES(M(l1_hits, 1)) },
    { "hit in L1, too small a buffer", set_value, get_copy, MOVES(M(l1_hits, 1)) },
    { "hit in L1, batch", set_value, get_many, MOVES(M(l1_hits, 1)) },
    { "hit in L1, fetch", set_value, fetch, MOVES(M(l1_hits, 1)) },
    { "absence in L1", set_absent, get, MOVES(M(l1_hits, 1), M(l1_absent, 1)) },
    { "absence in L1, copy", set_absent, get_copy, MOVES(M(l1_hits, 1), M(l1_absent, 1)) },
    { "hit in L2", set_in_l2_only, get, MOVES(M(l1_misses, 1), M(l2_hits, 1), M(l1_sets, 1)) },
    { "hit in L2, batch", set_in_l2_only, get_many, MOVES(M(l1_misses, 1), M(l2_hits, 1), M(l1_sets, 1)) },
    { "hit in L2, fetch", set_in_l2_only, fetch, MOVES(M(l1_misses, 1), M(l2_hits, 1), M(l1_sets, 1)) },
    { "absence in L2", set_absent_in_l2_only, get,
      MOVES(M(l1_misses, 1), M(l2_hits, 1), M(l1_sets, 1), M(l1_absent, 1)) },
    { "miss", set_up_nothing, get, MOVES(M(l1_misses, 1), M(l2_misses, 1)) },
    { "miss, batch", set_up_nothing, get_many, MOVES(M(l1_misses, 1), M(l2_misses, 1)) },
    { "miss, L1 only", set_in_l2_only, get_l1_only, MOVES(M(l1_misses, 1)) },
    { "L2 fails", fail_gets, get, MOVES(M(l1_misses, 1), M(l2_failed, 1)) },
    { "L2 is down", go_down, get, MOVES(M(l1_misses, 1), M(l2_skipped, 1)) },
    { "broken frame", break_frame, get, MOVES(M(l1_misses, 1), M(l2_misses, 1), M(l2_bad_frames, 1)) },
    { "stale while down", set_stale_and_down, get, MOVES(M(l1_hits, 1), M(l1_stale, 1), M(l2_skipped, 1)) },
    { "stale while down, fetch", set_stale_and_down, fetch, MOVES(M(l1_hits, 1), M(l1_stale, 1), M(l2_skipped, 1)) },
    { "set", set_up_nothing, set, MOVES(M(sets, 1), M(l1_sets, 1), M(l2_sets, 1)) },
    { "set over a value", set_value, set, MOVES(M(sets, 1), M(l1_sets, 1), M(l2_sets, 1), M(l1_invalidated, 1)) },
    { "set as an answer", miss, set, MOVES(M(sets, 1), M(l1_sets, 1), M(l2_sets, 1)) },
    { "set refused by its ticket", miss_and_invalidate, set, MOVES(M(sets, 1), M(tickets_refused, 1)) },
    { "set that L2 refused", refuse_sets, set, MOVES(M(sets, 1), M(l1_sets, 1), M(l2_set_failed, 1)) },
    { "set too large for L1", set_up_nothing, set_large, MOVES(M(sets, 1), M(l2_sets, 1), M(l1_too_large, 1)) },
    { "set that is not to be cached", set_value, set_none, MOVES(M(sets, 1), M(l1_invalidated, 1)) },
    { "load", set_up_nothing, fetch,
      MOVES(M(l1_misses, 1), M(l2_misses, 1), M(loads, 1), M(l1_sets, 1), M(l2_sets, 1)) },
    { "load that failed", fail_loads, fetch,
      MOVES(M(l1_misses, 1), M(l2_misses, 1), M(loads, 1), M(load_errors, 1)) },
    { "recursion", recurse, fetch,
      MOVES(M(l1_misses, 2), M(l2_misses, 1), M(loads, 1), M(recursions, 1), M(l1_sets, 1), M(l2_sets, 1)) },
    { "load overtaken", be_overtaken, fetch,
      MOVES(M(l1_misses, 1), M(l2_misses, 1), M(loads, 1), M(invalidations, 1), M(loads_discarded, 1)) },
    { "invalidation", set_value, invalidate, MOVES(M(invalidations, 1), M(l1_invalidated, 1)) },
    { "invalidation of nothing", set_up_nothing, invalidate, MOVES(M(invalidations, 1)) },
    { "invalidation while down", go_down, invalidate, MOVES(M(invalidations, 1), M(invalidations_queued, 1)) },
    { "clearing", set_value, clear, MOVES(M(l1_cleared, 1)) },
};

static const struct {
    const char *name;
    size_t at;
} counters[] = {
#define COUNTER(name, kind, unit, help) { #name, offsetof(struct cache_stats, name) },
    CACHE_STATS_TYPE_COUNTERS(COUNTER)
#undef COUNTER
};

static uint64_t value_at(const struct cache_stats *s, size_t at)
{
    uint64_t v;
    memcpy(&v, (const char *)s + at, sizeof v);
    return v;
}

static void read_type(struct cache_stats *s)
{
    assert_int_equal(cache_stats_read(b.c, b.type, s, sizeof *s), CACHE_OK);
}

static void every_event_moves_its_counters_and_no_other(void **state)
{
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(events); i++) {
        struct cache_stats before, after;
        setup(NULL);
        events[i].before();
        read_type(&before);
        events[i].now();
        read_type(&after);
        for (size_t c = 0; c < TC_ARRAY_LEN(counters); c++) {
            uint64_t by = 0;
            for (size_t m = 0; m < MOST_MOVES && events[i].moves[m].name != NULL; m++)
                by = events[i].moves[m].at == counters[c].at ? events[i].moves[m].by : by;
            uint64_t moved = value_at(&after, counters[c].at) - value_at(&before, counters[c].at);
            if (moved != by)
                fail_msg("%s: %s moved by %" PRIu64 ", not %" PRIu64, events[i].what, counters[c].name, moved, by);
        }
        tt_backend_release(b.l2, TT_DEL);
        teardown(NULL);
    }
}

static void a_stale_answer_after_a_failed_load_is_one_hit(void **state)
{
    struct cache_stats before, after;
    (void)state;
    set_stale();
    l.status = -1234;
    read_type(&before);
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, "value");
    read_type(&after);
    assert_int_equal(after.l1_hits - before.l1_hits, 1);
    assert_int_equal(after.l1_stale - before.l1_stale, 1);
    assert_int_equal(after.l1_misses - before.l1_misses, 0);
    assert_int_equal(after.load_errors - before.load_errors, 1);
}

static void expired_entries_are_counted_when_they_are_reclaimed(void **state)
{
    (void)state;
    b.type_opts.flags = CACHE_TYPE_NO_L2; /* so that writing leaves what is there to the wheel */
    assert_int_equal(cache_type_update(b.type, &b.type_opts, NULL, 0), CACHE_OK);
    set_value();
    let_expire();
    assert_int_equal(tt_cache_stats(&b).l1_expired, 1);
}

/* ---- gauges, the whole and its types ---- */

static void the_whole_is_the_sum_of_its_types(void **state)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    struct cache_type *second;
    struct cache_key in_second;
    struct cache_stats whole, one, two;
    (void)state;
    o.name = "second";
    o.l1_quota_bytes = 12345;
    o.l1_quota_entries = 67;
    assert_int_equal(cache_type_register(b.c, &o, &second), CACHE_OK);
    cache_key_str(cache_key_init(&in_second, second), "x");
    for (int i = 0; i < 3; i++) {
        get();
        tt_cache_set(&b, &in_second, "y");
        tt_cache_get(&b, &in_second);
    }
    set();
    whole = tt_cache_stats(&b);
    read_type(&one);
    assert_int_equal(cache_stats_read(b.c, second, &two, sizeof two), CACHE_OK);
    for (size_t c = 0; c < TC_ARRAY_LEN(counters); c++)
        assert_int_equal(value_at(&whole, counters[c].at),
                         value_at(&one, counters[c].at) + value_at(&two, counters[c].at));
    assert_int_equal(one.l1_misses, 3);
    assert_int_equal(two.l1_hits, 3);
    assert_int_equal(one.l1_entries, 1);
    assert_int_equal(two.l1_entries, 1);
    assert_int_equal(whole.l1_entries, 2);
    assert_true(one.l1_bytes > 0 && whole.l1_bytes > one.l1_bytes + two.l1_bytes);
    assert_int_equal(whole.l1_limit_bytes, 64 << 20);
    assert_int_equal(two.l1_limit_bytes, 12345);
    assert_int_equal(two.l1_limit_entries, 67);
    assert_int_equal(one.l1_limit_bytes, 0);
    /* The transport and the recovery queue belong to the whole. */
    assert_int_equal(one.l2_state, 0);
    assert_int_equal(one.l2_commands, 0);
    assert_int_equal(whole.l2_state, CACHE_BACKEND_UP);
    assert_int_equal(whole.l2_commands, tt_backend_calls(b.l2, TT_ANY_SLOT));
    assert_int_equal(whole.l2_connects, 1);
}

static void pins_and_queued_invalidations_are_gauges(void **state)
{
    struct cache_value v;
    struct cache_key other;
    (void)state;
    tt_cache_key(&b, &other);
    set();
    assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_OK);
    assert_int_equal(tt_cache_stats(&b).l1_pins, 1);
    assert_int_equal(tt_cache_stats(&b).l1_detached_bytes, 0);
    go_down();
    invalidate();
    assert_int_equal(cache_invalidate(b.c, &other, NULL), CACHE_E_UNKNOWN);
    struct cache_stats s = tt_cache_stats(&b);
    assert_true(s.l1_detached_bytes > 0);
    assert_int_equal(s.recovery_pending, 1);
    assert_int_equal(s.recovery_overflows, 1);
    assert_int_equal(s.l2_state, CACHE_BACKEND_DOWN);
    cache_value_release(&v);
    tt_backend_set_health(b.l2, CACHE_BACKEND_UP);
    assert_true(tt_cache_await_replayed(&b));
    s = tt_cache_stats(&b);
    assert_int_equal(s.l1_pins, 0);
    assert_int_equal(s.l1_detached_bytes, 0);
    assert_int_equal(s.recovery_replayed, 1);
    assert_int_equal(s.l2_reconnects, 1);
}

/* FAULTS 69: a value that is pinned in one thread and released in another counts in two places, and who adds them up
 * in between sees one of the two. Here it lasts as long as the test wants. */
static void pins_are_never_fewer_than_none(void **state)
{
    (void)state;
    _Atomic int64_t *place = &b.c->l1.readers.crowd_pins;
    int64_t before = atomic_fetch_sub(place, 1);
    uint64_t pins = tt_cache_stats(&b).l1_pins;
    atomic_fetch_add(place, 1);
    assert_int_equal(before, 0);
    assert_int_equal(pins, 0);
}

static void latencies_count_what_was_timed(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, "loaded");
        invalidate();
    }
    get();
    set();
    for (int i = 0; i < 2048; i++)
        get();
    struct cache_stats s = tt_cache_stats(&b);
    assert_int_equal(s.load_count, 3);
    assert_int_equal(s.l2_get_count, 4);
    assert_int_equal(s.l1_hit_count, 2); /* one in 1,024 */
    assert_true(s.load_p50_ns <= s.load_p90_ns && s.load_p90_ns <= s.load_p99_ns && s.load_p99_ns <= s.load_p999_ns);
    assert_true(s.load_p999_ns <= s.load_max_ns && s.load_max_ns <= s.load_sum_ns && s.load_max_ns > 0);
}

/* ---- reading them ---- */

static void the_size_says_how_much_is_filled(void **state)
{
    unsigned char bytes[sizeof(struct cache_stats) + 32];
    struct cache_stats whole;
    (void)state;
    set();
    get();
    assert_int_equal(cache_stats_read(b.c, NULL, &whole, sizeof whole), CACHE_OK);
    static const size_t sizes[] = { 1, 8, 16, sizeof(struct cache_stats) - 8, sizeof(struct cache_stats),
                                    sizeof(struct cache_stats) + 32 };
    for (size_t i = 0; i < TC_ARRAY_LEN(sizes); i++) {
        memset(bytes, 0xEE, sizeof bytes);
        assert_int_equal(cache_stats_read(b.c, NULL, (struct cache_stats *)(void *)bytes, sizes[i]), CACHE_OK);
        size_t known = sizes[i] < sizeof whole ? sizes[i] : sizeof whole;
        assert_memory_equal(bytes, &whole, known);
        for (size_t at = known; at < sizeof bytes; at++)
            assert_int_equal(bytes[at], at < sizes[i] ? 0 : 0xEE);
    }
}

/* FAULTS 53 */
static void nonsense_is_refused(void **state)
{
    static struct tt_cache other;
    struct cache_stats s;
    _Alignas(struct cache_type) char never_a_type[4096];
    (void)state;
    memset(never_a_type, 0, sizeof never_a_type);
    tt_cache_prepare(&other, false);
    tt_cache_open(&other);
    assert_int_equal(cache_stats_read(b.c, NULL, NULL, sizeof s), CACHE_E_INVALID);
    assert_int_equal(cache_stats_read(b.c, NULL, &s, 0), CACHE_E_INVALID);
    assert_int_equal(cache_stats_read(b.c, other.type, &s, sizeof s), CACHE_E_INVALID);
    assert_int_equal(cache_stats_read(b.c, (struct cache_type *)(void *)never_a_type, &s, sizeof s), CACHE_E_INVALID);
    assert_int_equal(cache_stats_text(NULL, never_a_type, 10, NULL), CACHE_E_INVALID);
    assert_int_equal(cache_stats_text(&s, NULL, 10, NULL), CACHE_E_INVALID);
    assert_int_equal(cache_stats_push(other.c), CACHE_E_NOT_FOUND);
    assert_true(tt_cache_close(&other));
}

static void the_text_has_a_line_for_every_field(void **state)
{
    struct cache_stats s;
    size_t len = 0, at = 0;
    (void)state;
    for (size_t i = 0; i < sizeof s / sizeof(uint64_t); i++)
        memcpy((char *)&s + i * sizeof(uint64_t), &(uint64_t){ i * 1000003 }, sizeof(uint64_t));
    s.l1_hits = UINT64_MAX;
    assert_int_equal(cache_stats_text(&s, NULL, 0, &len), CACHE_E_BUFFER);
    char *text = tt_xmalloc(len + 1);
    memset(text, '*', len + 1);
    assert_int_equal(cache_stats_text(&s, text, len, &len), CACHE_E_BUFFER);
    assert_int_equal(cache_stats_text(&s, text, len + 1, NULL), CACHE_OK);
    assert_int_equal(strlen(text), len);
#define LINE(name, kind, unit, help)                                                                 \
    {                                                                                                \
        char want[160];                                                                              \
        int n = snprintf(want, sizeof want, "%s %" PRIu64 " %s\n", #name, s.name, unit);              \
        assert_memory_equal(text + at, want, (size_t)n);                                             \
        at += (size_t)n;                                                                             \
    }
    CACHE_STATS_TABLE(LINE)
#undef LINE
    assert_int_equal(at, len);
    free(text);
}

static void the_sink_gets_every_field_of_the_whole_and_of_each_type(void **state)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    struct cache_type *second;
    struct cache_stats s;
    (void)state;
    enum { FIELDS = sizeof s / sizeof(uint64_t) };
    o.name = "second";
    assert_int_equal(cache_type_register(b.c, &o, &second), CACHE_OK);
    set();
    get();
    assert_int_equal(cache_stats_push(b.c), CACHE_OK);
    assert_int_equal(pushed.n, 3 * FIELDS);
    static const char *const types[] = { "", "t", "second" };
    for (size_t part = 0; part < 3; part++) {
        struct cache_type *t = part == 0 ? NULL : part == 1 ? b.type : second;
        assert_int_equal(cache_stats_read(b.c, t, &s, sizeof s), CACHE_OK);
        for (size_t i = 0; i < FIELDS; i++) {
            const struct cache_stat *row = &pushed.rows[part * FIELDS + i];
            assert_string_equal(pushed.types[part * FIELDS + i], types[part]);
            assert_int_equal(row->value, value_at(&s, i * sizeof(uint64_t)));
            assert_true(row->name[0] != '\0' && row->unit[0] != '\0' && row->help[0] != '\0');
            assert_true(row->kind == CACHE_STAT_COUNTER || row->kind == CACHE_STAT_GAUGE);
        }
    }
    assert_string_equal(pushed.rows[0].name, "l1_hits");
    assert_string_equal(pushed.rows[0].unit, "lookups");
    assert_int_equal(pushed.rows[0].kind, CACHE_STAT_COUNTER);
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_moves_its_counters_and_no_other),
        FRESH(a_stale_answer_after_a_failed_load_is_one_hit),
        FRESH(expired_entries_are_counted_when_they_are_reclaimed),
        FRESH(the_whole_is_the_sum_of_its_types),
        FRESH(pins_and_queued_invalidations_are_gauges),
        FRESH(pins_are_never_fewer_than_none),
        FRESH(latencies_count_what_was_timed),
        FRESH(the_size_says_how_much_is_filled),
        FRESH(nonsense_is_refused),
        FRESH(the_text_has_a_line_for_every_field),
        FRESH(the_sink_gets_every_field_of_the_whole_and_of_each_type),
    };
    return cmocka_run_group_tests_name("statistics", tests, NULL, NULL);
}
