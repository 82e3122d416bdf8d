/* Time of this machine. The monotonic clocks do not jump with the wall clock; the coarse one costs a quarter of the
 * exact one and stands still between kernel ticks, which is enough for lifetimes. */
#include "platform/platform.h"

#include <time.h>

static int64_t read_ns(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t read_ms(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t tc_mono_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

int64_t tc_mono_ms(void)
{
    return read_ms(CLOCK_MONOTONIC);
}

int64_t tc_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}
