/* The memory of L1: the account is exact, the limit holds at every moment, and what there is can be had by whoever
 * needs it. Only through tier/l1/l1.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_hasher.h"
#include "unit/tt_l1.h"

enum { LIMIT = 1 << 20, STRIPES = 4 };

static int setup(void **state)
{
    *state = tt_l1_new(LIMIT, STRIPES, NULL);
    return *state != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    return tt_l1_free(*state) ? 0 : -1;
}

static void assert_accounts(struct tt_l1 *r)
{
    assert_true(tc_l1_check(&r->l1));
    assert_true(tc_l1_bytes(&r->l1) <= r->l1.limit);
    /* Memory of L1 that callers hold is not in L1's account; nothing else may be missing from it. The account counts
     * what the heap rounds up, so it is never below what was asked for. */
    assert_true(tt_alloc_counts(&r->counting).live_bytes <= tc_l1_bytes(&r->l1) + tt_l1_detached_bytes(r) + 4096);
}

static void fill_up(struct tt_l1 *r, size_t len)
{
    for (uint64_t i = 0; tt_l1_count(r, TC_COUNT_l1_evicted_bytes) < 2000; i++)
        tt_l1_put(r, tt_l1_key(r, (1 << 20) + i), len);
}

/* ---- opening ---- */

static void a_limit_too_small_for_its_stripes_is_refused(void **state)
{
    (void)state;
    assert_null(tt_l1_new(1, 0, NULL));
    assert_null(tt_l1_new(1000, 1, NULL));
    assert_null(tt_l1_new(64 << 10, 64, NULL));
    assert_null(tt_l1_new(0, 1, NULL));
}

static void the_smallest_cache_works_with_any_number_of_stripes_it_allows(void **state)
{
    (void)state;
    for (size_t stripes = 0; stripes <= 4; stripes = stripes > 0 ? 2 * stripes : 1) {
        struct tt_l1 *r = tt_l1_new(64 << 10, stripes, NULL);
        assert_non_null(r);
        for (uint64_t i = 0; i < 2000; i++) {
            assert_int_equal(tt_l1_put(r, tt_l1_key(r, i), i % 200), CACHE_OK);
            assert_true(tt_l1_has(r, tt_l1_key(r, i)));
            assert_accounts(r);
        }
        assert_true(tt_l1_free(r));
    }
}

static void every_allocation_of_opening_may_fail(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        struct tt_alloc counting;
        struct tc_l1 *l1 = tc_alloc_lines(&tc_alloc_default, sizeof *l1);
        tt_alloc_init(&counting);
        struct tc_alloc alloc = tt_alloc_table(&counting);
        tt_alloc_fail(&counting, nth, nth % 2 == 0);
        int rc = tc_l1_init(l1, LIMIT, STRIPES, NULL, 0, tt_hasher(), &alloc, &tc_clock_system);
        if (rc == CACHE_OK)
            rc = tc_l1_open_gates(l1);
        tc_l1_fini(l1);
        tc_l1_fini(l1);
        bool clean = tt_alloc_is_clean(&counting);
        tt_alloc_fini(&counting);
        tc_free_lines(&tc_alloc_default, l1, sizeof *l1);
        assert_true(clean);
        if (rc == CACHE_OK) {
            assert_true(nth > STRIPES);
            break;
        }
        assert_int_equal(rc, CACHE_E_NOMEM);
    }
}

static void fixed_structures_count_from_the_start(void **state)
{
    struct tt_l1 *r = *state;
    assert_true(tc_l1_bytes(&r->l1) > 0);
    assert_accounts(r);
}

/* ---- the account ---- */

