/* Behind a key's bytes there are zeros, however it was made, and in an entry up to the next word: look-ups compare the
 * two in whole words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/key.h"
#include "tier/l1/entry.h"
#include "tt_alloc.h"
#include "tt_util.h"
#include "unit/tt_key.h"

/* The fixture's key is whole, and there are zeros behind it. */
static void assert_zeros(struct tt_key *f)
{
    const struct tc_key *k = (const struct tc_key *)&f->key;
    const unsigned char *end = tc_key_data(k) + k->len;
    assert_int_equal(cache_key_status(&f->key), CACHE_OK);
    for (size_t i = 0; i < TC_KEY_ZEROS; i++)
        assert_int_equal(end[i], 0);
    assert_true(k->len + TC_KEY_ZEROS <= tc_key_cap(k));
}

/* Memory that a key is made in, and memory that it gets, may hold anything. */
static struct cache_key *begin_in_garbage(struct tt_key *f)
{
    memset(&f->key, 0xA5, sizeof f->key);
    return tt_key_begin(f);
}

/* A part of such bytes behind one of n plain ones. */
static void add_parts(struct tt_key *f, size_t n, const char *bytes, size_t len)
{
    char part[600];
    memset(part, 'x', sizeof part);
    cache_key_bytes(begin_in_garbage(f), part, n);
    assert_zeros(f);
    cache_key_bytes(&f->key, bytes, len);
    assert_zeros(f);
}

static void a_key_of_any_length_ends_in_zeros(void **state)
{
    struct tt_key *f = *state;
    assert_zeros((begin_in_garbage(f), f));
    cache_key_fini(&f->key);
    for (size_t n = 0; n < 500; n++) { /* round the end of what is inline, and of what is allocated first */
        static const char *const parts[] = { "", "a", "plain12", "es:ca", "%%%%%%%%", "12345678{" };
        for (size_t i = 0; i < TC_ARRAY_LEN(parts); i++) {
            add_parts(f, n, parts[i], strlen(parts[i]));
            cache_key_i64(&f->key, -(int64_t)n);
            assert_zeros(f);
            cache_key_u64(&f->key, UINT64_MAX >> n % 64);
            assert_zeros(f);
            cache_key_fini(&f->key);
        }
    }
}

/* A part that begins plainly and has something to be escaped, or is too long: nothing of what was tried is left. */
static void what_was_written_in_vain_leaves_nothing_behind(void **state)
{
    struct tt_key *f = *state;
    char part[200];
    for (size_t n = 0; n < 220; n++)
        for (size_t len = 1; len < 30; len++) {
            memset(part, 'y', len);
            part[len - 1] = ':';
            add_parts(f, n, part, len);
            cache_key_fini(&f->key);
            part[len - 1] = 'y';
            part[0] = ':';
            add_parts(f, n, part, len);
            cache_key_fini(&f->key);
        }
}

/* An encoder of one byte for the type, and the parts as they are. */
static int begin_with_a_byte(void *ctx, struct cache_key *k, const char *type_name)
{
    (void)ctx;
    (void)type_name;
    return cache_key_append(k, "!", 1);
}

static int part_as_it_is(void *ctx, struct cache_key *k, uint32_t index, struct cache_slice part)
{
    (void)ctx;
    (void)index;
    return cache_key_append(k, part.data, part.len);
}

static void appended_bytes_end_in_zeros(void **state)
{
    struct tt_key *f = *state;
    char part[700];
    memset(part, 0xEE, sizeof part);
    f->encoder.ops = (struct cache_key_encoder_ops){ CACHE_HOOKS_ABI, begin_with_a_byte, part_as_it_is };
    for (size_t n = 0; n < 460; n++) {
        for (size_t more = 0; more < 40; more++) {
            begin_in_garbage(f);
            assert_zeros(f);
            assert_int_equal(cache_key_append(&f->key, part, n), CACHE_OK);
            assert_zeros(f);
            assert_int_equal(cache_key_append(&f->key, part, more), CACHE_OK);
            assert_zeros(f);
            cache_key_fini(&f->key);
        }
    }
    begin_in_garbage(f);
    for (size_t n = 0; n < 2000; n++) {
        cache_key_append(&f->key, part, 1 + n % 3);
        assert_zeros(f);
    }
    cache_key_fini(&f->key);
    for (size_t n = CACHE_KEY_MAX_BYTES - 5; n <= CACHE_KEY_MAX_BYTES; n++) { /* the longest ones too */
        char *most = tt_xcalloc(n);
        memset(most, 'z', n);
        begin_in_garbage(f);
        assert_int_equal(cache_key_append(&f->key, most, n - 5), CACHE_OK);
        assert_zeros(f);
        cache_key_fini(&f->key);
        free(most);
    }
}

/* ---- the entry's side ---- */

static void assert_word_ends_in_zeros(const struct tc_entry *e, size_t len)
{
    const unsigned char *key = tc_entry_plain_key(e);
    assert_int_equal(tc_entry_key(e).len, len);
    for (size_t i = len; i < tc_words_round(len); i++)
        assert_int_equal(key[i], 0);
}

/* In memory that holds anything, as that of a cell which was another's. */
static void an_entrys_key_ends_with_its_word_in_zeros(void **state)
{
    enum { NODE = 8, LEN = 20 };
    _Alignas(8) unsigned char memory[NODE + 16 + 256 + LEN + 8], copy[sizeof memory];
    unsigned char key[TC_ENTRY_KEY_MOST], ended[TC_ENTRY_KEY_MOST + 1] = { 0 }, value[LEN] = "";
    struct tt_key *f = *state;
    memset(key, 0xEE, sizeof key);
    for (size_t n = 1; n <= sizeof key; n++) {
        ended[n - 1] = 0xEE;
        struct tc_entry_parts p = { 0, { ended, n }, { value, LEN }, 1000, 1000, 0 };
        memset(memory, 0xA5, sizeof memory);
        assert_word_ends_in_zeros(tc_entry_make(memory, NODE, 0, &p), n);
        memset(memory, 0xA5, sizeof memory);
        struct tc_entry *e = tc_entry_lend(memory, sizeof memory, NODE, f->type, (struct cache_slice){ key, n }, LEN);
        assert_non_null(e);
        assert_word_ends_in_zeros(e, n);
        memset(copy, 0xA5, sizeof copy);
        tc_entry_set_life(e, 1000, 1000, 0);
        assert_word_ends_in_zeros(tc_entry_copy(copy, 0, e, NODE), n);
    }
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, tt_key_open, tt_key_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(a_key_of_any_length_ends_in_zeros),
        WITH(what_was_written_in_vain_leaves_nothing_behind),
        WITH(appended_bytes_end_in_zeros),
        WITH(an_entrys_key_ends_with_its_word_in_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
