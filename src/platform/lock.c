/* Mutex and condition. Errors that pthreads can only report for misuse (EINVAL, EPERM) are invariants here. */
#include "platform/platform.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

int tc_lock_init(struct tc_lock *l)
{
    atomic_init(&l->waiting, 0);
    atomic_init(&l->turns, 0);
#ifndef NDEBUG
    l->held = false;
#endif
    pthread_mutexattr_t attr;
    int rc = pthread_mutexattr_init(&attr);
    if (rc != 0)
        return rc;
    /* The library holds its locks for less time than going to sleep takes: spin a little first. */
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
    rc = pthread_mutex_init(&l->mutex, &attr);
    pthread_mutexattr_destroy(&attr);
    return rc;
}

void tc_lock_fini(struct tc_lock *l)
{
    pthread_mutex_destroy(&l->mutex);
}

void tc_lock_wait(struct tc_lock *l)
{
    atomic_fetch_add_explicit(&l->waiting, 1, memory_order_relaxed);
    int rc = pthread_mutex_lock(&l->mutex);
    tc_assert(rc == 0);
    (void)rc;
    atomic_fetch_add_explicit(&l->turns, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&l->waiting, 1, memory_order_relaxed);
}

#define LET_NS 1000000 /* who sleeps is awake by then, if he gets a processor */

static bool is_awaited(struct tc_lock *l, uint32_t turns)
{
    return atomic_load_explicit(&l->waiting, memory_order_relaxed) > 0 &&
           atomic_load_explicit(&l->turns, memory_order_relaxed) == turns;
}

void tc_lock_let_others(struct tc_lock *l)
{
    uint32_t turns = atomic_load_explicit(&l->turns, memory_order_relaxed);
    int64_t until_ns = tc_mono_ns() + LET_NS;
    do
        sched_yield();
    while (is_awaited(l, turns) && tc_mono_ns() < until_ns);
}

#ifndef NDEBUG
void tc_lock_acquire(struct tc_lock *l)
{
    if (pthread_mutex_trylock(&l->mutex) != 0)
        tc_lock_wait(l);
    l->holder = pthread_self();
    l->held = true;
}

bool tc_lock_try(struct tc_lock *l)
{
    if (pthread_mutex_trylock(&l->mutex) != 0)
        return false;
    l->holder = pthread_self();
    l->held = true;
    return true;
}

void tc_lock_release(struct tc_lock *l)
{
    tc_lock_assert_held(l);
    l->held = false;
    int rc = pthread_mutex_unlock(&l->mutex);
    tc_assert(rc == 0);
}

/* Reads holder only when held is set by this very thread, so it races with nobody. */
__attribute__((no_sanitize("thread"))) bool tc_lock_is_mine(struct tc_lock *l)
{
    return l->held && pthread_equal(l->holder, pthread_self());
}
#endif

int tc_cond_init(struct tc_cond *c)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);
    if (rc != 0)
        return rc;
    rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (rc == 0)
        rc = pthread_cond_init(&c->cond, &attr);
    pthread_condattr_destroy(&attr);
    return rc;
}

void tc_cond_fini(struct tc_cond *c)
{
    pthread_cond_destroy(&c->cond);
}

void tc_cond_broadcast(struct tc_cond *c)
{
    pthread_cond_broadcast(&c->cond);
}

/* Far enough in the future for any wait, near enough not to overflow time_t arithmetic. */
#define LONGEST_WAIT_MS INT64_C(31536000000)

static struct timespec monotonic_after(int64_t timeout_ms)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    if (timeout_ms > LONGEST_WAIT_MS)
        timeout_ms = LONGEST_WAIT_MS;
    ts.tv_sec += (time_t)(timeout_ms / 1000);
    ts.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }
    return ts;
}

bool tc_cond_wait(struct tc_cond *c, struct tc_lock *l, int64_t timeout_ms)
{
    tc_lock_assert_held(l);
    if (timeout_ms <= 0)
        return false;
    struct timespec until = monotonic_after(timeout_ms);
#ifndef NDEBUG
    l->held = false;
#endif
    int cancel = tc_cancel_disable();
    int rc = pthread_cond_timedwait(&c->cond, &l->mutex, &until);
    tc_cancel_restore(cancel);
#ifndef NDEBUG
    l->holder = pthread_self();
    l->held = true;
#endif
    return rc != ETIMEDOUT;
}

int tc_event_init(struct tc_event *e)
{
    e->sets = 0;
    return sem_init(&e->sem, 0, 0) == 0 ? 0 : errno;
}

void tc_event_fini(struct tc_event *e)
{
    sem_destroy(&e->sem);
}

void tc_event_set(struct tc_event *e)
{
    atomic_fetch_add_explicit(&e->sets, 1, memory_order_release);
    sem_post(&e->sem);
}

static bool wait_for_sem(sem_t *sem, int64_t timeout_ms)
{
    if (timeout_ms <= 0)
        return sem_trywait(sem) == 0;
    struct timespec until = monotonic_after(timeout_ms);
    int rc;
    do
        rc = sem_clockwait(sem, CLOCK_MONOTONIC, &until);
    while (rc != 0 && errno == EINTR);
    return rc == 0;
}

bool tc_event_wait(struct tc_event *e, int64_t timeout_ms)
{
    bool set = wait_for_sem(&e->sem, timeout_ms);
    if (set)
        (void)atomic_load_explicit(&e->sets, memory_order_acquire);
    return set;
}
