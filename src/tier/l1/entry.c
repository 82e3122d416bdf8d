/* Making and freeing entries. */
#include "tier/l1/entry.h"

#include <string.h>

#include "base/hooks.h"

_Static_assert(CACHE_KEY_MAX_BYTES <= UINT32_MAX, "the field of more holds every key");
_Static_assert(TC_TYPES_MAX <= UINT8_MAX, "and that of the entry every type");

static void begin_more(struct tc_entry *e, struct cache_type *t, uint64_t hash, size_t key_len, size_t room)
{
    struct tc_entry_more *more = tc_entry_more(e);
    memset(more, 0, sizeof *more);
    more->type = t;
    more->hash = hash;
    more->key_len = (uint32_t)key_len;
    more->len = (uint32_t)room;
    more->fresh_until_ms = more->keep_until_ms = TC_NEVER_MS;
}

/* The rest of its last word is zero. */
static void end_key(unsigned char *key, size_t len)
{
    memset(key + tc_words_round(len) - TC_WORD_BYTES, 0, TC_WORD_BYTES);
}

/* Fills in what is known before the value is. hash: only with more. */
static struct tc_entry *begin(void *node, size_t node_bytes, uint32_t flags, struct cache_type *t, uint64_t hash,
                              struct cache_slice key, size_t room)
{
    struct tc_entry *e = tc_entry_of_node(node, node_bytes);
    memset(node, 0, node_bytes + sizeof *e);
    uint32_t told = t != NULL && t->tells_hits ? TC_ENTRY_COUNTS : 0;
    atomic_store_explicit(&e->refs, 1 | flags | told, memory_order_relaxed);
    bool more = flags & TC_ENTRY_MORE;
    uint32_t id = t != NULL ? t->id & UINT8_MAX : 0;
    atomic_store_explicit(&e->sizes, more ? tc_sizes(id, 0, 0) : tc_sizes(id, key.len, room), memory_order_relaxed);
    if (more)
        begin_more(e, t, hash, key.len, room);
    unsigned char *to = (unsigned char *)(uintptr_t)tc_entry_key(e).data;
    if (key.len > 0) {
        end_key(to, key.len);
        memcpy(to, key.data, key.len);
    }
    return e;
}

static struct tc_entry *open_with(const struct tc_alloc *a, size_t node_bytes, uint32_t flags, struct cache_type *t,
                                  uint64_t hash, struct cache_slice key, size_t room)
{
    if (key.len > CACHE_KEY_MAX_BYTES || room > UINT32_MAX)
        return NULL;
    void *node = tc_alloc_value(a, tc_entry_bytes_for(node_bytes, flags, key.len, room));
    return node != NULL ? begin(node, node_bytes, flags, t, hash, key, room) : NULL;
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
    if (!tc_entry_fits_small(key.len, len))
        return tc_entry_open(a, node_bytes, t, hash, key, len);
    return open_with(a, node_bytes, TC_ENTRY_FOREVER, t, hash, key, len);
}

struct tc_entry *tc_entry_lend(void *memory, size_t cap, size_t node_bytes, struct cache_type *t,
                               struct cache_slice key, size_t len)
{
    if (!tc_entry_fits_small(key.len, len) ||
        tc_entry_bytes_for(node_bytes, TC_ENTRY_FOREVER, key.len, len) > cap)
        return NULL;
    return begin(memory, node_bytes, TC_ENTRY_FOREVER | TC_ENTRY_LENT, t, 0, key, len);
}

/* Hits may be counted meanwhile. */
static void copy_more(struct tc_entry *copy, const struct tc_entry *e)
{
    const struct tc_entry_more *from = tc_entry_more(e);
    struct tc_entry_more *to = tc_entry_more(copy);
    memcpy(to, from, offsetof(struct tc_entry_more, hits));
    to->frame = NULL;
    to->frame_len = 0;
    uint16_t hits = atomic_load_explicit(&from->hits, memory_order_relaxed);
    atomic_store_explicit(&to->hits, hits, memory_order_relaxed);
    memcpy(to + 1, from + 1, tc_words_round(from->key_len));
    to->data = tc_entry_room(copy);
    if (from->len > 0)
        memcpy(tc_entry_room(copy), from->data, from->len);
}

struct tc_entry *tc_entry_copy(void *memory, uint32_t refs_flags, const struct tc_entry *e, size_t node_bytes)
{
    struct tc_entry *copy = tc_entry_of_node(memory, node_bytes);
    uint32_t flags = tc_entry_flags(e);
    memset(memory, 0, node_bytes);
    uint32_t sizes = tc_entry_sizes(e);
    atomic_store_explicit(&copy->times, tc_entry_times(e), memory_order_relaxed);
    atomic_store_explicit(&copy->refs, 1 | refs_flags | flags, memory_order_relaxed);
    atomic_store_explicit(&copy->sizes, sizes, memory_order_relaxed);
    if (flags & TC_ENTRY_MORE)
        copy_more(copy, e);
    else
        memcpy(copy + 1, e + 1, tc_words_round(tc_sizes_key_len(sizes)) + tc_sizes_len(sizes));
    return copy;
}

