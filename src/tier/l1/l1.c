/* The stripes together: choosing one, pins, and the look-ups. Storing is in l1_set.c and l1_store.c,
 * dropping in l1_invalidate.c, the sharing of memory in l1_grant.c, the gate to L2 in l1_gate.c. */
#include "tier/l1/l1.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "policy/evict.h"

/* How many stripes are chosen: so many that threads which store seldom meet in one, as long as each has room for pages.
 * With less, all that it holds is alone, and a set that evicts takes up to three times as long. Thin ones, with pages
 * for the sizes of which there is most, come first: few, so that what each evicts is what all together would, then 16
 * and more, as long as pages have room (THIN_PAGES_LEAST, below; the reserve and the stripe itself take little). From
 * PAGED_LIMIT on there are fewer at first, so large that pages of many sizes are little of what each has, and more as
 * long as that is so. */
#define SMALL_LIMIT (6u << 20)
#define SMALL_STRIPE_BYTES (768u << 10)
#define THIN_STRIPES 16
#define THIN_STRIPE_BYTES (384u << 10)
#define PAGED_LIMIT (32u << 20)
#define PAGED_STRIPES 16
#define PAGED_STRIPE_BYTES (2u << 20)
#define MORE_STRIPES 64
#define MANY_STRIPES 256
#define MANY_STRIPE_BYTES (8u << 20)
#define MOST_STRIPE_BYTES (64u << 20)

/* Twice as many as long as each has that many bytes. */
static size_t double_while(size_t n, uint64_t limit, size_t most, uint64_t bytes)
{
    while (n < most && limit / bytes >= 2 * n)
        n *= 2;
    return n;
}

static size_t choose_stripes(uint64_t limit)
{
    if (limit < SMALL_LIMIT)
        return double_while(1, limit, THIN_STRIPES, SMALL_STRIPE_BYTES);
    if (limit < PAGED_LIMIT)
        return double_while(THIN_STRIPES, limit, MORE_STRIPES, THIN_STRIPE_BYTES);
    size_t n = double_while(PAGED_STRIPES, limit, MORE_STRIPES, PAGED_STRIPE_BYTES);
    n = double_while(n, limit, MANY_STRIPES, MANY_STRIPE_BYTES);
    return double_while(n, limit, TC_L1_STRIPES_MOST, MOST_STRIPE_BYTES);
}

/* What waits for readers takes a sixty-fourth of the memory. */
#define RESERVE 64

static uint64_t fixed_bytes_of(const struct tc_l1 *l1)
{
    return l1->reserve + l1->n_stripes * (sizeof(struct tc_stripe) + sizeof(struct tc_index_view) +
                                          tc_heap_bytes(l1->evict.state_bytes));
}

/* Of a stripe: below that, pages of a few sizes would be all that it has, or, in thin ones, of a single one. */
#define PAGES_LEAST 192
#define THIN_PAGES_LEAST 40

/* An entry that has left keeps its cell's number in the node, which hits may still mark: in a first byte, or wherever
 * the policy does. Under a policy that is told of hits with the lock held a struct tc_use is at the same place. */
static size_t with_left(size_t node_bytes)
{
    _Static_assert(sizeof(struct tc_use) == TC_ENTRY_NODE_LEAST, "there is room for either");
    return ((node_bytes + 7) & ~(size_t)7) + TC_ENTRY_NODE_LEAST;
}

static size_t node_bytes_of(const struct cache_evict_ops *evict)
{
    size_t bytes = with_left(evict->node_bytes);
    return evict->flags & CACHE_EVICT_STAMPED_HITS ? bytes - TC_ENTRY_NODE_LEAST : bytes;
}

bool tc_l1_fits_evict(const struct tc_l1 *l1, const struct cache_evict_ops *evict)
{
    return node_bytes_of(evict) <= l1->node_bytes;
}

void tc_l1_set_evict(const struct tc_l1 *l1, struct cache_type *t, const struct cache_evict_ops *evict)
{
    tc_assert(tc_l1_fits_evict(l1, evict));
    tc_type_set_evict(t, evict, !tc_evict_hits_alike(evict, &l1->evict));
}

