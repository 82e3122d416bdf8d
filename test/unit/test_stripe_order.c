/* Orders of one stripe under several eviction policies: a type's own works as it would if the whole cache had it, and
 * does not change what the cache's does; which of all victims is next; what becomes of those that cannot be moved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/evict.h"
#include "tt_util.h"
#include "unit/tt_stripe.h"

enum { ENTRIES = 600, ROOM = TC_EVICT_NODE_MAX / 2, OWN = 1 };

static const char *const names[] = { "lru", "lru-exact", "sieve", "s3-fifo", "lfu", "w-tinylfu" };

#define EACH_PAIR(a, b)                                                                                       \
    for (size_t i_ = 0; i_ < TC_ARRAY_LEN(names) * TC_ARRAY_LEN(names); i_++)                                 \
        for (const struct cache_evict_ops *a = cache_evict_policy(names[i_ / TC_ARRAY_LEN(names)]),           \
                                          *b = cache_evict_policy(names[i_ % TC_ARRAY_LEN(names)]); a != NULL; a = NULL)

/* own may be NULL: the type has an order of its own under the cache's policy. */
static void open_pair(struct tt_stripe *f, const struct cache_evict_ops *all, const struct cache_evict_ops *own,
                      bool paged)
{
    memset(f, 0, sizeof *f);
    tt_stripe_open_with_room(f, all, ROOM, paged);
    if (own != NULL)
        tt_l1_bring(f->r, OWN, own);
}

static uint32_t link(struct tt_stripe *f, uint64_t number, size_t type)
{
    uint32_t cell = tt_stripe_link(f, number, type, type == OWN, 0);
    tt_clock_advance(&f->r->time, 1);
    return cell;
}

static struct tc_order *order_of(struct tt_stripe *f, size_t type)
{
    return tc_stripe_order(f->s, f->r->types[type], false);
}

/* ---- one policy beside another ---- */

struct victims {
    size_t n;
    uint64_t number[2 * ENTRIES];
};

static void evict_all_of(struct tt_stripe *f, struct tc_order *o, struct victims *v)
{
    uint32_t cell;
    while ((cell = tc_stripe_victim(f->s, o, 0)) != 0) {
        v->number[v->n++] = tt_stripe_number(f, cell);
        tt_stripe_remove(f, cell);
    }
}

/* Entries of both types come; those of one are hit, leave and come again; and in the end all of that leave by their
 * order. */
static void play(const struct cache_evict_ops *all, const struct cache_evict_ops *own, size_t type, uint64_t seed,
                 struct victims *v)
{
    struct tt_stripe f;
    open_pair(&f, all, own, seed % 2);
    v->n = 0;
    for (uint64_t n = 0; n < ENTRIES; n++) {
        link(&f, n, n % 2);
        uint64_t random = tt_random(&seed), one = random / 16 % (n + 1) / 2 * 2 + type;
        uint32_t cell = one <= n ? tt_stripe_find(&f, one) : 0;
        if (cell != 0)
            tt_stripe_touch(&f, cell);
        if (cell != 0 && random % 16 < 3)
            tt_stripe_remove(&f, cell);
        if (cell != 0 && random % 16 == 0)
            link(&f, one, type);
        cell = n > ENTRIES / 4 && random % 16 == 5 ? tc_stripe_victim(f.s, order_of(&f, type), 0) : 0;
        if (cell != 0) {
            v->number[v->n++] = tt_stripe_number(&f, cell);
            tt_stripe_remove(&f, cell);
        }
        tt_stripe_reap(&f);
    }
    assert_int_equal(f.s->shared.count, tt_stripe_entries(&f, 0));
    assert_int_equal(order_of(&f, OWN)->count, tt_stripe_entries(&f, OWN));
    assert_true(tc_stripe_check(f.s));
    evict_all_of(&f, order_of(&f, type), v);
    assert_true(tc_stripe_check(f.s));
    assert_true(tt_stripe_close(&f));
}

