/* So many hits, misses, sets that replace or sets that evict, keys built, or hits with keys just built, and nothing
 * else that matters: to be run under a tool that counts instructions.
 *
 *   count_calls get|pin|set|miss|evict|build|first CALLS */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiercache.h"

enum {
    KEYS = 4096,
    VALUE_BYTES = 64,
    EVICTING_BYTES = 8 << 20, /* of memory, in which lie less than half of */
    EVICTING_KEYS = 149993    /* so that who comes next has left long ago; not a multiple of 7 */
};

static struct cache_key keys[EVICTING_KEYS];

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
int counted_miss(struct cache *c, const struct cache_key *k, unsigned char *value);
int counted_build(struct cache_key *k, const struct cache_type *type, unsigned number);

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

COUNTED int counted_miss(struct cache *c, const struct cache_key *k, unsigned char *value)
{
    int rc = cache_get_copy(c, k, value, VALUE_BYTES, NULL);
    value[0] ^= 1;
    return rc == CACHE_MISS ? CACHE_OK : CACHE_E_SYSTEM;
}

COUNTED int counted_build(struct cache_key *k, const struct cache_type *type, unsigned number)
{
    return cache_key_u64(cache_key_str(cache_key_init(k, type), "profile"), number) == k ? CACHE_OK : CACHE_E_SYSTEM;
}

static int call(struct cache *c, const char *what, const struct cache_key *k, unsigned char *value)
{
    struct cache_value v;
    if (strcmp(what, "set") == 0)
        return counted_set(c, k, value);
    if (strcmp(what, "get") == 0)
        return counted_get(c, k, value);
    if (strcmp(what, "miss") == 0)
        return counted_miss(c, k, value);
    int rc = counted_pin(c, k, &v);
    cache_value_release(&v);
    return rc;
}

/* Lengths of 16, or with evicting of 16 to 24, which lie in cells of two sizes. */
static void make_key(struct cache_key *k, struct cache_type *type, int number, bool evicting)
{
    char part[32];
    snprintf(part, sizeof part, "%0*d", 11 + (evicting ? number % 9 : 0), number);
    cache_key_str(cache_key_init(k, type), part);
}

/* In which order keys are stored and called: with evicting, who comes next is always the one stored longest ago. */
static int in_turn(long i, int n)
{
    return (int)(i * 7 % n);
}

/* Each key twice: a first store may be the one that makes the table grow. */
static int fill(struct cache *c, struct cache_type *type, bool evicting, unsigned char *value)
{
    int keys_there = evicting ? EVICTING_KEYS : KEYS;
    for (int i = 0; i < 2 * keys_there; i++) {
        int which = in_turn(i, keys_there);
        struct cache_key *k = &keys[which];
        make_key(k, type, which, evicting);
        int rc = cache_set(c, k, value, VALUE_BYTES, NULL);
        if (rc != CACHE_OK)
            return rc;
    }
    return CACHE_OK;
}

/* Builds a key of which nobody knows the hash, and looks it up. */
static int call_with_new_key(struct cache *c, struct cache_type *type, const char *what, unsigned number,
                             unsigned char *value)
{
    struct cache_key k;
    int rc = counted_build(&k, type, number);
    return rc == CACHE_OK && strcmp(what, "first") == 0 ? counted_get(c, &k, value) : rc;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return fail("get, pin, set, miss, evict, build or first, and how often");
    struct cache *c;
    struct cache_type *type;
    struct cache_opts o = CACHE_OPTS_INIT;
    struct cache_type_opts t = CACHE_TYPE_OPTS_INIT;
    unsigned char value[VALUE_BYTES] = { 1 };
    bool evicting = strcmp(argv[1], "evict") == 0, missing = strcmp(argv[1], "miss") == 0;
    bool building = strcmp(argv[1], "build") == 0 || strcmp(argv[1], "first") == 0;
    t.name = "user";
    t.ttl_ms = 3600000;
    o.l1_bytes = evicting ? EVICTING_BYTES : o.l1_bytes;
    if (cache_open(&o, &c, NULL, 0) != CACHE_OK || cache_type_register(c, &t, &type) != CACHE_OK)
        return fail("no cache");
    if (fill(c, type, evicting, value) != CACHE_OK)
        return fail("set");
    int n = evicting ? EVICTING_KEYS : KEYS;
    for (int i = 0; missing && i < n; i++)
        make_key(&keys[i], type, n + i, false);
    for (int i = 0; building && i < n; i++)
        if (counted_build(&keys[i], type, (unsigned)i) != CACHE_OK ||
            cache_set(c, &keys[i], value, VALUE_BYTES, NULL) != CACHE_OK)
            return fail("set");
    long calls = atol(argv[2]);
    for (long i = 0; i < calls; i++) {
        int which = in_turn(i, n);
        int rc = building ? call_with_new_key(c, type, argv[1], (unsigned)which, value)
                          : call(c, evicting ? "set" : argv[1], &keys[which], value);
        if (rc != CACHE_OK)
            return fail("a call failed");
    }
    return cache_close(c, 1000) == CACHE_OK ? 0 : fail("cache_close");
}
