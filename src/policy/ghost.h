/* What an eviction order remembers of entries that left it: the tags of the last so many, first in, first out, less
 * those that were taken. No keys, no values: where two keys share a tag, one may be taken for the other.
 *
 * A hash table of tags, each with its turn: turns count additions. Turns before `first` are over, and their slots free;
 * a bit for each turn says whether its tag is gone already. Nothing here walks the table but its growing. */
#ifndef TC_POLICY_GHOST_H
#define TC_POLICY_GHOST_H

#include "policy/queue.h"
#include "tiercache/hooks.h"

struct tc_ghost_slot {
    uint32_t tag;
    uint32_t turn; /* 0: never used */
};

struct tc_ghost {
    struct tc_ghost_slot *slots; /* NULL: no memory; then nothing is remembered. The bits of the turns lie behind */
    uint32_t n_buckets;
    uint32_t room; /* tags that the table is made for */
    uint32_t span; /* tags that it is to remember, at most room */
    uint32_t live; /* tags that it remembers */
    uint32_t first, last; /* turns */
    uint32_t patience;    /* calls of reserve that do not ask for memory, since it was refused */
};

/* Sets the span, and sees to room for it. Without memory it remembers as many as it has room for. */
void tc_ghost_reserve(struct tc_ghost *g, const struct cache_evict_env *env, size_t span);
void tc_ghost_fini(struct tc_ghost *g, const struct cache_evict_env *env);

void tc_ghost_add(struct tc_ghost *g, uint32_t tag);
/* Forgets a tag. Returns how many were added since, itself among them, or 0: it was not remembered. */
uint32_t tc_ghost_take(struct tc_ghost *g, uint32_t tag);
void tc_ghost_clear(struct tc_ghost *g);

#endif
