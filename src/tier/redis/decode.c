/* hiredis's reader, fed with one complete reply at a time.
 *
 * The reader and its buffer come from malloc, not from the cache's allocator: hiredis 0.14 has no other way, and later
 * versions only a process-wide one that is not ours to set. Both are bounded by the largest reply given to it (strings
 * of 16 KiB and more never pass here). Values are copied once, out of that buffer into memory of the host.
 *
 * maxbuf is 0 because the reader would otherwise free a grown buffer and assert that it gets a new one.
 * No createArray (its type differs between hiredis versions): arrays are refused before they come here. */
#include "tier/redis/decode.h"

#include <string.h>

#include <hiredis/read.h>

#include "tiercache.h"

static struct tc_decoder *decoder_of(const redisReadTask *task)
{
    return task->privdata;
}

static void *create_string(const redisReadTask *task, char *p, size_t n)
{
    struct tc_decoder *d = decoder_of(task);
    struct tc_result *r = d->result;
    if (task->type == REDIS_REPLY_ERROR) {
        r->kind = TC_RESULT_ERROR;
        r->error = tc_reply_classify(p, n);
    } else if (task->type == REDIS_REPLY_STATUS) {
        r->kind = n == 2 && memcmp(p, "OK", 2) == 0       ? TC_RESULT_OK
                  : n == 4 && memcmp(p, "PONG", 4) == 0 ? TC_RESULT_PONG
                                                        : TC_RESULT_STATUS;
    } else {
        r->kind = TC_RESULT_BULK;
        if (n > 0 && !d->discard) {
            r->data = d->host->alloc(d->host->host, n);
            if (r->data == NULL) {
                r->kind = TC_RESULT_NOMEM;
                return d;
            }
            memcpy(r->data, p, n);
            r->len = n;
        }
    }
    return d;
}

static void *create_integer(const redisReadTask *task, long long v)
{
    struct tc_decoder *d = decoder_of(task);
    d->result->kind = TC_RESULT_INTEGER;
    d->result->integer = v;
    return d;
}

static void *create_nil(const redisReadTask *task)
{
    struct tc_decoder *d = decoder_of(task);
    d->result->kind = TC_RESULT_NIL;
    return d;
}

/* What the functions return stands for the reply and is never looked at, so there is nothing to free. */
static redisReplyObjectFunctions functions = { .createString = create_string,
                                               .createInteger = create_integer,
                                               .createNil = create_nil };

void tc_decoder_init(struct tc_decoder *d, const struct cache_backend_host *host)
{
    *d = (struct tc_decoder){ .host = host };
}

void tc_decoder_fini(struct tc_decoder *d)
{
    if (d->reader != NULL)
        redisReaderFree(d->reader);
    d->reader = NULL;
}

int tc_decode(struct tc_decoder *d, const char *p, size_t n, int discard, struct tc_result *result)
{
    if (d->reader == NULL) {
        d->reader = redisReaderCreateWithFunctions(&functions);
        if (d->reader == NULL)
            return CACHE_E_NOMEM;
        d->reader->maxbuf = 0;
        d->reader->privdata = d;
    }
    *result = (struct tc_result){ 0 };
    d->result = result;
    d->discard = discard;
    void *reply = NULL;
    int rc = redisReaderFeed(d->reader, p, n);
    if (rc == REDIS_OK)
        rc = redisReaderGetReply(d->reader, &reply);
    if (rc == REDIS_OK && reply != NULL)
        return CACHE_OK;
    return d->reader->err == REDIS_ERR_OOM ? CACHE_E_NOMEM : CACHE_E_PROTOCOL;
}
