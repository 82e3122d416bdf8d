/* Options: growth by size, validation, defaults, and the environment. */
#include "api/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/evict.h"
#include "policy/ttl.h"
#include "tier/l1/l1.h"
#include "tier/redis/url.h"

int tc_options_refuse(char *err, size_t err_cap, int status, const char *fmt, ...)
{
    if (err != NULL && err_cap > 0) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(err, err_cap, fmt, ap);
        va_end(ap);
    }
    return status;
}

bool tc_options_copy(void *out, size_t out_size, const void *in)
{
    uint32_t size;
    if (in == NULL)
        return false;
    memcpy(&size, in, sizeof size);
    if (size < sizeof size || size > 65536)
        return false;
    if (size > sizeof size)
        size &= ~(uint32_t)7; /* whole fields: half a pointer is none */
    if (size < 2 * sizeof size)
        size = sizeof size;
    memset(out, 0, out_size);
    memcpy(out, in, size < out_size ? size : out_size);
    for (size_t i = out_size; i < size; i++)
        if (((const unsigned char *)in)[i] != 0)
            return false;
    return true;
}

const char *tc_options_url_fault(const char *why)
{
    static const char its_name[] = "Redis URL: ";
    return strncmp(why, its_name, strlen(its_name)) == 0 ? why + strlen(its_name) : why;
}

#define DEFAULT_L1_BYTES (UINT64_C(64) << 20)
#define LEAST_L1_BYTES (UINT64_C(64) << 10)
#define LEAST_STRIPE_BYTES (UINT64_C(16) << 10)
#define DEFAULT_TTL_MS 300000
#define DEFAULT_TIMEOUT_MS 1000
#define DEFAULT_L2_TIMEOUT_MS 200
#define DEFAULT_CONNECT_TIMEOUT_MS 1000
#define DEFAULT_MAX_VALUE_BYTES (UINT64_C(64) << 20)
#define MOST_VALUE_BYTES (UINT64_C(511) << 20) /* Redis takes 512 MiB, frame included */
#define DEFAULT_RECOVERY_KEYS 65536
#define MOST_CONNECTIONS 16

static int check_numbers(const struct cache_opts *o, char *err, size_t err_cap)
{
    if (o->flags & ~(uint32_t)(CACHE_OPEN_REQUIRE_L2 | CACHE_OPEN_HUGE_PAGES))
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID, "flags: unknown bits are set");
    if (o->name != NULL && !tc_name_is_valid(o->name))
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID, "name: must be 1 to 64 of [A-Za-z0-9_.-]");
    if (o->l1_bytes != 0 && o->l1_bytes < LEAST_L1_BYTES)
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID, "l1_bytes: must be 0 (default) or at least %llu",
                                 (unsigned long long)LEAST_L1_BYTES);
    if (o->l1_bytes > INT64_MAX)
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID, "l1_bytes: out of range");
    if ((o->l1_stripes & (o->l1_stripes - 1)) != 0 || o->l1_stripes > TC_L1_STRIPES_MOST)
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID, "l1_stripes: must be a power of two up to %d",
                                 TC_L1_STRIPES_MOST);
    if (o->l2_connections > MOST_CONNECTIONS)
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID, "l2_connections: at most %d", MOST_CONNECTIONS);
    if (o->default_ttl_ms < 0 && o->default_ttl_ms != CACHE_TTL_FOREVER)
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID,
                                 "default_ttl_ms: must be 0 (default), positive or CACHE_TTL_FOREVER");
    if (o->timeout_ms < 0)
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID, "timeout_ms: must not be negative");
    if (o->l2_timeout_ms < 0)
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID, "l2_timeout_ms: must not be negative");
    if (o->connect_timeout_ms < 0)
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID, "connect_timeout_ms: must not be negative");
    if (o->max_value_bytes > MOST_VALUE_BYTES)
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID, "max_value_bytes: at most %llu",
                                 (unsigned long long)MOST_VALUE_BYTES);
    if (o->evict_node_bytes > TC_EVICT_NODE_MAX)
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID, "evict_node_bytes: at most %d", TC_EVICT_NODE_MAX);
    if (o->l2_url != NULL && o->backend != NULL)
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID, "l2_url, backend: only one of them may be given");
    if (o->flags & CACHE_OPEN_HUGE_PAGES && o->alloc != NULL)
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID, "flags: HUGE_PAGES with an allocator of your own");
    if (o->flags & CACHE_OPEN_REQUIRE_L2 && o->l2_url == NULL && o->backend == NULL)
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID, "flags: REQUIRE_L2 without l2_url or backend");
    return CACHE_OK;
}

#define BACKEND_CAPABILITIES ((uint32_t)(CACHE_BACKEND_CAP_SHARED | CACHE_BACKEND_CAP_TTL))

static bool backend_is_good(const struct cache_backend_ops *b)
{
    struct cache_backend_ops completed;
    return tc_l2_complete(b, &completed) == CACHE_OK && (b->capabilities & ~BACKEND_CAPABILITIES) == 0;
}

/* The first table that cannot be used, or NULL. */
static const char *bad_table(const struct cache_opts *o)
{
    if (o->alloc != NULL && (o->alloc->abi != CACHE_HOOKS_ABI || o->alloc->alloc == NULL || o->alloc->free == NULL))
        return "alloc";
    if (o->clock != NULL &&
        (o->clock->abi != CACHE_HOOKS_ABI || o->clock->mono_ms == NULL || o->clock->wall_ms == NULL))
        return "clock";
    if (o->log != NULL && (o->log->abi != CACHE_HOOKS_ABI || o->log->line == NULL))
        return "log";
    if (o->events != NULL && (o->events->abi != CACHE_HOOKS_ABI || o->events->event == NULL))
        return "events";
    if (o->stats_sink != NULL && (o->stats_sink->abi != CACHE_HOOKS_ABI || o->stats_sink->stat == NULL))
        return "stats_sink";
    if (o->key_encoder != NULL &&
        (o->key_encoder->abi != CACHE_HOOKS_ABI || o->key_encoder->begin == NULL || o->key_encoder->part == NULL))
        return "key_encoder";
    if (o->backend != NULL && !backend_is_good(o->backend))
        return "backend";
    return NULL;
}

