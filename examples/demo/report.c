/* report.c - see report.h. A row also fails if what it judges did not happen: no outage seen, no change made, nothing
 * measured is not a pass. */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tiercache.h"

static const char *const phase_names[PHASES] = {"waiting", "uniform", "Zipf 0.80", "Zipf 0.99 warm-up", "Zipf 0.99",
                                                "0.99 + changes", "Redis stopped", "Redis back"};

const char *report_phase_name(enum phase p)
{
    return phase_names[p];
}

double report_share(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

void report_sum_phase(const struct shared *s, enum phase p, struct phase_sum *sum)
{
    memset(sum, 0, sizeof *sum);
    for (uint32_t i = 0; i < s->workers; i++) {
        const struct worker_results *w = &s->worker[i];
        for (int from = 0; from < SOURCES; from++) {
            latency_sum(&sum->latency[from], &w->latency[p][from]);
            if (from == FROM_L1 || from == FROM_L2 || from == FROM_STALE)
                latency_sum(&sum->cached, &w->latency[p][from]);
        }
        latency_sum(&sum->origin, &w->origin[p]);
        sum->failed += atomic_load(&w->failed[p]);
        sum->behind += atomic_load(&w->behind[p]);
    }
    for (int from = 0; from < SOURCES; from++) {
        sum->from[from] = latency_count(&sum->latency[from]);
        sum->answers += sum->from[from];
    }
    sum->origin_calls = latency_count(&sum->origin);
}

uint64_t report_wrong(const struct shared *s, enum wrong kind)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < s->workers; i++) {
        for (int k = WRONG_NOT + 1; k < WRONGS; k++) {
            if (kind == WRONG_NOT || kind == (enum wrong)k)
                n += atomic_load(&s->worker[i].wrong[k]);
        }
    }
    return n;
}

int report_l2_out(const struct shared *s)
{
    int n = 0;
    for (uint32_t i = 0; i < s->workers; i++)
        n += atomic_load(&s->worker[i].l2_out);
    return n;
}

/* ---- the table by phase ------------------------------------------------------------------------------------------ */

static double us(const struct latency *l, double q)
{
    return (double)latency_quantile(l, q) / 1e3;
}

static void print_phases(const struct shared *s, const double seconds[PHASES])
{
    struct phase_sum sum;
    printf("\n%-18s %7s %6s %6s %6s %7s %7s   %s\n", "", "", "", "", "", "", "origin", "p50 / p99 in microseconds");
    printf("%-18s %7s %6s %6s %6s %7s %7s   %-13s %-13s %s\n", "phase", "req/s", "L1 %", "L2 %", "stale%", "miss %",
           "calls/s", "L1 hit", "L2 hit", "origin");
    for (enum phase p = PHASE_UNIFORM; p < PHASES; p++) {
        report_sum_phase(s, p, &sum);
        const struct latency *l = sum.latency;
        double sec = seconds[p] > 0 ? seconds[p] : 1;
        printf("%-18s %7.0f %6.1f %6.1f %6.1f %7.1f %7.0f   %4.1f / %-6.0f %4.0f / %-6.0f %4.0f / %.0f\n",
               phase_names[p], (double)sum.answers / sec, report_share(sum.from[FROM_L1], sum.answers),
               report_share(sum.from[FROM_L2], sum.answers), report_share(sum.from[FROM_STALE], sum.answers),
               report_share(sum.from[FROM_ORIGIN] + sum.from[FROM_JOINED], sum.answers),
               (double)sum.origin_calls / sec, us(&l[FROM_L1], 0.5), us(&l[FROM_L1], 0.99), us(&l[FROM_L2], 0.5),
               us(&l[FROM_L2], 0.99), us(&sum.origin, 0.5), us(&sum.origin, 0.99));
    }
}

/* ---- the verdicts ------------------------------------------------------------------------------------------------ */

