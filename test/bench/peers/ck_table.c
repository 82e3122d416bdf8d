/* Concurrency Kit: ck_ht, a table that one thread writes while any number read. Read only here: a cache on top of it
 * would need a lock for its writers, and a way to know when an old value can be freed, which readers would pay for.
 * They do not pay for it here, which makes it faster than such a cache. */
#include <ck_ht.h>
#include <stdlib.h>

#include "peers/hash.h"

struct node {
    size_t len;
    unsigned char bytes[]; /* value, key */
};

struct table {
    ck_ht_t ht;
};

static void *ck_alloc(size_t n)
{
    return malloc(n);
}

static void ck_release(void *p, size_t n, bool defer)
{
    (void)n;
    (void)defer;
    free(p);
}

static struct ck_malloc memory = {.malloc = ck_alloc, .free = ck_release};

static void hash_bytes(ck_ht_hash_t *h, const void *p, size_t n, uint64_t seed)
{
    (void)seed;
    h->value = XXH3_64bits(p, n);
}

static void *open_table(size_t max_entries, size_t value_bytes)
{
    (void)value_bytes;
    struct table *t = malloc(sizeof *t);
    if (t == NULL)
        return NULL;
    if (!ck_ht_init(&t->ht, CK_HT_MODE_BYTESTRING, hash_bytes, &memory, max_entries * 2, 0)) {
        free(t);
        return NULL;
    }
    return t;
}

static void close_table(void *p)
{
    struct table *t = p;
    ck_ht_iterator_t it = CK_HT_ITERATOR_INITIALIZER;
    ck_ht_entry_t *e = NULL;
    if (t == NULL)
        return;
    while (ck_ht_next(&t->ht, &it, &e))
        free(ck_ht_entry_value(e));
    ck_ht_destroy(&t->ht);
    free(t);
}

static enum tt_answer get(void *p, const struct tt_bench_key *k, void *buf)
{
    struct table *t = p;
    ck_ht_hash_t h;
    ck_ht_entry_t e;
    ck_ht_hash(&h, &t->ht, k->text, k->len);
    ck_ht_entry_key_set(&e, k->text, k->len);
    if (!ck_ht_get_spmc(&t->ht, h, &e))
        return TT_WRONG;
    const struct node *n = ck_ht_entry_value(&e);
    memcpy(buf, n->bytes, n->len);
    return TT_HIT;
}

/* Each key once. */
static enum tt_answer set(void *p, const struct tt_bench_key *k, const void *value, size_t len)
{
    struct table *t = p;
    struct node *n = malloc(sizeof *n + len + k->len);
    ck_ht_hash_t h;
    ck_ht_entry_t e;
    if (n == NULL)
        return TT_WRONG;
    n->len = len;
    memcpy(n->bytes, value, len);
    memcpy(n->bytes + len, k->text, k->len);
    ck_ht_hash(&h, &t->ht, k->text, k->len);
    ck_ht_entry_set(&e, h, n->bytes + len, k->len, n);
    if (ck_ht_put_spmc(&t->ht, h, &e))
        return TT_DONE;
    free(n);
    return TT_WRONG;
}

const struct tt_peer tt_peer_ck = {.name = "ck_ht, read only", .open = open_table, .close = close_table, .get = get,
                                   .set = set};
