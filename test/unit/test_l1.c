/* L1 as its users see it: hits, misses, expiry, pins, tickets. Only through tier/l1/l1.h, so that what is behind it can
 * be replaced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tt_util.h"
#include "unit/tt_l1.h"

enum { LIMIT = 1 << 20, STRIPES = 4 };

static int setup(void **state)
{
    *state = tt_l1_new(LIMIT, STRIPES, NULL);
    return *state != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    return tt_l1_free(*state) ? 0 : -1;
}

static int put_version(struct tt_l1 *r, struct tt_l1_key k, uint64_t version)
{
    return tt_l1_put_with(r, k, &(struct tt_l1_put){ .len = 40, .version = version, .advance = true });
}

static void assert_version(struct tt_l1 *r, struct tt_l1_key k, uint64_t version)
{
    struct tc_l1_found f = tt_l1_get(r, k);
    uint64_t told;
    assert_non_null(f.entry);
    assert_true(f.fresh);
    assert_true(tt_l1_is_value(tc_entry_data(f.entry), tc_entry_len(f.entry), k.number, &told));
    assert_int_equal(told, version);
    tc_l1_release(&r->l1, f.entry);
}

/* ---- hits and misses ---- */

static void an_empty_l1_misses(void **state)
{
    struct tt_l1 *r = *state;
    struct tc_l1_found f = tt_l1_get(r, tt_l1_key(r, 1));
    assert_null(f.entry);
    assert_false(f.fresh);
    assert_int_equal(tc_l1_pin_count(&r->l1), 0);
}

static void what_was_put_is_found_byte_for_byte(void **state)
{
    struct tt_l1 *r = *state;
    for (size_t len = 0; len < 3000; len += len < 100 ? 1 : 97) {
        struct tt_l1_key k = tt_l1_key(r, len);
        assert_int_equal(tt_l1_put_with(r, k, &(struct tt_l1_put){ .len = len, .version = 9 }), CACHE_OK);
        struct tc_l1_found f = tt_l1_get(r, k);
        unsigned char expected[3000];
        tt_l1_fill(expected, len, k.number, 9);
        assert_non_null(f.entry);
        assert_int_equal(tc_entry_len(f.entry), len);
        assert_memory_equal(tc_entry_data(f.entry), expected, len);
        tc_l1_release(&r->l1, f.entry);
    }
    assert_true(tc_l1_check(&r->l1));
}

static void keys_of_any_length_and_bytes_are_found(void **state)
{
    struct tt_l1 *r = *state;
    unsigned char key[300];
    memset(key, 0, sizeof key);
    for (size_t len = 0; len < sizeof key; len += 7) {
        struct tc_l1_ref ref = { 42, { key, len } }; /* one hash for all */
        struct tc_entry *e = tc_entry_open(&r->alloc, r->l1.node_bytes, r->types[0], 42, ref.key, 1);
        *tc_entry_room(e) = (unsigned char)len;
        assert_int_equal(tc_l1_put(&r->l1, e, &r->policies[0], NULL, false), CACHE_OK);
        tc_l1_drop(&r->l1, e);
    }
    for (size_t len = 0; len < sizeof key; len++) {
        struct tc_l1_found f;
        tc_l1_get(&r->l1, (struct tc_l1_ref){ 42, { key, len } }, tt_l1_now(r), &f);
        assert_int_equal(f.entry != NULL, len % 7 == 0);
        if (f.entry != NULL) {
            assert_int_equal(*tc_entry_data(f.entry), (unsigned char)len);
            tc_l1_release(&r->l1, f.entry);
        }
    }
}

static void a_newer_value_replaces_the_older_one(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    for (uint64_t version = 1; version < 50; version++) {
        assert_int_equal(put_version(r, k, version), CACHE_OK);
        assert_version(r, k, version);
    }
    assert_int_equal(tt_l1_type_entries(r, 0), 1);
    assert_int_equal(tt_l1_count(r, TC_COUNT_l1_replaced), 48);
    assert_int_equal(tt_l1_count(r, TC_COUNT_l1_sets), 49);
}

