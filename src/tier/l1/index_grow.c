/* When the table grows, and how. A small one is copied in one call. Of a large one each call that inserts copies some
 * buckets, and so does each store with the lock over what is there; when the last one is done the larger one is
 * published, whole, and up to then it is nobody's but the writers'. What makes a call copy all that is left: a key
 * without a lane, since nobody is to leave while there is memory; and memory that is there for one table only. */
#include "tier/l1/index_lanes.h"

#define FIRST_BUCKETS 2
#define SMALL_BUCKETS 16 /* up to there the table doubles, up to TC_INDEX_CLOSE_BUCKETS it grows by a quarter */

/* Buckets that one call copies: some microseconds; done long before what is full is crammed. */
#define STEP 16

static struct tc_block *block_of(const struct tc_index *x)
{
    return tc_block_of(tc_index_bucket(x, 0));
}

static size_t heap_bytes(const struct tc_index *x, size_t n)
{
    return n > 0 ? tc_table_heap_bytes(x->in_pages, n) : 0;
}

size_t tc_index_bytes(const struct tc_index *x)
{
    return heap_bytes(x, x->n) + heap_bytes(x, x->next.n);
}

/* ---- whether ---- */

static size_t larger(size_t n)
{
    return n < SMALL_BUCKETS ? n * 2 : n + n / (n > TC_INDEX_CLOSE_BUCKETS ? 8 : 4);
}

/* The size to grow to: not one in which these entries did not find their lanes. */
static size_t next_n(const struct tc_index *x)
{
    size_t n = x->n == 0 ? FIRST_BUCKETS : larger(x->n);
    while (n <= x->refused)
        n = larger(n);
    return n;
}

static bool find_gap(const struct tc_index *x, uint64_t hash, struct tc_index_gap *gap)
{
    struct tc_buckets t = tc_lanes_of(x);
    return tc_lanes_find_gap(&t, tc_lanes_home(&t, hash), gap);
}

static bool is_strained(const struct tc_index *x, uint64_t hash, enum tc_index_growth how)
{
    struct tc_index_gap gap;
    if (!tc_lanes_exceed(x, 8))
        return false;
    return !find_gap(x, hash, &gap) || (how == TC_GROW_BESIDE && tc_lanes_is_far(x, gap.distance));
}

static bool wants_growth(const struct tc_index *x, uint64_t hash, enum tc_index_growth how)
{
    if (x->n == 0)
        return true;
    if (x->next.n > 0)
        return false;
    if (next_n(x) > 2 * (size_t)x->n) /* these keys do not go into tables: see tc_index_make_room() */
        return false;
    bool thrift = how == TC_GROW_IF_CRAMMED;
    return tc_lanes_are_full(x, thrift) || (!thrift && is_strained(x, hash, how));
}

/* The tables are there together only as long as the call takes. */
static bool grows_at_once(const struct tc_index *x, enum tc_index_growth how)
{
    return x->n <= TC_INDEX_CLOSE_BUCKETS || how != TC_GROW_BESIDE;
}

size_t tc_index_growth_bytes(const struct tc_index *x, uint64_t hash, enum tc_index_growth how)
{
    if (!wants_growth(x, hash, how))
        return 0;
    return heap_bytes(x, next_n(x)) - (grows_at_once(x, how) ? heap_bytes(x, x->n) : 0);
}

/* ---- how ---- */

static bool begin(struct tc_index *x, const struct tc_alloc *a, struct tc_index_room *room)
{
    struct tc_block *b = tc_block_open_table(a, next_n(x));
    if (b == NULL)
        return false;
    x->next = (struct tc_buckets){ tc_block_lines(b), (uint32_t)b->n };
    x->next_failed = false;
    room->more_bytes = heap_bytes(x, b->n);
    return true;
}

/* Nobody has read it. */
static void close_next(struct tc_index *x, const struct tc_alloc *a)
{
    if (x->next.n > 0)
        tc_block_close(a, tc_block_of(x->next.first));
    x->next = (struct tc_buckets){ .n = 0 };
    x->copied = 0;
}

/* In this order: see tc_index_view. */
static void publish(struct tc_index_view *v, struct tc_bucket *buckets, size_t n)
{
    atomic_store_explicit(&v->buckets, buckets, memory_order_release);
    atomic_store_explicit(&v->n, (uint32_t)n, memory_order_release);
}

static void publish_next(struct tc_index *x, struct tc_index_room *room)
{
    room->before = x->n > 0 ? block_of(x) : NULL;
    room->fewer_bytes = heap_bytes(x, x->n);
    publish(x->view, x->next.first, x->next.n);
    x->n = x->next.n;
    x->refused = 0;
    x->next = (struct tc_buckets){ .n = 0 };
    x->copied = 0;
}

#define AHEAD 24 /* lanes: as many entries are on their way from memory while the hash of one is computed */

static bool copy_bucket(struct tc_index *x, size_t at)
{
    for (size_t i = at * TC_INDEX_LANES; i < (at + 1) * TC_INDEX_LANES; i++) {
        uint32_t cell = tc_index_cell(x, i);
        struct tc_index_gap gap;
        if (i + AHEAD < tc_index_lanes(x))
            tc_index_prefetch_cell(x->view, tc_index_cell(x, i + AHEAD));
        if (cell == 0)
            continue;
        uint64_t hash = tc_lanes_hash(x, cell);
        if (!tc_lanes_find_gap(&x->next, tc_lanes_home(&x->next, hash), &gap))
            return false;
        tc_lanes_fill(&x->next, &gap, cell, hash, tc_index_code(x, i));
    }
    return true;
}

