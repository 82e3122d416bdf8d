/* server.h - a private Redis (or Valkey) server on a unix socket in a directory of our own. */
#ifndef DEMO_SERVER_H
#define DEMO_SERVER_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct server {
    pid_t pid; /* 0 = not running */
    char program[PATH_MAX];
    char socket[PATH_MAX];
    char version[32];
};

/* Starts the server in dir and waits until it answers. Returns 0, or -1 with a sentence in err. */
int server_start(struct server *s, const char *dir, char *err, size_t err_cap);
void server_pause(const struct server *s);
void server_resume(const struct server *s);
void server_kill(struct server *s);

/* Sends one inline command and reads the reply, at most cap - 1 bytes, within a second. Returns 0 or -1; an error
 * reply is -1. */
int server_command(const struct server *s, const char *command, char *reply, size_t cap);

/* A number from the reply to INFO memory, -1 if it cannot be had. */
int64_t server_used_memory(const struct server *s);

#endif
