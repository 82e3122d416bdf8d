/* Copying bytes that others may write meanwhile, or read, as a seqlock wants it: word by word and atomically, so that
 * who reads gets bytes of one writer or another and finds out afterwards (H.-J. Boehm, Can seqlocks get along with
 * programming language memory models?, 2012). Each load acquires and each store releases: what stands before the one
 * and behind the other needs no fence. */
#ifndef TC_BASE_WORDS_H
#define TC_BASE_WORDS_H

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
