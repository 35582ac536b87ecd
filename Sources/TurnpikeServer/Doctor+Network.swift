internal import Configuration
internal import NetIO
internal import NetworkTypes
internal import STUN
internal import System
internal import TURN

/// Addresses, ports and the firewall.
extension Doctor {
  /// A relay address, and the address that is advertised for it.
  struct RelayFacts {
    var local: IPAddress
    var advertised: IPAddress
    /// The search's finding, if there was a search.
    var finding: PublicAddressSearch.Finding?
  }

  /// The relay addresses. Searches for public addresses as the server does, if the configuration requires a search.
  static func relays(of settings: Settings) -> [RelayFacts] {
    let locals = RelayAddresses.detect(
      configured: settings.relay.addresses, hostAddresses: Interfaces.addresses(), hasIPv6: Interfaces.hasIPv6)
    guard settings.relay.advertise.looksUp else {
      return locals.map { RelayFacts(local: $0, advertised: settings.relay.advertise.address(for: $0) ?? $0) }
    }
    return PublicAddressSearch.run(.init(settings.relay, locals: locals)).map {
      RelayFacts(local: $0.local, advertised: $0.found ?? $0.local, finding: $0)
    }
  }

  var addresses: [Finding] { relays.map(Self.finding) + Self.sharedFindings(relays) }

  /// Public addresses that were found for several relays; configured ones are among the configuration's problems.
  static func sharedFindings(_ relays: [RelayFacts]) -> [Finding] {
    let found = relays.filter { $0.finding != nil }
    return RelayAddresses.shared(found.map { .init(local: $0.local, advertised: $0.advertised) }).map { shared in
      Finding(
        "relay-address", .warning,
        "\(shared.advertised) is told to clients for \(shared.locals.map(\.description).joined(separator: " and ")): "
          + RelayAddresses.sharedEffect, remedy: RelayAddresses.sharedRemedy)
    }
  }

  static func finding(_ relay: RelayFacts) -> Finding {
    let rules = PeerRules()
    if let found = relay.finding, found.found == nil {
      return Finding(
        "relay-address", .warning,
        "\(relay.local): no public address is found (\(found.reasons.joined(separator: "; ")))",
        remedy: "set relay.advertise to it, or name a STUN server: relay.detect: [ \"stun:stun.example.org\" ]")
    }
    let told =
      relay.local == relay.advertised ? "\(relay.local)" : "\(relay.local), told to clients as \(relay.advertised)"
    let text = told + (relay.finding.map { ", found by \($0.source)" } ?? "")
    if let note = relay.finding?.note, !note.isEmpty {
      return Finding("relay-address", .warning, text, remedy: note)
    }
    if rules.permits(relay.advertised) { return Finding("relay-address", .good, text) }
    if relay.advertised.isLoopback {
      return Finding(
        "relay-address", .warning, text + ": only this host can use the relay",
        remedy: "set relay.addresses to an address of an interface")
    }
    return Finding(
      "relay-address", .warning, text + ": private, so only clients in this network can use the relay",
      remedy: "for the Internet set relay.advertise: auto, or { \(relay.local): YOUR-PUBLIC-IP }")
  }

  // MARK: - Ports

  private var listeners: [Settings.Listener] {
    let hasIPv6 = Interfaces.hasIPv6
    return settings.listeners ?? settings.effectiveListeners.filter { hasIPv6 || $0.address.family == .ipv4 }
  }

  var ports: [Finding] {
    var used: [Settings.Listener] = []
    var findings: [Finding] = []
    var free = 0
    for listener in listeners {
      do throws(Errno) {
        try PortProbe.check(listener.address, isStream: listener.transport.isStream)
        free += 1
      } catch {
        if error == .addressInUse {
          used.append(listener)
        } else {
          findings.append(
            Finding(
              "port", .failed, Server.text(of: listener) + ": \(error)", remedy: Server.remedy(forListening: error)))
        }
      }
    }
    if !used.isEmpty {
      let names = used.map(Server.text(of:)).joined(separator: ", ")
      // A STUN server there is this one, which already runs, or another one that must be stopped in any case.
      let answers = used.contains { $0.transport == .udp && Self.answersBinding($0.address) }
      findings.append(
        answers
          ? Finding("port", .good, "\(names): a STUN server listens there; a second one cannot start")
          : Finding(
            "port", .failed, "\(names): another process has it",
            remedy: "find it with ss -lntup and stop it, or choose other ports in listeners"))
    }
    if free > 0 { findings.append(Finding("port", .good, "\(free) of \(listeners.count) listeners can be opened")) }
    return findings
  }

  /// Whether a Binding request to this address is answered within half a second.
  private static func answersBinding(_ address: SocketAddress) -> Bool {
    var target = address
    if target.address == .ipv4Any { target.address = .ipv4Loopback }
    if target.address == .ipv6Any { target.address = .ipv6Loopback }
    guard let socket = try? ClientSocket.udp(to: target) else { return false }
    var writer = MessageWriter()
    writer.begin(MessageType(.binding, .request), transactionID: TransactionID(high: 0x7475726E, low: 0x70696B65))
    let request = writer.bytes.copied()
    guard (try? socket.send(request.span.rawBytes)) != nil else { return false }
    return Readiness.wait(for: socket.rawValue, until: Instant.read().advanced(by: .milliseconds(500)))
  }

  private static let sampleCount = 32

  /// A sample of the relay ports: other programs may have some, and the server skips them.
  var relayPorts: [Finding] {
    let range = settings.relay.ports
    let step = max(range.count / Self.sampleCount, 1)
    let sample = stride(from: Int(range.lowerBound), through: Int(range.upperBound), by: step).map { UInt16($0) }
    return relays.map { relay in
      let used = sample.count { port in
        do throws(Errno) {
          try PortProbe.checkOnce(SocketAddress(relay.local, port: port), isStream: false)
          return false
        } catch {
          return true
        }
      }
      let text = "\(used) of a sample of \(sample.count) UDP ports of \(relay.local) are in use"
      if used * 4 <= sample.count { return Finding("relay-ports", .good, text) }
      return Finding(
        "relay-ports", used == sample.count ? .failed : .warning, text,
        remedy: "stop what uses them (ss -lnup), or choose other relay.ports")
    }
  }

  // MARK: - The firewall

  /// The ports that a firewall must let in; the program cannot query the firewall itself.
  var firewall: [Finding] {
    var ports: [String] = []
    for listener in listeners where !listener.address.address.isLoopback {
      let port = "\(listener.address.port)/\(listener.transport.isStream ? "tcp" : "udp")"
      if !ports.contains(port) { ports.append(port) }
    }
    let range = settings.relay.ports
    ports.append("\(range.lowerBound)-\(range.upperBound)/udp")
    if settings.turn.relaysTCP { ports.append("\(range.lowerBound)-\(range.upperBound)/tcp") }
    return [Finding("firewall", .good, "it must let in " + ports.joined(separator: ", "))]
  }
}
