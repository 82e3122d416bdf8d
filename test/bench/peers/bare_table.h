/* The bare table: what a look-up costs when there is nothing but a look-up. No lock, no eviction, no expiry, no
 * statistics; keys and values lie one behind the other in an arena. All ratios of the L1 benchmarks are to its get,
 * which is inlined into the timed loop. */
#ifndef TT_BENCH_BARE_TABLE_H
#define TT_BENCH_BARE_TABLE_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "peers/peer.h"

struct tt_bare_slot {
    uint32_t tag;    /* high half of the hash */
    uint32_t offset; /* in the arena, in units of 8 bytes; 0 = free */
};

struct tt_bare_entry {
    uint32_t key_len, value_len;
    unsigned char bytes[]; /* key, value */
};

struct tt_bare {
    struct tt_bare_slot *slots;
    uint64_t mask; /* slots - 1; at most half of them are used */
    unsigned char *arena;
    size_t used, arena_bytes;
    size_t n, max_entries;
};

/* The key's slot, or the free one where it belongs. */
static inline struct tt_bare_slot *tt_bare_find(const struct tt_bare *b, const struct tt_bench_key *k, uint64_t hash)
{
    uint32_t tag = (uint32_t)(hash >> 32);
    for (uint64_t i = hash & b->mask;; i = (i + 1) & b->mask) {
        struct tt_bare_slot *s = &b->slots[i];
        if (s->offset == 0)
            return s;
        if (s->tag != tag)
            continue;
        const struct tt_bare_entry *e = (const void *)(b->arena + (size_t)s->offset * 8);
        if (e->key_len == k->len && memcmp(e->bytes, k->text, k->len) == 0)
            return s;
    }
}

static inline enum tt_answer tt_bare_get(const struct tt_bare *b, const struct tt_bench_key *k, void *buf)
{
    const struct tt_bare_slot *s = tt_bare_find(b, k, XXH3_64bits(k->text, k->len));
    if (s->offset == 0)
        return TT_WRONG;
    const struct tt_bare_entry *e = (const void *)(b->arena + (size_t)s->offset * 8);
    memcpy(buf, e->bytes + e->key_len, e->value_len);
    return TT_HIT;
}

#endif
