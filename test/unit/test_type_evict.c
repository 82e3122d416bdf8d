/* A type with an eviction policy of its own, through the public functions: what is refused and with which sentence,
 * what an update may say, that the policy decides and is told of every hit, by whichever verb and way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"
#include "platform/platform.h"
#include "policy/evict.h"
#include "tier/cache.h"

enum { L1_BYTES = 256 << 10, LEN = 100 };

static const char *const names[] = { "lru", "lru-exact", "sieve", "s3-fifo", "lfu", "w-tinylfu" };
enum { POLICIES = TC_ARRAY_LEN(names) };

static char logged[256];

static void hear_line(void *ctx, int level, const char *component, const char *text)
{
    (void)ctx;
    (void)level;
    (void)component;
    snprintf(logged, sizeof logged, "%s", text);
}

static const struct cache_log_ops log_ops = { CACHE_HOOKS_ABI, hear_line };

static struct tt_cache b;

/* policy: the cache's. */
static void open_sized(const char *policy, size_t node_bytes, bool systems_clock, uint64_t l1_bytes)
{
    tt_cache_prepare(&b, false);
    b.opts.evict = cache_evict_policy(policy);
    b.opts.evict_node_bytes = node_bytes;
    b.opts.l1_bytes = l1_bytes;
    b.opts.l1_stripes = 1;
    b.opts.log = &log_ops;
    if (systems_clock)
        b.opts.clock = NULL;
    logged[0] = '\0';
    tt_cache_open(&b);
}

static void open_cache(const char *policy, size_t node_bytes, bool systems_clock)
{
    open_sized(policy, node_bytes, systems_clock, L1_BYTES);
}

static int add_type(const char *name, const struct cache_evict_ops *evict, struct cache_type **t)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    o.name = name;
    o.evict = evict;
    return cache_type_register(b.c, &o, t);
}

/* ---- what is refused ---- */

static void a_table_that_cannot_be_used_is_refused_by_name(void **state)
{
    struct cache_evict_ops bad[8];
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    struct cache_type *t = NULL;
    char err[160];
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(bad); i++)
        bad[i] = tc_evict_sieve;
    bad[0].abi++;
    bad[1].flags = 1u << 4;
    bad[2].flags = CACHE_EVICT_LOCKED_HITS | CACHE_EVICT_STAMPED_HITS;
    bad[3].name = NULL;
    bad[4].hit = NULL;
    bad[5].victim = NULL;
    bad[6].state_bytes = 4097;
    bad[7].node_bytes = 257;
    open_cache("lru", 256, false);
    o.name = "fresh";
    for (size_t i = 0; i < TC_ARRAY_LEN(bad); i++) {
        o.evict = &bad[i];
        assert_int_equal(cache_type_check(&o, err, sizeof err), CACHE_E_ABI);
        assert_memory_equal(err, "evict: ", 7);
        assert_int_equal(cache_type_check(&o, NULL, 0), CACHE_E_ABI);
        assert_int_equal(cache_type_register(b.c, &o, &t), CACHE_E_ABI);
        assert_int_equal(cache_type_find(b.c, "fresh", &t), CACHE_E_NOT_FOUND);
    }
    assert_true(tt_cache_close(&b));
}

/* What the six of the library need beside each other, and how to make room. */
static void a_policy_whose_nodes_do_not_fit_is_refused_with_what_to_do(void **state)
{
    (void)state;
    for (size_t i = 0; i < POLICIES * POLICIES; i++) {
        const struct cache_evict_ops *own = cache_evict_policy(names[i % POLICIES]);
        struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
        struct cache_type *t = NULL;
        char sentence[160];
        /* lru < lru-exact < the others, which need as much as each other */
        size_t all_needs = i / POLICIES < 2 ? i / POLICIES : 2, own_needs = i % POLICIES < 2 ? i % POLICIES : 2;
        open_cache(names[i / POLICIES], 0, false);
        o.name = "own";
        o.evict = own;
        assert_int_equal(cache_type_check(&o, NULL, 0), CACHE_OK); /* it is of no cache */
        int rc = cache_type_register(b.c, &o, &t);
        assert_int_equal(rc, own_needs <= all_needs ? CACHE_OK : CACHE_E_INVALID);
        snprintf(sentence, sizeof sentence, "no room for %s: open it with evict_node_bytes of %zu", own->name,
                 own->node_bytes);
        if (rc != CACHE_OK)
            assert_non_null(strstr(logged, sentence));
        assert_int_equal(cache_type_find(b.c, "own", &t), rc == CACHE_OK ? CACHE_OK : CACHE_E_NOT_FOUND);
        assert_true(tt_cache_close(&b));

        open_cache(names[i / POLICIES], own->node_bytes, false); /* as the sentence says */
        assert_int_equal(add_type("own", own, &t), CACHE_OK);
        assert_true(tt_cache_close(&b));
    }
}

