// OpenSSL for Swift. `static inline` functions replace function-like macros, which the importer cannot read.
#ifndef TURNPIKE_COPENSSL_H
#define TURNPIKE_COPENSSL_H

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/time.h>

// The SSL_OP_* flags are casts and shifts that the importer does not evaluate.
static inline uint64_t copenssl_options(void) {
  return SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
         SSL_OP_PRIORITIZE_CHACHA;
}

static inline uint64_t copenssl_datagram_options(void) { return SSL_OP_NO_QUERY_MTU | SSL_OP_COOKIE_EXCHANGE; }

// Milliseconds until the next retransmission of a handshake flight; -1 if none. (A macro with a timeval.)
static inline long copenssl_datagram_timeout(SSL *connection) {
  struct timeval left;
  if (DTLSv1_get_timeout(connection, &left) != 1) return -1;
  return left.tv_sec * 1000 + (left.tv_usec + 999) / 1000;
}
static inline long copenssl_handle_datagram_timeout(SSL *connection) { return DTLSv1_handle_timeout(connection); }

// Chooses the digest of an HMAC. A parameter keeps pointers to its texts, and Swift's copies of texts for C live only
// for one call, so this function makes the list of parameters and passes it on.
static inline int copenssl_use_digest(EVP_MAC_CTX *context, const char *name) {
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)name, 0), OSSL_PARAM_construct_end()};
  return EVP_MAC_CTX_set_params(context, parameters);
}

// RFC 2253's escapes of names, but with unescaped UTF-8. The importer cannot read these flags either.
static inline unsigned long copenssl_name_flags(void) { return XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB; }

#endif
