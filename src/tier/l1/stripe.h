/* One stripe of L1: a hash table, its entries' memory, its eviction orders, its timer wheel, and the generations that
 * tickets refer to, all under one lock. A key belongs to one stripe, chosen by its hash. Hits read table and entries
 * without the lock.
 *
 * Memory. A stripe of some size houses its entries: what is put is copied to a cell of a page if it is small
 * (base/slab.h), in smaller stripes if it is of a size of which there are many, and else to an extent (base/extents.h).
 * What is larger than an extent stays alone, in the memory in which it was made, and so does everything in stripes that
 * are small. What leaves the table waits in the stripe until nobody can be reading it any more (stripe_left.c); what is
 * housed stays in the account meanwhile, the rest counts in the reserve of all stripes (limbo.c).
 *
 * Lock: every function except init, fini and those marked is called with s->lock held. What is to be freed or waited
 * for without the lock goes to a struct tc_dropped, which the caller gives to tc_l1_leave(); that lets the lock
 * go. */
#ifndef TC_TIER_L1_STRIPE_H
#define TC_TIER_L1_STRIPE_H

#include "tier/l1/entry.h"
#include "tier/l1/index.h"
#include "tier/l1/wheel.h"

/* Why an entry leaves; the counter that says so. */
typedef enum tc_counter tc_reason;
#define TC_NOT_COUNTED TC_COUNTERS /* by who takes it out, or not at all */

struct tc_dropped {
    struct tc_entry *first;  /* nobody reads them any more; linked by next */
    struct tc_block *blocks; /* of the index and of maps, before they grew: to wait */
    uint64_t bytes;          /* of the entries that began to wait in the stripe */
    struct cache_type *type; /* what its counts of entries and bytes do not say yet */
    int64_t entries_more, bytes_more;
};
void tc_dropped_tell(struct tc_dropped *dropped); /* says so */
void tc_dropped_add(struct tc_dropped *dropped, struct tc_block *b); /* b may be NULL */

/* The entries at the end of an order, first to leave, in whose cells those that came lately found no room. They stay
 * for who needs no more; others begin behind them. Forgotten where the policy may have moved some of them: it was told
 * of a tick, it names another victim than the first of them, or whoever looks at them finds another among them. What was
 * used and was moved between them when the first had left is met then, or at the next tick. */
#define TC_PASSED_MOST 8 /* of some thousand in a stripe: who leaves is still one of those not used for longest */
struct tc_passed {
    uint32_t n;
    uint32_t room; /* of the largest cell of them, even if that has left since then */
    uint64_t in_vain; /* a byte for each of eight sizes: see stripe_victim.c */
    uint32_t cells[TC_PASSED_MOST];
};

/* The entries of a stripe, or those of one type with a quota, a priority or an eviction policy of its own in it, in the
 * order in which they are to leave. */
struct tc_order {
    const struct cache_evict_ops *evict; /* the type's, or the cache's */
    size_t count;
    uint64_t bytes; /* of the entries */
    /* How fast entries come, measured in rounds of some insertions. */
    uint32_t to_come; /* of the round under way: insertions that are still to come */
    uint32_t last;    /* when the last one came, counted by the stripe's uses */
    void *state;      /* of the eviction policy */
    struct tc_order *next;
    struct tc_passed passed;
    const struct cache_type *type; /* NULL: all types that have no order of their own */
    uint32_t round, began;   /* insertions of the round under way, and when it began */
    uint64_t interval;       /* of the rounds before: uses from one insertion to the next, times 65,536; 0: none */
};

/* Entries that left the table, in the order in which they did. If there are more epochs than batches, for want of
 * readers who go on, the youngest takes in what comes. */
#define TC_LEFT_BATCHES 4
struct tc_left_batch {
    uint64_t epoch; /* of the last of them */
    uint32_t first, last;
};
struct tc_left {
    struct tc_left_batch batches[TC_LEFT_BATCHES]; /* a ring */
    uint32_t begin, n;
    /* Written under the lock. */
    _Atomic uint64_t housed; /* bytes of those that wait in memory of the stripe's */
    _Atomic uint64_t bytes;  /* of all that wait */
};
static inline uint64_t tc_left_housed(const struct tc_left *w)
{
    return atomic_load_explicit(&w->housed, memory_order_relaxed);
}
/* Something waits in memory of its own. Without the lock: it did, or does. */
static inline bool tc_left_has_alone(const struct tc_left *w)
{
    return atomic_load_explicit(&w->bytes, memory_order_relaxed) != tc_left_housed(w);
}

