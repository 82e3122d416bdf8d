/* From a complete, scanned reply to a result, by hiredis's reader. */
#ifndef TC_TIER_REDIS_DECODE_H
#define TC_TIER_REDIS_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "tier/redis/reply.h"
#include "tiercache/backend.h"

enum tc_result_kind {
    TC_RESULT_NONE, /* no answer yet */
    TC_RESULT_OK,   /* +OK */
    TC_RESULT_PONG, /* +PONG */
    TC_RESULT_STATUS,
    TC_RESULT_INTEGER,
    TC_RESULT_NIL,
    TC_RESULT_BULK,
    TC_RESULT_ERROR,
    TC_RESULT_NOMEM,   /* a string for which there was no memory; it was read and dropped */
    TC_RESULT_TOO_LONG /* a string above max_reply_bytes; it was read and dropped */
};

/* data is from host->alloc(len) and belongs to whoever holds the result; NULL when len is 0. */
struct tc_result {
    enum tc_result_kind kind;
    enum tc_reply_error error;
    int64_t integer;
    void *data;
    size_t len;
};

struct tc_decoder {
    struct redisReader *reader; /* hiredis's; NULL until first needed */
    const struct cache_backend_host *host;
    struct tc_result *result; /* being filled */
    int discard;              /* strings are not copied: nobody waits for them */
};

void tc_decoder_init(struct tc_decoder *d, const struct cache_backend_host *host);
void tc_decoder_fini(struct tc_decoder *d);

/* p[0..n) is exactly one reply, no array. With discard a string becomes TC_RESULT_BULK without data.
 * Returns CACHE_OK, CACHE_E_NOMEM (the reader had no memory), CACHE_E_PROTOCOL (the reader does not agree that it is a
 * reply); after an error the decoder is of no use any more. */
int tc_decode(struct tc_decoder *d, const char *p, size_t n, int discard, struct tc_result *result);

#endif
