/* The Redis backend against a real redis-server or valkey-server, which is killed, stopped, filled up and locked. Case
 * numbers are those of docs/faults.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_redis_server.h"
#include "fake/tt_rig.h"
#include "fake/tt_util.h"
#include "tiercache.h"

enum { SLACK_MS = TT_SLACK_MS, REPLY_BYTES = 256, KEYS = 64, READERS = 8, TTL_MS = 600000 };

/* ---- helpers ---- */

static struct tt_redis_server *start(bool tcp, const char *const *args)
{
    struct tt_redis_server *s = tt_redis_server_start(tcp, args);
    if (!s)
        skip();
    return s;
}

static struct tt_rig *open_on(struct tt_redis_server *s, const char *credentials)
{
    struct tt_rig *rig = tt_rig_new();
    char *url = credentials ? tt_redis_server_url_with(s, credentials) : NULL;
    tt_rig_open(rig, url ? url : tt_redis_server_url(s));
    free(url);
    return rig;
}

static struct tt_rig *connect_to(struct tt_redis_server *s)
{
    struct tt_rig *rig = open_on(s, NULL);
    assert_true(tt_host_await_health(&rig->host, CACHE_BACKEND_UP));
    return rig;
}

static void close_both(struct tt_rig *rig, struct tt_redis_server *s)
{
    assert_true(tt_rig_close(rig));
    tt_redis_server_free(s);
}

/* Tells the server something; it must answer with what begins like that. */
static void tell(struct tt_redis_server *s, const char *command, const char *answer)
{
    char reply[REPLY_BYTES] = "";
    if (!tt_redis_server_ask(s, command, reply, sizeof(reply)) || strncmp(reply, answer, strlen(answer)) != 0)
        fail_msg("\"%s\" is answered with \"%s\"", command, reply);
}

static bool set_soon(struct tt_rig *rig, const char *key, const char *text)
{
    int64_t end_ms = tt_mono_ms() + TT_SOON_MS;
    while (tt_rig_set(rig, key, text, TT_RIG_MS) != CACHE_OK) {
        if (!tt_pause(end_ms))
            return false;
    }
    return true;
}

/* ---- killed ---- */

struct load {
    struct tt_rig *rig;
    uint64_t seed;
    _Atomic bool over;
    _Atomic unsigned hits, failures;
};

/* Values are "KEY SOMETHING": a reader can tell whose one is. */
static int read_and_write(void *arg, unsigned index)
{
    struct load *l = arg;
    uint64_t random = l->seed + index;
    int failures = 0;
    while (!atomic_load(&l->over) && !failures) {
        uint64_t r = tt_random(&random);
        char key[32], text[TT_RIG_TEXT];
        int64_t start_ms = tt_ran_ms();
        int status;
        snprintf(key, sizeof(key), "key-%u", (unsigned)(r % KEYS));
        if (r >> 8 & 3) {
            status = tt_rig_get(l->rig, key, 200, text);
            bool own = strncmp(text, key, strlen(key)) == 0 && text[strlen(key)] == ' ';
            TT_CHECK(failures, status != CACHE_OK || own);
            atomic_fetch_add(&l->hits, status == CACHE_OK);
        } else {
            snprintf(text, sizeof(text), "%s %llu", key, (unsigned long long)r);
            status = tt_rig_set(l->rig, key, text, 200);
        }
        atomic_fetch_add(&l->failures, status < 0);
        TT_CHECK(failures, tt_ran_ms() - start_ms <= 200 + SLACK_MS);
    }
    return failures;
}

static void await_hits(struct load *l, unsigned n)
{
    unsigned before = atomic_load(&l->hits);
    tt_assert_soon(atomic_load(&l->hits) >= before + n);
}

static void await_failures(struct load *l)
{
    unsigned before = atomic_load(&l->failures);
    tt_assert_soon(atomic_load(&l->failures) > before);
}

