/* The fake backend's table. Every slot becomes a batch: get is a batch of one. A batch passes, in this order, the
 * barrier before, the deadline, the scripted faults, the health switch, the store, the barrier after.
 *
 * One mutex guards everything but the health (an atomic, because its slot must not block) and the blobs. The host is
 * never called with it held: values are copied out of counted blobs. The store and its mutex may be shared by several
 * fakes and are counted. */
#include <stdlib.h>
#include <string.h>

#include "tiercache.h"
#include "tt_backend_priv.h"
#include "tt_util.h"

/* ---- the server: the store and its time ---- */

/* What a command does it does at one moment, as in a server: it reads the clock with the server's lock, or what is left
 * of a life could be more than was given. */
int64_t tt_server_now_ms(struct tt_backend *b)
{
    pthread_mutex_lock(&b->lock);
    const struct cache_backend_host *host = b->host;
    pthread_mutex_unlock(&b->lock);
    return host ? host->now_ms(host->host) : INT64_MIN;
}

void tt_server_set(struct tt_backend *b, struct cache_slice key, struct cache_slice data, int64_t ttl_ms)
{
    pthread_mutex_lock(&b->server->lock);
    int64_t now = tt_server_now_ms(b);
    bool for_ever = ttl_ms < 0 || now == INT64_MIN || now > TT_STORE_FOREVER - 1 - ttl_ms;
    int64_t expires = for_ever ? TT_STORE_FOREVER : now + ttl_ms;
    tt_store_put(b->server->values, key, data, expires);
    pthread_mutex_unlock(&b->server->lock);
}

bool tt_server_del(struct tt_backend *b, struct cache_slice key)
{
    pthread_mutex_lock(&b->server->lock);
    bool was = tt_store_del(b->server->values, key, tt_server_now_ms(b));
    pthread_mutex_unlock(&b->server->lock);
    return was;
}

struct tt_blob *tt_server_get(struct tt_backend *b, struct cache_slice key, int64_t *ttl_ms)
{
    pthread_mutex_lock(&b->server->lock);
    int64_t expires, now = tt_server_now_ms(b);
    struct tt_blob *blob = tt_store_get(b->server->values, key, now, &expires);
    pthread_mutex_unlock(&b->server->lock);
    if (blob && ttl_ms)
        *ttl_ms = expires == TT_STORE_FOREVER ? CACHE_TTL_FOREVER : expires - now;
    return blob;
}

/* ---- running one element ---- */

static int run_get(struct tt_backend *b, struct cache_backend_item *it)
{
    const struct cache_backend_host *host = b->host;
    struct tt_blob *blob = tt_server_get(b, it->key, &it->value.ttl_ms);
    if (!blob)
        return CACHE_MISS;
    int status = CACHE_OK;
    it->value.len = blob->len;
    it->value.data = NULL;
    if (blob->len) {
        it->value.data = host->alloc(host->host, blob->len);
        if (it->value.data)
            memcpy(it->value.data, blob->data, blob->len);
        else
            status = CACHE_E_NOMEM;
    }
    tt_blob_release(blob);
    return status;
}

static int run_element(struct tt_backend *b, enum tt_slot slot, struct cache_backend_item *it)
{
    switch (slot) {
    case TT_GET:
    case TT_GET_MANY:
        return run_get(b, it);
    case TT_SET:
    case TT_SET_MANY:
        tt_server_set(b, it->key, it->data, it->ttl_ms);
        return CACHE_OK;
    default:
        tt_server_del(b, it->key);
        return CACHE_OK;
    }
}

static bool is_get(enum tt_slot slot)
{
    return slot == TT_GET || slot == TT_GET_MANY;
}

