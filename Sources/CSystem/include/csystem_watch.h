/// epoll(7) and eventfd(2), which the importer does not know.
#ifndef CSYSTEM_WATCH_H
#define CSYSTEM_WATCH_H

#include <stdint.h>

/// A descriptor on which something can be done.
struct csystem_watch_event {
    uint64_t tag;
    /// It can be read, or has ended or failed, which a read tells.
    uint8_t readable;
    uint8_t writable;
};

/// A descriptor to wait on, or -1 with errno.
int csystem_watch_open(void);

/// Watches `descriptor` for reading, with `writable` for writing too; `tag` comes with its events.
/// 0, or -1 with errno.
int csystem_watch_add(int watch, int descriptor, int writable, uint64_t tag);

/// Changes what it is watched for. 0, or -1 with errno.
int csystem_watch_change(int watch, int descriptor, int writable, uint64_t tag);

/// Waits for events, without end; at most `most` (and 256) are written to `events`. Their number, or -1 with errno.
int csystem_watch_wait(int watch, struct csystem_watch_event *events, int most);

/// An eventfd, blocking or not. -1 with errno.
int csystem_watch_bell(int blocking);

/// Rings it. 0, or -1 with errno.
int csystem_watch_ring(int bell);

/// Takes the rings that came since; where it blocks, waits for one. 0, or -1 with errno.
int csystem_watch_hear(int bell);

#endif
