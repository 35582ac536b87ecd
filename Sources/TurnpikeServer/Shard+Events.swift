internal import Log
internal import NetworkTypes
internal import TLS
internal import TURN

/// The relay's events as log lines.
extension Shard {
  /// Limit of lines about one client's failed logins in ten seconds: enough for fail2ban.
  private static let linesPerClient: UInt64 = 5
  /// Limit of lines about the allocations of one client address in ten seconds.
  private static let allocationLines: UInt64 = 1000

  mutating func record(_ event: RelayEvent) {
    let words = PrivacyText(privacy: plan.log.privacy)
    if isOfProbe(event) { return }
    switch event {
    case .allocationOpened(let summary):
      measureRoundTrip(of: summary.id)
      metrics.sessions.open(summary)
      plan.events?.post(ServerEvent(.opened(sessionRecord(summary))))
      recordOpened(summary, words)
    case .allocationClosed(let summary, let reason):
      metrics.sessions.close(summary, reason)
      plan.events?.post(ServerEvent(.closed(sessionRecord(summary), reason: reason.rawValue)))
      recordClosed(summary, reason, words)
    case .requestRefused(let code, let user):
      guard plan.log.writes(.debug) else { return }
      plan.log.debug("request-refused", ("code", .number(code)), ("user", words.user(user)))
    case .authenticationFailed(let failure):
      plan.events?.post(
        ServerEvent(
          .failedLogin(
            user: PrivacyText.text(failure.user), client: "\(failure.client)",
            reason: failure.reason.rawValue)))
      plan.log.limited(
        .info, "auth-failed", source: Self.source(failure.client), burst: Self.linesPerClient,
        ("user", words.user(failure.user)), ("client", words.needed("\(failure.client)")),
        ("reason", .text(failure.reason.rawValue)))
    case .peerRefused(let refusal):
      let peer = refusal.peer.port == 0 ? "\(refusal.peer.address)" : "\(refusal.peer)"
      plan.log.limited(
        .info, "peer-refused", source: Self.source(refusal.client), burst: Self.linesPerClient,
        ("user", words.user(refusal.user)), ("client", words.needed("\(refusal.client)")),
        ("peer", words.needed(peer)), ("rule", "\(refusal.rule)"))
    case .relayPortsExhausted(let family):
      plan.log.limited(
        .warning, "relay-ports-exhausted", source: family == .ipv4 ? "ipv4" : "ipv6",
        ("family", family == .ipv4 ? "ipv4" : "ipv6"), ("key", "relay.ports"))
    case .limitReached(let limit, let notice): warn(limit.text(realm: realmName(notice.realm)), notice)
    }
  }

  /// Whether the server's own probe has caused the event, which every readiness check would repeat.
  private func isOfProbe(_ event: RelayEvent) -> Bool {
    guard let user = plan.probeUser else { return false }
    return switch event {
    case .allocationOpened(let summary), .allocationClosed(let summary, _): user.owns(summary)
    default: false
    }
  }

  private func sessionRecord(_ summary: AllocationSummary) -> SessionRecord {
    SessionRecord(
      id: SessionID(shard: plan.index, handle: summary.id).text,
      realm: String(decoding: plan.settings.realms[Int(summary.realm.rawValue)].name, as: UTF8.self),
      allocation: summary)
  }

  private func recordOpened(_ summary: AllocationSummary, _ words: PrivacyText) {
    guard plan.log.writes(.info) else { return }
    plan.log.limited(
      .info, "allocation-opened", source: Self.source(summary.client), burst: Self.allocationLines,
      fields(summary, words))
  }

  private func recordClosed(_ summary: AllocationSummary, _ reason: EndReason, _ words: PrivacyText) {
    guard plan.log.writes(.info) else { return }
    let drops = AllocationDrops.Kind.allCases.filter { summary.drops[$0] > 0 }
    plan.log.limited(
      .info, "allocation-closed", source: Self.source(summary.client), burst: Self.allocationLines,
      fields(summary, words) + [
        ("reason", .text(reason.rawValue)), ("seconds", .number(summary.age.wholeSeconds)),
        ("to-peers-packets", .number(summary.toPeers.packets)), ("to-peers-bytes", .number(summary.toPeers.bytes)),
        ("to-client-packets", .number(summary.toClient.packets)),
        ("to-client-bytes", .number(summary.toClient.bytes)),
        ("drops", .text(drops.map { "\($0.word):\(summary.drops[$0])" }.joined(separator: ","))),
      ] + summary.quality.fields)
  }

  /// The fields that both lines of an allocation have.
  private func fields(_ summary: AllocationSummary, _ words: PrivacyText) -> [Log.Field] {
    [
      ("id", .text(SessionID(shard: plan.index, handle: summary.id).text)),
      ("realm", .text(String(decoding: plan.settings.realms[Int(summary.realm.rawValue)].name, as: UTF8.self))),
      ("user", words.user(summary.username)), ("client", words.client(summary.client)),
      ("transport", "\(summary.transport)"), ("relayed", Self.relayed(summary)),
      ("relay-transport", "\(summary.relayTransport)"),
    ]
  }

  /// Logs a handshake that a TLS or DTLS client has ended with an alert, usually because it refuses our certificate; or
  /// that we have ended, because the client has no certificate from `tls.client-ca`.
  func recordRefusal(_ error: TLSError, by client: ClientPath) {
    let transport: LogValue = client.transport == .dtls ? "dtls" : "tls"
    let words = PrivacyText(privacy: plan.log.privacy)
    if error.alert == nil, error.cause == .certificate {
      plan.log.limited(
        .info, "client-certificate-refused", source: Self.source(client.address),
        ("client", words.needed("\(client.address)")), ("transport", transport), ("reason", .text(error.reason)))
    }
    guard let alert = error.alert, error.cause != .record else { return }
    if let objection = alert.objection {
      plan.log.limited(
        .info, "tls-refused", source: Self.source(client.address), ("client", words.needed("\(client.address)")),
        ("transport", transport), ("alert", "\(alert)"), ("reason", .text(objection)))
    } else {
      plan.log.limited(
        .info, "tls-refused", source: Self.source(client.address), ("client", words.needed("\(client.address)")),
        ("transport", transport), ("alert", "\(alert)"))
    }
  }

  private static func relayed(_ summary: AllocationSummary) -> LogValue {
    guard let second = summary.secondRelayed else { return "\(summary.relayed)" }
    return "\(summary.relayed),\(second)"
  }

  /// The source for limits on log lines: the IPv4 address, or the IPv6 /64, because one host can use all its addresses.
  static func source(_ client: SocketAddress) -> String { client.address.accountable.description }

  /// The name of a realm; nil for the default realm.
  func realmName(_ realm: RealmID) -> String? {
    guard realm != .default, Int(realm.rawValue) < plan.settings.realms.count else { return nil }
    return String(decoding: plan.settings.realms[Int(realm.rawValue)].name, as: UTF8.self)
  }
}

extension AllocationDrops.Kind {
  /// The kind in a log line and in the API.
  var word: String {
    switch self {
    case .noPermission: "no-permission"
    case .noChannel: "no-channel"
    case .forbiddenPeer: "forbidden-peer"
    case .bandwidth: "bandwidth"
    case .unsendable: "unsendable"
    case .busy: "busy"
    }
  }
}
