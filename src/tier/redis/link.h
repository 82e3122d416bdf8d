/* One non-blocking socket, and waiting on it with deadlines. Deadlines are on tc_mono_ms(). */
#ifndef TC_TIER_REDIS_LINK_H
#define TC_TIER_REDIS_LINK_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#define TC_LINKS_MAX 64

/* The descriptors that are open, where a forked child finds them without a lock. */
struct tc_links {
    struct tc_links_slot {
        _Atomic int fd; /* negative: none */
        _Atomic dev_t device; /* which socket that was when it was entered */
        _Atomic ino_t inode;
    } slot[TC_LINKS_MAX];
};

void tc_links_init(struct tc_links *t);
/* In a forked child: closes its copies, and nothing that took their numbers. */
void tc_links_close_all(struct tc_links *t);

struct tc_link {
    int fd; /* -1: closed */
    struct tc_links *links;
};

/* Connects within the deadline. Returns 0 or an errno: ETIMEDOUT, EMFILE (also for a full table), ECONNREFUSED ... */
int tc_link_open(struct tc_link *l, struct tc_links *links, const struct sockaddr *addr, socklen_t addr_len,
                 int64_t until_ms);
void tc_link_close(struct tc_link *l);
/* Closing will forget what was sent and not acknowledged, where else the system would send it again. */
void tc_link_reset_on_close(struct tc_link *l);

/* Bytes taken; 0: it would block; -1: the connection is gone. Raises no SIGPIPE. */
ssize_t tc_link_send(struct tc_link *l, struct iovec *iov, size_t n_iov);
/* Bytes received; 0: it would block; -1: closed or gone. */
ssize_t tc_link_receive(struct tc_link *l, struct iovec *iov, size_t n_iov);
/* Waits for events (POLLIN, POLLOUT). Returns what poll() saw, or 0 when the time ran out. Signals change nothing. */
short tc_link_wait(struct tc_link *l, short events, int64_t until_ms);

enum tc_link_idle { TC_LINK_QUIET, TC_LINK_TALKS, TC_LINK_CLOSED };
/* Looks, without blocking, at a connection on which nothing should come. */
enum tc_link_idle tc_link_peek(struct tc_link *l);

#endif
