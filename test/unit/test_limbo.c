/* What left the table while others may still read it: it stays for as long as a reader may hold it and no longer, it
 * never takes more memory than its reserve, and a reader who does not go on stops the stores but nothing else. The
 * reader is a record of a thread that is no more: the test enters and leaves in its name. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_l1.h"

enum {
    LIMIT = 1 << 20,
    LEN = 1000,
    TTL_MS = 60000,
    PATIENCE_MS = 100, /* of a store with a full reserve */
    CREW = 6,
    OPS = 15000,
    KEYS = 500
};

#define CHURN UINT64_C(1000000) /* keys from here on are nobody's */

struct fixture {
    struct tt_l1 *r;
    struct tc_reader *other;
    uint64_t next;
    pthread_barrier_t all_are_there;
};

static int register_here(void *arg, unsigned index)
{
    struct fixture *f = arg;
    (void)index;
    f->other = tc_reader_self(&f->r->l1.readers);
    return f->other == NULL;
}

static int setup_alone(void **state)
{
    struct fixture *f = tt_xcalloc(sizeof *f);
    f->r = tt_l1_new(LIMIT, 2, NULL);
    assert_non_null(f->r);
    f->next = CHURN;
    *state = f;
    return 0;
}

static int setup(void **state)
{
    setup_alone(state);
    struct fixture *f = *state;
    assert_non_null(tc_reader_self(&f->r->l1.readers));
    assert_int_equal(tt_crew_join(tt_crew_start(1, register_here, f)), 0);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    bool clean = tt_l1_free(f->r);
    free(f);
    return clean ? 0 : -1;
}

static void enter(struct fixture *f)
{
    tc_reader_enter(&f->r->l1.readers, f->other);
}

static void leave(struct fixture *f)
{
    tc_reader_leave(f->other);
}

static size_t live_bytes(struct fixture *f)
{
    return tt_alloc_counts(&f->r->counting).live_bytes;
}

static uint64_t limbo_bytes(struct fixture *f)
{
    return atomic_load(&f->r->l1.limbo.bytes);
}

/* ---- accounts ---- */

static uint64_t list_bytes(struct fixture *f, const struct tc_entry *e, const struct tc_entry *last)
{
    uint64_t bytes = 0;
    for (; e != NULL; e = e->next) {
        bytes += tc_l1_entry_bytes(&f->r->l1, e);
        assert_true((e->next == NULL) == (e == last));
    }
    return bytes;
}

static size_t tables_waiting(struct fixture *f, uint64_t *bytes)
{
    size_t n = 0;
    for (const struct tc_table *t = f->r->l1.limbo.tables; t != NULL; t = t->next, n++)
        *bytes += tc_index_table_bytes(t);
    return n;
}

/* What waits is what is counted. Nothing else runs. */
static void assert_limbo_agrees(struct fixture *f)
{
    struct tc_limbo *w = &f->r->l1.limbo;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        struct tc_batch *b = &w->batches[(w->begin + i) % TC_LIMBO_BATCHES];
        assert_int_equal(list_bytes(f, b->first, b->last), b->bytes);
        bytes += b->bytes;
    }
    tables_waiting(f, &bytes);
    assert_int_equal(bytes, limbo_bytes(f));
    struct tc_reader *who = atomic_load(&f->r->l1.readers.first);
    for (; who != NULL; who = who->next)
        assert_int_equal(list_bytes(f, who->waiting, who->waiting_last), who->waiting_bytes);
    assert_true(tc_l1_check(&f->r->l1));
}

/* ---- a value under watch ---- */

static struct tc_entry *put_held(struct fixture *f, uint64_t number, size_t len)
{
    struct tt_l1_key k = tt_l1_key(f->r, number);
    struct tt_l1_put p = { .len = len, .ttl_ms = TTL_MS, .advance = true };
    assert_int_equal(tt_l1_put_with(f->r, k, &p), CACHE_OK);
    struct tc_l1_found found = tt_l1_get(f->r, k);
    assert_non_null(found.entry);
    tc_l1_hold(found.entry);
    tc_l1_release(&f->r->l1, found.entry);
    return found.entry;
}

