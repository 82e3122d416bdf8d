/* The guard in parent, child and grandchild. Children answer by their exit status and run nothing of cmocka. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform/platform.h"

static int status_of(pid_t child)
{
    int status = 0;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void the_parent_is_no_child_before_and_after_a_fork(void **state)
{
    (void)state;
    struct tc_fork_guard g;
    assert_int_equal(tc_fork_guard_init(&g), 0);
    assert_false(tc_fork_guard_is_child(&g));
    pid_t child = fork();
    if (child == 0)
        _exit(tc_fork_guard_is_child(&g) ? 17 : 18);
    assert_int_equal(status_of(child), 17);
    assert_false(tc_fork_guard_is_child(&g));
    tc_fork_guard_fini(&g);
}

static void a_grandchild_is_a_child_too(void **state)
{
    (void)state;
    struct tc_fork_guard g;
    assert_int_equal(tc_fork_guard_init(&g), 0);
    pid_t child = fork();
    if (child == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0)
            _exit(tc_fork_guard_is_child(&g) ? 17 : 18);
        _exit(tc_fork_guard_is_child(&g) ? status_of(grandchild) : 19);
    }
    assert_int_equal(status_of(child), 17);
    tc_fork_guard_fini(&g);
}

static void a_guard_that_a_child_makes_is_the_childs_own(void **state)
{
    (void)state;
    struct tc_fork_guard g;
    assert_int_equal(tc_fork_guard_init(&g), 0);
    pid_t child = fork();
    if (child == 0) {
        struct tc_fork_guard own;
        int rc = tc_fork_guard_init(&own);
        bool good = rc == 0 && !tc_fork_guard_is_child(&own) && tc_fork_guard_is_child(&g);
        tc_fork_guard_fini(&own);
        tc_fork_guard_fini(&g);
        _exit(good ? 17 : 18);
    }
    assert_int_equal(status_of(child), 17);
    assert_false(tc_fork_guard_is_child(&g));
    tc_fork_guard_fini(&g);
}

static void a_word_is_there_in_the_parent_only(void **state)
{
    (void)state;
    struct tc_fork_guard g;
    assert_int_equal(tc_fork_guard_init(&g), 0);
    const volatile uint64_t *word = tc_fork_guard_word(&g, 0x123456789abcdef);
    assert_true(*word == 0x123456789abcdef && !tc_fork_guard_is_child(&g));
    pid_t child = fork();
    if (child == 0)
        _exit(*word == 0 && tc_fork_guard_is_child(&g) ? 17 : 18);
    assert_int_equal(status_of(child), 17);
    assert_true(*word == 0x123456789abcdef);
    tc_fork_guard_fini(&g);
}

/* What a kernel without MADV_WIPEONFORK leaves of it. */
static void without_the_page_process_ids_tell_them_apart(void **state)
{
    (void)state;
    struct tc_fork_guard g = { NULL, getpid() };
    assert_false(tc_fork_guard_is_child(&g));
    assert_int_equal(*tc_fork_guard_word(&g, 5), 0); /* it cannot tell */
    pid_t child = fork();
    if (child == 0)
        _exit(tc_fork_guard_is_child(&g) ? 17 : 18);
    assert_int_equal(status_of(child), 17);
    assert_false(tc_fork_guard_is_child(&g));
    tc_fork_guard_fini(&g);
}

static void a_guard_may_be_finished_twice(void **state)
{
    (void)state;
    struct tc_fork_guard g;
    assert_int_equal(tc_fork_guard_init(&g), 0);
    tc_fork_guard_fini(&g);
    tc_fork_guard_fini(&g);
    assert_null(g.page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_parent_is_no_child_before_and_after_a_fork),
        cmocka_unit_test(a_grandchild_is_a_child_too),
        cmocka_unit_test(a_guard_that_a_child_makes_is_the_childs_own),
        cmocka_unit_test(a_word_is_there_in_the_parent_only),
        cmocka_unit_test(without_the_page_process_ids_tell_them_apart),
        cmocka_unit_test(a_guard_may_be_finished_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
