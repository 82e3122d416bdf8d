/* Frames: what is written is read back, and nothing else is ever taken for it. The frozen bytes of one frame are here
 * in hexadecimal: if that test fails, caches that run together no longer understand each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

#include "platform/platform.h"
#include "tier/frame.h"
#include "tiercache.h"
#include "tt_util.h"

enum { OVERHEAD = TC_FRAME_HEADER_BYTES + TC_FRAME_TRAILER_BYTES };

static struct cache_slice slice(const void *data, size_t len)
{
    return (struct cache_slice){ data, len };
}

static struct tc_frame frame_of(const char *key, const char *payload)
{
    return (struct tc_frame){ 0, 1700000000123, 60000, slice(key, strlen(key)), slice(payload, strlen(payload)) };
}

/* The frame's bytes in a block of exactly its size. The caller frees them. */
static unsigned char *write_frame(const struct tc_frame *f, size_t *size)
{
    *size = tc_frame_size(f);
    assert_int_equal(*size, OVERHEAD + f->key.len + f->payload.len);
    unsigned char *bytes = tt_xmalloc(*size);
    tc_frame_write(f, bytes);
    return bytes;
}

static enum tc_frame_verdict read_frame(const void *bytes, size_t len, struct cache_slice key)
{
    struct tc_frame f, untouched;
    memset(&f, 0x5A, sizeof f);
    untouched = f;
    enum tc_frame_verdict verdict = tc_frame_read(slice(bytes, len), key, &f);
    if (verdict != TC_FRAME_GOOD)
        assert_memory_equal(&f, &untouched, sizeof f);
    return verdict;
}

static void put_le(unsigned char *to, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (unsigned char)(v >> 8 * i);
}

/* Makes the checksum right for whatever the bytes say, as another version's writer or an attacker would. */
static void seal(unsigned char *bytes, size_t size)
{
    put_le(bytes + size - TC_FRAME_TRAILER_BYTES, XXH3_64bits(bytes, size - TC_FRAME_TRAILER_BYTES), 8);
}

/* ---- round trip ---- */

static void assert_read_back(const struct tc_frame *f)
{
    size_t size;
    unsigned char *bytes = write_frame(f, &size);
    struct tc_frame back;
    assert_int_equal(tc_frame_read(slice(bytes, size), f->key, &back), TC_FRAME_GOOD);
    assert_int_equal(back.flags, f->flags);
    assert_int_equal(back.written_wall_ms, f->written_wall_ms);
    assert_int_equal(back.ttl_ms, f->ttl_ms);
    assert_int_equal(back.key.len, f->key.len);
    assert_int_equal(back.payload.len, f->payload.len);
    assert_ptr_equal(back.key.data, bytes + TC_FRAME_HEADER_BYTES);
    assert_ptr_equal(back.payload.data, bytes + TC_FRAME_HEADER_BYTES + f->key.len);
    assert_true(f->key.len == 0 || memcmp(back.key.data, f->key.data, f->key.len) == 0);
    assert_true(f->payload.len == 0 || memcmp(back.payload.data, f->payload.data, f->payload.len) == 0);
    free(bytes);
}

static void every_size_is_read_back_as_it_was_written(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    const size_t sizes[] = { 0, 1, 2, 3, 7, 8, 15, 16, 17, 63, 64, 65, 127, 128, 129, 240, 241, 1000, 4096, 70000,
                             CACHE_KEY_MAX_BYTES };
    unsigned char *noise = tt_xmalloc(2 * CACHE_KEY_MAX_BYTES);
    for (size_t i = 0; i < 2 * CACHE_KEY_MAX_BYTES; i++)
        noise[i] = (unsigned char)tt_random(&seed);
    for (size_t k = 0; k < TC_ARRAY_LEN(sizes); k++)
        for (size_t p = 0; p < TC_ARRAY_LEN(sizes); p++) {
            struct tc_frame f = { k % 2 ? TC_FRAME_ABSENT : 0, (int64_t)tt_random(&seed), 1 + (int64_t)(k * 1000),
                                  slice(noise, sizes[k]), slice(noise + CACHE_KEY_MAX_BYTES, sizes[p]) };
            assert_read_back(&f);
        }
    free(noise);
}

static void lifetimes_and_wall_clocks_of_all_sizes_are_read_back(void **state)
{
    (void)state;
    const int64_t ttls[] = { 1, CACHE_TTL_MAX_MS, INT64_MAX, CACHE_TTL_FOREVER };
    const int64_t walls[] = { 0, -1, INT64_MIN, INT64_MAX };
    for (size_t i = 0; i < TC_ARRAY_LEN(ttls); i++) {
        struct tc_frame f = frame_of("k", "v");
        f.ttl_ms = ttls[i];
        f.written_wall_ms = walls[i];
        assert_read_back(&f);
    }
}

