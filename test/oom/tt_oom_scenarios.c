/* The scenarios of the sweep over failing allocations: each verb, called so that it needs memory, and which of its
 * results the header allows. */
#include "oom/tt_oom.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_util.h"
#include "platform/platform.h"

enum { LONG = 500 };

/* ---- what a result may be ---- */

static bool may_be_queued(int status)
{
    return tt_oom.setting != TT_L1_ALONE && (status == CACHE_QUEUED || status == CACHE_E_UNKNOWN);
}

/* Of a call that changes k: whether its result is one that the header lists, and what it means for k. */
static void take_write(int status, unsigned wrote)
{
    tt_must(status == CACHE_OK || status == CACHE_E_NOMEM || may_be_queued(status), status);
    if (status != CACHE_E_NOMEM)
        tt_oom.may = wrote;
}

static void take_invalidation(int status)
{
    tt_must(status == CACHE_OK || may_be_queued(status), status);
    tt_oom.may = 0;
}

/* ---- scenarios: keys and types ---- */

static void long_key(struct cache_key *k)
{
    char part[LONG];
    memset(part, 'x', sizeof part);
    cache_key_bytes(cache_key_str(cache_key_bytes(cache_key_init(k, tt_oom.b.type), part, sizeof part), "and"), part,
                    sizeof part);
}

static void run_long_key(void)
{
    struct cache_key k;
    long_key(&k);
    int sticky = cache_key_status(&k);
    tt_must(sticky == CACHE_OK || sticky == CACHE_E_NOMEM, sticky);
    char text[3 * LONG];
    size_t len;
    int rc = cache_key_text(&k, text, sizeof text, &len);
    tt_must(rc == sticky && (rc != CACHE_OK || len == 1 + 2 * (1 + LONG) + 4), rc);
    rc = tt_cache_set(&tt_oom.b, &k, "new");
    tt_must(sticky == CACHE_OK ? rc >= 0 || rc == CACHE_E_NOMEM || rc == CACHE_E_UNKNOWN : rc == sticky, rc);
    bool stored = rc != CACHE_E_NOMEM;
    struct tt_answer a = tt_cache_get(&tt_oom.b, &k);
    if (sticky != CACHE_OK)
        tt_must(a.status == sticky, a.status);
    else
        tt_oom_must_answer(&a, stored ? TT_MAY_NEW : 0, true);
    a = tt_cache_fetch(&tt_oom.b, &k, &tt_oom.loader);
    if (sticky != CACHE_OK)
        tt_must(a.status == sticky, a.status);
    else
        tt_oom_must_answer(&a, TT_MAY_NEW, true);
    rc = cache_invalidate(tt_oom.b.c, &k, NULL);
    tt_must(sticky == CACHE_OK ? rc >= 0 || rc == CACHE_E_UNKNOWN : rc == sticky, rc);
    cache_key_fini(&k);
}

static void run_type_register(void)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    struct cache_type *t = NULL, *found = NULL;
    o.name = "another";
    o.l1_quota_entries = 3;
    o.evict = cache_evict_policy("lru");
    int rc = cache_type_register(tt_oom.b.c, &o, &t);
    tt_must(rc == CACHE_OK || rc == CACHE_E_NOMEM, rc);
    tt_must((rc == CACHE_OK) == (t != NULL), rc);
    int look = cache_type_find(tt_oom.b.c, "another", &found);
    tt_must(look == (rc == CACHE_OK ? CACHE_OK : CACHE_E_NOT_FOUND) && found == t, look);
}

static void run_type_update(void)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    char err[128] = "";
    o.l1_quota_entries = 1;
    int rc = cache_type_update(tt_oom.b.type, &o, err, sizeof err);
    tt_must(rc == CACHE_OK || rc == CACHE_E_NOMEM, rc);
    tt_must((rc == CACHE_OK) == (err[0] == '\0'), rc);
    struct cache_stats st;
    int read = cache_stats_read(tt_oom.b.c, tt_oom.b.type, &st, sizeof st);
    tt_must(read == CACHE_OK && st.l1_limit_entries == (rc == CACHE_OK ? 1 : 0), read);
}

