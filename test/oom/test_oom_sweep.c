/* Every verb with every allocation failing in turn: the first, the second, ... until the verb asked for no more; each
 * time that one only, and that one and all after it. L1 alone, L2 up, L2 out, when what it cannot be told is queued, and L2
 * whose answers to writes are lost.
 *
 * A scenario knows what may lie under its key afterwards: a write that was not refused forbids the old value, also
 * where memory for telling L2 was missing. Whatever failed, the cache then works, its accounts agree, and nothing
 * leaks. */
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
#include "tier/cache.h"

enum setting { L1_ALONE, L2_UP, L2_OUT, L2_SILENT };
static const char *const setting_names[] = { "L1 alone", "L2 up", "L2 out", "L2 silent" };

enum { MANY = 70, LONG = 500, MAX_ALLOCATIONS = 2000, L1_BYTES = 512 * 1024 };
enum { MAY_OLD = 1, MAY_NEW = 2, MAY_ABSENT = 4 }; /* a miss always may be */

struct scenario;

static struct scene {
    struct tt_cache b;
    const struct scenario *scenario;
    enum setting setting;
    uint64_t nth;
    bool for_ever;
    struct cache_key k, missing, other, many[MANY];
    struct cache_item items[MANY];
    struct cache_ticket ticket;
    struct tt_loader loader;
    unsigned may; /* lie under k afterwards */
    bool closed;
} s;

struct scenario {
    const char *name;
    void (*before)(void); /* with memory; NULL: nothing */
    void (*run)(void);
};

static void must_at(int line, bool good, const char *what, int status)
{
    if (!good)
        fail_msg("line %d: %s, %s, allocation %llu%s: not %s (status %d)", line, s.scenario->name,
                 setting_names[s.setting], (unsigned long long)s.nth, s.for_ever ? " and all after it" : "", what,
                 status);
}
#define must(good, status) must_at(__LINE__, (good), #good, (status))

/* ---- what a result may be ---- */

static void must_answer(const struct tt_answer *a, unsigned may, bool may_fail)
{
    switch (a->status) {
    case CACHE_OK:
        must((may & MAY_OLD && strcmp(a->text, "old") == 0) || (may & MAY_NEW && strcmp(a->text, "new") == 0),
               a->status);
        break;
    case CACHE_ABSENT:
        must(may & MAY_ABSENT, a->status);
        break;
    default:
        must(a->status == CACHE_MISS || (may_fail && a->status == CACHE_E_NOMEM), a->status);
    }
}

/* Of a call that changes k: whether its result is one that the header lists, and what it means for k. */
static void take_write(int status, unsigned wrote)
{
    bool listed = status == CACHE_OK || status == CACHE_E_NOMEM ||
                  (s.setting != L1_ALONE && (status == CACHE_QUEUED || status == CACHE_E_UNKNOWN));
    must(listed, status);
    s.may = status == CACHE_E_NOMEM ? s.may : wrote;
}

static void take_invalidation(int status)
{
    must(status == CACHE_OK || (s.setting != L1_ALONE && (status == CACHE_QUEUED || status == CACHE_E_UNKNOWN)),
           status);
    s.may = 0;
}

/* ---- scenarios: keys and types ---- */

static void long_key(struct cache_key *k)
{
    char part[LONG];
    memset(part, 'x', sizeof part);
    cache_key_bytes(cache_key_str(cache_key_bytes(cache_key_init(k, s.b.type), part, sizeof part), "and"), part,
                    sizeof part);
}

