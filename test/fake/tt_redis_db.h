/* The working half of the fake Redis: reads a command from bytes, executes it, writes the answer. No sockets here. */
#ifndef TT_REDIS_DB_H
#define TT_REDIS_DB_H

#include <stdbool.h>
#include <stddef.h>

#include "tiercache/backend.h"
#include "tt_store.h"
#include "tt_util.h"

enum { TT_REDIS_DBS = 16, TT_REDIS_NAME_MAX = 24 };

struct tt_redis_db {
    struct tt_store *store[TT_REDIS_DBS];
    char *user, *password; /* NULL: no password needed */
};

struct tt_redis_session {
    unsigned db;
    bool authenticated;
    bool quits; /* to be closed after the answer */
};

struct tt_redis_command {
    size_t size; /* bytes that it took */
    size_t argc;
    struct cache_slice *argv;     /* points into the bytes it was read from; free() it */
    char name[TT_REDIS_NAME_MAX]; /* upper case, cut */
};

enum tt_redis_parsed { TT_PARSED_MORE, TT_PARSED_COMMAND, TT_PARSED_BAD };

/* Reads the command that p starts with. *c is filled on TT_PARSED_COMMAND only. Inline commands are bad. */
enum tt_redis_parsed tt_redis_parse(const char *p, size_t n, struct tt_redis_command *c);

bool tt_redis_touches_key(const char *name);
bool tt_redis_is_handshake(const char *name);

void tt_redis_db_init(struct tt_redis_db *db);
void tt_redis_db_fini(struct tt_redis_db *db);
void tt_redis_execute(struct tt_redis_db *db, struct tt_redis_session *s, const struct tt_redis_command *c,
                      struct tt_buf *reply);

#endif
