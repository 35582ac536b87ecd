internal import Admin
internal import JSON
internal import Log
internal import NetworkTypes
internal import Synchronization
internal import System
internal import TURN

/// Bans of client addresses; on the worker's thread.
extension AdminView {
  func bans() throws(AdminFailure) -> JSONValue {
    publishBans()
    let now = Instant.read()
    let rows = banBook.withLock { $0.bans }.map { ban in
      var members: [JSONValue.Member] = [
        .init("address", .string("\(ban.block)")), .init("added", .string(CivilTime.text(ban.added))),
        .init("reason", .string(ban.reason)),
      ]
      if let until = ban.until {
        members.append(.init("expires-in", Self.number(until.nanoseconds(since: now) / 1_000_000_000)))
      }
      return JSONValue.object(members)
    }
    return ["bans": .array(rows)]
  }

  func addBan(_ ban: BanToAdd) throws(AdminFailure) -> JSONValue {
    let block = try Self.block(ban.address)
    guard block.prefixLength > 0 else { throw .invalid("a prefix of length 0 bans everyone: drain the server instead") }
    guard ban.reason.utf8.count <= 200, !ban.reason.unicodeScalars.contains(where: { $0.value < 0x20 }) else {
      throw .invalid("reason is longer than 200 bytes or has control characters")
    }
    publishBans()
    let now = Now.read()
    let entry = BanBook.Ban(
      block: block, reason: ban.reason, added: now.wall,
      until: ban.duration.map { now.instant.advanced(by: $0) })
    guard banBook.withLock({ $0.add(entry) }) else {
      throw .conflict("the limit of \(BanBook.limit) bans is reached: remove one, or ban a prefix")
    }
    publishBans()
    record("ban-added", ("address", words.needed("\(block)")))
    var closed = 0
    if ban.closes {
      // The shards get the bans again and close connections whose allocations have ended, also after `end` has thrown.
      defer {
        banBook.withLock { $0.isPublished = false }
        publishBans()
      }
      closed = try end(.clients(block))
      record("sessions-closed", ("address", words.needed("\(block)")), ("closed", .number(closed)))
    }
    return ["address": .string("\(block)"), "closed": .integer(Int64(closed))]
  }

  func removeBan(_ address: String) throws(AdminFailure) {
    let block = try Self.block(address)
    guard banBook.withLock({ $0.remove(block) }) else {
      throw .notFound("there is no ban of \(block); GET /api/v1/bans and turnpike ban list show all bans")
    }
    publishBans()
    record("ban-removed", ("address", words.needed("\(block)")))
  }

  /// Removes the bans that have ended, and sends changed ones to the shards. A shard with a full mailbox gets them with
  /// the next call, at the latest with the next sample.
  func publishBans() {
    let list = banBook.withLock { book in
      book.expire(now: .read())
      defer { book.isPublished = true }
      return book.isPublished ? nil : book.list
    }
    guard let list else { return }
    for shard in shards where !shard.post(.bans(list)) { banBook.withLock { $0.isPublished = false } }
  }

  private static func block(_ text: String) throws(AdminFailure) -> CIDRBlock {
    guard let block = CIDRBlock(text) else {
      throw .invalid(
        "\(text.debugDescription) is neither an IP address nor a prefix with zero host bits, such as 192.0.2.0/24")
    }
    // No client's address is an IPv4-mapped one (::ffff:0:0/96). Clients behind NAT64 do come from 64:ff9b::/96.
    let isMapped = block.base.high == 0 && block.base.low >> 32 == 0xFFFF
    guard block.prefixLength >= 96, isMapped, let inner = block.base.embeddedIPv4 else { return block }
    return CIDRBlock(inner, prefixLength: block.prefixLength - 96)
  }
}
