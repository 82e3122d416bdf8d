/* What is measured in a process of its own, so that what was there before does not count. */
#ifndef TT_BENCH_CHILD_H
#define TT_BENCH_CHILD_H

#include <stddef.h>

/* Runs body(arg, result) in a child, and hands over the bytes of the result. Ends the program if that does not work. */
typedef void tt_bench_child_fn(const void *arg, void *result);
void tt_bench_in_child(tt_bench_child_fn *body, const void *arg, void *result, size_t result_bytes);

/* Of this process. */
double tt_bench_resident_bytes(void);

#endif
