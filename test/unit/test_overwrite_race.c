/* Values written over each other without a lock, through the cache's functions; and all at once, beside answers to
 * misses that come late, invalidations, moves, expiry and eviction. What must hold then:
 *
 * Each key has an origin, a number that its one writer raises before he stores it, or before he invalidates the key.
 * When that call has returned the number is settled. Who looks up after that finds it, or a later one, or nothing. That
 * is so because an answer to a miss is a number read after its ticket was taken: one that is older than what is settled
 * has a ticket from before the call that settled it. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "tier/cache.h"
#include "tier/verbs.h"
#include "tt_util.h"
#include "unit/tt_l1.h"
#include "unit/tt_trap.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { ROUNDS = 4000 }; /* of each writer */
#else
enum { ROUNDS = 40000 };
#endif

enum {
    LEN = 100,
    BIG = 300,
    LIFE_MS = 1000000
};

/* ---- through the cache's functions ---- */

struct bench {
    struct tt_cache b;
    struct cache_key k;
    unsigned char *value; /* of LEN bytes: in the trap, if that is set */
    int rc;
    _Atomic bool done;
};

static int open_bench(void **state)
{
    struct bench *x = tt_xcalloc(sizeof *x);
    tt_cache_prepare(&x->b, false);
    x->b.opts.clock = NULL; /* of the system: else nothing is done the short way */
    x->b.opts.l1_bytes = 32 << 20;
    x->b.type_opts.ttl_ms = LIFE_MS;
    tt_cache_open(&x->b);
    assert_true(x->b.c->l1.paged);
    tt_cache_key(&x->b, &x->k);
    x->value = tt_trap_bytes();
    *state = x;
    return 0;
}

static int close_bench(void **state)
{
    struct bench *x = *state;
    tt_trap_release(); /* of a test that failed half-way */
    bool clean = x->b.c == NULL ? tt_cache_fini(&x->b) : tt_cache_close(&x->b);
    free(x);
    return clean ? 0 : -1;
}

static struct tc_target target_of(struct bench *x)
{
    struct tc_target t;
    assert_int_equal(tc_cache_target(x->b.c, &x->k, &t), CACHE_OK);
    return t;
}

static struct tc_stripe *stripe_of(struct bench *x)
{
    return tc_l1_stripe(&x->b.c->l1, target_of(x).ref.hash);
}

static int set_it(void *arg, unsigned index)
{
    struct bench *x = arg;
    (void)index;
    x->rc = cache_set(x->b.c, &x->k, x->value, LEN, NULL);
    atomic_store(&x->done, true);
    return 0;
}

static int set_other(void *arg, unsigned index)
{
    struct bench *x = arg;
    unsigned char other[LEN];
    (void)index;
    tt_l1_fill(other, LEN, 0, 5);
    return cache_set(x->b.c, &x->k, other, LEN, NULL) != CACHE_OK;
}

static int answer_a_miss(void *arg, unsigned index)
{
    struct bench *x = arg;
    unsigned char buf[BIG];
    struct cache_meta m;
    return cache_get_copy(x->b.c, &x->k, buf, sizeof buf, &m) != CACHE_MISS || set_other(x, index) != 0;
}

/* 0: nothing. */
static uint64_t version_there(struct bench *x)
{
    unsigned char buf[BIG];
    struct cache_meta m;
    uint64_t version = 0;
    if (cache_get_copy(x->b.c, &x->k, buf, sizeof buf, &m) != CACHE_OK)
        return 0;
    assert_true(m.len == LEN && tt_l1_is_value(buf, LEN, 0, &version));
    return version;
}

static int set_version(struct bench *x, uint64_t version)
{
    tt_l1_fill(x->value, LEN, 0, version);
    set_it(x, 0);
    return x->rc;
}

static void a_value_that_is_there_is_written_over_while_another_has_the_lock(void **state)
{
    struct bench *x = *state;
    assert_int_equal(set_version(x, 1), CACHE_OK);
    tt_l1_fill(x->value, LEN, 0, 2);
    for (int first = 0; first < 2; first++) { /* then one that is not there: it has to wait */
        struct tc_stripe *s = stripe_of(x);
        x->done = false;
        tc_lock_acquire(&s->lock);
        struct tt_crew *crew = tt_crew_start(1, set_it, x);
        bool ended = false;
        for (int64_t end_ms = tt_mono_ms() + TT_SOON_MS; !ended && tt_pause(end_ms);)
            ended = x->done || (first == 1 && tt_crew_sleeps(crew));
        bool waits = !x->done;
        uint64_t version = waits ? 0 : version_there(x); /* nor does a look-up need it */
        tc_lock_release(&s->lock);
        assert_int_equal(tt_crew_join(crew), 0);
        assert_int_equal(x->rc, CACHE_OK);
        assert_true(ended && waits == first && version == (first ? 0 : 2));
        assert_int_equal(version_there(x), 2);
        assert_int_equal(cache_invalidate(x->b.c, &x->k, NULL), CACHE_OK);
    }
}

