/* The error replies that a cache can meet, as one table: the first word decides, except for the few that Redis
 * prefixes with a mere ERR. Each of them says that the command did not run. */
#include "tier/redis/reply.h"

#include <string.h>

#include "tiercache.h"

struct meaning {
    const char *text; /* a first word; with a space in it: how the whole begins */
    enum tc_redis_counter counter;
    int status;
};

static const struct meaning meanings[] = {
    [TC_REPLY_OTHER] = { "ERR", TC_REDIS_err_other, CACHE_E_REFUSED },
    [TC_REPLY_OOM] = { "OOM", TC_REDIS_err_oom, CACHE_E_REFUSED },
    [TC_REPLY_LOADING] = { "LOADING", TC_REDIS_err_loading, CACHE_E_REFUSED },
    [TC_REPLY_MASTERDOWN] = { "MASTERDOWN", TC_REDIS_err_loading, CACHE_E_REFUSED },
    [TC_REPLY_READONLY] = { "READONLY", TC_REDIS_err_readonly, CACHE_E_REFUSED },
    [TC_REPLY_MISCONF] = { "MISCONF", TC_REDIS_err_misconf, CACHE_E_REFUSED },
    [TC_REPLY_NOAUTH] = { "NOAUTH", TC_REDIS_err_auth, CACHE_E_AUTH },
    [TC_REPLY_WRONGPASS] = { "WRONGPASS", TC_REDIS_err_auth, CACHE_E_AUTH },
    [TC_REPLY_NOPERM] = { "NOPERM", TC_REDIS_err_auth, CACHE_E_AUTH },
    [TC_REPLY_DENIED] = { "DENIED", TC_REDIS_err_auth, CACHE_E_AUTH },
    [TC_REPLY_BUSY] = { "BUSY", TC_REDIS_err_busy, CACHE_E_REFUSED },
    [TC_REPLY_TRYAGAIN] = { "TRYAGAIN", TC_REDIS_err_busy, CACHE_E_REFUSED },
    [TC_REPLY_WRONGTYPE] = { "WRONGTYPE", TC_REDIS_err_wrongtype, CACHE_E_REFUSED },
    [TC_REPLY_MOVED] = { "MOVED", TC_REDIS_err_redirect, CACHE_E_REFUSED },
    [TC_REPLY_ASK] = { "ASK", TC_REDIS_err_redirect, CACHE_E_REFUSED },
    [TC_REPLY_CLUSTERDOWN] = { "CLUSTERDOWN", TC_REDIS_err_redirect, CACHE_E_REFUSED },
    [TC_REPLY_CROSSSLOT] = { "CROSSSLOT", TC_REDIS_err_redirect, CACHE_E_REFUSED },
    [TC_REPLY_NOSCRIPT] = { "NOSCRIPT", TC_REDIS_err_other, CACHE_E_REFUSED },
    [TC_REPLY_NOREPLICAS] = { "NOREPLICAS", TC_REDIS_err_other, CACHE_E_REFUSED },
    [TC_REPLY_MAXCLIENTS] = { "ERR max number of clients reached", TC_REDIS_err_other, CACHE_E_REFUSED },
};

enum tc_reply_error tc_reply_classify(const char *text, size_t len)
{
    const char *space = len > 0 ? memchr(text, ' ', len) : NULL;
    size_t word = space != NULL ? (size_t)(space - text) : len;
    for (size_t i = 1; i < sizeof meanings / sizeof *meanings; i++) {
        size_t n = strlen(meanings[i].text);
        size_t have = memchr(meanings[i].text, ' ', n) != NULL && n <= len ? n : word;
        if (have == n && memcmp(text, meanings[i].text, n) == 0)
            return (enum tc_reply_error)i;
    }
    return TC_REPLY_OTHER;
}

const char *tc_reply_name(enum tc_reply_error e)
{
    return meanings[e].text;
}

int tc_reply_status(enum tc_reply_error e)
{
    return meanings[e].status;
}

enum tc_redis_counter tc_reply_counter(enum tc_reply_error e)
{
    return meanings[e].counter;
}
