/* An L2 in memory, for tests of everything above the backend table: complete, thread safe, and it fails when told.
 *
 *     struct tt_backend *b = tt_backend_new(NULL);
 *     opts.backend = tt_backend_table(b);   may be changed before: drop optional slots, capabilities
 *     opts.backend_ctx = b;
 *     ...
 *     tt_backend_free(b);                   after the cache was closed
 *
 * The close slot frees nothing, so that a test can look at what is left. Time is host->now_ms. */
#ifndef TT_BACKEND_H
#define TT_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiercache/backend.h"

enum tt_slot { TT_GET, TT_GET_MANY, TT_SET, TT_SET_MANY, TT_DEL, TT_DEL_MANY, TT_SLOTS, TT_ANY_SLOT = TT_SLOTS };

/* What a scripted call does. */
enum tt_run {
    TT_NOT_RUN, /* nothing, now or later */
    TT_RUN,     /* all it should; only its result is the scripted one */
    TT_RUN_LATE /* nothing yet: it runs at tt_backend_run_late(), as a write does whose answer was lost. Not for gets */
};

struct tt_backend;

/* shared_with: another fake whose values this one shares, as two processes share one Redis; NULL = its own. */
struct tt_backend *tt_backend_new(struct tt_backend *shared_with);
void tt_backend_free(struct tt_backend *b); /* after the close slot, or before attach */
struct cache_backend_ops *tt_backend_table(struct tt_backend *b);

/* ---- faults ---- */

/* The next `times` calls of that slot (0 = all, until tt_backend_clear) return status and do what run says. In a batch
 * every element gets that status. Faults of one slot come in the order in which they were given. */
void tt_backend_fail(struct tt_backend *b, enum tt_slot slot, unsigned times, int status, enum tt_run run);
/* As that, but only the elements of a batch whose index i has bit i set in mask; the others run. i < 64. */
void tt_backend_fail_elements(struct tt_backend *b, enum tt_slot slot, uint64_t mask, int status, enum tt_run run);
void tt_backend_clear(struct tt_backend *b);
size_t tt_backend_run_late(struct tt_backend *b); /* how many writes ran */

/* Up, down or connecting. Not up: every call that no fault is scripted for is CACHE_E_UNAVAILABLE and not run. A change
 * is reported to the host and wakes it. A new fake is up. */
void tt_backend_set_health(struct tt_backend *b, int health);

/* ---- barriers: calls of a slot stop before they run (or, after: when they have run), also past their deadline ---- */

void tt_backend_block(struct tt_backend *b, enum tt_slot slot, bool after); /* every call, until released */
bool tt_backend_await_blocked(struct tt_backend *b, enum tt_slot slot, unsigned n); /* false: not within 5 s */
void tt_backend_release(struct tt_backend *b, enum tt_slot slot); /* lets all go; the slot stops nobody any more */

/* ---- what was asked ---- */

uint64_t tt_backend_calls(struct tt_backend *b, enum tt_slot slot);    /* of that slot; TT_ANY_SLOT: of all */
uint64_t tt_backend_elements(struct tt_backend *b, enum tt_slot slot); /* keys in those calls */
uint64_t tt_backend_round_trips(struct tt_backend *b);                 /* calls that reached the server */
uint64_t tt_backend_maintains(struct tt_backend *b);
unsigned tt_backend_attached(struct tt_backend *b); /* calls of attach, close, forked */
unsigned tt_backend_closed(struct tt_backend *b);
unsigned tt_backend_forked(struct tt_backend *b);

/* ---- what is stored, behind the cache's back ---- */

size_t tt_backend_count(struct tt_backend *b);
/* A copy of the ith key, or of the value under key; false: there is none. Release it with free(). */
bool tt_backend_key_at(struct tt_backend *b, size_t i, void **key, size_t *len);
bool tt_backend_peek(struct tt_backend *b, struct cache_slice key, void **data, size_t *len);
void tt_backend_poke(struct tt_backend *b, struct cache_slice key, struct cache_slice data, int64_t ttl_ms);
/* Changes the byte at offset (negative: from the end) of the value under key by xor. */
bool tt_backend_corrupt(struct tt_backend *b, struct cache_slice key, int64_t offset, unsigned char xor_with);
bool tt_backend_truncate(struct tt_backend *b, struct cache_slice key, size_t len);
bool tt_backend_erase(struct tt_backend *b, struct cache_slice key);
void tt_backend_erase_all(struct tt_backend *b); /* FLUSHALL */

#endif
