// libidn's stringprep (SASLprep, RFC 4013) and libunistring (the normal forms and categories of RFC 8264).
#ifndef TURNPIKE_CSTRINGPREP_H
#define TURNPIKE_CSTRINGPREP_H

#include <stdlib.h>
#include <stringprep.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

// The normal forms are addresses of incomplete structs, which the importer cannot read.
static inline uint8_t *cstringprep_nfc(const uint8_t *text, size_t count, size_t *result_count) {
  return u8_normalize(UNINORM_NFC, text, count, NULL, result_count);
}
static inline uint8_t *cstringprep_nfkc(const uint8_t *text, size_t count, size_t *result_count) {
  return u8_normalize(UNINORM_NFKC, text, count, NULL, result_count);
}

#endif
