/* The Redis backend's table: verbs to commands, answers to results.
 *
 * A value is read with GET and PTTL in one round trip, so that L1 never keeps it longer than Redis does. Writes are a
 * plain SET with PX, and DEL. Nothing here waits except in tc_pipe_run(), and nothing is locked. SET overwrites a
 * foreign value of any type that lies under our name; a GET of one is a miss, counted as wrongtype. The same holds for
 * a value longer than this cache takes, stored by one with a higher limit.
 *
 * A call whose connection turned out to be closed is sent a second time, on a fresh connection, if nothing of it was
 * written, or if it only reads and no byte of an answer came. A write of which one byte may have been written is never
 * repeated here: the cache decides what to do about a result that is not known. */
#include "tier/redis/redis.h"

#include <stdio.h>
#include <string.h>

#include "tier/redis/key.h"
#include "tier/redis/supervisor.h"
#include "tiercache.h"

#define CHUNK_BYTES (UINT64_C(8) << 20) /* of encoded commands in one round trip of a batch */
#define SET_OVERHEAD_BYTES 64           /* of a SET beside key and value, for sizing only */
#define REPORT_INTERVAL_MS 1000
#define LONGEST_WAIT_MS (INT64_C(1) << 40)

struct tc_redis {
    struct tc_redis_env env;
    struct tc_redis_url url;
    char name_space[TC_REDIS_NAME_SPACE_MAX_BYTES + 1];
    size_t n_pipes;
    struct tc_pipe *pipes;
    struct tc_supervisor supervisor;
};

/* ---- running calls ---- */

/* The deadline on the clock that the kernel waits on. False: it has passed. */
static bool until_of(const struct tc_redis *r, int64_t deadline_ms, int64_t *until_ms)
{
    int64_t now = r->env.host->now_ms(r->env.host->host);
    if (deadline_ms <= now)
        return false;
    int64_t left = deadline_ms - now;
    *until_ms = tc_mono_ms() + (left < LONGEST_WAIT_MS ? left : LONGEST_WAIT_MS);
    return true;
}

/* Any connection that is up will do, this thread's usual one first; only if none is, its own is waited for. */
static struct tc_pipe *choose_pipe(struct tc_redis *r)
{
    if (r->n_pipes == 1)
        return &r->pipes[0];
    size_t first = tc_thread_slot() % r->n_pipes;
    for (size_t i = 0; i < r->n_pipes; i++) {
        struct tc_pipe *p = &r->pipes[(first + i) % r->n_pipes];
        if (!tc_pipe_is_missing(p))
            return p;
    }
    return &r->pipes[first];
}

/* *call is NULL afterwards if it was left behind. */
static int run(struct tc_redis *r, struct tc_call **call, int64_t deadline_ms)
{
    int64_t until_ms;
    if (!until_of(r, deadline_ms, &until_ms))
        return CACHE_E_TIMEOUT;
    int status = tc_pipe_run(choose_pipe(r), call, until_ms);
    if (*call == NULL || !(*call)->found_closed)
        return status;
    tc_call_rewind(*call);
    return tc_pipe_run(choose_pipe(r), call, until_ms);
}

/* At most one a second: a server that refuses one command refuses thousands. */
static bool may_report(struct tc_redis *r)
{
    int64_t now = tc_mono_ms(), next = atomic_load_explicit(&r->env.next_report_ms, memory_order_relaxed);
    return now >= next &&
           atomic_compare_exchange_strong_explicit(&r->env.next_report_ms, &next, now + REPORT_INTERVAL_MS,
                                                   memory_order_relaxed, memory_order_relaxed);
}

static int refused(struct tc_redis *r, const struct tc_result *result, const char *command)
{
    int status = tc_reply_status(result->error);
    if (may_report(r))
        tc_redis_report(&r->env, CACHE_LOG_WARNING, status, "answered %s to %s", tc_reply_name(result->error), command);
    return status;
}

