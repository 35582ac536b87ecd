#ifndef TURNPIKE_CJANSSON_H
#define TURNPIKE_CJANSSON_H

#include <jansson.h>

// These are function-like macros, which the importer cannot read.
static inline size_t cjansson_indent(size_t spaces) { return JSON_INDENT(spaces); }
static inline size_t cjansson_real_precision(size_t digits) { return JSON_REAL_PRECISION(digits); }
static inline int cjansson_type(const json_t *value) { return json_typeof(value); }

#endif
