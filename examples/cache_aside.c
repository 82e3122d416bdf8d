/* cache_aside.c - get, miss, read the database, set: without storing what an invalidation overtook.
 *
 * The classic race: a reader misses and reads the old row; a writer commits the new row and invalidates; the reader
 * stores the old row, and it stays. Here the miss leaves a ticket, the invalidation voids it, and the late set is
 * refused. The writer is called in the middle of the read, so that the race happens every time. */
#include <stdio.h>
#include <string.h>

#include <tiercache.h>

static char database[32] = "first"; /* the origin: one row */

static int fail(const char *what, int status)
{
    fprintf(stderr, "%s: %s\n", what, cache_status_text(status));
    return 1;
}

/* Changes the row, then invalidates: in this order. */
static int write_row(struct cache *c, const struct cache_key *k, const char *row)
{
    snprintf(database, sizeof database, "%s", row);
    return cache_invalidate(c, k, NULL);
}

/* Reads through the cache by hand. overtake: a writer comes between our read of the row and our set.
 * Puts the row into out; returns what cache_set() said, or CACHE_OK on a hit. */
static int read_row(struct cache *c, const struct cache_key *k, const char *overtake, char *out, size_t cap)
{
    struct cache_ticket ticket;
    struct cache_call call = CACHE_CALL_INIT;
    struct cache_value v;
    call.ticket = &ticket;
    int rc = cache_get(c, k, &call, &v);
    if (rc == CACHE_OK) {
        snprintf(out, cap, "%.*s", (int)v.len, (const char *)v.data);
        cache_value_release(&v);
        return CACHE_OK;
    }
    if (rc != CACHE_MISS)
        return rc;
    snprintf(out, cap, "%s", database);
    if (overtake && (rc = write_row(c, k, overtake)) != CACHE_OK)
        return rc;
    struct cache_set_opts s = CACHE_SET_OPTS_INIT;
    s.ticket = &ticket;
    return cache_set(c, k, out, strlen(out), &s);
}

static int use(struct cache *c, const struct cache_key *k)
{
    char row[32] = "";
    int rc = read_row(c, k, "second", row, sizeof row);
    printf("read '%s' while a writer made it '%s': set says \"%s\"\n", row, database, cache_status_text(rc));
    if (rc != CACHE_E_TICKET)
        return fail("the overtaken set was not refused", rc);

    rc = read_row(c, k, NULL, row, sizeof row);
    printf("read '%s', nobody in between: set says \"%s\"\n", row, cache_status_text(rc));
    if (rc != CACHE_OK || strcmp(row, "second") != 0)
        return fail("the second read", rc);

    snprintf(database, sizeof database, "%s", "nobody reads this: it is cached");
    rc = read_row(c, k, NULL, row, sizeof row);
    printf("read '%s' from the cache\n", row);
    if (rc != CACHE_OK || strcmp(row, "second") != 0)
        return fail("the cached read", rc);

    rc = write_row(c, k, "third");
    if (rc == CACHE_OK)
        rc = read_row(c, k, NULL, row, sizeof row);
    printf("invalidated, read '%s'\n", row);
    return rc == CACHE_OK && strcmp(row, "third") == 0 ? 0 : fail("the read after the invalidation", rc);
}

int main(void)
{
    struct cache_type_opts t = CACHE_TYPE_OPTS_INIT;
    struct cache *c;
    struct cache_type *row;
    struct cache_key k;
    char err[256] = "";
    int rc = cache_open(NULL, &c, err, sizeof err);
    if (rc != CACHE_OK)
        return fail(err, rc);
    t.name = "row";
    rc = cache_type_register(c, &t, &row);
    int bad = rc == CACHE_OK ? use(c, cache_key_u64(cache_key_init(&k, row), 1)) : fail("cache_type_register", rc);
    rc = cache_close(c, 1000);
    return rc == CACHE_OK ? bad : fail("cache_close", rc);
}
