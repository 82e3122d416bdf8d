/* A timer wheel without lists: where an entry would lie in a hierarchical wheel (Varghese and Lauck, "Hashed and
 * Hierarchical Timing Wheels", SOSP 1987) is written into its lane of the table as a code of 16 bits, and a hand goes
 * round the buckets, two at each store. What it finds to be due it takes out; whatever the number of entries, a store
 * pays for two cache lines that follow each other, and no entry has to be looked at before its time has come.
 *
 * So an expired entry is gone after one store for two buckets of its stripe's table; with the stores that fill a cache,
 * one entry in twelve at most is waiting for that. */
#ifndef TC_TIER_L1_WHEEL_H
#define TC_TIER_L1_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define TC_WHEEL_TICK_MS 64
#define TC_WHEEL_LEVELS 4
#define TC_WHEEL_LEVEL_BITS 6
#define TC_WHEEL_SLOT_BITS 14
#define TC_WHEEL_SLOTS (1 << TC_WHEEL_SLOT_BITS)
#define TC_WHEEL_BUCKETS 2 /* that the hand passes at each store */

/* The code for a moment, seen from now: 0 for TC_NEVER_MS, which is never due. */
uint16_t tc_wheel_code(int64_t due_ms, int64_t now_ms);

/* Whether the moment has come. It may be told late by a 31st of the time that lay ahead and two ticks; never early. A
 * moment that is more than two years ahead is told earlier, to be coded anew: who gets true compares with the true one.
 * A code is good for one look at least each TC_WHEEL_TRUST_MS: after a longer time without one, what is past may read
 * as ahead. */
#define TC_WHEEL_TRUST_MS (8000 * TC_WHEEL_TICK_MS)
static inline bool tc_wheel_is_due(uint16_t code, int64_t now_ms)
{
    int64_t slot = now_ms / TC_WHEEL_TICK_MS >> TC_WHEEL_LEVEL_BITS * (code >> TC_WHEEL_SLOT_BITS);
    uint64_t past = (uint64_t)(slot - code) & (TC_WHEEL_SLOTS - 1);
    return code != 0 && past < TC_WHEEL_SLOTS / 2;
}

#endif
