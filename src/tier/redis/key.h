/* The name of an entry in Redis. */
#ifndef TC_TIER_REDIS_KEY_H
#define TC_TIER_REDIS_KEY_H

#include <stddef.h>

#include "tiercache/backend.h"

#define TC_REDIS_NAME_SPACE_MAX_BYTES 64
#define TC_REDIS_KEY_PLAIN_MAX_BYTES 200
#define TC_REDIS_KEY_MAX_BYTES (TC_REDIS_NAME_SPACE_MAX_BYTES + 5 + TC_REDIS_KEY_PLAIN_MAX_BYTES)

/* Writes the name of key into out, which holds TC_REDIS_KEY_MAX_BYTES, without a NUL, and returns its length.
 * name_space has at most TC_REDIS_NAME_SPACE_MAX_BYTES bytes. */
size_t tc_redis_key(const char *name_space, struct cache_slice key, char *out);

#endif
