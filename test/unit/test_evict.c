/* What every eviction order of the library keeps to, whatever its idea of who should leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdatomic.h>

#include "platform/platform.h"
#include "policy/queue.h"
#include "tiercache/hooks.h"
#include "tt_evict.h"
#include "tt_util.h"

static const struct cache_evict_ops *const all[] = {
    &tc_evict_lru_exact, &tc_evict_sieve, &tc_evict_s3fifo, &tc_evict_lfu, &tc_evict_wtinylfu,
};

#define FOR_ALL(ops) \
    for (size_t a_ = 0; a_ < TC_ARRAY_LEN(all); a_++) \
        for (const struct cache_evict_ops *ops = all[a_]; ops != NULL; ops = NULL)

static void policies_are_found_by_their_names(void **state)
{
    (void)state;
    static const char *const names[] = { "lru", "lru-exact", "sieve", "s3-fifo", "lfu", "w-tinylfu" };
    for (size_t i = 0; i < TC_ARRAY_LEN(names); i++) {
        const struct cache_evict_ops *ops = cache_evict_policy(names[i]);
        assert_non_null(ops);
        assert_string_equal(ops->name, names[i]);
    }
    assert_ptr_equal(cache_evict_policy("s3-fifo"), &tc_evict_s3fifo);
    assert_null(cache_evict_policy("s3fifo"));
    assert_null(cache_evict_policy(""));
    assert_null(cache_evict_policy(NULL));
}

static void the_tables_keep_within_the_limits_of_their_contract(void **state)
{
    (void)state;
    FOR_ALL(ops) {
        assert_int_equal(ops->abi, CACHE_HOOKS_ABI);
        uint32_t hits = ops == &tc_evict_lru_exact ? CACHE_EVICT_LOCKED_HITS : 0;
        assert_int_equal(ops->flags, hits | CACHE_EVICT_ENDS_FULL);
        assert_true(ops->state_bytes <= TC_EVICT_STATE_MAX && ops->node_bytes <= TC_EVICT_NODE_MAX);
        assert_true(ops->insert != NULL && ops->hit != NULL && ops->remove != NULL && ops->victim != NULL);
        assert_true(ops->begin != NULL && ops->move != NULL);
    }
}

/* A node is where its entry begins, whether that lies apart or in a page with others. */
static void the_node_of_an_entry_is_found_by_its_number(void **state)
{
    (void)state;
    enum { BYTES = 40 };
    struct tt_alloc memory;
    tt_alloc_init(&memory);
    struct tc_alloc table = tt_alloc_table(&memory);
    struct tc_block *before = NULL;
    struct tc_slab slab;
    struct tc_cells cells = { .pages = NULL };
    tc_slab_init(&slab, &cells, &table);
    uint64_t apart;
    uint32_t entries[] = {
        tc_slab_take(&slab, BYTES, &before),
        tc_slab_adopt(&slab, &apart, &before),
        tc_slab_take(&slab, BYTES, &before),
    };
    const struct cache_evict_env env = { .entries = &cells };
    char *first = cache_evict_node(&env, entries[0]), *last = cache_evict_node(&env, entries[2]);
    assert_ptr_equal(cache_evict_node(&env, entries[1]), &apart);
    assert_ptr_equal(first, tc_cell(&cells, entries[0]));
    assert_ptr_equal(last, first + BYTES);
    for (size_t i = 0; i < TC_ARRAY_LEN(entries); i++)
        tc_slab_give(&slab, entries[i]);
    tc_slab_fini(&slab);
    assert_null(before);
    assert_true(tt_alloc_is_clean(&memory));
    tt_alloc_fini(&memory);
}

static void an_empty_order_has_no_victim(void **state)
{
    (void)state;
    FOR_ALL(ops) {
        struct tt_evict *e = tt_evict_open(ops, 1);
        assert_int_equal(tt_evict_victim(e), TT_EVICT_NONE);
        for (int round = 0; round < 3; round++) {
            tt_evict_insert(e, 0, TT_EVICT_BYTES);
            tt_evict_hit(e, 0);
            assert_int_equal(tt_evict_victim(e), 0);
            tt_evict_remove(e, 0);
            assert_int_equal(tt_evict_victim(e), TT_EVICT_NONE);
        }
        assert_true(tt_evict_close(e));
    }
}

