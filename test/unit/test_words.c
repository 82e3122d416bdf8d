/* Copying and comparing word by word: the bytes are the same wherever the other side lies, nothing beyond them is
 * touched, and what is loaded beside a store is made of words that somebody stored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/words.h"
#include "tt_util.h"

enum { LEN_MOST = 300, WORDS_MOST = (LEN_MOST + 7) / 8, GUARD = 64, FILL = 0xA5 };

/* Of the aligned side. */
struct words {
    tc_word before[GUARD / 8], at[WORDS_MOST], after[GUARD / 8];
};

/* Of the other one. */
struct bytes {
    _Alignas(8) unsigned char at[GUARD + 8 + LEN_MOST + GUARD];
};

static void fill_random(void *p, size_t n, uint64_t *seed)
{
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)p)[i] = (unsigned char)tt_random(seed);
}

static bool is_filled(const void *p, size_t n, int with)
{
    const unsigned char *at = p;
    size_t i = 0;
    while (i < n && at[i] == with)
        i++;
    return i == n;
}

static void a_length_is_rounded_up_to_whole_words(void **state)
{
    (void)state;
    assert_int_equal(TC_WORD_BYTES, 8);
    for (size_t n = 0; n <= LEN_MOST; n++) {
        assert_int_equal(tc_words_round(n) % TC_WORD_BYTES, 0);
        assert_in_range(tc_words_round(n), n, n + TC_WORD_BYTES - 1);
    }
}

static void what_is_loaded_is_there_and_nothing_beyond_it_is_written(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    struct words from;
    struct bytes to;
    for (size_t n = 0; n <= LEN_MOST; n++)
        for (size_t off = 0; off < TC_WORD_BYTES; off++) {
            fill_random(&from, sizeof from, &seed);
            memset(&to, FILL, sizeof to);
            tc_words_load(to.at + GUARD + off, from.at, n);
            assert_memory_equal(to.at + GUARD + off, from.at, n);
            assert_true(is_filled(to.at, GUARD + off, FILL));
            assert_true(is_filled(to.at + GUARD + off + n, sizeof to.at - GUARD - off - n, FILL));
        }
}

static void what_is_stored_is_there_and_the_last_word_ends_with_zeroes(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    struct words to;
    struct bytes from;
    for (size_t n = 0; n <= LEN_MOST; n++)
        for (size_t off = 0; off < TC_WORD_BYTES; off++) {
            size_t whole = tc_words_round(n);
            const unsigned char *stored = (const unsigned char *)to.at;
            fill_random(&from, sizeof from, &seed);
            memset(&to, FILL, sizeof to);
            tc_words_store(to.at, from.at + GUARD + off, n);
            assert_memory_equal(stored, from.at + GUARD + off, n);
            assert_true(is_filled(stored + n, whole - n, 0));
            assert_true(is_filled(to.before, sizeof to.before, FILL));
            assert_true(is_filled(stored + whole, sizeof to.at - whole + sizeof to.after, FILL));
        }
}

/* On the heap, where a sanitizer sees a byte more that is read or written. */
static void no_more_is_touched_than_the_bytes_on_one_side_and_their_words_on_the_other(void **state)
{
    (void)state;
    for (size_t n = 1; n <= LEN_MOST; n++) {
        unsigned char *words = tt_xmalloc(tc_words_round(n)), *bytes = tt_xmalloc(n);
        memset(bytes, (int)n, n);
        tc_words_store(words, bytes, n);
        memset(bytes, 0, n);
        tc_words_load(bytes, words, n);
        assert_true(is_filled(bytes, n, (int)(n & UINT8_MAX)));
        free(words);
        free(bytes);
    }
    tc_words_load(NULL, NULL, 0);
    tc_words_store(NULL, NULL, 0);
}

/* ---- comparing ---- */

/* n random bytes as an entry has them, which end in zeros, and the same from anywhere, which end in garbage or, if
 * zeros says so, in zeros too. */
static unsigned char *make_same(struct words *words, struct bytes *bytes, size_t off, size_t n, bool zeros,
                                uint64_t *seed)
{
    unsigned char *at = bytes->at + GUARD + off;
    fill_random(bytes, sizeof *bytes, seed);
    memset(words, FILL, sizeof *words);
    tc_words_store(words->at, at, n);
    if (zeros)
        memset(at + n, 0, TC_WORD_BYTES);
    return at;
}

static void what_is_the_same_is_the_same_whatever_follows(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    struct words words;
    struct bytes bytes;
    for (size_t n = 1; n <= LEN_MOST; n++)
        for (size_t off = 0; off < TC_WORD_BYTES; off++) {
            unsigned char *at = make_same(&words, &bytes, off, n, false, &seed);
            assert_true(tc_words_same(words.at, at, n));
            memset(at + n, n % 2 ? 0xFF : 0, TC_WORD_BYTES);
            memset(at - TC_WORD_BYTES, n % 2 ? 0 : 0xFF, TC_WORD_BYTES);
            assert_true(tc_words_same(words.at, at, n));
            memset((unsigned char *)words.at + n, 0x5A, tc_words_round(n) - n);
            assert_true(tc_words_same(words.at, at, n));
            at = make_same(&words, &bytes, off, n, true, &seed);
            assert_true(tc_words_same_whole(words.at, at, n));
        }
}

