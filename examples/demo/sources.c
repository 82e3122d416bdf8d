/* sources.c - where the catalogue's records come from: Debian's control stanzas, or the machine's own file tree. */
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalogue.h"

/* ---- control stanzas: "Field: value" lines, an empty line between records ---------------------------------------- */

enum { F_PACKAGE, F_VERSION, F_SECTION, F_ARCHITECTURE, F_MAINTAINER, F_HOMEPAGE, F_DESCRIPTION, F_SIZE,
       F_PRE_DEPENDS, F_DEPENDS, F_RECOMMENDS, F_SUGGESTS, F_COUNT };

static const char *const field_names[F_COUNT] = {
    "Package", "Version", "Section", "Architecture", "Maintainer", "Homepage", "Description", "Installed-Size",
    "Pre-Depends", "Depends", "Recommends", "Suggests"};

struct stanza {
    char *field[F_COUNT]; /* NULL or owned */
};

static void stanza_clear(struct stanza *s)
{
    for (int i = 0; i < F_COUNT; i++) {
        free(s->field[i]);
        s->field[i] = NULL;
    }
}

/* Continuation lines (the long description, tags) and unknown fields are left out. */
static int stanza_line(struct stanza *s, const char *line)
{
    const char *colon = strchr(line, ':');
    if (!colon || *line == ' ' || *line == '\t')
        return 0;
    for (int i = 0; i < F_COUNT; i++) {
        size_t n = strlen(field_names[i]);
        if (n != (size_t)(colon - line) || strncmp(line, field_names[i], n) != 0 || s->field[i])
            continue;
        s->field[i] = strdup(colon + 1 + strspn(colon + 1, " "));
        return s->field[i] ? 0 : -1;
    }
    return 0;
}

/* "libc6 (>= 2.34), a | b": every alternative becomes an edge, with its version range as the note. */
static int stanza_edges(struct builder *b, int64_t id, int kind, char *list)
{
    char *save = NULL;
    for (char *part = list ? strtok_r(list, ",|", &save) : NULL; part; part = strtok_r(NULL, ",|", &save)) {
        part += strspn(part, " ");
        size_t n = strcspn(part, " :(");
        const char *note = strchr(part, '(');
        if (n > 0 && builder_edge(b, id, kind, part, n, note) != 0)
            return -1;
    }
    return 0;
}

static int stanza_end(struct builder *b, struct stanza *s)
{
    static const int kinds[][2] = {{F_PRE_DEPENDS, EDGE_PRE_DEPENDS}, {F_DEPENDS, EDGE_DEPENDS},
                                   {F_RECOMMENDS, EDGE_RECOMMENDS}, {F_SUGGESTS, EDGE_SUGGESTS}};
    int rc = 0;
    if (s->field[F_PACKAGE]) {
        struct record r = {s->field[F_PACKAGE], s->field[F_VERSION], s->field[F_SECTION], s->field[F_ARCHITECTURE],
                           s->field[F_MAINTAINER], s->field[F_HOMEPAGE], s->field[F_DESCRIPTION],
                           s->field[F_SIZE] ? atoll(s->field[F_SIZE]) : 0};
        int64_t id = builder_add(b, &r);
        rc = id < 0 ? -1 : 0;
        for (size_t i = 0; i < 4 && id > 0 && rc == 0; i++)
            rc = stanza_edges(b, id, kinds[i][1], s->field[kinds[i][0]]);
    }
    stanza_clear(s);
    return rc;
}

int source_stanzas(struct builder *b, const char *file_or_command, int is_command)
{
    FILE *f = is_command ? popen(file_or_command, "r") : fopen(file_or_command, "r");
    if (!f)
        return 0;
    struct stanza s = {{NULL}};
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int rc = 0;
    while (rc == 0 && (n = getline(&line, &cap, f)) >= 0) {
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            line[--n] = '\0';
        rc = n == 0 ? stanza_end(b, &s) : stanza_line(&s, line);
    }
    if (rc == 0)
        rc = stanza_end(b, &s);
    stanza_clear(&s);
    free(line);
    if (is_command)
        pclose(f);
    else
        fclose(f);
    return rc;
}

/* ---- the file tree ----------------------------------------------------------------------------------------------- */

static int add_file(struct builder *b, const FTSENT *e)
{
    char summary[96], target[4096], when[32];
    const struct stat *st = e->fts_statp;
    const char *kind = S_ISDIR(st->st_mode) ? "directory" : S_ISLNK(st->st_mode) ? "symbolic link" : "file";
    snprintf(summary, sizeof summary, "%s of %lld bytes, mode %04o, %lu names", kind, (long long)st->st_size,
             (unsigned)(st->st_mode & 07777), (unsigned long)st->st_nlink);
    snprintf(when, sizeof when, "%lld", (long long)st->st_mtime);
    struct record r = {e->fts_path, when, kind, NULL, NULL, NULL, summary, st->st_size};
    int64_t id = builder_add(b, &r);
    if (id <= 0)
        return id < 0 ? -1 : 0;
    const char *slash = strrchr(e->fts_path, '/');
    if (slash && slash > e->fts_path &&
        builder_edge(b, id, EDGE_CONTAINED_IN, e->fts_path, (size_t)(slash - e->fts_path), NULL) != 0)
        return -1;
    if (!S_ISLNK(st->st_mode))
        return 0;
    char *real = realpath(e->fts_accpath, NULL);
    ssize_t n = real ? snprintf(target, sizeof target, "%s", real)
                     : readlink(e->fts_accpath, target, sizeof target - 1);
    free(real);
    if (n <= 0 || n >= (ssize_t)sizeof target)
        return 0;
    return builder_edge(b, id, EDGE_LINKS_TO, target, (size_t)n, NULL);
}

int source_files(struct builder *b, const char *root, uint32_t max_records)
{
    char *roots[] = {strdup(root), NULL};
    FTS *tree = roots[0] ? fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL) : NULL;
    int rc = tree ? 0 : -1;
    uint32_t n = 0;
    FTSENT *e;
    while (rc == 0 && n < max_records && (e = fts_read(tree)) != NULL) {
        if (e->fts_info == FTS_D || e->fts_info == FTS_F || e->fts_info == FTS_SL || e->fts_info == FTS_SLNONE) {
            rc = add_file(b, e);
            n++;
        }
    }
    if (tree)
        fts_close(tree);
    free(roots[0]);
    return rc;
}
