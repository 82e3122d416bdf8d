/* A bucket of the hash table: a cache line with ten lanes, of each a tag, eight bits of the key's hash, and the number
 * of a cell; and what its lanes and those whose home it is need besides. Written under the stripe's lock; tags and
 * lanes are read without it. */
#ifndef TC_TIER_L1_BUCKET_H
#define TC_TIER_L1_BUCKET_H

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <stdatomic.h>

#include "base/words.h"
#include "platform/platform.h"

#define TC_INDEX_LANES 10
#define TC_INDEX_REACH 15 /* how far from its home an entry may lie: the number of buckets that are looked at before */
/* The most lanes that any look-up examines. */
#define TC_INDEX_PROBES (TC_INDEX_LANES * (TC_INDEX_REACH + 1))

/* Lanes of the first and of the second word of tags. A tag of 0 is an empty lane. */
#define TC_INDEX_LOW_LANES 8
#define TC_INDEX_HIGH_LANES 2

struct tc_bucket {
    _Alignas(TC_CACHELINE) _Atomic uint64_t tags; /* a byte for each of the lanes 0 to 7, lowest first */
    /* Lowest bytes: the tags of lanes 8 and 9. Byte 2: the reach of those whose home it is, and in its upper half how
     * many lie that far; byte 3: how many of them lie elsewhere at all. Bytes 4 and 5: wheel codes of lanes 8 and 9.
     * Upper 16 bits: one for each lane whose entry has its home elsewhere. */
    _Atomic uint64_t more;
    _Atomic uint64_t codes; /* the wheel's, of lanes 0 to 7. Nobody reads them without the lock */
    _Atomic uint32_t lanes[TC_INDEX_LANES]; /* cells; 0 is empty */
};
_Static_assert(sizeof(struct tc_bucket) == TC_CACHELINE, "one line");

#define TC_INDEX_REACH_SHIFT 16
#define TC_INDEX_AT_REACH_SHIFT 20
#define TC_INDEX_AWAY_SHIFT 24
#define TC_INDEX_CODES_SHIFT 32
#define TC_INDEX_STRANGERS_SHIFT 48

#define TC_INDEX_BYTES UINT64_C(0x0101010101010101) /* one in the byte of each lane */
#define TC_INDEX_HIGH_BYTES UINT64_C(0x0101)

/* Lanes of a bucket whose tag it is, and perhaps a few others, but never before the first that is: a bit for each, see
 * tc_bucket_lane_of(). What is read of a lane that it names is not older than its tag. */
#ifdef __SSE2__
typedef uint32_t tc_lanes;
/* On x86 neither half of such a load is torn, and later loads are not reordered with it; those of a lane need what it
 * says. Sanitizers have to see one. */
static inline __m128i tc_bucket_load_tags(struct tc_bucket *b)
{
#ifdef TC_WORDS_ARE_WATCHED
    uint64_t tags = atomic_load_explicit(&b->tags, memory_order_acquire);
    return _mm_set_epi64x((int64_t)atomic_load_explicit(&b->more, memory_order_acquire), (int64_t)tags);
#else
    __m128i tags;
    __asm__ volatile("movdqa %1, %0" : "=x"(tags) : "m"(*b));
    return tags;
#endif
}

static inline tc_lanes tc_bucket_lanes_with(struct tc_bucket *b, uint64_t tag)
{
    __m128i equal = _mm_cmpeq_epi8(tc_bucket_load_tags(b), _mm_set1_epi8((char)tag));
    return (uint32_t)_mm_movemask_epi8(equal) & ((1u << TC_INDEX_LANES) - 1);
}

static inline unsigned tc_bucket_lane_of(tc_lanes lanes)
{
    return (unsigned)__builtin_ctz(lanes);
}
#else
typedef uint64_t tc_lanes;
static inline tc_lanes tc_bucket_lanes_with(struct tc_bucket *b, uint64_t tag)
{
    uint64_t low = atomic_load_explicit(&b->tags, memory_order_acquire) ^ tag * TC_INDEX_BYTES;
    uint64_t high = atomic_load_explicit(&b->more, memory_order_acquire) ^ tag * TC_INDEX_HIGH_BYTES;
    low = (low - TC_INDEX_BYTES) & ~low & TC_INDEX_BYTES << 7;
    high = (high - TC_INDEX_HIGH_BYTES) & ~high & TC_INDEX_HIGH_BYTES << 7;
    return low | high >> 1;
}

static inline unsigned tc_bucket_lane_of(tc_lanes lanes)
{
    unsigned bit = (unsigned)__builtin_ctzll(lanes);
    return bit / 8 + (~bit & 1) * TC_INDEX_LOW_LANES;
}
#endif

/* ---- what its words say ---- */

