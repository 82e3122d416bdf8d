/* Connecting, with back-off.
 *
 * An attempt that succeeds is only a promise: until the connection has answered a request (env->proven), the next
 * attempt is delayed as after a failure. So a server that accepts, shakes hands and then hangs or dies on every request
 * is not hammered, and one that closes an old connection is connected to again at once. */
#include "tier/redis/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tier/redis/handshake.h"
#include "tiercache.h"

#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 2000
#define BACKOFF_CONFIG_MIN_MS 1000 /* where needs_a_person() */
#define BACKOFF_CONFIG_MAX_MS 10000
#define TEXT_BYTES 192

int tc_supervisor_init(struct tc_supervisor *s)
{
    return tc_random_bytes(&s->random, sizeof s->random);
}

/* xorshift64* */
static uint64_t next_random(struct tc_supervisor *s)
{
    uint64_t x = s->random | 1;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    s->random = x;
    return x * UINT64_C(2685821657736338717);
}

/* Wrong credentials, or another server altogether: trying often does not help. */
static bool needs_a_person(int status)
{
    return status == CACHE_E_AUTH || status == CACHE_E_PROTOCOL;
}

/* Doubles with each attempt; half of it is random, so that processes that lost the server together do not come back
 * together. */
static int64_t backoff_ms(struct tc_supervisor *s, int status)
{
    bool config = needs_a_person(status);
    int64_t ms = config ? BACKOFF_CONFIG_MIN_MS : BACKOFF_MIN_MS;
    int64_t most = config ? BACKOFF_CONFIG_MAX_MS : BACKOFF_MAX_MS;
    for (unsigned i = 1; i < s->failures && ms < most; i++)
        ms *= 2;
    if (ms > most)
        ms = most;
    int64_t jittered = ms / 2 + (int64_t)(next_random(s) % (uint64_t)(ms / 2 + 1));
    return config && jittered < BACKOFF_CONFIG_MIN_MS ? BACKOFF_CONFIG_MIN_MS : jittered;
}

/* Tries one address after the other; each gets its share of the time, so that one black hole does not eat it all. */
static int connect_any(struct tc_supervisor *s, struct tc_link *link, int64_t until_ms)
{
    const struct tc_addresses *a = &s->addresses;
    int error = ENOENT;
    for (size_t i = 0; i < a->n; i++) {
        int64_t now = tc_mono_ms(), share = (until_ms - now) / (int64_t)(a->n - i);
        error = tc_link_open(link, &s->env->links, (const struct sockaddr *)&a->at[i], a->len[i],
                             now + (share > 0 ? share : 0));
        if (error == 0)
            return 0;
    }
    return error;
}

/* Returns a usable connection, or NULL with the status and what to say. */
static struct tc_conn *connect_one(struct tc_supervisor *s, int *status, char *text, size_t cap)
{
    const char *unresolved = tc_addresses_resolve(&s->addresses, s->url);
    if (s->addresses.n == 0) {
        snprintf(text, cap, "cannot be found: %s", unresolved);
        *status = CACHE_E_UNAVAILABLE;
        return NULL;
    }
    int64_t until_ms = tc_mono_ms() + s->connect_timeout_ms;
    struct tc_link link;
    int error = connect_any(s, &link, until_ms);
    if (error != 0) {
        char reason[96];
        snprintf(text, cap, "cannot be reached: %s", strerror_r(error, reason, sizeof reason));
        *status = error == ETIMEDOUT ? CACHE_E_TIMEOUT : CACHE_E_UNAVAILABLE;
        return NULL;
    }
    struct tc_conn *c = tc_conn_new(s->env, link);
    if (c == NULL) {
        snprintf(text, cap, "was left: out of memory");
        *status = CACHE_E_NOMEM;
        return NULL;
    }
    *status = tc_handshake(c, s->url, until_ms, text, cap);
    if (*status == CACHE_OK)
        return c;
    tc_conn_free(c);
    return NULL;
}

/* Errors that Redis answered are counted where they are read. */
static void count_failure(struct tc_redis_env *env, int status)
{
    if (status == CACHE_E_UNAVAILABLE || status == CACHE_E_TIMEOUT)
        tc_redis_count(&env->counters, TC_REDIS_err_connect, 1);
    else if (status == CACHE_E_PROTOCOL)
        tc_redis_count(&env->counters, TC_REDIS_err_protocol, 1);
}

static int fill(struct tc_supervisor *s, struct tc_pipe *p)
{
    char text[TEXT_BYTES];
    int status;
    struct tc_conn *c = connect_one(s, &status, text, sizeof text);
    if (c == NULL) {
        count_failure(s->env, status);
        tc_redis_report(s->env, needs_a_person(status) ? CACHE_LOG_ERROR : CACHE_LOG_WARNING, status, "%s", text);
        return status;
    }
    if (text[0] != '\0')
        tc_redis_report(s->env, CACHE_LOG_WARNING, CACHE_OK, "%s", text);
    tc_redis_report(s->env, CACHE_LOG_INFO, CACHE_OK, "is connected");
    tc_pipe_attach(p, c);
    return CACHE_OK;
}

static int fill_all(struct tc_supervisor *s)
{
    int status = CACHE_OK;
    for (size_t i = 0; i < s->n_pipes && status == CACHE_OK; i++)
        if (tc_pipe_is_missing(&s->pipes[i]))
            status = fill(s, &s->pipes[i]);
    return status;
}

static bool any_missing(struct tc_supervisor *s)
{
    for (size_t i = 0; i < s->n_pipes; i++)
        if (tc_pipe_is_missing(&s->pipes[i]))
            return true;
    return false;
}

int64_t tc_supervisor_run(struct tc_supervisor *s)
{
    if (!any_missing(s))
        return -1;
    if (atomic_exchange_explicit(&s->env->proven, false, memory_order_relaxed)) {
        s->failures = 0;
        s->next_try_ms = 0;
    }
    int64_t now = tc_mono_ms();
    if (now < s->next_try_ms)
        return s->next_try_ms - now;

    atomic_fetch_or(&s->env->health, 1u);
    int status = fill_all(s);
    atomic_fetch_and(&s->env->health, ~1u);
    s->failures++;
    int64_t pause = backoff_ms(s, status);
    s->next_try_ms = tc_mono_ms() + pause;
    for (size_t i = 0; i < s->n_pipes && status != CACHE_OK; i++)
        if (tc_pipe_is_missing(&s->pipes[i]))
            tc_pipe_give_up(&s->pipes[i]);
    return status != CACHE_OK || any_missing(s) ? pause : -1;
}
