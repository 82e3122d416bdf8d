/* Who reads and who writes while values are written over entries that are evicted by that: what is copied or pinned
 * under a key is that key's, whole, and of one writer never older than what the same thread saw before. Key and value
 * have no fixed place in a cell: the lengths of both vary. */
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
#include "unit/tt_hasher.h"
#include "unit/tt_l1.h"
#include "unit/tt_trap.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { ROUNDS = 12000 }; /* of each writer */
#else
enum { ROUNDS = 120000 };
#endif

enum {
    LIMIT = 1 << 20,
    KEYS = 16384,       /* twice as many as there is room for */
    KEY_LEAST = 7, /* less than a word */
    KEY_MOST = 40,
    ROOM = 96,          /* of key and value in the size of cell that nearly all have */
    OTHER_EVERY = 64,   /* so often a value of another size */
    OTHER = 200,
    BIG = 300,
    LIFE_MS = 100000000,
    WRITERS = 2,
    PINS = 16
};

/* ---- keys and values ---- */

struct key {
    uint64_t number;
    size_t len;
    unsigned char bytes[KEY_MOST];
};

static struct key key_of(uint64_t number)
{
    struct key k = { .number = number, .len = KEY_LEAST + number % (KEY_MOST - KEY_LEAST + 1) };
    memset(k.bytes, (int)('a' + number % 23), k.len);
    memcpy(k.bytes, &number, sizeof number);
    return k;
}

static struct tc_l1_ref ref_of(const struct key *k)
{
    struct cache_slice key = { k->bytes, k->len };
    return (struct tc_l1_ref){ tt_hasher_hash(key), key };
}

static size_t len_of(const struct key *k, uint64_t version)
{
    if (version % OTHER_EVERY == 0)
        return OTHER + version % 8;
    return ROOM - tc_words_round(k->len) - version % 8;
}

/* What writer number w stores as its nth version; key, writer and version stand in the value, and all of it depends on
 * them. */
static uint64_t version_by(uint64_t writer, uint64_t n)
{
    return n * WRITERS + writer;
}

static bool is_whole(const void *data, size_t len, const struct key *k, uint64_t *version)
{
    return len >= 16 && tt_l1_is_value(data, len, k->number, version) && len == len_of(k, *version);
}

static int store(struct tt_l1 *r, const struct key *k, uint64_t version)
{
    unsigned char value[BIG];
    bool replaced;
    struct tc_l1_ref ref = ref_of(k);
    struct tc_entry_parts p = { ref.hash, ref.key, { value, len_of(k, version) }, tt_l1_now(r), LIFE_MS, 0 };
    tt_l1_fill(value, p.value.len, k->number, version);
    if (tc_l1_set(&r->l1, &p, NULL, &replaced))
        return CACHE_OK;
    struct tc_entry *e = tc_entry_open_small(&r->alloc, r->l1.node_bytes, r->types[0], p.hash, p.key, p.value.len);
    memcpy(tc_entry_room(e), value, p.value.len);
    tc_entry_set_life(e, p.now_ms, p.life_ms, 0);
    int rc = tc_l1_put(&r->l1, e, &r->policies[0], NULL, true);
    tc_l1_drop(&r->l1, e);
    return rc;
}

static struct tt_l1 *open_l1(void)
{
    struct tt_l1 *r = tt_l1_new(LIMIT, 1, NULL);
    assert_non_null(r);
    assert_true(r->l1.paged);
    tc_l1_know(&r->l1, r->types[0]);
    tt_l1_have_company(r);
    return r;
}

static int setup(void **state)
{
    *state = open_l1();
    return 0;
}

static int teardown(void **state)
{
    return tt_l1_free(*state) ? 0 : -1;
}

/* Returns the first number that is not stored. */
static uint64_t fill(struct tt_l1 *r)
{
    uint64_t n = 0;
    while (tt_l1_count(r, TC_COUNT_l1_evicted_bytes) < 500) {
        struct key k = key_of(n++);
        assert_int_equal(store(r, &k, 1), CACHE_OK);
    }
    return n;
}

/* ---- half-way ---- */

struct half_way {
    struct tt_l1 *r;
    struct key old, new;
    bool at_key; /* it stops in the middle of the key instead, when the value is there */
    _Atomic unsigned ended;
};

