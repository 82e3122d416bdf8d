/* Storing a value of another key over the entry whose turn it is to leave: what takes its cell costs no memory, and
 * nobody has to be waited for. For values that ask for nothing special, in stripes where no type has an order of its
 * own. Readers are dealt with as in stripe_overwrite.c.
 *
 * Two steps, between which the new key is looked up: where the victim is listed comes from memory meanwhile. Whether it
 * was pinned or written over in between, its references say: they are what they were, or it is left alone. */
#include "tier/l1/overwrite.h"

static TC_APART size_t room_of(struct tc_stripe *s, uint32_t cell)
{
    void *p = tc_cell(&s->index.view->cells, cell);
    return tc_cell_is_extent(cell) ? tc_extents_room(p) : tc_slab_cell_bytes(&s->slab, cell);
}

/* The cell has room for so many bytes, and for little more. What an extent has more would be of use to others, and is
 * missing where larger ones are to come. */
static bool has_room(struct tc_stripe *s, uint32_t cell, size_t bytes)
{
    size_t room = room_of(s, cell), most = bytes + bytes / 8;
    if (bytes > room || tc_cell_is_extent(cell))
        return bytes <= room && room <= bytes + bytes / 32;
    return most >= TC_SLAB_MOST || room <= tc_slab_round(most);
}

/* It need not be as large as what was there. */
static inline bool would_do(struct tc_stripe *s, uint32_t cell, size_t bytes, struct tc_victim *v)
{
    struct tc_entry *e = tc_stripe_entry(s, cell);
    uint32_t refs = atomic_load_explicit(&e->refs, memory_order_acquire), sizes = tc_entry_sizes(e);
    if (!tc_overwrite_may(sizes, refs))
        return false;
    size_t is = tc_entry_bytes_for(s->index.view->node_bytes, 0, tc_sizes_key_len(sizes), tc_sizes_len(sizes));
    if (__builtin_expect(is != bytes, 0) && !tc_overwrite_counts_alike(refs, bytes, is) && !has_room(s, cell, bytes))
        return false;
    if (!tc_overwrite_can_go_on(s, refs))
        return false;
    v->cell = cell;
    v->refs = refs;
    v->sizes = sizes;
    v->entry = e;
    v->bytes = is;
    return true;
}

bool tc_stripe_take_as_victim(struct tc_stripe *s, uint32_t cell, size_t bytes, struct tc_victim *v)
{
    tc_lock_assert_held(&s->lock);
    if (!would_do(s, cell, bytes, v))
        return false;
    v->hash = tc_entry_hash(v->entry, &s->l1->hasher);
    tc_index_prefetch(s->index.view, v->hash);
    return true;
}

static uint32_t next_candidate(const struct tc_order *o, uint32_t cell)
{
    return o->evict->later != NULL ? o->evict->later(o->state, cell) : 0;
}

/* Behind those that are known to be too small. */
static uint32_t first_candidate(struct tc_stripe *s, size_t bytes, unsigned *n)
{
    const struct tc_order *o = &s->shared;
    *n = bytes > o->passed.room ? o->passed.n : 0;
    if (*n == TC_PASSED_MOST)
        return 0;
    return *n > 0 ? next_candidate(o, o->passed.cells[*n - 1]) : tc_stripe_victim(s, &s->shared, 0);
}

/* The nth will not do; if it is too small, and so were those before it, who comes next need not look at them. If it is
 * not the one that was passed as nth, one of those was hit, or another came between: they are forgotten, since who is
 * added has to stand behind all of them. */
static void pass(struct tc_stripe *s, uint32_t cell, unsigned n, size_t bytes)
{
    struct tc_passed *passed = &s->shared.passed;
    if (n < passed->n && passed->cells[n] != cell)
        tc_stripe_forget_passed(&s->shared);
    if (passed->n != n || !(s->shared.evict->flags & CACHE_EVICT_LAST_IN) || tc_cell_is_alone(cell))
        return;
    size_t room = room_of(s, cell);
    if (room >= bytes)
        return;
    passed->cells[passed->n++] = cell;
    passed->room = passed->room > room ? passed->room : (uint32_t)room;
}

/* Where sizes are many hardly any of the few that are looked at will do. To look costs more than is saved now and then,
 * and an entry written over among others that leave in turn keeps its chunk from being free as a whole. So what comes of
 * it is noted for the sizes of each power of two: where it is in vain more than twice as often as not, few stores look. */
#define SMALLEST_SIZES 6 /* as a power of two */
#define SIZES 8
#define VAIN_MOST 8u

