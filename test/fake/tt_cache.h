/* A whole cache on a test bench: the fake clock, the counting allocator, a fake backend as L2 if wanted, every event
 * recorded, values as texts. For tests of what the public functions promise.
 *
 *     struct tt_cache b;
 *     tt_cache_prepare(&b, true);      true: with L2; then change b.opts, b.type_opts, b.l2's table at will
 *     tt_cache_open(&b);
 *     ...
 *     assert_true(tt_cache_close(&b));
 */
#ifndef TT_CACHE_H
#define TT_CACHE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiercache.h"
#include "tiercache/hooks.h"
#include "tt_alloc.h"
#include "tt_backend.h"
#include "tt_clock.h"

enum { TT_TEXT = 64, TT_EVENT_KINDS = 16, TT_CACHE_KEYS = 256 };

/* What was told through the events table. */
struct tt_events {
    pthread_mutex_t lock; /* guards all below */
    unsigned told[TT_EVENT_KINDS];
    struct cache_event last[TT_EVENT_KINDS];
    char key[TT_EVENT_KINDS][TT_TEXT]; /* of the last one, cut */
    void (*then)(void *arg, const struct cache_event *e); /* called after that; NULL: nothing */
    void *arg;
};

struct tt_cache {
    struct tt_clock clock;
    struct tt_alloc alloc;
    struct tt_events events;
    struct tt_backend *l2; /* NULL: L1 only */
    struct cache_opts opts;
    struct cache_type_opts type_opts;
    struct cache *c;
    struct cache_type *type;
    unsigned n_keys;
    uint64_t gates[TT_CACHE_KEYS];
    char err[256]; /* what cache_open() said */
};

void tt_cache_prepare(struct tt_cache *b, bool with_l2);
/* The same with values shared with another bench's, as two processes share one Redis. */
void tt_cache_prepare_beside(struct tt_cache *b, struct tt_cache *other);
void tt_cache_open(struct tt_cache *b);     /* must succeed; registers the type "t" */
int tt_cache_try_open(struct tt_cache *b);  /* b->c is NULL unless it says CACHE_OK */
bool tt_cache_close(struct tt_cache *b);    /* within TT_SOON_MS. False: it did not close, or memory is left */
bool tt_cache_fini(struct tt_cache *b);     /* the same for a bench whose cache is closed, or was never opened */

/* A key of the bench's type that shares its gate (tier/l1/l1.h), hence its tickets' fate, with none made before. */
void tt_cache_key(struct tt_cache *b, struct cache_key *k);
struct cache_slice tt_cache_l2_key(const struct cache_key *k); /* as the backend sees it; in static memory of the thread */

/* A look-up and what it found; the value is released. */
struct tt_answer {
    int status;
    char text[TT_TEXT];
    struct cache_meta meta;
};
struct tt_answer tt_cache_get(struct tt_cache *b, const struct cache_key *k);
struct tt_answer tt_cache_get_with(struct tt_cache *b, const struct cache_key *k, uint32_t flags, int64_t timeout_ms,
                                   struct cache_ticket *ticket);
int tt_cache_set(struct tt_cache *b, const struct cache_key *k, const char *text);
int tt_cache_set_with(struct tt_cache *b, const struct cache_key *k, const char *text, int64_t ttl_ms,
                      const struct cache_ticket *ticket);
/* A value of len bytes, all the same. */
int tt_cache_set_bytes(struct tt_cache *b, const struct cache_key *k, size_t len);

/* Status and text in one look; other text or status: prints what it was. */
bool tt_answer_is(const struct tt_answer *a, int status, const char *text);
#define assert_answer(call, status, text)                      \
    do {                                                       \
        struct tt_answer answer_ = (call);                     \
        assert_true(tt_answer_is(&answer_, (status), (text))); \
    } while (0)

/* ---- a loader that does as it is told ---- */

struct tt_loader {
    const char *text;   /* its reply; NULL: none */
    bool absent;        /* replies that there is nothing */
    int status;         /* what it returns */
    int64_t ttl_ms;     /* given to cache_load_ttl() unless 0 */
    /* Called before the reply; anything but CACHE_OK is returned in place of status. NULL: nothing. */
    int (*inside)(struct tt_loader *l, struct cache_load *ld, const struct cache_key *k);
    void *arg;
    _Atomic unsigned calls;

    pthread_mutex_t lock; /* guards the barrier */
    pthread_cond_t changed;
    bool blocks;
    unsigned waiting;
};

void tt_loader_init(struct tt_loader *l, const char *text);
void tt_loader_fini(struct tt_loader *l);
int tt_loader_run(struct cache_load *ld, const struct cache_key *k, void *loader); /* a cache_load_fn */
void tt_loader_block(struct tt_loader *l);                    /* calls stop before they reply */
bool tt_loader_await_blocked(struct tt_loader *l, unsigned n); /* false: not within 5 s */
void tt_loader_release(struct tt_loader *l);

struct tt_answer tt_cache_fetch(struct tt_cache *b, const struct cache_key *k, struct tt_loader *l);
struct tt_answer tt_cache_fetch_with(struct tt_cache *b, const struct cache_key *k, struct tt_loader *l,
                                     uint32_t flags, int64_t timeout_ms);

/* ---- a call in a thread of its own ---- */

enum tt_verb { TT_VERB_GET, TT_VERB_SET, TT_VERB_FETCH, TT_VERB_INVALIDATE };

/* Fill the first group, zero the rest. */
struct tt_call {
    enum tt_verb verb;
    struct tt_cache *b;
    const struct cache_key *k;
    struct tt_loader *l;                /* fetch */
    const char *text;                   /* set */
    const struct cache_ticket *ticket;  /* set */
    uint32_t flags;                     /* get, fetch */
    int64_t timeout_ms;

    struct tt_answer answer; /* after join */
    int64_t took_ms;
    _Atomic bool done;
    _Atomic int tid;
    pthread_t thread;
};
void tt_call_start(struct tt_call *call);
void tt_call_join(struct tt_call *call); /* ends the program if it hangs for a minute */
/* The thread sleeps in the kernel, as it does when it waits for another's load; false: not within 5 s. */
bool tt_call_await_asleep(struct tt_call *call);

/* ---- looking ---- */

struct cache_stats tt_cache_stats(struct tt_cache *b); /* of the whole cache */
unsigned tt_cache_told(struct tt_cache *b, uint32_t kind);             /* events of that kind so far */
struct cache_event tt_cache_last_event(struct tt_cache *b, uint32_t kind);
/* The worker has replayed everything; false: not within 5 s. */
bool tt_cache_await_replayed(struct tt_cache *b);

#endif
