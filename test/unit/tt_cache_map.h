/* A cache under test, L1 only, beside a naive map that says what may be found in it: tt_l1_map.h for the public
 * functions. A step calls one of them, chosen at random, or lets time pass. What was found is checked at each step. */
#ifndef TT_CACHE_MAP_H
#define TT_CACHE_MAP_H

#include "fake/tt_cache.h"

enum {
    TT_CACHE_MAP_KEYS = 3000,
    TT_CACHE_MAP_TYPES = 3,
    TT_CACHE_MAP_LEN_MOST = 5000,
    TT_CACHE_MAP_PINS = 32,
    TT_CACHE_MAP_TICKETS = 32
};

struct tt_cache_kind {
    const char *policy;
    uint64_t l1_bytes;
    uint32_t stripes;
    bool system_clock; /* then nothing expires: lives are long, and exact times are not looked at */
};

/* A key's latest value, which the cache may have dropped. until_ms: when it expires at the latest. */
struct tt_cache_map_value {
    bool there, absent;
    uint64_t version;
    size_t len;
    int64_t made_ms, until_ms, stale_ms;
    uint64_t changes; /* how often the key was written or invalidated for certain */
    bool missed;      /* this thread may have an implicit ticket for it */
};

struct tt_cache_map_pin {
    struct cache_value v;
    uint64_t number;
    struct tt_cache_map_value is;
};

struct tt_cache_map_ticket {
    uint64_t number, changes;
    struct cache_ticket t;
};

struct tt_cache_map {
    struct tt_cache b;
    const struct tt_cache_kind *kind;
    struct cache_type *types[TT_CACHE_MAP_TYPES];
    struct cache_type_opts opts[TT_CACHE_MAP_TYPES];
    uint64_t seed, version;
    int failures;
    uint64_t found, stale, loads, refused;
    struct tt_cache_map_value values[TT_CACHE_MAP_KEYS];
    struct tt_cache_map_pin pins[TT_CACHE_MAP_PINS];
    struct tt_cache_map_ticket tickets[TT_CACHE_MAP_TICKETS];
    _Atomic uint64_t oldest[TT_CACHE_MAP_KEYS]; /* who looks from now on finds no older version */
};

struct tt_cache_map *tt_cache_map_new(const struct tt_cache_kind *kind);
void tt_cache_map_step(struct tt_cache_map *m, int n); /* until a check failed */
/* Fails the test if a check did, or if something is pinned or leaked. */
void tt_cache_map_free(struct tt_cache_map *m);
struct cache_key *tt_cache_map_key(struct tt_cache_map *m, struct cache_key *k, uint64_t number);

#endif
