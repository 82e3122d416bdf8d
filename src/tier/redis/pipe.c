/* Callers share a connection without a thread of its own:
 *
 *   caller: queue the call -> nobody leads? lead -> own answers in -> hand the lead to a waiting caller -> return
 *                          -> else wait for the event: answered, or: your turn to lead
 *   leader: take the queue in flight, write for all, read for all, write what was queued meanwhile, wake the answered
 *
 * Who owns what: a call belongs to its caller until it is queued; then to the connection (queue or flight) until it is
 * done; then to its caller again. A caller whose deadline passes takes an unwritten call back out of the queue;
 * otherwise it marks the call abandoned and goes, and the leader frees it when its answer has come, or with the
 * connection: an answer that comes late is read as what it is, never as another's, and one caller's impatience costs
 * nobody else anything.
 *
 * A connection drains if it owes an answer for too long, or if an abandoned call is half written, so that nothing can
 * be written behind it: it takes no new calls, those that wait for answers are still served, the last of them closes
 * it, and calls of which nothing was written are run on the next one. An abandoned SET may run as long as its
 * connection is open. Until it is answered or the connection closed, by a reset that leaves nothing to be sent again,
 * no DEL is queued on any other.
 *
 * Locking: p->lock is held for a few list operations at a time; no I/O, callback, wake-up or free of a value happens
 * under it. The leader alone uses everything of the connection that is not marked as under the lock; the lead passes
 * under the lock. A connection lives as long as a call that is not abandoned is in it, or p->conn points to it; the
 * leader is the caller of such a call, and it is the leader that frees the connection.
 *
 * An event is set exactly once for each call that waits, after done or leads was set under the lock; who sees one of
 * these consumes the event before he lets go of the call. */
#include "tier/redis/pipe.h"

#include <sched.h>

#include "tier/redis/settle.h"
#include "tiercache.h"

#define BATCH_MAX 64         /* calls taken in flight at a time */
#define OWED_MAX_MS 100      /* for so long a server may be slow: an answer later than that is a sign of worse */
#define AWAITED_MS 1000      /* for so long a lost connection is worth waiting for */
#define PROVEN_AFTER_MS 2000 /* a connection that lived so long counts as a success */
#define EVENT_IS_COMING_MS 60000
#define PATIENCE_YIELDS 20
#define PATIENCE_NS 200000

int tc_pipe_init(struct tc_pipe *p, struct tc_redis_env *env)
{
    *p = (struct tc_pipe){ .env = NULL, .awaited = true, .awaited_until_ms = INT64_MAX }; /* cache_open() waits */
    int error = tc_lock_init(&p->lock);
    if (error != 0)
        return error;
    error = tc_cond_init(&p->changed);
    if (error != 0) {
        tc_lock_fini(&p->lock);
        return error;
    }
    p->env = env;
    return 0;
}

void tc_pipe_fini(struct tc_pipe *p)
{
    if (p->env == NULL)
        return;
    tc_conn_free(p->conn);
    tc_cond_fini(&p->changed);
    tc_lock_fini(&p->lock);
    p->env = NULL;
}

/* ---- the connection as seen under the lock ---- */

static void set_conn_locked(struct tc_pipe *p, struct tc_conn *c, bool awaited)
{
    tc_lock_assert_held(&p->lock);
    p->conn = c;
    p->awaited = awaited;
    p->awaited_until_ms = tc_mono_ms() + AWAITED_MS;
    atomic_store_explicit(&p->shut, c == NULL && !awaited, memory_order_relaxed);
}

/* Takes c from new callers. True if the supervisor is to be woken. */
static bool detach_locked(struct tc_pipe *p, struct tc_conn *c, bool awaited)
{
    tc_lock_assert_held(&p->lock);
    c->draining = true;
    if (p->conn != c)
        return false;
    set_conn_locked(p, NULL, awaited);
    if (awaited)
        atomic_fetch_or(&p->env->health, 1u);
    atomic_fetch_sub(&p->env->health, 2);
    return true;
}

/* It is worth waiting for the next connection only if this one worked. */
static bool was_useful_locked(struct tc_pipe *p, const struct tc_conn *c)
{
    tc_lock_assert_held(&p->lock);
    return c->answered || tc_mono_ms() - c->opened_ms >= PROVEN_AFTER_MS;
}

