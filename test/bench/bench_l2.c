/* L2: get from a real Redis over a unix socket, against a hiredis connection for each thread; and a batch of 100 keys
 * against MGET. The type has no L1, so every get goes to Redis.
 *
 * What tiercache stores is a frame: the value with its key, lifetimes and a checksum. To move the same bytes, the peer
 * reads plain values of a frame's size under keys as long as tiercache's; it neither checks nor copies them beyond what
 * hiredis does. Threads are not pinned: client and server share the cores as they do in life. */
#include <stdlib.h>
#include <string.h>

#include "common/report.h"
#include "common/server.h"
#include "common/workload.h"
#include "peers/hiredis_conn.h"
#include "tiercache.h"

enum { THREADS_MAX = 64, BATCH = 100, PEER_VALUE_MAX = 1024, PEER_KEY_MAX = 256 };

static const double GATE_1 = 0.9;
static const double GATE_64 = 1.5;

struct peer_key {
    size_t len;
    char text[PEER_KEY_MAX];
};

struct l2 {
    struct tt_bench_server server;
    struct cache *cache;
    struct cache_type *type;
    struct tt_hiredis *conns[THREADS_MAX];
    uint32_t n_keys;
    size_t n_ops;
    size_t key_extra, value_bytes; /* what tiercache adds to a key, and the size of its frames */
    uint32_t *ids;
    struct cache_key *keys;     /* by id */
    struct peer_key *peer_keys; /* by id */
};

static size_t start_of(const struct l2 *l, const struct tt_bench_worker *w)
{
    return ((size_t)w->thread * 50021 + (size_t)w->round * 100003) % l->n_ops;
}

static void count(struct tt_bench_worker *w, bool right)
{
    w->ops += right;
    w->wrong += !right;
}

static void body_get(void *ctx, struct tt_bench_worker *w)
{
    const struct l2 *l = ctx;
    size_t pos = start_of(l, w);
    unsigned char buf[TT_BENCH_VALUE_BYTES];
    while (tt_bench_goes_on(w)) {
        uint32_t id = l->ids[pos];
        count(w, cache_get_copy(l->cache, &l->keys[id], buf, sizeof buf, NULL) == CACHE_OK &&
                     tt_bench_value_begins_with(buf, id));
        pos = pos + 1 < l->n_ops ? pos + 1 : 0;
    }
}

static void body_peer_get(void *ctx, struct tt_bench_worker *w)
{
    const struct l2 *l = ctx;
    size_t pos = start_of(l, w);
    unsigned char buf[PEER_VALUE_MAX];
    size_t len = 0;
    while (tt_bench_goes_on(w)) {
        uint32_t id = l->ids[pos];
        struct tt_bytes key = {l->peer_keys[id].text, l->peer_keys[id].len};
        count(w, tt_hiredis_get(l->conns[w->thread], key, buf, sizeof buf, &len) && len == l->value_bytes &&
                     tt_bench_value_begins_with(buf, id));
        pos = pos + 1 < l->n_ops ? pos + 1 : 0;
    }
}

static void body_get_many(void *ctx, struct tt_bench_worker *w)
{
    const struct l2 *l = ctx;
    size_t pos = start_of(l, w);
    while (tt_bench_goes_on(w)) {
        struct cache_item it[BATCH];
        memset(it, 0, sizeof it);
        for (size_t i = 0; i < BATCH; i++)
            it[i].key = &l->keys[l->ids[(pos + i) % l->n_ops]];
        cache_get_many(l->cache, it, BATCH, NULL);
        for (size_t i = 0; i < BATCH; i++) {
            bool found = it[i].status == CACHE_OK;
            count(w, found && tt_bench_value_begins_with(it[i].value.data, l->ids[(pos + i) % l->n_ops]));
            cache_value_release(&it[i].value);
        }
        pos = (pos + BATCH) % l->n_ops;
    }
}

struct mget {
    const struct l2 *l;
    size_t pos;
    unsigned right;
};

static void mget_found(void *arg, size_t i, struct tt_bytes value)
{
    struct mget *m = arg;
    unsigned char buf[PEER_VALUE_MAX];
    if (value.len > sizeof buf)
        return;
    memcpy(buf, value.data, value.len);
    m->right += tt_bench_value_begins_with(buf, m->l->ids[(m->pos + i) % m->l->n_ops]);
}

