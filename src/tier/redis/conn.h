/* One connection: writes the commands of the calls in flight, reads and decodes their answers in the same order.
 * Knows nothing of threads: one thread at a time, the leader (pipe.h), uses it. */
#ifndef TC_TIER_REDIS_CONN_H
#define TC_TIER_REDIS_CONN_H

#include "tier/redis/call.h"
#include "tier/redis/resp.h"

#define TC_CONN_BUFFER_BYTES 65536
#define TC_CONN_DIRECT_MIN_BYTES 16384 /* values from this size on are received into their own memory */

enum tc_conn_state {
    TC_CONN_OPEN,     /* something was written, read, or both */
    TC_CONN_TIMEOUT,  /* nothing could be done within the deadline; the connection is as it was */
    TC_CONN_CLOSED,   /* by the server, or reset */
    TC_CONN_PROTOCOL, /* what came is no answer to what was asked; reason says why */
    TC_CONN_NOMEM     /* hiredis had no memory for an answer, so the rest cannot be told apart */
};

struct tc_conn {
    struct tc_redis_env *env;
    struct tc_link link;
    struct tc_resp resp;
    struct tc_decoder decoder;
    struct tc_calls flight; /* taken from the queue, not completely answered */
    struct tc_call *unsent; /* the first in flight that is not completely written; NULL: none */
    struct tc_calls ended;  /* completely answered, to be collected by whoever called exchange */
    const char *reason;     /* static; of the last TC_CONN_PROTOCOL */
    size_t batch;           /* calls taken in flight at the last flush: how crowded it is */

    char *in;        /* TC_CONN_BUFFER_BYTES */
    size_t in_reply; /* where the current reply begins */
    size_t in_scan;  /* up to here it is scanned */
    size_t in_end;   /* up to here it is filled */

    bool in_body; /* the current reply is a string that does not go through in */
    char *body;   /* where to; NULL: dropped */
    size_t body_len;
    enum tc_result_kind body_kind; /* what it makes: BULK, TOO_LONG, or NOMEM */

    /* below: under the pipe's lock */
    struct tc_calls queue;  /* not yet in flight */
    struct tc_call *leader; /* NULL: nobody uses the connection */
    bool draining;          /* it is not worth going on with: no new calls, closed when the last caller has gone */
    bool answered;          /* it did useful work */
    int64_t opened_ms;
    int64_t owed_since_ms; /* the first answer in flight is awaited since then; INT64_MAX: none is */
    bool suspect;          /* and somebody's time has run out over it */
    unsigned doubts;       /* SETs in flight that nobody waits for any more: they may run at any time */
};

/* Takes over link. NULL when out of memory; link is closed then. */
struct tc_conn *tc_conn_new(struct tc_redis_env *env, struct tc_link link);
/* Closes it and frees the abandoned calls in it; nobody may wait in it. c may be NULL. */
void tc_conn_free(struct tc_conn *c);

/* Puts call in flight: the next exchange writes it. */
void tc_conn_take(struct tc_conn *c, struct tc_call *call);
/* Takes back call, of which nothing was written. */
void tc_conn_untake(struct tc_conn *c, struct tc_call *call);
/* Writes what can be written, without waiting. A failure shows in the next exchange. */
void tc_conn_flush(struct tc_conn *c);
/* Writes what can be written, waits until until_ms for something to come, reads and decodes what is there. */
enum tc_conn_state tc_conn_exchange(struct tc_conn *c, int64_t until_ms);
/* Under the pipe's lock: a SET in flight may run at any time from now on; call, if it is one that was abandoned, does
 * not any more, since it was answered or nothing of it was written: true. */
void tc_conn_add_doubt(struct tc_conn *c);
bool tc_conn_end_doubt(struct tc_conn *c, const struct tc_call *call);
/* True when bytes of an answer to the first call in flight have come. */
bool tc_conn_in_reply(const struct tc_conn *c);

#endif