static void room_for_the_largest_nodes_can_be_had(void **state)
{
    struct cache_evict_ops large = tc_evict_lfu;
    struct cache_type *t;
    (void)state;
    large.node_bytes = 256;
    for (size_t bytes = 240; bytes <= 256; bytes += 8) {
        open_cache("lru", bytes, false);
        assert_int_equal(add_type("large", &large, &t), bytes < 256 ? CACHE_E_INVALID : CACHE_OK);
        assert_true(tt_cache_close(&b));
    }
}

/* ---- updates ---- */

static void an_update_takes_no_other_policy(void **state)
{
    struct cache_evict_ops same = tc_evict_s3fifo, other = tc_evict_s3fifo;
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    struct cache_type *t;
    struct cache_stats st;
    char err[160] = "";
    (void)state;
    other.state_bytes += 8;
    open_cache("lru", tc_evict_s3fifo.node_bytes, false);
    assert_int_equal(add_type("own", &tc_evict_s3fifo, &t), CACHE_OK);
    o.l1_quota_entries = 7;
    o.evict = &other;
    assert_int_equal(cache_type_update(t, &o, err, sizeof err), CACHE_E_INVALID);
    assert_string_equal(err, "evict: a type keeps the eviction policy that it was registered with");
    o.evict = &tc_evict_lru;
    assert_int_equal(cache_type_update(t, &o, err, sizeof err), CACHE_E_INVALID);
    assert_int_equal(cache_type_update(b.type, &o, err, sizeof err), CACHE_E_INVALID); /* which has the cache's */
    assert_memory_equal(err, "evict: ", 7);
    assert_int_equal(cache_stats_read(b.c, t, &st, sizeof st), CACHE_OK);
    assert_int_equal(st.l1_limit_entries, 0);
    o.evict = &same; /* a copy is the same */
    assert_int_equal(cache_type_update(t, &o, err, sizeof err), CACHE_OK);
    o.evict = NULL;
    assert_int_equal(cache_type_update(t, &o, err, sizeof err), CACHE_OK);
    assert_string_equal(err, "");
    assert_int_equal(cache_stats_read(b.c, t, &st, sizeof st), CACHE_OK);
    assert_int_equal(st.l1_limit_entries, 7);
    assert_true(t->has_evict);
    assert_true(tt_cache_close(&b));
}

/* ---- which entry leaves, and who is told ---- */

static unsigned hits;

static void count_hit(void *state, uint32_t entry, void *node)
{
    hits++;
    if (state != NULL)
        tc_evict_lru_exact.hit(state, entry, node);
}

static const struct cache_key *make_key(struct cache_key *k, struct cache_type *t, uint64_t number)
{
    return cache_key_u64(cache_key_init(k, t), number);
}

static int set(struct cache_type *t, uint64_t number)
{
    struct cache_key k;
    char value[LEN] = "";
    return cache_set(b.c, make_key(&k, t, number), value, sizeof value, NULL);
}

static bool has(struct cache_type *t, uint64_t number)
{
    struct cache_key k;
    struct cache_value v;
    bool found = cache_get(b.c, make_key(&k, t, number), NULL, &v) == CACHE_OK;
    cache_value_release(&v);
    return found;
}

/* Order of entry alone: hits are counted and change nothing, unless they are told under the lock. */
static struct cache_evict_ops counting(bool locked)
{
    struct cache_evict_ops ops = tc_evict_lru_exact;
    ops.name = "counting";
    ops.flags = locked ? CACHE_EVICT_LOCKED_HITS : 0;
    ops.hit = count_hit;
    return ops;
}

