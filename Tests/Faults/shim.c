/* Stands between brokerd and the system (LD_PRELOAD), for the tests of this directory.
 *
 *   SHIM_ROOT     the data directory: only calls on files below it are recorded and can be made to fail
 *   SHIM_RECORD   where to write the recording; recording.py reads it
 *   SHIM_CONTROL  a file that holds `struct control`; rules.py writes it while the broker runs
 *
 * The recording has calls in an order in which they can have happened: a write is noted in the same critical
 * section that carries it out, a sync when it begins and when it has succeeded, bytes to a client before they
 * leave, bytes of a client after they came. So a receipt in the recording stands behind the sync it waited for,
 * or the broker has lied.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Calls, as bits in rules; rules.py has the same names. */
enum {
    WRITE = 1, SYNC = 2, SYNC_DIRECTORY = 4, CREATE = 8, RENAME = 16, REMOVE = 32, READ = 64, TRUNCATE = 128,
    MAKE_DIRECTORY = 256, OPEN = 512, FREE_SPACE = 1024, SYNC_ALL = 2048, THREAD = 4096,
};

struct rule {
    uint32_t calls;      /* which, 0: the rule is not in use */
    int32_t error;       /* errno; 0: only wait, or be short */
    int64_t after;       /* passes over so many matching calls first */
    int64_t times;       /* then holds for so many; -1: for all */
    int64_t wait_ms;     /* waits so long before the call, or until the rule is taken away */
    int64_t most;        /* a write takes so many bytes at most, the free space is so many; 0: no such rule */
    int64_t seen, hit;   /* counted here */
    char path[64];       /* part of the path below the root; "" is any */
};

struct control {
    int64_t clock_ns;    /* added to the wall clock */
    struct rule rules[8];
};

static char root[PATH_MAX];
static size_t root_length;
static FILE *record;
static struct control *control;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define FILES 65536
static uint32_t handle_of[FILES]; /* of an open file or directory below the root; 0 for others */
static uint8_t is_directory[FILES];
static char *path_of[FILES];
static uint32_t socket_of[FILES]; /* of a connection that was accepted */
static uint32_t handles;

#define REAL(name) ({ static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name); real; })

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("SHIM_ROOT");
    if (text) {
        snprintf(root, sizeof root, "%s", text);
        root_length = strlen(root);
    }
    if ((text = getenv("SHIM_CONTROL"))) {
        int fd = REAL(open)(text, O_RDWR | O_CLOEXEC);
        void *at = fd < 0 ? MAP_FAILED : mmap(0, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED) { perror(text); _exit(99); }
        control = at;
        REAL(close)(fd);
    }
    if ((text = getenv("SHIM_RECORD"))) {
        record = fopen(text, "wbe");
        if (!record) { perror(text); _exit(99); }
        setvbuf(record, 0, _IOFBF, 1 << 20);
    }
}

/* The path below the root: "" is the root itself; 0 is elsewhere. */
static const char *below(const char *path) {
    if (!root_length || strncmp(path, root, root_length)) return 0;
    if (!path[root_length]) return path + root_length;
    return path[root_length] == '/' ? path + root_length + 1 : 0;
}

