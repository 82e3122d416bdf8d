/* liburcu: the lock-free hash table under its membarrier flavour, made as large as it will have to be. A set replaces
 * the node and leaves the old one to call_rcu(). It has no limit and evicts nothing. */
#define URCU_INLINE_SMALL_FUNCTIONS
#include <urcu/urcu-memb.h>
#include <urcu/rculfhash.h>

#include <stdlib.h>

#include "peers/hash.h"

struct node {
    struct cds_lfht_node link;
    struct rcu_head later;
    size_t len;
    unsigned char bytes[]; /* key, value */
};

static const struct tt_bench_key *key_of(const struct node *n)
{
    return tt_peer_key_at(n->bytes);
}

/* Whether this thread left something to call_rcu(). */
static _Thread_local bool owes;

static int matches(struct cds_lfht_node *link, const void *key)
{
    return tt_peer_key_equal(key_of(caa_container_of(link, struct node, link)), key);
}

static void node_free(struct rcu_head *head)
{
    free(caa_container_of(head, struct node, later));
}

static void *open_table(size_t max_entries, size_t value_bytes)
{
    (void)value_bytes;
    unsigned long n = 1;
    while (n < max_entries)
        n *= 2;
    return cds_lfht_new_flavor(n, n, 0, 0, &urcu_memb_flavor, NULL);
}

static void enter(void *p)
{
    (void)p;
    urcu_memb_register_thread();
}

/* What a thread's sets have left behind is freed in its own time. */
static void leave(void *p)
{
    (void)p;
    urcu_memb_unregister_thread();
    if (owes)
        urcu_memb_barrier();
    owes = false;
}

static void close_table(void *p)
{
    struct cds_lfht_iter it;
    struct cds_lfht_node *link;
    if (p == NULL)
        return;
    enter(p);
    urcu_memb_read_lock();
    for (cds_lfht_first(p, &it); (link = cds_lfht_iter_get_node(&it)) != NULL; cds_lfht_next(p, &it))
        if (cds_lfht_del(p, link) == 0)
            urcu_memb_call_rcu(&caa_container_of(link, struct node, link)->later, node_free);
    urcu_memb_read_unlock();
    owes = true;
    leave(p);
    cds_lfht_destroy(p, NULL);
}

static enum tt_answer get(void *p, const struct tt_bench_key *k, void *buf)
{
    struct cds_lfht_iter it;
    urcu_memb_read_lock();
    cds_lfht_lookup(p, (unsigned long)tt_peer_hash(k), matches, k, &it);
    struct cds_lfht_node *link = cds_lfht_iter_get_node(&it);
    if (link != NULL) {
        const struct node *n = caa_container_of(link, struct node, link);
        memcpy(buf, n->bytes + tt_peer_key_bytes(key_of(n)), n->len);
    }
    urcu_memb_read_unlock();
    return link != NULL ? TT_HIT : TT_WRONG;
}

static enum tt_answer set(void *p, const struct tt_bench_key *k, const void *value, size_t len)
{
    size_t key_bytes = tt_peer_key_bytes(k);
    struct node *n = malloc(sizeof *n + key_bytes + len);
    if (n == NULL)
        return TT_WRONG;
    cds_lfht_node_init(&n->link);
    n->len = len;
    memcpy(n->bytes, k, key_bytes);
    memcpy(n->bytes + key_bytes, value, len);
    urcu_memb_read_lock();
    struct cds_lfht_node *old = cds_lfht_add_replace(p, (unsigned long)tt_peer_hash(k), matches, k, &n->link);
    urcu_memb_read_unlock();
    if (old != NULL) {
        urcu_memb_call_rcu(&caa_container_of(old, struct node, link)->later, node_free);
        owes = true;
    }
    return TT_DONE;
}

const struct tt_peer tt_peer_urcu = {.name = "liburcu lfht", .can = TT_PEER_SETS, .open = open_table,
                                     .close = close_table, .get = get, .set = set, .enter = enter, .leave = leave};
