// OpenSSL as Swift sees it. Function-like macros that the importer cannot read get a `static inline` stand-in.
#ifndef TURNPIKE_COPENSSL_H
#define TURNPIKE_COPENSSL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

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

#endif
