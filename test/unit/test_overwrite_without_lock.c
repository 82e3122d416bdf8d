/* A value written over the one before without the stripe's lock: when that is done, what a ticket is worth beside it,
 * and that the value is stored again if the entry was taken out of L1 before it was through. Step by step; all at once
 * is in test_overwrite_race.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "policy/evict.h"
#include "tier/cache.h"
#include "tier/verbs.h"
#include "tt_util.h"
#include "unit/tt_l1.h"
#include "unit/tt_trap.h"

enum {
    LIMIT = 2 << 20,
    LEN = 100, /* of nearly all values */
    BIG = TC_ENTRY_OVERWRITTEN_MOST + 40,
    LIFE_MS = 60000,
    OVERWRITES = 63, /* of one cell: with the next one a quarter of the versions begins */
    KEY = 7          /* the number of the key that it is about */
};

static struct tt_l1 *open_l1(const struct cache_evict_ops *evict)
{
    struct tt_l1 *r = tt_l1_new(LIMIT, 1, evict);
    assert_non_null(r);
    assert_true(r->l1.paged);
    assert_non_null(tc_reader_self(&r->l1.readers));
    tc_l1_know(&r->l1, r->types[0]);
    return r;
}

static int setup(void **state)
{
    *state = open_l1(NULL);
    return 0;
}

static int teardown(void **state)
{
    if (tt_trap_bytes() != NULL)
        tt_trap_release(); /* of a test that failed half-way */
    return tt_l1_free(*state) ? 0 : -1;
}

/* ---- storing ---- */

struct wish {
    size_t len;
    uint64_t version;
    int64_t life_ms; /* 0: LIFE_MS; negative: for ever */
    uint32_t flags;
    const uint64_t *expected;
};

/* value: where the bytes are; filled in before. */
static struct tc_entry_parts parts_of(struct tt_l1 *r, const struct tt_l1_key *k, const struct wish *w,
                                      const void *value)
{
    int64_t life_ms = w->life_ms != 0 ? w->life_ms : LIFE_MS;
    return (struct tc_entry_parts){ k->hash, tt_l1_ref(k).key, { value, w->len }, tt_l1_now(r), life_ms, 0 };
}

static int put(struct tt_l1 *r, struct tt_l1_key k, const struct wish *w)
{
    unsigned char value[BIG];
    tt_l1_fill(value, w->len, k.number, w->version);
    struct tc_entry_parts p = parts_of(r, &k, w, value);
    struct tc_entry *e = tc_entry_open_small(&r->alloc, r->l1.node_bytes, r->types[0], k.hash, p.key, w->len);
    assert_non_null(e);
    memcpy(tc_entry_room(e), value, w->len);
    tc_entry_set_life(e, p.now_ms, p.life_ms, 0);
    tc_entry_add_flags(e, w->flags);
    int rc = tc_l1_put(&r->l1, e, &r->policies[0], w->expected, w->expected == NULL);
    tc_l1_drop(&r->l1, e);
    return rc;
}

/* What the cache's function does: without the lock, and if that does not do, with it. *over: it did. */
static bool set(struct tt_l1 *r, struct tt_l1_key k, const struct wish *w, const void *value, bool *over)
{
    struct tc_entry_parts p = parts_of(r, &k, w, value);
    bool replaced;
    *over = tt_l1_set_over(r, &p);
    return *over || tc_l1_set(&r->l1, &p, NULL, &replaced);
}

/* Only without the lock; for a key that is there. */
static bool try_to_overwrite(struct tt_l1 *r, struct tt_l1_key k, const struct wish *w, bool with_lock)
{
    unsigned char value[BIG];
    uint32_t refs;
    tt_l1_fill(value, w->len, k.number, w->version);
    struct tc_entry_parts p = parts_of(r, &k, w, value);
    struct tc_entry *e = tc_index_find(&r->l1.views[0], p.hash, p.key, &refs);
    if (with_lock) /* it would hang */
        tc_lock_acquire(&r->l1.stripes[0].lock);
    bool done = e != NULL && tc_l1_overwrite(&r->l1, tc_reader_self(&r->l1.readers), e, refs, &p);
    if (with_lock)
        tc_lock_release(&r->l1.stripes[0].lock);
    return done;
}