static void run_type_find(void)
{
    struct cache_type *t = NULL;
    int rc = cache_type_find(tt_oom.b.c, "t", &t);
    tt_must(rc == CACHE_OK && t == tt_oom.b.type, rc);
}

/* ---- scenarios: get and set ---- */

static void forget_l1(void)
{
    assert_int_equal(cache_clear_local(tt_oom.b.c), CACHE_OK);
    if (tt_oom.setting == TT_L1_ALONE)
        tt_oom.may = 0;
}

static void run_get(void)
{
    struct tt_answer a = tt_cache_get(&tt_oom.b, &tt_oom.k);
    tt_oom_must_answer(&a, tt_oom.may, true);
}

static void run_get_of_nothing(void)
{
    struct cache_ticket ticket;
    struct tt_answer a = tt_cache_get_with(&tt_oom.b, &tt_oom.missing, 0, 0, &ticket);
    tt_oom_must_answer(&a, 0, true);
}

static void run_get_copy(void)
{
    struct tt_answer a = { 0 };
    a.status = cache_get_copy(tt_oom.b.c, &tt_oom.k, a.text, sizeof a.text - 1, &a.meta);
    tt_oom_must_answer(&a, tt_oom.may, true);
    int rc = cache_get_copy(tt_oom.b.c, &tt_oom.k, a.text, 1, &a.meta);
    tt_must(rc == CACHE_E_BUFFER || rc == CACHE_MISS || rc == CACHE_E_NOMEM, rc);
}

static void run_set(void)
{
    take_write(tt_cache_set(&tt_oom.b, &tt_oom.k, "new"), TT_MAY_NEW);
}

/* Leaves nothing under k in any tier, and the ticket of that miss. */
static void forget_k(void)
{
    forget_l1();
    if (tt_oom.b.l2 != NULL)
        tt_backend_erase_all(tt_oom.b.l2);
    tt_oom.may = 0;
    struct tt_answer a = tt_cache_get_with(&tt_oom.b, &tt_oom.k, 0, 0, &tt_oom.ticket);
    assert_int_equal(a.status, CACHE_MISS);
}

static void run_set_with_ticket(void)
{
    take_write(tt_cache_set_with(&tt_oom.b, &tt_oom.k, "new", 0, &tt_oom.ticket), TT_MAY_NEW);
}

static void run_set_absent(void)
{
    take_write(cache_set_absent(tt_oom.b.c, &tt_oom.k, NULL), TT_MAY_ABSENT);
}

static void run_set_of_nothing_to_cache(void)
{
    take_write(tt_cache_set_with(&tt_oom.b, &tt_oom.k, "new", CACHE_TTL_NONE, NULL), 0);
}

/* A type with an order of its own, made in each stripe with the first entry there: without it none is stored. */
static struct cache_type *ordered;

static void before_own_order(void)
{
    struct cache_type_opts o = CACHE_TYPE_OPTS_INIT;
    o.name = "ordered";
    o.evict = cache_evict_policy("lru");
    assert_int_equal(cache_type_register(tt_oom.b.c, &o, &ordered), CACHE_OK);
}

static void run_own_order(void)
{
    for (uint64_t i = 0; i < 8; i++) {
        struct cache_key k;
        cache_key_u64(cache_key_init(&k, ordered), i);
        int rc = tt_cache_set(&tt_oom.b, &k, "new");
        tt_must(rc == CACHE_OK || rc == CACHE_E_NOMEM || may_be_queued(rc), rc);
        struct tt_answer a = tt_cache_get(&tt_oom.b, &k);
        tt_oom_must_answer(&a, rc == CACHE_E_NOMEM && tt_oom.setting == TT_L1_ALONE ? 0 : TT_MAY_NEW, true);
    }
}

/* ---- scenarios: fetch ---- */

static void run_fetch(void)
{
    struct tt_answer a = tt_cache_fetch(&tt_oom.b, &tt_oom.k, &tt_oom.loader);
    tt_oom.may |= tt_oom.loader.absent ? TT_MAY_ABSENT : TT_MAY_NEW;
    tt_must(a.status != CACHE_MISS, a.status);
    tt_oom_must_answer(&a, tt_oom.may, true);
}

