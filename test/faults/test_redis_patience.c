/* Who gives up on a shared connection, and what that costs the others: nothing, unless the server owes its answers for
 * too long or nothing can be written any more; and what was given up never overtakes a deletion. Case numbers are those
 * of docs/faults.md. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake/tt_rig.h"
#include "fake/tt_util.h"
#include "tier/redis/link.h"
#include "tiercache.h"

enum { ROUNDS = 20, READERS = 4, OWED_MS = 100, LARGE = 1 << 20 };

static const char *const names[READERS] = {"zero", "one", "two", "three"};

static struct tt_rig *start_with_names(void)
{
    struct tt_rig *rig = tt_rig_new();
    tt_rig_start(rig, TT_REDIS_UNIX);
    for (unsigned i = 0; i < READERS; i++)
        assert_int_equal(tt_rig_set(rig, names[i], names[i], TT_RIG_MS), CACHE_OK);
    return rig;
}

struct reader {
    struct tt_rig *rig;
    int64_t ms;
    _Atomic int status; /* of the last one */
    _Atomic int64_t took_ms;
};

static int read_name(void *arg, unsigned index)
{
    struct reader *r = arg;
    char text[TT_RIG_TEXT] = "";
    int64_t began_ms = tt_mono_ms();
    int status = tt_rig_get(r->rig, names[index], r->ms, text);
    atomic_store(&r->took_ms, tt_mono_ms() - began_ms);
    atomic_store(&r->status, status);
    return status != CACHE_OK || strcmp(text, names[index]) != 0;
}

/* ---- impatience ---- */

/* False: the machine was so slow that the server could be taken for hung. */
static bool play_impatience(struct tt_rig *rig)
{
    struct reader patient = {.rig = rig, .ms = 4 * TT_RIG_MS};
    char text[TT_RIG_TEXT];
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "GET", .times = 1, .stall = true});
    int64_t began_ms = tt_mono_ms();
    assert_true(tt_rig_get(rig, "zero", 5, text) < 0);
    if (tt_mono_ms() - began_ms >= OWED_MS) {
        tt_redis_clear(rig->server);
        tt_redis_release(rig->server);
        assert_true(tt_rig_recovers(rig, "zero", "zero"));
        return false;
    }
    struct tt_crew *others = tt_crew_start(READERS, read_name, &patient);
    tt_assert_soon(tt_crew_sleeps(others));
    tt_redis_clear(rig->server);
    tt_redis_release(rig->server);
    assert_int_equal(tt_crew_join(others), 0);
    return true;
}

/* FAULTS 15 */
static void one_callers_impatience_costs_the_others_nothing(void **state)
{
    struct tt_rig *rig = start_with_names();
    unsigned played = 0, slow = 0;
    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++)
        if (play_impatience(rig))
            played++;
        else
            slow++;
    assert_true(played > 0);
    assert_true(tt_redis_seen(rig->server).connections <= 1 + slow);
    assert_true(tt_rig_close(rig));
}

/* The answer came long ago; it is only that nobody was there to read it. */
static void an_answer_that_nobody_has_read_yet_is_not_owed(void **state)
{
    struct tt_rig *rig = start_with_names();
    unsigned slow = 0;
    char text[TT_RIG_TEXT];
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "GET", .times = 1, .stall = true});
        int64_t began_ms = tt_mono_ms();
        assert_true(tt_rig_get(rig, "zero", 5, text) < 0);
        slow += tt_mono_ms() - began_ms >= OWED_MS;
        tt_redis_clear(rig->server);
        tt_redis_release(rig->server);
        tt_assert_soon(tt_mono_ms() - began_ms >= 2 * OWED_MS);
        assert_true(tt_rig_recovers(rig, "one", "one"));
    }
    assert_true(tt_redis_seen(rig->server).connections <= 1 + slow);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 11: an answer that is owed for too long is a sign of worse. */
static void a_server_that_owes_an_answer_for_too_long_is_left(void **state)
{
    struct tt_rig *rig = start_with_names();
    char text[TT_RIG_TEXT];
    (void)state;
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "GET", .times = 1, .stall = true});
    int64_t began_ms = tt_mono_ms();
    do /* by callers none of whom waits for so long himself */
        assert_true(tt_rig_get(rig, "one", 30, text) < 0 || tt_mono_ms() - began_ms >= OWED_MS);
    while (tt_mono_ms() - began_ms < OWED_MS);
    assert_true(tt_rig_recovers(rig, "one", "one")); /* with the first answer still stalled */
    assert_true(tt_redis_seen(rig->server).connections >= 2);
    assert_true(tt_rig_close(rig));
}

