/* One connection, on one end of a socket pair: the test is the server, and decides which bytes arrive when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tier/redis/conn.h"
#include "tiercache.h"

#define MAX_REPLY_BYTES 200000
#define GET_TEXT "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"

static long live;
static bool no_memory;

static void *host_alloc(void *host, size_t n)
{
    (void)host;
    if (no_memory)
        return NULL;
    live++;
    return malloc(n);
}

static void host_free(void *host, void *p, size_t n)
{
    (void)host;
    (void)n;
    live -= p != NULL;
    free(p);
}

static const struct cache_backend_host host = { .alloc = host_alloc, .free = host_free };

struct fixture {
    struct tc_redis_env env;
    struct tc_conn *c;
    int server;
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof f);
    tc_links_init(&f.env.links);
    f.env.alloc = &tc_alloc_default;
    f.env.host = &host;
    f.env.max_reply_bytes = MAX_REPLY_BYTES;
    int fd[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) != 0)
        return -1;
    f.server = fd[1];
    f.c = tc_conn_new(&f.env, (struct tc_link){ .fd = fd[0], .links = &f.env.links });
    no_memory = false;
    *state = &f;
    return f.c != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (struct tc_call *i = tc_calls_pop(&f->c->flight); i != NULL; i = tc_calls_pop(&f->c->flight))
        tc_call_free(i);
    for (struct tc_call *i = tc_calls_pop(&f->c->ended); i != NULL; i = tc_calls_pop(&f->c->ended))
        tc_call_free(i);
    tc_conn_free(f->c);
    if (f->server >= 0)
        close(f->server);
    return live == 0 ? 0 : -1;
}

/* A call of that kind with n commands "GET k", whatever the kind: only the answers differ. */
static struct tc_call *take(struct fixture *f, enum tc_call_kind kind, size_t n)
{
    struct tc_call *call = tc_call_new(&f->env, kind, n);
    assert_non_null(call);
    for (size_t i = 0; i < n; i++) {
        tc_command_begin(&call->command, 2);
        tc_command_arg_text(&call->command, "GET");
        tc_command_arg_text(&call->command, "k");
    }
    tc_conn_take(f->c, call);
    return call;
}

static void say(struct fixture *f, const char *p, size_t n)
{
    assert_int_equal(send(f->server, p, n, MSG_NOSIGNAL), (ssize_t)n);
}

static void say_text(struct fixture *f, const char *p)
{
    say(f, p, strlen(p));
}

static enum tc_conn_state exchange(struct fixture *f)
{
    return tc_conn_exchange(f->c, tc_mono_ms());
}

static size_t hear(struct fixture *f, char *p, size_t cap)
{
    ssize_t n = recv(f->server, p, cap, MSG_DONTWAIT);
    return n > 0 ? (size_t)n : 0;
}

static void commands_of_several_calls_go_out_in_order(void **state)
{
    struct fixture *f = *state;
    take(f, TC_CALL_GET, 2);
    take(f, TC_CALL_DEL, 1);
    assert_int_equal(exchange(f), TC_CONN_TIMEOUT);
    char heard[200];
    size_t n = hear(f, heard, sizeof heard);
    assert_int_equal(n, 3 * strlen(GET_TEXT));
    assert_memory_equal(heard, GET_TEXT GET_TEXT GET_TEXT, n);
    assert_null(f->c->unsent);
}