static struct tc_entry *entry_of(struct tt_l1 *r, struct tt_l1_key k);

/* False: nothing has changed. */
static bool overwrite(struct tt_l1 *r, struct tt_l1_key k, const struct wish *w)
{
    uint64_t generation = tc_l1_generation(&r->l1, k.hash);
    struct tc_entry *e = entry_of(r, k);
    uint32_t refs = atomic_load(&e->refs);
    bool done = try_to_overwrite(r, k, w, false);
    assert_int_equal(atomic_load(&e->refs), done ? refs + 2 * TC_ENTRY_VERSION_ONE : refs);
    assert_int_equal(tc_l1_generation(&r->l1, k.hash), generation + done);
    return done;
}

/* ---- what is there ---- */

/* 0: nothing. */
static uint32_t cell_of(struct tt_l1 *r, struct tt_l1_key k)
{
    uint32_t cell = 0;
    tc_lock_acquire(&r->l1.stripes[0].lock);
    tc_stripe_find(&r->l1.stripes[0], k.hash, tt_l1_ref(&k).key, &cell);
    tc_lock_release(&r->l1.stripes[0].lock);
    return cell;
}

static struct tc_entry *entry_of(struct tt_l1 *r, struct tt_l1_key k)
{
    uint32_t cell = cell_of(r, k);
    assert_int_not_equal(cell, 0);
    return tc_stripe_entry(&r->l1.stripes[0], cell);
}

/* Of what lies under the key; 0: nothing. */
static uint64_t version_of(struct tt_l1 *r, struct tt_l1_key k)
{
    uint64_t version = 0;
    struct tc_l1_found f = tt_l1_get(r, k);
    if (f.entry == NULL)
        return 0;
    tt_l1_is_value(tc_entry_data(f.entry), tc_entry_len(f.entry), k.number, &version);
    tc_l1_release(&r->l1, f.entry);
    return version;
}

/* Others of the same size, so that there are cells, and pages that can be emptied. */
static void store_others(struct tt_l1 *r)
{
    for (uint64_t n = 100; n < 700; n++)
        assert_int_equal(put(r, tt_l1_key(r, n), &(struct wish){ .len = LEN, .version = 1 }), CACHE_OK);
}

/* ---- when it is done ---- */

static void a_value_of_the_same_size_and_no_shorter_life_needs_no_lock(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, KEY);
    assert_int_equal(put(r, k, &(struct wish){ .len = LEN, .version = 1 }), CACHE_OK);
    uint32_t cell = cell_of(r, k);
    for (uint64_t n = 2; n < 2 + OVERWRITES; n++) {
        tt_clock_advance(&r->time, n % 3);
        struct wish w = { .len = LEN - n % 4, .version = n };
        assert_true(n % 2 ? try_to_overwrite(r, k, &w, true) : overwrite(r, k, &w));
        struct tc_entry *e = entry_of(r, k);
        assert_int_equal(cell_of(r, k), cell);
        assert_int_equal(tc_entry_made_ms(e), tt_l1_now(r));
        assert_int_equal(tc_entry_fresh_until_ms(e), tt_l1_now(r) + LIFE_MS);
        assert_true(tc_entry_plain_len(e) == w.len && version_of(r, k) == n);
    }
    struct wish next = { .len = LEN, .version = 1000 };
    assert_false(overwrite(r, k, &next));
    assert_int_equal(version_of(r, k), 1 + OVERWRITES);
    unsigned char value[BIG];
    bool over;
    tt_l1_fill(value, next.len, KEY, next.version);
    assert_true(set(r, k, &next, value, &over) && !over); /* but with the lock, */
    assert_true(cell_of(r, k) == cell && version_of(r, k) == next.version);
    assert_true(overwrite(r, k, &next)); /* and then without it again */
    assert_true(tc_l1_check(&r->l1));
}

