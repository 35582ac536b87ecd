import CommandLine
import Foundation
import JSON
import LoadGeneration
import NetworkTypes
import TestSupport
import Testing

@testable import turnload

/// Compares the members, types and nulls in docs/turnload.md with the program's output.
@Suite("turnload's documents", .serialized, .enabled(if: Coturn.isInstalled, "coturn is not installed"))
struct DocumentTests {
  private static let short = ["--json", "--duration", "0.1", "--warm-up", "0.05"]
  private static let loads = [
    ["relay", "--direction", "echo", "--allocations", "4"], ["relay", "--rate", "500", "--indications"],
    ["relay-to-relay"], ["binding", "--max-loss", "100"], ["allocate"], ["hold", "--allocations", "4"], ["floor"],
  ]

  @Test("The document of every load has the documented keys", .tags(.slow), arguments: loads)
  func results(load: [String]) throws {
    let server = try Coturn()
    let watched = ["--server-pid", "\(server.processIdentifier)", "--server-core", "0"]
    for options in [[], watched] {
      let words = load + Self.short + options + (load == ["floor"] ? [] : ["127.0.0.1:\(server.port)"])
      let run = try turnload(words, environment: Coturn.credentials)
      #expect(run.status < 2 && run.errors == "", "\(words): \(run.output)\(run.errors)")
      let found = try JSONValue.decode(run.output)
      #expect(found["exit_status"] == .integer(Int64(run.status)))
      #expect(found["command"] == .string(load[0]))
      try compare(found, isMeasured: true)
      for figure in ["cpu_ns_each", "core_busy_ns_each", "core_busy_percent"] {
        #expect((found["server"]?[figure] == .null) == options.isEmpty, "\(figure): \(run.output)")
      }
    }
  }

  @Test("The document of a search has the documented keys", .tags(.slow))
  func search() throws {
    let server = try Coturn()
    let run = try turnload(["binding", "--search"] + Self.short + ["127.0.0.1:\(server.port)"])
    let found = try JSONValue.decode(run.output)
    try compare(found, isMeasured: true)
    #expect(found["settings"]?["search"] == .bool(true))
    #expect((found["found_rate"]?.integer ?? 0) > 100)
    // On a busy machine the last run does not confirm the rate of the trials, and the status says so.
    #expect(run.status == (found["confirmed"] == .bool(true) ? 0 : 1), "\(run.output)")
  }

  @Test("The document of a failure has the documented keys")
  func failure() throws {
    let server = try Coturn()
    let run = try turnload(
      ["relay"] + Self.short + ["127.0.0.1:\(server.port)"],
      environment: ["TURNLOAD_USERNAME": "load", "TURNLOAD_PASSWORD": "wrong"])
    #expect(run.status == 2 && run.errors == "")
    let found = try JSONValue.decode(run.output)
    #expect(found["status"] == .string("failed") && found["failure"]?.string?.isEmpty == false)
    try compare(found, isMeasured: false)
  }

  @Test("A port without a listener is reported at once")
  func noListener() throws {
    for load in ["binding", "allocate", "hold", "relay", "relay-to-relay"] {
      let run = try turnload([load] + Self.short + ["127.0.0.1:9"], environment: Coturn.credentials)
      #expect(run.status == 2)
      let found = try JSONValue.decode(run.output)
      #expect(found["failure"] == .string("127.0.0.1:9 over UDP: connection refused"), "\(run.output)")
      #expect(found["likely_cause"]?.string?.hasPrefix("nothing listens there") == true, "\(run.output)")
      try compare(found, isMeasured: false)
    }
  }

  @Test("A name without an address is a failure, not wrong usage")
  func unknownName() throws {
    let run = try turnload(["relay"] + Self.short + ["turn:no-such-host.invalid"], environment: Coturn.credentials)
    #expect(run.status == 2 && run.errors == "", "\(run)")
    let found = try JSONValue.decode(run.output)
    #expect(found["failure"]?.string?.hasPrefix("no-such-host.invalid: no such host name") == true, "\(run.output)")
    #expect(found["address"] == .null)
    #expect(found["likely_cause"]?.string?.hasPrefix("the name is misspelled") == true)
    try compare(found, isMeasured: false)
    let text = try turnload(["relay", "turn:no-such-host.invalid"], environment: Coturn.credentials)
    #expect(text.status == 2 && text.output == "")
    #expect(text.errors.hasPrefix("turnload: no-such-host.invalid: no such host name"), "\(text)")
    #expect(text.errors.contains("\nturnload: likely cause: the name is misspelled"), "\(text)")
    // Wrong usage has priority over an unresolved name.
    #expect(try turnload(["relay", "--server-pid", "4194303", "turn:no-such-host.invalid"]).status == 3)
  }

