/* One request of one caller: its encoded commands, and what was answered.
 *
 * It lives on the heap, so that a caller whose deadline passes can go: it leaves the call behind, marked abandoned,
 * and whoever reads the late answer frees it. Fields are marked with who may touch them between
 * tc_pipe_run()'s start and the call's end: L = the connection's leader, P = anyone with the pipe's lock. */
#ifndef TC_TIER_REDIS_CALL_H
#define TC_TIER_REDIS_CALL_H

#include "platform/platform.h"
#include "tier/redis/command.h"
#include "tier/redis/decode.h"
#include "tier/redis/env.h"

enum tc_call_kind {
    TC_CALL_GET,      /* GET and PTTL in turns */
    TC_CALL_SET,      /* SETs */
    TC_CALL_DEL,      /* DELs */
    TC_CALL_HANDSHAKE /* commands that answer with a status */
};

struct tc_call {
    struct tc_call *next; /* P in the queue; L in flight and after */
    struct tc_redis_env *env;
    enum tc_call_kind kind;
    struct tc_command command; /* filled by the caller before, read by L */
    size_t sent;               /* L: bytes of command that were written */
    struct tc_result *results; /* L */
    size_t n_results;          /* how many answers the commands have */
    size_t n_have;             /* L: how many came */
    struct tc_result few[2];
    struct tc_event event;  /* set once when the caller becomes leader or, being no leader, when done is set */
    bool done;              /* P: status and results are final */
    bool leads;             /* P: it is the caller's turn to lead */
    _Atomic bool abandoned; /* set under P; a hint to L before */
    bool found_closed;      /* with done: it is worth another connection: nothing of it ran, or it only reads */
    int status;             /* with done */
};

/* FIFO of calls. */
struct tc_calls {
    struct tc_call *head, *tail;
    size_t n;
};

/* NULL when out of memory or of semaphores. */
struct tc_call *tc_call_new(struct tc_redis_env *env, enum tc_call_kind kind, size_t n_results);
/* Frees it with the values that were not taken out of results; call may be NULL. */
void tc_call_free(struct tc_call *call);
/* Makes it as new, with the same commands, so that it can be run again. */
void tc_call_rewind(struct tc_call *call);

static inline bool tc_call_is_abandoned(const struct tc_call *call)
{
    return atomic_load_explicit(&call->abandoned, memory_order_relaxed);
}

/* Whether its next answer may begin with that byte; a byte that is no RESP2 type is left to the scanner. */
bool tc_call_expects(const struct tc_call *call, char type);

void tc_calls_push(struct tc_calls *q, struct tc_call *call);
struct tc_call *tc_calls_pop(struct tc_calls *q); /* NULL: empty */
bool tc_calls_remove(struct tc_calls *q, struct tc_call *call);

#endif
