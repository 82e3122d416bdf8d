/* Options, tables and rows.
 *
 * A figure that rests on too few undisturbed runs is not printed as a figure: the table says "not measured", the rows
 * say NA. Rows are tab-separated: case, threads, subject, ops_per_s, ns_cpu_per_op, ratio, min, max, qualifying/all,
 * reference, server_ns_cpu_per_op, p50_ns, p99_ns, p999_ns, hit_ratio, overhead_bytes; a subject has one row for each
 * reference. */
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

static void options_read(struct tt_bench *b, int argc, char **argv)
{
    const char *smoke = getenv("TC_BENCH_SMOKE");
    const char *out = NULL;
    b->quick = smoke != NULL && *smoke != '\0' && strcmp(smoke, "0") != 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0)
            b->quick = true;
        else if (strcmp(argv[i], "--out") == 0 && i + 1 < argc)
            out = argv[++i];
        else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            b->only = argv[++i];
        else
            tt_bench_die("usage: %s [--quick] [--only PART-OF-A-CASE'S-NAME] [--out FILE]", argv[0]);
    }
    if (out != NULL && (b->rows = fopen(out, "w")) == NULL)
        tt_bench_die("%s: %s", out, strerror(errno));
}

void tt_bench_init(struct tt_bench *b, int argc, char **argv, const char *title)
{
    *b = (struct tt_bench){0};
    options_read(b, argc, argv);
    b->warm_ns = b->quick ? 500000 : 50000000;
    b->run_ns = b->quick ? 2000000 : 300000000;
    b->case_ns = b->quick ? 1000000000 : INT64_C(30000000000);
    b->rounds_max = b->quick ? 1 : 30;
    b->rounds_wanted = b->quick ? 1 : 5;
    b->rounds_needed = b->quick ? 1 : TT_BENCH_QUALIFYING_MIN;
    tt_latency_init();
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%s\n", title);
    print_machine();
    if (b->quick)
        printf("QUICK: this only shows that the program runs; the figures mean nothing\n");
}

static void print_ratio(const struct tt_bench *b, const struct tt_bench_ratio *r)
{
    char text[64] = "not measured";
    if (r->n_qualifying >= b->rounds_needed)
        snprintf(text, sizeof text, "%.2f (%.2f-%.2f)", r->median, r->min, r->max);
    printf("  %22s", text);
}

/* A field of a row, after a tab. */
static void print_field(FILE *f, bool known, int digits, double v)
{
    if (known)
        fprintf(f, "\t%.*f", digits, v);
    else
        fprintf(f, "\tNA");
}

static void print_row(const struct tt_bench *b, const struct tt_bench_case *c, size_t s,
                      const struct tt_bench_figures *g, size_t ref)
{
    const struct tt_bench_ratio *r = &g->against[ref];
    const struct tt_bench_subject *who = &c->subjects[s];
    bool speed = g->n_qualifying >= b->rounds_needed;
    bool ratio = r->n_qualifying >= b->rounds_needed;
    FILE *f = b->rows;
    fprintf(f, "%s\t%u\t%s", c->name, who->n_threads != 0 ? who->n_threads : c->n_threads, who->name);
    print_field(f, speed, 0, g->ops_per_s);
    print_field(f, speed, 1, g->cpu_ns_per_op);
    print_field(f, ratio, 3, r->median);
    print_field(f, ratio, 3, r->min);
    print_field(f, ratio, 3, r->max);
    fprintf(f, "\t%u/%u\t%s", r->n_qualifying, r->n_all, c->subjects[c->references[ref]].name);
    print_field(f, speed && c->server != 0, 1, g->server_ns_per_op);
    print_field(f, speed && g->p50_ns > 0, 0, g->p50_ns);
    print_field(f, speed && g->p50_ns > 0, 0, g->p99_ns);
    print_field(f, speed && g->p50_ns > 0, 0, g->p999_ns);
    print_field(f, speed && c->shows_hits, 4, g->hit_ratio);
    fputs("\tNA\n", f);
    fflush(f);
}

/* Which columns a case's table has. */
struct columns {
    bool server, latency, hits;
};

static void print_head(const struct tt_bench_case *c, struct columns has)
{
    printf("\n%s, %u thread%s (%s)\n", c->name, c->n_threads, c->n_threads == 1 ? "" : "s",
           c->clock == TT_BENCH_CPU ? "by CPU time" : "by wall clock");
    printf("  %-28s  %12s  %10s", "subject", "ops/s", "ns CPU/op");
    if (has.server)
        printf("  %10s", "ns server");
    for (size_t i = 0; i < c->n_references; i++)
        printf("  %19.19s x =", c->subjects[c->references[i]].name);
    if (has.latency)
        printf("  %6s %6s %7s", "p50 ns", "p99", "p99.9");
    if (has.hits)
        printf("  %6s", "hits");
    printf("  runs\n");
}

static void print_line(const struct tt_bench *b, const struct tt_bench_case *c, size_t s,
                       const struct tt_bench_figures *f, struct columns has)
{
    bool known = f->n_qualifying >= b->rounds_needed;
    printf("  %-28s", c->subjects[s].name);
    if (known)
        printf("  %12.0f  %10.0f", f->ops_per_s, f->cpu_ns_per_op);
    else
        printf("  %12s  %10s", "not measured", "");
    if (has.server)
        printf("  %10.0f", known ? f->server_ns_per_op : 0);
    for (size_t i = 0; i < c->n_references; i++)
        print_ratio(b, &f->against[i]);
    if (has.latency && known && f->p50_ns > 0)
        printf("  %6.0f %6.0f %7.0f", f->p50_ns, f->p99_ns, f->p999_ns);
    else if (has.latency)
        printf("  %6s %6s %7s", "-", "-", "-");
    if (has.hits)
        printf("  %6.3f", known ? f->hit_ratio : 0);
    printf("  %u/%u\n", f->n_qualifying, f->n_all);
}

void tt_bench_report(struct tt_bench *b, const struct tt_bench_case *c, const struct tt_bench_result *r)
{
    struct columns has = {.server = c->server != 0, .hits = c->shows_hits};
    for (size_t s = 0; s < c->n_subjects; s++)
        has.latency = has.latency || r->of[s].p50_ns > 0;
    print_head(c, has);
    for (size_t s = 0; s < c->n_subjects; s++) {
        print_line(b, c, s, &r->of[s], has);
        for (size_t i = 0; b->rows != NULL && i < c->n_references; i++)
            print_row(b, c, s, &r->of[s], i);
    }
}

int tt_bench_fini(struct tt_bench *b)
{
    if (b->rows != NULL && fclose(b->rows) != 0)
        tt_bench_die("writing the rows: %s", strerror(errno));
    b->rows = NULL;
    if (b->n_cases == 0)
        printf("no case's title has \"%s\" in it\n", b->only != NULL ? b->only : "");
    printf("\ngates: %u passed, %u FAILED, %u not measured\n", b->gates_passed, b->gates_failed, b->gates_unmeasured);
    return b->failed ? 1 : 0;
}
