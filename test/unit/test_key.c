/* Keys: two different lists of parts never meet, nothing that goes wrong is forgotten, and memory is given back. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/key.h"
#include "tt_alloc.h"
#include "tt_util.h"
#include "unit/tt_key.h"

enum { INLINE_PROMISED = 200, BIG_PART = 65536 };

/* The text of the fixture's key, which it gives up. */
static const char *finish(struct tt_key *f)
{
    size_t len;
    assert_int_equal(cache_key_text(&f->key, f->text, sizeof f->text, &len), CACHE_OK);
    assert_int_equal(strlen(f->text), len); /* the default encoding holds no NUL */
    cache_key_fini(&f->key);
    return f->text;
}

static void assert_status(struct tt_key *f, int status)
{
    char buf[16];
    assert_int_equal(cache_key_status(&f->key), status);
    assert_int_equal(cache_key_text(&f->key, buf, sizeof buf, NULL), status);
    cache_key_fini(&f->key);
}

/* ---- what the default encoding looks like ---- */

static void a_key_reads_as_type_and_parts(void **state)
{
    struct tt_key *f = *state;
    cache_key_u64(cache_key_str(cache_key_str(tt_key_begin(f), "user"), "Anna-Lena.x_y"), 42);
    assert_string_equal(finish(f), "t:user:Anna-Lena.x_y:42");
    tt_key_begin(f);
    assert_string_equal(finish(f), "t");
}

static void what_could_be_mistaken_is_escaped(void **state)
{
    struct tt_key *f = *state;
    cache_key_str(cache_key_str(tt_key_begin(f), "a:b%{c}"), " \t\n\x7f\xff~!");
    assert_string_equal(finish(f), "t:a%3Ab%25%7Bc%7D:%20%09%0A%7F%FF~!");
    cache_key_bytes(tt_key_begin(f), "\0", 1);
    assert_string_equal(finish(f), "t:%00");
}

static void every_byte_is_either_plain_or_escaped(void **state)
{
    struct tt_key *f = *state;
    for (int ch = 0; ch < 256; ch++) {
        unsigned char byte = (unsigned char)ch;
        char expected[16];
        bool plain = ch > 0x20 && ch < 0x7f && strchr("%:{}", ch) == NULL;
        snprintf(expected, sizeof expected, plain ? "t:%c" : "t:%%%02X", ch);
        cache_key_bytes(tt_key_begin(f), &byte, 1);
        assert_string_equal(finish(f), expected);
    }
}

/* A part of any length, put behind what ends anywhere in a word, with one byte at any place that is special or none. */
static void wherever_a_byte_stands_it_is_plain_or_escaped(void **state)
{
    static const char bytes[] = "a%:{}|~ !\x1f\x7f\x80\xff";
    struct tt_key *f = *state;
    for (size_t before = 0; before < 9; before++)
        for (size_t n = 1; n < 26; n++)
            for (size_t at = 0; at < n; at++)
                for (size_t b = 0; b < sizeof bytes - 1; b++) {
                    char first[16] = "", part[32] = "", expected[64];
                    unsigned char byte = (unsigned char)bytes[b];
                    bool plain = byte > 0x20 && byte < 0x7f && strchr("%:{}", byte) == NULL;
                    memset(first, 'f', before);
                    memset(part, 'p', n);
                    part[at] = (char)byte;
                    snprintf(expected, sizeof expected, plain ? "t:%s:%.*s%c%s:7" : "t:%s:%.*s%%%02X%s:7", first,
                             (int)at, part, byte, part + at + 1);
                    cache_key_u64(cache_key_bytes(cache_key_str(tt_key_begin(f), first), part, n), 7);
                    assert_string_equal(finish(f), expected);
                }
}

static void assert_number(struct tt_key *f, uint64_t v)
{
    char expected[64];
    snprintf(expected, sizeof expected, "t:%" PRIu64 ":%" PRIu64, v, v / 3);
    cache_key_u64(cache_key_u64(tt_key_begin(f), v), v / 3);
    assert_string_equal(finish(f), expected);
}

