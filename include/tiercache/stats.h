/* tiercache/stats.h - every statistic, once: the struct, the text dump, the sink and docs/statistics.md come from
 * CACHE_STATS_TABLE. Included by tiercache.h.
 *
 * X(name, kind, unit, help): kind COUNTER only grows; GAUGE is a value of the moment.
 * For one type the fields of the L2 transport and of the recovery queue are 0: they belong to the cache. */
#ifndef TIERCACHE_STATS_H
#define TIERCACHE_STATS_H

#include <stdint.h>

#include "tiercache/symbols.h"

/* counted per type */
#define CACHE_STATS_TYPE_COUNTERS(X)                                                                                 \
    X(l1_hits, COUNTER, "lookups", "lookups answered from L1, cached absences and stale answers included")           \
    X(l1_misses, COUNTER, "lookups", "lookups that L1 could not answer")                                             \
    X(l1_stale, COUNTER, "lookups", "answers past their TTL, given because L2 or the loader failed")                 \
    X(l1_absent, COUNTER, "lookups", "answers that were a cached absence, from either tier")                         \
    X(l1_sets, COUNTER, "entries", "entries stored in L1")                                                           \
    X(l1_replaced, COUNTER, "entries", "entries that a newer value of the same key replaced")                        \
    X(l1_invalidated, COUNTER, "entries", "entries dropped by an invalidation or a write")                           \
    X(l1_cleared, COUNTER, "entries", "entries dropped by cache_clear_local")                                        \
    X(l1_expired, COUNTER, "entries", "entries reclaimed after their TTL and stale window")                          \
    X(l1_evicted_bytes, COUNTER, "entries", "entries evicted for the memory limit")                                  \
    X(l1_evicted_quota, COUNTER, "entries", "entries evicted for their type's quota")                                \
    X(l1_evicted_probe, COUNTER, "entries", "entries evicted because too many keys shared a probe sequence")         \
    X(l1_too_large, COUNTER, "entries", "values kept out of L1 for their size")                                      \
    X(l2_hits, COUNTER, "lookups", "lookups answered from L2")                                                       \
    X(l2_misses, COUNTER, "lookups", "lookups that L2 answered with nothing")                                        \
    X(l2_skipped, COUNTER, "lookups", "lookups that L2 was not asked: out of reach, or invalidations wait for it")   \
    X(l2_failed, COUNTER, "lookups", "lookups that L2 was asked and failed to answer")                               \
    X(l2_distrusted, COUNTER, "lookups", "L2 values taken as a miss because an invalidation of them may be lost")    \
    X(l2_bad_frames, COUNTER, "lookups", "L2 values that were no valid frame, or of an unknown format")              \
    X(l2_wrong_key, COUNTER, "lookups", "L2 values that carried another key than the one asked for")                 \
    X(l2_sets, COUNTER, "entries", "values that L2 acknowledged")                                                    \
    X(l2_set_failed, COUNTER, "entries", "values that L2 did not acknowledge")                                       \
    X(sets, COUNTER, "calls", "values and absences given to cache_set, cache_set_absent, cache_set_many")            \
    X(tickets_refused, COUNTER, "calls", "values refused because their key was invalidated since the miss")          \
    X(loads, COUNTER, "calls", "loader calls")                                                                       \
    X(load_errors, COUNTER, "calls", "loader calls that failed or replied nothing")                                  \
    X(loads_discarded, COUNTER, "calls", "loader replies not stored: the key was invalidated meanwhile")             \
    X(coalesced_waits, COUNTER, "calls", "fetches that waited for another caller's load")                            \
    X(wait_timeouts, COUNTER, "calls", "of these, those whose time ran out")                                         \
    X(recursions, COUNTER, "calls", "fetches refused because their own loader made them")                            \
    X(invalidations, COUNTER, "keys", "keys given to cache_invalidate and cache_invalidate_many")                    \
    X(invalidations_queued, COUNTER, "keys", "of these, those that L2 did not acknowledge at once")

/* state of a type in L1 */
#define CACHE_STATS_TYPE_GAUGES(X)                                                                                   \
    X(l1_entries, GAUGE, "entries", "entries in L1")                                                                 \
    X(l1_bytes, GAUGE, "bytes", "memory of L1 in use, all overhead included")                                        \
    X(l1_limit_bytes, GAUGE, "bytes", "limit of that memory (of a type: its quota, 0 without)")                      \
    X(l1_limit_entries, GAUGE, "entries", "quota of entries, 0 without")