static void what_is_otherwise_is_left_to_who_has_the_lock(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, KEY);
    const struct wish w = { .len = LEN, .version = 1 };
    assert_int_equal(put(r, k, &w), CACHE_OK);
    assert_false(overwrite(r, k, &(struct wish){ .len = LEN, .life_ms = LIFE_MS - 1 })); /* the wheel would be late */
    assert_true(overwrite(r, k, &(struct wish){ .len = LEN, .life_ms = LIFE_MS }));
    assert_true(overwrite(r, k, &(struct wish){ .len = LEN, .life_ms = LIFE_MS + 1, .version = 3 }));
    assert_false(overwrite(r, k, &(struct wish){ .len = LEN, .life_ms = -1 }));
    assert_false(overwrite(r, k, &(struct wish){ .len = LEN + 8 }));
    assert_false(overwrite(r, k, &(struct wish){ .len = LEN - 8 }));
    assert_false(overwrite(r, k, &(struct wish){ .len = 0 }));
    struct tc_l1_found f = tt_l1_get(r, k);
    assert_false(overwrite(r, k, &(struct wish){ .len = LEN, .life_ms = 2 * LIFE_MS }));
    tc_l1_release(&r->l1, f.entry);
    assert_true(overwrite(r, k, &(struct wish){ .len = LEN, .life_ms = 2 * LIFE_MS, .version = 4 }));
    const struct wish others[] = { { .len = LEN, .life_ms = -1 }, { .len = LEN, .flags = TC_ENTRY_ABSENT } };
    for (size_t i = 0; i < TC_ARRAY_LEN(others); i++) {
        assert_int_equal(put(r, k, &others[i]), CACHE_OK);
        assert_false(overwrite(r, k, &(struct wish){ .len = LEN, .life_ms = 2 * LIFE_MS }));
    }
    r->l1.paged = false;
    assert_int_equal(put(r, k, &w), CACHE_OK);
    r->l1.paged = true;
    assert_false(overwrite(r, k, &(struct wish){ .len = LEN, .life_ms = 2 * LIFE_MS }));
    for (size_t len = 200; len < 320; len += 3) /* both are short */
        for (size_t to = 200; to < 320; to += 5) {
            assert_int_equal(put(r, k, &(struct wish){ .len = len, .version = 1 }), CACHE_OK);
            bool same = tc_slab_round(tc_entry_bytes_for(r->l1.node_bytes, 0, 8, len)) ==
                        tc_slab_round(tc_entry_bytes_for(r->l1.node_bytes, 0, 8, to));
            assert_int_equal(overwrite(r, k, &(struct wish){ .len = to, .version = 2 }), same);
        }
    enum { MOST = TC_ENTRY_OVERWRITTEN_MOST };
    for (size_t len = MOST - 30; len < MOST + 30; len += 3) /* in extents */
        for (size_t to = MOST - 30; to < MOST + 30; to += 5) {
            assert_int_equal(put(r, k, &(struct wish){ .len = len, .version = 1 }), CACHE_OK);
            bool same = tc_extents_round(tc_entry_bytes_for(r->l1.node_bytes, 0, 8, len)) ==
                        tc_extents_round(tc_entry_bytes_for(r->l1.node_bytes, 0, 8, to));
            bool is_short = len <= MOST && to <= MOST;
            assert_int_equal(overwrite(r, k, &(struct wish){ .len = to, .version = 2 }), same && is_short);
        }
}

static void only_under_a_policy_of_stamps(void **state)
{
    (void)state;
    struct tt_l1 *r = open_l1(tc_evict_find("lru-exact"));
    struct tt_l1_key k = tt_l1_key(r, KEY);
    assert_int_equal(put(r, k, &(struct wish){ .len = LEN, .version = 1 }), CACHE_OK);
    assert_false(overwrite(r, k, &(struct wish){ .len = LEN, .version = 2 }));
    assert_true(tt_l1_free(r));
}