static void run_long_key(void)
{
    struct cache_key k;
    long_key(&k);
    int sticky = cache_key_status(&k);
    must(sticky == CACHE_OK || sticky == CACHE_E_NOMEM, sticky);
    char text[3 * LONG];
    size_t len;
    int rc = cache_key_text(&k, text, sizeof text, &len);
    must(rc == sticky && (rc != CACHE_OK || len == 1 + 2 * (1 + LONG) + 4), rc);
    rc = tt_cache_set(&s.b, &k, "new");
    must(sticky == CACHE_OK ? rc >= 0 || rc == CACHE_E_NOMEM || rc == CACHE_E_UNKNOWN : rc == sticky, rc);
    bool stored = rc != CACHE_E_NOMEM;
    struct tt_answer a = tt_cache_get(&s.b, &k);
    if (sticky != CACHE_OK)
        must(a.status == sticky, a.status);
    else
        must_answer(&a, stored ? MAY_NEW : 0, true);
    a = tt_cache_fetch(&s.b, &k, &s.loader);
    if (sticky != CACHE_OK)
        must(a.status == sticky, a.status);
    else
        must_answer(&a, MAY_NEW, true);
    rc = cache_invalidate(s.b.c, &k, NULL);
    must(sticky == CACHE_OK ? rc >= 0 || rc == CACHE_E_UNKNOWN : rc == sticky, rc);
    cache_key_fini(&k);
}

static void run_type_register(void)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    struct cache_type *t = NULL, *found = NULL;
    o.name = "another";
    o.l1_quota_entries = 3;
    int rc = cache_type_register(s.b.c, &o, &t);
    must(rc == CACHE_OK || rc == CACHE_E_NOMEM, rc);
    must((rc == CACHE_OK) == (t != NULL), rc);
    int look = cache_type_find(s.b.c, "another", &found);
    must(look == (rc == CACHE_OK ? CACHE_OK : CACHE_E_NOT_FOUND) && found == t, look);
}

static void run_type_update(void)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    char err[128] = "";
    o.l1_quota_entries = 1;
    int rc = cache_type_update(s.b.type, &o, err, sizeof err);
    must(rc == CACHE_OK || rc == CACHE_E_NOMEM, rc);
    must((rc == CACHE_OK) == (err[0] == '\0'), rc);
    struct cache_stats st;
    int read = cache_stats_read(s.b.c, s.b.type, &st, sizeof st);
    must(read == CACHE_OK && st.l1_limit_entries == (rc == CACHE_OK ? 1 : 0), read);
}

static void run_type_find(void)
{
    struct cache_type *t = NULL;
    int rc = cache_type_find(s.b.c, "t", &t);
    must(rc == CACHE_OK && t == s.b.type, rc);
}

/* ---- scenarios: get and set ---- */

static void forget_l1(void)
{
    assert_int_equal(cache_clear_local(s.b.c), CACHE_OK);
    if (s.setting == L1_ALONE)
        s.may = 0;
}

static void run_get(void)
{
    struct tt_answer a = tt_cache_get(&s.b, &s.k);
    must_answer(&a, s.may, true);
}

static void run_get_of_nothing(void)
{
    struct cache_ticket ticket;
    struct tt_answer a = tt_cache_get_with(&s.b, &s.missing, 0, 0, &ticket);
    must_answer(&a, 0, true);
}

static void run_get_copy(void)
{
    struct tt_answer a = { 0 };
    a.status = cache_get_copy(s.b.c, &s.k, a.text, sizeof a.text - 1, &a.meta);
    must_answer(&a, s.may, true);
    int rc = cache_get_copy(s.b.c, &s.k, a.text, 1, &a.meta);
    must(rc == CACHE_E_BUFFER || rc == CACHE_MISS || rc == CACHE_E_NOMEM, rc);
}

static void run_set(void)
{
    take_write(tt_cache_set(&s.b, &s.k, "new"), MAY_NEW);
}

static void take_ticket(void)
{
    forget_l1();
    tt_backend_erase_all(s.b.l2);
    s.may = 0;
    struct tt_answer a = tt_cache_get_with(&s.b, &s.k, 0, 0, &s.ticket);
    assert_int_equal(a.status, CACHE_MISS);
}

