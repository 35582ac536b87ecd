internal import Crypto
internal import NetworkTypes

/// Every key of the configuration, in the order of the documentation.
extension Schema where Root == Settings {
  static var settings: Schema {
    Schema(
      fields: general + tls + relay + auth + others
        + Schema<Settings.Limits>.limits.fields.map { $0.within(\.limits, prefix: "limits.") } + services)
  }

  private static var general: [Field<Settings>] {
    [
      Field("realm", \.realm, .realm, "the default realm; stored keys depend on it"),
      Field(
        "software", \.software, .text("text", bytes: 0...127, example: "Turnpike"),
        "SOFTWARE attribute of every response; empty: not sent"),
      Field("rfc3489", \.rfc3489, .boolean, "classic Binding requests get MAPPED-ADDRESS"),
      Field(
        "workers", \.workers, .integer(0...256, example: 2, zero: "one for each usable core"), "shards (threads)"),
      Field("engine", \.engine, .choice, "how sockets are driven"),
      Field("drain-timeout", \.drainTimeout, .duration(from: 0), "how long a drain may take; 0s stops at once"),
      Field(
        "state-directory", \.stateDirectory, .path(example: "/var/lib/turnpike"),
        "empty: /var/lib/turnpike if it can be written, else $XDG_STATE_HOME/turnpike"),
      Field(
        "listeners", \.listeners,
        Format.list(.listener, isEmptyAllowed: false).distinct { ListenerSocket($0) }.optional(
          Settings.availableDefaultListeners),
        "SCHEME://IP:PORT with udp, tcp, tls or dtls; options ?realm=NAME, ?proxy-protocol=v2, ?auto=false"),
    ]
  }

  private static var tls: [Field<Settings>] {
    [
      Field(
        "tls.certificate", \.tls.certificate, .path(example: "/etc/turnpike/fullchain.pem"),
        "path of a PEM chain; empty: a self-signed pair in the state directory"),
      Field(
        "tls.private-key", \.tls.privateKey, .path(example: "/etc/turnpike/privkey.pem"),
        "path of the PEM key of the certificate"),
      Field("tls.minimum-version", \.tls.minimumVersion, .choice, "the oldest TLS version that is spoken"),
      Field(
        "tls.client-ca", \.tls.clientCA, .path(example: "/etc/turnpike/clients.pem"),
        "non-empty: clients must present a certificate from these authorities"),
    ]
  }

  private static var relay: [Field<Settings>] {
    [
      Field(
        "relay.addresses", \.relay.addresses, Format.list(.address).distinct { $0 },
        "local addresses that relays bind; empty: detected"),
      Field(
        "relay.advertise", \.relay.advertise, .map(.address, .address),
        "what clients are told instead of a local address, behind a 1:1 NAT"),
      Field("relay.ports", \.relay.ports, .ports, "ports of relays, shared by all shards"),
      Field("relay.tcp", \.relay.tcp, .boolean, "TCP allocations (RFC 6062)"),
      Field("relay.mobility", \.relay.mobility, .boolean, "mobility tickets (RFC 8016)"),
    ]
  }

  private static var auth: [Field<Settings>] {
    [
      Field("auth.anonymous", \.auth.anonymous, .boolean, "no credentials are asked for"),
      Field("auth.users", \.auth.users, .users, "static users of the default realm, name to password"),
      Field(
        "auth.secrets", \.auth.secrets, .list(.secret("a secret")),
        "shared secrets of time-limited credentials; several: rotation"),
      Field("auth.store", \.auth.store, .store, "where users and secrets are kept; empty: nowhere"),
      Field("auth.nonce-lifetime", \.auth.nonceLifetime, .duration(), "how long a nonce is good for"),
      Field(
        "auth.password-algorithms", \.auth.passwordAlgorithms,
        Format.list(.choice, isEmptyAllowed: false).distinct { $0 }, "offered to clients (RFC 8489 section 14.11)"),
      Field(
        "auth.oauth-keys", \.auth.oauthKeys,
        Format.list(
          .record(.oauthKey, initial: .empty, example: "{ id: k1, key: BASE64, algorithm: A256GCM }")
            .checked { $0.wrong }
        ).distinct(by: \.id).readingInlineYAML,
        "keys of access tokens (RFC 7635)"),
    ]
  }

