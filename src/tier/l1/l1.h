/* L1: this process's memory. Lock-striped for those who change it; a look-up takes no lock (index.h, base/readers.h),
 * unless what it finds is being overwritten at that moment.
 *
 * Memory. The limit, less the fixed structures, is a pool that stripes draw grants from; what a stripe holds never
 * exceeds its grant, so the whole never exceeds the limit. When the pool is empty a stripe below its fair share takes
 * from one above it, any other evicts its own. What left the table but may still be read waits in its stripe, in cells
 * that count there, or in a reserve that counts as a fixed structure (limbo.c). Values that callers pin after they left
 * L1 are counted apart.
 *
 * Coherence inside the process. Each key has a generation (of its gate). A ticket is a generation read before the
 * origin was; tc_l1_put under a ticket stores nothing if the generation moved. It moves under the lock, or with a value
 * that is written over the one before without it; who stores under a ticket looks when neither can happen any more.
 * For L2 the gate does the same: a fill enters only while the generation stands (tc_l1_fill_begin), and a writer or
 * an invalidation lets none in from then on, waits until those inside are through, and moves the generation
 * (tc_l1_write_begin). So nothing that began before an invalidation reaches L2 after it. */
#ifndef TC_TIER_L1_L1_H
#define TC_TIER_L1_L1_H

#include <string.h>

#include "base/hooks.h"
#include "base/readers.h"
#include "tier/l1/stripe.h"

/* What all stripes together keep for those who read without a lock: see limbo.c. */
struct tc_limbo {
    struct tc_lock lock;
    bool ready;
    struct tc_block *blocks, *last_block; /* (lock) former tables and maps */
    _Atomic uint64_t bytes; /* of them, and of the entries that wait in stripes and are alone */
};
enum tc_limbo_wants { TC_WANTS_NOTHING, TC_WANTS_LOOK, TC_WANTS_STEP };

struct tc_l1 {
    const struct tc_alloc *alloc;
    const struct tc_clock *clock;
    struct tc_hasher hasher; /* of keys: whoever looks up gives the same */
    struct cache_evict_ops evict;
    size_t node_bytes; /* of evict, or what types' policies need, with what L1 itself keeps there */
    bool paged;        /* stripes are large enough to house entries, */
    bool thin;         /* but not for pages of many sizes */
    size_t n_stripes;  /* a power of two */
    size_t stripe_mask; /* n_stripes - 1 */
    struct tc_stripe *stripes;
    struct tc_index_view *views; /* of their tables */
    struct tc_gate *gates; /* theirs; NULL until tc_l1_open_gates() */
    _Atomic uint64_t limit;
    uint64_t fixed_bytes; /* of the structures that do not depend on the entries */
    _Atomic uint64_t fair; /* a stripe's fair share */
    uint64_t reserve;    /* for what waits in limbo; part of fixed_bytes */
    bool locked_hits, stamped_hits; /* CACHE_EVICT_* of the policy */
    _Atomic int limbo_wants;        /* enum tc_limbo_wants: some stripe waits for readers with nothing to be freed */
    struct tc_readers readers;
    struct tc_limbo limbo;
    _Atomic(struct cache_type *) types[UINT8_MAX + 1]; /* by their id */
    _Alignas(TC_CACHELINE) _Atomic int64_t pool; /* not granted to any stripe; negative: owed, the limit was lowered */
    _Atomic uint64_t detached_bytes;
    _Atomic uint32_t next_stripe; /* where the next search for memory begins */
    _Atomic uint32_t late; /* fills that a writer gave up waiting for, not settled yet. Grows under a stripe's lock */
};

/* evict may be NULL (LRU). node_bytes: room for nodes of that many, if evict's are smaller. stripes 0: chosen. Returns
 * CACHE_OK, CACHE_E_INVALID (the limit is too small for the stripes), CACHE_E_NOMEM, CACHE_E_SYSTEM. l1 may be given to
 * tc_l1_fini whatever the result. */
