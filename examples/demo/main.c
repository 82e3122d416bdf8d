/* main.c - the parent: builds the origin, starts Redis and the workers, drives the phases, prints the verdict.
 *
 * Order matters: the workers are forked while this process has no cache, no database connection and no thread. They
 * wait until the tiers' sizes are settled, then each opens its own cache. Everything is in one temporary directory;
 * every child dies with this process, however it ends. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "checker.h"
#include "report.h"
#include "screen.h"
#include "server.h"
#include "sizing.h"
#include "tempdir.h"
#include "worker.h"

enum { EXIT_ROWS = 1, EXIT_SETUP = 2, EXIT_SLOW = 3, EXIT_INTERRUPTED = 130, OUTAGE_S = 5 };

struct options {
    double seconds, rate;
    uint32_t workers, threads;
    uint64_t seed;
    const char *source;
    int plain;
};

struct parent {
    struct options o;
    struct demo d;
    struct server server;
    struct sizing sizing;
    struct screen screen;
    struct changes changes;
    struct cache *cache;
    pid_t workers[MAX_WORKERS];
    char dir[128];
    double seconds[PHASES];
    int64_t start_ns, resumed_ns;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
    (void)sig;
    interrupted = 1;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static const char usage_text[] =
    "usage: demo [options]\n"
    "  --seconds N   length of the whole run, 25 to 3600 (default 50)\n"
    "  --workers N   worker processes, 1 to 8 (default 2)\n"
    "  --threads N   threads in each, 1 to 32 (default 3)\n"
    "  --rate N      requests per second of each worker, however long the answers take;\n"
    "                0 (default): each thread is a client that asks for the next page when it has the last\n"
    "  --seed N      of the traffic (default: from the clock; printed)\n"
    "  --source S    auto, apt, dpkg or files: where the packages come from (default auto)\n"
    "  --plain       plain lines, also on a terminal\n"
    "Exit status: 0 every row passed, 1 a row failed, 2 it could not run, 3 only rows failed that a machine\n"
    "busy with other work fails too (hit ratio, latency, origin calls: they count what was done in a time).\n";

static int number(const char *text, double min, double max, double *out)
{
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    return errno == 0 && end != text && !*end && *out >= min && *out <= max ? 0 : -1;
}

static int parse_options(struct options *o, int argc, char **argv)
{
    static const struct option longs[] = {
        {"seconds", required_argument, NULL, 's'}, {"workers", required_argument, NULL, 'w'},
        {"threads", required_argument, NULL, 't'}, {"rate", required_argument, NULL, 'r'},
        {"seed", required_argument, NULL, 'e'},    {"source", required_argument, NULL, 'o'},
        {"plain", no_argument, NULL, 'p'},         {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    *o = (struct options){50, 0, 2, 3, (uint64_t)now_ns() % 1000000, "auto", 0};
    double v = 0;
    int c, bad = 0;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 's': bad |= number(optarg, 25, 3600, &o->seconds); break;
        case 'w': bad |= number(optarg, 1, MAX_WORKERS, &v); o->workers = (uint32_t)v; break;
        case 't': bad |= number(optarg, 1, MAX_THREADS, &v); o->threads = (uint32_t)v; break;
        case 'r': bad |= number(optarg, 0, 1e6, &o->rate); break;
        case 'e': bad |= number(optarg, 0, 1e15, &v); o->seed = (uint64_t)v; break;
        case 'o': o->source = optarg; break;
        case 'p': o->plain = 1; break;
        case 'h': fputs(usage_text, stdout); exit(0);
        default: bad = -1;
        }
    }
    static const char *const sources[] = {"auto", "apt", "dpkg", "files"};
    int known = 0;
    for (int i = 0; i < 4; i++)
        known |= strcmp(o->source, sources[i]) == 0;
    bad |= !known;
    if (bad || optind < argc)
        fputs(usage_text, stderr);
    return bad || optind < argc ? -1 : 0;
}

/* ---- setting up -------------------------------------------------------------------------------------------------- */

/* Everything before the fork. Returns 0, or -1 with a sentence in err. */
static int prepare(struct parent *p, char *err, size_t err_cap)
{
    struct demo *d = &p->d;
    char db[sizeof p->dir + 16];
    if (checker_selftest() != 0) {
        snprintf(err, err_cap, "the checker does not find wrong answers");
        return -1;
    }
    if (tempdir_make(p->dir, sizeof p->dir) != 0) {
        snprintf(err, err_cap, "no temporary directory: %s", strerror(errno));
        return -1;
    }
    snprintf(db, sizeof db, "%s/origin.db", p->dir);
    screen_note(&p->screen, "building the origin, a SQLite database in %s", p->dir);
    if (catalogue_build(db, p->o.source, &d->catalogue, err, err_cap) != 0)
        return -1;
    d->shared = shared_map(d->catalogue.n);
    if (!d->shared || traffic_init(&d->traffic, d->catalogue.n, p->o.seed) != 0) {
        snprintf(err, err_cap, "out of memory");
        return -1;
    }
    struct shared *s = d->shared;
    s->workers = p->o.workers;
    s->threads = p->o.threads;
    s->seed = p->o.seed;
    s->requests_per_second = p->o.rate / p->o.threads;
    snprintf(s->db_path, sizeof s->db_path, "%s", db);
    screen_note(&p->screen, "%u records, %u edges: %s", d->catalogue.n, d->catalogue.edges, d->catalogue.source);
    if (sizing_measure(&p->sizing, d) != 0) {
        snprintf(err, err_cap, "rendering pages failed");
        return -1;
    }
    s->l1_bytes = p->sizing.l1_bytes;
    if (server_start(&p->server, p->dir, err, err_cap) != 0)
        return -1;
    if ((size_t)snprintf(s->l2_url, sizeof s->l2_url, "unix://%s", p->server.socket) >= sizeof s->l2_url)
        return -1;
    screen_note(&p->screen, "%s %s on a private socket", p->server.program, p->server.version);
    return interrupted ? -1 : 0;
}

