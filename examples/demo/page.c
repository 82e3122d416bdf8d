/* page.c - see page.h.
 *
 * A page begins with "<!-- LENGTH NAME revision R token T checksum C -->": name, revision and token as they were in
 * the transaction that read everything else, and a checksum over them and every byte that follows. So whoever gets the
 * page can tell whose it is, which state of the database it shows, and that no byte of it is another's.
 *
 * A page shows its own record and the names and summaries of its neighbours in the graph, near and far. Changes never
 * touch a summary: pages depend on their own record only (dependencies between entries come with a later version of
 * the library). */
#include "page.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "catalogue.h"

enum { MAX_REVERSE = 40, MAX_CLOSURE = 120, CHECKSUM_DIGITS = 16 };

static const char *const edge_titles[EDGE_KINDS] = {"Pre-depends", "Depends", "Recommends", "Suggests", "Contained in",
                                                    "Links to"};

static uint64_t fnv1a(uint64_t h, const void *data, size_t len)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h;
}

static const uint64_t fnv_start = UINT64_C(0xcbf29ce484222325);

uint64_t page_first_token(const char *name)
{
    return fnv1a(fnv_start, name, strlen(name)) >> 1;
}

/* ---- the connection ---------------------------------------------------------------------------------------------- */

int page_reader_open(struct page_reader *r, const char *db_path)
{
    memset(r, 0, sizeof *r);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(db_path, &r->db, flags, NULL) != SQLITE_OK)
        return -1;
    sqlite3_busy_timeout(r->db, 2000);
    const struct {
        sqlite3_stmt **st;
        const char *sql;
    } all[] = {
        {&r->package, "SELECT id, revision, token, version, section, architecture, maintainer, homepage, size, summary,"
                      " needed_by FROM packages WHERE name = ?"},
        {&r->edges, "SELECT e.kind, coalesce(p.name, e.target_name), e.note, p.summary FROM edges e"
                    " LEFT JOIN packages p ON p.id = e.target WHERE e.pkg = ? ORDER BY e.kind, e.pos"},
        {&r->reverse, "SELECT p.name, p.summary FROM edges e JOIN packages p ON p.id = e.pkg WHERE e.target = ?"
                      " GROUP BY p.id ORDER BY p.id LIMIT 40"},
        {&r->related, "SELECT p.name, p.summary, count(*) AS shared FROM edges mine"
                      " JOIN packages t ON t.id = mine.target AND t.needed_by BETWEEN 2 AND 400"
                      " JOIN edges e ON e.target = t.id JOIN packages p ON p.id = e.pkg"
                      " WHERE mine.pkg = ?1 AND e.pkg <> ?1 GROUP BY e.pkg ORDER BY shared DESC, e.pkg LIMIT 10"},
        {&r->directory, "SELECT count(*), total(p.size) FROM (SELECT e.pkg AS id FROM edges mine"
                        " JOIN edges e ON e.target = mine.target AND e.kind = 4 WHERE mine.pkg = ?1 AND mine.kind = 4"
                        " LIMIT 1000) AS beside JOIN packages p ON p.id = beside.id"},
        {&r->closure, "WITH RECURSIVE need(id) AS (SELECT ?1 UNION SELECT e.target FROM need JOIN edges e"
                      " ON e.pkg = need.id WHERE e.kind NOT IN (2, 3) AND e.target IS NOT NULL LIMIT 121)"
                      " SELECT p.name, p.size FROM need JOIN packages p ON p.id = need.id WHERE p.id <> ?1"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (sqlite3_prepare_v2(r->db, all[i].sql, -1, all[i].st, NULL) != SQLITE_OK)
            return -1;
    }
    return 0;
}

void page_reader_close(struct page_reader *r)
{
    sqlite3_finalize(r->package);
    sqlite3_finalize(r->edges);
    sqlite3_finalize(r->reverse);
    sqlite3_finalize(r->related);
    sqlite3_finalize(r->directory);
    sqlite3_finalize(r->closure);
    sqlite3_close(r->db);
    memset(r, 0, sizeof *r);
}

/* ---- the first line --------------------------------------------------------------------------------------------- */

static uint64_t checksum(const char *data, size_t len, size_t checksum_at)
{
    uint64_t h = fnv1a(fnv_start, data, checksum_at);
    return fnv1a(h, data + checksum_at + CHECKSUM_DIGITS, len - checksum_at - CHECKSUM_DIGITS);
}

