/* Options of a benchmark program, its tables, rows and gates. */
#ifndef TT_BENCH_REPORT_H
#define TT_BENCH_REPORT_H

#include "harness.h"

/* Reads --quick and --out FILE (TC_BENCH_SMOKE in the environment is --quick) and prints what machine this is.
 * Ends the program on a wrong option. */
void tt_bench_init(struct tt_bench *b, int argc, char **argv, const char *title);

/* Prints a case's table, and its rows to b->rows. */
void tt_bench_report(struct tt_bench *b, const struct tt_bench_case *c, const struct tt_bench_result *r);

/* Compares subject with the case's first reference: PASS, FAIL (which sets b->failed) or NOT MEASURED. */
void tt_bench_gate(struct tt_bench *b, const struct tt_bench_case *c, const struct tt_bench_result *r, size_t subject,
                   double at_least);

/* Closes the rows. Returns the program's exit status. */
int tt_bench_fini(struct tt_bench *b);

/* Ends the program with a sentence: for what makes a benchmark impossible. */
void tt_bench_die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
