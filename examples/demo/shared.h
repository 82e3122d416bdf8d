/* shared.h - what the processes of the demo share: one block of memory, mapped before the workers are forked.
 *
 * Who writes what: the parent writes phase, stop, go, the settings (before go) and the change log; each worker writes
 * its own struct worker_results and reads the rest. Everything that is read while it is written is atomic. */
#ifndef DEMO_SHARED_H
#define DEMO_SHARED_H

#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "catalogue.h"
#include "latency.h"
#include "traffic.h"

enum { MAX_WORKERS = 8, MAX_THREADS = 32, MAX_CHANGES = 16384 };

/* The demo's one type of entry. */
#define PAGE_TYPE_NAME "page"
enum { PAGE_L1_TTL_MS = 1000, PAGE_TTL_MS = 600000, PAGE_MAX_STALE_MS = 60000, L2_TIMEOUT_MS = 100 };

/* A load that took longer is answered but not cached; the second invalidation of a change comes after that time
 * (see changes.c). */
enum { LONGEST_LOAD_MS = 100, SECOND_INVALIDATION_MS = 250 };

enum phase {
    PHASE_WAIT,
    PHASE_UNIFORM,
    PHASE_ZIPF_080,
    PHASE_WARM_099,
    PHASE_ZIPF_099,
    PHASE_CHANGES,
    PHASE_OUTAGE,
    PHASE_RECOVERY,
    PHASES
};

/* Where an answer came from. */
enum source { FROM_L1, FROM_L2, FROM_STALE, FROM_ORIGIN, FROM_JOINED, SOURCES };

enum wrong { WRONG_NOT, WRONG_OTHER_KEY, WRONG_BYTES, WRONG_NEVER_EXISTED, WRONG_TOO_OLD, WRONGS };

struct worker_results {
    struct latency latency[PHASES][SOURCES]; /* of the whole call; its count is the number of answers */
    struct latency origin[PHASES];           /* of the loader alone; its count is the number of origin calls */
    _Atomic uint64_t failed[PHASES];         /* requests without an answer */
    _Atomic uint64_t behind[PHASES];         /* requests that began over 10 ms after they were due */
    _Atomic uint64_t uncached_loads; /* loads longer than LONGEST_LOAD_MS */
    _Atomic uint64_t wrong[WRONGS];
    _Atomic uint64_t stale_reads;         /* not flagged, yet older than an acknowledged first invalidation */
    _Atomic int64_t staleness_ns;         /* the largest, since the acknowledgement that counts: the second's */
    _Atomic int64_t staleness_first_ns;   /* the largest since the first's */
    _Atomic int64_t flagged_staleness_ns; /* the largest of flagged answers, since the commit */
    _Atomic uint64_t flagged_old;         /* flagged answers that were older than a committed change */
    _Atomic int last_status;              /* of the last failed request */
    _Atomic int l2_out;                   /* 1 between the events L2_DOWN and L2_UP */
    _Atomic uint64_t l2_outages;
    _Atomic int64_t l2_up_ns;                                /* when L2 came back last */
    _Atomic uint64_t l1_bytes, l1_entries, recovery_pending; /* gauges, refreshed a few times a second */
    _Atomic int ready;                                       /* 1: serving; -1: could not start */
};

/* One change of one package: written by the parent in this order, never again. A time of 0: not yet. */
struct change {
    uint32_t item;     /* index of the package */
    uint32_t revision; /* the revision that it made */
    uint64_t token;
    uint32_t previous; /* the change before it of the same package, plus 1; 0 = none */
    _Atomic int64_t commit_ns;       /* after the commit returned */
    _Atomic int64_t first_ack_ns;    /* L2 acknowledged the first invalidation */
    _Atomic int64_t ack_ns;          /* L2 acknowledged the second: from here on the L1 TTL counts */
};

struct shared {
    _Atomic int phase; /* enum phase */
    _Atomic int stop;
    _Atomic int go; /* the settings below are complete */

    uint32_t workers, threads;
    uint64_t seed;
    double requests_per_second; /* of each thread; 0 = one after the other without a pause */
    uint64_t l1_bytes;
    char db_path[PATH_MAX];
    char l2_url[PATH_MAX];

    struct worker_results worker[MAX_WORKERS];

    _Atomic uint32_t n_changes;
    struct change change[MAX_CHANGES];
    _Atomic uint32_t latest[]; /* by package: its latest change, plus 1; 0 = none */
};

/* Everything that is read only after the fork. */
struct demo {
    struct shared *shared;
    struct catalogue catalogue;
    struct traffic traffic;
};

static inline enum skew phase_skew(enum phase p)
{
    return p == PHASE_UNIFORM ? SKEW_UNIFORM : p == PHASE_ZIPF_080 ? SKEW_ZIPF_080 : SKEW_ZIPF_099;
}

struct shared *shared_map(uint32_t n_items); /* NULL on failure; zeroed */
void shared_unmap(struct shared *s, uint32_t n_items);

#endif
