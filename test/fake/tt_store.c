/* A chained hash table of a fixed number of buckets: tests hold thousands of entries, not millions. */
#include "tt_store.h"

#include <stdlib.h>
#include <string.h>

#include "tt_util.h"

enum { BUCKETS = 4096 };

struct entry {
    struct entry *next;
    struct tt_blob *blob;
    int64_t expires_ms;
    size_t key_len;
    unsigned char key[];
};

struct tt_store {
    size_t count;
    struct entry *bucket[BUCKETS];
};

struct tt_store *tt_store_new(void)
{
    return tt_xcalloc(sizeof(struct tt_store));
}

void tt_store_free(struct tt_store *s)
{
    tt_store_clear(s);
    free(s);
}

void tt_blob_release(struct tt_blob *b)
{
    if (b && atomic_fetch_sub(&b->refs, 1) == 1)
        free(b);
}

static struct tt_blob *new_blob(struct cache_slice data)
{
    struct tt_blob *b = tt_xmalloc(sizeof(*b) + data.len);
    atomic_init(&b->refs, 1);
    b->len = data.len;
    if (data.len)
        memcpy(b->data, data.data, data.len);
    return b;
}

/* FNV-1a. */
static size_t bucket_of(struct cache_slice key)
{
    const unsigned char *p = key.data;
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < key.len; i++)
        h = (h ^ p[i]) * UINT64_C(1099511628211);
    return (h ^ (h >> 32)) % BUCKETS;
}

/* The link that points to the entry of key, or to the NULL at the end of its chain. */
static struct entry **find(struct tt_store *s, struct cache_slice key)
{
    struct entry **link = &s->bucket[bucket_of(key)];
    while (*link && ((*link)->key_len != key.len || memcmp((*link)->key, key.data, key.len) != 0))
        link = &(*link)->next;
    return link;
}

static void drop(struct tt_store *s, struct entry **link)
{
    struct entry *e = *link;
    *link = e->next;
    tt_blob_release(e->blob);
    free(e);
    s->count--;
}

void tt_store_put(struct tt_store *s, struct cache_slice key, struct cache_slice data, int64_t expires_ms)
{
    struct entry **link = find(s, key);
    if (*link)
        drop(s, link);
    struct entry *e = tt_xmalloc(sizeof(*e) + key.len);
    struct entry **head = &s->bucket[bucket_of(key)];
    *e = (struct entry){.next = *head, .blob = new_blob(data), .expires_ms = expires_ms, .key_len = key.len};
    memcpy(e->key, key.data, key.len);
    *head = e;
    s->count++;
}

/* As find(), but what expired is gone. */
static struct entry **find_live(struct tt_store *s, struct cache_slice key, int64_t now_ms)
{
    struct entry **link = find(s, key);
    if (*link && (*link)->expires_ms <= now_ms) {
        drop(s, link);
        link = find(s, key);
    }
    return link;
}

struct tt_blob *tt_store_get(struct tt_store *s, struct cache_slice key, int64_t now_ms, int64_t *expires_ms)
{
    struct entry *e = *find_live(s, key, now_ms);
    if (!e)
        return NULL;
    if (expires_ms)
        *expires_ms = e->expires_ms;
    atomic_fetch_add(&e->blob->refs, 1);
    return e->blob;
}

bool tt_store_del(struct tt_store *s, struct cache_slice key, int64_t now_ms)
{
    struct entry **link = find_live(s, key, now_ms);
    if (!*link)
        return false;
    drop(s, link);
    return true;
}

void tt_store_clear(struct tt_store *s)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        while (s->bucket[i])
            drop(s, &s->bucket[i]);
    }
}

size_t tt_store_count(const struct tt_store *s)
{
    return s->count;
}

bool tt_store_key_at(const struct tt_store *s, size_t i, struct cache_slice *key)
{
    for (size_t b = 0; b < BUCKETS; b++) {
        for (const struct entry *e = s->bucket[b]; e; e = e->next) {
            if (i-- == 0) {
                *key = (struct cache_slice){e->key, e->key_len};
                return true;
            }
        }
    }
    return false;
}