static void answers_go_to_their_calls(void **state)
{
    struct fixture *f = *state;
    struct tc_call *get = take(f, TC_CALL_GET, 2), *set = take(f, TC_CALL_SET, 1), *del = take(f, TC_CALL_DEL, 1);
    exchange(f);
    say_text(f, "$3\r\nabc\r\n:1500\r\n+OK\r\n:1\r\n");
    assert_int_equal(exchange(f), TC_CONN_OPEN);
    assert_ptr_equal(tc_calls_pop(&f->c->ended), get);
    assert_ptr_equal(tc_calls_pop(&f->c->ended), set);
    assert_ptr_equal(tc_calls_pop(&f->c->ended), del);
    assert_int_equal(get->results[0].kind, TC_RESULT_BULK);
    assert_memory_equal(get->results[0].data, "abc", 3);
    assert_int_equal(get->results[1].integer, 1500);
    assert_int_equal(set->results[0].kind, TC_RESULT_OK);
    assert_int_equal(del->results[0].integer, 1);
    tc_call_free(get);
    tc_call_free(set);
    tc_call_free(del);
}

static void dripped_answer_is_the_same_answer(void **state)
{
    struct fixture *f = *state;
    struct tc_call *get = take(f, TC_CALL_GET, 2);
    exchange(f);
    static const char answer[] = "$5\r\nh\r\n\0o\r\n:77\r\n";
    for (size_t i = 0; i < sizeof answer - 1; i++) {
        assert_int_equal(f->c->ended.n, 0);
        assert_int_equal(tc_conn_in_reply(f->c), i != 0 && i != 11);
        say(f, answer + i, 1);
        assert_int_equal(exchange(f), TC_CONN_OPEN);
    }
    assert_int_equal(f->c->ended.n, 1);
    assert_memory_equal(get->results[0].data, "h\r\n\0o", 5);
    assert_int_equal(get->results[1].integer, 77);
}

/* Around the size from which values bypass the buffer, in pieces of every kind. */
static void values_of_any_size_arrive_whole(void **state)
{
    struct fixture *f = *state;
    static const size_t sizes[] = { 0, 1, 16383, 16384, 16385, 65535, 65536, 65537, MAX_REPLY_BYTES };
    static const size_t pieces[] = { 7, 4096, 20000, MAX_REPLY_BYTES };
    static char reply[MAX_REPLY_BYTES + 40];
    for (size_t s = 0; s < TC_ARRAY_LEN(sizes); s++) {
        size_t head = (size_t)snprintf(reply, sizeof reply, "$%zu\r\n", sizes[s]);
        for (size_t i = 0; i < sizes[s]; i++)
            reply[head + i] = (char)(i * 7 + s);
        memcpy(reply + head + sizes[s], "\r\n:5\r\n", 6);
        size_t n = head + sizes[s] + 6;
        for (size_t p = sizes[s] > 20000 ? 1 : 0; p < TC_ARRAY_LEN(pieces); p++) {
            struct tc_call *get = take(f, TC_CALL_GET, 2);
            exchange(f);
            hear(f, (char[100]){ 0 }, 100);
            for (size_t at = 0; at < n;) {
                size_t give = n - at < pieces[p] ? n - at : pieces[p];
                ssize_t sent = send(f->server, reply + at, give, MSG_NOSIGNAL | MSG_DONTWAIT);
                assert_true(sent > 0);
                at += (size_t)sent;
                assert_int_equal(exchange(f), TC_CONN_OPEN);
            }
            while (f->c->ended.n == 0)
                assert_int_equal(exchange(f), TC_CONN_OPEN);
            assert_ptr_equal(tc_calls_pop(&f->c->ended), get);
            assert_int_equal(get->results[0].len, sizes[s]);
            if (sizes[s] > 0)
                assert_memory_equal(get->results[0].data, reply + head, sizes[s]);
            tc_call_free(get);
        }
    }
}

static void large_value_without_memory_is_dropped_and_the_rest_stays_in_step(void **state)
{
    struct fixture *f = *state;
    struct tc_call *get = take(f, TC_CALL_GET, 2);
    exchange(f);
    static char big[50000];
    no_memory = true;
    say_text(f, "$50000\r\n");
    say(f, big, sizeof big);
    say_text(f, "\r\n:9\r\n");
    while (f->c->ended.n == 0)
        assert_int_equal(exchange(f), TC_CONN_OPEN);
    assert_int_equal(get->results[0].kind, TC_RESULT_NOMEM);
    assert_int_equal(get->results[1].integer, 9);
}

