#ifndef TURNPIKE_CSQLITE_H
#define TURNPIKE_CSQLITE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <sqlite3.h>

#endif