/* In each byte, on either side, each bit once. */
static void one_bit_makes_a_difference(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    struct words words;
    struct bytes bytes;
    for (size_t n = 1; n <= LEN_MOST; n++)
        for (size_t off = 0; off < TC_WORD_BYTES; off++) {
            unsigned char *at = make_same(&words, &bytes, off, n, true, &seed), *is = (unsigned char *)words.at;
            for (size_t i = 0; i < n; i++) {
                unsigned char bit = (unsigned char)(1 << (i + n + off) % 8), *differs = (i + n) % 2 ? at : is;
                differs[i] ^= bit;
                assert_false(tc_words_same(words.at, at, n));
                assert_false(tc_words_same_whole(words.at, at, n));
                differs[i] ^= bit;
            }
            assert_true(tc_words_same(words.at, at, n) && tc_words_same_whole(words.at, at, n));
        }
}

/* Two differences that would make up for each other where words are added up or overlap. */
static void two_differences_do_not_make_up_for_each_other(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    struct words words;
    struct bytes bytes;
    for (size_t n = 2; n <= LEN_MOST; n += 1 + n / 40) {
        unsigned char *at = make_same(&words, &bytes, n % TC_WORD_BYTES, n, true, &seed);
        for (size_t i = 0; i < n; i++)
            for (size_t other = i + 1; other < n; other += 1 + other % 9) {
                at[i] ^= 0x10;
                at[other] ^= 0x10;
                assert_false(tc_words_same(words.at, at, n));
                assert_false(tc_words_same_whole(words.at, at, n));
                at[i] ^= 0x10;
                at[other] ^= 0x10;
            }
    }
}

/* On the heap: whole words of the entry, and no more than the bytes of who asks. */
static void no_more_is_read_to_compare(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    for (size_t n = 1; n <= LEN_MOST; n++) {
        size_t whole = tc_words_round(n);
        unsigned char *words = tt_xmalloc(whole), *bytes = tt_xmalloc(n), *zeros = tt_xcalloc(whole);
        fill_random(bytes, n, &seed);
        memcpy(zeros, bytes, n);
        tc_words_store(words, bytes, n);
        assert_true(tc_words_same(words, bytes, n));
        assert_true(tc_words_same_whole(words, zeros, n));
        free(words);
        free(bytes);
        free(zeros);
    }
}

/* ---- two threads ---- */

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { ROUNDS = 20000 };
#else
enum { ROUNDS = 400000 };
#endif

enum { SHARED_LEN = 100 }; /* with a last word of four bytes */

struct shared {
    tc_word words[(SHARED_LEN + 7) / 8];
    unsigned char patterns[2][SHARED_LEN + 1];
    _Atomic bool done;
    uint64_t loads, both; /* in which words of both patterns were found */
};

static void load_one(struct shared *s, int *failures)
{
    unsigned char is[1 + SHARED_LEN];
    unsigned of[2] = { 0, 0 };
    tc_words_load(is + 1, s->words, SHARED_LEN);
    for (size_t i = 0; i < SHARED_LEN; i += TC_WORD_BYTES) {
        size_t n = SHARED_LEN - i < TC_WORD_BYTES ? SHARED_LEN - i : TC_WORD_BYTES;
        bool first = memcmp(is + 1 + i, s->patterns[0] + 1 + i, n) == 0;
        TT_CHECK(*failures, first || memcmp(is + 1 + i, s->patterns[1] + 1 + i, n) == 0);
        of[first]++;
    }
    s->loads++;
    s->both += of[0] > 0 && of[1] > 0;
}

static int store_or_load(void *arg, unsigned index)
{
    struct shared *s = arg;
    int failures = 0;
    for (int i = 0; index == 0 && i < ROUNDS; i++)
        tc_words_store(s->words, s->patterns[i % 2] + 1, SHARED_LEN); /* from an odd address */
    if (index == 0)
        atomic_store(&s->done, true);
    while (index == 1 && !atomic_load(&s->done) && failures == 0)
        load_one(s, &failures);
    return failures;
}

static void each_word_that_is_loaded_beside_a_store_is_of_one_of_both(void **state)
{
    (void)state;
    struct shared s = { .loads = 0 };
    uint64_t seed = tt_seed(), loads = 0, both = 0;
    fill_random(s.patterns[0], SHARED_LEN + 1, &seed);
    for (size_t i = 0; i <= SHARED_LEN; i++)
        s.patterns[1][i] = (unsigned char)~s.patterns[0][i]; /* each byte tells which it is of */
    tc_words_store(s.words, s.patterns[1] + 1, SHARED_LEN);
    for (int attempt = 0; attempt < 2000 && both == 0; attempt++) { /* a processor may have been all that there was */
        atomic_store(&s.done, false);
        s.loads = s.both = 0;
        assert_int_equal(tt_crew_join(tt_crew_start(2, store_or_load, &s)), 0);
        loads += s.loads;
        both += s.both;
    }
    assert_true(loads > 0 && both > 0); /* they did meet */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_length_is_rounded_up_to_whole_words),
        cmocka_unit_test(what_is_loaded_is_there_and_nothing_beyond_it_is_written),
        cmocka_unit_test(what_is_stored_is_there_and_the_last_word_ends_with_zeroes),
        cmocka_unit_test(no_more_is_touched_than_the_bytes_on_one_side_and_their_words_on_the_other),
        cmocka_unit_test(what_is_the_same_is_the_same_whatever_follows),
        cmocka_unit_test(one_bit_makes_a_difference),
        cmocka_unit_test(two_differences_do_not_make_up_for_each_other),
        cmocka_unit_test(no_more_is_read_to_compare),
        cmocka_unit_test(each_word_that_is_loaded_beside_a_store_is_of_one_of_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
