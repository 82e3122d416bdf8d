/* A clock that moves only when the test says so. Any thread may read or move it at any time. */
#ifndef TT_CLOCK_H
#define TT_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>

#include "tiercache/hooks.h"

struct tt_clock {
    _Atomic int64_t mono_ms, wall_ms;
};

#define TT_CLOCK_START_MONO_MS INT64_C(1000000)
#define TT_CLOCK_START_WALL_MS INT64_C(1700000000000)

extern const struct cache_clock_ops tt_clock_ops; /* its ctx is a struct tt_clock */

void tt_clock_init(struct tt_clock *c);                      /* at the two times above */
void tt_clock_advance(struct tt_clock *c, int64_t ms);       /* both clocks; ms >= 0 */
void tt_clock_jump_wall(struct tt_clock *c, int64_t ms);     /* as an administrator would; may be negative */
int64_t tt_clock_mono_ms(void *clock);                       /* the table's slots */
int64_t tt_clock_wall_ms(void *clock);

#endif
