/* checker.h - is an answer right, and how old is it? */
#ifndef DEMO_CHECKER_H
#define DEMO_CHECKER_H

#include "shared.h"

/* Judges an answer to a request for package item that began at begin_ns. flagged: the library said that it is stale.
 * Counts into w what it found; returns what is wrong. */
enum wrong checker_judge(const struct demo *d, struct worker_results *w, uint32_t item, const void *data, size_t len,
                         int flagged, int64_t begin_ns);

/* Proves that the checker can fail: every kind of wrong answer, made on purpose, must be found. 0, or -1. */
int checker_selftest(void);

#endif