static int row(const char *what, int passed, const char *limit, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static int row(const char *what, int passed, const char *limit, const char *fmt, ...)
{
    char value[160];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    printf("%s  %-35s %-14s %s\n", passed ? "PASS" : "FAIL", what, limit, value);
    return passed ? 0 : 1;
}

static int64_t largest(const struct shared *s, size_t offset)
{
    int64_t max = 0;
    for (uint32_t i = 0; i < s->workers; i++) {
        const _Atomic int64_t *v = (const _Atomic int64_t *)((const char *)&s->worker[i] + offset);
        int64_t x = atomic_load(v);
        max = x > max ? x : max;
    }
    return max;
}
#define LARGEST_MS(s, field) ((double)largest(s, offsetof(struct worker_results, field)) / 1e6)

static int row_latency(const struct shared *s)
{
    struct phase_sum sum;
    struct latency all;
    memset(&all, 0, sizeof all);
    for (enum phase p = PHASE_UNIFORM; p < PHASES; p++) {
        report_sum_phase(s, p, &sum);
        latency_sum(&all, &sum.cached);
    }
    int64_t p99 = latency_quantile(&all, 0.99);
    return row("cached response, p99, all phases", latency_count(&all) > 0 && p99 < 5000000, "< 5 ms", "%.3f ms",
               (double)p99 / 1e6);
}

static int row_outage(const struct shared *s, const double seconds[PHASES])
{
    struct phase_sum healthy, outage;
    report_sum_phase(s, PHASE_CHANGES, &healthy);
    report_sum_phase(s, PHASE_OUTAGE, &outage);
    double before = seconds[PHASE_CHANGES] > 0 ? (double)healthy.origin_calls / seconds[PHASE_CHANGES] : 0;
    double during = seconds[PHASE_OUTAGE] > 0 ? (double)outage.origin_calls / seconds[PHASE_OUTAGE] : 0;
    /* the same per request: what the bound would be if the load did not wait for its answers */
    double share = report_share(healthy.origin_calls, healthy.answers);
    double growth = share > 0 ? report_share(outage.origin_calls, outage.answers) / share : 0;
    int seen = 1;
    for (uint32_t i = 0; i < s->workers; i++)
        seen = seen && atomic_load(&s->worker[i].l2_outages) > 0;
    return row("origin calls/s, Redis stopped", seen && outage.answers > 0 && before > 0 && during <= 2 * before,
               "<= 2 x healthy", "%.0f, healthy %.0f: %.2f x (per request %.2f x)%s", during, before,
               before > 0 ? during / before : 0, growth, seen ? "" : " NO OUTAGE SEEN");
}

static int row_staleness(const struct shared *s)
{
    double counted = LARGEST_MS(s, staleness_ns);
    struct timespec tick = {0, 0};
    clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
    uint64_t reads = 0;
    for (uint32_t i = 0; i < s->workers; i++)
        reads += atomic_load(&s->worker[i].stale_reads);
    char limit[32];
    snprintf(limit, sizeof limit, "<= %d + %ld ms", PAGE_L1_TTL_MS, tick.tv_nsec / 1000000);
    return row("largest staleness, unflagged", counted <= PAGE_L1_TTL_MS + (double)tick.tv_nsec / 1e6, limit,
               "%.0f ms (%.0f ms after the first invalidation; %llu reads)", counted, LARGEST_MS(s, staleness_first_ns),
               (unsigned long long)reads);
}

enum verdict report_print(const struct shared *s, const struct changes *ch, const double seconds[PHASES],
                          int64_t resumed_ns)
{
    struct phase_sum steady, sum;
    uint64_t failed = 0, answers = 0, behind = 0, old_flagged = 0;
    int slow = 0, bad = 0, last_status = 0;
    print_phases(s, seconds);
    for (enum phase p = PHASE_UNIFORM; p < PHASES; p++) {
        report_sum_phase(s, p, &sum);
        failed += sum.failed;
        answers += sum.answers;
        behind += sum.behind;
    }
    for (uint32_t i = 0; i < s->workers; i++) {
        old_flagged += atomic_load(&s->worker[i].flagged_old);
        if (atomic_load(&s->worker[i].last_status))
            last_status = atomic_load(&s->worker[i].last_status);
    }
    report_sum_phase(s, PHASE_ZIPF_099, &steady);
    double hits = report_share(steady.from[FROM_L1] + steady.from[FROM_L2], steady.answers);
    uint32_t made = atomic_load(&s->n_changes);
    int64_t back = largest(s, offsetof(struct worker_results, l2_up_ns));

    printf("\n");
    slow |= row("hit ratio L1 + L2, Zipf 0.99", hits > 80, "> 80 %", "%.1f %%", hits);
    slow |= row_latency(s);
    slow |= row_outage(s, seconds);
    bad |= row_staleness(s);
    bad |= row("wrong answers", answers > 0 && report_wrong(s, WRONG_NOT) == 0, "0",
               "%llu of %llu (other key %llu, damaged %llu, never existed %llu, too old %llu)",
               (unsigned long long)report_wrong(s, WRONG_NOT), (unsigned long long)answers,
               (unsigned long long)report_wrong(s, WRONG_OTHER_KEY), (unsigned long long)report_wrong(s, WRONG_BYTES),
               (unsigned long long)report_wrong(s, WRONG_NEVER_EXISTED),
               (unsigned long long)report_wrong(s, WRONG_TOO_OLD));
    bad |= row("changes acknowledged by L2", made > 0 && ch->through == made && ch->queued > 0, "all",
               "%u of %u (%u invalidations waited for Redis)", ch->through, made, ch->queued);
    bad |= row("requests that failed", failed == 0, "0", "%llu%s%s", (unsigned long long)failed,
               last_status ? ": " : "", last_status ? cache_status_text(last_status) : "");
    printf("\n      %llu answers were flagged as stale and really old, at most by %.1f s since the commit.\n",
           (unsigned long long)old_flagged, LARGEST_MS(s, flagged_staleness_ns) / 1e3);
    if (resumed_ns && back > resumed_ns)
        printf("      Redis in use again %.0f ms after it went on; queued invalidations through after %.0f ms.\n",
               (double)(back - resumed_ns) / 1e6,
               ch->drained_ns > resumed_ns ? (double)(ch->drained_ns - resumed_ns) / 1e6 : 0);
    if (s->requests_per_second > 0)
        printf("      %.2f %% of the requests began over 10 ms after they were due.\n",
               report_share(behind, answers + failed));
    return bad ? VERDICT_FAILED : slow ? VERDICT_SLOW : VERDICT_PASSED;
}