static void an_answer_to_a_miss_is_no_write(void **state)
{
    struct bench *x = *state;
    uint64_t hash = target_of(x).ref.hash;
    for (int stands = 0; stands < 2; stands++) {
        assert_int_equal(cache_invalidate(x->b.c, &x->k, NULL), CACHE_OK);
        assert_int_equal(version_there(x), 0); /* this thread has a ticket from here on */
        assert_int_equal(tt_crew_join(tt_crew_start(1, stands ? answer_a_miss : set_other, x)), 0);
        uint64_t generation = tc_l1_generation(&x->b.c->l1, hash);
        assert_int_equal(set_version(x, 9), stands ? CACHE_OK : CACHE_E_TICKET);
        assert_int_equal(tc_l1_generation(&x->b.c->l1, hash), generation);
        assert_true(version_there(x) == 5 || stands);
        assert_int_equal(set_version(x, 10), CACHE_OK); /* it serves once: this is a write */
        assert_int_equal(tc_l1_generation(&x->b.c->l1, hash), generation + 1);
        assert_int_equal(version_there(x), 10);
    }
}

static struct cache_stats stats(struct bench *x)
{
    struct cache_stats s;
    assert_int_equal(cache_stats_read(x->b.c, x->b.type, &s, sizeof s), CACHE_OK);
    return s;
}

static struct tt_crew *stand_half_way(struct bench *x)
{
    tt_l1_fill(x->value, LEN, 0, 2);
    tt_trap_set();
    x->done = false;
    struct tt_crew *crew = tt_crew_start(1, set_it, x);
    if (!tt_trap_await())
        tt_die("nobody writes");
    return crew;
}

/* Counted once, whether it needed the lock in the end or not. */
static void what_is_invalidated_half_way_is_stored_and_counted_once(void **state)
{
    struct bench *x = *state;
    for (int invalidated = 0; invalidated < 2; invalidated++) {
        assert_int_equal(set_version(x, 1), CACHE_OK);
        struct cache_stats before = stats(x);
        struct tt_crew *crew = stand_half_way(x);
        int rc = invalidated ? cache_invalidate(x->b.c, &x->k, NULL) : CACHE_OK;
        tt_trap_release();
        assert_int_equal(tt_crew_join(crew), 0);
        assert_true(rc == CACHE_OK && x->rc == CACHE_OK);
        assert_int_equal(version_there(x), 2);
        assert_int_equal(stats(x).sets, before.sets + 1);
        assert_int_equal(stats(x).l1_sets, before.l1_sets + 1);
        assert_int_equal(stats(x).l1_replaced, before.l1_replaced + !invalidated);
        assert_int_equal(stats(x).l1_invalidated, before.l1_invalidated + (unsigned)invalidated);
        assert_int_equal(stats(x).l1_entries, 1);
    }
}

static void a_cache_is_not_closed_while_somebody_writes(void **state)
{
    struct bench *x = *state;
    assert_int_equal(set_version(x, 1), CACHE_OK);
    struct tt_crew *crew = stand_half_way(x);
    int busy = cache_close(x->b.c, 20), refused = set_other(x, 0);
    tt_trap_release();
    assert_int_equal(tt_crew_join(crew), 0);
    assert_int_equal(busy, CACHE_BUSY);
    assert_true(refused);
    assert_int_equal(x->rc, CACHE_OK);
    assert_int_equal(cache_close(x->b.c, TT_SOON_MS), CACHE_OK);
    x->b.c = NULL;
}

/* ---- all at once ---- */

enum {
    KEYS = 6,
    WRITERS = 2, /* each has every second key */
    TICKETS = 8, /* that one who answers keeps */
    LIMIT = 1 << 20
};

struct origin {
    _Alignas(64) _Atomic uint64_t number;
    _Atomic uint64_t settled;
};

struct crowd {
    struct tt_l1 *r;
    uint64_t seed;
    struct origin origins[KEYS];
    _Atomic unsigned writing;
    _Atomic uint64_t over, found, answered, refused;
};

static int64_t any_life(uint64_t *seed)
{
    return tt_random(seed) % 4 == 0 ? 1 + (int64_t)(tt_random(seed) % 4) : LIFE_MS;
}

