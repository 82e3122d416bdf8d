/* An index under test and a naive one beside it: entries by number, each in memory of its own, so that AddressSanitizer
 * sees who reads what has left; cells from a slab that knows them as lying apart. */
#ifndef TT_INDEX_H
#define TT_INDEX_H

#include "base/slab.h"
#include "tier/l1/index.h"
#include "tt_alloc.h"

enum { TT_INDEX_KEYS = 3000, TT_INDEX_NODE = 16 };

struct tt_index {
    struct tt_alloc counting; /* of the table */
    struct tc_alloc alloc;
    struct tc_index_view view;
    struct tc_index index;   /* view's */
    struct tc_slab slab;     /* where view.cells lie */
    enum tc_index_growth how; /* the index is asked to grow */
    uint64_t bytes;          /* what it says it took */
    struct tc_block *before; /* the table that the last call handed over */
    bool keeps;              /* what left, until the end: somebody reads */
    uint32_t left;           /* cells */
    struct tc_block *tables, *maps;
    uint32_t cell[TT_INDEX_KEYS]; /* the naive one: cell[i] has key i; 0: not in it */
    uint8_t code[TT_INDEX_KEYS];
    size_t count;
};

int tt_index_setup(void **state);
int tt_index_teardown(void **state); /* frees what is in cell, too */

/* ---- hashes ---- */

enum tt_index_kind { TT_SPREAD, TT_EQUAL, TT_FEW, TT_HOME, TT_END, TT_TAG_0, TT_CROWD };

uint64_t tt_index_hash(uint32_t number, enum tt_index_kind kind);
size_t tt_index_home(uint64_t hash, size_t n); /* in a table of n buckets, computed in another way */
/* How many buckets behind its home one at that distance lies, and the other way round. */
size_t tt_index_offset(size_t distance, size_t n);
size_t tt_index_distance(size_t home, size_t at, size_t n);
/* The ith of hashes that all have that home now, but not in a larger table. */
uint64_t tt_index_hash_at(const struct tt_index *f, size_t home, size_t i);

/* ---- entries ---- */

/* A number for an entry, and what goes with it at the end. In a map that may have grown. */
uint32_t tt_index_adopt(struct tt_index *f, struct tc_entry *e);
uint32_t tt_index_open(struct tt_index *f, uint32_t number, uint64_t hash);
void tt_index_let_go(struct tt_index *f, uint32_t cell); /* it has left the index, or was never in it */
struct tc_entry *tt_index_entry(const struct tt_index *f, uint32_t cell);
uint32_t tt_index_number(const struct tc_entry *e); /* its key */

/* ---- calls ---- */

/* By number; NULL: it is not in it. Ends the test if the ways to ask do not agree. */
struct tc_entry *tt_index_find(const struct tc_index_view *v, uint32_t number, uint64_t hash);
/* For a key that nobody has. */
bool tt_index_find_gap(const struct tt_index *f, uint64_t hash, struct tc_index_gap *gap);
uint64_t tt_index_growth(const struct tt_index *f, uint64_t hash);
uint32_t tt_index_make_room(struct tt_index *f, uint64_t hash, bool *failed);

/* As a stripe inserts. Returns how many entries had to leave; -1: there is no table. */
int tt_index_insert(struct tt_index *f, uint32_t number, uint64_t hash);
void tt_index_remove(struct tt_index *f, uint32_t number);
void tt_index_replace(struct tt_index *f, uint32_t number); /* by a new entry of its key, in its lane */
void tt_index_move(struct tt_index *f, uint32_t number);    /* the entry to another cell */
void tt_index_recode(struct tt_index *f, uint32_t number);
void tt_index_remove_all(struct tt_index *f);
/* A table of as many buckets, or the next size, without an entry; nor does it grow. */
void tt_index_make_empty(struct tt_index *f, size_t n);

/* ---- what the index must be at any time ---- */

/* It holds exactly the naive one's entries, each with its code in reach of its home, and reaches are exact. */
void tt_index_assert_exact(struct tt_index *f);
void tt_index_assert_all_found(struct tt_index *f);
void tt_index_assert_bytes(struct tt_index *f); /* what it says it took is what it takes */
size_t tt_index_table_bytes(size_t n);          /* of the heap, for a table of n buckets */
size_t tt_index_reach(const struct tt_index *f, size_t at); /* as a bucket has it */

#endif
