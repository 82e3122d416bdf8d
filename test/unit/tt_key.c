/* See tt_key.h. */
#include "unit/tt_key.h"

#include <stdlib.h>
#include <string.h>

#include "tt_util.h"

struct cache_type *tt_key_type(struct tt_key *f, const char *name)
{
    struct tc_policy p;
    struct cache_type *t;
    memset(&p, 0, sizeof p);
    return tc_type_open(NULL, &f->alloc, &f->encoder, name, 0, &p, &t) == CACHE_OK ? t : NULL;
}

int tt_key_open(void **state)
{
    struct tt_key *f = tt_xcalloc(sizeof *f);
    *state = f;
    tt_alloc_init(&f->counting);
    f->alloc = tt_alloc_table(&f->counting);
    f->encoder.ops = tc_key_encoder_default;
    f->type = tt_key_type(f, "t");
    return f->type != NULL ? 0 : -1;
}

int tt_key_close(void **state)
{
    struct tt_key *f = *state;
    tc_type_close(f->type);
    bool clean = tt_alloc_is_clean(&f->counting);
    tt_alloc_fini(&f->counting);
    free(f);
    return clean ? 0 : -1;
}

struct cache_key *tt_key_begin(struct tt_key *f)
{
    return cache_key_init(&f->key, f->type);
}
