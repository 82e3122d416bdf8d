/* Allocation through the cache's own table, so that an application can account, limit or fail it. */
#include "base/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void *default_alloc(void *ctx, size_t n)
{
    (void)ctx;
    return malloc(n);
}

static void default_free(void *ctx, void *p, size_t n)
{
    (void)ctx;
    (void)n;
    free(p);
}

const struct tc_alloc tc_alloc_default = { { CACHE_HOOKS_ABI, default_alloc, default_free }, NULL, NULL };

void *tc_alloc(const struct tc_alloc *a, size_t n)
{
    return a->ops.alloc(a->ctx, n > 0 ? n : 1);
}

void *tc_alloc_zeroed(const struct tc_alloc *a, size_t n)
{
    void *p = tc_alloc(a, n);
    if (p != NULL)
        memset(p, 0, n);
    return p;
}

void tc_free(const struct tc_alloc *a, void *p, size_t n)
{
    if (p != NULL)
        a->ops.free(a->ctx, p, n > 0 ? n : 1);
}

/* The address that the allocator gave is in the word before the line. */
void *tc_alloc_lines(const struct tc_alloc *a, size_t n)
{
    if (n > SIZE_MAX - TC_ALLOC_LINES_EXTRA)
        return NULL;
    char *base = tc_alloc_zeroed(a, n + TC_ALLOC_LINES_EXTRA);
    if (base == NULL)
        return NULL;
    char *p = base + sizeof(void *);
    p += -(uintptr_t)p % TC_CACHELINE;
    memcpy(p - sizeof base, &base, sizeof base);
    return p;
}

void tc_free_lines(const struct tc_alloc *a, void *p, size_t n)
{
    if (p == NULL)
        return;
    void *base;
    memcpy(&base, (char *)p - sizeof base, sizeof base);
    tc_free(a, base, n + TC_ALLOC_LINES_EXTRA);
}

size_t tc_heap_bytes(size_t n)
{
    if (n > SIZE_MAX - 32)
        return SIZE_MAX;
    size_t chunk = (n + sizeof(size_t) + 15) & ~(size_t)15;
    return chunk < 32 ? 32 : chunk;
}

_Static_assert(sizeof(struct tc_block) <= TC_CACHELINE, "the others follow on the next line");

enum { FROM_HEAP, FROM_SYSTEM, FROM_REGIONS };

static struct tc_block *begin(struct tc_block *b, size_t n, int from)
{
    if (b != NULL) {
        b->n = n;
        b->from = from;
    }
    return b;
}

struct tc_block *tc_block_open(const struct tc_alloc *a, size_t n)
{
    return n < SIZE_MAX / TC_CACHELINE ? begin(tc_alloc_lines(a, (n + 1) * TC_CACHELINE), n, FROM_HEAP) : NULL;
}

/* Tables come and go as they grow: in malloc's heap each would leave a hole of its size, for pages of entries to fill
 * some day. Only those without addresses in them, which tools that look for lost memory could not follow there. */
#define LARGE_TABLE 8192

struct tc_block *tc_block_open_table(const struct tc_alloc *a, size_t n)
{
    if (n >= SIZE_MAX / TC_CACHELINE)
        return NULL;
    size_t bytes = (n + 1) * TC_CACHELINE;
    if (a->regions == NULL || bytes < LARGE_TABLE)
        return tc_block_open(a, n);
    if (!tc_regions_are_huge(a->regions))
        return begin(tc_pages_map(bytes), n, FROM_SYSTEM);
    void *p = tc_regions_take(a->regions, bytes);
    return begin(p != NULL ? memset(p, 0, bytes) : NULL, n, FROM_REGIONS);
}

void tc_block_close(const struct tc_alloc *a, struct tc_block *b)
{
    if (b == NULL)
        return;
    if (b->from == FROM_HEAP)
        tc_free_lines(a, b, tc_block_bytes(b));
    else if (b->from == FROM_SYSTEM)
        tc_pages_unmap(b, tc_block_bytes(b));
    else
        tc_regions_give(a->regions, b, tc_block_bytes(b));
}

size_t tc_block_heap_bytes(size_t n)
{
    return tc_heap_bytes((n + 1) * TC_CACHELINE + TC_ALLOC_LINES_EXTRA);
}

size_t tc_table_heap_bytes(bool in_pages, size_t n)
{
    size_t bytes = (n + 1) * TC_CACHELINE;
    if (!in_pages || bytes < LARGE_TABLE)
        return tc_block_heap_bytes(n);
    return (bytes + TC_SYSTEM_PAGE - 1) / TC_SYSTEM_PAGE * TC_SYSTEM_PAGE;
}

/* ---- pages ---- */

void *tc_alloc_pages(const struct tc_alloc *a, size_t n)
{
    return a->regions != NULL ? tc_regions_take(a->regions, n) : tc_alloc(a, n);
}

void tc_free_pages(const struct tc_alloc *a, void *p, size_t n)
{
    if (a->regions != NULL)
        tc_regions_give(a->regions, p, n);
    else
        tc_free(a, p, n);
}

size_t tc_pages_heap_bytes(const struct tc_alloc *a, size_t n)
{
    if (a->regions == NULL || n > SIZE_MAX - TC_SYSTEM_PAGE)
        return tc_heap_bytes(n);
    return (n + TC_SYSTEM_PAGE - 1) / TC_SYSTEM_PAGE * TC_SYSTEM_PAGE;
}

/* ---- values ---- */

void *tc_alloc_value(const struct tc_alloc *a, size_t n)
{
    return n >= TC_VALUE_LARGE ? tc_alloc_pages(a, n) : tc_alloc(a, n);
}

void tc_free_value(const struct tc_alloc *a, void *p, size_t n)
{
    if (n >= TC_VALUE_LARGE && p != NULL)
        tc_free_pages(a, p, n);
    else
        tc_free(a, p, n);
}

size_t tc_value_heap_bytes(const struct tc_alloc *a, size_t n)
{
    return n >= TC_VALUE_LARGE ? tc_pages_heap_bytes(a, n) : tc_heap_bytes(n);
}

char *tc_strdup(const struct tc_alloc *a, const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = tc_alloc(a, n);
    if (copy != NULL)
        memcpy(copy, s, n);
    return copy;
}

void tc_strfree(const struct tc_alloc *a, char *s)
{
    if (s != NULL)
        tc_free(a, s, strlen(s) + 1);
}
