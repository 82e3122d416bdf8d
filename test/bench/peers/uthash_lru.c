/* The hand-written cache: a uthash table, a doubly linked list in order of use, one mutex; and the same in 64 shards,
 * chosen by the key's hash. It is what a careful C programmer writes in an afternoon, with three favours: the hash is
 * taken outside the lock, a value of the same size is replaced in its place, and the shards do not share cache lines.
 * It has neither expiry nor statistics, which makes it faster than the cache it stands for. */
#include "peers/peer.h"

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
    size_t n, max_entries;
} __attribute__((aligned(128)));

enum { SHARDS = 64 };

struct lru {
    unsigned n_shards;
    struct shard *shards;
};

static void *open_shards(unsigned n_shards, size_t max_entries)
{
    struct lru *u = calloc(1, sizeof *u);
    if (u == NULL)
        return NULL;
    u->shards = aligned_alloc(128, n_shards * sizeof *u->shards);
    if (u->shards == NULL) {
        free(u);
        return NULL;
    }
    u->n_shards = n_shards;
    for (unsigned i = 0; i < n_shards; i++) {
        u->shards[i] = (struct shard){.max_entries = (max_entries + n_shards - 1) / n_shards};
        pthread_mutex_init(&u->shards[i].mutex, NULL);
    }
    return u;
}

static void *open_one(size_t max_entries, size_t value_bytes)
{
    (void)value_bytes;
    return open_shards(1, max_entries);
}

static void *open_many(size_t max_entries, size_t value_bytes)
{
    (void)value_bytes;
    return open_shards(SHARDS, max_entries);
}

static void node_drop(struct shard *s, struct node *n)
{
    HASH_DELETE(hh, s->table, n);
    DL_DELETE(s->order, n);
    s->n--;
    free(n->value);
    free(n);
}

static void close_shards(void *p)
{
    struct lru *u = p;
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
static struct shard *shard_of(struct lru *u, unsigned hash)
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

static enum tt_answer get(void *p, const struct tt_bench_key *k, void *buf)
{
    struct lru *u = p;
    unsigned hash;
    HASH_VALUE(k->text, k->len, hash);
    struct shard *s = shard_of(u, hash);
    pthread_mutex_lock(&s->mutex);
    struct node *n = find_locked(s, k->text, k->len, hash);
    if (n != NULL)
        memcpy(buf, n->value, n->len);
    pthread_mutex_unlock(&s->mutex);
    return n != NULL ? TT_HIT : TT_WRONG;
}

static bool replace_locked(struct node *n, const void *value, size_t len)
{
    if (len != n->len) {
        void *room = realloc(n->value, len > 0 ? len : 1);
        if (room == NULL)
            return false;
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
    s->n++;
    return true;
}

static enum tt_answer set(void *p, const struct tt_bench_key *k, const void *value, size_t len)
{
    struct lru *u = p;
    unsigned hash;
    HASH_VALUE(k->text, k->len, hash);
    struct shard *s = shard_of(u, hash);
    pthread_mutex_lock(&s->mutex);
    struct node *n = find_locked(s, k->text, k->len, hash);
    bool stored = n != NULL ? replace_locked(n, value, len) : insert_locked(s, k->text, k->len, hash, value, len);
    while (s->n > s->max_entries)
        node_drop(s, s->order->prev);
    pthread_mutex_unlock(&s->mutex);
    return stored ? TT_DONE : TT_WRONG;
}

const struct tt_peer tt_peer_uthash_mutex = {.name = "uthash LRU, mutex", .can = TT_PEER_SETS | TT_PEER_EVICTS,
                                             .open = open_one, .close = close_shards, .get = get, .set = set};
const struct tt_peer tt_peer_uthash_sharded = {.name = "uthash LRU, 64 shards", .can = TT_PEER_SETS | TT_PEER_EVICTS,
                                               .open = open_many, .close = close_shards, .get = get, .set = set};
