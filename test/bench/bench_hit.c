/* Hit ratios: replays traces through the library, in memory only, with each eviction policy, and compares the miss
 * ratios with what others have measured, and a cache of many stripes with one of a single stripe.
 *
 * A request is a get; a miss is followed by a set. All values are equally large and never expire. How many entries
 * there is room for is the type's quota, so that it is exact; memory is ample. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/report.h"
#include "hit/references.h"
#include "hit/trace.h"
#include "tier/cache.h"
#include "tiercache.h"
#include "tiercache/hooks.h"

/* A policy's gate: how far from the reference its miss ratio may be, with a single stripe. */
struct subject {
    const char *policy;
    bool has_reference;
    enum tt_hit_reference reference;
    double below, above;
};

#define ANY 1.0
static const struct subject subjects[] = {
    { "lru", true, TT_HIT_LRU, ANY, 0.005 },
    { "lru-exact", true, TT_HIT_LRU, 0.0005, 0.0005 },
    { "sieve", true, TT_HIT_SIEVE, 0.0005, 0.0005 },
    { "s3-fifo", true, TT_HIT_S3FIFO, ANY, 0.005 },
    { "lfu", false, 0, ANY, ANY },
    { "w-tinylfu", true, TT_HIT_WTINYLFU, ANY, 0.01 },
};

#define STRIPED_ABOVE 0.005       /* how much worse many stripes may be than one ... */
#define STRIPED_ENTRIES_LEAST 128 /* ... where each has room for so many */
#define ROUNDING 0.00005          /* references have four digits */

#define QUICK_REQUESTS 200000 /* traces with more are left out by --quick */

static const unsigned percents[] = { 1, 10, 25 };

struct options {
    const char *dir, *trace, *policy; /* trace, policy: only this one; NULL = all */
    size_t longest;                   /* longer traces are left out */
    FILE *rows;
};

struct tally {
    unsigned pass, fail, none;
};

/* One replay. */
struct run {
    double miss_ratio;
    size_t stripes;
    size_t held;       /* entries at the end */
    uint64_t disturbed; /* entries that left for another reason than the quota */
};

static struct cache *open_cache(const char *policy, size_t entries, uint32_t stripes, struct cache_type **type)
{
    char err[256] = "";
    struct cache *c;
    struct cache_opts o = CACHE_OPTS_INIT;
    struct cache_type_opts t = CACHE_TYPE_OPTS_INIT;
    o.evict = cache_evict_policy(policy);
    if (o.evict == NULL)
        tt_bench_die("there is no policy %s", policy);
    o.l1_bytes = (UINT64_C(1) << 20) + entries * 768;
    o.l1_stripes = stripes;
    if (cache_open(&o, &c, err, sizeof err) != CACHE_OK)
        tt_bench_die("cache_open: %s", err);
    t.name = "key";
    t.ttl_ms = CACHE_TTL_FOREVER;
    t.l1_quota_entries = entries;
    if (cache_type_register(c, &t, type) != CACHE_OK)
        tt_bench_die("cache_type_register failed");
    return c;
}

static void replay(const struct tt_hit_trace *trace, const char *policy, size_t entries, uint32_t stripes,
                   struct run *run)
{
    struct cache_type *type;
    struct cache *c = open_cache(policy, entries, stripes, &type);
    size_t misses = 0;
    for (size_t i = 0; i < trace->n; i++) {
        uint64_t value = 0;
        struct cache_key k;
        cache_key_u64(cache_key_init(&k, type), trace->keys[i]);
        int rc = cache_get_copy(c, &k, &value, sizeof value, NULL);
        if (rc == CACHE_OK && value == trace->keys[i])
            continue;
        if (rc != CACHE_MISS)
            tt_bench_die("request %zu: cache_get_copy: %s", i, cache_status_text(rc));
        misses++;
        rc = cache_set(c, &k, &trace->keys[i], sizeof trace->keys[i], NULL);
        if (rc != CACHE_OK)
            tt_bench_die("request %zu: cache_set: %s", i, cache_status_text(rc));
    }
    struct cache_stats stats;
    if (cache_stats_read(c, type, &stats, sizeof stats) != CACHE_OK)
        tt_bench_die("cache_stats_read failed");
    run->miss_ratio = (double)misses / (double)trace->n;
    run->stripes = c->l1.n_stripes;
    run->held = (size_t)stats.l1_entries;
    run->disturbed = stats.l1_evicted_bytes + stats.l1_evicted_probe;
    if (cache_close(c, 1000) != CACHE_OK)
        tt_bench_die("cache_close failed");
}

/* A cell: a policy on a trace with room for so many entries. */
struct cell {
    const char *trace;
    unsigned percent;
    size_t entries;
    const struct subject *subject;
};

