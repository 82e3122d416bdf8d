/* screen.h - what is shown while the demo runs: a screen that redraws itself on a terminal, plain lines elsewhere. */
#ifndef DEMO_SCREEN_H
#define DEMO_SCREEN_H

#include "changes.h"
#include "shared.h"

struct screen {
    int live;          /* redraw */
    int64_t start_ns;
    int64_t next_ns;
    enum phase phase;  /* of the last line */
    uint64_t answers;  /* of its phase at that time */
    int64_t at_ns;
    char note[160];    /* what is going on, in words */
};

void screen_init(struct screen *sc, int plain);

/* Says what happens now. */
void screen_note(struct screen *sc, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Draws if it is time to. */
void screen_tick(struct screen *sc, const struct shared *s, const struct changes *ch);

/* Leaves the live screen: what follows is printed below it. */
void screen_end(struct screen *sc);

#endif
