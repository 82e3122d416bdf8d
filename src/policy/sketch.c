/* A key's four counters lie in one block of 64 bytes, one in each of its four rows of 32, so that a key costs one cache
 * line. A block is chosen by lower bits of a hash and their number is a power of two: a table that doubles begins as
 * two copies of the old one and forgets nothing. Halving takes no walk: each block has an age and is halved when it is
 * used.
 *
 * All four counters are raised, not only the lowest. That keeps differences between keys that are used equally often,
 * by what else falls on their counters, and always the same ones: so in a loop over more keys than the cache holds some
 * keys win against the others each time round, and stay. */
#include "policy/sketch.h"

#include <stdbool.h>
#include <string.h>

#define ROWS 4
#define WORDS 8 /* of a block: two a row, 16 counters a word */
#define ENTRIES_A_BLOCK 8
#define LEAST_BLOCKS 8
#define MOST_BLOCKS (UINT32_C(1) << 25)
/* Uses counted before everything is halved: so many an entry, and so many more, which matter in small orders only:
 * those would forget the keys of a loop before they come round. */
#define USES_AN_ENTRY 10
#define USES_LEAST 512

static size_t bytes_of(uint32_t n_blocks)
{
    return (size_t)n_blocks * (WORDS * sizeof(uint64_t) + 1);
}

static uint8_t *ages_of(uint64_t *blocks, uint32_t n_blocks)
{
    return (uint8_t *)(blocks + (size_t)n_blocks * WORDS);
}

static bool grow(struct tc_sketch *k, const struct cache_evict_env *env, uint32_t n_blocks)
{
    uint64_t *blocks = env->alloc(env->ctx, bytes_of(n_blocks));
    if (blocks == NULL)
        return false;
    if (k->blocks == NULL) {
        memset(blocks, 0, bytes_of(n_blocks));
    } else {
        for (uint32_t at = 0; at < n_blocks; at += k->n_blocks) {
            memcpy(blocks + (size_t)at * WORDS, k->blocks, (size_t)k->n_blocks * WORDS * sizeof *blocks);
            memcpy(ages_of(blocks, n_blocks) + at, ages_of(k->blocks, k->n_blocks), k->n_blocks);
        }
        env->free(env->ctx, k->blocks, bytes_of(k->n_blocks));
    }
    k->blocks = blocks;
    k->n_blocks = n_blocks;
    return true;
}

void tc_sketch_reserve(struct tc_sketch *k, const struct cache_evict_env *env, size_t entries)
{
    k->entries = entries;
    if (entries <= (size_t)k->n_blocks * ENTRIES_A_BLOCK || k->n_blocks == MOST_BLOCKS)
        return;
    if (k->patience > 0)
        k->patience--;
    else if (!grow(k, env, k->blocks == NULL ? LEAST_BLOCKS : 2 * k->n_blocks))
        k->patience = (uint32_t)(entries < UINT32_MAX ? entries / 4 : UINT32_MAX / 4);
}

void tc_sketch_fini(struct tc_sketch *k, const struct cache_evict_env *env)
{
    if (k->blocks != NULL)
        env->free(env->ctx, k->blocks, bytes_of(k->n_blocks));
    memset(k, 0, sizeof *k);
}

/* A key's block, brought up to date, and where in its rows the counters are: five bits each. */
struct place {
    uint64_t *block;
    uint32_t in_rows;
};

static void halve(uint64_t *block, unsigned times)
{
    for (int i = 0; i < WORDS; i++)
        for (unsigned t = 0; t < times; t++)
            block[i] = block[i] >> 1 & UINT64_C(0x7777777777777777);
}

static struct place find(const struct tc_sketch *k, uint32_t tag)
{
    uint64_t hash = ((uint64_t)tag + 1) * UINT64_C(0xD6E8FEB86659FD93);
    hash = (hash ^ hash >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    uint32_t at = (uint32_t)(hash >> 32) & (k->n_blocks - 1);
    uint64_t *block = k->blocks + (size_t)at * WORDS;
    uint8_t *age = ages_of(k->blocks, k->n_blocks) + at, behind = (uint8_t)(k->age - *age);
    if (behind > 0)
        halve(block, behind < 4 ? behind : 4); /* four times leave nothing */
    *age = k->age;
    return (struct place){ block, (uint32_t)hash >> 8 };
}

/* The word of a counter, and the counter's shift in it. */
static uint64_t *counter(struct place p, int row, unsigned *shift)
{
    unsigned at = p.in_rows >> 5 * row & 31;
    *shift = at % 16 * 4;
    return p.block + row * 2 + at / 16;
}

static unsigned least(struct place p)
{
    unsigned n = TC_SKETCH_MOST, shift;
    for (int row = 0; row < ROWS; row++) {
        const uint64_t *word = counter(p, row, &shift);
        unsigned there = *word >> shift & 15;
        n = there < n ? there : n;
    }
    return n;
}

static unsigned sum(unsigned a, unsigned b)
{
    return a + b < TC_SKETCH_MOST ? a + b : TC_SKETCH_MOST;
}

void tc_sketch_add(struct tc_sketch *k, uint32_t tag, unsigned uses)
{
    if (k->blocks == NULL)
        return;
    struct place p = find(k, tag);
    unsigned before = least(p), shift;
    for (int row = 0; row < ROWS; row++) {
        uint64_t *word = counter(p, row, &shift);
        uint64_t now = sum(*word >> shift & 15, uses);
        *word = (*word & ~(UINT64_C(15) << shift)) | now << shift;
    }
    k->counted += sum(before, uses) - before;
    if (k->counted >= USES_AN_ENTRY * k->entries + USES_LEAST) {
        k->counted /= 2;
        k->age++;
    }
}

unsigned tc_sketch_count(const struct tc_sketch *k, uint32_t tag)
{
    return k->blocks != NULL ? least(find(k, tag)) : 0;
}
