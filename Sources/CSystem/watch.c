#define _GNU_SOURCE
#include "csystem_watch.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { MOST = 256 };

int csystem_watch_open(void) { return epoll_create1(EPOLL_CLOEXEC); }

static int control(int watch, int operation, int descriptor, int writable, uint64_t tag) {
    struct epoll_event event = {.events = writable ? EPOLLIN | EPOLLOUT : EPOLLIN, .data = {.u64 = tag}};
    return epoll_ctl(watch, operation, descriptor, &event);
}

int csystem_watch_add(int watch, int descriptor, int writable, uint64_t tag) {
    return control(watch, EPOLL_CTL_ADD, descriptor, writable, tag);
}

int csystem_watch_change(int watch, int descriptor, int writable, uint64_t tag) {
    return control(watch, EPOLL_CTL_MOD, descriptor, writable, tag);
}

int csystem_watch_wait(int watch, struct csystem_watch_event *events, int most) {
    struct epoll_event found[MOST];
    int count = epoll_wait(watch, found, most < MOST ? most : MOST, -1);
    for (int i = 0; i < count; i++) {
        events[i].tag = found[i].data.u64;
        events[i].readable = (found[i].events & ~(uint32_t)EPOLLOUT) != 0;
        events[i].writable = (found[i].events & EPOLLOUT) != 0;
    }
    return count;
}

int csystem_watch_bell(int blocking) { return eventfd(0, blocking ? EFD_CLOEXEC : EFD_CLOEXEC | EFD_NONBLOCK); }

int csystem_watch_ring(int bell) {
    uint64_t one = 1;
    return write(bell, &one, sizeof one) == sizeof one ? 0 : -1;
}

int csystem_watch_hear(int bell) {
    uint64_t rings;
    return read(bell, &rings, sizeof rings) == sizeof rings ? 0 : -1;
}