static int put(struct crowd *c, struct tt_l1_key k, uint64_t number, const uint64_t *expected, uint64_t *seed)
{
    struct tt_l1 *r = c->r;
    struct cache_slice key = tt_l1_ref(&k).key;
    struct tc_entry *e = tc_entry_open_small(&r->alloc, r->l1.node_bytes, r->types[0], k.hash, key, LEN);
    tt_l1_fill(tc_entry_room(e), LEN, k.number, number);
    tc_entry_set_life(e, tt_l1_now(r), any_life(seed), 0);
    int rc = tc_l1_put(&r->l1, e, &r->policies[0], expected, expected == NULL);
    tc_l1_drop(&r->l1, e);
    return rc;
}

/* As the cache's function does it: the answer to a miss under expected. */
static int set(struct crowd *c, struct tt_l1_key k, uint64_t number, const uint64_t *expected, uint64_t *seed)
{
    struct tc_l1 *l1 = &c->r->l1;
    unsigned char value[LEN];
    struct tc_entry_parts p = { k.hash, tt_l1_ref(&k).key, { value, LEN }, tt_l1_now(c->r), any_life(seed), 0 };
    tt_l1_fill(value, LEN, k.number, number);
    bool replaced, over = expected == NULL && tt_l1_set_over(c->r, &p);
    atomic_fetch_add(&c->over, over);
    if (over || tc_l1_set(l1, &p, expected, &replaced))
        return CACHE_OK;
    return put(c, k, number, expected, seed);
}

static int write_own_keys(struct crowd *c, unsigned index)
{
    uint64_t seed = c->seed + index;
    int failures = 0;
    for (uint64_t i = 0; i < ROUNDS && failures < 10; i++) {
        uint64_t random = tt_random(&seed), n = random % (KEYS / WRITERS) * WRITERS + index;
        struct tt_l1_key k = tt_l1_key(c->r, n);
        struct origin *o = &c->origins[n];
        uint64_t number = atomic_fetch_add(&o->number, 1) + 1;
        int rc = CACHE_OK;
        if (random >> 32 & 15)
            rc = set(c, k, number, NULL, &seed);
        else
            tt_l1_invalidate(c->r, k);
        TT_CHECK(failures, rc == CACHE_OK || rc == CACHE_E_NOMEM); /* then nothing is there */
        atomic_store(&o->settled, number);
        if ((random >> 40) % 64 == 0)
            sched_yield();
    }
    atomic_fetch_sub(&c->writing, 1);
    return failures;
}

struct ticket {
    uint64_t key, generation, number;
    bool taken;
};

/* Takes tickets, reads origins, and answers with them at once or much later. */
static int answer(struct crowd *c, uint64_t seed)
{
    struct ticket tickets[TICKETS] = { { .taken = false } };
    int failures = 0;
    while (atomic_load(&c->writing) > 0 && failures < 10) {
        uint64_t random = tt_random(&seed);
        struct ticket *t = &tickets[random % TICKETS], taken = { .key = random / TICKETS % KEYS, .taken = true };
        struct tt_l1_key k = tt_l1_key(c->r, taken.key);
        struct tc_l1_found f;
        if (random >> 32 & 1) {
            taken.generation = tc_l1_generation(&c->r->l1, k.hash);
        } else {
            tc_l1_get(&c->r->l1, tt_l1_ref(&k), tt_l1_now(c->r), &f);
            taken.generation = f.generation;
            if (f.entry != NULL)
                tc_l1_release(&c->r->l1, f.entry);
        }
        taken.number = atomic_load(&c->origins[taken.key].number);
        if (random >> 33 & 1)
            sched_yield();
        struct ticket use = random >> 34 & 1 ? taken : *t;
        *t = taken;
        if (!use.taken)
            continue;
        k = tt_l1_key(c->r, use.key);
        int rc = set(c, k, use.number, &use.generation, &seed);
        TT_CHECK(failures, rc == CACHE_OK || rc == CACHE_E_TICKET || rc == TC_L1_KEPT || rc == CACHE_E_NOMEM);
        atomic_fetch_add(rc == CACHE_OK ? &c->answered : &c->refused, 1);
    }
    return failures;
}

