/* The copying look-up has a short way and a general one (tier/hit.h): whatever the case, both say the same, write the
 * same and count the same. The general way is that of a type with a high number; all else is alike in two caches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_util.h"
#include "tier/cache.h"
#include "tier/verbs.h"

enum { ROOM = 70000, TTL_MS = 60000, STALE_MS = 30000, CREW = 4, COPIES = 5000 };

/* A cache, a key in it, and a buffer. */
struct bench {
    struct tt_cache b;
    struct cache_key k;
    char name[16]; /* of its type */
    unsigned char buf[ROOM];
    struct cache_meta meta;
    uint64_t previous_hits; /* as its TTL policy was told last */
};

struct pair {
    struct bench way[2]; /* the short one, and the general one */
};

/* ---- two of everything ---- */

/* Its type is one of that number. */
static void begin(struct bench *w, unsigned type_number)
{
    tt_cache_open(&w->b);
    for (unsigned i = 1; i <= type_number; i++) {
        snprintf(w->name, sizeof w->name, "t%u", i);
        w->b.type_opts.name = w->name;
        assert_int_equal(cache_type_register(w->b.c, &w->b.type_opts, &w->b.type), CACHE_OK);
    }
    tt_cache_key(&w->b, &w->k);
}

static void note_hits(void *ctx, const struct cache_ttl_view *view, struct cache_ttl *ttl)
{
    (void)ttl;
    ((struct bench *)ctx)->previous_hits = view->previous_hits;
}

static const struct cache_ttl_ops note_hits_ops = { CACHE_HOOKS_ABI, note_hits };

static void open_bench(struct bench *w, unsigned type_number, bool with_l2)
{
    tt_cache_prepare(&w->b, with_l2);
    w->b.opts.l1_bytes = 4 << 20;
    w->b.opts.l1_stripes = 32; /* too small for pages: each entry is alone */
    w->b.type_opts.ttl_ms = 10 * TTL_MS;
    w->b.type_opts.l1_ttl_ms = TTL_MS;
    w->b.type_opts.max_stale_ms = STALE_MS;
    begin(w, type_number);
}

static int setup(void **state)
{
    struct pair *p = tt_xcalloc(sizeof *p);
    open_bench(&p->way[0], 0, true);
    open_bench(&p->way[1], TC_READER_COUNTS, true);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;
    bool clean = tt_cache_close(&p->way[0].b);
    clean = tt_cache_close(&p->way[1].b) && clean;
    free(p);
    return clean ? 0 : -1;
}

static void update(struct bench *w)
{
    assert_int_equal(cache_type_update(w->b.type, &w->b.type_opts, NULL, 0), CACHE_OK);
}

static struct cache_stats stats(struct bench *w)
{
    struct cache_stats s;
    assert_int_equal(cache_stats_read(w->b.c, w->b.type, &s, sizeof s), CACHE_OK);
    return s;
}

/* ---- one look, both ways ---- */

struct seen {
    int64_t status;
    struct cache_meta meta;
    uint64_t hits, misses, absent, stale, l2_hits;
};

static struct seen look(struct bench *w, size_t cap, bool with_meta)
{
    struct seen seen;
    struct cache_stats before = stats(w), after;
    memset(&seen, 0, sizeof seen);
    memset(&seen.meta, 0xEE, sizeof seen.meta);
    memset(w->buf, '*', sizeof w->buf);
    seen.status = cache_get_copy(w->b.c, &w->k, cap > 0 ? w->buf : NULL, cap, with_meta ? &seen.meta : NULL);
    after = stats(w);
    seen.hits = after.l1_hits - before.l1_hits;
    seen.misses = after.l1_misses - before.l1_misses;
    seen.absent = after.l1_absent - before.l1_absent;
    seen.stale = after.l1_stale - before.l1_stale;
    seen.l2_hits = after.l2_hits - before.l2_hits;
    return seen;
}

