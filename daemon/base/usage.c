/* usage.c - see usage.h */
#include "base/usage.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void read_memory(shoald_usage *u)
{
    uint64_t total = 0, resident = 0, page = (uint64_t)sysconf(_SC_PAGESIZE);
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%" SCNu64 " %" SCNu64, &total, &resident) == 2) {
        u->virtual = total * page;
        u->resident = resident * page;
    }
    if (f)
        fclose(f);
}

/* Entries of a folder; 0 where there is none. */
static int count_entries(const char *path)
{
    int n = 0;
    DIR *dir = opendir(path);
    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
        n += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

double shoald_usage_today(void)
{
    struct timespec now = { 0 };
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

shoald_usage shoald_usage_read(void)
{
    shoald_usage u = { 0 };
    struct rusage spent;
    struct rlimit limit;
    if (getrusage(RUSAGE_SELF, &spent) == 0)
        u.cpu_s = seconds(spent.ru_utime) + seconds(spent.ru_stime);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        u.max_descriptors = (int)limit.rlim_cur;
    u.descriptors = count_entries("/proc/self/fd");
    u.descriptors -= u.descriptors > 0; /* the one that looked */
    u.threads = count_entries("/proc/self/task");
    read_memory(&u);
    return u;
}
