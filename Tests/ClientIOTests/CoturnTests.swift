import ClientIO
import Crypto
import Foundation
import NetworkTypes
import STUN
import TestSupport
import Testing
import TLS
import TURNClient

@Suite(
  "The client and stunclient against coturn", .serialized,
  .enabled(if: Coturn.isInstalled, "coturn's turnserver is NOT INSTALLED: nothing here was tested"))
struct CoturnTests {
  static let alice = ["STUNCLIENT_USERNAME": "alice", "STUNCLIENT_PASSWORD": "secret"]

  // MARK: - The library

  @Test("A session over each transport allocates, relays in both framings and deletes")
  func session() throws {
    let coturn = try Coturn(port: 22100, ["--min-port", "22500", "--max-port", "22599"])
    var options = CheckOptions()
    options.timeout = .milliseconds(3000)
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

  @Test("A relayed series that is interrupted deletes its allocation")
  func interruptedSeries() throws {
    let coturn = try Coturn(port: 22114)
    var options = CheckOptions()
    options.credential = LongTermCredential(username: "alice", password: "secret")
    let questions = Counter()
    let report = RelayCheck.run(
      coturn.target(), options, count: 1_000_000, interval: .milliseconds(1), generator: SeededGenerator(seed: [1]),
      stop: { questions.next() > 20 })
    #expect(report.verdict == nil)
    #expect((1...100).contains(report.series?.sent ?? 0) && report.series?.lost == 0)
    #expect(report.steps.last?.name == .delete)
  }

  @Test("A series keeps its counts when its server stops")
  func lostServer() throws {
    let coturn = try Coturn(port: 22116)
    var options = CheckOptions()
    options.credential = LongTermCredential(username: "alice", password: "secret")
    options.timeout = .milliseconds(300)
    let questions = Counter()
    let report = RelayCheck.run(
      coturn.target(), options, count: 60, interval: .milliseconds(5), generator: SeededGenerator(seed: [1]),
      stop: {
        // Each round sends at most one packet, so that some are left when the server ends.
        if questions.next() == 40 { coturn.stop() }
        return false
      })
    let series = try #require(report.series)
    #expect(series.sent == 60 && series.received > 0 && series.lost > 0, "\(report.steps)")
    #expect(series.received + series.lost == 60)
    #expect(report.verdict?.reason == .refused && report.steps.last?.name == .delete)
  }

  @Test("A second allocation is the peer if the server forbids the client's own address as a peer")
  func forbiddenLocalPeer() throws {
    // Relayed addresses are on 127.0.0.2, and 127.0.0.1 is a forbidden peer.
    let coturn = try Coturn(port: 22110, ["-E", "127.0.0.2", "--denied-peer-ip", "127.0.0.1"])
    let run = try Run(["--json", "turn:127.0.0.1:22110"], environment: Self.alice)
    #expect(run.status == 0)
    let document = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
    #expect(document["peer_kind"] as? String == "allocation")
    #expect((document["peer"] as? String)?.hasPrefix("127.0.0.2:") == true)
    // On loopback this is normal, so there is no note.
    #expect(document["notes"] as? [String] == [])
    withExtendedLifetime(coturn) {}
  }

  @Test("A server that forbids every kind of peer is a failure with its reason")
  func forbiddenPeers() throws {
    let coturn = try Coturn(port: 22112, ["--denied-peer-ip", "127.0.0.1"])
    let run = try Run(["turn:127.0.0.1:22112"], environment: Self.alice)
    #expect(run.status == 2)
    #expect(run.output.contains("the server does not relay to this address (403 Forbidden"))
    #expect(run.output.contains("[forbidden]"))
    withExtendedLifetime(coturn) {}
  }

  // MARK: - The program

  @Test("The exit status is 0 over each transport, family and source of credentials")
  func success() throws {
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

  @Test("The cause of a rejected password names a blank, quotation mark or byte order mark at its ends")
  func overlookedCharacters() throws {
    let coturn = try Coturn(port: 22128)
    for (password, words) in [
      ("secret ", "the password ends with a space"), ("\"secret\"", "the password is in quotation marks"),
      ("\u{FEFF}secret", "the password begins with a byte order mark"),
    ] {
      let run = try Run(
        ["turn:127.0.0.1:22128"], environment: ["STUNCLIENT_USERNAME": "alice", "STUNCLIENT_PASSWORD": password])
      // SASLprep removes the soft hyphen, and then the password is right.
      guard run.status != 0 else { continue }
      #expect(run.output.contains("  likely cause: wrong username or password; \(words): is that meant?\n"), "\(run)")
    }
    let plain = try Run(
      ["turn:127.0.0.1:22128"], environment: ["STUNCLIENT_USERNAME": "alice", "STUNCLIENT_PASSWORD": "x"])
    #expect(plain.output.contains("  likely cause: wrong username or password\n"), "\(plain)")
    withExtendedLifetime(coturn) {}
  }

  @Test("A REST secret gives a working credential, and a wrong secret is recognised")
  func restSecret() throws {
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
    #expect(wrong.output.contains("the shared secret is wrong (not expired: a credential that is valid"))
  }

  @Test("The exit status is 1 when a threshold is passed")
  func threshold() throws {
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

  @Test("The exit status is 2 for each failure, with its reason")
  func failures() throws {
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

    // The user has an allocation, so the quota of one is reached.
    var settings = ClientAllocation.Settings()
    settings.credential = LongTermCredential(username: "alice", password: "secret")
    var holder = AllocationSession(
      try ClientConnection(
        .init(transport: .udp, remote: coturn.address), until: .init(nanoseconds: .max)),
      settings: settings, generator: SeededGenerator(seed: [3]))
    try holder.allocate()
    let full = try Run(["turn:127.0.0.1:22150"], environment: Self.alice)
    #expect(full.status == 2)
    #expect(full.output.contains("this user has too many allocations (486 Allocation Quota Reached) [quota]"))
    try holder.delete()
  }

  @Test("The exit status is 3 for wrong usage, which standard error explains")
  func wrongUsage() throws {
    let cases: [([String], [String: String], String)] = [
      ([], [:], "there is no TARGET"),
      (["security", "turn:203.0.113.9"], [:], "203.0.113.9 is neither a loopback nor a private address"),
      (["--frob", "x"], [:], "unknown option --frob"), (["turn:x?transport=sctp"], [:], "\"sctp\" is no transport"),
      (["--password-file", "/nonexistent", "--username", "a", "turn:127.0.0.1"], [:], "/nonexistent: No such file"),
      (["--ca", "/nonexistent", "stuns:127.0.0.1"], [:], "/nonexistent: can't be read: No such file or directory"),
      (
        ["--username", "a", "turn:127.0.0.1"], [:],
        "a user name was given (--username) but no password: set STUNCLIENT_PASSWORD or use --password-file"
      ),
      (["turn:127.0.0.1"], ["STUNCLIENT_USERNAME": "a"], "a user name was given (STUNCLIENT_USERNAME) but no password"),
      (["--password", "x", "turn:127.0.0.1"], [:], "use --password-file or STUNCLIENT_PASSWORD"),
      (["-wsecret", "turn:127.0.0.1"], [:], "unknown option -w…: a command line is no place for a password"),
      (["--user", "x", "turn:127.0.0.1"], [:], "did you mean --username?"),
      (["-u", "x", "turn:127.0.0.1"], [:], "did you mean --username?"),
      (["-c", "3", "127.0.0.1"], [:], "did you mean --count?"), (["-k", "127.0.0.1"], [:], "did you mean --insecure?"),
      (["turn:127.0.0.1"], ["STUNCLIENT_PASSWORD": "x"], "a password was given (STUNCLIENT_PASSWORD) but no user name"),
      (["turn:127.0.0.1"], ["STUNCLIENT_PASSWORD": "x", "STUNCLIENT_SECRET": "y"], "are both set: set only one"),
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

  @Test("The JSON documents keep their keys", .tags(.slow))
  func jsonKeys() throws {
    let coturn = try Coturn(port: 22160)
    func keys(_ arguments: [String]) throws -> Set<String> {
      let run = try Run(["--json"] + arguments, environment: Self.alice)
      let document = try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any]
      #expect(document?["exit_status"] as? Int == Int(run.status))
      return Set(document?.keys ?? [:].keys)
    }
    let common: Set = [
      "command", "target", "status", "exit_status", "failure", "warnings", "warning_reasons", "notes", "hints",
      "resolution",
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
      for port in ["22160", "22169"] {  // The second is a port without a listener.
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