  @Test("An output that cannot be written is an error")
  func unwritableOutput() throws {
    for words in ["--json floor --duration 0.1", "floor --duration 0.1", "--help", "--version"] {
      let run = try Child.run("/bin/sh", ["-c", "exec \"$0\" \(words) > /dev/full", Paths.program("turnload")])
      #expect(run.status == 3 && run.errors == "turnload: standard output: No space left on device\n", "\(run)")
    }
  }

  @Test("A 401 has wrong credentials as its likely cause")
  func likelyCause() throws {
    let server = try Coturn()
    let relay = try turnload(
      ["relay"] + Self.short + ["127.0.0.1:\(server.port)"],
      environment: ["TURNLOAD_USERNAME": "load", "TURNLOAD_PASSWORD": "wrong"])
    let found = try JSONValue.decode(relay.output)
    let place = "127.0.0.1:\(server.port) over UDP"
    #expect(
      found["failure"] == .string("\(place): Allocate failed: the server rejected the user name or password (401)"),
      "\(relay.output)")
    #expect(found["likely_cause"]?.string?.hasPrefix("wrong username or password") == true)
  }

  @Test("A forbidden peer's likely cause has the configuration line that allows it")
  func forbiddenPeer() throws {
    let server = try Coturn(allowsLoopback: false)
    let run = try turnload(["relay", "--duration", "0.1", "127.0.0.1:\(server.port)"], environment: Coturn.credentials)
    #expect(run.status == 2 && run.errors.contains("--set peers.allow=127.0.0.1/32 (turnpike)"), "\(run)")
    #expect(run.errors.contains("ChannelBind failed: the server forbids it (403 Forbidden"), "\(run)")
  }

  @Test("The failure for an untrusted certificate has the address and the options that help")
  func untrustedCertificate() throws {
    let server = try Coturn()
    for transport in ["tls", "dtls"] {
      let target = "turns:127.0.0.1:\(server.tlsPort)"
      let run = try turnload(
        ["binding", "--transport", transport, "--duration", "0.1", target], environment: Coturn.credentials)
      #expect(run.status == 2, "\(run)")
      #expect(
        run.errors.hasPrefix("turnload: 127.0.0.1:\(server.tlsPort) over \(transport.uppercased()): "), "\(run)")
      #expect(run.errors.contains("--ca FILE") && run.errors.contains("--insecure"), "\(run)")
      let trusting = try turnload(
        ["binding", "--insecure", "--transport", transport, "--duration", "0.1", "--window", "4", target])
      #expect(trusting.status == 0, "\(trusting)")
    }
  }

  @Test("The error for an option of another tool names turnload's option")
  func otherTools() throws {
    for (option, hint) in [
      ("-u", "did you mean --username?"), ("--user", "did you mean --username?"),
      ("--password", "use --password-file or TURNLOAD_PASSWORD"), ("-w", "use --password-file or TURNLOAD_PASSWORD"),
      ("--secret", "use --secret-file or TURNLOAD_SECRET"), ("-k", "did you mean --insecure?"),
      ("-n", "unknown option -n"),
    ] {
      let run = try turnload([option, "x", "127.0.0.1"])
      #expect(run.status == 3 && run.errors.contains(hint), "\(option): \(run.errors)")
    }
  }

  @Test("A public server is wrong usage")
  func publicServer() throws {
    let run = try turnload(["binding", "stun:203.0.113.5"])
    #expect(run.status == 3 && run.output == "")
    #expect(run.errors.contains("203.0.113.5 is neither a loopback nor a private address: give --i-own-this-server"))
  }

  private func turnload(_ arguments: [String], environment: [String: String] = [:]) throws -> Child.Result {
    try Child.run(Paths.program("turnload"), arguments, environment: environment)
  }

  // MARK: - The page

  private struct Row {
    var path: String
    var kind: String
    var isNullable: Bool
    /// Whether only the document of a measured run has this member.
    var isResult: Bool
  }

  /// The table of members.
  private static func rows() throws -> [Row] {
    let page = try Paths.text("docs/turnload.md")
    var rows: [Row] = []
    var isResult = false
    for line in page.components(separatedBy: "\n| member | type |").last?.split(separator: "\n") ?? [] {
      let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
      guard cells.count == 3, cells[0].hasPrefix("`") else { continue }
      let path = cells[0].trimmingCharacters(in: ["`"])
      if path == "unit" { isResult = true }
      let kinds = cells[1].components(separatedBy: " or ")
      rows.append(Row(path: path, kind: kinds[0], isNullable: kinds.last == "null", isResult: isResult))
    }
    #expect(rows.count > 40)
    return rows
  }

  /// Every member must be documented and have its type, and every documented member must be present.
  private func compare(_ document: JSONValue, isMeasured: Bool) throws {
    var members: [String: JSONValue] = [:]
    flatten(document, "", &members)
    let rows = try Self.rows()
    for (path, value) in members {
      guard let row = rows.first(where: { $0.path == path }) else {
        Issue.record("\(path) is not documented")
        continue
      }
      #expect(value == .null ? row.isNullable : kind(of: value) == row.kind, "\(path): \(value)")
    }
    for row in rows {
      let parent = row.path.split(separator: ".").dropLast().joined(separator: ".")
      let isExpected = (isMeasured || !row.isResult) && members[parent] != .null
      #expect((members[row.path] != nil) == isExpected, "\(row.path)")
    }
  }

  private func flatten(_ value: JSONValue, _ prefix: String, _ members: inout [String: JSONValue]) {
    guard case .object(let inner) = value else { return }
    for member in inner {
      members[prefix + member.name] = member.value
      flatten(member.value, "\(prefix)\(member.name).", &members)
    }
  }

  private func kind(of value: JSONValue) -> String {
    switch value {
    case .null: "null"
    case .bool: "true/false"
    case .integer: "integer"
    case .double: "number"
    case .string: "text"
    case .array(let inner): inner.allSatisfy { $0.string != nil } ? "list of text" : "list"
    case .object: "object"
    }
  }
}

