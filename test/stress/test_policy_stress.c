/* All verbs at once from several threads, which also change what the others go by: TTLs, quotas, priorities and TTL
 * policies of the types, and the limit of L1; under every eviction policy, and where a type has one of its own, in both
 * kinds of memory, and with L2. Each key is written by one thread, which says so in a table before, as an application
 * commits to its database, and after: nothing that is found may be older than what was written or invalidated before
 * one looked. Run it under ThreadSanitizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"
#include "platform/platform.h"
#include "tier/cache.h"
#include "unit/tt_l1.h"

enum { WORKERS = 4, TYPES = 2, KEYS = WORKERS * TYPES * 400, BATCH = 6, PINS = 4, ANSWERS = 8 };
enum { VALUE_MOST = 3000, SHORT = 40, LIFE_MS = 60000, QUOTA = 8 };
enum { L1_PAGED = 2 << 20, L1_APART = 512 << 10, MOST_EIGHTHS = 12 };
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { OPS = 4000 };
#else
enum { OPS = 16000 };
#endif

struct kind {
    const char *policy;
    uint64_t l1_bytes;
    uint32_t stripes;
    bool paged, with_l2;
    const char *own; /* policy of the second type; NULL: the cache's */
};

struct stress {
    struct tt_cache b;
    const struct kind *kind;
    struct cache_type *types[TYPES];
    uint64_t seed;
    _Atomic uint64_t origin[KEYS];   /* the version that the application's database has */
    _Atomic uint64_t in_force[KEYS]; /* nobody who looks from now on may find an older one */
    _Atomic uint64_t found, copied, loaded, filled, refused, written, changes, resizes;
};

/* What the database said after a miss, to be stored a while later. */
struct answer {
    unsigned k;
    uint64_t version;
    struct cache_ticket ticket;
    bool waits;
};

struct worker {
    struct stress *s;
    unsigned index;
    uint64_t random;
    int failures;
    int64_t began_ms;  /* the verb under way */
    bool fetches;      /* it is cache_fetch() */
    bool orders;       /* from half-way on: short stores end where a type has an order of its own */
    unsigned fetching; /* the key that this thread loads */
    struct cache_value pins[PINS];
    unsigned pinned[PINS]; /* the key of each */
    uint64_t pinned_version[PINS];
    struct answer answers[ANSWERS];
};

static uint64_t dice(struct worker *w, uint64_t below)
{
    return tt_random(&w->random) % below;
}

/* ---- keys and values ---- */

static unsigned owner_of(unsigned k)
{
    return k / TYPES % WORKERS;
}

static unsigned any_key(struct worker *w)
{
    return (unsigned)dice(w, dice(w, 2) == 0 ? KEYS / 20 : KEYS);
}

static unsigned own_key(struct worker *w)
{
    unsigned k = any_key(w);
    return k - owner_of(k) * TYPES + w->index * TYPES;
}

/* One that another thread writes. Its misses leave tickets, with which a write would be the answer to one. */
static unsigned others_key(struct worker *w)
{
    unsigned k = own_key(w), other = (w->index + 1 + (unsigned)dice(w, WORKERS - 1)) % WORKERS;
    return k - w->index * TYPES + other * TYPES;
}

static const struct cache_key *make_key(const struct stress *s, unsigned k, struct cache_key *key)
{
    return cache_key_u64(cache_key_init(key, s->types[k % TYPES]), k);
}

static bool is_absent(uint64_t version)
{
    return version % 8 == 7;
}

/* Half of them of one size, so that they are written over the ones before. */
static size_t len_of(uint64_t version)
{
    uint64_t mixed = version * UINT64_C(0x9E3779B97F4A7C15) >> 32;
    return mixed % 2 == 0 ? SHORT + mixed / 2 % 4 : sizeof version + mixed / 2 % (VALUE_MOST - sizeof version);
}

static size_t make_value(unsigned k, uint64_t version, void *value)
{
    tt_l1_fill(value, len_of(version), k, version);
    return len_of(version);
}

static uint64_t check_value(struct worker *w, unsigned k, const void *data, size_t len, uint64_t oldest)
{
    uint64_t version = 0;
    TT_CHECK(w->failures, tt_l1_is_value(data, len, k, &version) && len == len_of(version) && !is_absent(version));
    TT_CHECK(w->failures, version >= oldest && version <= atomic_load(&w->s->origin[k]));
    return version;
}

