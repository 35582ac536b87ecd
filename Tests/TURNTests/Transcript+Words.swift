import NetworkTypes
import STUN
import Tables

@testable import TURN

/// Messages, dispositions, commands and events as lines of a transcript. Values that depend on a key or on chance
/// (nonces, integrity, tokens) appear as their length.
enum TranscriptWords {
  static func hex(_ bytes: some Collection<UInt8>) -> String {
    let digits = bytes.prefix(24).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    return bytes.count > 24 ? "\(digits)… (\(bytes.count) bytes)" : digits
  }

  static func text(_ bytes: [UInt8]) -> String {
    bytes.count > 80 ? "(\(bytes.count) bytes)" : String(decoding: bytes, as: UTF8.self).debugDescription
  }

  private static let opaque: Set<AttributeType> = [
    .nonce, .messageIntegrity, .messageIntegritySHA256, .fingerprint, .mobilityTicket, .reservationToken, .connectionID,
    .userHash,
    .accessToken,
  ]

  static func message(_ bytes: [UInt8]) -> String {
    if bytes.count >= 4, (0x40...0x7F).contains(bytes[0]) {
      return "ChannelData 0x\(String(UInt16(bytes[0]) << 8 | UInt16(bytes[1]), radix: 16)) \(hex(bytes.dropFirst(4)))"
    }
    guard let view = try? MessageView(bytes.span.rawBytes) else { return "bytes \(hex(bytes))" }
    var attributes: [String] = []
    var offset = 20
    while offset + 4 <= bytes.count {
      let type = AttributeType(rawValue: UInt16(bytes[offset]) << 8 | UInt16(bytes[offset + 1]))
      let length = Int(bytes[offset + 2]) << 8 | Int(bytes[offset + 3])
      let end = min(offset + 4 + length, bytes.count)
      attributes.append(attribute(type, Array(bytes[offset + 4..<end]), view.transactionID))
      offset += 4 + ((length + 3) & ~3)
    }
    return "\(method(view.type.method)) \(view.type.messageClass)" + (attributes.isEmpty ? "" : ": ")
      + attributes.joined(separator: ", ")
  }

  private static func method(_ method: STUN.Method) -> String {
    switch method {
    case .binding: "Binding"
    case .allocate: "Allocate"
    case .refresh: "Refresh"
    case .send: "Send"
    case .data: "Data"
    case .createPermission: "CreatePermission"
    case .channelBind: "ChannelBind"
    case .connect: "Connect"
    case .connectionBind: "ConnectionBind"
    case .connectionAttempt: "ConnectionAttempt"
    default: "method 0x\(String(method.rawValue, radix: 16))"
    }
  }

  private static func attribute(_ type: AttributeType, _ value: [UInt8], _ id: TransactionID) -> String {
    let name = type.name ?? "0x\(String(type.rawValue, radix: 16))"
    if opaque.contains(type) { return "\(name)(\(value.count))" }
    switch type {
    case .xorMappedAddress, .xorPeerAddress, .xorRelayedAddress:
      if let address = try? xorAddress(value.span.rawBytes, transactionID: id) { return "\(name) \(address)" }
    case .errorCode:
      if value.count >= 4 { return "\(name) \(Int(value[2]) * 100 + Int(value[3])) \(text(Array(value.dropFirst(4))))" }
    case .lifetime:
      if value.count == 4 { return "\(name) \(value.reduce(0) { $0 << 8 | Int($1) })" }
    case .username, .realm, .software: return "\(name) \(text(value))"
    default: break
    }
    return "\(name) \(hex(value))"
  }

  static func client(_ path: ClientPath) -> String {
    var words = "\(path.address)/\(path.transport)"
    if path.endpoint.rawValue != 0 { words += " endpoint \(path.endpoint.rawValue)" }
    if path.realm != .default { words += " realm \(path.realm.rawValue)" }
    return words
  }

  static func user(_ user: UserReference) -> String {
    switch user {
    case .name(let name): text(name)
    case .hash: "a hash"
    }
  }

  static func event(_ event: RelayEvent) -> String {
    switch event {
    case .allocationOpened(let summary): "allocationOpened \(words(summary))"
    case .allocationClosed(let summary, let reason): "allocationClosed \(reason.rawValue) \(words(summary))"
    case .requestRefused(let code, let name): "requestRefused \(code) \(text(name))"
    case .authenticationFailed(let failure):
      "authenticationFailed \(user(failure.user)) \(failure.client) \(failure.reason.rawValue)"
    case .peerRefused(let refusal):
      "peerRefused \(text(refusal.user)) \(refusal.client) \(refusal.peer) \(refusal.rule)"
    case .relayPortsExhausted(let family): "relayPortsExhausted \(family)"
    case .limitReached(let limit, let notice):
      "limitReached \(limit) \(notice.client) realm \(notice.realm.rawValue) \(notice.count) times"
    }
  }