/// Tests the conditions for warnings.
@Suite("turnload's reports")
struct ReportTests {
  private func report(
    _ work: LoadSettings.Work = .relay, maximumLoss: UInt64? = nil, _ change: (inout LoadResult) -> Void
  ) -> Report {
    var settings = LoadSettings(server: SocketAddress(.ipv4Loopback, port: 9))
    settings.work = work
    var result = LoadResult()
    result.sent = 1000
    change(&result)
    return Report(settings: settings, target: "turn:127.0.0.1", maximumLoss: maximumLoss, result: result, failure: nil)
  }

  @Test("Loss is a warning only beyond its limit")
  func loss() {
    #expect(report { $0.lost = 500 }.status == .good && report(maximumLoss: 10_000) { $0.lost = 1000 }.status == .good)
    let mostly = report { $0.lost = 930 }
    #expect(mostly.status == .warning && mostly.warnings.first?.hasPrefix("more than half was lost") == true)
    #expect(report(maximumLoss: 10) { $0.lost = 1 }.status == .good)
    let lossy = report(maximumLoss: 10) { $0.lost = 2 }
    #expect(lossy.status == .warning && lossy.warnings == ["more loss than --max-loss"])
    #expect(lossy.text.hasSuffix("warning      more loss than --max-loss\n"))
    #expect(lossy.json["exit_status"] == .integer(1))
  }

  @Test("A search without a rate, or with an unconfirmed one, is a warning")
  func search() {
    #expect(report { $0.foundRate = 500 }.text.contains("best rate    500 a second with less than 0.1 % loss\n"))
    let shaken = report {
      $0.foundRate = 500
      $0.isConfirmed = false
    }
    #expect(shaken.status == .warning && shaken.text.contains("best rate    500 a second in a short trial\n"))
    #expect(shaken.warnings.first?.hasPrefix("the measurement did not reach") == true)
    let none = report {
      $0.foundRate = 0
      $0.isConfirmed = false
    }
    #expect(none.status == .warning && none.warnings == ["no rate was found with less than 0.1 % loss"])
    #expect(none.json["found_rate"] == .integer(0) && none.json["confirmed"] == .bool(false))
  }

  @Test("A run that loses most requests has a likely cause")
  func lostRequests() {
    #expect(report(.binding) { $0.lost = 900 }.likelyCause?.contains("unauthenticated-per-address") == true)
    #expect(report(.binding) { $0.lost = 100 }.likelyCause == nil)
    #expect(report(.relay) { $0.lost = 900 }.likelyCause == nil)
    #expect(
      report(.binding) { $0.lost = 900 }.text.hasSuffix(
        "likely cause: the server limits requests without credentials: for a test start it with "
          + "--set limits.unauthenticated-per-address=0 --set limits.unauthenticated=0 (turnpike)\n"))
  }
}