/* ---- behind half a command ---- */

static int set_bytes(struct tt_rig *rig, const char *key, const void *data, size_t len, int64_t ms)
{
    return rig->host.ops->set(rig->ctx, (struct cache_slice){key, strlen(key)}, (struct cache_slice){data, len}, 600000,
                              tt_host_in_ms(&rig->host, ms));
}

struct writer {
    struct tt_rig *rig;
    _Atomic bool gave_up;
    _Atomic int status;
};

static int gives_up_a_large_write(void *arg, unsigned index)
{
    struct writer *w = arg;
    void *large = tt_xcalloc(LARGE);
    atomic_store(&w->status, set_bytes(w->rig, "large", large, LARGE, 60));
    (void)index;
    free(large);
    atomic_store(&w->gave_up, true);
    return 0;
}

/* True: the reader was behind the writer when that left, and was answered by the next connection. */
static bool play_half_a_command(void)
{
    struct tt_rig *rig = start_with_names();
    struct writer w = {.rig = rig};
    struct reader r = {.rig = rig, .ms = 10 * TT_RIG_MS};
    tt_redis_read_at_most(rig->server, 0);
    uint64_t sent_before = tt_rig_stats(rig).bytes_sent;
    struct tt_crew *writer = tt_crew_start(1, gives_up_a_large_write, &w);
    tt_assert_soon(tt_rig_stats(rig).bytes_sent > sent_before || atomic_load(&w.gave_up));
    struct tt_crew *reader = tt_crew_start(1, read_name, &r);
    tt_assert_soon(tt_crew_sleeps(reader) || atomic_load(&w.gave_up));
    bool behind = !atomic_load(&w.gave_up);
    tt_crew_join(writer);
    behind = behind && atomic_load(&w.status) == CACHE_E_UNKNOWN; /* not so slow that it never began */
    tt_redis_read_at_most(rig->server, SIZE_MAX);
    tt_crew_join(reader);
    int status = atomic_load(&r.status);
    assert_true(status == CACHE_OK || status == CACHE_E_UNAVAILABLE); /* the latter if the server seemed hung */
    assert_true(atomic_load(&r.took_ms) < TT_RIG_MS);                 /* of ten times that */
    assert_true(tt_rig_close(rig));
    return behind && status == CACHE_OK;
}

/* FAULTS 14 */
static void who_waits_behind_half_a_command_goes_on_on_the_next_connection(void **state)
{
    unsigned played = 0;
    (void)state;
    for (unsigned i = 0; i < ROUNDS && played < 3; i++)
        played += play_half_a_command();
    assert_true(played > 0);
}

/* ---- a SET that may still run ---- */

struct doubt {
    struct tt_rig *rig;
    int64_t ms;
    _Atomic bool gave_up;
    struct reader holds;    /* keeps the connection open */
    struct tt_crew *holder;
};

static int gives_up_a_set(void *arg, unsigned index)
{
    struct doubt *d = arg;
    (void)index;
    int status = tt_rig_set(d->rig, "late", "1", d->ms);
    atomic_store(&d->gave_up, true);
    return status != CACHE_E_UNKNOWN;
}

/* A SET is given up on a connection that somebody else still waits on; there is a second one by then. False: the
 * machine was so slow that nobody else was there. */
static bool leave_a_set_in_doubt(struct doubt *d, int64_t ms, int64_t holder_ms)
{
    struct tt_rig *rig = start_with_names();
    *d = (struct doubt){.rig = rig, .ms = ms, .holds = {.rig = rig, .ms = holder_ms}};
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "SET", .times = 1, .stall = true});
    struct tt_crew *setter = tt_crew_start(1, gives_up_a_set, d);
    tt_assert_soon(tt_redis_stalled(rig->server) == 1);
    d->holder = tt_crew_start(1, read_name, &d->holds);
    tt_assert_soon(tt_crew_sleeps(d->holder));
    bool in_time = !atomic_load(&d->gave_up);
    assert_int_equal(tt_crew_join(setter), 0);
    if (!in_time) {
        tt_redis_release(rig->server);
        tt_crew_join(d->holder);
        assert_true(tt_rig_close(rig));
        return false;
    }
    assert_true(tt_rig_recovers(rig, "two", "two"));
    assert_int_equal(tt_redis_seen(rig->server).open, 2);
    assert_int_equal(tt_rig_del(rig, "late", TT_RIG_MS), CACHE_E_UNAVAILABLE);
    assert_int_equal(tt_redis_count(rig->server, "DEL"), 0);
    return true;
}

