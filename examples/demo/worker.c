/* worker.c - a process that serves pages through the cache.
 *
 * Each thread is a client of its own: it draws a package, fetches its page through the cache, checks the answer and
 * notes how long it took and where it came from, and asks for the next. With --rate requests come as a Poisson stream
 * instead, however long the answers take; a thread that is late works without pausing until it has caught up.
 *
 * While L2 is out cache_fetch() answers with a page past its TTL in L1, flagged as stale, before it calls the origin. */
#include "worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "checker.h"
#include "page.h"
#include "tiercache/hooks.h"

struct worker {
    const struct demo *d;
    struct worker_results *results;
    struct cache *cache;
    struct cache_type *page;
};

struct client {
    struct worker *w;
    pthread_t thread;
    struct rng rng;
    struct page_reader reader;
    struct text text;
    uint32_t item; /* the package that this thread asks for now */
    enum phase phase;
};

static const int64_t ms_ns = 1000000;

int demo_cache_open(const struct demo *d, uint64_t l1_bytes, const struct cache_event_ops *events, void *events_ctx,
                    struct cache **c, struct cache_type **page, char *err, size_t err_cap)
{
    struct cache_opts o = CACHE_OPTS_INIT;
    o.name = "demo";
    o.l1_bytes = l1_bytes;
    o.l2_url = d->shared->l2_url;
    o.l2_timeout_ms = L2_TIMEOUT_MS;
    o.events = events;
    o.events_ctx = events_ctx;
    struct cache_type_opts t = CACHE_TYPE_OPTS_INIT;
    t.name = PAGE_TYPE_NAME;
    t.ttl_ms = PAGE_TTL_MS;
    t.l1_ttl_ms = PAGE_L1_TTL_MS;
    t.max_stale_ms = PAGE_MAX_STALE_MS;
    int rc = cache_open(&o, c, err, err_cap);
    if (rc != CACHE_OK)
        return rc;
    rc = cache_type_register(*c, &t, page);
    if (rc != CACHE_OK) {
        snprintf(err, err_cap, "cache_type_register: %s", cache_status_text(rc));
        cache_close(*c, 0);
    }
    return rc;
}

static void on_event(void *ctx, const struct cache_event *e)
{
    struct worker_results *r = ctx;
    if (e->kind == CACHE_EVENT_L2_DOWN) {
        atomic_fetch_add(&r->l2_outages, 1);
        atomic_store(&r->l2_out, 1);
    } else if (e->kind == CACHE_EVENT_L2_UP) {
        atomic_store(&r->l2_up_ns, now_ns());
        atomic_store(&r->l2_out, 0);
    }
}

/* The origin. Runs in the thread that missed; others of this process that miss the same page meanwhile wait for it. */
static int load_page(struct cache_load *ld, const struct cache_key *k, void *user)
{
    (void)k;
    struct client *cl = user;
    int64_t begin = now_ns();
    int found = page_render(&cl->reader, cl->w->d->catalogue.names[cl->item], &cl->text);
    int64_t took = now_ns() - begin;
    latency_add(&cl->w->results->origin[cl->phase], took);
    if (found == PAGE_ABSENT)
        return cache_load_absent(ld);
    if (found != PAGE_OK)
        return CACHE_E_USER_FIRST;
    if (took > LONGEST_LOAD_MS * ms_ns) {
        /* the second invalidation of a change might already have passed: see changes.c */
        cache_load_ttl(ld, CACHE_TTL_NONE);
        atomic_fetch_add(&cl->w->results->uncached_loads, 1);
    }
    return cache_load_reply(ld, cl->text.data, cl->text.len);
}

static int answer(struct client *cl, const struct cache_key *k, struct cache_value *v)
{
    struct cache_fetch_opts f = CACHE_FETCH_OPTS_INIT;
    f.load = load_page;
    f.user = cl;
    return cache_fetch(cl->w->cache, k, &f, v);
}

static enum source source_of(const struct cache_meta *m)
{
    if (m->flags & CACHE_META_STALE)
        return FROM_STALE;
    if (m->tier == CACHE_TIER_L1)
        return FROM_L1;
    if (m->tier == CACHE_TIER_L2)
        return FROM_L2;
    return m->flags & CACHE_META_JOINED ? FROM_JOINED : FROM_ORIGIN;
}

static void serve(struct client *cl)
{
    struct worker *w = cl->w;
    struct cache_key k;
    struct cache_value v = {0};
    int64_t begin = now_ns();
    cache_key_str(cache_key_init(&k, w->page), w->d->catalogue.names[cl->item]);
    int rc = answer(cl, &k, &v);
    int64_t took = now_ns() - begin;
    if (rc == CACHE_OK) {
        enum source from = source_of(&v.meta);
        latency_add(&w->results->latency[cl->phase][from], took);
        checker_judge(w->d, w->results, cl->item, v.data, v.len, from == FROM_STALE, begin);
        cache_value_release(&v);
    } else {
        atomic_fetch_add(&w->results->failed[cl->phase], 1);
        atomic_store(&w->results->last_status, rc);
    }
    cache_key_fini(&k);
}

