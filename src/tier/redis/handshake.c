/* The handshake: AUTH, SELECT, PING in one write, as an ordinary call on a connection that nobody else has yet.
 *
 * PING is what tells a Redis from anything else that listens there: the scanner refuses an HTTP or TLS server's words,
 * and only PONG will do. A Redis that cannot persist answers even PING with MISCONF but still serves reads, so that
 * counts as up. The user's name goes into messages with unprintable bytes replaced. */
#include "tier/redis/handshake.h"

#include <stdio.h>
#include <string.h>

#include "tiercache.h"

#define USER_SHOWN_BYTES 64
#define HANDSHAKE_BYTES 256 /* of all commands without user and password, with room to encode any argument */

enum question { ASK_AUTH, ASK_SELECT, ASK_PING };

struct questions {
    enum question list[3];
    size_t n;
};

static void ask(struct questions *q, enum question what)
{
    q->list[q->n++] = what;
}

static struct questions questions_of(const struct tc_redis_url *url)
{
    struct questions q = { .n = 0 };
    if (url->user != NULL || url->password != NULL)
        ask(&q, ASK_AUTH);
    if (url->db != 0)
        ask(&q, ASK_SELECT);
    ask(&q, ASK_PING);
    return q;
}

/* All room is made at once: growing would leave a copy of the password in memory that is not wiped. */
static void write_commands(struct tc_command *c, const struct questions *q, const struct tc_redis_url *url)
{
    size_t secrets = (url->user != NULL ? strlen(url->user) : 0) + (url->password != NULL ? strlen(url->password) : 0);
    tc_command_reserve(c, secrets + HANDSHAKE_BYTES);
    for (size_t i = 0; i < q->n; i++) {
        switch (q->list[i]) {
        case ASK_AUTH:
            tc_command_begin(c, url->user != NULL ? 3 : 2);
            tc_command_arg_text(c, "AUTH");
            if (url->user != NULL)
                tc_command_arg_text(c, url->user);
            tc_command_arg_text(c, url->password != NULL ? url->password : "");
            break;
        case ASK_SELECT:
            tc_command_begin(c, 2);
            tc_command_arg_text(c, "SELECT");
            tc_command_arg_number(c, url->db);
            break;
        case ASK_PING:
            tc_command_begin(c, 1);
            tc_command_arg_text(c, "PING");
            break;
        }
    }
}

static const char *shown_user(const struct tc_redis_url *url, char *out, size_t cap)
{
    snprintf(out, cap, "%s", url->user != NULL ? url->user : "default");
    for (char *p = out; *p != '\0'; p++)
        if (*p < 0x20 || *p > 0x7e)
            *p = '?';
    return out;
}

/* What an error answer to that question means. */
static int judge_error(enum question what, enum tc_reply_error error, const struct tc_redis_url *url, char *text,
                       size_t cap)
{
    char user[USER_SHOWN_BYTES];
    int status = tc_reply_status(error);
    shown_user(url, user, sizeof user);
    if (error == TC_REPLY_DENIED) {
        snprintf(text, cap, "runs in protected mode and refuses connections from here");
    } else if (what == ASK_AUTH && (error == TC_REPLY_OTHER || error == TC_REPLY_WRONGPASS)) {
        status = CACHE_E_AUTH;
        snprintf(text, cap, "refused the password of user '%s'", user);
    } else if (error == TC_REPLY_NOAUTH && url->user == NULL && url->password == NULL) {
        snprintf(text, cap, "wants a password and the URL has none");
    } else if (status == CACHE_E_AUTH) {
        snprintf(text, cap, "refused %s to user '%s' (%s)",
                 what == ASK_AUTH ? "AUTH" : what == ASK_SELECT ? "SELECT" : "PING", user, tc_reply_name(error));
    } else if (what == ASK_PING && error == TC_REPLY_MISCONF) {
        status = CACHE_OK;
        snprintf(text, cap, "cannot write its data to disk and refuses writes (MISCONF)");
    } else if (what == ASK_SELECT && error == TC_REPLY_OTHER) {
        snprintf(text, cap, "has no database %d", url->db);
    } else {
        snprintf(text, cap, "answered %s to the handshake", tc_reply_name(error));
    }
    return status;
}

static int judge(const struct questions *q, const struct tc_call *call, const struct tc_redis_url *url, char *text,
                 size_t cap)
{
    for (size_t i = 0; i < call->n_have; i++) {
        const struct tc_result *r = &call->results[i];
        enum tc_result_kind wanted = q->list[i] == ASK_PING ? TC_RESULT_PONG : TC_RESULT_OK;
        int status = CACHE_OK;
        if (r->kind == TC_RESULT_ERROR) {
            status = judge_error(q->list[i], r->error, url, text, cap);
        } else if (r->kind != wanted) {
            snprintf(text, cap, "is not a Redis server: it answers %s wrongly",
                     q->list[i] == ASK_PING ? "PING" : "AUTH or SELECT");
            status = CACHE_E_PROTOCOL;
        }
        if (status != CACHE_OK)
            return status;
    }
    return CACHE_OK;
}

/* The connection failed before all answers were in; an error answer that came before that says more. */
static int judge_failure(enum tc_conn_state state, const char *reason, char *text, size_t cap)
{
    switch (state) {
    case TC_CONN_PROTOCOL:
        snprintf(text, cap, "is not a Redis server: %s", reason);
        return CACHE_E_PROTOCOL;
    case TC_CONN_NOMEM:
        snprintf(text, cap, "was left: no memory to read its answer");
        return CACHE_E_NOMEM;
    case TC_CONN_CLOSED:
        snprintf(text, cap, "closed the connection during the handshake");
        return CACHE_E_UNAVAILABLE;
    case TC_CONN_OPEN:
    case TC_CONN_TIMEOUT:
        break;
    }
    snprintf(text, cap, "accepted the connection but did not answer in time");
    return CACHE_E_TIMEOUT;
}

/* Runs call on c, which nobody else uses, and leaves c empty. */
static enum tc_conn_state run_alone(struct tc_conn *c, struct tc_call *call, int64_t until_ms)
{
    enum tc_conn_state state = TC_CONN_OPEN;
    tc_conn_take(c, call);
    while (c->ended.n == 0 && state == TC_CONN_OPEN) {
        state = tc_conn_exchange(c, until_ms);
        if (state == TC_CONN_OPEN && c->ended.n == 0 && tc_mono_ms() >= until_ms)
            state = TC_CONN_TIMEOUT;
    }
    c->unsent = NULL;
    tc_calls_pop(&c->flight);
    tc_calls_pop(&c->ended);
    return state;
}

int tc_handshake(struct tc_conn *c, const struct tc_redis_url *url, int64_t until_ms, char *text, size_t text_cap)
{
    struct questions q = questions_of(url);
    struct tc_call *call = tc_call_new(c->env, TC_CALL_HANDSHAKE, q.n);
    text[0] = '\0';
    if (call != NULL)
        write_commands(&call->command, &q, url);
    if (call == NULL || call->command.status != CACHE_OK) {
        tc_call_free(call);
        snprintf(text, text_cap, "was not asked: out of memory");
        return CACHE_E_NOMEM;
    }
    enum tc_conn_state state = run_alone(c, call, until_ms);
    int status = judge(&q, call, url, text, text_cap);
    if (status == CACHE_OK && state != TC_CONN_OPEN)
        status = judge_failure(state, c->reason, text, text_cap);
    explicit_bzero(call->command.data, call->command.len);
    tc_call_free(call);
    return status;
}