/* Who is to lead next: the first whose caller still waits. */
static struct tc_call *successor_locked(struct tc_pipe *p, struct tc_conn *c)
{
    tc_lock_assert_held(&p->lock);
    for (struct tc_call *i = c->flight.head; i != NULL; i = i->next)
        if (!tc_call_is_abandoned(i))
            return i;
    return c->queue.head;
}

/* call is at its end; own is the leader's, who needs no event. */
static void finish_locked(struct tc_pipe *p, struct tc_call *call, const struct tc_call *own, struct tc_aftermath *a)
{
    tc_lock_assert_held(&p->lock);
    if (tc_call_is_abandoned(call)) {
        tc_calls_push(&a->trash, call);
        return;
    }
    call->done = true;
    if (call != own)
        tc_calls_push(&a->wake, call);
}

static void finish_answered_locked(struct tc_pipe *p, struct tc_conn *c, const struct tc_call *own,
                                   struct tc_aftermath *a)
{
    tc_lock_assert_held(&p->lock);
    if (c->ended.n > 0) {
        if (!c->answered)
            atomic_store_explicit(&p->env->proven, true, memory_order_relaxed);
        c->answered = true;
        c->owed_since_ms = c->flight.n > 0 ? tc_mono_ms() : INT64_MAX;
        c->suspect = false;
    }
    for (struct tc_call *call = tc_calls_pop(&c->ended); call != NULL; call = tc_calls_pop(&c->ended)) {
        a->resolved |= tc_conn_end_doubt(c, call);
        finish_locked(p, call, own, a);
    }
}

/* c is gone, and with it the answers of all calls in it. */
static void finish_lost_locked(struct tc_pipe *p, struct tc_conn *c, enum tc_conn_state why, const struct tc_call *own,
                               struct tc_aftermath *a)
{
    tc_lock_assert_held(&p->lock);
    bool useful = was_useful_locked(p, c);
    if (useful)
        atomic_store_explicit(&p->env->proven, true, memory_order_relaxed);
    a->detached = detach_locked(p, c, why == TC_CONN_CLOSED && useful);
    a->close = c;
    a->why = why;
    a->reason = c->reason;
    bool first = true, in_reply = tc_conn_in_reply(c);
    for (struct tc_call *call = tc_calls_pop(&c->flight); call != NULL; call = tc_calls_pop(&c->flight)) {
        bool untouched = call->n_have == 0 && !(first && in_reply);
        call->status = call->sent == 0 ? CACHE_E_UNAVAILABLE : CACHE_E_UNKNOWN;
        if (first && why == TC_CONN_NOMEM && call->kind == TC_CALL_GET)
            call->status = CACHE_E_NOMEM;
        call->found_closed = why == TC_CONN_CLOSED && (call->sent == 0 || (call->kind == TC_CALL_GET && untouched));
        first = false;
        if (call->kind == TC_CALL_SET && call->status == CACHE_E_UNKNOWN && !tc_call_is_abandoned(call))
            tc_conn_add_doubt(c); /* until the connection is closed, on our side too */
        finish_locked(p, call, own, a);
    }
    for (struct tc_call *call = tc_calls_pop(&c->queue); call != NULL; call = tc_calls_pop(&c->queue)) {
        call->status = CACHE_E_UNAVAILABLE;
        call->found_closed = why == TC_CONN_CLOSED;
        finish_locked(p, call, own, a);
    }
}

/* An answer, or the want of one, says that c is not to be gone on with. */
static void drain_locked(struct tc_pipe *p, struct tc_conn *c, bool awaited, struct tc_aftermath *a)
{
    tc_lock_assert_held(&p->lock);
    if (!detach_locked(p, c, awaited))
        return;
    if (awaited)
        atomic_store_explicit(&p->env->proven, true, memory_order_relaxed);
    a->detached = true;
    a->why = TC_CONN_TIMEOUT;
}

static bool owes_too_long_locked(struct tc_pipe *p, struct tc_conn *c)
{
    tc_lock_assert_held(&p->lock);
    return c->suspect && tc_mono_ms() - c->owed_since_ms >= OWED_MAX_MS;
}