static void assert_same(const struct victims *a, const struct victims *b)
{
    assert_int_equal(a->n, b->n);
    assert_true(a->n > ENTRIES / 4);
    assert_memory_equal(a->number, b->number, a->n * sizeof *a->number);
}

static void a_types_policy_works_as_if_the_cache_had_it(void **state)
{
    static struct victims beside, alone;
    uint64_t seed = tt_seed();
    (void)state;
    EACH_PAIR(all, own) {
        uint64_t same = tt_random(&seed);
        play(all, own, OWN, same, &beside);
        play(own, NULL, OWN, same, &alone);
        assert_same(&beside, &alone);
    }
}

static void the_caches_policy_works_as_before(void **state)
{
    static struct victims beside, alone;
    uint64_t seed = tt_seed();
    (void)state;
    EACH_PAIR(all, own) {
        uint64_t same = tt_random(&seed);
        play(all, own, 0, same, &beside);
        play(all, NULL, 0, same, &alone);
        assert_same(&beside, &alone);
    }
}

/* ---- which of all victims ---- */

/* It takes stamps away when it sorts: what is left to be known is when its entries were stored. */
static struct cache_evict_ops ageless_lru(void)
{
    struct cache_evict_ops ops = tc_evict_lru;
    ops.age = NULL;
    return ops;
}

/* Evicts as many as the one type has; all of them are of that type. */
static void assert_leaves_first(struct tt_stripe *f, size_t type)
{
    for (uint64_t n = tt_stripe_entries(f, type) / 2; n > 0; n--) {
        uint32_t cell = tc_stripe_victim(f->s, NULL, 0);
        assert_int_equal(tt_stripe_number(f, cell) % 2, type);
        tt_stripe_remove(f, cell);
    }
}

static void store_all(struct tt_stripe *f, size_t type)
{
    for (uint64_t n = 0; n < ENTRIES; n += 2)
        link(f, n + type, type);
}

static void assert_the_older_ones_leave(const struct cache_evict_ops *all, const struct cache_evict_ops *own)
{
    for (size_t older = 0; older < 2; older++) {
        struct tt_stripe f;
        open_pair(&f, all, own, true);
        tc_stripe_order(f.s, f.r->types[OWN], true);
        store_all(&f, older);
        store_all(&f, 1 - older);
        assert_leaves_first(&f, older);
        assert_true(tt_stripe_close(&f));
    }
}

static void what_was_stored_longest_ago_leaves_first_whatever_the_policies(void **state)
{
    struct cache_evict_ops ageless = ageless_lru();
    (void)state;
    EACH_PAIR(all, own)
        assert_the_older_ones_leave(all, own);
    for (size_t i = 0; i < TC_ARRAY_LEN(names); i++) {
        assert_the_older_ones_leave(&ageless, cache_evict_policy(names[i]));
        assert_the_older_ones_leave(cache_evict_policy(names[i]), &ageless);
    }
}

/* Those that came first are hit all the time since then: where hits are told, it is the others' turn. */
static void assert_the_unused_ones_leave(const struct cache_evict_ops *all, const struct cache_evict_ops *own,
                                         size_t used)
{
    struct tt_stripe f;
    open_pair(&f, all, own, true);
    tc_stripe_order(f.s, f.r->types[OWN], true);
    store_all(&f, used);
    store_all(&f, 1 - used);
    for (int round = 0; round < 3; round++)
        for (uint64_t n = 0; n < ENTRIES; n += 2)
            tt_stripe_touch(&f, tt_stripe_find(&f, n + used));
    assert_leaves_first(&f, 1 - used);
    assert_true(tt_stripe_close(&f));
}

static void what_is_used_stays_where_hits_are_told(void **state)
{
    static const struct cache_evict_ops *const told[] = { &tc_evict_lru, &tc_evict_lru_exact };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(told); i++)
        for (size_t k = 0; k < TC_ARRAY_LEN(names); k++) {
            assert_the_unused_ones_leave(told[i], cache_evict_policy(names[k]), 0);
            assert_the_unused_ones_leave(cache_evict_policy(names[k]), told[i], OWN);
        }
}