/* The server is well: this must not become the reason why it is not usable. */
static void report_too_long(struct tc_redis *r)
{
    if (may_report(r))
        tc_redis_report(&r->env, CACHE_LOG_WARNING, CACHE_OK,
                        "holds a value of more than %llu bytes, longer than this cache takes; taken as a miss",
                        (unsigned long long)r->env.max_reply_bytes);
}

/* ---- reading ---- */

static void put_get(struct tc_redis *r, struct tc_call *call, struct cache_slice key)
{
    char name[TC_REDIS_KEY_MAX_BYTES];
    size_t n = tc_redis_key(r->name_space, key, name);
    tc_command_begin(&call->command, 2);
    tc_command_arg_text(&call->command, "GET");
    tc_command_arg(&call->command, name, n);
    tc_command_begin(&call->command, 2);
    tc_command_arg_text(&call->command, "PTTL");
    tc_command_arg(&call->command, name, n);
}

/* False: it expired between GET and PTTL. A PTTL that was refused leaves the life unknown. */
static bool take_ttl(struct tc_redis *r, const struct tc_result *ttl, int64_t *ttl_ms)
{
    if (ttl->kind == TC_RESULT_ERROR) {
        refused(r, ttl, "PTTL");
        *ttl_ms = CACHE_TTL_NONE;
        return true;
    }
    *ttl_ms = ttl->integer == -1 ? CACHE_TTL_FOREVER : ttl->integer;
    return ttl->integer == -1 || ttl->integer > 0;
}

/* Answers to one GET and PTTL; the value is moved into *out. */
static int take_value(struct tc_redis *r, struct tc_result *result, struct cache_backend_value *out)
{
    switch (result[0].kind) {
    case TC_RESULT_BULK:
        if (!take_ttl(r, &result[1], &out->ttl_ms))
            return CACHE_MISS;
        out->data = result[0].data;
        out->len = result[0].len;
        result[0].data = NULL;
        return CACHE_OK;
    case TC_RESULT_NIL:
        return CACHE_MISS;
    case TC_RESULT_ERROR:
        return result[0].error == TC_REPLY_WRONGTYPE ? CACHE_MISS : refused(r, &result[0], "GET");
    case TC_RESULT_TOO_LONG:
        report_too_long(r);
        return CACHE_MISS;
    case TC_RESULT_NOMEM:
        return CACHE_E_NOMEM;
    default:
        return CACHE_E_PROTOCOL;
    }
}

static int redis_get(void *ctx, struct cache_slice key, int64_t deadline_ms, struct cache_backend_value *out)
{
    struct tc_redis *r = ctx;
    *out = (struct cache_backend_value){ .ttl_ms = CACHE_TTL_NONE };
    struct tc_call *call = tc_call_new(&r->env, TC_CALL_GET, 2);
    if (call == NULL)
        return CACHE_E_NOMEM;
    put_get(r, call, key);
    int status = call->command.status;
    if (status == CACHE_OK)
        status = run(r, &call, deadline_ms);
    if (status == CACHE_OK)
        status = take_value(r, call->results, out);
    tc_call_free(call);
    return status;
}

/* ---- writing ---- */

static void put_set(struct tc_redis *r, struct tc_call *call, struct cache_slice key, struct cache_slice data,
                    int64_t ttl_ms)
{
    char name[TC_REDIS_KEY_MAX_BYTES];
    size_t n = tc_redis_key(r->name_space, key, name);
    tc_command_begin(&call->command, ttl_ms == CACHE_TTL_FOREVER ? 3 : 5);
    tc_command_arg_text(&call->command, "SET");
    tc_command_arg(&call->command, name, n);
    tc_command_arg(&call->command, data.data, data.len);
    if (ttl_ms != CACHE_TTL_FOREVER) {
        tc_command_arg_text(&call->command, "PX");
        tc_command_arg_number(&call->command, ttl_ms);
    }
}

static bool valid_ttl(int64_t ttl_ms)
{
    return ttl_ms > 0 || ttl_ms == CACHE_TTL_FOREVER;
}

