/* The conformance suite: what tiercache/backend.h promises of every slot, for every backend. A backend of your own
 * passes it if it can be used as L2. test/suite/run_*.c show how to run it. */
#ifndef BACKEND_SUITE_H
#define BACKEND_SUITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fake/tt_clock.h"
#include "tiercache/backend.h"

struct tt_subject {
    const char *name; /* of the group of tests */
    /* Makes an empty backend, connected to nothing yet. False: impossible, the test fails. */
    bool (*make)(void *arg, const struct cache_backend_ops **ops, void **ctx);
    /* After the backend's close slot; NULL: nothing to do. */
    void (*unmake)(void *arg, void *ctx);
    void *arg;
    struct tt_clock *clock; /* time, if the backend takes all of it from its host; NULL: it lives in real time */
    size_t max_value;       /* the longest value that it keeps, at least 1 MiB; 0 = more than the suite tries */
};

/* Runs all tests. Returns how many failed, as cmocka's main does. */
int tt_backend_suite_run(const struct tt_subject *subject);

#endif