static void under_load(bool tcp, uint32_t connections, void (*hurt)(struct tt_redis_server *s, struct load *l))
{
    struct tt_redis_server *s = start(tcp, NULL);
    struct tt_rig *rig = tt_rig_new();
    struct load l = {.rig = rig, .seed = tt_seed()};
    rig->connections = connections;
    tt_rig_open(rig, tt_redis_server_url(s));
    struct tt_crew *crew = tt_crew_start(READERS, read_and_write, &l);
    await_hits(&l, 500);
    hurt(s, &l);
    await_hits(&l, 500);
    atomic_store(&l.over, true);
    assert_int_equal(tt_crew_join(crew), 0);
    assert_true(tt_rig_stats(rig).reconnects > 0);
    assert_int_equal(tt_rig_stats(rig).err_protocol, 0);
    close_both(rig, s);
}

static void kill_and_restart(struct tt_redis_server *s, struct load *l)
{
    for (int i = 0; i < 3; i++) {
        tt_redis_server_kill(s);
        await_failures(l);
        tt_redis_server_restart(s);
        await_hits(l, 100);
    }
}

/* FAULTS 10, 13 */
static void killed_under_load_it_gives_no_wrong_value_and_recovers(void **state)
{
    (void)state;
    under_load(false, 1, kill_and_restart);
    under_load(true, 2, kill_and_restart);
}

static void stop_and_continue(struct tt_redis_server *s, struct load *l)
{
    for (int i = 0; i < 3; i++) {
        tt_redis_server_stop(s);
        await_failures(l);
        tt_redis_server_cont(s);
        await_hits(l, 100);
    }
}

/* FAULTS 11, 15 */
static void stopped_under_load_it_gives_no_wrong_value_and_recovers(void **state)
{
    (void)state;
    under_load(true, 1, stop_and_continue);
}

static void drop_clients(struct tt_redis_server *s, struct load *l)
{
    for (int i = 0; i < 20; i++) {
        tell(s, "CLIENT KILL TYPE normal", ":");
        await_hits(l, 20);
    }
}

/* FAULTS 13, 17 */
static void closed_under_load_it_gives_no_wrong_value_and_recovers(void **state)
{
    (void)state;
    under_load(true, 2, drop_clients);
}

/* FAULTS 11: connect() to a stopped server succeeds. */
static void a_stopped_server_costs_each_call_its_deadline(void **state)
{
    struct tt_redis_server *s = start(true, NULL);
    struct tt_rig *rig = connect_to(s);
    char text[TT_RIG_TEXT];
    (void)state;
    assert_int_equal(tt_rig_set(rig, "k", "v", TT_RIG_MS), CACHE_OK);
    tt_redis_server_stop(s);
    for (int i = 0; i < 4; i++) {
        int64_t start_ms = tt_ran_ms();
        assert_true(tt_rig_get(rig, "k", 100, text) < 0);
        assert_true(tt_ran_ms() - start_ms <= 100 + SLACK_MS);
    }
    tt_redis_server_cont(s);
    assert_true(tt_rig_recovers(rig, "k", "v"));
    close_both(rig, s);
}

/* FAULTS 1 */
static void a_restarted_server_is_found_again_without_being_asked_for(void **state)
{
    struct tt_redis_server *s = start(true, NULL);
    struct tt_rig *rig = connect_to(s);
    (void)state;
    assert_int_equal(tt_rig_set(rig, "k", "v", TT_RIG_MS), CACHE_OK);
    tt_redis_server_kill(s);
    assert_true(tt_rig_set(rig, "k", "v", 100) < 0);
    assert_true(tt_host_await_health(&rig->host, CACHE_BACKEND_DOWN));
    tt_redis_server_restart(s);
    assert_true(tt_host_await_health(&rig->host, CACHE_BACKEND_UP));
    assert_true(set_soon(rig, "k", "new"));
    assert_true(tt_rig_recovers(rig, "k", "new"));
    close_both(rig, s);
}