static void begin_with_doubt(struct doubt *d, int64_t holder_ms)
{
    int64_t ms = 2 * OWED_MS;
    while (!leave_a_set_in_doubt(d, ms, holder_ms)) {
        ms *= 2;
        assert_true(ms < TT_SOON_MS);
    }
}

/* FAULTS 15: a deletion that overtook it would be undone. */
static void no_deletion_overtakes_a_set_that_is_still_unanswered(void **state)
{
    struct doubt d;
    (void)state;
    begin_with_doubt(&d, 10 * TT_RIG_MS);
    tt_redis_release(d.rig->server);
    assert_int_equal(tt_crew_join(d.holder), 0);
    tt_assert_soon(tt_rig_del(d.rig, "late", TT_RIG_MS) == CACHE_OK);
    assert_true(tt_rig_close(d.rig));
}

/* FAULTS 15 */
static void when_its_connection_is_closed_a_set_is_in_doubt_no_more(void **state)
{
    struct doubt d;
    (void)state;
    begin_with_doubt(&d, TT_RIG_MS);
    assert_int_equal(tt_crew_join(d.holder), 1); /* at its deadline; the server has not said a word */
    tt_assert_soon(tt_rig_del(d.rig, "late", TT_RIG_MS) == CACHE_OK);
    tt_assert_soon(tt_redis_seen(d.rig->server).open == 1);
    assert_true(tt_rig_close(d.rig));
}

/* Nobody else is on the connection: nothing is worth keeping it for. */
static void a_set_that_was_given_up_alone_closes_its_connection(void **state)
{
    struct tt_rig *rig = start_with_names();
    (void)state;
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "SET", .times = 1, .stall = true});
    assert_int_equal(tt_rig_set(rig, "late", "1", 20), CACHE_E_UNKNOWN);
    tt_assert_soon(tt_rig_del(rig, "late", TT_RIG_MS) == CACHE_OK);
    assert_int_equal(tt_redis_seen(rig->server).connections, 2);
    assert_true(tt_rig_close(rig));
}

static int listen_on_loopback(struct sockaddr_in *at)
{
    socklen_t len = sizeof *at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_int_equal(bind(fd, (struct sockaddr *)at, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
    return fd;
}

/* What the server has not acknowledged would else be sent again and again, long after the deletion. */
static void a_connection_with_doubts_is_reset(void **state)
{
    struct sockaddr_in at;
    struct tc_links links;
    struct tc_link link;
    char x = 'x', got;
    struct iovec iov = {&x, 1};
    (void)state;
    int listener = listen_on_loopback(&at);
    tc_links_init(&links);
    assert_int_equal(tc_link_open(&link, &links, (struct sockaddr *)&at, sizeof at, tt_mono_ms() + TT_RIG_MS), 0);
    int peer = accept(listener, NULL, NULL);
    assert_int_equal(tc_link_send(&link, &iov, 1), 1);
    assert_int_equal(recv(peer, &got, 1, 0), 1);
    tc_link_reset_on_close(&link);
    tc_link_close(&link);
    assert_int_equal(recv(peer, &got, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    close(peer);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_callers_impatience_costs_the_others_nothing),
        cmocka_unit_test(an_answer_that_nobody_has_read_yet_is_not_owed),
        cmocka_unit_test(a_server_that_owes_an_answer_for_too_long_is_left),
        cmocka_unit_test(who_waits_behind_half_a_command_goes_on_on_the_next_connection),
        cmocka_unit_test(no_deletion_overtakes_a_set_that_is_still_unanswered),
        cmocka_unit_test(when_its_connection_is_closed_a_set_is_in_doubt_no_more),
        cmocka_unit_test(a_set_that_was_given_up_alone_closes_its_connection),
        cmocka_unit_test(a_connection_with_doubts_is_reset),
    };
    return cmocka_run_group_tests_name("redis: patience", tests, NULL, NULL);
}
