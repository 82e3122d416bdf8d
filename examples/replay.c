/* replay.c - replays a trace or an access log through L1 and prints hit ratios: try your own traffic.
 *
 * Every request is a get; a miss is followed by a set of a value of the request's size. Nothing is loaded or kept. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tiercache.h>
#include <tiercache/hooks.h>

enum format { FORMAT_AUTO, FORMAT_KEYS, FORMAT_CLF };
enum { MAX_VALUE = 1 << 20, DEFAULT_VALUE = 100 };

struct options {
    const char *file;
    uint64_t entries, bytes; /* one of them is set */
    double percent;          /* of the distinct keys; or this one */
    enum format format;
    const char *policy;
};

struct result {
    uint64_t requests, hits, hit_bytes, all_bytes, skipped, clipped;
};

/* The policies that can be chosen by name; NULL as a table is the library's default. */
static const struct {
    const char *name;
    const struct cache_evict_ops *ops;
} policies[] = {{"lru", NULL}};

static const char usage_text[] =
    "usage: replay FILE [--size N|N%|BYTES] [--policy NAME] [--format auto|keys|clf]\n"
    "  FILE      one key per line, or \"KEY SIZE\", or an access log in Common Log Format (the path is the key);\n"
    "            FILE.gz is unpacked by gzip, - is the standard input (unpacked, and not with --size N%)\n"
    "  --size    1000      entries: the type's quota of entries; memory is then no limit\n"
    "            10%       entries: so many percent of the distinct keys of FILE (read twice; the default)\n"
    "            64M       bytes of memory (K, M, G): L1's limit, which counts keys, values and all overhead\n"
    "  --policy  lru       the order of eviction\n"
    "  --format  auto      clf if the first line holds a quoted request, keys otherwise\n"
    "Values have the size that the line gives (100 bytes without one, cut at 1 MiB).\n";

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct input {
    FILE *f;
    int is_pipe;
    enum format format;
    char *line;
    size_t cap;
    uint64_t lines;
};

/* gzip gets the name through the environment: no character in it can be taken for shell syntax. */
static int input_open(struct input *in, const struct options *o)
{
    size_t n = strlen(o->file);
    *in = (struct input){NULL, 0, o->format, NULL, 0, 0};
    if (strcmp(o->file, "-") == 0) {
        in->f = stdin;
    } else if (n > 3 && strcmp(o->file + n - 3, ".gz") == 0) {
        in->is_pipe = 1;
        if (setenv("TC_REPLAY_FILE", o->file, 1) == 0)
            in->f = popen("gzip -dc -- \"$TC_REPLAY_FILE\"", "r");
    } else {
        in->f = fopen(o->file, "r");
    }
    return in->f ? 0 : -1;
}

/* Returns 0, or -1 if the input was not read whole. */
static int input_close(struct input *in)
{
    int bad = ferror(in->f);
    if (in->is_pipe)
        bad |= pclose(in->f) != 0;
    else if (in->f != stdin)
        fclose(in->f);
    free(in->line);
    return bad ? -1 : 0;
}

/* host ident user [date] "METHOD PATH PROTOCOL" status bytes */
static char *parse_clf(char *line, size_t *size)
{
    char *quote = strchr(line, '"'), *end = quote ? strchr(quote + 1, '"') : NULL;
    if (!end)
        return NULL;
    char *path = quote + 1 + strcspn(quote + 1, " \"");
    path += strspn(path, " ");
    if (path >= end)
        return NULL;
    char *after = strchr(end + 1, ' ');
    after = after ? strchr(after + 1, ' ') : NULL;
    *size = after && isdigit((unsigned char)after[1]) ? strtoull(after + 1, NULL, 10) : DEFAULT_VALUE;
    *end = '\0';
    path[strcspn(path, " ")] = '\0';
    return path;
}

static char *parse_key(char *line, size_t *size)
{
    char *key = line + strspn(line, " \t");
    size_t n = strcspn(key, " \t");
    const char *rest = key + n + strspn(key + n, " \t");
    *size = isdigit((unsigned char)*rest) ? strtoull(rest, NULL, 10) : DEFAULT_VALUE;
    key[n] = '\0';
    return n > 0 ? key : NULL;
}

