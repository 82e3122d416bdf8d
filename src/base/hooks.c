/* Defaults of the small tables, and the rate limit that keeps a fault from flooding its log. */
#include "base/hooks.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "platform/platform.h"

static int64_t system_mono_ms(void *ctx)
{
    (void)ctx;
    return tc_mono_ms();
}

static int64_t system_wall_ms(void *ctx)
{
    (void)ctx;
    return tc_wall_ms();
}

const struct tc_clock tc_clock_system = { { CACHE_HOOKS_ABI, system_mono_ms, system_wall_ms }, NULL, true };

int64_t tc_clock_now_ms(const struct tc_clock *c)
{
    return c->ops.mono_ms(c->ctx);
}

int64_t tc_clock_coarse_ms(const struct tc_clock *c)
{
    return c->system ? tc_mono_coarse_ms() : c->ops.mono_ms(c->ctx);
}

int64_t tc_clock_wall_ms(const struct tc_clock *c)
{
    return c->ops.wall_ms(c->ctx);
}

int64_t tc_deadline(int64_t now_ms, int64_t timeout_ms)
{
    return timeout_ms > INT64_MAX - now_ms ? INT64_MAX : now_ms + timeout_ms;
}

#define NOTICE_INTERVAL_MS 1000

/* True if a second has passed since the last one that was let through; of several at once one wins. */
static bool may_pass(struct tc_notices *n, _Atomic int64_t *next, int64_t now_ms)
{
    int64_t due = atomic_load_explicit(next, memory_order_relaxed);
    if (now_ms >= due &&
        atomic_compare_exchange_strong_explicit(next, &due, tc_deadline(now_ms, NOTICE_INTERVAL_MS),
                                                memory_order_relaxed, memory_order_relaxed))
        return true;
    atomic_fetch_add_explicit(&n->suppressed, 1, memory_order_relaxed);
    return false;
}

void tc_notice_log(struct tc_notices *n, int64_t now_ms, unsigned kind, int level, const char *component,
                   const char *fmt, ...)
{
    tc_assert(kind < TC_NOTICE_KINDS);
    if (n->log.line == NULL || !may_pass(n, &n->next_log_ms[kind], now_ms))
        return;
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    n->log.line(n->log_ctx, level, component, text);
}

static bool is_limited(uint32_t kind)
{
    return kind == CACHE_EVENT_BAD_FRAME || kind == CACHE_EVENT_WRONG_KEY || kind == CACHE_EVENT_LOAD_FAILED;
}

void tc_notice_event(struct tc_notices *n, int64_t now_ms, const struct cache_event *e)
{
    tc_assert(e->kind < TC_NOTICE_KINDS);
    if (n->events.event == NULL)
        return;
    if (is_limited(e->kind) && !may_pass(n, &n->next_event_ms[e->kind], now_ms))
        return;
    n->events.event(n->events_ctx, e);
}