/* All pairs of digits in every place, and what is about as long as a word. */
static void numbers_of_every_length_are_their_decimal_text(void **state)
{
    struct tt_key *f = *state;
    uint64_t seed = tt_seed();
    for (uint64_t v = 0; v < 10000; v++) {
        assert_number(f, v);
        assert_number(f, v * 10000 + tt_random(&seed) % 10000);
        assert_number(f, tt_random(&seed) % 10000 * 10000 + v);
        assert_number(f, tt_random(&seed) >> tt_random(&seed) % 64);
        assert_number(f, UINT64_C(99995000) + v);
    }
}

static void a_type_has_a_name_of_any_length(void **state)
{
    struct tt_key *f = *state;
    struct cache_type *before = f->type;
    for (size_t n = 1; n <= 64; n++) {
        char name[65] = "", expected[80];
        memset(name, 'n', n);
        name[n - 1] = 'e';
        f->type = tt_key_type(f, name);
        assert_non_null(f->type);
        snprintf(expected, sizeof expected, "%s:ab:12", name);
        memset(&f->key, 0xA5, sizeof f->key);
        tt_key_begin(f);
        for (size_t i = 0; i < TC_KEY_ZEROS; i++) /* with no part they stand behind it too */
            assert_int_equal(tc_key_data((const struct tc_key *)&f->key)[n + i], 0);
        cache_key_u64(cache_key_str(tt_key_begin(f), "ab"), 12);
        assert_string_equal(finish(f), expected);
        tc_type_close(f->type);
    }
    f->type = before;
}

static void numbers_are_their_decimal_text(void **state)
{
    struct tt_key *f = *state;
    const int64_t numbers[] = { 0, 1, -1, 9, 10, -10, 99, 100, INT32_MIN, INT64_MAX, INT64_MIN, INT64_MIN + 1 };
    for (size_t i = 0; i < TC_ARRAY_LEN(numbers); i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "t:%" PRId64, numbers[i]);
        cache_key_i64(tt_key_begin(f), numbers[i]);
        assert_string_equal(finish(f), expected);
        snprintf(expected, sizeof expected, "t:%" PRIu64, (uint64_t)numbers[i]);
        cache_key_u64(tt_key_begin(f), (uint64_t)numbers[i]);
        assert_string_equal(finish(f), expected);
    }
    cache_key_str(tt_key_begin(f), "-9223372036854775808"); /* the same part, the same key */
    assert_string_equal(finish(f), "t:-9223372036854775808");
}

static void empty_parts_count(void **state)
{
    struct tt_key *f = *state;
    cache_key_str(tt_key_begin(f), "");
    assert_string_equal(finish(f), "t:");
    cache_key_bytes(cache_key_bytes(tt_key_begin(f), NULL, 0), "", 0);
    assert_string_equal(finish(f), "t::");
    cache_key_str(cache_key_str(tt_key_begin(f), ""), "a");
    assert_string_equal(finish(f), "t::a");
}

static void keys_of_different_types_differ(void **state)
{
    struct tt_key *f = *state;
    struct cache_type *other = tt_key_type(f, "t.a");
    cache_key_str(tt_key_begin(f), "a");
    assert_string_equal(finish(f), "t:a");
    cache_key_init(&f->key, other);
    assert_string_equal(finish(f), "t.a");
    tc_type_close(other);
}

/* ---- decoding ---- */

