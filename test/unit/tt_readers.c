/* Making and freeing what tt_readers.h has. */
#include "tt_readers.h"

#include "tt_util.h"

struct tt_readers *tt_readers_new(void)
{
    struct tt_readers *f = tc_alloc_lines(&tc_alloc_default, sizeof *f);
    if (f == NULL)
        tt_die("out of memory");
    tt_alloc_init(&f->counting);
    f->alloc = tt_alloc_table(&f->counting);
    if (tc_readers_init(&f->r, &f->alloc) != 0)
        tt_die("no readers");
    return f;
}

bool tt_readers_free(struct tt_readers *f)
{
    tc_readers_fini(&f->r);
    tc_readers_fini(&f->r); /* harmless */
    bool clean = tt_alloc_is_clean(&f->counting);
    tt_alloc_fini(&f->counting);
    tc_free_lines(&tc_alloc_default, f, sizeof *f);
    return clean;
}

int tt_readers_setup(void **state)
{
    *state = tt_readers_new();
    return 0;
}

int tt_readers_setup_symmetric(void **state)
{
    struct tt_readers *f = tt_readers_new();
    f->r.asymmetric = false;
    *state = f;
    return 0;
}

int tt_readers_teardown(void **state)
{
    return tt_readers_free(*state) ? 0 : -1;
}
