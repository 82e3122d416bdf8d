/* The Redis backend and connections that break, hang, drip or take no more bytes. Case numbers are those of
 * docs/faults.md. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake/tt_rig.h"
#include "fake/tt_util.h"
#include "tiercache.h"

enum { SLACK_MS = TT_SLACK_MS, BIG_BYTES = 1 << 20, TTL_MS = 600000 };

/* ---- helpers ---- */

static struct cache_slice text_slice(const char *s)
{
    return (struct cache_slice){s, strlen(s)};
}

static unsigned char *make_big(size_t n)
{
    unsigned char *p = tt_xmalloc(n);
    for (size_t i = 0; i < n; i++)
        p[i] = (unsigned char)(i * 7 + (i >> 8));
    return p;
}

static int set_big(struct tt_rig *rig, const char *key, const unsigned char *p, size_t n, int64_t ms)
{
    return rig->host.ops->set(rig->ctx, text_slice(key), (struct cache_slice){p, n}, TTL_MS,
                              tt_host_in_ms(&rig->host, ms));
}

/* CACHE_OK only if what came is p. */
static int get_big(struct tt_rig *rig, const char *key, const unsigned char *p, size_t n, int64_t ms)
{
    struct cache_backend_value v = {NULL, 0, 0};
    int status = rig->host.ops->get(rig->ctx, text_slice(key), tt_host_in_ms(&rig->host, ms), &v);
    if (status != CACHE_OK)
        return status;
    bool same = v.len == n && memcmp(v.data, p, n) == 0;
    tt_host_value_free(&rig->host, &v);
    return same ? CACHE_OK : -9999;
}

static void start_with_values(struct tt_rig *rig, enum tt_redis_net net)
{
    tt_rig_start(rig, net);
    assert_int_equal(tt_rig_set(rig, "a", "value of a", TT_RIG_MS), CACHE_OK);
    assert_int_equal(tt_rig_set(rig, "b", "value of b", TT_RIG_MS), CACHE_OK);
    tt_redis_forget(rig->server);
}

/* ---- killed, reset, closed ---- */

/* FAULTS 10: the answers to GET and PTTL, cut at every byte. What came in part is never a value, and never a miss. */
static void an_answer_cut_anywhere_is_no_answer(void **state)
{
    static const char *const command[] = {"GET", "PTTL"};
    static const size_t len[] = {sizeof("$10\r\nvalue of a\r\n") - 1, sizeof(":600000\r\n") - 1};
    struct tt_rig *rig = tt_rig_new();
    char text[TT_RIG_TEXT];
    (void)state;
    start_with_values(rig, TT_REDIS_TCP);
    for (int c = 0; c < 2; c++) {
        for (size_t cut = 0; cut < len[c] - 1; cut++) {
            enum tt_redis_then then = cut % 2 ? TT_THEN_RESET : TT_THEN_CLOSE;
            tt_redis_fault(rig->server,
                           &(struct tt_redis_fault){.command = command[c], .times = 1, .cut = cut, .then = then});
            int status = tt_rig_get(rig, "a", TT_RIG_MS, text);
            if (status == CACHE_OK)
                assert_string_equal(text, "value of a"); /* read a second time */
            else
                assert_true(status == CACHE_E_UNKNOWN || status == CACHE_E_UNAVAILABLE);
            tt_redis_clear(rig->server);
            assert_true(tt_rig_recovers(rig, "b", "value of b"));
        }
    }
    assert_true(tt_rig_stats(rig).err_closed > 0);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 10: with a value that is received straight into its own memory. */
static void a_large_answer_cut_in_the_middle_leaves_nothing_behind(void **state)
{
    static const size_t cuts[] = {1, 9, 10, 11, 16384, 65536, 65546, BIG_BYTES - 1, BIG_BYTES + 9, BIG_BYTES + 10};
    struct tt_rig *rig = tt_rig_new();
    unsigned char *big = make_big(BIG_BYTES);
    (void)state;
    tt_rig_start(rig, TT_REDIS_TCP);
    assert_int_equal(set_big(rig, "big", big, BIG_BYTES, TT_RIG_MS), CACHE_OK);
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "GET", .times = 1, .cut = cuts[i],
                                                            .then = TT_THEN_CLOSE});
        int status = get_big(rig, "big", big, BIG_BYTES, TT_RIG_MS);
        assert_true(status == CACHE_E_UNKNOWN || status == CACHE_E_UNAVAILABLE);
        assert_int_equal(tt_alloc_counts(&rig->host.alloc).live_blocks, 0);
        tt_redis_clear(rig->server);
        tt_assert_soon(get_big(rig, "big", big, BIG_BYTES, TT_RIG_MS) == CACHE_OK);
    }
    assert_true(tt_rig_close(rig));
    free(big);
}

