/* The short way of a hit (tier/hit.h), by the system's clock: keys and values of every length that its copying and
 * comparing by words tells apart, keys that differ in one byte, and that it is this way which answers, up to the
 * longest key that it takes. And its misses, where there is no L2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"
#include "tier/cache.h"
#include "tier/hit.h"
#include "unit/tt_l1.h"

enum { KEY_MOST = 300, VALUE_MOST = 1100, MARGIN = 16 };

static const size_t lens[] = { 0,   1,   7,   8,   9,   15,  16,  56,  63,  64,   65,  72,
                               127, 128, 129, 191, 192, 200, 255, 256, 257, 1024, 1100 };

static struct tt_cache b;

static int setup(void **state)
{
    (void)state;
    tt_cache_prepare(&b, false);
    b.opts.clock = NULL;
    b.opts.l1_bytes = 8 << 20;
    b.opts.l1_stripes = 1;
    tt_cache_open(&b);
    assert_true(b.c->l1.paged);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return tt_cache_close(&b) ? 0 : -1;
}

static const struct tc_key *inside(const struct cache_key *k)
{
    return (const void *)k;
}

/* Of n bytes in all, with its type's name; differs: in that one, counted from the end, if it is of the part. */
static void make_key(struct cache_key *k, size_t n, size_t differs)
{
    char part[KEY_MOST + 1];
    size_t len = n - strlen("t:");
    memset(part, 'a', len);
    part[len] = '\0';
    if (differs < len)
        part[len - 1 - differs] = 'b';
    assert_string_equal(b.type->name, "t");
    cache_key_str(cache_key_init(k, b.type), part);
    assert_int_equal(inside(k)->len, n);
}

static int short_way(const struct cache_key *k, void *buf, size_t cap)
{
    struct tc_reader *held;
    int rc = tc_hit_copy(b.c, k, buf, cap, NULL, &held);
    if (rc == TC_HIT_LEFT && held != NULL)
        tc_reader_add(&held->calls, -1);
    return rc;
}

static int short_way_to_pin(const struct cache_key *k)
{
    struct tc_reader *held;
    struct tc_entry *e;
    int64_t now_ms;
    int rc = tc_hit_pin(b.c, k, &e, &now_ms, &held);
    assert_int_not_equal(rc, CACHE_OK);
    if (rc == TC_HIT_LEFT && held != NULL)
        tc_reader_add(&held->calls, -1);
    return rc;
}

/* True: the short way had it. One hit in 1,024 is left to the general way, and told apart by asking once more. */
static bool copies(const struct cache_key *k, void *buf, size_t cap)
{
    return short_way(k, buf, cap) == CACHE_OK ||
           (cache_get_copy(b.c, k, buf, cap, NULL) == CACHE_OK && short_way(k, buf, cap) == CACHE_OK);
}

static void assert_hit(const struct cache_key *k, size_t len, uint64_t number, uint64_t version)
{
    unsigned char buf[VALUE_MOST + MARGIN], expected[VALUE_MOST];
    struct cache_value v;
    tt_l1_fill(expected, len, number, version);
    memset(buf, 0xEE, sizeof buf);
    assert_int_equal(copies(k, buf, len), inside(k)->len <= TC_KEY_SHORT_MOST);
    memset(buf, 0xEE, sizeof buf);
    assert_int_equal(cache_get_copy(b.c, k, buf, len, NULL), CACHE_OK);
    assert_memory_equal(buf, expected, len);
    for (size_t i = len; i < len + MARGIN; i++)
        assert_int_equal(buf[i], 0xEE);
    assert_int_equal(cache_get(b.c, k, NULL, &v), CACHE_OK);
    assert_true(v.len == len && memcmp(v.data, expected, len) == 0);
    cache_value_release(&v);
    if (len > 0)
        assert_int_equal(cache_get_copy(b.c, k, buf, len - 1, NULL), CACHE_E_BUFFER);
}

static void store(const struct cache_key *k, size_t len, uint64_t number, uint64_t version)
{
    unsigned char value[VALUE_MOST];
    tt_l1_fill(value, len, number, version);
    assert_int_equal(cache_set(b.c, k, value, len, NULL), CACHE_OK);
}

static void keys_and_values_of_all_lengths_are_found_whole(void **state)
{
    (void)state;
    for (size_t n = 3; n <= KEY_MOST; n++) {
        struct cache_key k;
        size_t len = lens[n % TC_ARRAY_LEN(lens)];
        make_key(&k, n, SIZE_MAX);
        store(&k, len, n, 1);
        assert_hit(&k, len, n, 1);
        store(&k, len, n, 2); /* over it, if it is short */
        assert_hit(&k, len, n, 2);
        cache_key_fini(&k);
    }
    for (size_t i = 0; i < TC_ARRAY_LEN(lens); i++) {
        struct cache_key k;
        make_key(&k, 20, SIZE_MAX);
        store(&k, lens[i], 20, i);
        assert_hit(&k, lens[i], 20, i);
    }
}

static void keys_that_differ_in_one_byte_are_other_keys(void **state)
{
    (void)state;
    for (size_t n = 3; n <= TC_KEY_SHORT_MOST + 8; n += n < 45 ? 1 : 7) {
        struct cache_key k, other;
        struct tc_entry_seen seen;
        make_key(&k, n, SIZE_MAX);
        store(&k, 8, n, 1);
        const struct tc_key *t = inside(&k);
        uint64_t hash = tc_hash_key(&b.c->hash, t->inline_bytes, t->len);
        struct cache_slice bytes = { t->inline_bytes, t->len };
        assert_true(tc_index_find_here(&b.c->l1.views[0], hash, bytes, &seen));
        for (size_t at = 0; at < n - strlen("t:"); at++) {
            unsigned char buf[8];
            make_key(&other, n, at);
            assert_int_equal(cache_get_copy(b.c, &other, buf, sizeof buf, NULL), CACHE_MISS);
            /* Looked for where the other one lies, only the bytes tell. */
            bytes.data = inside(&other)->inline_bytes;
            assert_false(tc_index_find_here(&b.c->l1.views[0], hash, bytes, &seen));
            cache_key_fini(&other);
        }
        cache_key_fini(&k);
    }
}