static struct seen look_both(struct pair *p, size_t cap, bool with_meta)
{
    struct seen seen = look(&p->way[0], cap, with_meta), general = look(&p->way[1], cap, with_meta);
    assert_int_equal(seen.status, general.status);
    assert_memory_equal(&seen, &general, sizeof seen);
    assert_memory_equal(p->way[0].buf, p->way[1].buf, ROOM);
    return seen;
}

/* Without meta the same happens as with. */
static struct seen look_all(struct pair *p, size_t cap)
{
    struct seen with = look_both(p, cap, true), without = look_both(p, cap, false);
    assert_int_equal(with.status, without.status);
    assert_int_equal(with.hits, without.hits);
    return with;
}

static void assert_is(const struct seen *s, int status, uint64_t hits, uint64_t misses)
{
    assert_int_equal(s->status, status);
    assert_int_equal(s->hits, hits);
    assert_int_equal(s->misses, misses);
}

static void assert_buf(struct pair *p, size_t len)
{
    for (size_t i = 0; i < ROOM; i++)
        if (p->way[0].buf[i] != (i < len ? 'x' : '*'))
            fail_msg("byte %zu of %zu is %d", i, len, p->way[0].buf[i]);
}

static void for_both(struct pair *p, void (*fn)(struct bench *w))
{
    for (size_t i = 0; i < 2; i++)
        fn(&p->way[i]);
}

static void set_bytes(struct pair *p, size_t len)
{
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(tt_cache_set_bytes(&p->way[i].b, &p->way[i].k, len), CACHE_OK);
}

static void advance(struct pair *p, int64_t ms)
{
    for (size_t i = 0; i < 2; i++)
        tt_clock_advance(&p->way[i].b.clock, ms);
}

/* ---- hits ---- */

static void values_of_all_sizes_are_copied(void **state)
{
    struct pair *p = *state;
    static const size_t sizes[] = { 0, 1, 7, 100, 16384, 65535, 65536, 65537, ROOM };
    for (size_t i = 0; i < TC_ARRAY_LEN(sizes); i++) {
        set_bytes(p, sizes[i]);
        advance(p, 10);
        struct seen s = look_all(p, ROOM);
        assert_is(&s, CACHE_OK, 1, 0);
        assert_buf(p, sizes[i]);
        assert_int_equal(s.meta.len, sizes[i]);
        assert_int_equal(s.meta.tier, CACHE_TIER_L1);
        assert_int_equal(s.meta.flags, 0);
        assert_int_equal(s.meta.age_ms, 10);
        assert_int_equal(s.meta.ttl_ms, TTL_MS - 10);
        assert_int_equal(s.meta.coherent_age_ms, 10);
        s = look_all(p, sizes[i]); /* it just fits */
        assert_is(&s, CACHE_OK, 1, 0);
        assert_buf(p, sizes[i]);
    }
}

static void too_small_a_buffer_is_told_and_left_alone(void **state)
{
    struct pair *p = *state;
    static const size_t sizes[] = { 1, 100, 65535, 65536, 65537 };
    for (size_t i = 0; i < TC_ARRAY_LEN(sizes); i++) {
        set_bytes(p, sizes[i]);
        const size_t caps[] = { 0, sizes[i] / 2, sizes[i] - 1 };
        for (size_t c = 0; c < TC_ARRAY_LEN(caps); c++) {
            struct seen s = look_all(p, caps[c]);
            assert_is(&s, CACHE_E_BUFFER, 1, 0);
            assert_int_equal(s.meta.len, sizes[i]);
            assert_buf(p, 0);
        }
    }
    assert_int_equal(tt_cache_stats(&p->way[0].b).l1_pins, 0);
}

static void live_for_ever(struct bench *w)
{
    w->b.type_opts.ttl_ms = w->b.type_opts.l1_ttl_ms = CACHE_TTL_FOREVER;
    update(w);
}

