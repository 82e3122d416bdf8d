/* The hash table against a naive one, with whole hashes that collide, memory that fails, clusters across the end; and
 * with readers beside the writer. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tier/l1/index.h"
#include "tt_alloc.h"
#include "tt_util.h"

enum { KEYS = 3000, STEPS = 40000, SMALL_STEPS = 4000, SAME = 500, BUCKETS_MAX = 2048 };

struct fixture {
    struct tt_alloc counting; /* of the table */
    struct tc_alloc alloc;
    struct tc_index index;
    bool thrift;             /* how it is asked to grow */
    uint64_t bytes;          /* what the table says it took */
    struct tc_table *before; /* that the last growth handed over */
    bool keeps;              /* what left, until the end: somebody reads */
    struct tc_entry *left;
    struct tc_table *tables;
    struct tc_entry *entry[KEYS]; /* the naive one: entry[i] has key i; NULL: not in it */
    uint16_t code[KEYS];
    size_t count;
};

static int setup(void **state)
{
    struct fixture *f = tt_xcalloc(sizeof *f);
    tt_alloc_init(&f->counting);
    f->alloc = tt_alloc_table(&f->counting);
    *state = f;
    return 0;
}

static void free_entry(struct tc_entry *e)
{
    tc_entry_free(&tc_alloc_default, 0, e);
}

static void let_go(struct fixture *f, struct tc_entry *e)
{
    if (f->keeps) {
        e->next = f->left;
        f->left = e;
    } else {
        free_entry(e);
    }
}

static void let_go_before(struct fixture *f)
{
    if (f->keeps && f->before != NULL) {
        f->before->next = f->tables;
        f->tables = f->before;
    } else if (f->before != NULL) {
        tc_index_free_table(f->before, &f->alloc);
    }
    f->before = NULL;
}

static void free_left(struct fixture *f)
{
    for (struct tc_entry *e = f->left, *next; e != NULL; e = next) {
        next = e->next;
        free_entry(e);
    }
    for (struct tc_table *t = f->tables, *next; t != NULL; t = next) {
        next = t->next;
        tc_index_free_table(t, &f->alloc);
    }
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    let_go_before(f);
    free_left(f);
    tc_index_fini(&f->index, &f->alloc);
    for (size_t i = 0; i < KEYS; i++)
        free_entry(f->entry[i]);
    bool clean = tt_alloc_is_clean(&f->counting);
    tt_alloc_fini(&f->counting);
    free(f);
    return clean ? 0 : -1;
}

static struct cache_slice key_of(const uint32_t *number)
{
    return (struct cache_slice){ number, sizeof *number };
}

static struct tc_entry *open_entry(uint32_t number, uint64_t hash)
{
    return tc_entry_open_small(&tc_alloc_default, 0, NULL, hash, key_of(&number), 0);
}

static uint32_t number_of(struct tc_entry *e)
{
    uint32_t number;
    memcpy(&number, tc_entry_key(e), sizeof number);
    return number;
}

static struct tc_entry *find(const struct tc_index *x, uint32_t number, uint64_t hash)
{
    return tc_index_find(x, hash, key_of(&number));
}

static uint64_t growth(struct fixture *f, uint64_t hash)
{
    return tc_index_growth_bytes(&f->index, hash, f->thrift);
}

static struct tc_entry *make_room(struct fixture *f, uint64_t hash, bool *failed)
{
    let_go_before(f);
    f->before = (struct tc_table *)f; /* to be written */
    *failed = true;
    return tc_index_make_room(&f->index, &f->alloc, hash, f->thrift, &f->bytes, &f->before, failed);
}

static void remove_key(struct fixture *f, uint32_t number)
{
    tc_index_remove(&f->index, f->entry[number]);
    let_go(f, f->entry[number]);
    f->entry[number] = NULL;
    f->count--;
}

