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

/* Whether n bytes, at least one, are the same, both followed by zeros up to the next whole word: of what is aligned,
 * and from anywhere. */
static inline __attribute__((always_inline)) bool tc_words_same_whole(const void *words, const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    const tc_word *w = words;
    tc_word is;
    memcpy(&is, at, TC_WORD_BYTES);
    tc_word differ = __atomic_load_n(w, __ATOMIC_ACQUIRE) ^ is;
    for (size_t i = 1; i <= (n - 1) / TC_WORD_BYTES; i++) {
        memcpy(&is, at + i * TC_WORD_BYTES, TC_WORD_BYTES);
        differ |= __atomic_load_n(w + i, __ATOMIC_ACQUIRE) ^ is;
    }
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

/* n bytes to anywhere, from what is aligned and has whole words. */
static inline __attribute__((always_inline)) void tc_words_load(void *to, const void *from, size_t n)
{
    unsigned char *at = to;
    const tc_word *w = from;
    for (; n >= TC_WORDS_AT_ONCE * TC_WORD_BYTES; w += TC_WORDS_AT_ONCE) {
#pragma GCC unroll 8
        for (size_t i = 0; i < TC_WORDS_AT_ONCE; i++)
            tc_word_take(at + i * TC_WORD_BYTES, w + i, TC_WORD_BYTES);
        at += TC_WORDS_AT_ONCE * TC_WORD_BYTES;
        n -= TC_WORDS_AT_ONCE * TC_WORD_BYTES;
    }
    for (; n >= TC_WORD_BYTES; n -= TC_WORD_BYTES, at += TC_WORD_BYTES, w++)
        tc_word_take(at, w, TC_WORD_BYTES);
    if (n > 0)
        tc_word_take(at, w, n);
}

/* n bytes from anywhere, to what is aligned and has whole words; what is left of the last one becomes zero. */
static inline void tc_words_store(void *to, const void *from, size_t n)
{
    const unsigned char *at = from;
    tc_word *w = to, word;
    for (; n >= TC_WORDS_AT_ONCE * TC_WORD_BYTES; w += TC_WORDS_AT_ONCE) {
#pragma GCC unroll 8
        for (size_t i = 0; i < TC_WORDS_AT_ONCE; i++) {
            memcpy(&word, at + i * TC_WORD_BYTES, TC_WORD_BYTES);
            __atomic_store_n(w + i, word, __ATOMIC_RELEASE);
        }
        at += TC_WORDS_AT_ONCE * TC_WORD_BYTES;
        n -= TC_WORDS_AT_ONCE * TC_WORD_BYTES;
    }
    for (; n >= TC_WORD_BYTES; n -= TC_WORD_BYTES, at += TC_WORD_BYTES, w++) {
        memcpy(&word, at, TC_WORD_BYTES);
        __atomic_store_n(w, word, __ATOMIC_RELEASE);
    }
    if (n == 0)
        return;
    word = 0;
    memcpy(&word, at, n);
    __atomic_store_n(w, word, __ATOMIC_RELEASE);
}

#endif
