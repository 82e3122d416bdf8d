/* L1: get and set of 64-byte values that all fit in memory, at 1 and 2 threads, against the cache that people write by
 * hand (uthash, an LRU list, one mutex; and the same in 64 shards). Every subject's keys are made before the clock
 * starts, lie in the order of use and are fetched into the processor's cache ahead of use. cache_get_copy() and the
 * peers copy the value out; cache_get() pins it. Every answer's first bytes are compared in the timed loop, all bytes of
 * every value after the load. */
#include <stdlib.h>
#include <string.h>

#include "common/report.h"
#include "common/workload.h"
#include "peers/uthash_lru.h"
#include "tiercache.h"

enum { THREADS_MAX = 2, BLOCK = 64, SHARDS = 64 };

static const double GATE_GET = 3.0;

struct l1 {
    struct cache *cache;
    struct cache_type *type;
    struct tt_uthash_lru *one, *many;
    uint32_t n_keys;
    size_t n_ops;
    uint32_t *ids[THREADS_MAX];
    struct tt_bench_key *keys[THREADS_MAX];    /* of ids, for the peers */
    struct cache_key *prebuilt[THREADS_MAX];   /* of ids, for tiercache */
};

/* One operation on element pos of a thread's sequence; true if the answer was right. */
typedef bool op_fn(const struct l1 *l, unsigned thread, size_t pos);

/* keys: what op reads of a thread's sequence, key_bytes each. */
static inline __attribute__((always_inline)) void repeat(const struct l1 *l, struct tt_bench_worker *w,
                                                         const void *keys, size_t key_bytes, op_fn *op)
{
    size_t pos = (size_t)w->round * 100003 % l->n_ops;
    uint64_t right = 0;
    uint64_t all = 0;
    while (tt_bench_goes_on(w)) {
        for (unsigned i = 0; i < BLOCK; i++) {
            tt_bench_fetch_key((const char *)keys + (pos + TT_BENCH_AHEAD) * key_bytes);
            right += op(l, w->thread, pos);
            pos = pos + 1 < l->n_ops ? pos + 1 : 0;
        }
        all += BLOCK;
    }
    w->ops = right;
    w->wrong = all - right;
}

static inline __attribute__((always_inline)) void repeat_ours(const struct l1 *l, struct tt_bench_worker *w, op_fn *op)
{
    repeat(l, w, l->prebuilt[w->thread], sizeof *l->prebuilt[0], op);
}

static inline __attribute__((always_inline)) void repeat_peers(const struct l1 *l, struct tt_bench_worker *w, op_fn *op)
{
    repeat(l, w, l->keys[w->thread], sizeof *l->keys[0], op);
}

static inline bool get_copy(const struct l1 *l, unsigned thread, size_t pos)
{
    unsigned char buf[TT_BENCH_VALUE_BYTES];
    return cache_get_copy(l->cache, &l->prebuilt[thread][pos], buf, sizeof buf, NULL) == CACHE_OK &&
           tt_bench_value_begins_with(buf, l->ids[thread][pos]);
}

static inline bool get_pinned(const struct l1 *l, unsigned thread, size_t pos)
{
    struct cache_value v;
    if (cache_get(l->cache, &l->prebuilt[thread][pos], NULL, &v) != CACHE_OK)
        return false;
    bool right = tt_bench_value_begins_with(v.data, l->ids[thread][pos]);
    cache_value_release(&v);
    return right;
}

static inline bool set(const struct l1 *l, unsigned thread, size_t pos)
{
    unsigned char buf[TT_BENCH_VALUE_BYTES] = {0};
    memcpy(buf, &l->ids[thread][pos], sizeof l->ids[thread][pos]);
    return cache_set(l->cache, &l->prebuilt[thread][pos], buf, sizeof buf, NULL) == CACHE_OK;
}

static inline bool peer_get(struct tt_uthash_lru *u, const struct l1 *l, unsigned thread, size_t pos)
{
    unsigned char buf[TT_BENCH_VALUE_BYTES];
    const struct tt_bench_key *k = &l->keys[thread][pos];
    size_t len;
    return tt_uthash_lru_get(u, k->text, k->len, buf, sizeof buf, &len) &&
           tt_bench_value_begins_with(buf, l->ids[thread][pos]);
}