/* FAULTS 17: the connection is long gone when the next call comes. */
static void a_connection_closed_while_idle_costs_nothing(void **state)
{
    struct tt_redis_server *s = start(true, NULL);
    struct tt_rig *rig = connect_to(s);
    char text[TT_RIG_TEXT];
    (void)state;
    assert_int_equal(tt_rig_set(rig, "k", "v", TT_RIG_MS), CACHE_OK);
    for (int i = 0; i < 10; i++) {
        tell(s, "CLIENT KILL TYPE normal", ":");
        assert_int_equal(tt_rig_get(rig, "k", TT_RIG_MS, text), CACHE_OK);
        assert_string_equal(text, "v");
    }
    close_both(rig, s);
}

/* ---- says no ---- */

/* FAULTS 19: what frees memory is still done. */
static void out_of_memory_refuses_writes_and_nothing_else(void **state)
{
    struct tt_redis_server *s = start(false, NULL);
    struct tt_rig *rig = connect_to(s);
    char text[TT_RIG_TEXT];
    (void)state;
    assert_int_equal(tt_rig_set(rig, "k", "v", TT_RIG_MS), CACHE_OK);
    tell(s, "CONFIG SET maxmemory 1", "+OK");
    assert_int_equal(tt_rig_set(rig, "k", "new", TT_RIG_MS), CACHE_E_REFUSED);
    assert_int_equal(tt_rig_stats(rig).err_oom, 1);
    assert_int_equal(tt_rig_get(rig, "k", TT_RIG_MS, text), CACHE_OK);
    assert_string_equal(text, "v");
    assert_int_equal(tt_rig_del(rig, "k", TT_RIG_MS), CACHE_OK);
    assert_int_equal(tt_rig_get(rig, "k", TT_RIG_MS, text), CACHE_MISS);
    tell(s, "CONFIG SET maxmemory 0", "+OK");
    assert_int_equal(tt_rig_set(rig, "k", "again", TT_RIG_MS), CACHE_OK);
    assert_int_equal(tt_rig_stats(rig).connects, 1);
    close_both(rig, s);
}

/* FAULTS 20 */
static void a_replica_refuses_writes_and_is_read(void **state)
{
    struct tt_redis_server *s = start(false, NULL);
    struct tt_rig *rig = connect_to(s);
    char text[TT_RIG_TEXT];
    (void)state;
    assert_int_equal(tt_rig_set(rig, "k", "v", TT_RIG_MS), CACHE_OK);
    tell(s, "REPLICAOF 127.0.0.1 1", "+OK");
    assert_int_equal(tt_rig_set(rig, "k", "new", TT_RIG_MS), CACHE_E_REFUSED);
    assert_int_equal(tt_rig_del(rig, "k", TT_RIG_MS), CACHE_E_REFUSED);
    assert_int_equal(tt_rig_stats(rig).err_readonly, 2);
    assert_int_equal(tt_rig_get(rig, "k", TT_RIG_MS, text), CACHE_OK);
    tell(s, "CONFIG SET replica-serve-stale-data no", "+OK");
    assert_int_equal(tt_rig_get(rig, "k", TT_RIG_MS, text), CACHE_E_REFUSED);
    assert_true(tt_rig_stats(rig).err_loading > 0);
    tell(s, "REPLICAOF NO ONE", "+OK");
    assert_int_equal(tt_rig_set(rig, "k", "new", TT_RIG_MS), CACHE_OK);
    close_both(rig, s);
}

static int run_endless_script(void *arg, unsigned index)
{
    char reply[REPLY_BYTES];
    (void)index;
    (void)tt_redis_server_ask(arg, "EVAL \"while true do end\" 0", reply, sizeof(reply));
    return 0;
}

