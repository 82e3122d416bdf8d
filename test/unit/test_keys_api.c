/* Keys as the public functions build them: sticky errors, numbers, long parts, an encoder of the application's own. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"
#include "platform/platform.h"

static struct tt_cache b;

static int setup(void **state)
{
    (void)state;
    tt_cache_prepare(&b, false);
    tt_cache_open(&b);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return tt_cache_close(&b) ? 0 : -1;
}

static void assert_text(const struct cache_key *k, const char *want)
{
    char text[512];
    size_t len = 0;
    assert_int_equal(cache_key_status(k), CACHE_OK);
    assert_int_equal(cache_key_text(k, text, sizeof text, &len), CACHE_OK);
    assert_string_equal(text, want);
    assert_int_equal(len, strlen(want));
}

static void parts_follow_the_type(void **state)
{
    struct cache_key k;
    (void)state;
    assert_text(cache_key_init(&k, b.type), "t");
    assert_ptr_equal(cache_key_str(&k, "one"), &k);
    assert_text(&k, "t:one");
    assert_text(cache_key_bytes(&k, "a\0b", 3), "t:one:a%00b");
    assert_text(cache_key_str(&k, ""), "t:one:a%00b:");
    assert_text(cache_key_bytes(&k, NULL, 0), "t:one:a%00b::");
    assert_text(cache_key_init(&k, b.type), "t");
    cache_key_fini(&k);
}

static void a_number_is_its_decimal_text(void **state)
{
    static const int64_t numbers[] = { 0, 1, -1, 9, 10, 1234567890, INT64_MAX, INT64_MIN, INT64_MIN + 1 };
    struct cache_key k, s;
    char text[32], key[64], other[64];
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(numbers); i++) {
        snprintf(text, sizeof text, "%" PRId64, numbers[i]);
        cache_key_i64(cache_key_init(&k, b.type), numbers[i]);
        cache_key_str(cache_key_init(&s, b.type), text);
        assert_int_equal(cache_key_text(&k, key, sizeof key, NULL), CACHE_OK);
        assert_int_equal(cache_key_text(&s, other, sizeof other, NULL), CACHE_OK);
        assert_string_equal(key, other);
    }
    assert_text(cache_key_u64(cache_key_init(&k, b.type), UINT64_MAX), "t:18446744073709551615");
    assert_text(cache_key_u64(cache_key_init(&k, b.type), 0), "t:0");
}

/* FAULTS 65 */
static void different_lists_of_parts_are_different_keys(void **state)
{
    static const char *const lists[][3] = {
        { "a:b", NULL }, { "a", "b", NULL }, { "a%3Ab", NULL }, { "a", "", "b" },  { "", "a", "b" },
        { "ab", NULL },  { "a", "b", "" },   { "", NULL },      { "", "", NULL },  { "{a}", NULL },
        { "a}", NULL },  { "%7Ba%7D", NULL }, { "a\r\nb", NULL }, { "a b", NULL }, { "a%20b", NULL },
    };
    char texts[TC_ARRAY_LEN(lists)][64];
    struct cache_key k;
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(lists); i++) {
        cache_key_init(&k, b.type);
        for (size_t part = 0; part < 3 && lists[i][part] != NULL; part++)
            cache_key_str(&k, lists[i][part]);
        assert_int_equal(cache_key_text(&k, texts[i], sizeof texts[i], NULL), CACHE_OK);
        for (size_t other = 0; other < i; other++)
            assert_string_not_equal(texts[i], texts[other]);
    }
}

