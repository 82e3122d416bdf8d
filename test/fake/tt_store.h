/* Bytes under keys with an end of life: what the fake backend and the fake Redis keep their values in.
 * Not thread safe: its owner's lock guards it. Blobs are immutable and counted: they may be read without that lock. */
#ifndef TT_STORE_H
#define TT_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiercache/backend.h"

#define TT_STORE_FOREVER INT64_MAX

struct tt_blob {
    _Atomic unsigned refs;
    size_t len;
    unsigned char data[];
};

struct tt_store;

struct tt_store *tt_store_new(void);
void tt_store_free(struct tt_store *s);

void tt_blob_release(struct tt_blob *b); /* b may be NULL */

void tt_store_put(struct tt_store *s, struct cache_slice key, struct cache_slice data, int64_t expires_ms);
/* A reference to the value, NULL if there is none or it expired by now_ms. expires_ms may be NULL. */
struct tt_blob *tt_store_get(struct tt_store *s, struct cache_slice key, int64_t now_ms, int64_t *expires_ms);
bool tt_store_del(struct tt_store *s, struct cache_slice key, int64_t now_ms); /* true: there was one */
void tt_store_clear(struct tt_store *s);
size_t tt_store_count(const struct tt_store *s); /* the expired ones that nobody asked for included */
/* The key of the ith entry, in no particular order; valid until the next change. */
bool tt_store_key_at(const struct tt_store *s, size_t i, struct cache_slice *key);

#endif
