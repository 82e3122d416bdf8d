/* The layout of a bucket is read here bit by bit, as index.h describes it, not with the library's functions. */
#include "unit/tt_index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_hasher.h"

enum { BUCKETS_MAX = 2048 };

int tt_index_setup(void **state)
{
    struct tt_index *f = tc_alloc_lines(&tc_alloc_default, sizeof *f); /* the view wants a whole line */
    if (f == NULL)
        tt_die("out of memory");
    tt_alloc_init(&f->counting);
    f->alloc = tt_alloc_table(&f->counting);
    f->index.view = &f->view;
    f->index.hasher = tt_hasher();
    f->view.node_bytes = TT_INDEX_NODE;
    tc_slab_init(&f->slab, &f->view.cells, &tc_alloc_default);
    *state = f;
    return 0;
}

static void close_all(const struct tc_alloc *a, struct tc_block *b)
{
    while (b != NULL) {
        struct tc_block *next = b->next;
        tc_block_close(a, b);
        b = next;
    }
}

static void free_cell(struct tt_index *f, uint32_t cell)
{
    struct tc_entry *e = tt_index_entry(f, cell);
    tc_slab_give(&f->slab, cell);
    tc_entry_free(&tc_alloc_default, TT_INDEX_NODE, e);
}

/* Nobody reads the blocks any more, unless somebody does. */
static void let_blocks_go(struct tt_index *f, const struct tc_alloc *a, struct tc_block *b, struct tc_block **kept)
{
    if (b == NULL)
        return;
    if (!f->keeps) {
        tc_block_close(a, b);
        return;
    }
    b->next = *kept;
    *kept = b;
}

static void let_before_go(struct tt_index *f)
{
    let_blocks_go(f, &f->alloc, f->before, &f->tables);
    f->before = NULL;
}

int tt_index_teardown(void **state)
{
    struct tt_index *f = *state;
    let_before_go(f);
    for (uint32_t cell = f->left, next; cell != 0; cell = next) {
        next = tc_pair_second(tc_entry_left(tt_index_entry(f, cell)));
        free_cell(f, cell);
    }
    for (size_t i = 0; i < TT_INDEX_KEYS; i++)
        if (f->cell[i] != 0)
            free_cell(f, f->cell[i]);
    close_all(&f->alloc, f->tables);
    close_all(&tc_alloc_default, f->maps);
    tc_index_fini(&f->index, &f->alloc);
    bool clean = tt_alloc_is_clean(&f->counting) && tc_slab_check(&f->slab);
    tc_slab_fini(&f->slab);
    tt_alloc_fini(&f->counting);
    tc_free_lines(&tc_alloc_default, f, sizeof *f);
    return clean ? 0 : -1;
}

/* ---- hashes ---- */

uint64_t tt_index_hash(uint32_t number, enum tt_index_kind kind)
{
    uint64_t state = number;
    uint64_t spread = tt_random(&state), high = spread & ~(uint64_t)UINT32_MAX;
    switch (kind) {
    case TT_SPREAD: return spread;
    case TT_EQUAL: return UINT64_C(0x123456789ABCDEF0);
    case TT_FEW: return UINT64_C(0x123456789ABCDEF0) + number % 7; /* whole collisions, and the same home and tag */
    case TT_HOME: return high | (0x40000000 + number % 3);         /* the same home, with any tag */
    case TT_END: return high | (UINT32_MAX - number % 5);          /* the last home of any table */
    case TT_TAG_0: return spread >> 8 | (uint64_t)(number % 2) << 56; /* a tag of 0 is 1 too */
    default: return high | (uint32_t)((spread & 0x0FFFFFFF) - 0x08000000); /* a sixteenth of them, across the end */
    }
}

size_t tt_index_home(uint64_t hash, size_t n)
{
    return (size_t)((uint64_t)(uint32_t)hash * n / (UINT64_C(1) << 32));
}

size_t tt_index_offset(size_t distance, size_t n)
{
    size_t offset = 0;
    for (size_t step = 1; step <= distance; step++)
        offset += n <= 128 ? 1 : step;
    return offset;
}

size_t tt_index_distance(size_t home, size_t at, size_t n)
{
    for (size_t distance = 0; distance <= TC_INDEX_REACH; distance++)
        if ((home + tt_index_offset(distance, n)) % n == at)
            return distance;
    fail_msg("bucket %zu of %zu is out of reach of %zu", at, n, home);
    return 0;
}

