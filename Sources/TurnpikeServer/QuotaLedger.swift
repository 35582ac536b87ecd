internal import NetworkTypes
internal import Synchronization
internal import TURN

/// Counts allocations over all shards: in all, for each realm, and in it for each user and client address. Asked once
/// for each allocation made or ended, never for a packet.
final class QuotaLedger: Sendable {
  struct Limits: Sendable {
    /// 0 is no limit. The default realm's total is that of the whole server.
    var total: UInt32
    var perUser: UInt32
    var perAddress: UInt32
  }

  private struct State {
    var limits: [Limits]
    var total: UInt32 = 0
    var realms: [UInt8: UInt32] = [:]
    var users: [User: UInt32] = [:]
    var addresses: [Address: UInt32] = [:]
  }

  private struct User: Hashable {
    var realm: UInt8
    var name: [UInt8]
  }

  private struct Address: Hashable {
    var realm: UInt8
    var address: IPAddress
  }

  private let state: Mutex<State>

  /// - Parameter limits: by the realms' numbers, never empty.
  init(limits: [Limits]) { state = Mutex(State(limits: limits)) }

  func setLimits(_ limits: [Limits]) { state.withLock { $0.limits = limits } }

  var total: UInt32 { state.withLock { $0.total } }

  /// Counts one more allocation, or says why not.
  func admit(_ holder: QuotaHolder) -> Admission {
    let realm = holder.realm
    let user = User(realm: realm, name: holder.user)
    let address = Address(realm: realm, address: holder.address.accountable)
    return state.withLock { state in
      let limits = Int(realm) < state.limits.count ? state.limits[Int(realm)] : state.limits[0]
      // Who asks for nothing in particular (anonymous) is nobody: only the address counts.
      if limits.perUser > 0, !user.name.isEmpty, state.users[user, default: 0] >= limits.perUser {
        return .quotaReached
      }
      if limits.perAddress > 0, state.addresses[address, default: 0] >= limits.perAddress { return .quotaReached }
      if state.limits[0].total > 0, state.total >= state.limits[0].total { return .noCapacity }
      if realm > 0, limits.total > 0, state.realms[realm, default: 0] >= limits.total { return .noCapacity }
      state.total += 1
      state.realms[realm, default: 0] += 1
      if !user.name.isEmpty { state.users[user, default: 0] += 1 }
      state.addresses[address, default: 0] += 1
      return .granted
    }
  }

  func release(_ holder: QuotaHolder) {
    let realm = holder.realm
    state.withLock { state in
      state.total -= min(state.total, 1)
      Self.decrement(&state.realms, realm)
      if !holder.user.isEmpty { Self.decrement(&state.users, User(realm: realm, name: holder.user)) }
      Self.decrement(&state.addresses, Address(realm: realm, address: holder.address.accountable))
    }
  }

  private static func decrement<Key: Hashable>(_ counts: inout [Key: UInt32], _ key: Key) {
    guard let count = counts[key] else { return }
    counts[key] = count > 1 ? count - 1 : nil
  }
}
