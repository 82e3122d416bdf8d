/* keys_and_types.c - keys are injective and readable; each type has its own lifetimes and limits, changeable while
 * the cache is in use; a cached absence, an empty value and a miss are three different things. */
#include <stdio.h>
#include <string.h>

#include <tiercache.h>

#define CHECK(what)                                                       \
    do {                                                                  \
        if (!(what)) {                                                    \
            fprintf(stderr, "line %d is wrong: %s\n", __LINE__, #what);   \
            return 1;                                                     \
        }                                                                 \
    } while (0)

static int keys(const struct cache_type *doc)
{
    struct cache_key a, b;
    char text_a[64], text_b[64];
    /* Parts are escaped, never just joined: these two cannot be confused. */
    cache_key_str(cache_key_str(cache_key_init(&a, doc), "team:7"), "plan");
    cache_key_str(cache_key_str(cache_key_init(&b, doc), "team"), "7:plan");
    CHECK(cache_key_text(&a, text_a, sizeof text_a, NULL) == CACHE_OK);
    CHECK(cache_key_text(&b, text_b, sizeof text_b, NULL) == CACHE_OK);
    printf("%s\n%s\n", text_a, text_b);
    CHECK(strcmp(text_a, text_b) != 0);
    cache_key_fini(&a);
    cache_key_fini(&b);

    /* An error sticks to the key, so that a chain needs one check, or none: every call reports it. */
    cache_key_u64(cache_key_str(cache_key_init(&a, doc), NULL), 1);
    CHECK(cache_key_status(&a) == CACHE_E_INVALID);
    cache_key_fini(&a);
    return 0;
}

static int values(struct cache *c, const struct cache_type *doc)
{
    struct cache_key k;
    struct cache_meta m;
    char buf[16];
    cache_key_i64(cache_key_bytes(cache_key_init(&k, doc), "\0\xff", 2), -1);
    CHECK(cache_get_copy(c, &k, buf, sizeof buf, &m) == CACHE_MISS);
    CHECK(cache_set(c, &k, NULL, 0, NULL) == CACHE_OK);
    CHECK(cache_get_copy(c, &k, buf, sizeof buf, &m) == CACHE_OK && m.len == 0);
    CHECK(cache_set_absent(c, &k, NULL) == CACHE_OK);
    CHECK(cache_get_copy(c, &k, buf, sizeof buf, &m) == CACHE_ABSENT);
    printf("a miss, an empty value and a cached absence are three different results\n");

    /* A lifetime of its own for one value. */
    struct cache_set_opts s = CACHE_SET_OPTS_INIT;
    s.ttl_ms = CACHE_TTL_FOREVER;
    CHECK(cache_set(c, &k, "kept", 4, &s) == CACHE_OK);
    CHECK(cache_get_copy(c, &k, buf, 2, &m) == CACHE_E_BUFFER && m.len == 4);
    CHECK(cache_get_copy(c, &k, buf, sizeof buf, &m) == CACHE_OK && memcmp(buf, "kept", 4) == 0);
    cache_key_fini(&k);
    return 0;
}

static int use(struct cache *c)
{
    struct cache_type_opts t = CACHE_TYPE_OPTS_INIT;
    struct cache_type *doc, *found;
    char err[256] = "";
    t.name = "doc";
    t.ttl_ms = 60000;
    t.jitter_percent = 10;        /* values stored together do not expire together */
    t.negative_ttl_ms = 5000;     /* an absence is believed for 5 seconds */
    t.l1_quota_entries = 1000;    /* this type cannot crowd out the others */
    CHECK(cache_type_register(c, &t, &doc) == CACHE_OK);
    CHECK(cache_type_register(c, &t, &found) == CACHE_E_EXISTS);
    CHECK(cache_type_find(c, "doc", &found) == CACHE_OK && found == doc);

    t.jitter_percent = 99; /* refused with the field's name; the old policy stays */
    CHECK(cache_type_update(doc, &t, err, sizeof err) == CACHE_E_INVALID);
    printf("refused: %s\n", err);
    CHECK(strstr(err, "jitter_percent") != NULL);
    t.jitter_percent = 20;
    CHECK(cache_type_update(doc, &t, err, sizeof err) == CACHE_OK);
    return keys(doc) || values(c, doc);
}

int main(void)
{
    struct cache *c;
    char err[256] = "";
    if (cache_open(NULL, &c, err, sizeof err) != CACHE_OK) {
        fprintf(stderr, "cache_open: %s\n", err);
        return 1;
    }
    int bad = use(c);
    return cache_close(c, 1000) == CACHE_OK ? bad : 1;
}
