/* What the fake Redis's thread (tt_redis.c) and the test's side of it (tt_redis_control.c) share.
 *
 * One lock guards everything. The thread holds it except while it polls; the test's side holds it while it changes
 * something, then wakes the thread and waits until that has been once around its loop. Only the thread touches
 * sockets. */
#ifndef TT_REDIS_PRIV_H
#define TT_REDIS_PRIV_H

#include <pthread.h>

#include "tt_redis.h"
#include "tt_redis_db.h"

/* A piece of output: an answer, a greeting. */
struct tt_chunk {
    struct tt_chunk *next;
    char *bytes;
    size_t len, sent;
    unsigned drip_ms;
    int64_t next_byte_ms;
    bool stalled;
    bool is_handshake;
    enum tt_redis_then then;
};

struct tt_conn {
    struct tt_conn *next;
    int fd;
    unsigned number; /* from 1 */
    struct tt_redis_session session;
    struct tt_buf in;
    struct tt_chunk *out, **out_end;
    bool deaf;       /* what comes is thrown away */
    bool ends;       /* out holds the last that will be sent: nothing is read as a command any more */
    bool had_command;
    bool handshake_failed; /* a handshake command was never answered */
    bool doomed;     /* to be closed, or reset, by the thread */
    bool doomed_reset;
};

struct tt_fault_entry {
    struct tt_fault_entry *next;
    struct tt_redis_fault fault; /* strings are own copies */
    unsigned met;
};

struct tt_name_count {
    char name[TT_REDIS_NAME_MAX];
    unsigned n;
};

struct tt_redis {
    pthread_t thread;
    enum tt_redis_net net;
    char *path; /* of the unix socket */
    char *url;
    unsigned port;
    int wake_fd; /* eventfd */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t went_round;
    uint64_t rounds_asked, rounds_done;
    bool stops;
    int listen_fd;
    bool listens; /* what listen_fd does now; door is what it should do */
    enum tt_redis_door door;
    bool frozen;
    int receive_buffer;
    size_t read_at_most;
    char *greeting; /* NULL: none */
    size_t greeting_len;
    bool greet_deaf, greet_close;
    struct tt_redis_db db;
    struct tt_conn *conns;
    struct tt_fault_entry *faults;
    struct tt_redis_seen seen;
    struct tt_name_count *names;
    size_t n_names;
    struct tt_buf log;
};

/* tt_redis.c */
void tt_redis_bind(struct tt_redis *r); /* makes listen_fd, at path or port (0 = a free one, then set) */
void *tt_redis_run(void *redis);
struct tt_chunk *tt_chunk_new(const char *bytes, size_t len);
void tt_conn_queue(struct tt_conn *c, struct tt_chunk *chunk);

#endif