static int start_workers(struct parent *p, char *err, size_t err_cap)
{
    struct shared *s = p->d.shared;
    struct cache_type *page;
    for (uint32_t i = 0; i < s->workers; i++) {
        p->workers[i] = worker_start(&p->d, i);
        if (p->workers[i] < 0) {
            snprintf(err, err_cap, "fork: %s", strerror(errno));
            return -1;
        }
    }
    if (demo_cache_open(&p->d, 1 << 20, NULL, NULL, &p->cache, &page, err, err_cap) != CACHE_OK)
        return -1;
    if (sizing_limit_l2(&p->sizing, &p->d, &p->server, p->cache, page) != 0 ||
        changes_open(&p->changes, &p->d, p->cache, page) != 0) {
        snprintf(err, err_cap, "setting up Redis or the database failed");
        return -1;
    }
    atomic_store(&s->go, 1);
    for (int64_t give_up = now_ns() + INT64_C(10000000000); now_ns() < give_up && !interrupted; pause_ms(5)) {
        uint32_t ready = 0;
        for (uint32_t i = 0; i < s->workers; i++)
            ready += atomic_load(&s->worker[i].ready) == 1;
        if (ready == s->workers)
            return 0;
    }
    snprintf(err, err_cap, "the workers did not start");
    return -1;
}

/* ---- the phases -------------------------------------------------------------------------------------------------- */

static int worker_died(struct parent *p)
{
    for (uint32_t i = 0; i < p->o.workers; i++) {
        if (p->workers[i] > 0 && waitpid(p->workers[i], NULL, WNOHANG) == p->workers[i]) {
            p->workers[i] = 0;
            fprintf(stderr, "worker %u died\n", i);
            return 1;
        }
    }
    return 0;
}

/* Runs a phase for so many seconds. quiet_s: no new changes in its last seconds. Returns 0, or -1 to break off. */
static int run_phase(struct parent *p, enum phase phase, double seconds, double changes_per_second, double quiet_s)
{
    int64_t begin = now_ns(), end = begin + (int64_t)(seconds * 1e9), quiet = end - (int64_t)(quiet_s * 1e9);
    int rc = 0;
    atomic_store(&p->d.shared->phase, phase);
    while (rc == 0 && now_ns() < end) {
        rc = changes_tick(&p->changes, now_ns() < quiet ? changes_per_second : 0);
        screen_tick(&p->screen, p->d.shared, &p->changes);
        if (interrupted || worker_died(p))
            rc = -1;
        pause_ms(1);
    }
    p->seconds[phase] = (double)(now_ns() - begin) / 1e9;
    return rc;
}

