/* Starting and stopping a private Redis server.
 *
 * The server dies with the program that started it (PR_SET_PDEATHSIG), also when that is killed; the directory is
 * removed by tt_bench_server_stop(), at the latest when the program exits. The server is always run through a symbolic
 * link named redis-server in that directory: the binary decides by its own name whether it is a server or a checker of
 * dump files. */
#include "server.h"

#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cores.h"

static const int64_t START_NS = INT64_C(10000000000);

static int find_in_path(const char *name, char out[PATH_MAX])
{
    const char *path = getenv("PATH");
    for (const char *p = path != NULL ? path : "/usr/local/bin:/usr/bin:/bin"; *p != '\0';) {
        size_t n = strcspn(p, ":");
        if (n > 0 && snprintf(out, PATH_MAX, "%.*s/%s", (int)n, p, name) < PATH_MAX && access(out, X_OK) == 0)
            return 0;
        p += n + (p[n] == ':');
    }
    return -1;
}

static int find_binary(char out[PATH_MAX])
{
    static const char *const names[] = {"redis-server", "valkey-server", "redis-check-rdb", "valkey-check-rdb"};
    const char *env = getenv("TC_REDIS_SERVER");
    if (env != NULL && *env != '\0') {
        if (strchr(env, '/') == NULL)
            return find_in_path(env, out);
        return realpath(env, out) != NULL && access(out, X_OK) == 0 ? 0 : -1;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (find_in_path(names[i], out) == 0)
            return 0;
    return -1;
}

static void child_exec(const struct tt_bench_server *s, const char *link, pid_t parent)
{
    int null = open("/dev/null", O_RDWR);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (null < 0 || getppid() != parent || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
        _exit(127);
    execl(link, "redis-server", "--port", "0", "--unixsocket", s->socket_path, "--save", "", "--appendonly", "no",
          "--dir", s->dir, "--daemonize", "no", "--maxclients", "512", (char *)NULL);
    _exit(127);
}

/* Fills in the version, which proves that it answers. */
static int ask_version(struct tt_bench_server *s)
{
    redisContext *c = redisConnectUnix(s->socket_path);
    redisReply *r = c != NULL && c->err == 0 ? redisCommand(c, "INFO server") : NULL;
    int rc = -1;
    if (r != NULL && r->type == REDIS_REPLY_STRING) {
        const char *at = strstr(r->str, "redis_version:");
        rc = at != NULL && sscanf(at, "redis_version:%31[^\r\n]", s->version) == 1 ? 0 : -1;
    }
    if (r != NULL)
        freeReplyObject(r);
    if (c != NULL)
        redisFree(c);
    return rc;
}

static int wait_ready(struct tt_bench_server *s)
{
    int64_t deadline_ns = tt_wall_ns() + START_NS;
    while (tt_wall_ns() < deadline_ns) {
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
            s->pid = 0;
            return -1;
        }
        if (ask_version(s) == 0)
            return 0;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    return -1;
}

/* The one that is running, for a program that gives up half-way. */
static struct tt_bench_server *running;

static void stop_running(void)
{
    if (running != NULL)
        tt_bench_server_stop(running);
}

int tt_bench_server_start(struct tt_bench_server *s)
{
    char binary[PATH_MAX];
    char link[96];
    *s = (struct tt_bench_server){0};
    if (find_binary(binary) != 0) {
        fprintf(stderr, "no Redis server found: install redis-server or redis-tools, or set TC_REDIS_SERVER\n");
        return -1;
    }
    strcpy(s->dir, "/tmp/tc-bench-XXXXXX");
    if (mkdtemp(s->dir) == NULL) {
        s->dir[0] = '\0';
        perror("mkdtemp");
        return -1;
    }
    snprintf(s->socket_path, sizeof s->socket_path, "%s/redis.sock", s->dir);
    snprintf(link, sizeof link, "%s/redis-server", s->dir);
    pid_t parent = getpid();
    running = s;
    atexit(stop_running);
    s->pid = symlink(binary, link) == 0 ? fork() : -1;
    if (s->pid == 0)
        child_exec(s, link, parent);
    if (s->pid < 0) {
        s->pid = 0;
        perror("starting the Redis server");
    }
    if (s->pid == 0 || wait_ready(s) != 0) {
        fprintf(stderr, "%s did not start as a Redis server\n", binary);
        tt_bench_server_stop(s);
        return -1;
    }
    return 0;
}

void tt_bench_server_stop(struct tt_bench_server *s)
{
    char link[96];
    if (s->pid > 0) {
        kill(s->pid, SIGKILL);
        waitpid(s->pid, NULL, 0);
        s->pid = 0;
    }
    if (s->dir[0] == '\0')
        return;
    snprintf(link, sizeof link, "%s/redis-server", s->dir);
    unlink(link);
    unlink(s->socket_path);
    if (rmdir(s->dir) != 0)
        perror(s->dir);
    s->dir[0] = '\0';
    running = NULL;
}
