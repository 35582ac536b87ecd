import Foundation
import NetworkTypes
import Synchronization
import Testing

/// Tests the program with a DNS server of the test.
@Suite("stunclient and the domain name system", .serialized)
struct NameServiceTests {
  /// The records of a DNS server on loopback, by name and type.
  struct Zone: Sendable {
    var records: [String: [[UInt8]]] = [:]

    static func name(_ text: String) -> [UInt8] {
      text.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    static func text(_ text: String) -> [UInt8] { [UInt8(text.utf8.count)] + Array(text.utf8) }
    static func word(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(truncatingIfNeeded: value)] }

    mutating func address(_ name: String, _ bytes: [UInt8]) {
      records["\(bytes.count == 4 ? 1 : 28) \(name)", default: []].append(bytes)
    }

    mutating func service(_ name: String, _ priority: UInt16, _ port: UInt16, _ target: String) {
      let data = Self.word(priority) + Self.word(0) + Self.word(port) + Self.name(target)
      records["33 \(name)", default: []].append(data)
    }

    mutating func naming(_ name: String, _ order: UInt16, _ flags: String, _ services: String, _ target: String) {
      let data = Self.word(order) + Self.word(1) + Self.text(flags) + Self.text(services) + [0] + Self.name(target)
      records["35 \(name)", default: []].append(data)
    }

    /// The reply to a query.
    func answer(_ query: [UInt8]) -> [[UInt8]] {
      var labels: [String] = []
      var index = 12
      while index < query.count, query[index] != 0 {
        let count = Int(query[index])
        guard index + 1 + count < query.count else { return [] }
        labels.append(String(decoding: query[(index + 1)..<(index + 1 + count)], as: UTF8.self).lowercased())
        index += 1 + count
      }
      guard index + 5 <= query.count else { return [] }
      let type = UInt16(query[index + 1]) << 8 | UInt16(query[index + 2])
      let found = records["\(type) \(labels.joined(separator: "."))"] ?? []
      let question = Array(query[12..<(index + 5)])
      var reply = Array(query.prefix(2))
      reply += [0x85, found.isEmpty ? 0x83 : 0x80, 0, 1]
      reply += Self.word(UInt16(found.count)) + [0, 0, 0, 0]
      reply += question
      for data in found {
        reply += [0xC0, 12]
        reply += Self.word(type)
        reply += [0, 1, 0, 0, 0, 60]
        reply += Self.word(UInt16(data.count)) + data
      }
      return [reply]
    }
  }

  func start(_ zone: Zone) throws -> FakeServer { try FakeServer(.udp { zone.answer($0) }) }

