/* Redis URLs: what is understood, what is refused, and that no message tells a secret. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tier/redis/url.h"
#include "tiercache.h"

static struct tc_redis_url parsed(const char *text)
{
    struct tc_redis_url u;
    char err[256] = "";
    int status = tc_redis_url_init(&u, text, &tc_alloc_default, err, sizeof err);
    if (status != CACHE_OK)
        print_error("%s: %s\n", text, err);
    assert_int_equal(status, CACHE_OK);
    return u;
}

static void host_alone_gets_the_default_port_and_database(void **state)
{
    (void)state;
    struct tc_redis_url u = parsed("redis://cache.example");
    assert_false(u.is_unix);
    assert_string_equal(u.host, "cache.example");
    assert_int_equal(u.port, 6379);
    assert_int_equal(u.db, 0);
    assert_null(u.user);
    assert_null(u.password);
    assert_string_equal(u.where, "cache.example:6379");
    tc_redis_url_fini(&u);
}

static void everything_can_be_given(void **state)
{
    (void)state;
    struct tc_redis_url u = parsed("redis://bob:pa%40s%3Aword@10.0.0.1:7000/12");
    assert_string_equal(u.user, "bob");
    assert_string_equal(u.password, "pa@s:word");
    assert_string_equal(u.host, "10.0.0.1");
    assert_int_equal(u.port, 7000);
    assert_int_equal(u.db, 12);
    assert_string_equal(u.where, "10.0.0.1:7000");
    tc_redis_url_fini(&u);
}

static void password_without_user_is_the_default_users(void **state)
{
    (void)state;
    struct tc_redis_url u = parsed("redis://:secret@h/");
    assert_null(u.user);
    assert_string_equal(u.password, "secret");
    tc_redis_url_fini(&u);
    u = parsed("redis://bob@h");
    assert_string_equal(u.user, "bob");
    assert_null(u.password);
    tc_redis_url_fini(&u);
    u = parsed("redis://bob:@h");
    assert_string_equal(u.user, "bob");
    assert_string_equal(u.password, "");
    tc_redis_url_fini(&u);
}

static void ipv6_address_stands_in_brackets(void **state)
{
    (void)state;
    struct tc_redis_url u = parsed("redis://[::1]:6380/1");
    assert_string_equal(u.host, "::1");
    assert_int_equal(u.port, 6380);
    assert_string_equal(u.where, "[::1]:6380");
    tc_redis_url_fini(&u);
    u = parsed("redis://[fe80::1%25eth0]");
    assert_string_equal(u.host, "fe80::1%25eth0");
    tc_redis_url_fini(&u);
}

static void unix_socket_has_path_credentials_and_database(void **state)
{
    (void)state;
    struct tc_redis_url u = parsed("unix:///run/redis%20a.sock");
    assert_true(u.is_unix);
    assert_string_equal(u.path, "/run/redis a.sock");
    assert_string_equal(u.where, "/run/redis a.sock");
    assert_int_equal(u.db, 0);
    tc_redis_url_fini(&u);
    u = parsed("unix://bob:s%2Fx@/run/r.sock?db=3");
    assert_string_equal(u.user, "bob");
    assert_string_equal(u.password, "s/x");
    assert_string_equal(u.path, "/run/r.sock");
    assert_int_equal(u.db, 3);
    tc_redis_url_fini(&u);
}

static void what_is_half_right_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "", "redis", "redis:", "redis:/", "redis://", "redis:///0", "redis://:6379", "http://h", "REDIS://h",
        "rediss://h", "redis://h:", "redis://h:0", "redis://h:65536", "redis://h:06379", "redis://h:+1",
        "redis://h:6379x", "redis://h/x", "redis://h/-1", "redis://h/01", "redis://h/1/", "redis://h/2147483648",
        "redis://h/0?db=1", "redis://h?db=1", "redis://@h", "redis://a@b@h", "redis://u:%@h", "redis://u:%4@h",
        "redis://u:%zz@h", "redis://u:a%00b@h", "redis://h h", "redis://h\n", "redis://h#x", "redis://h\xc3\xa4",
        "redis://[::1", "redis://[]", "redis://[::1]x", "redis://[::1]:", "redis://::1", "redis://h,i",
        "unix://", "unix://r.sock", "unix://host/r.sock", "unix://@/r.sock", "unix:///r.sock?db=", "unix:///r.sock?x=1",
        "unix:///r.sock?db=1&x=2", "unix:///r%00.sock", "unix:/r.sock",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct tc_redis_url u;
        char err[256] = "";
        int status = tc_redis_url_init(&u, wrong[i], &tc_alloc_default, err, sizeof err);
        if (status != CACHE_E_INVALID || strncmp(err, "Redis URL: ", 11) != 0 || err[11] == '\0')
            fail_msg("'%s': status %d, message '%s'", wrong[i], status, err);
        tc_redis_url_fini(&u);
    }
}

static void too_long_a_path_is_refused(void **state)
{
    (void)state;
    char text[160] = "unix:///";
    memset(text + 8, 'p', 107);
    struct tc_redis_url u;
    assert_int_equal(tc_redis_url_init(&u, text, &tc_alloc_default, NULL, 0), CACHE_E_INVALID);
    tc_redis_url_fini(&u);
    text[8 + 106] = '\0';
    u = parsed(text);
    tc_redis_url_fini(&u);
}

/* Wherever the parser stumbles, whatever it took for the host or the port. */
static void no_message_tells_a_piece_of_the_password(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "redis://u:SECRET@x@h", "redis://u:SEC:RET/SECRET@h", "redis://u:SECRET%zz@h", "redis://u:SECRET@h:SECRET",
        "redis://SECRET:1SECRET", "redis://u:SECRET", "unix://u:SECRET/r.sock", "redis://u:SECRET@h?SECRET",
        "rediss://u:SECRET@h", "SECRET", "redis://u:SECRET SECRET@h",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct tc_redis_url u;
        char err[256] = "";
        assert_int_equal(tc_redis_url_init(&u, wrong[i], &tc_alloc_default, err, sizeof err), CACHE_E_INVALID);
        assert_null(strstr(err, "SEC"));
        assert_null(strstr(err, "RET"));
        tc_redis_url_fini(&u);
    }
}