static void before_fetch_of_an_absence(void)
{
    forget_k();
    tt_oom.loader.text = NULL;
    tt_oom.loader.absent = true;
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
    tt_oom.loader.text = NULL;
    tt_oom.loader.inside = fill_buffer;
}

static int fetch_another(struct tt_loader *l, struct cache_load *ld, const struct cache_key *k)
{
    struct tt_loader inner;
    (void)l;
    (void)ld;
    (void)k;
    tt_loader_init(&inner, "new");
    struct tt_answer a = tt_cache_fetch(&tt_oom.b, &tt_oom.missing, &inner);
    tt_loader_fini(&inner);
    tt_oom_must_answer(&a, TT_MAY_NEW, true);
    return a.status == CACHE_OK ? CACHE_OK : a.status;
}

static void before_nested_fetch(void)
{
    forget_k();
    tt_oom.loader.inside = fetch_another;
}

static int fetch_itself(struct tt_loader *l, struct cache_load *ld, const struct cache_key *k)
{
    (void)ld;
    struct tt_answer a = tt_cache_fetch(&tt_oom.b, k, l);
    tt_must(a.status == CACHE_E_DEADLOCK || a.status == CACHE_E_NOMEM, a.status);
    return CACHE_OK;
}

static void before_recursive_fetch(void)
{
    forget_k();
    tt_oom.loader.inside = fetch_itself;
}

/* ---- scenarios: invalidate, batches, statistics, close ---- */

static void run_invalidate(void)
{
    take_invalidation(cache_invalidate(tt_oom.b.c, &tt_oom.k, NULL));
}

static void run_clear_local(void)
{
    int rc = cache_clear_local(tt_oom.b.c);
    tt_must(rc == CACHE_OK, rc);
}

static void run_resize(void)
{
    uint64_t limit = tt_cache_stats(&tt_oom.b).l1_limit_bytes;
    int rc = cache_resize(tt_oom.b.c, limit * 2, 1000);
    tt_must(rc == CACHE_OK, rc);
    rc = cache_resize(tt_oom.b.c, limit, 1000);
    tt_must(rc == CACHE_OK, rc);
}

static void name_items(const char *text)
{
    memset(tt_oom.items, 0, sizeof tt_oom.items);
    for (size_t i = 0; i < TT_OOM_MANY; i++) {
        tt_oom.items[i].key = i == 0 ? &tt_oom.k : &tt_oom.many[i];
        tt_oom.items[i].data = text;
        tt_oom.items[i].len = strlen(text);
    }
}

static void run_set_many(void)
{
    name_items("new");
    int rc = cache_set_many(tt_oom.b.c, tt_oom.items, TT_OOM_MANY, NULL);
    tt_must(rc == CACHE_OK || rc == CACHE_E_NOMEM, rc);
    for (size_t i = 1; i < TT_OOM_MANY; i++)
        tt_must(tt_oom.items[i].status >= CACHE_OK || tt_oom.items[i].status == CACHE_E_NOMEM ||
                    tt_oom.items[i].status == CACHE_E_UNKNOWN,
                tt_oom.items[i].status);
    take_write(tt_oom.items[0].status, TT_MAY_NEW);
}

static void run_get_many(void)
{
    name_items("");
    int rc = cache_get_many(tt_oom.b.c, tt_oom.items, TT_OOM_MANY, NULL);
    tt_must(rc == CACHE_OK || rc == CACHE_E_NOMEM, rc);
    for (size_t i = 0; i < TT_OOM_MANY; i++) {
        struct cache_item *it = &tt_oom.items[i];
        struct tt_answer a = { .status = it->status };
        if (it->status == CACHE_OK && it->value.len < sizeof a.text)
            memcpy(a.text, it->value.data, it->value.len);
        tt_must((it->status == CACHE_OK) == (it->value.pin != NULL), it->status);
        tt_oom_must_answer(&a, tt_oom.may, true);
        cache_value_release(&it->value);
    }
}

static void before_get_many(void)
{
    name_items("old");
    int rc = cache_set_many(tt_oom.b.c, tt_oom.items, TT_OOM_MANY / 2, NULL);
    assert_int_equal(rc, CACHE_OK);
    forget_l1();
}