int tc_l1_init(struct tc_l1 *l1, uint64_t limit, size_t stripes, const struct cache_evict_ops *evict,
               size_t node_bytes, struct tc_hasher hasher, const struct tc_alloc *alloc, const struct tc_clock *clock)
{
    memset(l1, 0, sizeof *l1);
    l1->hasher = hasher;
    l1->alloc = alloc;
    l1->clock = clock;
    l1->evict = evict != NULL ? *evict : tc_evict_lru;
    l1->locked_hits = l1->evict.flags & CACHE_EVICT_LOCKED_HITS;
    l1->stamped_hits = l1->evict.flags & CACHE_EVICT_STAMPED_HITS;
    l1->node_bytes = node_bytes_of(&l1->evict);
    if (node_bytes > 0 && with_left(node_bytes) > l1->node_bytes)
        l1->node_bytes = with_left(node_bytes);
    l1->limit = limit;
    size_t n = stripes > 0 ? stripes : choose_stripes(limit);
    if (limit / TC_L1_LEAST_SHARE < n)
        return CACHE_E_INVALID;
    l1->n_stripes = n;
    l1->stripe_mask = n - 1;
    l1->reserve = limit / RESERVE;
    l1->fixed_bytes = fixed_bytes_of(l1);
    l1->fair = tc_l1_fair_of(l1, limit);
    l1->paged = l1->fair >= THIN_PAGES_LEAST * TC_PAGE_BYTES;
    l1->thin = l1->fair < PAGES_LEAST * TC_PAGE_BYTES;
    l1->pool = (int64_t)(limit - l1->fixed_bytes);
    if (tc_readers_init(&l1->readers, alloc) != 0 || tc_limbo_init(l1) != 0)
        return CACHE_E_SYSTEM;
    l1->stripes = tc_alloc_lines(alloc, n * sizeof *l1->stripes);
    if (l1->stripes == NULL)
        return CACHE_E_NOMEM;
    l1->views = tc_alloc_lines(alloc, n * sizeof *l1->views);
    if (l1->views == NULL)
        return CACHE_E_NOMEM;
    for (size_t i = 0; i < n; i++) {
        int rc = tc_stripe_init(&l1->stripes[i], &l1->views[i], l1);
        if (rc != CACHE_OK)
            return rc;
    }
    return CACHE_OK;
}

void tc_l1_fini(struct tc_l1 *l1)
{
    for (size_t i = 0; l1->stripes != NULL && i < l1->n_stripes; i++)
        tc_stripe_fini(&l1->stripes[i]);
    tc_limbo_fini(l1);
    tc_l1_close_gates(l1);
    tc_free_lines(l1->alloc, l1->stripes, l1->n_stripes * sizeof *l1->stripes);
    tc_free_lines(l1->alloc, l1->views, l1->n_stripes * sizeof *l1->views);
    l1->stripes = NULL;
    l1->views = NULL;
    tc_readers_fini(&l1->readers);
}

/* ---- pins and references ---- */

void tc_l1_hold(struct tc_entry *e)
{
    atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
}

bool tc_l1_try_hold(struct tc_entry *e, uint32_t refs)
{
    uint32_t before = atomic_fetch_add_explicit(&e->refs, 1, memory_order_acquire);
    /* The even version that it had, and still has; an odd one is never it. */
    bool same = ((before ^ (refs & ~TC_ENTRY_WRITING)) & TC_ENTRY_VERSIONS) == 0;
    if (__builtin_expect(same && (before & TC_ENTRY_REFS) < TC_ENTRY_PINS_MOST, 1))
        return true;
    tc_l1_unhold(e);
    return false;
}

/* The cell goes back to its stripe. */
static void free_housed(struct tc_l1 *l1, struct tc_entry *e)
{
    struct tc_stripe *s = tc_l1_stripe(l1, tc_entry_hash(e, &l1->hasher));
    tc_lock_acquire(&s->lock);
    tc_stripe_free_cell(s, e);
    tc_lock_release(&s->lock);
}

void tc_l1_drop(struct tc_l1 *l1, struct tc_entry *e)
{
    uint32_t before = atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel);
    if ((before & TC_ENTRY_REFS) != 1 || tc_entry_refs_are_lent(before))
        return;
    if (before & TC_ENTRY_DETACHED)
        tc_l1_undetach(l1, e);
    if (before & TC_ENTRY_HOUSED)
        free_housed(l1, e);
    else
        tc_entry_free(l1->alloc, l1->node_bytes, e);
}

void tc_l1_pin(struct tc_l1 *l1, struct tc_entry *e)
{
    tc_l1_hold(e);
    tc_readers_add_pins(&l1->readers, tc_reader_self(&l1->readers), 1);
}

void tc_l1_release(struct tc_l1 *l1, struct tc_entry *e)
{
    tc_l1_drop(l1, e);
    /* Last: who finds the sum to be zero (cache_close) sees everything that was done with the value. */
    tc_readers_add_pins(&l1->readers, tc_reader_self(&l1->readers), -1);
}

