/* Every verb with every allocation failing in turn: the first, the second, ... until the verb asked for no more; each
 * time that one only, and that one and all after it. With L1 alone, with L2 up, with L2 out, when what it cannot be
 * told is queued, and with an L2 whose answers to writes are lost.
 *
 * A scenario (tt_oom_scenarios.c) knows what may lie under its key afterwards: a write that was not refused forbids the
 * old value, also where memory for telling L2 was missing. Whatever failed, the cache then works, its accounts agree,
 * and nothing leaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"
#include "oom/tt_oom.h"
#include "tier/cache.h"

enum { MAX_ALLOCATIONS = 2000, L1_BYTES = 512 * 1024 };

struct tt_oom_scene tt_oom;

void tt_oom_must(const char *file, int line, bool good, const char *what, int status)
{
    static const char *const settings[] = { "L1 alone", "L2 up", "L2 out", "L2 silent" };
    if (!good)
        fail_msg("%s:%d: %s, %s, allocation %llu%s: not %s (status %d)", file, line, tt_oom.scenario->name,
                 settings[tt_oom.setting], (unsigned long long)tt_oom.nth, tt_oom.for_ever ? " and all after it" : "",
                 what, status);
}

void tt_oom_must_answer(const struct tt_answer *a, unsigned may, bool may_fail)
{
    switch (a->status) {
    case CACHE_OK:
        tt_must((may & TT_MAY_OLD && strcmp(a->text, "old") == 0) ||
                    (may & TT_MAY_NEW && strcmp(a->text, "new") == 0),
                a->status);
        break;
    case CACHE_ABSENT:
        tt_must(may & TT_MAY_ABSENT, a->status);
        break;
    default:
        tt_must(a->status == CACHE_MISS || (may_fail && a->status == CACHE_E_NOMEM), a->status);
    }
}

static void count_stat(void *ctx, const struct cache_stat *stat)
{
    (void)ctx;
    (void)stat;
    tt_oom.n_stats++;
}

static const struct cache_stats_sink_ops sink = { CACHE_HOOKS_ABI, count_stat };

/* ---- the sweep ---- */

static void prepare(enum tt_oom_setting setting)
{
    tt_oom.setting = setting;
    tt_cache_prepare(&tt_oom.b, setting != TT_L1_ALONE);
    tt_oom.b.opts.l1_bytes = L1_BYTES;
    tt_oom.b.opts.l1_stripes = 2;
    tt_oom.b.opts.stats_sink = &sink;
}

static void set_the_scene(void)
{
    tt_cache_open(&tt_oom.b);
    cache_key_str(cache_key_init(&tt_oom.k, tt_oom.b.type), "k");
    cache_key_str(cache_key_init(&tt_oom.missing, tt_oom.b.type), "missing");
    cache_key_str(cache_key_init(&tt_oom.other, tt_oom.b.type), "other");
    for (size_t i = 0; i < TT_OOM_MANY; i++)
        cache_key_u64(cache_key_init(&tt_oom.many[i], tt_oom.b.type), i);
    assert_int_equal(tt_cache_set(&tt_oom.b, &tt_oom.k, "old"), CACHE_OK);
    tt_loader_init(&tt_oom.loader, "new");
    tt_oom.may = TT_MAY_OLD;
    tt_oom.closed = false;
    if (tt_oom.scenario->before != NULL)
        tt_oom.scenario->before();
    if (tt_oom.setting == TT_L2_OUT)
        tt_backend_set_health(tt_oom.b.l2, CACHE_BACKEND_DOWN);
    if (tt_oom.setting != TT_L2_SILENT)
        return;
    tt_backend_fail(tt_oom.b.l2, TT_SET, 0, CACHE_E_UNKNOWN, TT_RUN);
    tt_backend_fail(tt_oom.b.l2, TT_SET_MANY, 0, CACHE_E_UNKNOWN, TT_RUN);
    tt_backend_fail(tt_oom.b.l2, TT_DEL, 0, CACHE_E_UNKNOWN, TT_NOT_RUN);
    tt_backend_fail(tt_oom.b.l2, TT_DEL_MANY, 0, CACHE_E_UNKNOWN, TT_NOT_RUN);
}

