/* Who reads while a value is overwritten: a copy is of one value, whole; a pin waits, and what is pinned stays as it
 * is; nobody sees an older value after a newer one. */
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

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { ROUNDS = 8000 }; /* of each thread */
#else
enum { ROUNDS = 80000 };
#endif

enum {
    LIMIT = 1 << 20,
    KEYS = 6,
    LEN = 201,          /* to 208: one size of cell */
    LEN_EXTENT = 1401, /* to 1408: one of extents, copied otherwise: base/words.h */
    LEN_LONG = TC_ENTRY_OVERWRITTEN_MOST + 1, /* not to be overwritten */
    LEN_SHORT = 40,
    LEN_MOST = LEN_LONG,
    LIFE_MS = 1000000,
    LEAST = ROUNDS / 10, /* look-ups that find something */
    PINS = 8
};

static size_t len_from; /* LEN or LEN_EXTENT */

static int setup(void **state)
{
    len_from = LEN;
    struct tt_l1 *r = tt_l1_new(LIMIT, 1, NULL);
    assert_non_null(r);
    assert_true(r->l1.paged);
    tc_l1_know(&r->l1, r->types[0]);
    *state = r;
    return 0;
}

static int setup_in_extents(void **state)
{
    setup(state);
    len_from = LEN_EXTENT;
    return 0;
}

static int teardown(void **state)
{
    return tt_l1_free(*state) ? 0 : -1;
}

/* ---- values whose length and life tell their version too ---- */

static size_t len_of(uint64_t version)
{
    if (version % 50 == 49)
        return LEN_LONG;
    return version % 50 == 24 ? LEN_SHORT : len_from + version % 8;
}

static int64_t life_of(uint64_t version)
{
    return LIFE_MS + (int64_t)(version % 1000);
}

static int put(struct tt_l1 *r, const struct tc_entry_parts *p)
{
    struct tc_entry *e = tc_entry_open_small(&r->alloc, r->l1.node_bytes, r->types[0], p->hash, p->key, p->value.len);
    if (e == NULL)
        return CACHE_E_NOMEM;
    memcpy(tc_entry_room(e), p->value.data, p->value.len);
    tc_entry_set_life(e, p->now_ms, p->life_ms, 0);
    int rc = tc_l1_put(&r->l1, e, &r->policies[0], NULL, true);
    tc_l1_drop(&r->l1, e);
    return rc;
}

static int store(struct tt_l1 *r, struct tt_l1_key k, uint64_t version)
{
    unsigned char value[LEN_MOST];
    bool replaced;
    struct tc_entry_parts p = { k.hash, tt_l1_ref(&k).key, { value, len_of(version) }, tt_l1_now(r), life_of(version),
                                0 };
    tt_l1_fill(value, len_of(version), k.number, version);
    return tc_l1_set(&r->l1, &p, NULL, &replaced) ? CACHE_OK : put(r, &p);
}

static bool is_whole(const void *data, size_t len, uint64_t number, uint64_t *version)
{
    return tt_l1_is_value(data, len, number, version) && len == len_of(*version);
}

static struct tc_entry *entry_of(struct tt_l1 *r, struct tt_l1_key k)
{
    struct tc_stripe *s = &r->l1.stripes[0];
    tc_lock_acquire(&s->lock);
    struct tc_entry *e = tc_stripe_find(s, k.hash, tt_l1_ref(&k).key, NULL);
    tc_lock_release(&s->lock);
    assert_non_null(e);
    return e;
}

/* ---- step by step ---- */

static void a_copy_counts_only_if_the_version_is_the_same_before_and_after(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    unsigned char buf[LEN_MOST];
    struct tc_entry_taken t;
    assert_int_equal(store(r, k, 0), CACHE_OK);
    struct tc_entry *e = entry_of(r, k);
    for (uint64_t version = 1; version < 20; version++) {
        uint32_t before = atomic_load(&e->refs);
        assert_true(tt_l1_take(e, before, buf, sizeof buf, tt_l1_now(r), &t));
        assert_int_equal(t.len, len_of(version - 1));
        assert_int_equal(store(r, k, version), CACHE_OK);
        assert_ptr_equal(entry_of(r, k), e);
        assert_false(tt_l1_take(e, before, buf, sizeof buf, tt_l1_now(r), &t));
        struct tc_l1_found f = tt_l1_get(r, k); /* who else is there does not matter */
        assert_true(tt_l1_take(e, before + 2 * TC_ENTRY_VERSION_ONE, buf, sizeof buf, tt_l1_now(r), &t));
        tc_l1_release(&r->l1, f.entry);
    }
}