static void an_empty_value_an_absence_and_no_data_pointer_are_read_back(void **state)
{
    (void)state;
    struct tc_frame f = frame_of("key", "");
    assert_read_back(&f);
    f.payload.data = NULL;
    assert_read_back(&f);
    f.flags = TC_FRAME_ABSENT;
    assert_read_back(&f);
    f.key = slice(NULL, 0);
    assert_read_back(&f);
}

static void a_payload_that_lies_in_its_place_already_is_left_there(void **state)
{
    (void)state;
    struct tc_frame f = frame_of("key", "payload");
    size_t size;
    unsigned char *expected = write_frame(&f, &size), *bytes = tt_xmalloc(size);
    memset(bytes, 0xEE, size);
    memcpy(bytes + TC_FRAME_HEADER_BYTES + f.key.len, "payload", 7);
    f.payload.data = bytes + TC_FRAME_HEADER_BYTES + f.key.len;
    tc_frame_write(&f, bytes);
    assert_memory_equal(bytes, expected, size);
    free(bytes);
    free(expected);
}

static void a_frame_may_lie_at_any_address(void **state)
{
    (void)state;
    struct tc_frame f = frame_of("key", "payload"), back;
    unsigned char room[256];
    for (size_t shift = 0; shift < 8; shift++) {
        tc_frame_write(&f, room + shift);
        assert_int_equal(tc_frame_read(slice(room + shift, tc_frame_size(&f)), f.key, &back), TC_FRAME_GOOD);
    }
}

static void a_size_that_cannot_be_expressed_is_zero(void **state)
{
    (void)state;
    struct tc_frame f = frame_of("", "");
    f.payload.len = SIZE_MAX - OVERHEAD;
    assert_int_equal(tc_frame_size(&f), SIZE_MAX);
    f.payload.len++;
    assert_int_equal(tc_frame_size(&f), 0);
    f.payload.len = SIZE_MAX;
    assert_int_equal(tc_frame_size(&f), 0);
    f.payload.len = 0;
    f.key.len = UINT32_MAX;
    assert_int_equal(tc_frame_size(&f), OVERHEAD + (size_t)UINT32_MAX);
    f.key.len++;
    assert_int_equal(tc_frame_size(&f), 0);
    f.key.len = SIZE_MAX;
    assert_int_equal(tc_frame_size(&f), 0);
}

/* ---- the frozen format ---- */

static const char golden[] =
    "54494552434630310000000000000000"
    "30303030303030303030303030303030"
    "00000000000000000000000006000000"
    "00000000000000000500000000000000"
    "7b68e5cf8b010000000000000000000060ea000000000000"
    "706167653a37"
    "68656c6c6f"
    "5c396dde80a7214c";

static unsigned char hex_digit(char ch)
{
    return (unsigned char)(ch <= '9' ? ch - '0' : ch - 'a' + 10);
}

static void the_bytes_of_a_frame_are_frozen(void **state)
{
    (void)state;
    struct tc_frame f = frame_of("page:7", "hello"), back;
    size_t size;
    unsigned char *bytes = write_frame(&f, &size), expected[(sizeof golden - 1) / 2];
    for (size_t i = 0; i < sizeof expected; i++)
        expected[i] = (unsigned char)(hex_digit(golden[2 * i]) << 4 | hex_digit(golden[2 * i + 1]));
    assert_int_equal(size, sizeof expected);
    assert_memory_equal(bytes, expected, size);
    assert_int_equal(tc_frame_read(slice(expected, sizeof expected), f.key, &back), TC_FRAME_GOOD);
    free(bytes);
}

/* ---- damage ---- */