static unsigned shift_of(size_t bytes)
{
    unsigned size = 31 - (unsigned)__builtin_clz((unsigned)(bytes >> SMALLEST_SIZES) | 1);
    return 8 * (size < SIZES ? size : SIZES - 1);
}

static unsigned in_vain(const struct tc_passed *p, size_t bytes)
{
    return p->in_vain >> shift_of(bytes) & UINT8_MAX;
}

static void set_in_vain(struct tc_passed *p, size_t bytes, unsigned n)
{
    unsigned shift = shift_of(bytes);
    p->in_vain = (p->in_vain & ~((uint64_t)UINT8_MAX << shift)) | (uint64_t)n << shift;
}

/* From VAIN_MOST on it counts those who do not. */
static TC_APART bool looks(struct tc_passed *p, size_t bytes)
{
    unsigned n = in_vain(p, bytes);
    if (n >= VAIN_MOST)
        set_in_vain(p, bytes, n < UINT8_MAX ? n + 1 : VAIN_MOST - 1);
    return n < VAIN_MOST || n == UINT8_MAX;
}

static TC_APART void note_found(struct tc_passed *p, size_t bytes)
{
    unsigned n = in_vain(p, bytes);
    set_in_vain(p, bytes, n > 2 ? n - 2 : 0);
}

bool tc_stripe_choose_victim(struct tc_stripe *s, size_t bytes, struct tc_victim *v)
{
    tc_lock_assert_held(&s->lock);
    struct tc_order *o = &s->shared;
    tc_assert(o->next == NULL);
    if (__builtin_expect(o->passed.in_vain != 0, 0) && !looks(&o->passed, bytes))
        return false;
    unsigned n;
    uint32_t cell = first_candidate(s, bytes, &n);
    bool looked = cell != 0 && n < TC_PASSED_MOST;
    for (; cell != 0 && n < TC_PASSED_MOST; cell = next_candidate(o, cell)) {
        if (tc_stripe_take_as_victim(s, cell, bytes, v)) {
            if (__builtin_expect(o->passed.in_vain != 0, 0))
                note_found(&o->passed, bytes);
            return true;
        }
        pass(s, cell, n++, bytes);
    }
    if (looked)
        set_in_vain(&o->passed, bytes, in_vain(&o->passed, bytes) + 1);
    return false;
}

static void count(struct tc_l1 *l1, struct cache_type *from, size_t counted, struct cache_type *to, size_t counts,
                  struct tc_dropped *dropped)
{
    struct tc_reader *me = tc_reader_self(&l1->readers);
    if (__builtin_expect(me != NULL && from->id < TC_READER_COUNTS, 1))
        tc_reader_count(&me->evicted[from->id], 1);
    else
        tc_stats_add(&from->stats, TC_COUNT_l1_evicted_bytes, 1);
    if (from != to || counted != counts)
        tc_stripe_count_moved(from, counted, to, counts, dropped);
}

bool tc_stripe_overwrite_victim(struct tc_stripe *s, const struct tc_victim *v, const struct tc_index_gap *gap,
                                const struct tc_entry_parts *p, size_t bytes, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    tc_assert(s->shared.next == NULL);
    struct tc_entry *e = v->entry;
    uint32_t cell = v->cell;
    if (!tc_overwrite_claim(s, e, v->refs))
        return false;
    size_t counted = tc_entry_housed_bytes(v->refs, v->bytes), counts = tc_entry_housed_bytes(v->refs, bytes);
    if (cell & TC_CELL_APART)
        tc_stripe_count_apart(s, s->apart_of, e, -1);
    tc_overwrite_write(e, p);
    tc_assert(tc_words_are_ended(p->key.data, p->key.len));
    tc_words_store(tc_entry_plain_key(e), p->key.data, tc_words_round(p->key.len));
    if (cell & TC_CELL_APART)
        tc_stripe_count_apart(s, s->apart_of, e, 1);
    struct cache_type *from = tc_l1_type_of_id(s->l1, v->sizes >> 24), *to = tc_l1_type_of_id(s->l1, p->type_id);
    int64_t keep_ms = p->now_ms + p->life_ms + tc_type_max_stale_ms(to);
    tc_stripe_renew_in_order(s, &s->shared, cell, counted, p->hash, counts);
    tc_index_remove_of(&s->index, cell, v->hash);
    tc_overwrite_end(e, v->refs);
    tc_index_fill(&s->index, gap, cell, p->hash, tc_wheel_code(keep_ms, p->now_ms));
    count(s->l1, from, counted, to, counts, dropped);
    tc_stripe_stored(s);
    return true;
}
