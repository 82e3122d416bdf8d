/* What the process around a cache may do to it: fork, signals, no descriptors, no threads, threads that are cancelled,
 * a wall clock that jumps. Case numbers are those of docs/faults.md. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_redis.h"
#include "fake/tt_tasks.h"
#include "fake/tt_util.h"
#include "platform/platform.h"

enum { SLACK_MS = TT_SLACK_MS, L2_TIMEOUT_MS = 300, TIMEOUT_MS = 2000, BIG_BYTES = 1 << 20, LONG = 300 };
enum { NOBODY = 65534 };

static struct tt_cache b;
static struct tt_redis *server;

/* ---- helpers ---- */

/* A bench on the fake Redis, in real time. */
static void prepare_on_redis(enum tt_redis_net net)
{
    server = tt_redis_start(net);
    tt_cache_prepare(&b, false);
    b.opts.clock = NULL;
    b.opts.l2_url = tt_redis_url(server);
    b.opts.timeout_ms = TIMEOUT_MS;
    b.opts.l2_timeout_ms = L2_TIMEOUT_MS;
}

static void open_on_redis(enum tt_redis_net net)
{
    prepare_on_redis(net);
    b.opts.flags = CACHE_OPEN_REQUIRE_L2;
    tt_cache_open(&b);
}

static void close_on_redis(void)
{
    assert_true(tt_cache_close(&b));
    tt_redis_stop(server);
}

static void make_key(struct cache_key *k, const char *part)
{
    cache_key_str(cache_key_init(k, b.type), part);
}

/* The cache answers from L2 and stores there. */
static void assert_l2_works(void)
{
    struct cache_key k;
    make_key(&k, "whether it works");
    tt_assert_soon(tt_cache_stats(&b).l2_state == 3 && tt_cache_set(&b, &k, "it does") == CACHE_OK);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    struct tt_answer a = tt_cache_get(&b, &k);
    assert_true(tt_answer_is(&a, CACHE_OK, "it does"));
    assert_int_equal(a.meta.tier, CACHE_TIER_L2);
}

static _Atomic unsigned signals_seen;

static void count_signal(int number)
{
    (void)number;
    atomic_fetch_add(&signals_seen, 1);
}

static void handle(int number, struct sigaction *before)
{
    struct sigaction a = { .sa_handler = count_signal }; /* no SA_RESTART: every system call is interrupted */
    atomic_store(&signals_seen, 0);
    assert_int_equal(sigaction(number, &a, before), 0);
}

/* ---- fork ---- */

static int never_load(struct cache_load *ld, const struct cache_key *k, void *user)
{
    (void)ld;
    (void)k;
    (void)user;
    return CACHE_E_USER_FIRST;
}

/* How many verbs do not say CACHE_E_FORKED. */
static int count_verbs_that_run(struct cache_key *k)
{
    struct cache *c = b.c;
    struct cache_value v;
    struct cache_stats st;
    struct cache_type *t;
    struct cache_item item = { .key = k, .data = "x", .len = 1 };
    struct cache_fetch_opts fetch = CACHE_FETCH_OPTS_INIT;
    struct cache_type_opts type = CACHE_TYPE_OPTS_INIT;
    char buf[8];
    fetch.load = never_load;
    type.name = "another";
    const int said[] = {
        cache_get(c, k, NULL, &v),
        cache_get_copy(c, k, buf, sizeof buf, NULL),
        cache_set(c, k, "x", 1, NULL),
        cache_set_absent(c, k, NULL),
        cache_fetch(c, k, &fetch, &v),
        cache_invalidate(c, k, NULL),
        cache_clear_local(c),
        cache_get_many(c, &item, 1, NULL),
        cache_set_many(c, &item, 1, NULL),
        cache_invalidate_many(c, &item, 1, NULL),
        cache_stats_read(c, NULL, &st, sizeof st),
        cache_stats_push(c),
        cache_type_register(c, &type, &t),
        cache_type_find(c, "t", &t),
    };
    int failures = 0;
    for (size_t i = 0; i < TC_ARRAY_LEN(said); i++)
        if (said[i] != CACHE_E_FORKED) {
            fprintf(stderr, "verb %zu says %d in a child\n", i, said[i]);
            failures++;
        }
    return failures;
}

