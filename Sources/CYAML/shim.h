#ifndef TURNPIKE_CYAML_H
#define TURNPIKE_CYAML_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <yaml.h>

#endif
