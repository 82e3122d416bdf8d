/* The scanner of replies: where a reply ends, what is refused, and that cutting the bytes differently changes
 * nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "platform/platform.h"
#include "tier/redis/resp.h"

static const struct tc_resp_limits limits = { .max_bulk_bytes = 1000,
                                              .max_total_bytes = 20000,
                                              .max_elements = 100,
                                              .body_min_bytes = UINT64_MAX };

struct outcome {
    enum tc_resp_state state;
    size_t used;
    const char *reason;
};

/* Feeds p in pieces of the given size until the scanner says something. */
static struct outcome scan_in_pieces(const char *p, size_t n, size_t piece, const struct tc_resp_limits *l)
{
    struct tc_resp s;
    tc_resp_init(&s, l);
    struct outcome o = { TC_RESP_MORE, 0, NULL };
    while (o.used < n && o.state == TC_RESP_MORE) {
        size_t used, give = n - o.used < piece ? n - o.used : piece;
        o.state = tc_resp_scan(&s, p + o.used, give, &used);
        assert_true(used <= give);
        if (o.state == TC_RESP_MORE)
            assert_int_equal(used, give);
        o.used += used;
    }
    o.reason = s.reason;
    assert_true((o.state == TC_RESP_BAD) == (o.reason != NULL));
    if (o.state == TC_RESP_DONE)
        assert_true(tc_resp_idle(&s));
    return o;
}

static struct outcome scan(const char *p, size_t n)
{
    struct outcome whole = scan_in_pieces(p, n, n > 0 ? n : 1, &limits);
    for (size_t piece = 1; piece <= 7; piece += 2) {
        struct outcome cut = scan_in_pieces(p, n, piece, &limits);
        assert_int_equal(cut.state, whole.state);
        assert_int_equal(cut.used, whole.used);
        assert_ptr_equal(cut.reason, whole.reason);
    }
    return whole;
}

static void assert_complete(const char *p, size_t n)
{
    struct outcome o = scan(p, n);
    if (o.state != TC_RESP_DONE || o.used != n)
        fail_msg("'%s': state %d after %zu of %zu bytes (%s)", p, (int)o.state, o.used, n, o.reason ? o.reason : "");
    for (size_t i = 0; i < n; i++)
        assert_int_equal(scan(p, i).state, TC_RESP_MORE);
    char followed[256];
    assert_true(n + 2 < sizeof followed);
    memcpy(followed, p, n);
    memcpy(followed + n, "+x", 2);
    o = scan(followed, n + 2);
    assert_int_equal(o.state, TC_RESP_DONE);
    assert_int_equal(o.used, n);
}

static void each_legal_reply_ends_where_it_ends(void **state)
{
    (void)state;
    static const char *const legal[] = {
        "+OK\r\n", "+\r\n", "-MO\r\n", "-\r\n", "-ERR a b\r\n", ":0\r\n", ":-1\r\n", ":9223372036854775807\r\n",
        ":-9223372036854775808\r\n", "$-1\r\n", "$0\r\n\r\n", "$5\r\nhello\r\n", "$2\r\n\r\n\r\n", "*-1\r\n", "*0\r\n",
        "*1\r\n*0\r\n", "*2\r\n$1\r\na\r\n:1\r\n", "*3\r\n*1\r\n+a\r\n*-1\r\n$-1\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n+x\r\n",
    };
    for (size_t i = 0; i < sizeof legal / sizeof *legal; i++)
        assert_complete(legal[i], strlen(legal[i]));
    assert_complete("$3\r\n\0\r\n\r\n", 9);
}

static void what_redis_never_sends_is_refused(void **state)
{
    (void)state;
    static const char *const illegal[] = {
        "x", "\n", "\r\n", "HTTP/1.1 400", "_\r\n", "#t\r\n", "%1\r\n", "~1\r\n", ">1\r\n", ",1.5\r\n", "(1\r\n",
        "=4\r\n", ":\r\n", ":-\r\n", ":+1\r\n", ":01\r\n", ":-0\r\n", ":-01\r\n", ":1 \r\n", ": 1\r\n", ":1\n",
        ":1\r\r", ":--1\r\n", ":9223372036854775808\r\n", ":-9223372036854775809\r\n",
        ":99999999999999999999999\r\n", ":1x\r\n", ":nan\r\n", "$-2\r\n", "$\r\n", "$05\r\n", "$5\r\nhelloXX",
        "$5\r\nhello\rX", "$5\r\nhello\n\n", "$1001\r\n", "$9223372036854775807\r\n", "$18446744073709551616\r\n",
        "*-2\r\n", "*101\r\n", "*2147483647\r\n", "*4294967296\r\n", "*9223372036854775807\r\n",
        "*1\r\nx", "*50\r\n*51\r\n", "+a\nb\r\n", "+a\rb\r\n", "-ERR\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
    };
    for (size_t i = 0; i < sizeof illegal / sizeof *illegal; i++) {
        struct outcome o = scan(illegal[i], strlen(illegal[i]));
        if (o.state != TC_RESP_BAD)
            fail_msg("'%s' was not refused", illegal[i]);
    }
}

