internal import Admin
internal import Configuration
internal import Metrics
internal import NetworkTypes
internal import STUN
internal import Synchronization
internal import System
internal import TURN

/// The metrics of the server as OpenMetrics. The values of labels come from this program, never from clients.
extension AdminView {
  func metrics(_ format: MetricsText.Format) -> [UInt8] {
    var text = MetricsText(format)
    let snapshots = boards.map { $0.read() }
    writeServer(&text)
    Self.writeAllocations(snapshots, &text)
    Self.writeTraffic(snapshots, &text)
    Self.writeQuality(snapshots, &text)
    Self.writeRequests(snapshots, &text)
    Self.writeRequestTime(snapshots, &text)
    writeLimits(snapshots, &text)
    Self.writeShards(snapshots, &text)
    writeFallbacks(snapshots, &text)
    return text.finish()
  }

  private func writeServer(_ text: inout MetricsText) {
    let facts = facts.withLock { $0 }
    text.family("turnpike_build", .info, "the running program")
    text.sample(1, ("version", version), ("engine", engine == .epoll ? "epoll" : "io_uring"))
    text.family("turnpike_start_time_seconds", .gauge, unit: "seconds", "when the server started, since 1970")
    text.sample(Int(started.wall.seconds))
    text.family("turnpike_draining", .gauge, "1 while the server refuses new allocations")
    text.sample(facts.isDraining ? 1 : 0)
    text.family(
      "turnpike_strangers_memory_bytes", .gauge, unit: "bytes", "memory held for unauthenticated clients")
    text.sample(strangersMemory.byteCount)
    text.family(
      "turnpike_admin_strangers_memory_bytes", .gauge, unit: "bytes",
      "the part of it that is held for clients of the admin endpoint who have not shown the token")
    text.sample(strangersMemory.adminByteCount)
    text.family("turnpike_store_open", .gauge, "1 while a credential store can be read")
    for (index, store) in stores.enumerated() { text.sample(store.isOpen ? 1 : 0, ("store", "\(index)")) }
    if facts.settings.relay.advertise.looksUp { writePublicAddresses(facts, &text) }
    writeServices(&text)
    writeUpgrades(facts.upgrades, &text)
    text.family(
      "turnpike_admin_request_seconds", .histogram, unit: "seconds",
      "time from the arrival of a request at the admin endpoint to its answer")
    text.histogram(requestTime.withLock { $0 })
    if let certificate = facts.certificate {
      text.family(
        "turnpike_certificate_expiry_seconds", .gauge, unit: "seconds", "when the certificate expires, since 1970")
      text.sample(Int(certificate.notAfter.seconds))
    }
  }

  /// The search for public addresses.
  private func writePublicAddresses(_ facts: Facts, _ text: inout MetricsText) {
    let rules = PeerRules()
    text.family("turnpike_public_address", .gauge, "1 if clients are told a public address, 0 if a private one")
    for (index, entry) in facts.relayed.enumerated() {
      text.sample(
        rules.permits(entry.advertised) ? 1 : 0, ("family", entry.local.family.word.lowercased()),
        ("relay", "\(index)"))
    }
    text.family("turnpike_public_address_changes", .counter, "how often clients were told another address than before")
    text.sample(facts.addressChanges)
    let counts = publicAddresses?.counts ?? PublicAddressService.Counts()
    text.family("turnpike_public_address_searches", .counter, "searches for the public address")
    text.sample(counts.found, ("outcome", "found"))
    text.sample(counts.failed, ("outcome", "failed"))
  }

  /// The webhook and `auth.hook`.
  private func writeServices(_ text: inout MetricsText) {
    if let counts = events?.counts {
      text.family("turnpike_events", .counter, "events for the webhook")
      text.sample(counts.sent, ("outcome", "sent"))
      text.sample(counts.dropped, ("outcome", "dropped"))
      text.family("turnpike_webhook_failures", .counter, "failed requests to the webhook")
      text.sample(counts.failures)
    }
    if let hook {
      let counts = hook.counts
      text.family("turnpike_hook_answers", .counter, "questions to auth.hook")
      text.sample(counts.found, ("outcome", "found"))
      text.sample(counts.unknown, ("outcome", "unknown"))
      text.sample(counts.failures, ("outcome", "failed"))
      text.sample(counts.refused, ("outcome", "not_asked"))
      text.family("turnpike_hook_resting", .gauge, "1 while auth.hook is not asked because it has failed")
      text.sample(hook.isResting ? 1 : 0)
    }
  }

