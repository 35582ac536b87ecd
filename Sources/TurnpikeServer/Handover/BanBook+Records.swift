internal import NetworkTypes
internal import TURN
internal import Tables

extension BanBook {
  /// The kind of a ban among the server's records; kind 1 is a port.
  static let recordKind: UInt8 = 2

  /// Adds the bans of another process's records.
  mutating func restore(_ bytes: [UInt8]) throws(RecordError) {
    var coder = RecordCoder(reading: bytes)
    while let kind = try coder.next() {
      if kind == Self.recordKind {
        var ban = Ban(block: CIDRBlock(.ipv4Any, prefixLength: 32), reason: "", added: .epoch, until: nil)
        try ban.code(with: &coder)
        _ = add(ban)
      }
      coder.end()
    }
  }
}

extension BanBook.Ban {
  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    var (base, length) = (block.base, UInt8(truncatingIfNeeded: block.prefixLength))
    var text = Array(reason.utf8)
    var end = until?.nanoseconds
    try coder.code(&base)
    try coder.code(&length)
    try coder.code(&text)
    try coder.code(&added)
    try coder.code(&end)
    guard Int(length) <= base.family.bitCount else { throw coder.failure("a prefix is too long") }
    block = CIDRBlock(base, prefixLength: Int(length))
    reason = String(decoding: text, as: UTF8.self)
    until = end.map { Instant(nanoseconds: $0) }
  }
}