static void replace_key(struct fixture *f, uint32_t number)
{
    struct tc_entry *old = f->entry[number];
    f->entry[number] = open_entry(number, old->hash);
    tc_index_replace(&f->index, old, f->entry[number], ++f->code[number]);
    let_go(f, old);
}

static void change_code(struct fixture *f, uint32_t number)
{
    size_t i = 0;
    while (tc_index_at(&f->index, i) != f->entry[number])
        i++;
    f->code[number] += 1000;
    tc_index_set_code(&f->index, i, f->code[number]);
}

/* Inserts as a stripe does. Returns how many entries had to leave; -1: there is no table. */
static int insert_key(struct fixture *f, uint32_t number, uint64_t hash)
{
    bool failed;
    struct tc_entry *instead = make_room(f, hash, &failed), *e = open_entry(number, hash);
    f->code[number] = (uint16_t)(number * 40503u);
    if (failed) {
        free_entry(e);
        return -1;
    }
    if (instead != NULL) {
        tc_index_replace(&f->index, instead, e, f->code[number]);
        f->entry[number_of(instead)] = NULL;
        let_go(f, instead);
    } else {
        tc_index_insert(&f->index, e, f->code[number]);
        f->count++;
    }
    f->entry[number] = e;
    return instead != NULL;
}

/* ---- what the table must be at any time ---- */

static size_t home_of(uint64_t hash, size_t n)
{
    return (size_t)((uint64_t)(uint32_t)hash * n / (UINT64_C(1) << 32));
}

/* The table holds exactly the naive one's entries, each with its code in reach of its home, and reaches are exact. */
static void assert_exact(struct fixture *f)
{
    static size_t reach[BUCKETS_MAX];
    size_t entries = 0, n = f->index.n;
    assert_true(n <= BUCKETS_MAX && n == tc_index_n_of(atomic_load(&f->index.table)));
    memset(reach, 0, sizeof reach);
    for (size_t i = 0; i < tc_index_lanes(&f->index); i++) {
        struct tc_entry *e = tc_index_at(&f->index, i);
        if (e == NULL)
            continue;
        size_t home = home_of(e->hash, n), distance = (i / TC_INDEX_LANES + n - home) % n;
        assert_ptr_equal(f->entry[number_of(e)], e);
        assert_int_equal(tc_index_code(tc_index_lane(&f->index, i)), f->code[number_of(e)]);
        assert_true(distance <= TC_INDEX_REACH && tc_index_tag(e->hash) != 0);
        reach[home] = distance > reach[home] ? distance : reach[home];
        entries++;
    }
    for (size_t at = 0; at < n; at++)
        assert_int_equal(atomic_load(&tc_index_buckets(atomic_load(&f->index.table))[at].tags) >> 56, reach[at]);
    assert_int_equal(entries, f->count);
    assert_int_equal(f->index.count, f->count);
    assert_true(tc_index_check(&f->index));
}

static void assert_all_found(struct fixture *f)
{
    for (uint32_t i = 0; i < KEYS; i++)
        if (f->entry[i] != NULL)
            assert_ptr_equal(find(&f->index, i, f->entry[i]->hash), f->entry[i]);
}

static void assert_bytes(struct fixture *f)
{
    size_t n = f->index.n, bytes = n > 0 ? (n + 1) * sizeof(struct tc_bucket) + TC_ALLOC_LINES_EXTRA : 0;
    let_go_before(f);
    assert_int_equal(tt_alloc_counts(&f->counting).live_bytes, bytes);
    assert_int_equal(tc_index_bytes(&f->index), n > 0 ? tc_entry_heap_bytes(bytes) : 0);
    assert_int_equal(f->bytes, tc_index_bytes(&f->index));
}

/* ---- the model ---- */

enum kind { SPREAD, EQUAL, FEW, HOME, END, TAG_0, CROWD };

