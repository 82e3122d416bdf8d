/* What the cache does, below the checking of arguments: reading, loading, writing, through both tiers. */
#ifndef TC_TIER_VERBS_H
#define TC_TIER_VERBS_H

#include "tier/cache.h"

/* The outcome of a look-up. With CACHE_OK and CACHE_ABSENT entry is pinned. */
struct tc_outcome {
    int status;
    struct tc_entry *entry;
    uint32_t tier;  /* CACHE_TIER_* */
    uint32_t flags; /* CACHE_META_* */
};

/* ---- read.c ---- */
#define TC_SAMPLE_EVERY 1024 /* one hit of so many of a thread and type is timed */
struct tc_read_opts {
    uint32_t flags;     /* CACHE_CALL_* */
    int64_t timeout_ms; /* as in struct cache_call: a hit in L1 reads no exact clock */
    struct cache_ticket *ticket; /* may be NULL */
};
/* me: the calling thread's record, or NULL. */
void tc_read(struct cache *c, struct tc_reader *me, const struct tc_target *t, const struct tc_read_opts *o,
             struct tc_outcome *out);

/* The same for a copy. CACHE_OK: L1 answered, the value was copied, *copied tells of it. CACHE_ABSENT: L1 answered.
 * TC_READ_PINNED: *out is as tc_read's, to be copied from. */
#define TC_READ_PINNED 1000
int tc_read_copy(struct cache *c, struct tc_reader *me, const struct tc_target *t, void *buf, size_t cap,
                 struct tc_l1_copied *copied, struct tc_outcome *out);

/* A miss of a batch that asks for nothing special, of a key that tier/hit_many.h has looked up, within a call: true, and
 * it is counted, and the thread has a ticket. False: there may be an answer, or L2 is to be asked. */
bool tc_read_plain_miss(struct cache *c, struct tc_reader *me, const struct cache_key *key);

/* The steps of it that other verbs share. tc_read_l1: true if L1 answered; else found says what stale entry is there
 * (pinned) and which generation the key has. */
bool tc_read_l1(struct cache *c, struct tc_reader *me, const struct tc_target *t, struct tc_l1_found *found,
                struct tc_outcome *out);
void tc_read_settle(struct cache *c, struct tc_l2_read *r, uint64_t generation, struct tc_outcome *out);
/* Answers with the stale entry and takes its pin: true; or drops it: false. */
bool tc_read_stale(struct cache *c, struct cache_type *t, struct tc_l1_found *found, bool allowed,
                   struct tc_outcome *out);
/* After both tiers were asked: the stale entry if L2 failed, else the miss and its ticket (may be NULL). */
void tc_read_finish(struct cache *c, const struct tc_target *t, struct tc_l1_found *found, uint32_t flags,
                    struct cache_ticket *ticket, struct tc_outcome *out);

/* ---- fetch.c ---- */
struct tc_fetch_opts {
    uint32_t flags; /* CACHE_FETCH_* */
    cache_load_fn *load;
    void *user;
    const struct cache_key *key;
    int64_t deadline_ms;
};
void tc_fetch(struct cache *c, const struct tc_target *t, const struct tc_fetch_opts *o, struct tc_outcome *out);

/* What cache_load_reply() and the others of its family do. */
int tc_load_reply(struct cache_load *ld, const void *data, size_t len);
void *tc_load_buffer(struct cache_load *ld, size_t len);
int tc_load_absent(struct cache_load *ld);
int tc_load_ttl(struct cache_load *ld, int64_t ttl_ms);
int64_t tc_load_remaining_ms(const struct cache_load *ld);

/* ---- write.c ---- */
/* A value on its way in. */
struct tc_value_in {
    const struct tc_target *target;
    struct tc_policy policy;
    struct tc_entry *entry; /* the caller's reference */
    struct cache_ttl ttl;
    int64_t now_ms;      /* when it was prepared, by the coarse clock */
    uint64_t generation; /* of the ticket; only for fills */
    int status;          /* the result */
    bool in_gate;        /* from here: while it is stored */
    uint64_t gate;
    size_t order;
};

/* Makes the entry of a value, with a copy of data, and decides its lifetimes. in->status: CACHE_OK, CACHE_E_NOMEM,
 * CACHE_E_TOO_LARGE; in->entry is a reference of the caller's, NULL if it failed. room, if not NULL: where the entry of
 * a value that goes to L1 alone may be made; it is there for as long as *in is used. */
struct tc_room {
    _Alignas(8) unsigned char bytes[1024];
};
void tc_write_prepare(struct cache *c, const struct tc_target *t, struct cache_slice data, bool absent,
                      int64_t wished_ms, struct tc_room *room, struct tc_value_in *in);

/* An entry for a value that is made here, of that policy's kind; NULL when out of memory. */
struct tc_entry *tc_write_entry(struct cache *c, const struct tc_target *t, const struct tc_policy *p, size_t len);

/* Decides the lifetimes of in->entry from in->policy and sets them; it may be another entry then. load_us -1: not
 * from a loader. */
void tc_write_lifetime(struct cache *c, struct tc_value_in *in, int64_t wished_ms, int64_t load_us);
/* Stores values that answer a miss, in one round trip; in->status: CACHE_OK, CACHE_QUEUED (L2 did not take it),
 * CACHE_E_UNKNOWN, CACHE_E_TICKET, CACHE_E_TOO_LARGE, CACHE_E_NOMEM. */
void tc_write_fill(struct cache *c, struct tc_value_in *in, int64_t deadline_ms);
void tc_write_fill_many(struct cache *c, struct tc_value_in **in, size_t n, int64_t deadline_ms);
/* Stores authoritative values; also CACHE_E_TIMEOUT. Reorders in. */
void tc_write_set_many(struct cache *c, struct tc_value_in **in, size_t n, int64_t deadline_ms);
/* ---- invalidate.c ---- */
/* statuses[i]: CACHE_OK, CACHE_QUEUED, CACHE_E_UNKNOWN. In force in this process when it returns. */
void tc_invalidate(struct cache *c, const struct tc_target *targets, int *statuses, size_t n, int64_t deadline_ms);
#define TC_INVALIDATE_CHUNK 64 /* keys in one round trip */

/* The same without counting them as invalidations that somebody asked for. */
void tc_invalidate_silently(struct cache *c, const struct tc_target *targets, int *statuses, size_t n,
                            int64_t deadline_ms);

/* Keeps the invalidation of a key whose state in L2 is not known. CACHE_QUEUED or CACHE_E_UNKNOWN. */
int tc_invalidate_later(struct cache *c, const struct tc_target *t);

#endif
