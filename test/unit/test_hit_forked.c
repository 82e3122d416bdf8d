/* A forked child on the short ways of hits and sets: it is told before anything else, whether the thread that forked
 * used the cache before, so that its record's seat was copied, or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tt_cache.h"
#include "tt_util.h"

static struct tt_cache b;
static struct cache_key k;

static int setup(void **state)
{
    (void)state;
    tt_cache_prepare(&b, false);
    b.opts.clock = NULL; /* with one of its own no call goes the short way */
    tt_cache_open(&b);
    tt_cache_key(&b, &k);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return tt_cache_close(&b) ? 0 : -1;
}

static int copy(struct cache_meta *meta)
{
    char buf[TT_TEXT];
    return cache_get_copy(b.c, &k, buf, sizeof buf, meta);
}

static bool is_told(void)
{
    struct cache_meta meta;
    struct cache_value v;
    return copy(NULL) == CACHE_E_FORKED && copy(&meta) == CACHE_E_FORKED &&
           cache_get(b.c, &k, NULL, &v) == CACHE_E_FORKED &&
           cache_set(b.c, &k, "anew", 4, NULL) == CACHE_E_FORKED;
}

static int fork_and_call(void *arg, unsigned index)
{
    (void)arg;
    (void)index;
    int failures = 0, status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(is_told() ? 17 : 18);
    TT_CHECK(failures, waitpid(child, &status, 0) == child);
    TT_CHECK(failures, WIFEXITED(status) && WEXITSTATUS(status) == 17);
    return failures;
}

static void a_child_of_a_thread_that_used_the_cache_is_told(void **state)
{
    (void)state;
    assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
    assert_int_equal(copy(NULL), CACHE_OK);
    assert_int_equal(fork_and_call(NULL, 0), 0);
    assert_int_equal(copy(NULL), CACHE_OK);
    assert_int_equal(tt_cache_stats(&b).l1_hits, 2);
    assert_int_equal(tt_cache_stats(&b).l1_sets, 1);
}

static void a_child_of_a_thread_that_never_did_is_told(void **state)
{
    (void)state;
    assert_int_equal(tt_cache_set(&b, &k, "old"), CACHE_OK);
    assert_int_equal(tt_crew_join(tt_crew_start(1, fork_and_call, NULL)), 0);
    assert_int_equal(copy(NULL), CACHE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_child_of_a_thread_that_used_the_cache_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_child_of_a_thread_that_never_did_is_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
