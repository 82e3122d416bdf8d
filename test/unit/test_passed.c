/* Victims whose cells are too small for most newcomers: they are passed over without being looked at each time, and are
 * there for who needs no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/evict.h"
#include "tt_util.h"
#include "unit/tt_item.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { ROUNDS = 3000 };
#else
enum { ROUNDS = 30000 };
#endif

enum {
    LIMIT = 2 << 20,
    LIFE_MS = 1000000,
    SOME = 64,
    CANDIDATES = TC_PASSED_MOST,
    /* Bytes of values, none of which fits into the cell of a smaller one, or wants that of a larger one. */
    SMALL = 64,
    MIDDLE = 84,
    LARGE = 112
};

/* lru, whose later() is counted. */
static unsigned laters;

static uint32_t counted_later(void *state, uint32_t entry)
{
    laters++;
    return tc_evict_lru.later(state, entry);
}

static struct cache_evict_ops counted(void)
{
    struct cache_evict_ops ops = tc_evict_lru;
    ops.name = "counted";
    ops.later = counted_later;
    return ops;
}

static struct tt_item item(uint64_t number, size_t len)
{
    struct tt_item i = { .number = number, .version = 1, .life_ms = LIFE_MS, .key_len = 16, .len = len };
    memcpy(i.key, &number, sizeof number);
    return i;
}

/* One in so many is small, and as many are middling. */
static size_t len_for(uint64_t random, uint64_t so_many)
{
    return random % so_many == 0 ? SMALL : random % so_many == 1 ? MIDDLE : LARGE;
}

static size_t len_of(struct tt_l1 *r, uint32_t cell)
{
    return tc_entry_len(tt_item_entry(r, cell));
}

static uint64_t evicted(struct tt_l1 *r)
{
    return tt_l1_count(r, TC_COUNT_l1_evicted_bytes);
}

/* Who looks is not to be skipped here, though few may find what they need. */
static void store(struct tt_l1 *r, const struct tt_item *i)
{
    tt_item_stripe(r)->shared.passed.in_vain = 0;
    tt_item_store(r, i);
}

/* Until the cache is full, and has what it keeps in reserve. Returns the next number. */
static uint64_t fill(struct tt_l1 *r, uint64_t so_many)
{
    uint64_t n = 1;
    for (; evicted(r) < SOME; n++) {
        struct tt_item i = item(n, len_for(n, so_many));
        store(r, &i);
    }
    return n;
}

static int setup(void **state)
{
    struct cache_evict_ops ops = counted();
    struct tt_l1 *r = tt_l1_new(LIMIT, 1, &ops);
    assert_non_null(r);
    tc_l1_know(&r->l1, r->types[0]);
    tt_l1_have_company(r); /* what leaves has to wait */
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    return tt_l1_free(*state) ? 0 : -1;
}

/* The first in the order. Who were passed stay known if nobody was moved by that question. */
static uint32_t oldest(struct tt_l1 *r)
{
    struct tc_order *o = &tt_item_stripe(r)->shared;
    struct tc_passed passed = o->passed;
    unsigned char before[TC_EVICT_STATE_MAX];
    memcpy(before, o->state, o->evict->state_bytes);
    uint32_t cell = tt_item_victim(r);
    if (memcmp(before, o->state, o->evict->state_bytes) == 0)
        o->passed = passed;
    return cell;
}

static uint32_t after(struct tt_l1 *r, uint32_t cell)
{
    return tc_evict_lru.later(tt_item_stripe(r)->shared.state, cell);
}

/* Of those that are known to be too small; 0: none are. */
static uint32_t last_passed(struct tt_l1 *r)
{
    const struct tc_passed *p = &tt_item_stripe(r)->shared.passed;
    return p->n > 0 ? p->cells[p->n - 1] : 0;
}

/* Who is to make room for a value of that length: the first in whose place it could be; 0: nobody among those that are
 * looked at. passed: how many stand before it. */