static int hex(char ch)
{
    return ch >= '0' && ch <= '9' ? ch - '0' : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

/* Puts the parts of a default key into out, each as length and bytes. False: it is no such key. */
static bool decode(const char *text, const char *type, struct tt_buf *out)
{
    size_t n = strlen(type);
    if (strncmp(text, type, n) != 0)
        return false;
    const char *at = text + n;
    while (*at == ':') {
        struct tt_buf part = { 0 };
        for (at++; *at != '\0' && *at != ':'; at++) {
            char ch = *at;
            if (ch == '%') {
                int high = hex(at[1]), low = high >= 0 ? hex(at[2]) : -1;
                if (low < 0)
                    return false;
                ch = (char)(high << 4 | low);
                at += 2;
            }
            tt_buf_add(&part, &ch, 1);
        }
        tt_buf_add(out, &part.len, sizeof part.len);
        tt_buf_add(out, part.data, part.len);
        tt_buf_free(&part);
    }
    return *at == '\0';
}

/* Adds up to 6 random parts to the fixture's key, and to parts as decode() would. Many bytes are of the dangerous
 * kind, many parts empty. */
static void add_random_parts(struct tt_key *f, uint64_t *seed, struct tt_buf *parts)
{
    for (size_t n = tt_random(seed) % 7; n > 0; n--) {
        unsigned char bytes[300];
        uint64_t r = tt_random(seed);
        size_t len = r % 4 == 0 ? 0 : r % 4 == 1 ? r / 4 % sizeof bytes : r / 4 % 5;
        for (size_t i = 0; i < len; i++)
            bytes[i] = tt_random(seed) % 2 ? (unsigned char)":%{}0aA\0"[tt_random(seed) % 8]
                                           : (unsigned char)tt_random(seed);
        cache_key_bytes(&f->key, bytes, len);
        tt_buf_add(parts, &len, sizeof len);
        tt_buf_add(parts, bytes, len);
    }
}

static void any_list_of_parts_is_read_back_from_its_key(void **state)
{
    struct tt_key *f = *state;
    uint64_t seed = tt_seed();
    for (int i = 0; i < 20000; i++) {
        struct tt_buf parts = { 0 }, decoded = { 0 };
        tt_key_begin(f);
        add_random_parts(f, &seed, &parts);
        assert_true(decode(finish(f), "t", &decoded));
        assert_int_equal(decoded.len, parts.len);
        assert_true(parts.len == 0 || memcmp(decoded.data, parts.data, parts.len) == 0);
        tt_buf_free(&parts);
        tt_buf_free(&decoded);
    }
}

struct pair {
    char *text;
    struct tt_buf parts;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct pair *)a)->text, ((const struct pair *)b)->text);
}

static void two_different_lists_never_give_the_same_key(void **state)
{
    struct tt_key *f = *state;
    enum { LISTS = 20000 };
    uint64_t seed = tt_seed();
    struct pair *pairs = tt_xcalloc(LISTS * sizeof *pairs);
    for (size_t i = 0; i < LISTS; i++) {
        tt_key_begin(f);
        add_random_parts(f, &seed, &pairs[i].parts);
        const char *text = finish(f);
        pairs[i].text = tt_xmemdup(text, strlen(text) + 1);
    }
    qsort(pairs, LISTS, sizeof *pairs, by_text);
    for (size_t i = 1; i < LISTS; i++) {
        const struct tt_buf *a = &pairs[i - 1].parts, *b = &pairs[i].parts;
        if (strcmp(pairs[i - 1].text, pairs[i].text) == 0)
            assert_true(a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0));
    }
    for (size_t i = 0; i < LISTS; i++) {
        free(pairs[i].text);
        tt_buf_free(&pairs[i].parts);
    }
    free(pairs);
}

static void how_parts_are_cut_makes_different_keys(void **state)
{
    struct tt_key *f = *state;
    static const char *const lists[][4] = {
        { "ab", "c" }, { "a", "bc" }, { "abc" }, { "abc", "" }, { "", "abc" }, { "a:b", "c" }, { "a", "b:c" },
        { "a", "b", "c" }, { "a%3Ab", "c" }, { "a%3ab", "c" },
    };
    char texts[TC_ARRAY_LEN(lists)][64];
    for (size_t i = 0; i < TC_ARRAY_LEN(lists); i++) {
        tt_key_begin(f);
        for (size_t p = 0; lists[i][p] != NULL; p++)
            cache_key_str(&f->key, lists[i][p]);
        strcpy(texts[i], finish(f));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(texts[i], texts[k]);
    }
}

