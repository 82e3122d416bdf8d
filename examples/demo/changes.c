/* changes.c - a change is: a new revision is committed, then the page's key is invalidated, twice.
 *
 * Why twice: in this version of the library an invalidation voids the loads that run in its own process, and what is
 * in L2. A load that runs in another process meanwhile may still put the page it read before the commit into L2
 * (leases, which fence it, come in a later version; the limit is documented). The application's remedy is a second
 * invalidation after the longest load: loads over LONGEST_LOAD_MS are not cached (worker.c), and the second
 * invalidation comes SECOND_INVALIDATION_MS after the first was acknowledged. «Acknowledged» in the checker is the
 * second's acknowledgement.
 *
 * An invalidation that returned CACHE_QUEUED (L2 is out) counts as acknowledged only when the cache's queue is empty
 * again. */
#include "changes.h"

#include <sqlite3.h>
#include <string.h>

#include "page.h"

enum { STEP_FIRST_QUEUED = 1, STEP_WAIT, STEP_SECOND_QUEUED, STEP_THROUGH, STEP_LOST };

static const int64_t ms_ns = 1000000;

int changes_open(struct changes *ch, const struct demo *d, struct cache *cache, struct cache_type *page)
{
    memset(ch, 0, sizeof *ch);
    ch->d = d;
    ch->cache = cache;
    ch->page = page;
    rng_seed(&ch->rng, d->shared->seed ^ UINT64_C(0xc0ffee));
    if (sqlite3_open_v2(d->shared->db_path, &ch->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return -1;
    sqlite3_busy_timeout(ch->db, 2000);
    if (sqlite3_exec(ch->db, "PRAGMA synchronous=OFF", NULL, NULL, NULL) != SQLITE_OK)
        return -1;
    return sqlite3_prepare_v2(ch->db, "UPDATE packages SET revision = ?, token = ? WHERE id = ?", -1, &ch->update,
                              NULL) == SQLITE_OK ? 0 : -1;
}

void changes_close(struct changes *ch)
{
    sqlite3_finalize(ch->update);
    sqlite3_close(ch->db);
    ch->update = NULL;
    ch->db = NULL;
}

static int invalidate(struct changes *ch, uint32_t i)
{
    struct cache_key k;
    cache_key_str(cache_key_init(&k, ch->page), ch->d->catalogue.names[ch->d->shared->change[i].item]);
    int rc = cache_invalidate(ch->cache, &k, NULL);
    cache_key_fini(&k);
    if (rc == CACHE_QUEUED)
        ch->queued++;
    return rc;
}

static void first_acknowledged(struct changes *ch, uint32_t i)
{
    int64_t now = now_ns();
    atomic_store(&ch->d->shared->change[i].first_ack_ns, now);
    ch->due_ns[i] = now + SECOND_INVALIDATION_MS * ms_ns;
    ch->step[i] = STEP_WAIT;
}

static void second_acknowledged(struct changes *ch, uint32_t i)
{
    atomic_store(&ch->d->shared->change[i].ack_ns, now_ns());
    ch->step[i] = STEP_THROUGH;
    ch->through++;
}

static void lost(struct changes *ch, uint32_t i)
{
    ch->step[i] = STEP_LOST;
    ch->lost++;
}

/* One change: into the log, into the database, out of the cache. The log comes first: see checker.c. */
static int change_one(struct changes *ch)
{
    struct shared *s = ch->d->shared;
    uint32_t i = atomic_load(&s->n_changes);
    if (i == MAX_CHANGES)
        return 0;
    struct change *c = &s->change[i];
    c->item = traffic_draw(&ch->d->traffic, SKEW_ZIPF_099, &ch->rng);
    c->previous = atomic_load(&s->latest[c->item]);
    c->revision = c->previous ? s->change[c->previous - 1].revision + 1 : 2;
    c->token = rng_next(&ch->rng) >> 1;
    atomic_store_explicit(&s->latest[c->item], i + 1, memory_order_release);
    atomic_store(&s->n_changes, i + 1);

    sqlite3_bind_int64(ch->update, 1, c->revision);
    sqlite3_bind_int64(ch->update, 2, (int64_t)c->token);
    sqlite3_bind_int64(ch->update, 3, (int64_t)c->item + 1);
    int rc = sqlite3_step(ch->update);
    sqlite3_reset(ch->update);
    if (rc != SQLITE_DONE || sqlite3_changes(ch->db) != 1)
        return -1;
    atomic_store(&c->commit_ns, now_ns());

    rc = invalidate(ch, i);
    if (rc == CACHE_OK)
        first_acknowledged(ch, i);
    else if (rc == CACHE_QUEUED)
        ch->step[i] = STEP_FIRST_QUEUED;
    else
        lost(ch, i);
    return 0;
}

static void look_after(struct changes *ch, uint32_t i, int drained)
{
    if (ch->step[i] == STEP_FIRST_QUEUED && drained) {
        ch->drained_ns = now_ns();
        first_acknowledged(ch, i);
    } else if (ch->step[i] == STEP_SECOND_QUEUED && drained) {
        ch->drained_ns = now_ns();
        second_acknowledged(ch, i);
    } else if (ch->step[i] == STEP_WAIT && now_ns() >= ch->due_ns[i]) {
        int rc = invalidate(ch, i);
        if (rc == CACHE_OK)
            second_acknowledged(ch, i);
        else if (rc == CACHE_QUEUED)
            ch->step[i] = STEP_SECOND_QUEUED;
        else
            lost(ch, i);
    }
}

int changes_tick(struct changes *ch, double per_second)
{
    uint32_t n = atomic_load(&ch->d->shared->n_changes);
    struct cache_stats st;
    int drained = ch->first_open < n && cache_stats_read(ch->cache, NULL, &st, sizeof st) == CACHE_OK &&
                  st.recovery_pending == 0;
    for (uint32_t i = ch->first_open; i < n; i++) {
        int queues = ch->step[i] == STEP_WAIT;
        look_after(ch, i, drained);
        /* what was queued just now was not among what the statistics said */
        if (queues && ch->step[i] == STEP_SECOND_QUEUED)
            drained = 0;
    }
    while (ch->first_open < n && ch->step[ch->first_open] >= STEP_THROUGH)
        ch->first_open++;

    int64_t now = now_ns();
    if (per_second <= 0 || now - ch->next_ns > 1000 * ms_ns) {
        ch->next_ns = now; /* a pause is not made up for */
        return 0;
    }
    if (now < ch->next_ns)
        return 0;
    ch->next_ns += traffic_gap_ns(&ch->rng, per_second);
    return change_one(ch);
}

uint32_t changes_open_count(const struct changes *ch)
{
    return atomic_load(&ch->d->shared->n_changes) - ch->through - ch->lost;
}
