/* L1, writing: gets with some sets among them, sets that replace, sets that make room, and read-through. Every ratio is
 * to the bare table's get in the same round, at the same number of threads: it says what writing costs over the
 * cheapest read there is.
 *
 * Where something has to go, tiercache holds a tenth of the keys, and each peer that evicts holds as many entries. The
 * hit ratio of the read-through is compared with that of an exact LRU, of as many entries, on the same operations. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/exact_lru.h"
#include "common/loop.h"
#include "common/report.h"

static const double GATE_MIXED_LARGE = 0.70;
static const double GATE_MIXED_SMALL = 0.40;
static const double GATE_REPLACE[] = {0.60, 0.45}; /* at 1 and 2 threads */
static const double GATE_CHURN[] = {0.70, 0.45};
static const double GATE_READ_THROUGH[] = {0.70, 0.50};
static const double GATE_SET_TAIL_NS = 2000;
static const double GATE_HITS_BELOW_LRU = 0.002;

/* ---- bodies ---- */

/* One operation in twenty, at places that no predictor of branches learns. */
TT_LOOP_INLINE bool is_set(size_t pos)
{
    return (uint32_t)pos * UINT32_C(2654435769) < UINT32_MAX / 20;
}

TT_LOOP_INLINE enum tt_answer mixed(const struct tt_task *t, unsigned thread, size_t pos, unsigned char *buf)
{
    return is_set(pos) ? tt_op_set(t, thread, pos, buf) : tt_op_get_copy(t, thread, pos, buf);
}

TT_LOOP_INLINE enum tt_answer peer_mixed(const struct tt_task *t, unsigned thread, size_t pos, unsigned char *buf)
{
    return is_set(pos) ? tt_op_peer_set(t, thread, pos, buf) : tt_op_peer_get(t, thread, pos, buf);
}

TT_LOOP_INLINE enum tt_answer peer_read_through(const struct tt_task *t, unsigned thread, size_t pos,
                                                unsigned char *buf)
{
    enum tt_answer a = t->peer->get(t->handle, &t->seq->keys[thread][pos].k, buf);
    if (a == TT_WRONG)
        return tt_op_peer_set(t, thread, pos, buf);
    return tt_right_if(tt_bench_value_begins_with(buf, t->seq->ids[thread][pos]), a);
}

/* Where values have sizes of their own. */
TT_LOOP_INLINE enum tt_answer set_sized(const struct tt_task *t, unsigned thread, size_t pos, unsigned char *buf)
{
    uint32_t id = t->seq->ids[thread][pos];
    size_t len = tt_bench_value_bytes(TT_BENCH_ALL_SIZES, id);
    tt_bench_value_mark(buf, len, id);
    int rc = cache_set(t->l1->cache, &t->seq->prebuilt[thread][pos], buf, len, NULL);
    tt_bench_value_unmark(buf, len);
    return tt_right_if(rc == CACHE_OK, TT_DONE);
}

TT_LOOP_INLINE enum tt_answer peer_set_sized(const struct tt_task *t, unsigned thread, size_t pos, unsigned char *buf)
{
    uint32_t id = t->seq->ids[thread][pos];
    size_t len = tt_bench_value_bytes(TT_BENCH_ALL_SIZES, id);
    tt_bench_value_mark(buf, len, id);
    enum tt_answer a = t->peer->set(t->handle, &t->seq->keys[thread][pos].k, buf, len);
    tt_bench_value_unmark(buf, len);
    return a;
}

static void body_mixed(void *t, struct tt_bench_worker *w)
{
    tt_loop_ours(t, w, mixed);
}

static void body_peer_mixed(void *t, struct tt_bench_worker *w)
{
    tt_loop_peer(t, w, peer_mixed);
}

static void body_set(void *t, struct tt_bench_worker *w)
{
    tt_loop_ours(t, w, tt_op_set);
}

static void body_peer_set(void *t, struct tt_bench_worker *w)
{
    tt_loop_peer(t, w, tt_op_peer_set);
}

static void body_set_sized(void *t, struct tt_bench_worker *w)
{
    tt_loop_ours(t, w, set_sized);
}

static void body_peer_set_sized(void *t, struct tt_bench_worker *w)
{
    tt_loop_peer(t, w, peer_set_sized);
}

static void body_read_through(void *t, struct tt_bench_worker *w)
{
    tt_loop_ours(t, w, tt_op_read_through);
}

static void body_peer_read_through(void *t, struct tt_bench_worker *w)
{
    tt_loop_peer(t, w, peer_read_through);
}

/* ---- cases ---- */

/* One question: what tiercache does, what the peers do, who of them takes part, and what is promised (0 = nothing). */
struct question {
    const char *name;
    const char *ours;
    tt_bench_body_fn *body, *peer_body;
    unsigned peers_can;
    bool shows_hits;
    double speed, tail_ns;
};