static void value_for_an_abandoned_call_costs_no_memory(void **state)
{
    struct fixture *f = *state;
    struct tc_call *get = take(f, TC_CALL_GET, 2);
    exchange(f);
    atomic_store(&get->abandoned, true);
    static char big[50000];
    say_text(f, "$50000\r\n");
    say(f, big, sizeof big);
    say_text(f, "\r\n:9\r\n");
    while (f->c->ended.n == 0) {
        assert_int_equal(exchange(f), TC_CONN_OPEN);
        assert_int_equal(live, 0);
    }
}

/* Reads until n calls are answered; a string that is too long must cost nothing on the way. */
static void exchange_until_answered(struct fixture *f, size_t n)
{
    while (f->c->ended.n < n) {
        assert_int_equal(exchange(f), TC_CONN_OPEN);
        if (f->c->in_body)
            assert_int_equal(live, 0);
    }
}

/* FAULTS 52: whoever stored it takes longer values than we do. */
static void too_long_a_string_is_read_past_and_the_next_answer_is_right(void **state)
{
    struct fixture *f = *state;
    static const size_t pieces[] = { 4096, 20000, 65536 };
    static char big[MAX_REPLY_BYTES + 1];
    memset(big, '$', sizeof big);
    for (size_t p = 0; p < TC_ARRAY_LEN(pieces); p++) {
        struct tc_call *too_long = take(f, TC_CALL_GET, 2), *next = take(f, TC_CALL_GET, 2);
        exchange(f);
        hear(f, (char[200]){ 0 }, 200);
        say_text(f, "$200001\r\n");
        for (size_t at = 0; at < sizeof big; at += pieces[p]) {
            say(f, big + at, sizeof big - at < pieces[p] ? sizeof big - at : pieces[p]);
            assert_int_equal(exchange(f), TC_CONN_OPEN);
            assert_int_equal(live, 0);
        }
        say_text(f, "\r\n:9\r\n$3\r\nabc\r\n:7\r\n");
        exchange_until_answered(f, 2);
        assert_ptr_equal(tc_calls_pop(&f->c->ended), too_long);
        assert_ptr_equal(tc_calls_pop(&f->c->ended), next);
        assert_int_equal(too_long->results[0].kind, TC_RESULT_TOO_LONG);
        assert_null(too_long->results[0].data);
        assert_int_equal(too_long->results[1].integer, 9);
        assert_int_equal(next->results[0].kind, TC_RESULT_BULK);
        assert_memory_equal(next->results[0].data, "abc", 3);
        assert_int_equal(next->results[1].integer, 7);
        tc_call_free(too_long);
        tc_call_free(next);
        assert_int_equal(atomic_load(&f->env.counters.count[TC_REDIS_err_wrongtype]), p + 1);
    }
}

/* Below the size from which values have their own memory, too. */
static void a_small_limit_holds_to_the_byte(void **state)
{
    struct fixture *f = *state;
    f->env.max_reply_bytes = 5;
    struct tc_conn *small = tc_conn_new(&f->env, f->c->link);
    assert_non_null(small);
    f->c->link.fd = -1;
    tc_conn_free(f->c);
    f->c = small;
    struct tc_call *get = take(f, TC_CALL_GET, 6);
    exchange(f);
    say_text(f, "$5\r\n12345\r\n:1\r\n$6\r\n123456\r\n:2\r\n$0\r\n\r\n:3\r\n");
    assert_int_equal(exchange(f), TC_CONN_OPEN);
    assert_int_equal(f->c->ended.n, 1);
    assert_int_equal(get->results[0].len, 5);
    assert_int_equal(get->results[2].kind, TC_RESULT_TOO_LONG);
    assert_int_equal(get->results[3].integer, 2);
    assert_int_equal(get->results[4].kind, TC_RESULT_BULK);
    assert_int_equal(live, 1);
}