static void an_absence_is_found_as_one(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    struct tc_entry *e = tt_l1_entry(r, k, &(struct tt_l1_put){ 0 });
    tc_entry_add_flags(e, TC_ENTRY_ABSENT);
    assert_int_equal(tc_l1_put(&r->l1, e, &r->policies[0], NULL, true), CACHE_OK);
    tc_l1_drop(&r->l1, e);
    struct tc_l1_found f = tt_l1_get(r, k);
    assert_true(tc_entry_flags(f.entry) & TC_ENTRY_ABSENT);
    tc_l1_release(&r->l1, f.entry);
    char buf[8];
    struct tc_l1_copied copied;
    assert_true(tc_l1_get_copy(&r->l1, tt_l1_ref(&k), tt_l1_now(r), buf, sizeof buf, &copied, &f));
    assert_true(copied.flags & TC_ENTRY_ABSENT);
}

static void a_value_in_a_frame_is_found_and_its_frame_freed(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    unsigned char *frame = tc_alloc(&r->alloc, 500);
    tt_l1_fill(frame + 100, 300, k.number, 3);
    struct tc_l1_ref ref = tt_l1_ref(&k);
    struct tc_entry *e = tc_entry_adopt(&r->alloc, r->l1.node_bytes, r->types[0], k.hash, ref.key, frame, 500,
                                        (struct cache_slice){ frame + 100, 300 });
    uint64_t before = tc_l1_bytes(&r->l1), counted = tc_l1_entry_bytes(&r->l1, e);
    assert_int_equal(tc_l1_put(&r->l1, e, &r->policies[0], NULL, true), CACHE_OK);
    assert_true(tc_l1_bytes(&r->l1) >= before + counted && counted > 500);
    tc_l1_drop(&r->l1, e);
    assert_version(r, k, 3);
}

/* ---- expiry ---- */

static void a_value_expires_at_its_time_and_not_before(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    tt_l1_put_with(r, k, &(struct tt_l1_put){ .len = 10, .ttl_ms = 1000 });
    tt_clock_advance(&r->time, 999);
    assert_true(tt_l1_has(r, k));
    tt_clock_advance(&r->time, 1);
    assert_null(tt_l1_get(r, k).entry);
}

static void past_its_ttl_a_value_is_stale_until_its_window_ends(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    tt_l1_put_with(r, k, &(struct tt_l1_put){ .len = 10, .ttl_ms = 1000, .stale_ms = 500 });
    tt_clock_advance(&r->time, 1000);
    struct tc_l1_found f = tt_l1_get(r, k);
    assert_non_null(f.entry);
    assert_false(f.fresh);
    tc_l1_release(&r->l1, f.entry);
    tt_clock_advance(&r->time, 499);
    f = tt_l1_get(r, k);
    assert_non_null(f.entry);
    tc_l1_release(&r->l1, f.entry);
    tt_clock_advance(&r->time, 1);
    assert_null(tt_l1_get(r, k).entry);
}

static void without_a_ttl_a_value_stays_for_ever(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    tt_l1_put(r, k, 10);
    tt_clock_advance(&r->time, INT64_C(100) * 365 * 86400000);
    assert_true(tt_l1_has(r, k));
    tt_l1_put(r, tt_l1_key_in(r, 2, tt_l1_stripe_of(r, k.hash)), 10); /* reclaims what is over */
    assert_true(tt_l1_has(r, k));
}