static void a_value_for_ever_is_copied_at_any_time(void **state)
{
    struct pair *p = *state;
    for_both(p, live_for_ever);
    set_bytes(p, 10);
    advance(p, INT64_C(100) * 365 * 86400 * 1000);
    struct seen s = look_all(p, ROOM);
    assert_is(&s, CACHE_OK, 1, 0);
    assert_int_equal(s.meta.ttl_ms, CACHE_TTL_FOREVER);
    assert_buf(p, 10);
}

/* ---- anything else ---- */

static void set_absent(struct bench *w)
{
    assert_int_equal(cache_set_absent(w->b.c, &w->k, NULL), CACHE_OK);
}

static void erase_l2(struct bench *w)
{
    tt_backend_erase_all(w->b.l2);
}

static void cut_l2(struct bench *w)
{
    tt_backend_set_health(w->b.l2, CACHE_BACKEND_DOWN);
}

static void clear_l1(struct bench *w)
{
    assert_int_equal(cache_clear_local(w->b.c), CACHE_OK);
}

static void a_miss_and_an_absence_are_told_apart(void **state)
{
    struct pair *p = *state;
    struct seen s = look_all(p, ROOM);
    assert_is(&s, CACHE_MISS, 0, 1);
    assert_buf(p, 0);
    for_both(p, set_absent);
    s = look_all(p, ROOM);
    assert_is(&s, CACHE_ABSENT, 1, 0);
    assert_int_equal(s.absent, 1);
    assert_buf(p, 0);
}

static void a_value_expires_at_the_same_moment(void **state)
{
    struct pair *p = *state;
    set_bytes(p, 10);
    for_both(p, erase_l2);
    advance(p, TTL_MS - 1);
    struct seen s = look_all(p, ROOM);
    assert_is(&s, CACHE_OK, 1, 0);
    assert_int_equal(s.meta.ttl_ms, 1);
    advance(p, 1);
    s = look_all(p, ROOM);
    assert_is(&s, CACHE_MISS, 0, 1);
    assert_buf(p, 0);
}

static void a_stale_value_is_copied_while_l2_is_out(void **state)
{
    struct pair *p = *state;
    set_bytes(p, 10);
    for_both(p, cut_l2);
    advance(p, TTL_MS + STALE_MS - 1);
    struct seen s = look_all(p, ROOM);
    assert_is(&s, CACHE_OK, 1, 0);
    assert_int_equal(s.stale, 1);
    assert_int_equal(s.meta.flags, CACHE_META_STALE | CACHE_META_L2_OUT);
    assert_buf(p, 10);
    s = look_all(p, 9);
    assert_is(&s, CACHE_E_BUFFER, 1, 0);
    advance(p, 1);
    s = look_all(p, ROOM);
    assert_is(&s, CACHE_MISS, 0, 1);
}

static void what_l2_alone_has_is_copied_from_there(void **state)
{
    struct pair *p = *state;
    static const size_t sizes[] = { 0, 1, 20000, 65537 };
    for (size_t i = 0; i < TC_ARRAY_LEN(sizes); i++)
        for (int with_meta = 0; with_meta < 2; with_meta++) {
            set_bytes(p, sizes[i]);
            for_both(p, clear_l1);
            struct seen s = look_both(p, ROOM, with_meta);
            assert_is(&s, CACHE_OK, 0, 1);
            assert_int_equal(s.l2_hits, 1);
            assert_buf(p, sizes[i]);
            s = look_all(p, ROOM); /* L1 has it from now on */
            assert_is(&s, CACHE_OK, 1, 0);
            assert_buf(p, sizes[i]);
        }
}

static void stop_using_l1(struct bench *w)
{
    w->b.type_opts.flags = CACHE_TYPE_NO_L1;
    update(w);
}

static void use_l1_again(struct bench *w)
{
    w->b.type_opts.flags = 0;
    update(w);
}

