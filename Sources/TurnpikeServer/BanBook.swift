internal import NetworkTypes
internal import TURN

/// The bans of operators, with their ends and reasons. They are only in memory, so a restart forgets them.
struct BanBook: Sendable {
  struct Ban: Sendable, Equatable {
    var block: CIDRBlock
    var reason: String
    /// The time at which the operator added the ban.
    var added: UnixTime
    /// Nil: the ban has no end.
    var until: Instant?
  }

  /// Limit of bans; a further one is refused.
  static let limit = 1024

  private(set) var bans: [Ban] = []
  /// Whether every shard has been sent the present bans.
  var isPublished = true

  /// Adds a ban, or replaces the ban of the same block; false at the limit.
  mutating func add(_ ban: Ban) -> Bool {
    if let index = bans.firstIndex(where: { $0.block == ban.block }) {
      bans[index] = ban
    } else {
      guard bans.count < Self.limit else { return false }
      bans.append(ban)
    }
    isPublished = false
    return true
  }

  /// Removes a ban; false if there is none of exactly this block.
  mutating func remove(_ block: CIDRBlock) -> Bool {
    guard let index = bans.firstIndex(where: { $0.block == block }) else { return false }
    bans.remove(at: index)
    isPublished = false
    return true
  }

  /// Removes the bans that have ended.
  mutating func expire(now: Instant) {
    let count = bans.count
    bans.removeAll { ban in ban.until.map { $0 <= now } ?? false }
    if bans.count != count { isPublished = false }
  }

  var list: BanList { BanList(bans.map(\.block)) }
}