static void bad_is_for_ever(void **state)
{
    (void)state;
    struct tc_resp s;
    tc_resp_init(&s, &limits);
    size_t used;
    assert_int_equal(tc_resp_scan(&s, "x", 1, &used), TC_RESP_BAD);
    assert_int_equal(tc_resp_scan(&s, "+OK\r\n", 5, &used), TC_RESP_BAD);
    assert_int_equal(used, 0);
    assert_false(tc_resp_idle(&s));
}

static void line_is_bounded(void **state)
{
    (void)state;
    static char line[TC_RESP_LINE_MAX_BYTES + 4];
    memset(line, 'e', sizeof line);
    line[0] = '-';
    memcpy(line + 1 + TC_RESP_LINE_MAX_BYTES, "\r\n", 2);
    assert_int_equal(scan(line, TC_RESP_LINE_MAX_BYTES + 3).state, TC_RESP_DONE);
    line[1 + TC_RESP_LINE_MAX_BYTES] = 'e';
    assert_int_equal(scan(line, TC_RESP_LINE_MAX_BYTES + 2).state, TC_RESP_BAD);
}

static void string_and_total_are_bounded(void **state)
{
    (void)state;
    static char reply[40000];
    size_t n = (size_t)sprintf(reply, "$1000\r\n");
    memset(reply + n, 'b', 1000);
    memcpy(reply + n + 1000, "\r\n", 2);
    assert_int_equal(scan(reply, n + 1002).state, TC_RESP_DONE);

    n = (size_t)sprintf(reply, "*30\r\n");
    for (int i = 0; i < 30; i++) {
        n += (size_t)sprintf(reply + n, "$1000\r\n");
        memset(reply + n, 'b', 1000);
        memcpy(reply + n + 1000, "\r\n", 2);
        n += 1002;
    }
    struct outcome o = scan(reply, n);
    assert_int_equal(o.state, TC_RESP_BAD);
    /* when the length that is too much is announced, not when its bytes have come */
    assert_true(o.used < limits.max_total_bytes);
}

static void a_flood_of_empty_elements_is_bounded_by_their_number(void **state)
{
    (void)state;
    char reply[600];
    size_t n = (size_t)sprintf(reply, "*100\r\n");
    for (int i = 0; i < 99; i++)
        n += (size_t)sprintf(reply + n, "*0\r\n");
    assert_int_equal(scan(reply, n).state, TC_RESP_MORE);
    sprintf(reply + n, "*1\r\n");
    assert_int_equal(scan(reply, n + 4).state, TC_RESP_BAD);
}

static void limits_start_anew_with_each_reply(void **state)
{
    (void)state;
    struct tc_resp s;
    tc_resp_init(&s, &limits);
    for (int i = 0; i < 1000; i++) {
        size_t used;
        assert_int_equal(tc_resp_scan(&s, "*60\r\n", 5, &used), TC_RESP_MORE);
        for (int j = 0; j < 59; j++)
            assert_int_equal(tc_resp_scan(&s, "$3\r\nabc\r\n", 9, &used), TC_RESP_MORE);
        assert_int_equal(tc_resp_scan(&s, "$3\r\nabc\r\n", 9, &used), TC_RESP_DONE);
    }
}

/* ---- strings that are announced ---- */

static const struct tc_resp_limits announcing = { .max_bulk_bytes = 1000,
                                                  .max_total_bytes = 2000,
                                                  .max_elements = 10,
                                                  .body_min_bytes = 10 };

