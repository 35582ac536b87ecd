internal import COpenSSL

/// The versions of TLS that a setting may require; older versions are never used.
public enum TLSVersion: String, Hashable, Comparable, Sendable, CaseIterable {
  case tls12 = "1.2"
  case tls13 = "1.3"

  var number: CInt { self == .tls12 ? TLS1_2_VERSION : TLS1_3_VERSION }

  public static func < (a: TLSVersion, b: TLSVersion) -> Bool { a.number < b.number }
}