/* What is found and not said to be stale is fresh: at some moment of the call, by the clock that the cache goes by,
 * which may be behind. What a load brought may be over when those who waited for it get it. What is left may be more
 * than what any policy gives by as much as the call took: it read the clock before it found what somebody stored
 * since. */
static void check_meta(struct worker *w, const struct cache_meta *m)
{
    int64_t took_ms = tc_mono_coarse_ms() - w->began_ms;
    TT_CHECK(w->failures, w->fetches || m->ttl_ms >= -took_ms || m->flags & CACHE_META_STALE);
    TT_CHECK(w->failures, m->ttl_ms != CACHE_TTL_FOREVER && m->ttl_ms <= LIFE_MS + took_ms);
}

/* ---- looking up ---- */

static void let_go(struct worker *w, size_t at)
{
    if (w->pins[at].pin != NULL)
        TT_CHECK(w->failures, check_value(w, w->pinned[at], w->pins[at].data, w->pins[at].len, 0) ==
                                  w->pinned_version[at]);
    cache_value_release(&w->pins[at]);
}

static void take(struct worker *w, unsigned k, int status, struct cache_value *v, uint64_t oldest)
{
    if (status != CACHE_OK) {
        TT_CHECK(w->failures, v->pin == NULL);
        return;
    }
    atomic_fetch_add(&w->s->found, 1);
    check_meta(w, &v->meta);
    uint64_t version = check_value(w, k, v->data, v->len, oldest);
    size_t at = (size_t)dice(w, 2 * PINS);
    if (at >= PINS) {
        cache_value_release(v);
        return;
    }
    let_go(w, at);
    w->pins[at] = *v;
    w->pinned[at] = k;
    w->pinned_version[at] = version;
}

/* CACHE_E_NOMEM: some thread had no processor for a tenth of a second while it read. */
static bool is_stored_or_refused(const struct stress *s, int status)
{
    return status == CACHE_OK || status == CACHE_E_TICKET || status == CACHE_E_TOO_LARGE || status == CACHE_E_NOMEM ||
           (s->kind->with_l2 && status == CACHE_E_TIMEOUT);
}

/* ticket may be NULL: this thread's own. */
static void fill(struct worker *w, unsigned k, uint64_t version, const struct cache_ticket *ticket)
{
    char value[VALUE_MOST];
    struct cache_set_opts o = CACHE_SET_OPTS_INIT;
    struct cache_key key;
    make_key(w->s, k, &key);
    o.ticket = ticket;
    int status = is_absent(version) ? cache_set_absent(w->s->b.c, &key, &o)
                                    : cache_set(w->s->b.c, &key, value, make_value(k, version, value), &o);
    TT_CHECK(w->failures, is_stored_or_refused(w->s, status));
    atomic_fetch_add(status == CACHE_OK ? &w->s->filled : &w->s->refused, 1);
}

static void fill_late(struct worker *w, struct answer *next)
{
    struct answer *a = &w->answers[dice(w, ANSWERS)];
    if (a->waits)
        fill(w, a->k, a->version, &a->ticket);
    *a = *next;
}

static void get(struct worker *w, bool answers)
{
    struct cache_call o = CACHE_CALL_INIT;
    struct answer a = { .k = others_key(w), .waits = true };
    struct cache_key key;
    struct cache_value v;
    uint64_t oldest = atomic_load(&w->s->in_force[a.k]);
    o.ticket = &a.ticket;
    int status = cache_get(w->s->b.c, make_key(w->s, a.k, &key), answers ? &o : NULL, &v);
    TT_CHECK(w->failures, status == CACHE_OK || status == CACHE_MISS || status == CACHE_ABSENT);
    take(w, a.k, status, &v, oldest);
    if (status != CACHE_MISS || !answers)
        return;
    a.version = atomic_load(&w->s->origin[a.k]);
    if (dice(w, 2) == 0)
        fill(w, a.k, a.version, NULL);
    else
        fill_late(w, &a);
}

