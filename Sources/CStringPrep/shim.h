// libidn's stringprep (SASLprep, RFC 4013) and libunistring (the normal forms and categories of RFC 8264).
#ifndef TURNPIKE_CSTRINGPREP_H
#define TURNPIKE_CSTRINGPREP_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <stdlib.h>
#include <stringprep.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

#endif