static inline bool peer_set(struct tt_uthash_lru *u, const struct l1 *l, unsigned thread, size_t pos)
{
    unsigned char buf[TT_BENCH_VALUE_BYTES] = {0};
    const struct tt_bench_key *k = &l->keys[thread][pos];
    memcpy(buf, &l->ids[thread][pos], sizeof l->ids[thread][pos]);
    return tt_uthash_lru_set(u, k->text, k->len, buf, sizeof buf);
}

static inline bool peer_one_get(const struct l1 *l, unsigned thread, size_t pos)
{
    return peer_get(l->one, l, thread, pos);
}

static inline bool peer_many_get(const struct l1 *l, unsigned thread, size_t pos)
{
    return peer_get(l->many, l, thread, pos);
}

static inline bool peer_one_set(const struct l1 *l, unsigned thread, size_t pos)
{
    return peer_set(l->one, l, thread, pos);
}

static inline bool peer_many_set(const struct l1 *l, unsigned thread, size_t pos)
{
    return peer_set(l->many, l, thread, pos);
}

static void body_get_copy(void *l, struct tt_bench_worker *w)
{
    repeat_ours(l, w, get_copy);
}

static void body_get_pinned(void *l, struct tt_bench_worker *w)
{
    repeat_ours(l, w, get_pinned);
}

static void body_set(void *l, struct tt_bench_worker *w)
{
    repeat_ours(l, w, set);
}

static void body_one_get(void *l, struct tt_bench_worker *w)
{
    repeat_peers(l, w, peer_one_get);
}

static void body_many_get(void *l, struct tt_bench_worker *w)
{
    repeat_peers(l, w, peer_many_get);
}

static void body_one_set(void *l, struct tt_bench_worker *w)
{
    repeat_peers(l, w, peer_one_set);
}

static void body_many_set(void *l, struct tt_bench_worker *w)
{
    repeat_peers(l, w, peer_many_set);
}

static void open_subjects(struct l1 *l)
{
    char err[256] = "";
    struct cache_opts o = CACHE_OPTS_INIT;
    struct cache_type_opts t = CACHE_TYPE_OPTS_INIT;
    size_t room = (size_t)l->n_keys * 512;
    o.l1_bytes = room < (64u << 20) ? 64u << 20 : room;
    t.name = TT_BENCH_KEY_TYPE;
    t.ttl_ms = CACHE_TTL_FOREVER;
    if (cache_open(&o, &l->cache, err, sizeof err) != CACHE_OK)
        tt_bench_die("cache_open: %s", err);
    if (cache_type_register(l->cache, &t, &l->type) != CACHE_OK)
        tt_bench_die("cache_type_register failed");
    l->one = tt_uthash_lru_open(1, o.l1_bytes);
    l->many = tt_uthash_lru_open(SHARDS, o.l1_bytes);
    if (l->one == NULL || l->many == NULL)
        tt_bench_die("out of memory");
}

static void load_and_verify(struct l1 *l)
{
    struct tt_bench_key k;
    struct cache_key ck;
    unsigned char v[TT_BENCH_VALUE_BYTES];
    size_t len = 0;
    for (uint32_t id = 0; id < l->n_keys; id++) {
        tt_bench_key_write(&k, id);
        tt_bench_value_fill(v, id);
        cache_key_str(cache_key_init(&ck, l->type), tt_bench_key_part(&k));
        if (cache_set(l->cache, &ck, v, sizeof v, NULL) != CACHE_OK ||
            !tt_uthash_lru_set(l->one, k.text, k.len, v, sizeof v) ||
            !tt_uthash_lru_set(l->many, k.text, k.len, v, sizeof v))
            tt_bench_die("loading %s failed", k.text);
    }
    for (uint32_t id = 0; id < l->n_keys; id++) {
        struct cache_meta m;
        tt_bench_key_write(&k, id);
        cache_key_str(cache_key_init(&ck, l->type), tt_bench_key_part(&k));
        if (cache_get_copy(l->cache, &ck, v, sizeof v, &m) != CACHE_OK || !tt_bench_value_is_of(v, m.len, id))
            tt_bench_die("tiercache does not hold %s", k.text);
        if (!tt_uthash_lru_get(l->one, k.text, k.len, v, sizeof v, &len) || !tt_bench_value_is_of(v, len, id) ||
            !tt_uthash_lru_get(l->many, k.text, k.len, v, sizeof v, &len) || !tt_bench_value_is_of(v, len, id))
            tt_bench_die("a peer does not hold %s", k.text);
    }
}

