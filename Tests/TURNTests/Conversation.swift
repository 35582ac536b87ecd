import Crypto
import NetworkTypes
import STUN
import Tables
import Testing

@testable import TURN

/// One shard's relay with a simulated clock, ledger and kernel, so that a test reads as "the client sends, the server
/// answers, time passes". Unless a test says otherwise, the ledger grants everything and the kernel opens every port.
final class Conversation {
  var relay: Relay
  var now: Now
  let relayed: RelayedAddresses
  var openPorts: [Handle<RelayPort>: SocketAddress] = [:]
  var lateReplies: [(ClientPath, [UInt8])] = []
  /// For each of `lateReplies` the milliseconds that its request has waited; nil for an indication.
  var answerTimes: [UInt64?] = []
  var lookUps: [(ticket: Handle<PendingRequest>, user: UserReference)] = []
  var lookUpRealms: [UInt8] = []
  var events: [RelayEvent] = []
  var captured: [CapturedMessage] = []
  var unfragmented: [(port: Handle<RelayPort>, peer: SocketAddress, bytes: [UInt8])] = []
  /// The relay's commands about connections and pipes.
  var connects: [(id: Handle<PeerConnection>, from: SocketAddress, to: SocketAddress)] = []
  var boundPipes: [(id: Handle<PeerConnection>, client: ClientPath)] = []
  var closedPipes: [Handle<PeerConnection>] = []
  var moves: [(shard: Int, client: ClientPath, bytes: [UInt8])] = []
  /// The address that receives Binding requests, and the answers with the address from which they leave.
  var localAddress = SocketAddress("203.0.113.1:3478")!
  var repliesFrom: [(local: SocketAddress, target: SocketAddress, bytes: [UInt8])] = []
  var handOvers: [(shard: Int, client: ClientPath, bytes: [UInt8])] = []
  var admitted = 0
  /// The quota holders that the relay has asked the ledger to admit.
  var holders: [QuotaHolder] = []
  var quota = Int.max
  /// The number of ports that the kernel refuses before it opens one.
  var busyPorts = 0
  /// A family of which the kernel refuses every port.
  var busyFamily: IPAddress.Family?
  var nextTransaction: UInt64 = 1
  /// The relay's inputs and outputs. They are compared with the kept transcripts when the conversation ends.
  var transcript = Transcript()
  private let test = Test.current
  /// Makes another relay with the same settings and shared parts, as a successor has.
  private let makeRelay: (RelaySettings, PeerGate, Now) -> Relay

  static let realm = "example.org"
  static let key = LongTermKey.md5(
    username: Array("alice".utf8), realm: Array(realm.utf8), password: Array("secret".utf8))
  static let otherKey = LongTermKey.md5(
    username: Array("bob".utf8), realm: Array(realm.utf8), password: Array("hunter2".utf8))

