/* What left the table and may still be read.
 *
 * Each thread keeps what it unlinks until it is a sixteenth of the reserve, less if there are more than four, then hands
 * it on as a batch that carries the epoch. When batches of some size have come together the epoch is stepped, which
 * costs a system call, and what has waited for two steps is freed. Batches count in a reserve that was taken out of the
 * limit at the start; who stores while more than that waits steps at once, and waits for readers that were interrupted
 * while they read. A process with one thread that uses the cache has no limbo: what it unlinks, nobody else reads. */
#include <sched.h>

#include "tier/l1/l1.h"

#define BATCH_MAX (512u << 10)

/* Three batches wait as a rule: one for the first step, one for the second, one comes together. */
static uint64_t batch_bytes(const struct tc_l1 *l1)
{
    return l1->reserve / 4 < BATCH_MAX ? l1->reserve / 4 : BATCH_MAX;
}

int tc_limbo_init(struct tc_l1 *l1)
{
    int rc = tc_lock_init(&l1->limbo.lock);
    l1->limbo.ready = rc == 0;
    return rc;
}

void tc_l1_give_up_entry(struct tc_l1 *l1, struct tc_entry *e)
{
    /* Nobody takes a new pin: one reference now means one for good. Otherwise callers hold the value on, and it is
     * marked and counted before our reference goes, since theirs may be gone the next instant. */
    if ((atomic_load_explicit(&e->refs, memory_order_acquire) & TC_ENTRY_REFS) > 1)
        tc_l1_detach(l1, e);
    tc_l1_drop(l1, e);
}

static void give_up_entries(struct tc_l1 *l1, struct tc_entry *e)
{
    while (e != NULL) {
        struct tc_entry *next = e->next;
        tc_l1_give_up_entry(l1, e);
        e = next;
    }
}

/* ---- batches ---- */

static bool has_passed(struct tc_l1 *l1, uint64_t epoch)
{
    return tc_readers_passed(&l1->readers, epoch);
}

static bool take_passed_batch_locked(struct tc_l1 *l1, struct tc_batch *batch)
{
    struct tc_limbo *w = &l1->limbo;
    tc_lock_assert_held(&w->lock);
    if (w->n == 0 || !has_passed(l1, w->batches[w->begin].epoch))
        return false;
    *batch = w->batches[w->begin];
    w->begin = (w->begin + 1) % TC_LIMBO_BATCHES;
    w->n--;
    return true;
}

static struct tc_table *take_passed_table_locked(struct tc_l1 *l1)
{
    struct tc_limbo *w = &l1->limbo;
    tc_lock_assert_held(&w->lock);
    struct tc_table *t = w->tables;
    if (t == NULL || !has_passed(l1, t->epoch))
        return NULL;
    w->tables = t->next;
    if (w->tables == NULL)
        w->last_table = NULL;
    return t;
}

/* Frees what has passed. */
static void collect(struct tc_l1 *l1)
{
    struct tc_limbo *w = &l1->limbo;
    for (;;) {
        struct tc_batch batch = { NULL, NULL, 0, 0 };
        tc_lock_acquire(&w->lock);
        bool found = take_passed_batch_locked(l1, &batch);
        struct tc_table *t = take_passed_table_locked(l1);
        /* Not after the freeing: it may take long, and others would wait for what nobody holds. */
        uint64_t bytes = batch.bytes + (t != NULL ? tc_index_table_bytes(t) : 0);
        atomic_fetch_sub_explicit(&w->bytes, bytes, memory_order_relaxed);
        tc_lock_release(&w->lock);
        if (!found && t == NULL)
            return;
        give_up_entries(l1, batch.first);
        if (t != NULL)
            tc_index_free_table(t, l1->alloc);
    }
}

static void count(struct tc_limbo *w, uint64_t bytes)
{
    atomic_fetch_add_explicit(&w->bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&w->since_step, bytes, memory_order_relaxed);
}

/* If the ring is full, for want of readers who go on, the youngest batch takes the new one in. */
static void append_batch_locked(struct tc_limbo *w, const struct tc_batch *batch)
{
    tc_lock_assert_held(&w->lock);
    if (w->n < TC_LIMBO_BATCHES) {
        w->batches[(w->begin + w->n++) % TC_LIMBO_BATCHES] = *batch;
        return;
    }
    struct tc_batch *youngest = &w->batches[(w->begin + w->n - 1) % TC_LIMBO_BATCHES];
    youngest->last->next = batch->first;
    youngest->last = batch->last;
    youngest->epoch = batch->epoch > youngest->epoch ? batch->epoch : youngest->epoch;
    youngest->bytes += batch->bytes;
}

static void append_batch(struct tc_l1 *l1, struct tc_batch *batch)
{
    struct tc_limbo *w = &l1->limbo;
    batch->epoch = tc_readers_epoch(&l1->readers);
    tc_lock_acquire(&w->lock);
    append_batch_locked(w, batch);
    count(w, batch->bytes);
    tc_lock_release(&w->lock);
}