/* FAULTS 51 */
static void replacing_growing_and_shrinking_keep_the_account_exact(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    const size_t lens[] = { 10, 0, 5000, 5001, 1, 100000, 3, 0, 65536, 65535 };
    tt_l1_put(r, k, 0);
    uint64_t least = tc_l1_bytes(&r->l1);
    for (size_t i = 0; i < TC_ARRAY_LEN(lens); i++) {
        assert_int_equal(tt_l1_put(r, k, lens[i]), CACHE_OK);
        assert_in_range(tc_l1_bytes(&r->l1) - least, lens[i] > 40 ? lens[i] - 40 : 0, lens[i] + 40);
        assert_accounts(r);
    }
    tt_l1_put(r, k, 0);
    assert_int_equal(tc_l1_bytes(&r->l1), least);
}

static void the_types_accounts_are_those_of_their_entries(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t bytes[TT_L1_TYPES] = { 0 }, entries[TT_L1_TYPES] = { 0 };
    for (uint64_t i = 0; i < 400; i++) {
        struct tt_l1_put p = { .type = i % TT_L1_TYPES, .len = i % 91 };
        struct tc_entry *e = tt_l1_entry(r, tt_l1_key(r, i), &p);
        bytes[p.type] += tc_l1_entry_bytes(&r->l1, e);
        entries[p.type]++;
        assert_int_equal(tc_l1_put(&r->l1, e, &r->policies[p.type], NULL, false), CACHE_OK);
        tc_l1_drop(&r->l1, e);
    }
    for (size_t t = 0; t < TT_L1_TYPES; t++) {
        assert_int_equal(tt_l1_type_entries(r, t), entries[t]);
        assert_int_equal(tt_l1_type_bytes(r, t), bytes[t]);
    }
    for (uint64_t i = 0; i < 400; i += TT_L1_TYPES)
        tt_l1_invalidate(r, tt_l1_key(r, i));
    assert_int_equal(tt_l1_type_entries(r, 0), 0);
    assert_int_equal(tt_l1_type_bytes(r, 0), 0);
    assert_int_equal(tt_l1_type_entries(r, 1), entries[1]);
}

static size_t random_len(uint64_t *seed)
{
    return tt_random(seed) % (UINT64_C(1) << tt_random(seed) % 17);
}

/* FAULTS 51 */
static void any_mixture_of_calls_keeps_the_account_and_the_limit(void **state)
{
    struct tt_l1 *r = *state;
    enum { KEYS = 3000, STEPS = 60000, PINS = 20 };
    uint64_t seed = tt_seed();
    struct tc_entry *pinned[PINS] = { NULL };
    for (int step = 0; step < STEPS; step++) {
        struct tt_l1_key k = tt_l1_key(r, tt_random(&seed) % KEYS);
        uint64_t what = tt_random(&seed) % 1000;
        if (what < 500) {
            struct tt_l1_put p = { .type = tt_random(&seed) % TT_L1_TYPES, .len = random_len(&seed),
                                   .ttl_ms = (int64_t)(tt_random(&seed) % 5000), .stale_ms = 100 };
            int rc = tt_l1_put_with(r, k, &p);
            assert_int_equal(rc, CACHE_OK);
        } else if (what < 900) {
            tt_l1_has(r, k);
        } else if (what < 950) {
            size_t i = tt_random(&seed) % PINS;
            if (pinned[i] != NULL)
                tc_l1_release(&r->l1, pinned[i]);
            pinned[i] = tt_l1_get(r, k).entry;
        } else if (what < 998) {
            tt_l1_invalidate(r, k);
        } else if (what < 999) {
            tc_l1_clear(&r->l1);
        } else {
            tt_clock_advance(&r->time, (int64_t)(tt_random(&seed) % 2000));
        }
        assert_true(tc_l1_bytes(&r->l1) <= LIMIT);
        if (step % 1000 == 0)
            assert_accounts(r);
    }
    for (size_t i = 0; i < PINS; i++)
        if (pinned[i] != NULL)
            tc_l1_release(&r->l1, pinned[i]);
    assert_accounts(r);
}

/* ---- the limit ---- */

