/* The cache's allocator: the application's table, or malloc. Passed by pointer to whatever allocates. */
#ifndef TC_BASE_ALLOC_H
#define TC_BASE_ALLOC_H

#include "base/regions.h"
#include "platform/platform.h"
#include "tiercache/hooks.h"

struct tc_alloc {
    struct cache_alloc_ops ops;
    void *ctx;
    struct tc_regions *regions; /* NULL: pages and tables come from ops too, like everything else */
};

extern const struct tc_alloc tc_alloc_default; /* malloc and free */

void *tc_alloc(const struct tc_alloc *a, size_t n);           /* NULL when out of memory; n 0 is taken as 1 */
void *tc_alloc_zeroed(const struct tc_alloc *a, size_t n);    /* the same, zeroed */
void tc_free(const struct tc_alloc *a, void *p, size_t n);    /* n as allocated; p may be NULL */
/* Zeroed memory that begins on a cache line; it takes TC_ALLOC_LINES_EXTRA more. The same n goes to tc_free_lines; p
 * may be NULL there. */
#define TC_ALLOC_LINES_EXTRA (TC_CACHELINE + sizeof(void *))
void *tc_alloc_lines(const struct tc_alloc *a, size_t n);
void tc_free_lines(const struct tc_alloc *a, void *p, size_t n);
/* What an allocation of n bytes takes from the heap: malloc's header and rounding. */
size_t tc_heap_bytes(size_t n);

/* A block of cache lines that those who read without a lock find by an address: it is replaced whole, and the former
 * one waits for them. This is its first line, the others follow, zeroed. */
struct tc_block {
    struct tc_block *next; /* among those that wait */
    uint64_t epoch;        /* since when */
    size_t n;              /* lines that follow */
    int from;              /* where it was had */
};
struct tc_block *tc_block_open(const struct tc_alloc *a, size_t n); /* NULL when out of memory */
/* The same for what is large, and holds no address of allocated memory. */
struct tc_block *tc_block_open_table(const struct tc_alloc *a, size_t n);
void tc_block_close(const struct tc_alloc *a, struct tc_block *b);  /* b may be NULL */
static inline void *tc_block_lines(struct tc_block *b)
{
    return (char *)b + TC_CACHELINE;
}
static inline struct tc_block *tc_block_of(void *lines)
{
    return (struct tc_block *)(void *)((char *)lines - TC_CACHELINE);
}
static inline size_t tc_block_bytes(const struct tc_block *b)
{
    return (b->n + 1) * TC_CACHELINE;
}
size_t tc_block_heap_bytes(size_t n); /* of one of n lines */
size_t tc_table_heap_bytes(bool in_pages, size_t n); /* of a table; in_pages: a->regions is not NULL */

/* For values, which hold no address of allocated memory: what is large comes by whole pages of the system, from regions
 * where there are some, and leaves no hole in malloc's heap when it goes. */
#define TC_VALUE_LARGE 32768
void *tc_alloc_value(const struct tc_alloc *a, size_t n);
void tc_free_value(const struct tc_alloc *a, void *p, size_t n); /* n as allocated; p may be NULL */
size_t tc_value_heap_bytes(const struct tc_alloc *a, size_t n);

/* Some KiB for many small things; not zeroed. NULL when out of memory. */
void *tc_alloc_pages(const struct tc_alloc *a, size_t n);
void tc_free_pages(const struct tc_alloc *a, void *p, size_t n); /* n as allocated */
size_t tc_pages_heap_bytes(const struct tc_alloc *a, size_t n);  /* what they take, as tc_heap_bytes() */

char *tc_strdup(const struct tc_alloc *a, const char *s);     /* NULL when out of memory */
void tc_strfree(const struct tc_alloc *a, char *s);           /* s may be NULL */

#endif