static struct tc_entry *entry_of(struct tt_l1 *r, const struct key *k)
{
    struct tc_stripe *s = &r->l1.stripes[0];
    struct tc_l1_ref ref = ref_of(k);
    tc_lock_acquire(&s->lock);
    struct tc_entry *e = tc_stripe_find(s, ref.hash, ref.key, NULL);
    tc_lock_release(&s->lock);
    return e;
}

static struct tc_entry *victim(struct tt_l1 *r, struct key *k)
{
    struct tc_stripe *s = &r->l1.stripes[0];
    uint64_t number;
    tc_lock_acquire(&s->lock);
    struct tc_entry *e = tc_stripe_entry(s, tc_stripe_victim(s, NULL, 0));
    tc_lock_release(&s->lock);
    memcpy(&number, tc_entry_key(e).data, sizeof number);
    *k = key_of(number);
    return e;
}

/* Stores over the victim, and stops in the middle. */
static int stop_half_way(void *arg, unsigned index)
{
    struct half_way *h = arg;
    bool replaced;
    (void)index;
    struct tc_l1_ref ref = ref_of(&h->new);
    unsigned char bytes[BIG];
    struct cache_slice trap = { tt_trap_bytes(), len_of(&h->new, 1) };
    struct tc_entry_parts p = { ref.hash, ref.key, trap, tt_l1_now(h->r), LIFE_MS, 0 };
    if (h->at_key) {
        tt_l1_fill(bytes, trap.len, h->new.number, 1);
        p.key = (struct cache_slice){ trap.data, h->new.len };
        p.value = (struct cache_slice){ bytes, trap.len };
    }
    return !tc_l1_set(&h->r->l1, &p, NULL, &replaced);
}

/* The first two look the old key up, the others the new one. */
static int look_up_meanwhile(void *arg, unsigned index)
{
    struct half_way *h = arg;
    const struct key *k = index < 2 ? &h->old : &h->new;
    unsigned char buf[BIG];
    struct tc_l1_copied c;
    struct tc_l1_found f = { .entry = NULL };
    int failures = 0;
    if (index % 2 == 0)
        tc_l1_get(&h->r->l1, ref_of(k), tt_l1_now(h->r), &f);
    else /* nobody finds what is half written, and no old value without waiting */
        TT_CHECK(failures, !tc_l1_get_copy(&h->r->l1, ref_of(k), tt_l1_now(h->r), buf, sizeof buf, &c, &f));
    TT_CHECK(failures, f.entry == NULL);
    atomic_fetch_add(&h->ended, 1);
    return failures;
}

/* A value for the old key, without the lock, from what was found before: it must not come into the cell. */
static bool overwrites_the_old(struct half_way *h, struct tc_entry *e, uint32_t refs)
{
    struct tc_l1_ref ref = ref_of(&h->old);
    unsigned char value[BIG] = "";
    struct tc_entry_parts p = { ref.hash, ref.key, { value, len_of(&h->old, 1) }, tt_l1_now(h->r), LIFE_MS, 0 };
    return tc_l1_overwrite(&h->r->l1, NULL, e, refs, &p);
}

/* No other entry is compared with it when it is looked up. */
static bool is_lonely(struct tt_l1 *r, const struct key *k)
{
    struct tc_index_probe p;
    bool is = tc_index_home_probe(&r->l1.views[0], ref_of(k).hash, &p);
    return is && p.lanes == 0 && tc_bucket_reach(p.bucket) == 0;
}

