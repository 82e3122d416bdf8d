/* Any text as a Redis URL: either it is refused with a sentence that quotes nothing of it, or what came out is in
 * range and its description is printable. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tier/redis/url.h"
#include "tiercache.h"

#define MUST(x)      \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_parsed(const struct tc_redis_url *u)
{
    MUST(u->db >= 0);
    MUST(u->where != NULL);
    for (const char *p = u->where; *p != '\0'; p++)
        MUST(*p >= 0x20 && *p <= 0x7e);
    if (u->is_unix) {
        MUST(u->path != NULL && u->path[0] == '/' && strlen(u->path) <= 107 && u->host == NULL);
    } else {
        MUST(u->host != NULL && u->host[0] != '\0' && strlen(u->host) <= 255 && u->port > 0 && u->path == NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    MUST(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    struct tc_redis_url u;
    char err[256] = "";
    int status = tc_redis_url_init(&u, text, &tc_alloc_default, err, sizeof err);
    MUST(status == CACHE_OK || status == CACHE_E_INVALID);
    MUST((status == CACHE_E_INVALID) == (strncmp(err, "Redis URL: ", 11) == 0));
    if (status == CACHE_OK)
        check_parsed(&u);
    tc_redis_url_fini(&u);
    MUST(u.password == NULL && u.user == NULL && u.where == NULL);
    free(text);
    return 0;
}
