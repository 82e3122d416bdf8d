/* Waiting is done by polling with yields of a millisecond at most, so that no test sleeps for a guessed time. */
#include "tt_util.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { CREW_HANGS_S = 60, PAUSE_US = 500 };

/* ---- time ---- */

int64_t tt_mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The second field of the kernel's account is the time on a run queue; where there is no account it counts as none. */
int64_t tt_ran_ms(void)
{
    unsigned long long ran_ns, queued_ns = 0;
    int64_t now_ms = tt_mono_ms();
    FILE *f = fopen("/proc/thread-self/schedstat", "re");
    if (f && fscanf(f, "%llu %llu", &ran_ns, &queued_ns) != 2)
        queued_ns = 0;
    if (f)
        fclose(f);
    return now_ms - (int64_t)(queued_ns / 1000000);
}

bool tt_pause(int64_t end_ms)
{
    struct timespec t = {.tv_nsec = PAUSE_US * 1000};
    nanosleep(&t, NULL);
    return tt_mono_ms() < end_ms;
}

/* ---- threads ---- */

struct crew_member {
    struct tt_crew *crew;
    pthread_t thread;
    unsigned index;
    _Atomic pid_t tid; /* 0: not yet running */
    int failures;
};

struct tt_crew {
    tt_crew_fn *fn;
    void *arg;
    pthread_barrier_t start;
    unsigned n;
    struct crew_member member[];
};

static void *run_member(void *p)
{
    struct crew_member *m = p;
    atomic_store(&m->tid, gettid());
    pthread_barrier_wait(&m->crew->start);
    m->failures = m->crew->fn(m->crew->arg, m->index);
    return NULL;
}

struct tt_crew *tt_crew_start(unsigned n, tt_crew_fn *fn, void *arg)
{
    struct tt_crew *c = tt_xcalloc(sizeof(*c) + n * sizeof(c->member[0]));
    c->fn = fn;
    c->arg = arg;
    c->n = n;
    if (pthread_barrier_init(&c->start, NULL, n))
        tt_die("no barrier for %u threads", n);
    for (unsigned i = 0; i < n; i++) {
        c->member[i].crew = c;
        c->member[i].index = i;
        if (pthread_create(&c->member[i].thread, NULL, run_member, &c->member[i]))
            tt_die("no thread %u of %u", i, n);
    }
    return c;
}

/* The third field of the kernel's account of a thread, behind its name in parentheses. */
static bool sleeps(pid_t tid)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
    FILE *f = tid ? fopen(path, "re") : NULL;
    if (!f)
        return false;
    char *end = fgets(text, sizeof(text), f) ? strrchr(text, ')') : NULL;
    fclose(f);
    return end && end[1] == ' ' && end[2] == 'S';
}

bool tt_crew_sleeps(struct tt_crew *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        if (!sleeps(atomic_load(&c->member[i].tid)))
            return false;
    }
    return true;
}

int tt_crew_join(struct tt_crew *c)
{
    struct timespec end;
    int failures = 0;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += CREW_HANGS_S;
    for (unsigned i = 0; i < c->n; i++) {
        if (pthread_timedjoin_np(c->member[i].thread, NULL, &end))
            tt_die("thread %u of %u hangs", i, c->n);
        failures += c->member[i].failures;
    }
    pthread_barrier_destroy(&c->start);
    free(c);
    return failures;
}

void tt_say_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: not true: %s\n", file, line, what);
}

/* ---- bytes ---- */

void *tt_xmalloc(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p)
        tt_die("out of memory (%zu bytes)", n);
    return p;
}

void *tt_xcalloc(size_t n)
{
    return memset(tt_xmalloc(n), 0, n);
}

void *tt_xmemdup(const void *p, size_t n)
{
    void *q = tt_xmalloc(n);
    if (n)
        memcpy(q, p, n);
    return q;
}

static void buf_reserve(struct tt_buf *b, size_t n)
{
    if (b->cap - b->len >= n)
        return;
    size_t cap = b->cap ? b->cap : 256;
    while (cap - b->len < n)
        cap *= 2;
    char *data = realloc(b->data, cap);
    if (!data)
        tt_die("out of memory (%zu bytes)", cap);
    b->data = data;
    b->cap = cap;
}

void tt_buf_add(struct tt_buf *b, const void *p, size_t n)
{
    buf_reserve(b, n);
    if (n)
        memcpy(b->data + b->len, p, n);
    b->len += n;
}

void tt_buf_print(struct tt_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    buf_reserve(b, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
}

void tt_buf_drop(struct tt_buf *b, size_t n)
{
    if (n < b->len)
        memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
}

void tt_buf_free(struct tt_buf *b)
{
    free(b->data);
    memset(b, 0, sizeof(*b));
}

void tt_die(const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "test support: ");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n");
    abort();
}

/* ---- random ---- */

uint64_t tt_seed(void)
{
    uint64_t seed;
    const char *given = getenv("SEED");
    if (given)
        seed = strtoull(given, NULL, 0);
    else if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        tt_die("no randomness");
    printf("SEED=%" PRIu64 "\n", seed);
    fflush(stdout);
    return seed;
}

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
uint64_t tt_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* ---- directory and descriptors ---- */

static pthread_once_t temp_once = PTHREAD_ONCE_INIT;
static char temp_dir[64];
static pid_t temp_owner;
static _Atomic unsigned temp_names;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* A forked child that ends by exit() must not remove its parent's directory. */
static void remove_temp_dir(void)
{
    if (getpid() == temp_owner)
        nftw(temp_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void make_temp_dir(void)
{
    const char *base = getenv("TMPDIR");
    if (!base || strlen(base) > sizeof(temp_dir) - sizeof("/tiercache-test-XXXXXX"))
        base = "/tmp";
    snprintf(temp_dir, sizeof(temp_dir), "%s/tiercache-test-XXXXXX", base);
    if (!mkdtemp(temp_dir))
        tt_die("no temporary directory %s: %s", temp_dir, strerror(errno));
    temp_owner = getpid();
    atexit(remove_temp_dir);
}

const char *tt_temp_dir(void)
{
    pthread_once(&temp_once, make_temp_dir);
    return temp_dir;
}

char *tt_temp_path(const char *suffix)
{
    struct tt_buf b = {0};
    tt_buf_print(&b, "%s/%u%s", tt_temp_dir(), atomic_fetch_add(&temp_names, 1), suffix);
    return b.data; /* printed with a NUL behind it */
}

unsigned tt_count_fds(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        tt_die("cannot list /proc/self/fd");
    while (readdir(d))
        n++;
    closedir(d);
    return n - 3; /* ".", ".." and the directory itself */
}