static uint32_t expected_victim(struct tt_l1 *r, size_t len, unsigned *passed)
{
    uint32_t cell = oldest(r);
    for (*passed = 0; *passed < CANDIDATES && cell != 0; ++*passed, cell = after(r, cell))
        if (len_of(r, cell) == len)
            return cell;
    return 0;
}

/* A value of that length can only come in another's place. */
static bool is_full_for(struct tt_l1 *r, size_t len)
{
    struct tc_stripe *s = tt_item_stripe(r);
    size_t bytes = tc_entry_bytes_for(r->l1.node_bytes, 0, 16, len);
    tc_lock_acquire(&s->lock);
    bool has = tc_stripe_has(s, bytes, tc_stripe_slack(s));
    tc_lock_release(&s->lock);
    return tc_l1_is_full(&r->l1) && !has;
}

/* ---- tests ---- */

static void those_without_room_are_looked_at_once(void **state)
{
    struct tt_l1 *r = *state;
    struct tc_stripe *s = tt_item_stripe(r);
    uint64_t n = fill(r, 40), stores = 0, standing = 0;
    laters = 0;
    for (uint64_t end = n + 1000; n < end; n++) {
        struct tt_item i = item(n, LARGE);
        unsigned before = laters;
        store(r, &i);
        if (s->shared.passed.n < 2 || laters - before > CANDIDATES)
            continue;
        stores++;
        standing += s->shared.passed.n;
    }
    print_message("%u looks at those behind, %lu stores past %lu\n", laters, (unsigned long)stores,
                  (unsigned long)standing);
    assert_true(stores > 300 && standing > 3 * stores);
    assert_true(laters < 2 * 1000);
    tt_item_assert_counts(r);
}

static void who_needs_no_more_gets_the_first_of_them(void **state)
{
    struct tt_l1 *r = *state;
    struct tc_stripe *s = tt_item_stripe(r);
    unsigned times = 0;
    for (uint64_t n = fill(r, 40), end = n + 3000; n < end; n++) {
        bool small = s->shared.passed.n >= 3 && is_full_for(r, SMALL);
        struct tt_item i = item(n, small ? SMALL : LARGE);
        unsigned passed;
        uint32_t first = small ? expected_victim(r, SMALL, &passed) : 0;
        store(r, &i);
        if (first == 0)
            continue;
        assert_int_equal(tt_item_cell_of(r, &i), first);
        times++;
    }
    assert_true(times > 10);
    tt_item_assert_counts(r);
}

/* What is done to those that stand at the end, beside stores. */
static void disturb(struct tt_l1 *r, uint64_t *seed)
{
    struct tc_stripe *s = tt_item_stripe(r);
    uint64_t what = tt_random(seed) % 100;
    if (what >= 90) {
        struct tc_dropped dropped = { .first = NULL };
        tc_lock_acquire(&s->lock);
        tc_stripe_vacate_page(s, &dropped);
        tc_l1_leave(&r->l1, s, &dropped);
        return;
    }
    uint32_t cell = what < 10 && last_passed(r) != 0 ? last_passed(r) : oldest(r);
    for (uint64_t steps = tt_random(seed) % 12; what >= 10 && steps > 0 && cell != 0; steps--)
        cell = after(r, cell);
    if (cell == 0 || what >= 30)
        return;
    uint64_t number = tt_item_number_in(r, cell);
    struct tt_item same = item(number, len_of(r, cell) == SMALL ? LARGE : SMALL);
    if (what % 2 == 0)
        tc_l1_invalidate(&r->l1, tt_item_ref_of(&same));
    else
        tt_item_put(r, &same, 0); /* another cell, in the place of the one before */
    tc_limbo_clear(&r->l1);
}

static void the_victim_is_the_one_that_a_look_at_all_would_choose(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t seed = tt_seed(), n = fill(r, 4), chosen = 0, by_passing = 0;
    for (uint64_t end = n + ROUNDS; n < end; n++) {
        struct tt_item i = item(n, len_for(tt_random(&seed), 5));
        unsigned passed;
        uint32_t expected = is_full_for(r, i.len) ? expected_victim(r, i.len, &passed) : 0;
        uint64_t was_evicted = evicted(r);
        store(r, &i);
        if (expected != 0 && evicted(r) == was_evicted + 1) {
            assert_int_equal(tt_item_cell_of(r, &i), expected);
            chosen++;
            by_passing += passed > 0;
        }
        disturb(r, &seed);
    }
    assert_true(chosen > ROUNDS / 4 && by_passing > ROUNDS / 40);
    tt_item_assert_counts(r);
}

