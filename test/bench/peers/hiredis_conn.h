/* The Redis client that people write by hand: hiredis, one blocking connection for each thread. */
#ifndef TT_BENCH_HIREDIS_CONN_H
#define TT_BENCH_HIREDIS_CONN_H

#include <stdbool.h>
#include <stddef.h>

struct tt_hiredis; /* one connection; one thread at a time */

enum { TT_HIREDIS_MGET_MAX = 1024 };

struct tt_bytes {
    const char *data;
    size_t len;
};

struct tt_hiredis *tt_hiredis_open(const char *socket_path); /* NULL: cannot connect */
void tt_hiredis_close(struct tt_hiredis *h);

/* Copies the value out; false: not there, longer than cap, or the connection failed. */
bool tt_hiredis_get(struct tt_hiredis *h, struct tt_bytes key, void *buf, size_t cap, size_t *len);
bool tt_hiredis_set(struct tt_hiredis *h, struct tt_bytes key, struct tt_bytes value);

/* As tt_hiredis_set for n keys, sent together. */
bool tt_hiredis_set_many(struct tt_hiredis *h, const struct tt_bytes *keys, const struct tt_bytes *values, size_t n);

/* Gets n keys with one MGET and calls found(arg, i, value) for each that is there. False: the connection failed. */
bool tt_hiredis_mget(struct tt_hiredis *h, const struct tt_bytes *keys, size_t n,
                     void (*found)(void *arg, size_t i, struct tt_bytes value), void *arg);

/* The sizes of the one key that matches a pattern of KEYS, and of its value. False: none, or more than one. */
bool tt_hiredis_sizes(struct tt_hiredis *h, const char *pattern, size_t *key_len, size_t *value_len);

#endif