static void take_ticket_in_l1(void)
{
    forget_l1();
    struct tt_answer a = tt_cache_get_with(&s.b, &s.k, CACHE_CALL_L1_ONLY, 0, &s.ticket);
    assert_int_equal(a.status, CACHE_MISS);
}

static void forget_k(void)
{
    if (s.b.l2 != NULL)
        take_ticket();
    else
        take_ticket_in_l1();
}

static void run_set_with_ticket(void)
{
    take_write(tt_cache_set_with(&s.b, &s.k, "new", 0, &s.ticket), MAY_NEW);
}

static void run_set_absent(void)
{
    take_write(cache_set_absent(s.b.c, &s.k, NULL), MAY_ABSENT);
}

static void run_set_of_nothing_to_cache(void)
{
    take_write(tt_cache_set_with(&s.b, &s.k, "new", CACHE_TTL_NONE, NULL), 0);
}

/* ---- scenarios: fetch ---- */

static void run_fetch(void)
{
    struct tt_answer a = tt_cache_fetch(&s.b, &s.k, &s.loader);
    s.may |= s.loader.absent ? MAY_ABSENT : MAY_NEW;
    must(a.status != CACHE_MISS, a.status);
    must_answer(&a, s.may, true);
}

static void before_fetch_of_an_absence(void)
{
    forget_k();
    s.loader.text = NULL;
    s.loader.absent = true;
}

static int fill_buffer(struct tt_loader *l, struct cache_load *ld, const struct cache_key *k)
{
    (void)l;
    (void)k;
    int rc = cache_load_reply(ld, "too early", 9);
    if (rc != CACHE_OK)
        return rc;
    char *room = cache_load_buffer(ld, 3);
    if (room == NULL)
        return CACHE_E_NOMEM;
    memcpy(room, "new", 3);
    return CACHE_OK;
}

static void before_fetch_into_a_buffer(void)
{
    forget_k();
    s.loader.text = NULL;
    s.loader.inside = fill_buffer;
}

static int fetch_another(struct tt_loader *l, struct cache_load *ld, const struct cache_key *k)
{
    struct tt_loader inner;
    (void)l;
    (void)ld;
    (void)k;
    tt_loader_init(&inner, "new");
    struct tt_answer a = tt_cache_fetch(&s.b, &s.missing, &inner);
    tt_loader_fini(&inner);
    must_answer(&a, MAY_NEW, true);
    return a.status == CACHE_OK ? CACHE_OK : a.status;
}

static void before_nested_fetch(void)
{
    forget_k();
    s.loader.inside = fetch_another;
}

static int fetch_itself(struct tt_loader *l, struct cache_load *ld, const struct cache_key *k)
{
    (void)ld;
    struct tt_answer a = tt_cache_fetch(&s.b, k, l);
    must(a.status == CACHE_E_DEADLOCK || a.status == CACHE_E_NOMEM, a.status);
    return CACHE_OK;
}

static void before_recursive_fetch(void)
{
    forget_k();
    s.loader.inside = fetch_itself;
}

/* ---- scenarios: invalidate, batches, statistics, close ---- */

static void run_invalidate(void)
{
    take_invalidation(cache_invalidate(s.b.c, &s.k, NULL));
}

static void run_clear_local(void)
{
    int rc = cache_clear_local(s.b.c);
    must(rc == CACHE_OK, rc);
}

static void name_items(const char *text)
{
    memset(s.items, 0, sizeof s.items);
    for (size_t i = 0; i < MANY; i++) {
        s.items[i].key = i == 0 ? &s.k : &s.many[i];
        s.items[i].data = text;
        s.items[i].len = strlen(text);
    }
}

static void run_set_many(void)
{
    name_items("new");
    int rc = cache_set_many(s.b.c, s.items, MANY, NULL);
    must(rc == CACHE_OK || rc == CACHE_E_NOMEM, rc);
    for (size_t i = 1; i < MANY; i++)
        must(s.items[i].status >= CACHE_OK || s.items[i].status == CACHE_E_NOMEM ||
                   s.items[i].status == CACHE_E_UNKNOWN,
               s.items[i].status);
    take_write(s.items[0].status, MAY_NEW);
}

