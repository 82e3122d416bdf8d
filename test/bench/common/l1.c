/* Opening, filling, checking and closing all subjects of an L1 benchmark. */
#include "l1.h"

#include <stdlib.h>
#include <string.h>

#include "l1_fit.h"
#include "loop.h"
#include "report.h"

struct cache *tt_l1_open_cache(uint64_t l1_bytes, uint32_t flags, struct cache_type **type)
{
    char err[256] = "";
    struct cache *c = NULL;
    struct cache_opts o = CACHE_OPTS_INIT;
    struct cache_type_opts t = CACHE_TYPE_OPTS_INIT;
    o.l1_bytes = l1_bytes;
    o.flags = flags;
    t.name = TT_BENCH_KEY_TYPE;
    t.ttl_ms = 3600000;
    if (cache_open(&o, &c, err, sizeof err) != CACHE_OK)
        tt_bench_die("cache_open: %s", err);
    if (cache_type_register(c, &t, type) != CACHE_OK)
        tt_bench_die("cache_type_register failed");
    return c;
}

uint64_t tt_l1_entries(struct cache *c)
{
    struct cache_stats s;
    if (cache_stats_read(c, NULL, &s, sizeof s) != CACHE_OK)
        tt_bench_die("cache_stats_read failed");
    return s.l1_entries;
}

/* ---- room ---- */

/* What one more peer will take, with room to spare for the greediest of them. */
static uint64_t peer_bytes(const struct tt_l1 *l)
{
    return l->n_keys * (uint64_t)(tt_bench_value_most(l->value_bytes) + 384);
}

/* What a file of /proc says under a name, in KiB. */
static uint64_t bytes_of(const char *path, const char *name)
{
    char line[128];
    size_t len = strlen(name);
    uint64_t kib = 0;
    FILE *f = fopen(path, "r");
    while (f != NULL && kib == 0 && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, name, len) == 0)
            kib = strtoull(line + len, NULL, 10);
    if (f != NULL)
        fclose(f);
    return kib * 1024;
}

static uint64_t available_bytes(void)
{
    return bytes_of("/proc/meminfo", "MemAvailable:");
}

/* ---- filling ---- */

static bool key_is_kept(const struct tt_peer *p, const struct tt_l1 *l)
{
    return !l->limited || (p->can & TT_PEER_EVICTS) == 0;
}

static void fill_peer(const struct tt_l1 *l, const struct tt_peer *p, void *handle)
{
    struct tt_bench_key k;
    unsigned char v[TT_BENCH_VALUE_MAX];
    if (p->enter != NULL)
        p->enter(handle);
    for (uint32_t id = 0; id < l->n_keys; id++) {
        tt_bench_key_write(&k, id);
        size_t len = tt_bench_value_bytes(l->value_bytes, id);
        tt_bench_value_fill(v, len, id);
        if (p->set(handle, &k, v, len) == TT_WRONG)
            tt_bench_die("filling %s with %s failed", p->name, k.text);
    }
    if (p->leave != NULL)
        p->leave(handle);
}

static void *open_peer(const struct tt_l1 *l, const struct tt_peer *p)
{
    size_t room = l->n_keys;
    if ((p->can & TT_PEER_EVICTS) != 0) /* twice what is needed, so that no shard is full before the others */
        room = l->limited ? (size_t)l->l1_entries : (size_t)l->n_keys * 2;
    void *handle = p->open(room, tt_bench_value_most(l->value_bytes));
    if (handle == NULL)
        tt_bench_die("out of memory");
    fill_peer(l, p, handle);
    return handle;
}

static void open_ours(struct tt_l1 *l)
{
    if (l->limited) {
        l->l1_bytes = tt_l1_fit(l->n_keys / 10, l->value_bytes);
    } else {
        uint64_t room = (uint64_t)l->n_keys * (tt_bench_value_most(l->value_bytes) + 512);
        l->l1_bytes = room < (64u << 20) ? 64u << 20 : room;
    }
    l->cache = tt_l1_open_cache(l->l1_bytes, l->huge_pages ? CACHE_OPEN_HUGE_PAGES : 0, &l->type);
    tt_l1_fill(l->cache, l->type, l->n_keys, l->value_bytes);
    l->l1_entries = tt_l1_entries(l->cache);
    if (l->limited)
        printf("\n%.1f MB of L1 hold %llu of %u keys with values of %s%zu bytes\n", (double)l->l1_bytes / 1e6,
               (unsigned long long)l->l1_entries, l->n_keys, l->value_bytes == TT_BENCH_ALL_SIZES ? "8 to " : "",
               tt_bench_value_most(l->value_bytes));
}

void tt_l1_need(struct tt_l1 *l)
{
    const struct tt_peer *all[TT_PEERS_MAX];
    if (l->is_open)
        return;
    l->is_open = true;
    open_ours(l);
    l->bare = open_peer(l, &tt_peer_bare);
    if (l->huge_pages)
        printf("\n%.0f MB of this process are in huge pages\n",
               (double)bytes_of("/proc/self/smaps_rollup", "AnonHugePages:") / 1e6);
    size_t n = l->huge_pages ? 0 : tt_peers(all);
    for (size_t i = 0; i < n; i++) {
        if (l->limited && (all[i]->can & TT_PEER_EVICTS) == 0)
            continue;
        if (available_bytes() < 2 * peer_bytes(l)) {
            printf("left out: %s (not enough memory)\n", all[i]->name);
            continue;
        }
        l->peers[l->n_peers] = all[i];
        l->handles[l->n_peers++] = open_peer(l, all[i]);
    }
    tt_l1_verify(l);
}

