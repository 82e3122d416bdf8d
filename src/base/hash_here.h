/* tc_hash_key() in its caller's own code, for short keys and where each instruction counts. XXH3_generateSecret is in
 * xxHash's static-linking part in 0.8.1, and stays so for callers that define the macro in later versions. */
#ifndef TC_BASE_HASH_HERE_H
#define TC_BASE_HASH_HERE_H

#define XXH_INLINE_ALL
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "base/hash.h"
#include "base/words.h"

/* n tells apart keys that are the same up to the whole word: eight at most, so nothing has to be mixed. */
static inline __attribute__((always_inline)) uint64_t tc_hash_inline(const struct tc_hash *h, const void *p, size_t n)
{
    return XXH3_64bits_withSecret(p, tc_words_round(n), h->secret, sizeof h->secret) + n;
}

/* Of 1 to TC_HASH_HERE_MOST bytes: what xxHash does for more is no part of it. */
static inline __attribute__((always_inline)) uint64_t tc_hash_here(const struct tc_hash *h, const void *p, size_t n)
{
    size_t whole = tc_words_round(n);
    if (whole > TC_HASH_HERE_MOST || whole == 0)
        __builtin_unreachable();
    return tc_hash_inline(h, p, n);
}

#endif