static void body_peer_mget(void *ctx, struct tt_bench_worker *w)
{
    struct mget m = {.l = ctx};
    m.pos = start_of(m.l, w);
    while (tt_bench_goes_on(w)) {
        struct tt_bytes keys[BATCH];
        for (size_t i = 0; i < BATCH; i++) {
            const struct peer_key *k = &m.l->peer_keys[m.l->ids[(m.pos + i) % m.l->n_ops]];
            keys[i] = (struct tt_bytes){k->text, k->len};
        }
        m.right = 0;
        tt_hiredis_mget(m.l->conns[w->thread], keys, BATCH, mget_found, &m);
        w->ops += m.right;
        w->wrong += BATCH - m.right;
        m.pos = (m.pos + BATCH) % m.l->n_ops;
    }
}

static void open_subjects(struct l2 *l)
{
    char err[256] = "";
    char url[128];
    struct cache_opts o = CACHE_OPTS_INIT;
    struct cache_type_opts t = CACHE_TYPE_OPTS_INIT;
    if (tt_bench_server_start(&l->server) != 0)
        exit(1);
    printf("Redis %s on a unix socket\n", l->server.version);
    snprintf(url, sizeof url, "unix://%s", l->server.socket_path);
    o.flags = CACHE_OPEN_REQUIRE_L2;
    o.l2_url = url;
    /* Long enough that a machine that stands still for a moment does not turn hits into misses. */
    o.timeout_ms = 10000;
    o.l2_timeout_ms = 10000;
    t.name = TT_BENCH_KEY_TYPE;
    t.flags = CACHE_TYPE_NO_L1;
    t.ttl_ms = 24 * 3600 * 1000;
    if (cache_open(&o, &l->cache, err, sizeof err) != CACHE_OK)
        tt_bench_die("cache_open: %s", err);
    if (cache_type_register(l->cache, &t, &l->type) != CACHE_OK)
        tt_bench_die("cache_type_register failed");
    for (unsigned i = 0; i < THREADS_MAX; i++)
        if ((l->conns[i] = tt_hiredis_open(l->server.socket_path)) == NULL)
            tt_bench_die("hiredis cannot connect");
    l->ids = tt_bench_sequence_make(l->n_ops, l->n_keys, 0, 30);
    l->keys = malloc(l->n_keys * sizeof *l->keys);
    l->peer_keys = malloc(l->n_keys * sizeof *l->peer_keys);
    if (l->ids == NULL || l->keys == NULL || l->peer_keys == NULL)
        tt_bench_die("out of memory");
}

/* Stores the first value and looks in Redis what became of it. */
static void learn_sizes(struct l2 *l)
{
    struct tt_bench_key k;
    unsigned char v[TT_BENCH_VALUE_BYTES];
    char pattern[64];
    size_t key_len = 0;
    tt_bench_key_write(&k, 0);
    tt_bench_value_fill(v, sizeof v, 0);
    if (cache_set(l->cache, &l->keys[0], v, sizeof v, NULL) != CACHE_OK)
        tt_bench_die("cache_set failed");
    snprintf(pattern, sizeof pattern, "*%s*", k.text);
    if (!tt_hiredis_sizes(l->conns[0], pattern, &key_len, &l->value_bytes))
        tt_bench_die("%s is not in Redis", k.text);
    if (key_len < k.len || key_len - k.len + sizeof k.text > PEER_KEY_MAX || l->value_bytes > PEER_VALUE_MAX ||
        l->value_bytes < sizeof v)
        tt_bench_die("unexpected sizes in Redis: key %zu, value %zu", key_len, l->value_bytes);
    l->key_extra = key_len - k.len;
    printf("tiercache keeps a value of %zu bytes as a frame of %zu under a key of %zu; the peer reads as much\n",
           sizeof v, l->value_bytes, key_len);
}

static void make_keys(struct l2 *l)
{
    struct tt_bench_key k;
    for (uint32_t id = 0; id < l->n_keys; id++) {
        tt_bench_key_write(&k, id);
        cache_key_str(cache_key_init(&l->keys[id], l->type), tt_bench_key_part(&k));
    }
    learn_sizes(l);
    for (uint32_t id = 0; id < l->n_keys; id++) {
        struct peer_key *p = &l->peer_keys[id];
        tt_bench_key_write(&k, id);
        memset(p->text, 'p', l->key_extra);
        memcpy(p->text + l->key_extra, k.text, k.len);
        p->len = l->key_extra + k.len;
    }
}

