public import NetworkTypes

/// How a NAT treats UDP, in the words of RFC 4787.
public struct NATBehaviour: Hashable, Sendable {
  /// What can't be told, and why not.
  public struct Unknown: Hashable, Sendable, Error {
    public var reason: String

    public init(_ reason: String) { self.reason = reason }
  }

  /// RFC 4787 section 4.1, and none where there is no NAT.
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

  /// RFC 4787 section 6: whether two hosts behind the NAT reach each other by their mapped addresses, and what they
  /// see as each other's address.
  public enum Hairpinning: String, Hashable, Sendable, CaseIterable {
    case none
    /// As it must be.
    case mappedSource = "external-source"
    /// The inside address shows, which many programs refuse.
    case internalSource = "internal-source"
  }

  /// RFC 4787 section 4.1: whether all mappings of one host share one outside address.
  public enum Pooling: String, Hashable, Sendable {
    case paired, arbitrary
  }

  public var localAddress: SocketAddress
  public var mappedAddress: SocketAddress
  public var mapping: Result<Mapping, Unknown> = .failure(Unknown("not asked for"))
  public var filtering: Result<Filtering, Unknown> = .failure(Unknown("not asked for"))
  public var hairpinning: Result<Hairpinning, Unknown> = .failure(Unknown("not asked for"))
  public var pooling: Result<Pooling, Unknown> = .failure(Unknown("not asked for"))
  /// Whether something on the way changes addresses inside of messages (an application level gateway).
  public var rewritesAddresses: Result<Bool, Unknown>
  /// Whether the mapped port is the local one.
  public var preservesPort: Bool { mappedAddress.port == localAddress.port }
  /// Whether there is a NAT at all.
  public var hasNAT: Bool { mappedAddress != localAddress }
}

/// When the bindings of a NAT have been seen to live and to be gone.
public struct BindingLifetime: Hashable, Sendable {
  /// Seconds without traffic after which a binding still lived; 0: none was seen to live.
  public var atLeast: UInt32
  /// Seconds after which one was gone; nil: none was.
  public var lessThan: UInt32?

  /// What trials of separate bindings say. One that is gone sooner than another lives was lost, not forgotten.
  public init(trials: [(seconds: UInt32, isAlive: Bool)]) {
    atLeast = trials.filter(\.isAlive).map(\.seconds).max() ?? 0
    let longest = atLeast
    lessThan = trials.filter { !$0.isAlive && $0.seconds > longest }.map(\.seconds).min()
  }

  /// When to try within `maximum` seconds: short lifetimes in fine steps, long ones in coarse ones.
  public static func schedule(upTo maximum: UInt32) -> [UInt32] {
    var seconds: [UInt32] = []
    var next: UInt32 = 1
    while next < maximum {
      seconds.append(next)
      next = max(next + 1, next + next / 4)
    }
    return seconds + [maximum]
  }
}