static void run_invalidate_many(void)
{
    name_items("");
    int rc = cache_invalidate_many(tt_oom.b.c, tt_oom.items, TT_OOM_MANY, NULL);
    tt_must(rc == CACHE_OK, rc);
    for (size_t i = 0; i < TT_OOM_MANY; i++)
        take_invalidation(tt_oom.items[i].status);
}

static void run_statistics(void)
{
    struct cache_stats st;
    static char text[32768];
    int rc = cache_stats_read(tt_oom.b.c, NULL, &st, sizeof st);
    tt_must(rc == CACHE_OK, rc);
    rc = cache_stats_read(tt_oom.b.c, tt_oom.b.type, &st, sizeof st);
    tt_must(rc == CACHE_OK, rc);
    rc = cache_stats_text(&st, text, sizeof text, NULL);
    tt_must(rc == CACHE_OK, rc);
    tt_oom.n_stats = 0;
    rc = cache_stats_push(tt_oom.b.c);
    tt_must(rc == CACHE_OK && tt_oom.n_stats > 0, rc);
}

/* Something for cache_close() to do in its last moment: invalidations that wait. */
static void before_close(void)
{
    if (tt_oom.b.l2 == NULL)
        return;
    tt_backend_fail(tt_oom.b.l2, TT_DEL, 0, CACHE_E_REFUSED, TT_NOT_RUN);
    tt_backend_fail(tt_oom.b.l2, TT_DEL_MANY, 0, CACHE_E_REFUSED, TT_NOT_RUN);
    for (size_t i = 0; i < TT_OOM_MANY; i++)
        assert_int_equal(cache_invalidate(tt_oom.b.c, &tt_oom.many[i], NULL), CACHE_QUEUED);
    tt_backend_clear(tt_oom.b.l2);
}

static void run_close(void)
{
    int rc = cache_close(tt_oom.b.c, tt_oom.setting >= TT_L2_OUT ? 0 : TT_SOON_MS);
    tt_must(rc == CACHE_OK || rc == CACHE_BUSY, rc);
    tt_oom.closed = rc == CACHE_OK;
}

const struct tt_oom_scenario tt_oom_scenarios[] = {
    { "a key above the inline size", NULL, run_long_key, false },
    { "cache_type_register", NULL, run_type_register, false },
    { "cache_type_update", NULL, run_type_update, false },
    { "cache_type_find", NULL, run_type_find, false },
    { "cache_get, in L1", NULL, run_get, false },
    { "cache_get, not in L1", forget_l1, run_get, false },
    { "cache_get of nothing", NULL, run_get_of_nothing, false },
    { "cache_get_copy, in L1", NULL, run_get_copy, false },
    { "cache_get_copy, not in L1", forget_l1, run_get_copy, false },
    { "cache_set", NULL, run_set, false },
    { "cache_set with a ticket", forget_k, run_set_with_ticket, false },
    { "cache_set_absent", NULL, run_set_absent, false },
    { "cache_set that is not to be cached", NULL, run_set_of_nothing_to_cache, false },
    { "cache_set of a type with an order of its own", before_own_order, run_own_order, false },
    { "cache_fetch, in L1", NULL, run_fetch, false },
    { "cache_fetch, not in L1", forget_l1, run_fetch, false },
    { "cache_fetch that loads", forget_k, run_fetch, false },
    { "cache_fetch that loads an absence", before_fetch_of_an_absence, run_fetch, false },
    { "cache_load_buffer", before_fetch_into_a_buffer, run_fetch, false },
    { "cache_fetch inside a loader", before_nested_fetch, run_fetch, false },
    { "cache_fetch of a key inside its loader", before_recursive_fetch, run_fetch, false },
    { "cache_invalidate", NULL, run_invalidate, false },
    { "cache_clear_local", NULL, run_clear_local, false },
    { "cache_resize", NULL, run_resize, false },
    { "cache_set_many", NULL, run_set_many, false },
    { "cache_get_many", before_get_many, run_get_many, false },
    { "cache_invalidate_many", NULL, run_invalidate_many, false },
    { "the statistics", NULL, run_statistics, false },
    { "cache_close", before_close, run_close, true },
};
const size_t tt_oom_n_scenarios = TC_ARRAY_LEN(tt_oom_scenarios);
