/* Names of entries in Redis: <ns>:d:{<key>}, or <ns>:d:{<readable prefix>~<128-bit hash of the whole key>}.
 *
 * The braces make the key, and nothing an application puts into it, decide the slot in Redis Cluster, so that further
 * names of the same entry can share it. A key goes in as it is when it is printable, short and holds no brace;
 * otherwise its hash stands for it. A plain key that looks like a hashed one is hashed too, so that two keys share a
 * name only if XXH3-128 collides; the frame under the name carries the whole key, so even then they are not confused.
 * The hash has no secret: all processes, and those of later versions, must find the same name. */
#include "tier/redis/key.h"

#include <stdbool.h>
#include <string.h>

#include <xxhash.h>

#define PREFIX_BYTES 96
#define HASH_HEX_BYTES 32

static bool is_plain_byte(unsigned char c)
{
    return c >= 0x21 && c <= 0x7e && c != '{' && c != '}';
}

static bool ends_like_hashed(const unsigned char *p, size_t n)
{
    if (n <= HASH_HEX_BYTES || p[n - HASH_HEX_BYTES - 1] != '~')
        return false;
    for (size_t i = n - HASH_HEX_BYTES; i < n; i++)
        if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')))
            return false;
    return true;
}

static bool is_plain(const unsigned char *p, size_t n)
{
    if (n > TC_REDIS_KEY_PLAIN_MAX_BYTES || ends_like_hashed(p, n))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_plain_byte(p[i]))
            return false;
    return true;
}

static char *put(char *out, const void *p, size_t n)
{
    memcpy(out, p, n);
    return out + n;
}

static char *put_hashed(char *out, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n && i < PREFIX_BYTES; i++)
        *out++ = is_plain_byte(p[i]) ? (char)p[i] : '.';
    *out++ = '~';
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash, XXH3_128bits(p, n));
    for (size_t i = 0; i < sizeof hash.digest; i++) {
        *out++ = "0123456789abcdef"[hash.digest[i] >> 4];
        *out++ = "0123456789abcdef"[hash.digest[i] & 15];
    }
    return out;
}

size_t tc_redis_key(const char *name_space, struct cache_slice key, char *out)
{
    char *p = put(out, name_space, strlen(name_space));
    p = put(p, ":d:{", 4);
    p = is_plain(key.data, key.len) ? put(p, key.data, key.len) : put_hashed(p, key.data, key.len);
    *p++ = '}';
    return (size_t)(p - out);
}
