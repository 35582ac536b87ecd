/// The open connections of each client, as libwebsockets reports their beginning and end.
@safe
struct ClientCounts {
  private var counts: [[UInt8]: Int] = [:]
  private var clients: [OpaquePointer: [UInt8]]
  /// The client that was admitted last; its connection begins next, unless there is not enough memory for it.
  private var next: [UInt8]?

  init() { unsafe clients = [:] }

  /// Whether a client may have another connection.
  ///
  /// - Parameter client: nil on a Unix socket, which has no limit.
  mutating func admit(_ client: [UInt8]?, below limit: Int) -> Bool {
    next = nil
    guard let client else { return true }
    guard counts[client, default: 0] < limit else { return false }
    next = client
    return true
  }

  /// The admitted client's connection begins.
  mutating func begin(_ connection: OpaquePointer) {
    guard let client = next else { return }
    next = nil
    unsafe clients[connection] = client
    counts[client, default: 0] += 1
  }

  mutating func end(_ connection: OpaquePointer) {
    guard let client = unsafe clients.removeValue(forKey: connection), let count = counts[client] else { return }
    counts[client] = count > 1 ? count - 1 : nil
  }
}
