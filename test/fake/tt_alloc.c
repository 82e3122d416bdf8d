/* A block is header, the caller's bytes, guard. The bytes are filled with a pattern on both ways, so that a read of
 * memory that was never written, or was freed, shows. Live blocks form a list, so that a leak can be described. */
#include "tt_alloc.h"

#include <assert.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tt_util.h"

#define HEAD_GUARD UINT64_C(0xB10CB10CB10CB10C)
#define TAIL_GUARD UINT64_C(0xE4DE4DE4DE4DE4D5)
#define FREED_GUARD UINT64_C(0xF4EEDF4EEDF4EED5)

enum { FILL_NEW = 0xA5, FILL_FREED = 0xDD, LEAKS_SHOWN = 8 };

struct tt_alloc_block {
    struct tt_alloc_block *prev, *next;
    size_t n;
    uint64_t call; /* which allocation it was: give it to tt_alloc_fail() or a breakpoint */
    uint64_t reserved;
    uint64_t guard; /* last: what is written before the block's start lands here */
};
static_assert(sizeof(struct tt_alloc_block) % alignof(max_align_t) == 0, "blocks are aligned as malloc's");

static unsigned char *bytes_of(struct tt_alloc_block *b)
{
    return (unsigned char *)(b + 1);
}

static bool must_fail_locked(struct tt_alloc *a)
{
    a->counts.calls++;
    if (!a->fail_at || a->counts.calls < a->fail_at || (a->counts.calls > a->fail_at && !a->fail_on))
        return false;
    a->counts.failed++;
    return true;
}

static void link_locked(struct tt_alloc *a, struct tt_alloc_block *b)
{
    b->next = a->live;
    if (b->next)
        b->next->prev = b;
    a->live = b;
    a->counts.live_blocks++;
    a->counts.live_bytes += b->n;
    if (a->counts.live_bytes > a->counts.peak_bytes)
        a->counts.peak_bytes = a->counts.live_bytes;
}

static void unlink_locked(struct tt_alloc *a, struct tt_alloc_block *b)
{
    if (b->next)
        b->next->prev = b->prev;
    if (b->prev)
        b->prev->next = b->next;
    else
        a->live = b->next;
    a->counts.live_blocks--;
    a->counts.live_bytes -= b->n;
}

static void *counted_alloc(void *ctx, size_t n)
{
    struct tt_alloc *a = ctx;
    uint64_t tail = TAIL_GUARD;
    struct tt_alloc_block *b = NULL;
    pthread_mutex_lock(&a->lock);
    bool refused = must_fail_locked(a);
    uint64_t call = a->counts.calls;
    pthread_mutex_unlock(&a->lock);
    if (!refused && n <= SIZE_MAX - sizeof(*b) - sizeof(tail))
        b = malloc(sizeof(*b) + n + sizeof(tail));
    if (!b)
        return NULL;
    *b = (struct tt_alloc_block){.n = n, .call = call, .guard = HEAD_GUARD};
    memset(bytes_of(b), FILL_NEW, n);
    memcpy(bytes_of(b) + n, &tail, sizeof(tail));
    pthread_mutex_lock(&a->lock);
    link_locked(a, b);
    pthread_mutex_unlock(&a->lock);
    return bytes_of(b);
}

static const char *error_of(struct tt_alloc_block *b, size_t n)
{
    uint64_t tail;
    if (b->guard != HEAD_GUARD)
        return b->guard == FREED_GUARD ? "freed twice" : "not from this allocator, or overwritten before its start";
    if (n != b->n)
        return "freed with another size than it was allocated with";
    memcpy(&tail, bytes_of(b) + b->n, sizeof(tail));
    return tail == TAIL_GUARD ? NULL : "overwritten behind its end";
}

/* A block with an error stays where it is: freeing it could only hide what happened. */
static void checked_free(void *ctx, void *p, size_t n)
{
    struct tt_alloc *a = ctx;
    struct tt_alloc_block *b = (struct tt_alloc_block *)p - 1;
    pthread_mutex_lock(&a->lock);
    const char *error = error_of(b, n);
    if (error) {
        a->counts.errors++;
        fprintf(stderr, "tt_alloc: block %p of %zu bytes, freed as %zu: %s\n", p, b->n, n, error);
    } else {
        unlink_locked(a, b);
        b->guard = FREED_GUARD;
    }
    pthread_mutex_unlock(&a->lock);
    if (error)
        return;
    memset(p, FILL_FREED, n);
    free(b);
}

const struct cache_alloc_ops tt_alloc_ops = {
    .abi = CACHE_HOOKS_ABI,
    .alloc = counted_alloc,
    .free = checked_free,
};

void tt_alloc_init(struct tt_alloc *a)
{
    memset(a, 0, sizeof(*a));
    if (pthread_mutex_init(&a->lock, NULL))
        tt_die("no mutex");
}

void tt_alloc_fini(struct tt_alloc *a)
{
    while (a->live) {
        struct tt_alloc_block *b = a->live;
        unlink_locked(a, b);
        free(b);
    }
    pthread_mutex_destroy(&a->lock);
}

struct tc_alloc tt_alloc_table(struct tt_alloc *a)
{
    return (struct tc_alloc){.ops = tt_alloc_ops, .ctx = a};
}

void tt_alloc_fail(struct tt_alloc *a, uint64_t nth, bool for_ever)
{
    pthread_mutex_lock(&a->lock);
    a->fail_at = nth ? a->counts.calls + nth : 0;
    a->fail_on = for_ever;
    pthread_mutex_unlock(&a->lock);
}

bool tt_alloc_is_clean(struct tt_alloc *a)
{
    unsigned shown = 0;
    pthread_mutex_lock(&a->lock);
    for (struct tt_alloc_block *b = a->live; b && shown < LEAKS_SHOWN; b = b->next, shown++)
        fprintf(stderr, "tt_alloc: allocation %llu of %zu bytes is still live\n", (unsigned long long)b->call, b->n);
    bool clean = !a->counts.live_blocks && !a->counts.errors;
    pthread_mutex_unlock(&a->lock);
    return clean;
}

struct tt_alloc_counts tt_alloc_counts(struct tt_alloc *a)
{
    pthread_mutex_lock(&a->lock);
    struct tt_alloc_counts counts = a->counts;
    pthread_mutex_unlock(&a->lock);
    return counts;
}