/* FAULTS 51 */
static void the_limit_is_nearly_used_and_never_exceeded(void **state)
{
    (void)state;
    const size_t lens[] = { 0, 10, 100, 1000, 10000 };
    for (size_t i = 0; i < TC_ARRAY_LEN(lens); i++) {
        struct tt_l1 *r = tt_l1_new(LIMIT, STRIPES, NULL);
        uint64_t most = 0;
        for (uint64_t n = 0; n < 12000; n++) {
            assert_int_equal(tt_l1_put(r, tt_l1_key(r, n), lens[i]), CACHE_OK);
            uint64_t bytes = tc_l1_bytes(&r->l1);
            assert_true(bytes <= LIMIT);
            most = bytes > most ? bytes : most;
        }
        assert_true(most > LIMIT / 10 * 9);
        assert_accounts(r);
        assert_true(tt_l1_free(r));
    }
}

/* FAULTS 51 */
static void the_heap_itself_stays_within_the_limit(void **state)
{
    struct tt_l1 *r = *state;
    fill_up(r, 200);
    /* What was ever live at once: the limit, the entry being stored, and what it drove out until it was freed. */
    assert_true(tt_alloc_counts(&r->counting).peak_bytes <= LIMIT + 2 * 4096);
}

static void entries_of_one_stripe_may_use_all_memory(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t n = 0;
    for (; tt_l1_count(r, TC_COUNT_l1_evicted_bytes) == 0; n++)
        assert_int_equal(tt_l1_put(r, tt_l1_key_in(r, n, 2), 1000), CACHE_OK);
    assert_true(tc_l1_bytes(&r->l1) > LIMIT / 10 * 9);
    assert_true(n > 800);
}

/* One stripe holds everything; then the others come and must get their share of it back. */
static void stripes_that_come_late_get_their_share_of_memory(void **state)
{
    struct tt_l1 *r = *state;
    enum { LEN = 500, EACH = LIMIT / STRIPES / 2 / LEN };
    for (uint64_t n = 0; n < 2500; n++)
        tt_l1_put(r, tt_l1_key_in(r, n, 0), LEN);
    for (uint64_t n = 0; n < 2500; n++)
        for (size_t stripe = 1; stripe < STRIPES; stripe++) {
            assert_int_equal(tt_l1_put(r, tt_l1_key_in(r, 10000 + n, stripe), LEN), CACHE_OK);
            assert_true(tc_l1_bytes(&r->l1) <= LIMIT);
        }
    for (size_t stripe = 1; stripe < STRIPES; stripe++) {
        size_t there = 0;
        for (uint64_t n = 0; n < 2500; n++)
            there += tt_l1_has(r, tt_l1_key_in(r, 10000 + n, stripe));
        assert_true(there >= EACH);
    }
    assert_accounts(r);
}

static void memory_that_clearing_freed_can_be_had_again(void **state)
{
    struct tt_l1 *r = *state;
    fill_up(r, 300);
    tc_l1_clear(&r->l1);
    uint64_t evicted = tt_l1_count(r, TC_COUNT_l1_evicted_bytes), n = 0;
    for (; tt_l1_count(r, TC_COUNT_l1_evicted_bytes) == evicted; n++)
        tt_l1_put(r, tt_l1_key(r, n), 1000);
    assert_true(n > LIMIT / 1300 / 2);
    assert_accounts(r);
}

/* ---- large values ---- */

static void a_value_larger_than_a_stripes_share_is_stored(void **state)
{
    struct tt_l1 *r = *state;
    for (int round = 0; round < 3; round++) {
        struct tt_l1_key k = tt_l1_key(r, (uint64_t)round);
        if (round > 0)
            fill_up(r, 200);
        assert_int_equal(tt_l1_put(r, k, LIMIT / 2), CACHE_OK);
        assert_true(tt_l1_has(r, k));
        assert_accounts(r);
    }
    assert_int_equal(tt_l1_put(r, tt_l1_key(r, 9), LIMIT / 10 * 9), CACHE_OK);
    assert_true(tt_l1_has(r, tt_l1_key(r, 9)));
    assert_accounts(r);
}

