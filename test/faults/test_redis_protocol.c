/* The Redis backend and answers that are errors, or no answers at all. Case numbers are those of docs/faults.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_rig.h"
#include "fake/tt_util.h"
#include "tiercache.h"

enum {
    PROMPT_MS = TT_SLACK_MS,        /* refused at once, not by the deadline */
    MODEST_BYTES = 1 << 20, /* more memory than this no lie about a length may cost */
    TTL_MS = 600000
};

static struct cache_slice text_slice(const char *s)
{
    return (struct cache_slice){s, strlen(s)};
}

static void start_with_values(struct tt_rig *rig)
{
    tt_rig_start(rig, TT_REDIS_UNIX);
    assert_int_equal(tt_rig_set(rig, "a", "value of a", TT_RIG_MS), CACHE_OK);
    assert_int_equal(tt_rig_set(rig, "b", "value of b", TT_RIG_MS), CACHE_OK);
    tt_redis_forget(rig->server);
}

static size_t peak_bytes(struct tt_rig *rig)
{
    return tt_alloc_counts(&rig->alloc).peak_bytes + tt_alloc_counts(&rig->host.alloc).peak_bytes;
}

/* ---- what is no answer ---- */

struct lie {
    const char *bytes;
    size_t len;
};
#define LIE(s) {s, sizeof(s) - 1}

/* No Redis says these, to any command. */
static const struct lie lies[] = {
    LIE("*2147483647\r\n"),
    LIE("*2147483648\r\n"),
    LIE("*4294967297\r\n"),
    LIE("*-2\r\n"),
    LIE("$536870913\r\n"),
    LIE("$9223372036854775807\r\n"),
    LIE("$9223372036854775808\r\n"),
    LIE("$18446744073709551616\r\n"),
    LIE("$99999999999999999999999999\r\n"),
    LIE("$-2\r\n"),
    LIE("$-\r\n"),
    LIE("$\r\n"),
    LIE("$+5\r\nhello\r\n"),
    LIE("$ 5\r\nhello\r\n"),
    LIE("$5 \r\nhello\r\n"),
    LIE("$0x5\r\nhello\r\n"),
    LIE("$5\r\nhelloXX"),
    LIE("$5\r\nhello\n\n"),
    LIE("$5\r\nhello\rX"),
    LIE("$5\rXhello\r\n"),
    LIE(":\r\n"),
    LIE(":12a\r\n"),
    LIE(":99999999999999999999\r\n"),
    LIE(":1.5\r\n"),
    LIE("-MO\rVED\r\n"),
    LIE(",nan\r\n"),
    LIE("_\r\n"),
    LIE("#t\r\n"),
    LIE("!5\r\nwrong\r\n"),
    LIE("=9\r\ntxt:wrong\r\n"),
    LIE("(1\r\n"),
    LIE("%1\r\n+a\r\n+b\r\n"),
    LIE("~1\r\n+a\r\n"),
    LIE(">2\r\n+a\r\n+b\r\n"),
    LIE("|1\r\n+a\r\n+b\r\n"),
    LIE("\r\n"),
    LIE("\n"),
    LIE("\0"),
    LIE("\xff\xff\xff\xff"),
    LIE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    LIE("VALUE a 0 5\r\nhello\r\nEND\r\n"),
    LIE("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"),
};

/* Right RESP, but not what that command is answered with: requests and answers are out of step. */
static const struct lie not_for_get[] = {
    LIE("+OK\r\n"), LIE("+value\r\n"), LIE(":1\r\n"), LIE("*1\r\n$5\r\nhello\r\n"), LIE("*0\r\n"), LIE("*-1\r\n"),
};
static const struct lie not_for_pttl[] = {
    LIE("+OK\r\n"), LIE("$10\r\nvalue of b\r\n"), LIE("$-1\r\n"), LIE("*1\r\n:1\r\n"),
};
static const struct lie not_for_set[] = {
    LIE(":1\r\n"), LIE("$2\r\nOK\r\n"), LIE("+PONG\r\n"), LIE("+QUEUED\r\n"), LIE("*1\r\n+OK\r\n"), LIE("+OKAY\r\n"),
};
static const struct lie not_for_del[] = {
    LIE("+OK\r\n"), LIE("$1\r\n1\r\n"), LIE("*1\r\n:1\r\n"), LIE("$-1\r\n"),
};