static void keep_late(struct tt_backend *b, enum tt_slot slot, const struct cache_backend_item *it)
{
    struct tt_late *l = tt_xcalloc(sizeof(*l));
    l->is_set = slot == TT_SET || slot == TT_SET_MANY;
    l->key = (struct cache_slice){tt_xmemdup(it->key.data, it->key.len), it->key.len};
    l->data = (struct cache_slice){tt_xmemdup(it->data.data, it->data.len), it->data.len};
    l->ttl_ms = it->ttl_ms;
    pthread_mutex_lock(&b->lock);
    *b->late_end = l;
    b->late_end = &l->next;
    pthread_mutex_unlock(&b->lock);
}

/* ---- a call ---- */

/* The fault that this call of slot meets, copied; false: none. */
static bool take_fault_locked(struct tt_backend *b, enum tt_slot slot, struct tt_fault *out)
{
    for (struct tt_fault **link = &b->faults; *link; link = &(*link)->next) {
        struct tt_fault *f = *link;
        if (f->slot != slot && f->slot != TT_ANY_SLOT)
            continue;
        *out = *f;
        if (f->left == 1) {
            *link = f->next;
            if (!*link)
                b->faults_end = link;
            free(f);
        } else if (f->left) {
            f->left--;
        }
        return true;
    }
    return false;
}

static void wait_at_barrier_locked(struct tt_backend *b, struct tt_barrier *barrier, const bool *closed)
{
    if (!*closed)
        return;
    barrier->waiting++;
    pthread_cond_broadcast(&b->changed);
    while (*closed)
        pthread_cond_wait(&b->changed, &b->lock);
    barrier->waiting--;
    pthread_cond_broadcast(&b->changed);
}

static void count_failure_locked(struct tt_backend *b, int status)
{
    switch (status) {
    case CACHE_OK:
    case CACHE_MISS:
    case CACHE_E_UNAVAILABLE:
        break;
    case CACHE_E_TIMEOUT:
    case CACHE_E_UNKNOWN:
        b->stats.err_timeout++;
        break;
    case CACHE_E_AUTH:
        b->stats.err_auth++;
        break;
    case CACHE_E_PROTOCOL:
        b->stats.err_protocol++;
        break;
    default:
        b->stats.err_other++;
    }
}

static void set_all(struct cache_backend_item *it, size_t n, int status)
{
    for (size_t i = 0; i < n; i++)
        it[i].status = status;
}

/* What one element of a call does that met fault f (NULL: none). */
static int play_element(struct tt_backend *b, enum tt_slot slot, struct cache_backend_item *it, size_t i,
                        const struct tt_fault *f)
{
    bool hit = f && (!f->mask || (i < 64 && (f->mask >> i & 1)));
    if (!hit)
        return atomic_load(&b->health) == CACHE_BACKEND_UP ? run_element(b, slot, it) : CACHE_E_UNAVAILABLE;
    if (f->run == TT_RUN && !is_get(slot))
        run_element(b, slot, it);
    if (f->run == TT_RUN_LATE && !is_get(slot))
        keep_late(b, slot, it);
    return f->status;
}

static void play_call(struct tt_backend *b, enum tt_slot slot, struct cache_backend_item *it, size_t n,
                      int64_t deadline_ms)
{
    struct tt_barrier *barrier = &b->barrier[slot];
    struct tt_fault fault;

    pthread_mutex_lock(&b->lock);
    b->calls[slot]++;
    b->elements[slot] += n;
    wait_at_barrier_locked(b, barrier, &barrier->before);
    pthread_mutex_unlock(&b->lock);

    if (tt_server_now_ms(b) >= deadline_ms) {
        set_all(it, n, CACHE_E_TIMEOUT);
        return;
    }

    pthread_mutex_lock(&b->lock);
    bool faulty = take_fault_locked(b, slot, &fault);
    pthread_mutex_unlock(&b->lock);

    bool reached = false;
    for (size_t i = 0; i < n; i++) {
        it[i].status = play_element(b, slot, &it[i], i, faulty ? &fault : NULL);
        reached = reached || it[i].status != CACHE_E_UNAVAILABLE;
    }

    pthread_mutex_lock(&b->lock);
    b->stats.round_trips += reached;
    b->stats.commands += reached ? n : 0;
    for (size_t i = 0; i < n; i++)
        count_failure_locked(b, it[i].status);
    wait_at_barrier_locked(b, barrier, &barrier->after);
    pthread_mutex_unlock(&b->lock);
}

