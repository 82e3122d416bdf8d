/* What waits for readers, all stripes together.
 *
 * Entries wait in the stripes that they left (stripe_left.c), former tables and maps here. Each thread counts what it
 * took out of tables in an epoch; when that is its part of a quarter of the reserve it steps the epoch, which may cost
 * a system call, with no lock held. What is alone leaves its stripe's account when it begins to wait; it, tables and
 * maps count in a reserve that was taken out of the limit at the start. Who stores the general way while more than
 * that waits steps at once, and waits for readers that were interrupted while they read. A process with one thread
 * that uses the cache has nothing to wait for: what it takes out, nobody else reads.
 *
 * A stripe that waits for readers with nothing to be freed (stripe_version.c) says so, and whoever next changes something
 * in some stripe steps for it when he has let that go, or looks. */
#include <sched.h>

#include "tier/l1/l1.h"

#define BATCH_MAX (512u << 10)
#define REAPED_AT_ONCE 1024 /* by one hold of a stripe's lock */
#define REAPED_TO_STORE 128 /* by a store, before each time it waits: they are far away in memory, half a us each */

/* Four batches wait as a rule: one for the first step, one for the second, one until that is seen to have ended, one
 * comes together. */
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

static uint64_t waiting_bytes(struct tc_l1 *l1)
{
    return atomic_load_explicit(&l1->limbo.bytes, memory_order_relaxed);
}

/* ---- freeing ---- */

static void free_entries(struct tc_l1 *l1, struct tc_entry *e)
{
    while (e != NULL) {
        struct tc_entry *next = e->next;
        tc_entry_free(l1->alloc, l1->node_bytes, e);
        e = next;
    }
}

static void close_blocks(struct tc_l1 *l1, struct tc_block *b)
{
    while (b != NULL) {
        struct tc_block *next = b->next;
        tc_block_close(l1->alloc, b);
        b = next;
    }
}

void tc_l1_free_dropped(struct tc_l1 *l1, struct tc_dropped *dropped)
{
    free_entries(l1, dropped->first);
    close_blocks(l1, dropped->blocks);
    *dropped = (struct tc_dropped){ .first = NULL };
}

/* ---- blocks ---- */

static struct tc_block *take_passed_locked(struct tc_l1 *l1)
{
    struct tc_limbo *w = &l1->limbo;
    tc_lock_assert_held(&w->lock);
    struct tc_block *b = w->blocks;
    if (b == NULL || !tc_readers_passed(&l1->readers, b->epoch))
        return NULL;
    w->blocks = b->next;
    if (w->blocks == NULL)
        w->last_block = NULL;
    atomic_fetch_sub_explicit(&w->bytes, tc_block_bytes(b), memory_order_relaxed);
    return b;
}

static void close_passed(struct tc_l1 *l1)
{
    struct tc_limbo *w = &l1->limbo;
    struct tc_block *b;
    do {
        tc_lock_acquire(&w->lock);
        b = take_passed_locked(l1);
        tc_lock_release(&w->lock);
        tc_block_close(l1->alloc, b);
    } while (b != NULL);
}

static void append_locked(struct tc_limbo *w, struct tc_block *b)
{
    tc_lock_assert_held(&w->lock);
    b->next = NULL;
    if (w->last_block != NULL)
        w->last_block->next = b;
    else
        w->blocks = b;
    w->last_block = b;
    atomic_fetch_add_explicit(&w->bytes, tc_block_bytes(b), memory_order_relaxed);
}

static void wait_for_readers(struct tc_l1 *l1, struct tc_block *b)
{
    while (b != NULL) {
        struct tc_block *next = b->next;
        b->epoch = tc_readers_epoch(&l1->readers);
        tc_lock_acquire(&l1->limbo.lock);
        append_locked(&l1->limbo, b);
        tc_lock_release(&l1->limbo.lock);
        b = next;
    }
}

/* ---- steps ---- */

static void step(struct tc_l1 *l1)
{
    tc_readers_step(&l1->readers);
    close_passed(l1);
}

/* All threads together take out about a batch from one step to the next: each of them counts what it took out since
 * then, whoever stepped. So there are not more steps where there are more threads. Who is due while somebody else is at
 * a step or looks makes none, and counts anew. */
