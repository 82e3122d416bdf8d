/* Stores whose key finds no lane, in a table that is half full, while larger ones do not have room for what is there:
 * built from keys of two homes side by side, which are one in the next larger table and two in the one after it. And
 * tables that are nearly full in a cache that is; and which bits of a hash say what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_item.h"

enum { LIMIT = 1 << 20, N = 58, NEXT = N + N / 4, AFTER = NEXT + NEXT / 4, LANES = TC_INDEX_LANES };

static size_t home_of(uint64_t hash, size_t n)
{
    return (size_t)((hash & UINT32_MAX) * n >> 32);
}

static uint64_t first_of(size_t home)
{
    return ((home % N << 32) + N - 1) / N;
}

struct crowd {
    struct tt_l1 *r;
    const struct tc_index *x;
    uint64_t pair[2]; /* hashes */
    size_t home;      /* of the first one */
    uint64_t next;    /* number of the next key */
};

static bool find_pair(uint64_t pair[2])
{
    const uint64_t step = (UINT64_C(1) << 32) / N / 16;
    for (uint64_t a = 0; a + 16 * step <= UINT32_MAX; a += step)
        for (uint64_t b = a + step; b <= a + 16 * step; b += step)
            if (home_of(a, N) + 1 == home_of(b, N) && home_of(a, NEXT) == home_of(b, NEXT) &&
                home_of(a, AFTER) != home_of(b, AFTER)) {
                pair[0] = a;
                pair[1] = b;
                return true;
            }
    return false;
}

static void put(struct crowd *c, uint64_t hash)
{
    assert_int_equal(tt_l1_put(c->r, (struct tt_l1_key){ hash, c->next++ }, 8), CACHE_OK);
}

/* As many of either hash. */
static void begin(struct crowd *c, size_t first, size_t second)
{
    c->r = tt_l1_new(LIMIT, 1, NULL);
    assert_non_null(c->r);
    c->x = &c->r->l1.stripes[0].index;
    c->next = 0;
    while (c->x->n < N)
        put(c, tt_l1_key(c->r, c->next).hash);
    tc_l1_clear(&c->r->l1);
    assert_true(find_pair(c->pair));
    c->home = home_of(c->pair[0], N);
    for (size_t i = 0; i < second; i++)
        put(c, c->pair[1]);
    for (size_t i = 0; i < first; i++)
        put(c, c->pair[0]);
}

/* A bucket that is full of keys who will spread when the table grows. */
static void fill(struct crowd *c, size_t home)
{
    for (uint64_t i = 0; i < LANES; i++)
        put(c, first_of(home) + (i << 20));
}

static void end(struct crowd *c)
{
    assert_true(tc_l1_check(&c->r->l1));
    assert_true(tt_l1_free(c->r));
}

/* 170 of the two do not go into the next one; and a key all of whose places are taken by others. */
static struct tt_l1_key crowd_out(struct crowd *c)
{
    begin(c, LANES, TC_INDEX_PROBES);
    for (size_t i = 0; i <= TC_INDEX_REACH; i++)
        fill(c, c->home + 20 + i);
    assert_int_equal(c->x->n, N);
    return (struct tt_l1_key){ first_of(c->home + 20), c->next };
}

static void a_table_that_some_keys_do_not_go_into_is_left_out_and_nobody_leaves_for_it(void **state)
{
    struct crowd c;
    struct tt_l1_key k = crowd_out(&c);
    (void)state;
    assert_int_equal(tt_l1_put(c.r, k, 8), CACHE_OK);
    assert_int_equal(c.x->n, AFTER);
    assert_int_equal(c.x->count, 2 * TC_INDEX_PROBES + LANES + 1);
    assert_int_equal(tt_l1_count(c.r, TC_COUNT_l1_evicted_probe), 0);
    assert_true(tt_l1_has(c.r, k));
    end(&c);
}

/* All that is there goes into the next one, but fills it where the new one would go. */
static void a_table_that_has_no_lane_for_the_new_key_grows_again_and_nobody_leaves_for_it(void **state)
{
    struct crowd c;
    (void)state;
    begin(&c, 80, 80);
    fill(&c, c.home + 16);
    for (size_t i = 0; i < 25; i++)
        fill(&c, c.home + 20 + i);
    assert_int_equal(c.x->n, N);
    struct tt_l1_key k = { c.pair[1], c.next };
    assert_int_equal(tt_l1_put(c.r, k, 8), CACHE_OK);
    assert_int_equal(c.x->n, AFTER);
    assert_int_equal(tt_l1_count(c.r, TC_COUNT_l1_evicted_probe), 0);
    assert_true(tt_l1_has(c.r, k));
    end(&c);
}

