/* The server is a child of the thread that started it and asks the kernel to be killed when that thread dies; an exit
 * handler covers the rest. It is addressed by its recorded pid only, and that is forgotten once it was waited for. */
#include "tt_redis_server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tt_util.h"

enum { MAX_ARGS = 48, MAX_SERVERS = 16, MAX_STARTS = 5, START_MS = 10000 };

struct tt_redis_server {
    pid_t pid; /* 0: it does not run */
    bool tcp;
    unsigned port;
    char *program, *path, *log_path, *url;
    char *extra[MAX_ARGS];
    size_t n_extra;
};

/* For the exit handler: those that may run. */
static pthread_mutex_t started_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tt_redis_server *started[MAX_SERVERS];
static pid_t started_by;

/* ---- which program ---- */

static char *find_in_path(const char *name)
{
    const char *dirs = getenv("PATH");
    for (const char *d = dirs ? dirs : "/usr/bin:/bin"; *d;) {
        size_t n = strcspn(d, ":");
        struct tt_buf b = {0};
        tt_buf_print(&b, "%.*s/%s", (int)n, d, name);
        if (n && access(b.data, X_OK) == 0)
            return b.data;
        tt_buf_free(&b);
        d += n + (d[n] == ':');
    }
    return NULL;
}

/* The program decides by its own name whether it checks a file or serves: give it the other name. */
static char *find_by_link(const char *checker, const char *server)
{
    char *target = find_in_path(checker);
    if (!target)
        return NULL;
    struct tt_buf link = {0};
    tt_buf_print(&link, "%s/%s", tt_temp_dir(), server);
    bool made = symlink(target, link.data) == 0 || errno == EEXIST;
    free(target);
    if (made)
        return link.data;
    tt_buf_free(&link);
    return NULL;
}

static char *find_program(void)
{
    const char *given = getenv("TC_REDIS_SERVER");
    char *found;
    if (given && *given)
        return access(given, X_OK) == 0 ? tt_xmemdup(given, strlen(given) + 1) : find_in_path(given);
    if ((found = find_in_path("redis-server")) || (found = find_in_path("valkey-server")) ||
        (found = find_by_link("redis-check-rdb", "redis-server")))
        return found;
    return find_by_link("valkey-check-rdb", "valkey-server");
}

/* ---- talking to it ---- */

static unsigned free_port(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&in, sizeof(in)) || getsockname(fd, (struct sockaddr *)&in, &len))
        tt_die("no free port");
    close(fd);
    return ntohs(in.sin_port);
}

