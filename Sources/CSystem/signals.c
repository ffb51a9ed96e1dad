#define _GNU_SOURCE

#include "csystem_signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static int ends[2] = { -1, -1 };

static void tell(int number)
{
    int before = errno;
    unsigned char byte = (unsigned char)number;
    /* A full pipe holds enough requests already. */
    ssize_t ignored = write(ends[1], &byte, 1);
    (void)ignored;
    errno = before;
}

int csystem_signal_to_pipe(int number)
{
    struct sigaction action = { 0 };
    sigset_t mask;

    if (ends[0] < 0 && pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return -1;
    action.sa_handler = tell;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    if (sigaction(number, &action, NULL) != 0) return -1;
    /* Whoever started us may have left it blocked. */
    sigemptyset(&mask);
    sigaddset(&mask, number);
    if (pthread_sigmask(SIG_UNBLOCK, &mask, NULL) != 0) return -1;
    return ends[0];
}

int csystem_signal_is_ignored(int number)
{
    struct sigaction now;

    return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}
