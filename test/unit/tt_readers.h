/* The records of a cache's readers under test: counting allocator; with the asymmetric barrier or, as on a system that
 * has none, without. */
#ifndef TT_READERS_H
#define TT_READERS_H

#include "base/readers.h"
#include "tt_alloc.h"

struct tt_readers {
    struct tt_alloc counting;
    struct tc_alloc alloc;
    struct tc_readers r;
};

struct tt_readers *tt_readers_new(void); /* a failure ends the program */
bool tt_readers_free(struct tt_readers *f); /* no memory is left */

/* For cmocka: *state is one of them. */
int tt_readers_setup(void **state);
int tt_readers_setup_symmetric(void **state);
int tt_readers_teardown(void **state);

#define TT_READERS(test) cmocka_unit_test_setup_teardown(test, tt_readers_setup, tt_readers_teardown)
#define TT_READERS_SYMMETRIC(test) \
    { #test " (symmetric)", test, tt_readers_setup_symmetric, tt_readers_teardown, NULL }
#define TT_READERS_BOTH(test) TT_READERS(test), TT_READERS_SYMMETRIC(test)

#endif