/* What a child does with its parent's cache; returns its exit status. */
static int live_as_a_child(struct cache_key *k, struct cache_value *pinned, unsigned connections)
{
    char part[LONG];
    struct cache_key built;
    struct cache *own = NULL;
    int failures = count_verbs_that_run(k);
    memset(part, 'x', sizeof part);
    cache_key_bytes(cache_key_init(&built, b.type), part, sizeof part);
    TT_CHECK(failures, cache_key_status(&built) == CACHE_OK);
    cache_key_fini(&built);
    TT_CHECK(failures, memcmp(pinned->data, "value", 5) == 0);
    cache_value_release(pinned);
    cache_value_release(pinned);
    unsigned open_fds = tt_count_fds();
    TT_CHECK(failures, cache_close(b.c, TT_SOON_MS) == CACHE_OK);
    TT_CHECK(failures, tt_count_fds() == open_fds - connections);
    TT_CHECK(failures, cache_open(NULL, &own, NULL, 0) == CACHE_OK && cache_close(own, 0) == CACHE_OK);
    return failures > 100 ? 100 : failures;
}

/* FAULTS 33 */
static void a_forked_child_is_told_so_and_harms_nobody(void **state)
{
    struct cache_key k;
    struct cache_value v;
    int status;
    (void)state;
    open_on_redis(TT_REDIS_UNIX);
    make_key(&k, "k");
    assert_int_equal(tt_cache_set(&b, &k, "value"), CACHE_OK);
    assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_OK);
    unsigned connections = tt_redis_seen(server).connections;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(live_as_a_child(&k, &v, connections));
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_memory_equal(v.data, "value", 5);
    cache_value_release(&v);
    assert_l2_works();
    assert_int_equal(tt_redis_seen(server).connections, connections);
    assert_int_equal(tt_redis_seen(server).torn, 0);
    close_on_redis();
}

/* A child that lets go of all it inherited, as a daemon does, and then opens files and sockets of its own. */
static int live_as_a_daemon(void)
{
    enum { OWN = 16 };
    int own[OWN], failures = 0;
    closefrom(3);
    for (int i = 0; i < OWN; i++) {
        own[i] = i % 2 ? open("/dev/null", O_RDONLY) : socket(AF_UNIX, SOCK_STREAM, 0);
        TT_CHECK(failures, own[i] >= 0);
    }
    TT_CHECK(failures, cache_close(b.c, TT_SOON_MS) == CACHE_OK);
    for (int i = 0; i < OWN; i++)
        TT_CHECK(failures, fcntl(own[i], F_GETFD) >= 0);
    return failures;
}

/* FAULTS 33 */
static void a_forked_child_that_reused_the_numbers_keeps_its_own_descriptors(void **state)
{
    int status;
    (void)state;
    prepare_on_redis(TT_REDIS_UNIX);
    b.opts.l2_connections = 4;
    tt_cache_open(&b);
    assert_l2_works();
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(live_as_a_daemon());
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_l2_works();
    close_on_redis();
}

/* ---- signals and threads ---- */

/* FAULTS 35 */
static void no_peer_that_dies_raises_sigpipe(void **state)
{
    static const enum tt_redis_net nets[] = { TT_REDIS_UNIX, TT_REDIS_TCP };
    struct sigaction before;
    (void)state;
    handle(SIGPIPE, &before);
    for (size_t i = 0; i < 8; i++) {
        struct cache_key k;
        open_on_redis(nets[i % 2]);
        make_key(&k, "k");
        tt_redis_door(server, i & 2 ? TT_DOOR_SHUT : TT_DOOR_OPEN);
        tt_redis_kick(server, (i & 4) != 0);
        int rc = tt_cache_set_bytes(&b, &k, BIG_BYTES);
        assert_true(rc == CACHE_OK || rc == CACHE_QUEUED);
        rc = cache_invalidate(b.c, &k, NULL);
        assert_true(rc == CACHE_OK || rc == CACHE_QUEUED);
        tt_redis_door(server, TT_DOOR_OPEN);
        assert_l2_works();
        close_on_redis();
    }
    struct sigaction now;
    assert_int_equal(sigaction(SIGPIPE, &before, &now), 0);
    assert_ptr_equal(now.sa_handler, count_signal); /* nor does the library touch what the program wants done */
    assert_int_equal(atomic_load(&signals_seen), 0);
}

