/* Reading and writing of one connection.
 *
 * Writing gathers the commands of several calls from the calls' own buffers, in order; a partial write leaves
 * call->sent in the middle of one, and the next write goes on there and nowhere else.
 *
 * Reading goes into one buffer of fixed size. Each byte is scanned once; a complete reply goes to the decoder as it
 * lies in the buffer. A string of TC_CONN_DIRECT_MIN_BYTES or more never goes through the buffer: its memory is
 * allocated when its length is known, and the rest of it received there. All other replies are bounded by the scanner
 * to far less than the buffer, so a partial one always finds room. Answers are checked to be of the kind that the
 * command has, and to come after it was written: anything else means that requests and answers are out of step.
 *
 * A string is received through the buffer and dropped if nobody waits for it, if there is no memory, or if it is
 * longer than max_reply_bytes. The last is no reason to close: another process, which takes longer values, stored it,
 * and everyone else on the connection would pay for it at each read. Only what no Redis can hold is refused. */
#include "tier/redis/conn.h"

#include <string.h>

#include "tiercache.h"

#define SEND_IOV_MAX 64
#define LARGEST_BUFFERED_REPLY (TC_CONN_DIRECT_MIN_BYTES + 64)

_Static_assert(LARGEST_BUFFERED_REPLY > TC_RESP_LINE_MAX_BYTES + 3 && LARGEST_BUFFERED_REPLY < TC_CONN_BUFFER_BYTES,
               "a partial reply fits the buffer");

struct tc_conn *tc_conn_new(struct tc_redis_env *env, struct tc_link link)
{
    struct tc_conn *c = tc_alloc_zeroed(env->alloc, sizeof *c);
    char *in = tc_alloc(env->alloc, TC_CONN_BUFFER_BYTES);
    if (c == NULL || in == NULL) {
        tc_free(env->alloc, in, TC_CONN_BUFFER_BYTES);
        tc_free(env->alloc, c, sizeof *c);
        tc_link_close(&link);
        return NULL;
    }
    c->env = env;
    c->link = link;
    c->in = in;
    c->opened_ms = tc_mono_ms();
    uint64_t most = env->max_reply_bytes;
    struct tc_resp_limits limits = { .max_bulk_bytes = TC_RESP_STRING_MAX_BYTES,
                                     .max_total_bytes = TC_RESP_STRING_MAX_BYTES + LARGEST_BUFFERED_REPLY,
                                     .body_min_bytes =
                                         most < TC_CONN_DIRECT_MIN_BYTES ? most + 1 : TC_CONN_DIRECT_MIN_BYTES };
    tc_resp_init(&c->resp, &limits);
    tc_decoder_init(&c->decoder, env->host);
    return c;
}

static void drop_body(struct tc_conn *c)
{
    if (c->body != NULL)
        c->env->host->free(c->env->host->host, c->body, c->body_len);
    c->body = NULL;
    c->in_body = false;
}

void tc_conn_free(struct tc_conn *c)
{
    if (c == NULL)
        return;
    tc_assert(c->ended.n == 0 && c->queue.n == 0);
    for (struct tc_call *call = tc_calls_pop(&c->flight); call != NULL; call = tc_calls_pop(&c->flight)) {
        tc_assert(tc_call_is_abandoned(call));
        tc_call_free(call);
    }
    tc_link_close(&c->link);
    drop_body(c);
    tc_decoder_fini(&c->decoder);
    tc_free(c->env->alloc, c->in, TC_CONN_BUFFER_BYTES);
    tc_free(c->env->alloc, c, sizeof *c);
}

void tc_conn_take(struct tc_conn *c, struct tc_call *call)
{
    tc_calls_push(&c->flight, call);
    if (c->unsent == NULL)
        c->unsent = call;
}

void tc_conn_untake(struct tc_conn *c, struct tc_call *call)
{
    tc_assert(call->sent == 0);
    if (c->unsent == call)
        c->unsent = call->next;
    tc_calls_remove(&c->flight, call);
}

void tc_conn_add_doubt(struct tc_conn *c)
{
    c->doubts++;
    atomic_fetch_add(&c->env->doubts, 1);
}

bool tc_conn_end_doubt(struct tc_conn *c, const struct tc_call *call)
{
    if (call->kind != TC_CALL_SET || !tc_call_is_abandoned(call))
        return false;
    tc_assert(c->doubts > 0);
    c->doubts--;
    atomic_fetch_sub(&c->env->doubts, 1);
    return true;
}

bool tc_conn_in_reply(const struct tc_conn *c)
{
    return !tc_resp_idle(&c->resp);
}

