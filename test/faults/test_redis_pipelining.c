/* Many callers on one connection of the Redis backend: the lead passes on, nobody gets another's answer, and one who
 * gives up harms nobody. Case numbers are those of docs/faults.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_rig.h"
#include "fake/tt_util.h"
#include "tiercache.h"

enum { SLACK_MS = TT_SLACK_MS, KEYS = 64, WAITERS = 63, IMPATIENT_MS = 1000 };

static void key_of(char *key, unsigned i)
{
    snprintf(key, TT_RIG_TEXT, "key:%u", i);
}

static void value_of(char *text, unsigned i)
{
    snprintf(text, TT_RIG_TEXT, "this is the value of key:%u", i);
}

static void start_with_keys(struct tt_rig *rig, enum tt_redis_net net, uint32_t connections)
{
    char key[TT_RIG_TEXT], text[TT_RIG_TEXT];
    rig->connections = connections;
    tt_rig_start(rig, net);
    for (unsigned i = 0; i < KEYS; i++) {
        key_of(key, i);
        value_of(text, i);
        assert_int_equal(tt_rig_set(rig, key, text, TT_RIG_MS), CACHE_OK);
    }
    tt_redis_forget(rig->server);
}

/* Reads key i. Right means: the right value, or a failure if one is allowed. */
static bool reads_right(struct tt_rig *rig, unsigned i, int64_t ms, bool may_fail)
{
    char key[TT_RIG_TEXT], got[TT_RIG_TEXT], want[TT_RIG_TEXT];
    key_of(key, i);
    value_of(want, i);
    int status = tt_rig_get(rig, key, ms, got);
    if (status == CACHE_OK)
        return strcmp(got, want) == 0;
    return may_fail && status < 0;
}

static bool recovers(struct tt_rig *rig, unsigned i)
{
    char key[TT_RIG_TEXT], want[TT_RIG_TEXT];
    key_of(key, i);
    value_of(want, i);
    return tt_rig_recovers(rig, key, want);
}

static void assert_recovers(struct tt_rig *rig)
{
    for (unsigned i = 0; i < KEYS; i += 7)
        assert_true(recovers(rig, i));
}

/* ---- a leader that times out ---- */

struct scene {
    struct tt_rig *rig;
    int64_t impatient_ms; /* the time-out of impatient() */
    _Atomic unsigned begun;
    _Atomic bool gave_up;
    _Atomic int impatient_status;
    _Atomic int64_t impatient_took_ms;
};

static int impatient(void *arg, unsigned index)
{
    struct scene *s = arg;
    char text[TT_RIG_TEXT];
    (void)index;
    int64_t start_ms = tt_mono_ms();
    atomic_store(&s->impatient_status, tt_rig_get(s->rig, "key:63", s->impatient_ms, text));
    atomic_store(&s->impatient_took_ms, tt_mono_ms() - start_ms);
    atomic_store(&s->gave_up, true);
    return 0;
}

static void assert_gave_up_in_time(const struct scene *s)
{
    int64_t took_ms = atomic_load(&s->impatient_took_ms);
    assert_true(atomic_load(&s->impatient_status) < 0);
    assert_in_range(took_ms, s->impatient_ms - 1, s->impatient_ms + SLACK_MS);
}

static int patient(void *arg, unsigned index)
{
    struct scene *s = arg;
    atomic_fetch_add(&s->begun, 1);
    return !reads_right(s->rig, index, 4 * TT_RIG_MS, false);
}

/* The leader's answer is stalled, 63 others queue behind it; the leader goes at its deadline, and the 63 get their own
 * answers from the connection that it left, once they come. False: the machine was so slow that the leader went before
 * the others were there, which shows nothing. */
static bool play_hand_over(enum tt_redis_net net, int64_t leader_ms)
{
    struct tt_rig *rig = tt_rig_new();
    struct scene s = {.rig = rig, .impatient_ms = leader_ms};
    start_with_keys(rig, net, 1);
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "GET", .times = 1, .stall = true});
    struct tt_crew *leader = tt_crew_start(1, impatient, &s);
    tt_assert_soon(tt_redis_stalled(rig->server) == 1);
    struct tt_crew *others = tt_crew_start(WAITERS, patient, &s);
    tt_assert_soon(atomic_load(&s.begun) == WAITERS && tt_crew_sleeps(others));
    bool in_time = !atomic_load(&s.gave_up);
    tt_crew_join(leader);
    tt_redis_release(rig->server);
    int failures = tt_crew_join(others);
    if (in_time) {
        assert_gave_up_in_time(&s);
        assert_int_equal(failures, 0);
        assert_recovers(rig);
        assert_int_equal(tt_redis_seen(rig->server).malformed, 0);
    }
    assert_true(tt_rig_close(rig));
    return in_time;
}

