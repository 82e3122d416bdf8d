/* L1, memory under churn: two threads read, write and invalidate values whose sizes change from phase to phase, for ten
 * minutes under each limit, and the resident memory of the whole process is looked at twenty times a second. It shall
 * never exceed 1.10 times the limit and 8 MiB: what is lost between cells, in pages that are partly filled, to what
 * waits for readers and to malloc is all in there.
 *
 *   TC_CHURN_SECONDS=60 bench_churn     shorter runs */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "common/child.h"
#include "common/l1.h"
#include "common/report.h"
#include "tt_util.h"

enum { THREADS = 2, PHASES = 24, LEN_MOST = 16000, SAMPLE_MS = 50, KEYS = 4000000, PINS = 64 };

static const uint64_t LIMITS[] = {12u << 20, 64u << 20, 512u << 20};
static const double GATE_TIMES = 1.10;
static const double GATE_PLUS = 8 << 20;

/* ---- sizes ---- */

/* From least to most; log: small ones as often as large ones, counted by powers of two. */
struct mix {
    size_t least, most;
    bool log;
};

/* What fits into pages, and what does not. */
enum { MIXES = 8 };
static const struct law {
    const char *name;
    struct mix mixes[MIXES];
} laws[] = {
    {"8 to 1,900 bytes",
     {{64, 64, false}, {16, 1900, true}, {1000, 1000, false}, {16, 200, false},
      {500, 1900, true}, {200, 1900, false}, {8, 24, false}, {100, 400, true}}},
    {"8 to 16,000 bytes",
     {{64, 64, false}, {16, 8000, true}, {1000, 1000, false}, {16, 200, false},
      {2000, 16000, true}, {200, 2000, false}, {8, 24, false}, {16, 1900, true}}},
};

static size_t length(const struct mix *m, uint64_t random)
{
    double part = (double)(random >> 11) * 0x1p-53;
    if (m->log)
        return (size_t)((double)m->least * pow((double)m->most / (double)m->least, part));
    return m->least + (size_t)(part * (double)(m->most - m->least + 1));
}

/* ---- the threads ---- */

struct churn {
    const struct law *law;
    struct cache *cache;
    struct cache_type *type;
    _Atomic unsigned phase;
    _Atomic bool done;
    _Atomic uint64_t ops, refused;
};

struct worker {
    pthread_t id;
    struct churn *churn;
    uint64_t random;
    struct cache_value pins[PINS];
    unsigned char value[LEN_MOST];
};

/* Some keys are asked for far more often than others. */
static void pick_key(struct worker *w, struct cache_key *k)
{
    double u = (double)(tt_random(&w->random) >> 11) * 0x1p-53;
    cache_key_u64(cache_key_init(k, w->churn->type), (uint64_t)(u * u * u * KEYS));
}

static void store(struct worker *w, const struct cache_key *k)
{
    const struct mix *m = &w->churn->law->mixes[atomic_load(&w->churn->phase) % MIXES];
    int rc = cache_set(w->churn->cache, k, w->value, length(m, tt_random(&w->random)), NULL);
    if (rc != CACHE_OK && rc != CACHE_E_TICKET)
        atomic_fetch_add(&w->churn->refused, 1);
}

static void pin(struct worker *w, const struct cache_key *k, size_t at)
{
    cache_value_release(&w->pins[at]);
    w->pins[at] = (struct cache_value){0};
    cache_get(w->churn->cache, k, NULL, &w->pins[at]);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct cache_key k;
    unsigned char buf[LEN_MOST];
    uint64_t ops = 0;
    for (; !atomic_load_explicit(&w->churn->done, memory_order_relaxed); ops++) {
        uint64_t what = tt_random(&w->random) % 100;
        pick_key(w, &k);
        if (what < 5)
            cache_invalidate(w->churn->cache, &k, NULL);
        else if (what < 10)
            pin(w, &k, ops % PINS);
        else if (what < 40 || cache_get_copy(w->churn->cache, &k, buf, sizeof buf, NULL) == CACHE_MISS)
            store(w, &k);
    }
    for (size_t i = 0; i < PINS; i++)
        cache_value_release(&w->pins[i]);
    atomic_fetch_add(&w->churn->ops, ops);
    return NULL;
}

/* ---- one limit, in a process of its own ---- */

struct seen {
    double most, last; /* resident bytes */
    uint64_t ops, refused;
};

static void watch(struct churn *c, double seconds, struct seen *seen)
{
    int64_t begin = tt_mono_ms();
    double passed = 0;
    while (passed < seconds) {
        nanosleep(&(struct timespec){0, SAMPLE_MS * 1000000}, NULL);
        passed = (double)(tt_mono_ms() - begin) / 1e3;
        atomic_store(&c->phase, (unsigned)(passed / seconds * PHASES));
        seen->last = tt_bench_resident_bytes();
        seen->most = seen->last > seen->most ? seen->last : seen->most;
    }
}

struct wish {
    const struct law *law;
    uint64_t limit;
    double seconds;
};

static void run(const void *arg, void *result)
{
    const struct wish *wish = arg;
    static struct worker workers[THREADS];
    struct churn c = {.law = wish->law};
    struct seen seen = {0, 0, 0, 0};
    c.cache = tt_l1_open_cache(wish->limit, 0, &c.type);
    for (size_t i = 0; i < THREADS; i++) {
        workers[i].churn = &c;
        workers[i].random = 1000 + i;
        if (pthread_create(&workers[i].id, NULL, work, &workers[i]) != 0)
            tt_bench_die("cannot start a thread");
    }
    watch(&c, wish->seconds, &seen);
    atomic_store(&c.done, true);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(workers[i].id, NULL);
    if (cache_close(c.cache, 1000) != CACHE_OK)
        tt_bench_die("cache_close failed");
    seen.ops = c.ops;
    seen.refused = c.refused;
    *(struct seen *)result = seen;
}

static void measure(struct tt_bench *b, const struct law *law, uint64_t limit, double seconds)
{
    char name[96];
    double mib = (double)limit / 1048576;
    snprintf(name, sizeof name, "L1 churn, %s, %.0f MiB", law->name, mib);
    if (!tt_bench_wants(b, name, THREADS))
        return;
    b->n_cases++;
    struct seen s;
    tt_bench_in_child(run, &(struct wish){law, limit, seconds}, &s, sizeof s);
    printf("\n%s, %.0f s: %llu operations, %llu sets refused\n", name, seconds, (unsigned long long)s.ops,
           (unsigned long long)s.refused);
    printf("     resident at most %.1f MiB (%.2f x the limit), %.1f at the end\n", s.most / 1048576,
           s.most / (double)limit, s.last / 1048576);
    tt_bench_gate_value(b, name, s.most / 1048576, (GATE_TIMES * (double)limit + GATE_PLUS) / 1048576, true);
}

int main(int argc, char **argv)
{
    struct tt_bench b;
    tt_bench_init(&b, argc, argv, "L1, memory under churn of mixed sizes: MiB resident");
    const char *wished = getenv("TC_CHURN_SECONDS");
    double seconds = b.quick ? 1 : wished != NULL ? atof(wished) : 600;
    for (size_t i = 0; i < sizeof laws / sizeof *laws; i++)
        for (size_t j = 0; j < sizeof LIMITS / sizeof *LIMITS; j++)
            measure(&b, &laws[i], LIMITS[j], seconds);
    return tt_bench_fini(&b);
}