static void large_values_in_every_stripe_drive_each_other_out(void **state)
{
    struct tt_l1 *r = *state;
    for (uint64_t n = 0; n < 100; n++) {
        struct tt_l1_key k = tt_l1_key_in(r, n, n % STRIPES);
        assert_int_equal(tt_l1_put(r, k, LIMIT / 3), CACHE_OK);
        assert_true(tt_l1_has(r, k));
        assert_true(tc_l1_bytes(&r->l1) <= LIMIT);
    }
    assert_accounts(r);
}

static void a_value_larger_than_l1_is_refused_and_its_predecessor_gone(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1), other = tt_l1_key(r, 2);
    tt_l1_put(r, k, 10);
    tt_l1_put(r, other, 10);
    uint64_t generation = tc_l1_generation(&r->l1, k.hash);
    assert_int_equal(tt_l1_put(r, k, LIMIT), CACHE_E_TOO_LARGE);
    assert_false(tt_l1_has(r, k));
    assert_true(tt_l1_has(r, other)); /* nobody made room for what cannot be */
    assert_int_not_equal(tc_l1_generation(&r->l1, k.hash), generation);
    assert_int_equal(tt_l1_count(r, TC_COUNT_l1_too_large), 1);
    assert_accounts(r);
}

static void a_value_above_its_types_bound_is_refused_and_its_predecessor_gone(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    r->policies[0].l1_max_value_bytes = 100;
    assert_int_equal(tt_l1_put(r, k, 100), CACHE_OK);
    assert_int_equal(tt_l1_put(r, k, 101), CACHE_E_TOO_LARGE);
    assert_false(tt_l1_has(r, k));
    assert_int_equal(tt_l1_count(r, TC_COUNT_l1_too_large), 1);
    assert_int_equal(tt_l1_put_with(r, k, &(struct tt_l1_put){ .type = 1, .len = 101 }), CACHE_OK);
}

static void every_size_up_to_the_limit_is_stored_or_refused_cleanly(void **state)
{
    struct tt_l1 *r = *state;
    for (size_t len = LIMIT - 60000; len <= LIMIT; len += 1009) {
        struct tt_l1_key k = tt_l1_key(r, len);
        int rc = tt_l1_put(r, k, len);
        assert_true(rc == CACHE_OK || rc == CACHE_E_TOO_LARGE);
        assert_int_equal(tt_l1_has(r, k), rc == CACHE_OK);
        assert_accounts(r);
    }
}

/* ---- eviction ---- */

static void who_was_not_used_for_longest_leaves_first(void **state)
{
    (void)state;
    struct tt_l1 *r = tt_l1_new(LIMIT, 1, NULL);
    enum { LEN = 1000, TOGETHER = 16 }; /* so many are evicted at most before one that comes has room */
    uint64_t n = 0, first = 0;
    for (; tt_l1_count(r, TC_COUNT_l1_evicted_bytes) == 0; n++)
        tt_l1_put(r, tt_l1_key(r, n), LEN);
    while (!tt_l1_has(r, tt_l1_key(r, first)))
        first++;
    assert_in_range(first, 1, TOGETHER);
    for (uint64_t i = first; i < n / 2; i++)
        assert_true(tt_l1_has(r, tt_l1_key(r, i))); /* the older half is used again */
    for (uint64_t i = 0; i < n / 3; i++)
        tt_l1_put(r, tt_l1_key(r, 100000 + i), LEN);
    for (uint64_t i = first; i < n / 2; i++)
        assert_true(tt_l1_has(r, tt_l1_key(r, i)));
    size_t left = 0;
    for (uint64_t i = n / 2; i < n; i++)
        left += tt_l1_has(r, tt_l1_key(r, i));
    assert_true(left < n / 2 - n / 3 + first + 4); /* as many find room at once as had left */
    assert_accounts(r);
    assert_true(tt_l1_free(r));
}

