import Foundation
import NetworkTypes
import TestSupport
import Testing

/// For a name with addresses of both families, each family is checked and has a verdict.
@Suite("stunclient over IPv4 and IPv6", .serialized)
struct FamilyTests {
  /// A DNS server for which `both.test` has 127.0.0.1 and ::1.
  private func bothZone() throws -> FakeServer {
    var zone = NameServiceTests.Zone()
    zone.address("both.test", [127, 0, 0, 1])
    zone.address("both.test", [UInt8](repeating: 0, count: 15) + [1])
    let whole = zone
    return try FakeServer(.udp { whole.answer($0) })
  }

  /// A server on a port of both loopback addresses.
  private func bothServers(_ handler: @escaping FakeServer.Handler) throws -> [FakeServer] {
    for _ in 0..<20 {
      let four = try FakeServer(.udp(handler))
      if let six = try? FakeServer(.udp(handler), at: SocketAddress(.ipv6Loopback, port: four.address.port)) {
        return [four, six]
      }
      four.stop()
    }
    return [try FakeServer(.udp(handler))]
  }

  private func document(_ run: Run) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any], "\(run.output)")
  }

  @Test("NAT discovery covers both families")
  func nat() throws {
    let (servers, dns) = (try bothServers(generous), try bothZone())
    defer { for server in servers + [dns] { server.stop() } }
    let name = ["--dns-server", "\(dns.address)", "stun:both.test:\(servers[0].address.port)"]
    let found = try document(try Run(["nat", "--json", "--timeout", "0.3"] + name))
    let families = try #require(found["families"] as? [[String: Any]])
    #expect(families.map { $0["family"] as? String } == ["ipv6", "ipv4"])
    #expect(families.allSatisfy { $0["mapped"] is String && $0["tests"] is [Any] })
    let lines = try Run(["nat", "--ndjson", "--timeout", "0.3"] + name).output.split(separator: "\n")
    for family in ["ipv4", "ipv6"] {
      #expect(lines.contains { $0.contains("\"event\":\"test\"") && $0.contains("\"family\":\"\(family)\"") })
    }
    let mode = try Run(["--mode", "full", "--timeout", "0.3"] + name)
    #expect(mode.output.components(separatedBy: "Binding test: success").count == 2, "\(mode.output)")
  }

  @Test("Both families are reported if both work")
  func bothFamilies() throws {
    let (servers, dns) = (try bothServers(generous), try bothZone())
    defer { for server in servers + [dns] { server.stop() } }
    let port = servers[0].address.port
    let name = ["--dns-server", "\(dns.address)", "stun:both.test:\(port)"]
    let text = try Run(["--trace"] + name)
    #expect(text.status == 0, "\(text.output)")
    #expect(text.output.contains("resolve A/AAAA both.test: ::1, 127.0.0.1\n"))
    for address in ["[::1]", "127.0.0.1"] {
      #expect(text.output.contains("stun:both.test:\(port) (\(address):\(port) over UDP)"), "\(text.output)")
    }
    let found = try document(try Run(["--json"] + name))
    let families = try #require(found["families"] as? [[String: Any]])
    #expect(families.map { $0["family"] as? String } == ["ipv6", "ipv4"])
    #expect(families.map { $0["status"] as? String } == ["ok", "ok"])
    #expect(families.map { $0["server"] as? String } == ["[::1]:\(port)", "127.0.0.1:\(port)"])
    #expect(found["family"] as? String == "ipv6" && found["server"] as? String == "[::1]:\(port)")
    let check = try Run(["--check", "--warn-rtt", "0.000001"] + name)
    #expect(check.status == 1)
    let line = /WARNING: binding IPv6: UDP \[::1\].*; IPv4: UDP 127\.0\.0\.1.*; IPv6: the median .*; IPv4: the median/
    #expect(check.output.prefixMatch(of: line) != nil, "\(check.output)")
    #expect(check.output.contains(" rtt_ipv6=") && check.output.contains(" loss_ipv4=0%;;;0;100\n"))
    let series = try Run(["--count", "2", "--interval", "0.01"] + name)
    for label in ["IPv6 1: ", "IPv6 2: ", "IPv4 1: ", "IPv4 2: "] { #expect(series.output.contains("\(label)198.51")) }
  }

  @Test("-4, -6 and a local address limit the check to one family")
  func oneFamily() throws {
    let (servers, dns) = (try bothServers(generous), try bothZone())
    defer { for server in servers + [dns] { server.stop() } }
    let name = ["--dns-server", "\(dns.address)", "stun:both.test:\(servers[0].address.port)"]
    for (option, key) in [("-4", "ipv4"), ("-6", "ipv6")] {
      let found = try document(try Run(["--json", option] + name))
      #expect(found["status"] as? String == "ok" && found["family"] as? String == key)
      #expect((found["families"] as? [Any])?.isEmpty == true)
    }
    // A local address restricts the families too.
    let bound = try document(try Run(["--json", "--localaddr", "127.0.0.1"] + name))
    #expect(bound["family"] as? String == "ipv4" && (bound["families"] as? [Any])?.isEmpty == true)
    // stuntman's client uses one IPv4 address, so its lines appear once.
    let mode = try Run(["--mode", "basic"] + name).output.split(separator: "\n")
    #expect(mode.count == 3 && mode[1].hasPrefix("Local address: 127.0.0.1:"))
    let operands = try Run(["--dns-server", "\(dns.address)", "both.test", "\(servers[0].address.port)"])
    #expect(operands.output.split(separator: "\n").count { $0.hasPrefix("Mapped address: ") } == 1)
    #expect(operands.output.contains("Local address: 127.0.0.1:"))
    #expect(operands.output.contains("note: over IPv4 only; -6 checks IPv6"))
  }

  @Test(
    "A family without an answer is a failure that names it", .tags(.slow), arguments: [IPAddress.Family.ipv4, .ipv6])
  func silentFamily(working: IPAddress.Family) throws {
    let address = SocketAddress(working == .ipv4 ? .ipv4Loopback : .ipv6Loopback, port: 0)
    let (server, dns) = (try FakeServer(.udp(generous), at: address), try bothZone())
    defer {
      server.stop()
      dns.stop()
    }
    let port = server.address.port
    let (dead, record) = working == .ipv4 ? ("IPv6", "AAAA") : ("IPv4", "A")
    let deadPlace = working == .ipv4 ? "[::1]:\(port)" : "127.0.0.1:\(port)"
    let options = ["--dns-server", "\(dns.address)"]
    let text = try Run(options + ["stun:both.test:\(port)"])
    #expect(text.status == 2)
    #expect(text.output.contains("failed: \(dead): \(deadPlace) over UDP: connection refused [refused]"))
    let cause =
      "the name has an \(record) record, but the server does not listen on \(dead): "
      + "listen there, or remove the record"
    #expect(text.output.contains("  likely cause: \(cause)\n"))
    #expect(text.output.contains("  mapped address   198.51.100.1:4000\n"))

    let found = try document(try Run(["--json"] + options + ["stun:both.test:\(port)"]))
    let failure = found["failure"] as? [String: Any]
    #expect(failure?["reason"] as? String == "refused" && failure?["likely_cause"] as? String == cause)
    // The figures are those of the family that works.
    #expect(found["mapped"] as? String == "198.51.100.1:4000")
    let families = try #require(found["families"] as? [[String: Any]])
    #expect(families.map { $0["status"] as? String } == (working == .ipv4 ? ["failed", "ok"] : ["ok", "failed"]))

    let check = try Run(["--check"] + options + ["stun:both.test:\(port)"])
    #expect(check.output.hasPrefix("CRITICAL: binding \(dead): \(deadPlace) over UDP: connection refused [refused]; "))
    #expect(check.output.split(separator: "\n").count == 1)

    // The server of this test relays nothing, which is another failure than a missing listener.
    let relay = try document(
      try Run(["--json", "--timeout", "0.2"] + options + ["turn:both.test:\(port)?transport=udp"]))
    let reasons = (relay["families"] as? [[String: Any]])?.map {
      ($0["failure"] as? [String: Any])?["reason"] as? String
    }
    #expect(reasons == (working == .ipv4 ? ["refused", "echo-lost"] : ["echo-lost", "refused"]))

    let ping = try document(
      try Run(["ping", "--json", "--count", "1"] + options + ["stun:both.test:\(port)"]))
    #expect(ping["status"] as? String == "ok" && ping["family"] as? String == (working == .ipv4 ? "ipv4" : "ipv6"))
    #expect(
      (ping["notes"] as? [String])?.contains { $0.hasPrefix("over \(working == .ipv4 ? "IPv4" : "IPv6") only") } == true
    )
  }

  @Test("A family without a route on this machine is left out with a note")
  func missingRoute() throws {
    // The program runs in a network namespace with only loopback, and with another hosts file.
    let hosts = FileManager.default.temporaryDirectory.appending(path: "hosts-\(UInt64.random(in: 0 ... .max))")
    try Data("127.0.0.1 both.test\n2001:db8::1 both.test\n".utf8).write(to: hosts)
    defer { try? FileManager.default.removeItem(at: hosts) }
    func run(_ arguments: String, after preparation: String = "true") throws -> Run {
      let script =
        "mount --bind \(hosts.path) /etc/hosts && ip link set lo up && { \(preparation) ; } || exit 99; "
        + "exec \(Run.program.path) \(arguments)"
      return try Run(["-rnm", "sh", "-c", script], program: URL(filePath: "/usr/bin/unshare"))
    }
    guard try run("--version").status == 0 else {
      print("NOTE: unshare is refused: a family without a route was not tested")
      return
    }
    let text = try run("stun:both.test:9")
    #expect(text.output.contains("failed: IPv4: 127.0.0.1:9 over UDP: connection refused [refused]"), "\(text.output)")
    #expect(
      text.output.contains(
        "note: IPv6 was not checked: this machine has no route to 2001:db8::1 (Network is unreachable)"))
    let families = try #require(try document(try run("--json stun:both.test:9"))["families"] as? [[String: Any]])
    #expect(Set(families.compactMap { $0["status"] as? String }) == ["failed", "skipped"])
    // The namespace has a default route, but only a link-local address.
    let way =
      "ip link add v0 type veth peer name v1 && echo 0 > /proc/sys/net/ipv6/conf/v0/accept_dad && "
      + "ip link set v0 up && ip link set v1 up && ip -6 route add default dev v0 && "
      + "for try in $(seq 200); do ip -6 address show v0 | grep -q 'inet6 fe80' && break; sleep 0.01; done"
    let local = try run("stun:both.test:9", after: way)
    if local.status == 99 {
      print("NOTE: veth is not available: a family with a link-local address only was not tested")
    } else {
      #expect(
        local.output.contains("note: IPv6 was not checked: this machine has only the link-local address fe80::"),
        "\(local.output)")
    }
    let six = try run("-6 stun:both.test:9")
    #expect(six.status == 2 && six.output.contains("[unreachable]"))
  }
}