uint64_t tt_index_hash_at(const struct tt_index *f, size_t home, size_t i)
{
    uint64_t n = f->index.n, step = (UINT64_C(1) << 32) / n;
    uint64_t first = ((home << 32) + n - 1) / n, hash = first + step / 256 * (i % 256);
    assert_int_equal(tt_index_home(hash, n), home);
    return hash | (uint64_t)i << 48;
}

/* ---- entries ---- */

uint32_t tt_index_adopt(struct tt_index *f, struct tc_entry *e)
{
    struct tc_block *before = NULL;
    uint32_t cell = tc_slab_adopt(&f->slab, tc_entry_node(e, TT_INDEX_NODE), &before);
    let_blocks_go(f, &tc_alloc_default, before, &f->maps);
    if (cell == 0)
        tt_die("out of memory");
    return cell;
}

uint32_t tt_index_open(struct tt_index *f, uint32_t number, uint64_t hash)
{
    struct cache_slice key = { &number, sizeof number };
    tt_hasher_say(key, hash);
    struct tc_entry *e = tc_entry_open_small(&tc_alloc_default, TT_INDEX_NODE, NULL, hash, key, 0);
    if (e == NULL)
        tt_die("out of memory");
    return tt_index_adopt(f, e);
}

/* Readers may be at it: its hash and key stay as they are. */
void tt_index_let_go(struct tt_index *f, uint32_t cell)
{
    if (!f->keeps) {
        free_cell(f, cell);
        return;
    }
    tc_pair_set(tc_entry_left(tt_index_entry(f, cell)), cell, f->left);
    f->left = cell;
}

struct tc_entry *tt_index_entry(const struct tt_index *f, uint32_t cell)
{
    return tc_entry_of_node(tc_cell(&f->view.cells, cell), TT_INDEX_NODE);
}

uint32_t tt_index_number(const struct tc_entry *e)
{
    uint32_t number;
    memcpy(&number, tc_entry_key(e).data, sizeof number);
    return number;
}

/* ---- calls ---- */

struct tc_entry *tt_index_find(const struct tc_index_view *v, uint32_t number, uint64_t hash)
{
    uint32_t with_zeros[3] = { number };
    struct cache_slice key = { with_zeros, sizeof number };
    struct tc_bucket untouched;
    struct tc_index_at at = { &untouched, 77 };
    uint32_t cell = 77;
    uint32_t refs;
    struct tc_entry *e = tc_index_find_at(v, hash, key, &cell, &at);
    assert_ptr_equal(tc_index_find(v, hash, key, &refs), e);
    struct tc_entry_seen seen = { NULL, 0, 0 };
    assert_int_equal(tc_index_find_here(v, hash, key, &seen), e != NULL);
    assert_true(e == NULL || (seen.e == e && seen.refs == refs && seen.sizes == tc_entry_sizes(e)));
    assert_ptr_equal(tc_index_find_at(v, hash, key, NULL, NULL), e);
    if (e != NULL) {
        assert_ptr_equal(tc_entry_of_node(tc_cell(&v->cells, cell), v->node_bytes), e);
        assert_int_equal(atomic_load(&at.bucket->lanes[at.lane]), cell);
    } else {
        assert_true(cell == 77 && at.bucket == &untouched && at.lane == 77);
    }
    return e;
}

bool tt_index_find_gap(const struct tt_index *f, uint64_t hash, struct tc_index_gap *gap)
{
    static const uint32_t nobody[] = { UINT32_MAX, UINT32_MAX };
    struct cache_slice key = { nobody, sizeof nobody };
    assert_int_equal(tc_index_find_or_gap(&f->index, hash, key, f->how == TC_GROW_IF_CRAMMED, gap), 0);
    return gap->at.bucket != NULL;
}

uint64_t tt_index_growth(const struct tt_index *f, uint64_t hash)
{
    return tc_index_growth_bytes(&f->index, hash, f->how);
}

uint32_t tt_index_make_room(struct tt_index *f, uint64_t hash, bool *failed)
{
    struct tc_index_room room = { 77, 77, (struct tc_block *)(void *)f, true }; /* to be written */
    let_before_go(f);
    uint32_t instead = tc_index_make_room(&f->index, &f->alloc, hash, f->how, &room);
    f->bytes += room.more_bytes - room.fewer_bytes;
    f->before = room.before;
    *failed = room.failed;
    return instead;
}