/* How many looks at those behind the first so many stores come to. */
static unsigned looks_of(struct tt_l1 *r, uint64_t *n, unsigned stores, size_t least, size_t sizes, uint64_t *seed)
{
    laters = 0;
    for (unsigned i = 0; i < stores; i++) {
        struct tt_item any = item(++*n, least + tt_random(seed) % sizes);
        tt_item_store(r, &any);
    }
    return laters;
}

static void where_few_find_what_they_need_few_look_until_most_do(void **state)
{
    enum { STORES = 2000, SIZES = 300 };
    struct tt_l1 *r = *state;
    struct tc_passed *p = &tt_item_stripe(r)->shared.passed;
    uint64_t seed = tt_seed(), n = fill(r, 4), all = tt_item_stripe(r)->index.count;
    looks_of(r, &n, (unsigned)all, SMALL, SIZES, &seed);
    assert_true(p->in_vain != 0);
    assert_true(looks_of(r, &n, STORES, SMALL, SIZES, &seed) < STORES / 4);
    looks_of(r, &n, 2 * (unsigned)all, LARGE, 1, &seed); /* nobody is there of another size */
    assert_int_equal(p->in_vain >> 8 & UINT8_MAX, 0);
    tt_item_assert_counts(r);
}

static void hit(struct tt_l1 *r, uint64_t number)
{
    struct tt_item i = item(number, 0);
    unsigned char buf[LARGE];
    struct tc_l1_copied c;
    struct tc_l1_found f = { .entry = NULL };
    if (!tc_l1_get_copy(&r->l1, tt_item_ref_of(&i), tt_l1_now(r), buf, sizeof buf, &c, &f) && f.entry != NULL)
        tc_l1_release(&r->l1, f.entry);
}

/* What is hit goes to the other end of the order when it comes up: who was passed over before may stand there, and
 * nobody may begin behind him. */
static void who_came_lately_stays_whoever_was_hit(void **state)
{
    enum { LATELY = 1024 };
    struct tt_l1 *r = *state;
    struct tc_stripe *s = tt_item_stripe(r);
    uint64_t seed = tt_seed(), n = fill(r, 12), hits = 0;
    uint32_t cells[LATELY] = { 0 }; /* of those who came last, by their numbers */
    assert_true(s->index.count > 2 * LATELY);
    for (uint64_t begin = n; n < begin + ROUNDS || hits <= ROUNDS / 20; n++) { /* how often one is passed differs */
        assert_true(n < begin + 20 * ROUNDS);
        struct tt_item i = item(n, len_for(tt_random(&seed), 12));
        if (last_passed(r) != 0 && tt_random(&seed) % 2 == 0) {
            const struct tc_passed *p = &s->shared.passed;
            hit(r, tt_item_number_in(r, tt_random(&seed) % 2 == 0 ? last_passed(r) : p->cells[tt_random(&seed) % p->n]));
            hits++;
        }
        store(r, &i);
        uint32_t cell = cells[n % LATELY] = tt_item_cell_of(r, &i);
        for (uint64_t back = 1; back < LATELY && back < n; back++) {
            struct tt_item young = item(n - back, 0);
            if (cells[young.number % LATELY] == cell) /* or else it was moved */
                assert_int_not_equal(cells[young.number % LATELY] = tt_item_cell_of(r, &young), 0);
        }
    }
    assert_true(hits > ROUNDS / 20);
    tt_item_assert_counts(r);
}

