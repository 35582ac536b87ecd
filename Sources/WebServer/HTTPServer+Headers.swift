internal import CWebSockets

/// Reads the parts of a request that libwebsockets has parsed.
extension HTTPServer {
  /// The request's method; nil if it is unknown.
  static func method(of connection: OpaquePointer) -> HTTPRequest.Method? {
    switch unsafe UInt32(bitPattern: cws_method(connection)) {
    case UInt32(LWSHUMETH_GET): .get
    case UInt32(LWSHUMETH_HEAD): .head
    case UInt32(LWSHUMETH_POST): .post
    case UInt32(LWSHUMETH_PUT): .put
    case UInt32(LWSHUMETH_PATCH): .patch
    case UInt32(LWSHUMETH_DELETE): .delete
    case UInt32(LWSHUMETH_OPTIONS): .options
    default: nil
    }
  }

  static func readHeaders(of connection: OpaquePointer, into request: inout HTTPRequest) {
    unsafe request.authorization = header(WSI_TOKEN_HTTP_AUTHORIZATION, of: connection)
    unsafe request.host = header(WSI_TOKEN_HOST, of: connection)
    unsafe request.origin = header(WSI_TOKEN_ORIGIN, of: connection)
    unsafe request.contentType = header(WSI_TOKEN_HTTP_CONTENT_TYPE, of: connection)
    unsafe request.accept = header(WSI_TOKEN_HTTP_ACCEPT, of: connection)
    unsafe request.peer = peer(of: connection)
    for index in 0..<Self.parameterLimit {
      guard let text = unsafe parameter(index, of: connection) else { break }
      let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      request.query.append(.init(String(parts[0]), parts.count > 1 ? String(parts[1]) : ""))
    }
  }

  /// Limit of a request's parameters; further ones are ignored.
  private static let parameterLimit: Int32 = 16

  /// A header's value; nil if the request does not have it.
  static func header(_ token: lws_token_indexes, of connection: OpaquePointer) -> String? {
    let count = unsafe lws_hdr_total_length(connection, token)
    guard count > 0 else { return nil }
    return unsafe text(capacity: Int(count) + 1) { start in
      unsafe lws_hdr_copy(connection, start, count + 1, token)
    }
  }

  private static func parameter(_ index: Int32, of connection: OpaquePointer) -> String? {
    let count = unsafe lws_hdr_fragment_length(connection, WSI_TOKEN_HTTP_URI_ARGS, index)
    guard count > 0 else { return nil }
    return unsafe text(capacity: Int(count) + 1) { start in
      unsafe lws_hdr_copy_fragment(connection, start, count + 1, WSI_TOKEN_HTTP_URI_ARGS, index)
    }
  }

  private static func peer(of connection: OpaquePointer) -> String {
    var name = [CChar](repeating: 0, count: 64)
    guard unsafe lws_get_peer_simple(connection, &name, 64) != nil else { return "" }
    let text = String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    // The listener's socket is IPv6 and accepts IPv4 too.
    return text.hasPrefix("::ffff:") ? String(text.dropFirst(7)) : text
  }

  /// Text that a C function writes with its final zero; it returns the number of bytes without it, or a negative
  /// number.
  private static func text(capacity: Int, _ write: (UnsafeMutablePointer<CChar>) -> Int32) -> String? {
    var bytes = [CChar](repeating: 0, count: capacity)
    let count = unsafe bytes.withUnsafeMutableBufferPointer { buffer in
      guard let start = buffer.baseAddress else { return Int32(-1) }
      return unsafe write(start)
    }
    guard count >= 0, Int(count) < capacity else { return nil }
    return String(decoding: bytes.prefix(Int(count)).map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}
