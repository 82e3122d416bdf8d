/* W-TinyLFU: newcomers pass a window; what leaves it enters the main part only if it was asked for more often lately
 * than what would have to go there, by a sketch that counts cached and other keys alike (Einziger, Friedman and Manes,
 * "TinyLFU: A Highly Efficient Cache Admission Policy", ACM Transactions on Storage 2017). Main is a segmented LRU:
 * probation, and for what was hit there, up to four fifths of main, protected. Shares are of the bytes that the order
 * holds.
 *
 * Hits take no lock. They are noted in the node, and made up for when the entry comes up: its hits are counted in the
 * sketch then, and it moves to where they would have put it. What is compared is thus always counted in full.
 *
 * The window's share climbs towards more hits (Einziger, Eytan, Friedman and Manes, "Adaptive Software Cache
 * Management", Middleware 2018). Whoever tries a step and looks at the hit ratio afterwards has to know every hit, and
 * takes a change of the load for his own doing. Here the slope is measured instead: the last losses of the window and
 * of main are remembered, equally many, and the part whose losses are asked for again more often gets bytes of the
 * other's. Where neither's are, losses of the window from further back count: keys may come again after more newcomers
 * than the window holds, all of them after as many, and then a slightly larger one would bring nothing and a large one
 * a lot.
 *
 * A step that moves an entry is paid for by a hit of it, an earlier move or the window's change of size. A call takes
 * up to two times STEPS_MOST of them and then goes by what it has come to. */
#include "policy/evict.h"
#include "policy/ghost.h"
#include "policy/sketch.h"

#define STEPS_MOST 128
#define HITS_MOST TC_SKETCH_MOST
#define SHARE_FIRST 100 /* of the window, in thousandths */
#define SHARE_LEAST 10
#define SHARE_MOST 900
#define SHARE_STEP 30
#define FAR_FACTOR 4
#define ALWAYS_COUNT 5 /* above this a loser is let in now and then: see admits() */

enum { WINDOW, PROBATION, PROTECTED, QUEUES };
enum { BY_WINDOW, BY_MAIN, LOSERS };

struct state {
    const struct tc_cells *cells;
    struct tc_queue queues[QUEUES];
    uint64_t weight[QUEUES];
    size_t count;
    uint32_t named; /* the victim that was named last, if it is still there */
    const struct cache_evict_env *env;
    struct tc_sketch sketch;
    struct tc_ghost lost[LOSERS];
    uint64_t missed[LOSERS]; /* losses that were asked for again, since the last step */
    uint64_t missed_far;     /* the same, of all that the window lost and that are remembered */
    uint64_t newcomers;      /* since the last look at that */
    uint32_t share;          /* of the window, in thousandths */
    uint32_t lottery;
    /* The entry that left last, not as a victim: a new value of its key goes to where a hit would have put it. */
    bool left;
    uint8_t left_queue;
    uint32_t left_tag;
};

static void enter(struct state *s, uint32_t entry, uint8_t queue)
{
    struct tc_hit_node *n = tc_hit_node(s->cells, entry);
    n->queue = queue;
    s->weight[queue] += n->weight;
    tc_queue_put(s->cells, &s->queues[queue], entry, 0);
}

static void leave(struct state *s, uint32_t entry)
{
    const struct tc_hit_node *n = tc_hit_node(s->cells, entry);
    s->weight[n->queue] -= n->weight;
    tc_queue_take(s->cells, &s->queues[n->queue], entry);
}

static void requeue(struct state *s, uint32_t entry, uint8_t queue)
{
    leave(s, entry);
    enter(s, entry, queue);
}

static void wtinylfu_begin(void *state, const struct cache_evict_env *env)
{
    struct state *s = state;
    s->env = env;
    s->cells = env->entries;
    s->share = SHARE_FIRST;
}

static void wtinylfu_end(void *state)
{
    struct state *s = state;
    tc_sketch_fini(&s->sketch, s->env);
    tc_ghost_fini(&s->lost[BY_WINDOW], s->env);
    tc_ghost_fini(&s->lost[BY_MAIN], s->env);
}

/* Counts the hits that were noted in the node. False: there were none. */
static bool make_up(struct state *s, struct tc_hit_node *n)
{
    uint8_t hits = tc_hit_count(n);
    if (hits == 0)
        return false;
    tc_hit_set(n, 0);
    tc_sketch_add(&s->sketch, n->tag, hits);
    return true;
}

