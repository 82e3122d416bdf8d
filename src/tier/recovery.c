/* The queue of unacknowledged invalidations.
 *
 * An item leaves when L2 acknowledged a deletion that was sent after the item's last addition: each addition gives it a
 * new sequence number, and a batch remembers the numbers it was sent with. Replaying twice is harmless. */
#include "tier/recovery.h"

#include <errno.h>
#include <string.h>

/* uthash takes its memory from the cache's allocator, called `alloc` wherever its macros are used here. */
#define uthash_malloc(n) tc_alloc(alloc, n)
#define uthash_free(p, n) tc_free(alloc, p, n)
#include <uthash.h>

#include "tier/cache.h"

#define BATCH 128
#define PAUSE_MIN_MS 100 /* after a replay that L2 did not take, doubled each time */
#define PAUSE_MAX_MS 2000
#define KEY_UNIT_BYTES 256 /* a longer key takes the place of several */

struct tc_recovery_item {
    UT_hash_handle hh;
    uint64_t sequence;
    size_t key_len;
    unsigned char key[];
};

static uint64_t places_of(size_t key_len)
{
    return 1 + key_len / KEY_UNIT_BYTES;
}

int tc_recovery_init(struct tc_recovery *r, uint64_t max_keys, const struct tc_alloc *alloc)
{
    memset(r, 0, sizeof *r);
    r->alloc = alloc;
    r->max_keys = max_keys;
    r->distrust_before_ms = INT64_MIN;
    return tc_lock_init(&r->lock);
}

static void remove_item(struct tc_recovery *r, struct tc_recovery_item *item)
{
    const struct tc_alloc *alloc = r->alloc;
    HASH_DEL(r->items, item);
    r->places -= places_of(item->key_len);
    tc_free(alloc, item, sizeof *item + item->key_len);
    atomic_fetch_sub_explicit(&r->pending, 1, memory_order_release);
}

void tc_recovery_fini(struct tc_recovery *r)
{
    struct tc_recovery_item *item, *next;
    HASH_ITER(hh, r->items, item, next)
        remove_item(r, item);
    tc_lock_fini(&r->lock);
}

/* The caller's hash is keyed: who chooses the keys cannot choose the table's buckets. */
static bool add_locked(struct tc_recovery *r, uint64_t hash, struct cache_slice key)
{
    tc_lock_assert_held(&r->lock);
    const struct tc_alloc *alloc = r->alloc;
    struct tc_recovery_item *item;
    HASH_FIND_BYHASHVALUE(hh, r->items, key.data, key.len, (unsigned)hash, item);
    if (item != NULL) {
        item->sequence = ++r->next_sequence;
        return true;
    }
    if (r->places + places_of(key.len) > r->max_keys)
        return false;
    item = tc_alloc_zeroed(alloc, sizeof *item + key.len);
    if (item == NULL)
        return false;
    item->sequence = ++r->next_sequence;
    item->key_len = key.len;
    memcpy(item->key, key.data, key.len);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, r->items, item->key, key.len, (unsigned)hash, item);
    if (item->hh.tbl == NULL) { /* HASH_NONFATAL_OOM */
        tc_free(alloc, item, sizeof *item + key.len);
        return false;
    }
    r->places += places_of(key.len);
    atomic_fetch_add_explicit(&r->pending, 1, memory_order_release);
    return true;
}

static void distrust(struct cache *c)
{
    struct tc_recovery *r = &c->recovery;
    int64_t now_ms = tc_clock_now_ms(&c->clock);
    /* One more than now: a value written in this very millisecond may be from before. */
    int64_t before_ms = atomic_load_explicit(&r->distrust_before_ms, memory_order_relaxed);
    while (before_ms < now_ms + 1 &&
           !atomic_compare_exchange_weak_explicit(&r->distrust_before_ms, &before_ms, now_ms + 1,
                                                  memory_order_release, memory_order_relaxed))
        ;
    atomic_fetch_add_explicit(&r->overflows, 1, memory_order_relaxed);
}

void tc_recovery_tell(struct cache *c)
{
    struct tc_recovery *r = &c->recovery;
    uint64_t overflows = atomic_load_explicit(&r->overflows, memory_order_relaxed), fresh = overflows - r->told;
    if (fresh == 0)
        return;
    r->told = overflows;
    int64_t now_ms = tc_clock_now_ms(&c->clock);
    struct cache_event e = { CACHE_EVENT_RECOVERY_OVERFLOW, CACHE_E_UNKNOWN, fresh, { NULL, 0 }, { 0 } };
    tc_notice_event(&c->notices, now_ms, &e);
    tc_notice_log(&c->notices, now_ms, e.kind, CACHE_LOG_ERROR, "recovery",
                  "%llu invalidations that L2 did not take could not be kept; what L2 held then is distrusted",
                  (unsigned long long)fresh);
}