static void the_text_needs_room_for_its_nul(void **state)
{
    struct cache_key k;
    char text[8] = "*******";
    size_t len = 0;
    (void)state;
    cache_key_str(cache_key_init(&k, b.type), "abc"); /* t:abc */
    assert_int_equal(cache_key_text(&k, text, 5, &len), CACHE_E_BUFFER);
    assert_int_equal(len, 5);
    assert_string_equal(text, "*******");
    assert_int_equal(cache_key_text(&k, text, 6, &len), CACHE_OK);
    assert_string_equal(text, "t:abc");
    len = 0;
    assert_int_equal(cache_key_text(&k, NULL, 0, &len), CACHE_E_BUFFER);
    assert_int_equal(len, 5);
    assert_int_equal(cache_key_text(&k, NULL, 0, NULL), CACHE_E_BUFFER);
    assert_int_equal(cache_key_text(&k, NULL, 6, &len), CACHE_E_INVALID);
}

/* FAULTS 53 */
static void nonsense_sticks_to_the_key(void **state)
{
    struct cache_key k;
    struct cache_value v;
    char text[16];
    (void)state;
    assert_null(cache_key_init(NULL, b.type));
    assert_null(cache_key_str(NULL, "a"));
    assert_null(cache_key_bytes(NULL, "a", 1));
    assert_null(cache_key_i64(NULL, 1));
    assert_null(cache_key_u64(NULL, 1));
    assert_int_equal(cache_key_status(NULL), CACHE_E_INVALID);
    assert_int_equal(cache_key_text(NULL, text, sizeof text, NULL), CACHE_E_INVALID);
    assert_int_equal(cache_key_append(NULL, "a", 1), CACHE_E_INVALID);
    cache_key_fini(NULL);

    assert_int_equal(cache_key_status(cache_key_str(cache_key_init(&k, b.type), NULL)), CACHE_E_INVALID);
    assert_int_equal(cache_key_status(cache_key_str(&k, "fine")), CACHE_E_INVALID);
    assert_int_equal(cache_key_text(&k, text, sizeof text, NULL), CACHE_E_INVALID);
    assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_E_INVALID);
    assert_int_equal(cache_set(b.c, &k, "x", 1, NULL), CACHE_E_INVALID);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_E_INVALID);
    assert_int_equal(cache_key_status(cache_key_bytes(cache_key_init(&k, b.type), NULL, 1)), CACHE_E_INVALID);
    assert_int_equal(cache_key_append(cache_key_init(&k, b.type), NULL, 1), CACHE_E_INVALID);
    assert_int_equal(cache_key_status(cache_key_init(&k, NULL)), CACHE_E_INVALID);
    assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_E_INVALID);

    for (int byte = 0; byte < 256; byte += 85) { /* never initialised */
        memset(&k, byte, sizeof k);
        assert_int_equal(cache_key_status(&k), CACHE_E_INVALID);
        assert_int_equal(cache_key_status(cache_key_str(&k, "a")), CACHE_E_INVALID);
        assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_E_INVALID);
        cache_key_fini(&k);
    }
}

/* FAULTS 53: no sum of lengths overflows on the way. */
static void too_long_a_key_is_told_so(void **state)
{
    static const size_t lengths[] = { CACHE_KEY_MAX_BYTES, SIZE_MAX / 3, SIZE_MAX / 2, SIZE_MAX - 1, SIZE_MAX };
    struct cache_key k;
    struct cache_value v;
    (void)state;
    char *part = memset(tt_xmalloc(CACHE_KEY_MAX_BYTES), 'a', CACHE_KEY_MAX_BYTES);
    for (size_t i = 0; i < TC_ARRAY_LEN(lengths); i++) {
        cache_key_bytes(cache_key_init(&k, b.type), part, lengths[i]);
        assert_int_equal(cache_key_status(&k), CACHE_E_TOO_LARGE);
        assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_E_TOO_LARGE);
        cache_key_fini(&k);
    }
    cache_key_bytes(cache_key_init(&k, b.type), part, CACHE_KEY_MAX_BYTES - 2); /* "t:" and this */
    assert_int_equal(cache_key_status(&k), CACHE_OK);
    assert_int_equal(tt_cache_set(&b, &k, "at the limit"), CACHE_OK);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "at the limit");
    assert_int_equal(cache_key_append(&k, "x", 1), CACHE_E_TOO_LARGE);
    assert_answer(tt_cache_get(&b, &k), CACHE_E_TOO_LARGE, NULL);
    cache_key_fini(&k);
    free(part);
}

