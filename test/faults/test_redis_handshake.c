/* The Redis backend and servers that cannot be reached, are no Redis, or do not let it in. Case numbers are those of
 * docs/faults.md. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake/tt_rig.h"
#include "fake/tt_util.h"
#include "tiercache.h"

enum {
    SLACK_MS = TT_SLACK_MS,        /* what a loaded machine may add to a deadline */
    HANDSHAKE_BYTES = 14,  /* of a PING alone */
    SLOW_RETRY_MS = 800    /* after what only a person can mend, the next attempt comes no sooner */
};

/* A server that the backend has not been connected to yet. */
static void serve(struct tt_rig *rig, enum tt_redis_net net)
{
    rig->connect_timeout_ms = 300;
    rig->server = tt_redis_start(net);
}

static void open_there(struct tt_rig *rig)
{
    tt_rig_open(rig, tt_redis_url(rig->server));
}

static void open_as(struct tt_rig *rig, const char *credentials)
{
    char *url = tt_redis_url_with(rig->server, credentials);
    tt_rig_open(rig, url);
    free(url);
}

/* A read fails, in time, and is not confused with a miss. */
static void assert_out_of_reach(struct tt_rig *rig)
{
    char text[TT_RIG_TEXT];
    int64_t start_ms = tt_ran_ms();
    int status = tt_rig_get(rig, "k", 200, text);
    assert_true(status == CACHE_E_UNAVAILABLE || status == CACHE_E_TIMEOUT);
    assert_true(tt_ran_ms() - start_ms <= 200 + SLACK_MS);
}

static void assert_reported(struct tt_rig *rig, int status, const char *words)
{
    char text[TT_REPORT_BYTES];
    tt_assert_soon(tt_host_failure(&rig->host, NULL) != 0);
    assert_int_equal(tt_host_failure(&rig->host, text), status);
    if (!strstr(text, words))
        fail_msg("\"%s\" does not say \"%s\"", text, words);
}

static void assert_comes_up(struct tt_rig *rig)
{
    assert_true(tt_host_await_health(&rig->host, CACHE_BACKEND_UP));
    assert_int_equal(tt_rig_set(rig, "k", "v", TT_RIG_MS), CACHE_OK);
    assert_true(tt_rig_recovers(rig, "k", "v"));
}

static void assert_no_data_was_sent(struct tt_rig *rig)
{
    struct tt_redis_seen seen = tt_redis_seen(rig->server);
    assert_int_equal(seen.data, 0);
    assert_int_equal(seen.early, 0);
    assert_int_equal(seen.malformed, 0);
}

/* ---- cannot be reached ---- */

/* FAULTS 1, 3 */
static void a_server_that_refuses_is_tried_until_it_is_there(void **state)
{
    static const enum tt_redis_net nets[] = {TT_REDIS_UNIX, TT_REDIS_TCP};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct tt_rig *rig = tt_rig_new();
        serve(rig, nets[i]);
        tt_redis_door(rig->server, TT_DOOR_SHUT);
        open_there(rig);
        assert_reported(rig, CACHE_E_UNAVAILABLE, "refused");
        assert_out_of_reach(rig);
        assert_true(tt_host_await_health(&rig->host, CACHE_BACKEND_DOWN));
        assert_true(tt_rig_stats(rig).err_connect > 0);
        assert_int_equal(tt_rig_stats(rig).connects, 0);
        tt_redis_door(rig->server, TT_DOOR_OPEN);
        assert_comes_up(rig);
        assert_true(tt_rig_close(rig));
    }
}

/* FAULTS 1 */
static void a_socket_that_is_not_there_is_tried_until_it_is(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    char *path = tt_temp_path(".gone");
    struct tt_buf url = {0};
    (void)state;
    rig->connect_timeout_ms = 300;
    tt_buf_print(&url, "unix://%s", path);
    tt_rig_open(rig, url.data);
    assert_reported(rig, CACHE_E_UNAVAILABLE, "No such file");
    assert_out_of_reach(rig);
    assert_true(tt_rig_close(rig));
    tt_buf_free(&url);
    free(path);
}

/* FAULTS 1: the pauses grow, so that a server that comes back is not met by a storm. Five attempts are four pauses of
 * at least 25, 50, 100 and 200 ms. */
