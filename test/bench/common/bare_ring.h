/* The least that a set which evicts can do: the bare table's look-up, entries of one size in a ring, and who comes takes
 * the place of who came first and was not read since. No lock, no order but the ring's, no expiry, no statistics. Which
 * key leaves is known one call ahead where nothing is read, so that where it is listed is on its way. What such a set
 * costs, and a get in front of it, no cache that does more undercuts. */
#ifndef TT_BENCH_BARE_RING_H
#define TT_BENCH_BARE_RING_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "peers/peer.h"
#include "workload.h"

struct tt_ring_entry {
    uint32_t hash; /* low half */
    uint16_t version; /* odd while it is written, where others read meanwhile */
    uint8_t key_len, seen; /* seen: it was read, since it came or since its turn was put off */
    unsigned char bytes[24 + TT_BENCH_VALUE_BYTES]; /* key, value: the longest */
};

struct tt_ring_slot {
    _Alignas(8) uint32_t hash;   /* low half: says the home, and nearly always the key */
    uint32_t number; /* of the entry, from 1 on; 0: free */
};

struct tt_ring {
    struct tt_ring_slot *slots;
    uint32_t mask; /* slots - 1; at most half of them are used */
    struct tt_ring_entry *entries;
    uint32_t n, next;
};

static inline bool tt_ring_open(struct tt_ring *r, uint32_t n)
{
    uint32_t slots = 8;
    while (slots < 2 * n)
        slots *= 2;
    *r = (struct tt_ring){.mask = slots - 1, .n = n};
    r->slots = calloc(slots, sizeof *r->slots);
    r->entries = calloc(n, sizeof *r->entries);
    return r->slots != NULL && r->entries != NULL;
}

static inline void tt_ring_close(struct tt_ring *r)
{
    free(r->slots);
    free(r->entries);
}

/* Who follows without a gap moves up, if that is no farther from where it belongs. */
static inline void tt_ring_unlist(struct tt_ring *r, uint32_t number)
{
    uint32_t at = r->entries[number - 1].hash & r->mask;
    while (r->slots[at].number != number)
        at = (at + 1) & r->mask;
    for (uint32_t i = (at + 1) & r->mask; r->slots[i].number != 0; i = (i + 1) & r->mask) {
        if (((i - r->slots[i].hash) & r->mask) < ((i - at) & r->mask))
            continue;
        r->slots[at] = r->slots[i];
        at = i;
    }
    r->slots[at].number = 0;
}

/* The key's entry, which is another's or nobody's until now if the key was not there: tt_ring_write() makes it its. */
static inline struct tt_ring_entry *tt_ring_find_or_evict(struct tt_ring *r, const struct tt_bench_key *k,
                                                          uint32_t hash)
{
    uint32_t at = hash & r->mask;
    for (; r->slots[at].number != 0; at = (at + 1) & r->mask) {
        struct tt_ring_entry *e = &r->entries[r->slots[at].number - 1];
        if (r->slots[at].hash == hash && e->key_len == k->len && memcmp(e->bytes, k->text, k->len) == 0)
            return e;
    }
    for (; r->entries[r->next].seen; r->next = r->next + 1 < r->n ? r->next + 1 : 0)
        r->entries[r->next].seen = 0;
    struct tt_ring_entry *e = &r->entries[r->next];
    uint32_t number = r->next + 1;
    if (e->key_len > 0)
        tt_ring_unlist(r, number);
    for (at = hash & r->mask; r->slots[at].number != 0; at = (at + 1) & r->mask)
        ;
    r->slots[at] = (struct tt_ring_slot){hash, number};
    r->next = number < r->n ? number : 0;
    __builtin_prefetch(&r->slots[r->entries[r->next].hash & r->mask], 1);
    return e;
}

static inline void tt_ring_write(struct tt_ring_entry *e, const struct tt_bench_key *k, uint32_t hash,
                                 const unsigned char *value)
{
    e->hash = hash;
    e->key_len = k->len;
    memcpy(e->bytes, k->text, k->len);
    memcpy(e->bytes + k->len, value, TT_BENCH_VALUE_BYTES);
}

/* Without a lock: what is written, or moves up, meanwhile is not found. */
static inline bool tt_ring_get(const struct tt_ring *r, const struct tt_bench_key *k, uint32_t hash,
                               unsigned char *value)
{
    for (uint32_t at = hash & r->mask;; at = (at + 1) & r->mask) {
        struct tt_ring_slot slot;
        __atomic_load(&r->slots[at], &slot, __ATOMIC_ACQUIRE);
        if (slot.number == 0)
            return false;
        if (slot.hash != hash)
            continue;
        struct tt_ring_entry *e = &r->entries[slot.number - 1];
        uint16_t version = __atomic_load_n(&e->version, __ATOMIC_ACQUIRE);
        if (version % 2 != 0 || e->key_len != k->len || memcmp(e->bytes, k->text, k->len) != 0)
            continue;
        memcpy(value, e->bytes + k->len, TT_BENCH_VALUE_BYTES);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&e->version, __ATOMIC_RELAXED) != version)
            return false;
        if (!e->seen)
            e->seen = 1;
        return true;
    }
}

#endif