/* ---- length ---- */

static void every_length_across_inline_and_heap_is_kept_whole(void **state)
{
    struct tt_key *f = *state;
    char part[1200];
    for (size_t i = 0; i < sizeof part; i++)
        part[i] = (char)('a' + i % 26);
    size_t live = tt_alloc_counts(&f->counting).live_blocks;
    for (size_t len = 0; len < sizeof part; len++) {
        cache_key_bytes(tt_key_begin(f), part, len);
        bool heap = tt_alloc_counts(&f->counting).live_blocks > live;
        assert_true(!heap || len + 2 > INLINE_PROMISED);
        finish(f);
        assert_int_equal(tt_alloc_counts(&f->counting).live_blocks, live);
        assert_int_equal(strlen(f->text), len + 2);
        assert_memory_equal(f->text + 2, part, len);
        tt_key_begin(f); /* and grown byte by byte */
        for (size_t i = 0; i < len / 2; i++)
            cache_key_bytes(&f->key, part + i, 1);
        finish(f);
        for (size_t i = 0; i < len / 2; i++)
            assert_int_equal(f->text[2 * i + 2], part[i]);
        len += len > 500 ? 17 : 0;
    }
}

static void a_part_of_64_kib_fits_whatever_its_bytes(void **state)
{
    struct tt_key *f = *state;
    uint64_t seed = tt_seed();
    unsigned char *part = tt_xmalloc(BIG_PART);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < BIG_PART; i++)
            part[i] = round == 0 ? 0xFF : round == 1 ? 'x' : (unsigned char)tt_random(&seed);
        struct tt_buf decoded = { 0 };
        cache_key_bytes(tt_key_begin(f), part, BIG_PART);
        assert_int_equal(cache_key_status(&f->key), CACHE_OK);
        assert_true(decode(finish(f), "t", &decoded));
        assert_int_equal(decoded.len, sizeof(size_t) + BIG_PART);
        assert_memory_equal(decoded.data + sizeof(size_t), part, BIG_PART);
        tt_buf_free(&decoded);
    }
    free(part);
}

static void the_limit_is_256_kib_to_the_byte(void **state)
{
    struct tt_key *f = *state;
    char *part = tt_xcalloc(CACHE_KEY_MAX_BYTES + 10);
    memset(part, 'x', CACHE_KEY_MAX_BYTES + 10);
    cache_key_bytes(tt_key_begin(f), part, CACHE_KEY_MAX_BYTES - 2);
    assert_int_equal(strlen(finish(f)), CACHE_KEY_MAX_BYTES);
    cache_key_bytes(tt_key_begin(f), part, CACHE_KEY_MAX_BYTES - 1);
    assert_status(f, CACHE_E_TOO_LARGE);
    memset(part, 0xFF, CACHE_KEY_MAX_BYTES);
    cache_key_bytes(tt_key_begin(f), part, (CACHE_KEY_MAX_BYTES - 2) / 3);
    assert_int_equal(cache_key_status(&f->key), CACHE_OK);
    cache_key_fini(&f->key);
    cache_key_bytes(tt_key_begin(f), part, (CACHE_KEY_MAX_BYTES - 2) / 3 + 1);
    assert_status(f, CACHE_E_TOO_LARGE);
    memset(part, 'x', CACHE_KEY_MAX_BYTES);
    cache_key_bytes(tt_key_begin(f), part, CACHE_KEY_MAX_BYTES - 4); /* then one more part of no bytes, and of one */
    cache_key_str(&f->key, "");
    assert_int_equal(cache_key_status(&f->key), CACHE_OK);
    cache_key_str(&f->key, "");
    assert_int_equal(cache_key_status(&f->key), CACHE_OK);
    cache_key_str(&f->key, "");
    assert_status(f, CACHE_E_TOO_LARGE);
    free(part);
}

