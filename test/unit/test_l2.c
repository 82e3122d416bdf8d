/* What L2 holds and should not: nothing but a whole frame of the key that was asked for is ever delivered. And tables
 * that have only what is required. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"
#include "platform/platform.h"
#include "tier/frame.h"

static struct tt_cache b;
static struct cache_key k;

static int setup(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return tt_cache_close(&b) ? 0 : -1;
}

/* L2 alone holds a frame of that text under the key; its bytes: free(). */
static unsigned char *put_in_l2(const char *text, size_t *len)
{
    void *bytes;
    assert_int_equal(tt_cache_set(&b, &k, text), CACHE_OK);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    assert_true(tt_backend_peek(b.l2, tt_cache_l2_key(&k), &bytes, len));
    return bytes;
}

static void poke(const void *bytes, size_t len)
{
    tt_backend_poke(b.l2, tt_cache_l2_key(&k), (struct cache_slice){ bytes, len }, 100000);
}

/* A miss by get, get_many and fetch; L1 stays empty. */
static void assert_not_delivered(void)
{
    struct cache_item item = { .key = &k };
    struct tt_answer a = tt_cache_get(&b, &k);
    assert_true(tt_answer_is(&a, CACHE_MISS, NULL));
    assert_int_equal(a.meta.flags, 0);
    assert_int_equal(cache_get_many(b.c, &item, 1, NULL), CACHE_OK);
    assert_int_equal(item.status, CACHE_MISS);
    assert_int_equal(tt_cache_stats(&b).l1_entries, 0);
}

/* FAULTS 57 */
static void a_frame_with_any_bit_changed_is_a_miss(void **state)
{
    size_t len;
    (void)state;
    unsigned char *frame = put_in_l2("the value", &len);
    for (size_t bit = 0; bit < 8 * len; bit++) {
        frame[bit / 8] ^= (unsigned char)(1 << bit % 8);
        poke(frame, len);
        assert_not_delivered();
        frame[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    poke(frame, len);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "the value");
    struct cache_stats s = tt_cache_stats(&b);
    assert_int_equal(s.l2_bad_frames + s.l2_wrong_key, 2 * 8 * len);
    assert_int_equal(s.l2_hits, 1);
    free(frame);
}

/* FAULTS 57 */
static void a_frame_cut_or_extended_anywhere_is_a_miss(void **state)
{
    size_t len;
    (void)state;
    unsigned char *frame = put_in_l2("the value", &len), longer[256] = { 0 };
    for (size_t cut = 0; cut < len; cut++) {
        poke(frame, cut);
        assert_not_delivered();
    }
    memcpy(longer, frame, len);
    for (size_t n = len + 1; n < sizeof longer; n += 7) {
        poke(longer, n);
        assert_not_delivered();
    }
    assert_int_equal(tt_cache_stats(&b).l2_wrong_key, 0);
    free(frame);
}

/* FAULTS 57, 60 */
static void what_other_programs_wrote_is_a_miss(void **state)
{
    char block[5000];
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        memset(block, byte, sizeof block);
        poke(block, sizeof block);
        assert_not_delivered();
    }
    poke("TIERCF01", 8);
    assert_not_delivered();
    poke("{\"json\": true}", 14);
    assert_not_delivered();
    poke(NULL, 0);
    assert_not_delivered();
}

/* FAULTS 59: neither touched nor delivered. */
static void a_frame_of_a_newer_version_is_a_miss_and_left_alone(void **state)
{
    size_t len, len_after;
    void *after;
    (void)state;
    unsigned char *frame = put_in_l2("the value", &len);
    frame[7] = '2';
    poke(frame, len);
    assert_not_delivered();
    assert_true(tt_backend_peek(b.l2, tt_cache_l2_key(&k), &after, &len_after));
    assert_int_equal(len_after, len);
    assert_memory_equal(after, frame, len);
    free(after);
    free(frame);
}

