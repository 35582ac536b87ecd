// libwebsockets as an HTTP server. Headers only: `static inline` helpers fill its large structures and its header
// buffers, which the importer reads badly.
#ifndef TURNPIKE_CWEBSOCKETS_H
#define TURNPIKE_CWEBSOCKETS_H

#include <libwebsockets.h>
#include <netinet/in.h>
#include <string.h>

struct cws_options {
  // An IP address, or the path of a Unix socket.
  const char *_Nullable interface;
  int port;
  _Bool is_unix;
  _Bool is_secure;
  unsigned connections;
  // The longest time in seconds for a request's headers, and between two parts of its body.
  unsigned request_seconds;
};

// All connections use the protocol "http".
static inline struct lws_context *_Nullable cws_create(
    const struct cws_options *_Nonnull options, lws_callback_function *_Nonnull callback, void *_Nullable user,
    struct lws_protocols protocols[_Nonnull 2]) {
  memset(protocols, 0, 2 * sizeof(protocols[0]));
  protocols[0].name = "http";
  protocols[0].callback = callback;
  struct lws_context_creation_info info;
  memset(&info, 0, sizeof(info));
  info.iface = options->interface;
  info.port = options->port;
  info.protocols = protocols;
  info.user = user;
  info.gid = -1;
  info.uid = -1;
  info.options = LWS_SERVER_OPTION_VALIDATE_UTF8 | LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
  if (options->is_unix) info.options |= LWS_SERVER_OPTION_UNIX_SOCK;
  if (options->is_secure) {
    // The certificate comes from the callback that gets the SSL_CTX.
    info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX;
  }
  info.alpn = "http/1.1";
  info.max_http_header_data = 4096;
  // Each connection has its own header buffer: otherwise a few slow clients would keep the others waiting.
  info.max_http_header_pool = options->connections;
  info.keepalive_timeout = 30;
  info.timeout_secs = options->request_seconds;
  info.timeout_secs_ah_idle = options->request_seconds;
  info.fd_limit_per_thread = options->connections;
  info.pt_serv_buf_size = 8192;
  return lws_create_context(&info);
}

// The port of the listener; the kernel chooses it for port 0.
static inline int cws_port(struct lws_context *_Nonnull context) {
  struct lws_vhost *host = lws_get_vhost_by_name(context, "default");
  return host ? lws_get_vhost_listen_port(host) : 0;
}

// Writes a key of a new connection's client, from the arguments of LWS_CALLBACK_FILTER_NETWORK_CONNECTION: its IPv4
// address, or its IPv6 /64, because one host can use every address of a /64. False on a Unix socket.
static inline _Bool cws_client(const void *_Nonnull arguments, unsigned char key[_Nonnull 16]) {
  const struct sockaddr_storage *address = &((const struct lws_filter_network_conn_args *)arguments)->cli_addr;
  memset(key, 0, 16);
  if (address->ss_family == AF_INET) {
    key[10] = key[11] = 0xFF;
    memcpy(key + 12, &((const struct sockaddr_in *)address)->sin_addr, 4);
    return 1;
  }
  if (address->ss_family != AF_INET6) return 0;
  const struct in6_addr *ip = &((const struct sockaddr_in6 *)address)->sin6_addr;
  memcpy(key, ip, IN6_IS_ADDR_V4MAPPED(ip) ? 16 : 8);
  return 1;
}

static inline void *_Nullable cws_user(struct lws *_Nonnull connection) {
  return lws_context_user(lws_get_context(connection));
}

// The method as one of LWSHUMETH_…, or -1.
static inline int cws_method(struct lws *_Nonnull connection) {
  char *path;
  int length;
  return lws_http_get_uri_and_method(connection, &path, &length);
}

// Headers of one response, and the room that libwebsockets needs before them.
struct cws_headers {
  unsigned char room[LWS_PRE + 4096];
  unsigned char *_Nullable end;
};

static inline int cws_start(
    struct lws *_Nonnull connection, struct cws_headers *_Nonnull headers, unsigned status, unsigned long long length) {
  headers->end = headers->room + LWS_PRE;
  unsigned char *limit = headers->room + sizeof(headers->room) - 1;
  if (lws_add_http_header_status(connection, status, &headers->end, limit)) return 1;
  return lws_add_http_header_content_length(connection, length, &headers->end, limit);
}

// `name` ends with a colon.
static inline int cws_add(
    struct lws *_Nonnull connection, struct cws_headers *_Nonnull headers, const char *_Nonnull name,
    const char *_Nonnull value) {
  return lws_add_http_header_by_name(
      connection, (const unsigned char *)name, (const unsigned char *)value, (int)strlen(value), &headers->end,
      headers->room + sizeof(headers->room) - 1);
}

static inline int cws_write_headers(struct lws *_Nonnull connection, struct cws_headers *_Nonnull headers) {
  return lws_finalize_write_http_header(
      connection, headers->room + LWS_PRE, &headers->end, headers->room + sizeof(headers->room) - 1);
}

// Writes one part of the body.
static inline int cws_write_body(
    struct lws *_Nonnull connection, const unsigned char *_Nonnull bytes, unsigned count, _Bool is_last) {
  unsigned char room[LWS_PRE + 4096];
  if (count > 4096) return -1;
  memcpy(room + LWS_PRE, bytes, count);
  return lws_write(connection, room + LWS_PRE, count, is_last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP);
}

// Writes a part of a text message of a WebSocket.
static inline int cws_write_text(
    struct lws *_Nonnull connection, const unsigned char *_Nonnull bytes, unsigned count, _Bool is_first,
    _Bool is_last) {
  unsigned char room[LWS_PRE + 4096];
  if (count > 4096) return -1;
  memcpy(room + LWS_PRE, bytes, count);
  return lws_write(
      connection, room + LWS_PRE, count,
      (enum lws_write_protocol)lws_write_ws_flags(LWS_WRITE_TEXT, is_first, is_last));
}

// Chooses the code of the close frame that follows a callback's -1.
static inline void cws_close_code(struct lws *_Nonnull connection, unsigned code) {
  lws_close_reason(connection, (enum lws_close_status)code, NULL, 0);
}

// Whether the bytes of LWS_CALLBACK_RECEIVE are the last of their message.
static inline _Bool cws_is_end(struct lws *_Nonnull connection) {
  return lws_is_final_fragment(connection) && lws_remaining_packet_payload(connection) == 0;
}

static inline void cws_quiet(void) { lws_set_log_level(0, NULL); }

#endif