static uint64_t hash_for(uint32_t number, enum kind kind)
{
    uint64_t state = number;
    uint64_t spread = tt_random(&state), high = spread & ~(uint64_t)UINT32_MAX;
    switch (kind) {
    case SPREAD: return spread;
    case EQUAL: return UINT64_C(0x123456789ABCDEF0);
    case FEW: return UINT64_C(0x123456789ABCDEF0) + number % 7; /* whole collisions, and the same home and tag */
    case HOME: return high | (0x40000000 + number % 3);         /* the same home, with any tag */
    case END: return high | (UINT32_MAX - number % 5);          /* the last home of any table */
    case TAG_0: return (spread & UINT64_C(0x00FFFFFFFFFFFFFF)) | (uint64_t)(number % 2) << 56; /* that tag is 1 too */
    default: return high | (uint32_t)((spread & 0x0FFFFFFF) - 0x08000000); /* a sixteenth of them, across the end */
    }
}

static void change_something(struct fixture *f, uint32_t number, uint64_t hash, bool fills, bool replaces)
{
    if (f->entry[number] == NULL) {
        if (fills)
            assert_true(insert_key(f, number, hash) >= 0);
    } else if (replaces) {
        replace_key(f, number);
    } else if (fills) {
        change_code(f, number);
    } else {
        remove_key(f, number);
        assert_null(find(&f->index, number, hash));
    }
}

static void run_model(struct fixture *f, enum kind kind, uint32_t keys, int steps, int check_every)
{
    uint64_t seed = tt_seed();
    unsigned filling = 60;
    for (int step = 0; step < steps; step++) {
        uint32_t number = (uint32_t)(tt_random(&seed) % keys);
        uint64_t hash = hash_for(number, kind);
        if (step % (steps / 8) == 0)
            filling = 20 + (unsigned)(tt_random(&seed) % 75);
        assert_ptr_equal(find(&f->index, number, hash), f->entry[number]);
        change_something(f, number, hash, tt_random(&seed) % 100 < filling, tt_random(&seed) % 8 == 0);
        assert_ptr_equal(find(&f->index, number, hash), f->entry[number]);
        if (step % check_every == 0)
            assert_exact(f);
        if (step % 100 == 0)
            assert_all_found(f);
    }
    assert_exact(f);
    assert_all_found(f);
    assert_bytes(f);
}

#define CASE(name, run, ...)      \
    static void name(void **state) \
    {                              \
        run(*state, __VA_ARGS__);  \
    }

CASE(it_agrees_with_a_naive_table_when_hashes_spread, run_model, SPREAD, KEYS, STEPS, 500)
CASE(a_small_one_is_exact_after_each_step, run_model, SPREAD, 120, SMALL_STEPS, 1)
CASE(it_agrees_with_a_naive_table_when_all_hashes_are_one, run_model, EQUAL, 150, SMALL_STEPS, 1)
CASE(it_agrees_with_a_naive_table_when_all_have_one_home, run_model, HOME, 150, SMALL_STEPS, 1)
CASE(it_agrees_with_a_naive_table_across_the_end_of_the_buckets, run_model, END, 150, SMALL_STEPS, 1)
CASE(it_agrees_with_a_naive_table_when_tags_are_the_least, run_model, TAG_0, 200, SMALL_STEPS, 1)
CASE(it_agrees_with_a_naive_table_in_a_crowd, run_model, CROWD, 400, SMALL_STEPS, 1)

/* FAULTS 61 */
static void it_agrees_with_a_naive_table_when_whole_hashes_collide(void **state)
{
    run_model(*state, FEW, 150, SMALL_STEPS, 1);
}

static void an_empty_table_finds_nothing_and_takes_no_memory(void **state)
{
    struct fixture *f = *state;
    tc_index_prefetch(&f->index, UINT64_MAX);
    tc_index_fini(&f->index, &f->alloc);
    assert_null(find(&f->index, 1, 1));
    assert_int_equal(tt_alloc_counts(&f->counting).calls, 0);
    assert_int_equal(tc_index_bytes(&f->index), 0);
    assert_true(growth(f, 1) > 0);
}