/* ---- writing ---- */

/* No write is begun for a call that is seen to be abandoned: its caller was told that it is over and may have sent, on
 * a newer connection, what must not be overtaken. To look and to write are two steps, though: the write that is under
 * way while a caller gives up may still carry the rest of its command, even all of it. That one cannot be helped, and
 * is why the caller is told that the result is not known; the leader passes the pipe's lock, under which calls are
 * abandoned, before its next write, so there is no second one. Behind a call that is half written nothing can be
 * written either: the connection drains; one of which nothing was written is taken out by the leader. */
static bool may_write(const struct tc_conn *c)
{
    return c->unsent != NULL && !tc_call_is_abandoned(c->unsent);
}

/* False: the connection is gone. */
static bool write_some(struct tc_conn *c)
{
    struct iovec iov[SEND_IOV_MAX];
    size_t n = 0;
    for (struct tc_call *i = c->unsent; i != NULL && !tc_call_is_abandoned(i) && n < SEND_IOV_MAX; i = i->next, n++)
        iov[n] = (struct iovec){ i->command.data + i->sent, i->command.len - i->sent };
    ssize_t rc = tc_link_send(&c->link, iov, n);
    if (rc < 0)
        return false;
    size_t wrote = (size_t)rc;
    tc_redis_count(&c->env->counters, TC_REDIS_bytes_sent, wrote);
    while (wrote > 0) {
        struct tc_call *call = c->unsent;
        size_t left = call->command.len - call->sent, part = wrote < left ? wrote : left;
        call->sent += part;
        wrote -= part;
        if (part == left)
            c->unsent = call->next;
    }
    return true;
}

void tc_conn_flush(struct tc_conn *c)
{
    if (may_write(c))
        write_some(c);
}

/* ---- reading ---- */

static enum tc_conn_state out_of_step(struct tc_conn *c, const char *reason)
{
    c->reason = reason;
    return TC_CONN_PROTOCOL;
}

static enum tc_conn_state end_result(struct tc_conn *c, struct tc_call *call, const struct tc_result *result)
{
    call->n_have++;
    if (result->kind == TC_RESULT_ERROR)
        tc_redis_count(&c->env->counters, tc_reply_counter(result->error), 1);
    else if (result->kind == TC_RESULT_TOO_LONG) /* as foreign as a value of another type */
        tc_redis_count(&c->env->counters, TC_REDIS_err_wrongtype, 1);
    if (call->kind == TC_CALL_SET && result->kind != TC_RESULT_OK && result->kind != TC_RESULT_ERROR)
        return out_of_step(c, "a SET was answered with a status other than OK");
    if (call->n_have < call->n_results)
        return TC_CONN_OPEN;
    if (call->sent < call->command.len)
        return out_of_step(c, "an answer came before its command was written");
    tc_calls_push(&c->ended, tc_calls_pop(&c->flight));
    return TC_CONN_OPEN;
}

/* The current reply is complete and lies in the buffer. */
static enum tc_conn_state decode_reply(struct tc_conn *c, struct tc_call *call)
{
    struct tc_result *result = &call->results[call->n_have];
    switch (tc_decode(&c->decoder, c->in + c->in_reply, c->in_scan - c->in_reply, tc_call_is_abandoned(call), result)) {
    case CACHE_OK:
        return end_result(c, call, result);
    case CACHE_E_NOMEM:
        return TC_CONN_NOMEM;
    default:
        return out_of_step(c, "hiredis does not take a reply for one");
    }
}

static enum tc_conn_state end_body(struct tc_conn *c, struct tc_call *call)
{
    struct tc_result *result = &call->results[call->n_have];
    *result = (struct tc_result){ .kind = c->body_kind,
                                  .data = c->body,
                                  .len = c->body != NULL ? c->body_len : 0 };
    c->body = NULL;
    c->in_body = false;
    return end_result(c, call, result);
}

static void begin_body(struct tc_conn *c, struct tc_call *call)
{
    const struct cache_backend_host *host = c->env->host;
    c->in_body = true;
    c->body_len = c->resp.body_left;
    c->body = NULL;
    c->body_kind = c->body_len > c->env->max_reply_bytes ? TC_RESULT_TOO_LONG : TC_RESULT_BULK;
    if (c->body_kind == TC_RESULT_TOO_LONG || tc_call_is_abandoned(call))
        return;
    c->body = host->alloc(host->host, c->body_len);
    if (c->body == NULL)
        c->body_kind = TC_RESULT_NOMEM;
}