static void attempts_become_rarer(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    int64_t start_ms = tt_mono_ms();
    (void)state;
    serve(rig, TT_REDIS_TCP);
    tt_redis_door(rig->server, TT_DOOR_SLAM);
    open_there(rig);
    tt_assert_soon(tt_redis_seen(rig->server).connections >= 5);
    assert_true(tt_mono_ms() - start_ms >= 300);
    tt_redis_door(rig->server, TT_DOOR_OPEN);
    assert_comes_up(rig);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 3 */
static void a_server_that_resets_every_connection_is_survived(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    serve(rig, TT_REDIS_TCP);
    tt_redis_door(rig->server, TT_DOOR_RESET);
    open_there(rig);
    tt_assert_soon(tt_redis_seen(rig->server).connections >= 3);
    assert_out_of_reach(rig);
    tt_redis_door(rig->server, TT_DOOR_OPEN);
    assert_comes_up(rig);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 38: the limit is one below the lowest free descriptor, so socket() fails; the server has all that it needs. */
static void a_process_without_descriptors_tries_again(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    struct rlimit old, none;
    (void)state;
    serve(rig, TT_REDIS_UNIX);
    int lowest = dup(STDERR_FILENO);
    assert_true(lowest >= 0 && close(lowest) == 0 && getrlimit(RLIMIT_NOFILE, &old) == 0);
    none = (struct rlimit){(rlim_t)lowest, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    open_there(rig);
    tt_assert_soon(tt_host_failure(&rig->host, NULL) != 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_reported(rig, CACHE_E_UNAVAILABLE, "open files");
    assert_comes_up(rig);
    assert_true(tt_rig_close(rig));
}

/* A listening socket whose queue is full, and which nobody accepts from: TCP's SYN is dropped, a unix connect has to
 * wait. */
static int full_socket(const struct sockaddr *addr, socklen_t len)
{
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, addr, len) == 0 && listen(fd, 0) == 0);
    return fd;
}

enum { FILLERS = 4 };

static void fill(const struct sockaddr *addr, socklen_t len, int *filler)
{
    for (int i = 0; i < FILLERS; i++) {
        filler[i] = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(filler[i] >= 0);
        (void)connect(filler[i], addr, len);
    }
}

static void expect_black_hole(const char *url, int fd, const int *filler)
{
    struct tt_rig *rig = tt_rig_new();
    int64_t start_ms = tt_ran_ms();
    rig->connect_timeout_ms = 200;
    tt_rig_open(rig, url);
    assert_reported(rig, CACHE_E_TIMEOUT, "timed out");
    assert_true(tt_ran_ms() - start_ms <= 200 + SLACK_MS);
    assert_out_of_reach(rig);
    assert_true(tt_rig_close(rig));
    for (int i = 0; i < FILLERS; i++)
        close(filler[i]);
    close(fd);
}

/* FAULTS 3 */
static void a_tcp_black_hole_costs_the_connect_time_out(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr *addr = (struct sockaddr *)&in;
    socklen_t len = sizeof(in);
    char url[64];
    int filler[FILLERS];
    (void)state;
    int fd = full_socket(addr, len);
    assert_int_equal(getsockname(fd, addr, &len), 0);
    fill(addr, len, filler);
    snprintf(url, sizeof(url), "redis://127.0.0.1:%u", (unsigned)ntohs(in.sin_port));
    expect_black_hole(url, fd, filler);
}

/* FAULTS 3 */
static void a_unix_black_hole_costs_the_connect_time_out(void **state)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char *path = tt_temp_path(".full"), url[160];
    int filler[FILLERS];
    (void)state;
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    int fd = full_socket((struct sockaddr *)&un, sizeof(un));
    fill((struct sockaddr *)&un, sizeof(un), filler);
    snprintf(url, sizeof(url), "unix://%s", path);
    expect_black_hole(url, fd, filler);
    free(path);
}

/* FAULTS 3, 11 */
static void a_server_that_never_answers_costs_the_connect_time_out(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    int64_t start_ms = tt_ran_ms();
    (void)state;
    serve(rig, TT_REDIS_TCP);
    tt_redis_freeze(rig->server, true);
    open_there(rig);
    assert_out_of_reach(rig);
    assert_reported(rig, CACHE_E_TIMEOUT, "did not answer in time");
    assert_true(tt_ran_ms() - start_ms <= 300 + 2 * SLACK_MS);
    tt_redis_freeze(rig->server, false);
    assert_comes_up(rig);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 12: five bytes of +PONG at 100 ms each are more than 300 ms together. */
static void a_handshake_that_drips_costs_the_connect_time_out(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    serve(rig, TT_REDIS_TCP);
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "PING", .drip_ms = 100});
    open_there(rig);
    assert_reported(rig, CACHE_E_TIMEOUT, "did not answer in time");
    assert_no_data_was_sent(rig);
    tt_redis_clear(rig->server);
    assert_comes_up(rig);
    assert_true(tt_rig_close(rig));
}