/* FAULTS 13: read, then reset; whether it ran is not known, so it is neither called done nor sent again. */
static void a_write_without_an_answer_is_unknown_and_never_sent_again(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    start_with_values(rig, TT_REDIS_TCP);
    for (int i = 0; i < 2; i++) {
        enum tt_redis_then then = i ? TT_THEN_RESET : TT_THEN_CLOSE;
        tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "SET", .times = 1, .then = then});
        tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "DEL", .times = 1, .then = then});
        tt_redis_forget(rig->server);
        assert_int_equal(tt_rig_set(rig, "a", "new", TT_RIG_MS), CACHE_E_UNKNOWN);
        assert_true(tt_rig_recovers(rig, "b", "value of b"));
        assert_int_equal(tt_redis_count(rig->server, "SET"), 1);
        assert_int_equal(tt_rig_del(rig, "a", TT_RIG_MS), CACHE_E_UNKNOWN);
        assert_true(tt_rig_recovers(rig, "b", "value of b"));
        assert_int_equal(tt_redis_count(rig->server, "DEL"), 1);
    }
    assert_true(tt_rig_close(rig));
}

static void batch_of_three(struct cache_backend_item *it)
{
    static const char *const keys[] = {"x", "y", "z"};
    memset(it, 0, 3 * sizeof(*it));
    for (size_t i = 0; i < 3; i++)
        it[i] = (struct cache_backend_item){.key = text_slice(keys[i]), .data = text_slice(keys[i]), .ttl_ms = TTL_MS};
}

/* FAULTS 13: what was acknowledged before the connection broke stays acknowledged. */
static void in_a_broken_batch_each_element_has_its_own_result(void **state)
{
    struct cache_backend_item it[3];
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    start_with_values(rig, TT_REDIS_UNIX);
    batch_of_three(it);
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "SET", .skip = 1, .times = 1,
                                                        .then = TT_THEN_CLOSE});
    rig->host.ops->set_many(rig->ctx, it, 3, tt_host_in_ms(&rig->host, TT_RIG_MS));
    assert_int_equal(it[0].status, CACHE_OK);
    assert_int_equal(it[1].status, CACHE_E_UNKNOWN);
    assert_int_equal(it[2].status, CACHE_E_UNKNOWN);
    assert_int_equal(tt_redis_count(rig->server, "SET"), 2);
    assert_true(tt_rig_recovers(rig, "x", "x"));
    assert_true(tt_rig_close(rig));
}

/* FAULTS 13 */
static void a_read_whose_connection_breaks_before_the_answer_is_sent_once_more(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    char text[TT_RIG_TEXT];
    (void)state;
    start_with_values(rig, TT_REDIS_TCP);
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "GET", .times = 1, .then = TT_THEN_CLOSE});
    assert_int_equal(tt_rig_get(rig, "a", TT_RIG_MS, text), CACHE_OK);
    assert_string_equal(text, "value of a");
    assert_int_equal(tt_redis_count(rig->server, "GET"), 2);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 13, 1: not for ever, and not in a storm. */
