/* Entries that move: every eviction order of the library goes on as if they had not. Each is compared with a twin that
 * is driven in the same way and whose entries stay where they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tt_evict.h"
#include "tt_util.h"

static const struct cache_evict_ops *const all[] = {
    &tc_evict_lru, &tc_evict_lru_exact, &tc_evict_sieve, &tc_evict_s3fifo, &tc_evict_lfu, &tc_evict_wtinylfu,
};

#define FOR_ALL(ops) \
    for (size_t a_ = 0; a_ < TC_ARRAY_LEN(all); a_++) \
        for (const struct cache_evict_ops *ops = all[a_]; ops != NULL; ops = NULL)

struct twins {
    struct tt_evict *moves, *stays;
};

static struct twins open_twins(const struct cache_evict_ops *ops, size_t n_nodes)
{
    struct twins t = { tt_evict_open(ops, n_nodes), tt_evict_open(ops, n_nodes) };
    tt_evict_tick(t.moves);
    tt_evict_tick(t.stays);
    return t;
}

static void close_twins(struct twins *t)
{
    assert_true(tt_evict_close(t->moves));
    assert_true(tt_evict_close(t->stays));
}

static void insert(struct twins *t, size_t i, size_t bytes)
{
    tt_evict_insert(t->moves, i, bytes);
    tt_evict_insert(t->stays, i, bytes);
}

static void hit(struct twins *t, size_t i)
{
    tt_evict_hit(t->moves, i);
    tt_evict_hit(t->stays, i);
}

static void take(struct twins *t, size_t i)
{
    tt_evict_remove(t->moves, i);
    tt_evict_remove(t->stays, i);
}

static void tick(struct twins *t, uint64_t times)
{
    while (times-- > 0) {
        tt_evict_tick(t->moves);
        tt_evict_tick(t->stays);
    }
}

static size_t victim(struct twins *t)
{
    size_t v = tt_evict_victim(t->stays);
    assert_int_equal(tt_evict_victim(t->moves), v);
    return v;
}

static void evict(struct twins *t)
{
    take(t, victim(t));
}

static void drain(struct twins *t)
{
    while (t->stays->count > 0)
        evict(t);
    assert_int_equal(victim(t), TT_EVICT_NONE);
}

static void move(struct twins *t, size_t i)
{
    tt_evict_move(t->moves, i);
}

static void move_all(struct twins *t)
{
    for (size_t i = 0; i < t->moves->n_nodes; i++)
        move(t, i);
}

/* ---- one by one ---- */

static void an_only_entry_moves(void **state)
{
    (void)state;
    FOR_ALL(ops) {
        struct twins t = open_twins(ops, 2);
        for (int round = 0; round < 3; round++) {
            insert(&t, 0, TT_EVICT_BYTES);
            move(&t, 0);
            assert_int_equal(victim(&t), 0);
            hit(&t, 0);
            move(&t, 0);
            assert_int_equal(victim(&t), 0);
            insert(&t, 1, TT_EVICT_BYTES); /* next to it */
            move(&t, 0);
            drain(&t);
        }
        close_twins(&t);
    }
}

static void the_oldest_the_newest_and_those_between_move(void **state)
{
    (void)state;
    enum { FEW = 6 };
    FOR_ALL(ops)
        for (size_t mover = 0; mover < FEW; mover++)
            for (size_t used = 0; used <= FEW; used++) { /* FEW: none */
                struct twins t = open_twins(ops, FEW);
                for (size_t i = 0; i < FEW; i++)
                    insert(&t, i, TT_EVICT_BYTES);
                if (used < FEW)
                    hit(&t, used);
                move(&t, mover);
                drain(&t);
                close_twins(&t);
            }
}

/* Next to the one that moves: its links are followed from both sides. */
static void neighbours_of_one_that_moved_leave(void **state)
{
    (void)state;
    enum { FEW = 6 };
    FOR_ALL(ops)
        for (size_t mover = 0; mover < FEW; mover++)
            for (size_t leaver = 0; leaver < FEW; leaver++) {
                struct twins t = open_twins(ops, FEW + 1);
                for (size_t i = 0; i < FEW; i++)
                    insert(&t, i, TT_EVICT_BYTES);
                move(&t, mover);
                take(&t, leaver);
                move(&t, mover);
                insert(&t, FEW, TT_EVICT_BYTES);
                drain(&t);
                close_twins(&t);
            }
}