static void a_length_that_overflows_everything_is_too_large(void **state)
{
    struct tt_key *f = *state;
    const size_t lengths[] = { SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 3, UINT32_MAX, (size_t)UINT32_MAX + 1,
                               CACHE_KEY_MAX_BYTES + 1 };
    for (size_t i = 0; i < TC_ARRAY_LEN(lengths); i++) {
        cache_key_bytes(tt_key_begin(f), "x", lengths[i]); /* not one byte of it is read */
        assert_status(f, CACHE_E_TOO_LARGE);
        tt_key_begin(f);
        assert_int_equal(cache_key_append(&f->key, "x", lengths[i]), CACHE_E_TOO_LARGE);
        assert_status(f, CACHE_E_TOO_LARGE);
    }
}

/* ---- text ---- */

static void a_small_buffer_gets_the_length_and_nothing_else(void **state)
{
    struct tt_key *f = *state;
    cache_key_str(tt_key_begin(f), "abc");
    for (size_t cap = 0; cap < 10; cap++) {
        char buf[10];
        size_t len = 0;
        memset(buf, '#', sizeof buf);
        int rc = cache_key_text(&f->key, cap > 0 ? buf : NULL, cap, &len);
        assert_int_equal(rc, cap > 5 ? CACHE_OK : CACHE_E_BUFFER);
        assert_int_equal(len, 5);
        for (size_t i = rc == CACHE_OK ? 6 : 0; i < sizeof buf; i++)
            assert_int_equal(buf[i], '#');
    }
    assert_int_equal(cache_key_text(&f->key, NULL, 10, NULL), CACHE_E_INVALID);
    cache_key_fini(&f->key);
}

/* ---- errors ---- */

static void an_error_sticks_to_the_key(void **state)
{
    struct tt_key *f = *state;
    cache_key_str(cache_key_str(tt_key_begin(f), NULL), "b");
    assert_status(f, CACHE_E_INVALID);
    cache_key_bytes(tt_key_begin(f), NULL, 1);
    cache_key_i64(&f->key, 1);
    assert_status(f, CACHE_E_INVALID);
    cache_key_bytes(tt_key_begin(f), "x", SIZE_MAX);
    cache_key_str(&f->key, NULL); /* the first error stays */
    assert_status(f, CACHE_E_TOO_LARGE);
}

static void a_key_without_a_type_is_invalid(void **state)
{
    struct tt_key *f = *state;
    assert_ptr_equal(cache_key_init(&f->key, NULL), &f->key);
    assert_ptr_equal(cache_key_u64(&f->key, 1), &f->key);
    assert_status(f, CACHE_E_INVALID);
}

static void no_key_at_all_is_survived(void **state)
{
    struct tt_key *f = *state;
    assert_null(cache_key_init(NULL, f->type));
    assert_null(cache_key_str(NULL, "a"));
    assert_null(cache_key_bytes(NULL, "a", 1));
    assert_null(cache_key_i64(NULL, 1));
    assert_null(cache_key_u64(NULL, 1));
    assert_int_equal(cache_key_status(NULL), CACHE_E_INVALID);
    assert_int_equal(cache_key_text(NULL, NULL, 0, NULL), CACHE_E_INVALID);
    assert_int_equal(cache_key_append(NULL, "a", 1), CACHE_E_INVALID);
    cache_key_fini(NULL);
}

static void memory_that_was_never_a_key_is_refused(void **state)
{
    struct tt_key *f = *state;
    memset(&f->key, 0, sizeof f->key);
    cache_key_str(&f->key, "a");
    assert_status(f, CACHE_E_INVALID);
    memset(&f->key, 0xA5, sizeof f->key);
    cache_key_str(&f->key, "a");
    assert_status(f, CACHE_E_INVALID);
}

static void a_finished_key_may_be_finished_again_and_is_no_key(void **state)
{
    struct tt_key *f = *state;
    char part[1000];
    memset(part, 'x', sizeof part);
    cache_key_bytes(tt_key_begin(f), part, sizeof part);
    cache_key_fini(&f->key);
    cache_key_fini(&f->key);
    cache_key_str(&f->key, "a");
    assert_status(f, CACHE_E_INVALID);
    cache_key_str(tt_key_begin(f), "again");
    assert_string_equal(finish(f), "t:again");
}

