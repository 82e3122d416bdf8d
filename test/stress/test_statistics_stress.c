/* Statistics read by some threads while others work, and while the cache is being closed: no counter ever goes back, no
 * sum is off by more than what is under way, and who comes too late is told so. Run it under ThreadSanitizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"
#include "platform/platform.h"

enum { WORKERS = 3, READERS = 3, KEYS = 512, OPS = 20000, VALUE_MAX = 400, L1_BYTES = 96 << 10, ROUNDS = 20 };
enum { FIELDS = sizeof(struct cache_stats) / sizeof(uint64_t), TYPES = 2, PARTS = 1 + TYPES, TEXT_BYTES = 16384 };

/* Calls that began, and calls that returned: what a counter says in between lies between them. */
struct tally {
    _Atomic uint64_t begun, done;
};

struct stress {
    struct tt_cache b;
    struct cache_type *types[TYPES]; /* one for gets, sets and invalidations; one for fetches */
    uint64_t seed;
    struct tally gets, sets, invalidations, fetches;
    _Atomic unsigned working; /* workers that have not finished */
    _Atomic bool over;        /* tells everybody to go */
    _Atomic unsigned told;    /* reads that were answered CACHE_E_CLOSED */
};

static const struct {
    const char *name;
    int kind;
} fields[] = {
#define KIND_COUNTER CACHE_STAT_COUNTER
#define KIND_GAUGE CACHE_STAT_GAUGE
#define FIELD(name, kind, unit, help) { #name, KIND_##kind },
    CACHE_STATS_TABLE(FIELD)
#undef FIELD
#undef KIND_COUNTER
#undef KIND_GAUGE
};

/* ---- those who work ---- */

static int load(struct cache_load *ld, const struct cache_key *k, void *arg)
{
    (void)k;
    return cache_load_reply(ld, arg, VALUE_MAX / 2);
}

/* One call, which CACHE_E_CLOSED does not count. */
static int work_once(struct stress *s, uint64_t *random, struct cache_value *pinned)
{
    static char value[VALUE_MAX];
    struct cache_fetch_opts fetch = CACHE_FETCH_OPTS_INIT;
    uint64_t die = tt_random(random) % 100;
    bool fetches = die < 20;
    struct cache_key k;
    cache_key_u64(cache_key_init(&k, s->types[fetches]), tt_random(random) % KEYS);
    struct tally *t = fetches ? &s->fetches : die < 70 ? &s->gets : die < 90 ? &s->sets : &s->invalidations;
    int status;
    atomic_fetch_add(&t->begun, 1);
    if (t == &s->fetches) {
        cache_value_release(pinned);
        fetch.load = load;
        fetch.user = value;
        status = cache_fetch(s->b.c, &k, &fetch, pinned);
    } else if (t == &s->gets) {
        cache_value_release(pinned);
        status = cache_get(s->b.c, &k, NULL, pinned);
    } else if (t == &s->sets) {
        status = cache_set(s->b.c, &k, value, tt_random(random) % VALUE_MAX, NULL);
    } else {
        status = cache_invalidate(s->b.c, &k, NULL);
    }
    if (status == CACHE_E_CLOSED)
        atomic_fetch_sub(&t->begun, 1);
    else
        atomic_fetch_add(&t->done, 1);
    return status;
}

static int work(struct stress *s, unsigned index, unsigned ops)
{
    struct cache_value pinned = { 0 };
    uint64_t random = s->seed + index;
    int failures = 0;
    for (unsigned i = 0; i < ops && failures == 0 && !atomic_load(&s->over); i++) {
        int status = work_once(s, &random, &pinned);
        if (status == CACHE_E_CLOSED)
            break;
        TT_CHECK(failures, status == CACHE_OK || status == CACHE_MISS || status == CACHE_E_TICKET);
    }
    cache_value_release(&pinned);
    atomic_fetch_sub(&s->working, 1);
    return failures;
}

/* ---- those who read ---- */

struct reader {
    struct stress *s;
    int failures;
    struct cache_stats last[PARTS]; /* of the whole cache, then of each type */
    struct cache_stats pushed[PARTS];
    size_t rows;
};

static _Thread_local struct reader *pushing; /* whose cache_stats_push() calls take_row() */

static uint64_t value_of(const struct cache_stats *s, size_t field)
{
    uint64_t v;
    memcpy(&v, (const char *)s + field * sizeof v, sizeof v);
    return v;
}