/* ---- is no Redis ---- */

static const struct {
    const char *bytes;
    size_t len;
} strangers[] = {
#define STRANGER(s) {s, sizeof(s) - 1}
    STRANGER("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n400 Bad Request"),
    STRANGER("\x15\x03\x01\x00\x02\x02\x46"), /* a TLS alert: unexpected message */
    STRANGER("ERROR\r\n"),                    /* memcached */
    STRANGER("SSH-2.0-OpenSSH_9.2\r\n"),
    STRANGER("220 mail.example ESMTP\r\n"),
    STRANGER("\0\0\0\0"),
    STRANGER("+OK\r\n"),
    STRANGER("$4\r\nPONG\r\n"),
    STRANGER(":1\r\n"),
    STRANGER("*1\r\n+PONG\r\n"),
    STRANGER("+PONGO\r\n"),
    STRANGER("+PONG\r\n+PONG\r\n"),
#undef STRANGER
};

/* FAULTS 4 */
static void what_is_no_redis_is_told_so_and_gets_no_data(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
        struct tt_rig *rig = tt_rig_new();
        serve(rig, TT_REDIS_TCP);
        tt_redis_greet(rig->server, strangers[i].bytes, strangers[i].len, true, false);
        open_there(rig);
        assert_out_of_reach(rig);
        assert_reported(rig, CACHE_E_PROTOCOL, "not a Redis server");
        assert_false(tt_host_is_up(&rig->host));
        struct tt_redis_seen seen = tt_redis_seen(rig->server);
        assert_true(seen.bytes <= HANDSHAKE_BYTES * (uint64_t)seen.connections);
        assert_true(tt_rig_stats(rig).err_protocol > 0);
        assert_true(tt_rig_close(rig));
    }
}

/* FAULTS 4: a server that answers the handshake itself with such words, so that what it gets can be read. */
static void a_wrong_answer_to_ping_is_no_redis_either(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    serve(rig, TT_REDIS_UNIX);
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "PING", .reply = strangers[0].bytes});
    open_there(rig);
    assert_out_of_reach(rig);
    assert_reported(rig, CACHE_E_PROTOCOL, "not a Redis server");
    assert_no_data_was_sent(rig);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 4, 5 */
static void a_wrong_server_is_tried_again_slowly(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    int64_t start_ms = tt_mono_ms();
    (void)state;
    serve(rig, TT_REDIS_TCP);
    tt_redis_greet(rig->server, "ERROR\r\n", 7, true, false);
    open_there(rig);
    tt_assert_soon(tt_host_failure(&rig->host, NULL) == CACHE_E_PROTOCOL);
    tt_redis_greet(rig->server, NULL, 0, false, false);
    assert_comes_up(rig);
    assert_true(tt_mono_ms() - start_ms >= SLOW_RETRY_MS);
    assert_int_equal(tt_redis_seen(rig->server).connections, 2);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 4 */
static void no_data_is_sent_before_the_handshake_is_answered(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    serve(rig, TT_REDIS_UNIX);
    rig->connect_timeout_ms = 3000;
    tt_redis_require(rig->server, NULL, "secret");
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "PING", .stall = true});
    open_as(rig, ":secret");
    tt_assert_soon(tt_redis_stalled(rig->server) == 1);
    assert_out_of_reach(rig);
    assert_no_data_was_sent(rig);
    tt_redis_clear(rig->server);
    tt_redis_release(rig->server);
    assert_comes_up(rig);
    assert_int_equal(tt_redis_seen(rig->server).early, 0);
    assert_int_equal(tt_redis_seen(rig->server).connections, 1);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 10 */
static void a_handshake_cut_anywhere_is_tried_again(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < strlen("+PONG\r\n"); cut++) {
        struct tt_rig *rig = tt_rig_new();
        serve(rig, TT_REDIS_UNIX);
        tt_redis_fault(rig->server,
                       &(struct tt_redis_fault){.command = "PING", .times = 1, .cut = cut, .then = TT_THEN_CLOSE});
        open_there(rig);
        assert_comes_up(rig);
        assert_int_equal(tt_redis_seen(rig->server).early, 0);
        assert_int_equal(tt_redis_seen(rig->server).connections, 2);
        assert_true(tt_rig_close(rig));
    }
}

