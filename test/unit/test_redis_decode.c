/* hiredis's reader behind the scanner: each kind of reply becomes the right result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tier/redis/decode.h"
#include "tiercache.h"

static long live;
static int no_memory;

static void *host_alloc(void *host, size_t n)
{
    (void)host;
    if (no_memory)
        return NULL;
    live++;
    return malloc(n);
}

static void host_free(void *host, void *p, size_t n)
{
    (void)host;
    (void)n;
    live--;
    free(p);
}

static const struct cache_backend_host host = { .alloc = host_alloc, .free = host_free };
static struct tc_decoder decoder;

static int setup(void **state)
{
    (void)state;
    no_memory = 0;
    tc_decoder_init(&decoder, &host);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tc_decoder_fini(&decoder);
    return live == 0 ? 0 : -1;
}

static struct tc_result decoded(const char *p, size_t n)
{
    struct tc_result r;
    assert_int_equal(tc_decode(&decoder, p, n, 0, &r), CACHE_OK);
    return r;
}

static struct tc_result decoded_text(const char *p)
{
    return decoded(p, strlen(p));
}

static void each_kind_of_reply_is_told_apart(void **state)
{
    (void)state;
    assert_int_equal(decoded_text("+OK\r\n").kind, TC_RESULT_OK);
    assert_int_equal(decoded_text("+PONG\r\n").kind, TC_RESULT_PONG);
    assert_int_equal(decoded_text("+QUEUED\r\n").kind, TC_RESULT_STATUS);
    assert_int_equal(decoded_text("+\r\n").kind, TC_RESULT_STATUS);
    assert_int_equal(decoded_text("$-1\r\n").kind, TC_RESULT_NIL);
    struct tc_result r = decoded_text(":-9223372036854775808\r\n");
    assert_int_equal(r.kind, TC_RESULT_INTEGER);
    assert_true(r.integer == INT64_MIN);
    r = decoded_text("-OOM command not allowed\r\n");
    assert_int_equal(r.kind, TC_RESULT_ERROR);
    assert_int_equal(r.error, TC_REPLY_OOM);
    assert_int_equal(decoded_text("-MO\r\n").error, TC_REPLY_OTHER);
    assert_int_equal(decoded_text("-\r\n").kind, TC_RESULT_ERROR);
}

static void string_is_copied_byte_by_byte(void **state)
{
    (void)state;
    struct tc_result r = decoded("$7\r\na\0\r\n$1b\r\n", 13);
    assert_int_equal(r.kind, TC_RESULT_BULK);
    assert_int_equal(r.len, 7);
    assert_memory_equal(r.data, "a\0\r\n$1b", 7);
    host_free(NULL, r.data, r.len);
}

static void empty_string_is_a_string_without_data(void **state)
{
    (void)state;
    struct tc_result r = decoded_text("$0\r\n\r\n");
    assert_int_equal(r.kind, TC_RESULT_BULK);
    assert_int_equal(r.len, 0);
    assert_null(r.data);
}

static void string_nobody_waits_for_costs_no_memory(void **state)
{
    (void)state;
    struct tc_result r;
    assert_int_equal(tc_decode(&decoder, "$3\r\nabc\r\n", 9, 1, &r), CACHE_OK);
    assert_int_equal(r.kind, TC_RESULT_BULK);
    assert_null(r.data);
    assert_int_equal(live, 0);
}

static void lack_of_memory_for_a_value_leaves_the_decoder_in_step(void **state)
{
    (void)state;
    no_memory = 1;
    assert_int_equal(decoded_text("$3\r\nabc\r\n").kind, TC_RESULT_NOMEM);
    no_memory = 0;
    assert_int_equal(decoded_text(":5\r\n").integer, 5);
}

static void a_reply_cut_short_is_an_error(void **state)
{
    (void)state;
    struct tc_result r;
    assert_int_equal(tc_decode(&decoder, "$3\r\nab", 6, 0, &r), CACHE_E_PROTOCOL);
}

/* The reader keeps a buffer between replies: sizes around its own thresholds, many times. */
static void sizes_up_to_the_limit_survive_repetition(void **state)
{
    (void)state;
    static char reply[20000];
    for (int round = 0; round < 3; round++) {
        for (size_t n = 1; n < 16384; n += 1 + n / 7) {
            size_t head = (size_t)snprintf(reply, sizeof reply, "$%zu\r\n", n);
            memset(reply + head, 'a' + round, n);
            memcpy(reply + head + n, "\r\n", 2);
            struct tc_result r = decoded(reply, head + n + 2);
            assert_int_equal(r.len, n);
            assert_memory_equal(r.data, reply + head, n);
            host_free(NULL, r.data, r.len);
            assert_int_equal(decoded_text(":7\r\n").integer, 7);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_kind_of_reply_is_told_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(string_is_copied_byte_by_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(empty_string_is_a_string_without_data, setup, teardown),
        cmocka_unit_test_setup_teardown(string_nobody_waits_for_costs_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(lack_of_memory_for_a_value_leaves_the_decoder_in_step, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reply_cut_short_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(sizes_up_to_the_limit_survive_repetition, setup, teardown),
    };
    return cmocka_run_group_tests_name("redis_decode", tests, NULL, NULL);
}