static int call_with(struct tt_rig *rig, const char *command)
{
    char text[TT_RIG_TEXT];
    if (strcmp(command, "SET") == 0)
        return tt_rig_set(rig, "a", "value of a", TT_RIG_MS);
    if (strcmp(command, "DEL") == 0)
        return tt_rig_del(rig, "nothing", TT_RIG_MS);
    return tt_rig_get(rig, "a", TT_RIG_MS, text);
}

/* The call fails at once, the connection is closed and counted, the next call is right, and memory stays small. */
static void assert_found_out(struct tt_rig *rig, const char *command, const struct lie *lie)
{
    uint64_t found = tt_rig_stats(rig).err_protocol;
    int64_t start_ms = tt_ran_ms();
    tt_redis_clear(rig->server);
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = command, .times = 1, .reply = lie->bytes,
                                                         .reply_len = lie->len});
    int status = call_with(rig, command);
    if (status != CACHE_E_UNKNOWN && status != CACHE_E_PROTOCOL)
        fail_msg("%s answered with \"%.30s\" gives %d", command, lie->bytes, status);
    assert_true(tt_ran_ms() - start_ms <= PROMPT_MS);
    assert_int_equal(tt_rig_stats(rig).err_protocol, found + 1);
    assert_true(tt_rig_recovers(rig, "b", "value of b"));
    assert_true(tt_rig_recovers(rig, "a", "value of a"));
    assert_true(peak_bytes(rig) < MODEST_BYTES);
}

static void assert_all_found_out(struct tt_rig *rig, const char *command, const struct lie *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_found_out(rig, command, &list[i]);
}

/* FAULTS 16 */
static void what_no_redis_says_is_found_out_at_once(void **state)
{
    static const char *const commands[] = {"GET", "PTTL", "SET", "DEL"};
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    start_with_values(rig);
    for (size_t c = 0; c < 4; c++)
        assert_all_found_out(rig, commands[c], lies, sizeof(lies) / sizeof(lies[0]));
    assert_true(tt_rig_close(rig));
}

/* FAULTS 16 */
static void an_answer_of_the_wrong_kind_is_found_out(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    start_with_values(rig);
    assert_all_found_out(rig, "GET", not_for_get, sizeof(not_for_get) / sizeof(struct lie));
    assert_all_found_out(rig, "PTTL", not_for_pttl, sizeof(not_for_pttl) / sizeof(struct lie));
    assert_all_found_out(rig, "SET", not_for_set, sizeof(not_for_set) / sizeof(struct lie));
    assert_all_found_out(rig, "DEL", not_for_del, sizeof(not_for_del) / sizeof(struct lie));
    assert_true(tt_rig_close(rig));
}

/* FAULTS 16: arrays within arrays, a million deep, and lines without an end. */
static void endless_nesting_and_endless_lines_are_found_out(void **state)
{
    enum { DEEP = 1000000, LONG = 4 << 20 };
    struct tt_rig *rig = tt_rig_new();
    char *bytes = tt_xmalloc(LONG);
    (void)state;
    start_with_values(rig);
    for (size_t i = 0; i < DEEP; i++)
        memcpy(bytes + 4 * i, "*1\r\n", 4);
    assert_found_out(rig, "GET", &(struct lie){bytes, 4 * (size_t)DEEP});
    static const char first[] = {'+', '-', ':', '$', '*'};
    for (size_t i = 0; i < sizeof(first); i++) {
        memset(bytes, '0', LONG);
        bytes[0] = first[i];
        assert_found_out(rig, "GET", &(struct lie){bytes, LONG});
    }
    assert_true(tt_rig_close(rig));
    free(bytes);
}

