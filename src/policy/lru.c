/* The default eviction order: least recently used first, put in order only where it matters.
 *
 * A hit writes the present stamp into the entry, unless it is there already, and moves nothing
 * (CACHE_EVICT_STAMPED_HITS).
 * The order is a row of lists, one for each of the last stamps, oldest first. An entry lies where it was put; when it
 * comes up for eviction and carries a stamp it moves to the end of that stamp's list, where it would be had each hit
 * moved it, and the next one is looked at. So each move pays for at least one hit, and the victim is one of those used
 * longest ago, as far as stamps tell times apart: a step of some 64th of the entries. What that costs in hits is in
 * docs/decisions/012-recency-by-stamps.md.
 *
 * The lists lie one after the other in a single chain of entries, from the oldest to the newest; each is known by its
 * newest one. Back it leads only within a list: whoever comes to a list's end is nothing to the first of the next one,
 * which would have to come from memory. With a new stamp the oldest two become one, which changes nothing in the chain.
 * An entry that is stored anew takes the place of the one before, as if that had been hit. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/cells.h"
#include "platform/platform.h"
#include "policy/evict.h"

#define LISTS 128
#define WORD 64
#define STAMPS UINT8_MAX /* 1 to 255 */
#define MOVES 1024       /* of one call of victim(): after a time of hits alone all entries may carry stamps */

/* Its first number is the newer neighbour's, 0 for none; with the bit beside it the entry is the newest of its list. Its
 * second one is the older neighbour's, or, with the bit, the list's whose oldest it is. The mark is the stamp; 0: not
 * used since it was put where it is. */
typedef struct tc_cell_pair node;
#define ENDS TC_PAIR_BIT
#define BEGINS TC_PAIR_BIT

struct state {
    const struct tc_cells *cells;
    uint64_t filled[LISTS / WORD]; /* a bit for each list: it is not empty */
    uint32_t oldest;               /* entry, or 0 */
    uint32_t last;                 /* the newest entry of the list of the present stamp; 0: it is empty */
    uint8_t newest;                /* that list; the one after it is the oldest */
    uint8_t stamp;
    uint32_t others[LISTS];        /* the newest entries of all other lists */
};

_Static_assert(sizeof(node) == 8 && sizeof(struct state) <= TC_EVICT_STATE_MAX, "within limits");

static void lru_begin(void *state, const struct cache_evict_env *env)
{
    ((struct state *)state)->cells = env->entries;
}

static inline __attribute__((always_inline)) node *node_of(const struct state *s, uint32_t entry)
{
    return tc_cell(s->cells, entry);
}

static uint32_t newer_of(const node *n)
{
    return tc_pair_first(n) & ~ENDS;
}

static bool ends(const node *n)
{
    return tc_pair_first(n) & ENDS;
}

static bool begins(const node *n)
{
    return tc_pair_second(n) & BEGINS;
}

/* Of one that does not begin its list. */
static uint32_t older_of(const node *n)
{
    return tc_pair_second(n);
}

/* Of one that does. */
static unsigned list_of(const node *n)
{
    return tc_pair_second(n) & ~BEGINS;
}

static void set_newer(node *n, uint32_t newer)
{
    tc_pair_set_first(n, newer | (tc_pair_first(n) & ENDS));
}

static unsigned oldest_list(const struct state *s)
{
    return (s->newest + 1) % LISTS;
}

/* The newest entry of a list; 0: it is empty. */
static uint32_t newest_of(const struct state *s, unsigned list)
{
    return list == s->newest ? s->last : s->others[list];
}

static void put_newest(struct state *s, unsigned list, uint32_t entry)
{
    *(list == s->newest ? &s->last : &s->others[list]) = entry;
}

/* The newest entry of all lists up to the nth oldest one, n from 0 to LISTS - 1; 0: there is none. */
static uint32_t newest_among(const struct state *s, unsigned n)
{
    while (n > 0) { /* a word of bits at a time, from the newest list down */
        unsigned list = (oldest_list(s) + n - 1) % LISTS, here = list % WORD + 1 < n ? list % WORD + 1 : n;
        uint64_t bits = s->filled[list / WORD] << (WORD - 1 - list % WORD);
        bits &= ~(here < WORD ? UINT64_MAX >> here : 0);
        if (bits != 0)
            return newest_of(s, list - (unsigned)__builtin_clzll(bits));
        n -= here;
    }
    return 0;
}

/* The newest entry of all lists older than that one; 0: there is none. */
static uint32_t newest_before(const struct state *s, unsigned list)
{
    return newest_among(s, (list + LISTS - oldest_list(s)) % LISTS);
}