int tc_l1_init(struct tc_l1 *l1, uint64_t limit, size_t stripes, const struct cache_evict_ops *evict,
               size_t node_bytes, struct tc_hasher hasher, const struct tc_alloc *alloc, const struct tc_clock *clock);
void tc_l1_fini(struct tc_l1 *l1);

/* Says that there will be entries of that type; tc_l1_put says it of those with more. */
static inline void tc_l1_know(struct tc_l1 *l1, struct cache_type *t)
{
    atomic_store_explicit(&l1->types[t->id], t, memory_order_release);
}

static inline struct cache_type *tc_l1_type_of_id(struct tc_l1 *l1, uint32_t id)
{
    return atomic_load_explicit(&l1->types[id], memory_order_acquire);
}

static inline struct cache_type *tc_l1_type_of(struct tc_l1 *l1, const struct tc_entry *e)
{
    return tc_l1_type_of_id(l1, tc_entry_type_id(e));
}

/* A policy of a type's own: whether there is room for its nodes; and before the type is known, brings it. */
bool tc_l1_fits_evict(const struct tc_l1 *l1, const struct cache_evict_ops *evict);
void tc_l1_set_evict(const struct tc_l1 *l1, struct cache_type *t, const struct cache_evict_ops *evict);
/* The policy under which entries of that type stand: its own, or the cache's. */
static inline const struct cache_evict_ops *tc_l1_evict_of(const struct tc_l1 *l1, const struct cache_type *t)
{
    return t->has_evict ? &t->evict : &l1->evict;
}

static inline size_t tc_l1_entry_bytes(const struct tc_l1 *l1, const struct tc_entry *e)
{
    return tc_entry_bytes(l1->alloc, e, l1->node_bytes);
}

/* Whether an entry of so many bytes, without a frame, is copied to memory of its stripe's. */
static inline bool tc_l1_houses(const struct tc_l1 *l1, size_t bytes)
{
    return l1->paged && bytes <= TC_EXTENT_MOST;
}

/* Which bits of a key's hash say what: the lower half its home in the table (index.h), those from 32 on its gate
 * (stripe.h), these its stripe, and the highest byte is its tag. What a stripe's keys have in common tells none of them
 * from another, so none of these shares a bit with another one. */
#define TC_L1_STRIPE_SHIFT 40
#define TC_L1_STRIPES_MOST 1024
_Static_assert(TC_GATES <= 1 << (TC_L1_STRIPE_SHIFT - 32), "below the stripe's bits");
_Static_assert(TC_L1_STRIPES_MOST <= 1 << (TC_INDEX_TAG_SHIFT - TC_L1_STRIPE_SHIFT), "below the tag's");

static inline size_t tc_l1_stripe_number(const struct tc_l1 *l1, uint64_t hash)
{
    return (hash >> TC_L1_STRIPE_SHIFT) & l1->stripe_mask;
}

static inline struct tc_stripe *tc_l1_stripe(struct tc_l1 *l1, uint64_t hash)
{
    return &l1->stripes[tc_l1_stripe_number(l1, hash)];
}

/* How many keys' lines are asked for before the first of them is looked up: enough to hide the waiting for memory, few
 * enough for all to be there yet. */
#define TC_L1_AHEAD 16

/* Says that the key of that hash will be looked up; takes no lock. */
static inline void tc_l1_prefetch(struct tc_l1 *l1, uint64_t hash)
{
    tc_index_prefetch(&l1->views[tc_l1_stripe_number(l1, hash)], hash);
}

/* The same of a key that is to be stored. */
static inline void tc_l1_prefetch_to_set(struct tc_l1 *l1, uint64_t hash)
{
    tc_l1_prefetch(l1, hash);
    __builtin_prefetch(tc_stripe_generation(tc_l1_stripe(l1, hash), hash), 1);
}