static void get_copy(struct worker *w)
{
    char value[VALUE_MOST];
    struct cache_meta m;
    struct cache_key key;
    unsigned k = others_key(w);
    uint64_t oldest = atomic_load(&w->s->in_force[k]);
    size_t cap = dice(w, 4) == 0 ? SHORT : sizeof value;
    int status = cache_get_copy(w->s->b.c, make_key(w->s, k, &key), value, cap, &m);
    TT_CHECK(w->failures, status == CACHE_OK || status == CACHE_MISS || status == CACHE_ABSENT ||
                              (status == CACHE_E_BUFFER && m.len > cap));
    if (status != CACHE_OK)
        return;
    atomic_fetch_add(&w->s->copied, 1);
    check_meta(w, &m);
    check_value(w, k, value, m.len, oldest);
}

static void get_many(struct worker *w)
{
    struct cache_key keys[BATCH];
    struct cache_item items[BATCH] = { { .key = NULL } };
    unsigned ks[BATCH];
    uint64_t oldest[BATCH];
    for (unsigned i = 0; i < BATCH; i++) {
        ks[i] = others_key(w);
        oldest[i] = atomic_load(&w->s->in_force[ks[i]]);
        items[i].key = make_key(w->s, ks[i], &keys[i]);
    }
    TT_CHECK(w->failures, cache_get_many(w->s->b.c, items, BATCH, NULL) == CACHE_OK);
    for (unsigned i = 0; i < BATCH; i++)
        take(w, ks[i], items[i].status, &items[i].value, oldest[i]);
}

static int load(struct cache_load *ld, const struct cache_key *key, void *arg)
{
    struct worker *w = arg;
    char value[VALUE_MOST];
    uint64_t version = atomic_load(&w->s->origin[w->fetching]);
    (void)key;
    atomic_fetch_add(&w->s->loaded, 1);
    if (dice(w, 8) == 0)
        return CACHE_E_USER_FIRST;
    if (dice(w, 4) == 0)
        TT_CHECK(w->failures, cache_load_ttl(ld, (int64_t)dice(w, 20) + 1) == CACHE_OK);
    if (is_absent(version))
        return cache_load_absent(ld);
    return cache_load_reply(ld, value, make_value(w->fetching, version, value));
}

static void fetch(struct worker *w)
{
    struct cache_fetch_opts o = CACHE_FETCH_OPTS_INIT;
    struct cache_key key;
    struct cache_value v;
    unsigned k = any_key(w);
    uint64_t oldest = atomic_load(&w->s->in_force[k]);
    o.load = load;
    o.user = w;
    w->fetching = k;
    w->fetches = true;
    int status = cache_fetch(w->s->b.c, make_key(w->s, k, &key), &o, &v);
    TT_CHECK(w->failures, status == CACHE_OK || status == CACHE_ABSENT || status == CACHE_E_USER_FIRST ||
                              status == CACHE_E_TIMEOUT);
    take(w, k, status, &v, oldest);
    w->fetches = false;
}

/* ---- writing ---- */

/* From its return on nobody finds what was there before, whatever became of the value. */
static void wrote(struct worker *w, unsigned k, const struct cache_key *key, int status)
{
    TT_CHECK(w->failures, is_stored_or_refused(w->s, status));
    if (status == CACHE_E_TICKET) /* of a type that wants one: nothing happened */
        TT_CHECK(w->failures, cache_invalidate(w->s->b.c, key, NULL) == CACHE_OK);
    atomic_fetch_add(&w->s->written, status == CACHE_OK);
    atomic_store(&w->s->in_force[k], atomic_load(&w->s->origin[k]));
}

static void set(struct worker *w)
{
    static const int64_t lives[] = { 0, 0, 3, LIFE_MS, CACHE_TTL_NONE };
    char value[VALUE_MOST];
    struct cache_set_opts o = CACHE_SET_OPTS_INIT;
    struct cache_key key;
    unsigned k = own_key(w);
    uint64_t version = atomic_fetch_add(&w->s->origin[k], 1) + 1;
    bool plain = dice(w, 2) == 0;
    o.ttl_ms = lives[dice(w, TC_ARRAY_LEN(lives))];
    make_key(w->s, k, &key);
    wrote(w, k, &key,
          is_absent(version) ? cache_set_absent(w->s->b.c, &key, &o)
                             : cache_set(w->s->b.c, &key, value, make_value(k, version, value), plain ? NULL : &o));
}

static void invalidate(struct worker *w)
{
    struct cache_key key;
    unsigned k = own_key(w);
    atomic_fetch_add(&w->s->origin[k], 1);
    wrote(w, k, &key, cache_invalidate(w->s->b.c, make_key(w->s, k, &key), NULL));
}

