internal import CWebSockets

/// The limit of connections of one client.
extension HTTPServer {
  /// Counts a client's connections; nil for other reasons than their beginning and end.
  func count(
    _ connection: OpaquePointer, _ reason: lws_callback_reasons, _ arguments: UnsafeMutableRawPointer?
  ) -> Int32? {
    switch reason {
    case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
      guard let arguments = unsafe arguments else { return 0 }
      var key = [UInt8](repeating: 0, count: 16)
      let client = unsafe cws_client(arguments, &key) ? key : nil
      return clients.admit(client, below: options.connectionsPerAddress) ? 0 : 1
    case LWS_CALLBACK_WSI_CREATE: unsafe clients.begin(connection)
    case LWS_CALLBACK_WSI_DESTROY:
      unsafe clients.end(connection)
      unsafe sockets.accepted.remove(connection)
    default: return nil
    }
    return 0
  }
}
