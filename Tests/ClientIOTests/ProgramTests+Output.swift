import ClientIO
import Foundation
import NetworkTypes
import STUN
import Synchronization
import Testing
import TestSupport

/// Tests of the Prometheus file, of the text and of stuntman's lines.
extension ProgramTests {
  @Test("The Prometheus file is complete, readable by all, and holds the failure's reason")
  func prometheus() throws {
    let coturn = try Coturn(port: 24130)
    let path = coturn.file("stun.prom")
    let run = try Run(
      ["--insecure", "--prometheus", path, "turns:127.0.0.1:24131"], environment: Self.alice)
    #expect(run.status == 0)
    let text = try String(contentsOf: URL(filePath: path), encoding: .utf8)
    let labels = "{command=\"relay\",target=\"turns:127.0.0.1:24131\""
    for line in [
      "# TYPE stunclient_success gauge", "stunclient_success\(labels)} 1", "stunclient_exit_status\(labels)} 0",
      "stunclient_step_seconds\(labels),step=\"allocate\",ok=\"true\"}",
      "stunclient_certificate_expiry_timestamp_seconds\(labels)} ",
    ] {
      #expect(text.contains(line), "\(line) in \(text)")
    }
    #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o644)
    #expect(try Run(["--prometheus", path, "127.0.0.1:24139"]).status == 2)
    let after = try String(contentsOf: URL(filePath: path), encoding: .utf8)
    #expect(
      after.contains(
        "stunclient_failure_info{command=\"binding\",target=\"stun:127.0.0.1:24139\",reason=\"refused\"} 1"))
    #expect(!after.contains("relay"))
    let unwritable = try Run(["--prometheus", "/nonexistent/x.prom", "127.0.0.1:24130"])
    #expect(unwritable.status == 3)
    #expect(unwritable.error.contains("/nonexistent/x.prom: No such file or directory"))
    let twice = "[{\"urls\":[\"stun:127.0.0.1:24149\",\"stun:127.0.0.1:24149\"]}]"
    let shared = NSTemporaryDirectory() + "stunclient-\(ProcessInfo.processInfo.processIdentifier).prom"
    #expect(try Run(["--ice-servers", "-", "--prometheus", shared], input: twice).status == 2)
    let series = try String(contentsOfFile: shared, encoding: .utf8).split(separator: "\n").map {
      $0.prefix { $0 != " " }
    }
    .filter { !$0.hasPrefix("#") }
    #expect(!series.isEmpty && Set(series).count == series.count)
    try FileManager.default.removeItem(atPath: shared)
  }

  @Test("The text begins with the addresses, and stuntman's lines appear for stuntman's operands")
  func text() throws {
    let coturn = try Coturn(port: 24140)
    let pattern = /Binding test: success\nLocal address: 127\.0\.0\.1:\d+\nMapped address: 127\.0\.0\.1:\d+\n/
    // Scripts for stuntman's client give host and port as separate operands: stuntman's lines follow the heading.
    let operands = try Run(["127.0.0.1", "24140"])
    #expect(operands.output.hasPrefix("stun:127.0.0.1:24140 (127.0.0.1:24140 over UDP)\nBinding test: success\n"))
    #expect(operands.output.firstMatch(of: pattern) != nil, "\(operands.output)")
    for words in [["127.0.0.1:24140"], ["nat", "127.0.0.1:24140"], ["binding", "127.0.0.1", "24140"]] {
      let text = try Run(words).output
      let top =
        /stun:127\.0\.0\.1:24140 \(127\.0\.0\.1:24140 over UDP\)\n  local address    127\.0\.0\.1:\d+\n  mapped address   127\.0\.0\.1:\d+\n/
      #expect(text.prefixMatch(of: top) != nil && !text.contains("test: "), "\(text)")
    }
    // The note says what this coturn lacks for a full answer.
    let nat = try Run(["nat", "127.0.0.1:24140"])
    #expect(nat.status == 0 && nat.output.contains("note: for a full answer the server needs two IP addresses and two"))
    #expect(nat.output.contains("turnpike: nat-discovery.primary and nat-discovery.alternate"))
    for arguments in [
      ["--mode", "basic", "127.0.0.1", "24140"], ["--mode", "basic", "--protocol", "tcp", "127.0.0.1", "24140"],
      ["--family", "4", "--verbosity", "3", "--mode=basic", "localhost", "24140"],
    ] {
      let run = try Run(arguments)
      #expect(run.output.wholeMatch(of: pattern) != nil, "\(arguments): \(run.output) \(run.error)")
    }
    let bound = try Run(["--mode", "basic", "--localaddr", "127.0.0.5", "--localport", "24149", "127.0.0.1", "24140"])
    #expect(bound.output.contains("Local address: 127.0.0.5:24149\nMapped address: 127.0.0.5:24149\n"))
    #expect(try Run(["--mode", "basic", "--localaddr", "lo", "127.0.0.1", "24140"]).status == 0)
    #expect(try Run(["--localaddr", "no-such-if", "127.0.0.1", "24140"]).status == 3)
    let failed = try Run(["--mode", "FULL", "--protocol", "UDP", "127.0.0.1", "24148"])
    #expect(failed.output == "Binding test: fail\nBehavior test: fail\nFiltering test: fail\n")
    #expect(failed.error.contains("[refused]") && failed.status == 2)
    // This coturn has only one address.
    let untested = try Run(["--mode", "filtering", "127.0.0.1", "24140"])
    #expect(untested.output.hasSuffix("Filtering test: fail\n") && untested.status == 2)
    withExtendedLifetime(coturn) {}
  }

  @Test("nat over TCP tests the mapping and prints no lines about filtering")
  func natOverTCP() throws {
    // One of the server's addresses: it answers with the given mapped port and OTHER-ADDRESS.
    func server(_ address: IPAddress, _ port: UInt16, _ mappedPort: UInt16, other: SocketAddress) throws -> FakeServer {
      try FakeServer(
        .tcp { request in
          respond(to: request) {
            $0.append(.xorMappedAddress, xor: SocketAddress(IPAddress(198, 51, 100, 1), port: mappedPort))
            $0.append(.otherAddress, plain: other)
          }
        }, at: SocketAddress(address, port: port))
    }
    let second = IPAddress(127, 0, 0, 2)
    let cases: [([UInt16], String, String)] = [
      ([4000, 4000, 4000], "Endpoint Independent Mapping", "endpoint-independent"),
      ([4000, 4001, 4001], "Address Dependent Mapping", "address-dependent"),
      ([4000, 4001, 4002], "Address and Port Dependent Mapping", "address-and-port-dependent"),
    ]
    for (index, (ports, words, key)) in cases.enumerated() {
      let port = UInt16(24_212 + 2 * index)
      let other = SocketAddress(second, port: port + 1)
      let servers = [
        try server(.ipv4Loopback, port, ports[0], other: other), try server(second, port, ports[1], other: other),
        try server(second, port + 1, ports[2], other: other),
      ]
      defer { for server in servers { server.stop() } }
      let run = try Run(["--mode", "full", "--protocol", "tcp", "127.0.0.1", "\(port)"])
      let pattern = /Binding test: success\nLocal address: 127\.0\.0\.1:\d+\nMapped address: 198\.51\.100\.1:4000\n(.*)/
      let rest = run.output.wholeMatch(of: pattern.dotMatchesNewlines())?.output.1
      #expect(
        run.status == 0 && rest == "Behavior test: success\nNat behavior: \(words)\n", "\(run.output)\(run.error)")
      let found = try document(try Run(["nat", "--tcp", "--json", "127.0.0.1:\(port)"]))
      #expect(
        found["mapping"] as? String == key && found["filtering"] is NSNull && found["transport"] as? String == "tcp")
      #expect((found["unknown"] as? [String: String])?["filtering"] == "can be tested over UDP only")
    }
    let unreachable = try Run(["--mode", "full", "--protocol", "tcp", "127.0.0.1", "24148"])
    #expect(unreachable.output == "Binding test: fail\nBehavior test: fail\n")
    #expect(unreachable.error.contains("[refused]") && unreachable.status == 2)
  }

  @Test("Credentials made from a secret open a relay")
  func credentials() throws {
    let coturn = try Coturn(port: 24150, users: false, ["--use-auth-secret", "--static-auth-secret", "s3cret"])
    let made = try Run(
      ["credentials", "--username", "42", "--ttl", "60", "turn:127.0.0.1:24150", "turn:127.0.0.1:24150?transport=tcp"],
      environment: ["STUNCLIENT_SECRET": "s3cret"])
    #expect(made.status == 0, "\(made.error)")
    #expect(try Run(["--ice-servers", "-", "--check"], input: made.output).status == 0)
    let bare = try document(try Run(["credentials"], environment: ["STUNCLIENT_SECRET": "s3cret"]))
    #expect(bare["ttl"] as? Int == 86_400 && (bare["username"] as? String)?.contains(":") == false)
    #expect(
      try Run(["credentials", "turn:a"]).error.contains("there is no secret: --secret-file FILE, or STUNCLIENT_SECRET"))
    #expect(
      try Run(["credentials", "stun:a"], environment: ["STUNCLIENT_SECRET": "x"]).error
        .contains("credentials are for turn: and turns: URIs"))
    withExtendedLifetime(coturn) {}
  }
}
