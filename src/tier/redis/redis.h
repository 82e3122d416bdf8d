/* The Redis backend: what the rest of the library sees of it. */
#ifndef TC_TIER_REDIS_REDIS_H
#define TC_TIER_REDIS_REDIS_H

#include "base/alloc.h"
#include "tiercache/backend.h"

struct tc_redis_opts {
    const char *url;            /* redis://... or unix://..., see tiercache.h */
    const char *name_space;     /* the first part of every key; [A-Za-z0-9_.-]+ */
    uint32_t connections;       /* shared pipelined connections, >= 1 */
    int64_t connect_timeout_ms; /* for connect and handshake together */
    uint64_t max_reply_bytes;   /* a longer value is read past and taken as a miss */
};

/* Every slot of the table, with a context made by tc_redis_open. */
extern const struct cache_backend_ops tc_redis_backend;

/* Parses the URL and makes a context; connects nothing: maintain() does. *ctx is freed by the table's close slot.
 * alloc must outlive it. err receives a sentence (never the password); may be NULL.
 * Returns CACHE_OK, CACHE_E_INVALID (the URL), CACHE_E_NOMEM, CACHE_E_SYSTEM. */
int tc_redis_open(const struct tc_redis_opts *o, const struct tc_alloc *alloc, void **ctx, char *err, size_t err_cap);

#endif
