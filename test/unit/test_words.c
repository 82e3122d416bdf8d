/* Copying word by word: the bytes are the same wherever the other side lies, nothing beyond them is touched, and what
 * is loaded beside a store is made of words that somebody stored. */
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
    for (int attempt = 0; attempt < 100 && both == 0; attempt++) { /* a processor may have been all that there was */
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
        cmocka_unit_test(each_word_that_is_loaded_beside_a_store_is_of_one_of_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