static void set_storm(suseconds_t every_us)
{
    struct itimerval t = { { 0, every_us }, { 0, every_us } };
    assert_int_equal(setitimer(ITIMER_REAL, &t, NULL), 0);
}

/* FAULTS 34 */
static void in_a_storm_of_signals_a_hung_l2_costs_no_more_than_its_time(void **state)
{
    struct cache_key k;
    struct tt_loader l;
    struct sigaction before;
    (void)state;
    open_on_redis(TT_REDIS_TCP);
    make_key(&k, "k");
    tt_loader_init(&l, "loaded");
    tt_redis_freeze(server, true);
    handle(SIGALRM, &before);
    set_storm(1000);
    int64_t began_ms = tt_mono_ms();
    struct tt_answer a = tt_cache_fetch(&b, &k, &l);
    int64_t took_ms = tt_mono_ms() - began_ms;
    set_storm(0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    assert_true(tt_answer_is(&a, CACHE_OK, "loaded"));
    assert_true(a.meta.flags & CACHE_META_L2_OUT);
    assert_in_range(took_ms, L2_TIMEOUT_MS - 1, 2 * L2_TIMEOUT_MS + SLACK_MS); /* asked, then told */
    assert_true(atomic_load(&signals_seen) > 100);
    tt_redis_freeze(server, false);
    assert_l2_works();
    tt_loader_fini(&l);
    close_on_redis();
}

static int do_nothing(void *arg, unsigned index)
{
    (void)arg;
    (void)index;
    return 0;
}

/* FAULTS 36 */
static void redis_costs_one_thread_that_blocks_all_signals_and_l1_none(void **state)
{
    static const int numbers[] = { SIGINT, SIGTERM, SIGALRM, SIGCHLD, SIGPIPE, SIGUSR1, SIGHUP };
    (void)state;
    assert_int_equal(tt_crew_join(tt_crew_start(1, do_nothing, NULL)), 0); /* sanitizers add a thread to the first */
    struct tt_tasks before;
    tt_tasks_look(&before);
    tt_cache_prepare(&b, false);
    tt_cache_open(&b);
    assert_int_equal(tt_tasks_since(&before, "tiercache").all, 0);
    assert_true(tt_cache_close(&b));

    prepare_on_redis(TT_REDIS_UNIX);
    tt_tasks_look(&before);
    tt_cache_open(&b);
    assert_l2_works();
    struct tt_new_tasks t = tt_tasks_since(&before, "tiercache");
    assert_int_equal(t.all, 1);
    assert_int_equal(t.named, 1);
    for (size_t i = 0; i < TC_ARRAY_LEN(numbers); i++)
        assert_true(t.blocked >> (numbers[i] - 1) & 1);
    assert_true(tt_cache_close(&b));
    tt_assert_soon(tt_tasks_since(&before, "tiercache").all == 0);
    tt_redis_stop(server);
}

/* ---- descriptors and threads that are refused ---- */

static unsigned count_fds_that_survive_exec(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);
        n += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    return n;
}

/* FAULTS 37 */
static void no_descriptor_of_a_cache_survives_exec(void **state)
{
    (void)state;
    prepare_on_redis(TT_REDIS_TCP);
    unsigned inherited = count_fds_that_survive_exec();
    b.opts.l2_connections = 4;
    tt_cache_open(&b);
    assert_l2_works();
    assert_int_equal(count_fds_that_survive_exec(), inherited);
    tt_redis_kick(server, true);
    assert_l2_works();
    assert_int_equal(count_fds_that_survive_exec(), inherited);
    close_on_redis();
}

