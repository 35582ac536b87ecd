import ClientIO
import Foundation
import NetworkTypes
import STUN
import Synchronization
import Testing
import TestSupport

/// Tests the program's other commands and forms of output.
@Suite(
  "stunclient as a program",
  .serialized,
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

  @Test("Every URL of a deployment has a verdict, and the worst one is the exit status")
  func deployment() throws {
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

    // A bare array, the old "url" and one warning are accepted. The times of parallel checks are not added.
    let bare = "[{\"url\":\"stun:127.0.0.1:24100\"},{\"urls\":[\"stuns:127.0.0.1:24101\"]}]"
    let warned = try Run(["--ice-servers", "-", "--min-days", "5000"] + trusted, input: bare)
    #expect(warned.status == 1, "\(warned.output)")
    #expect(warned.output.contains("2 of 2 URLs work"))
  }

  @Test("An unreadable deployment is wrong usage, with the place of the error")
  func wrongDeployment() throws {
    let cases = [
      ("{", "standard input: line 1: "), ("[]", "there is no server in it"),
      ("[{\"urls\":5}]", "iceServers[0].urls is not a string"), ("[{}]", "iceServers[0] has no \"urls\""),
      ("[{\"urls\":[\"stun:a\",\"http://b\"]}]", "iceServers[0].urls[1]: http://b: "),
      ("[{\"urls\":\"turn:a\",\"username\":\"u\"}]", "iceServers[0] has a username and no credential"),
      ("[{\"urls\":\"turn:a\",\"credential\":\"u\"}]", "iceServers[0] has a credential and no username"),
      ("{\"iceServers\":7}", "\"iceServers\" is not an array"),
    ]
    for (input, message) in cases {
      let run = try Run(["--ice-servers", "-"], input: input)
      #expect(run.status == 3, "\(input)")
      #expect(run.error.contains(message), "\(input): \(run.error)")
    }
  }

  @Test("Each line of parallel checks begins with its URL")
  func parallelChecks() throws {
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

  @Test("The likely cause tells the difference of the clocks, for a deployment too")
  func clockOffset() throws {
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

  @Test("ping numbers its answers, prints percentiles and stops after --count")
  func ping() throws {
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
    "ping on a terminal rewrites one line, in colours unless they are switched off",
    .enabled(
      if: FileManager.default.isExecutableFile(atPath: "/usr/bin/script"), "script(1) is NOT INSTALLED: not tested"))
  func terminal() throws {
    let server = try FakeServer(.udp(generous))
    defer { server.stop() }
    func ping(_ arguments: String, _ environment: [String: String]) throws -> String {
      let command = "\(Run.program.path) ping --interval 0.01 \(arguments)"
      return try Run(
        ["-qec", command, "/dev/null"], environment: environment, program: URL(filePath: "/usr/bin/script")
      ).output
    }
    let live = try ping("--count 3 \(server.address)", ["TERM": "xterm"])
    // The terminal cuts off long lines, and its wrap mode is restored.
    #expect(live.contains("\r\u{1B}[K\u{1B}[?7l3 sent, 3 received, 0 % lost, last "), "\(live.debugDescription)")
    #expect(live.contains(" ms\u{1B}[?7h") && !live.contains("\n3: "))
    let plain = try ping("--count 3 \(server.address)", ["TERM": "dumb"])
    #expect(plain.contains("\n3: ") && !plain.contains("\u{1B}"), "\(plain.debugDescription)")
    for (environment, isRed) in [(["TERM": "xterm"], true), (["TERM": "xterm", "NO_COLOR": "1"], false)] {
      let failed = try ping("--count 1 --timeout 0.1 127.0.0.1:9", environment)
      #expect(failed.contains("\u{1B}[31mfailed: \u{1B}[0m") == isRed, "\(failed.debugDescription)")
    }
  }

  @Test(
    "An interrupted series ends with its summary",
    arguments: [
      (["ping"], "\n5: "), (["--count", "1000000"], "\n5: "), (["--count", "1000000"], "IPv6 5: "),
    ])
  func interruptedSeries(arguments: [String], marker: String) throws {
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
    // The other family is not started.
    #expect(text.contains("note: IPv4 was not checked: interrupted") == hasBoth, "\(text)")
    withExtendedLifetime(coturn) {}
  }

  @Test("ping reports loss, duplicates and reordering as the server made them")
  func disturbances() throws {
    // The server drops the fourth of ten requests, answers the sixth twice, and the eighth after the ninth.
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

  @Test("A series goes through the relay over each transport and with each kind of peer")
  func relayedSeries() throws {
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

}
