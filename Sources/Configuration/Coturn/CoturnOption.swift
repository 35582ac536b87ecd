/// An option of coturn 4.17, or of older versions that files still contain, and its translation.
public struct CoturnOption: Sendable {
  /// How an option is translated.
  public enum Fate: Sendable, Equatable {
    /// Translated into these keys.
    case translated(keys: String)
    /// Not needed: the server behaves so without it, or another mechanism does it.
    case unneeded(because: String)
    /// Not supported: the server behaves differently without it.
    case unsupported(because: String)
  }

  /// The option's name.
  public let name: String
  /// The translation of the option.
  public let fate: Fate

  /// Every option, in the order of coturn's own list.
  public static let all = addresses + relaying + credentials + limits + protocols + certificates + operation

  static func named(_ name: String) -> CoturnOption? { byName[name] }

  /// Whether a text is an option of coturn, and is no word with which a line of this program's configuration may begin.
  static func isOnlyCoturns(_ name: String) -> Bool { byName[name] != nil && !sharedWords.contains(name) }

  private static let sharedWords: Set<String> = ["realm", "user", "db", "cert", "mobility", "cli", "verbose", "oauth"]

  private static let byName = Dictionary(all.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })

  private static func to(_ keys: String, _ names: String...) -> [CoturnOption] {
    names.map { CoturnOption(name: $0, fate: .translated(keys: keys)) }
  }

  private static func unneeded(_ because: String, _ names: String...) -> [CoturnOption] {
    names.map { CoturnOption(name: $0, fate: .unneeded(because: because)) }
  }

  private static func unsupported(_ because: String, _ names: String...) -> [CoturnOption] {
    names.map { CoturnOption(name: $0, fate: .unsupported(because: because)) }
  }

  // MARK: - The table

  private static let addresses =
    to("listeners", "listening-ip", "listening-port", "tls-listening-port", "aux-server")
    + to("listeners", "no-udp", "no-tcp", "no-tls", "dtls", "no-dtls")
    + to("nat-discovery", "alt-listening-port", "rfc5780", "no-rfc5780")
    + to("relay.addresses", "relay-ip") + to("relay.advertise", "external-ip")
    + to("relay.ports", "min-port", "max-port")
    + to("workers", "relay-threads", "cpus")
    + unsupported(
      "name the addresses instead: listening-ip, relay-ip", "listening-device", "relay-device")
    + unneeded("every port takes TLS and plain messages, told apart by their first bytes", "alt-tls-listening-port")
    + unsupported(
      "write a listener tcp://IP:PORT?proxy-protocol=v2, and the proxies in proxy-protocol.trusted", "tcp-proxy-port")
    + unneeded("all cores share each port", "udp-self-balance")
    + unneeded("the buffers are as large as the kernel allows", "sock-buf-size")

  private static let relaying =
    to("relay.tcp", "no-tcp-relay") + to("relay.mobility", "mobility")
    + to("peers.allow", "allowed-peer-ip", "allow-loopback-peers") + to("peers.deny", "denied-peer-ip")
    + unneeded(
      "loopback and multicast addresses are denied unless peers.allow has them", "no-multicast-peers",
      "no-loopback-peers")
    + unsupported("UDP relaying cannot be switched off", "no-udp-relay")
    + unsupported(
      "several allocations cannot share a port", "multiplex-peer", "multiplex-peer-port",
      "multiplex-peer-max-peers")
    + unsupported(
      "without REQUESTED-ADDRESS-FAMILY an allocation is IPv4 (RFC 8656)", "keep-address-family",
      "allocation-default-address-family")
    + unsupported("packets of a peer without a permission are always dropped", "server-relay")

  private static let credentials =
    to("realm", "realm") + to("auth.users", "user") + to("auth.anonymous", "no-auth")
    + to("auth.secrets", "static-auth-secret") + to("auth.nonce-lifetime", "stale-nonce")
    + unneeded("credentials are long-term credentials anyway", "lt-cred-mech")
    + unneeded("auth.secrets switches time-limited credentials on", "use-auth-secret")
    + unneeded("nonces carry their own state", "stateless-nonce", "stateless-nonce-secret")
    + unneeded("the store is read at each look-up", "no-auth-pings", "no-dynamic-ip-list", "no-dynamic-realms")
    + unsupported("users of a database: import coturn FILE --userdb FILE reads them", "userdb", "db")
    + unsupported(
      "users of a database: add them with turnpike user add", "psql-userdb", "sql-userdb", "mysql-userdb",
      "mongo-userdb", "redis-userdb", "secret-key-file")
    + unsupported("write the keys to auth.oauth-keys", "oauth")
    + unsupported("the realm is the server name of access tokens", "server-name")
    + unsupported("the separator is a colon", "rest-api-separator")
    + unsupported("ORIGIN is ignored", "check-origin-consistency")

  private static let limits =
    to("limits.allocations-per-user", "user-quota") + to("limits.allocations", "total-quota")
    + to("limits.bandwidth-per-allocation", "max-bps") + to("limits.bandwidth", "bps-capacity")
    + to("lifetime.maximum", "max-allocate-lifetime") + to("lifetime.channel", "channel-lifetime")
    + to("lifetime.permission", "permission-lifetime")
    + to("limits.unauthenticated-per-address", "unauthorized-ratelimit", "unauthorized-ratelimit-rps")
    + unneeded("a connection without an allocation ends after 60 seconds", "max-allocate-timeout")
    + unsupported("a drain ends when no allocation is left, or after drain-timeout", "drain-min-allocations")

  private static let protocols =
    to("software", "software-attribute") + to("rfc3489", "stun-backward-compatibility", "rfc3489-compatibility")
    + to("rfc5766-channels", "rfc5766-channel-numbers")
    + to("redirect.server", "alternate-server", "tls-alternate-server")
    + unneeded("an answer has FINGERPRINT if the request has", "fingerprint")
    + unneeded("SOFTWARE is sent only with software", "no-software-attribute")
    + unneeded("Binding gets no MAPPED-ADDRESS unless rfc3489 is on", "no-stun-backward-compatibility")
    + unneeded("answers have RESPONSE-ORIGIN only with nat-discovery", "response-origin-only-with-rfc5780")
    + unneeded("every error has a reason phrase", "include-reason-string")
    + unneeded("invalid packets are dropped and counted", "drop-invalid-packets", "drop-invalid-packets-log")
    + unneeded("Binding requests are not logged", "log-binding")
    + unneeded(
      "packets are received and sent in batches", "udp-recvmmsg", "udp-recvmmsg-log", "udp-sendmmsg-log",
      "udp-gso")
    + unsupported("TURN cannot be switched off", "stun-only") + unsupported("STUN cannot be switched off", "no-stun")
    + unsupported("Binding requests need no credentials", "secure-stun")
    + unsupported("HTTP requests are not answered", "respond-http-unsupported", "acme-redirect")
    + unsupported("these options were removed from coturn, too", "udp-alternate-server", "tcp-alternate-server")

  private static let certificates =
    to("tls.certificate", "cert") + to("tls.client-ca", "CA-file") + to("tls.private-key", "pkey")
    + to("tls.minimum-version", "no-tlsv1_2")
    + unneeded("TLS 1.0 and 1.1 are never spoken", "no-tlsv1", "no-tlsv1_1", "no-sslv2", "no-sslv3")
    + unsupported("TLS 1.0 and 1.1 are never spoken", "tlsv1", "tlsv1_1")
    + unsupported("decrypt the key: openssl pkey -in KEY -out NEW", "pkey-pwd")
    + unsupported("certificates are X.509", "raw-public-keys")
    + unneeded(
      "OpenSSL's defaults are used: ECDHE with AES-GCM or ChaCha20", "cipher-list", "dh-file", "dh566",
      "dh1066", "dh2066", "ec-curve-name")

  private static let operation =
    to("log.level", "Verbose", "log-min-level")
    + unneeded("log.level info is the default", "verbose")
    + unneeded(
      "the log goes to standard error, for journald or the container", "log-file", "no-stdout-log", "syslog",
      "syslog-facility", "simple-log", "new-log-timestamp", "new-log-timestamp-format")
    + unneeded("the service manager does that", "daemon", "pidfile", "proc-user", "proc-group")
    + unneeded("there is no telnet interface", "no-cli")
    + unsupported(
      "there is no telnet interface: use turnpike user and turnpike secret", "cli", "cli-ip", "cli-port",
      "cli-password", "cli-max-output-sessions")
    + unsupported(
      "metrics and dashboard are at admin.listen", "web-admin", "web-admin-ip", "web-admin-port",
      "web-admin-listen-on-workers", "prometheus", "prometheus-port", "prometheus-address", "prometheus-path",
      "prometheus-username-labels", "prometheus-tls", "prometheus-cert", "prometheus-key", "redis-statsdb")
}