/* Found first, and changed before it is written over: it is another value's by then, or nobody's. */
static void what_was_found_must_still_be_that(void **state)
{
    enum { OVER, PINNED, UNPINNED, GONE, LEAVING, FOUND_LEAVING, WAYS };
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, KEY);
    unsigned char value[BIG] = "";
    tt_l1_have_company(r); /* what left is there for who reads it */
    for (int way = 0; way < WAYS; way++) {
        struct wish w = { .len = LEN, .version = 10 };
        struct tc_entry_parts p = parts_of(r, &k, &w, value);
        uint32_t refs;
        tt_l1_invalidate(r, k);
        assert_int_equal(put(r, k, &(struct wish){ .len = LEN, .version = 1 }), CACHE_OK);
        if (way == FOUND_LEAVING) /* still in the table, and perhaps being copied to another cell */
            assert_true(tc_entry_begin_to_leave(entry_of(r, k)));
        struct tc_entry *e = tc_index_find(&r->l1.views[0], p.hash, p.key, &refs);
        struct tc_l1_found f = { .entry = NULL };
        if (way == OVER)
            assert_true(overwrite(r, k, &(struct wish){ .len = LEN, .version = 2 }));
        else if (way == GONE)
            tt_l1_invalidate(r, k);
        else if (way == LEAVING)
            assert_true(tc_entry_begin_to_leave(e));
        else if (way != FOUND_LEAVING)
            f = tt_l1_get(r, k);
        if (way == UNPINNED)
            tc_l1_release(&r->l1, f.entry);
        uint64_t generation = tc_l1_generation(&r->l1, k.hash);
        uint32_t before = atomic_load(&e->refs);
        bool done = tc_l1_overwrite(&r->l1, tc_reader_self(&r->l1.readers), e, refs, &p);
        assert_int_equal(done, way == UNPINNED);
        assert_true(done || atomic_load(&e->refs) == before);
        assert_int_equal(tc_l1_generation(&r->l1, k.hash), generation + done);
        if (way == PINNED)
            tc_l1_release(&r->l1, f.entry);
        if (way >= LEAVING)
            atomic_fetch_or(&e->refs, TC_ENTRY_IN_L1);
    }
}

static uint8_t wheel_code_of(struct tt_l1 *r, struct tt_l1_key k)
{
    uint32_t cell = cell_of(r, k);
    const struct tc_index *x = &r->l1.stripes[0].index;
    for (size_t i = 0; i < tc_index_lanes(x); i++)
        if (tc_index_cell(x, i) == cell)
            return tc_index_code(x, i);
    return 0;
}

static void turn_the_wheel(struct tt_l1 *r)
{
    struct tc_stripe *s = &r->l1.stripes[0];
    struct tc_dropped dropped = { .first = NULL };
    tc_lock_acquire(&s->lock);
    for (size_t n = 0; n <= s->index.n; n++)
        tc_stripe_expire(s, tt_l1_now(r), &dropped);
    tc_l1_leave(&r->l1, s, &dropped);
}

/* The code is of the time before: when that has come it is found to live on. */
static void it_expires_when_its_new_time_has_come(void **state)
{
    enum { SHORT_MS = 500, LONG_MS = 5000 };
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, KEY);
    assert_int_equal(put(r, k, &(struct wish){ .len = LEN, .version = 1, .life_ms = SHORT_MS }), CACHE_OK);
    assert_true(overwrite(r, k, &(struct wish){ .len = LEN, .version = 2, .life_ms = LONG_MS }));
    tt_clock_advance(&r->time, LONG_MS - 1);
    turn_the_wheel(r);
    assert_int_equal(version_of(r, k), 2);
    int64_t now_ms = tt_l1_now(r);
    assert_int_equal(wheel_code_of(r, k), tc_wheel_code(now_ms + 1, now_ms));
    tt_clock_advance(&r->time, 1000);
    turn_the_wheel(r);
    assert_int_equal(cell_of(r, k), 0);
    assert_int_equal(tt_l1_count(r, TC_COUNT_l1_expired), 1);
}

