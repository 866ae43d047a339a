/* load_proc.c - CPU and memory of the daemon, from /proc */
#include "load/load.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* One small file of /proc/PID as text; 0 or -1. */
static int slurp(int pid, const char *name, char *out, size_t room)
{
    char path[64];
    FILE *f;
    size_t n;

    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    f = fopen(path, "r");
    if (!f)
        return -1;
    n = fread(out, 1, room - 1, f);
    out[n] = 0;
    fclose(f);
    return n ? 0 : -1;
}

int load_proc_read(int pid, load_proc *p)
{
    char text[1024];
    const char *rest;
    unsigned long user, kernel, pages;

    if (slurp(pid, "stat", text, sizeof text) < 0)
        return -1;
    rest = strrchr(text, ')'); /* the name before it may hold anything */
    if (!rest || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                        &kernel) != 2)
        return -1;
    if (slurp(pid, "statm", text, sizeof text) < 0 || sscanf(text, "%*u %lu", &pages) != 1)
        return -1;
    p->cpu_s = (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
    p->rss_mb = (double)pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
    return 0;
}

double load_proc_own_cpu_s(void)
{
    struct rusage r;

    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}
