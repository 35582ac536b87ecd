public import Crypto
public import NetworkTypes

/// An SRV record (RFC 2782).
public struct ServiceRecord: Hashable, Sendable {
  public var priority: UInt16
  public var weight: UInt16
  public var port: UInt16
  public var target: String

  public init(priority: UInt16, weight: UInt16, port: UInt16, target: String) {
    self.priority = priority
    self.weight = weight
    self.port = port
    self.target = target
  }
}

/// A NAPTR record as RFC 3958 uses it.
public struct NamingRecord: Hashable, Sendable {
  public var order: UInt16
  public var preference: UInt16
  public var flags: String
  public var services: String
  public var replacement: String

  public init(order: UInt16, preference: UInt16, flags: String, services: String, replacement: String) {
    self.order = order
    self.preference = preference
    self.flags = flags
    self.services = services
    self.replacement = replacement
  }
}

/// The reason why a DNS query has no answer.
public enum LookupFailure: Error, Hashable, Sendable {
  /// The name or record does not exist.
  case notFound
  /// No name server answered: no further NAPTR or SRV query is sent.
  case silent
  /// The query was not sent, because the lookup has taken too long.
  case outOfTime
  case failed(String)

  /// The reason as text.
  public var words: String {
    switch self {
    case .notFound: "no such record"
    case .silent: "no answer from the name servers"
    case .outOfTime: "not asked: the lookup has taken too long"
    case .failed(let reason): reason
    }
  }
}

/// A source of DNS records: DNS, or a test's table.
public protocol NameService {
  /// False: only the name's own addresses may still be queried.
  var isInTime: Bool { get }
  /// NAPTR records.
  mutating func naming(of name: String) throws(LookupFailure) -> [NamingRecord]
  /// SRV records.
  mutating func services(of name: String) throws(LookupFailure) -> [ServiceRecord]
  /// Addresses in the order of preference; their ports are ignored.
  mutating func addresses(of name: String) throws(LookupFailure) -> [SocketAddress]
}

/// Finds the addresses and transports of a URI's servers, as in RFC 5928 for TURN (with RFC 7350's DTLS) and RFC 8489
/// section 8 for STUN.
public struct ServerDiscovery: Sendable {
  /// One way to reach a server.
  public struct Candidate: Hashable, Sendable {
    public var transport: TransportProtocol
    public var address: SocketAddress
  }

  /// One query and its answer, for `--trace`.
  public struct Trace: Hashable, Sendable {
    /// `NAPTR`, `SRV` or `A/AAAA`.
    public var kind: String
    public var name: String
    /// The records as text.
    public var answers: [String]
    public var failure: LookupFailure?
  }

  /// The candidates in the order in which the caller tries them.
  public private(set) var candidates: [Candidate] = []
  /// All queries, in order.
  public private(set) var trace: [Trace] = []
  /// The reason why the last address query failed.
  public private(set) var failure: LookupFailure?

  private let uri: ServerURI
  private let transports: [TransportProtocol]
  private var isServiceSilent = false

  /// Whether a query was omitted because the lookup took too long.
  private var isOutOfTime = false

  /// Limit of queries, against hostile or looping zones.
  private static let questionLimit = 32
  /// Limit of candidates; further ones are dropped.
  static let candidateLimit = 64
  private static let depthLimit = 5

  /// Looks up the transports, ports and addresses that the URI does not have.
  ///
  /// - Parameter transport: the user's choice, which overrides the URI; nil: none.
  public static func run(
    _ uri: ServerURI, name: String, transport: TransportProtocol? = nil, service: inout some NameService,
    generator: inout SeededGenerator
  ) -> ServerDiscovery {
    let isOpen = uri.transportParameter == nil && transport == nil && uri.scheme.isTURN
    let open: [TransportProtocol] = uri.scheme.isSecure ? [.tls, .dtls] : [.udp, .tcp]
    var discovery = ServerDiscovery(uri: uri, transports: isOpen ? open : [transport ?? uri.transport])
    discovery.run(name, isOpen: isOpen, &service, &generator)
    return discovery
  }

  private init(uri: ServerURI, transports: [TransportProtocol]) {
    self.uri = uri
    self.transports = transports
  }

  private mutating func run(
    _ name: String, isOpen: Bool, _ service: inout some NameService, _ generator: inout SeededGenerator
  ) {
    // RFC 5928 section 3, steps 2 to 5. A name without a dot is local and has no such records.
    let first = transports.first ?? .udp
    if uri.port == nil, name.contains(".") {
      if isOpen { followNaming(name, depth: 0, &service, &generator) }
      if candidates.isEmpty {
        for transport in transports {
          followServices(uri.serviceName(transport) + "." + name, transport, &service, &generator)
        }
      }
    }
    if candidates.isEmpty { add(name, uri.port ?? first.defaultPort, first, &service) }
  }

  // MARK: - NAPTR (RFC 5928 section 3 step 4, RFC 3958)