/* ---- values longer than we take: another process may take them ---- */

enum { LIMIT = 100000 };

static void start_with_limit(struct tt_rig *rig)
{
    rig->max_reply_bytes = LIMIT;
    start_with_values(rig);
}

/* What GET answers with a value of that length; len 0: it announces it, and no more. */
static struct tt_buf string_of(size_t announced, size_t len)
{
    struct tt_buf b = {0};
    void *zeros = tt_xcalloc(len + 1);
    tt_buf_print(&b, "$%zu\r\n", announced);
    tt_buf_add(&b, zeros, len);
    if (len == announced)
        tt_buf_add(&b, "\r\n", 2);
    free(zeros);
    return b;
}

static void assert_undisturbed(struct tt_rig *rig)
{
    assert_true(tt_rig_recovers(rig, "b", "value of b"));
    assert_int_equal(tt_redis_seen(rig->server).connections, 1);
    assert_int_equal(tt_rig_stats(rig).err_protocol, 0);
    assert_int_equal(tt_rig_stats(rig).err_closed, 0);
    assert_true(tt_host_is_up(&rig->host));
    assert_int_equal(tt_alloc_counts(&rig->host.alloc).live_blocks, 0);
}

/* FAULTS 52 */
static void a_value_beyond_the_limit_is_a_miss_and_costs_no_memory(void **state)
{
    static const size_t lengths[] = {LIMIT + 1, 3 << 20};
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    start_with_limit(rig);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct tt_buf reply = string_of(lengths[i], lengths[i]);
        tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "GET", .times = 1, .reply = reply.data,
                                                            .reply_len = reply.len});
        assert_int_equal(call_with(rig, "GET"), CACHE_MISS);
        assert_int_equal(tt_rig_stats(rig).err_wrongtype, i + 1);
        assert_undisturbed(rig);
        tt_buf_free(&reply);
    }
    assert_true(peak_bytes(rig) < LIMIT);
    assert_int_equal(tt_host_failure(&rig->host, NULL), 0);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 52: said once, whatever the number of readers that meet it. */
static void a_value_beyond_the_limit_is_reported_but_not_at_every_read(void **state)
{
    enum { READS = 20 };
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    start_with_limit(rig);
    struct tt_buf reply = string_of(LIMIT + 1, LIMIT + 1);
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "GET", .reply = reply.data,
                                                        .reply_len = reply.len});
    unsigned before = tt_host_reports(&rig->host);
    int64_t start_ms = tt_mono_ms();
    for (int i = 0; i < READS; i++)
        assert_int_equal(call_with(rig, "GET"), CACHE_MISS);
    unsigned reports = tt_host_reports(&rig->host) - before;
    assert_in_range(reports, 1, 1 + (tt_mono_ms() - start_ms) / 1000);
    assert_int_equal(tt_rig_stats(rig).err_wrongtype, READS);
    assert_true(tt_rig_close(rig));
    tt_buf_free(&reply);
}

/* FAULTS 52 */
static void in_a_batch_too_long_a_value_is_a_miss_of_its_element_only(void **state)
{
    struct cache_backend_item it[3];
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    start_with_limit(rig);
    memset(it, 0, sizeof(it));
    it[0].key = it[2].key = text_slice("b");
    it[1].key = text_slice("a");
    struct tt_buf reply = string_of(LIMIT + 1, LIMIT + 1);
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "GET", .skip = 1, .times = 1,
                                                        .reply = reply.data, .reply_len = reply.len});
    rig->host.ops->get_many(rig->ctx, it, 3, tt_host_in_ms(&rig->host, TT_RIG_MS));
    assert_int_equal(it[1].status, CACHE_MISS);
    for (size_t i = 0; i < 3; i += 2) {
        assert_int_equal(it[i].status, CACHE_OK);
        assert_memory_equal(it[i].value.data, "value of b", it[i].value.len);
        tt_host_value_free(&rig->host, &it[i].value);
    }
    assert_undisturbed(rig);
    assert_true(tt_rig_close(rig));
    tt_buf_free(&reply);
}