static void set_filled(struct state *s, unsigned list, bool filled)
{
    uint64_t bit = UINT64_C(1) << list % WORD;
    if (filled)
        s->filled[list / WORD] |= bit;
    else
        s->filled[list / WORD] &= ~bit;
}

/* The list that an entry is the newest of; it is one's. */
static unsigned ended_by(const struct state *s, uint32_t entry, const node *n)
{
    unsigned list = begins(n) ? list_of(n) : 0;
    while (newest_of(s, list) != entry)
        list++;
    return list;
}

/* entry comes next in the chain; older: 0 for none before it. */
static void set_next(struct state *s, uint32_t older, uint32_t entry)
{
    if (older != 0)
        set_newer(node_of(s, older), entry);
    else
        s->oldest = entry;
}

/* What comes before it in the chain. */
static uint32_t before(const struct state *s, uint32_t entry, const node *n)
{
    return entry == s->oldest ? 0 : begins(n) ? newest_before(s, list_of(n)) : older_of(n);
}

/* The first of its list. */
static void append_first(struct state *s, unsigned list, uint32_t entry, node *n)
{
    uint32_t older = newest_before(s, list);
    tc_pair_set(n, ENDS | (older != 0 ? newer_of(node_of(s, older)) : s->oldest), BEGINS | list);
    set_next(s, older, entry);
    set_filled(s, list, true);
    put_newest(s, list, entry);
}

static void append(struct state *s, unsigned list, uint32_t entry)
{
    node *n = node_of(s, entry);
    uint32_t older = newest_of(s, list);
    atomic_store_explicit(&n->mark, 0, memory_order_relaxed);
    if (older == 0) {
        append_first(s, list, entry, n);
        return;
    }
    node *o = node_of(s, older);
    tc_pair_set(n, tc_pair_first(o), older);
    tc_pair_set_first(o, entry);
    put_newest(s, list, entry);
}

static void take_out(struct state *s, uint32_t entry)
{
    const node *n = node_of(s, entry);
    set_next(s, before(s, entry, n), newer_of(n));
    if (!ends(n)) {
        tc_pair_set_second(node_of(s, newer_of(n)), tc_pair_second(n));
        return;
    }
    unsigned list = ended_by(s, entry, n);
    uint32_t newest = begins(n) ? 0 : older_of(n);
    put_newest(s, list, newest);
    if (newest == 0)
        set_filled(s, list, false);
    else
        tc_pair_set_first(node_of(s, newest), tc_pair_first(n));
}

/* The entries of the oldest list become the next one's. */
static void join_oldest(struct state *s)
{
    unsigned list = oldest_list(s), next = (list + 1) % LISTS;
    uint32_t last = newest_of(s, list);
    if (last == 0)
        return;
    put_newest(s, list, 0);
    set_filled(s, list, false);
    tc_pair_set_second(node_of(s, s->oldest), BEGINS | next);
    if (newest_of(s, next) == 0) {
        put_newest(s, next, last);
        set_filled(s, next, true);
        return;
    }
    node *n = node_of(s, last);
    tc_pair_set_first(n, newer_of(n));
    tc_pair_set_second(node_of(s, newer_of(n)), last);
}

static void lru_tick(void *state, uint8_t stamp)
{
    struct state *s = state;
    join_oldest(s);
    s->others[s->newest] = s->last;
    s->newest = (uint8_t)oldest_list(s);
    s->stamp = stamp;
    s->last = 0;
}

/* At the end of a chain whose last entry is of the same list, as nearly always. */
static void lru_insert(void *state, uint32_t entry, uint64_t hash, size_t bytes)
{
    (void)hash;
    (void)bytes;
    struct state *s = state;
    uint32_t last = s->last;
    if (last == 0) {
        append(s, s->newest, entry);
        return;
    }
    node *n = node_of(s, entry);
    atomic_store_explicit(&n->mark, 0, memory_order_relaxed);
    tc_pair_set(n, ENDS, last);
    tc_pair_set_first(node_of(s, last), entry);
    s->last = entry;
}

/* The oldest of a list that goes on, as nearly always; 0: it is not. */
static inline uint32_t next_after_oldest(const struct state *s, uint32_t entry, const node *n)
{
    return entry == s->oldest && !ends(n) ? newer_of(n) : 0;
}

static void lru_remove(void *state, uint32_t entry)
{
    struct state *s = state;
    const node *n = node_of(s, entry);
    uint32_t next = next_after_oldest(s, entry, n);
    if (next == 0) {
        take_out(s, entry);
        return;
    }
    s->oldest = next;
    tc_pair_set_second(node_of(s, next), tc_pair_second(n));
}

/* How many lists lie between the newest one and that of a stamp. */
static unsigned age_of(const struct state *s, uint8_t stamp)
{
    unsigned age = ((unsigned)s->stamp + STAMPS - stamp) % STAMPS;
    return age < LISTS - 1 ? age : LISTS - 1;
}

