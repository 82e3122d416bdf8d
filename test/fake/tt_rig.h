/* The Redis backend on a test bench: a fake or any other server at one end, tt_host at the other, values as texts.
 *
 * A test that fails leaves its bench behind, with threads that wait for ever; being on the heap it harms no other. */
#ifndef TT_RIG_H
#define TT_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiercache/backend.h"
#include "tt_alloc.h"
#include "tt_host.h"
#include "tt_redis.h"

enum { TT_RIG_TEXT = 128, TT_RIG_MS = 3000, TT_RIG_CONNECT_MS = 1000 };

struct tt_rig {
    struct tt_redis *server; /* NULL: somebody else's */
    struct tt_host host;
    struct tt_alloc alloc; /* everything but values */
    struct tc_alloc table;
    void *ctx;
    uint32_t connections;       /* set before open; 0 = 1 */
    int64_t connect_timeout_ms; /* 0 = TT_RIG_CONNECT_MS */
    uint64_t max_reply_bytes;   /* 0 = 64 MiB */
};

struct tt_rig *tt_rig_new(void);
/* A fake server, and a backend that is connected to it. */
void tt_rig_start(struct tt_rig *rig, enum tt_redis_net net);
/* Only the backend, on that URL; it may take its time to connect. */
void tt_rig_open(struct tt_rig *rig, const char *url);
/* Closes the backend, stops the server, frees rig. True if no memory of the backend was left. */
bool tt_rig_close(struct tt_rig *rig);

/* One call each, with a time-out in ms. Values are texts shorter than TT_RIG_TEXT. */
int tt_rig_get(struct tt_rig *rig, const char *key, int64_t ms, char *text);
int tt_rig_set(struct tt_rig *rig, const char *key, const char *text, int64_t ms);
int tt_rig_del(struct tt_rig *rig, const char *key, int64_t ms);

/* The value under key is text. Waits for a backend that is still recovering, up to 5 s; false: something else. */
bool tt_rig_recovers(struct tt_rig *rig, const char *key, const char *text);

struct cache_backend_stats tt_rig_stats(struct tt_rig *rig);

#endif
