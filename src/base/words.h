/* Copying bytes that others may write meanwhile, or read, as a seqlock wants it: word by word and atomically, so that
 * who reads gets bytes of one writer or another and finds out afterwards (H.-J. Boehm, Can seqlocks get along with
 * programming language memory models?, 2012). Each load acquires and each store releases: what stands before the one
 * and behind the other needs no fence. */
#ifndef TC_BASE_WORDS_H
#define TC_BASE_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t __attribute__((may_alias)) tc_word;
#define TC_WORD_BYTES sizeof(tc_word)
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define TC_WORDS_ARE_WATCHED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TC_WORDS_ARE_WATCHED 1
#endif
#if __has_feature(thread_sanitizer)
#define TC_THREADS_ARE_WATCHED 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define TC_THREADS_ARE_WATCHED 1
#endif
#ifndef TC_THREADS_ARE_WATCHED
#define TC_THREADS_ARE_WATCHED 0
#endif
#define TC_WORDS_AT_ONCE 8

static inline size_t tc_words_round(size_t n)
{
    return (n + TC_WORD_BYTES - 1) & ~(TC_WORD_BYTES - 1);
}

static inline __attribute__((always_inline)) void tc_word_take(unsigned char *to, const tc_word *from, size_t n)
{
    tc_word w = __atomic_load_n(from, __ATOMIC_ACQUIRE);
    memcpy(to, &w, n);
}

/* The words at an offset of either: 0 if they are the same. */
static inline __attribute__((always_inline)) tc_word tc_word_differs(const unsigned char *words,
                                                                     const unsigned char *bytes, size_t at)
{
    tc_word is;
    memcpy(&is, bytes + at, TC_WORD_BYTES);
    return __atomic_load_n((const tc_word *)(const void *)(words + at), __ATOMIC_ACQUIRE) ^ is;
}

/* Whether n bytes, at least one, are the same, both followed by zeros up to the next whole word: of what is aligned,
 * and from anywhere. Up to four words without a loop: the first ones and the last ones, which may be the same. */
static inline __attribute__((always_inline)) bool tc_words_same_whole(const void *words, const void *bytes, size_t n)
{
    size_t end = tc_words_round(n);
    tc_word differ = tc_word_differs(words, bytes, 0) | tc_word_differs(words, bytes, end - TC_WORD_BYTES);
    if (end > 2 * TC_WORD_BYTES)
        differ |= tc_word_differs(words, bytes, TC_WORD_BYTES) | tc_word_differs(words, bytes, end - 2 * TC_WORD_BYTES);
    if (__builtin_expect(end > 4 * TC_WORD_BYTES, 0))
        for (size_t at = 2 * TC_WORD_BYTES; at < end - 2 * TC_WORD_BYTES; at += TC_WORD_BYTES)
            differ |= tc_word_differs(words, bytes, at);
    return differ == 0;
}

/* The same where nothing is known of what follows. */
static inline __attribute__((always_inline)) bool tc_words_same(const void *words, const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    const tc_word *w = words;
    tc_word first, end, word = __atomic_load_n(w, __ATOMIC_ACQUIRE);
    if (n < TC_WORD_BYTES)
        return memcmp(&word, at, n) == 0;
    size_t last = (n - 1) / TC_WORD_BYTES;
    unsigned others = (unsigned)(-n % TC_WORD_BYTES) * 8; /* bits of the last word that are not theirs */
    memcpy(&first, at, TC_WORD_BYTES);
    memcpy(&end, at + n - TC_WORD_BYTES, TC_WORD_BYTES); /* as many bytes, which end where they end */
    tc_word differ = word ^ first;
    word = __atomic_load_n(w + last, __ATOMIC_ACQUIRE);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    differ |= (word ^ end >> others) << others;
#else
    differ |= (word ^ end << others) >> others;
#endif
    for (size_t i = 1; i < last; i++) {
        memcpy(&first, at + i * TC_WORD_BYTES, TC_WORD_BYTES);
        differ |= __atomic_load_n(w + i, __ATOMIC_ACQUIRE) ^ first;
    }
    return differ == 0;
}

/* TC_WORDS_AT_ONCE of them, to or from anywhere. On x86 loads are not reordered with later ones nor stores with earlier
 * ones, and neither half of an access of 16 bytes to what is aligned is torn: it does what two of 8 bytes would, in
 * half as many instructions. The compiler sees no access at all here: what stands before and behind stays there by the
 * clobber. Sanitizers have to see one. */
#if defined __x86_64__ && !defined TC_WORDS_ARE_WATCHED
static inline __attribute__((always_inline)) void tc_words_move(void *to, const void *from)
{
    __asm__ volatile("movups (%1), %%xmm0\n\t"
                     "movups 16(%1), %%xmm1\n\t"
                     "movups 32(%1), %%xmm2\n\t"
                     "movups 48(%1), %%xmm3\n\t"
                     "movups %%xmm0, (%0)\n\t"
                     "movups %%xmm1, 16(%0)\n\t"
                     "movups %%xmm2, 32(%0)\n\t"
                     "movups %%xmm3, 48(%0)"
                     :
                     : "r"(to), "r"(from)
                     : "xmm0", "xmm1", "xmm2", "xmm3", "memory");
}
#define tc_words_take tc_words_move
#define tc_words_put tc_words_move
#else
static inline __attribute__((always_inline)) void tc_words_take(unsigned char *to, const tc_word *from)
{
#pragma GCC unroll 8
    for (size_t i = 0; i < TC_WORDS_AT_ONCE; i++)
        tc_word_take(to + i * TC_WORD_BYTES, from + i, TC_WORD_BYTES);
}

