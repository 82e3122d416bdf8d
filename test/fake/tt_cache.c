/* The bench: a cache and what surrounds it. Events are recorded under a mutex of their own, with nothing else held, so
 * that a test may look at them from any thread; what a test adds to that runs without it. */
#include "tt_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tier/cache.h"
#include "tt_util.h"

/* ---- events ---- */

static void record_event(void *ctx, const struct cache_event *e)
{
    struct tt_events *events = ctx;
    if (e->kind >= TT_EVENT_KINDS)
        tt_die("event of unknown kind %u", e->kind);
    pthread_mutex_lock(&events->lock);
    events->told[e->kind]++;
    events->last[e->kind] = *e;
    int n = e->key.len < TT_TEXT ? (int)e->key.len : TT_TEXT - 1;
    snprintf(events->key[e->kind], TT_TEXT, "%.*s", n, n > 0 ? (const char *)e->key.data : "");
    events->last[e->kind].key = (struct cache_slice){ events->key[e->kind], (size_t)n };
    void (*then)(void *arg, const struct cache_event *event) = events->then;
    void *arg = events->arg;
    pthread_mutex_unlock(&events->lock);
    if (then != NULL)
        then(arg, e);
}

static const struct cache_event_ops event_ops = { CACHE_HOOKS_ABI, record_event };

unsigned tt_cache_told(struct tt_cache *b, uint32_t kind)
{
    pthread_mutex_lock(&b->events.lock);
    unsigned n = b->events.told[kind];
    pthread_mutex_unlock(&b->events.lock);
    return n;
}

struct cache_event tt_cache_last_event(struct tt_cache *b, uint32_t kind)
{
    pthread_mutex_lock(&b->events.lock);
    struct cache_event e = b->events.last[kind];
    pthread_mutex_unlock(&b->events.lock);
    return e;
}

/* ---- life ---- */

static void prepare(struct tt_cache *b, struct tt_backend *l2)
{
    memset(b, 0, sizeof *b);
    tt_clock_init(&b->clock);
    tt_alloc_init(&b->alloc);
    if (pthread_mutex_init(&b->events.lock, NULL) != 0)
        tt_die("no mutex");
    b->l2 = l2;
    b->opts = (struct cache_opts)CACHE_OPTS_INIT;
    b->opts.clock = &tt_clock_ops;
    b->opts.clock_ctx = &b->clock;
    b->opts.alloc = &tt_alloc_ops;
    b->opts.alloc_ctx = &b->alloc;
    b->opts.events = &event_ops;
    b->opts.events_ctx = &b->events;
    b->opts.backend = l2 != NULL ? tt_backend_table(l2) : NULL;
    b->opts.backend_ctx = l2;
    b->type_opts = (struct cache_type_opts)CACHE_TYPE_OPTS_INIT;
    b->type_opts.name = "t";
}

void tt_cache_prepare(struct tt_cache *b, bool with_l2)
{
    prepare(b, with_l2 ? tt_backend_new(NULL) : NULL);
}

void tt_cache_prepare_beside(struct tt_cache *b, struct tt_cache *other)
{
    prepare(b, tt_backend_new(other->l2));
}

int tt_cache_try_open(struct tt_cache *b)
{
    return cache_open(&b->opts, &b->c, b->err, sizeof b->err);
}

void tt_cache_open(struct tt_cache *b)
{
    int rc = tt_cache_try_open(b);
    if (rc != CACHE_OK)
        tt_die("no cache: %d, %s", rc, b->err);
    rc = cache_type_register(b->c, &b->type_opts, &b->type);
    if (rc != CACHE_OK)
        tt_die("no type: %d", rc);
}

bool tt_cache_fini(struct tt_cache *b)
{
    if (b->l2 != NULL)
        tt_backend_free(b->l2);
    bool clean = tt_alloc_is_clean(&b->alloc);
    tt_alloc_fini(&b->alloc);
    pthread_mutex_destroy(&b->events.lock);
    return clean;
}

bool tt_cache_close(struct tt_cache *b)
{
    bool sound = tc_l1_check(&b->c->l1);
    if (!sound)
        fprintf(stderr, "tt_cache: the accounts of L1 are wrong\n");
    int rc = cache_close(b->c, TT_SOON_MS);
    if (rc != CACHE_OK)
        tt_die("the cache does not close: %d", rc);
    return tt_cache_fini(b) && sound;
}

/* ---- keys ---- */

static bool is_taken(const struct tt_cache *b, uint64_t gate)
{
    for (unsigned i = 0; i < b->n_keys; i++)
        if (b->gates[i] == gate)
            return true;
    return false;
}