/* Where every hit is told it is the last use of each that is compared; no time need pass. */
static void uses_that_are_told_are_compared_one_by_one(void **state)
{
    struct tt_stripe f;
    (void)state;
    open_pair(&f, &tc_evict_lru_exact, &tc_evict_lru_exact, true);
    for (uint64_t n = 0; n < 60; n++)
        tt_stripe_link(&f, n, n % 2, n % 2 == OWN, 0);
    for (uint64_t n = 0; n < 60; n += 3)
        tt_stripe_touch(&f, tt_stripe_find(&f, n));
    for (uint64_t i = 0; i < 60; i++) {
        uint32_t cell = tc_stripe_victim(f.s, NULL, 0);
        assert_int_equal(tt_stripe_number(&f, cell), i < 40 ? i + i / 2 + 1 : (i - 40) * 3);
        tt_stripe_remove(&f, cell);
    }
    assert_true(tt_stripe_close(&f));
}

/* It does not matter to the others that a type got an order of its own meanwhile. */
static void what_is_known_of_uses_is_kept_when_a_type_gets_an_order(void **state)
{
    struct tt_stripe f;
    (void)state;
    open_pair(&f, &tc_evict_lru_exact, NULL, true);
    for (uint64_t n = 0; n < 60; n++)
        tt_stripe_link(&f, n, n % 2, false, 0);
    for (uint64_t n = 0; n < 60; n += 3)
        tt_stripe_touch(&f, tt_stripe_find(&f, n));
    assert_ptr_equal(tc_stripe_order(f.s, f.r->types[OWN], true)->type, f.r->types[OWN]);
    for (uint64_t i = 0; i < 60; i++) {
        uint32_t cell = tc_stripe_victim(f.s, NULL, 0);
        assert_int_equal(tt_stripe_number(&f, cell), i < 40 ? i + i / 2 + 1 : (i - 40) * 3);
        tt_stripe_remove(&f, cell);
    }
    assert_true(tt_stripe_close(&f));
}

/* However long ago it was stored. */
static void a_type_that_gets_an_order_brings_its_entries_by_age(void **state)
{
    static const int64_t steps_ms[] = { 1, 60000, 3600000 };
    struct tt_stripe f;
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(steps_ms); i++) {
        open_pair(&f, &tc_evict_sieve, NULL, true);
        for (uint64_t n = 0; n < 100; n++) {
            tt_stripe_link(&f, n, OWN, false, 0);
            tt_clock_advance(&f.r->time, steps_ms[i]);
        }
        struct tc_order *o = tc_stripe_order(f.s, f.r->types[OWN], true);
        assert_int_equal(o->count, 100);
        for (uint64_t n = 0; n < 100; n++) {
            uint32_t cell = tc_stripe_victim(f.s, o, 0);
            assert_int_equal(tt_stripe_number(&f, cell), n);
            tt_stripe_remove(&f, cell);
        }
        assert_true(tt_stripe_close(&f));
    }
}

static unsigned ticks_since(const struct tt_stripe *f, uint8_t stamp)
{
    return (f->s->index.view->stamp + UINT8_MAX - stamp) % UINT8_MAX;
}

/* A tick is a part of all entries: one that is hit all the time, with the lock held, does not drive it, or hits of all
 * other types would mark theirs anew each time. */
static void one_entry_alone_makes_no_ticks_however_often_it_is_hit(void **state)
{
    struct tt_stripe f;
    (void)state;
    open_pair(&f, &tc_evict_lru, &tc_evict_lru_exact, true);
    for (uint64_t n = 0; n < ENTRIES; n++)
        link(&f, n, n % 2);
    uint8_t stamp = f.s->index.view->stamp;
    for (unsigned n = 0; n < 100 * ENTRIES; n++)
        tt_stripe_touch(&f, tt_stripe_find(&f, OWN));
    assert_in_range(ticks_since(&f, stamp), 0, 1);
    for (unsigned n = 0; n < 10 * ENTRIES; n++) /* all of them do */
        tt_stripe_touch(&f, tt_stripe_find(&f, n % ENTRIES));
    assert_in_range(ticks_since(&f, stamp), 100, 170);
    assert_true(tt_stripe_close(&f));
}

