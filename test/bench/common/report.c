/* Options, tables, rows and gates.
 *
 * A figure that rests on too few undisturbed runs is not printed as a figure: the table says "not measured", the rows
 * say NA. Rows are tab-separated: case, threads, subject, ops_per_s, ns_cpu_per_op, ratio, min, max, qualifying/all,
 * reference, server_ns_cpu_per_op; a subject has one row for each reference. */
#include "report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void tt_bench_die(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("bench: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

static void print_machine(void)
{
    char line[256];
    char model[256] = "unknown processor";
    double load = -1;
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "model name : %255[^\n]", model) == 1)
            break;
    if (f != NULL)
        fclose(f);
    if (getloadavg(&load, 1) != 1)
        load = -1;
    printf("%ld cores, %s, load %.2f when this began\n", sysconf(_SC_NPROCESSORS_ONLN), model, load);
}

void tt_bench_init(struct tt_bench *b, int argc, char **argv, const char *title)
{
    const char *smoke = getenv("TC_BENCH_SMOKE");
    const char *out = NULL;
    *b = (struct tt_bench){.quick = smoke != NULL && *smoke != '\0' && strcmp(smoke, "0") != 0};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0)
            b->quick = true;
        else if (strcmp(argv[i], "--out") == 0 && i + 1 < argc)
            out = argv[++i];
        else
            tt_bench_die("usage: %s [--quick] [--out FILE]", argv[0]);
    }
    b->run_ns = b->quick ? 20000000 : 300000000;
    b->rounds_min = b->quick ? TT_BENCH_QUALIFYING_MIN : 5;
    b->rounds_max = b->quick ? TT_BENCH_QUALIFYING_MIN : 30;
    if (out != NULL && (b->rows = fopen(out, "w")) == NULL)
        tt_bench_die("%s: %s", out, strerror(errno));
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%s\n", title);
    print_machine();
    if (b->quick)
        printf("QUICK: this only shows that the program runs; the figures mean nothing\n");
}

static void print_ratio(const struct tt_bench_ratio *r)
{
    char text[64] = "not measured";
    if (r->n_qualifying >= TT_BENCH_QUALIFYING_MIN)
        snprintf(text, sizeof text, "%.2f (%.2f-%.2f)", r->median, r->min, r->max);
    printf("  %22s", text);
}

static void print_row(FILE *f, const struct tt_bench_case *c, size_t s, const struct tt_bench_figures *g, size_t ref)
{
    const struct tt_bench_ratio *r = &g->against[ref];
    fprintf(f, "%s\t%u\t%s\t", c->name, c->n_threads, c->subjects[s].name);
    if (g->n_qualifying >= TT_BENCH_QUALIFYING_MIN)
        fprintf(f, "%.0f\t%.1f\t", g->ops_per_s, g->cpu_ns_per_op);
    else
        fprintf(f, "NA\tNA\t");
    if (r->n_qualifying >= TT_BENCH_QUALIFYING_MIN)
        fprintf(f, "%.3f\t%.3f\t%.3f\t", r->median, r->min, r->max);
    else
        fprintf(f, "NA\tNA\tNA\t");
    fprintf(f, "%u/%u\t%s\t", r->n_qualifying, r->n_all, c->subjects[c->references[ref]].name);
    if (c->server != 0 && g->n_qualifying >= TT_BENCH_QUALIFYING_MIN)
        fprintf(f, "%.1f\n", g->server_ns_per_op);
    else
        fprintf(f, "NA\n");
    fflush(f);
}

static void print_figures(const struct tt_bench_case *c, const struct tt_bench_figures *f)
{
    if (f->n_qualifying < TT_BENCH_QUALIFYING_MIN) {
        printf("  %12s  %10s%s", "not measured", "", c->server != 0 ? "            " : "");
        return;
    }
    printf("  %12.0f  %10.0f", f->ops_per_s, f->cpu_ns_per_op);
    if (c->server != 0)
        printf("  %10.0f", f->server_ns_per_op);
}

void tt_bench_report(struct tt_bench *b, const struct tt_bench_case *c, const struct tt_bench_result *r)
{
    printf("\n%s, %u thread%s (%s)\n", c->name, c->n_threads, c->n_threads == 1 ? "" : "s",
           c->clock == TT_BENCH_CPU ? "by CPU time" : "by wall clock");
    printf("  %-28s  %12s  %10s", "subject", "ops/s", "ns CPU/op");
    if (c->server != 0)
        printf("  %10s", "ns server");
    for (size_t i = 0; i < c->n_references; i++)
        printf("  %19.19s x =", c->subjects[c->references[i]].name);
    printf("  runs\n");
    for (size_t s = 0; s < c->n_subjects; s++) {
        const struct tt_bench_figures *f = &r->of[s];
        printf("  %-28s", c->subjects[s].name);
        print_figures(c, f);
        for (size_t i = 0; i < c->n_references; i++) {
            print_ratio(&f->against[i]);
            if (b->rows != NULL)
                print_row(b->rows, c, s, f, i);
        }
        printf("  %u/%u\n", f->n_qualifying, f->n_all);
    }
}

void tt_bench_gate(struct tt_bench *b, const struct tt_bench_case *c, const struct tt_bench_result *r, size_t subject,
                   double at_least)
{
    const struct tt_bench_ratio *q = &r->of[subject].against[0];
    printf("GATE %s, %u thread%s: %s >= %.2f x %s: ", c->name, c->n_threads, c->n_threads == 1 ? "" : "s",
           c->subjects[subject].name, at_least, c->subjects[c->references[0]].name);
    if (b->quick) {
        printf("not judged (quick)\n");
    } else if (q->n_qualifying < TT_BENCH_QUALIFYING_MIN) {
        printf("NOT MEASURED: only %u of %u rounds had 90 %% of the cores, %d are needed. RUN IT AGAIN ON A QUIET "
               "MACHINE.\n", q->n_qualifying, q->n_all, TT_BENCH_QUALIFYING_MIN);
    } else {
        bool pass = q->median >= at_least;
        printf("%.2f %s\n", q->median, pass ? "PASS" : "FAIL");
        b->failed = b->failed || !pass;
    }
}

int tt_bench_fini(struct tt_bench *b)
{
    if (b->rows != NULL && fclose(b->rows) != 0)
        tt_bench_die("writing the rows: %s", strerror(errno));
    b->rows = NULL;
    return b->failed ? 1 : 0;
}
