/* Resolving. Called by the maintaining thread only: getaddrinfo() knows no deadline, so no caller ever waits in it. */
#include "tier/redis/address.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static void set_unix(struct tc_addresses *a, const char *path)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&a->at[0];
    memset(&a->at[0], 0, sizeof a->at[0]);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, strlen(path));
    a->len[0] = sizeof *un;
    a->n = 1;
}

static int look_up(const struct tc_redis_url *u, int flags, struct addrinfo **out)
{
    char port[8];
    snprintf(port, sizeof port, "%u", (unsigned)u->port);
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV };
    return getaddrinfo(u->host, port, &hints, out);
}

const char *tc_addresses_resolve(struct tc_addresses *a, const struct tc_redis_url *u)
{
    if (u->is_unix) {
        set_unix(a, u->path);
        return NULL;
    }
    struct addrinfo *found = NULL;
    int error = look_up(u, AI_NUMERICHOST, &found);
    if (error == EAI_NONAME)
        error = look_up(u, 0, &found);
    if (error != 0)
        return gai_strerror(error);
    size_t n = 0;
    for (const struct addrinfo *i = found; i != NULL && n < TC_ADDRESSES_MAX; i = i->ai_next) {
        if (i->ai_addrlen > sizeof a->at[n])
            continue;
        memcpy(&a->at[n], i->ai_addr, i->ai_addrlen);
        a->len[n++] = i->ai_addrlen;
    }
    freeaddrinfo(found);
    if (n > 0)
        a->n = n;
    return n > 0 ? NULL : "no usable address";
}