/* ---- keys ---- */

/* In memory of its own, so that AddressSanitizer sees who reads beyond it. */
static struct tc_entry *find_bytes(struct fixture *f, uint64_t hash, const unsigned char *key, size_t len)
{
    unsigned char *copy = tt_xmemdup(key, len);
    struct tc_entry *e = tc_index_find(&f->index, hash, (struct cache_slice){ copy, len });
    free(copy);
    return e;
}

/* A key is there; one byte more, less, or another one, at any place, is not. */
static void assert_only_itself(struct fixture *f, const unsigned char *key, size_t len)
{
    bool failed;
    unsigned char *other = tt_xcalloc(len + 1);
    memcpy(other, key, len);
    other[len] = (unsigned char)~key[len];
    struct tc_entry *e = tc_entry_open(&tc_alloc_default, 0, NULL, 99, (struct cache_slice){ key, len }, 0);
    assert_null(find_bytes(f, 99, key, len));
    assert_null(make_room(f, 99, &failed));
    tc_index_insert(&f->index, e, 0);
    assert_ptr_equal(find_bytes(f, 99, key, len), e);
    assert_null(find_bytes(f, 99, other, len + 1));
    for (size_t at = 0; at < len; at++) {
        other[at] ^= (unsigned char)(1 << at % 8);
        assert_null(find_bytes(f, 99, other, len));
        other[at] = key[at];
    }
    free(other);
    f->entry[f->count++] = e; /* to be freed with the others */
}

/* FAULTS 61 */
static void keys_of_one_hash_are_told_apart_by_their_bytes(void **state)
{
    struct fixture *f = *state;
    static const size_t long_ones[] = { 63, 64, 65, 127, 128, 1000, 1023, 1024, 3001 };
    static unsigned char key[3002];
    uint64_t seed = tt_seed();
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (unsigned char)tt_random(&seed);
    for (size_t len = 41; len-- > 0;) /* each begins all those before */
        assert_only_itself(f, key, len);
    for (size_t i = 0; i < TC_ARRAY_LEN(long_ones); i++)
        assert_only_itself(f, key, long_ones[i]);
    for (size_t i = 0; i < f->count; i++)
        assert_ptr_equal(find_bytes(f, 99, tc_entry_key(f->entry[i]), f->entry[i]->key_len), f->entry[i]);
}

/* ---- growing ---- */

static bool has_gap(struct fixture *f, uint64_t hash)
{
    size_t n = f->index.n, first = n > 0 ? home_of(hash, n) * TC_INDEX_LANES : 0;
    for (size_t i = first; n > 0 && i < first + TC_INDEX_PROBES; i++)
        if (tc_index_at(&f->index, i % tc_index_lanes(&f->index)) == NULL)
            return true;
    return false;
}

/* What a reader who began before finds: all that was there then, and nothing that came later. */
static void assert_holds(const struct tc_index *x, struct fixture *f, uint32_t keys)
{
    for (uint32_t i = 0; i < keys; i++)
        assert_ptr_equal(find(x, i, hash_for(i, SPREAD)), f->entry[i]);
    assert_null(find(x, keys, hash_for(keys, SPREAD)));
}