int64_t tc_l1_pin_count(struct tc_l1 *l1)
{
    return tc_readers_pins(&l1->readers);
}

void tc_l1_detach(struct tc_l1 *l1, struct tc_entry *e)
{
    if (!(atomic_fetch_or_explicit(&e->refs, TC_ENTRY_DETACHED, memory_order_relaxed) & TC_ENTRY_DETACHED))
        atomic_fetch_add_explicit(&l1->detached_bytes, tc_l1_entry_bytes(l1, e), memory_order_relaxed);
}

void tc_l1_undetach(struct tc_l1 *l1, const struct tc_entry *e)
{
    atomic_fetch_sub_explicit(&l1->detached_bytes, tc_l1_entry_bytes(l1, e), memory_order_relaxed);
}

void tc_l1_detach_unless_stored(struct tc_l1 *l1, struct tc_entry *e)
{
    /* Not whether it is in L1: where it left meanwhile, its reference may wait for readers (stripe_left.c) until long
     * after the caller's is gone. */
    if (!(atomic_load_explicit(&e->refs, memory_order_relaxed) & (TC_ENTRY_HOUSED | TC_ENTRY_SHARED)))
        tc_l1_detach(l1, e);
}

/* ---- look-ups ---- */

void tc_l1_mark(struct tc_stripe *s, struct tc_reader *me)
{
    if (me == NULL)
        return;
    uint8_t *marks = &me->marks[(size_t)(s - s->l1->stripes) % TC_READER_MARKS];
    *marks += *marks < UINT8_MAX;
    if (*marks <= atomic_load_explicit(&s->index.view->marks_kept, memory_order_relaxed) || !tc_lock_try(&s->lock))
        return;
    tc_stripe_marked(s, *marks);
    tc_lock_release(&s->lock);
    *marks = 0;
}

static void count_hit(struct tc_entry *e)
{
    _Atomic uint16_t *at = &tc_entry_more(e)->hits;
    uint16_t hits = atomic_load_explicit(at, memory_order_relaxed);
    if (hits < UINT16_MAX)
        atomic_store_explicit(at, (uint16_t)(hits + 1), memory_order_relaxed);
}

void tc_l1_touch_counted(struct tc_l1 *l1, const struct tc_index_view *view, size_t stripe, struct tc_reader *me,
                         struct tc_entry *e)
{
    const struct cache_evict_ops *evict = tc_l1_evict_of(l1, tc_l1_type_of(l1, e));
    void *node = tc_entry_node(e, view->node_bytes);
    if (tc_entry_flags(e) & TC_ENTRY_MORE)
        count_hit(e);
    if (evict->flags & CACHE_EVICT_STAMPED_HITS) {
        if (tc_stripe_stamp(view, node))
            tc_l1_mark(&l1->stripes[stripe], me);
    } else if (!(evict->flags & CACHE_EVICT_LOCKED_HITS)) {
        evict->hit(NULL, 0, node);
    }
}

/* Whether a hit of it is told with the lock held. */
static inline bool wants_lock(struct tc_l1 *l1, const struct tc_entry *e, uint32_t flags)
{
    if (!(flags & TC_ENTRY_COUNTS))
        return l1->locked_hits;
    return tc_l1_evict_of(l1, tc_l1_type_of(l1, e))->flags & CACHE_EVICT_LOCKED_HITS;
}

/* The rest of a hit for a policy that wants the lock. The entry may be gone meanwhile. */
void tc_l1_tell_hit(struct tc_stripe *s, struct tc_l1_ref ref)
{
    tc_lock_acquire(&s->lock);
    uint32_t cell;
    if (tc_stripe_find(s, ref.hash, ref.key, &cell) != NULL)
        tc_stripe_hit(s, cell);
    tc_lock_release(&s->lock);
}

/* Whether e may answer, and if so whether it is fresh. */
static bool is_alive(struct tc_l1 *l1, const struct tc_entry *e, int64_t now_ms, bool *fresh)
{
    *fresh = now_ms < tc_entry_fresh_until_ms(e);
    return *fresh || now_ms < tc_entry_keep_until_ms(e, tc_l1_type_of(l1, e));
}

