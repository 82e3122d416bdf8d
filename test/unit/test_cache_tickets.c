/* Tickets through the public functions: get, miss, read the origin, set never stores what an invalidation overtook. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"

enum { RING = 64, MINUTE_MS = 60000 };

static struct tt_cache b;
static struct cache_key k;

static int setup_l1(void **state)
{
    (void)state;
    tt_cache_prepare(&b, false);
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    return 0;
}

static int setup_l2(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return tt_cache_close(&b) ? 0 : -1;
}

static struct cache_ticket miss(const struct cache_key *key)
{
    struct cache_ticket t;
    memset(&t, 0xFF, sizeof t);
    assert_answer(tt_cache_get_with(&b, key, 0, 0, &t), CACHE_MISS, NULL);
    return t;
}

/* ---- implicit ---- */

static void a_set_after_a_miss_is_stored(void **state)
{
    (void)state;
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_int_equal(tt_cache_set(&b, &k, "new"), CACHE_OK);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "new");
}

/* FAULTS 64 */
static void a_set_that_an_invalidation_overtook_is_refused(void **state)
{
    (void)state;
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_E_TICKET);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_int_equal(tt_cache_stats(&b).tickets_refused, 1);
}

static void a_set_that_clearing_overtook_is_refused(void **state)
{
    (void)state;
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_E_TICKET);
}

static void a_cached_absence_too_is_refused(void **state)
{
    (void)state;
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(cache_set_absent(b.c, &k, NULL), CACHE_E_TICKET);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
}

static void a_miss_is_answered_once_and_the_next_set_is_a_write(void **state)
{
    (void)state;
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_E_TICKET);
    assert_int_equal(tt_cache_set(&b, &k, "written"), CACHE_OK);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "written");
}

static void an_explicit_ticket_uses_up_the_implicit_one(void **state)
{
    (void)state;
    struct cache_ticket t = miss(&k);
    assert_int_equal(tt_cache_set_with(&b, &k, "one", 0, &t), CACHE_OK);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(tt_cache_set(&b, &k, "two"), CACHE_OK);
}

static void the_sixty_fifth_miss_forgets_the_first(void **state)
{
    struct cache_key others[RING];
    (void)state;
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    for (size_t i = 0; i < RING; i++) {
        tt_cache_key(&b, &others[i]);
        assert_answer(tt_cache_get(&b, &others[i]), CACHE_MISS, NULL);
    }
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(cache_invalidate(b.c, &others[0], NULL), CACHE_OK);
    assert_int_equal(tt_cache_set(&b, &k, "a write"), CACHE_OK);
    assert_int_equal(tt_cache_set(&b, &others[0], "an answer"), CACHE_E_TICKET);
}

static void a_miss_that_is_repeated_is_the_latest(void **state)
{
    struct cache_key others[RING];
    (void)state;
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    for (size_t i = 0; i < RING; i++) {
        tt_cache_key(&b, &others[i]);
        assert_answer(tt_cache_get(&b, &others[i]), CACHE_MISS, NULL);
        assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    }
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(tt_cache_set(&b, &k, "an answer"), CACHE_E_TICKET);
}

static void a_miss_of_a_minute_ago_is_forgotten(void **state)
{
    (void)state;
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    tt_clock_advance(&b.clock, MINUTE_MS - 1);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(tt_cache_set(&b, &k, "an answer"), CACHE_E_TICKET);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    tt_clock_advance(&b.clock, MINUTE_MS + 1);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(tt_cache_set(&b, &k, "a write"), CACHE_OK);
}

static int set_elsewhere(void *arg, unsigned index)
{
    int failures = 0;
    (void)arg;
    (void)index;
    TT_CHECK(failures, tt_cache_set(&b, &k, "a write") == CACHE_OK);
    return failures;
}

static void a_miss_is_this_threads_own(void **state)
{
    (void)state;
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(tt_crew_join(tt_crew_start(1, set_elsewhere, NULL)), 0);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "a write");
}

