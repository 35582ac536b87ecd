import ClientIO
import Crypto
import Foundation
import NetworkTypes
import STUN
import TLS
import TURNClient
import Testing

@Suite(
  "The client and stunclient against coturn", .serialized,
  .enabled(if: Coturn.isInstalled, "coturn's turnserver is NOT INSTALLED: nothing here was tested"))
struct CoturnTests {
  static let alice = ["STUNCLIENT_USERNAME": "alice", "STUNCLIENT_PASSWORD": "secret"]

  // MARK: - The library

  @Test func `A session on each transport allocates, relays in both framings and deletes`() throws {
    let coturn = try Coturn(port: 22100, ["--min-port", "22500", "--max-port", "22599"])
    var options = CheckOptions()
    options.timeout = 3000
    options.tls = try TLSContext(client: .authorities(.path(coturn.file("cert.pem"))))
    options.dtls = try TLSContext(client: .authorities(.path(coturn.file("cert.pem"))), isDatagram: true)
    options.credential = LongTermCredential(username: "alice", password: "secret")
    for transport in TransportProtocol.allCases {
      let report = RelayCheck.run(coturn.target(transport), options, generator: SeededGenerator(seed: [1]))
      #expect(report.verdict == nil)
      #expect(report.notes == [])
      #expect(report.peerKind == .socket)
      #expect(report.realm == "example.org")
      let relayed = report.grant?.relayedAddresses.first
      #expect(relayed.map { (22500...22599).contains($0.port) } == true)
      #expect(report.grant?.mappedAddress == report.localAddress)
      let expected = RelayReport.Name.allCases.filter {
        $0 == .connect ? transport.isStream : $0 == .tls ? transport.isSecure : $0 != .series
      }
      #expect(report.steps.map(\.name) == expected)
      #expect((report.tls == nil) == !transport.isSecure)
    }
  }

  @Test func `A series through the relay that is stopped gives the allocation back`() throws {
    let coturn = try Coturn(port: 22114)
    var options = CheckOptions()
    options.credential = LongTermCredential(username: "alice", password: "secret")
    let questions = Counter()
    let report = RelayCheck.run(
      coturn.target(), options, count: 1_000_000, interval: 1, generator: SeededGenerator(seed: [1]),
      stop: { questions.next() > 20 })
    #expect(report.verdict == nil)
    #expect((1...100).contains(report.series?.sent ?? 0) && report.series?.lost == 0)
    #expect(report.steps.last?.name == .delete)
  }

  @Test func `A series whose server goes away keeps what it has counted`() throws {
    let coturn = try Coturn(port: 22116)
    var options = CheckOptions()
    options.credential = LongTermCredential(username: "alice", password: "secret")
    options.timeout = 300
    let questions = Counter()
    let report = RelayCheck.run(
      coturn.target(), options, count: 60, interval: 5, generator: SeededGenerator(seed: [1]),
      stop: {
        if questions.next() == 100 { coturn.stop() }
        return false
      })
    let series = try #require(report.series)
    #expect(series.sent == 60 && series.received > 0 && series.lost > 0, "\(report.steps)")
    #expect(series.received + series.lost == 60)
    #expect(report.verdict?.reason == .refused && report.steps.last?.name == .delete)
  }

  @Test func `Where plain peers are forbidden a second allocation is the peer`() throws {
    // Relays stand on 127.0.0.2, from which this machine's own 127.0.0.1 is forbidden.
    let coturn = try Coturn(port: 22110, ["-E", "127.0.0.2", "--denied-peer-ip", "127.0.0.1"])
    let run = try Run(["--json", "turn:127.0.0.1:22110"], environment: Self.alice)
    #expect(run.status == 0)
    let document = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
    #expect(document["peer_kind"] as? String == "allocation")
    #expect((document["peer"] as? String)?.hasPrefix("127.0.0.2:") == true)
    #expect((document["notes"] as? [String])?.first?.contains("forbidden as a peer (403)") == true)
    withExtendedLifetime(coturn) {}
  }

  @Test func `A peer that is forbidden in every way is a failure with its reason`() throws {
    let coturn = try Coturn(port: 22112, ["--denied-peer-ip", "127.0.0.1"])
    let run = try Run(["turn:127.0.0.1:22112"], environment: Self.alice)
    #expect(run.status == 2)
    #expect(run.output.contains("403 Forbidden"))
    #expect(run.output.contains("[forbidden]"))
    withExtendedLifetime(coturn) {}
  }

  // MARK: - The program