/* FAULTS 52, 12: it ends somewhere on the way, or it goes on and on. */
static void too_long_a_value_that_never_ends_costs_the_deadline(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    char text[TT_RIG_TEXT];
    (void)state;
    start_with_limit(rig);
    struct tt_buf reply = string_of(512u << 20, 2 * LIMIT);
    for (unsigned drip_ms = 0; drip_ms <= 1; drip_ms++) {
        tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "GET", .times = 1, .reply = reply.data,
                                                            .reply_len = reply.len, .drip_ms = drip_ms});
        tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "PTTL", .times = 1, .stall = true});
        int64_t start_ms = tt_mono_ms();
        assert_int_equal(tt_rig_get(rig, "a", 100, text), CACHE_E_UNKNOWN);
        assert_in_range(tt_mono_ms() - start_ms, 99, 100 + PROMPT_MS);
        tt_redis_clear(rig->server);
        assert_true(tt_rig_recovers(rig, "a", "value of a"));
    }
    assert_true(peak_bytes(rig) < LIMIT);
    assert_true(tt_rig_close(rig));
    tt_buf_free(&reply);
}

static void the_longest_value_within_the_limit_is_taken(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    unsigned char *bytes = tt_xcalloc(LIMIT + 1);
    struct cache_backend_value v = {NULL, 0, 0};
    (void)state;
    start_with_limit(rig);
    int64_t deadline_ms = tt_host_in_ms(&rig->host, TT_RIG_MS);
    for (size_t len = LIMIT; len <= LIMIT + 1; len++)
        assert_int_equal(rig->host.ops->set(rig->ctx, text_slice(len == LIMIT ? "max" : "more"),
                                           (struct cache_slice){bytes, len}, TTL_MS, deadline_ms), CACHE_OK);
    assert_int_equal(rig->host.ops->get(rig->ctx, text_slice("more"), deadline_ms, &v), CACHE_MISS);
    assert_int_equal(rig->host.ops->get(rig->ctx, text_slice("max"), deadline_ms, &v), CACHE_OK);
    assert_int_equal(v.len, LIMIT);
    tt_host_value_free(&rig->host, &v);
    assert_true(tt_rig_close(rig));
    free(bytes);
}

/* FAULTS 16, 12: a length within the limit, and then next to nothing. The deadline holds and the memory comes back. */
static void a_value_that_never_comes_costs_the_deadline(void **state)
{
    static const char lie[] = "$30000000\r\nonly this";
    struct tt_rig *rig = tt_rig_new();
    char text[TT_RIG_TEXT];
    (void)state;
    start_with_values(rig);
    for (int i = 0; i < 3; i++) {
        tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "GET", .times = 1, .reply = lie});
        tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "PTTL", .times = 1, .stall = true});
        int64_t start_ms = tt_mono_ms();
        assert_int_equal(tt_rig_get(rig, "a", 100, text), CACHE_E_UNKNOWN);
        assert_in_range(tt_mono_ms() - start_ms, 99, 100 + PROMPT_MS);
        tt_redis_clear(rig->server);
        assert_true(tt_rig_recovers(rig, "a", "value of a"));
        assert_int_equal(tt_alloc_counts(&rig->host.alloc).live_blocks, 0);
    }
    assert_true(tt_rig_close(rig));
}

