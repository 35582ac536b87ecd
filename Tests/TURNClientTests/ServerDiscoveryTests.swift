import Crypto
import NetworkTypes
import Testing

@testable import TURNClient

@Suite("Server discovery from a URI")
struct ServerDiscoveryTests {
  /// A name service with fixed records.
  struct Table: NameService {
    var naming: [String: [NamingRecord]] = [:]
    var services: [String: [ServiceRecord]] = [:]
    var hosts: [String: [String]] = [:]
    var isSilent = false
    /// The number of queries before the time is over.
    var queriesInTime = Int.max
    private var queries = 0

    var isInTime: Bool { queries < queriesInTime }

    mutating func naming(of name: String) throws(LookupFailure) -> [NamingRecord] { try find(naming[name]) }
    mutating func services(of name: String) throws(LookupFailure) -> [ServiceRecord] { try find(services[name]) }
    mutating func addresses(of name: String) throws(LookupFailure) -> [SocketAddress] {
      queries += 1
      guard let found = hosts[name] else { throw .notFound }
      return found.compactMap { IPAddress($0).map { SocketAddress($0, port: 0) } }
    }

    private mutating func find<T>(_ found: [T]?) throws(LookupFailure) -> [T] {
      queries += 1
      if isSilent { throw .silent }
      guard let found else { throw .notFound }
      return found
    }
  }

  static let hosts = ["a.net": ["192.0.2.1", "2001:db8::1"], "b.net": ["192.0.2.2"], "example.com": ["192.0.2.9"]]

  func run(_ uri: String, _ table: Table, _ transport: TransportProtocol? = nil) throws -> ServerDiscovery {
    var table = table
    if table.hosts.isEmpty { table.hosts = Self.hosts }
    var generator = SeededGenerator(seed: [1])
    return ServerDiscovery.run(
      try ServerURI(parsing: uri), name: "example.com", transport: transport, service: &table, generator: &generator)
  }

  func found(_ discovery: ServerDiscovery) -> [String] { discovery.candidates.map { "\($0.transport) \($0.address)" } }
  func asked(_ discovery: ServerDiscovery) -> [String] { discovery.trace.map { "\($0.kind) \($0.name)" } }

  @Test("With a port in the URI only the address is looked up")
  func port() throws {
    let discovery = try run("turn:example.com:3478", Table())
    #expect(asked(discovery) == ["A/AAAA example.com"])
    #expect(found(discovery) == ["udp 192.0.2.9:3478"])
  }

  @Test("With a transport in the URI its SRV record is looked up, then the address")
  func transport() throws {
    for (uri, name, port) in [
      ("turn:example.com?transport=tcp", "_turn._tcp.example.com", "tcp 192.0.2.9:3478"),
      ("turns:example.com?transport=tcp", "_turns._tcp.example.com", "tls 192.0.2.9:5349"),
      ("turns:example.com?transport=udp", "_turns._udp.example.com", "dtls 192.0.2.9:5349"),
      ("stun:example.com", "_stun._udp.example.com", "udp 192.0.2.9:3478"),
      ("stuns:example.com", "_stuns._tcp.example.com", "tls 192.0.2.9:5349"),
    ] {
      let discovery = try run(uri, Table())
      #expect(asked(discovery) == ["SRV \(name)", "A/AAAA example.com"])
      #expect(found(discovery) == [port])
    }
    let insisted = try run("stun:example.com", Table(), .tcp)
    #expect(asked(insisted) == ["SRV _stun._tcp.example.com", "A/AAAA example.com"])
  }

  @Test("SRV records give hosts and ports by priority, each with its addresses")
  func srv() throws {
    var table = Table()
    table.services["_turn._udp.example.com"] = [
      ServiceRecord(priority: 20, weight: 0, port: 4000, target: "b.net"),
      ServiceRecord(priority: 10, weight: 0, port: 3000, target: "a.net"),
    ]
    let discovery = try run("turn:example.com?transport=udp", table)
    #expect(found(discovery) == ["udp 192.0.2.1:3000", "udp [2001:db8::1]:3000", "udp 192.0.2.2:4000"])
  }

