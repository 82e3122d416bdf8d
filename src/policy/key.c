/* Key building and the default encoder.
 *
 * Default encoding: type name, then for each part ':' and its bytes, where everything but printable ASCII, and
 * space, '%', ':', '{' and '}', is written %XX. A type name has none of those, so the text splits back into type and
 * parts in one way only: two different lists never meet. Braces are escaped because L2 puts the key in a hash tag. */
#include "policy/key.h"

#include <string.h>

#include "base/words.h"

_Static_assert(sizeof(struct tc_key) == sizeof(struct cache_key), "the public struct is this one's shell");
_Static_assert(_Alignof(struct tc_key) <= _Alignof(struct cache_key), "and aligned for it");

static void free_heap(struct tc_key *k)
{
    if (k->heap != NULL)
        tc_free(&k->alloc, k->heap, k->cap);
    k->heap = NULL;
}

static int grow(struct tc_key *k, size_t need)
{
    size_t cap = k->cap > 0 ? k->cap : 2 * sizeof k->inline_bytes;
    while (cap < need)
        cap *= 2;
    unsigned char *heap = tc_alloc(k->type->alloc, cap);
    if (heap == NULL)
        return CACHE_E_NOMEM;
    memcpy(heap, tc_key_data(k), k->len + TC_KEY_ZEROS);
    free_heap(k);
    k->alloc = *k->type->alloc;
    k->heap = heap;
    k->cap = (uint32_t)cap;
    return CACHE_OK;
}

/* Makes room for n more bytes. Where they go, or NULL with the status set. */
static unsigned char *reserve(struct tc_key *k, size_t n)
{
    size_t cap = (k->heap != NULL ? k->cap : sizeof k->inline_bytes) - TC_KEY_ZEROS;
    if (n > CACHE_KEY_MAX_BYTES - k->len) {
        k->status = CACHE_E_TOO_LARGE;
        return NULL;
    }
    if (n > cap - k->len) {
        int rc = grow(k, k->len + n + TC_KEY_ZEROS);
        if (rc != CACHE_OK) {
            k->status = rc;
            return NULL;
        }
    }
    return (k->heap != NULL ? k->heap : k->inline_bytes) + k->len;
}

int tc_key_append(struct tc_key *k, const void *p, size_t n)
{
    if (k->status != CACHE_OK || n == 0)
        return k->status;
    unsigned char *to = reserve(k, n);
    if (to == NULL)
        return k->status;
    memcpy(to, p, n);
    memset(to + n, 0, TC_KEY_ZEROS);
    k->len += (uint32_t)n;
    return CACHE_OK;
}

#define ALL 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1
#define NONE 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
static const unsigned char is_escaped[256] = {
    ALL, ALL,
    1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* space and % */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, /* : */
    NONE, NONE, NONE,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, /* { } and delete */
    ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL
};

static int encode_begin(void *ctx, struct cache_key *key, const char *type_name)
{
    (void)ctx;
    return tc_key_append((struct tc_key *)key, type_name, strlen(type_name));
}

static int encode_part(void *ctx, struct cache_key *key, uint32_t index, struct cache_slice part)
{
    (void)ctx;
    (void)index;
    struct tc_key *k = (struct tc_key *)key;
    const unsigned char *from = part.data;
    if (part.len > CACHE_KEY_MAX_BYTES) {
        k->status = CACHE_E_TOO_LARGE;
        return k->status;
    }
    size_t escapes = 0;
    for (size_t i = 0; i < part.len; i++)
        escapes += is_escaped[from[i]];
    size_t need = 1 + part.len + 2 * escapes;
    unsigned char *to = reserve(k, need);
    if (to == NULL)
        return k->status;
    k->len += (uint32_t)need;
    *to++ = ':';
    for (size_t i = 0; i < part.len; i++) {
        if (!is_escaped[from[i]]) {
            *to++ = from[i];
        } else {
            *to++ = '%';
            *to++ = (unsigned char)"0123456789ABCDEF"[from[i] >> 4];
            *to++ = (unsigned char)"0123456789ABCDEF"[from[i] & 15];
        }
    }
    memset(to, 0, TC_KEY_ZEROS);
    return CACHE_OK;
}

const struct cache_key_encoder_ops tc_key_encoder_default = { CACHE_HOOKS_ABI, encode_begin, encode_part };

/* ---- the same for what most keys are: short, of the default encoding, and nothing to be escaped ---- */

static bool is_default(const struct cache_type *t)
{
    return t->encoder->ops.begin == encode_begin && t->encoder->ops.part == encode_part;
}

/* Whether a part of n bytes, with its ':', can be put behind what is there in whole words. */
#define WRITTEN (3 * TC_WORD_BYTES) /* at once, from the last word on */
static bool has_room(const struct tc_key *k, size_t n)
{
    size_t most = sizeof k->inline_bytes - WRITTEN - 1;
    return k->heap == NULL && n <= most && k->len <= most - n && is_default(k->type);
}

/* Bytes of a word as they lie in memory: moved behind so many bits of others, or before them; and the first one. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BEHIND(word, bits) ((word) << (bits))
#define BEFORE(word, bits) ((word) >> (bits))
#define FIRST(byte) ((tc_word)(byte))
#else
#define BEHIND(word, bits) ((word) >> (bits))
#define BEFORE(word, bits) ((word) << (bits))
#define FIRST(byte) ((tc_word)(byte) << 56)
#endif

/* Puts n bytes, 1 to 8, behind what is there, which zeros end: word has them, and zeros. In whole words at their
 * places, as the hash and look-ups will read them: who reads at once what was written in other pieces waits until these
 * have left the processor's buffer of stores, and all that was begun before is done. */
