#ifndef TURNPIKE_CJANSSON_H
#define TURNPIKE_CJANSSON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <jansson.h>

#endif
