/* Keys: the public face of policy/key.h. */
#include <string.h>

#include "policy/key.h"

static struct tc_key *inside(struct cache_key *k)
{
    return (struct tc_key *)k;
}

struct cache_key *cache_key_init(struct cache_key *k, const struct cache_type *t)
{
    if (k != NULL)
        tc_key_init(inside(k), t);
    return k;
}

struct cache_key *cache_key_bytes(struct cache_key *k, const void *p, size_t n)
{
    if (!tc_key_is_valid(inside(k)))
        return k;
    if (p == NULL && n > 0) {
        if (inside(k)->status == CACHE_OK)
            inside(k)->status = CACHE_E_INVALID;
        return k;
    }
    tc_key_part(inside(k), p, n);
    return k;
}

struct cache_key *cache_key_str(struct cache_key *k, const char *s)
{
    return cache_key_bytes(k, s, s != NULL ? strlen(s) : 1);
}

struct cache_key *cache_key_u64(struct cache_key *k, uint64_t v)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + v % 10);
    while ((v /= 10) > 0);
    return cache_key_bytes(k, digits + at, sizeof digits - at);
}

struct cache_key *cache_key_i64(struct cache_key *k, int64_t v)
{
    if (v >= 0)
        return cache_key_u64(k, (uint64_t)v);
    char digits[21];
    size_t at = sizeof digits;
    uint64_t rest = -(uint64_t)v;
    do
        digits[--at] = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    digits[--at] = '-';
    return cache_key_bytes(k, digits + at, sizeof digits - at);
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