static void the_misses_of_a_batch_leave_implicit_tickets(void **state)
{
    struct cache_key other;
    (void)state;
    tt_cache_key(&b, &other);
    struct cache_item items[2] = { { .key = &k }, { .key = &other } };
    assert_int_equal(cache_get_many(b.c, items, 2, NULL), CACHE_OK);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    items[0].data = items[1].data = "x";
    items[0].len = items[1].len = 1;
    assert_int_equal(cache_set_many(b.c, items, 2, NULL), CACHE_OK);
    assert_int_equal(items[0].status, CACHE_E_TICKET);
    assert_int_equal(items[1].status, CACHE_OK);
}

static void a_hit_and_an_absence_leave_no_ticket(void **state)
{
    struct cache_ticket t;
    (void)state;
    assert_int_equal(tt_cache_set(&b, &k, "there"), CACHE_OK);
    memset(&t, 0xFF, sizeof t);
    assert_answer(tt_cache_get_with(&b, &k, 0, 0, &t), CACHE_OK, "there");
    assert_int_equal(tt_cache_set_with(&b, &k, "x", 0, &t), CACHE_E_TICKET);
    assert_int_equal(cache_set_absent(b.c, &k, NULL), CACHE_OK);
    assert_answer(tt_cache_get_with(&b, &k, 0, 0, &t), CACHE_ABSENT, NULL);
    assert_int_equal(tt_cache_set_with(&b, &k, "x", 0, &t), CACHE_E_TICKET);
}

/* ---- explicit ---- */

static void an_explicit_ticket_works_in_any_thread_and_at_any_age(void **state)
{
    struct tt_call call = { .verb = TT_VERB_SET, .b = &b, .k = &k, .text = "answer" };
    (void)state;
    struct cache_ticket t = miss(&k), copy = t;
    tt_clock_advance(&b.clock, 100 * MINUTE_MS);
    call.ticket = &copy;
    tt_call_start(&call);
    tt_call_join(&call);
    assert_int_equal(call.answer.status, CACHE_OK);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "answer");
}

static void an_explicit_ticket_dies_with_the_invalidation(void **state)
{
    (void)state;
    struct cache_ticket t = miss(&k);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(tt_cache_set_with(&b, &k, "old", 0, &t), CACHE_E_TICKET);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
}

static void a_write_voids_the_tickets_of_others(void **state)
{
    struct tt_call call = { .verb = TT_VERB_SET, .b = &b, .k = &k, .text = "written" };
    (void)state;
    struct cache_ticket t = miss(&k);
    tt_call_start(&call); /* another thread has no miss: its set is a write */
    tt_call_join(&call);
    assert_int_equal(call.answer.status, CACHE_OK);
    assert_int_equal(tt_cache_set_with(&b, &k, "old", 0, &t), CACHE_E_TICKET);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "written");
}

/* Both read the same state of the origin. */
static void an_answer_leaves_the_tickets_of_others_alone(void **state)
{
    (void)state;
    struct cache_ticket one = miss(&k), two = miss(&k);
    assert_int_equal(tt_cache_set_with(&b, &k, "same", 0, &one), CACHE_OK);
    assert_int_equal(tt_cache_set_with(&b, &k, "same", 0, &two), CACHE_OK);
}

static void a_ticket_of_another_key_is_refused(void **state)
{
    struct cache_key other;
    (void)state;
    tt_cache_key(&b, &other);
    struct cache_ticket t = miss(&other);
    assert_int_equal(tt_cache_set_with(&b, &k, "x", 0, &t), CACHE_E_TICKET);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
}

static void a_ticket_of_another_cache_is_refused(void **state)
{
    static struct tt_cache other;
    struct cache_key same;
    struct cache_ticket t;
    (void)state;
    tt_cache_prepare(&other, false);
    tt_cache_open(&other);
    tt_cache_key(&other, &same);
    assert_answer(tt_cache_get_with(&other, &same, 0, 0, &t), CACHE_MISS, NULL);
    assert_int_equal(tt_cache_set_with(&b, &k, "x", 0, &t), CACHE_E_TICKET);
    assert_true(tt_cache_close(&other));
}

