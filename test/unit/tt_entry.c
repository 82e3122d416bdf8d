/* A type and an allocator for entries that are in no L1. */
#include "tt_entry.h"

#include <stdlib.h>
#include <string.h>

#include "tt_util.h"

tt_open_fn *const tt_kinds[2] = { tc_entry_open, tc_entry_open_small };

struct cache_type *tt_entry_type(uint32_t id, int64_t max_stale_ms)
{
    struct tc_policy p;
    struct cache_type *t;
    memset(&p, 0, sizeof p);
    p.max_stale_ms = max_stale_ms;
    if (tc_type_open(NULL, &tc_alloc_default, NULL, "type", id, &p, &t) != CACHE_OK)
        tt_die("no type");
    return t;
}

int tt_entry_setup(void **state)
{
    struct tt_entry *f = tt_xcalloc(sizeof *f);
    tt_alloc_init(&f->counting);
    f->alloc = tt_alloc_table(&f->counting);
    f->type = tt_entry_type(7, TT_STALE_MS);
    *state = f;
    return 0;
}

int tt_entry_teardown(void **state)
{
    struct tt_entry *f = *state;
    bool clean = tt_alloc_is_clean(&f->counting);
    tt_alloc_fini(&f->counting);
    tc_type_close(f->type);
    free(f);
    return clean ? 0 : -1;
}

struct cache_slice tt_slice(const void *data, size_t len)
{
    return (struct cache_slice){ data, len };
}

size_t tt_entry_live(struct tt_entry *f)
{
    return tt_alloc_counts(&f->counting).live_bytes;
}
