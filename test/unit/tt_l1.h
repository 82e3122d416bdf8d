/* An L1 under test: counting allocator, clock that the test moves, a few types, keys whose hash the test chooses, and
 * values that say of themselves whose they are. Uses tier/l1/l1.h through its functions only.
 *
 *     struct tt_l1 *r = tt_l1_new(1 << 20, 4, NULL);
 *     tt_l1_put(r, tt_l1_key(r, 7), 100);
 *     ...
 *     assert_true(tt_l1_free(r));
 */
#ifndef TT_L1_H
#define TT_L1_H

#include "tier/l1/l1.h"
#include "tt_alloc.h"
#include "tt_clock.h"

#define TT_L1_TYPES 4

struct tt_l1 {
    struct tt_alloc counting;
    struct tc_alloc alloc;
    struct tt_clock time;
    struct tc_clock clock;
    struct tc_l1 l1;
    struct cache_type *types[TT_L1_TYPES];
    struct tc_policy policies[TT_L1_TYPES]; /* what tt_l1_put gives; no quota, no bound on a value's size */
    uint64_t secret;                        /* of the keys' hashes */
};

/* NULL if tc_l1_init refused; every other failure ends the program. */
struct tt_l1 *tt_l1_new(uint64_t limit, size_t stripes, const struct cache_evict_ops *evict);
/* The same with room for nodes of so many bytes, of the policies that types bring. */
struct tt_l1 *tt_l1_new_with_room(uint64_t limit, size_t stripes, const struct cache_evict_ops *evict,
                                  size_t node_bytes);
/* Gives a type that has no entries yet a policy of its own, for which there must be room. */
void tt_l1_bring(struct tt_l1 *r, size_t type, const struct cache_evict_ops *evict);
/* Checks first: accounts right, nothing pinned, nothing detached, and after tc_l1_fini no memory left. Says what is
 * wrong. */
bool tt_l1_free(struct tt_l1 *r);

/* Another thread has read once: what leaves has to wait for epochs from now on. */
void tt_l1_have_company(struct tt_l1 *r);

/* ---- keys ---- */

/* Plain data. Two keys with different numbers are different; their hashes are different unless the test says so. */
struct tt_l1_key {
    uint64_t hash;
    uint64_t number;
};
struct tt_l1_key tt_l1_key(const struct tt_l1 *r, uint64_t number);
/* A key whose hash lies in that stripe. */
struct tt_l1_key tt_l1_key_in(const struct tt_l1 *r, uint64_t number, size_t stripe);
struct tc_l1_ref tt_l1_ref(const struct tt_l1_key *k); /* points into *k */
size_t tt_l1_stripe_of(const struct tt_l1 *r, uint64_t hash);

/* ---- values ---- */

void tt_l1_fill(unsigned char *to, size_t len, uint64_t number, uint64_t version);
/* True if data is what tt_l1_fill made for that key, of any version; *version (may be NULL) tells which. Values below
 * 8 bytes only tell their length. */
bool tt_l1_is_value(const void *data, size_t len, uint64_t number, uint64_t *version);

/* The same, and that the version, which a shorter one does not tell, is not below oldest. */
bool tt_l1_is_late_enough(const void *data, size_t len, uint64_t number, uint64_t oldest);

/* ---- calls ---- */

struct tt_l1_put {
    size_t type; /* index in r->types */
    size_t len;
    uint64_t version;
    int64_t ttl_ms;   /* 0 = for ever */
    int64_t stale_ms; /* after that */
    const uint64_t *expected;
    bool advance;
};
/* Makes an entry and gives it to tc_l1_put. CACHE_E_NOMEM also where there is no memory for the entry itself. */
int tt_l1_put_with(struct tt_l1 *r, struct tt_l1_key k, const struct tt_l1_put *p);
int tt_l1_put(struct tt_l1 *r, struct tt_l1_key k, size_t len); /* type 0, for ever, as a write */
struct tc_entry *tt_l1_entry(struct tt_l1 *r, struct tt_l1_key k, const struct tt_l1_put *p); /* made, not put */

int64_t tt_l1_now(struct tt_l1 *r);
struct tc_l1_found tt_l1_get(struct tt_l1 *r, struct tt_l1_key k); /* pins what it finds */
/* Looks up and releases. True if a fresh value was there; one of another key ends the program. */
bool tt_l1_has(struct tt_l1 *r, struct tt_l1_key k);
void tt_l1_invalidate(struct tt_l1 *r, struct tt_l1_key k);
/* What the cache's function tries first: over the value before, without the lock. False: nothing was done. */
bool tt_l1_set_over(struct tt_l1 *r, const struct tc_entry_parts *p);
/* tc_entry_take() of what was seen with those refs. */
bool tt_l1_take(struct tc_entry *e, uint32_t refs, void *buf, size_t cap, int64_t now_ms, struct tc_entry_taken *t);

/* ---- accounts ---- */

uint64_t tt_l1_count_of(struct tt_l1 *r, size_t type, enum tc_counter which);
uint64_t tt_l1_count(struct tt_l1 *r, enum tc_counter which); /* of all types */
uint64_t tt_l1_detached_bytes(struct tt_l1 *r);
uint64_t tt_l1_type_entries(struct tt_l1 *r, size_t type);
uint64_t tt_l1_type_bytes(struct tt_l1 *r, size_t type);

#endif
