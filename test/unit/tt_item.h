/* What the tests of overwriting store: items of any key, length and type, by the short way or the general one, and what
 * is found of them, in a cache of one stripe. */
#ifndef TT_ITEM_H
#define TT_ITEM_H

#include "unit/tt_l1.h"

enum { TT_ITEM_KEY_MOST = 40, TT_ITEM_LEN_MOST = 2400 };

struct tt_item {
    uint64_t number, version; /* the key begins with the number */
    size_t key_len, len;
    size_t type;
    int64_t life_ms;
    uint64_t hash; /* 0: by its bytes */
    unsigned char key[TT_ITEM_KEY_MOST];
};

struct tc_l1_ref tt_item_ref_of(const struct tt_item *i);
/* Its value goes to value, of TT_ITEM_LEN_MOST bytes. */
struct tc_entry_parts tt_item_parts_of(struct tt_l1 *r, const struct tt_item *i, void *value);
/* tc_l1_set(), of a key that is not there; tc_l1_put() of an entry with those flags; the one or else the other. */
bool tt_item_set(struct tt_l1 *r, const struct tt_item *i, const uint64_t *expected);
int tt_item_put(struct tt_l1 *r, const struct tt_item *i, uint32_t flags);
void tt_item_store(struct tt_l1 *r, const struct tt_item *i);

struct tc_stripe *tt_item_stripe(struct tt_l1 *r); /* the first */
uint32_t tt_item_cell_of(struct tt_l1 *r, const struct tt_item *i); /* 0: it is not there */
uint32_t tt_item_victim(struct tt_l1 *r);
struct tc_entry *tt_item_entry(struct tt_l1 *r, uint32_t cell);
uint64_t tt_item_number_in(struct tt_l1 *r, uint32_t cell);
bool tt_item_is_that(const void *data, size_t len, const struct tt_item *i);
/* Copied and pinned alike; or, if that is how it should be, neither. */
void tt_item_assert_found(struct tt_l1 *r, const struct tt_item *i, bool there);
void tt_item_assert_counts(struct tt_l1 *r); /* what types and stripes say is what a walk finds */

#endif
