/* slow_shoald.c - shoald on a machine that loses its speed when it is told to
 *
 *     SIGUSR2   from now on each run of the engine takes SLOW_MS longer
 *     SIGWINCH  as fast as before again
 *
 * All else is the real thing: shoal_batch_run of the daemon's objects goes through the function
 * below (-Wl,--wrap=shoal_batch_run, tests/Makefile.am). So a worker is late because this test
 * says so, not because the machine happens to be slow. A run takes longer than a tick of the
 * server's clock, so that there are ticks in which no chunk comes out.
 */
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "base/options.h"
#include "server.h"

enum { SLOW_MS = 300 };

int __real_shoal_batch_run(shoal_batch *b, shoal_stream *const *streams, int n,
                           shoal_result *results);
int __wrap_shoal_batch_run(shoal_batch *b, shoal_stream *const *streams, int n,
                           shoal_result *results);

static atomic_int slow;

static void on_signal(int number)
{
    atomic_store(&slow, number == SIGUSR2);
}

int __wrap_shoal_batch_run(shoal_batch *b, shoal_stream *const *streams, int n,
                           shoal_result *results)
{
    struct timespec longer = { 0, SLOW_MS * 1000000L };

    if (atomic_load(&slow))
        nanosleep(&longer, NULL);
    return __real_shoal_batch_run(b, streams, n, results);
}

int main(int argc, char **argv)
{
    static shoald_options options;
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

    sigaction(SIGUSR2, &action, NULL);
    sigaction(SIGWINCH, &action, NULL);
    int status = shoald_options_parse(&options, argc, argv);
    return status >= 0 ? status : shoald_server_run(&options);
}
