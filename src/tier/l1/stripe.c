/* One stripe under its lock: linking entries into table and order and taking them out of both, so that no caller can
 * forget one of them; expiry; and the account of bytes that goes with it. */
#include "tier/l1/l1.h"

/* ---- init ---- */

int tc_stripe_init(struct tc_stripe *s, struct tc_index_view *view, struct tc_l1 *l1)
{
    s->index.view = view;
    s->index.hasher = l1->hasher;
    s->index.in_pages = l1->alloc->regions != NULL;
    s->shared.evict = &l1->evict;
    s->shared.state = tc_alloc_zeroed(l1->alloc, l1->evict.state_bytes);
    if (s->shared.state == NULL)
        return CACHE_E_NOMEM;
    if (tc_lock_init(&s->lock) != 0)
        goto fail;
    if (tc_cond_init(&s->quiet) != 0) {
        tc_lock_fini(&s->lock);
        goto fail;
    }
    s->l1 = l1; /* what fini goes by */
    s->versions.bar = 3; /* so that the first version is 0 */
    s->index.view->node_bytes = (uint32_t)l1->node_bytes;
    if (!l1->locked_hits && !l1->stamped_hits)
        atomic_store_explicit(&s->index.view->hits, TC_HITS_CALLED, memory_order_relaxed);
    tc_slab_init(&s->slab, &s->index.view->cells, l1->alloc);
    tc_extents_init(&s->extents, l1->alloc);
    tc_stripe_init_env(s);
    tc_lock_acquire(&s->lock);
    tc_stripe_begin_order(s, &s->shared);
    tc_lock_release(&s->lock);
    return CACHE_OK;
fail:
    tc_free(l1->alloc, s->shared.state, l1->evict.state_bytes);
    return CACHE_E_SYSTEM;
}

static bool end_full(const struct tc_stripe *s)
{
    for (const struct tc_order *o = &s->shared; o != NULL; o = o->next)
        if (!(o->evict->flags & CACHE_EVICT_ENDS_FULL))
            return false;
    return true;
}

/* What lies in pages and chunks goes with them, and is not even looked at: to take out each would take seconds of a
 * large cache, most of them spent waiting for its memory. Unless a policy wants to be told. */
static void remove_for_good(struct tc_stripe *s)
{
    struct tc_dropped dropped = { .first = NULL };
    bool full = end_full(s);
    tc_lock_acquire(&s->lock);
    for (size_t i = 0; i < tc_index_lanes(&s->index); i++) {
        uint32_t cell = tc_index_cell(&s->index, i);
        if (cell != 0 && (!full || tc_cell_is_alone(cell)))
            tc_stripe_remove(s, cell, TC_NOT_COUNTED, &dropped);
    }
    tc_lock_release(&s->lock);
}

void tc_stripe_fini(struct tc_stripe *s)
{
    struct tc_l1 *l1 = s->l1;
    if (l1 == NULL)
        return;
    remove_for_good(s);
    tc_stripe_left_fini(s);
    tc_index_fini(&s->index, l1->alloc);
    while (s->shared.next != NULL) {
        struct tc_order *o = s->shared.next;
        s->shared.next = o->next;
        tc_stripe_end_order(o);
        tc_free(l1->alloc, o->state, o->evict->state_bytes);
        tc_free(l1->alloc, o, sizeof *o);
    }
    tc_stripe_end_order(&s->shared);
    tc_free(l1->alloc, s->shared.state, l1->evict.state_bytes);
    tc_extents_fini(&s->extents);
    tc_slab_fini(&s->slab);
    tc_cond_fini(&s->quiet);
    tc_lock_fini(&s->lock);
    s->l1 = NULL;
}

struct tc_entry *tc_stripe_find(struct tc_stripe *s, uint64_t hash, struct cache_slice key, uint32_t *cell)
{
    tc_lock_assert_held(&s->lock);
    return tc_index_find_at(s->index.view, hash, key, cell, NULL);
}

/* ---- counts of types ---- */

static void count_type(struct cache_type *t, int64_t entries, int64_t bytes)
{
    if (entries != 0)
        atomic_fetch_add_explicit(&t->l1_entries, (uint64_t)entries, memory_order_relaxed);
    if (bytes != 0)
        atomic_fetch_add_explicit(&t->l1_bytes, (uint64_t)bytes, memory_order_relaxed);
}

void tc_dropped_tell(struct tc_dropped *dropped)
{
    if (dropped->type != NULL)
        count_type(dropped->type, dropped->entries_more, dropped->bytes_more);
    dropped->type = NULL;
    dropped->entries_more = dropped->bytes_more = 0;
}

/* What comes and what goes is of one type and size as a rule: then nothing that all threads share is written. */
static void tally(struct tc_dropped *dropped, struct cache_type *t, int64_t entries, int64_t bytes)
{
    if (dropped->type != t)
        tc_dropped_tell(dropped);
    dropped->type = t;
    dropped->entries_more += entries;
    dropped->bytes_more += bytes;
}

