import STUN
import Synchronization

/// A counter for any thread.
final class Counter: Sendable {
  private let count = Atomic(0)
  var value: Int { count.load(ordering: .relaxed) }
  func next() -> Int { count.add(1, ordering: .relaxed).newValue }
}

/// The methods that a server has received.
final class Methods: Sendable {
  private let seen = Mutex<[STUN.Method]>([])
  func note(_ method: STUN.Method?) { if let method { seen.withLock { $0.append(method) } } }
  func count(_ method: STUN.Method) -> Int { seen.withLock { $0.count { $0 == method } } }
}