static void a_read_is_sent_at_most_twice(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    char text[TT_RIG_TEXT];
    int64_t start_ms = tt_ran_ms();
    (void)state;
    start_with_values(rig, TT_REDIS_TCP);
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "GET", .then = TT_THEN_CLOSE});
    int status = tt_rig_get(rig, "a", TT_RIG_MS, text);
    assert_true(status == CACHE_E_UNKNOWN || status == CACHE_E_UNAVAILABLE);
    assert_true(tt_redis_count(rig->server, "GET") <= 2);
    assert_true(tt_ran_ms() - start_ms <= TT_RIG_MS + SLACK_MS);
    tt_redis_clear(rig->server);
    assert_true(tt_rig_recovers(rig, "a", "value of a"));
    assert_true(tt_rig_close(rig));
}

/* FAULTS 17: neither reader nor writer notices. When the kernel is late with the news, a writer may have to be told
 * "unknown"; but it writes once at most. */
static void an_idle_connection_that_the_server_closed_is_replaced_unnoticed(void **state)
{
    enum { KICKS = 10 };
    static const enum tt_redis_net nets[] = {TT_REDIS_UNIX, TT_REDIS_TCP};
    (void)state;
    for (size_t net = 0; net < 2; net++) {
        struct tt_rig *rig = tt_rig_new();
        char text[TT_RIG_TEXT];
        unsigned written = 0;
        start_with_values(rig, nets[net]);
        for (int i = 0; i < KICKS; i++) {
            tt_redis_kick(rig->server, i % 2);
            assert_int_equal(tt_rig_get(rig, "a", TT_RIG_MS, text), CACHE_OK);
            assert_string_equal(text, "value of a");
            tt_redis_kick(rig->server, i % 2);
            int status = tt_rig_set(rig, "b", "new", TT_RIG_MS);
            assert_true(status == CACHE_OK || status == CACHE_E_UNKNOWN);
            written += status == CACHE_OK;
        }
        assert_true(written > KICKS / 2);
        assert_true(tt_redis_count(rig->server, "SET") <= KICKS);
        assert_true(tt_rig_recovers(rig, "b", "new"));
        assert_true(tt_rig_stats(rig).reconnects >= KICKS);
        assert_true(tt_rig_close(rig));
    }
}

/* FAULTS 1: gone for a while; back at the same address. */
static void the_backend_reconnects_by_itself(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    char text[TT_RIG_TEXT];
    (void)state;
    start_with_values(rig, TT_REDIS_TCP);
    tt_redis_door(rig->server, TT_DOOR_SHUT);
    tt_redis_kick(rig->server, true);
    int64_t start_ms = tt_ran_ms();
    assert_true(tt_rig_get(rig, "a", 200, text) < 0);
    assert_true(tt_ran_ms() - start_ms <= 200 + SLACK_MS);
    assert_true(tt_host_await_health(&rig->host, CACHE_BACKEND_DOWN));
    assert_int_equal(tt_rig_set(rig, "a", "lost", 200), CACHE_E_UNAVAILABLE);
    tt_redis_door(rig->server, TT_DOOR_OPEN);
    assert_true(tt_host_await_health(&rig->host, CACHE_BACKEND_UP)); /* without a call that would ask for it */
    assert_true(tt_rig_recovers(rig, "a", "value of a"));
    assert_true(tt_rig_stats(rig).reconnects >= 1);
    assert_true(tt_rig_close(rig));
}

/* ---- hangs and drips ---- */