static void check_counters(struct reader *r, const struct cache_stats *before, const struct cache_stats *now)
{
    for (size_t f = 0; f < FIELDS; f++) {
        if (fields[f].kind == CACHE_STAT_GAUGE || value_of(now, f) >= value_of(before, f))
            continue;
        fprintf(stderr, "%s went back from %llu to %llu\n", fields[f].name,
                (unsigned long long)value_of(before, f), (unsigned long long)value_of(now, f));
        r->failures++;
    }
}

#define CHECK_ORDER(r, s, name)                                                                             \
    TT_CHECK((r)->failures, (s)->name##_p50_ns <= (s)->name##_p90_ns && (s)->name##_p90_ns <= (s)->name##_p99_ns && \
                                (s)->name##_p99_ns <= (s)->name##_p999_ns)

static void check_gauges(struct reader *r, const struct cache_stats *s)
{
    TT_CHECK(r->failures, s->l1_limit_bytes == 0 || s->l1_bytes <= s->l1_limit_bytes);
    TT_CHECK(r->failures, s->l1_bytes <= L1_BYTES);
    TT_CHECK(r->failures, s->l1_entries <= TYPES * KEYS + WORKERS);
    TT_CHECK(r->failures, s->l1_pins <= 2 * WORKERS + 1);
    TT_CHECK(r->failures, s->l1_detached_bytes <= (2 * WORKERS + 1) * (VALUE_MAX + 4096));
    TT_CHECK(r->failures, s->l2_state <= CACHE_BACKEND_UP + 1);
    CHECK_ORDER(r, s, l1_hit);
    CHECK_ORDER(r, s, l2_get);
    CHECK_ORDER(r, s, load);
}

static void check_text(struct reader *r, const struct cache_stats *s)
{
    char text[TEXT_BYTES], line[64];
    size_t len = 0;
    TT_CHECK(r->failures, cache_stats_text(s, text, sizeof text, &len) == CACHE_OK && strlen(text) == len);
    int n = snprintf(line, sizeof line, "l1_hits %llu lookups\n", (unsigned long long)s->l1_hits);
    TT_CHECK(r->failures, strncmp(text, line, (size_t)n) == 0);
}

/* What was counted until now, and what will have been: a read in between sums to neither less nor more. */
struct bounds {
    uint64_t gets, sets, invalidations, fetches;
};

static struct bounds done_until_now(struct stress *s)
{
    return (struct bounds){ atomic_load(&s->gets.done), atomic_load(&s->sets.done), atomic_load(&s->invalidations.done),
                            atomic_load(&s->fetches.done) };
}

static struct bounds begun_until_now(struct stress *s)
{
    return (struct bounds){ atomic_load(&s->gets.begun), atomic_load(&s->sets.begun),
                            atomic_load(&s->invalidations.begun), atomic_load(&s->fetches.begun) };
}

static void check_sums(struct reader *r, const struct cache_stats *s, struct bounds least, struct bounds most)
{
    uint64_t gets = s->l1_hits + s->l1_misses;
    TT_CHECK(r->failures, gets >= least.gets && gets <= most.gets);
    TT_CHECK(r->failures, s->sets >= least.sets && s->sets <= most.sets);
    TT_CHECK(r->failures, s->invalidations >= least.invalidations && s->invalidations <= most.invalidations);
}

/* False: the cache is being closed. */
static bool read_part(struct reader *r, size_t part)
{
    struct cache_stats now;
    struct bounds least = done_until_now(r->s);
    int status = cache_stats_read(r->s->b.c, part == 0 ? NULL : r->s->types[part - 1], &now, sizeof now);
    struct bounds most = begun_until_now(r->s);
    TT_CHECK(r->failures, status == CACHE_OK || status == CACHE_E_CLOSED);
    if (status != CACHE_OK)
        return false;
    check_counters(r, &r->last[part], &now);
    check_gauges(r, &now);
    check_text(r, &now);
    if (part == 1) /* the type that is not fetched from: a fetch may look up more than once */
        check_sums(r, &now, least, most);
    r->last[part] = now;
    return true;
}

static void take_row(void *ctx, const struct cache_stat *row)
{
    struct reader *r = pushing;
    size_t part = r->rows / FIELDS, field = r->rows % FIELDS;
    (void)ctx;
    r->rows++;
    if (part >= PARTS) {
        r->failures++;
        return;
    }
    TT_CHECK(r->failures, strcmp(row->name, fields[field].name) == 0 && (row->type == NULL) == (part == 0));
    TT_CHECK(r->failures, row->kind == CACHE_STAT_GAUGE || row->value >= value_of(&r->pushed[part], field));
    memcpy((char *)&r->pushed[part] + field * sizeof row->value, &row->value, sizeof row->value);
}

static const struct cache_stats_sink_ops sink_ops = { CACHE_HOOKS_ABI, take_row };

/* False: the cache is being closed. */
static bool push(struct reader *r)
{
    r->rows = 0;
    pushing = r;
    int status = cache_stats_push(r->s->b.c);
    TT_CHECK(r->failures, status == CACHE_OK || status == CACHE_E_CLOSED);
    TT_CHECK(r->failures, r->rows == (status == CACHE_OK ? (size_t)PARTS * FIELDS : 0));
    return status == CACHE_OK;
}

static int read_on(struct stress *s)
{
    struct reader *r = tt_xcalloc(sizeof *r);
    bool closed = false;
    r->s = s;
    for (size_t i = 0; r->failures == 0 && !atomic_load(&s->over); i++) {
        bool open = i % (PARTS + 1) == PARTS ? push(r) : read_part(r, i % (PARTS + 1));
        TT_CHECK(r->failures, !(open && closed)); /* once refused, always refused */
        closed = !open;
        atomic_fetch_add(&s->told, closed);
    }
    int failures = r->failures;
    free(r);
    return failures;
}

/* ---- the tests ---- */

static void open_stress(struct stress *s)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    memset(s, 0, sizeof *s);
    tt_cache_prepare(&s->b, true);
    s->b.opts.l1_bytes = L1_BYTES;
    s->b.opts.l1_stripes = 4;
    s->b.opts.stats_sink = &sink_ops;
    tt_cache_open(&s->b);
    o.name = "fetched";
    s->types[0] = s->b.type;
    assert_int_equal(cache_type_register(s->b.c, &o, &s->types[1]), CACHE_OK);
    atomic_store(&s->working, WORKERS);
}

