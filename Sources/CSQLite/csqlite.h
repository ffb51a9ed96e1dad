/* The system's SQLite, as its package for developers has it (Debian: libsqlite3-dev). */
#include <sqlite3.h>

/* The header's own is a macro with a cast, which Swift does not see: SQLite copies what it is given. */
static inline sqlite3_destructor_type csqlite_copied(void) { return SQLITE_TRANSIENT; }
