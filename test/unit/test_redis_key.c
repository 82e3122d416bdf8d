/* Names of entries in Redis. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tier/redis/key.h"

static char name[TC_REDIS_KEY_MAX_BYTES + 1];

static const char *named_bytes(const char *ns, const void *p, size_t n)
{
    size_t len = tc_redis_key(ns, (struct cache_slice){ p, n }, name);
    assert_true(len <= TC_REDIS_KEY_MAX_BYTES);
    name[len] = '\0';
    assert_int_equal(strlen(name), len);
    return name;
}

static const char *named(const char *key)
{
    return named_bytes("app", key, strlen(key));
}

/* Exactly one pair of braces, around everything that comes from the key. */
static void assert_shape(const char *s)
{
    assert_memory_equal(s, "app:d:{", 7);
    assert_ptr_equal(strchr(s, '{'), s + 6);
    assert_ptr_equal(strrchr(s, '{'), s + 6);
    assert_ptr_equal(strchr(s, '}'), s + strlen(s) - 1);
    for (const char *p = s; *p != '\0'; p++)
        assert_true(*p >= 0x21 && *p <= 0x7e);
}

static void plain_key_is_readable_as_it_is(void **state)
{
    (void)state;
    assert_string_equal(named("page:42:de"), "app:d:{page:42:de}");
    assert_string_equal(named("!~"), "app:d:{!~}");
}

static void key_of_200_bytes_is_plain_and_of_201_hashed(void **state)
{
    (void)state;
    char key[202];
    memset(key, 'k', sizeof key);
    key[200] = '\0';
    named(key);
    assert_int_equal(strlen(name), 7 + 200 + 1);
    assert_null(strchr(name, '~'));
    key[200] = 'k';
    key[201] = '\0';
    named(key);
    assert_int_equal(strlen(name), 7 + 96 + 1 + 32 + 1);
    assert_int_equal(name[7 + 96], '~');
    assert_shape(name);
}

static void unsafe_bytes_are_shown_as_dots_and_hashed(void **state)
{
    (void)state;
    static const char *const keys[] = { "a b", "a\nb", "a{b", "a}b", "a\x7f", "a\xff\xfe", "}{", "{}", "\r\n" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        named(keys[i]);
        assert_shape(name);
        assert_int_equal(strlen(name), 7 + strlen(keys[i]) + 1 + 32 + 1);
    }
    assert_memory_equal(named("a b{c"), "app:d:{a.b.c~", 13);
}

static void nul_bytes_count(void **state)
{
    (void)state;
    char first[TC_REDIS_KEY_MAX_BYTES + 1];
    strcpy(first, named_bytes("app", "a\0b", 3));
    assert_shape(first);
    assert_string_not_equal(first, named_bytes("app", "a\0c", 3));
    assert_string_not_equal(first, named_bytes("app", "a\0b\0", 4));
}

/* Other processes, and later versions, must find what this one stored. */
static void name_never_changes(void **state)
{
    (void)state;
    assert_string_equal(named("a b"), "app:d:{a.b~e932d71afddc92588044f8a624582c4c}");
}

static void plain_key_cannot_pose_as_a_hashed_one(void **state)
{
    (void)state;
    char hashed[TC_REDIS_KEY_MAX_BYTES + 1], posing[TC_REDIS_KEY_MAX_BYTES + 1];
    strcpy(hashed, named("a b"));
    size_t n = strlen(hashed) - 8;
    memcpy(posing, hashed + 7, n);
    posing[n] = '\0';
    assert_string_not_equal(named(posing), hashed);
    assert_shape(name);
    posing[n - 1] = 'G';
    named(posing);
    assert_int_equal(strlen(name), 7 + n + 1);
}

static void long_keys_that_differ_at_their_end_have_different_names(void **state)
{
    (void)state;
    static char key[65536];
    char first[TC_REDIS_KEY_MAX_BYTES + 1];
    memset(key, 'x', sizeof key);
    strcpy(first, named_bytes("app", key, sizeof key));
    key[sizeof key - 1] = 'y';
    assert_string_not_equal(first, named_bytes("app", key, sizeof key));
}

static void name_space_that_is_a_prefix_of_another_never_meets_it(void **state)
{
    (void)state;
    char first[TC_REDIS_KEY_MAX_BYTES + 1];
    strcpy(first, named_bytes("a", "b:d:{c", 6));
    assert_string_not_equal(first, named_bytes("a:d", "c", 1));
    assert_string_equal(named_bytes("a", "k", 1), "a:d:{k}");
    assert_string_equal(named_bytes("ab", "k", 1), "ab:d:{k}");
}

static void longest_name_fits(void **state)
{
    (void)state;
    char ns[TC_REDIS_NAME_SPACE_MAX_BYTES + 1], key[TC_REDIS_KEY_PLAIN_MAX_BYTES];
    memset(ns, 'n', sizeof ns - 1);
    ns[sizeof ns - 1] = '\0';
    memset(key, 'k', sizeof key);
    named_bytes(ns, key, sizeof key);
    assert_int_equal(strlen(name), TC_REDIS_KEY_MAX_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_key_is_readable_as_it_is),
        cmocka_unit_test(key_of_200_bytes_is_plain_and_of_201_hashed),
        cmocka_unit_test(unsafe_bytes_are_shown_as_dots_and_hashed),
        cmocka_unit_test(nul_bytes_count),
        cmocka_unit_test(name_never_changes),
        cmocka_unit_test(plain_key_cannot_pose_as_a_hashed_one),
        cmocka_unit_test(long_keys_that_differ_at_their_end_have_different_names),
        cmocka_unit_test(name_space_that_is_a_prefix_of_another_never_meets_it),
        cmocka_unit_test(longest_name_fits),
    };
    return cmocka_run_group_tests_name("redis_key", tests, NULL, NULL);
}
