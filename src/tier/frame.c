/* Writing and reading frames. The reader trusts nothing: every length is checked against what is there before it is
 * used, and the checksum before the key is believed. */
#include "tier/frame.h"

#include <stdbool.h>
#include <string.h>
#include <xxhash.h>

#include "tiercache.h"

#define MAGIC "TIERCF01"
#define MAGIC_FAMILY_BYTES 6 /* without the version digits */
#define NO_VERSION "0000000000000000"

enum {
    AT_MAGIC = 0,
    AT_INCARNATION = 8,
    AT_VERSION = 16,
    AT_FLAGS = 32,
    AT_CODECS = 36,
    AT_KEY_ID = 40,
    AT_KEY_LEN = 44,
    AT_EPOCHS_LEN = 48,
    AT_ZEROS = 52,
    AT_PAYLOAD_LEN = 56,
    AT_WRITTEN = 64,
    AT_SOFT_TTL = 72,
    AT_HARD_TTL = 80
};

static void put_le(unsigned char *to, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (unsigned char)(v >> 8 * i);
}

static uint64_t get_le(const unsigned char *from, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++)
        v |= (uint64_t)from[i] << 8 * i;
    return v;
}

size_t tc_frame_size(const struct tc_frame *f)
{
    if (f->key.len > UINT32_MAX)
        return 0;
    size_t n = TC_FRAME_HEADER_BYTES + TC_FRAME_TRAILER_BYTES + f->key.len;
    return f->payload.len > SIZE_MAX - n ? 0 : n + f->payload.len;
}

void tc_frame_write(const struct tc_frame *f, void *out)
{
    unsigned char *to = out;
    memset(to, 0, TC_FRAME_HEADER_BYTES);
    memcpy(to + AT_MAGIC, MAGIC, 8);
    memcpy(to + AT_VERSION, NO_VERSION, 16);
    put_le(to + AT_FLAGS, f->flags, 4);
    put_le(to + AT_KEY_LEN, f->key.len, 4);
    put_le(to + AT_PAYLOAD_LEN, f->payload.len, 8);
    put_le(to + AT_WRITTEN, (uint64_t)f->written_wall_ms, 8);
    put_le(to + AT_HARD_TTL, (uint64_t)f->ttl_ms, 8);
    unsigned char *at = to + TC_FRAME_HEADER_BYTES;
    if (f->key.len > 0)
        memcpy(at, f->key.data, f->key.len);
    at += f->key.len;
    if (f->payload.len > 0 && f->payload.data != at)
        memcpy(at, f->payload.data, f->payload.len);
    at += f->payload.len;
    put_le(at, XXH3_64bits(to, (size_t)(at - to)), 8);
}

static bool is_zero(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != 0)
            return false;
    return true;
}

/* True if the header's lengths add up to exactly what is there. */
static bool lengths_fit(const unsigned char *from, size_t len)
{
    uint64_t rest = len - TC_FRAME_HEADER_BYTES - TC_FRAME_TRAILER_BYTES;
    uint64_t sections = get_le(from + AT_KEY_LEN, 4) + get_le(from + AT_EPOCHS_LEN, 4);
    return sections <= rest && get_le(from + AT_PAYLOAD_LEN, 8) == rest - sections;
}

static bool is_known(const unsigned char *from)
{
    return is_zero(from + AT_INCARNATION, 8) && (get_le(from + AT_FLAGS, 4) & ~(uint64_t)TC_FRAME_ABSENT) == 0 &&
           is_zero(from + AT_CODECS, 4) && is_zero(from + AT_KEY_ID, 4) && is_zero(from + AT_EPOCHS_LEN, 4) &&
           is_zero(from + AT_ZEROS, 4);
}

enum tc_frame_verdict tc_frame_read(struct cache_slice bytes, struct cache_slice key, struct tc_frame *f)
{
    const unsigned char *from = bytes.data;
    if (bytes.len < 8 || memcmp(from, MAGIC, MAGIC_FAMILY_BYTES) != 0)
        return TC_FRAME_BROKEN;
    if (memcmp(from, MAGIC, 8) != 0)
        return TC_FRAME_UNKNOWN;
    if (bytes.len < TC_FRAME_HEADER_BYTES + TC_FRAME_TRAILER_BYTES || !lengths_fit(from, bytes.len))
        return TC_FRAME_BROKEN;
    size_t body = bytes.len - TC_FRAME_TRAILER_BYTES;
    if (get_le(from + body, 8) != XXH3_64bits(from, body))
        return TC_FRAME_BROKEN;
    if (!is_known(from))
        return TC_FRAME_UNKNOWN;
    int64_t ttl_ms = (int64_t)get_le(from + AT_HARD_TTL, 8);
    if (ttl_ms <= 0 && ttl_ms != CACHE_TTL_FOREVER)
        return TC_FRAME_BROKEN;
    size_t key_len = (size_t)get_le(from + AT_KEY_LEN, 4);
    const unsigned char *at = from + TC_FRAME_HEADER_BYTES;
    if (key_len != key.len || (key_len > 0 && memcmp(at, key.data, key_len) != 0))
        return TC_FRAME_FOREIGN;
    f->flags = (uint32_t)get_le(from + AT_FLAGS, 4);
    f->written_wall_ms = (int64_t)get_le(from + AT_WRITTEN, 8);
    f->ttl_ms = ttl_ms;
    f->key = (struct cache_slice){ at, key_len };
    f->payload = (struct cache_slice){ at + key_len, (size_t)get_le(from + AT_PAYLOAD_LEN, 8) };
    return TC_FRAME_GOOD;
}