enum { NODES = 300, ROOM = 100, STEPS = 30000 };

/* Whoever is inserted comes out as a victim once, sooner or later. */
static void drain(struct tt_evict *e)
{
    while (e->count > 0) {
        size_t i = tt_evict_victim(e);
        assert_int_equal(tt_evict_victim(e), i); /* it stays until it is removed */
        tt_evict_remove(e, i);
    }
    assert_int_equal(tt_evict_victim(e), TT_EVICT_NONE);
}

/* Requests, invalidations, new values of the same key and of other sizes, victims that are named and then stay. */
static void work(struct tt_evict *e, uint64_t *seed, int steps)
{
    while (steps-- > 0) {
        size_t i = tt_random(seed) % NODES;
        switch (tt_random(seed) % 16) {
        case 0:
            if (e->in[i])
                tt_evict_remove(e, i);
            break;
        case 1:
            if (!e->in[i])
                break;
            tt_evict_remove(e, i);
            if (tt_random(seed) % 2 == 0 && tt_evict_victim(e) != TT_EVICT_NONE && tt_random(seed) % 2 == 0)
                tt_evict_evict(e);
            tt_evict_insert(e, i, tt_random(seed) % 1000);
            break;
        case 2:
            tt_evict_victim(e);
            break;
        default:
            tt_evict_get(e, i < 30 ? i : i % (1 + tt_random(seed) % NODES), ROOM);
        }
        assert_true(e->count <= ROOM);
    }
}

static void every_entry_leaves_once_whatever_happened_before(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    FOR_ALL(ops) {
        struct tt_evict *e = tt_evict_open(ops, NODES);
        for (int round = 0; round < 3; round++) {
            work(e, &seed, STEPS);
            drain(e);
        }
        work(e, &seed, STEPS / 10);
        assert_true(tt_evict_close(e));
    }
}

static void without_memory_the_orders_still_work(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    FOR_ALL(ops)
        for (uint64_t nth = 1; nth < 24; nth++)
            for (int for_ever = 0; for_ever < 2; for_ever++) {
                struct tt_evict *e = tt_evict_open(ops, NODES);
                tt_alloc_fail(&e->alloc, nth, for_ever);
                work(e, &seed, STEPS / 30);
                drain(e);
                assert_true(tt_evict_close(e));
            }
}

static void orders_are_independent(void **state)
{
    (void)state;
    FOR_ALL(ops) {
        struct tt_evict *e = tt_evict_open(ops, NODES), *other = tt_evict_open(ops, NODES);
        for (size_t i = 0; i < ROOM; i++) {
            tt_evict_insert(e, i, TT_EVICT_BYTES);
            tt_evict_insert(other, NODES - 1 - i, TT_EVICT_BYTES);
        }
        drain(e);
        assert_int_equal(other->count, ROOM);
        drain(other);
        assert_true(tt_evict_close(e));
        assert_true(tt_evict_close(other));
    }
}

/* How many of the hot entries are still there after a scan of ten times the room, each step of which touches one. */
static size_t survivors(struct tt_evict *e, size_t hot, void touch(struct tt_evict *, size_t))
{
    for (size_t i = 0; i < hot; i++) {
        tt_evict_insert(e, i, TT_EVICT_BYTES);
        touch(e, i);
        touch(e, i);
    }
    for (size_t i = hot; i < e->n_nodes; i++) {
        tt_evict_get(e, i, ROOM);
        if (e->in[i % hot])
            touch(e, i % hot);
    }
    size_t n = 0;
    for (size_t i = 0; i < hot; i++)
        n += e->in[i];
    return n;
}

static void replace(struct tt_evict *e, size_t i)
{
    tt_evict_remove(e, i);
    tt_evict_insert(e, i, TT_EVICT_BYTES);
}

static void leave_alone(struct tt_evict *e, size_t i)
{
    (void)e;
    (void)i;
}

static void what_is_used_all_the_time_stays_through_a_scan(void **state)
{
    (void)state;
    FOR_ALL(ops) {
        struct tt_evict *e = tt_evict_open(ops, 10 * ROOM);
        assert_int_equal(survivors(e, 16, tt_evict_hit), 16);
        assert_true(tt_evict_close(e));
        e = tt_evict_open(ops, 10 * ROOM);
        assert_int_equal(survivors(e, 16, leave_alone), 0); /* or the others prove nothing */
        assert_true(tt_evict_close(e));
    }
}