struct tc_entry *tc_entry_copy_alone(const struct tc_alloc *a, size_t node_bytes, const struct tc_entry *e)
{
    void *memory = tc_alloc_value(a, tc_entry_copied_bytes(e, node_bytes));
    return memory != NULL ? tc_entry_copy(memory, 0, e, node_bytes) : NULL;
}

unsigned char *tc_entry_room(struct tc_entry *e)
{
    struct cache_slice key = tc_entry_key(e);
    return (unsigned char *)(uintptr_t)key.data + tc_words_round(key.len);
}

struct tc_entry *tc_entry_adopt(const struct tc_alloc *a, size_t node_bytes, struct cache_type *t, uint64_t hash,
                                struct cache_slice key, void *frame, size_t frame_len, struct cache_slice value)
{
    if (value.len > UINT32_MAX)
        return NULL;
    tc_assert(frame != NULL);
    struct tc_entry *e = open_with(a, node_bytes, TC_ENTRY_MORE, t, hash, key, 0);
    if (e == NULL)
        return NULL;
    struct tc_entry_more *more = tc_entry_more(e);
    more->data = value.data;
    more->frame = frame;
    more->frame_len = frame_len;
    more->len = (uint32_t)value.len;
    return e;
}

struct tc_entry *tc_entry_widen(const struct tc_alloc *a, size_t node_bytes, struct cache_type *t, uint64_t hash,
                                const struct tc_entry *e)
{
    struct cache_slice value = tc_entry_value(e);
    struct tc_entry *wide = tc_entry_open(a, node_bytes, t, hash, tc_entry_key(e), value.len);
    if (wide == NULL)
        return NULL;
    tc_entry_add_flags(wide, tc_entry_flags(e) & TC_ENTRY_ABSENT);
    if (value.len > 0)
        memcpy(tc_entry_room(wide), value.data, value.len);
    return wide;
}

void tc_entry_free(const struct tc_alloc *a, size_t node_bytes, struct tc_entry *e)
{
    if (e == NULL)
        return;
    size_t n = tc_entry_own_bytes(e, node_bytes);
    if (tc_entry_is_framed(e))
        tc_free_value(a, tc_entry_more(e)->frame, tc_entry_more(e)->frame_len);
    tc_free_value(a, tc_entry_node(e, node_bytes), n);
}

size_t tc_entry_bytes_alone(const struct tc_alloc *a, const struct tc_entry *e, size_t node_bytes)
{
    bool framed = tc_entry_is_framed(e);
    return tc_value_heap_bytes(a, tc_entry_own_bytes(e, node_bytes)) +
           (framed ? tc_value_heap_bytes(a, tc_entry_more(e)->frame_len) : 0);
}

/* ---- times ---- */

/* Without more. Returns the flag that says the rest. */
static uint32_t set_plain_times(struct tc_entry *e, int64_t now_ms, int64_t life_ms)
{
    tc_assert(tc_entry_can_say(now_ms, life_ms));
    uint64_t times = life_ms < 0 ? (uint64_t)now_ms : tc_times(now_ms, life_ms);
    atomic_store_explicit(&e->times, times, memory_order_relaxed);
    return life_ms < 0 ? TC_ENTRY_FOREVER : 0;
}

struct tc_entry *tc_entry_make(void *memory, size_t node_bytes, uint32_t refs_flags, const struct tc_entry_parts *p)
{
    struct tc_entry *e = tc_entry_of_node(memory, node_bytes);
    memset(memory, 0, node_bytes);
    uint32_t sizes = tc_sizes(p->type_id & UINT8_MAX, p->key.len, p->value.len);
    atomic_store_explicit(&e->sizes, sizes, memory_order_relaxed);
    uint32_t forever = set_plain_times(e, p->now_ms, p->life_ms);
    atomic_store_explicit(&e->refs, 1 | refs_flags | forever, memory_order_relaxed);
    unsigned char *key = tc_entry_plain_key(e);
    tc_assert(tc_words_are_ended(p->key.data, p->key.len));
    memcpy(key, p->key.data, tc_words_round(p->key.len));
    if (p->value.len > 0)
        memcpy(tc_entry_plain_value(e, sizes), p->value.data, p->value.len);
    return e;
}

void tc_entry_set_life(struct tc_entry *e, int64_t now_ms, int64_t life_ms, int64_t max_stale_ms)
{
    if (!(tc_entry_flags(e) & TC_ENTRY_MORE)) {
        uint32_t others = atomic_load_explicit(&e->refs, memory_order_relaxed) & ~(uint32_t)TC_ENTRY_FOREVER;
        atomic_store_explicit(&e->refs, others | set_plain_times(e, now_ms, life_ms), memory_order_relaxed);
        return;
    }
    struct tc_entry_more *more = tc_entry_more(e);
    more->made_ms = more->taken_ms = now_ms;
    more->fresh_until_ms = life_ms < 0 ? TC_NEVER_MS : tc_deadline(now_ms, life_ms);
    more->keep_until_ms = tc_deadline(more->fresh_until_ms, max_stale_ms);
}
