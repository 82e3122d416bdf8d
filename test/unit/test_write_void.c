/* Fills that an invalidation does not wait for, and fills whose fate nobody knows. A fill is stopped at the moment when
 * L2 has it, or is yet to get it; meanwhile others invalidate, read and wait at its gate; afterwards neither tier may
 * have the value. */
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"

enum { SHORT_MS = 50, LONG_MS = 10000 };

static struct tt_cache b;
static struct cache_key k;

/* The next allocation of that thread stops; 0: nobody's. */
static struct {
    _Atomic int tid;
    sem_t reached, may_go;
} stop;

static void *alloc_with_a_stop(void *ctx, size_t n)
{
    int tid = gettid();
    if (atomic_compare_exchange_strong(&stop.tid, &tid, 0)) {
        sem_post(&stop.reached);
        sem_wait(&stop.may_go);
    }
    return tt_alloc_ops.alloc(ctx, n);
}

static struct cache_alloc_ops stopping_alloc;

static int setup(void **state)
{
    (void)state;
    atomic_store(&stop.tid, 0);
    if (sem_init(&stop.reached, 0, 0) != 0 || sem_init(&stop.may_go, 0, 0) != 0)
        return -1;
    stopping_alloc = tt_alloc_ops;
    stopping_alloc.alloc = alloc_with_a_stop;
    tt_cache_prepare(&b, true);
    b.opts.alloc = &stopping_alloc;
    b.opts.timeout_ms = LONG_MS;
    b.opts.l2_timeout_ms = LONG_MS;
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tt_backend_release(b.l2, TT_SET); /* where a test has failed in the middle */
    tt_backend_release(b.l2, TT_DEL);
    bool clean = tt_cache_close(&b);
    sem_destroy(&stop.reached);
    sem_destroy(&stop.may_go);
    return clean ? 0 : -1;
}

/* A fill under a ticket of its own, stopped when L2 has answered it. */
static void start_fill(struct tt_call *fill, struct cache_ticket *t)
{
    assert_answer(tt_cache_get_with(&b, &k, 0, 0, t), CACHE_MISS, NULL);
    *fill = (struct tt_call){ .verb = TT_VERB_SET, .b = &b, .k = &k, .text = "old", .ticket = t };
    tt_backend_block(b.l2, TT_SET, true);
    tt_call_start(fill);
    assert_true(tt_backend_await_blocked(b.l2, TT_SET, 1));
}

static void finish_fill(struct tt_call *fill)
{
    tt_backend_release(b.l2, TT_SET);
    tt_call_join(fill);
}

static void assert_is_nowhere(void)
{
    void *bytes;
    size_t len;
    assert_answer(tt_cache_get_with(&b, &k, CACHE_CALL_L1_ONLY, 0, NULL), CACHE_MISS, NULL);
    assert_true(tt_cache_await_replayed(&b));
    assert_false(tt_backend_peek(b.l2, tt_cache_l2_key(&k), &bytes, &len));
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
}

/* FAULTS 62, 64: the invalidation gave up at the gate, and what it queued was sent before the value arrived. A reader
 * looks in L2 after that; whatever it may have found there does not outlive the fill. */
static void nothing_of_a_fill_that_an_invalidation_gave_up_stays_in_l1(void **state)
{
    struct tt_call fill;
    struct cache_ticket t;
    struct cache_call o = CACHE_CALL_INIT;
    (void)state;
    tt_backend_fail(b.l2, TT_SET, 1, CACHE_OK, TT_RUN_LATE);
    start_fill(&fill, &t);
    o.timeout_ms = SHORT_MS;
    assert_int_equal(cache_invalidate(b.c, &k, &o), CACHE_QUEUED);
    assert_true(tt_cache_await_replayed(&b));
    assert_int_equal(tt_backend_run_late(b.l2), 1);
    (void)tt_cache_get(&b, &k);
    finish_fill(&fill);
    assert_int_equal(fill.answer.status, CACHE_E_TICKET);
    assert_is_nowhere();
}

