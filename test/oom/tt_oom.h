/* What the sweep over failing allocations (test_oom_sweep.c) and its scenarios (tt_oom_scenarios.c) share. */
#ifndef TT_OOM_H
#define TT_OOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fake/tt_cache.h"

enum tt_oom_setting { TT_L1_ALONE, TT_L2_UP, TT_L2_OUT, TT_L2_SILENT };
enum { TT_MAY_OLD = 1, TT_MAY_NEW = 2, TT_MAY_ABSENT = 4 }; /* a miss always may be */
enum { TT_OOM_MANY = 70 };

struct tt_oom_scenario {
    const char *name;
    void (*before)(void); /* with memory; NULL: nothing */
    void (*run)(void);
    bool closes; /* the cache is not asked for anything after it */
};
extern const struct tt_oom_scenario tt_oom_scenarios[];
extern const size_t tt_oom_n_scenarios;

/* The scenario under way. */
struct tt_oom_scene {
    struct tt_cache b;
    const struct tt_oom_scenario *scenario;
    enum tt_oom_setting setting;
    uint64_t nth; /* allocation that fails, and whether all after it do */
    bool for_ever;
    struct cache_key k, missing, other, many[TT_OOM_MANY];
    struct cache_item items[TT_OOM_MANY];
    struct cache_ticket ticket;
    struct tt_loader loader;
    unsigned n_stats; /* given to the statistics sink */
    unsigned may;     /* lie under k afterwards: "old", "new", an absence */
    bool closed;
};
extern struct tt_oom_scene tt_oom;

/* Fails the test with what was under way. */
void tt_oom_must(const char *file, int line, bool good, const char *what, int status);
#define tt_must(good, status) tt_oom_must(__FILE__, __LINE__, (good), #good, (status))

/* What was found under k is one of those, or a miss; may_fail: or memory was missing. */
void tt_oom_must_answer(const struct tt_answer *a, unsigned may, bool may_fail);

#endif