/* 512 MiB: as much as a Redis lets anyone store. */
static void the_longest_string_of_a_redis_costs_no_memory(void **state)
{
    struct fixture *f = *state;
    static char part[50000];
    take(f, TC_CALL_GET, 2);
    exchange(f);
    say_text(f, "$536870912\r\n");
    for (int i = 0; i < 3; i++) {
        say(f, part, sizeof part);
        assert_int_equal(exchange(f), TC_CONN_OPEN);
    }
    assert_true(f->c->in_body);
    assert_int_equal(live, 0);
    assert_true(tc_conn_in_reply(f->c));
    assert_int_equal(exchange(f), TC_CONN_TIMEOUT); /* the deadline of whoever waits for it is looked at */
}

static void too_long_a_string_needs_its_crlf_too(void **state)
{
    struct fixture *f = *state;
    static char big[MAX_REPLY_BYTES + 1];
    enum tc_conn_state s = TC_CONN_OPEN;
    take(f, TC_CALL_GET, 2);
    exchange(f);
    say_text(f, "$200001\r\n");
    for (size_t at = 0; at < sizeof big; at += 50000) {
        say(f, big + at, sizeof big - at < 50000 ? sizeof big - at : 50000);
        assert_int_equal(exchange(f), TC_CONN_OPEN);
    }
    say_text(f, "xx:9\r\n");
    while (s == TC_CONN_OPEN)
        s = exchange(f);
    assert_int_equal(s, TC_CONN_PROTOCOL);
}

static void connection_that_ends_in_the_middle_of_a_large_value_leaks_nothing(void **state)
{
    struct fixture *f = *state;
    take(f, TC_CALL_GET, 2);
    exchange(f);
    static char part[20000];
    say_text(f, "$50000\r\n");
    say(f, part, sizeof part);
    close(f->server);
    f->server = -1;
    enum tc_conn_state s;
    do
        s = exchange(f);
    while (s == TC_CONN_OPEN);
    assert_int_equal(s, TC_CONN_CLOSED);
    assert_int_equal(f->c->ended.n, 0);
}

