#ifndef TURNPIKE_CYAML_H
#define TURNPIKE_CYAML_H

#include <yaml.h>

#endif
