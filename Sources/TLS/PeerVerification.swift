internal import COpenSSL

/// A client's verification of its server's certificate.
enum PeerVerification {
  /// OpenSSL's verification callback: keeps the server's certificate, so that it can be described even if it is
  /// refused. It does not change the verdict.
  static let remember: @convention(c) (CInt, OpaquePointer?) -> CInt = { verdict, store in
    let connection = unsafe X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx())
    guard let connection = unsafe connection,
      let data = unsafe SSL_get_ex_data(OpaquePointer(connection), 0),
      let leaf = unsafe X509_STORE_CTX_get0_cert(store)
    else { return verdict }
    // Sound: `TLSEngine` puts its state there, which lives as long as the connection.
    let state = unsafe data.assumingMemoryBound(to: EngineState.self)
    if unsafe state.pointee.peerCertificate == nil, unsafe X509_up_ref(leaf) == 1 {
      unsafe state.pointee.peerCertificate = leaf
    }
    return verdict
  }

  /// Makes the connection require a certificate for `name`: a host name (also sent as SNI, RFC 6066, which cannot hold
  /// addresses) or an IP address.
  static func expect(_ name: String, on connection: OpaquePointer) -> Bool {
    let parameters = unsafe SSL_get0_param(connection)
    if unsafe X509_VERIFY_PARAM_set1_ip_asc(parameters, name) == 1 { return true }
    OpenSSLErrors.clear()
    // A wildcard stands for one label, and for all of it.
    unsafe X509_VERIFY_PARAM_set_hostflags(parameters, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
    guard unsafe X509_VERIFY_PARAM_set1_host(parameters, name, 0) == 1 else { return false }
    return unsafe name.withCString { text in
      unsafe SSL_ctrl(
        connection, SSL_CTRL_SET_TLSEXT_HOSTNAME, Int(TLSEXT_NAMETYPE_host_name), UnsafeMutablePointer(mutating: text))
        == 1
    }
  }

  /// OpenSSL's verdict as text; nil if chain and name are valid.
  static func complaint(about connection: OpaquePointer) -> String? {
    let result = unsafe SSL_get_verify_result(connection)
    guard result != Int(X509_V_OK) else { return nil }
    guard let text = unsafe X509_verify_cert_error_string(result) else { return "error \(result)" }
    return unsafe String(cString: text)
  }
}
