/* How much of the processor a run really had. */
#ifndef TT_BENCH_CORES_H
#define TT_BENCH_CORES_H

#include <stdint.h>
#include <sys/types.h>

enum { TT_CORES_MAX = 64 };

/* The processors this process may use, at most TT_CORES_MAX; their numbers go into cpus. */
unsigned tt_cores_usable(int cpus[TT_CORES_MAX]);

/* Pins the calling thread. 0 or an errno. */
int tt_cores_pin(int cpu);

int64_t tt_wall_ns(void);
int64_t tt_cpu_self_ns(void);       /* CPU time of this process, all its threads */
int64_t tt_cpu_of_ns(pid_t pid);    /* CPU time of another process; 0 if it cannot be read or pid is 0 */

/* A reading of the kernel's account of the n given processors. */
struct tt_cores_mark {
    int64_t wall_ns;
    int64_t own_ns;    /* CPU time of this process and of its server */
    int64_t busy_ns;   /* of those processors, stolen time included */
    int64_t idle_ns;
};
struct tt_cores_mark tt_cores_mark(const int *cpus, unsigned n, pid_t server);

/* The share of n processors that nobody else took between two readings, 0 to 1. -1: the kernel does not tell. */
double tt_cores_share(const struct tt_cores_mark *from, const struct tt_cores_mark *to, unsigned n);

#endif
