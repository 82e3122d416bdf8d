/* Brings the connections up and keeps trying: the work of maintain(). */
#ifndef TC_TIER_REDIS_SUPERVISOR_H
#define TC_TIER_REDIS_SUPERVISOR_H

#include "tier/redis/address.h"
#include "tier/redis/pipe.h"

/* Everything here belongs to the maintaining thread. */
struct tc_supervisor {
    struct tc_redis_env *env;
    const struct tc_redis_url *url;
    struct tc_pipe *pipes;
    size_t n_pipes;
    int64_t connect_timeout_ms;
    struct tc_addresses addresses;
    unsigned failures;   /* attempts since a connection last did useful work */
    int64_t next_try_ms; /* of tc_mono_ms() */
    uint64_t random;
};

/* 0 or an errno. */
int tc_supervisor_init(struct tc_supervisor *s);
/* Connects what is missing, if it is time. Returns the ms until it wants to be called again, -1 = when something is
 * lost. Blocks for connecting and for DNS. */
int64_t tc_supervisor_run(struct tc_supervisor *s);

#endif