/* The socket takes less than a command: the next write goes on in the middle of it. */
static void partial_writes_are_resumed(void **state)
{
    struct fixture *f = *state;
    int small = 1;
    setsockopt(f->c->link.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    static char value[100000], heard[120000];
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (char)(i * 13);
    struct tc_call *set = tc_call_new(&f->env, TC_CALL_SET, 1);
    tc_command_begin(&set->command, 2);
    tc_command_arg_text(&set->command, "SET");
    tc_command_arg(&set->command, value, sizeof value);
    tc_conn_take(f->c, set);
    take(f, TC_CALL_DEL, 1);
    size_t want = set->command.len + strlen(GET_TEXT), n = 0;
    bool was_partial = false;
    while (n < want) {
        enum tc_conn_state s = exchange(f);
        assert_true(s == TC_CONN_OPEN || s == TC_CONN_TIMEOUT);
        was_partial |= f->c->unsent == set && set->sent > 0;
        n += hear(f, heard + n, sizeof heard - n);
    }
    assert_true(was_partial);
    assert_int_equal(n, want);
    assert_memory_equal(heard, set->command.data, set->command.len);
    assert_memory_equal(heard + set->command.len, GET_TEXT, strlen(GET_TEXT));
    say_text(f, "+OK\r\n:1\r\n");
    assert_int_equal(exchange(f), TC_CONN_OPEN);
    assert_int_equal(f->c->ended.n, 2);
}

/* A SET of which the socket takes only a part. */
static struct tc_call *take_half_written(struct fixture *f)
{
    static char value[300000];
    int small = 1;
    setsockopt(f->c->link.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    struct tc_call *set = tc_call_new(&f->env, TC_CALL_SET, 1);
    assert_non_null(set);
    tc_command_begin(&set->command, 1);
    tc_command_arg(&set->command, value, sizeof value);
    tc_conn_take(f->c, set);
    return set;
}

/* Takes all that comes while the connection is used on. */
static size_t drain(struct fixture *f)
{
    static char heard[400000];
    size_t n = 0;
    for (int idle = 0; idle < 3;) {
        size_t more = hear(f, heard, sizeof heard);
        n += more;
        idle = more > 0 ? 0 : idle + 1;
        tc_conn_flush(f->c);
        assert_true(exchange(f) <= TC_CONN_TIMEOUT);
    }
    return n;
}

/* FAULTS 14, 15: its caller may have sent on another connection what the rest of it would overtake. */
static void abandoned_command_is_never_written_on(void **state)
{
    struct fixture *f = *state;
    struct tc_call *get = take(f, TC_CALL_GET, 2), *set = take_half_written(f), *del = take(f, TC_CALL_DEL, 1);
    exchange(f);
    size_t part = set->sent;
    assert_in_range(part, 1, set->command.len - 1);
    atomic_store(&set->abandoned, true);
    say_text(f, "$1\r\nv\r\n:9\r\n");
    assert_int_equal(drain(f), get->command.len + part);
    assert_int_equal(set->sent, part);
    assert_int_equal(del->sent, 0);
    assert_int_equal(exchange(f), TC_CONN_TIMEOUT); /* the socket takes bytes again, which wakes nobody */
    assert_int_equal(f->c->ended.n, 1);
    assert_ptr_equal(f->c->ended.head, get);
    assert_memory_equal(get->results[0].data, "v", 1);
}

/* FAULTS 14, 15: the one in front is written to its end. */
static void command_abandoned_before_its_turn_is_not_begun(void **state)
{
    struct fixture *f = *state;
    struct tc_call *set = take_half_written(f), *given_up = take(f, TC_CALL_DEL, 1), *del = take(f, TC_CALL_DEL, 1);
    exchange(f);
    assert_in_range(set->sent, 1, set->command.len - 1);
    atomic_store(&given_up->abandoned, true);
    assert_int_equal(drain(f), set->command.len);
    assert_int_equal(given_up->sent, 0);
    assert_int_equal(del->sent, 0);
    say_text(f, "+OK\r\n");
    assert_int_equal(exchange(f), TC_CONN_OPEN);
    assert_ptr_equal(f->c->ended.head, set);
}

static void assert_refused(void **state, enum tc_call_kind kind, const char *answer)
{
    struct fixture *f = *state;
    take(f, kind, kind == TC_CALL_GET ? 2 : 1);
    exchange(f);
    say_text(f, answer);
    assert_int_equal(exchange(f), TC_CONN_PROTOCOL);
    assert_non_null(f->c->reason);
}

static void status_for_a_get_is_refused(void **state)
{
    assert_refused(state, TC_CALL_GET, "+OK\r\n");
}

static void string_for_a_pttl_is_refused(void **state)
{
    assert_refused(state, TC_CALL_GET, "$1\r\na\r\n$1\r\nb\r\n");
}

static void string_for_a_set_is_refused(void **state)
{
    assert_refused(state, TC_CALL_SET, "$2\r\nOK\r\n");
}

static void other_status_for_a_set_is_refused(void **state)
{
    assert_refused(state, TC_CALL_SET, "+QUEUED\r\n");
}

static void array_is_refused(void **state)
{
    assert_refused(state, TC_CALL_DEL, "*2147483647\r\n");
}

static void a_string_longer_than_any_redis_has_is_refused_when_announced(void **state)
{
    assert_refused(state, TC_CALL_GET, "$536870913\r\n");
}

static void answer_that_nobody_asked_for_is_refused(void **state)
{
    assert_refused(state, TC_CALL_DEL, ":1\r\n:1\r\n");
    struct fixture *f = *state;
    assert_int_equal(f->c->ended.n, 1);
}

static void answer_before_the_question_is_refused(void **state)
{
    struct fixture *f = *state;
    int small = 1;
    setsockopt(f->c->link.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    static char value[300000];
    struct tc_call *set = tc_call_new(&f->env, TC_CALL_SET, 1);
    tc_command_begin(&set->command, 1);
    tc_command_arg(&set->command, value, sizeof value);
    tc_conn_take(f->c, set);
    say_text(f, "+OK\r\n");
    assert_int_equal(exchange(f), TC_CONN_PROTOCOL);
    assert_int_equal(f->c->ended.n, 0);
}

static void answers_given_before_the_server_went_are_kept(void **state)
{
    struct fixture *f = *state;
    struct tc_call *first = take(f, TC_CALL_DEL, 1);
    exchange(f);
    say_text(f, ":1\r\n");
    close(f->server);
    f->server = -1;
    take(f, TC_CALL_DEL, 1);
    assert_int_equal(exchange(f), TC_CONN_CLOSED);
    assert_ptr_equal(tc_calls_pop(&f->c->ended), first);
    assert_int_equal(f->c->flight.n, 1);
    tc_call_free(first);
}

static void error_answers_are_counted_by_kind(void **state)
{
    struct fixture *f = *state;
    take(f, TC_CALL_GET, 2);
    exchange(f);
    say_text(f, "-WRONGTYPE x\r\n-OOM y\r\n");
    assert_int_equal(exchange(f), TC_CONN_OPEN);
    assert_int_equal(f->c->ended.n, 1);
    assert_int_equal(atomic_load(&f->env.counters.count[TC_REDIS_err_wrongtype]), 1);
    assert_int_equal(atomic_load(&f->env.counters.count[TC_REDIS_err_oom]), 1);
}

static void unwritten_call_can_be_taken_back(void **state)
{
    struct fixture *f = *state;
    struct tc_call *first = take(f, TC_CALL_DEL, 1), *second = take(f, TC_CALL_DEL, 1);
    tc_conn_untake(f->c, first);
    tc_call_free(first);
    assert_ptr_equal(f->c->unsent, second);
    exchange(f);
    char heard[100];
    assert_int_equal(hear(f, heard, sizeof heard), strlen(GET_TEXT));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(commands_of_several_calls_go_out_in_order),
        TEST(answers_go_to_their_calls),
        TEST(dripped_answer_is_the_same_answer),
        TEST(values_of_any_size_arrive_whole),
        TEST(large_value_without_memory_is_dropped_and_the_rest_stays_in_step),
        TEST(value_for_an_abandoned_call_costs_no_memory),
        TEST(too_long_a_string_is_read_past_and_the_next_answer_is_right),
        TEST(a_small_limit_holds_to_the_byte),
        TEST(the_longest_string_of_a_redis_costs_no_memory),
        TEST(too_long_a_string_needs_its_crlf_too),
        TEST(connection_that_ends_in_the_middle_of_a_large_value_leaks_nothing),
        TEST(partial_writes_are_resumed),
        TEST(abandoned_command_is_never_written_on),
        TEST(command_abandoned_before_its_turn_is_not_begun),
        TEST(status_for_a_get_is_refused),
        TEST(string_for_a_pttl_is_refused),
        TEST(string_for_a_set_is_refused),
        TEST(other_status_for_a_set_is_refused),
        TEST(array_is_refused),
        TEST(a_string_longer_than_any_redis_has_is_refused_when_announced),
        TEST(answer_that_nobody_asked_for_is_refused),
        TEST(answer_before_the_question_is_refused),
        TEST(answers_given_before_the_server_went_are_kept),
        TEST(error_answers_are_counted_by_kind),
        TEST(unwritten_call_can_be_taken_back),
    };
    return cmocka_run_group_tests_name("redis_conn", tests, NULL, NULL);
}
