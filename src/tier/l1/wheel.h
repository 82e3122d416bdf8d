/* A timer wheel without lists: where an entry would lie in a hierarchical wheel (Varghese and Lauck, "Hashed and
 * Hierarchical Timing Wheels", SOSP 1987) is written into its lane of the table as a code of 8 bits, and a hand goes
 * round the buckets, one at each store that takes the lock. What it finds to be due it takes out; whatever the number
 * of entries, a store pays for one cache line, and no entry has to be looked at before its time has come.
 *
 * So an expired entry is gone after one store for each bucket of its stripe's table; with the stores that fill a cache,
 * one entry in eight at most is waiting for that. */
#ifndef TC_TIER_L1_WHEEL_H
#define TC_TIER_L1_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define TC_WHEEL_TICK_MS 64
#define TC_WHEEL_BUCKETS 1 /* that the hand passes at each store */

/* The code for a moment, seen from now: 0 for TC_NEVER_MS, which is never due. */
uint8_t tc_wheel_code(int64_t due_ms, int64_t now_ms);

/* Which codes say that their moment has come: a bit for each. It may be told late by a third of the time that lay ahead
 * and two ticks, by four seconds and two ticks at most; never early. A moment that is more than 48 seconds ahead is
 * told earlier, to be coded anew: who is told compares with the true one.
 * since_ms: how long ago the code was looked at last, or made. After too long a time what is past may read as ahead:
 * then every code of that kind is told, tc_wheel_trust_ms() says when. */
struct tc_wheel_due {
    uint64_t codes[4];
    uint64_t turn, ahead; /* for tc_wheel_are_ahead() */
};
void tc_wheel_look(int64_t now_ms, int64_t since_ms, struct tc_wheel_due *due);

/* Eight codes at once: each says never or lies ahead on the last circle, as nearly all do. False: perhaps not. A code
 * on it has its upper two bits set; the others, turned to where what is past begins, are more than what is past. */
#define TC_WHEEL_BYTES UINT64_C(0x0101010101010101)
static inline bool tc_wheel_are_ahead(const struct tc_wheel_due *due, uint64_t codes)
{
    uint64_t slots = ((codes & 0x3F * TC_WHEEL_BYTES) + due->turn) & 0x3F * TC_WHEEL_BYTES;
    uint64_t told = ((codes & 0x7F * TC_WHEEL_BYTES) + 0x7F * TC_WHEEL_BYTES) | codes;
    return (told & ~(codes & codes << 1 & (slots + due->ahead)) & 0x80 * TC_WHEEL_BYTES) == 0;
}
static inline bool tc_wheel_is_due(const struct tc_wheel_due *due, uint8_t code)
{
    return due->codes[code >> 6] >> (code & 63) & 1;
}
int64_t tc_wheel_trust_ms(uint8_t code);

#endif