/* The same of one that is to come to the table, whose home bucket was seen: where it will lie if that is full, and what
 * is written under the lock, which another processor may have. */
static inline void tc_l1_prefetch_to_add(struct tc_l1 *l1, uint64_t hash)
{
    size_t stripe = tc_l1_stripe_number(l1, hash);
    const char *s = (const char *)&l1->stripes[stripe];
    tc_index_prefetch_next(&l1->views[stripe], hash);
    for (size_t at = 0; at < TC_STRIPE_WRITTEN; at += TC_CACHELINE)
        __builtin_prefetch(s + at, 1);
}

/* The same a moment later, inside tc_reader_enter(): asks for the entry too. */
static inline void tc_l1_prefetch_entry(struct tc_l1 *l1, uint64_t hash)
{
    tc_index_prefetch_entry(&l1->views[tc_l1_stripe_number(l1, hash)], hash);
}

struct tc_l1_ref {
    uint64_t hash;
    struct cache_slice key;
};

/* A result of looking up. generation is the key's, from before the look-up. */
struct tc_l1_found {
    struct tc_entry *entry; /* pinned, or NULL */
    bool fresh;             /* false: past its TTL, within the stale window */
    uint64_t generation;
};

/* Looks up and pins. now_ms from tc_clock_coarse_ms. */
void tc_l1_get(struct tc_l1 *l1, struct tc_l1_ref ref, int64_t now_ms, struct tc_l1_found *f);

/* Looks up for a caller that knows its own record, and expects nothing there: true, and the generation for a ticket. */
bool tc_l1_misses(struct tc_l1 *l1, struct tc_reader *me, struct tc_l1_ref ref, uint64_t *generation);

/* Looks up and, if the entry is fresh and its value has at most cap bytes, copies it: true, and *copied has the entry's
 * fields without pinning it. Otherwise as tc_l1_get. */
struct tc_l1_copied {
    uint32_t flags; /* TC_ENTRY_* */
    size_t len;
    int64_t made_ms, taken_ms, fresh_until_ms;
    int64_t now_ms; /* for whoever fills it in */
};
static inline struct tc_l1_copied tc_l1_plain_fields(uint64_t times, size_t len)
{
    int64_t until_ms = tc_times_until_ms(times), made_ms = until_ms - tc_times_life_ms(times);
    return (struct tc_l1_copied){ 0, len, made_ms, made_ms, until_ms, 0 };
}
static inline struct tc_l1_copied tc_l1_fields(const struct tc_entry *e)
{
    uint32_t flags = tc_entry_flags(e);
    if (flags != 0)
        return (struct tc_l1_copied){ flags, tc_entry_len(e), tc_entry_made_ms(e), tc_entry_taken_ms(e),
                                      tc_entry_fresh_until_ms(e), 0 };
    return tc_l1_plain_fields(tc_entry_times(e), tc_entry_plain_len(e));
}
bool tc_l1_get_copy(struct tc_l1 *l1, struct tc_l1_ref ref, int64_t now_ms, void *buf, size_t cap,
                    struct tc_l1_copied *copied, struct tc_l1_found *f);

/* The same for a caller that knows its own record, or that it has none (NULL). */
void tc_l1_get_as(struct tc_l1 *l1, struct tc_reader *me, struct tc_l1_ref ref, int64_t now_ms, struct tc_l1_found *f);
bool tc_l1_get_copy_as(struct tc_l1 *l1, struct tc_reader *me, struct tc_l1_ref ref, int64_t now_ms, void *buf,
                       size_t cap, struct tc_l1_copied *copied, struct tc_l1_found *f);

/* ---- the parts of a hit ---- */

/* Above this a copy takes so long that a pin and a release do not matter, and what others unlink waits for it. */
#define TC_L1_COPY_BYTES 65536