/* FAULTS 16 */
static void bytes_behind_an_answer_are_never_the_next_answer(void **state)
{
    static const struct lie extras[] = {
        LIE("$10\r\nnot yours!\r\n:500\r\n"), LIE("+OK\r\n"), LIE(":1\r\n"), LIE("\r\n"), LIE("$10\r\nnot y"),
    };
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    start_with_values(rig);
    for (size_t i = 0; i < sizeof(extras) / sizeof(extras[0]); i++) {
        uint64_t found = tt_rig_stats(rig).err_protocol;
        tt_redis_clear(rig->server);
        tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "PTTL", .times = 1, .extra = extras[i].bytes,
                                                            .extra_len = extras[i].len});
        assert_true(tt_rig_recovers(rig, "a", "value of a"));
        assert_true(tt_rig_recovers(rig, "b", "value of b"));
        assert_true(tt_rig_recovers(rig, "a", "value of a"));
        assert_int_equal(tt_rig_stats(rig).err_protocol, found + 1);
    }
    assert_true(tt_rig_close(rig));
}

/* FAULTS 16: the same, but it comes after the answer was taken, while nobody waits for anything. */
static void what_comes_on_an_idle_connection_is_never_an_answer(void **state)
{
    static const struct lie said[] = {
        LIE("$10\r\nnot yours!\r\n:500\r\n"), LIE("$10\r\nnot yours!\r\n"), LIE("$10\r\nnot"), LIE("$-1\r\n:-2\r\n"),
        LIE("+OK\r\n"),
    };
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    start_with_values(rig);
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        tt_redis_say(rig->server, said[i].bytes, said[i].len);
        assert_true(tt_rig_recovers(rig, "a", "value of a"));
        assert_true(tt_rig_recovers(rig, "b", "value of b"));
        assert_true(tt_rig_recovers(rig, "a", "value of a"));
    }
    assert_true(tt_rig_close(rig));
}

/* FAULTS 16: an +OK that nobody asked for must not acknowledge a write that the server refuses. */
static void an_ok_on_an_idle_connection_acknowledges_no_write(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    start_with_values(rig);
    tt_redis_answer_error(rig->server, "SET", "OOM command not allowed when used memory > 'maxmemory'.");
    tt_redis_answer_error(rig->server, "DEL", "MISCONF Redis is configured to save RDB snapshots");
    tt_redis_say(rig->server, "+OK\r\n", 5);
    assert_true(tt_rig_set(rig, "a", "new", TT_RIG_MS) < 0);
    assert_true(tt_rig_recovers(rig, "b", "value of b"));
    tt_redis_say(rig->server, ":1\r\n", 4);
    assert_true(tt_rig_del(rig, "a", TT_RIG_MS) < 0);
    assert_true(tt_rig_recovers(rig, "a", "value of a"));
    assert_true(tt_rig_close(rig));
}

/* ---- errors: the server is well and says no ---- */

struct refusal {
    const char *line;
    int status;
    size_t counter; /* offset in struct cache_backend_stats */
};
#define COUNTER(name) offsetof(struct cache_backend_stats, name)

