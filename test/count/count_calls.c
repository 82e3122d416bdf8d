/* So many hits, or sets that replace, and nothing else that matters: to be run under a tool that counts instructions.
 *
 *   count_calls get|pin|set CALLS */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiercache.h"

enum { KEYS = 4096, VALUE_BYTES = 64 };

static struct cache_key keys[KEYS];

static int fail(const char *what)
{
    fprintf(stderr, "count_calls: %s\n", what);
    return 1;
}

/* What is counted: of the library's own functions the compiler may leave one by a jump, which confuses the tool. */
#define COUNTED __attribute__((noinline, noclone))
int counted_set(struct cache *c, const struct cache_key *k, unsigned char *value);
int counted_get(struct cache *c, const struct cache_key *k, unsigned char *value);
int counted_pin(struct cache *c, const struct cache_key *k, struct cache_value *v);

COUNTED int counted_set(struct cache *c, const struct cache_key *k, unsigned char *value)
{
    int rc = cache_set(c, k, value, VALUE_BYTES, NULL);
    value[0] ^= 1;
    return rc;
}

COUNTED int counted_get(struct cache *c, const struct cache_key *k, unsigned char *value)
{
    int rc = cache_get_copy(c, k, value, VALUE_BYTES, NULL);
    value[0] ^= 1;
    return rc;
}

COUNTED int counted_pin(struct cache *c, const struct cache_key *k, struct cache_value *v)
{
    int rc = cache_get(c, k, NULL, v);
    v->reserved[1] = 0;
    return rc;
}

static int call(struct cache *c, const char *what, const struct cache_key *k, unsigned char *value)
{
    struct cache_value v;
    if (strcmp(what, "set") == 0)
        return counted_set(c, k, value);
    if (strcmp(what, "get") == 0)
        return counted_get(c, k, value);
    int rc = counted_pin(c, k, &v);
    cache_value_release(&v);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return fail("get, pin or set, and how often");
    struct cache *c;
    struct cache_type *type;
    struct cache_opts o = CACHE_OPTS_INIT;
    struct cache_type_opts t = CACHE_TYPE_OPTS_INIT;
    unsigned char value[VALUE_BYTES] = { 1 };
    char part[32];
    t.name = "user";
    t.ttl_ms = 3600000;
    if (cache_open(&o, &c, NULL, 0) != CACHE_OK || cache_type_register(c, &t, &type) != CACHE_OK)
        return fail("no cache");
    for (int i = 0; i < KEYS; i++) {
        snprintf(part, sizeof part, "%011d", i);
        cache_key_str(cache_key_init(&keys[i], type), part);
        /* Twice: a first store may be the one that makes the table grow. */
        if (cache_set(c, &keys[i], value, sizeof value, NULL) != CACHE_OK ||
            cache_set(c, &keys[i], value, sizeof value, NULL) != CACHE_OK)
            return fail("set");
    }
    long calls = atol(argv[2]);
    for (long i = 0; i < calls; i++)
        if (call(c, argv[1], &keys[i * 7 % KEYS], value) != CACHE_OK)
            return fail("a call failed");
    return cache_close(c, 1000) == CACHE_OK ? 0 : fail("cache_close");
}
