/* Any list of parts as a key: the default encoding decodes back to the same list, whatever its bytes; memory that fails
 * on the way is told and nothing leaks.
 *
 * The input is a program: its first byte says which allocation fails (0: none), then each part is one byte that says
 * what it is and how long, and its bytes. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/key.h"
#include "tt_alloc.h"
#include "tt_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(cond) ((cond) ? (void)0 : abort())

enum { PART_BYTES = 0, PART_I64 = 1, PART_U64 = 2, PART_REPEATED = 3, REPEATS = 200 };
enum { ENOUGH = 2 * CACHE_KEY_MAX_BYTES }; /* of parts: more only takes time */

struct program {
    const uint8_t *at;
    size_t left;
};

static void note_part(struct tt_buf *parts, const void *p, size_t n)
{
    tt_buf_add(parts, &n, sizeof n);
    tt_buf_add(parts, p, n);
}

static uint64_t take_number(struct program *in)
{
    uint64_t v = 0;
    for (size_t i = 0; i < sizeof v && in->left > 0; i++, in->at++, in->left--)
        v = v << 8 | *in->at;
    return v;
}

static void add_bytes(struct program *in, size_t want, struct cache_key *k, struct tt_buf *parts)
{
    size_t n = want < in->left ? want : in->left;
    cache_key_bytes(k, in->at, n);
    note_part(parts, in->at, n);
    in->at += n;
    in->left -= n;
}

/* One byte, many times: what brings keys to the heap and to their limit. */
static void add_repeated(struct program *in, size_t times, struct cache_key *k, struct tt_buf *parts)
{
    size_t n = times * REPEATS;
    unsigned char *p = tt_xmalloc(n);
    memset(p, in->left > 0 ? *in->at : 0, n);
    cache_key_bytes(k, p, n);
    note_part(parts, p, n);
    free(p);
    if (in->left > 0) {
        in->at++;
        in->left--;
    }
}

static void add_number(struct program *in, bool is_signed, struct cache_key *k, struct tt_buf *parts)
{
    char text[32];
    uint64_t v = take_number(in);
    int n;
    if (is_signed) {
        cache_key_i64(k, (int64_t)v);
        n = snprintf(text, sizeof text, "%" PRId64, (int64_t)v);
    } else {
        cache_key_u64(k, v);
        n = snprintf(text, sizeof text, "%" PRIu64, v);
    }
    note_part(parts, text, (size_t)n);
}

static void run_program(struct program *in, struct cache_key *k, struct tt_buf *parts)
{
    while (in->left > 0 && parts->len < ENOUGH) {
        uint8_t what = *in->at++;
        in->left--;
        switch (what >> 6) {
        case PART_BYTES: add_bytes(in, what & 63, k, parts); break;
        case PART_REPEATED: add_repeated(in, what & 63, k, parts); break;
        default: add_number(in, what >> 6 == PART_I64, k, parts);
        }
    }
}

static int hex(char ch)
{
    return ch >= '0' && ch <= '9' ? ch - '0' : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

/* The parts of an encoded key, noted as above. Any text that no encoder writes ends the program. */
static void decode(const char *text, size_t len, struct tt_buf *parts)
{
    size_t at = 1;
    CHECK(len >= 1 && text[0] == 't');
    while (at < len) {
        struct tt_buf part = { 0 };
        CHECK(text[at] == ':');
        for (at++; at < len && text[at] != ':'; at++) {
            char ch = text[at];
            CHECK(ch > 0x20 && ch < 0x7f && ch != '{' && ch != '}');
            if (ch == '%') {
                CHECK(len - at > 2 && hex(text[at + 1]) >= 0 && hex(text[at + 2]) >= 0);
                ch = (char)(hex(text[at + 1]) << 4 | hex(text[at + 2]));
                at += 2;
            }
            tt_buf_add(&part, &ch, 1);
        }
        note_part(parts, part.data, part.len);
        tt_buf_free(&part);
    }
}

static void check_text(const struct cache_key *k, const struct tt_buf *parts)
{
    size_t len;
    struct tt_buf decoded = { 0 };
    CHECK(cache_key_text(k, NULL, 0, &len) == CACHE_E_BUFFER);
    CHECK(len <= CACHE_KEY_MAX_BYTES);
    char *text = tt_xmalloc(len + 1);
    CHECK(cache_key_text(k, text, len, NULL) == CACHE_E_BUFFER);
    CHECK(cache_key_text(k, text, len + 1, NULL) == CACHE_OK);
    CHECK(text[len] == '\0' && memchr(text, '\0', len) == NULL);
    decode(text, len, &decoded);
    CHECK(decoded.len == parts->len);
    CHECK(decoded.len == 0 || memcmp(decoded.data, parts->data, decoded.len) == 0);
    tt_buf_free(&decoded);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tt_alloc counting;
    struct tc_key_encoder encoder = { tc_key_encoder_default, NULL };
    struct tc_policy policy;
    struct cache_type *t;
    struct cache_key k;
    struct tt_buf parts = { 0 };
    if (size == 0)
        return 0;
    tt_alloc_init(&counting);
    struct tc_alloc alloc = tt_alloc_table(&counting);
    memset(&policy, 0, sizeof policy);
    CHECK(tc_type_open(NULL, &alloc, &encoder, "t", 0, &policy, &t) == CACHE_OK);
    tt_alloc_fail(&counting, data[0], data[0] % 2);
    struct program in = { data + 1, size - 1 };
    cache_key_init(&k, t);
    run_program(&in, &k, &parts);
    int status = cache_key_status(&k);
    CHECK(status == CACHE_OK || status == CACHE_E_NOMEM || status == CACHE_E_TOO_LARGE);
    CHECK(status != CACHE_E_NOMEM || tt_alloc_counts(&counting).failed > 0);
    CHECK(status != CACHE_E_TOO_LARGE || parts.len > CACHE_KEY_MAX_BYTES / 4);
    if (status == CACHE_OK)
        check_text(&k, &parts);
    cache_key_fini(&k);
    cache_key_fini(&k);
    tc_type_close(t);
    CHECK(tt_alloc_is_clean(&counting));
    tt_alloc_fini(&counting);
    tt_buf_free(&parts);
    return 0;
}
