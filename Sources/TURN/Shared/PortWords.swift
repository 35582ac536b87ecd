internal import Synchronization

/// One word for each relay port of the server, as `RelayedAddresses` describes it.
@safe
final class PortWords: Sendable {
  // Initialised in init, freed in deinit, never replaced; the words are accessed by atomic operations only. Each index
  // comes from `RelayedAddresses.wordIndex` or is below `count`; copies with other advertised addresses have at most
  // as many entries, so no index of theirs is beyond it.
  nonisolated(unsafe) let words: UnsafeMutablePointer<Atomic<UInt64>>
  let count: Int
  /// Whether another process has taken over, and this one only drains.
  let hasSuccessor = Atomic<Bool>(false)

  init(count: Int) {
    self.count = count
    unsafe words = .allocate(capacity: count)
    for index in 0..<count { unsafe (words + index).initialize(to: Atomic(0)) }
  }

  deinit {
    unsafe words.deinitialize(count: count)
    unsafe words.deallocate()
  }
}