  func document(_ run: Run) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any], "\(run.output)")
  }

  @Test("SRV records lead to the server, and --trace shows each step")
  func srv() throws {
    let stun = try FakeServer(.udp(generous))
    var zone = Zone()
    zone.service("_stun._udp.example.test", 20, 9, "dead.example.test")
    zone.service("_stun._udp.example.test", 10, stun.address.port, "stun.example.test")
    zone.address("stun.example.test", [127, 0, 0, 1])
    zone.address("dead.example.test", [127, 0, 0, 1])
    let dns = try start(zone)
    defer {
      stun.stop()
      dns.stop()
    }
    let run = try Run(["--dns-server", "\(dns.address)", "--trace", "stun:example.test"])
    #expect(run.status == 0, "\(run.output)\(run.error)")
    #expect(
      run.output.contains(
        "resolve SRV _stun._udp.example.test: 20 0 9 dead.example.test, 10 0 \(stun.address.port) stun.example.test"))
    #expect(run.output.contains("resolve A/AAAA stun.example.test: 127.0.0.1\n"))
    #expect(run.output.contains("(127.0.0.1:\(stun.address.port) over UDP)"))
    let found = try document(try Run(["--dns-server", "\(dns.address)", "--json", "stun:example.test"]))
    let resolution = try #require(found["resolution"] as? [[String: Any]])
    #expect(resolution.map { $0["query"] as? String } == ["SRV", "A/AAAA", "A/AAAA"])
  }

  @Test("NAPTR records choose the transport, and the next server is tried after a dead one")
  func naptr() throws {
    let turn = try FakeServer(.tcp(generous))
    var zone = Zone()
    zone.naming("example.test", 10, "s", "RELAY:turn.udp", "_turn._udp.example.test")
    zone.naming("example.test", 20, "s", "RELAY:turn.tcp", "_turn._tcp.example.test")
    zone.service("_turn._udp.example.test", 0, 9, "turn.example.test")
    zone.service("_turn._tcp.example.test", 0, turn.address.port, "turn.example.test")
    zone.address("turn.example.test", [127, 0, 0, 1])
    let dns = try start(zone)
    defer {
      turn.stop()
      dns.stop()
    }
    let run = try Run(["binding", "--dns-server", "\(dns.address)", "--trace", "turn:example.test"])
    #expect(run.status == 0, "\(run.output)\(run.error)")
    #expect(
      run.output.contains("resolve NAPTR example.test: 10 1 \"s\" \"RELAY:turn.udp\" _turn._udp.example.test, 20 1 "))
    #expect(run.output.contains("over TCP)"))
    #expect(run.output.contains("note: first tried: 127.0.0.1:9 over UDP: connection refused"))
  }

  @Test("Silent name servers end a long lookup before it has asked for every target")
  func silentTargets() throws {
    var zone = Zone()
    for index in 1...9 { zone.service("_stun._udp.example.test", UInt16(index), 9, "target\(index).test") }
    let answers = zone
    let asked = Mutex<Set<[UInt8]>>([])
    let dns = try FakeServer(
      .udp { query in
        let name = query.dropFirst(12).prefix { $0 != 0 }
        if name.endIndex + 2 < query.count, query[name.endIndex + 2] == 33 { return answers.answer(query) }
        // A and AAAA get no answer.
        asked.withLock { _ = $0.insert(Array(name)) }
        return []
      })
    defer { dns.stop() }
    let run = try Run(["--dns-server", "\(dns.address)", "--timeout", "0.05", "--trace", "stun:example.test"])
    #expect(run.status == 2 && run.output.contains("[unresolved]"), "\(run.output)")
    #expect(run.output.contains(": not asked: the lookup has taken too long\n"), "\(run.output)")
    let names = asked.withLock { $0 }
    // The name itself is always asked for.
    #expect((2...8).contains(names.count) && names.contains([7] + Array("example".utf8) + [4] + Array("test".utf8)))
  }

  @Test("An unknown name, a silent name server and an unknown zone are failures with their reasons")
  func failures() throws {
    let dns = try start(Zone())
    let silent = try FakeServer(.udp { _ in [] })
    defer {
      dns.stop()
      silent.stop()
    }
    let missing = try Run(["--dns-server", "\(dns.address)", "stun:nowhere.test"])
    #expect(missing.status == 2 && missing.output.contains("[unresolved]"), "\(missing.output)")
    let begin = Date()
    let unanswered = try Run(["--dns-server", "\(silent.address)", "--timeout", "0.2", "--trace", "turn:nowhere.test"])
    #expect(unanswered.status == 2 && unanswered.output.contains("[unresolved]"))
    #expect(unanswered.output.contains("resolve NAPTR nowhere.test: no answer from the name servers\n"))
    #expect(!unanswered.output.contains("SRV"))
    #expect(Date().timeIntervalSince(begin) < 10)
    let scoped = try Run(["stun:[fe80::1%no-such-if]"])
    #expect(scoped.output.contains("there is no interface no-such-if [unresolved]"))
    // The address does not exist on loopback, so the check fails; but the output has the zone as the interface's
    // number.
    let loopback = try Run(["--timeout", "0.2", "stun:[fe80::1%lo]"])
    #expect(loopback.status == 2 && loopback.output.contains("([fe80::1%1]:3478 over UDP)"), "\(loopback.output)")
  }
}