static void come_and_go(struct tt_stripe *f, uint64_t first, uint64_t n)
{
    for (uint64_t i = first; i < first + n; i++)
        tt_stripe_remove(f, tt_stripe_link(f, i, 2, false, 0));
    tt_stripe_reap(f);
}

/* An age that ends somewhere does not make its entries look younger for good than those of which more is known. */
static void where_ages_end_what_lies_longer_leaves_all_the_same(void **state)
{
    struct tt_stripe f;
    (void)state;
    open_pair(&f, &tc_evict_lru_exact, &tc_evict_lru, true);
    link(&f, OWN, OWN);
    come_and_go(&f, 1000, 300);
    link(&f, 0, 0);
    come_and_go(&f, 2000, 300); /* each is a tick */
    assert_int_equal(tc_evict_lru.age(order_of(&f, OWN)->state), 127);
    assert_int_equal(tt_stripe_number(&f, tc_stripe_victim(f.s, NULL, 0)), OWN);
    assert_true(tt_stripe_close(&f));
}

/* An order of 64 under a policy that tells nothing, whose entries come slowly and fast by turns, beside one that was
 * last used some 1,200 uses ago. */
static void one_fast_round_does_not_make_an_order_young(void **state)
{
    struct tt_stripe f;
    (void)state;
    open_pair(&f, &tc_evict_lru_exact, &tc_evict_sieve, true);
    for (uint64_t n = 0; n < 64; n++) {
        if (n == 36)
            link(&f, 0, 0);
        link(&f, 2 * n + 1, OWN);
        if (n / 16 % 2 == 0)
            come_and_go(&f, 1000 + 100 * n, 100);
    }
    assert_int_equal(tt_stripe_number(&f, tc_stripe_victim(f.s, NULL, 0)) % 2, OWN);
    assert_true(tt_stripe_close(&f));
}

/* What comes fast and then slowly is judged by the latter at once, not when a round is full. */
static void an_order_that_slows_down_is_not_young_any_more(void **state)
{
    struct tt_stripe f;
    (void)state;
    open_pair(&f, &tc_evict_lru_exact, &tc_evict_sieve, true);
    link(&f, 0, 0);
    come_and_go(&f, 1000, 5000);
    for (uint64_t n = 0; n < 64 + 5; n++) {
        link(&f, 2 * n + 1, OWN);
        if (n >= 64)
            come_and_go(&f, 10000 + 200 * n, 200);
        if (n == 63)
            assert_int_equal(tt_stripe_number(&f, tc_stripe_victim(f.s, NULL, 0)), 0);
    }
    assert_int_equal(tt_stripe_number(&f, tc_stripe_victim(f.s, NULL, 0)) % 2, OWN);
    assert_true(tt_stripe_close(&f));
}

static void a_few_fast_ones_do_not_make_a_large_order_young(void **state)
{
    enum { MANY = 640, FEW = 48 };
    struct tt_stripe f;
    (void)state;
    open_pair(&f, &tc_evict_lru_exact, &tc_evict_sieve, true);
    for (uint64_t n = 0; n < MANY + FEW; n++) {
        if (n == 240)
            link(&f, 0, 0); /* 4,000 uses before the end */
        link(&f, 2 * n + 1, OWN);
        if (n < MANY)
            come_and_go(&f, 10000 + 10 * n, 9);
    }
    assert_int_equal(tt_stripe_number(&f, tc_stripe_victim(f.s, NULL, 0)) % 2, OWN);
    assert_true(tt_stripe_close(&f));
}

