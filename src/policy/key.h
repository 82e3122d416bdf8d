/* What is inside a struct cache_key, and how parts become bytes. */
#ifndef TC_POLICY_KEY_H
#define TC_POLICY_KEY_H

#include "base/hash.h"
#include "policy/type.h"

struct tc_key {
    uint64_t magic;
    const struct cache_type *type;
    unsigned char *heap; /* NULL: the bytes are inline */
    uint32_t len, cap;   /* cap of heap; 0 while inline */
    int32_t status;      /* sticky */
    uint32_t parts;
    union {
        unsigned char inline_bytes[216];
        struct tc_alloc alloc; /* of heap: a copy, since a key may be let go of when its cache is closed */
    };
};

/* Behind the bytes there are as many of zero, so that they can be compared in whole words. */
#define TC_KEY_ZEROS 8

extern const struct cache_key_encoder_ops tc_key_encoder_default;

void tc_key_init(struct tc_key *k, const struct cache_type *t);
void tc_key_part(struct tc_key *k, const void *p, size_t n); /* does nothing once status is set */
/* The same of one to eight digits, as a word has them in memory, with zeros behind. */
void tc_key_digits_part(struct tc_key *k, uint64_t digits, size_t n);
int tc_key_append(struct tc_key *k, const void *p, size_t n);
void tc_key_fini(struct tc_key *k);

#define TC_KEY_MAGIC UINT64_C(0x74636b6579303031)

static inline bool tc_key_is_valid(const struct tc_key *k)
{
    return k != NULL && k->magic == TC_KEY_MAGIC;
}

/* Where the bytes of a short key are (TC_HASH_HERE_MOST). */
_Static_assert(sizeof ((struct tc_key *)0)->inline_bytes >= TC_HASH_HERE_MOST + TC_KEY_ZEROS, "they are inline");

static inline const unsigned char *tc_key_data(const struct tc_key *k)
{
    return k->heap != NULL ? k->heap : k->inline_bytes;
}

#endif