  private mutating func followNaming(
    _ name: String, depth: Int, _ service: inout some NameService, _ generator: inout SeededGenerator
  ) {
    guard depth < Self.depthLimit, !isServiceSilent, hasTime(for: "NAPTR", name, service) else { return }
    let records: [NamingRecord]
    do {
      records = try service.naming(of: name)
      record(
        "NAPTR", name,
        records.map { "\($0.order) \($0.preference) \"\($0.flags)\" \"\($0.services)\" \($0.replacement)" })
    } catch {
      record("NAPTR", name, error)
      return
    }
    let sorted = records.sorted { ($0.order, $0.preference) < ($1.order, $1.preference) }
    for record in sorted.prefix(Self.questionLimit) {
      for transport in record.transports where transports.contains(transport) {
        switch record.flags.lowercased() {
        case "s": followServices(record.replacement, transport, &service, &generator)
        case "a": addTarget(record.replacement, transport.defaultPort, transport, &service)
        case "": followNaming(record.replacement, depth: depth + 1, &service, &generator)
        default: break
        }
      }
    }
  }

  // MARK: - SRV (RFC 2782)

  private mutating func followServices(
    _ name: String, _ transport: TransportProtocol, _ service: inout some NameService,
    _ generator: inout SeededGenerator
  ) {
    guard !isServiceSilent, hasTime(for: "SRV", name, service) else { return }
    let records: [ServiceRecord]
    do {
      records = try service.services(of: name)
      record("SRV", name, records.map { "\($0.priority) \($0.weight) \($0.port) \($0.target)" })
    } catch {
      record("SRV", name, error)
      return
    }
    for record in Self.ordered(records, &generator) where record.target != "." && !record.target.isEmpty {
      addTarget(record.target, record.port, transport, &service)
    }
  }

  /// Sorts by priority. Records of one priority are in random order; a higher weight makes an earlier place more
  /// probable.
  static func ordered(_ records: [ServiceRecord], _ generator: inout SeededGenerator) -> [ServiceRecord] {
    var result: [ServiceRecord] = []
    for priority in Set(records.map(\.priority)).sorted() {
      // Records of weight 0 come first in the list, which gives them a small chance (RFC 2782).
      var rest = records.filter { $0.priority == priority }.sorted { $0.weight < $1.weight }
      while !rest.isEmpty {
        let sum = rest.reduce(UInt64(0)) { $0 + UInt64($1.weight) }
        let drawn = generator.next(below: sum + 1)
        var running: UInt64 = 0
        let index = rest.firstIndex { record in
          running += UInt64(record.weight)
          return running >= drawn
        }
        result.append(rest.remove(at: index ?? 0))
      }
    }
    return result
  }

  // MARK: - Addresses

  /// Adds the addresses of a record's target. A silent target does not end the lookup, because the name servers of
  /// another may answer; the time ends it.
  private mutating func addTarget(
    _ name: String, _ port: UInt16, _ transport: TransportProtocol, _ service: inout some NameService
  ) {
    guard hasTime(for: "A/AAAA", name, service) else { return }
    add(name, port, transport, &service)
  }

  private mutating func add(
    _ name: String, _ port: UInt16, _ transport: TransportProtocol, _ service: inout some NameService
  ) {
    guard trace.count < Self.questionLimit else { return }
    do {
      let found = try service.addresses(of: name)
      record("A/AAAA", name, found.map(\.address.description))
      for address in found {
        let candidate = Candidate(
          transport: transport, address: SocketAddress(address.address, port: port, scope: address.scope))
        if candidates.count < Self.candidateLimit, !candidates.contains(candidate) { candidates.append(candidate) }
      }
    } catch {
      failure = error
      record("A/AAAA", name, error)
    }
  }

  // MARK: - Bookkeeping

  /// Whether the query may be sent. The first one that comes too late is in the trace, and none follows.
  private mutating func hasTime(for kind: String, _ name: String, _ service: some NameService) -> Bool {
    guard !isOutOfTime, trace.count < Self.questionLimit else { return false }
    guard !service.isInTime else { return true }
    isOutOfTime = true
    failure = .outOfTime
    record(kind, name, .outOfTime)
    return false
  }

  private mutating func record(_ kind: String, _ name: String, _ answers: [String]) {
    trace.append(Trace(kind: kind, name: name, answers: answers))
  }

  private mutating func record(_ kind: String, _ name: String, _ failure: LookupFailure) {
    if failure == .silent { isServiceSilent = true }
    trace.append(Trace(kind: kind, name: name, answers: [], failure: failure))
  }
}

extension ServerURI {
  /// The prefix of an SRV record's name before the domain (RFC 8489 section 8.1, RFC 8656 section 3.1).
  func serviceName(_ transport: TransportProtocol) -> String {
    let isSecure = transport.isSecure
    let service = scheme.isTURN ? (isSecure ? "_turns" : "_turn") : (isSecure ? "_stuns" : "_stun")
    return "\(service).\(transport.isStream ? "_tcp" : "_udp")"
  }
}

extension NamingRecord {
  /// The transports of `RELAY:turn.udp:turn.tcp` (RFC 5928 section 5, RFC 7350 section 5.2).
  var transports: [TransportProtocol] {
    let parts = services.lowercased().split(separator: ":")
    guard parts.first == "relay" else { return [] }
    return parts.dropFirst().compactMap { part in
      switch part {
      case "turn.udp": .udp
      case "turn.tcp": .tcp
      case "turn.tls": .tls
      case "turn.dtls": .dtls
      default: nil
      }
    }
  }
}
