/* Miss ratios to compare with. */
#ifndef TT_HIT_REFERENCES_H
#define TT_HIT_REFERENCES_H

#define TT_HIT_NONE (-1.0)

enum tt_hit_reference { TT_HIT_LRU, TT_HIT_SIEVE, TT_HIT_S3FIFO, TT_HIT_WTINYLFU, TT_HIT_REFERENCES };

/* The miss ratio of a trace with room for so many percent of its distinct keys, or TT_HIT_NONE. */
double tt_hit_reference(const char *trace, unsigned percent, enum tt_hit_reference of);

#endif