static void step_if_due(struct tc_l1 *l1, uint64_t bytes)
{
    struct tc_reader *me = tc_reader_self(&l1->readers);
    uint64_t n = atomic_load_explicit(&l1->readers.n, memory_order_relaxed);
    uint64_t epoch = tc_readers_now(&l1->readers);
    if (me == NULL) {
        step(l1);
        return;
    }
    me->left_bytes = me->left_epoch == epoch ? me->left_bytes + bytes : bytes;
    me->left_epoch = epoch;
    if (me->left_bytes < batch_bytes(l1) / (n > 4 ? n : 4))
        return;
    me->left_bytes = 0;
    step(l1);
}

/* alone: nobody else reads, nor did while the lock was held. */
static void give_up(struct tc_l1 *l1, bool alone, struct tc_dropped *dropped)
{
    struct tc_dropped d = *dropped;
    *dropped = (struct tc_dropped){ .first = NULL };
    free_entries(l1, d.first);
    if (d.blocks == NULL && d.bytes == 0)
        return;
    if (alone) {
        close_blocks(l1, d.blocks);
        return;
    }
    wait_for_readers(l1, d.blocks);
    step_if_due(l1, d.bytes);
}

static bool is_wanted(struct tc_l1 *l1)
{
    return __builtin_expect(atomic_load_explicit(&l1->limbo_wants, memory_order_relaxed) != TC_WANTS_NOTHING, 0);
}

/* For those who wait and have nothing to be freed. Where two want different things one may not be done: whoever comes to
 * a bar asks again. */
static void do_wanted(struct tc_l1 *l1)
{
    if (!is_wanted(l1))
        return;
    int wanted = atomic_exchange_explicit(&l1->limbo_wants, TC_WANTS_NOTHING, memory_order_relaxed);
    if (wanted == TC_WANTS_STEP)
        step(l1);
    else if (wanted == TC_WANTS_LOOK)
        tc_readers_look(&l1->readers);
}

static TC_APART void leave_with(struct tc_l1 *l1, struct tc_stripe *s, struct tc_dropped *dropped)
{
    tc_dropped_tell(dropped);
    bool alone = tc_stripe_reap_some(s, dropped);
    tc_lock_release(&s->lock);
    give_up(l1, alone, dropped);
    do_wanted(l1);
}

void tc_l1_leave(struct tc_l1 *l1, struct tc_stripe *s, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    bool nothing_dropped = dropped->first == NULL && dropped->blocks == NULL && dropped->bytes == 0 &&
                           dropped->type == NULL;
    if (s->left.n == 0 && nothing_dropped && !is_wanted(l1))
        tc_lock_release(&s->lock);
    else
        leave_with(l1, s, dropped);
}

/* ---- the reserve ---- */

#define PATIENCE_MS 100 /* for a reader that was interrupted: it reads for less than a microsecond otherwise */

static size_t reap_stripe(struct tc_l1 *l1, struct tc_stripe *s, size_t most)
{
    struct tc_dropped dropped = { .first = NULL };
    tc_lock_acquire(&s->lock);
    size_t n = tc_stripe_reap(s, most, &dropped);
    tc_lock_release(&s->lock);
    tc_l1_free_dropped(l1, &dropped);
    return n;
}

/* Stripes free what waits in them when something is stored there: here for those where nothing is. */
static void reap_everywhere(struct tc_l1 *l1)
{
    for (struct tc_stripe *s = l1->stripes; s < l1->stripes + l1->n_stripes; s++)
        while (atomic_load_explicit(&s->left.bytes, memory_order_relaxed) > 0 &&
               reap_stripe(l1, s, REAPED_AT_ONCE) == REAPED_AT_ONCE)
            tc_lock_let_others(&s->lock);
}

#define LOOKS 64

/* For two steps after that epoch. Others who call often show themselves within a microsecond, if they have a
 * processor. */
static void look_a_while(struct tc_readers *r, uint64_t epoch)
{
    for (int i = 0; i < LOOKS && tc_readers_are_stepping(r) && !tc_readers_stepped(r, epoch); i++) {
        tc_readers_look(r);
        tc_relax();
    }
}

#define CLEAR_TRIES 4 /* where others step or look at the same time this one may not count */

