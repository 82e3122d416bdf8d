/* A Redis server that lies: a tiny working one on a socket, in a thread of the test process, which misbehaves when the
 * test says so. It knows AUTH SELECT PING ECHO QUIT GET MGET SET(PX) PTTL DEL UNLINK EXISTS FLUSHALL CLIENT; everything
 * else, HELLO too, is an unknown command, as in Redis 5. Its clock is real.
 *
 * Every function may be called from any thread. Those that change the server's behaviour return when it is in force:
 * nothing that the server reads after that escapes it. */
#ifndef TT_REDIS_H
#define TT_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tt_redis_net { TT_REDIS_UNIX, TT_REDIS_TCP }; /* TCP: a free port of 127.0.0.1 */

struct tt_redis;

struct tt_redis *tt_redis_start(enum tt_redis_net net);
void tt_redis_stop(struct tt_redis *r);          /* closes everything, frees r; r may be NULL */
const char *tt_redis_url(const struct tt_redis *r); /* without user and password; valid until stop */
/* A URL with credentials, as "user:password" or ":password". Caller frees. */
char *tt_redis_url_with(const struct tt_redis *r, const char *credentials);

/* ---- how it takes connections ---- */

enum tt_redis_door {
    TT_DOOR_OPEN,
    TT_DOOR_SHUT, /* connect() is refused; the address stays ours */
    TT_DOOR_SLAM, /* accepted and closed at once */
    TT_DOOR_RESET /* accepted and reset (TCP) */
};
void tt_redis_door(struct tt_redis *r, enum tt_redis_door door);

/* Every new connection is sent these bytes first (NULL: none), then closed if then_close. Sent only this, and whatever
 * it says is neither parsed nor answered, if deaf: so behaves a server that is no Redis. */
void tt_redis_greet(struct tt_redis *r, const char *bytes, size_t len, bool deaf, bool then_close);

void tt_redis_require(struct tt_redis *r, const char *user, const char *password); /* user NULL: "default" */
void tt_redis_read_at_most(struct tt_redis *r, size_t bytes);  /* in one go; 0 = reads nothing, SIZE_MAX = normal */
void tt_redis_receive_buffer(struct tt_redis *r, int bytes);   /* SO_RCVBUF of connections still to come (TCP) */
void tt_redis_freeze(struct tt_redis *r, bool frozen); /* as SIGSTOP: connects succeed, nothing else happens */

/* ---- what it does to connections that are there ---- */

void tt_redis_kick(struct tt_redis *r, bool reset);                     /* closes (or resets) all of them now */
void tt_redis_say(struct tt_redis *r, const char *bytes, size_t len);   /* sends something nobody asked for to all */

/* ---- faults of commands ---- */

enum tt_redis_then { TT_THEN_GO_ON, TT_THEN_CLOSE, TT_THEN_RESET };

/* Zeroed is: every command, from the next on, for ever, answered as it should be. Strings are copied. */
struct tt_redis_fault {
    const char *command; /* upper case; NULL = any command */
    unsigned skip;       /* leaves that many alone first */
    unsigned times;      /* then meets that many; 0 = until tt_redis_clear */
    bool not_run;        /* the command is not executed; without a `reply` it is not answered either */
    const char *reply;   /* instead of the true reply */
    size_t reply_len;    /* 0 = strlen(reply), so the empty string is no reply at all */
    const char *extra;   /* after the reply */
    size_t extra_len;    /* 0 = strlen(extra) */
    unsigned drip_ms;    /* one byte each so many ms */
    bool stall;          /* the reply, and all after it on this connection, waits for tt_redis_release */
    enum tt_redis_then then;
    size_t cut;          /* with then: so many bytes of the reply still go out, SIZE_MAX = all */
};
/* Adds f to those that are there. A command meets the oldest that fits it. */
void tt_redis_fault(struct tt_redis *r, const struct tt_redis_fault *f);
/* Answers every such command with that error line ("OOM command not allowed ...", without - and CRLF), unexecuted. */
void tt_redis_answer_error(struct tt_redis *r, const char *command, const char *line);
void tt_redis_clear(struct tt_redis *r);        /* no fault any more; what is stalled stays so until released */
unsigned tt_redis_stalled(struct tt_redis *r);  /* replies that wait */
void tt_redis_release(struct tt_redis *r);      /* lets them go */

/* ---- what it saw ---- */

struct tt_redis_seen {
    unsigned connections; /* accepted */
    unsigned open;        /* of these, open now */
    unsigned commands;    /* complete ones */
    unsigned data;        /* of these, those that touch a key: GET SET DEL ... */
    unsigned early;       /* of these, those that came first on a connection or before a handshake command's answer */
    unsigned malformed;   /* bytes that are no command: at most one a connection, which is then closed */
    unsigned torn;        /* connections that the client closed in the middle of a command */
    uint64_t bytes;       /* received */
};
struct tt_redis_seen tt_redis_seen(struct tt_redis *r);
unsigned tt_redis_count(struct tt_redis *r, const char *command); /* complete commands of that name */
/* The log: a line "connection COMMAND first-argument" each, arguments cut at 40 bytes. Caller frees. */
char *tt_redis_log(struct tt_redis *r);
void tt_redis_forget(struct tt_redis *r); /* empties the log, and the counters of commands but not of connections */

/* ---- what it stores (db 0) ---- */

size_t tt_redis_keys(struct tt_redis *r);
bool tt_redis_peek(struct tt_redis *r, const char *key, size_t key_len, void **data, size_t *len); /* free(*data) */

#endif
