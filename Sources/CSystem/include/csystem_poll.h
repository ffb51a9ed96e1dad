/// `ppoll` hides behind _GNU_SOURCE, which the Swift importer does not set.
#ifndef CSYSTEM_POLL_H
#define CSYSTEM_POLL_H

#include <stdint.h>

/// Waits until `descriptor` can be read, `nanoseconds` at most. 1: it can (or has ended), 0: not yet,
/// -1: errno says why.
int csystem_wait_readable(int descriptor, uint64_t nanoseconds);

#endif
