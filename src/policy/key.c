/* Key building and the default encoder.
 *
 * Default encoding: type name, then for each part ':' and its bytes, where everything but printable ASCII, and
 * space, '%', ':', '{' and '}', is written %XX. A type name has none of those, so the text splits back into type and
 * parts in one way only: two different lists never meet. Braces are escaped because L2 puts the key in a hash tag. */
#include "policy/key.h"

#include <string.h>

#include "base/words.h"
#include "policy/digits.h"

_Static_assert(sizeof(struct tc_key) == sizeof(struct cache_key), "the public struct is this one's shell");
_Static_assert(_Alignof(struct tc_key) <= _Alignof(struct cache_key), "and aligned for it");

static void free_heap(struct tc_key *k)
{
    if (k->heap != NULL)
        tc_free(&k->alloc, k->heap, tc_key_cap(k));
    k->heap = NULL;
}

void tc_key_fail(struct tc_key *k, int status)
{
    if (k->status == CACHE_OK)
        k->status = status;
    k->easy_most = 0;
}

_Static_assert(2 * (CACHE_KEY_MAX_BYTES + TC_KEY_ZEROS) / TC_KEY_HEAP_UNIT <= UINT16_MAX, "units of any heap");

static int grow(struct tc_key *k, size_t need)
{
    size_t units = 1;
    while (units * TC_KEY_HEAP_UNIT < need)
        units *= 2;
    unsigned char *heap = tc_alloc(k->type->alloc, units * TC_KEY_HEAP_UNIT);
    if (heap == NULL)
        return CACHE_E_NOMEM;
    memcpy(heap, tc_key_data(k), k->len + TC_KEY_ZEROS);
    free_heap(k);
    k->alloc = *k->type->alloc;
    k->heap = heap;
    k->heap_units = (uint16_t)units;
    k->easy_most = 0;
    return CACHE_OK;
}

