/* The keyed hash: the same within a cache, another in the next one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "tt_util.h"

enum { LENGTHS = 600, BITS_TRIED = 200 };

static void one_input_has_one_hash_in_one_instance(void **state)
{
    (void)state;
    struct tc_hash h;
    assert_int_equal(tc_hash_init(&h), 0);
    unsigned char buf[LENGTHS + 16];
    for (size_t n = 0; n <= LENGTHS; n++) {
        memset(buf, 0, sizeof buf);
        memset(buf, 7, n);
        uint64_t at_start = tc_hash_key(&h, buf, n);
        for (size_t shift = 1; shift < 8; shift++) { /* alignment does not matter */
            memmove(buf + shift, buf + shift - 1, n);
            buf[shift - 1] = 0xA5;
            assert_int_equal(tc_hash_key(&h, buf + shift, n), at_start);
        }
    }
}

static void instances_hash_differently(void **state)
{
    (void)state;
    struct tc_hash a, b;
    assert_int_equal(tc_hash_init(&a), 0);
    assert_int_equal(tc_hash_init(&b), 0);
    assert_memory_not_equal(a.secret, b.secret, sizeof a.secret);
    unsigned char buf[LENGTHS + 8];
    memset(buf, 'x', sizeof buf);
    for (size_t n = 0; n <= LENGTHS; n++)
        assert_int_not_equal(tc_hash_key(&a, buf, n), tc_hash_key(&b, buf, n));
}

static void no_part_of_the_secret_is_left_plain(void **state)
{
    (void)state;
    static const unsigned char zeros[16];
    struct tc_hash h;
    assert_int_equal(tc_hash_init(&h), 0);
    for (size_t i = 0; i + sizeof zeros <= sizeof h.secret; i += sizeof zeros)
        assert_memory_not_equal(h.secret + i, zeros, sizeof zeros);
}

/* For every length: changing one bit, dropping a byte or taking a zero more changes the hash; what lies behind the last
 * whole word does not. */
static void every_bit_of_the_input_counts_and_nothing_behind_it(void **state)
{
    (void)state;
    struct tc_hash h;
    assert_int_equal(tc_hash_init(&h), 0);
    uint64_t seed = tt_seed();
    for (size_t n = 1; n <= LENGTHS; n++) {
        size_t room = (n + 7) / 8 * 8;
        unsigned char *p = tt_xmalloc(room); /* exactly that: a sanitizer sees a read behind it */
        memset(p, 0, room);
        for (size_t i = 0; i < n; i++)
            p[i] = (unsigned char)(tt_random(&seed) | 1);
        uint64_t hash = tc_hash_key(&h, p, n);
        for (size_t more = n + 1; more <= room; more++)
            assert_int_not_equal(tc_hash_key(&h, p, more), hash);
        unsigned char last = p[n - 1];
        p[n - 1] = 0;
        assert_int_not_equal(tc_hash_key(&h, p, n - 1), hash);
        p[n - 1] = last;
        for (size_t tried = 0; tried < 8 * n && tried < BITS_TRIED; tried++) {
            size_t bit = n <= BITS_TRIED / 8 ? tried : tt_random(&seed) % (8 * n);
            p[bit / 8] ^= (unsigned char)(1u << bit % 8);
            assert_int_not_equal(tc_hash_key(&h, p, n), hash);
            p[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        free(p);
    }
}

/* L1 takes tags from the top, gates and stripes from the middle, homes from the lower half. */
static void all_parts_of_the_hash_spread_like_dice(void **state)
{
    (void)state;
    enum { KEYS = 64000, BINS = 64 };
    struct tc_hash h;
    assert_int_equal(tc_hash_init(&h), 0);
    static unsigned low[BINS], middle[BINS], stripe[BINS], high[BINS];
    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t hash = tc_hash_key(&h, &i, sizeof i);
        low[hash % BINS]++;
        middle[(hash >> 32) % BINS]++;
        stripe[(hash >> 40) % BINS]++;
        high[(hash >> 58) % BINS]++;
    }
    for (size_t i = 0; i < BINS; i++) { /* 1000 expected, standard deviation 31 */
        assert_in_range(low[i], 750, 1250);
        assert_in_range(middle[i], 750, 1250);
        assert_in_range(stripe[i], 750, 1250);
        assert_in_range(high[i], 750, 1250);
    }
}

static void nothing_can_be_hashed(void **state)
{
    (void)state;
    struct tc_hash h;
    assert_int_equal(tc_hash_init(&h), 0);
    assert_int_equal(tc_hash_key(&h, NULL, 0), tc_hash_key(&h, "", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_input_has_one_hash_in_one_instance),
        cmocka_unit_test(instances_hash_differently),
        cmocka_unit_test(no_part_of_the_secret_is_left_plain),
        cmocka_unit_test(every_bit_of_the_input_counts_and_nothing_behind_it),
        cmocka_unit_test(all_parts_of_the_hash_spread_like_dice),
        cmocka_unit_test(nothing_can_be_hashed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
