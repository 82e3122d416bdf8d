/* An L1 in which things wait for readers: a fixture whose entries lie apart or in pages, and a reader that the test
 * moves. The reader is a record of a thread that is no more: the test enters and leaves in its name. */
#ifndef TT_LIMBO_H
#define TT_LIMBO_H

#include "unit/tt_l1.h"

enum { TT_LIMBO_LIMIT = 2 << 20, TT_LIMBO_LEN = 250, TT_LIMBO_TTL_MS = 60000 };

#define TT_LIMBO_CHURN UINT64_C(1000000) /* keys from here on are nobody's */

struct tt_limbo {
    struct tt_l1 *r;
    struct tc_reader *other; /* NULL: there is none */
    uint64_t next;           /* number of a key that was not used yet */
};

struct tt_limbo *tt_limbo_open(bool paged, bool beside_another);
bool tt_limbo_close(struct tt_limbo *f); /* as tt_l1_free() */

/* For cmocka: entries apart or in pages, with that reader or without. */
int tt_limbo_alone_apart(void **state);
int tt_limbo_alone_in_pages(void **state);
int tt_limbo_apart(void **state);
int tt_limbo_in_pages(void **state);
int tt_limbo_teardown(void **state);

void tt_limbo_enter(struct tt_limbo *f);
void tt_limbo_leave(struct tt_limbo *f);

size_t tt_limbo_live_bytes(struct tt_limbo *f);      /* of the allocator */
uint64_t tt_limbo_bytes(struct tt_limbo *f);         /* that count in the reserve */
uint64_t tt_limbo_waiting_bytes(struct tt_limbo *f); /* of entries, in all stripes */
size_t tt_limbo_blocks(struct tt_limbo *f);          /* former tables and maps */
/* What waits is what is counted, and L1's accounts are right. Nothing else runs. */
void tt_limbo_assert_agrees(struct tt_limbo *f);

/* Puts a value and returns its entry in L1, with a reference that is no pin. */
struct tc_entry *tt_limbo_put_held(struct tt_limbo *f, struct tt_l1_key k, size_t len);
/* L1 gave its reference up: that one is the only one. */
bool tt_limbo_is_given_up(const struct tc_entry *e);

void tt_limbo_come_and_go(struct tt_limbo *f, size_t stripe); /* a value that nobody else uses */
/* Takes so much out of the table that whatever waits, and that nobody reads, has no reason to wait any more: four times
 * what makes a step; and every stripe is stored to until it has freed it. */
void tt_limbo_churn(struct tt_limbo *f);

#endif
