internal import CWebSockets
internal import Synchronization

/// The number of connections, for the thread that returns their memory to the kernel.
final class ConnectionUsage: Sendable {
  private let open = Atomic<Int>(0)
  private let most = Atomic<Int>(0)
  /// With fewer connections the C library keeps little freed memory.
  static let worthwhile = 32

  func begin() {
    let now = open.wrappingAdd(1, ordering: .relaxed).newValue
    if now > most.load(ordering: .relaxed) { most.store(now, ordering: .relaxed) }
  }

  func end() { open.wrappingSubtract(1, ordering: .relaxed) }

  /// Whether most of many connections have ended since the last call that returned true.
  func hasFallen() -> Bool {
    let (now, before) = (open.load(ordering: .relaxed), most.load(ordering: .relaxed))
    guard before >= Self.worthwhile, now < before / 2 else { return false }
    most.store(now, ordering: .relaxed)
    return true
  }
}

/// The limit of connections of one client.
extension HTTPServer {
  /// Whether the memory of many connections was freed since the last call that returned true. Any thread may call this.
  public func hasFreedMemory() -> Bool { usage.hasFallen() }

  /// Counts a client's connections; nil for other reasons than their beginning and end.
  func count(
    _ connection: OpaquePointer, _ reason: lws_callback_reasons, _ arguments: UnsafeMutableRawPointer?
  ) -> Int32? {
    switch reason {
    case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
      guard let arguments = unsafe arguments else { return 0 }
      var key = [UInt8](repeating: 0, count: 16)
      let client = unsafe cws_client(arguments, &key) ? key : nil
      return admit(client) ? 0 : 1
    case LWS_CALLBACK_WSI_CREATE:
      usage.begin()
      unsafe clients.begin(connection)
    case LWS_CALLBACK_WSI_DESTROY:
      usage.end()
      unsafe forgetClient(connection)
      unsafe sockets.accepted.remove(connection)
    default: return nil
    }
    return 0
  }
}
