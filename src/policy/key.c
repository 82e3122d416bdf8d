/* Key building and the default encoder.
 *
 * Default encoding: type name, then for each part ':' and its bytes, where everything but printable ASCII, and
 * space, '%', ':', '{' and '}', is written %XX. A type name has none of those, so the text splits back into type and
 * parts in one way only: two different lists never meet. Braces are escaped because L2 puts the key in a hash tag. */
#include "policy/key.h"

#include <string.h>

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

/* Where a part of n bytes goes behind its ':', or NULL: not this way. */
static unsigned char *room_for_part(struct tc_key *k, size_t n)
{
    if (k->heap != NULL || n >= sizeof k->inline_bytes - TC_KEY_ZEROS - k->len || !is_default(k->type))
        return NULL;
    return k->inline_bytes + k->len + 1;
}

static void end_part(struct tc_key *k, size_t n)
{
    k->inline_bytes[k->len] = ':';
    k->len += (uint32_t)(n + 1);
    memset(k->inline_bytes + k->len, 0, TC_KEY_ZEROS);
    k->parts++;
}

/* False: nothing has changed. */
static bool append_simple_part(struct tc_key *k, const unsigned char *from, size_t n)
{
    unsigned char *to = room_for_part(k, n), escaped = 0;
    if (to == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        escaped |= is_escaped[from[i]];
        to[i] = from[i];
    }
    if (escaped)
        return false;
    end_part(k, n);
    return true;
}

/* An encoder's own failure sticks like ours; one that says OK after we refused its bytes does not hide that. */
static void take_result(struct tc_key *k, int rc)
{
    if (k->status == CACHE_OK && rc != CACHE_OK)
        k->status = rc < 0 ? rc : CACHE_E_INVALID;
}

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
    if (is_default(t)) { /* a name is always short enough */
        memcpy(k->inline_bytes, t->name, t->name_len);
        memset(k->inline_bytes + t->name_len, 0, TC_KEY_ZEROS);
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

void tc_key_number_part(struct tc_key *k, const char *digits, size_t n)
{
    unsigned char *to = k->status == CACHE_OK ? room_for_part(k, n) : NULL;
    if (to == NULL) {
        tc_key_part(k, digits, n);
        return;
    }
    memcpy(to, digits, n);
    end_part(k, n);
}

void tc_key_fini(struct tc_key *k)
{
    if (!tc_key_is_valid(k))
        return;
    free_heap(k);
    k->len = k->cap = 0;
    k->status = CACHE_E_INVALID;
}
