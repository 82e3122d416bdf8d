/* The bytes that lie in L2 under a key. One format for every backend; docs/frame.md gives the layout.
 *
 *   0  8  magic "TIERCF01"; the last two digits are the format version
 *   8  8  incarnation of the server it was written to; zeros: not bound to one
 *  16 16  version of the value, 16 hexadecimal digits (compared as text inside the server); zeros: none
 *  32  4  flags: bit 0 = a cached absence; unknown bits = unknown format
 *  36  4  codec ids of the payload, applied last first; zeros: plain
 *  40  4  key id of the encryption; zero: none
 *  44  4  length of the key
 *  48  4  length of the epoch section
 *  52  4  zeros
 *  56  8  length of the payload
 *  64  8  wall clock when it was written, ms: a hint, never trusted for expiry
 *  72  8  soft TTL, ms; 0 = none
 *  80  8  hard TTL, ms, as it was given to L2; -2 = for ever (given to L2 as ten years)
 *  88     key, epoch section, payload
 *  end 8  XXH3-64 of everything before
 *
 * Integers are little-endian. A frame with a section, codec, key id or flag that this version does not know is not
 * an error and is not touched: it is a miss. */
#ifndef TC_TIER_FRAME_H
#define TC_TIER_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "tiercache/backend.h"

#define TC_FRAME_HEADER_BYTES 88
#define TC_FRAME_TRAILER_BYTES 8

enum { TC_FRAME_ABSENT = 1u << 0 };

struct tc_frame {
    uint32_t flags;
    int64_t written_wall_ms;
    int64_t ttl_ms; /* > 0 or CACHE_TTL_FOREVER */
    struct cache_slice key;
    struct cache_slice payload;
};

/* Bytes of the frame, or 0 if it cannot be expressed. */
size_t tc_frame_size(const struct tc_frame *f);

/* Writes the frame into out, which has tc_frame_size(f) bytes. f->payload.data may already lie in its place. */
void tc_frame_write(const struct tc_frame *f, void *out);

enum tc_frame_verdict {
    TC_FRAME_GOOD,
    TC_FRAME_BROKEN,  /* no frame, cut short, or the checksum is wrong */
    TC_FRAME_UNKNOWN, /* a frame of a format, codec or key that this version does not know */
    TC_FRAME_FOREIGN  /* a good frame of another key */
};

/* Reads a frame; f's slices point into bytes. f is filled on GOOD only. */
enum tc_frame_verdict tc_frame_read(struct cache_slice bytes, struct cache_slice key, struct tc_frame *f);

#endif
