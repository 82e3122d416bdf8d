/* Gates: what a benchmark holds the library to, said in one line each: PASS, FAIL or NOT MEASURED. */
#include <limits.h>
#include <stdarg.h>

#include "report.h"

/* Prints "GATE case, N threads: " and what comes; the verdict follows on the same line. */
static void announce(const struct tt_bench_case *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void announce(const struct tt_bench_case *c, const char *fmt, ...)
{
    va_list ap;
    printf("GATE %s, %u thread%s: ", c->name, c->n_threads, c->n_threads == 1 ? "" : "s");
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf(": ");
}

static void judge(struct tt_bench *b, const char *measured, bool pass)
{
    if (b->quick) {
        printf("not judged (quick)\n");
        return;
    }
    printf("%s %s\n", measured, pass ? "PASS" : "FAIL");
    b->gates_passed += pass;
    b->gates_failed += !pass;
    b->failed = b->failed || !pass;
}

/* False, and said so, if too few rounds count. */
static bool is_measured(struct tt_bench *b, const struct tt_bench_result *r, unsigned n_qualifying)
{
    if (b->quick || n_qualifying >= b->rounds_needed)
        return true;
    printf("NOT MEASURED: only %u of %u rounds had 90 %% of the cores, %u are needed. RUN IT AGAIN ON A QUIET "
           "MACHINE.\n", n_qualifying, r->n_rounds + r->n_disturbed, b->rounds_needed);
    b->gates_unmeasured++;
    return false;
}

void tt_bench_gate_against(struct tt_bench *b, const struct tt_bench_case *c, const struct tt_bench_result *r,
                           struct tt_bench_pair who, double at_least)
{
    char measured[32];
    struct tt_bench_ratio q = tt_bench_compare(r, who.subject, who.reference);
    announce(c, "%s >= %.2f x %s", c->subjects[who.subject].name, at_least, c->subjects[who.reference].name);
    if (!is_measured(b, r, q.n_qualifying))
        return;
    snprintf(measured, sizeof measured, "%.2f", q.median);
    judge(b, measured, q.median >= at_least);
}

void tt_bench_gate(struct tt_bench *b, const struct tt_bench_case *c, const struct tt_bench_result *r, size_t subject,
                   double at_least)
{
    tt_bench_gate_against(b, c, r, (struct tt_bench_pair){subject, c->references[0]}, at_least);
}

void tt_bench_gate_faster(struct tt_bench *b, const struct tt_bench_case *c, const struct tt_bench_result *r,
                          size_t subject, size_t first_peer)
{
    char measured[128];
    size_t best = first_peer;
    double least = 0;
    unsigned n_qualifying = UINT_MAX; /* of the peer that has the fewest */
    if (first_peer == c->n_subjects)
        return;
    for (size_t s = first_peer; s < c->n_subjects; s++) {
        struct tt_bench_ratio q = tt_bench_compare(r, subject, s);
        n_qualifying = q.n_qualifying < n_qualifying ? q.n_qualifying : n_qualifying;
        if (s == first_peer || q.median < least) {
            best = s;
            least = q.median;
        }
    }
    announce(c, "%s faster than every peer", c->subjects[subject].name);
    if (!is_measured(b, r, n_qualifying))
        return;
    snprintf(measured, sizeof measured, "%.2f x %s", least, c->subjects[best].name);
    judge(b, measured, least > 1);
}

void tt_bench_gate_tail(struct tt_bench *b, const struct tt_bench_case *c, const struct tt_bench_result *r,
                        size_t subject, double at_most_ns)
{
    char measured[32];
    const struct tt_bench_figures *f = &r->of[subject];
    announce(c, "p99.9 of %s <= %.0f ns", c->subjects[subject].name, at_most_ns);
    if (!is_measured(b, r, f->n_qualifying))
        return;
    snprintf(measured, sizeof measured, "%.0f", f->p999_ns);
    judge(b, measured, f->p999_ns <= at_most_ns);
}

void tt_bench_gate_extra(struct tt_bench *b, const struct tt_bench_case *c, const struct tt_bench_result *r,
                         struct tt_bench_pair who, double at_most_ns)
{
    char measured[32];
    struct tt_bench_ratio q = tt_bench_extra_ns(r, who.subject, who.reference);
    announce(c, "%s <= %.0f ns above %s", c->subjects[who.subject].name, at_most_ns, c->subjects[who.reference].name);
    if (!is_measured(b, r, q.n_qualifying))
        return;
    snprintf(measured, sizeof measured, "%.1f", q.median);
    judge(b, measured, q.median <= at_most_ns);
}

void tt_bench_gate_value(struct tt_bench *b, const char *what, double value, double bound, bool at_most)
{
    char measured[32];
    printf("GATE %s %s %.4g: ", what, at_most ? "<=" : ">=", bound);
    snprintf(measured, sizeof measured, "%.4g", value);
    judge(b, measured, at_most ? value <= bound : value >= bound);
}