static void a_key_that_finds_no_memory_says_so_for_ever(void **state)
{
    struct tt_key *f = *state;
    char part[1000];
    memset(part, 'x', sizeof part);
    for (uint64_t nth = 1; nth <= 3; nth++) {
        tt_key_begin(f);
        tt_alloc_fail(&f->counting, nth, false);
        uint64_t failed = tt_alloc_counts(&f->counting).failed;
        for (int i = 0; i < 10 && tt_alloc_counts(&f->counting).failed == failed; i++)
            cache_key_bytes(&f->key, part, sizeof part);
        assert_int_equal(tt_alloc_counts(&f->counting).failed, failed + 1);
        cache_key_str(&f->key, "b"); /* memory is there again, the part that was lost is not */
        assert_status(f, CACHE_E_NOMEM);
        tt_alloc_fail(&f->counting, 0, false);
    }
}

static void short_keys_need_no_memory(void **state)
{
    struct tt_key *f = *state;
    char part[INLINE_PROMISED];
    memset(part, 'x', sizeof part);
    tt_alloc_fail(&f->counting, 1, true);
    cache_key_bytes(tt_key_begin(f), part, INLINE_PROMISED - 2);
    assert_int_equal(strlen(finish(f)), INLINE_PROMISED);
}

/* ---- other encoders ---- */

struct scheme {
    int begin_result, part_result; /* if not CACHE_OK, before anything is written */
    unsigned parts;
    bool ignore_refusals;
};

/* block:%s for the first part, /%s for the others; the type's name plays no part. */
static int scheme_begin(void *ctx, struct cache_key *k, const char *type_name)
{
    struct scheme *s = ctx;
    assert_string_equal(type_name, "t");
    return s->begin_result != CACHE_OK ? s->begin_result : cache_key_append(k, "block", 5);
}

static int scheme_part(void *ctx, struct cache_key *k, uint32_t index, struct cache_slice part)
{
    struct scheme *s = ctx;
    assert_int_equal(index, s->parts);
    s->parts++;
    if (s->part_result != CACHE_OK)
        return s->part_result;
    int rc = cache_key_append(k, index == 0 ? ":" : "/", 1);
    if (rc == CACHE_OK)
        rc = cache_key_append(k, part.data, part.len);
    return s->ignore_refusals ? CACHE_OK : rc;
}

static void use_scheme(struct tt_key *f, struct scheme *s)
{
    f->encoder.ops = (struct cache_key_encoder_ops){ CACHE_HOOKS_ABI, scheme_begin, scheme_part };
    f->encoder.ctx = s;
}

static void an_application_may_bring_its_own_scheme(void **state)
{
    struct tt_key *f = *state;
    struct scheme s = { 0 };
    use_scheme(f, &s);
    cache_key_i64(cache_key_str(cache_key_str(tt_key_begin(f), "00ab"), ""), -5);
    assert_string_equal(finish(f), "block:00ab//-5");
}

static void an_encoders_bytes_are_taken_as_they_are(void **state)
{
    struct tt_key *f = *state;
    struct scheme s = { 0 };
    char buf[16];
    size_t len;
    use_scheme(f, &s);
    cache_key_bytes(tt_key_begin(f), "\0\xff:", 3);
    assert_int_equal(cache_key_text(&f->key, buf, sizeof buf, &len), CACHE_OK);
    assert_int_equal(len, 9);
    assert_memory_equal(buf, "block:\0\xff:", 10);
    cache_key_fini(&f->key);
}

