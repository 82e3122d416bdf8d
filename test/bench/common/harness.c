/* Threads, rounds and medians.
 *
 * The threads of a run are made before its clock starts and wait at a barrier; the main thread passes the barrier with
 * them, reads the clocks, sleeps, raises the stop flag and joins. CPU time is that of the whole process: what a library
 * does in a thread of its own is part of what it costs. */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cores.h"
#include "report.h"

static const double QUALIFYING_SHARE = 0.9;

/* On cache lines of its own: a thread counts here while it works. */
struct thread {
    pthread_t id;
    struct tt_bench_worker worker;
    const struct tt_bench_subject *subject;
    pthread_barrier_t *start;
    int cpu; /* -1: not pinned */
    struct tt_latency latency;
} __attribute__((aligned(128)));

bool tt_bench_wants(const struct tt_bench *b, const char *name, unsigned n_threads)
{
    char full[160];
    snprintf(full, sizeof full, "%s, %u thread%s", name, n_threads, n_threads == 1 ? "" : "s");
    return b->only == NULL || strstr(full, b->only) != NULL;
}

static void *thread_main(void *arg)
{
    struct thread *t = arg;
    if (t->cpu >= 0)
        tt_cores_pin(t->cpu);
    pthread_barrier_wait(t->start);
    t->subject->body(t->subject->ctx, &t->worker);
    return NULL;
}

static struct thread *threads_make(const struct tt_bench_subject *subject, unsigned n, unsigned round,
                                   pthread_barrier_t *start, const atomic_bool *stop)
{
    struct thread *threads = aligned_alloc(128, n * sizeof *threads);
    if (threads == NULL || pthread_barrier_init(start, NULL, n + 1) != 0)
        tt_bench_die("out of memory");
    memset(threads, 0, n * sizeof *threads);
    for (unsigned i = 0; i < n; i++) {
        threads[i].subject = subject;
        threads[i].start = start;
        threads[i].cpu = -1;
        threads[i].worker = (struct tt_bench_worker){.thread = i, .round = round, .stop = stop,
                                                     .latency = &threads[i].latency};
    }
    return threads;
}

static void complain(struct tt_bench *b, const struct tt_bench_case *c, const struct tt_bench_subject *s,
                     uint64_t right, uint64_t wrong)
{
    printf("WRONG: %s, %s, %u threads: %llu right answers, %llu missing or wrong\n", c->name, s->name, c->n_threads,
           (unsigned long long)right, (unsigned long long)wrong);
    b->failed = true;
}

/* What a subject's threads did together in a given time, and what it took. */
struct outcome {
    uint64_t ops, wrong, hits;
    struct tt_cores_mark from, to;
    int64_t server_ns;
    unsigned n_counted; /* processors that the marks are about: cpus[0] and following */
    struct tt_latency latency;
};

static void work(const struct tt_bench_case *c, const struct tt_bench_subject *s, unsigned n_threads, unsigned round,
                 int64_t ns, struct outcome *o)
{
    int cpus[TT_CORES_MAX];
    unsigned n_cpus = tt_cores_usable(cpus);
    bool pin = c->pinned && n_threads <= n_cpus;
    pthread_barrier_t start;
    atomic_bool stop = false;
    struct thread *threads = threads_make(s, n_threads, round, &start, &stop);

    memset(o, 0, sizeof *o);
    o->n_counted = pin ? n_threads : n_cpus;
    for (unsigned i = 0; i < n_threads; i++) {
        threads[i].cpu = pin ? cpus[i] : -1;
        if (pthread_create(&threads[i].id, NULL, thread_main, &threads[i]) != 0)
            tt_bench_die("cannot start a thread");
    }
    o->server_ns = tt_cpu_of_ns(c->server);
    o->from = tt_cores_mark(cpus, o->n_counted, c->server);
    pthread_barrier_wait(&start);
    nanosleep(&(struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000}, NULL);
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    for (unsigned i = 0; i < n_threads; i++)
        pthread_join(threads[i].id, NULL);
    o->to = tt_cores_mark(cpus, o->n_counted, c->server);
    o->server_ns = tt_cpu_of_ns(c->server) - o->server_ns;
    pthread_barrier_destroy(&start);
    for (unsigned i = 0; i < n_threads; i++) {
        o->ops += threads[i].worker.ops;
        o->wrong += threads[i].worker.wrong;
        o->hits += threads[i].worker.hits;
        tt_latency_merge(&o->latency, &threads[i].latency);
    }
    free(threads);
}

