/* The library's own threads, and telling threads apart. */
#include "platform/platform.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

int tc_thread_start(pthread_t *out, const char *name, void *(*run)(void *arg), void *arg)
{
    /* The new thread inherits the mask: blocking around the creation leaves no moment in which it could be picked for
     * one of the application's signals. */
    sigset_t all, before;
    sigfillset(&all);
    int rc = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (rc != 0)
        return rc;
    rc = pthread_create(out, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        pthread_setname_np(*out, name);
    return rc;
}

bool tc_thread_join(pthread_t t, int64_t timeout_ms)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    int64_t ns = ts.tv_nsec + (timeout_ms > 0 ? timeout_ms % 1000 * 1000000 : 0);
    ts.tv_sec += (time_t)((timeout_ms > 0 ? timeout_ms / 1000 : 0) + ns / 1000000000);
    ts.tv_nsec = (long)(ns % 1000000000);
    return pthread_clockjoin_np(t, NULL, CLOCK_MONOTONIC, &ts) == 0;
}

unsigned tc_thread_slot(void)
{
    /* The address of a thread-local differs from thread to thread; thread blocks are pages apart, hence the mixing. */
    static _Thread_local char here;
    uint64_t x = (uint64_t)(uintptr_t)&here;
    x *= UINT64_C(0x9E3779B97F4A7C15);
    return (unsigned)(x >> 48);
}
