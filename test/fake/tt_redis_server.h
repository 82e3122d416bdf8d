/* A real redis-server or valkey-server of the test's own: on a unix socket, and a free loopback port if wanted; nothing
 * on disk; killed when the test ends, however it ends.
 *
 * The binary is the first of: $TC_REDIS_SERVER, redis-server, valkey-server, and redis-check-rdb, valkey-check-rdb,
 * which are the same program and act as a server under that name. */
#ifndef TT_REDIS_SERVER_H
#define TT_REDIS_SERVER_H

#include <stdbool.h>
#include <stddef.h>

struct tt_redis_server;

/* Starts it and waits until it answers. args: NULL, or more of its arguments and a NULL, copied ("--requirepass", "x").
 * Returns NULL and prints why if this machine has no server: then skip() the test. Call it from a thread that lives as
 * long as the server should: the kernel kills the server when that thread ends. */
struct tt_redis_server *tt_redis_server_start(bool tcp, const char *const *args);
void tt_redis_server_free(struct tt_redis_server *s); /* kills it; s may be NULL */
const char *tt_redis_server_url(const struct tt_redis_server *s); /* valid until free */
char *tt_redis_server_url_with(const struct tt_redis_server *s, const char *credentials); /* "user:password"; free() */

void tt_redis_server_kill(struct tt_redis_server *s);    /* SIGKILL, and waits for its end */
void tt_redis_server_restart(struct tt_redis_server *s); /* kills it if it runs; the same address, and empty */
void tt_redis_server_stop(struct tt_redis_server *s);    /* SIGSTOP, and waits until it is stopped */
void tt_redis_server_cont(struct tt_redis_server *s);    /* SIGCONT */

/* Sends an inline command ("CONFIG SET maxmemory 1") on a connection of its own and writes the start of the raw answer,
 * NUL-terminated, to buf. False: no complete first line came within 5 s. */
bool tt_redis_server_ask(struct tt_redis_server *s, const char *command, char *buf, size_t cap);

#endif
