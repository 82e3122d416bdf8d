/* Those who read a structure without its lock, and when it is known that they are through: epoch-based reclamation
 * (Fraser, "Practical lock-freedom", 2004), with an asymmetric barrier, so that entering costs two plain stores.
 *
 * Each thread has a record of its own for each cache; nobody else counts there, so that it costs no locked instruction
 * either. It is made at the thread's first call and found again by a thread-local seat, which names the
 * cache by a number that is never used twice: a seat of a closed cache fits no other. No thread is registered with
 * anybody and nothing runs at a thread's end: the record of one that is no more is given to the next new one.
 *
 * Use. Reading: enter, follow pointers, leave; nothing in between may wait (a lock may be tried). Freeing:
 * make it unreachable for new readers, note tc_readers_epoch(), and free once tc_readers_passed() says so.
 *
 * A step goes to the next epoch, and ends when it is known of each record whether its owner is inside since before: since
 * entering is a plain store, that is not to be seen at once. A thread that enters in the new epoch shows it: it is not.
 * So where threads call often a step interrupts nobody; it ends some calls later. One that does not call is told to rest
 * when somebody wants the step to end: with a barrier in all threads, which is a system call and interrupts the other
 * processors, it is known where that one is, and from then on entering costs it a full barrier of its own, so that no
 * further step needs to interrupt anybody for it. It is awake again when it enters twice in one epoch.
 *
 * Why two steps. Who unlinks something has a full barrier and then reads epoch t. Who enters in epoch t + 1 may still see
 * it. Who enters in epoch t + 2 comes after a step that began after t and ended behind a full barrier: it sees the
 * unlinking. So nobody can hold it any more once all those are out who entered before epoch t + 2. */
#ifndef TC_BASE_READERS_H
#define TC_BASE_READERS_H

#include <stdatomic.h>

#include "base/alloc.h"
#include "platform/platform.h"

#define TC_READER_COUNTS 32
#define TC_READER_MARKS 64

struct tc_reader {
    /* The epoch in which it last entered, 0 for never, and TC_READER_OUT if it left since. */
    _Alignas(TC_CACHELINE) _Atomic uint64_t inside;
    /* Written by the owner only; the sums over all records mean something, a single one may be negative. */
    _Atomic int64_t calls, pins;
    struct tc_reader *next;
    /* Entering costs it a barrier. Set by who steps, reset by the owner. */
    _Atomic bool rests;
    uint64_t woke; /* the owner's: the epoch in which it last entered while it rested */
    uint64_t left_bytes, left_epoch; /* the owner's: what it unlinked, in that epoch */
    _Atomic uint64_t counts[TC_READER_COUNTS]; /* hits, */
    _Atomic uint64_t missed[TC_READER_COUNTS]; /* what was looked up and not there, */
    _Atomic uint64_t sets[TC_READER_COUNTS];   /* stores, */
    _Atomic uint64_t replaced[TC_READER_COUNTS]; /* those of them that replaced something, */
    _Atomic uint64_t evicted[TC_READER_COUNTS];  /* and entries that stores were written over: by type */
    int32_t thread;                 /* (lock) the owner as the kernel knows it */
    uint64_t others;                /* the owner's: look-ups that counts have no place for */
    uint8_t marks[TC_READER_MARKS]; /* the owner's: what it has not told its stripes yet */
};

struct tc_readers {
    const struct tc_alloc *alloc;
    uint64_t id; /* random, not 0 */
    size_t seat; /* of the thread-local ones: where to look first */
    _Atomic bool asymmetric; /* false: the system has no such barrier, readers pay for one each time */
    _Atomic int64_t paying_since_ms; /* when that became so; 0: from the start */
    bool ready;
    _Atomic(struct tc_reader *) first;
    _Atomic uint32_t n;
    struct tc_lock lock; /* of taking and giving records */
    struct tc_reader *look; /* (lock) where to look next for a record that nobody has any more; NULL: from the first */
    _Atomic int64_t crowd_calls, crowd_pins; /* of threads that got no record */
    _Alignas(TC_CACHELINE) _Atomic uint64_t epoch;
    _Alignas(TC_CACHELINE) _Atomic uint64_t oldest; /* nobody is inside who entered in an epoch before that */
    atomic_flag stepping;
    _Atomic bool unended; /* the last step has not ended. Written by who has stepping */
};

/* 0 or an errno. fini accepts zeroed memory; nobody uses the structure any more. */
int tc_readers_init(struct tc_readers *r, const struct tc_alloc *alloc);
void tc_readers_fini(struct tc_readers *r);

#define TC_READER_SEATS 8
struct tc_reader_seat {
    uint64_t id;
    struct tc_reader *reader;
};
/* Of no TLS model in particular: docs/decisions/023-thread-local-memory-is-dynamic.md. */
extern _Thread_local struct tc_reader_seat tc_reader_seats[TC_READER_SEATS];

struct tc_reader *tc_reader_seek(struct tc_readers *r);

/* id is that of r. */
static inline struct tc_reader *tc_reader_of_id(struct tc_readers *r, uint64_t id)
{
    struct tc_reader_seat *s = &tc_reader_seats[r->seat];
    if (__builtin_expect(s->id != id, 0))
        return tc_reader_seek(r);
    if (s->reader == NULL) /* nobody sits without a record */
        __builtin_unreachable();
    return s->reader;
}