/* FAULTS 58 */
static void a_frame_of_another_key_is_a_miss_and_told(void **state)
{
    struct cache_key other;
    void *bytes;
    size_t len;
    (void)state;
    tt_cache_key(&b, &other);
    assert_int_equal(tt_cache_set(&b, &other, "others value"), CACHE_OK);
    assert_true(tt_backend_peek(b.l2, tt_cache_l2_key(&other), &bytes, &len));
    poke(bytes, len);
    free(bytes);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    assert_not_delivered();
    assert_int_equal(tt_cache_stats(&b).l2_wrong_key, 2);
    assert_int_equal(tt_cache_stats(&b).l2_bad_frames, 0);
    assert_int_equal(tt_cache_told(&b, CACHE_EVENT_WRONG_KEY), 1);
    assert_int_equal(tt_cache_told(&b, CACHE_EVENT_BAD_FRAME), 0);
    struct cache_event e = tt_cache_last_event(&b, CACHE_EVENT_WRONG_KEY);
    struct cache_slice key = tt_cache_l2_key(&k);
    assert_int_equal(e.key.len, key.len);
    assert_memory_equal(e.key.data, key.data, key.len);
}

static void bad_frames_are_told_once_a_second(void **state)
{
    (void)state;
    poke("nonsense", 8);
    for (int second = 1; second <= 3; second++) {
        for (int i = 0; i < 10; i++)
            assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
        assert_int_equal(tt_cache_told(&b, CACHE_EVENT_BAD_FRAME), second);
        tt_clock_advance(&b.clock, 1000);
    }
    assert_int_equal(tt_cache_stats(&b).events_suppressed, 27);
    assert_int_equal(tt_cache_stats(&b).l2_bad_frames, 30);
    assert_int_equal(tt_cache_stats(&b).l2_misses, 30);
}

static void what_is_no_frame_is_loaded_anew_and_replaced(void **state)
{
    struct tt_loader l;
    (void)state;
    tt_loader_init(&l, "loaded");
    poke("nonsense", 8);
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, "loaded");
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    assert_int_equal(tt_cache_get(&b, &k).meta.tier, CACHE_TIER_L2);
    tt_loader_fini(&l);
}

/* ---- backends that say what they must not ---- */

static int says;
static struct cache_backend_value gives;

static int get_as_told(void *ctx, struct cache_slice key, int64_t deadline_ms, struct cache_backend_value *out)
{
    (void)ctx;
    (void)key;
    (void)deadline_ms;
    *out = gives;
    return says;
}

static void an_answer_without_bytes_is_a_miss(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    tt_backend_table(b.l2)->get = get_as_told;
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    static const size_t lengths[] = { 0, 8, 96, 1000, SIZE_MAX };
    for (size_t i = 0; i < TC_ARRAY_LEN(lengths); i++) {
        says = CACHE_OK;
        gives = (struct cache_backend_value){ NULL, lengths[i], 1000 };
        assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    }
    assert_int_equal(tt_cache_stats(&b).l2_bad_frames, TC_ARRAY_LEN(lengths));
    assert_true(tt_cache_close(&b));
}

/* The answer to one look-up: a good frame with these two times in it, of whose life L2 says that so much is left. */
static struct tt_answer read_frame(int64_t written_wall_ms, int64_t ttl_ms, int64_t left_ms)
{
    struct tc_frame f = { 0, written_wall_ms, ttl_ms, tt_cache_l2_key(&k), { "value", 5 } };
    struct tc_alloc alloc = tt_alloc_table(&b.alloc);
    says = CACHE_OK;
    gives = (struct cache_backend_value){ NULL, tc_frame_size(&f), left_ms };
    gives.data = tc_alloc(&alloc, gives.len);
    assert_non_null(gives.data);
    tc_frame_write(&f, gives.data);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    return tt_cache_get(&b, &k);
}

/* FAULTS 55, 56: an age is between nothing and the longest life, in whatever way L2 or other hosts' clocks are wrong.
 * The sanitizers' build says whether a sum overflowed on the way there. */