/* The answer to a SET or DEL. */
static int take_done(struct tc_redis *r, const struct tc_call *call, size_t i)
{
    const struct tc_result *result = &call->results[i];
    bool set = call->kind == TC_CALL_SET;
    if (result->kind == TC_RESULT_ERROR)
        return refused(r, result, set ? "SET" : "DEL");
    return result->kind == (set ? TC_RESULT_OK : TC_RESULT_INTEGER) ? CACHE_OK : CACHE_E_UNKNOWN;
}

static int redis_set(void *ctx, struct cache_slice key, struct cache_slice data, int64_t ttl_ms, int64_t deadline_ms)
{
    struct tc_redis *r = ctx;
    if (!valid_ttl(ttl_ms))
        return CACHE_E_INVALID;
    struct tc_call *call = tc_call_new(&r->env, TC_CALL_SET, 1);
    if (call == NULL)
        return CACHE_E_NOMEM;
    if (data.len > TC_COMMAND_INLINE_BYTES / 2)
        tc_command_reserve(&call->command, data.len + TC_REDIS_KEY_MAX_BYTES + SET_OVERHEAD_BYTES);
    put_set(r, call, key, data, ttl_ms);
    int status = call->command.status;
    if (status == CACHE_OK)
        status = run(r, &call, deadline_ms);
    if (status == CACHE_OK)
        status = take_done(r, call, 0);
    tc_call_free(call);
    return status;
}

static void put_del(struct tc_redis *r, struct tc_call *call, struct cache_slice key)
{
    char name[TC_REDIS_KEY_MAX_BYTES];
    size_t n = tc_redis_key(r->name_space, key, name);
    tc_command_begin(&call->command, 2);
    tc_command_arg_text(&call->command, "DEL");
    tc_command_arg(&call->command, name, n);
}

static int redis_del(void *ctx, struct cache_slice key, int64_t deadline_ms)
{
    struct tc_redis *r = ctx;
    struct tc_call *call = tc_call_new(&r->env, TC_CALL_DEL, 1);
    if (call == NULL)
        return CACHE_E_NOMEM;
    put_del(r, call, key);
    int status = call->command.status;
    if (status == CACHE_OK)
        status = run(r, &call, deadline_ms);
    if (status == CACHE_OK)
        status = take_done(r, call, 0);
    tc_call_free(call);
    return status;
}

/* ---- batches: all commands of a chunk in one call, one write, one round trip ---- */

static uint64_t command_bytes(enum tc_call_kind kind, const struct cache_backend_item *it)
{
    uint64_t key = it->key.len < TC_REDIS_KEY_PLAIN_MAX_BYTES ? it->key.len : TC_REDIS_KEY_PLAIN_MAX_BYTES;
    uint64_t one = key + TC_REDIS_NAME_SPACE_MAX_BYTES + SET_OVERHEAD_BYTES;
    return kind == TC_CALL_GET ? 2 * one : kind == TC_CALL_SET ? one + it->data.len : one;
}

/* How many items go together, and how many bytes they make at most; always at least one. */
static size_t chunk(enum tc_call_kind kind, const struct cache_backend_item *it, size_t n, uint64_t *bytes)
{
    size_t i = 0;
    *bytes = 0;
    while (i < n) {
        uint64_t more = command_bytes(kind, &it[i]);
        if (i > 0 && *bytes + more > CHUNK_BYTES)
            break;
        *bytes += more;
        i++;
    }
    return i;
}

static void put_item(struct tc_redis *r, struct tc_call *call, const struct cache_backend_item *it)
{
    if (call->kind == TC_CALL_GET)
        put_get(r, call, it->key);
    else if (call->kind == TC_CALL_SET)
        put_set(r, call, it->key, it->data, it->ttl_ms);
    else
        put_del(r, call, it->key);
}

static void take_item(struct tc_redis *r, struct tc_call *call, size_t i, struct cache_backend_item *it)
{
    if (call->kind == TC_CALL_GET)
        it->status = take_value(r, &call->results[2 * i], &it->value);
    else
        it->status = take_done(r, call, i);
}

