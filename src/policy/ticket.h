/* Tickets: what a miss hands out, so that the value that answers it is refused if the key changed meanwhile. */
#ifndef TC_POLICY_TICKET_H
#define TC_POLICY_TICKET_H

#include <stdbool.h>
#include <stdint.h>

#include "tiercache.h"

/* The inside of a struct cache_ticket. */
struct tc_ticket {
    uint64_t magic;
    uint64_t cache_id;
    uint64_t hash;       /* of the key */
    uint64_t generation; /* of the key, read before the miss was known */
    int64_t taken_ms;
    uint64_t reserved[3];
};

void tc_ticket_write(struct cache_ticket *out, uint64_t cache_id, uint64_t hash, uint64_t generation, int64_t now_ms);
void tc_ticket_clear(struct cache_ticket *out);
/* False: it is none, or of another cache or key. */
bool tc_ticket_read(const struct cache_ticket *t, uint64_t cache_id, uint64_t hash, uint64_t *generation);

/* The implicit tickets: the last misses of this thread. */
void tc_ticket_remember(uint64_t cache_id, uint64_t hash, uint64_t generation, int64_t now_ms);
/* Takes this thread's ticket for the key, so that it serves once. False: there is none, or it is too old. */
bool tc_ticket_recall(uint64_t cache_id, uint64_t hash, int64_t now_ms, uint64_t *generation);

/* The same without taking it. */
bool tc_ticket_peek(uint64_t cache_id, uint64_t hash, int64_t now_ms, uint64_t *generation);
bool tc_ticket_any(void); /* this thread has some */

#define TC_TICKET_RING 64
#define TC_TICKET_IMPLICIT_MS 60000

#endif
