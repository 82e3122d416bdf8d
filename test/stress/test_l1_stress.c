/* L1 under threads that do everything at once, for two seconds. Every value tells whose it is and of which version, so
 * a value of another key, a torn one, one from freed memory, or the answer to a miss that an invalidation overtook
 * shows. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_l1.h"

enum {
    CREW = 6,
    RUN_MS = 2000,
    LIMIT = 512 << 10,
    STRIPES = 4,
    KEYS = 2000,
    COLLIDING = 400, /* the last keys: of one hash */
    PINS = 32,
    LONG_MS = 60000
};

/* The version of a write: whether it came before or after an invalidation under way at the same time is nobody's to
 * say. */
#define WRITTEN (UINT64_C(1) << 62)

struct stress {
    struct tt_l1 *r;
    int64_t end_ms;
    _Atomic uint64_t invalidated[KEYS]; /* no reader may see a fill of a version below, once it is there */
    _Atomic uint64_t next_version;
    _Atomic uint64_t hits, misses, stale_seen, refused, stored, copied, fills;
    _Atomic uint64_t in_vain; /* stores that waited for readers for too long: some were not running all the while */
};

struct worker {
    struct stress *s;
    uint64_t seed;
    int failures;
    struct tc_entry *pinned[PINS];
    uint64_t pinned_number[PINS], pinned_version[PINS];
};

static struct tt_l1_key key_of(const struct stress *s, uint64_t number)
{
    struct tt_l1_key k = tt_l1_key(s->r, number);
    if (number >= KEYS - COLLIDING)
        k.hash = UINT64_C(0x1234567812345678);
    return k;
}

static uint64_t any_number(struct worker *w)
{
    uint64_t r = tt_random(&w->seed);
    return r % 4 == 0 ? r / 4 % KEYS : r / 4 % (KEYS / 20); /* some are hot */
}

static size_t any_len(struct worker *w)
{
    uint64_t r = tt_random(&w->seed);
    return 8 + (r % 64 == 0 ? r / 64 % 100000 : r / 64 % 300);
}

/* The status of a store. */
static void check_stored(struct worker *w, int rc)
{
    TT_CHECK(w->failures, rc == CACHE_OK || rc == CACHE_E_TOO_LARGE || rc == CACHE_E_NOMEM);
    atomic_fetch_add(&w->s->in_vain, rc == CACHE_E_NOMEM);
}

static void check_value(struct worker *w, const void *data, size_t len, uint64_t number, uint64_t least)
{
    uint64_t version = 0;
    TT_CHECK(w->failures, tt_l1_is_value(data, len, number, &version));
    TT_CHECK(w->failures, version >= least);
}

/* ---- what threads do ---- */

static void read_one(struct worker *w)
{
    uint64_t number = any_number(w), least = atomic_load(&w->s->invalidated[number]);
    struct tt_l1_key k = key_of(w->s, number);
    struct tc_l1_found f;
    tc_l1_get(&w->s->r->l1, tt_l1_ref(&k), tt_l1_now(w->s->r), &f);
    if (f.entry == NULL) {
        atomic_fetch_add(&w->s->misses, 1);
        return;
    }
    atomic_fetch_add(f.fresh ? &w->s->hits : &w->s->stale_seen, 1);
    check_value(w, tc_entry_data(f.entry), tc_entry_len(f.entry), number, least);
    size_t i = tt_random(&w->seed) % PINS;
    if (w->pinned[i] != NULL) { /* one is kept for a while, and is what it was at its end */
        struct cache_slice value = tc_entry_value(w->pinned[i]);
        check_value(w, value.data, value.len, w->pinned_number[i], w->pinned_version[i]);
        tc_l1_release(&w->s->r->l1, w->pinned[i]);
    }
    w->pinned[i] = f.entry;
    w->pinned_number[i] = number;
    tt_l1_is_value(tc_entry_data(f.entry), tc_entry_len(f.entry), number, &w->pinned_version[i]);
}

static void copy_one(struct worker *w)
{
    unsigned char buf[400];
    uint64_t number = any_number(w), least = atomic_load(&w->s->invalidated[number]);
    struct tt_l1_key k = key_of(w->s, number);
    struct tc_l1_copied copied;
    struct tc_l1_found f;
    if (tc_l1_get_copy(&w->s->r->l1, tt_l1_ref(&k), tt_l1_now(w->s->r), buf, sizeof buf, &copied, &f)) {
        check_value(w, buf, copied.len, number, least);
        atomic_fetch_add(&w->s->copied, 1);
    } else if (f.entry != NULL) {
        check_value(w, tc_entry_data(f.entry), tc_entry_len(f.entry), number, least);
        tc_l1_release(&w->s->r->l1, f.entry);
    }
}

/* A miss that is answered: the version is drawn after the generation was read, as the origin is. */
static void fill_one(struct worker *w)
{
    struct stress *s = w->s;
    uint64_t number = any_number(w);
    struct tt_l1_key k = key_of(s, number);
    uint64_t generation = tc_l1_generation(&s->r->l1, k.hash);
    struct tt_l1_put p = { .type = number % TT_L1_TYPES, .len = any_len(w), .expected = &generation,
                           .version = atomic_fetch_add(&s->next_version, 1),
                           .ttl_ms = (int64_t)(tt_random(&w->seed) % 300), .stale_ms = 50 };
    bool in_gate = tt_random(&w->seed) % 2 && tc_l1_fill_begin(&s->r->l1, k.hash, generation);
    int rc = tt_l1_put_with(s->r, k, &p);
    if (rc != TC_L1_KEPT && rc != CACHE_E_TICKET)
        check_stored(w, rc);
    if (in_gate)
        tc_l1_fill_end(&s->r->l1, k.hash, generation);
    atomic_fetch_add(rc == CACHE_OK ? &s->stored : &s->refused, 1);
    atomic_fetch_add(&s->fills, in_gate);
}