/* ---- tickets ---- */

static void a_ticket_from_before_it_is_void(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, KEY);
    assert_int_equal(put(r, k, &(struct wish){ .len = LEN, .version = 1 }), CACHE_OK);
    uint64_t ticket = tc_l1_generation(&r->l1, k.hash);
    assert_true(overwrite(r, k, &(struct wish){ .len = LEN, .version = 2 }));
    assert_int_equal(put(r, k, &(struct wish){ .len = LEN, .version = 9, .expected = &ticket }), CACHE_E_TICKET);
    assert_int_equal(version_of(r, k), 2);
    ticket = tc_l1_generation(&r->l1, k.hash);
    tt_clock_advance(&r->time, 1); /* an answer that was asked for later is better */
    assert_int_equal(put(r, k, &(struct wish){ .len = LEN, .version = 3, .expected = &ticket }), CACHE_OK);
    assert_int_equal(version_of(r, k), 3);
}

/* A clock that, when it is read, does something first: a store under a ticket reads it between its two looks at the
 * generation. */
static struct {
    struct tt_l1 *r;
    int (*then)(struct tt_l1 *r);
    int failures;
} asked;

static int64_t act_and_tell(void *clock)
{
    int (*then)(struct tt_l1 *r) = asked.then;
    asked.then = NULL;
    if (then != NULL)
        asked.failures += then(asked.r);
    return tt_clock_mono_ms(clock);
}

static int write_all_of_it(struct tt_l1 *r)
{
    return !try_to_overwrite(r, tt_l1_key(r, KEY), &(struct wish){ .len = LEN, .version = 2 }, false);
}

static void begin_by_hand(struct tt_l1 *r)
{
    struct tt_l1_key k = tt_l1_key(r, KEY);
    struct tc_l1_ref ref = tt_l1_ref(&k);
    uint32_t refs;
    struct tc_entry *e = tc_index_find(&r->l1.views[0], ref.hash, ref.key, &refs);
    atomic_fetch_add(&e->refs, TC_ENTRY_VERSION_ONE);
}

static int begin_and_move_the_generation(struct tt_l1 *r)
{
    begin_by_hand(r);
    tc_generation_advance(tc_stripe_generation(&r->l1.stripes[0], tt_l1_key(r, KEY).hash));
    return 0;
}

/* What was written while the ticket was looked at the first time makes it void the second time. */
static void a_ticket_is_looked_at_again_when_nobody_can_write_any_more(void **state)
{
    int (*const ways[])(struct tt_l1 *r) = { write_all_of_it, begin_and_move_the_generation };
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, KEY);
    store_others(r);
    tt_l1_have_company(r);
    for (size_t i = 0; i < TC_ARRAY_LEN(ways); i++) {
        assert_int_equal(put(r, k, &(struct wish){ .len = LEN, .version = 1 }), CACHE_OK);
        struct tc_entry *e = entry_of(r, k);
        uint64_t ticket = tc_l1_generation(&r->l1, k.hash);
        tt_clock_advance(&r->time, 1);
        r->clock.ops.mono_ms = act_and_tell;
        asked.r = r;
        asked.then = ways[i];
        asked.failures = 0;
        int rc = put(r, k, &(struct wish){ .len = LEN, .version = 9, .expected = &ticket });
        r->clock.ops.mono_ms = tt_clock_mono_ms;
        assert_null(asked.then);
        assert_int_equal(asked.failures, 0);
        assert_int_equal(rc, CACHE_E_TICKET);
        assert_false(tc_entry_is_in_l1(e)); /* so that who was half-way stores his value again */
        assert_int_equal(version_of(r, k), 0);
        assert_true(tc_l1_check(&r->l1));
    }
}

