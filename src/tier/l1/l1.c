/* The stripes together: choosing one, pins, and the look-ups. Storing and the sharing of memory are in l1_store.c, the
 * gate to L2 in l1_gate.c. */
#include "tier/l1/l1.h"

#include <string.h>

#include "policy/evict.h"

/* How many stripes are chosen: up to 64 while each has room for some 128 small entries, more only in large caches. */
#define FEW_STRIPES 64
#define FEW_STRIPE_BYTES 32768
#define MANY_STRIPES 256
#define MANY_STRIPE_BYTES 262144
#define LEAST_BYTES_PER_STRIPE 16384

static size_t choose_stripes(uint64_t limit)
{
    size_t n = 1;
    while (n < FEW_STRIPES && 2 * n * FEW_STRIPE_BYTES <= limit)
        n *= 2;
    while (n < MANY_STRIPES && 2 * n * MANY_STRIPE_BYTES <= limit)
        n *= 2;
    return n;
}

static uint64_t fixed_bytes_of(const struct tc_l1 *l1)
{
    return l1->n_stripes * (sizeof(struct tc_stripe) + tc_entry_heap_bytes(l1->evict.state_bytes));
}

int tc_l1_init(struct tc_l1 *l1, uint64_t limit, size_t stripes, const struct cache_evict_ops *evict,
               const struct tc_alloc *alloc, const struct tc_clock *clock)
{
    memset(l1, 0, sizeof *l1);
    l1->alloc = alloc;
    l1->clock = clock;
    l1->evict = evict != NULL ? *evict : tc_evict_lru;
    l1->node_bytes = (l1->evict.node_bytes + 15) & ~(size_t)15;
    l1->limit = limit;
    size_t n = stripes > 0 ? stripes : choose_stripes(limit);
    if (limit / LEAST_BYTES_PER_STRIPE < n)
        return CACHE_E_INVALID;
    l1->n_stripes = n;
    l1->fixed_bytes = fixed_bytes_of(l1);
    if (l1->fixed_bytes > limit / 2) /* an eviction policy with a large state, and little else left */
        return CACHE_E_INVALID;
    l1->fair = (limit - l1->fixed_bytes) / n;
    l1->pool = limit - l1->fixed_bytes;
    l1->stripes = tc_alloc_lines(alloc, n * sizeof *l1->stripes);
    if (l1->stripes == NULL)
        return CACHE_E_NOMEM;
    for (size_t i = 0; i < n; i++) {
        int rc = tc_stripe_init(&l1->stripes[i], l1, tc_clock_now_ms(clock));
        if (rc != CACHE_OK)
            return rc;
    }
    return CACHE_OK;
}

void tc_l1_fini(struct tc_l1 *l1)
{
    if (l1->stripes == NULL)
        return;
    for (size_t i = 0; i < l1->n_stripes; i++)
        tc_stripe_fini(&l1->stripes[i]);
    tc_free_lines(l1->alloc, l1->stripes, l1->n_stripes * sizeof *l1->stripes);
    l1->stripes = NULL;
}

/* ---- pins and references ---- */

static struct tc_l1_pins *my_pins(struct tc_l1 *l1)
{
    return &l1->pins[tc_thread_slot() % TC_L1_PIN_SHARDS];
}

void tc_l1_hold(struct tc_entry *e)
{
    atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
}

