/* The small callback tables as the library holds them: copied, completed with defaults, never NULL. */
#ifndef TC_BASE_HOOKS_H
#define TC_BASE_HOOKS_H

#include <stdbool.h>

#include "tiercache/hooks.h"

/* Time for lifetimes and deadlines. */
struct tc_clock {
    struct cache_clock_ops ops;
    void *ctx;
    bool system; /* ops are the system's: the coarse clock may be read directly */
};
extern const struct tc_clock tc_clock_system;

int64_t tc_clock_now_ms(const struct tc_clock *c);    /* exact: deadlines, moments of storing */
int64_t tc_clock_coarse_ms(const struct tc_clock *c); /* cheap, never ahead of now_ms: expiry on a hit */
int64_t tc_clock_wall_ms(const struct tc_clock *c);

/* now + timeout without overflow. */
int64_t tc_deadline(int64_t now_ms, int64_t timeout_ms);

/* Log and events with a rate limit of one a second and kind. */
#define TC_NOTICE_KINDS 32
struct tc_notices {
    struct cache_log_ops log; /* line NULL: silent */
    void *log_ctx;
    struct cache_event_ops events; /* event NULL: none */
    void *events_ctx;
    _Atomic int64_t next_log_ms[TC_NOTICE_KINDS]; /* by event kind; 0 = everything else */
    _Atomic int64_t next_event_ms[TC_NOTICE_KINDS];
    _Atomic uint64_t suppressed;
};

/* Writes a log line, at most one a second for each kind (CACHE_EVENT_*, or 0). No lock may be held. */
void tc_notice_log(struct tc_notices *n, int64_t now_ms, unsigned kind, int level, const char *component,
                   const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* Tells an event; the kinds that hooks.h says are limited come at most once a second. No lock may be held. */
void tc_notice_event(struct tc_notices *n, int64_t now_ms, const struct cache_event *e);

#endif
