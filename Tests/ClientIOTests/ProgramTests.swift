import ClientIO
import Foundation
import NetworkTypes
import STUN
import Synchronization
import TestSupport
import Testing

/// The program's other commands and forms of output, as a user meets them.
@Suite(
  "stunclient as a program", .serialized,
  .enabled(if: Coturn.isInstalled, "coturn's turnserver is NOT INSTALLED: nothing here was tested"))
struct ProgramTests {
  static let alice = CoturnTests.alice

  func document(_ run: Run) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any], "\(run.output)")
  }

  func lines(_ run: Run) throws -> [[String: Any]] {
    try run.output.split(separator: "\n").map {
      try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }
  }

  // MARK: - A deployment

  @Test func `Every URL of a deployment gets its verdict, and the worst is the exit status`() throws {
    let coturn = try Coturn(port: 24100)
    let configuration = """
      {"iceServers":[{"urls":"stun:127.0.0.1:24100"},
        {"urls":["turn:127.0.0.1:24100?transport=udp","turn:127.0.0.1:24100?transport=tcp",
                 "turns:127.0.0.1:24101?transport=tcp"],"username":"alice","credential":"secret"},
        {"urls":["turn:127.0.0.1:24100"],"username":"alice","credential":"guess"},
        {"urls":["stun:127.0.0.1:24109"]}]}
      """
    let path = coturn.file("ice.json")
    try Data(configuration.utf8).write(to: URL(filePath: path))
    let trusted = ["--ca", coturn.file("cert.pem")]
    let run = try Run(["--ice-servers", path, "--json"] + trusted)
    #expect(run.status == 2)
    let found = try document(run)
    #expect(found["command"] as? String == "ice-servers")
    #expect(found["urls"] as? Int == 6 && found["good"] as? Int == 4)
    let servers = try #require(found["servers"] as? [[String: Any]])
    #expect(servers.map { $0["status"] as? String } == ["ok", "ok", "ok", "ok", "failed", "failed"])
    #expect(servers.map { $0["command"] as? String } == ["binding", "relay", "relay", "relay", "relay", "binding"])
    #expect((servers[4]["failure"] as? [String: Any])?["reason"] as? String == "wrong-credentials")
    #expect((servers[5]["failure"] as? [String: Any])?["reason"] as? String == "refused")

    let text = try Run(["--ice-servers", "-"] + trusted, input: configuration)
    #expect(text.output.contains("4 of 6 URLs work"))
    #expect(text.output.contains("FAILED   turn:127.0.0.1:24100  "))
    #expect(text.output.contains("likely cause: wrong username or password"))
    let check = try Run(["--check", "--ice-servers", path] + trusted)
    #expect(
      check.output == "CRITICAL: ice-servers 4 of 6 URLs work; turn:127.0.0.1:24100 [wrong-credentials]; "
        + "stun:127.0.0.1:24109 [refused] | good=4;;;0;6 failed=2;;;0;6\n")

    let events = try lines(try Run(["--ndjson", "--ice-servers", path] + trusted))
    #expect(events.count { $0["event"] as? String == "result" } == 6)
    #expect(events.last?["event"] as? String == "summary")
    #expect(events.last?["exit_status"] as? Int == 2)

    // A bare array, the old "url", and one warning are fine; the clocks of the threads do not add up.
    let bare = "[{\"url\":\"stun:127.0.0.1:24100\"},{\"urls\":[\"stuns:127.0.0.1:24101\"]}]"
    let warned = try Run(["--ice-servers", "-", "--min-days", "5000"] + trusted, input: bare)
    #expect(warned.status == 1, "\(warned.output)")
    #expect(warned.output.contains("2 of 2 URLs work"))
  }

  @Test func `A deployment that can't be read is wrong usage that says where`() throws {
    let cases = [
      ("{", "standard input: line 1: "), ("[]", "there is no server in it"),
      ("[{\"urls\":5}]", "iceServers[0].urls is no string"), ("[{}]", "iceServers[0] has no \"urls\""),
      ("[{\"urls\":[\"stun:a\",\"http://b\"]}]", "iceServers[0].urls[1]: http://b: "),
      ("[{\"urls\":\"turn:a\",\"username\":\"u\"}]", "iceServers[0] has a username and no credential"),
      ("[{\"urls\":\"turn:a\",\"credential\":\"u\"}]", "iceServers[0] has a credential and no username"),
      ("{\"iceServers\":7}", "\"iceServers\" is no array"),
    ]
    for (input, message) in cases {
      let run = try Run(["--ice-servers", "-"], input: input)
      #expect(run.status == 3, "\(input)")
      #expect(run.error.contains(message), "\(input): \(run.error)")
    }
  }

  @Test func `The lines of checks that run side by side name what they are about`() throws {
    let (one, other) = (try FakeServer(.udp(generous)), try FakeServer(.udp(generous)))
    defer {
      one.stop()
      other.stop()
    }
    let urls = [one, other].map { "stun:\($0.address)" }
    let run = try Run(
      ["--ice-servers", "-", "--count", "5", "--interval", "0.01"],
      input: "{\"urls\":[\"\(urls[0])\",\"\(urls[1])\"]}")
    for url in urls {
      for number in 1...5 {
        #expect(run.output.contains("\n\(url) \(number): ") || run.output.hasPrefix("\(url) \(number): "))
      }
    }
    let live = run.output.split(separator: "\n").prefix(10)
    #expect(live.allSatisfy { line in urls.contains { line.hasPrefix($0 + " ") } }, "\(run.output)")
  }

  @Test func `How far the clock is off is told for a deployment, too`() throws {
    let server = try restServer(ahead: 5000, Array("s3cret".utf8))
    defer { server.stop() }
    for arguments in [["--ice-servers", "-"], ["turn:\(server.address)"]] {
      let run = try Run(
        arguments, environment: ["STUNCLIENT_SECRET": "s3cret"], input: "{\"urls\":\"turn:\(server.address)\"}")
      #expect(run.status == 2)
      let cause = /likely cause: this machine's clock is 500\d s behind the server's/
      #expect(run.output.contains(cause), "\(run.output)")
    }
  }

  // MARK: - Ping, and series through the relay

  @Test func `A ping counts, gives percentiles and ends by count`() throws {
    let coturn = try Coturn(port: 24110)
    for option in ["--udp", "--tcp", "--tls", "--dtls"] {
      let port = option.hasSuffix("tls") ? "24111" : "24110"
      let run = try Run(
        ["ping", option, "--insecure", "--count", "20", "--interval", "0.01", "--json", "127.0.0.1", port])
      #expect(run.status == 0, "\(run.output)")
      let series = try #require(try document(run)["series"] as? [String: Any])
      #expect(series["sent"] as? Int == 20 && series["received"] as? Int == 20 && series["lost"] as? Int == 0)
      #expect(series["duplicates"] as? Int == 0 && series["reordered"] as? Int == 0)
      let times = try #require(series["rtt_ms"] as? [String: Double])
      #expect(Set(times.keys) == ["min", "mean", "p50", "p90", "p99", "max"])
      #expect((times["min"] ?? 9) <= (times["p50"] ?? 0) && (times["p50"] ?? 9) <= (times["max"] ?? 0))
    }
    let events = try lines(
      try Run(["ping", "--ndjson", "--count", "3", "--interval", "0.01", "127.0.0.1:24110"]))
    #expect(events.map { $0["event"] as? String } == ["answer", "answer", "answer", "result"])
    let check = try Run(["ping", "--check", "--count", "3", "--interval", "0.01", "127.0.0.1:24110"])
    #expect(check.output.hasPrefix("OK: ping UDP 127.0.0.1:24110 rtt "))
    #expect(check.output.contains(" loss=0%;;;0;100\n"))
    withExtendedLifetime(coturn) {}
  }

  @Test(
    .enabled(
      if: FileManager.default.isExecutableFile(atPath: "/usr/bin/script"), "script(1) is NOT INSTALLED: not tested"))
  func `On a terminal a ping has one line that is written over, and colours unless they are not wanted`() throws {
    let server = try FakeServer(.udp(generous))
    defer { server.stop() }
    func ping(_ arguments: String, _ environment: [String: String]) throws -> String {
      let command = "\(Run.program.path) ping --interval 0.01 \(arguments)"
      return try Run(
        ["-qec", command, "/dev/null"], environment: environment, program: URL(filePath: "/usr/bin/script")
      ).output
    }
    let live = try ping("--count 3 \(server.address)", ["TERM": "xterm"])
    // Too long a line is cut off by the terminal, which is set right again.
    #expect(live.contains("\r\u{1B}[K\u{1B}[?7l3 sent, 3 received, 0 % lost, last "), "\(live.debugDescription)")
    #expect(live.contains(" ms\u{1B}[?7h") && !live.contains("\n3: "))
    let plain = try ping("--count 3 \(server.address)", ["TERM": "dumb"])
    #expect(plain.contains("\n3: ") && !plain.contains("\u{1B}"), "\(plain.debugDescription)")
    for (environment, isRed) in [(["TERM": "xterm"], true), (["TERM": "xterm", "NO_COLOR": "1"], false)] {
      let failed = try ping("--count 1 --timeout 0.1 127.0.0.1:9", environment)
      #expect(failed.contains("\u{1B}[31mfailed: \u{1B}[0m") == isRed, "\(failed.debugDescription)")
    }
  }

  @Test(arguments: [
    (["ping"], "\n5: "), (["--count", "1000000"], "\n5: "), (["--count", "1000000"], "IPv6 5: "),
  ])
  func `A series that is interrupted ends with its summary`(arguments: [String], marker: String) throws {
    let coturn = try Coturn(port: 24115)
    var zone = NameServiceTests.Zone()
    zone.address("both.test", [127, 0, 0, 1])
    zone.address("both.test", [UInt8](repeating: 0, count: 15) + [1])
    let dns = try NameServiceTests().start(zone)
    defer { dns.stop() }
    let hasBoth = marker.hasPrefix("IPv6")
    let target = hasBoth ? ["--dns-server", "\(dns.address)", "both.test:24115"] : ["127.0.0.1:24115"]
    let pipe = Pipe()
    let process = try Child(
      Run.program.path, arguments + ["--interval", "0.02"] + target, output: .pipe(pipe))
    var output = Data()
    while !String(decoding: output, as: UTF8.self).contains(marker) {
      output += pipe.fileHandleForReading.availableData
    }
    process.send(SIGINT)
    output += try pipe.fileHandleForReading.readToEnd() ?? Data()
    #expect(process.wait() == 0)
    let text = String(decoding: output, as: UTF8.self)
    #expect(text.contains("round trips      min "))
    // The other family is not begun with.
    #expect(text.contains("note: IPv4 was not checked: interrupted") == hasBoth, "\(text)")
    withExtendedLifetime(coturn) {}
  }

  @Test func `Loss, duplicates and disorder are seen as they are`() throws {
    // Of ten requests: the fourth is dropped, the sixth answered twice, the eighth answered after the ninth.
    let held = Mutex<[[UInt8]]>([])
    let counter = Counter()
    let server = try FakeServer(
      .udp { request in
        let answer = respond(to: request) { $0.append(.xorMappedAddress, xor: mapped) }
        switch counter.next() {
        case 4: return []
        case 6: return answer + answer
        case 8:
          held.withLock { $0 = answer }
          return []
        case 9: return answer + held.withLock { $0 }
        default: return answer
        }
      })
    defer { server.stop() }
    let run = try Run([
      "ping", "--json", "--count", "10", "--interval", "0.03", "--timeout", "0.5", "--warn-loss", "5",
      "\(server.address)",
    ])
    #expect(run.status == 1)
    let series = try #require(try document(run)["series"] as? [String: Any])
    #expect(series["sent"] as? Int == 10 && series["received"] as? Int == 9 && series["lost"] as? Int == 1)
    #expect(series["duplicates"] as? Int == 1 && series["reordered"] as? Int == 1)
    #expect(series["loss_percent"] as? Double == 10)
    let silent = try FakeServer(.udp { _ in [] })
    defer { silent.stop() }
    let nothing = try Run(["ping", "--count", "2", "--interval", "0.01", "--timeout", "0.1", "\(silent.address)"])
    #expect(nothing.status == 2)
    #expect(nothing.output.contains("no answer to 2 requests [timeout]"))
    #expect(
      try Run(["ping", "--count", "2", "--interval", "0.01", "--timeout", "0.1", "127.0.0.1:24119"]).output
        .contains("connection refused [refused]"))
  }

  @Test func `A series goes through the relay on each transport and with each kind of peer`() throws {
    let coturn = try Coturn(port: 24120)
    for uri in [
      "turn:127.0.0.1:24120", "turn:127.0.0.1:24120?transport=tcp", "turns:127.0.0.1:24121",
      "turns:127.0.0.1:24121?transport=udp",
    ] {
      let run = try Run(
        ["--json", "--insecure", "--count", "50", "--interval", "0.002", uri], environment: Self.alice)
      #expect(run.status == 0, "\(run.output)")
      let series = try #require(try document(run)["series"] as? [String: Any])
      #expect(series["sent"] as? Int == 50 && series["received"] as? Int == 50, "\(uri): \(series)")
    }
    let forbidding = try Coturn(port: 24124, ["-E", "127.0.0.2", "--denied-peer-ip", "127.0.0.1"])
    let run = try Run(
      ["--json", "--count", "50", "--interval", "0.002", "turn:127.0.0.1:24124"], environment: Self.alice)
    let found = try document(run)
    #expect(found["peer_kind"] as? String == "allocation")
    #expect((found["series"] as? [String: Any])?["received"] as? Int == 50)
    withExtendedLifetime((coturn, forbidding)) {}
  }

  // MARK: - Other forms of output

  @Test func `The Prometheus file is whole, readable for others, and says what failed`() throws {
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

  @Test func `The first lines are those that stuntman's client prints`() throws {
    let coturn = try Coturn(port: 24140)
    let pattern = /Binding test: success\nLocal address: 127\.0\.0\.1:\d+\nMapped address: 127\.0\.0\.1:\d+\n/
    #expect(try Run(["127.0.0.1", "24140"]).output.prefixMatch(of: pattern) != nil)
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
    // coturn has one address here.
    let untested = try Run(["--mode", "filtering", "127.0.0.1", "24140"])
    #expect(untested.output.hasSuffix("Filtering test: fail\n") && untested.status == 2)
    withExtendedLifetime(coturn) {}
  }

  @Test func `Over TCP the mapping is tested, and the lines of filtering are left out`() throws {
    // Four addresses of one server, the mapping as a symmetric NAT's; OTHER-ADDRESS is another address and port.
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
    let nobody = try Run(["--mode", "full", "--protocol", "tcp", "127.0.0.1", "24148"])
    #expect(nobody.output == "Binding test: fail\nBehavior test: fail\n")
    #expect(nobody.error.contains("[refused]") && nobody.status == 2)
  }

  @Test func `Credentials from a secret open a relay`() throws {
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

extension ProgramTests {
  @Test func `Decode reads arguments, standard input, files and captures, and says what is wrong`() throws {
    let request = "000100002112a442b7e7a701bc34d686fa87dfae"
    for (arguments, input) in [
      ([request], nil), (["-"], request), ([], "0001 0000\n2112a442 b7e7a701bc34d686fa87dfae\n"),
    ]
      as [([String], String?)]
    {
      let run = try Run(["decode"] + arguments, input: input)
      #expect(run.status == 0, "\(run.error)")
      #expect(run.output.hasPrefix("1  Binding request, 20 bytes\n"))
    }
    let capture = Places.repository("Tests/Corpora/relay-udp-tcp.pcapng")
    let good = try Run(["decode", "--json", capture], environment: ["STUNCLIENT_PASSWORD": "secret"])
    let found = try document(good)
    #expect(good.status == 0 && found["message_count"] as? Int == 32)
    #expect((found["messages"] as? [[String: Any]])?.count == 32)
    let wrong = try Run(["decode", capture], environment: ["STUNCLIENT_PASSWORD": "guess"])
    #expect(wrong.status == 2 && wrong.output.contains("does not fit this password [integrity]"))
    #expect(try Run(["decode", "16fefd00"]).output.contains("[not-stun]"))
    #expect(try Run(["decode", "/nonexistent"]).error.contains("/nonexistent: neither hexadecimal nor a file"))
    #expect(try Run(["decode", "-"], input: "\u{0A}\u{0D}\u{0D}\u{0A}").status == 3)
    #expect(try lines(try Run(["decode", "--ndjson", capture])).count == 33)
  }
}

extension ProgramTests {
  /// RFC 5769 section 2.4: the password is given as people type it, with a soft hyphen and a Roman numeral.
  static let japanese =
    "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b900000015001c"
    + "662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b6578616d706c652e6f726700"
    + "00080014f67024656dd64a3e02b8e0712e85c9a28ca89666"

  @Test func `Decode prepares the password, and options go before the environment`() throws {
    let typed = "The\u{AD}M\u{AA}tr\u{2168}"
    let file = FileManager.default.temporaryDirectory.appending(path: "password-\(UInt64.random(in: 0 ... .max))")
    try Data((typed + "\n").utf8).write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    let good: [([String], [String: String])] = [
      ([], ["STUNCLIENT_PASSWORD": typed]), ([], ["STUNCLIENT_PASSWORD": "TheMatrIX"]),
      (["--password-file", file.path], [:]), (["--password-file", file.path], ["STUNCLIENT_SECRET": "other"]),
      (["--password-file", file.path], ["STUNCLIENT_PASSWORD": "other"]),
      (["--password-file", file.path], ["STUNCLIENT_PASSWORD": "other", "STUNCLIENT_SECRET": "other"]),
    ]
    for (arguments, environment) in good {
      let run = try Run(["decode"] + arguments + [Self.japanese], environment: environment)
      #expect(run.status == 0, "\(arguments) \(environment): \(run.output)\(run.error)")
      #expect(run.output.contains("right (long-term credential, MD5)"))
    }
    let bad = try Run(
      ["decode", "--secret-file", file.path, Self.japanese], environment: ["STUNCLIENT_PASSWORD": typed])
    #expect(bad.status == 2 && bad.output.contains("[integrity]"))
    let both = try Run(
      ["decode", Self.japanese], environment: ["STUNCLIENT_PASSWORD": typed, "STUNCLIENT_SECRET": "other"])
    #expect(both.status == 3 && both.error.contains("are both set: one of them"))
  }
}

extension ProgramTests {
  @Test func `What coturn lets through is found, peer by peer`() throws {
    let open = try Coturn(port: 24160)
    let run = try Run(["security", "--json", "turn:127.0.0.1:24160"], environment: Self.alice)
    #expect(run.status == 2)
    let found = try document(run)
    #expect((found["failure"] as? [String: Any])?["reason"] as? String == "let-through")
    let findings = try #require(found["findings"] as? [[String: String]])
    func verdict(_ check: String, _ subject: String) -> String? {
      findings.first { $0["check"] == check && $0["subject"]?.hasPrefix(subject) == true }?["verdict"]
    }
    // It was told to allow loopback; what is private it allows by itself.
    #expect(
      findings.first { $0["subject"] == "127.0.0.1 (loopback)" }?["detail"]
        == "CreatePermission succeeds, and data arrives")
    #expect(verdict("peer", "10.0.0.1") == "let-through" && verdict("peer", "169.254.169.254") == "let-through")
    #expect(verdict("peer", "0.0.0.0") == "refused" && verdict("anonymous", "Allocate") == "refused")
    #expect(verdict("wrong-password", "Allocate") == "refused" && verdict("replay", "a recorded") == "refused")
    #expect(verdict("unsigned-refresh", "Refresh") == "refused")
    let counts = ["refused", "let_through", "unknown", "not_applicable"].compactMap { found[$0] as? Int }
    #expect(counts.reduce(0, +) == findings.count)

    // Of two users neither may touch what is the other's; one user alone can't try, a shared secret makes two.
    let second = ["STUNCLIENT_SECOND_USERNAME": "bob", "STUNCLIENT_SECOND_PASSWORD": "hunter2"]
    let two = try Coturn(port: 24204, ["-u", "bob:hunter2"])
    let rest = try Coturn(port: 24208, users: false, ["--use-auth-secret", "--static-auth-secret", "s3cret"])
    for (port, environment, text) in [
      (
        24204, Self.alice.merging(second) { $1 },
        "refused       other-user       Refresh of one user's allocation by another: 441 "
      ),
      (
        24208, ["STUNCLIENT_SECRET": "s3cret"],
        "refused       other-user       CreatePermission of one user's allocation by another: 441 "
      ),
      (
        24160, Self.alice,
        "doesn't apply other-user       Refresh of one user's allocation by another: skipped: two users"
      ),
    ] {
      let run = try Run(["security", "turn:127.0.0.1:\(port)"], environment: environment)
      #expect(run.output.contains(text), "\(run.output)\(run.error)")
    }
    #expect(
      try Run(["security", "--second-username", "bob", "turn:127.0.0.1:24204"], environment: Self.alice).error
        .contains("--second-username without --second-password-file"))
    withExtendedLifetime((two, rest)) {}

    let anonymous = try Coturn(port: 24164, users: false, ["--no-auth"])
    let anybody = try Run(["security", "turn:127.0.0.1:24164"])
    #expect(anybody.status == 2)
    #expect(
      anybody.output.contains("LET THROUGH   anonymous        Allocate without credentials: anybody gets a relay"))
    let unknown = try Run(["security", "--check", "turn:127.0.0.1:24160"])
    #expect(unknown.status == 2 && unknown.output.contains("[credentials-needed]"))
    withExtendedLifetime((open, anonymous)) {}
  }

  @Test func `Every failure has a likely cause in words`() throws {
    let coturn = try Coturn(port: 24170)
    let cases: [[String]] = [
      ["127.0.0.1:24179"], ["--tcp", "127.0.0.1:24179"], ["stun:no-such-host.invalid"], ["stuns:127.0.0.1:24171"],
      ["turn:127.0.0.1:24170"], ["--localaddr", "127.0.0.1", "--localport", "24170", "127.0.0.1:24170"],
      ["--timeout", "0.1", "--udp", "127.0.0.1:1"],
    ]
    for arguments in cases {
      let found = try document(try Run(["--json", "--timeout", "1"] + arguments))
      let failure = try #require(found["failure"] as? [String: Any], "\(arguments)")
      #expect((failure["likely_cause"] as? String)?.isEmpty == false, "\(arguments): \(failure)")
    }
    withExtendedLifetime(coturn) {}
  }
}

