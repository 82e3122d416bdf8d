/* XXH3 with a generated secret. XXH3_generateSecret is in xxHash's static-linking part in 0.8.1, and stays so for
 * callers that define the macro in later versions. */
#include "base/hash.h"

#define XXH_INLINE_ALL
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "base/words.h"
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

/* n tells apart keys that are the same up to the whole word: eight at most, so nothing has to be mixed. */
static inline __attribute__((always_inline)) uint64_t hash(const struct tc_hash *h, const void *p, size_t n)
{
    return XXH3_64bits_withSecret(p, tc_words_round(n), h->secret, sizeof h->secret) + n;
}

/* What xxHash does for long keys wants more registers than what it does for short ones, which would save them too: each
 * length that it tells apart has a function of its own. */
#define FEW_WORDS (4 * TC_WORD_BYTES)
#define SOME_WORDS (16 * TC_WORD_BYTES)

static TC_APART uint64_t hash_many_words(const struct tc_hash *h, const void *p, size_t n)
{
    return hash(h, p, n);
}

static TC_APART uint64_t hash_some_words(const struct tc_hash *h, const void *p, size_t n)
{
    size_t whole = tc_words_round(n);
    if (whole <= FEW_WORDS || whole > SOME_WORDS)
        __builtin_unreachable();
    return hash(h, p, n);
}

uint64_t tc_hash_key(const struct tc_hash *h, const void *p, size_t n)
{
    if (n > FEW_WORDS)
        return n > SOME_WORDS ? hash_many_words(h, p, n) : hash_some_words(h, p, n);
    if (tc_words_round(n) > FEW_WORDS)
        __builtin_unreachable();
    return hash(h, p, n);
}

static uint64_t hash_with(const void *ctx, const void *p, size_t n)
{
    return tc_hash_key(ctx, p, n);
}

struct tc_hasher tc_hasher_of(const struct tc_hash *h)
{
    return (struct tc_hasher){ hash_with, h };
}
