/* Everything the library needs from the operating system: locks, waiting, threads, time, entropy, fork detection.
 * One .c file a topic; nothing here knows what a cache is. */
#ifndef TC_PLATFORM_H
#define TC_PLATFORM_H

#include <assert.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define TC_CACHELINE 64
#define TC_ARRAY_LEN(a) (sizeof(a) / sizeof(*(a)))

/* Never part of whoever calls it: what is seldom done on a way that is flattened. */
#define TC_APART __attribute__((noinline))

/* Invariants of the library itself, never checks of what a caller gave; compiled out with NDEBUG. */
#define tc_assert(x) assert(x)

/* In a loop that waits for another processor. */
static inline void tc_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* ---- clock.c: real time of this machine; everything above uses struct tc_clock (base/hooks.h) ---- */
int64_t tc_mono_ns(void);        /* CLOCK_MONOTONIC, ns */
int64_t tc_mono_ms(void);        /* the same in ms */
/* CLOCK_MONOTONIC_COARSE, ms: never ahead of tc_mono_ms, behind by one tick. */
static inline int64_t tc_mono_coarse_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (int64_t)ts.tv_sec * 1000 + (int64_t)((uint32_t)ts.tv_nsec / 1000000);
}
int64_t tc_wall_ms(void);        /* CLOCK_REALTIME, ms */

/* ---- lock.c: a mutex that knows its holder in debug builds; a condition on the monotonic clock ---- */
struct tc_lock {
    pthread_mutex_t mutex;
    _Atomic uint32_t waiting; /* threads that found it taken, */
    _Atomic uint32_t turns;   /* and how often one of them got it */
#ifndef NDEBUG
    pthread_t holder; /* valid while held */
    _Atomic bool held;
#endif
};
int tc_lock_init(struct tc_lock *l); /* 0 or an errno */
void tc_lock_fini(struct tc_lock *l);
/* For who let it go to have it again at once: lets somebody who waits for it have it first, since he would hardly wake
 * up before. Yields the processor once if nobody does, for a millisecond at most if nobody takes it. Who comes back
 * from tc_cond_wait() is not counted among those who wait. */
void tc_lock_let_others(struct tc_lock *l);
void tc_lock_wait(struct tc_lock *l); /* acquires one that somebody has */
#ifdef NDEBUG
static inline void tc_lock_acquire(struct tc_lock *l)
{
    if (__builtin_expect(pthread_mutex_trylock(&l->mutex) != 0, 0))
        tc_lock_wait(l);
}
static inline bool tc_lock_try(struct tc_lock *l)
{
    return pthread_mutex_trylock(&l->mutex) == 0;
}
static inline void tc_lock_release(struct tc_lock *l)
{
    pthread_mutex_unlock(&l->mutex);
}
#define tc_lock_assert_held(l) ((void)(l))
#else
void tc_lock_acquire(struct tc_lock *l);
bool tc_lock_try(struct tc_lock *l); /* false: somebody has it */
void tc_lock_release(struct tc_lock *l);
bool tc_lock_is_mine(struct tc_lock *l);
#define tc_lock_assert_held(l) tc_assert(tc_lock_is_mine(l))
#endif

struct tc_cond {
    pthread_cond_t cond;
};
int tc_cond_init(struct tc_cond *c); /* 0 or an errno */
void tc_cond_fini(struct tc_cond *c);
void tc_cond_broadcast(struct tc_cond *c);
/* Waits on c with l held until woken or for timeout_ms (<= 0: returns at once). False when the time ran out.
 * Wakes spuriously, as conditions do: loop on the condition. */
bool tc_cond_wait(struct tc_cond *c, struct tc_lock *l, int64_t timeout_ms);

/* ---- lock.c too: one-shot wake-up of one waiting thread, with a deadline in real time ---- */
struct tc_event {
    sem_t sem;
    _Atomic unsigned sets; /* orders what happened before a set with what comes after a wait, for ThreadSanitizer too,
                              which does not know sem_clockwait() */
};
int tc_event_init(struct tc_event *e); /* 0 or an errno */
void tc_event_fini(struct tc_event *e);
void tc_event_set(struct tc_event *e);                       /* wakes one wait, now or later */
bool tc_event_wait(struct tc_event *e, int64_t timeout_ms);  /* false: not set within timeout_ms */

/* ---- thread.c ---- */
struct tc_thread {
    pthread_t id;
    struct tc_event ended;
    void *(*run)(void *arg);
    void *arg;
};
/* Starts a thread with all signals blocked and that name; *t must stay where it is until it is joined. 0 or an errno.
 * */
int tc_thread_start(struct tc_thread *t, const char *name, void *(*run)(void *arg), void *arg);
/* Joins within timeout_ms. False: it still runs. */
bool tc_thread_join(struct tc_thread *t, int64_t timeout_ms);
/* A thread that waits in the library must not be cancelled there: it may hold what others wait for. */
int tc_cancel_disable(void); /* the state before, for tc_cancel_restore */
void tc_cancel_restore(int state);
/* A small number that tells threads apart well enough to spread counters; constant within a thread. */
unsigned tc_thread_slot(void);

/* ---- barrier.c ---- */
/* Asks for the asymmetric barrier. False: this system has none. */
bool tc_barrier_init(void);
/* A full barrier in every thread of this process that runs: it pairs with a mere compiler barrier there. A few
 * microseconds, and the other processors are interrupted. False: it did not happen. */
bool tc_barrier_heavy(void);

/* ---- pages.c ---- */
#define TC_SYSTEM_PAGE ((size_t)4096)
void *tc_pages_map(size_t n); /* zeroed; NULL when out of memory */
/* The same at an address of which 2 MiB is a divisor. huge: the system is asked for huge pages. */
void *tc_pages_map_aligned(size_t n, bool huge);
void tc_pages_unmap(void *p, size_t n); /* n as mapped */
void tc_pages_forget(void *p, size_t n); /* whole pages: they stay mapped, their memory goes back to the system */

/* ---- random.c ---- */
/* Fills p from getrandom(). 0 or an errno. */
int tc_random_bytes(void *p, size_t n);

/* ---- fork.c: tells a forked child from the process that made the guard, without a process-wide handler ---- */
struct tc_fork_guard {
    volatile uint64_t *page; /* wiped by the kernel in a child; NULL: compare pid */
    int64_t pid;
};
int tc_fork_guard_init(struct tc_fork_guard *g); /* 0 or an errno */
void tc_fork_guard_fini(struct tc_fork_guard *g);
#define TC_FORK_GUARD_MARK UINT64_C(0x7469657263616368)
bool tc_fork_guard_is_other_process(const struct tc_fork_guard *g);
/* A word that holds v here and 0 in a child, until fini; one that always holds 0 if the kernel gives no such memory:
 * then only is_child() can tell. For one word of a guard. */
const volatile uint64_t *tc_fork_guard_word(struct tc_fork_guard *g, uint64_t v);
static inline bool tc_fork_guard_is_child(const struct tc_fork_guard *g)
{
    return g->page != NULL ? *g->page != TC_FORK_GUARD_MARK : tc_fork_guard_is_other_process(g);
}

#endif
