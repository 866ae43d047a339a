/* mic_keys.c - see mic_keys.h */
#include "mic/mic_keys.h"

#include <signal.h>
#include <termios.h>
#include <unistd.h>

/* Set by begin before active is, then constant. */
static struct termios before;
static int terminal;
static volatile sig_atomic_t active;

void mic_keys_restore(void)
{
    if (active)
        tcsetattr(terminal, TCSANOW, &before);
}

void mic_keys_again(void)
{
    struct termios now = before;

    if (!active)
        return;
    now.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    now.c_cc[VMIN] = 1;
    now.c_cc[VTIME] = 0;
    tcsetattr(terminal, TCSANOW, &now);
}

static void on_crash(int number)
{
    mic_keys_restore();
    raise(number); /* once more, without us */
}

int mic_keys_begin(int fd)
{
    static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
    struct sigaction a = { .sa_handler = on_crash, .sa_flags = SA_RESETHAND };

    if (tcgetattr(fd, &before) < 0)
        return -1;
    terminal = fd;
    active = 1;
    sigemptyset(&a.sa_mask);
    for (unsigned i = 0; i < sizeof crashes / sizeof *crashes; i++)
        sigaction(crashes[i], &a, NULL);
    mic_keys_again();
    return 0;
}
