#ifndef TURNPIKE_CSQLITE_H
#define TURNPIKE_CSQLITE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

// SQLITE_TRANSIENT is a cast of -1, which the importer cannot read.
static inline int csqlite_bind_blob(sqlite3_stmt *statement, int index, const void *bytes, int count) {
  return sqlite3_bind_blob(statement, index, bytes, count, SQLITE_TRANSIENT);
}

// SQLite creates its file readable by all that the umask lets in; a file that is there already keeps its mode, and
// the write-ahead log takes it over.
static inline void csqlite_create_private(const char *path) {
  int descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor >= 0) close(descriptor);
}

#endif