  /// The upgrades since the first process of this server.
  private func writeUpgrades(_ upgrades: UpgradeCounts, _ text: inout MetricsText) {
    text.family("turnpike_upgrades", .counter, "upgrades since the first process: done, or failed without an effect")
    text.sample(upgrades.done, ("outcome", "done"))
    text.sample(upgrades.failed, ("outcome", "failed"))
    text.family("turnpike_upgrade_allocations", .counter, "live allocations at upgrades: moved or not")
    text.sample(upgrades.moved, ("outcome", "moved"))
    text.sample(upgrades.kept, ("outcome", "kept"))
  }

  private static func writeAllocations(_ snapshots: [ShardSnapshot], _ text: inout MetricsText) {
    text.family("turnpike_allocations", .gauge, "live allocations")
    for kind in SessionCounts.kinds {
      text.sample(
        snapshots.reduce(0) { $0 + ($1.sessions.live[kind] ?? 0) }, ("transport", "\(kind.transport)"),
        ("family", kind.families.rawValue), ("relay_transport", "\(kind.relayTransport)"))
    }
    text.family("turnpike_allocations_opened", .counter, "allocations since the start")
    for kind in SessionCounts.kinds {
      text.sample(
        snapshots.reduce(0) { $0 &+ ($1.sessions.opened[kind] ?? 0) }, ("transport", "\(kind.transport)"),
        ("family", kind.families.rawValue), ("relay_transport", "\(kind.relayTransport)"))
    }
    text.family("turnpike_allocations_ended", .counter, "ended allocations by reason")
    for reason in EndReason.allCases {
      text.sample(snapshots.reduce(0) { $0 &+ ($1.sessions.ended[reason] ?? 0) }, ("reason", reason.rawValue))
    }
    text.family("turnpike_allocation_lifetime_seconds", .histogram, unit: "seconds", "lifetimes of ended allocations")
    text.histogram(sum(snapshots, \.sessions.lifetimes))
    text.family(
      "turnpike_allocation_traffic_bytes", .histogram, unit: "bytes",
      "payload of ended allocations, both directions together")
    text.histogram(sum(snapshots, \.sessions.bytes))
  }

  private static func writeTraffic(_ snapshots: [ShardSnapshot], _ text: inout MetricsText) {
    let toPeers = snapshots.map(\.relay.toPeers)
    let toClients = snapshots.map(\.relay.toClients)
    text.family("turnpike_relayed_packets", .counter, "relayed payloads")
    text.sample(toPeers.reduce(0) { $0 &+ $1.packets }, ("direction", "to_peers"))
    text.sample(toClients.reduce(0) { $0 &+ $1.packets }, ("direction", "to_clients"))
    text.family("turnpike_relayed_bytes", .counter, unit: "bytes", "bytes of relayed payloads, without headers")
    text.sample(toPeers.reduce(0) { $0 &+ $1.bytes }, ("direction", "to_peers"))
    text.sample(toClients.reduce(0) { $0 &+ $1.bytes }, ("direction", "to_clients"))
    text.family("turnpike_drops", .counter, "datagrams and frames that were dropped, by cause")
    for cause in DropCause.allCases {
      text.sample(snapshots.reduce(0) { $0 &+ $1.relay.drops(cause) }, ("cause", cause.word))
    }
    text.sample(snapshots.reduce(0) { $0 &+ $1.sendDrops }, ("cause", "send_buffer"))
    text.sample(snapshots.reduce(0) { $0 &+ $1.receiveDrops }, ("cause", "receive_buffer"))
  }

  private static func writeQuality(_ snapshots: [ShardSnapshot], _ text: inout MetricsText) {
    var (clients, peers) = (PacketLoss(), PacketLoss())
    for snapshot in snapshots {
      clients.add(snapshot.relay.fromClients)
      peers.add(snapshot.relay.fromPeers)
    }
    text.family("turnpike_rtp_packets", .counter, "RTP packets of the measured streams that arrived")
    text.sample(clients.packets, ("from", "clients"))
    text.sample(peers.packets, ("from", "peers"))
    text.family("turnpike_rtp_lost_packets", .counter, "RTP packets of these streams that were lost before the relay")
    text.sample(clients.lost, ("from", "clients"))
    text.sample(peers.lost, ("from", "peers"))
    text.family(
      "turnpike_allocation_loss_ratio", .histogram, unit: "ratio",
      "share of an ended allocation's RTP packets that was lost before the relay")
    text.histogram(sum(snapshots, \.sessions.quality.fromClients.loss), ("from", "clients"))
    text.histogram(sum(snapshots, \.sessions.quality.fromPeers.loss), ("from", "peers"))
    text.family(
      "turnpike_allocation_jitter_seconds", .histogram, unit: "seconds",
      "jitter of an ended allocation's RTP at the relay")
    text.histogram(sum(snapshots, \.sessions.quality.fromClients.jitter), ("from", "clients"))
    text.histogram(sum(snapshots, \.sessions.quality.fromPeers.jitter), ("from", "peers"))
    text.family(
      "turnpike_client_round_trip_seconds", .histogram, unit: "seconds",
      "time from an ended allocation's challenge to its answer, at least the client's round trip")
    text.histogram(sum(snapshots, \.sessions.quality.roundTrips))
  }

