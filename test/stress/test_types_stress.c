/* Types come while others are used: each with an eviction policy of its own, which is told of hits in another way than
 * the cache's, so that readers who take no lock meet entries of a type that was registered a moment ago. What is found
 * is what was stored under that key, and every policy's order stays whole. Run it under ThreadSanitizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"
#include "platform/platform.h"
#include "policy/evict.h"
#include "tier/cache.h"
#include "unit/tt_l1.h"

enum { WORKERS = 3, TYPES = 48, KEYS = 1000, LEN = 60, LATE = 200, STRIPES = 2, L1_BYTES = 1 << 20 };
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { OPS = 15000 };
#else
enum { OPS = 60000 };
#endif

static const char *const names[] = { "lru", "lru-exact", "sieve", "s3-fifo", "lfu", "w-tinylfu" };

struct stress {
    struct tt_cache b;
    uint64_t seed;
    _Atomic(struct cache_type *) types[TYPES];
    _Atomic unsigned n_types;
    _Atomic uint64_t found, stored, done;
};

/* Half of the keys are of the type that came last. */
static unsigned any_type(struct stress *s, uint64_t random)
{
    unsigned n = atomic_load(&s->n_types);
    return random % 2 == 0 ? n - 1 : random / 2 % n;
}

static void check(struct stress *s, int *failures, int status, const void *data, size_t len, uint64_t number)
{
    TT_CHECK(*failures, status == CACHE_OK || status == CACHE_MISS);
    if (status != CACHE_OK)
        return;
    TT_CHECK(*failures, len == LEN && tt_l1_is_value(data, len, number, NULL));
    atomic_fetch_add(&s->found, 1);
}

/* The answer to a miss is refused if somebody was there since. */
static void set(struct stress *s, int *failures, const struct cache_key *k, const char value[LEN])
{
    int status = cache_set(s->b.c, k, value, LEN, NULL);
    TT_CHECK(*failures, status == CACHE_OK || status == CACHE_E_TICKET);
    atomic_fetch_add(&s->stored, status == CACHE_OK);
}

static void step(struct stress *s, uint64_t random, int *failures)
{
    unsigned type = any_type(s, random);
    uint64_t number = random / 4096 % KEYS * TYPES + type;
    struct cache_value v;
    struct cache_meta m;
    struct cache_key k;
    char value[LEN];
    cache_key_u64(cache_key_init(&k, atomic_load(&s->types[type])), number);
    switch (random / 256 % 8) {
    case 0:
    case 1:
    case 2:
        tt_l1_fill((unsigned char *)value, sizeof value, number, random);
        set(s, failures, &k, value);
        break;
    case 3:
        TT_CHECK(*failures, cache_invalidate(s->b.c, &k, NULL) == CACHE_OK);
        break;
    case 4:
    case 5: {
        int status = cache_get(s->b.c, &k, NULL, &v);
        check(s, failures, status, v.data, v.len, number);
        cache_value_release(&v);
        break;
    }
    default: {
        int status = cache_get_copy(s->b.c, &k, value, sizeof value, &m);
        check(s, failures, status, value, (size_t)m.len, number);
        break;
    }
    }
}

static int work(void *arg, unsigned index)
{
    struct stress *s = arg;
    uint64_t random = s->seed + index;
    int failures = 0;
    for (unsigned i = 0; i < OPS && failures == 0; i++) {
        step(s, tt_random(&random), &failures);
        atomic_fetch_add(&s->done, 1);
    }
    return failures;
}

static void add_type(struct stress *s, unsigned i)
{
    struct cache_type_opts o = s->b.type_opts;
    struct cache_type *t;
    char name[16];
    snprintf(name, sizeof name, "type%u", i);
    o.name = name;
    o.evict = i % 7 == 6 ? NULL : cache_evict_policy(names[i % TC_ARRAY_LEN(names)]);
    assert_int_equal(cache_type_register(s->b.c, &o, &t), CACHE_OK);
    atomic_store(&s->types[i], t);
    atomic_store(&s->n_types, i + 1);
}

static void storm(const char *policy, uint64_t seed)
{
    static struct stress s;
    memset(&s, 0, sizeof s);
    s.seed = seed;
    tt_cache_prepare(&s.b, false);
    s.b.opts.clock = NULL; /* the system's: with it calls go the short ways too */
    s.b.opts.evict = cache_evict_policy(policy);
    s.b.opts.evict_node_bytes = tc_evict_s3fifo.node_bytes;
    s.b.opts.l1_bytes = L1_BYTES;
    s.b.opts.l1_stripes = STRIPES;
    tt_cache_open(&s.b);
    assert_true(s.b.c->l1.paged); /* entries are housed, moved and written over */
    atomic_store(&s.types[0], s.b.type);
    atomic_store(&s.n_types, 1);
    struct tt_crew *crew = tt_crew_start(WORKERS, work, &s);
    for (unsigned i = 1; i < TYPES; i++) {
        int64_t end_ms = tt_mono_ms() + LATE;
        while (atomic_load(&s.done) < (uint64_t)OPS * WORKERS / (TYPES + 1) * i && tt_pause(end_ms))
            ;
        add_type(&s, i);
    }
    assert_int_equal(tt_crew_join(crew), 0);
    struct cache_stats st = tt_cache_stats(&s.b);
    print_message("%s: stored %llu, found %llu, evicted %llu\n", policy, (unsigned long long)s.stored,
                  (unsigned long long)s.found, (unsigned long long)st.l1_evicted_bytes);
    assert_true(s.stored > OPS / 2 && s.found > OPS / 16 && st.l1_evicted_bytes > OPS / 8);
    assert_true(st.l1_bytes <= L1_BYTES);
    assert_true(tt_cache_close(&s.b)); /* walks through L1's accounts */
}

static void types_with_policies_of_their_own_come_while_others_are_used(void **state)
{
    static const char *const caches[] = { "lru", "lru-exact", "sieve" };
    uint64_t seed = tt_seed();
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(caches); i++)
        storm(caches[i], tt_random(&seed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_with_policies_of_their_own_come_while_others_are_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