/* L1 gave its reference up: ours is the only one. */
static bool is_given_up(const struct tc_entry *e)
{
    uint32_t refs = atomic_load(&e->refs);
    assert_int_equal((refs & TC_ENTRY_REFS) == 1, (refs & TC_ENTRY_DETACHED) != 0);
    return (refs & TC_ENTRY_REFS) == 1;
}

/* Takes so much out of the table that whatever waits, and that nobody reads, has no reason to wait any more: four times
 * what makes a step. */
static void churn(struct fixture *f)
{
    for (uint64_t bytes = 0; bytes < f->r->l1.reserve; bytes += LEN) {
        struct tt_l1_key k = tt_l1_key(f->r, f->next++);
        assert_int_equal(tt_l1_put(f->r, k, LEN), CACHE_OK);
        tt_l1_invalidate(f->r, k);
    }
}

static void churn_within_reserve(struct fixture *f)
{
    while (limbo_bytes(f) + 4 * LEN < f->r->l1.reserve) {
        struct tt_l1_key k = tt_l1_key(f->r, f->next++);
        assert_int_equal(tt_l1_put(f->r, k, LEN), CACHE_OK);
        tt_l1_invalidate(f->r, k);
    }
}

/* ---- ways out of the table ---- */

static void by_invalidating(struct fixture *f, uint64_t number)
{
    tt_l1_invalidate(f->r, tt_l1_key(f->r, number));
}

static void by_replacing(struct fixture *f, uint64_t number)
{
    assert_int_equal(tt_l1_put(f->r, tt_l1_key(f->r, number), LEN), CACHE_OK);
}

static void by_clearing(struct fixture *f, uint64_t number)
{
    (void)number;
    tc_l1_clear(&f->r->l1);
}

static void by_evicting(struct fixture *f, uint64_t number)
{
    (void)number;
    f->r->policies[0].l1_quota_entries = 1;
    assert_int_equal(tt_l1_put(f->r, tt_l1_key(f->r, f->next++), 10), CACHE_OK);
    f->r->policies[0].l1_quota_entries = 0;
}

static void by_expiring(struct fixture *f, uint64_t number)
{
    (void)number;
    tt_clock_advance(&f->r->time, TTL_MS + 1000);
    for (int i = 0; i < 64; i++) /* the hand has to come by in both stripes */
        assert_int_equal(tt_l1_put(f->r, tt_l1_key(f->r, CHURN - 1 - (uint64_t)i), 10), CACHE_OK);
    assert_true(tt_l1_count(f->r, TC_COUNT_l1_expired) > 0);
}

typedef void drop_fn(struct fixture *f, uint64_t number);

static drop_fn *const drops[] = { by_invalidating, by_replacing, by_clearing, by_expiring, by_evicting };

/* ---- one thread ---- */

static void with_one_thread_nothing_waits(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < TC_ARRAY_LEN(drops); i++) {
        struct tc_entry *e = put_held(f, i, LEN);
        drops[i](f, i);
        assert_true(is_given_up(e));
        tc_l1_drop(&f->r->l1, e);
        assert_int_equal(limbo_bytes(f), 0);
        assert_null(tc_reader_self(&f->r->l1.readers)->waiting);
    }
    for (uint64_t i = 0; i < 500; i++) /* the tables grow */
        assert_int_equal(tt_l1_put(f->r, tt_l1_key(f->r, i), 100), CACHE_OK);
    assert_int_equal(limbo_bytes(f), 0);
    assert_true(tc_readers_alone(&f->r->l1.readers));
}

/* ---- a reader ---- */

static void what_a_reader_may_hold_is_not_freed_and_then_it_is(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < TC_ARRAY_LEN(drops); i++) {
        struct tc_entry *e = put_held(f, i, LEN);
        enter(f);
        drops[i](f, i);
        assert_false(tt_l1_has(f->r, tt_l1_key(f->r, i)) && drops[i] != by_replacing);
        churn_within_reserve(f);
        assert_false(is_given_up(e));
        assert_true(tt_l1_is_value(tc_entry_data(e), e->len, i, NULL));
        assert_limbo_agrees(f);
        leave(f);
        churn(f);
        assert_true(is_given_up(e));
        assert_limbo_agrees(f);
        tc_l1_drop(&f->r->l1, e);
    }
}