static int load(struct cache_load *ld, const struct cache_key *key, void *user)
{
    (void)ld;
    (void)key;
    (void)user;
    return CACHE_E_USER_FIRST; /* it is there */
}

static void hit_by_all_verbs(struct cache_type *t)
{
    struct cache_fetch_opts f = CACHE_FETCH_OPTS_INIT;
    struct cache_key k;
    struct cache_value v;
    struct cache_meta m;
    struct cache_item item = { .key = make_key(&k, t, 1) };
    char value[LEN];
    f.load = load;
    assert_int_equal(cache_get(b.c, &k, NULL, &v), CACHE_OK);
    cache_value_release(&v);
    assert_int_equal(cache_get_copy(b.c, &k, value, sizeof value, &m), CACHE_OK);
    assert_int_equal(cache_get_copy(b.c, &k, value, 1, &m), CACHE_E_BUFFER);
    assert_int_equal(cache_get_many(b.c, &item, 1, NULL), CACHE_OK);
    assert_int_equal(item.status, CACHE_OK);
    cache_value_release(&item.value);
    assert_int_equal(cache_fetch(b.c, &k, &f, &v), CACHE_OK);
    cache_value_release(&v);
}

/* By the short way, which is that of the system's clock, and by the general one. */
static void the_policy_is_told_of_hits_of_every_verb(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4 * POLICIES; i++) {
        struct cache_evict_ops own = counting(i & 1);
        struct cache_type *t;
        open_cache(names[i / 4], tc_evict_s3fifo.node_bytes, i & 2);
        assert_int_equal(add_type("own", &own, &t), CACHE_OK);
        assert_int_equal(set(t, 1), CACHE_OK);
        assert_int_equal(set(b.type, 1), CACHE_OK);
        hits = 0;
        for (unsigned n = 1; n <= 300; n++) {
            hit_by_all_verbs(t);
            assert_int_equal(hits, 5 * n);
        }
        hit_by_all_verbs(b.type);
        assert_int_equal(hits, 5 * 300);
        struct cache_stats st;
        assert_int_equal(cache_stats_read(b.c, t, &st, sizeof st), CACHE_OK);
        assert_int_equal(st.l1_hits, 5 * 300);
        assert_true(tt_cache_close(&b));
    }
}

static unsigned count_there(struct cache_type *t, uint64_t n)
{
    unsigned there = 0;
    for (uint64_t i = 0; i < n; i++) {
        struct cache_key k;
        struct cache_meta m;
        char value[LEN];
        there += cache_get_copy(b.c, make_key(&k, t, i), value, sizeof value, &m) == CACHE_OK;
    }
    return there;
}

/* A few keys that are asked for all the time and many that are not: under a quota the type's policy alone decides, and
 * each keeps the few; one that goes by age alone does not. */
static void under_pressure_the_types_policy_decides(void **state)
{
    enum { FEW = 20, QUOTA = 60 };
    struct cache_evict_ops fifo = counting(false);
    (void)state;
    for (size_t i = 0; i < 2 * (POLICIES + 1); i++) {
        const struct cache_evict_ops *own = i / 2 < POLICIES ? cache_evict_policy(names[i / 2]) : &fifo;
        struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
        struct cache_type *t;
        open_cache(names[(i / 2 + 1) % POLICIES], tc_evict_s3fifo.node_bytes, i % 2);
        o.name = "own";
        o.evict = own;
        o.l1_quota_entries = QUOTA;
        assert_int_equal(cache_type_register(b.c, &o, &t), CACHE_OK);
        for (uint64_t n = 0; n < FEW; n++)
            assert_int_equal(set(t, n), CACHE_OK);
        for (uint64_t n = 0; n < 5000; n++) {
            for (uint64_t k = 0; k < 4; k++)
                has(t, (n * 4 + k) % FEW);
            assert_int_equal(set(t, 1000 + n), CACHE_OK);
            assert_int_equal(set(b.type, n), CACHE_OK); /* another type's */
        }
        unsigned there = count_there(t, FEW);
        assert_true(own == &fifo ? there == 0 : there >= FEW - 2);
        struct cache_stats st;
        assert_int_equal(cache_stats_read(b.c, t, &st, sizeof st), CACHE_OK);
        assert_int_equal(st.l1_entries, QUOTA);
        assert_true(tt_cache_close(&b));
    }
}

