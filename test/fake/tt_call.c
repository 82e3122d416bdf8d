/* Calls in threads of their own. Whether a thread sleeps is asked of the kernel: there is no other way to see from
 * outside that a caller has come to wait for something that only the library knows. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tt_cache.h"
#include "tt_util.h"

enum { HANGS_S = 60, LOOKS = 20 };

static int set(struct tt_call *call)
{
    struct cache_set_opts o = CACHE_SET_OPTS_INIT;
    o.timeout_ms = call->timeout_ms;
    o.ticket = call->ticket;
    return cache_set(call->b->c, call->k, call->text, strlen(call->text), &o);
}

static int invalidate(struct tt_call *call)
{
    struct cache_call o = CACHE_CALL_INIT;
    o.timeout_ms = call->timeout_ms;
    return cache_invalidate(call->b->c, call->k, &o);
}

static void *run(void *arg)
{
    struct tt_call *call = arg;
    int64_t start_ms = tt_mono_ms();
    atomic_store(&call->tid, gettid());
    switch (call->verb) {
    case TT_VERB_GET:
        call->answer = tt_cache_get_with(call->b, call->k, call->flags, call->timeout_ms, NULL);
        break;
    case TT_VERB_SET:
        call->answer.status = set(call);
        break;
    case TT_VERB_FETCH:
        call->answer = tt_cache_fetch_with(call->b, call->k, call->l, call->flags, call->timeout_ms);
        break;
    case TT_VERB_INVALIDATE:
        call->answer.status = invalidate(call);
        break;
    }
    call->took_ms = tt_mono_ms() - start_ms;
    atomic_store(&call->done, true);
    return NULL;
}

void tt_call_start(struct tt_call *call)
{
    if (pthread_create(&call->thread, NULL, run, call) != 0)
        tt_die("no thread");
}

void tt_call_join(struct tt_call *call)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += HANGS_S;
    if (pthread_timedjoin_np(call->thread, NULL, &end) != 0)
        tt_die("a call hangs");
}

static bool is_asleep(pid_t tid)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    const char *state = n > 0 ? strrchr(text, ')') : NULL;
    return state != NULL && state[1] == ' ' && state[2] == 'S';
}

bool tt_call_await_asleep(struct tt_call *call)
{
    int64_t end_ms = tt_mono_ms() + TT_SOON_MS;
    /* Several looks in a row: a short wait for a lock is no sleep. */
    for (int in_a_row = 0; in_a_row < LOOKS;) {
        pid_t tid = atomic_load(&call->tid);
        in_a_row = tid != 0 && is_asleep(tid) ? in_a_row + 1 : 0;
        if (!tt_pause(end_ms))
            return false;
    }
    return true;
}