  private static func words(_ summary: AllocationSummary) -> String {
    let second = summary.secondRelayed.map { " and \($0)" } ?? ""
    return
      "\(text(summary.username)) \(summary.client)/\(summary.transport) at \(summary.relayed)\(second)/\(summary.relayTransport) "
      + "\(summary.age.wholeSeconds) s, to peers \(summary.toPeers.packets)/\(summary.toPeers.bytes), "
      + "to client \(summary.toClient.packets)/\(summary.toClient.bytes)" + words(summary.quality)
  }

  /// An allocation's quality in words.
  private static func words(_ quality: AllocationQuality) -> String {
    var words = ""
    for (side, media) in [("client", quality.fromClient), ("peers", quality.fromPeers)] {
      guard let media else { continue }
      words += ", \(media.basis) from \(side) \(media.packets) -\(media.lost)"
      words += " late \(media.late) twice \(media.duplicates)"
      if let jitter = media.jitter { words += " jitter \(jitter.wholeMicroseconds) us" }
    }
    return words + (quality.roundTrip.map { ", round trip \($0.wholeMicroseconds) us" } ?? "")
  }

  static func holder(_ holder: QuotaHolder) -> String {
    "\(text(holder.user)) \(holder.address) realm \(holder.realm.rawValue)"
  }

  /// The counters that are not zero.
  static func counters(_ counters: RelayCounters) -> [String] {
    var lines = DropCause.allCases.compactMap { counters.drops($0) > 0 ? "dropped \($0): \(counters.drops($0))" : nil }
    let numbers = [
      ("bindings", counters.bindings), ("requests", counters.requests), ("errors", counters.errors),
      ("challenges", counters.challenges), ("allocations made", counters.allocationsMade),
      ("to peers", counters.toPeers.packets), ("bytes to peers", counters.toPeers.bytes),
      ("to clients", counters.toClients.packets), ("bytes to clients", counters.toClients.bytes),
      ("RTP from clients", counters.fromClients.packets), ("lost from clients", counters.fromClients.lost),
      ("RTP from peers", counters.fromPeers.packets), ("lost from peers", counters.fromPeers.lost),
    ]
    lines += numbers.compactMap { $0.1 > 0 ? "\($0.0): \($0.1)" : nil }
    return lines
  }
}

extension Conversation {
  func describe(_ disposition: Disposition) -> String {
    switch disposition {
    case .drop(let cause): "drop \(cause)"
    case .reply: "reply \(TranscriptWords.message(relay.copiedReply()))"
    case .toPeer(let port, let peer, let offset, let count):
      "to peer \(peer) from \(name(port)), \(count) bytes at \(offset)"
    case .toShard(let shard, let port, let peer, let offset, let count):
      "to shard \(shard) for \(peer) from \(name(port)), \(count) bytes at \(offset)"
    case .toClient(let path, let offset, let count, let padding):
      "to client \(TranscriptWords.client(path)) \(header()), \(count) bytes at \(offset), \(padding) of padding"
    case .deferred: "waiting"
    }
  }

  /// The header in front of a peer's data.
  private func header() -> String {
    let bytes = relay.copiedReply()
    return bytes.count == 4 ? "ChannelData \(TranscriptWords.hex(bytes))" : "Data indication of \(bytes.count) bytes"
  }

  func name(_ port: Handle<RelayPort>) -> String { openPorts[port].map { "\($0)" } ?? "a port that is not open" }

  func describe(_ command: RelayCommand) -> String {
    switch command {
    case .reply(let path, let bytes, _):
      "late reply to \(TranscriptWords.client(path)): \(TranscriptWords.message(bytes))"
    case .lookUpKeys(_, let realm, let user): "look up \(TranscriptWords.user(user)) in realm \(realm.rawValue)"
    case .admit(_, let holder): "admit \(TranscriptWords.holder(holder))"
    case .release(let holder): "release \(TranscriptWords.holder(holder))"
    case .openRelayPort(_, let address): "open relay port \(address)"
    case .closeRelayPort(let id): "close relay port \(name(id))"
    case .locate(let path, let bytes): "locate \(TranscriptWords.client(path)): \(TranscriptWords.message(bytes))"
    case .replyFrom(let local, let target, let bytes):
      "reply from \(local) to \(target): \(TranscriptWords.message(bytes))"
    case .openRelayListener(_, let address): "open relay listener \(address)"
    case .closeRelayListener(let id): "close relay listener \(name(id))"
    case .connectPeer(_, let from, let to): "connect peer \(to) from \(from)"
    case .bindPipe(_, let path): "bind pipe to \(TranscriptWords.client(path))"
    case .closePipe: "close pipe"
    case .moveConnection(let shard, let path, let bytes):
      "move connection \(TranscriptWords.client(path)) to shard \(shard): \(TranscriptWords.message(bytes))"
    case .sendUnfragmented(let port, let peer, let bytes):
      "send unfragmented to \(peer) from \(name(port)): \(TranscriptWords.hex(bytes))"
    case .forward(let shard, let path, let bytes):
      "hand over \(TranscriptWords.client(path)) to shard \(shard): \(TranscriptWords.message(bytes))"
    case .captured(let message):
      "captured \(message.isFromClient ? "from" : "to") \(TranscriptWords.client(message.client)): "
        + TranscriptWords.message(message.bytes)
    case .event(let event): "event \(TranscriptWords.event(event))"
    }
  }
}
