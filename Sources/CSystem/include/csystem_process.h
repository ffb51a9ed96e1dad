/// What a process asks of the system about itself.
#ifndef CSYSTEM_PROCESS_H
#define CSYSTEM_PROCESS_H

/// No core dump, and no tracing by other processes of the same user (prctl is variadic, which the
/// importer hides). 0, or -1 with errno.
int csystem_forbid_dumps(void);

/// Names the calling thread for top, ps and debuggers; at most 15 bytes count.
void csystem_name_thread(const char *name);

/// Gives memory that nothing is in back to the system, page by page: what was freed between things that stay, too.
void csystem_give_back_memory(void);

#endif
