internal import NetworkTypes
internal import Synchronization
internal import TURN

/// Counts allocations over all shards: in all, for each realm, and within a realm for each user and client address. It
/// is used once for each created or ended allocation, never for a packet.
final class QuotaLedger: Sendable {
  struct Limits: Sendable {
    /// The limit of allocations; 0 is no limit. The default realm's total is that of the whole server.
    var total: UInt32
    var perUser: UInt32
    var perAddress: UInt32
  }

  private struct State {
    var limits: [Limits]
    var total: UInt32 = 0
    var realms: [RealmID: UInt32] = [:]
    var users: [User: UInt32] = [:]
    var addresses: [Address: UInt32] = [:]
    /// The limits that `auth.hook` gave for single users.
    var ownLimits: [User: UInt32] = [:]

    mutating func add(_ user: User, _ address: Address) {
      total += 1
      realms[user.realm, default: 0] += 1
      if !user.name.isEmpty { users[user, default: 0] += 1 }
      addresses[address, default: 0] += 1
    }
  }

  /// Limit of users with limits of their own. At the limit all these are removed: until the hook answers again, the
  /// general limit holds for the users.
  static let ownLimitCount = 10_000

  private struct User: Hashable {
    var realm: RealmID
    var name: [UInt8]
  }

  private struct Address: Hashable {
    var realm: RealmID
    var address: IPAddress
  }

  private let state: Mutex<State>

  /// - Parameter limits: by realm number, never empty.
  init(limits: [Limits]) { state = Mutex(State(limits: limits)) }

  func setLimits(_ limits: [Limits]) { state.withLock { $0.limits = limits } }

  /// Sets how many allocations one user may have in place of `allocations-per-user`; nil: no limit of its own.
  func setOwnLimit(_ limit: UInt32?, of name: [UInt8], realm: RealmID) {
    let user = User(realm: realm, name: name)
    state.withLock { state in
      if limit != nil, state.ownLimits[user] == nil, state.ownLimits.count >= Self.ownLimitCount {
        state.ownLimits.removeAll()
      }
      state.ownLimits[user] = limit
    }
  }

  var total: UInt32 { state.withLock { $0.total } }

  /// The quota that refuses an allocation.
  enum Quota {
    case user
    case address
    case server
    case realm

    var isOfServer: Bool { self == .server }
    var name: String {
      switch self {
      case .user: "allocations-per-user"
      case .address: "allocations-per-address"
      case .server, .realm: "allocations"
      }
    }
  }

  /// The prefix of the keys of a realm's limits.
  ///
  /// - Parameter realm: nil: the default realm, whose limits are the server's.
  static func limitKey(realm: String?) -> String { realm.map { "realms.\($0).limits." } ?? "limits." }

  /// Counts one more allocation, or returns the reason for its refusal.
  func admit(_ holder: QuotaHolder) -> (Admission, Quota?) {
    let realm = holder.realm
    let user = User(realm: realm, name: holder.user)
    let address = Address(realm: realm, address: holder.address.accountable)
    return state.withLock { state in
      let limits =
        state.limits.indices.contains(Int(realm.rawValue)) ? state.limits[Int(realm.rawValue)] : state.limits[0]
      // Anonymous clients are not counted as a user.
      let perUser = state.ownLimits[user] ?? limits.perUser
      if perUser > 0, state.users[user, default: 0] >= perUser {
        return (.quotaReached, .user)
      }
      if limits.perAddress > 0, state.addresses[address, default: 0] >= limits.perAddress {
        return (.quotaReached, .address)
      }
      if state.limits[0].total > 0, state.total >= state.limits[0].total { return (.noCapacity, .server) }
      if realm != .default, limits.total > 0, state.realms[realm, default: 0] >= limits.total {
        return (.noCapacity, .realm)
      }
      state.add(user, address)
      return (.granted, nil)
    }
  }

  /// Counts an allocation that another process has admitted, without regard to the limits.
  func count(_ holder: QuotaHolder) {
    let user = User(realm: holder.realm, name: holder.user)
    let address = Address(realm: holder.realm, address: holder.address.accountable)
    state.withLock { $0.add(user, address) }
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