static int work_or_read(void *arg, unsigned index)
{
    struct stress *s = arg;
    if (index >= WORKERS)
        return read_on(s);
    int failures = work(s, index, OPS);
    if (atomic_load(&s->working) == 0)
        atomic_store(&s->over, true);
    return failures;
}

/* FAULTS 69 */
static void counters_never_go_back_and_sums_are_true_while_others_work(void **state)
{
    static struct stress s;
    struct cache_stats whole, part[TYPES];
    (void)state;
    open_stress(&s);
    s.seed = tt_seed();
    assert_int_equal(tt_crew_join(tt_crew_start(WORKERS + READERS, work_or_read, &s)), 0);

    /* At rest they are exact. */
    whole = tt_cache_stats(&s.b);
    uint64_t sum[FIELDS] = { 0 };
    for (size_t t = 0; t < TYPES; t++) {
        assert_int_equal(cache_stats_read(s.b.c, s.types[t], &part[t], sizeof part[t]), CACHE_OK);
        for (size_t f = 0; f < FIELDS; f++)
            sum[f] += value_of(&part[t], f);
    }
#define ADDS_UP(name, kind, unit, help) assert_int_equal(whole.name, part[0].name + part[1].name);
    CACHE_STATS_TYPE_COUNTERS(ADDS_UP)
#undef ADDS_UP
    struct bounds total = done_until_now(&s);
    assert_int_equal(total.gets + total.sets + total.invalidations + total.fetches, WORKERS * OPS);
    assert_int_equal(part[0].l1_hits + part[0].l1_misses, total.gets);
    assert_int_equal(part[0].l1_misses, part[0].l2_hits + part[0].l2_misses + part[0].l2_skipped);
    assert_int_equal(part[0].sets, total.sets);
    assert_int_equal(part[0].invalidations, total.invalidations);
    assert_int_equal(whole.l1_entries, part[0].l1_entries + part[1].l1_entries);
    assert_true(whole.l1_evicted_bytes > 0 && whole.l1_hits > 0 && whole.l2_hits > 0 && whole.loads > 0);
    assert_int_equal(whole.l1_pins, 0);
    assert_int_equal(whole.l1_detached_bytes, 0);
    assert_true(tt_cache_close(&s.b));
}

static int work_or_read_until_closed(void *arg, unsigned index)
{
    struct stress *s = arg;
    return index < WORKERS ? work(s, index, UINT32_MAX) : read_on(s);
}

