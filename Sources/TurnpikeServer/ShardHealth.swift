internal import System

extension [Mailbox<ShardMessage>] {
  /// The number of a shard that has not read its mailbox for five seconds; nil if all work.
  ///
  /// A shard that works empties its mailbox in each turn. A ping gives an idle one something to take, so a shard that
  /// stands still is found by a later call.
  func firstStuck() -> Int? {
    let stuck = firstIndex { $0.hasWaited(for: .seconds(5)) }
    for shard in self { shard.post(.ping, unlessMoreThan: 0) }
    return stuck
  }
}