static int check_tables(const struct cache_opts *o, char *err, size_t err_cap)
{
    const char *bad = bad_table(o);
    if (bad != NULL)
        return tc_options_refuse(err, err_cap, CACHE_E_ABI,
                                 "%s: unknown abi, unknown bits are set, or a required slot is missing", bad);
    const char *fault = o->evict != NULL ? tc_evict_fault(o->evict) : NULL;
    return fault != NULL ? tc_options_refuse(err, err_cap, CACHE_E_ABI, "evict: %s", fault) : CACHE_OK;
}

static void default_to(int64_t *field, int64_t value)
{
    if (*field == 0)
        *field = value;
    else if (*field > CACHE_TTL_MAX_MS)
        *field = CACHE_TTL_MAX_MS;
}

int tc_options_complete(struct cache_opts *o, char *err, size_t err_cap)
{
    int rc = check_numbers(o, err, err_cap);
    if (rc == CACHE_OK)
        rc = check_tables(o, err, err_cap);
    if (rc != CACHE_OK)
        return rc;
    if (o->name == NULL)
        o->name = "cache";
    if (o->l1_bytes == 0)
        o->l1_bytes = DEFAULT_L1_BYTES;
    if (o->l1_bytes / LEAST_STRIPE_BYTES < o->l1_stripes)
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID,
                                 "l1_bytes: too few for that many l1_stripes (16 KiB each)");
    if (o->l2_connections == 0)
        o->l2_connections = 1;
    default_to(&o->default_ttl_ms, DEFAULT_TTL_MS);
    default_to(&o->timeout_ms, DEFAULT_TIMEOUT_MS);
    default_to(&o->l2_timeout_ms, DEFAULT_L2_TIMEOUT_MS);
    default_to(&o->connect_timeout_ms, DEFAULT_CONNECT_TIMEOUT_MS);
    if (o->max_value_bytes == 0)
        o->max_value_bytes = DEFAULT_MAX_VALUE_BYTES;
    if (o->recovery_max_keys == 0)
        o->recovery_max_keys = DEFAULT_RECOVERY_KEYS;
    return CACHE_OK;
}

#define CALL_FLAGS ((uint32_t)(CACHE_CALL_L1_ONLY | CACHE_CALL_NO_STALE))

int tc_options_call(const struct cache_call *in, struct cache_call *o)
{
    *o = (struct cache_call)CACHE_CALL_INIT;
    if (in == NULL)
        return CACHE_OK;
    bool good = tc_options_copy(o, sizeof *o, in) && (o->flags & ~CALL_FLAGS) == 0 && o->timeout_ms >= 0;
    return good ? CACHE_OK : CACHE_E_INVALID;
}

int tc_options_set(const struct cache_set_opts *in, struct cache_set_opts *o)
{
    *o = (struct cache_set_opts)CACHE_SET_OPTS_INIT;
    if (in == NULL)
        return CACHE_OK;
    bool good = tc_options_copy(o, sizeof *o, in) && o->flags == 0 && o->timeout_ms >= 0 &&
                tc_ttl_is_valid(o->ttl_ms);
    return good ? CACHE_OK : CACHE_E_INVALID;
}

#define TTL_SECONDS_MAX (CACHE_TTL_MAX_MS / 1000)

static bool parse_seconds(const char *s, int64_t *ms)
{
    char *end;
    errno = 0;
    if (*s < '0' || *s > '9')
        return false;
    long long seconds = strtoll(s, &end, 10);
    if (errno != 0 || *end != '\0' || seconds < 1 || seconds > TTL_SECONDS_MAX)
        return false;
    *ms = seconds * 1000;
    return true;
}

static int check_url(const char *text, char *err, size_t err_cap)
{
    char why[160] = "";
    struct tc_redis_url url;
    int rc = tc_redis_url_init(&url, text, &tc_alloc_default, why, sizeof why);
    tc_redis_url_fini(&url);
    return rc == CACHE_OK ? rc : tc_options_refuse(err, err_cap, rc, "REDIS_URL: %s", tc_options_url_fault(why));
}

int cache_opts_from_env(struct cache_opts *o, char *err, size_t err_cap)
{
    struct cache_opts copy;
    if (err != NULL && err_cap > 0)
        err[0] = '\0';
    size_t needed = offsetof(struct cache_opts, default_ttl_ms) + sizeof copy.default_ttl_ms;
    if (!tc_options_copy(&copy, sizeof copy, o) || o->size < needed)
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID, "o: not initialised with CACHE_OPTS_INIT");
    const char *url = getenv("REDIS_URL"), *ttl = getenv("CACHE_DEFAULT_TTL");
    int64_t ttl_ms = copy.default_ttl_ms;
    if (ttl != NULL && *ttl != '\0' && !parse_seconds(ttl, &ttl_ms))
        return tc_options_refuse(err, err_cap, CACHE_E_INVALID,
                                 "CACHE_DEFAULT_TTL: must be whole seconds from 1 to %lld",
                                 (long long)TTL_SECONDS_MAX);
    if (url != NULL && *url != '\0') {
        int rc = check_url(url, err, err_cap);
        if (rc != CACHE_OK)
            return rc;
        o->l2_url = url;
    }
    o->default_ttl_ms = ttl_ms;
    return CACHE_OK;
}
