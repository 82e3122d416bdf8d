/* Hashes that a test chooses, where the library computes them: it asks for that of a key, and is told what the test
 * said of it before; the others have one by their bytes, as tt_l1_key() gives it to numbers. */
#ifndef TT_HASHER_H
#define TT_HASHER_H

#include <stdint.h>

#include "tier/l1/entry.h"

/* The hash of that key from now on, in this program. From any thread; the same again costs little. */
void tt_hasher_say(struct cache_slice key, uint64_t hash);
uint64_t tt_hasher_hash(struct cache_slice key);
struct tc_hasher tt_hasher(void);

static inline uint64_t tt_hash_of(const struct tc_entry *e)
{
    struct tc_hasher h = tt_hasher();
    return tc_entry_hash(e, &h);
}

#endif
