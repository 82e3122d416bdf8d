/* Keyed hashing of keys: XXH3 with a secret of its own for each cache. A mere seed would not do: published pairs of
 * inputs collide for one seed in some 1,400, whatever the other seeds; with a random secret no pair is known that
 * does better than chance. */
#ifndef TC_BASE_HASH_H
#define TC_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define TC_HASH_SECRET_BYTES 192

struct tc_hash {
    unsigned char secret[TC_HASH_SECRET_BYTES];
};

/* Draws the secret. 0 or an errno. */
int tc_hash_init(struct tc_hash *h);
/* Of n bytes with zeros behind them up to the next whole word (of 8), which are hashed too: so keys that were written
 * word by word are read as they were written, and nothing waits for a store to leave the processor's buffer. How many
 * bytes are the key's own is part of the hash: what ends in a zero is another key. */
uint64_t tc_hash_key(const struct tc_hash *h, const void *p, size_t n);

/* The same as a function to be called by who does not know whose hash it is. */
struct tc_hasher {
    uint64_t (*hash)(const void *ctx, const void *p, size_t n);
    const void *ctx;
};
struct tc_hasher tc_hasher_of(const struct tc_hash *h); /* refers to *h */

#endif