static void who_comes_half_way_finds_neither_key(void **state)
{
    struct half_way h = { .r = *state };
    uint64_t n = fill(h.r);
    for (int round = 0; round < 16; round++) {
        h.at_key = round >= 8;
        struct tc_entry *e = victim(h.r, &h.old);
        uint32_t refs = atomic_load(&e->refs);
        bool alike = round % 2; /* keys of one length: then it is the version that tells */
        do
            h.new = key_of(n++);
        while ((h.new.len == h.old.len) != alike || !is_lonely(h.r, &h.new));
        if (h.at_key)
            memcpy(tt_trap_bytes(), h.new.bytes, tc_words_round(h.new.len));
        else
            tt_l1_fill(tt_trap_bytes(), len_of(&h.new, 1), h.new.number, 1);
        tt_trap_set();
        struct tt_crew *writer = tt_crew_start(1, stop_half_way, &h);
        bool stands = tt_trap_await(), wait = false;
        bool done = overwrites_the_old(&h, e, refs) || overwrites_the_old(&h, e, atomic_load(&e->refs));
        bool held = tc_l1_try_hold(e, refs) || tc_l1_try_hold(e, atomic_load(&e->refs));
        h.ended = 0;
        struct tt_crew *readers = tt_crew_start(4, look_up_meanwhile, &h);
        for (int64_t end_ms = tt_mono_ms() + TT_SOON_MS; !wait && tt_pause(end_ms);)
            wait = h.ended == (alike ? 2 : 4); /* whose key may be there waits for the lock */
        tt_trap_release();
        assert_int_equal(tt_crew_join(writer) + tt_crew_join(readers), 0);
        assert_true(stands && wait && !done && !held);
        assert_ptr_equal(entry_of(h.r, &h.new), e);
        assert_null(entry_of(h.r, &h.old));
        assert_false(overwrites_the_old(&h, e, refs));
        assert_false(tc_l1_try_hold(e, refs));
        assert_true(tc_l1_check(&h.r->l1));
    }
}

/* ---- a key that changes while it is compared ---- */

struct comparer {
    struct tt_l1 *r;
    struct tc_l1_ref ref; /* its bytes are in the trap */
};

/* Stops when the first word of the entry's key has been read, and the caller's has not. */
static int stop_comparing(void *arg, unsigned index)
{
    struct comparer *c = arg;
    unsigned char buf[BIG];
    struct tc_l1_copied is;
    struct tc_l1_found f = { .entry = NULL };
    int failures = 0;
    (void)index;
    TT_CHECK(failures, !tc_l1_get_copy(&c->r->l1, c->ref, tt_l1_now(c->r), buf, sizeof buf, &is, &f));
    TT_CHECK(failures, f.entry == NULL);
    if (f.entry != NULL)
        tc_l1_release(&c->r->l1, f.entry);
    return failures;
}

static int stop_comparing_to_pin(void *arg, unsigned index)
{
    struct comparer *c = arg;
    struct tc_l1_found f = { .entry = NULL };
    int failures = 0;
    (void)index;
    tc_l1_get(&c->r->l1, c->ref, tt_l1_now(c->r), &f);
    TT_CHECK(failures, f.entry == NULL);
    if (f.entry != NULL)
        tc_l1_release(&c->r->l1, f.entry);
    return failures;
}

static void who_found_the_key_before_it_changed_gets_nothing(void **state)
{
    struct comparer c = { .r = *state };
    uint64_t n = fill(c.r);
    for (int round = 0; round < 4; round++) {
        struct key old, new;
        struct tc_entry *e;
        while (e = victim(c.r, &old), new = key_of(n++), old.len != KEY_LEAST) /* read at once */
            assert_int_equal(store(c.r, &new, 1), CACHE_OK);
        c.ref = ref_of(&old);
        c.ref.key.data = tt_trap_bytes();
        memcpy(tt_trap_bytes(), old.bytes, old.len);
        tt_trap_set();
        struct tt_crew *crew = tt_crew_start(1, round % 2 ? stop_comparing : stop_comparing_to_pin, &c);
        bool stands = tt_trap_await();
        int rc = store(c.r, &new, 1);
        tt_trap_release();
        assert_int_equal(tt_crew_join(crew), 0);
        assert_true(stands && rc == CACHE_OK);
        assert_ptr_equal(entry_of(c.r, &new), e);
    }
}

/* ---- all at once ---- */

struct crowd {
    struct tt_l1 *r;
    struct tt_cache b;
    bool public; /* through the cache's functions */
    uint64_t seed;
    unsigned writers;
    _Atomic unsigned writing;
    _Atomic uint64_t copied, pinned;
};

/* No older one than what this thread saw of that writer. */
static bool is_next(const void *data, size_t len, const struct key *k, uint32_t *seen)
{
    uint64_t version;
    if (!is_whole(data, len, k, &version))
        return false;
    uint32_t *last = &seen[k->number * WRITERS + version % WRITERS];
    bool next = version >= *last;
    *last = (uint32_t)version;
    return next;
}

static void make_key(struct crowd *c, const struct key *k, struct cache_key *to)
{
    char part[KEY_MOST];
    memset(part, 'a', sizeof part);
    cache_key_u64(cache_key_init(to, c->b.type), k->number);
    cache_key_bytes(to, part, k->len - KEY_LEAST);
}

