/* Entries alone, of both kinds: an allocator that counts and a type. */
#ifndef TT_ENTRY_H
#define TT_ENTRY_H

#include "tier/l1/entry.h"
#include "tt_alloc.h"

#define TT_STALE_MS INT64_C(60000)

typedef struct tc_entry *tt_open_fn(const struct tc_alloc *a, size_t node_bytes, struct cache_type *t, uint64_t hash,
                                    struct cache_slice key, size_t len);
extern tt_open_fn *const tt_kinds[2];

/* Its references and where it is, without what it is and its version. */
static inline uint32_t tt_refs(const struct tc_entry *e)
{
    return atomic_load(&e->refs) & ~(uint32_t)(TC_ENTRY_FLAGS | TC_ENTRY_VERSIONS);
}

struct tt_entry {
    struct tt_alloc counting;
    struct tc_alloc alloc;
    struct cache_type *type; /* of TT_STALE_MS */
};

/* For cmocka. The second fails if memory was not given back. */
int tt_entry_setup(void **state);
int tt_entry_teardown(void **state);

struct cache_type *tt_entry_type(uint32_t id, int64_t max_stale_ms); /* tc_type_close() it */
struct cache_slice tt_slice(const void *data, size_t len);
size_t tt_entry_live(struct tt_entry *f); /* bytes */

#endif
