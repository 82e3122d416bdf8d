/* A stripe that was filled and thinned out. */
#include "unit/tt_vacate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/evict.h"
#include "tt_util.h"
#include "unit/tt_entry.h"

const char *const tt_vacate_policies[6] = { "lru", "lru-exact", "sieve", "s3-fifo", "lfu", "w-tinylfu" };

void tt_vacate_open(struct tt_stripe *f, const char *policy)
{
    const struct cache_evict_ops *ops = cache_evict_policy(policy);
    assert_non_null(ops);
    assert_non_null(ops->move);
    tt_stripe_open(f, ops, true);
}

void tt_vacate_put(struct tt_stripe *f, uint64_t number, size_t type, size_t len, int64_t ttl_ms)
{
    struct tt_l1_put p = { .type = type, .len = len, .version = number + 5, .ttl_ms = ttl_ms };
    tt_stripe_link_with(f, number, &p, false);
}

bool tt_vacate_check(struct tt_stripe *f)
{
    tc_dropped_tell(&f->dropped);
    tc_lock_release(&f->s->lock);
    bool good = tc_l1_check(&f->r->l1);
    tc_lock_acquire(&f->s->lock);
    return good;
}

size_t tt_vacate(struct tt_stripe *f, tt_vacate_fn *one, bool reaps)
{
    size_t n = 0;
    while (one(f->s, &f->dropped) > 0) {
        assert_true(tt_vacate_check(f));
        if (reaps)
            tt_stripe_reap(f);
        assert_true(tt_vacate_check(f));
        assert_true(++n < 1000);
    }
    tt_stripe_reap(f);
    assert_true(tt_vacate_check(f));
    return n;
}

void tt_vacate_assert_found(struct tt_stripe *f, uint64_t number, bool there, size_t len)
{
    uint32_t cell = tt_stripe_find(f, number), where = tc_cell_is_extent(cell) ? TC_ENTRY_IN_EXTENT : TC_ENTRY_HOUSED;
    assert_int_equal(cell != 0, there);
    if (!there)
        return;
    const struct tc_entry *e = tt_stripe_entry(f, cell);
    uint64_t version;
    assert_int_equal(tt_stripe_number(f, cell), number);
    assert_int_equal(tc_entry_len(e), len);
    assert_true(tt_l1_is_value(tc_entry_data(e), tc_entry_len(e), number, &version));
    assert_int_equal(version, number + 5);
    assert_int_equal(tt_refs(e), 1 | TC_ENTRY_IN_L1 | where);
}

bool tt_vacate_stays(uint64_t number, uint64_t one_of)
{
    return number * 2654435761u % 1000003 % one_of == 0;
}

void tt_vacate_thin_out(struct tt_stripe *f, uint64_t entries, uint64_t one_of)
{
    for (uint64_t n = 0; n < entries; n++)
        if (!tt_vacate_stays(n, one_of))
            tt_stripe_remove(f, tt_stripe_find(f, n));
    tt_stripe_reap(f);
}

/* ---- the order ---- */

/* What leaves, in its order. */
struct victims {
    size_t n;
    uint64_t number[2 * TT_VACATE_ENTRIES_MOST];
};

/* Filling, hits, thinning out. Entries of type 1 stand in an order of their own. */
static void begin(struct tt_stripe *f, const struct tt_vacate_load *load, const char *policy, uint64_t *seed)
{
    tt_vacate_open(f, policy);
    tc_stripe_order(f->s, f->r->types[1], true);
    for (uint64_t n = 0; n < load->entries; n++) {
        tt_vacate_put(f, n, n % 2, load->len, 0);
        uint32_t hit = tt_stripe_find(f, tt_random(seed) % (n + 1));
        if (n % 3 == 0 && hit != 0)
            tt_stripe_touch(f, hit);
        if (n % 5 == 0) /* which changes the order, and the policy remembers whom it named */
            tc_stripe_victim(f->s, n % 2 ? &f->s->shared : NULL, 0);
    }
    tt_vacate_thin_out(f, load->entries, load->one_of);
    tc_stripe_victim(f->s, NULL, 0);
}

/* The next to leave, of all or of an order. False: there is none. */
static bool evict(struct tt_stripe *f, struct tc_order *o, struct victims *victims)
{
    uint32_t cell = tc_stripe_victim(f->s, o, 0);
    if (cell == 0)
        return false;
    victims->number[victims->n++] = tt_stripe_number(f, cell);
    tt_stripe_remove(f, cell);
    return true;
}

/* A new value of some key: it may stand where the old one stood, beside an entry that was moved meanwhile. */
static void put_again(struct tt_stripe *f, const struct tt_vacate_load *load, uint64_t number, bool vacates)
{
    while (tt_stripe_find(f, number) == 0)
        number = (number + 1) % load->entries;
    tt_stripe_remove(f, tt_stripe_find(f, number));
    if (vacates)
        assert_true(tt_vacate(f, load->one, number % 2) > 0);
    tt_vacate_put(f, number, number % 2, load->len, 0);
}

/* With hits and newcomers; then of one order; then all. */
static void evict_all(const struct tt_vacate_load *load, const char *policy, uint64_t seed, bool vacates,
                      struct victims *victims)
{
    struct tt_stripe f = { .r = NULL };
    victims->n = 0;
    begin(&f, load, policy, &seed);
    put_again(&f, load, tt_random(&seed) % load->entries, vacates);
    for (uint64_t n = 0; n < 100; n++) {
        assert_true(evict(&f, NULL, victims));
        uint32_t hit = tt_stripe_find(&f, tt_random(&seed) % load->entries);
        if (hit != 0)
            tt_stripe_touch(&f, hit);
        tt_vacate_put(&f, load->entries + n, n % 2, load->len, 0);
        if (vacates && n % 10 == 0)
            tt_vacate(&f, load->one, true);
    }
    for (size_t n = 0; n < 50; n++)
        assert_true(evict(&f, tc_stripe_order(f.s, f.r->types[1], false), victims));
    while (evict(&f, NULL, victims))
        if (vacates && victims->n % 40 == 0) {
            tt_stripe_reap(&f);
            tt_vacate(&f, load->one, victims->n % 80 == 0);
        }
    assert_int_equal(f.s->index.count, 0);
    assert_true(tt_stripe_close(&f));
}

void tt_vacate_assert_order(const struct tt_vacate_load *load, const char *policy, uint64_t seed)
{
    static struct victims alone, vacated;
    assert_in_range(load->entries, 1, TT_VACATE_ENTRIES_MOST);
    evict_all(load, policy, seed, false, &alone);
    evict_all(load, policy, seed, true, &vacated);
    assert_int_equal(alone.n, vacated.n);
    assert_true(alone.n > load->entries / 4);
    for (size_t n = 0; n < alone.n; n++)
        if (alone.number[n] != vacated.number[n])
            fail_msg("%s: victim %zu is not the one that it would have been", policy, n);
}
