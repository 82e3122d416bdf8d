/* What may happen in the gaps of a call while somebody writes a value over another one without the lock: between the
 * look at a ticket and the store under it, between an entry's leaving and its lane's, and while a look-up waits for the
 * writer. What the library calls in such a gap, a hasher or an allocator, does here what another thread might. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_hasher.h"
#include "unit/tt_l1.h"
#include "unit/tt_trap.h"

enum { LIMIT = 2 << 20, LEN = 100, LIFE_MS = 1000000, KEY = 7, BESIDE = 8 };

static int setup(void **state)
{
    struct tt_l1 *r = tt_l1_new(LIMIT, 1, NULL);
    assert_non_null(r);
    assert_non_null(tc_reader_self(&r->l1.readers));
    tc_l1_know(&r->l1, r->types[0]);
    tt_l1_have_company(r);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    return tt_l1_free(*state) ? 0 : -1;
}

/* Both at home in the same bucket. */
static struct tt_l1_key key_of(uint64_t number)
{
    return (struct tt_l1_key){ UINT64_C(3) << 56 | number << 40, number };
}

static struct tc_entry_parts parts_of(struct tt_l1 *r, const struct tt_l1_key *k, unsigned char *value,
                                      uint64_t version, int64_t life_ms)
{
    tt_l1_fill(value, LEN, k->number, version);
    return (struct tc_entry_parts){ k->hash, tt_l1_ref(k).key, { value, LEN }, tt_l1_now(r), life_ms, 0 };
}

static bool set(struct tt_l1 *r, uint64_t number, uint64_t version, int64_t life_ms, const uint64_t *expected)
{
    struct tt_l1_key k = key_of(number);
    unsigned char value[LEN];
    bool replaced;
    struct tc_entry_parts p = parts_of(r, &k, value, version, life_ms);
    return tc_l1_set(&r->l1, &p, expected, &replaced);
}

static bool overwrite(struct tt_l1 *r, uint64_t number, uint64_t version, int64_t life_ms)
{
    struct tt_l1_key k = key_of(number);
    unsigned char value[LEN];
    uint32_t refs;
    struct tc_entry_parts p = parts_of(r, &k, value, version, life_ms);
    struct tc_entry *e = tc_index_find(&r->l1.views[0], p.hash, p.key, &refs);
    return e != NULL && tc_l1_overwrite(&r->l1, tc_reader_self(&r->l1.readers), e, refs, &p);
}

/* The table has room, and a page cells of the size. */
static void store_others(struct tt_l1 *r)
{
    for (uint64_t n = 100; n < 130; n++) {
        struct tt_l1_key k = tt_l1_key(r, n);
        unsigned char value[LEN];
        struct tc_entry_parts p = parts_of(r, &k, value, 1, LIFE_MS);
        struct tc_entry *e = tc_entry_open_small(&r->alloc, r->l1.node_bytes, r->types[0], k.hash, p.key, LEN);
        memcpy(tc_entry_room(e), value, LEN);
        tc_entry_set_life(e, p.now_ms, p.life_ms, 0);
        assert_int_equal(tc_l1_put(&r->l1, e, &r->policies[0], NULL, true), CACHE_OK);
        tc_l1_drop(&r->l1, e);
    }
}

/* ---- a ticket, and what is due ---- */

static struct {
    struct tt_l1 *r;
    int left; /* until it acts */
    int64_t life_ms; /* of what it writes */
    bool wrote;
    uint64_t generation; /* then */
} gap;

/* The table asks for a hash when it lets go of an entry: here of the one that is due and lies beside the key's. */
static uint64_t act_and_hash(const void *ctx, const void *p, size_t n)
{
    (void)ctx;
    if (gap.left > 0 && --gap.left == 0) {
        gap.wrote = overwrite(gap.r, KEY, 2, gap.life_ms);
        gap.generation = tc_l1_generation(&gap.r->l1, key_of(KEY).hash);
        tt_clock_advance(&gap.r->time, 1000);
    }
    return tt_hasher_hash((struct cache_slice){ p, n });
}

/* A value is there, and has expired. One thread misses, takes a ticket and reads the origin. Another one changes the
 * origin and writes over what has expired, without the lock; that is over when, under the lock of the first one, its
 * value is due too. The first one's answer is older than it, and its ticket void: whatever was due in between. */
