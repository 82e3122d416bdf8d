/* The timed loop of the L1 benchmarks: the same for every subject, with the operation inlined into it. */
#ifndef TT_BENCH_LOOP_H
#define TT_BENCH_LOOP_H

#include "harness.h"
#include "l1.h"

enum { TT_LOOP_BLOCK = 64 };

#define TT_LOOP_INLINE static inline __attribute__((always_inline))

/* One operation on element pos of a thread's sequence. buf holds a value, whose two ends may be anybody's. */
typedef enum tt_answer tt_loop_op(const struct tt_task *t, unsigned thread, size_t pos, unsigned char *buf);

struct tt_loop_sum {
    uint64_t right, hits, all;
};

TT_LOOP_INLINE void tt_loop_count(struct tt_loop_sum *sum, enum tt_answer a)
{
    sum->right += a & 1u;
    sum->hits += (unsigned)a >> 1;
}

/* keys: what op reads of the thread's sequence, key_bytes each. The first operation of each block is timed alone. */
TT_LOOP_INLINE void tt_loop(struct tt_task *t, struct tt_bench_worker *w, const void *keys, size_t key_bytes,
                            tt_loop_op *op)
{
    const size_t n = t->seq->n;
    const unsigned thread = w->thread;
    unsigned char buf[TT_BENCH_VALUE_MAX];
    struct tt_loop_sum sum = {0};
    size_t pos = t->goes_on ? t->at[thread] : (size_t)w->round * 100003 % n;
    tt_bench_value_fill(buf, tt_bench_value_most(t->l1->value_bytes), 0);
    while (tt_bench_goes_on(w)) {
        for (unsigned i = 0; i < TT_LOOP_BLOCK; i++) {
            tt_bench_fetch_key((const char *)keys + (pos + TT_BENCH_AHEAD) * key_bytes);
            if (i == 0) {
                uint64_t begin = tt_ticks_begin();
                tt_loop_count(&sum, op(t, thread, pos, buf));
                tt_latency_add(w->latency, tt_ticks_end() - begin);
            } else {
                tt_loop_count(&sum, op(t, thread, pos, buf));
            }
            pos = pos + 1 < n ? pos + 1 : 0;
        }
        sum.all += TT_LOOP_BLOCK;
    }
    t->at[thread] = pos;
    w->ops = sum.right;
    w->wrong = sum.all - sum.right;
    w->hits = sum.hits;
}

TT_LOOP_INLINE void tt_loop_ours(struct tt_task *t, struct tt_bench_worker *w, tt_loop_op *op)
{
    tt_loop(t, w, t->seq->prebuilt[w->thread], sizeof *t->seq->prebuilt[0], op);
}

/* By the keys that peers take. */
TT_LOOP_INLINE void tt_loop_keys(struct tt_task *t, struct tt_bench_worker *w, tt_loop_op *op)
{
    tt_loop(t, w, t->seq->keys[w->thread], sizeof *t->seq->keys[0], op);
}

TT_LOOP_INLINE void tt_loop_peer(struct tt_task *t, struct tt_bench_worker *w, tt_loop_op *op)
{
    if (t->peer->enter != NULL)
        t->peer->enter(t->handle);
    tt_loop_keys(t, w, op);
    if (t->peer->leave != NULL)
        t->peer->leave(t->handle);
}

/* The operations that more than one case is made of. */

TT_LOOP_INLINE enum tt_answer tt_right_if(bool right, enum tt_answer answer)
{
    return right ? answer : TT_WRONG;
}

TT_LOOP_INLINE enum tt_answer tt_op_get_copy(const struct tt_task *t, unsigned thread, size_t pos, unsigned char *buf)
{
    int rc = cache_get_copy(t->l1->cache, &t->seq->prebuilt[thread][pos], buf, TT_BENCH_VALUE_MAX, NULL);
    return tt_right_if(rc == CACHE_OK && tt_bench_value_begins_with(buf, t->seq->ids[thread][pos]), TT_HIT);
}

TT_LOOP_INLINE enum tt_answer tt_op_set(const struct tt_task *t, unsigned thread, size_t pos, unsigned char *buf)
{
    tt_bench_value_mark(buf, t->l1->value_bytes, t->seq->ids[thread][pos]);
    int rc = cache_set(t->l1->cache, &t->seq->prebuilt[thread][pos], buf, t->l1->value_bytes, NULL);
    return tt_right_if(rc == CACHE_OK, TT_DONE);
}

/* The set is the answer to the miss; that of another thread, which came first, is as good. */
TT_LOOP_INLINE enum tt_answer tt_op_read_through(const struct tt_task *t, unsigned thread, size_t pos,
                                                 unsigned char *buf)
{
    const struct cache_key *k = &t->seq->prebuilt[thread][pos];
    uint32_t id = t->seq->ids[thread][pos];
    int rc = cache_get_copy(t->l1->cache, k, buf, TT_BENCH_VALUE_MAX, NULL);
    if (rc != CACHE_MISS)
        return tt_right_if(rc == CACHE_OK && tt_bench_value_begins_with(buf, id), TT_HIT);
    tt_bench_value_mark(buf, t->l1->value_bytes, id);
    rc = cache_set(t->l1->cache, k, buf, t->l1->value_bytes, NULL);
    return tt_right_if(rc == CACHE_OK || rc == CACHE_E_TICKET, TT_DONE);
}

TT_LOOP_INLINE enum tt_answer tt_op_peer_get(const struct tt_task *t, unsigned thread, size_t pos, unsigned char *buf)
{
    enum tt_answer a = t->peer->get(t->handle, &t->seq->keys[thread][pos].k, buf);
    return tt_right_if(tt_bench_value_begins_with(buf, t->seq->ids[thread][pos]), a);
}

TT_LOOP_INLINE enum tt_answer tt_op_peer_set(const struct tt_task *t, unsigned thread, size_t pos, unsigned char *buf)
{
    tt_bench_value_mark(buf, t->l1->value_bytes, t->seq->ids[thread][pos]);
    return t->peer->set(t->handle, &t->seq->keys[thread][pos].k, buf, t->l1->value_bytes);
}

#endif
