/* Tickets, given out and implicit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "platform/platform.h"
#include "policy/ticket.h"
#include "tt_util.h"

/* Each test has a cache of its own, so that none recalls another's misses. */
static uint64_t cache_id = 1000;

static int setup(void **state)
{
    (void)state;
    cache_id++;
    return 0;
}

static bool recall(uint64_t hash, int64_t now_ms, uint64_t *generation)
{
    return tc_ticket_recall(cache_id, hash, now_ms, generation);
}

/* ---- explicit ---- */

static void a_ticket_is_read_back_with_its_generation(void **state)
{
    (void)state;
    const uint64_t generations[] = { 0, 1, UINT64_MAX };
    for (size_t i = 0; i < TC_ARRAY_LEN(generations); i++) {
        struct cache_ticket t, copy;
        uint64_t generation = 99;
        tc_ticket_write(&t, 7, 8, generations[i], 1234);
        memcpy(&copy, &t, sizeof copy); /* plain data */
        memset(&t, 0xFF, sizeof t);
        assert_true(tc_ticket_read(&copy, 7, 8, &generation));
        assert_int_equal(generation, generations[i]);
    }
}

static void a_ticket_is_of_one_cache_and_one_key(void **state)
{
    (void)state;
    struct cache_ticket t;
    uint64_t generation;
    tc_ticket_write(&t, 7, 8, 9, 1234);
    assert_false(tc_ticket_read(&t, 8, 8, &generation));
    assert_false(tc_ticket_read(&t, 7, 7, &generation));
    assert_false(tc_ticket_read(&t, 8, 7, &generation));
}

static void what_was_never_a_ticket_is_none(void **state)
{
    (void)state;
    struct cache_ticket t;
    uint64_t generation;
    memset(&t, 0, sizeof t);
    assert_false(tc_ticket_read(&t, 0, 0, &generation));
    memset(&t, 0xFF, sizeof t);
    assert_false(tc_ticket_read(&t, UINT64_MAX, UINT64_MAX, &generation));
    tc_ticket_write(&t, 7, 8, 9, 1234);
    tc_ticket_clear(&t);
    assert_false(tc_ticket_read(&t, 7, 8, &generation));
    assert_false(tc_ticket_read(&t, 0, 0, &generation));
}

/* ---- implicit ---- */

static void the_last_miss_of_a_key_is_recalled_once(void **state)
{
    (void)state;
    uint64_t generation = 0;
    tc_ticket_remember(cache_id, 5, 42, 1000);
    assert_true(recall(5, 1000, &generation));
    assert_int_equal(generation, 42);
    assert_false(recall(5, 1000, &generation));
}

static void a_newer_miss_of_a_key_replaces_the_older(void **state)
{
    (void)state;
    uint64_t generation = 0;
    tc_ticket_remember(cache_id, 5, 42, 1000);
    tc_ticket_remember(cache_id, 5, 43, 1001);
    assert_true(recall(5, 1001, &generation));
    assert_int_equal(generation, 43);
    assert_false(recall(5, 1001, &generation)); /* the older one is not left behind */
}

static void misses_of_other_caches_and_keys_are_not_recalled(void **state)
{
    (void)state;
    uint64_t generation;
    tc_ticket_remember(cache_id, 5, 42, 1000);
    assert_false(tc_ticket_recall(cache_id + 500000, 5, 1000, &generation));
    assert_false(recall(6, 1000, &generation));
    assert_true(recall(5, 1000, &generation));
}

static void the_last_64_misses_are_remembered_and_no_more(void **state)
{
    (void)state;
    uint64_t generation;
    for (uint64_t i = 0; i <= TC_TICKET_RING; i++)
        tc_ticket_remember(cache_id, 100 + i, i, 1000);
    assert_false(recall(100, 1000, &generation));
    for (uint64_t i = 1; i <= TC_TICKET_RING; i++) {
        assert_true(recall(100 + i, 1000, &generation));
        assert_int_equal(generation, i);
    }
}

