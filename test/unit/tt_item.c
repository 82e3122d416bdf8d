/* Items are made of their numbers: what is found tells whose it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/tt_hasher.h"
#include "unit/tt_item.h"

struct tc_l1_ref tt_item_ref_of(const struct tt_item *i)
{
    struct cache_slice key = { i->key, i->key_len };
    if (i->hash != 0)
        tt_hasher_say(key, i->hash);
    return (struct tc_l1_ref){ tt_hasher_hash(key), key };
}

struct tc_entry_parts tt_item_parts_of(struct tt_l1 *r, const struct tt_item *i, void *value)
{
    struct tc_l1_ref ref = tt_item_ref_of(i);
    tt_l1_fill(value, i->len, i->number, i->version);
    return (struct tc_entry_parts){ ref.hash, ref.key, { value, i->len }, tt_l1_now(r), i->life_ms, (uint32_t)i->type };
}

bool tt_item_set(struct tt_l1 *r, const struct tt_item *i, const uint64_t *expected)
{
    unsigned char value[TT_ITEM_LEN_MOST];
    bool replaced = false;
    struct tc_entry_parts p = tt_item_parts_of(r, i, value);
    bool done = tc_l1_set(&r->l1, &p, expected, &replaced);
    assert_false(done && replaced);
    return done;
}

int tt_item_put(struct tt_l1 *r, const struct tt_item *i, uint32_t flags)
{
    unsigned char value[TT_ITEM_LEN_MOST];
    struct tc_entry_parts p = tt_item_parts_of(r, i, value);
    struct tc_entry *e = tc_entry_open_small(&r->alloc, r->l1.node_bytes, r->types[i->type], p.hash, p.key, i->len);
    assert_non_null(e);
    if (i->len > 0)
        memcpy(tc_entry_room(e), value, i->len);
    tc_entry_set_life(e, p.now_ms, i->life_ms, 0);
    tc_entry_add_flags(e, flags);
    int rc = tc_l1_put(&r->l1, e, &r->policies[i->type], NULL, true);
    tc_l1_drop(&r->l1, e);
    return rc;
}

void tt_item_store(struct tt_l1 *r, const struct tt_item *i)
{
    if (!tt_item_set(r, i, NULL))
        assert_int_equal(tt_item_put(r, i, 0), CACHE_OK);
}

/* ---- what is there ---- */

struct tc_stripe *tt_item_stripe(struct tt_l1 *r)
{
    return &r->l1.stripes[0];
}

uint32_t tt_item_cell_of(struct tt_l1 *r, const struct tt_item *i)
{
    uint32_t cell = 0;
    struct tc_l1_ref ref = tt_item_ref_of(i);
    struct tc_stripe *s = tc_l1_stripe(&r->l1, ref.hash);
    tc_lock_acquire(&s->lock);
    tc_stripe_find(s, ref.hash, ref.key, &cell);
    tc_lock_release(&s->lock);
    return cell;
}

uint32_t tt_item_victim(struct tt_l1 *r)
{
    tc_lock_acquire(&tt_item_stripe(r)->lock);
    uint32_t cell = tc_stripe_victim(tt_item_stripe(r), NULL, 0);
    tc_lock_release(&tt_item_stripe(r)->lock);
    assert_int_not_equal(cell, 0);
    return cell;
}

struct tc_entry *tt_item_entry(struct tt_l1 *r, uint32_t cell)
{
    return tc_stripe_entry(tt_item_stripe(r), cell);
}

uint64_t tt_item_number_in(struct tt_l1 *r, uint32_t cell)
{
    uint64_t number;
    memcpy(&number, tc_entry_key(tt_item_entry(r, cell)).data, sizeof number);
    return number;
}

bool tt_item_is_that(const void *data, size_t len, const struct tt_item *i)
{
    uint64_t version;
    return len == i->len && tt_l1_is_value(data, len, i->number, &version) && version == i->version;
}

void tt_item_assert_found(struct tt_l1 *r, const struct tt_item *i, bool there)
{
    unsigned char buf[TT_ITEM_LEN_MOST];
    struct tc_l1_copied c;
    struct tc_l1_found f = { .entry = NULL };
    bool copied = tc_l1_get_copy(&r->l1, tt_item_ref_of(i), tt_l1_now(r), buf, sizeof buf, &c, &f);
    assert_int_equal(copied, there);
    assert_null(f.entry);
    assert_true(!there || tt_item_is_that(buf, c.len, i));
    tc_l1_get(&r->l1, tt_item_ref_of(i), tt_l1_now(r), &f);
    assert_int_equal(f.entry != NULL, there);
    if (!there)
        return;
    assert_true(f.fresh && tt_item_is_that(tc_entry_data(f.entry), tc_entry_len(f.entry), i));
    assert_int_equal(tc_entry_fresh_until_ms(f.entry) - tc_entry_made_ms(f.entry), i->life_ms);
    assert_int_equal(tc_entry_type_id(f.entry), i->type);
    tc_l1_release(&r->l1, f.entry);
}

void tt_item_assert_counts(struct tt_l1 *r)
{
    uint64_t entries[TT_L1_TYPES] = { 0 }, bytes[TT_L1_TYPES] = { 0 };
    for (size_t n = 0; n < r->l1.n_stripes; n++)
        for (size_t i = 0; i < tc_index_lanes(&r->l1.stripes[n].index); i++) {
            uint32_t cell = tc_index_cell(&r->l1.stripes[n].index, i);
            if (cell == 0)
                continue;
            struct tc_entry *e = tc_stripe_entry(&r->l1.stripes[n], cell);
            entries[tc_entry_type_id(e)]++;
            bytes[tc_entry_type_id(e)] += tc_l1_entry_bytes(&r->l1, e);
        }
    for (size_t t = 0; t < TT_L1_TYPES; t++) {
        assert_int_equal(tt_l1_type_entries(r, t), entries[t]);
        assert_int_equal(tt_l1_type_bytes(r, t), bytes[t]);
    }
    assert_true(tc_l1_check(&r->l1));
}
