/* What waits is counted by going through it. */
#include "tt_limbo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tt_util.h"

static int register_here(void *arg, unsigned index)
{
    struct tt_limbo *f = arg;
    (void)index;
    f->other = tc_reader_self(&f->r->l1.readers);
    return f->other == NULL;
}

struct tt_limbo *tt_limbo_open(bool paged, bool beside_another)
{
    struct tt_limbo *f = tt_xcalloc(sizeof *f);
    f->r = tt_l1_new(TT_LIMBO_LIMIT, paged ? 2 : 8, NULL);
    assert_non_null(f->r);
    assert_int_equal(f->r->l1.paged, paged);
    f->r->l1.thin = !paged; /* small as they are: pages for every size */
    f->next = TT_LIMBO_CHURN;
    if (beside_another) {
        assert_non_null(tc_reader_self(&f->r->l1.readers));
        assert_int_equal(tt_crew_join(tt_crew_start(1, register_here, f)), 0);
    }
    return f;
}

bool tt_limbo_close(struct tt_limbo *f)
{
    bool clean = tt_l1_free(f->r);
    free(f);
    return clean;
}

int tt_limbo_alone_apart(void **state)
{
    *state = tt_limbo_open(false, false);
    return 0;
}

int tt_limbo_alone_in_pages(void **state)
{
    *state = tt_limbo_open(true, false);
    return 0;
}

int tt_limbo_apart(void **state)
{
    *state = tt_limbo_open(false, true);
    return 0;
}

int tt_limbo_in_pages(void **state)
{
    *state = tt_limbo_open(true, true);
    return 0;
}

int tt_limbo_teardown(void **state)
{
    return tt_limbo_close(*state) ? 0 : -1;
}

void tt_limbo_enter(struct tt_limbo *f)
{
    tc_reader_enter(&f->r->l1.readers, f->other);
}

void tt_limbo_leave(struct tt_limbo *f)
{
    tc_reader_leave(f->other);
}

/* ---- accounts ---- */

size_t tt_limbo_live_bytes(struct tt_limbo *f)
{
    return tt_alloc_counts(&f->r->counting).live_bytes;
}

uint64_t tt_limbo_bytes(struct tt_limbo *f)
{
    return atomic_load(&f->r->l1.limbo.bytes);
}

uint64_t tt_limbo_waiting_bytes(struct tt_limbo *f)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < f->r->l1.n_stripes; i++)
        bytes += atomic_load(&f->r->l1.stripes[i].left.bytes);
    return bytes;
}

size_t tt_limbo_blocks(struct tt_limbo *f)
{
    size_t n = 0;
    for (const struct tc_block *b = f->r->l1.limbo.blocks; b != NULL; b = b->next)
        n++;
    return n;
}

/* The bytes of what lies apart among those that wait in the stripe. */
static uint64_t apart_bytes(struct tt_limbo *f, struct tc_stripe *s)
{
    uint64_t all = 0, pages = 0;
    for (uint32_t i = 0; i < s->left.n; i++) {
        struct tc_left_batch *b = &s->left.batches[(s->left.begin + i) % TC_LEFT_BATCHES];
        for (uint32_t cell = b->first, next; cell != 0; cell = next) {
            struct tc_entry *e = tc_stripe_entry(s, cell);
            next = tc_pair_second(tc_entry_left(e));
            assert_int_equal(tc_pair_first(tc_entry_left(e)), cell);
            assert_int_equal(next == 0, cell == b->last);
            all += tc_l1_entry_bytes(&f->r->l1, e);
            pages += tc_cell_is_alone(cell) ? 0 : tc_l1_entry_bytes(&f->r->l1, e);
        }
    }
    assert_int_equal(all, atomic_load(&s->left.bytes));
    assert_int_equal(pages, s->left.housed);
    return all - pages;
}

void tt_limbo_assert_agrees(struct tt_limbo *f)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < f->r->l1.n_stripes; i++)
        bytes += apart_bytes(f, &f->r->l1.stripes[i]);
    for (const struct tc_block *b = f->r->l1.limbo.blocks; b != NULL; b = b->next)
        bytes += tc_block_bytes(b);
    assert_int_equal(bytes, tt_limbo_bytes(f));
    assert_true(tc_l1_check(&f->r->l1));
}

/* ---- entries ---- */

struct tc_entry *tt_limbo_put_held(struct tt_limbo *f, struct tt_l1_key k, size_t len)
{
    struct tt_l1_put p = { .len = len, .ttl_ms = TT_LIMBO_TTL_MS, .advance = true };
    assert_int_equal(tt_l1_put_with(f->r, k, &p), CACHE_OK);
    struct tc_l1_found found = tt_l1_get(f->r, k);
    assert_non_null(found.entry);
    tc_l1_hold(found.entry);
    tc_l1_release(&f->r->l1, found.entry);
    return found.entry;
}

bool tt_limbo_is_given_up(const struct tc_entry *e)
{
    uint32_t refs = atomic_load(&e->refs);
    assert_int_equal((refs & TC_ENTRY_REFS) == 1, (refs & TC_ENTRY_DETACHED) != 0);
    return (refs & TC_ENTRY_REFS) == 1;
}

void tt_limbo_come_and_go(struct tt_limbo *f, size_t stripe)
{
    struct tt_l1_key k = tt_l1_key_in(f->r, f->next++, stripe);
    assert_int_equal(tt_l1_put(f->r, k, TT_LIMBO_LEN), CACHE_OK);
    tt_l1_invalidate(f->r, k);
}

void tt_limbo_churn(struct tt_limbo *f)
{
    for (uint64_t bytes = 0; bytes < f->r->l1.reserve; bytes += TT_LIMBO_LEN)
        for (size_t stripe = 0; stripe < f->r->l1.n_stripes; stripe++)
            tt_limbo_come_and_go(f, stripe);
    for (uint64_t n = tt_limbo_waiting_bytes(f) / TT_LIMBO_LEN; n > 0; n--)
        for (size_t stripe = 0; stripe < f->r->l1.n_stripes; stripe++)
            tt_limbo_come_and_go(f, stripe);
}
