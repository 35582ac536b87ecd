internal import Crypto
internal import NetworkTypes
internal import STUN
internal import TURN
internal import Tables

/// One relay, its clients, and a model that records the granted permissions and reports if the relay does more.
final class RelayWorld {
  private var relay: Relay
  private var now = Now(instant: Instant(nanoseconds: 1_000_000_000_000), wall: UnixTime(seconds: 1_800_000_000))
  private var nonces = [[UInt8]](repeating: [], count: clientCount)
  private var transaction: UInt64 = 0
  private var authenticator = MessageAuthenticator()
  // The state of the simulated engine.
  private var openPorts: [Handle<RelayPort>: SocketAddress] = [:]
  private var pipes: [Handle<PeerConnection>] = []
  private var admitted = 0
  private var answer: [UInt8]?
  // The model: the latest time until which each peer address of a client is permitted.
  private var permitted: [[IPAddress: Instant]] = Array(repeating: [:], count: clientCount)
  /// ChannelData needs no permission on its way to the peer while the channel is bound (RFC 8656 section 12.6).
  private var bound: [[IPAddress: Instant]] = Array(repeating: [:], count: clientCount)
  private(set) var problem: String?

  private let isMobile: Bool

  private static let clientCount = 4
  private static let portCount = 16
  private static let permissionSeconds: UInt32 = 30
  private static let channelSeconds: UInt32 = 60
  /// Shared by all executions, because it is large, and with a limit of 0 it has no effect.
  private static let limiter = StrangerRateLimiter(limit: 0, seed: (1, 2))
  private static let users = UserRateLimiter(seed: (1, 2))
  private static let bandwidth = BandwidthPools(seed: (3, 4))
  private static let realm = Array("turnpike".utf8)
  private static let key = LongTermKey.md5(username: Array("a".utf8), realm: realm, password: Array("p".utf8))

  init(isMobile: Bool) {
    self.isMobile = isMobile
    var settings = RelaySettings()
    settings.realms[0].name = Self.realm
    settings.realms[0].users = [Array("a".utf8): CredentialKeys(md5: [Self.key])]
    settings.realms[0].limits.permissionsPerAllocation = 4
    settings.realms[0].limits.channelsPerAllocation = 2
    settings.policy.allowsMobility = isMobile
    // Short lifetimes, so that one execution turns the timer wheel less often.
    settings.policy.defaultLifetime = .seconds(60)
    settings.policy.maximumLifetime = .seconds(100)
    settings.policy.permissionLifetime = .seconds(Int64(Self.permissionSeconds))
    settings.policy.channelLifetime = .seconds(Int64(Self.channelSeconds))
    let own = IPAddress("203.0.113.1") ?? .ipv4Loopback
    let relayed = RelayedAddresses(
      entries: [RelayedAddresses.Entry(local: own, advertised: own)],
      ports: 50_000...(50_000 + UInt16(Self.portCount) - 1))
    relay = Relay(
      settings: settings,
      gate: PeerGate(rules: PeerRules(), relayed: relayed, ownAddresses: [own], closed: []), relayed: relayed,
      limiter: Self.limiter, users: Self.users, bandwidth: Self.bandwidth,
      identity: Relay.Identity(shard: 0, shardCount: 1, seed: [1], sharedKey: [2]), now: now)
    relay.capture(CaptureFilter(user: Array("a".utf8), names: .beginning))
  }

  func step(_ input: inout FuzzInput) {
    let action = input.byte()
    let client = Int(action >> 6)
    switch action & 15 {
    case 0: request(.allocate, client, signs: false) { $0.append(.requestedTransport, UInt32(17) << 24) }
    case 1, 2:
      let options = input.byte()
      request(.allocate, client) {
        $0.append(.requestedTransport, UInt32(options & 1 == 0 ? 17 : 6) << 24)
        if options & 2 != 0 { $0.append(.lifetime, UInt32(options) << 2) }
        if options & 4 != 0 { $0.append(.evenPort, [options & 0x80]) }
        if options & 8 != 0 { $0.append(.mobilityTicket, []) }
      }
    case 3:
      let lifetime = UInt32(input.byte()) * 4
      request(.refresh, client) { $0.append(.lifetime, lifetime) }
    case 4: permit(client, input.byte())
    case 5:
      let peer = Self.peer(input.byte())
      let channel = 0x4000 + UInt32(input.byte() & 7)
      request(.channelBind, client, grants: [peer.address]) {
        $0.append(.channelNumber, channel << 16)
        $0.append(.xorPeerAddress, xor: peer)
      }
    case 6:
      let peer = Self.peer(input.byte())
      let data = input.take(Int(input.byte() & 15))
      send(indication(to: peer, data), client)
    case 7: send([0x40, input.byte() & 7, 0, 4, 1, 2, 3, 4], client)
    case 8: receiveFromPeer(input.byte(), input.take(Int(input.byte() & 31)))
    case 9: advance(UInt32(input.byte() & 63))
    case 10: send(input.take(Int(input.byte())), client)
    case 11: arbitrary(&input, client)
    case 12: connect(&input, client)
    case 13: peerConnection(input.byte())
    case 14: accept(input.byte(), input.byte())
    default:
      relay.connectionClosed(Self.path(client), now: now)
      run(client)
    }
  }