static void run_get_many(void)
{
    name_items("");
    int rc = cache_get_many(s.b.c, s.items, MANY, NULL);
    must(rc == CACHE_OK || rc == CACHE_E_NOMEM, rc);
    for (size_t i = 0; i < MANY; i++) {
        struct cache_item *it = &s.items[i];
        struct tt_answer a = { .status = it->status };
        if (it->status == CACHE_OK && it->value.len < sizeof a.text)
            memcpy(a.text, it->value.data, it->value.len);
        must((it->status == CACHE_OK) == (it->value.pin != NULL), it->status);
        must_answer(&a, s.may, true);
        cache_value_release(&it->value);
    }
}

static void before_get_many(void)
{
    name_items("old");
    int rc = cache_set_many(s.b.c, s.items, MANY / 2, NULL);
    assert_int_equal(rc, CACHE_OK);
    forget_l1();
}

static void run_invalidate_many(void)
{
    name_items("");
    int rc = cache_invalidate_many(s.b.c, s.items, MANY, NULL);
    must(rc == CACHE_OK, rc);
    for (size_t i = 0; i < MANY; i++)
        take_invalidation(s.items[i].status);
}

static void count_stat(void *ctx, const struct cache_stat *stat)
{
    (void)stat;
    ++*(unsigned *)ctx;
}

static const struct cache_stats_sink_ops sink = { CACHE_HOOKS_ABI, count_stat };
static unsigned n_stats;

static void run_statistics(void)
{
    struct cache_stats st;
    static char text[32768];
    int rc = cache_stats_read(s.b.c, NULL, &st, sizeof st);
    must(rc == CACHE_OK, rc);
    rc = cache_stats_read(s.b.c, s.b.type, &st, sizeof st);
    must(rc == CACHE_OK, rc);
    rc = cache_stats_text(&st, text, sizeof text, NULL);
    must(rc == CACHE_OK, rc);
    n_stats = 0;
    rc = cache_stats_push(s.b.c);
    must(rc == CACHE_OK && n_stats > 0, rc);
}

/* Something for cache_close() to do in its last moment: invalidations that wait. */
static void before_close(void)
{
    if (s.b.l2 == NULL)
        return;
    tt_backend_fail(s.b.l2, TT_DEL, 0, CACHE_E_REFUSED, TT_NOT_RUN);
    tt_backend_fail(s.b.l2, TT_DEL_MANY, 0, CACHE_E_REFUSED, TT_NOT_RUN);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(cache_invalidate(s.b.c, &s.many[i], NULL), CACHE_QUEUED);
    tt_backend_clear(s.b.l2);
}

static void run_close(void)
{
    int rc = cache_close(s.b.c, s.setting >= L2_OUT ? 0 : TT_SOON_MS);
    must(rc == CACHE_OK || rc == CACHE_BUSY, rc);
    s.closed = rc == CACHE_OK;
}

static const struct scenario scenarios[] = {
    { "a key above the inline size", NULL, run_long_key },
    { "cache_type_register", NULL, run_type_register },
    { "cache_type_update", NULL, run_type_update },
    { "cache_type_find", NULL, run_type_find },
    { "cache_get, in L1", NULL, run_get },
    { "cache_get, not in L1", forget_l1, run_get },
    { "cache_get of nothing", NULL, run_get_of_nothing },
    { "cache_get_copy, in L1", NULL, run_get_copy },
    { "cache_get_copy, not in L1", forget_l1, run_get_copy },
    { "cache_set", NULL, run_set },
    { "cache_set with a ticket", forget_k, run_set_with_ticket },
    { "cache_set_absent", NULL, run_set_absent },
    { "cache_set that is not to be cached", NULL, run_set_of_nothing_to_cache },
    { "cache_fetch, in L1", NULL, run_fetch },
    { "cache_fetch, not in L1", forget_l1, run_fetch },
    { "cache_fetch that loads", forget_k, run_fetch },
    { "cache_fetch that loads an absence", before_fetch_of_an_absence, run_fetch },
    { "cache_load_buffer", before_fetch_into_a_buffer, run_fetch },
    { "cache_fetch inside a loader", before_nested_fetch, run_fetch },
    { "cache_fetch of a key inside its loader", before_recursive_fetch, run_fetch },
    { "cache_invalidate", NULL, run_invalidate },
    { "cache_clear_local", NULL, run_clear_local },
    { "cache_set_many", NULL, run_set_many },
    { "cache_get_many", before_get_many, run_get_many },
    { "cache_invalidate_many", NULL, run_invalidate_many },
    { "the statistics", NULL, run_statistics },
    { "cache_close", before_close, run_close },
};