/* The next request: 1, 0 at the end, -1 for a line that is none. */
static int input_next(struct input *in, char **key, size_t *size)
{
    ssize_t n = getline(&in->line, &in->cap, in->f);
    if (n < 0)
        return 0;
    while (n > 0 && (in->line[n - 1] == '\n' || in->line[n - 1] == '\r'))
        in->line[--n] = '\0';
    if (in->format == FORMAT_AUTO)
        in->format = strchr(in->line, '"') ? FORMAT_CLF : FORMAT_KEYS;
    in->lines++;
    *key = in->format == FORMAT_CLF ? parse_clf(in->line, size) : parse_key(in->line, size);
    return *key ? 1 : -1;
}

/* ---- replaying --------------------------------------------------------------------------------------------------- */

static int open_cache(const struct options *o, uint64_t l1_bytes, uint64_t quota, struct cache **c,
                      struct cache_type **t)
{
    struct cache_opts co = CACHE_OPTS_INIT;
    struct cache_type_opts to = CACHE_TYPE_OPTS_INIT;
    char err[256] = "";
    co.l1_bytes = l1_bytes;
    if (quota)
        co.l1_stripes = 1; /* a quota is divided among the stripes: with one it is exact */
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++)
        if (strcmp(policies[i].name, o->policy) == 0)
            co.evict = policies[i].ops;
    to.name = "key";
    to.ttl_ms = CACHE_TTL_FOREVER;
    to.l1_ttl_ms = CACHE_TTL_MAX_MS;
    to.l1_quota_entries = quota;
    to.l1_max_value_bytes = l1_bytes;
    int rc = cache_open(&co, c, err, sizeof err);
    if (rc == CACHE_OK && (rc = cache_type_register(*c, &to, t)) != CACHE_OK)
        cache_close(*c, 0);
    if (rc != CACHE_OK)
        fprintf(stderr, "replay: %s: %s\n", cache_status_text(rc), err);
    return rc;
}

/* count_only: what matters is which keys there are, so the values are empty and take no memory. */
static int replay(struct cache *c, const struct cache_type *t, struct input *in, int count_only, struct result *r)
{
    static const char value[MAX_VALUE];
    char *text;
    size_t size;
    int got;
    while ((got = input_next(in, &text, &size)) != 0) {
        struct cache_key k;
        struct cache_value v;
        if (got < 0) {
            r->skipped++;
            continue;
        }
        r->clipped += size > MAX_VALUE;
        size = size > MAX_VALUE ? MAX_VALUE : size;
        cache_key_str(cache_key_init(&k, t), text);
        int rc = cache_get(c, &k, NULL, &v);
        r->requests++;
        r->all_bytes += size;
        if (rc == CACHE_OK) {
            r->hits++;
            r->hit_bytes += size;
            cache_value_release(&v);
        } else if (rc == CACHE_MISS) {
            rc = cache_set(c, &k, value, count_only ? 0 : size, NULL);
        }
        cache_key_fini(&k);
        if (rc != CACHE_OK) {
            fprintf(stderr, "replay: line %llu: %s\n", (unsigned long long)in->lines, cache_status_text(rc));
            return -1;
        }
    }
    return 0;
}

static double seconds_since(const struct timespec *begin)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - begin->tv_sec) + (double)(now.tv_nsec - begin->tv_nsec) / 1e9;
}

/* Runs the file through a cache of that size, of no size at all (only to count its keys) if quota and o->bytes are 0;
 * *st is its state afterwards. Returns 0 or -1. */
static int run(const struct options *o, uint64_t l1_bytes, uint64_t quota, struct result *r, struct cache_stats *st,
               double *seconds)
{
    struct cache *c;
    struct cache_type *t;
    struct input in;
    struct timespec begin;
    memset(r, 0, sizeof *r);
    if (open_cache(o, l1_bytes, quota, &c, &t) != CACHE_OK)
        return -1;
    if (input_open(&in, o) != 0) {
        fprintf(stderr, "replay: %s: %s\n", o->file, strerror(errno));
        cache_close(c, 0);
        return -1;
    }
    clock_gettime(CLOCK_MONOTONIC, &begin);
    int rc = replay(c, t, &in, quota == 0 && o->bytes == 0, r);
    *seconds = seconds_since(&begin);
    if (input_close(&in) != 0 && rc == 0) {
        fprintf(stderr, "replay: %s could not be read whole\n", o->file);
        rc = -1;
    }
    if (rc == 0 && cache_stats_read(c, NULL, st, sizeof *st) != CACHE_OK)
        rc = -1;
    return cache_close(c, 1000) == CACHE_OK ? rc : -1;
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static int parse_size(struct options *o, const char *text)
{
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    if (errno != 0 || end == text || !(v > 0) || v > 1e15)
        return -1;
    o->entries = o->bytes = 0;
    o->percent = 0;
    if (*end == '\0' && v >= 1)
        o->entries = (uint64_t)v;
    else if (strcmp(end, "%") == 0)
        o->percent = v;
    else if (*end && strchr("KMG", *end) && end[1] == '\0')
        o->bytes = (uint64_t)(v * (double)(UINT64_C(1) << (*end == 'K' ? 10 : *end == 'M' ? 20 : 30)));
    else
        return -1;
    return 0;
}

static int known_policy(const char *name)
{
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++)
        if (strcmp(policies[i].name, name) == 0)
            return 1;
    fprintf(stderr, "replay: no policy '%s'; known:", name);
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++)
        fprintf(stderr, " %s", policies[i].name);
    fputc('\n', stderr);
    return 0;
}

