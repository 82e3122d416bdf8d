/* Records of threads, and the steps of the epoch. */
#include "base/readers.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

_Thread_local struct tc_reader_seat tc_reader_seats[TC_READER_SEATS];

int tc_readers_init(struct tc_readers *r, const struct tc_alloc *alloc)
{
    r->alloc = alloc;
    int rc = tc_random_bytes(&r->id, sizeof r->id);
    if (rc == 0)
        rc = tc_lock_init(&r->lock);
    if (rc != 0)
        return rc;
    r->id |= 1;
    r->seat = (size_t)(r->id >> 32) % TC_READER_SEATS;
    r->asymmetric = tc_barrier_init();
    atomic_flag_clear(&r->stepping);
    atomic_store_explicit(&r->epoch, 1, memory_order_relaxed);
    r->ready = true;
    return 0;
}

void tc_readers_fini(struct tc_readers *r)
{
    if (!r->ready)
        return;
    struct tc_reader *me = atomic_load_explicit(&r->first, memory_order_acquire);
    while (me != NULL) {
        struct tc_reader *next = me->next;
        tc_free_lines(r->alloc, me, sizeof *me);
        me = next;
    }
    atomic_store_explicit(&r->first, NULL, memory_order_relaxed);
    tc_lock_fini(&r->lock);
    r->ready = false;
}

/* ---- records ---- */

static int32_t this_thread(void)
{
    return (int32_t)syscall(SYS_gettid);
}

static bool is_no_more(int32_t thread)
{
    return syscall(SYS_tgkill, getpid(), thread, 0) != 0 && errno == ESRCH;
}

/* How many records a new thread looks at for one whose owner is no more, where the one before it stopped. Each looks
 * further than it adds, so there are never many more records than threads were alive at once. */
#define LOOKS 8

/* The record that was this thread's before its seat was taken by another cache, or that of a thread of the same
 * number, which then is no more; else one that nobody has any more. */
static struct tc_reader *find_locked(struct tc_readers *r, int32_t thread)
{
    tc_lock_assert_held(&r->lock);
    struct tc_reader *first = atomic_load_explicit(&r->first, memory_order_relaxed);
    for (struct tc_reader *me = first; me != NULL; me = me->next)
        if (me->thread == thread)
            return me;
    for (uint32_t looks = 0; first != NULL && looks < LOOKS; looks++) {
        struct tc_reader *me = r->look != NULL ? r->look : first;
        r->look = me->next;
        if (is_no_more(me->thread)) {
            me->thread = thread;
            return me;
        }
    }
    return NULL;
}

static struct tc_reader *make_locked(struct tc_readers *r, int32_t thread)
{
    tc_lock_assert_held(&r->lock);
    struct tc_reader *me = tc_alloc_lines(r->alloc, sizeof *me);
    if (me == NULL)
        return NULL;
    me->thread = thread;
    me->next = atomic_load_explicit(&r->first, memory_order_relaxed);
    atomic_store_explicit(&r->first, me, memory_order_release);
    atomic_fetch_add(&r->n, 1);
    return me;
}

static struct tc_reader *take_record(struct tc_readers *r)
{
    int32_t thread = this_thread();
    if (thread <= 0) /* a filter of system calls answers for the kernel */
        return NULL;
    tc_lock_acquire(&r->lock);
    struct tc_reader *me = find_locked(r, thread);
    bool is_new = me == NULL;
    if (is_new)
        me = make_locked(r, thread);
    tc_lock_release(&r->lock);
    /* Whoever found itself alone so far has its stores done by now; whoever asks later is not alone. */
    if (is_new && me != NULL)
        tc_readers_settle(r);
    return me;
}

struct tc_reader *tc_reader_seek(struct tc_readers *r)
{
    struct tc_reader_seat *home = &tc_reader_seats[r->seat];
    for (struct tc_reader_seat *s = tc_reader_seats; s < tc_reader_seats + TC_READER_SEATS; s++)
        if (s->id == r->id) {
            struct tc_reader_seat found = *s;
            *s = *home;
            *home = found;
            return home->reader;
        }
    int error = errno; /* of the application: the system calls made here may set it */
    struct tc_reader *me = take_record(r);
    errno = error;
    if (me == NULL)
        return NULL;
    /* Who sat here moves one on, and so does the next: several caches used in turn all keep a seat. */
    struct tc_reader_seat moving = { r->id, me };
    for (size_t i = 0; i < TC_READER_SEATS && moving.id != 0; i++) {
        struct tc_reader_seat *s = &tc_reader_seats[(r->seat + i) % TC_READER_SEATS], before = *s;
        *s = moving;
        moving = before;
    }
    return me;
}

