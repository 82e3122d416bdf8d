/* Names of results, and the version. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "platform/platform.h"
#include "tiercache.h"

static const int results[] = {
    CACHE_OK, CACHE_MISS, CACHE_ABSENT, CACHE_QUEUED, CACHE_BUSY, CACHE_E_INVALID, CACHE_E_NOMEM, CACHE_E_CLOSED,
    CACHE_E_FORKED, CACHE_E_TIMEOUT, CACHE_E_UNAVAILABLE, CACHE_E_UNKNOWN, CACHE_E_TICKET, CACHE_E_DEADLOCK,
    CACHE_E_TOO_LARGE, CACHE_E_BUFFER, CACHE_E_LOAD, CACHE_E_AUTH, CACHE_E_PROTOCOL, CACHE_E_REFUSED, CACHE_E_EXISTS,
    CACHE_E_NOT_FOUND, CACHE_E_SYSTEM, CACHE_E_ABI, CACHE_E_USER_FIRST,
};

static void every_result_has_words_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(results); i++) {
        const char *text = cache_status_text(results[i]);
        assert_non_null(text);
        assert_true(text[0] != '\0');
        assert_string_not_equal(text, cache_status_text(12345));
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(results[i], results[k]);
            assert_string_not_equal(text, cache_status_text(results[k]));
        }
    }
}

static void a_loaders_own_codes_share_their_words(void **state)
{
    (void)state;
    const char *text = cache_status_text(CACHE_E_USER_FIRST);
    assert_string_equal(cache_status_text(CACHE_E_USER_LAST), text);
    assert_string_equal(cache_status_text(-1500), text);
    assert_string_not_equal(cache_status_text(CACHE_E_USER_FIRST + 1), text);
    assert_string_not_equal(cache_status_text(CACHE_E_USER_LAST - 1), text);
}

static void what_is_no_result_has_words_too(void **state)
{
    (void)state;
    const int others[] = { 5, 100, INT32_MAX, INT32_MIN, -20, -999, -2000 };
    for (size_t i = 0; i < TC_ARRAY_LEN(others); i++)
        assert_string_equal(cache_status_text(others[i]), cache_status_text(12345));
}

static void success_is_zero_outcomes_positive_failures_negative(void **state)
{
    (void)state;
    assert_int_equal(CACHE_OK, 0);
    for (size_t i = 1; i < TC_ARRAY_LEN(results); i++)
        assert_int_equal(results[i] > 0, results[i] <= CACHE_BUSY && results[i] >= CACHE_MISS);
}

static void the_version_that_runs_is_the_one_compiled_against(void **state)
{
    char text[32], header[32];
    (void)state;
    uint32_t v = cache_version();
    assert_int_equal(v, TIERCACHE_VERSION);
    snprintf(text, sizeof text, "%u.%u.%u", v >> 16, v >> 8 & 0xff, v & 0xff);
    snprintf(header, sizeof header, "%d.%d.%d", TIERCACHE_VERSION_MAJOR, TIERCACHE_VERSION_MINOR,
             TIERCACHE_VERSION_PATCH);
    assert_string_equal(text, header);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_result_has_words_of_its_own),
        cmocka_unit_test(a_loaders_own_codes_share_their_words),
        cmocka_unit_test(what_is_no_result_has_words_too),
        cmocka_unit_test(success_is_zero_outcomes_positive_failures_negative),
        cmocka_unit_test(the_version_that_runs_is_the_one_compiled_against),
    };
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