/* Puts what was taken out in front of a batch. */
static void add(struct tc_l1 *l1, struct tc_batch *batch, struct tc_entry *e)
{
    while (e != NULL) {
        struct tc_entry *next = e->next;
        e->next = batch->first;
        batch->first = e;
        if (batch->last == NULL)
            batch->last = e;
        batch->bytes += tc_l1_entry_bytes(l1, e);
        e = next;
    }
}

static void append_table(struct tc_l1 *l1, struct tc_table *t)
{
    struct tc_limbo *w = &l1->limbo;
    t->epoch = tc_readers_epoch(&l1->readers);
    t->next = NULL;
    tc_lock_acquire(&w->lock);
    if (w->last_table != NULL)
        w->last_table->next = t;
    else
        w->tables = t;
    w->last_table = t;
    count(w, tc_index_table_bytes(t)); /* the next moment somebody may free it */
    tc_lock_release(&w->lock);
}

static uint64_t waiting_bytes(struct tc_l1 *l1)
{
    return atomic_load_explicit(&l1->limbo.bytes, memory_order_relaxed);
}

static void step(struct tc_l1 *l1)
{
    atomic_store_explicit(&l1->limbo.since_step, 0, memory_order_relaxed);
    tc_readers_step(&l1->readers);
    collect(l1);
}

/* A step for each batch that comes together; for more than the reserve holds, as many as let it go, if nobody reads. */
static void step_if_due(struct tc_l1 *l1)
{
    struct tc_limbo *w = &l1->limbo;
    if (atomic_load_explicit(&w->since_step, memory_order_relaxed) < batch_bytes(l1))
        return;
    step(l1);
    for (int more = 0; more < 2 && waiting_bytes(l1) > l1->reserve; more++)
        step(l1);
}

/* ---- a thread's own ---- */

static void keep_waiting(struct tc_l1 *l1, struct tc_reader *me, struct tc_entry *e)
{
    struct tc_batch mine = { me->waiting, me->waiting_last, 0, me->waiting_bytes };
    add(l1, &mine, e);
    /* All threads together keep about a batch to themselves. */
    uint64_t n = atomic_load_explicit(&l1->readers.n, memory_order_relaxed);
    bool enough = mine.bytes >= batch_bytes(l1) / (n > 4 ? n : 4);
    if (enough)
        append_batch(l1, &mine);
    me->waiting = enough ? NULL : mine.first;
    me->waiting_last = enough ? NULL : mine.last;
    me->waiting_bytes = enough ? 0 : mine.bytes;
}

/* Without a record. */
static void wait_at_once(struct tc_l1 *l1, struct tc_entry *e)
{
    struct tc_batch batch = { NULL, NULL, 0, 0 };
    add(l1, &batch, e);
    append_batch(l1, &batch);
}

void tc_l1_give_up(struct tc_l1 *l1, struct tc_dropped *dropped)
{
    struct tc_dropped d = *dropped;
    *dropped = (struct tc_dropped){ NULL, NULL };
    if (d.first == NULL && d.table == NULL)
        return;
    struct tc_reader *me = tc_reader_self(&l1->readers);
    if (tc_readers_alone(&l1->readers)) {
        give_up_entries(l1, d.first);
        if (d.table != NULL)
            tc_index_free_table(d.table, l1->alloc);
        return;
    }
    if (d.table != NULL)
        append_table(l1, d.table);
    if (d.first != NULL && me != NULL)
        keep_waiting(l1, me, d.first);
    else if (d.first != NULL)
        wait_at_once(l1, d.first);
    step_if_due(l1);
}

/* ---- the reserve ---- */

#define PATIENCE_MS 100 /* for a reader that was interrupted: it reads for less than a microsecond otherwise */

bool tc_limbo_drain(struct tc_l1 *l1)
{
    int64_t until_ms = 0;
    for (unsigned round = 0; waiting_bytes(l1) > l1->reserve; round++) {
        step(l1);
        if (round < 2)
            continue;
        if (until_ms == 0)
            until_ms = tc_mono_ms() + PATIENCE_MS;
        else if (tc_mono_ms() > until_ms)
            return false;
        sched_yield();
    }
    return true;
}

void tc_limbo_fini(struct tc_l1 *l1)
{
    struct tc_limbo *w = &l1->limbo;
    struct tc_reader *who = atomic_load_explicit(&l1->readers.first, memory_order_acquire);
    for (; who != NULL; who = who->next) {
        give_up_entries(l1, who->waiting);
        who->waiting = NULL;
    }
    for (; w->n > 0; w->n--) {
        give_up_entries(l1, w->batches[w->begin].first);
        w->begin = (w->begin + 1) % TC_LIMBO_BATCHES;
    }
    while (w->tables != NULL) {
        struct tc_table *t = w->tables;
        w->tables = t->next;
        tc_index_free_table(t, l1->alloc);
    }
    if (w->ready)
        tc_lock_fini(&w->lock);
    w->ready = false;
}