/* A key that nobody stored, of a thread that the cache knows: before its first call the short way is not for it. */
static void make_unknown_key(struct cache_key *k)
{
    make_key(k, 21, SIZE_MAX);
    assert_int_equal(cache_get_copy(b.c, k, NULL, 0, NULL), CACHE_MISS);
    make_key(k, 20, SIZE_MAX);
}

static uint64_t misses(void)
{
    return tt_cache_stats(&b).l1_misses;
}

/* And this thread's set that follows answers it, unless the key was invalidated meanwhile. */
static void assert_ticket(const struct cache_key *k)
{
    uint64_t refused = tt_cache_stats(&b).tickets_refused;
    assert_int_equal(cache_invalidate(b.c, k, NULL), CACHE_OK);
    cache_set(b.c, k, "old", 3, NULL);
    assert_int_equal(tt_cache_stats(&b).tickets_refused, refused + 1);
    assert_int_equal(cache_get_copy(b.c, k, NULL, 0, NULL), CACHE_MISS);
    assert_int_equal(cache_set(b.c, k, "new", 3, NULL), CACHE_OK); /* the answer to that one */
    assert_int_equal(tt_cache_stats(&b).tickets_refused, refused + 1);
    assert_int_equal(cache_invalidate(b.c, k, NULL), CACHE_OK);
}

static void a_miss_in_memory_is_counted_once_and_leaves_a_ticket(void **state)
{
    (void)state;
    char buf[8];
    struct cache_meta m;
    struct cache_value v;
    struct cache_key k;
    make_unknown_key(&k);
    for (unsigned pass = 0; pass < 2; pass++) { /* the second time there was something */
        uint64_t before = misses();
        assert_int_equal(short_way(&k, buf, sizeof buf), CACHE_MISS);
        assert_int_equal(misses(), before + 1);
        assert_ticket(&k);
        before = misses();
        assert_int_equal(short_way_to_pin(&k), CACHE_MISS);
        assert_int_equal(misses(), before + 1);
        assert_ticket(&k);
        before = misses();
        memset(&v, 0xEE, sizeof v);
        assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_MISS);
        assert_true(v.data == NULL && v.len == 0);
        assert_int_equal(cache_get_copy(b.c, &k, buf, sizeof buf, &m), CACHE_MISS);
        assert_int_equal(misses(), before + 2);
        store(&k, 8, 1, 1);
        assert_hit(&k, 8, 1, 1);
        assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_OK);
    }
}

/* A key whose entry is not of the usual kind is no miss: the general way answers. */
static void what_is_there_is_no_miss_whatever_its_kind(void **state)
{
    (void)state;
    struct cache_key k;
    struct cache_value v;
    make_unknown_key(&k);
    assert_int_equal(cache_set_absent(b.c, &k, NULL), CACHE_OK);
    assert_int_equal(short_way(&k, NULL, 0), TC_HIT_LEFT);
    assert_int_equal(short_way_to_pin(&k), TC_HIT_LEFT);
    assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_ABSENT);
    cache_value_release(&v);
}

static void a_closing_cache_leaves_misses_to_the_general_way(void **state)
{
    (void)state;
    struct cache_key k;
    make_unknown_key(&k);
    uint64_t before = misses();
    atomic_store(&b.c->closing, true);
    assert_int_equal(short_way(&k, NULL, 0), TC_HIT_LEFT);
    assert_int_equal(short_way_to_pin(&k), TC_HIT_LEFT);
    assert_int_equal(cache_get_copy(b.c, &k, NULL, 0, NULL), CACHE_E_CLOSED);
    atomic_store(&b.c->closing, false);
    assert_int_equal(misses(), before);
    assert_int_equal(short_way(&k, NULL, 0), CACHE_MISS);
}

static int setup_with_l2(void **state)
{
    (void)state;
    tt_cache_prepare(&b, true);
    b.opts.clock = NULL;
    tt_cache_open(&b);
    return 0;
}

static void where_there_is_an_l2_a_miss_is_left_to_ask_it(void **state)
{
    (void)state;
    struct cache_key k;
    make_unknown_key(&k);
    uint64_t before = misses();
    assert_int_equal(short_way(&k, NULL, 0), TC_HIT_LEFT);
    assert_int_equal(short_way_to_pin(&k), TC_HIT_LEFT);
    assert_int_equal(misses(), before);
    assert_int_equal(cache_get_copy(b.c, &k, NULL, 0, NULL), CACHE_MISS);
    assert_int_equal(misses(), before + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_and_values_of_all_lengths_are_found_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_that_differ_in_one_byte_are_other_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(a_miss_in_memory_is_counted_once_and_leaves_a_ticket, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_there_is_no_miss_whatever_its_kind, setup, teardown),
        cmocka_unit_test_setup_teardown(a_closing_cache_leaves_misses_to_the_general_way, setup, teardown),
        cmocka_unit_test_setup_teardown(where_there_is_an_l2_a_miss_is_left_to_ask_it, setup_with_l2, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