/* ---- epochs ---- */

/* A process may forbid itself the system call when it has begun (seccomp): from then on readers pay. */
#define SWITCH_MS 20 /* by then whoever entered before he knew has long been seen */

static bool barrier_in_all(struct tc_readers *r)
{
    if (!atomic_load_explicit(&r->asymmetric, memory_order_acquire)) {
        __sync_synchronize();
        int64_t since_ms = atomic_load_explicit(&r->paying_since_ms, memory_order_relaxed);
        return since_ms == 0 || tc_mono_ms() - since_ms > SWITCH_MS;
    }
    if (tc_barrier_heavy())
        return true;
    atomic_store_explicit(&r->paying_since_ms, tc_mono_ms(), memory_order_relaxed);
    atomic_store(&r->asymmetric, false);
    return false;
}

void tc_readers_settle(struct tc_readers *r)
{
    while (!barrier_in_all(r))
        sched_yield();
}

/* The caller's record, if it sits where it is looked for first. */
static struct tc_reader *sitting(const struct tc_readers *r)
{
    const struct tc_reader_seat *s = &tc_reader_seats[r->seat];
    return s->id == r->id ? s->reader : NULL;
}

bool tc_readers_alone(struct tc_readers *r)
{
    if (!atomic_load_explicit(&r->asymmetric, memory_order_relaxed))
        __sync_synchronize();
    uint32_t n = atomic_load(&r->n);
    return n == 0 || (n == 1 && sitting(r) != NULL);
}

void tc_reader_enter_resting(struct tc_reader *me, uint64_t epoch)
{
    if (me->woke == epoch)
        atomic_store_explicit(&me->rests, false, memory_order_relaxed);
    me->woke = epoch;
    __sync_synchronize(); /* after both stores: who sees it rest sees it inside, or it sees what was done before */
}

/* What the record says of its owner is so: it rests, it is the caller, or it entered in this epoch, and will not enter in
 * one before. In this order: one that stops resting after it was asked shows itself. */
static bool is_known(const struct tc_reader *who, uint64_t epoch, const struct tc_reader *me)
{
    if (who == me || atomic_load_explicit(&who->rests, memory_order_acquire))
        return true;
    return (atomic_load_explicit(&who->inside, memory_order_acquire) & ~TC_READER_OUT) >= epoch;
}

/* As entering and leaving would: two who both wait for readers do neither meanwhile. */
static void show_myself(struct tc_readers *r)
{
    struct tc_reader *me = sitting(r);
    uint64_t epoch = atomic_load_explicit(&r->epoch, memory_order_acquire);
    uint64_t inside = me != NULL ? atomic_load_explicit(&me->inside, memory_order_relaxed) : epoch;
    if (!tc_reader_is_inside(inside) && inside != (epoch | TC_READER_OUT))
        atomic_store_explicit(&me->inside, epoch | TC_READER_OUT, memory_order_release);
}

static bool are_all_known(struct tc_readers *r)
{
    uint64_t epoch = tc_readers_now(r);
    const struct tc_reader *me = sitting(r);
    for (struct tc_reader *who = atomic_load_explicit(&r->first, memory_order_acquire); who != NULL; who = who->next)
        if (!is_known(who, epoch, me))
            return false;
    return true;
}

static void let_all_rest(struct tc_readers *r)
{
    uint64_t epoch = tc_readers_now(r);
    for (struct tc_reader *who = atomic_load_explicit(&r->first, memory_order_acquire); who != NULL; who = who->next)
        if (!is_known(who, epoch, NULL))
            atomic_store_explicit(&who->rests, true, memory_order_relaxed);
}

