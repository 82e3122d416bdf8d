/* An asymmetric memory barrier: the side that runs often pays nothing, the side that runs seldom pays for both.
 *
 * The kernel interrupts every processor that runs a thread of this process (membarrier, Linux 4.14), so that each of
 * them has a full barrier somewhere in its stream of instructions. What was stored before that point is visible to
 * the caller afterwards; what is loaded after it sees what the caller had stored before. */
#include "platform/platform.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

static long membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0);
}

bool tc_barrier_init(void)
{
    return membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
}

bool tc_barrier_heavy(void)
{
    return membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;
}
