/* The asymmetric barrier: who stores and then loads with nothing but a compiler barrier between, and who stores, asks
 * for the barrier and then loads, cannot both miss the other's store. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform/platform.h"
#include "tt_util.h"

enum { ROUNDS = 10000, SPINS = 200, LINES = 16 };

struct duel {
    _Alignas(TC_CACHELINE) _Atomic int cheap, dear; /* what either stores: the round */
    _Alignas(TC_CACHELINE) _Atomic int at[2];       /* the rounds that they have come to */
    struct {
        _Alignas(TC_CACHELINE) _Atomic int round;
    } lines[LINES]; /* that both write: they keep the store behind them from being seen for a while */
    int cheap_saw[ROUNDS + 1], dear_saw[ROUNDS + 1];
};

static void skip_without_barrier(void)
{
    if (!tc_barrier_init()) {
        printf("this system has no asymmetric barrier\n");
        skip();
    }
}

/* In a process of its own: once asked for, it is there for good. */
static void a_barrier_that_was_not_asked_for_says_that_it_did_not_happen(void **state)
{
    (void)state;
    skip_without_barrier();
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "test_barrier", "--not-asked-for", (char *)NULL);
        _exit(99);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void it_may_be_asked_for_any_number_of_times(void **state)
{
    (void)state;
    skip_without_barrier();
    for (int i = 0; i < 10; i++) {
        assert_true(tc_barrier_init());
        assert_true(tc_barrier_heavy());
    }
}

static void write_lines(struct duel *d, int round)
{
    for (size_t i = 0; i < LINES; i++)
        atomic_store_explicit(&d->lines[i].round, round, memory_order_relaxed);
}

/* Both begin a round as closely together as they can, and each a little later than the other in turn. */
static void meet(struct duel *d, unsigned index, int round)
{
    atomic_store_explicit(&d->at[index], round, memory_order_release);
    for (int spins = 0; atomic_load_explicit(&d->at[!index], memory_order_acquire) < round; spins++)
        if (spins > SPINS)
            sched_yield();
    for (volatile int i = 0; i < round % 64 * (int)(round / 64 % 2 == (int)index); i++)
        ;
}

/* Each on a processor of its own, where there are two: only then a store can be late. */
static void stay_on_one_processor(unsigned index)
{
    cpu_set_t all, one;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof all, &all) != 0)
        return;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &all) && (index-- == 0 || CPU_COUNT(&all) == 1))
            CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
}

static int fight(void *arg, unsigned index)
{
    struct duel *d = arg;
    int failures = 0;
    stay_on_one_processor(index);
    for (int round = 1; round <= ROUNDS; round++) {
        if (index == 1)
            write_lines(d, -round);
        meet(d, index, round);
        if (index == 0) {
            write_lines(d, round);
            atomic_store_explicit(&d->cheap, round, memory_order_relaxed);
            atomic_signal_fence(memory_order_seq_cst);
            d->cheap_saw[round] = atomic_load_explicit(&d->dear, memory_order_relaxed);
        } else {
            atomic_store_explicit(&d->dear, round, memory_order_relaxed);
            TT_CHECK(failures, tc_barrier_heavy());
            d->dear_saw[round] = atomic_load_explicit(&d->cheap, memory_order_relaxed);
        }
    }
    return failures;
}

static void of_two_that_store_and_then_load_one_sees_the_other(void **state)
{
    static struct duel d;
    int both = 0;
    (void)state;
    skip_without_barrier();
    assert_int_equal(tt_crew_join(tt_crew_start(2, fight, &d)), 0);
    for (int round = 1; round <= ROUNDS; round++) {
        assert_true(d.cheap_saw[round] >= round || d.dear_saw[round] >= round);
        both += d.cheap_saw[round] >= round && d.dear_saw[round] >= round;
    }
    printf("both saw the other in %d of %d rounds\n", both, ROUNDS);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_barrier_that_was_not_asked_for_says_that_it_did_not_happen),
        cmocka_unit_test(it_may_be_asked_for_any_number_of_times),
        cmocka_unit_test(of_two_that_store_and_then_load_one_sees_the_other),
    };
    (void)argv;
    if (argc > 1)
        return tc_barrier_heavy() ? 1 : 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