/* How many losses of each part are remembered: few, since what is asked is what a few more entries would bring; but
 * enough for something to be seen in a small order. */
static uint64_t near_span(const struct state *s)
{
    return s->count < 256 ? s->count / 16 : s->count / 32 + 8;
}

/* How many losses of the window are remembered in all. */
static uint64_t far_span(const struct state *s)
{
    return s->count - s->count / 4;
}

/* By loss, those from far back are asked for again much more often than main's. */
static bool far_is_better(const struct state *s)
{
    return s->missed_far * near_span(s) > FAR_FACTOR * (s->missed[BY_MAIN] + 2) * far_span(s);
}

/* Changes the window's share by a step, once a difference is more than chance makes of equal parts: its standard
 * deviation, and two for small numbers. Until then what was seen goes on counting, unless it is much. */
static void climb(struct state *s)
{
    uint64_t by_window = s->missed[BY_WINDOW], by_main = s->missed[BY_MAIN], both = by_window + by_main;
    uint64_t apart = by_window > by_main ? by_window - by_main : by_main - by_window;
    bool differ = apart > 2 && (apart - 2) * (apart - 2) > both, step = differ || far_is_better(s);
    s->newcomers = 0;
    if (differ && by_main > by_window)
        s->share = s->share > SHARE_LEAST + SHARE_STEP ? s->share - SHARE_STEP : SHARE_LEAST;
    else if (step)
        s->share = s->share + SHARE_STEP < SHARE_MOST ? s->share + SHARE_STEP : SHARE_MOST;
    unsigned keep = step ? 0 : both > s->count ? 1 : 2; /* halves */
    s->missed[BY_WINDOW] = by_window * keep / 2;
    s->missed[BY_MAIN] = by_main * keep / 2;
    s->missed_far = s->missed_far * keep / 2;
}

/* A newcomer: was it here until lately, and who lost it? After as many newcomers as there are entries, a step. */
static void notice(struct state *s, uint32_t tag)
{
    tc_ghost_reserve(&s->lost[BY_WINDOW], s->env, far_span(s));
    tc_ghost_reserve(&s->lost[BY_MAIN], s->env, near_span(s));
    uint32_t since = tc_ghost_take(&s->lost[BY_WINDOW], tag);
    s->missed_far += since > 0;
    s->missed[BY_WINDOW] += since > 0 && since <= near_span(s);
    s->missed[BY_MAIN] += tc_ghost_take(&s->lost[BY_MAIN], tag) > 0;
    if (++s->newcomers > s->count)
        climb(s);
}

static void wtinylfu_insert(void *state, uint32_t entry, uint64_t hash, size_t bytes)
{
    struct state *s = state;
    struct tc_hit_node *n = tc_hit_node(s->cells, entry);
    n->tag = tc_hit_tag(hash);
    n->weight = tc_hit_weight(bytes);
    s->count++;
    s->named = 0;
    tc_sketch_reserve(&s->sketch, s->env, s->count);
    tc_sketch_add(&s->sketch, n->tag, 1);
    if (s->left && s->left_tag == n->tag) {
        enter(s, entry, s->left_queue == WINDOW ? WINDOW : PROTECTED);
    } else {
        notice(s, n->tag);
        enter(s, entry, WINDOW);
    }
    s->left = false;
}

static void wtinylfu_hit(void *state, uint32_t entry, void *node)
{
    (void)state;
    (void)entry;
    tc_hit_add(node, HITS_MOST);
}

static void wtinylfu_remove(void *state, uint32_t entry)
{
    struct state *s = state;
    struct tc_hit_node *n = tc_hit_node(s->cells, entry);
    make_up(s, n);
    s->left = entry != s->named;
    s->left_tag = n->tag;
    s->left_queue = n->queue;
    if (entry == s->named)
        tc_ghost_add(&s->lost[n->queue == WINDOW ? BY_WINDOW : BY_MAIN], n->tag);
    s->named = 0;
    leave(s, entry);
    if (--s->count > 0)
        return;
    tc_ghost_clear(&s->lost[BY_WINDOW]);
    tc_ghost_clear(&s->lost[BY_MAIN]);
}

/* What is to be kept to, in bytes. */
struct shares {
    uint64_t entry; /* an average one */
    uint64_t window, protected;
};

