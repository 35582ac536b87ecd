public import NetworkTypes

/// The address that clients get in place of a relay's local address (`relay.advertise`).
public enum Advertise: Equatable, Sendable {
  /// The public address for each local address behind a 1:1 NAT; clients get any other local address unchanged.
  case mapping([IPAddress: PublicAddress])
  /// One address for all relay addresses of its family, or one name for all families that it resolves to.
  case everywhere(PublicAddress)
  /// The server detects the public addresses (`relay.detect`).
  case automatic

  /// The address or name that is configured for a local address; nil: none, or the server detects it.
  public func configured(for local: IPAddress) -> PublicAddress? {
    switch self {
    case .mapping(let addresses): addresses[local]
    case .everywhere(.address(let address)): address.family == local.family ? .address(address) : nil
    case .everywhere(let name): name
    case .automatic: nil
    }
  }

  /// Whether an address comes from DNS or detection.
  public var looksUp: Bool {
    func isName(_ address: PublicAddress) -> Bool { if case .name = address { true } else { false } }
    return switch self {
    case .mapping(let addresses): addresses.values.contains(where: isName)
    case .everywhere(let address): isName(address)
    case .automatic: true
    }
  }
}

/// A public address, or a DNS name that resolves to it.
public enum PublicAddress: Hashable, Sendable, CustomStringConvertible {
  case address(IPAddress)
  case name(String)

  public var description: String {
    switch self {
    case .address(let address): address.description
    case .name(let name): name
    }
  }
}

/// A source of the server's public address (`relay.detect`).
public enum AddressSource: Hashable, Sendable, CustomStringConvertible {
  /// The relay's own address, if it is public.
  case interface
  /// The metadata service of the cloud.
  case cloud
  /// A STUN server; the Binding request is sent from the relay's address.
  case stun(host: String, port: UInt16)

  /// The default sources; none is a host of a third party.
  public static let standard: [AddressSource] = [.interface, .cloud]

  public var description: String {
    switch self {
    case .interface: "interface"
    case .cloud: "cloud"
    case .stun(let host, let port):
      (host.contains(":") ? "stun:[\(host)]" : "stun:\(host)") + (port == 3478 ? "" : ":\(port)")
    }
  }
}

extension Settings.RelaySection {
  /// The sources that `auto` uses, in this order.
  public var sources: [AddressSource] { detect.isEmpty ? AddressSource.standard : detect }
}