/* False: left out. */
static bool measure(struct tt_bench *b, struct tt_l1 *l, struct tt_sequence *seq, const struct question *q,
                    unsigned n_threads)
{
    static struct tt_bench_result r;
    struct tt_l1_case k;
    if (!tt_l1_case_begin(b, &k, l, seq, q->name, n_threads))
        return false;
    k.c.shows_hits = q->shows_hits;
    size_t ours = tt_l1_case_add(&k, q->ours, q->body);
    size_t peers = tt_l1_case_add_peers(&k, q->peers_can, q->peer_body);
    tt_bench_run(b, &k.c, &r);
    tt_l1_verify(l);
    if (q->speed > 0)
        tt_bench_gate(b, &k.c, &r, ours, q->speed);
    if (q->tail_ns > 0)
        tt_bench_gate_tail(b, &k.c, &r, ours, q->tail_ns);
    tt_bench_gate_faster(b, &k.c, &r, ours, peers);
    return true;
}

static struct tt_sequence sequence(const struct tt_bench *b, const struct tt_l1 *l, double theta)
{
    return (struct tt_sequence){.n = b->quick ? 50000 : 1000000, .n_keys = l->n_keys, .theta = theta};
}

static struct tt_l1 table(const struct tt_bench *b, uint32_t n_keys, bool limited)
{
    return (struct tt_l1){.n_keys = b->quick ? n_keys / 20 : n_keys, .value_bytes = 64, .limited = limited};
}

static void measure_mixed(struct tt_bench *b, struct tt_l1 *l, struct tt_sequence *seq, const char *name, double gate)
{
    struct question q = {.name = name, .ours = "cache_get_copy, cache_set", .body = body_mixed,
                         .peer_body = body_peer_mixed, .peers_can = TT_PEER_SETS, .speed = gate};
    measure(b, l, seq, &q, 2);
}

static void measure_replace(struct tt_bench *b, struct tt_l1 *l, struct tt_sequence *seq, unsigned n_threads)
{
    struct question q = {.name = "L1 set (replace), 1M keys, Zipf 0.99", .ours = "cache_set", .body = body_set,
                         .peer_body = body_peer_set, .peers_can = TT_PEER_SETS, .speed = GATE_REPLACE[n_threads - 1],
                         .tail_ns = GATE_SET_TAIL_NS};
    measure(b, l, seq, &q, n_threads);
}

static void measure_churn(struct tt_bench *b, struct tt_l1 *l, struct tt_sequence *seq, unsigned n_threads)
{
    struct question q = {.name = "L1 set with eviction, 1M keys, room for 10 %, uniform", .ours = "cache_set",
                         .body = body_set, .peer_body = body_peer_set, .peers_can = TT_PEER_SETS,
                         .speed = GATE_CHURN[n_threads - 1]};
    measure(b, l, seq, &q, n_threads);
}

/* Of a size that most caches hold much of. Peers allocate each, and copy as much. */
static void measure_churn_large(struct tt_bench *b)
{
    struct tt_l1 l = table(b, 1000000, true);
    l.value_bytes = 1000;
    struct tt_sequence seq = sequence(b, &l, 0);
    struct question q = {.name = "L1 set with eviction, 1,000-byte values, 1M keys, room for 10 %, uniform",
                         .ours = "cache_set", .body = body_set, .peer_body = body_peer_set, .peers_can = TT_PEER_SETS};
    measure(b, &l, &seq, &q, 1);
    measure(b, &l, &seq, &q, 2);
    tt_sequence_free(&seq);
    tt_l1_close(&l);
}

/* What comes is seldom as large as what leaves. */
static void measure_churn_sized(struct tt_bench *b, struct tt_l1 *l, struct tt_sequence *seq, unsigned n_threads)
{
    struct question q = {.name = "L1 set with eviction, values of 8 to 1,024 bytes, 1M keys, room for 10 %, uniform",
                         .ours = "cache_set", .body = body_set_sized, .peer_body = body_peer_set_sized,
                         .peers_can = TT_PEER_SETS};
    measure(b, l, seq, &q, n_threads);
}

/* ---- the hit ratio ---- */

enum { SAMPLES = 16 };

struct pass {
    pthread_t id;
    struct tt_task task;
    unsigned thread;
    uint64_t hits, wrong;
    uint64_t entries_sum; /* of SAMPLES readings, by thread 0 */
};

static void *pass_main(void *arg)
{
    struct pass *p = arg;
    const struct tt_sequence *seq = p->task.seq;
    unsigned char buf[TT_BENCH_VALUE_MAX];
    size_t sample_at = seq->n / SAMPLES;
    p->hits = p->wrong = p->entries_sum = 0;
    tt_bench_value_fill(buf, p->task.l1->value_bytes, 0);
    for (size_t i = 0; i < seq->n; i++) {
        enum tt_answer a = tt_op_read_through(&p->task, p->thread, i, buf);
        p->hits += a == TT_HIT;
        p->wrong += a == TT_WRONG;
        if (p->thread == 0 && (i + 1) % sample_at == 0 && (i + 1) / sample_at <= SAMPLES)
            p->entries_sum += tt_l1_entries(p->task.l1->cache);
    }
    return NULL;
}

