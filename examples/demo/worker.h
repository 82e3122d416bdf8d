/* worker.h - one worker process: its own cache, several threads that serve requests. */
#ifndef DEMO_WORKER_H
#define DEMO_WORKER_H

#include <sys/types.h>

#include "shared.h"
#include "tiercache.h"

/* Opens the demo's cache with so much L1 and registers its one type. Workers and the parent use the same settings.
 * Returns a CACHE_* result; err receives a sentence. */
int demo_cache_open(const struct demo *d, uint64_t l1_bytes, const struct cache_event_ops *events, void *events_ctx,
                    struct cache **c, struct cache_type **page, char *err, size_t err_cap);

/* Forks worker number index, which waits for shared->go. Call it before this process opens a cache, a database or a
 * thread. Returns its pid, or -1. */
pid_t worker_start(const struct demo *d, uint32_t index);

#endif
