/* The page cannot be read while the trap is set. Who reads it all the same gets a signal, and in its handler waits
 * until it can be; then the load is made again. */
#include "tt_trap.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "tt_util.h"

static unsigned char *page;
static struct sigaction before;
static _Atomic bool is_set, has_caught;

static void stand_still(int sig, siginfo_t *info, void *context)
{
    unsigned char *at = info->si_addr;
    (void)sig;
    (void)context;
    if (!atomic_load(&is_set) || at < page || at >= page + TT_TRAP_BYTES) {
        sigaction(SIGSEGV, &before, NULL); /* not ours: it comes again */
        return;
    }
    atomic_store(&has_caught, true);
    while (atomic_load(&is_set))
        poll(NULL, 0, 1);
}

unsigned char *tt_trap_bytes(void)
{
    if (page != NULL)
        return page;
    void *p = mmap(NULL, TT_TRAP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        tt_die("no memory for a trap");
    page = p;
    return page;
}

void tt_trap_set(void)
{
    struct sigaction ours = { .sa_sigaction = stand_still, .sa_flags = SA_SIGINFO };
    tt_trap_bytes();
    atomic_store(&has_caught, false);
    if (sigaction(SIGSEGV, &ours, &before) != 0 || mprotect(page, TT_TRAP_BYTES, PROT_NONE) != 0)
        tt_die("no trap");
    atomic_store(&is_set, true);
}

bool tt_trap_has_caught(void)
{
    return atomic_load(&has_caught);
}

bool tt_trap_await(void)
{
    for (int64_t end_ms = tt_mono_ms() + TT_SOON_MS; !tt_trap_has_caught();)
        if (!tt_pause(end_ms))
            return false;
    return true;
}

void tt_trap_release(void)
{
    if (mprotect(page, TT_TRAP_BYTES, PROT_READ | PROT_WRITE) != 0)
        tt_die("the trap does not open");
    atomic_store(&is_set, false);
    sigaction(SIGSEGV, &before, NULL);
}
