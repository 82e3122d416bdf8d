/* Requests and FIFOs of them: no locking of its own, see call.h for who may touch what. */
#include "tier/redis/call.h"

#include <string.h>

#include "tiercache.h"

struct tc_call *tc_call_new(struct tc_redis_env *env, enum tc_call_kind kind, size_t n_results)
{
    if (n_results > SIZE_MAX / sizeof(struct tc_result))
        return NULL;
    struct tc_call *call = tc_alloc(env->alloc, sizeof *call);
    if (call == NULL)
        return NULL;
    call->next = NULL;
    call->env = env;
    call->kind = kind;
    call->n_results = n_results;
    call->results = call->few;
    call->n_have = 0;
    if (n_results > TC_ARRAY_LEN(call->few)) {
        call->results = tc_alloc(env->alloc, n_results * sizeof *call->results);
        if (call->results == NULL) {
            tc_free(env->alloc, call, sizeof *call);
            return NULL;
        }
    }
    if (tc_event_init(&call->event) != 0) {
        if (call->results != call->few)
            tc_free(env->alloc, call->results, n_results * sizeof *call->results);
        tc_free(env->alloc, call, sizeof *call);
        return NULL;
    }
    tc_command_init(&call->command, env->alloc);
    tc_call_rewind(call);
    return call;
}

static void drop_results(struct tc_call *call)
{
    const struct cache_backend_host *host = call->env->host;
    for (size_t i = 0; i < call->n_have; i++)
        if (call->results[i].data != NULL)
            host->free(host->host, call->results[i].data, call->results[i].len);
    call->n_have = 0;
}

void tc_call_rewind(struct tc_call *call)
{
    drop_results(call);
    call->sent = 0;
    call->done = false;
    call->leads = false;
    call->found_closed = false;
    call->status = CACHE_OK;
    atomic_init(&call->abandoned, false);
}

void tc_call_free(struct tc_call *call)
{
    if (call == NULL)
        return;
    drop_results(call);
    if (call->results != call->few)
        tc_free(call->env->alloc, call->results, call->n_results * sizeof *call->results);
    tc_command_fini(&call->command);
    tc_event_fini(&call->event);
    tc_free(call->env->alloc, call, sizeof *call);
}

bool tc_call_expects(const struct tc_call *call, char type)
{
    switch (type) {
    case '-':
        return true;
    case '+':
        return call->kind == TC_CALL_SET || call->kind == TC_CALL_HANDSHAKE;
    case ':':
        return call->kind == TC_CALL_DEL || (call->kind == TC_CALL_GET && call->n_have % 2 == 1);
    case '$':
        return call->kind == TC_CALL_GET && call->n_have % 2 == 0;
    case '*':
        return false;
    default:
        return true;
    }
}

void tc_calls_push(struct tc_calls *q, struct tc_call *call)
{
    call->next = NULL;
    if (q->tail != NULL)
        q->tail->next = call;
    else
        q->head = call;
    q->tail = call;
    q->n++;
}

struct tc_call *tc_calls_pop(struct tc_calls *q)
{
    struct tc_call *call = q->head;
    if (call == NULL)
        return NULL;
    q->head = call->next;
    if (q->head == NULL)
        q->tail = NULL;
    q->n--;
    call->next = NULL;
    return call;
}

bool tc_calls_remove(struct tc_calls *q, struct tc_call *call)
{
    struct tc_call *before = NULL;
    for (struct tc_call *i = q->head; i != NULL; before = i, i = i->next) {
        if (i != call)
            continue;
        if (before != NULL)
            before->next = i->next;
        else
            q->head = i->next;
        if (q->tail == i)
            q->tail = before;
        q->n--;
        return true;
    }
    return false;
}