/* After a failure the answers that did come are still good: each element has a result of its own. An element without
 * an answer shares the failure of the whole. */
static void take_items(struct tc_redis *r, struct tc_call *call, int status, struct cache_backend_item *it, size_t n)
{
    size_t each = call != NULL && call->kind == TC_CALL_GET ? 2 : 1;
    for (size_t i = 0; i < n; i++) {
        if (call != NULL && call->n_have >= (i + 1) * each)
            take_item(r, call, i, &it[i]);
        else
            it[i].status = status == CACHE_OK ? CACHE_E_PROTOCOL : status;
    }
}

static void run_chunk(struct tc_redis *r, enum tc_call_kind kind, struct cache_backend_item *it, size_t n,
                      uint64_t bytes, int64_t deadline_ms)
{
    struct tc_call *call = tc_call_new(&r->env, kind, kind == TC_CALL_GET ? 2 * n : n);
    int status = CACHE_E_NOMEM;
    if (call != NULL) {
        tc_command_reserve(&call->command, bytes);
        for (size_t i = 0; i < n; i++)
            put_item(r, call, &it[i]);
        status = call->command.status;
    }
    if (status == CACHE_OK)
        status = run(r, &call, deadline_ms);
    take_items(r, call, status, it, n);
    tc_call_free(call);
}

static void run_many(struct tc_redis *r, enum tc_call_kind kind, struct cache_backend_item *it, size_t n,
                     int64_t deadline_ms)
{
    while (n > 0) {
        uint64_t bytes;
        size_t k = chunk(kind, it, n, &bytes);
        run_chunk(r, kind, it, k, bytes, deadline_ms);
        it += k;
        n -= k;
    }
}

static void redis_get_many(void *ctx, struct cache_backend_item *it, size_t n, int64_t deadline_ms)
{
    for (size_t i = 0; i < n; i++)
        it[i].value = (struct cache_backend_value){ .ttl_ms = CACHE_TTL_NONE };
    run_many(ctx, TC_CALL_GET, it, n, deadline_ms);
}

/* Elements with a nonsensical life would make Redis refuse them; they are left out of the round trip. */
static void redis_set_many(void *ctx, struct cache_backend_item *it, size_t n, int64_t deadline_ms)
{
    size_t from = 0;
    for (size_t i = 0; i <= n; i++) {
        if (i < n && valid_ttl(it[i].ttl_ms))
            continue;
        run_many(ctx, TC_CALL_SET, it + from, i - from, deadline_ms);
        if (i < n)
            it[i].status = CACHE_E_INVALID;
        from = i + 1;
    }
}

static void redis_del_many(void *ctx, struct cache_backend_item *it, size_t n, int64_t deadline_ms)
{
    run_many(ctx, TC_CALL_DEL, it, n, deadline_ms);
}

/* ---- life ---- */

static int redis_attach(void *ctx, const struct cache_backend_host *host)
{
    struct tc_redis *r = ctx;
    r->env.host = host;
    atomic_store(&r->env.health, 1); /* the first attempt is about to come */
    return CACHE_OK;
}

static int redis_health(void *ctx)
{
    const struct tc_redis *r = ctx;
    return tc_redis_health(&r->env);
}

static int64_t redis_maintain(void *ctx)
{
    struct tc_redis *r = ctx;
    atomic_store_explicit(&r->env.maintainer, tc_redis_this_thread(), memory_order_relaxed);
    return tc_supervisor_run(&r->supervisor);
}

static void redis_stats(void *ctx, struct cache_backend_stats *out)
{
    const struct tc_redis *r = ctx;
    const struct tc_redis_counters *c = &r->env.counters;
#define LOAD(name) out->name = atomic_load_explicit(&c->count[TC_REDIS_##name], memory_order_relaxed);
    TC_REDIS_COUNTERS(LOAD)
#undef LOAD
}