/* Nobody asks for them again: puts of others reclaim them, a few at a time, all in the end. */
static void expired_entries_give_their_memory_back_without_being_asked_for(void **state)
{
    struct tt_l1 *r = *state;
    for (uint64_t i = 0; i < 1000; i++)
        tt_l1_put_with(r, tt_l1_key(r, i), &(struct tt_l1_put){ .len = 100, .ttl_ms = 1000, .stale_ms = 1000 });
    assert_int_equal(tt_l1_type_entries(r, 0), 1000);
    tt_clock_advance(&r->time, 2000 + TC_WHEEL_TICK_MS);
    for (uint64_t i = 0; i < 400; i++)
        tt_l1_put_with(r, tt_l1_key(r, 5000), &(struct tt_l1_put){ .type = 1, .len = 8 });
    for (size_t stripe = 0; stripe < STRIPES; stripe++)
        for (uint64_t i = 0; i < 100; i++)
            tt_l1_put_with(r, tt_l1_key_in(r, 6000 + stripe, stripe), &(struct tt_l1_put){ .type = 1, .len = 8 });
    assert_int_equal(tt_l1_type_entries(r, 0), 0);
    assert_int_equal(tt_l1_type_bytes(r, 0), 0);
    assert_int_equal(tt_l1_count(r, TC_COUNT_l1_expired), 1000);
}

static void a_stale_value_is_not_reclaimed_before_its_window_ends(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key_in(r, 1, 0);
    tt_l1_put_with(r, k, &(struct tt_l1_put){ .len = 10, .ttl_ms = 1000, .stale_ms = 60000 });
    tt_clock_advance(&r->time, 60999);
    for (uint64_t i = 0; i < 50; i++)
        tt_l1_put(r, tt_l1_key_in(r, 100 + i, 0), 10);
    struct tc_l1_found f = tt_l1_get(r, k);
    assert_non_null(f.entry);
    tc_l1_release(&r->l1, f.entry);
}

/* ---- copies ---- */

static void a_copy_is_made_without_pinning(void **state)
{
    struct tt_l1 *r = *state;
    struct tc_l1_copied copied;
    struct tc_l1_found f;
    for (size_t len = 0; len < 300; len += 13) {
        unsigned char buf[301], expected[301];
        struct tt_l1_key k = tt_l1_key(r, len);
        tt_l1_put_with(r, k, &(struct tt_l1_put){ .len = len, .version = 2, .ttl_ms = 1000 });
        tt_l1_fill(expected, len, k.number, 2);
        memset(buf, '#', sizeof buf);
        assert_true(tc_l1_get_copy(&r->l1, tt_l1_ref(&k), tt_l1_now(r), buf, len, &copied, &f));
        assert_memory_equal(buf, expected, len);
        assert_int_equal(buf[len], '#');
        assert_int_equal(copied.len, len);
        assert_int_equal(copied.made_ms, tt_l1_now(r));
        assert_int_equal(copied.taken_ms, tt_l1_now(r));
        assert_int_equal(copied.fresh_until_ms, tt_l1_now(r) + 1000);
        assert_int_equal(tc_l1_pin_count(&r->l1), 0);
    }
}

static void what_does_not_fit_the_buffer_is_pinned_instead(void **state)
{
    struct tt_l1 *r = *state;
    struct tc_l1_copied copied;
    struct tc_l1_found f;
    unsigned char buf[100];
    struct tt_l1_key k = tt_l1_key(r, 1);
    tt_l1_put(r, k, sizeof buf);
    memset(buf, '#', sizeof buf);
    assert_false(tc_l1_get_copy(&r->l1, tt_l1_ref(&k), tt_l1_now(r), buf, sizeof buf - 1, &copied, &f));
    assert_non_null(f.entry);
    assert_true(f.fresh);
    assert_int_equal(tc_entry_len(f.entry), sizeof buf);
    for (size_t i = 0; i < sizeof buf; i++)
        assert_int_equal(buf[i], '#');
    tc_l1_release(&r->l1, f.entry);
    assert_false(tc_l1_get_copy(&r->l1, tt_l1_ref(&k), tt_l1_now(r), NULL, 0, &copied, &f));
    tc_l1_release(&r->l1, f.entry);
}