/* In their order, and each behind the one before. */
static void assert_in_order(struct tt_l1 *r)
{
    const struct tc_passed *p = &tt_item_stripe(r)->shared.passed;
    for (uint32_t i = 0; i + 1 < p->n; i++)
        assert_int_equal(after(r, p->cells[i]), p->cells[i + 1]);
}

/* Whoever is behind the last of them was behind him when he was passed: nothing was moved since then. Who leaves is no
 * longer among them. */
static void what_may_move_some_makes_them_forgotten(void **state)
{
    struct tt_l1 *r = *state;
    struct tc_stripe *s = tt_item_stripe(r);
    unsigned asked = 0, hits = 0, left = 0, ticks = 0;
    uint64_t seed = tt_seed();
    for (uint64_t n = fill(r, 12), end = n + 4000; n < end; n++) {
        struct tt_item i = item(n, LARGE);
        uint8_t stamp = atomic_load(&s->index.view->stamp);
        bool passed = s->shared.passed.n > 0;
        store(r, &i);
        if (stamp != atomic_load(&s->index.view->stamp)) {
            assert_int_equal(s->shared.passed.n, 0);
            ticks += passed;
        } else if (s->shared.passed.n >= 2 && n % 20 == 0) {
            uint32_t stood = s->shared.passed.n, gone = s->shared.passed.cells[tt_random(&seed) % stood];
            struct tt_item old = item(tt_item_number_in(r, gone), 0);
            tc_l1_invalidate(&r->l1, tt_item_ref_of(&old));
            assert_int_equal(s->shared.passed.n, stood - 1);
            for (uint32_t at = 0; at < stood - 1; at++)
                assert_int_not_equal(s->shared.passed.cells[at], gone);
            left++;
        } else if (s->shared.passed.n >= 2 && n % 20 == 7) {
            uint32_t stood = s->shared.passed.n;
            assert_int_equal(tt_item_victim(r), s->shared.passed.cells[0]);
            assert_int_equal(s->shared.passed.n, stood);
            asked++;
        } else if (s->shared.passed.n >= 2 && n % 20 == 14) {
            hit(r, tt_item_number_in(r, s->shared.passed.cells[0]));
            tt_item_victim(r);
            assert_int_equal(s->shared.passed.n, 0);
            hits++;
        }
        assert_in_order(r);
    }
    assert_true(asked > 10 && hits > 10 && left > 10 && ticks > 3);
}

static void assert_each_is_there_once(struct tt_l1 *r)
{
    const struct tc_passed *p = &tt_item_stripe(r)->shared.passed;
    for (uint32_t i = 0; i < p->n; i++) {
        struct tt_item is = item(tt_item_number_in(r, p->cells[i]), 0);
        assert_int_equal(tt_item_cell_of(r, &is), p->cells[i]);
        for (uint32_t j = 0; j < i; j++)
            assert_int_not_equal(p->cells[i], p->cells[j]);
    }
}

/* With three sizes, whoever needs no more than some of them looks from the first on, and finds others where one was hit
 * or left. */
static void whatever_is_hit_or_leaves_each_is_there_once(void **state)
{
    struct tt_l1 *r = *state;
    const struct tc_passed *p = &tt_item_stripe(r)->shared.passed;
    static const size_t lens[] = { SMALL, SMALL, MIDDLE, MIDDLE, LARGE, LARGE, LARGE, LARGE };
    uint64_t seed = tt_seed(), n = fill(r, 4), hits = 0, left = 0;
    for (uint64_t begin = n; n < begin + 6 * ROUNDS || hits <= ROUNDS / 10 || left <= ROUNDS / 10; n++) {
        assert_true(n < begin + 60 * ROUNDS);
        struct tt_item i = item(n, lens[tt_random(&seed) % TC_ARRAY_LEN(lens)]);
        store(r, &i);
        assert_each_is_there_once(r);
        uint64_t what = tt_random(&seed) % 4;
        if (p->n < 2 || what > 1)
            continue;
        struct tt_item one = item(tt_item_number_in(r, p->cells[tt_random(&seed) % p->n]), 0);
        if (what == 0) {
            hit(r, one.number);
            hits++;
        } else {
            tc_l1_invalidate(&r->l1, tt_item_ref_of(&one));
            left++;
        }
        assert_each_is_there_once(r);
    }
    assert_true(hits > ROUNDS / 10 && left > ROUNDS / 10);
    tt_item_assert_counts(r);
}