/* FAULTS 15 */
static void a_leader_that_times_out_hands_over_to_the_others(void **state)
{
    static const enum tt_redis_net nets[] = {TT_REDIS_UNIX, TT_REDIS_TCP};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        int64_t leader_ms = IMPATIENT_MS;
        while (!play_hand_over(nets[i], leader_ms)) {
            leader_ms *= 2;
            assert_true(leader_ms < TT_SOON_MS);
        }
    }
}

/* FAULTS 15: one by one, each the leader for a while. */
static int impatient_in_turn(void *arg, unsigned index)
{
    struct scene *s = arg;
    int failures = 0;
    int64_t ms = 50 + 10 * (int64_t)index, start_ms = tt_ran_ms();
    TT_CHECK(failures, reads_right(s->rig, index, ms, true));
    TT_CHECK(failures, tt_ran_ms() - start_ms <= ms + SLACK_MS);
    return failures;
}

static void every_caller_of_a_hung_server_leaves_at_its_own_deadline(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    struct scene s = {.rig = rig};
    (void)state;
    start_with_keys(rig, TT_REDIS_TCP, 1);
    tt_redis_freeze(rig->server, true);
    assert_int_equal(tt_crew_join(tt_crew_start(32, impatient_in_turn, &s)), 0);
    tt_redis_freeze(rig->server, false);
    assert_recovers(rig);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 15: a waiter's deadline is its own, whatever the leader's is. */
static int leads_long(void *arg, unsigned index)
{
    struct scene *s = arg;
    (void)index;
    return !reads_right(s->rig, 0, 4 * TT_RIG_MS, false);
}

static void a_waiter_that_times_out_leaves_the_leader_alone(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    struct scene s = {.rig = rig, .impatient_ms = IMPATIENT_MS};
    (void)state;
    start_with_keys(rig, TT_REDIS_UNIX, 1);
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "GET", .times = 1, .stall = true});
    struct tt_crew *leader = tt_crew_start(1, leads_long, &s);
    tt_assert_soon(tt_redis_stalled(rig->server) == 1);
    assert_int_equal(tt_crew_join(tt_crew_start(1, impatient, &s)), 0);
    assert_gave_up_in_time(&s);
    tt_redis_release(rig->server);
    assert_int_equal(tt_crew_join(leader), 0);
    assert_recovers(rig);
    assert_true(tt_rig_close(rig));
}

/* ---- a writer that gives up in the middle of its command ---- */

enum { LARGE_BYTES = 1 << 20, LEADS_ON_MS = 700 };

static int gives_up_a_large_write(void *arg, unsigned index)
{
    struct scene *s = arg;
    (void)index;
    void *large = tt_xcalloc(LARGE_BYTES);
    int status = s->rig->host.ops->set(s->rig->ctx, (struct cache_slice){"large", 5},
                                       (struct cache_slice){large, LARGE_BYTES}, 600000,
                                       tt_host_in_ms(&s->rig->host, s->impatient_ms));
    free(large);
    atomic_store(&s->impatient_status, status);
    atomic_store(&s->gave_up, true);
    return 0;
}

/* Waits behind the writer, and leads when that has gone; has nothing to hope for on such a connection. */
static int follows(void *arg, unsigned index)
{
    struct scene *s = arg;
    atomic_fetch_add(&s->begun, 1);
    return !reads_right(s->rig, index, s->impatient_ms + LEADS_ON_MS, true);
}