void tc_limbo_clear(struct tc_l1 *l1)
{
    uint64_t epoch = tc_readers_epoch(&l1->readers);
    for (int i = 0; i < CLEAR_TRIES && !tc_readers_passed(&l1->readers, epoch); i++) {
        step(l1);
        look_a_while(&l1->readers, epoch);
    }
    reap_everywhere(l1);
}

struct wait {
    uint64_t epoch;   /* what was unlinked in it, or before, is waited for */
    int64_t until_ms; /* 0: there was no need for patience yet */
};

enum waited { WAIT_ON, PASSED, NOT_IN_TIME };

/* Two steps, which may cost a system call each, then looks: most readers were interrupted by the steps themselves, and
 * are through the next moment. Patience is for a round that comes to nothing, also because somebody else steps and has
 * no processor. */
static enum waited wait_a_little(struct tc_l1 *l1, struct wait *w)
{
    look_a_while(&l1->readers, w->epoch);
    uint64_t before = tc_readers_now(&l1->readers);
    bool looks = tc_readers_stepped(&l1->readers, w->epoch);
    if (looks) {
        tc_readers_look(&l1->readers);
        close_passed(l1);
    } else {
        step(l1);
    }
    if (tc_readers_passed(&l1->readers, w->epoch))
        return PASSED;
    if (!looks && tc_readers_now(&l1->readers) != before)
        return WAIT_ON;
    if (w->until_ms == 0)
        w->until_ms = tc_mono_ms() + PATIENCE_MS;
    else if (tc_mono_ms() > w->until_ms)
        return NOT_IN_TIME;
    sched_yield();
    return WAIT_ON;
}

/* A way through all stripes, for what passed up to an epoch. */
struct sweep {
    uint64_t oldest;
    size_t next; /* the stripe to go on with */
};

/* Until the reserve will do, but only some of the entries: who is short of a table's bytes is not to free what all the
 * others have put off. Only stripes with entries that the reserve counts. False: no more of them passed. */
static bool reap_some(struct tc_l1 *l1, struct sweep *w)
{
    uint64_t oldest = atomic_load_explicit(&l1->readers.oldest, memory_order_relaxed);
    if (w->oldest != oldest)
        *w = (struct sweep){ oldest, 0 };
    if (w->next == l1->n_stripes)
        return false;
    close_passed(l1);
    for (size_t most = REAPED_TO_STORE; w->next < l1->n_stripes && waiting_bytes(l1) > l1->reserve; w->next++) {
        struct tc_stripe *s = &l1->stripes[w->next];
        most -= tc_left_has_alone(&s->left) ? reap_stripe(l1, s, most) : 0;
        if (most > 0)
            continue;
        tc_lock_let_others(&s->lock);
        break;
    }
    return w->next < l1->n_stripes;
}

/* What passed is freed in parts as long as there is something to wait for, since it may be in vain: a table that waits
 * is worth thousands of entries. */
static bool wait_for_reserve(struct tc_l1 *l1)
{
    struct wait w = { .epoch = tc_readers_epoch(&l1->readers) };
    struct sweep sweep = { .oldest = UINT64_MAX };
    for (enum waited waited = WAIT_ON;; waited = wait_a_little(l1, &w)) {
        bool more;
        do
            more = reap_some(l1, &sweep);
        while (more && waited != WAIT_ON && waiting_bytes(l1) > l1->reserve);
        if (waiting_bytes(l1) <= l1->reserve)
            return true;
        if (waited == NOT_IN_TIME)
            return false;
        if (waited == PASSED) /* and others brought more */
            w = (struct wait){ .epoch = tc_readers_epoch(&l1->readers) };
    }
}

bool tc_limbo_drain(struct tc_l1 *l1)
{
    return waiting_bytes(l1) <= l1->reserve || wait_for_reserve(l1);
}

bool tc_limbo_pass(struct tc_l1 *l1)
{
    struct wait w = { .epoch = tc_readers_epoch(&l1->readers) };
    enum waited waited = tc_readers_alone(&l1->readers) ? PASSED : WAIT_ON;
    while (waited == WAIT_ON)
        waited = wait_a_little(l1, &w);
    return waited == PASSED;
}

void tc_limbo_fini(struct tc_l1 *l1)
{
    struct tc_limbo *w = &l1->limbo;
    close_blocks(l1, w->blocks);
    w->blocks = w->last_block = NULL;
    if (w->ready)
        tc_lock_fini(&w->lock);
    w->ready = false;
}