/* The leader leaves c, which works as far as we know. */
static void hand_over_locked(struct tc_pipe *p, struct tc_conn *c, struct tc_aftermath *a)
{
    tc_lock_assert_held(&p->lock);
    c->leader = successor_locked(p, c);
    if (c->leader != NULL) {
        c->leader->leads = true;
        a->successor = c->leader;
        return;
    }
    if (c->doubts > 0) /* nobody is there to see them resolved */
        drain_locked(p, c, was_useful_locked(p, c), a);
    if (c->draining)
        a->close = c;
}

/* call's deadline has passed. True: it is its caller's again, nothing of it was written. False: it was left behind. */
static bool withdraw_locked(struct tc_pipe *p, struct tc_conn *c, struct tc_call *call, struct tc_aftermath *a)
{
    tc_lock_assert_held(&p->lock);
    tc_redis_count(&p->env->counters, TC_REDIS_err_timeout, call->command.n_commands);
    call->status = CACHE_E_TIMEOUT;
    c->suspect = c->owed_since_ms != INT64_MAX;
    if (owes_too_long_locked(p, c))
        drain_locked(p, c, false, a);
    if (tc_calls_remove(&c->queue, call))
        return true;
    if (c->leader == call && call->sent == 0) {
        tc_conn_untake(c, call);
        return true;
    }
    atomic_store_explicit(&call->abandoned, true, memory_order_relaxed);
    if (call->kind == TC_CALL_SET)
        tc_conn_add_doubt(c);
    return false;
}

/* From the leader. Abandoned calls of which nothing was written go; behind one that is half written nothing can follow:
 * those that wait there are to try the next connection. */
static void clear_the_way_locked(struct tc_pipe *p, struct tc_conn *c, const struct tc_call *own,
                                 struct tc_aftermath *a)
{
    tc_lock_assert_held(&p->lock);
    struct tc_call *stuck;
    while ((stuck = c->unsent) != NULL && tc_call_is_abandoned(stuck) && stuck->sent == 0) {
        tc_conn_untake(c, stuck);
        tc_conn_end_doubt(c, stuck);
        tc_calls_push(&a->trash, stuck);
    }
    if (stuck == NULL || !tc_call_is_abandoned(stuck))
        return;
    drain_locked(p, c, was_useful_locked(p, c), a);
    for (struct tc_call *call = stuck->next; call != NULL; call = stuck->next) {
        tc_conn_untake(c, call);
        tc_conn_end_doubt(c, call);
        tc_calls_push(&c->queue, call);
    }
    for (struct tc_call *call = tc_calls_pop(&c->queue); call != NULL; call = tc_calls_pop(&c->queue)) {
        call->status = CACHE_E_UNAVAILABLE;
        call->found_closed = true;
        finish_locked(p, call, own, a);
    }
}

/* ---- leading ---- */

/* A command that is half written comes first; until then the queue can still be left without a trace. So it can by a
 * leader whose deadline has passed before he got to lead: he only looks whether his answer has come. */
static void take_queue_locked(struct tc_pipe *p, struct tc_conn *c, int64_t until_ms)
{
    tc_lock_assert_held(&p->lock);
    if (c->unsent != NULL || c->queue.n == 0 || tc_mono_ms() >= until_ms)
        return;
    uint64_t n_commands = 0;
    if (c->flight.n == 0)
        c->owed_since_ms = tc_mono_ms();
    for (c->batch = 0; c->batch < BATCH_MAX && c->queue.n > 0; c->batch++) {
        struct tc_call *call = tc_calls_pop(&c->queue);
        n_commands += call->command.n_commands;
        tc_conn_take(c, call);
    }
    tc_redis_count(&p->env->counters, TC_REDIS_round_trips, 1);
    tc_redis_count(&p->env->counters, TC_REDIS_commands, n_commands);
}

/* A connection with nothing in flight may have been closed by the server, or hold what nobody asked for and what would
 * be taken for the answer to the next command. One look costs a fiftieth of a round trip. */
static enum tc_conn_state inspect(struct tc_conn *c)
{
    if (c->flight.n > 0)
        return TC_CONN_OPEN;
    switch (tc_link_peek(&c->link)) {
    case TC_LINK_QUIET:
        return TC_CONN_OPEN;
    case TC_LINK_TALKS:
        c->reason = "something came that answers no command";
        return TC_CONN_PROTOCOL;
    case TC_LINK_CLOSED:
        break;
    }
    return TC_CONN_CLOSED;
}