static void every_single_bit_flip_is_detected(void **state)
{
    (void)state;
    static const char long_payload[] = "a payload of some length, longer than the short paths of the checksum "
                                       "so that more than one of its branches has to see the flipped bit";
    const char *const payloads[] = { "", "x", long_payload };
    for (size_t p = 0; p < TC_ARRAY_LEN(payloads); p++) {
        struct tc_frame f = frame_of("type:key", payloads[p]);
        size_t size;
        unsigned char *bytes = write_frame(&f, &size);
        for (size_t bit = 0; bit < 8 * size; bit++) {
            bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
            enum tc_frame_verdict verdict = read_frame(bytes, size, f.key);
            bool in_version_digits = bit / 8 == 6 || bit / 8 == 7;
            assert_int_equal(verdict, in_version_digits ? TC_FRAME_UNKNOWN : TC_FRAME_BROKEN);
            bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        assert_int_equal(read_frame(bytes, size, f.key), TC_FRAME_GOOD);
        free(bytes);
    }
}

static void every_truncation_and_every_extension_is_detected(void **state)
{
    (void)state;
    struct tc_frame f = frame_of("type:key", "a payload");
    size_t size;
    unsigned char *bytes = write_frame(&f, &size);
    for (size_t len = 0; len < size; len++) {
        unsigned char *part = tt_xmemdup(bytes, len); /* exactly as long: a sanitizer sees a read behind it */
        assert_int_equal(read_frame(part, len, f.key), TC_FRAME_BROKEN);
        free(part);
    }
    for (size_t more = 1; more < 20; more++) {
        unsigned char *longer = tt_xcalloc(size + more);
        memcpy(longer, bytes, size);
        assert_int_equal(read_frame(longer, size + more, f.key), TC_FRAME_BROKEN);
        free(longer);
    }
    free(bytes);
}

static void nothing_and_foreign_bytes_are_broken(void **state)
{
    (void)state;
    struct cache_slice key = slice("k", 1);
    assert_int_equal(read_frame(NULL, 0, key), TC_FRAME_BROKEN);
    assert_int_equal(read_frame("TIERC", 5, key), TC_FRAME_BROKEN);
    assert_int_equal(read_frame("TIERCF0", 7, key), TC_FRAME_BROKEN);
    assert_int_equal(read_frame("hello, world, I am a value of another program", 45, key), TC_FRAME_BROKEN);
    unsigned char zeros[300] = { 0 };
    assert_int_equal(read_frame(zeros, sizeof zeros, key), TC_FRAME_BROKEN);
}

static void lengths_that_do_not_add_up_are_broken_even_under_a_right_checksum(void **state)
{
    (void)state;
    static const struct {
        size_t at, bytes;
    } lengths[] = { { 44, 4 }, { 48, 4 }, { 56, 8 } };
    const uint64_t wrong[] = { 1, 9, 0x7fffffff, 0x80000000, 0xffffffff, UINT64_MAX / 2, UINT64_MAX - 96,
                               UINT64_MAX - 8, UINT64_MAX };
    for (size_t i = 0; i < TC_ARRAY_LEN(lengths); i++)
        for (size_t k = 0; k < TC_ARRAY_LEN(wrong); k++) {
            struct tc_frame f = frame_of("type:key", "a payload of 22 bytes");
            size_t size;
            unsigned char *bytes = write_frame(&f, &size);
            put_le(bytes + lengths[i].at, wrong[k], lengths[i].bytes);
            seal(bytes, size);
            assert_int_equal(read_frame(bytes, size, f.key), TC_FRAME_BROKEN);
            free(bytes);
        }
}

static void lengths_that_only_add_up_by_overflow_are_broken(void **state)
{
    (void)state;
    struct tc_frame f = frame_of("key", "payload");
    size_t size;
    unsigned char *bytes = write_frame(&f, &size);
    uint64_t rest = size - OVERHEAD;
    put_le(bytes + 44, UINT32_MAX, 4);
    put_le(bytes + 48, UINT32_MAX, 4);
    put_le(bytes + 56, rest - 2 * (uint64_t)UINT32_MAX, 8); /* the sum is right modulo 2^64 */
    seal(bytes, size);
    assert_int_equal(read_frame(bytes, size, f.key), TC_FRAME_BROKEN);
    free(bytes);
}

static void a_lifetime_that_means_nothing_is_broken(void **state)
{
    (void)state;
    const int64_t ttls[] = { 0, CACHE_TTL_NONE, -3, INT64_MIN };
    for (size_t i = 0; i < TC_ARRAY_LEN(ttls); i++) {
        struct tc_frame f = frame_of("key", "payload");
        size_t size;
        f.ttl_ms = ttls[i];
        unsigned char *bytes = write_frame(&f, &size);
        assert_int_equal(read_frame(bytes, size, f.key), TC_FRAME_BROKEN);
        free(bytes);
    }
}

/* ---- other keys ---- */

static void a_frame_of_another_key_is_foreign(void **state)
{
    (void)state;
    struct tc_frame f = frame_of("type:key", "payload");
    size_t size;
    unsigned char *bytes = write_frame(&f, &size);
    const char *const others[] = { "", "type:ke", "type:kez", "Type:key", "type:key ", "type:keypayload" };
    for (size_t i = 0; i < TC_ARRAY_LEN(others); i++)
        assert_int_equal(read_frame(bytes, size, slice(others[i], strlen(others[i]))), TC_FRAME_FOREIGN);
    assert_int_equal(read_frame(bytes, size, slice("type:key\0", 9)), TC_FRAME_FOREIGN);
    free(bytes);
}

/* ---- other versions ---- */

static void what_a_later_version_may_write_is_unknown_and_not_broken(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        unsigned char value;
    } news[] = {
        { 8, 1 }, { 15, 1 },            /* bound to an incarnation of its server */
        { 32, 2 }, { 32, 3 }, { 35, 128 }, /* flags */
        { 36, 1 }, { 39, 1 },           /* codecs */
        { 40, 1 }, { 43, 255 },         /* encryption */
        { 52, 1 }, { 55, 1 },           /* what is zeros here */
    };
    for (size_t i = 0; i < TC_ARRAY_LEN(news); i++) {
        struct tc_frame f = frame_of("key", "payload");
        size_t size;
        unsigned char *bytes = write_frame(&f, &size);
        bytes[news[i].at] = news[i].value;
        assert_int_equal(read_frame(bytes, size, f.key), TC_FRAME_BROKEN); /* not on the word of a wrong checksum */
        seal(bytes, size);
        assert_int_equal(read_frame(bytes, size, f.key), TC_FRAME_UNKNOWN);
        free(bytes);
    }
}

