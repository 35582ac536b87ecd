public import NetworkTypes
internal import Synchronization

/// One budget over all shards for the memory of unauthenticated clients (`limits.strangers-memory`). A charge is
/// released when the memory is freed, or when its client has authenticated.
///
/// It is charged once for each connection, association, engine, frame or waiting request, never for a packet of an
/// allocation.
public final class StrangersMemory: Sendable {
  private let limit: Int
  private let used = Atomic<Int>(0)

  /// - Parameter limit: the budget; zero: no limit.
  public init(limit: ByteCount) { self.limit = Int(limit) }

  /// The bytes charged now.
  public var byteCount: Int { used.load(ordering: .relaxed) }

  /// Charges bytes; false, without a charge, beyond the budget.
  public func charge(_ byteCount: Int) -> Bool {
    let (_, after) = used.wrappingAdd(byteCount, ordering: .relaxed)
    guard limit > 0, after > limit else { return true }
    used.wrappingSubtract(byteCount, ordering: .relaxed)
    return false
  }

  /// Releases charged bytes.
  public func release(_ byteCount: Int) { used.wrappingSubtract(byteCount, ordering: .relaxed) }
}
