/* A key under test: a type with an encoder of its own and an allocator that counts. */
#ifndef TT_KEY_H
#define TT_KEY_H

#include "policy/key.h"
#include "tt_alloc.h"

struct tt_key {
    struct tt_alloc counting;
    struct tc_alloc alloc;
    struct tc_key_encoder encoder; /* of the types: the default one at first */
    struct cache_type *type;       /* "t" */
    struct cache_key key;
    char text[CACHE_KEY_MAX_BYTES + 1]; /* the test's */
};

/* For cmocka. The second one fails if memory was left. */
int tt_key_open(void **state);
int tt_key_close(void **state);

struct cache_type *tt_key_type(struct tt_key *f, const char *name); /* NULL: refused */
struct cache_key *tt_key_begin(struct tt_key *f);

#endif
