/* Error replies: the words that Redis begins them with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tier/redis/reply.h"
#include "tiercache.h"

static enum tc_reply_error kind(const char *text)
{
    return tc_reply_classify(text, strlen(text));
}

static void texts_of_redis_7_are_recognised(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum tc_reply_error kind;
    } cases[] = {
        { "OOM command not allowed when used memory > 'maxmemory'.", TC_REPLY_OOM },
        { "LOADING Redis is loading the dataset in memory", TC_REPLY_LOADING },
        { "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", TC_REPLY_MASTERDOWN },
        { "READONLY You can't write against a read only replica.", TC_REPLY_READONLY },
        { "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
          TC_REPLY_MISCONF },
        { "NOAUTH Authentication required.", TC_REPLY_NOAUTH },
        { "WRONGPASS invalid username-password pair or user is disabled.", TC_REPLY_WRONGPASS },
        { "NOPERM this user has no permissions to run the 'get' command", TC_REPLY_NOPERM },
        { "DENIED Redis is running in protected mode because protected mode is enabled", TC_REPLY_DENIED },
        { "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", TC_REPLY_BUSY },
        { "TRYAGAIN Multiple keys request during rehashing of slot", TC_REPLY_TRYAGAIN },
        { "WRONGTYPE Operation against a key holding the wrong kind of value", TC_REPLY_WRONGTYPE },
        { "MOVED 3999 127.0.0.1:6381", TC_REPLY_MOVED },
        { "ASK 3999 127.0.0.1:6381", TC_REPLY_ASK },
        { "CLUSTERDOWN Hash slot not served", TC_REPLY_CLUSTERDOWN },
        { "CROSSSLOT Keys in request don't hash to the same slot", TC_REPLY_CROSSSLOT },
        { "NOSCRIPT No matching script. Please use EVAL.", TC_REPLY_NOSCRIPT },
        { "NOREPLICAS Not enough good replicas to write.", TC_REPLY_NOREPLICAS },
        { "ERR max number of clients reached", TC_REPLY_MAXCLIENTS },
        { "ERR unknown command 'FOO', with args beginning with: ", TC_REPLY_OTHER },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(kind(cases[i].text), cases[i].kind);
        /* whatever of it is cut off */
        for (size_t n = 0; n <= strlen(cases[i].text); n++)
            tc_reply_classify(cases[i].text, n);
    }
}

static void words_must_be_whole(void **state)
{
    (void)state;
    assert_int_equal(kind("OOM"), TC_REPLY_OOM);
    assert_int_equal(kind("OOMPH x"), TC_REPLY_OTHER);
    assert_int_equal(kind("BUSYKEY Target key name already exists."), TC_REPLY_OTHER);
    assert_int_equal(kind("BUSYGROUP Consumer Group name already exists"), TC_REPLY_OTHER);
    assert_int_equal(kind("oom x"), TC_REPLY_OTHER);
    assert_int_equal(kind(" OOM x"), TC_REPLY_OTHER);
    assert_int_equal(kind("ERR max number of clients"), TC_REPLY_OTHER);
    assert_int_equal(kind("ERR max number of clients reached + cluster"), TC_REPLY_MAXCLIENTS);
}

static void short_and_empty_errors_are_safe(void **state)
{
    (void)state;
    assert_int_equal(kind("MO"), TC_REPLY_OTHER);
    assert_int_equal(kind("M"), TC_REPLY_OTHER);
    assert_int_equal(kind(" "), TC_REPLY_OTHER);
    assert_int_equal(tc_reply_classify("", 0), TC_REPLY_OTHER);
    assert_int_equal(tc_reply_classify(NULL, 0), TC_REPLY_OTHER);
    assert_int_equal(tc_reply_classify("OOM\0x", 5), TC_REPLY_OTHER);
}

static void each_kind_has_status_counter_and_name(void **state)
{
    (void)state;
    for (int e = TC_REPLY_OTHER; e <= TC_REPLY_MAXCLIENTS; e++) {
        bool auth =
            e == TC_REPLY_NOAUTH || e == TC_REPLY_WRONGPASS || e == TC_REPLY_NOPERM || e == TC_REPLY_DENIED;
        assert_int_equal(tc_reply_status((enum tc_reply_error)e), auth ? CACHE_E_AUTH : CACHE_E_REFUSED);
        assert_true((tc_reply_counter((enum tc_reply_error)e) == TC_REDIS_err_auth) == auth);
        assert_non_null(tc_reply_name((enum tc_reply_error)e));
    }
    assert_int_equal(tc_reply_counter(TC_REPLY_OOM), TC_REDIS_err_oom);
    assert_int_equal(tc_reply_counter(TC_REPLY_LOADING), TC_REDIS_err_loading);
    assert_int_equal(tc_reply_counter(TC_REPLY_MASTERDOWN), TC_REDIS_err_loading);
    assert_int_equal(tc_reply_counter(TC_REPLY_READONLY), TC_REDIS_err_readonly);
    assert_int_equal(tc_reply_counter(TC_REPLY_MISCONF), TC_REDIS_err_misconf);
    assert_int_equal(tc_reply_counter(TC_REPLY_BUSY), TC_REDIS_err_busy);
    assert_int_equal(tc_reply_counter(TC_REPLY_TRYAGAIN), TC_REDIS_err_busy);
    assert_int_equal(tc_reply_counter(TC_REPLY_WRONGTYPE), TC_REDIS_err_wrongtype);
    assert_int_equal(tc_reply_counter(TC_REPLY_MOVED), TC_REDIS_err_redirect);
    assert_int_equal(tc_reply_counter(TC_REPLY_OTHER), TC_REDIS_err_other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_of_redis_7_are_recognised),
        cmocka_unit_test(words_must_be_whole),
        cmocka_unit_test(short_and_empty_errors_are_safe),
        cmocka_unit_test(each_kind_has_status_counter_and_name),
    };
    return cmocka_run_group_tests_name("redis_reply", tests, NULL, NULL);
}