/* When one more would take more than that share of the lanes, or has no place. */
static void assert_growth(struct fixture *f, bool thrift, unsigned full_sixteenths)
{
    f->thrift = thrift;
    for (uint32_t i = 0; i < KEYS; i++) {
        struct tc_index then = { .table = atomic_load(&f->index.table), .n = f->index.n };
        bool full = (f->count + 1) * 16 > tc_index_lanes(&f->index) * full_sixteenths;
        uint64_t announced = growth(f, hash_for(i, SPREAD)), bytes = f->bytes;
        assert_int_equal(announced > 0, full || !has_gap(f, hash_for(i, SPREAD)));
        assert_int_equal(insert_key(f, i, hash_for(i, SPREAD)), 0);
        assert_int_equal(f->bytes - bytes, announced);
        assert_int_equal(f->index.n > then.n, announced > 0);
        assert_int_equal(f->before != NULL, announced > 0 && then.n > 0);
        if (f->before != NULL) {
            assert_int_equal(f->before->n, then.n);
            assert_holds(&then, f, i);
            assert_holds(&f->index, f, i + 1);
        }
        assert_bytes(f);
    }
    assert_exact(f);
    assert_all_found(f);
}

CASE(growth_is_announced_to_the_byte_and_hands_over_the_table_before, assert_growth, false, 13)
CASE(a_thrifty_table_grows_when_nearly_all_lanes_are_taken, assert_growth, true, 15)

static void remove_all(struct fixture *f)
{
    for (uint32_t i = 0; i < KEYS; i++)
        if (f->entry[i] != NULL)
            remove_key(f, i);
    assert_int_equal(f->count, 0);
}

/* A table of as many buckets, or the next size, without an entry. */
static void make_empty_table(struct fixture *f, size_t n)
{
    remove_all(f);
    for (uint32_t i = 0; f->index.n < n; i++)
        insert_key(f, i, hash_for(i, SPREAD));
    remove_all(f);
}

/* The ith of hashes that all have that home now, but not in a larger table. */
static uint64_t hash_at(struct fixture *f, size_t home, size_t i)
{
    uint64_t n = f->index.n, step = (UINT64_C(1) << 32) / n;
    uint64_t first = ((home << 32) + n - 1) / n, hash = first + step / 256 * (i % 256);
    assert_int_equal(home_of(hash, n), home);
    return hash | (uint64_t)i << 48;
}

static void no_lane_in_reach_lets_a_half_full_table_grow_and_no_emptier_one(void **state)
{
    struct fixture *f = *state;
    make_empty_table(f, 38);
    size_t n = f->index.n, home = n - 5, half = (tc_index_lanes(&f->index) + 1) / 2;
    uint32_t number = 0;
    for (; number < TC_INDEX_PROBES; number++)
        assert_int_equal(insert_key(f, number, hash_at(f, home, number)), 0);
    for (; f->count < half; number++) { /* no room beside them, but much elsewhere */
        uint64_t hash = hash_at(f, home, number);
        bool failed;
        assert_int_equal(growth(f, hash), 0);
        struct tc_entry *named = make_room(f, hash, &failed);
        assert_true(named != NULL && f->entry[number_of(named)] == named && f->before == NULL && !failed);
        assert_true((home_of(named->hash, n) + n - home) % n <= TC_INDEX_REACH);
        assert_int_equal(insert_key(f, number, hash), 1);
        number++;
        assert_int_equal(insert_key(f, number, hash_at(f, (home + 20) % n, number)), 0);
        assert_exact(f);
    }
    assert_int_equal(f->index.n, n);
    assert_true(growth(f, hash_at(f, home, 0)) > 0);
    assert_int_equal(growth(f, hash_at(f, (home + 20) % n, 0)), 0); /* there is a gap there */
    assert_int_equal(insert_key(f, number, hash_at(f, home, 255)), 0);
    assert_true(f->index.n > n);
    assert_exact(f);
    assert_bytes(f);
}

