/* Making and freeing entries. */
#include "tier/l1/entry.h"

#include <string.h>

#include "base/hooks.h"

#define KEY_LEN_MAX ((UINT32_C(1) << 19) - 1)
_Static_assert(CACHE_KEY_MAX_BYTES <= KEY_LEN_MAX, "the field holds every key");
_Static_assert(TC_TYPES_MAX <= UINT8_MAX, "and every type");

size_t tc_entry_heap_bytes(size_t n)
{
    size_t chunk = (n + sizeof(size_t) + 15) & ~(size_t)15;
    return chunk < 32 ? 32 : chunk;
}

/* Bytes of the entry's own allocation. */
static size_t own_bytes(size_t node_bytes, uint32_t flags, size_t key_len, size_t room)
{
    if (flags & TC_ENTRY_MORE)
        return node_bytes + tc_entry_more_at(key_len, room) + sizeof(struct tc_entry_more);
    return node_bytes + sizeof(struct tc_entry) + key_len + room;
}

static size_t own_bytes_of(const struct tc_entry *e, size_t node_bytes)
{
    return own_bytes(node_bytes, e->flags, e->key_len, e->flags & TC_ENTRY_FRAMED ? 0 : e->len);
}

static struct tc_entry *open_with(const struct tc_alloc *a, size_t node_bytes, uint32_t flags, struct cache_type *t,
                                  uint64_t hash, struct cache_slice key, size_t room)
{
    if (key.len > CACHE_KEY_MAX_BYTES || room > UINT32_MAX)
        return NULL;
    char *node = tc_alloc(a, own_bytes(node_bytes, flags, key.len, room));
    if (node == NULL)
        return NULL;
    struct tc_entry *e = tc_entry_of_node(node, node_bytes);
    memset(node, 0, node_bytes + sizeof *e);
    atomic_store_explicit(&e->refs, 1, memory_order_relaxed);
    e->hash = hash;
    e->key_len = (uint32_t)key.len & KEY_LEN_MAX;
    e->len = (uint32_t)room;
    e->type_id = t != NULL ? t->id & UINT8_MAX : 0;
    e->flags = flags & (TC_ENTRY_MORE | TC_ENTRY_FRAMED | TC_ENTRY_FOREVER);
    if (flags & TC_ENTRY_MORE) {
        struct tc_entry_more *more = tc_entry_more(e);
        memset(more, 0, sizeof *more);
        more->type = t;
        more->fresh_until_ms = more->keep_until_ms = TC_NEVER_MS;
    }
    if (key.len > 0)
        memcpy(tc_entry_key(e), key.data, key.len);
    return e;
}

struct tc_entry *tc_entry_open(const struct tc_alloc *a, size_t node_bytes, struct cache_type *t, uint64_t hash,
                               struct cache_slice key, size_t len)
{
    struct tc_entry *e = open_with(a, node_bytes, TC_ENTRY_MORE, t, hash, key, len);
    if (e != NULL)
        tc_entry_more(e)->data = tc_entry_room(e);
    return e;
}

struct tc_entry *tc_entry_open_small(const struct tc_alloc *a, size_t node_bytes, struct cache_type *t, uint64_t hash,
                                     struct cache_slice key, size_t len)
{
    return open_with(a, node_bytes, TC_ENTRY_FOREVER, t, hash, key, len);
}

unsigned char *tc_entry_room(struct tc_entry *e)
{
    return tc_entry_key(e) + e->key_len;
}

struct tc_entry *tc_entry_adopt(const struct tc_alloc *a, size_t node_bytes, struct cache_type *t, uint64_t hash,
                                struct cache_slice key, void *frame, size_t frame_len, struct cache_slice value)
{
    if (value.len > UINT32_MAX)
        return NULL;
    struct tc_entry *e = open_with(a, node_bytes, TC_ENTRY_MORE | TC_ENTRY_FRAMED, t, hash, key, 0);
    if (e == NULL)
        return NULL;
    struct tc_entry_more *more = tc_entry_more(e);
    more->data = value.data;
    more->frame = frame;
    more->frame_len = frame_len;
    e->len = (uint32_t)value.len;
    return e;
}

struct tc_entry *tc_entry_widen(const struct tc_alloc *a, size_t node_bytes, struct cache_type *t,
                                const struct tc_entry *e)
{
    struct cache_slice key = { tc_entry_key(e), e->key_len };
    struct tc_entry *wide = tc_entry_open(a, node_bytes, t, e->hash, key, e->len);
    if (wide == NULL)
        return NULL;
    wide->flags |= e->flags & TC_ENTRY_ABSENT;
    if (e->len > 0)
        memcpy(tc_entry_room(wide), tc_entry_data(e), e->len);
    return wide;
}

void tc_entry_free(const struct tc_alloc *a, size_t node_bytes, struct tc_entry *e)
{
    if (e == NULL)
        return;
    size_t n = own_bytes_of(e, node_bytes);
    if (e->flags & TC_ENTRY_FRAMED)
        tc_free(a, tc_entry_more(e)->frame, tc_entry_more(e)->frame_len);
    tc_free(a, tc_entry_node(e, node_bytes), n);
}

size_t tc_entry_bytes(const struct tc_entry *e, size_t node_bytes)
{
    size_t bytes = tc_entry_heap_bytes(own_bytes_of(e, node_bytes));
    if (e->flags & TC_ENTRY_FRAMED)
        bytes += tc_entry_heap_bytes(tc_entry_more(e)->frame_len);
    return bytes;
}

/* ---- times ---- */

static void set_plain_life(struct tc_entry *e, int64_t now_ms, int64_t life_ms)
{
    tc_assert(tc_entry_can_say(now_ms, life_ms));
    e->flags &= ~(uint32_t)TC_ENTRY_FOREVER;
    if (life_ms < 0) {
        e->flags |= TC_ENTRY_FOREVER;
        e->times = (uint64_t)now_ms;
    } else {
        e->times = (uint64_t)(now_ms + life_ms) << TC_ENTRY_LIFE_BITS | (uint64_t)life_ms;
    }
}

void tc_entry_set_life(struct tc_entry *e, int64_t now_ms, int64_t life_ms, int64_t max_stale_ms)
{
    if (!(e->flags & TC_ENTRY_MORE)) {
        set_plain_life(e, now_ms, life_ms);
        return;
    }
    struct tc_entry_more *more = tc_entry_more(e);
    more->made_ms = more->taken_ms = now_ms;
    more->fresh_until_ms = life_ms < 0 ? TC_NEVER_MS : tc_deadline(now_ms, life_ms);
    more->keep_until_ms = tc_deadline(more->fresh_until_ms, max_stale_ms);
}
