internal import JSON
internal import NetworkTypes
internal import System
internal import TLS

/// The result of the TLS handshake and the certificate, for people and programs.
extension TLSConnectionSummary {
  func lines(now: UnixTime) -> [String] {
    var lines: [String] = []
    if !version.isEmpty, cipher != "(NONE)" {
      let label = applicationProtocol.map { ", ALPN \($0)" } ?? ""
      lines.append("  TLS              \(version), \(cipher)\(label)")
    }
    guard let certificate else { return lines }
    let names = certificate.dnsNames + certificate.addresses.map(\.description)
    lines.append("  certificate      \(certificate.subject.isEmpty ? "(no subject)" : certificate.subject)")
    lines.append("    names          \(names.isEmpty ? "none" : names.joined(separator: ", "))")
    lines.append("    issuer         \(certificate.issuer)")
    let days = certificate.daysLeft(now: now)
    lines.append("    valid until    \(CivilTime.readableText(certificate.notAfter)) (\(days) days)")
    lines.append("    verdict        \(complaint ?? "trusted")")
    return lines
  }

  /// The time when the certificate expires.
  var metrics: [Metric] {
    guard let certificate else { return [] }
    return [
      Metric(
        name: "certificate_expiry_timestamp_seconds", help: "When the server's certificate ends.",
        value: Double(certificate.notAfter.seconds)),
      Metric(
        name: "certificate_trusted", help: "Whether the server's certificate was trusted.",
        value: complaint == nil ? 1 : 0),
    ]
  }

  func json(now: UnixTime) -> JSONValue {
    .record([
      ("version", .string(version)), ("cipher", .string(cipher)), ("alpn", .optional(applicationProtocol)),
      ("trusted", .bool(complaint == nil)), ("complaint", .optional(complaint)),
      ("certificate", certificate.map { Self.json($0, now: now) } ?? .null),
    ])
  }

  private static func json(_ certificate: CertificateSummary, now: UnixTime) -> JSONValue {
    .record([
      ("subject", .string(certificate.subject)), ("issuer", .string(certificate.issuer)),
      ("dns_names", .strings(certificate.dnsNames)),
      ("ip_addresses", .strings(certificate.addresses.map(\.description))),
      ("not_before", .whole(certificate.notBefore.seconds)), ("not_after", .whole(certificate.notAfter.seconds)),
      ("days_left", .whole(certificate.daysLeft(now: now))),
      ("sha256", .string(certificate.fingerprint)),
    ])
  }

  /// The warning about a certificate that expires too soon.
  func warning(minimumDays: Int64?, now: UnixTime) -> String? {
    guard let minimumDays, let certificate, certificate.daysLeft(now: now) < minimumDays else { return nil }
    return "the certificate ends in \(certificate.daysLeft(now: now)) days"
  }
}