static void redis_close(void *ctx)
{
    struct tc_redis *r = ctx;
    const struct tc_alloc *alloc = r->env.alloc;
    if (r->pipes != NULL)
        for (size_t i = 0; i < r->n_pipes; i++)
            tc_pipe_fini(&r->pipes[i]);
    tc_free(alloc, r->pipes, r->n_pipes * sizeof *r->pipes);
    tc_redis_url_fini(&r->url);
    tc_free(alloc, r, sizeof *r);
}

static void redis_forked(void *ctx)
{
    struct tc_redis *r = ctx;
    tc_links_close_all(&r->env.links);
}

const struct cache_backend_ops tc_redis_backend = {
    .abi = CACHE_BACKEND_ABI,
    .capabilities = CACHE_BACKEND_CAP_SHARED | CACHE_BACKEND_CAP_TTL,
    .name = "redis",
    .get = redis_get,
    .get_many = redis_get_many,
    .set = redis_set,
    .del = redis_del,
    .close = redis_close,
    .attach = redis_attach,
    .set_many = redis_set_many,
    .del_many = redis_del_many,
    .health = redis_health,
    .maintain = redis_maintain,
    .stats = redis_stats,
    .forked = redis_forked,
};

/* ---- opening ---- */

static bool valid_name_space(const char *s)
{
    size_t n = strlen(s);
    return n > 0 && n <= TC_REDIS_NAME_SPACE_MAX_BYTES &&
           strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == n;
}

static int init_pipes(struct tc_redis *r)
{
    for (size_t i = 0; i < r->n_pipes; i++)
        if (tc_pipe_init(&r->pipes[i], &r->env) != 0)
            return CACHE_E_SYSTEM;
    return CACHE_OK;
}

static int init(struct tc_redis *r, const struct tc_redis_opts *o, char *err, size_t err_cap)
{
    tc_links_init(&r->env.links);
    r->env.max_reply_bytes = o->max_reply_bytes;
    int status = tc_redis_url_init(&r->url, o->url, r->env.alloc, err, err_cap);
    if (status != CACHE_OK)
        return status;
    r->env.where = r->url.where;
    if (!valid_name_space(o->name_space) || o->connections == 0) {
        snprintf(err, err_cap, "Redis: the name space or the number of connections is not valid");
        return CACHE_E_INVALID;
    }
    memcpy(r->name_space, o->name_space, strlen(o->name_space) + 1);
    r->n_pipes = o->connections;
    r->pipes = tc_alloc_zeroed(r->env.alloc, r->n_pipes * sizeof *r->pipes);
    if (r->pipes == NULL) {
        snprintf(err, err_cap, "Redis: out of memory");
        return CACHE_E_NOMEM;
    }
    status = init_pipes(r);
    r->supervisor = (struct tc_supervisor){ .env = &r->env,
                                            .url = &r->url,
                                            .pipes = r->pipes,
                                            .n_pipes = r->n_pipes,
                                            .connect_timeout_ms = o->connect_timeout_ms };
    if (status != CACHE_OK || tc_supervisor_init(&r->supervisor) != 0) {
        snprintf(err, err_cap, "Redis: the system refused a lock or entropy");
        return CACHE_E_SYSTEM;
    }
    return CACHE_OK;
}

int tc_redis_open(const struct tc_redis_opts *o, const struct tc_alloc *alloc, void **ctx, char *err, size_t err_cap)
{
    char unheard[1];
    if (err == NULL || err_cap == 0) {
        err = unheard;
        err_cap = sizeof unheard;
    }
    struct tc_redis *r = tc_alloc_zeroed(alloc, sizeof *r);
    if (r == NULL) {
        snprintf(err, err_cap, "Redis: out of memory");
        return CACHE_E_NOMEM;
    }
    r->env.alloc = alloc;
    r->url.alloc = alloc;
    int status = init(r, o, err, err_cap);
    if (status != CACHE_OK) {
        redis_close(r);
        return status;
    }
    *ctx = r;
    return CACHE_OK;
}
