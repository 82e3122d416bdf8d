/* Reading traces, unpacked by gzip. */
#include "trace.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/report.h"

static const char ending[] = ".txt.gz";

/* The length of the name without the ending, or 0. */
static size_t stem_of(const char *file)
{
    size_t n = strlen(file), m = sizeof ending - 1;
    return n > m && strcmp(file + n - m, ending) == 0 ? n - m : 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void *grown(void *p, size_t n, size_t size)
{
    p = reallocarray(p, n, size);
    if (p == NULL)
        tt_bench_die("out of memory");
    return p;
}

bool tt_hit_traces_find(struct tt_hit_traces *t, const char *dir)
{
    *t = (struct tt_hit_traces){ NULL, 0 };
    DIR *d = opendir(dir);
    if (d == NULL)
        return false;
    for (const struct dirent *f; (f = readdir(d)) != NULL;) {
        size_t n = stem_of(f->d_name);
        if (n == 0)
            continue;
        t->names = grown(t->names, t->n + 1, sizeof *t->names);
        t->names[t->n] = grown(NULL, n + 1, 1);
        memcpy(t->names[t->n], f->d_name, n);
        t->names[t->n++][n] = '\0';
    }
    closedir(d);
    if (t->n > 0)
        qsort(t->names, t->n, sizeof *t->names, by_name);
    return true;
}

void tt_hit_traces_free(struct tt_hit_traces *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->names[i]);
    free(t->names);
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static size_t count_distinct(const struct tt_hit_trace *t)
{
    uint64_t *sorted = grown(NULL, t->n, sizeof *sorted);
    memcpy(sorted, t->keys, t->n * sizeof *sorted);
    qsort(sorted, t->n, sizeof *sorted, by_key);
    size_t n = 1;
    for (size_t i = 1; i < t->n; i++)
        n += sorted[i] != sorted[i - 1];
    free(sorted);
    return n;
}

/* gzip gets the name through the environment: no character in it can be taken for shell syntax. */
static FILE *open_unpacked(const char *dir, const char *name)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/%s%s", dir, name, ending) >= sizeof path)
        tt_bench_die("%s: the name is too long", name);
    if (setenv("TC_BENCH_TRACE", path, 1) != 0)
        return NULL;
    return popen("exec gzip -dc -- \"$TC_BENCH_TRACE\"", "r");
}

void tt_hit_trace_read(struct tt_hit_trace *t, const char *dir, const char *name)
{
    char line[256];
    size_t room = 0;
    FILE *f = open_unpacked(dir, name);
    if (f == NULL)
        tt_bench_die("%s: %s", name, strerror(errno));
    *t = (struct tt_hit_trace){ NULL, 0, 0 };
    while (fgets(line, sizeof line, f) != NULL) {
        if (!isdigit((unsigned char)*line))
            tt_bench_die("%s: request %zu has no number", name, t->n + 1);
        if (t->n == room)
            t->keys = grown(t->keys, room = room > 0 ? 2 * room : 65536, sizeof *t->keys);
        t->keys[t->n++] = strtoull(line, NULL, 10);
    }
    if (ferror(f) || pclose(f) != 0 || t->n == 0)
        tt_bench_die("%s was not read whole", name);
    t->n_distinct = count_distinct(t);
}

void tt_hit_trace_free(struct tt_hit_trace *t)
{
    free(t->keys);
    *t = (struct tt_hit_trace){ NULL, 0, 0 };
}