/* Who enters after one step may not have seen yet that it left; who enters after two did. */
static void a_reader_who_comes_two_steps_later_keeps_nothing(void **state)
{
    struct fixture *f = *state;
    for (int steps = 1; steps <= 2; steps++) {
        struct tc_entry *e = put_held(f, 1, 2 * LEN); /* large enough to be handed on at once, not for a step */
        by_invalidating(f, 1);
        for (int i = 0; i < steps; i++)
            tc_readers_step(&f->r->l1.readers);
        enter(f);
        assert_false(is_given_up(e)); /* until somebody looks */
        churn_within_reserve(f);
        assert_int_equal(is_given_up(e), steps == 2);
        leave(f);
        churn(f);
        assert_true(is_given_up(e));
        tc_l1_drop(&f->r->l1, e);
    }
}

static void what_waits_as_a_rule_is_less_than_the_reserve(void **state)
{
    struct fixture *f = *state;
    uint64_t most = 0, least = UINT64_MAX;
    for (int i = 0; i < 2000; i++) {
        struct tt_l1_key k = tt_l1_key(f->r, f->next++);
        assert_int_equal(tt_l1_put(f->r, k, 300), CACHE_OK);
        tt_l1_invalidate(f->r, k);
        uint64_t waiting = limbo_bytes(f) + tc_reader_self(&f->r->l1.readers)->waiting_bytes;
        most = waiting > most ? waiting : most;
        least = waiting < least ? waiting : least;
    }
    assert_true(most <= f->r->l1.reserve);
    assert_true(most > f->r->l1.reserve / 8); /* steps are dear: they come in batches */
    assert_limbo_agrees(f);
}

/* ---- a reader who does not go on ---- */

static void fill(struct fixture *f, uint64_t keys)
{
    for (uint64_t i = 0; i < keys; i++)
        assert_int_equal(tt_l1_put(f->r, tt_l1_key(f->r, i), LEN), CACHE_OK);
}

/* What L1 may ever hold: the limit with its reserve, what is being stored, and the threads' records. */
static size_t most_bytes(struct fixture *f)
{
    return LIMIT + (size_t)f->r->l1.reserve + LEN + 500 + 2 * sizeof(struct tc_reader);
}

/* Stores until one is refused; returns its key. */
static uint64_t put_until_refused(struct fixture *f, uint64_t from, uint64_t keys)
{
    for (uint64_t i = from; i < from + 1000; i++) {
        int64_t start_ms = tt_ran_ms();
        int rc = tt_l1_put(f->r, tt_l1_key(f->r, i % keys), LEN);
        assert_true(tt_ran_ms() - start_ms <= PATIENCE_MS + TT_SLACK_MS);
        assert_true(live_bytes(f) <= most_bytes(f));
        if (rc == CACHE_E_NOMEM)
            return i % keys;
        assert_int_equal(rc, CACHE_OK);
    }
    fail_msg("a thousand stores beside a reader who does not go on");
    return 0;
}

static void a_reader_who_does_not_go_on_stops_stores_in_time_and_within_the_reserve(void **state)
{
    struct fixture *f = *state;
    fill(f, 2 * LIMIT / LEN); /* evicts: there is no memory left */
    enter(f);
    for (uint64_t round = 0; round < 3; round++) {
        uint64_t refused = put_until_refused(f, LIMIT / LEN + 200 * round, 2 * LIMIT / LEN);
        assert_false(tt_l1_has(f->r, tt_l1_key(f->r, refused)));
        assert_limbo_agrees(f);
    }
    assert_true(limbo_bytes(f) > f->r->l1.reserve);
    leave(f);
    fill(f, 2 * LIMIT / LEN);
    assert_true(limbo_bytes(f) <= f->r->l1.reserve);
    assert_true(live_bytes(f) <= most_bytes(f));
    assert_limbo_agrees(f);
}