  init(
    allow: [String] = [], deny: [String] = [], advertise: String? = nil, closed: [String] = ["203.0.113.1:3478"],
    ports: ClosedRange<UInt16> = 50_000...50_999, limit: UInt32 = 0, total: UInt32 = 0, hasIPv6: Bool = true,
    shard: Int = 0, shardCount: Int = 1, relayed shared: RelayedAddresses? = nil, own: Set<IPAddress>? = nil,
    users sharedUsers: UserRateLimiter? = nil, bandwidth sharedBandwidth: BandwidthPools? = nil,
    strangersMemory: StrangersMemory = StrangersMemory(limit: .zero),
    _ configure: (inout RelaySettings) -> Void = { _ in }
  ) {
    var settings = RelaySettings()
    settings.realms[0].name = Array(Self.realm.utf8)
    settings.realms[0].users = [
      Array("alice".utf8): CredentialKeys(md5: [Self.key]), Array("bob".utf8): CredentialKeys(md5: [Self.otherKey]),
    ]
    // Tests of these limits set them.
    settings.realms[0].limits.newPeersPerUser = 0
    settings.realms[0].limits.connectsPerUser = 0
    configure(&settings)
    let local = IPAddress("203.0.113.1")!
    var entries = [RelayedAddresses.Entry(local: local, advertised: advertise.flatMap { IPAddress($0) } ?? local)]
    if hasIPv6 {
      entries.append(RelayedAddresses.Entry(local: IPAddress("2001:db8::1")!, advertised: IPAddress("2001:db8::1")!))
    }
    relayed = shared ?? RelayedAddresses(entries: entries, ports: ports)
    now = Now(instant: Instant(nanoseconds: 1_000_000_000_000), wall: UnixTime(seconds: 1_800_000_000))
    let gate = PeerGate(
      rules: PeerRules(allow: allow.compactMap { CIDRBlock($0) }, deny: deny.compactMap { CIDRBlock($0) }),
      relayed: relayed, ownAddresses: own ?? [local], closed: closed.compactMap { SocketAddress($0) })
    let limiter = StrangerRateLimiter(limit: limit, total: total, seed: (1, 0x5EED_5EED_5EED))
    let users = sharedUsers ?? UserRateLimiter(seed: (3, 4))
    let bandwidth = sharedBandwidth ?? BandwidthPools(seed: (5, 6))
    makeRelay = { settings, gate, now in
      Relay(
        settings: settings, gate: gate, relayed: gate.relayed, limiter: limiter, users: users, bandwidth: bandwidth,
        strangersMemory: strangersMemory,
        identity: Relay.Identity(
          shard: shard, shardCount: shardCount, seed: Array("seed \(shard)".utf8), sharedKey: Array("shared".utf8)),
        now: now)
    }
    relay = makeRelay(settings, gate, now)
  }

  /// Whether every conversation hands over to a new relay before each input: then all kept transcripts are those of
  /// restored relays.
  static let alwaysHandsOver = HandoverTests.isForced

  /// Replaces the relay by another one that has its records, as an upgrade does.
  func handOver() throws {
    let exported = relay.export { _ in true }
    var successor = makeRelay(relay.settings, relay.rules.gate, now)
    successor.update(bans: relay.bans)
    let restored = try successor.restore(exported.bytes, .same(relay), now: now)
    #expect(restored.closed.isEmpty && successor.popCommand() == nil)
    #expect(restored.ports.count == exported.ports.count && restored.holders.count == relay.allocationCount)
    relay = successor
  }

  private func handOverIfForced() {
    // The engine takes all commands after each input, and so before a handover.
    guard Self.alwaysHandsOver, relay.commands.isEmpty, relay.pending.count == 0, relay.captureState == nil else {
      return
    }
    do { try handOver() } catch { Issue.record("the records cannot be read: \(error)") }
  }

  deinit {
    guard let test else { return }
    for line in TranscriptWords.counters(relay.counters) { transcript.add(line) }
    if let problem = KeptTranscripts.shared.problem(with: transcript, of: test) { Issue.record("\(problem)") }
  }

  /// Gives the relay a client's datagram or frame. It does not run the resulting commands.
  func receive(_ bytes: [UInt8], from path: ClientPath) -> Disposition {
    handOverIfForced()
    transcript.add("> \(TranscriptWords.client(path)) \(TranscriptWords.message(bytes))")
    let disposition = relay.receive(bytes.span.rawBytes, from: path, now: now)
    transcript.add("  \(describe(disposition))")
    return disposition
  }

  /// Reloads the settings.
  func change(_ change: (inout RelaySettings) -> Void) {
    var settings = relay.settings
    change(&settings)
    relay.update(settings: settings, gate: relay.rules.gate)
    runCommands()
  }

  /// Advertises another IPv4 address to clients, as after a change of `relay.advertise`.
  func advertise(_ text: String) {
    transcript.add("> \(text) is advertised")
    let current = relay.rules.gate.relayed
    let addresses = current.entries.map { $0.local.family == .ipv4 ? IPAddress(text)! : $0.advertised }
    let gate = PeerGate(
      rules: PeerRules(), relayed: current.advertising(addresses, now: now.instant),
      ownAddresses: [IPAddress("203.0.113.1")!],
      closed: [SocketAddress("203.0.113.1:3478")!])
    relay.update(settings: relay.settings, gate: gate)
    runCommands()
  }

