/* Sockets: deadlines, what an idle connection says, the table of descriptors, and the lists of addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform/platform.h"
#include "tier/redis/address.h"
#include "tier/redis/link.h"
#include "tiercache.h"

struct pair {
    struct tc_links links;
    struct tc_link link;
    int peer;
};

static int setup(void **state)
{
    static struct pair p;
    int fd[2];
    tc_links_init(&p.links);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) != 0)
        return -1;
    p.link = (struct tc_link){ .fd = fd[0], .links = &p.links };
    p.peer = fd[1];
    *state = &p;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;
    tc_link_close(&p->link);
    if (p->peer >= 0)
        close(p->peer);
    return 0;
}

static void wait_ends_at_its_deadline(void **state)
{
    struct pair *p = *state;
    int64_t begin = tc_mono_ms();
    assert_int_equal(tc_link_wait(&p->link, POLLIN, begin + 20), 0);
    assert_true(tc_mono_ms() >= begin + 20);
    assert_int_equal(tc_link_wait(&p->link, POLLIN, 0), 0);
    assert_int_equal(tc_link_wait(&p->link, POLLIN | POLLOUT, 0), POLLOUT);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int signo)
{
    (void)signo;
    alarms++;
}

static void storm_of_signals_does_not_move_the_deadline(void **state)
{
    struct pair *p = *state;
    struct sigaction action = { .sa_handler = on_alarm }, old;
    struct itimerval fast = { { 0, 1000 }, { 0, 1000 } }, off = { { 0, 0 }, { 0, 0 } };
    sigaction(SIGALRM, &action, &old);
    setitimer(ITIMER_REAL, &fast, NULL);
    int64_t begin = tc_mono_ms();
    short seen = tc_link_wait(&p->link, POLLIN, begin + 100);
    int64_t took = tc_mono_ms() - begin;
    setitimer(ITIMER_REAL, &off, NULL);
    sigaction(SIGALRM, &old, NULL);
    assert_int_equal(seen, 0);
    assert_true(alarms > 0);
    assert_true(took >= 100 && took < 2000);
}

static void idle_connection_is_told_from_a_closed_or_talking_one(void **state)
{
    struct pair *p = *state;
    assert_int_equal(tc_link_peek(&p->link), TC_LINK_QUIET);
    assert_int_equal(write(p->peer, "x", 1), 1);
    assert_int_equal(tc_link_peek(&p->link), TC_LINK_TALKS);
    char c;
    struct iovec iov = { &c, 1 };
    assert_int_equal(tc_link_receive(&p->link, &iov, 1), 1);
    assert_int_equal(tc_link_receive(&p->link, &iov, 1), 0);
    close(p->peer);
    p->peer = -1;
    assert_int_equal(tc_link_peek(&p->link), TC_LINK_CLOSED);
    assert_int_equal(tc_link_receive(&p->link, &iov, 1), -1);
}

/* Would end this process if it raised SIGPIPE. */
static void write_to_a_closed_peer_raises_no_signal(void **state)
{
    struct pair *p = *state;
    close(p->peer);
    p->peer = -1;
    char c = 'x';
    struct iovec iov = { &c, 1 };
    assert_int_equal(tc_link_send(&p->link, &iov, 1), -1);
    iov = (struct iovec){ &c, 1 };
    assert_int_equal(tc_link_send(&p->link, &iov, 1), -1);
}

/* ---- connecting ---- */

static int listen_somewhere(struct sockaddr_in *at)
{
    socklen_t len = sizeof *at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof *at), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
    return fd;
}

