/* server.c - see server.h.
 *
 * Which program: $TC_REDIS_SERVER, redis-server, valkey-server; then redis-check-rdb or valkey-check-rdb, which the
 * packages redis-tools and valkey-tools install: it is the same program, which looks at the name it was called by, and
 * unlike the -server packages these start no daemon when they are installed. The server never listens on TCP, writes
 * nothing to disk but its log, and dies with this process. */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "latency.h"

/* Looks name up in PATH (or takes it as it is if it holds a slash). */
static int find_program(const char *name, char *out, size_t cap)
{
    if (strchr(name, '/'))
        return access(name, X_OK) == 0 && (size_t)snprintf(out, cap, "%s", name) < cap ? 0 : -1;
    const char *path = getenv("PATH");
    for (path = path ? path : "/usr/bin:/bin"; *path;) {
        size_t n = strcspn(path, ":");
        int len = snprintf(out, cap, "%.*s/%s", (int)n, path, name);
        if (len > 0 && (size_t)len < cap && access(out, X_OK) == 0)
            return 0;
        path += n + (path[n] == ':');
    }
    return -1;
}

static int choose_program(struct server *s, const char *dir, char *err, size_t err_cap)
{
    static const char *const names[] = {"redis-server", "valkey-server", "redis-check-rdb", "valkey-check-rdb"};
    const char *wanted = getenv("TC_REDIS_SERVER");
    if (wanted && *wanted) {
        if (find_program(wanted, s->program, sizeof s->program) == 0)
            return 0;
        snprintf(err, err_cap, "TC_REDIS_SERVER: %s is not a program", wanted);
        return -1;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char found[PATH_MAX];
        if (find_program(names[i], found, sizeof found) != 0)
            continue;
        if (strstr(names[i], "-server"))
            return (size_t)snprintf(s->program, sizeof s->program, "%s", found) < sizeof s->program ? 0 : -1;
        const char *as = names[i][0] == 'r' ? "redis-server" : "valkey-server";
        if ((size_t)snprintf(s->program, sizeof s->program, "%s/%s", dir, as) < sizeof s->program &&
            symlink(found, s->program) == 0)
            return 0;
    }
    snprintf(err, err_cap, "no redis-server and no valkey-server: install the package redis-tools (or valkey-tools)");
    return -1;
}

/* In the child, between fork and exec: only async-signal-safe calls. */
static void run_program(const struct server *s, const char *dir, const char *log, pid_t parent)
{
    /* its own process group: Ctrl-C in the terminal is for the demo, which then ends the server itself */
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600), null = open("/dev/null", O_RDONLY);
    if (fd < 0 || null < 0 || dup2(null, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
        _exit(1);
    execl(s->program, s->program, "--port", "0", "--unixsocket", s->socket, "--unixsocketperm", "700", "--dir", dir,
          "--save", "", "--appendonly", "no", "--daemonize", "no", "--maxmemory-policy", "allkeys-lru",
          "--maxmemory-samples", "10", (char *)NULL);
    _exit(127);
}

int server_start(struct server *s, const char *dir, char *err, size_t err_cap)
{
    char log[PATH_MAX], reply[4096];
    memset(s, 0, sizeof *s);
    if (choose_program(s, dir, err, err_cap) != 0)
        return -1;
    int n = snprintf(s->socket, sizeof s->socket, "%s/redis.sock", dir);
    if (n < 0 || (size_t)n >= sizeof((struct sockaddr_un *)0)->sun_path ||
        (size_t)snprintf(log, sizeof log, "%s/redis.log", dir) >= sizeof log) {
        snprintf(err, err_cap, "the path %s is too long for a unix socket: set TMPDIR to a shorter one", dir);
        return -1;
    }
    pid_t parent = getpid();
    s->pid = fork();
    if (s->pid == 0)
        run_program(s, dir, log, parent);
    if (s->pid < 0) {
        s->pid = 0;
        snprintf(err, err_cap, "fork: %s", strerror(errno));
        return -1;
    }
    int64_t give_up = now_ns() + INT64_C(10000000000);
    while (now_ns() < give_up) {
        if (waitpid(s->pid, NULL, WNOHANG) != 0) {
            s->pid = 0;
            break;
        }
        if (server_command(s, "INFO server", reply, sizeof reply) == 0) {
            const char *v = strstr(reply, "valkey_version:"), *r = strstr(reply, "redis_version:");
            if (v || r)
                sscanf(v ? v + 15 : r + 14, "%31[0-9.]", s->version);
            return 0;
        }
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    snprintf(err, err_cap, "%s did not start", s->program);
    server_kill(s);
    return -1;
}

void server_pause(const struct server *s)
{
    if (s->pid > 0)
        kill(s->pid, SIGSTOP);
}

void server_resume(const struct server *s)
{
    if (s->pid > 0)
        kill(s->pid, SIGCONT);
}

void server_kill(struct server *s)
{
    if (s->pid > 0) {
        kill(s->pid, SIGKILL); /* ends a stopped process too */
        waitpid(s->pid, NULL, 0);
    }
    s->pid = 0;
}

/* ---- one command at a time, on a connection of its own ----------------------------------------------------------- */

static int read_reply(int fd, char *reply, size_t cap)
{
    size_t len = 0, wanted = 0;
    int64_t give_up = now_ns() + 1000000000;
    while (len < cap - 1) {
        struct pollfd p = {fd, POLLIN, 0};
        int64_t left_ms = (give_up - now_ns()) / 1000000;
        if (left_ms <= 0 || poll(&p, 1, (int)left_ms) <= 0)
            return -1;
        ssize_t n = recv(fd, reply + len, cap - 1 - len, 0);
        if (n <= 0)
            return -1;
        len += (size_t)n;
        reply[len] = '\0';
        const char *end = strstr(reply, "\r\n");
        if (!end)
            continue;
        /* "$LENGTH" announces bytes and CRLF behind the first line; every other reply asked for here is one line */
        wanted = (size_t)(end - reply) + 2 + (reply[0] == '$' ? (size_t)atol(reply + 1) + 2 : 0);
        if (len >= wanted)
            return reply[0] == '-' ? -1 : 0;
    }
    return reply[0] == '$' ? 0 : -1; /* a long bulk, cut to cap */
}

int server_command(const struct server *s, const char *command, char *reply, size_t cap)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char line[256];
    int n = snprintf(line, sizeof line, "%s\r\n", command), rc = -1;
    int fd = n > 0 && (size_t)n < sizeof line ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0)
        return -1;
    memcpy(a.sun_path, s->socket, strlen(s->socket) + 1);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0 && send(fd, line, (size_t)n, MSG_NOSIGNAL) == n)
        rc = read_reply(fd, reply, cap);
    close(fd);
    return rc;
}

int64_t server_used_memory(const struct server *s)
{
    char reply[8192];
    if (server_command(s, "INFO memory", reply, sizeof reply) != 0)
        return -1;
    const char *p = strstr(reply, "used_memory:");
    return p ? atoll(p + 12) : -1;
}
