/* How much of the processor a run really had.
 *
 * A run that shared its cores with somebody else says nothing about the code, and averages do not heal it: it has to
 * be thrown away. What others took is what /proc/stat calls busy or stolen on the processors of the run, less the CPU
 * time of this process and of the server that it started. Waiting for a lock or a reply is idle time and does not
 * count against a run. The account is kept in ticks of 10 ms, so a run should last some hundred milliseconds. */
#include "cores.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

unsigned tt_cores_usable(int cpus[TT_CORES_MAX])
{
    cpu_set_t set;
    unsigned n = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 0;
    for (int i = 0; i < CPU_SETSIZE && n < TT_CORES_MAX; i++)
        if (CPU_ISSET(i, &set))
            cpus[n++] = i;
    return n;
}

int tt_cores_pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0 ? 0 : errno;
}

static int64_t clock_ns(clockid_t id)
{
    struct timespec t;
    if (clock_gettime(id, &t) != 0)
        return 0;
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t tt_wall_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static int64_t timeval_ns(struct timeval t)
{
    return (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_usec * 1000;
}

int64_t tt_cpu_self_ns(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return timeval_ns(u.ru_utime) + timeval_ns(u.ru_stime);
}

int64_t tt_cpu_of_ns(pid_t pid)
{
    clockid_t id;
    if (pid == 0 || clock_getcpuclockid(pid, &id) != 0)
        return 0;
    return clock_ns(id);
}

/* Adds up one line "cpuN user nice system idle iowait irq softirq steal ..." (guest time is part of user time). */
static void line_add(const char *line, struct tt_cores_mark *m)
{
    unsigned long long user, nice, system, idle, iowait, irq, softirq, steal;
    int64_t tick_ns = 1000000000 / sysconf(_SC_CLK_TCK);
    if (sscanf(line, "cpu%*d %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &iowait, &irq,
               &softirq, &steal) != 8)
        return;
    m->busy_ns += (int64_t)(user + nice + system + irq + softirq + steal) * tick_ns;
    m->idle_ns += (int64_t)(idle + iowait) * tick_ns;
}

struct tt_cores_mark tt_cores_mark(const int *cpus, unsigned n, pid_t server)
{
    struct tt_cores_mark m = {0};
    FILE *f = fopen("/proc/stat", "r");
    char line[512];
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        int cpu;
        if (sscanf(line, "cpu%d ", &cpu) != 1)
            continue;
        for (unsigned i = 0; i < n; i++)
            if (cpus[i] == cpu)
                line_add(line, &m);
    }
    if (f != NULL)
        fclose(f);
    m.own_ns = tt_cpu_self_ns() + tt_cpu_of_ns(server);
    m.wall_ns = tt_wall_ns();
    return m;
}

double tt_cores_share(const struct tt_cores_mark *from, const struct tt_cores_mark *to, unsigned n)
{
    double all = (double)(to->wall_ns - from->wall_ns) * n;
    double busy = (double)(to->busy_ns - from->busy_ns);
    double idle = (double)(to->idle_ns - from->idle_ns);
    double foreign = busy - (double)(to->own_ns - from->own_ns);
    if (all <= 0 || busy + idle < all / 2)
        return -1;
    return foreign > 0 ? 1 - foreign / all : 1;
}