static void a_large_value_is_either_copied_or_pinned(void **state)
{
    struct tt_l1 *r = *state;
    struct tc_l1_copied copied;
    struct tc_l1_found f;
    enum { LARGE = 50000 };
    unsigned char *buf = tt_xmalloc(LARGE);
    struct tt_l1_key k = tt_l1_key(r, 1);
    tt_l1_put(r, k, LARGE);
    if (tc_l1_get_copy(&r->l1, tt_l1_ref(&k), tt_l1_now(r), buf, LARGE, &copied, &f)) {
        assert_true(tt_l1_is_value(buf, LARGE, 1, NULL));
    } else {
        assert_true(tt_l1_is_value(tc_entry_data(f.entry), LARGE, 1, NULL));
        tc_l1_release(&r->l1, f.entry);
    }
    free(buf);
}

static void a_stale_value_and_a_miss_are_never_copied(void **state)
{
    struct tt_l1 *r = *state;
    struct tc_l1_copied copied;
    struct tc_l1_found f;
    char buf[100];
    struct tt_l1_key k = tt_l1_key(r, 1);
    tt_l1_put_with(r, k, &(struct tt_l1_put){ .len = 10, .ttl_ms = 1000, .stale_ms = 500 });
    tt_clock_advance(&r->time, 1000);
    assert_false(tc_l1_get_copy(&r->l1, tt_l1_ref(&k), tt_l1_now(r), buf, sizeof buf, &copied, &f));
    assert_non_null(f.entry);
    assert_false(f.fresh);
    tc_l1_release(&r->l1, f.entry);
    tt_clock_advance(&r->time, 500);
    assert_false(tc_l1_get_copy(&r->l1, tt_l1_ref(&k), tt_l1_now(r), buf, sizeof buf, &copied, &f));
    assert_null(f.entry);
    assert_int_equal(f.generation, tc_l1_generation(&r->l1, k.hash));
}

/* ---- pins ---- */

static void assert_pinned_value_outlives(struct tt_l1 *r, void (*drop)(struct tt_l1 *, struct tt_l1_key))
{
    struct tt_l1_key k = tt_l1_key(r, 1);
    unsigned char expected[500];
    tt_l1_fill(expected, sizeof expected, 1, 7);
    tt_l1_put_with(r, k, &(struct tt_l1_put){ .len = sizeof expected, .version = 7, .ttl_ms = 1000 });
    struct tc_l1_found f = tt_l1_get(r, k), second = tt_l1_get(r, k);
    assert_ptr_equal(f.entry, second.entry);
    assert_int_equal(tc_l1_pin_count(&r->l1), 2);
    assert_int_equal(tt_l1_detached_bytes(r), 0);
    drop(r, k);
    assert_memory_equal(tc_entry_data(f.entry), expected, sizeof expected);
    assert_true(tt_l1_detached_bytes(r) >= sizeof expected);
    tc_l1_release(&r->l1, second.entry);
    assert_memory_equal(tc_entry_data(f.entry), expected, sizeof expected);
    assert_true(tt_l1_detached_bytes(r) >= sizeof expected);
    tc_l1_release(&r->l1, f.entry);
    assert_int_equal(tc_l1_pin_count(&r->l1), 0);
    assert_int_equal(tt_l1_detached_bytes(r), 0);
}

static void by_replacing(struct tt_l1 *r, struct tt_l1_key k)
{
    put_version(r, k, 8);
}

static void by_clearing(struct tt_l1 *r, struct tt_l1_key k)
{
    (void)k;
    tc_l1_clear(&r->l1);
}

static void by_evicting(struct tt_l1 *r, struct tt_l1_key k)
{
    for (uint64_t i = 0; tt_l1_count(r, TC_COUNT_l1_evicted_bytes) < 10000; i++)
        tt_l1_put(r, tt_l1_key(r, 100 + i), 300);
    assert_false(tt_l1_has(r, k));
}