static void a_refused_store_leaves_nothing_of_its_key(void **state)
{
    struct fixture *f = *state;
    fill(f, 200);
    enter(f);
    uint64_t refused = put_until_refused(f, 0, 200), stale = tc_l1_generation(&f->r->l1, tt_l1_key(f->r, 199).hash);
    assert_false(tt_l1_has(f->r, tt_l1_key(f->r, refused)));
    assert_true(tt_l1_has(f->r, tt_l1_key(f->r, 199)));
    /* Under a ticket that is void it is not even the key's business. */
    tc_l1_void(&f->r->l1, tt_l1_key(f->r, 199).hash);
    struct tt_l1_put p = { .len = LEN, .expected = &stale };
    struct tt_l1_key k = tt_l1_key(f->r, 199);
    assert_int_equal(tt_l1_put_with(f->r, k, &p), CACHE_E_TICKET);
    uint64_t now = tc_l1_generation(&f->r->l1, k.hash);
    p.expected = &now;
    assert_int_equal(tt_l1_put_with(f->r, k, &p), CACHE_E_NOMEM);
    assert_int_equal(tc_l1_generation(&f->r->l1, k.hash), now);
    leave(f);
    assert_int_equal(tt_l1_put_with(f->r, k, &p), CACHE_OK);
}

static void reading_and_dropping_need_no_reserve_and_memory_comes_back(void **state)
{
    struct fixture *f = *state;
    fill(f, 700);
    enter(f);
    uint64_t refused = put_until_refused(f, 0, 700);
    for (uint64_t i = 0; i < 300; i++) {
        assert_int_equal(tt_l1_has(f->r, tt_l1_key(f->r, i)), i != refused);
        by_invalidating(f, i);
        assert_false(tt_l1_has(f->r, tt_l1_key(f->r, i)));
    }
    tc_l1_clear(&f->r->l1);
    assert_true(limbo_bytes(f) > LIMIT / 2);
    assert_int_equal(tt_l1_put(f->r, tt_l1_key(f->r, 1), LEN), CACHE_E_NOMEM);
    assert_true(live_bytes(f) <= most_bytes(f));
    assert_limbo_agrees(f);
    leave(f);
    assert_int_equal(tt_l1_put(f->r, tt_l1_key(f->r, 1), LEN), CACHE_OK);
    assert_true(limbo_bytes(f) <= f->r->l1.reserve);
    assert_true(live_bytes(f) < LIMIT / 2);
}

/* Leaves when it sees that somebody waits for that: by then the epoch has moved. */
static int leave_when_waited_for(void *arg, unsigned index)
{
    struct fixture *f = arg;
    int64_t end_ms = tt_mono_ms() + TT_SOON_MS;
    uint64_t start = atomic_load(&f->r->l1.readers.epoch);
    (void)index;
    while (atomic_load(&f->r->l1.readers.epoch) < start + 4)
        if (!tt_pause(end_ms))
            break;
    leave(f);
    return 0;
}

static void a_store_waits_for_a_reader_who_was_interrupted(void **state)
{
    struct fixture *f = *state;
    int stored = 0;
    for (int round = 0; round < 10 && stored == 0; round++) { /* on a busy machine its patience may end before */
        fill(f, 100);
        enter(f);
        tc_l1_clear(&f->r->l1);
        assert_true(limbo_bytes(f) > f->r->l1.reserve);
        struct tt_crew *crew = tt_crew_start(1, leave_when_waited_for, f);
        stored += tt_l1_put(f->r, tt_l1_key(f->r, 1), LEN) == CACHE_OK;
        tt_crew_join(crew);
    }
    assert_int_equal(stored, 1);
}

/* ---- tables ---- */

static void tables_that_grew_stay_readable_for_as_long_as_they_are_read(void **state)
{
    struct fixture *f = *state;
    uint64_t waiting = 0;
    for (uint64_t i = 0; i < 40; i++)
        assert_int_equal(tt_l1_put(f->r, tt_l1_key_in(f->r, i, 0), 10), CACHE_OK);
    struct tc_stripe *s = tc_l1_stripe(&f->r->l1, tt_l1_key_in(f->r, 0, 0).hash);
    struct tc_index before = { .table = atomic_load(&s->index.table) };
    enter(f);
    for (uint64_t i = 40; i < 300; i++)
        assert_int_equal(tt_l1_put(f->r, tt_l1_key_in(f->r, i, 0), 10), CACHE_OK);
    assert_true(tables_waiting(f, &waiting) >= 3);
    assert_limbo_agrees(f);
    for (uint64_t i = 0; i < 40; i++) {
        struct tt_l1_key k = tt_l1_key_in(f->r, i, 0);
        struct tc_entry *e = tc_index_find(&before, k.hash, tt_l1_ref(&k).key);
        assert_non_null(e);
        assert_true(tt_l1_is_value(tc_entry_data(e), e->len, i, NULL));
    }
    leave(f);
    churn(f);
    churn(f);
    assert_int_equal(tables_waiting(f, &waiting), 0);
    assert_limbo_agrees(f);
}

