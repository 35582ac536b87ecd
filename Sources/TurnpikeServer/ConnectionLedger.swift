internal import NetworkTypes
internal import Synchronization

/// Counts connections and DTLS associations of each address over all shards, and TCP connections of unauthenticated
/// clients. It is used a few times for each connection, never for a packet.
final class ConnectionLedger: Sendable {
  private struct State {
    var counts: [IPAddress: Int] = [:]
    var strangers = 0

    mutating func release(_ address: IPAddress) {
      if let count = counts[address], count > 1 { counts[address] = count - 1 } else { counts[address] = nil }
    }
  }

  /// Limit of connections and associations of one address (IPv6: its /64). A further connection is closed at once, a
  /// further association is not started.
  static let limit = 1024
  /// Descriptors reserved for stores and files, which relays and connections must not take.
  static let reserve = 32

  /// Limit of unauthenticated TCP connections: a third of the descriptors.
  let strangerLimit: Int
  /// The first descriptor number that relays and connections must not use; the kernel always assigns the lowest free
  /// number.
  let descriptorLimit: Int32
  private let state = Mutex(State())

  /// - Parameter files: the process's limit of open files.
  init(files: UInt64) {
    let files = Int(clamping: files)
    strangerLimit = max(files / 3, 1)
    descriptorLimit = Int32(clamping: max(files - Self.reserve, files / 2))
  }

  enum Refusal {
    /// The address has reached its limit.
    case address
    /// The limit of unauthenticated connections is reached.
    case strangers
  }

  /// Counts one more unauthenticated connection, or returns the reason for its refusal.
  func admit(_ address: IPAddress, isStream: Bool) -> Refusal? {
    let address = address.accountable
    return state.withLock { state in
      guard state.counts[address, default: 0] < Self.limit else { return .address }
      guard !isStream || state.strangers < strangerLimit else { return .strangers }
      state.counts[address, default: 0] += 1
      if isStream { state.strangers += 1 }
      return nil
    }
  }

  /// Counts a connection that another process has admitted, without regard to the limits.
  func adopt(_ address: IPAddress, isStranger: Bool) {
    let address = address.accountable
    state.withLock { state in
      state.counts[address, default: 0] += 1
      if isStranger { state.strangers += 1 }
    }
  }

  /// Moves the count of an unauthenticated connection to the address that its proxy names. False if that address has
  /// reached its limit; then nothing changes.
  func rename(_ old: IPAddress, to new: IPAddress) -> Bool {
    let (old, new) = (old.accountable, new.accountable)
    return state.withLock { state in
      guard old != new else { return true }
      guard state.counts[new, default: 0] < Self.limit else { return false }
      state.counts[new, default: 0] += 1
      state.release(old)
      return true
    }
  }

  /// Counts a TCP connection as authenticated.
  func prove() { state.withLock { $0.strangers -= 1 } }

  /// Removes an ended connection or association from the counts.
  func release(_ address: IPAddress, isStranger: Bool) {
    let address = address.accountable
    state.withLock { state in
      if isStranger { state.strangers -= 1 }
      state.release(address)
    }
  }
}
