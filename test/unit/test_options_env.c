/* Options from the environment: REDIS_URL and CACHE_DEFAULT_TTL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "platform/platform.h"
#include "tiercache.h"

static struct cache_opts from_env(const char *url, const char *ttl, int status, const char *err_says)
{
    struct cache_opts o = CACHE_OPTS_INIT, before;
    char err[256] = "of the call before";
    o.l2_url = "redis://before";
    o.default_ttl_ms = 77;
    before = o;
    unsetenv("REDIS_URL");
    unsetenv("CACHE_DEFAULT_TTL");
    if (url != NULL)
        setenv("REDIS_URL", url, 1);
    if (ttl != NULL)
        setenv("CACHE_DEFAULT_TTL", ttl, 1);
    assert_int_equal(cache_opts_from_env(&o, err, sizeof err), status);
    assert_int_equal(cache_opts_from_env(&o, NULL, 0), status);
    if (status == CACHE_OK)
        assert_string_equal(err, "");
    if (err_says != NULL)
        assert_memory_equal(err, err_says, strlen(err_says));
    assert_null(strstr(err, "Redis URL")); /* the variable's name says it */
    if (status != CACHE_OK)
        assert_memory_equal(&o, &before, sizeof o);
    return o;
}

static void the_environment_sets_url_and_ttl(void **state)
{
    (void)state;
    struct cache_opts o = from_env("redis://host:1234/5", "60", CACHE_OK, NULL);
    assert_string_equal(o.l2_url, "redis://host:1234/5");
    assert_int_equal(o.default_ttl_ms, 60000);
    assert_int_equal(from_env(NULL, "1", CACHE_OK, NULL).default_ttl_ms, 1000);
    assert_int_equal(from_env(NULL, "315360000", CACHE_OK, NULL).default_ttl_ms, CACHE_TTL_MAX_MS);
}

static void what_is_unset_or_empty_changes_nothing(void **state)
{
    (void)state;
    struct cache_opts o = from_env(NULL, NULL, CACHE_OK, NULL);
    assert_string_equal(o.l2_url, "redis://before");
    assert_int_equal(o.default_ttl_ms, 77);
    o = from_env("", "", CACHE_OK, NULL);
    assert_string_equal(o.l2_url, "redis://before");
    assert_int_equal(o.default_ttl_ms, 77);
    o = from_env("unix:///run/redis.sock", "", CACHE_OK, NULL);
    assert_string_equal(o.l2_url, "unix:///run/redis.sock");
    assert_int_equal(o.default_ttl_ms, 77);
}

static void a_bad_variable_is_named(void **state)
{
    static const char *const bad_ttls[] = { "0", "-1", "+1", " 1", "1 ", "1s", "1.5", "x", "315360001", "1e3", "0x10",
                                            "99999999999999999999999999", "-" };
    static const char *const bad_urls[] = { "host:6379", "http://host", "redis://", "redis://host:port" };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(bad_ttls); i++) {
        from_env(NULL, bad_ttls[i], CACHE_E_INVALID, "CACHE_DEFAULT_TTL");
        from_env("redis://host", bad_ttls[i], CACHE_E_INVALID, "CACHE_DEFAULT_TTL");
    }
    for (size_t i = 0; i < TC_ARRAY_LEN(bad_urls); i++) {
        from_env(bad_urls[i], NULL, CACHE_E_INVALID, "REDIS_URL");
        from_env(bad_urls[i], "5", CACHE_E_INVALID, "REDIS_URL");
    }
}

static void no_password_of_a_bad_url_is_repeated(void **state)
{
    struct cache_opts o = CACHE_OPTS_INIT;
    char err[256] = "";
    (void)state;
    setenv("REDIS_URL", "redis://user:secret@host:nonsense", 1);
    assert_int_equal(cache_opts_from_env(&o, err, sizeof err), CACHE_E_INVALID);
    assert_null(strstr(err, "secret"));
    unsetenv("REDIS_URL");
}

/* Behind an older program's struct lies memory of its own. */
static void nothing_is_written_behind_a_smaller_struct(void **state)
{
    static const size_t sizes[] = { 4, offsetof(struct cache_opts, l2_url), offsetof(struct cache_opts, backend),
                                    offsetof(struct cache_opts, default_ttl_ms) };
    (void)state;
    setenv("REDIS_URL", "redis://host", 1);
    setenv("CACHE_DEFAULT_TTL", "9", 1);
    for (size_t i = 0; i < TC_ARRAY_LEN(sizes); i++) {
        struct cache_opts o = CACHE_OPTS_INIT, before;
        o.size = (uint32_t)sizes[i];
        before = o;
        int rc = cache_opts_from_env(&o, NULL, 0);
        assert_memory_equal((char *)&o + sizes[i], (char *)&before + sizes[i], sizeof o - sizes[i]);
        assert_int_equal(rc, CACHE_E_INVALID);
    }
    unsetenv("REDIS_URL");
    unsetenv("CACHE_DEFAULT_TTL");
    assert_int_equal(cache_opts_from_env(NULL, NULL, 0), CACHE_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_environment_sets_url_and_ttl),
        cmocka_unit_test(what_is_unset_or_empty_changes_nothing),
        cmocka_unit_test(a_bad_variable_is_named),
        cmocka_unit_test(no_password_of_a_bad_url_is_repeated),
        cmocka_unit_test(nothing_is_written_behind_a_smaller_struct),
    };
    return cmocka_run_group_tests_name("options from the environment", tests, NULL, NULL);
}
