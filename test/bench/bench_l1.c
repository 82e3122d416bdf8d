/* L1, reading: get of values that all fit in memory, in many shapes, against the bare table and the peers. Every ratio
 * is to the bare table's get in the same round, at the same number of threads. cache_get_copy() copies the value out,
 * as the bare table and the peers do; cache_get() pins it, and is reported beside. */
#include <stdlib.h>
#include <string.h>

#include "common/loop.h"
#include "common/report.h"
#include "policy/key.h"

/* What is held of the bare table's speed, and what else is promised. */
static const double GATE_LARGE = 0.80;
static const double GATE_HUGE_PAGES = 0.85;
static const double GATE_SMALL = 0.70;
static const double GATE_4_THREADS = 0.75;
static const double GATE_4_THREADS_TAIL_NS = 1500;
static const double GATE_SCALING = 1.9;
static const double GATE_HOT = 1 / 1.5;
static const double GATE_BATCH = 1.4;

/* ---- bodies ---- */

TT_LOOP_INLINE enum tt_answer get_pinned(const struct tt_task *t, unsigned thread, size_t pos, unsigned char *buf)
{
    struct cache_value v;
    (void)buf;
    if (cache_get(t->l1->cache, &t->seq->prebuilt[thread][pos], NULL, &v) != CACHE_OK)
        return TT_WRONG;
    bool right = tt_bench_value_begins_with(v.data, t->seq->ids[thread][pos]);
    cache_value_release(&v);
    return tt_right_if(right, TT_HIT);
}

/* As if nobody had looked the key up before: it has to be hashed, and keeps that (which is one line more that is written,
 * where a key that a server makes for the call lies in the processor's cache). */
TT_LOOP_INLINE enum tt_answer get_hashed(const struct tt_task *t, unsigned thread, size_t pos, unsigned char *buf)
{
    tc_key_keep_hash((const struct tc_key *)&t->seq->prebuilt[thread][pos], 0);
    return tt_op_get_copy(t, thread, pos, buf);
}

static void body_hashed(void *t, struct tt_bench_worker *w)
{
    tt_loop_ours(t, w, get_hashed);
}

static void body_copy(void *t, struct tt_bench_worker *w)
{
    tt_loop_ours(t, w, tt_op_get_copy);
}

static void body_pinned(void *t, struct tt_bench_worker *w)
{
    tt_loop_ours(t, w, get_pinned);
}

static void body_peer(void *t, struct tt_bench_worker *w)
{
    tt_loop_peer(t, w, tt_op_peer_get);
}

/* A batch of the sequence's next n keys; the answers that were right. */
static unsigned get_batch(const struct tt_task *t, unsigned thread, size_t pos, struct cache_item *it, unsigned n)
{
    unsigned right = 0;
    for (unsigned i = 0; i < n; i++) {
        tt_bench_fetch_key(&t->seq->prebuilt[thread][pos + n + i]);
        it[i].key = &t->seq->prebuilt[thread][pos + i];
    }
    cache_get_many(t->l1->cache, it, n, NULL);
    for (unsigned i = 0; i < n; i++) {
        right += it[i].status == CACHE_OK &&
                 tt_bench_value_begins_with(it[i].value.data, t->seq->ids[thread][pos + i]);
        cache_value_release(&it[i].value);
    }
    return right;
}

static void batches(const struct tt_task *t, struct tt_bench_worker *w, unsigned n)
{
    struct cache_item it[32];
    size_t end = t->seq->n - 2 * n;
    size_t pos = (size_t)w->round * 100003 % end;
    memset(it, 0, sizeof it);
    while (tt_bench_goes_on(w)) {
        unsigned right = get_batch(t, w->thread, pos, it, n);
        w->ops += right;
        w->wrong += n - right;
        pos = pos + n < end ? pos + n : 0;
    }
}

static void body_batch_16(void *t, struct tt_bench_worker *w)
{
    batches(t, w, 16);
}

static void body_batch_32(void *t, struct tt_bench_worker *w)
{
    batches(t, w, 32);
}

/* ---- cases ---- */

/* What a get is held to, besides being faster than every peer; 0 = nothing. */
struct gates {
    double speed, scaling, tail_ns;
};