/* Inside tc_reader_enter(), or with the stripe's lock. *busy: there is an entry that could not be pinned. */
static struct tc_entry *find_and_pin(struct tc_l1 *l1, struct tc_stripe *s, struct tc_reader *me, struct tc_l1_ref ref,
                                     int64_t now_ms, bool *fresh, bool *busy)
{
    uint32_t refs;
    struct tc_entry *e = tc_index_find(s->index.view, ref.hash, ref.key, &refs);
    *fresh = false;
    *busy = e != NULL && !tc_l1_try_hold(e, refs);
    if (e == NULL || *busy)
        return NULL;
    if (!is_alive(l1, e, now_ms, fresh)) {
        tc_l1_unhold(e);
        return NULL;
    }
    if (*fresh)
        tc_l1_touch(l1, s->index.view, (size_t)(s - l1->stripes), me, e);
    return e;
}

/* With the lock, when find_and_pin() found it busy: it has as many references as can be counted. *busy: somebody who
 * has no lock is overwriting it. */
static struct tc_entry *find_and_copy(struct tc_l1 *l1, struct tc_stripe *s, struct tc_l1_ref ref, int64_t now_ms,
                                      bool *fresh, bool *busy)
{
    struct tc_entry *e = tc_stripe_find(s, ref.hash, ref.key, NULL), *copy = NULL;
    *fresh = *busy = false;
    if (e == NULL)
        return NULL;
    *busy = atomic_fetch_add_explicit(&e->refs, 1, memory_order_acquire) & TC_ENTRY_WRITING;
    if (!*busy && is_alive(l1, e, now_ms, fresh))
        copy = tc_entry_copy_alone(l1->alloc, l1->node_bytes, e);
    tc_l1_unhold(e);
    if (copy != NULL)
        tc_l1_detach(l1, copy);
    *fresh = *fresh && copy != NULL;
    return copy;
}

/* Who overwrites with the lock is waited for by taking it. Who does without is through after some fifty instructions,
 * unless he was interrupted: then he needs a processor. */
#define YIELDS 16
#define NAP_NS 50000

/* Its caller must not be cancelled in the middle of a look-up, nor lose his errno. */
static void nap(void)
{
    int cancel = tc_cancel_disable(), error = errno;
    nanosleep(&(struct timespec){ 0, NAP_NS }, NULL);
    errno = error;
    tc_cancel_restore(cancel);
}

static struct tc_entry *find_busy(struct tc_l1 *l1, struct tc_stripe *s, struct tc_reader *me, struct tc_l1_ref ref,
                                  int64_t now_ms, bool *fresh)
{
    struct tc_entry *e;
    bool busy = false;
    for (unsigned n = 0;; n++) {
        tc_lock_acquire(&s->lock);
        e = find_and_pin(l1, s, me, ref, now_ms, fresh, &busy);
        if (busy)
            e = find_and_copy(l1, s, ref, now_ms, fresh, &busy);
        tc_lock_release(&s->lock);
        if (!busy)
            return e;
        if (n < YIELDS)
            sched_yield();
        else
            nap();
    }
}

void tc_l1_get_as(struct tc_l1 *l1, struct tc_reader *me, struct tc_l1_ref ref, int64_t now_ms, struct tc_l1_found *f)
{
    struct tc_stripe *s = tc_l1_stripe(l1, ref.hash);
    bool busy = true;
    f->generation = tc_generation(tc_stripe_generation(s, ref.hash)); /* before the table: see l1.h */
    if (me != NULL) {
        tc_reader_enter(&l1->readers, me);
        f->entry = find_and_pin(l1, s, me, ref, now_ms, &f->fresh, &busy);
        tc_reader_leave(me);
    }
    if (busy)
        f->entry = find_busy(l1, s, me, ref, now_ms, &f->fresh);
    if (f->entry == NULL)
        return;
    tc_readers_add_pins(&l1->readers, me, 1);
    if (f->fresh && wants_lock(l1, f->entry, tc_entry_flags(f->entry)))
        tc_l1_tell_hit(s, ref);
}

bool tc_l1_misses(struct tc_l1 *l1, struct tc_reader *me, struct tc_l1_ref ref, uint64_t *generation)
{
    size_t stripe = tc_l1_stripe_number(l1, ref.hash);
    uint32_t refs;
    *generation = tc_generation(tc_stripe_generation(&l1->stripes[stripe], ref.hash)); /* before the table: see l1.h */
    tc_reader_enter(&l1->readers, me);
    bool found = tc_index_find(&l1->views[stripe], ref.hash, ref.key, &refs) != NULL;
    tc_reader_leave(me);
    return !found;
}

void tc_l1_get(struct tc_l1 *l1, struct tc_l1_ref ref, int64_t now_ms, struct tc_l1_found *f)
{
    tc_l1_get_as(l1, tc_reader_self(&l1->readers), ref, now_ms, f);
}

