/* GLib: a GHashTable, a GQueue in order of use, one GMutex. With the favours of the uthash peer: the value is replaced
 * in its place; and XXH3 instead of GLib's own string hash, which reads byte by byte. The table asks for the hash
 * itself, so it is taken under the lock. */
#include <glib.h>
#include <stdlib.h>

#include "peers/hash.h"

struct node {
    GList link; /* in the queue; its data is the node */
    size_t len;
    unsigned char *value;
    unsigned char key[];
};

struct lru {
    GMutex mutex;
    GHashTable *table; /* of nodes; their keys lie inside */
    GQueue order;      /* the head is the most recently used */
    size_t max_entries;
};

static guint key_hash(gconstpointer k)
{
    return (guint)tt_peer_hash(k);
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
    return tt_peer_key_equal(a, b);
}

static void node_free(gpointer p)
{
    struct node *n = p;
    g_free(n->value);
    g_free(n);
}

static void *open_lru(size_t max_entries, size_t value_bytes)
{
    (void)value_bytes;
    struct lru *l = g_new0(struct lru, 1);
    g_mutex_init(&l->mutex);
    g_queue_init(&l->order);
    l->table = g_hash_table_new_full(key_hash, key_equal, NULL, node_free);
    l->max_entries = max_entries;
    return l;
}

static void close_lru(void *p)
{
    struct lru *l = p;
    if (l == NULL)
        return;
    g_hash_table_destroy(l->table);
    g_mutex_clear(&l->mutex);
    g_free(l);
}

static struct node *find_locked(struct lru *l, const struct tt_bench_key *k)
{
    struct node *n = g_hash_table_lookup(l->table, k);
    if (n != NULL && l->order.head != &n->link) {
        g_queue_unlink(&l->order, &n->link);
        g_queue_push_head_link(&l->order, &n->link);
    }
    return n;
}

static enum tt_answer get(void *p, const struct tt_bench_key *k, void *buf)
{
    struct lru *l = p;
    g_mutex_lock(&l->mutex);
    struct node *n = find_locked(l, k);
    if (n != NULL)
        memcpy(buf, n->value, n->len);
    g_mutex_unlock(&l->mutex);
    return n != NULL ? TT_HIT : TT_WRONG;
}

static void insert_locked(struct lru *l, const struct tt_bench_key *k, const void *value, size_t len)
{
    struct node *n = g_malloc(sizeof *n + tt_peer_key_bytes(k));
    *n = (struct node){.link.data = n, .len = len, .value = g_memdup2(value, len)};
    memcpy(n->key, k, tt_peer_key_bytes(k));
    g_queue_push_head_link(&l->order, &n->link);
    g_hash_table_insert(l->table, n->key, n);
    if (l->order.length > l->max_entries) {
        struct node *last = g_queue_pop_tail_link(&l->order)->data;
        g_hash_table_remove(l->table, last->key);
    }
}

static enum tt_answer set(void *p, const struct tt_bench_key *k, const void *value, size_t len)
{
    struct lru *l = p;
    g_mutex_lock(&l->mutex);
    struct node *n = find_locked(l, k);
    bool fits = n == NULL || n->len == len;
    if (n == NULL)
        insert_locked(l, k, value, len);
    else if (fits)
        memcpy(n->value, value, len);
    g_mutex_unlock(&l->mutex);
    return fits ? TT_DONE : TT_WRONG;
}

const struct tt_peer tt_peer_glib = {.name = "GLib LRU, mutex", .can = TT_PEER_SETS | TT_PEER_EVICTS, .open = open_lru,
                                     .close = close_lru, .get = get, .set = set};