/* False: the machine was so slow that the writer went before the other was there, which shows nothing. */
static bool play_half_written(int64_t writer_ms)
{
    struct tt_rig *rig = tt_rig_new();
    struct scene s = {.rig = rig, .impatient_ms = writer_ms};
    void *data;
    size_t len;
    start_with_keys(rig, TT_REDIS_UNIX, 1);
    tt_redis_read_at_most(rig->server, 0);
    uint64_t sent_before = tt_rig_stats(rig).bytes_sent;
    struct tt_crew *writer = tt_crew_start(1, gives_up_a_large_write, &s);
    tt_assert_soon(tt_rig_stats(rig).bytes_sent > sent_before || atomic_load(&s.gave_up));
    struct tt_crew *follower = tt_crew_start(1, follows, &s);
    tt_assert_soon(atomic_load(&s.begun) == 1 && tt_crew_sleeps(follower));
    bool in_time = !atomic_load(&s.gave_up);
    tt_crew_join(writer);
    tt_redis_read_at_most(rig->server, SIZE_MAX);
    tt_assert_soon(tt_rig_del(rig, "large", TT_RIG_MS) == CACHE_OK);
    int failures = tt_crew_join(follower);
    if (in_time) {
        assert_int_equal(failures, 0);
        assert_int_equal(atomic_load(&s.impatient_status), CACHE_E_UNKNOWN);
        assert_int_equal(tt_redis_count(rig->server, "SET"), 0);
        assert_false(tt_redis_peek(rig->server, "large", 5, &data, &len));
        tt_assert_soon(tt_redis_seen(rig->server).torn == 1);
        assert_int_equal(tt_redis_seen(rig->server).malformed, 0);
        assert_recovers(rig);
    }
    assert_true(tt_rig_close(rig));
    return in_time;
}

/* FAULTS 14, 15: he may have deleted, on a new connection, what the rest of his command would store after all. */
static void who_leads_on_writes_nothing_for_a_caller_that_gave_up(void **state)
{
    int64_t writer_ms = 300;
    (void)state;
    while (!play_half_written(writer_ms)) {
        writer_ms *= 2;
        assert_true(writer_ms < TT_SOON_MS);
    }
}

/* ---- late answers ---- */

/* FAULTS 15 */
static void a_late_answer_is_never_taken_for_anothers(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    unsigned met = 0;
    (void)state;
    start_with_keys(rig, TT_REDIS_TCP, 1);
    for (unsigned i = 0; i + 1 < 20; i++) {
        tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "GET", .times = 1, .stall = true});
        assert_true(reads_right(rig, i, i % 2 ? 20 : 120, true)); /* the connection goes on, or is left as hung */
        tt_redis_clear(rig->server);
        met += tt_redis_stalled(rig->server);
        if (i % 2)
            tt_redis_release(rig->server);
        assert_true(recovers(rig, i + 1));
        tt_redis_release(rig->server);
        assert_true(recovers(rig, i));
        assert_true(recovers(rig, i + 1));
    }
    assert_true(met > 0);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 15: a SET that timed out may still run; it is not sent again, and its +OK is nobody else's. */
static void a_late_ok_is_never_taken_for_anothers(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    start_with_keys(rig, TT_REDIS_UNIX, 1);
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "SET", .times = 1, .stall = true});
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "SET", .times = 1, .not_run = true,
                                                        .reply = "-OOM command not allowed\r\n"});
    assert_int_equal(tt_rig_set(rig, "late", "1", 50), CACHE_E_UNKNOWN);
    tt_redis_release(rig->server);
    assert_true(tt_host_await_health(&rig->host, CACHE_BACKEND_UP));
    assert_int_equal(tt_rig_set(rig, "late", "2", TT_RIG_MS), CACHE_E_REFUSED);
    assert_int_equal(tt_redis_count(rig->server, "SET"), 2);
    assert_true(tt_rig_close(rig));
}

/* ---- many threads ---- */

struct storm {
    struct tt_rig *rig;
    uint64_t seed;
    _Atomic bool over;
    _Atomic unsigned answered;
};

enum { STORM_READERS = 8, STORM_MS = 1200, READS = 400 };

static int read_at_random(void *arg, unsigned index)
{
    struct storm *s = arg;
    uint64_t random = s->seed + index;
    int failures = 0;
    while (!atomic_load(&s->over) && !failures) {
        uint64_t r = tt_random(&random);
        int64_t ms = r >> 8 & 1 ? TT_RIG_MS : (int64_t)(r >> 16) % 20;
        char key[TT_RIG_TEXT], got[TT_RIG_TEXT], want[TT_RIG_TEXT];
        unsigned i = (unsigned)(r % KEYS);
        key_of(key, i);
        value_of(want, i);
        int64_t start_ms = tt_ran_ms();
        int status = tt_rig_get(s->rig, key, ms, got);
        TT_CHECK(failures, tt_ran_ms() - start_ms <= ms + SLACK_MS);
        TT_CHECK(failures, status <= 0); /* never a miss: every key is there */
        TT_CHECK(failures, status != CACHE_OK || strcmp(got, want) == 0);
        atomic_fetch_add(&s->answered, status == CACHE_OK);
    }
    return failures;
}

