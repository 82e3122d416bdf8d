/* shared.c - see shared.h. */
#include "shared.h"

#include <sys/mman.h>

static size_t shared_size(uint32_t n_items)
{
    return sizeof(struct shared) + n_items * sizeof(_Atomic uint32_t);
}

struct shared *shared_map(uint32_t n_items)
{
    void *p = mmap(NULL, shared_size(n_items), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void shared_unmap(struct shared *s, uint32_t n_items)
{
    if (s)
        munmap(s, shared_size(n_items));
}
