/* Encoding of commands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

#include "tier/redis/command.h"
#include "tiercache.h"

static void get_is_encoded_as_the_protocol_says(void **state)
{
    (void)state;
    struct tc_command c;
    tc_command_init(&c, &tc_alloc_default);
    tc_command_begin(&c, 2);
    tc_command_arg_text(&c, "GET");
    tc_command_arg(&c, "a\r\n\0b", 5);
    static const char want[] = "*2\r\n$3\r\nGET\r\n$5\r\na\r\n\0b\r\n";
    assert_int_equal(c.status, CACHE_OK);
    assert_int_equal(c.len, sizeof want - 1);
    assert_memory_equal(c.data, want, c.len);
    tc_command_fini(&c);
}

static void numbers_are_decimal_text(void **state)
{
    (void)state;
    struct tc_command c;
    tc_command_init(&c, &tc_alloc_default);
    tc_command_begin(&c, 2);
    tc_command_arg_number(&c, INT64_MIN);
    tc_command_arg_number(&c, 315360000000);
    static const char want[] = "*2\r\n$20\r\n-9223372036854775808\r\n$12\r\n315360000000\r\n";
    assert_int_equal(c.len, sizeof want - 1);
    assert_memory_equal(c.data, want, c.len);
    tc_command_fini(&c);
}

static void empty_string_is_a_string(void **state)
{
    (void)state;
    struct tc_command c;
    tc_command_init(&c, &tc_alloc_default);
    tc_command_begin(&c, 1);
    tc_command_arg(&c, NULL, 0);
    assert_int_equal(c.len, 10);
    assert_memory_equal(c.data, "*1\r\n$0\r\n\r\n", 10);
    tc_command_fini(&c);
}

/* hiredis's own encoder as the reference, over sizes around every growth. */
static void equals_the_encoding_of_hiredis(void **state)
{
    (void)state;
    static char value[70000];
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (char)(i * 31);
    for (size_t n = 0; n < sizeof value; n = n < 1100 ? n + 1 : n * 2) {
        struct tc_command c;
        tc_command_init(&c, &tc_alloc_default);
        if (n % 2 == 0)
            tc_command_reserve(&c, n);
        tc_command_begin(&c, 3);
        tc_command_arg_text(&c, "SET");
        tc_command_arg_text(&c, "key");
        tc_command_arg(&c, value, n);
        const char *argv[] = { "SET", "key", value };
        const size_t lens[] = { 3, 3, n };
        char *want = NULL;
        long long len = redisFormatCommandArgv(&want, 3, argv, lens);
        assert_int_equal(c.status, CACHE_OK);
        assert_int_equal(c.len, len);
        assert_memory_equal(c.data, want, c.len);
        free(want);
        tc_command_fini(&c);
    }
}

static void several_commands_follow_each_other(void **state)
{
    (void)state;
    struct tc_command c;
    tc_command_init(&c, &tc_alloc_default);
    for (int i = 0; i < 1000; i++) {
        tc_command_begin(&c, 1);
        tc_command_arg_text(&c, "PING");
    }
    assert_int_equal(c.n_commands, 1000);
    assert_int_equal(c.len, 14000);
    for (size_t i = 0; i < 1000; i++)
        assert_memory_equal(c.data + 14 * i, "*1\r\n$4\r\nPING\r\n", 14);
    tc_command_fini(&c);
}

static void *alloc_nothing(void *ctx, size_t n)
{
    (void)ctx;
    (void)n;
    return NULL;
}

static void free_nothing(void *ctx, void *p, size_t n)
{
    (void)ctx;
    (void)p;
    (void)n;
    fail();
}

static void lack_of_memory_sticks(void **state)
{
    (void)state;
    struct tc_alloc none = { { CACHE_HOOKS_ABI, alloc_nothing, free_nothing }, NULL, NULL };
    char big[TC_COMMAND_INLINE_BYTES + 1];
    memset(big, 'x', sizeof big);
    struct tc_command c;
    tc_command_init(&c, &none);
    tc_command_begin(&c, 2);
    tc_command_arg_text(&c, "GET");
    assert_int_equal(c.status, CACHE_OK);
    tc_command_arg(&c, big, sizeof big);
    assert_int_equal(c.status, CACHE_E_NOMEM);
    tc_command_arg_text(&c, "more");
    assert_int_equal(c.status, CACHE_E_NOMEM);
    tc_command_fini(&c);
}

static void impossible_length_is_an_error(void **state)
{
    (void)state;
    struct tc_command c;
    tc_command_init(&c, &tc_alloc_default);
    tc_command_begin(&c, 1);
    tc_command_arg(&c, "", SIZE_MAX);
    assert_int_equal(c.status, CACHE_E_NOMEM);
    tc_command_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_is_encoded_as_the_protocol_says),
        cmocka_unit_test(numbers_are_decimal_text),
        cmocka_unit_test(empty_string_is_a_string),
        cmocka_unit_test(equals_the_encoding_of_hiredis),
        cmocka_unit_test(several_commands_follow_each_other),
        cmocka_unit_test(lack_of_memory_sticks),
        cmocka_unit_test(impossible_length_is_an_error),
    };
    return cmocka_run_group_tests_name("redis_command", tests, NULL, NULL);
}