static int set_one(struct crowd *c, const struct key *k, uint64_t version)
{
    unsigned char value[BIG];
    struct cache_key key;
    if (!c->public)
        return store(c->r, k, version);
    make_key(c, k, &key);
    tt_l1_fill(value, len_of(k, version), k->number, version);
    int rc = cache_set(c->b.c, &key, value, len_of(k, version), NULL);
    cache_key_fini(&key);
    return rc;
}

/* A few keys often, so that some are written over by their own next value, others by what evicts them. */
static uint64_t any_key(uint64_t *seed)
{
    uint64_t random = tt_random(seed);
    return random % 4 == 0 ? random / 4 % 64 : random / 4 % KEYS;
}

static int write_any(struct crowd *c, unsigned index)
{
    uint64_t seed = c->seed + index;
    int failures = 0;
    for (uint64_t n = 1; n <= ROUNDS && failures < 10; n++) {
        struct key k = key_of(any_key(&seed));
        int rc = set_one(c, &k, version_by(index, n));
        /* A reader whom the machine left without a processor is one who does not go on. */
        TT_CHECK(failures, rc == CACHE_OK || rc == CACHE_E_NOMEM);
    }
    atomic_fetch_sub(&c->writing, 1);
    return failures;
}

static void copy_one(struct crowd *c, const struct key *k, uint32_t *seen, int *failures)
{
    unsigned char buf[BIG];
    struct tc_l1_copied is;
    struct tc_l1_found f = { .entry = NULL };
    struct cache_key key;
    struct cache_meta m;
    bool found = false;
    if (c->public) {
        make_key(c, k, &key);
        int rc = cache_get_copy(c->b.c, &key, buf, sizeof buf, &m);
        TT_CHECK(*failures, rc == CACHE_OK || rc == CACHE_MISS);
        found = rc == CACHE_OK;
        is.len = found ? (size_t)m.len : 0;
        cache_key_fini(&key);
    } else {
        found = tc_l1_get_copy(&c->r->l1, ref_of(k), tt_l1_now(c->r), buf, sizeof buf, &is, &f);
    }
    if (found)
        TT_CHECK(*failures, is_next(buf, is.len, k, seen));
    if (f.entry != NULL) {
        TT_CHECK(*failures, is_next(tc_entry_data(f.entry), tc_entry_len(f.entry), k, seen));
        tc_l1_release(&c->r->l1, f.entry);
    }
    atomic_fetch_add(&c->copied, found);
}

struct pin {
    struct tc_entry *e;
    struct cache_value v;
    struct key k;
    uint64_t version;
};

static void release(struct crowd *c, struct pin *p, int *failures)
{
    uint64_t version;
    const void *data = p->e != NULL ? tc_entry_data(p->e) : p->v.data;
    if (data == NULL)
        return;
    TT_CHECK(*failures, is_whole(data, p->e != NULL ? tc_entry_len(p->e) : p->v.len, &p->k, &version));
    TT_CHECK(*failures, version == p->version);
    if (p->e == NULL) {
        cache_value_release(&p->v);
    } else { /* the key's bytes are as they were too */
        struct cache_slice key = tc_entry_key(p->e);
        TT_CHECK(*failures, key.len == p->k.len && memcmp(key.data, p->k.bytes, key.len) == 0);
        tc_l1_release(&c->r->l1, p->e);
    }
    *p = (struct pin){ .e = NULL };
}

static void pin_one(struct crowd *c, const struct key *k, struct pin *p, uint32_t *seen, int *failures)
{
    struct tc_l1_found f = { .entry = NULL };
    struct cache_key key;
    release(c, p, failures);
    p->k = *k;
    if (c->public) {
        make_key(c, k, &key);
        if (cache_get(c->b.c, &key, NULL, &p->v) != CACHE_OK)
            p->v.data = NULL;
        cache_key_fini(&key);
    } else {
        tc_l1_get(&c->r->l1, ref_of(k), tt_l1_now(c->r), &f);
        p->e = f.entry;
    }
    const void *data = p->e != NULL ? tc_entry_data(p->e) : p->v.data;
    if (data == NULL)
        return;
    TT_CHECK(*failures, is_next(data, p->e != NULL ? tc_entry_len(p->e) : p->v.len, k, seen));
    memcpy(&p->version, data, sizeof p->version);
    atomic_fetch_add(&c->pinned, 1);
}