/* Moves what the buffer holds of the string to its place. */
static void take_body(struct tc_conn *c)
{
    size_t have = c->in_end - c->in_scan, n = have < c->resp.body_left ? have : c->resp.body_left;
    if (c->body != NULL)
        memcpy(c->body + (c->body_len - c->resp.body_left), c->in + c->in_scan, n);
    c->in_scan += n;
    tc_resp_skip(&c->resp, n);
}

/* Scans on and stops at the end of the buffer or of a reply. */
static enum tc_conn_state scan(struct tc_conn *c, struct tc_call *call)
{
    size_t used;
    enum tc_resp_state state = tc_resp_scan(&c->resp, c->in + c->in_scan, c->in_end - c->in_scan, &used);
    c->in_scan += used;
    switch (state) {
    case TC_RESP_MORE:
        return TC_CONN_OPEN;
    case TC_RESP_BODY:
        begin_body(c, call);
        return TC_CONN_OPEN;
    case TC_RESP_DONE:
        return c->in_body ? end_body(c, call) : decode_reply(c, call);
    case TC_RESP_BAD:
        break;
    }
    return out_of_step(c, c->resp.reason);
}

static enum tc_conn_state take_replies(struct tc_conn *c)
{
    enum tc_conn_state state = TC_CONN_OPEN;
    while (c->in_scan < c->in_end && state == TC_CONN_OPEN) {
        struct tc_call *call = c->flight.head;
        if (call == NULL || call->sent == 0)
            return out_of_step(c, "something came that answers no command");
        if (c->in_body && c->resp.body_left > 0) {
            take_body(c);
            continue;
        }
        if (tc_resp_idle(&c->resp)) {
            if (!tc_call_expects(call, c->in[c->in_scan]))
                return out_of_step(c, "a reply is not of the kind that its command has");
            c->in_reply = c->in_scan;
        }
        state = scan(c, call);
    }
    return state;
}

/* A partial reply moves to the front when there might be no room for the rest of it. */
static void make_room(struct tc_conn *c)
{
    size_t keep_from = tc_resp_idle(&c->resp) || c->in_body ? c->in_scan : c->in_reply;
    if (keep_from == c->in_end) {
        c->in_reply = c->in_scan = c->in_end = 0;
        return;
    }
    if (c->in_end <= TC_CONN_BUFFER_BYTES - LARGEST_BUFFERED_REPLY)
        return;
    memmove(c->in, c->in + keep_from, c->in_end - keep_from);
    c->in_scan -= keep_from;
    c->in_end -= keep_from;
    c->in_reply = 0;
}

static enum tc_conn_state read_some(struct tc_conn *c)
{
    make_room(c);
    struct iovec iov[2];
    size_t n = 0, direct = 0;
    if (c->in_body && c->body != NULL && c->resp.body_left > 0) {
        direct = c->resp.body_left;
        iov[n++] = (struct iovec){ c->body + (c->body_len - direct), direct };
    }
    iov[n++] = (struct iovec){ c->in + c->in_end, TC_CONN_BUFFER_BYTES - c->in_end };
    ssize_t rc = tc_link_receive(&c->link, iov, n);
    if (rc < 0)
        return TC_CONN_CLOSED;
    size_t got = (size_t)rc, straight = got < direct ? got : direct;
    tc_redis_count(&c->env->counters, TC_REDIS_bytes_received, got);
    if (straight > 0)
        tc_resp_skip(&c->resp, straight);
    c->in_end += got - straight;
    return got > 0 ? take_replies(c) : TC_CONN_TIMEOUT;
}

/* The write failed; answers that were given before the server went may still be there. */
static enum tc_conn_state read_the_rest(struct tc_conn *c)
{
    enum tc_conn_state state;
    do
        state = read_some(c);
    while (state == TC_CONN_OPEN);
    return state == TC_CONN_TIMEOUT ? TC_CONN_CLOSED : state;
}

enum tc_conn_state tc_conn_exchange(struct tc_conn *c, int64_t until_ms)
{
    if (may_write(c) && !write_some(c))
        return read_the_rest(c);
    short events = may_write(c) ? POLLIN | POLLOUT : POLLIN;
    short seen = tc_link_wait(&c->link, events, until_ms);
    if (seen == 0)
        return TC_CONN_TIMEOUT;
    if ((seen & ~POLLOUT) == 0)
        return TC_CONN_OPEN;
    enum tc_conn_state state = read_some(c);
    return state == TC_CONN_TIMEOUT ? TC_CONN_OPEN : state;
}
