#include "csystem_epoll.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int csystem_epoll_create(void) {
    return epoll_create1(EPOLL_CLOEXEC);
}

int csystem_epoll_set(int epoll, int descriptor, uint32_t had, uint32_t wants) {
    struct epoll_event event = {.data.fd = descriptor};
    if (wants & CSYSTEM_IN) event.events |= EPOLLIN;
    if (wants & CSYSTEM_OUT) event.events |= EPOLLOUT;
    int operation = !had ? EPOLL_CTL_ADD : wants ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    return epoll_ctl(epoll, operation, descriptor, &event);
}

enum { MOST = 128 };

int csystem_epoll_wait(int epoll, csystem_event *events, int most, int milliseconds) {
    struct epoll_event found[MOST];
    int count = epoll_wait(epoll, found, most < MOST ? most : MOST, milliseconds);
    for (int index = 0; index < count; index++) {
        uint32_t ready = 0;
        if (found[index].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) ready |= CSYSTEM_IN;
        if (found[index].events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) ready |= CSYSTEM_OUT;
        events[index] = (csystem_event){.descriptor = found[index].data.fd, .ready = ready};
    }
    return count;
}

int csystem_bell_create(int epoll) {
    int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bell < 0) return -1;
    // Edge-triggered: each write is news, and the count need not be read away.
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = bell};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, bell, &event) == 0) return bell;
    int error = errno;
    close(bell);
    errno = error;
    return -1;
}

void csystem_bell_ring(int bell) {
    uint64_t one = 1;
    // It fails only at 2^64 rings.
    (void)!write(bell, &one, sizeof one);
}