/* Two homes beside each other that are one in the next larger table, with more keys than one home can have. */
static void a_table_that_does_not_fit_into_larger_ones_stays_and_stops_trying_at_twice_its_size(void **state)
{
    struct fixture *f = *state;
    make_empty_table(f, 38);
    size_t n = f->index.n, next = n + n / 4, home = 0;
    uint64_t last = 0;
    while (home == 0 || home_of(last, next) != home_of(last + 1, next))
        last = ((++home << 32) + n - 1) / n - 1;
    assert_true(home < n && home_of(last, n) + 1 == home_of(last + 1, n));
    uint32_t number = 0;
    for (; number < TC_INDEX_PROBES; number++)
        assert_int_equal(insert_key(f, number, last + 1), 0);
    for (; number < TC_INDEX_PROBES + TC_INDEX_LANES; number++)
        assert_int_equal(insert_key(f, number, last), 0);
    for (size_t at = 18; f->count * 2 < tc_index_lanes(&f->index); at++, number++)
        assert_int_equal(insert_key(f, number, hash_at(f, (home + at) % n, number)), 0);
    assert_true(growth(f, last) > 0);
    uint64_t calls = tt_alloc_counts(&f->counting).calls;
    for (size_t bytes; (bytes = growth(f, last)) > 0; calls++) { /* each at a size that was not tried yet */
        assert_int_equal(insert_key(f, number++, last), 1);
        assert_true(growth(f, last) > bytes || growth(f, last) == 0);
        assert_bytes(f);
    }
    assert_int_equal(f->index.n, n);
    for (; number < 1000; number++)
        assert_in_range(insert_key(f, number, hash_for(number, SPREAD)), 0, 1);
    assert_int_equal(tt_alloc_counts(&f->counting).calls, calls);
    assert_exact(f);
    assert_all_found(f);
    assert_bytes(f);
}

/* The count is a lie that makes it grow: a table of that size would take too many entries. */
static void the_number_of_buckets_is_what_the_word_says_however_large(void **state)
{
    struct tc_index x = { 0 };
    (void)state;
    while (x.n < 300000) {
        size_t n = x.n, least = n == 0 ? 2 : n < 16 ? 2 * n : n + n / 4;
        uint64_t bytes = tc_index_bytes(&x), announced = tc_index_growth_bytes(&x, 0, false), grown = 0;
        struct tc_table *before;
        bool failed;
        assert_null(tc_index_make_room(&x, &tc_alloc_default, 0, false, &grown, &before, &failed));
        assert_true(!failed && x.n > n && x.n >= least && x.n - least <= x.n / 1024);
        assert_int_equal(tc_index_n_of(atomic_load(&x.table)), x.n);
        assert_true(grown > 0 && grown == announced);
        assert_int_equal(tc_index_bytes(&x), bytes + grown);
        if (before != NULL)
            tc_index_free_table(before, &tc_alloc_default);
        x.count = (uint32_t)(tc_index_lanes(&x) - tc_index_lanes(&x) / 8);
    }
    struct tc_entry *e = open_entry(7, UINT64_MAX);
    x.count = 0;
    tc_index_insert(&x, e, 0); /* the last bucket of all */
    assert_ptr_equal(find(&x, 7, UINT64_MAX), e);
    assert_ptr_equal(tc_index_at(&x, tc_index_lanes(&x) - TC_INDEX_LANES), e);
    tc_index_fini(&x, &tc_alloc_default);
    free_entry(e);
}

/* ---- without memory ---- */

static void without_memory_for_the_first_table_nothing_changes(void **state)
{
    struct fixture *f = *state;
    tt_alloc_fail(&f->counting, 1, true);
    assert_int_equal(insert_key(f, 1, 1), -1);
    assert_int_equal(f->bytes, 0);
    assert_null(find(&f->index, 1, 1));
    tt_alloc_fail(&f->counting, 0, false);
    assert_int_equal(insert_key(f, 1, 1), 0);
    assert_bytes(f);
}