/* From its return on nobody sees what was drawn before. */
static void invalidate_one(struct worker *w)
{
    struct stress *s = w->s;
    uint64_t number = any_number(w), version = atomic_fetch_add(&s->next_version, 1);
    struct tt_l1_key k = key_of(s, number);
    uint64_t known = atomic_load(&s->invalidated[number]);
    switch (tt_random(&w->seed) % 3) {
    case 0: tc_l1_invalidate(&s->r->l1, tt_l1_ref(&k)); break;
    default: {
        bool exclusive = tt_random(&w->seed) % 2;
        int64_t wait_ms = tt_random(&w->seed) % 4 ? LONG_MS : 0;
        if (tc_l1_write_begin(&s->r->l1, tt_l1_ref(&k), exclusive, tt_l1_now(s->r) + wait_ms))
            tc_l1_write_end(&s->r->l1, k.hash, exclusive);
        else
            TT_CHECK(w->failures, wait_ms == 0);
    }
    }
    while (known < version && !atomic_compare_exchange_weak(&s->invalidated[number], &known, version))
        ;
}

static void write_one(struct worker *w)
{
    struct stress *s = w->s;
    uint64_t number = any_number(w);
    struct tt_l1_key k = key_of(s, number);
    if (!tc_l1_write_begin(&s->r->l1, tt_l1_ref(&k), true, tt_l1_now(s->r) + LONG_MS)) {
        TT_CHECK(w->failures, false);
        return;
    }
    struct tt_l1_put p = { .type = number % TT_L1_TYPES, .len = any_len(w), .version = WRITTEN, .advance = true };
    int rc = tt_l1_put_with(s->r, k, &p);
    check_stored(w, rc);
    tc_l1_write_end(&s->r->l1, k.hash, true);
}

static void look_around(struct worker *w)
{
    struct stress *s = w->s;
    struct tt_l1_key k = key_of(s, any_number(w));
    int64_t age_ms;
    uint64_t hits;
    TT_CHECK(w->failures, tc_l1_bytes(&s->r->l1) <= LIMIT);
    TT_CHECK(w->failures, tc_l1_pin_count(&s->r->l1) >= 0);
    tc_l1_history(&s->r->l1, tt_l1_ref(&k), tt_l1_now(s->r), &age_ms, &hits);
    tc_l1_void(&s->r->l1, k.hash);
    tt_clock_advance(&s->r->time, 1);
    if (tt_random(&w->seed) % 500 == 0)
        tc_l1_clear(&s->r->l1);
}

static int work(void *arg, unsigned index)
{
    struct stress *s = arg;
    struct worker w = { .s = s, .seed = s->r->secret + index };
    while (tt_mono_ms() < s->end_ms && w.failures < 20) {
        for (int i = 0; i < 50; i++) {
            uint64_t what = tt_random(&w.seed) % 100;
            if (what < 45)
                read_one(&w);
            else if (what < 55)
                copy_one(&w);
            else if (what < 80)
                fill_one(&w);
            else if (what < 88)
                write_one(&w);
            else if (what < 97)
                invalidate_one(&w);
            else
                look_around(&w);
        }
    }
    for (size_t i = 0; i < PINS; i++)
        if (w.pinned[i] != NULL)
            tc_l1_release(&s->r->l1, w.pinned[i]);
    return w.failures;
}

static void threads_do_everything_at_once_and_no_value_is_ever_wrong(void **state)
{
    (void)state;
    struct stress *s = tt_xcalloc(sizeof *s);
    s->r = tt_l1_new(LIMIT, STRIPES, NULL);
    s->r->secret = tt_seed();
    s->r->policies[1].l1_quota_entries = 50;
    s->r->policies[2].l1_quota_bytes = 60000;
    s->r->policies[3].l1_max_value_bytes = 20000;
    s->next_version = 1;
    s->end_ms = tt_mono_ms() + RUN_MS;
    assert_int_equal(tt_crew_join(tt_crew_start(CREW, work, s)), 0);
    printf("in vain %" PRIu64 ", ", s->in_vain);
    printf("hits %" PRIu64 ", stale %" PRIu64 ", misses %" PRIu64 ", copied %" PRIu64 ", stored %" PRIu64
           ", refused %" PRIu64 ", in the gate %" PRIu64 "\n",
           s->hits, s->stale_seen, s->misses, s->copied, s->stored, s->refused, s->fills);
    assert_true(s->hits > 100 && s->misses > 100 && s->copied > 100 && s->stored > 100 && s->refused > 10);
    assert_true(s->in_vain * 1000 <= s->stored); /* on a machine that has much else to do; else there are none */
    assert_true(tt_l1_type_entries(s->r, 1) <= 50);
    assert_true(tt_l1_type_bytes(s->r, 2) <= 60000);
    assert_true(tt_l1_free(s->r));
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_do_everything_at_once_and_no_value_is_ever_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
