/* An L1 under test beside a naive map that says what may be found in it. A step does one thing to both, chosen at
 * random: stores of every kind, with tickets and without, look-ups, copies, pins that are held on, invalidations,
 * quotas that come and go, another limit, time that passes. What was found is checked at each step.
 *
 *     struct tt_l1_map *m = tt_l1_map_new("sieve", true, false);
 *     tt_l1_map_step(m, 10000);
 *     tt_l1_map_free(m);
 */
#ifndef TT_L1_MAP_H
#define TT_L1_MAP_H

#include "unit/tt_l1.h"

enum {
    TT_L1_MAP_KEYS = 8000,
    TT_L1_MAP_FITTING = 300, /* so many keys' values have room together, if fits */
    TT_L1_MAP_KEY_MOST = 48,
    TT_L1_MAP_LEN_MOST = 6000,
    TT_L1_MAP_PINS = 48,
    TT_L1_MAP_TICKETS = 32,
    TT_L1_MAP_STRIPES = 4 /* at most */
};

/* A key's latest value, which L1 may have dropped. */
struct tt_l1_map_value {
    bool there, absent;
    uint64_t version;
    size_t len;
    int64_t taken_ms, fresh_until_ms, keep_until_ms;
};

struct tt_l1_map_pin {
    struct tc_entry *e;
    uint64_t number;
    struct tt_l1_map_value is;
};

struct tt_l1_map {
    struct tt_l1 *r;
    uint64_t seed, version;
    uint64_t keys;   /* that are used */
    bool fits;       /* nothing need ever be evicted: what should be there is found. Neither quotas nor other limits */
    bool fails;      /* the allocator may refuse */
    bool company;    /* somebody else reads, whom a store may give up waiting for */
    bool owes;       /* a lower limit does not hold yet */
    int failures;    /* checks that failed, each was printed */
    uint64_t found, stale, refused, too_large, tickets_void, kept;
    struct tt_l1_map_value values[TT_L1_MAP_KEYS];
    struct tt_l1_map_pin pins[TT_L1_MAP_PINS];
    struct {
        uint64_t number, generation;
    } tickets[TT_L1_MAP_TICKETS];
    uint64_t generations[TT_L1_MAP_STRIPES * TC_GATES];
    _Atomic uint64_t oldest[TT_L1_MAP_KEYS]; /* who looks from now on finds no older version */
};

/* policy by its name. mixed: all types but one bring others of their own. */
struct tt_l1_map *tt_l1_map_new(const char *policy, bool paged, bool mixed);
/* Until a check failed. */
void tt_l1_map_step(struct tt_l1_map *m, int n);
/* Fails the test if a check did, or if something is pinned, detached or leaked. */
void tt_l1_map_free(struct tt_l1_map *m);

/* Keys are of many lengths; the first ones share one whole hash. */
struct tt_l1_map_key {
    uint64_t hash, number;
    size_t len;
    unsigned char bytes[TT_L1_MAP_KEY_MOST];
};
struct tt_l1_map_key tt_l1_map_key(const struct tt_l1 *r, uint64_t number);
struct tc_l1_ref tt_l1_map_ref(const struct tt_l1_map_key *k); /* points into *k */

#endif
