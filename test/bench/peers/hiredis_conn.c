/* One blocking hiredis connection: GET, SET and MGET with redisCommandArgv, so that nothing is formatted or parsed
 * that need not be. */
#include "hiredis_conn.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tt_hiredis {
    redisContext *conn;
    const char *argv[TT_HIREDIS_MGET_MAX + 1];
    size_t lens[TT_HIREDIS_MGET_MAX + 1];
};

struct tt_hiredis *tt_hiredis_open(const char *socket_path)
{
    struct tt_hiredis *h = calloc(1, sizeof *h);
    if (h == NULL)
        return NULL;
    h->conn = redisConnectUnix(socket_path);
    if (h->conn == NULL || h->conn->err != 0) {
        tt_hiredis_close(h);
        return NULL;
    }
    return h;
}

void tt_hiredis_close(struct tt_hiredis *h)
{
    if (h == NULL)
        return;
    if (h->conn != NULL)
        redisFree(h->conn);
    free(h);
}

static redisReply *command(struct tt_hiredis *h, int argc, int type)
{
    redisReply *r = redisCommandArgv(h->conn, argc, h->argv, h->lens);
    if (r != NULL && r->type != type) {
        freeReplyObject(r);
        return NULL;
    }
    return r;
}

static void argument(struct tt_hiredis *h, size_t i, struct tt_bytes b)
{
    h->argv[i] = b.data;
    h->lens[i] = b.len;
}

bool tt_hiredis_get(struct tt_hiredis *h, struct tt_bytes key, void *buf, size_t cap, size_t *len)
{
    argument(h, 0, (struct tt_bytes){"GET", 3});
    argument(h, 1, key);
    redisReply *r = command(h, 2, REDIS_REPLY_STRING);
    bool found = r != NULL && (size_t)r->len <= cap;
    if (found) {
        memcpy(buf, r->str, (size_t)r->len);
        *len = (size_t)r->len;
    }
    if (r != NULL)
        freeReplyObject(r);
    return found;
}

bool tt_hiredis_set(struct tt_hiredis *h, struct tt_bytes key, struct tt_bytes value)
{
    argument(h, 0, (struct tt_bytes){"SET", 3});
    argument(h, 1, key);
    argument(h, 2, value);
    redisReply *r = command(h, 3, REDIS_REPLY_STATUS);
    if (r == NULL)
        return false;
    freeReplyObject(r);
    return true;
}

bool tt_hiredis_set_many(struct tt_hiredis *h, const struct tt_bytes *keys, const struct tt_bytes *values, size_t n)
{
    bool stored = true;
    argument(h, 0, (struct tt_bytes){"SET", 3});
    for (size_t i = 0; i < n; i++) {
        argument(h, 1, keys[i]);
        argument(h, 2, values[i]);
        if (redisAppendCommandArgv(h->conn, 3, h->argv, h->lens) != REDIS_OK)
            return false;
    }
    for (size_t i = 0; i < n; i++) {
        void *r = NULL;
        if (redisGetReply(h->conn, &r) != REDIS_OK)
            return false;
        stored = stored && ((redisReply *)r)->type == REDIS_REPLY_STATUS;
        freeReplyObject(r);
    }
    return stored;
}

bool tt_hiredis_mget(struct tt_hiredis *h, const struct tt_bytes *keys, size_t n,
                     void (*found)(void *arg, size_t i, struct tt_bytes value), void *arg)
{
    if (n > TT_HIREDIS_MGET_MAX)
        return false;
    argument(h, 0, (struct tt_bytes){"MGET", 4});
    for (size_t i = 0; i < n; i++)
        argument(h, i + 1, keys[i]);
    redisReply *r = command(h, (int)n + 1, REDIS_REPLY_ARRAY);
    if (r == NULL)
        return false;
    for (size_t i = 0; i < r->elements && i < n; i++)
        if (r->element[i]->type == REDIS_REPLY_STRING)
            found(arg, i, (struct tt_bytes){r->element[i]->str, (size_t)r->element[i]->len});
    freeReplyObject(r);
    return true;
}

bool tt_hiredis_sizes(struct tt_hiredis *h, const char *pattern, size_t *key_len, size_t *value_len)
{
    argument(h, 0, (struct tt_bytes){"KEYS", 4});
    argument(h, 1, (struct tt_bytes){pattern, strlen(pattern)});
    redisReply *keys = command(h, 2, REDIS_REPLY_ARRAY);
    redisReply *size = NULL;
    if (keys != NULL && keys->elements == 1) {
        *key_len = (size_t)keys->element[0]->len;
        argument(h, 0, (struct tt_bytes){"STRLEN", 6});
        argument(h, 1, (struct tt_bytes){keys->element[0]->str, *key_len});
        size = command(h, 2, REDIS_REPLY_INTEGER);
    }
    bool known = size != NULL;
    if (known)
        *value_len = (size_t)size->integer;
    if (keys != NULL)
        freeReplyObject(keys);
    if (size != NULL)
        freeReplyObject(size);
    return known;
}
