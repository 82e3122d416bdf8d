/* Buckets of eight slots, a cache line each; a tag belongs to one of them, chosen by its upper bits. A bucket that is
 * full of live tags gives up the oldest of them. */
#include "policy/ghost.h"

#include <string.h>

#define BUCKET 8
#define LEAST_ROOM 16
#define MOST_ROOM (UINT32_C(1) << 28)
#define TURNS_A_TAG 4 /* bits kept for each tag: with more turns than that between first and last, first moves on */

static size_t slot_bytes(const struct tc_ghost *g)
{
    return (size_t)g->n_buckets * BUCKET * sizeof(struct tc_ghost_slot);
}

static uint32_t turns_of(const struct tc_ghost *g)
{
    return g->room * TURNS_A_TAG;
}

static size_t bytes_of(const struct tc_ghost *g)
{
    return slot_bytes(g) + turns_of(g) / 8;
}

/* The byte and bit that say whether a turn's tag is live. */
static unsigned char *turn_byte(const struct tc_ghost *g, uint32_t turn)
{
    return (unsigned char *)g->slots + slot_bytes(g) + turn % turns_of(g) / 8;
}

static unsigned char turn_bit(uint32_t turn)
{
    return (unsigned char)(1u << turn % 8);
}

static bool is_live(const struct tc_ghost *g, const struct tc_ghost_slot *slot)
{
    return slot->turn != 0 && slot->turn >= g->first;
}

static void forget(struct tc_ghost *g, struct tc_ghost_slot *slot)
{
    *turn_byte(g, slot->turn) &= (unsigned char)~turn_bit(slot->turn);
    slot->turn = 0;
    g->live--;
}

static struct tc_ghost_slot *bucket_of(const struct tc_ghost *g, uint32_t tag)
{
    return g->slots + ((uint64_t)tag * g->n_buckets >> 32) * BUCKET;
}

/* The tag's live slot, or NULL. */
static struct tc_ghost_slot *find(const struct tc_ghost *g, uint32_t tag)
{
    struct tc_ghost_slot *b = bucket_of(g, tag);
    for (int i = 0; i < BUCKET; i++)
        if (b[i].tag == tag && is_live(g, &b[i]))
            return &b[i];
    return NULL;
}

static void pass_first(struct tc_ghost *g)
{
    unsigned char *byte = turn_byte(g, g->first), bit = turn_bit(g->first);
    g->live -= (*byte & bit) != 0;
    *byte &= (unsigned char)~bit;
    g->first++;
}

static void put(struct tc_ghost *g, uint32_t tag, uint32_t turn)
{
    struct tc_ghost_slot *b = bucket_of(g, tag), *slot = b;
    for (int i = 1; i < BUCKET; i++)
        if (b[i].turn < slot->turn)
            slot = &b[i];
    if (is_live(g, slot))
        forget(g, slot);
    *slot = (struct tc_ghost_slot){ tag, turn };
    *turn_byte(g, turn) |= turn_bit(turn);
    g->live++;
}

/* Moves to a table with room for so many tags. What is remembered goes along. */
static bool grow(struct tc_ghost *g, const struct cache_evict_env *env, uint32_t room)
{
    struct tc_ghost old = *g;
    g->room = (room + 7) & ~(uint32_t)7; /* whole bytes of bits */
    g->n_buckets = (g->room + g->room / 2) / BUCKET;
    g->slots = env->alloc(env->ctx, bytes_of(g));
    if (g->slots == NULL) {
        *g = old;
        return false;
    }
    memset(g->slots, 0, bytes_of(g));
    g->live = 0;
    for (size_t i = 0; i < (size_t)old.n_buckets * BUCKET; i++)
        if (is_live(&old, &old.slots[i]))
            put(g, old.slots[i].tag, old.slots[i].turn);
    if (old.slots != NULL)
        env->free(env->ctx, old.slots, bytes_of(&old));
    return true;
}

void tc_ghost_reserve(struct tc_ghost *g, const struct cache_evict_env *env, size_t span)
{
    uint32_t wanted = span < MOST_ROOM ? (uint32_t)span : MOST_ROOM;
    if (wanted > g->room && g->patience > 0)
        g->patience--;
    else if (wanted > g->room && !grow(g, env, wanted < LEAST_ROOM ? LEAST_ROOM : wanted + wanted / 2))
        g->patience = wanted / 4;
    g->span = wanted < g->room ? wanted : g->room;
}

void tc_ghost_fini(struct tc_ghost *g, const struct cache_evict_env *env)
{
    if (g->slots != NULL)
        env->free(env->ctx, g->slots, bytes_of(g));
    memset(g, 0, sizeof *g);
}

void tc_ghost_add(struct tc_ghost *g, uint32_t tag)
{
    if (g->span == 0)
        return;
    struct tc_ghost_slot *known = find(g, tag);
    if (known != NULL)
        forget(g, known);
    if (g->last == UINT32_MAX) { /* turns are used up: from the beginning again */
        memset(g->slots, 0, bytes_of(g));
        g->first = g->last = g->live = 0;
    }
    g->last++;
    while (g->live >= g->span || g->last - g->first >= turns_of(g))
        pass_first(g);
    put(g, tag, g->last);
}

uint32_t tc_ghost_take(struct tc_ghost *g, uint32_t tag)
{
    struct tc_ghost_slot *slot = g->live > 0 ? find(g, tag) : NULL;
    if (slot == NULL)
        return 0;
    uint32_t since = g->last - slot->turn + 1;
    forget(g, slot);
    return since;
}

void tc_ghost_clear(struct tc_ghost *g)
{
    if (g->live > 0)
        memset((char *)g->slots + slot_bytes(g), 0, bytes_of(g) - slot_bytes(g));
    g->first = g->last + 1;
    g->live = 0;
}
