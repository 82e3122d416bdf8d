/* tiercache/backend.h - the table through which the cache talks to its L2.
 *
 * Give it to cache_open() in opts.backend with a context of your own. The built-in Redis backend (opts.l2_url) is one
 * of these, L1 can be one, and test/suite/backend_suite.c is the conformance suite that all of them pass.
 *
 * What is stored is opaque: a frame that carries its own key, lifetime and checksum. A backend stores bytes under a
 * key and gives back the same bytes or nothing; what it gives back wrong is found out and taken as a miss. */
#ifndef TIERCACHE_BACKEND_H
#define TIERCACHE_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include "tiercache/symbols.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CACHE_BACKEND_ABI 1u

struct cache_slice {
    const void *data;
    size_t len;
};

/* What the cache lends a backend, from attach() until close(); if cache_open() fails after attach() succeeded, only
 * until cache_open() returns, and detach() says so before. Every function may be called from any thread. */
struct cache_backend_host {
    void *host;                               /* first argument of the functions below */
    void *(*alloc)(void *host, size_t n);     /* NULL when out of memory */
    void (*free)(void *host, void *p, size_t n); /* n as it was asked for; p may be NULL */
    int64_t (*now_ms)(void *host);            /* the clock that deadlines are on */
    void (*wake)(void *host);                 /* asks for maintain() to be called soon; any thread, does not block */
    /* Says why the backend is, or is no longer, usable: level is CACHE_LOG_* (tiercache/hooks.h), text a sentence
     * without secrets, copied. Goes to the log, and the last one with status < 0 to cache_open()'s err. */
    void (*report)(void *host, int level, int status, const char *text);
};

/* A value read. data was allocated by host->alloc(len) and passes to the cache; NULL with len 0 is an empty value. */
struct cache_backend_value {
    void *data;
    size_t len;
    int64_t ttl_ms; /* what is left of its life: > 0, or CACHE_TTL_FOREVER; CACHE_TTL_NONE = unknown, not kept in L1 */
};

/* One element of a batch. */
struct cache_backend_item {
    struct cache_slice key;
    struct cache_slice data;          /* set_many: the value */
    int64_t ttl_ms;                   /* set_many: as in set */
    struct cache_backend_value value; /* get_many: filled where status is CACHE_OK */
    int status;                       /* the result for this element */
};

/* What L2 can be asked of, for cache_stats and the cache's decisions. Fields of cache_stats of the same names. */
struct cache_backend_stats {
    uint64_t round_trips, commands, bytes_sent, bytes_received, connects, reconnects;
    uint64_t err_connect, err_timeout, err_closed, err_protocol, err_auth, err_oom, err_loading, err_readonly;
    uint64_t err_misconf, err_busy, err_wrongtype, err_redirect, err_other;
    uint64_t reserved[8];
};

enum { CACHE_BACKEND_DOWN = 1, CACHE_BACKEND_CONNECTING = 2, CACHE_BACKEND_UP = 3 };

/* What a backend says of itself. The cache decides nothing by it in this version; the conformance suite does. Unknown
 * bits are refused. */
enum {
    CACHE_BACKEND_CAP_SHARED = 1u << 0, /* other processes see the same values */
    CACHE_BACKEND_CAP_TTL = 1u << 1     /* values expire by themselves */
};

/* Deadlines are absolute, in ms of host->now_ms(); a slot returns by then (it may be late by one scheduling delay).
 * Keys are 1 to CACHE_KEY_MAX_BYTES bytes, any bytes. Results, unless a slot says otherwise:
 *   CACHE_OK            the server answered that it did it
 *   CACHE_MISS          reads: there is nothing
 *   CACHE_E_UNAVAILABLE nothing was sent
 *   CACHE_E_UNKNOWN     it was sent, no answer came: writes may or may not have run, or will still run
 *   CACHE_E_TIMEOUT     the deadline passed before anything was sent
 *   CACHE_E_REFUSED, CACHE_E_AUTH  the server answered with an error; it did not run
 *   CACHE_E_PROTOCOL, CACHE_E_TOO_LARGE (of a del: no such key can be there), CACHE_E_NOMEM
 * Any other value is taken as CACHE_E_UNKNOWN. */
typedef int cache_backend_attach_fn(void *ctx, const struct cache_backend_host *host);
typedef int cache_backend_get_fn(void *ctx, struct cache_slice key, int64_t deadline_ms,
                                 struct cache_backend_value *out);
typedef int cache_backend_set_fn(void *ctx, struct cache_slice key, struct cache_slice data, int64_t ttl_ms,
                                 int64_t deadline_ms);
typedef int cache_backend_del_fn(void *ctx, struct cache_slice key, int64_t deadline_ms);
typedef void cache_backend_many_fn(void *ctx, struct cache_backend_item *it, size_t n, int64_t deadline_ms);
typedef int cache_backend_health_fn(void *ctx);
typedef int64_t cache_backend_maintain_fn(void *ctx);
typedef void cache_backend_stats_fn(void *ctx, struct cache_backend_stats *out);
typedef void cache_backend_close_fn(void *ctx);
typedef void cache_backend_forked_fn(void *ctx);
typedef void cache_backend_detach_fn(void *ctx);

/* Locking: every slot is called with no lock of the cache held; get, set, del, the _many slots, health and stats from
 * any thread, several at once; attach before all of them, close or detach after all of them; maintain from the cache's
 * thread, one call at a time. A slot must not call the cache that it serves. */
struct cache_backend_ops {
    uint32_t abi;          /* CACHE_BACKEND_ABI */
    uint32_t capabilities; /* CACHE_BACKEND_CAP_* */
    const char *name;      /* for statistics and logs; static */

    /* required */
    cache_backend_get_fn *get;
    cache_backend_many_fn *get_many; /* sets every it[i].status; one round trip where the server can */
    cache_backend_set_fn *set;       /* ttl_ms > 0, or CACHE_TTL_FOREVER; replaces what is there */
    cache_backend_del_fn *del;       /* deleting what is not there is CACHE_OK */
    cache_backend_close_fn *close;   /* frees ctx; never called again */

    /* optional */
    cache_backend_attach_fn *attach;     /* once, before any other slot; host stays valid until close or detach. A
                                            negative result makes cache_open() fail with it. NULL: the backend needs no
                                            host (then get must have its own way to know one: only for backends that
                                            always miss) */
    cache_backend_many_fn *set_many;     /* NULL: one set per element */
    cache_backend_many_fn *del_many;     /* NULL: one del per element */
    cache_backend_health_fn *health;     /* CACHE_BACKEND_*, one load, does not block; NULL: always up */
    cache_backend_maintain_fn *maintain; /* connects, re-connects; may block; returns the ms after which it wants to
                                            be called again, -1 = not before wake(). Called once right after attach.
                                            NULL: nothing to maintain */
    cache_backend_stats_fn *stats;       /* fills *out, which is zeroed; NULL: zeros */
    cache_backend_forked_fn *forked;     /* instead of close, in a forked child: close descriptors, take no lock, free
                                            nothing; NULL: nothing */
    cache_backend_detach_fn *detach;     /* instead of close, when cache_open() fails after attach succeeded: ctx stays
                                            the caller's, host ends when this returns. Whatever uses host in threads of
                                            the backend's own must be over by then; NULL: nothing does */
    /* above: abi 1 */
};

#ifdef __cplusplus
}
#endif
#endif
