/// Socket calls that the importer hides.
#ifndef CSYSTEM_SOCKETS_H
#define CSYSTEM_SOCKETS_H

#include <stdint.h>

/// accept4 with SOCK_NONBLOCK and SOCK_CLOEXEC: no moment in which a child process could inherit the
/// descriptor. `address` is a struct sockaddr; its header stays out of here, since a name that comes from
/// two modules may be found in neither. Returns the descriptor, or -1 with errno set.
int csystem_accept(int descriptor, void *address, uint32_t *length);

#endif