/* FAULTS 11: connecting to it still works, so only deadlines tell. */
static void a_hung_server_costs_each_call_its_deadline(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    char text[TT_RIG_TEXT];
    (void)state;
    start_with_values(rig, TT_REDIS_TCP);
    tt_redis_freeze(rig->server, true);
    int64_t start_ms = tt_mono_ms();
    assert_int_equal(tt_rig_get(rig, "a", 200, text), CACHE_E_UNKNOWN);
    int64_t took_ms = tt_mono_ms() - start_ms;
    assert_in_range(took_ms, 199, 200 + SLACK_MS);
    assert_true(tt_rig_stats(rig).err_timeout > 0);
    for (int i = 0; i < 5; i++) {
        start_ms = tt_mono_ms();
        assert_true(tt_rig_set(rig, "a", "late", 50) < 0);
        assert_true(tt_mono_ms() - start_ms <= 50 + SLACK_MS);
    }
    tt_redis_freeze(rig->server, false);
    assert_true(tt_rig_recovers(rig, "b", "value of b"));
    assert_int_equal(tt_redis_seen(rig->server).malformed, 0);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 12: each byte comes in time, all of them do not. */
static void a_dripping_answer_does_not_move_the_deadline(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    char text[TT_RIG_TEXT];
    (void)state;
    start_with_values(rig, TT_REDIS_TCP);
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "GET", .times = 1, .drip_ms = 150});
    int64_t start_ms = tt_mono_ms();
    assert_int_equal(tt_rig_get(rig, "a", 200, text), CACHE_E_UNKNOWN);
    int64_t took_ms = tt_mono_ms() - start_ms;
    assert_in_range(took_ms, 199, 200 + SLACK_MS);
    assert_true(tt_rig_recovers(rig, "b", "value of b"));
    assert_true(tt_rig_close(rig));
}

/* FAULTS 12: slow, but in time. */
static void a_dripping_answer_that_is_in_time_is_taken(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    char text[TT_RIG_TEXT];
    (void)state;
    start_with_values(rig, TT_REDIS_UNIX);
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.drip_ms = 2});
    assert_int_equal(tt_rig_get(rig, "a", TT_RIG_MS, text), CACHE_OK);
    assert_string_equal(text, "value of a");
    assert_int_equal(tt_rig_set(rig, "a", "dripped", TT_RIG_MS), CACHE_OK);
    assert_true(tt_rig_recovers(rig, "a", "dripped"));
    assert_true(tt_rig_close(rig));
}

/* ---- partial writes ---- */

/* FAULTS 14 */
static void a_write_in_small_pieces_arrives_whole(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    unsigned char *big = make_big(BIG_BYTES);
    (void)state;
    rig->server = tt_redis_start(TT_REDIS_TCP);
    tt_redis_receive_buffer(rig->server, 1);
    tt_redis_read_at_most(rig->server, 1500);
    tt_rig_open(rig, tt_redis_url(rig->server));
    assert_int_equal(set_big(rig, "big", big, BIG_BYTES, 4 * TT_RIG_MS), CACHE_OK);
    tt_redis_read_at_most(rig->server, SIZE_MAX);
    assert_int_equal(get_big(rig, "big", big, BIG_BYTES, TT_RIG_MS), CACHE_OK);
    assert_int_equal(tt_redis_seen(rig->server).malformed, 0);
    assert_int_equal(tt_redis_seen(rig->server).connections, 1);
    assert_true(tt_rig_close(rig));
    free(big);
}

/* FAULTS 14: half a command, then the deadline: no other command may follow it on that connection. */
static void half_a_command_is_never_followed_by_another(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    unsigned char *big = make_big(8 * BIG_BYTES);
    char text[TT_RIG_TEXT];
    (void)state;
    rig->server = tt_redis_start(TT_REDIS_TCP);
    tt_redis_receive_buffer(rig->server, 4096);
    tt_rig_open(rig, tt_redis_url(rig->server));
    assert_int_equal(tt_rig_set(rig, "a", "value of a", TT_RIG_MS), CACHE_OK);
    tt_redis_read_at_most(rig->server, 0);
    assert_int_equal(set_big(rig, "big", big, 8 * BIG_BYTES, 1000), CACHE_E_UNKNOWN);
    int status = tt_rig_get(rig, "a", 100, text);
    assert_true(status < 0);
    tt_redis_read_at_most(rig->server, SIZE_MAX);
    assert_true(tt_rig_recovers(rig, "a", "value of a"));
    tt_assert_soon(tt_redis_seen(rig->server).torn == 1);
    assert_int_equal(tt_redis_seen(rig->server).malformed, 0);
    assert_int_equal(tt_redis_count(rig->server, "SET"), 1);
    assert_true(tt_rig_close(rig));
    free(big);
}