/* He has claimed the entry, and not moved the generation yet: the answer comes in, and he learns of it. */
static void an_answer_that_was_let_in_takes_the_entry_from_who_writes_it(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, KEY);
    store_others(r);
    tt_l1_have_company(r);
    assert_int_equal(put(r, k, &(struct wish){ .len = LEN, .version = 1 }), CACHE_OK);
    struct tc_entry *e = entry_of(r, k);
    uint64_t ticket = tc_l1_generation(&r->l1, k.hash);
    tt_clock_advance(&r->time, 1);
    begin_by_hand(r);
    assert_int_equal(put(r, k, &(struct wish){ .len = LEN, .version = 9, .expected = &ticket }), CACHE_OK);
    assert_false(tc_entry_is_in_l1(e));
    assert_int_equal(version_of(r, k), 9);
    atomic_fetch_add(&e->refs, TC_ENTRY_VERSION_ONE);
}

/* ---- taken out half-way ---- */

struct writer {
    struct tt_l1 *r;
    struct wish w;
    bool over, done;
};

static int write_from_the_trap(void *arg, unsigned index)
{
    struct writer *w = arg;
    (void)index;
    w->done = set(w->r, tt_l1_key(w->r, KEY), &w->w, tt_trap_bytes(), &w->over);
    return 0;
}

/* Another thread stands in the middle of writing version 2 over version 1, in a page where there is little else. */
static struct tt_crew *stand_half_way(struct writer *w)
{
    struct tt_l1_key k = tt_l1_key(w->r, KEY);
    tc_l1_clear(&w->r->l1);
    assert_int_equal(put(w->r, k, &(struct wish){ .len = LEN, .version = 1 }), CACHE_OK);
    store_others(w->r);
    uint32_t page = cell_of(w->r, k) >> TC_CELL_OFFSET_BITS;
    for (uint64_t n = 100; n < 700; n++)
        if (n % 3 == 0 || cell_of(w->r, tt_l1_key(w->r, n)) >> TC_CELL_OFFSET_BITS == page)
            tt_l1_invalidate(w->r, tt_l1_key(w->r, n));
    tc_limbo_clear(&w->r->l1); /* nothing is freed while somebody stands there */
    uint64_t generation = tc_l1_generation(&w->r->l1, k.hash);
    tt_l1_fill(tt_trap_bytes(), LEN, KEY, 2);
    tt_trap_set();
    struct tt_crew *crew = tt_crew_start(1, write_from_the_trap, w);
    if (!tt_trap_await())
        tt_die("nobody writes");
    if (!(atomic_load(&entry_of(w->r, k)->refs) & TC_ENTRY_WRITING))
        tt_die("the version is not odd");
    if (tc_l1_generation(&w->r->l1, k.hash) != generation + 1)
        tt_die("what is written may be seen before tickets are void");
    return crew;
}

static void go_on(struct tt_crew *crew)
{
    tt_trap_release();
    assert_int_equal(tt_crew_join(crew), 0);
}

static void with_stripe(struct tt_l1 *r, void (*act)(struct tt_l1 *r, struct tc_stripe *s, struct tc_dropped *dropped))
{
    struct tc_stripe *s = &r->l1.stripes[0];
    struct tc_dropped dropped = { .first = NULL };
    tc_lock_acquire(&s->lock);
    act(r, s, &dropped);
    tc_l1_leave(&r->l1, s, &dropped);
}

static void evict(struct tt_l1 *r, struct tc_stripe *s, struct tc_dropped *dropped)
{
    struct tt_l1_key k = tt_l1_key(r, KEY);
    uint32_t cell = 0;
    tc_stripe_find(s, k.hash, tt_l1_ref(&k).key, &cell);
    tc_stripe_remove(s, cell, TC_COUNT_l1_evicted_bytes, dropped);
}