TC_APART void tc_stripe_count_moved(struct cache_type *from, uint64_t counted, struct cache_type *to, uint64_t counts,
                           struct tc_dropped *dropped)
{
    tally(dropped, from, -1, -(int64_t)counted);
    tally(dropped, to, 1, (int64_t)counts);
}

/* ---- coming and going ---- */

void tc_dropped_add(struct tc_dropped *dropped, struct tc_block *b)
{
    if (b == NULL)
        return;
    b->next = dropped->blocks;
    dropped->blocks = b;
}

/* Everything but the table, which it has begun to leave. */
static void let_go(struct tc_stripe *s, uint32_t cell, struct tc_entry *e, uint64_t bytes, tc_reason why,
                   struct tc_dropped *dropped)
{
    struct cache_type *t = tc_l1_type_of(s->l1, e);
    tally(dropped, t, -1, -(int64_t)bytes);
    if (why != TC_NOT_COUNTED)
        tc_stats_add(&t->stats, (enum tc_counter)why, 1);
    if (tc_cell_is_alone(cell))
        tc_stripe_account(s, 0, bytes);
    if (cell & TC_CELL_APART)
        tc_stripe_count_apart(s, s->apart_of, e, -1);
    tc_stripe_wait(s, cell, e, bytes, dropped);
}

void tc_stripe_remove(struct tc_stripe *s, uint32_t cell, tc_reason why, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    struct tc_entry *e = tc_stripe_entry(s, cell);
    uint64_t bytes = tc_l1_entry_bytes(s->l1, e);
    tc_entry_begin_to_leave(e);
    tc_index_remove(&s->index, cell);
    tc_stripe_leave_order(tc_stripe_order_of(s, e), cell, bytes);
    let_go(s, cell, e, bytes, why, dropped);
}

static void put_in_table(struct tc_stripe *s, uint32_t cell, uint64_t hash, const struct tc_lane *lane, uint8_t code)
{
    if (lane->gap != NULL)
        tc_index_fill(&s->index, lane->gap, cell, hash, code);
    else if (lane->instead == 0)
        tc_index_insert(&s->index, cell, hash, code);
    else if (lane->at != NULL)
        tc_index_replace_at(&s->index, lane->at, cell, hash, code);
    else
        tc_index_replace(&s->index, lane->instead, cell, hash, code);
}

void tc_stripe_link(struct tc_stripe *s, uint32_t cell, uint64_t hash, struct tc_order *o, int64_t now_ms,
                    const struct tc_lane *lane, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    struct tc_entry *e = tc_stripe_entry(s, cell), *instead = NULL;
    struct cache_type *t = tc_l1_type_of(s->l1, e);
    uint64_t bytes = tc_l1_entry_bytes(s->l1, e), instead_bytes = 0;
    uint8_t code = tc_wheel_code(tc_entry_keep_until_ms(e, t), now_ms);
    tc_assert(o->type != NULL ? o->type == t : !t->has_evict);
    if (lane->instead != 0) {
        instead = tc_stripe_entry(s, lane->instead);
        tc_entry_begin_to_leave(instead);
        instead_bytes = tc_l1_entry_bytes(s->l1, instead);
    }
    /* Before it is in the table: from then on it may be hit. */
    if (lane->at == NULL || !tc_stripe_replace_in_order(s, o, lane->instead, instead_bytes, cell, hash, bytes)) {
        if (instead != NULL)
            tc_stripe_leave_order(tc_stripe_order_of(s, instead), lane->instead, instead_bytes);
        tc_stripe_enter_order(s, o, cell, hash, bytes);
    }
    put_in_table(s, cell, hash, lane, code);
    tally(dropped, t, 1, (int64_t)bytes);
    if (instead != NULL)
        let_go(s, lane->instead, instead, instead_bytes, lane->why, dropped);
    tc_stripe_stored(s);
}

/* ---- expiry ---- */

static void expire_lane(struct tc_stripe *s, size_t i, int64_t now_ms, struct tc_dropped *dropped)
{
    uint32_t cell = tc_index_cell(&s->index, i);
    if (cell == 0)
        return;
    struct tc_entry *e = tc_stripe_entry(s, cell);
    int64_t until_ms = tc_entry_keep_until_ms(e, tc_l1_type_of(s->l1, e));
    if (until_ms <= now_ms)
        tc_stripe_remove(s, cell, TC_COUNT_l1_expired, dropped);
    else
        tc_index_set_code(&s->index, i, tc_wheel_code(until_ms, now_ms));
}

static TC_APART void expire_bucket(struct tc_stripe *s, int64_t now_ms, struct tc_dropped *dropped)
{
    uint8_t codes[TC_INDEX_LANES];
    unsigned due = 0;
    tc_bucket_codes(tc_index_bucket(&s->index, s->index.hand), codes);
#pragma GCC unroll 10
    for (size_t lane = 0; lane < TC_INDEX_LANES; lane++)
        due |= (unsigned)tc_wheel_is_due(&s->due, codes[lane]) << lane;
    for (; due != 0; due &= due - 1)
        expire_lane(s, s->index.hand * (size_t)TC_INDEX_LANES + (unsigned)__builtin_ctz(due), now_ms, dropped);
}

