/* Codes: a circle of 128 slots of a tick, then one of 64 slots of eight ticks, and one of 64 of thirty-two. A moment is
 * coded on the first on which it lies so little ahead that what is past can be told from it: a circle has room for
 * both. */
#include "tier/l1/wheel.h"

#define NEVER 0
#define NEVER_INSTEAD 1 /* the slot after the one that would read as never: as good, and a tick later */
#define CIRCLES 3

static const struct circle {
    uint8_t first;     /* code */
    uint8_t slots;     /* a power of two */
    uint8_t most;      /* that a moment may lie ahead, in slots */
    uint8_t tick_bits; /* a slot is that many ticks, as a power of two */
} circles[CIRCLES] = {
    { 0, 128, 48, 0 },
    { 128, 64, 24, 3 },
    { 192, 64, 24, 5 },
};
#define LAST (&circles[CIRCLES - 1])
#define FARTHEST_TICKS (25 << 5) /* a slot more than most of the last one */

static int64_t slot_of(const struct circle *c, int64_t ms)
{
    return ms / TC_WHEEL_TICK_MS >> c->tick_bits;
}

static uint8_t code_at(const struct circle *c, int64_t slot)
{
    uint8_t code = (uint8_t)(c->first + ((uint64_t)slot & (c->slots - 1u)));
    return code != NEVER ? code : NEVER_INSTEAD;
}

uint8_t tc_wheel_code(int64_t due_ms, int64_t now_ms)
{
    if (due_ms == INT64_MAX)
        return NEVER;
    const struct circle *c = circles;
    if (due_ms / TC_WHEEL_TICK_MS - now_ms / TC_WHEEL_TICK_MS > FARTHEST_TICKS) /* most are: the loop ends there too */
        return code_at(LAST, slot_of(LAST, now_ms) + LAST->most);
    int64_t now = slot_of(c, now_ms), ahead;
    /* The slot after the one it lies in: then it is past for certain. */
    while ((ahead = slot_of(c, due_ms) + 1 - now) > c->most && c < circles + CIRCLES - 1)
        now = slot_of(++c, now_ms);
    ahead = ahead < c->most ? ahead : c->most;
    return code_at(c, now + (ahead > 0 ? ahead : 1));
}

/* What a slot can lie back and still not read as ahead. One lies a slot farther ahead than most: NEVER_INSTEAD. */
static int64_t past_of(const struct circle *c)
{
    return c->slots - c->most - 1;
}

static int64_t trust_ms(const struct circle *c)
{
    return (past_of(c) - 2) * ((int64_t)TC_WHEEL_TICK_MS << c->tick_bits);
}

int64_t tc_wheel_trust_ms(uint8_t code)
{
    const struct circle *c = circles + CIRCLES - 1;
    while (code < c->first)
        c--;
    return trust_ms(c);
}

static uint64_t rotate(uint64_t bits, unsigned n)
{
    return bits << (n & 63) | bits >> (-n & 63);
}

/* The bits of 64 slots of which the last n before at, and at itself, are past. n is at most 63. */
static uint64_t past_bits(uint64_t at, int64_t n)
{
    return rotate((UINT64_C(1) << n) - 1, (unsigned)(at - (uint64_t)n + 1));
}

/* The same of 128, in two words; n is 64 or more. */
static void past_bits_128(uint64_t at, int64_t n, uint64_t *words)
{
    /* What is not past are the slots that follow, fewer than 64 of them. */
    uint64_t ahead = (UINT64_C(1) << (128 - n)) - 1;
    unsigned from = (unsigned)((at + 1) & 127), shift = from & 63;
    uint64_t low = ahead << shift, high = shift > 0 ? ahead >> (64 - shift) : 0;
    words[from / 64] = ~low;
    words[1 - from / 64] = ~high;
}

void tc_wheel_look(int64_t now_ms, int64_t since_ms, struct tc_wheel_due *due)
{
    past_bits_128((uint64_t)slot_of(&circles[0], now_ms), past_of(&circles[0]), due->codes);
    for (unsigned i = 1; i < CIRCLES; i++)
        due->codes[i + 1] = past_bits((uint64_t)slot_of(&circles[i], now_ms), past_of(&circles[i]));
    for (unsigned i = 0; i < CIRCLES && since_ms >= trust_ms(&circles[i]); i++) {
        due->codes[i > 0 ? i + 1 : 0] = UINT64_MAX;
        due->codes[i > 0 ? i + 1 : 1] = UINT64_MAX;
    }
    due->codes[0] &= ~(UINT64_C(1) << NEVER);
    /* Slots from the first that is past: so many of them are. */
    uint64_t past = since_ms < trust_ms(LAST) ? (uint64_t)past_of(LAST) : LAST->slots;
    due->turn = (past - 1 - (uint64_t)slot_of(LAST, now_ms)) % LAST->slots * TC_WHEEL_BYTES;
    due->ahead = (0x80 - past) * TC_WHEEL_BYTES;
}