  /// Any method with any attributes under a right signature.
  private func arbitrary(_ input: inout FuzzInput, _ client: Int) {
    let methods: [Method] = [
      .allocate, .refresh, .createPermission, .channelBind, .connect, .connectionBind, .send, .binding,
    ]
    let method = methods[Int(input.byte() & 7)]
    var attributes: [(UInt16, [UInt8])] = []
    for _ in 0..<(input.byte() & 3) { attributes.append((input.word() & 0x803F, input.take(Int(input.byte() & 31)))) }
    // If the relay grants the request, the model counts every address of 8.8.8.0/28 as granted.
    let peers = method == .createPermission || method == .channelBind ? (0..<16).map { Self.peer($0).address } : []
    let isOpaque = attributes.contains { $0.0 == AttributeType.xorPeerAddress.rawValue }
    request(method, client, grants: isOpaque ? [] : peers, grantsAny: isOpaque) { writer in
      for (type, value) in attributes { writer.append(AttributeType(rawValue: type), value) }
    }
  }

  private func permit(_ client: Int, _ choice: UInt8) {
    let peers = [Self.peer(choice), Self.peer(choice >> 4)]
    request(.createPermission, client, grants: peers.map(\.address)) { writer in
      for peer in peers { writer.append(.xorPeerAddress, xor: peer) }
    }
  }

  private func connect(_ input: inout FuzzInput, _ client: Int) {
    let peer = Self.peer(input.byte())
    request(.connect, client) { $0.append(.xorPeerAddress, xor: peer) }
  }

  private func peerConnection(_ choice: UInt8) {
    guard let pipe = pick(pipes, choice >> 2) else { return }
    if choice & 3 == 0 {
      pipes.removeAll { $0 == pipe }
      relay.peerConnectionFailed(pipe, .refused, now: now)
    } else if choice & 3 == 1 {
      pipes.removeAll { $0 == pipe }
      relay.pipeEnded(pipe)
    } else {
      relay.peerConnected(pipe, now: now)
    }
    run(0)
  }

  private func accept(_ choice: UInt8, _ peer: UInt8) {
    guard let port = pick(ports, choice) else { return }
    if let pipe = relay.peerAccepted(Self.peer(peer), on: port, now: now) { pipes.append(pipe) }
    run(0)
  }

  private func advance(_ seconds: UInt32) {
    now.instant = now.instant.advanced(by: .seconds(seconds))
    now.wall.seconds += Int64(seconds)
    relay.advance(to: now)
    run(0)
  }

  private static func path(_ client: Int) -> ClientPath {
    let address = SocketAddress(IPAddress("192.0.2.\(client + 1)") ?? .ipv4Loopback, port: 5000)
    // Two clients use TCP, so that there are relayed TCP connections.
    return ClientPath(
      address: address, endpoint: EndpointID(rawValue: 0), transport: client < 2 ? .udp : .tcp,
      connection: client < 2 ? nil : Handle(index: UInt32(client), generation: 1))
  }

  private static func peer(_ choice: UInt8) -> SocketAddress {
    SocketAddress(IPAddress("8.8.8.\(choice & 15)") ?? .ipv4Loopback, port: 1000)
  }

  private func request(
    _ method: Method, _ client: Int, signs: Bool = true, grants: [IPAddress] = [], grantsAny: Bool = false,
    _ body: (inout MessageWriter) -> Void
  ) {
    var writer = MessageWriter(capacity: 2048)
    transaction += 1
    writer.begin(MessageType(method, .request), transactionID: TransactionID(high: UInt32(client), low: transaction))
    body(&writer)
    if signs {
      writer.append(.username, Array("a".utf8))
      writer.append(.realm, Self.realm)
      writer.append(.nonce, nonces[client])
      authenticator.sign(&writer, key: Self.key)
    }
    answer = nil
    send(writer.bytes.copied(), client)
    guard let answer, let message = try? MessageView(answer.span.rawBytes) else { return }
    if let nonce = message.value(of: .nonce)?.copied() { nonces[client] = nonce }
    guard message.type.messageClass == .success else { return }
    let all = grantsAny ? (UInt8(0)..<16).map { Self.peer($0).address } : grants
    for address in all {
      permitted[client][address] = now.instant.advanced(by: .seconds(Self.permissionSeconds))
      if method == .channelBind { bound[client][address] = now.instant.advanced(by: .seconds(Self.channelSeconds)) }
    }
  }

