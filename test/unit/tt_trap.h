/* A page of bytes at which the first thread that touches it stands still until it is told to go on. Given to a store as
 * its value, it stops the store half-way: what has been written by then is written, what comes after the bytes is not.
 *
 *     unsigned char *value = tt_trap_bytes();   fill them, then
 *     tt_trap_set();
 *     ... another thread stores value ...
 *     tt_trap_await();   it stands there
 *     ...
 *     tt_trap_release();
 *
 * There is one in a program, and one thread at a time is caught. */
#ifndef TT_TRAP_H
#define TT_TRAP_H

#include <stdbool.h>
#include <stddef.h>

#define TT_TRAP_BYTES 4096

unsigned char *tt_trap_bytes(void);
void tt_trap_set(void);
bool tt_trap_await(void); /* false: nobody came within TT_SOON_MS */
/* Whether anybody stands there, or did since it was set. */
bool tt_trap_has_caught(void);
void tt_trap_release(void); /* also if nobody came: then nobody will be caught */

#endif