void tc_l1_mark(struct tc_stripe *s, struct tc_reader *me); /* an entry's first hit in this tick */
/* What a hit of an entry with TC_ENTRY_COUNTS does as far as it needs no lock. */
void tc_l1_touch_counted(struct tc_l1 *l1, const struct tc_index_view *view, size_t stripe, struct tc_reader *me,
                         struct tc_entry *e);
/* For a policy that wants the lock for a hit: after it, outside tc_reader_enter(). The entry may be gone meanwhile. */
void tc_l1_tell_hit(struct tc_stripe *s, struct tc_l1_ref ref);

/* What a hit does as far as it needs no lock, if its entry stands under the cache's policy, or under one that is told
 * of hits in the same way. */
static inline __attribute__((always_inline)) void tc_l1_touch_plain(struct tc_l1 *l1, const struct tc_index_view *view,
                                                                    size_t stripe, struct tc_reader *me,
                                                                    struct tc_entry *e)
{
    uint8_t hits = atomic_load_explicit(&view->hits, memory_order_relaxed);
    if (hits == TC_HITS_UNTOLD)
        return;
    void *node = tc_entry_node(e, view->node_bytes);
    if (hits == TC_HITS_CALLED)
        l1->evict.hit(NULL, 0, node);
    else if (tc_stripe_stamp(view, node))
        tc_l1_mark(&l1->stripes[stripe], me);
}

static inline void tc_l1_touch(struct tc_l1 *l1, const struct tc_index_view *view, size_t stripe, struct tc_reader *me,
                               struct tc_entry *e)
{
    if (tc_entry_flags(e) & TC_ENTRY_COUNTS)
        tc_l1_touch_counted(l1, view, stripe, me, e);
    else
        tc_l1_touch_plain(l1, view, stripe, me, e);
}

/* A hit that is copied, of an entry that was seen without a flag and not TC_ENTRY_WRITING. False: see
 * tc_entry_take(). copied may be NULL. */
static inline __attribute__((always_inline)) bool tc_l1_copy_plain(struct tc_l1 *l1, size_t stripe,
                                                                   struct tc_reader *me,
                                                                   const struct tc_entry_seen *seen, size_t key_len,
                                                                   void *buf, size_t cap, int64_t now_ms,
                                                                   struct tc_l1_copied *copied)
{
    struct tc_entry_taken t;
    if (__builtin_expect(!tc_entry_take(seen, key_len, buf, cap, now_ms, &t), 0))
        return false;
    tc_l1_touch_plain(l1, &l1->views[stripe], stripe, me, seen->e);
    if (copied != NULL)
        *copied = tc_l1_plain_fields(t.times, t.len);
    return true;
}

/* A hit that is copied, of an entry with a flag: the value to buf and, unless copied is NULL, what is known of it.
 * False: it is not fresh, or too large for cap or for a copy. */
bool tc_l1_copy_out(struct tc_l1 *l1, size_t stripe, struct tc_reader *me, struct tc_entry *e, void *buf, size_t cap,
                    int64_t now_ms, struct tc_l1_copied *copied);

uint64_t tc_l1_generation(struct tc_l1 *l1, uint64_t hash);

/* Pins: the count is what cache_close() waits for. tc_l1_get pins what it finds. */
void tc_l1_pin(struct tc_l1 *l1, struct tc_entry *e);
void tc_l1_release(struct tc_l1 *l1, struct tc_entry *e);
int64_t tc_l1_pin_count(struct tc_l1 *l1);

/* A reference that is not a pin: of a load's result while it is under way. */
void tc_l1_hold(struct tc_entry *e);
/* The same for who may not have the lock and comes for callers, of whom there may be any number. refs: as when it was
 * looked up. False: it was overwritten since then, or is being, or there are too many. unhold: L1's reference is
 * there. */
bool tc_l1_try_hold(struct tc_entry *e, uint32_t refs);
static inline void tc_l1_unhold(struct tc_entry *e)
{
    atomic_fetch_sub_explicit(&e->refs, 1, memory_order_release);
}
void tc_l1_drop(struct tc_l1 *l1, struct tc_entry *e);