static void no_number_from_l2_makes_nonsense_of_an_age(void **state)
{
    enum { AGE_MS = 5000 };
    const int64_t now_ms = TT_CLOCK_START_WALL_MS;
    const struct {
        int64_t written_wall_ms, ttl_ms, left_ms, age_ms;
    } rows[] = {
        { now_ms - AGE_MS, CACHE_TTL_FOREVER, CACHE_TTL_FOREVER, AGE_MS },
        { INT64_MIN, CACHE_TTL_FOREVER, CACHE_TTL_FOREVER, 0 },
        { INT64_MAX, CACHE_TTL_FOREVER, CACHE_TTL_FOREVER, 0 },
        { -1, CACHE_TTL_FOREVER, CACHE_TTL_FOREVER, 0 },
        { now_ms + 1, CACHE_TTL_FOREVER, CACHE_TTL_FOREVER, 0 },
        { 0, CACHE_TTL_FOREVER, CACHE_TTL_FOREVER, CACHE_TTL_MAX_MS },
        { INT64_MIN, INT64_MAX, CACHE_TTL_FOREVER, 0 },
        { INT64_MIN, INT64_MAX, INT64_MIN, 0 },
        { INT64_MIN, INT64_MAX, 1, CACHE_TTL_MAX_MS },
        { INT64_MAX, INT64_MAX, INT64_MAX, 0 },
        { INT64_MIN, 1, INT64_MAX, 0 },
        { INT64_MAX, AGE_MS + 1, 1, AGE_MS },
    };
    (void)state;
    for (uint32_t no_l1 = 0; no_l1 < 2; no_l1++) {
        tt_cache_prepare(&b, true);
        b.type_opts.flags = no_l1 ? CACHE_TYPE_NO_L1 : 0;
        tt_backend_table(b.l2)->get = get_as_told;
        tt_cache_open(&b);
        tt_cache_key(&b, &k);
        for (size_t i = 0; i < TC_ARRAY_LEN(rows); i++) {
            struct tt_answer a = read_frame(rows[i].written_wall_ms, rows[i].ttl_ms, rows[i].left_ms);
            assert_true(tt_answer_is(&a, CACHE_OK, "value"));
            assert_int_equal(a.meta.age_ms, rows[i].age_ms);
            assert_int_equal(a.meta.coherent_age_ms, 0);
            assert_true(a.meta.ttl_ms == CACHE_TTL_FOREVER || a.meta.ttl_ms >= 0);
        }
        assert_int_equal(tt_cache_stats(&b).l2_hits, TC_ARRAY_LEN(rows));
        assert_true(tt_cache_close(&b));
    }
}

/* ---- tables with only what is required ---- */

static void a_backend_needs_no_optional_slot(void **state)
{
    struct cache_key keys[3];
    struct cache_item items[3] = { 0 };
    (void)state;
    tt_cache_prepare(&b, true);
    struct cache_backend_ops *table = tt_backend_table(b.l2);
    table->set_many = table->del_many = NULL;
    table->health = NULL;
    table->maintain = NULL;
    table->stats = NULL;
    table->forked = NULL;
    tt_cache_open(&b);
    for (size_t i = 0; i < 3; i++) {
        tt_cache_key(&b, &keys[i]);
        items[i] = (struct cache_item){ .key = &keys[i], .data = &"xyz"[i], .len = 1 };
    }
    assert_int_equal(cache_set_many(b.c, items, 3, NULL), CACHE_OK);
    assert_int_equal(tt_backend_calls(b.l2, TT_SET), 3);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    assert_int_equal(cache_get_many(b.c, items, 3, NULL), CACHE_OK);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(items[i].status, CACHE_OK);
        assert_memory_equal(items[i].value.data, &"xyz"[i], 1);
        cache_value_release(&items[i].value);
    }
    assert_int_equal(cache_invalidate_many(b.c, items, 3, NULL), CACHE_OK);
    assert_int_equal(tt_backend_calls(b.l2, TT_DEL), 3);
    assert_int_equal(tt_backend_count(b.l2), 0);
    struct cache_stats s = tt_cache_stats(&b);
    assert_int_equal(s.l2_state, CACHE_BACKEND_UP);
    assert_int_equal(s.l2_round_trips, 0);
    /* Without health() there is no down, but what is not acknowledged is replayed all the same. */
    tt_backend_fail(b.l2, TT_DEL, 1, CACHE_E_UNKNOWN, TT_NOT_RUN);
    assert_int_equal(cache_invalidate(b.c, &keys[0], NULL), CACHE_QUEUED);
    assert_true(tt_cache_await_replayed(&b));
    assert_true(tt_cache_close(&b));
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        FRESH(a_frame_with_any_bit_changed_is_a_miss),
        FRESH(a_frame_cut_or_extended_anywhere_is_a_miss),
        FRESH(what_other_programs_wrote_is_a_miss),
        FRESH(a_frame_of_a_newer_version_is_a_miss_and_left_alone),
        FRESH(a_frame_of_another_key_is_a_miss_and_told),
        FRESH(bad_frames_are_told_once_a_second),
        FRESH(what_is_no_frame_is_loaded_anew_and_replaced),
        cmocka_unit_test(an_answer_without_bytes_is_a_miss),
        cmocka_unit_test(no_number_from_l2_makes_nonsense_of_an_age),
        cmocka_unit_test(a_backend_needs_no_optional_slot),
    };
    return cmocka_run_group_tests_name("l2", tests, NULL, NULL);
}