static void a_key_missed_again_counts_from_its_last_miss(void **state)
{
    (void)state;
    uint64_t generation;
    for (uint64_t i = 0; i < TC_TICKET_RING; i++)
        tc_ticket_remember(cache_id, 100 + i, i, 1000);
    tc_ticket_remember(cache_id, 100, 77, 1000);
    for (uint64_t i = 1; i < TC_TICKET_RING; i++)
        tc_ticket_remember(cache_id, 200 + i, i, 1000);
    assert_true(recall(100, 1000, &generation));
    assert_int_equal(generation, 77);
}

static void any_order_of_misses_leaves_the_keys_of_the_last_64(void **state)
{
    (void)state;
    enum { KEYS = 200, MISSES = 5000 };
    uint64_t seed = tt_seed();
    uint64_t missed_at[KEYS] = { 0 };
    for (uint64_t now = 1; now <= MISSES; now++) {
        uint64_t key = tt_random(&seed) % (now % 2 ? 40 : KEYS);
        tc_ticket_remember(cache_id, key, now, 1000);
        missed_at[key] = now;
    }
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t generation = 0;
        bool found = recall(key, 1000, &generation);
        assert_true(found || missed_at[key] + TC_TICKET_RING <= MISSES);
        assert_true(!found || generation == missed_at[key]);
    }
}

static void a_miss_is_forgotten_after_a_minute(void **state)
{
    (void)state;
    uint64_t generation;
    tc_ticket_remember(cache_id, 5, 42, 1000);
    assert_true(recall(5, 1000 + TC_TICKET_IMPLICIT_MS - 1, &generation));
    tc_ticket_remember(cache_id, 5, 42, 1000);
    assert_false(recall(5, 1000 + TC_TICKET_IMPLICIT_MS, &generation)); /* younger than a minute, says the contract */
    tc_ticket_remember(cache_id, 5, 42, 1000);
    assert_false(recall(5, 1000 + TC_TICKET_IMPLICIT_MS + 1, &generation));
    tc_ticket_remember(cache_id, 5, 42, 0);
    assert_false(recall(5, INT64_MAX, &generation));
}

static int recall_in_another_thread(void *arg, unsigned index)
{
    uint64_t generation;
    (void)arg;
    (void)index;
    int failures = 0;
    TT_CHECK(failures, !tc_ticket_recall(cache_id, 5, 1000, &generation));
    tc_ticket_remember(cache_id, 5, 43, 1000);
    return failures;
}

static void a_miss_belongs_to_its_thread(void **state)
{
    (void)state;
    uint64_t generation;
    tc_ticket_remember(cache_id, 5, 42, 1000);
    assert_int_equal(tt_crew_join(tt_crew_start(2, recall_in_another_thread, NULL)), 0);
    assert_true(recall(5, 1000, &generation));
    assert_int_equal(generation, 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ticket_is_read_back_with_its_generation),
        cmocka_unit_test(a_ticket_is_of_one_cache_and_one_key),
        cmocka_unit_test(what_was_never_a_ticket_is_none),
        cmocka_unit_test_setup(the_last_miss_of_a_key_is_recalled_once, setup),
        cmocka_unit_test_setup(a_newer_miss_of_a_key_replaces_the_older, setup),
        cmocka_unit_test_setup(misses_of_other_caches_and_keys_are_not_recalled, setup),
        cmocka_unit_test_setup(the_last_64_misses_are_remembered_and_no_more, setup),
        cmocka_unit_test_setup(a_key_missed_again_counts_from_its_last_miss, setup),
        cmocka_unit_test_setup(any_order_of_misses_leaves_the_keys_of_the_last_64, setup),
        cmocka_unit_test_setup(a_miss_is_forgotten_after_a_minute, setup),
        cmocka_unit_test_setup(a_miss_belongs_to_its_thread, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