static void a_ticket_is_looked_at_after_what_is_due_was_taken_out(void **state)
{
    struct tt_l1 *r = *state;
    struct tc_stripe *s = &r->l1.stripes[0];
    store_others(r);
    assert_true(set(r, BESIDE, 1, 1, NULL)); /* in a lane before the key's */
    assert_true(set(r, KEY, 1, 1, NULL));
    tt_clock_advance(&r->time, 1000);
    uint64_t ticket = tc_l1_generation(&r->l1, key_of(KEY).hash);
    gap.r = r;
    gap.left = 1;
    gap.life_ms = 1;
    gap.wrote = false;
    s->index.hasher = (struct tc_hasher){ act_and_hash, NULL };
    s->index.hand = s->index.n - 1; /* the home of both is next */
    struct tt_l1_key k = key_of(KEY);
    unsigned char value[LEN];
    bool replaced;
    struct tc_entry_parts p = parts_of(r, &k, value, 1, LIFE_MS);
    p.now_ms += 1000;
    bool stored = tc_l1_set(&r->l1, &p, &ticket, &replaced);
    s->index.hasher = r->l1.hasher;
    assert_true(gap.wrote);
    assert_int_equal(gap.generation, ticket + 1);
    assert_false(stored);
    assert_false(tt_l1_has(r, key_of(KEY)));
}

/* ---- who takes an entry out says so first ---- */

/* The lane is emptied after this: a value that is written now would be nowhere. */
static void what_is_taken_out_is_not_written_over_any_more(void **state)
{
    struct tt_l1 *r = *state;
    store_others(r);
    assert_true(set(r, KEY, 1, LIFE_MS, NULL));
    gap.r = r;
    gap.left = 1;
    gap.life_ms = LIFE_MS;
    gap.wrote = true;
    r->l1.stripes[0].index.hasher = (struct tc_hasher){ act_and_hash, NULL };
    tt_l1_invalidate(r, key_of(KEY));
    r->l1.stripes[0].index.hasher = r->l1.hasher;
    assert_int_equal(gap.left, 0);
    assert_false(gap.wrote);
}

/* An allocator that does something first: the answer to a miss needs a page for its size, and gets it between the last
 * look at its ticket and the table. */
static void *(*allocate)(void *ctx, size_t n);
static bool refuses;

static void *act_and_allocate(void *ctx, size_t n)
{
    if (n < TC_PAGE_BYTES || gap.left == 0)
        return allocate(ctx, n);
    gap.left = 0;
    if (refuses) {
        tc_generation_advance(tc_stripe_generation(&gap.r->l1.stripes[0], key_of(KEY).hash));
        return NULL;
    }
    gap.wrote = overwrite(gap.r, KEY, 2, LIFE_MS);
    return allocate(ctx, n);
}

static int answer(struct tt_l1 *r, uint64_t ticket)
{
    enum { LARGE = 230 };
    struct tt_l1_key k = key_of(KEY);
    struct tc_entry *e = tc_entry_open_small(&r->alloc, r->l1.node_bytes, r->types[0], k.hash, tt_l1_ref(&k).key,
                                             LARGE);
    tt_l1_fill(tc_entry_room(e), LARGE, KEY, 9);
    tc_entry_set_life(e, tt_l1_now(r), LIFE_MS, 0);
    allocate = r->alloc.ops.alloc;
    gap.r = r;
    gap.left = 1;
    gap.wrote = false;
    r->alloc.ops.alloc = act_and_allocate;
    int rc = tc_l1_put(&r->l1, e, &r->policies[0], &ticket, false);
    r->alloc.ops.alloc = allocate;
    tc_l1_drop(&r->l1, e);
    return rc;
}

static void after_the_last_look_at_a_ticket_nobody_writes(void **state)
{
    struct tt_l1 *r = *state;
    store_others(r);
    assert_true(set(r, KEY, 1, LIFE_MS, NULL));
    tt_clock_advance(&r->time, 1);
    refuses = false;
    int rc = answer(r, tc_l1_generation(&r->l1, key_of(KEY).hash));
    assert_int_equal(gap.left, 0);
    assert_false(gap.wrote);
    assert_int_equal(rc, CACHE_OK);
}

/* There is no page, and when it is tried again the ticket is void: what had begun to leave is gone. */
static void what_began_to_leave_in_vain_leaves(void **state)
{
    struct tt_l1 *r = *state;
    store_others(r);
    assert_true(set(r, KEY, 1, LIFE_MS, NULL));
    tt_clock_advance(&r->time, 1);
    refuses = true;
    int rc = answer(r, tc_l1_generation(&r->l1, key_of(KEY).hash));
    assert_int_equal(gap.left, 0);
    assert_int_equal(rc, CACHE_E_TICKET);
    assert_true(tc_l1_check(&r->l1));
    assert_false(tt_l1_has(r, key_of(KEY)));
}

/* The ticket itself lies in the trap, from when the clock is read: after the first look at it. So the answer stops at
 * the second one, with the generation in its hands. */
