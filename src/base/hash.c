/* XXH3 with a generated secret. */
#include "base/hash_here.h"
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

uint64_t tc_hash_key(const struct tc_hash *h, const void *p, size_t n)
{
    return tc_hash_inline(h, p, n);
}

static uint64_t hash_with(const void *ctx, const void *p, size_t n)
{
    return tc_hash_key(ctx, p, n);
}

struct tc_hasher tc_hasher_of(const struct tc_hash *h)
{
    return (struct tc_hasher){ hash_with, h };
}