/* ---- does not let it in ---- */

static const char *const wrong_credentials[] = {":wr0ngsecret", "alice:wr0ngsecret", "mallory:s3cret"};

/* FAULTS 5 */
static void wrong_credentials_name_the_user_and_never_the_password(void **state)
{
    static const char *const user[] = {"default", "alice", "mallory"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct tt_rig *rig = tt_rig_new();
        char text[TT_REPORT_BYTES];
        serve(rig, TT_REDIS_UNIX);
        tt_redis_require(rig->server, "alice", "s3cret");
        open_as(rig, wrong_credentials[i]);
        assert_out_of_reach(rig);
        assert_reported(rig, CACHE_E_AUTH, user[i]);
        tt_host_failure(&rig->host, text);
        assert_null(strstr(text, "s3cret"));
        assert_null(strstr(text, "wr0ngsecret"));
        assert_no_data_was_sent(rig);
        assert_true(tt_rig_stats(rig).err_auth > 0);
        assert_true(tt_rig_close(rig));
    }
}

/* FAULTS 5 */
static void a_missing_password_is_told_as_that(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    serve(rig, TT_REDIS_UNIX);
    tt_redis_require(rig->server, NULL, "s3cret");
    open_there(rig);
    assert_out_of_reach(rig);
    assert_reported(rig, CACHE_E_AUTH, "password");
    assert_no_data_was_sent(rig);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 5 */
static void a_ping_that_is_not_permitted_is_an_auth_failure(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    serve(rig, TT_REDIS_UNIX);
    tt_redis_answer_error(rig->server, "PING", "NOPERM this user has no permissions to run the 'ping' command");
    open_there(rig);
    assert_reported(rig, CACHE_E_AUTH, "NOPERM");
    assert_no_data_was_sent(rig);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 5 */
static void refused_credentials_are_tried_again_slowly(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    int64_t start_ms = tt_mono_ms();
    (void)state;
    serve(rig, TT_REDIS_UNIX);
    tt_redis_require(rig->server, NULL, "new");
    open_as(rig, ":old");
    tt_assert_soon(tt_host_failure(&rig->host, NULL) == CACHE_E_AUTH);
    tt_redis_require(rig->server, NULL, "old");
    assert_comes_up(rig);
    assert_true(tt_mono_ms() - start_ms >= SLOW_RETRY_MS);
    assert_int_equal(tt_redis_seen(rig->server).connections, 2);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 5 */
static void right_credentials_are_let_in(void **state)
{
    static const char *const right[] = {"alice:p%40ss%3Aw%2Frd", ":p%40ss%3Aw%2Frd"};
    static const char *const user[] = {"alice", NULL};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct tt_rig *rig = tt_rig_new();
        serve(rig, TT_REDIS_TCP);
        tt_redis_require(rig->server, user[i], "p@ss:w/rd");
        open_as(rig, right[i]);
        assert_comes_up(rig);
        assert_int_equal(tt_redis_seen(rig->server).early, 0);
        assert_true(tt_rig_close(rig));
    }
}

/* FAULTS 6 */
static void too_many_clients_is_tried_again_and_never_taken_for_an_answer(void **state)
{
    static const char words[] = "-ERR max number of clients reached\r\n";
    (void)state;
    for (int with_password = 0; with_password < 2; with_password++) {
        struct tt_rig *rig = tt_rig_new();
        serve(rig, TT_REDIS_TCP);
        tt_redis_require(rig->server, NULL, with_password ? "s3cret" : NULL);
        tt_redis_greet(rig->server, words, sizeof(words) - 1, false, true);
        if (with_password)
            open_as(rig, ":s3cret");
        else
            open_there(rig);
        assert_out_of_reach(rig);
        assert_reported(rig, CACHE_E_REFUSED, "max number of clients");
        assert_no_data_was_sent(rig);
        tt_redis_greet(rig->server, NULL, 0, false, false);
        assert_comes_up(rig);
        assert_true(tt_rig_close(rig));
    }
}

/* FAULTS 7 */
static void a_server_that_is_loading_is_tried_again(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    serve(rig, TT_REDIS_UNIX);
    tt_redis_answer_error(rig->server, "PING", "LOADING Redis is loading the dataset in memory");
    open_there(rig);
    assert_out_of_reach(rig);
    assert_reported(rig, CACHE_E_REFUSED, "LOADING");
    assert_no_data_was_sent(rig);
    assert_true(tt_rig_stats(rig).err_loading > 0);
    tt_redis_clear(rig->server);
    assert_comes_up(rig);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 8: the fake knows neither HELLO nor CLIENT SETINFO nor EVAL, as Redis 5 or a managed one does not. */
static void an_old_server_is_enough(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    tt_rig_start(rig, TT_REDIS_UNIX);
    assert_comes_up(rig);
    struct cache_backend_stats s = tt_rig_stats(rig);
    assert_int_equal(s.err_other, 0);
    assert_int_equal(s.connects, 1);
    assert_int_equal(s.reconnects, 0);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 21, 22: PING itself is refused then, yet reads are served under MISCONF. */
static void a_server_that_cannot_write_its_disk_is_still_used(void **state)
{
    char text[TT_RIG_TEXT];
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    serve(rig, TT_REDIS_UNIX);
    tt_redis_answer_error(rig->server, "PING", "MISCONF Redis is configured to save RDB snapshots");
    open_there(rig);
    assert_true(tt_host_await_health(&rig->host, CACHE_BACKEND_UP));
    assert_int_equal(tt_rig_get(rig, "k", TT_RIG_MS, text), CACHE_MISS);
    assert_true(tt_rig_close(rig));
}

static void the_database_of_the_url_is_selected(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    struct tt_buf url = {0};
    (void)state;
    serve(rig, TT_REDIS_TCP);
    tt_buf_print(&url, "%s/3", tt_redis_url(rig->server));
    tt_rig_open(rig, url.data);
    assert_comes_up(rig);
    assert_int_equal(tt_redis_keys(rig->server), 0); /* of database 0 */
    assert_int_equal(tt_redis_count(rig->server, "SELECT"), 1);
    assert_true(tt_rig_close(rig));
    tt_buf_free(&url);
}

static void a_database_that_does_not_exist_is_reported(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    struct tt_buf url = {0};
    (void)state;
    serve(rig, TT_REDIS_TCP);
    tt_buf_print(&url, "%s/99", tt_redis_url(rig->server));
    tt_rig_open(rig, url.data);
    assert_reported(rig, CACHE_E_REFUSED, "database");
    assert_no_data_was_sent(rig);
    assert_true(tt_rig_close(rig));
    tt_buf_free(&url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_that_refuses_is_tried_until_it_is_there),
        cmocka_unit_test(a_socket_that_is_not_there_is_tried_until_it_is),
        cmocka_unit_test(attempts_become_rarer),
        cmocka_unit_test(a_server_that_resets_every_connection_is_survived),
        cmocka_unit_test(a_process_without_descriptors_tries_again),
        cmocka_unit_test(a_tcp_black_hole_costs_the_connect_time_out),
        cmocka_unit_test(a_unix_black_hole_costs_the_connect_time_out),
        cmocka_unit_test(a_server_that_never_answers_costs_the_connect_time_out),
        cmocka_unit_test(a_handshake_that_drips_costs_the_connect_time_out),
        cmocka_unit_test(what_is_no_redis_is_told_so_and_gets_no_data),
        cmocka_unit_test(a_wrong_answer_to_ping_is_no_redis_either),
        cmocka_unit_test(a_wrong_server_is_tried_again_slowly),
        cmocka_unit_test(no_data_is_sent_before_the_handshake_is_answered),
        cmocka_unit_test(a_handshake_cut_anywhere_is_tried_again),
        cmocka_unit_test(wrong_credentials_name_the_user_and_never_the_password),
        cmocka_unit_test(a_missing_password_is_told_as_that),
        cmocka_unit_test(a_ping_that_is_not_permitted_is_an_auth_failure),
        cmocka_unit_test(refused_credentials_are_tried_again_slowly),
        cmocka_unit_test(right_credentials_are_let_in),
        cmocka_unit_test(too_many_clients_is_tried_again_and_never_taken_for_an_answer),
        cmocka_unit_test(a_server_that_is_loading_is_tried_again),
        cmocka_unit_test(an_old_server_is_enough),
        cmocka_unit_test(a_server_that_cannot_write_its_disk_is_still_used),
        cmocka_unit_test(the_database_of_the_url_is_selected),
        cmocka_unit_test(a_database_that_does_not_exist_is_reported),
    };
    return cmocka_run_group_tests_name("redis: handshake", tests, NULL, NULL);
}
