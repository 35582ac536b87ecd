internal import System

extension [Mailbox<ShardMessage>] {
  /// The number of a shard that has not read its mailbox for five seconds; nil if all work.
  ///
  /// A working shard empties its mailbox in each turn. The ping puts a message into an empty mailbox, so that a later
  /// call finds a shard that does not read it.
  func firstStuck() -> Int? {
    let stuck = firstIndex { $0.hasWaited(for: .seconds(5)) }
    for shard in self { shard.post(.ping, unlessMoreThan: 0) }
    return stuck
  }
}