/* FAULTS 69: a pinned value keeps the cache from going away under the readers. */
static void who_reads_while_the_cache_is_closed_is_told_so(void **state)
{
    static struct stress s;
    uint64_t seed = tt_seed();
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct cache_key k;
        struct cache_value pinned;
        struct cache_stats st;
        char text[TEXT_BYTES];
        open_stress(&s);
        s.seed = tt_random(&seed);
        cache_key_u64(cache_key_init(&k, s.types[1]), KEYS);
        assert_int_equal(cache_set(s.b.c, &k, "held", 4, NULL), CACHE_OK);
        assert_int_equal(cache_get(s.b.c, &k, NULL, &pinned), CACHE_OK);
        st = tt_cache_stats(&s.b);
        struct tt_crew *crew = tt_crew_start(WORKERS + READERS, work_or_read_until_closed, &s);
        uint64_t some = tt_random(&seed) % 500;
        tt_assert_soon(atomic_load(&s.gets.done) >= some);
        assert_int_equal(cache_close(s.b.c, round % 3), CACHE_BUSY);
        tt_assert_soon(atomic_load(&s.told) >= 4 * READERS * (PARTS + 1));
        assert_int_equal(cache_stats_read(s.b.c, NULL, &st, sizeof st), CACHE_E_CLOSED);
        assert_int_equal(cache_stats_read(s.b.c, s.types[0], &st, sizeof st), CACHE_E_CLOSED);
        assert_int_equal(cache_stats_push(s.b.c), CACHE_E_CLOSED);
        atomic_store(&s.over, true);
        assert_int_equal(tt_crew_join(crew), 0);
        assert_memory_equal(pinned.data, "held", 4);
        cache_value_release(&pinned);
        assert_int_equal(cache_close(s.b.c, TT_SOON_MS), CACHE_OK);
        assert_int_equal(cache_stats_text(&st, text, sizeof text, NULL), CACHE_OK); /* which needs no cache */
        assert_true(tt_cache_fini(&s.b));
    }
}

/* ---- a sink that takes its time ---- */

static struct {
    struct tt_loader barrier; /* without a reply: only a place to stop at */
    _Atomic unsigned rows;
} slow;

static void take_row_slowly(void *ctx, const struct cache_stat *row)
{
    (void)ctx;
    (void)row;
    if (atomic_fetch_add(&slow.rows, 1) == FIELDS / 2)
        tt_loader_run(NULL, NULL, &slow.barrier);
}

static const struct cache_stats_sink_ops slow_ops = { CACHE_HOOKS_ABI, take_row_slowly };

static int push_slowly(void *arg, unsigned index)
{
    int failures = 0;
    (void)index;
    TT_CHECK(failures, cache_stats_push(((struct tt_cache *)arg)->c) == CACHE_OK);
    return failures;
}

/* FAULTS 69 */
static void a_push_that_began_before_the_closing_is_finished(void **state)
{
    static struct tt_cache b;
    struct cache_stats st;
    (void)state;
    tt_cache_prepare(&b, true);
    b.opts.stats_sink = &slow_ops;
    tt_cache_open(&b);
    tt_loader_init(&slow.barrier, NULL);
    tt_loader_block(&slow.barrier);
    struct tt_crew *crew = tt_crew_start(1, push_slowly, &b);
    assert_true(tt_loader_await_blocked(&slow.barrier, 1));
    assert_int_equal(cache_stats_read(b.c, NULL, &st, sizeof st), CACHE_OK); /* it keeps no other reader waiting */
    assert_int_equal(cache_close(b.c, 0), CACHE_BUSY);
    assert_int_equal(cache_close(b.c, 10), CACHE_BUSY);
    assert_int_equal(cache_stats_read(b.c, NULL, &st, sizeof st), CACHE_E_CLOSED);
    tt_loader_release(&slow.barrier);
    assert_int_equal(tt_crew_join(crew), 0);
    assert_int_equal(atomic_load(&slow.rows), 2 * FIELDS);
    tt_loader_fini(&slow.barrier);
    assert_true(tt_cache_close(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_never_go_back_and_sums_are_true_while_others_work),
        cmocka_unit_test(who_reads_while_the_cache_is_closed_is_told_so),
        cmocka_unit_test(a_push_that_began_before_the_closing_is_finished),
    };
    return cmocka_run_group_tests_name("statistics under way", tests, NULL, NULL);
}