static void a_hot_key_survives_a_scan_of_everything(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key hot = tt_l1_key(r, 0);
    tt_l1_put(r, hot, 100);
    for (uint64_t n = 1; n < 20000; n++) {
        tt_l1_put(r, tt_l1_key(r, n), 100);
        if (n % 50 == 0)
            assert_true(tt_l1_has(r, hot));
    }
    assert_accounts(r);
}

/* ---- pins ---- */

static void ten_thousand_pins_cost_their_own_memory_and_no_more(void **state)
{
    struct tt_l1 *r = *state;
    enum { PINS = 10000, LEN = 100 };
    struct tc_entry **pinned = tt_xcalloc(PINS * sizeof *pinned);
    uint64_t pinned_bytes = 0;
    for (uint64_t n = 0; n < PINS; n++) {
        struct tt_l1_key k = tt_l1_key(r, n);
        assert_int_equal(tt_l1_put(r, k, LEN), CACHE_OK);
        pinned[n] = tt_l1_get(r, k).entry;
        assert_non_null(pinned[n]);
        pinned_bytes += tc_l1_entry_bytes(&r->l1, pinned[n]);
    }
    for (uint64_t n = 0; n < PINS; n++) { /* and churn on top of them */
        assert_int_equal(tt_l1_put(r, tt_l1_key(r, PINS + n), LEN), CACHE_OK);
        assert_true(tc_l1_bytes(&r->l1) <= LIMIT);
    }
    assert_true(pinned_bytes > LIMIT);
    assert_int_equal(tc_l1_pin_count(&r->l1), PINS);
    assert_true(tt_l1_detached_bytes(r) <= pinned_bytes);
    assert_true(tt_alloc_counts(&r->counting).live_bytes <= LIMIT + pinned_bytes);
    assert_accounts(r);
    for (uint64_t n = 0; n < PINS; n++) {
        assert_true(tt_l1_is_value(tc_entry_data(pinned[n]), tc_entry_len(pinned[n]), n, NULL));
        tc_l1_release(&r->l1, pinned[n]);
    }
    free(pinned);
    assert_int_equal(tt_l1_detached_bytes(r), 0);
    assert_accounts(r);
}

/* ---- under a ticket ---- */

static void of_two_answers_under_one_ticket_the_one_asked_for_later_stays(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    uint64_t version = 0, generation = tc_l1_generation(&r->l1, k.hash);
    struct tt_l1_put p = { .len = 50, .version = 1, .ttl_ms = 1000, .expected = &generation };
    struct tc_entry *earlier = tt_l1_entry(r, k, &p);
    tt_clock_advance(&r->time, 10);
    p.version = 2;
    assert_int_equal(tt_l1_put_with(r, k, &p), CACHE_OK);
    tt_clock_advance(&r->time, 985);
    assert_int_equal(tc_l1_put(&r->l1, earlier, &r->policies[0], &generation, false), TC_L1_KEPT);
    struct tc_l1_found f = tt_l1_get(r, k);
    assert_true(f.fresh && tt_l1_is_value(tc_entry_data(f.entry), tc_entry_len(f.entry), k.number, &version));
    assert_int_equal(version, 2);
    tc_l1_release(&r->l1, f.entry);
    assert_int_equal(tt_l1_count(r, TC_COUNT_l1_sets), 1);
    /* Without a ticket, or with nothing fresh there, it is a value like any other. */
    tt_clock_advance(&r->time, 15);
    assert_int_equal(tc_l1_put(&r->l1, earlier, &r->policies[0], &generation, false), CACHE_OK);
    assert_int_equal(tt_l1_put_with(r, k, &p), CACHE_OK);
    tc_l1_drop(&r->l1, earlier);
    assert_accounts(r);
}