static void load_batch(struct l2 *l, uint32_t first, size_t n)
{
    static unsigned char frames[BATCH][PEER_VALUE_MAX];
    struct cache_item it[BATCH];
    struct tt_bytes keys[BATCH];
    struct tt_bytes values[BATCH];
    memset(it, 0, sizeof it);
    for (size_t i = 0; i < n; i++) {
        uint32_t id = first + (uint32_t)i;
        tt_bench_value_fill(frames[i], TT_BENCH_VALUE_BYTES, id);
        it[i].key = &l->keys[id];
        it[i].data = frames[i];
        it[i].len = TT_BENCH_VALUE_BYTES;
        keys[i] = (struct tt_bytes){l->peer_keys[id].text, l->peer_keys[id].len};
        values[i] = (struct tt_bytes){(const char *)frames[i], l->value_bytes};
    }
    int rc = cache_set_many(l->cache, it, n, NULL);
    for (size_t i = 0; i < n; i++)
        if (rc != CACHE_OK || it[i].status != CACHE_OK)
            tt_bench_die("cache_set_many: %s", cache_status_text(rc != CACHE_OK ? rc : it[i].status));
    if (!tt_hiredis_set_many(l->conns[0], keys, values, n))
        tt_bench_die("the peer's SET failed");
}

static void verify(struct l2 *l)
{
    unsigned char v[PEER_VALUE_MAX];
    for (uint32_t id = 0; id < l->n_keys; id++) {
        struct tt_bytes key = {l->peer_keys[id].text, l->peer_keys[id].len};
        struct cache_meta m;
        size_t len = 0;
        if (cache_get_copy(l->cache, &l->keys[id], v, sizeof v, &m) != CACHE_OK || !tt_bench_value_is_of(v, m.len, id))
            tt_bench_die("tiercache does not hold key %u", id);
        if (m.tier != CACHE_TIER_L2)
            tt_bench_die("key %u did not come from L2", id);
        if (!tt_hiredis_get(l->conns[0], key, v, sizeof v, &len) || len != l->value_bytes ||
            !tt_bench_value_is_of(v, TT_BENCH_VALUE_BYTES, id))
            tt_bench_die("the peer does not hold key %u", id);
    }
}

static void close_subjects(struct l2 *l)
{
    for (unsigned i = 0; i < THREADS_MAX; i++)
        tt_hiredis_close(l->conns[i]);
    free(l->ids);
    free(l->keys);
    free(l->peer_keys);
    if (cache_close(l->cache, 1000) != CACHE_OK)
        tt_bench_die("cache_close failed");
    tt_bench_server_stop(&l->server);
}

static void measure_get(struct tt_bench *b, struct l2 *l, unsigned n_threads, double gate)
{
    static struct tt_bench_result r;
    struct tt_bench_case c = {.name = "L2 get", .n_threads = n_threads, .clock = TT_BENCH_WALL, .server = l->server.pid,
                              .subjects = {{.name = "hiredis-per-thread", .body = body_peer_get, .ctx = l},
                                           {.name = "cache_get_copy", .body = body_get, .ctx = l}},
                              .n_subjects = 2, .n_references = 1};
    if (tt_bench_run(b, &c, &r) && gate > 0)
        tt_bench_gate(b, &c, &r, 1, gate);
}

static void measure_get_many(struct tt_bench *b, struct l2 *l)
{
    static struct tt_bench_result r;
    struct tt_bench_case c = {.name = "L2 get of 100 keys (per key)", .n_threads = 1, .clock = TT_BENCH_WALL,
                              .server = l->server.pid,
                              .subjects = {{.name = "hiredis MGET", .body = body_peer_mget, .ctx = l},
                                           {.name = "cache_get_many", .body = body_get_many, .ctx = l}},
                              .n_subjects = 2, .n_references = 1};
    tt_bench_run(b, &c, &r);
}

int main(int argc, char **argv)
{
    static struct l2 l = {.n_ops = 200000};
    struct tt_bench b;
    tt_bench_init(&b, argc, argv, "L2: get from Redis, 64-byte values, uniform over 100k keys");
    l.n_keys = b.quick ? 2000 : 100000;
    open_subjects(&l);
    make_keys(&l);
    for (uint32_t id = 0; id < l.n_keys; id += BATCH)
        load_batch(&l, id, l.n_keys - id < BATCH ? l.n_keys - id : BATCH);
    verify(&l);
    measure_get(&b, &l, 1, GATE_1);
    measure_get(&b, &l, 8, 0);
    measure_get(&b, &l, 64, GATE_64);
    measure_get_many(&b, &l);
    close_subjects(&l);
    return tt_bench_fini(&b);
}