/* Says that e is in callers' hands though not in L1, so that its memory shows. */
void tc_l1_detach(struct tc_l1 *l1, struct tc_entry *e);
void tc_l1_undetach(struct tc_l1 *l1, const struct tc_entry *e); /* it is being freed */

/* Says so unless it was said already, or L1 took a reference to e: for a value of one's own making whose storing may
 * have been refused, or of which L1 took a copy. */
void tc_l1_detach_unless_stored(struct tc_l1 *l1, struct tc_entry *e);

/* Stores e, with a reference of its own, or a copy of it in memory of its stripe's. expected, if not NULL, must still
 * be the key's generation: else CACHE_E_TICKET and the key's entry stays (others may have been evicted for e, and it
 * with them). advance: the value is a write, not the answer to a miss: the generation moves in the same critical
 * section. p is its type's policy. TC_L1_KEPT: under expected, what is there is fresh and was asked for later than e:
 * it stays, e is not stored. Whatever the result, unless it is one of these two, the key's former entry is gone.
 * Returns also CACHE_OK: e is stored; CACHE_E_TOO_LARGE (the limit or the type's quota), CACHE_E_NOMEM. */
#define TC_L1_KEPT 1
int tc_l1_put(struct tc_l1 *l1, struct tc_entry *e, const struct tc_policy *p, const uint64_t *expected, bool advance);

/* Age and hits of what is stored under a key, for TTL policies; age -1: nothing. */
void tc_l1_history(struct tc_l1 *l1, struct tc_l1_ref ref, int64_t now_ms, int64_t *age_ms, uint64_t *hits);

/* Drops the key's entry, if there is one. */
void tc_l1_remove_locked(struct tc_stripe *s, struct tc_l1_ref ref, tc_reason why, struct tc_dropped *dropped);

/* Drops the key's entry and moves its generation: every ticket taken before is void. */
void tc_l1_invalidate(struct tc_l1 *l1, struct tc_l1_ref ref);
void tc_l1_invalidate_locked(struct tc_stripe *s, struct tc_l1_ref ref, struct tc_dropped *dropped);
void tc_l1_void(struct tc_l1 *l1, uint64_t hash); /* moves the generation only: the entry stays */
void tc_l1_clear(struct tc_l1 *l1); /* invalidates every key; what is stored meanwhile may stay or go */

/* The L2 gate. open: memory for it, part of the limit; once, before anything is stored; CACHE_OK or CACHE_E_NOMEM.
 * close: nobody is in it.
 * fill_begin: false if the generation moved or a writer is at the gate: then nothing may be sent.
 * fill_end: TC_FILL_STANDS; TC_FILL_VOID: the generation moved meanwhile, but for no writer's sake that L2 concerns:
 * the value is not for L1; TC_FILL_LATE: a writer gave up waiting for it, and what was sent must go again: who got that
 * calls tc_l1_late_end() when its own invalidation is kept. Until then tc_l1_late() is above 0, and L2 may hold, or be
 * about to hold, what an invalidation said is void. So it is with an exclusive writer that another gave up waiting for:
 * write_end then returns false.
 * write_begin: waits for the gate until the deadline, then moves the key's generation and drops its entry, whether it
 * got in or not; false: fills or another writer were still under way. exclusive: one such writer at a time (a value is
 * sent); the others (deletions) go together, also beside it. Whoever got true calls the matching _end. Who needs
 * several gates takes them in the order of tc_l1_gate_id and each exclusive one once. */