extension ProgramTests {
  /// What docs/stunclient.md promises, and nothing else.
  @Test func `Every key that is printed is documented, and every reason`() throws {
    let page = try Places.text("docs/stunclient.md")
    for reason in CheckFailure.Reason.allCases { #expect(page.contains("`\(reason.rawValue)`"), "\(reason)") }
    let coturn = try Coturn(port: 24180, ["-L", "127.0.0.2", "--alt-listening-port", "24190"])
    let commands = [
      ["--insecure", "stuns:127.0.0.1:24181"], ["--insecure", "--count", "2", "turns:127.0.0.1:24181"],
      ["ping", "--count", "2", "--interval", "0.01", "127.0.0.1:24180"], ["nat", "--lifetime", "2", "127.0.0.1:24180"],
      ["security", "turn:127.0.0.1:24180"], ["decode", "000100002112a442b7e7a701bc34d686fa87dfae"],
      ["127.0.0.1:24189"],
    ]
    for command in commands {
      let run = try Run(["--json"] + command, environment: command.first == "decode" ? [:] : Self.alice)
      var keys: Set<String> = []
      collect(try document(run), &keys)
      for key in keys { #expect(page.contains("`\(key)`"), "\(key) of \(command)") }
    }
    withExtendedLifetime(coturn) {}
  }

  @Test func `Every key and event of a line is documented, and those of credentials`() throws {
    let page = try Places.text("docs/stunclient.md")
    let coturn = try Coturn(port: 24196, ["-L", "127.0.0.2", "--alt-listening-port", "24198"])
    let silent = try FakeServer(.udp { _ in [] })
    let counter = Counter()
    let refusing = try FakeServer(
      .udp { counter.next() > 1 ? respond(to: $0, error: .serverError) : generous($0) + generous($0) })
    defer {
      silent.stop()
      refusing.stop()
    }
    let commands = [
      ["--count", "2", "--interval", "0.01", "127.0.0.1:24196"], ["--timeout", "0.1", "\(silent.address)"],
      ["--count", "2", "--interval", "0.01", "turn:127.0.0.1:24196"],
      ["ping", "--count", "2", "--timeout", "0.1", "--interval", "0.01", "\(silent.address)"],
      ["ping", "--count", "3", "--interval", "0.01", "\(refusing.address)"], ["nat", "127.0.0.1:24196"],
      ["security", "turn:127.0.0.1:24196"], ["decode", "000100002112a442b7e7a701bc34d686fa87dfae"],
    ]
    var events: Set<String> = []
    for command in commands {
      let run = try Run(["--ndjson"] + command, environment: command.first == "decode" ? [:] : Self.alice)
      for line in try lines(run) {
        let event = try #require(line["event"] as? String)
        events.insert(event)
        #expect(page.contains("`\(event)`"), "\(event) of \(command)")
        // What stands in the row of the event, where it has keys of its own.
        let row = page.split(separator: "\n").last { $0.hasPrefix("| `\(event)`") }
        var keys: Set<String> = []
        collect(line, &keys)
        for key in keys { #expect(page.contains("`\(key)`"), "\(key) of \(command)") }
        if ["answer", "no-answer", "refused"].contains(event) {
          for key in line.keys where key != "event" { #expect(row?.contains("`\(key)`") == true, "\(key) of \(event)") }
        }
      }
    }
    #expect(
      events.isSuperset(of: [
        "answer", "no-answer", "refused", "duplicate", "lost", "step", "test", "finding", "message", "result",
      ]), "\(events)")
    let paragraph = try #require(page.components(separatedBy: "**`credentials`**").last?.components(separatedBy: "\n\n")[0])
    for uris in [[], ["turn:a.test"]] {
      let run = try Run(["credentials"] + uris, environment: ["STUNCLIENT_SECRET": "s3cret"])
      var keys: Set<String> = []
      collect(try document(run), &keys)
      for key in keys { #expect(paragraph.contains("`\(key)`"), "\(key)") }
    }
    withExtendedLifetime(coturn) {}
  }

  /// The names in a document, but for those under `unknown` and `frames`, which are data.
  private func collect(_ value: Any, _ keys: inout Set<String>) {
    if let object = value as? [String: Any] {
      for (key, inner) in object {
        keys.insert(key)
        if key != "unknown", key != "frames" { collect(inner, &keys) }
      }
    } else if let array = value as? [Any] {
      for inner in array { collect(inner, &keys) }
    }
  }

  @Test func `NAT behaviour is told on loopback, with another address and without`() throws {
    let coturn = try Coturn(port: 24184, ["-L", "127.0.0.2", "--alt-listening-port", "24194"])
    let found = try document(try Run(["nat", "--json", "127.0.0.1:24184"]))
    #expect(found["mapping"] as? String == "direct" && found["nat"] as? Bool == false)
    #expect(found["filtering"] as? String == "endpoint-independent" && found["alg"] as? Bool == false)
    let simple = try FakeServer(.udp(generous))
    defer { simple.stop() }
    let other = try document(try Run(["nat", "--json", "\(simple.address)", "--timeout", "1"]))
    #expect(other["mapping"] is NSNull && other["filtering"] is NSNull)
    #expect(Set(other.keys) == Set(found.keys))
    // Where nobody answers every key is there, and what is null has its reason.
    let silent = try FakeServer(.udp { _ in [] })
    defer { silent.stop() }
    for arguments in [["\(silent.address)", "--timeout", "0.6"], ["127.0.0.1:24199"]] {
      let failed = try document(try Run(["nat", "--json"] + arguments))
      #expect(failed["status"] as? String == "failed" && Set(failed.keys) == Set(found.keys))
      let unknown = try #require(failed["unknown"] as? [String: String])
      #expect(Set(failed.filter { $0.value is NSNull && $0.key != "resolution" }.keys) == Set(unknown.keys))
      let message = try #require((failed["failure"] as? [String: Any])?["message"] as? String)
      #expect(unknown["mapping"] == message)
    }
    // One request is one in the words and in the figures.
    let once = try document(try Run(["--json", "\(silent.address)", "--timeout", "0.6"]))
    #expect(once["sent"] as? Int == 1)
    let words = (once["failure"] as? [String: Any])?["message"] as? String
    #expect(words?.hasSuffix("no answer to 1 request, sent 2 times within 600 ms") == true, "\(words ?? "")")
    let reasons = try #require(other["unknown"] as? [String: String])
    #expect(reasons["mapping"]?.contains("no OTHER-ADDRESS") == true)
    withExtendedLifetime(coturn) {}
  }
}