  /// The example of RFC 5928 section 4.2.
  @Test("NAPTR records choose transports and lead to SRV records and hosts")
  func naptr() throws {
    var table = Table()
    table.naming["example.com"] = [
      NamingRecord(
        order: 100, preference: 10, flags: "", services: "RELAY:turn.udp", replacement: "datagram.example.com"),
      NamingRecord(
        order: 200, preference: 10, flags: "", services: "RELAY:turn.tcp:turn.tls", replacement: "stream.example.com"),
    ]
    table.naming["datagram.example.com"] = [
      NamingRecord(
        order: 100, preference: 10, flags: "S", services: "RELAY:turn.udp", replacement: "_udp._turn.example.com")
    ]
    table.naming["stream.example.com"] = [
      NamingRecord(
        order: 100, preference: 10, flags: "S", services: "RELAY:turn.tcp", replacement: "_turn._tcp.example.com"),
      NamingRecord(order: 200, preference: 10, flags: "A", services: "RELAY:turn.tls", replacement: "a.net"),
    ]
    table.services["_udp._turn.example.com"] = [ServiceRecord(priority: 0, weight: 0, port: 3478, target: "a.net")]
    table.services["_turn._tcp.example.com"] = [ServiceRecord(priority: 0, weight: 0, port: 5000, target: "a.net")]
    #expect(
      found(try run("turn:example.com", table)) == [
        "udp 192.0.2.1:3478", "udp [2001:db8::1]:3478", "tcp 192.0.2.1:5000", "tcp [2001:db8::1]:5000",
      ])
    #expect(found(try run("turns:example.com", table)) == ["tls 192.0.2.1:5349", "tls [2001:db8::1]:5349"])
    table.naming["example.com"] = [
      NamingRecord(order: 1, preference: 1, flags: "a", services: "RELAY:turn.dtls", replacement: "b.net")
    ]
    #expect(found(try run("turns:example.com", table)) == ["dtls 192.0.2.2:5349"])
  }

  @Test("Without NAPTR records every transport's SRV record is looked up")
  func noNAPTR() throws {
    var table = Table()
    table.services["_turn._tcp.example.com"] = [ServiceRecord(priority: 0, weight: 0, port: 80, target: "b.net")]
    let discovery = try run("turn:example.com", table)
    #expect(
      asked(discovery) == [
        "NAPTR example.com", "SRV _turn._udp.example.com", "SRV _turn._tcp.example.com", "A/AAAA b.net",
      ])
    #expect(found(discovery) == ["tcp 192.0.2.2:80"])
  }

  @Test("After a service that is not offered, a loop or silent servers the plain address is used")
  func fallback() throws {
    var table = Table()
    table.services["_stun._udp.example.com"] = [ServiceRecord(priority: 0, weight: 0, port: 0, target: ".")]
    #expect(found(try run("stun:example.com", table)) == ["udp 192.0.2.9:3478"])
    table.naming["example.com"] = [
      NamingRecord(order: 1, preference: 1, flags: "", services: "RELAY:turn.udp:turn.tcp", replacement: "example.com")
    ]
    let loop = try run("turn:example.com", table)
    #expect(loop.trace.count <= 32)
    #expect(found(loop) == ["udp 192.0.2.9:3478"] || loop.trace.count == 32)
    table = Table()
    table.isSilent = true
    let silent = try run("turn:example.com", table)
    #expect(asked(silent) == ["NAPTR example.com", "A/AAAA example.com"])
    #expect(found(silent) == ["udp 192.0.2.9:3478"])
    table.hosts = ["x": []]
    #expect(try run("turn:example.com:1", table).failure == .notFound)
  }

  @Test("When the time is over, only the name's own address is looked up, and only if there is no candidate")
  func outOfTime() throws {
    var table = Table()
    table.naming["example.com"] = [
      NamingRecord(order: 1, preference: 1, flags: "a", services: "RELAY:turn.udp", replacement: "dead.net"),
      NamingRecord(order: 2, preference: 1, flags: "a", services: "RELAY:turn.udp", replacement: "a.net"),
      NamingRecord(order: 3, preference: 1, flags: "s", services: "RELAY:turn.udp", replacement: "_turn._udp.b.net"),
      NamingRecord(order: 4, preference: 1, flags: "", services: "RELAY:turn.udp", replacement: "c.net"),
    ]
    for (queries, last, addresses) in [
      (1, ["A/AAAA dead.net", "A/AAAA example.com"], ["udp 192.0.2.9:3478"]),
      (2, ["A/AAAA dead.net", "A/AAAA a.net", "A/AAAA example.com"], ["udp 192.0.2.9:3478"]),
      (3, ["A/AAAA dead.net", "A/AAAA a.net", "SRV _turn._udp.b.net"], Self.both),
      (4, ["A/AAAA dead.net", "A/AAAA a.net", "SRV _turn._udp.b.net", "NAPTR c.net"], Self.both),
    ] {
      table.queriesInTime = queries
      let discovery = try run("turn:example.com", table)
      #expect(asked(discovery) == ["NAPTR example.com"] + last)
      #expect(found(discovery) == addresses)
      #expect(discovery.trace[queries].failure == .outOfTime)
    }
  }

  static let both = ["udp 192.0.2.1:3478", "udp [2001:db8::1]:3478"]

  @Test("A name has a bounded number of candidates")
  func manyAddresses() throws {
    var table = Table()
    table.hosts = ["example.com": (1...100).map { "192.0.2.\($0)" }]
    #expect(found(try run("turn:example.com:1", table)) == (1...64).map { "udp 192.0.2.\($0):1" })
  }

  @Test("Among equal priorities a heavier record is first more often, and weight 0 sometimes")
  func weights() {
    var generator = SeededGenerator(seed: [2])
    let records = [(0, "zero"), (10, "light"), (90, "heavy")].map {
      ServiceRecord(priority: 1, weight: UInt16($0.0), port: 1, target: $0.1)
    }
    var first: [String: Int] = [:]
    for _ in 0..<1000 {
      let ordered = ServerDiscovery.ordered(records, &generator)
      #expect(ordered.count == 3)
      first[ordered[0].target, default: 0] += 1
    }
    #expect((850...930).contains(first["heavy"] ?? 0))
    #expect((1...40).contains(first["zero"] ?? 0))
  }

  @Test(
    "IPv6 zones are read and written",
    arguments: [
      ("stun:[fe80::1%eth0]:3478", "eth0", "stun:[fe80::1%eth0]:3478"), ("fe80::1%2", "2", "stun:[fe80::1%2]"),
      ("turn:[fe80::1%25eth0.5]", "eth0.5", "turn:[fe80::1%eth0.5]"), ("[fe80::1%lo]:99", "lo", "stun:[fe80::1%lo]:99"),
    ])
  func zones(text: String, zone: String, written: String) throws {
    let uri = try ServerURI(parsing: text)
    #expect(uri.zone == zone)
    #expect(uri.description == written)
  }

  @Test(
    "Meaningless zones are refused",
    arguments: ["stun:[2001:db8::1%eth0]", "stun:[fe80::1%]", "stun:[fe80::1%a/b]", "stun:127.0.0.1%lo"])
  func wrongZones(text: String) {
    #expect(throws: ServerURI.ParsingError.self) { try ServerURI(parsing: text) }
  }
}
