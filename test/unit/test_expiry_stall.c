/* Entries that expire at the same moment, as many as a cache holds: nobody pays for them at once. Each store takes out
 * what is due of one bucket; no call takes long, and all memory comes back after a store for each bucket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_l1.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { ENTRIES = 100000, MOST_NS = 20000000 };
#else
enum { ENTRIES = 1000000, MOST_NS = 1000000 };
#endif

enum {
    STRIPES = 4,
    BYTES_EACH = 256, /* of the limit: more than an entry takes */
    LEN = 24,
    NEW = ENTRIES / 1000, /* keys that are stored afterwards, over and over */
    TTL_MS = 10000,
    MOST_FREED = 400, /* by one call, of memory that was allocated: a part before each wait, and its own */
    BUCKETS_PASSED = 4, /* by one call at most: the short way, the general one, and that again after readers */
    ATTEMPTS = 5,
    SLOW_MOST = 4096 /* calls that are told apart; more is too many */
};

struct kind {
    bool paged, company;
    uint64_t entries;
};

static struct tt_l1 *open_l1(const struct kind *kind)
{
    struct tt_l1 *r = tt_l1_new(kind->entries * BYTES_EACH, STRIPES, NULL);
    assert_non_null(r);
    r->l1.paged = kind->paged;
    tc_l1_know(&r->l1, r->types[0]);
    assert_non_null(tc_reader_self(&r->l1.readers));
    if (kind->company) /* what leaves has to wait for epochs */
        tt_l1_have_company(r);
    return r;
}

static void put(struct tt_l1 *r, uint64_t number, int64_t life_ms)
{
    _Alignas(8) unsigned char room[LEN + 128];
    unsigned char value[LEN];
    bool replaced;
    struct tt_l1_key k = tt_l1_key(r, number);
    struct tc_l1_ref ref = tt_l1_ref(&k);
    memcpy(value, "twenty-four bytes, or so", LEN);
    struct tc_entry_parts p = { .hash = k.hash, .key = ref.key, .value = { value, LEN }, .now_ms = tt_l1_now(r),
                                .life_ms = life_ms, .type_id = r->types[0]->id };
    if (tc_l1_set(&r->l1, &p, NULL, &replaced))
        return;
    struct tc_entry *e = tc_entry_lend(room, sizeof room, r->l1.node_bytes, r->types[0], ref.key, LEN);
    assert_non_null(e);
    memcpy(tc_entry_room(e), value, LEN);
    tc_entry_set_life(e, p.now_ms, life_ms, 0);
    assert_int_equal(tc_l1_put(&r->l1, e, &r->policies[0], NULL, true), CACHE_OK);
}

static bool has(struct tt_l1 *r, uint64_t number)
{
    unsigned char buf[LEN];
    struct tt_l1_key k = tt_l1_key(r, number);
    struct tc_l1_found f;
    struct tc_l1_copied c;
    bool copied = tc_l1_get_copy(&r->l1, tt_l1_ref(&k), tt_l1_now(r), buf, sizeof buf, &c, &f);
    assert_true(copied || f.entry == NULL);
    return copied;
}

/* ---- what a call takes ---- */

/* Of this thread only: that others had the processor does not count. */
static int64_t ran_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Pages that the kernel had to find, which is as slow as the kernel is. */
static long faults(void)
{
    struct rusage u;
    getrusage(RUSAGE_THREAD, &u);
    return u.ru_minflt + u.ru_majflt;
}

struct calls {
    struct tt_l1 *r;
    uint64_t n, slow, faulted;
    int64_t worst_ns;
    uint64_t most_expired, most_freed; /* by one call */
    uint64_t slow_calls[SLOW_MOST]; /* which they were, in order */
};

enum verb { STORE, GET, INVALIDATE };

static uint64_t freed_between(const struct tt_alloc_counts *a, const struct tt_alloc_counts *b)
{
    uint64_t made = (b->calls - b->failed) - (a->calls - a->failed);
    return a->live_blocks + made - b->live_blocks;
}

static void call(struct calls *c, enum verb verb, uint64_t number)
{
    struct tt_l1 *r = c->r;
    uint64_t expired = verb == STORE ? tt_l1_count(r, TC_COUNT_l1_expired) : 0; /* only stores pass the hand */
    struct tt_alloc_counts before = tt_alloc_counts(&r->counting), after;
    long faults_before = faults();
    int64_t begin_ns = ran_ns();
    if (verb == STORE)
        put(r, number, -1);
    else if (verb == GET)
        has(r, number);
    else
        tt_l1_invalidate(r, tt_l1_key(r, number));
    int64_t took_ns = ran_ns() - begin_ns;
    bool faulted = faults() != faults_before;
    expired = verb == STORE ? tt_l1_count(r, TC_COUNT_l1_expired) - expired : 0;
    after = tt_alloc_counts(&r->counting);
    uint64_t freed = freed_between(&before, &after);
    c->n++;
    c->most_freed = freed > c->most_freed ? freed : c->most_freed;
    c->faulted += faulted && took_ns > MOST_NS;
    if (!faulted && took_ns > MOST_NS)
        c->slow_calls[c->slow++ % SLOW_MOST] = c->n;
    c->worst_ns = took_ns > c->worst_ns && !faulted ? took_ns : c->worst_ns;
    c->most_expired = expired > c->most_expired ? expired : c->most_expired;
}

