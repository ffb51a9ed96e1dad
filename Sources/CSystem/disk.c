#define _GNU_SOURCE
#include "csystem.h"

#include <fcntl.h>
#include <unistd.h>

int csystem_syncfs(int descriptor) { return syncfs(descriptor); }

int csystem_allocate(int descriptor, int64_t size) { return fallocate(descriptor, 0, 0, size); }