static void by_expiring(struct tt_l1 *r, struct tt_l1_key k)
{
    tt_clock_advance(&r->time, 5000);
    for (uint64_t i = 0; i < 20; i++)
        tt_l1_put(r, tt_l1_key_in(r, 100 + i, tt_l1_stripe_of(r, k.hash)), 300);
}

static void a_pinned_value_outlives_its_invalidation(void **state)
{
    assert_pinned_value_outlives(*state, tt_l1_invalidate);
}

static void a_pinned_value_outlives_its_successor(void **state)
{
    assert_pinned_value_outlives(*state, by_replacing);
}

static void a_pinned_value_outlives_clearing(void **state)
{
    assert_pinned_value_outlives(*state, by_clearing);
}

static void a_pinned_value_outlives_eviction(void **state)
{
    assert_pinned_value_outlives(*state, by_evicting);
}

static void a_pinned_value_outlives_expiry(void **state)
{
    assert_pinned_value_outlives(*state, by_expiring);
}

static void a_held_value_that_was_never_stored_can_be_told(void **state)
{
    struct tt_l1 *r = *state;
    struct tc_entry *e = tt_l1_entry(r, tt_l1_key(r, 1), &(struct tt_l1_put){ .len = 100 });
    tc_l1_detach_unless_stored(&r->l1, e);
    tc_l1_detach_unless_stored(&r->l1, e); /* told once */
    assert_int_equal(tt_l1_detached_bytes(r), tc_l1_entry_bytes(&r->l1, e));
    tc_l1_hold(e);
    tc_l1_pin(&r->l1, e);
    tc_l1_drop(&r->l1, e);
    tc_l1_drop(&r->l1, e);
    assert_true(tt_l1_detached_bytes(r) > 0);
    tc_l1_release(&r->l1, e);
    assert_int_equal(tt_l1_detached_bytes(r), 0);
}

static void a_held_value_that_is_stored_is_not_counted_twice(void **state)
{
    struct tt_l1 *r = *state;
    struct tc_entry *e = tt_l1_entry(r, tt_l1_key(r, 1), &(struct tt_l1_put){ .len = 100 });
    assert_int_equal(tc_l1_put(&r->l1, e, &r->policies[0], NULL, true), CACHE_OK);
    tc_l1_detach_unless_stored(&r->l1, e);
    assert_int_equal(tt_l1_detached_bytes(r), 0);
    tc_l1_drop(&r->l1, e);
}

/* It is in nobody's hands then, though L1's reference goes only when the readers are through. */
static void a_value_that_left_as_soon_as_it_was_stored_is_not_counted_once_it_is_released(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    struct tc_entry *e = tt_l1_entry(r, k, &(struct tt_l1_put){ .len = 4096 });
    struct tc_reader *me = tc_reader_self(&r->l1.readers);
    assert_non_null(me);
    tt_l1_have_company(r);
    tc_reader_enter(&r->l1.readers, me);
    assert_int_equal(tc_l1_put(&r->l1, e, &r->policies[0], NULL, true), CACHE_OK);
    tt_l1_invalidate(r, k);
    tc_l1_detach_unless_stored(&r->l1, e);
    tc_l1_drop(&r->l1, e);
    assert_int_equal(tt_l1_detached_bytes(r), 0);
    tc_reader_leave(me);
}

