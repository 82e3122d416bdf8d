/* Where a Redis URL leads: one or several socket addresses. */
#ifndef TC_TIER_REDIS_ADDRESS_H
#define TC_TIER_REDIS_ADDRESS_H

#include <sys/socket.h>

#include "tier/redis/url.h"

#define TC_ADDRESSES_MAX 16

struct tc_addresses {
    struct sockaddr_storage at[TC_ADDRESSES_MAX];
    socklen_t len[TC_ADDRESSES_MAX];
    size_t n;
};

/* Fills *a. A numeric address or a path never asks DNS; a name may block for as long as DNS takes. If the name does
 * not resolve now, what *a held stays: the last good addresses. NULL, or a static text about what failed. */
const char *tc_addresses_resolve(struct tc_addresses *a, const struct tc_redis_url *u);

#endif