static void what_is_no_ticket_is_refused(void **state)
{
    struct cache_ticket t;
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        memset(&t, byte, sizeof t);
        assert_int_equal(tt_cache_set_with(&b, &k, "x", 0, &t), CACHE_E_TICKET);
    }
    for (size_t word = 0; word < 4; word++) {
        t = miss(&k);
        t.opaque[word] ^= UINT64_C(1) << 40;
        assert_int_equal(tt_cache_set_with(&b, &k, "x", 0, &t), CACHE_E_TICKET);
    }
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
}

/* ---- types that demand one ---- */

static void where_a_ticket_is_required_a_set_without_one_is_refused(void **state)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    (void)state;
    o.flags = CACHE_TYPE_REQUIRE_TICKET;
    assert_int_equal(cache_type_update(b.type, &o, NULL, 0), CACHE_OK);
    assert_int_equal(tt_cache_set(&b, &k, "x"), CACHE_E_TICKET);
    assert_int_equal(cache_set_absent(b.c, &k, NULL), CACHE_E_TICKET);
    struct cache_item item = { .key = &k, .data = "x", .len = 1 };
    assert_int_equal(cache_set_many(b.c, &item, 1, NULL), CACHE_OK);
    assert_int_equal(item.status, CACHE_E_TICKET);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_int_equal(tt_cache_set(&b, &k, "answer"), CACHE_OK); /* the implicit one */
    assert_int_equal(tt_cache_set(&b, &k, "again"), CACHE_E_TICKET);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "answer");
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    struct cache_ticket t = miss(&k);
    assert_int_equal(tt_cache_set_with(&b, &k, "explicit", 0, &t), CACHE_OK);
    assert_int_equal(tt_cache_stats(&b).tickets_refused, 4);
}

static void a_loader_needs_no_ticket(void **state)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    struct tt_loader l;
    (void)state;
    o.flags = CACHE_TYPE_REQUIRE_TICKET;
    assert_int_equal(cache_type_update(b.type, &o, NULL, 0), CACHE_OK);
    tt_loader_init(&l, "loaded");
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, "loaded");
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "loaded");
    tt_loader_fini(&l);
}

int main(void)
{
#define IN_BOTH(test)                                                                             \
    { #test " (L1)", test, setup_l1, teardown, NULL }, { #test " (L1, L2)", test, setup_l2, teardown, NULL }
    const struct CMUnitTest tests[] = {
        IN_BOTH(a_set_after_a_miss_is_stored),
        IN_BOTH(a_set_that_an_invalidation_overtook_is_refused),
        IN_BOTH(a_set_that_clearing_overtook_is_refused),
        IN_BOTH(a_cached_absence_too_is_refused),
        IN_BOTH(a_miss_is_answered_once_and_the_next_set_is_a_write),
        IN_BOTH(an_explicit_ticket_uses_up_the_implicit_one),
        IN_BOTH(the_sixty_fifth_miss_forgets_the_first),
        IN_BOTH(a_miss_that_is_repeated_is_the_latest),
        IN_BOTH(a_miss_of_a_minute_ago_is_forgotten),
        IN_BOTH(a_miss_is_this_threads_own),
        IN_BOTH(the_misses_of_a_batch_leave_implicit_tickets),
        IN_BOTH(a_hit_and_an_absence_leave_no_ticket),
        IN_BOTH(an_explicit_ticket_works_in_any_thread_and_at_any_age),
        IN_BOTH(an_explicit_ticket_dies_with_the_invalidation),
        IN_BOTH(a_write_voids_the_tickets_of_others),
        IN_BOTH(an_answer_leaves_the_tickets_of_others_alone),
        IN_BOTH(a_ticket_of_another_key_is_refused),
        IN_BOTH(a_ticket_of_another_cache_is_refused),
        IN_BOTH(what_is_no_ticket_is_refused),
        IN_BOTH(where_a_ticket_is_required_a_set_without_one_is_refused),
        IN_BOTH(a_loader_needs_no_ticket),
    };
    return cmocka_run_group_tests_name("tickets", tests, NULL, NULL);
}
