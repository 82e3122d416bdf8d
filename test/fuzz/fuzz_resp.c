/* Any bytes as replies. The first two say how to cut them and from which size strings are announced.
 *
 * Checked: cut or whole, the scanner says the same at the same byte; limits hold; and every reply that is no array and
 * that it lets through is one complete reply for hiredis's reader too, of the kind that its first byte says. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tier/redis/decode.h"
#include "tier/redis/resp.h"
#include "tiercache.h"

#define MUST(x)      \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

#define MAX_BULK 5000
#define MAX_TOTAL 20000
#define MAX_REPLIES 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *host_alloc(void *host, size_t n)
{
    (void)host;
    return malloc(n);
}

static void host_free(void *host, void *p, size_t n)
{
    (void)host;
    (void)n;
    free(p);
}

static const struct cache_backend_host host = { .alloc = host_alloc, .free = host_free };

struct trace {
    size_t ends[MAX_REPLIES];
    size_t n;
    size_t at;
    bool bad;
};

/* Scans p in pieces; announced strings are skipped, as a receiver does, where skips is set. */
static void trace_replies(struct trace *t, const char *p, size_t n, size_t piece, uint64_t body_min, bool skips)
{
    struct tc_resp s;
    struct tc_resp_limits limits = { MAX_BULK, MAX_TOTAL, 64, body_min };
    tc_resp_init(&s, &limits);
    t->n = t->at = 0;
    t->bad = false;
    while (t->at < n && !t->bad && t->n < MAX_REPLIES) {
        size_t used, give = n - t->at < piece ? n - t->at : piece;
        enum tc_resp_state state = tc_resp_scan(&s, p + t->at, give, &used);
        MUST(used <= give && (used > 0 || state == TC_RESP_BAD));
        MUST(s.total <= MAX_TOTAL + 1 && s.body_left <= MAX_BULK && s.depth <= TC_RESP_DEPTH_MAX);
        t->at += used;
        if (state == TC_RESP_DONE)
            t->ends[t->n++] = t->at;
        if (state == TC_RESP_BODY && skips) {
            size_t skip = n - t->at < s.body_left ? n - t->at : s.body_left;
            tc_resp_skip(&s, skip);
            t->at += skip;
        }
        t->bad = state == TC_RESP_BAD;
        MUST(t->bad == (s.reason != NULL));
    }
}

static void check_same(const struct trace *a, const struct trace *b)
{
    MUST(a->n == b->n && a->bad == b->bad && a->at == b->at);
    MUST(memcmp(a->ends, b->ends, a->n * sizeof *a->ends) == 0);
}

static void check_decoded(struct tc_decoder *d, const char *p, size_t n)
{
    struct tc_result r;
    MUST(tc_decode(d, p, n, 0, &r) == CACHE_OK);
    switch (p[0]) {
    case '+':
        MUST(r.kind == TC_RESULT_OK || r.kind == TC_RESULT_PONG || r.kind == TC_RESULT_STATUS);
        break;
    case '-':
        MUST(r.kind == TC_RESULT_ERROR);
        break;
    case ':':
        MUST(r.kind == TC_RESULT_INTEGER);
        break;
    default:
        MUST(r.kind == TC_RESULT_BULK || r.kind == TC_RESULT_NIL);
        MUST(r.len == 0 || memcmp(p + n - 2 - r.len, r.data, r.len) == 0);
        break;
    }
    free(r.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct trace whole, cut, skipped;
    if (size < 3)
        return 0;
    size_t piece = data[0] % 64 + 1u;
    uint64_t body_min = data[1] + 1u;
    const char *p = (const char *)data + 2;
    size_t n = size - 2;
    trace_replies(&whole, p, n, n, UINT64_MAX, false);
    trace_replies(&cut, p, n, piece, body_min, false);
    trace_replies(&skipped, p, n, piece, body_min, true);
    check_same(&whole, &cut);
    check_same(&whole, &skipped);

    struct tc_decoder d;
    tc_decoder_init(&d, &host);
    size_t from = 0;
    for (size_t i = 0; i < whole.n; i++) {
        if (p[from] != '*')
            check_decoded(&d, p + from, whole.ends[i] - from);
        from = whole.ends[i];
    }
    tc_decoder_fini(&d);
    return 0;
}