/* What a thread does in the moment between two attempts of another to store: from the allocator, where memory that was
 * collected for it is freed. */
static struct {
    struct cache_alloc_ops ops;
    struct tt_l1 *r;
    uint64_t hash;
    unsigned frees;
} between;

static void free_and_void(void *ctx, void *p, size_t n)
{
    between.ops.free(ctx, p, n);
    if (between.frees++ == 0)
        tc_l1_void(&between.r->l1, between.hash);
}

static void a_ticket_that_goes_void_while_room_is_made_leaves_the_keys_entry(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key_in(r, 1, 0);
    assert_int_equal(tt_l1_put(r, k, 10), CACHE_OK);
    for (uint64_t n = 0; tt_l1_count(r, TC_COUNT_l1_evicted_bytes) == 0; n++)
        tt_l1_put(r, tt_l1_key_in(r, 100 + n, 1 + n % 3), 1000);
    uint64_t generation = tc_l1_generation(&r->l1, k.hash);
    struct tt_l1_put p = { .len = 40000, .expected = &generation };
    struct tc_entry *e = tt_l1_entry(r, k, &p);
    between.ops = r->alloc.ops;
    between.r = r;
    between.hash = k.hash;
    between.frees = 0;
    r->alloc.ops.free = free_and_void;
    int rc = tc_l1_put(&r->l1, e, &r->policies[0], &generation, false);
    r->alloc.ops = between.ops;
    tc_l1_drop(&r->l1, e);
    assert_true(between.frees > 0);
    assert_int_equal(rc, CACHE_E_TICKET);
    assert_true(tt_l1_has(r, k));
    assert_int_equal(tt_l1_count(r, TC_COUNT_l1_replaced), 0);
    assert_int_equal(tt_l1_put_with(r, k, &(struct tt_l1_put){ .len = 40000 }), CACHE_OK);
    assert_accounts(r);
}

/* ---- constructed collisions ---- */

/* FAULTS 61 */
static void keys_of_one_hash_are_never_confused(void **state)
{
    struct tt_l1 *r = *state;
    enum { SAME = 1000 };
    size_t there = 0;
    for (uint64_t n = 0; n < SAME; n++) {
        struct tt_l1_key k = { UINT64_C(0xABCDEF0123456789), n };
        assert_int_equal(tt_l1_put(r, k, 8 + n % 50), CACHE_OK);
        assert_true(tt_l1_has(r, k)); /* and nobody else's value: tt_l1_get ends the program */
    }
    for (uint64_t n = 0; n < SAME; n++)
        there += tt_l1_has(r, (struct tt_l1_key){ UINT64_C(0xABCDEF0123456789), n });
    assert_in_range(there, 1, TC_INDEX_PROBES);
    assert_int_equal(tt_l1_count(r, TC_COUNT_l1_evicted_probe), SAME - there);
    for (uint64_t n = 0; n < SAME; n += 2)
        tt_l1_invalidate(r, (struct tt_l1_key){ UINT64_C(0xABCDEF0123456789), n });
    for (uint64_t n = 0; n < SAME; n += 2)
        assert_false(tt_l1_has(r, (struct tt_l1_key){ UINT64_C(0xABCDEF0123456789), n }));
    assert_accounts(r);
}

/* FAULTS 61 */
static void few_hashes_among_many_keys_keep_everything_in_order(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t seed = tt_seed();
    for (int step = 0; step < 30000; step++) {
        uint64_t n = tt_random(&seed) % 2000;
        struct tt_l1_key k = { UINT64_MAX - n % 5, n };
        if (tt_random(&seed) % 4 > 0)
            assert_int_equal(tt_l1_put(r, k, n % 100), CACHE_OK);
        else
            tt_l1_invalidate(r, k);
        tt_l1_has(r, (struct tt_l1_key){ UINT64_MAX - n % 3, tt_random(&seed) % 2000 });
    }
    assert_accounts(r);
    tc_l1_clear(&r->l1);
    assert_int_equal(tt_l1_type_entries(r, 0), 0);
}

