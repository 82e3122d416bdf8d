/* A value is a stream of words that depend on key and version, the version first, so that bytes of another key, of two
 * versions, or of freed memory do not pass. */
#include "tt_l1.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tt_hasher.h"
#include "tt_util.h"

struct tt_l1 *tt_l1_new(uint64_t limit, size_t stripes, const struct cache_evict_ops *evict)
{
    return tt_l1_new_with_room(limit, stripes, evict, 0);
}

struct tt_l1 *tt_l1_new_with_room(uint64_t limit, size_t stripes, const struct cache_evict_ops *evict,
                                  size_t node_bytes)
{
    /* tc_l1 wants whole cache lines, and sanitizers see that it gets them. */
    struct tt_l1 *r = tc_alloc_lines(&tc_alloc_default, sizeof *r);
    if (r == NULL)
        tt_die("out of memory");
    tt_alloc_init(&r->counting);
    r->alloc = tt_alloc_table(&r->counting);
    tt_clock_init(&r->time);
    r->clock = (struct tc_clock){ tt_clock_ops, &r->time, false };
    r->secret = UINT64_C(0x5eed);
    int rc = tc_l1_init(&r->l1, limit, stripes, evict, node_bytes, tt_hasher(), &r->alloc, &r->clock);
    if (rc == CACHE_OK)
        rc = tc_l1_open_gates(&r->l1);
    if (rc != CACHE_OK) {
        tc_l1_fini(&r->l1);
        tt_alloc_fini(&r->counting);
        tc_free_lines(&tc_alloc_default, r, sizeof *r);
        return NULL;
    }
    for (size_t i = 0; i < TT_L1_TYPES; i++) {
        r->policies[i].l1_max_value_bytes = UINT64_MAX;
        if (tc_type_open(NULL, &tc_alloc_default, NULL, "type", (uint32_t)i, &r->policies[i], &r->types[i]) != CACHE_OK)
            tt_die("no type");
    }
    return r;
}

void tt_l1_bring(struct tt_l1 *r, size_t type, const struct cache_evict_ops *evict)
{
    if (!tc_l1_fits_evict(&r->l1, evict))
        tt_die("no room for nodes of %s", evict->name);
    tc_l1_set_evict(&r->l1, r->types[type], evict);
    tc_l1_know(&r->l1, r->types[type]);
}

static bool say(bool good, const char *what)
{
    if (!good)
        fprintf(stderr, "tt_l1: not true at the end: %s\n", what);
    return good;
}

bool tt_l1_free(struct tt_l1 *r)
{
    bool good = say(tc_l1_check(&r->l1), "the accounts agree with what is there");
    good = say(tc_l1_pin_count(&r->l1) == 0, "nothing is pinned") && good;
    good = say(tt_l1_detached_bytes(r) == 0, "nothing is detached") && good;
    tc_l1_fini(&r->l1);
    tc_l1_fini(&r->l1); /* harmless */
    good = tt_alloc_is_clean(&r->counting) && good;
    tt_alloc_fini(&r->counting);
    for (size_t i = 0; i < TT_L1_TYPES; i++)
        tc_type_close(r->types[i]);
    tc_free_lines(&tc_alloc_default, r, sizeof *r);
    return good;
}

static int use_a_record(void *arg, unsigned index)
{
    struct tt_l1 *r = arg;
    (void)index;
    return tc_reader_self(&r->l1.readers) == NULL;
}

void tt_l1_have_company(struct tt_l1 *r)
{
    /* This thread's first: a record whose thread is no more would be given to it, and it would be alone. */
    if (use_a_record(r, 0) != 0 || tt_crew_join(tt_crew_start(1, use_a_record, r)) != 0 ||
        tc_readers_alone(&r->l1.readers))
        tt_die("no company");
}

/* ---- keys ---- */

struct tt_l1_key tt_l1_key(const struct tt_l1 *r, uint64_t number)
{
    uint64_t state = r->secret ^ number;
    return (struct tt_l1_key){ tt_random(&state), number };
}

size_t tt_l1_stripe_of(const struct tt_l1 *r, uint64_t hash)
{
    return (size_t)(tc_l1_gate_id(&r->l1, hash) / TC_GATES);
}

struct tt_l1_key tt_l1_key_in(const struct tt_l1 *r, uint64_t number, size_t stripe)
{
    uint64_t state = r->secret ^ number;
    struct tt_l1_key k = { tt_random(&state), number };
    while (tt_l1_stripe_of(r, k.hash) != stripe)
        k.hash = tt_random(&state);
    return k;
}

struct tc_l1_ref tt_l1_ref(const struct tt_l1_key *k)
{
    struct cache_slice key = { &k->number, sizeof k->number };
    tt_hasher_say(key, k->hash);
    return (struct tc_l1_ref){ k->hash, key };
}

/* ---- values ---- */

static uint64_t word(uint64_t number, uint64_t version, size_t i)
{
    uint64_t state = number * 31 + version * 1000003 + i;
    return i == 0 ? version : tt_random(&state);
}

void tt_l1_fill(unsigned char *to, size_t len, uint64_t number, uint64_t version)
{
    for (size_t i = 0; i < len; i += 8) {
        uint64_t w = word(number, version, i);
        memcpy(to + i, &w, len - i < 8 ? len - i : 8);
    }
}