static int parse_options(struct options *o, int argc, char **argv)
{
    static const struct option longs[] = {{"size", required_argument, NULL, 's'},
                                          {"policy", required_argument, NULL, 'p'},
                                          {"format", required_argument, NULL, 'f'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    static const char *const formats[] = {"auto", "keys", "clf"};
    int c, bad = 0;
    *o = (struct options){NULL, 0, 0, 10, FORMAT_AUTO, "lru"};
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'h') {
            fputs(usage_text, stdout);
            exit(0);
        } else if (c == 's') {
            bad |= parse_size(o, optarg);
        } else if (c == 'p') {
            o->policy = optarg;
        } else if (c == 'f') {
            int i = 0;
            while (i < 3 && strcmp(optarg, formats[i]) != 0)
                i++;
            bad |= i == 3;
            o->format = (enum format)i;
        } else {
            bad = 1;
        }
    }
    o->file = optind < argc ? argv[optind] : NULL;
    if (bad || optind + 1 != argc || (o->percent > 0 && strcmp(o->file, "-") == 0)) {
        fputs(usage_text, stderr);
        return -1;
    }
    return known_policy(o->policy) ? 0 : -1;
}

static void print_result(const struct options *o, uint64_t quota, const struct result *r, const struct cache_stats *st,
                         double seconds)
{
    if (quota)
        printf("size           %llu entries\n", (unsigned long long)quota);
    else
        printf("size           %llu bytes of memory\n", (unsigned long long)o->bytes);
    printf("policy         %s\n", o->policy);
    printf("requests       %llu (%llu lines were none)\n", (unsigned long long)r->requests,
           (unsigned long long)r->skipped);
    printf("hit ratio      %.2f %% of the requests, %.2f %% of the bytes\n",
           100.0 * (double)r->hits / (double)r->requests,
           r->all_bytes ? 100.0 * (double)r->hit_bytes / (double)r->all_bytes : 0.0);
    printf("in the cache   %llu entries, %llu bytes of memory\n", (unsigned long long)st->l1_entries,
           (unsigned long long)st->l1_bytes);
    printf("evicted        %llu (memory %llu, quota %llu, probes %llu)\n",
           (unsigned long long)(st->l1_evicted_bytes + st->l1_evicted_quota + st->l1_evicted_probe),
           (unsigned long long)st->l1_evicted_bytes, (unsigned long long)st->l1_evicted_quota,
           (unsigned long long)st->l1_evicted_probe);
    if (st->l1_too_large || r->clipped)
        printf("too large      %llu kept out, %llu cut to 1 MiB\n", (unsigned long long)st->l1_too_large,
               (unsigned long long)r->clipped);
    printf("time           %.2f s, %.0f ns a request with reading and parsing\n", seconds,
           seconds * 1e9 / (double)r->requests);
}

int main(int argc, char **argv)
{
    struct options o;
    struct result r;
    struct cache_stats st;
    double seconds = 0;
    if (parse_options(&o, argc, argv) != 0)
        return 2;
    /* as much as any trace needs: with a number of entries memory is not to be what limits */
    const uint64_t plenty = UINT64_C(1) << 40;
    uint64_t quota = o.entries;
    if (o.percent > 0) {
        if (run(&o, plenty, 0, &r, &st, &seconds) != 0)
            return 1;
        quota = (uint64_t)((double)st.l1_entries * o.percent / 100);
        quota = quota ? quota : 1;
        printf("distinct keys  %llu\n", (unsigned long long)st.l1_entries);
    }
    if (run(&o, o.bytes ? o.bytes : plenty, quota, &r, &st, &seconds) != 0)
        return 1;
    if (r.requests == 0) {
        fprintf(stderr, "replay: no requests in %s\n", o.file);
        return 1;
    }
    print_result(&o, quota, &r, &st, seconds);
    return 0;
}
