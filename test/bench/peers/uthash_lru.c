/* The hand-written cache. It is what a careful C programmer writes in an afternoon, with three favours: the hash is
 * taken outside the lock, a value of the same size is replaced in its place, and the shards do not share cache lines.
 * It has neither expiry nor statistics, which makes it faster than the cache it stands for. */
#include "uthash_lru.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#ifndef HASH_NONFATAL_OOM
#define HASH_NONFATAL_OOM 1
#endif
#include <uthash.h>
#include <utlist.h>

struct node {
    UT_hash_handle hh;
    struct node *prev, *next;
    void *value;
    size_t len;
    size_t key_len;
    char key[];
};

struct shard {
    pthread_mutex_t mutex;
    struct node *table;
    struct node *order; /* the head is the most recently used */
    size_t bytes, max_bytes;
} __attribute__((aligned(128)));

struct tt_uthash_lru {
    unsigned n_shards;
    struct shard *shards;
};

static size_t node_bytes(const struct node *n)
{
    return sizeof *n + n->key_len + n->len;
}

struct tt_uthash_lru *tt_uthash_lru_open(unsigned n_shards, size_t max_bytes)
{
    struct tt_uthash_lru *u = calloc(1, sizeof *u);
    if (u == NULL)
        return NULL;
    u->shards = aligned_alloc(128, n_shards * sizeof *u->shards);
    if (u->shards == NULL) {
        free(u);
        return NULL;
    }
    u->n_shards = n_shards;
    for (unsigned i = 0; i < n_shards; i++) {
        u->shards[i] = (struct shard){.max_bytes = max_bytes / n_shards};
        pthread_mutex_init(&u->shards[i].mutex, NULL);
    }
    return u;
}

static void node_drop(struct shard *s, struct node *n)
{
    HASH_DELETE(hh, s->table, n);
    DL_DELETE(s->order, n);
    s->bytes -= node_bytes(n);
    free(n->value);
    free(n);
}

void tt_uthash_lru_close(struct tt_uthash_lru *u)
{
    if (u == NULL)
        return;
    for (unsigned i = 0; i < u->n_shards; i++) {
        while (u->shards[i].order != NULL)
            node_drop(&u->shards[i], u->shards[i].order);
        pthread_mutex_destroy(&u->shards[i].mutex);
    }
    free(u->shards);
    free(u);
}

/* uthash picks its bucket by the low bits, so the shard is taken from the high ones. */
static struct shard *shard_of(struct tt_uthash_lru *u, unsigned hash)
{
    return &u->shards[(uint64_t)hash * u->n_shards >> 32];
}

static struct node *find_locked(struct shard *s, const char *key, size_t key_len, unsigned hash)
{
    struct node *n;
    HASH_FIND_BYHASHVALUE(hh, s->table, key, key_len, hash, n);
    if (n != NULL && n != s->order) {
        DL_DELETE(s->order, n);
        DL_PREPEND(s->order, n);
    }
    return n;
}

bool tt_uthash_lru_get(struct tt_uthash_lru *u, const char *key, size_t key_len, void *buf, size_t cap, size_t *len)
{
    unsigned hash;
    HASH_VALUE(key, key_len, hash);
    struct shard *s = shard_of(u, hash);
    pthread_mutex_lock(&s->mutex);
    struct node *n = find_locked(s, key, key_len, hash);
    bool found = n != NULL && n->len <= cap;
    if (found) {
        memcpy(buf, n->value, n->len);
        *len = n->len;
    }
    pthread_mutex_unlock(&s->mutex);
    return found;
}

static bool replace_locked(struct shard *s, struct node *n, const void *value, size_t len)
{
    if (len != n->len) {
        void *room = realloc(n->value, len > 0 ? len : 1);
        if (room == NULL)
            return false;
        s->bytes += len - n->len;
        n->value = room;
        n->len = len;
    }
    memcpy(n->value, value, len);
    return true;
}

static bool insert_locked(struct shard *s, const char *key, size_t key_len, unsigned hash, const void *value,
                          size_t len)
{
    struct node *n = malloc(sizeof *n + key_len);
    void *room = malloc(len > 0 ? len : 1);
    if (n == NULL || room == NULL) {
        free(n);
        free(room);
        return false;
    }
    *n = (struct node){.value = room, .len = len, .key_len = key_len};
    memcpy(n->key, key, key_len);
    memcpy(room, value, len);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, s->table, n->key, key_len, hash, n);
    if (n->hh.tbl == NULL) {
        free(room);
        free(n);
        return false;
    }
    DL_PREPEND(s->order, n);
    s->bytes += node_bytes(n);
    return true;
}

bool tt_uthash_lru_set(struct tt_uthash_lru *u, const char *key, size_t key_len, const void *value, size_t len)
{
    unsigned hash;
    HASH_VALUE(key, key_len, hash);
    struct shard *s = shard_of(u, hash);
    pthread_mutex_lock(&s->mutex);
    struct node *n = find_locked(s, key, key_len, hash);
    bool stored = n != NULL ? replace_locked(s, n, value, len) : insert_locked(s, key, key_len, hash, value, len);
    while (s->bytes > s->max_bytes && s->order != NULL && s->order->prev != s->order)
        node_drop(s, s->order->prev);
    pthread_mutex_unlock(&s->mutex);
    return stored;
}