/* One random fault after another; each is over when it was met or the next one comes. */
static void make_trouble(struct tt_redis *server, uint64_t *random)
{
    uint64_t r = tt_random(random);
    struct tt_redis_fault f = {.command = r & 1 ? "GET" : "PTTL", .skip = (unsigned)(r >> 8) % 30, .times = 1};
    switch (r >> 1 & 7) {
    case 0:
        f.stall = true;
        break;
    case 1:
        f.then = TT_THEN_CLOSE;
        f.cut = (size_t)(r >> 16) % 40;
        break;
    case 2:
        f.then = TT_THEN_RESET;
        f.cut = (size_t)(r >> 16) % 40;
        break;
    case 3:
        f.drip_ms = 1 + (unsigned)(r >> 16) % 5;
        break;
    case 4:
        f.reply = "$5\r\nhelloXX";
        break;
    case 5:
        f.not_run = true;
        f.reply = "-BUSY a script runs\r\n";
        break;
    case 6:
        f.extra = "$35\r\nthis is nobody's value, believe me!\r\n";
        break;
    default:
        tt_redis_kick(server, r >> 16 & 1);
    }
    tt_redis_fault(server, &f);
    int64_t end_ms = tt_mono_ms() + (int64_t)(r >> 24) % 15;
    while (tt_pause(end_ms))
        continue;
    tt_redis_release(server);
    tt_redis_clear(server);
}

static void weather(enum tt_redis_net net, uint32_t connections)
{
    struct tt_rig *rig = tt_rig_new();
    struct storm s = {.rig = rig, .seed = tt_seed()};
    uint64_t random = s.seed ^ 1;
    start_with_keys(rig, net, connections);
    struct tt_crew *readers = tt_crew_start(STORM_READERS, read_at_random, &s);
    int64_t end_ms = tt_mono_ms() + STORM_MS;
    while (tt_mono_ms() < end_ms)
        make_trouble(rig->server, &random);
    unsigned before = atomic_load(&s.answered);
    tt_assert_soon(atomic_load(&s.answered) > before + 100); /* it is well again */
    atomic_store(&s.over, true);
    assert_int_equal(tt_crew_join(readers), 0);
    assert_recovers(rig);
    assert_int_equal(tt_redis_seen(rig->server).malformed, 0);
    assert_int_equal(tt_redis_seen(rig->server).early, 0);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 10, 12, 13, 15, 16, 22 */
static void in_any_weather_no_reader_gets_another_keys_value(void **state)
{
    (void)state;
    weather(TT_REDIS_TCP, 1);
    weather(TT_REDIS_UNIX, 2);
}

static int read_all(void *arg, unsigned index)
{
    struct scene *s = arg;
    int failures = 0;
    for (unsigned i = 0; i < READS; i++)
        TT_CHECK(failures, reads_right(s->rig, (index + i) % KEYS, TT_RIG_MS, false));
    return failures;
}

/* The point of it all: fewer writes than commands. The server takes everything in one go, so it cannot be luck. */
static void callers_share_round_trips(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    struct scene s = {.rig = rig};
    (void)state;
    start_with_keys(rig, TT_REDIS_UNIX, 1);
    struct cache_backend_stats before = tt_rig_stats(rig);
    assert_int_equal(tt_crew_join(tt_crew_start(16, read_all, &s)), 0);
    struct cache_backend_stats after = tt_rig_stats(rig);
    assert_int_equal(after.commands - before.commands, 16 * READS * 2);
    assert_true((after.round_trips - before.round_trips) * 4 < after.commands - before.commands);
    assert_int_equal(tt_redis_seen(rig->server).connections, 1);
    assert_true(tt_rig_close(rig));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leader_that_times_out_hands_over_to_the_others),
        cmocka_unit_test(every_caller_of_a_hung_server_leaves_at_its_own_deadline),
        cmocka_unit_test(a_waiter_that_times_out_leaves_the_leader_alone),
        cmocka_unit_test(who_leads_on_writes_nothing_for_a_caller_that_gave_up),
        cmocka_unit_test(a_late_answer_is_never_taken_for_anothers),
        cmocka_unit_test(a_late_ok_is_never_taken_for_anothers),
        cmocka_unit_test(in_any_weather_no_reader_gets_another_keys_value),
        cmocka_unit_test(callers_share_round_trips),
    };
    return cmocka_run_group_tests_name("redis: pipelining", tests, NULL, NULL);
}
