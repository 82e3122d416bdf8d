/* What the two halves of the fake backend share: tt_backend.c is the table, tt_backend_control.c the test's side.
 *
 * Locks: tt_backend.lock, then server.lock. The host is never called with either held. */
#ifndef TT_BACKEND_PRIV_H
#define TT_BACKEND_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "tt_backend.h"
#include "tt_store.h"

struct tt_server {
    pthread_mutex_t lock; /* guards values */
    struct tt_store *values;
    _Atomic unsigned refs;
};

struct tt_fault {
    struct tt_fault *next;
    enum tt_slot slot;
    unsigned left; /* calls; 0 = all */
    int status;
    enum tt_run run;
    uint64_t mask; /* 0 = every element */
};

struct tt_late {
    struct tt_late *next;
    bool is_set;
    struct cache_slice key, data; /* own copies */
    int64_t ttl_ms;
};

struct tt_barrier {
    bool before, after;
    unsigned waiting;
};

struct tt_backend {
    struct cache_backend_ops table;
    struct tt_server *server;
    _Atomic int health;
    _Atomic unsigned in_host; /* calls of the host under way that the test made, not the cache */

    pthread_mutex_t lock; /* guards all below; may take server->lock inside */
    pthread_cond_t changed;
    const struct cache_backend_host *host;
    struct tt_fault *faults, **faults_end;
    struct tt_late *late, **late_end;
    struct tt_barrier barrier[TT_SLOTS];
    uint64_t calls[TT_SLOTS], elements[TT_SLOTS], maintains;
    struct cache_backend_stats stats;
    unsigned attached, closed, forked;
};

extern const struct cache_backend_ops tt_backend_complete_table;

/* The store, at the host's time. Before attach and after close there is no clock: nothing expires then. */
int64_t tt_server_now_ms(struct tt_backend *b);
void tt_server_set(struct tt_backend *b, struct cache_slice key, struct cache_slice data, int64_t ttl_ms);
bool tt_server_del(struct tt_backend *b, struct cache_slice key);
struct tt_blob *tt_server_get(struct tt_backend *b, struct cache_slice key, int64_t *ttl_ms); /* ttl_ms may be NULL */

#endif
