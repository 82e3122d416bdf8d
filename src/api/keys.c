/* Keys: the public face of policy/key.h. */
#include <string.h>

#include "policy/digits.h"
#include "policy/key.h"

static struct tc_key *inside(struct cache_key *k)
{
    return (struct tc_key *)k;
}

struct cache_key *cache_key_init(struct cache_key *k, const struct cache_type *t)
{
    return k != NULL ? (struct cache_key *)tc_key_init(inside(k), t) : NULL;
}

struct cache_key *cache_key_bytes(struct cache_key *k, const void *p, size_t n)
{
    if (!tc_key_is_valid(inside(k)))
        return k;
    if (p != NULL || n == 0)
        return (struct cache_key *)tc_key_part(inside(k), p, n);
    tc_key_fail(inside(k), CACHE_E_INVALID);
    return k;
}

struct cache_key *cache_key_str(struct cache_key *k, const char *s)
{
    if (!tc_key_is_valid(inside(k)))
        return k;
    if (s != NULL)
        return (struct cache_key *)tc_key_part(inside(k), s, strlen(s));
    tc_key_fail(inside(k), CACHE_E_INVALID);
    return k;
}

#define DIGITS_MOST 20 /* with a sign too */

static TC_APART struct cache_key *add_number(struct cache_key *k, uint64_t v, bool negative)
{
    char digits[DIGITS_MOST], *end = digits + sizeof digits, *at = tc_digits_put(end, v);
    if (negative)
        *--at = '-';
    if (tc_key_is_valid(inside(k)))
        tc_key_part(inside(k), at, (size_t)(end - at));
    return k;
}

struct cache_key *cache_key_u64(struct cache_key *k, uint64_t v)
{
    if (v > TC_KEY_NUMBER_MOST)
        return add_number(k, v, false);
    return tc_key_is_valid(inside(k)) ? (struct cache_key *)tc_key_number(inside(k), (uint32_t)v) : k;
}

struct cache_key *cache_key_i64(struct cache_key *k, int64_t v)
{
    return add_number(k, v < 0 ? -(uint64_t)v : (uint64_t)v, v < 0);
}

int cache_key_status(const struct cache_key *k)
{
    const struct tc_key *key = (const struct tc_key *)k;
    return tc_key_is_valid(key) ? key->status : CACHE_E_INVALID;
}

int cache_key_text(const struct cache_key *k, char *buf, size_t cap, size_t *len)
{
    const struct tc_key *key = (const struct tc_key *)k;
    int rc = cache_key_status(k);
    if (rc != CACHE_OK)
        return rc;
    if (buf == NULL && cap > 0)
        return CACHE_E_INVALID;
    if (len != NULL)
        *len = key->len;
    if (key->len >= cap)
        return CACHE_E_BUFFER;
    memcpy(buf, tc_key_data(key), key->len);
    buf[key->len] = '\0';
    return CACHE_OK;
}

int cache_key_append(struct cache_key *k, const void *p, size_t n)
{
    if (!tc_key_is_valid(inside(k)) || (p == NULL && n > 0))
        return CACHE_E_INVALID;
    return tc_key_append(inside(k), p, n);
}

void cache_key_fini(struct cache_key *k)
{
    tc_key_fini(inside(k));
}