static void sleep_until(int64_t due_ns)
{
    struct timespec t = {due_ns / 1000000000, due_ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void *client_main(void *arg)
{
    struct client *cl = arg;
    struct shared *s = cl->w->d->shared;
    int64_t due = now_ns();
    while (!atomic_load_explicit(&s->stop, memory_order_relaxed)) {
        cl->phase = (enum phase)atomic_load_explicit(&s->phase, memory_order_relaxed);
        int64_t now = now_ns();
        if (cl->phase == PHASE_WAIT) {
            due = now + 5 * ms_ns;
            sleep_until(due);
            continue;
        }
        if (now < due) {
            /* in steps, so that the end is noticed */
            sleep_until(due - now > 50 * ms_ns ? now + 50 * ms_ns : due);
            continue;
        }
        if (s->requests_per_second > 0) {
            if (now - due > 10 * ms_ns)
                atomic_fetch_add_explicit(&cl->w->results->behind[cl->phase], 1, memory_order_relaxed);
            due += traffic_gap_ns(&cl->rng, s->requests_per_second);
        }
        cl->item = traffic_draw(&cl->w->d->traffic, phase_skew(cl->phase), &cl->rng);
        serve(cl);
    }
    return NULL;
}

/* ---- the process ------------------------------------------------------------------------------------------------- */

static void publish_gauges(struct worker *w)
{
    struct cache_stats st;
    if (cache_stats_read(w->cache, NULL, &st, sizeof st) != CACHE_OK)
        return;
    atomic_store(&w->results->l1_bytes, st.l1_bytes);
    atomic_store(&w->results->l1_entries, st.l1_entries);
    atomic_store(&w->results->recovery_pending, st.recovery_pending);
}

static int serve_until_stop(struct worker *w, struct client *clients, uint32_t index)
{
    const struct shared *s = w->d->shared;
    uint32_t started = 0;
    int rc = 0;
    for (uint32_t i = 0; i < s->threads && rc == 0; i++) {
        struct client *cl = &clients[i];
        cl->w = w;
        rng_seed(&cl->rng, s->seed + (index + 1) * UINT64_C(1000003) + i);
        rc = page_reader_open(&cl->reader, s->db_path);
        if (rc == 0 && pthread_create(&cl->thread, NULL, client_main, cl) == 0)
            started++;
        else
            rc = -1;
    }
    atomic_store(&w->results->ready, rc == 0 ? 1 : -1);
    while (rc == 0 && !atomic_load(&s->stop)) {
        publish_gauges(w);
        sleep_until(now_ns() + 100 * ms_ns);
    }
    for (uint32_t i = 0; i < started; i++)
        pthread_join(clients[i].thread, NULL); /* on failure the parent sets stop */
    for (uint32_t i = 0; i < s->threads; i++) {
        page_reader_close(&clients[i].reader);
        text_fini(&clients[i].text);
    }
    return rc;
}

static int worker_main(const struct demo *d, uint32_t index)
{
    struct worker w = {d, &d->shared->worker[index], NULL, NULL};
    static const struct cache_event_ops events = {CACHE_HOOKS_ABI, on_event};
    char err[256] = "";
    while (!atomic_load(&d->shared->go)) {
        if (atomic_load(&d->shared->stop))
            return 0;
        sleep_until(now_ns() + 5 * ms_ns);
    }
    struct client *clients = calloc(d->shared->threads, sizeof *clients);
    int rc = clients ? demo_cache_open(d, d->shared->l1_bytes, &events, w.results, &w.cache, &w.page, err, sizeof err)
                     : CACHE_E_NOMEM;
    if (rc != CACHE_OK) {
        fprintf(stderr, "worker %u: %s: %s\n", index, cache_status_text(rc), err);
        atomic_store(&w.results->ready, -1);
        free(clients);
        return 1;
    }
    rc = serve_until_stop(&w, clients, index);
    int closed = cache_close(w.cache, 2000);
    if (closed != CACHE_OK)
        fprintf(stderr, "worker %u: cache_close: %s\n", index, cache_status_text(closed));
    free(clients);
    return rc == 0 && closed == CACHE_OK ? 0 : 1;
}

pid_t worker_start(const struct demo *d, uint32_t index)
{
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    /* Ctrl-C reaches the whole group; the parent ends the workers through shared->stop */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    _exit(worker_main(d, index));
}