/* To the end of the table, or until so many buckets were copied. */
static void go_on(struct tc_index *x, const struct tc_alloc *a, size_t buckets, struct tc_index_room *room)
{
    for (; buckets > 0 && x->copied < x->n && !x->next_failed; buckets--, x->copied += !x->next_failed)
        x->next_failed = !copy_bucket(x, x->copied);
    if (x->next_failed) {
        x->refused = x->next.n;
        room->fewer_bytes = heap_bytes(x, x->next.n);
        close_next(x, a);
    } else if (x->copied == x->n) {
        publish_next(x, room);
    }
}

void tc_index_grow_on(struct tc_index *x, const struct tc_alloc *a, struct tc_index_room *room)
{
    *room = (struct tc_index_room){ .before = NULL };
    go_on(x, a, STEP, room);
}

size_t tc_index_give_up(struct tc_index *x, const struct tc_alloc *a)
{
    size_t bytes = heap_bytes(x, x->next.n);
    close_next(x, a);
    return bytes;
}

void tc_index_fini(struct tc_index *x, const struct tc_alloc *a)
{
    close_next(x, a);
    if (x->n > 0)
        tc_block_close(a, block_of(x));
    x->n = x->count = x->refused = 0;
    if (x->view != NULL)
        publish(x->view, NULL, 0);
}

/* ---- room ---- */

size_t tc_index_in_reach(const struct tc_index *x, uint64_t hash, uint32_t *cells, size_t most)
{
    struct tc_buckets t = tc_lanes_of(x);
    struct tc_index_walk w = tc_index_walk(t.n, tc_lanes_home(&t, hash));
    size_t n = 0;
    for (size_t distance = 0; distance <= tc_lanes_farthest(&t); distance++, tc_index_go_on(&w))
        for (unsigned lane = 0; lane < TC_INDEX_LANES && n < most; lane++) {
            uint32_t cell = tc_bucket_cell(&t.first[w.at], lane);
            if (cell != 0)
                cells[n++] = cell;
        }
    return n;
}

/* A lane stays empty, where there is no memory to grow. */
static bool has_room(const struct tc_index *x, uint64_t hash)
{
    struct tc_index_gap gap;
    return (size_t)x->count + 1 < tc_index_lanes(x) && find_gap(x, hash, &gap);
}

uint32_t tc_index_make_room(struct tc_index *x, const struct tc_alloc *a, uint64_t hash, enum tc_index_growth how,
                            struct tc_index_room *room)
{
    bool has = x->n > 0 && has_room(x, hash), at_once = false;
    *room = (struct tc_index_room){ .before = NULL };
    if (wants_growth(x, hash, how)) /* which may cost nothing: blocks are of whole pages */
        at_once = begin(x, a, room) && grows_at_once(x, how);
    if (x->next.n > 0) {
        go_on(x, a, at_once || !has ? SIZE_MAX : STEP, room); /* nobody leaves where there is memory */
        has = x->n > 0 && has_room(x, hash);
    }
    room->failed = x->n == 0;
    uint32_t named = 0;
    if (x->n > 0 && !has)
        tc_index_in_reach(x, hash, &named, 1);
    return named;
}

/* ---- check ---- */

static bool check_bucket(const struct tc_index *x, const struct tc_buckets *t, size_t at, size_t *entries)
{
    struct tc_bucket *b = &t->first[at];
    for (unsigned lane = 0; lane < TC_INDEX_LANES; lane++) {
        uint32_t cell = tc_bucket_cell(b, lane);
        uint64_t hash = cell != 0 ? tc_lanes_hash(x, cell) : 0;
        if (tc_field_get(tc_bucket_tag(b, lane)) != (cell != 0 ? tc_index_tag(hash) : 0))
            return false;
        if (tc_bucket_is_stranger(b, lane) != (cell != 0 && tc_lanes_home(t, hash) != at))
            return false;
        if (cell != 0 && tc_lanes_place_of(t, hash, cell).at.bucket != b)
            return false;
        *entries += cell != 0;
    }
    size_t reach = 0, last = 0, away = 0;
    for (size_t distance = 1; distance <= tc_lanes_farthest(t); distance++) {
        size_t there = tc_lanes_count_at(x, t, at, distance);
        away += there;
        if (there > 0) {
            reach = distance;
            last = there;
        }
    }
    return reach == tc_bucket_reach(b) && last == tc_bucket_at_reach(b) && away == tc_bucket_away(b);
}

static bool check_table(const struct tc_index *x, const struct tc_buckets *t, size_t *entries)
{
    *entries = 0;
    for (size_t at = 0; at < t->n; at++)
        if (!check_bucket(x, t, at, entries))
            return false;
    return true;
}

/* What is in the buckets that were copied, each with its code, and no more. */
static bool check_next(const struct tc_index *x)
{
    size_t entries = 0, expected = 0;
    for (size_t i = 0; i < (size_t)x->copied * TC_INDEX_LANES; i++) {
        uint32_t cell = tc_index_cell(x, i);
        if (cell == 0)
            continue;
        struct tc_index_at at = tc_lanes_place_of(&x->next, tc_lanes_hash(x, cell), cell).at;
        if (tc_field_get(tc_bucket_code(at.bucket, at.lane)) != tc_index_code(x, i))
            return false;
        expected++;
    }
    return x->copied <= x->n && check_table(x, &x->next, &entries) && entries == expected;
}

bool tc_index_check(const struct tc_index *x)
{
    struct tc_buckets t = tc_lanes_of(x);
    size_t entries;
    bool next = x->next.n > 0 && !x->next_failed ? check_next(x) : x->copied == 0;
    return next && check_table(x, &t, &entries) && entries == x->count;
}