enum { WRITERS = 8, WRITES = 6, WRITE_BYTES = 200000 };

struct writers {
    struct tt_rig *rig;
    const unsigned char *big;
};

static int write_and_read_back(void *arg, unsigned index)
{
    struct writers *w = arg;
    int failures = 0;
    char key[16];
    for (unsigned i = 0; i < WRITES; i++) {
        size_t n = WRITE_BYTES - index * 1000 - i;
        snprintf(key, sizeof(key), "w%u", index);
        TT_CHECK(failures, set_big(w->rig, key, w->big + index, n, 4 * TT_RIG_MS) == CACHE_OK);
        TT_CHECK(failures, get_big(w->rig, key, w->big + index, n, 4 * TT_RIG_MS) == CACHE_OK);
    }
    return failures;
}

/* FAULTS 14: both directions are full at the same time. */
static void many_large_writes_and_reads_on_one_connection_do_not_lock_up(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    unsigned char *big = make_big(BIG_BYTES);
    (void)state;
    rig->server = tt_redis_start(TT_REDIS_TCP);
    tt_redis_receive_buffer(rig->server, 4096);
    tt_rig_open(rig, tt_redis_url(rig->server));
    struct writers w = {rig, big};
    assert_int_equal(tt_crew_join(tt_crew_start(WRITERS, write_and_read_back, &w)), 0);
    assert_int_equal(tt_redis_seen(rig->server).malformed, 0);
    assert_int_equal(tt_redis_seen(rig->server).connections, 1);
    assert_true(tt_rig_close(rig));
    free(big);
}

/* ---- the process around it ---- */

static _Atomic unsigned alarms, pipes;

static void on_signal(int number)
{
    if (number == SIGPIPE)
        atomic_fetch_add(&pipes, 1);
    else
        atomic_fetch_add(&alarms, 1);
}

static void handle(int number)
{
    struct sigaction sa = {.sa_handler = on_signal}; /* no SA_RESTART: every system call is interrupted */
    assert_int_equal(sigaction(number, &sa, NULL), 0);
}

static void set_storm(int interval_us)
{
    struct itimerval t = {{0, interval_us}, {0, interval_us}};
    assert_int_equal(setitimer(ITIMER_REAL, &t, NULL), 0);
}

/* FAULTS 34 */
static void a_storm_of_signals_loses_no_deadline_and_no_answer(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    char text[TT_RIG_TEXT];
    (void)state;
    start_with_values(rig, TT_REDIS_TCP);
    handle(SIGALRM);
    set_storm(1000);
    for (int i = 0; i < 200; i++)
        assert_int_equal(tt_rig_get(rig, i % 2 ? "a" : "b", TT_RIG_MS, text), CACHE_OK);
    tt_redis_kick(rig->server, true);
    assert_true(tt_rig_recovers(rig, "a", "value of a"));
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "GET", .times = 1, .stall = true});
    int64_t start_ms = tt_mono_ms();
    int status = tt_rig_get(rig, "a", 300, text);
    int64_t took_ms = tt_mono_ms() - start_ms;
    set_storm(0);
    assert_int_equal(status, CACHE_E_UNKNOWN);
    assert_in_range(took_ms, 299, 300 + SLACK_MS);
    assert_true(atomic_load(&alarms) > 100);
    tt_redis_release(rig->server);
    assert_true(tt_rig_recovers(rig, "b", "value of b"));
    assert_true(tt_rig_close(rig));
    signal(SIGALRM, SIG_DFL);
}