/* Keys that share one of as many gates void each other's tickets: never wrong, only a fill less. A ticket is the gate's
 * generation, which lies in the stripe, for there are tickets without an L2 too; it moves under the lock, or with a value
 * that is overwritten without it. The gate itself is for who writes to L2: see l1.h. */
#define TC_GATES 64
struct tc_gate {
    uint64_t given_up; /* the generation after a writer last gave up waiting: older fills may come late */
    uint32_t fills;    /* values on their way to L2 under a valid ticket */
    uint32_t late;     /* those of them that such a writer did not wait for */
    uint32_t barrier;  /* writers that wait for fills to end, or write */
    bool writing;      /* one of them writes */
    bool writer_late;  /* and another gave up waiting for it */
};

/* See stripe_version.c. A bar is where a quarter of the versions begins. */
struct tc_versions {
    uint32_t bar;   /* the one that came down last: 1 or 3 */
    uint32_t came;  /* entries that came to the quarter before it, while it was the only one */
    bool both;      /* the other one is down too, until */
    uint64_t epoch; /* those who were reading then are through */
    uint32_t polls; /* how often that was asked */
};
#define TC_VERSIONS_CAME_LEAST 128
#define TC_VERSIONS_CAME_MOST 4096

struct tc_l1;

/* Under a policy that is told of hits with the lock held, in the last bytes of each entry's node: when it was stored or
 * last hit, counted by the stripe's uses. (lock) */
struct tc_use {
    uint32_t unused, at;
};

enum { TC_HITS_UNTOLD, TC_HITS_STAMPED, TC_HITS_CALLED }; /* untold: nothing, or not yet; called: the policy's hit() */

/* index.view->stamp: what a hit marks its entry with; 0 while it need not, then 1 to 255, round and round.
 * index.view->marks_kept: how many marks a thread keeps to itself, since telling them writes a line that others
 * write.
 * index.view->hits: what a hit does without the lock, if the entry stands under the cache's policy.
 *
 * What each store writes stands on the first three lines: they go from processor to processor. */
struct tc_stripe {
    _Alignas(TC_CACHELINE) struct tc_lock lock;
    _Atomic uint32_t uses; /* insertions, and first hits of an entry in a tick. Written under the lock */
    uint32_t toward_tick;  /* what has come together since the tick began, in shares: see stripe_order.c */
    struct tc_index index;
    struct tc_order shared; /* the first of the orders */
    struct cache_evict_env env; /* of the orders */
    uint64_t policy_bytes;      /* what the policies allocated; part of bytes */
    struct tc_l1 *l1;           /* on a line with what follows */
    struct tc_slab slab;        /* of index.cells */
    struct tc_extents extents;
    uint32_t apart_of[TC_SLAB_CLASSES]; /* entries that lie apart though they would fit into a page, by their class */
    struct tc_left left;
    _Atomic uint64_t bytes;   /* pages, chunks, maps, table, orders, what the policy has, and entries that are
                                 alone, as the heap counts them. Written under the lock */
    _Atomic uint64_t granted; /* its share of the limit; bytes <= granted. Written under the lock */
    struct tc_cond quiet; /* a gate's fills or writing ended */
    _Alignas(TC_CACHELINE) _Atomic uint64_t generations[TC_GATES];
    struct tc_gate *gates; /* TC_GATES, if there is an L2; else NULL */
    int64_t round_ms, last_round_ms; /* when the round of the wheel's hand (index.hand) began, and the one before it */
    struct tc_versions versions;
    struct tc_wheel_due due;         /* as of that tick */
    int64_t due_tick;
    uint32_t ticked;                 /* when the tick began, counted by uses, */
    int64_t uses_of_tick;            /* and how many of these one has, times 256 */
};

/* What each store writes, as a rule, but for generations and the policy. */
#define TC_STRIPE_WRITTEN offsetof(struct tc_stripe, shared.state)

/* CACHE_OK, _E_NOMEM, _E_SYSTEM. */
int tc_stripe_init(struct tc_stripe *s, struct tc_index_view *view, struct tc_l1 *l1);
/* Frees every entry that has memory of its own and that nobody pins, and the pages and chunks of all others; nobody else
 * is there. */
void tc_stripe_fini(struct tc_stripe *s);

/* The lock makes the sum right; the atomic is for those who only look. */
static inline uint64_t tc_stripe_bytes(struct tc_stripe *s)
{
    return atomic_load_explicit(&s->bytes, memory_order_relaxed);
}