static void a_new_value_of_a_key_counts_as_a_hit_of_the_old_one(void **state)
{
    (void)state;
    FOR_ALL(ops) {
        struct tt_evict *e = tt_evict_open(ops, 10 * ROOM);
        assert_int_equal(survivors(e, 16, replace), 16);
        assert_true(tt_evict_close(e));
    }
}

/* ---- hits without the lock ---- */

static void one_call_looks_at_a_bounded_number_of_entries(void **state)
{
    (void)state;
    enum { MANY = 20000, BOUND = 1024 };
    FOR_ALL(ops) {
        if (ops->flags & CACHE_EVICT_LOCKED_HITS)
            continue;
        struct tt_evict *e = tt_evict_open(ops, MANY);
        for (size_t i = 0; i < MANY; i++)
            tt_evict_insert(e, i, TT_EVICT_BYTES);
        for (int round = 0; round < 40; round++) {
            for (size_t i = 0; i < MANY; i++)
                for (int hits = 0; e->in[i] && hits < 16; hits++)
                    tt_evict_hit(e, i);
            uint8_t before[MANY];
            for (size_t i = 0; i < MANY; i++)
                before[i] = tc_hit_count(tt_evict_node(e, i));
            tt_evict_evict(e);
            size_t seen = 0;
            for (size_t i = 0; i < MANY; i++)
                seen += before[i] != tc_hit_count(tt_evict_node(e, i));
            assert_in_range(seen, 0, BOUND);
        }
        assert_true(tt_evict_close(e));
    }
}

enum { PUBLISHED = 20000, READERS = 2 };

struct reading {
    struct tt_evict *e;
    _Atomic size_t published; /* nodes below this may be hit, also after they were removed */
    _Atomic bool done;
};

static int hit_what_is_there(void *arg, unsigned index)
{
    struct reading *r = arg;
    uint64_t seed = index;
    while (!atomic_load_explicit(&r->done, memory_order_relaxed)) {
        size_t n = atomic_load_explicit(&r->published, memory_order_acquire);
        for (int i = 0; n > 0 && i < 64; i++)
            tt_evict_hit(r->e, n - 1 - tt_random(&seed) % (n < 2 * ROOM ? n : 2 * ROOM));
    }
    return 0;
}

static void hits_may_come_at_once_with_everything_else(void **state)
{
    (void)state;
    FOR_ALL(ops) {
        if (ops->flags & CACHE_EVICT_LOCKED_HITS)
            continue;
        struct reading r = { tt_evict_open(ops, PUBLISHED), 0, false };
        struct tt_crew *crew = tt_crew_start(READERS, hit_what_is_there, &r);
        for (size_t i = 0; i < PUBLISHED; i++) {
            tt_evict_get(r.e, i, ROOM);
            atomic_store_explicit(&r.published, i + 1, memory_order_release);
            if (i >= ROOM && i % 7 == 0 && r.e->in[i - ROOM / 2])
                tt_evict_remove(r.e, i - ROOM / 2);
        }
        atomic_store_explicit(&r.done, true, memory_order_relaxed);
        assert_int_equal(tt_crew_join(crew), 0);
        drain(r.e);
        assert_true(tt_evict_close(r.e));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_are_found_by_their_names),
        cmocka_unit_test(the_tables_keep_within_the_limits_of_their_contract),
        cmocka_unit_test(the_node_of_an_entry_is_found_by_its_number),
        cmocka_unit_test(an_empty_order_has_no_victim),
        cmocka_unit_test(every_entry_leaves_once_whatever_happened_before),
        cmocka_unit_test(without_memory_the_orders_still_work),
        cmocka_unit_test(orders_are_independent),
        cmocka_unit_test(what_is_used_all_the_time_stays_through_a_scan),
        cmocka_unit_test(a_new_value_of_a_key_counts_as_a_hit_of_the_old_one),
        cmocka_unit_test(one_call_looks_at_a_bounded_number_of_entries),
        cmocka_unit_test(hits_may_come_at_once_with_everything_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
