/* The loader that does as it is told, with a barrier in it. */
#include <string.h>

#include "tt_cache.h"
#include "tt_util.h"

void tt_loader_init(struct tt_loader *l, const char *text)
{
    memset(l, 0, sizeof *l);
    l->text = text;
    if (pthread_mutex_init(&l->lock, NULL) != 0 || pthread_cond_init(&l->changed, NULL) != 0)
        tt_die("no mutex");
}

void tt_loader_fini(struct tt_loader *l)
{
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
}

static void unlock(void *lock)
{
    pthread_mutex_unlock(lock);
}

/* May be cancelled while it waits. */
static void wait_at_barrier(struct tt_loader *l)
{
    pthread_mutex_lock(&l->lock);
    pthread_cleanup_push(unlock, &l->lock);
    if (l->blocks) {
        l->waiting++;
        while (l->blocks)
            pthread_cond_wait(&l->changed, &l->lock);
        l->waiting--;
    }
    pthread_cleanup_pop(1);
}

int tt_loader_run(struct cache_load *ld, const struct cache_key *k, void *loader)
{
    struct tt_loader *l = loader;
    atomic_fetch_add(&l->calls, 1);
    wait_at_barrier(l);
    int rc = l->inside != NULL ? l->inside(l, ld, k) : CACHE_OK;
    if (rc == CACHE_OK && l->ttl_ms != 0)
        rc = cache_load_ttl(ld, l->ttl_ms);
    if (rc == CACHE_OK && l->absent)
        rc = cache_load_absent(ld);
    if (rc == CACHE_OK && l->text != NULL)
        rc = cache_load_reply(ld, l->text, strlen(l->text));
    return rc != CACHE_OK ? rc : l->status;
}

void tt_loader_block(struct tt_loader *l)
{
    pthread_mutex_lock(&l->lock);
    l->blocks = true;
    pthread_mutex_unlock(&l->lock);
}

bool tt_loader_await_blocked(struct tt_loader *l, unsigned n)
{
    int64_t end_ms = tt_mono_ms() + TT_SOON_MS;
    for (;;) {
        pthread_mutex_lock(&l->lock);
        bool there = l->waiting >= n;
        pthread_mutex_unlock(&l->lock);
        if (there || !tt_pause(end_ms))
            return there;
    }
}

void tt_loader_release(struct tt_loader *l)
{
    pthread_mutex_lock(&l->lock);
    l->blocks = false;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}
