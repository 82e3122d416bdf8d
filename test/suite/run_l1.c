/* The conformance suite on L1 as a backend. */
#include "backend_suite.h"
#include "base/alloc.h"
#include "tt_l1_backend.h"
#include "tiercache.h"

enum { L1_BYTES = 256 << 20 }; /* nothing is evicted */

static bool make(void *arg, const struct cache_backend_ops **ops, void **ctx)
{
    (void)arg;
    *ops = &tt_l1_backend;
    return tt_l1_backend_open(L1_BYTES, &tc_alloc_default, ctx) == CACHE_OK;
}

int main(void)
{
    struct tt_clock clock;
    tt_clock_init(&clock);
    return tt_backend_suite_run(&(struct tt_subject){.name = "suite: l1", .make = make, .clock = &clock});
}