/* As a writer does, who holds the stripe's lock. */
static void be_in_the_middle(struct tt_l1 *r, struct tc_entry *e)
{
    tc_lock_acquire(&r->l1.stripes[0].lock);
    atomic_fetch_add(&e->refs, TC_ENTRY_VERSION_ONE);
}

static void write_the_rest(struct tt_l1 *r, struct tc_entry *e, uint64_t number, uint64_t version)
{
    unsigned char value[LEN_MOST];
    tt_l1_fill(value, len_of(version), number, version);
    atomic_store(&e->times, tc_times(tt_l1_now(r), life_of(version)));
    uint32_t sizes = tc_sizes(tc_entry_type_id(e), tc_entry_key(e).len, len_of(version));
    atomic_store(&e->sizes, sizes);
    tc_words_store(tc_entry_plain_value(e, sizes), value, len_of(version));
    atomic_fetch_add(&e->refs, TC_ENTRY_VERSION_ONE);
    tc_lock_release(&r->l1.stripes[0].lock);
}

static int find_the_new_one(void *arg, unsigned index)
{
    struct tt_l1 *r = arg;
    struct tt_l1_key k = tt_l1_key(r, 1);
    unsigned char buf[LEN_MOST];
    struct tc_l1_copied c;
    struct tc_l1_found f = { .entry = NULL };
    int failures = 0;
    uint64_t version;
    if (index % 2 == 0)
        tc_l1_get(&r->l1, tt_l1_ref(&k), tt_l1_now(r), &f);
    else
        TT_CHECK(failures, !tc_l1_get_copy(&r->l1, tt_l1_ref(&k), tt_l1_now(r), buf, sizeof buf, &c, &f));
    TT_CHECK(failures, f.entry != NULL && f.fresh);
    if (f.entry == NULL)
        return failures;
    TT_CHECK(failures, is_whole(tc_entry_data(f.entry), tc_entry_len(f.entry), 1, &version) && version == 3);
    tc_l1_release(&r->l1, f.entry);
    return failures;
}

static void who_comes_upon_one_being_written_waits_for_the_lock_and_pins_it(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    assert_int_equal(store(r, k, 2), CACHE_OK);
    struct tc_entry *e = entry_of(r, k);
    be_in_the_middle(r, e);
    uint32_t refs = atomic_load(&e->refs);
    bool refused = !tc_l1_try_hold(e, refs), slept = false;
    bool untouched = atomic_load(&e->refs) == refs;
    struct tt_crew *crew = tt_crew_start(4, find_the_new_one, r);
    for (int64_t end_ms = tt_mono_ms() + TT_SOON_MS; !slept && tt_pause(end_ms);)
        slept = tt_crew_sleeps(crew);
    untouched = atomic_load(&e->refs) == refs && untouched;
    write_the_rest(r, e, k.number, 3);
    assert_int_equal(tt_crew_join(crew), 0);
    assert_true(refused && slept && untouched); /* not before: they wait for the lock */
    assert_int_equal(atomic_load(&e->refs), refs + TC_ENTRY_VERSION_ONE);
    assert_false(tc_l1_try_hold(e, refs)); /* it is not the one that was found */
    assert_int_equal(atomic_load(&e->refs), refs + TC_ENTRY_VERSION_ONE);
    assert_true(tc_l1_try_hold(e, refs + TC_ENTRY_VERSION_ONE));
    tc_l1_unhold(e);
}

static void an_empty_value_is_copied_to_no_memory(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    struct tc_l1_copied c;
    struct tc_l1_found f;
    struct tc_entry_parts p = { k.hash, tt_l1_ref(&k).key, { "", 0 }, tt_l1_now(r), LIFE_MS, 0 };
    for (int apart = 0; apart < 2; apart++) {
        r->l1.paged = !apart;
        assert_int_equal(put(r, &p), CACHE_OK);
        assert_int_equal(!(atomic_load(&entry_of(r, k)->refs) & TC_ENTRY_HOUSED), apart);
        assert_true(tc_l1_get_copy(&r->l1, tt_l1_ref(&k), tt_l1_now(r), NULL, 0, &c, &f));
        assert_int_equal(c.len, 0);
        tt_l1_invalidate(r, k);
    }
    r->l1.paged = true;
}