static int64_t set_the_trap_and_tell(void *clock)
{
    if (gap.left > 0 && --gap.left == 0)
        tt_trap_set();
    return tt_clock_mono_ms(clock);
}

static int answer_from_the_trap(void *arg, unsigned index)
{
    struct tt_l1 *r = arg;
    struct tt_l1_key k = key_of(KEY);
    struct tc_entry *e = tc_entry_open_small(&r->alloc, r->l1.node_bytes, r->types[0], k.hash, tt_l1_ref(&k).key, LEN);
    (void)index;
    tt_l1_fill(tc_entry_room(e), LEN, KEY, 9);
    tc_entry_set_life(e, tt_l1_now(r), LIFE_MS, 0);
    int rc = tc_l1_put(&r->l1, e, &r->policies[0], (const uint64_t *)(const void *)tt_trap_bytes(), false);
    tc_l1_drop(&r->l1, e);
    return rc != CACHE_OK;
}

static void at_the_last_look_at_a_ticket_nobody_writes(void **state)
{
    struct tt_l1 *r = *state;
    store_others(r);
    assert_true(set(r, KEY, 1, LIFE_MS, NULL));
    tt_clock_advance(&r->time, 1);
    uint64_t ticket = tc_l1_generation(&r->l1, key_of(KEY).hash);
    memcpy(tt_trap_bytes(), &ticket, sizeof ticket);
    gap.left = 1;
    r->clock.ops.mono_ms = set_the_trap_and_tell;
    struct tt_crew *crew = tt_crew_start(1, answer_from_the_trap, r);
    bool stands = tt_trap_await();
    bool wrote = overwrite(r, KEY, 2, LIFE_MS);
    tt_trap_release();
    int failures = tt_crew_join(crew);
    r->clock.ops.mono_ms = tt_clock_mono_ms;
    assert_true(stands && !wrote);
    assert_int_equal(failures, 0);
}

/* ---- a thread that is cancelled while it waits ---- */

struct looker {
    struct tt_l1 *r;
    _Atomic bool cancelled, found;
};

/* Apart from the thread's own frame: AddressSanitizer does not see a frame go that is unwound. */
static __attribute__((noinline)) void look_up(struct looker *l)
{
    struct tt_l1_key k = key_of(KEY);
    struct tc_l1_found f;
    tc_l1_get(&l->r->l1, tt_l1_ref(&k), tt_l1_now(l->r), &f);
    if (f.entry != NULL)
        tc_l1_release(&l->r->l1, f.entry);
    atomic_store(&l->found, f.entry != NULL);
}

static void *look_up_and_end(void *arg)
{
    struct looker *l = arg;
    while (!atomic_load(&l->cancelled))
        sched_yield();
    look_up(l);
    pthread_testcancel();
    return NULL;
}

/* A call of a thread that is cancelled is carried on; the thread ends in its own code after it (docs/threading.md). */
static void who_waits_for_a_writer_is_not_cancelled_there(void **state)
{
    enum { NAPS_MS = 100 }; /* each is shorter than one of them: unwound there, it would have ended by then */
    struct tt_l1 *r = *state;
    struct looker l = { .r = r };
    struct tt_l1_key k = key_of(KEY);
    uint32_t refs;
    pthread_t thread;
    void *result;
    store_others(r);
    assert_true(set(r, KEY, 1, LIFE_MS, NULL));
    struct tc_entry *e = tc_index_find(&r->l1.views[0], k.hash, tt_l1_ref(&k).key, &refs);
    atomic_fetch_add(&e->refs, TC_ENTRY_VERSION_ONE); /* somebody writes */
    assert_int_equal(pthread_create(&thread, NULL, look_up_and_end, &l), 0);
    assert_int_equal(pthread_cancel(thread), 0);
    atomic_store(&l.cancelled, true);
    bool goes_on = true;
    for (int64_t end_ms = tt_mono_ms() + NAPS_MS; goes_on && tt_pause(end_ms);)
        goes_on = pthread_tryjoin_np(thread, &result) == EBUSY;
    atomic_fetch_add(&e->refs, TC_ENTRY_VERSION_ONE);
    if (goes_on)
        assert_int_equal(pthread_join(thread, &result), 0);
    assert_true(goes_on && result == PTHREAD_CANCELED && l.found);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(a_ticket_is_looked_at_after_what_is_due_was_taken_out),
        WITH(what_is_taken_out_is_not_written_over_any_more),
        WITH(after_the_last_look_at_a_ticket_nobody_writes),
        WITH(at_the_last_look_at_a_ticket_nobody_writes),
        WITH(what_began_to_leave_in_vain_leaves),
        WITH(who_waits_for_a_writer_is_not_cancelled_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
