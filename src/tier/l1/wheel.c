/* Codes: two bits name one of four levels, fourteen the slot on it. A slot lasts a tick on the lowest level and 64 times
 * as long on each higher one. A moment is coded on the lowest level on which it is less than a quarter of a turn ahead,
 * so half a turn tells what is past from what is ahead. */
#include "tier/l1/wheel.h"

#define NEVER 0
#define NEVER_INSTEAD 1 /* the slot after the one that would read as never: as good, and a tick later */

static int64_t slots_at(int64_t ms, unsigned level)
{
    return ms / TC_WHEEL_TICK_MS >> TC_WHEEL_LEVEL_BITS * level;
}

uint16_t tc_wheel_code(int64_t due_ms, int64_t now_ms)
{
    if (due_ms == INT64_MAX)
        return NEVER;
    for (unsigned level = 0;; level++) {
        /* The slot after the one it lies in: then it is past for certain. */
        int64_t now = slots_at(now_ms, level), ahead = slots_at(due_ms, level) + 1 - now;
        if (ahead >= TC_WHEEL_SLOTS / 4 && level < TC_WHEEL_LEVELS - 1)
            continue;
        ahead = ahead < TC_WHEEL_SLOTS / 4 ? ahead : TC_WHEEL_SLOTS / 4;
        ahead = ahead > 0 ? ahead : 1;
        uint16_t code = (uint16_t)(level << TC_WHEEL_SLOT_BITS | ((uint64_t)(now + ahead) & (TC_WHEEL_SLOTS - 1)));
        return code != NEVER ? code : NEVER_INSTEAD;
    }
}