/* Where an entry that carries a stamp is going to be. */
static unsigned list_for(const struct state *s, uint8_t stamp)
{
    return (s->newest + LISTS - age_of(s, stamp)) % LISTS;
}

/* When next leaves, the one after it is written: it is on its way from now on. So is what lies behind its node, which
 * is written too where entries are written over; and the newest one, behind which the new entry comes: another
 * processor may have written it. */
static inline void fetch_next_but_one(const struct state *s, uint32_t next)
{
    if (s->last != 0)
        __builtin_prefetch(node_of(s, s->last), 1);
    uint32_t then = next != 0 ? newer_of(node_of(s, next)) : 0;
    if (then == 0)
        return;
    const node *n = node_of(s, then);
    __builtin_prefetch(n, 1);
    __builtin_prefetch((const char *)n + TC_CACHELINE, 1);
}

/* The one behind which next will be put when it comes up, if it was used. */
static inline void fetch_end_for(const struct state *s, uint32_t next)
{
    uint8_t stamp = next != 0 ? atomic_load_explicit(&node_of(s, next)->mark, memory_order_relaxed) : 0;
    uint32_t newest = stamp != 0 ? newest_of(s, list_for(s, stamp)) : 0;
    if (newest != 0)
        __builtin_prefetch(node_of(s, newest), 1);
}

static uint32_t lru_victim(void *state)
{
    struct state *s = state;
    for (unsigned moves = 0; s->oldest != 0; moves++) {
        uint32_t entry = s->oldest, next = newer_of(node_of(s, entry));
        uint8_t stamp = atomic_load_explicit(&node_of(s, entry)->mark, memory_order_relaxed);
        fetch_next_but_one(s, next);
        fetch_end_for(s, next);
        if (stamp == 0 || moves == MOVES)
            return entry;
        take_out(s, entry);
        append(s, list_for(s, stamp), entry);
    }
    return 0;
}

#define LOOKS 4 /* at entries that were used since they were put where they are, which are passed over */

static uint32_t lru_later(void *state, uint32_t entry)
{
    const struct state *s = state;
    for (unsigned looks = 0; looks < LOOKS; looks++) {
        entry = newer_of(node_of(s, entry));
        if (entry == 0)
            return 0;
        fetch_next_but_one(s, newer_of(node_of(s, entry)));
        if (atomic_load_explicit(&node_of(s, entry)->mark, memory_order_relaxed) == 0)
            return entry;
    }
    return 0;
}

/* The oldest entry stands in the oldest list that is not empty; all that was used before the lists begin is one age. */
static uint32_t lru_age(void *state)
{
    const struct state *s = state;
    uint8_t stamp = s->oldest != 0 ? atomic_load_explicit(&node_of(s, s->oldest)->mark, memory_order_relaxed) : 0;
    if (stamp != 0)
        return age_of(s, stamp);
    unsigned age = LISTS - 1;
    while (age > 0 && newest_of(s, (s->newest + LISTS - age) % LISTS) == 0)
        age--;
    return age;
}

/* What names the entry from names to instead, whose node says what that of from did. */
static void rename(struct state *s, uint32_t from, uint32_t to)
{
    const node *n = node_of(s, to);
    set_next(s, before(s, from, n), to);
    if (ends(n))
        put_newest(s, ended_by(s, from, n), to);
    else
        tc_pair_set_second(node_of(s, newer_of(n)), to);
}

static void lru_move(void *state, uint32_t from, uint32_t to)
{
    rename(state, from, to);
}

static void lru_replace(void *state, uint32_t from, uint32_t to, uint64_t hash, size_t bytes)
{
    (void)hash;
    (void)bytes;
    struct state *s = state;
    const node *was = node_of(s, from);
    node *n = node_of(s, to);
    atomic_store_explicit(&n->mark, s->stamp, memory_order_relaxed);
    tc_pair_set(n, tc_pair_first(was), tc_pair_second(was));
    rename(s, from, to);
}

const struct cache_evict_ops tc_evict_lru = {
    .abi = CACHE_HOOKS_ABI,
    .flags = CACHE_EVICT_STAMPED_HITS | CACHE_EVICT_LAST_IN | CACHE_EVICT_ENDS_FULL,
    .name = "lru",
    .state_bytes = sizeof(struct state),
    .node_bytes = sizeof(node),
    .begin = lru_begin,
    .insert = lru_insert,
    .remove = lru_remove,
    .victim = lru_victim,
    .tick = lru_tick,
    .move = lru_move,
    .replace = lru_replace,
    .age = lru_age,
    .later = lru_later,
};