/* Its first entry in a stripe too, where others lie and stores have gone the short way so far. */
static void the_first_entry_of_a_type_stands_in_an_order_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < POLICIES; i++) {
        struct cache_type *t;
        open_sized(names[i], 0, true, 4 << 20); /* stripes below some size have no short way */
        const struct tc_stripe *s = &b.c->l1.stripes[0];
        assert_true(b.c->l1.paged);
        assert_int_equal(add_type("own", cache_evict_policy(names[i]), &t), CACHE_OK);
        for (uint64_t n = 0; n < 100; n++)
            assert_int_equal(set(b.type, n), CACHE_OK);
        assert_null(s->shared.next);
        for (uint64_t n = 0; n < 10; n++)
            assert_int_equal(set(t, n), CACHE_OK);
        assert_int_equal(s->shared.count, 100);
        assert_int_equal(s->shared.next->count, 10);
        assert_true(tt_cache_close(&b));
    }
}

/* The table is the caller's again. */
static void the_table_is_copied(void **state)
{
    struct cache_evict_ops own = tc_evict_sieve;
    struct cache_type *t;
    (void)state;
    open_cache("lru", own.node_bytes, false);
    assert_int_equal(add_type("own", &own, &t), CACHE_OK);
    memset(&own, 0xFF, sizeof own);
    for (uint64_t n = 0; n < 5000; n++)
        assert_int_equal(set(t, n), CACHE_OK);
    assert_true(has(t, 4999));
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    assert_false(has(t, 4999));
    assert_true(tt_cache_close(&b));
}

/* Lifetimes, absences, TTL policies and sizes are not the policy's business. */
static void entries_of_all_kinds_live_and_expire_as_others_do(void **state)
{
    static const size_t lens[] = { 0, 1, 300, 5000, 70000 };
    (void)state;
    for (size_t i = 0; i < POLICIES; i++) {
        struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
        struct cache_set_opts so = CACHE_SET_OPTS_INIT;
        static char value[70000], copy[70000];
        struct cache_type *t;
        struct cache_meta m;
        struct cache_key k;
        open_cache("lru", tc_evict_s3fifo.node_bytes, false);
        o.name = "own";
        o.evict = cache_evict_policy(names[i]);
        o.max_stale_ms = -1;
        o.l1_max_value_bytes = L1_BYTES;
        assert_int_equal(cache_type_register(b.c, &o, &t), CACHE_OK);
        so.ttl_ms = 1000;
        for (size_t n = 0; n < TC_ARRAY_LEN(lens); n++) {
            memset(value, (int)n, sizeof value);
            assert_int_equal(cache_set(b.c, make_key(&k, t, n), value, lens[n], &so), CACHE_OK);
            assert_int_equal(cache_get_copy(b.c, &k, copy, sizeof copy, &m), CACHE_OK);
            assert_int_equal(m.len, lens[n]);
            assert_memory_equal(copy, value, lens[n]);
        }
        assert_int_equal(cache_set_absent(b.c, make_key(&k, t, 100), &so), CACHE_OK);
        assert_int_equal(cache_get_copy(b.c, &k, copy, sizeof copy, &m), CACHE_ABSENT);
        tt_clock_advance(&b.clock, 1000);
        for (size_t n = 0; n < TC_ARRAY_LEN(lens); n++)
            assert_int_equal(cache_get_copy(b.c, make_key(&k, t, n), copy, sizeof copy, &m), CACHE_MISS);
        assert_true(tt_cache_close(&b));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_that_cannot_be_used_is_refused_by_name),
        cmocka_unit_test(a_policy_whose_nodes_do_not_fit_is_refused_with_what_to_do),
        cmocka_unit_test(room_for_the_largest_nodes_can_be_had),
        cmocka_unit_test(an_update_takes_no_other_policy),
        cmocka_unit_test(the_policy_is_told_of_hits_of_every_verb),
        cmocka_unit_test(under_pressure_the_types_policy_decides),
        cmocka_unit_test(the_first_entry_of_a_type_stands_in_an_order_of_its_own),
        cmocka_unit_test(the_table_is_copied),
        cmocka_unit_test(entries_of_all_kinds_live_and_expire_as_others_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