  @Test func `Exit status 0, with each transport, family and source of credentials`() throws {
    let coturn = try Coturn(port: 22120)
    let passwordFile = coturn.file("password")
    try Data("secret\n".utf8).write(to: URL(filePath: passwordFile))
    let certificate = coturn.file("cert.pem")
    let cases: [([String], [String: String], String?)] = [
      (["127.0.0.1:22120"], [:], nil), (["127.0.0.1", "22120"], [:], nil), (["[::1]:22120"], [:], nil),
      (["--tcp", "stun:127.0.0.1:22120"], [:], nil), (["-4", "stun:localhost:22120"], [:], nil),
      (["--ca", certificate, "stuns:127.0.0.1:22121"], [:], nil), (["--insecure", "stuns:[::1]:22121"], [:], nil),
      (["turn:127.0.0.1:22120"], Self.alice, nil), (["turn:[::1]:22120"], Self.alice, nil),
      (["--relay-family", "6", "turn:127.0.0.1:22120"], Self.alice, nil),
      (["turn:127.0.0.1:22120?transport=tcp", "--username", "alice", "--password-file", passwordFile], [:], nil),
      (["--username", "alice", "--password-file", "-", "turn:127.0.0.1:22120"], [:], "secret\n"),
      (["--ca", certificate, "turns:127.0.0.1:22121"], Self.alice, nil),
      (["binding", "turn:127.0.0.1:22120"], [:], nil), (["relay", "127.0.0.1:22120"], Self.alice, nil),
    ]
    for (arguments, environment, input) in cases {
      let run = try Run(arguments, environment: environment, input: input)
      #expect(run.status == 0, "\(arguments): \(run.output) \(run.error)")
      #expect(run.error == "")
      #expect(!run.output.contains("failed"))
    }
  }

