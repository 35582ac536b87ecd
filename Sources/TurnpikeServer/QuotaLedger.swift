internal import NetworkTypes
internal import Synchronization
internal import TURN

/// Counts allocations over all shards: in all, for each user, for each client address. Asked once for each
/// allocation made or ended, never for a packet.
final class QuotaLedger: Sendable {
  struct Limits: Sendable {
    /// 0 is no limit.
    var total: UInt32
    var perUser: UInt32
    var perAddress: UInt32
  }

  private struct State {
    var limits: Limits
    var total: UInt32 = 0
    var users: [[UInt8]: UInt32] = [:]
    var addresses: [IPAddress: UInt32] = [:]
  }

  private let state: Mutex<State>

  init(limits: Limits) { state = Mutex(State(limits: limits)) }

  func setLimits(_ limits: Limits) { state.withLock { $0.limits = limits } }

  var total: UInt32 { state.withLock { $0.total } }

  /// Counts one more allocation, or says why not.
  func admit(user: [UInt8], address: IPAddress) -> Admission {
    let address = address.accountable
    return state.withLock { state in
      let limits = state.limits
      // Who asks for nothing in particular (anonymous) is nobody: only the address counts.
      if limits.perUser > 0, !user.isEmpty, state.users[user, default: 0] >= limits.perUser { return .quotaReached }
      if limits.perAddress > 0, state.addresses[address, default: 0] >= limits.perAddress { return .quotaReached }
      if limits.total > 0, state.total >= limits.total { return .noCapacity }
      state.total += 1
      if !user.isEmpty { state.users[user, default: 0] += 1 }
      state.addresses[address, default: 0] += 1
      return .granted
    }
  }

  func release(user: [UInt8], address: IPAddress) {
    let address = address.accountable
    state.withLock { state in
      state.total -= min(state.total, 1)
      if !user.isEmpty { Self.decrement(&state.users, user) }
      Self.decrement(&state.addresses, address)
    }
  }

  private static func decrement<Key: Hashable>(_ counts: inout [Key: UInt32], _ key: Key) {
    guard let count = counts[key] else { return }
    counts[key] = count > 1 ? count - 1 : nil
  }
}
