/* Entropy for hash secrets, jitter seeds and tokens. */
#include "platform/platform.h"

#include <errno.h>
#include <sys/random.h>

int tc_random_bytes(void *p, size_t n)
{
    unsigned char *at = p;
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return errno;
        }
        at += got;
        n -= (size_t)got;
    }
    return 0;
}
