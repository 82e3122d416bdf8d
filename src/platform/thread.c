/* The library's own threads, and telling threads apart. */
#include "platform/platform.h"

#include <signal.h>
#include <stdatomic.h>

static void *run_thread(void *arg)
{
    struct tc_thread *t = arg;
    void *result = t->run(t->arg);
    tc_event_set(&t->ended);
    return result;
}

int tc_thread_start(struct tc_thread *t, const char *name, void *(*run)(void *arg), void *arg)
{
    t->run = run;
    t->arg = arg;
    int rc = tc_event_init(&t->ended);
    if (rc != 0)
        return rc;
    /* The new thread inherits the mask: blocking around the creation leaves no moment in which it could be picked for
     * one of the application's signals. */
    sigset_t all, before;
    sigfillset(&all);
    rc = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (rc == 0) {
        rc = pthread_create(&t->id, NULL, run_thread, t);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (rc == 0)
        pthread_setname_np(t->id, name);
    else
        tc_event_fini(&t->ended);
    return rc;
}

bool tc_thread_join(struct tc_thread *t, int64_t timeout_ms)
{
    /* A timed join on the monotonic clock exists, but not under ThreadSanitizer; this is the same: what is left after
     * the event is the thread's way out. */
    if (!tc_event_wait(&t->ended, timeout_ms))
        return false;
    pthread_join(t->id, NULL);
    tc_event_fini(&t->ended);
    return true;
}

int tc_cancel_disable(void)
{
    int state = PTHREAD_CANCEL_ENABLE;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return state;
}

void tc_cancel_restore(int state)
{
    int disabled;
    pthread_setcancelstate(state, &disabled);
}

unsigned tc_thread_slot(void)
{
    /* In the order in which threads first ask: neighbours get different slots. The counter carries nothing but that. */
    static _Atomic unsigned threads;
    static _Thread_local unsigned mine;
    if (mine == 0)
        mine = 1 + (atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) & 0xffff);
    return mine;
}
