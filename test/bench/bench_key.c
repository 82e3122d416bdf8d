/* Keys: what it costs to build one (type, string, number), alone and as part of an L1 get, against a key that was built
 * before, and against the snprintf() that a program without a key builder would write. Held
 * to what building may cost on top of the get. */
#include <stdlib.h>
#include <string.h>

#include "common/report.h"
#include "common/workload.h"
#include "tiercache.h"

enum { BLOCK = 64 };

static const double GATE_EXTRA_NS = 25;

struct keys {
    struct cache *cache;
    struct cache_type *type;
    uint32_t n_keys;
    size_t n_ops;
    uint32_t *ids;
    struct cache_key *prebuilt; /* in the order of ids */
};

/* No cache_key_fini(): these keys are far below the 200 bytes that need it. */
static inline struct cache_key *build(const struct keys *s, struct cache_key *k, uint32_t id)
{
    return cache_key_u64(cache_key_str(cache_key_init(k, s->type), "profile"), id);
}

typedef bool op_fn(const struct keys *s, size_t pos);

static inline __attribute__((always_inline)) void repeat(const struct keys *s, struct tt_bench_worker *w, op_fn *op)
{
    size_t pos = (size_t)w->round * 100003 % s->n_ops;
    uint64_t right = 0;
    uint64_t all = 0;
    while (tt_bench_goes_on(w)) {
        for (unsigned i = 0; i < BLOCK; i++) {
            tt_bench_fetch_key(&s->prebuilt[pos + TT_BENCH_AHEAD]);
            right += op(s, pos);
            pos = pos + 1 < s->n_ops ? pos + 1 : 0;
        }
        all += BLOCK;
    }
    w->ops = right;
    w->wrong = all - right;
}

static inline bool build_only(const struct keys *s, size_t pos)
{
    struct cache_key k;
    return cache_key_status(build(s, &k, s->ids[pos])) == CACHE_OK;
}

static inline bool print_only(const struct keys *s, size_t pos)
{
    char text[64];
    return snprintf(text, sizeof text, "%s:%s:%u", TT_BENCH_KEY_TYPE, "profile", (unsigned)s->ids[pos]) > 0;
}

static inline bool get(const struct keys *s, const struct cache_key *k, size_t pos)
{
    unsigned char buf[TT_BENCH_VALUE_BYTES];
    return cache_get_copy(s->cache, k, buf, sizeof buf, NULL) == CACHE_OK &&
           tt_bench_value_begins_with(buf, s->ids[pos]);
}

static inline bool build_and_get(const struct keys *s, size_t pos)
{
    struct cache_key k;
    return get(s, build(s, &k, s->ids[pos]), pos);
}

static inline bool get_prebuilt(const struct keys *s, size_t pos)
{
    return get(s, &s->prebuilt[pos], pos);
}

static void body_build(void *s, struct tt_bench_worker *w)
{
    repeat(s, w, build_only);
}

static void body_print(void *s, struct tt_bench_worker *w)
{
    repeat(s, w, print_only);
}

static void body_build_and_get(void *s, struct tt_bench_worker *w)
{
    repeat(s, w, build_and_get);
}

static void body_get_prebuilt(void *s, struct tt_bench_worker *w)
{
    repeat(s, w, get_prebuilt);
}

static void load_and_verify(struct keys *s)
{
    struct cache_key k;
    struct cache_meta m;
    unsigned char v[TT_BENCH_VALUE_BYTES];
    for (uint32_t id = 0; id < s->n_keys; id++) {
        tt_bench_value_fill(v, sizeof v, id);
        if (cache_set(s->cache, build(s, &k, id), v, sizeof v, NULL) != CACHE_OK)
            tt_bench_die("cache_set failed");
    }
    for (uint32_t id = 0; id < s->n_keys; id++)
        if (cache_get_copy(s->cache, build(s, &k, id), v, sizeof v, &m) != CACHE_OK ||
            !tt_bench_value_is_of(v, m.len, id))
            tt_bench_die("tiercache does not hold key %u", id);
}

static void open_subject(struct keys *s)
{
    char err[256] = "";
    struct cache_type_opts t = CACHE_TYPE_OPTS_INIT;
    t.name = TT_BENCH_KEY_TYPE;
    t.ttl_ms = 3600000;
    if (cache_open(NULL, &s->cache, err, sizeof err) != CACHE_OK)
        tt_bench_die("cache_open: %s", err);
    if (cache_type_register(s->cache, &t, &s->type) != CACHE_OK)
        tt_bench_die("cache_type_register failed");
    s->ids = tt_bench_sequence_make(s->n_ops, s->n_keys, 0.99, 40);
    s->prebuilt = calloc(s->n_ops + TT_BENCH_AHEAD, sizeof *s->prebuilt);
    if (s->ids == NULL || s->prebuilt == NULL)
        tt_bench_die("out of memory");
    for (size_t i = 0; i < s->n_ops; i++)
        build(s, &s->prebuilt[i], s->ids[i]);
}

int main(int argc, char **argv)
{
    struct tt_bench b;
    static struct tt_bench_result r;
    struct keys s = {.n_keys = 10000};
    tt_bench_init(&b, argc, argv, "Keys: built from a type, a string and a number; L1 holds 10k of them, Zipf 0.99");
    s.n_ops = b.quick ? 50000 : 500000;
    open_subject(&s);
    load_and_verify(&s);

    struct tt_bench_case building = {.name = "key build", .n_threads = 1, .clock = TT_BENCH_CPU, .pinned = true,
                                     .subjects = {{.name = "snprintf", .body = body_print, .ctx = &s},
                                                  {.name = "cache_key_*", .body = body_build, .ctx = &s}},
                                     .n_subjects = 2, .n_references = 1};
    struct tt_bench_case fetching = {.name = "L1 get with key build", .n_threads = 1, .clock = TT_BENCH_CPU,
                                     .pinned = true,
                                     .subjects = {{.name = "prebuilt", .body = body_get_prebuilt, .ctx = &s},
                                                  {.name = "built + get", .body = body_build_and_get, .ctx = &s}},
                                     .n_subjects = 2, .n_references = 1};
    tt_bench_run(&b, &building, &r);
    if (tt_bench_run(&b, &fetching, &r))
        tt_bench_gate_extra(&b, &fetching, &r, (struct tt_bench_pair){.subject = 1, .reference = 0}, GATE_EXTRA_NS);

    free(s.ids);
    free(s.prebuilt);
    if (cache_close(s.cache, 1000) != CACHE_OK)
        tt_bench_die("cache_close failed");
    return tt_bench_fini(&b);
}