static inline void tc_stripe_account(struct tc_stripe *s, uint64_t more, uint64_t less)
{
    atomic_store_explicit(&s->bytes, tc_stripe_bytes(s) + more - less, memory_order_relaxed);
}

/* Granted and not in use. */
static inline uint64_t tc_stripe_idle(struct tc_stripe *s)
{
    uint64_t granted = atomic_load_explicit(&s->granted, memory_order_relaxed), bytes = tc_stripe_bytes(s);
    return granted > bytes ? granted - bytes : 0;
}

/* Pages, chunks, and the maps of what lies there. */
static inline uint64_t tc_stripe_housing(const struct tc_stripe *s)
{
    return s->slab.bytes + s->extents.bytes;
}

/* An entry that takes more bytes lies in an extent, unless many are of its size. The cells of pages would be far apart in
 * size, and rounded to by up to a fifth; where sizes are many each would have but a few pages, of which one is half
 * empty, and would come short of cells again and again. docs/decisions/029-larger-entries-lie-in-extents.md */
#define TC_PAGED_MOST 408

/* In a full stripe that houses its entries so many bytes should wait or be free: else each store would wait for
 * readers. With more, what is free is taken before anything is evicted; with less than three quarters of it, more is
 * evicted than is needed. In between, who comes takes the place of who leaves, as far as sizes are alike. */
#define TC_SLACK_SHARE 32
static inline uint64_t tc_stripe_slack(const struct tc_stripe *s)
{
    return tc_stripe_housing(s) / TC_SLACK_SHARE;
}

/* More is free in pages than should be: it pays to vacate some. */
static inline bool tc_stripe_pages_are_sparse(const struct tc_stripe *s)
{
    return s->slab.free_bytes > tc_stripe_slack(s) + TC_PAGE_BYTES;
}

/* Without the lock: what a reader sees of the key after this call is not older than this. */
static inline uint64_t tc_generation(const _Atomic uint64_t *generation)
{
    return atomic_load(generation);
}

static inline void tc_generation_advance(_Atomic uint64_t *generation)
{
    atomic_fetch_add(generation, 1);
}

static inline size_t tc_gate_number(uint64_t hash)
{
    return (size_t)(hash >> 32) % TC_GATES;
}

/* Of the key's gate. */
static inline _Atomic uint64_t *tc_stripe_generation(struct tc_stripe *s, uint64_t hash)
{
    return &s->generations[tc_gate_number(hash)];
}

/* Marks an entry, whose node this is, with the present stamp. True: it had another one. */
static inline __attribute__((always_inline)) bool tc_stripe_stamp(const struct tc_index_view *view, void *node)
{
    uint8_t stamp = atomic_load_explicit(&view->stamp, memory_order_relaxed);
    _Atomic uint8_t *at = node;
    if (stamp == 0 || atomic_load_explicit(at, memory_order_relaxed) == stamp) /* 0: nor has any entry one */
        return false;
    atomic_store_explicit(at, stamp, memory_order_relaxed);
    return true;
}

struct tc_entry *tc_stripe_find(struct tc_stripe *s, uint64_t hash, struct cache_slice key, uint32_t *cell);

static inline struct tc_entry *tc_stripe_entry(const struct tc_stripe *s, uint32_t cell)
{
    return tc_index_entry(s->index.view, cell);
}

/* A hit of an entry, for a policy that needs the lock for it. */
void tc_stripe_hit(struct tc_stripe *s, uint32_t cell);
/* An entry was stored. */
void tc_stripe_stored(struct tc_stripe *s);
/* n entries were hit for the first time in this tick. */
void tc_stripe_marked(struct tc_stripe *s, uint32_t n);

/* ---- stripe_order.c ---- */
void tc_stripe_init_env(struct tc_stripe *s);
void tc_stripe_begin_order(struct tc_stripe *s, struct tc_order *o);
void tc_stripe_end_order(struct tc_order *o);
void tc_stripe_enter_order(struct tc_stripe *s, struct tc_order *o, uint32_t cell, uint64_t hash, uint64_t bytes);
void tc_stripe_leave_order(struct tc_order *o, uint32_t cell, uint64_t bytes);
static inline void tc_stripe_forget_passed(struct tc_order *o)
{
    o->passed.n = o->passed.room = 0;
}
/* Both at once, of an entry whose cell another one has from now on. */
void tc_stripe_renew_in_order(struct tc_stripe *s, struct tc_order *o, uint32_t cell, uint64_t from_bytes,
                              uint64_t hash, uint64_t bytes);