/* The subject that ran before has filled the processor's caches with what is its own. So each run begins with some time
 * that does not count. */
static struct tt_bench_one_run run_once(struct tt_bench *b, const struct tt_bench_case *c, size_t subject,
                                        unsigned round, struct tt_latency *latency)
{
    const struct tt_bench_subject *s = &c->subjects[subject];
    unsigned n_threads = s->n_threads != 0 ? s->n_threads : c->n_threads;
    struct outcome o;
    work(c, s, n_threads, round, b->warm_ns, &o);
    work(c, s, n_threads, round, b->run_ns, &o);
    if (o.wrong > 0 || o.ops == 0)
        complain(b, c, s, o.ops, o.wrong);
    double n = o.ops > 0 ? (double)o.ops : 1;
    double client_ns = (double)(o.to.own_ns - o.from.own_ns - o.server_ns);
    struct tt_bench_one_run r = {.ran = true, .cpu_ns_per_op = client_ns / n,
                                 .server_ns_per_op = (double)o.server_ns / n, .hit_ratio = (double)o.hits / n,
                                 .ops_per_s = n * 1e9 / (double)(o.to.wall_ns - o.from.wall_ns)};
    if (c->clock == TT_BENCH_CPU)
        r.ops_per_s = n * 1e9 / client_ns * n_threads;
    /* A quick run is shorter than the ticks that the share is counted in. */
    r.qualifies = o.ops > 0 && (c->clock == TT_BENCH_CPU || b->quick ||
                                tt_cores_share(&o.from, &o.to, o.n_counted) >= QUALIFYING_SHARE);
    if (r.qualifies)
        tt_latency_merge(latency, &o.latency);
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

static struct tt_bench_ratio spread_of(double *v, unsigned n, unsigned n_all)
{
    struct tt_bench_ratio r = {.n_qualifying = n, .n_all = n_all};
    if (n > 0) {
        r.median = median_of(v, n);
        r.min = v[0];
        r.max = v[n - 1];
    }
    return r;
}

struct tt_bench_ratio tt_bench_compare(const struct tt_bench_result *r, size_t subject, size_t reference)
{
    double v[TT_BENCH_ROUNDS_MAX];
    unsigned n = 0;
    unsigned n_all = 0;
    for (unsigned i = 0; i < r->n_rounds; i++) {
        const struct tt_bench_one_run *a = &r->runs[i][subject];
        const struct tt_bench_one_run *b = &r->runs[i][reference];
        n_all += a->ran && b->ran;
        if (a->qualifies && b->qualifies)
            v[n++] = a->ops_per_s / b->ops_per_s;
    }
    return spread_of(v, n, n_all);
}

struct tt_bench_ratio tt_bench_extra_ns(const struct tt_bench_result *r, size_t subject, size_t reference)
{
    double v[TT_BENCH_ROUNDS_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < r->n_rounds; i++)
        if (r->runs[i][subject].qualifies && r->runs[i][reference].qualifies)
            v[n++] = r->runs[i][subject].cpu_ns_per_op - r->runs[i][reference].cpu_ns_per_op;
    return spread_of(v, n, r->n_rounds);
}

static double median_field(const struct tt_bench_result *r, size_t subject, size_t offset, bool all)
{
    double v[TT_BENCH_ROUNDS_MAX];
    size_t m = 0;
    for (unsigned i = 0; i < r->n_rounds; i++) {
        const struct tt_bench_one_run *run = &r->runs[i][subject];
        if (run->qualifies || (all && run->ran))
            v[m++] = *(const double *)((const char *)run + offset);
    }
    return median_of(v, m);
}

static void figures_fill(const struct tt_bench_case *c, struct tt_bench_result *r, size_t s,
                         const struct tt_latency *latency)
{
    struct tt_bench_figures *f = &r->of[s];
    for (unsigned i = 0; i < r->n_rounds; i++) {
        f->n_all += r->runs[i][s].ran;
        f->n_qualifying += r->runs[i][s].qualifies;
    }
    if (s == c->references[0])
        f->n_all += r->n_disturbed;
    bool all = f->n_qualifying == 0;
    f->ops_per_s = median_field(r, s, offsetof(struct tt_bench_one_run, ops_per_s), all);
    f->cpu_ns_per_op = median_field(r, s, offsetof(struct tt_bench_one_run, cpu_ns_per_op), all);
    f->server_ns_per_op = median_field(r, s, offsetof(struct tt_bench_one_run, server_ns_per_op), all);
    f->hit_ratio = median_field(r, s, offsetof(struct tt_bench_one_run, hit_ratio), all);
    f->p50_ns = tt_latency_ns(latency, 0.5);
    f->p99_ns = tt_latency_ns(latency, 0.99);
    f->p999_ns = tt_latency_ns(latency, 0.999);
    for (size_t i = 0; i < c->n_references; i++)
        f->against[i] = tt_bench_compare(r, s, c->references[i]);
}

/* Not every ratio of s that will be reported has as many rounds as it needs. */
static bool lacks_rounds(const struct tt_bench *b, const struct tt_bench_case *c, const struct tt_bench_result *r,
                         size_t s)
{
    unsigned wanted = c->subjects[s].rounds_wanted != 0 ? c->subjects[s].rounds_wanted : b->rounds_wanted;
    if (wanted > b->rounds_wanted)
        wanted = b->rounds_wanted;
    for (size_t i = 0; i < c->n_references; i++)
        if (tt_bench_compare(r, s, c->references[i]).n_qualifying < wanted)
            return true;
    return false;
}

/* Which subjects run in the next round; false: none has to. */
static bool round_plan(const struct tt_bench *b, const struct tt_bench_case *c, const struct tt_bench_result *r,
                       bool runs[TT_BENCH_SUBJECTS_MAX])
{
    bool any = false;
    for (size_t s = 0; s < c->n_subjects; s++) {
        runs[s] = lacks_rounds(b, c, r, s);
        any = any || runs[s];
    }
    for (size_t i = 0; i < c->n_references; i++)
        runs[c->references[i]] = true;
    return any;
}

/* The subjects' runs of one round. False, after the first reference's run, if that does not count: then no other would
 * count either. */
static bool round_run(struct tt_bench *b, const struct tt_bench_case *c, struct tt_bench_result *r,
                      const bool runs[TT_BENCH_SUBJECTS_MAX], struct tt_latency *latencies)
{
    struct tt_bench_one_run *round = r->runs[r->n_rounds];
    size_t first = c->references[0];
    unsigned number = r->n_rounds + r->n_disturbed;
    round[first] = run_once(b, c, first, number, &latencies[first]);
    if (!round[first].qualifies)
        return false;
    for (size_t s = 0; s < c->n_subjects; s++)
        if (runs[s] && s != first)
            round[s] = run_once(b, c, s, number, &latencies[s]);
    return true;
}

bool tt_bench_run(struct tt_bench *b, const struct tt_bench_case *c, struct tt_bench_result *r)
{
    bool runs[TT_BENCH_SUBJECTS_MAX];
    if (!tt_bench_wants(b, c->name, c->n_threads))
        return false;
    struct tt_latency *latencies = calloc(c->n_subjects, sizeof *latencies);
    if (latencies == NULL)
        tt_bench_die("out of memory");
    memset(r, 0, sizeof *r);
    b->n_cases++;
    int64_t end_ns = tt_wall_ns() + b->case_ns;
    while (r->n_rounds < b->rounds_max && round_plan(b, c, r, runs) && (r->n_rounds == 0 || tt_wall_ns() < end_ns)) {
        if (round_run(b, c, r, runs, latencies))
            r->n_rounds++;
        else if (tt_wall_ns() < end_ns)
            r->n_disturbed++;
        else
            break;
    }
    for (size_t s = 0; s < c->n_subjects; s++)
        figures_fill(c, r, s, &latencies[s]);
    free(latencies);
    tt_bench_report(b, c, r);
    return true;
}