void tt_cache_key(struct tt_cache *b, struct cache_key *k)
{
    struct tc_target t;
    uint64_t attempt = 0, gate;
    if (b->n_keys == TT_CACHE_KEYS)
        tt_die("more than %d keys", TT_CACHE_KEYS);
    do {
        cache_key_u64(cache_key_u64(cache_key_init(k, b->type), b->n_keys), attempt++);
        if (tc_cache_target(b->c, k, &t) != CACHE_OK)
            tt_die("a key is refused");
        gate = tc_l1_gate_id(&b->c->l1, t.ref.hash);
    } while (is_taken(b, gate));
    b->gates[b->n_keys++] = gate;
}

struct cache_slice tt_cache_l2_key(const struct cache_key *k)
{
    static _Thread_local char text[TT_TEXT];
    size_t len = 0;
    if (cache_key_text(k, text, sizeof text, &len) != CACHE_OK)
        tt_die("a key without a short text");
    return (struct cache_slice){ text, len };
}

/* ---- look-ups ---- */

static struct tt_answer take(int status, struct cache_value *v)
{
    struct tt_answer a = { .status = status, .meta = v->meta };
    if (status == CACHE_OK)
        snprintf(a.text, sizeof a.text, "%.*s", (int)(v->len < TT_TEXT ? v->len : TT_TEXT - 1),
                 (const char *)v->data);
    cache_value_release(v);
    return a;
}

struct tt_answer tt_cache_get_with(struct tt_cache *b, const struct cache_key *k, uint32_t flags, int64_t timeout_ms,
                                   struct cache_ticket *ticket)
{
    struct cache_call o = CACHE_CALL_INIT;
    struct cache_value v;
    o.flags = flags;
    o.timeout_ms = timeout_ms;
    o.ticket = ticket;
    int rc = cache_get(b->c, k, &o, &v);
    return take(rc, &v);
}

struct tt_answer tt_cache_get(struct tt_cache *b, const struct cache_key *k)
{
    return tt_cache_get_with(b, k, 0, 0, NULL);
}

int tt_cache_set_with(struct tt_cache *b, const struct cache_key *k, const char *text, int64_t ttl_ms,
                      const struct cache_ticket *ticket)
{
    struct cache_set_opts o = CACHE_SET_OPTS_INIT;
    o.ttl_ms = ttl_ms;
    o.ticket = ticket;
    return cache_set(b->c, k, text, strlen(text), &o);
}

int tt_cache_set(struct tt_cache *b, const struct cache_key *k, const char *text)
{
    return tt_cache_set_with(b, k, text, 0, NULL);
}

int tt_cache_set_bytes(struct tt_cache *b, const struct cache_key *k, size_t len)
{
    void *bytes = memset(tt_xmalloc(len), 'x', len);
    int rc = cache_set(b->c, k, bytes, len, NULL);
    free(bytes);
    return rc;
}

bool tt_answer_is(const struct tt_answer *a, int status, const char *text)
{
    if (a->status == status && (text == NULL || strcmp(a->text, text) == 0))
        return true;
    fprintf(stderr, "tt_cache: answered %d \"%s\" (tier %u, flags %x), not %d \"%s\"\n", a->status, a->text,
            a->meta.tier, a->meta.flags, status, text != NULL ? text : "");
    return false;
}

struct tt_answer tt_cache_fetch_with(struct tt_cache *b, const struct cache_key *k, struct tt_loader *l,
                                     uint32_t flags, int64_t timeout_ms)
{
    struct cache_fetch_opts o = CACHE_FETCH_OPTS_INIT;
    struct cache_value v;
    o.flags = flags;
    o.load = tt_loader_run;
    o.user = l;
    o.timeout_ms = timeout_ms;
    int rc = cache_fetch(b->c, k, &o, &v);
    return take(rc, &v);
}

struct tt_answer tt_cache_fetch(struct tt_cache *b, const struct cache_key *k, struct tt_loader *l)
{
    return tt_cache_fetch_with(b, k, l, 0, 0);
}

struct cache_stats tt_cache_stats(struct tt_cache *b)
{
    struct cache_stats s;
    if (cache_stats_read(b->c, NULL, &s, sizeof s) != CACHE_OK)
        tt_die("no statistics");
    return s;
}

bool tt_cache_await_replayed(struct tt_cache *b)
{
    int64_t end_ms = tt_mono_ms() + TT_SOON_MS;
    while (tt_cache_stats(b).recovery_pending > 0)
        if (!tt_pause(end_ms))
            return false;
    return true;
}