int tt_index_insert(struct tt_index *f, uint32_t number, uint64_t hash)
{
    bool failed;
    struct tc_index_gap gap;
    bool found = number % 2 && tt_index_find_gap(f, hash, &gap);
    uint32_t instead = tt_index_make_room(f, hash, &failed);
    if (failed)
        return -1;
    uint32_t cell = tt_index_open(f, number, hash);
    f->code[number] = (uint8_t)(number * 40503u >> 4);
    if (found) { /* which says that there is nothing else to do */
        assert_true(instead == 0 && f->before == NULL);
        tc_index_fill(&f->index, &gap, cell, hash, f->code[number]);
        f->count++;
    } else if (instead != 0) {
        tc_index_replace(&f->index, instead, cell, hash, f->code[number]);
        f->cell[tt_index_number(tt_index_entry(f, instead))] = 0;
        tt_index_let_go(f, instead);
    } else {
        tc_index_insert(&f->index, cell, hash, f->code[number]);
        f->count++;
    }
    f->cell[number] = cell;
    return instead != 0;
}

void tt_index_remove(struct tt_index *f, uint32_t number)
{
    tc_index_remove(&f->index, f->cell[number]);
    tt_index_let_go(f, f->cell[number]);
    f->cell[number] = 0;
    f->count--;
}

void tt_index_replace(struct tt_index *f, uint32_t number)
{
    uint32_t old = f->cell[number], found = 0;
    uint64_t hash = tt_hash_of(tt_index_entry(f, old));
    struct cache_slice key = { &number, sizeof number };
    struct tc_index_at at = { NULL, 0 };
    tc_index_find_at(&f->view, hash, key, &found, &at);
    if (found != old)
        tt_die("key %u is not where it was put", (unsigned)number);
    struct tc_index_gap place;
    assert_int_equal(tc_index_find_or_gap(&f->index, hash, key, f->how == TC_GROW_IF_CRAMMED, &place), old);
    assert_true(place.at.bucket == at.bucket && place.at.lane == at.lane);
    size_t bucket = (size_t)(at.bucket - tc_index_bucket(&f->index, 0)), n = f->index.n;
    assert_int_equal(tt_index_distance(tt_index_home(hash, n), bucket, n), place.distance);
    f->cell[number] = tt_index_open(f, number, hash);
    tc_index_replace_at(&f->index, &at, f->cell[number], hash, ++f->code[number]);
    tt_index_let_go(f, old);
}

void tt_index_move(struct tt_index *f, uint32_t number)
{
    uint32_t old = f->cell[number];
    const struct tc_entry *e = tt_index_entry(f, old);
    void *memory = tt_xmalloc(tc_entry_own_bytes(e, TT_INDEX_NODE));
    f->cell[number] = tt_index_adopt(f, tc_entry_copy(memory, 0, e, TT_INDEX_NODE));
    tc_index_move(&f->index, old, f->cell[number]);
    tt_index_let_go(f, old);
}

void tt_index_recode(struct tt_index *f, uint32_t number)
{
    size_t i = 0;
    while (tc_index_cell(&f->index, i) != f->cell[number])
        i++;
    f->code[number] += 101;
    if (f->code[number] % 2 == 0) {
        tc_index_set_code(&f->index, i, f->code[number]);
        return;
    }
    struct tc_index_at at = { tc_index_bucket(&f->index, i / TC_INDEX_LANES), i % TC_INDEX_LANES };
    tc_index_set_code_at(&f->index, &at, tt_hash_of(tt_index_entry(f, f->cell[number])), f->code[number]);
}

void tt_index_remove_all(struct tt_index *f)
{
    for (uint32_t i = 0; i < TT_INDEX_KEYS; i++)
        if (f->cell[i] != 0)
            tt_index_remove(f, i);
    assert_int_equal(f->count, 0);
}

void tt_index_make_empty(struct tt_index *f, size_t n)
{
    tt_index_remove_all(f);
    for (uint32_t i = 0; f->index.n < n || f->index.next.n > 0; i++)
        tt_index_insert(f, i, tt_index_hash(i, TT_SPREAD));
    tt_index_remove_all(f);
}

/* ---- what the index must be at any time ---- */

static struct tc_bucket *bucket(const struct tt_index *f, size_t at)
{
    return atomic_load(&f->view.buckets) + at;
}

/* What index.h says of a bucket's words. */
static uint64_t tag_of(const struct tc_bucket *b, size_t lane)
{
    return (lane < 8 ? atomic_load(&b->tags) >> 8 * lane : atomic_load(&b->more) >> 8 * (lane - 8)) & 0xFF;
}

