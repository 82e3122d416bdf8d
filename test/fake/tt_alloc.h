/* An allocator that counts, checks sized frees, guards both ends of a block, and fails when told.
 *
 *     struct tt_alloc a;
 *     tt_alloc_init(&a);
 *     ... use { tt_alloc_ops, &a } ...
 *     assert_true(tt_alloc_is_clean(&a));
 *     tt_alloc_fini(&a);
 */
#ifndef TT_ALLOC_H
#define TT_ALLOC_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "tiercache/hooks.h"

struct tt_alloc_block;

struct tt_alloc_counts {
    size_t live_blocks, live_bytes, peak_bytes;
    uint64_t calls;  /* allocations asked for */
    uint64_t failed; /* of these, refused because the test wanted it */
    uint64_t errors; /* wrong size given to free, or a guard overwritten; each was printed */
};

struct tt_alloc {
    pthread_mutex_t lock;        /* guards all below */
    struct tt_alloc_block *live; /* newest first */
    struct tt_alloc_counts counts;
    uint64_t fail_at; /* the call that fails; 0 = none */
    bool fail_on;     /* and all after it */
};

extern const struct cache_alloc_ops tt_alloc_ops; /* its ctx is a struct tt_alloc */

void tt_alloc_init(struct tt_alloc *a);
void tt_alloc_fini(struct tt_alloc *a); /* frees what leaked */
struct tc_alloc tt_alloc_table(struct tt_alloc *a); /* the pair that the library passes around */

/* The nth allocation from now on (1 = the next) fails; for_ever: and every one after it. nth 0 = none fails. */
void tt_alloc_fail(struct tt_alloc *a, uint64_t nth, bool for_ever);

/* No block is live and no error was seen. Otherwise prints what is wrong. */
bool tt_alloc_is_clean(struct tt_alloc *a);

struct tt_alloc_counts tt_alloc_counts(struct tt_alloc *a);

#endif
