internal import Configuration
internal import NetworkTypes
internal import System
internal import TURN

/// Finds the address that clients must get for each relay address (`relay.advertise`). It may block for seconds.
struct PublicAddressSearch {
  /// The question of a search.
  struct Question: Sendable, Equatable {
    /// The relay addresses.
    var locals: [IPAddress]
    var advertise: Advertise
    var sources: [AddressSource]
  }

  /// The answer for one relay address.
  struct Finding: Sendable, Equatable {
    var local: IPAddress
    /// Nil: no source had an answer.
    var found: IPAddress?
    /// The source that had the address, for example `stun:stun.example.org`; empty without an address.
    var source = ""
    /// A remark about the address; empty: none.
    var note = ""
    /// The reason for each source that had no answer.
    var reasons: [String] = []
  }

  /// The reason why a source has no answer.
  struct NoAnswer: Error, Equatable {
    var reason: String

    init(_ reason: String) { self.reason = reason }
  }

  /// Access to the host's routes, names, the cloud and STUN servers; tests replace it.
  struct Outside {
    /// The local address of the IPv4 default route, which a cloud's metadata describes; nil without a route. It may
    /// change from one search to the next.
    var mainAddress: () -> IPAddress?
    var resolve: (_ name: String, IPAddress.Family) throws(NoAnswer) -> [IPAddress]
    var askCloud: (_ until: Instant) throws(NoAnswer) -> (address: IPAddress, cloud: String)
    /// The reflexive address of `from` at the STUN server, and whether the port was the same.
    var askSTUN:
      (_ server: SocketAddress, _ from: IPAddress, _ until: Instant) throws(NoAnswer) -> (
        address: IPAddress, keepsPort: Bool
      )
  }

  /// The longest time for one source; the C library may take longer to look up a name.
  static let sourceTime = Duration.seconds(3)
  /// Limit of addresses of one server's name that are tried.
  private static let serverLimit = 3

  private let question: Question
  private let outside: Outside
  /// The cloud's answer, which is the same for all relay addresses.
  private var cloud: Result<(address: IPAddress, cloud: String), NoAnswer>?

  init(_ question: Question, _ outside: Outside) {
    self.question = question
    self.outside = outside
  }

  mutating func run() -> [Finding] { question.locals.map { find($0) } }

  private mutating func find(_ local: IPAddress) -> Finding {
    switch question.advertise.configured(for: local) {
    case .address(let address): return Finding(local: local, found: address, source: "relay.advertise")
    case .name(let name): return lookUp(name, for: local)
    case nil where question.advertise != .automatic:
      return Finding(local: local, found: local, source: "relay.advertise")
    case nil: break
    }
    var finding = Finding(local: local)
    for source in question.sources {
      do throws(NoAnswer) {
        try ask(source, for: &finding)
        finding.source = finding.source.isEmpty ? "\(source)" : finding.source
        finding.reasons = []
        return finding
      } catch {
        finding.reasons.append("\(source): \(error.reason)")
      }
    }
    return finding
  }

  private mutating func ask(_ source: AddressSource, for finding: inout Finding) throws(NoAnswer) {
    let local = finding.local
    switch source {
    case .interface:
      guard PeerRules().permits(local) else { throw NoAnswer("\(local) is private") }
      finding.found = local
    case .cloud:
      guard local.family == .ipv4 else { throw NoAnswer("an IPv6 address is on the interface") }
      guard outside.mainAddress() == local || question.locals.count(where: { $0.family == .ipv4 }) == 1 else {
        throw NoAnswer("the metadata describes another address, that of the default route")
      }
      let answer = try askCloud()
      finding.found = answer.address
      finding.source = "cloud (\(answer.cloud))"
    case .stun(let host, let port):
      try askServers(host, port, for: &finding)
    }
  }

  private mutating func askCloud() throws(NoAnswer) -> (address: IPAddress, cloud: String) {
    if let cloud { return try cloud.get() }
    do throws(NoAnswer) {
      let answer = try outside.askCloud(.read().advanced(by: Self.sourceTime))
      cloud = .success(answer)
      return answer
    } catch {
      cloud = .failure(error)
      throw error
    }
  }

  private func askServers(_ host: String, _ port: UInt16, for finding: inout Finding) throws(NoAnswer) {
    let local = finding.local
    var failure = NoAnswer("no such host name, or it has no \(local.family.word) address")
    let servers = try addresses(of: host, local.family)
    // This time begins after the look-up, which takes five seconds if a name server does not answer.
    let deadline = Instant.read().advanced(by: Self.sourceTime)
    for server in servers.filter({ $0.family == local.family }).prefix(Self.serverLimit) {
      do throws(NoAnswer) {
        let answer = try outside.askSTUN(SocketAddress(server, port: port), local, deadline)
        if let reason = Self.reason(against: answer.address, for: local) { throw NoAnswer(reason) }
        finding.found = answer.address
        if !answer.keepsPort { finding.note = Self.changesPorts }
        return
      } catch {
        failure = error
      }
    }
    throw failure
  }

  private func addresses(of host: String, _ family: IPAddress.Family) throws(NoAnswer) -> [IPAddress] {
    if let address = IPAddress(host) { return [address] }
    return try outside.resolve(host, family)
  }

  private static let changesPorts =
    "the NAT changes ports: forward relay.ports and the listeners' ports to this host, unchanged"

  private func lookUp(_ name: String, for local: IPAddress) -> Finding {
    var finding = Finding(local: local, source: "name \(name)")
    do throws(NoAnswer) {
      let addresses = try outside.resolve(name, local.family)
      guard let address = addresses.first(where: { $0.family == local.family }) else {
        // One name for all relay addresses need not have addresses of each of the host's families.
        if case .everywhere = question.advertise, try hasOtherFamily(name, local) {
          finding.found = local
          return finding
        }
        throw NoAnswer("it has no \(local.family.word) address")
      }
      if let reason = Self.reason(against: address, for: local) { throw NoAnswer(reason) }
      finding.found = address
    } catch {
      finding.source = ""
      finding.reasons = ["\(name): \(error.reason)"]
    }
    return finding
  }

  /// Whether a name has addresses of the host's other family. A name without addresses is an error.
  private func hasOtherFamily(_ name: String, _ local: IPAddress) throws(NoAnswer) -> Bool {
    guard let other = question.locals.first(where: { $0.family != local.family })?.family else { return false }
    return try outside.resolve(name, other).contains { $0.family == other }
  }

  /// The reason why clients cannot use an address for this server; nil if they can. On a LAN a private address works.
  static func reason(against address: IPAddress, for local: IPAddress) -> String? {
    if address.family != local.family { return "the answer \(address) is of the other family" }
    if address.isUnspecified || address.embeddedIPv4 != nil { return "the answer \(address) is no address of a host" }
    if address.isLoopback, !local.isLoopback { return "the answer \(address) is a loopback address" }
    let isOfHost =
      switch address.family {
      case .ipv4: address.ipv4Bits >> 28 < 0xE && address.ipv4Bits >> 16 != 0xA9FE && address.ipv4Bits >> 24 != 0
      case .ipv6: address.high >> 56 != 0xFF && address.high >> 54 != 0xFE80 >> 6
      }
    return isOfHost ? nil : "the answer \(address) is no address of a host"
  }
}

extension IPAddress.Family {
  /// The family as users write it.
  var word: String { self == .ipv4 ? "IPv4" : "IPv6" }
}
