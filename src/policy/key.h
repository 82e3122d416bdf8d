/* What is inside a struct cache_key, and how parts become bytes. */
#ifndef TC_POLICY_KEY_H
#define TC_POLICY_KEY_H

#include "base/hash.h"
#include "policy/type.h"

/* One cache line has all that a look-up needs of a key of up to 24 bytes. */
struct tc_key {
    uint64_t magic;
    const struct cache_type *type;
    unsigned char *heap; /* NULL: the bytes are inline */
    uint32_t len;
    int32_t status; /* sticky */
    /* Of the bytes, for the type's cache; 0: not known. Whoever looks the key up first keeps it here, in a key that is
     * const to him and may be other threads' too, who could find nothing else. What changes the bytes forgets it. */
    _Atomic uint64_t hash;
    union {
        unsigned char inline_bytes[208];
        struct tc_alloc alloc; /* of heap: a copy, since a key may be let go of when its cache is closed */
    };
    uint32_t parts; /* that the type's encoder got: those that the short way wrote are not counted */
    uint16_t heap_units; /* its size, see tc_key_cap() */
    uint8_t easy_most; /* up to so many bytes are written by the short way for the default encoding; 0: none any more */
};

#define TC_KEY_HEAP_UNIT (2 * sizeof ((struct tc_key *)0)->inline_bytes)

/* How many bytes there is room for, with the zeros behind them. */
static inline size_t tc_key_cap(const struct tc_key *k)
{
    return k->heap != NULL ? k->heap_units * TC_KEY_HEAP_UNIT : sizeof k->inline_bytes;
}

/* Behind the bytes there are as many of zero, so that they can be compared in whole words. */
#define TC_KEY_ZEROS 8

extern const struct cache_key_encoder_ops tc_key_encoder_default; /* without functions: it is known by that */

/* All return k. A part is left out once the key has failed. */
struct tc_key *tc_key_init(struct tc_key *k, const struct cache_type *t);
struct tc_key *tc_key_part(struct tc_key *k, const void *p, size_t n);
void tc_key_fail(struct tc_key *k, int status); /* unless it has failed before */
/* The part that a number of up to eight digits is. */
#define TC_KEY_NUMBER_MOST 99999999
struct tc_key *tc_key_number(struct tc_key *k, uint32_t v);
int tc_key_append(struct tc_key *k, const void *p, size_t n);
void tc_key_fini(struct tc_key *k);

#define TC_KEY_MAGIC UINT64_C(0x74636b6579303031)

static inline bool tc_key_is_valid(const struct tc_key *k)
{
    return k != NULL && k->magic == TC_KEY_MAGIC;
}

#define TC_KEY_SHORT_MOST 128 /* bytes, of a key that short ways serve (tier/hit.h) */
_Static_assert(sizeof ((struct tc_key *)0)->inline_bytes >= TC_KEY_SHORT_MOST + TC_KEY_ZEROS, "they are inline");

static inline uint64_t tc_key_known_hash(const struct tc_key *k)
{
    return atomic_load_explicit(&k->hash, memory_order_relaxed);
}

static inline void tc_key_keep_hash(const struct tc_key *k, uint64_t hash)
{
    atomic_store_explicit(&((struct tc_key *)k)->hash, hash, memory_order_relaxed);
}

static inline const unsigned char *tc_key_data(const struct tc_key *k)
{
    return k->heap != NULL ? k->heap : k->inline_bytes;
}

/* Its hash; h is that of the type's cache. */
uint64_t tc_key_hash_anew(const struct tc_key *k, const struct tc_hash *h);
static inline uint64_t tc_key_hash(const struct tc_key *k, const struct tc_hash *h)
{
    uint64_t known = tc_key_known_hash(k);
    tc_assert(known == 0 || known == tc_hash_key(h, tc_key_data(k), k->len));
    return known != 0 ? known : tc_key_hash_anew(k, h);
}

#endif
