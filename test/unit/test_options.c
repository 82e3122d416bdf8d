/* Options of cache_open(): defaults, borders, what is refused and by which name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/options.h"
#include "fake/tt_backend.h"
#include "fake/tt_clock.h"
#include "fake/tt_util.h"
#include "platform/platform.h"

/* ---- defaults and borders ---- */

static int complete(struct cache_opts *o, char *err, size_t cap)
{
    return tc_options_complete(o, err, cap);
}

static void every_default_is_what_the_header_says(void **state)
{
    struct cache_opts o = CACHE_OPTS_INIT;
    (void)state;
    assert_int_equal(o.size, sizeof o);
    assert_int_equal(complete(&o, NULL, 0), CACHE_OK);
    assert_string_equal(o.name, "cache");
    assert_int_equal(o.l1_bytes, 64 << 20);
    assert_int_equal(o.l1_stripes, 0);
    assert_int_equal(o.l2_connections, 1);
    assert_int_equal(o.default_ttl_ms, 300000);
    assert_int_equal(o.timeout_ms, 1000);
    assert_int_equal(o.l2_timeout_ms, 200);
    assert_int_equal(o.connect_timeout_ms, 1000);
    assert_int_equal(o.max_value_bytes, 64 << 20);
    assert_int_equal(o.recovery_max_keys, 65536);
    assert_null(o.l2_url);
    assert_null(o.backend);
}

#define FIELD(field, value)                                                                                     \
    {                                                                                                           \
        #field, offsetof(struct cache_opts, field), sizeof((struct cache_opts *)0)->field, (uint64_t)(value)    \
    }

struct field {
    const char *name;
    size_t at, size;
    uint64_t value;
};

static void put(struct cache_opts *o, const struct field *f)
{
    memcpy((char *)o + f->at, &f->value, f->size);
}

static const struct field bad_numbers[] = {
    FIELD(flags, 4),
    FIELD(flags, 1u << 31),
    FIELD(l1_bytes, 1),
    FIELD(l1_bytes, (64 << 10) - 1),
    FIELD(l1_bytes, UINT64_MAX),
    FIELD(l1_bytes, (uint64_t)1 << 63),
    FIELD(l1_stripes, 3),
    FIELD(l1_stripes, 1000),
    FIELD(l1_stripes, 2048),
    FIELD(l1_stripes, UINT32_MAX),
    FIELD(l2_connections, 17),
    FIELD(l2_connections, UINT32_MAX),
    FIELD(default_ttl_ms, -1),
    FIELD(default_ttl_ms, -3),
    FIELD(default_ttl_ms, INT64_MIN),
    FIELD(timeout_ms, -1),
    FIELD(timeout_ms, INT64_MIN),
    FIELD(l2_timeout_ms, -1),
    FIELD(connect_timeout_ms, -1),
    FIELD(max_value_bytes, (511u << 20) + 1),
    FIELD(max_value_bytes, UINT64_MAX),
    FIELD(evict_node_bytes, 257),
    FIELD(evict_node_bytes, UINT64_MAX),
};

/* FAULTS 53 */
static void a_number_out_of_range_is_refused_by_its_name(void **state)
{
    char err[128];
    struct cache *c = NULL;
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(bad_numbers); i++) {
        struct cache_opts o = CACHE_OPTS_INIT;
        put(&o, &bad_numbers[i]);
        assert_int_equal(cache_open(&o, &c, err, sizeof err), CACHE_E_INVALID);
        assert_memory_equal(err, bad_numbers[i].name, strlen(bad_numbers[i].name));
        assert_int_equal(cache_open(&o, &c, NULL, 0), CACHE_E_INVALID);
        assert_int_equal(cache_open(&o, &c, err, 1), CACHE_E_INVALID);
        assert_string_equal(err, "");
    }
    assert_null(c);
}