static inline void put(struct tc_key *k, tc_word word, size_t n)
{
    unsigned char *at = k->inline_bytes + (k->len & ~(TC_WORD_BYTES - 1));
    unsigned bits = k->len % TC_WORD_BYTES * 8;
    tc_word last, next = BEFORE(BEFORE(word, 1), 63 - bits), zero = 0;
    memcpy(&last, at, TC_WORD_BYTES);
    last |= BEHIND(word, bits);
    memcpy(at, &last, TC_WORD_BYTES);
    memcpy(at + TC_WORD_BYTES, &next, TC_WORD_BYTES);
    memcpy(at + 2 * TC_WORD_BYTES, &zero, TC_WORD_BYTES);
    k->len += (uint32_t)n;
}

/* A part, or what it begins with. */
static inline void begin_part(struct tc_key *k, tc_word word, size_t n)
{
    k->parts++;
    if (n < TC_WORD_BYTES) {
        put(k, BEHIND(word, 8) | FIRST(':'), n + 1);
        return;
    }
    put(k, FIRST(':'), 1);
    put(k, word, n);
}

#define BYTES(byte) (UINT64_C(0x0101010101010101) * (byte))

static inline bool has(tc_word word, unsigned char byte)
{
    tc_word differs = word ^ BYTES(byte);
    return ((differs - BYTES(1)) & ~differs & BYTES(0x80)) != 0;
}

/* True: one of eight bytes may have to be escaped; also of '|' and '~', which need not be. */
static inline bool may_be_escaped(tc_word word)
{
    return (((word - BYTES(0x21)) | word | (word + BYTES(0x80 - '{'))) & BYTES(0x80)) != 0 || has(word, '%') ||
           has(word, ':');
}

/* Up to seven of them, with letters behind. */
static inline tc_word filled(tc_word word, size_t n)
{
    return word | BEHIND(BYTES('a'), 8 * n);
}

static bool are_simple(const unsigned char *words, size_t n)
{
    tc_word word;
    for (size_t at = 0; at < n; at += TC_WORD_BYTES) {
        memcpy(&word, words + at, TC_WORD_BYTES);
        if (may_be_escaped(word))
            return false;
    }
    return true;
}

/* What does not fill a word comes first. False: nothing has changed. */
static bool append_simple_part(struct tc_key *k, const unsigned char *from, size_t n)
{
    if (!has_room(k, n)) /* nor may so many bytes be there */
        return false;
    size_t begins = n % TC_WORD_BYTES;
    tc_word word = begins > 0 ? tc_word_of(from, begins) : 0;
    if (may_be_escaped(filled(word, begins)) ||
        (n > begins && !are_simple(from + begins, n - begins))) /* of no bytes there may be no address */
        return false;
    begin_part(k, word, begins);
    for (size_t at = begins; at < n; at += TC_WORD_BYTES) {
        memcpy(&word, from + at, TC_WORD_BYTES);
        put(k, word, TC_WORD_BYTES);
    }
    return true;
}

/* An encoder's own failure sticks like ours; one that says OK after we refused its bytes does not hide that. */
static void take_result(struct tc_key *k, int rc)
{
    if (k->status == CACHE_OK && rc != CACHE_OK)
        k->status = rc < 0 ? rc : CACHE_E_INVALID;
}

#define SHORT_NAME 16
_Static_assert(sizeof ((struct cache_type *)0)->name >= TC_NAME_MOST + TC_KEY_ZEROS, "zeros end any name");

void tc_key_init(struct tc_key *k, const struct cache_type *t)
{
    k->magic = TC_KEY_MAGIC;
    k->type = t;
    k->heap = NULL;
    k->len = k->cap = k->parts = 0;
    k->status = CACHE_OK;
    if (!tc_type_is_valid(t)) {
        k->status = CACHE_E_INVALID;
        return;
    }
    if (is_default(t)) { /* a name is always short enough; most are much shorter */
        memcpy(k->inline_bytes, t->name, SHORT_NAME + TC_KEY_ZEROS);
        if (t->name_len > SHORT_NAME)
            memcpy(k->inline_bytes, t->name, sizeof t->name);
        k->len = (uint32_t)t->name_len;
        return;
    }
    take_result(k, t->encoder->ops.begin(t->encoder->ctx, (struct cache_key *)k, t->name));
}

void tc_key_part(struct tc_key *k, const void *p, size_t n)
{
    if (k->status != CACHE_OK || append_simple_part(k, p, n))
        return;
    const struct tc_key_encoder *e = k->type->encoder;
    struct cache_slice part = { p, n };
    take_result(k, e->ops.part(e->ctx, (struct cache_key *)k, k->parts, part));
    k->parts++;
}

void tc_key_digits_part(struct tc_key *k, uint64_t digits, size_t n)
{
    if (k->status == CACHE_OK && has_room(k, n))
        begin_part(k, digits, n);
    else
        tc_key_part(k, &digits, n);
}

void tc_key_fini(struct tc_key *k)
{
    if (!tc_key_is_valid(k))
        return;
    free_heap(k);
    k->len = k->cap = 0;
    k->status = CACHE_E_INVALID;
}
