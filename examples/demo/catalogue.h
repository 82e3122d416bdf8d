/* catalogue.h - the origin: a SQLite database built from a catalogue that this machine really has. */
#ifndef DEMO_CATALOGUE_H
#define DEMO_CATALOGUE_H

#include <stddef.h>
#include <stdint.h>

/* The kinds of edges in the graph, in the order a page shows them. */
enum { EDGE_PRE_DEPENDS, EDGE_DEPENDS, EDGE_RECOMMENDS, EDGE_SUGGESTS, EDGE_CONTAINED_IN, EDGE_LINKS_TO, EDGE_KINDS };

/* The packages' names by their number in the database (id = index + 1). */
struct catalogue {
    char **names;
    uint32_t n;
    uint32_t edges;
    const char *source; /* what it was built from, for people */
};

enum { CATALOGUE_MIN_RECORDS = 1000 }; /* below it a source is not worth a cache */

/* Builds the database in the new file path. source: "auto" (the first that gives enough records), or "apt", "dpkg",
 * "files". Returns 0, or -1 with a sentence in err. */
int catalogue_build(const char *path, const char *source, struct catalogue *c, char *err, size_t err_cap);
void catalogue_fini(struct catalogue *c);

/* ---- for the sources --------------------------------------------------------------------------------------------- */

struct record {
    const char *name, *version, *section, *architecture, *maintainer, *homepage, *summary;
    int64_t size;
};
struct builder;

/* Adds a record; a name that is there already is left alone. Returns its id, 0 if it is not new, -1 on failure. */
int64_t builder_add(struct builder *b, const struct record *r);

/* Adds an edge from record id to the record named target (which may come later, or never: it is then only named). */
int builder_edge(struct builder *b, int64_t id, int kind, const char *target, size_t target_len, const char *note);

/* Each returns 0, or -1 when it broke off; how much it found is for the caller to judge. */
int source_stanzas(struct builder *b, const char *file_or_command, int is_command);
int source_files(struct builder *b, const char *root, uint32_t max_records);

#endif
