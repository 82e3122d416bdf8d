/* A hierarchical timer wheel: entries of one stripe by the moment at which their memory may be reclaimed. Adding,
 * removing and reclaiming cost O(1) an entry whatever the number of entries; nothing is ever scanned.
 * Scheme 7 of Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987). The stripe's lock is held. */
#ifndef TC_TIER_L1_WHEEL_H
#define TC_TIER_L1_WHEEL_H

#include "tier/l1/entry.h"

#define TC_WHEEL_LEVELS 4
#define TC_WHEEL_SLOTS 64
#define TC_WHEEL_TICK_MS 64 /* 4 levels of 64 reach 12 days; what lies beyond waits in the last slot and is moved on */

/* Steps that one operation spends: an entry is moved down once a level and taken out once, and the wheel goes on between
 * these, so this many keep up with one addition an operation at any rate. */
#define TC_WHEEL_STEPS 16

struct tc_wheel {
    int64_t tick; /* the next tick to look at; everything before is done */
    uint64_t used[TC_WHEEL_LEVELS]; /* bit s: slot s is not empty */
    struct tc_entry *slots[TC_WHEEL_LEVELS][TC_WHEEL_SLOTS];
};

void tc_wheel_init(struct tc_wheel *w, int64_t now_ms);
void tc_wheel_add(struct tc_wheel *w, struct tc_entry *e); /* at e->keep_until_ms, which is not TC_NEVER_MS */
void tc_wheel_remove(struct tc_wheel *w, struct tc_entry *e); /* does nothing if it is not in the wheel */

/* An entry whose time has come, removed from the wheel, or NULL. *steps bounds the work: each entry moved between
 * levels or skipped stretch of empty slots takes one, and at 0 NULL is returned though more may be due. */
struct tc_entry *tc_wheel_due(struct tc_wheel *w, int64_t now_ms, unsigned *steps);

#endif
