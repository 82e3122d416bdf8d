/* Sequences of keys. */
#include "sequence.h"

#include <stdlib.h>
#include <string.h>

#include "report.h"

static void *records(size_t n, size_t size)
{
    void *p = aligned_alloc(64, (n + TT_BENCH_AHEAD) * size);
    if (p == NULL)
        tt_bench_die("out of memory");
    memset(p, 0, (n + TT_BENCH_AHEAD) * size);
    return p;
}

static void make_thread(struct tt_sequence *s, const struct cache_type *t, unsigned thread)
{
    uint32_t *ids = tt_bench_sequence_make(s->n, s->n_keys, s->theta, 20 + thread);
    struct tt_sequence_key *keys = records(s->n, sizeof *keys);
    struct cache_key *prebuilt = records(s->n, sizeof *prebuilt);
    if (ids == NULL)
        tt_bench_die("out of memory");
    for (size_t i = 0; i < s->n; i++) {
        tt_bench_key_write(&keys[i].k, ids[i]);
        cache_key_str(cache_key_init(&prebuilt[i], t), tt_bench_key_part(&keys[i].k));
    }
    s->ids[thread] = ids;
    s->keys[thread] = keys;
    s->prebuilt[thread] = prebuilt;
}

void tt_sequence_need(struct tt_sequence *s, const struct cache_type *t, unsigned n_threads)
{
    for (; s->n_threads < n_threads; s->n_threads++)
        make_thread(s, t, s->n_threads);
}

void tt_sequence_free(struct tt_sequence *s)
{
    for (unsigned i = 0; i < s->n_threads; i++) {
        free(s->ids[i]);
        free(s->keys[i]);
        free(s->prebuilt[i]);
    }
    s->n_threads = 0;
}