/* ---- slots ---- */

static int slot_attach(void *ctx, const struct cache_backend_host *host)
{
    struct tt_backend *b = ctx;
    pthread_mutex_lock(&b->lock);
    b->host = host;
    b->attached++;
    b->stats.connects += atomic_load(&b->health) == CACHE_BACKEND_UP;
    pthread_mutex_unlock(&b->lock);
    return CACHE_OK;
}

static int slot_get(void *ctx, struct cache_slice key, int64_t deadline_ms, struct cache_backend_value *out)
{
    struct cache_backend_item it = {.key = key};
    play_call(ctx, TT_GET, &it, 1, deadline_ms);
    if (it.status == CACHE_OK)
        *out = it.value;
    return it.status;
}

static int slot_set(void *ctx, struct cache_slice key, struct cache_slice data, int64_t ttl_ms, int64_t deadline_ms)
{
    struct cache_backend_item it = {.key = key, .data = data, .ttl_ms = ttl_ms};
    play_call(ctx, TT_SET, &it, 1, deadline_ms);
    return it.status;
}

static int slot_del(void *ctx, struct cache_slice key, int64_t deadline_ms)
{
    struct cache_backend_item it = {.key = key};
    play_call(ctx, TT_DEL, &it, 1, deadline_ms);
    return it.status;
}

static void slot_get_many(void *ctx, struct cache_backend_item *it, size_t n, int64_t deadline_ms)
{
    play_call(ctx, TT_GET_MANY, it, n, deadline_ms);
}

static void slot_set_many(void *ctx, struct cache_backend_item *it, size_t n, int64_t deadline_ms)
{
    play_call(ctx, TT_SET_MANY, it, n, deadline_ms);
}

static void slot_del_many(void *ctx, struct cache_backend_item *it, size_t n, int64_t deadline_ms)
{
    play_call(ctx, TT_DEL_MANY, it, n, deadline_ms);
}

static int slot_health(void *ctx)
{
    struct tt_backend *b = ctx;
    return atomic_load(&b->health);
}

static int64_t slot_maintain(void *ctx)
{
    struct tt_backend *b = ctx;
    pthread_mutex_lock(&b->lock);
    b->maintains++;
    pthread_mutex_unlock(&b->lock);
    return -1;
}

static void slot_stats(void *ctx, struct cache_backend_stats *out)
{
    struct tt_backend *b = ctx;
    pthread_mutex_lock(&b->lock);
    *out = b->stats;
    pthread_mutex_unlock(&b->lock);
}

static void slot_close(void *ctx)
{
    struct tt_backend *b = ctx;
    pthread_mutex_lock(&b->lock);
    b->host = NULL;
    b->closed++;
    pthread_mutex_unlock(&b->lock);
    int64_t end_ms = tt_mono_ms() + TT_SOON_MS;
    while (b->in_host > 0 && tt_pause(end_ms)) /* the host must outlive what is inside it */
        ;
}

/* In a forked child the mutex may be held for ever: it is not touched. */
static void slot_forked(void *ctx)
{
    struct tt_backend *b = ctx;
    b->forked++;
}

const struct cache_backend_ops tt_backend_complete_table = {
    .abi = CACHE_BACKEND_ABI,
    .capabilities = CACHE_BACKEND_CAP_SHARED | CACHE_BACKEND_CAP_TTL,
    .name = "fake",
    .get = slot_get,
    .get_many = slot_get_many,
    .set = slot_set,
    .del = slot_del,
    .close = slot_close,
    .attach = slot_attach,
    .set_many = slot_set_many,
    .del_many = slot_del_many,
    .health = slot_health,
    .maintain = slot_maintain,
    .stats = slot_stats,
    .forked = slot_forked,
};