void tc_l1_drop(struct tc_l1 *l1, struct tc_entry *e)
{
    if (atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (atomic_load_explicit(&e->detached, memory_order_relaxed))
        atomic_fetch_sub_explicit(&l1->detached_bytes, e->bytes, memory_order_relaxed);
    tc_entry_free(l1->alloc, e);
}

void tc_l1_pin(struct tc_l1 *l1, struct tc_entry *e)
{
    tc_l1_hold(e);
    atomic_fetch_add_explicit(&my_pins(l1)->n, 1, memory_order_relaxed);
}

void tc_l1_release(struct tc_l1 *l1, struct tc_entry *e)
{
    tc_l1_drop(l1, e);
    /* Release: who reads the count as zero (cache_close) sees everything that was done with the value. */
    atomic_fetch_sub_explicit(&my_pins(l1)->n, 1, memory_order_release);
}

int64_t tc_l1_pin_count(struct tc_l1 *l1)
{
    int64_t n = 0;
    for (size_t i = 0; i < TC_L1_PIN_SHARDS; i++)
        n += atomic_load_explicit(&l1->pins[i].n, memory_order_acquire);
    return n;
}

void tc_l1_detach(struct tc_l1 *l1, struct tc_entry *e)
{
    if (!atomic_exchange_explicit(&e->detached, true, memory_order_relaxed))
        atomic_fetch_add_explicit(&l1->detached_bytes, e->bytes, memory_order_relaxed);
}

void tc_l1_detach_unless_stored(struct tc_l1 *l1, struct tc_entry *e)
{
    struct tc_stripe *s = tc_l1_stripe(l1, e->hash);
    tc_lock_acquire(&s->lock);
    if (tc_stripe_find(s, e->hash, (struct cache_slice){ tc_entry_key(e), e->key_len }) != e)
        tc_l1_detach(l1, e);
    tc_lock_release(&s->lock);
}

/* ---- look-ups ---- */

static void found_locked(struct tc_l1 *l1, struct tc_stripe *s, struct tc_entry *e, struct tc_l1_ref ref,
                         int64_t now_ms, struct tc_l1_found *f)
{
    tc_lock_assert_held(&s->lock);
    f->generation = tc_stripe_gate(s, ref.hash)->generation;
    f->entry = NULL;
    f->fresh = false;
    if (e == NULL)
        return;
    f->fresh = now_ms < e->fresh_until_ms;
    if (!f->fresh && now_ms >= e->keep_until_ms)
        return;
    f->entry = e;
    if (f->fresh)
        tc_stripe_touch(s, e, now_ms);
    tc_l1_pin(l1, e);
}

void tc_l1_get(struct tc_l1 *l1, struct tc_l1_ref ref, int64_t now_ms, struct tc_l1_found *f)
{
    struct tc_stripe *s = tc_l1_stripe(l1, ref.hash);
    tc_lock_acquire(&s->lock);
    found_locked(l1, s, tc_stripe_find(s, ref.hash, ref.key), ref, now_ms, f);
    tc_lock_release(&s->lock);
}

/* Above this a copy holds the lock for longer than a pin and a release cost. */
#define COPY_UNDER_LOCK_BYTES 1024

static bool copy_locked(struct tc_l1 *l1, struct tc_stripe *s, struct tc_l1_ref ref, int64_t now_ms, void *buf,
                        size_t cap, struct tc_l1_copied *copied, struct tc_l1_found *f)
{
    tc_lock_assert_held(&s->lock);
    struct tc_entry *e = tc_stripe_find(s, ref.hash, ref.key);
    if (e == NULL || now_ms >= e->fresh_until_ms || e->len > cap || e->len > COPY_UNDER_LOCK_BYTES) {
        found_locked(l1, s, e, ref, now_ms, f);
        return false;
    }
    tc_stripe_touch(s, e, now_ms);
    if (e->len > 0)
        memcpy(buf, e->data, e->len);
    *copied = (struct tc_l1_copied){ e->flags, e->len, e->made_ms, e->taken_ms, e->fresh_until_ms };
    return true;
}

bool tc_l1_get_copy(struct tc_l1 *l1, struct tc_l1_ref ref, int64_t now_ms, void *buf, size_t cap,
                    struct tc_l1_copied *copied, struct tc_l1_found *f)
{
    struct tc_stripe *s = tc_l1_stripe(l1, ref.hash);
    tc_lock_acquire(&s->lock);
    bool done = copy_locked(l1, s, ref, now_ms, buf, cap, copied, f);
    tc_lock_release(&s->lock);
    return done;
}

uint64_t tc_l1_generation(struct tc_l1 *l1, uint64_t hash)
{
    struct tc_stripe *s = tc_l1_stripe(l1, hash);
    tc_lock_acquire(&s->lock);
    uint64_t generation = tc_stripe_gate(s, hash)->generation;
    tc_lock_release(&s->lock);
    return generation;
}

void tc_l1_history(struct tc_l1 *l1, struct tc_l1_ref ref, int64_t now_ms, int64_t *age_ms, uint64_t *hits)
{
    struct tc_stripe *s = tc_l1_stripe(l1, ref.hash);
    tc_lock_acquire(&s->lock);
    struct tc_entry *e = tc_stripe_find(s, ref.hash, ref.key);
    *age_ms = e != NULL ? now_ms - e->made_ms : -1;
    *hits = e != NULL ? e->hits : 0;
    tc_lock_release(&s->lock);
}

/* ---- accounts ---- */

uint64_t tc_l1_bytes(struct tc_l1 *l1)
{
    uint64_t bytes = l1->fixed_bytes;
    for (size_t i = 0; i < l1->n_stripes; i++)
        bytes += tc_stripe_bytes(&l1->stripes[i]);
    /* The stripes are read one after the other: memory that moves meanwhile may be seen twice. */
    return bytes < l1->limit ? bytes : l1->limit;
}

bool tc_l1_check(struct tc_l1 *l1)
{
    uint64_t granted = 0;
    bool good = true;
    for (size_t i = 0; i < l1->n_stripes; i++) {
        struct tc_stripe *s = &l1->stripes[i];
        tc_lock_acquire(&s->lock);
        good = tc_stripe_check(s) && good;
        granted += s->granted;
        tc_lock_release(&s->lock);
    }
    return good && granted + l1->pool + l1->fixed_bytes == l1->limit;
}