enum lead_end { LEAD_ON, LEAD_DONE, LEAD_LEFT };

static enum lead_end conclude_locked(struct tc_pipe *p, struct tc_conn *c, struct tc_call *own, int64_t until_ms,
                                     enum tc_conn_state state, struct tc_aftermath *a)
{
    tc_lock_assert_held(&p->lock);
    finish_answered_locked(p, c, own, a);
    if (state != TC_CONN_OPEN && state != TC_CONN_TIMEOUT) {
        finish_lost_locked(p, c, state, own, a);
        return LEAD_DONE;
    }
    clear_the_way_locked(p, c, own, a);
    enum lead_end end = LEAD_DONE;
    if (!own->done) {
        if (state != TC_CONN_TIMEOUT && tc_mono_ms() < until_ms)
            return LEAD_ON;
        end = withdraw_locked(p, c, own, a) ? LEAD_DONE : LEAD_LEFT;
        clear_the_way_locked(p, c, own, a);
    }
    hand_over_locked(p, c, a);
    return end;
}

static void take_queue(struct tc_pipe *p, struct tc_conn *c, int64_t until_ms)
{
    tc_lock_acquire(&p->lock);
    take_queue_locked(p, c, until_ms);
    tc_lock_release(&p->lock);
}

/* Sends what was queued meanwhile before it wakes those who are answered: the server works while they are woken. */
static void answer_and_refill(struct tc_pipe *p, struct tc_conn *c, const struct tc_call *own, int64_t until_ms)
{
    struct tc_aftermath a = { .why = TC_CONN_OPEN };
    tc_lock_acquire(&p->lock);
    finish_answered_locked(p, c, own, &a);
    bool more = c->queue.n > 0;
    tc_lock_release(&p->lock);
    if (more && inspect(c) == TC_CONN_OPEN) {
        take_queue(p, c, until_ms);
        tc_conn_flush(c);
    }
    tc_settle(p->env, &a);
}

/* Serves everyone on c until own is at its end. False: own was left behind. */
static bool lead(struct tc_pipe *p, struct tc_conn *c, struct tc_call *own, int64_t until_ms)
{
    enum lead_end end;
    do {
        /* Those whose answers have just come will be back with new calls in a moment: let them join this flush. */
        if (c->batch > 1 && c->flight.n == 0)
            sched_yield();
        enum tc_conn_state state = inspect(c);
        if (state == TC_CONN_OPEN) {
            take_queue(p, c, until_ms);
            state = tc_conn_exchange(c, until_ms);
        }
        if (state == TC_CONN_OPEN)
            answer_and_refill(p, c, own, until_ms);
        struct tc_aftermath a = { .why = TC_CONN_OPEN };
        tc_lock_acquire(&p->lock);
        end = conclude_locked(p, c, own, until_ms, state, &a);
        tc_lock_release(&p->lock);
        tc_settle(p->env, &a);
    } while (end == LEAD_ON);
    return end == LEAD_DONE;
}

/* ---- callers ---- */

enum turn { TURN_DONE, TURN_LEAD, TURN_LEFT };

/* Among many callers the answer is there as soon as the others have had their turn, and letting them run costs less
 * than to sleep and be woken. Bounded in time too: a yield to a thread that computes can take milliseconds. */
static bool wait_briefly(struct tc_event *e)
{
    int64_t end_ns = tc_mono_ns() + PATIENCE_NS;
    for (int i = 0; i < PATIENCE_YIELDS; i++) {
        if (tc_event_wait(e, 0))
            return true;
        sched_yield();
        if (tc_mono_ns() >= end_ns)
            break;
    }
    return false;
}

