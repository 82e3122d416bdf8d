/* The timer wheel.
 *
 * Level 0 has a slot for each tick, level n a slot for each 64^n ticks. An entry lies on the lowest level on which its
 * slot is less than a full turn ahead, so the current slot of a higher level is empty, except right after the wheel
 * entered it: then its entries are moved down, one a step. An entry is due when the tick it lies in has passed whole.
 * */
#include "tier/l1/wheel.h"

#define BITS 6
#define LAST (TC_WHEEL_SLOTS - 1)

void tc_wheel_init(struct tc_wheel *w, int64_t now_ms)
{
    *w = (struct tc_wheel){ .tick = now_ms / TC_WHEEL_TICK_MS };
}

static void link_in(struct tc_wheel *w, struct tc_entry *e, unsigned level, unsigned at)
{
    struct tc_entry **head = &w->slots[level][at];
    e->wheel_level = (uint8_t)level;
    e->wheel_at = (uint8_t)at;
    e->wheel_next = *head;
    if (*head != NULL)
        (*head)->wheel_link = &e->wheel_next;
    e->wheel_link = head;
    *head = e;
    w->used[level] |= UINT64_C(1) << at;
}

void tc_wheel_add(struct tc_wheel *w, struct tc_entry *e)
{
    int64_t due = e->keep_until_ms / TC_WHEEL_TICK_MS;
    if (due < w->tick)
        due = w->tick;
    for (unsigned level = 0; level < TC_WHEEL_LEVELS; level++) {
        int64_t ahead = (due >> BITS * level) - (w->tick >> BITS * level);
        if (ahead < TC_WHEEL_SLOTS) {
            link_in(w, e, level, (unsigned)(due >> BITS * level) & LAST);
            return;
        }
    }
    unsigned top = TC_WHEEL_LEVELS - 1;
    link_in(w, e, top, (unsigned)((w->tick >> BITS * top) + LAST) & LAST);
}

void tc_wheel_remove(struct tc_wheel *w, struct tc_entry *e)
{
    if (e->wheel_link == NULL)
        return;
    *e->wheel_link = e->wheel_next;
    if (e->wheel_next != NULL)
        e->wheel_next->wheel_link = e->wheel_link;
    if (w->slots[e->wheel_level][e->wheel_at] == NULL)
        w->used[e->wheel_level] &= ~(UINT64_C(1) << e->wheel_at);
    e->wheel_link = NULL;
    e->wheel_next = NULL;
}

/* Moves one entry down from the current slot of a higher level. False if they are all empty. */
static bool move_down(struct tc_wheel *w)
{
    for (unsigned level = 1; level < TC_WHEEL_LEVELS; level++) {
        struct tc_entry *e = w->slots[level][(w->tick >> BITS * level) & LAST];
        if (e != NULL) {
            tc_wheel_remove(w, e);
            tc_wheel_add(w, e);
            return true;
        }
    }
    return false;
}

/* Goes to the next tick that holds something, or to the next turn of level 0, but not past limit. When a turn of level
 * 0 holds nothing it is skipped whole; when higher levels are empty too, so are theirs. */
static void advance(struct tc_wheel *w, int64_t limit)
{
    int64_t next = w->tick + 1;
    for (unsigned level = 0; level < TC_WHEEL_LEVELS; level++) {
        unsigned at = (unsigned)(next >> BITS * level) & LAST;
        if (at != 0) {
            uint64_t ahead = w->used[level] >> at;
            if (ahead != 0) {
                next += (int64_t)__builtin_ctzll(ahead) << BITS * level;
                break;
            }
            next += (int64_t)(TC_WHEEL_SLOTS - at) << BITS * level;
        }
        if (w->used[level] != 0) /* in the turn that begins at next */
            break;
    }
    w->tick = next < limit ? next : limit;
}

struct tc_entry *tc_wheel_due(struct tc_wheel *w, int64_t now_ms, unsigned *steps)
{
    int64_t now = now_ms / TC_WHEEL_TICK_MS;
    while (w->tick < now && *steps > 0) {
        --*steps;
        if (move_down(w))
            continue;
        struct tc_entry *e = w->slots[0][w->tick & LAST];
        if (e != NULL) {
            tc_wheel_remove(w, e);
            return e;
        }
        advance(w, now);
    }
    return NULL;
}