static void an_epoch_section_is_unknown(void **state)
{
    (void)state;
    struct tc_frame f = frame_of("key", "payload");
    size_t size;
    unsigned char *bytes = write_frame(&f, &size);
    put_le(bytes + 48, 3, 4);
    put_le(bytes + 56, 4, 8); /* of the payload's bytes, three are the section now */
    seal(bytes, size);
    assert_int_equal(read_frame(bytes, size, f.key), TC_FRAME_UNKNOWN);
    free(bytes);
}

static void another_format_version_is_unknown_whatever_follows(void **state)
{
    (void)state;
    const char *const others[] = { "TIERCF02", "TIERCF00", "TIERCF11", "TIERCF99 and no header as we know it" };
    for (size_t i = 0; i < TC_ARRAY_LEN(others); i++)
        assert_int_equal(read_frame(others[i], strlen(others[i]), slice("k", 1)), TC_FRAME_UNKNOWN);
}

static void a_version_of_the_value_and_a_soft_ttl_do_no_harm(void **state)
{
    (void)state;
    struct tc_frame f = frame_of("key", "payload");
    size_t size;
    unsigned char *bytes = write_frame(&f, &size);
    memcpy(bytes + 16, "00000000000000ff", 16);
    put_le(bytes + 72, 30000, 8);
    seal(bytes, size);
    assert_int_equal(read_frame(bytes, size, f.key), TC_FRAME_GOOD);
    free(bytes);
}

/* ---- noise ---- */

static void noise_under_a_right_checksum_is_never_read_outside_its_bytes(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    for (int i = 0; i < 20000; i++) {
        struct tc_frame f = frame_of("key", "payload"), back;
        size_t size;
        unsigned char *bytes = write_frame(&f, &size);
        for (size_t n = 1 + tt_random(&seed) % 4; n > 0; n--)
            bytes[8 + tt_random(&seed) % (size - 16)] = (unsigned char)tt_random(&seed);
        seal(bytes, size);
        if (tc_frame_read(slice(bytes, size), f.key, &back) == TC_FRAME_GOOD) {
            const unsigned char *end = bytes + size - TC_FRAME_TRAILER_BYTES;
            assert_true((const unsigned char *)back.payload.data + back.payload.len == end);
            assert_true((const unsigned char *)back.key.data + back.key.len == back.payload.data);
        }
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_is_read_back_as_it_was_written),
        cmocka_unit_test(lifetimes_and_wall_clocks_of_all_sizes_are_read_back),
        cmocka_unit_test(an_empty_value_an_absence_and_no_data_pointer_are_read_back),
        cmocka_unit_test(a_payload_that_lies_in_its_place_already_is_left_there),
        cmocka_unit_test(a_frame_may_lie_at_any_address),
        cmocka_unit_test(a_size_that_cannot_be_expressed_is_zero),
        cmocka_unit_test(the_bytes_of_a_frame_are_frozen),
        cmocka_unit_test(every_single_bit_flip_is_detected),
        cmocka_unit_test(every_truncation_and_every_extension_is_detected),
        cmocka_unit_test(nothing_and_foreign_bytes_are_broken),
        cmocka_unit_test(lengths_that_do_not_add_up_are_broken_even_under_a_right_checksum),
        cmocka_unit_test(lengths_that_only_add_up_by_overflow_are_broken),
        cmocka_unit_test(a_lifetime_that_means_nothing_is_broken),
        cmocka_unit_test(a_frame_of_another_key_is_foreign),
        cmocka_unit_test(what_a_later_version_may_write_is_unknown_and_not_broken),
        cmocka_unit_test(an_epoch_section_is_unknown),
        cmocka_unit_test(another_format_version_is_unknown_whatever_follows),
        cmocka_unit_test(a_version_of_the_value_and_a_soft_ttl_do_no_harm),
        cmocka_unit_test(noise_under_a_right_checksum_is_never_read_outside_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
