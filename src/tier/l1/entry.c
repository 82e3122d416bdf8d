/* Making and freeing entries. */
#include "tier/l1/entry.h"

#include <string.h>

size_t tc_entry_heap_bytes(size_t n)
{
    size_t chunk = (n + sizeof(size_t) + 15) & ~(size_t)15;
    return chunk < 32 ? 32 : chunk;
}

/* Bytes of the entry's own allocation, or 0 if they cannot be expressed. */
static size_t own_bytes(size_t node_bytes, size_t key_len, size_t value_len)
{
    size_t n = sizeof(struct tc_entry) + node_bytes + key_len;
    return value_len > SIZE_MAX / 2 - n ? 0 : n + value_len;
}

static struct tc_entry *open_with(const struct tc_alloc *a, size_t node_bytes, struct cache_type *t, uint64_t hash,
                                  struct cache_slice key, size_t room)
{
    size_t n = key.len > CACHE_KEY_MAX_BYTES ? 0 : own_bytes(node_bytes, key.len, room);
    char *node = n > 0 ? tc_alloc(a, n) : NULL;
    if (node == NULL)
        return NULL;
    struct tc_entry *e = tc_entry_of_node(node, node_bytes);
    memset(node, 0, node_bytes + sizeof *e);
    e->refs = 1;
    e->hash = hash;
    e->type = t;
    e->key_len = (uint32_t)key.len;
    e->node_bytes = (uint32_t)node_bytes;
    e->bytes = tc_entry_heap_bytes(n);
    e->fresh_until_ms = e->keep_until_ms = TC_NEVER_MS;
    if (key.len > 0)
        memcpy(tc_entry_key(e), key.data, key.len);
    return e;
}

struct tc_entry *tc_entry_open(const struct tc_alloc *a, size_t node_bytes, struct cache_type *t, uint64_t hash,
                               struct cache_slice key, size_t len)
{
    struct tc_entry *e = open_with(a, node_bytes, t, hash, key, len);
    if (e == NULL)
        return NULL;
    e->data = tc_entry_key(e) + key.len;
    e->len = len;
    return e;
}

unsigned char *tc_entry_room(struct tc_entry *e)
{
    return tc_entry_key(e) + e->key_len;
}

struct tc_entry *tc_entry_adopt(const struct tc_alloc *a, size_t node_bytes, struct cache_type *t, uint64_t hash,
                                struct cache_slice key, void *frame, size_t frame_len, struct cache_slice value)
{
    struct tc_entry *e = open_with(a, node_bytes, t, hash, key, 0);
    if (e == NULL)
        return NULL;
    e->data = value.data;
    e->len = value.len;
    e->frame = frame;
    e->frame_len = frame_len;
    e->bytes += tc_entry_heap_bytes(frame_len);
    return e;
}

void tc_entry_free(const struct tc_alloc *a, struct tc_entry *e)
{
    if (e == NULL)
        return;
    size_t room = e->frame == NULL ? e->len : 0;
    tc_free(a, e->frame, e->frame_len);
    tc_free(a, tc_entry_node(e), own_bytes(e->node_bytes, e->key_len, room));
}