static void measure_get(struct tt_bench *b, struct tt_l1 *l, struct tt_sequence *seq, const char *name,
                        unsigned n_threads, struct gates g)
{
    static struct tt_bench_result r;
    struct tt_l1_case k;
    size_t alone = 0;
    if (!tt_l1_case_begin(b, &k, l, seq, name, n_threads))
        return;
    size_t copy = tt_l1_case_add(&k, "cache_get_copy", body_copy);
    if (g.scaling > 0) {
        alone = tt_l1_case_add(&k, "cache_get_copy, 1 thread", body_copy);
        k.c.subjects[alone].n_threads = 1;
    }
    tt_l1_case_add(&k, "the same, hashed each time", body_hashed);
    tt_l1_case_add(&k, "cache_get (pinned)", body_pinned);
    size_t peers = tt_l1_case_add_peers(&k, 0, body_peer);
    tt_bench_run(b, &k.c, &r);
    if (g.speed > 0)
        tt_bench_gate(b, &k.c, &r, copy, g.speed);
    if (g.scaling > 0)
        tt_bench_gate_against(b, &k.c, &r, (struct tt_bench_pair){copy, alone}, g.scaling);
    if (g.tail_ns > 0)
        tt_bench_gate_tail(b, &k.c, &r, copy, g.tail_ns);
    tt_bench_gate_faster(b, &k.c, &r, copy, peers);
}

/* What is reported and not held to anything. */
static void print_ratio(const char *what, struct tt_bench_ratio q)
{
    if (q.n_qualifying >= TT_BENCH_QUALIFYING_MIN)
        printf("     %s: %.2f\n", what, q.median);
}

/* One key that every thread asks for all the time, beside keys of which no thread often meets another's. */
static void measure_hot_key(struct tt_bench *b, struct tt_l1 *l, struct tt_sequence *hot, struct tt_sequence *spread)
{
    static struct tt_bench_result r;
    struct tt_l1_case k;
    if (!tt_l1_case_begin(b, &k, l, hot, "L1 get, one hot key", 2))
        return;
    tt_sequence_need(spread, l->type, 2);
    size_t copy = tt_l1_case_add(&k, "cache_get_copy", body_copy);
    size_t pinned = tt_l1_case_add(&k, "cache_get (pinned)", body_pinned);
    size_t copy_spread = tt_l1_case_add(&k, "cache_get_copy, spread", body_copy);
    size_t pinned_spread = tt_l1_case_add(&k, "cache_get (pinned), spread", body_pinned);
    size_t peers = tt_l1_case_add_peers(&k, 0, body_peer);
    k.tasks[copy_spread].seq = spread;
    k.tasks[pinned_spread].seq = spread;
    tt_bench_run(b, &k.c, &r);
    tt_bench_gate_against(b, &k.c, &r, (struct tt_bench_pair){copy, copy_spread}, GATE_HOT);
    tt_bench_gate_faster(b, &k.c, &r, copy, peers);
    print_ratio("pinned, to its spread load", tt_bench_compare(&r, pinned, pinned_spread));
}

static void measure_batch(struct tt_bench *b, struct tt_l1 *l, struct tt_sequence *seq, unsigned n_threads)
{
    static struct tt_bench_result r;
    struct tt_l1_case k;
    if (!tt_l1_case_begin(b, &k, l, seq, "L1 get in batches, 1M keys, uniform", n_threads))
        return;
    size_t copy = tt_l1_case_add(&k, "cache_get_copy", body_copy);
    size_t pinned = tt_l1_case_add(&k, "cache_get (pinned)", body_pinned);
    size_t by_16 = tt_l1_case_add(&k, "cache_get_many of 16", body_batch_16);
    size_t by_32 = tt_l1_case_add(&k, "cache_get_many of 32", body_batch_32);
    k.c.references[k.c.n_references++] = pinned;
    tt_bench_run(b, &k.c, &r);
    tt_bench_gate_against(b, &k.c, &r, (struct tt_bench_pair){by_16, pinned}, GATE_BATCH);
    tt_bench_gate_against(b, &k.c, &r, (struct tt_bench_pair){by_32, pinned}, GATE_BATCH);
    print_ratio("of 16, to single copies", tt_bench_compare(&r, by_16, copy));
    print_ratio("of 32, to single copies", tt_bench_compare(&r, by_32, copy));
}

static struct tt_sequence sequence(const struct tt_bench *b, const struct tt_l1 *l, double theta)
{
    return (struct tt_sequence){.n = b->quick ? 50000 : 1000000, .n_keys = l->n_keys, .theta = theta};
}

