internal import COpenSSL

/// Chooses one of several certificates by the server name that a client requests (SNI, RFC 6066 section 3).
struct CertificateNames: Sendable {
  private var exact: [String: Int] = [:]
  private var wildcards: [String: Int] = [:]

  /// Adds the DNS names of one certificate. A name of an earlier certificate stays with it.
  mutating func add(_ names: [String], index: Int) {
    for name in names.map({ $0.lowercased() }) {
      if name.hasPrefix("*.") {
        if wildcards[String(name.dropFirst())] == nil { wildcards[String(name.dropFirst())] = index }
      } else if exact[name] == nil {
        exact[name] = index
      }
    }
  }

  /// The certificate for a name: one with exactly this name, else one with a wildcard for its first label (RFC 9525
  /// section 6.3); nil if there is none.
  func index(for name: String) -> Int? {
    let name = name.lowercased()
    if let index = exact[name] { return index }
    guard let dot = name.firstIndex(of: "."), dot > name.startIndex else { return nil }
    return wildcards[String(name[dot...])]
  }
}

/// Makes a server's context switch to another one by the requested name. OpenSSL calls back before it looks at tickets,
/// and a session belongs to the context's session ID context: a session of one name is not resumed under another.
enum ServerNameChoice {
  /// The context must outlive its connections; `TLSEngine` ensures that.
  static func install(on context: TLSContext) {
    unsafe SSL_CTX_set_client_hello_cb(
      context.handle,
      { connection, _, argument in
        guard let connection = unsafe connection, let argument = unsafe argument,
          let name = unsafe ServerNameChoice.requestedName(of: connection)
        else { return SSL_CLIENT_HELLO_SUCCESS }
        // Sound: the engine of this connection keeps the context alive.
        let context = unsafe Unmanaged<TLSContext>.fromOpaque(argument).takeUnretainedValue()
        if let other = context.context(for: name) { _ = unsafe SSL_set_SSL_CTX(connection, other.handle) }
        return SSL_CLIENT_HELLO_SUCCESS
      }, Unmanaged.passUnretained(context).toOpaque())
  }

  /// The host name of the ClientHello's server_name extension; nil if it has none or is malformed.
  private static func requestedName(of connection: OpaquePointer) -> String? {
    var start: UnsafePointer<UInt8>?
    var count = 0
    guard unsafe SSL_client_hello_get0_ext(connection, UInt32(TLSEXT_TYPE_server_name), &start, &count) == 1 else {
      return nil
    }
    // Sound: OpenSSL keeps the ClientHello during the callback.
    let bytes = unsafe [UInt8](UnsafeBufferPointer(start: start, count: count))
    return hostName(in: bytes)
  }

  /// Reads a list of names: its length, then for each name its type (0: a host name), its length and the name.
  static func hostName(in bytes: [UInt8]) -> String? {
    guard bytes.count >= 5, bytes[2] == 0 else { return nil }
    let length = Int(bytes[3]) << 8 | Int(bytes[4])
    guard (1...255).contains(length), bytes.count >= 5 + length else { return nil }
    return String(validating: bytes[5..<(5 + length)], as: UTF8.self)
  }
}