/* ---- the ring ---- */

static void more_batches_than_the_ring_has_places_lose_nothing(void **state)
{
    struct fixture *f = *state;
    enum { MANY = 3 * TC_LIMBO_BATCHES };
    static struct tc_entry *held[MANY];
    for (uint64_t i = 0; i < MANY; i++)
        held[i] = put_held(f, i, 3 * LEN); /* each is a batch */
    enter(f);
    for (uint64_t i = 0; i < MANY; i++)
        by_invalidating(f, i);
    assert_int_equal(f->r->l1.limbo.n, TC_LIMBO_BATCHES);
    assert_limbo_agrees(f);
    for (uint64_t i = 0; i < MANY; i++)
        assert_false(is_given_up(held[i]));
    leave(f);
    churn(f);
    for (uint64_t i = 0; i < MANY; i++) {
        assert_true(is_given_up(held[i]));
        assert_true(tt_l1_is_value(tc_entry_data(held[i]), held[i]->len, i, NULL));
        tc_l1_drop(&f->r->l1, held[i]);
    }
    assert_limbo_agrees(f);
}

/* ---- pins ---- */

static void a_pinned_value_in_limbo_is_detached_and_freed_at_its_release(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(tt_l1_put(f->r, tt_l1_key(f->r, 1), LEN), CACHE_OK);
    struct tc_l1_found found = tt_l1_get(f->r, tt_l1_key(f->r, 1));
    size_t bytes = tc_l1_entry_bytes(&f->r->l1, found.entry);
    enter(f);
    by_invalidating(f, 1);
    churn_within_reserve(f);
    leave(f);
    churn(f);
    assert_int_equal(tt_l1_detached_bytes(f->r), bytes);
    assert_true(tt_l1_is_value(tc_entry_data(found.entry), LEN, 1, NULL));
    size_t before = live_bytes(f);
    tc_l1_release(&f->r->l1, found.entry);
    assert_in_range(live_bytes(f), before - bytes, before - LEN);
    assert_int_equal(tt_l1_detached_bytes(f->r), 0);
}

static void a_pin_released_in_limbo_frees_nothing_that_is_read(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(tt_l1_put(f->r, tt_l1_key(f->r, 1), 8 * LEN), CACHE_OK);
    struct tc_l1_found found = tt_l1_get(f->r, tt_l1_key(f->r, 1));
    enter(f);
    by_invalidating(f, 1);
    size_t before = live_bytes(f);
    tc_l1_release(&f->r->l1, found.entry);
    assert_int_equal(live_bytes(f), before);
    assert_int_equal(tt_l1_detached_bytes(f->r), 0);
    assert_true(tt_l1_is_value(tc_entry_data(found.entry), 8 * LEN, 1, NULL));
    leave(f);
    churn(f);
    assert_true(limbo_bytes(f) < 8 * LEN);
}

/* ---- threads that come and go ---- */

/* Whoever steps may be without a processor for as long as a store has patience. */
static bool put_in_the_end(struct fixture *f, struct tt_l1_key k, size_t len)
{
    int rc = CACHE_E_NOMEM;
    for (int i = 0; i < 20 && (rc = tt_l1_put(f->r, k, len)) == CACHE_E_NOMEM; i++)
        ;
    return rc == CACHE_OK;
}

/* Takes out of the table, little by little, some times what it may keep to itself. */
static int hoard(void *arg, unsigned index)
{
    struct fixture *f = arg;
    int failures = 0;
    TT_CHECK(failures, tc_reader_self(&f->r->l1.readers) != NULL);
    pthread_barrier_wait(&f->all_are_there); /* none of them is no more before all have a record */
    for (uint64_t i = 0; i < 40 + index; i++) {
        struct tt_l1_key k = tt_l1_key(f->r, CHURN * (index + 1) + i);
        TT_CHECK(failures, put_in_the_end(f, k, 30));
        tt_l1_invalidate(f->r, k);
    }
    return failures;
}

