// libcurl. `curl_easy_setopt` and `curl_easy_getinfo` are variadic, which the importer cannot read.
#ifndef TURNPIKE_CCURL_H
#define TURNPIKE_CCURL_H

#include <curl/curl.h>

static inline CURLcode ccurl_set_number(CURL *_Nonnull handle, CURLoption option, long value) {
  return curl_easy_setopt(handle, option, value);
}
static inline CURLcode ccurl_set_text(CURL *_Nonnull handle, CURLoption option, const char *_Nullable value) {
  return curl_easy_setopt(handle, option, value);
}
static inline CURLcode ccurl_set_pointer(CURL *_Nonnull handle, CURLoption option, void *_Nullable value) {
  return curl_easy_setopt(handle, option, value);
}
typedef size_t (*ccurl_writer)(char *_Nonnull bytes, size_t size, size_t count, void *_Nullable user);
static inline CURLcode ccurl_set_writer(CURL *_Nonnull handle, ccurl_writer _Nonnull writer) {
  return curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, writer);
}
static inline long ccurl_status(CURL *_Nonnull handle) {
  long status = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

#endif