  private static var others: [Field<Settings>] {
    [
      Field(
        "realms", \.realms,
        Format.map(
          .realm, .record(.realm, initial: Settings.Realm(), example: "{ users: { alice: file:/run/secrets/alice } }")
        ).readingInlineYAML,
        "more realms: NAME: { users, secrets, store, limits, server-names }"),
      Field("redirect.server", \.redirect.server, .alternateServer, "ALTERNATE-SERVER of authenticated Allocates"),
      Field(
        "redirect.domain", \.redirect.domain, .text("a domain", bytes: 0...255, example: "turn.example.org"),
        "ALTERNATE-DOMAIN of authenticated Allocates"),
      Field("peers.allow", \.peers.allow, .list(.block), "address ranges that may be relayed to"),
      Field("peers.deny", \.peers.deny, .list(.block), "address ranges that may not be relayed to"),
      Field("lifetime.default", \.lifetime.default, .duration(), "of an allocation whose client asks for none"),
      Field("lifetime.maximum", \.lifetime.maximum, .duration(), "of an allocation"),
      Field("lifetime.permission", \.lifetime.permission, .duration(), "of a permission"),
      Field("lifetime.channel", \.lifetime.channel, .duration(), "of a channel binding"),
    ]
  }

  private static var services: [Field<Settings>] {
    [
      Field("nat-discovery.primary", \.natDiscovery.primary, .socketAddress, "first address of RFC 5780"),
      Field(
        "nat-discovery.alternate", \.natDiscovery.alternate, .socketAddress,
        "second address of RFC 5780: both IP and port differ from the first"),
      Field("admin.listen", \.admin.listen, .socketAddress, "health, metrics, API and dashboard over HTTP"),
      Field(
        "admin.token", \.admin.token, .secret("a token", mayBeEmpty: true),
        "bearer token of API and dashboard; needed off loopback"),
      Field("admin.demo", \.admin.demo, .boolean, "the browser check and call demo at /demo"),
      Field("log.level", \.log.level, .choice, "the least important events that are logged"),
      Field("log.format", \.log.format, .choice, "one event a line, as text or as JSON"),
    ]
  }
}

extension Schema where Root == Settings.Limits {
  static var limits: Schema {
    func count(_ example: UInt32) -> Format<UInt32> { .integer(0...UInt32.max, example: example, zero: "no limit") }
    return Schema(fields: [
      Field("allocations", \.allocations, count(10000), "of the whole server; 508 beyond it"),
      Field("allocations-per-user", \.allocationsPerUser, count(10), "486 beyond it"),
      Field("allocations-per-address", \.allocationsPerAddress, count(10), "486 beyond it"),
      Field("permissions-per-allocation", \.permissionsPerAllocation, count(1024), "508 beyond it"),
      Field("channels-per-allocation", \.channelsPerAllocation, count(1024), "508 beyond it"),
      Field(
        "bandwidth-per-allocation", \.bandwidthPerAllocation, .rate, "bytes a second in each direction, media only"),
      Field("bandwidth-per-user", \.bandwidthPerUser, .rate, "bytes a second in each direction"),
      Field("bandwidth", \.bandwidth, .rate, "bytes a second in each direction, of the whole server"),
      Field(
        "unauthenticated-per-address", \.unauthenticatedPerAddress, count(100),
        "answers a second to one source address for what has no valid integrity"),
    ])
  }
}

extension Schema where Root == Settings.Realm {
  static var realm: Schema {
    Schema(
      fields: [
        Field("users", \.users, .users, "static users, name to password"),
        Field("secrets", \.secrets, .list(.secret("a secret")), "shared secrets of time-limited credentials"),
        Field("store", \.store, .store, "where users and secrets are kept; empty: nowhere"),
        Field(
          "server-names", \.serverNames, .list(.text("a server name", bytes: 1...255, example: "turn.example.org")),
          "server names (SNI) that mean this realm"),
      ] + Schema<Settings.Limits>.limits.fields.map { $0.within(\.limits, prefix: "limits.") })
  }
}

extension Schema where Root == Settings.OAuthKey {
  static var oauthKey: Schema {
    Schema(fields: [
      Field("id", \.id, .text("an id", bytes: 1...255, example: "k1"), "the key id (kid) that clients name"),
      Field("key", \.key, .keyBytes, "Base64: 32 bytes for A256GCM, 16 for A128GCM"),
      Field("algorithm", \.algorithm, .choice, "how tokens are sealed"),
      Field("not-after", \.notAfter, .timestamp, "when the key ends"),
    ])
  }
}

extension Settings {
  /// The listeners of a configuration that names none: the four schemes on IPv4 and on IPv6.
  public static let defaultListeners: [Listener] = [IPAddress.ipv4Any, .ipv6Any].flatMap { address in
    ListenerURI.schemes.map { _, transport in
      Listener(transport: transport, address: SocketAddress(address, port: transport.defaultPort))
    }
  }

  /// The default listeners that this version can open.
  public static var availableDefaultListeners: [Listener] {
    defaultListeners.filter { listener in
      var settings = Settings()
      settings.listeners = [listener]
      return settings.unsupportedFeatures.isEmpty
    }
  }
}

/// What two listeners can't share: a UDP or TCP port of one address.
private struct ListenerSocket: Hashable {
  var address: SocketAddress
  var isStream: Bool

  init(_ listener: Settings.Listener) {
    address = listener.address
    isStream = listener.transport.isStream
  }
}