static const struct field good_numbers[] = {
    FIELD(l1_bytes, 64 << 10),
    FIELD(l1_stripes, 1),
    FIELD(l1_stripes, 1024),
    FIELD(l2_connections, 16),
    FIELD(default_ttl_ms, CACHE_TTL_FOREVER),
    FIELD(default_ttl_ms, 1),
    FIELD(default_ttl_ms, INT64_MAX),
    FIELD(timeout_ms, INT64_MAX),
    FIELD(l2_timeout_ms, INT64_MAX),
    FIELD(connect_timeout_ms, INT64_MAX),
    FIELD(max_value_bytes, 511u << 20),
    FIELD(max_value_bytes, 1),
    FIELD(recovery_max_keys, 1),
    FIELD(recovery_max_keys, UINT64_MAX),
    FIELD(evict_node_bytes, 1),
    FIELD(evict_node_bytes, 256),
};

static void the_borders_of_every_number_are_good(void **state)
{
    char err[128] = "left alone?";
    struct cache *c;
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(good_numbers); i++) {
        struct cache_opts o = CACHE_OPTS_INIT;
        put(&o, &good_numbers[i]);
        assert_int_equal(cache_open(&o, &c, err, sizeof err), CACHE_OK);
        assert_string_equal(err, "");
        assert_int_equal(cache_close(c, TT_SOON_MS), CACHE_OK);
    }
}

/* FAULTS 55 */
static void times_beyond_ten_years_are_cut(void **state)
{
    struct cache_opts o = CACHE_OPTS_INIT;
    (void)state;
    o.default_ttl_ms = o.timeout_ms = o.l2_timeout_ms = o.connect_timeout_ms = INT64_MAX;
    assert_int_equal(complete(&o, NULL, 0), CACHE_OK);
    assert_int_equal(o.default_ttl_ms, CACHE_TTL_MAX_MS);
    assert_int_equal(o.timeout_ms, CACHE_TTL_MAX_MS);
    assert_int_equal(o.l2_timeout_ms, CACHE_TTL_MAX_MS);
    assert_int_equal(o.connect_timeout_ms, CACHE_TTL_MAX_MS);
}

static void more_stripes_than_memory_has_room_for_are_refused(void **state)
{
    char err[128];
    struct cache *c;
    struct cache_opts o = CACHE_OPTS_INIT;
    (void)state;
    o.l1_bytes = 64 << 10;
    o.l1_stripes = 1024;
    assert_int_equal(cache_open(&o, &c, err, sizeof err), CACHE_E_INVALID);
    assert_non_null(strstr(err, "l1_stripes"));
}

static void a_name_is_one_to_64_plain_characters(void **state)
{
    static const char *const bad[] = { "", "a b", "a:b", "{x}", "\xff" };
    char err[128], longest[66];
    struct cache *c;
    struct cache_opts o = CACHE_OPTS_INIT;
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(bad); i++) {
        o.name = bad[i];
        assert_int_equal(cache_open(&o, &c, err, sizeof err), CACHE_E_INVALID);
        assert_memory_equal(err, "name", 4);
    }
    memset(longest, 'n', sizeof longest);
    longest[65] = '\0';
    o.name = longest;
    assert_int_equal(cache_open(&o, &c, err, sizeof err), CACHE_E_INVALID);
    longest[64] = '\0';
    assert_int_equal(cache_open(&o, &c, err, sizeof err), CACHE_OK);
    assert_int_equal(cache_close(c, TT_SOON_MS), CACHE_OK);
}

static void *some_alloc(void *ctx, size_t n)
{
    (void)ctx;
    return malloc(n);
}

static void some_free(void *ctx, void *p, size_t n)
{
    (void)ctx;
    (void)n;
    free(p);
}

