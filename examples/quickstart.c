/* quickstart.c - open a cache, store a value, read it, drop it. Compiles as C11 and as C++11.
 *
 *   cc quickstart.c $(pkg-config --cflags --libs tiercache) && ./a.out
 */
#include <stdio.h>
#include <string.h>

#include <tiercache.h>

static int fail(const char *what, int status)
{
    fprintf(stderr, "%s: %s\n", what, cache_status_text(status));
    return 1;
}

static int use(struct cache *c, const struct cache_type *page)
{
    struct cache_key k;
    struct cache_value v;

    /* A key is a type and parts: this is page:42. */
    cache_key_u64(cache_key_init(&k, page), 42);

    int rc = cache_get(c, &k, NULL, &v);
    if (rc != CACHE_MISS)
        return fail("the cache should be empty", rc);
    printf("before: %s\n", cache_status_text(rc));

    rc = cache_set(c, &k, "hello", 5, NULL);
    if (rc != CACHE_OK)
        return fail("cache_set", rc);

    rc = cache_get(c, &k, NULL, &v);
    if (rc != CACHE_OK)
        return fail("cache_get", rc);
    printf("found: %.*s, %zu bytes, for another %lld ms\n", (int)v.len, (const char *)v.data, v.len,
           (long long)v.meta.ttl_ms);
    int right = v.len == 5 && memcmp(v.data, "hello", 5) == 0;
    cache_value_release(&v); /* the bytes were pinned, not copied */
    if (!right)
        return fail("the value is not what was stored", CACHE_E_INVALID);

    /* The origin changed: after its commit, drop what was made from it. */
    rc = cache_invalidate(c, &k, NULL);
    if (rc != CACHE_OK)
        return fail("cache_invalidate", rc);
    rc = cache_get(c, &k, NULL, &v);
    if (rc != CACHE_MISS)
        return fail("the value should be gone", rc);
    printf("after cache_invalidate: %s\n", cache_status_text(rc));
    return 0;
}

int main(void)
{
    struct cache_opts o = CACHE_OPTS_INIT; /* this process only; o.l2_url = "redis://localhost" adds the second tier */
    struct cache *c;
    char err[256];
    int rc = cache_open(&o, &c, err, sizeof err);
    if (rc != CACHE_OK)
        return fail(err, rc);

    struct cache_type_opts t = CACHE_TYPE_OPTS_INIT;
    struct cache_type *page;
    t.name = "page";
    t.ttl_ms = 300000;
    rc = cache_type_register(c, &t, &page);
    int bad = rc == CACHE_OK ? use(c, page) : fail("cache_type_register", rc);

    rc = cache_close(c, 1000);
    return rc == CACHE_OK ? bad : fail("cache_close", rc);
}