/* References are counted in some bits of a word. */
static void a_value_can_be_pinned_any_number_of_times(void **state)
{
    enum { PINS = 100000 };
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    struct tc_entry **pins = tt_xcalloc(PINS * sizeof pins[0]);
    for (int kind = 0; kind < 2; kind++) {
        size_t copies = 0;
        tt_l1_put_with(r, k, &(struct tt_l1_put){ .len = 60, .version = 7, .ttl_ms = kind == 0 ? 1000 : 0 });
        for (size_t i = 0; i < PINS; i++) {
            struct tc_l1_found f = tt_l1_get(r, k);
            assert_true(f.entry != NULL && f.fresh);
            pins[i] = f.entry;
            copies += pins[i] != pins[0];
        }
        assert_int_equal(copies, PINS - (TC_ENTRY_PINS_MOST - 1));
        assert_true(tt_l1_detached_bytes(r) >= copies * 60);
        assert_int_equal(tc_l1_pin_count(&r->l1), PINS);
        int64_t until_ms = tc_entry_fresh_until_ms(pins[0]);
        tt_l1_invalidate(r, k);
        for (size_t i = 0; i < PINS; i++) {
            uint64_t version = 0;
            assert_true(tt_l1_is_value(tc_entry_data(pins[i]), tc_entry_len(pins[i]), 1, &version) && version == 7);
            assert_int_equal(tc_entry_fresh_until_ms(pins[i]), until_ms);
            tc_l1_release(&r->l1, pins[i]);
        }
        assert_int_equal(tt_l1_detached_bytes(r), 0);
    }
    free(pins);
}

static void without_memory_for_a_copy_one_pin_too_many_finds_nothing(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    tt_l1_put(r, k, 60);
    struct tc_l1_found f = tt_l1_get(r, k);
    atomic_fetch_add(&f.entry->refs, TC_ENTRY_PINS_MOST);
    tt_alloc_fail(&r->counting, 1, false);
    assert_null(tt_l1_get(r, k).entry);
    tt_alloc_fail(&r->counting, 0, false);
    struct tc_l1_found copy = tt_l1_get(r, k);
    assert_ptr_not_equal(copy.entry, f.entry);
    atomic_fetch_sub(&f.entry->refs, TC_ENTRY_PINS_MOST);
    tc_l1_release(&r->l1, copy.entry);
    tc_l1_release(&r->l1, f.entry);
}

/* ---- tickets ---- */

static void a_put_under_a_ticket_is_refused_after(struct tt_l1 *r, void (*change)(struct tt_l1 *, struct tt_l1_key))
{
    struct tt_l1_key k = tt_l1_key(r, 1);
    struct tc_l1_found f = tt_l1_get(r, k);
    assert_null(f.entry);
    assert_int_equal(f.generation, tc_l1_generation(&r->l1, k.hash));
    change(r, k);
    bool there = tt_l1_has(r, k);
    struct tt_l1_put late = { .len = 40, .version = 1, .expected = &f.generation };
    assert_int_equal(tt_l1_put_with(r, k, &late), CACHE_E_TICKET);
    assert_int_equal(tt_l1_has(r, k), there); /* nothing changed */
}

static void by_voiding(struct tt_l1 *r, struct tt_l1_key k)
{
    tc_l1_void(&r->l1, k.hash);
}

static void by_a_gate_that_did_not_open(struct tt_l1 *r, struct tt_l1_key k)
{
    assert_true(tc_l1_fill_begin(&r->l1, k.hash, tc_l1_generation(&r->l1, k.hash)));
    assert_false(tc_l1_write_begin(&r->l1, tt_l1_ref(&k), true, tt_l1_now(r) - 1));
    tc_l1_fill_end(&r->l1, k.hash, 0);
}

static void an_invalidation_voids_tickets(void **state)
{
    a_put_under_a_ticket_is_refused_after(*state, tt_l1_invalidate);
}

static void a_write_voids_tickets(void **state)
{
    a_put_under_a_ticket_is_refused_after(*state, by_replacing);
}

static void clearing_voids_tickets(void **state)
{
    a_put_under_a_ticket_is_refused_after(*state, by_clearing);
}

static void voiding_voids_tickets(void **state)
{
    a_put_under_a_ticket_is_refused_after(*state, by_voiding);
}