static int connect_to(const struct tt_redis_server *s)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, s->path, strlen(s->path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool read_line(int fd, char *buf, size_t cap, int64_t end_ms)
{
    size_t len = 0;
    buf[0] = '\0';
    while (!strchr(buf, '\n') && len + 1 < cap) {
        int64_t left = end_ms - tt_mono_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (left <= 0 || poll(&p, 1, (int)left) != 1)
            return false;
        ssize_t n = recv(fd, buf + len, cap - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        buf[len] = '\0';
    }
    return true;
}

static bool ask_until(struct tt_redis_server *s, const char *command, char *buf, size_t cap, int64_t end_ms)
{
    struct tt_buf line = {0};
    int fd = connect_to(s);
    if (fd < 0)
        return false;
    tt_buf_print(&line, "%s\r\n", command);
    bool sent = send(fd, line.data, line.len, MSG_NOSIGNAL) == (ssize_t)line.len;
    bool ok = sent && read_line(fd, buf, cap, end_ms);
    tt_buf_free(&line);
    close(fd);
    return ok;
}

bool tt_redis_server_ask(struct tt_redis_server *s, const char *command, char *buf, size_t cap)
{
    return ask_until(s, command, buf, cap, tt_mono_ms() + TT_SOON_MS);
}

/* ---- the process ---- */

static void kill_all_at_exit(void)
{
    if (getpid() != started_by)
        return;
    pthread_mutex_lock(&started_lock);
    for (size_t i = 0; i < MAX_SERVERS; i++) {
        if (started[i])
            tt_redis_server_kill(started[i]);
    }
    pthread_mutex_unlock(&started_lock);
}

static void remember(struct tt_redis_server *s)
{
    size_t i = 0;
    pthread_mutex_lock(&started_lock);
    if (!started_by) {
        started_by = getpid();
        atexit(kill_all_at_exit);
    }
    while (i < MAX_SERVERS && started[i])
        i++;
    if (i < MAX_SERVERS)
        started[i] = s;
    pthread_mutex_unlock(&started_lock);
    if (i == MAX_SERVERS)
        tt_die("more than %d servers", MAX_SERVERS);
}

static void forget(struct tt_redis_server *s)
{
    pthread_mutex_lock(&started_lock);
    for (size_t i = 0; i < MAX_SERVERS; i++) {
        if (started[i] == s)
            started[i] = NULL;
    }
    pthread_mutex_unlock(&started_lock);
}

/* In the child, between fork and exec: only what a signal handler might call. */
static void become_server(const struct tt_redis_server *s, const char *const *argv, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
        _exit(126);
    int log = open(s->log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
        _exit(126);
    execv(s->program, (char *const *)argv);
    _exit(127);
}

static void spawn(struct tt_redis_server *s)
{
    char port[16];
    const char *fixed[] = {s->program, "--port", port, "--bind", "127.0.0.1", "--unixsocket", s->path, "--save", "",
                           "--appendonly", "no", "--dir", tt_temp_dir(), "--daemonize", "no"};
    size_t n = sizeof(fixed) / sizeof(fixed[0]);
    const char *argv[sizeof(fixed) / sizeof(fixed[0]) + MAX_ARGS + 1] = {NULL};
    memcpy(argv, fixed, sizeof(fixed));
    if (s->tcp)
        s->port = s->port ? s->port : free_port();
    snprintf(port, sizeof(port), "%u", s->port);
    for (size_t i = 0; i < s->n_extra; i++)
        argv[n++] = s->extra[i];
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        become_server(s, argv, parent);
    if (pid < 0)
        tt_die("cannot fork: %s", strerror(errno));
    s->pid = pid;
}

/* An answer of any kind will do: NOAUTH and LOADING come from a server that is there. */
static bool await_answer(struct tt_redis_server *s)
{
    char buf[64];
    int64_t end_ms = tt_mono_ms() + START_MS;
    for (;;) {
        if (ask_until(s, "PING", buf, sizeof(buf), end_ms) && strncmp(buf, "-LOADING", 8) != 0)
            return true;
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
            s->pid = 0;
            return false;
        }
        if (!tt_pause(end_ms))
            return false;
    }
}

static void print_log(const struct tt_redis_server *s)
{
    char line[512];
    FILE *f = fopen(s->log_path, "re");
    while (f && fgets(line, sizeof(line), f))
        fprintf(stderr, "  server: %s", line);
    if (f)
        fclose(f);
}

/* A free port may be taken by somebody else before the server binds it: then another one, unless it was used before. */
static void launch(struct tt_redis_server *s)
{
    bool fixed = s->port != 0;
    for (int i = 0; i < MAX_STARTS; i++) {
        spawn(s);
        if (await_answer(s))
            return;
        tt_redis_server_kill(s);
        if (!fixed)
            s->port = 0;
    }
    print_log(s);
    tt_die("%s does not start", s->program);
}

struct tt_redis_server *tt_redis_server_start(bool tcp, const char *const *args)
{
    char *program = find_program();
    struct tt_buf url = {0};
    if (!program) {
        printf("no redis-server, valkey-server or *-check-rdb on this machine, and TC_REDIS_SERVER names none\n");
        return NULL;
    }
    struct tt_redis_server *s = tt_xcalloc(sizeof(*s));
    s->program = program;
    s->tcp = tcp;
    s->path = tt_temp_path(".sock");
    s->log_path = tt_temp_path(".log");
    for (; args && args[s->n_extra] && s->n_extra < MAX_ARGS; s->n_extra++)
        s->extra[s->n_extra] = tt_xmemdup(args[s->n_extra], strlen(args[s->n_extra]) + 1);
    remember(s);
    launch(s);
    if (tcp)
        tt_buf_print(&url, "redis://127.0.0.1:%u", s->port);
    else
        tt_buf_print(&url, "unix://%s", s->path);
    s->url = url.data;
    return s;
}

void tt_redis_server_free(struct tt_redis_server *s)
{
    if (!s)
        return;
    tt_redis_server_kill(s);
    forget(s);
    for (size_t i = 0; i < s->n_extra; i++)
        free(s->extra[i]);
    unlink(s->path);
    free(s->program);
    free(s->path);
    free(s->log_path);
    free(s->url);
    free(s);
}

const char *tt_redis_server_url(const struct tt_redis_server *s)
{
    return s->url;
}

char *tt_redis_server_url_with(const struct tt_redis_server *s, const char *credentials)
{
    struct tt_buf b = {0};
    const char *rest = strstr(s->url, "://") + strlen("://");
    tt_buf_print(&b, "%.*s%s@%s", (int)(rest - s->url), s->url, credentials, rest);
    return b.data;
}

void tt_redis_server_kill(struct tt_redis_server *s)
{
    if (!s->pid)
        return;
    kill(s->pid, SIGKILL);
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    s->pid = 0;
}

void tt_redis_server_restart(struct tt_redis_server *s)
{
    tt_redis_server_kill(s);
    launch(s);
}

void tt_redis_server_stop(struct tt_redis_server *s)
{
    kill(s->pid, SIGSTOP);
    while (waitpid(s->pid, NULL, WUNTRACED) < 0 && errno == EINTR)
        continue;
}

void tt_redis_server_cont(struct tt_redis_server *s)
{
    kill(s->pid, SIGCONT);
}