/* of the whole cache */
#define CACHE_STATS_CACHE_FIELDS(X)                                                                                  \
    X(l1_pins, GAUGE, "values", "values handed out and not yet released")                                            \
    X(l1_detached_bytes, GAUGE, "bytes", "memory of pinned values that are no longer in L1")                         \
    X(l2_state, GAUGE, "state", "0 no L2, 1 down, 2 connecting, 3 up, 4 up and replaying invalidations")             \
    X(l2_round_trips, COUNTER, "batches", "batches of commands written to L2")                                       \
    X(l2_commands, COUNTER, "commands", "commands sent to L2")                                                       \
    X(l2_bytes_sent, COUNTER, "bytes", "bytes sent to L2")                                                           \
    X(l2_bytes_received, COUNTER, "bytes", "bytes received from L2")                                                 \
    X(l2_connects, COUNTER, "connections", "connections to L2 that became usable")                                   \
    X(l2_reconnects, COUNTER, "connections", "of these, those that replaced a lost one")                             \
    X(l2_err_connect, COUNTER, "errors", "connections refused, unreachable, timed out, or names not resolved")       \
    X(l2_err_timeout, COUNTER, "errors", "commands whose deadline passed")                                           \
    X(l2_err_closed, COUNTER, "errors", "connections that L2 closed or reset")                                       \
    X(l2_err_protocol, COUNTER, "errors", "connections closed because what came was not the Redis protocol")         \
    X(l2_err_auth, COUNTER, "errors", "NOAUTH, WRONGPASS and NOPERM answers")                                        \
    X(l2_err_oom, COUNTER, "errors", "OOM answers")                                                                  \
    X(l2_err_loading, COUNTER, "errors", "LOADING and MASTERDOWN answers")                                           \
    X(l2_err_readonly, COUNTER, "errors", "READONLY answers")                                                        \
    X(l2_err_misconf, COUNTER, "errors", "MISCONF answers")                                                          \
    X(l2_err_busy, COUNTER, "errors", "BUSY and TRYAGAIN answers")                                                   \
    X(l2_err_wrongtype, COUNTER, "errors", "values under our names that are not for us: of another type, or too long")  \
    X(l2_err_redirect, COUNTER, "errors", "MOVED, ASK, CLUSTERDOWN and CROSSSLOT answers")                           \
    X(l2_err_other, COUNTER, "errors", "other error answers")                                                        \
    X(recovery_pending, GAUGE, "keys", "invalidations waiting for L2")                                               \
    X(recovery_replayed, COUNTER, "keys", "invalidations that L2 acknowledged after waiting")                        \
    X(recovery_overflows, COUNTER, "keys", "invalidations that could not be kept; see l2_distrusted")                \
    X(events_suppressed, COUNTER, "events", "events and log lines left out by the rate limit")

/* of a latency histogram: log-linear, 8 steps to each power of two, so a quantile is at most 12.5 % too high */
#define CACHE_STATS_LATENCY(X, name, what)                                                                           \
    X(name##_count, COUNTER, "samples", what ": how many were timed")                                                \
    X(name##_p50_ns, GAUGE, "ns", what ": median")                                                                   \
    X(name##_p90_ns, GAUGE, "ns", what ": 90th percentile")                                                          \
    X(name##_p99_ns, GAUGE, "ns", what ": 99th percentile")                                                          \
    X(name##_p999_ns, GAUGE, "ns", what ": 99.9th percentile")                                                       \
    X(name##_max_ns, GAUGE, "ns", what ": longest")                                                                  \
    X(name##_sum_ns, COUNTER, "ns", what ": all together")

#define CACHE_STATS_LATENCIES(X)                                                                                     \
    CACHE_STATS_LATENCY(X, l1_hit, "time of an L1 hit (one in 1,024 is timed)")                                      \
    CACHE_STATS_LATENCY(X, l2_get, "time of a read from L2")                                                         \
    CACHE_STATS_LATENCY(X, load, "time of a loader call")

#define CACHE_STATS_TABLE(X)                                                                                         \
    CACHE_STATS_TYPE_COUNTERS(X) CACHE_STATS_TYPE_GAUGES(X) CACHE_STATS_CACHE_FIELDS(X) CACHE_STATS_LATENCIES(X)

/* Filled by cache_stats_read(). New fields are added at the end of their group only with a new SONAME. */
struct cache_stats {
#define CACHE_STATS_FIELD(name, kind, unit, help) uint64_t name;
    CACHE_STATS_TABLE(CACHE_STATS_FIELD)
#undef CACHE_STATS_FIELD
};

#endif
