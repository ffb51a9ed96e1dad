#include "csystem_process.h"

#include <malloc.h>
#include <sys/prctl.h>
#include <sys/resource.h>

int csystem_forbid_dumps(void)
{
    struct rlimit none = { 0, 0 };
    if (setrlimit(RLIMIT_CORE, &none) != 0) return -1;
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void csystem_give_back_memory(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

void csystem_name_thread(const char *name)
{
    prctl(PR_SET_NAME, name, 0, 0, 0);
}
