/* The test's side of the fake backend: its life, its faults, its counters, and what it stores. */
#include <stdlib.h>

#include "tiercache.h"
#include "tiercache/hooks.h"
#include "tt_backend_priv.h"
#include "tt_util.h"

/* ---- life ---- */

static struct tt_server *hold_server(struct tt_server *shared)
{
    if (shared) {
        atomic_fetch_add(&shared->refs, 1);
        return shared;
    }
    struct tt_server *s = tt_xcalloc(sizeof(*s));
    pthread_mutex_init(&s->lock, NULL);
    s->values = tt_store_new();
    atomic_init(&s->refs, 1);
    return s;
}

static void release_server(struct tt_server *s)
{
    if (atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    tt_store_free(s->values);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void free_late(struct tt_late *l)
{
    free((void *)l->key.data);
    free((void *)l->data.data);
    free(l);
}

struct tt_backend *tt_backend_new(struct tt_backend *shared_with)
{
    struct tt_backend *b = tt_xcalloc(sizeof(*b));
    b->table = tt_backend_complete_table;
    b->server = hold_server(shared_with ? shared_with->server : NULL);
    atomic_init(&b->health, CACHE_BACKEND_UP);
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
    b->faults_end = &b->faults;
    b->late_end = &b->late;
    return b;
}

static void clear_locked(struct tt_backend *b)
{
    while (b->faults) {
        struct tt_fault *f = b->faults;
        b->faults = f->next;
        free(f);
    }
    b->faults_end = &b->faults;
}

static struct tt_late *take_late(struct tt_backend *b)
{
    pthread_mutex_lock(&b->lock);
    struct tt_late *l = b->late;
    b->late = NULL;
    b->late_end = &b->late;
    pthread_mutex_unlock(&b->lock);
    return l;
}

void tt_backend_free(struct tt_backend *b)
{
    tt_backend_clear(b);
    for (struct tt_late *l = take_late(b), *next; l; l = next) {
        next = l->next;
        free_late(l);
    }
    release_server(b->server);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

struct cache_backend_ops *tt_backend_table(struct tt_backend *b)
{
    return &b->table;
}

static void add_fault(struct tt_backend *b, struct tt_fault fault)
{
    struct tt_fault *f = tt_xmemdup(&fault, sizeof(fault));
    pthread_mutex_lock(&b->lock);
    *b->faults_end = f;
    b->faults_end = &f->next;
    pthread_mutex_unlock(&b->lock);
}

void tt_backend_fail(struct tt_backend *b, enum tt_slot slot, unsigned times, int status, enum tt_run run)
{
    add_fault(b, (struct tt_fault){.slot = slot, .left = times, .status = status, .run = run});
}

void tt_backend_fail_elements(struct tt_backend *b, enum tt_slot slot, uint64_t mask, int status, enum tt_run run)
{
    add_fault(b, (struct tt_fault){.slot = slot, .left = 1, .status = status, .run = run, .mask = mask});
}

void tt_backend_clear(struct tt_backend *b)
{
    pthread_mutex_lock(&b->lock);
    clear_locked(b);
    pthread_mutex_unlock(&b->lock);
}

size_t tt_backend_run_late(struct tt_backend *b)
{
    size_t n = 0;
    for (struct tt_late *l = take_late(b), *next; l; l = next, n++) {
        next = l->next;
        if (l->is_set)
            tt_server_set(b, l->key, l->data, l->ttl_ms);
        else
            tt_server_del(b, l->key);
        free_late(l);
    }
    return n;
}

void tt_backend_set_health(struct tt_backend *b, int health)
{
    int before = atomic_exchange(&b->health, health);
    if (before == health)
        return;
    pthread_mutex_lock(&b->lock);
    const struct cache_backend_host *host = b->host;
    if (host && health == CACHE_BACKEND_UP) {
        b->stats.reconnects += b->stats.connects > 0;
        b->stats.connects++;
    }
    if (host)
        b->in_host++;
    pthread_mutex_unlock(&b->lock);
    if (!host)
        return;
    if (health == CACHE_BACKEND_UP)
        host->report(host->host, CACHE_LOG_INFO, CACHE_OK, "the fake server is up");
    else if (before == CACHE_BACKEND_UP)
        host->report(host->host, CACHE_LOG_WARNING, CACHE_E_UNAVAILABLE, "the fake server is down");
    host->wake(host->host);
    b->in_host--;
}

void tt_backend_block(struct tt_backend *b, enum tt_slot slot, bool after)
{
    pthread_mutex_lock(&b->lock);
    if (after)
        b->barrier[slot].after = true;
    else
        b->barrier[slot].before = true;
    pthread_mutex_unlock(&b->lock);
}

static unsigned blocked(struct tt_backend *b, enum tt_slot slot)
{
    pthread_mutex_lock(&b->lock);
    unsigned waiting = b->barrier[slot].waiting;
    pthread_mutex_unlock(&b->lock);
    return waiting;
}

bool tt_backend_await_blocked(struct tt_backend *b, enum tt_slot slot, unsigned n)
{
    int64_t end_ms = tt_mono_ms() + TT_SOON_MS;
    while (blocked(b, slot) < n) {
        if (!tt_pause(end_ms))
            return false;
    }
    return true;
}

void tt_backend_release(struct tt_backend *b, enum tt_slot slot)
{
    pthread_mutex_lock(&b->lock);
    b->barrier[slot].before = b->barrier[slot].after = false;
    pthread_cond_broadcast(&b->changed);
    while (b->barrier[slot].waiting)
        pthread_cond_wait(&b->changed, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

static uint64_t sum_locked(const uint64_t *per_slot, enum tt_slot slot)
{
    uint64_t sum = 0;
    for (int i = 0; i < TT_SLOTS; i++)
        sum += slot == TT_ANY_SLOT || slot == (enum tt_slot)i ? per_slot[i] : 0;
    return sum;
}

uint64_t tt_backend_calls(struct tt_backend *b, enum tt_slot slot)
{
    pthread_mutex_lock(&b->lock);
    uint64_t n = sum_locked(b->calls, slot);
    pthread_mutex_unlock(&b->lock);
    return n;
}

uint64_t tt_backend_elements(struct tt_backend *b, enum tt_slot slot)
{
    pthread_mutex_lock(&b->lock);
    uint64_t n = sum_locked(b->elements, slot);
    pthread_mutex_unlock(&b->lock);
    return n;
}

uint64_t tt_backend_round_trips(struct tt_backend *b)
{
    pthread_mutex_lock(&b->lock);
    uint64_t n = b->stats.round_trips;
    pthread_mutex_unlock(&b->lock);
    return n;
}

uint64_t tt_backend_maintains(struct tt_backend *b)
{
    pthread_mutex_lock(&b->lock);
    uint64_t n = b->maintains;
    pthread_mutex_unlock(&b->lock);
    return n;
}

static unsigned read_counter(struct tt_backend *b, const unsigned *counter)
{
    pthread_mutex_lock(&b->lock);
    unsigned n = *counter;
    pthread_mutex_unlock(&b->lock);
    return n;
}

unsigned tt_backend_attached(struct tt_backend *b)
{
    return read_counter(b, &b->attached);
}

unsigned tt_backend_closed(struct tt_backend *b)
{
    return read_counter(b, &b->closed);
}

unsigned tt_backend_forked(struct tt_backend *b)
{
    return b->forked;
}

/* ---- behind the cache's back ---- */

size_t tt_backend_count(struct tt_backend *b)
{
    pthread_mutex_lock(&b->server->lock);
    size_t n = tt_store_count(b->server->values);
    pthread_mutex_unlock(&b->server->lock);
    return n;
}

bool tt_backend_key_at(struct tt_backend *b, size_t i, void **key, size_t *len)
{
    struct cache_slice found;
    pthread_mutex_lock(&b->server->lock);
    bool is = tt_store_key_at(b->server->values, i, &found);
    if (is) {
        *key = tt_xmemdup(found.data, found.len);
        *len = found.len;
    }
    pthread_mutex_unlock(&b->server->lock);
    return is;
}

bool tt_backend_peek(struct tt_backend *b, struct cache_slice key, void **data, size_t *len)
{
    struct tt_blob *blob = tt_server_get(b, key, NULL);
    if (!blob)
        return false;
    *data = tt_xmemdup(blob->data, blob->len);
    *len = blob->len;
    tt_blob_release(blob);
    return true;
}

void tt_backend_poke(struct tt_backend *b, struct cache_slice key, struct cache_slice data, int64_t ttl_ms)
{
    tt_server_set(b, key, data, ttl_ms);
}

/* Puts new_len changed bytes in place of those under key, with the same end of life. */
static bool rewrite(struct tt_backend *b, struct cache_slice key, unsigned char *bytes, size_t new_len)
{
    int64_t expires;
    pthread_mutex_lock(&b->server->lock);
    struct tt_blob *blob = tt_store_get(b->server->values, key, tt_server_now_ms(b), &expires);
    if (blob)
        tt_store_put(b->server->values, key, (struct cache_slice){bytes, new_len}, expires);
    pthread_mutex_unlock(&b->server->lock);
    bool was = blob;
    tt_blob_release(blob);
    return was;
}

bool tt_backend_corrupt(struct tt_backend *b, struct cache_slice key, int64_t offset, unsigned char xor_with)
{
    void *bytes;
    size_t len;
    if (!tt_backend_peek(b, key, &bytes, &len))
        return false;
    size_t at = offset < 0 ? len - (size_t)-offset : (size_t)offset;
    bool inside = at < len;
    if (inside) {
        ((unsigned char *)bytes)[at] ^= xor_with;
        inside = rewrite(b, key, bytes, len);
    }
    free(bytes);
    return inside;
}

bool tt_backend_truncate(struct tt_backend *b, struct cache_slice key, size_t len)
{
    void *bytes;
    size_t old_len;
    if (!tt_backend_peek(b, key, &bytes, &old_len))
        return false;
    bool shorter = len < old_len && rewrite(b, key, bytes, len);
    free(bytes);
    return shorter;
}

bool tt_backend_erase(struct tt_backend *b, struct cache_slice key)
{
    return tt_server_del(b, key);
}

void tt_backend_erase_all(struct tt_backend *b)
{
    pthread_mutex_lock(&b->server->lock);
    tt_store_clear(b->server->values);
    pthread_mutex_unlock(&b->server->lock);
}
