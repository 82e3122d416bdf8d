/* page.h - renders the page of one package from the database, and reads back what a page claims to be. */
#ifndef DEMO_PAGE_H
#define DEMO_PAGE_H

#include <stddef.h>
#include <stdint.h>

#include "text.h"

struct sqlite3;
struct sqlite3_stmt;

/* One connection with its prepared statements; for one thread. */
struct page_reader {
    struct sqlite3 *db;
    struct sqlite3_stmt *package, *edges, *related, *directory, *closure, *reverse;
};

/* What the first line of a page says. name points into the page and is not terminated. */
struct page_claim {
    const char *name;
    size_t name_len;
    uint32_t revision;
    uint64_t token;
    int intact; /* the checksum over everything fits */
};

int page_reader_open(struct page_reader *r, const char *db_path); /* 0 or -1; close in both cases */
void page_reader_close(struct page_reader *r);

enum { PAGE_OK = 0, PAGE_ABSENT = 1, PAGE_FAILED = -1 };

/* Renders the page of the package called name into out. All of it is read in one transaction: one state of the
 * database. */
int page_render(struct page_reader *r, const char *name, struct text *out);

/* Puts the first line and the checksum around a body that is empty: a page for the checker's own test. */
void page_seal(struct text *out, const char *name, uint32_t revision, uint64_t token);

/* Reads a page's first line and checks its checksum. Returns 0, or -1 if it is no page at all. */
int page_parse(const void *data, size_t len, struct page_claim *claim);

/* The token of a package's first revision. Later ones are random: a page cannot guess the token of a revision. */
uint64_t page_first_token(const char *name);

#endif
