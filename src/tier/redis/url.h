/* Redis URLs: redis://[user[:password]@]host[:port][/db] and unix://[user[:password]@]/path[?db=N]. */
#ifndef TC_TIER_REDIS_URL_H
#define TC_TIER_REDIS_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/alloc.h"

struct tc_redis_url {
    bool is_unix;
    char *host;     /* TCP: name or numeric address, without brackets */
    uint16_t port;  /* TCP */
    char *path;     /* unix */
    char *user;     /* NULL: the default user */
    char *password; /* NULL: none */
    int db;
    char *where; /* host:port or the path, for messages: never holds the user or the password */
    const struct tc_alloc *alloc;
};

/* Parses text strictly. *u can be given to fini whatever the result. err receives a sentence that says what is wrong
 * and quotes nothing of the URL, so that no piece of a password gets into a log; may be NULL.
 * Returns CACHE_OK, CACHE_E_INVALID, CACHE_E_NOMEM. */
int tc_redis_url_init(struct tc_redis_url *u, const char *text, const struct tc_alloc *alloc, char *err,
                      size_t err_cap);
/* Wipes the credentials and frees everything. */
void tc_redis_url_fini(struct tc_redis_url *u);

#endif