static int read_any(struct crowd *c, unsigned index)
{
    uint32_t *seen = tt_xcalloc((size_t)KEYS * WRITERS * sizeof *seen);
    struct pin *pins = tt_xcalloc(PINS * sizeof *pins);
    uint64_t seed = c->seed + index;
    int failures = 0;
    while (atomic_load(&c->writing) > 0 && failures < 10) {
        struct key k = key_of(any_key(&seed));
        if (index % 2 == 0)
            copy_one(c, &k, seen, &failures);
        else
            pin_one(c, &k, &pins[tt_random(&seed) % PINS], seen, &failures);
    }
    for (size_t i = 0; i < PINS; i++)
        release(c, &pins[i], &failures);
    free(pins);
    free(seen);
    return failures;
}

static int do_ones_part(void *arg, unsigned index)
{
    struct crowd *c = arg;
    return index < c->writers ? write_any(c, index) : read_any(c, index);
}

/* It is full from the start. */
static void run(struct crowd *c)
{
    c->seed = tt_seed();
    for (uint64_t n = 0; n < KEYS; n++) {
        struct key k = key_of(n);
        assert_int_equal(set_one(c, &k, version_by(1, 0)), CACHE_OK);
    }
    c->writing = c->writers;
    assert_int_equal(tt_crew_join(tt_crew_start(c->writers + 2, do_ones_part, c)), 0);
    assert_true(c->copied > 0 && c->pinned > 0);
}

/* How many of the entries lie in cells that were written over. */
static size_t overwritten(struct tc_l1 *l1)
{
    size_t n = 0;
    for (size_t i = 0; i < l1->n_stripes; i++) {
        struct tc_index *x = &l1->stripes[i].index;
        for (size_t lane = 0; lane < tc_index_lanes(x); lane++) {
            uint32_t cell = tc_index_cell(x, lane);
            n += cell != 0 && atomic_load(&tc_stripe_entry(&l1->stripes[i], cell)->refs) & TC_ENTRY_VERSIONS;
        }
    }
    return n;
}

static void what_is_read_under_a_key_is_that_keys(void **state)
{
    for (unsigned writers = 1; writers <= WRITERS; writers++) {
        struct crowd c = { .r = *state, .writers = writers };
        run(&c);
        assert_true(tc_l1_check(&c.r->l1));
        assert_true(overwritten(&c.r->l1) > 1000);
        assert_int_equal(tc_l1_pin_count(&c.r->l1), 0);
        assert_int_equal(tt_l1_type_entries(c.r, 0), c.r->l1.stripes[0].index.count);
        tc_l1_clear(&c.r->l1);
        assert_int_equal(tt_l1_type_entries(c.r, 0), 0);
        assert_int_equal(tt_l1_type_bytes(c.r, 0), 0);
    }
}

static void the_public_functions_keep_to_it_too(void **state)
{
    (void)state;
    for (unsigned writers = 1; writers <= WRITERS; writers++) {
        struct crowd *c = tt_xcalloc(sizeof *c);
        struct cache_stats s;
        c->public = true;
        c->writers = writers;
        tt_cache_prepare(&c->b, false);
        c->b.opts.clock = NULL; /* of the system: else nothing is done the short way */
        c->b.opts.l1_bytes = 1 << 20;
        c->b.opts.l1_stripes = 1;
        c->b.type_opts.ttl_ms = LIFE_MS;
        tt_cache_open(&c->b);
        assert_true(c->b.c->l1.paged);
        run(c);
        assert_true(overwritten(&c->b.c->l1) > 1000);
        assert_int_equal(cache_stats_read(c->b.c, c->b.type, &s, sizeof s), CACHE_OK);
        assert_int_equal(s.sets, (uint64_t)writers * ROUNDS + KEYS);
        assert_int_equal(s.l1_entries, c->b.c->l1.stripes[0].index.count);
        assert_true(s.l1_replaced > 0 && s.l1_evicted_bytes > 0);
        assert_true(tt_cache_close(&c->b));
        free(c);
    }
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(who_comes_half_way_finds_neither_key),
        WITH(who_found_the_key_before_it_changed_gets_nothing),
        WITH(what_is_read_under_a_key_is_that_keys),
        cmocka_unit_test(the_public_functions_keep_to_it_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