/* ---- all at once ---- */

struct pin {
    struct tc_entry *e;
    uint64_t number, version;
};

struct crowd {
    struct tt_l1 *r;
    uint64_t seed;
    unsigned writers; /* the first ones: each has keys of its own */
    int (*others[4])(struct crowd *c, uint64_t seed);
    _Atomic unsigned writing; /* so many of them: as long as there are any, the others go on */
    uint64_t least_copied, least_pinned; /* the writers go on until there were so many: the machine may be busy */
    _Atomic uint64_t overwritten, copied, pinned;
};

static bool is_enough(struct crowd *c, uint64_t round)
{
    if (round < ROUNDS)
        return false;
    return round >= (uint64_t)100 * ROUNDS ||
           (atomic_load(&c->copied) >= c->least_copied && atomic_load(&c->pinned) >= c->least_pinned);
}

static void look_at_version(struct crowd *c, struct tt_l1_key k)
{
    struct tc_stripe *s = &c->r->l1.stripes[0];
    tc_lock_acquire(&s->lock);
    struct tc_entry *e = tc_stripe_find(s, k.hash, tt_l1_ref(&k).key, NULL);
    if (e != NULL && atomic_load(&e->refs) & TC_ENTRY_VERSIONS)
        atomic_fetch_add(&c->overwritten, 1);
    tc_lock_release(&s->lock);
}

static int write_own_keys(struct crowd *c, unsigned index)
{
    uint64_t versions[KEYS] = { 0 }, seed = c->seed + index;
    int failures = 0;
    for (uint64_t i = 0; !is_enough(c, i) && failures < 10; i++) {
        uint64_t number = tt_random(&seed) % (KEYS / c->writers) * c->writers + index;
        struct tt_l1_key k = tt_l1_key(c->r, number);
        int rc = store(c->r, k, ++versions[number]);
        /* A reader whom the machine left without a processor is one who does not go on. */
        TT_CHECK(failures, rc == CACHE_OK || rc == CACHE_E_NOMEM);
        if (i % 16 == 0)
            look_at_version(c, k);
    }
    atomic_fetch_sub(&c->writing, 1);
    return failures;
}

/* No older one than what this thread saw before. */
static bool is_next(const void *data, size_t len, uint64_t number, uint64_t *last)
{
    uint64_t version, before = *last;
    bool whole = is_whole(data, len, number, &version);
    *last = version;
    return whole && version >= before;
}

static int copy_any(struct crowd *c, uint64_t seed)
{
    unsigned char buf[LEN_MOST];
    uint64_t last[KEYS] = { 0 };
    int failures = 0;
    while (atomic_load(&c->writing) > 0 && failures < 10) {
        uint64_t number = tt_random(&seed) % KEYS;
        struct tt_l1_key k = tt_l1_key(c->r, number);
        struct tc_l1_copied is;
        struct tc_l1_found f;
        if (tc_l1_get_copy(&c->r->l1, tt_l1_ref(&k), tt_l1_now(c->r), buf, sizeof buf, &is, &f)) {
            TT_CHECK(failures, is_next(buf, is.len, number, &last[number]));
            TT_CHECK(failures, is.fresh_until_ms - is.made_ms == life_of(last[number]));
            atomic_fetch_add(&c->copied, 1);
        } else if (f.entry != NULL) {
            TT_CHECK(failures, is_next(tc_entry_data(f.entry), tc_entry_len(f.entry), number, &last[number]));
            tc_l1_release(&c->r->l1, f.entry);
        }
    }
    return failures;
}

static void change_pin(struct crowd *c, struct pin *p, struct pin to, int *failures)
{
    uint64_t version;
    if (p->e != NULL) {
        TT_CHECK(*failures, is_whole(tc_entry_data(p->e), tc_entry_len(p->e), p->number, &version));
        TT_CHECK(*failures, version == p->version);
        TT_CHECK(*failures, tc_entry_fresh_until_ms(p->e) - tc_entry_made_ms(p->e) == life_of(version));
        tc_l1_release(&c->r->l1, p->e);
    }
    *p = to;
}