static int whole_path(int directory, const char *path, char *into) {
    if (path[0] == '/') return snprintf(into, PATH_MAX, "%s", path) < PATH_MAX;
    char link[64], base[PATH_MAX];
    if (directory == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    ssize_t length = readlink(link, base, sizeof base - 1);
    if (length < 0) return 0;
    base[length] = 0;
    if (!strcmp(path, ".")) return snprintf(into, PATH_MAX, "%s", base) < PATH_MAX;
    return snprintf(into, PATH_MAX, "%s/%s", base, path) < PATH_MAX;
}

/* ---- Rules ---- */

/* The rule that holds for this call, counted; 0 if none. */
static struct rule *ruled(uint32_t call, const char *path) {
    if (!control) return 0;
    for (int index = 0; index < 8; index++) {
        struct rule *rule = &control->rules[index];
        if (!(rule->calls & call) || (rule->path[0] && !strstr(path ? path : "", rule->path))) continue;
        int64_t number = __atomic_fetch_add(&rule->seen, 1, __ATOMIC_SEQ_CST);
        if (number < rule->after || (rule->times >= 0 && number >= rule->after + rule->times)) continue;
        __atomic_fetch_add(&rule->hit, 1, __ATOMIC_SEQ_CST);
        return rule;
    }
    return 0;
}

/* Waits as the rule says; 1 with errno set if the call is to fail. */
static int fails(struct rule *rule) {
    if (!rule) return 0;
    uint32_t calls = rule->calls;
    for (int64_t waited = 0; waited < rule->wait_ms && rule->calls == calls; waited += 5) {
        struct timespec pause = {0, 5000000};
        nanosleep(&pause, 0);
    }
    if (!rule->error) return 0;
    errno = rule->error;
    return 1;
}

/* ---- The recording ---- */

struct __attribute__((packed)) event {
    uint8_t kind;
    uint32_t handle;
    int64_t at;
    uint32_t length; /* of the bytes that follow */
};

static void note(uint8_t kind, uint32_t handle, int64_t at, const void *bytes, uint32_t length) {
    if (!record) return;
    struct event event = {kind, handle, at, length};
    fwrite_unlocked(&event, sizeof event, 1, record);
    if (length) fwrite_unlocked(bytes, length, 1, record);
    /* The broker may be killed; a write is whole when its 'e' is there. */
    if (kind != 'w' && kind != 'z') fflush_unlocked(record);
}

/* So much of a write as was done; zeros are only counted. */
static void note_write(uint32_t handle, int64_t at, const struct iovec *vectors, int count, ssize_t done) {
    for (int index = 0; index < count && done > 0; index++) {
        const char *bytes = vectors[index].iov_base;
        size_t length = vectors[index].iov_len < (size_t)done ? vectors[index].iov_len : (size_t)done;
        int is_zero = length >= 4096 && !bytes[0] && !memcmp(bytes, bytes + 1, length - 1);
        /* Vectors of one call are one write: 'w' and 'z' go on until 'e'. */
        if (is_zero) {
            uint32_t run = length;
            note('z', handle, at, &run, sizeof run);
        } else {
            note('w', handle, at, bytes, length);
        }
        at += length;
        done -= length;
    }
    note('e', handle, at, 0, 0);
}

static void note_two(uint8_t kind, const char *from, const char *to) {
    char both[2 * PATH_MAX];
    int length = snprintf(both, sizeof both, "%s%c%s", from, '\n', to);
    note(kind, 0, 0, both, length);
}

/* ---- Names ---- */

static int opened(int fd, const char *path, int flags, int was_there) {
    if (fd < 0 || fd >= FILES) return fd;
    struct stat status;
    if (fstat(fd, &status)) return fd;
    free(path_of[fd]);
    path_of[fd] = strdup(path);
    is_directory[fd] = S_ISDIR(status.st_mode);
    handle_of[fd] = ++handles;
    note(is_directory[fd] ? 'd' : !was_there ? 'c' : flags & O_TRUNC ? 'o' : 'O', handles, 0, path, strlen(path));
    return fd;
}

static int open_at(int directory, const char *path, int flags, mode_t mode) {
    char whole[PATH_MAX];
    const char *name = whole_path(directory, path, whole) ? below(whole) : 0;
    if (!name) return REAL(openat)(directory, path, flags, mode);
    if (fails(ruled(flags & O_CREAT ? CREATE : OPEN, name))) return -1;
    pthread_mutex_lock(&lock);
    int was_there = !access(whole, F_OK);
    int fd = opened(REAL(openat)(directory, path, flags, mode), name, flags, was_there);
    int code = errno;
    pthread_mutex_unlock(&lock);
    errno = code;
    return fd;
}

static mode_t mode_of(int flags, va_list list) { return flags & O_CREAT ? va_arg(list, mode_t) : 0; }

int openat(int directory, const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return open_at(directory, path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return open_at(AT_FDCWD, path, flags, mode);
}

int close(int fd) {
    if (fd >= 0 && fd < FILES && (handle_of[fd] || socket_of[fd])) {
        pthread_mutex_lock(&lock);
        handle_of[fd] = socket_of[fd] = 0;
        pthread_mutex_unlock(&lock);
    }
    return REAL(close)(fd);
}

int renameat(int from_directory, const char *from, int to_directory, const char *to) {
    char a[PATH_MAX], b[PATH_MAX];
    const char *x = whole_path(from_directory, from, a) ? below(a) : 0;
    const char *y = whole_path(to_directory, to, b) ? below(b) : 0;
    if (!x || !y) return REAL(renameat)(from_directory, from, to_directory, to);
    if (fails(ruled(RENAME, y))) return -1;
    pthread_mutex_lock(&lock);
    int result = REAL(renameat)(from_directory, from, to_directory, to), code = errno;
    if (!result) note_two('r', x, y);
    pthread_mutex_unlock(&lock);
    errno = code;
    return result;
}

int unlinkat(int directory, const char *path, int flags) {
    char whole[PATH_MAX];
    const char *name = whole_path(directory, path, whole) ? below(whole) : 0;
    if (!name) return REAL(unlinkat)(directory, path, flags);
    if (fails(ruled(REMOVE, name))) return -1;
    pthread_mutex_lock(&lock);
    int result = REAL(unlinkat)(directory, path, flags), code = errno;
    if (!result) note('u', 0, 0, name, strlen(name));
    pthread_mutex_unlock(&lock);
    errno = code;
    return result;
}

static int make_directory(int directory, const char *path, mode_t mode) {
    char whole[PATH_MAX];
    const char *name = whole_path(directory, path, whole) ? below(whole) : 0;
    if (!name) return REAL(mkdirat)(directory, path, mode);
    if (fails(ruled(MAKE_DIRECTORY, name))) return -1;
    pthread_mutex_lock(&lock);
    int result = REAL(mkdirat)(directory, path, mode), code = errno;
    if (!result) note('m', 0, 0, name, strlen(name));
    pthread_mutex_unlock(&lock);
    errno = code;
    return result;
}

int mkdirat(int directory, const char *path, mode_t mode) { return make_directory(directory, path, mode); }
int mkdir(const char *path, mode_t mode) { return make_directory(AT_FDCWD, path, mode); }

/* ---- Bytes of files ---- */

static int is_ours(int fd) { return fd >= 0 && fd < FILES && handle_of[fd]; }

ssize_t pwritev(int fd, const struct iovec *vectors, int count, off_t at) {
    if (!is_ours(fd)) return REAL(pwritev)(fd, vectors, count, at);
    struct rule *rule = ruled(WRITE, path_of[fd]);
    if (fails(rule)) return -1;
    struct iovec first = vectors[0];
    if (rule && rule->most > 0) {
        /* Some of it only, as the kernel may. */
        for (int index = 0; index < count && !first.iov_len; index++) first = vectors[index];
        if (first.iov_len > (size_t)rule->most) first.iov_len = rule->most;
        vectors = &first;
        count = 1;
    }
    pthread_mutex_lock(&lock);
    ssize_t done = REAL(pwritev)(fd, vectors, count, at);
    int code = errno;
    if (done > 0) note_write(handle_of[fd], at, vectors, count, done);
    pthread_mutex_unlock(&lock);
    errno = code;
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    struct iovec vector = {(void *)bytes, length};
    if (!is_ours(fd)) return REAL(pwrite)(fd, bytes, length, at);
    return pwritev(fd, &vector, 1, at);
}

ssize_t pread(int fd, void *bytes, size_t length, off_t at) {
    if (is_ours(fd) && fails(ruled(READ, path_of[fd]))) return -1;
    return REAL(pread)(fd, bytes, length, at);
}

int ftruncate(int fd, off_t size) {
    if (!is_ours(fd)) return REAL(ftruncate)(fd, size);
    if (fails(ruled(TRUNCATE, path_of[fd]))) return -1;
    pthread_mutex_lock(&lock);
    int result = REAL(ftruncate)(fd, size), code = errno;
    if (!result) note('t', handle_of[fd], size, 0, 0);
    pthread_mutex_unlock(&lock);
    errno = code;
    return result;
}

/* Room is taken as a write takes it; a file that grows so is full of zeros, as one that is made longer. */
int fallocate(int fd, int mode, off_t at, off_t length) {
    if (!is_ours(fd)) return REAL(fallocate)(fd, mode, at, length);
    if (fails(ruled(WRITE, path_of[fd]))) return -1;
    pthread_mutex_lock(&lock);
    struct stat before;
    int known = !fstat(fd, &before);
    int result = REAL(fallocate)(fd, mode, at, length), code = errno;
    if (!result && known && at + length > before.st_size) note('t', handle_of[fd], at + length, 0, 0);
    pthread_mutex_unlock(&lock);
    errno = code;
    return result;
}

/* ---- Syncs ---- */

static int sync_with(int (*real)(int), uint8_t begin_kind, uint8_t end_kind, uint32_t call, int fd) {
    if (!is_ours(fd)) return real(fd);
    if (is_directory[fd] && call == SYNC) call = SYNC_DIRECTORY;
    if (fails(ruled(call, path_of[fd]))) {
        int code = errno;
        pthread_mutex_lock(&lock);
        note('F', handle_of[fd], 0, 0, 0);
        pthread_mutex_unlock(&lock);
        errno = code;
        return -1;
    }
    pthread_mutex_lock(&lock);
    uint32_t handle = handle_of[fd];
    note(begin_kind, handle, 0, 0, 0);
    pthread_mutex_unlock(&lock);
    int result = real(fd), code = errno;
    pthread_mutex_lock(&lock);
    if (!result) note(end_kind, handle, 0, 0, 0);
    pthread_mutex_unlock(&lock);
    errno = code;
    return result;
}

int fsync(int fd) { return sync_with(REAL(fsync), 's', 'S', SYNC, fd); }
int fdatasync(int fd) { return sync_with(REAL(fdatasync), 's', 'S', SYNC, fd); }
int syncfs(int fd) { return sync_with(REAL(syncfs), 'a', 'A', SYNC_ALL, fd); }

int fstatvfs(int fd, struct statvfs *into) {
    int result = REAL(fstatvfs)(fd, into);
    struct rule *rule = is_ours(fd) ? ruled(FREE_SPACE, path_of[fd]) : 0;
    if (fails(rule)) return -1;
    if (!result && rule && rule->most > 0) into->f_bavail = rule->most / into->f_frsize;
    return result;
}

/* ---- Clients ---- */

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    int client = REAL(accept4)(fd, address, length, flags);
    if (record && client >= 0 && client < FILES) {
        pthread_mutex_lock(&lock);
        socket_of[client] = ++handles;
        pthread_mutex_unlock(&lock);
    }
    return client;
}

/* Noted before the bytes leave. What the kernel did not take is sent again: 'x' takes it back. */
static ssize_t leaving(int fd, const struct iovec *vectors, int count, ssize_t (*go)(void *), void *with) {
    if (!record || fd < 0 || fd >= FILES || !socket_of[fd]) return go(with);
    pthread_mutex_lock(&lock);
    int64_t length = 0;
    for (int index = 0; index < count; index++) {
        note('>', socket_of[fd], 0, vectors[index].iov_base, vectors[index].iov_len);
        length += vectors[index].iov_len;
    }
    ssize_t done = go(with);
    int code = errno;
    if (done < length) note('x', socket_of[fd], length - (done < 0 ? 0 : done), 0, 0);
    pthread_mutex_unlock(&lock);
    errno = code;
    return done;
}

struct sending { int fd, flags; const void *bytes; size_t length; };

static ssize_t go_send(void *with) {
    struct sending *it = with;
    return REAL(send)(it->fd, it->bytes, it->length, it->flags);
}

ssize_t send(int fd, const void *bytes, size_t length, int flags) {
    struct iovec vector = {(void *)bytes, length};
    struct sending it = {fd, flags, bytes, length};
    return leaving(fd, &vector, 1, go_send, &it);
}

static ssize_t go_sendmsg(void *with) {
    struct sending *it = with;
    return REAL(sendmsg)(it->fd, it->bytes, it->flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    struct sending it = {fd, flags, message, 0};
    return leaving(fd, message->msg_iov, message->msg_iovlen, go_sendmsg, &it);
}

ssize_t recv(int fd, void *bytes, size_t length, int flags) {
    ssize_t got = REAL(recv)(fd, bytes, length, flags);
    if (got > 0 && record && fd >= 0 && fd < FILES && socket_of[fd]) {
        int code = errno;
        pthread_mutex_lock(&lock);
        note('<', socket_of[fd], 0, bytes, got);
        pthread_mutex_unlock(&lock);
        errno = code;
    }
    return got;
}

/* ---- Time and threads ---- */

int clock_gettime(clockid_t clock, struct timespec *into) {
    int result = REAL(clock_gettime)(clock, into);
    if (result || !control || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return result;
    int64_t all = (int64_t)into->tv_sec * 1000000000 + into->tv_nsec
        + __atomic_load_n(&control->clock_ns, __ATOMIC_SEQ_CST);
    into->tv_sec = all / 1000000000;
    into->tv_nsec = all % 1000000000;
    return 0;
}

int gettimeofday(struct timeval *restrict into, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    into->tv_sec = now.tv_sec;
    into->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument) {
    if (fails(ruled(THREAD, ""))) return errno;
    return REAL(pthread_create)(thread, attributes, body, argument);
}
