/* See child.h. */
#include "child.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report.h"

double tt_bench_resident_bytes(void)
{
    long all = 0;
    long resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL || fscanf(f, "%ld %ld", &all, &resident) != 2)
        tt_bench_die("/proc/self/statm cannot be read");
    fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

void tt_bench_in_child(tt_bench_child_fn *body, const void *arg, void *result, size_t result_bytes)
{
    int ends[2];
    int status = 0;
    fflush(NULL);
    if (pipe(ends) != 0)
        tt_bench_die("no pipe");
    pid_t child = fork();
    if (child < 0)
        tt_bench_die("cannot fork");
    if (child == 0) {
        body(arg, result);
        _exit(write(ends[1], result, result_bytes) == (ssize_t)result_bytes ? 0 : 1);
    }
    close(ends[1]);
    if (read(ends[0], result, result_bytes) != (ssize_t)result_bytes || waitpid(child, &status, 0) != child ||
        status != 0)
        tt_bench_die("a child failed");
    close(ends[0]);
}