static void a_write_that_did_not_get_its_turn_voids_tickets_too(void **state)
{
    a_put_under_a_ticket_is_refused_after(*state, by_a_gate_that_did_not_open);
}

static void a_void_ticket_is_told_before_a_size_that_is_too_large(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    uint64_t generation = tc_l1_generation(&r->l1, k.hash);
    put_version(r, k, 1);
    struct tt_l1_put late = { .len = LIMIT, .expected = &generation };
    assert_int_equal(tt_l1_put_with(r, k, &late), CACHE_E_TICKET);
    assert_version(r, k, 1);
}

static void a_put_under_a_ticket_that_stands_is_stored_and_leaves_it_standing(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    uint64_t generation = tt_l1_get(r, k).generation;
    for (uint64_t version = 1; version < 4; version++) {
        struct tt_l1_put p = { .len = 40, .version = version, .expected = &generation };
        assert_int_equal(tt_l1_put_with(r, k, &p), CACHE_OK);
        assert_version(r, k, version);
    }
    assert_int_equal(tc_l1_generation(&r->l1, k.hash), generation);
}

static void a_write_under_a_ticket_moves_the_generation_once(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    uint64_t generation = tc_l1_generation(&r->l1, k.hash);
    struct tt_l1_put p = { .len = 40, .version = 1, .expected = &generation, .advance = true };
    assert_int_equal(tt_l1_put_with(r, k, &p), CACHE_OK);
    assert_int_not_equal(tc_l1_generation(&r->l1, k.hash), generation);
    assert_int_equal(tt_l1_put_with(r, k, &p), CACHE_E_TICKET);
    assert_version(r, k, 1);
}

static void a_hit_too_tells_the_generation(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    tt_l1_put(r, k, 10);
    struct tc_l1_found f = tt_l1_get(r, k);
    assert_int_equal(f.generation, tc_l1_generation(&r->l1, k.hash));
    tc_l1_release(&r->l1, f.entry);
}

static void voiding_leaves_the_value(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    put_version(r, k, 5);
    tc_l1_void(&r->l1, k.hash);
    assert_version(r, k, 5);
}

/* ---- dropping ---- */

static void an_invalidation_drops_one_key_and_no_other(void **state)
{
    struct tt_l1 *r = *state;
    for (uint64_t i = 0; i < 200; i++)
        tt_l1_put(r, tt_l1_key(r, i), 20);
    for (uint64_t i = 0; i < 200; i += 2)
        tt_l1_invalidate(r, tt_l1_key(r, i));
    for (uint64_t i = 0; i < 200; i++)
        assert_int_equal(tt_l1_has(r, tt_l1_key(r, i)), i % 2);
    tt_l1_invalidate(r, tt_l1_key(r, 0)); /* of nothing */
    assert_int_equal(tt_l1_count(r, TC_COUNT_l1_invalidated), 100);
    assert_true(tc_l1_check(&r->l1));
}

static void clearing_drops_everything(void **state)
{
    struct tt_l1 *r = *state;
    uint64_t empty = tt_l1_type_bytes(r, 0);
    for (uint64_t i = 0; i < 1500; i++)
        tt_l1_put(r, tt_l1_key(r, i), 20);
    tc_l1_clear(&r->l1);
    for (uint64_t i = 0; i < 1500; i++)
        assert_false(tt_l1_has(r, tt_l1_key(r, i)));
    assert_int_equal(tt_l1_type_entries(r, 0), 0);
    assert_int_equal(tt_l1_type_bytes(r, 0), empty);
    assert_int_equal(tt_l1_count(r, TC_COUNT_l1_cleared), 1500);
    tc_l1_clear(&r->l1); /* of nothing */
    assert_true(tc_l1_check(&r->l1));
}

/* ---- history ---- */