  private static func writeRequests(_ snapshots: [ShardSnapshot], _ text: inout MetricsText) {
    text.family("turnpike_responses", .counter, "responses by method and error code; code 0 is success")
    for method in AnswerCounts.methods {
      for code in AnswerCounts.codes {
        let count = snapshots.reduce(0) { $0 &+ $1.relay.answers[method, code] }
        // Codes that a method never returns would be most of the series. The codes of Allocate are always written:
        // alerts compare them with their earlier value, which a new series does not have.
        if count == 0, code != nil, method != .allocate { continue }
        text.sample(count, ("method", method.word), ("code", code.map { "\($0.rawValue)" } ?? "0"))
      }
    }
    text.family("turnpike_failed_logins", .counter, "requests with wrong credentials")
    for reason in AuthenticationFailure.Reason.allCases {
      text.sample(snapshots.reduce(0) { $0 &+ $1.relay.failedLogins(reason) }, ("reason", reason.rawValue))
    }
  }

  private static func writeRequestTime(_ snapshots: [ShardSnapshot], _ text: inout MetricsText) {
    text.family(
      "turnpike_request_seconds", .histogram, unit: "seconds",
      "time from the arrival of a STUN request at a shard to its answer, with the wait for stores and peers")
    text.histogram(sum(snapshots, \.requestTime))
  }

  /// The uses of a slower interface because the kernel refused the faster one.
  private func writeFallbacks(_ snapshots: [ShardSnapshot], _ text: inout MetricsText) {
    let isAutomatic = facts.withLock { $0.settings.engine == .auto }
    text.family("turnpike_engine_fallbacks", .counter, "uses of a slower interface because the kernel refused this one")
    text.sample(engine == .epoll && isAutomatic ? 1 : 0, ("from", "io_uring"))
    text.sample(snapshots.reduce(0) { $0 &+ $1.refusedRuns }, ("from", "udp_segment"))
  }

  private static func writeShards(_ snapshots: [ShardSnapshot], _ text: inout MetricsText) {
    text.family("turnpike_connections", .gauge, "open connections and associations")
    text.sample(snapshots.reduce(0) { $0 + $1.connections }, ("kind", "stream"))
    text.sample(snapshots.reduce(0) { $0 + $1.associations }, ("kind", "dtls"))
    text.sample(snapshots.reduce(0) { $0 + $1.pipes }, ("kind", "peer"))
    text.family("turnpike_refused_proxies", .counter, "connections closed for their PROXY header, or its absence")
    text.sample(snapshots.reduce(0) { $0 &+ $1.refusedProxies })
    text.family("turnpike_shard_processor_seconds", .counter, unit: "seconds", "CPU time of each shard's thread")
    for (index, snapshot) in snapshots.enumerated() {
      text.sample(snapshot.processorTime.fractionalSeconds, ("shard", "\(index)"))
    }
    text.family(
      "turnpike_turn_seconds", .histogram, unit: "seconds",
      "sampled time from the arrival of packets at a shard to the end of their sending")
    text.histogram(sum(snapshots, \.turnTime))
  }

  private static func sum(_ snapshots: [ShardSnapshot], _ part: KeyPath<ShardSnapshot, Histogram>) -> Histogram {
    guard var total = snapshots.first?[keyPath: part] else { return Histogram(bounds: []) }
    for snapshot in snapshots.dropFirst() { total.add(snapshot[keyPath: part]) }
    return total
  }
}

extension DropCause {
  /// The cause as a label: `noPermission` is `no_permission`.
  var word: String {
    var word = ""
    var wasUpper = true
    for character in "\(self)" {
      if character.isUppercase, !wasUpper { word += "_" }
      wasUpper = character.isUppercase
      word += character.lowercased()
    }
    return word
  }
}

extension Method {
  fileprivate var word: String {
    switch self {
    case .binding: "binding"
    case .allocate: "allocate"
    case .refresh: "refresh"
    case .createPermission: "create_permission"
    case .channelBind: "channel_bind"
    case .connect: "connect"
    case .connectionBind: "connection_bind"
    default: "other"
    }
  }
}
