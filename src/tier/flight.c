/* Flights. A bucket's lock guards its list and the results of its flights; the leader works without any lock.
 *
 * Which flights a thread leads, innermost first, is a list in thread-local memory: a loader that fetches is inside one.
 * It serves to see a loader that asks for its own key, and to see that waiting for another thread's flight would close
 * a circle. A loader that leaves by longjmp never takes its flight off the list; see forget_abandoned(). */
#include "tier/flight.h"

#include <string.h>

#include "tier/cache.h"

static _Thread_local struct tc_flight *leading;

/* Loads that this thread runs outside any flight. */
static _Thread_local struct {
    struct {
        uint64_t cache_id, hash;
    } loads[TC_FLIGHT_ALONE_MAX];
    unsigned n;
} alone;

int tc_flights_init(struct tc_flights *f, const struct tc_alloc *alloc)
{
    *f = (struct tc_flights){ NULL, .ready = false };
    if (tc_lock_init(&f->graph) != 0)
        return CACHE_E_SYSTEM;
    f->ready = true;
    f->buckets = tc_alloc_lines(alloc, TC_FLIGHT_BUCKETS * sizeof *f->buckets);
    if (f->buckets == NULL)
        return CACHE_E_NOMEM;
    for (size_t i = 0; i < TC_FLIGHT_BUCKETS; i++) {
        struct tc_flight_bucket *b = &f->buckets[i];
        if (tc_lock_init(&b->lock) != 0)
            return CACHE_E_SYSTEM;
        if (tc_cond_init(&b->done) != 0) {
            tc_lock_fini(&b->lock);
            return CACHE_E_SYSTEM;
        }
        b->ready = true;
    }
    return CACHE_OK;
}

void tc_flights_fini(struct tc_flights *f, const struct tc_alloc *alloc)
{
    for (size_t i = 0; f->buckets != NULL && i < TC_FLIGHT_BUCKETS; i++)
        if (f->buckets[i].ready) {
            tc_cond_fini(&f->buckets[i].done);
            tc_lock_fini(&f->buckets[i].lock);
        }
    tc_free_lines(alloc, f->buckets, TC_FLIGHT_BUCKETS * sizeof *f->buckets);
    f->buckets = NULL;
    if (f->ready)
        tc_lock_fini(&f->graph);
    f->ready = false;
}

static struct tc_flight_bucket *bucket_of(struct cache *c, uint64_t hash)
{
    return &c->flights.buckets[(hash >> 40) % TC_FLIGHT_BUCKETS];
}

static bool is_of(const struct tc_flight *f, uint64_t cache_id, const struct tc_target *t)
{
    return f->cache_id == cache_id && f->hash == t->ref.hash && f->key_len == t->ref.key.len &&
           memcmp(f->key, t->ref.key.data, f->key_len) == 0;
}

static void unlist_locked(struct tc_flight_bucket *b, struct tc_flight *f)
{
    tc_lock_assert_held(&b->lock);
    if (!f->listed)
        return;
    struct tc_flight **at = &b->first;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    f->listed = false;
}

/* Gives up one reference; true if it was the last: then the caller frees, without the lock. */
static bool leave_locked(struct tc_flight_bucket *b, struct tc_flight *f)
{
    tc_lock_assert_held(&b->lock);
    return --f->refs == 0;
}

static void free_flight(struct cache *c, struct tc_flight *f)
{
    if (f->entry != NULL)
        tc_l1_drop(&c->l1, f->entry);
    tc_free(&c->alloc, f, sizeof *f + f->key_len);
}

static struct tc_flight *find_locked(struct cache *c, struct tc_flight_bucket *b, const struct tc_target *t)
{
    tc_lock_assert_held(&b->lock);
    for (struct tc_flight *f = b->first; f != NULL; f = f->next)
        if (is_of(f, c->id, t))
            return f;
    return NULL;
}

static enum tc_flight_role enter_locked(struct cache *c, struct tc_flight_bucket *b, const struct tc_target *t,
                                        struct tc_flight *fresh, struct tc_flight **flight)
{
    tc_lock_assert_held(&b->lock);
    struct tc_flight *f = find_locked(c, b, t);
    bool expired = f != NULL && tc_clock_now_ms(&c->clock) >= f->expires_ms;
    if (expired)
        tc_l1_void(&c->l1, t->ref.hash); /* its reply, should it come, is not to overwrite the next one's */
    /* Read under the bucket's lock: an invalidation that is over by now has moved it. */
    uint64_t generation = tc_l1_generation(&c->l1, t->ref.hash);
    if (f != NULL && f->generation == generation && !expired) {
        f->refs++;
        *flight = f;
        return TC_FLIGHT_JOIN;
    }
    if (f != NULL)
        unlist_locked(b, f);
    fresh->generation = generation;
    fresh->next = b->first;
    fresh->listed = true;
    b->first = fresh;
    *flight = fresh;
    return TC_FLIGHT_LEAD;
}

static struct tc_flight *make_flight(struct cache *c, const struct tc_target *t, int64_t load_timeout_ms)
{
    struct tc_flight *f = tc_alloc_zeroed(&c->alloc, sizeof *f + t->ref.key.len);
    if (f == NULL)
        return NULL;
    f->cache = c;
    f->cache_id = c->id;
    f->hash = t->ref.hash;
    f->expires_ms = tc_deadline(tc_clock_now_ms(&c->clock), load_timeout_ms);
    f->refs = 1;
    f->key_len = t->ref.key.len;
    memcpy(f->key, t->ref.key.data, f->key_len);
    return f;
}

/* Takes flights off the list whose loaders left by longjmp: their time is over, and the frame that led them lies where
 * the stack, which grows down, no longer is. A loader that is merely slow is further out than who asks. */
