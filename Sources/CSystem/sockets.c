#define _GNU_SOURCE
#include "csystem_sockets.h"

#include <sys/socket.h>

int csystem_accept(int descriptor, void *address, uint32_t *length) {
    return accept4(descriptor, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}