/* Puts an entry of the same key in the place of the one before, if that stands in this order and the policy can. */
bool tc_stripe_replace_in_order(struct tc_stripe *s, struct tc_order *o, uint32_t from, uint64_t from_bytes,
                                uint32_t to, uint64_t hash, uint64_t bytes);
/* An entry has another cell from now on; the policy has move(). */
void tc_stripe_move_in_order(struct tc_order *o, uint32_t from, uint32_t to);
/* Where entries of the type of that number stand: in its own order, if it has one here. */
struct tc_order *tc_stripe_order_of_type(struct tc_stripe *s, uint32_t id);
/* The order in which an entry stands. */
struct tc_order *tc_stripe_order_of(struct tc_stripe *s, const struct tc_entry *e);

/* The next entry of a type as they lie in the table, *at being the first lane to look at: 0 to begin with. 0: there is
 * none. */
uint32_t tc_stripe_next_of_type(const struct tc_stripe *s, const struct cache_type *t, size_t *at);

/* Heap bytes of an order of a type's; they count in the stripe's. */
size_t tc_stripe_order_bytes(const struct tc_l1 *l1, const struct cache_type *t);

/* The order for entries of that type: its own, if it has one here, and always that from then on. With own it gets one
 * if it has none, with the entries that it has in the shared one, by their age (the shared one without memory: in that
 * those of a type with an eviction policy of its own may not stand). */
struct tc_order *tc_stripe_order(struct tc_stripe *s, const struct cache_type *t, bool own);

/* ---- stripe_house.c ---- */

/* By how much the stripe's bytes will rise for an entry's memory: of the entry, if it will be alone, of pages, chunks
 * and maps. anywhere: if a page would have to be opened for it, an extent will do that need not be. */
uint64_t tc_stripe_entry_growth(const struct tc_stripe *s, const struct tc_entry *e, bool anywhere);
/* The same of one of so many bytes that will be housed. */
uint64_t tc_stripe_housing_growth(const struct tc_stripe *s, size_t bytes, bool anywhere);
/* More than so much memory for ones of so many bytes is to be had without evicting, now or when readers are through. */
bool tc_stripe_has(struct tc_stripe *s, size_t bytes, uint64_t slack);
/* After the table grew: numbers for what will lie apart, without pages as many as there are lanes, if there is memory
 * for them. Then none has to be found when there is not. */
void tc_stripe_reserve(struct tc_stripe *s, struct tc_dropped *dropped);
/* Memory for an entry of so many bytes that is to be linked; *where has the flags that say where it is, and its version.
 * The account is raised. 0: no memory, nothing changed. */
uint32_t tc_stripe_take(struct tc_stripe *s, size_t bytes, bool anywhere, uint32_t *where, struct tc_dropped *dropped);
/* The same for an entry that was made: a cell that it is copied to, or a number for it as it is, with a reference of
 * L1's. */
uint32_t tc_stripe_house(struct tc_stripe *s, struct tc_entry *e, bool anywhere, struct tc_dropped *dropped);
/* An entry came to lie apart, by an address of its own, or is leaving: counts it if it would fit into a page. */
void tc_stripe_count_apart(const struct tc_stripe *s, uint32_t apart_of[TC_SLAB_CLASSES], const struct tc_entry *e,
                           int more);

/* ---- what is in it ---- */

/* Takes an entry out; it waits in the stripe, with L1's reference. */
void tc_stripe_remove(struct tc_stripe *s, uint32_t cell, tc_reason why, struct tc_dropped *dropped);

/* Where a new entry goes: in place of another, which leaves for that reason, or where tc_index_make_room made room. */
struct tc_lane {
    uint32_t instead;              /* 0: none */
    const struct tc_index_at *at;  /* of instead, if it has the same key; else NULL */
    const struct tc_index_gap *gap; /* with no instead: if known where */
    tc_reason why;
};
/* hash: of its key. */
void tc_stripe_link(struct tc_stripe *s, uint32_t cell, uint64_t hash, struct tc_order *o, int64_t now_ms,
                    const struct tc_lane *lane, struct tc_dropped *dropped);

/* ---- stripe_overwrite.c ---- */
/* Stores a value in the cell of the one of the same key, which lies there and is listed at that place: true. False: it
 * cannot be, nothing has changed. */
bool tc_stripe_overwrite(struct tc_stripe *s, uint32_t cell, const struct tc_index_at *at,
                         const struct tc_entry_parts *p);

/* ---- stripe_version.c ---- */
/* Of an entry that comes to a cell, among its references. */
uint32_t tc_stripe_first_version(const struct tc_stripe *s);
/* Of an entry with these references, with whose next version another quarter begins: whether it may be overwritten. Asks
 * for readers to be looked for, if that is what it takes. */