/* With memory again, and with L2 again. */
static void must_be_sound(void)
{
    tt_clock_advance(&tt_oom.b.clock, 10); /* past what L2 held when an invalidation could not be kept */
    if (tt_oom.b.l2 != NULL) {
        struct tt_answer a = tt_cache_get(&tt_oom.b, &tt_oom.k);
        tt_oom_must_answer(&a, tt_oom.may, false);
        tt_backend_clear(tt_oom.b.l2);
        tt_backend_set_health(tt_oom.b.l2, CACHE_BACKEND_DOWN); /* a change wakes the worker, whatever it waits for */
        tt_backend_set_health(tt_oom.b.l2, CACHE_BACKEND_UP);
        tt_must(tt_cache_await_replayed(&tt_oom.b), 0);
    }
    struct tt_answer a = tt_cache_get(&tt_oom.b, &tt_oom.k);
    tt_oom_must_answer(&a, tt_oom.may, false);
    assert_int_equal(cache_clear_local(tt_oom.b.c), CACHE_OK);
    a = tt_cache_get(&tt_oom.b, &tt_oom.k);
    tt_oom_must_answer(&a, tt_oom.b.l2 != NULL ? tt_oom.may : 0, false);
    tt_must(tt_cache_set(&tt_oom.b, &tt_oom.other, "new") == CACHE_OK, 0);
    a = tt_cache_get(&tt_oom.b, &tt_oom.other);
    tt_must(a.status == CACHE_OK && strcmp(a.text, "new") == 0, a.status);
    if (tt_oom.b.l2 != NULL) {
        assert_int_equal(cache_clear_local(tt_oom.b.c), CACHE_OK);
        a = tt_cache_get(&tt_oom.b, &tt_oom.other);
        tt_must(a.status == CACHE_OK && strcmp(a.text, "new") == 0, a.status);
    }
    tt_must(tc_l1_check(&tt_oom.b.c->l1), 0);
}

/* False: the scenario ran without meeting the nth allocation. */
static bool sweep_one(void)
{
    prepare(tt_oom.setting);
    set_the_scene();
    uint64_t failed = tt_alloc_counts(&tt_oom.b.alloc).failed;
    tt_alloc_fail(&tt_oom.b.alloc, tt_oom.nth, tt_oom.for_ever);
    tt_oom.scenario->run();
    tt_alloc_fail(&tt_oom.b.alloc, 0, false);
    bool met = tt_alloc_counts(&tt_oom.b.alloc).failed > failed;
    if (tt_oom.closed) {
        tt_must(tt_cache_fini(&tt_oom.b), 0);
    } else if (tt_oom.scenario->closes) {
        tt_must(tt_cache_close(&tt_oom.b), 0);
    } else {
        must_be_sound();
        tt_must(tt_cache_close(&tt_oom.b), 0);
    }
    tt_loader_fini(&tt_oom.loader);
    return met;
}

static void sweep(enum tt_oom_setting setting)
{
    tt_oom.setting = setting;
    for (size_t i = 0; i < tt_oom_n_scenarios; i++) {
        tt_oom.scenario = &tt_oom_scenarios[i];
        for (int for_ever = 0; for_ever <= 1; for_ever++) {
            tt_oom.for_ever = for_ever;
            for (tt_oom.nth = 1; sweep_one(); tt_oom.nth++)
                tt_must(tt_oom.nth < MAX_ALLOCATIONS, 0);
        }
    }
}

/* FAULTS 49 */
static void in_l1_alone_every_allocation_may_fail(void **state)
{
    (void)state;
    sweep(TT_L1_ALONE);
}

/* FAULTS 49 */
static void with_l2_every_allocation_may_fail(void **state)
{
    (void)state;
    sweep(TT_L2_UP);
}

/* FAULTS 49 */
static void with_l2_out_every_allocation_may_fail(void **state)
{
    (void)state;
    sweep(TT_L2_OUT);
}

/* FAULTS 49 */
static void with_l2_silent_every_allocation_may_fail(void **state)
{
    (void)state;
    sweep(TT_L2_SILENT);
}

static const struct tt_oom_scenario opening = { "cache_open", NULL, NULL, false };

/* FAULTS 49 */
static void opening_may_fail_at_every_allocation(void **state)
{
    (void)state;
    tt_oom.scenario = &opening;
    for (int setting = TT_L1_ALONE; setting <= TT_L2_OUT; setting++) {
        for (int for_ever = 0; for_ever <= 1; for_ever++) {
            int rc = CACHE_E_NOMEM;
            tt_oom.for_ever = for_ever;
            for (tt_oom.nth = 1; rc != CACHE_OK; tt_oom.nth++) {
                tt_must(tt_oom.nth < MAX_ALLOCATIONS, rc);
                prepare(setting);
                if (setting == TT_L2_OUT)
                    tt_backend_set_health(tt_oom.b.l2, CACHE_BACKEND_DOWN);
                uint64_t before = tt_alloc_counts(&tt_oom.b.alloc).calls;
                tt_alloc_fail(&tt_oom.b.alloc, tt_oom.nth, for_ever);
                rc = tt_cache_try_open(&tt_oom.b);
                tt_alloc_fail(&tt_oom.b.alloc, 0, false);
                /* It is open only if none failed. */
                tt_must(rc != CACHE_OK || tt_alloc_counts(&tt_oom.b.alloc).calls - before < tt_oom.nth, rc);
                tt_must(rc == CACHE_OK || rc == CACHE_E_NOMEM, rc);
                tt_must((rc == CACHE_OK) == (tt_oom.b.c != NULL), rc);
                if (rc != CACHE_OK && tt_oom.b.l2 != NULL)
                    tt_must(tt_backend_closed(tt_oom.b.l2) == 0, rc);
                tt_must(rc == CACHE_OK ? tt_cache_close(&tt_oom.b) : tt_cache_fini(&tt_oom.b), rc);
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