/* What went on before it began is not its own. */
static void an_order_that_begins_late_is_as_young_as_its_entries(void **state)
{
    struct tt_stripe f;
    (void)state;
    open_pair(&f, &tc_evict_lru_exact, &tc_evict_sieve, true);
    come_and_go(&f, 1000, 5000);
    link(&f, 0, 0);
    come_and_go(&f, 6000, 100);
    for (uint64_t n = 0; n < 10; n++)
        link(&f, 2 * n + 1, OWN);
    assert_int_equal(tt_stripe_number(&f, tc_stripe_victim(f.s, NULL, 0)), 0);
    assert_true(tt_stripe_close(&f));
}

/* Of those whose ages do not differ, the one that was stored first. */
static void in_one_tick_what_was_stored_first_leaves_first(void **state)
{
    (void)state;
    for (size_t first = 0; first < 2; first++) {
        struct tt_stripe f;
        uint64_t n = 0;
        open_pair(&f, &tc_evict_lru, &tc_evict_lru, true);
        tc_stripe_order(f.s, f.r->types[OWN], true);
        do
            tt_stripe_link(&f, 1000 + n, 2, false, 0);
        while (n++ < ENTRIES || f.s->toward_tick != 0);
        link(&f, first, first);
        link(&f, 1 - first, 1 - first);
        for (uint64_t i = 0; i < n; i++)
            tt_stripe_remove(&f, tt_stripe_find(&f, 1000 + i));
        assert_int_equal(tc_evict_lru.age(order_of(&f, 0)->state), tc_evict_lru.age(order_of(&f, OWN)->state));
        assert_int_equal(tt_stripe_number(&f, tc_stripe_victim(f.s, NULL, 0)), first);
        assert_true(tt_stripe_close(&f));
    }
}

/* 256 is one use. */
static void how_many_uses_a_tick_has_is_known_from_the_first_and_followed_slowly(void **state)
{
    enum { STORED = 640 / 64 + 1, HIT = 640 / 16 + 1 };
    struct tt_stripe f;
    (void)state;
    open_pair(&f, &tc_evict_lru, &tc_evict_lru, true);
    tt_stripe_link(&f, 0, 0, false, 0);
    assert_int_equal(f.s->uses_of_tick, 256);
    for (uint64_t n = 1; n < 640; n++)
        tt_stripe_link(&f, n, 0, false, 0);
    for (uint64_t n = 0; n < 400 || f.s->toward_tick != 0; n++)
        come_and_go(&f, 1000 + n, 1);
    assert_in_range(f.s->uses_of_tick, (STORED - 1) * 256, STORED * 256);
    uint8_t stamp = f.s->index.view->stamp;
    while (f.s->index.view->stamp == stamp)
        tc_stripe_marked(f.s, 1);
    assert_in_range(f.s->uses_of_tick, STORED * 256 + 1, (STORED + HIT) / 2 * 256);
    for (unsigned n = 0; n < 40 * HIT; n++)
        tc_stripe_marked(f.s, 1);
    assert_in_range(f.s->uses_of_tick, (HIT - 2) * 256, HIT * 256);
    assert_true(tt_stripe_close(&f));
}

/* An order into which nothing comes any more has to give of it, whatever its policy, down to the last entry. */
static void an_idle_order_is_emptied(void **state)
{
    (void)state;
    EACH_PAIR(all, own)
        for (size_t idle = 0; idle < 2; idle++) {
            struct tt_stripe f;
            open_pair(&f, all, own, true);
            store_all(&f, idle);
            for (uint64_t n = 0; n < 8 * ENTRIES; n++) {
                link(&f, 2 * ENTRIES + 2 * n + 1 - idle, 1 - idle);
                if (n > ENTRIES / 2) {
                    tt_stripe_remove(&f, tc_stripe_victim(f.s, NULL, 0));
                    tt_stripe_reap(&f);
                }
            }
            assert_int_equal(tt_stripe_entries(&f, idle), 0);
            assert_true(tt_stripe_close(&f));
        }
}