/* FAULTS 38 */
static void without_descriptors_the_cache_works_and_waits_for_some(void **state)
{
    struct rlimit limit, none;
    struct cache_key k;
    struct tt_loader l;
    (void)state;
    prepare_on_redis(TT_REDIS_TCP);
    int lowest_free = dup(STDERR_FILENO);
    assert_true(lowest_free >= 0);
    close(lowest_free);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = (rlim_t)lowest_free;
    tt_loader_init(&l, "loaded");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int rc = tt_cache_try_open(&b);
    int registered = rc == CACHE_OK ? cache_type_register(b.c, &b.type_opts, &b.type) : rc;
    struct tt_answer a = { .status = registered };
    uint64_t refused = 0;
    if (registered == CACHE_OK) {
        make_key(&k, "k");
        a = tt_cache_fetch(&b, &k, &l);
        refused = tt_cache_stats(&b).l2_err_connect;
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(rc, CACHE_OK);
    assert_true(tt_answer_is(&a, CACHE_OK, "loaded"));
    assert_true(a.meta.flags & CACHE_META_L2_OUT);
    assert_true(refused > 0);
    assert_l2_works();
    tt_loader_fini(&l);
    close_on_redis();
}

/* In a child, since the limit is of a user and does not hold for root. */
static int open_without_threads(void)
{
    struct rlimit none = { 0, 0 };
    int failures = 0;
    if ((getuid() == 0 && setuid(NOBODY) != 0) || setrlimit(RLIMIT_NPROC, &none) != 0)
        return 100;
    TT_CHECK(failures, tt_cache_try_open(&b) == CACHE_E_SYSTEM);
    TT_CHECK(failures, b.c == NULL && b.err[0] != '\0');
    TT_CHECK(failures, tt_backend_closed(b.l2) == 0);
    TT_CHECK(failures, tt_alloc_is_clean(&b.alloc));
    b.opts.backend = NULL;
    TT_CHECK(failures, tt_cache_try_open(&b) == CACHE_OK);
    TT_CHECK(failures, cache_close(b.c, 0) == CACHE_OK);
    return failures;
}

/* FAULTS 39 */
static void without_a_thread_opening_fails_and_leaves_nothing(void **state)
{
    int status;
    (void)state;
    tt_cache_prepare(&b, true);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(open_without_threads());
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_true(tt_cache_fini(&b));
    if (WEXITSTATUS(status) == 100) {
        print_message("[  NOTE    ] this machine does not let a process limit its threads\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- cancelled threads ---- */

static void cancel(struct tt_call *call)
{
    assert_int_equal(pthread_cancel(call->thread), 0);
}

/* FAULTS 40: what it waits for is not its own, so it is held back until it may go. */
static void a_thread_cancelled_while_it_waits_for_anothers_load_leaves_nothing_behind(void **state)
{
    struct cache_key k;
    struct tt_loader l;
    (void)state;
    tt_cache_prepare(&b, false);
    tt_cache_open(&b);
    make_key(&k, "k");
    tt_loader_init(&l, "loaded");
    tt_loader_block(&l);
    struct tt_call leader = { .verb = TT_VERB_FETCH, .b = &b, .k = &k, .l = &l, .timeout_ms = TT_SOON_MS };
    struct tt_call waiter = leader;
    tt_call_start(&leader);
    assert_true(tt_loader_await_blocked(&l, 1));
    tt_call_start(&waiter);
    tt_assert_soon(tt_cache_stats(&b).coalesced_waits == 1);
    assert_true(tt_call_await_asleep(&waiter));
    cancel(&waiter);
    tt_loader_release(&l);
    tt_call_join(&waiter);
    tt_call_join(&leader);
    assert_true(tt_answer_is(&leader.answer, CACHE_OK, "loaded"));
    assert_int_equal(tt_cache_stats(&b).l1_pins, 0);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "loaded");
    tt_loader_fini(&l);
    assert_true(tt_cache_close(&b));
}

/* FAULTS 40: as the one who reads the connection for everybody. */
static void a_thread_cancelled_while_it_waits_for_l2_leaves_the_connection_to_others(void **state)
{
    struct cache_key k, other;
    (void)state;
    open_on_redis(TT_REDIS_TCP);
    make_key(&k, "k");
    make_key(&other, "other");
    assert_int_equal(tt_cache_set(&b, &k, "value"), CACHE_OK);
    assert_int_equal(tt_cache_set(&b, &other, "other value"), CACHE_OK);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    tt_redis_fault(server, &(struct tt_redis_fault){ .command = "GET", .times = 1, .stall = true });
    struct tt_call reader = { .verb = TT_VERB_GET, .b = &b, .k = &k };
    struct tt_call follower = { .verb = TT_VERB_GET, .b = &b, .k = &other };
    tt_call_start(&reader);
    tt_assert_soon(tt_redis_stalled(server) > 0);
    tt_call_start(&follower);
    cancel(&reader);
    tt_redis_release(server);
    tt_call_join(&reader);
    tt_call_join(&follower);
    assert_true(follower.took_ms <= L2_TIMEOUT_MS + SLACK_MS);
    assert_true(follower.answer.status == CACHE_MISS || tt_answer_is(&follower.answer, CACHE_OK, "other value"));
    assert_l2_works();
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "value");
    assert_int_equal(tt_cache_stats(&b).l1_pins, 0);
    close_on_redis();
}

/* FAULTS 40, 45 */
static void a_thread_cancelled_inside_its_loader_frees_the_key_and_those_who_wait(void **state)
{
    struct cache_key k;
    struct tt_loader blocked, quick;
    (void)state;
    tt_cache_prepare(&b, true);
    tt_cache_open(&b);
    make_key(&k, "k");
    tt_loader_init(&blocked, "never");
    tt_loader_init(&quick, "loaded");
    tt_loader_block(&blocked);
    struct tt_call leader = { .verb = TT_VERB_FETCH, .b = &b, .k = &k, .l = &blocked, .timeout_ms = TT_SOON_MS };
    struct tt_call waiter = leader;
    tt_call_start(&leader);
    assert_true(tt_loader_await_blocked(&blocked, 1));
    tt_call_start(&waiter);
    tt_assert_soon(tt_cache_stats(&b).coalesced_waits == 1);
    cancel(&leader);
    tt_call_join(&leader);
    tt_call_join(&waiter);
    assert_false(atomic_load(&leader.done));
    assert_int_equal(waiter.answer.status, CACHE_E_LOAD);
    assert_answer(tt_cache_fetch(&b, &k, &quick), CACHE_OK, "loaded");
    tt_loader_fini(&blocked);
    tt_loader_fini(&quick);
    assert_true(tt_cache_close(&b));
}

/* ---- time ---- */

/* FAULTS 54 */
static void a_wall_clock_that_jumps_moves_no_life_in_either_tier(void **state)
{
    static const int64_t day_ms = 24 * 3600 * 1000, jumps[] = { -day_ms, 2 * day_ms, -3 * day_ms };
    struct cache_key k;
    (void)state;
    tt_cache_prepare(&b, true);
    b.type_opts.max_stale_ms = -1;
    tt_cache_open(&b);
    make_key(&k, "k");
    assert_int_equal(tt_cache_set_with(&b, &k, "value", 10000, NULL), CACHE_OK);
    for (size_t i = 0; i < TC_ARRAY_LEN(jumps); i++) {
        tt_clock_advance(&b.clock, 1000);
        tt_clock_jump_wall(&b.clock, jumps[i]);
        int64_t left_ms = 10000 - 1000 * (int64_t)(i + 1);
        struct tt_answer a = tt_cache_get(&b, &k);
        assert_true(tt_answer_is(&a, CACHE_OK, "value"));
        assert_int_equal(a.meta.tier, CACHE_TIER_L1);
        assert_int_equal(a.meta.ttl_ms, left_ms);
        assert_int_equal(cache_clear_local(b.c), CACHE_OK);
        a = tt_cache_get(&b, &k);
        assert_true(tt_answer_is(&a, CACHE_OK, "value"));
        assert_int_equal(a.meta.tier, CACHE_TIER_L2);
        assert_int_equal(a.meta.ttl_ms, left_ms);
        assert_int_equal(a.meta.age_ms, 10000 - left_ms);
    }
    tt_clock_advance(&b.clock, 7000);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    assert_true(tt_cache_close(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_thread_opening_fails_and_leaves_nothing),
        cmocka_unit_test(a_forked_child_is_told_so_and_harms_nobody),
        cmocka_unit_test(a_forked_child_that_reused_the_numbers_keeps_its_own_descriptors),
        cmocka_unit_test(no_peer_that_dies_raises_sigpipe),
        cmocka_unit_test(in_a_storm_of_signals_a_hung_l2_costs_no_more_than_its_time),
        cmocka_unit_test(redis_costs_one_thread_that_blocks_all_signals_and_l1_none),
        cmocka_unit_test(no_descriptor_of_a_cache_survives_exec),
        cmocka_unit_test(without_descriptors_the_cache_works_and_waits_for_some),
        cmocka_unit_test(a_thread_cancelled_while_it_waits_for_anothers_load_leaves_nothing_behind),
        cmocka_unit_test(a_thread_cancelled_while_it_waits_for_l2_leaves_the_connection_to_others),
        cmocka_unit_test(a_thread_cancelled_inside_its_loader_frees_the_key_and_those_who_wait),
        cmocka_unit_test(a_wall_clock_that_jumps_moves_no_life_in_either_tier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
