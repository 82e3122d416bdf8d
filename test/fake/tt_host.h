/* What a cache is to its backend, for tests that drive a backend without a cache: memory that is counted, a clock, a
 * thread that calls maintain() as the cache does (at once after attach, after wake(), and when the delay it asked for
 * has passed), and a record of what the backend reports. Calls go straight to the slots of host->ops with host->ctx. */
#ifndef TT_HOST_H
#define TT_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "tiercache/backend.h"
#include "tt_alloc.h"
#include "tt_clock.h"

enum { TT_REPORT_BYTES = 256 };

struct tt_host {
    const struct cache_backend_ops *ops;
    void *ctx;
    struct cache_backend_host host;
    struct tt_alloc alloc;  /* what host.alloc gives out */
    struct tt_clock *clock; /* NULL: real time */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    pthread_t thread;
    bool has_thread, woken, stops;
    unsigned wakes, reports;
    int last_level, last_status; /* of the last report */
    int failed_status;           /* of the last report with a negative status */
    char failed_text[TT_REPORT_BYTES];
};

/* Attaches ctx and starts the maintainer. clock NULL: real time. Returns what attach returned; if that is negative,
 * ctx was closed and there is nothing to close. */
int tt_host_open(struct tt_host *h, const struct cache_backend_ops *ops, void *ctx, struct tt_clock *clock);
/* Stops the maintainer, closes the backend. True if it gave back all memory. */
bool tt_host_close(struct tt_host *h);

int64_t tt_host_now_ms(struct tt_host *h);
int64_t tt_host_in_ms(struct tt_host *h, int64_t ms); /* a deadline */
bool tt_host_is_up(struct tt_host *h);
bool tt_host_await_health(struct tt_host *h, int health); /* false: not within 5 s of real time */
unsigned tt_host_reports(struct tt_host *h);
/* The last failure reported, 0 if none; text (of TT_REPORT_BYTES, may be NULL) says it in words. */
int tt_host_failure(struct tt_host *h, char *text);
void tt_host_value_free(struct tt_host *h, struct cache_backend_value *v); /* and zeroes it */

#endif