/* FAULTS 65 */
static void a_part_of_64_kib_of_any_bytes_fits(void **state)
{
    struct cache_key k;
    (void)state;
    unsigned char *part = memset(tt_xmalloc(65536), 0, 65536); /* each of them is escaped */
    cache_key_bytes(cache_key_init(&k, b.type), part, 65536);
    assert_int_equal(cache_key_status(&k), CACHE_OK);
    assert_int_equal(tt_cache_set(&b, &k, "long"), CACHE_OK);
    cache_key_fini(&k);
    part[65535] = 1;
    cache_key_bytes(cache_key_init(&k, b.type), part, 65536);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    cache_key_fini(&k);
    free(part);
}

static void a_key_may_be_finished_twice_and_is_none_then(void **state)
{
    char part[300];
    struct cache_key k;
    (void)state;
    memset(part, 'a', sizeof part);
    for (size_t n = 0; n <= sizeof part; n += 100) {
        cache_key_bytes(cache_key_init(&k, b.type), part, n);
        assert_int_equal(cache_key_status(&k), CACHE_OK);
        cache_key_fini(&k);
        assert_int_equal(cache_key_status(&k), CACHE_E_INVALID);
        assert_int_equal(cache_key_append(&k, "a", 1), CACHE_E_INVALID);
        cache_key_fini(&k);
    }
}

/* Where it lies in a structure that outlives its cache. AddressSanitizer looks at this one. */
static void a_long_key_may_be_finished_after_its_cache_was_closed(void **state)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    struct cache_type *type;
    struct cache *c;
    struct cache_key k;
    char text[1000];
    (void)state;
    memset(text, 'x', sizeof text);
    o.name = "long";
    assert_int_equal(cache_open(NULL, &c, NULL, 0), CACHE_OK);
    assert_int_equal(cache_type_register(c, &o, &type), CACHE_OK);
    cache_key_bytes(cache_key_init(&k, type), text, sizeof text);
    assert_int_equal(cache_key_status(&k), CACHE_OK);
    assert_int_equal(cache_close(c, 0), CACHE_OK);
    cache_key_fini(&k);
    assert_int_equal(cache_key_status(&k), CACHE_E_INVALID);
}

/* FAULTS 49 */
static void a_key_that_got_no_memory_says_so(void **state)
{
    char part[300];
    struct cache_key k;
    struct cache_value v;
    (void)state;
    memset(part, 'a', sizeof part);
    tt_alloc_fail(&b.alloc, 1, false);
    cache_key_bytes(cache_key_init(&k, b.type), part, sizeof part);
    assert_int_equal(cache_key_status(&k), CACHE_E_NOMEM);
    assert_int_equal(cache_key_status(cache_key_str(&k, "a")), CACHE_E_NOMEM);
    assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_E_NOMEM);
    cache_key_fini(&k);
}

/* ---- an encoder of one's own ---- */

struct encoder {
    int begin_says, part_says;
    bool silent;
};

static int own_begin(void *ctx, struct cache_key *k, const char *type_name)
{
    const struct encoder *e = ctx;
    if (e->silent || e->begin_says != CACHE_OK)
        return e->begin_says;
    return cache_key_append(k, type_name, strlen(type_name));
}

static int own_part(void *ctx, struct cache_key *k, uint32_t index, struct cache_slice part)
{
    const struct encoder *e = ctx;
    char separator[16];
    if (e->silent || e->part_says != CACHE_OK)
        return e->part_says;
    snprintf(separator, sizeof separator, "|%u=", index);
    int rc = cache_key_append(k, separator, strlen(separator));
    return rc != CACHE_OK ? rc : cache_key_append(k, part.data, part.len);
}

