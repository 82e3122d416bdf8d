/* Error replies of Redis: what they mean to a cache. */
#ifndef TC_TIER_REDIS_REPLY_H
#define TC_TIER_REDIS_REPLY_H

#include <stddef.h>

#include "tier/redis/counters.h"

enum tc_reply_error {
    TC_REPLY_OTHER,
    TC_REPLY_OOM,
    TC_REPLY_LOADING,
    TC_REPLY_MASTERDOWN,
    TC_REPLY_READONLY,
    TC_REPLY_MISCONF,
    TC_REPLY_NOAUTH,
    TC_REPLY_WRONGPASS,
    TC_REPLY_NOPERM,
    TC_REPLY_DENIED,
    TC_REPLY_BUSY,
    TC_REPLY_TRYAGAIN,
    TC_REPLY_WRONGTYPE,
    TC_REPLY_MOVED,
    TC_REPLY_ASK,
    TC_REPLY_CLUSTERDOWN,
    TC_REPLY_CROSSSLOT,
    TC_REPLY_NOSCRIPT,
    TC_REPLY_NOREPLICAS,
    TC_REPLY_MAXCLIENTS
};

/* text is the error without '-' and CR LF; any bytes, also none. */
enum tc_reply_error tc_reply_classify(const char *text, size_t len);

const char *tc_reply_name(enum tc_reply_error e);              /* static, for messages */
int tc_reply_status(enum tc_reply_error e);                    /* CACHE_E_REFUSED or CACHE_E_AUTH */
enum tc_redis_counter tc_reply_counter(enum tc_reply_error e); /* where it is counted */

#endif