/* Returns where the checksum goes; close_page() writes it when the rest is there. */
static size_t open_page(struct text *out, const char *name, int64_t revision, int64_t token)
{
    text_fmt(out, "<!-- %zu %s revision %" PRId64 " token %" PRId64 " checksum ", strlen(name), name, revision, token);
    size_t checksum_at = out->len;
    text_fmt(out, "%0*d -->\n", CHECKSUM_DIGITS, 0);
    return checksum_at;
}

static void close_page(struct text *out, size_t checksum_at)
{
    if (out->failed)
        return;
    char digits[CHECKSUM_DIGITS + 1];
    snprintf(digits, sizeof digits, "%016" PRIx64, checksum(out->data, out->len, checksum_at));
    memcpy(out->data + checksum_at, digits, CHECKSUM_DIGITS);
}

void page_seal(struct text *out, const char *name, uint32_t revision, uint64_t token)
{
    text_clear(out);
    close_page(out, open_page(out, name, revision, (int64_t)token));
}

/* ---- rendering --------------------------------------------------------------------------------------------------- */

static const char *column(sqlite3_stmt *st, int i)
{
    return (const char *)sqlite3_column_text(st, i);
}

static void add_field(struct text *out, const char *label, const char *value)
{
    if (!value || !*value)
        return;
    text_fmt(out, "<tr><th>%s</th><td>", label);
    text_html(out, value);
    text_str(out, "</td></tr>\n");
}

static void add_link(struct text *out, const char *name, const char *note, const char *summary)
{
    text_str(out, "<li><a href=\"/package/");
    text_html(out, name);
    text_str(out, "\">");
    text_html(out, name);
    text_str(out, "</a>");
    if (note) {
        text_str(out, " ");
        text_html(out, note);
    }
    text_str(out, summary ? ": " : " (not in the catalogue)");
    text_html(out, summary);
    text_str(out, "</li>\n");
}

static int add_edges(struct page_reader *r, int64_t id, struct text *out)
{
    int rc, last = -1;
    sqlite3_bind_int64(r->edges, 1, id);
    while ((rc = sqlite3_step(r->edges)) == SQLITE_ROW) {
        int kind = sqlite3_column_int(r->edges, 0);
        if (kind != last && kind >= 0 && kind < EDGE_KINDS)
            text_fmt(out, "%s<h2>%s</h2>\n<ul>\n", last < 0 ? "" : "</ul>\n", edge_titles[kind]);
        last = kind;
        add_link(out, column(r->edges, 1), column(r->edges, 2), column(r->edges, 3));
    }
    if (last >= 0)
        text_str(out, "</ul>\n");
    return rc == SQLITE_DONE ? 0 : -1;
}

static int add_reverse(struct page_reader *r, int64_t id, int64_t total, struct text *out)
{
    if (total == 0)
        return 0;
    text_fmt(out, "<h2>Needed by %" PRId64 "</h2>\n<ul>\n", total);
    int rc;
    sqlite3_bind_int64(r->reverse, 1, id);
    while ((rc = sqlite3_step(r->reverse)) == SQLITE_ROW)
        add_link(out, column(r->reverse, 0), NULL, column(r->reverse, 1));
    text_str(out, "</ul>\n");
    if (total > MAX_REVERSE)
        text_fmt(out, "<p>and %" PRId64 " more</p>\n", total - MAX_REVERSE);
    return rc == SQLITE_DONE ? 0 : -1;
}

/* Who needs the same: ranked by how many neighbours are shared; neighbours that hundreds need say nothing. */
static int add_related(struct page_reader *r, int64_t id, struct text *out)
{
    int rc, any = 0;
    sqlite3_bind_int64(r->related, 1, id);
    while ((rc = sqlite3_step(r->related)) == SQLITE_ROW) {
        if (!any++)
            text_str(out, "<h2>Related</h2>\n<ul>\n");
        add_link(out, column(r->related, 0), NULL, column(r->related, 1));
    }
    if (any)
        text_str(out, "</ul>\n");
    return rc == SQLITE_DONE ? 0 : -1;
}

/* Only for files: how much its directory holds. Packages are in none. */
static int add_directory(struct page_reader *r, int64_t id, struct text *out)
{
    sqlite3_bind_int64(r->directory, 1, id);
    if (sqlite3_step(r->directory) != SQLITE_ROW)
        return -1;
    int64_t n = sqlite3_column_int64(r->directory, 0);
    if (n > 0)
        text_fmt(out, "<p>its directory: %" PRId64 " names, %.0f bytes</p>\n", n,
                 sqlite3_column_double(r->directory, 1));
    return 0;
}