/* The calling thread's record; NULL without memory for one. */
static inline struct tc_reader *tc_reader_self(struct tc_readers *r)
{
    return tc_reader_of_id(r, r->id);
}

/* The same where it has to be asked first: id is that of r as a word says it that may be wiped (0). Then NULL, before
 * any of the thread's memory is touched. */
static inline struct tc_reader *tc_reader_self_if(struct tc_readers *r, uint64_t id)
{
    return __builtin_expect(id != 0, 1) ? tc_reader_of_id(r, id) : NULL;
}

/* The owner is the only one who writes: no locked instruction is needed. */
static inline void tc_reader_add(_Atomic int64_t *to, int64_t n)
{
    atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + n, memory_order_release);
}

static inline void tc_reader_count(_Atomic uint64_t *to, uint64_t n)
{
    atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + n, memory_order_relaxed);
}

/* Between a reader's store and its loads, against tc_readers_step() and tc_readers_settle(). */
static inline void tc_readers_fence(const struct tc_readers *r)
{
    if (__builtin_expect(atomic_load_explicit(&r->asymmetric, memory_order_relaxed), 1))
        atomic_signal_fence(memory_order_seq_cst);
    else
        __sync_synchronize();
}

#define TC_READER_OUT (UINT64_C(1) << 63)

static inline bool tc_reader_is_inside(uint64_t inside)
{
    return inside != 0 && !(inside & TC_READER_OUT);
}

/* The barrier of one that rests, and whether it goes on doing so. */
void tc_reader_enter_resting(struct tc_reader *me, uint64_t epoch);

static inline void tc_reader_enter(struct tc_readers *r, struct tc_reader *me)
{
    uint64_t epoch = atomic_load_explicit(&r->epoch, memory_order_acquire);
    atomic_store_explicit(&me->inside, epoch, memory_order_release); /* it is through with all that it read before */
    tc_readers_fence(r);
    if (__builtin_expect(atomic_load_explicit(&me->rests, memory_order_relaxed), 0))
        tc_reader_enter_resting(me, epoch);
}

static inline void tc_reader_leave(struct tc_reader *me)
{
    uint64_t entered = atomic_load_explicit(&me->inside, memory_order_relaxed);
    atomic_store_explicit(&me->inside, entered | TC_READER_OUT, memory_order_release);
}

/* The present one, for who unlinked nothing. */
static inline uint64_t tc_readers_now(const struct tc_readers *r)
{
    return atomic_load_explicit(&r->epoch, memory_order_relaxed);
}

/* What was unlinked before this call may be freed when tc_readers_passed() is true of the epoch. */
static inline uint64_t tc_readers_epoch(const struct tc_readers *r)
{
    __sync_synchronize();
    return tc_readers_now(r);
}

static inline bool tc_readers_passed(struct tc_readers *r, uint64_t epoch)
{
    return atomic_load_explicit(&r->oldest, memory_order_acquire) >= epoch + 2;
}

/* True if nobody else has a record: what the caller unlinked, nobody reads. */
bool tc_readers_alone(struct tc_readers *r);

/* Ends the last step, whatever that takes, and begins the next one: in batches only, and with no lock held that others
 * wait for, since that may be a system call that interrupts the other processors. Nothing happens here if somebody else
 * is at it, or looks. */
void tc_readers_step(struct tc_readers *r);
/* Ends the last step if that can be done without interrupting anybody; and looks once more who is still inside of those
 * who were when the last one that has ended did: what two steps did not let pass may pass now. */
void tc_readers_look(struct tc_readers *r);
/* A step began and has not ended: looking is of use, for a short time. */
static inline bool tc_readers_are_stepping(const struct tc_readers *r)
{
    return atomic_load_explicit(&r->unended, memory_order_relaxed);
}
/* Two steps have ended for who unlinked something in that epoch: looking is as good as another one. */
static inline bool tc_readers_stepped(const struct tc_readers *r, uint64_t epoch)
{
    uint64_t now = atomic_load_explicit(&r->epoch, memory_order_acquire);
    return now - tc_readers_are_stepping(r) >= epoch + 2;
}

/* A full barrier in every thread of the process: what they had stored before, and only they write, can be summed. */
void tc_readers_settle(struct tc_readers *r);
/* Calls under way; whoever reads at this moment is one too. */
int64_t tc_readers_calls(struct tc_readers *r);
int64_t tc_readers_pins(struct tc_readers *r);
/* Of that type, of all threads. */
struct tc_reader_counted {
    uint64_t hits, missed, sets, replaced, evicted;
};
struct tc_reader_counted tc_readers_counted(struct tc_readers *r, size_t which);

/* For whoever has a record, and for who got none. */
static inline void tc_readers_add_calls(struct tc_readers *r, struct tc_reader *me, int64_t n)
{
    if (__builtin_expect(me != NULL, 1))
        tc_reader_add(&me->calls, n);
    else
        atomic_fetch_add(&r->crowd_calls, n);
}

static inline void tc_readers_add_pins(struct tc_readers *r, struct tc_reader *me, int64_t n)
{
    if (__builtin_expect(me != NULL, 1))
        tc_reader_add(&me->pins, n);
    else
        atomic_fetch_add_explicit(&r->crowd_pins, n, memory_order_acq_rel);
}

#endif
