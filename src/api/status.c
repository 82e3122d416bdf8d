/* Names of results, and the version. */
#include "tiercache.h"

const char *cache_status_text(int status)
{
    switch (status) {
    case CACHE_OK:
        return "OK";
    case CACHE_MISS:
        return "miss";
    case CACHE_ABSENT:
        return "known to be absent";
    case CACHE_QUEUED:
        return "in force here, queued for L2";
    case CACHE_BUSY:
        return "calls or pinned values remain";
    case CACHE_E_INVALID:
        return "invalid argument";
    case CACHE_E_NOMEM:
        return "out of memory";
    case CACHE_E_CLOSED:
        return "the cache is being closed";
    case CACHE_E_FORKED:
        return "the cache belongs to the parent process";
    case CACHE_E_TIMEOUT:
        return "the deadline passed";
    case CACHE_E_UNAVAILABLE:
        return "L2 is unavailable";
    case CACHE_E_UNKNOWN:
        return "it may or may not have taken effect in L2";
    case CACHE_E_TICKET:
        return "refused: the key changed since the miss, or there was no miss";
    case CACHE_E_DEADLOCK:
        return "a loader fetched the key that it loads";
    case CACHE_E_TOO_LARGE:
        return "key or value too large";
    case CACHE_E_BUFFER:
        return "the buffer is too small";
    case CACHE_E_LOAD:
        return "the loader failed";
    case CACHE_E_AUTH:
        return "L2 refused the credentials or the permission";
    case CACHE_E_PROTOCOL:
        return "L2 broke the protocol or is not Redis";
    case CACHE_E_REFUSED:
        return "L2 refused the command";
    case CACHE_E_EXISTS:
        return "a type of that name exists";
    case CACHE_E_NOT_FOUND:
        return "not found";
    case CACHE_E_SYSTEM:
        return "the operating system refused a resource";
    case CACHE_E_ABI:
        return "callback table of an unknown abi, or without a required slot";
    default:
        return status <= CACHE_E_USER_FIRST && status >= CACHE_E_USER_LAST ? "the loader's own error"
                                                                          : "unknown result";
    }
}

uint32_t cache_version(void)
{
    return TIERCACHE_VERSION;
}