static void a_type_that_stops_using_l1_does_not_see_what_is_there(void **state)
{
    struct pair *p = *state;
    set_bytes(p, 10);
    for_both(p, stop_using_l1);
    struct seen s = look_all(p, ROOM);
    assert_is(&s, CACHE_OK, 0, 1);
    assert_int_equal(s.meta.tier, CACHE_TIER_L2);
    for_both(p, erase_l2);
    s = look_all(p, ROOM);
    assert_is(&s, CACHE_MISS, 0, 1);
    set_bytes(p, 11);
    s = look_all(p, ROOM);
    assert_is(&s, CACHE_OK, 0, 1);
    for_both(p, use_l1_again);
    set_bytes(p, 12);
    s = look_all(p, ROOM);
    assert_is(&s, CACHE_OK, 1, 0);
    assert_int_equal(s.meta.tier, CACHE_TIER_L1);
    assert_buf(p, 12);
}

static void count_hits(struct bench *w)
{
    w->b.type_opts.ttl_policy = &note_hits_ops;
    w->b.type_opts.ttl_policy_ctx = w;
    update(w);
}

static void a_ttl_policy_is_told_of_every_hit(void **state)
{
    struct pair *p = *state;
    set_bytes(p, 10);
    look_all(p, ROOM);
    for_both(p, count_hits); /* from now on: what is there is not counted */
    set_bytes(p, 10);
    for (uint64_t hits = 0; hits < 5; hits++) {
        for (uint64_t i = 0; i < hits; i++)
            look_all(p, ROOM);
        for (size_t i = 0; i < 2; i++)
            p->way[i].previous_hits = UINT64_MAX;
        set_bytes(p, 10);
        assert_int_equal(p->way[0].previous_hits, 2 * hits);
        assert_int_equal(p->way[1].previous_hits, 2 * hits);
    }
}

/* ---- nonsense ---- */

static void arguments_that_make_no_sense_are_refused_alike(void **state)
{
    struct pair *p = *state;
    static const struct cache_key zeros;
    struct cache_key too_long, no_type;
    unsigned char *bytes = tt_xcalloc(CACHE_KEY_MAX_BYTES + 1);
    struct cache_meta m;
    set_bytes(p, 10);
    for (size_t i = 0; i < 2; i++) {
        struct bench *w = &p->way[i];
        too_long = w->k; /* whose bytes so far are those of a key that is there */
        cache_key_bytes(&too_long, bytes, CACHE_KEY_MAX_BYTES + 1);
        cache_key_init(&no_type, NULL);
        int sticky = cache_key_status(&too_long), typeless = cache_key_status(&no_type);
        assert_true(sticky < 0 && typeless < 0);
        const struct {
            struct cache *c;
            const struct cache_key *k;
            void *buf;
            int status;
        } cases[] = { { w->b.c, &w->k, NULL, CACHE_E_INVALID }, { w->b.c, NULL, w->buf, CACHE_E_INVALID },
                      { NULL, &w->k, w->buf, CACHE_E_INVALID }, { w->b.c, &zeros, w->buf, CACHE_E_INVALID },
                      { w->b.c, &too_long, w->buf, sticky },    { w->b.c, &no_type, w->buf, typeless },
                      { p->way[1 - i].b.c, &w->k, w->buf, CACHE_E_INVALID } };
        struct cache_stats before = stats(w), after;
        for (size_t n = 0; n < 2 * TC_ARRAY_LEN(cases); n++)
            assert_int_equal(cache_get_copy(cases[n / 2].c, cases[n / 2].k, cases[n / 2].buf, 10, n % 2 ? &m : NULL),
                             cases[n / 2].status);
        after = stats(w);
        assert_memory_equal(&before, &after, sizeof before);
        cache_key_fini(&too_long);
    }
    free(bytes);
}

/* ---- counting ---- */

static void copy_times(struct bench *w, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(cache_get_copy(w->b.c, &w->k, w->buf, ROOM, NULL), CACHE_OK);
}

