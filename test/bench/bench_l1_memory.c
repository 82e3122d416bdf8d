/* L1, memory: what an entry takes beyond the bytes of its key and value. Each subject is filled in a process of its own
 * with keys of 16 bytes and values of 64; what that process grows by counts, table and heap included. */
#include <stdlib.h>
#include <string.h>

#include "common/child.h"
#include "common/l1.h"
#include "common/report.h"

enum { KEY_BYTES = 16, VALUE_BYTES = 64 };

static const double GATE_OVERHEAD = 34;
static const char CASE[] = "L1 memory, 16-byte keys, 64-byte values";

/* Keys are 16 bytes long where the id is a multiple of nine. */
static void key_and_value(uint32_t i, struct tt_bench_key *k, unsigned char v[VALUE_BYTES])
{
    uint32_t id = i * 9;
    tt_bench_key_write(k, id);
    if (k->len != KEY_BYTES)
        tt_bench_die("%s has %u bytes", k->text, k->len);
    tt_bench_value_fill(v, VALUE_BYTES, id);
}

/* What this process grows by when it fills tiercache, or a peer, with n entries. */
static double grow_ours(uint32_t n)
{
    struct tt_bench_key k;
    struct cache_key ck;
    struct cache_type *type = NULL;
    unsigned char v[VALUE_BYTES];
    unsigned char got[VALUE_BYTES];
    double before = tt_bench_resident_bytes();
    struct cache *c = tt_l1_open_cache((uint64_t)n * 512 + (64u << 20), 0, &type);
    for (uint32_t i = 0; i < n; i++) {
        key_and_value(i, &k, v);
        cache_key_str(cache_key_init(&ck, type), tt_bench_key_part(&k));
        if (cache_set(c, &ck, v, sizeof v, NULL) != CACHE_OK)
            tt_bench_die("cache_set failed");
    }
    double grown = tt_bench_resident_bytes() - before;
    for (uint32_t i = 0; i < n; i++) {
        key_and_value(i, &k, v);
        cache_key_str(cache_key_init(&ck, type), tt_bench_key_part(&k));
        if (cache_get_copy(c, &ck, got, sizeof got, NULL) != CACHE_OK || memcmp(v, got, sizeof v) != 0)
            tt_bench_die("tiercache does not hold %s", k.text);
    }
    return grown;
}

static double grow_peer(uint32_t n, const struct tt_peer *p)
{
    struct tt_bench_key k;
    unsigned char v[VALUE_BYTES];
    unsigned char got[VALUE_BYTES];
    double before = tt_bench_resident_bytes();
    void *handle = p->open((p->can & TT_PEER_EVICTS) != 0 ? (size_t)n * 2 : n, VALUE_BYTES);
    if (handle == NULL)
        tt_bench_die("out of memory");
    if (p->enter != NULL)
        p->enter(handle);
    for (uint32_t i = 0; i < n; i++) {
        key_and_value(i, &k, v);
        if (p->set(handle, &k, v, sizeof v) == TT_WRONG)
            tt_bench_die("filling %s failed", p->name);
    }
    double grown = tt_bench_resident_bytes() - before;
    for (uint32_t i = 0; i < n; i++) {
        key_and_value(i, &k, v);
        if (p->get(handle, &k, got) != TT_HIT || memcmp(v, got, sizeof v) != 0)
            tt_bench_die("%s does not hold %s", p->name, k.text);
    }
    return grown;
}

/* peer is NULL for tiercache. */
struct subject {
    uint32_t n;
    const struct tt_peer *peer;
};

static void grow(const void *arg, void *grown)
{
    const struct subject *s = arg;
    *(double *)grown = s->peer != NULL ? grow_peer(s->n, s->peer) : grow_ours(s->n);
}

static double measure(struct tt_bench *b, uint32_t n, const char *name, const struct tt_peer *peer)
{
    double grown = 0;
    tt_bench_in_child(grow, &(struct subject){n, peer}, &grown, sizeof grown);
    double bytes = grown / n;
    double overhead = bytes - KEY_BYTES - VALUE_BYTES;
    printf("  %-28s  %15.1f  %10.1f\n", name, bytes, overhead);
    if (b->rows != NULL)
        fprintf(b->rows, "%s\t1\t%s\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA\t%.1f\n", CASE, name, overhead);
    return overhead;
}

int main(int argc, char **argv)
{
    struct tt_bench b;
    const struct tt_peer *peers[TT_PEERS_MAX];
    tt_bench_init(&b, argc, argv, "L1, memory: bytes of resident memory for each entry");
    if (tt_bench_wants(&b, CASE, 1)) {
        uint32_t n = b.quick ? 20000 : 1000000;
        size_t n_peers = tt_peers(peers);
        b.n_cases++;
        printf("\n%s, %u entries\n  %-28s  %15s  %10s\n", CASE, n, "subject", "bytes per entry", "overhead");
        measure(&b, n, tt_peer_bare.name, &tt_peer_bare);
        double ours = measure(&b, n, "tiercache", NULL);
        for (size_t i = 0; i < n_peers; i++)
            measure(&b, n, peers[i]->name, peers[i]);
        tt_bench_gate_value(&b, "L1 memory: bytes beyond key and value", ours, GATE_OVERHEAD, true);
    }
    return tt_bench_fini(&b);
}