static int pin_any(struct crowd *c, uint64_t seed)
{
    struct pin pins[PINS] = { { .e = NULL } };
    uint64_t last[KEYS] = { 0 };
    int failures = 0;
    while (atomic_load(&c->writing) > 0 && failures < 10) {
        uint64_t number = tt_random(&seed) % KEYS;
        struct tt_l1_key k = tt_l1_key(c->r, number);
        struct tc_l1_found f;
        tc_l1_get(&c->r->l1, tt_l1_ref(&k), tt_l1_now(c->r), &f);
        if (f.entry == NULL)
            continue;
        TT_CHECK(failures, is_next(tc_entry_data(f.entry), tc_entry_len(f.entry), number, &last[number]));
        change_pin(c, &pins[tt_random(&seed) % PINS], (struct pin){ f.entry, number, last[number] }, &failures);
        atomic_fetch_add(&c->pinned, 1);
    }
    for (size_t i = 0; i < PINS; i++)
        change_pin(c, &pins[i], (struct pin){ .e = NULL }, &failures);
    return failures;
}

static int take_away(struct crowd *c, uint64_t seed)
{
    while (atomic_load(&c->writing) > 0) {
        uint64_t random = tt_random(&seed), what = random / KEYS % 1000;
        if (what < 100)
            tt_l1_invalidate(c->r, tt_l1_key(c->r, random % KEYS));
        else if (what < 102)
            tc_l1_clear(&c->r->l1);
        else if (what < 110)
            tt_clock_advance(&c->r->time, 1);
    }
    return 0;
}

static int do_ones_part(void *arg, unsigned index)
{
    struct crowd *c = arg;
    if (index < c->writers)
        return write_own_keys(c, index);
    return c->others[index - c->writers](c, c->seed + index);
}

static void run(struct crowd *c, unsigned others)
{
    c->seed = tt_seed();
    c->writing = c->writers;
    assert_int_equal(tt_crew_join(tt_crew_start(c->writers + others, do_ones_part, c)), 0);
    assert_true(tc_l1_check(&c->r->l1));
    assert_int_equal(tt_l1_detached_bytes(c->r), 0);
    assert_int_equal(tc_l1_pin_count(&c->r->l1), 0);
}

static void copies_are_whole_and_never_older(void **state)
{
    struct crowd c = { .r = *state, .writers = 2, .others = { copy_any, copy_any }, .least_copied = LEAST };
    run(&c, 2);
    assert_true(c.overwritten > ROUNDS / 64 && c.copied >= LEAST); /* of every sixteenth store */
}

static void what_is_pinned_stays_as_it_is(void **state)
{
    struct crowd c = { .r = *state, .writers = 1, .others = { pin_any, pin_any }, .least_pinned = LEAST };
    run(&c, 2);
    assert_true(c.overwritten > 0 && c.pinned >= LEAST);
}

static void all_at_once_leave_nothing_behind(void **state)
{
    struct crowd c = { .r = *state, .writers = 2, .others = { copy_any, copy_any, pin_any, take_away },
                       .least_copied = LEAST, .least_pinned = LEAST };
    run(&c, 4);
    assert_true(c.overwritten > ROUNDS / 200 && c.copied >= LEAST && c.pinned >= LEAST);
    for (uint64_t n = 0; n < KEYS; n++)
        tt_l1_invalidate(c.r, tt_l1_key(c.r, n));
    assert_int_equal(tt_l1_type_entries(c.r, 0), 0);
    assert_int_equal(tt_l1_type_bytes(c.r, 0), 0);
}

/* ---- through the short ways of the public functions ---- */

enum { SETS = 4 * ROUNDS };

struct public {
    struct tt_cache b;
    struct cache_key k;
    unsigned readers; /* the second one pins */
    uint64_t sets;
    _Atomic bool done;
    _Atomic uint64_t copied, pinned;
};

/* A key with one value and nothing else: how often that was overwritten, where it lies. */
static uint32_t overwritten(struct public *p)
{
    struct tc_target t;
    struct tc_l1_found f;
    assert_int_equal(tc_cache_target(p->b.c, &p->k, &t), CACHE_OK);
    tc_l1_get(&p->b.c->l1, t.ref, tc_clock_coarse_ms(&p->b.c->clock), &f);
    assert_non_null(f.entry);
    uint32_t version = atomic_load(&f.entry->refs) & TC_ENTRY_VERSIONS;
    tc_l1_release(&p->b.c->l1, f.entry);
    return version / (2 * TC_ENTRY_VERSION_ONE);
}

