#ifndef TURNPIKE_CSQLITE_H
#define TURNPIKE_CSQLITE_H

#include <sqlite3.h>

// SQLITE_TRANSIENT is a cast of -1, which the importer cannot read.
static inline int csqlite_bind_blob(sqlite3_stmt *statement, int index, const void *bytes, int count) {
  return sqlite3_bind_blob(statement, index, bytes, count, SQLITE_TRANSIENT);
}

#endif