/* What was granted for the entry does not pay for the larger table, however much more than the first one that takes. */
static void what_is_granted_is_enough_for_both_the_table_and_the_entry(void **state)
{
    enum { LEN = 3500, STEP = 64, MOST = 40000 }; /* a chunk for it, and more */
    (void)state;
    for (uint64_t more = 0; more < MOST; more += STEP) {
        struct crowd c;
        struct tt_l1_key k = crowd_out(&c);
        struct tt_l1 *r = c.r;
        struct tc_stripe *s = &r->l1.stripes[0];
        uint64_t wanted = tc_stripe_bytes(s) + tc_index_growth_bytes(c.x, k.hash, TC_GROW_BESIDE) + more;
        uint64_t all = s->granted + (uint64_t)r->l1.pool;
        assert_true(wanted <= all);
        atomic_store(&s->granted, wanted);
        atomic_store(&r->l1.pool, 0);
        atomic_fetch_sub(&r->l1.limit, all - wanted);
        assert_true(tc_l1_check(&r->l1));
        assert_int_equal(tt_l1_put(r, k, LEN), CACHE_OK);
        assert_true(tc_l1_check(&r->l1));
        assert_true(tc_l1_bytes(&r->l1) <= tc_l1_limit(&r->l1));
        end(&c);
    }
}

/* The tables of large stripes are copied by the stores that come, some buckets each, but for the few in which a key has
 * no lane before that is done. What the former one took goes back. */
static void a_large_table_grows_a_little_with_each_store(void **state)
{
    enum { KEYS = 250000, STEP = 16, LEN = 16 };
    uint32_t began = 0, at_once = 0;
    struct tt_l1 *r = tt_l1_new((uint64_t)64 * LIMIT, 1, NULL);
    assert_non_null(r);
    const struct tc_index *x = &r->l1.stripes[0].index;
    (void)state;
    tt_l1_have_company(r);
    for (uint64_t i = 0; i < KEYS; i++) {
        uint32_t n = x->n, copied = x->copied, next = x->next.n;
        assert_int_equal(tt_l1_put(r, tt_l1_key(r, i), LEN), CACHE_OK);
        began += next == 0 && n > TC_INDEX_CLOSE_BUCKETS && (x->next.n > 0 || x->n > n);
        at_once += n > TC_INDEX_CLOSE_BUCKETS && x->n > n && n - copied > STEP;
        if (x->n == n && next > 0)
            assert_int_equal(x->copied, copied + STEP);
        if (x->n > n) {
            assert_in_range(tc_stripe_idle(&r->l1.stripes[0]), 0, 4096);
            assert_true(tc_l1_check(&r->l1));
        }
    }
    assert_in_range(began, 40, 100);
    assert_in_range(at_once, 0, began / 40);
    assert_int_equal(tt_l1_type_entries(r, 0), KEYS);
    assert_true(tc_l1_check(&r->l1));
    assert_true(tt_l1_free(r));
}

static uint64_t evicted(struct tt_l1 *r)
{
    return tt_l1_count(r, TC_COUNT_l1_evicted_bytes) + tt_l1_count(r, TC_COUNT_l1_evicted_probe);
}

/* Stores until a table grows. Returns its stripe, with a next table. */
static struct tc_stripe *grow(struct tt_l1 *r, uint64_t *n)
{
    for (;;) {
        struct tt_l1_key k = tt_l1_key(r, (*n)++);
        struct tc_stripe *s = &r->l1.stripes[tt_l1_stripe_of(r, k.hash)];
        assert_int_equal(tt_l1_put(r, k, 16), CACHE_OK);
        if (s->index.next.n > 0)
            return s;
    }
}

/* By the short way, over its value before. */
static bool set_over(struct tt_l1 *r, const struct tt_item *i)
{
    unsigned char value[TT_ITEM_LEN_MOST];
    struct tc_entry_parts p = tt_item_parts_of(r, i, value);
    bool replaced = false, done = tc_l1_set(&r->l1, &p, NULL, &replaced);
    assert_true(replaced);
    return done;
}