bool tt_l1_is_value(const void *data, size_t len, uint64_t number, uint64_t *version)
{
    uint64_t told = 0;
    if (len >= 8)
        memcpy(&told, data, 8);
    for (size_t i = 8; i < len; i += 8) {
        uint64_t w = word(number, told, i);
        if (memcmp((const unsigned char *)data + i, &w, len - i < 8 ? len - i : 8) != 0)
            return false;
    }
    if (version != NULL)
        *version = told;
    return true;
}

bool tt_l1_is_late_enough(const void *data, size_t len, uint64_t number, uint64_t oldest)
{
    uint64_t version;
    return tt_l1_is_value(data, len, number, &version) && (len < sizeof version || version >= oldest);
}

/* ---- calls ---- */

int64_t tt_l1_now(struct tt_l1 *r)
{
    return tt_clock_mono_ms(&r->time);
}

struct tc_entry *tt_l1_entry(struct tt_l1 *r, struct tt_l1_key k, const struct tt_l1_put *p)
{
    struct tc_l1_ref ref = tt_l1_ref(&k);
    struct tc_entry *e = tc_entry_open(&r->alloc, r->l1.node_bytes, r->types[p->type], k.hash, ref.key, p->len);
    if (e == NULL)
        return NULL;
    tt_l1_fill(tc_entry_room(e), p->len, k.number, p->version);
    struct tc_entry_more *more = tc_entry_more(e);
    more->made_ms = more->taken_ms = tt_l1_now(r);
    if (p->ttl_ms > 0) {
        more->fresh_until_ms = tt_l1_now(r) + p->ttl_ms;
        more->keep_until_ms = more->fresh_until_ms + p->stale_ms;
    }
    return e;
}

int tt_l1_put_with(struct tt_l1 *r, struct tt_l1_key k, const struct tt_l1_put *p)
{
    struct tc_entry *e = tt_l1_entry(r, k, p);
    if (e == NULL)
        return CACHE_E_NOMEM;
    int rc = tc_l1_put(&r->l1, e, &r->policies[p->type], p->expected, p->advance);
    tc_l1_drop(&r->l1, e);
    return rc;
}

int tt_l1_put(struct tt_l1 *r, struct tt_l1_key k, size_t len)
{
    return tt_l1_put_with(r, k, &(struct tt_l1_put){ .len = len, .advance = true });
}

struct tc_l1_found tt_l1_get(struct tt_l1 *r, struct tt_l1_key k)
{
    struct tc_l1_found f;
    tc_l1_get(&r->l1, tt_l1_ref(&k), tt_l1_now(r), &f);
    if (f.entry != NULL && !tt_l1_is_value(tc_entry_data(f.entry), tc_entry_len(f.entry), k.number, NULL))
        tt_die("key %" PRIu64 " has another key's value", k.number);
    return f;
}

bool tt_l1_has(struct tt_l1 *r, struct tt_l1_key k)
{
    struct tc_l1_found f = tt_l1_get(r, k);
    if (f.entry != NULL)
        tc_l1_release(&r->l1, f.entry);
    return f.entry != NULL && f.fresh;
}

bool tt_l1_set_over(struct tt_l1 *r, const struct tc_entry_parts *p)
{
    struct tc_reader *me = tc_reader_self(&r->l1.readers);
    uint32_t refs;
    tc_reader_enter(&r->l1.readers, me);
    struct tc_entry *e = tc_index_find(tc_l1_stripe(&r->l1, p->hash)->index.view, p->hash, p->key, &refs);
    bool done = e != NULL && tc_l1_overwrite(&r->l1, me, e, refs, p);
    tc_reader_leave(me);
    return done;
}

bool tt_l1_take(struct tc_entry *e, uint32_t refs, void *buf, size_t cap, int64_t now_ms, struct tc_entry_taken *t)
{
    struct tc_entry_seen seen = { e, refs, tc_entry_sizes(e) };
    return tc_entry_take(&seen, tc_sizes_key_len(seen.sizes), buf, cap, now_ms, t);
}

void tt_l1_invalidate(struct tt_l1 *r, struct tt_l1_key k)
{
    tc_l1_invalidate(&r->l1, tt_l1_ref(&k));
}

/* ---- accounts ---- */

uint64_t tt_l1_count_of(struct tt_l1 *r, size_t type, enum tc_counter which)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < TC_STATS_SHARDS; i++)
        sum += atomic_load(&r->types[type]->stats.shards[i].counters[which]);
    if (which == TC_COUNT_l1_evicted_bytes) /* those that were written over are counted by who does */
        sum += tc_readers_counted(&r->l1.readers, r->types[type]->id).evicted;
    return sum;
}

uint64_t tt_l1_count(struct tt_l1 *r, enum tc_counter which)
{
    uint64_t sum = 0;
    for (size_t t = 0; t < TT_L1_TYPES; t++)
        sum += tt_l1_count_of(r, t, which);
    return sum;
}

uint64_t tt_l1_detached_bytes(struct tt_l1 *r)
{
    return atomic_load(&r->l1.detached_bytes);
}

uint64_t tt_l1_type_entries(struct tt_l1 *r, size_t type)
{
    return atomic_load(&r->types[type]->l1_entries);
}

uint64_t tt_l1_type_bytes(struct tt_l1 *r, size_t type)
{
    return atomic_load(&r->types[type]->l1_bytes);
}
