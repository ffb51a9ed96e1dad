/// epoll(7) and eventfd(2), which the Swift importer does not see.
#ifndef CSYSTEM_EPOLL_H
#define CSYSTEM_EPOLL_H

#include <stdint.h>

/// What is wanted of a descriptor, and what it is ready for. An error or a hang-up shows as both.
enum { CSYSTEM_IN = 1, CSYSTEM_OUT = 2 };

typedef struct {
    int descriptor;
    uint32_t ready;
} csystem_event;

/// A new list of descriptors to wait for, which no child process inherits. -1: errno says why.
int csystem_epoll_create(void);

/// `descriptor` was waited for with `had` and is to be waited for with `wants`, for as long as it is ready
/// (level-triggered); 0 for not at all. 0, or -1 with errno.
int csystem_epoll_set(int epoll, int descriptor, uint32_t had, uint32_t wants);

/// Waits until something is ready, `milliseconds` at most (-1: for ever). Returns how many of `events` were
/// filled, -1 with errno.
int csystem_epoll_wait(int epoll, csystem_event *events, int most, int milliseconds);

/// A bell in the list: each ring ends a wait once, with the bell as what is ready. Nothing is to be read from it.
/// Returns its descriptor, or -1 with errno.
int csystem_bell_create(int epoll);
void csystem_bell_ring(int bell);

#endif