/* ---- the sweep ---- */

static void prepare(enum setting setting)
{
    s.setting = setting;
    tt_cache_prepare(&s.b, setting != L1_ALONE);
    s.b.opts.l1_bytes = L1_BYTES;
    s.b.opts.l1_stripes = 2;
    s.b.opts.stats_sink = &sink;
    s.b.opts.stats_sink_ctx = &n_stats;
}

static void set_the_scene(void)
{
    tt_cache_open(&s.b);
    cache_key_str(cache_key_init(&s.k, s.b.type), "k");
    cache_key_str(cache_key_init(&s.missing, s.b.type), "missing");
    cache_key_str(cache_key_init(&s.other, s.b.type), "other");
    for (size_t i = 0; i < MANY; i++)
        cache_key_u64(cache_key_init(&s.many[i], s.b.type), i);
    assert_int_equal(tt_cache_set(&s.b, &s.k, "old"), CACHE_OK);
    tt_loader_init(&s.loader, "new");
    s.may = MAY_OLD;
    s.closed = false;
    if (s.scenario->before != NULL)
        s.scenario->before();
    if (s.setting == L2_OUT)
        tt_backend_set_health(s.b.l2, CACHE_BACKEND_DOWN);
    if (s.setting != L2_SILENT)
        return;
    tt_backend_fail(s.b.l2, TT_SET, 0, CACHE_E_UNKNOWN, TT_RUN);
    tt_backend_fail(s.b.l2, TT_SET_MANY, 0, CACHE_E_UNKNOWN, TT_RUN);
    tt_backend_fail(s.b.l2, TT_DEL, 0, CACHE_E_UNKNOWN, TT_NOT_RUN);
    tt_backend_fail(s.b.l2, TT_DEL_MANY, 0, CACHE_E_UNKNOWN, TT_NOT_RUN);
}

/* With memory again, and with L2 again. */
static void must_be_sound(void)
{
    tt_clock_advance(&s.b.clock, 10); /* past what L2 held when an invalidation could not be kept */
    if (s.b.l2 != NULL) {
        struct tt_answer a = tt_cache_get(&s.b, &s.k);
        must_answer(&a, s.may, false);
        tt_backend_clear(s.b.l2);
        tt_backend_set_health(s.b.l2, CACHE_BACKEND_DOWN); /* a change wakes the worker, whatever it waits for */
        tt_backend_set_health(s.b.l2, CACHE_BACKEND_UP);
        must(tt_cache_await_replayed(&s.b), 0);
    }
    struct tt_answer a = tt_cache_get(&s.b, &s.k);
    must_answer(&a, s.may, false);
    assert_int_equal(cache_clear_local(s.b.c), CACHE_OK);
    a = tt_cache_get(&s.b, &s.k);
    must_answer(&a, s.b.l2 != NULL ? s.may : 0, false);
    must(tt_cache_set(&s.b, &s.other, "new") == CACHE_OK, 0);
    a = tt_cache_get(&s.b, &s.other);
    must(a.status == CACHE_OK && strcmp(a.text, "new") == 0, a.status);
    if (s.b.l2 != NULL) {
        assert_int_equal(cache_clear_local(s.b.c), CACHE_OK);
        a = tt_cache_get(&s.b, &s.other);
        must(a.status == CACHE_OK && strcmp(a.text, "new") == 0, a.status);
    }
    must(tc_l1_check(&s.b.c->l1), 0);
}