static void make_sequences(struct l1 *l)
{
    for (unsigned t = 0; t < THREADS_MAX; t++) {
        l->ids[t] = tt_bench_sequence_make(l->n_ops, l->n_keys, 0.99, 20 + t);
        l->keys[t] = calloc(l->n_ops + TT_BENCH_AHEAD, sizeof *l->keys[t]);
        l->prebuilt[t] = calloc(l->n_ops + TT_BENCH_AHEAD, sizeof *l->prebuilt[t]);
        if (l->ids[t] == NULL || l->keys[t] == NULL || l->prebuilt[t] == NULL)
            tt_bench_die("out of memory");
        for (size_t i = 0; i < l->n_ops; i++) {
            struct tt_bench_key *k = &l->keys[t][i];
            tt_bench_key_write(k, l->ids[t][i]);
            cache_key_str(cache_key_init(&l->prebuilt[t][i], l->type), tt_bench_key_part(k));
        }
    }
}

static void close_subjects(struct l1 *l)
{
    for (unsigned t = 0; t < THREADS_MAX; t++) {
        free(l->ids[t]);
        free(l->keys[t]);
        free(l->prebuilt[t]);
    }
    tt_uthash_lru_close(l->one);
    tt_uthash_lru_close(l->many);
    if (cache_close(l->cache, 1000) != CACHE_OK)
        tt_bench_die("cache_close failed");
}

static void measure(struct tt_bench *b, struct l1 *l, const char *size, unsigned n_threads)
{
    char name[64];
    struct tt_bench_result r;
    enum tt_bench_clock clock = n_threads == 1 ? TT_BENCH_CPU : TT_BENCH_WALL;
    snprintf(name, sizeof name, "L1 get, %s keys", size);
    struct tt_bench_case get = {name, n_threads, clock, true, 0,
                                {{"uthash-mutex", body_one_get, l},
                                 {"uthash-x64", body_many_get, l},
                                 {"cache_get_copy", body_get_copy, l},
                                 {"cache_get (pinned)", body_get_pinned, l}},
                                4, {0, 1}, 2};
    tt_bench_run(b, &get, &r);
    if (n_threads == 2)
        tt_bench_gate(b, &get, &r, 2, GATE_GET);

    snprintf(name, sizeof name, "L1 set (replace), %s keys", size);
    struct tt_bench_case replace = {name, n_threads, clock, true, 0,
                                    {{"uthash-mutex", body_one_set, l},
                                     {"uthash-x64", body_many_set, l},
                                     {"cache_set", body_set, l}},
                                    3, {0, 1}, 2};
    tt_bench_run(b, &replace, &r);
}

static void measure_size(struct tt_bench *b, uint32_t n_keys, const char *size)
{
    struct l1 l = {.n_keys = b->quick ? n_keys / 20 : n_keys, .n_ops = b->quick ? 50000 : 1000000};
    open_subjects(&l);
    load_and_verify(&l);
    make_sequences(&l);
    measure(b, &l, size, 1);
    measure(b, &l, size, 2);
    close_subjects(&l);
}

int main(int argc, char **argv)
{
    struct tt_bench b;
    tt_bench_init(&b, argc, argv, "L1: get and set in memory, 64-byte values, Zipf 0.99, everything fits");
    measure_size(&b, 1000000, "1M");
    measure_size(&b, 10000, "10k");
    return tt_bench_fini(&b);
}