static void a_table_that_cannot_grow_gives_up_one_entry_for_each_new_one_until_it_can(void **state)
{
    struct fixture *f = *state;
    for (size_t n = 16; n < 100; n += 74) { /* in the small one any gap is near enough */
        size_t most = 0;
        make_empty_table(f, n);
        tt_alloc_fail(&f->counting, 1, true);
        for (uint32_t i = 0; i < 2000; i++) {
            uint64_t hash = hash_for(i, SPREAD);
            assert_in_range(insert_key(f, i, hash), 0, 1);
            assert_ptr_equal(find(&f->index, i, hash), f->entry[i]);
            assert_null(find(&f->index, i + 1, hash_for(i + 1, SPREAD)));
            most = f->count > most ? f->count : most;
            if (i % 8 == 0)
                remove_key(f, i);
            assert_exact(f);
        }
        assert_in_range(most, n == 16 ? 16 * TC_INDEX_LANES - 1 : n * 6, tc_index_lanes(&f->index) - 1);
        assert_all_found(f);
        assert_int_equal(f->index.n, n);
        assert_bytes(f);
        tt_alloc_fail(&f->counting, 0, false);
        assert_int_equal(insert_key(f, 2000, hash_for(2000, SPREAD)), 0);
        assert_int_equal(f->index.n, n + n / 4);
        assert_exact(f);
    }
}

/* ---- the reach ---- */

/* FAULTS 61: nor does the table grow for them. */
static void no_more_keys_of_one_hash_are_held_than_lanes_lie_in_reach(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < SAME; i++)
        assert_int_equal(insert_key(f, i, 77), i < TC_INDEX_PROBES ? 0 : 1);
    assert_int_equal(f->count, TC_INDEX_PROBES);
    assert_true(f->index.n <= 4 * TC_INDEX_PROBES / TC_INDEX_LANES);
}

/* FAULTS 61: built by hand: the key lies behind the last bucket that its home names, all before are full of its tag. */
static void a_look_up_goes_as_far_as_its_home_says_and_no_farther(void **state)
{
    enum { N = 40, AT = N - 5 };
    (void)state;
    struct tc_table *t = tc_alloc_lines(&tc_alloc_default, (N + 1) * sizeof(struct tc_bucket));
    struct tc_bucket *b = (struct tc_bucket *)(void *)t + 1;
    struct tc_index x = { .table = (uint64_t)(uintptr_t)b | (uint64_t)N << 53, .n = N };
    uint64_t hash = UINT64_C(0x1100000000000000) + (((uint64_t)AT << 32) + N - 1) / N;
    struct tc_entry *e = open_entry(5, hash), *filler = open_entry(6, hash);
    assert_int_equal(home_of(hash, N), AT);
    for (size_t i = 0; i < N; i++) {
        atomic_store(&b[i].tags, UINT64_C(0x11) * TC_INDEX_BYTES | UINT64_C(15) << 56);
        for (size_t lane = 0; lane < TC_INDEX_LANES; lane++)
            atomic_store(&b[i].lanes[lane], (uintptr_t)filler | 3);
    }
    for (size_t distance = 0; distance <= 17; distance++) {
        size_t at = (AT + distance) % N, lane = distance % TC_INDEX_LANES;
        atomic_store(&b[at].lanes[lane], (uintptr_t)e | (distance & 15));
        for (uint64_t reach = 0; reach <= 15; reach++) {
            atomic_store(&b[AT].tags, UINT64_C(0x11) * TC_INDEX_BYTES | reach << 56);
            assert_ptr_equal(find(&x, 5, hash), distance <= reach ? e : NULL);
        }
        atomic_store(&b[at].lanes[lane], (uintptr_t)filler | 3);
    }
    tc_free_lines(&tc_alloc_default, t, (N + 1) * sizeof(struct tc_bucket));
    free_entry(e);
    free_entry(filler);
}

/* ---- readers ---- */

enum { STAY = 100, RACE_KEYS = 1500, RACE_STEPS = 12000, RACE_CREW = 3 };

struct race {
    struct fixture *f;
    enum kind kind;
    _Atomic unsigned passes;
    _Atomic bool done;
};

