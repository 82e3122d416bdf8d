/* catalogue.c - builds the origin's database.
 *
 * Sources, the first with enough records wins: what apt knows (tens of thousands of packages), what dpkg has
 * installed, the file tree under /usr. Records are inserted as they come; edges are kept in memory by name until all
 * records are known, then resolved and inserted. The database is in WAL mode, so that pages are read from a snapshot
 * while changes are committed; it is scratch data, hence no syncing. */
#include "catalogue.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "page.h"

struct edge {
    int64_t from;
    int kind;
    size_t target; /* offset of the name in strings, the note behind it */
};

struct builder {
    sqlite3 *db;
    sqlite3_stmt *insert;
    char **names;
    size_t n, names_cap;
    struct edge *edges;
    size_t n_edges, edges_cap;
    char *strings;
    size_t strings_len, strings_cap;
};

static const char schema[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA cache_size=-65536;"
    "CREATE TABLE packages (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, version TEXT, section TEXT,"
    " architecture TEXT, maintainer TEXT, homepage TEXT, size INTEGER, summary TEXT,"
    " needed_by INTEGER NOT NULL DEFAULT 0, revision INTEGER NOT NULL, token INTEGER NOT NULL);"
    "CREATE TABLE edges (pkg INTEGER, kind INTEGER, pos INTEGER, target INTEGER, target_name TEXT, note TEXT,"
    " PRIMARY KEY (pkg, kind, pos)) WITHOUT ROWID;"
    "BEGIN;";

/* Grows *array of elements of size so that index n fits. */
static int grow(void **array, size_t *cap, size_t n, size_t size)
{
    if (n < *cap)
        return 0;
    size_t wanted = *cap ? *cap * 2 : 4096;
    while (wanted <= n)
        wanted *= 2;
    void *p = realloc(*array, wanted * size);
    if (!p)
        return -1;
    *array = p;
    *cap = wanted;
    return 0;
}

int64_t builder_add(struct builder *b, const struct record *r)
{
    const char *columns[] = {r->name, r->version, r->section, r->architecture, r->maintainer, r->homepage, r->summary};
    for (int i = 0; i < 7; i++)
        sqlite3_bind_text(b->insert, i + 1, columns[i], -1, SQLITE_STATIC);
    sqlite3_bind_int64(b->insert, 8, r->size);
    sqlite3_bind_int64(b->insert, 9, (int64_t)page_first_token(r->name));
    int rc = sqlite3_step(b->insert);
    sqlite3_reset(b->insert);
    if (rc != SQLITE_DONE)
        return -1;
    if (sqlite3_changes(b->db) == 0)
        return 0;
    /* ids must be 1, 2, 3 ... without gaps: the rest of the program uses them as indexes */
    if (sqlite3_last_insert_rowid(b->db) != (int64_t)b->n + 1)
        return -1;
    if (grow((void **)&b->names, &b->names_cap, b->n, sizeof *b->names) != 0)
        return -1;
    b->names[b->n] = strdup(r->name);
    if (!b->names[b->n])
        return -1;
    return (int64_t)++b->n;
}

int builder_edge(struct builder *b, int64_t id, int kind, const char *target, size_t target_len, const char *note)
{
    size_t note_len = note ? strlen(note) : 0;
    size_t need = b->strings_len + target_len + note_len + 2;
    if (grow((void **)&b->edges, &b->edges_cap, b->n_edges, sizeof *b->edges) != 0 ||
        grow((void **)&b->strings, &b->strings_cap, need, 1) != 0)
        return -1;
    b->edges[b->n_edges++] = (struct edge){id, kind, b->strings_len};
    char *to = b->strings + b->strings_len;
    memcpy(to, target, target_len);
    to[target_len] = '\0';
    if (note_len)
        memcpy(to + target_len + 1, note, note_len);
    to[target_len + 1 + note_len] = '\0';
    b->strings_len = need;
    return 0;
}

/* ---- resolving the edges ----------------------------------------------------------------------------------------- */

struct named {
    const char *name;
    int64_t id;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

static int insert_edges(struct builder *b, const struct named *index)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(b->db, "INSERT INTO edges VALUES (?,?,?,?,?,?)", -1, &st, NULL) != SQLITE_OK)
        return -1;
    int rc = SQLITE_DONE;
    int64_t pos = 0;
    for (size_t i = 0; i < b->n_edges && rc == SQLITE_DONE; i++) {
        const struct edge *e = &b->edges[i];
        const char *target = b->strings + e->target, *note = target + strlen(target) + 1;
        struct named wanted = {target, 0};
        const struct named *hit = bsearch(&wanted, index, b->n, sizeof *index, by_name);
        pos = i > 0 && e[-1].from == e->from ? pos + 1 : 0;
        sqlite3_bind_int64(st, 1, e->from);
        sqlite3_bind_int(st, 2, e->kind);
        sqlite3_bind_int64(st, 3, pos);
        if (hit)
            sqlite3_bind_int64(st, 4, hit->id);
        else
            sqlite3_bind_null(st, 4);
        sqlite3_bind_text(st, 5, hit ? NULL : target, -1, SQLITE_STATIC);
        sqlite3_bind_text(st, 6, *note ? note : NULL, -1, SQLITE_STATIC);
        rc = sqlite3_step(st);
        sqlite3_reset(st);
    }
    sqlite3_finalize(st);
    return rc == SQLITE_DONE ? 0 : -1;
}