static void what_contradicts_itself_is_refused(void **state)
{
    char err[128];
    struct cache *c;
    struct tt_backend *l2 = tt_backend_new(NULL);
    struct cache_opts o = CACHE_OPTS_INIT;
    (void)state;
    o.flags = CACHE_OPEN_REQUIRE_L2;
    assert_int_equal(cache_open(&o, &c, err, sizeof err), CACHE_E_INVALID);
    assert_memory_equal(err, "flags", 5);
    static const struct cache_alloc_ops own = { CACHE_HOOKS_ABI, some_alloc, some_free };
    o.flags = CACHE_OPEN_HUGE_PAGES;
    o.alloc = &own;
    assert_int_equal(cache_open(&o, &c, err, sizeof err), CACHE_E_INVALID);
    assert_string_equal(err, "flags: HUGE_PAGES with an allocator of your own");
    o.alloc = NULL;
    o.flags = 0;
    o.l2_url = "redis://127.0.0.1";
    o.backend = tt_backend_table(l2);
    o.backend_ctx = l2;
    assert_int_equal(cache_open(&o, &c, err, sizeof err), CACHE_E_INVALID);
    assert_memory_equal(err, "l2_url", 6);
    assert_int_equal(tt_backend_attached(l2), 0);
    tt_backend_free(l2);
}

static void a_url_that_is_none_is_refused_by_its_name(void **state)
{
    static const char *const bad[] = { "", "x", "http://host", "redis://", "redis://host:0", "redis://host:99999",
                                       "redis://host/x",    "unix://", "redis://u:p%zz@host" };
    char err[256];
    struct cache *c;
    struct cache_opts o = CACHE_OPTS_INIT;
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(bad); i++) {
        o.l2_url = bad[i];
        assert_int_equal(cache_open(&o, &c, err, sizeof err), CACHE_E_INVALID);
        assert_memory_equal(err, "l2_url", 6);
    }
}

/* ---- tables ---- */

static void some_line(void *ctx, int level, const char *component, const char *text)
{
    (void)ctx;
    (void)level;
    (void)component;
    (void)text;
}

static void some_event(void *ctx, const struct cache_event *e)
{
    (void)ctx;
    (void)e;
}

static void some_stat(void *ctx, const struct cache_stat *s)
{
    (void)ctx;
    (void)s;
}

static int some_begin(void *ctx, struct cache_key *k, const char *name)
{
    (void)ctx;
    return cache_key_append(k, name, strlen(name));
}

static int some_part(void *ctx, struct cache_key *k, uint32_t index, struct cache_slice part)
{
    (void)ctx;
    (void)index;
    return cache_key_append(k, part.data, part.len);
}

static void some_insert(void *state, uint32_t entry, uint64_t hash, size_t bytes)
{
    (void)state;
    (void)entry;
    (void)hash;
    (void)bytes;
}

static void some_hit(void *state, uint32_t entry, void *node)
{
    (void)state;
    (void)entry;
    (void)node;
}

static void some_remove(void *state, uint32_t entry)
{
    (void)state;
    (void)entry;
}

static uint32_t some_victim(void *state)
{
    (void)state;
    return 0;
}

static void assert_abi(const struct cache_opts *o, const char *table)
{
    char err[128];
    struct cache *c;
    assert_int_equal(cache_open(o, &c, err, sizeof err), CACHE_E_ABI);
    assert_memory_equal(err, table, strlen(table));
}

