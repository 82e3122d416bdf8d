/* The bare table's other functions: made, filled, freed. The memory is mapped fresh, in pages of the size that the
 * system gives to everybody. */
#include "peers/bare_table.h"

#include <stdlib.h>
#include <sys/mman.h>

static void *map(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void close_table(void *p)
{
    struct tt_bare *b = p;
    if (b == NULL)
        return;
    if (b->slots != NULL)
        munmap(b->slots, (b->mask + 1) * sizeof *b->slots);
    if (b->arena != NULL)
        munmap(b->arena, b->arena_bytes);
    free(b);
}

static void *open_table(size_t max_entries, size_t value_bytes)
{
    struct tt_bare *b = calloc(1, sizeof *b);
    size_t n_slots = 8;
    if (b == NULL)
        return NULL;
    while (n_slots < 2 * max_entries)
        n_slots *= 2;
    b->mask = n_slots - 1;
    b->max_entries = max_entries;
    b->arena_bytes = 8 + max_entries * (sizeof(struct tt_bare_entry) + sizeof(struct tt_bench_key) + value_bytes);
    b->used = 8;
    b->slots = map(n_slots * sizeof *b->slots);
    b->arena = map(b->arena_bytes);
    if (b->slots == NULL || b->arena == NULL) {
        close_table(b);
        return NULL;
    }
    return b;
}

static struct tt_bare_entry *append(struct tt_bare *b, const struct tt_bench_key *k, size_t len)
{
    size_t need = (sizeof(struct tt_bare_entry) + k->len + len + 7) & ~(size_t)7;
    struct tt_bare_entry *e = (void *)(b->arena + b->used);
    if (need > b->arena_bytes - b->used || b->n == b->max_entries)
        return NULL;
    *e = (struct tt_bare_entry){.key_len = k->len, .value_len = (uint32_t)len};
    memcpy(e->bytes, k->text, k->len);
    b->used += need;
    b->n++;
    return e;
}

static enum tt_answer set(void *p, const struct tt_bench_key *k, const void *value, size_t len)
{
    struct tt_bare *b = p;
    uint64_t hash = XXH3_64bits(k->text, k->len);
    struct tt_bare_slot *s = tt_bare_find(b, k, hash);
    struct tt_bare_entry *e;
    if (s->offset == 0) {
        size_t at = b->used;
        if ((e = append(b, k, len)) == NULL)
            return TT_WRONG;
        *s = (struct tt_bare_slot){.tag = (uint32_t)(hash >> 32), .offset = (uint32_t)(at / 8)};
    } else {
        e = (void *)(b->arena + (size_t)s->offset * 8);
        if (e->value_len != len)
            return TT_WRONG;
    }
    memcpy(e->bytes + e->key_len, value, len);
    return TT_DONE;
}

static enum tt_answer get(void *p, const struct tt_bench_key *k, void *buf)
{
    return tt_bare_get(p, k, buf);
}

const struct tt_peer tt_peer_bare = {.name = "bare table", .open = open_table, .close = close_table, .get = get,
                                     .set = set};