int tc_recovery_add(struct cache *c, uint64_t hash, struct cache_slice key)
{
    struct tc_recovery *r = &c->recovery;
    tc_lock_acquire(&r->lock);
    bool kept = add_locked(r, hash, key);
    tc_lock_release(&r->lock);
    if (!kept)
        distrust(c);
    tc_worker_wake(&c->worker);
    return kept ? CACHE_QUEUED : CACHE_E_UNKNOWN;
}

bool tc_recovery_distrusts(struct tc_recovery *r, int64_t written_ms)
{
    return written_ms < atomic_load_explicit(&r->distrust_before_ms, memory_order_acquire);
}

/* What is being sent: pointers to items, which only the worker removes. */
struct batch {
    size_t n;
    struct cache_backend_item items[BATCH];
    struct tc_recovery_item *kept[BATCH];
    uint64_t sequences[BATCH];
};

static void fill_batch_locked(struct tc_recovery *r, struct batch *b)
{
    tc_lock_assert_held(&r->lock);
    b->n = 0;
    struct tc_recovery_item *item = r->items;
    for (uint64_t i = 0; i < r->passed_over && item != NULL; i++)
        item = item->hh.next;
    for (; item != NULL && b->n < BATCH; item = item->hh.next) {
        b->items[b->n].key = (struct cache_slice){ item->key, item->key_len };
        b->kept[b->n] = item;
        b->sequences[b->n++] = item->sequence;
    }
}

static size_t settle_batch_locked(struct tc_recovery *r, struct batch *b)
{
    tc_lock_assert_held(&r->lock);
    size_t acknowledged = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (b->items[i].status != CACHE_OK)
            continue;
        acknowledged++;
        if (b->kept[i]->sequence == b->sequences[i])
            remove_item(r, b->kept[i]);
    }
    return acknowledged;
}

static bool replay_batch(struct cache *c, int64_t deadline_ms)
{
    struct tc_recovery *r = &c->recovery;
    struct batch b = { .n = 0 };
    tc_lock_acquire(&r->lock);
    fill_batch_locked(r, &b);
    if (b.n == 0) { /* the end: again from the beginning */
        r->passed_over = 0;
        fill_batch_locked(r, &b);
    }
    tc_lock_release(&r->lock);
    tc_l2_delete_many(c, b.items, b.n, tc_l2_deadline(c, deadline_ms, false));
    tc_lock_acquire(&r->lock);
    size_t acknowledged = settle_batch_locked(r, &b);
    tc_lock_release(&r->lock);
    atomic_fetch_add_explicit(&r->replayed, acknowledged, memory_order_relaxed);
    r->passed_over += b.n - acknowledged; /* what is refused does not keep the others waiting */
    return acknowledged == b.n;
}

static bool replay(struct cache *c, int64_t deadline_ms)
{
    struct tc_recovery *r = &c->recovery;
    uint64_t before = atomic_load_explicit(&r->replayed, memory_order_relaxed);
    while (tc_recovery_pending(r) > 0 && tc_clock_now_ms(&c->clock) < deadline_ms && !tc_worker_stops(&c->worker) &&
           replay_batch(c, deadline_ms))
        ;
    if (tc_recovery_pending(r) > 0)
        return false;
    uint64_t count = atomic_load_explicit(&r->replayed, memory_order_relaxed) - before;
    struct cache_event e = { CACHE_EVENT_RECOVERY_DONE, CACHE_OK, count, { NULL, 0 }, { 0 } };
    tc_notice_event(&c->notices, tc_clock_now_ms(&c->clock), &e);
    return true;
}

int64_t tc_recovery_replay(struct cache *c, int64_t deadline_ms)
{
    struct tc_recovery *r = &c->recovery;
    if (tc_recovery_pending(r) == 0)
        return -1;
    if (atomic_exchange_explicit(&r->hurry, false, memory_order_relaxed))
        r->pause_ms = 0;
    /* Each addition wakes the worker: a server that refuses deletions is not to be asked again for each. */
    int64_t left_ms = r->next_try_ms - tc_mono_ms();
    if (r->pause_ms > 0 && left_ms > 0)
        return left_ms;
    if (replay(c, deadline_ms)) {
        r->pause_ms = 0;
        return -1;
    }
    r->pause_ms = r->pause_ms == 0 ? PAUSE_MIN_MS : r->pause_ms < PAUSE_MAX_MS / 2 ? 2 * r->pause_ms : PAUSE_MAX_MS;
    r->next_try_ms = tc_mono_ms() + r->pause_ms;
    return r->pause_ms;
}

void tc_recovery_hurry(struct tc_recovery *r)
{
    atomic_store_explicit(&r->hurry, true, memory_order_relaxed);
}
