/* The conformance suite on the fake backend that the other tests use as L2. */
#include "backend_suite.h"
#include "fake/tt_backend.h"

static bool make(void *arg, const struct cache_backend_ops **ops, void **ctx)
{
    struct tt_backend *b = tt_backend_new(NULL);
    (void)arg;
    *ops = tt_backend_table(b);
    *ctx = b;
    return true;
}

static void unmake(void *arg, void *ctx)
{
    (void)arg;
    tt_backend_free(ctx);
}

int main(void)
{
    struct tt_clock clock;
    tt_clock_init(&clock);
    return tt_backend_suite_run(
        &(struct tt_subject){.name = "suite: fake", .make = make, .unmake = unmake, .clock = &clock});
}
