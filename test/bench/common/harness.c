/* Threads, rounds and medians.
 *
 * The threads of a run are made before its clock starts and wait at a barrier; the main thread passes the barrier with
 * them, reads the clocks, sleeps, raises the stop flag and joins. CPU time is that of the whole process: what a library
 * does in a thread of its own is part of what it costs. */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "cores.h"
#include "report.h"

static const double QUALIFYING_SHARE = 0.9;

enum { WANTED_QUALIFYING = 5 };

struct run {
    double ops_per_s, cpu_ns_per_op, server_ns_per_op;
    bool qualifies;
};

struct thread {
    pthread_t id;
    struct tt_bench_worker worker;
    const struct tt_bench_subject *subject;
    pthread_barrier_t *start;
    int cpu; /* -1: not pinned */
};

static void *thread_main(void *arg)
{
    struct thread *t = arg;
    if (t->cpu >= 0)
        tt_cores_pin(t->cpu);
    pthread_barrier_wait(t->start);
    t->subject->body(t->subject->ctx, &t->worker);
    return NULL;
}

static struct run run_once(struct tt_bench *b, const struct tt_bench_case *c, size_t subject, unsigned round)
{
    int cpus[TT_CORES_MAX];
    unsigned n_cpus = tt_cores_usable(cpus);
    bool pin = c->pinned && c->n_threads <= n_cpus;
    unsigned n_counted = pin ? c->n_threads : n_cpus;
    struct thread *threads = calloc(c->n_threads, sizeof *threads);
    pthread_barrier_t start;
    atomic_bool stop = false;
    uint64_t ops = 0;
    uint64_t wrong = 0;

    if (threads == NULL || pthread_barrier_init(&start, NULL, c->n_threads + 1) != 0)
        tt_bench_die("out of memory");
    for (unsigned i = 0; i < c->n_threads; i++) {
        threads[i] = (struct thread){.subject = &c->subjects[subject], .start = &start, .cpu = pin ? cpus[i] : -1,
                                     .worker = {.thread = i, .round = round, .stop = &stop}};
        if (pthread_create(&threads[i].id, NULL, thread_main, &threads[i]) != 0)
            tt_bench_die("cannot start a thread");
    }
    int64_t server_ns = tt_cpu_of_ns(c->server);
    struct tt_cores_mark from = tt_cores_mark(cpus, n_counted, c->server);
    pthread_barrier_wait(&start);
    nanosleep(&(struct timespec){.tv_sec = b->run_ns / 1000000000, .tv_nsec = b->run_ns % 1000000000}, NULL);
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    for (unsigned i = 0; i < c->n_threads; i++) {
        pthread_join(threads[i].id, NULL);
        ops += threads[i].worker.ops;
        wrong += threads[i].worker.wrong;
    }
    struct tt_cores_mark to = tt_cores_mark(cpus, n_counted, c->server);
    server_ns = tt_cpu_of_ns(c->server) - server_ns;
    pthread_barrier_destroy(&start);
    free(threads);

    if (wrong > 0 || ops == 0) {
        printf("WRONG: %s, %s, %u threads: %llu right answers, %llu missing or wrong\n", c->name, c->subjects[subject].name,
               c->n_threads, (unsigned long long)ops, (unsigned long long)wrong);
        b->failed = true;
    }
    double n = ops > 0 ? (double)ops : 1;
    double client_ns = (double)(to.own_ns - from.own_ns - server_ns);
    struct run r = {.ops_per_s = n * 1e9 / (double)(to.wall_ns - from.wall_ns), .cpu_ns_per_op = client_ns / n,
                    .server_ns_per_op = (double)server_ns / n};
    if (c->clock == TT_BENCH_CPU)
        r.ops_per_s = n * 1e9 / client_ns * c->n_threads;
    /* A quick run is shorter than the ticks that the share is counted in. */
    r.qualifies = ops > 0 && (c->clock == TT_BENCH_CPU || b->quick ||
                              tt_cores_share(&from, &to, n_counted) >= QUALIFYING_SHARE);
    return r;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of(double *v, size_t n)
{
    if (n == 0)
        return 0;
    qsort(v, n, sizeof *v, compare_doubles);
    return n % 2 == 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

typedef struct run round_runs[TT_BENCH_SUBJECTS_MAX];

static struct tt_bench_ratio ratio_of(const round_runs *runs, unsigned n, size_t subject, size_t reference)
{
    struct tt_bench_ratio r = {.n_all = n};
    double v[TT_BENCH_ROUNDS_MAX];
    for (unsigned i = 0; i < n; i++)
        if (runs[i][subject].qualifies && runs[i][reference].qualifies)
            v[r.n_qualifying++] = runs[i][subject].ops_per_s / runs[i][reference].ops_per_s;
    if (r.n_qualifying > 0) {
        r.median = median_of(v, r.n_qualifying);
        r.min = v[0];
        r.max = v[r.n_qualifying - 1];
    }
    return r;
}

static double median_field(const round_runs *runs, unsigned n, size_t subject, size_t offset, bool all)
{
    double v[TT_BENCH_ROUNDS_MAX];
    size_t m = 0;
    for (unsigned i = 0; i < n; i++)
        if (all || runs[i][subject].qualifies)
            v[m++] = *(const double *)((const char *)&runs[i][subject] + offset);
    return median_of(v, m);
}

static struct tt_bench_figures figures_of(const struct tt_bench_case *c, const round_runs *runs, unsigned n, size_t s)
{
    struct tt_bench_figures f = {.n_all = n};
    for (unsigned i = 0; i < n; i++)
        f.n_qualifying += runs[i][s].qualifies;
    bool all = f.n_qualifying == 0;
    f.ops_per_s = median_field(runs, n, s, offsetof(struct run, ops_per_s), all);
    f.cpu_ns_per_op = median_field(runs, n, s, offsetof(struct run, cpu_ns_per_op), all);
    f.server_ns_per_op = median_field(runs, n, s, offsetof(struct run, server_ns_per_op), all);
    for (size_t i = 0; i < c->n_references; i++)
        f.against[i] = ratio_of(runs, n, s, c->references[i]);
    return f;
}

/* Every ratio that will be reported has as many rounds as it needs. */
static bool is_enough(const struct tt_bench_case *c, const round_runs *runs, unsigned n)
{
    for (size_t s = 0; s < c->n_subjects; s++)
        for (size_t i = 0; i < c->n_references; i++)
            if (ratio_of(runs, n, s, c->references[i]).n_qualifying < WANTED_QUALIFYING)
                return false;
    return true;
}

void tt_bench_run(struct tt_bench *b, const struct tt_bench_case *c, struct tt_bench_result *r)
{
    round_runs runs[TT_BENCH_ROUNDS_MAX];
    unsigned n = 0;
    while (n < b->rounds_max && (n < b->rounds_min || !is_enough(c, (const round_runs *)runs, n))) {
        for (size_t s = 0; s < c->n_subjects; s++)
            runs[n][s] = run_once(b, c, s, n);
        n++;
    }
    *r = (struct tt_bench_result){0};
    for (size_t s = 0; s < c->n_subjects; s++)
        r->of[s] = figures_of(c, (const round_runs *)runs, n, s);
    tt_bench_report(b, c, r);
}