int tc_l1_open_gates(struct tc_l1 *l1);
void tc_l1_close_gates(struct tc_l1 *l1);
bool tc_l1_fill_begin(struct tc_l1 *l1, uint64_t hash, uint64_t generation);
enum tc_fill_end { TC_FILL_STANDS, TC_FILL_VOID, TC_FILL_LATE };
enum tc_fill_end tc_l1_fill_end(struct tc_l1 *l1, uint64_t hash, uint64_t generation);
void tc_l1_late_end(struct tc_l1 *l1);
static inline uint32_t tc_l1_late(struct tc_l1 *l1)
{
    return atomic_load_explicit(&l1->late, memory_order_acquire);
}
bool tc_l1_write_begin(struct tc_l1 *l1, struct tc_l1_ref ref, bool exclusive, int64_t deadline_ms);
static inline uint64_t tc_l1_gate_id(const struct tc_l1 *l1, uint64_t hash)
{
    return tc_l1_stripe_number(l1, hash) * TC_GATES + tc_gate_number(hash);
}
bool tc_l1_write_end(struct tc_l1 *l1, uint64_t hash, bool exclusive);

/* ---- l1_grant.c ---- */
/* With the stripe's lock held. draw: raises the grant towards want as far as the pool goes. grant: whether the stripe
 * may hold that much more, after drawing on the pool. make_grant: the same, by evicting if need be; false: nothing is
 * left to evict. give_idle: what is granted and not in use goes back to the pool, but for a little. */
void tc_l1_draw(struct tc_l1 *l1, struct tc_stripe *s, uint64_t want);
void tc_l1_give_idle(struct tc_l1 *l1, struct tc_stripe *s);
bool tc_l1_grant(struct tc_stripe *s, uint64_t more);
bool tc_l1_make_grant(struct tc_l1 *l1, struct tc_stripe *s, uint64_t more, struct tc_dropped *dropped);
/* Without a lock: collects need bytes from other stripes into the pool, from those above floor only. True if anything
 * came. *stalled, false before: a reader does not go on. */
bool tc_l1_collect(struct tc_l1 *l1, const struct tc_stripe *except, uint64_t need, uint64_t floor, bool *stalled);
/* Another limit, one caller at a time. It counts at once for who stores; less memory is collected in steps, no lock
 * held for long. CACHE_OK, CACHE_E_INVALID (too little for the stripes), CACHE_E_TIMEOUT: not all is had back yet. */
#define TC_L1_LEAST_SHARE 16384
#define TC_L1_LEAST_PAGED_SHARE 65536
int tc_l1_resize(struct tc_l1 *l1, uint64_t limit, int64_t deadline_ms);
static inline uint64_t tc_l1_limit(const struct tc_l1 *l1)
{
    return atomic_load_explicit(&l1->limit, memory_order_relaxed);
}
static inline uint64_t tc_l1_fair_of(const struct tc_l1 *l1, uint64_t limit)
{
    return (limit - l1->fixed_bytes) / l1->n_stripes;
}

static inline uint64_t tc_l1_fair(const struct tc_l1 *l1)
{
    return atomic_load_explicit(&l1->fair, memory_order_relaxed);
}
/* What is granted to nobody; 0 if memory is owed. */
static inline uint64_t tc_l1_pool(const struct tc_l1 *l1)
{
    int64_t pool = atomic_load_explicit(&l1->pool, memory_order_relaxed);
    return pool > 0 ? (uint64_t)pool : 0;
}
static inline bool tc_l1_is_full(const struct tc_l1 *l1)
{
    return atomic_load_explicit(&l1->pool, memory_order_relaxed) <= 0;
}

/* With the stripe's lock held: it has so much less than its share that the next store is to ask others for theirs. */
static inline bool tc_l1_asks_others(const struct tc_l1 *l1, const struct tc_stripe *s)
{
    return atomic_load_explicit(&s->granted, memory_order_relaxed) < tc_l1_fair(l1) - tc_l1_fair(l1) / 8;
}

