/* A clock that stands still until the test moves it. */
#include "tt_clock.h"

int64_t tt_clock_mono_ms(void *clock)
{
    struct tt_clock *c = clock;
    return atomic_load(&c->mono_ms);
}

int64_t tt_clock_wall_ms(void *clock)
{
    struct tt_clock *c = clock;
    return atomic_load(&c->wall_ms);
}

const struct cache_clock_ops tt_clock_ops = {
    .abi = CACHE_HOOKS_ABI,
    .mono_ms = tt_clock_mono_ms,
    .wall_ms = tt_clock_wall_ms,
};

void tt_clock_init(struct tt_clock *c)
{
    atomic_init(&c->mono_ms, TT_CLOCK_START_MONO_MS);
    atomic_init(&c->wall_ms, TT_CLOCK_START_WALL_MS);
}

void tt_clock_advance(struct tt_clock *c, int64_t ms)
{
    atomic_fetch_add(&c->mono_ms, ms);
    atomic_fetch_add(&c->wall_ms, ms);
}

void tt_clock_jump_wall(struct tt_clock *c, int64_t ms)
{
    atomic_fetch_add(&c->wall_ms, ms);
}