static uint64_t code_of(const struct tc_bucket *b, size_t lane)
{
    return (lane < 8 ? atomic_load(&b->codes) >> 8 * lane : atomic_load(&b->more) >> (32 + 8 * (lane - 8))) & 0xFF;
}

size_t tt_index_reach(const struct tt_index *f, size_t at)
{
    return atomic_load(&bucket(f, at)->more) >> 16 & 15;
}

/* What lies elsewhere, of those with one home: all, and as far as the farthest. */
struct away {
    size_t reach, n, farthest;
};

static size_t assert_lane(struct tt_index *f, size_t at, size_t lane, struct away *away)
{
    const struct tc_bucket *b = bucket(f, at);
    uint32_t cell = tc_index_cell(&f->index, at * TC_INDEX_LANES + lane);
    uint64_t stranger = atomic_load(&b->more) >> (48 + lane) & 1;
    assert_int_equal(atomic_load(&b->lanes[lane]), cell);
    if (cell == 0) {
        assert_true(tag_of(b, lane) == 0 && stranger == 0);
        return 0;
    }
    const struct tc_entry *e = tt_index_entry(f, cell);
    size_t n = f->index.n, home = tt_index_home(tt_hash_of(e), n), distance = tt_index_distance(home, at, n);
    assert_int_equal(f->cell[tt_index_number(e)], cell);
    assert_int_equal(code_of(b, lane), f->code[tt_index_number(e)]);
    assert_int_equal(tc_index_code(&f->index, at * TC_INDEX_LANES + lane), f->code[tt_index_number(e)]);
    uint8_t codes[TC_INDEX_LANES];
    tc_bucket_codes(b, codes);
    assert_int_equal(codes[lane], f->code[tt_index_number(e)]);
    assert_int_equal(tag_of(b, lane), tt_hash_of(e) >> 56 > 0 ? tt_hash_of(e) >> 56 : 1);
    assert_int_equal(stranger, distance > 0);
    struct away *a = &away[home];
    if (distance > a->reach)
        *a = (struct away){ distance, a->n, 0 };
    a->n += distance > 0;
    a->farthest += distance > 0 && distance == a->reach;
    return 1;
}

void tt_index_assert_exact(struct tt_index *f)
{
    static struct away away[BUCKETS_MAX];
    size_t entries = 0, n = f->index.n;
    assert_true(n <= BUCKETS_MAX && n == atomic_load(&f->view.n));
    assert_true(n == 0 || n == tc_block_of(bucket(f, 0))->n);
    memset(away, 0, sizeof away);
    for (size_t at = 0; at < n; at++)
        for (size_t lane = 0; lane < TC_INDEX_LANES; lane++)
            entries += assert_lane(f, at, lane, away);
    for (size_t at = 0; at < n; at++) {
        uint64_t more = atomic_load(&bucket(f, at)->more);
        assert_int_equal(tt_index_reach(f, at), away[at].reach);
        assert_int_equal(more >> 20 & 15, away[at].farthest);
        assert_int_equal(more >> 24 & 0xFF, away[at].n);
        assert_int_equal(more & UINT64_C(0xFC00000000000000), 0); /* nobody's bits */
    }
    assert_int_equal(entries, f->count);
    assert_int_equal(f->index.count, f->count);
    assert_true(tc_index_check(&f->index));
}

void tt_index_assert_all_found(struct tt_index *f)
{
    for (uint32_t i = 0; i < TT_INDEX_KEYS; i++)
        if (f->cell[i] != 0) {
            struct tc_entry *e = tt_index_entry(f, f->cell[i]);
            assert_ptr_equal(tt_index_find(&f->view, i, tt_hash_of(e)), e);
        }
}

static size_t own_bytes(size_t n)
{
    return n > 0 ? (n + 1) * sizeof(struct tc_bucket) + TC_ALLOC_LINES_EXTRA : 0;
}

size_t tt_index_table_bytes(size_t n)
{
    return n > 0 ? tc_heap_bytes(own_bytes(n)) : 0;
}

void tt_index_assert_bytes(struct tt_index *f)
{
    size_t n = f->index.n, next = f->index.next.n;
    let_before_go(f);
    assert_int_equal(tt_alloc_counts(&f->counting).live_bytes, own_bytes(n) + own_bytes(next));
    assert_int_equal(tc_index_bytes(&f->index), tt_index_table_bytes(n) + tt_index_table_bytes(next));
    assert_int_equal(f->bytes, tc_index_bytes(&f->index));
}