  /// Gives the relay a peer's datagram.
  func receive(_ bytes: [UInt8], fromPeer peer: SocketAddress, on port: Handle<RelayPort>) -> Disposition {
    handOverIfForced()
    transcript.add("> peer \(peer) on \(name(port)) \(TranscriptWords.hex(bytes))")
    let disposition = relay.receive(bytes.span.rawBytes, fromPeer: peer, on: port, now: now)
    transcript.add("  \(describe(disposition))")
    return disposition
  }

  func wait(seconds: UInt32) {
    handOverIfForced()
    transcript.add("> \(seconds) s pass")
    now.instant = now.instant.advanced(by: .seconds(seconds))
    now.wall.seconds += Int64(seconds)
    relay.advance(to: now)
    runCommands()
  }

  /// Moves the clock without running the relay's timers, as when a packet arrives before the timer.
  func tick(seconds: UInt32) {
    transcript.add("> \(seconds) s pass unnoticed")
    now.instant = now.instant.advanced(by: .seconds(seconds))
    now.wall.seconds += Int64(seconds)
  }

  /// Like `tick(seconds:)`, for a part of a second; the wall clock does not move.
  func tick(milliseconds: Int) {
    transcript.add("> \(milliseconds) ms pass unnoticed")
    now.instant = now.instant.advanced(by: .milliseconds(milliseconds))
  }

  func runCommands() {
    while let command = relay.popCommand() {
      transcript.add("  \(describe(command))")
      switch command {
      case .reply(let path, let bytes, let since):
        lateReplies.append((path, bytes))
        answerTimes.append(since.map { now.instant.nanoseconds(since: $0) / 1_000_000 })
      case .lookUpKeys(let ticket, let realm, let user):
        lookUps.append((ticket, user))
        lookUpRealms.append(realm.rawValue)
      case .admit(let ticket, let holder):
        let admission: Admission = admitted < quota ? .granted : .quotaReached
        if admission == .granted { admitted += 1 }
        holders.append(holder)
        relay.admitted(ticket, admission, holder, now: now)
      case .release: admitted -= 1
      case .openRelayPort(let id, let address), .openRelayListener(let id, let address):
        if address.family == busyFamily {
          relay.relayPortFailed(id, now: now)
        } else if busyPorts > 0 {
          busyPorts -= 1
          relay.relayPortFailed(id, now: now)
        } else {
          openPorts[id] = address
          relay.relayPortOpened(id, now: now)
        }
      case .closeRelayPort(let id), .closeRelayListener(let id): openPorts[id] = nil
      case .locate(let client, let bytes): relay.receiveLocated(bytes, from: client, at: localAddress, now: now)
      case .replyFrom(let local, let target, let bytes): repliesFrom.append((local, target, bytes))
      case .connectPeer(let id, let from, let to): connects.append((id, from, to))
      case .bindPipe(let id, let client): boundPipes.append((id, client))
      case .closePipe(let id): closedPipes.append(id)
      case .moveConnection(let shard, let client, let bytes): moves.append((shard, client, bytes))
      case .sendUnfragmented(let port, let peer, let bytes): unfragmented.append((port, peer, bytes))
      case .forward(let shard, let client, let bytes): handOvers.append((shard, client, bytes))
      case .captured(let message): captured.append(message)
      case .event(let event): events.append(event)
      }
    }
  }
}

extension Disposition {
  var drop: DropCause? {
    if case .drop(let cause) = self { return cause }
    return nil
  }

  var peer: SocketAddress? {
    if case .toPeer(_, let peer, _, _) = self { return peer }
    return nil
  }

  var client: ClientPath? {
    if case .toClient(let path, _, _, _) = self { return path }
    return nil
  }
}

extension Relay {
  func copiedReply() -> [UInt8] { reply.copied() }
}