/* What comes along: the neighbours' neighbours, recommendations and suggestions left out, at most MAX_CLOSURE. */
static int add_closure(struct page_reader *r, int64_t id, struct text *out)
{
    int rc, n = 0;
    int64_t size = 0;
    sqlite3_bind_int64(r->closure, 1, id);
    while ((rc = sqlite3_step(r->closure)) == SQLITE_ROW) {
        text_str(out, n++ == 0 ? "<h2>Brings along</h2>\n<p>" : ", ");
        text_html(out, column(r->closure, 0));
        size += sqlite3_column_int64(r->closure, 1);
    }
    if (n > 0)
        text_fmt(out, "%s</p>\n<p>together %" PRId64 "</p>\n", n == MAX_CLOSURE ? " ..." : "", size);
    return rc == SQLITE_DONE ? 0 : -1;
}

static int add_page(struct page_reader *r, const char *name, struct text *out)
{
    sqlite3_stmt *p = r->package;
    sqlite3_bind_text(p, 1, name, -1, SQLITE_STATIC);
    int rc = sqlite3_step(p);
    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? PAGE_ABSENT : PAGE_FAILED;
    size_t checksum_at = open_page(out, name, sqlite3_column_int64(p, 1), sqlite3_column_int64(p, 2));
    text_str(out, "<html><head><title>");
    text_html(out, name);
    text_str(out, "</title></head><body>\n<h1>");
    text_html(out, name);
    text_str(out, "</h1>\n<p>");
    text_html(out, column(p, 9));
    text_str(out, "</p>\n<table>\n");
    static const char *const labels[] = {"Version", "Section", "Architecture", "Maintainer", "Homepage", "Size"};
    for (int i = 0; i < 6; i++)
        add_field(out, labels[i], column(p, 3 + i));
    text_str(out, "</table>\n");
    int64_t id = sqlite3_column_int64(p, 0);
    if (add_edges(r, id, out) != 0 || add_related(r, id, out) != 0 || add_directory(r, id, out) != 0 ||
        add_closure(r, id, out) != 0 || add_reverse(r, id, sqlite3_column_int64(p, 10), out) != 0)
        return PAGE_FAILED;
    text_str(out, "</body></html>\n");
    close_page(out, checksum_at);
    return out->failed ? PAGE_FAILED : PAGE_OK;
}

int page_render(struct page_reader *r, const char *name, struct text *out)
{
    text_clear(out);
    if (sqlite3_exec(r->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        return PAGE_FAILED;
    int rc = add_page(r, name, out);
    sqlite3_reset(r->package);
    sqlite3_reset(r->edges);
    sqlite3_reset(r->reverse);
    sqlite3_reset(r->related);
    sqlite3_reset(r->directory);
    sqlite3_reset(r->closure);
    if (sqlite3_exec(r->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        rc = PAGE_FAILED;
    return rc;
}

/* ---- reading a page back ----------------------------------------------------------------------------------------- */

int page_parse(const void *data, size_t len, struct page_claim *claim)
{
    /* the first line is copied so that sscanf has its NUL; names are at most PATH_MAX, see sources.c */
    char head[5000];
    size_t n = len < sizeof head - 1 ? len : sizeof head - 1;
    memcpy(head, data, n);
    head[n] = '\0';
    size_t name_len = 0;
    int name_at = 0, rest = 0;
    if (sscanf(head, "<!-- %zu %n", &name_len, &name_at) != 1 || name_at == 0 || (size_t)name_at + name_len >= n)
        return -1;
    uint64_t token;
    uint32_t revision;
    if (sscanf(head + name_at + name_len, " revision %" SCNu32 " token %" SCNu64 " checksum %n", &revision, &token,
               &rest) != 2 || rest == 0)
        return -1;
    size_t checksum_at = (size_t)name_at + name_len + (size_t)rest;
    if (checksum_at + CHECKSUM_DIGITS > n)
        return -1;
    char digits[CHECKSUM_DIGITS + 1];
    snprintf(digits, sizeof digits, "%016" PRIx64, checksum(data, len, checksum_at));
    claim->name = (const char *)data + name_at;
    claim->name_len = name_len;
    claim->revision = revision;
    claim->token = token;
    claim->intact = memcmp(digits, head + checksum_at, CHECKSUM_DIGITS) == 0;
    return 0;
}