static void one_hit_in_1024_is_timed(void **state)
{
    struct pair *p = *state;
    struct cache_value v;
    set_bytes(p, 10);
    copy_times(&p->way[0], 1023);
    assert_int_equal(stats(&p->way[0]).l1_hit_count, 0);
    copy_times(&p->way[0], 1);
    assert_int_equal(stats(&p->way[0]).l1_hit_count, 1);
    copy_times(&p->way[0], 1023);
    assert_int_equal(cache_get(p->way[0].b.c, &p->way[0].k, NULL, &v), CACHE_OK);
    cache_value_release(&v);
    assert_int_equal(stats(&p->way[0]).l1_hit_count, 2);
    assert_int_equal(stats(&p->way[0]).l1_hits, 2048);
}

static void misses_between_hits_change_nothing_about_that(void **state)
{
    struct bench *w = &((struct pair *)*state)->way[0];
    struct cache_key nothing;
    tt_cache_key(&w->b, &nothing);
    assert_int_equal(tt_cache_set_bytes(&w->b, &w->k, 10), CACHE_OK);
    for (unsigned i = 0; i < 3 * 1024; i++) {
        copy_times(w, 1);
        assert_int_equal(cache_get_copy(w->b.c, &nothing, w->buf, ROOM, NULL), CACHE_MISS);
    }
    struct cache_stats s = stats(w);
    assert_int_equal(s.l1_hit_count, 3);
    assert_int_equal(s.l1_hits, 3 * 1024);
    assert_int_equal(s.l1_misses, 3 * 1024);
}

static void hits_of_the_types_after_the_32nd_are_timed_too(void **state)
{
    struct pair *p = *state;
    set_bytes(p, 10);
    copy_times(&p->way[1], 10 * 1024);
    assert_int_equal(stats(&p->way[1]).l1_hits, 10 * 1024);
    assert_in_range(stats(&p->way[1]).l1_hit_count, 5, 20);
}

static int copy_much(void *arg, unsigned index)
{
    struct bench *w = arg;
    struct cache_meta m;
    unsigned char buf[16];
    int failures = 0;
    for (unsigned i = 0; i < COPIES; i++)
        TT_CHECK(failures, cache_get_copy(w->b.c, &w->k, buf, sizeof buf, i % 2 ? &m : NULL) == CACHE_OK);
    TT_CHECK(failures, buf[9] == 'x');
    (void)index;
    return failures;
}

static void every_hit_of_every_thread_is_counted_once(void **state)
{
    struct pair *p = *state;
    set_bytes(p, 10);
    for (size_t i = 0; i < 2; i++) {
        for (int round = 0; round < 3; round++) /* the threads' records are used again */
            assert_int_equal(tt_crew_join(tt_crew_start(CREW, copy_much, &p->way[i])), 0);
        assert_int_equal(stats(&p->way[i]).l1_hits, 3 * CREW * COPIES);
        assert_int_equal(stats(&p->way[i]).l1_misses, 0);
        assert_int_equal(tt_cache_stats(&p->way[i].b).l1_hits, 3 * CREW * COPIES);
    }
    assert_in_range(stats(&p->way[0]).l1_hit_count, 3 * CREW * COPIES / 1024 - CREW, 3 * CREW * COPIES / 1024);
}

static void each_type_has_its_own_count(void **state)
{
    struct pair *p = *state;
    struct bench *w = &p->way[0];
    struct cache_key k;
    struct cache_stats s;
    struct cache_type *types[2 * TC_READER_COUNTS];
    set_bytes(p, 10);
    copy_times(w, 1000);
    for (unsigned i = 0; i < TC_ARRAY_LEN(types); i++) {
        char name[16];
        struct cache_type_opts o = w->b.type_opts;
        snprintf(name, sizeof name, "own%u", i);
        o.name = name;
        assert_int_equal(cache_type_register(w->b.c, &o, &types[i]), CACHE_OK);
        cache_key_u64(cache_key_init(&k, types[i]), 1);
        assert_int_equal(tt_cache_set(&w->b, &k, "value"), CACHE_OK);
        for (unsigned n = 0; n <= i; n++)
            assert_int_equal(cache_get_copy(w->b.c, &k, w->buf, ROOM, NULL), CACHE_OK);
    }
    for (unsigned i = 0; i < TC_ARRAY_LEN(types); i++) {
        assert_int_equal(cache_stats_read(w->b.c, types[i], &s, sizeof s), CACHE_OK);
        assert_int_equal(s.l1_hits, i + 1);
    }
    assert_int_equal(stats(w).l1_hits, 1000);
    uint64_t all = TC_ARRAY_LEN(types) * (TC_ARRAY_LEN(types) + 1) / 2;
    assert_int_equal(tt_cache_stats(&w->b).l1_hits, 1000 + all);
}

