#ifndef TURNPIKE_CJANSSON_H
#define TURNPIKE_CJANSSON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <jansson.h>

// Function-like macros.
static inline size_t cjansson_indent(size_t spaces) { return JSON_INDENT(spaces); }
static inline size_t cjansson_real_precision(size_t digits) { return JSON_REAL_PRECISION(digits); }
static inline int cjansson_type(const json_t *value) { return json_typeof(value); }

#endif
