/* statistics.c - the same numbers four ways: a struct, a text dump, a sink for one's own exporter, and events. */
#include <stdio.h>
#include <string.h>

#include <tiercache.h>
#include <tiercache/hooks.h>

/* A sink writes to where metrics live; here lines in Prometheus's manner, zeros left out. */
struct sink {
    unsigned fields, type_fields;
    uint64_t hits;
};

static void on_stat(void *ctx, const struct cache_stat *s)
{
    struct sink *sink = ctx;
    sink->fields++;
    sink->type_fields += s->type != NULL;
    if (s->type && strcmp(s->name, "l1_hits") == 0)
        sink->hits = s->value;
    if (s->value != 0 && s->type)
        printf("cache_%s{cache=\"%s\",type=\"%s\"} %llu\n", s->name, s->cache, s->type, (unsigned long long)s->value);
}

static void on_event(void *ctx, const struct cache_event *e)
{
    if (e->kind == CACHE_EVENT_LOAD_FAILED) {
        printf("event: the loader of %.*s failed with %d\n", (int)e->key.len, (const char *)e->key.data, e->status);
        ++*(int *)ctx;
    }
}

static int load(struct cache_load *ld, const struct cache_key *k, void *user)
{
    (void)k;
    return user ? cache_load_reply(ld, user, strlen(user)) : CACHE_E_USER_FIRST; /* the origin says no */
}

/* Some traffic: three fetches of one key, one of a key that cannot be loaded. */
static int traffic(struct cache *c, const struct cache_type *page)
{
    static char text[] = "hello";
    struct cache_fetch_opts f = CACHE_FETCH_OPTS_INIT;
    struct cache_key k;
    struct cache_value v;
    f.load = load;
    f.user = text;
    cache_key_u64(cache_key_init(&k, page), 42);
    for (int i = 0; i < 3; i++) {
        int rc = cache_fetch(c, &k, &f, &v);
        if (rc != CACHE_OK)
            return rc;
        cache_value_release(&v);
    }
    f.user = NULL;
    int rc = cache_fetch(c, cache_key_u64(cache_key_init(&k, page), 43), &f, &v);
    return rc == CACHE_E_USER_FIRST ? CACHE_OK : CACHE_E_LOAD;
}

int main(void)
{
    static const struct cache_stats_sink_ops sink_ops = {CACHE_HOOKS_ABI, on_stat};
    static const struct cache_event_ops event_ops = {CACHE_HOOKS_ABI, on_event};
    struct sink sink = {0, 0, 0};
    int failures = 0;
    struct cache_opts o = CACHE_OPTS_INIT;
    struct cache_type_opts t = CACHE_TYPE_OPTS_INIT;
    struct cache *c;
    struct cache_type *page;
    struct cache_stats s;
    char text[16384], err[256] = "";
    o.stats_sink = &sink_ops;
    o.stats_sink_ctx = &sink;
    o.events = &event_ops;
    o.events_ctx = &failures;
    t.name = "page";
    if (cache_open(&o, &c, err, sizeof err) != CACHE_OK || cache_type_register(c, &t, &page) != CACHE_OK) {
        fprintf(stderr, "cannot open: %s\n", err);
        return 1;
    }
    int right = traffic(c, page) == CACHE_OK && cache_stats_read(c, page, &s, sizeof s) == CACHE_OK;
    if (right) {
        printf("struct: %llu hits, %llu misses, %llu loads of which %llu failed\n", (unsigned long long)s.l1_hits,
               (unsigned long long)s.l1_misses, (unsigned long long)s.loads, (unsigned long long)s.load_errors);
        right = s.l1_hits == 2 && s.loads == 2 && s.load_errors == 1 && failures == 1;
    }
    right = right && cache_stats_text(&s, text, sizeof text, NULL) == CACHE_OK;
    printf("text: %.*s ...\nsink:\n", right ? (int)strcspn(text, "\n") : 0, text);
    right = right && cache_stats_push(c) == CACHE_OK && sink.hits == 2 && sink.fields > sink.type_fields;
    printf("%s\n", right ? "all as expected" : "NOT as expected");
    return cache_close(c, 1000) == CACHE_OK && right ? 0 : 1;
}
