internal import Crypto
internal import NetworkTypes
internal import STUN
internal import TLS
internal import TURN

/// Every key of the configuration, in the order of the documentation.
extension Schema where Root == Settings {
  static var settings: Schema {
    Schema(
      fields: general + tls + relay + auth + others
        + (Schema<Settings.LimitsSection>.limits.fields + Schema<Settings.LimitsSection>.serverLimits).map {
          $0.within(\.limits, prefix: "limits.")
        } + services)
  }

  private static var general: [Field<Settings>] {
    [
      Field(
        "realm", \.realm, .realm, "default realm; the keys in the store depend on it", takesEffect: .atRestart),
      Field(
        "software", \.turn.software, .text("text", bytes: 0...127, example: "Turnpike"),
        "SOFTWARE attribute of responses to requests with valid credentials; empty: none is sent"),
      Field("rfc3489", \.turn.answersClassicSTUN, .boolean, "answers Binding requests of RFC 3489 with MAPPED-ADDRESS"),
      Field(
        "rfc5766-channels", \.turn.allowsOldChannels, .boolean,
        "clients may bind the channels 0x5000-0x7FFF of RFC 5766; false: 400"),
      Field(
        "public-name", \.publicName, .hostName, "host name in printed URLs; empty: the certificate's first DNS name"),
      Field(
        "workers", \.workers, .integer(0...256, example: 2, zero: "one for each usable core"),
        "number of shards (threads)", takesEffect: .atRestart),
      Field(
        "engine", \.engine, .choice,
        "kernel interface for sockets; auto: io_uring where the kernel allows it, else epoll", takesEffect: .atRestart),
      Field(
        "drain-timeout", \.drainTimeout, .duration(from: 0),
        "longest time that SIGTERM waits for live allocations; 0s: stop at once"),
      Field(
        "state-directory", \.stateDirectory, .path(example: "/var/lib/turnpike"),
        "empty: /var/lib/turnpike if it can be written, else $XDG_STATE_HOME/turnpike", takesEffect: .atRestart),
      Field(
        "listeners", \.listeners,
        Format.list(.listener, isEmptyAllowed: false).distinct { ListenerSocket($0) }.optional(
          Settings.availableDefaultListeners),
        "SCHEME://IP:PORT with udp, tcp, tls or dtls; options ?realm=NAME, ?proxy-protocol=v2, ?auto=false",
        takesEffect: .atRestart),
      Field(
        "proxy-protocol.trusted", \.proxyProtocol.trusted, .list(.block),
        "addresses of the proxies in front of listeners with ?proxy-protocol=v2; other connections to them are closed"),
    ]
  }

  private static var tls: [Field<Settings>] {
    [
      Field(
        "tls.certificate", \.tls.certificate, .path(example: "/etc/turnpike/fullchain.pem"),
        "path of a PEM chain; empty: a self-signed pair in the state directory"),
      Field(
        "tls.private-key", \.tls.privateKey, .path(example: "/etc/turnpike/privkey.pem"),
        "path of the certificate's private key in PEM, not encrypted"),
      Field(
        "tls.minimum-version", \.tls.minimumVersion, .choice,
        "oldest TLS version that is accepted; 1.3 also switches DTLS off, which has 1.2 only",
        takesEffect: .partly("at once; with the default listeners at a restart"), keep: keepMinimumVersion),
      Field(
        "tls.client-ca", \.tls.clientCA, .path(example: "/etc/turnpike/clients.pem"),
        "path of PEM authorities; not empty: clients of tls and dtls listeners must present a certificate from one of them"
      ),
      Field(
        "tls.certificates", \.tls.certificates,
        Format.list(
          .record(.certificatePair, initial: .init(), example: "{ certificate: /a.pem, private-key: /a.key }")
            .checked { $0.wrong }
        ).distinct(by: \.certificate).readingInlineYAML,
        "more certificates; a client that requests one of their names (SNI) gets it, others get tls.certificate"),
    ]
  }

