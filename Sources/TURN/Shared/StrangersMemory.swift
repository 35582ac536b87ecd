public import NetworkTypes
internal import Synchronization

/// One budget over all shards and the admin endpoint for the memory of unauthenticated clients
/// (`limits.strangers-memory`). A charge is released when the memory is freed, or when its client has authenticated.
///
/// The charges together never exceed the budget. The admin endpoint may use a quarter of it, so that its clients cannot
/// keep new calls out; and the shards leave it an eighth, so that operators reach it while a flood fills the rest.
///
/// It is charged once for each connection, association, engine, frame or waiting request, never for a packet of an
/// allocation.
public final class StrangersMemory: Sendable {
  private let limit: Int
  /// The bytes that shards leave for the admin endpoint; 0 without one.
  private let reserve: Int
  private let used = Atomic<Int>(0)
  /// The admin endpoint's part of `used`.
  private let usedByAdmin = Atomic<Int>(0)

  /// - Parameters:
  ///   - limit: zero: no limit.
  ///   - hasAdmin: whether an admin endpoint shares the budget.
  public init(limit: ByteCount, hasAdmin: Bool = false) {
    self.limit = Int(limit)
    reserve = hasAdmin ? Int(limit) / 8 : 0
  }

  /// The bytes charged now.
  public var byteCount: Int { used.load(ordering: .relaxed) }

  /// The admin endpoint's part of them.
  public var adminByteCount: Int { usedByAdmin.load(ordering: .relaxed) }

  /// Charges bytes; false, without a charge, beyond the budget.
  public func charge(_ byteCount: Int) -> Bool { add(byteCount, upTo: limit - max(0, reserve - adminByteCount)) }

  public func release(_ byteCount: Int) { used.wrappingSubtract(byteCount, ordering: .relaxed) }

  /// Charges bytes of the admin endpoint; false, without a charge, beyond its part or the budget.
  public func chargeAdmin(_ byteCount: Int) -> Bool {
    let (_, after) = usedByAdmin.wrappingAdd(byteCount, ordering: .relaxed)
    if limit == 0 || after <= adminLimit, add(byteCount, upTo: limit) { return true }
    usedByAdmin.wrappingSubtract(byteCount, ordering: .relaxed)
    return false
  }

  public func releaseAdmin(_ byteCount: Int) {
    release(byteCount)
    usedByAdmin.wrappingSubtract(byteCount, ordering: .relaxed)
  }

  /// Whether the admin endpoint has used three quarters of its part.
  public var isAdminNearlyFull: Bool { limit > 0 && adminByteCount > adminLimit / 4 * 3 }

  /// The most bytes of the admin endpoint.
  private var adminLimit: Int { limit / 4 }

  private func add(_ byteCount: Int, upTo most: Int) -> Bool {
    let (_, after) = used.wrappingAdd(byteCount, ordering: .relaxed)
    guard limit > 0, after > most else { return true }
    used.wrappingSubtract(byteCount, ordering: .relaxed)
    return false
  }
}
