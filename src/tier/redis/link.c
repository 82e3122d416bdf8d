/* Sockets: close-on-exec, non-blocking, no SIGPIPE, every wait by poll() towards an absolute deadline, so that neither
 * a storm of signals nor a server that drips bytes moves it.
 *
 * A descriptor is written into the table right after socket() and taken out right before close(), without a lock, for
 * a forked child, which may have closed the number since and got it again for something of its own: the child closes
 * only what is still the socket that was entered. It may miss one that was on its way in or out when it was forked. */
#include "tier/redis/link.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/platform.h"

#define KEEPALIVE_IDLE_S 30
#define KEEPALIVE_INTERVAL_S 10
#define KEEPALIVE_PROBES 3
#define BACKLOG_RETRY_MS 5

enum { FREE = -1, BEING_ENTERED = -2 };

void tc_links_init(struct tc_links *t)
{
    for (size_t i = 0; i < TC_LINKS_MAX; i++)
        atomic_init(&t->slot[i].fd, FREE);
}

static bool is_still(struct tc_links_slot *slot, int fd)
{
    struct stat now;
    return fstat(fd, &now) == 0 && now.st_dev == atomic_load(&slot->device) && now.st_ino == atomic_load(&slot->inode);
}

void tc_links_close_all(struct tc_links *t)
{
    for (size_t i = 0; i < TC_LINKS_MAX; i++) {
        int fd = atomic_exchange(&t->slot[i].fd, FREE);
        if (fd >= 0 && is_still(&t->slot[i], fd))
            close(fd);
    }
}

/* 0 or an errno. */
static int links_add(struct tc_links *t, int fd)
{
    struct stat identity;
    if (fstat(fd, &identity) != 0)
        return errno;
    for (size_t i = 0; i < TC_LINKS_MAX; i++) {
        struct tc_links_slot *slot = &t->slot[i];
        int expected = FREE;
        if (!atomic_compare_exchange_strong(&slot->fd, &expected, BEING_ENTERED))
            continue;
        atomic_store(&slot->device, identity.st_dev);
        atomic_store(&slot->inode, identity.st_ino);
        atomic_store(&slot->fd, fd);
        return 0;
    }
    return EMFILE;
}

static void links_remove(struct tc_links *t, int fd)
{
    for (size_t i = 0; i < TC_LINKS_MAX; i++) {
        int expected = fd;
        if (atomic_compare_exchange_strong(&t->slot[i].fd, &expected, FREE))
            return;
    }
}

void tc_link_reset_on_close(struct tc_link *l)
{
    struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void tc_link_close(struct tc_link *l)
{
    if (l->fd < 0)
        return;
    links_remove(l->links, l->fd);
    close(l->fd);
    l->fd = -1;
}

/* Best effort: a server works without them. */
static void tune_tcp(int fd)
{
    int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S, probes = KEEPALIVE_PROBES;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

static int finish_connect(struct tc_link *l, int64_t until_ms)
{
    if (tc_link_wait(l, POLLOUT, until_ms) == 0)
        return ETIMEDOUT;
    int error = 0;
    socklen_t len = sizeof error;
    return getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : errno;
}

/* A unix socket whose backlog is full says EAGAIN and offers nothing to poll for: ask again. */
static int connect_within(struct tc_link *l, const struct sockaddr *addr, socklen_t addr_len, int64_t until_ms)
{
    for (;;) {
        if (connect(l->fd, addr, addr_len) == 0)
            return 0;
        if (errno == EINPROGRESS || errno == EINTR)
            return finish_connect(l, until_ms);
        if (errno != EAGAIN)
            return errno;
        if (tc_mono_ms() >= until_ms)
            return ETIMEDOUT;
        poll(NULL, 0, BACKLOG_RETRY_MS);
    }
}

int tc_link_open(struct tc_link *l, struct tc_links *links, const struct sockaddr *addr, socklen_t addr_len,
                 int64_t until_ms)
{
    l->links = links;
    l->fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0)
        return errno;
    int error = links_add(links, l->fd);
    if (error != 0) {
        close(l->fd);
        l->fd = -1;
        return error;
    }
    if (addr->sa_family != AF_UNIX)
        tune_tcp(l->fd);
    error = connect_within(l, addr, addr_len, until_ms);
    if (error != 0)
        tc_link_close(l);
    return error;
}

static bool would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

ssize_t tc_link_send(struct tc_link *l, struct iovec *iov, size_t n_iov)
{
    struct msghdr m = { .msg_iov = iov, .msg_iovlen = n_iov };
    ssize_t n = sendmsg(l->fd, &m, MSG_NOSIGNAL);
    return n >= 0 ? n : would_block() ? 0 : -1;
}

ssize_t tc_link_receive(struct tc_link *l, struct iovec *iov, size_t n_iov)
{
    struct msghdr m = { .msg_iov = iov, .msg_iovlen = n_iov };
    ssize_t n = recvmsg(l->fd, &m, 0);
    if (n > 0)
        return n;
    return n < 0 && would_block() ? 0 : -1;
}

short tc_link_wait(struct tc_link *l, short events, int64_t until_ms)
{
    for (;;) {
        int64_t left = until_ms - tc_mono_ms();
        struct pollfd p = { .fd = l->fd, .events = events };
        int n = poll(&p, 1, left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left);
        if (n > 0)
            return p.revents;
        if (n < 0 && errno != EINTR)
            return POLLERR;
        if (left <= 0)
            return 0;
    }
}

enum tc_link_idle tc_link_peek(struct tc_link *l)
{
    char byte;
    ssize_t n = recv(l->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n > 0)
        return TC_LINK_TALKS;
    return n < 0 && would_block() ? TC_LINK_QUIET : TC_LINK_CLOSED;
}
