/* One stripe of L1: a hash table, its eviction orders, its timer wheel, and the generations that tickets refer to, all
 * under one lock. A key belongs to one stripe, chosen by its hash. Hits read table and entries without the lock.
 *
 * Lock: every function except init, fini and those marked is called with s->lock held. What is taken out goes to a list
 * (struct tc_dropped) that the caller gives to tc_l1_give_up() after it let the lock go. */
#ifndef TC_TIER_L1_STRIPE_H
#define TC_TIER_L1_STRIPE_H

#include "tier/l1/entry.h"
#include "tier/l1/index.h"
#include "tier/l1/wheel.h"

/* Why an entry leaves; the counter that says so. */
typedef enum tc_counter tc_reason;

struct tc_dropped {
    struct tc_entry *first; /* linked by next */
    struct tc_table *table; /* of the index, before it grew */
};

/* The entries of a stripe, or those of one type with a quota in it, in the order in which they are to leave. */
struct tc_order {
    struct tc_order *next;
    const struct cache_type *type; /* NULL: all types that have no order of their own */
    size_t count;
    uint64_t bytes; /* of the entries */
    void *state;    /* of the eviction policy */
};

/* Generations: a ticket is the number that its key's slot had. The rest is the L2 gate: see l1.h. */
#define TC_GATES 64 /* keys that share one void each other's tickets: never wrong, only a fill less */
struct tc_gate {
    _Atomic uint64_t generation; /* written under the lock */
    uint64_t given_up; /* the generation after a writer last gave up waiting: older fills may come late */
    uint32_t fills;    /* values on their way to L2 under a valid ticket */
    uint32_t late;     /* those of them that such a writer did not wait for */
    uint32_t barrier;  /* writers that wait for fills to end, or write */
    bool writing;      /* one of them writes */
    bool writer_late;  /* and another gave up waiting for it */
};

struct tc_l1;

/* index.stamp: what a hit marks its entry with; 0 while it need not, then 1 to 255, round and round.
 * index.marks_kept: how many marks a thread keeps to itself, since telling them writes a line that others write. */
struct tc_stripe {
    struct tc_index index;
    _Alignas(TC_CACHELINE) struct tc_lock lock;
    _Atomic uint32_t uses; /* insertions, and first hits of an entry in a tick. Written under the lock */
    uint32_t toward_tick;  /* what has come together since the tick began, in shares: see stripe.c */
    struct tc_l1 *l1;
    _Alignas(TC_CACHELINE) struct tc_cond quiet; /* a gate's fills or writing ended */
    struct tc_order shared; /* the first of the orders */
    struct cache_evict_env env; /* of the orders */
    uint64_t policy_bytes;  /* what the policy allocated; part of bytes */
    _Atomic uint64_t bytes;   /* entries and table, as the heap counts them. Written under the lock */
    _Atomic uint64_t granted; /* its share of the limit; bytes <= granted. Written under the lock */
    struct tc_gate gates[TC_GATES];
    uint32_t hand; /* of the wheel: the bucket where it goes on */
    int64_t round_ms, last_round_ms; /* when its round began, and the one before it */
};

int tc_stripe_init(struct tc_stripe *s, struct tc_l1 *l1); /* CACHE_OK, _E_NOMEM, _E_SYSTEM */
void tc_stripe_fini(struct tc_stripe *s); /* frees every entry that nobody pins */

/* The lock makes the sum right; the atomic is for those who only look. */
static inline uint64_t tc_stripe_bytes(struct tc_stripe *s)
{
    return atomic_load_explicit(&s->bytes, memory_order_relaxed);
}

static inline void tc_stripe_account(struct tc_stripe *s, uint64_t more, uint64_t less)
{
    atomic_store_explicit(&s->bytes, tc_stripe_bytes(s) + more - less, memory_order_relaxed);
}

/* Without the lock: what a reader sees of the key after this call is not older than this. */
static inline uint64_t tc_gate_generation(const struct tc_gate *gate)
{
    return atomic_load_explicit(&gate->generation, memory_order_acquire);
}

static inline void tc_gate_advance(struct tc_gate *gate)
{
    uint64_t now = atomic_load_explicit(&gate->generation, memory_order_relaxed);
    atomic_store_explicit(&gate->generation, now + 1, memory_order_release);
}

static inline struct tc_gate *tc_stripe_gate(struct tc_stripe *s, uint64_t hash)
{
    return &s->gates[(hash >> 32) % TC_GATES];
}

struct tc_entry *tc_stripe_find(struct tc_stripe *s, uint64_t hash, struct cache_slice key);

/* A hit of an entry, for a policy that needs the lock for it. */
void tc_stripe_hit(struct tc_stripe *s, struct tc_entry *e);
/* n entries were hit for the first time in this tick. */
void tc_stripe_marked(struct tc_stripe *s, uint32_t n);

/* Heap bytes of an order; they count in the stripe's. */
size_t tc_stripe_order_bytes(const struct tc_l1 *l1);

/* The order for entries of that type: its own, if it has one here, and always that from then on. With own it gets one
 * if it has none, with the entries that it has in the shared one, by their age (the shared one without memory). */
struct tc_order *tc_stripe_order(struct tc_stripe *s, const struct cache_type *t, bool own);

/* Takes e out; L1's reference goes to the list with it. */
void tc_stripe_remove(struct tc_stripe *s, struct tc_entry *e, tc_reason why, struct tc_dropped *dropped);
/* Puts e in, with a reference of L1's; in place of another entry, which leaves for that reason, or, with instead NULL,
 * where tc_index_make_room made room. */
void tc_stripe_link(struct tc_stripe *s, struct tc_entry *e, struct tc_order *o, int64_t now_ms,
                    struct tc_entry *instead, tc_reason why, struct tc_dropped *dropped);

/* The entry to evict next: of o, or with o NULL the least recently used of all orders' victims; never keep. NULL if
 * there is none. */
struct tc_entry *tc_stripe_victim(struct tc_stripe *s, struct tc_order *o, const struct tc_entry *keep);

/* Reclaims entries whose time is over, a bounded number. */
void tc_stripe_expire(struct tc_stripe *s, int64_t now_ms, struct tc_dropped *dropped);

/* Walks everything and compares it with the accounts. False: they disagree. For tests. */
bool tc_stripe_check(struct tc_stripe *s);

#endif
