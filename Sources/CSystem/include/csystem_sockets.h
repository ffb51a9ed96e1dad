/// Socket calls that the importer hides.
#ifndef CSYSTEM_SOCKETS_H
#define CSYSTEM_SOCKETS_H

#include <sys/socket.h>

/// accept4 with SOCK_NONBLOCK and SOCK_CLOEXEC: no moment in which a child process could inherit the
/// descriptor. Returns it, or -1 with errno set.
int csystem_accept(int descriptor, struct sockaddr *address, socklen_t *length);

#endif