static const struct refusal refusals[] = {
    {"OOM command not allowed when used memory > 'maxmemory'.", CACHE_E_REFUSED, COUNTER(err_oom)},          /* 19 */
    {"READONLY You can't write against a read only replica.", CACHE_E_REFUSED, COUNTER(err_readonly)},       /* 20 */
    {"MISCONF Redis is configured to save RDB snapshots, but", CACHE_E_REFUSED, COUNTER(err_misconf)},       /* 21 */
    {"BUSY Redis is busy running a script.", CACHE_E_REFUSED, COUNTER(err_busy)},                            /* 22 */
    {"NOSCRIPT No matching script. Please use EVAL.", CACHE_E_REFUSED, COUNTER(err_other)},                  /* 23 */
    {"MOVED 3999 127.0.0.1:6381", CACHE_E_REFUSED, COUNTER(err_redirect)},                                   /* 25 */
    {"ASK 3999 127.0.0.1:6381", CACHE_E_REFUSED, COUNTER(err_redirect)},                                     /* 25 */
    {"TRYAGAIN Multiple keys request during rehashing of slot", CACHE_E_REFUSED, COUNTER(err_busy)},         /* 25 */
    {"CLUSTERDOWN The cluster is down", CACHE_E_REFUSED, COUNTER(err_redirect)},                             /* 25 */
    {"CROSSSLOT Keys in request don't hash to the same slot", CACHE_E_REFUSED, COUNTER(err_redirect)},       /* 25 */
    {"LOADING Redis is loading the dataset in memory", CACHE_E_REFUSED, COUNTER(err_loading)},               /* 7 */
    {"MASTERDOWN Link with MASTER is down and", CACHE_E_REFUSED, COUNTER(err_loading)},                      /* 26 */
    {"NOAUTH Authentication required.", CACHE_E_AUTH, COUNTER(err_auth)},                                    /* 5 */
    {"NOPERM this user has no permissions to run the 'get' command", CACHE_E_AUTH, COUNTER(err_auth)},       /* 5 */
    {"ERR unknown command", CACHE_E_REFUSED, COUNTER(err_other)},                                            /* 8 */
    {"WHATEVER", CACHE_E_REFUSED, COUNTER(err_other)},
    {"", CACHE_E_REFUSED, COUNTER(err_other)},
};
enum { N_REFUSALS = sizeof(refusals) / sizeof(refusals[0]) };

static uint64_t counter(struct tt_rig *rig, size_t offset)
{
    struct cache_backend_stats s = tt_rig_stats(rig);
    return *(const uint64_t *)(const void *)((const char *)&s + offset);
}

static void assert_refused(struct tt_rig *rig, const char *command, const struct refusal *refusal)
{
    uint64_t before = counter(rig, refusal->counter);
    tt_redis_clear(rig->server);
    tt_redis_answer_error(rig->server, command, refusal->line);
    int status = call_with(rig, command);
    if (status != refusal->status)
        fail_msg("%s answered with -%s gives %d", command, refusal->line, status);
    assert_int_equal(counter(rig, refusal->counter), before + 1);
}

/* FAULTS 5, 7, 19 to 23, 25: counted by kind, and no reason to close a connection that works. */
static void an_error_is_a_result_and_leaves_the_connection_alone(void **state)
{
    static const char *const commands[] = {"GET", "SET", "DEL"};
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    start_with_values(rig);
    for (size_t i = 0; i < N_REFUSALS; i++) {
        for (size_t c = 0; c < 3; c++)
            assert_refused(rig, commands[c], &refusals[i]);
    }
    tt_redis_clear(rig->server);
    assert_true(tt_rig_recovers(rig, "a", "value of a"));
    assert_int_equal(tt_redis_seen(rig->server).connections, 1);
    assert_int_equal(tt_rig_stats(rig).err_protocol, 0);
    assert_true(tt_host_is_up(&rig->host));
    assert_true(tt_rig_close(rig));
}

/* FAULTS 24 */
static void a_foreign_value_under_our_name_is_a_miss(void **state)
{
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    start_with_values(rig);
    tt_redis_answer_error(rig->server, "GET", "WRONGTYPE Operation against a key holding the wrong kind of value");
    assert_int_equal(call_with(rig, "GET"), CACHE_MISS);
    assert_int_equal(tt_rig_stats(rig).err_wrongtype, 1);
    assert_int_equal(tt_redis_seen(rig->server).connections, 1);
    assert_true(tt_rig_close(rig));
}