/* Neither older than what was settled before, nor younger than what the origin had after. */
static void look_up(struct crowd *c, uint64_t n, bool pin, int *failures)
{
    unsigned char buf[BIG];
    struct tt_l1_key k = tt_l1_key(c->r, n);
    struct tc_l1_copied is = { .len = LEN };
    struct tc_l1_found f = { .entry = NULL };
    uint64_t settled = atomic_load(&c->origins[n].settled), number = 0;
    bool copied = false;
    if (pin)
        tc_l1_get(&c->r->l1, tt_l1_ref(&k), tt_l1_now(c->r), &f);
    else
        copied = tc_l1_get_copy(&c->r->l1, tt_l1_ref(&k), tt_l1_now(c->r), buf, sizeof buf, &is, &f);
    uint64_t most = atomic_load(&c->origins[n].number);
    if (f.entry != NULL)
        memcpy(buf, tc_entry_data(f.entry), LEN);
    if (f.entry != NULL || copied) {
        TT_CHECK(*failures, is.len == LEN && tt_l1_is_value(buf, LEN, n, &number));
        TT_CHECK(*failures, number >= settled);
        TT_CHECK(*failures, number <= most);
        atomic_fetch_add(&c->found, 1);
    }
    if (f.entry != NULL)
        tc_l1_release(&c->r->l1, f.entry);
}

static int read_any(struct crowd *c, uint64_t seed)
{
    int failures = 0;
    while (atomic_load(&c->writing) > 0 && failures < 10) {
        uint64_t random = tt_random(&seed);
        look_up(c, random % KEYS, random >> 32 & 1, &failures);
    }
    return failures;
}

/* Moves entries together, evicts, invalidates, and lets time pass. */
static int disturb(struct crowd *c, uint64_t seed)
{
    struct tc_stripe *s = &c->r->l1.stripes[0];
    while (atomic_load(&c->writing) > 0) {
        uint64_t random = tt_random(&seed), what = random % 64;
        struct tc_dropped dropped = { .first = NULL };
        tt_clock_advance(&c->r->time, random >> 32 & 1);
        if (what < 4)
            tt_l1_invalidate(c->r, tt_l1_key(c->r, random >> 16 & 7));
        if (what == 4)
            tc_l1_clear(&c->r->l1);
        if (what < 48)
            sched_yield();
        tc_lock_acquire(&s->lock);
        uint32_t cell = what < 50 ? tc_stripe_victim(s, NULL, 0) : 0;
        if (cell != 0)
            tc_stripe_remove(s, cell, TC_COUNT_l1_evicted_bytes, &dropped);
        else
            tc_stripe_expire(s, tt_l1_now(c->r), &dropped);
        if (what > 58)
            tc_stripe_vacate_page(s, &dropped);
        tc_l1_leave(&c->r->l1, s, &dropped);
    }
    return 0;
}

static int do_ones_part(void *arg, unsigned index)
{
    struct crowd *c = arg;
    int (*const others[])(struct crowd *c, uint64_t seed) = { answer, read_any, answer, disturb };
    return index < WRITERS ? write_own_keys(c, index) : others[index - WRITERS](c, c->seed + index);
}

static void run(unsigned others)
{
    struct crowd *c = tc_alloc_lines(&tc_alloc_default, sizeof *c);
    assert_non_null(c);
    c->r = tt_l1_new(LIMIT, 1, NULL);
    assert_true(c->r != NULL && c->r->l1.paged);
    tc_l1_know(&c->r->l1, c->r->types[0]);
    c->seed = tt_seed();
    c->writing = WRITERS;
    int failures = tt_crew_join(tt_crew_start(WRITERS + others, do_ones_part, c));
    for (uint64_t n = 0; n < KEYS; n++)
        look_up(c, n, false, &failures);
    assert_int_equal(failures, 0);
    assert_true(c->over > ROUNDS / 100 && c->found > 0 && c->refused > 0);
    assert_int_equal(tt_l1_type_entries(c->r, 0), c->r->l1.stripes[0].index.count);
    assert_true(tt_l1_free(c->r));
    tc_free_lines(&tc_alloc_default, c, sizeof *c);
}

static void no_answer_is_older_than_what_was_settled(void **state)
{
    (void)state;
    run(3);
}

static void not_even_beside_moves_and_evictions(void **state)
{
    (void)state;
    run(4);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, open_bench, close_bench)
    const struct CMUnitTest tests[] = {
        WITH(a_value_that_is_there_is_written_over_while_another_has_the_lock),
        WITH(an_answer_to_a_miss_is_no_write),
        WITH(what_is_invalidated_half_way_is_stored_and_counted_once),
        WITH(a_cache_is_not_closed_while_somebody_writes),
        cmocka_unit_test(no_answer_is_older_than_what_was_settled),
        cmocka_unit_test(not_even_beside_moves_and_evictions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
