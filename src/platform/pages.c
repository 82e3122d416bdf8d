/* Memory from the system by whole pages. */
#include <sys/mman.h>

#include "platform/platform.h"

#define HUGE ((size_t)2 << 20)

static char *map(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p != MAP_FAILED ? p : NULL;
}

static size_t whole_pages(size_t n)
{
    return (n + TC_SYSTEM_PAGE - 1) / TC_SYSTEM_PAGE * TC_SYSTEM_PAGE;
}

void *tc_pages_map(size_t n)
{
    return n <= SIZE_MAX - TC_SYSTEM_PAGE ? map(whole_pages(n)) : NULL;
}

void *tc_pages_map_aligned(size_t n, bool huge)
{
    if (n > SIZE_MAX - 2 * HUGE)
        return NULL;
    n = whole_pages(n);
    char *p = map(n + HUGE); /* more than that, and what is in front and behind is given back */
    if (p == NULL)
        return NULL;
    size_t before = -(uintptr_t)p % HUGE;
    if (before > 0)
        munmap(p, before);
    munmap(p + before + n, HUGE - before);
    p += before;
    if (huge)
        madvise(p, n, MADV_HUGEPAGE); /* a wish: without it all works as well */
    return p;
}

void tc_pages_forget(void *p, size_t n)
{
    madvise(p, n, MADV_DONTNEED);
}

void tc_pages_unmap(void *p, size_t n)
{
    munmap(p, whole_pages(n));
}
