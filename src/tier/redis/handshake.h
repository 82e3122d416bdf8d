/* What is said on a new connection before any data is. */
#ifndef TC_TIER_REDIS_HANDSHAKE_H
#define TC_TIER_REDIS_HANDSHAKE_H

#include "tier/redis/conn.h"
#include "tier/redis/url.h"

/* Authenticates, selects the database and makes sure that a usable Redis answers. text receives what is wrong, to
 * follow "Redis at <where>", with the user's name but never the password; also a warning with CACHE_OK, or "".
 * Returns CACHE_OK, CACHE_E_AUTH, CACHE_E_REFUSED, CACHE_E_PROTOCOL (not a Redis server), CACHE_E_TIMEOUT,
 * CACHE_E_UNAVAILABLE (closed), CACHE_E_NOMEM. */
int tc_handshake(struct tc_conn *c, const struct tc_redis_url *url, int64_t until_ms, char *text, size_t text_cap);

#endif