/* FAULTS 22 */
static void a_server_busy_with_a_script_is_told_from_a_dead_one(void **state)
{
    static const char *const args[] = {"--lua-time-limit", "20", NULL};
    struct tt_redis_server *s = start(false, args);
    struct tt_rig *rig = connect_to(s);
    char text[TT_RIG_TEXT];
    (void)state;
    assert_int_equal(tt_rig_set(rig, "k", "v", TT_RIG_MS), CACHE_OK);
    struct tt_crew *script = tt_crew_start(1, run_endless_script, s);
    tt_assert_soon(tt_rig_get(rig, "k", TT_RIG_MS, text) == CACHE_E_REFUSED);
    assert_true(tt_rig_stats(rig).err_busy > 0);
    assert_int_equal(tt_rig_del(rig, "k", TT_RIG_MS), CACHE_E_REFUSED);
    tell(s, "SCRIPT KILL", "+OK");
    tt_crew_join(script);
    assert_true(tt_rig_recovers(rig, "k", "v"));
    close_both(rig, s);
}

/* FAULTS 24 */
static void a_foreign_type_under_our_name_is_a_miss(void **state)
{
    struct tt_redis_server *s = start(false, NULL);
    struct tt_rig *rig = connect_to(s);
    char text[TT_RIG_TEXT], keys[REPLY_BYTES], command[REPLY_BYTES];
    (void)state;
    assert_int_equal(tt_rig_set(rig, "k", "v", TT_RIG_MS), CACHE_OK);
    assert_true(tt_redis_server_ask(s, "RANDOMKEY", keys, sizeof(keys)));
    char *name = strchr(keys, '\n') + 1;
    name[strcspn(name, "\r")] = '\0';
    snprintf(command, sizeof(command), "DEL \"%.100s\"", name);
    tell(s, command, ":1");
    snprintf(command, sizeof(command), "LPUSH \"%.100s\" 1", name);
    tell(s, command, ":1");
    assert_int_equal(tt_rig_get(rig, "k", TT_RIG_MS, text), CACHE_MISS);
    assert_int_equal(tt_rig_stats(rig).err_wrongtype, 1);
    close_both(rig, s);
}

/* ---- asks who we are ---- */

static void assert_kept_out(struct tt_redis_server *s, const char *credentials, const char *secret)
{
    struct tt_rig *rig = open_on(s, credentials);
    char text[TT_REPORT_BYTES], got[TT_RIG_TEXT];
    tt_assert_soon(tt_host_failure(&rig->host, text) != 0);
    assert_int_equal(tt_host_failure(&rig->host, text), CACHE_E_AUTH);
    assert_true(!secret || !strstr(text, secret));
    assert_int_equal(tt_rig_get(rig, "k", 100, got), CACHE_E_UNAVAILABLE);
    assert_true(tt_rig_stats(rig).err_auth > 0);
    assert_true(tt_rig_close(rig));
}