static void threads_keep_a_quarter_of_the_reserve_at_most_and_the_next_ones_hand_it_on(void **state)
{
    struct fixture *f = *state;
    enum { MANY = 6 };
    assert_int_equal(pthread_barrier_init(&f->all_are_there, NULL, MANY), 0);
    for (int round = 0; round < 10; round++) { /* with the same records: those before are no more */
        uint64_t kept = 0;
        assert_int_equal(tt_crew_join(tt_crew_start(MANY, hoard, f)), 0);
        assert_int_equal(f->r->l1.readers.n, MANY + 1);
        struct tc_reader *who = atomic_load(&f->r->l1.readers.first);
        for (; who != NULL; who = who->next) {
            assert_true(who->waiting_bytes < f->r->l1.reserve / 4 / (MANY + 1));
            kept += who->waiting_bytes;
        }
        assert_in_range(kept, 1, f->r->l1.reserve / 4);
        assert_limbo_agrees(f);
        assert_true(limbo_bytes(f) <= f->r->l1.reserve);
    }
    pthread_barrier_destroy(&f->all_are_there);
}

static void *no_memory_for_records(void *ctx, size_t n)
{
    return n == sizeof(struct tc_reader) + TC_ALLOC_LINES_EXTRA ? NULL : tt_alloc_ops.alloc(ctx, n);
}

static int work_without_a_record(void *arg, unsigned index)
{
    struct fixture *f = arg;
    int failures = 0;
    TT_CHECK(failures, tc_reader_self(&f->r->l1.readers) == NULL);
    for (uint64_t i = 0; i < 400; i++) {
        uint64_t number = (index + 1) * 10000 + i;
        struct tt_l1_key k = tt_l1_key(f->r, number);
        TT_CHECK(failures, put_in_the_end(f, k, LEN));
        struct tc_l1_found found = tt_l1_get(f->r, k);
        TT_CHECK(failures, found.entry != NULL && found.fresh && tc_l1_pin_count(&f->r->l1) > 0);
        tt_l1_invalidate(f->r, k);
        TT_CHECK(failures, tt_l1_is_value(tc_entry_data(found.entry), LEN, number, NULL));
        tc_l1_release(&f->r->l1, found.entry);
        TT_CHECK(failures, !tt_l1_has(f->r, k));
    }
    return failures;
}

static void threads_without_a_record_read_and_write_all_the_same(void **state)
{
    struct fixture *f = *state;
    f->r->alloc.ops.alloc = no_memory_for_records;
    for (int with_one = 0; with_one < 2; with_one++) {
        assert_int_equal(tt_crew_join(tt_crew_start(3, work_without_a_record, f)), 0);
        assert_int_equal(f->r->l1.readers.n, with_one);
        assert_int_equal(tc_l1_pin_count(&f->r->l1), 0);
        assert_true(limbo_bytes(f) <= f->r->l1.reserve);
        f->r->alloc.ops.alloc = tt_alloc_ops.alloc;
        assert_non_null(tc_reader_self(&f->r->l1.readers)); /* there is one from now on */
        f->r->alloc.ops.alloc = no_memory_for_records;
    }
    assert_limbo_agrees(f);
}

/* ---- all at once ---- */

struct stress {
    struct fixture *f;
    uint64_t seed;
    _Atomic uint64_t copied, pinned, stored;
};

struct worker {
    struct stress *s;
    int failures;
    struct tc_entry *pin; /* the last one */
    uint64_t pin_number;
};

static void change_pin(struct worker *w, struct tc_entry *e, uint64_t number)
{
    if (w->pin != NULL) {
        TT_CHECK(w->failures, tt_l1_is_value(tc_entry_data(w->pin), w->pin->len, w->pin_number, NULL));
        tc_l1_release(&w->s->f->r->l1, w->pin);
    }
    w->pin = e;
    w->pin_number = number;
}