/* Makes room for n more bytes. Where they go, or NULL: the key has failed. */
static unsigned char *reserve(struct tc_key *k, size_t n)
{
    int rc = CACHE_OK;
    tc_key_keep_hash(k, 0);
    if (n > CACHE_KEY_MAX_BYTES - k->len)
        rc = CACHE_E_TOO_LARGE;
    else if (n > tc_key_cap(k) - TC_KEY_ZEROS - k->len)
        rc = grow(k, k->len + n + TC_KEY_ZEROS);
    if (rc != CACHE_OK) {
        tc_key_fail(k, rc);
        return NULL;
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

static int encode_part(struct tc_key *k, struct cache_slice part)
{
    const unsigned char *from = part.data;
    if (part.len > CACHE_KEY_MAX_BYTES)
        return CACHE_E_TOO_LARGE;
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

const struct cache_key_encoder_ops tc_key_encoder_default = { CACHE_HOOKS_ABI, NULL, NULL };

/* ---- the same for what most keys are: short, of the default encoding, and nothing to be escaped ---- */

static bool is_default(const struct cache_type *t)
{
    return t->encoder->ops.begin == NULL;
}

#define WRITTEN (3 * TC_WORD_BYTES) /* at once, from the last word on */
#define EASY_MOST (sizeof ((struct tc_key *)0)->inline_bytes - WRITTEN)
_Static_assert(EASY_MOST <= UINT8_MAX, "it is kept in a byte");
_Static_assert((EASY_MOST - 1) / TC_WORD_BYTES * TC_WORD_BYTES + WRITTEN <= sizeof ((struct tc_key *)0)->inline_bytes,
               "what is written behind the last byte but one stays inside");
/* Whether a part of n bytes, up to a word, can be put behind what is there in whole words, with its ':'. */
static inline bool is_easy_word(const struct tc_key *k, size_t n)
{
    return k->len + n < k->easy_most;
}

/* The same of any length. */
static inline bool is_easy(const struct tc_key *k, size_t n)
{
    return n < k->easy_most && is_easy_word(k, n);
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
    uint32_t len = k->len;
    unsigned char *at = k->inline_bytes + (len & ~(uint32_t)(TC_WORD_BYTES - 1));
    unsigned bits = len * 8 % 64;
    tc_word last, next = BEFORE(BEFORE(word, 1), ~bits % 64), zero = 0;
    memcpy(&last, at, TC_WORD_BYTES);
    last |= BEHIND(word, bits);
    memcpy(at, &last, TC_WORD_BYTES);
    memcpy(at + TC_WORD_BYTES, &next, TC_WORD_BYTES);
    memcpy(at + 2 * TC_WORD_BYTES, &zero, TC_WORD_BYTES);
    k->len = len + (uint32_t)n;
}

/* A part, or what it begins with. */
static inline void begin_part(struct tc_key *k, tc_word word, size_t n)
{
    tc_key_keep_hash(k, 0);
    if (n < TC_WORD_BYTES) {
        put(k, BEHIND(word, 8) | FIRST(':'), n + 1);
        return;
    }
    put(k, FIRST(':'), 1);
    put(k, word, n);
}

#define BYTES(byte) (UINT64_C(0x0101010101010101) * (byte))

/* The highest bit of each byte that is that one, in a word of whose bytes none has it set. */
static inline tc_word where(tc_word word, unsigned char byte)
{
    return BYTES(0x80) - (word ^ BYTES(byte));
}

/* True: one of eight bytes may have to be escaped; also of '|' and '~', which need not be. */
static inline bool may_be_escaped(tc_word word)
{
    tc_word outside = (word - BYTES(0x21)) | (word + BYTES(0x80 - '{')); /* from 0x80 on by one of the two */
    return ((outside | where(word, '%') | where(word, ':')) & BYTES(0x80)) != 0;
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

/* Of one to seven bytes. */
static inline bool append_word(struct tc_key *k, const unsigned char *from, size_t n)
{
    tc_word word = tc_word_of(from, n);
    if (may_be_escaped(filled(word, n)))
        return false;
    begin_part(k, word, n);
    return true;
}

/* What does not fill a word comes first. */
static TC_APART bool append_words(struct tc_key *k, const unsigned char *from, size_t n)
{
    size_t begins = n % TC_WORD_BYTES;
    tc_word word = 0;
    if (!are_simple(from + begins, n - begins))
        return false;
    if (begins == 0)
        begin_part(k, word, 0);
    else if (!append_word(k, from, begins))
        return false;
    for (size_t at = begins; at < n; at += TC_WORD_BYTES) {
        memcpy(&word, from + at, TC_WORD_BYTES);
        put(k, word, TC_WORD_BYTES);
    }
    return true;
}

/* An encoder's own failure sticks like ours; one that says OK after we refused its bytes does not hide that. */
static void take_result(struct tc_key *k, int rc)
{
    if (rc != CACHE_OK)
        tc_key_fail(k, rc < 0 ? rc : CACHE_E_INVALID);
}

#define SHORT_NAME 16
_Static_assert(sizeof ((struct cache_type *)0)->name >= TC_NAME_MOST + TC_KEY_ZEROS, "zeros end any name");

/* Begins it by the type's encoder. */
static TC_APART struct tc_key *encode_name(struct tc_key *k, const struct cache_type *t)
{
    take_result(k, t->encoder->ops.begin(t->encoder->ctx, (struct cache_key *)k, t->name));
    return k;
}

static TC_APART struct tc_key *refuse(struct tc_key *k)
{
    tc_key_fail(k, CACHE_E_INVALID);
    return k;
}

struct tc_key *tc_key_init(struct tc_key *k, const struct cache_type *t)
{
    k->magic = TC_KEY_MAGIC;
    k->type = t;
    k->heap = NULL;
    k->status = CACHE_OK;
    k->parts = 0;
    tc_key_keep_hash(k, 0);
    bool valid = tc_type_is_valid(t);
    if (__builtin_expect(!valid || !is_default(t), 0)) {
        k->len = 0;
        k->easy_most = 0;
        return valid ? encode_name(k, t) : refuse(k);
    }
    /* A name is always short enough; most are much shorter. */
    memcpy(k->inline_bytes, t->name, SHORT_NAME + TC_KEY_ZEROS);
    if (t->name_len > SHORT_NAME)
        memcpy(k->inline_bytes, t->name, sizeof t->name);
    k->len = (uint32_t)t->name_len;
    k->easy_most = EASY_MOST;
    return k;
}

/* Adds a part by the type's encoder. */
static TC_APART struct tc_key *encode(struct tc_key *k, const void *p, size_t n)
{
    if (k->status != CACHE_OK) /* its type may be none */
        return k;
    const struct tc_key_encoder *e = k->type->encoder;
    struct cache_slice part = { p, n };
    take_result(k, is_default(k->type) ? encode_part(k, part)
                                       : e->ops.part(e->ctx, (struct cache_key *)k, k->parts, part));
    k->parts++;
    return k;
}

struct tc_key *tc_key_part(struct tc_key *k, const void *p, size_t n)
{
    bool done = false;
    if (n > 0 && is_easy(k, n)) /* else there may not be so many bytes */
        done = n < TC_WORD_BYTES ? append_word(k, p, n) : append_words(k, p, n);
    return done ? k : encode(k, p, n);
}

static TC_APART struct tc_key *encode_word(struct tc_key *k, tc_word word, size_t n)
{
    return tc_key_part(k, &word, n);
}

struct tc_key *tc_key_number(struct tc_key *k, uint32_t v)
{
    uint64_t digits = tc_digits_eight(v);
    uint64_t others = (digits ^ BYTES('0')) | UINT64_C(1) << 56; /* than zeros that lead; the last digit stays */
    unsigned zeros = (unsigned)__builtin_ctzll(others) / 8;
    size_t n = TC_WORD_BYTES - zeros;
    digits >>= 8 * zeros;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    digits = __builtin_bswap64(digits);
#endif
    if (!is_easy_word(k, n))
        return encode_word(k, digits, n);
    begin_part(k, digits, n);
    return k;
}

uint64_t tc_key_hash_anew(const struct tc_key *k, const struct tc_hash *h)
{
    uint64_t hash = tc_hash_key(h, tc_key_data(k), k->len);
    tc_key_keep_hash(k, hash);
    return hash;
}

void tc_key_fini(struct tc_key *k)
{
    if (!tc_key_is_valid(k))
        return;
    free_heap(k);
    k->len = 0;
    k->status = CACHE_E_INVALID;
    k->easy_most = 0;
}