/* FAULTS 62, 64: the ticket was voided, but L2 may be read: the value has gone from L2 into L1 before it is revoked. */
static void clearing_voids_a_fill_for_l1_and_leaves_l2_alone(void **state)
{
    struct tt_call fill;
    struct cache_ticket t;
    (void)state;
    start_fill(&fill, &t);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    finish_fill(&fill);
    assert_int_equal(fill.answer.status, CACHE_E_TICKET);
    assert_answer(tt_cache_get_with(&b, &k, CACHE_CALL_L1_ONLY, 0, NULL), CACHE_MISS, NULL);
    struct tt_answer read = tt_cache_get(&b, &k);
    assert_true(tt_answer_is(&read, CACHE_OK, "old"));
    assert_int_equal(read.meta.tier, CACHE_TIER_L2);
    assert_int_equal(tt_backend_calls(b.l2, TT_DEL), 0);
}

/* FAULTS 62, 64: L2 did not say whether it has the value, and gets it late. Who comes through the gate after that fill
 * finds the queue not empty, and so does not take one deletion, which the value may yet follow, for the end of it. The
 * fill is stopped where it takes the memory for what it queues. */
static void a_fill_in_doubt_queues_its_invalidation_before_it_leaves_the_gate(void **state)
{
    struct tt_call fill, invalidation = { .verb = TT_VERB_INVALIDATE, .b = &b, .k = &k };
    struct cache_ticket t;
    (void)state;
    tt_backend_fail(b.l2, TT_SET, 1, CACHE_E_UNKNOWN, TT_RUN_LATE);
    start_fill(&fill, &t);
    tt_call_start(&invalidation);
    assert_true(tt_call_await_asleep(&invalidation));
    atomic_store(&stop.tid, atomic_load(&fill.tid));
    tt_backend_release(b.l2, TT_SET);
    tt_assert_soon(sem_trywait(&stop.reached) == 0);
    bool still_waits = tt_call_await_asleep(&invalidation);
    uint64_t deletions = tt_backend_calls(b.l2, TT_DEL);
    tt_backend_block(b.l2, TT_DEL, false); /* what is queued stays so for now */
    sem_post(&stop.may_go);
    tt_call_join(&fill);
    tt_call_join(&invalidation);
    assert_true(still_waits);
    assert_int_equal(deletions, 0);
    assert_true(fill.answer.status == CACHE_QUEUED || fill.answer.status == CACHE_E_TICKET);
    assert_int_equal(invalidation.answer.status, CACHE_QUEUED);
    assert_int_equal(tt_backend_run_late(b.l2), 1);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    tt_backend_release(b.l2, TT_DEL);
    assert_is_nowhere();
}

/* ---- a type that comes to use L2 ---- */

static bool type_changes;

/* What others do between a set's look at its type and its store: the type comes to use L2, and who missed before fills
 * it with what he read then. */
static void let_the_type_change(void *ctx, const struct cache_ttl_view *view, struct cache_ttl *ttl)
{
    (void)ctx;
    (void)view;
    (void)ttl;
    if (!type_changes)
        return;
    type_changes = false;
    struct cache_ticket ticket;
    assert_int_equal(tt_cache_get_with(&b, &k, 0, 0, &ticket).status, CACHE_MISS);
    struct cache_type_opts o = b.type_opts;
    o.flags = 0;
    assert_int_equal(cache_type_update(b.type, &o, NULL, 0), CACHE_OK);
    tt_clock_advance(&b.clock, 10);
    assert_int_equal(tt_cache_set_with(&b, &k, "old", 0, &ticket), CACHE_OK);
}

static void a_set_that_took_its_type_to_be_without_l2_leaves_nothing_older_there(void **state)
{
    (void)state;
    static const struct cache_ttl_ops ops = { CACHE_HOOKS_ABI, let_the_type_change };
    tt_cache_prepare(&b, true);
    b.type_opts.flags = CACHE_TYPE_NO_L2;
    b.type_opts.ttl_policy = &ops;
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    type_changes = true;
    assert_int_equal(tt_cache_set(&b, &k, "new"), CACHE_QUEUED);
    assert_false(type_changes);
    assert_string_equal(tt_cache_get(&b, &k).text, "new");
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    assert_int_equal(tt_cache_get(&b, &k).status, CACHE_MISS);
    assert_true(tt_cache_close(&b));
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        FRESH(nothing_of_a_fill_that_an_invalidation_gave_up_stays_in_l1),
        FRESH(clearing_voids_a_fill_for_l1_and_leaves_l2_alone),
        FRESH(a_fill_in_doubt_queues_its_invalidation_before_it_leaves_the_gate),
        cmocka_unit_test(a_set_that_took_its_type_to_be_without_l2_leaves_nothing_older_there),
    };
    return cmocka_run_group_tests_name("write: void fills", tests, NULL, NULL);
}