/* There are two tables until then: no new key need come. By the general way, and by the short one with the lock. */
static void stores_over_what_is_there_end_a_growth(void **state)
{
    enum { STEP = 16, LEN = 2000 };
    const struct tt_item item = { .key_len = TT_ITEM_KEY_MOST, .len = 16, .life_ms = 1000 };
    struct tt_l1 *r = tt_l1_new((uint64_t)64 * LIMIT, 1, NULL);
    uint64_t keys = 0, n = 0;
    (void)state;
    assert_non_null(r);
    tc_l1_know(&r->l1, r->types[0]);
    assert_int_equal(tt_item_put(r, &item, 0), CACHE_OK);
    assert_true(set_over(r, &item));
    struct tc_stripe *s = grow(r, &keys);
    uint32_t before = s->index.n;
    assert_true(before > STEP * 8);
    for (; s->index.next.n > 0; n++) {
        uint32_t copied = s->index.copied;
        if (n % 2 != 0)
            assert_int_equal(tt_l1_put(r, tt_l1_key(r, n), n % 4 != 1 ? LEN : LEN / 2), CACHE_OK);
        else
            assert_true(set_over(r, &item));
        assert_true(s->index.n > before || s->index.copied == copied + STEP);
    }
    assert_in_range(n, 2, before / STEP);
    assert_true(s->index.n > before);
    assert_in_range(tc_stripe_idle(s), 0, 4096);
    tt_item_assert_found(r, &item, true);
    assert_int_equal(tt_l1_type_entries(r, 0), keys + 1);
    assert_true(tc_l1_check(&r->l1));
    assert_true(tt_l1_free(r));
}

static void clearing_ends_a_growth(void **state)
{
    struct tt_l1 *r = tt_l1_new((uint64_t)16 * LIMIT, 2, NULL);
    uint64_t n = 0;
    (void)state;
    assert_non_null(r);
    struct tc_stripe *s = grow(r, &n);
    tc_l1_clear(&r->l1);
    assert_int_equal(s->index.next.n, 0);
    assert_true(tc_l1_check(&r->l1));
    grow(r, &n);
    assert_true(tc_l1_check(&r->l1));
    assert_true(tt_l1_free(r));
}

/* Its memory is had before anybody leaves. */
static void a_lower_limit_ends_a_growth_and_drives_nobody_out_for_it(void **state)
{
    struct tt_l1 *r = tt_l1_new((uint64_t)16 * LIMIT, 1, NULL);
    uint64_t n = 0;
    (void)state;
    assert_non_null(r);
    struct tc_stripe *s = grow(r, &n);
    while (s->index.n < 1000)
        s = grow(r, &n);
    while (s->index.next.n == 0)
        s = grow(r, &n);
    uint64_t limit = tc_l1_bytes(&r->l1) - 8192; /* one table has more */
    assert_int_equal(tc_l1_resize(&r->l1, limit, tc_mono_ms() + 1000), CACHE_OK);
    assert_int_equal(s->index.next.n, 0);
    assert_int_equal(evicted(r), 0);
    assert_int_equal(tt_l1_type_entries(r, 0), n);
    assert_true(tc_l1_check(&r->l1));
    assert_true(tt_l1_free(r));
}

/* However the tables grow when little is left: a hundredth of the memory lies idle at most. */
static void nobody_leaves_before_the_cache_is_full(void **state)
{
    enum { STEPS = 6, MANY = 8 };
    (void)state;
    for (uint64_t i = 0; i < STEPS; i++) {
        uint64_t limit = (uint64_t)MANY * LIMIT + (uint64_t)MANY * LIMIT / 8 * i / STEPS, n = 0;
        struct tt_l1 *r = tt_l1_new(limit, i % 2 != 0 ? MANY : 1, NULL);
        assert_non_null(r);
        tt_l1_have_company(r);
        while (evicted(r) == 0)
            assert_int_equal(tt_l1_put(r, tt_l1_key(r, n++), 16), CACHE_OK);
        assert_in_range(tc_l1_bytes(&r->l1), limit - limit / 100, limit);
        assert_true(tc_l1_check(&r->l1));
        assert_true(tt_l1_free(r));
    }
}

/* A larger table would cost some hundreds, for keys that find no lane in reach, more than there are in it. */
static void in_a_full_cache_no_store_drives_more_than_a_few_out(void **state)
{
    enum { LEN = 16, CROWD = 4 * TC_INDEX_PROBES };
    struct tt_l1 *r = tt_l1_new(8 * LIMIT, 1, NULL);
    uint64_t n = 0, before = 0;
    (void)state;
    assert_non_null(r);
    tt_l1_have_company(r);
    while (evicted(r) == 0)
        assert_int_equal(tt_l1_put(r, tt_l1_key(r, n++), LEN), CACHE_OK);
    for (uint64_t crowd = 0; crowd < CROWD; crowd++) {
        struct tt_l1_key k = { tt_l1_key(r, n).hash & ~(uint64_t)UINT32_MAX, n };
        before = evicted(r);
        assert_int_equal(tt_l1_put(r, k, LEN), CACHE_OK);
        assert_in_range(evicted(r) - before, 0, 4);
        assert_true(tt_l1_has(r, k));
        n++;
    }
    assert_true(tt_l1_count(r, TC_COUNT_l1_evicted_probe) >= CROWD / 2);
    assert_true(tc_l1_check(&r->l1));
    assert_true(tt_l1_free(r));
}

