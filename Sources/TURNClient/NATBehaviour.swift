public import NetworkTypes

/// A NAT's treatment of UDP, in the terms of RFC 4787.
public struct NATBehaviour: Hashable, Sendable {
  /// The reason why a property could not be determined.
  public struct Unknown: Hashable, Sendable, Error {
    /// The reason as text for the user.
    public var reason: String

    public init(_ reason: String) { self.reason = reason }
  }

  /// RFC 4787 section 4.1; `direct` without a NAT.
  public enum Mapping: String, Hashable, Sendable, CaseIterable {
    case direct
    case endpointIndependent = "endpoint-independent"
    case addressDependent = "address-dependent"
    case addressAndPortDependent = "address-and-port-dependent"
  }

  /// RFC 4787 section 5.
  public enum Filtering: String, Hashable, Sendable, CaseIterable {
    case endpointIndependent = "endpoint-independent"
    case addressDependent = "address-dependent"
    case addressAndPortDependent = "address-and-port-dependent"
  }

  /// RFC 4787 section 6: whether two hosts behind the NAT reach each other by their mapped addresses, and which source
  /// address they see.
  public enum Hairpinning: String, Hashable, Sendable, CaseIterable {
    case none
    /// The source is the mapped address, as RFC 4787 requires.
    case mappedSource = "external-source"
    /// The source is the inside address, which many programs refuse.
    case internalSource = "internal-source"
  }

  /// RFC 4787 section 4.1: whether all mappings of one host share one outside address.
  public enum Pooling: String, Hashable, Sendable {
    case paired, arbitrary
  }

  /// The socket's own address.
  public var localAddress: SocketAddress
  /// The socket's address as the server sees it.
  public var mappedAddress: SocketAddress
  public var mapping: Result<Mapping, Unknown> = .failure(Unknown("not asked for"))
  public var filtering: Result<Filtering, Unknown> = .failure(Unknown("not asked for"))
  public var hairpinning: Result<Hairpinning, Unknown> = .failure(Unknown("not asked for"))
  public var pooling: Result<Pooling, Unknown> = .failure(Unknown("not asked for"))
  /// Whether an application level gateway changes addresses inside messages.
  public var rewritesAddresses: Result<Bool, Unknown>
  /// Whether the mapped port is the local one.
  public var preservesPort: Bool { mappedAddress.port == localAddress.port }
  /// Whether there is a NAT at all. Scopes are not compared, because a mapped address has none.
  public var hasNAT: Bool { mappedAddress.address != localAddress.address || !preservesPort }
}

/// Bounds of the lifetime of a NAT's bindings.
public struct BindingLifetime: Hashable, Sendable {
  /// The time without traffic after which a binding still existed; zero: none did.
  public var atLeast: Duration
  /// The time after which a binding had ended; nil: none had.
  public var lessThan: Duration?

  /// The bounds from trials of separate bindings. A failed trial that is shorter than a successful one counts as a lost
  /// packet.
  public init(trials: [(time: Duration, isAlive: Bool)]) {
    atLeast = trials.filter(\.isAlive).map(\.time).max() ?? .zero
    let longest = atLeast
    lessThan = trials.filter { !$0.isAlive && $0.time > longest }.map(\.time).min()
  }

  /// The times of trials within `maximum`, in whole seconds: fine steps for short lifetimes, coarse steps for long
  /// ones.
  public static func schedule(upTo maximum: Duration) -> [Duration] {
    var seconds: [UInt32] = []
    var next: UInt32 = 1
    while next < maximum.wholeSeconds {
      seconds.append(next)
      next = max(next + 1, next + next / 4)
    }
    return seconds.map(Duration.init(wireSeconds:)) + [maximum]
  }
}