static struct shares shares_of(const struct state *s)
{
    uint64_t all = s->weight[WINDOW] + s->weight[PROBATION] + s->weight[PROTECTED];
    struct shares h = { .entry = all / s->count, .window = all / 1000 * s->share + all % 1000 * s->share / 1000 };
    h.protected = (all - h.window) / 5 * 4;
    return h;
}

/* The entry that has to leave the window so that another can come, or 0 while it has less than its share. However small
 * that is, the newest entry of all always stands in the window. */
static uint32_t window_gives(struct state *s, const struct shares *h)
{
    for (int steps = 0; s->weight[WINDOW] + h->entry > h->window && s->queues[WINDOW].oldest != 0; steps++) {
        uint32_t entry = s->queues[WINDOW].oldest;
        if (steps == STEPS_MOST)
            return entry;
        if (make_up(s, tc_hit_node(s->cells, entry)))
            requeue(s, entry, WINDOW);
        else if (s->weight[WINDOW] > h->window + h->entry) /* its share became smaller */
            requeue(s, entry, PROBATION);
        else
            return entry;
    }
    return 0;
}

/* The entry that has to leave main, or 0: main has none. */
static uint32_t main_gives(struct state *s, const struct shares *h)
{
    for (int steps = 0; steps < STEPS_MOST; steps++) {
        bool demote = s->queues[PROTECTED].oldest != 0 &&
                      (s->queues[PROBATION].oldest == 0 || s->weight[PROTECTED] > h->protected);
        if (!demote && s->queues[PROBATION].oldest == 0)
            return 0;
        uint32_t entry = s->queues[demote ? PROTECTED : PROBATION].oldest;
        bool hit = make_up(s, tc_hit_node(s->cells, entry));
        if (!demote && !hit)
            return entry;
        requeue(s, entry, hit ? PROTECTED : PROBATION);
    }
    return s->queues[s->queues[PROBATION].oldest != 0 ? PROBATION : PROTECTED].oldest;
}

/* Whether what the window gives is let into main in the place of what main gives. A tie is for what is there. One in
 * 128 is let in against the counts: else who finds keys that share their counters with a popular one could fill main
 * with them for good. */
static bool admits(struct state *s, uint32_t comer, uint32_t there)
{
    if (s->sketch.blocks == NULL)
        return true; /* knows nothing: then by recency */
    uint32_t tag = tc_hit_node(s->cells, comer)->tag;
    unsigned count = tc_sketch_count(&s->sketch, tag);
    if (count > tc_sketch_count(&s->sketch, tc_hit_node(s->cells, there)->tag))
        return true;
    if (count <= ALWAYS_COUNT)
        return false;
    s->lottery = s->lottery * UINT32_C(1664525) + UINT32_C(1013904223) + tag;
    return s->lottery >> 25 == 0;
}

static uint32_t wtinylfu_victim(void *state)
{
    struct state *s = state;
    if (s->count == 0)
        return 0;
    if (s->named != 0 && tc_hit_count(tc_hit_node(s->cells, s->named)) == 0)
        return s->named; /* nothing changed: asking again does not let another comer in */
    struct shares h = shares_of(s);
    uint32_t comer = window_gives(s, &h), there = main_gives(s, &h);
    if (there == 0)
        there = comer != 0 ? comer : s->queues[WINDOW].oldest;
    else if (comer != 0 && admits(s, comer, there))
        requeue(s, comer, PROBATION);
    else if (comer != 0)
        there = comer;
    s->named = there;
    return there;
}

static void wtinylfu_move(void *state, uint32_t from, uint32_t to)
{
    struct state *s = state;
    tc_queue_move(s->cells, &s->queues[tc_hit_node(s->cells, to)->queue], to);
    tc_rename_entry(&s->named, from, to);
}

const struct cache_evict_ops tc_evict_wtinylfu = {
    .abi = CACHE_HOOKS_ABI,
    .flags = CACHE_EVICT_ENDS_FULL,
    .name = "w-tinylfu",
    .state_bytes = sizeof(struct state),
    .node_bytes = sizeof(struct tc_hit_node),
    .begin = wtinylfu_begin,
    .end = wtinylfu_end,
    .insert = wtinylfu_insert,
    .hit = wtinylfu_hit,
    .remove = wtinylfu_remove,
    .victim = wtinylfu_victim,
    .move = wtinylfu_move,
};