/* ---- the system's clock ---- */

static void the_systems_clock_tells_when_a_value_expires(void **state)
{
    (void)state;
    struct bench *w = tt_xcalloc(sizeof *w);
    tt_cache_prepare(&w->b, false);
    w->b.opts.clock = NULL;
    begin(w, 0);
    assert_int_equal(tt_cache_set_with(&w->b, &w->k, "long", INT64_C(3600000), NULL), CACHE_OK);
    copy_times(w, 100);
    assert_int_equal(tt_cache_set_with(&w->b, &w->k, "short", 20, NULL), CACHE_OK);
    int64_t set_ms = tt_mono_ms();
    tt_assert_soon(cache_get_copy(w->b.c, &w->k, w->buf, ROOM, NULL) == CACHE_MISS);
    assert_true(tt_mono_ms() - set_ms >= 20 - 10); /* the clock is coarse, also when it was set */
    assert_true(tt_cache_close(&w->b));
    free(w);
}

/* ---- closing, forking ---- */

static int copy_until_closed(void *arg, unsigned index)
{
    struct bench *w = arg;
    struct cache_meta m;
    unsigned char buf[16];
    int failures = 0, rc;
    int64_t end_ms = tt_mono_ms() + TT_SOON_MS;
    unsigned long i = index;
    do {
        rc = cache_get_copy(w->b.c, &w->k, buf, sizeof buf, i++ % 2 ? &m : NULL);
        TT_CHECK(failures, rc == CACHE_OK || rc == CACHE_E_CLOSED);
    } while (rc != CACHE_E_CLOSED && failures == 0 && tt_mono_ms() < end_ms);
    TT_CHECK(failures, rc == CACHE_E_CLOSED);
    return failures;
}

static void closing_ends_the_copies_of_other_threads(void **state)
{
    (void)state;
    for (unsigned number = 0; number <= TC_READER_COUNTS; number += TC_READER_COUNTS)
        for (int round = 0; round < 20; round++) {
            struct bench *w = tt_xcalloc(sizeof *w);
            struct cache_value v;
            open_bench(w, number, false);
            assert_int_equal(tt_cache_set_bytes(&w->b, &w->k, 10), CACHE_OK);
            assert_int_equal(cache_get(w->b.c, &w->k, NULL, &v), CACHE_OK); /* while they may begin, c stays */
            struct tt_crew *crew = tt_crew_start(CREW, copy_until_closed, w);
            tt_assert_soon(stats(w).l1_hits > 50);
            assert_int_equal(cache_close(w->b.c, round % 3), CACHE_BUSY);
            assert_int_equal(cache_get_copy(w->b.c, &w->k, w->buf, ROOM, NULL), CACHE_E_CLOSED);
            assert_int_equal(tt_crew_join(crew), 0);
            cache_value_release(&v);
            assert_true(tt_cache_close(&w->b));
            free(w);
        }
}

/* A clock at which a look-up can be stopped: it is read in the middle of a copy. */
struct turnstile {
    struct bench w;
    _Atomic bool stops, is_stopped;
    int status; /* of the copy */
    _Atomic int closed;
};