static void read_one(struct worker *w, uint64_t number, size_t cap)
{
    struct tt_l1 *r = w->s->f->r;
    struct tt_l1_key k = tt_l1_key(r, number);
    unsigned char buf[LEN];
    struct tc_l1_copied copied;
    struct tc_l1_found found;
    if (tc_l1_get_copy(&r->l1, tt_l1_ref(&k), tt_l1_now(r), buf, cap, &copied, &found)) {
        TT_CHECK(w->failures, tt_l1_is_value(buf, copied.len, number, NULL));
        atomic_fetch_add(&w->s->copied, 1);
    } else if (found.entry != NULL) {
        change_pin(w, found.entry, number);
        atomic_fetch_add(&w->s->pinned, 1);
    }
}

static void put_one(struct worker *w, uint64_t number, uint64_t random)
{
    struct tt_l1 *r = w->s->f->r;
    struct tt_l1_put p = { .len = 8 + random % (random % 50 ? 500 : 20 * LEN), .version = random, .advance = true,
                           .ttl_ms = (int64_t)(random % 200) };
    int rc = tt_l1_put_with(r, tt_l1_key(r, number), &p);
    /* A reader whom the machine left without a processor is one who does not go on. */
    TT_CHECK(w->failures, rc == CACHE_OK || rc == CACHE_E_NOMEM);
    atomic_fetch_add(&w->s->stored, rc == CACHE_OK);
}

static int do_everything(void *arg, unsigned index)
{
    struct worker w = { .s = arg };
    struct fixture *f = w.s->f;
    uint64_t seed = w.s->seed + index;
    for (int i = 0; i < OPS && w.failures < 10; i++) {
        uint64_t random = tt_random(&seed), number = random % KEYS, what = random / KEYS % 1000;
        if (what < 600)
            read_one(&w, number, what < 350 ? LEN : 0);
        else if (what < 850)
            put_one(&w, number, tt_random(&seed));
        else if (what < 990)
            tt_l1_invalidate(f->r, tt_l1_key(f->r, number));
        else if (what < 999)
            tt_clock_advance(&f->r->time, 5);
        else
            tc_l1_clear(&f->r->l1);
    }
    change_pin(&w, NULL, 0);
    return w.failures;
}

static void readers_and_writers_together_leave_nothing_behind(void **state)
{
    struct stress s = { .f = *state, .seed = tt_seed() };
    struct tt_l1 *r = s.f->r;
    assert_int_equal(tt_crew_join(tt_crew_start(CREW, do_everything, &s)), 0);
    assert_true(s.copied > 100 && s.pinned > 100 && s.stored > 1000);
    assert_limbo_agrees(s.f);
    tc_l1_clear(&r->l1);
    churn(s.f);
    assert_limbo_agrees(s.f);
    assert_true(limbo_bytes(s.f) <= r->l1.reserve);
    assert_true(live_bytes(s.f) <= r->l1.fixed_bytes + r->l1.reserve + LIMIT / 4); /* of tables and orders, mostly */
    assert_int_equal(tt_l1_type_entries(r, 0), 0);
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define ALONE(test) cmocka_unit_test_setup_teardown(test, setup_alone, teardown)
    const struct CMUnitTest tests[] = {
        ALONE(with_one_thread_nothing_waits),
        FRESH(what_a_reader_may_hold_is_not_freed_and_then_it_is),
        FRESH(a_reader_who_comes_two_steps_later_keeps_nothing),
        FRESH(what_waits_as_a_rule_is_less_than_the_reserve),
        FRESH(a_reader_who_does_not_go_on_stops_stores_in_time_and_within_the_reserve),
        FRESH(a_refused_store_leaves_nothing_of_its_key),
        FRESH(reading_and_dropping_need_no_reserve_and_memory_comes_back),
        FRESH(a_store_waits_for_a_reader_who_was_interrupted),
        FRESH(tables_that_grew_stay_readable_for_as_long_as_they_are_read),
        FRESH(more_batches_than_the_ring_has_places_lose_nothing),
        FRESH(a_pinned_value_in_limbo_is_detached_and_freed_at_its_release),
        FRESH(a_pin_released_in_limbo_frees_nothing_that_is_read),
        FRESH(threads_keep_a_quarter_of_the_reserve_at_most_and_the_next_ones_hand_it_on),
        ALONE(threads_without_a_record_read_and_write_all_the_same),
        ALONE(readers_and_writers_together_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
