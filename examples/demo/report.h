/* report.h - sums of what the workers noted, and the verdicts. */
#ifndef DEMO_REPORT_H
#define DEMO_REPORT_H

#include "changes.h"
#include "shared.h"

/* One phase, all workers together. */
struct phase_sum {
    uint64_t answers, from[SOURCES], origin_calls, failed, behind;
    struct latency latency[SOURCES], cached, origin; /* cached: L1, L2 and stale answers */
};

void report_sum_phase(const struct shared *s, enum phase p, struct phase_sum *sum);
double report_share(uint64_t part, uint64_t whole); /* in percent */
uint64_t report_wrong(const struct shared *s, enum wrong kind); /* kind WRONG_NOT: all of them */
int report_l2_out(const struct shared *s);              /* how many workers see L2 out */
const char *report_phase_name(enum phase p);

/* VERDICT_SLOW: the rows that failed are all of those that a machine busy with other work fails too. */
enum verdict { VERDICT_PASSED, VERDICT_SLOW, VERDICT_FAILED };

/* Prints the table. seconds: how long each phase really took; resumed_ns: when Redis went on. */
enum verdict report_print(const struct shared *s, const struct changes *ch, const double seconds[PHASES],
                          int64_t resumed_ns);

#endif