/* Waits as long as somebody else leads. */
static enum turn wait_for_turn(struct tc_pipe *p, struct tc_conn *c, struct tc_call *call, int64_t until_ms)
{
    bool set = wait_briefly(&call->event) || tc_event_wait(&call->event, until_ms - tc_mono_ms());
    struct tc_aftermath a = { .why = TC_CONN_OPEN };
    tc_lock_acquire(&p->lock);
    bool signalled = call->done || call->leads;
    enum turn turn = call->leads ? TURN_LEAD : TURN_DONE;
    if (!signalled)
        turn = withdraw_locked(p, c, call, &a) ? TURN_DONE : TURN_LEFT;
    tc_lock_release(&p->lock);
    while (signalled && !set)
        set = tc_event_wait(&call->event, EVENT_IS_COMING_MS);
    tc_settle(p->env, &a);
    return turn;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Newcomers do not queue where somebody has given up and the answer has still not come. False: nothing of the kind. */
static bool leave_hung_conn_locked(struct tc_pipe *p, struct tc_aftermath *a)
{
    tc_lock_assert_held(&p->lock);
    struct tc_conn *c = p->conn;
    if (c == NULL || c->leader == NULL || !owes_too_long_locked(p, c)) /* no leader: nobody has looked */
        return false;
    drain_locked(p, c, was_useful_locked(p, c), a);
    return true;
}

/* Queues call on the connection, after waiting for one if it is awaited. NULL: call->status says why not. */
static struct tc_conn *join_locked(struct tc_pipe *p, struct tc_call *call, int64_t until_ms)
{
    tc_lock_assert_held(&p->lock);
    bool may_wait = atomic_load_explicit(&p->env->maintainer, memory_order_relaxed) != tc_redis_this_thread();
    while (p->conn == NULL && p->awaited && may_wait) {
        int64_t now_ms = tc_mono_ms();
        if (now_ms >= until_ms) {
            call->status = CACHE_E_TIMEOUT;
            return NULL;
        }
        if (now_ms >= p->awaited_until_ms) /* the supervisor may be looking up a name, for as long as that takes */
            set_conn_locked(p, NULL, false);
        else
            tc_cond_wait(&p->changed, &p->lock, least(until_ms, p->awaited_until_ms) - now_ms);
    }
    bool overtakes = p->conn != NULL && call->kind == TC_CALL_DEL && atomic_load(&p->env->doubts) != p->conn->doubts;
    if (p->conn == NULL || overtakes) {
        call->status = CACHE_E_UNAVAILABLE;
        return NULL;
    }
    tc_calls_push(&p->conn->queue, call);
    return p->conn;
}

int tc_pipe_run(struct tc_pipe *p, struct tc_call **call_ref, int64_t until_ms)
{
    struct tc_call *call = *call_ref;
    if (atomic_load_explicit(&p->shut, memory_order_relaxed))
        return CACHE_E_UNAVAILABLE;
    bool leads = false;
    struct tc_aftermath a = { .why = TC_CONN_OPEN };
    tc_lock_acquire(&p->lock);
    if (leave_hung_conn_locked(p, &a)) {
        tc_lock_release(&p->lock);
        tc_settle(p->env, &a); /* before this caller waits for the next one */
        tc_lock_acquire(&p->lock);
    }
    struct tc_conn *c = join_locked(p, call, until_ms);
    if (c != NULL && c->leader == NULL) {
        c->leader = call;
        c->suspect = false;
        leads = true;
    }
    tc_lock_release(&p->lock);
    if (c == NULL)
        return call->status;
    enum turn turn = leads ? TURN_LEAD : wait_for_turn(p, c, call, until_ms);
    if (turn == TURN_LEAD && !lead(p, c, call, until_ms))
        turn = TURN_LEFT;
    if (turn == TURN_LEFT) {
        *call_ref = NULL;
        return CACHE_E_UNKNOWN;
    }
    return call->status;
}

/* ---- the supervisor's side ---- */

bool tc_pipe_is_missing(struct tc_pipe *p)
{
    tc_lock_acquire(&p->lock);
    bool missing = p->conn == NULL;
    tc_lock_release(&p->lock);
    return missing;
}

void tc_pipe_attach(struct tc_pipe *p, struct tc_conn *c)
{
    tc_lock_acquire(&p->lock);
    tc_assert(p->conn == NULL);
    tc_redis_count(&p->env->counters, TC_REDIS_connects, 1);
    if (p->had_one)
        tc_redis_count(&p->env->counters, TC_REDIS_reconnects, 1);
    p->had_one = true;
    c->owed_since_ms = INT64_MAX;
    set_conn_locked(p, c, false);
    atomic_fetch_add(&p->env->health, 2);
    tc_cond_broadcast(&p->changed);
    tc_lock_release(&p->lock);
}

void tc_pipe_give_up(struct tc_pipe *p)
{
    tc_lock_acquire(&p->lock);
    set_conn_locked(p, p->conn, false);
    tc_cond_broadcast(&p->changed);
    tc_lock_release(&p->lock);
}