/* ---- threads ---- */

enum { CREW = 4, OPS = 15000, THREAD_KEYS = 4000 };

struct storm {
    struct tt_l1 *r;
    atomic_uint running;
};

static int put_much(void *arg, unsigned index)
{
    struct storm *s = arg;
    int failures = 0;
    if (index == CREW) { /* the one who looks */
        while (atomic_load(&s->running) > 0)
            TT_CHECK(failures, tc_l1_bytes(&s->r->l1) <= LIMIT);
        return failures;
    }
    uint64_t seed = index;
    for (int i = 0; i < OPS; i++) {
        struct tt_l1_key k = tt_l1_key(s->r, tt_random(&seed) % THREAD_KEYS);
        struct tt_l1_put p = { .type = index % TT_L1_TYPES, .len = random_len(&seed) / 4, .advance = true };
        TT_CHECK(failures, tt_l1_put_with(s->r, k, &p) == CACHE_OK);
        if (i % 8 == 0)
            tt_l1_invalidate(s->r, tt_l1_key(s->r, tt_random(&seed) % THREAD_KEYS));
    }
    atomic_fetch_sub(&s->running, 1);
    return failures;
}

/* FAULTS 51 */
static void threads_together_never_exceed_the_limit(void **state)
{
    struct tt_l1 *r = *state;
    struct storm s = { r, CREW };
    assert_int_equal(tt_crew_join(tt_crew_start(CREW + 1, put_much, &s)), 0);
    /* Each thread has one entry in its hands and what it drove out. */
    assert_true(tt_alloc_counts(&r->counting).peak_bytes <= LIMIT + CREW * 2 * (17000 + 4096));
    assert_accounts(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_too_small_for_its_stripes_is_refused),
        cmocka_unit_test(the_smallest_cache_works_with_any_number_of_stripes_it_allows),
        cmocka_unit_test(every_allocation_of_opening_may_fail),
        cmocka_unit_test_setup_teardown(fixed_structures_count_from_the_start, setup, teardown),
        cmocka_unit_test_setup_teardown(replacing_growing_and_shrinking_keep_the_account_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(the_types_accounts_are_those_of_their_entries, setup, teardown),
        cmocka_unit_test_setup_teardown(any_mixture_of_calls_keeps_the_account_and_the_limit, setup, teardown),
        cmocka_unit_test(the_limit_is_nearly_used_and_never_exceeded),
        cmocka_unit_test_setup_teardown(the_heap_itself_stays_within_the_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(entries_of_one_stripe_may_use_all_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(stripes_that_come_late_get_their_share_of_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_that_clearing_freed_can_be_had_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_value_larger_than_a_stripes_share_is_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(large_values_in_every_stripe_drive_each_other_out, setup, teardown),
        cmocka_unit_test_setup_teardown(a_value_larger_than_l1_is_refused_and_its_predecessor_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_value_above_its_types_bound_is_refused_and_its_predecessor_gone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(every_size_up_to_the_limit_is_stored_or_refused_cleanly, setup, teardown),
        cmocka_unit_test(who_was_not_used_for_longest_leaves_first),
        cmocka_unit_test_setup_teardown(a_hot_key_survives_a_scan_of_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(ten_thousand_pins_cost_their_own_memory_and_no_more, setup, teardown),
        cmocka_unit_test_setup_teardown(of_two_answers_under_one_ticket_the_one_asked_for_later_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(a_ticket_that_goes_void_while_room_is_made_leaves_the_keys_entry, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(keys_of_one_hash_are_never_confused, setup, teardown),
        cmocka_unit_test_setup_teardown(few_hashes_among_many_keys_keep_everything_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(threads_together_never_exceed_the_limit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