static void say(const struct options *o, struct tally *tally, const struct cell *cell, const struct run *run,
                double reference, const char *verdict)
{
    char ref[16] = "-", apart[16] = "-";
    if (reference >= 0) {
        snprintf(ref, sizeof ref, "%.4f", reference);
        snprintf(apart, sizeof apart, "%+.4f", run->miss_ratio - reference);
    }
    printf("%-20s %4u%% %8zu  %-10s %7zu  %.4f  %7s  %8s  %s\n", cell->trace, cell->percent, cell->entries,
           cell->subject->policy, run->stripes, run->miss_ratio, ref, apart, verdict);
    if (o->rows != NULL)
        fprintf(o->rows, "%s\t%u\t%zu\t%s\t%zu\t%.6f\t%s\t%s\t%s\n", cell->trace, cell->percent, cell->entries,
                cell->subject->policy, run->stripes, run->miss_ratio, ref, apart, verdict);
    if (strcmp(verdict, "PASS") == 0)
        tally->pass++;
    else if (strncmp(verdict, "FAIL", 4) == 0)
        tally->fail++;
    else
        tally->none++;
}

/* What is wrong with a run, whatever its miss ratio; NULL: nothing. */
static const char *fault_of(const struct run *run, size_t entries)
{
    if (run->disturbed > 0)
        return "FAIL: entries left for want of memory";
    if (run->held != entries)
        return "FAIL: not as many entries as there is room for";
    return NULL;
}

static void judge_single(const struct options *o, struct tally *tally, const struct cell *cell, const struct run *run)
{
    const struct subject *s = cell->subject;
    double reference = s->has_reference ? tt_hit_reference(cell->trace, cell->percent, s->reference) : TT_HIT_NONE;
    const char *verdict = fault_of(run, cell->entries);
    double apart = run->miss_ratio - reference;
    if (verdict == NULL && reference < 0)
        verdict = "no reference";
    else if (verdict == NULL)
        verdict = apart <= s->above + ROUNDING && -apart <= s->below + ROUNDING ? "PASS" : "FAIL";
    say(o, tally, cell, run, reference, verdict);
}

static void judge_striped(const struct options *o, struct tally *tally, const struct cell *cell, const struct run *run,
                          const struct run *single)
{
    const char *verdict = fault_of(run, cell->entries);
    if (verdict == NULL && cell->entries / run->stripes < STRIPED_ENTRIES_LEAST)
        verdict = "no reference: few entries a stripe";
    else if (verdict == NULL)
        verdict = run->miss_ratio - single->miss_ratio <= STRIPED_ABOVE ? "PASS" : "FAIL";
    say(o, tally, cell, run, single->miss_ratio, verdict);
}

static void measure(const struct options *o, struct tally *tally, const char *name)
{
    struct tt_hit_trace trace;
    tt_hit_trace_read(&trace, o->dir, name);
    for (size_t p = 0; trace.n <= o->longest && p < sizeof percents / sizeof *percents; p++)
        for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++) {
            struct cell cell = { name, percents[p], trace.n_distinct * percents[p] / 100, &subjects[i] };
            struct run single, striped;
            if (cell.entries == 0 || (o->policy != NULL && strcmp(o->policy, subjects[i].policy) != 0))
                continue;
            replay(&trace, subjects[i].policy, cell.entries, 1, &single);
            judge_single(o, tally, &cell, &single);
            replay(&trace, subjects[i].policy, cell.entries, 0, &striped);
            judge_striped(o, tally, &cell, &striped, &single);
        }
    tt_hit_trace_free(&trace);
}

static void read_options(struct options *o, int argc, char **argv)
{
    const char *dir = getenv("TC_TRACES");
    *o = (struct options){ dir != NULL && *dir != '\0' ? dir : "../shared/traces", NULL, NULL, SIZE_MAX, NULL };
    const char *out = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0)
            o->longest = QUICK_REQUESTS;
        else if (strcmp(argv[i], "--trace") == 0 && i + 1 < argc)
            o->trace = argv[++i];
        else if (strcmp(argv[i], "--policy") == 0 && i + 1 < argc)
            o->policy = argv[++i];
        else if (strcmp(argv[i], "--out") == 0 && i + 1 < argc)
            out = argv[++i];
        else
            tt_bench_die("usage: %s [--quick] [--trace NAME] [--policy NAME] [--out FILE]", argv[0]);
    }
    if (out != NULL && (o->rows = fopen(out, "w")) == NULL)
        tt_bench_die("%s: %s", out, strerror(errno));
}

int main(int argc, char **argv)
{
    struct options o;
    struct tally tally = { 0, 0, 0 };
    struct tt_hit_traces traces;
    read_options(&o, argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!tt_hit_traces_find(&traces, o.dir)) {
        printf("SKIPPED: hit ratios are not measured without traces, and there are none in %s (TC_TRACES)\n", o.dir);
        return 0;
    }
    printf("Hit ratios; the reference of a row with several stripes is the row above\n\n");
    printf("%-20s %5s %8s  %-10s %7s  %6s  %7s  %8s\n", "trace", "room", "entries", "policy", "stripes", "misses",
           "ref.", "apart");
    for (size_t i = 0; i < traces.n; i++)
        if (o.trace == NULL || strcmp(o.trace, traces.names[i]) == 0)
            measure(&o, &tally, traces.names[i]);
    tt_hit_traces_free(&traces);
    printf("\n%u passed, %u failed, %u without a reference\n", tally.pass, tally.fail, tally.none);
    if (o.rows != NULL && fclose(o.rows) != 0)
        tt_bench_die("the rows were not written whole");
    return tally.fail > 0;
}