static void forget_abandoned(uintptr_t frame)
{
    struct tc_flight **at = &leading;
    while (*at != NULL)
        if ((*at)->frame <= frame && tc_clock_now_ms(&(*at)->cache->clock) >= (*at)->expires_ms)
            *at = (*at)->outer;
        else
            at = &(*at)->outer;
}

static bool is_mine(struct cache *c, const struct tc_target *t)
{
    for (const struct tc_flight *f = leading; f != NULL; f = f->outer)
        if (is_of(f, c->id, t))
            return true;
    for (unsigned i = 0; i < alone.n; i++)
        if (alone.loads[i].cache_id == c->id && alone.loads[i].hash == t->ref.hash)
            return true;
    return false;
}

bool tc_flight_alone_begin(struct cache *c, const struct tc_target *t)
{
    if (alone.n == TC_FLIGHT_ALONE_MAX)
        return false;
    alone.loads[alone.n].cache_id = c->id;
    alone.loads[alone.n++].hash = t->ref.hash;
    return true;
}

void tc_flight_alone_end(void)
{
    tc_assert(alone.n > 0);
    alone.n--;
}

enum tc_flight_role tc_flight_enter(struct cache *c, const struct tc_target *t, int64_t load_timeout_ms,
                                    struct tc_flight **flight)
{
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    forget_abandoned(frame);
    if (is_mine(c, t))
        return TC_FLIGHT_LOOP;
    /* Made before the lock is taken, though it may not be needed: no allocation under it. */
    struct tc_flight *fresh = make_flight(c, t, load_timeout_ms);
    if (fresh == NULL)
        return TC_FLIGHT_NOMEM;
    struct tc_flight_bucket *b = bucket_of(c, t->ref.hash);
    tc_lock_acquire(&b->lock);
    enum tc_flight_role role = enter_locked(c, b, t, fresh, flight);
    tc_lock_release(&b->lock);
    if (role == TC_FLIGHT_LEAD) {
        fresh->frame = frame;
        fresh->outer = leading;
        leading = fresh;
    } else {
        free_flight(c, fresh);
    }
    return role;
}

/* Flights of other caches are under other locks: a circle through two caches ends with the deadline only. */
static void set_awaits_locked(struct cache *c, struct tc_flight *f)
{
    tc_lock_assert_held(&c->flights.graph);
    for (struct tc_flight *mine = leading; mine != NULL; mine = mine->outer)
        if (mine->cache == c)
            mine->awaits = f;
}

/* Marks that the flights this thread leads wait for f, unless f's leader already waits, in the end, for one of them. */
static bool begin_waiting(struct cache *c, struct tc_flight *f)
{
    if (leading == NULL)
        return true;
    tc_lock_acquire(&c->flights.graph);
    bool circle = false;
    for (const struct tc_flight *at = f; at != NULL && !circle; at = at->awaits)
        for (const struct tc_flight *mine = leading; mine != NULL; mine = mine->outer)
            circle = circle || at == mine;
    if (!circle)
        set_awaits_locked(c, f);
    tc_lock_release(&c->flights.graph);
    return !circle;
}

static void end_waiting(struct cache *c)
{
    if (leading == NULL)
        return;
    tc_lock_acquire(&c->flights.graph);
    set_awaits_locked(c, NULL);
    tc_lock_release(&c->flights.graph);
}

static int wait_locked(struct cache *c, struct tc_flight_bucket *b, struct tc_flight *f, int64_t deadline_ms,
                       struct tc_entry **entry, uint32_t *tier)
{
    tc_lock_assert_held(&b->lock);
    while (!f->done)
        if (!tc_cond_wait(&b->done, &b->lock, deadline_ms - tc_clock_now_ms(&c->clock)) && !f->done)
            return CACHE_E_TIMEOUT;
    if (f->entry != NULL)
        tc_l1_pin(&c->l1, f->entry);
    *entry = f->entry;
    *tier = f->tier;
    return f->status;
}

int tc_flight_wait(struct cache *c, struct tc_flight *f, int64_t deadline_ms, struct tc_entry **entry, uint32_t *tier)
{
    struct tc_flight_bucket *b = bucket_of(c, f->hash);
    bool may_wait = begin_waiting(c, f);
    *entry = NULL;
    tc_lock_acquire(&b->lock);
    int status = may_wait ? wait_locked(c, b, f, deadline_ms, entry, tier) : CACHE_E_DEADLOCK;
    tc_lock_release(&b->lock);
    if (may_wait)
        end_waiting(c); /* while this thread's reference keeps f alive: others follow awaits to it */
    tc_lock_acquire(&b->lock);
    bool last = leave_locked(b, f);
    tc_lock_release(&b->lock);
    if (last)
        free_flight(c, f);
    return status;
}

static void stop_leading(struct tc_flight *f)
{
    for (struct tc_flight **at = &leading; *at != NULL; at = &(*at)->outer)
        if (*at == f) {
            *at = f->outer;
            return;
        }
}

void tc_flight_end(struct cache *c, struct tc_flight *f, int status, struct tc_entry *entry, uint32_t tier)
{
    struct tc_flight_bucket *b = bucket_of(c, f->hash);
    stop_leading(f);
    if (entry != NULL)
        tc_l1_hold(entry);
    tc_lock_acquire(&b->lock);
    f->done = true;
    f->status = status;
    f->tier = tier;
    f->entry = entry;
    unlist_locked(b, f);
    bool last = leave_locked(b, f);
    tc_lock_release(&b->lock);
    if (last)
        free_flight(c, f);
    else
        tc_cond_broadcast(&b->done);
}
