/* L1, why a hit and a set cost what they cost where the table is larger than the processor's caches. A processor begins
 * the next call's accesses while this one waits for memory, as far as its window of instructions goes; what no longer
 * fits in is waited for alone, and a locked instruction lets nothing in.
 *
 * - The bare table's get with so many instructions more that do nothing and wait for nothing, beside the bare table's
 *   and cache_get_copy().
 * - The bare table's set over the value before, without locked instructions, with the one that a lock or a claim takes
 *   and the one that ends it, and with a third for a counter as that of invalidations, beside cache_set().
 * - The least that a set which evicts can do, in as many rings as there are stripes: without locked instructions, and
 *   with these three and the two of a ring's lock, beside cache_set() where there is room for a tenth of the keys. With
 *   two threads what is written comes from the other processor half of the time. And the least that a read-through can
 *   do: a get in such a ring, without a lock, and such a set where the key is not there.
 *
 * Nothing is held to anything here. */
#include <sched.h>
#include <string.h>

#include "common/bare_ring.h"
#include "common/loop.h"
#include "common/report.h"

/* ---- sets ---- */

enum { COUNTERS = 4096 };

static uint64_t counters[COUNTERS * 2];

/* A locked instruction on an entry's first line that changes nothing. */
static inline void lock_word(uint32_t *word)
{
    uint32_t is = *word;
    __atomic_compare_exchange_n(word, &is, is, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

TT_LOOP_INLINE enum tt_answer set_over(const struct tt_task *t, unsigned thread, size_t pos, unsigned char *buf,
                                       unsigned locked)
{
    const struct tt_bench_key *k = &t->seq->keys[thread][pos].k;
    struct tt_bare *b = t->l1->bare;
    uint64_t hash = XXH3_64bits(k->text, k->len);
    struct tt_bare_entry *e = (void *)(b->arena + (size_t)tt_bare_find(b, k, hash)->offset * 8);
    tt_bench_value_mark(buf, t->l1->value_bytes, t->seq->ids[thread][pos]);
    if (locked > 0)
        lock_word(&e->key_len);
    if (locked > 2)
        __atomic_fetch_add(&counters[hash % COUNTERS * 2], 1, __ATOMIC_RELEASE);
    memcpy(e->bytes + e->key_len, buf, e->value_len);
    if (locked > 1)
        lock_word(&e->key_len);
    return TT_DONE;
}

#define SETTING(locked)                                                                                               \
    TT_LOOP_INLINE enum tt_answer set_with_##locked(const struct tt_task *t, unsigned thread, size_t pos,             \
                                                    unsigned char *buf)                                               \
    {                                                                                                                 \
        return set_over(t, thread, pos, buf, locked);                                                                 \
    }                                                                                                                 \
    static void body_set_##locked(void *ctx, struct tt_bench_worker *w)                                               \
    {                                                                                                                 \
        tt_loop_keys(ctx, w, set_with_##locked);                                                                      \
    }

SETTING(0)
SETTING(2)
SETTING(3)

static void body_set(void *t, struct tt_bench_worker *w)
{
    tt_loop_ours(t, w, tt_op_set);
}

static void measure_sets(struct tt_bench *b, struct tt_l1 *l, double theta, const char *name)
{
    static struct tt_bench_result r;
    struct tt_l1_case k;
    struct tt_sequence seq = {.n = b->quick ? 50000 : 1000000, .n_keys = l->n_keys, .theta = theta};
    if (!tt_l1_case_begin(b, &k, l, &seq, name, 1))
        return;
    tt_l1_case_add(&k, "bare table set", body_set_0);
    tt_l1_case_add(&k, "with 2 locked instructions", body_set_2);
    tt_l1_case_add(&k, "with 3 locked instructions", body_set_3);
    tt_l1_case_add(&k, "cache_set", body_set);
    tt_bench_run(b, &k.c, &r);
    tt_sequence_free(&seq);
}

/* ---- sets that evict ---- */

enum { RINGS_LOG2 = 5, RINGS = 1 << RINGS_LOG2, LINE = 64 };

/* Each with a lock of its own on its line, as a stripe has. */
static struct {
    _Alignas(LINE) uint32_t taken;
    struct tt_ring ring;
} rings[RINGS];

static void take(uint32_t *taken)
{
    while (__atomic_exchange_n(taken, 1, __ATOMIC_ACQUIRE) != 0)
        while (__atomic_load_n(taken, __ATOMIC_RELAXED) != 0)
            sched_yield();
}

static inline size_t ring_of(uint32_t id)
{
    return id * UINT32_C(2654435769) >> (32 - RINGS_LOG2);
}

/* The version is what claims an entry. */
static inline void set_hashed(uint32_t id, const struct tt_bench_key *k, uint32_t hash, const unsigned char *value,
                              bool locked)
{
    size_t i = ring_of(id);
    if (locked)
        take(&rings[i].taken);
    struct tt_ring_entry *e = tt_ring_find_or_evict(&rings[i].ring, k, hash);
    if (locked)
        __atomic_fetch_add(&e->version, 1, __ATOMIC_ACQ_REL);
    tt_ring_write(e, k, hash, value);
    if (locked) {
        __atomic_fetch_add(&e->version, 1, __ATOMIC_ACQ_REL);
        __atomic_fetch_add(&counters[id % COUNTERS * 2], 1, __ATOMIC_RELEASE);
        __atomic_exchange_n(&rings[i].taken, 0, __ATOMIC_RELEASE);
    }
}

TT_LOOP_INLINE enum tt_answer set_in_ring(const struct tt_task *t, unsigned thread, size_t pos, unsigned char *buf,
                                          bool locked)
{
    const struct tt_bench_key *k = &t->seq->keys[thread][pos].k;
    uint32_t id = t->seq->ids[thread][pos];
    tt_bench_value_mark(buf, TT_BENCH_VALUE_BYTES, id);
    set_hashed(id, k, (uint32_t)XXH3_64bits(k->text, k->len), buf, locked);
    return TT_DONE;
}

TT_LOOP_INLINE enum tt_answer read_through_ring(const struct tt_task *t, unsigned thread, size_t pos,
                                                unsigned char *buf, bool locked)
{
    const struct tt_bench_key *k = &t->seq->keys[thread][pos].k;
    uint32_t id = t->seq->ids[thread][pos], hash = (uint32_t)XXH3_64bits(k->text, k->len);
    if (tt_ring_get(&rings[ring_of(id)].ring, k, hash, buf))
        return tt_right_if(tt_bench_value_begins_with(buf, id), TT_HIT);
    tt_bench_value_mark(buf, TT_BENCH_VALUE_BYTES, id);
    set_hashed(id, k, hash, buf, locked);
    return TT_DONE;
}

#define RINGING(what, name, locked)                                                                                   \
    TT_LOOP_INLINE enum tt_answer name(const struct tt_task *t, unsigned thread, size_t pos, unsigned char *buf)      \
    {                                                                                                                 \
        return what(t, thread, pos, buf, locked);                                                                     \
    }                                                                                                                 \
    static void body_##name(void *t, struct tt_bench_worker *w)                                                       \
    {                                                                                                                 \
        tt_loop_keys(t, w, name);                                                                                     \
    }

RINGING(set_in_ring, set_in_bare_ring, false)
RINGING(set_in_ring, set_in_locked_ring, true)
RINGING(read_through_ring, read_through_bare_ring, false)
RINGING(read_through_ring, read_through_locked_ring, true)

static void body_read_through(void *t, struct tt_bench_worker *w)
{
    tt_loop_ours(t, w, tt_op_read_through);
}

static void verify(const struct tt_bench *b, const struct tt_ring *r)
{
    uint32_t there = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        const struct tt_ring_entry *e = &r->entries[i];
        struct tt_bench_key k = {.len = (uint8_t)e->key_len};
        memcpy(k.text, e->bytes, e->key_len);
        there += e->key_len > 0;
        if (e->key_len > 0 && !tt_bench_value_is_of(e->bytes + e->key_len, TT_BENCH_VALUE_BYTES, tt_bench_key_id(&k)))
            tt_bench_die("the ring has another key's value");
    }
    for (uint32_t i = 0; i <= r->mask; i++)
        there -= r->slots[i].number > 0;
    if (there != 0 || (!b->quick && r->entries[r->n - 1].key_len == 0))
        tt_bench_die("the ring is not what was listed");
}

static void measure_evicting(struct tt_bench *b, struct tt_l1 *l, const char *name, double theta, unsigned threads)
{
    static struct tt_bench_result r;
    struct tt_l1_case k;
    bool reads = theta > 0;
    struct tt_sequence seq = {.n = b->quick ? 50000 : 1000000, .n_keys = l->n_keys, .theta = theta};
    if (!tt_l1_case_begin(b, &k, l, &seq, name, threads))
        return;
    k.c.shows_hits = reads;
    for (int i = 0; i < RINGS; i++)
        if (!tt_ring_open(&rings[i].ring, (uint32_t)l->l1_entries / RINGS))
            tt_bench_die("no memory for the rings");
    if (threads == 1)
        tt_l1_case_add(&k, "rings that evict", reads ? body_read_through_bare_ring : body_set_in_bare_ring);
    tt_l1_case_add(&k, "with 5 locked instructions", reads ? body_read_through_locked_ring : body_set_in_locked_ring);
    tt_l1_case_add(&k, reads ? "cache_get_copy, cache_set" : "cache_set", reads ? body_read_through : body_set);
    tt_bench_run(b, &k.c, &r);
    for (int i = 0; i < RINGS; i++) {
        verify(b, &rings[i].ring);
        tt_ring_close(&rings[i].ring);
    }
    tt_sequence_free(&seq);
}

/* ---- gets ---- */

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
        tt_loop_keys(ctx, w, get_and_##count);                                                                        \
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
    tt_bench_init(&b, argc, argv, "L1: what instructions cost where look-ups wait for memory, and locked ones in sets");
    struct tt_l1 l = {.n_keys = b.quick ? 50000 : 1000000, .value_bytes = 64};
    measure(&b, &l, 0.99, "L1 window, 1M keys, Zipf 0.99");
    measure(&b, &l, 0, "L1 window, 1M keys, uniform");
    measure_sets(&b, &l, 0.99, "L1 window, sets, 1M keys, Zipf 0.99");
    tt_l1_close(&l);
    struct tt_l1 limited = {.n_keys = l.n_keys, .value_bytes = TT_BENCH_VALUE_BYTES, .limited = true};
    for (unsigned threads = 1; threads <= 2; threads++)
        measure_evicting(&b, &limited, "L1 window, sets that evict, 1M keys, room for 10 %, uniform", 0, threads);
    for (unsigned threads = 1; threads <= 2; threads++)
        measure_evicting(&b, &limited, "L1 window, read-through, 1M keys, room for 10 %, Zipf 0.99", 0.99, threads);
    tt_l1_close(&limited);
    return tt_bench_fini(&b);
}