/* FAULTS 19 */
static void in_a_batch_an_error_is_the_result_of_its_element_only(void **state)
{
    static const char *const keys[] = {"a", "b", "c"};
    struct cache_backend_item it[3];
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    start_with_values(rig);
    memset(it, 0, sizeof(it));
    for (size_t i = 0; i < 3; i++)
        it[i] = (struct cache_backend_item){.key = text_slice(keys[i]), .data = text_slice("new"), .ttl_ms = TTL_MS};
    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "SET", .skip = 1, .times = 1, .not_run = true,
                                                        .reply = "-OOM command not allowed\r\n"});
    rig->host.ops->set_many(rig->ctx, it, 3, tt_host_in_ms(&rig->host, TT_RIG_MS));
    assert_int_equal(it[0].status, CACHE_OK);
    assert_int_equal(it[1].status, CACHE_E_REFUSED);
    assert_int_equal(it[2].status, CACHE_OK);

    tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "GET", .times = 1, .not_run = true,
                                                        .reply = "-BUSY a script runs\r\n"});
    rig->host.ops->get_many(rig->ctx, it, 3, tt_host_in_ms(&rig->host, TT_RIG_MS));
    assert_int_equal(it[0].status, CACHE_E_REFUSED);
    assert_int_equal(it[1].status, CACHE_OK);
    assert_memory_equal(it[1].value.data, "value of b", it[1].value.len);
    assert_int_equal(it[2].status, CACHE_OK);
    assert_memory_equal(it[2].value.data, "new", it[2].value.len);
    tt_host_value_free(&rig->host, &it[1].value);
    tt_host_value_free(&rig->host, &it[2].value);
    assert_int_equal(tt_redis_seen(rig->server).connections, 1);
    assert_true(tt_rig_close(rig));
}

/* A value whose life cannot be told is told as such; one that expired in between is a miss. */
static void a_life_that_is_not_known_is_not_made_up(void **state)
{
    struct cache_backend_value v = {NULL, 0, 0};
    struct tt_rig *rig = tt_rig_new();
    (void)state;
    start_with_values(rig);
    tt_redis_answer_error(rig->server, "PTTL", "NOPERM this user has no permissions to run the 'pttl' command");
    assert_int_equal(rig->host.ops->get(rig->ctx, text_slice("a"), tt_host_in_ms(&rig->host, TT_RIG_MS), &v), CACHE_OK);
    assert_true(v.ttl_ms == CACHE_TTL_NONE);
    tt_host_value_free(&rig->host, &v);
    static const char *const over[] = {":-2\r\n", ":0\r\n"};
    for (size_t i = 0; i < 2; i++) {
        tt_redis_clear(rig->server);
        tt_redis_fault(rig->server, &(struct tt_redis_fault){.command = "PTTL", .reply = over[i]});
        assert_int_equal(call_with(rig, "GET"), CACHE_MISS);
    }
    assert_true(tt_rig_close(rig));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_no_redis_says_is_found_out_at_once),
        cmocka_unit_test(an_answer_of_the_wrong_kind_is_found_out),
        cmocka_unit_test(endless_nesting_and_endless_lines_are_found_out),
        cmocka_unit_test(a_value_beyond_the_limit_is_a_miss_and_costs_no_memory),
        cmocka_unit_test(a_value_beyond_the_limit_is_reported_but_not_at_every_read),
        cmocka_unit_test(in_a_batch_too_long_a_value_is_a_miss_of_its_element_only),
        cmocka_unit_test(too_long_a_value_that_never_ends_costs_the_deadline),
        cmocka_unit_test(the_longest_value_within_the_limit_is_taken),
        cmocka_unit_test(a_value_that_never_comes_costs_the_deadline),
        cmocka_unit_test(bytes_behind_an_answer_are_never_the_next_answer),
        cmocka_unit_test(what_comes_on_an_idle_connection_is_never_an_answer),
        cmocka_unit_test(an_ok_on_an_idle_connection_acknowledges_no_write),
        cmocka_unit_test(an_error_is_a_result_and_leaves_the_connection_alone),
        cmocka_unit_test(a_foreign_value_under_our_name_is_a_miss),
        cmocka_unit_test(in_a_batch_an_error_is_the_result_of_its_element_only),
        cmocka_unit_test(a_life_that_is_not_known_is_not_made_up),
    };
    return cmocka_run_group_tests_name("redis: protocol", tests, NULL, NULL);
}