static inline uint64_t tc_bucket_word(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

/* Writes some bits of a word, of which only whoever has the lock writes any. */
static inline __attribute__((always_inline)) void tc_bucket_set_bits(_Atomic uint64_t *word, uint64_t mask,
                                                                     unsigned shift, uint64_t bits)
{
    atomic_store_explicit(word, (tc_bucket_word(word) & ~(mask << shift)) | bits << shift, memory_order_release);
}

/* A byte of a lane's. Which word has it is not left to a branch: lanes come in no order that could be guessed. */
struct tc_field {
    _Atomic uint64_t *word;
    unsigned shift;
};

static inline struct tc_field tc_bucket_tag(struct tc_bucket *b, unsigned lane)
{
    return (struct tc_field){ lane < TC_INDEX_LOW_LANES ? &b->tags : &b->more, lane % TC_INDEX_LOW_LANES * 8 };
}

static inline struct tc_field tc_bucket_code(struct tc_bucket *b, unsigned lane)
{
    unsigned behind = lane < TC_INDEX_LOW_LANES ? 0 : TC_INDEX_CODES_SHIFT;
    return (struct tc_field){ behind == 0 ? &b->codes : &b->more, behind + lane % TC_INDEX_LOW_LANES * 8 };
}

static inline uint8_t tc_field_get(struct tc_field f)
{
    return (uint8_t)(tc_bucket_word(f.word) >> f.shift);
}

static inline void tc_field_set(struct tc_field f, uint64_t byte)
{
    tc_bucket_set_bits(f.word, UINT8_MAX, f.shift, byte);
}

/* How far from here those lie whose home it is. */
static inline size_t tc_bucket_reach(const struct tc_bucket *b)
{
    return (size_t)(tc_bucket_word(&b->more) >> TC_INDEX_REACH_SHIFT & TC_INDEX_REACH);
}

/* How many of them lie as far as that; 0 if the reach is. */
static inline size_t tc_bucket_at_reach(const struct tc_bucket *b)
{
    return (size_t)(tc_bucket_word(&b->more) >> TC_INDEX_AT_REACH_SHIFT & 15);
}
_Static_assert(TC_INDEX_REACH <= 15 && TC_INDEX_LANES < 15, "half a byte for either, and one who is about to leave");

/* How many of those whose home it is lie elsewhere, in one of fifteen buckets. */
static inline size_t tc_bucket_away(const struct tc_bucket *b)
{
    return tc_bucket_word(&b->more) >> TC_INDEX_AWAY_SHIFT & UINT8_MAX;
}
_Static_assert(TC_INDEX_REACH * TC_INDEX_LANES < UINT8_MAX, "they can be counted, and one who is about to leave");

static inline void tc_bucket_set_reach(struct tc_bucket *b, size_t reach, size_t at_reach, size_t away)
{
    uint64_t all = reach | at_reach << (TC_INDEX_AT_REACH_SHIFT - TC_INDEX_REACH_SHIFT) |
                   away << (TC_INDEX_AWAY_SHIFT - TC_INDEX_REACH_SHIFT);
    tc_bucket_set_bits(&b->more, UINT16_MAX, TC_INDEX_REACH_SHIFT, all);
}

static inline bool tc_bucket_is_stranger(const struct tc_bucket *b, unsigned lane)
{
    return tc_bucket_word(&b->more) >> (TC_INDEX_STRANGERS_SHIFT + lane) & 1;
}

static inline uint32_t tc_bucket_cell(const struct tc_bucket *b, unsigned lane)
{
    return atomic_load_explicit(&b->lanes[lane], memory_order_relaxed);
}

static inline void tc_bucket_set_cell(struct tc_bucket *b, unsigned lane, uint32_t cell)
{
    atomic_store_explicit(&b->lanes[lane], cell, memory_order_release);
}

/* The wheel's codes; that of an empty lane says nothing. Eight in a word, lowest first, and the others in the lowest
 * bytes of the next one. */
static inline void tc_bucket_codes_together(const struct tc_bucket *b, uint64_t *low, uint64_t *high)
{
    *low = tc_bucket_word(&b->codes);
    *high = tc_bucket_word(&b->more) >> TC_INDEX_CODES_SHIFT & UINT16_MAX;
}

static inline void tc_bucket_codes(const struct tc_bucket *b, uint8_t codes[TC_INDEX_LANES])
{
    uint64_t low, high;
    tc_bucket_codes_together(b, &low, &high);
    for (unsigned lane = 0; lane < TC_INDEX_LOW_LANES; lane++)
        codes[lane] = (uint8_t)(low >> 8 * lane);
    for (unsigned lane = 0; lane < TC_INDEX_HIGH_LANES; lane++)
        codes[TC_INDEX_LOW_LANES + lane] = (uint8_t)(high >> 8 * lane);
}

#endif
