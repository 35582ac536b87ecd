internal import NetIO
public import NetworkTypes
internal import System
internal import TLS
internal import TURNClient

extension CheckFailure {
  /// The failure for a name that could not be resolved.
  public init(_ failure: ConnectionFailure) { self.init(failure, nil) }

  /// The failure for a failed connection. `within`: the waiting time, as text.
  init(_ failure: ConnectionFailure, _ target: ServerTarget?, within: String = "") {
    let server = target.map { "\($0.address) over \($0.transport.label)" } ?? "the server"
    switch failure {
    case .unresolved(let name, let error):
      self.init(.unresolved, "\(name): \(error)", advice: Self.cause(of: name, error))
    case .refused: self.init(.refused, "\(server): connection refused")
    case .unreachable(let error): self.init(.unreachable, "\(server): \(error)", advice: error.causeOnTheWay)
    case .timeout(.connecting), .timeout(.sending): self.init(.timeout, "\(server): no connection\(within)")
    case .timeout(.handshake) where target?.transport == .dtls:
      self.init(
        .timeout, "\(server): no answer to the DTLS handshake\(within)",
        advice: "a firewall drops UDP, the host is down, or nothing speaks DTLS on this port")
    case .timeout(.handshake):
      self.init(
        .timeout, "\(server): connected, but no TLS handshake\(within)",
        advice: "the port may speak plain TCP: try \(Self.plainTCP(target))")
    case .timeout(.answer):
      self.init(.timeout, "\(server): no answer\(within)", advice: Self.silenceAdvice(target?.transport ?? .udp))
    case .closed: self.init(.closed, "\(server): the server closed the connection")
    case .notSTUN: self.init(.notSTUN, "\(server): the answer is not STUN")
    case .system(let error): self.init(.system, "\(server): \(error)", advice: error.causeHere)
    case .unsupported(let transport):
      self.init(.unsupported, "no trusted certificates were loaded for \(transport.label)")
    case .tls(let error, let summary):
      self.init(error, summary, server, target)
    }
  }

  private static func cause(of name: String, _ error: ResolutionError) -> String {
    if name.contains("%") { return "the zone is misspelled: \"ip link\" shows the interfaces" }
    if IPAddress(name) != nil { return "-4 and -6 are for names: leave them out for an address" }
    return error.likelyCause
  }

  private static func plainTCP(_ target: ServerTarget?) -> String {
    target?.uri.scheme.isTURN == false ? "stun:… with --tcp" : "turn:…?transport=tcp"
  }

  /// A series that the user interrupted before the first answer.
  static func interrupted(_ target: ServerTarget) -> CheckFailure {
    var failure = CheckFailure(
      .timeout, "Binding at \(target.address) over \(target.transport.label): interrupted before the first answer",
      advice: "the time was too short for an answer; or " + silenceAdvice(target.transport))
    failure.isInterruption = true
    return failure
  }

  static func silenceAdvice(_ transport: TransportProtocol) -> String {
    transport == .udp
      ? "a firewall drops UDP, the host is down, or this is no STUN server"
      : "this is no STUN server, or it does not respond"
  }

  private init(_ error: TLSError, _ summary: TLSConnectionSummary, _ server: String, _ target: ServerTarget?) {
    let text = "\(server): \(error.reason)"
    let complaint = error.reason
    if complaint.contains("hostname mismatch") || complaint.contains("IP address mismatch") {
      let names =
        (summary.certificate?.dnsNames ?? []) + (summary.certificate?.addresses.map(\.description) ?? [])
      self.init(
        .tlsName, "\(text): the certificate is not for \(target?.serverName ?? "this name")",
        advice: names.isEmpty
          ? "the certificate names no server"
          : "it is for \(names.prefix(8).joined(separator: ", ")): use such a name")
    } else if complaint.contains("expired") {
      let end = summary.certificate.map { CivilTime.readableText($0.notAfter) } ?? "some time ago"
      self.init(.tlsExpired, text, advice: "the certificate ended on \(end): renew it and reload the server")
    } else if complaint.contains("not yet valid") {
      let begin = summary.certificate.map { CivilTime.readableText($0.notBefore) } ?? "some day"
      let early = summary.certificate.map { $0.notBefore.duration(since: Now.read().wall) } ?? .zero
      self.init(
        .tlsNotYetValid, text,
        advice: "the certificate is valid from \(begin) on: this machine's clock is \(early.wholeSeconds) s behind, "
          + "or the certificate is for later use")
    } else if error.cause == .certificate {
      self.init(.tlsUntrusted, text)
    } else if complaint.contains("wrong version number") || complaint.contains("record layer") {
      self.init(.tlsNotSpoken, text, advice: "the port does not speak TLS; for plain TCP give \(Self.plainTCP(target))")
    } else {
      self.init(.tls, text)
    }
  }
}

extension TransportProtocol {
  /// The usual name.
  public var label: String {
    switch self {
    case .udp: "UDP"
    case .tcp: "TCP"
    case .tls: "TLS"
    case .dtls: "DTLS"
    }
  }
}