/* A new value of a key may take the place of the old one, which is told by its neighbour. */
static void the_neighbours_of_one_that_left_move_before_it_comes_back(void **state)
{
    (void)state;
    enum { FEW = 6 };
    FOR_ALL(ops)
        for (size_t leaver = 0; leaver < FEW; leaver++)
            for (int before = 0; before < 2; before++) {
                struct twins t = open_twins(ops, FEW);
                for (size_t i = 0; i < FEW; i++)
                    insert(&t, i, TT_EVICT_BYTES);
                if (before)
                    victim(&t);
                take(&t, leaver);
                move_all(&t);
                insert(&t, leaver, TT_EVICT_BYTES);
                drain(&t);
                close_twins(&t);
            }
}

/* The order has named it, its hand points to it: it is the same one still, and leaves as a victim. */
static void the_victim_that_was_named_moves(void **state)
{
    (void)state;
    enum { ROOM = 60, KEYS = 4 * ROOM };
    FOR_ALL(ops) {
        struct twins t = open_twins(ops, KEYS);
        for (size_t i = 0; i < ROOM; i++)
            insert(&t, i, TT_EVICT_BYTES);
        for (size_t n = 0; n < 20 * KEYS; n++) {
            size_t i = n * 7 % KEYS;
            if (t.stays->in[n % ROOM])
                hit(&t, n % ROOM);
            tick(&t, n % 5 == 0);
            if (t.stays->in[i])
                continue;
            size_t v = victim(&t);
            move(&t, v);
            assert_int_equal(victim(&t), v);
            move(&t, v);
            take(&t, v);
            insert(&t, i, TT_EVICT_BYTES);
        }
        drain(&t);
        close_twins(&t);
    }
}

/* A hit comes to the new place, and counts. */
static void one_that_moved_is_hit(void **state)
{
    (void)state;
    enum { FEW = 40 };
    FOR_ALL(ops) {
        struct twins t = open_twins(ops, FEW);
        for (size_t i = 0; i < FEW; i++)
            insert(&t, i, TT_EVICT_BYTES);
        tick(&t, 1);
        for (size_t i = 0; i < FEW; i += 3) {
            hit(&t, i);
            move(&t, i);
            hit(&t, i);
        }
        drain(&t);
        close_twins(&t);
    }
}

/* ---- all at random ---- */

enum { NODES = 160, ROOM = 50, STEPS = 20000 };

static void move_some(struct twins *t, uint64_t *seed)
{
    size_t v;
    switch (tt_random(seed) % 16) {
    case 0:
        move_all(t);
        break;
    case 1:
    case 2:
        v = victim(t);
        if (v != TT_EVICT_NONE)
            move(t, v);
        break;
    default:
        for (uint64_t n = tt_random(seed) % 4; n > 0; n--)
            move(t, tt_random(seed) % NODES);
    }
}

static void request(struct twins *t, size_t i, size_t bytes)
{
    if (t->stays->in[i]) {
        hit(t, i);
        return;
    }
    while (t->stays->count >= ROOM)
        evict(t);
    insert(t, i, bytes);
}

static void change_something(struct twins *t, uint64_t *seed)
{
    uint64_t what = tt_random(seed) % 1000;
    size_t i = tt_random(seed) % (1 + tt_random(seed) % NODES), bytes = what % 3 ? TT_EVICT_BYTES : what;
    if (what == 0)
        drain(t);
    else if (what == 1)
        tick(t, tt_random(seed) % 600); /* some go all the way round */
    else if (what < 100)
        tick(t, 1 + what % 2);
    else if (what < 200 && t->stays->in[i])
        take(t, i);
    else if (what < 300 && t->stays->in[i]) { /* a new value */
        take(t, i);
        if (what % 2)
            move_some(t, seed);
        insert(t, i, bytes);
    } else
        request(t, i, bytes);
}

static void moves_change_no_victim(void **state)
{
    (void)state;
    uint64_t seed = tt_seed();
    FOR_ALL(ops) {
        struct twins t = open_twins(ops, NODES);
        for (int step = 0; step < STEPS; step++) {
            change_something(&t, &seed);
            move_some(&t, &seed);
            assert_int_equal(t.moves->count, t.stays->count);
        }
        drain(&t);
        close_twins(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_only_entry_moves),
        cmocka_unit_test(the_oldest_the_newest_and_those_between_move),
        cmocka_unit_test(neighbours_of_one_that_moved_leave),
        cmocka_unit_test(the_neighbours_of_one_that_left_move_before_it_comes_back),
        cmocka_unit_test(the_victim_that_was_named_moves),
        cmocka_unit_test(one_that_moved_is_hit),
        cmocka_unit_test(moves_change_no_victim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