static void one_that_was_moved_is_known_by_its_new_cell(void **state)
{
    struct tt_l1 *r = *state;
    struct tc_stripe *s = tt_item_stripe(r);
    uint64_t n = fill(r, 12), moved = 0;
    for (int round = 0; round < 200 && moved == 0; round++) {
        for (uint64_t end = n + 1000; n < end || s->shared.passed.n == 0; n++) {
            struct tt_item i = item(n, len_for(n, 12));
            store(r, &i);
        }
        uint64_t number = tt_item_number_in(r, last_passed(r));
        struct tt_item last = item(number, SMALL);
        for (uint64_t other = n - s->index.count; other < n; other++) {
            struct tt_item gone = item(other, 0);
            if (other != number && other % 5 != 0) /* of every length four of five */
                tc_l1_invalidate(&r->l1, tt_item_ref_of(&gone));
        }
        tc_limbo_clear(&r->l1);
        struct tc_dropped dropped = { .first = NULL };
        uint32_t passed = last_passed(r);
        tc_lock_acquire(&s->lock);
        for (int pages = 0; pages < 100 && passed != 0 && last_passed(r) == passed; pages++)
            tc_stripe_vacate_page(s, &dropped);
        tc_l1_leave(&r->l1, s, &dropped);
        uint32_t now = tt_item_cell_of(r, &last);
        if (passed == 0 || now == 0 || now == passed || s->shared.passed.n == 0)
            continue;
        assert_int_equal(last_passed(r), now);
        moved++;
    }
    assert_true(moved > 0);
    tt_item_assert_counts(r);
}

/* A policy that may put newcomers in front of others, and asks its victim() for a place to begin at: later() is asked
 * of what was named in the same store, and of nothing else. */
static uint32_t named;

static uint32_t naming_victim(void *state)
{
    return named = tc_evict_lru.victim(state);
}

static uint32_t naming_later(void *state, uint32_t entry)
{
    assert_int_equal(entry, named);
    return named = tc_evict_lru.later(state, entry);
}

static void changing_insert(void *state, uint32_t entry, uint64_t hash, size_t bytes)
{
    named = 0;
    tc_evict_lru.insert(state, entry, hash, bytes);
}

static void who_does_not_promise_that_is_asked_anew(void **state)
{
    struct cache_evict_ops ops = tc_evict_lru;
    (void)state;
    ops.name = "naming";
    ops.flags &= ~(uint32_t)CACHE_EVICT_LAST_IN;
    ops.victim = naming_victim;
    ops.later = naming_later;
    ops.insert = changing_insert;
    struct tt_l1 *r = tt_l1_new(LIMIT, 1, &ops);
    assert_non_null(r);
    tc_l1_know(&r->l1, r->types[0]);
    tt_l1_have_company(r);
    uint64_t was_evicted = 0;
    for (uint64_t n = fill(r, 12), end = n + 2000; n < end; n++) {
        struct tt_item i = item(n, len_for(n, 12));
        store(r, &i);
        assert_int_equal(tt_item_stripe(r)->shared.passed.n, 0);
        was_evicted = evicted(r);
    }
    assert_true(was_evicted > 1000);
    assert_true(tt_l1_free(r));
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(those_without_room_are_looked_at_once),
        WITH(who_needs_no_more_gets_the_first_of_them),
        WITH(the_victim_is_the_one_that_a_look_at_all_would_choose),
        WITH(what_may_move_some_makes_them_forgotten),
        WITH(one_that_was_moved_is_known_by_its_new_cell),
        WITH(whatever_is_hit_or_leaves_each_is_there_once),
        WITH(where_few_find_what_they_need_few_look_until_most_do),
        WITH(who_came_lately_stays_whoever_was_hit),
        cmocka_unit_test(who_does_not_promise_that_is_asked_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
