/* What an exact LRU of a given number of entries would have hit. */
#ifndef TT_BENCH_EXACT_LRU_H
#define TT_BENCH_EXACT_LRU_H

#include "sequence.h"

/* The share of hits in a read-through pass over the sequences of n_threads threads, one operation of each in turn,
 * after a first such pass that is not counted. Ends the program when out of memory. */
double tt_exact_lru_hits(const struct tt_sequence *s, unsigned n_threads, uint64_t n_entries);

#endif