static void large_string_is_announced_before_its_first_byte(void **state)
{
    (void)state;
    struct tc_resp s;
    size_t used;
    tc_resp_init(&s, &announcing);
    assert_int_equal(tc_resp_scan(&s, "$10\r\n0123456789\r\n", 17, &used), TC_RESP_BODY);
    assert_int_equal(used, 5);
    assert_int_equal(s.body_left, 10);
    tc_resp_skip(&s, 4);
    assert_int_equal(s.body_left, 6);
    assert_int_equal(tc_resp_scan(&s, "456", 3, &used), TC_RESP_MORE);
    assert_int_equal(s.body_left, 3);
    tc_resp_skip(&s, 3);
    assert_false(tc_resp_idle(&s));
    assert_int_equal(tc_resp_scan(&s, "\r\n+", 3, &used), TC_RESP_DONE);
    assert_int_equal(used, 2);
    assert_true(tc_resp_idle(&s));
}

static void small_and_nested_strings_are_not_announced(void **state)
{
    (void)state;
    struct tc_resp s;
    size_t used;
    tc_resp_init(&s, &announcing);
    assert_int_equal(tc_resp_scan(&s, "$9\r\n012345678\r\n", 15, &used), TC_RESP_DONE);
    assert_int_equal(tc_resp_scan(&s, "*1\r\n$10\r\n0123456789\r\n", 21, &used), TC_RESP_DONE);
}

static void announced_string_needs_its_crlf_too(void **state)
{
    (void)state;
    struct tc_resp s;
    size_t used;
    tc_resp_init(&s, &announcing);
    assert_int_equal(tc_resp_scan(&s, "$12\r\n", 5, &used), TC_RESP_BODY);
    tc_resp_skip(&s, 12);
    assert_int_equal(tc_resp_scan(&s, "xx", 2, &used), TC_RESP_BAD);
}

/* ---- random replies ---- */

static uint64_t seed;

static unsigned below(unsigned n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)((seed >> 33) % n);
}

static size_t put_random(char *p, int depth)
{
    switch (below(depth < 5 ? 6 : 5)) {
    case 0:
        return (size_t)sprintf(p, "+status %u\r\n", below(1000));
    case 1:
        return (size_t)sprintf(p, "-ERR %u\r\n", below(1000));
    case 2:
        return (size_t)sprintf(p, ":%d\r\n", (int)below(2000) - 1000);
    case 3:
        return (size_t)sprintf(p, below(2) ? "$-1\r\n" : "*-1\r\n");
    case 4: {
        unsigned len = below(200);
        size_t n = (size_t)sprintf(p, "$%u\r\n", len);
        for (unsigned i = 0; i < len; i++)
            p[n++] = "\r\n$*:+-01a"[below(10)];
        memcpy(p + n, "\r\n", 2);
        return n + 2;
    }
    default: {
        unsigned elements = below(4);
        size_t n = (size_t)sprintf(p, "*%u\r\n", elements);
        for (unsigned i = 0; i < elements; i++)
            n += put_random(p + n, depth + 1);
        return n;
    }
    }
}

static void random_replies_end_where_they_end_however_they_are_cut(void **state)
{
    (void)state;
    const char *given = getenv("SEED");
    seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)tc_mono_ns();
    print_message("SEED=%llu\n", (unsigned long long)seed);
    static char buf[400000];
    static const struct tc_resp_limits wide = { 1000, 400000, 100000, UINT64_MAX };
    for (int round = 0; round < 300; round++) {
        size_t ends[20], n = 0;
        for (int i = 0; i < 20; i++)
            ends[i] = n += put_random(buf + n, 0);
        struct tc_resp s;
        tc_resp_init(&s, &wide);
        size_t at = 0, reply = 0;
        while (at < n) {
            size_t used, give = 1 + below(60);
            if (give > n - at)
                give = n - at;
            enum tc_resp_state got = tc_resp_scan(&s, buf + at, give, &used);
            at += used;
            assert_int_not_equal(got, TC_RESP_BAD);
            if (got == TC_RESP_DONE)
                assert_int_equal(at, ends[reply++]);
        }
        assert_int_equal(reply, 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_legal_reply_ends_where_it_ends),
        cmocka_unit_test(what_redis_never_sends_is_refused),
        cmocka_unit_test(bad_is_for_ever),
        cmocka_unit_test(line_is_bounded),
        cmocka_unit_test(string_and_total_are_bounded),
        cmocka_unit_test(a_flood_of_empty_elements_is_bounded_by_their_number),
        cmocka_unit_test(limits_start_anew_with_each_reply),
        cmocka_unit_test(large_string_is_announced_before_its_first_byte),
        cmocka_unit_test(small_and_nested_strings_are_not_announced),
        cmocka_unit_test(announced_string_needs_its_crlf_too),
        cmocka_unit_test(random_replies_end_where_they_end_however_they_are_cut),
    };
    return cmocka_run_group_tests_name("redis_resp", tests, NULL, NULL);
}