static void what_an_encoder_returns_sticks_and_it_is_not_called_again(void **state)
{
    struct tt_key *f = *state;
    struct scheme s = { .part_result = -1234 };
    use_scheme(f, &s);
    cache_key_str(cache_key_str(tt_key_begin(f), "a"), "b");
    assert_int_equal(s.parts, 1);
    assert_status(f, -1234);
    s = (struct scheme){ .begin_result = CACHE_E_NOT_FOUND };
    cache_key_str(tt_key_begin(f), "a");
    assert_int_equal(s.parts, 0);
    assert_status(f, CACHE_E_NOT_FOUND);
}

static void an_encoder_that_returns_nonsense_makes_an_invalid_key(void **state)
{
    struct tt_key *f = *state;
    struct scheme s = { .part_result = 1 };
    use_scheme(f, &s);
    cache_key_str(tt_key_begin(f), "a");
    assert_status(f, CACHE_E_INVALID);
    s = (struct scheme){ .begin_result = INT32_MAX };
    tt_key_begin(f);
    assert_status(f, CACHE_E_INVALID);
}

static void an_encoder_cannot_hide_that_its_bytes_were_refused(void **state)
{
    struct tt_key *f = *state;
    struct scheme s = { .ignore_refusals = true };
    char part[1000];
    memset(part, 'x', sizeof part);
    use_scheme(f, &s);
    cache_key_bytes(tt_key_begin(f), "x", SIZE_MAX);
    assert_status(f, CACHE_E_TOO_LARGE);
    s.parts = 0;
    tt_key_begin(f);
    tt_alloc_fail(&f->counting, 1, false);
    cache_key_bytes(&f->key, part, sizeof part);
    tt_alloc_fail(&f->counting, 0, false);
    cache_key_str(&f->key, "b");
    assert_status(f, CACHE_E_NOMEM);
}

static void appending_nothing_is_allowed_and_appending_from_nowhere_is_not(void **state)
{
    struct tt_key *f = *state;
    tt_key_begin(f);
    assert_int_equal(cache_key_append(&f->key, NULL, 0), CACHE_OK);
    assert_int_equal(cache_key_append(&f->key, NULL, 1), CACHE_E_INVALID);
    assert_int_equal(cache_key_append(&f->key, "!", 1), CACHE_OK);
    assert_string_equal(finish(f), "t!");
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, tt_key_open, tt_key_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(a_key_reads_as_type_and_parts),
        WITH(what_could_be_mistaken_is_escaped),
        WITH(every_byte_is_either_plain_or_escaped),
        WITH(wherever_a_byte_stands_it_is_plain_or_escaped),
        WITH(numbers_of_every_length_are_their_decimal_text),
        WITH(a_type_has_a_name_of_any_length),
        WITH(numbers_are_their_decimal_text),
        WITH(empty_parts_count),
        WITH(keys_of_different_types_differ),
        WITH(any_list_of_parts_is_read_back_from_its_key),
        WITH(two_different_lists_never_give_the_same_key),
        WITH(how_parts_are_cut_makes_different_keys),
        WITH(every_length_across_inline_and_heap_is_kept_whole),
        WITH(a_part_of_64_kib_fits_whatever_its_bytes),
        WITH(the_limit_is_256_kib_to_the_byte),
        WITH(a_length_that_overflows_everything_is_too_large),
        WITH(a_small_buffer_gets_the_length_and_nothing_else),
        WITH(an_error_sticks_to_the_key),
        WITH(a_key_without_a_type_is_invalid),
        WITH(no_key_at_all_is_survived),
        WITH(memory_that_was_never_a_key_is_refused),
        WITH(a_finished_key_may_be_finished_again_and_is_no_key),
        WITH(a_key_that_finds_no_memory_says_so_for_ever),
        WITH(short_keys_need_no_memory),
        WITH(an_application_may_bring_its_own_scheme),
        WITH(an_encoders_bytes_are_taken_as_they_are),
        WITH(what_an_encoder_returns_sticks_and_it_is_not_called_again),
        WITH(an_encoder_that_returns_nonsense_makes_an_invalid_key),
        WITH(an_encoder_cannot_hide_that_its_bytes_were_refused),
        WITH(appending_nothing_is_allowed_and_appending_from_nowhere_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
