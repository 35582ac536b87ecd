import ClientIO
import Foundation
import NetworkTypes
import STUN
import Testing
import TestSupport
import TURNClient

/// Tests the warnings about addresses in answers that no client, or not every client, can reach.
@Suite("Addresses that no client can reach", .serialized)
struct AddressTests {
  static func address(_ text: String, port: UInt16 = 4000) throws -> SocketAddress {
    SocketAddress(try #require(IPAddress(text)), port: port)
  }

  // MARK: - The rule

  static let inside = [
    "10.1.2.3", "172.17.0.2", "192.168.1.1", "100.64.0.1", "192.0.2.77", "fc00::1", "2001:db8::1", "::ffff:10.0.0.1",
  ]
  static let hosts = ["127.0.0.1", "169.254.0.1", "::1", "fe80::1", "::ffff:127.0.0.1"]
  static let nowhere = ["0.0.0.0", "255.255.255.255", "224.0.0.1", "240.1.1.1", "::", "ff02::1", "::ffff:0.0.0.0"]

  @Test(
    "A mapped or relayed address that is not global is a warning if the server is global",
    arguments: ["100.20.31.1", "2606:4700::1"])
  func globalServer(server: String) throws {
    let server = try Self.address(server, port: 3478)
    for text in Self.inside {
      let address = try Self.address(text)
      #expect(AddressCheck.relayed(address, server: server)?.isFatal == false, "\(text)")
      #expect(AddressCheck.mapped(address, local: nil, server: server)?.isFatal == false, "\(text)")
      // The server sees the local address, so there is no NAT.
      #expect(AddressCheck.mapped(address, local: address, server: server) == nil, "\(text)")
    }
    for text in Self.hosts {
      let address = try Self.address(text)
      #expect(AddressCheck.relayed(address, server: server)?.isFatal == true, "\(text)")
      #expect(AddressCheck.mapped(address, local: nil, server: server)?.isFatal == false, "\(text)")
    }
    for text in ["8.8.8.8", "2606:4700::2"] {
      #expect(try AddressCheck.relayed(Self.address(text), server: server) == nil, "\(text)")
      #expect(try AddressCheck.mapped(Self.address(text), local: nil, server: server) == nil, "\(text)")
    }
  }

  @Test(
    "A server in a private network may give private addresses",
    arguments: [
      ("192.168.1.5", "10.0.0.1", true), ("192.168.1.5", "127.0.0.1", false), ("127.0.0.1", "127.0.0.1", true),
      ("127.0.0.1", "172.17.0.2", true), ("fd00::5", "fc00::1", true), ("fd00::5", "fe80::1", false),
      ("::1", "::1", true), ("192.168.1.5", "8.8.8.8", true), ("fe80::1", "fe80::2", true), ("fe80::1", "::1", false),
    ])
  func privateServer(server: String, relayed: String, isGood: Bool) throws {
    let complaint = AddressCheck.relayed(try Self.address(relayed), server: try Self.address(server))
    #expect((complaint == nil) == isGood, "\(complaint.debugDescription)")
  }

  @Test("An address that no host can have, or port 0, is a failure for every server")
  func impossibleAddresses() throws {
    for server in ["127.0.0.1", "100.20.31.1", "fe80::1"] {
      let server = try Self.address(server)
      for address in try Self.nowhere.map({ try Self.address($0) }) + [try Self.address("8.8.8.8", port: 0)] {
        let relayed = AddressCheck.relayed(address, server: server)
        let mapped = AddressCheck.mapped(address, local: address, server: server)
        #expect(relayed?.isFatal == true && relayed?.failure.reason == .relayedAddress, "\(address)")
        #expect(mapped?.isFatal == true && mapped?.failure.reason == .mappedAddress, "\(address)")
      }
    }
  }

  // MARK: - The program

  /// A server on loopback that answers with these addresses.
  static func server(mapped: SocketAddress, relayed: SocketAddress) throws -> FakeServer {
    try FakeServer(
      .udp { request in
        respond(to: request) {
          $0.append(.xorMappedAddress, xor: mapped)
          if method(of: request) == .allocate { $0.append(.xorRelayedAddress, xor: relayed) }
          $0.append(.lifetime, UInt32(600))
        }
      })
  }

  @Test(
    "An impossible mapped address makes every command fail", .tags(.slow),
    arguments: [("0.0.0.0", 4000), ("255.255.255.255", 4000), ("8.8.8.8", 0), ("224.0.0.1", 9)])
  func impossibleMappedAddress(text: String, port: UInt16) throws {
    let bad = try Self.address(text, port: port)
    let server = try Self.server(mapped: bad, relayed: SocketAddress(.ipv4Loopback, port: 9))
    defer { server.stop() }
    for words in [["binding"], ["nat"], ["ping", "--count", "1"], ["relay"]] {
      let target = words == ["relay"] ? "turn:\(server.address)" : "\(server.address)"
      let run = try Run(words + ["--json", "--timeout", "0.3", target])
      let found = try document(run)
      #expect(run.status == 2 && found["exit_status"] as? Int == 2, "\(words)")
      #expect((found["failure"] as? [String: Any])?["reason"] as? String == "mapped-address", "\(run.output)")
      let check = try Run(words + ["--check", "--timeout", "0.3", target])
      #expect(check.output.hasPrefix("CRITICAL: ") && check.output.contains("[mapped-address]"), "\(check.output)")
    }
    let stuntman = try Run(["--mode", "basic", "\(server.address)"])
    #expect(stuntman.status == 2 && stuntman.output.hasPrefix("Binding test: fail\n"), "\(stuntman.output)")
  }

  @Test(
    "An impossible relayed address makes Allocate fail, and the allocation is deleted",
    arguments: [("0.0.0.0", 4000), ("127.0.0.1", 0), ("239.1.1.1", 9)])
  func impossibleRelayedAddress(text: String, port: UInt16) throws {
    let server = try Self.server(mapped: mapped, relayed: Self.address(text, port: port))
    defer { server.stop() }
    let found = try document(try Run(["--json", "turn:\(server.address)"]))
    #expect((found["failure"] as? [String: Any])?["reason"] as? String == "relayed-address")
    let steps = try #require(found["steps"] as? [[String: Any]])
    #expect(steps.map { $0["name"] as? String } == ["allocate", "delete"])
    #expect(steps[0]["reason"] as? String == "relayed-address" && steps[0]["ok"] as? Bool == false)
  }

  /// Runs a script in a network namespace in which loopback has a global and a private address, and coturn listens on
  /// the global one.
  func withCoturn(_ options: String, _ script: String) throws -> Run {
    let folder = try TemporaryDirectory()
    let text = """
      ip link set lo up && for a in 100.20.31.1 172.17.0.2; do ip addr add $a/32 dev lo || exit 98; done
      turnserver -n --no-stdout-log --log-file \(folder.path("log")) --simple-log --userdb \(folder.path("db")) \
        --pidfile \(folder.path("pid")) --no-cli --cli-password x --no-tls --no-dtls -r example.org \
        --lt-cred-mech -u alice:secret -L 100.20.31.1 \(options) >/dev/null 2>&1 &
      for try in $(seq 100); do
        \(Run.program.path) --timeout 0.1 100.20.31.1 >/dev/null && break; sleep 0.05
      done
      probe() { \(Run.program.path) "$@"; status=$?; }
      \(script)
      kill -KILL %1; exit $status
      """
    return try Run(
      ["-rnm", "bash", "-c", text],
      environment: [
        "STUNCLIENT_USERNAME": "alice", "STUNCLIENT_PASSWORD": "secret", "PATH": "/usr/sbin:/usr/bin:/bin",
      ],
      program: URL(filePath: "/usr/bin/unshare"))
  }

  @Test(
    "Every output warns if a global server gives a private relayed address", .tags(.slow),
    .enabled(if: Coturn.isInstalled, "coturn's turnserver is NOT INSTALLED: nothing here was tested"))
  func privateRelayedAddress() throws {
    let words =
      /the relayed address 172\.17\.0\.2:\d+ is private, unlike the server's \(100\.20\.31\.1\): peers/
    let json = try withCoturn("-E 172.17.0.2", "probe --json turn:100.20.31.1")
    guard json.status != 98, json.status != 1 || !json.output.isEmpty else {
      print("NOTE: unshare is refused: coturn with a private relay was not tested")
      return
    }
    let found = try document(json)
    #expect(json.status == 1 && found["status"] as? String == "warning", "\(json)")
    #expect(found["warning_reasons"] as? [String] == ["relayed-address"])
    #expect((found["warnings"] as? [String])?.first?.contains(words) == true)

    let text = try withCoturn("-E 172.17.0.2", "probe turn:100.20.31.1")
    #expect(
      text.status == 1 && text.output.contains(/warning: .* \[relayed-address\]\n  likely cause: tell the server/))
    let check = try withCoturn("-E 172.17.0.2", "probe --check turn:100.20.31.1")
    #expect(check.output.hasPrefix("WARNING: relay ") && check.output.contains("[relayed-address]"), "\(check)")
    let events = try withCoturn("-E 172.17.0.2", "probe --ndjson turn:100.20.31.1")
    #expect(events.output.contains(#""warning_reasons":["relayed-address"]"#), "\(events)")
    let metrics = try withCoturn(
      "-E 172.17.0.2", "f=$(mktemp); probe --check --prometheus $f turn:100.20.31.1; cat $f; rm $f")
    #expect(metrics.output.contains(/stunclient_warning_info\{.*reason="relayed-address"\} 1\n/), "\(metrics)")
    let deployment = try withCoturn(
      "-E 172.17.0.2",
      #"echo '{"urls":"turn:100.20.31.1","username":"alice","credential":"secret"}' > /tmp/$$; probe --check --ice-servers /tmp/$$; rm /tmp/$$"#
    )
    #expect(deployment.status == 1 && deployment.output.contains("[relayed-address]"), "\(deployment)")
    // coturn returns a private mapped address and a public relayed address.
    let mapped = try withCoturn("-E 100.20.31.1 -X 172.17.0.2", "probe binding --json 100.20.31.1")
    #expect(try document(mapped)["warning_reasons"] as? [String] == ["mapped-address"], "\(mapped)")
    for command in ["nat", "ping --count 1"] {
      let warned = try withCoturn("-E 100.20.31.1 -X 172.17.0.2", "probe \(command) --json 100.20.31.1")
      #expect(warned.status == 1, "\(warned)")
      #expect(try document(warned)["warning_reasons"] as? [String] == ["mapped-address"], "\(warned)")
    }
    let good = try withCoturn("-E 100.20.31.1", "probe --json turn:100.20.31.1")
    #expect(try document(good)["warning_reasons"] as? [String] == [], "\(good)")
    #expect(good.status == 0, "\(good)")
  }

  func document(_ run: Run) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any], "\(run)")
  }
}