static int64_t stopping_mono_ms(void *ctx)
{
    struct turnstile *t = ctx;
    int64_t end_ms = tt_mono_ms() + 4 * TT_SOON_MS;
    while (atomic_load(&t->stops) && tt_pause(end_ms))
        atomic_store(&t->is_stopped, true);
    return tt_clock_mono_ms(&t->w.b.clock);
}

static int64_t stopping_wall_ms(void *ctx)
{
    return tt_clock_wall_ms(&((struct turnstile *)ctx)->w.b.clock);
}

static const struct cache_clock_ops stopping_clock_ops = { CACHE_HOOKS_ABI, stopping_mono_ms, stopping_wall_ms };

static int copy_once(void *arg, unsigned index)
{
    struct turnstile *t = arg;
    (void)index;
    t->status = cache_get_copy(t->w.b.c, &t->w.k, t->w.buf, ROOM, NULL);
    return 0;
}

static int close_now(void *arg, unsigned index)
{
    struct turnstile *t = arg;
    (void)index;
    atomic_store(&t->closed, 1 + cache_close(t->w.b.c, 60000));
    return 0;
}

static struct turnstile *open_turnstile(unsigned type_number)
{
    struct turnstile *t = tt_xcalloc(sizeof *t);
    tt_cache_prepare(&t->w.b, false);
    t->w.b.opts.clock = &stopping_clock_ops;
    t->w.b.opts.clock_ctx = t;
    begin(&t->w, type_number);
    assert_int_equal(tt_cache_set_bytes(&t->w.b, &t->w.k, 10), CACHE_OK);
    return t;
}

/* The copy is counted when it has left: by then nobody may have freed where. */
static void closing_waits_for_a_copy_that_is_under_way(void **state)
{
    (void)state;
    for (unsigned number = 0; number <= TC_READER_COUNTS; number += TC_READER_COUNTS) {
        struct turnstile *t = open_turnstile(number);
        struct cache *c = t->w.b.c;
        atomic_store(&t->stops, true);
        struct tt_crew *reader = tt_crew_start(1, copy_once, t);
        tt_assert_soon(atomic_load(&t->is_stopped));
        struct tt_crew *closer = tt_crew_start(1, close_now, t);
        tt_assert_soon(atomic_load(&c->closing));
        tt_assert_soon(tt_crew_sleeps(closer)); /* it looked, and somebody was inside */
        assert_int_equal(atomic_load(&t->closed), 0);
        atomic_store(&t->stops, false);
        tt_crew_join(reader);
        tt_crew_join(closer);
        assert_int_equal(t->status, CACHE_OK);
        assert_int_equal(t->w.buf[9], 'x');
        assert_int_equal(atomic_load(&t->closed), 1 + CACHE_OK);
        assert_true(tt_cache_fini(&t->w.b));
        free(t);
    }
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        FRESH(values_of_all_sizes_are_copied),
        FRESH(too_small_a_buffer_is_told_and_left_alone),
        FRESH(a_value_for_ever_is_copied_at_any_time),
        FRESH(a_miss_and_an_absence_are_told_apart),
        FRESH(a_value_expires_at_the_same_moment),
        FRESH(a_stale_value_is_copied_while_l2_is_out),
        FRESH(what_l2_alone_has_is_copied_from_there),
        FRESH(a_type_that_stops_using_l1_does_not_see_what_is_there),
        FRESH(a_ttl_policy_is_told_of_every_hit),
        FRESH(arguments_that_make_no_sense_are_refused_alike),
        FRESH(one_hit_in_1024_is_timed),
        FRESH(misses_between_hits_change_nothing_about_that),
        FRESH(hits_of_the_types_after_the_32nd_are_timed_too),
        FRESH(every_hit_of_every_thread_is_counted_once),
        FRESH(each_type_has_its_own_count),
        cmocka_unit_test(the_systems_clock_tells_when_a_value_expires),
        cmocka_unit_test(closing_ends_the_copies_of_other_threads),
        cmocka_unit_test(closing_waits_for_a_copy_that_is_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