static void age_and_hits_are_those_of_what_is_stored(void **state)
{
    struct tt_l1 *r = *state;
    struct tt_l1_key k = tt_l1_key(r, 1);
    int64_t age_ms;
    uint64_t hits;
    tc_l1_history(&r->l1, tt_l1_ref(&k), tt_l1_now(r), &age_ms, &hits);
    assert_int_equal(age_ms, -1);
    assert_int_equal(hits, 0);
    struct tc_entry *e = tt_l1_entry(r, k, &(struct tt_l1_put){ .len = 10 });
    tc_entry_add_flags(e, TC_ENTRY_COUNTS);
    tc_l1_put(&r->l1, e, &r->policies[0], NULL, true);
    tc_l1_drop(&r->l1, e);
    tt_clock_advance(&r->time, 300);
    for (int i = 0; i < 70000; i++)
        tt_l1_has(r, k);
    tc_l1_history(&r->l1, tt_l1_ref(&k), tt_l1_now(r), &age_ms, &hits);
    assert_int_equal(age_ms, 300);
    assert_int_equal(hits, 65535);
    put_version(r, k, 2);
    tc_l1_history(&r->l1, tt_l1_ref(&k), tt_l1_now(r), &age_ms, &hits);
    assert_int_equal(age_ms, 0);
    assert_int_equal(hits, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_l1_misses, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_put_is_found_byte_for_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_of_any_length_and_bytes_are_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_newer_value_replaces_the_older_one, setup, teardown),
        cmocka_unit_test_setup_teardown(an_absence_is_found_as_one, setup, teardown),
        cmocka_unit_test_setup_teardown(a_value_in_a_frame_is_found_and_its_frame_freed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_value_expires_at_its_time_and_not_before, setup, teardown),
        cmocka_unit_test_setup_teardown(past_its_ttl_a_value_is_stale_until_its_window_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_ttl_a_value_stays_for_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(expired_entries_give_their_memory_back_without_being_asked_for, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_stale_value_is_not_reclaimed_before_its_window_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(a_copy_is_made_without_pinning, setup, teardown),
        cmocka_unit_test_setup_teardown(what_does_not_fit_the_buffer_is_pinned_instead, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_value_is_either_copied_or_pinned, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stale_value_and_a_miss_are_never_copied, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pinned_value_outlives_its_invalidation, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pinned_value_outlives_its_successor, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pinned_value_outlives_clearing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pinned_value_outlives_eviction, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pinned_value_outlives_expiry, setup, teardown),
        cmocka_unit_test_setup_teardown(a_held_value_that_was_never_stored_can_be_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_held_value_that_is_stored_is_not_counted_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_value_that_left_as_soon_as_it_was_stored_is_not_counted_once_it_is_released, setup, teardown),
        cmocka_unit_test_setup_teardown(a_value_can_be_pinned_any_number_of_times, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_for_a_copy_one_pin_too_many_finds_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_invalidation_voids_tickets, setup, teardown),
        cmocka_unit_test_setup_teardown(a_write_voids_tickets, setup, teardown),
        cmocka_unit_test_setup_teardown(clearing_voids_tickets, setup, teardown),
        cmocka_unit_test_setup_teardown(voiding_voids_tickets, setup, teardown),
        cmocka_unit_test_setup_teardown(a_write_that_did_not_get_its_turn_voids_tickets_too, setup, teardown),
        cmocka_unit_test_setup_teardown(a_void_ticket_is_told_before_a_size_that_is_too_large, setup, teardown),
        cmocka_unit_test_setup_teardown(a_put_under_a_ticket_that_stands_is_stored_and_leaves_it_standing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_write_under_a_ticket_moves_the_generation_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_hit_too_tells_the_generation, setup, teardown),
        cmocka_unit_test_setup_teardown(voiding_leaves_the_value, setup, teardown),
        cmocka_unit_test_setup_teardown(an_invalidation_drops_one_key_and_no_other, setup, teardown),
        cmocka_unit_test_setup_teardown(clearing_drops_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(age_and_hits_are_those_of_what_is_stored, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