static int resolve_edges(struct builder *b)
{
    struct named *index = calloc(b->n ? b->n : 1, sizeof *index);
    if (!index)
        return -1;
    for (size_t i = 0; i < b->n; i++)
        index[i] = (struct named){b->names[i], (int64_t)i + 1};
    qsort(index, b->n, sizeof *index, by_name);
    int rc = insert_edges(b, index);
    free(index);
    return rc;
}

/* ---- one attempt, and the choice of a source --------------------------------------------------------------------- */

static void builder_fini(struct builder *b)
{
    sqlite3_finalize(b->insert);
    sqlite3_close(b->db);
    for (size_t i = 0; i < b->n; i++)
        free(b->names[i]);
    free(b->names);
    free(b->edges);
    free(b->strings);
}

static int builder_init(struct builder *b, const char *path)
{
    memset(b, 0, sizeof *b);
    unlink(path);
    if (sqlite3_open_v2(path, &b->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK ||
        sqlite3_exec(b->db, schema, NULL, NULL, NULL) != SQLITE_OK)
        return -1;
    return sqlite3_prepare_v2(b->db,
                              "INSERT INTO packages (name, version, section, architecture, maintainer, homepage,"
                              " summary, size, revision, token) VALUES (?,?,?,?,?,?,?,?,1,?) ON CONFLICT DO NOTHING",
                              -1, &b->insert, NULL) == SQLITE_OK ? 0 : -1;
}

static int builder_finish(struct builder *b, struct catalogue *c)
{
    if (resolve_edges(b) != 0 ||
        sqlite3_exec(b->db,
                     "CREATE INDEX edges_target ON edges (target, pkg);"
                     "UPDATE packages SET needed_by = c.n FROM (SELECT target, count(DISTINCT pkg) n FROM edges"
                     " WHERE target IS NOT NULL GROUP BY target) c WHERE c.target = packages.id;"
                     "COMMIT; PRAGMA wal_checkpoint(TRUNCATE);", NULL, NULL, NULL) != SQLITE_OK)
        return -1;
    c->names = b->names;
    c->n = (uint32_t)b->n;
    c->edges = (uint32_t)b->n_edges;
    b->names = NULL;
    b->n = 0;
    return 0;
}

static int read_source(struct builder *b, const char *name)
{
    if (strcmp(name, "apt") == 0)
        return source_stanzas(b, "LC_ALL=C apt-cache dumpavail 2>/dev/null", 1);
    if (strcmp(name, "dpkg") == 0)
        return source_stanzas(b, "/var/lib/dpkg/status", 0);
    return source_files(b, "/usr", 60000);
}

int catalogue_build(const char *path, const char *source, struct catalogue *c, char *err, size_t err_cap)
{
    static const struct {
        const char *name, *text;
    } sources[] = {{"apt", "the packages that apt knows (apt-cache dumpavail)"},
                   {"dpkg", "the packages installed here (dpkg's status file)"},
                   {"files", "the files under /usr (their directories and links as the graph)"}};
    int any = strcmp(source, "auto") == 0;
    snprintf(err, err_cap, "no source gave %d records", CATALOGUE_MIN_RECORDS);
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        if (!any && strcmp(source, sources[i].name) != 0)
            continue;
        struct builder b;
        int rc = builder_init(&b, path);
        if (rc == 0)
            rc = read_source(&b, sources[i].name);
        int enough = b.n >= CATALOGUE_MIN_RECORDS;
        if (rc == 0 && enough)
            rc = builder_finish(&b, c);
        if (rc != 0)
            snprintf(err, err_cap, "building the database from %s failed: %s", sources[i].name,
                     b.db ? sqlite3_errmsg(b.db) : "out of memory");
        builder_fini(&b);
        if (rc == 0 && enough) {
            c->source = sources[i].text;
            return 0;
        }
    }
    return -1;
}

void catalogue_fini(struct catalogue *c)
{
    for (uint32_t i = 0; i < c->n; i++)
        free(c->names[i]);
    free(c->names);
    memset(c, 0, sizeof *c);
}