/* The key's page is the one with least in it. */
static void vacate(struct tt_l1 *r, struct tc_stripe *s, struct tc_dropped *dropped)
{
    (void)r;
    if (!tc_stripe_vacate_page(s, dropped))
        tt_die("no page can be had");
}

static void do_nothing(struct tt_l1 *r)
{
    (void)r;
}

static void do_invalidate(struct tt_l1 *r)
{
    tt_l1_invalidate(r, tt_l1_key(r, KEY));
}

static void do_clear(struct tt_l1 *r)
{
    tc_l1_clear(&r->l1);
}

static void do_evict(struct tt_l1 *r)
{
    with_stripe(r, evict);
}

static void do_put(struct tt_l1 *r)
{
    assert_int_equal(put(r, tt_l1_key(r, KEY), &(struct wish){ .len = LEN, .version = 9 }), CACHE_OK);
}

static void do_set(struct tt_l1 *r)
{
    unsigned char value[LEN];
    bool over;
    tt_l1_fill(value, LEN, KEY, 9);
    assert_true(set(r, tt_l1_key(r, KEY), &(struct wish){ .len = LEN }, value, &over));
    assert_false(over);
}

static void do_answer(struct tt_l1 *r)
{
    uint64_t ticket = tc_l1_generation(&r->l1, tt_l1_key(r, KEY).hash);
    tt_clock_advance(&r->time, 1);
    struct wish w = { .len = LEN, .version = 9, .expected = &ticket };
    assert_int_equal(put(r, tt_l1_key(r, KEY), &w), CACHE_OK);
}

static void do_void_answer(struct tt_l1 *r)
{
    uint64_t ticket = tc_l1_generation(&r->l1, tt_l1_key(r, KEY).hash) - 1;
    struct wish w = { .len = LEN, .version = 9, .expected = &ticket };
    assert_int_equal(put(r, tt_l1_key(r, KEY), &w), CACHE_E_TICKET);
}

static void do_move(struct tt_l1 *r)
{
    uint64_t evicted = tt_l1_count(r, TC_COUNT_l1_evicted_bytes);
    with_stripe(r, vacate);
    assert_int_equal(cell_of(r, tt_l1_key(r, KEY)), 0);
    assert_int_equal(tt_l1_count(r, TC_COUNT_l1_evicted_bytes), evicted + 1); /* it alone is not moved */
}

/* stays: the entry is in L1 when the writer is through. */
static const struct way {
    void (*act)(struct tt_l1 *r);
    bool stays;
} ways[] = {
    { do_nothing, true }, { do_invalidate, false }, { do_clear, false }, { do_evict, false }, { do_put, false },
    { do_set, false }, { do_answer, false }, { do_void_answer, true }, { do_move, false },
};

static void what_was_taken_out_half_way_is_stored_again(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, KEY);
    tt_l1_have_company(r);
    for (size_t i = 0; i < TC_ARRAY_LEN(ways); i++) {
        struct writer w = { .r = r, .w = { .len = LEN, .version = 2 } };
        struct tt_crew *crew = stand_half_way(&w);
        uint64_t generation = tc_l1_generation(&r->l1, k.hash);
        ways[i].act(r);
        go_on(crew);
        assert_int_equal(w.over, ways[i].stays);
        assert_true(w.done);
        assert_int_equal(version_of(r, k), 2);
        assert_true(ways[i].stays || tc_l1_generation(&r->l1, k.hash) > generation);
        assert_true(tc_l1_check(&r->l1));
        assert_int_equal(tt_l1_type_entries(r, 0), r->l1.stripes[0].index.count);
    }
}

