/* A real Redis server of our own: on a unix socket in a temporary directory, no port, nothing kept on disk. */
#ifndef TT_BENCH_SERVER_H
#define TT_BENCH_SERVER_H

#include <sys/types.h>

struct tt_bench_server {
    pid_t pid; /* 0: not running */
    char dir[64];
    char socket_path[96];
    char version[32]; /* as the server tells it */
};

/* One server at a time; s must live as long as it runs, also through exit().
 * Starts the first of $TC_REDIS_SERVER, redis-server, valkey-server, redis-check-rdb, valkey-check-rdb that exists and
 * waits until it answers. The last two are the server's binary under another name, which is all that a machine with
 * only redis-tools has. 0, or -1 after a line on stderr. */
int tt_bench_server_start(struct tt_bench_server *s);

/* Kills it by its pid and removes the directory. Safe on a zeroed or stopped server. */
void tt_bench_server_stop(struct tt_bench_server *s);

#endif