/* Who is inside since before the last step that has ended is seen to be. */
static void look_round(struct tc_readers *r)
{
    uint64_t oldest = tc_readers_now(r) - tc_readers_are_stepping(r);
    if (oldest == atomic_load_explicit(&r->oldest, memory_order_relaxed))
        return;
    for (struct tc_reader *who = atomic_load_explicit(&r->first, memory_order_acquire); who != NULL; who = who->next) {
        uint64_t inside = atomic_load_explicit(&who->inside, memory_order_acquire);
        if (tc_reader_is_inside(inside) && inside < oldest)
            oldest = inside;
    }
    if (oldest > atomic_load_explicit(&r->oldest, memory_order_relaxed))
        atomic_store_explicit(&r->oldest, oldest, memory_order_release);
}

/* Where readers pay each time anyway nobody is asked: who was told to rest by a barrier that failed may not know it. */
static bool is_over(struct tc_readers *r, bool may_interrupt)
{
    if (!tc_readers_are_stepping(r))
        return true;
    if (atomic_load_explicit(&r->asymmetric, memory_order_relaxed)) {
        if (are_all_known(r))
            return true;
        if (!may_interrupt)
            return false;
        let_all_rest(r);
    }
    return barrier_in_all(r);
}

/* Before a step has ended no other begins: a barrier that failed is made up for. */
static bool end_step(struct tc_readers *r, bool may_interrupt)
{
    bool over = is_over(r, may_interrupt);
    if (over)
        atomic_store_explicit(&r->unended, false, memory_order_relaxed);
    look_round(r);
    return over;
}

void tc_readers_step(struct tc_readers *r)
{
    show_myself(r);
    if (atomic_flag_test_and_set_explicit(&r->stepping, memory_order_acquire))
        return; /* somebody is at it, which is as good, or looks, which is soon over */
    if (end_step(r, true)) {
        atomic_store_explicit(&r->unended, true, memory_order_relaxed); /* first: see tc_readers_stepped() */
        atomic_fetch_add(&r->epoch, 1);
        __sync_synchronize(); /* between the new epoch and what is asked of the others */
        show_myself(r);
        end_step(r, false);
    }
    atomic_flag_clear_explicit(&r->stepping, memory_order_release);
}

void tc_readers_look(struct tc_readers *r)
{
    show_myself(r);
    if (atomic_flag_test_and_set_explicit(&r->stepping, memory_order_acquire))
        return;
    end_step(r, false);
    atomic_flag_clear_explicit(&r->stepping, memory_order_release);
}

/* ---- sums ---- */

/* A short way that gives up is counted as a call before it is no more inside, and a call that ends with a look-up is
 * inside until it is no more counted: so inside is looked at before and after. */
static int64_t calls_of(const struct tc_reader *who)
{
    bool before = tc_reader_is_inside(atomic_load_explicit(&who->inside, memory_order_acquire));
    int64_t calls = atomic_load_explicit(&who->calls, memory_order_acquire);
    bool after = tc_reader_is_inside(atomic_load_explicit(&who->inside, memory_order_acquire));
    return calls + (before || after);
}

int64_t tc_readers_calls(struct tc_readers *r)
{
    int64_t sum = atomic_load(&r->crowd_calls);
    for (struct tc_reader *who = atomic_load_explicit(&r->first, memory_order_acquire); who != NULL; who = who->next)
        sum += calls_of(who);
    return sum;
}

int64_t tc_readers_pins(struct tc_readers *r)
{
    int64_t sum = atomic_load_explicit(&r->crowd_pins, memory_order_acquire);
    for (struct tc_reader *who = atomic_load_explicit(&r->first, memory_order_acquire); who != NULL; who = who->next)
        sum += atomic_load_explicit(&who->pins, memory_order_acquire);
    return sum;
}

struct tc_reader_counted tc_readers_counted(struct tc_readers *r, size_t which)
{
    struct tc_reader_counted sum = { .hits = 0 };
    for (struct tc_reader *who = atomic_load_explicit(&r->first, memory_order_acquire); who != NULL; who = who->next) {
        sum.hits += atomic_load_explicit(&who->counts[which], memory_order_relaxed);
        sum.missed += atomic_load_explicit(&who->missed[which], memory_order_relaxed);
        sum.sets += atomic_load_explicit(&who->sets[which], memory_order_relaxed);
        sum.replaced += atomic_load_explicit(&who->replaced[which], memory_order_relaxed);
        sum.evicted += atomic_load_explicit(&who->evicted[which], memory_order_relaxed);
    }
    return sum;
}