  private func indication(to peer: SocketAddress, _ data: [UInt8]) -> [UInt8] {
    var writer = MessageWriter(capacity: 2048)
    transaction += 1
    writer.begin(MessageType(.send, .indication), transactionID: TransactionID(high: 9, low: transaction))
    writer.append(.xorPeerAddress, xor: peer)
    writer.append(.data, data)
    return writer.bytes.copied()
  }

  private func send(_ bytes: [UInt8], _ client: Int) {
    let disposition = relay.receive(bytes.span.rawBytes, from: Self.path(client), now: now)
    check(disposition, bytes, from: client)
    run(client)
  }

  private func receiveFromPeer(_ choice: UInt8, _ bytes: [UInt8]) {
    guard let port = pick(ports, choice >> 4) else { return }
    let peer = Self.peer(choice)
    let disposition = relay.receive(bytes.span.rawBytes, fromPeer: peer, on: port, now: now)
    if case .toClient(let path, let offset, let count, _) = disposition {
      guard offset >= 0, count >= 0, offset + count <= bytes.count else { return problem = "outside the datagram" }
      let client = (0..<Self.clientCount).first { Self.path($0) == path }
      guard let client else { return problem = "data for an unknown client" }
      if !isPermitted(peer.address, client) { problem = "\(peer) reaches a client without permission" }
    }
    run(0)
  }

  private func isPermitted(_ address: IPAddress, _ client: Int) -> Bool {
    permitted[client][address].map { now.instant < $0 } ?? false
  }

  private func check(_ disposition: Disposition, _ bytes: [UInt8], from client: Int) {
    switch disposition {
    case .reply: answer = relay.reply.copied()
    case .toPeer(let port, let peer, let offset, let count):
      guard openPorts[port] != nil else { return problem = "leaves by a closed port" }
      guard offset >= 0, count >= 0, offset + count <= bytes.count else { return problem = "outside the datagram" }
      let isBound = bytes[0] & 0xC0 == 0x40 && (bound[client][peer.address].map { now.instant < $0 } ?? false)
      if !isBound, !isPermitted(peer.address, client) { problem = "\(peer) is sent to without permission" }
    default: break
    }
  }

  /// Checks the invariants after each step.
  var imbalance: String? {
    let count = relay.allocationCount
    if count != openPorts.count { return "\(count) allocations, \(openPorts.count) ports" }
    if count != admitted { return "\(count) allocations, \(admitted) of the quota" }
    // A mobile allocation outlives its connection.
    if count > (isMobile ? Self.portCount : Self.clientCount) {
      return "\(count) allocations of \(Self.clientCount) clients"
    }
    if pipes.count > count * 256 { return "\(pipes.count) connections" }
    return nil
  }

  /// Lets all allocations expire; nothing may be left.
  func end() -> String? {
    advance(300)
    if let problem { return problem }
    if relay.allocationCount > 0 || !openPorts.isEmpty || admitted != 0 || !pipes.isEmpty {
      return
        "left: \(relay.allocationCount) allocations, \(openPorts.count) ports, \(admitted) of the quota, \(pipes.count) pipes"
    }
    return relay.endpointsInUse().isEmpty ? nil : "endpoints are still in use"
  }

  private func run(_ client: Int) {
    while let command = relay.popCommand() {
      switch command {
      case .reply(_, let bytes, _): answer = bytes
      case .lookUpKeys(let ticket, _, _): relay.keysUnavailable(ticket, now: now)
      case .admit(let ticket, let holder):
        admitted += 1
        relay.admitted(ticket, .granted, holder, now: now)
      case .release: admitted -= 1
      case .openRelayPort(let id, let address), .openRelayListener(let id, let address):
        if openPorts.values.contains(address) { problem = "\(address) is opened twice" }
        openPorts[id] = address
        relay.relayPortOpened(id, now: now)
      case .closeRelayPort(let id), .closeRelayListener(let id):
        if openPorts.removeValue(forKey: id) == nil { problem = "a closed port is closed" }
      case .locate(let path, let bytes):
        relay.receiveLocated(bytes, from: path, at: SocketAddress(.ipv4Loopback, port: 3478), now: now)
      case .connectPeer(let id, _, let peer):
        if !(0..<16).contains(where: { Self.peer($0).address == peer.address }) { problem = "connects to \(peer)" }
        pipes.append(id)
      case .closePipe(let id): pipes.removeAll { $0 == id }
      case .sendUnfragmented(let port, let peer, _):
        if openPorts[port] == nil { problem = "leaves by a closed port" }
        if !isPermitted(peer.address, client) { problem = "\(peer) is sent to without permission, unfragmented" }
      case .captured(let message):
        if !message.isWhole { problem = "a captured message is not whole" }
      case .bindPipe, .moveConnection, .forward, .replyFrom, .event: break
      }
    }
  }

  /// The open ports, in an order that does not depend on the process's hash seed.
  private var ports: [Handle<RelayPort>] { openPorts.sorted { $0.value.port < $1.value.port }.map(\.key) }
}