bool tc_l1_copy_out(struct tc_l1 *l1, size_t stripe, struct tc_reader *me, struct tc_entry *e, void *buf, size_t cap,
                    int64_t now_ms, struct tc_l1_copied *copied)
{
    struct cache_slice value = tc_entry_value(e);
    if (value.len > cap || value.len > TC_L1_COPY_BYTES || now_ms >= tc_entry_fresh_until_ms(e))
        return false;
    tc_l1_touch(l1, &l1->views[stripe], stripe, me, e);
    if (value.len > 0)
        memcpy(buf, value.data, value.len);
    if (copied != NULL)
        *copied = tc_l1_fields(e);
    return true;
}

/* *locks: it was a hit that is told with the lock held. */
static inline bool copy(struct tc_l1 *l1, struct tc_reader *me, struct tc_l1_ref ref, int64_t now_ms, void *buf,
                        size_t cap, struct tc_l1_copied *copied, bool *locks)
{
    size_t stripe = tc_l1_stripe_number(l1, ref.hash);
    uint32_t refs;
    struct tc_entry *e = tc_index_find(&l1->views[stripe], ref.hash, ref.key, &refs);
    if (e == NULL)
        return false;
    *locks = wants_lock(l1, e, refs);
    if (refs & TC_ENTRY_FLAGS)
        return tc_l1_copy_out(l1, stripe, me, e, buf, cap, now_ms, copied);
    struct tc_entry_seen seen = { e, refs, tc_entry_sizes(e) };
    size_t key_len = tc_sizes_key_len(seen.sizes);
    return !(refs & TC_ENTRY_WRITING) &&
           tc_l1_copy_plain(l1, stripe, me, &seen, key_len, buf, cap, now_ms, copied);
}

bool tc_l1_get_copy_as(struct tc_l1 *l1, struct tc_reader *me, struct tc_l1_ref ref, int64_t now_ms, void *buf,
                       size_t cap, struct tc_l1_copied *copied, struct tc_l1_found *f)
{
    bool done = false, locks = false;
    if (__builtin_expect(me != NULL, 1)) {
        tc_reader_enter(&l1->readers, me);
        done = copy(l1, me, ref, now_ms, buf, cap, copied, &locks);
        tc_reader_leave(me);
    }
    if (!done)
        tc_l1_get_as(l1, me, ref, now_ms, f);
    else if (locks)
        tc_l1_tell_hit(tc_l1_stripe(l1, ref.hash), ref);
    return done;
}

bool tc_l1_get_copy(struct tc_l1 *l1, struct tc_l1_ref ref, int64_t now_ms, void *buf, size_t cap,
                    struct tc_l1_copied *copied, struct tc_l1_found *f)
{
    return tc_l1_get_copy_as(l1, tc_reader_self(&l1->readers), ref, now_ms, buf, cap, copied, f);
}

uint64_t tc_l1_generation(struct tc_l1 *l1, uint64_t hash)
{
    return tc_generation(tc_stripe_generation(tc_l1_stripe(l1, hash), hash));
}

void tc_l1_history(struct tc_l1 *l1, struct tc_l1_ref ref, int64_t now_ms, int64_t *age_ms, uint64_t *hits)
{
    struct tc_stripe *s = tc_l1_stripe(l1, ref.hash);
    tc_lock_acquire(&s->lock);
    struct tc_entry *e = tc_stripe_find(s, ref.hash, ref.key, NULL);
    *age_ms = e != NULL ? now_ms - tc_entry_made_ms(e) : -1;
    const uint32_t both = TC_ENTRY_COUNTS | TC_ENTRY_MORE;
    bool counts = e != NULL && (tc_entry_flags(e) & both) == both;
    *hits = counts ? atomic_load_explicit(&tc_entry_more(e)->hits, memory_order_relaxed) : 0;
    tc_lock_release(&s->lock);
}

/* ---- accounts ---- */

uint64_t tc_l1_bytes(struct tc_l1 *l1)
{
    uint64_t bytes = l1->fixed_bytes;
    for (size_t i = 0; i < l1->n_stripes; i++)
        bytes += tc_stripe_bytes(&l1->stripes[i]);
    int64_t pool = atomic_load_explicit(&l1->pool, memory_order_relaxed);
    uint64_t most = tc_l1_limit(l1) + (pool < 0 ? (uint64_t)-pool : 0);
    /* The stripes are read one after the other: memory that moves meanwhile may be seen twice. */
    return bytes < most ? bytes : most;
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
    return good && (int64_t)(granted + l1->fixed_bytes) + l1->pool == (int64_t)tc_l1_limit(l1);
}
