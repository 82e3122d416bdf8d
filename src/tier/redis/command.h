/* Encoding of commands: RESP arrays of length-counted strings, so that no byte of a key or value has a meaning. */
#ifndef TC_TIER_REDIS_COMMAND_H
#define TC_TIER_REDIS_COMMAND_H

#include <stdint.h>

#include "base/alloc.h"

#define TC_COMMAND_INLINE_BYTES 384 /* a GET and a PTTL of an ordinary key fit */

/* Encoded commands, one after the other. Starts in itself and moves to the heap when it grows: do not copy it. */
struct tc_command {
    char *data;
    size_t len, cap;
    size_t n_commands;
    int status; /* sticky: CACHE_OK, CACHE_E_NOMEM */
    const struct tc_alloc *alloc;
    char few[TC_COMMAND_INLINE_BYTES];
};

void tc_command_init(struct tc_command *c, const struct tc_alloc *alloc);
void tc_command_fini(struct tc_command *c);

/* Makes room for n bytes more, so that a large command is copied once. Optional. */
void tc_command_reserve(struct tc_command *c, size_t n);
/* Starts a command of n_args strings, its name included. Exactly that many tc_command_arg* calls follow. */
void tc_command_begin(struct tc_command *c, size_t n_args);
void tc_command_arg(struct tc_command *c, const void *p, size_t n);
void tc_command_arg_text(struct tc_command *c, const char *s);
void tc_command_arg_number(struct tc_command *c, int64_t v);

#endif
