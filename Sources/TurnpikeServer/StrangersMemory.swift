internal import NetworkTypes
internal import Synchronization

/// One budget over all shards for the memory of unauthenticated clients (`limits.strangers-memory`). A charge is
/// released when the memory is freed, or when its client has authenticated.
///
/// Used once for each connection, association, engine or frame, never for a packet of an allocation.
final class StrangersMemory: Sendable {
  private let limit: Int
  private let used = Atomic<Int>(0)

  /// - Parameter limit: zero: no limit.
  init(limit: ByteCount) { self.limit = Int(limit) }

  /// The bytes charged now.
  var byteCount: Int { used.load(ordering: .relaxed) }

  /// Charges bytes; false, without a charge, beyond the budget.
  func charge(_ byteCount: Int) -> Bool {
    let (_, after) = used.wrappingAdd(byteCount, ordering: .relaxed)
    guard limit > 0, after > limit else { return true }
    used.wrappingSubtract(byteCount, ordering: .relaxed)
    return false
  }

  func release(_ byteCount: Int) { used.wrappingSubtract(byteCount, ordering: .relaxed) }
}