static void where_never_holds_unprintable_bytes(void **state)
{
    (void)state;
    struct tc_redis_url u = parsed("unix:///a%0Ab%1Bc");
    assert_string_equal(u.where, "/a?b?c");
    tc_redis_url_fini(&u);
}

static void short_error_buffer_is_respected(void **state)
{
    (void)state;
    struct tc_redis_url u;
    char err[8] = "1234567";
    tc_redis_url_init(&u, "http://", &tc_alloc_default, err, 4);
    assert_string_equal(err, "Red");
    tc_redis_url_fini(&u);
}

struct countdown {
    long left, live;
};

static void *alloc_countdown(void *ctx, size_t n)
{
    struct countdown *c = ctx;
    if (c->left-- == 0)
        return NULL;
    c->live++;
    return tc_alloc(&tc_alloc_default, n);
}

static void free_countdown(void *ctx, void *p, size_t n)
{
    struct countdown *c = ctx;
    c->live--;
    tc_free(&tc_alloc_default, p, n);
}

static void each_failed_allocation_is_survived(void **state)
{
    (void)state;
    struct countdown c = { 0, 0 };
    struct tc_alloc alloc = { { CACHE_HOOKS_ABI, alloc_countdown, free_countdown }, &c, NULL };
    int status = CACHE_E_NOMEM;
    for (long n = 0; status != CACHE_OK; n++) {
        struct tc_redis_url u;
        c.left = n;
        status = tc_redis_url_init(&u, "redis://bob:secret@h:1/2", &alloc, NULL, 0);
        assert_true(status == CACHE_OK || status == CACHE_E_NOMEM);
        assert_true(n < 10);
        tc_redis_url_fini(&u);
        assert_int_equal(c.live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_alone_gets_the_default_port_and_database),
        cmocka_unit_test(everything_can_be_given),
        cmocka_unit_test(password_without_user_is_the_default_users),
        cmocka_unit_test(ipv6_address_stands_in_brackets),
        cmocka_unit_test(unix_socket_has_path_credentials_and_database),
        cmocka_unit_test(what_is_half_right_is_refused),
        cmocka_unit_test(too_long_a_path_is_refused),
        cmocka_unit_test(no_message_tells_a_piece_of_the_password),
        cmocka_unit_test(where_never_holds_unprintable_bytes),
        cmocka_unit_test(short_error_buffer_is_respected),
        cmocka_unit_test(each_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests_name("redis_url", tests, NULL, NULL);
}