static void new_socket_is_nonblocking_and_closed_on_exec(void **state)
{
    (void)state;
    struct sockaddr_in at;
    int listener = listen_somewhere(&at);
    struct tc_links links;
    struct tc_link l;
    tc_links_init(&links);
    assert_int_equal(tc_link_open(&l, &links, (struct sockaddr *)&at, sizeof at, tc_mono_ms() + 2000), 0);
    assert_true(fcntl(l.fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(l.fd, F_GETFD) & FD_CLOEXEC);
    tc_link_close(&l);
    assert_int_equal(l.fd, -1);
    tc_link_close(&l);
    close(listener);
}

static void refused_connection_says_so_and_leaves_no_descriptor(void **state)
{
    (void)state;
    struct sockaddr_in at;
    close(listen_somewhere(&at));
    struct tc_links links;
    struct tc_link l;
    tc_links_init(&links);
    int error = tc_link_open(&l, &links, (struct sockaddr *)&at, sizeof at, tc_mono_ms() + 2000);
    assert_int_equal(error, ECONNREFUSED);
    assert_int_equal(l.fd, -1);
    for (size_t i = 0; i < TC_LINKS_MAX; i++)
        assert_true(atomic_load(&links.slot[i].fd) < 0);
}

static void full_table_refuses_and_forked_child_closes_all(void **state)
{
    (void)state;
    struct sockaddr_in at;
    int listener = listen_somewhere(&at);
    static struct tc_links links;
    struct tc_link l[TC_LINKS_MAX + 1];
    tc_links_init(&links);
    size_t n = 0;
    int error = 0;
    while (n <= TC_LINKS_MAX && error == 0) {
        error = tc_link_open(&l[n], &links, (struct sockaddr *)&at, sizeof at, tc_mono_ms() + 2000);
        n += error == 0;
        int accepted = error == 0 ? accept(listener, NULL, NULL) : -1;
        if (accepted >= 0)
            close(accepted);
    }
    assert_int_equal(error, EMFILE);
    assert_int_equal(n, TC_LINKS_MAX);
    tc_links_close_all(&links);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(fcntl(l[i].fd, F_GETFD), -1);
    close(listener);
}

/* A forked child may have closed everything and opened files of its own, which got the same numbers. */
static void what_took_the_number_of_a_socket_is_not_closed(void **state)
{
    (void)state;
    struct sockaddr_in at;
    int listener = listen_somewhere(&at);
    static struct tc_links links;
    struct tc_link l[3];
    tc_links_init(&links);
    for (size_t i = 0; i < TC_ARRAY_LEN(l); i++)
        assert_int_equal(tc_link_open(&l[i], &links, (struct sockaddr *)&at, sizeof at, tc_mono_ms() + 2000), 0);
    int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(other >= 0 && file >= 0);
    assert_int_equal(dup2(other, l[0].fd), l[0].fd);
    assert_int_equal(dup2(file, l[1].fd), l[1].fd);
    tc_links_close_all(&links);
    assert_true(fcntl(l[0].fd, F_GETFD) >= 0);
    assert_true(fcntl(l[1].fd, F_GETFD) >= 0);
    assert_int_equal(fcntl(l[2].fd, F_GETFD), -1);
    tc_links_close_all(&links);
    assert_true(fcntl(l[0].fd, F_GETFD) >= 0);
    close(l[0].fd);
    close(l[1].fd);
    close(other);
    close(file);
    close(listener);
}

static void a_closed_link_leaves_its_place_to_the_next(void **state)
{
    (void)state;
    struct sockaddr_in at;
    int listener = listen_somewhere(&at);
    static struct tc_links links;
    tc_links_init(&links);
    for (int i = 0; i < 3 * TC_LINKS_MAX; i++) {
        struct tc_link l;
        assert_int_equal(tc_link_open(&l, &links, (struct sockaddr *)&at, sizeof at, tc_mono_ms() + 2000), 0);
        tc_link_close(&l);
        close(accept(listener, NULL, NULL));
    }
    close(listener);
}

/* ---- addresses ---- */

static struct tc_redis_url url_of(const char *text)
{
    struct tc_redis_url u;
    assert_int_equal(tc_redis_url_init(&u, text, &tc_alloc_default, NULL, 0), CACHE_OK);
    return u;
}

static void numeric_addresses_and_paths_need_no_dns(void **state)
{
    (void)state;
    static struct tc_addresses a;
    struct tc_redis_url u = url_of("redis://127.0.0.1:7001");
    assert_null(tc_addresses_resolve(&a, &u));
    assert_int_equal(a.n, 1);
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a.at[0];
    assert_int_equal(in->sin_family, AF_INET);
    assert_int_equal(ntohs(in->sin_port), 7001);
    tc_redis_url_fini(&u);

    u = url_of("redis://[::1]:7002");
    assert_null(tc_addresses_resolve(&a, &u));
    assert_int_equal(a.at[0].ss_family, AF_INET6);
    tc_redis_url_fini(&u);

    u = url_of("unix:///run/x.sock");
    assert_null(tc_addresses_resolve(&a, &u));
    assert_int_equal(a.at[0].ss_family, AF_UNIX);
    tc_redis_url_fini(&u);
}

/* A host name longer than DNS allows: refused by the resolver without asking anybody. */
static void last_good_addresses_stay_when_the_name_does_not_resolve(void **state)
{
    (void)state;
    static struct tc_addresses a;
    struct tc_redis_url u = url_of("redis://127.0.0.1");
    assert_null(tc_addresses_resolve(&a, &u));
    tc_redis_url_fini(&u);
    char text[128] = "redis://";
    memset(text + 8, 'x', 70);
    u = url_of(text);
    assert_non_null(tc_addresses_resolve(&a, &u));
    assert_int_equal(a.n, 1);
    assert_int_equal(a.at[0].ss_family, AF_INET);
    tc_redis_url_fini(&u);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(wait_ends_at_its_deadline),
        TEST(storm_of_signals_does_not_move_the_deadline),
        TEST(idle_connection_is_told_from_a_closed_or_talking_one),
        TEST(write_to_a_closed_peer_raises_no_signal),
        cmocka_unit_test(new_socket_is_nonblocking_and_closed_on_exec),
        cmocka_unit_test(refused_connection_says_so_and_leaves_no_descriptor),
        cmocka_unit_test(full_table_refuses_and_forked_child_closes_all),
        cmocka_unit_test(what_took_the_number_of_a_socket_is_not_closed),
        cmocka_unit_test(a_closed_link_leaves_its_place_to_the_next),
        cmocka_unit_test(numeric_addresses_and_paths_need_no_dns),
        cmocka_unit_test(last_good_addresses_stay_when_the_name_does_not_resolve),
    };
    return cmocka_run_group_tests_name("redis_link", tests, NULL, NULL);
}
