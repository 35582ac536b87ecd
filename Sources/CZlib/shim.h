#ifndef TURNPIKE_CZLIB_H
#define TURNPIKE_CZLIB_H

#include <zlib.h>

#endif