/* A policy may say any age; a priority multiplies it. */
static uint32_t endless_age(void *state)
{
    (void)state;
    return UINT32_MAX;
}

static void any_age_may_be_said(void **state)
{
    struct cache_evict_ops old = tc_evict_sieve;
    (void)state;
    old.age = endless_age;
    for (int64_t priority = -8; priority <= 8; priority += 4) {
        struct tt_stripe f;
        open_pair(&f, &tc_evict_lru, &old, true);
        f.r->policies[OWN].l1_priority = priority;
        tc_type_set_policy(f.r->types[OWN], &f.r->policies[OWN], tt_l1_now(f.r));
        for (uint64_t n = 0; n < 100; n++)
            link(&f, n, n % 2);
        uint32_t cell = tc_stripe_victim(f.s, NULL, 0);
        assert_int_equal(tt_stripe_number(&f, cell) % 2, OWN);
        assert_true(tt_stripe_close(&f));
    }
}

/* ---- memory ---- */

static unsigned begun, ended;

static void count_begin(void *state, const struct cache_evict_env *env)
{
    begun++;
    tc_evict_s3fifo.begin(state, env);
}

static void count_end(void *state)
{
    ended++;
    tc_evict_s3fifo.end(state);
}

static void an_own_order_has_the_state_of_its_policy_and_ends_once(void **state)
{
    struct cache_evict_ops ops = tc_evict_s3fifo;
    struct tt_stripe f;
    (void)state;
    ops.begin = count_begin;
    ops.end = count_end;
    ops.state_bytes += 800;
    open_pair(&f, &tc_evict_lru, &ops, false);
    begun = ended = 0;
    uint64_t before = tc_stripe_bytes(f.s), live = tt_alloc_counts(&f.r->counting).live_bytes;
    struct tc_order *own = tc_stripe_order(f.s, f.r->types[OWN], true);
    assert_ptr_equal(own->type, f.r->types[OWN]);
    assert_int_equal(begun, 1);
    assert_int_equal(tt_alloc_counts(&f.r->counting).live_bytes - live, sizeof *own + ops.state_bytes);
    assert_int_equal(tc_stripe_bytes(f.s) - before, tc_stripe_order_bytes(&f.r->l1, f.r->types[OWN]));
    assert_true(tc_stripe_order_bytes(&f.r->l1, f.r->types[OWN]) >= sizeof *own + ops.state_bytes);
    for (uint64_t n = 0; n < ENTRIES; n++)
        link(&f, n, n % 2);
    assert_true(f.s->policy_bytes > 0); /* what s3-fifo remembers */
    assert_true(tc_stripe_check(f.s));
    assert_int_equal(ended, 0);
    assert_true(tt_stripe_close(&f));
    assert_int_equal(begun, 1);
    assert_int_equal(ended, 1);
}

/* ---- moving ---- */

/* Pages with entries of both types, of which few are left. */
static void thin_out(struct tt_stripe *f)
{
    for (uint64_t n = 0; n < 4 * ENTRIES; n++)
        link(f, n, n / 3 % 2);
    for (uint64_t n = 0; n < 4 * ENTRIES; n++)
        if (n * 2654435761u % 1000003 % 10 != 0)
            tt_stripe_remove(f, tt_stripe_find(f, n));
    tt_stripe_reap(f);
}

static void vacate(struct tt_stripe *f)
{
    for (int n = 0; tc_stripe_vacate_page(f->s, &f->dropped) > 0; n++) {
        tt_stripe_reap(f);
        assert_true(tc_stripe_check(f->s));
        assert_true(n < 1000);
    }
}

