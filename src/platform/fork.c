/* Fork detection without pthread_atfork: a page marked MADV_WIPEONFORK holds a mark in the process that made it and
 * zeros in any child, so one load tells them apart and nothing process-wide is registered (a handler would outlive a
 * dlclose). Kernels that refuse the advice get a comparison of process ids instead, a system call per question. */
#include "platform/platform.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

int tc_fork_guard_init(struct tc_fork_guard *g)
{
    g->page = NULL;
    g->pid = getpid();
    size_t n = (size_t)sysconf(_SC_PAGESIZE);
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return errno;
    if (madvise(p, n, MADV_WIPEONFORK) != 0) {
        munmap(p, n);
        return 0;
    }
    g->page = p;
    *g->page = TC_FORK_GUARD_MARK;
    return 0;
}

void tc_fork_guard_fini(struct tc_fork_guard *g)
{
    if (g->page != NULL)
        munmap((void *)g->page, (size_t)sysconf(_SC_PAGESIZE));
    g->page = NULL;
}

const volatile uint64_t *tc_fork_guard_word(struct tc_fork_guard *g, uint64_t v)
{
    static const uint64_t none = 0;
    if (g->page == NULL)
        return &none;
    g->page[1] = v;
    return &g->page[1];
}

bool tc_fork_guard_is_other_process(const struct tc_fork_guard *g)
{
    return g->pid != getpid();
}
