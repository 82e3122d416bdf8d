/* The test's side of the fake Redis. A change is made under the lock; go_round_locked() then waits until the thread has
 * taken notice, so that it is in force when the function returns. */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tt_redis_priv.h"

static void wake(struct tt_redis *r)
{
    uint64_t one = 1;
    if (write(r->wake_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
        tt_die("the fake Redis cannot be woken");
}

static void go_round_locked(struct tt_redis *r)
{
    uint64_t want = ++r->rounds_asked;
    wake(r);
    while (r->rounds_done < want)
        pthread_cond_wait(&r->went_round, &r->lock);
}

/* ---- life ---- */

static char *copy_text(const char *text)
{
    return tt_xmemdup(text, strlen(text) + 1);
}

struct tt_redis *tt_redis_start(enum tt_redis_net net)
{
    struct tt_redis *r = tt_xcalloc(sizeof(*r));
    struct tt_buf url = {0};
    r->net = net;
    r->read_at_most = SIZE_MAX;
    r->path = tt_temp_path(".sock");
    r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    tt_redis_bind(r);
    if (net == TT_REDIS_TCP)
        tt_buf_print(&url, "redis://127.0.0.1:%u", r->port);
    else
        tt_buf_print(&url, "unix://%s", r->path);
    r->url = url.data;
    tt_redis_db_init(&r->db);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->went_round, NULL);
    if (r->wake_fd < 0 || pthread_create(&r->thread, NULL, tt_redis_run, r))
        tt_die("the fake Redis has no thread");
    tt_redis_door(r, TT_DOOR_OPEN);
    return r;
}

void tt_redis_stop(struct tt_redis *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->stops = true;
    wake(r);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    tt_redis_clear(r);
    close(r->listen_fd);
    close(r->wake_fd);
    unlink(r->path);
    tt_redis_db_fini(&r->db);
    tt_buf_free(&r->log);
    free(r->names);
    free(r->greeting);
    free(r->path);
    free(r->url);
    pthread_cond_destroy(&r->went_round);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

const char *tt_redis_url(const struct tt_redis *r)
{
    return r->url;
}

char *tt_redis_url_with(const struct tt_redis *r, const char *credentials)
{
    struct tt_buf b = {0};
    const char *rest = strstr(r->url, "://") + strlen("://");
    tt_buf_print(&b, "%.*s%s@%s", (int)(rest - r->url), r->url, credentials, rest);
    return b.data;
}

/* ---- how it takes connections ---- */

void tt_redis_door(struct tt_redis *r, enum tt_redis_door door)
{
    pthread_mutex_lock(&r->lock);
    r->door = door;
    go_round_locked(r);
    pthread_mutex_unlock(&r->lock);
}

void tt_redis_greet(struct tt_redis *r, const char *bytes, size_t len, bool deaf, bool then_close)
{
    pthread_mutex_lock(&r->lock);
    free(r->greeting);
    r->greeting = bytes ? tt_xmemdup(bytes, len) : NULL;
    r->greeting_len = len;
    r->greet_deaf = deaf;
    r->greet_close = then_close;
    pthread_mutex_unlock(&r->lock);
}

void tt_redis_require(struct tt_redis *r, const char *user, const char *password)
{
    pthread_mutex_lock(&r->lock);
    free(r->db.user);
    free(r->db.password);
    r->db.user = copy_text(user ? user : "default");
    r->db.password = password ? copy_text(password) : NULL;
    pthread_mutex_unlock(&r->lock);
}

void tt_redis_read_at_most(struct tt_redis *r, size_t bytes)
{
    pthread_mutex_lock(&r->lock);
    r->read_at_most = bytes;
    go_round_locked(r);
    pthread_mutex_unlock(&r->lock);
}

/* The buffer is set before listen(): so the window is small from the first byte on. */
void tt_redis_receive_buffer(struct tt_redis *r, int bytes)
{
    pthread_mutex_lock(&r->lock);
    enum tt_redis_door door = r->door;
    r->receive_buffer = bytes;
    r->door = TT_DOOR_SHUT;
    go_round_locked(r);
    r->door = door;
    go_round_locked(r);
    pthread_mutex_unlock(&r->lock);
}

void tt_redis_freeze(struct tt_redis *r, bool frozen)
{
    pthread_mutex_lock(&r->lock);
    r->frozen = frozen;
    go_round_locked(r);
    pthread_mutex_unlock(&r->lock);
}

/* ---- what it does to connections that are there ---- */

void tt_redis_kick(struct tt_redis *r, bool reset)
{
    pthread_mutex_lock(&r->lock);
    for (struct tt_conn *c = r->conns; c; c = c->next) {
        c->doomed = true;
        c->doomed_reset = reset;
    }
    go_round_locked(r);
    pthread_mutex_unlock(&r->lock);
}

void tt_redis_say(struct tt_redis *r, const char *bytes, size_t len)
{
    pthread_mutex_lock(&r->lock);
    for (struct tt_conn *c = r->conns; c; c = c->next)
        tt_conn_queue(c, tt_chunk_new(bytes, len));
    go_round_locked(r);
    pthread_mutex_unlock(&r->lock);
}

/* ---- faults of commands ---- */

static const char *copy_bytes(const char *p, size_t *len)
{
    if (!p)
        return NULL;
    if (!*len)
        *len = strlen(p);
    return tt_xmemdup(p, *len);
}

void tt_redis_fault(struct tt_redis *r, const struct tt_redis_fault *f)
{
    struct tt_fault_entry *e = tt_xcalloc(sizeof(*e));
    e->fault = *f;
    e->fault.command = f->command ? copy_text(f->command) : NULL;
    e->fault.reply = copy_bytes(f->reply, &e->fault.reply_len);
    e->fault.extra = copy_bytes(f->extra, &e->fault.extra_len);
    pthread_mutex_lock(&r->lock);
    struct tt_fault_entry **end = &r->faults;
    while (*end)
        end = &(*end)->next;
    *end = e;
    pthread_mutex_unlock(&r->lock);
}

void tt_redis_answer_error(struct tt_redis *r, const char *command, const char *line)
{
    struct tt_buf b = {0};
    tt_buf_print(&b, "-%s\r\n", line);
    tt_redis_fault(r, &(struct tt_redis_fault){.command = command, .not_run = true, .reply = b.data});
    tt_buf_free(&b);
}

void tt_redis_clear(struct tt_redis *r)
{
    pthread_mutex_lock(&r->lock);
    while (r->faults) {
        struct tt_fault_entry *e = r->faults;
        r->faults = e->next;
        free((void *)e->fault.command);
        free((void *)e->fault.reply);
        free((void *)e->fault.extra);
        free(e);
    }
    pthread_mutex_unlock(&r->lock);
}

unsigned tt_redis_stalled(struct tt_redis *r)
{
    unsigned n = 0;
    pthread_mutex_lock(&r->lock);
    for (struct tt_conn *c = r->conns; c; c = c->next) {
        for (struct tt_chunk *chunk = c->out; chunk; chunk = chunk->next)
            n += chunk->stalled;
    }
    pthread_mutex_unlock(&r->lock);
    return n;
}

void tt_redis_release(struct tt_redis *r)
{
    pthread_mutex_lock(&r->lock);
    for (struct tt_conn *c = r->conns; c; c = c->next) {
        for (struct tt_chunk *chunk = c->out; chunk; chunk = chunk->next)
            chunk->stalled = false;
    }
    go_round_locked(r);
    pthread_mutex_unlock(&r->lock);
}

/* ---- what it saw ---- */

struct tt_redis_seen tt_redis_seen(struct tt_redis *r)
{
    pthread_mutex_lock(&r->lock);
    struct tt_redis_seen seen = r->seen;
    pthread_mutex_unlock(&r->lock);
    return seen;
}

unsigned tt_redis_count(struct tt_redis *r, const char *command)
{
    unsigned n = 0;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n_names; i++) {
        if (strcmp(r->names[i].name, command) == 0)
            n = r->names[i].n;
    }
    pthread_mutex_unlock(&r->lock);
    return n;
}

char *tt_redis_log(struct tt_redis *r)
{
    pthread_mutex_lock(&r->lock);
    char *text = tt_xcalloc(r->log.len + 1);
    if (r->log.len)
        memcpy(text, r->log.data, r->log.len);
    pthread_mutex_unlock(&r->lock);
    return text;
}

void tt_redis_forget(struct tt_redis *r)
{
    pthread_mutex_lock(&r->lock);
    r->log.len = 0;
    r->n_names = 0;
    r->seen.commands = r->seen.data = r->seen.early = 0;
    pthread_mutex_unlock(&r->lock);
}

/* ---- what it stores ---- */

size_t tt_redis_keys(struct tt_redis *r)
{
    pthread_mutex_lock(&r->lock);
    size_t n = tt_store_count(r->db.store[0]);
    pthread_mutex_unlock(&r->lock);
    return n;
}

bool tt_redis_peek(struct tt_redis *r, const char *key, size_t key_len, void **data, size_t *len)
{
    pthread_mutex_lock(&r->lock);
    struct tt_blob *blob = tt_store_get(r->db.store[0], (struct cache_slice){key, key_len}, tt_mono_ms(), NULL);
    pthread_mutex_unlock(&r->lock);
    if (!blob)
        return false;
    *data = tt_xmemdup(blob->data, blob->len);
    *len = blob->len;
    tt_blob_release(blob);
    return true;
}