static inline __attribute__((always_inline)) void tc_words_put(tc_word *to, const unsigned char *from)
{
#pragma GCC unroll 8
    for (size_t i = 0; i < TC_WORDS_AT_ONCE; i++) {
        tc_word word;
        memcpy(&word, from + i * TC_WORD_BYTES, TC_WORD_BYTES);
        __atomic_store_n(to + i, word, __ATOMIC_RELEASE);
    }
}
#endif

/* More than that is moved by memcpy, which has wider instructions, where what is said above holds of any loads and stores.
 * That those of a string instruction may be in any order among themselves is no matter here: they stay between what
 * stands before and behind. The compiler is not to know which function it is. */
#if defined __x86_64__ && !defined TC_WORDS_ARE_WATCHED
#define TC_WORDS_FEW 256
static inline void tc_words_move_many(void *to, const void *from, size_t n)
{
    void *(*move)(void *, const void *, size_t) = memcpy;
    __asm__ volatile("" : "+r"(move) : : "memory");
    move(to, from, n);
    __asm__ volatile("" : : : "memory");
}
#else
#define TC_WORDS_FEW SIZE_MAX
static inline void tc_words_move_many(void *to, const void *from, size_t n)
{
    (void)to;
    (void)from;
    (void)n;
}
#endif

/* n bytes to anywhere, from what is aligned and has whole words. */
static inline __attribute__((always_inline)) void tc_words_load(void *to, const void *from, size_t n)
{
    enum { BLOCK = TC_WORDS_AT_ONCE * TC_WORD_BYTES };
    if (__builtin_expect(n > TC_WORDS_FEW, 0)) {
        tc_words_move_many(to, from, n);
        return;
    }
    unsigned char *at = to;
    const tc_word *w = from;
    if (n >= BLOCK) {
        const tc_word *end = w + n / BLOCK * TC_WORDS_AT_ONCE;
        do {
            tc_words_take(at, w);
            at += BLOCK;
            w += TC_WORDS_AT_ONCE;
        } while (w != end);
        n %= BLOCK;
    }
    if (n == 0)
        return;
    for (; n >= TC_WORD_BYTES; n -= TC_WORD_BYTES, at += TC_WORD_BYTES, w++)
        tc_word_take(at, w, TC_WORD_BYTES);
    if (n > 0)
        tc_word_take(at, w, n);
}

/* Whether zeros follow n bytes up to the next whole word. */
static inline bool tc_words_are_ended(const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    bool ended = true;
    for (size_t i = n; i < tc_words_round(n); i++)
        ended = ended && at[i] == 0;
    return ended;
}

/* The word that n bytes begin, from 1 to 7, and zeros end. Not by a copy of n bytes: what is written by bytes and read
 * as a word at once waits until all stores before it are through. Parts may overlap. */
static inline tc_word tc_word_of(const unsigned char *bytes, size_t n)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    const unsigned first_at = 0, half_at = 0, step = 8;
#else
    const unsigned first_at = 56, half_at = 32, step = -8u;
#endif
    if (n < sizeof(uint32_t)) {
        unsigned middle = (unsigned)n / 2, last = (unsigned)n - 1;
        return (tc_word)bytes[0] << first_at | (tc_word)bytes[middle] << (first_at + middle * step) |
               (tc_word)bytes[last] << (first_at + last * step);
    }
    uint32_t first, last;
    memcpy(&first, bytes, sizeof first);
    memcpy(&last, bytes + n - sizeof last, sizeof last);
    return (tc_word)first << half_at | (tc_word)last << (half_at + (unsigned)(n - sizeof last) * step);
}

/* n bytes from anywhere, to what is aligned and has whole words; what is left of the last one becomes zero. */
static inline void tc_words_store(void *to, const void *from, size_t n)
{
    const unsigned char *at = from;
    tc_word *w = to, word;
    if (__builtin_expect(n > TC_WORDS_FEW, 0)) {
        size_t whole = n / TC_WORD_BYTES * TC_WORD_BYTES;
        tc_words_move_many(to, from, whole);
        n -= whole;
        at += whole;
        w += whole / TC_WORD_BYTES;
    }
    for (; n >= TC_WORDS_AT_ONCE * TC_WORD_BYTES; n -= TC_WORDS_AT_ONCE * TC_WORD_BYTES) {
        tc_words_put(w, at);
        w += TC_WORDS_AT_ONCE;
        at += TC_WORDS_AT_ONCE * TC_WORD_BYTES;
    }
    for (; n >= TC_WORD_BYTES; n -= TC_WORD_BYTES, at += TC_WORD_BYTES, w++) {
        memcpy(&word, at, TC_WORD_BYTES);
        __atomic_store_n(w, word, __ATOMIC_RELEASE);
    }
    if (n == 0)
        return;
    __atomic_store_n(w, tc_word_of(at, n), __ATOMIC_RELEASE);
}

#endif