static void write_many(struct worker *w)
{
    static const unsigned step = WORKERS * TYPES;
    struct cache_key keys[BATCH];
    struct cache_item items[BATCH] = { { .key = NULL } };
    char values[BATCH][VALUE_MOST];
    unsigned first = own_key(w);
    bool sets = dice(w, 2) == 0;
    for (unsigned i = 0; i < BATCH; i++) {
        unsigned k = (first + i * step) % KEYS;
        uint64_t version = atomic_fetch_add(&w->s->origin[k], 1) + 1;
        if (sets && is_absent(version)) /* a batch cannot say so */
            version = atomic_fetch_add(&w->s->origin[k], 1) + 1;
        items[i].key = make_key(w->s, k, &keys[i]);
        items[i].data = values[i];
        items[i].len = make_value(k, version, values[i]);
    }
    TT_CHECK(w->failures, (sets ? cache_set_many(w->s->b.c, items, BATCH, NULL)
                                : cache_invalidate_many(w->s->b.c, items, BATCH, NULL)) == CACHE_OK);
    for (unsigned i = 0; i < BATCH; i++)
        wrote(w, (first + i * step) % KEYS, &keys[i], items[i].status);
}

/* ---- what the others go by ---- */

static void decide(void *ctx, const struct cache_ttl_view *view, struct cache_ttl *ttl)
{
    (void)ctx;
    ttl->ttl_ms = view->absent || view->previous_hits % 2 ? LIFE_MS / 2 : 5 + (int64_t)view->value_len;
}

static const struct cache_ttl_ops ttl_ops = { CACHE_HOOKS_ABI, decide };

static void change_options(struct worker *w, struct cache_type_opts *o)
{
    static const int64_t absences[] = { 0, 0, 5, CACHE_TTL_NONE };
    static const int64_t windows[] = { 0, -1, 10 };
    o->l1_ttl_ms = dice(w, 4) == 0 ? (int64_t)dice(w, 50) + 1 : 0;
    o->negative_ttl_ms = absences[dice(w, TC_ARRAY_LEN(absences))];
    o->max_stale_ms = windows[dice(w, TC_ARRAY_LEN(windows))];
    o->jitter_percent = dice(w, 4) == 0 ? (uint32_t)dice(w, 91) : 0;
    o->l1_max_value_bytes = dice(w, 4) == 0 ? dice(w, VALUE_MOST) + 1 : 0;
    o->ttl_policy = dice(w, 4) == 0 ? &ttl_ops : NULL;
    o->flags = dice(w, 8) == 0 ? CACHE_TYPE_REQUIRE_TICKET : 0;
    o->flags |= w->s->kind->with_l2 && dice(w, 8) == 0 ? CACHE_TYPE_NO_L1 : 0;
}

/* What gives a type an order of its own. */
static void change_order(struct worker *w, struct cache_type_opts *o)
{
    o->l1_priority = dice(w, 2) == 0 ? (int32_t)dice(w, 17) - 8 : 0;
    o->l1_quota_entries = dice(w, 3) == 0 ? dice(w, 400) + 1 : 0;
    o->l1_quota_bytes = dice(w, 3) == 0 ? dice(w, 400000) + 5000 : 0;
}

/* Every other one changes lives alone, so that many hits and stores go the short ways. */
static void change_type(struct worker *w)
{
    static const int64_t lives[] = { LIFE_MS, LIFE_MS, 2, 20, 200 };
    struct cache_type_opts o = w->s->b.type_opts;
    o.name = NULL;
    o.ttl_ms = lives[dice(w, TC_ARRAY_LEN(lives))];
    if (dice(w, 2) == 0)
        change_options(w, &o);
    if (w->orders && dice(w, 2) == 0)
        change_order(w, &o);
    TT_CHECK(w->failures, cache_type_update(w->s->types[dice(w, TYPES)], &o, NULL, 0) == CACHE_OK);
    atomic_fetch_add(&w->s->changes, 1);
}

