/* The table. Removing shifts the entries behind the gap back, so probe sequences stay as short as they were. Growth
 * doubles; it keeps the old table if there is no memory for the new one, which is then used to seven eighths. */
#include "tier/l1/index.h"

#include <string.h>

#define FIRST_SLOTS 16

static size_t table_bytes(size_t slots)
{
    return slots * sizeof(struct tc_index_slot);
}

static void set_slots(struct tc_index *x, struct tc_index_slot *slots, size_t mask, size_t count)
{
    x->slots = slots;
    x->mask = mask;
    x->count = count;
    atomic_store_explicit(&x->hint_slots, (uintptr_t)slots, memory_order_relaxed);
    atomic_store_explicit(&x->hint_mask, mask, memory_order_relaxed);
}

void tc_index_fini(struct tc_index *x, const struct tc_alloc *a)
{
    if (x->slots != NULL)
        tc_free(a, x->slots, table_bytes(x->mask + 1));
    set_slots(x, NULL, 0, 0);
}

static bool same_key(struct tc_entry *e, struct cache_slice key)
{
    return e->key_len == key.len && (key.len == 0 || memcmp(tc_entry_key(e), key.data, key.len) == 0);
}

struct tc_entry *tc_index_find(const struct tc_index *x, uint64_t hash, struct cache_slice key)
{
    if (x->slots == NULL)
        return NULL;
    for (size_t probe = 0; probe < TC_INDEX_PROBES && probe <= x->mask; probe++) {
        const struct tc_index_slot *s = &x->slots[(hash + probe) & x->mask];
        if (s->entry == NULL)
            return NULL;
        if (s->hash != hash)
            continue;
        tc_entry_prefetch(s->entry);
        if (same_key(s->entry, key))
            return s->entry;
    }
    return NULL;
}

/* An empty slot within the probe limit, or NULL. */
static struct tc_index_slot *find_gap(const struct tc_index *x, uint64_t hash)
{
    for (size_t probe = 0; probe < TC_INDEX_PROBES && probe <= x->mask; probe++) {
        struct tc_index_slot *s = &x->slots[(hash + probe) & x->mask];
        if (s->entry == NULL)
            return s;
    }
    return NULL;
}

/* Fills a table of that many slots with x's entries. False if one of them found no gap. */
static bool refill(struct tc_index *to, const struct tc_index *x)
{
    for (size_t i = 0; x->slots != NULL && i <= x->mask; i++) {
        if (x->slots[i].entry == NULL)
            continue;
        struct tc_index_slot *gap = find_gap(to, x->slots[i].hash);
        if (gap == NULL)
            return false;
        *gap = x->slots[i];
    }
    to->count = x->count;
    return true;
}

/* Seven tenths full: longer probes cost more than the memory that growing takes. */
static bool is_full(const struct tc_index *x)
{
    return x->slots == NULL || (x->count + 1) * 10 > (x->mask + 1) * 7;
}

/* Seven eighths full, for want of memory for a larger table: beyond that, removing would shift ever longer runs. */
static bool is_crammed(const struct tc_index *x)
{
    return (x->count + 1) * 8 > (x->mask + 1) * 7;
}

static size_t next_slots(const struct tc_index *x)
{
    return x->slots != NULL ? 2 * (x->mask + 1) : FIRST_SLOTS;
}

size_t tc_index_growth_bytes(const struct tc_index *x)
{
    if (!is_full(x) || x->refused == next_slots(x))
        return 0;
    size_t before = x->slots != NULL ? tc_entry_heap_bytes(table_bytes(x->mask + 1)) : 0;
    return tc_entry_heap_bytes(table_bytes(next_slots(x))) - before;
}

static bool grow(struct tc_index *x, const struct tc_alloc *a)
{
    size_t slots = next_slots(x);
    struct tc_index bigger = { .slots = tc_alloc_zeroed(a, table_bytes(slots)), .mask = slots - 1 };
    if (bigger.slots == NULL)
        return false;
    if (!refill(&bigger, x)) {
        x->refused = slots;
        tc_index_fini(&bigger, a);
        return false;
    }
    tc_index_fini(x, a);
    set_slots(x, bigger.slots, bigger.mask, bigger.count);
    return true;
}

/* An entry in a slot that a look-up of that hash examines; NULL: they are all empty. */
static struct tc_entry *first_in_sequence(const struct tc_index *x, uint64_t hash)
{
    for (size_t probe = 0; probe < TC_INDEX_PROBES && probe <= x->mask; probe++)
        if (x->slots[(hash + probe) & x->mask].entry != NULL)
            return x->slots[(hash + probe) & x->mask].entry;
    return NULL;
}

struct tc_entry *tc_index_make_room(struct tc_index *x, const struct tc_alloc *a, uint64_t hash, uint64_t *grown_bytes,
                                    bool *failed)
{
    uint64_t growth = tc_index_growth_bytes(x);
    if (growth > 0 && grow(x, a))
        *grown_bytes += growth;
    *failed = x->slots == NULL;
    if (x->slots == NULL || (!is_crammed(x) && find_gap(x, hash) != NULL))
        return NULL;
    return first_in_sequence(x, hash);
}

void tc_index_insert(struct tc_index *x, struct tc_entry *e)
{
    struct tc_index_slot *gap = find_gap(x, e->hash);
    tc_assert(gap != NULL);
    gap->hash = e->hash;
    gap->entry = e;
    x->count++;
}

static struct tc_index_slot *slot_of(struct tc_index *x, struct tc_entry *e)
{
    for (size_t probe = 0;; probe++) {
        struct tc_index_slot *s = &x->slots[(e->hash + probe) & x->mask];
        tc_assert(probe < TC_INDEX_PROBES && s->entry != NULL);
        if (s->entry == e)
            return s;
    }
}

/* Whether a look-up of that hash comes to the slot: within the probe limit, and past no gap. */
static bool is_in_reach(const struct tc_index *x, uint64_t hash, size_t at)
{
    size_t distance = (at - hash) & x->mask;
    for (size_t probe = 0; probe < distance; probe++)
        if (probe >= TC_INDEX_PROBES - 1 || x->slots[(hash + probe) & x->mask].entry == NULL)
            return false;
    return true;
}

void tc_index_replace(struct tc_index *x, struct tc_entry *old, struct tc_entry *e)
{
    struct tc_index_slot *s = slot_of(x, old);
    if (!is_in_reach(x, e->hash, (size_t)(s - x->slots))) {
        tc_index_remove(x, old);
        tc_index_insert(x, e);
        return;
    }
    s->hash = e->hash;
    s->entry = e;
}

void tc_index_remove(struct tc_index *x, struct tc_entry *e)
{
    size_t gap = (size_t)(slot_of(x, e) - x->slots);
    x->count--;
    for (size_t at = (gap + 1) & x->mask; x->slots[at].entry != NULL; at = (at + 1) & x->mask) {
        /* An entry may fill the gap unless its own sequence begins behind it. */
        size_t home = x->slots[at].hash & x->mask;
        if (((at - home) & x->mask) >= ((at - gap) & x->mask)) {
            x->slots[gap] = x->slots[at];
            gap = at;
        }
    }
    x->slots[gap] = (struct tc_index_slot){ 0, NULL };
}