static void entries_under_both_policies_are_moved(void **state)
{
    (void)state;
    EACH_PAIR(all, own) {
        struct tt_stripe f;
        open_pair(&f, all, own, true);
        thin_out(&f);
        uint64_t of_all = tt_stripe_entries(&f, 0), of_own = tt_stripe_entries(&f, OWN), bytes = f.s->slab.bytes;
        vacate(&f);
        assert_true(f.s->slab.bytes < bytes);
        assert_int_equal(tt_stripe_entries(&f, 0), of_all);
        assert_int_equal(tt_stripe_entries(&f, OWN), of_own);
        struct victims v = { .n = 0 };
        evict_all_of(&f, order_of(&f, 0), &v);
        assert_int_equal(v.n, of_all);
        evict_all_of(&f, order_of(&f, OWN), &v);
        assert_int_equal(v.n, of_all + of_own);
        assert_true(tt_stripe_close(&f));
    }
}

static void what_its_policy_cannot_move_is_evicted_and_the_rest_moved(void **state)
{
    struct cache_evict_ops fixed = tc_evict_sieve;
    struct tt_stripe f;
    (void)state;
    fixed.move = NULL;
    open_pair(&f, &tc_evict_lru, &fixed, true);
    thin_out(&f);
    uint64_t of_all = tt_stripe_entries(&f, 0), of_own = tt_stripe_entries(&f, OWN), bytes = f.s->slab.bytes;
    vacate(&f);
    assert_true(f.s->slab.bytes < bytes);
    assert_int_equal(tt_stripe_entries(&f, 0), of_all);
    assert_true(tt_stripe_entries(&f, OWN) < of_own);
    assert_int_equal(tt_l1_count(f.r, TC_COUNT_l1_evicted_bytes), of_own - tt_stripe_entries(&f, OWN));
    assert_true(tt_stripe_close(&f));
}

static void where_the_caches_policy_cannot_move_nothing_is(void **state)
{
    struct cache_evict_ops fixed = tc_evict_sieve;
    struct tt_stripe f;
    (void)state;
    fixed.move = NULL;
    open_pair(&f, &fixed, &tc_evict_lru, true);
    thin_out(&f);
    uint64_t entries = f.s->index.count;
    assert_int_equal(tc_stripe_vacate_page(f.s, &f.dropped), 0);
    assert_int_equal(tc_stripe_vacate_chunk(f.s, &f.dropped), 0);
    assert_int_equal(f.s->index.count, entries);
    assert_true(tt_stripe_close(&f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_types_policy_works_as_if_the_cache_had_it),
        cmocka_unit_test(the_caches_policy_works_as_before),
        cmocka_unit_test(what_was_stored_longest_ago_leaves_first_whatever_the_policies),
        cmocka_unit_test(what_is_used_stays_where_hits_are_told),
        cmocka_unit_test(uses_that_are_told_are_compared_one_by_one),
        cmocka_unit_test(what_is_known_of_uses_is_kept_when_a_type_gets_an_order),
        cmocka_unit_test(a_type_that_gets_an_order_brings_its_entries_by_age),
        cmocka_unit_test(one_entry_alone_makes_no_ticks_however_often_it_is_hit),
        cmocka_unit_test(one_fast_round_does_not_make_an_order_young),
        cmocka_unit_test(an_order_that_slows_down_is_not_young_any_more),
        cmocka_unit_test(a_few_fast_ones_do_not_make_a_large_order_young),
        cmocka_unit_test(an_order_that_begins_late_is_as_young_as_its_entries),
        cmocka_unit_test(in_one_tick_what_was_stored_first_leaves_first),
        cmocka_unit_test(how_many_uses_a_tick_has_is_known_from_the_first_and_followed_slowly),
        cmocka_unit_test(where_ages_end_what_lies_longer_leaves_all_the_same),
        cmocka_unit_test(an_idle_order_is_emptied),
        cmocka_unit_test(any_age_may_be_said),
        cmocka_unit_test(an_own_order_has_the_state_of_its_policy_and_ends_once),
        cmocka_unit_test(entries_under_both_policies_are_moved),
        cmocka_unit_test(what_its_policy_cannot_move_is_evicted_and_the_rest_moved),
        cmocka_unit_test(where_the_caches_policy_cannot_move_nothing_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