static void resize(struct worker *w)
{
    struct cache_stats st;
    uint64_t bytes = w->s->kind->l1_bytes / 8 * (1 + dice(w, MOST_EIGHTHS));
    int status = cache_resize(w->s->b.c, bytes, 0);
    TT_CHECK(w->failures, status == CACHE_OK || status == CACHE_E_TIMEOUT || status == CACHE_BUSY);
    atomic_fetch_add(&w->s->resizes, status == CACHE_OK);
    TT_CHECK(w->failures, cache_stats_read(w->s->b.c, NULL, &st, sizeof st) == CACHE_OK);
    TT_CHECK(w->failures, st.l1_bytes <= w->s->kind->l1_bytes / 8 * MOST_EIGHTHS);
}

/* ---- what a thread does ---- */

static int work(void *arg, unsigned index)
{
    struct stress *s = arg;
    struct worker w = { .s = s, .index = index, .random = s->seed + index };
    for (unsigned i = 0; i < OPS && w.failures == 0; i++) {
        uint64_t die = dice(&w, 10000);
        w.began_ms = tc_mono_coarse_ms();
        w.orders = i >= OPS / 2;
        if (die < 1500)
            get(&w, false);
        else if (die < 3000)
            get(&w, true);
        else if (die < 5000)
            get_copy(&w);
        else if (die < 5500)
            get_many(&w);
        else if (die < 7000)
            fetch(&w);
        else if (die < 8800)
            set(&w);
        else if (die < 9500)
            invalidate(&w);
        else if (die < 9850)
            write_many(&w);
        else if (die < 9978)
            change_type(&w);
        else if (die < 9998)
            resize(&w);
        else
            TT_CHECK(w.failures, cache_clear_local(s->b.c) == CACHE_OK);
    }
    for (size_t i = 0; i < PINS; i++)
        let_go(&w, i);
    return w.failures;
}

/* ---- the test ---- */

static void open_stress(struct stress *s, const struct kind *kind, uint64_t seed)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    memset(s, 0, sizeof *s);
    s->kind = kind;
    s->seed = seed;
    tt_cache_prepare(&s->b, kind->with_l2);
    s->b.opts.clock = NULL; /* the system's: with it calls go the short ways too */
    s->b.opts.clock_ctx = NULL;
    if (kind->paged) {
        s->b.opts.alloc = NULL; /* pages come from the system then */
        s->b.opts.alloc_ctx = NULL;
    }
    s->b.opts.evict = cache_evict_policy(kind->policy);
    s->b.opts.l1_bytes = kind->l1_bytes;
    s->b.opts.l1_stripes = kind->stripes;
    s->b.opts.timeout_ms = TT_SOON_MS;
    assert_non_null(s->b.opts.evict);
    o.evict = cache_evict_policy(kind->own);
    s->b.opts.evict_node_bytes = o.evict != NULL ? o.evict->node_bytes : 0;
    s->b.type_opts.ttl_ms = LIFE_MS;
    tt_cache_open(&s->b);
    assert_int_equal(s->b.c->l1.paged, kind->paged);
    o.name = "other";
    o.ttl_ms = LIFE_MS;
    s->types[0] = s->b.type;
    assert_int_equal(cache_type_register(s->b.c, &o, &s->types[1]), CACHE_OK);
}

/* Of all that was said of a type only the last word counts. */
static void assert_last_policy_holds(struct stress *s)
{
    struct cache_type_opts o = s->b.type_opts;
    struct cache_stats st;
    struct cache_key key;
    char value[SHORT] = "";
    struct cache_meta m;
    assert_int_equal(cache_resize(s->b.c, s->kind->l1_bytes, 0), CACHE_OK);
    for (unsigned round = 0; round < 2; round++) {
        o.l1_quota_entries = round == 0 ? QUOTA : 0;
        assert_int_equal(cache_type_update(s->types[0], &o, NULL, 0), CACHE_OK);
        assert_int_equal(cache_clear_local(s->b.c), CACHE_OK);
        for (unsigned k = 0; k < 8 * QUOTA * TYPES; k += TYPES) {
            make_key(s, k, &key);
            assert_int_equal(cache_set(s->b.c, &key, value, sizeof value, NULL), CACHE_OK);
            assert_int_equal(cache_get_copy(s->b.c, &key, value, sizeof value, &m), CACHE_OK);
            assert_true(m.tier == CACHE_TIER_L1 && m.ttl_ms > LIFE_MS - TT_SOON_MS && m.ttl_ms <= LIFE_MS);
        }
        assert_int_equal(cache_stats_read(s->b.c, s->types[0], &st, sizeof st), CACHE_OK);
        assert_in_range(st.l1_entries, round == 0 ? 1 : 8 * QUOTA, round == 0 ? QUOTA : 8 * QUOTA);
    }
}