/* A table is bad with another abi, and without a required slot. */
#define ASSERT_TABLE(type, table, good, n_slots, ...)               \
    do {                                                            \
        struct cache_opts o_ = CACHE_OPTS_INIT;                     \
        type t_ = good;                                             \
        o_.table = &t_;                                             \
        t_.abi++;                                                   \
        assert_abi(&o_, #table);                                    \
        const size_t at_[] = { __VA_ARGS__ };                       \
        for (size_t i_ = 0; i_ < (n_slots); i_++) {                 \
            void *null_ = NULL;                                     \
            t_ = good;                                              \
            memcpy((char *)&t_ + at_[i_], &null_, sizeof null_);    \
            assert_abi(&o_, #table);                                \
        }                                                           \
    } while (0)

static const struct cache_evict_ops evict_good = {
    .abi = CACHE_HOOKS_ABI,
    .name = "own",
    .state_bytes = 8,
    .node_bytes = 8,
    .insert = some_insert,
    .hit = some_hit,
    .remove = some_remove,
    .victim = some_victim,
};

static void a_table_of_another_abi_or_without_a_slot_is_refused_by_name(void **state)
{
    static const struct cache_alloc_ops alloc_good = { CACHE_HOOKS_ABI, some_alloc, some_free };
    static const struct cache_log_ops log_good = { CACHE_HOOKS_ABI, some_line };
    static const struct cache_event_ops events_good = { CACHE_HOOKS_ABI, some_event };
    static const struct cache_stats_sink_ops sink_good = { CACHE_HOOKS_ABI, some_stat };
    static const struct cache_key_encoder_ops encoder_good = { CACHE_HOOKS_ABI, some_begin, some_part };
    (void)state;
    ASSERT_TABLE(struct cache_alloc_ops, alloc, alloc_good, 2, offsetof(struct cache_alloc_ops, alloc),
                 offsetof(struct cache_alloc_ops, free));
    ASSERT_TABLE(struct cache_clock_ops, clock, tt_clock_ops, 2, offsetof(struct cache_clock_ops, mono_ms),
                 offsetof(struct cache_clock_ops, wall_ms));
    ASSERT_TABLE(struct cache_log_ops, log, log_good, 1, offsetof(struct cache_log_ops, line));
    ASSERT_TABLE(struct cache_event_ops, events, events_good, 1, offsetof(struct cache_event_ops, event));
    ASSERT_TABLE(struct cache_stats_sink_ops, stats_sink, sink_good, 1, offsetof(struct cache_stats_sink_ops, stat));
    ASSERT_TABLE(struct cache_key_encoder_ops, key_encoder, encoder_good, 2,
                 offsetof(struct cache_key_encoder_ops, begin), offsetof(struct cache_key_encoder_ops, part));
    ASSERT_TABLE(struct cache_evict_ops, evict, evict_good, 5, offsetof(struct cache_evict_ops, name),
                 offsetof(struct cache_evict_ops, insert), offsetof(struct cache_evict_ops, hit),
                 offsetof(struct cache_evict_ops, remove), offsetof(struct cache_evict_ops, victim));

    struct cache_opts o = CACHE_OPTS_INIT;
    struct cache_evict_ops evict = evict_good;
    o.evict = &evict;
    evict.state_bytes = 4097;
    assert_abi(&o, "evict");
    evict.state_bytes = 8;
    evict.node_bytes = 257;
    assert_abi(&o, "evict");
}

/* Who keeps stamps is not called at hits and has the byte for them; who is called either needs the lock or does not. */
static void an_eviction_policy_says_how_it_learns_of_hits_in_one_way(void **state)
{
    static const struct {
        uint32_t flags;
        bool hit;
        size_t node_bytes;
        bool good;
    } cases[] = {
        { 0, true, 8, true },
        { 0, true, 0, true },
        { 0, false, 8, false },
        { CACHE_EVICT_LOCKED_HITS, true, 8, true },
        { CACHE_EVICT_LOCKED_HITS, true, 0, true },
        { CACHE_EVICT_LOCKED_HITS, false, 8, false },
        { CACHE_EVICT_STAMPED_HITS, true, 8, true },
        { CACHE_EVICT_STAMPED_HITS, false, 8, true },
        { CACHE_EVICT_STAMPED_HITS, false, 1, true },
        { CACHE_EVICT_STAMPED_HITS, false, 0, false },
        { CACHE_EVICT_STAMPED_HITS, true, 0, false },
        { CACHE_EVICT_STAMPED_HITS | CACHE_EVICT_LOCKED_HITS, true, 8, false },
        { CACHE_EVICT_STAMPED_HITS | CACHE_EVICT_LOCKED_HITS, false, 8, false },
        { CACHE_EVICT_LAST_IN, true, 8, true },
        { CACHE_EVICT_ENDS_FULL, true, 8, true },
        { 1u << 4, true, 8, false },
        { CACHE_EVICT_STAMPED_HITS | 1u << 31, true, 8, false },
    };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(cases); i++) {
        struct cache_opts o = CACHE_OPTS_INIT;
        struct cache_evict_ops evict = evict_good;
        char err[128] = "";
        evict.flags = cases[i].flags;
        evict.hit = cases[i].hit ? some_hit : NULL;
        evict.node_bytes = cases[i].node_bytes;
        o.evict = &evict;
        if (cases[i].good)
            assert_int_equal(tc_options_complete(&o, err, sizeof err), CACHE_OK);
        else
            assert_abi(&o, "evict");
    }
}

static void a_backend_without_a_required_slot_is_refused_and_stays_the_callers(void **state)
{
    static const size_t required[] = {
        offsetof(struct cache_backend_ops, name), offsetof(struct cache_backend_ops, get),
        offsetof(struct cache_backend_ops, get_many), offsetof(struct cache_backend_ops, set),
        offsetof(struct cache_backend_ops, del), offsetof(struct cache_backend_ops, close),
    };
    (void)state;
    for (size_t i = 0; i <= TC_ARRAY_LEN(required); i++) {
        struct tt_backend *l2 = tt_backend_new(NULL);
        struct cache_backend_ops table = *tt_backend_table(l2);
        struct cache_opts o = CACHE_OPTS_INIT;
        void *null = NULL;
        if (i < TC_ARRAY_LEN(required))
            memcpy((char *)&table + required[i], &null, sizeof null);
        else
            table.abi++;
        o.backend = &table;
        o.backend_ctx = l2;
        assert_abi(&o, "backend");
        assert_int_equal(tt_backend_attached(l2), 0);
        assert_int_equal(tt_backend_closed(l2), 0);
        tt_backend_free(l2);
    }
}

/* ---- sizes ---- */

struct future_opts {
    struct cache_opts known;
    unsigned char tail[32];
};

/* FAULTS 53 */
static void the_size_says_what_the_caller_knew(void **state)
{
    struct future_opts o = { .known = CACHE_OPTS_INIT };
    struct cache *c;
    char err[128];
    (void)state;
    for (o.known.size = 0; o.known.size < sizeof o.known.size; o.known.size++) {
        assert_int_equal(cache_open(&o.known, &c, err, sizeof err), CACHE_E_INVALID);
        assert_memory_equal(err, "size", 4);
    }
    o.known.size = UINT32_MAX;
    assert_int_equal(cache_open(&o.known, &c, err, sizeof err), CACHE_E_INVALID);
    o.known.size = sizeof o;
    o.tail[31] = 1;
    assert_int_equal(cache_open(&o.known, &c, err, sizeof err), CACHE_E_INVALID);
    o.tail[31] = 0;
    assert_int_equal(cache_open(&o.known, &c, err, sizeof err), CACHE_OK);
    assert_int_equal(cache_close(c, 0), CACHE_OK);
    o.known.size = offsetof(struct cache_opts, l2_url); /* an older program */
    o.known.l2_url = "nonsense that it does not know of";
    assert_int_equal(cache_open(&o.known, &c, err, sizeof err), CACHE_OK);
    assert_int_equal(cache_close(c, 0), CACHE_OK);
    assert_int_equal(cache_open(&o.known, NULL, err, sizeof err), CACHE_E_INVALID);
    assert_memory_equal(err, "out", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_default_is_what_the_header_says),
        cmocka_unit_test(a_number_out_of_range_is_refused_by_its_name),
        cmocka_unit_test(the_borders_of_every_number_are_good),
        cmocka_unit_test(times_beyond_ten_years_are_cut),
        cmocka_unit_test(more_stripes_than_memory_has_room_for_are_refused),
        cmocka_unit_test(a_name_is_one_to_64_plain_characters),
        cmocka_unit_test(what_contradicts_itself_is_refused),
        cmocka_unit_test(a_url_that_is_none_is_refused_by_its_name),
        cmocka_unit_test(a_table_of_another_abi_or_without_a_slot_is_refused_by_name),
        cmocka_unit_test(an_eviction_policy_says_how_it_learns_of_hits_in_one_way),
        cmocka_unit_test(a_backend_without_a_required_slot_is_refused_and_stays_the_callers),
        cmocka_unit_test(the_size_says_what_the_caller_knew),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
