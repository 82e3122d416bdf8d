/* The fake Redis's thread: one poll loop over the listening socket, an eventfd that the test's side writes to, and the
 * connections. See tt_redis_priv.h for the lock. */
#include "tt_redis.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tt_redis_priv.h"

enum { BACKLOG = 512, READ_BYTES = 65536, LOGGED_BYTES = 40 };

/* ---- sockets ---- */

void tt_redis_bind(struct tt_redis *r)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)r->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t in_len = sizeof(in);
    int on = 1, failed;
    r->listen_fd = socket(r->net == TT_REDIS_TCP ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (r->net == TT_REDIS_TCP) {
        setsockopt(r->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        failed = bind(r->listen_fd, (struct sockaddr *)&in, sizeof(in)) ||
                 getsockname(r->listen_fd, (struct sockaddr *)&in, &in_len);
        r->port = ntohs(in.sin_port);
    } else {
        unlink(r->path);
        strncpy(un.sun_path, r->path, sizeof(un.sun_path) - 1);
        failed = bind(r->listen_fd, (struct sockaddr *)&un, sizeof(un));
    }
    if (failed)
        tt_die("the fake Redis has no address: %s", strerror(errno));
    r->listens = false;
}

/* A socket that is bound and does not listen refuses connections and keeps its address from others. */
static void obey_door(struct tt_redis *r)
{
    bool should = r->door != TT_DOOR_SHUT;
    if (should == r->listens)
        return;
    if (!should) {
        close(r->listen_fd);
        tt_redis_bind(r);
        return;
    }
    if (r->receive_buffer)
        setsockopt(r->listen_fd, SOL_SOCKET, SO_RCVBUF, &r->receive_buffer, sizeof(r->receive_buffer));
    if (listen(r->listen_fd, BACKLOG))
        tt_die("the fake Redis cannot listen: %s", strerror(errno));
    r->listens = true;
}

static void close_socket(int fd, bool reset)
{
    struct linger hard = {.l_onoff = 1};
    if (reset)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close(fd);
}

/* ---- output ---- */

struct tt_chunk *tt_chunk_new(const char *bytes, size_t len)
{
    struct tt_chunk *chunk = tt_xcalloc(sizeof(*chunk));
    chunk->bytes = tt_xmemdup(bytes, len);
    chunk->len = len;
    return chunk;
}

static void free_chunk(struct tt_chunk *chunk)
{
    free(chunk->bytes);
    free(chunk);
}

void tt_conn_queue(struct tt_conn *c, struct tt_chunk *chunk)
{
    *c->out_end = chunk;
    c->out_end = &chunk->next;
    c->ends = c->ends || chunk->then != TT_THEN_GO_ON;
}

static void pop_chunk(struct tt_conn *c)
{
    struct tt_chunk *chunk = c->out;
    c->out = chunk->next;
    if (!c->out)
        c->out_end = &c->out;
    free_chunk(chunk);
}

static void doom(struct tt_conn *c, bool reset)
{
    c->doomed = true;
    c->doomed_reset = reset;
}

/* When the first chunk may go on: now (0), at a time, or not before a release (INT64_MAX, also if there is none). */
static int64_t output_due_ms(const struct tt_conn *c)
{
    if (!c->out || c->out->stalled)
        return INT64_MAX;
    return c->out->drip_ms ? c->out->next_byte_ms : 0;
}

static void flush_out(struct tt_conn *c, int64_t now_ms)
{
    while (!c->doomed && output_due_ms(c) <= now_ms) {
        struct tt_chunk *chunk = c->out;
        if (chunk->sent < chunk->len) {
            size_t n = chunk->drip_ms ? 1 : chunk->len - chunk->sent;
            ssize_t sent = send(c->fd, chunk->bytes + chunk->sent, n, MSG_NOSIGNAL);
            if (sent < 0) {
                if (errno != EAGAIN && errno != EINTR)
                    doom(c, false);
                return;
            }
            chunk->sent += (size_t)sent;
            chunk->next_byte_ms = now_ms + chunk->drip_ms;
        }
        if (chunk->sent == chunk->len) {
            if (chunk->then != TT_THEN_GO_ON)
                doom(c, chunk->then == TT_THEN_RESET);
            pop_chunk(c);
        }
    }
}

/* ---- commands ---- */

static void count_name(struct tt_redis *r, const char *name)
{
    size_t i = 0;
    while (i < r->n_names && strcmp(r->names[i].name, name) != 0)
        i++;
    if (i == r->n_names) {
        r->names = realloc(r->names, (i + 1) * sizeof(*r->names));
        if (!r->names)
            tt_die("out of memory");
        r->names[i].n = 0;
        snprintf(r->names[i].name, sizeof(r->names[i].name), "%s", name);
        r->n_names++;
    }
    r->names[i].n++;
}

static bool waits_for_handshake(const struct tt_conn *c)
{
    for (const struct tt_chunk *chunk = c->out; chunk; chunk = chunk->next) {
        if (chunk->is_handshake)
            return true;
    }
    return c->handshake_failed || !c->had_command;
}

static void note_command(struct tt_redis *r, struct tt_conn *c, const struct tt_redis_command *command)
{
    struct cache_slice arg = command->argc > 1 ? command->argv[1] : (struct cache_slice){"", 0};
    int shown = arg.len < LOGGED_BYTES ? (int)arg.len : LOGGED_BYTES;
    bool touches = tt_redis_touches_key(command->name);
    r->seen.commands++;
    r->seen.data += touches;
    r->seen.early += touches && waits_for_handshake(c);
    count_name(r, command->name);
    tt_buf_print(&r->log, "%u %s %.*s\n", c->number, command->name, shown, (const char *)arg.data);
    c->had_command = true;
}

/* The fault that this command meets; NULL: none. */
static const struct tt_redis_fault *find_fault(struct tt_redis *r, const char *name)
{
    for (struct tt_fault_entry *e = r->faults; e; e = e->next) {
        const struct tt_redis_fault *f = &e->fault;
        if (f->command && strcmp(f->command, name) != 0)
            continue;
        if (f->times && e->met >= f->skip + f->times)
            continue;
        if (e->met++ >= f->skip)
            return f;
    }
    return NULL;
}

static size_t text_len(const char *text, size_t len)
{
    return !text ? 0 : len ? len : strlen(text);
}

static struct tt_chunk *faulty_answer(const struct tt_redis_fault *f, const struct tt_buf *truth)
{
    bool replaced = f->reply || f->not_run;
    struct tt_buf b = {0};
    tt_buf_add(&b, replaced ? f->reply : truth->data, replaced ? text_len(f->reply, f->reply_len) : truth->len);
    tt_buf_add(&b, f->extra, text_len(f->extra, f->extra_len));
    struct tt_chunk *chunk = tt_chunk_new(b.data, f->then != TT_THEN_GO_ON && f->cut < b.len ? f->cut : b.len);
    chunk->drip_ms = f->drip_ms;
    chunk->stalled = f->stall;
    chunk->then = f->then;
    tt_buf_free(&b);
    return chunk;
}

static void obey_command(struct tt_redis *r, struct tt_conn *c, const struct tt_redis_command *command)
{
    struct tt_buf truth = {0};
    note_command(r, c, command);
    const struct tt_redis_fault *f = find_fault(r, command->name);
    if (!f || !f->not_run)
        tt_redis_execute(&r->db, &c->session, command, &truth);
    struct tt_chunk *chunk = f ? faulty_answer(f, &truth) : tt_chunk_new(truth.data, truth.len);
    chunk->is_handshake = tt_redis_is_handshake(command->name);
    c->handshake_failed = c->handshake_failed || (chunk->is_handshake && chunk->len == 0);
    if (c->session.quits)
        chunk->then = TT_THEN_CLOSE;
    tt_conn_queue(c, chunk);
    tt_buf_free(&truth);
}

static void obey_input(struct tt_redis *r, struct tt_conn *c)
{
    size_t done = 0;
    while (!c->ends && !c->deaf) {
        struct tt_redis_command command;
        enum tt_redis_parsed parsed = tt_redis_parse(c->in.data + done, c->in.len - done, &command);
        if (parsed == TT_PARSED_BAD) {
            r->seen.malformed++;
            struct tt_chunk *chunk = tt_chunk_new("-ERR Protocol error\r\n", strlen("-ERR Protocol error\r\n"));
            chunk->then = TT_THEN_CLOSE;
            tt_conn_queue(c, chunk);
        }
        if (parsed != TT_PARSED_COMMAND)
            break;
        obey_command(r, c, &command);
        done += command.size;
        free(command.argv);
    }
    tt_buf_drop(&c->in, c->ends || c->deaf ? c->in.len : done);
}

static void read_in(struct tt_redis *r, struct tt_conn *c)
{
    char bytes[READ_BYTES];
    if (!r->read_at_most)
        return;
    ssize_t n = recv(c->fd, bytes, r->read_at_most < sizeof(bytes) ? r->read_at_most : sizeof(bytes), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        r->seen.torn += c->in.len > 0;
        doom(c, false);
        return;
    }
    r->seen.bytes += (uint64_t)n;
    tt_buf_add(&c->in, bytes, (size_t)n);
    obey_input(r, c);
}

/* ---- connections ---- */

static void add_conn(struct tt_redis *r, int fd)
{
    struct tt_conn *c = tt_xcalloc(sizeof(*c));
    int on = 1;
    if (r->net == TT_REDIS_TCP)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c->fd = fd;
    c->number = r->seen.connections;
    c->out_end = &c->out;
    c->deaf = r->greet_deaf;
    c->next = r->conns;
    r->conns = c;
    r->seen.open++;
    if (r->greeting) {
        struct tt_chunk *chunk = tt_chunk_new(r->greeting, r->greeting_len);
        chunk->then = r->greet_close ? TT_THEN_CLOSE : TT_THEN_GO_ON;
        tt_conn_queue(c, chunk);
    }
}

static void accept_all(struct tt_redis *r)
{
    for (;;) {
        int fd = accept4(r->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        r->seen.connections++;
        if (r->door == TT_DOOR_OPEN)
            add_conn(r, fd);
        else
            close_socket(fd, r->door == TT_DOOR_RESET);
    }
}

static void free_conn(struct tt_conn *c)
{
    close_socket(c->fd, c->doomed_reset);
    while (c->out)
        pop_chunk(c);
    tt_buf_free(&c->in);
    free(c);
}

static void bury_doomed(struct tt_redis *r, bool all)
{
    struct tt_conn **link = &r->conns;
    while (*link) {
        struct tt_conn *c = *link;
        if (!c->doomed && !all) {
            link = &c->next;
            continue;
        }
        *link = c->next;
        free_conn(c);
        r->seen.open--;
    }
}

/* ---- the loop ---- */

enum { POLL_WAKE, POLL_LISTEN, POLL_CONNS };

struct round {
    struct pollfd *poll;
    size_t n, cap;
    int64_t due_ms; /* the next drip; INT64_MAX = none */
};

static void add_poll(struct round *round, int fd, short events)
{
    if (round->n == round->cap) {
        round->cap = round->cap ? round->cap * 2 : 64;
        round->poll = realloc(round->poll, round->cap * sizeof(*round->poll));
        if (!round->poll)
            tt_die("out of memory");
    }
    round->poll[round->n++] = (struct pollfd){.fd = fd, .events = events};
}

/* A negative descriptor is skipped by poll(): so a frozen server, and a connection with nothing to do, looks. */
static void prepare(struct tt_redis *r, struct round *round, int64_t now_ms)
{
    round->n = 0;
    round->due_ms = INT64_MAX;
    add_poll(round, r->wake_fd, POLLIN);
    add_poll(round, r->listens && !r->frozen ? r->listen_fd : -1, POLLIN);
    for (struct tt_conn *c = r->conns; c; c = c->next) {
        int64_t due = output_due_ms(c);
        short events = (short)((r->read_at_most ? POLLIN : 0) | (due <= now_ms ? POLLOUT : 0));
        if (due > now_ms && due < round->due_ms)
            round->due_ms = due;
        add_poll(round, events && !r->frozen ? c->fd : -1, events);
    }
    if (r->frozen)
        round->due_ms = INT64_MAX;
}

/* The list has not changed since prepare(): only the thread adds and removes connections. */
static void serve(struct tt_redis *r, const struct round *round)
{
    size_t i = POLL_CONNS;
    int64_t now_ms = tt_mono_ms();
    for (struct tt_conn *c = r->conns; c; c = c->next, i++) {
        if (round->poll[i].revents & (POLLIN | POLLHUP | POLLERR))
            read_in(r, c);
        if (round->poll[i].fd >= 0 || output_due_ms(c) <= now_ms)
            flush_out(c, now_ms);
    }
    if (round->poll[POLL_LISTEN].revents)
        accept_all(r);
}

static bool go_round(struct tt_redis *r, struct round *round)
{
    uint64_t ignored;
    bury_doomed(r, r->stops);
    if (r->stops)
        return false;
    obey_door(r);
    int64_t now_ms = tt_mono_ms();
    for (struct tt_conn *c = r->frozen ? NULL : r->conns; c; c = c->next)
        flush_out(c, now_ms);
    bury_doomed(r, false);
    r->rounds_done = r->rounds_asked;
    pthread_cond_broadcast(&r->went_round);

    prepare(r, round, now_ms);
    int timeout = round->due_ms == INT64_MAX ? -1 : (int)(round->due_ms - now_ms);
    pthread_mutex_unlock(&r->lock);
    poll(round->poll, round->n, timeout);
    pthread_mutex_lock(&r->lock);
    if (round->poll[POLL_WAKE].revents && read(r->wake_fd, &ignored, sizeof(ignored)) < 0 && errno != EAGAIN)
        tt_die("the fake Redis's eventfd failed: %s", strerror(errno));
    if (!r->frozen)
        serve(r, round);
    return true;
}

void *tt_redis_run(void *redis)
{
    struct tt_redis *r = redis;
    struct round round = {0};
    pthread_mutex_lock(&r->lock);
    while (go_round(r, &round))
        continue;
    pthread_mutex_unlock(&r->lock);
    free(round.poll);
    return NULL;
}