  private static var relay: [Field<Settings>] {
    [
      Field(
        "relay.addresses", \.relay.addresses, Format.list(.address).distinct { $0 },
        "local addresses that relays bind; empty: detected", takesEffect: .atRestart),
      Field(
        "relay.advertise", \.relay.advertise, .advertise,
        "what clients are told behind a 1:1 NAT: auto, the public address or its name, or { LOCAL: PUBLIC }"),
      Field(
        "relay.detect", \.relay.detect, Format.list(.addressSource).distinct { $0 },
        "where auto looks for the public address, in this order; empty: interface, cloud"),
      Field(
        "relay.detect-interval", \.relay.detectInterval, .duration(),
        "how often auto and names in relay.advertise are looked up again; only new allocations get a new address"),
      Field(
        "relay.ports", \.relay.ports, .ports, "UDP and TCP ports for relays; open them in your firewall",
        takesEffect: .atRestart),
      Field("relay.tcp", \.turn.relaysTCP, .boolean, "TCP allocations (RFC 6062)"),
      Field("relay.mobility", \.turn.allowsMobility, .boolean, "mobility tickets (RFC 8016)"),
    ]
  }

  private static var auth: [Field<Settings>] {
    [
      Field("auth.anonymous", \.turn.isAnonymous, .boolean, "true: every client may relay, without credentials"),
      Field("auth.users", \.auth.users, .users, "static users of the default realm, name to password"),
      Field(
        "auth.secrets", \.auth.secrets, .list(.secret("a secret")),
        "shared secrets of time-limited credentials; several: rotation"),
      Field(
        "auth.store", \.auth.store, .store,
        "database of users and secrets, in the state directory unless the path is absolute; empty: none",
        takesEffect: .atRestart),
      Field("auth.nonce-lifetime", \.turn.nonceLifetime, .duration(), "how long a nonce is valid"),
      Field(
        "auth.on-credential-expiry", \.turn.onCredentialExpiry, .choice,
        "when a time-limited name expires: keep its allocations, refuse to refresh them, or close them"),
      Field(
        "auth.hook", \.auth.hook, .webURL, "URL that is asked for users whom neither configuration nor store has",
        takesEffect: .atRestart),
      Field(
        "auth.hook-secret", \.auth.hookSecret, .secret("a secret", mayBeEmpty: true),
        "signs the questions to the hook (HMAC-SHA256)", takesEffect: .atRestart),
      Field(
        "auth.password-algorithms", \.turn.passwordAlgorithms,
        Format.list(.choice(word), isEmptyAllowed: false).distinct { $0 }, "offered to clients (RFC 8489 section 14.11)"
      ),
      Field(
        "auth.oauth-keys", \.auth.oauthKeys,
        Format.list(
          .record(.oauthKey, initial: .empty, example: "{ id: k1, key: BASE64, algorithm: A256GCM }")
            .checked { $0.wrong }
        ).distinct(by: \.id).readingInlineYAML,
        "keys of access tokens (RFC 7635)"),
    ]
  }

  /// The algorithm's name in the configuration.
  private static func word(_ algorithm: PasswordAlgorithm) -> String {
    switch algorithm {
    case .md5: "md5"
    case .sha256: "sha256"
    }
  }

  private static var others: [Field<Settings>] {
    [
      Field(
        "realms", \.realms,
        Format.map(
          .realm,
          .record(.realm, initial: Settings.RealmSection(), example: "{ users: { alice: file:/run/secrets/alice } }")
        ).readingInlineYAML,
        "more realms: NAME: { users, secrets, store, limits, server-names }",
        takesEffect: .partly("at once; new realms and stores at a restart"), keep: keepRealms),
      Field(
        "redirect.server", \.turn.redirect.server, .alternateServer,
        "another server to which authenticated Allocate requests are redirected (300, ALTERNATE-SERVER)"),
      Field(
        "redirect.domain", \.turn.redirect.domain, .text("a domain", bytes: 0...255, example: "turn.example.org"),
        "domain of that server (ALTERNATE-DOMAIN)"),
      Field("peers.allow", \.peers.allow, .list(.block), "address ranges that clients may reach, also private ones"),
      Field("peers.deny", \.peers.deny, .list(.block), "address ranges that clients may not reach"),
      Field(
        "lifetime.default", \.turn.defaultLifetime, .duration(),
        "lifetime of an allocation when the client asks for none"),
      Field("lifetime.maximum", \.turn.maximumLifetime, .duration(), "longest lifetime of an allocation"),
      Field("lifetime.permission", \.turn.permissionLifetime, .duration(), "lifetime of a permission"),
      Field("lifetime.channel", \.turn.channelLifetime, .duration(), "lifetime of a channel binding"),
    ]
  }
}