/* The first keys stay all the time, whatever entry they have. */
static void race_change(struct fixture *f, uint32_t number, uint64_t hash, bool replaces)
{
    bool failed;
    if (f->entry[number] == NULL && make_room(f, hash, &failed) == NULL)
        tc_index_insert(&f->index, f->entry[number] = open_entry(number, hash), 0);
    else if (f->entry[number] != NULL && (number < STAY || replaces))
        replace_key(f, number);
    else if (f->entry[number] != NULL)
        remove_key(f, number);
}

static int write_all_the_time(struct race *r)
{
    uint64_t seed = r->kind;
    for (int step = 0; step < RACE_STEPS; step++) {
        uint32_t number = (uint32_t)(tt_random(&seed) % RACE_KEYS);
        race_change(r->f, number, hash_for(number, r->kind), tt_random(&seed) % 2);
        unsigned passes = atomic_load(&r->passes);
        while (step % 500 == 0 && atomic_load(&r->passes) == passes)
            sched_yield();
    }
    atomic_store(&r->done, true);
    return !tc_index_check(&r->f->index);
}

static int write_or_read(void *arg, unsigned index)
{
    struct race *r = arg;
    int failures = 0;
    while (index > 0 && !atomic_load(&r->done)) {
        for (uint32_t i = 0; i < 2 * RACE_KEYS && failures == 0; i += i < STAY ? 1 : 7) {
            struct tc_entry *e = find(&r->f->index, i, hash_for(i, r->kind));
            TT_CHECK(failures, e != NULL ? number_of(e) == i && i < RACE_KEYS : i >= STAY);
        }
        atomic_fetch_add(&r->passes, 1);
    }
    return index > 0 ? failures : write_all_the_time(r);
}

static void run_race(struct fixture *f, enum kind kind)
{
    struct race r = { .f = f, .kind = kind };
    f->keeps = true;
    for (uint32_t i = 0; i < STAY; i++)
        insert_key(f, i, hash_for(i, kind));
    assert_int_equal(tt_crew_join(tt_crew_start(RACE_CREW, write_or_read, &r)), 0);
    assert_true(f->tables != NULL && f->left != NULL);
}

CASE(who_looks_for_what_is_there_all_the_time_finds_it, run_race, SPREAD)
CASE(and_in_a_crowd_too, run_race, CROWD)

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_agrees_with_a_naive_table_when_hashes_spread),
        TEST(a_small_one_is_exact_after_each_step),
        TEST(it_agrees_with_a_naive_table_when_whole_hashes_collide),
        TEST(it_agrees_with_a_naive_table_when_all_hashes_are_one),
        TEST(it_agrees_with_a_naive_table_when_all_have_one_home),
        TEST(it_agrees_with_a_naive_table_across_the_end_of_the_buckets),
        TEST(it_agrees_with_a_naive_table_when_tags_are_the_least),
        TEST(it_agrees_with_a_naive_table_in_a_crowd),
        TEST(an_empty_table_finds_nothing_and_takes_no_memory),
        TEST(keys_of_one_hash_are_told_apart_by_their_bytes),
        TEST(growth_is_announced_to_the_byte_and_hands_over_the_table_before),
        TEST(a_thrifty_table_grows_when_nearly_all_lanes_are_taken),
        TEST(no_lane_in_reach_lets_a_half_full_table_grow_and_no_emptier_one),
        TEST(a_table_that_does_not_fit_into_larger_ones_stays_and_stops_trying_at_twice_its_size),
        TEST(without_memory_for_the_first_table_nothing_changes),
        TEST(a_table_that_cannot_grow_gives_up_one_entry_for_each_new_one_until_it_can),
        TEST(no_more_keys_of_one_hash_are_held_than_lanes_lie_in_reach),
        TEST(who_looks_for_what_is_there_all_the_time_finds_it),
        TEST(and_in_a_crowd_too),
        cmocka_unit_test(the_number_of_buckets_is_what_the_word_says_however_large),
        cmocka_unit_test(a_look_up_goes_as_far_as_its_home_says_and_no_farther),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
