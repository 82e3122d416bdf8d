/* For the peers that bring neither a hash nor a way to keep keys: the bare table's hash, and a key's bytes as they
 * begin a tt_bench_key, its unused end left out. */
#ifndef TT_BENCH_PEER_HASH_H
#define TT_BENCH_PEER_HASH_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "peers/peer.h"

static inline uint64_t tt_peer_hash(const struct tt_bench_key *k)
{
    return XXH3_64bits(k->text, k->len);
}

static inline bool tt_peer_key_equal(const struct tt_bench_key *a, const struct tt_bench_key *b)
{
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

static inline size_t tt_peer_key_bytes(const struct tt_bench_key *k)
{
    return offsetof(struct tt_bench_key, text) + k->len;
}

/* bytes: what memcpy() of tt_peer_key_bytes() from a key left there. */
static inline const struct tt_bench_key *tt_peer_key_at(const unsigned char *bytes)
{
    return (const void *)bytes;
}

#endif