  @Test func `A REST secret makes a credential, and a wrong one is recognised`() throws {
    let coturn = try Coturn(port: 22130, users: false, ["--use-auth-secret", "--static-auth-secret", "s3cret"])
    let secretFile = coturn.file("secret")
    try Data("s3cret".utf8).write(to: URL(filePath: secretFile))
    #expect(try Run(["--secret-file", secretFile, "turn:127.0.0.1:22130"]).status == 0)
    #expect(
      try Run(["turn:127.0.0.1:22130"], environment: ["STUNCLIENT_SECRET": "s3cret", "STUNCLIENT_USERNAME": "bob"])
        .status
        == 0)
    let old = "{\"urls\":\"turn:127.0.0.1:22130\",\"username\":\"1700000000:bob\",\"credential\":\"x\"}"
    let expired = try Run(["--ice-servers", "-"], input: old)
    #expect(expired.status == 2)
    #expect(expired.output.contains("[credential-expired]") && expired.output.contains("cause: the credential ended "))
    let wrong = try Run(["turn:127.0.0.1:22130"], environment: ["STUNCLIENT_SECRET": "other"])
    #expect(wrong.status == 2)
    #expect(wrong.output.contains("[wrong-credentials]"))
    #expect(wrong.output.contains("another secret: the server refuses even what would be good for ten years"))
  }

  @Test func `Exit status 1 where a threshold was passed`() throws {
    let coturn = try Coturn(port: 22140)
    let slow = try Run(["--check", "--count", "3", "--interval", "0.01", "--warn-rtt", "0.000001", "127.0.0.1:22140"])
    #expect(slow.status == 1)
    #expect(slow.output.hasPrefix("WARNING: binding UDP 127.0.0.1:22140 mapped 127.0.0.1:"))
    #expect(slow.output.contains("the median round trip is "))
    #expect(slow.output.contains("; loss=0%;;;0;100") || slow.output.contains(" loss=0%;;;0;100"))
    #expect(slow.output.filter { $0 == "\n" }.count == 1)
    let ending = try Run(["--insecure", "--min-days", "5000", "stuns:127.0.0.1:22141"])
    #expect(ending.status == 1)
    #expect(ending.output.contains("warning: the certificate ends in 365"))
    #expect(try Run(["--insecure", "--min-days", "14", "stuns:127.0.0.1:22141"]).status == 0)
    let relay = try Run(["--check", "--warn-rtt", "0.000001", "turn:127.0.0.1:22140"], environment: Self.alice)
    #expect(relay.status == 1)
    #expect(relay.output.hasPrefix("WARNING: relay UDP 127.0.0.1:22140 relayed 127.0.0.1:"))
    withExtendedLifetime(coturn) {}
  }

  @Test func `Exit status 2 with the reason of each failure`() throws {
    let coturn = try Coturn(port: 22150, ["--user-quota", "1", "--min-port", "22600", "--max-port", "22609"])
    let wrong = ["STUNCLIENT_USERNAME": "alice", "STUNCLIENT_PASSWORD": "guess"]
    let cases: [([String], [String: String], String)] = [
      (["turn:127.0.0.1:22150"], [:], "credentials-needed"), (["turn:127.0.0.1:22150"], wrong, "wrong-credentials"),
      (["turn:127.0.0.1:22150?transport=tcp"], wrong, "wrong-credentials"), (["127.0.0.1:22159"], [:], "refused"),
      (["--tcp", "127.0.0.1:22159"], [:], "refused"), (["stun:no-such-host.invalid"], [:], "unresolved"),
      (["stuns:127.0.0.1:22151"], [:], "tls-untrusted"),
      (["--ca", coturn.file("cert.pem"), "-4", "stuns:localhost:22151"], [:], "tls-name"),
    ]
    for (arguments, environment, reason) in cases {
      let run = try Run(arguments, environment: environment)
      #expect(run.status == 2, "\(arguments)")
      #expect(run.output.contains("[\(reason)]"), "\(arguments): \(run.output)")
      #expect(run.output.contains("likely cause: "), "\(arguments): \(run.output)")
    }
    let check = try Run(["--check", "127.0.0.1:22159"])
    #expect(check.status == 2)
    #expect(
      check.output == "CRITICAL: binding 127.0.0.1:22159 over UDP: connection refused [refused]\n")

    // While one allocation of the user lives, the quota of one is reached.
    var settings = ClientAllocation.Settings()
    settings.credential = LongTermCredential(username: "alice", password: "secret")
    var holder = AllocationSession(
      try ClientConnection(
        .init(transport: .udp, remote: coturn.address), until: .init(nanoseconds: .max)),
      settings: settings, generator: SeededGenerator(seed: [3]))
    try holder.allocate()
    let full = try Run(["turn:127.0.0.1:22150"], environment: Self.alice)
    #expect(full.status == 2)
    #expect(full.output.contains("486 Allocation Quota Reached [quota]"))
    try holder.delete()
  }

  @Test func `Exit status 3 for wrong usage, said on standard error`() throws {
    let cases: [([String], [String: String], String)] = [
      ([], [:], "there is no TARGET"),
      (["security", "turn:203.0.113.9"], [:], "203.0.113.9 is neither a loopback nor a private address"),
      (["--frob", "x"], [:], "unknown option --frob"), (["turn:x?transport=sctp"], [:], "\"sctp\" is no transport"),
      (["--password-file", "/nonexistent", "--username", "a", "turn:127.0.0.1"], [:], "/nonexistent: No such file"),
      (["--ca", "/nonexistent", "stuns:127.0.0.1"], [:], "/nonexistent: can't be read: No such file or directory"),
      (["--username", "a", "turn:127.0.0.1"], [:], "--username without --password-file or --secret-file"),
      (["turn:127.0.0.1"], ["STUNCLIENT_PASSWORD": "x"], "a password without --username"),
      (["turn:127.0.0.1"], ["STUNCLIENT_PASSWORD": "x", "STUNCLIENT_SECRET": "y"], "are both set: one of them"),
    ]
    for (arguments, environment, message) in cases {
      let run = try Run(arguments, environment: environment)
      #expect(run.status == 3, "\(arguments)")
      #expect(run.error.contains(message), "\(arguments): \(run.error)")
      #expect(run.output == "")
    }
    #expect(try Run(["--check", "--frob", "x"]).output == "UNKNOWN: unknown option --frob\n")
    let help = try Run(["--help"])
    #expect(help.status == 0 && help.output.contains("Exit status: 0 good"))
  }

  @Test func `The JSON documents keep their keys`() throws {
    let coturn = try Coturn(port: 22160)
    func keys(_ arguments: [String]) throws -> Set<String> {
      let run = try Run(["--json"] + arguments, environment: Self.alice)
      let document = try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any]
      #expect(document?["exit_status"] as? Int == Int(run.status))
      return Set(document?.keys ?? [:].keys)
    }
    let common: Set = [
      "command", "target", "status", "exit_status", "failure", "warnings", "notes", "hints", "resolution",
      "family", "families",
    ]
    let binding: Set = [
      "transport", "server", "local", "mapped", "xor_mapped", "software", "fingerprint", "response_origin",
      "other_address", "connect_ms", "tls_handshake_ms", "sent", "received", "loss_percent", "rtt_ms", "tls",
    ]
    let relay: Set = [
      "transport", "server", "local", "mapped", "relayed", "lifetime", "realm", "sha256", "software", "peer",
      "peer_kind", "steps", "total_ms", "series", "tls",
    ]
    #expect(try keys(["127.0.0.1:22160"]) == common.union(binding))
    #expect(try keys(["--insecure", "stuns:127.0.0.1:22161"]) == common.union(binding))
    #expect(try keys(["127.0.0.1:22169"]) == common.union(binding))
    #expect(try keys(["turn:127.0.0.1:22160"]) == common.union(relay))
    #expect(try keys(["turn:127.0.0.1:22169"]) == common.union(relay))
    let own = common.union(["transport", "server"])
    let series = own.subtracting(["families"]).union(["local", "mapped", "remappings", "series", "tls"])
    let nat = own.union([
      "local", "mapped", "nat", "mapping", "filtering", "hairpinning", "port_preserved", "address_pooling", "alg",
      "binding_lifetime_s", "unknown", "tests",
    ])
    let security = own.union(["refused", "let_through", "unknown", "not_applicable", "findings"])
    for (command, expected) in [("ping", series), ("nat", nat), ("security", security)] {
      // With a server, and where nobody listens.
      for port in ["22160", "22169"] {
        let options = command == "ping" ? ["--count", "1", "--timeout", "0.3"] : ["--timeout", "1"]
        #expect(try keys([command] + options + ["turn:127.0.0.1:\(port)"]) == expected, "\(command) \(port)")
      }
      let none = command == "ping" ? common.subtracting(["families"]) : common
      #expect(try keys([command, "turn:no-such-host.invalid"]) == none)
    }
    #expect(try keys(["stun:no-such-host.invalid"]) == common)
    withExtendedLifetime(coturn) {}
  }
}