static int write_publicly(struct public *p)
{
    unsigned char value[LEN_MOST];
    int failures = 0;
    uint64_t version = 0;
    while (failures < 10 && ++version <= (uint64_t)100 * SETS) {
        if (version > SETS && p->copied >= LEAST && (p->readers == 1 || p->pinned >= LEAST))
            break;
        tt_l1_fill(value, len_of(version), 0, version);
        TT_CHECK(failures, cache_set(p->b.c, &p->k, value, len_of(version), NULL) == CACHE_OK);
    }
    p->sets = version - 1;
    atomic_store(&p->done, true);
    return failures;
}

static int read_publicly(struct public *p, bool pin)
{
    unsigned char buf[LEN_MOST];
    uint64_t last = 0;
    int failures = 0;
    while (!atomic_load(&p->done) && failures < 10) {
        struct cache_value v;
        struct cache_meta m;
        int rc = pin ? cache_get(p->b.c, &p->k, NULL, &v) : cache_get_copy(p->b.c, &p->k, buf, sizeof buf, &m);
        TT_CHECK(failures, rc == CACHE_OK);
        if (rc != CACHE_OK)
            continue;
        TT_CHECK(failures, pin ? is_next(v.data, v.len, 0, &last) : is_next(buf, (size_t)m.len, 0, &last));
        if (pin) {
            TT_CHECK(failures, is_next(v.data, v.len, 0, &last)); /* the same */
            cache_value_release(&v);
        }
        atomic_fetch_add(pin ? &p->pinned : &p->copied, 1);
    }
    return failures;
}

static int go_public(void *arg, unsigned index)
{
    return index == 0 ? write_publicly(arg) : read_publicly(arg, index == 2);
}

static void the_short_ways_keep_to_it_too_and_every_store_is_counted(void **state)
{
    enum { BEFORE = 10 };
    (void)state;
    len_from = LEN;
    for (unsigned readers = 1; readers <= 2; readers++) { /* without one who pins, and with one */
        struct public *p = tt_xcalloc(sizeof *p);
        p->readers = readers;
        struct cache_stats s;
        unsigned char value[LEN_MOST];
        tt_cache_prepare(&p->b, false);
        p->b.opts.clock = NULL; /* of the system: else nothing is done the short way */
        p->b.opts.l1_bytes = 64 << 20; /* stripes with pages */
        p->b.type_opts.ttl_ms = LIFE_MS;
        tt_cache_open(&p->b);
        tt_cache_key(&p->b, &p->k);
        tt_l1_fill(value, len_of(0), 0, 0);
        for (uint32_t n = 0; n < BEFORE; n++) {
            assert_int_equal(cache_set(p->b.c, &p->k, value, len_of(0), NULL), CACHE_OK);
            assert_int_equal(overwritten(p), n);
        }
        assert_int_equal(tt_crew_join(tt_crew_start(1 + readers, go_public, p)), 0);
        assert_true(p->copied >= LEAST && (readers == 1 || p->pinned >= LEAST));
        assert_int_equal(cache_stats_read(p->b.c, p->b.type, &s, sizeof s), CACHE_OK);
        assert_int_equal(s.sets, p->sets + BEFORE);
        assert_int_equal(s.l1_replaced, p->sets + BEFORE - 1);
        assert_int_equal(s.l1_entries, 1);
        assert_true(tt_cache_close(&p->b));
        free(p);
    }
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define BOTH(test) WITH(test), { #test ", in extents", test, setup_in_extents, teardown, NULL }
    const struct CMUnitTest tests[] = {
        WITH(a_copy_counts_only_if_the_version_is_the_same_before_and_after),
        WITH(who_comes_upon_one_being_written_waits_for_the_lock_and_pins_it),
        WITH(an_empty_value_is_copied_to_no_memory),
        BOTH(copies_are_whole_and_never_older),
        BOTH(what_is_pinned_stays_as_it_is),
        BOTH(all_at_once_leave_nothing_behind),
        cmocka_unit_test(the_short_ways_keep_to_it_too_and_every_store_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
