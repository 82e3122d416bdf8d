/* XXH3 with a generated secret. XXH3_generateSecret is in xxHash's static-linking part in 0.8.1, and stays so for
 * callers that define the macro in later versions. Inlined: a key is hashed at every call, and most are short. */
#define XXH_INLINE_ALL
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "base/hash.h"
#include "platform/platform.h"

int tc_hash_init(struct tc_hash *h)
{
    unsigned char seed[64];
    int rc = tc_random_bytes(seed, sizeof seed);
    if (rc != 0)
        return rc;
    XXH3_generateSecret(h->secret, sizeof h->secret, seed, sizeof seed);
    return 0;
}

uint64_t tc_hash_bytes(const struct tc_hash *h, const void *p, size_t n)
{
    return XXH3_64bits_withSecret(p, n, h->secret, sizeof h->secret);
}