static void assert_let_in(struct tt_redis_server *s, const char *credentials)
{
    struct tt_rig *rig = open_on(s, credentials);
    assert_true(tt_host_await_health(&rig->host, CACHE_BACKEND_UP));
    assert_int_equal(tt_rig_set(rig, "k", "v", TT_RIG_MS), CACHE_OK);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 5 */
static void a_password_is_needed_and_enough(void **state)
{
    static const char *const args[] = {"--requirepass", "s3cret", NULL};
    struct tt_redis_server *s = start(false, args);
    (void)state;
    assert_kept_out(s, NULL, NULL);
    assert_kept_out(s, ":wr0ng", "wr0ng");
    assert_kept_out(s, "nobody:s3cret", "s3cret");
    assert_let_in(s, ":s3cret");
    assert_let_in(s, "default:s3cret");
    tt_redis_server_free(s);
}

/* FAULTS 5: an ACL user with no more rights than the backend needs. */
static void a_user_needs_no_more_rights_than_these(void **state)
{
    struct tt_redis_server *s = start(true, NULL);
    char text[TT_RIG_TEXT];
    (void)state;
    tell(s, "ACL SETUSER app on >s3cret ~* +get +set +del +pttl +ping +select", "+OK");
    tell(s, "ACL SETUSER reader on >s3cret ~* +get +pttl +ping +select", "+OK");
    assert_let_in(s, "app:s3cret");
    assert_kept_out(s, "app:wr0ng", "wr0ng");
    struct tt_rig *rig = open_on(s, "reader:s3cret");
    assert_true(tt_host_await_health(&rig->host, CACHE_BACKEND_UP));
    assert_int_equal(tt_rig_set(rig, "k", "v", TT_RIG_MS), CACHE_E_AUTH);
    assert_int_equal(tt_rig_del(rig, "k", TT_RIG_MS), CACHE_E_AUTH);
    assert_int_equal(tt_rig_stats(rig).err_auth, 2);
    assert_int_equal(tt_rig_get(rig, "k", TT_RIG_MS, text), CACHE_OK);
    close_both(rig, s);
}

/* FAULTS 6 */
static void a_server_with_too_many_clients_is_tried_again(void **state)
{
    struct tt_redis_server *s = start(true, NULL);
    struct tt_rig *first = connect_to(s);
    char text[TT_REPORT_BYTES];
    (void)state;
    assert_int_equal(tt_rig_set(first, "k", "v", TT_RIG_MS), CACHE_OK);
    tell(s, "CONFIG SET maxclients 1", "+OK");
    struct tt_rig *second = open_on(s, NULL);
    tt_assert_soon(tt_host_failure(&second->host, text) != 0);
    assert_int_equal(tt_host_failure(&second->host, text), CACHE_E_REFUSED);
    assert_true(tt_rig_close(first)); /* which makes room */
    assert_true(tt_host_await_health(&second->host, CACHE_BACKEND_UP));
    assert_true(tt_rig_recovers(second, "k", "v"));
    close_both(second, s);
}

/* ---- two processes' backends ---- */

static void two_backends_share_one_server(void **state)
{
    struct tt_redis_server *s = start(false, NULL);
    struct tt_rig *one = connect_to(s), *two = connect_to(s);
    char text[TT_RIG_TEXT];
    (void)state;
    assert_int_equal(tt_rig_set(one, "k", "v", TT_RIG_MS), CACHE_OK);
    assert_true(tt_rig_recovers(two, "k", "v"));
    assert_int_equal(tt_rig_del(two, "k", TT_RIG_MS), CACHE_OK);
    assert_int_equal(tt_rig_get(one, "k", TT_RIG_MS, text), CACHE_MISS);
    tell(s, "FLUSHALL", "+OK");
    assert_int_equal(tt_rig_get(one, "k", TT_RIG_MS, text), CACHE_MISS);
    assert_true(tt_rig_close(one));
    close_both(two, s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_under_load_it_gives_no_wrong_value_and_recovers),
        cmocka_unit_test(stopped_under_load_it_gives_no_wrong_value_and_recovers),
        cmocka_unit_test(closed_under_load_it_gives_no_wrong_value_and_recovers),
        cmocka_unit_test(a_stopped_server_costs_each_call_its_deadline),
        cmocka_unit_test(a_restarted_server_is_found_again_without_being_asked_for),
        cmocka_unit_test(a_connection_closed_while_idle_costs_nothing),
        cmocka_unit_test(out_of_memory_refuses_writes_and_nothing_else),
        cmocka_unit_test(a_replica_refuses_writes_and_is_read),
        cmocka_unit_test(a_server_busy_with_a_script_is_told_from_a_dead_one),
        cmocka_unit_test(a_foreign_type_under_our_name_is_a_miss),
        cmocka_unit_test(a_password_is_needed_and_enough),
        cmocka_unit_test(a_user_needs_no_more_rights_than_these),
        cmocka_unit_test(a_server_with_too_many_clients_is_tried_again),
        cmocka_unit_test(two_backends_share_one_server),
    };
    return cmocka_run_group_tests_name("redis: real server", tests, NULL, NULL);
}