/* False: the scenario ran without meeting the nth allocation. */
static bool sweep_one(void)
{
    prepare(s.setting);
    set_the_scene();
    uint64_t failed = tt_alloc_counts(&s.b.alloc).failed;
    tt_alloc_fail(&s.b.alloc, s.nth, s.for_ever);
    s.scenario->run();
    tt_alloc_fail(&s.b.alloc, 0, false);
    bool met = tt_alloc_counts(&s.b.alloc).failed > failed;
    if (s.closed) {
        must(tt_cache_fini(&s.b), 0);
    } else if (s.scenario->run == run_close) {
        must(tt_cache_close(&s.b), 0);
    } else {
        must_be_sound();
        must(tt_cache_close(&s.b), 0);
    }
    tt_loader_fini(&s.loader);
    return met;
}

static void sweep(enum setting setting)
{
    s.setting = setting;
    for (size_t i = 0; i < TC_ARRAY_LEN(scenarios); i++) {
        s.scenario = &scenarios[i];
        for (int for_ever = 0; for_ever <= 1; for_ever++) {
            s.for_ever = for_ever;
            for (s.nth = 1; sweep_one(); s.nth++)
                must(s.nth < MAX_ALLOCATIONS, 0);
        }
    }
}

/* FAULTS 49 */
static void in_l1_alone_every_allocation_may_fail(void **state)
{
    (void)state;
    sweep(L1_ALONE);
}

/* FAULTS 49 */
static void with_l2_every_allocation_may_fail(void **state)
{
    (void)state;
    sweep(L2_UP);
}

/* FAULTS 49 */
static void with_l2_out_every_allocation_may_fail(void **state)
{
    (void)state;
    sweep(L2_OUT);
}

/* FAULTS 49 */
static void with_l2_silent_every_allocation_may_fail(void **state)
{
    (void)state;
    sweep(L2_SILENT);
}

static const struct scenario opening = { "cache_open", NULL, NULL };

/* FAULTS 49 */
static void opening_may_fail_at_every_allocation(void **state)
{
    (void)state;
    s.scenario = &opening;
    for (int setting = L1_ALONE; setting <= L2_OUT; setting++) {
        for (int for_ever = 0; for_ever <= 1; for_ever++) {
            int rc = CACHE_E_NOMEM;
            s.for_ever = for_ever;
            for (s.nth = 1; rc != CACHE_OK; s.nth++) {
                must(s.nth < MAX_ALLOCATIONS, rc);
                prepare(setting);
                if (setting == L2_OUT)
                    tt_backend_set_health(s.b.l2, CACHE_BACKEND_DOWN);
                tt_alloc_fail(&s.b.alloc, s.nth, for_ever);
                rc = tt_cache_try_open(&s.b);
                tt_alloc_fail(&s.b.alloc, 0, false);
                must(rc == CACHE_OK || rc == CACHE_E_NOMEM, rc);
                must((rc == CACHE_OK) == (s.b.c != NULL), rc);
                if (rc != CACHE_OK && s.b.l2 != NULL)
                    must(tt_backend_closed(s.b.l2) == 0, rc);
                must(rc == CACHE_OK ? tt_cache_close(&s.b) : tt_cache_fini(&s.b), rc);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_may_fail_at_every_allocation),
        cmocka_unit_test(in_l1_alone_every_allocation_may_fail),
        cmocka_unit_test(with_l2_every_allocation_may_fail),
        cmocka_unit_test(with_l2_out_every_allocation_may_fail),
        cmocka_unit_test(with_l2_silent_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