/* Hardly ever is one due: so all are asked at once before any is looked at. */
static inline bool is_any_due(const struct tc_stripe *s, const struct tc_bucket *b)
{
    uint64_t low, high;
    tc_bucket_codes_together(b, &low, &high);
    return !tc_wheel_are_ahead(&s->due, low) || !tc_wheel_are_ahead(&s->due, high);
}

/* A tick, or a round of the hand. */
static TC_APART void look_anew(struct tc_stripe *s, int64_t now_ms, int64_t tick)
{
    if (s->index.hand == 0) {
        s->last_round_ms = s->round_ms;
        s->round_ms = now_ms;
    }
    tc_wheel_look(now_ms, now_ms - s->last_round_ms, &s->due);
    s->due_tick = tick;
}

static inline uint32_t next_of_hand(const struct tc_stripe *s)
{
    return s->index.hand + 1 < s->index.n ? s->index.hand + 1 : 0;
}

static inline void move_hand(struct tc_stripe *s, int64_t now_ms)
{
    int64_t tick = (int64_t)((uint64_t)now_ms / TC_WHEEL_TICK_MS) + 1;
    s->index.hand = next_of_hand(s);
    if (__builtin_expect(s->index.hand == 0 || s->due_tick != tick, 0))
        look_anew(s, now_ms, tick);
}

void tc_stripe_expire(struct tc_stripe *s, int64_t now_ms, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    if (s->index.n == 0)
        return;
    for (unsigned n = 0; n < TC_WHEEL_BUCKETS; n++) {
        move_hand(s, now_ms);
        if (__builtin_expect(is_any_due(s, tc_index_bucket(&s->index, s->index.hand)), 0))
            expire_bucket(s, now_ms, dropped);
    }
    /* The next one is on its way until the next store comes here. */
    __builtin_prefetch(tc_index_bucket(&s->index, next_of_hand(s)));
}

static bool check_entry(struct tc_stripe *s, size_t i)
{
    uint32_t cell = tc_index_cell(&s->index, i);
    struct tc_entry *e = tc_stripe_entry(s, cell);
    bool ends = tc_entry_keep_until_ms(e, tc_l1_type_of(s->l1, e)) != TC_NEVER_MS;
    uint32_t in = atomic_load_explicit(&e->refs, memory_order_relaxed) & TC_ENTRY_IN_EXTENT;
    uint32_t is = tc_cell_is_alone(cell) ? 0 : cell & TC_CELL_APART ? TC_ENTRY_IN_EXTENT : TC_ENTRY_HOUSED;
    uint64_t hash = tc_entry_hash(e, &s->l1->hasher);
    return tc_stripe_find(s, hash, tc_entry_key(e), NULL) == e && ends == (tc_index_code(&s->index, i) != 0) &&
           tc_entry_is_in_l1(e) && in == is;
}

static bool is_passed(const struct tc_passed *p, uint32_t cell)
{
    for (uint32_t i = 0; i < p->n; i++)
        if (p->cells[i] == cell)
            return true;
    return false;
}

bool tc_stripe_check(struct tc_stripe *s)
{
    tc_lock_assert_held(&s->lock);
    uint64_t bytes = tc_index_bytes(&s->index) + s->policy_bytes + tc_stripe_housing(s);
    size_t entries = 0, ordered = 0, passed = 0;
    uint32_t apart_of[TC_SLAB_CLASSES] = { 0 };
    uint64_t entry_bytes = 0, ordered_bytes = 0;
    for (size_t i = 0; i < tc_index_lanes(&s->index); i++) {
        uint32_t cell = tc_index_cell(&s->index, i);
        if (cell == 0)
            continue;
        if (!check_entry(s, i))
            return false;
        const struct tc_entry *e = tc_stripe_entry(s, cell);
        uint64_t its_bytes = tc_l1_entry_bytes(s->l1, e);
        entries++;
        passed += is_passed(&s->shared.passed, cell);
        entry_bytes += its_bytes;
        bytes += tc_cell_is_alone(cell) ? its_bytes : 0;
        if (cell & TC_CELL_APART)
            tc_stripe_count_apart(s, apart_of, e, 1);
    }
    for (struct tc_order *o = &s->shared; o != NULL; o = o->next) {
        ordered += o->count;
        ordered_bytes += o->bytes;
        bytes += o != &s->shared ? tc_stripe_order_bytes(s->l1, o->type) : 0;
    }
    return memcmp(apart_of, s->apart_of, sizeof apart_of) == 0 && tc_index_check(&s->index) &&
           tc_slab_check(&s->slab) && tc_extents_check(&s->extents) && entries == s->index.count &&
           entries == ordered && passed == s->shared.passed.n && /* each is there, and once */
           entry_bytes == ordered_bytes && bytes == tc_stripe_bytes(s) && bytes <= s->granted;
}
