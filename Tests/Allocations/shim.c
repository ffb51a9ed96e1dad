/* Counts what a process asks of malloc, and how often it reads sockets and syncs (LD_PRELOAD), for run.py.
 *
 *   COUNTS   a file that holds `struct counts`; run.py reads it while the process runs
 *
 * The names with __libc_ are those of the C library's own functions: to look for these with dlsym would call malloc.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct counts {
    uint64_t allocations, bytes, reads, syncs;
};

static struct counts nowhere;
static struct counts *counts = &nowhere;

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

#define REAL(name) ({ static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name); real; })

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("COUNTS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at = fd < 0 ? MAP_FAILED : mmap(0, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) { perror("COUNTS"); _exit(99); }
    counts = at;
    close(fd);
}

static void add(uint64_t *count, uint64_t more) { __atomic_fetch_add(count, more, __ATOMIC_RELAXED); }

static void asked(size_t size) {
    add(&counts->allocations, 1);
    add(&counts->bytes, size);
}

void *malloc(size_t size) {
    asked(size);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    asked(count * size);
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
    asked(size);
    return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
    asked(size);
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **into, size_t alignment, size_t size) {
    *into = memalign(alignment, size);
    return *into ? 0 : ENOMEM;
}

static ssize_t was_read(ssize_t got) {
    if (got > 0) add(&counts->reads, 1);
    return got;
}

ssize_t recv(int fd, void *bytes, size_t length, int flags) { return was_read(REAL(recv)(fd, bytes, length, flags)); }
ssize_t recvmsg(int fd, struct msghdr *message, int flags) { return was_read(REAL(recvmsg)(fd, message, flags)); }
ssize_t read(int fd, void *bytes, size_t length) { return was_read(REAL(read)(fd, bytes, length)); }

int fdatasync(int fd) {
    add(&counts->syncs, 1);
    return REAL(fdatasync)(fd);
}