extension Schema where Root == Settings.LimitsSection {
  static var limits: Schema {
    Schema(fields: [
      Field(
        "allocations", \.allocations,
        count(10000).orAutomatic(
          "as many as there are relay ports and addresses, and three quarters of the descriptors"),
        "allocations of the whole server; beyond it clients get 508"),
      Field(
        "allocations-per-user", \.allocationsPerUser,
        count(10).orAutomatic("a quarter of limits.allocations (of its auto where that is 0), at least 64"),
        "allocations of one user; beyond it clients get 486"),
      Field(
        "allocations-per-address", \.allocationsPerAddress,
        count(10).orAutomatic("an eighth of limits.allocations (of its auto where that is 0), at least 64"),
        "allocations from one client address; beyond it clients get 486"),
      Field(
        "permissions-per-allocation", \.ofRealm.permissionsPerAllocation, count(1024),
        "permissions of one allocation; beyond it clients get 508"),
      Field(
        "channels-per-allocation", \.ofRealm.channelsPerAllocation, count(1024),
        "channels of one allocation; beyond it clients get 508"),
      Field(
        "bandwidth-per-allocation", \.ofRealm.bandwidthPerAllocation, .rate,
        "media of one allocation in each direction, bytes a second"),
      Field(
        "bandwidth-per-user", \.ofRealm.bandwidthPerUser, .rate, "media of one user in each direction, bytes a second"),
      Field("bandwidth", \.ofRealm.bandwidth, .rate, "media of the whole server in each direction, bytes a second"),
      Field(
        "new-peers-per-user", \.ofRealm.newPeersPerUser, count(6000),
        "new peer addresses in the permissions of one user in a minute; beyond it clients get 508"),
      Field(
        "connects-per-user", \.ofRealm.connectsPerUser, count(50),
        "Connect requests (RFC 6062) of one user in a second; beyond it clients get 508"),
    ])
  }

  /// Limits of the whole server, which realms do not have.
  static var serverLimits: [Field<Settings.LimitsSection>] {
    [
      Field(
        "unauthenticated-per-address", \.unauthenticatedPerAddress, count(100),
        "limit of Binding responses, and separately of challenges (401, 438), a second to one client address "
          + "(IPv6: /56) without valid credentials; beyond it each of 32 groups of its ports gets a 25th of the limit"),
      Field(
        "unauthenticated", \.unauthenticated, count(20000).orAutomatic("20000 for each shard"),
        "answers a second to all requests without valid credentials; beyond it they get no answer"),
      Field(
        "strangers-memory", \.strangersMemory, .size,
        "memory for everything that is held for clients without valid credentials", takesEffect: .atRestart),
    ]
  }

  private static func count(_ example: UInt32) -> Format<UInt32> {
    .integer(0...UInt32.max, example: example, zero: "no limit")
  }
}

extension Settings {
  /// The default listeners: the four schemes on IPv4 and on IPv6.
  public static let defaultListeners: [Listener] = [IPAddress.ipv4Any, .ipv6Any].flatMap { address in
    ListenerURI.schemes.map { _, transport in
      Listener(transport: transport, address: SocketAddress(address, port: transport.defaultPort))
    }
  }

  /// The default listeners that this version supports.
  public static var availableDefaultListeners: [Listener] {
    defaultListeners.filter { listener in
      var settings = Settings()
      settings.listeners = [listener]
      return settings.unsupportedFeatures.isEmpty
    }
  }
}

extension Settings {
  /// The listeners that a server opens: the configured ones, or the default ones that agree with the other keys.
  public var effectiveListeners: [Listener] {
    listeners ?? Self.availableDefaultListeners.filter { $0.transport != .dtls || tls.minimumVersion != .tls13 }
  }
}

/// The socket that two listeners cannot share: a UDP or TCP port of one address.
private struct ListenerSocket: Hashable {
  var address: SocketAddress
  var isStream: Bool

  init(_ listener: Settings.Listener) {
    address = listener.address
    isStream = listener.transport.isStream
  }
}
