/* A cache on a real Redis server, as a process would have it, and a look at that server without the library. The assert
 * functions are cmocka's: for the test's own thread. */
#ifndef TT_NODE_H
#define TT_NODE_H

#include <hiredis/hiredis.h>

#include "fake/tt_alloc.h"
#include "fake/tt_redis_server.h"
#include "tiercache.h"

enum { TT_NODE_TEXT = 128, TT_NODE_TIMEOUT_MS = 1000, TT_NODE_L2_TIMEOUT_MS = 200, TT_NODE_TTL_MS = 600000 };

struct tt_node {
    struct tt_alloc alloc;
    struct cache_opts opts; /* of the name "shop" */
    struct cache *c;        /* NULL: not open */
    struct cache_type *t;   /* "page" */
    _Atomic unsigned told[16]; /* events by kind */
    char err[256];
};

struct tt_redis_server *tt_node_server(const char *const *args); /* skips the test if this machine has none */

struct tt_node *tt_node_prepare(const char *url); /* then change n->opts and open it yourself */
void tt_node_register(struct tt_node *n, uint32_t type_flags);
struct tt_node *tt_node_open(struct tt_redis_server *s, uint32_t type_flags); /* all of that; must succeed */
void tt_node_close(struct tt_node *n); /* must succeed and leave no memory; frees n */

/* Values are texts, keys have one part. */
struct cache_key *tt_node_key(struct cache_key *k, const struct tt_node *n, const char *part);
int tt_node_set(struct tt_node *n, const char *part, const char *text);
int tt_node_invalidate(struct tt_node *n, const char *part);
int tt_node_get(struct tt_node *n, const char *part, uint32_t flags, char *text, struct cache_meta *m);
void tt_node_assert_found(struct tt_node *n, const char *part, const char *text, uint32_t tier);
void tt_node_assert_missing(struct tt_node *n, const char *part);
struct cache_stats tt_node_stats(struct tt_node *n);

redisContext *tt_node_look(struct tt_redis_server *s); /* redisFree() it */
redisReply *tt_node_ask(redisContext *r, const char *format, const char *name); /* anything but an error */
long long tt_node_ask_number(redisContext *r, const char *format, const char *name);

#endif
