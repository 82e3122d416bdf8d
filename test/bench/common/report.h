/* Options of a benchmark program, its tables, rows and gates. */
#ifndef TT_BENCH_REPORT_H
#define TT_BENCH_REPORT_H

#include "harness.h"

/* Reads --quick, --only and --out (TC_BENCH_SMOKE in the environment is --quick) and prints what machine this is.
 * Ends the program on a wrong option. */
void tt_bench_init(struct tt_bench *b, int argc, char **argv, const char *title);

/* Prints a case's table, and its rows to b->rows. */
void tt_bench_report(struct tt_bench *b, const struct tt_bench_case *c, const struct tt_bench_result *r);

/* Gates. Each prints a line that ends in PASS, FAIL (which sets b->failed) or NOT MEASURED; a quick run is not
 * judged. */
struct tt_bench_pair {
    size_t subject, reference;
};
void tt_bench_gate(struct tt_bench *b, const struct tt_bench_case *c, const struct tt_bench_result *r, size_t subject,
                   double at_least); /* subject's speed to that of the case's first reference */
void tt_bench_gate_against(struct tt_bench *b, const struct tt_bench_case *c, const struct tt_bench_result *r,
                           struct tt_bench_pair who, double at_least);
void tt_bench_gate_faster(struct tt_bench *b, const struct tt_bench_case *c, const struct tt_bench_result *r,
                          size_t subject, size_t first_peer); /* than each subject from first_peer on */
void tt_bench_gate_tail(struct tt_bench *b, const struct tt_bench_case *c, const struct tt_bench_result *r,
                        size_t subject, double at_most_ns); /* 99.9 % of its operations */
void tt_bench_gate_extra(struct tt_bench *b, const struct tt_bench_case *c, const struct tt_bench_result *r,
                         struct tt_bench_pair who, double at_most_ns); /* CPU time of an operation */
void tt_bench_gate_value(struct tt_bench *b, const char *what, double value, double bound, bool at_most);

/* Closes the rows and adds up the gates. Returns the program's exit status. */
int tt_bench_fini(struct tt_bench *b);

/* Ends the program with a sentence: for what makes a benchmark impossible. */
void tt_bench_die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