/* ---- the moment ---- */

static uint64_t buckets_of(struct tt_l1 *r)
{
    uint64_t n = 0;
    for (size_t i = 0; i < STRIPES; i++)
        n += r->l1.stripes[i].index.n;
    return n;
}

/* That belong to entries: neither fixed nor the tables. */
static uint64_t bytes_of(struct tt_l1 *r)
{
    uint64_t bytes = tc_l1_bytes(&r->l1) - r->l1.fixed_bytes;
    for (size_t i = 0; i < STRIPES; i++)
        bytes -= tc_index_bytes(&r->l1.stripes[i].index);
    return bytes;
}

/* Returns how many stores it took until all was back, or 0: it is not. */
static uint64_t store_on(struct calls *c, uint64_t entries, uint64_t bytes_before)
{
    struct tt_l1 *r = c->r;
    uint64_t seed = 1, most = 2 * buckets_of(r); /* chance favours one stripe or another */
    for (uint64_t i = 1; i <= most; i++) {
        uint64_t number = entries + tt_random(&seed) % NEW;
        call(c, STORE, number);
        call(c, GET, tt_random(&seed) % 2 ? number : tt_random(&seed) % entries);
        if (i % 4 == 0)
            call(c, INVALIDATE, tt_random(&seed) % 2 ? number : tt_random(&seed) % entries);
        if (i % 64 == 0 && tt_l1_type_entries(r, 0) <= NEW && bytes_of(r) < bytes_before / 4)
            return i;
    }
    return 0;
}

/* What is wrong beside slow calls ends the test. */
static void try_it(const struct kind *kind, struct calls *calls)
{
    uint64_t entries = kind->entries;
    memset(calls, 0, sizeof *calls);
    struct tt_l1 *r = calls->r = open_l1(kind);
    for (uint64_t i = 0; i < entries; i++)
        put(r, i, TTL_MS);
    assert_int_equal(tt_l1_type_entries(r, 0), entries);
    tt_clock_advance(&r->time, TTL_MS - 1);
    assert_true(has(r, 0) && has(r, entries - 1));
    uint64_t bytes = bytes_of(r), live = tt_alloc_counts(&r->counting).live_bytes, buckets = buckets_of(r);
    tt_clock_advance(&r->time, 1000);
    for (uint64_t i = 0; i < entries; i += entries / 100)
        assert_false(has(r, i));
    uint64_t stores = store_on(calls, entries, bytes);
    print_message("%zu entries: all back after %zu stores (%zu buckets); %zu calls, the longest %zu us, %zu slow, %zu "
                  "with page faults; one expired %zu and freed %zu at most\n", (size_t)entries, (size_t)stores,
                  (size_t)buckets, (size_t)calls->n, (size_t)calls->worst_ns / 1000, (size_t)calls->slow,
                  (size_t)calls->faulted, (size_t)calls->most_expired, (size_t)calls->most_freed);
    assert_true(stores > 0);
    assert_true(calls->most_freed <= MOST_FREED);
    assert_true(calls->most_expired <= BUCKETS_PASSED * TC_INDEX_LANES);
    assert_true(tt_l1_count(r, TC_COUNT_l1_expired) > entries / 10 * 9);
    assert_true(tt_l1_type_entries(r, 0) <= NEW);
    assert_true(tt_alloc_counts(&r->counting).live_bytes < live / 2); /* the tables stay */
    assert_true(tt_l1_free(r));
    assert_true(calls->slow <= SLOW_MOST);
}

/* Of those that were slow before, what is slow again. Both are in order. */
static size_t keep_common(uint64_t *before, size_t n, const struct calls *again)
{
    size_t common = 0;
    for (size_t i = 0, k = 0; i < n; i++) {
        while (k < again->slow && again->slow_calls[k] < before[i])
            k++;
        if (k < again->slow && again->slow_calls[k] == before[i])
            before[common++] = before[i];
    }
    return common;
}

/* Each attempt makes the same calls: one that takes long of itself does so each time; what a host does to its machines
 * hits another. */
static void nobody_waits_for_what_expires(void **state)
{
    static struct calls calls;
    static uint64_t slow[SLOW_MOST];
    try_it(*state, &calls);
    size_t n = calls.slow;
    memcpy(slow, calls.slow_calls, n * sizeof slow[0]);
    for (int i = 1; i < ATTEMPTS && n > 0; i++) {
        try_it(*state, &calls);
        n = keep_common(slow, n, &calls);
    }
    assert_int_equal(n, 0);
}

int main(void)
{
    static struct kind kinds[] = { { true, false, ENTRIES }, { true, true, ENTRIES / 10 * 3 },
                                   { false, false, ENTRIES / 10 * 3 }, { false, true, ENTRIES / 10 * 3 } };
#define WITH(test, what, kind) { #test ", " what, test, NULL, NULL, kind }
    const struct CMUnitTest tests[] = {
        WITH(nobody_waits_for_what_expires, "in pages, alone", &kinds[0]),
        WITH(nobody_waits_for_what_expires, "in pages, company", &kinds[1]),
        WITH(nobody_waits_for_what_expires, "apart, alone", &kinds[2]),
        WITH(nobody_waits_for_what_expires, "apart, company", &kinds[3]),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