/* FAULTS 35 */
static void writing_to_a_dead_peer_raises_no_sigpipe(void **state)
{
    static const enum tt_redis_net nets[] = {TT_REDIS_UNIX, TT_REDIS_TCP};
    unsigned char *big = make_big(BIG_BYTES);
    (void)state;
    handle(SIGPIPE);
    for (int i = 0; i < 12; i++) {
        struct tt_rig *rig = tt_rig_new();
        start_with_values(rig, nets[i % 2]);
        if (i % 3 == 0)
            tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "SET", .then = TT_THEN_RESET});
        else
            tt_redis_door(rig->server, i % 3 == 1 ? TT_DOOR_SHUT : TT_DOOR_OPEN);
        tt_redis_kick(rig->server, i % 4 >= 2);
        (void)set_big(rig, "big", big, BIG_BYTES, 200);
        (void)tt_rig_set(rig, "a", "new", 200);
        assert_true(tt_rig_close(rig));
    }
    assert_int_equal(atomic_load(&pipes), 0);
    signal(SIGPIPE, SIG_DFL);
    free(big);
}

static unsigned count_fds_that_survive_exec(void)
{
    unsigned n = 0;
    for (int fd = 3; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFD);
        n += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    return n;
}

/* FAULTS 37 */
static void no_descriptor_outlives_exec_or_close(void **state)
{
    unsigned inherited = count_fds_that_survive_exec(), open_before = tt_count_fds();
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    start_with_values(rig, TT_REDIS_TCP);
    assert_int_equal(count_fds_that_survive_exec(), inherited);
    tt_redis_kick(rig->server, false);
    assert_true(tt_rig_recovers(rig, "a", "value of a"));
    assert_int_equal(count_fds_that_survive_exec(), inherited);
    assert_true(tt_rig_close(rig));
    assert_int_equal(tt_count_fds(), open_before);
}

/* FAULTS 33: the child drops its copies of the sockets and says nothing on them. */
static void a_forked_child_harms_its_parent_in_no_way(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    char text[TT_RIG_TEXT];
    int child_status;
    (void)state;
    start_with_values(rig, TT_REDIS_TCP);
    pid_t child = fork();
    if (child == 0) {
        unsigned before = tt_count_fds();
        rig->host.ops->forked(rig->ctx);
        _exit(tt_count_fds() == before - 1 ? 0 : 1);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &child_status, 0), child);
    assert_true(WIFEXITED(child_status) && WEXITSTATUS(child_status) == 0);
    assert_int_equal(tt_rig_get(rig, "a", TT_RIG_MS, text), CACHE_OK);
    assert_string_equal(text, "value of a");
    assert_int_equal(tt_redis_seen(rig->server).connections, 1);
    assert_true(tt_rig_close(rig));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_cut_anywhere_is_no_answer),
        cmocka_unit_test(a_large_answer_cut_in_the_middle_leaves_nothing_behind),
        cmocka_unit_test(a_write_without_an_answer_is_unknown_and_never_sent_again),
        cmocka_unit_test(in_a_broken_batch_each_element_has_its_own_result),
        cmocka_unit_test(a_read_whose_connection_breaks_before_the_answer_is_sent_once_more),
        cmocka_unit_test(a_read_is_sent_at_most_twice),
        cmocka_unit_test(an_idle_connection_that_the_server_closed_is_replaced_unnoticed),
        cmocka_unit_test(the_backend_reconnects_by_itself),
        cmocka_unit_test(a_hung_server_costs_each_call_its_deadline),
        cmocka_unit_test(a_dripping_answer_does_not_move_the_deadline),
        cmocka_unit_test(a_dripping_answer_that_is_in_time_is_taken),
        cmocka_unit_test(a_write_in_small_pieces_arrives_whole),
        cmocka_unit_test(half_a_command_is_never_followed_by_another),
        cmocka_unit_test(many_large_writes_and_reads_on_one_connection_do_not_lock_up),
        cmocka_unit_test(a_storm_of_signals_loses_no_deadline_and_no_answer),
        cmocka_unit_test(writing_to_a_dead_peer_raises_no_sigpipe),
        cmocka_unit_test(no_descriptor_outlives_exec_or_close),
        cmocka_unit_test(a_forked_child_harms_its_parent_in_no_way),
    };
    return cmocka_run_group_tests_name("redis: transport", tests, NULL, NULL);
}
