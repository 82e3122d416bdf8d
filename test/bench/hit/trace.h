/* Traces: lists of keys in the order in which they were asked for. */
#ifndef TT_HIT_TRACE_H
#define TT_HIT_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the traces are, one in each NAME.txt.gz of a directory. */
struct tt_hit_traces {
    char **names; /* sorted, without the ending */
    size_t n;
};

/* False: there is no such directory. */
bool tt_hit_traces_find(struct tt_hit_traces *t, const char *dir);
void tt_hit_traces_free(struct tt_hit_traces *t);

struct tt_hit_trace {
    uint64_t *keys;
    size_t n, n_distinct;
};

/* Reads DIR/NAME.txt.gz: a request a line, beginning with its key in decimal. Ends the program if it cannot. */
void tt_hit_trace_read(struct tt_hit_trace *t, const char *dir, const char *name);
void tt_hit_trace_free(struct tt_hit_trace *t);

#endif