static int run_phases(struct parent *p)
{
    static const struct {
        enum phase phase;
        double weight, changes, quiet_s;
        const char *note;
    } plan[] = {
        {PHASE_UNIFORM, 5, 0, 0, "every package is as likely as any other"},
        {PHASE_ZIPF_080, 5, 0, 0, "some packages are popular: Zipf 0.80"},
        {PHASE_WARM_099, 5, 0, 0, "Zipf 0.99: the caches adapt (not judged)"},
        {PHASE_ZIPF_099, 7, 0, 0, "Zipf 0.99: hit ratio and latencies are judged"},
        {PHASE_CHANGES, 8, 50, 0, "50 packages a second change in the database and are invalidated"},
        {PHASE_OUTAGE, 0, 50, 0, "Redis is stopped (SIGSTOP) for 5 seconds; the changes go on"},
        {PHASE_RECOVERY, 4, 50, 2, "Redis goes on (SIGCONT)"},
    };
    double total = 0, left = p->o.seconds - (double)(now_ns() - p->start_ns) / 1e9 - OUTAGE_S - 1.5;
    int rc = 0;
    for (size_t i = 0; i < sizeof plan / sizeof *plan; i++)
        total += plan[i].weight;
    if (left < 15) {
        screen_note(&p->screen, "preparing took long: the run will take %.0f s more than asked for", 15 - left);
        left = 15;
    }
    for (size_t i = 0; i < sizeof plan / sizeof *plan && rc == 0; i++) {
        double seconds = plan[i].phase == PHASE_OUTAGE ? OUTAGE_S : left * plan[i].weight / total;
        screen_note(&p->screen, "%s", plan[i].note);
        if (plan[i].phase == PHASE_OUTAGE)
            server_pause(&p->server);
        rc = run_phase(p, plan[i].phase, seconds, plan[i].changes, plan[i].quiet_s < seconds / 2 ? plan[i].quiet_s
                                                                                                : seconds / 2);
        if (plan[i].phase == PHASE_OUTAGE) {
            server_resume(&p->server);
            p->resumed_ns = now_ns();
        }
    }
    /* the last changes' second acknowledgements; they fail their row if they do not come */
    for (int64_t give_up = now_ns() + 3000000000; rc == 0 && changes_open_count(&p->changes) > p->changes.lost &&
         now_ns() < give_up && !interrupted; pause_ms(1))
        rc = changes_tick(&p->changes, 0);
    atomic_store(&p->d.shared->phase, PHASE_WAIT);
    return rc;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

/* Ends the workers: asked first, killed after three seconds. Returns how many did not end well. */
static int stop_workers(struct parent *p)
{
    int bad = 0;
    int64_t give_up = now_ns() + INT64_C(3000000000);
    if (p->d.shared)
        atomic_store(&p->d.shared->stop, 1);
    for (uint32_t i = 0; i < MAX_WORKERS; i++) {
        int status = 0;
        pid_t ended = 0;
        if (p->workers[i] <= 0)
            continue;
        while ((ended = waitpid(p->workers[i], &status, WNOHANG)) == 0 && now_ns() < give_up)
            pause_ms(5);
        if (ended == 0) {
            kill(p->workers[i], SIGKILL);
            waitpid(p->workers[i], &status, 0);
        }
        bad += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
        p->workers[i] = 0;
    }
    return bad;
}

static int clean_up(struct parent *p)
{
    int bad = stop_workers(p);
    changes_close(&p->changes);
    if (p->cache && cache_close(p->cache, 1000) != CACHE_OK)
        bad++;
    server_kill(&p->server);
    if (p->dir[0])
        tempdir_remove(p->dir);
    traffic_fini(&p->d.traffic);
    if (p->d.shared)
        shared_unmap(p->d.shared, p->d.catalogue.n);
    catalogue_fini(&p->d.catalogue);
    return bad;
}

static int run(struct parent *p)
{
    char err[512] = "interrupted";
    int rc = prepare(p, err, sizeof err);
    if (rc == 0)
        rc = start_workers(p, err, sizeof err);
    if (rc != 0) {
        screen_end(&p->screen);
        fprintf(stderr, "demo: %s\n", interrupted ? "interrupted" : err);
        return interrupted ? EXIT_INTERRUPTED : EXIT_SETUP;
    }
    const struct sizing *z = &p->sizing;
    screen_note(&p->screen,
                "pages %.1f MB; L1 %.1f MB in each of %u workers; L2 %.1f MB (maxmemory %.1f MB: Redis takes %.2f "
                "bytes for each)",
                (double)z->pages_bytes / 1e6, (double)z->l1_bytes / 1e6, p->o.workers, (double)z->l2_bytes / 1e6,
                (double)z->maxmemory / 1e6, z->redis_factor);
    rc = run_phases(p);
    screen_end(&p->screen);
    if (rc != 0) {
        fprintf(stderr, "demo: %s\n", interrupted ? "interrupted" : "broke off: a worker or the database failed");
        return interrupted ? EXIT_INTERRUPTED : EXIT_SETUP;
    }
    switch (report_print(p->d.shared, &p->changes, p->seconds, p->resumed_ns)) {
    case VERDICT_PASSED: return 0;
    case VERDICT_SLOW: return EXIT_SLOW;
    default: return EXIT_ROWS;
    }
}

int main(int argc, char **argv)
{
    static struct parent p;
    struct sigaction sa = {.sa_handler = on_signal};
    p.start_ns = now_ns();
    if (parse_options(&p.o, argc, argv) != 0)
        return EXIT_SETUP;
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGHUP, &sa, NULL);
    signal(SIGPIPE, SIG_IGN); /* a reader of our output that goes away must not keep us from cleaning up */
    screen_init(&p.screen, p.o.plain);
    printf("libtiercache demo: %u workers x %u threads, --rate %.0f --seed %llu\n", p.o.workers, p.o.threads, p.o.rate,
           (unsigned long long)p.o.seed);
    int rc = run(&p);
    int bad = clean_up(&p);
    if (bad && (rc == 0 || rc == EXIT_SLOW)) {
        fprintf(stderr, "demo: %d processes or caches did not end well\n", bad);
        rc = EXIT_ROWS;
    }
    if (rc == 0)
        printf("\nall rows passed, %.0f s\n", (double)(now_ns() - p.start_ns) / 1e9);
    else if (rc == EXIT_ROWS || rc == EXIT_SLOW)
        printf("\nNOT all rows passed, %.0f s\n", (double)(now_ns() - p.start_ns) / 1e9);
    return rc;
}