static const struct cache_key_encoder_ops own_encoder = { CACHE_HOOKS_ABI, own_begin, own_part };

static void open_with_encoder(struct tt_cache *own, struct encoder *e)
{
    tt_cache_prepare(own, true);
    own->opts.key_encoder = &own_encoder;
    own->opts.key_encoder_ctx = e;
    tt_cache_open(own);
}

static void an_encoder_of_ones_own_decides_the_bytes(void **state)
{
    struct encoder e = { CACHE_OK, CACHE_OK, false };
    struct tt_cache own;
    struct cache_key k;
    void *stored;
    size_t len;
    (void)state;
    open_with_encoder(&own, &e);
    cache_key_i64(cache_key_bytes(cache_key_init(&k, own.type), "a\0b", 3), -5);
    size_t text_len = 0;
    char text[32];
    assert_int_equal(cache_key_text(&k, text, sizeof text, &text_len), CACHE_OK);
    assert_int_equal(text_len, 12);
    assert_memory_equal(text, "t|0=a\0b|1=-5", 12);
    assert_int_equal(tt_cache_set(&own, &k, "value"), CACHE_OK);
    assert_answer(tt_cache_get(&own, &k), CACHE_OK, "value");
    assert_true(tt_backend_key_at(own.l2, 0, &stored, &len));
    assert_int_equal(len, 12);
    assert_memory_equal(stored, text, len);
    free(stored);
    assert_true(tt_cache_close(&own));
}

static void an_encoders_refusal_sticks(void **state)
{
    static const struct {
        int said, told;
    } cases[] = { { -1234, -1234 }, { CACHE_E_TOO_LARGE, CACHE_E_TOO_LARGE }, { 7, CACHE_E_INVALID } };
    struct tt_cache own;
    struct encoder e = { CACHE_OK, CACHE_OK, false };
    struct cache_key k;
    struct cache_value v;
    (void)state;
    open_with_encoder(&own, &e);
    for (size_t i = 0; i < TC_ARRAY_LEN(cases); i++) {
        e = (struct encoder){ cases[i].said, CACHE_OK, false };
        assert_int_equal(cache_key_status(cache_key_str(cache_key_init(&k, own.type), "a")), cases[i].told);
        e = (struct encoder){ CACHE_OK, cases[i].said, false };
        assert_int_equal(cache_key_status(cache_key_str(cache_key_init(&k, own.type), "a")), cases[i].told);
        e = (struct encoder){ CACHE_OK, CACHE_OK, false };
        assert_int_equal(cache_key_status(cache_key_str(&k, "a")), cases[i].told);
        assert_int_equal(cache_get(own.c, &k, NULL, &v), cases[i].told);
    }
    e = (struct encoder){ CACHE_OK, CACHE_OK, true };
    cache_key_str(cache_key_init(&k, own.type), "a"); /* no bytes at all: no key */
    assert_int_equal(cache_get(own.c, &k, NULL, &v), CACHE_E_INVALID);
    assert_true(tt_cache_close(&own));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_follow_the_type),
        cmocka_unit_test(a_number_is_its_decimal_text),
        cmocka_unit_test(different_lists_of_parts_are_different_keys),
        cmocka_unit_test(the_text_needs_room_for_its_nul),
        cmocka_unit_test(nonsense_sticks_to_the_key),
        cmocka_unit_test(too_long_a_key_is_told_so),
        cmocka_unit_test(a_part_of_64_kib_of_any_bytes_fits),
        cmocka_unit_test(a_key_may_be_finished_twice_and_is_none_then),
        cmocka_unit_test(a_long_key_may_be_finished_after_its_cache_was_closed),
        cmocka_unit_test(a_key_that_got_no_memory_says_so),
        cmocka_unit_test(an_encoder_of_ones_own_decides_the_bytes),
        cmocka_unit_test(an_encoders_refusal_sticks),
    };
    return cmocka_run_group_tests_name("keys", tests, setup, teardown);
}
