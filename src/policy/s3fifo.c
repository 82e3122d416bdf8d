/* S3-FIFO: a small queue for newcomers, a main one for what was used while it was small's, and a memory of what small
 * lost (Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need for cache eviction", SOSP 2023). Entries move
 * when they come up as victims, not when they are hit, so that a hit needs no lock: it is noted in the node, up to
 * three.
 *
 * Small has a tenth of what the order holds, in bytes; the memory holds nine tags for ten entries. What main loses to
 * an invalidation or its time's end is remembered too: when it comes back, it is no newcomer.
 *
 * A step that moves an entry is paid for by a hit of it. A call takes STEPS_MOST of them and then names what it has
 * come to. */
#include "policy/evict.h"
#include "policy/ghost.h"

#define STEPS_MOST 128
#define HITS_MOST 3
#define PROMOTING_HITS 2

enum { SMALL, MAIN, QUEUES };

struct state {
    const struct tc_cells *cells;
    struct tc_queue queues[QUEUES];
    uint64_t weight[QUEUES];
    size_t count;
    uint32_t named; /* the victim that was named last, if it is still there, */
    uint8_t named_hits; /* and its hits then: what all steps came to may well have some */
    const struct cache_evict_env *env;
    struct tc_ghost ghost;
    /* Where the entry stood that left last, not as a victim: a new value of its key takes that place, as if the old one
     * were hit. */
    bool left;
    uint8_t left_queue, left_hits;
    uint32_t left_tag;
    uint32_t left_newer;
};

static void enter(struct state *s, uint32_t entry, uint8_t queue, uint32_t newer)
{
    struct tc_hit_node *n = tc_hit_node(s->cells, entry);
    n->queue = queue;
    s->weight[queue] += n->weight;
    tc_queue_put(s->cells, &s->queues[queue], entry, newer);
}

static void leave(struct state *s, uint32_t entry)
{
    const struct tc_hit_node *n = tc_hit_node(s->cells, entry);
    s->weight[n->queue] -= n->weight;
    tc_queue_take(s->cells, &s->queues[n->queue], entry);
}

static void s3fifo_begin(void *state, const struct cache_evict_env *env)
{
    struct state *s = state;
    s->env = env;
    s->cells = env->entries;
}

static void s3fifo_end(void *state)
{
    struct state *s = state;
    tc_ghost_fini(&s->ghost, s->env);
}

/* The place of the one that left is given up. */
static void give_up_place(struct state *s)
{
    if (s->left && s->left_queue == MAIN)
        tc_ghost_add(&s->ghost, s->left_tag);
    s->left = false;
}

static void s3fifo_insert(void *state, uint32_t entry, uint64_t hash, size_t bytes)
{
    struct state *s = state;
    struct tc_hit_node *n = tc_hit_node(s->cells, entry);
    n->tag = tc_hit_tag(hash);
    n->weight = tc_hit_weight(bytes);
    s->count++;
    s->named = 0;
    tc_ghost_reserve(&s->ghost, s->env, s->count * 9 / 10);
    if (s->left && s->left_tag == n->tag) {
        tc_hit_set(n, s->left_hits < HITS_MOST ? s->left_hits + 1 : HITS_MOST);
        enter(s, entry, s->left_queue, s->left_newer);
        s->left = false;
        return;
    }
    give_up_place(s);
    enter(s, entry, tc_ghost_take(&s->ghost, n->tag) > 0 ? MAIN : SMALL, 0);
}

static void s3fifo_hit(void *state, uint32_t entry, void *node)
{
    (void)state;
    (void)entry;
    tc_hit_add(node, HITS_MOST);
}

static void s3fifo_remove(void *state, uint32_t entry)
{
    struct state *s = state;
    const struct tc_hit_node *n = tc_hit_node(s->cells, entry);
    give_up_place(s);
    if (entry != s->named) {
        s->left = true;
        s->left_queue = n->queue;
        s->left_hits = tc_hit_count(n);
        s->left_tag = n->tag;
        s->left_newer = n->link.newer;
    } else if (n->queue == SMALL) {
        tc_ghost_add(&s->ghost, n->tag);
    }
    s->named = 0;
    leave(s, entry);
    if (--s->count == 0)
        tc_ghost_clear(&s->ghost);
}

/* Small has its tenth, rounded down to whole entries of average weight but no less than one, or main has nothing. */
static bool small_gives(const struct state *s)
{
    uint64_t all = s->weight[SMALL] + s->weight[MAIN];
    return s->queues[MAIN].oldest == 0 ||
           (s->queues[SMALL].oldest != 0 && s->weight[SMALL] + all / s->count > all / 10);
}

/* It was used too often to leave. */
static bool is_kept(const struct tc_hit_node *n)
{
    return tc_hit_count(n) >= (n->queue == SMALL ? PROMOTING_HITS : 1);
}

static bool is_named_still(const struct state *s)
{
    const struct tc_hit_node *n = tc_hit_node(s->cells, s->named);
    return !is_kept(n) || tc_hit_count(n) == s->named_hits;
}

static uint32_t s3fifo_victim(void *state)
{
    struct state *s = state;
    if (s->count == 0)
        return 0;
    if (s->named != 0 && is_named_still(s))
        return s->named; /* nothing changed: asking again does not ask the other queue, nor go on */
    give_up_place(s); /* entries move: nothing may be said about neighbours any more */
    uint8_t queue = small_gives(s) ? SMALL : MAIN;
    uint32_t entry = s->queues[queue].oldest;
    for (int steps = 0; steps < STEPS_MOST; steps++) {
        struct tc_hit_node *n = tc_hit_node(s->cells, entry);
        if (!is_kept(n))
            break;
        uint8_t hits = tc_hit_count(n);
        leave(s, entry);
        tc_hit_set(n, queue == SMALL ? 0 : (uint8_t)(hits - 1));
        enter(s, entry, MAIN, 0);
        if (s->queues[queue].oldest == 0)
            queue = MAIN;
        entry = s->queues[queue].oldest;
    }
    s->named = entry;
    s->named_hits = tc_hit_count(tc_hit_node(s->cells, entry));
    return entry;
}

static void s3fifo_move(void *state, uint32_t from, uint32_t to)
{
    struct state *s = state;
    tc_queue_move(s->cells, &s->queues[tc_hit_node(s->cells, to)->queue], to);
    tc_rename_entry(&s->named, from, to);
    tc_rename_entry(&s->left_newer, from, to);
}

const struct cache_evict_ops tc_evict_s3fifo = {
    .abi = CACHE_HOOKS_ABI,
    .flags = CACHE_EVICT_ENDS_FULL,
    .name = "s3-fifo",
    .state_bytes = sizeof(struct state),
    .node_bytes = sizeof(struct tc_hit_node),
    .begin = s3fifo_begin,
    .end = s3fifo_end,
    .insert = s3fifo_insert,
    .hit = s3fifo_hit,
    .remove = s3fifo_remove,
    .victim = s3fifo_victim,
    .move = s3fifo_move,
};
