public import Log
public import NetworkTypes
public import TLS
public import TURN

/// The values of all configuration keys: one property for each key.
///
/// `Settings()` is the built-in default. The reader fills it from file, environment and overrides. Settings that a
/// module reads are values of that module's types (`RelayPolicy`, `RealmLimits`, `LogLevel`, `TLSVersion`), so nothing
/// copies them key by key. A limit of 0 is no limit.
public struct Settings: Equatable, Sendable {
  /// The default realm.
  public var realm = "turnpike"
  /// The host name in printed URLs; empty: the certificate's first DNS name.
  public var publicName = ""
  /// The number of shards; 0: one for each usable core.
  public var workers = 0
  /// The kernel interface for sockets.
  public var engine = EngineChoice.auto
  /// The longest drain; zero stops at once.
  public var drainTimeout = Duration.seconds(3600)
  /// The path; empty: `/var/lib/turnpike` if it can be written, else `$XDG_STATE_HOME/turnpike`.
  public var stateDirectory = ""
  /// The configured listeners; nil: the eight defaults (four schemes on 0.0.0.0 and on [::]).
  public var listeners: [Listener]?
  /// The keys `proxy-protocol.…`.
  public var proxyProtocol = ProxyProtocolSection()
  /// The keys `tls.…`.
  public var tls = TLSSection()
  /// The keys `relay.…`, except those in `turn`.
  public var relay = RelaySection()
  /// The keys that the relay itself reads: `lifetime`, `redirect`, `nat-discovery`, and some of `auth` and `relay`.
  public var turn = RelayPolicy()
  /// The keys `auth.…`, except those in `turn`.
  public var auth = AuthSection()
  /// The further realms, by their names.
  public var realms: [String: RealmSection] = [:]
  /// The keys `peers.…`.
  public var peers = PeersSection()
  /// The keys `limits.…`.
  public var limits = LimitsSection()
  /// The keys `hardening.…`.
  public var hardening = HardeningSection()
  /// The keys `admin.…`.
  public var admin = AdminSection()
  /// The keys `log.…`.
  public var log = LogSection()
  /// The keys `events.…`.
  public var events = EventsSection()

  public init() {}

  /// The kernel interfaces for sockets.
  public enum EngineChoice: String, Sendable, CaseIterable {
    case auto
    case epoll
    case ioUring = "io-uring"
  }

  /// One listener URI: `udp://0.0.0.0:3478?realm=example.org`.
  public struct Listener: Hashable, Sendable {
    /// The scheme: `udp`, `tcp`, `tls` or `dtls`.
    public var transport: TransportProtocol
    /// The local address; an unspecified one stands for every address of its family.
    public var address: SocketAddress
    /// `?realm=NAME`; nil: the default realm.
    public var realm: String?
    /// `?proxy-protocol=v2`: connections begin with a header that names the client.
    public var proxyProtocol = false
    /// `?auto=false` accepts the scheme only; otherwise the first byte distinguishes plain and (D)TLS.
    public var auto = true

    public init(transport: TransportProtocol, address: SocketAddress) {
      self.transport = transport
      self.address = address
    }
  }

  /// The settings of the PROXY protocol, version 2.
  public struct ProxyProtocolSection: Equatable, Sendable {
    /// The addresses of proxies; other connections to a listener with `?proxy-protocol=v2` are closed.
    public var trusted: [CIDRBlock] = []

    public init() {}
  }

  /// The settings of TLS and DTLS.
  public struct TLSSection: Equatable, Sendable {
    /// Path of a PEM chain; empty: the self-signed pair in the state directory.
    public var certificate = ""
    /// Path of the certificate's private key in PEM.
    public var privateKey = ""
    /// The oldest TLS version that is accepted.
    public var minimumVersion = TLSVersion.tls12
    /// Path of PEM certificate authorities; non-empty: clients must present a certificate from them.
    public var clientCA = ""
    /// Certificates for clients that request one of their names (SNI), besides the standard one.
    public var certificates: [CertificatePair] = []

    public init() {}

    /// The paths of all configured files.
    public var files: [String] {
      ([certificate, privateKey, clientCA] + certificates.flatMap { [$0.certificate, $0.privateKey] }).filter {
        !$0.isEmpty
      }
    }
  }

  /// The paths of a certificate chain and its private key.
  public struct CertificatePair: Equatable, Sendable {
    public var certificate: String
    public var privateKey: String

    public init(certificate: String = "", privateKey: String = "") {
      self.certificate = certificate
      self.privateKey = privateKey
    }
  }

  /// The settings of relay addresses.
  public struct RelaySection: Equatable, Sendable {
    /// Local addresses of relays; empty: detected.
    public var addresses: [IPAddress] = []
    /// The addresses that clients are told.
    public var advertise = Advertise.mapping([:])
    /// The sources of `auto`, in this order; empty: `AddressSource.standard`.
    public var detect: [AddressSource] = []
    /// The time between two look-ups of `auto` and of names.
    public var detectInterval = Duration.seconds(300)
    /// The UDP and TCP ports of relays.
    public var ports: ClosedRange<UInt16> = 49152...65535