static struct tt_l1 table(const struct tt_bench *b, uint32_t n_keys, size_t value_bytes)
{
    return (struct tt_l1){.n_keys = b->quick ? n_keys / 20 : n_keys, .value_bytes = value_bytes};
}

static void measure_large(struct tt_bench *b)
{
    struct tt_l1 l = table(b, 1000000, 64);
    struct tt_sequence z99 = sequence(b, &l, 0.99);
    measure_get(b, &l, &z99, "L1 get, 1M keys, Zipf 0.99", 1, (struct gates){.speed = GATE_LARGE});
    measure_get(b, &l, &z99, "L1 get, 1M keys, Zipf 0.99", 2,
                (struct gates){.speed = GATE_LARGE, .scaling = GATE_SCALING});
    measure_get(b, &l, &z99, "L1 get, 1M keys, Zipf 0.99", 4,
                (struct gates){.speed = GATE_4_THREADS, .tail_ns = GATE_4_THREADS_TAIL_NS});
    tt_sequence_free(&z99);
    struct tt_sequence z80 = sequence(b, &l, 0.80);
    measure_get(b, &l, &z80, "L1 get, 1M keys, Zipf 0.8", 1, (struct gates){.speed = GATE_LARGE});
    measure_get(b, &l, &z80, "L1 get, 1M keys, Zipf 0.8", 2, (struct gates){.speed = GATE_LARGE});
    tt_sequence_free(&z80);
    struct tt_sequence uniform = sequence(b, &l, 0);
    measure_get(b, &l, &uniform, "L1 get, 1M keys, uniform", 1, (struct gates){.speed = GATE_LARGE});
    measure_get(b, &l, &uniform, "L1 get, 1M keys, uniform", 2, (struct gates){.speed = GATE_LARGE});
    measure_batch(b, &l, &uniform, 1);
    measure_batch(b, &l, &uniform, 2);
    tt_sequence_free(&uniform);
    tt_l1_close(&l);
}

/* The bare table stays in pages of the usual size. */
static void measure_huge_pages(struct tt_bench *b)
{
    struct tt_l1 l = table(b, 1000000, 64);
    l.huge_pages = true;
    struct tt_sequence z99 = sequence(b, &l, 0.99);
    measure_get(b, &l, &z99, "L1 get, 1M keys, Zipf 0.99, huge pages", 1, (struct gates){.speed = GATE_HUGE_PAGES});
    measure_get(b, &l, &z99, "L1 get, 1M keys, Zipf 0.99, huge pages", 2, (struct gates){.speed = GATE_HUGE_PAGES});
    tt_sequence_free(&z99);
    tt_l1_close(&l);
}

static void measure_small(struct tt_bench *b)
{
    struct tt_l1 l = table(b, 10000, 64);
    struct tt_sequence z99 = sequence(b, &l, 0.99);
    struct tt_sequence hot = sequence(b, &l, TT_BENCH_HOT);
    struct tt_sequence uniform = sequence(b, &l, 0);
    measure_get(b, &l, &z99, "L1 get, 10k keys, Zipf 0.99", 1, (struct gates){.speed = GATE_SMALL});
    measure_get(b, &l, &z99, "L1 get, 10k keys, Zipf 0.99", 2,
                (struct gates){.speed = GATE_SMALL, .scaling = GATE_SCALING});
    measure_hot_key(b, &l, &hot, &uniform);
    tt_sequence_free(&z99);
    tt_sequence_free(&hot);
    tt_sequence_free(&uniform);
    tt_l1_close(&l);
}

static void measure_value_size(struct tt_bench *b, size_t value_bytes, const char *name)
{
    struct tt_l1 l = table(b, 1000000, value_bytes);
    struct tt_sequence z99 = sequence(b, &l, 0.99);
    measure_get(b, &l, &z99, name, 1, (struct gates){.speed = GATE_LARGE});
    measure_get(b, &l, &z99, name, 2, (struct gates){.speed = GATE_LARGE});
    tt_sequence_free(&z99);
    tt_l1_close(&l);
}

int main(int argc, char **argv)
{
    struct tt_bench b;
    tt_bench_init(&b, argc, argv, "L1, reading: everything fits; values of 64 bytes unless it says otherwise");
    measure_large(&b);
    measure_huge_pages(&b);
    measure_small(&b);
    measure_value_size(&b, 8, "L1 get, 1M keys, Zipf 0.99, 8-byte values");
    measure_value_size(&b, 1024, "L1 get, 1M keys, Zipf 0.99, 1024-byte values");
    return tt_bench_fini(&b);
}