static void passes_run(struct pass *p, unsigned n_threads)
{
    for (unsigned i = 0; i < n_threads; i++)
        if (pthread_create(&p[i].id, NULL, pass_main, &p[i]) != 0)
            tt_bench_die("cannot start a thread");
    for (unsigned i = 0; i < n_threads; i++)
        pthread_join(p[i].id, NULL);
}

/* Each thread reads through its whole sequence, twice; the second time counts. */
static void compare_hits(struct tt_bench *b, const struct tt_l1 *l, const struct tt_sequence *seq, unsigned n_threads)
{
    struct pass p[TT_THREADS_MAX];
    uint64_t hits = 0;
    char what[128];
    for (unsigned i = 0; i < n_threads; i++)
        p[i] = (struct pass){.task = {.l1 = l, .seq = seq}, .thread = i};
    passes_run(p, n_threads);
    passes_run(p, n_threads);
    for (unsigned i = 0; i < n_threads; i++) {
        hits += p[i].hits;
        if (p[i].wrong > 0)
            tt_bench_die("%llu wrong answers in a read-through", (unsigned long long)p[i].wrong);
    }
    uint64_t entries = p[0].entries_sum / SAMPLES;
    double ours = (double)hits / ((double)seq->n * n_threads);
    double lru = tt_exact_lru_hits(seq, n_threads, entries);
    printf("     hit ratio %.4f; of an exact LRU of %llu entries, which is what the cache held on average, %.4f\n",
           ours, (unsigned long long)entries, lru);
    snprintf(what, sizeof what, "L1 read-through, %u thread%s: hit ratio", n_threads, n_threads == 1 ? "" : "s");
    tt_bench_gate_value(b, what, ours, lru - GATE_HITS_BELOW_LRU, false);
}

static void measure_read_through(struct tt_bench *b, struct tt_l1 *l, struct tt_sequence *seq, unsigned n_threads)
{
    struct question q = {.name = "L1 read-through, 1M keys, room for 10 %, Zipf 0.99",
                         .ours = "cache_get_copy, cache_set", .body = body_read_through,
                         .peer_body = body_peer_read_through, .shows_hits = true,
                         .speed = GATE_READ_THROUGH[n_threads - 1]};
    if (measure(b, l, seq, &q, n_threads))
        compare_hits(b, l, seq, n_threads);
}

/* ---- the program ---- */

int main(int argc, char **argv)
{
    struct tt_bench b;
    tt_bench_init(&b, argc, argv, "L1, writing: values of 64 bytes, where nothing else is said");

    struct tt_l1 large = table(&b, 1000000, false);
    struct tt_sequence z99 = sequence(&b, &large, 0.99);
    measure_mixed(&b, &large, &z99, "L1 95 % get, 5 % set, 1M keys, Zipf 0.99", GATE_MIXED_LARGE);
    measure_replace(&b, &large, &z99, 1);
    measure_replace(&b, &large, &z99, 2);
    tt_sequence_free(&z99);
    tt_l1_close(&large);

    struct tt_l1 small = table(&b, 10000, false);
    struct tt_sequence small_z99 = sequence(&b, &small, 0.99);
    measure_mixed(&b, &small, &small_z99, "L1 95 % get, 5 % set, 10k keys, Zipf 0.99", GATE_MIXED_SMALL);
    tt_sequence_free(&small_z99);
    tt_l1_close(&small);

    struct tt_l1 limited = table(&b, 1000000, true);
    struct tt_sequence uniform = sequence(&b, &limited, 0);
    struct tt_sequence popular = sequence(&b, &limited, 0.99);
    measure_churn(&b, &limited, &uniform, 1);
    measure_churn(&b, &limited, &uniform, 2);
    measure_read_through(&b, &limited, &popular, 1);
    measure_read_through(&b, &limited, &popular, 2);
    tt_sequence_free(&uniform);
    tt_sequence_free(&popular);
    tt_l1_close(&limited);

    measure_churn_large(&b);

    struct tt_l1 sized = table(&b, 1000000, true);
    sized.value_bytes = TT_BENCH_ALL_SIZES;
    struct tt_sequence sized_uniform = sequence(&b, &sized, 0);
    measure_churn_sized(&b, &sized, &sized_uniform, 1);
    measure_churn_sized(&b, &sized, &sized_uniform, 2);
    tt_sequence_free(&sized_uniform);
    tt_l1_close(&sized);
    return tt_bench_fini(&b);
}