/* ---- l1_set.c ---- */
/* Stores a value, if that is all there is to do: true, and *replaced says whether there was one under the key. The
 * store is the caller's to count, and that, as l1_replaced. expected as for tc_l1_put; without it the value is a write,
 * and the generation moves. False: tc_l1_put has to do it. */
bool tc_l1_set(struct tc_l1 *l1, const struct tc_entry_parts *p, const uint64_t *expected, bool *replaced);

/* The same over the value before, without the stripe's lock, inside tc_reader_enter(): e and refs as they were looked
 * up. False: it is not to be overwritten, or was taken out of L1 meanwhile: then tc_l1_set() has to do it; at most the
 * generation moved. */
bool tc_l1_overwrite(struct tc_l1 *l1, struct tc_reader *me, struct tc_entry *e, uint32_t refs,
                     const struct tc_entry_parts *p);

/* With the stripe's lock held: with no memory left but by evicting, after an entry of so many bytes was housed: evicts
 * ahead of need where the next such store would have to wait for readers, never keep. */
void tc_l1_keep_slack(struct tc_l1 *l1, struct tc_stripe *s, uint32_t keep, size_t bytes, struct tc_dropped *dropped);
/* The same, after a store over what was there: some buckets of a table that grows. Where no new key comes there would be
 * two tables for good, and each change made twice. */
void tc_l1_grow_on(struct tc_l1 *l1, struct tc_stripe *s, struct tc_dropped *dropped);
/* Before a store: a little of what the stripe has above its share, while memory is owed. */
void tc_l1_pay(struct tc_l1 *l1, struct tc_stripe *s, struct tc_dropped *dropped);

/* ---- l1_quota.c ---- */
bool tc_l1_is_over_quota(const struct cache_type *t, const struct tc_policy *p);
/* By more than one hold of a lock is for. */
bool tc_l1_is_far_over_quota(const struct cache_type *t, const struct tc_policy *p);
/* The order has more than its stripe's part of the quota, counting entries to come. A single one never is too much. */
bool tc_l1_above_share(const struct tc_l1 *l1, const struct tc_order *o, const struct tc_policy *p, uint64_t more,
                       uint64_t more_bytes);
/* Without a lock: evicts entries of a type over its quota wherever they are, but not that of the key; to_share: only
 * from stripes with more than theirs. */
void tc_l1_trim(struct tc_l1 *l1, struct cache_type *t, const struct tc_policy *p, struct tc_l1_ref kept,
                bool to_share);

/* With a stripe's lock: whoever next ends a change (tc_l1_leave()) looks for readers, or steps. */
static inline void tc_limbo_want(struct tc_l1 *l1, enum tc_limbo_wants what)
{
    atomic_store_explicit(&l1->limbo_wants, what, memory_order_relaxed);
}

/* ---- limbo.c: no lock held ---- */
/* Ends what was done under a stripe's lock: frees some of what waits there (all of it where nobody else reads), lets
 * the lock go, and gives up what was dropped. */
void tc_l1_leave(struct tc_l1 *l1, struct tc_stripe *s, struct tc_dropped *dropped);
void tc_l1_free_dropped(struct tc_l1 *l1, struct tc_dropped *dropped); /* nobody else is there: all of it, at once */
/* Sees to it that no more waits than the reserve holds. False: a reader does not go on. */
bool tc_limbo_drain(struct tc_l1 *l1);
/* Waits until nobody can be reading what left its table before. False: a reader does not go on. */
bool tc_limbo_pass(struct tc_l1 *l1);
/* Frees what can be freed in all stripes; waits for nobody. */
void tc_limbo_clear(struct tc_l1 *l1);
int tc_limbo_init(struct tc_l1 *l1); /* 0 or an errno */
void tc_limbo_fini(struct tc_l1 *l1);

uint64_t tc_l1_bytes(struct tc_l1 *l1); /* in use, fixed structures included */
bool tc_l1_check(struct tc_l1 *l1);     /* the accounts agree with what is there; for tests, nothing else running */

#endif