/* ---- checking ---- */

static void verify_peer(const struct tt_l1 *l, const struct tt_peer *p, void *handle)
{
    struct tt_bench_key k;
    unsigned char v[TT_BENCH_VALUE_MAX];
    if (p->enter != NULL)
        p->enter(handle);
    for (uint32_t id = 0; id < l->n_keys; id++) {
        tt_bench_key_write(&k, id);
        enum tt_answer a = p->get(handle, &k, v);
        if (a == TT_HIT ? !tt_bench_value_is_of(v, tt_bench_value_bytes(l->value_bytes, id), id) : key_is_kept(p, l))
            tt_bench_die("%s does not hold %s", p->name, k.text);
    }
    if (p->leave != NULL)
        p->leave(handle);
}

void tt_l1_verify(const struct tt_l1 *l)
{
    struct tt_bench_key k;
    struct cache_key ck;
    struct cache_meta m;
    unsigned char v[TT_BENCH_VALUE_MAX];
    for (uint32_t id = 0; id < l->n_keys; id++) {
        tt_bench_key_write(&k, id);
        cache_key_str(cache_key_init(&ck, l->type), tt_bench_key_part(&k));
        int rc = cache_get_copy(l->cache, &ck, v, sizeof v, &m);
        if (rc == CACHE_OK ? m.len != tt_bench_value_bytes(l->value_bytes, id) || !tt_bench_value_is_of(v, m.len, id)
                           : !l->limited || rc != CACHE_MISS)
            tt_bench_die("tiercache does not hold %s: %s", k.text, cache_status_text(rc));
    }
    verify_peer(l, &tt_peer_bare, l->bare);
    for (size_t i = 0; i < l->n_peers; i++)
        verify_peer(l, l->peers[i], l->handles[i]);
}

void tt_l1_close(struct tt_l1 *l)
{
    if (!l->is_open)
        return;
    for (size_t i = 0; i < l->n_peers; i++)
        l->peers[i]->close(l->handles[i]);
    tt_peer_bare.close(l->bare);
    if (cache_close(l->cache, 1000) != CACHE_OK)
        tt_bench_die("cache_close failed");
    l->is_open = false;
    l->n_peers = 0;
}

/* ---- cases ---- */

TT_LOOP_INLINE enum tt_answer bare_get(const struct tt_task *t, unsigned thread, size_t pos, unsigned char *buf)
{
    enum tt_answer a = tt_bare_get(t->l1->bare, &t->seq->keys[thread][pos].k, buf);
    return tt_right_if(tt_bench_value_begins_with(buf, t->seq->ids[thread][pos]), a);
}

static void body_bare_get(void *ctx, struct tt_bench_worker *w)
{
    tt_loop_keys(ctx, w, bare_get);
}

bool tt_l1_case_begin(const struct tt_bench *b, struct tt_l1_case *k, struct tt_l1 *l, struct tt_sequence *seq,
                      const char *name, unsigned n_threads)
{
    if (!tt_bench_wants(b, name, n_threads))
        return false;
    tt_l1_need(l);
    tt_sequence_need(seq, l->type, n_threads);
    *k = (struct tt_l1_case){.c = {.name = name, .n_threads = n_threads, .pinned = true, .n_references = 1,
                                   .clock = n_threads == 1 ? TT_BENCH_CPU : TT_BENCH_WALL}};
    k->tasks[0] = (struct tt_task){.l1 = l, .seq = seq, .goes_on = l->limited};
    k->c.subjects[0] = (struct tt_bench_subject){.name = "bare table get", .body = body_bare_get, .ctx = &k->tasks[0]};
    k->c.n_subjects = 1;
    return true;
}

size_t tt_l1_case_add(struct tt_l1_case *k, const char *name, tt_bench_body_fn *body)
{
    size_t i = k->c.n_subjects++;
    k->tasks[i] = k->tasks[0];
    k->c.subjects[i] = (struct tt_bench_subject){.name = name, .body = body, .ctx = &k->tasks[i]};
    return i;
}

size_t tt_l1_case_add_peers(struct tt_l1_case *k, unsigned can, tt_bench_body_fn *body)
{
    const struct tt_l1 *l = k->tasks[0].l1;
    size_t first = k->c.n_subjects;
    for (size_t i = 0; i < l->n_peers; i++) {
        if (can != 0 && (l->peers[i]->can & can) == 0)
            continue;
        size_t s = tt_l1_case_add(k, l->peers[i]->name, body);
        k->tasks[s].peer = l->peers[i];
        k->tasks[s].handle = l->handles[i];
        k->c.subjects[s].rounds_wanted = TT_BENCH_QUALIFYING_MIN;
    }
    return first;
}
