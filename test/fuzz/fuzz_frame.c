/* Any bytes as a frame: as they are, and again under a right checksum, since no mutation would ever find one. What is
 * read as good lies inside the bytes and is written again to the same ones; whatever is read is read the same twice. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "tier/frame.h"
#include "tiercache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(cond) ((cond) ? (void)0 : abort())

/* Where fields lie that a reader of this version passes over (see tier/frame.h). */
enum { AT_VERSION = 16, VERSION_BYTES = 16, AT_KEY_LEN = 44, AT_SOFT_TTL = 72, SOFT_TTL_BYTES = 8 };

/* The key that the bytes themselves claim to carry, or another one. */
static struct cache_slice claimed_key(const uint8_t *bytes, size_t size)
{
    if (size < TC_FRAME_HEADER_BYTES)
        return (struct cache_slice){ "key", 3 };
    size_t len = bytes[AT_KEY_LEN] | (size_t)bytes[AT_KEY_LEN + 1] << 8;
    size_t there = size - TC_FRAME_HEADER_BYTES;
    return (struct cache_slice){ bytes + TC_FRAME_HEADER_BYTES, len < there ? len : there };
}

static void check_good(const uint8_t *bytes, size_t size, const struct tc_frame *f)
{
    const uint8_t *key = f->key.data, *payload = f->payload.data;
    CHECK(key == bytes + TC_FRAME_HEADER_BYTES);
    CHECK(payload == key + f->key.len);
    CHECK(payload + f->payload.len == bytes + size - TC_FRAME_TRAILER_BYTES);
    CHECK(f->ttl_ms > 0 || f->ttl_ms == CACHE_TTL_FOREVER);
    CHECK((f->flags & ~(uint32_t)TC_FRAME_ABSENT) == 0);
    CHECK(tc_frame_size(f) == size);
    uint8_t *again = malloc(size);
    CHECK(again != NULL);
    tc_frame_write(f, again);
    memcpy(again + AT_VERSION, bytes + AT_VERSION, VERSION_BYTES);
    memcpy(again + AT_SOFT_TTL, bytes + AT_SOFT_TTL, SOFT_TTL_BYTES);
    CHECK(memcmp(again, bytes, size - TC_FRAME_TRAILER_BYTES) == 0);
    free(again);
}

static void read_one(const uint8_t *bytes, size_t size)
{
    const struct cache_slice keys[] = { claimed_key(bytes, size), { "key", 3 }, { NULL, 0 } };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct tc_frame f, again;
        enum tc_frame_verdict verdict = tc_frame_read((struct cache_slice){ bytes, size }, keys[i], &f);
        CHECK(tc_frame_read((struct cache_slice){ bytes, size }, keys[i], &again) == verdict);
        CHECK(verdict == TC_FRAME_GOOD || verdict == TC_FRAME_BROKEN || verdict == TC_FRAME_UNKNOWN ||
              verdict == TC_FRAME_FOREIGN);
        if (verdict == TC_FRAME_GOOD)
            check_good(bytes, size, &f);
    }
}

static void read_sealed(const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size);
    CHECK(bytes != NULL);
    memcpy(bytes, data, size);
    uint64_t sum = XXH3_64bits(bytes, size - TC_FRAME_TRAILER_BYTES);
    for (size_t i = 0; i < TC_FRAME_TRAILER_BYTES; i++)
        bytes[size - TC_FRAME_TRAILER_BYTES + i] = (uint8_t)(sum >> 8 * i);
    read_one(bytes, size);
    free(bytes);
}

/* The bytes as key and payload of a frame of our own. */
static void write_and_read(const uint8_t *data, size_t size)
{
    size_t key_len = size > 0 ? data[0] % (size + 1) : 0;
    struct tc_frame f = { size & TC_FRAME_ABSENT, (int64_t)size - 100, (int64_t)size + 1, { data, key_len },
                          { data + key_len, size - key_len } };
    struct tc_frame back;
    size_t frame_size = tc_frame_size(&f);
    uint8_t *bytes = malloc(frame_size);
    CHECK(bytes != NULL);
    tc_frame_write(&f, bytes);
    CHECK(tc_frame_read((struct cache_slice){ bytes, frame_size }, f.key, &back) == TC_FRAME_GOOD);
    CHECK(back.flags == f.flags && back.ttl_ms == f.ttl_ms && back.written_wall_ms == f.written_wall_ms);
    CHECK(back.payload.len == f.payload.len);
    CHECK(back.payload.len == 0 || memcmp(back.payload.data, f.payload.data, back.payload.len) == 0);
    check_good(bytes, frame_size, &back);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_one(data, size);
    if (size >= TC_FRAME_TRAILER_BYTES)
        read_sealed(data, size);
    if (size > 0)
        write_and_read(data, size);
    return 0;
}
