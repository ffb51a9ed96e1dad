#define _GNU_SOURCE
#include "csystem_poll.h"

#include <poll.h>
#include <stddef.h>
#include <time.h>

int csystem_wait_readable(int descriptor, uint64_t nanoseconds) {
    struct pollfd wanted = {.fd = descriptor, .events = POLLIN};
    struct timespec time = {.tv_sec = (time_t)(nanoseconds / 1000000000), .tv_nsec = (long)(nanoseconds % 1000000000)};
    return ppoll(&wanted, 1, &time, NULL);
}