/* Returns how many entries were evicted, for memory and for quotas: one storm may have lives so short that none is. */
static uint64_t storm(const struct kind *kind, uint64_t seed)
{
    static struct stress s;
    open_stress(&s, kind, seed);
    assert_int_equal(tt_crew_join(tt_crew_start(WORKERS, work, &s)), 0);
    struct cache_stats st = tt_cache_stats(&s.b);
#define SAY(name, n) print_message(" %s %llu", name, (unsigned long long)(n))
    print_message("%s%s%s, %s:", kind->policy, kind->own != NULL ? " and " : "", kind->own != NULL ? kind->own : "",
                  kind->with_l2 ? "with L2" : kind->paged ? "pages" : "apart");
    SAY("found", s.found);
    SAY("copied", s.copied);
    SAY("loaded", s.loaded);
    SAY("filled", s.filled);
    SAY("refused", s.refused);
    SAY("written", s.written);
    SAY("changed", s.changes);
    SAY("resized", s.resizes);
    SAY("evicted", st.l1_evicted_bytes);
    SAY("for quotas", st.l1_evicted_quota);
    SAY("replaced", st.l1_replaced);
    print_message("\n");
#undef SAY
    assert_true(s.found > 0 && s.copied > 0 && s.loaded > 0 && s.filled > 0 && s.written > 0 && s.resizes > 0);
    assert_true(st.l1_replaced > 0 && st.invalidations > 0);
    uint64_t evicted = st.l1_evicted_bytes + st.l1_evicted_quota;
    assert_last_policy_holds(&s);
    st = tt_cache_stats(&s.b);
    assert_int_equal(st.l1_pins, 0);
    assert_int_equal(st.l1_detached_bytes, 0);
    assert_true(st.l1_bytes <= kind->l1_bytes);
    assert_true(tt_cache_close(&s.b)); /* walks through L1's accounts */
    return evicted;
}

static const char *const policies[] = { "lru", "lru-exact", "sieve", "s3-fifo", "lfu", "w-tinylfu" };

static void nothing_is_older_than_it_may_be_whatever_the_policy_in_pages(void **state)
{
    uint64_t seed = tt_seed(), evicted = 0;
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(policies); i++)
        evicted += storm(&(struct kind){ policies[i], L1_PAGED, 2, true, false, NULL }, tt_random(&seed));
    assert_true(evicted > 0);
}

static void nothing_is_older_than_it_may_be_whatever_the_policy_apart(void **state)
{
    uint64_t seed = tt_seed(), evicted = 0;
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(policies); i++)
        evicted += storm(&(struct kind){ policies[i], L1_APART, 4, false, false, NULL }, tt_random(&seed));
    assert_true(evicted > 0);
}

static void nothing_is_older_than_it_may_be_with_l2(void **state)
{
    uint64_t seed = tt_seed();
    (void)state;
    storm(&(struct kind){ "lru", L1_PAGED, 2, true, true, NULL }, tt_random(&seed));
}

static void nothing_is_older_than_it_may_be_where_types_have_policies_of_their_own(void **state)
{
    static const struct kind kinds[] = {
        { "lru", L1_PAGED, 2, true, false, "s3-fifo" },       { "lru", L1_PAGED, 2, true, false, "lru" },
        { "lru-exact", L1_PAGED, 2, true, false, "sieve" },   { "lfu", L1_APART, 4, false, false, "lru-exact" },
        { "w-tinylfu", L1_APART, 4, false, false, "lru" },    { "lru", L1_PAGED, 2, true, true, "w-tinylfu" },
    };
    uint64_t seed = tt_seed();
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(kinds); i++)
        storm(&kinds[i], tt_random(&seed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_older_than_it_may_be_whatever_the_policy_in_pages),
        cmocka_unit_test(nothing_is_older_than_it_may_be_whatever_the_policy_apart),
        cmocka_unit_test(nothing_is_older_than_it_may_be_with_l2),
        cmocka_unit_test(nothing_is_older_than_it_may_be_where_types_have_policies_of_their_own),
    };
    return cmocka_run_group_tests_name("policies that change", tests, NULL, NULL);
}