    public init() {}
  }

  /// The credentials of the default realm.
  public struct AuthSection: Equatable, Sendable {
    /// Static users of the default realm: name to password.
    public var users: [String: String] = [:]
    /// Shared secrets of time-limited credentials.
    public var secrets: [String] = []
    /// `sqlite:PATH` (relative to the state directory), `redis://…`, `postgresql://…`; empty: none.
    public var store = "sqlite:turnpike.db"
    /// The URL that is asked for unknown users; empty: none.
    public var hook = ""
    /// The key that signs the questions to the hook; empty: they are not signed.
    public var hookSecret = ""
    /// The keys of access tokens (RFC 7635).
    public var oauthKeys: [OAuthKey] = []

    public init() {}
  }

  /// A key of access tokens (RFC 7635).
  public struct OAuthKey: Equatable, Sendable {
    /// The key id (kid) that clients name.
    public var id: String
    /// 32 bytes for A256GCM, 16 for A128GCM.
    public var key: [UInt8]
    /// The cipher of the tokens.
    public var algorithm: Algorithm
    /// The time after which the key is refused; nil: no end.
    public var notAfter: UnixTime?

    /// The ciphers of tokens (RFC 7635).
    public enum Algorithm: String, Sendable, CaseIterable {
      case a256gcm = "A256GCM"
      case a128gcm = "A128GCM"
    }

    public init(id: String, key: [UInt8], algorithm: Algorithm, notAfter: UnixTime?) {
      self.id = id
      self.key = key
      self.algorithm = algorithm
      self.notAfter = notAfter
    }
  }

  /// A realm besides the default one.
  public struct RealmSection: Equatable, Sendable {
    /// Static users: name to password.
    public var users: [String: String] = [:]
    /// Shared secrets of time-limited credentials.
    public var secrets: [String] = []
    /// The URI of the credential store; empty: none.
    public var store = ""
    public var limits = LimitsSection()
    /// Server names (SNI) that select this realm.
    public var serverNames: [String] = []

    public init() {}
  }

  /// The peer addresses that clients may and may not reach.
  public struct PeersSection: Equatable, Sendable {
    public var allow: [CIDRBlock] = []
    public var deny: [CIDRBlock] = []

    public init() {}
  }

  /// The limits of a realm or of the server.
  public struct LimitsSection: Equatable, Sendable {
    /// Limit of all allocations. Nil: the server derives it from its ports and descriptors; 0: no limit.
    public var allocations: UInt32?
    /// Limit of one user's allocations; nil and 0 as in `allocations`.
    public var allocationsPerUser: UInt32?
    /// Limit of the allocations from one client address; nil and 0 as in `allocations`.
    public var allocationsPerAddress: UInt32?
    /// The limits that the relay itself applies.
    public var ofRealm = RealmLimits()
    // Limits of the whole server, which realms do not have.
    /// Answers a second to one client address without valid credentials; 0: no limit.
    public var unauthenticatedPerAddress: UInt32 = 100
    /// Answers a second to all clients without valid credentials; nil: 20,000 for each shard.
    public var unauthenticated: UInt32?
    /// Limit of the memory of unauthenticated clients.
    public var strangersMemory = ByteCount.bytes(32_000_000)

    public init() {}
  }

  /// The settings of the admin endpoint.
  public struct AdminSection: Equatable, Sendable {
    /// The endpoint's address.
    public var listen = AdminAddress.address(SocketAddress(IPAddress(127, 0, 0, 1), port: 8478))
    /// The bearer token; empty: none.
    public var token = ""
    /// Origins whose pages may ask for credentials, such as `https://app.example.org`.
    public var allowOrigins: [String] = []
    /// Whether the endpoint has the page `/demo`.
    public var demo = false

    public init() {}
  }

  /// The privileges that the program drops after its sockets are bound.
  public struct HardeningSection: Equatable, Sendable {
    /// Whether the process gives up its capabilities.
    public var capabilities = true
    /// Whether the process can gain no privileges by execve(2).
    public var noNewPrivileges = true
    /// Whether the kernel refuses system calls that are not needed.
    public var seccomp = true
    /// Whether the kernel refuses files that are not configured.
    public var landlock = true
    /// Whether a crash may leave a core file, which contains secrets.
    public var coreDumps = false

    public init() {}
  }

  /// The settings of the webhook.
  public struct EventsSection: Equatable, Sendable {
    /// The URL that gets the events; empty: none.
    public var webhook = ""
    /// The key that signs the events; empty: they are not signed.
    public var secret = ""
    /// The time between two usage events of a live allocation; zero: none.
    public var usageInterval = Duration.seconds(60)

    public init() {}
  }

  /// The settings of the log.
  public struct LogSection: Equatable, Sendable {
    /// The lowest level that is logged.
    public var level = LogLevel.info
    /// The form of a line: text or JSON.
    public var format = LogFormat.text
    /// How lines at info show users and client addresses.
    public var privacy = LogPrivacy.truncated

    public init() {}
  }
}
