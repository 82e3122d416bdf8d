/* L1 behind the backend table: a second implementation to hold the table's contract against. */
#ifndef TT_L1_BACKEND_H
#define TT_L1_BACKEND_H

#include "base/alloc.h"
#include "tiercache/backend.h"

extern const struct cache_backend_ops tt_l1_backend;

/* *ctx is freed by the table's close slot; alloc must outlive it. CACHE_OK, CACHE_E_INVALID (max_bytes is too small),
 * CACHE_E_NOMEM, CACHE_E_SYSTEM. */
int tt_l1_backend_open(uint64_t max_bytes, const struct tc_alloc *alloc, void **ctx);

#endif