bool tc_stripe_try_quarter(struct tc_stripe *s, uint32_t refs);
/* That may be, and was claimed; the lock was held all the while. */
void tc_stripe_begin_quarter(struct tc_stripe *s, uint32_t refs);

/* ---- stripe_victim.c ---- */
/* The same in the cell of another entry, which is evicted by that; no type has an order of its own. gap: for the new
 * key. */
struct tc_victim {
    uint32_t cell;
    uint32_t refs, sizes; /* as they were when it was chosen */
    struct tc_entry *entry;
    size_t bytes;  /* its own */
    uint64_t hash; /* of its key */
};
/* Chooses one that would do for an entry of so many bytes that is one to write over others (tc_overwrite_suits()), and
 * asks for where it is listed: the next to be evicted, or one of those soon after it. False: there is none. */
bool tc_stripe_choose_victim(struct tc_stripe *s, size_t bytes, struct tc_victim *v);
/* The same with one that is named. */
bool tc_stripe_take_as_victim(struct tc_stripe *s, uint32_t cell, size_t bytes, struct tc_victim *v);
/* False: it was pinned or written over since it was chosen; nothing has changed. */
bool tc_stripe_overwrite_victim(struct tc_stripe *s, const struct tc_victim *v, const struct tc_index_gap *gap,
                                const struct tc_entry_parts *p, size_t bytes, struct tc_dropped *dropped);

/* ---- stripe.c ---- */
/* An entry of one type became one of another, or of another size. */
void tc_stripe_count_moved(struct cache_type *from, uint64_t counted, struct cache_type *to, uint64_t counts,
                           struct tc_dropped *dropped);

/* The entry to evict next: of o, or with o NULL the least recently used of all orders' victims, as priorities weight
 * that; never keep. 0 if there is none. */
uint32_t tc_stripe_victim(struct tc_stripe *s, struct tc_order *o, uint32_t keep);
/* Where all lanes are taken that a new entry of that hash could have: the shared order's victim, if that has one of them;
 * else the one of that order that was not used for longest, as far as that can be told of single entries; else any. */
uint32_t tc_stripe_victim_in_reach(struct tc_stripe *s, uint64_t hash);

/* Reclaims entries whose time is over, a bounded number. */
void tc_stripe_expire(struct tc_stripe *s, int64_t now_ms, struct tc_dropped *dropped);

/* ---- stripe_move.c ---- */

/* Moves the entries of a thinly filled page, or chunk, to others, so that it is empty when readers are through; of a
 * chunk, where much is free, some may be evicted. Returns how many bytes will come back; 0: none can be had that
 * way. */
uint64_t tc_stripe_vacate_page(struct tc_stripe *s, struct tc_dropped *dropped);
uint64_t tc_stripe_vacate_chunk(struct tc_stripe *s, struct tc_dropped *dropped);
/* Evicts what is in the page that has least in it, whatever its kind, or else in such a chunk. Returns how many bytes
 * will come back; 0: nothing has anything free. */
uint64_t tc_stripe_empty(struct tc_stripe *s, struct tc_dropped *dropped);

/* ---- stripe_left.c ---- */

/* Nobody has the cell, or can come upon it: it is free, and the account falls. Of an entry that is alone the number
 * only. */
void tc_stripe_give(struct tc_stripe *s, uint32_t cell);
/* An entry that is in no table and no order waits from now on. */
void tc_stripe_wait(struct tc_stripe *s, uint32_t cell, struct tc_entry *e, uint64_t bytes, struct tc_dropped *dropped);
/* Frees of those that wait as many as that, if nobody can be reading them any more: what is housed at once, what is
 * alone by way of dropped. Returns how many. */
#define TC_REAP_SOME 8 /* at the end of a call: more than one call adds as a rule */
size_t tc_stripe_reap(struct tc_stripe *s, size_t most, struct tc_dropped *dropped);
/* At the end of a call: some, or all if nobody else reads, which is what it returns. */
bool tc_stripe_reap_some(struct tc_stripe *s, struct tc_dropped *dropped);
/* The last reference to an entry that is housed went, after it had been reaped. */
void tc_stripe_free_cell(struct tc_stripe *s, struct tc_entry *e);
/* Without the lock, nobody else there: whatever waits, and the pages if nothing in them is in callers' hands. */
void tc_stripe_left_fini(struct tc_stripe *s);

/* Walks everything and compares it with the accounts. False: they disagree. For tests. */
bool tc_stripe_check(struct tc_stripe *s);

#endif
