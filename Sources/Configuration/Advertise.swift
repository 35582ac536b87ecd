public import NetworkTypes

/// What clients are told in place of a relay's local address (`relay.advertise`).
public enum Advertise: Equatable, Sendable {
  /// The public address of each local one, behind a 1:1 NAT; clients are told any other address as it is.
  case mapping([IPAddress: PublicAddress])
  /// For every relay address of its family; a name: of the families that it has.
  case everywhere(PublicAddress)
  /// The server finds them out.
  case automatic

  /// What is configured for a local address; nil: nothing, or it has to be found out.
  public func configured(for local: IPAddress) -> PublicAddress? {
    switch self {
    case .mapping(let addresses): addresses[local]
    case .everywhere(.address(let address)): address.family == local.family ? .address(address) : nil
    case .everywhere(let name): name
    case .automatic: nil
    }
  }

  /// Whether some answer comes from outside the configuration.
  public var looksUp: Bool {
    func isName(_ address: PublicAddress) -> Bool { if case .name = address { true } else { false } }
    return switch self {
    case .mapping(let addresses): addresses.values.contains(where: isName)
    case .everywhere(let address): isName(address)
    case .automatic: true
    }
  }
}

/// An address, or a DNS name that is looked up for it.
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

/// Where the server looks for its public address (`relay.detect`).
public enum AddressSource: Hashable, Sendable, CustomStringConvertible {
  /// The relay's own address, if it is public.
  case interface
  /// The metadata service of the cloud.
  case cloud
  /// A STUN server, which is asked from the relay's address.
  case stun(host: String, port: UInt16)

  /// The sources without a configured list: no host of a third party is among them.
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
  /// The sources that `auto` asks.
  public var sources: [AddressSource] { detect.isEmpty ? AddressSource.standard : detect }
}
