/* L1, why a hit costs what it costs where the table is larger than the processor's caches: the bare table's get with so
 * many instructions more that do nothing and wait for nothing, beside the bare table's and cache_get_copy(). A processor
 * begins the next look-up's accesses while this one waits for memory, as far as its window of instructions goes; each
 * look-up that no longer fits in is waited for alone. Nothing is held to anything here. */
#include "common/loop.h"
#include "common/report.h"

#define TEXT(number) TEXT_OF(number)
#define TEXT_OF(tokens) #tokens

#define PADDED(count)                                                                                                 \
    TT_LOOP_INLINE enum tt_answer get_and_##count(const struct tt_task *t, unsigned thread, size_t pos,               \
                                                  unsigned char *buf)                                                 \
    {                                                                                                                 \
        enum tt_answer a = tt_bare_get(t->l1->bare, &t->seq->keys[thread][pos].k, buf);                               \
        __asm__ volatile(".rept " TEXT(count) "\n\tnop\n\t.endr");                                                    \
        return tt_right_if(tt_bench_value_begins_with(buf, t->seq->ids[thread][pos]), a);                             \
    }                                                                                                                 \
    static void body_##count(void *ctx, struct tt_bench_worker *w)                                                    \
    {                                                                                                                 \
        struct tt_task *t = ctx;                                                                                      \
        tt_loop(t, w, t->seq->keys[w->thread], sizeof *t->seq->keys[0], get_and_##count);                             \
    }

PADDED(50)
PADDED(100)
PADDED(150)
PADDED(200)
PADDED(250)

static void body_copy(void *t, struct tt_bench_worker *w)
{
    tt_loop_ours(t, w, tt_op_get_copy);
}

static void measure(struct tt_bench *b, struct tt_l1 *l, double theta, const char *name)
{
    static struct tt_bench_result r;
    struct tt_l1_case k;
    struct tt_sequence seq = {.n = b->quick ? 50000 : 1000000, .n_keys = l->n_keys, .theta = theta};
    if (!tt_l1_case_begin(b, &k, l, &seq, name, 1))
        return;
    tt_l1_case_add(&k, "50 instructions more", body_50);
    tt_l1_case_add(&k, "100 instructions more", body_100);
    tt_l1_case_add(&k, "150 instructions more", body_150);
    tt_l1_case_add(&k, "200 instructions more", body_200);
    tt_l1_case_add(&k, "250 instructions more", body_250);
    tt_l1_case_add(&k, "cache_get_copy", body_copy);
    tt_bench_run(b, &k.c, &r);
    tt_sequence_free(&seq);
}

int main(int argc, char **argv)
{
    struct tt_bench b;
    tt_bench_init(&b, argc, argv, "L1, reading: what instructions cost beside look-ups that wait for memory");
    struct tt_l1 l = {.n_keys = b.quick ? 50000 : 1000000, .value_bytes = 64};
    measure(&b, &l, 0.99, "L1 window, 1M keys, Zipf 0.99");
    measure(&b, &l, 0, "L1 window, 1M keys, uniform");
    tt_l1_close(&l);
    return tt_bench_fini(&b);
}