/* The time before has come while it is written over: who comes for it does not know of the new one. */
static void what_expires_half_way_is_stored_again(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, KEY);
    store_others(r);
    tt_l1_have_company(r);
    assert_int_equal(put(r, k, &(struct wish){ .len = LEN, .version = 1, .life_ms = 100 }), CACHE_OK);
    begin_by_hand(r);
    struct tc_entry *e = entry_of(r, k);
    tt_clock_advance(&r->time, 1000);
    turn_the_wheel(r);
    assert_int_equal(cell_of(r, k), 0);
    assert_false(tc_entry_is_in_l1(e));
    atomic_fetch_add(&e->refs, TC_ENTRY_VERSION_ONE);
}

/* ---- who looks it up meanwhile ---- */

struct waiting {
    struct tt_l1 *r;
    _Atomic unsigned ended;
};

static int wait_for_it(void *arg, unsigned index)
{
    struct waiting *w = arg;
    struct tt_l1_key k = tt_l1_key(w->r, KEY);
    unsigned char buf[BIG];
    struct tc_l1_copied c;
    struct tc_l1_found f = { .entry = NULL };
    uint64_t version = 0;
    int failures = 0;
    if (index == 0)
        tc_l1_get(&w->r->l1, tt_l1_ref(&k), tt_l1_now(w->r), &f);
    else if (index == 1)
        TT_CHECK(failures, !tc_l1_get_copy(&w->r->l1, tt_l1_ref(&k), tt_l1_now(w->r), buf, sizeof buf, &c, &f));
    else /* one without a record */
        tc_l1_get_as(&w->r->l1, NULL, tt_l1_ref(&k), tt_l1_now(w->r), &f);
    atomic_fetch_add(&w->ended, 1);
    TT_CHECK(failures, f.entry != NULL && f.fresh);
    if (f.entry == NULL)
        return failures;
    TT_CHECK(failures, tt_l1_is_value(tc_entry_data(f.entry), LEN, KEY, &version) && version == 2);
    tc_l1_release(&w->r->l1, f.entry);
    return failures;
}

static void who_looks_it_up_waits_without_the_lock_and_gets_the_new_value(void **state)
{
    struct tt_l1 *r = *state;
    struct writer w = { .r = r, .w = { .len = LEN, .version = 2 } };
    struct waiting x = { .r = r };
    tt_l1_have_company(r);
    struct tt_crew *writer = stand_half_way(&w), *readers = tt_crew_start(3, wait_for_it, &x);
    bool slept = false;
    for (int64_t end_ms = tt_mono_ms() + TT_SOON_MS; !slept && tt_pause(end_ms);)
        slept = tt_crew_sleeps(readers);
    unsigned had = 0;
    for (int i = 0; i < 100; i++, tt_pause(INT64_MAX)) /* the lock is to be had nearly always: others go on */
        if (tc_lock_try(&r->l1.stripes[0].lock)) {
            tc_lock_release(&r->l1.stripes[0].lock);
            had++;
        }
    bool waited = x.ended == 0;
    go_on(writer);
    assert_int_equal(tt_crew_join(readers), 0);
    assert_true(slept && waited && w.over && had > 50);
    assert_int_equal(tc_l1_pin_count(&r->l1), 0);
    assert_int_equal(tt_l1_detached_bytes(r), 0);
    assert_int_equal(atomic_load(&entry_of(r, tt_l1_key(r, KEY))->refs) & TC_ENTRY_REFS, 1);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(a_value_of_the_same_size_and_no_shorter_life_needs_no_lock),
        WITH(what_is_otherwise_is_left_to_who_has_the_lock),
        cmocka_unit_test(only_under_a_policy_of_stamps),
        WITH(what_was_found_must_still_be_that),
        WITH(it_expires_when_its_new_time_has_come),
        WITH(a_ticket_from_before_it_is_void),
        WITH(a_ticket_is_looked_at_again_when_nobody_can_write_any_more),
        WITH(an_answer_that_was_let_in_takes_the_entry_from_who_writes_it),
        WITH(what_was_taken_out_half_way_is_stored_again),
        WITH(what_expires_half_way_is_stored_again),
        WITH(who_looks_it_up_waits_without_the_lock_and_gets_the_new_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