static struct tt_l1_key in_crowd(uint64_t n)
{
    return (struct tt_l1_key){ n << 32, n };
}

/* All want the same lanes, each comes a millisecond after the one before, and two are used all the time: these stay, and
 * of the others those who came last. */
static void who_is_used_keeps_its_lane(void **state)
{
    enum { LEN = 16, USED = 3 * TC_INDEX_PROBES, MORE = 3 * TC_INDEX_PROBES };
    struct tt_l1 *r = tt_l1_new(8 * LIMIT, 1, NULL);
    uint64_t n = 0;
    (void)state;
    assert_non_null(r);
    tt_l1_have_company(r);
    for (; evicted(r) == 0; n++)
        assert_int_equal(tt_l1_put(r, tt_l1_key(r, n), LEN), CACHE_OK);
    for (uint64_t i = 0; i < USED + MORE; i++, tt_clock_advance(&r->time, 1)) {
        assert_int_equal(tt_l1_put(r, in_crowd(n + i), LEN), CACHE_OK);
        for (uint64_t used = USED; used <= i && used < USED + 2; used++)
            assert_true(tt_l1_has(r, in_crowd(n + used)));
    }
    for (uint64_t i = USED + MORE - TC_INDEX_PROBES / 2; i < USED + MORE; i++)
        assert_true(tt_l1_has(r, in_crowd(n + i)));
    assert_true(tt_l1_count(r, TC_COUNT_l1_evicted_probe) >= MORE);
    assert_true(tc_l1_check(&r->l1));
    assert_true(tt_l1_free(r));
}

/* With as many stripes as there can be. A tag that shared bits with the stripe's number would tell fewer apart. */
static void the_keys_of_a_stripe_have_all_tags_and_homes_and_gates(void **state)
{
    (void)state;
    enum { STRIPE = 613, KEYS = 20000, HOMES = 256 };
    const struct tc_l1 l1 = { .stripe_mask = TC_L1_STRIPES_MOST - 1 };
    static bool tags[UINT8_MAX + 1], homes[HOMES], gates[TC_GATES];
    uint64_t seed = tt_seed();
    size_t n_tags = 0, n_homes = 0, n_gates = 0;
    for (int n = 0; n < KEYS;) {
        uint64_t hash = tt_random(&seed);
        if (tc_l1_stripe_number(&l1, hash) != STRIPE)
            continue;
        n++;
        tags[tc_index_tag(hash)] = homes[tc_index_home(hash, HOMES)] = gates[tc_gate_number(hash)] = true;
    }
    for (size_t i = 0; i <= UINT8_MAX; i++)
        n_tags += tags[i];
    for (size_t i = 0; i < HOMES; i++)
        n_homes += homes[i];
    for (size_t i = 0; i < TC_GATES; i++)
        n_gates += gates[i];
    assert_int_equal(n_tags, UINT8_MAX); /* none is 0 */
    assert_int_equal(n_homes, HOMES);
    assert_int_equal(n_gates, TC_GATES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_that_some_keys_do_not_go_into_is_left_out_and_nobody_leaves_for_it),
        cmocka_unit_test(a_table_that_has_no_lane_for_the_new_key_grows_again_and_nobody_leaves_for_it),
        cmocka_unit_test(what_is_granted_is_enough_for_both_the_table_and_the_entry),
        cmocka_unit_test(a_large_table_grows_a_little_with_each_store),
        cmocka_unit_test(stores_over_what_is_there_end_a_growth),
        cmocka_unit_test(clearing_ends_a_growth),
        cmocka_unit_test(a_lower_limit_ends_a_growth_and_drives_nobody_out_for_it),
        cmocka_unit_test(nobody_leaves_before_the_cache_is_full),
        cmocka_unit_test(in_a_full_cache_no_store_drives_more_than_a_few_out),
        cmocka_unit_test(who_is_used_keeps_its_lane),
        cmocka_unit_test(the_keys_of_a_stripe_have_all_tags_and_homes_and_gates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
