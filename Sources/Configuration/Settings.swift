public import NetworkTypes

/// Everything that can be configured, as values: one property for each key of the configuration file, named like it.
///
/// `Settings()` is the built-in default. The reader fills it from file, environment and overrides; the server turns
/// it into what its modules need. Durations are whole seconds, rates bytes a second, and a limit of 0 is no limit.
public struct Settings: Equatable, Sendable {
  /// The default realm.
  public var realm = "turnpike"
  /// The SOFTWARE attribute; empty: not sent.
  public var software = ""
  public var rfc3489 = false
  /// Shards; 0: one for each usable core.
  public var workers = 0
  public var engine = Engine.auto
  /// Seconds that a drain may take at the most; 0 stops at once.
  public var drainTimeout: UInt32 = 3600
  /// Empty: `/var/lib/turnpike` if it can be written, else `$XDG_STATE_HOME/turnpike`.
  public var stateDirectory = ""
  /// Nil: the eight defaults (four schemes on 0.0.0.0 and on [::]).
  public var listeners: [Listener]?
  public var tls = TLS()
  public var relay = Relay()
  public var auth = Auth()
  public var realms: [String: Realm] = [:]
  public var redirect = Redirect()
  public var peers = Peers()
  public var lifetime = Lifetime()
  public var limits = Limits()
  public var natDiscovery = NATDiscovery()
  public var admin = Admin()
  public var log = Log()

  public init() {}

  public enum Engine: String, Sendable, CaseIterable {
    case auto
    case epoll
    case ioUring = "io-uring"
  }

  /// One listener URI: `udp://0.0.0.0:3478?realm=example.org`.
  public struct Listener: Hashable, Sendable {
    public var transport: TransportProtocol
    public var address: SocketAddress
    /// `?realm=NAME`; nil: the default realm.
    public var realm: String?
    /// `?proxy-protocol=v2`.
    public var proxyProtocol = false
    /// `?auto=false` insists on the scheme; otherwise plain and (D)TLS are told apart by their first bytes.
    public var auto = true

    public init(transport: TransportProtocol, address: SocketAddress) {
      self.transport = transport
      self.address = address
    }
  }

  public struct TLS: Equatable, Sendable {
    /// Path of a PEM chain; empty: the self-signed pair in the state directory.
    public var certificate = ""
    public var privateKey = ""
    public var minimumVersion = TLSVersion.tls12
    /// Path of PEM certificate authorities; non-empty: clients must present a certificate from them.
    public var clientCA = ""

    public enum TLSVersion: String, Sendable, CaseIterable {
      case tls12 = "1.2"
      case tls13 = "1.3"
    }

    public init() {}
  }

  public struct Relay: Equatable, Sendable {
    /// Local addresses that relays bind; empty: detected.
    public var addresses: [IPAddress] = []
    /// What clients are told instead of a local address, behind a 1:1 NAT; same family on both sides.
    public var advertise: [IPAddress: IPAddress] = [:]
    public var ports: ClosedRange<UInt16> = 49152...65535
    public var tcp = true
    public var mobility = false

    public init() {}
  }

  public struct Auth: Equatable, Sendable {
    public var anonymous = false
    /// Static users of the default realm: name to password.
    public var users: [String: String] = [:]
    /// Shared secrets of time-limited credentials.
    public var secrets: [String] = []
    /// `sqlite:PATH` (relative to the state directory), `redis://…`, `postgresql://…`; empty: none.
    public var store = "sqlite:turnpike.db"
    public var nonceLifetime: UInt32 = 600
    public var passwordAlgorithms: [PasswordAlgorithm] = [.md5, .sha256]
    public var oauthKeys: [OAuthKey] = []

    public enum PasswordAlgorithm: String, Sendable, CaseIterable {
      case md5
      case sha256
    }

    public init() {}
  }

  public struct OAuthKey: Equatable, Sendable {
    public var id: String
    public var key: [UInt8]
    public var algorithm: Algorithm
    /// Seconds since 1970; nil: no end.
    public var notAfter: UInt64?

    public enum Algorithm: String, Sendable, CaseIterable {
      case a256gcm = "A256GCM"
      case a128gcm = "A128GCM"
    }

    public init(id: String, key: [UInt8], algorithm: Algorithm, notAfter: UInt64?) {
      self.id = id
      self.key = key
      self.algorithm = algorithm
      self.notAfter = notAfter
    }
  }

  public struct Realm: Equatable, Sendable {
    public var users: [String: String] = [:]
    public var secrets: [String] = []
    public var store = ""
    public var limits = Limits()
    public var serverNames: [String] = []

    public init() {}
  }

  public struct Redirect: Equatable, Sendable {
    public var server = ""
    public var domain = ""

    public init() {}
  }

  public struct Peers: Equatable, Sendable {
    public var allow: [CIDRBlock] = []
    public var deny: [CIDRBlock] = []

    public init() {}
  }

  public struct Lifetime: Equatable, Sendable {
    public var `default`: UInt32 = 600
    public var maximum: UInt32 = 3600
    public var permission: UInt32 = 300
    public var channel: UInt32 = 600

    public init() {}
  }

  public struct Limits: Equatable, Sendable {
    public var allocations: UInt32 = 0
    public var allocationsPerUser: UInt32 = 0
    public var allocationsPerAddress: UInt32 = 0
    public var permissionsPerAllocation: UInt32 = 1024
    public var channelsPerAllocation: UInt32 = 1024
    public var bandwidthPerAllocation: UInt64 = 0
    public var bandwidthPerUser: UInt64 = 0
    public var bandwidth: UInt64 = 0
    public var unauthenticatedPerAddress: UInt32 = 100

    public init() {}
  }

  public struct NATDiscovery: Equatable, Sendable {
    public var primary: SocketAddress?
    public var alternate: SocketAddress?

    public init() {}
  }

  public struct Admin: Equatable, Sendable {
    /// Nil: none.
    public var listen: SocketAddress? = SocketAddress(IPAddress(127, 0, 0, 1), port: 8478)
    public var token = ""
    public var demo = false

    public init() {}
  }

  public struct Log: Equatable, Sendable {
    public var level = Level.info
    public var format = Format.text

    public enum Level: String, Sendable, CaseIterable {
      case debug, info, warning, error
    }

    public enum Format: String, Sendable, CaseIterable {
      case text, json
    }

    public init() {}
  }
}
